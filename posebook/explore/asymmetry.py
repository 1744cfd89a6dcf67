"""The asymmetry explorer: mean minus mode of a lopsided peak grows as which power of the stride? Say what is fixed.

>>> for fixed in FIXED:
...     print(f"{fixed}:", verdict(compute(State(fixed=fixed, stride=4))))
image px: Stride x 2, bias x 1. The first-order law holds.
shape in cells: Stride x 2, bias x 2. The first-order law holds.
width in cells: Stride x 2, bias x 16. The first-order law holds.
3 taps: Stride x 2, bias x 16. The small-stride law holds.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import _args, theory
from posebook.expectation import soft_argmax
from posebook.explore import _page

STRIDES = (1, 2, 4, 8, 16)
BASE = 8  # the stride at which mu and sigma are given
FIXED = {  # what the strides share -> its name in theory.ASYMMETRY_EXPONENTS
    "image px": "mu and sigma in px",
    "shape in cells": "mu and sigma in cells",
    "width in cells": "mu in px, sigma in cells",
    "3 taps": "mu and sigma in px, three taps",
}
MU, TAU, SIGMA = (1e-5, 2e-3), (0.1, 4.0), (2.0, 12.0)  # lowest and highest
REACH = 8  # standard deviations of the peak that the window holds each way, if the cubic leaves as much

POINTS = {
    "mode": ("square", _page.RED),
    "mean of the peak": ("triangle", _page.GREEN),
    "soft-argmax of its cells": ("circle", _page.BLUE),
    "law": ("diamond", _page.ORANGE),
}


@dataclass(frozen=True)
class State:
    """Where the controls stand: at stride ``BASE``, mu per px^3 and sigma in px; ``fixed`` says what at others."""

    fixed: str = "width in cells"
    stride: int = 8
    mu: float = 3e-4
    tau: float = 1.0
    sigma: float = 8.0

    def __post_init__(self):
        _args.one_of("fixed", self.fixed, tuple(FIXED))
        if self.stride not in STRIDES:
            _args.fail("stride", "one of " + ", ".join(map(str, STRIDES)), self.stride)
        for name, bounds in {"mu": MU, "tau": TAU, "sigma": SIGMA}.items():
            _args.within(name, getattr(self, name), bounds)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state; lengths in px, the mode at 0."""

    state: State
    mu: float  # per px^3, at this stride
    sigma: float  # px, at this stride
    gamma: float  # lopsidedness, mu sigma^3 sqrt(tau)
    reach: float  # half of the window, from the mode
    cells: Tensor  # places
    mean: float  # of the peak between the cells as well
    measured: dict[float, float]  # stride -> soft-argmax of the cells
    law: float
    exponent: int  # of the law
    slope: float  # of what is measured, here


def compute(state: State) -> Result:
    """Measure at every stride, and a little to either side of this one."""
    mu, sigma, s = *_peak(state, state.stride), state.stride
    width = sigma * math.sqrt(state.tau)
    reach = _reach(mu, sigma, state.tau)
    near = [_measure(state, s * step)[1] for step in (0.98, 1.02)]
    return Result(
        state=state,
        mu=mu,
        sigma=sigma,
        gamma=mu * sigma**2 * width,
        reach=reach,
        cells=_measure(state, s)[0],
        mean=_mean(torch.linspace(-reach, reach, 401, dtype=torch.float64), mu, sigma, state.tau),
        measured={stride: _measure(state, stride)[1] for stride in STRIDES},
        law=_law(state, s),
        exponent=theory.ASYMMETRY_EXPONENTS[FIXED[state.fixed]],
        slope=round(math.log(near[1] / near[0]) / math.log(1.02 / 0.98), 4) + 0.0 if min(near) > 0 else math.nan,
    )


def _peak(state: State, stride: float) -> tuple[float, float]:
    """mu per px^3 and sigma in px at a stride."""
    ratio = stride / BASE
    mu = state.mu / ratio**3 if state.fixed == "shape in cells" else state.mu
    return mu, state.sigma * ratio if "cells" in state.fixed else state.sigma


def _scores(x: Tensor, mu: float, sigma: float) -> Tensor:
    return -x.square() / (2 * sigma**2) + mu * x**3 / 6


def _reach(mu: float, sigma: float, tau: float) -> float:
    """Half of the window: it ends where the cubic would turn the scores up again."""
    return min(REACH * sigma * math.sqrt(tau), 2 / (mu * sigma**2))


def _measure(state: State, stride: float) -> tuple[Tensor, float]:
    """The cells, one of them at the mode, and their soft-argmax."""
    mu, sigma = _peak(state, stride)
    n = 1 if state.fixed == "3 taps" else max(1, int(_reach(mu, sigma, state.tau) / stride + 1e-9))
    x = stride * torch.arange(-n, n + 1, dtype=torch.float64)
    return x, _mean(x, mu, sigma, state.tau)


