"""How far off chapter 1's heatmap network is at every 5 degrees, and three remedies; and why.

``python -m posebook.training turning`` measures anew, in some minutes.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from posebook.expectation import spatial_softmax
from posebook.people import Scene, render, sample_scene
from posebook.training import methods, variants
from posebook.training.data import Batch, alone
from posebook.training.files import read_tensors, write_tensors
from posebook.training.table import FOLDER, HW, PEOPLE, made
from posebook.warp import Affine, warp_image, warp_points

ANGLES = tuple(range(0, 360, 5))  # degrees counterclockwise
PICTURES = ("painted anew", "resampled")
DECODERS = ("soft-argmax", "argmax")
ANSWERS = ("as it is", "mean of four turns", "most confident turn", "trained with turns")
PASSES = (1, 4, 4, 1)
CAUSES = ("total", "interpolation", "decoder", "network")
COUNT, SEED, SHOWN = 60, 3_000_000, 2  # people; which of them is shown
PARTS = 4  # of a px: the places shown are whole numbers of these, from -0.5 px on
COMMAND = "python -m posebook.training turning"


def scene() -> Scene:
    """People as in training, upright, each alone in a picture of 64 x 64 px."""
    return sample_scene(COUNT, HW, seed=SEED, **PEOPLE)


def turned(people: Scene, degrees: float) -> tuple[Batch, Tensor]:
    """Image, xy and vis of the scene turned and painted anew, and the upright picture resampled."""
    turn = Affine.rotation(degrees, HW)
    return alone(render(people.warped(turn), HW)), warp_image(alone(render(people, HW))[0], turn, HW)


def answers(image: Tensor) -> dict[str, Tensor]:
    """What is found in images ``(B, 3, H, W)``: by each decoder and by DARK, ``(4, B, K, 2)`` px, by ANSWERS."""
    net, other = methods.stored("cross-entropy"), variants.stored("turned")
    with torch.no_grad():
        maps = [net(torch.rot90(image, k, (-2, -1))) for k in range(4)]
        last = other(image)
    best = torch.stack([spatial_softmax(logits).amax((-2, -1)).mean(-1) for logits in maps]).argmax(0)
    each, every = torch.arange(len(image)), {}
    for name in (*DECODERS, "DARK"):
        back = [warp_points(_decoded(net, logits, name), Affine.rotation(-90 * k, HW)) for k, logits in enumerate(maps)]
        four = torch.stack(back)
        every[name] = torch.stack((four[0], four.mean(0), four[best, each], _decoded(other, last, name)))
    return every


def _decoded(net: nn.Module, logits: Tensor, name: str) -> Tensor:
    return net.grid.to_image(methods.DECODERS[name](logits))


def measure(degrees: int, people: Scene, before: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """At one angle, given the answers upright.

    Returns:
        the median error ``(2, 2, 4)`` px by PICTURES, DECODERS and ANSWERS, of visible keypoints; the medians of
        CAUSES ``(2, 4, 4)`` px by DECODERS, ANSWERS and CAUSES; and all places ``(2, 2, 4, B, K, 2)`` px.
    """
    (image, xy, vis), resampled = turned(people, degrees)
    turn, seen = Affine.rotation(degrees, HW), vis == 2
    exact = answers(image * warp_image(torch.ones_like(image), turn, HW))  # as :func:`equivariance_causes` has it
    found = [answers(image), answers(resampled)]
    places = torch.stack([torch.stack([one[name] for name in DECODERS]) for one in found])
    errors = (places - xy).norm(dim=-1)[..., seen].median(-1).values
    causes = []
    for name, finer in zip(DECODERS, ("soft-argmax", "DARK"), strict=True):
        between = found[1][name] - exact[name]
        without, fine = (exact[way] - warp_points(before[way], turn) for way in (name, finer))
        parts = torch.stack((between + without, between, without - fine, fine), 1)  # (4, 4, B, K, 2)
        causes.append(parts.norm(dim=-1)[..., seen].median(-1).values)
    return errors, torch.stack(causes), places


def make(path: Path | None = None) -> None:
    """Measure and store."""
    people, rows = scene(), []
    before = answers(alone(render(people, HW))[0])
    for degrees in ANGLES:
        errors, causes, places = measure(degrees, people, before)
        rows.append((errors.half(), causes.half(), _stored(places[..., SHOWN, :, :])))
    names = "error", "causes", "found"
    tensors = {name: torch.stack(part) for name, part in zip(names, zip(*rows, strict=True), strict=True)}
    write_tensors(path or FOLDER / "turning.safetensors", tensors, made() | {"command": COMMAND})


def _stored(places: Tensor) -> Tensor:
    return (PARTS * (places + 0.5)).round().clamp(0, 255).to(torch.uint8)


def turning() -> dict[str, Tensor]:
    """What was stored, by ANGLES: "error" ``(72, 2, 2, 4)`` and "causes" ``(72, 2, 4, 4)`` px, as of :func:`measure`,
    and "found" ``(72, 2, 2, 4, 17, 2)`` px, of the person shown, to a quarter of a px.
    """
    kept = read_tensors(FOLDER / "turning.safetensors")[0]
    return {"error": kept["error"].double(), "causes": kept["causes"].double(),
            "found": kept["found"].double() / PARTS - 0.5}  # fmt: skip
