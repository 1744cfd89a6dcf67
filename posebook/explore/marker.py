"""The marker explorer: a box drawn over a marker whose points are misread, its error, and what the residual says of it.

**Task.** Find out what the residual tells you of the box, and what does.

1. Where it starts, move *draw* from 1 to 20. Does a small residual go with a small error of the roof?

>>> import torch
>>> def seen(**start):
...     draws = [compute(State(draw=draw, **start)) for draw in range(1, DRAWS + 1)]
...     return torch.tensor([[draw.residual, draw.error(PARTS["roof"])] for draw in draws]).T
>>> for n in (4, 9, 16, 36):
...     print(f"{n:2d} points: correlation {torch.corrcoef(seen(points=n))[0, 1]:.1f}")
 4 points: correlation 0.2
 9 points: correlation 0.2
16 points: correlation 0.1
36 points: correlation -0.1

   No: over these 20 draws the correlation is 0.2 at most. The residual is what the fit could not take up, the error is
   what it did.

2. Raise *points* from 4 to 36. What becomes of the residual, over the draws, and of the error that is to be expected?

>>> for n in (4, 9, 16, 36):
...     residual, start = seen(points=n)[0].square().mean().sqrt(), compute(State(points=n))
...     print(f"{n:2d} points: residual {residual:.2f} px, roof {start.expected(PARTS['roof']):.2f} px")
 4 points: residual 0.49 px, roof 3.37 px
 9 points: residual 0.86 px, roof 2.72 px
16 points: residual 0.91 px, roof 2.22 px
36 points: residual 0.96 px, roof 1.61 px

   One rises towards sigma, the other falls.

3. The box is 2 half sides high. What is worse: to make it 3 half sides high, or to move it 3 half sides beside the
   marker?

>>> for start in ({}, {"height": 3.0}, {"away": 3.0}):
...     floor, roof = (compute(State(**start)).expected(part) for part in PARTS.values())
...     print(start, f"floor {floor:.2f} px, roof {roof:.2f} px")
{} floor 1.22 px, roof 3.37 px
{'height': 3.0} floor 1.22 px, roof 5.06 px
{'away': 3.0} floor 2.62 px, roof 4.50 px

   For the roof the height; for the floor it is the distance.

4. From where is a marker seen best: from the front (*tilt* 0), or at a slant? Set *sigma* to 2, *tilt* to 20 and *draw*
   to 16. What has happened, and would the residual have told you?

>>> [f"{tilt}: {compute(State(tilt=tilt)).expected(PARTS['roof']):.1f} px" for tilt in (0, 10, 20, 40, 60)]
['0: 24.4 px', '10: 11.7 px', '20: 6.4 px', '40: 3.4 px', '60: 2.4 px']
>>> flipped = compute(State(sigma=2.0, tilt=20.0, draw=16))
>>> f"{flipped.off:.0f} degrees; residual {flipped.residual:.2f} px, that of the true pose {flipped.noise:.2f} px"
'43 degrees; residual 0.52 px, that of the true pose 2.80 px'

   At a slant: from the front a small tilt hardly changes what is seen, so it can hardly be read. In draw 16 the marker
   leans the other way, and this pose fits better than the true one.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.geometry import Camera, Pose, planar_pose, pose_covariance
from posebook.theory import reprojection_rms

HALF, DISTANCE, FOCAL = 0.1, 1.5, 900.0  # m, m, px: from the front an edge of the marker is 120 px long
CAMERA = Camera(FOCAL, (0.0, 0.0), torch.eye(3), torch.zeros(3))
DRAWS = 20
CORNERS = ((-1, -1), (1, -1), (1, 1), (-1, 1))
REACHES = tuple(k / 4 for k in range(21))  # of the curves, half sides
FLIPPED = 20  # degrees that the marker's normal is off

RESIDUAL, FLOOR, ROOF = ("diamond", _page.ORANGE), ("square", _page.GRAY), ("circle", _page.BLUE)


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: how far the marker leans back and how it is turned in its plane, in degrees; how many
    of its points are read, and how far off in px; how high the box is and how far beside the marker, in half sides.
    """

    tilt: float = number(40.0, 0, 70, step=5)
    turn: float = number(20.0, -45, 45, step=5)
    points: int = choice(4, (4, 9, 16, 36), width=48)
    sigma: float = number(1.0, 0.1, 2, step=0.1)
    height: float = number(2.0, 0.5, 3, step=0.5)
    away: float = number(0.0, 0, 3, step=0.5)
    draw: int = choice(1, tuple(range(1, DRAWS + 1)), slider=True)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state. Places are in px from the middle of the picture; the box's floor comes first."""

    state: State
    read: Tensor  # (N, 2): points of the marker, as read
    true: Tensor  # (8, 2): where the box should be
    found: Tensor  # (8, 2): where it is drawn
    spread: Tensor  # (8, 2, 2): covariance of its corners, propagated
    beside: Tensor  # (21,): propagated error of places in the marker's plane, px
    above: Tensor  # (21,): and above its middle
    residual: float  # of the pose found, px per coordinate
    noise: float  # and of the true pose
    off: float  # by how many degrees the normal is wrong

    def error(self, part: slice) -> float:
        """Root mean square distance in px of some corners."""
        return (self.found - self.true)[part].square().sum(-1).mean().sqrt().item()

    def expected(self, part: slice) -> float:
        """The same, propagated."""
        return self.spread[part].diagonal(dim1=-2, dim2=-1).sum(-1).mean().sqrt().item()


