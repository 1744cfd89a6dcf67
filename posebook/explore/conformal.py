"""The conformal explorer: circles around found keypoints that hold the truth as often as promised, and when not.

**Task.** Find out what is promised, of whom, and what becomes of the promise when other pictures come.

1. Where it starts, circles are promised to hold the truth at least 90 % of the time; these do so in 859 of 1000 fresh
   pictures. Is the promise broken? Go through the *draws*, and then raise *n* to 1000.

>>> for n in (100, 1000):
...     held = [compute(State(n=n, draw=draw)).held for draw in range(1, 11)]
...     print(f"n = {n}: from {min(held)} to {max(held)}, mean {sum(held) / 10:.1f}")
n = 100: from 859 to 944, mean 903.7
n = 1000: from 897 to 921, mean 908.9
>>> ["{:.3f} to {:.3f}".format(*promise(State(n=n))) for n in (100, 1000)]
['0.900 to 0.910', '0.900 to 0.901']

   It is not: what is promised is a mean over draws of the calibration pictures, and over fresh ones. Some draws hold
   less, some more; ten of them 0.904 in the mean, between the promised 0.900 and 0.910. With n = 1000 draws scatter
   less. What is left, 0.909 for the promised 0.900 to 0.901, is chance: 1000 fresh pictures tell a share to 0.01 or so.

2. Leave the radius as it is, and let other *pictures* come: dark, from behind, upside down.

>>> for pictures in KINDS:
...     result = compute(State(pictures=pictures))
...     print(f"{pictures}: radius {result.radius:.2f} px, share {result.mean:.2f}")
as calibrated: radius 5.06 px, share 0.90
dark: radius 5.06 px, share 0.58
from behind: radius 5.06 px, share 0.08
upside down: radius 5.06 px, share 0.12

   0.58, 0.08 and 0.12. The promise holds for whatever network, but only for pictures that might as well have been among
   those of the calibration: they must be exchangeable. It breaks where they are not, and nothing in the radius says so.

3. Set *n* to 10. How small may *alpha* be? And how many pictures does an alpha of 0.01 take?

>>> [f"alpha = {alpha:.2f}: {compute(State(n=10, alpha=alpha)).radius:.2f} px" for alpha in (0.10, 0.09)]
['alpha = 0.10: 1.83 px', 'alpha = 0.09: inf px']
>>> [n for n in SIZES if math.isfinite(compute(State(n=n, alpha=0.01)).radius)]
[99, 100, 150, 200, 300, 500, 700, 999, 1000]

   10 residuals cut the line into 11 parts, and a new one lies beyond the largest with probability 1/11. To promise less
   than that, a circle must be infinite. An alpha of 0.01 takes 99 pictures.

4. Let each circle follow the width of its map. Whom does that help? Why does the nose do so well from behind?

>>> for keypoint in ("left wrist", "nose"):
...     for pictures in ("dark", "from behind"):
...         shares = [compute(State(pictures=pictures, keypoint=keypoint, radius=scale)).mean for scale in SCALES]
...         print(f"{keypoint}, {pictures}:", *(f"{share:.2f}" for share in shares))
left wrist, dark: 0.58 0.79
left wrist, from behind: 0.08 0.11
nose, dark: 0.39 0.85
nose, from behind: 0.79 0.87

   In the dark it helps, 0.79 in place of 0.58: the maps grow wide there. From behind they do not; the network takes a
   back for a front, and is sure of it. It exchanges left and right, and a nose has neither.
"""

import functools
import math
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.people import render
from posebook.training import residuals as table_of
from posebook.training.residuals import KINDS, SHOWN
from posebook.uncertainty import conformal_radius

KEYPOINTS = tuple(name.replace("_", " ") for name in table_of.KEYPOINTS)
SIZES = (5, 9, 10, 15, 19, 20, 30, 50, 75, 99, 100, 150, 200, 300, 500, 700, 999, 1000)
SCALES = ("one for all", "by the map's width")
DRAWS, SHIFT = 10, 200  # sets of calibration pictures, each so many pictures further on than the one before
LEVELS = tuple(k / 50 for k in range(25, 50))  # of the curves: 1 - alpha

