r"""The gap explorer: two groups of people, and how much of the gap in OKS is size, how much error, how much chance.

**Task.** Find out which interval answers which question, and which one promises too much.

1. Where it starts, the errors of both groups are alike in px. Is there a gap? Is it there for other people, too? Go
   through the *draws*, and compare the raw interval with that at one size.

>>> def told(**start):
...     return [compute(State(draw=draw, **start)) for draw in DRAWS]
>>> ways = told()
>>> print(f"true: raw {signed(ways[0].truth)}, at one size {signed(ways[0].level_truth)}")
true: raw -0.065, at one size +0.000
>>> print("wholly below 0: raw", sum(w.raw.high < 0 for w in ways), "at one size", sum(w.level.high < 0 for w in ways))
wholly below 0: raw 19 at one size 0

   There is: -0.065, all of it from size, and the raw interval says so in 19 of 20 draws. At one size nothing is left,
   and no interval claims otherwise.

2. Set *effect* to 1.8, so that the second group's errors have 80 % more variance. Then set *ratio* to 1 as well.

>>> for ratio in (0.7, 1.0):
...     way, = {(signed(w.truth), signed(w.level_truth)) for w in told(ratio=ratio, effect=1.8)}
...     print(f"ratio {ratio}: raw {way[0]}, at one size {way[1]}")
ratio 0.7: raw -0.178, at one size -0.111
ratio 1.0: raw -0.109, at one size -0.109

   Raw -0.178, at one size -0.111. Groups of equal sizes have nothing to standardize: both are -0.109.

3. With *effect* back at 1 and *ratio* at 0.7, go through the *strata*. What do few of them leave, what do many cost?

>>> for strata in STRATA:
...     found = [w.level.gap for w in told(strata=strata) if w.level]
...     print(f"{strata:2d} strata: {signed(sum(found) / len(found))} on average, in {len(found)} of 20 draws")
 1 strata: -0.063 on average, in 20 of 20 draws
 2 strata: -0.023 on average, in 20 of 20 draws
 5 strata: -0.005 on average, in 20 of 20 draws
10 strata: -0.002 on average, in 20 of 20 draws
20 strata: -0.002 on average, in 16 of 20 draws

   One stratum is the raw gap. Two leave a third of it, as sizes still differ within them; five leave -0.005. With 20
   some stratum may have fewer than two of a group.

4. Move *related* from 0 to 1. Which interval grows, and which should?

>>> for related in (0.0, 0.5, 1.0):
...     ways = told(related=related)
...     half = [sum(getattr(w, name).half for w in ways) / len(ways) for name in ("raw", "keypoint")]
...     held = [sum(getattr(w, name).holds(w.truth) for w in ways) for name in ("raw", "keypoint")]
...     print(f"related {related}: half {half[0]:.3f} by person, {half[1]:.3f} by keypoint; held in", *held)
related 0.0: half 0.021 by person, 0.015 by keypoint; held in 18 13
related 0.5: half 0.027 by person, 0.015 by keypoint; held in 18 15
related 1.0: half 0.044 by person, 0.015 by keypoint; held in 19 12

   Errors that go together tell less than as many that do not, so that the interval must grow. By person it does; by
   keypoint it does not notice. (At 0 it is too narrow as well: the sizes of persons scatter, whatever their errors do.)

5. Set *ratio* to 0.25 and *n* to 400. What can be said at one size?

>>> sum(w.level is not None for w in told(ratio=0.25, n=400))
0

   Nothing, in no draw: in some of the strata one group has fewer than two people. Fewer strata give a number, with size
   left within them; many more people would help, else only a formula for what size does.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.skeleton import COCO_17

V, AREA, SCATTER = 4.0, 600.0, 0.5  # px^2 of error per axis; median area in px^2, and the spread of its logarithm
PERSONS = (20, 40, 60, 100, 200, 400)
STRATA = (1, 2, 5, 10, 20)
DRAWS = tuple(range(1, 21))
Z = 1.959964  # of 95 %

RAW, LEVEL, KEYPOINT = ("diamond", _page.BLUE), ("square", _page.GREEN), ("circle", _page.RED)
FIRST, SECOND = _page.GRAY, _page.ORANGE  # the groups


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: the second group's area over the first one's, its variance of the error over the first
    one's, how much the errors of a person's keypoints are related, persons in each group, strata, and which people.
    """

    ratio: float = number(0.7, 0.25, 1.0, step=0.05)
    effect: float = number(1.0, 1.0, 3.0, step=0.1)
    related: float = number(0.7, 0.0, 1.0, step=0.05)
    n: int = choice(200, PERSONS, slider=True)
    strata: int = choice(10, STRATA)
    draw: int = choice(1, DRAWS, slider=True)


