"""simcc_targets: its reference, cases and known mistakes."""

import math

import numpy as np
import torch

from posebook._links import See
from posebook.checks.decoding.border_bias import CUT
from posebook.checks.decoding.soft_argmax import FLAT
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform
from posebook.checks.representations.gaussian_heatmap import OFFSET, ROUNDED


def simcc_targets(xy, hw, ratio, sigma):
    """Distributions over the bins of x and of y: px (..., 2) -> a tuple of two."""
    h, w = hw
    targets = []
    for axis, size in enumerate((w, h)):
        center = xy[..., axis, None] * ratio  # (..., 1) bins
        bins = torch.arange(round(size * ratio))
        bump = torch.exp(-((bins - center) ** 2) / (2 * sigma**2))
        targets.append(bump / bump.sum(-1, keepdim=True))
    return tuple(targets)


def _by_softmax(xy, hw, ratio, sigma):
    def target(x, size):
        apart = torch.arange(round(size * ratio), dtype=x.dtype) / ratio - x[..., None]  # px
        return torch.softmax(-0.5 * (apart * ratio / sigma) ** 2, dim=-1)

    x, y = xy.unbind(-1)
    return target(x, hw[1]), target(y, hw[0])


def _by_numpy(xy, hw, ratio, sigma):
    out = []
    for x, size in zip(np.moveaxis(xy.numpy(), -1, 0), hw[::-1], strict=True):
        bump = np.exp(-0.5 * np.square((np.arange(round(size * ratio)) - x[..., None] * ratio) / sigma))
        out.append(torch.from_numpy(bump / bump.sum(-1, keepdims=True)).to(xy.dtype))
    return out[0], out[1]


def _by_density(xy, hw, ratio, sigma):
    centers = (xy * ratio).reshape(-1, 2)
    out = []
    for axis in (0, 1):
        bins = torch.arange(round(hw[1 - axis] * ratio), dtype=xy.dtype)
        rows = [torch.distributions.Normal(c, sigma).log_prob(bins).exp() for c in centers[:, axis]]
        rows = torch.stack([row / (row.sum() + 1e-8) for row in rows])
        out.append(rows.reshape(*xy.shape[:-1], len(bins)))
    return tuple(out)


CENTER = "xy[..., axis, None] * ratio"
BINS = "torch.arange(round(size * ratio))"
BUMP = "torch.exp(-((bins - center) ** 2) / (2 * sigma**2))"
SHARE = "bump / bump.sum(-1, keepdim=True)"


def _with(**texts):
    """The center (in bins), the bins, the bump or its share of the reference exchanged."""
    lines = {"center": CENTER, "bins": BINS, "bump": BUMP, "share": SHARE}
    return edited(simcc_targets, {lines[name]: text for name, text in texts.items()})


def _draw(rng, *shape, hw=(12, 17), ratio=2.0, sigma=1.5, dtype=torch.float32):
    """Keypoints anywhere between the centers of the first and the last pixel."""
    return torch.rand(*shape, 2, generator=rng, dtype=dtype) * torch.tensor([hw[1] - 1, hw[0] - 1]), hw, ratio, sigma


def _between_bins(rng):
    """Keypoints so far from the nearest bin, for their sigma, that the values there sum to less than 1."""
    bins = torch.randint(2, 20, (5, 2), generator=rng) + 0.4 + 0.2 * torch.rand(5, 2, generator=rng)
    return bins / 2, (12, 17), 2.0, 0.3


def _near_the_edge(rng):
    near = [uniform(rng, 0, 0.4) for _ in range(4)]
    xy = torch.tensor([[near[0], 5.3], [16 - near[1], 6.2], [7.7, near[2]], [9.1, 11 - near[3]]])
    return xy, (12, 17), 2.0, 3.0


def _mirrored(rng):
    """At ratio 1 the mirror image of a keypoint has the mirror image of its target."""
    xy, hw, _, sigma = _draw(rng, 5)
    other = torch.tensor([hw[1] - 1.0, hw[0] - 1.0]) - xy
    return (xy, hw, 1.0, sigma), (other, hw, 1.0, sigma)


