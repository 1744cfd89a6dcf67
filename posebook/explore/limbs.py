"""The limbs explorer: the part affinity field of two forearms that may cross, and which elbow it gives each wrist.

**Task.** Find out when the nearest elbow is the wrong one, and when even the field does not know.

1. Where it starts, the limbs cross. Which elbow is nearest to each wrist, and which one does the field say? Raise
   *wrists* to 10.

>>> print(verdict(compute(State())))
The limbs cross; to both wrists the wrong elbow is the nearest. The field joins both limbs rightly: the right pairs \
add up to 1.943, the wrong ones to 0.756.
>>> ways = [compute(State(wrists=n)).right for n in (-10, -8, -6, -4, -2, 2, 4, 6, 8, 10)]
>>> [right["nearest"] for right in ways], [right["optimal"] for right in ways]
([0, 0, 0, 0, 0, 2, 2, 2, 2, 2], [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])

   As long as *wrists* is below 0 the limbs cross, and the nearest elbow is the wrong one. The field is right
   throughout: it is read on the way, and the way of a wrong pair leaves the limbs.

2. Set *elbows* to 2 and *wrists* to -2: the limbs lie almost on each other. Raise *w*. Who wins?

>>> for w in (0.5, 1.0, 1.25, 1.5, 2.0):
...     near = compute(State(elbows=2, wrists=-2, width=w))
...     print(f"w = {w}: right {near.scores[0, 0]:.3f}, wrong {near.scores[0, 1]:.3f}; {near.right['optimal']} of 2")
w = 0.5: right 0.769, wrong 0.572; 2 of 2
w = 1.0: right 0.991, wrong 0.990; 2 of 2
w = 1.25: right 0.991, wrong 0.990; 2 of 2
w = 1.5: right 0.989, wrong 0.990; 0 of 2
w = 2.0: right 0.980, wrong 0.990; 0 of 2

   From w = 1 on the ways of the wrong pairs stay in the bands from end to end, and score almost 1. Where both limbs
   lie the field is the mean of both: it points straight ahead, as the wrong pairs do. The wider the bands, the more of
   such cells; at w = 1.5 the field is wrong, without any noise.

3. Back at the start, set *samples* to 2, the ends alone. What does a wrong pair score? And how many samples does it
   take when *noise* is 0.5? Count over 75 crossings.

>>> [(n, f"{compute(State(samples=n)).scores[0, 1]:.2f}") for n in (2, 3, 5, 10, 20)]
[(2, '0.89'), (3, '0.59'), (5, '0.40'), (10, '0.38'), (20, '0.36')]
>>> places = [(e, w, x) for e in range(2, 11, 2) for w in range(-10, 0, 2) for x in (-4, 0, 4)]
>>> for n in (2, 3, 5, 10):
...     every = [compute(State(*place, samples=n, noise=0.5)) for place in places]
...     print(n, sum(result.right["optimal"] == 2 for result in every), "of", sum(result.cross for result in every))
2 62 of 75
3 71 of 75
5 75 of 75
10 75 of 75

   0.89: its ends lie on limbs, though not on the same one. What gives it away is in between. A third sample already
   costs it 0.3. With noise 0.5 and the ends alone 13 of 75 go wrong, with 5 samples none.

4. Set *elbows* to 10, *wrists* to -2, *along* to 2, *w* to 1.5 and the method to greedy. Why is it wrong? Raise *T* to
   0.7.

>>> for T in (0.3, 0.7):
...     print(_joined(compute(State(10, -2, 2, 1.5, threshold=T, method="greedy"))))
The field joins both limbs wrongly: the highest score, 0.968, is that of E2-W1, and what is left is E1-W2, 0.660.
The field joins E2-W1 alone, wrongly: what is left, E1-W2, 0.660, is not above T.
>>> print(_joined(compute(State(10, -2, 2, 1.5, threshold=0.7))))
The field joins both limbs rightly: the right pairs add up to 1.922, the wrong ones to 1.629.

   Wrist 1 lies in the band of limb 2, so the way from elbow 2 to it never leaves that band: the highest score of all.
   Greedy takes it first; what is left for the others is E1-W2, and with T = 0.7 nothing. Optimal compares sums.
"""

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from posebook.encode import part_affinity_fields
from posebook.explore import _page
from posebook.explore._challenges import Challenge, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.grouping import Peaks, group_by_paf, paf_scores

