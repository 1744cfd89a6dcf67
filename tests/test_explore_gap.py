"""The gap explorer: what it computes, shows and says, against the library and by other means."""

import math
import random
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, any_state, cells, marks
from scipy import stats

from posebook.explore import gap as explorer
from posebook.explore.gap import AREA, DRAWS, PERSONS, SCATTER, STRATA, State, V, compute, expected, signed
from posebook.fairness import bootstrap_gap, gap, standardized_gap
from posebook.skeleton import COCO_17

# ---------------------------------------------------------------------------------------------------------------------
# What it computes


@pytest.mark.parametrize("state", [State(), State(0.5, 1.8, 0.3, 400, 5, 3), State(1.0, 3.0, 0.0, 100, 2, 20)])
def test_gaps_and_intervals_are_those_of_the_library(state):
    """Standard errors in place of the bootstrap: ends within a tenth of the half width."""
    result = compute(state)
    size, oks, group = result.area.flatten(), result.oks.flatten(), torch.arange(2 * state.n) >= state.n
    assert result.raw.gap == pytest.approx(gap(oks, group).item(), abs=1e-12)
    assert result.keypoint.gap == pytest.approx(result.raw.gap, abs=1e-12)
    for found, library in ((result.raw, bootstrap_gap(oks, group)),
                           (result.level, standardized_gap(oks, group, size, strata=state.strata))):
        assert found.gap == pytest.approx(library.gap.item(), abs=1e-12)
        assert found.low == pytest.approx(library.low.item(), abs=0.12 * found.half)
        assert found.high == pytest.approx(library.high.item(), abs=0.12 * found.half)


def test_what_cannot_be_standardized_is_what_the_library_refuses():
    seen, draw = set(), random.Random(1)
    for _ in range(60):
        state = any_state(State, draw)
        result, group = compute(state), torch.arange(2 * state.n) >= state.n
        size, oks = result.area.flatten(), result.oks.flatten()
        if result.level is None:
            with pytest.raises(ValueError, match=f"in stratum {result.empty} of {state.strata}"):
                standardized_gap(oks, group, size, strata=state.strata, draws=1)
        else:
            library = standardized_gap(oks, group, size, strata=state.strata, draws=1)
            assert result.level.gap == pytest.approx(library.gap.item(), abs=1e-12)
        seen.add(result.level is None)
    assert seen == {True, False}


def test_true_gaps_are_means_over_people_without_end():
    """By sums over a fine grid of log-normal sizes, and by 16 000 people drawn, within 4.5 standard errors."""
    for ratio, effect in ((0.7, 1.0), (0.4, 1.8), (1.0, 3.0)):
        result = compute(State(ratio=ratio, effect=effect))

        def mean(median, variance):
            z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
            return (expected(median * (SCATTER * z).exp(), variance) @ torch.from_numpy(stats.norm.pdf(z)) / 250).item()

        first, second = mean(AREA, V), mean(ratio * AREA, V * effect)
        assert result.truth == pytest.approx(second - first, abs=1e-6)
        assert result.by_size == pytest.approx(mean(ratio * AREA, V) - first, abs=1e-6)
        level = (mean(AREA, V * effect) + second - first - mean(ratio * AREA, V)) / 2
        assert result.level_truth == pytest.approx(level, abs=1e-6)
        found = [compute(State(ratio=ratio, effect=effect, n=400, draw=draw)).raw for draw in DRAWS]
        slack = 4.5 * found[0].half / 1.96 / math.sqrt(len(DRAWS))
        assert sum(one.gap for one in found) / len(found) == pytest.approx(result.truth, abs=slack)


def test_errors_have_their_variance_whatever_is_related():
    for related in (0.0, 0.5, 1.0):
        result = compute(State(related=related, n=400, effect=2.0))
        for k, variance in enumerate((V, 2 * V)):
            want = expected(result.area[k], variance)
            slack = 4.5 * (result.oks[k] - want).std().item() / math.sqrt(400)
            assert (result.oks[k] - want).mean().item() == pytest.approx(0, abs=slack)


def test_a_larger_group_begins_with_the_smaller_one():
    few, many = compute(State(n=20)), compute(State(n=400))
    assert torch.allclose(many.area[:, :20], few.area) and torch.allclose(many.oks[:, :20], few.oks)


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


def ways(**start):
    return [compute(State(draw=draw, **start)) for draw in DRAWS]


def test_intervals_by_person_hold_and_those_by_keypoint_do_not():
    """Over all ratios, effects and numbers of persons here: 18 settings of 20 draws, which share their people."""
    held = {"raw": 0, "keypoint": 0, "level": 0}
    tried = {name: 0 for name in held}
    for ratio in (0.6, 0.8, 1.0):
        for effect in (1.0, 1.8):
            for n in (100, 200, 400):
                for way in ways(ratio=ratio, effect=effect, n=n, strata=5 if n < 400 else 10):
                    for name, truth in (("raw", way.truth), ("keypoint", way.truth), ("level", way.level_truth)):
                        found = getattr(way, name)
                        if found:
                            held[name] += found.holds(truth)
                            tried[name] += 1
    share = {name: held[name] / tried[name] for name in held}
    assert tried["raw"] == 360 and tried["level"] > 300
    assert share["raw"] > 0.88 and share["level"] > 0.88 and share["keypoint"] < 0.75


