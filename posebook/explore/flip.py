"""The flip test explorer: two peaks that should agree, and the shift that parts them.

>>> for shift in SHIFTS:
...     print(verdict(compute(State(stride=4, grid="index", shift=shift))))
The flipped-back peak is off by -(s - 1)/s = -0.75 cells or -3.00 px, and the average by half of that.
One cell is too far by 1/s = +0.25 cells or +1.00 px, and the average is off by half of that.
Exact: the map moves by (s - 1)/s = 0.75 cells, between cells.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.grid import Grid
from posebook.warp import flip_heatmap, flip_image, flip_points, flip_shift

WIDTH = 96  # of the image in px
SIGMA = 0.75  # of the Gaussian in cells: wide enough for its center of mass, narrow enough for the border
STRIDES = (2, 4, 8)
GRIDS = ("index", "center", "unit length")
SHIFTS = ("none", "one cell", "exact")

KEYPOINT = "reticle", _page.INK
PEAKS = {
    "image": ("square", _page.BLUE),
    "flipped back": ("diamond", _page.ORANGE),
    "average": ("circle", _page.GREEN),
}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand; the keypoint's x in image px."""

    stride: int = choice(4, STRIDES)
    x: float = number(60.3, 32, 63, step=0.25)  # the middle third of the image: no peak feels the border
    grid: str = choice("index", GRIDS, width=99)
    shift: str = choice("none", SHIFTS, width=99)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state; errors are signed, to the right."""

    state: State
    maps: dict[str, Tensor]  # peak -> its row of the heatmap (n,)
    peaks: dict[str, float]  # image px
    off: dict[str, float]  # from the keypoint in cells
    stride: float  # px per cell, not quite the state's in unit length
    shift: float  # cells that the mirrored map was moved
    exact: float  # cells that it should have been moved
    middles: tuple[float, float]  # of the image and of the map in px


def compute(state: State) -> Result:
    """Encode the keypoint in the image and in its mirror image, flip the second map back, average, decode."""
    n, grid = WIDTH // state.stride, _grid(state.stride, state.grid)
    keypoint = torch.tensor([state.x, 0.0], dtype=torch.float64)
    image, mirrored = (
        gaussian_heatmap(grid.to_cells(xy), (1, n), sigma=SIGMA) for xy in (keypoint, flip_points(keypoint, WIDTH))
    )
    exact = flip_shift(grid, width=WIDTH, cells=n)
    back = flip_heatmap(mirrored, WIDTH, grid) if state.shift == "exact" else flip_image(mirrored)
    if state.shift == "one cell":  # what much code does: heatmap[..., 1:] = heatmap[..., :-1]
        back = torch.cat((back[..., :1], back[..., :-1]), -1)
    maps = torch.stack((image, back, (image + back) / 2))
    cells = soft_argmax(maps.log())  # softmax(log h) is h / sum(h): the center of mass
    off = cells[:, 0] - grid.to_cells(keypoint)[0]
    return Result(
        state=state,
        maps=dict(zip(PEAKS, maps[:, 0], strict=True)),
        peaks=dict(zip(PEAKS, grid.to_image(cells)[:, 0].tolist(), strict=True)),
        off=dict(zip(PEAKS, off.tolist(), strict=True)),
        stride=_at(grid, 1) - _at(grid, 0),
        shift={"none": 0.0, "one cell": 1.0, "exact": exact}[state.shift],
        exact=exact,
        middles=((WIDTH - 1) / 2, _at(grid, (n - 1) / 2)),
    )


@functools.cache
def _grid(stride: int, name: str) -> Grid:
    if name == "unit length":
        return Grid.unit_length((WIDTH, WIDTH), (WIDTH // stride, WIDTH // stride))
    return (Grid.index if name == "index" else Grid.center)(stride)


def _at(grid: Grid, cell: float) -> float:
    return grid.to_image(torch.tensor([cell, 0.0], dtype=torch.float64))[0].item()


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    peaks = ", ".join(f"{name} {x:.2f}" for name, x in result.peaks.items())
    return f"Stride {s.stride}, {s.grid}, shift {s.shift}, keypoint x = {s.x:.2f} px. Peaks: {peaks}. {verdict(result)}"


def verdict(result: Result) -> str:
    """How far apart the two peaks are, and why."""
    s, gap = result.state, result.off["flipped back"] - result.off["image"]
    size = f"{_signed(gap)} cells or {_signed(gap * result.stride)} px"
    if not result.exact:
        if s.shift == "one cell":
            return f"Nothing was wrong; one cell makes it {size}, and the average is off by half of that."
        return "Nothing to correct: image and map have the same middle."
    if s.shift == "none":
        return f"The flipped-back peak is off by -(s - 1)/s = {size}, and the average by half of that."
    if s.shift == "one cell":
        return f"One cell is too far by 1/s = {size}, and the average is off by half of that."
    return f"Exact: the map moves by (s - 1)/s = {result.exact:.2f} cells, between cells."


def table(result: Result) -> str:
    """Peaks and errors; its shapes are the panel's legend."""
    rows = [(_page.legend(*KEYPOINT, "keypoint"), f"{result.state.x:.2f}", "", "")]
    for name, x in result.peaks.items():
        off = result.off[name]
        rows.append((_page.legend(*PEAKS[name], name), f"{x:.2f}", _signed(off * result.stride), _signed(off)))
    return _page.table(("peak", "x in px", "off in px", "in cells"), rows)


def _signed(value: float) -> str:
    value = round(value, 3)  # so that 0.12500 and 0.12499 look the same
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}"


