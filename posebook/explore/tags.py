"""The tags explorer: what pull and push do to the tags of two to four people, and which thresholds group them.

**Task.** Find out which push parts people sooner, and what no push can do.

1. Where it starts, two mean tags are 0.2 apart. How many steps does the hinge need to part them by 0.5, how many the
   Gaussian? And with a *gap* of 0.01?

>>> def steps(**start):
...     return next((n for n in range(STEPS + 1) if compute(State(steps=n, **start)).apart > 0.5 - 1e-9), None)
>>> [(gap, *(steps(gap=gap, push=push) for push in PUSHES)) for gap in (0.2, 0.01, 0.0001)]
[(0.2, 15, 15), (0.01, 25, 55), (0.0001, 25, 114)]

   15 steps each. From 0.01 on 25 and 55: the hinge pushes with 1 however near they are, the Gaussian, 1.21 at d = s =
   0.5, with 0.04 at 0.01. Each tenth of the gap costs the Gaussian 29 steps more, s^2 ln(10) / (2 * 0.01).

2. Set *gap* to 0. What happens in 300 steps? Does a third person help, or a fourth?

>>> [compute(State(people=n, gap=0.0, push=push, steps=300.0)).apart for n in (2, 3, 4) for push in PUSHES]
[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]

   Nothing, for ever, with either push. Whatever others do to one of two people with the same tags, they do to both.

3. Set *gap* to 1, so that the hinge is at rest, and leave the steps at 0. Which *T* group rightly? Raise *r*: until
   when is there such a *T*?

>>> for spread in (0.15, 0.24, 0.25):
...     found = [T / 100 for T in range(3, 151, 2) if compute(State(gap=1.0, spread=spread, threshold=T / 100)).right]
...     print(spread, *(found[:1] + found[-1:]))
0.15 0.31 0.69
0.24 0.49 0.51
0.25
>>> for threshold in (0.29, 0.71):
...     print(_grouped(compute(State(gap=1.0, threshold=threshold))))
T is below 2r = 0.30, and tears people apart: it makes 4 groups, 0 of them mixed.
T is above d - 2r = 0.70, and mixes people: it makes 2 groups, 1 of them mixed.

   From 2r = 0.3 to m - 2r = 0.7. There is one while m > 4r: with m = 1 up to r = 0.25, and there no more.

4. Back at the start, move *steps* to 300 with each push. Who stops? From which step on does T = 0.5 group rightly?

>>> for push in PUSHES:
...     end = compute(State(push=push, steps=300.0))
...     first = next(n for n in range(STEPS) if compute(State(push=push, steps=n)).right)
...     print(f"{push}: {end.apart:.2f} apart, pushed by {end.forces[1]:.2f}; right from step {first}")
hinge: 1.00 apart, pushed by 0.00; right from step 27
Gaussian: 1.61 apart, pushed by 0.04; right from step 25

   The hinge stops at its margin, the Gaussian never quite. Pull and push both open the green wedge, and T = 0.5 is in
   it from step 27 or 25 on.
"""

import functools
import itertools
import math
from dataclasses import dataclass

import torch

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.grouping import Peaks, group_by_tags

KEYPOINTS = ("nose", "shoulder", "wrist", "hip", "ankle")
SIDES = ((1, -1, 1, -1, 0), (0, -1, 1, -1, 1), (1, -1, 0, 1, -1), (-1, 1, -1, 0, 1))
"""Of each person's mean tag each tag lies by the spread, on this side; 0 is a keypoint that is hidden."""
BESIDE = 0.6  # from person 2 to person 3, and from 1 to 4, on the other side
PUSHES = ("hinge", "Gaussian")
RATE, STEPS = 0.01, 300  # of gradient descent: learning rate by tags of a person, which are four; steps at most
AHEAD = 60  # steps: an arrow's length is the way that these would take at the force of now

