"""How far off the stored heatmap network is, and how wide its maps are: on pictures as in training, and on others.

``python -m posebook.training residuals`` measures anew, in less than a minute.
"""

from pathlib import Path

import torch
from torch import Tensor

from posebook.expectation import soft_argmax, spread
from posebook.metrics import epe
from posebook.people import Scene, render, sample_scene
from posebook.skeleton import COCO_17
from posebook.training.data import alone
from posebook.training.files import read_tensors, write_tensors
from posebook.training.methods import stored
from posebook.training.table import FOLDER, PEOPLE, made

KINDS = {"as calibrated": {}, "dark": {"brightness": (0.15, 0.25)}, "from behind": {"yaw": (140.0, 220.0)},
         "upside down": {}}  # what is changed of PEOPLE; the last are turned  # fmt: skip
KEYPOINTS = ("nose", "left_shoulder", "left_wrist", "left_hip", "right_ankle")
CALIBRATION, FRESH, SHOWN = 2000, 1000, 6  # pictures; the places in the first few of the fresh ones are kept as well
SEEDS = {"calibration": 2_000_000, "fresh": 2_000_001}
PARTS = 1000  # of a px: what is stored are whole numbers of these
COMMAND = "python -m posebook.training residuals"


def scene(kind: str, count: int, seed: int) -> Scene:
    """People of one kind, each alone in a picture of 64 x 64 px."""
    people = sample_scene(count, seed=seed, **(PEOPLE | KINDS[kind]))
    return people.moved(shift=(63.0, 63.0), degrees=180.0) if kind == "upside down" else people


def measure(people: Scene, *, batch: int = 250) -> tuple[Tensor, Tensor, Tensor]:
    """True and found places ``(B, 5, 2)`` of :data:`KEYPOINTS`, and the standard deviation ``(B, 5)`` of each map
    along an axis, all in px.
    """
    net, rows = stored("cross-entropy"), [COCO_17.names.index(name) for name in KEYPOINTS]
    image, xy, _ = alone(render(people))
    found, width = [], []
    with torch.no_grad():
        for part in image.split(batch):
            logits = net(part)[:, rows]
            found.append(net.grid.to_image(soft_argmax(logits)))
            variance = spread(logits)[1].diagonal(dim1=-2, dim2=-1).mean(-1)
            width.append(net.grid.stride * variance.sqrt())
    return xy[:, rows], torch.cat(found), torch.cat(width)


def make(path: Path | None = None) -> None:
    """Measure and store."""
    tensors = {}
    for name, kind, count in (("calibration", "as calibrated", CALIBRATION), *((kind, kind, FRESH) for kind in KINDS)):
        xy, found, width = measure(scene(kind, count, SEEDS["calibration" if name == "calibration" else "fresh"]))
        tensors[f"{name}, error"] = _stored(epe(found, xy))
        tensors[f"{name}, width"] = _stored(width)
        if name != "calibration":
            tensors[f"{name}, xy"], tensors[f"{name}, found"] = xy[:SHOWN], found[:SHOWN]
    write_tensors(path or FOLDER / "residuals.safetensors", tensors, made() | {"command": COMMAND})


def _stored(values: Tensor) -> Tensor:
    return (values * PARTS).round().clamp(1, 65_535).to(torch.uint16)


def residuals() -> dict[str, Tensor]:
    """What was stored.

    Returns:
        "calibration, error" and "calibration, width" ``(2000, 5)`` px float64, for :data:`KEYPOINTS`; for each of
        :data:`KINDS` "KIND, error" and "KIND, width" ``(1000, 5)``, and "KIND, xy" and "KIND, found" ``(6, 5, 2)`` px
        of the first six pictures of ``scene(KIND, FRESH, SEEDS["fresh"])``.
    """
    kept = read_tensors(FOLDER / "residuals.safetensors")[0]
    return {name: t.double() / PARTS if t.dtype == torch.uint16 else t for name, t in kept.items()}
