"""What every explorer keeps to: fields and controls, views, moves, pictures for pages without a kernel."""

import base64
import dataclasses
import functools
import html
import importlib
import inspect
import io
import itertools
import math
import random
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pytest
from panels import SVG, cells
from PIL import Image, ImageFont

import posebook.explore
from posebook.explore import _controls, _page, _png, decoding

NAMES = sorted(path.stem for path in Path(posebook.explore.__file__).parent.glob("[!_]*.py"))
FONT = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), _page.SIZE)  # a wide one


@pytest.fixture(params=NAMES)
def explorer(request):
    """The module of each explorer."""
    return importlib.import_module(f"posebook.explore.{request.param}")


def values(control):
    """What a control may be set to: all of a choice, both ends and the middle of a number."""
    if isinstance(control, _controls.Choice):
        return control.options
    return control.low, control.high, (control.low + control.high) / 2


def states(module):
    """The start, each control at each value, and some states in which all differ."""
    start, controls, draw = module.State(), _controls.controls(module.State), random.Random(0)
    yield start
    for name, control in controls.items():
        yield from (dataclasses.replace(start, **{name: value}) for value in values(control))
    for _ in range(20):
        yield module.State(**{name: draw.choice(values(control)) for name, control in controls.items()})


@functools.cache
def views(module):
    return [module.view(module.compute(state)) for state in states(module)]


# ---------------------------------------------------------------------------------------------------------------------
# The state and what follows from it


def test_a_state_refuses_what_no_control_can_say(explorer):
    for name, control in _controls.controls(explorer.State).items():
        if isinstance(control, _controls.Choice):
            want = "one of " + ", ".join(map(repr, control.options))
            bad = [(3 if 3 not in control.options else 2.5, ""), ("tail", "'tail'"), (True, "True"), (None, "None")]
        else:
            want = f"a number from {control.low:g} to {control.high:g}"
            ends = math.nextafter(control.low, -math.inf), math.nextafter(control.high, math.inf)
            bad = [(value, value) for value in (*ends, math.nan, math.inf, "1", True, None)]
        for value, got in bad:
            message = re.escape(f"{name}: want {want}, got {got or value}") + "$"
            for start in (explorer.State, explorer.explore):
                with pytest.raises(ValueError, match=message):
                    start(**{name: value})


def test_explore_names_its_controls(explorer):
    fields = dataclasses.fields(explorer.State)
    keywords = inspect.signature(explorer.explore).parameters.values()
    assert [(k.name, k.default, k.kind) for k in keywords] == [(f.name, f.default, inspect.Parameter.KEYWORD_ONLY)
                                                               for f in fields]
    assert all(f"{field.name}: {field.metadata['control']}; {field.default!r}" in explorer.explore.__doc__
               for field in fields)
    with pytest.raises(TypeError, match="color"):
        explorer.explore(color="red")
    with pytest.raises(dataclasses.FrozenInstanceError):
        explorer.State().color = "red"


def test_results_and_views_are_pure(explorer):
    first = views(explorer)
    assert views.__wrapped__(explorer) == first  # whatever was computed in between
    assert len({view.html() for view in first}) > len(first) / 2


# ---------------------------------------------------------------------------------------------------------------------
# The view


def test_a_view_is_well_formed_and_says_itself(explorer):
    for view in views(explorer):
        _, card = ET.fromstring(f"<body>{view.html()}</body>")
        picture = card.find("div[@role='img']")
        assert picture.get("aria-label") == view.sentence
        assert picture.findall(f"{SVG}svg[@aria-hidden='true']") == list(picture)
        assert len(picture) == len(view.panels)
        assert view.sentence.endswith(view.verdict) and view.verdict[-1] in ".)" and "\n" not in view.sentence
        shown = " ".join(card.itertext())
        assert view.verdict in shown and view.note in shown
        for said in (view.sentence, shown):
            assert not re.search(r"\bnan\b|\binf\b|-0\.00\b|e[+-]0", said), said


def test_a_table_is_the_legend(explorer):
    for view in views(explorer):
        rows = cells(view.table)
        assert len(rows) > 2 and len({len(row) for row in rows}) == 1
        icons = [icon.find(".//{*}path").get("d") for icon in ET.fromstring(view.table).iter("svg")]
        assert len(set(icons)) == len(icons) >= 3  # told apart without color


