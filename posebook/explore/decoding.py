"""The temperature and stride explorer: how far off each decoder is, and the cliff that soft-argmax falls down.

>>> for tau in (0.01, 0.1, 1.0):
...     print(verdict(compute(State(stride=4, tau=tau))))
Soft-argmax is off by 0.28 cells or 1.12 px, as the closed form says.
Soft-argmax is off by 0.03 cells or 0.14 px, as the closed form says.
Soft-argmax is exact to float32 round-off.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import theory
from posebook.decode import argmax, refine_dark, refine_quarter
from posebook.expectation import soft_argmax, spatial_softmax
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.grid import Grid

HW = (96, 128)  # of the image
SIGMA = 6.0  # of the Gaussian whose logarithm the logits are, in image px
STRIDES = (1, 2, 4, 8, 16)

KEYPOINT = "reticle", _page.INK
DECODERS = {
    "argmax": ("square", _page.RED),
    "quarter shift": ("diamond", _page.ORANGE),
    "DARK": ("triangle", _page.GREEN),
    "soft-argmax": ("circle", _page.BLUE),
}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand; the keypoint (x, y) in image px."""

    stride: int = choice(8, STRIDES)
    tau: float = number(0.25, 0.01, 10, step=0.02, log=True)
    x: float = number(61.3, 0, HW[1] - 1, step=0.25)
    y: float = number(40.4, 0, HW[0] - 1, step=0.25)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state. Every error is a distance; those in cells are soft-argmax's."""

    state: State
    prob: Tensor  # (H, W), softmax of logits / tau
    points: dict[str, tuple[float, float]]  # decoder -> (x, y) in image px
    errors: dict[str, float]  # decoder -> distance from the keypoint in image px
    q: float  # width of prob in cells
    measured: float  # error in cells
    expected: float  # by the closed form, which knows no border
    excess: float  # between the measured and the expected point
    floor: float  # what float32 resolves in the middle of the map, in cells