PARTS = {"floor": slice(0, 4), "roof": slice(4, 8)}


def compute(state: State) -> Result:
    """Misread the marker's points, take the pose that fits them best, and draw the box there."""
    true, points = _pose(state.tilt, state.turn), _points(state.points)
    read, pose, residual, noise, off = _fit(state.tilt, state.turn, state.points, state.sigma, state.draw)
    box, along = _box(state.height, state.away), HALF * torch.tensor(REACHES, dtype=torch.float64)
    beside, above = pad(along[:, None], (0, 2)), pad(-along[:, None], (2, 0))
    spread = pose_covariance(true, points, torch.cat((box, beside, above)), CAMERA, sigma=state.sigma)
    rms = spread[8:].diagonal(dim1=-2, dim2=-1).sum(-1).sqrt().chunk(2)
    places = (CAMERA.project(some.place(box)) for some in (true, pose))
    return Result(state, read, *places, spread[:8], *rms, residual, noise, off)


@functools.lru_cache(maxsize=64)
def _fit(tilt: float, turn: float, n: int, sigma: float, draw: int) -> tuple[Tensor, Pose, float, float, float]:
    """Points as read, the pose found, its residual and that of the true pose, and how far off its normal is."""
    true, points = _pose(tilt, turn), _points(n)
    exact = CAMERA.project(true.place(pad(points, (0, 1))))
    read = exact + sigma * _noise(n)[draw - 1]
    pose = planar_pose(points, read, CAMERA)
    again = CAMERA.project(pose.place(pad(points, (0, 1))))
    residual, noise = ((seen - read).square().mean().sqrt().item() for seen in (again, exact))
    cosine = (pose.rotation[:, 2] @ true.rotation[:, 2]).item()
    return read, pose, residual, noise, math.degrees(math.acos(min(cosine, 1.0)))


@functools.cache
def _pose(tilt: float, turn: float) -> Pose:
    """Turned in its plane, then its upper edge leaned away."""
    (c, s), (a, b) = ((math.cos(math.radians(x)), math.sin(math.radians(x))) for x in (turn, tilt))
    rows = [[c, -s, 0.0], [a * s, a * c, b], [-b * s, -b * c, a]]
    return Pose(torch.tensor(rows, dtype=torch.float64), torch.tensor([0.0, 0.0, DISTANCE], dtype=torch.float64))


