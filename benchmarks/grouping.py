"""Peaks against max_pool2d, people by tags against loops over people as HigherHRNet and mmpose group, at 1, 5 and 30.

    python benchmarks/grouping.py [--quick] [--threads N]

17 maps of 128 x 128 cells, float32; one joint in ten has no peak and is read off the maps. Everybody has the first
joint and there are no false peaks: where people begin later, the sum of distances that the loops make least can part
what belongs together (tests/test_grouping.py shows it). All contenders of a line return the same, which is checked
first (exit code 1 if not); speed decides nothing about the exit. All run in turns: quote ratios of one run, not times.
HigherHRNet and mmpose assign by munkres, in Python; with scipy in its place the loops are faster.
"""

import sys

import numpy as np
import torch
from _measure import check, compare, main, optional
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from posebook.encode import people_heatmap
from posebook.grouping import fill_joints, group_by_tags, local_peaks, tags_at

K, HW, TOP = 17, (128, 128), 32
LEAST, NEAR = 0.1, 1.0  # of a peak; of tags


def scene(p: int) -> tuple[Tensor, Tensor]:
    """Heatmaps ``(K, H, W)`` and tag maps ``(K, 1, H, W)`` of p people, each in a place of its own.

    The peak of one joint in ten is too low; the tag at each cell is that of the nearest person, 2 apart, and noise.
    """
    draw = torch.Generator().manual_seed(p)
    places = torch.cartesian_prod(torch.arange(10.0, 128, 21), torch.arange(12.0, 128, 25))
    places = places[torch.randperm(30, generator=draw)[:p], None]
    cells = places + 14 * torch.rand(p, K, 2, generator=draw) - 7
    low = (torch.rand(p, K, generator=draw) < 0.1) & (torch.arange(K) > 0)
    heatmaps = torch.maximum(people_heatmap(cells, ~low, HW, sigma=2.0),
                             0.9 * LEAST * people_heatmap(cells, low, HW, sigma=2.0))
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    nearest = (torch.stack((x, y), -1)[None, None] - cells[:, :, None, None]).square().sum(-1).argmin(0)  # (K, H, W)
    tag_maps = 2 * nearest + 0.2 * torch.rand(K, *HW, generator=draw)
    return heatmaps, tag_maps[:, None]


# ---------------------------------------------------------------------------------------------------------------------
# The loops


