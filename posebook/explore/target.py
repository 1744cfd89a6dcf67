"""The target explorer: the numbers that a Gaussian heatmap becomes on its cells, and what can be read back from them.

>>> for start in ({}, {"keypoint": "rounded"}, {"grid": "mixed"}, {"x": 1.0}):
...     print(verdict(compute(State(**start))))
Argmax names a cell; its neighbors hold the rest of the answer, and DARK and soft-argmax read it.
The keypoint was rounded to a whole cell before encoding, by 0.36 cells: no decoder can know.
Encoded as center, decoded as index: every decoder is off by another -(s - 1)/2 = -1.50 px on both axes.
The border cuts off 35 % of the bump: its mean, which soft-argmax reads, moves inward.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook.decode import argmax, refine_dark
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.grid import Grid

HW = (64, 64)  # of the image
STRIDES = (1, 2, 4, 8)
GRIDS = ("center", "index", "mixed")  # mixed: encoded as center, decoded as index
KEYPOINTS = ("exact", "rounded")

KEYPOINT = "reticle", _page.INK
DECODERS = {
    "argmax": ("square", _page.RED),
    "DARK": ("triangle", _page.GREEN),
    "soft-argmax": ("circle", _page.BLUE),
}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand; the keypoint (x, y) in image px, sigma in cells. It is encoded exactly or rounded."""

    stride: int = choice(4, STRIDES)
    sigma: float = number(1.0, 0.3, 4, step=0.05)
    x: float = number(30.6, 0, HW[1] - 1, step=0.1)
    y: float = number(32.6, 0, HW[0] - 1, step=0.1)
    grid: str = choice("center", GRIDS, width=90)
    keypoint: str = choice("exact", KEYPOINTS, width=90)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state."""

    state: State
    heatmap: Tensor  # (H, W)
    keypoint: tuple[float, float]  # (x, y) in cells
    bump: tuple[float, float]  # where the target was drawn, in cells
    highest: tuple[int, int]  # cell (x, y) of the highest value
    peak: float  # that value
    sum: float
    integral: float  # 2 pi sigma^2
    points: dict[str, tuple[float, float]]  # decoder -> (x, y) in image px
    errors: dict[str, float]  # decoder -> distance from the keypoint in image px


def compute(state: State) -> Result:
    """Encode the keypoint, look at the values, decode them three ways."""
    encoding, decoding = _grids(state.stride, state.grid)
    xy = torch.tensor([state.x, state.y], dtype=torch.float64)
    keypoint = encoding.to_cells(xy)
    bump = keypoint.round() if state.keypoint == "rounded" else keypoint
    heatmap = gaussian_heatmap(bump, (HW[0] // state.stride, HW[1] // state.stride), sigma=state.sigma)
    highest = argmax(heatmap)
    cells = torch.stack((highest, refine_dark(heatmap), soft_argmax(heatmap.log())))  # of the log: h / sum(h)
    points = decoding.to_image(cells)
    return Result(
        state=state,
        heatmap=heatmap,
        keypoint=tuple(keypoint.tolist()),
        bump=tuple(bump.tolist()),
        highest=tuple(map(int, highest.tolist())),
        peak=heatmap.max().item(),
        sum=heatmap.sum().item(),
        integral=2 * math.pi * state.sigma**2,
        points=dict(zip(DECODERS, map(tuple, points.tolist()), strict=True)),
        errors=dict(zip(DECODERS, (points - xy).norm(dim=-1).tolist(), strict=True)),
    )


@functools.cache
def _grids(stride: int, name: str) -> tuple[Grid, Grid]:
    """To encode with and to decode with."""
    center, index = Grid.center(stride), Grid.index(stride)
    return {"center": (center, center), "index": (index, index), "mixed": (center, index)}[name]


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    keypoint = f"{s.keypoint} keypoint ({s.x:.2f}, {s.y:.2f}) px"
    where = f"Stride {s.stride}, sigma {s.sigma:.2f} cells, {keypoint}, grid {s.grid}."
    values = f"Highest value {result.peak:.2f}, sum {result.sum:.2f}, 2 pi sigma^2 = {result.integral:.2f}."
    errors = ", ".join(f"{name} {error:.2f}" for name, error in result.errors.items())
    return f"{where} {values} Errors in px: {errors}. {verdict(result)}"


def verdict(result: Result) -> str:
    """What can be read back from the values, and what cannot."""
    s = result.state
    if s.grid == "mixed" and s.stride > 1:
        shift = f"-(s - 1)/2 = {-(s.stride - 1) / 2:.2f} px"
        return f"Encoded as center, decoded as index: every decoder is off by another {shift} on both axes."
    if s.keypoint == "rounded":
        lost = math.dist(result.bump, result.keypoint)
        if lost < 0.005:
            return "The keypoint lies at a cell's center: rounding it before encoding takes nothing."
        return f"The keypoint was rounded to a whole cell before encoding, by {lost:.2f} cells: no decoder can know."
    missing = 1 - result.sum / result.integral
    if missing > 0.01 and _beyond(result) < 4:
        share = f"{100 * missing:.0f} %"
        return f"The border cuts off {share} of the bump: its mean, which soft-argmax reads, moves inward."
    if s.sigma < 0.5:
        return "Narrower than half a cell: the sum depends on where in its cell the keypoint lies, and the mean is off."
    return "Argmax names a cell; its neighbors hold the rest of the answer, and DARK and soft-argmax read it."


def _beyond(result: Result) -> float:
    """Distance from the bump to the map's nearest edge, in sigmas."""
    (h, w), (x, y) = result.heatmap.shape, result.bump
    return min(x + 0.5, y + 0.5, w - 0.5 - x, h - 0.5 - y) / result.state.sigma


