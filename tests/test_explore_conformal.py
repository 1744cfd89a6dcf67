"""The conformal explorer: what it computes, shows and says; and the residuals that are stored for it."""

import bisect
import itertools
import math
import random
import re
import xml.etree.ElementTree as ET
from fractions import Fraction

import pytest
import torch
from panels import SVG, any_state, cells, marks

from posebook.explore import _page, conformal
from posebook.explore.conformal import DRAWS, KEYPOINTS, LEVELS, SCALES, SHIFT, SIZES, State, compute, promise
from posebook.training import residuals
from posebook.training.files import read_tensors
from posebook.training.residuals import CALIBRATION, FRESH, KINDS, SEEDS, SHOWN

STATES = [
    State(alpha, n, pictures, keypoint, radius, draw)
    for (alpha, n, draw), pictures, keypoint, radius in itertools.product(
        ((0.1, 100, 1), (0.01, 20, 3), (0.5, 5, 10), (0.2, 1000, 7)), KINDS, ("nose", "left wrist", "right ankle"),
        SCALES)
]


# ---------------------------------------------------------------------------------------------------------------------
# The same by other means: lists, and fractions for the rank


@pytest.fixture(scope="module")
def kept():
    return read_tensors(residuals.FOLDER / "residuals.safetensors")[0]


def scores(kept, name, state):
    """Residuals by picture, and the px of one."""
    k = KEYPOINTS.index(state.keypoint)
    error, width = ([value / 1000 for value in kept[f"{name}, {what}"][:, k].tolist()] for what in ("error", "width"))
    return (error, [1.0] * len(error)) if state.radius == SCALES[0] else (
        [e / w for e, w in zip(error, width, strict=True)], width)