_LEFT, _PX, _TOP, _ROW, _BAR = 26.0, 4.0, 86.0, 62.0, 32.0  # px, of the panel
_NAMES = {
    "image": "heatmap of the image",
    "flipped back": "of its mirror, flipped back",
    "average": "average of both",
}


def _rows(result: Result) -> str:
    """The image's pixels, the keypoint, the three maps over the cells, and both middles."""
    s, bottom = result.state, _TOP + 3 * _ROW
    image, cells = (_place(x) for x in result.middles)
    x, right = _place(s.x), s.x > result.middles[0]
    parts = [_pixels()]
    for middle, dash in ((image, "none"), (cells, "5 4")):
        parts.append(_page.tag("line", x1=middle, x2=middle, y1=42, y2=bottom + 6, stroke=_page.GRAY,
                               stroke_dasharray=dash))
    parts.append(_page.words(f"middle of the image {result.middles[0]:.2f}", image, 34, anchor="middle"))
    parts.append(_page.words(f"middle of the map {result.middles[1]:.2f}", cells, bottom + 20, anchor="middle"))
    parts.append(_page.tag("line", x1=x, x2=x, y1=80, y2=bottom, stroke=_page.INK, stroke_dasharray="2 3"))
    parts.append(_page.mark(*KEYPOINT, x, 52, scale=0.6, name="keypoint"))
    for k, (name, peak) in enumerate(result.peaks.items()):
        top = _TOP + k * _ROW
        base = top + 16 + _BAR
        where = {"x": _LEFT} if right else {"x": _place(WIDTH - 0.5), "anchor": "end"}
        parts.append(_page.words(_NAMES[name], y=top + 12, color=_page.INK, **where))
        parts.append(_bars(result, name, base))
        parts.append(_page.tag("g", _cells(s.stride, s.grid), transform=f"translate(0 {base:g})"))
        parts.append(_page.tag("line", x1=x, x2=_place(peak), y1=base + 5, y2=base + 5, stroke=_page.RED,
                               stroke_width=3))
        parts.append(_page.mark(*PEAKS[name], _place(peak), base + 5, name=name))
        off = _signed(result.off[name])
        beside = 2 * _PX * result.stride + 10
        parts.append(_page.words("exact" if off == "0.00" else f"{off} cells", x + (beside if right else -beside),
                                 base - 10, color=PEAKS[name][1], anchor="start" if right else "end"))
    return "".join(parts)


def view(result: Result) -> _page.View:
    """The rows, one below the other."""
    rows = _page.panel(f"a row of {WIDTH} px, and the cells of its heatmaps", 428, 298, _rows(result))
    note = (
        "A dot is the center of a cell. The network makes no mistake: its heatmaps are Gaussians with "
        f"sigma = {SIGMA:g} cells. A peak is the center of mass. A flip mirrors the image about its own middle and "
        "the map about its own: without a shift, the peaks part by twice the distance between these two."
    )
    return _page.View((rows,), table(result), sentence(result), verdict(result), note)


def _place(x: float) -> float:
    """Across the picture, from image px."""
    return _LEFT + _PX * (x + 0.5)


def _bars(result: Result, name: str, base: float) -> str:
    """A row of the heatmap; as high as they are beside the map of the image."""
    values = result.maps[name] * (_BAR / result.maps["image"].max())
    grid, wide = _grid(result.state.stride, result.state.grid), _PX * result.stride
    path = "".join(
        f"M{_place(_at(grid, k)) - wide / 2 + 1:.1f} {base:g}v{-value:.1f}h{wide - 2:.1f}v{value:.1f}z"
        for k, value in enumerate(values.tolist()) if value > 0.2
    )
    return _page.tag("path", d=path, fill=PEAKS[name][1], fill_opacity=0.35)


@functools.cache
def _cells(stride: int, name: str) -> str:
    """A strip of cells, each with its center; y from 0 to 10."""
    grid, n = _grid(stride, name), WIDTH // stride
    edges = [_place(_at(grid, k - 0.5)) for k in range(n + 1)]
    strip = f"M{edges[0]:.1f} 0H{edges[-1]:.1f}V10H{edges[0]:.1f}z" + "".join(f"M{x:.1f} 0V10" for x in edges[1:-1])
    dots = "".join(f"M{_place(_at(grid, k)):.1f} 5h0" for k in range(n))
    return _page.tag("path", d=strip, fill="none", stroke=_page.GRAY, stroke_width=0.7) + _page.tag(
        "path", d=dots, stroke=_page.GRAY, stroke_width=3, stroke_linecap="round")


@functools.cache
def _pixels() -> str:
    """The image's pixels with some of their numbers: the same for every state."""
    left, right = _place(-0.5), _place(WIDTH - 0.5)
    path = f"M{left} 44H{right}V60H{left}z" + "".join(f"M{_place(k - 0.5)} 44v16" for k in range(1, WIDTH))
    numbers = (_page.words(str(k), _place(k), 74, anchor="middle") for k in (0, 16, 32, 64, 80, 95))
    return _page.tag("path", d=path, fill="none", stroke=_page.LINE) + "".join(numbers) + _page.words(
        "px", left - 6, 56, anchor="end")


CHALLENGES = (
    Challenge(
        "At stride {stride}, bring the average within {} px of the keypoint without the exact shift.",
        less(0.01, lambda result: abs(result.off["average"]) * result.stride),
        lambda result: result.state.shift != "exact", stride=8,
    ),
    Challenge(
        "Put the average more than {} px off by a shift of {shift}.",
        more(3, lambda result: abs(result.off["average"]) * result.stride), shift="one cell",
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
