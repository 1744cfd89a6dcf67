"""What explorers are drawn with: tags, panels, marks, maps and plots as SVG, tables as HTML, all of it strings."""

import base64
import functools
import html
import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

INK, GRAY, LINE, PAPER = "#1f2328", "#57606a", "#d0d4d9", "#ffffff"
BLUE, ORANGE, GREEN, RED = "#0072b2", "#a86400", "#00785a", "#a3122a"  # 4.5 to 1 on paper; apart for the color-blind

FONT, SIZE = "system-ui, sans-serif", 12  # px; no panel is shrunk while it fits, so that its print stays as large
WIDTH, GAP = 822, 18  # px, of a row of panels, as wide as a page of 1280 px leaves it, and between two of them

SHAPES = {  # SVG paths some 10 units wide around (0, 0)
    "circle": "M4 0C4 2.2 2.2 4 0 4C-2.2 4-4 2.2-4 0C-4-2.2-2.2-4 0-4C2.2-4 4-2.2 4 0z",
    "square": "M-5-5H5V5H-5z",
    "diamond": "M0-6.2L6.2 0L0 6.2L-6.2 0z",
    "triangle": "M0-6L5.6 4.2H-5.6z",
    "reticle": "M-18 0H-8M8 0H18M0-18V-8M0 8V18",
}

_PALETTE = [round(255 + (dark - 255) * (i / 255) ** 0.8) for i in range(256) for dark in (104, 118, 150)]

_STYLE = f"""<style>
.posebook {{max-width: 860px; box-sizing: border-box; padding: 12px 8px; border: 1px solid {LINE}; border-radius: 8px;
  background: {PAPER}; color: {INK}; font: 13px/1.5 {FONT}; white-space: normal}}
.posebook > div {{display: flex; flex-wrap: wrap; gap: 8px {GAP}px; align-items: flex-start}}
.posebook > div > svg {{max-width: 100%; height: auto}}
.posebook table svg {{vertical-align: middle}}
.posebook .below {{margin-top: 8px; column-gap: 44px}}
.posebook .below > div {{flex: 1 1 300px}}
.posebook .below p {{margin: 0 0 8px; font-size: 15px}}
.posebook small {{font-size: 12px; color: {GRAY}}}
.posebook table {{margin: 0; border-collapse: collapse; white-space: nowrap; font-variant-numeric: tabular-nums}}
.posebook :is(td, th) {{padding: 1px 0 1px 28px; text-align: right; font-weight: 400}}
.posebook :is(td, th):first-child {{padding-left: 0; text-align: left}}
.posebook thead th {{color: {GRAY}; border-bottom: 1px solid {LINE}}}
</style>"""


def tag(name: str, *children: str, **attributes: object) -> str:
    """One element. Children are markup; attributes are plain, and ``_`` in their names stands for ``-``.

    >>> tag("text", "tau", x=2.5, text_anchor="end")
    '<text x="2.5" text-anchor="end">tau</text>'
    """
    pairs = "".join([f' {_named(key)}="{_plain(value)}"' for key, value in attributes.items()])
    return f"<{name}{pairs}>{''.join(children)}</{name}>"


