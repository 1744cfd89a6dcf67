"""The flip test explorer: what it computes, shows and says."""

import itertools

import pytest
from panels import cells, marks

from posebook.explore import flip
from posebook.explore.flip import GRIDS, PEAKS, SHIFTS, STRIDES, WIDTH, State, compute
from posebook.warp import flip_shift

STATES = [State(*start) for start in itertools.product(STRIDES, (32.0, 63.0, 40.45), GRIDS, SHIFTS)]


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
        assert gap(State(stride, grid="index", shift="none")) == pytest.approx(-(stride - 1) / stride, abs=5e-4)
        assert gap(State(stride, grid="index", shift="one cell")) == pytest.approx(1 / stride, abs=5e-4)
        assert gap(State(stride, grid="index", shift="exact")) == pytest.approx(0, abs=5e-4)
        for grid in ("center", "unit length"):
            assert gap(State(stride, grid=grid, shift="none")) == pytest.approx(0, abs=5e-4)
    assert "-(s - 1)/s = -0.75 cells or -3.00 px" in flip.sentence(compute(State(4)))
    assert "1/s = +0.25 cells or +1.00 px" in flip.sentence(compute(State(4, shift="one cell")))
    spoiled = compute(State(4, grid="center", shift="one cell"))
    assert "Nothing was wrong; one cell makes it +1.00 cells" in flip.verdict(spoiled)
    assert "same middle" in flip.verdict(compute(State(4, grid="unit length", shift="exact")))


@pytest.mark.parametrize("state", STATES[::5])
def test_views(state):
    result = compute(state)
    view = flip.view(result)
    for value in (state.x, *result.peaks.values()):
        assert f"{value:.2f}" in view.sentence
    found, places = marks(view.panels[0]), result.peaks | {"keypoint": state.x}
    assert list(found) == ["keypoint", *PEAKS]
    for name, x in places.items():
        assert found[name][0] == pytest.approx(flip._place(x), abs=0.01)
    rows = cells(view.table)
    assert rows[0] == ["peak", "x in px", "off in px", "in cells"]
    assert [row[:2] for row in rows[1:]] == [[name, f"{places[name]:.2f}"] for name in ("keypoint", *PEAKS)]
