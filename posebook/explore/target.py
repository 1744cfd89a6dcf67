"""The target explorer: the numbers that a Gaussian heatmap becomes on its cells, and what can be read back from them.

>>> for start in ({}, {"center": "rounded"}, {"grid": "mixed"}, {"x": 1.0}):
...     print(verdict(compute(State(**start))))
Argmax names a cell; its neighbors hold the rest of the answer, and DARK and soft-argmax read it.
The center was rounded before encoding, by 0.36 cells: no decoder knows.
Encoded as center, decoded as index: every decoder is off by another -(s - 1)/2 = -1.50 px on both axes.
The border cuts off 35 % of the bump: its mean, which soft-argmax reads, moves inward.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import _args
from posebook.decode import argmax, refine_dark
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax
from posebook.explore import _page
from posebook.grid import Grid

HW = (64, 64)  # of the image
STRIDES = (1, 2, 4, 8)
GRIDS = ("center", "index", "mixed")  # mixed: encoded as center, decoded as index
CENTERS = ("exact", "rounded")
SIGMA, X, Y = (0.3, 4.0), (0.0, HW[1] - 1.0), (0.0, HW[0] - 1.0)  # lowest and highest; cells, px, px

KEYPOINT = "reticle", _page.INK
DECODERS = {
    "argmax": ("square", _page.RED),
    "DARK": ("triangle", _page.GREEN),
    "soft-argmax": ("circle", _page.BLUE),
}


@dataclass(frozen=True)
class State:
    """Where the controls stand; the keypoint (x, y) in image px, sigma in cells."""

    stride: int = 4
    sigma: float = 1.0
    x: float = 30.6
    y: float = 32.6
    grid: str = "center"
    center: str = "exact"

    def __post_init__(self):
        if isinstance(self.stride, bool) or self.stride not in STRIDES:
            _args.fail("stride", "one of " + ", ".join(map(str, STRIDES)), self.stride)
        for name, bounds in {"sigma": SIGMA, "x": X, "y": Y}.items():
            _args.within(name, getattr(self, name), bounds)
        _args.one_of("grid", self.grid, GRIDS)
        _args.one_of("center", self.center, CENTERS)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state."""

    state: State
    heatmap: Tensor  # (H, W)
    keypoint: tuple[float, float]  # (x, y) in cells
    bump: tuple[float, float]  # where the target's center is, in cells
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
    bump = keypoint.round() if state.center == "rounded" else keypoint
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
    where = f"Stride {s.stride}, sigma {s.sigma:.2f} cells, keypoint ({s.x:.2f}, {s.y:.2f}) px, {s.grid}, {s.center}."
    values = f"Highest value {result.peak:.2f}, sum {result.sum:.2f}, 2 pi sigma^2 = {result.integral:.2f}."
    errors = ", ".join(f"{name} {error:.2f}" for name, error in result.errors.items())
    return f"{where} {values} Errors in px: {errors}. {verdict(result)}"


def verdict(result: Result) -> str:
    """What can be read back from the values, and what cannot."""
    s = result.state
    if s.grid == "mixed" and s.stride > 1:
        shift = f"-(s - 1)/2 = {-(s.stride - 1) / 2:.2f} px"
        return f"Encoded as center, decoded as index: every decoder is off by another {shift} on both axes."
    if s.center == "rounded":
        lost = math.dist(result.bump, result.keypoint)
        return f"The center was rounded before encoding, by {lost:.2f} cells: no decoder knows."
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
    """Points and errors; its shapes are the picture's legend."""
    rows = [(_page.legend(*KEYPOINT, "keypoint"), f"{result.state.x:.2f}", f"{result.state.y:.2f}", "")]
    for name, (x, y) in result.points.items():
        rows.append((_page.legend(*DECODERS[name], name), f"{x:.2f}", f"{y:.2f}", _page.figure(result.errors[name])))
    return _page.table(("point", "x", "y", "error in px"), rows)


_SIDE, _NEAR = 216, 2  # of a square window in the picture; cells around the highest
_LEFTS = (1, 241)  # of both windows


def svg(result: Result) -> str:
    """The target on the image, the values around its highest cell, and the row through that cell."""
    s, (h, w) = result.state, HW
    encoding, _ = _grids(s.stride, s.grid)
    edge = encoding.offset - s.stride / 2  # of the map, in px
    heatmap = _page.heatmap(result.heatmap, edge, edge, w, h) if result.peak > 0 else ""
    column, row = (encoding.offset + s.stride * (n - _NEAR - 0.5) for n in result.highest)
    near = (column, row, (2 * _NEAR + 1) * s.stride, (2 * _NEAR + 1) * s.stride)
    marks = functools.partial(_page.points, {"keypoint": KEYPOINT, **DECODERS}, (s.x, s.y), result.points)
    return _page.picture(
        826, 254, sentence(result),
        _page.words(f"target, {w // s.stride} x {h // s.stride} cells on {w} x {h} px", _LEFTS[0], 14, color=_page.INK),
        _page.window(_LEFTS[0], 24, _SIDE, _SIDE, (-0.5, -0.5, w, h), heatmap, _page.cells(HW, s.stride, edge),
                     marks(scale=0.6 * w / 256)),
        _page.words(f"values; their sum over the map {result.sum:.2f}", _LEFTS[1], 14, color=_page.INK),
        _page.window(_LEFTS[1], 24, _SIDE, _SIDE, near, heatmap, _page.cells(HW, s.stride, edge),
                     marks(scale=0.9 * near[2] / 256)),
        _values(result),
        _page.words("the highest cell's row", 520, 14, color=_page.INK),
        _row(result),
    )