@functools.cache
def _named(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return html.escape(value) if isinstance(value, str) else str(value)


def words(text: str, x: float, y: float, *, color: str = GRAY, anchor: str = "start") -> str:
    """Text in a picture; ``anchor`` is "start", "middle" or "end"."""
    return tag("text", html.escape(text), x=x, y=y, fill=color, text_anchor=anchor)


def panel(title: str, width: int, height: int, *children: str) -> str:
    """A picture under its title. Panels stand in a row, and one below the other where the page is narrow."""
    box = {"width": width, "height": height, "viewBox": f"0 0 {width} {height}"}
    font = {"font_family": FONT, "font_size": SIZE, "aria_hidden": "true"}
    return tag("svg", words(title, 1, 14, color=INK), *children, xmlns="http://www.w3.org/2000/svg", **box, **font)


def window(x: float, y: float, width: float, height: float, view: tuple[float, ...], *children: str) -> str:
    """A framed window into coordinates of its own; ``view`` is their left, top, width and height."""
    inside = tag("svg", *children, x=x, y=y, width=width, height=height, viewBox=" ".join(map(_plain, view)))
    return inside + tag("rect", x=x, y=y, width=width, height=height, fill="none", stroke=LINE)


def mark(shape: str, color: str, x: float, y: float, *, scale: float = 1.0, name: str = "") -> str:
    """A point as a shape of its own, with a halo; ``name`` is kept as ``data-name``."""
    path = SHAPES[shape]
    halo = tag("path", d=path, fill="none", stroke=PAPER, stroke_width=4)
    line = tag("path", d=path, fill=color if shape == "circle" else PAPER, stroke=color, stroke_width=2)
    return tag("g", halo, line, transform=f"translate({_plain(x)} {_plain(y)}) scale({_plain(scale)})", data_name=name)


def points(styles: dict, keypoint: tuple[float, float], found: dict, *, scale: float) -> str:
    """A keypoint and what decoders found, in image px; ``styles`` has shape and color of each name."""
    places = {"keypoint": keypoint, **found}
    return "".join(mark(*styles[name], *xy, scale=scale, name=name) for name, xy in places.items())


@functools.cache
def cells(hw: tuple[int, int], stride: int, edge: float) -> str:
    """Borders of a map's cells over an image of this height and width; the map begins at ``edge``, in px."""
    h, w = hw
    across = "".join(f"M{edge} {edge + y}h{w}" for y in range(0, h + 1, stride))
    down = "".join(f"M{edge + x} {edge}v{h}" for x in range(0, w + 1, stride))
    return tag("path", d=across + down, stroke=LINE, stroke_width=stride / 64)


def heatmap(values: Tensor, x: float, y: float, width: float, height: float) -> str:
    """A map ``(H, W)`` of values >= 0 as an image of whole cells, white at 0 and dark at its peak."""
    levels = (values * (255 / values.max())).byte().numpy()
    image = Image.fromarray(levels).convert("P")
    image.putpalette(_PALETTE)
    return embed(image, x, y, width, height)


def embed(image: Image.Image, x: float, y: float, width: float, height: float) -> str:
    """A small image in a picture, its pixels as squares."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    stretch = {"preserveAspectRatio": "none", "style": "image-rendering: pixelated"}
    return tag("image", href=uri, x=x, y=y, width=width, height=height, **stretch)


@dataclass(frozen=True)
class Plot:
    """A frame in a picture with coordinates of its own; an axis named in ``log`` is logarithmic.

    >>> Plot((10, 20, 100, 50), (1, 100), (0, 4), log="x").at(10, 1)
    (60.0, 57.5)
    """

    box: tuple[float, float, float, float]  # left, top, width, height
    x: tuple[float, float]  # lowest and highest
    y: tuple[float, float]
    log: str = "xy"

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place in the picture; what lies outside goes to the edge."""
        left, top, width, height = self.box
        right, up = self._shares
        return left + width * right(x), top + height * (1 - up(y))

    @functools.cached_property
    def _shares(self) -> tuple[Callable[[float], float], Callable[[float], float]]:
        return _share(*self.x, log="x" in self.log), _share(*self.y, log="y" in self.log)

    def curve(self, points: Iterable[tuple[float, float]], color: str = INK, width: float = 2, **style: object) -> str:
        """A line through those of the points (x, y) that lie inside."""
        (x0, x1), (y0, y1) = self.x, self.y
        inside = (self.at(x, y) for x, y in points if x0 <= x <= x1 and y0 <= y <= y1)
        places = " ".join([f"{right:.1f},{down:.1f}" for right, down in inside])
        return tag("polyline", points=places, fill="none", stroke=color, stroke_width=width, **style)

    def level(self, y: float, color: str = LINE, **style: object) -> str:
        """A line right across."""
        left, _, width, _ = self.box
        place = self.at(self.x[0], y)[1]
        return tag("line", x1=left, x2=left + width, y1=place, y2=place, stroke=color, **style)

    def framed(self, *children: str) -> str:
        """A frame around it, which cuts off what sticks out."""
        return window(*self.box, tuple(map(float, self.box)), *children)

    def axes(self, x: dict[float, str], y: dict[float, str], caption: str) -> str:
        """Labels at these places, lines across at those of y, and what x is."""
        left, top, width, height = self.box
        parts = []
        for value, label in y.items():
            parts += self.level(value), words(label, left - 6, self.at(self.x[0], value)[1] + 4, anchor="end")
        for value, label in x.items():
            parts.append(words(label, self.at(value, self.y[0])[0], top + height + 15, anchor="middle"))
        return "".join(parts) + words(caption, left + width, top + height + 30, anchor="end")


def _share(low: float, high: float, *, log: bool) -> Callable[[float], float]:
    """How much of the way from low to high a value has; made once, as a move of a control asks hundreds of times."""
    if log:
        whole = math.log(high / low)
        return lambda value: math.log((low if value < low else high if value > high else value) / low) / whole
    whole = high - low
    return lambda value: ((low if value < low else high if value > high else value) - low) / whole


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """An HTML table; the first cell of a row is its name."""
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    return tag("table", tag("thead", top), tag("tbody", *body))


@functools.cache
def legend(shape: str, color: str, name: str) -> str:
    """A shape and its name, for a row of a table."""
    view = "-20 -20 40 40" if shape == "reticle" else "-11 -11 22 22"
    icon = tag("svg", mark(shape, color, 0, 0), width=18, height=18, viewBox=view, aria_hidden="true")
    return f"{icon} {name}"


@dataclass(frozen=True)
class View:
    """All that an explorer shows: a pure function of what it computed."""

    panels: tuple[str, ...]  # SVG
    table: str  # HTML, and the panels' legend
    sentence: str  # one line with the numbers, which a screen reader reads in place of the panels
    verdict: str  # its end: what follows from the numbers
    note: str  # what the panels' lines and colors mean

    def html(self) -> str:
        """As light as paper on a light page and on a dark one."""
        panels = tag("div", *self.panels, role="img", aria_label=self.sentence)
        side = tag("div", tag("p", html.escape(self.verdict)), tag("small", html.escape(self.note)))
        return _STYLE + tag("div", panels, tag("div", tag("div", self.table), side, class_="below"), class_="posebook")


def figure(number: float) -> str:
    """Two decimals, or one digit and its power of ten where these would be 0.00.

    >>> figure(1.534), figure(0.00031), figure(0.0)
    ('1.53', '3e-4', '0.00')
    """
    if number == 0 or abs(number) >= 0.005:
        return f"{number:.2f}"
    digit, power = f"{number:.0e}".split("e")
    return f"{digit}e{int(power)}"