@dataclass(frozen=True)
class Interval:
    """A gap and 1.96 standard errors to either side."""

    gap: float
    half: float

    @property
    def low(self) -> float:
        return self.gap - self.half

    @property
    def high(self) -> float:
        return self.gap + self.half

    def holds(self, truth: float) -> bool:
        return abs(self.gap - truth) <= self.half


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state; areas in px^2."""

    state: State
    area: Tensor  # (2, n): of the first group and of the second
    oks: Tensor  # (2, n)
    by_size: float  # what of the true gap is there with equal errors
    truth: float  # the gap of people without end
    level_truth: float  # the same if both groups had the sizes of all
    raw: Interval
    keypoint: Interval
    level: Interval | None  # None: a stratum where a group has fewer than two
    empty: int  # the first such stratum, from 1; 0 where there is none


def compute(state: State) -> Result:
    """Draw people and their errors; the gap, its intervals, and what it is on average."""
    n = state.n
    area, units = _people(n, state.draw)
    area = area * torch.tensor([[1.0], [state.ratio]], dtype=torch.float64)
    common, own = units
    error = math.sqrt(state.related) * common + math.sqrt(1 - state.related) * own  # (2, n, K, 2)
    variance = V * torch.tensor([1.0, state.effect], dtype=torch.float64)
    each = torch.exp(-variance[:, None, None] * error.square().sum(-1) / (2 * _kappa2(area)))  # (2, n, K)
    oks = each.mean(-1)
    same, other = (_population(state.ratio, variance) for variance in (V, V * state.effect))
    level, empty = _level(area, oks, state.strata)
    return Result(
        state=state, area=area, oks=oks, by_size=same[1] - same[0], truth=other[1] - same[0],
        level_truth=(sum(other) - sum(same)) / 2,
        raw=_interval(oks), keypoint=_interval(each.flatten(1)), level=level, empty=empty,
    )  # fmt: skip


@functools.lru_cache(maxsize=32)
def _people(n: int, draw: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Areas ``(2, n)`` and standard normal numbers for persons ``(2, n, 1, 2)`` and keypoints ``(2, n, K, 2)``."""
    source = torch.Generator().manual_seed(draw)
    options = {"generator": source, "dtype": torch.float64}
    scatter = torch.randn(2, max(PERSONS), **options)[:, :n]
    common = torch.randn(2, max(PERSONS), 1, 2, **options)[:, :n]
    own = torch.randn(2, max(PERSONS), len(COCO_17), 2, **options)[:, :n]
    return AREA * (SCATTER * scatter).exp(), (common, own)


@functools.lru_cache(maxsize=256)
def _population(ratio: float, variance: float) -> tuple[float, float]:
    """Mean OKS of people without end, of sizes as in the first group and in the second: by quadrature."""
    node, weight = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(40))
    area = AREA * torch.tensor([[1.0], [ratio]], dtype=torch.float64) * (SCATTER * node).exp()
    return tuple((expected(area, variance) @ (weight / weight.sum())).tolist())


def _kappa2(area: Tensor) -> Tensor:
    return 4 * area[..., None] * area.new_tensor(COCO_17.oks_sigmas).square()


def expected(area: Tensor, variance: float) -> Tensor:
    """Expected OKS of people of these areas."""
    kappa2 = _kappa2(area)
    return (kappa2 / (kappa2 + variance)).mean(-1)


def _interval(scores: Tensor) -> Interval:
    """Of scores ``(2, n)``, each drawn by itself."""
    (first, second), spread = scores.mean(1).tolist(), scores.var(1).sum().item()
    return Interval(second - first, Z * math.sqrt(spread / scores.shape[1]))


