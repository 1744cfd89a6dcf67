"""The cameras explorer: two cameras look at a joint, and what an error in px becomes in mm.

**Task.** Find out what makes the ellipse long, and what makes it short.

1. Where it starts, two cameras 0.24 m apart see a joint 2 m away, each pixel off by 0.5 px. Double the *depth*. By what
   do the errors along x and z grow? And when you double the *baseline* instead?

>>> for state in (State(), State(depth=4.0), State(baseline=0.48)):
...     print(f"b = {state.baseline} m, z = {state.depth} m:", *(f"{std:.2f}" for std in compute(state).predicted))
b = 0.24 m, z = 2.0 m: 1.18 1.18 19.71
b = 0.24 m, z = 4.0 m: 2.36 2.36 78.64
b = 0.48 m, z = 2.0 m: 1.20 1.19 9.96

   Across by 2, along by 4. Twice the baseline halves the error in depth, and leaves the others nearly as they were.

2. At a depth of 1 m, which baseline makes the errors along x and z equal? At which angle do the rays meet then?

>>> even = compute(State(baseline=2.0, depth=1.0))
>>> [f"{std:.2f}" for std in even.predicted], f"{even.angle:.0f} degrees"
(['1.18', '0.83', '1.18'], '90 degrees')

   2 m: the rays meet at a right angle. Each camera is blind along its own ray, which is where the other one sees best.

3. At the start, let *argmax* give the pixels of clean heatmaps of stride 4, then *quarter shift*, then *DARK* under
   noise. How large is the error in depth? Which baseline makes argmax as good as DARK at 0.24 m?

>>> for pixels in DECODERS[1:]:
...     print(f"{pixels}: {compute(State(pixels=pixels)).predicted[2]:.1f} mm")
argmax: 45.5 mm
quarter shift: 22.8 mm
DARK: 6.3 mm
>>> f"{min(compute(State(baseline=k / 50, pixels='argmax')).predicted[2] for k in range(5, 101)):.1f} mm"
'6.8 mm'

   45.5, 22.8 and 6.3 mm. No baseline will do: argmax comes down to 6.8 mm at 2 m, where the slider ends.

4. Set the *baseline* to 0.1 m, the *depth* to 4 m and *sigma* to 2 px, and go through the *draws*. Do the dots fill the
   ellipse? What is wrong with it?

>>> far = [compute(State(baseline=0.1, depth=4.0, sigma=2.0, draw=draw)) for draw in DRAWS]
>>> f"predicted {far[0].predicted[2]:.0f} mm, dots {min(r.measured[2] for r in far):.0f} mm at least"
'predicted 754 mm, dots 831 mm at least'
>>> f"their mean is {min(r.shift for r in far):.0f} to {max(r.shift for r in far):.0f} mm too far away"
'their mean is 93 to 293 mm too far away'

   They form a fan with a long tail on the far side. The ellipse is a first order, and at 19 % of the depth that is not
   enough: the dots scatter more, and lie too far away in the mean.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.geometry import Camera, triangulate, triangulation_covariance

FOCAL, HW = 600, (480, 640)
DOTS = 200
DRAWS = tuple(range(1, 9))
DECODERS = ("as sigma says", "argmax", "quarter shift", "DARK")
SIGMA = {"argmax": 4 / 12**0.5, "quarter shift": 4 / 48**0.5, "DARK": 0.16}
"""px on each axis, at stride 4: on clean maps; of DARK with blur 2 under white noise of 0.05, as measured."""

AXES = ("x, across", "y, down", "z, along")
PREDICTED, MEASURED, JOINT = ("diamond", _page.BLUE), ("circle", _page.RED), ("square", _page.INK)


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: meters between the cameras and to the joint, px of error on each axis or the decoder
    that makes it, and which errors are drawn.
    """

    baseline: float = number(0.24, 0.1, 2.0, step=0.02)
    depth: float = number(2.0, 0.5, 4.0, step=0.05)
    sigma: float = number(0.5, 0.05, 2.0, step=0.05)
    pixels: str = choice("as sigma says", DECODERS, width=110)
    draw: int = choice(1, DRAWS, slider=True)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state. Axes: x across, y down, z along the view of both."""

    state: State
    sigma: float  # px, of the errors that are drawn
    angle: float  # degrees at which the rays meet
    predicted: tuple[float, float, float]  # mm, standard deviations along x, y and z
    measured: tuple[float, float, float]
    shift: float  # mm by which the dots lie too far away in the mean
    dots: Tensor  # (DOTS, 3) mm, found minus true


def compute(state: State) -> Result:
    """Draw errors in px, triangulate, and compare with the covariance that is predicted."""
    cameras = [_camera(x, state.depth) for x in (-state.baseline / 2, state.baseline / 2)]
    sigma = SIGMA.get(state.pixels, state.sigma)
    joint = torch.tensor([0.0, 0.0, state.depth], dtype=torch.float64)
    claimed = triangulation_covariance(joint, cameras, sigma**2 * torch.eye(2, dtype=torch.float64))
    center = torch.tensor(((HW[1] - 1) / 2, (HW[0] - 1) / 2), dtype=torch.float64)  # where both see it
    found = triangulate(center + sigma * _errors(state.draw, state.pixels), cameras)
    dots = 1000 * (found - joint)
    return Result(
        state=state,
        sigma=sigma,
        angle=2 * math.degrees(math.atan2(state.baseline / 2, state.depth)),
        predicted=tuple((1000 * claimed.diagonal().sqrt()).tolist()),
        measured=tuple(dots.std(0).tolist()),
        shift=dots[:, 2].mean().item(),
        dots=dots,
    )


@functools.lru_cache(maxsize=256)
def _camera(x: float, depth: float) -> Camera:
    return Camera.look_at((x, 0, 0), (0, 0, depth), focal=FOCAL, hw=HW)


@functools.cache
def _errors(draw: int, pixels: str) -> Tensor:
    """Errors (DOTS, 2 cameras, 2) of variance 1: Gaussian, or even as those of a rounding."""
    source = torch.Generator().manual_seed(draw)
    if pixels in ("argmax", "quarter shift"):
        return 12**0.5 * (torch.rand(DOTS, 2, 2, generator=source, dtype=torch.float64) - 0.5)
    return torch.randn(DOTS, 2, 2, generator=source, dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    names = ", ".join(f"{axis[0]} {std:.2f}" for axis, std in zip(AXES, result.predicted, strict=True))
    place = f"Cameras {s.baseline:.2f} m apart, joint {s.depth:.2f} m away, rays meet at {result.angle:.0f} degrees."
    return (f"{place} Pixels {_source(result)}: predicted in mm {names}; dots along z {result.measured[2]:.2f}. "
            f"{verdict(result)}")


def _source(result: Result) -> str:
    by = "off" if result.state.pixels == DECODERS[0] else f"by {result.state.pixels}, off"
    return f"{by} by {result.sigma:.2f} px"


def verdict(result: Result) -> str:
    """Which way the ellipse is long, and whether the first order is enough."""
    x, _, z = result.predicted
    share = z / 10 / result.state.depth  # percent
    if 0.8 < z / x < 1.25:
        shape = "The ellipse is nearly a circle: the error along the view is like that across."
    elif z > x:
        shape = f"The error along the view is {z / x:.1f} times that across."
    else:
        shape = f"The error across the view is {x / z:.1f} times that along it."
    fits = ("small, and the ellipse fits" if share < 5 else
            "not small any more: dots scatter more than the ellipse says, and lie too far away in the mean"
            if share > 10 else "getting large for an ellipse")
    return f"{shape} Along the view it is {share:.2g} % of the depth: {fits}."


def table(result: Result) -> str:
    """Errors along each axis; its shapes are the panels' legend."""
    rows = [(axis, f"{want:.2f}", f"{have:.2f}")
            for axis, want, have in zip(AXES, result.predicted, result.measured, strict=True)]
    rows.append((_page.legend(*JOINT, "joint: dots too far by"), "0.00", f"{round(result.shift, 2) + 0.0:.2f}"))
    head = ("standard deviation, mm", _page.legend(*PREDICTED, "predicted"), _page.legend(*MEASURED, f"{DOTS} dots"))
    return _page.table(head, rows)