HW = 15, 23  # height and width of the map in cells
REACH = 14.0  # cells from an elbow to its wrist, to the right
METHODS = ("optimal", "greedy")
PAIRS = ((0, 0), (1, 1), (0, 1), (1, 0))  # elbow and wrist, by person; the first two are right
SHAPES = dict(zip(PAIRS, ("circle", "square", "diamond", "triangle"), strict=True))
FINE = 40  # steps of a curve


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: how far elbow 2 and wrist 2 lie below those of person 1, limb 2 to the right of limb
    1, and half the width of the field's rectangles, all in cells; samples of a pair; threshold and noise in units of
    the field.
    """

    elbows: float = number(8.0, 2, 10, step=2)
    wrists: float = number(-6.0, -10, 10, step=2)
    along: float = number(0.0, -4, 4, step=2)
    width: float = number(1.0, 0.5, 2, step=0.25, label="w")
    samples: int = choice(10, tuple(range(2, 21)), slider=True)
    threshold: float = number(0.3, 0.05, 0.95, step=0.05, label="T")
    noise: float = number(0.0, 0, 0.5, step=0.05)
    method: str = choice("optimal", METHODS, width=90)


@dataclass(frozen=True)
class Result:
    """What follows from a state. Pairs are (elbow, wrist), by person, counted from 0."""

    state: State
    limbs: tuple[tuple[tuple[float, float], ...], ...]  # of each person elbow and wrist, in cells
    cross: bool
    same: bool  # both wrists are one point
    field: Tensor  # (2, H, W)
    on: Tensor  # (H, W): how many limbs lie on a cell
    lengths: dict[tuple[int, int], float]  # cells
    scores: dict[tuple[int, int], float]
    readings: dict[tuple[int, int], list[float]]  # L(u) . v at the samples
    curves: dict[tuple[int, int], list[float]]  # and at FINE + 1 points
    joined: dict[str, tuple[tuple[int, int], ...]]  # by each method
    nearest: tuple[tuple[int, ...], ...]  # of each wrist the nearest elbow; both, where they are as near
    right: dict[str, int]  # how many limbs are right by each method, and by the nearest elbow; not by chance


def compute(state: State) -> Result:
    """Make the field of both limbs, score all pairs, and join them."""
    limbs = _limbs(state)
    xy = torch.tensor(limbs, dtype=torch.float64)  # (person, end, 2)
    labeled = torch.tensor([[True, True], [True, False], [False, True]])[..., None].expand(3, 2, 2)
    both, *alone = part_affinity_fields(xy.expand(3, 2, 2, 2), labeled, HW, limbs=((0, 1),), width=state.width)[:, 0]
    field = both + state.noise * _noise()
    elbows, wrists = xy[:, None, 0], xy[None, :, 1]  # (2, 1, 2), (1, 2, 2)
    lengths, joined = (wrists - elbows).norm(dim=-1), _by_methods(xy, field, state)
    nearest = tuple(tuple(elbow for elbow in (0, 1) if near[elbow])
                    for near in (lengths <= lengths.amin(0) + 1e-9).T.tolist())
    same = limbs[0][1] == limbs[1][1]
    right = {method: 0 if same else sum(a == b for a, b in pairs) for method, pairs in joined.items()}
    right["nearest"] = sum(near == (wrist,) for wrist, near in enumerate(nearest))
    return Result(
        state=state,
        limbs=limbs,
        cross=_cross(*limbs),
        same=same,
        field=field,
        on=sum((one != 0).any(0).long() for one in alone),
        lengths=_by_pair(lengths),
        scores=_by_pair(paf_scores(field, elbows, wrists, samples=state.samples)),
        readings=_by_pair(read(field, elbows, wrists, state.samples)),
        curves=_by_pair(read(field, elbows, wrists, FINE + 1)),
        joined=joined,
        nearest=nearest,
        right=right,
    )


def _limbs(state: State) -> tuple:
    """Of each person elbow and wrist: person 1 above the middle of the map as far as person 2 below it."""
    left, middle = (HW[1] - 1 - REACH) / 2, (HW[0] - 1) / 2
    return tuple(((left + side * state.along / 2, middle + side * state.elbows / 2),
                  (left + REACH + side * state.along / 2, middle + side * state.wrists / 2)) for side in (-1, 1))


def _by_methods(xy: Tensor, field: Tensor, state: State) -> dict:
    """The pairs that each method joins."""
    peaks = Peaks(xy.transpose(0, 1), torch.ones(2, 2, dtype=xy.dtype), torch.ones(2, 2, dtype=torch.bool))
    group = functools.partial(group_by_paf, peaks, field[None], ((0, 1),), threshold=state.threshold,
                              samples=state.samples)
    return {method: tuple(sorted(map(tuple, group(method=method).indices.tolist()))) for method in METHODS}


def read(field: Tensor, a: Tensor, b: Tensor, samples: int) -> Tensor:
    """What :func:`posebook.grouping.paf_scores` takes the mean of: L(u) . v at each sample, ``(*pairs, samples)``."""
    steps = torch.linspace(0, 1, samples, dtype=field.dtype)[:, None]
    points = a[..., None, :] + steps * (b - a)[..., None, :]  # (*pairs, samples, 2)
    place = (2 * points + 1) / points.new_tensor([HW[1], HW[0]]) - 1
    values = F.grid_sample(field[None], place.reshape(1, -1, samples, 2), align_corners=False)[0]  # (2, pairs, samples)
    unit = F.normalize(b - a, dim=-1)
    return (values.movedim(0, -1).reshape(points.shape) * unit[..., None, :]).sum(-1)


def _by_pair(values: Tensor) -> dict:
    """Of values (elbow, wrist, ...) those of each pair."""
    table = values.tolist()
    return {(a, b): table[a][b] for a, b in PAIRS}


@functools.cache
def _noise() -> Tensor:
    return torch.randn(2, *HW, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _cross(one: tuple, other: tuple) -> bool:
    """Do two limbs cut each other, both between their ends?"""
    return all(_side(*p, q[0]) * _side(*p, q[1]) < 0 for p, q in ((one, other), (other, one)))


def _side(a: tuple, b: tuple, point: tuple) -> float:
    """Above 0 on one side of the line through a and b, below 0 on the other."""
    return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    scores = ", ".join(f"{_name(pair)} {_plain(result.scores[pair])}" for pair in PAIRS)
    wrist = f"wrist 2 {abs(s.wrists):g} cells {'above' if s.wrists < 0 else 'below'} wrist 1"
    along = f"; limb 2 is {abs(s.along):g} cells to the {'left' if s.along < 0 else 'right'}" if s.along else ""
    where = f"Elbow 2 is {s.elbows:g} cells below elbow 1, {wrist}{along}."
    field = f"Field: w = {s.width:g} cells, noise {s.noise:.2f}, both limbs on {_both(result)} cells."
    means = f"Mean of {s.samples} samples: {scores}. T = {s.threshold:.2f}, {s.method}."
    return f"{where} {field} {means} {verdict(result)}"


def _both(result: Result) -> int:
    return int((result.on == 2).sum())


def verdict(result: Result) -> str:
    """What the nearest elbow says, and what the field."""
    if result.same:
        return "Both wrists are the same point: neither a distance nor a field can tell whose is which."
    method, other = sorted(METHODS, key=result.state.method.__ne__)
    told = f"The limbs {'cross' if result.cross else 'do not cross'}; {_nearby(result)}. {_joined(result)}"
    if result.joined[other] != result.joined[method]:
        told += f" {other.capitalize()} would join {_brief(result.joined[other])}."
    return told


def _nearby(result: Result) -> str:
    """Whether the nearest elbow is the right one."""
    kinds = ["tied" if len(near) > 1 else "right" if near == (wrist,) else "wrong"
             for wrist, near in enumerate(result.nearest)]
    said = ["both elbows are as near" if kind == "tied" else f"the {kind} elbow is the nearest" for kind in kinds]
    if kinds[0] == kinds[1]:
        return f"to both wrists {said[0]}"
    return f"to wrist 1 {said[0]}, to wrist 2 {said[1] if 'tied' in kinds else f'the {kinds[1]} one'}"


def _joined(result: Result) -> str:
    """Which pairs the field joins, and why."""
    method, scores = result.state.method, result.scores
    joined = result.joined[method]
    if not joined:
        return f"The field joins nobody: the highest score, {_plain(max(scores.values()))}, is not above T."
    pair = next(pair for pair in joined if scores[pair] > max(map(scores.get, joined)) - 1e-9)
    left = 1 - pair[0], 1 - pair[1]
    how, rest = _how(pair), f"{_name(left)}, {_plain(scores[left])}"
    if len(joined) == 1:
        return f"The field joins {_name(pair)} alone, {how}: what is left, {rest}, is not above T."
    if method == "greedy":
        best = f"the highest score, {_plain(scores[pair])}, is that of {_name(pair)}"
        return f"The field joins both limbs {how}: {best}, and what is left is {rest}."
    sums = {"right": scores[0, 0] + scores[1, 1], "wrong": scores[0, 1] + scores[1, 0]}
    one, other = sorted(sums, key=how.startswith, reverse=True)
    return (f"The field joins both limbs {how}: the {one} pairs add up to {_plain(sums[one])}, the {other} ones to "
            f"{_plain(sums[other])}.")


def _how(pair: tuple[int, int]) -> str:
    return "rightly" if pair[0] == pair[1] else "wrongly"


def _brief(joined: tuple) -> str:
    """Which pairs another method joins."""
    names = "both limbs" if len(joined) == 2 else f"{_name(joined[0])} alone," if joined else "nobody"
    return " ".join((names, *map(_how, joined[:1])))


def _name(pair: tuple[int, int]) -> str:
    return f"E{pair[0] + 1}-W{pair[1] + 1}"


def _plain(value: float) -> str:
    """Three decimals; no -0.000."""
    return f"{round(value, 3) + 0.0:.3f}"


def table(result: Result) -> str:
    """Pairs and who joins them; its shapes are the panels' legend."""
    rows = []
    for pair in PAIRS:
        near = result.nearest[pair[1]]
        chance = result.same and result.scores[pair] > result.state.threshold
        by = ["either" if chance else "yes" if pair in result.joined[method] else "-" for method in METHODS]
        by.append("-" if pair[0] not in near else "yes" if len(near) == 1 else "either")
        name = _page.legend(SHAPES[pair], _color(result, pair), _name(pair))
        rows.append((name, f"{result.lengths[pair]:.1f}", _plain(result.scores[pair]), *by))
    rows.append(("right", "", "", *(f"{result.right[name]} of 2" for name in (*METHODS, "nearest"))))
    return _page.table(("pair", "cells", "score", *METHODS, "nearest"), rows)


