"""The asymmetry explorer: how the bias of a lopsided peak grows with the stride depends on what is held fixed.

>>> for fixed in ("mu and sigma in px", "mu in px, sigma in cells"):
...     print(verdict(compute(State(fixed=fixed, stride=4))))
The law holds to 10 %: twice the stride, the same bias (from stride 2 to 4 it grew 1.00 times).
The law holds to 10 %: twice the stride, 16 times the bias (from stride 2 to 4 it grew 16.01 times).
"""

import functools
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posebook import theory
from posebook.expectation import soft_argmax
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number

STRIDES = (1, 2, 4, 8, 16)
BASE = 8  # the stride at which mu and sigma are given
FIXED = tuple(theory.ASYMMETRY_EXPONENTS)  # what the strides share
THREE = FIXED[-1]  # of them: the window has three cells only
REACH = 8  # standard deviations of the peak that the window holds each way, if the cubic leaves as much

POINTS = {
    "mode": ("square", _page.RED),
    "mean of the peak": ("triangle", _page.GREEN),
    "soft-argmax of its cells": ("circle", _page.BLUE),
    "law": ("diamond", _page.ORANGE),
}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: at stride ``BASE``, mu per px^3 and sigma in px; ``fixed`` says what at others."""

    fixed: str = choice("mu in px, sigma in cells", FIXED, width=230)
    stride: int = choice(8, STRIDES)
    mu: float = number(3e-4, 1e-5, 2e-3, step=0.02, log=True)
    tau: float = number(1.0, 0.1, 4, step=0.02, log=True)
    sigma: float = number(8.0, 2, 12, step=0.1)


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
    law: float  # of the bias, to first order
    growth: float  # of what is measured, from half of this stride to this one


def compute(state: State) -> Result:
    """Measure at every stride, and at half of this one."""
    mu, sigma, s = *_peak(state, state.stride), state.stride
    width = sigma * math.sqrt(state.tau)
    reach = _reach(mu, sigma, state.tau)
    measured, half = {stride: _measure(state, stride)[1] for stride in STRIDES}, _measure(state, s / 2)[1]
    return Result(
        state=state,
        mu=mu,
        sigma=sigma,
        gamma=mu * sigma**2 * width,
        reach=reach,
        cells=_measure(state, s)[0],
        mean=_mean(torch.linspace(-reach, reach, 401, dtype=torch.float64), mu, sigma, state.tau),
        measured=measured,
        law=_law(state, s),
        growth=measured[s] / half if half > 0 else math.inf,
    )


def _peak(state: State, stride: float) -> tuple[float, float]:
    """mu per px^3 and sigma in px at a stride."""
    ratio = stride / BASE
    mu = state.mu / ratio**3 if state.fixed == "mu and sigma in cells" else state.mu
    return mu, state.sigma * ratio if "cells" in state.fixed else state.sigma


def _scores(x: Tensor, mu: float, sigma: float) -> Tensor:
    return -x.square() / (2 * sigma**2) + mu * x**3 / 6


def _reach(mu: float, sigma: float, tau: float) -> float:
    """Half of the window: it ends where the cubic would turn the scores up again."""
    return min(REACH * sigma * math.sqrt(tau), 2 / (mu * sigma**2))


def _measure(state: State, stride: float) -> tuple[Tensor, float]:
    """The cells, one of them at the mode, and their soft-argmax."""
    mu, sigma = _peak(state, stride)
    n = 1 if state.fixed == THREE else max(1, int(_reach(mu, sigma, state.tau) / stride + 1e-9))
    x = stride * torch.arange(-n, n + 1, dtype=torch.float64)
    return x, _mean(x, mu, sigma, state.tau)


def _mean(x: Tensor, mu: float, sigma: float, tau: float) -> float:
    """Soft-argmax of a row of cells at evenly spaced x."""
    n = len(x) // 2
    return (soft_argmax(_scores(x, mu, sigma)[None], tau)[0].item() - n) * x[-1].item() / n


def _law(state: State, stride: float) -> float:
    """Bias to first order: a straight line in the logarithms."""
    if state.fixed == THREE:
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
    return f"{where}{peak} {bias} {verdict(result)}"


def verdict(result: Result) -> str:
    """What a doubled stride does to the bias, and whether the law holds here; if not, why."""
    s, measured, times = result.state, result.measured[result.state.stride], 2 ** _power(result.state.fixed)
    rule = "twice the stride, " + (f"{times} times the bias" if times > 1 else "the same bias")
    if abs(measured - result.law) <= 0.1 * result.law:
        seen = f"from stride {s.stride / 2:g} to {s.stride} it grew {result.growth:.2f} times"
        if abs(result.growth / times - 1) <= 0.2:
            return f"The law holds to 10 %: {rule} ({seen})."
        return f"The bias is that of the law to 10 %, but its rule ({rule}) fails here: {seen}."
    if s.fixed == THREE:
        why = "the taps reach too far down the peak"
    elif abs(result.mean - result.law) > 0.1 * result.law:
        why = f"the peak is too lopsided for a law of first order (gamma {result.gamma:.2f})"
    else:
        why = "the cells are too coarse for the peak"
    off = f"it says {_page.figure(result.law)} px, soft-argmax {_page.figure(measured)} px"
    return f"The law ({rule}) fails here, as {why}: {off}."


def _power(fixed: str) -> int:
    return theory.ASYMMETRY_EXPONENTS[fixed]


def table(result: Result) -> str:
    """The four points; its shapes are the panels' legend."""
    rows = [(_page.legend(*POINTS[name], name), _page.figure(x)) for name, x in _points(result).items()]
    return _page.table(("point", "x in px"), rows)


