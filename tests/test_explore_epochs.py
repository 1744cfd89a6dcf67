"""The training explorer: what it looks up, shows and says."""

import math
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, cells, marks, window

from posebook.expectation import soft_argmax
from posebook.explore import epochs
from posebook.explore.epochs import KEYPOINTS, NETS, State, compute
from posebook.grid import Grid
from posebook.skeleton import COCO_17
from posebook.training.table import EPOCHS
from posebook.training.table import epochs as stored

STATES = [State(step, name) for step in (0, 60, 130, 500) for name in KEYPOINTS]


@pytest.mark.parametrize("state", STATES)
def test_it_shows_what_was_stored(state):
    result, run = compute(state), stored("cross-entropy")
    k, moment = COCO_17.names.index(state.keypoint.replace(" ", "_")), EPOCHS.index(state.step)
    assert result.truth == tuple(run["xy"][k].tolist())
    for name, method in NETS.items():
        found = stored(method)["found"][moment]
        assert result.points[name] == tuple(found[k].tolist())
        assert result.errors[name] == pytest.approx(math.dist(found[k].tolist(), result.truth), rel=1e-5)
        off = (found - run["xy"]).square().sum(-1).sqrt()[run["vis"] == 2]
        assert result.median[name] == pytest.approx(off.median().item(), rel=1e-5)
    assert result.prob.sum() == pytest.approx(1, abs=0.01) and result.peak == result.prob.max()


def test_the_map_is_the_one_that_was_decoded():
    """Half precision and a softmax lie between: the mean of the map is the point, to a fifth of a pixel."""
    for state in STATES:
        result = compute(state)
        mean = Grid.center(4).to_image(soft_argmax(result.prob.clamp(min=1e-12).log()))
        assert torch.allclose(mean, torch.tensor(result.points["heatmap"]), atol=0.2)


def test_both_learn_and_both_saw_the_same_picture():
    first, last = (compute(State(step)) for step in (EPOCHS[0], EPOCHS[-1]))
    for name in NETS:
        assert last.median[name] < 0.5 * first.median[name]
    assert torch.equal(stored("regression")["image"], stored("cross-entropy")["image"])
    assert last.peak > 2 * first.peak


def test_the_verdict_follows_the_numbers():
    for state in STATES:
        result = compute(state)
        a, b = (result.median[name] for name in NETS)
        said = epochs.verdict(result)
        assert said.startswith("Both") == (min(a, b) > 0.8 * max(a, b))
        assert said.startswith("Both") or said.startswith("The regression" if a < b else "The heatmap")


@pytest.mark.parametrize("state", STATES[::3])
def test_views(state):
    result = compute(state)
    view = epochs.view(result)
    for value in (*result.errors.values(), *result.median.values(), result.peak):
        assert f"{value:.2f}" in view.sentence
    assert f"After {state.step} steps" in view.sentence
    for panel, name, images in zip(view.panels, NETS, (1, 2), strict=False):  # the second has a veil
        inside = window(panel)
        assert list(marks(inside)) == ["keypoint", name] and len(inside.findall(f"{SVG}image")) == images
        assert marks(inside)[name] == pytest.approx(result.points[name], abs=0.01)
        assert f"{name}, after {state.step} steps" in panel
    assert len(ET.fromstring(view.panels[2]).findall(f"{SVG}polyline")) == 2
    assert [row[0] for row in cells(view.table)] == ["point", state.keypoint, *NETS]


def test_a_press_is_a_stored_moment():
    """Box, slider, title and curve agree, and what is typed in between becomes the nearest moment."""
    explorer = epochs.explore(step=0)
    box, slider = explorer.box.children[0].children[0].children
    for step in EPOCHS[1:]:
        slider.index += 1
        assert box.value == slider.value == explorer.result.state.step == step
        assert f"after {step} steps" in explorer.shown.panels[0]
    for typed, step in ((57, 60), (1, 0), (499, 500)):
        box.value = typed
        assert box.value == slider.value == explorer.result.state.step == step
        assert "alert" not in explorer.status.value