PROMISE, THIS, MEAN = ("circle", _page.INK), ("diamond", _page.BLUE), ("square", _page.GRAY)
TRUTH = "reticle", _page.INK


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: how often a circle may fail, how many pictures are for calibration and which, what kind
    of pictures come then, which keypoint is asked for, and whether each circle follows the width of its map.
    """

    alpha: float = number(0.1, 0.01, 0.5, step=0.01)
    n: int = choice(100, SIZES, slider=True)
    pictures: str = choice("as calibrated", tuple(KINDS), width=110)
    keypoint: str = choice("left wrist", KEYPOINTS, width=110)
    radius: str = choice("one for all", SCALES, width=140)
    draw: int = choice(1, tuple(range(1, DRAWS + 1)), slider=True)


@dataclass(frozen=True)
class Person:
    """One of the pictures shown; places in px."""

    truth: tuple[float, float]
    found: tuple[float, float]
    radius: float
    holds: bool


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state. Residuals are in px, or in widths of their maps."""

    state: State
    rank: int  # ceil((n + 1)(1 - alpha)); n + 1 for an infinite radius
    radius: float
    residuals: Tensor  # (n,), sorted: those of the calibration
    fresh: Tensor  # (1000,), sorted: those of the pictures that come
    held: int  # how many of these the circles hold
    mean: float  # share that circles hold, over all ten draws
    people: tuple[Person, ...]


def compute(state: State) -> Result:
    """Take the radius from the calibration pictures, and count who lies within it on fresh ones."""
    draws = _draws(state.n, state.keypoint, state.radius)
    fresh, first = _fresh(state.pictures, state.keypoint, state.radius)
    radius = conformal_radius(draws[state.draw - 1], state.alpha).item()
    radii = conformal_radius(draws.T, state.alpha)
    held = torch.searchsorted(fresh, torch.cat((radii, radii.new_tensor([radius]))), right=True).tolist()
    return Result(
        state=state,
        rank=math.ceil((state.n + 1) * (1 - state.alpha) - 1e-9),
        radius=radius,
        residuals=draws[state.draw - 1],
        fresh=fresh,
        held=held[-1],
        mean=sum(held[:-1]) / (DRAWS * len(fresh)),
        people=_people(state, first, radius),
    )


@functools.cache
def _table() -> dict[str, Tensor]:
    return table_of.residuals()


def _scores(name: str, keypoint: str, scale: str) -> tuple[Tensor, Tensor]:
    """Residuals, and what makes px of them."""
    k = KEYPOINTS.index(keypoint)
    error, width = (_table()[f"{name}, {what}"][:, k] for what in ("error", "width"))
    unit = torch.ones_like(width) if scale == SCALES[0] else width
    return error / unit, unit


@functools.lru_cache(maxsize=256)
def _draws(n: int, keypoint: str, scale: str) -> Tensor:
    """The residuals of n calibration pictures for each draw, sorted, (10, n)."""
    every = _scores("calibration", keypoint, scale)[0]
    return torch.stack([every.roll(-SHIFT * draw)[:n] for draw in range(DRAWS)]).sort().values


@functools.cache
def _fresh(pictures: str, keypoint: str, scale: str) -> tuple[Tensor, Tensor]:
    """Residuals of the fresh pictures, sorted; of the first few, residual and unit, (2, 6)."""
    residuals, unit = _scores(pictures, keypoint, scale)
    return residuals.sort().values, torch.stack((residuals[:SHOWN], unit[:SHOWN]))


