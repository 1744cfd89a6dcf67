"""The average precision explorer: what it computes, shows and says."""

import itertools
import math
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, cells, marks, window

from posebook.evaluation import coco_keypoint_ap, oks
from posebook.explore import precision
from posebook.explore.precision import POSE, SIGMAS, TALL, THIRD, THRESHOLDS, State, compute

STATES = [
    State(shift, error, height, score2, score3, third, threshold)
    for shift, error, (height, third), (score2, score3), threshold in itertools.product(
        (0.0, 16.0, 158.0), (0.0, 9.0), ((TALL, "none"), (140.0, "duplicate"), (60.0, "nobody")),
        ((0.7, 0.7), (0.6, 0.95), (0.9, 0.5)), (0.5, 0.75))
]
KNOWN = State(shift=12.0, error=0.0, third="none")


@pytest.mark.parametrize("state", STATES[::5])
def test_oks_and_ap_are_those_of_the_library(state):
    result = compute(state)
    found = {d.name: d for d in result.detections}
    xy = torch.tensor([found[name].xy for name in sorted(found)], dtype=torch.float64)
    people, areas = (torch.tensor(v, dtype=torch.float64) for v in (result.people, result.areas))
    values = oks(xy[:, None], people, torch.ones(2, 9), areas, torch.tensor(SIGMAS, dtype=torch.float64))
    for name, row in zip(sorted(found), values.tolist(), strict=True):
        assert found[name].oks == pytest.approx(row, abs=1e-12)
    record = {"image_id": 1, "category_id": 1}
    posed = [record | {"keypoints": [v for x, y in p for v in (x, y, 2)]} for p in [*result.people, *xy.tolist()]]
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "keypoints": list(POSE)}],
             "annotations": [posed[k] | {"id": k + 1, "area": result.areas[k]} for k in (0, 1)]}
    file = [p | {"score": found[name].score} for name, p in zip(sorted(found), posed[2:], strict=True)]
    at = THRESHOLDS.index(state.threshold)
    judged, turned = (coco_keypoint_ap(truth, rows, sigmas=SIGMAS) for rows in (file, file[::-1]))
    assert result.stats == judged.stats
    assert result.readings == tuple(judged.precision[at, :, 0, 0])
    assert result.turned == pytest.approx(turned.precision[at, :, 0, 0].mean())
    assert sum(result.each) / 10 == pytest.approx(result.stats["AP"])


@pytest.mark.parametrize("state", STATES)
def test_ap_by_hand(state):
    """The rules of matching and of the readings, written out."""
    result, free, hits = compute(state), {1, 2}, []
    scores = {1: 0.7, 2: state.score2, 3: state.score3}
    names = [n for n in (1, 2, 3) if n < 3 or state.third != "none"]
    assert [d.name for d in result.detections] == sorted(names, key=lambda n: -scores[n])
    for d in result.detections:
        near = [(d.oks[person - 1], person) for person in free if d.oks[person - 1] >= state.threshold]
        assert d.finds == (max(near)[1] if near else 0)
        free.discard(d.finds)
        hits.append(d.finds > 0)
        assert d.right == sum(hits)
    right = list(itertools.accumulate(hits))
    curve = [(r / 2, r / n) for n, r in enumerate(right, 1)]
    for k, reading in enumerate(result.readings):
        assert reading == pytest.approx(max((p for r, p in curve if r >= k / 100), default=0))
    assert result.here == pytest.approx(sum(result.readings) / 101)


def test_a_duplicate_costs_by_its_place():
    last, first, third = compute(State()), compute(State(score3=0.95)), compute(State(score3=0.95, score2=0.8))
    assert last.here == 1 and "costs nothing" in precision.verdict(last)
    assert first.here == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert "Detection 3 comes first and takes person 1 with OKS 0.58" in precision.verdict(first)
    assert third.here == 1  # detection 1 is wrong, but comes last
    strict = compute(State(score3=0.95, threshold=0.6))
    assert strict.here == pytest.approx(2 / 3)
    assert "Wrong and before a right one: detection 3" in precision.verdict(strict)


def test_half_found_is_51_readings():
    for state, want in ((State(third="none", error=12.5), 51 / 101), (State(third="none", shift=19.0), 51 / 202)):
        result = compute(state)
        assert result.here == pytest.approx(want)
        assert "just below 0.50. One of two found: 51 of the 101 readings are above 0." in precision.verdict(result)
    nobody = compute(State(third="none", shift=60.0, error=40.0))
    assert nobody.here == 0 and "all 101 readings are 0" in precision.verdict(nobody)
    assert "Person 1 is missed: the best OKS is 0.00, below 0.50." in precision.verdict(nobody)
    assert "Both people are found, and nothing is wrong. AP at 0.50 is 1.000" in precision.verdict(compute(KNOWN))


