"""The training explorer: what it looks up, shows and says."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from posebook.expectation import soft_argmax
from posebook.explore import epochs
from posebook.explore.epochs import KEYPOINT, KEYPOINTS, MARKS, NETS, STEP, State, compute
from posebook.grid import Grid
from posebook.skeleton import COCO_17
from posebook.training.table import EPOCHS
from posebook.training.table import epochs as stored

SVG = "{http://www.w3.org/2000/svg}"
STATES = [State(step, name) for step in (*STEP, 60.0, 123.4) for name in KEYPOINTS]


@pytest.mark.parametrize("state", STATES)
def test_it_shows_what_was_stored(state):
    result, run = compute(state), stored("cross-entropy")
    k, moment = COCO_17.names.index(state.keypoint.replace(" ", "_")), EPOCHS.index(result.steps)
    assert result.steps <= state.step and (EPOCHS + (math.inf,))[moment + 1] > state.step
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
    first, last = (compute(State(step)) for step in STEP)
    for name in NETS:
        assert last.median[name] < 0.5 * first.median[name]
    assert torch.equal(stored("regression")["image"], stored("cross-entropy")["image"])
    assert last.peak > 2 * first.peak


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"step": 0.0}, f"step: want a number from 1 to {EPOCHS[-1]}, got 0.0"),
        ({"step": math.nan}, f"step: want a number from 1 to {EPOCHS[-1]}, got nan"),
        ({"keypoint": "tail"}, "keypoint: want one of 'nose', 'left wrist', 'right wrist', 'left knee', 'right ankle'"),
    ],
)
def test_out_of_range(start, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        epochs.explore(**start)


@pytest.mark.parametrize("state", STATES[::3])
def test_views(state):
    result = compute(state)
    root, said = ET.fromstring(epochs.svg(result)), epochs.sentence(result)
    assert root.get("role") == "img" and root.get("aria-label") == said and "\n" not in said
    for value in (*result.errors.values(), *result.median.values(), result.peak):
        assert f"{value:.2f}" in said
    assert f"After {result.steps} steps" in said
    windows = root.findall(f"{SVG}svg")
    for window, name, images in zip(windows, NETS, (1, 2), strict=True):  # the second has a veil
        marks = {g.get("data-name"): g.get("transform") for g in window.iter(f"{SVG}g") if g.get("data-name")}
        assert list(marks) == ["keypoint", name] and len(window.findall(f"{SVG}image")) == images
        got = map(float, re.match(r"translate\((\S+) (\S+)\)", marks[name]).groups())
        assert list(got) == pytest.approx(result.points[name], abs=0.01)
    assert len([p for p in root.findall(f"{SVG}polyline")]) == 2
    ET.fromstring(f"<body>{epochs.view(result)}</body>")
    rows = [["".join(c.itertext()).strip() for c in row] for row in ET.fromstring(epochs.table(result)).iter("tr")]
    assert [row[0] for row in rows] == ["point", state.keypoint, *NETS]
    assert len({shape for shape, _ in (KEYPOINT, *MARKS.values())}) == 3


def test_the_verdict_follows_the_numbers():
    for state in STATES:
        result = compute(state)
        a, b = (result.median[name] for name in NETS)
        said = epochs.verdict(result)
        assert said.startswith("Both") == (min(a, b) > 0.8 * max(a, b))
        assert said.startswith("Both") or said.startswith("The regression" if a < b else "The heatmap")


def test_png():
    assert epochs.png(compute(State())).startswith(b"\x89PNG\r\n\x1a\n")


def test_a_move_is_one_assignment():
    explorer, seen = epochs.explore(), []
    explorer.view.observe(lambda change: seen.append(change["new"]), "value")
    for name, value in {"step": 200.0, "keypoint": "nose"}.items():
        seen.clear()
        explorer.controls[name].value = value
        assert seen == [epochs.view(compute(explorer.result.state))]
    assert explorer.result.state == State(200.0, "nose")
    assert explorer._repr_mimebundle_()[0]["text/plain"] == epochs.sentence(explorer.result)