def test_letters_stay_apart_and_inside(explorer):
    """In a font wider than most. Letters in windows lie in other coordinates, and there are none."""
    for view in views(explorer):
        for root in map(ET.fromstring, view.panels):
            boxes = []
            assert not root.findall(f".//{SVG}svg//{SVG}text")
            for text in root.iter(f"{SVG}text"):
                wide, x, y = FONT.getlength(text.text), float(text.get("x")), float(text.get("y"))
                x -= {"start": 0, "middle": wide / 2, "end": wide}[text.get("text-anchor")]
                assert -1 <= x and x + wide <= float(root.get("width")) + 1, text.text
                assert 10 <= y <= float(root.get("height")) - 2, text.text
                boxes.append((x, x + wide, y - 9, y + 2, text.text))
            for a, b in itertools.combinations(boxes, 2):
                assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], (a, b)


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_letters_are_dark_and_never_small(explorer):
    for view in views(explorer):
        for root in map(ET.fromstring, view.panels):
            assert root.get("font-size") == "12" and float(root.get("width")) <= 430  # all that a narrow page has
            for color in {text.get("fill") for text in root.iter(f"{SVG}text")} - {_page.PAPER}:  # that one on dark
                assert 1.05 / (luminance(color) + 0.05) >= 4.5


def test_a_move_is_small(explorer):
    assert max(len(view.html().encode()) for view in views(explorer)) < 28_000


# ---------------------------------------------------------------------------------------------------------------------
# The widgets


def test_a_move_is_one_assignment(explorer):
    shown, seen = explorer.explore(), []
    shown.view.observe(lambda change: seen.append(change["new"]), "value")
    for name, control in _controls.controls(explorer.State).items():
        value = next(v for v in values(control) if v != getattr(shown.result.state, name))
        before, state = shown.view.value, dataclasses.replace(shown.result.state, **{name: value})
        seen.clear()
        shown.controls[name].value = value
        view = explorer.view(explorer.compute(state))
        assert shown.result.state == state and shown.shown == view
        assert seen == [view.html()] != [before]
        status = ET.fromstring(shown.status.value)
        assert status.get("role") == "status"
        said = re.sub(r"Solved: .*?\. (?=[A-Z])", "", status.text)
        assert said == f"{control.label or name} {shown.controls[name].value}. {view.verdict}"


def test_each_control_has_its_name_and_a_press_moves_it(explorer):
    """A slider stands beside the number that it moves; the smallest step changes that."""
    shown = explorer.explore()
    rows = dict(zip(shown.controls, shown.box.children[0].children, strict=True))
    for name, control in _controls.controls(explorer.State).items():
        box, *sliders = rows[name].children
        assert box is shown.controls[name] and box.description == (control.label or name)
        assert box.value == getattr(explorer.State(), name)
        assert len(sliders) == (isinstance(control, _controls.Number) or control.slider)
        for slider in sliders:
            before = box.value
            if isinstance(control, _controls.Choice):
                slider.index += 1
            elif control.log:
                slider.value *= 10**control.step
            else:
                slider.value += control.step
            assert box.value == pytest.approx(slider.value, rel=1e-3) and box.value > before
            assert getattr(shown.result.state, name) == box.value


def test_an_exception_is_said(explorer, monkeypatch):
    shown = explorer.explore()
    name, control = next(iter(_controls.controls(explorer.State).items()))
    values_ = [v for v in values(control) if v != shown.controls[name].value]
    before, state = shown.view.value, shown.result.state
    assert shown.status.value == ""
    monkeypatch.setattr(shown, "_compute", lambda state: 1 / 0)
    shown.controls[name].value = values_[0]
    assert shown.status.value == '<div role="alert">ZeroDivisionError: division by zero</div>'
    assert shown.view.value == before and shown.result.state == state
    monkeypatch.undo()
    shown.controls[name].value = values_[1]
    assert "alert" not in shown.status.value and getattr(shown.result.state, name) == values_[1]


def test_slider_and_box_agree():
    shown, seen = decoding.explore(), []
    shown.view.observe(lambda change: seen.append(change["new"]), "value")
    box, slider = shown.box.children[0].children[1].children
    slider.value = 10**0.35
    assert box.value == shown.result.state.tau == 2.239
    box.value = 0.5
    assert slider.value == shown.result.state.tau == 0.5
    slider.value = 10**-0.3  # the page's nearest step: not a move
    assert box.value == shown.result.state.tau == 0.5
    slider.value = 10**-0.28
    assert box.value == shown.result.state.tau == 0.5248
    box.value = 1e9
    assert box.value == slider.value == 10.0
    assert len(seen) == 4


