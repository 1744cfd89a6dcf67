"""The target explorer: what it computes, shows and says."""

import itertools
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from panels import SVG, cells, marks, window

from posebook.explore import target
from posebook.explore.target import DECODERS, GRIDS, HW, KEYPOINTS, STRIDES, State, compute

STATES = [
    State(*start) for start in itertools.product(STRIDES, (0.3, 1.0, 4.0), (0.0, 30.6), (63.0,), GRIDS, KEYPOINTS)
]
INSIDE = [
    State(stride, sigma, x, 32.6, grid)
    for stride, sigma, x, grid in itertools.product((1, 2, 4), (0.6, 1.5), (30.6, 33.3), ("center", "index"))
]


@pytest.mark.parametrize("state", INSIDE)
def test_inside_the_map_the_values_hold_the_keypoint(state):
    result, s = compute(state), state.stride
    offset = (s - 1) / 2 if state.grid == "center" else 0
    cells = [(v - offset) / s for v in (state.x, state.y)]
    assert result.keypoint == result.bump == pytest.approx(cells)
    assert result.highest == tuple(map(round, cells))
    off = math.dist(cells, result.highest)
    assert result.peak == pytest.approx(math.exp(-(off**2) / (2 * state.sigma**2)))
    assert result.errors["argmax"] == pytest.approx(s * off)
    assert result.errors["DARK"] < 1e-6 * s
    assert result.errors["soft-argmax"] < 0.006 * s  # 4 pi q^2 exp(-2 pi^2 q^2) per axis at q = 0.6
    if state.sigma == 1.5:
        assert result.sum == pytest.approx(result.integral, rel=1e-3)
        assert result.integral == pytest.approx(14.137, abs=1e-3)
    assert "hold the rest of the answer" in target.verdict(result)


def test_rounding_and_mixing_cost_what_they_say():
    for stride in STRIDES:
        rounded = compute(State(stride, keypoint="rounded", sigma=1.0))
        lost = stride * math.dist(rounded.keypoint, rounded.bump)
        assert list(rounded.errors.values()) == pytest.approx([lost] * 3, abs=2e-3 * stride)
        assert rounded.peak == 1
        assert f"by {lost / stride:.2f} cells" in target.verdict(rounded)
        middle = 24 + (stride - 1) / 2  # of a cell
        whole = State(stride, x=middle, y=middle, keypoint="rounded")
        assert compute(whole).errors == compute(replace(whole, keypoint="exact")).errors
        assert "rounding it before encoding takes nothing" in target.verdict(compute(whole))
        mixed, straight = compute(State(stride, grid="mixed")), compute(State(stride))
        for name, (x, y) in mixed.points.items():
            assert (x - straight.points[name][0], y - straight.points[name][1]) == pytest.approx([(1 - stride) / 2] * 2)
        assert ("decoded as index" in target.verdict(mixed)) == (stride > 1)


def test_the_border_is_said():
    result = compute(State(4, 1.0, 1.5, 32.6))  # on the center of the first cell
    assert result.sum / result.integral == pytest.approx(0.5 + 0.5 * math.erf(0.5 / math.sqrt(2)), abs=0.01)
    assert "cuts off 30 %" in target.verdict(result)
    assert result.points["soft-argmax"][0] > 1.5 + 4 * 0.5 and result.errors["DARK"] > 0.5  # no neighbor on the left
    assert "Narrower than half a cell" in target.verdict(compute(State(4, 0.3)))


def test_the_numbers_in_the_cells_are_the_targets():
    result = compute(State())
    shown = [t.text for t in ET.fromstring(target.view(result).panels[1]).findall(f"{SVG}text")]
    (x, y), values = result.highest, result.heatmap
    want = [f"{values[j, i]:.2f}" for j in range(y - 2, y + 3) for i in range(x - 2, x + 3)]
    assert shown[1:] == want  # after the title


@pytest.mark.parametrize("state", STATES[::7])
def test_views(state):
    result = compute(state)
    view = target.view(result)
    for value in (state.sigma, state.x, state.y, result.peak, result.sum, *result.errors.values()):
        assert f"{value:.2f}" in view.sentence
    edge = -0.5 if state.grid != "index" else -state.stride / 2
    for inside in map(window, view.panels[:2]):  # in both, points lie in image px
        found, places = marks(inside), {"keypoint": (state.x, state.y)} | result.points
        assert list(found) == ["keypoint", *DECODERS]
        for name, xy in places.items():
            assert found[name] == pytest.approx(xy, abs=0.01)
        image = inside.find(f"{SVG}image")
        assert [float(image.get(k)) for k in ("x", "y", "width", "height")] == [edge, edge, HW[1], HW[0]]
    rows = cells(view.table)
    assert rows[0] == ["point", "x", "y", "error in px"] and rows[1][0] == "keypoint"
    assert [row[:2] for row in rows[2:]] == [[name, f"{x:.2f}"] for name, (x, _) in result.points.items()]