def _people(state: State, first: Tensor, radius: float) -> tuple[Person, ...]:
    k = KEYPOINTS.index(state.keypoint)
    truth, found = (_table()[f"{state.pictures}, {what}"][:, k].tolist() for what in ("xy", "found"))
    residuals, units = first.tolist()
    return tuple(Person(tuple(xy), tuple(place), radius * unit, residual <= radius)
                 for xy, place, residual, unit in zip(truth, found, residuals, units, strict=True))


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s, holds = result.state, sum(person.holds for person in result.people)
    rank = f"rank {result.rank} of {s.n}" if result.rank <= s.n else f"rank {result.rank}, of {s.n} there is none"
    where = f"alpha = {s.alpha:.2f}; {s.n} pictures for calibration, draw {s.draw}; {rank}: {_radius(result)}."
    fresh = f"Pictures {s.pictures}, {s.keypoint}: {holds} of the {SHOWN} circles shown hold the truth."
    return f"{where} {fresh} {verdict(result)}"


def _radius(result: Result) -> str:
    if math.isinf(result.radius):
        return "infinite circles"
    unit = "px" if result.state.radius == SCALES[0] else "widths of the map"
    return f"radius {result.radius:.2f} {unit}"


def promise(state: State) -> tuple[float, float]:
    """Between which bounds the share of circles that hold lies in the mean, for pictures as calibrated."""
    return 1 - state.alpha, min(1.0, 1 - state.alpha + 1 / (state.n + 1))


def verdict(result: Result) -> str:
    """What is promised, what came of it, and why."""
    s = result.state
    if math.isinf(result.radius):
        need = math.ceil(1 / s.alpha - 1 - 1e-9)
        return (f"Too few pictures: only an infinite circle can promise to fail {_percent(s.alpha)} of the time. "
                f"It takes at least {need} of them.")
    low, high = _bounds(s)
    told = (f"These circles hold the truth in {result.held} of {len(result.fresh)} fresh pictures; over ten draws the "
            f"share is {result.mean:.4f}")
    if s.pictures == "as calibrated":
        return f"Promised are {low} to {high}, in the mean over draws and pictures. {told}."
    below = "far below" if result.mean < 0.5 * (1 - s.alpha) else "below" if result.mean < 1 - s.alpha else "not below"
    return f"For pictures {_other(s.pictures)} nothing is promised. {told}, {below} {low}."


def _bounds(state: State) -> tuple[str, str]:
    """The lower one in full, as shares are compared with it."""
    low, high = promise(state)
    return max(f"{low:.3f}", f"{low:.8f}".rstrip("0"), key=len), f"{high:.3f}"


def _other(pictures: str) -> str:
    return {"dark": "in the dark"}.get(pictures, pictures)


def _percent(share: float) -> str:
    return f"{round(100 * share, 2):g} %"


def table(result: Result) -> str:
    """How often circles hold; its shapes are the panels' legend."""
    s, fresh = result.state, len(result.fresh)
    low, high = _bounds(s)
    holds = sum(person.holds for person in result.people)
    rows = [
        (_page.legend(*PROMISE, "the promise"), "", f"{low} to {high}"),
        (_page.legend(*THIS, "this draw"), f"{result.held} of {fresh}", f"{result.held / fresh:.3f}"),
        (_page.legend(*MEAN, "ten draws"), "", f"{result.mean:.4f}"),
        (_page.legend(*TRUTH, "of those shown"), f"{holds} of {SHOWN}", ""),
    ]
    return _page.table(("circles that hold", "pictures", "share"), rows)


_TILE, _PX = 136, 64  # px on the page and of a picture
_COLUMNS = 3


