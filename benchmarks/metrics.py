"""COCO's keypoint AP against pycocotools and faster-coco-eval, and the memory that posebook takes.

    python benchmarks/metrics.py [--quick] [--threads N]

5,000 images, some 11,000 people of 17 keypoints and 100,000 detections, 20 an image, as the lists and dictionaries that
a JSON file holds, and fewer; a tenth of that with --quick, where no goal is judged. Everybody checks, converts, matches
and accumulates. All precisions and recalls are equal to the last bit, which is checked first (exit code 1 if not);
speed decides nothing about the exit. All run in turns: quote ratios of one run, not times.
"""

import contextlib
import io
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _measure import check, compare, line, main, optional, row

from posebook.evaluation import coco_keypoint_ap
from posebook.skeleton import COCO_17

MEMORY = "from posebook.evaluation import coco_keypoint_ap; import resource, sys; coco_keypoint_ap(*sys.argv[1:]); " \
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"


def a_set(images: int, seed: int = 0) -> tuple[dict, list]:
    """Annotations and results: most detections near somebody, some of them doubles, some of nobody."""
    rng = np.random.default_rng(seed)
    pictures = [{"id": k + 1} for k in range(images)]
    annotations, results = [], []
    for picture in pictures:
        many = rng.poisson(1.2) + 1
        height = 40 * np.exp(2 * rng.random(many))
        corner = rng.uniform(0, 400, (many, 1, 2))
        body = corner + height[:, None, None] * rng.random((many, 17, 2))
        vis = 2 * (rng.random((many, 17)) < 0.65) * (rng.random((many, 1)) < 0.8)
        for p in range(many):
            xyv = np.concatenate((body[p] * (vis[p, :, None] > 0), vis[p, :, None]), -1).round(2)
            annotations.append({
                "id": len(annotations) + 1, "image_id": picture["id"], "category_id": 1, "iscrowd": 0,
                "area": round(0.5 * height[p] ** 2, 2), "num_keypoints": int((vis[p] > 0).sum()),
                "bbox": [*corner[p, 0].tolist(), height[p], height[p]], "keypoints": xyv.ravel().tolist()})
        whose = rng.integers(many, size=20)
        spread = height[whose] * rng.choice([0.01, 0.03, 0.1, 0.5], size=20)
        found = body[whose] + spread[:, None, None] * rng.normal(size=(20, 17, 2))
        xyc = np.concatenate((found, np.ones((20, 17, 1))), -1).round(2).reshape(20, -1).tolist()
        score = (rng.random(20) / (1 + 10 * spread / height[whose])).round(4).tolist()
        results += [{"image_id": picture["id"], "category_id": 1, "keypoints": row, "score": s}
                    for row, s in zip(xyc, score, strict=True)]
    return {"images": pictures, "annotations": annotations,
            "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.names)}]}, results


def pycocotools(truth: dict, results: list):
    return accumulated(optional("pycocotools.coco").COCO(), optional("pycocotools.cocoeval").COCOeval, truth, results)


def faster(truth: dict, results: list):
    package = optional("faster_coco_eval")
    return accumulated(package.COCO(), package.COCOeval_faster, truth, results)


def accumulated(coco, evaluator, truth: dict, results: list) -> dict[str, np.ndarray]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset = truth
        coco.createIndex()
        evaluation = evaluator(coco, coco.loadRes([dict(record) for record in results]), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.eval


def packed(results: list) -> list[bytes]:
    """The keypoints' numbers as float64."""
    pack = struct.Struct("51d").pack
    return [pack(*record["keypoints"]) for record in results]


def peak_memory(truth: dict, results: list) -> float:
    """Of a fresh process that reads both files and evaluates, in GB."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("annotations.json", "results.json")]
        for file, data in zip(files, (truth, results), strict=True):
            file.write_text(json.dumps(data))
        done = subprocess.run([sys.executable, "-c", MEMORY, *files], check=True, capture_output=True, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e9


def flat(evaluation: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([evaluation[part][..., 0].ravel() for part in ("precision", "recall")])


def all_equal(truth: dict, results: list) -> bool:
    print(f"{len(truth['annotations'])} people, {len(results)} detections. Same precisions and recalls?")
    found = coco_keypoint_ap(truth, results)
    ours = torch.from_numpy(np.concatenate((found.precision.ravel(), found.recall.ravel())))
    return all([check("pycocotools", ours, lambda: flat(pycocotools(truth, results)), atol=0),
                check("faster-coco-eval", ours, lambda: flat(faster(truth, results)), atol=1e-12)])


def measure(options) -> list[dict]:
    rows = []
    for images in (100, 500) if options.quick else (200, 1000, 5000):
        truth, results = a_set(images)
        if not all_equal(truth, results):
            sys.exit("metrics: results differ from a peer's")
        slower, fast = (">= 40", ">= 8") if images == 5000 else ("", "")
        work = f"keypoint AP, {images:,} images"
        rows += compare({work: (lambda data=(truth, results): coco_keypoint_ap(*data), {
            "pycocotools": (lambda data=(truth, results): pycocotools(*data), slower),
            "faster-coco-eval": (lambda data=(truth, results): faster(*data), fast),
            "its numbers packed": (lambda results=results: packed(results), "")})}, 3, calls=1, images=images)
    work = f"peak memory, {len(results):,} detections"
    rows.append(row(work, peak_memory(truth, results), "GB", goal="" if options.quick else "<= 1"))
    print(line(rows[-1]))
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
