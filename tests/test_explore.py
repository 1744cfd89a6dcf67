"""Explorers without a page: state, compute, views, and the object that owns the widgets."""

import dataclasses
import math
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from posebook import theory
from posebook.explore import _page, decoding
from posebook.explore.decoding import DECODERS, HW, STRIDES, State, compute
from posebook.grid import Grid

SVG = "{http://www.w3.org/2000/svg}"
STATES = [
    State(),
    State(stride=16, tau=0.01, x=0.0, y=95.0),
    State(stride=1, tau=10.0, x=127.0, y=0.0),
    State(stride=4, tau=1, x=60, y=40),
    State(stride=2, tau=0.3, x=63.5, y=47.5),
]


def axis(vector):
    return (sum(v**2 for v in vector) / len(vector)) ** 0.5


# ---------------------------------------------------------------------------------------------------------------------
# Compute


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("tau", [0.01, 0.1, 0.5])
def test_soft_argmax_follows_the_closed_form_inside(stride, tau):
    for x, y in ((61.3, 40.4), (50.0, 50.9), (70.7, 45.25)):
        result = compute(State(stride, tau, x, y))
        phase = [(v - (stride - 1) / 2) / stride for v in (x, y)]
        phase = torch.tensor([p - round(p) for p in phase], dtype=torch.float64)
        want = theory.alias_error(phase, math.sqrt(tau) * decoding.SIGMA / stride).tolist()
        got = [(a - b) / stride for a, b in zip(result.points["soft-argmax"], (x, y), strict=True)]
        assert got == pytest.approx(want, abs=2e-5)
        assert result.measured == pytest.approx(axis(want), abs=2e-5)
        assert result.expected == pytest.approx(axis(want), abs=2e-5)
        assert result.excess < 4 * result.floor
        assert result.measured * stride * math.sqrt(2) == pytest.approx(result.errors["soft-argmax"])


def test_the_cliff():
    errors = {q: compute(State(stride=8, tau=(q * 8 / 6) ** 2)).measured for q in (0.1, 0.5, 0.75, 1.0)}
    assert errors[0.1] > 0.1
    assert 0.01 < errors[0.5] < 0.03
    assert 1e-5 < errors[0.75] < 2e-4
    assert errors[1.0] < 4e-6


def test_other_decoders():
    for state in (s for s in STATES if s.tau < 10):
        result = compute(state)
        cells = Grid.center(state.stride).to_cells(torch.tensor([state.x, state.y], dtype=torch.float32))
        nearest = Grid.center(state.stride).to_image(cells.round())
        if (cells - cells.round()).abs().max() < 0.49:
            assert result.points["argmax"] == tuple(nearest.tolist())
        assert result.errors["argmax"] <= state.stride / math.sqrt(2) + 1e-4
    inside = compute(State(stride=4, tau=1.0))
    assert inside.errors["DARK"] < 1e-3 < inside.errors["quarter shift"] < inside.errors["argmax"]


def test_the_border_is_said():
    result = compute(State(stride=4, tau=3.0, x=10.0, y=8.0))
    assert result.excess > 0.1 > result.expected
    x, y = result.points["soft-argmax"]
    assert x > 10 and y > 8  # inward
    assert f"border pulls soft-argmax off the curve, by {result.excess:.2f} cells" in decoding.sentence(result)
    assert "round-off" in decoding.sentence(compute(State(stride=4, tau=1.0)))
    assert "as the closed form says" in decoding.sentence(compute(State()))


def test_prob_is_on_the_grid():
    for state in STATES:
        prob = compute(state).prob
        assert prob.shape == (HW[0] // state.stride, HW[1] // state.stride)
        assert prob.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"stride": 3}, "stride: want one of 1, 2, 4, 8, 16, got 3"),
        ({"tau": 0.0}, "tau: want a number from 0.01 to 10, got 0.0"),
        ({"tau": math.nan}, "tau: want a number from 0.01 to 10, got nan"),
        ({"x": 127.5}, "x: want a number from 0 to 127, got 127.5"),
        ({"y": "40"}, "y: want a number from 0 to 95, got 40"),
    ],
)
def test_out_of_range(start, message):
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        State(**start)
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        decoding.explore(**start)


# ---------------------------------------------------------------------------------------------------------------------
# Views


@pytest.mark.parametrize("state", STATES)
def test_svg(state):
    result = compute(state)
    root = ET.fromstring(decoding.svg(result))
    assert root.get("role") == "img"
    assert root.get("aria-label") == decoding.sentence(result)

    windows = root.findall(f"{SVG}svg")
    assert len(windows) == 2
    for window in windows:  # in both, points lie in image px
        marks = {m.get("data-name"): m.get("transform") for m in window.iter(f"{SVG}g")}
        assert list(marks) == ["keypoint", *DECODERS]
        for name, xy in (result.points | {"keypoint": (state.x, state.y)}).items():
            got = map(float, re.match(r"translate\((\S+) (\S+)\)", marks[name]).groups())
            assert list(got) == pytest.approx(xy, abs=0.01)
        image = window.find(f"{SVG}image")
        frame = [float(image.get(key)) for key in ("x", "y", "width", "height")]
        assert frame == [-0.5, -0.5, HW[1], HW[0]]
        assert image.get("href").startswith("data:image/png;base64,iVBOR")
    left, top, width, height = map(float, windows[1].get("viewBox").split())
    assert (left + width / 2, top + height / 2) == pytest.approx((state.x, state.y), abs=0.01)
    assert width == height == 3 * state.stride