def view(result: Result) -> _page.View:
    """The room from above, the joint's surroundings from above, and the three errors."""
    s, reach = result.state, _reach(result)
    panels = (
        _page.panel("from above, m", 196, 330, _room(s)),
        _page.panel(f"at the joint, from above: {_length(2 * reach)} wide", 302, 330, _near(result, reach)),
        _page.panel("standard deviation, mm", 288, 330, _bars(result)),
    )
    note = (
        "Left: both cameras, which look at the joint, and their rays; z is upward. Middle: the joint, magnified; red "
        "dots: what triangulation finds, each with errors of its own; blue: the predicted ellipse, which holds 95 % of "
        "Gaussian dots; gray: the rays. Right: blue, predicted; red, of the dots. Focal length 600 px; decoders read "
        "maps of stride 4, argmax and quarter shift clean ones, DARK noisy ones (0.05)."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


_ROOM = _page.Plot((34, 24, 150, 258), x=(-1.25, 1.25), y=(-0.15, 4.15), log="")
_ERRORS = _page.Plot((48, 24, 228, 258), x=(0.0, 3.0), y=(0.02, 2000.0), log="y")
_SIDE = 300  # px, of the square in the middle
_CIRCLE = [(math.cos(t / 36 * math.pi), math.sin(t / 36 * math.pi)) for t in range(73)]
_WITHIN = math.sqrt(-2 * math.log(0.05))  # standard deviations to the ellipse that holds 95 %


@functools.cache
def _axes() -> tuple[str, str]:
    """The same for every state."""
    room = _ROOM.axes({x: f"{x:g}" for x in (-1.0, 0.0, 1.0)}, {float(z): f"{z}" for z in range(5)}, "x, m")
    ticks = {value: f"{value:g}" for value in (0.1, 1.0, 10.0, 100.0, 1000.0)}
    bars = _ERRORS.axes({k + 0.5: axis for k, axis in enumerate(AXES)}, ticks, "of found minus true")
    return room, bars


def _room(s: State) -> str:
    joint = _ROOM.at(0, s.depth)
    parts = [_axes()[0]]
    for name, x in (("left", -s.baseline / 2), ("right", s.baseline / 2)):
        place = _ROOM.at(x, 0)
        parts.append(_page.tag("line", x1=place[0], y1=place[1], x2=joint[0], y2=joint[1], stroke=_page.GRAY))
        parts.append(_page.mark("triangle", _page.INK, *place, name=name))
    return "".join(parts) + _page.mark(*JOINT, *joint, scale=0.8, name="joint")


def _reach(result: Result) -> float:
    """Half the side of the square in the middle, mm: a round number that leaves room for the ellipse."""
    need = 1.4 * _WITHIN * max(result.predicted[0], result.predicted[2])
    power = 10 ** math.floor(math.log10(need))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= need)


