"""Made-up COCO sets for the tests of evaluation, and what pycocotools says of them."""

import contextlib
import copy
import io
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posebook.skeleton import COCO_17


def coco_set(rng: np.random.Generator, *, images: int = 4, keypoints: int = 17, categories: int = 1, people: int = 4,
             detections: int = 6, step: float = 0.0, boxes: bool = False, first_id: int = 1, size: float = 90.0,
             named: bool = True) -> tuple[dict, list]:
    """Annotations and results with crowds, people without labels, empty images and doubles.

    Args:
        rng: draws all.
        images: how many; their ids are not in order.
        keypoints: of each category; 17 are COCO's.
        categories: how many.
        people: at most so many an image.
        detections: about so many an image.
        step: coordinates and scores are multiples of it and of 0.25: ties; 0 for none.
        boxes: whether detections have boxes.
        first_id: of the annotations.
        size: of a typical person in px.
        named: whether categories name their keypoints.
    """

    def rounded(values: np.ndarray) -> list:
        return (np.round(values / step) * step if step else values).tolist()

    names = COCO_17.names if keypoints == 17 else [f"point {k}" for k in range(keypoints)]
    kinds = [{"id": 3 * c + 1, "name": f"kind {c}"} | ({"keypoints": list(names)} if named else {})
             for c in range(categories)]
    pictures = [{"id": int(k)} for k in rng.permutation(3 * images)[:images]]
    annotations, results = [], []
    for picture in pictures:
        for _ in range(rng.integers(people + 1)):
            xy = 200 * rng.random(2) + size * rng.random((keypoints, 2))
            vis = rng.integers(3, size=keypoints) if rng.random() < 0.8 else np.zeros(keypoints, int)
            side = size * (0.3 + 1.5 * rng.random(2))
            crowd = int(rng.random() < 0.2)
            record = {"id": first_id + len(annotations), "image_id": picture["id"], "iscrowd": crowd,
                      "category_id": kinds[rng.integers(categories)]["id"], "area": float(side.prod()),
                      "bbox": rounded(np.concatenate((xy.min(0), side))),
                      "num_keypoints": int((vis > 0).sum()) if rng.random() < 0.9 else 0,
                      "keypoints": [n for (x, y), v in zip(rounded(xy), vis.tolist(), strict=True) for n in (x, y, v)]}
            annotations.append(record)
            for _ in range(rng.integers(2 * detections // (people + 1) + 2)):
                spread = size * rng.choice([0, 0.01, 0.05, 0.2])
                results.append(_result(rng, picture, record["category_id"], xy + spread * rng.normal(size=xy.shape),
                                       rounded, boxes))
        for _ in range(rng.integers(detections // 2 + 1)):
            xy = 300 * rng.random((keypoints, 2)) * rng.random()
            results.append(_result(rng, picture, kinds[rng.integers(categories)]["id"], xy, rounded, boxes))
    return {"images": pictures, "annotations": annotations, "categories": kinds}, results


def _result(rng, picture: dict, category: int, xy: np.ndarray, rounded, boxes: bool) -> dict:
    score = float(rng.random())
    points = [n for x, y in rounded(xy) for n in (x, y, 1)]
    out = {"image_id": picture["id"], "category_id": category, "keypoints": points,
           "score": round(4 * score) / 4 if rounded(np.array(0.3)) != 0.3 else score}
    if boxes:
        out["bbox"] = [*xy.min(0).tolist(), *(60 * rng.random(2)).tolist()]
    return out


@dataclass
class Reference:
    """What pycocotools says."""

    stats: list[float]
    precision: np.ndarray
    recall: np.ndarray
    text: str


def pycocotools(truth: dict, results: list, sigmas=None, categories: list[int] | None = None,
                max_detections: int = 20) -> Reference:
    """Its figures, of copies: it writes into what it reads. Its stats and its text are of 20 detections only."""
    text = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = copy.deepcopy(truth)
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(results)), "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        if categories is not None:
            evaluation.params.catIds = categories
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
        with contextlib.redirect_stdout(text):
            evaluation.summarize()
    precision, recall = evaluation.eval["precision"][..., 0], evaluation.eval["recall"][..., 0]
    return Reference([float(x) for x in evaluation.stats], precision, recall, text.getvalue())