def table(result: Result) -> str:
    """Points and errors; its shapes are the panels' legend."""
    rows = [(_page.legend(*KEYPOINT, "keypoint"), f"{result.state.x:.2f}", f"{result.state.y:.2f}", "")]
    for name, (x, y) in result.points.items():
        rows.append((_page.legend(*DECODERS[name], name), f"{x:.2f}", f"{y:.2f}", _page.figure(result.errors[name])))
    return _page.table(("point", "x", "y", "error in px"), rows)


_SIDE, _NEAR = 200, 2  # px, of a square window; cells around the highest


def view(result: Result) -> _page.View:
    """The target on the image, the values around its highest cell, and the row through that cell."""
    s, (h, w) = result.state, HW
    encoding, _ = _grids(s.stride, s.grid)
    edge = encoding.offset - s.stride / 2  # of the map, in px
    under = _page.heatmap(result.heatmap, edge, edge, w, h) if result.peak > 0 else ""
    under += _page.cells(HW, s.stride, edge)
    column, row = (encoding.offset + s.stride * (n - _NEAR - 0.5) for n in result.highest)
    near = (column, row, (2 * _NEAR + 1) * s.stride, (2 * _NEAR + 1) * s.stride)
    marks = functools.partial(_page.points, {"keypoint": KEYPOINT, **DECODERS}, (s.x, s.y), result.points)
    whole = _page.window(1, 24, _SIDE, _SIDE, (-0.5, -0.5, w, h), under, marks(scale=0.6 * w / _SIDE))
    part = _page.window(1, 24, _SIDE, _SIDE, near, under, marks(scale=0.8 * near[2] / _SIDE))
    panels = (
        _page.panel(f"target: {w // s.stride} x {h // s.stride} cells", _SIDE + 2, 226, whole),
        _page.panel(f"values; sum of the map {result.sum:.2f}", _SIDE + 2, 226, part, _values(result)),
        _page.panel("the values in the highest cell's row", 312, 254, _row(result)),
    )
    note = (
        f"An image of {w} x {h} px; sigma in cells. The highest value is {result.peak:.3f}, where the Gaussian itself "
        f"has 1; the sum is {result.sum:.2f}, the integral of the Gaussian 2 pi sigma^2 = {result.integral:.2f}. "
        "Curve: the Gaussian along that row. Dots: its values at the cells, all that a network is shown. Soft-argmax "
        "is the mean cell, weighted by the values divided by their sum."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _values(result: Result) -> str:
    """The numbers in the cells around the highest one; they are beside the marks, not under them."""
    (h, w), (x, y), size = result.heatmap.shape, result.highest, _SIDE / (2 * _NEAR + 1)
    values, parts = result.heatmap.tolist(), []
    for j in range(max(0, y - _NEAR), min(h, y + _NEAR + 1)):
        for i in range(max(0, x - _NEAR), min(w, x + _NEAR + 1)):
            dark = values[j][i] > 0.75 * result.peak
            at = 1 + (i - x + _NEAR + 0.5) * size, 24 + (j - y + _NEAR + 1) * size - 4
            color = _page.PAPER if dark else _page.INK
            parts.append(_page.words(f"{values[j][i]:.2f}", *at, color=color, anchor="middle"))
    return "".join(parts)


_PLOT = _page.Plot((36, 24, 262, 192), x=(0.0, 1.0), y=(0.0, 1.05), log="")


def _row(result: Result) -> str:
    """The Gaussian along the highest cell's row as a curve, its samples as dots, all over px."""
    s, y = result.state, result.highest[1]
    encoding, _ = _grids(s.stride, s.grid)
    reach = max(3 * s.sigma, 2.5) * s.stride
    middle = encoding.offset + s.stride * result.bump[0]
    plot = _page.Plot(_PLOT.box, x=(middle - reach, middle + reach), y=_PLOT.y, log="")
    height = math.exp(-((y - result.bump[1]) ** 2) / (2 * s.sigma**2))
    curve = [(middle + t * reach / 60, height * math.exp(-((t * reach / 60 / s.stride / s.sigma) ** 2) / 2))
             for t in range(-60, 61)]
    every = next(n for n in (1, 2, 5, 10, 20, 50) if 2 * reach <= 7 * n)
    labels = {float(n): str(n) for n in range(-100, 200, every) if plot.x[0] <= n <= plot.x[1]}
    samples = [(encoding.offset + s.stride * k, value) for k, value in enumerate(result.heatmap[y].tolist())]
    inside = [(x, value) for x, value in samples if plot.x[0] <= x <= plot.x[1]]
    stems = "".join("M{:.1f} {:.1f}V{:.1f}".format(*plot.at(x, 0), plot.at(x, value)[1]) for x, value in inside)
    dots = "".join("M{:.1f} {:.1f}h0".format(*plot.at(x, value)) for x, value in inside)
    at = plot.at(s.x, 0)[0]
    return "".join([
        plot.axes(labels, {0.0: "0", 0.5: "0.5", 1.0: "1"}, "x in px"),
        _page.tag("line", x1=at, x2=at, y1=24, y2=216, stroke=_page.INK, stroke_dasharray="2 3"),
        plot.curve(curve, _page.GRAY, 1.5),
        _page.tag("path", d=stems, stroke=_page.BLUE, stroke_width=2, stroke_opacity=0.5),
        _page.tag("path", d=dots, stroke=_page.BLUE, stroke_width=8, stroke_linecap="round"),
    ])


CHALLENGES = (
    Challenge(
        "With an {keypoint} keypoint, encoded and decoded on one grid, make soft-argmax err by more than {} px "
        "and DARK by less than {} px.",
        more(0.5, lambda result: result.errors["soft-argmax"]), less(0.05, lambda result: result.errors["DARK"]),
        lambda result: result.state.grid != "mixed", keypoint="exact",
    ),
    Challenge(
        "At stride {stride}, make argmax err by less than {} px.",
        less(0.05, lambda result: result.errors["argmax"]), stride=4,
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