def _level(area: Tensor, oks: Tensor, strata: int) -> tuple[Interval | None, int]:
    """The gap at one distribution of sizes, as :func:`posebook.fairness.standardized_gap` of standard "pooled"."""
    every = area.flatten()
    ranks = [-(-len(every) * k // strata) - 1 for k in range(1, strata)]
    stratum = torch.bucketize(every, every.sort().values[ranks])
    cell = stratum + strata * torch.tensor([0, 1]).repeat_interleave(area.shape[1])
    count = torch.bincount(cell, minlength=2 * strata).double()
    if count.min() < 2:
        return None, int((count.view(2, -1) < 2).any(0).nonzero()[0]) + 1
    mean = torch.bincount(cell, oks.flatten(), 2 * strata) / count
    square = torch.bincount(cell, (oks.flatten() - mean[cell]).square(), 2 * strata) / (count - 1)
    weight = count.view(2, -1).sum(0) / len(every)
    gap = (weight * (mean[strata:] - mean[:strata])).sum().item()
    return Interval(gap, Z * math.sqrt((weight.square() * (square / count).view(2, -1)).sum().item())), 0


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def signed(value: float) -> str:
    """Three decimals and a sign; no minus before 0.

    >>> signed(-0.0717), signed(-0.0001)
    ('-0.072', '+0.000')
    """
    return f"{round(value, 3) + 0.0:+.3f}"


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    people = f"Two groups of {s.n}, areas 1 to {s.ratio:.2f}, variances 1 to {s.effect:.2f}, related {s.related:.2f}"
    return f"{people}, draw {s.draw}: raw gap {signed(result.raw.gap)}. {verdict(result)}"


def verdict(result: Result) -> str:
    """What the true gap is made of, which intervals hold it, and what is left at one size."""
    by_error = round(result.truth, 3) - round(result.by_size, 3)  # so that what is shown adds up
    made = f"The true gap is {signed(result.truth)}: {signed(result.by_size)} by size, {signed(by_error)} by error."
    person, keypoint = (_holds(one.holds(result.truth)) for one in (result.raw, result.keypoint))
    wide = result.raw.half / result.keypoint.half
    other = f"{wide:.1f} times narrower" if wide > 1 else f"{1 / wide:.1f} times wider"
    held = f"By person the interval {person} it; by keypoint, {other}, it {keypoint} it."
    if result.level is None:
        return f"{made} {held} At one size nothing can be said: stratum {result.empty} of {result.state.strata} has " \
               "fewer than two of a group."  # fmt: skip
    return (f"{made} {held} At one size the true gap is {signed(result.level_truth)}; the interval from "
            f"{_strata(result.state.strata)} {_holds(result.level.holds(result.level_truth))} it.")


def _holds(held: bool) -> str:
    return "holds" if held else "misses"


def _strata(many: int) -> str:
    return "1 stratum" if many == 1 else f"{many} strata"


def table(result: Result) -> str:
    """Gaps and intervals; its shapes are the panels' legend."""
    rows = []
    for style, name, found, truth in _rows(result):
        ends = f"{signed(found.low)} to {signed(found.high)}" if found else "not to be had"
        rows.append((_page.legend(*style, name), signed(found.gap) if found else "", ends, signed(truth)))
    return _page.table(("OKS, second less first", "gap", "95 % interval", "true"), rows)


def _rows(result: Result) -> tuple[tuple, ...]:
    return ((RAW, "raw, by person", result.raw, result.truth),
            (KEYPOINT, "raw, by keypoint", result.keypoint, result.truth),
            (LEVEL, "at one size, by person", result.level, result.level_truth))


def view(result: Result) -> _page.View:
    """Who is how large and judged how; and the gaps with their intervals."""
    s = result.state
    panels = (
        _page.panel(f"share of {s.n} and {s.n} people at each size", 410, 330, _sizes(result), _scores(result)),
        _page.panel("gaps: dots and bars found, dashed lines true", 390, 330, _gaps(result), _parts(result)),
    )
    note = (
        "Gray: the first group. Orange, dashed: the second. Curves: expected OKS, which are one where the errors are "
        "alike; dots: persons, 60 of each group at most. Intervals: 1.96 standard errors to either side. The true gap "
        "is that of people without end; at one size, both groups have the sizes of all."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


_X = (20.0, 6000.0)  # px^2
_COUNTS = _page.Plot((40, 24, 360, 84), x=_X, y=(0.0, 0.3), log="x")
_OKS = _page.Plot((40, 152, 360, 130), x=_X, y=(0.0, 1.0), log="x")
_EDGES = torch.logspace(math.log10(_X[0]), math.log10(_X[1]), 25, dtype=torch.float64)
_CURVE = torch.logspace(math.log10(_X[0]), math.log10(_X[1]), 40, dtype=torch.float64)
_TICKS = {value: f"{value:g}" for value in (30.0, 100.0, 300.0, 1000.0, 3000.0)}


@functools.cache
def _axes() -> str:
    shares = {0.0: "0", 0.5: "0.5", 1.0: "1"}
    return (_COUNTS.axes({}, {0.0: "0", 0.2: "20 %"}, "area of a person (px²), as below")
            + _OKS.axes(_TICKS, shares, "area of a person (px²)")
            + _page.words("OKS against size", 1, 144, color=_page.INK))


def _sizes(result: Result) -> str:
    """Two histograms, as steps."""
    parts, bottom = [_axes()], _COUNTS.at(1, 0)[1]
    for name, areas, color, style in (("first sizes", result.area[0], FIRST, {}),
                                      ("second sizes", result.area[1], SECOND, {"stroke_dasharray": "4 2"})):
        place = torch.bucketize(areas.clamp(*_X), _EDGES[1:-1])
        share = (torch.bincount(place, minlength=24) / len(areas)).tolist()
        steps = []
        for k, value in enumerate(share):
            left, right = (_COUNTS.at(_EDGES[j].item(), value) for j in (k, k + 1))
            steps.append(f"{left[0]:.0f} {left[1]:.1f}H{right[0]:.0f}")
        path = f"M{_COUNTS.box[0]} {bottom:.0f}L" + "L".join(steps)
        parts.append(_page.tag("path", d=path, fill="none", stroke=color, stroke_width=2, data_name=name, **style))
    return "".join(parts)


def _scores(result: Result) -> str:
    """Expected OKS by size, and persons."""
    parts = []
    for name, k, color, style in (("first", 0, FIRST, {}), ("second", 1, SECOND, {"stroke_dasharray": "5 3"})):
        dots = zip(result.area[k, :60].tolist(), result.oks[k, :60].tolist(), strict=True)
        path = "".join("M{:.0f} {:.0f}h0".format(*_OKS.at(*dot)) for dot in dots)
        parts.append(_page.tag("path", d=path, stroke=color, stroke_width=4, stroke_linecap="round",
                               stroke_opacity=0.6, data_name=f"{name} persons"))
        law = expected(_CURVE, V * (result.state.effect if k else 1.0)).tolist()
        parts.append(_OKS.curve(zip(_CURVE.tolist(), law, strict=True), color, data_name=f"{name} law", **style))
    return "".join(parts)


_GAP = _page.Plot((24, 24, 352, 150), x=(-0.8, 0.3), y=(0.0, 3.0), log="")
_SPLIT = _page.Plot((24, 216, 352, 66), x=(-0.8, 0.3), y=(0.0, 2.0), log="")


@functools.cache
def _gap_axes() -> str:
    ticks = {-0.6: "-0.6", -0.4: "-0.4", -0.2: "-0.2", 0.0: "0", 0.2: "0.2"}
    title = _page.words("what the true gap is made of", 1, 206, color=_page.INK)
    zero = []
    for plot in (_GAP, _SPLIT):
        x, (_, top, _, height) = plot.at(0, 0)[0], plot.box
        zero.append(_page.tag("line", x1=x, x2=x, y1=top, y2=top + height, stroke=_page.LINE, stroke_width=2))
    return _GAP.axes(ticks, {}, "gap in OKS") + _SPLIT.axes(ticks, {}, "gap in OKS") + title + "".join(zero)


def _gaps(result: Result) -> str:
    """Three intervals, and what they are to hold."""
    parts = [_gap_axes()]
    for k, (style, name, found, truth) in enumerate(_rows(result)):
        y = 2.5 - k
        x, middle = _GAP.at(truth, y)
        parts.append(_page.tag("line", x1=x, x2=x, y1=middle - 20, y2=middle + 20, stroke=_page.INK, stroke_width=1.5,
                               stroke_dasharray="3 3", data_name=f"true, {name}"))  # fmt: skip
        if found:
            (low, _), (high, _) = (_GAP.at(end, y) for end in (found.low, found.high))
            parts.append(_page.tag("line", x1=low, x2=high, y1=middle, y2=middle, stroke=style[1], stroke_width=3,
                                   data_name=f"bar, {name}"))  # fmt: skip
            parts.append(_page.mark(*style, *_GAP.at(found.gap, y), name=name))
        parts.append(_page.words(name, _GAP.box[0], middle - 12))
    return "".join(parts)


def _parts(result: Result) -> str:
    """What size makes of the true gap, and what error."""
    parts = []
    for y, name, color, (start, end) in ((1.5, "by size", _page.GRAY, (0.0, result.by_size)),
                                         (0.5, "by error", _page.ORANGE, (result.by_size, result.truth))):
        (left, middle), (right, _) = _SPLIT.at(min(start, end), y), _SPLIT.at(max(start, end), y)
        parts.append(_page.tag("rect", x=left, y=middle - 5, width=max(right - left, 1.0), height=14, fill=color,
                               data_name=name))  # fmt: skip
        parts.append(_page.words(name, _SPLIT.box[0] + 350, middle + 6, anchor="end"))
    return "".join(parts)


CHALLENGES = (
    Challenge(
        "With effect {effect:g} and more than {} stratum, let the interval at one size blame the errors: all of "
        "it lies below {}.",
        more(1, lambda result: result.state.strata),
        less(0, lambda result: result.level.high if result.level else math.inf), effect=1.0,
    ),
    Challenge(
        "Let the true gap at one size be below {}, and find people for whom the interval there reaches above {}.",
        less(-0.08, lambda result: result.level_truth),
        more(0, lambda result: result.level.high if result.level else -math.inf),
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
