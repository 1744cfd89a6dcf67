"""Chapter 1's network, trained on for what it did not know: with dropout, on turned people, with nobody to be seen.

``python -m posebook.training robustness`` makes the stored weights anew. All start from the stored "cross-entropy" net.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posebook import _args
from posebook.models import DropoutNet, HeatmapNet, VisibilityNet
from posebook.people import render, sample_scene
from posebook.people.body import PARTS
from posebook.training import methods
from posebook.training.data import Batch, Data, alone, finite
from posebook.training.files import read_tensors, write_tensors
from posebook.training.loop import train
from posebook.training.table import BATCH, FOLDER, HW, IMAGES, PEOPLE, people
from posebook.warp import Affine

ANYHOW = {**PEOPLE, "size": (0.3, 0.95), "truncate": 0.2, "occluder": 0.5}  # people small, cut off and covered, too
TURNED = 32  # pictures that share an angle
NEGATIVES = {"people": (), "nobody": ("nobody",), "nobody, scrambled": ("nobody", "scrambled")}

# ---------------------------------------------------------------------------------------------------------------------
# Pictures: image as bytes, xy px, vis


def turned(count: int, *, seed: int = 0, degrees: float | None = None) -> Batch:
    """People of :data:`posebook.training.table.PEOPLE`, turned about the picture's center and painted so.

    Args:
        count: how many.
        seed: whole number >= 0.
        degrees: counterclockwise; None draws any angle, one for every 32 pictures.
    """
    source, parts = torch.Generator().manual_seed(seed), []
    for first in range(0, count, TURNED):
        drawn = torch.rand((), generator=source, dtype=torch.float32, device="cpu").item()
        angle = 360 * drawn if degrees is None else degrees
        scene = sample_scene(min(TURNED, count - first), HW, seed=1000 * seed + first // TURNED, **PEOPLE)
        parts.append(alone(render(scene.warped(Affine.rotation(angle, HW)), HW)))
    return _as_bytes(*(torch.cat(part) for part in zip(*parts, strict=True)))


def anybody(count: int, *, seed: int = 0, **options) -> Batch:
    """People under ``ANYHOW`` and ``options`` of :func:`posebook.people.draw_people`."""
    return _as_bytes(*alone(render(sample_scene(count, HW, seed=seed, **{**ANYHOW, **options}), HW)))


def nobody(count: int, *, seed: int = 0, **options) -> Batch:
    """The same pictures without the person; what else stood there stays. ``vis`` is 0."""
    scene = sample_scene(count, HW, seed=seed, **{**ANYHOW, **options})
    empty = replace(scene, opacity=torch.where(scene.part < len(PARTS), 0.0, scene.opacity))
    image, xy, vis = alone(render(empty, HW))
    return _as_bytes(image, xy, torch.zeros_like(vis))


def scrambled(count: int, *, seed: int = 0, **options) -> Batch:
    """The same pictures with each part of the body at a random place of the person's box, turned. ``vis`` is 0."""
    scene = sample_scene(count, HW, seed=seed, **{**ANYHOW, **options})
    source = torch.Generator().manual_seed(seed)
    uniform = torch.rand(*scene.part.shape, 3, generator=source, dtype=torch.float32, device="cpu")
    low, high = scene.xy[:, 0].amin(1)[:, None], scene.xy[:, 0].amax(1)[:, None]  # (B, 1, 2) px
    angle = 2 * math.pi * uniform[..., 2]
    turn = torch.stack((angle.cos(), -angle.sin(), angle.sin(), angle.cos()), -1).unflatten(-1, (2, 2))
    middle, place = (scene.start + scene.end) / 2, low + uniform[..., :2] * (high - low)
    ours = (scene.part < len(PARTS))[..., None]

    def swung(vector: Tensor) -> Tensor:
        return (turn * vector[..., None, :]).sum(-1)

    def moved(point: Tensor) -> Tensor:
        return torch.where(ours, place + swung(point - middle), point)

    across = torch.where(ours, swung(scene.across), scene.across)
    image, xy, vis = alone(render(replace(scene, start=moved(scene.start), end=moved(scene.end), across=across), HW))
    return _as_bytes(image, xy, torch.zeros_like(vis))


def _as_bytes(image: Tensor, xy: Tensor, vis: Tensor) -> Batch:
    return (255 * image).round().byte(), xy, vis


# ---------------------------------------------------------------------------------------------------------------------
# Training


