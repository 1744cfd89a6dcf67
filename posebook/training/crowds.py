"""Two detectors for several people, what they are trained on, and how people are read from them.

Bottom-up: one pass over the whole picture, then peaks are grouped, by tags or by limbs. Top-down: chapter 1's network,
trained on with crops around one person each, whose neighbors may reach into the crop; it has to be told where people
are. ``python -m posebook.training crowds`` makes the stored weights anew.
"""

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posebook import _args, decode, encode, grouping
from posebook.expectation import spatial_softmax
from posebook.losses import associative_embedding_loss
from posebook.models import BottomUpNet, HeatmapNet, K
from posebook.people import People, draw_people
from posebook.skeleton import COCO_17
from posebook.training import methods
from posebook.training.data import Batch, Data
from posebook.training.files import load_weights, save_weights
from posebook.training.loop import evaluating, train
from posebook.training.table import FOLDER, made
from posebook.warp import crop_grid, crop_image

HW = (96, 96)  # of a picture, px
CROP = (64, 64)  # of a crop, px
SCALE = 1.25  # of a crop to the box of the person
CROWD = {"persons": (1, 4), "size": (0.45, 0.75), "yaw": (-60.0, 60.0), "crowding": 0.3, "occluder": 0.1}
SIGMA = 0.7  # cells: of the targets
LIMB = 1.0  # cells: half the width of a limb in the fields
TAGS, FIELDS = 0.03, 1.0  # weights of these losses beside that of the scores
STEPS = {"bottom-up": 2000, "top-down": 200}


# ---------------------------------------------------------------------------------------------------------------------
# Data


def crowd(count: int, *, seed: int = 0, **options) -> People:
    """Pictures of 96 x 96 px with 1 to 4 people each; ``options`` are those of :func:`posebook.people.draw_people`."""
    return draw_people(count, HW, seed=seed, **{**CROWD, **options})


def scenes(*, batch: int = 16, seed: int = 0) -> Data:
    """New pictures at every step: image, xy ``(B, P, K, 2)`` px, NaN where not labeled, and a 1 for each image."""
    def data(step: int) -> Batch:
        people = crowd(batch, seed=1_000_000 * (seed + 1) + step)
        return people.image, people.xy.masked_fill(people.vis[..., None] == 0, torch.nan), torch.ones(batch)

    return data


def crops(*, batch: int = 24, seed: int = 0) -> Data:
    """The people of new pictures at every step, each in a crop of its own: image, xy ``(N, K, 2)`` px of it, vis."""
    def data(step: int) -> Batch:
        people = crowd(batch, seed=1_000_000 * (seed + 1) + step)
        b, p = (people.area > 30).nonzero(as_tuple=True)  # px^2: enough to see of the person
        grids = [crop_grid(tuple(box), CROP, scale=SCALE) for box in people.box[b, p].tolist()]
        xy = torch.stack([grid.to_cells(one) for grid, one in zip(grids, people.xy[b, p], strict=True)])
        inside = ((xy > -0.5) & (xy < xy.new_tensor(CROP[::-1]) - 0.5)).all(-1)
        return crop_image(people.image[b], grids, CROP), xy, people.vis[b, p] * inside

    return data


# ---------------------------------------------------------------------------------------------------------------------
# Training


def bottom_up(net: BottomUpNet, image: Tensor, xy: Tensor) -> Tensor:
    """Cross-entropy of each cell, tags that tell people apart, squared error of the fields: one value for each image.

    ``xy (B, P, K, 2)`` px is NaN where not labeled.
    """
    scores, tags, fields = net(image)
    cells, known, hw = net.grid.to_cells(xy), ~xy.isnan().any(-1), scores.shape[-2:]
    heatmaps = encode.people_heatmap(cells, known, hw, sigma=SIGMA)
    where = F.binary_cross_entropy_with_logits(scores, heatmaps, reduction="none").mean((1, 2, 3))
    at = grouping.tags_at(tags, torch.where(known[..., None], cells, 0).transpose(1, 2)).transpose(1, 2)  # (B, P, K, 1)
    pull, push = associative_embedding_loss(at, known)
    limbs = encode.part_affinity_fields(cells, known, hw, limbs=COCO_17.limbs, width=LIMB)
    return where + TAGS * (pull + push) + FIELDS * (fields - limbs).square().mean((1, 2, 3, 4))


