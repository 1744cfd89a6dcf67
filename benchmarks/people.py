"""Images a second of drawn people, against plain stick figures that compute every limb at every pixel.

    python benchmarks/people.py [--quick] [--threads N]

256 images of 64 x 64, float32, one person each, keypoints included. The sticks are the naive way: 12 gray capsules on
a flat background, no clothes, no occlusion. Both run in turns: quote the ratio of one run. On a machine that is busy
with other work take one thread: two wait for each other at every step.
"""

from statistics import median

import torch
from _measure import interleave, line, main, row
from torch import Tensor

from posebook.people import draw_people, render, sample_scene
from posebook.skeleton import COCO_17

COUNT, HW = 256, (64, 64)
LIMBS = torch.tensor(COCO_17.limbs[:12])


def sticks(xy: Tensor, hw: tuple[int, int], radius: float = 2.0) -> Tensor:
    """Images ``(B, 3, H, W)`` of keypoints ``(B, K, 2)``: every limb at every pixel."""
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in hw), indexing="ij")
    pixels = torch.stack((x, y), -1)  # (H, W, 2)
    image = torch.full((len(xy), 3, *hw), 0.3)
    for a, b in LIMBS.tolist():
        start, along = xy[:, None, None, a], (xy[:, b] - xy[:, a])[:, None, None]
        t = ((pixels - start) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-9)
        distance = (pixels - start - t.clamp(0, 1)[..., None] * along).norm(dim=-1)
        share = (radius + 0.5 - distance).clamp(0, 1)[:, None]
        image = image * (1 - share) + 0.8 * share
    return image


def measure(options) -> list[dict]:
    scene = sample_scene(COUNT, HW)
    xy = scene.xy[:, 0]
    ms = interleave({
        "draw_people": lambda: draw_people(COUNT, HW),
        "of that, sample_scene": lambda: sample_scene(COUNT, HW),
        "of that, render": lambda: render(scene, HW),
        "naive sticks": lambda: sticks(xy, HW),
    }, 3 if options.quick else 15, calls=2)  # fmt: skip
    rate = {name: 1e3 * COUNT / median(times) for name, times in ms.items()}
    sticks_ms = ms.pop("naive sticks")
    rows = [row(name, rate[name], "images/s", peer="naive sticks", theirs=rate["naive sticks"],
                ratios=[b / a for a, b in zip(times, sticks_ms, strict=True)])
            for name, times in ms.items() if name == "draw_people"]
    rows += [row(name, rate[name], "images/s") for name in ms if name != "draw_people"]
    print(*map(line, rows), sep="\n")
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