def rank(state):
    """ceil((n + 1)(1 - alpha)), with alpha as it is written."""
    share = (state.n + 1) * (1 - Fraction(str(state.alpha)))
    return -(-share.numerator // share.denominator)


def radius(every, state, draw):
    first = SHIFT * (draw - 1)
    some = sorted((every + every)[first : first + state.n])
    return some[rank(state) - 1] if rank(state) <= state.n else math.inf


def test_results_and_verdicts_are_true_wherever_the_controls_stand(kept):
    draw, seen, memo = random.Random(0), set(), {}
    for _ in range(2500):
        state = any_state(State, draw)
        result, said = compute(state), conformal.verdict(compute(state))
        key = state.pictures, state.keypoint, state.radius
        if key not in memo:
            fresh = scores(kept, state.pictures, state)
            memo[key] = scores(kept, "calibration", state)[0], *fresh, sorted(fresh[0])
        every, residual, unit, ordered = memo[key]
        radii = [radius(every, state, k + 1) for k in range(DRAWS)]
        held = [bisect.bisect_right(ordered, r) for r in radii]
        here = state.draw - 1
        assert result.rank == rank(state) and result.radius == radii[here] and result.held == held[here]
        mean = sum(held) / (DRAWS * FRESH)
        assert result.mean == pytest.approx(mean, abs=1e-12)
        for person, r, u in zip(result.people, residual, unit, strict=False):
            assert person.holds == (r <= radii[here])
            assert person.radius == pytest.approx(radii[here] * u) or math.isinf(radii[here])
            assert (math.dist(person.truth, person.found) <= person.radius) == person.holds or (
                abs(r * u - person.radius) < 2e-3)
        seen.add(true_verdict(said, state, radii[here], held[here], mean))
    assert seen >= {"infinite", "as calibrated", ("dark", "below"), ("dark", "not below"), ("from behind", "far below"),
                    ("from behind", "not below"), ("upside down", "far below")}


def true_verdict(said, state, radius_, held, mean):
    """Returns what was met."""
    if math.isinf(radius_):
        percent, need = re.fullmatch(r"Too few pictures: only an infinite circle can promise to fail (\S+) % of the "
                                     r"time. It takes at least (\d+) of them.", said).groups()
        assert float(percent) == pytest.approx(100 * state.alpha, abs=0.00501)
        ranks = {n: (n + 1) * (1 - Fraction(str(state.alpha))) for n in (int(need) - 1, int(need))}
        assert [n for n in ranks if ranks[n] <= n] == [int(need)] and state.n < int(need)
        return "infinite"
    told = re.search(r"These circles hold the truth in (\d+) of 1000 fresh pictures; over ten draws the share is (\S+?)"
                     r"(?:, ((?:far |not )?below) (\S+))?\.$", said)
    assert int(told[1]) == held and float(told[2]) == pytest.approx(mean, abs=1e-9)
    low, high = 1 - state.alpha, 1 - state.alpha + 1 / (state.n + 1)
    if state.pictures == "as calibrated":
        first, last = re.match(r"Promised are (\S+) to (\S+), in the mean over draws and pictures\. ", said).groups()
        assert float(first) == pytest.approx(low, abs=1e-8)
        assert float(last) == pytest.approx(min(1, high), abs=0.000501)
        assert told[3] is None
        return "as calibrated"
    where = {"dark": "in the dark"}.get(state.pictures, state.pictures)
    assert said.startswith(f"For pictures {where} nothing is promised. ")
    assert float(told[4]) == pytest.approx(low, abs=1e-8)
    assert told[3] == ("far below" if mean < low / 2 else "below" if mean < low else "not below")
    return state.pictures, told[3]


def test_promise():
    assert promise(State(n=99)) == (0.9, pytest.approx(0.91))
    assert promise(State(n=5)) == (0.9, 1)


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


def test_the_promise_is_kept_as_calibrated():
    """Over ten draws that do not overlap, within four standard errors, of the draws and of the fresh pictures."""
    for keypoint, scale, n, alpha in itertools.product(KEYPOINTS, SCALES, (20, 100, 200), (0.05, 0.1, 0.3, 0.5)):
        result = compute(State(alpha, n, "as calibrated", keypoint, scale))
        k = result.rank
        spread = k * (n + 1 - k) / ((n + 1) ** 2 * (n + 2))  # variance of a draw's coverage, Beta(k, n + 1 - k)
        error = math.sqrt(spread / DRAWS + alpha * (1 - alpha) / FRESH)
        assert abs(result.mean - k / (n + 1)) < 4 * error


def test_it_breaks_at_once_for_other_pictures():
    for keypoint in ("left shoulder", "left wrist", "left hip", "right ankle"):
        shares = {pictures: compute(State(pictures=pictures, keypoint=keypoint)).mean for pictures in KINDS}
        assert shares["dark"] < 0.75 and shares["from behind"] < 0.25 and shares["upside down"] < 0.2
        by_width = {pictures: compute(State(pictures=pictures, keypoint=keypoint, radius=SCALES[1])).mean
                    for pictures in KINDS}
        assert by_width["dark"] > shares["dark"] + 0.1 and by_width["from behind"] < 0.25
    assert compute(State(pictures="from behind", keypoint="nose")).mean > 0.7


def test_an_infinite_circle_holds_everything():
    result = compute(State(alpha=0.01, n=50, pictures="upside down"))
    assert result.held == FRESH and result.mean == 1 and all(person.holds for person in result.people)
    root = ET.fromstring(conformal.view(result).panels[0])
    assert not list(root.iter(f"{SVG}circle")) and "there is no 51st of 50" in conformal.view(result).panels[1]


# ---------------------------------------------------------------------------------------------------------------------
# What is stored


def test_stored_residuals_are_those_of_the_network():
    """The first of each kind, measured again: nets differ in the last digits between machines."""
    table = residuals.residuals()
    for name, kind, count in (("calibration", "as calibrated", CALIBRATION), *((kind, kind, FRESH) for kind in KINDS)):
        seed = SEEDS["calibration" if name == "calibration" else "fresh"]
        xy, found, width = residuals.measure(residuals.scene(kind, 40, seed))
        assert table[f"{name}, error"].shape == table[f"{name}, width"].shape == (count, len(KEYPOINTS))
        off = (table[f"{name}, error"][:40] - (found - xy).norm(dim=-1)).abs()
        assert off.median() < 2e-3 and off.max() < 0.2
        assert (table[f"{name}, width"][:40] - width).abs().max() < 0.2 and table[f"{name}, width"].min() > 0.1
        if name != "calibration":
            torch.testing.assert_close(table[f"{name}, xy"], xy[:SHOWN], atol=1e-3, rtol=0)
            assert (table[f"{name}, found"] - found[:SHOWN]).abs().max() < 0.2
    assert read_tensors(residuals.FOLDER / "residuals.safetensors")[1]["command"] == residuals.COMMAND


# ---------------------------------------------------------------------------------------------------------------------
# The view


@pytest.mark.parametrize("state", STATES[::5])
def test_views(state):
    result = compute(state)
    view = conformal.view(result)
    left, right = map(ET.fromstring, view.panels)
    tiles = left.findall(f"{SVG}svg/{SVG}svg")
    assert len(tiles) == SHOWN
    for k, (tile, person) in enumerate(zip(tiles, result.people, strict=True), 1):
        ring = next(node for node in tile.iter() if node.get("data-name") == f"circle {k}")
        assert ring.get("stroke") == (_page.GREEN if person.holds else _page.RED)
        assert (ring.get("stroke-dasharray") is None) == person.holds
        places = marks(tile)
        for name, place in (("truth", person.truth), ("found", person.found)):
            assert places[f"{name} {k}"] == pytest.approx([136 / 64 * (v + 0.5) for v in place], rel=1e-3, abs=0.01)
        if math.isfinite(result.radius):
            assert float(ring.get("r")) == pytest.approx(136 / 64 * person.radius, rel=1e-3)
            far = math.dist(places[f"truth {k}"], places[f"found {k}"])
            assert (far <= float(ring.get("r")) + 0.02) or not person.holds
    found, low = marks(right), 1 - state.alpha
    assert found["promise"] == pytest.approx(conformal._HELD.at(low, low), abs=0.02)
    assert found["held"] == pytest.approx(conformal._HELD.at(low, result.held / FRESH), abs=0.02)
    assert found["mean"] == pytest.approx(conformal._HELD.at(low, result.mean), abs=0.02)
    plot = conformal._RANKS[state.radius]
    x, y = plot.at(result.rank / (state.n + 1), min(result.radius, plot.y[1]))
    assert found["rank"] == pytest.approx((x, y), abs=0.02)
    assert [row[1:] for row in cells(view.table)[2:]] == [
        [f"{result.held} of 1000", f"{result.held / 1000:.3f}"], ["", f"{result.mean:.4f}"],
        [f"{sum(person.holds for person in result.people)} of 6", ""]]


def test_curves_are_what_the_states_say():
    for n, pictures, scale in itertools.product((5, 100, 1000), KINDS, SCALES):
        lines = conformal._curves(n, pictures, "left wrist", scale)
        for level, place in list(zip(LEVELS, lines[2].split(), strict=True))[::6]:
            result = compute(State(round(1 - level, 6), n, pictures, "left wrist", scale, 3))
            want = conformal._HELD.at(level, result.held / FRESH)
            assert tuple(map(float, place.split(","))) == pytest.approx(want, abs=0.501)


def test_nothing_leaves_the_axes():
    for state in (State(n=1000, pictures=pictures, keypoint=keypoint, radius=scale)
                  for pictures, keypoint, scale in itertools.product(KINDS, KEYPOINTS, SCALES)):
        result, (_, high) = compute(state), conformal._LIMITS[state.radius]
        assert max(result.fresh.max(), result.residuals.max()) < high


def test_ordinals():
    assert [f"{k}{conformal._ending(k)}" for k in (1, 2, 3, 4, 11, 12, 13, 21, 101, 111, 992)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "101st", "111th", "992nd"]
    assert SIZES == tuple(sorted(SIZES))