PEOPLE = ("circle", "square", "diamond", "triangle")
COLORS = (_page.BLUE, _page.ORANGE, _page.GREEN, _page.RED)  # of groups; more than four are gray
PLACE = "reticle", _page.ORANGE


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand; all but people, push and steps are in units of tags."""

    people: int = choice(2, (2, 3, 4))
    push: str = choice("hinge", PUSHES, width=90)
    gap: float = number(0.2, 0, 1.5, step=0.01)
    steps: float = number(0.0, 0, STEPS, step=1)
    margin: float = number(1.0, 0.2, 1.5, step=0.01, label="m")
    width: float = number(0.5, 0.2, 1.5, step=0.01, label="s")
    spread: float = number(0.15, 0, 0.5, step=0.01, label="r")
    threshold: float = number(0.5, 0.02, 1.5, step=0.01, label="T")


@dataclass(frozen=True)
class Result:
    """What follows from a state, after its steps."""

    state: State
    means: tuple[float, ...]  # of each person's tags
    spread: float  # what is left of it
    tags: tuple[tuple[float | None, ...], ...]  # of each person; None for the hidden keypoint
    forces: tuple[float, ...]  # push on each person's mean tag
    apart: float  # mean tags of people 1 and 2
    nearest: float  # the two nearest mean tags
    between: tuple[float, float]  # thresholds that cannot fail, if the second is larger
    groups: tuple[tuple[int | None, ...], ...]  # of each person, keypoint by keypoint
    right: bool  # each person is a group, and each group a person


def compute(state: State) -> Result:
    """Let pull and push work, then group what they made."""
    step = round(state.steps)
    means = _path(state.people, state.gap, state.push, _scale(state, state.push))[step]
    spread = _spread(state, step)
    tags = tuple(tuple(mean + side * spread if side else None for side in sides)
                 for mean, sides in zip(means, SIDES[: state.people], strict=True))
    nearest = _nearest(means)
    groups = group(tags, state.threshold)
    kinds = [{g for g in row if g is not None} for row in groups]
    return Result(
        state=state,
        means=means,
        spread=spread,
        tags=tags,
        forces=forces(means, state.push, _scale(state, state.push)),
        apart=abs(means[1] - means[0]),
        nearest=nearest,
        between=(2 * spread, nearest - 2 * spread),
        groups=groups,
        right=all(len(kind) == 1 for kind in kinds) and len(set.union(*kinds)) == state.people,
    )


def force(distance: float, push: str, scale: float) -> float:
    """How strongly the push of :func:`posebook.losses.associative_embedding_loss` drives two mean tags apart.

    Minus its derivative by their distance, in closed form: a few hundred steps cost a millisecond.
    ``scale`` is the margin m of the hinge max(0, m - d) or the width s of the Gaussian exp(-d^2 / (2 s^2)).
    """
    if push == "hinge":
        return float(0 < distance < scale)
    return distance / scale**2 * math.exp(-((distance / scale) ** 2) / 2)


def forces(means: tuple[float, ...], push: str, scale: float) -> tuple[float, ...]:
    """On each mean tag, of the mean over all pairs of people."""
    out, pairs = [0.0] * len(means), list(itertools.combinations(range(len(means)), 2))
    for a, b in pairs:
        gap = means[a] - means[b]
        away = math.copysign(force(abs(gap), push, scale), gap) / len(pairs)
        out[a], out[b] = out[a] + away, out[b] - away
    return tuple(out)


def group(tags: tuple[tuple[float | None, ...], ...], threshold: float) -> tuple[tuple[int | None, ...], ...]:
    """Of each person's tags the group, greedy; at each keypoint the last person chooses first."""
    last_first = [[math.nan if tag is None else tag for tag in row] for row in reversed(tags)]
    values = torch.tensor(last_first, dtype=torch.float64).T  # (K, N)
    peaks = Peaks(torch.zeros(*values.shape, 2), torch.ones(values.shape), values.isfinite())
    groups = group_by_tags(peaks, values[..., None], threshold=threshold, method="greedy").indices
    out = [[None] * len(row) for row in tags]
    for g, row in enumerate(groups.tolist()):
        for k, n in enumerate(row):
            if n >= 0:
                out[-1 - n][k] = g
    return tuple(map(tuple, out))


