"""The fusion explorer: two heads, their mean, and the bowl of its variance over the weight.

>>> print(verdict(compute(State(s1=1.0, s2=1.0, r=0.0, reported=2**0.5))))
The bowl is flat: 0.17 off the best weight, the naive mean has 1.11 times the best variance.
>>> print(verdict(compute(State(s1=1.0, s2=2.0, r=0.8, reported=2.0))))
The best weight, 1.33, is outside [0, 1]: r is past 0.50. The naive mean has 1.64 times the best variance, worse than \
head 1 alone.
"""

import functools
import math
from dataclasses import dataclass

import torch

from posebook import fusion, theory
from posebook.explore import _page
from posebook.explore._controls import Checked, explorer, number

ESTIMATES = (-1.0, 1.0)  # of the heads in px

HEADS = {"head 1": ("square", _page.BLUE), "head 2": ("diamond", _page.ORANGE)}
NAIVE, BEST = ("circle", _page.GREEN), ("reticle", _page.INK)


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: standard deviations in px, the heads' correlation, and what head 2 says its own is."""

    s1: float = number(1.0, 0.5, 4, step=0.05, label="sd 1")
    s2: float = number(1.5, 0.5, 4, step=0.05, label="sd 2")
    r: float = number(0.0, -0.5, 0.9, step=0.02)
    reported: float = number(1.1, 0.25, 8, step=0.02, log=True)


@dataclass(frozen=True)
class Mean:
    """A weighted mean of the heads, in px."""

    weight: float  # of head 1
    estimate: float
    variance: float  # in truth
    times: float  # the best variance


@dataclass(frozen=True)
class Result:
    """What follows from a state."""

    state: State
    best: Mean  # knows variances and correlation
    naive: Mean  # takes the reported variance, and the heads for independent
    better: Mean  # head alone
    name: str  # of that head
    says: float  # variance that the naive mean reports
    limit: float  # correlation past which the best weight leaves [0, 1]


def compute(state: State) -> Result:
    """Fuse two estimates both ways; variances by the closed forms."""
    v1, v2, claimed = state.s1**2, state.s2**2, state.reported**2
    c = state.r * state.s1 * state.s2
    estimates = torch.tensor(ESTIMATES, dtype=torch.float64)[:, None]
    best, variance = fusion.fuse_correlated(estimates, torch.tensor([[v1, c], [c, v2]], dtype=torch.float64))
    naive, says = fusion.fuse_inverse_variance(estimates, torch.tensor([v1, claimed], dtype=torch.float64))
    least = variance.item()

    def mean(weight: float, estimate: float) -> Mean:
        v = actual(state, weight)
        return Mean(weight, estimate, v, v / least)

    first = v1 <= v2
    return Result(
        state=state,
        best=mean(theory.optimal_weight(v1, v2, state.r), best.item()),
        naive=mean(theory.optimal_weight(v1, claimed), naive.item()),
        better=mean(float(first), ESTIMATES[not first]),
        name="head 1" if first else "head 2",
        says=says.item(),
        limit=min(state.s1, state.s2) / max(state.s1, state.s2),
    )


def actual(state: State, weight: float) -> float:
    """Variance of the mean with this weight of head 1: the bowl."""
    a, b = weight * state.s1, (1 - weight) * state.s2
    return a * a + b * b + 2 * state.r * a * b


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s, best, naive = result.state, result.best, result.naive
    heads = f"Standard deviations {s.s1:.2f} and {s.s2:.2f} px, r = {s.r:.2f}, head 2 reports {s.reported:.2f} px."
    weights = f"Weight of head 1: best {best.weight:.2f}, naive {naive.weight:.2f}."
    variances = f"Variance: best {best.variance:.2f}, naive {naive.variance:.2f}, which reports {result.says:.2f}."
    return f"{heads} {weights} {variances} {verdict(result)}"


def verdict(result: Result) -> str:
    """What the naive mean costs, and whether the best one is a mean in between."""
    best, naive = result.best, result.naive
    cost = f"the naive mean has {naive.times:.2f} times the best variance"
    if naive.variance > result.better.variance * (1 + 1e-9):
        cost += f", worse than {result.name} alone"
    if not -1e-9 <= best.weight <= 1 + 1e-9:
        return f"The best weight, {best.weight:.2f}, is outside [0, 1]: r is past {result.limit:.2f}. {_upper(cost)}."
    if naive.times < 1.005:
        return "The naive mean is as good as the best."
    off = abs(naive.weight - best.weight)
    if naive.times < 1.15:
        return f"The bowl is flat: {off:.2f} off the best weight, {cost}."
    return f"{off:.2f} off the best weight, {cost}."


def table(result: Result) -> str:
    """Weights and variances; its shapes are the panels' legend."""
    rows = []
    for mark, name, m in (
        (BEST, "best mean", result.best),
        (NAIVE, "naive mean", result.naive),
        (HEADS[result.name], f"{result.name} alone", result.better),
    ):
        cells = f"{m.weight:.2f}", f"{math.sqrt(m.variance):.2f}", f"{m.variance:.2f}", f"{m.times:.2f}"
        rows.append((_page.legend(*mark, name), *cells))
    says = result.says
    rows.append(("naive reports", "", f"{math.sqrt(says):.2f}", f"{says:.2f}", f"{says / result.best.variance:.2f}"))
    return _page.table(("estimate", "weight", "sd in px", "variance", "/ best"), rows)


