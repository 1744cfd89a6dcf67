"""A view as PNG: its SVG panels, its table and its prose, drawn by matplotlib for pages without a kernel.

The SVG is what :mod:`posebook.explore._page` writes: the elements below, path commands M, L, C, H, V, h, v and z, and
transforms by translate, scale and rotate.
"""

import base64
import io
import math
import re
import textwrap
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from PIL import Image

from posebook import draw
from posebook.explore._page import GAP, GRAY, INK, SIZE, WIDTH, View

POINT = 0.72  # of a px: posebook.draw makes 100 px of an inch
LETTER, LINE = 6.4, 19  # px: width of a letter, more or less, and height of a line


def png(view: View) -> bytes:
    """The panels in rows, below them the table, and beside or below that the verdict and the note."""
    panels, bottom = [], 0
    right = height = 0
    for svg in map(ET.fromstring, view.panels):
        w, h = float(svg.get("width")), float(svg.get("height"))
        if right + w > WIDTH:
            right, bottom, height = 0, bottom + height + 8, 0
        panels.append((svg, right, bottom))
        right, height = right + w + GAP, max(height, h)
    bottom += height + 12
    rows = [["".join(cell.itertext()).strip() for cell in row] for row in ET.fromstring(view.table).iter("tr")]
    edges = np.cumsum([LETTER * max(map(len, column)) + 28 for column in zip(*rows, strict=True)])
    beside = edges[-1] + 40 if edges[-1] < WIDTH - 300 else 0
    prose = [(line, color) for text, color in ((view.verdict, INK), (view.note, GRAY))
             for line in textwrap.wrap(text, int((WIDTH - beside) / LETTER))]
    first = bottom if beside else bottom + LINE * len(rows) + 8

    tall = max(bottom + LINE * len(rows), first + LINE * len(prose)) + 8
    fig = Figure(figsize=(WIDTH / 100, tall / 100))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(tall, 0), autoscale_on=False)
    ax.axis("off")
    pen = Pen(ax, Affine2D())
    for svg, x, y in panels:
        replace(pen, to=Affine2D().translate(x, y)).draw(svg)
    icons = {k: row.find(".//{*}svg") for k, row in enumerate(ET.fromstring(view.table).iter("tr"))}
    for k, row in enumerate(rows):
        y = bottom + LINE * (k + 0.7)
        if icons[k] is not None:
            replace(pen, to=Affine2D().translate(0, y - 13)).draw(icons[k])
        pen.write(row[0], 24, y, GRAY if k == 0 else INK, "left")
        for text, edge in zip(row[1:], edges[1:], strict=True):
            pen.write(text, edge, y, GRAY if k == 0 else INK, "right")
    for k, (line, color) in enumerate(prose):
        pen.write(line, beside, first + LINE * (k + 0.7), color, "left")
    return draw.png(fig)