def view(result: Result) -> _page.View:
    """Some people with their circles; the residuals, and how often circles hold."""
    s, holds = result.state, sum(person.holds for person in result.people)
    wide, high = _TILE * _COLUMNS, _TILE * SHOWN // _COLUMNS
    picture = _page.window(1, 24, wide, high, (0, 0, wide, high), _mosaic(s.pictures), *_circles(result))
    panels = (
        _page.panel(f"{s.pictures}: {holds} of {SHOWN} circles hold the {s.keypoint}", wide + 2, 298, picture),
        _page.panel(f"residuals in {'px' if s.radius == SCALES[0] else 'widths of the map'}, sorted; {_which(result)}",
                    392, 330, _residuals(result), _coverage(result)),
    )
    note = (
        "Circles lie around what the network found; green, solid: the true place, a cross of lines, is within; red, "
        "dashed: it is not. Blue: residuals of the calibration pictures; one of them is the radius. Gray: those of the "
        "fresh pictures. Below: the share of circles that hold, of this draw in blue, of all ten in gray; dots: "
        "the promise. Chance moves a share of 1000 pictures by 0.01 or so."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _which(result: Result) -> str:
    """Which of them is the radius."""
    nth, n = f"{result.rank}{_ending(result.rank)}", result.state.n
    return f"there is no {nth} of {n}" if result.rank > n else f"the {nth} of {n} is {result.radius:.2f}"


def _ending(rank: int) -> str:
    return "th" if rank % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")


@functools.cache
def _mosaic(pictures: str) -> str:
    """The pictures side by side, a little pale, in 16 colors."""
    image = render(table_of.scene(pictures, SHOWN, table_of.SEEDS["fresh"])).image
    rows = image.view(-1, _COLUMNS, 3, _PX, _PX).permute(0, 3, 1, 4, 2).reshape(-1, _COLUMNS * _PX, 3)
    pale = Image.fromarray((255 - 0.85 * (255 - 255 * rows)).round().byte().numpy()).quantize(16, dither=0)
    return _page.embed(pale, 0, 0, _TILE * _COLUMNS, _TILE * SHOWN // _COLUMNS)


def _circles(result: Result) -> list[str]:
    parts, scale = [], _TILE / _PX
    for k, person in enumerate(result.people):
        left, top = _TILE * (k % _COLUMNS), _TILE * (k // _COLUMNS)
        color, name = (_page.GREEN if person.holds else _page.RED), f"circle {k + 1}"
        (x, y), (tx, ty) = ((scale * (v + 0.5) for v in place) for place in (person.found, person.truth))
        style = {"fill": "none", "stroke_width": 2.5} | ({} if person.holds else {"stroke_dasharray": "5 3"})
        if math.isinf(person.radius):
            inside = [_page.tag("rect", x=3, y=3, width=_TILE - 6, height=_TILE - 6, stroke=color, data_name=name,
                                **style)]
        else:
            ring = {"cx": x, "cy": y, "r": scale * person.radius, "fill": "none"}
            inside = [_page.tag("circle", stroke=_page.PAPER, stroke_width=5, stroke_opacity=0.7, **ring),
                      _page.tag("circle", stroke=color, data_name=name, **(ring | style))]
        inside.append(_page.tag("line", x1=x, y1=y, x2=tx, y2=ty, stroke=color, stroke_width=1.5))
        inside.append(_page.mark("circle", color, x, y, scale=0.6, name=f"found {k + 1}"))
        inside.append(_page.mark(*TRUTH, tx, ty, scale=0.5, name=f"truth {k + 1}"))
        parts.append(_page.window(left, top, _TILE, _TILE, (0, 0, _TILE, _TILE), *inside))
    return parts


_BOX = (44, 24, 340, 108)
_LIMITS = {SCALES[0]: (0.05, 70.0), SCALES[1]: (0.02, 30.0)}
_RANKS = {scale: _page.Plot(_BOX, x=(0.0, 1.0), y=limits, log="y") for scale, limits in _LIMITS.items()}
_HELD = _page.Plot((44, 192, 340, 100), x=(0.5, 1.0), y=(0.0, 1.0), log="")  # 1 - alpha, share that circles hold


@functools.cache
def _axes(scale: str) -> str:
    """The same for every state but for the unit."""
    ranks = {value: f"{value:g}" for value in (0.1, 1.0, 10.0)}
    shares = {0.0: "0", 0.5: "0.5", 1.0: "1"}
    levels = {0.5: "0.5", 0.6: "0.6", 0.7: "0.7", 0.8: "0.8", 0.9: "0.9", 1.0: "1"}
    title = _page.words("share of circles that hold the truth", 1, 184, color=_page.INK)
    return _RANKS[scale].axes(shares, ranks, "rank / (n + 1)") + _HELD.axes(levels, shares, "1 - alpha") + title


def _residuals(result: Result) -> str:
    """Both kinds of residuals by their rank, and the radius."""
    s, plot = result.state, _RANKS[result.state.radius]
    parts = [_axes(s.radius)]
    for name, values, (_, color) in (("fresh", result.fresh, MEAN), ("calibration", result.residuals, THIS)):
        n = len(values)
        some = sorted({round(k * (n - 1) / 50) for k in range(51)})
        ordered = values[some].tolist()
        places = [plot.at((k + 1) / (n + 1), value) for k, value in zip(some, ordered, strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(_page.tag("polyline", points=points, fill="none", stroke=color, stroke_width=2, data_name=name))
        if n <= 50:
            dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in places)
            parts.append(_page.tag("path", d=dots, stroke=color, stroke_width=5, stroke_linecap="round"))
    x, y = plot.at(result.rank / (s.n + 1), min(result.radius, plot.y[1]))
    foot = _BOX[1] + _BOX[3]
    parts.append(_page.tag("line", x1=x, x2=x, y1=foot, y2=y, stroke=_page.INK, stroke_dasharray="2 3"))
    if math.isfinite(result.radius):
        parts.append(plot.level(result.radius, _page.INK, stroke_dasharray="2 3", data_name="radius"))
    parts.append(_page.mark(*THIS, x, y, name="rank"))
    return "".join(parts)


@functools.lru_cache(maxsize=256)
def _curves(n: int, pictures: str, keypoint: str, scale: str) -> tuple[str, ...]:
    """For each draw the places of the share that its circles hold, at each level."""
    draws, (fresh, _) = _draws(n, keypoint, scale), _fresh(pictures, keypoint, scale)
    ranks = [math.ceil((n + 1) * level - 1e-9) for level in LEVELS]
    beyond = torch.cat((draws, draws.new_full((DRAWS, 1), math.inf)), 1)
    held = torch.searchsorted(fresh, beyond[:, [rank - 1 for rank in ranks]], right=True) / len(fresh)
    return tuple(" ".join("{:.0f},{:.0f}".format(*_HELD.at(*point)) for point in zip(LEVELS, row, strict=True))
                 for row in held.tolist())


def _coverage(result: Result) -> str:
    """Shares that circles hold: promised, in every draw, and here."""
    s = result.state
    low, _ = promise(s)
    lines = _curves(s.n, s.pictures, s.keypoint, s.radius)
    (x0, y0), (x1, y1) = _HELD.at(0.5, 0.5), _HELD.at(1, 1)
    every = "".join(f"M{points.replace(' ', 'L').replace(',', ' ')}" for points in lines)
    parts = [_page.tag("path", d=every, fill="none", stroke=_page.LINE, data_name="ten draws")]
    parts.append(_page.tag("line", x1=x0, y1=y0, x2=x1, y2=y1, stroke=_page.INK, stroke_dasharray="2 3"))
    parts.append(_page.tag("polyline", points=lines[s.draw - 1], fill="none", stroke=_page.BLUE, stroke_width=2,
                           data_name="this draw"))
    for (shape, color), share, name in ((PROMISE, low, "promise"), (MEAN, result.mean, "mean"),
                                        (THIS, result.held / len(result.fresh), "held")):
        parts.append(_page.mark(shape, color, *_HELD.at(low, share), scale=0.9, name=name))
    return "".join(parts)


CHALLENGES = (
    Challenge(
        "With alpha {alpha} and pictures {pictures}, find circles that hold the truth in fewer than {} of 1000 "
        "fresh pictures.",
        less(800, lambda result: result.held), alpha=0.1, pictures="as calibrated",
    ),
    Challenge(
        "For the {keypoint} {pictures}, bring the share over ten draws above {} with circles that are not "
        "infinite.",
        more(0.3, lambda result: result.mean), lambda result: math.isfinite(result.radius),
        keypoint="left wrist", pictures="from behind",
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
