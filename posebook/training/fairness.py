"""Who is judged worse, and what data mend: ``python -m posebook.training fairness``.

The cross-entropy network of chapter 1, trained on four sets of people that differ in one thing, three seeds each, and
asked about the same test people six times: with light and with dark skin, upright and bent, large and small in the
picture. Each pair is the same scenes with one thing changed, so that a difference is of one person with herself.

What is stored is the OKS and the error of each test person; a net that is there is not trained again, so that the
command can be interrupted.
"""

import sys
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from posebook import _args
from posebook.evaluation import oks
from posebook.metrics import epe
from posebook.people import render, sample_scene
from posebook.skeleton import COCO_17
from posebook.training import methods, table
from posebook.training.data import Batch, Data, alone, finite
from posebook.training.files import read_tensors, write_tensors
from posebook.training.loop import train
from posebook.training.table import BATCH, FOLDER, HW, IMAGES, LR, PEOPLE, SEEDS, STEPS

COMMAND = "python -m posebook.training fairness"
UPRIGHT, BENT = ("standing", "akimbo", "walking"), ("sitting", "bending", "squatting")
GROUPS = {"light skin": {"skin": (0.0, 0.2)}, "dark skin": {"skin": (0.8, 1.0)},
          "upright": {"poses": UPRIGHT}, "bent": {"poses": BENT},
          "large": {"size": (0.8, 0.9)}, "small": {"size": (0.4, 0.45)}}  # what is changed of PEOPLE  # fmt: skip
PAIRS = {"dark skin": "light skin", "bent": "upright", "small": "large"}
SETS = {"as drawn": {}, "light skin only": GROUPS["light skin"], "half bent": GROUPS["bent"],
        "half small": GROUPS["small"]}  # of every second 256 training pictures, or of all  # fmt: skip
TESTED, TEST_SEED = 512, 870_000
PARTS = {"oks": 10_000, "error": 1000}  # stored are whole numbers of these parts of 1 and of a px


@lru_cache(maxsize=len(GROUPS))
def group(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """512 test people of a group: image as bytes, xy ``(B, K, 2)`` px, vis ``(B, K)`` and area ``(B)`` px^2."""
    _args.one_of("name", name, tuple(GROUPS))
    people = render(sample_scene(TESTED, HW, seed=TEST_SEED, **(PEOPLE | GROUPS[name])), HW)
    image, xy, vis = alone(people)
    return (255 * image).round().byte(), xy, vis, people.area[:, 0]


def judged(net: nn.Module, method: str, name: str) -> dict[str, Tensor]:
    """What a net does on a group: "oks" ``(512)`` over visible keypoints, and "error" ``(512)``, their mean, in px."""
    image, xy, vis, area = group(name)
    found, seen = methods.predict(net, method, image / 255), vis == 2
    error = torch.where(seen, epe(found, xy), 0.0).sum(1) / seen.sum(1)
    return {"oks": oks(found, xy, 2 * seen, area, torch.tensor(COCO_17.oks_sigmas)), "error": error}


@lru_cache(maxsize=1)
def training_people(name: str) -> Batch:
    """The 8192 training people of chapter 1 with a set's change: image as bytes, xy, vis."""
    _args.one_of("name", name, tuple(SETS))
    parts = []
    for k in range(IMAGES // 256):
        changed = SETS[name] if k % 2 or not name.startswith("half") else {}
        parts.append(alone(render(sample_scene(256, HW, seed=k, **(PEOPLE | changed)), HW)))
    image, xy, vis = (torch.cat(part) for part in zip(*parts, strict=True))
    return (255 * image).round().byte(), xy, vis


def training_data(name: str, *, seed: int = 0) -> Data:
    """The same number of pictures, steps and orders for each set."""
    return finite(training_people(name), batch=BATCH, seed=seed)


def perform(name: str, *, seed: int = 0) -> nn.Module:
    """Train on a set; chapter 1's own net is stored, and is taken."""
    if name == "as drawn" and seed == 0:
        return methods.stored("cross-entropy")
    net = methods.make_net("cross-entropy", seed=seed)
    train(net, methods.cross_entropy, training_data(name, seed=seed), steps=STEPS, lr=LR, progress=False)
    return net


def make(path: Path | None = None) -> None:
    """Train and store what is missing, seed by seed: an early stop leaves whole comparisons."""
    path = path or FOLDER / "fairness.safetensors"
    for seed in SEEDS:
        for name in SETS:
            tensors = read_tensors(path)[0] if path.exists() else {}
            if f"{name}, {seed}, oks" not in tensors:
                net = perform(name, seed=seed)
                rows = [judged(net, "cross-entropy", people) for people in GROUPS]
                for what, parts in PARTS.items():
                    values = torch.stack([row[what] for row in rows])
                    tensors[f"{name}, {seed}, {what}"] = (parts * values).round().clamp(0, 65_535).to(torch.uint16)
                write_tensors(path, tensors, table.made() | {"command": COMMAND})
                print(f"{name}, seed {seed}", file=sys.stderr, flush=True)


def results(what: str = "oks", path: Path | None = None) -> dict[str, dict[str, Tensor]]:
    """What was stored: set to group to ``(3, 512)`` float64, a row for each seed.

    Args:
        what: "oks", or "error", a person's mean over her visible keypoints in px.
        path: another file than the one in posebook/data.
    """
    _args.one_of("what", what, tuple(PARTS))
    kept = read_tensors(path or FOLDER / "fairness.safetensors")[0]
    nets = {name: torch.stack([kept[f"{name}, {seed}, {what}"] for seed in SEEDS]).double() for name in SETS}
    return {name: dict(zip(GROUPS, net.transpose(0, 1) / PARTS[what], strict=True)) for name, net in nets.items()}
