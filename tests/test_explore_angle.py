"""The angle explorer: what it computes, shows and says; and the measurements that are stored for it."""

import itertools
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, cells, marks, window

from posebook.equivariance import c4_average, c4_select, equivariance_causes
from posebook.expectation import spatial_softmax
from posebook.explore import angle
from posebook.explore.angle import PARTS, State, compute
from posebook.people import render
from posebook.training import turning
from posebook.training.data import alone
from posebook.training.files import read_tensors
from posebook.training.methods import METHODS, predict, stored
from posebook.training.turning import ANGLES, ANSWERS, CAUSES, DECODERS, HW, PICTURES, SHOWN
from posebook.training.variants import stored as variant
from posebook.warp import Affine, warp_image, warp_points

STATES = [State(*place) for place in itertools.product(ANGLES, PICTURES, ANSWERS, DECODERS)]


@pytest.fixture(scope="module")
def kept():
    return read_tensors(turning.FOLDER / "turning.safetensors")[0]


def detector(answer, decoder):
    """The same by the library's averages."""
    net = variant("turned") if answer == "trained with turns" else stored("cross-entropy")
    find = METHODS["cross-entropy"].decoders[decoder]

    def plain(image):
        return predict(net, "cross-entropy", image, decoder=decoder)

    def scored(image):
        logits = net(image)
        return find(net, logits), spatial_softmax(logits).amax((-2, -1))

    selected = c4_select(scored)
    return {"mean of four turns": c4_average(plain), "most confident turn": lambda image: selected(image).xy}.get(
        answer, plain)


@torch.no_grad()
@pytest.mark.parametrize("degrees", [90, 35])
def test_answers_and_causes_are_those_of_the_library(degrees):
    people, turn = turning.scene().mapped(lambda values: values[:5]), Affine.rotation(degrees, HW)
    upright, before, _ = alone(render(people, HW))
    errors, medians, places = turning.measure(degrees, people, turning.answers(upright))
    image, xy, vis = alone(render(people.warped(turn), HW))
    torch.testing.assert_close(xy, warp_points(before, turn), rtol=0, atol=1e-3)
    shown = image, warp_image(upright, turn, HW)
    for (d, decoder), (a, answer) in itertools.product(enumerate(DECODERS), enumerate(ANSWERS)):
        find = detector(answer, decoder)
        for p, picture in enumerate(shown):
            found = find(picture)
            torch.testing.assert_close(places[p, d, a], found, rtol=0, atol=1e-3)
            median = (found - xy).norm(dim=-1)[vis == 2].median().item()
            assert errors[p, d, a].item() == pytest.approx(median, abs=1e-3)
        causes = equivariance_causes(find, upright, image, turn,
                                     fine=detector(answer, "DARK" if decoder == "argmax" else decoder))
        want = [part.norm(dim=-1)[vis == 2].median().item() for part in causes]
        assert medians[d, a].tolist() == pytest.approx(want, abs=2e-3)
        if degrees == 90 and answer in ANSWERS[1:3]:
            assert causes.total.norm(dim=-1).max() < angle.EXACT


def test_stored_measurements_are_those_of_the_networks(kept):
    """At half precision and to a quarter of a px; another machine may round a map the other way."""
    people = turning.scene()
    errors, causes, places = turning.measure(35, people, turning.answers(alone(render(people, HW))[0]))
    row = ANGLES.index(35)
    torch.testing.assert_close(kept["error"][row].float(), errors, rtol=0.02, atol=0.02)
    torch.testing.assert_close(kept["causes"][row].float(), causes, rtol=0.02, atol=0.05)
    off = (kept["found"][row] / turning.PARTS - 0.5 - places[..., SHOWN, :, :]).abs().amax(-1)
    assert (off < 0.15).double().mean() > 0.95
    assert read_tensors(turning.FOLDER / "turning.safetensors")[1]["command"] == turning.COMMAND


def test_results_are_what_was_stored(kept):
    for state in STATES[::7]:
        result = compute(state)
        row, way = ANGLES.index(state.degrees), (PICTURES.index(state.picture), DECODERS.index(state.decoder))
        a = ANSWERS.index(state.answer)
        assert list(result.errors.values()) == kept["error"][row, way[0], way[1]].tolist()
        assert list(result.upright.values()) == kept["error"][0, way[0], way[1]].tolist()
        assert list(result.causes.values()) == kept["causes"][row, way[1], a].tolist()
        assert torch.equal(torch.tensor(result.found), kept["found"][row, way[0], way[1], a] / 4 - 0.5)
    whole = turning.scene().xy[SHOWN, 0]
    assert torch.allclose(torch.tensor(compute(State(90)).truth), torch.stack((whole[:, 1], 63 - whole[:, 0]), -1))