def test_place_on_the_curve():
    root = ET.fromstring(decoding.svg(compute(State(stride=8, tau=0.25))))
    dot = next(m for m in root.findall(f"{SVG}g") if m.get("data-name") == "place")
    ring = root.find(f"{SVG}circle")
    x, y = map(float, re.match(r"translate\((\S+) (\S+)\)", dot.get("transform")).groups())
    assert (x, y) == pytest.approx((float(ring.get("cx")), float(ring.get("cy"))), abs=0.05)
    curve = [tuple(map(float, p.split(","))) for p in root.find(f"{SVG}polyline").get("points").split()]
    assert min(math.dist((x, y), p) for p in curve) < 5
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in zip(curve, curve[1:], strict=False))


@pytest.mark.parametrize("state", STATES)
def test_table(state):
    result = compute(state)
    root = ET.fromstring(decoding.table(result))
    rows = [["".join(cell.itertext()).strip() for cell in row] for row in root.iter("tr")]
    assert rows[0] == ["point", "x", "y", "error in px"]
    assert rows[1] == ["keypoint", f"{state.x:.2f}", f"{state.y:.2f}", ""]
    for row, name in zip(rows[2:], DECODERS, strict=True):
        x, y = result.points[name]
        assert row == [name, f"{x:.2f}", f"{y:.2f}", _page.figure(result.errors[name])]


@pytest.mark.parametrize("state", STATES)
def test_sentence(state):
    result = compute(state)
    said = decoding.sentence(result)
    assert "\n" not in said
    for value in (state.tau, state.x, state.y, result.q, *result.errors.values()):
        assert f"{value:.2f}" in said
    assert said == decoding.sentence(compute(dataclasses.replace(state)))


@pytest.mark.parametrize("state", STATES)
def test_view_is_well_formed(state):
    ET.fromstring(f"<body>{decoding.view(compute(state))}</body>")


def test_png():
    assert decoding.png(compute(State())).startswith(b"\x89PNG\r\n\x1a\n")


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_colors_are_readable_and_shapes_differ():
    for color in (_page.INK, _page.GRAY, *(color for _, color in DECODERS.values())):
        assert (luminance(_page.PAPER) + 0.05) / (luminance(color) + 0.05) >= 4.5
    assert len({shape for shape, _ in DECODERS.values()}) == len(DECODERS)


# ---------------------------------------------------------------------------------------------------------------------
# The object that owns the widgets


def test_a_move_is_one_assignment():
    explorer, seen = decoding.explore(), []
    explorer.view.observe(lambda change: seen.append(change["new"]), "value")
    for name, value in {"stride": 4, "tau": 0.5, "x": 30.2, "y": 90.0}.items():
        seen.clear()
        explorer.controls[name].value = value
        assert seen == [decoding.view(compute(explorer.result.state))]
    assert explorer.result.state == State(4, 0.5, 30.2, 90.0)


def test_slider_and_box_agree():
    explorer, seen = decoding.explore(), []
    explorer.view.observe(lambda change: seen.append(change["new"]), "value")
    box, slider = explorer.box.children[0].children[1].children
    slider.value = 10**0.35
    assert box.value == explorer.result.state.tau == 2.239
    box.value = 0.5
    assert slider.value == explorer.result.state.tau == 0.5
    slider.value = 10**-0.3  # the page's nearest step: not a move
    assert box.value == explorer.result.state.tau == 0.5
    slider.value = 10**-0.28
    assert box.value == explorer.result.state.tau == 0.5248
    box.value = 1e9
    assert box.value == slider.value == 10.0
    assert len(seen) == 4


def test_an_exception_is_said(monkeypatch):
    explorer = decoding.explore()
    before = explorer.view.value
    assert explorer.status.value == '<div role="status"></div>'
    monkeypatch.setattr(explorer, "_compute", lambda state: 1 / 0)
    explorer.controls["tau"].value = 0.3
    assert explorer.status.value == '<div role="status">ZeroDivisionError: division by zero</div>'
    assert explorer.view.value == before and explorer.result.state.tau == 0.25
    monkeypatch.undo()
    explorer.controls["tau"].value = 0.4
    assert explorer.status.value == '<div role="status"></div>'
    assert explorer.result.state.tau == 0.4


def test_mimebundle():
    explorer = decoding.explore(stride=4, tau=1.0)
    data, metadata = explorer._repr_mimebundle_()
    assert data["text/plain"] == decoding.sentence(explorer.result)
    assert data["image/png"].startswith("iVBOR")
    assert metadata["image/png"]["alt"] == data["text/plain"]
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.box.model_id
