"""COCO's keypoint AP against pycocotools and faster-coco-eval, and the memory that posebook takes.

    python benchmarks/metrics.py [--quick]

5,000 images, some 11,000 people of 17 keypoints and 100,000 detections, 20 an image, as the lists and dictionaries that
a JSON file holds; a fifth of that with --quick. Everybody checks, converts, matches and accumulates. All precisions and
recalls are equal to the last bit, which is checked first (exit code 1 if not); speed decides nothing about the exit.
All run in turns: quote ratios of one run, not times.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _measure import check, interleave, line
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

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
    return accumulated(COCO(), COCOeval, truth, results)


def faster(truth: dict, results: list):
    return accumulated(FasterCOCO(), COCOeval_faster, truth, results)


def accumulated(coco, evaluator, truth: dict, results: list) -> dict[str, np.ndarray]:
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset = truth
        coco.createIndex()
        evaluation = evaluator(coco, coco.loadRes([dict(record) for record in results]), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.eval


def peak_memory(truth: dict, results: list) -> float:
    """Of a fresh process that reads both files and evaluates, in GB."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("annotations.json", "results.json")]
        for file, data in zip(files, (truth, results), strict=True):
            file.write_text(json.dumps(data))
        done = subprocess.run([sys.executable, "-c", MEMORY, *files], check=True, capture_output=True, text=True)
    return int(done.stdout) * (1 if sys.platform == "darwin" else 1024) / 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the data and one round")
    quick = parser.parse_args().quick
    truth, results = a_set(1000 if quick else 5000)
    people = len(truth["annotations"])
    print(f"{len(truth['images'])} images, {people} people, {len(results)} detections\nSame results?")
    ours = coco_keypoint_ap(truth, results)
    equal = []
    for name, peer in (("pycocotools", pycocotools), ("faster-coco-eval", faster)):
        theirs = peer(truth, results)
        for part in ("precision", "recall"):
            atol = 0.0 if peer is pycocotools else 1e-12
            mine = torch.from_numpy(getattr(ours, part))
            equal.append(check(f"{part}, {name}", mine, theirs[part][..., 0], atol=atol))
    if not all(equal):
        return 1

    ms = interleave({"posebook": lambda: coco_keypoint_ap(truth, results),
                     "pycocotools": lambda: pycocotools(truth, results),
                     "faster-coco-eval": lambda: faster(truth, results)}, rounds=1 if quick else 3, calls=1)
    for peer, goal in (("pycocotools", 40), ("faster-coco-eval", 8)):
        ratio = ms[peer] / ms["posebook"]
        line("keypoint AP", ms["posebook"], peer, ms[peer], ratio, f">= {goal}x", ratio >= goal)
    memory = peak_memory(truth, results)
    print(f"peak memory {memory:.2f} GB, goal <= 1 GB  {'met' if memory <= 1 else 'MISSED'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