def view(result: Result) -> _page.View:
    """The peak and its cells; bias against stride for all that may be fixed."""
    panels = (
        _page.panel(f"softmax of the peak, stride {result.state.stride}", 402, 254, _left(result)),
        _page.panel("bias in px against the stride", 400, 254, _right(result)),
    )
    note = (
        f"The controls give mu (per px^3) and sigma (px) at stride {BASE}, so there all laws but that of three taps "
        "say the same. One cell lies at the mode. Black line: the law of what is fixed; gray: the other three laws; "
        "at their ends their powers of the stride. Dots: measured. The window ends where the cubic turns up again."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _points(result: Result) -> dict[str, float]:
    return dict(zip(POINTS, (0.0, result.mean, result.measured[result.state.stride], result.law), strict=True))


def _left(result: Result) -> str:
    """The peak within four standard deviations, a line up to each cell, and the four points."""
    tau, width = result.state.tau, result.sigma * math.sqrt(result.state.tau)
    plot = _page.Plot((1, 24, 400, 192), x=(-4 * width, 4 * width), y=(0.0, 1.12), log="")

    def heights(x: Tensor) -> list[float]:
        """The softmax over its value at the mode."""
        return (_scores(x, result.mu, result.sigma) / tau).exp().tolist()

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
        if at > plot.x[1]:
            parts.append(_page.words(f"{at:.0f} px, off this picture", right - 10, top + 4, color=color, anchor="end"))
        points.append(_page.mark(shape, color, right, top, name=name))
    return "".join(parts + points)


_PLOT = _page.Plot((36, 24, 302, 192), x=(0.85, 19.0), y=(1e-6, 1e4))  # stride, bias


@functools.cache
def _axes() -> str:
    """The same for every state."""
    labels = {1e-6: "1e-6", 1e-4: "1e-4", 1e-2: "0.01", 1.0: "1", 100.0: "100", 1e4: "1e4"}
    return _PLOT.axes({float(s): str(s) for s in STRIDES}, labels, "stride (three taps: or dilation) in px")


def _right(result: Result) -> str:
    """The law of what is fixed among the others, hollow dots where it was measured, a full one here."""
    state, low, high = result.state, *_PLOT.x
    strides = [low * (high / low) ** (i / 20) for i in range(21)]
    parts, ends = [_axes()], []
    for fixed in sorted(FIXED, key=state.fixed.__eq__):
        other = replace(state, fixed=fixed)
        line, text, width = (_page.INK, _page.INK, 2) if fixed == state.fixed else ("#9aa1a9", _page.GRAY, 1.5)
        parts.append(_PLOT.curve([(s, _law(other, s)) for s in strides], line, width))
        name = f"s^{_power(fixed)}{' taps' if fixed == THREE else ''}"
        ends.append((_PLOT.at(high, _law(other, high))[1], name, text))
    lowest = 0.0
    for down, power, color in sorted(ends):  # each at least a line below the one above
        lowest = max(lowest + 13, down + 4)
        parts.append(_page.words(power, _PLOT.box[0] + _PLOT.box[2] + 5, lowest, color=color))
    if state.fixed == THREE:
        exact = [(s, theory.three_tap_bias(state.mu, state.sigma, s, state.tau)) for s in strides]
        parts.append(_PLOT.curve(exact, stroke_dasharray="5 4"))
    for stride, bias in result.measured.items():
        if stride != state.stride and _PLOT.y[0] <= bias <= _PLOT.y[1]:
            right, down = _PLOT.at(stride, bias)
            hollow = {"fill": _page.PAPER, "stroke": _page.BLUE, "stroke_width": 2}
            parts.append(_page.tag("circle", cx=right, cy=down, r=4, **hollow))
    bias = result.measured[state.stride]
    right, down = _PLOT.at(state.stride, bias)
    if bias < _PLOT.y[0]:
        x, anchor = (right - 12, "end") if state.stride > 4 else (right + 12, "start")
        parts.append(_page.words(f"below: {_page.figure(bias)}", x, down - 6, color=_page.BLUE, anchor=anchor))
    parts.append(_page.mark("circle", _page.BLUE, right, down, scale=1.3, name="place"))
    return "".join(parts)


CHALLENGES = (
    Challenge(
        "With {fixed} fixed, at stride {stride}, reach a bias of more than {} px that the cells have no part in: "
        "from half of the stride it changes by less than {} of itself.",
        more(1, lambda result: result.measured[result.state.stride]),
        less(0.01, lambda result: abs(result.growth - 1)), fixed=FIXED[0], stride=16,
    ),
    Challenge(
        "At stride {stride}, make the peak too lopsided for the law: its mean is more than {} times as far from "
        "the mode as the law says.",
        more(1.2, lambda result: result.mean / result.law), stride=1,
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