def test_below_a_threshold_looks_below():
    result = compute(State(third="none", error=12.5))
    value = result.detections[1].oks[1]
    assert 0.499 < value < 0.5 and precision._cut(value) == "0.49" in precision.sentence(result)
    assert precision._cut(1.0) == "1.00"


def test_the_file_decides_between_equal_scores():
    tied = compute(State(third="nobody", score2=0.7, score3=0.7))
    assert (tied.here, tied.turned) == (1, pytest.approx(2 / 3))
    assert "Equal scores: the order in the file decides" in precision.verdict(tied)
    apart = compute(State(third="nobody", score2=0.65, score3=0.6))
    assert apart.here == apart.turned == 1 and "Equal" not in precision.verdict(apart)


def test_another_person_counts_as_found():
    result = compute(State(shift=158.0, error=6.0, height=TALL, third="none"))
    assert [d.finds for d in result.detections] == [2, 0]
    assert result.detections[0].oks[1] == pytest.approx(1) and result.here == pytest.approx(51 / 101)


@pytest.mark.parametrize("height, medium", [(TALL, -1), (216.0, -1), (214.0, 1), (72.0, 1), (70.0, -1)])
def test_sizes(height, medium):
    result = compute(State(shift=0.0, error=0.0, height=height, third="none"))
    assert result.areas == pytest.approx((11520, height**2 / 5))
    assert [result.stats[name] for name in ("AP", "APM", "APL")] == pytest.approx([1, medium, 1])
    assert f"(medium {medium if medium < 0 else '1.00'}, large 1.00)" in precision.view(result).panels[1]


@pytest.mark.parametrize("state", STATES[::3])
def test_views(state):
    result = compute(state)
    view = precision.view(result)
    found, people = {d.name: d for d in result.detections}, {d.finds for d in result.detections}
    image = window(view.panels[0])
    assert {name: tuple(place) for name, place in marks(image).items()} == {
        f"detection {name}": pytest.approx(d.xy[0], abs=0.01) for name, d in found.items()}
    circles = list(image.iter(f"{SVG}circle"))
    for k, (sigma, person) in enumerate(itertools.product(SIGMAS, (0, 1))):
        circle = circles[9 * person + k // 2]
        off = float(circle.get("r")) ** 2 / (2 * result.areas[person] * (2 * sigma) ** 2)
        assert math.exp(-off) == pytest.approx(state.threshold, abs=1e-3)
        assert (circle.get("stroke-dasharray") is None) == (person + 1 in people)
    after = marks(view.panels[1])
    for n, d in enumerate(result.detections, 1):
        assert after[f"after {d.name}"] == pytest.approx(precision._CURVE.at(d.right / 2, d.right / n), abs=0.01)
    dots = ET.fromstring(view.panels[1]).find(f".//{SVG}path[@data-name='readings']").get("d").split("h0")[:-1]
    want = [precision._CURVE.at(k / 100, reading) for k, reading in enumerate(result.readings)]
    assert [tuple(map(float, dot[1:].split())) for dot in dots] == [pytest.approx(at, abs=0.06) for at in want]
    bars = [float(bar.get("height")) for bar in ET.fromstring(view.panels[1]).iter(f"{SVG}rect")]
    assert bars == pytest.approx([46 * ap for ap in result.each], abs=0.01)
    rows = cells(view.table)
    assert rows[1][2:4] == [f"{area:.0f}" for area in result.areas]
    for n, (row, d) in enumerate(zip(rows[2:], result.detections, strict=True), 1):
        assert row == [f"detection {d.name}", f"{d.score:.2f}", *map(precision._cut, d.oks), str(d.finds or "-"),
                       f"{d.right} of {n}"]
        assert f"detection {d.name}, score {d.score:.2f}" in view.sentence
    assert f"{result.here:.3f}" in view.sentence and f"{result.stats['AP']:.3f}" in view.sentence


def test_every_kind_of_third_is_drawn():
    for third in THIRD:
        names = {d.name for d in compute(State(third=third)).detections}
        assert names == ({1, 2} if third == "none" else {1, 2, 3})