# ---------------------------------------------------------------------------------------------------------------------
# Pages without a kernel


def test_mimebundle(explorer):
    start = list(states(explorer))[-1]
    shown = explorer.explore(**dataclasses.asdict(start))
    data, metadata = shown._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == explorer.view(explorer.compute(start)).sentence
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == shown.box.model_id
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width == _page.WIDTH
    assert "image/svg+xml" not in data


def test_every_view_can_be_a_picture(explorer):
    """All elements and path commands that occur are known to what draws them."""
    for view in views(explorer)[::6]:
        assert _png.png(view).startswith(b"\x89PNG\r\n\x1a\n")


def picture(*children, table=None):
    """The pixels of a view with one panel of 100 x 50 px, as a function of x and y."""
    panel = _page.panel("title", 100, 50, *children)
    view = _page.View((panel,), table or _page.table(("a", "b"), [("c", "d")]), "Words.", "Words.", "Note.")
    image = Image.open(io.BytesIO(_png.png(view))).convert("RGB")
    return lambda x, y: "#{:02x}{:02x}{:02x}".format(*image.getpixel((x, y)))


def test_a_picture_shows_the_shapes():
    red, blue, paper = _page.RED, _page.BLUE, _page.PAPER
    at = picture(
        _page.tag("rect", x=10, y=20, width=20, height=10, fill=red),
        _page.tag("path", d="M40 20h10v10H40V20zM55 20L65 20L65 30z", fill=blue),
        _page.tag("circle", cx=80, cy=30, r=8, fill="none", stroke=red, stroke_width=4),
        _page.tag("g", _page.tag("rect", x=0, y=0, width=3, height=3, fill=blue), transform="translate(9 40) scale(2)"),
        _page.tag("ellipse", rx=8, ry=2, transform="translate(40 42) rotate(90)", fill=red),
        _page.tag("line", x1=50, x2=70, y1=42, y2=42, stroke=red, stroke_width=4, stroke_dasharray="5 5"),
        _page.tag("path", d="M90 44h0", stroke=blue, stroke_width=6, stroke_linecap="round"),
    )
    assert [at(20, 25), at(8, 25), at(32, 25)] == [red, paper, paper]
    assert [at(45, 25), at(63, 22), at(57, 28), at(52, 25)] == [blue, blue, paper, paper]
    assert [at(80, 30), at(88, 30), at(80, 22)] == [paper, red, red]
    assert [at(13, 43), at(18, 43)] == [blue, paper]
    assert [at(40, 36), at(40, 48), at(46, 42)] == [red, red, paper]  # it stands
    assert [at(52, 42), at(57, 42), at(62, 42)] == [red, paper, red]
    assert at(90, 44) == blue


def test_a_picture_has_windows_and_images():
    pixels = Image.new("RGB", (2, 1), _page.RED)
    pixels.putpixel((1, 0), tuple(bytes.fromhex(_page.BLUE[1:])))
    at = picture(_page.window(20, 20, 40, 20, (-1, 0, 2, 1), _page.embed(pixels, -1, 0, 3, 1)))
    assert [at(30, 30), at(55, 30), at(65, 30)] == [_page.RED, _page.BLUE, _page.PAPER]  # what sticks out is cut off
    half = _page.tag("rect", x=20, y=20, width=20, height=20, fill=_page.INK, fill_opacity=0.5)
    assert picture(half)(30, 30)[:2] == "#8"  # half of #1f2328 and half of white


def test_a_picture_shows_its_table_and_words():
    bare = picture()
    icon = picture(table=_page.table(("a", "b"), [(_page.legend("circle", _page.RED, "c"), "d")]))
    assert [bare(9, 90), icon(9, 90)] == [_page.PAPER, _page.RED]
    assert any(bare(x, y) != _page.PAPER for x in range(100) for y in range(18))  # the title
    assert any(bare(x, y) != _page.PAPER for x in range(24, 60) for y in range(80, 120))  # the table


# ---------------------------------------------------------------------------------------------------------------------
# Numbers


def test_words_are_escaped():
    view = _page.View((), _page.table(("a",), [("b",)]), 'x < "y"', "1 < 2", "& so on")
    assert all(html.escape(text) in view.html() for text in ('x < "y"', "1 < 2", "& so on"))