def _scale(state: State, push: str) -> float:
    return state.margin if push == "hinge" else state.width


def _spread(state: State, step: int) -> float:
    """Pull shrinks it by the same factor at each step; push moves all tags of a person alike."""
    return state.spread * (1 - 2 * RATE / state.people) ** step


def _nearest(means: tuple[float, ...]) -> float:
    return min(abs(a - b) for a, b in itertools.combinations(means, 2))


@functools.lru_cache(64)
def _path(people: int, gap: float, push: str, scale: float) -> tuple[tuple[float, ...], ...]:
    """The mean tags after each number of steps; pull does not move them."""
    start = (0.0, gap, gap + BESIDE, -BESIDE)[:people]
    means = tuple(x - sum(start) / people for x in start)
    path = [means]
    for _ in range(STEPS):
        means = tuple(x + RATE * f for x, f in zip(means, forces(means, push, scale), strict=True))
        path.append(means)
    return tuple(path)


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    scale = f"margin {s.margin:.2f}" if s.push == "hinge" else f"width {s.width:.2f}"
    means = ", ".join(map(_signed, result.means))
    pushes = ", ".join(map(_signed, result.forces))
    return (f"{s.people} people, {s.push}, {scale}, after {round(s.steps)} steps: mean tags {means}, spread "
            f"{result.spread:.2f}, pushed by {pushes}. T = {s.threshold:.2f}. {verdict(result)}")


def verdict(result: Result) -> str:
    """What the push does, and what the threshold."""
    return f"{_pushed(result)} {_grouped(result)}"


def _pushed(result: Result) -> str:
    s = result.state
    if result.apart == 0:
        return "People 1 and 2 have the same mean tag: no push parts them, neither now nor after any number of steps."
    if s.push == "hinge" and result.nearest >= s.margin:
        return f"All mean tags are {s.margin:.2f} or more apart: the hinge is at rest."
    strength = _page.figure(force(result.nearest, s.push, _scale(s, s.push)))
    return f"The nearest mean tags are d = {_page.figure(result.nearest)} apart; the force between them is {strength}."


def _grouped(result: Result) -> str:
    low, high = result.between
    found, limits = _said(result), f"2r = {low:.2f} and d - 2r = {high:.2f}"
    if result.right:
        if low < result.state.threshold <= high:
            return f"T groups them rightly: it is between {limits}."
        return f"T groups them rightly, but by luck: 2r = {low:.2f}, d - 2r = {_plain(high)}."
    if low >= high:
        return f"No T is safe, as 2r = {low:.2f} is not below d - 2r = {_plain(high)}: T makes {found}."
    if result.state.threshold <= low:
        return f"T is below 2r = {low:.2f}, and tears people apart: it makes {found}."
    return f"T is above d - 2r = {high:.2f}, and mixes people: it makes {found}."


def _said(result: Result) -> str:
    """How many groups, and how many of them hold two people's tags."""
    kinds = [{g for g in row if g is not None} for row in result.groups]
    count = len(set.union(*kinds))
    mixed = sum(sum(g in kind for kind in kinds) > 1 for g in range(count))
    return f"{count} groups, {mixed} of them mixed"


def _plain(value: float) -> str:
    """Two decimals; no -0.00."""
    return f"{round(value, 2) + 0.0:.2f}"


def _signed(value: float) -> str:
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}"


def table(result: Result) -> str:
    """People and the threshold; its shapes are the panels' legend."""
    rows = []
    for k, (mean, push, row) in enumerate(zip(result.means, result.forces, result.groups, strict=True)):
        name = _page.legend(PEOPLE[k], _page.INK, f"person {k + 1}")
        rows.append((name, _signed(mean), _signed(push), _letters(row)))
    threshold = _page.legend(*PLACE, f"T = {result.state.threshold:.2f}")
    rows.append((threshold, "", "", "right" if result.right else "wrong"))
    return _page.table(("person", "mean tag", "push", "groups"), rows)