def _color(result: Result, pair: tuple[int, int]) -> str:
    """Joined rightly, joined wrongly, or not joined; joined by chance as if not."""
    if result.same or pair not in result.joined[result.state.method]:
        return _page.GRAY
    return _page.GREEN if pair[0] == pair[1] else _page.RED


_CELL = 17  # px
_WIDE, _HIGH = HW[1] * _CELL, HW[0] * _CELL


def view(result: Result) -> _page.View:
    """The field with the four pairs; what each pair reads on its way."""
    s = result.state
    picture = _page.window(1, 24, _WIDE, _HIGH, (0, 0, _WIDE, _HIGH), *_picture(result))
    panels = (
        _page.panel(f"the field on {HW[1]} x {HW[0]} cells; black: both limbs, {_both(result)} cells", _WIDE + 2, 300,
                    picture, *_labels(result)),
        _page.panel("L(u) · v on the way from elbow to wrist, and its mean, the score", 408, 300, _axes(),
                    *(_way(result, pair) for pair in PAIRS)),
    )
    note = (
        f"E1-W2: from person 1's elbow to person 2's wrist. Gray bands: where the field of a limb is, up to w from it. "
        f"Needles: the field's vectors; where both limbs lie, the mean of both. Solid lines are joined by {s.method}, "
        "green rightly, red wrongly; the dots are the samples. At the right the same samples, on what the whole way "
        "would give; dashed: their mean; orange: T, which a score must exceed. Nearest: for each wrist the nearest "
        "elbow."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _at(x: float, y: float) -> tuple[float, float]:
    """Place in the window, in px."""
    return _CELL * (x + 0.5), _CELL * (y + 0.5)


def _picture(result: Result) -> list[str]:
    """Rectangles, needles, candidate lines with their samples and shapes, and the four peaks."""
    parts = [_page.tag("path", d=_rectangle(*limb, result.state.width), fill="#f1f3f5", stroke=_page.LINE)
             for limb in result.limbs]
    colors = {0: _page.LINE, 1: "#8c959f", 2: _page.INK}
    for count, color in colors.items():
        parts.append(_page.tag("path", d=_needles(result.field, result.on == count) or "M0 0", fill=color,
                               transform="scale(0.5)", data_name=f"on {count}"))
    for pair in sorted(PAIRS, key=lambda pair: pair in result.joined[result.state.method]):
        parts.append(_line(result, pair))
    for pair in reversed(PAIRS):
        (ax, ay), (bx, by) = _ends(result, pair)
        x, y = _at(ax + 0.3 * (bx - ax), ay + 0.3 * (by - ay))
        parts.append(_page.mark(SHAPES[pair], _color(result, pair), x, y, scale=0.9, name=_name(pair)))
    for person, limb in enumerate(result.limbs):
        parts += [_page.mark("circle", _page.INK, *_at(*end), name=f"{letter}{person + 1}")
                  for letter, end in zip("EW", limb, strict=True)]
    return parts


def _ends(result: Result, pair: tuple[int, int]) -> tuple:
    return result.limbs[pair[0]][0], result.limbs[pair[1]][1]


def _rectangle(a: tuple, b: tuple, width: float) -> str:
    """Where the field of a limb is not 0."""
    length = math.dist(a, b)
    x, y = -(b[1] - a[1]) / length * width, (b[0] - a[0]) / length * width
    corners = ((a[0] + x, a[1] + y), (b[0] + x, b[1] + y), (b[0] - x, b[1] - y), (a[0] - x, a[1] - y))
    return "M" + "L".join("{:.1f} {:.1f}".format(*_at(*corner)) for corner in corners) + "z"


def _needles(field: Tensor, where: Tensor) -> str:
    """Of each of these cells a needle along its vector, as long as a cell if that is 1; one path, in half px."""
    j, i = where.nonzero().unbind(1)
    vector = field[:, j, i].double()
    size = vector.norm(dim=0)
    long = size > 0.05
    vector, (x, y) = vector[:, long], _at(2 * i[long] + 0.5, 2 * j[long] + 0.5)
    (dx, dy), (sx, sy) = 0.9 * _CELL * vector, 4 * vector / size[long]
    ends = torch.stack((x + dx, y + dy, x - dx - sy, y - dy + sx, x - dx + sy, y - dy - sx), dim=-1)
    return "".join(["M{} {}L{} {}L{} {}z".format(*row) for row in ends.round().long().tolist()])


def _line(result: Result, pair: tuple[int, int]) -> str:
    """From the elbow to the wrist, with the samples as dots."""
    (ax, ay), (bx, by) = (_at(*end) for end in _ends(result, pair))
    color, n = _color(result, pair), result.state.samples
    solid = color != _page.GRAY
    style = {"stroke_width": 3} if solid else {"stroke_width": 1.5, "stroke_dasharray": "5 4"}
    line = _page.tag("line", x1=ax, y1=ay, x2=bx, y2=by, stroke=color, data_name=f"line {_name(pair)}", **style)
    dots = "".join(f"M{ax + k / (n - 1) * (bx - ax):.1f} {ay + k / (n - 1) * (by - ay):.1f}h0" for k in range(n))
    return line + _page.tag("path", d=dots, stroke=color, stroke_width=6 if solid else 4, stroke_linecap="round")


def _labels(result: Result) -> list[str]:
    """Names of the peaks beside them on paper, never on one another."""
    parts = []
    for letter, end, anchor, off in (("E", 0, "end", -11), ("W", 1, "start", 11)):
        (x, y), (other, below) = (_at(*limb[end]) for limb in result.limbs)
        push = max(0, 14 - abs(below - y)) / 2 if abs(other - x) < 24 else 0
        push = math.copysign(push, below - y)
        for name, right, down in ((f"{letter}1", x + off, y - push), (f"{letter}2", other + off, below + push)):
            edge = right - 15 if anchor == "end" else right
            box = {"x": edge, "y": 18 + down, "width": 16, "height": 12}
            parts.append(_page.tag("rect", fill=_page.PAPER, fill_opacity=0.7, **box))
            parts.append(_page.words(name, 1 + right, 28 + down, color=_page.INK, anchor=anchor))
    return parts


_PLOTS = {pair: _page.Plot((30 + 200 * pair[1], 44 + 138 * pair[0], 170, 96), x=(0.0, 1.0), y=(-0.5, 1.5), log="")
          for pair in PAIRS}  # share of the way, L(u) . v


@functools.cache
def _axes() -> str:
    """The same for every state: rows are elbows, columns wrists."""
    parts = []
    for plot in _PLOTS.values():
        left, top, width, height = plot.box
        for y in (0.0, 1.0):
            parts += plot.level(y), _page.words(f"{y:g}", left - 6, plot.at(0, y)[1] + 4, anchor="end")
        for end, x, anchor in (("elbow", left, "start"), ("wrist", left + width, "end")):
            parts.append(_page.words(end, x, top + height + 12, anchor=anchor))
    return "".join(parts)


def _way(result: Result, pair: tuple[int, int]) -> str:
    """What a pair reads, its mean and the threshold."""
    plot, n, color = _PLOTS[pair], result.state.samples, _color(result, pair)
    left, top, *_ = plot.box
    samples = [(k / (n - 1), value) for k, value in enumerate(result.readings[pair])]
    fine = [(k / FINE, value) for k, value in enumerate(result.curves[pair])]
    curve, dots = ([plot.at(*place) for place in places] for places in (sorted({*fine, *samples}), samples))
    score = result.scores[pair]
    return "".join([
        _page.mark(SHAPES[pair], color, left + 6, top - 8, scale=0.9, name=f"plot {_name(pair)}"),
        _page.words(f"{_name(pair)}: {_plain(score)}", left + 18, top - 4, color=_page.INK),
        plot.level(result.state.threshold, _page.ORANGE, stroke_width=1.5),
        _page.tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in curve), fill="none", stroke=_page.GRAY),
        plot.level(score, color, stroke_width=2, stroke_dasharray="6 4", data_name=f"mean {_name(pair)}"),
        _page.tag("path", d="".join(f"M{x:.1f} {y:.1f}h0" for x, y in dots), stroke=color, stroke_width=6,
                  stroke_linecap="round", data_name=f"samples {_name(pair)}"),
    ])


CHALLENGES = (
    Challenge(
        "Find limbs for which the nearest elbow is right for both wrists and the field, read by optimal, for "
        "none: its wrong pairs add up to more than the right ones by over {}.",
        more(0.01, lambda result: sum(result.scores[pair] * (1 if pair in PAIRS[2:] else -1) for pair in PAIRS)),
        lambda result: result.right["nearest"] == 2 and result.right["optimal"] == 0,
    ),
    Challenge(
        "With elbow 2 {elbows:g} cells below elbow 1 and noise {noise:g}, let a wrong pair score more than {}.",
        more(0.9, lambda result: max(result.scores[pair] for pair in PAIRS[2:])), elbows=10.0, noise=0.0,
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
