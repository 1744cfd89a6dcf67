"""Errors that were planted are found, each as what it is, and mending a kind gives the AP that arithmetic says."""

import copy
import math

import numpy as np
import pytest
from coco_sets import coco_set
from hypothesis import given, settings
from hypothesis import strategies as st

from posebook.diagnosis import KINDS, diagnose
from posebook.evaluation import coco_keypoint_ap
from posebook.results import COCO_SIGMAS, read
from posebook.skeleton import COCO_17

AREA = 10_000.0
TWIN = np.array(COCO_17.flip_order)
BODY = np.stack((40.0 * (np.arange(17) % 4), 60.0 * (np.arange(17) // 4)), -1)  # farther apart than any similarity


def away(similarity: float, area: float = AREA, angle: float = 0.7) -> np.ndarray:
    """Offsets ``(17, 2)`` in px at which each keypoint has that similarity."""
    reach = 2 * COCO_SIGMAS * math.sqrt(-2 * area * math.log(similarity))
    return reach[:, None] * np.array([math.cos(angle), math.sin(angle)])


def person(number: int, image: int, xy: np.ndarray, vis=2, area: float = AREA, **more) -> dict:
    xyv = np.column_stack((xy, np.broadcast_to(vis, 17)))
    return {"id": number, "image_id": image, "category_id": 1, "area": area, "bbox": [*xy.min(0).tolist(), 9, 9],
            "keypoints": xyv.ravel().tolist(), **more}


def detection(image: int, xy: np.ndarray, score: float = 0.5) -> dict:
    keypoints = np.column_stack((xy, xy[:, 0])).ravel().tolist()
    return {"image_id": image, "category_id": 1, "score": score, "keypoints": keypoints}


def annotations(*people: dict, images: int = 3) -> dict:
    return {"images": [{"id": k} for k in range(1, images + 1)], "annotations": list(people),
            "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.names)}]}


def found(truth: dict, results: list):
    diagnosis = diagnose(read(truth, results))
    return diagnosis, diagnosis.errors[0]


def aps(diagnosis) -> dict[str, float]:
    return {kind: evaluation.stats["AP"] for kind, evaluation in diagnosis.mended.items()}


def planted() -> tuple[dict, list, list[list[str]]]:
    """Two people in an image with two detections, a third in another; what was planted into each."""
    other = BODY + [600, 0]
    first, second = BODY + away(0.9), other + away(0.95, area=2 * AREA)
    kinds = [["good"] * 17 for _ in range(2)]
    first[3], kinds[0][3] = (BODY + away(0.84))[3], "jitter"
    first[4], kinds[0][4] = (BODY + away(0.51))[4], "jitter"
    first[5], kinds[0][5] = (BODY + away(0.86))[5], "good"
    first[0], kinds[0][0] = (BODY + away(0.49))[0], "miss"
    first[16], kinds[0][16] = [-300, 900], "miss"
    first[7], kinds[0][7] = BODY[8], "inversion"
    first[8], kinds[0][8] = (BODY[TWIN] + away(0.7))[8], "inversion"
    first[9], kinds[0][9] = other[9], "swap"
    first[10], kinds[0][10] = (other[TWIN] + away(0.6, area=2 * AREA))[10], "swap"
    first[11], kinds[0][11] = [-300, 900], ""  # which nobody labeled
    vis = np.where(np.arange(17) == 11, 0, 2 - np.arange(17) % 2)
    truth = annotations(person(7, 1, BODY, vis), person(8, 1, other, area=2 * AREA), person(9, 2, BODY))
    results = [detection(1, second, 0.4), detection(1, first, 0.9), detection(2, BODY + [0, 2000], 0.7)]
    return truth, results, kinds


def test_planted_kinds_are_found():
    truth, results, kinds = planted()
    _, errors = found(truth, results)
    named = {(row, person): [KINDS[k] if k >= 0 else "" for k in kind]
             for row, person, kind in zip(errors.row.tolist(), errors.person, errors.kind, strict=True)}
    assert named == {(1, 7): kinds[0], (0, 8): kinds[1]}
    assert (errors.false_positives.tolist(), errors.missed.tolist()) == ([2], [9])
    assert errors.counts.sum() == 33 and errors.counts[:, 1].nonzero()[0].tolist() == [3, 4]
    assert (errors.category, errors.keypoints) == ("person", COCO_17.names)


@pytest.mark.parametrize("kind, before, after", [("jitter", 3, 8), ("miss", 0, 1)])
def test_mended_to_085_and_05(kind, before, after):
    """All keypoints alike: OKS is their similarity, and AP the number of thresholds up to it."""
    truth = annotations(person(1, 1, BODY))
    diagnosis, errors = found(truth, [detection(1, BODY + away({"jitter": 0.62, "miss": 0.2}[kind]))])
    assert errors.counts[:, KINDS.index(kind)].tolist() == [1] * 17
    expected = dict.fromkeys(aps(diagnosis), before / 10) | {kind: after / 10}
    assert aps(diagnosis) == pytest.approx(expected) and diagnosis.evaluation.stats["AP"] == pytest.approx(before / 10)
    assert diagnosis.category_ap == (diagnosis.evaluation.stats["AP"],)


@pytest.mark.parametrize("kind", ["inversion", "swap"])
@pytest.mark.parametrize("similarity", [1.0, 0.72])
def test_mended_to_the_similarity_at_the_wrong_place(kind, similarity):
    """Ankles and knees at a wrong place: they become as good at their own as they were there; the others are exact."""
    other, wrong = BODY + [600, 0], [13, 14, 15, 16]
    xy = BODY.copy()
    xy[wrong] = (BODY[TWIN] + away(similarity) if kind == "inversion" else other + away(similarity, 4 * AREA))[wrong]
    truth = annotations(person(1, 1, BODY), person(2, 1, other, area=4 * AREA, iscrowd=1))
    diagnosis, errors = found(truth, [detection(1, xy)])
    assert errors.counts[:, KINDS.index(kind)].nonzero()[0].tolist() == wrong
    before, after = (sum(t <= oks / 17 for t in np.linspace(0.5, 0.95, 10)) for oks in (13, 13 + 4 * similarity))
    assert diagnosis.evaluation.stats["AP"] == pytest.approx(before / 10)
    assert aps(diagnosis)[kind] == pytest.approx(after / 10) and after > before


def test_each_keypoint_without_errors():
    xy = BODY.copy()
    xy[[3, 9]] += 500
    diagnosis, errors = found(annotations(person(1, 1, BODY)), [detection(1, xy)])
    assert errors.counts[:, KINDS.index("miss")].nonzero()[0].tolist() == [3, 9]
    expected = np.full(17, 8.0)  # OKS 15/17 = .88 reaches .85
    expected[[3, 9]] = 9.0  # (15 + .5) / 17 = .91
    np.testing.assert_allclose(diagnosis.keypoints[0], expected / 10)


def test_nothing_to_mend():
    truth = annotations(person(1, 1, BODY), person(2, 2, BODY))
    diagnosis, errors = found(truth, [detection(1, BODY), detection(2, BODY, 0.4)])
    assert set(aps(diagnosis).values()) | set(diagnosis.keypoints[0].tolist()) == {diagnosis.evaluation.stats["AP"]}
    assert errors.counts[:, 0].tolist() == [2] * 17 and len(errors.false_positives) == len(errors.missed) == 0


def test_nobody_and_nothing():
    diagnosis, errors = found(annotations(), [detection(1, BODY)])
    assert set(aps(diagnosis).values()) == {-1.0} and errors.false_positives.tolist() == [0]
    diagnosis, errors = found(annotations(person(5, 1, BODY)), [])
    assert errors.missed.tolist() == [5] and errors.kind.shape == (0, 17) and aps(diagnosis)["missed person"] == -1
    assert diagnose(read(annotations(), [])).errors == ()


def test_what_belongs_to_a_crowd_is_no_error():
    truth = annotations(person(1, 1, BODY), person(2, 1, BODY + [600, 0], iscrowd=1))
    _, errors = found(truth, [detection(1, BODY), detection(1, BODY + [600, 0]), detection(1, BODY + [600, 5])])
    assert errors.row.tolist() == [0] and len(errors.false_positives) == len(errors.missed) == 0


def test_what_is_good_stays_good_beside_a_twin():
    """Nearer to another person's place, but within annotators' spread of its own."""
    xy = BODY + away(0.9)
    truth = annotations(person(1, 1, BODY), person(2, 1, xy + away(0.99), iscrowd=1))
    assert found(truth, [detection(1, xy)])[1].counts[:, 0].tolist() == [1] * 17


@settings(max_examples=40, derandomize=True)
@given(seed=st.integers(0, 2**32), categories=st.integers(1, 2), step=st.sampled_from([0.0, 10.0]), boxes=st.booleans())
def test_what_is_left_out_gives_the_ap_of_files_without_it(seed, categories, step, boxes):
    rng = np.random.default_rng(seed)
    truth, results = coco_set(rng, categories=categories, step=step, boxes=boxes, detections=4)
    calls = []
    diagnosis = diagnose(read(truth, results), tell=lambda done, total: calls.append((done, total)))
    wrong = {row for errors in diagnosis.errors for row in errors.false_positives.tolist()}
    missed = {number for errors in diagnosis.errors for number in errors.missed.tolist()}
    right = [record for k, record in enumerate(results) if k not in wrong]
    seen = truth | {"annotations": [record for record in truth["annotations"] if record["id"] not in missed]}
    assert diagnosis.evaluation.stats == coco_keypoint_ap(truth, results).stats
    assert diagnosis.mended["false positive"].stats == coco_keypoint_ap(truth, right).stats
    assert diagnosis.mended["missed person"].stats == coco_keypoint_ap(seen, results).stats
    assert calls == [(k, len(calls)) for k in range(1, len(calls) + 1)] and len(calls) == calls[0][1]


def test_inputs_are_left_as_they_are():
    truth, results, _ = planted()
    before = copy.deepcopy((truth, results))
    categories = read(truth, results)
    xy = categories[0].found.xy.copy()
    diagnose(categories)
    assert (truth, results) == before and (categories[0].found.xy == xy).all()