def test_the_interval_by_keypoint_does_not_see_what_is_related():
    halves = [[getattr(compute(State(related=r)), name).half for r in (0.0, 0.5, 1.0)] for name in ("raw", "keypoint")]
    assert halves[0][0] * 1.2 < halves[0][1] < halves[0][2] / 1.2
    assert max(halves[1]) < 1.05 * min(halves[1])


def test_more_strata_leave_less():
    left = [abs(sum(w.level.gap for w in ways(strata=strata))) / len(DRAWS) for strata in (1, 2, 5)]
    assert left[0] > 2 * left[1] > 4 * left[2]


# ---------------------------------------------------------------------------------------------------------------------
# What it shows and says


def test_sentences_are_true_wherever_the_controls_stand():
    draw, seen = random.Random(0), set()
    for _ in range(200):
        state = any_state(State, draw)
        result, said = compute(state), explorer.sentence(compute(state))
        total, size, error = map(float, re.search(
            r"The true gap is (\S+): (\S+) by size, (\S+) by error\.", said).groups())
        assert total == pytest.approx(result.truth, abs=5.1e-4) and size == pytest.approx(result.by_size, abs=5.1e-4)
        assert size + error == pytest.approx(total, abs=1e-9)
        person, wide, how, keypoint = re.search(
            r"By person the interval (holds|misses) it; by keypoint, (\S+) times (narrower|wider), it (holds|misses)",
            said).groups()
        inside = [one.low <= result.truth <= one.high for one in (result.raw, result.keypoint)]
        assert [person == "holds", keypoint == "holds"] == inside
        assert float(wide) >= 1 and (how == "narrower") == (result.raw.half > result.keypoint.half)
        if result.level is None:
            assert f"stratum {result.empty} of {state.strata} has fewer than two of a group." in said
        else:
            level, many, held = re.search(
                r"At one size the true gap is (\S+); the interval from (\d+) strat\w+ (holds|misses) it\.", said
            ).groups()
            assert float(level) == pytest.approx(result.level_truth, abs=5.1e-4) and int(many) == state.strata
            assert (held == "holds") == (result.level.low <= result.level_truth <= result.level.high)
        seen.add((person, keypoint, result.level is None))
    assert {("holds", "misses", False), ("holds", "holds", True)} <= seen


@pytest.mark.parametrize("state", [State(), State(0.5, 2.0, 1.0, 20, 1, 5), State(0.25, 3.0, 0.0, 400, 20, 2)])
def test_views(state):
    result = compute(state)
    view = explorer.view(result)
    left, right = map(ET.fromstring, view.panels)
    places = marks(right)
    assert len(places) == (3 if result.level else 2)
    rows = explorer._rows(result)
    lines = {node.get("data-name"): node for node in right.iter(f"{SVG}line") if node.get("data-name")}
    for k, (_, name, found, truth) in enumerate(rows):
        assert float(lines[f"true, {name}"].get("x1")) == pytest.approx(explorer._GAP.at(truth, 0)[0], abs=0.02)
        if found:
            assert places[name] == pytest.approx(explorer._GAP.at(found.gap, 2.5 - k), abs=0.02)
            ends = [float(lines[f"bar, {name}"].get(x)) for x in ("x1", "x2")]
            assert ends == pytest.approx([explorer._GAP.at(x, 0)[0] for x in (found.low, found.high)], abs=0.02)
    bars = {node.get("data-name"): node for node in right.iter(f"{SVG}rect") if node.get("data-name")}
    unit = explorer._SPLIT.box[2] / 1.1
    assert float(bars["by size"].get("width")) == pytest.approx(max(1, abs(result.by_size) * unit), abs=0.02)
    paths = {node.get("data-name"): node.get("d") for node in left.iter(f"{SVG}path") if node.get("data-name")}
    assert paths["first persons"].count("h0") == min(60, state.n) and paths["second sizes"].count("H") == 24
    bottom, scale = explorer._COUNTS.at(1, 0)[1], explorer._COUNTS.box[3] / 0.3
    heights = [float(y) for y in re.findall(r"L\S+ (\S+?)H", paths["first sizes"])]
    assert sum(bottom - y for y in heights) / scale == pytest.approx(1, abs=0.02)
    body = cells(view.table)[1:]
    for row, (_, name, found, truth) in zip(body, rows, strict=True):
        assert row[0] == name and row[3] == signed(truth)
        want = [signed(found.gap), f"{signed(found.low)} to {signed(found.high)}"] if found else ["", "not to be had"]
        assert row[1:3] == want


def test_nothing_leaves_the_axes():
    """Gaps, ends and sizes of the extremes; a histogram's highest step."""
    low, high = explorer._GAP.x
    for draw in DRAWS:
        for n in PERSONS:
            for ratio, effect in ((0.25, 3.0), (1.0, 1.0)):
                result = compute(State(ratio, effect, 1.0, n, STRATA[0], draw))
                assert low < result.raw.low and result.raw.high < high and low < result.level.low
                assert explorer._X[0] < result.area.min() and result.area.max() < explorer._X[1]
    assert len(COCO_17) == 17


def test_signed():
    shown = {0.0: "+0.000", -0.0004: "+0.000", 0.0006: "+0.001", -0.25: "-0.250"}
    assert [signed(x) for x in shown] == list(shown.values()) and signed(-0.0) == "+0.000"