def pooled_peaks(heatmaps: Tensor, size: int = 3) -> tuple[Tensor, Tensor]:
    """Cells that equal the maximum of their window keep their value, the others 0; then the best of each map."""
    kept = heatmaps * (F.max_pool2d(heatmaps, size, 1, size // 2) == heatmaps)
    scores, index = kept.flatten(1).topk(TOP)
    return torch.stack((index % HW[1], index // HW[1]), -1).float(), scores


def munkres(cost: np.ndarray) -> list[tuple[int, int]]:
    return optional("munkres").Munkres().compute(cost.tolist())


def scipy(cost: np.ndarray) -> list[tuple[int, int]]:
    return list(zip(*linear_sum_assignment(cost), strict=True))


def loop_group(xy: np.ndarray, scores: np.ndarray, tags: np.ndarray, assign=munkres) -> np.ndarray:
    """People (P, K, 3 + D) of (K, N, ...): x, y, score and tag; 0 where there is none."""
    people, joined = [], []  # each person's joints, and the tags that have joined
    for k in range(K):
        joints = np.concatenate((xy[k], scores[k, :, None], tags[k]), 1)
        joints = joints[joints[:, 2] > LEAST]
        if len(joints) == 0:
            continue
        partner = {}
        if people:
            centers = np.array([np.mean(tags, axis=0) for tags in joined])
            distance = np.linalg.norm(joints[:, None, 3:] - centers[None], axis=2)
            cost = np.round(distance) * 100 - joints[:, 2:3]  # among equally near ones the higher peak
            extra = np.full((len(joints), max(0, len(joints) - len(people))), 1e10)
            for row, column in assign(np.concatenate((cost, extra), 1)):
                if column < len(people) and distance[row, column] < NEAR:
                    partner[row] = column
        for row, joint in enumerate(joints):
            if row not in partner:
                partner[row] = len(people)
                people.append(np.zeros((K, joints.shape[1]), dtype=np.float32))
                joined.append([])
            people[partner[row]][k] = joint
            joined[partner[row]].append(joint[3:])
    return np.array(people)


def loop_fill(people: np.ndarray, heatmaps: np.ndarray, tag_maps: np.ndarray) -> np.ndarray:
    """A whole map of differences for each joint of each person, as they are; those without a peak get the best."""
    people = people.copy()
    for person in people:
        center = person[person[:, 2] > 0, 3:].mean(0)
        for k in range(K):
            distance = np.sqrt(((tag_maps[k] - center[:, None, None]) ** 2).sum(0))
            y, x = np.unravel_index(np.argmax(heatmaps[k] - np.round(distance)), HW)
            if person[k, 2] == 0 and heatmaps[k, y, x] > 0:
                person[k, :3] = x, y, heatmaps[k, y, x]
    return people


def loop_parse(heatmaps: Tensor, tag_maps: Tensor) -> np.ndarray:
    xy, scores = pooled_peaks(heatmaps, size=5)
    people = loop_group(xy.numpy(), scores.numpy(), tags_at(tag_maps, xy).numpy())
    return loop_fill(people, heatmaps.numpy(), tag_maps.numpy())


# ---------------------------------------------------------------------------------------------------------------------
# posebook


def parse(heatmaps: Tensor, tag_maps: Tensor):
    peaks = local_peaks(heatmaps, threshold=LEAST, top_k=TOP)
    people = group_by_tags(peaks, tags_at(tag_maps, peaks.xy), threshold=NEAR)
    return fill_joints(people, heatmaps, tag_maps, threshold=NEAR)


def rows(people) -> Tensor:
    """(P, K, 3): x, y and score, 0 where there is none."""
    return torch.cat((people.xy.nan_to_num(0), people.scores[..., None]), -1)


def works(p: int, heatmaps: Tensor, tag_maps: Tensor) -> tuple[bool, dict]:
    """Whether all return the same, and what runs in turns: posebook, and peers with the goal."""
    peaks = local_peaks(heatmaps, threshold=LEAST, top_k=TOP)
    tags = tags_at(tag_maps, peaks.xy)
    numbers = peaks.xy.nan_to_num(0).numpy(), peaks.scores.numpy(), tags.nan_to_num(0).numpy()
    found = torch.cat([part if part.ndim == 3 else part[..., None] for part in pooled_peaks(heatmaps)], -1)
    ours = torch.cat((peaks.xy.nan_to_num(0), peaks.scores[..., None]), -1)
    equal = [check(f"{p} people by tags, {method}", rows(group_by_tags(peaks, tags, threshold=NEAR, method=method)),
                   lambda: loop_group(*numbers)[..., :3], atol=0) for method in ("optimal", "greedy")]
    many = f"{p} people" if p > 1 else "1 person"
    parsed = rows(parse(heatmaps, tag_maps))
    equal += [
        check(f"peaks of {p} people", ours, lambda: found * (found[..., 2:] > LEAST), atol=0),
        check(f"{p} people from maps", parsed, lambda: loop_parse(heatmaps, tag_maps)[..., :3], atol=0),
    ]
    return all(equal), {
        f"peaks, {many}": (
            lambda: local_peaks(heatmaps, threshold=LEAST, top_k=TOP),
            {"torch max_pool2d 3x3": (lambda: pooled_peaks(heatmaps), ""),
             "torch max_pool2d 5x5": (lambda: pooled_peaks(heatmaps, 5), ">= 10"),  # as HigherHRNet
             "a read": (heatmaps.sum, "")}),
        f"by tags, {many}": (
            lambda: group_by_tags(peaks, tags, threshold=NEAR),
            {"munkres in a loop": (lambda: loop_group(*numbers), ">= 15" if p == 30 else ""),
             "scipy in a loop": (lambda: loop_group(*numbers, scipy), "")}),
        f"from maps, {many}": (
            lambda: parse(heatmaps, tag_maps),
            {"munkres in loops": (lambda: loop_parse(heatmaps, tag_maps), ">= 6"),
             "its peaks": (lambda: local_peaks(heatmaps, threshold=LEAST, top_k=TOP), "")}),
    }


def measure(options) -> list[dict]:
    found = []
    for p in (1, 5, 30):
        equal, compared = works(p, *scene(p))
        if not equal:
            sys.exit("grouping: results differ from a peer's")
        found += compare(compared, 3 if options.quick else 21, people=p)
    return found


if __name__ == "__main__":
    main(measure, __doc__)