def compute(state: State) -> Result:
    """Encode the keypoint in float32, decode it four ways, and ask the closed form."""
    grid, sigma = Grid.center(state.stride), SIGMA / state.stride
    keypoint = grid.to_cells(torch.tensor([state.x, state.y], dtype=torch.float32))
    y, x = (torch.arange(n // state.stride) for n in HW)
    logits = ((x - keypoint[0]).square() + (y - keypoint[1]).square()[:, None]) / (-2 * sigma**2)  # (H, W)
    heatmap = logits.exp()
    decoded = argmax(heatmap), refine_quarter(heatmap), refine_dark(heatmap), soft_argmax(logits, state.tau)
    cells = torch.stack(decoded)  # (4, 2)

    error = cells.double() - keypoint.double()
    q = math.sqrt(state.tau) * sigma
    expected = theory.alias_error(keypoint.double() - keypoint.double().round(), q)
    return Result(
        state=state,
        prob=spatial_softmax(logits, state.tau),
        points=dict(zip(DECODERS, map(tuple, grid.to_image(cells).tolist()), strict=True)),
        errors=dict(zip(DECODERS, (state.stride * error.norm(dim=1)).tolist(), strict=True)),
        q=q,
        measured=error[-1].norm().item(),
        expected=expected.norm().item(),
        excess=(error[-1] - expected).norm().item(),
        floor=torch.finfo(torch.float32).eps * len(x) / 2,
    )


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    errors = ", ".join(f"{name} {error:.2f}" for name, error in result.errors.items())
    where = f"Stride {s.stride}, tau {s.tau:.2f}, keypoint ({s.x:.2f}, {s.y:.2f}) px: q = {result.q:.2f} cells."
    return f"{where} Errors in px: {errors}. {verdict(result)}"


def verdict(result: Result) -> str:
    """Is soft-argmax where the closed form says?"""
    if result.excess > max(4 * result.floor, 0.1 * result.expected):
        return f"The border pulls soft-argmax off the curve, by {_both(result, result.excess)}."
    if result.measured <= 4 * result.floor:
        return "Soft-argmax is exact to float32 round-off."
    return f"Soft-argmax is off by {_both(result, result.measured)}, as the closed form says."


def _both(result: Result, cells: float) -> str:
    return f"{_page.figure(cells)} cells or {_page.figure(cells * result.state.stride)} px"


def table(result: Result) -> str:
    """Points and errors; its shapes are the panels' legend."""
    s = result.state
    rows = [(_page.legend(*KEYPOINT, "keypoint"), f"{s.x:.2f}", f"{s.y:.2f}", "", "")]
    for name, xy in result.points.items():
        errors = result.errors[name], result.errors[name] / s.stride
        rows.append((_page.legend(*DECODERS[name], name), *(f"{v:.2f}" for v in xy), *map(_page.figure, errors)))
    return _page.table(("point", "x", "y", "error in px", "in cells"), rows)


def view(result: Result) -> _page.View:
    """The heatmap on the image, three cells around the keypoint, and the place on the curve."""
    (h, w), s = HW, result.state
    image = (-0.5, -0.5, w, h)
    zoom = (s.x - 1.5 * s.stride, s.y - 1.5 * s.stride, 3 * s.stride, 3 * s.stride)
    heatmap = _page.heatmap(result.prob, *image)
    marks = functools.partial(_page.points, {"keypoint": KEYPOINT, **DECODERS}, (s.x, s.y), result.points)
    panels = (
        _page.panel(f"keypoint and softmax, {w // s.stride} x {h // s.stride} cells", 226, 194,
                    _page.window(1, 24, 224, 168, image, heatmap, marks(scale=0.6 * w / 224))),
        _page.panel("3 x 3 cells around it", 170, 194,
                    _page.window(1, 24, 168, 168, zoom, heatmap, _page.cells(HW, s.stride, -0.5),
                                 marks(scale=1.1 * zoom[2] / 168))),
        _page.panel("soft-argmax: distance from the keypoint in cells", 312, 254, _curve(), _place(result)),
    )
    note = (
        f"An image of {w} x {h} px, tiled by the cells, and a Gaussian with sigma = {SIGMA:g} px, computed in float32. "
        "All errors are distances. Curve: the closed form, its root mean square over all places of the keypoint "
        "within a cell. Ring: the closed form for this place. Dot: measured."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


# The curve: both axes are logarithmic.

_PLOT = _page.Plot((36, 24, 270, 192), x=(0.03, 30.0), y=(1e-8, 10.0))  # q, distance


@functools.cache
def _closed_form() -> list[tuple[float, float]]:
    """Points (q, error) of the curve, as far down as it is drawn."""
    points = [(q, math.sqrt(2) * theory.alias_rms(q)) for q in (_PLOT.x[0] * 10 ** (i / 100) for i in range(160))]
    return [(q, error) for q, error in points if error > _PLOT.y[0]]


@functools.cache
def _curve() -> str:
    """Axes, the closed form, the level of argmax: the same for every state."""
    x, _, width, _ = _PLOT.box
    argmax = math.sqrt(2 / 12)  # uniform over the cell, on both axes
    label = _page.words("argmax 0.41", x + width, _PLOT.at(1, argmax)[1] + 14, color=_page.RED, anchor="end")
    return "".join([
        _PLOT.axes(
            {q: f"{q:g}" for q in (0.1, 0.5, 1, 2, 10)},
            {1.0: "1", 1e-2: "0.01", 1e-4: "1e-4", 1e-6: "1e-6", 1e-8: "1e-8"}, "q = sqrt(tau) sigma / s, cells",
        ),
        _PLOT.level(argmax, _page.RED, stroke_dasharray="4 3"), label, _PLOT.curve(_closed_form()),
    ])


def _place(result: Result) -> str:
    """The float32 floor, the closed form here and now as a ring, the measurement as a dot."""
    x, y, width, height = _PLOT.box
    floor = _PLOT.at(1, result.floor)[1]
    parts = [
        _page.tag("rect", x=x, y=floor, width=width, height=y + height - floor, fill=_page.GRAY, fill_opacity=0.12),
        _page.words("float32 round-off", x + width - 4, y + height - 6, anchor="end"),
    ]
    at = _PLOT.at(result.q, result.expected)
    if result.expected >= _PLOT.y[0]:
        parts.append(_page.tag("circle", cx=at[0], cy=at[1], r=9, fill="none", stroke=_page.INK, stroke_width=1.5))
    parts.append(_page.mark(*DECODERS["soft-argmax"], *_PLOT.at(result.q, result.measured), name="place"))
    return "".join(parts)


CHALLENGES = (
    Challenge(
        "At stride {stride}, make soft-argmax err by less than {} px.",
        less(0.05, lambda result: result.errors["soft-argmax"]), stride=8,
    ),
    Challenge(
        "At stride {stride}, where cells are finest, make soft-argmax err by more than {} px.",
        more(5, lambda result: result.errors["soft-argmax"]), stride=1,
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
