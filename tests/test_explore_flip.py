"""The flip test explorer: what it computes, shows and says."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from posebook.explore import flip
from posebook.explore.flip import GRIDS, KEYPOINT, PEAKS, SHIFTS, STRIDES, WIDTH, State, X, compute
from posebook.warp import flip_shift

SVG = "{http://www.w3.org/2000/svg}"
STATES = [State(*start) for start in itertools.product(STRIDES, GRIDS, SHIFTS, (*X, 40.45))]


def gap(state):
    result = compute(state)
    return result.off["flipped back"] - result.off["image"]


@pytest.mark.parametrize("state", STATES)
def test_peaks_part_by_the_shift_that_is_missing(state):
    result, n = compute(state), WIDTH // state.stride
    grid = flip._grid(state.stride, state.grid)
    exact = flip_shift(grid, width=WIDTH, cells=n)
    assert exact == (0 if state.grid != "index" else (state.stride - 1) / state.stride)
    applied = {"none": 0, "one cell": 1, "exact": exact}[state.shift]
    assert (result.exact, result.shift) == (exact, applied)
    assert result.peaks["image"] == pytest.approx(state.x, abs=2e-3)
    assert gap(state) == pytest.approx(applied - exact, abs=5e-4)
    assert result.off["average"] == pytest.approx((applied - exact) / 2, abs=5e-4)
    for name, x in result.peaks.items():
        assert x - state.x == pytest.approx(result.off[name] * result.stride, abs=1e-9)
    image, cells = result.middles
    assert 2 * (image - cells) == pytest.approx(exact * result.stride, abs=1e-9)  # why they part


def test_the_figures_of_the_chapter():
    for stride in STRIDES:
        assert gap(State(stride, "index", "none")) == pytest.approx(-(stride - 1) / stride, abs=5e-4)
        assert gap(State(stride, "index", "one cell")) == pytest.approx(1 / stride, abs=5e-4)
        assert gap(State(stride, "index", "exact")) == pytest.approx(0, abs=5e-4)
        for grid in ("center", "unit length"):
            assert gap(State(stride, grid, "none")) == pytest.approx(0, abs=5e-4)
    assert "-(s - 1)/s = -0.75 cells or -3.00 px" in flip.sentence(compute(State(4)))
    assert "1/s = +0.25 cells or +1.00 px" in flip.sentence(compute(State(4, shift="one cell")))
    assert "Nothing was wrong; one cell makes it +1.00 cells" in flip.verdict(compute(State(4, "center", "one cell")))
    assert "same middle" in flip.verdict(compute(State(4, "unit length", "exact")))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"stride": 3}, "stride: want one of 2, 4, 8, got 3"),
        ({"grid": "corner"}, "grid: want one of 'index', 'center', 'unit length', got 'corner'"),
        ({"shift": 1}, "shift: want one of 'none', 'one cell', 'exact', got 1"),
        ({"x": float("nan")}, "x: want a number from 32 to 63, got nan"),
    ],
)
def test_out_of_range(start, message):
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        flip.explore(**start)


@pytest.mark.parametrize("state", STATES[::5])
def test_views(state):
    result = compute(state)
    root, said = ET.fromstring(flip.svg(result)), flip.sentence(result)
    assert root.get("role") == "img" and root.get("aria-label") == said and "\n" not in said
    assert said == flip.sentence(compute(State(**vars(state))))
    for value in (state.x, *result.peaks.values()):
        assert f"{value:.2f}" in said
    marks = {g.get("data-name"): g.get("transform") for g in root.iter(f"{SVG}g") if g.get("data-name")}
    assert list(marks) == ["keypoint", *PEAKS]
    for name, x in (result.peaks | {"keypoint": state.x}).items():
        place = float(re.match(r"translate\((\S+) ", marks[name]).group(1))
        assert place == pytest.approx(flip._place(x), abs=0.01)
    assert len({shape for shape, _ in (KEYPOINT, *PEAKS.values())}) == 4
    ET.fromstring(f"<body>{flip.view(result)}</body>")
    rows = [["".join(c.itertext()).strip() for c in row] for row in ET.fromstring(flip.table(result)).iter("tr")]
    assert rows[0] == ["peak", "x in px", "off in px", "in cells"]
    assert [row[:2] for row in rows[1:]] == [
        [name, f"{x:.2f}"] for name, x in ({"keypoint": state.x} | result.peaks).items()
    ]


def test_png():
    assert flip.png(compute(State())).startswith(b"\x89PNG\r\n\x1a\n")


def test_a_move_is_one_assignment():
    explorer, seen = flip.explore(), []
    explorer.view.observe(lambda change: seen.append(change["new"]), "value")
    for name, value in {"stride": 8, "grid": "center", "shift": "one cell", "x": 45.2}.items():
        seen.clear()
        explorer.controls[name].value = value
        assert seen == [flip.view(compute(explorer.result.state))]
    assert explorer.result.state == State(8, "center", "one cell", 45.2)
    assert explorer._repr_mimebundle_()[0]["text/plain"] == flip.sentence(explorer.result)


def test_an_exception_is_said(monkeypatch):
    explorer = flip.explore()
    before = explorer.view.value
    monkeypatch.setattr(flip, "X", (32.0, 40.0))
    explorer.controls["x"].value = 50.0
    assert explorer.status.value == '<div role="status">ValueError: x: want a number from 32 to 40, got 50.0</div>'
    assert explorer.view.value == before