def _length(mm: float) -> str:
    return f"{mm / 1000:g} m" if mm >= 1000 else f"{mm:g} mm"


def _near(result: Result, reach: float) -> str:
    """Dots, ellipse and rays, as seen from above; z is upward."""
    s, scale, middle = result.state, _SIDE / 2 / reach, _SIDE / 2
    parts = []
    for x in (-s.baseline / 2, s.baseline / 2):
        long = 3 * middle / math.hypot(x, s.depth)
        dx, dz = -x * long, s.depth * long
        parts.append(_page.tag("line", x1=middle - dx, y1=middle + dz, x2=middle + dx, y2=middle - dz,
                               stroke=_page.LINE, stroke_width=2))
    across, _, along = result.dots.T.tolist()
    dots = "".join([f"M{middle + scale * x:.1f} {middle - scale * z:.1f}h0"
                    for x, z in zip(across, along, strict=True) if max(abs(x), abs(z)) <= reach])
    parts.append(_page.tag("path", d=dots, stroke=_page.RED, stroke_width=3.5, stroke_linecap="round",
                           data_name="dots"))
    wide, _, high = (_WITHIN * scale * std for std in result.predicted)
    parts.append(_page.tag("ellipse", cx=middle, cy=middle, rx=wide, ry=high, fill="none", stroke=_page.BLUE,
                           stroke_width=2, data_name="ellipse"))
    parts.append(_page.mark(*JOINT, middle, middle, scale=0.6, name="joint"))
    return _page.window(1, 24, _SIDE, _SIDE, (0, 0, _SIDE, _SIDE), *parts)


def _bars(result: Result) -> str:
    parts = [_axes()[1]]
    for k, (want, have) in enumerate(zip(result.predicted, result.measured, strict=True)):
        for dx, value, style, name in ((0.36, want, PREDICTED, "predicted"), (0.64, have, MEASURED, "measured")):
            (x, y), (shape, color) = _ERRORS.at(k + dx, value), style
            bar = {"x1": x, "x2": x, "y1": _ERRORS.at(0, _ERRORS.y[0])[1], "y2": y}
            parts.append(_page.tag("line", stroke=color, stroke_width=6, stroke_opacity=0.35, **bar))
            parts.append(_page.mark(shape, color, x, y, scale=0.9, name=f"{name} {AXES[k][0]}"))
    return "".join(parts)


CHALLENGES = (
    Challenge(
        "Turn the ellipse round: make the predicted error along the view less than {} times that across.",
        less(0.7, lambda result: result.predicted[2] / result.predicted[0]),
    ),
    Challenge(
        "With pixels from {pixels}, at a depth of {depth:g} m, bring the predicted error along the view below {} "
        "mm.",
        less(30, lambda result: result.predicted[2]), pixels="argmax", depth=4.0,
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