def make(*, seed: int = 0) -> None:
    """Train both detectors and store their weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        one = BottomUpNet()
    two = methods.stored("cross-entropy")
    runs = {"bottom-up": (one, bottom_up, scenes(seed=seed), 5e-3),
            "top-down": (two, methods.cross_entropy, crops(seed=seed), 1e-3)}  # fmt: skip
    for name, (net, loss, data, lr) in runs.items():
        losses = train(net, loss, data, steps=STEPS[name], lr=lr)
        note = {"seed": seed, "steps": STEPS[name], "loss": losses[-1], **made(), "command": COMMAND}
        save_weights(net, FOLDER / f"{name}.safetensors", note=note)
        print(f"{name}: loss {losses[-1]:.4f}", file=sys.stderr, flush=True)


COMMAND = "python -m posebook.training crowds"


def stored(name: str) -> nn.Module:
    """The trained "bottom-up" net for pictures of several people, or "top-down" for crops, in evaluation mode."""
    _args.one_of("name", name, tuple(STEPS))
    net = BottomUpNet() if name == "bottom-up" else HeatmapNet()
    load_weights(net, FOLDER / f"{name}.safetensors")
    return net.eval()


# ---------------------------------------------------------------------------------------------------------------------
# Reading people off the networks


def find_bottom_up(net: BottomUpNet, image: Tensor, *, by: str = "tags", threshold: float = 0.2, near: float = 0.5,
                   field: float = 0.1) -> list[grouping.People]:
    """The people in pictures ``(B, 3, H, W)``, each with ``xy (P, K, 2)`` in px; NaN where a joint is missing.

    Args:
        net: from :func:`stored`.
        image: 0 to 1, sides multiples of 16.
        by: "tags", which also fill in joints without a peak, or "limbs".
        threshold: of a peak of the heatmap, 0 to 1.
        near: tags nearer than this are one person's.
        field: least agreement of a limb with its field.
    """
    _args.one_of("by", by, ("tags", "limbs"))
    with evaluating(net):
        scores, tags, fields = net(image)
    found = []
    for heatmaps, tag_maps, pafs in zip(scores.sigmoid(), tags, fields, strict=True):
        peaks = grouping.local_peaks(heatmaps, threshold=threshold, top_k=30)
        if by == "tags":
            people = grouping.group_by_tags(peaks, grouping.tags_at(tag_maps, peaks.xy), threshold=near)
            people = grouping.fill_joints(people, heatmaps, tag_maps, threshold=near, floor=threshold / 4)
        else:
            people = grouping.group_by_paf(peaks, pafs, COCO_17.limbs, threshold=field)
        people = grouping.refine_people(people, heatmaps)
        found.append(people._replace(xy=net.grid.to_image(people.xy)))
    return found


def find_top_down(net: HeatmapNet, image: Tensor, boxes: list[Tensor], *, scale: float = SCALE
                  ) -> list[grouping.People]:  # fmt: skip
    """One person for each box ``(N, 4)``, (x, y, w, h) px as in :func:`posebook.warp.crop_grid`, of each picture."""
    found = []
    for picture, those in zip(image, boxes, strict=True):
        grids = [crop_grid(tuple(box), CROP, scale=scale) for box in those.tolist()]
        xy, scores = image.new_empty(len(grids), K, 2), image.new_empty(len(grids), K)
        if grids:
            with evaluating(net):
                prob = spatial_softmax(net(crop_image(picture, grids, CROP)))
            at = net.grid.to_image(decode.refine_dark(prob))  # px of the crop
            xy = torch.stack([grid.to_image(one) for grid, one in zip(grids, at, strict=True)])
            scores = prob.amax((-2, -1))
        found.append(grouping.People(xy, scores, torch.zeros_like(scores, dtype=torch.int64)))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# As COCO writes it, for posebook.evaluation


def coco_truth(people: People) -> dict:
    """Drawn people as COCO's annotations; image i has the id i + 1."""
    area, box = people.area, people.box  # once: each sums up all masks
    box = box + box.new_tensor([0.5, 0.5, 0, 0])
    rows = [{"id": n + 1, "image_id": b + 1, "category_id": 1, "iscrowd": 0, "area": area[b, p].item(),
             "bbox": box[b, p].tolist(),
             "num_keypoints": int((people.vis[b, p] > 0).sum()),
             "keypoints": torch.cat((people.xy[b, p], people.vis[b, p, :, None]), -1).flatten().tolist()}
            for n, (b, p) in enumerate((people.vis > 0).any(-1).nonzero().tolist())]
    return {"images": [{"id": b + 1} for b in range(len(people.image))], "annotations": rows,
            "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_17.names)}]}  # fmt: skip


def coco_results(found: list[grouping.People]) -> list[dict]:
    """Detections as COCO's results; the score is the mean of the joints', a missing one counting 0."""
    return [{"image_id": b + 1, "category_id": 1, "score": scores.mean().item(),
             "keypoints": torch.cat((xy.nan_to_num(0), (~xy[:, :1].isnan()).to(xy)), -1).flatten().tolist()}
            for b, people in enumerate(found) for xy, scores in zip(people.xy, people.scores, strict=True)]
