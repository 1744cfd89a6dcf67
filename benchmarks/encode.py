"""Targets against kornia and the loops over instances of mmpose's definitions: Gaussian heatmaps and SimCC.

    python benchmarks/encode.py [--quick] [--threads N]

64 x 17 keypoints on maps of 64 x 48 cells; for SimCC images of 256 x 192 px with two bins a pixel. float32. All
contenders of a line return the same to 1e-4, which is checked first (exit code 1 if not); speed decides nothing about
the exit. All run in turns: quote ratios of one run, not times.
"""

import sys

import numpy as np
import torch
from _measure import check, compare, main, optional

from posebook.encode import gaussian_heatmap, simcc_targets

kornia = optional("kornia.geometry.subpix")
HW, SIGMA = (64, 48), 2.0
IMAGE_HW, RATIO, SIMCC_SIGMA = (256, 192), 2.0, 6.0

# ---------------------------------------------------------------------------------------------------------------------
# The loops: one sample and one keypoint at a time in numpy, as mmpose's codecs encode


def loop_heatmap(cells: np.ndarray) -> np.ndarray:
    """Unrounded Gaussians, one whole map of exponentials for each keypoint (K, 2)."""
    out = np.zeros((len(cells), *HW), dtype=np.float32)
    x, y = np.arange(HW[1], dtype=np.float32), np.arange(HW[0], dtype=np.float32)[:, None]
    for k, (cx, cy) in enumerate(cells):
        np.maximum(out[k], np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * SIGMA**2)), out=out[k])
    return out


def loop_simcc(xy: np.ndarray) -> np.ndarray:
    """Unrounded Gaussians over the bins of x, then of y, each divided by its sum, for one sample (K, 2)."""
    sides = []
    for axis, n in enumerate((IMAGE_HW[1], IMAGE_HW[0])):
        bins = np.arange(round(n * RATIO), dtype=np.float32)
        out = np.zeros((len(xy), len(bins)), dtype=np.float32)
        for k, center in enumerate(xy[:, axis] * np.float32(RATIO)):
            bump = np.exp(-((bins - center) ** 2) / (2 * SIMCC_SIGMA**2))
            out[k] = bump / bump.sum()
        sides.append(out)
    return np.concatenate(sides, -1)


def each(loop, samples: np.ndarray) -> np.ndarray:
    return np.stack([loop(sample) for sample in samples])


def measure(options) -> list[dict]:
    draw = torch.Generator().manual_seed(0)
    cells = 4 + torch.rand(64, 17, 2, generator=draw) * torch.tensor([HW[1] - 9.0, HW[0] - 9.0])
    xy, spread = 4 * cells, torch.full_like(cells, SIGMA)
    heatmap = gaussian_heatmap(cells, HW, sigma=SIGMA)
    both = torch.cat(simcc_targets(xy, IMAGE_HW, ratio=RATIO, sigma=SIMCC_SIGMA), -1)

    print("Same results?")
    density = heatmap / heatmap.sum((-2, -1), keepdim=True)
    equal = [
        check("heatmaps, loop", heatmap, lambda: each(loop_heatmap, cells.numpy())),
        check("heatmaps, kornia (sum 1)", density, lambda: kornia.render_gaussian2d(cells, spread, HW, False)),
        check("SimCC, loop", both, lambda: each(loop_simcc, xy.numpy())),
    ]
    if not all(equal):
        sys.exit("encode: results differ from a peer's")

    exponents = heatmap.clamp(min=1e-30).log()
    works = {  # for each work, what runs in turns: posebook, and peers with the goal
        "heatmaps": (
            lambda: gaussian_heatmap(cells, HW, sigma=SIGMA),
            {"mmpose's loop": (lambda: each(loop_heatmap, cells.numpy()), ">= 9"),
             "kornia": (lambda: kornia.render_gaussian2d(cells, spread, HW, False), ">= 1"),
             "an exp": (exponents.exp, "")}),
        "SimCC": (
            lambda: simcc_targets(xy, IMAGE_HW, ratio=RATIO, sigma=SIMCC_SIGMA),
            {"mmpose's loop": (lambda: each(loop_simcc, xy.numpy()), "")}),
    }  # fmt: skip
    return compare(works, 3 if options.quick else 21)


if __name__ == "__main__":
    main(measure, __doc__)
