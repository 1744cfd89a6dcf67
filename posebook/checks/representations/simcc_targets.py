"""simcc_targets: its reference, cases and known mistakes."""

import math

import numpy as np
import torch

from posebook.checks.problem import Case, Mistake, Problem, uniform


def simcc_targets(xy, hw, ratio, sigma):
    """The plain solution."""
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


def _bump(apart, sigma):
    return torch.exp(-(apart**2) / (2 * sigma**2))


def _share(bump):
    return bump / bump.sum(-1, keepdim=True)


def _with(center=lambda x, ratio: x * ratio, bins=lambda size, ratio: torch.arange(round(size * ratio)), bump=_bump,
          after=_share):
    """The right answer with its center (in bins), its bins, its bump or its normalization changed."""

    def answer(xy, hw, ratio, sigma):
        targets = []
        for axis, size in enumerate((hw[1], hw[0])):
            apart = bins(size, ratio) - center(xy[..., axis, None], ratio)
            targets.append(after(bump(apart, sigma)))
        return tuple(targets)

    return answer


def _two_bins(xy, hw, ratio, sigma):
    return _with(bump=lambda apart, sigma: (1 - apart.abs()).clamp(min=0))(xy, hw, ratio, sigma)


def _popular(xy, hw, ratio, sigma):
    """What published code does: a rounded center and the density's factor."""
    x, y = simcc_targets((xy * ratio).round() / ratio, hw, ratio, sigma)
    density = 1 / (sigma * math.sqrt(2 * math.pi))
    return x / x.amax(-1, keepdim=True) * density, y / y.amax(-1, keepdim=True) * density


def _integrated(xy, hw, ratio, sigma):
    def edges(apart, sigma):
        normal = torch.distributions.Normal(0.0, sigma)
        return normal.cdf(apart + 0.5) - normal.cdf(apart - 0.5)

    return _with(bump=edges)(xy, hw, ratio, sigma)


def _spread(last):
    """Bins from 0 px to another last place."""

    def bins(size, ratio):
        n = round(size * ratio)
        return torch.arange(n) * (last(size) * ratio / max(n - 1, 1))

    return _with(bins=bins)


def _one_hot(apart, sigma):
    return torch.nn.functional.one_hot(apart.abs().argmin(-1), apart.shape[-1]).to(apart.dtype)


def _unpacks_one(xy, hw, ratio, sigma):
    x, y = xy
    return simcc_targets(torch.stack((x, y)), hw, ratio, sigma)


def _unpacks_three(xy, hw, ratio, sigma):
    b, k, _ = xy.shape
    return simcc_targets(xy, hw, ratio, sigma)


def _indexes_three(xy, hw, ratio, sigma):
    return simcc_targets(torch.stack((xy[:, :, 0], xy[:, :, 1]), -1), hw, ratio, sigma)


def _single_inside(xy, hw, ratio, sigma):
    return tuple(target.to(xy.dtype) for target in simcc_targets(xy.float(), hw, ratio, sigma))


def _draw(rng, *shape, hw=(12, 17), ratio=2.0, sigma=1.5, dtype=torch.float32):
    """Keypoints anywhere between the centers of the first and the last pixel."""
    return torch.rand(*shape, 2, generator=rng, dtype=dtype) * torch.tensor([hw[1] - 1, hw[0] - 1]), hw, ratio, sigma


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