def test_averages_turn_exactly_at_quarter_turns_and_networks_do_not():
    for decoder, degrees in itertools.product(DECODERS, (90, 180, 270)):
        for answer in ANSWERS:
            causes = compute(State(degrees, answer=answer, decoder=decoder)).causes
            assert (max(causes.values()) < angle.EXACT) == (answer in ANSWERS[1:3])
            assert causes["interpolation"] < angle.EXACT


def test_a_verdict_is_true_wherever_the_controls_stand():
    seen = set()
    for state in STATES:
        result, said = compute(state), angle.verdict(compute(state))
        off = re.match(r"The (.*?) is (\d+\.\d) px off", said)
        owner = {"network": "as it is", "network that was trained with turns": "trained with turns"}.get(
            off[1], off[1])
        assert owner == state.answer and float(off[2]) == pytest.approx(result.errors[owner], abs=0.051)
        if state.degrees == 0:
            assert said.endswith("Nothing was turned yet.")
            continue
        assert f"upright {result.upright[owner]:.1f} px" in said
        exact = "turns exactly" in said
        assert exact == (state.degrees % 90 == 0 and state.answer in ANSWERS[1:3])
        if exact:
            wrong = "as wrong as" in said
            assert wrong != ("as right as" in said) and wrong == (result.errors[owner] > 5)
            assert result.errors[owner] == pytest.approx(result.upright[owner], abs=0.02)
            seen.add("wrong" if wrong else "right")
            continue
        most, size = re.search(r"The (\w+)'s part is the largest, (\d+\.\d) px", said).groups()
        assert result.causes[most] == max(result.causes[cause] for cause in PARTS)
        assert float(size) == pytest.approx(result.causes[most], abs=0.051)
        assert {name for name in PARTS if f"{name} 0" in said} == {
            name for name in PARTS if result.causes[name] < angle.EXACT}
        seen.add(most)
    assert seen == {"wrong", "right", "network", "decoder"}


@pytest.mark.parametrize("state", STATES[3::97])
def test_what_is_drawn_is_what_was_computed(state):
    result, view = compute(state), angle.view(compute(state))
    left, right = view.panels
    drawn = marks(right)
    assert set(drawn) == set(ANSWERS)
    for name, value in result.errors.items():
        assert drawn[name] == pytest.approx(angle._ERROR.at(state.degrees, value), abs=0.05)
    drawn |= {name: angle._PART.at(state.degrees, result.causes[name]) for name in PARTS}
    lines = {node.get("data-name"): node for node in ET.fromstring(right).iter(f"{SVG}polyline")}
    widths = {name: float(lines[f"line {name}"].get("stroke-width")) for name in ANSWERS}
    assert max(widths, key=widths.get) == state.answer
    for name in (*ANSWERS, *PARTS):
        points = [tuple(map(float, point.split(","))) for point in lines[f"line {name}"].get("points").split()]
        assert len(points) == len(ANGLES) + 1 and points[0][1] == points[-1][1]
        assert points[ANGLES.index(state.degrees)] == pytest.approx(drawn[name], abs=0.11)
    paths = {node.get("data-name"): node.get("d") for node in window(left).iter(f"{SVG}path")}
    for name, places in (("truth", result.truth), ("found", result.found)):
        first = [float(v) for v in re.match(r"M(\S+) (\S+?)L", paths[name]).groups()]
        x, y = places[angle.COCO_17.limbs[0][0]]
        assert first == pytest.approx([300 / 64 * (x + 0.5), 300 / 64 * (y + 0.5)], abs=0.51)
    rows = cells(view.table)
    assert rows[0] == ["median px", "here", "upright", "passes"]
    for row, name, passes in zip(rows[1:5], ANSWERS, (1, 4, 4, 1), strict=True):
        assert row == [name, f"{result.errors[name]:.1f}", f"{result.upright[name]:.1f}", str(passes)]
    for row, name in zip(rows[5:], PARTS, strict=True):
        assert row[:2] == [name, "0" if result.causes[name] < angle.EXACT else f"{result.causes[name]:.1f}"]
    assert view.sentence.startswith(f"Turned by {state.degrees} degrees, {state.picture}, {state.decoder}.")
    assert view.sentence.endswith(view.verdict)
    assert all(f"{cause} {angle._size(result.causes[cause])}" in view.sentence for cause in CAUSES)


def test_pictures_are_those_that_the_network_sees():
    for kind in PICTURES:
        drawn = angle._pictures(kind)
        assert len(drawn) == len(ANGLES) and len(set(drawn)) == len(ANGLES)
    first = [angle._pictures(kind)[0] for kind in PICTURES]
    assert first[0] == first[1]  # nothing was turned