@lru_cache(maxsize=4)
def presence_data(negatives: tuple[str, ...], *, seed: int = 0) -> Data:
    """4096 pictures of people and half as many of each kind of negatives; labels ``(B, K, 3)`` hold x, y and vis."""
    draws = {"nobody": (nobody, 50_000), "scrambled": (scrambled, 60_000)}
    sets = [anybody(256, seed=40_000 + i) for i in range(16)]
    sets += [draws[kind][0](256, seed=draws[kind][1] + i) for kind in negatives for i in range(8)]
    image, xy, vis = (torch.cat(part) for part in zip(*sets, strict=True))
    return finite((image, torch.cat((xy, vis[..., None].to(xy)), -1), torch.ones_like(vis)), batch=BATCH, seed=seed)


def presence(net: VisibilityNet, image: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the map where a keypoint is in the picture, and of the logit that says whether it is visible."""
    xy, vis = labels[..., :2], labels[..., 2]
    logits, seen = net(image)
    where = methods.map_cross_entropy(net.grid, logits, torch.where(vis[..., None] > 0, xy, 0))
    whether = F.binary_cross_entropy_with_logits(seen, (vis == 2).to(seen), reduction="none")
    return torch.where(vis > 0, where, 0) + whether


def train_presence(negatives: tuple[str, ...], *, seed: int, steps: int) -> VisibilityNet:
    """Chapter 1's net with a new head, trained with these negatives."""
    with methods.as_ever(seed):
        net = VisibilityNet()
    net.load_state_dict(methods.stored("cross-entropy").state_dict(), strict=False)
    train(net, presence, presence_data(negatives, seed=seed), steps=steps, lr=3e-3, progress=False)
    return net


@dataclass(frozen=True)
class Variant:
    net: Callable[[], nn.Module]
    fixed: tuple[str, ...]  # parts whose weights stay chapter 1's
    steps: int
    lr: float


VARIANTS = {
    "dropout-middle": Variant(lambda: DropoutNet(where="middle"), ("trunk.stem", "trunk.down"), 300, 2e-3),
    "dropout-head": Variant(lambda: DropoutNet(where="head"), ("trunk",), 200, 2e-3),
    "turned": Variant(HeatmapNet, (), 500, 3e-3),
    "visibility": Variant(VisibilityNet, (), 200, 3e-3),
}


def make(name: str, *, seed: int = 0) -> nn.Module:
    """Train one of :data:`VARIANTS`."""
    variant = VARIANTS[name]
    if name == "visibility":
        return train_presence(NEGATIVES["nobody, scrambled"], seed=seed, steps=variant.steps)
    with methods.as_ever(seed):
        net = variant.net()
    net.load_state_dict(methods.stored("cross-entropy").state_dict())
    for part in variant.fixed:
        net.get_submodule(part).requires_grad_(False)
    images = turned(IMAGES, seed=2000) if name == "turned" else people(IMAGES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of the dropped channels
        train(net, methods.cross_entropy, finite(images, batch=BATCH, seed=seed), steps=variant.steps, lr=variant.lr,
              progress=False)  # fmt: skip
    return net


# ---------------------------------------------------------------------------------------------------------------------
# Files: of each net what chapter 1's does not have


def save(name: str, net: nn.Module, note: dict) -> None:
    """The weights, at half precision, that differ from those of the stored "cross-entropy" net."""
    base = methods.stored("cross-entropy").state_dict()
    half = {key: t.half() if t.is_floating_point() else t for key, t in net.state_dict().items()}
    new = {key: t for key, t in half.items() if key not in base or not torch.equal(t.to(base[key]), base[key])}
    write_tensors(path(name), new, {"net": type(net).__name__, "note": note})


def stored(name: str) -> nn.Module:
    """One of :data:`VARIANTS` in evaluation mode: "dropout-middle", "dropout-head", "turned" or "visibility".

    Raises:
        ValueError: another name, or a file that is cut short or another net's.
    """
    _args.one_of("name", name, tuple(VARIANTS))
    with methods.as_ever(0):
        net = VARIANTS[name].net()
    new, base = read_tensors(path(name))[0], methods.stored("cross-entropy").state_dict()
    try:
        net.load_state_dict(base | new)
    except RuntimeError as error:
        raise ValueError(f"{path(name)}: not the weights of {name} ({error})") from None
    return net.eval()


def path(name: str) -> Path:
    return FOLDER / f"{name}.safetensors"
