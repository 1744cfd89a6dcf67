"""The temperature explorer: how wide a softmax is, how far off its mean is, and why neither says the other.

>>> for tau in (0.01, 0.3, 1.5, 10.0):
...     print(verdict(compute(State(tau=tau))))
The grid decides: the Gaussian formula says -0.38 nats, and no entropy is negative. Too sharp: grid and noise decide.
Gaussian: the entropy is that of the formula. Too sharp: grid and noise decide.
Gaussian: the entropy is that of the formula. The sweet spot.
The border decides: it cuts off what the formula counts. Too flat: the border pulls.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import theory
from posebook.decode import argmax
from posebook.expectation import soft_argmax, spatial_softmax, spread
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, explorer, number

HW = (18, 24)  # of the map
CELL = 8, 7  # x and y of the keypoint at phase 0, off the map's center
DRAWS = 24  # of noise, always the same
TAU = 0.002, 20.0  # lowest and highest
TAUS = tuple(TAU[0] * 10 ** (i / 6) for i in range(25))  # of the curves

KEYPOINT = "reticle", _page.INK
MARKS = {"here": ("circle", _page.BLUE), "sweet spot": ("diamond", _page.ORANGE), "argmax": ("square", _page.RED)}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: a Gaussian's logits, ``sigma`` wide, ``phase`` from the center of a cell."""

    tau: float = number(0.1, *TAU, step=0.02, log=True)
    sigma: float = number(2.0, 0.5, 3, step=0.05)
    noise: float = number(0.3, 0.02, 1, step=0.02, log=True)
    phase: float = number(0.3, 0, 0.5, step=0.01)


@dataclass(frozen=True)
class Curves:
    """What follows from all of a state but tau; one value for each of ``TAUS``. Lengths in cells."""

    entropy: tuple[float, ...]  # of the softmax without noise
    spread: tuple[float, ...]  # its standard deviation per axis
    rms: tuple[float, ...]  # of soft-argmax's error under noise, per axis
    argmax: float  # the same of argmax


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state; lengths in cells."""

    state: State
    prob: Tensor  # (H, W), softmax without noise
    mean: tuple[float, float]
    covariance: Tensor  # (2, 2), of prob
    entropy: float
    gaussian: float  # entropy by the formula for a wide peak
    q: float  # width of the Gaussian
    spread: float  # of prob: its standard deviation per axis
    estimates: Tensor  # (DRAWS, 2), soft-argmax under noise
    rms: float  # of their errors, per axis
    best: int  # index in TAUS of the lowest rms
    curves: Curves


def compute(state: State) -> Result:
    """Spread of the softmax without noise, and what soft-argmax says under each draw of noise."""
    clean, keypoint = _logits(state.sigma, state.phase)
    prob = spatial_softmax(clean, state.tau)
    entropy, covariance = spread(clean, state.tau)
    estimates = soft_argmax((clean + state.noise * _draws()).float(), state.tau)
    q = math.sqrt(state.tau) * state.sigma
    curves = _curves(state.sigma, state.noise, state.phase)
    return Result(
        state=state,
        prob=prob,
        mean=tuple(soft_argmax(clean, state.tau).tolist()),
        covariance=covariance,
        entropy=abs(entropy.item()),  # round-off may leave -0.0
        gaussian=theory.gaussian_entropy(q**2 * torch.eye(2)).item(),
        q=q,
        spread=math.sqrt(covariance.trace().item() / 2),
        estimates=estimates,
        rms=(estimates - keypoint).square().mean().sqrt().item(),
        best=min(range(len(TAUS)), key=curves.rms.__getitem__),
        curves=curves,
    )


def _logits(sigma: float, phase: float) -> tuple[Tensor, Tensor]:
    """Logits (H, W) and their keypoint."""
    keypoint = torch.tensor([CELL[0] + phase, CELL[1]], dtype=torch.float64)
    y, x = (torch.arange(n, dtype=torch.float64) for n in HW)
    return ((x - keypoint[0]).square() + (y - keypoint[1]).square()[:, None]) / (-2 * sigma**2), keypoint


@functools.cache
def _draws() -> Tensor:
    return torch.randn(DRAWS, *HW, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@functools.lru_cache(64)
def _curves(sigma: float, noise: float, phase: float) -> Curves:
    clean, keypoint = _logits(sigma, phase)
    taus = torch.tensor(TAUS, dtype=torch.float64)[:, None, None]
    entropy, covariance = spread(clean / taus)
    noisy = (clean + noise * _draws()).float()
    errors = soft_argmax(noisy / taus.float()[:, None]) - keypoint  # (taus, DRAWS, 2)
    return Curves(
        entropy=tuple(entropy.tolist()),
        spread=tuple((covariance.diagonal(dim1=1, dim2=2).mean(1).sqrt()).tolist()),
        rms=tuple(errors.square().mean((1, 2)).sqrt().tolist()),
        argmax=(argmax(noisy) - keypoint).square().mean().sqrt().item(),
    )


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s, best = result.state, result.best
    settings = f"Tau {_page.figure(s.tau)}, sigma {s.sigma:.2f}, noise {s.noise:.2f}, phase {s.phase:.2f}"
    entropy = f"Entropy {result.entropy:.2f} nats, by the Gaussian formula {result.gaussian:.2f}."
    errors = f"Spread of p {_page.figure(result.spread)} cells, RMS error of its mean {_page.figure(result.rms)}"
    least = f"best {_page.figure(result.curves.rms[best])} at tau {_page.figure(TAUS[best])}"
    errors += f", {least}, argmax {result.curves.argmax:.2f}"
    return f"{settings}: q = {result.q:.2f} cells. {entropy} {errors}. {verdict(result)}"


def verdict(result: Result) -> str:
    """Who decides how wide p is, and who how far off its mean is?"""
    if result.gaussian < 0:
        formula = f"the Gaussian formula says {result.gaussian:.2f} nats, and no entropy is negative"
        entropy = f"The grid decides: {formula}."
    elif abs(result.entropy - result.gaussian) < 0.05:
        entropy = "Gaussian: the entropy is that of the formula."
    elif result.q < 1:
        entropy = "The grid shows: the entropy is not that of the formula."
    else:
        entropy = "The border decides: it cuts off what the formula counts."
    if result.curves.argmax == 0:
        return f"{entropy} Argmax is exact: the keypoint lies on a cell, and the noise is low."
    if result.rms <= 1.1 * result.curves.rms[result.best] + 1e-6:
        return f"{entropy} The sweet spot."
    sharp = result.state.tau < TAUS[result.best]
    return f"{entropy} {'Too sharp: grid and noise decide.' if sharp else 'Too flat: the border pulls.'}"


def table(result: Result) -> str:
    """The place and two others; its shapes are the panels' legend."""
    curves, best = result.curves, result.best
    rows = {
        "here": (_page.figure(result.state.tau), result.spread, result.rms),
        "sweet spot": (_page.figure(TAUS[best]), curves.spread[best], curves.rms[best]),
        "argmax": ("0", 0.0, curves.argmax),
    }
    cells = [(_page.legend(*MARKS[name], name), tau, *map(_page.figure, rest)) for name, (tau, *rest) in rows.items()]
    return _page.table(("in cells", "tau", "spread of p", "RMS error"), cells)