def _letters(row: tuple[int | None, ...]) -> str:
    return ", ".join("ABCDEFGHIJKLMNOP"[g] for g in sorted({g for g in row if g is not None}))


def view(result: Result) -> _page.View:
    """The tags with their forces and groups; distances against the steps."""
    s = result.state
    panels = (
        _page.panel(f"tags after {round(s.steps)} steps, in groups by T", 412, 310, _rows(), _tags(result)),
        _page.panel("distance of tags; the safe thresholds in green", 390, 310, _axes(), _course(result)),
    )
    limits = f"2r = {2 * s.spread:.2f} to m - 2r = {_plain(s.margin - 2 * s.spread)}, with r and m as set"
    none = f"Nothing is dotted, as m is not above 4r = {4 * s.spread:.2f}."
    dotted = f"Dotted: from {limits}." if _possible(s) else none
    note = (
        "Shapes are people; a line and its color are a group. Arrows at the tags: pull; at the mean tags: push, as far "
        f"as {AHEAD} steps would go. At the right, black: how far the mean tags of people 1 and 2 are apart; dashed: "
        f"the same with the other push. Green: from 2r to d - 2r, r and d being those of that step. {dotted}"
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


_TAGS = _page.Plot((62, 24, 348, 240), x=(-2.6, 2.6), y=(0.0, 240.0), log="")  # tag; px upwards
_COURSE = _page.Plot((30, 24, 346, 240), x=(-12.0, STEPS + 12.0), y=(0.0, 2.0), log="")  # steps, distance of tags
_MEANS = 28.0  # px from the lower end to the row of mean tags


@functools.cache
def _rows() -> str:
    """What is the same for every state: names of rows, and the axis."""
    names = [_page.words(name, 56, 24 + 240 - _height(k) + 4, anchor="end") for k, name in enumerate(KEYPOINTS)]
    mean = _page.words("mean", 56, 24 + 240 - _MEANS + 4, color=_page.INK, anchor="end")
    ticks = _TAGS.axes({float(x): str(x) for x in (-2, -1, 0, 1, 2)}, {}, "tag")
    rule = _TAGS.level(2 * _MEANS, _page.LINE)
    return "".join(names) + mean + ticks + rule


def _height(k: int) -> float:
    """Of a keypoint's row, in px."""
    return 214.0 - 34 * k


def _possible(state: State) -> bool:
    """Would people a margin apart leave a safe threshold, with tags spread as they are at the start?"""
    return state.margin > 4 * state.spread


def _tags(result: Result) -> str:
    """Groups as lines, tags as marks with their pull, and the mean tags with their push."""
    n = result.state.people
    places = {(p, k): _TAGS.at(tag, _height(k) + 4 * (n - 1 - 2 * p))
              for p, row in enumerate(result.tags) for k, tag in enumerate(row) if tag is not None}
    threads: dict[int, list] = {}
    for (p, k), place in sorted(places.items(), key=lambda item: item[0][1]):
        threads.setdefault(result.groups[p][k], []).append(place)
    parts = [_page.tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in thread), fill="none",
                       stroke=_color(g), stroke_width=5, stroke_opacity=0.35, data_name=f"group {g}")
             for g, thread in sorted(threads.items())]
    pixel = _TAGS.box[2] / (_TAGS.x[1] - _TAGS.x[0])
    pulls, pushes = [], []
    for (p, k), (x, y) in places.items():
        color, name = _color(result.groups[p][k]), f"{p + 1} {KEYPOINTS[k]}"
        parts.append(_page.mark(PEOPLE[p], color, x, y, scale=0.7, name=name))
        pull = -2 * SIDES[p][k] * result.spread / n
        pulls.append(_arrow(x, y, AHEAD * RATE * pull * pixel, 5))
    for p, (mean, push) in enumerate(zip(result.means, result.forces, strict=True)):
        x, y = _TAGS.at(mean, _MEANS + 6 * (n - 1 - 2 * p))
        pushes.append(_arrow(x, y, AHEAD * RATE * push * pixel, 7))
        parts.append(_page.mark(PEOPLE[p], _page.INK, x, y, scale=0.8, name=f"mean {p + 1}"))
    arrows = {"fill": "none", "stroke": _page.INK}
    parts.append(_page.tag("path", d="".join(pulls) or "M0 0", stroke_width=1, data_name="pull", **arrows))
    parts.append(_page.tag("path", d="".join(pushes) or "M0 0", stroke_width=2, data_name="push", **arrows))
    return _TAGS.framed(*parts)