def view(result: Result) -> str:
    """All that a move changes."""
    note = (
        f"Sigma in cells. Highest value {result.peak:.3f}, where the Gaussian itself has 1; sum {result.sum:.2f}, "
        f"its integral 2 pi sigma^2 = {result.integral:.2f}. Curve: the Gaussian along that row. Dots: its samples, "
        "all that a network is shown. Soft-argmax: the mean of the values divided by their sum."
    )
    return _page.card(svg(result), table(result), verdict(result), note)


def _values(result: Result) -> str:
    """The numbers in the cells around the highest one; they are beside the marks, not under them."""
    (h, w), (x, y), size = result.heatmap.shape, result.highest, _SIDE / (2 * _NEAR + 1)
    values, parts = result.heatmap.tolist(), []
    for j in range(max(0, y - _NEAR), min(h, y + _NEAR + 1)):
        for i in range(max(0, x - _NEAR), min(w, x + _NEAR + 1)):
            dark = values[j][i] > 0.75 * result.peak
            at = _LEFTS[1] + (i - x + _NEAR + 0.5) * size, 24 + (j - y + _NEAR + 1) * size - 4
            color = _page.PAPER if dark else _page.INK
            parts.append(_page.words(f"{values[j][i]:.2f}", *at, color=color, anchor="middle"))
    return "".join(parts)


_PLOT = _page.Plot((556, 24, 262, 192), x=(0.0, 1.0), y=(0.0, 1.05), log="")


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


_MARKERS = {"square": "s", "triangle": "^", "circle": "o"}


def png(result: Result) -> bytes:
    """The values around the highest cell and the row through it, for pages without a kernel."""
    from posebook import draw  # matplotlib is slow to import, and no move needs it

    s, (h, w) = result.state, HW
    encoding, _ = _grids(s.stride, s.grid)
    edge = encoding.offset - s.stride / 2
    fig, (image, row) = draw.axes(2, width=8.6)
    image.imshow(result.heatmap.numpy(), cmap="Blues", vmin=0, vmax=1.6, extent=(edge, edge + w, edge + h, edge))
    center = [encoding.offset + s.stride * n for n in result.highest]
    reach = (_NEAR + 0.5) * s.stride
    for j, i in ((j, i) for j in range(result.heatmap.shape[0]) for i in range(result.heatmap.shape[1])):
        if max(abs(i - result.highest[0]), abs(j - result.highest[1])) <= _NEAR:
            place = encoding.offset + s.stride * i, encoding.offset + s.stride * (j + 0.38)
            image.text(*place, f"{result.heatmap[j, i]:.2f}", ha="center", va="center", fontsize=8)
    for (name, (shape, color)), (x, y) in zip(DECODERS.items(), result.points.values(), strict=True):
        label = f"{name}: {result.errors[name]:.2f} px"
        image.plot(x, y, _MARKERS[shape], color=color, fillstyle="none", markeredgewidth=2, label=label)
    image.plot(s.x, s.y, "+", color=KEYPOINT[1], markersize=14, label="keypoint")
    image.set(xlim=(center[0] - reach, center[0] + reach), ylim=(center[1] + reach, center[1] - reach),
              xlabel="x in px", ylabel="y in px", title=f"target, stride {s.stride}, sigma {s.sigma:.2f} cells")
    image.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    values = result.heatmap[result.highest[1]].tolist()
    row.stem([encoding.offset + s.stride * k for k in range(len(values))], values, basefmt=" ")
    row.axvline(s.x, color=_page.INK, linestyle=":")
    far = max(3 * s.sigma, 2.5) * s.stride
    row.set(title="the highest cell's row", xlabel="x in px", xlim=(s.x - far, s.x + far), ylim=(0, 1.05))
    return draw.png(fig)


def explore(**start: object) -> _page.Explorer:
    """The explorer; ``explore(stride=8, center="rounded")`` starts there."""
    s = State(**start)
    controls = {
        "stride": _page.choice("stride", s.stride, STRIDES),
        "sigma": _page.number("sigma", s.sigma, *SIGMA, step=0.05),
        "x": _page.number("x", s.x, *X, step=0.1),
        "y": _page.number("y", s.y, *Y, step=0.1),
        "grid": _page.choice("grid", s.grid, GRIDS, width=90),
        "center": _page.choice("center", s.center, CENTERS, width=90),
    }
    return _page.Explorer(s, controls, compute=compute, view=view, sentence=sentence, png=png)