@dataclass(frozen=True)
class Pen:
    """Draws elements of SVG on axes in px; ``to`` leads there from the coordinates of an element."""

    ax: Axes
    to: Affine2D
    clip: Path | None = None

    def draw(self, node: ET.Element) -> None:
        """An element and what it holds."""
        name, at = node.tag.rpartition("}")[2], {key: number(value) for key, value in node.attrib.items()}
        if "transform" in at:
            replace(self, to=transform(at.pop("transform")) + self.to).paint(name, at, node)
        else:
            self.paint(name, at, node)

    def paint(self, name: str, at: dict, node: ET.Element) -> None:
        if name == "text":
            anchor = {"start": "left", "middle": "center", "end": "right"}[at.get("text-anchor", "start")]
            self.write(node.text, *self.to.transform((at["x"], at["y"])), at["fill"], anchor)
        elif name == "image":
            self.image(at)
        elif name in ("svg", "g"):
            inside = self.window(at) if name == "svg" else self
            for child in node:
                inside.draw(child)
        else:
            self.shape(outline(name, at), at)

    def window(self, at: dict) -> "Pen":
        """Inside an ``svg``, whose view has the shape of its frame."""
        x, y, w, h = at.get("x", 0), at.get("y", 0), at["width"], at["height"]
        left, top, wide, _ = map(float, at["viewBox"].split())
        frame = self.to.transform_path(outline("rect", {"x": x, "y": y, "width": w, "height": h}))
        return Pen(self.ax, Affine2D().translate(-left, -top).scale(w / wide).translate(x, y) + self.to, frame)

    def shape(self, path: Path, at: dict) -> None:
        """Fill and stroke."""
        width = at.get("stroke-width", 1)
        fill, stroke = at.get("fill", "none"), at.get("stroke", "none")
        dashes = [float(part) / width for part in str(at.get("stroke-dasharray", "none")).split() if part != "none"]
        patch = PathPatch(
            self.to.transform_path(path), joinstyle="miter", capstyle=at.get("stroke-linecap", "butt"),
            facecolor=to_rgba(fill, at.get("fill-opacity")), edgecolor=to_rgba(stroke, at.get("stroke-opacity")),
            linewidth=POINT * width * math.sqrt(abs(np.linalg.det(self.to.get_matrix()[:2, :2]))),
            linestyle=(0, dashes) if dashes else "-",
        )
        patch.set_snap(False if at.get("stroke-linecap") == "round" else None)  # a dot, snapped, would have no length
        self.add(self.ax.add_artist(patch))

    def image(self, at: dict) -> None:
        pixels = Image.open(io.BytesIO(base64.b64decode(at["href"].partition(",")[2]))).convert("RGBA")
        (left, top), (right, bottom) = self.to.transform(
            [(at["x"], at["y"]), (at["x"] + at["width"], at["y"] + at["height"])])
        box = {"extent": (left, right, bottom, top), "interpolation": "nearest", "aspect": "auto"}
        self.add(self.ax.imshow(np.asarray(pixels), **box))

    def write(self, text: str, x: float, y: float, color: str, anchor: str) -> None:
        size = 0.92 * SIZE * POINT  # matplotlib's font is wider than those of pages
        self.ax.text(x, y, text, color=color, ha=anchor, fontsize=size, parse_math=False, zorder=1)

    def add(self, artist) -> None:
        artist.set_zorder(1)  # in the order of the SVG
        if self.clip:
            artist.set_clip_path(self.clip, self.ax.transData)


def number(value: str) -> float | str:
    """An attribute's value; a view or the points of a line stay text."""
    try:
        return float(value)
    except ValueError:
        return value


def transform(text: str) -> Affine2D:
    """``translate(x y) rotate(degrees) scale(s)``: the last acts first."""
    to = Affine2D()
    for name, values in reversed(re.findall(r"(\w+)\(([^)]*)\)", text)):
        values = [float(value) for value in values.split()]
        to = {"translate": to.translate, "rotate": to.rotate_deg, "scale": to.scale}[name](*values)
    return to


def outline(name: str, at: dict) -> Path:
    """The path of a basic shape."""
    if name == "path":
        return Path(*map(list, zip(*steps(at["d"]), strict=True)))
    if name == "polyline":
        return Path([tuple(map(float, point.split(","))) for point in at["points"].split()])
    if name == "line":
        return Path([(at["x1"], at["y1"]), (at["x2"], at["y2"])])
    if name == "rect":
        unit, size, place = Path.unit_rectangle(), (at["width"], at["height"]), (at["x"], at["y"])
    else:
        unit, size, place = Path.unit_circle(), _radii(at), (at.get("cx", 0), at.get("cy", 0))
    return Affine2D().scale(*size).translate(*place).transform_path(unit)


def _radii(at: dict) -> tuple[float, float]:
    return at.get("r") or at["rx"], at.get("r") or at["ry"]


def steps(d: str) -> Iterator[tuple[tuple[float, float], int]]:
    """Vertices and matplotlib's codes of path data."""
    x = y = 0.0
    for command, rest in re.findall(r"([A-Za-z])([^A-Za-z]*)", d):
        values = [float(value) for value in re.findall(r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?", rest)]
        if command in "MLC":
            points = list(zip(values[::2], values[1::2], strict=True))
            x, y = points[-1]
            code = {"M": Path.MOVETO, "L": Path.LINETO, "C": Path.CURVE4}[command]
            for k, point in enumerate(points):
                yield point, Path.LINETO if command == "M" and k else code
        elif command == "z":
            yield (x, y), Path.CLOSEPOLY
        else:
            to = values[0] or 1e-3  # a dot is a line of no length, which matplotlib would not draw
            x, y = {"H": (to, y), "V": (x, to), "h": (x + to, y), "v": (x, y + to)}[command]
            yield (x, y), Path.LINETO
