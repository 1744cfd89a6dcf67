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
from posebook.explore._challenges import Challenge, less, more
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


_BELLS = _page.Plot((1, 24, 410, 192), x=(-6.0, 6.0), y=(-0.07, 1.07), log="")  # px; height over the tallest
_BOWL = _page.Plot((30, 24, 325, 192), x=(-0.75, 1.75), y=(0.9, 3.0), log="")  # weight of head 1; variance / best


def _across(plot: _page.Plot, middle: float, reach: float) -> list[float]:
    """Places for a curve about the middle, as far as the plot goes."""
    low, high = plot.x
    return torch.linspace(max(low, middle - reach), min(high, middle + reach), 57, dtype=torch.float64).tolist()


def _shapes(result: Result) -> list[tuple[str, float, float, tuple[str, str], dict[str, object]]]:
    """Name, center, standard deviation, mark and line of each bell."""
    s = result.state
    solid, strong = {"width": 1.5}, {"width": 2.5}
    return [
        ("reported", ESTIMATES[1], s.reported, HEADS["head 2"], solid | {"stroke_dasharray": "2 4"}),
        ("head 1", ESTIMATES[0], s.s1, HEADS["head 1"], solid),
        ("head 2", ESTIMATES[1], s.s2, HEADS["head 2"], solid),
        ("naive", result.naive.estimate, math.sqrt(result.naive.variance), NAIVE, strong),
        ("best", result.best.estimate, math.sqrt(result.best.variance), BEST, strong | {"stroke_dasharray": "7 4"}),
    ]


def _bells(result: Result) -> str:
    """Bells of area 1 each; the tallest fills the picture."""
    bells = _shapes(result)
    least = min(sd for _, _, sd, _, _ in bells)
    lines, marks = [], []
    for name, center, sd, (shape, color), line in bells:
        places = _across(_BELLS, center, 3.5 * sd)
        bell = [(x, least / sd * math.exp(-(((x - center) / sd) ** 2) / 2)) for x in places]
        lines.append(_BELLS.curve(bell, color, data_name=name, **line))
        if name != "reported":
            marks.append(_page.mark(shape, color, *_BELLS.at(center, 0), scale=0.8, name=name))
    ticks = _BELLS.axes({x: str(x) for x in (-5, -3, -1, 1, 3, 5)}, {}, "px")
    return _BELLS.framed(_BELLS.level(0), *lines, *marks) + ticks


@functools.cache
def _axes() -> str:
    """The weights that lie in between, and the levels: the same for every state."""
    _, top, _, height = _BOWL.box
    a, b = _BOWL.at(0, 1)[0], _BOWL.at(1, 1)[0]
    between = _page.tag("rect", x=a, y=top, width=b - a, height=height, fill=_page.GRAY, fill_opacity=0.1)
    weights, levels = ({v: f"{v:g}" for v in values} for values in ((-0.5, 0, 0.5, 1, 1.5), (1, 1.5, 2, 2.5, 3)))
    return between + _BOWL.axes(weights, levels, "weight of head 1")


def _bowl(result: Result) -> str:
    """The curve, the heads alone where they fit in, the naive mean (at the edge if above) and the best."""
    s, best, top = result.state, result.best, _BOWL.y[1]
    steep = (actual(s, best.weight + 1) - best.variance) / best.variance  # times = 1 + steep (weight - best)^2
    weights = _across(_BOWL, best.weight, math.sqrt((top - 1) / steep))
    parts = [_BOWL.curve((w, min(actual(s, w) / best.variance, top)) for w in weights)]
    for (name, look), weight in zip(HEADS.items(), (1.0, 0.0), strict=True):
        times = actual(s, weight) / best.variance
        if times <= top:
            parts.append(_page.mark(*look, *_BOWL.at(weight, times), scale=0.8, name=f"{name} alone"))
    above = result.naive.times > top
    x, y = _BOWL.at(result.naive.weight, 2.9 if above else result.naive.times)
    parts.append(_page.mark(*NAIVE, x, y, scale=1.1, name="naive"))
    parts.append(_page.mark(*BEST, *_BOWL.at(best.weight, 1), scale=0.7, name="best"))
    label = _page.words(f"above: {result.naive.times:.2f}", x + 10, y + 4, color=NAIVE[1]) if above else ""
    return _BOWL.framed(*parts) + label


CHALLENGES = (
    Challenge(
        "While head 2 reports its sd to within {} px, make the variance of the naive mean more than {} times that "
        "of the better head alone.",
        less(0.1, lambda result: abs(result.state.reported - result.state.s2)),
        more(1.25, lambda result: result.naive.variance / result.better.variance),
    ),
    Challenge(
        "With r above {}, let head 2 report an sd that is more than {} px wrong, so that the naive mean has less "
        "than {} times the best variance.",
        more(0.35, lambda result: result.state.r),
        more(0.4, lambda result: abs(result.state.reported - result.state.s2)),
        less(1.01, lambda result: result.naive.times),
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