def view(result: Result) -> _page.View:
    """The bells around what the heads say, and the bowl."""
    panels = (
        _page.panel("errors as bells around the estimates", 412, 254, _bells(result)),
        _page.panel("the bowl: variance of the mean / best variance", 362, 254, _axes(), _bowl(result)),
    )
    note = (
        "Head 1 says -1 px, head 2 says +1 px. Dotted: head 2 as it reports itself. The naive mean weights by "
        "1 / reported variance and ignores the correlation. Without correlation, a variance that is misjudged by a "
        "factor of 2 (a standard deviation, of 1.41) costs 11 % for equal heads and 12.5 % at most."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


# The bells: x in px, each with the area 1; the tallest fills the picture.

_BELLS, _REACH = (1, 24, 410, 192), 6.0


def _shapes(result: Result) -> list[tuple[str, float, float, tuple[str, str], dict[str, object]]]:
    """Name, center, standard deviation, mark and line of each bell."""
    s = result.state
    solid, strong = {"stroke_width": 1.5}, {"stroke_width": 2.5}
    return [
        ("reported", ESTIMATES[1], s.reported, HEADS["head 2"], solid | {"stroke_dasharray": "2 4"}),
        ("head 1", ESTIMATES[0], s.s1, HEADS["head 1"], solid),
        ("head 2", ESTIMATES[1], s.s2, HEADS["head 2"], solid),
        ("naive", result.naive.estimate, math.sqrt(result.naive.variance), NAIVE, strong),
        ("best", result.best.estimate, math.sqrt(result.best.variance), BEST, strong | {"stroke_dasharray": "7 4"}),
    ]


def _bells(result: Result) -> str:
    left, top, width, height = _BELLS
    bells = _shapes(result)
    tall = 0.88 * height * min(sd for _, _, sd, _, _ in bells)
    at = functools.partial(_across, left, width, -_REACH, _REACH)
    lines, marks, axis = [], [], top + height - 12
    for name, center, sd, (shape, color), line in bells:
        points = " ".join(
            f"{at(center + z * sd):.1f},{axis - tall / sd * math.exp(-z * z / 2):.1f}" for z in _STEPS
        )
        lines.append(_page.tag("polyline", points=points, fill="none", stroke=color, data_name=name, **line))
        if name != "reported":
            marks.append(_page.mark(shape, color, at(center), axis, scale=0.8, name=name))
    base = _page.tag("line", x1=left, x2=left + width, y1=axis, y2=axis, stroke=_page.LINE)
    ticks = (_page.words(f"{x}", at(x), top + height + 15, anchor="middle") for x in (-5, -3, -1, 1, 3, 5))
    unit = _page.words("px", left + width, top + height + 30, anchor="end")
    return _page.window(*_BELLS, tuple(map(float, _BELLS)), base, *lines, *marks) + "".join(ticks) + unit


_STEPS = [k / 8 for k in range(-28, 29)]

# The bowl: weight of head 1 across, variance over the best upwards.

_BOWL, _W, _TIMES = (30, 24, 325, 192), (-0.75, 1.75), (0.9, 3.0)


def _across(left: float, width: float, low: float, high: float, value: float) -> float:
    return left + width * (value - low) / (high - low)


def _at(weight: float, times: float) -> tuple[float, float]:
    left, top, width, height = _BOWL
    return _across(left, width, *_W, weight), _across(top + height, -height, *_TIMES, times)


@functools.cache
def _axes() -> str:
    """The weights that lie in between, and the levels: the same for every state."""
    left, top, width, height = _BOWL
    a, b = _at(0, 1)[0], _at(1, 1)[0]
    parts = [
        _page.tag("rect", x=a, y=top, width=b - a, height=height, fill=_page.GRAY, fill_opacity=0.1),
        _page.words("weight of head 1", left + width, top + height + 30, anchor="end"),
    ]
    for w in (-0.5, 0, 0.5, 1, 1.5):
        parts.append(_page.words(f"{w:g}", _at(w, 1)[0], top + height + 15, anchor="middle"))
    for times in (1, 1.5, 2, 2.5, 3):
        y = _at(0, times)[1]
        parts.append(_page.tag("line", x1=left, x2=left + width, y1=y, y2=y, stroke=_page.LINE))
        parts.append(_page.words(f"{times:g}", left - 6, y + 4, anchor="end"))
    return "".join(parts)


def _bowl(result: Result) -> str:
    """The curve, the heads alone where they fit in, the naive mean (at the edge if above) and the best."""
    s, best = result.state, result.best
    steep = (actual(s, best.weight + 1) - best.variance) / best.variance  # times = 1 + steep (weight - best)^2
    curve = ((best.weight + z / 16 / math.sqrt(steep), 1 + (z / 16) ** 2) for z in range(-24, 25))
    points = " ".join("{:.1f},{:.1f}".format(*_at(*point)) for point in curve)
    parts = [_page.tag("polyline", points=points, fill="none", stroke=_page.INK, stroke_width=2)]
    for (shape, color), name, weight in (
        (HEADS["head 1"], "head 1 alone", 1.0),
        (HEADS["head 2"], "head 2 alone", 0.0),
    ):
        times = actual(s, weight) / best.variance
        parts.append(_page.mark(shape, color, *_at(weight, times), scale=0.8, name=name))
    above = result.naive.times > _TIMES[1]
    x, y = _at(result.naive.weight, 2.9 if above else result.naive.times)
    parts.append(_page.mark(*NAIVE, x, y, scale=1.1, name="naive"))
    parts.append(_page.mark(*BEST, *_at(best.weight, 1), scale=0.7, name="best"))
    label = _page.words(f"above: {result.naive.times:.2f}", x + 10, y + 4, color=NAIVE[1]) if above else ""
    return _page.window(*_BOWL, tuple(map(float, _BOWL)), *parts) + label


explore = explorer(State, compute, view)