def view(result: Result) -> _page.View:
    """The softmax with its ellipse and the estimates; entropy and error against tau."""
    h, w = HW
    around = (CELL[0] - 8, CELL[1] - 6, 16, 12)
    heatmap = _page.heatmap(result.prob, -0.5, -0.5, w, h)
    keypoint = _page.mark(*KEYPOINT, CELL[0] + result.state.phase, CELL[1], scale=16 / 256, name="keypoint")
    nats, cells = _axes()
    panels = (
        _page.panel(
            f"softmax p, 16 x 12 of its {w} x {h} cells", 258, 254,
            _page.window(1, 24, 256, 192, around, heatmap, keypoint, _estimates(result), _ellipse(result)),
            _page.words("Ellipse: one standard deviation of p.", 1, 231),
            _page.words("Dots: its mean under each draw of noise.", 1, 246),
        ),
        _page.panel("entropy in nats", 246, 254, nats, _entropy(result)),
        _page.panel("RMS error of the mean per axis, in cells", 272, 254, cells, _error(result)),
    )
    note = (
        f"Logits of a Gaussian, plus white noise: the same {DRAWS} draws at each tau. The RMS is over draws, x and y. "
        "Entropy and spread are without noise. Dashed: laws of a wide peak far from the border."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _estimates(result: Result) -> str:
    """A dot for each draw of noise, in cells."""
    dots = "".join(f"M{x:.2f} {y:.2f}h0" for x, y in result.estimates.tolist())
    return _page.tag("path", d=dots, stroke=_page.BLUE, stroke_width=0.22, stroke_linecap="round")


def _ellipse(result: Result) -> str:
    """One standard deviation of the softmax around its mean, in cells."""
    (xx, xy), (_, yy) = result.covariance.tolist()
    middle, half = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    x, y = result.mean
    turn = f"translate({x:.3f} {y:.3f}) rotate({math.degrees(math.atan2(2 * xy, xx - yy) / 2):.2f})"
    radii = {"rx": math.sqrt(middle + half), "ry": math.sqrt(max(middle - half, 0))}
    radii = {name: max(radius, 0.08) for name, radius in radii.items()}  # one of 0 would not be drawn
    return "".join(
        _page.tag("ellipse", **radii, transform=turn, fill="none", stroke=color, stroke_width=width)
        for color, width in ((_page.PAPER, 0.28), (_page.ORANGE, 0.14))
    )


_NATS = _page.Plot((26, 24, 212, 192), x=TAU, y=(-3.0, 7.0), log="x")
_CELLS = _page.Plot((42, 24, 224, 192), x=TAU, y=(1e-3, 10.0))
_TICKS = {0.01: "0.01", 0.1: "0.1", 1.0: "1", 10.0: "10"}


@functools.cache
def _axes() -> tuple[str, str]:
    """What is the same for every state, in the two plots."""
    left, _, width, _ = _NATS.box
    tie = _NATS.at(TAU[0], math.log(2))[1]
    nats = "".join([
        _NATS.axes(_TICKS, {float(n): str(n) for n in (-2, 0, 2, 4, 6)}, "tau"),
        _NATS.level(0.0, _page.GRAY), _NATS.level(math.log(2), _page.GRAY, stroke_dasharray="2 3"),
        _page.words("ln 2: a tie", left + width - 2, tie - 4, anchor="end"),
        _page.words(f"ln {HW[0] * HW[1]}: all cells", left + 2, _NATS.at(1, math.log(HW[0] * HW[1]))[1] - 4),
        _NATS.level(math.log(HW[0] * HW[1]), _page.GRAY, stroke_dasharray="2 3"),
    ])
    levels = {1e-3: "0.001", 1e-2: "0.01", 0.1: "0.1", 1.0: "1", 10.0: "10"}
    return nats, _CELLS.axes(_TICKS, levels, "tau")


def _entropy(result: Result) -> str:
    """The entropy, the line of a Gaussian, and where that crosses zero."""
    s, plot = result.state, _NATS
    formula = [(tau, math.log(2 * math.pi * math.e * tau * s.sigma**2)) for tau in _fine()]
    crossing = (theory.ENTROPY_CROSSOVER / s.sigma) ** 2
    right, zero = plot.at(crossing, 0)
    bottom = plot.box[1] + plot.box[3]
    parts = [plot.curve(formula, _page.GREEN, stroke_dasharray="6 4")]
    if TAU[0] < crossing:
        parts += _page.tag("line", x1=right, x2=right, y1=zero, y2=bottom, stroke=_page.GREEN)
        beside = {"x": right + 6} if right < 120 else {"x": right - 6, "anchor": "end"}
        parts += _page.words("q = 0.242", y=bottom - 22, color=_page.GREEN, **beside)
        parts += _page.words("Gaussian below 0", y=bottom - 7, color=_page.GREEN, **beside)
    parts += plot.curve(zip(TAUS, result.curves.entropy, strict=True))
    return "".join(parts) + _page.mark(*MARKS["here"], *plot.at(s.tau, result.entropy), name="entropy")


def _error(result: Result) -> str:
    """The error of the mean, what the law of noise says, the spread of p, argmax, and the sweet spot."""
    s, plot, curves = result.state, _CELLS, result.curves
    left, _, width, _ = plot.box
    at_one = math.sqrt(theory.noise_variance(s.noise, 1.0, 1.0))  # whatever the width; else it falls as 1 / tau
    law = [(tau, at_one / tau) for tau in _fine()]
    level = plot.at(1, curves.argmax)[1]
    name = _page.words(f"argmax {curves.argmax:.2f}", left + 2, level - 5, color=_page.RED)
    top = plot.at(1, curves.spread[-1])[1]
    spread = _page.words("spread of p", left + width - 2, top - 6, color=_page.GREEN, anchor="end")
    return "".join([
        plot.level(curves.argmax, _page.RED, stroke_dasharray="4 3"), name,
        plot.curve(law, _page.BLUE, 1.5, stroke_dasharray="6 4"),
        plot.curve(zip(TAUS, curves.spread, strict=True), _page.GREEN, 1.5),
        spread,
        plot.curve(zip(TAUS, curves.rms, strict=True)),
        _page.mark(*MARKS["sweet spot"], *plot.at(TAUS[result.best], curves.rms[result.best]), name="sweet spot"),
        _page.mark(*MARKS["here"], *plot.at(s.tau, result.rms), name="error"),
    ])


@functools.cache
def _fine() -> tuple[float, ...]:
    return tuple(TAU[0] * 10 ** (i / 8) for i in range(33))


CHALLENGES = (
    Challenge(
        "At noise {noise:g}, find the tau at which the RMS error is least, to less than {} times that of the "
        "sweet spot.",
        less(1.02, lambda result: result.rms / result.curves.rms[result.best]), noise=1.0,
    ),
    Challenge(
        "Make p wide and its mean right: spread above {} cells, RMS error below {} cells.",
        more(3, lambda result: result.spread), less(0.05, lambda result: result.rms),
    ),
    Challenge(
        "Make p narrow and its mean wrong: spread below {} cells, RMS error above {} cells.",
        less(0.1, lambda result: result.spread), more(1, lambda result: result.rms),
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