def _mean(x: Tensor, mu: float, sigma: float, tau: float) -> float:
    """Soft-argmax of a row of cells at evenly spaced x."""
    n = len(x) // 2
    return (soft_argmax(_scores(x, mu, sigma)[None], tau)[0].item() - n) * x[-1].item() / n


def _law(state: State, stride: float) -> float:
    """Bias to first order: a straight line in the logarithms."""
    if state.fixed == "3 taps":
        return state.mu * stride**4 / (9 * state.tau)
    return theory.asymmetry_bias(*_peak(state, stride), state.tau)


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s, show = result.state, _page.figure
    where = f"Fixed: {s.fixed}. Stride {s.stride}, tau {s.tau:.2f}, mu {show(result.mu)} per px^3, "
    peak = f"sigma {result.sigma:.2f} px: gamma = {show(result.gamma)}."
    bias = f"Mean minus mode in px: law {show(result.law)}, soft-argmax {show(result.measured[s.stride])}."
    return f"{where}{peak} {bias} Slope {result.exponent}, measured {result.slope:.2f}. {verdict(result)}"


def verdict(result: Result) -> str:
    """What a doubled stride does to the bias, and whether the law holds here; if not, why."""
    s, measured = result.state, result.measured[result.state.stride]
    power = f"Stride x 2, bias x {2**result.exponent}"
    if abs(measured - result.law) <= 0.1 * result.law:
        return f"{power}. The {'small-stride' if s.fixed == '3 taps' else 'first-order'} law holds."
    if s.fixed == "3 taps":
        return f"{power}: no longer, as the taps reach too far down the peak."
    if abs(result.mean - result.law) > 0.1 * result.law:
        return f"{power}: no longer, as the peak is too lopsided for first order (gamma {result.gamma:.2f})."
    return f"{power}: no longer, as the cells are too coarse for the peak."


def table(result: Result) -> str:
    """The four points; its shapes are the picture's legend."""
    rows = [(_page.legend(*POINTS[name], name), _page.figure(x)) for name, x in _points(result).items()]
    return _page.table(("point", "x in px"), rows)


def svg(result: Result) -> str:
    """The peak and its cells; bias against stride for all that may be fixed."""
    s = result.state
    return _page.picture(
        826, 254, sentence(result),
        _page.words(f"softmax, stride {s.stride}", 1, 14, color=_page.INK),
        _left(result),
        _page.words(f"bias in px, {s.fixed} fixed", 464, 14, color=_page.INK),
        _page.words(f"slope {result.exponent}, measured {result.slope:.2f}", 808, 14, color=_page.INK, anchor="end"),
        _right(result),
    )


def view(result: Result) -> str:
    """All that a move changes."""
    note = (
        f"mu (per px^3) and sigma (px) are those at stride {BASE}: there all laws but that of 3 taps meet. One cell "
        "lies at the mode. Gray: the other laws, with their slopes. The window ends where the cubic turns up again."
    )
    return _page.card(svg(result), table(result), verdict(result), note)


def _points(result: Result) -> dict[str, float]:
    return dict(zip(POINTS, (0.0, result.mean, result.measured[result.state.stride], result.law), strict=True))


def _left(result: Result) -> str:
    """The peak within four standard deviations, a line up to each cell, and the four points."""
    tau, width = result.state.tau, result.sigma * math.sqrt(result.state.tau)
    plot = _page.Plot((1, 24, 400, 192), x=(-4 * width, 4 * width), y=(0.0, 1.12), log="")
    heights = _Heights(result.mu, result.sigma, tau)
    reach = min(result.reach, plot.x[1])
    x = torch.linspace(-reach, reach, 121, dtype=torch.float64)
    cells = result.cells[(result.cells >= plot.x[0]) & (result.cells <= plot.x[1])]
    stems = "".join(
        "M{:.1f} {:.1f}V{:.1f}".format(*plot.at(a, b), plot.at(a, 0)[1])
        for a, b in zip(cells.tolist(), heights(cells), strict=True)
    )
    points, parts = [], [
        plot.level(0.0, _page.GRAY),
        _page.tag("path", d=stems, stroke=_page.BLUE, stroke_width=2, stroke_opacity=0.45),
        plot.curve(zip(x.tolist(), heights(x), strict=True)),
    ]
    for step in (-3, -2, -1, 0, 1, 2, 3):
        right, down = plot.at(step * width, 0)
        parts.append(_page.words(f"{step * width:.3g}", right, down + 15, anchor="middle"))
    parts.append(_page.words("x in px", 401, 246, anchor="end"))
    for (name, at), height in zip(_points(result).items(), (1.0, 0.72, 0.14, 0.42), strict=True):
        (right, top), bottom = plot.at(at, height), plot.at(0, 0)[1]
        shape, color = POINTS[name]
        parts.append(_page.tag("line", x1=right, x2=right, y1=top, y2=bottom, stroke=color, stroke_width=1.2))
        points.append(_page.mark(shape, color, right, top, name=name))
    return "".join(parts + points)


