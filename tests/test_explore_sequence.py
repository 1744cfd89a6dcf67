"""The sequence explorer: what it computes, shows and says."""

import itertools
import math
import random
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, any_state, cells, marks, window

from posebook.explore import sequence
from posebook.explore.sequence import CAMERAS, CHOSEN, NETS, OTHERS, PEOPLE, SIZES, State, compute
from posebook.people import ACTIONS, sample_motion
from posebook.training.actions import FRAMES, RATE, probabilities, sequences, stored, torso

NAMES = tuple(ACTIONS)
STATES = [State(*fields, person=1 + n % PEOPLE) for n, fields in enumerate(itertools.product(
    CHOSEN[:4], ("forward", "backward"), CAMERAS, ("each frame", "each film"), (1, 20, FRAMES), (0, 30)))]  # fmt: skip


def likeliest(prob):
    return NAMES[prob.argmax()], prob.max().item()


# ---------------------------------------------------------------------------------------------------------------------
# What it computes


@pytest.mark.parametrize("state", STATES[::17])
def test_what_the_nets_read(state):
    result = compute(state)
    motion = sample_motion(PEOPLE, FRAMES, rate=RATE, seed=sequence.SEED, actions=(state.action,))
    xy = CAMERAS[state.camera].project(motion.joints[state.person - 1])
    assert torch.equal(result.xy, xy if state.film == "forward" else xy.flip(0))
    error = (result.found - result.xy) / torso(xy)
    assert result.px == pytest.approx(state.size / 100 * torso(xy).item())
    deviation = (error if state.noise == "each frame" else error[0]).square().mean().sqrt().item()
    draws = 34 * (FRAMES if state.noise == "each frame" else 1)
    assert deviation == pytest.approx(state.size / 100, rel=4 / math.sqrt(2 * draws))  # four standard errors
    if state.noise == "each film":
        torch.testing.assert_close(error, error[:1].expand_as(error))
    for name, kept in NETS.items():
        assert torch.equal(result.prob[name], probabilities(stored(kept), result.found[None])[0])