def _color(g: int) -> str:
    return COLORS[g] if g < len(COLORS) else _page.GRAY


def _arrow(x: float, y: float, length: float, off: float) -> str:
    """From beside a mark to the left or right; nothing if shorter than a px."""
    if abs(length) < 1:
        return ""
    way = math.copysign(1, length)
    tip, head = x + way * off + length, min(4.0, abs(length))
    return f"M{x + way * off:.1f} {y:.1f}H{tip:.1f}M{tip - way * head:.1f} {y - head:.1f}L{tip:.1f} {y:.1f}" + (
        f"L{tip - way * head:.1f} {y + head:.1f}")


@functools.cache
def _axes() -> str:
    """The same for every state."""
    return _COURSE.axes({float(n): str(n) for n in (0, 100, 200, 300)},
                        {y: f"{y:g}" for y in (0.0, 0.5, 1.0, 1.5, 2.0)}, "steps of training")


def _course(result: Result) -> str:
    """Safe thresholds, the distance of people 1 and 2 with either push, and where we are."""
    s, plot, every = result.state, _COURSE, range(0, STEPS + 1, 5)
    path = _path(s.people, s.gap, s.push, _scale(s, s.push))
    low = [2 * _spread(s, n) for n in every]
    high = [max(_nearest(path[n]) - width, width) for n, width in zip(every, low, strict=True)]
    edge = [plot.at(n, y) for n, y in zip(every, high, strict=True)]
    edge += reversed([plot.at(n, y) for n, y in zip(every, low, strict=True)])
    safe = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in edge) + "z"
    parts = [_page.tag("path", d=safe, fill=_page.GREEN, fill_opacity=0.22, data_name="safe")]
    if _possible(s):
        parts += [plot.level(y, _page.GREEN, stroke_width=1.5, stroke_dasharray="2 3", data_name=name)
                  for name, y in (("2r", 2 * s.spread), ("m - 2r", s.margin - 2 * s.spread))]
    for push in sorted(PUSHES, key=s.push.__eq__):
        style = {} if push == s.push else {"stroke_dasharray": "6 4"}
        course = _path(s.people, s.gap, push, _scale(s, push))
        parts.append(plot.curve([(n, abs(course[n][1] - course[n][0])) for n in every],
                                _page.INK if push == s.push else _page.GRAY, data_name=push, **style))
    x, y = plot.at(round(s.steps), s.threshold)
    parts.append(_page.tag("line", x1=x, x2=x, y1=24, y2=264, stroke=_page.INK, stroke_dasharray="2 3"))
    parts.append(plot.level(s.threshold, _page.ORANGE, stroke_width=1.5, data_name="T"))
    parts.append(_page.mark(*PLACE, x, y, scale=0.7, name="place"))
    parts.append(_page.mark("circle", _page.INK, *plot.at(round(s.steps), result.apart), name="apart"))
    return plot.framed(*parts)


def _safe(result: Result) -> float:
    """How far T is from the thresholds at which grouping may fail."""
    low, high = result.between
    return min(result.state.threshold - low, high - result.state.threshold)


CHALLENGES = (
    Challenge(
        "Group {people} people rightly with a T that is more than {} away from each of the thresholds at which it "
        "would fail.",
        more(0.05, _safe), people=4,
    ),
    Challenge(
        "From a gap of {gap}, let the {push} group everybody rightly in fewer than {} steps, with a T that is "
        "more than {} from failing.",
        less(90, lambda result: result.state.steps), more(0.05, _safe), gap=0.01, push="Gaussian",
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