@functools.cache
def _points(n: int) -> Tensor:
    line = torch.linspace(-HALF, HALF, math.isqrt(n), dtype=torch.float64)
    return torch.cartesian_prod(line, line)


@functools.cache
def _noise(n: int) -> Tensor:
    return torch.randn(DRAWS, n, 2, generator=torch.Generator().manual_seed(n), dtype=torch.float64)


@functools.cache
def _box(height: float, away: float) -> Tensor:
    """Its 8 corners in the marker's axes, m."""
    floor = [(HALF * (x + away), HALF * y) for x, y in CORNERS]
    return torch.tensor([(*xy, -HALF * z) for z in (0.0, height) for xy in floor], dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    where = (f"Marker of 120 px, tilted by {s.tilt:g} and turned by {s.turn:g} degrees; {s.points} points, off by "
             f"sigma = {s.sigma:.2f} px on each axis, draw {s.draw}; a box {s.height:g} half sides high, {s.away:g} "
             "beside it.")
    floor, roof = ((result.error(part), result.expected(part)) for part in PARTS.values())
    return (f"{where} Residual law {_law(s):.2f} px; floor {floor[0]:.2f} px off (propagated {floor[1]:.2f}), roof "
            f"{roof[0]:.2f} ({roof[1]:.2f}). {verdict(result)}")


def _law(state: State) -> float:
    return reprojection_rms(state.sigma, state.points, parameters=6).item()


def verdict(result: Result) -> str:
    """What one can see, and what one cannot."""
    roof = result.error(PARTS["roof"])
    said = (f"The pose misses its points by {result.residual:.2f} px per coordinate (RMS), the true one by "
            f"{result.noise:.2f}; and the roof of the box is {roof:.2f} px off.")
    if result.off > FLIPPED:
        return f"{said} The normal is off by {result.off:.0f} degrees: the marker leans another way and fits better."
    return f"{said} To be expected were {result.expected(PARTS['roof']):.2f} px."


def table(result: Result) -> str:
    """Residual and errors, of this draw and as expected; its shapes are the panels' legend."""
    rows = [(_page.legend(*RESIDUAL, "residual per coordinate"), f"{result.residual:.2f}", f"{_law(result.state):.2f}")]
    for style, (name, part) in zip((FLOOR, ROOF), PARTS.items(), strict=True):
        rows.append((_page.legend(*style, f"{name} of the box"), f"{result.error(part):.2f}",
                     f"{result.expected(part):.2f}"))
    return _page.table(("px, RMS", "this draw", "expected"), rows)


_VIEW = (-105.0, -215.0, 390.0, 341.0)  # px of the picture
_PLOT = _page.Plot((44, 24, 346, 288), x=(0.0, 5.0), y=(0.03, 300.0), log="y")  # half sides, px


def view(result: Result) -> _page.View:
    """The marker with its box, and how the error grows with the distance."""
    window = _page.window(1, 24, 400, 350, _VIEW, _marker(result), *_boxes(result))
    panels = (
        _page.panel(f"roof {result.error(PARTS['roof']):.2f} px off, residual {result.residual:.2f} px", 402, 376,
                    window),
        _page.panel("propagated error in px over the distance from the middle", 402, 376, _curves(result)),
    )
    note = (
        "Gray: the marker. Orange: its points as read. Black, dashed: where the box should be. Blue: where it is "
        "drawn, by the pose that fits best. Ellipses: 2 standard deviations; to first order, they hold a corner of "
        "the roof in 86 % of all draws. Right, blue: places straight above the marker; gray: beside it, in its plane; "
        "the orange line is the residual of this draw. Floor and roof are distances, marked at the mean distance of "
        "their corners."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _marker(result: Result) -> str:
    """The sheet, and its points as read."""
    pose = _pose(result.state.tilt, result.state.turn)
    edge = CAMERA.project(pose.place(_box(1.0, 0.0)[:4])).tolist()
    sheet = _page.tag("path", d=_ring(edge), fill=_page.LINE, stroke=_page.GRAY, stroke_width=2, data_name="marker")
    cross = "".join([f"M{x - 5:.1f} {y:.1f}h10M{x:.1f} {y - 5:.1f}v10" for x, y in result.read.tolist()])
    return sheet + _page.tag("path", d=cross, stroke=_page.ORANGE, stroke_width=2, data_name="read")


def _ring(places: list) -> str:
    return "M" + "L".join([f"{x:.1f} {y:.1f}" for x, y in places]) + "z"


def _boxes(result: Result) -> list[str]:
    parts = [_wire(result.true.tolist(), "true", stroke=_page.INK, stroke_width=2, stroke_dasharray="6 4")]
    parts += [_ellipse(xy, spread, k) for k, (xy, spread) in
              enumerate(zip(result.true[4:].tolist(), result.spread[4:].tolist(), strict=True))]
    parts.append(_wire(result.found.tolist(), "found", stroke=_page.BLUE, stroke_width=3))
    return parts


def _wire(places: list, name: str, **style: object) -> str:
    """The 12 edges of a box."""
    floor, roof = places[:4], places[4:]
    posts = [f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for (a, b), (c, d) in zip(floor, roof, strict=True)]
    return _page.tag("path", d="".join([_ring(floor), _ring(roof), *posts]), fill="none", data_name=name, **style)


def _ellipse(xy: list, spread: list, k: int) -> str:
    """Two standard deviations around a corner."""
    ((a, b), (_, d)), (x, y) = spread, xy
    middle, reach = (a + d) / 2, math.hypot((a - d) / 2, b)
    turn = math.degrees(math.atan2(2 * b, a - d) / 2)
    return _page.tag("ellipse", rx=2 * math.sqrt(middle + reach), ry=2 * math.sqrt(max(middle - reach, 0.0)),
                     fill=_page.BLUE, fill_opacity=0.2, stroke=_page.BLUE, stroke_width=1,
                     transform=f"translate({x:.2f} {y:.2f}) rotate({turn:.3f})", data_name=f"ellipse {k + 1}")


@functools.cache
def _axes() -> str:
    ticks = {0.1: "0.1", 1.0: "1", 10.0: "10", 100.0: "100"}
    return _PLOT.axes({float(k): str(k) for k in range(6)}, ticks, "distance (half sides)")


def _curves(result: Result) -> str:
    """Propagated errors above and beside the marker, and this draw's."""
    parts = [_PLOT.curve(zip(REACHES, result.beside.tolist(), strict=True), _page.GRAY, data_name="beside"),
             _PLOT.curve(zip(REACHES, result.above.tolist(), strict=True), _page.BLUE, data_name="above")]
    low = max(result.residual, _PLOT.y[0])
    parts.append(_PLOT.level(low, _page.ORANGE, stroke_width=2, stroke_dasharray="2 3", data_name="residual"))
    parts.append(_page.mark(*RESIDUAL, *_PLOT.at(0.15, low), name="residual"))
    box = _box(result.state.height, result.state.away).norm(dim=-1) / HALF
    for style, (name, part) in zip((FLOOR, ROOF), PARTS.items(), strict=True):
        place = _PLOT.at(box[part].mean().item(), result.error(part))
        parts.append(_page.mark(*style, *place, name=name))
    return _axes() + "".join(parts)


CHALLENGES = (
    Challenge(
        "Let the residual be below {} px and the roof of the box more than {} px off.",
        less(0.3, lambda result: result.residual), more(10, lambda result: result.error(PARTS["roof"])),
    ),
    Challenge(
        "See the marker from the front, tilt {tilt:g}, with sigma {sigma:g} px, and bring the propagated error of "
        "the roof below {} px.",
        less(12, lambda result: result.expected(PARTS["roof"])), tilt=0.0, sigma=1.0,
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