@pytest.mark.parametrize("camera", CAMERAS)
def test_what_is_counted(camera):
    motion = sample_motion(OTHERS, FRAMES, rate=RATE, seed=sequence.SEED + 1)
    xy = CAMERAS[camera].project(motion.joints)
    assert motion.action.bincount().tolist() == [OTHERS // len(ACTIONS)] * len(ACTIONS)
    right = compute(State(camera=camera)).right
    for name, kept in NETS.items():
        said = probabilities(stored(kept), xy)[:, -1].argmax(-1)
        assert right[name][0] == (said == motion.action).sum() and len(right[name]) == len(SIZES)


def test_those_counted_are_others():
    shown, counted = sequence._seen("walking", "as trained"), sequences(OTHERS, seed=sequence.SEED + 1)[0]
    assert (shown[:, None] - counted).abs().amax((2, 3, 4)).min() > 1


def test_nobody_is_behind_a_camera_or_far_outside():
    for camera, action in itertools.product(CAMERAS, CHOSEN):
        xy = sequence._seen(action, camera)
        assert ((xy > 0) & (xy < 255)).all(), (camera, action)


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


def test_the_film_backward_is_the_other_action_of_the_pair():
    for action, other in sequence.REVERSED.items():
        for person in range(1, PEOPLE + 1):
            there, back = (compute(State(action=action, film=film, person=person)) for film in ("forward", "backward"))
            assert there.shown == action and back.shown == other
            assert torch.equal(back.xy, compute(State(action=other, person=person)).xy)
            for name in NETS:
                ends = [likeliest(result.prob[name][-1])[0] for result in (there, back)]
                assert ends == [action, other] if name != "order-free" else ends[0] == ends[1]
            torch.testing.assert_close(there.prob["order-free"][-1], back.prob["order-free"][-1])
            assert (there.prob["order-free"][19] - back.prob["order-free"][19]).abs().max() > 0.1


def test_noise_that_stays_is_worse_and_training_on_noise_helps():
    frame, film = (compute(State(noise=noise)).right for noise in ("each frame", "each film"))
    for size in (20, 30, 40):
        n = SIZES.index(size)
        assert all(film[name][n] < frame[name][n] for name in ("temporal", "on pixels", "trained on noise"))
        assert all(right["trained on noise"][n] > right["temporal"][n] for right in (frame, film))


def test_normalization_takes_away_place_and_size_only():
    right = {camera: compute(State(camera=camera)).right for camera in CAMERAS}
    none = {camera: {name: counts[0] for name, counts in nets.items()} for camera, nets in right.items()}
    for name in ("temporal", "trained on noise"):
        assert none["farther"][name] == none["as trained"][name] > none["aside"][name] > none["rolled"][name]
    assert none["farther"]["on pixels"] == OTHERS / len(ACTIONS) < none["rolled"]["on pixels"]


# ---------------------------------------------------------------------------------------------------------------------
# The view


def test_a_verdict_is_true_wherever_the_controls_stand():
    draw, odd = random.Random(0), 0
    for _ in range(120):
        state = any_state(State, draw)
        result = compute(state)
        form = rf"One sees ({'|'.join(NAMES)})( backward, which no net has learned)?\. After all 40 frames (.*)\."
        shown, unknown, said = re.fullmatch(form, sequence.verdict(result)).groups()
        backward = state.film == "backward"
        pair = {"sitting down": "standing up", "standing up": "sitting down"}
        assert shown == (pair.get(state.action, state.action) if backward else state.action)
        assert bool(unknown) == (backward and state.action not in pair)
        told = {}
        for part in said.split("; "):
            names, says, action = re.fullmatch(r"(.*) (says?) (.*)", part).groups()
            several = re.split(", | and ", names)
            assert says == ("says" if len(several) == 1 else "say")
            told |= dict.fromkeys(several, action)
        assert told == {name: likeliest(result.prob[name][-1])[0] for name in NETS}
        odd += bool(unknown)
    assert 10 < odd < 80


@pytest.mark.parametrize("state", STATES[::13])
def test_views(state):
    result = compute(state)
    view = sequence.view(result)
    left, middle, right = view.panels
    paths = {node.get("data-name"): node.get("d") for node in window(left).iter(f"{SVG}path") if node.get("data-name")}
    for name, xy in (("true", result.xy), ("with noise", result.found)):
        points = {tuple(map(float, place.split())) for place in re.split("[ML]", paths[name])[1:]}
        for point in points:
            assert (xy[state.frame - 1] - torch.tensor(point)).abs().amax(-1).min() <= 0.0501
        assert len(points) > 12
    found, each, level = marks(middle), marks(right), SIZES.index(state.size)
    row = NAMES.index(result.shown)
    for name in NETS:
        prob = result.prob[name][state.frame - 1]
        assert found[f"now {name}"] == pytest.approx(sequence._TIME.at(state.frame, prob[row].item()), abs=0.01)
        count = result.right[name][level]
        assert found[f"right {name}"] == pytest.approx(sequence._NOISE.at(state.size, count), abs=0.01)
        for a, action in enumerate(NAMES):
            x, y = sequence._EACH.at(prob[a].item(), 7 - a)
            assert each[f"{action}, {name}"] == pytest.approx((x, y - 9 + 6 * list(NETS).index(name)), abs=0.01)
        action, value = likeliest(prob)
        assert f"{name} {action} ({value:.2f})" in view.sentence and f"{name} {count}" in view.sentence
    lines = [node for node in ET.fromstring(middle).iter(f"{SVG}polyline") if node.get("data-name")]
    assert [len(line.get("points").split()) for line in lines] == [FRAMES] * len(NETS)
    rows = cells(view.table)
    assert [row[0] for row in rows[1:]] == list(NETS)
    for name, (_, now, end, count) in zip(NETS, rows[1:], strict=True):
        for text, prob in ((now, result.prob[name][state.frame - 1]), (end, result.prob[name][-1])):
            action, value = likeliest(prob)
            assert text == f"{action} {value:.2f}"
        assert count == str(result.right[name][level])