PROBLEM = Problem(
    name="simcc_targets", points=2, minutes=15,
    reference=simcc_targets,
    own=("posebook.encode.simcc_targets",),
    cases=(
        Case("a keypoint at (8, 5) px, 2 bins a px: the peaks lie in bins 16 and 10",
             lambda rng: (torch.tensor([8.0, 5.0]), (12, 17), 2.0, 1.5)),
        Case("a keypoint between the bins", lambda rng: _draw(rng, sigma=0.8)),
        Case("leading axes stay: (3, 4, 2) keypoints give (3, 4, 34) and (3, 4, 24)", lambda rng: _draw(rng, 3, 4)),
        Case("near the edge each sums to 1 all the same", _near_the_edge),
        Case("4 bins a px and a wide bump", lambda rng: _draw(rng, 5, hw=(9, 6), ratio=4.0, sigma=6.0)),
        Case("a narrow bump", lambda rng: _draw(rng, 5, sigma=0.5)),
        Case("1.3 bins a px: 17 px have round(22.1) = 22 bins, 12 px have round(15.6) = 16",
             lambda rng: _draw(rng, 5, ratio=1.3)),
        Case("as wide as high, so that shapes do not tell the axes apart", lambda rng: _draw(rng, 5, hw=(9, 9))),
        Case("at ratio 1 a mirrored keypoint has the mirrored target", _mirrored, holds=_is_mirrored),
        Case("float64, an image 4000 px wide", lambda rng: _draw(rng, 5, hw=(5, 4000), dtype=torch.float64), atol=1e-6),
    ),
    mistakes=(
        Mistake("The targets come in the order y, x: the one for x, with W * ratio bins, comes first.",
                lambda *args: simcc_targets(*args)[::-1]),
        Mistake("Height and width are swapped: `hw` is (height, width), and x has round(W * ratio) bins.",
                lambda xy, hw, ratio, sigma: simcc_targets(xy, (hw[1], hw[0]), ratio, sigma)),
        Mistake("x and y are swapped: `xy` has x first, and x runs along the width.",
                lambda xy, hw, ratio, sigma: simcc_targets(xy.flip(-1), hw, ratio, sigma)),
        Mistake("The targets have peak 1: divide each by its sum. Over one axis it is a probability, unlike a heatmap.",
                _with(after=lambda bump: bump)),
        Mistake("The density's factor 1 / (sigma sqrt(2 pi)) is not enough: near the edge part of the bump is missing, "
                "and a narrow one is not summed exactly. Divide by the sum over the bins.",
                _with(bump=lambda apart, sigma: _bump(apart, sigma) / (sigma * math.sqrt(2 * math.pi)),
                      after=lambda bump: bump)),
        Mistake("The targets are divided by their highest bin: divide by their sum.",
                _with(after=lambda bump: bump / bump.amax(-1, keepdim=True))),
        Mistake("The sum is taken over the first axis: each keypoint's own target sums to 1, so sum over the last.",
                _with(after=lambda bump: bump / bump.sum(0))),
        Mistake("This is the softmax of a Gaussian: `softmax` takes exponentials itself, so give it the exponents.",
                _with(after=lambda bump: bump.softmax(-1))),
        Mistake("All targets share one sum: each keypoint's own sums to 1, so sum over the last axis alone.",
                _with(after=lambda bump: bump / bump.sum())),
        Mistake("The center is rounded to a bin: keep its fraction, that is what finer bins are for.",
                _with(center=lambda x, ratio: (x * ratio).round())),
        Mistake("The center is cut to the bin below, as `int` and `long` do: keep its fraction.",
                _with(center=lambda x, ratio: (x * ratio).floor())),
        Mistake("The keypoint is rounded to a pixel before it is counted in bins: keep its fraction.",
                _with(center=lambda x, ratio: x.round() * ratio)),
        Mistake("A rounded center, and the density's factor 1 / (sigma sqrt(2 pi)): popular code does so, but the "
                "statement wants the exact center, and a sum of 1.", _popular),
        Mistake("One bin has it all: the statement wants a Gaussian of `sigma` bins, which also tells where between "
                "the bins the keypoint lies.", _with(bump=_one_hot)),
        Mistake("The Gaussian is integrated over each bin: the statement wants its value at the bin.", _integrated),
        Mistake("`sigma` is taken in pixels: it is in bins. Measure the distance in bins too.",
                lambda xy, hw, ratio, sigma: simcc_targets(xy, hw, ratio, sigma * ratio)),
        Mistake("`sigma` is divided by the ratio: it is in bins already.",
                lambda xy, hw, ratio, sigma: simcc_targets(xy, hw, ratio, sigma / ratio)),
        Mistake("Bins lie at (i + 0.5) / ratio px: the statement puts bin i at i / ratio.",
                _with(center=lambda x, ratio: x * ratio - 0.5)),
        Mistake("A pixel's bins are centered on it, (i + 0.5) / ratio - 0.5 px: the statement puts bin i at i / ratio.",
                _with(center=lambda x, ratio: (x + 0.5) * ratio - 0.5)),
        *(Mistake("The bins are spread evenly from 0 px to the last pixel, or to the width, as `linspace` does: bin i "
                  "lies at i / ratio px.", _spread(last)) for last in (lambda size: size - 1, lambda size: size)),
        Mistake("The ratio is missing in the center: x px is bin x * ratio.", _with(center=lambda x, ratio: x)),
        *(Mistake("The ratio divides where it should multiply: bin i lies at i / ratio px, so x px is bin x * ratio.",
                  answer) for answer in (_with(center=lambda x, ratio: x / ratio),
                                         _with(center=lambda x, ratio: x,
                                               bins=lambda size, ratio: ratio * torch.arange(round(size * ratio))))),
        Mistake("There is one bin a pixel: there are round(size * ratio) bins.",
                _with(bins=lambda size, ratio: torch.arange(size))),
        Mistake("The number of bins is cut, as `int` does: it is round(size * ratio).",
                _with(bins=lambda size, ratio: torch.arange(int(size * ratio)))),
        Mistake("The number of bins is rounded up: it is round(size * ratio).",
                _with(bins=lambda size, ratio: torch.arange(math.ceil(size * ratio)))),
        Mistake("The 2 is missing: exp(-d^2 / (2 sigma^2)).",
                _with(bump=lambda apart, sigma: torch.exp(-(apart**2) / sigma**2))),
        Mistake("`sigma` is not squared: exp(-d^2 / (2 sigma^2)).",
                _with(bump=lambda apart, sigma: torch.exp(-(apart**2) / (2 * sigma)))),
        Mistake("The distance is not squared: exp(-d / ...) has a sharp tip; a Gaussian has d^2.",
                _with(bump=lambda apart, sigma: torch.exp(-apart.abs() / (2 * sigma**2)))),
        Mistake("The bump is cut off at 3 sigma: there it is still 0.011 of its peak. Every bin gets its value.",
                _with(bump=lambda apart, sigma: _bump(apart, sigma) * (apart.abs() <= 3 * sigma))),
        Mistake("The keypoint is shared between its two neighboring bins: the statement wants a Gaussian of `sigma` "
                "bins.", _two_bins),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`xy[..., 0]` does not care.", answer) for answer in (_unpacks_one, _unpacks_three, _indexes_three)),
        Mistake("Part of it is computed in float32: the dtype of `xy` is wanted all the way.", _single_inside),
        Mistake("The results are always float32. They should have the dtype of `xy`.",
                lambda *args: tuple(target.float() for target in simcc_targets(*args))),
    ),
    alternatives=(_by_softmax, _by_numpy, _by_density),
)