def _is_mirrored(a, b):
    return all(torch.allclose(u, v.flip(-1), atol=1e-4) for u, v in zip(a, b, strict=True))


SUM = See("target", "a heatmap: the highest cell holds 0.94, and the sum is 6.28; that of a probability is 1")
NARROW = See("target", "the sum of so narrow a bump is 0.56: divided by that it is a probability", sigma=0.3)
ONE = See("target", "argmax, which reads one cell, is 1.42 px off; DARK, which reads those beside it as well, 0.00")
SPREAD = See("flip",
             "the dots are spread evenly from the first pixel to the last: no longer 8 px lie between two of them",
             grid="unit length", stride=8)

PROBLEM = Problem(
    name="simcc_targets", points=2, minutes=15,
    reference=simcc_targets,
    own=("posebook.encode.simcc_targets",),
    cases=(
        Case("a keypoint at (8, 5) px, 2 bins per pixel: the peaks lie in bins 16 and 10",
             lambda rng: (torch.tensor([8.0, 5.0]), (12, 17), 2.0, 1.5), fixed=True),
        Case("a keypoint between the bins", lambda rng: _draw(rng, sigma=0.8), weight=2),
        Case("leading axes stay: (3, 4, 2) keypoints give (3, 4, 34) and (3, 4, 24)", lambda rng: _draw(rng, 3, 4)),
        Case("near the edge each sums to 1 all the same", _near_the_edge, weight=2),
        Case("4 bins per pixel and a wide bump", lambda rng: _draw(rng, 5, hw=(9, 6), ratio=4.0, sigma=6.0)),
        Case("a narrow bump", lambda rng: _draw(rng, 5, sigma=0.5)),
        Case("a bump narrower than a bin sums to 1 too", _between_bins),
        Case("1.3 bins per pixel: 17 px have round(22.1) = 22 bins, 12 px have round(15.6) = 16",
             lambda rng: _draw(rng, 5, ratio=1.3)),
        Case("as wide as high, so that shapes do not tell the axes apart", lambda rng: _draw(rng, 5, hw=(9, 9))),
        Case("at ratio 1 a mirrored keypoint has the mirrored target", _mirrored, holds=_is_mirrored),
        Case("float64, an image 4000 px wide", lambda rng: _draw(rng, 5, hw=(5, 4000), dtype=torch.float64), atol=1e-6),
    ),
    mistakes=(
        Mistake("The targets come in the order y, x: the one for x, with W * ratio bins, comes first.",
                changed(simcc_targets, result=lambda out: out[::-1])),
        Mistake("Height and width are swapped: `hw` is (height, width), and x has round(W * ratio) bins.",
                changed(simcc_targets, hw=lambda hw: (hw[1], hw[0]))),
        Mistake("x and y are swapped: `xy` has x first, and x runs along the width.",
                changed(simcc_targets, xy=lambda xy: xy.flip(-1))),
        Mistake("The targets have peak 1: divide each by its sum. Over one axis it is a probability, unlike a heatmap.",
                _with(share="bump"), see=SUM),
        Mistake("The density's factor 1 / (sigma sqrt(2 pi)) is not enough: near the edge part of the bump is missing, "
                "and a narrow one is not summed exactly. Divide by the sum over the bins.",
                _with(share=f"bump / (sigma * {math.sqrt(2 * math.pi)})"), see=CUT),
        Mistake("The targets are divided by their highest bin: divide by their sum.",
                _with(share="bump / bump.amax(-1, keepdim=True)"), see=SUM),
        Mistake("The sum is taken over the first axis: each keypoint's own target sums to 1, so sum over the last.",
                _with(share="bump / bump.sum(0)")),
        Mistake("This is the softmax of a Gaussian: `softmax` takes exponentials itself, so give it the exponents.",
                _with(share="bump.softmax(-1)"), see=FLAT),
        Mistake("All targets share one sum: each keypoint's own sums to 1, so sum over the last axis alone.",
                _with(share="bump / bump.sum()")),
        Mistake("The center is rounded to a bin: keep its fraction, that is what finer bins are for.",
                _with(center=f"({CENTER}).round()"), see=ROUNDED),
        Mistake("The center is cut to the bin below, as `int` and `long` do: keep its fraction.",
                _with(center=f"({CENTER}).floor()"), see=ROUNDED),
        Mistake("The keypoint is rounded to a pixel before it is counted in bins: keep its fraction.",
                changed(simcc_targets, xy=lambda xy: xy.round()), see=ROUNDED),
        Mistake("A rounded center, and the density's factor 1 / (sigma sqrt(2 pi)): popular code does so, but the "
                "statement wants the exact center, and a sum of 1.",
                _with(center=f"({CENTER}).round()", share=f"bump / (sigma * {math.sqrt(2 * math.pi)})"), see=ROUNDED),
        Mistake("One bin has it all: the statement wants a Gaussian of `sigma` bins, which also tells where between "
                "the bins the keypoint lies.",
                _with(bump="torch.zeros_like(bins - center).scatter(-1, (bins - center).abs().argmin(-1, True), 1.0)"),
                see=ONE),
        Mistake("The Gaussian is integrated over each bin: the statement wants its value at the bin.",
                _with(bump="torch.erf((bins - center + 0.5) / (2**0.5 * sigma)) "
                           "- torch.erf((bins - center - 0.5) / (2**0.5 * sigma))")),
        Mistake("`sigma` is taken in pixels: it is in bins. Measure the distance in bins too.",
                changed(simcc_targets, sigma=lambda sigma, ratio: sigma * ratio)),
        Mistake("`sigma` is divided by the ratio: it is in bins already.",
                changed(simcc_targets, sigma=lambda sigma, ratio: sigma / ratio)),
        Mistake("Bins lie at (i + 0.5) / ratio px: the statement puts bin i at i / ratio.",
                _with(center=f"{CENTER} - 0.5")),
        Mistake("A pixel's bins are centered on it, (i + 0.5) / ratio - 0.5 px: the statement puts bin i at i / ratio.",
                changed(simcc_targets, xy=lambda xy, ratio: xy + 0.5 - 0.5 / ratio), see=OFFSET),
        *(Mistake("The bins are spread evenly from 0 px to the last pixel, or to the width, as `linspace` does: bin i "
                  "lies at i / ratio px.",
                  _with(bins=f"torch.linspace(0, {last} * ratio, round(size * ratio), dtype=xy.dtype)"), see=SPREAD)
          for last in ("(size - 1)", "size")),
        Mistake("The ratio is missing in the center: x px is bin x * ratio.",
                changed(simcc_targets, xy=lambda xy, ratio: xy / ratio)),
        *(Mistake("The ratio divides where it should multiply: bin i lies at i / ratio px, so x px is bin x * ratio.",
                  answer) for answer in (_with(center="xy[..., axis, None] / ratio"),
                                         _with(center="xy[..., axis, None]", bins=f"ratio * {BINS}"))),
        Mistake("There is one bin per pixel: there are round(size * ratio) bins.",
                _with(bins="torch.arange(size)")),
        Mistake("The number of bins is cut, as `int` does: it is round(size * ratio).",
                _with(bins="torch.arange(int(size * ratio))")),
        Mistake("The number of bins is rounded up: it is round(size * ratio).",
                _with(bins="torch.arange(-int(-size * ratio // 1))")),
        Mistake("The 2 is missing: exp(-d^2 / (2 sigma^2)).",
                _with(bump="torch.exp(-((bins - center) ** 2) / sigma**2)")),
        Mistake("`sigma` is not squared: exp(-d^2 / (2 sigma^2)).",
                _with(bump="torch.exp(-((bins - center) ** 2) / (2 * sigma))")),
        Mistake("The distance is not squared: exp(-d / ...) has a sharp tip; a Gaussian has d^2.",
                _with(bump="torch.exp(-(bins - center).abs() / (2 * sigma**2))")),
        Mistake("The bump is cut off at 3 sigma: there it is still 0.011 of its peak. Every bin gets its value.",
                _with(bump=f"{BUMP} * ((bins - center).abs() <= 3 * sigma)")),
        Mistake("The keypoint is shared between its two neighboring bins: the statement wants a Gaussian of `sigma` "
                "bins.", _with(bump="(1 - (bins - center).abs()).clamp(min=0)")),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`xy[..., 0]` does not care.", edited(simcc_targets, edits)) for edits in (
            {"h, w": "x, y = xy\n    h, w"}, {"h, w": "b, k, _ = xy.shape\n    h, w"}, {"..., axis": ":, :, axis"})),
        Mistake("Part of it is computed in float32: the dtype of `xy` is wanted all the way.",
                changed(simcc_targets, xy=lambda xy: xy.float(),
                        result=lambda out, xy: tuple(target.to(xy.dtype) for target in out))),
        Mistake("The results are always float32. They should have the dtype of `xy`.",
                changed(simcc_targets, result=lambda out: tuple(target.float() for target in out))),
        Mistake("A sum below 1 is left as it is: divide by the sum, whatever it is.",
                _with(share="bump / bump.sum(-1, keepdim=True).clamp(min=1)"), see=NARROW),
        Mistake("A number is added to the sum that you divide by.",
                _with(share="bump / (bump.sum(-1, keepdim=True) + 0.001)")),
        Mistake("A number is added to the sum that you divide by.",
                _with(share="bump / (bump.sum(-1, keepdim=True) + 0.1)")),
        Mistake("These are logarithms of the target.", _with(share="(bump / bump.sum(-1, keepdim=True)).log()")),
        Mistake("The target is smoothed: every bin gets its value, and nothing is added.",
                _with(share="0.9 * bump / bump.sum(-1, keepdim=True) + 0.1 / len(bins)")),
        Mistake("Small values are set to 0: every bin gets its value.", _with(bump=f"(g := {BUMP}) * (g > 1e-4)")),
        Mistake("x and y share one sum: each of the two is a probability of its own.",
                changed(simcc_targets, result=lambda out: tuple(target / 2 for target in out))),
        Mistake("There is one bin too many: round(size * ratio) of them, from 0.",
                _with(bins="torch.arange(round(size * ratio) + 1)")),
        Mistake("The bins end at the last pixel's center: there are round(size * ratio), from 0.",
                _with(bins="torch.arange(round((size - 1) * ratio) + 1)")),
        Mistake("The ratio is used for x alone: y has as many bins per pixel.",
                _with(center="xy[..., axis, None] * (ratio if axis == 0 else 1)")),
        Mistake("Both targets lie in one tensor: a tuple of two is asked for.",
                changed(simcc_targets, result=lambda out: torch.cat(out, -1))),
    ),
    alternatives=(_by_softmax, _by_numpy, _by_density),
    clauses={
        "apart": "Both targets lie in one tensor",
        "`ratio` bins per pixel": "There is one bin per pixel",
        "bin $i$ at $i / \\mathrm{ratio}$ px": "Bins lie at",
        "a Gaussian over the bins": "One bin has it all",
        "of standard deviation `sigma` bins": "`sigma` is taken in pixels",
        "divided by its sum over the bins": "The targets have peak 1",
        "also where the image's edge cuts it": "The density's factor",
        "and whatever the sum is": "A sum below 1",
        "`round` is Python's": "The number of bins is cut",
        "The center is not rounded to a bin": "The center is rounded to a bin",
        "x first": "The targets come in the order y, x",
        "(height, width)": "Height and width are swapped",
        "points are (x, y) in px": "x and y are swapped",
        "tensors share one dtype, float32 or float64, and the result keeps it":
            "The results are always float32",
        "`...` stands for any number of leading axes, none included": "You count on one number of axes",
    },
)
