"""The cameras explorer: what it computes, shows and says."""

import math
import random
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from panels import SVG, any_state, cells, marks

from posebook import theory
from posebook.decode import refine_dark
from posebook.encode import gaussian_heatmap
from posebook.explore import _page, cameras
from posebook.explore.cameras import DECODERS, DOTS, DRAWS, SIGMA, State, compute

STATES = [State(), State(2.0, 1.0), State(0.1, 4.0, 2.0), State(2.0, 0.5, 0.05)]
STATES += [State(pixels=pixels) for pixels in DECODERS[1:]]


def nodes(panel, name):
    return [node for node in ET.fromstring(panel).iter() if node.get("data-name") == name]


def closed_form(state):
    """mm along x, y and z: of two cameras turned by an angle, from what each sees across its own ray."""
    sigma, half = SIGMA.get(state.pixels, state.sigma), state.baseline / 2
    far = math.hypot(half, state.depth)
    unit = 1000 * far * sigma / (2**0.5 * cameras.FOCAL)
    return unit * far / state.depth, unit, unit * far / half


def test_results_are_the_closed_form_wherever_the_controls_stand():
    draw = random.Random(0)
    for _ in range(60):
        state = any_state(State, draw)
        result = compute(state)
        assert result.predicted == pytest.approx(closed_form(state), rel=1e-6)
        assert result.angle == pytest.approx(2 * math.degrees(math.atan(state.baseline / 2 / state.depth)))
        assert result.sigma == SIGMA.get(state.pixels, state.sigma) and result.dots.shape == (DOTS, 3)
        assert result.measured == pytest.approx(result.dots.numpy().std(0, ddof=1), rel=1e-9)
        assert result.shift == pytest.approx(result.dots[:, 2].numpy().mean(), abs=1e-9)


def test_the_depth_law_where_cameras_hardly_turn():
    state = State(baseline=0.1, depth=4.0)
    law = theory.stereo_std(4.0, focal=cameras.FOCAL, baseline=0.1, sigma=0.5)
    assert compute(state).predicted == pytest.approx([1000 * std for std in law], rel=1e-3)


@pytest.mark.parametrize("pixels", DECODERS)
def test_dots_scatter_as_predicted_while_errors_are_small(pixels):
    """All draws together: 1600 dots, a standard deviation to 1.8 % (2.5 % at most for any shape here)."""
    for baseline, depth in ((0.5, 1.0), (2.0, 1.0), (2.0, 4.0)):
        every = [compute(State(baseline, depth, 0.5, pixels, draw)) for draw in DRAWS]
        std = torch.cat([result.dots for result in every]).std(0)
        assert std.tolist() == pytest.approx(every[0].predicted, rel=0.1)


def test_dots_lie_too_far_away_where_they_are_not_small():
    for draw in DRAWS:
        result = compute(State(0.1, 4.0, 2.0, draw=draw))
        assert result.measured[2] > 1.05 * result.predicted[2] and result.shift > 50


def test_errors_of_darks_pixels_are_as_measured():
    source = torch.Generator().manual_seed(0)
    cells_ = 10 + torch.rand(2000, 2, generator=source, dtype=torch.float64)
    maps = gaussian_heatmap(cells_, (21, 21), sigma=2.0)
    maps = maps + 0.05 * torch.randn(maps.shape, generator=source, dtype=torch.float64)
    off = 4 * (refine_dark(maps, blur=2.0) - cells_)
    assert off.square().mean().sqrt().item() == pytest.approx(SIGMA["DARK"], abs=0.01)
    assert SIGMA["argmax"] ** 2 == pytest.approx(theory.argmax_error(4.0).variance)
    assert SIGMA["quarter shift"] ** 2 == pytest.approx(theory.quarter_error(4.0).variance)


@pytest.mark.parametrize("state", STATES)
def test_views(state):
    result = compute(state)
    view = cameras.view(result)
    room, near, bars = view.panels
    places = marks(room)
    for name, x in (("left", -state.baseline / 2), ("right", state.baseline / 2)):
        assert places[name] == pytest.approx(cameras._ROOM.at(x, 0), abs=0.01)
    assert places["joint"] == pytest.approx(cameras._ROOM.at(0, state.depth), abs=0.01)
    reach, (ring,), (dots,) = cameras._reach(result), nodes(near, "ellipse"), nodes(near, "dots")
    scale = cameras._SIDE / 2 / reach
    for radius, std in (("rx", result.predicted[0]), ("ry", result.predicted[2])):
        assert float(ring.get(radius)) == pytest.approx(scale * 2.4477 * std, rel=1e-3)
        assert float(ring.get(radius)) < cameras._SIDE / 2
    shown = np.array([[float(v) for v in dot.removesuffix("h0").split()] for dot in dots.get("d")[1:].split("M")])
    assert len(shown) >= 0.9 * DOTS
    if len(shown) == DOTS:
        want = cameras._SIDE / 2 + scale * result.dots[:, [0, 2]].numpy() * [1, -1]
        assert shown == pytest.approx(want, abs=0.051)
    found = marks(bars)
    for k, axis in enumerate("xyz"):
        for name, value in (("predicted", result.predicted), ("measured", result.measured)):
            assert found[f"{name} {axis}"][1] == pytest.approx(cameras._ERRORS.at(0, value[k])[1], abs=0.01)
    assert [row[1:] for row in cells(view.table)[1:]] == [
        [f"{want:.2f}", f"{have:.2f}"]
        for want, have in zip((*result.predicted, 0), (*result.measured, round(result.shift, 2) + 0.0), strict=True)]


def test_verdicts_are_true_wherever_the_controls_stand():
    draw, seen = random.Random(1), set()
    for _ in range(100):
        result = compute(any_state(State, draw))
        (x, _, z), said = result.predicted, cameras.verdict(result)
        assert ("times that across" in said) == (z / x >= 1.25) and ("times that along" in said) == (z / x <= 0.8)
        share = z / 1000 / result.state.depth
        assert ("small, and" in said) == (share < 0.05) and ("not small" in said) == (share > 0.1)
        if "not small" in said:
            many = torch.cat([compute(State(**{**vars(result.state), "draw": d})).dots for d in DRAWS])
            assert many[:, 2].std() > z and many[:, 2].mean() > 0
        seen.add(said.split(".")[0][:25] + said[-12:])
        assert not math.isnan(result.shift)
    assert len(seen) >= 4


def test_everything_fits_its_axes():
    for state in (State(2.0, 0.5, 0.05), State(0.1, 4.0, 2.0), State(0.1, 0.5, 0.05), State(2.0, 4.0, 2.0)):
        for draw in DRAWS:
            result = compute(State(**{**vars(state), "draw": draw}))
            low, high = cameras._ERRORS.y
            assert low < min(*result.predicted, *result.measured) and max(*result.predicted, *result.measured) < high
    widths = [float(ET.fromstring(panel).get("width")) for panel in cameras.view(compute(State())).panels]
    assert sum(widths) + 2 * _page.GAP <= _page.WIDTH
    assert ET.fromstring(cameras.view(compute(State())).panels[1]).find(f"{SVG}svg") is not None
