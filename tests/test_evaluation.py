import copy
import json
import math

import numpy as np
import pytest
import torch
from coco_sets import coco_set, pycocotools
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.cocoeval import Params

from posebook.evaluation import AREAS, RECALLS, THRESHOLDS, coco_keypoint_ap, oks, oks_nms
from posebook.results import COCO_SIGMAS, read
from posebook.skeleton import COCO_17

SIGMAS = torch.tensor(COCO_17.oks_sigmas, dtype=torch.float64)

# ---------------------------------------------------------------------------------------------------------------------
# OKS


def some_people(*leading: int, seed: int = 0) -> torch.Tensor:
    return 100 * torch.rand(*leading, 17, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("v", [1, 2])
def test_oks_falls_to_the_root_of_1_over_e_at_k_times_the_root_of_the_area(v):
    truth, area = some_people(3), torch.tensor([100.0, 2500.0, 9e4], dtype=torch.float64)
    away = 2 * SIGMAS[:, None] * area.sqrt()[:, None, None] * torch.tensor([0.6, -0.8], dtype=torch.float64)
    vis = torch.full((3, 17), v)
    torch.testing.assert_close(oks(truth + away, truth, vis, area, SIGMAS), torch.full((3,), math.exp(-0.5)).double())
    assert oks(truth, truth, vis, area, SIGMAS).tolist() == [1, 1, 1]


def test_oks_is_the_mean_over_labeled_keypoints_and_reads_no_others():
    truth, area = some_people(2, seed=1), torch.tensor([900.0, 1600.0])
    found = truth + some_people(2, seed=2) / 50
    vis = torch.tensor([[2, 1, 0] + 14 * [0], 17 * [0]])
    part = oks(found[:1, :2], truth[:1, :2], torch.ones(1, 2), area[:1], SIGMAS[:2])
    found[0, 2:], truth[1] = math.nan, math.inf
    found.requires_grad_()
    value = oks(found, truth, vis, area, SIGMAS)
    torch.testing.assert_close(value, torch.cat((part, torch.zeros(1, dtype=torch.float64))))
    value.sum().backward()
    assert found.grad.isfinite().all() and (found.grad[0, :2] != 0).all() and (found.grad[0, 2:] == 0).all()


def test_oks_does_not_see_the_scale_and_sees_the_place_not_the_shift():
    truth, found, area = some_people(4, seed=1), some_people(4, seed=2) / 10, torch.full((4,), 1e4).double()
    found, vis = truth + found, torch.ones(4, 17)
    value = oks(found, truth, vis, area, SIGMAS)
    torch.testing.assert_close(oks(3 * found, 3 * truth, vis, 9 * area, SIGMAS), value)
    torch.testing.assert_close(oks(found + 5, truth + 5, vis, area, SIGMAS), value)
    assert torch.equal(oks(found[:, None], truth, vis, area, SIGMAS).diagonal(), value)  # axes broadcast


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_oks_shape_dtype_device_and_inputs(dtype, device):
    truth, area = some_people(2, 3).to(dtype).to(device), torch.full((2, 3), 1e4, device=device)
    found = truth + 3
    inputs = found.clone(), truth.clone()
    vis, sigmas = torch.ones(2, 3, 17, device=device), SIGMAS.to(device)
    value = oks(found, truth, vis, area, sigmas)
    assert (value.shape, value.dtype, value.device.type) == ((2, 3), dtype, device)
    expected = oks(found.double(), truth.double(), vis, area.double(), sigmas)
    torch.testing.assert_close(value.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=0)
    assert torch.equal(found, inputs[0]) and torch.equal(truth, inputs[1])


def test_oks_gradcheck():
    found = (some_people(2, seed=1) / 50).requires_grad_()
    truth, area = some_people(2, seed=2) / 50, torch.tensor([400.0, 900.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: oks(x, truth, torch.ones(2, 17), area, SIGMAS), found)


def test_oks_nms_against_a_loop():
    generator = torch.Generator().manual_seed(0)
    found = (some_people(4)[:, None] + 5 * torch.randn(4, 5, 17, 2, generator=generator).double()).flatten(0, 1)
    scores = (4 * torch.rand(20, generator=generator)).round() / 4  # ties
    area = 1e4 * (1 + torch.rand(20, generator=generator).double())
    left, expected = sorted(range(20), key=lambda k: -scores[k]), []
    while left:
        best = left.pop(0)
        expected.append(best)
        left = [k for k in left
                if oks(found[best], found[k], torch.ones(17), (area[best] + area[k]) / 2, SIGMAS) <= 0.6]
    assert oks_nms(found, scores, area, SIGMAS, threshold=0.6).tolist() == expected
    assert 4 <= len(expected) < 20
    assert len(oks_nms(found, scores, area, SIGMAS, threshold=1)) == 20
    assert oks_nms(found[:0], scores[:0], area[:0], SIGMAS).tolist() == []


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda p: oks(p[0, :, 0], p, p[..., 0], p[:, 0, 0], SIGMAS), "pred: want shape (..., 2), got (17,)"),
        (lambda p: oks(p, p.long(), p[..., 0], p[:, 0, 0], SIGMAS), "gt: want a floating dtype, got int64"),
        (lambda p: oks(p, p, p[..., 0], p[:, 0, 0], SIGMAS[:5]),
         "pred: want 5 keypoints, one for each of oks_sigmas, got shape (2, 17)"),
        (lambda p: oks(p, p, p[..., 0, 0], p[:, 0, 0], SIGMAS),
         "vis: want 17 keypoints, one for each of oks_sigmas, got shape (2,)"),
        (lambda p: oks_nms(p, p[:, 0, 0], p[:, 0, 0], SIGMAS, threshold=2),
         "threshold: want a number from 0 to 1, got 2"),
        (lambda p: oks_nms(p[0], p[:, 0, 0], p[:, 0, 0], SIGMAS),
         "pred, scores, area: want shapes (P, K, 2), (P,), (P,), got (17, 2), (2,), (2,)"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call(some_people(2))
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# AP


def assert_equal_to_pycocotools(truth: dict, results: list, sigmas=None) -> None:
    before = copy.deepcopy((truth, results))
    ours, theirs = coco_keypoint_ap(truth, results, sigmas=sigmas), pycocotools(truth, results, sigmas)
    np.testing.assert_array_equal(ours.precision, theirs.precision)
    np.testing.assert_array_equal(ours.recall, theirs.recall)
    assert list(ours.stats.values()) == theirs.stats
    assert f"{ours}\n" == theirs.text
    assert (truth, results) == before


def test_the_constants_are_pycocotools():
    params = Params("keypoints")
    assert (COCO_SIGMAS == params.kpt_oks_sigmas).all() and np.allclose(COCO_SIGMAS, COCO_17.oks_sigmas)
    assert (THRESHOLDS == params.iouThrs).all() and (RECALLS == params.recThrs).all()
    assert dict(zip(params.areaRngLbl, map(tuple, params.areaRng), strict=True)) == AREAS


@settings(max_examples=120, derandomize=True)
@given(seed=st.integers(0, 2**32), images=st.integers(1, 6), keypoints=st.sampled_from([1, 2, 7, 8, 9, 17, 25]),
       categories=st.integers(1, 3), people=st.integers(0, 6), detections=st.sampled_from([2, 6, 70]),
       step=st.sampled_from([0.0, 10.0, 40.0]), boxes=st.booleans(), first_id=st.integers(0, 1),
       size=st.sampled_from([20.0, 90.0, 250.0]))
def test_equal_to_pycocotools(seed, keypoints, **options):
    rng = np.random.default_rng(seed)
    truth, results = coco_set(rng, keypoints=keypoints, **options)
    sigmas = None if keypoints == 17 else rng.uniform(0.02, 0.3, keypoints).tolist()
    if results:  # pycocotools cannot read an empty list
        assert_equal_to_pycocotools(truth, results, sigmas)


def test_the_random_sets_hold_what_they_should():
    """That the sets above try what they are meant to try: each of these occurs, and figures are not all alike."""
    seen, aps = set(), []
    for seed in range(12):
        truth, results = coco_set(np.random.default_rng(seed), step=10.0, detections=70)
        crowd, *_ = zip(*[(a["iscrowd"], a) for a in truth["annotations"]], strict=True)
        seen |= {"crowd"} if any(crowd) else set()
        seen |= {"unlabeled"} if any(not any(a["keypoints"][2::3]) for a in truth["annotations"]) else set()
        seen |= {"ignored"} if any(a["num_keypoints"] == 0 and any(a["keypoints"][2::3])
                                   for a in truth["annotations"]) else set()
        numbers = [r["image_id"] for r in results]
        seen |= {"tie"} if len({(r["image_id"], r["score"]) for r in results}) < len(results) else set()
        seen |= {"more than 20"} if max(map(numbers.count, numbers)) > 20 else set()
        marked = {a["image_id"] for a in truth["annotations"]}
        seen |= {"nobody there"} if {i["id"] for i in truth["images"]} - marked else set()
        aps.append(coco_keypoint_ap(truth, results).stats["AP"])
    assert seen == {"crowd", "unlabeled", "ignored", "tie", "more than 20", "nobody there"}
    assert len(set(aps)) > 8 and max(aps) > 0.2


def test_each_category_with_sigmas_of_its_own():
    rng = np.random.default_rng(5)
    truth, results = coco_set(rng, images=6, keypoints=9, categories=2, people=6, detections=20)
    sigmas = {1: [0.05] * 9, 4: [0.2] * 9}
    ours = coco_keypoint_ap(truth, results, sigmas=sigmas)
    for c, (number, row) in enumerate(sigmas.items()):
        theirs = pycocotools(truth, results, row, [number])
        np.testing.assert_array_equal(ours.precision[:, :, [c]], theirs.precision)
        assert (theirs.precision > 0).any()


def test_categories_may_differ_in_their_keypoints_and_have_no_names():
    few, some = coco_set(np.random.default_rng(0), keypoints=3, named=False), coco_set(np.random.default_rng(1))
    for record in [*few[0]["annotations"], *few[1], *few[0]["categories"]]:
        record["id" if record in few[0]["categories"] else "category_id"] = 9
    for record in few[0]["annotations"]:
        record["id"] += 1000
    images = {i["id"] for i in few[0]["images"] + some[0]["images"]}
    truth = {"images": [{"id": i} for i in images], "annotations": few[0]["annotations"] + some[0]["annotations"],
             "categories": some[0]["categories"] + few[0]["categories"]}
    ours = coco_keypoint_ap(truth, few[1] + some[1], sigmas={9: (0.1, 0.1, 0.1)})
    np.testing.assert_array_equal(ours.precision[:, :, [1]], pycocotools(truth, few[1], [0.1] * 3, [9]).precision)
    np.testing.assert_array_equal(ours.precision[:, :, [0]], pycocotools(truth, some[1], None, [1]).precision)


@pytest.mark.parametrize("most", [1, 5, 100])
def test_another_number_of_detections(most):
    truth, results = coco_set(np.random.default_rng(2), detections=70, people=6)
    ours, theirs = (f(truth, results, max_detections=most) for f in (coco_keypoint_ap, pycocotools))
    np.testing.assert_array_equal(ours.precision, theirs.precision)
    np.testing.assert_array_equal(ours.recall, theirs.recall)
    assert str(ours).count(f"maxDets={most:>3}") == 10


def test_files_and_what_they_hold_are_the_same(tmp_path):
    truth, results = coco_set(np.random.default_rng(0))
    paths = tmp_path / "truth.json", tmp_path / "results.json"
    for path, data in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(data))
    ours = coco_keypoint_ap(*paths)
    np.testing.assert_array_equal(ours.precision, coco_keypoint_ap(truth, results).precision)
    assert ours.stats == coco_keypoint_ap(str(paths[0]), results).stats


def test_no_detection_and_nobody_to_find():
    truth, results = coco_set(np.random.default_rng(0), images=20)
    assert set(coco_keypoint_ap(truth, []).stats.values()) == {0.0}
    nobody = truth | {"annotations": []}
    assert set(coco_keypoint_ap(nobody, results).stats.values()) == {-1.0}
    assert set(coco_keypoint_ap(nobody, []).stats.values()) == {-1.0}


def test_defaults_of_what_may_be_left_out():
    truth, results = coco_set(np.random.default_rng(3))
    for record in truth["annotations"]:
        record["num_keypoints"], record["iscrowd"] = sum(v > 0 for v in record["keypoints"][2::3]), 0
    short = copy.deepcopy(truth)
    for record in short["annotations"]:
        del record["num_keypoints"], record["iscrowd"]
        if any(record["keypoints"][2::3]):
            del record["bbox"]
    np.testing.assert_array_equal(coco_keypoint_ap(short, results).precision, pycocotools(truth, results).precision)


def test_the_sample_of_coco(coco_json):
    truth = json.loads(coco_json.read_text())
    rng = np.random.default_rng(0)
    results = []
    for record in truth["annotations"]:
        xyv = np.array(record["keypoints"], float).reshape(-1, 3)
        for spread in (0.02, 0.06, 0.3):
            xyv[:, :2] += spread * math.sqrt(record["area"]) * rng.normal(size=(17, 2))
            results.append({"image_id": record["image_id"], "category_id": record["category_id"],
                            "score": float(rng.random()), "keypoints": xyv.ravel().tolist()})
    assert_equal_to_pycocotools(truth, results)
    assert 0.2 < coco_keypoint_ap(truth, results).stats["AP"] < 0.9


# ---------------------------------------------------------------------------------------------------------------------
# What is malformed


def good() -> tuple[dict, list]:
    """Three people in two images, and a detection of each."""
    people = [{"id": k + 1, "image_id": 1 + k // 2, "category_id": 1, "area": 900.0, "keypoints": 17 * [5 * k, 7, 2]}
              for k in range(3)]
    truth = {"images": [{"id": 1}, {"id": 2}], "annotations": people,
             "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.names)}]}
    results = [{key: p[key] for key in ("image_id", "category_id", "keypoints")} | {"score": 0.5} for p in people]
    return truth, copy.deepcopy(results)


def changed(record: dict, key: str, value) -> dict:
    return {k: v for k, v in record.items() if k != key} if value is None else record | {key: value}


@pytest.mark.parametrize(
    "key, value, text",
    [
        ("score", None, "score: want a finite number, got nothing"),
        ("score", math.nan, "score: want a finite number, got nan"),
        ("score", "0.5", "score: want a finite number, got '0.5'"),
        ("score", [0.5], "score: want a finite number, got [0.5] of length 1"),
        ("image_id", 3, "image_id: want an id in images, got 3"),
        ("image_id", None, "image_id: want an id in images, got nothing"),
        ("image_id", [1], "image_id: want an id in images, got [1] of length 1"),
        ("category_id", 7, "category_id: want an id in categories, got 7"),
        ("category_id", None, "category_id: want an id in categories, got nothing"),
        ("keypoints", None, "keypoints: want 51 finite numbers, got nothing"),
        ("keypoints", [], "keypoints: want 51 finite numbers, got [] of length 0"),
        ("keypoints", 50 * [1], "keypoints: want 51 finite numbers, got [1, 1, 1, 1, 1, 1, ...] of length 50"),
        ("keypoints", 50 * [1] + ["1"], "keypoints: want 51 finite numbers, got '1' at place 50 of 51"),
        ("keypoints", [math.inf] + 50 * [1],
         "keypoints: want 51 finite numbers, got inf at place 0 of 51"),
        ("keypoints", [10**400] + 50 * [1], "keypoints: want 51 finite numbers, got 1000"),
        ("keypoints", 17 * [[1, 1, 1]], "keypoints: want 51 finite numbers, got [1, 1, 1] at place 0 of 17"),
        ("keypoints", "1" * 51, "keypoints: want 51 finite numbers, got '1111"),
    ],
)
def test_a_malformed_detection_is_named(key, value, text):
    truth, results = good()
    results[1] = changed(results[1], key, value)
    with pytest.raises(ValueError) as error:
        coco_keypoint_ap(truth, results)
    assert str(error.value).startswith(f"detections[1]: {text}")


@pytest.mark.parametrize(
    "key, value, text",
    [
        ("area", None, "area: want a number >= 0, got nothing"),
        ("area", -1, "area: want a number >= 0, got -1"),
        ("area", math.nan, "area: want a number >= 0, got nan"),
        ("keypoints", 17 * [0, 0], "keypoints: want 51 finite numbers, got [0, 0, 0, 0, 0, 0, ...] of length 34"),
        ("keypoints", 17 * [1, 1, 3], "keypoints: want 0, 1 or 2 as every third number, got [1, 1, 3,"),
        ("keypoints", 17 * [0, 0, 0], "bbox: want 4 finite numbers, got nothing"),
        ("image_id", 5, "image_id: want an id in images, got 5"),
        ("iscrowd", 2, "iscrowd: want 0 or 1, got 2"),
        ("num_keypoints", "17", "num_keypoints: want a whole number >= 0, got '17'"),
        ("category_id", None, "category_id: want an id in categories, got nothing"),
    ],
)
def test_a_malformed_annotation_is_named(key, value, text):
    truth, results = good()
    truth["annotations"][1] = changed(truth["annotations"][1], key, value)
    with pytest.raises(ValueError) as error:
        coco_keypoint_ap(truth, results)
    assert str(error.value).startswith(f"ground_truth: annotation 2: {text}")


@pytest.mark.parametrize(
    "change, text",
    [
        (lambda t, r: (t["annotations"], r), "ground_truth: want a COCO file, an object with the lists images, "
                                             "annotations, categories, got none of them"),
        (lambda t, r: ({**t, "images": None}, r), "ground_truth: want a COCO file, "),
        (lambda t, r: ({**t, "images": [{"id": 1}, {"id": 1}]}, r),
         "ground_truth: images[1]: id: want a whole number of its own, got 1"),
        (lambda t, r: ({**t, "annotations": [3]}, r), "ground_truth: annotations[0]: want an object, got 3"),
        (lambda t, r: (t, {"annotations": r}), "detections: want COCO results, a list of detections, got dict"),
        (lambda t, r: (t, [*r, 3]), "detections[3]: want an object, got 3"),
        (lambda t, r: (t, [r[0] | {"bbox": [1, 2, 3, 4]}, r[1]]),
         "detections[1]: bbox: want 4 finite numbers, got nothing"),
        (lambda t, r: (t, [r[0] | {"segmentation": [[1, 2]]}]), "detections[0]: segmentation: want none"),
        (lambda t, r: ({**t, "categories": [{"id": 1, "keypoints": ["a", "a"]}]}, r),
         "ground_truth: category 1: keypoints: want distinct names, got ['a', 'a'] of length 2"),
        (lambda t, r: ({**t, "categories": [{"id": 1, "keypoints": ["a", "b"]}]}, r),
         "sigmas: want 2 numbers > 0 for ground_truth: category 1, whose keypoints are not COCO's 17, got None"),
    ],
)  # fmt: skip
def test_other_errors(change, text):
    with pytest.raises(ValueError) as error:
        coco_keypoint_ap(*change(*good()))
    assert str(error.value).startswith(text)


@pytest.mark.parametrize("sigmas", [(0.1,) * 16, (0.1,) * 16 + (0,), (0.1,) * 16 + (math.nan,), {1: (0.1,)}])
def test_wrong_sigmas(sigmas):
    with pytest.raises(ValueError, match="^sigmas: want 17 finite numbers > 0 for ground_truth: category 1, got "):
        coco_keypoint_ap(*good(), sigmas=sigmas)


def test_files_are_named(tmp_path):
    truth, results = good()
    paths = tmp_path / "truth.json", tmp_path / "results.json"
    paths[0].write_text(json.dumps(truth))
    paths[1].write_text(json.dumps([*results, {}]))
    with pytest.raises(ValueError) as error:
        coco_keypoint_ap(*paths)
    assert str(error.value) == f"{paths[1]}: detections[3]: category_id: want an id in categories, got nothing"
    paths[1].write_text("[1, 2")
    with pytest.raises(ValueError, match="results.json: want JSON, got .* at line 1, column 6"):
        coco_keypoint_ap(*paths)
    with pytest.raises(FileNotFoundError, match="nothing.json: no such file"):
        coco_keypoint_ap(tmp_path / "nothing.json", results)
    with pytest.raises(ValueError, match="max_detections: want a whole number >= 1, got 0"):
        read(truth, results, max_detections=0)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
                    max_leaves=5)


@settings(max_examples=150, derandomize=True)
@given(data=st.data(), where=st.sampled_from(["results", "annotations", "images", "categories", "whole"]), value=JSON)
def test_anything_malformed_is_one_error_or_none(data, where, value):
    """Whatever stands in one place: figures, or one ValueError of one line."""
    truth, results = good()
    if where == "whole":
        value = None if isinstance(value, str) else value  # which would be a file's name
        truth, results = data.draw(st.sampled_from([(value, results), (truth, value)]))
    else:
        records = results if where == "results" else truth[where]
        k = data.draw(st.integers(0, len(records) - 1))
        key = data.draw(st.sampled_from(sorted({*records[k], "bbox", "iscrowd", "num_keypoints", "segmentation"})))
        inside = records[k].get(key)
        if isinstance(inside, list) and data.draw(st.booleans()):
            inside[data.draw(st.integers(0, len(inside) - 1))] = value
        else:
            records[k][key] = value
    try:
        ap = coco_keypoint_ap(truth, results).stats["AP"]
    except ValueError as error:
        assert ": want " in str(error) and "\n" not in str(error)
    else:
        assert -1 <= ap <= 1