@dataclass(frozen=True)
class _Heights:
    """The softmax over its value at the mode."""

    mu: float
    sigma: float
    tau: float

    def __call__(self, x: Tensor) -> list[float]:
        return (_scores(x, self.mu, self.sigma) / self.tau).exp().tolist()


_PLOT = _page.Plot((464, 24, 344, 192), x=(0.85, 19.0), y=(1e-5, 100.0))  # stride, bias


@functools.cache
def _axes() -> str:
    """The same for every state."""
    labels = {1e-4: "1e-4", 1e-2: "0.01", 1.0: "1", 100.0: "100"}
    return _PLOT.axes({float(s): str(s) for s in STRIDES}, labels, "stride s (3 taps: or dilation) in px")


def _right(result: Result) -> str:
    """The law of what is fixed among the others, hollow dots where it was measured, a full one here."""
    state, low, high = result.state, *_PLOT.x
    strides = [low * (high / low) ** (i / 20) for i in range(21)]
    parts = [_axes()]
    for fixed in sorted(FIXED, key=state.fixed.__eq__):
        other = State(fixed, state.stride, state.mu, state.tau, state.sigma)
        look = (_page.INK, 2) if fixed == state.fixed else (_page.LINE, 1.5)
        parts.append(_PLOT.curve([(s, _law(other, s)) for s in strides], *look))
        end = _law(other, high)
        if end <= _PLOT.y[1] and fixed in (state.fixed, "image px", "shape in cells", "width in cells"):
            color = _page.INK if fixed == state.fixed else _page.GRAY
            power = str(theory.ASYMMETRY_EXPONENTS[FIXED[fixed]])
            parts.append(_page.words(power, 813, _PLOT.at(high, end)[1] + 4, color=color))
    if state.fixed == "3 taps":
        exact = [(s, theory.three_tap_bias(state.mu, state.sigma, s, state.tau)) for s in strides]
        parts.append(_PLOT.curve(exact, stroke_dasharray="5 4"))
    for stride, bias in result.measured.items():
        if stride != state.stride and _PLOT.y[0] <= bias <= _PLOT.y[1]:
            right, down = _PLOT.at(stride, bias)
            hollow = {"fill": _page.PAPER, "stroke": _page.BLUE, "stroke_width": 2}
            parts.append(_page.tag("circle", cx=right, cy=down, r=4, **hollow))
    here = _PLOT.at(state.stride, result.measured[state.stride])
    parts.append(_page.mark("circle", _page.BLUE, *here, scale=1.3, name="place"))
    return "".join(parts)


def png(result: Result) -> bytes:
    """The two pictures, for pages without a kernel."""
    from posebook import draw  # matplotlib is slow to import, and no move needs it

    s, width = result.state, result.sigma * math.sqrt(result.state.tau)
    fig, (peak, bias) = draw.axes(2, width=8.6)
    heights = _Heights(result.mu, result.sigma, s.tau)
    reach = min(result.reach, 4 * width)
    x = torch.linspace(-reach, reach, 241, dtype=torch.float64)
    peak.plot(x.tolist(), heights(x), color=_page.INK)
    cells = result.cells[result.cells.abs() <= 4 * width]
    peak.vlines(cells.tolist(), 0, heights(cells), color=_page.BLUE, alpha=0.45)
    for (name, at), style in zip(_points(result).items(), ("-", "--", "-.", ":"), strict=True):
        peak.axvline(at, color=POINTS[name][1], linestyle=style, label=f"{name}: {_page.figure(at)}")
    peak.set(title=f"softmax, stride {s.stride}", xlabel="x in px", ylim=(0, 1.1))
    peak.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for fixed in FIXED:
        other = State(fixed, s.stride, s.mu, s.tau, s.sigma)
        color = _page.INK if fixed == s.fixed else _page.LINE
        bias.loglog(STRIDES, [_law(other, stride) for stride in STRIDES], color=color)
    positive = {stride: value for stride, value in result.measured.items() if value > 0}
    bias.plot(positive.keys(), positive.values(), "o", color=_page.BLUE, fillstyle="none")
    if s.stride in positive:
        bias.plot(s.stride, positive[s.stride], "o", color=_page.BLUE)
    bias.set(title=f"bias in px: slope {result.exponent}", xlabel="stride in px", ylim=_PLOT.y)
    bias.set_xticks(STRIDES, list(map(str, STRIDES)))
    bias.minorticks_off()
    return draw.png(fig)


def explore(**start: float | str) -> _page.Explorer:
    """The explorer; ``explore(fixed="image px", mu=1e-4)`` starts there."""
    s = State(**start)
    controls = {
        "fixed": _page.choice("fixed", s.fixed, tuple(FIXED), width=125),
        "stride": _page.choice("stride", s.stride, STRIDES),
        "mu": _page.number("mu", s.mu, *MU, step=0.02, log=True),
        "tau": _page.number("tau", s.tau, *TAU, step=0.02, log=True),
        "sigma": _page.number("sigma", s.sigma, *SIGMA, step=0.1),
    }
    return _page.Explorer(s, controls, compute=compute, view=view, sentence=sentence, png=png)
