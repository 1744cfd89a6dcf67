"""The temperature and stride explorer: what it computes, shows and says."""

import math
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, cells, marks, window

from posebook import theory
from posebook.explore import _page, decoding
from posebook.explore.decoding import DECODERS, HW, STRIDES, State, compute
from posebook.grid import Grid

STATES = [
    State(),
    State(stride=16, tau=0.01, x=0.0, y=95.0),
    State(stride=1, tau=10.0, x=127.0, y=0.0),
    State(stride=4, tau=1, x=60, y=40),
    State(stride=2, tau=0.3, x=63.5, y=47.5),
]



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
        assert result.measured == pytest.approx(math.hypot(*want), abs=3e-5)
        assert result.expected == pytest.approx(math.hypot(*want), abs=3e-5)
        assert result.excess < 4 * result.floor
        assert result.measured * stride == pytest.approx(result.errors["soft-argmax"])


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
    by = f"by {result.excess:.2f} cells or {4 * result.excess:.2f} px"
    assert f"border pulls soft-argmax off the curve, {by}" in decoding.sentence(result)
    assert "round-off" in decoding.sentence(compute(State(stride=4, tau=1.0)))
    assert "as the closed form says" in decoding.sentence(compute(State()))


def test_prob_is_on_the_grid():
    for state in STATES:
        prob = compute(state).prob
        assert prob.shape == (HW[0] // state.stride, HW[1] // state.stride)
        assert prob.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("state", STATES)
def test_views(state):
    result = compute(state)
    view = decoding.view(result)
    for value in (state.tau, state.x, state.y, result.q, *result.errors.values()):
        assert f"{value:.2f}" in view.sentence
    image, zoom = map(window, view.panels[:2])
    for inside in (image, zoom):  # in both, points lie in image px
        found, places = marks(inside), {"keypoint": (state.x, state.y)} | result.points
        assert list(found) == ["keypoint", *DECODERS]
        for name, xy in places.items():
            assert found[name] == pytest.approx(xy, abs=0.01)
        map_ = inside.find(f"{SVG}image")
        assert [float(map_.get(side)) for side in ("x", "y", "width", "height")] == [-0.5, -0.5, HW[1], HW[0]]
    left, top, width, height = map(float, zoom.get("viewBox").split())
    assert (left + width / 2, top + height / 2) == pytest.approx((state.x, state.y), abs=0.01)
    assert width == height == 3 * state.stride
    rows = cells(view.table)
    assert rows[0] == ["point", "x", "y", "error in px", "in cells"]
    assert rows[1] == ["keypoint", f"{state.x:.2f}", f"{state.y:.2f}", "", ""]
    for row, name in zip(rows[2:], DECODERS, strict=True):
        error = result.errors[name]
        assert row == [name, *(f"{v:.2f}" for v in result.points[name]), _page.figure(error),
                       _page.figure(error / state.stride)]


def test_the_headline_is_the_tables():
    result = compute(State())
    row = cells(decoding.table(result))[-1]
    assert f"off by {row[4]} cells or {row[3]} px" in decoding.verdict(result)


def test_place_on_the_curve():
    panel = decoding.view(compute(State(stride=8, tau=0.25))).panels[2]
    root, (x, y) = ET.fromstring(panel), marks(panel)["place"]
    ring = root.find(f"{SVG}circle")
    assert (x, y) == pytest.approx((float(ring.get("cx")), float(ring.get("cy"))), abs=0.05)
    curve = [tuple(map(float, p.split(","))) for p in root.find(f"{SVG}polyline").get("points").split()]
    assert min(math.dist((x, y), p) for p in curve) < 5
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in zip(curve, curve[1:], strict=False))
