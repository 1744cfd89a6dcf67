"""Decoders against kornia, dsntnn, plain torch and the loops over instances of mmpose's definitions.

    python benchmarks/decoding.py [--quick] [--threads N]

64 x 17 maps of 64 x 48 cells, float32. All contenders of a line return the same to 1e-4 (soft-argmax to 3e-4, most of
which is the peers' round-off), which is checked first (exit code 1 if not); speed decides nothing about the exit. All
run in turns: quote ratios of one run, not times.
"""

import sys
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from _measure import check, compare, main, optional
from torch import Tensor

from posebook.decode import argmax, refine_dark, refine_quarter, refine_udp
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax

kornia, dsntnn = optional("kornia.geometry.subpix"), optional("dsntnn")
HW, SIGMA = (64, 48), 2.0

# ---------------------------------------------------------------------------------------------------------------------
# The loops: one sample (K, H, W) and one keypoint at a time in numpy, as mmpose's codecs decode


def loop_peaks(sample: np.ndarray) -> np.ndarray:
    """(K, 2) whole cells (x, y)."""
    y, x = np.unravel_index(sample.reshape(len(sample), -1).argmax(1), sample.shape[1:])
    return np.stack((x, y), -1).astype(np.float32)


def loop_quarter(sample: np.ndarray) -> np.ndarray:
    cells = loop_peaks(sample)
    h, w = sample.shape[1:]
    for k, values in enumerate(sample):
        x, y = cells[k].astype(int)
        slope_x = values[y, x + 1] - values[y, x - 1] if 1 < x < w - 1 else 0.0
        slope_y = values[y + 1, x] - values[y - 1, x] if 1 < y < h - 1 else 0.0
        cells[k] += np.sign([slope_x, slope_y]) * 0.25
    return cells


@cache
def band(n: int, sigma: float, radius: int) -> np.ndarray:
    """The matrix that blurs n values with a Gaussian of 2 radius + 1 taps, 0 beyond the ends."""
    tap = np.arange(n)[:, None] - np.arange(n)
    total = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2)).sum()
    return (np.exp(-(tap**2) / (2 * sigma**2)) / total * (abs(tap) <= radius)).astype(np.float32)


def blur(values: np.ndarray) -> np.ndarray:
    h, w = values.shape
    return band(h, 2.0, 5) @ values @ band(w, 2.0, 5)


def loop_dark(sample: np.ndarray, reach: int = 2) -> np.ndarray:
    """Every map blurred as a whole by 11 taps, clipped and logged, then one Newton step.

    The blur is two matrix products, which take no longer than OpenCV's. Second differences span ``reach`` cells each
    way: 2 in mmpose, 1 in posebook.
    """
    cells = loop_peaks(sample)
    h, w = sample.shape[1:]
    logs = np.empty_like(sample)
    for k, values in enumerate(sample):
        blurred = blur(values)
        logs[k] = blurred * (values.max() / blurred.max())
    logs = np.log(np.maximum(logs, 1e-10))
    for k, log in enumerate(logs):
        x, y = cells[k].astype(int)
        if reach <= x < w - reach and reach <= y < h - reach:
            slope = np.array([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]]) / 2
            xx = (log[y, x + reach] - 2 * log[y, x] + log[y, x - reach]) / reach**2
            yy = (log[y + reach, x] - 2 * log[y, x] + log[y - reach, x]) / reach**2
            xy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
            if xx * yy - xy**2 != 0:
                cells[k] -= np.linalg.inv(np.array([[xx, xy], [xy, yy]])) @ slope
    return cells


def loop_udp(sample: np.ndarray) -> np.ndarray:
    """Every map blurred as a whole, clipped and logged, its edges repeated; then one Newton step a sample."""
    cells, top = loop_peaks(sample), sample.max((1, 2), keepdims=True)
    logs = np.stack([blur(values) for values in sample])
    logs = np.log(np.clip(logs * (top / logs.max((1, 2), keepdims=True)), 1e-3, 50))
    logs = np.pad(logs, ((0, 0), (1, 1), (1, 1)), mode="edge")
    x, y = cells.astype(int).T
    at = {(i, j): logs[np.arange(len(cells)), y + 1 + j, x + 1 + i] for i in (-1, 0, 1) for j in (-1, 0, 1)}
    slope = np.stack((at[1, 0] - at[-1, 0], at[0, 1] - at[0, -1]), -1) / 2
    xx, yy = (at[i, j] - 2 * at[0, 0] + at[-i, -j] for i, j in ((1, 0), (0, 1)))
    xy = (at[1, 1] + at[-1, -1] - 2 * at[0, 0] - xx - yy) / 2
    hessian = np.stack((xx, xy, xy, yy), -1).reshape(-1, 2, 2) + np.finfo(np.float32).eps * np.eye(2)
    return cells - np.einsum("kij,kj->ki", np.linalg.inv(hessian), slope)


def each(loop: Callable[..., np.ndarray], samples: np.ndarray, *options: int) -> np.ndarray:
    return np.stack([loop(sample, *options) for sample in samples])


# ---------------------------------------------------------------------------------------------------------------------
# The lines


def kornia_soft(logits: Tensor, tau: float = 1.0) -> Tensor:
    return kornia.spatial_expectation2d(kornia.spatial_softmax2d(logits, tau), normalized_coordinates=False)


def dsntnn_soft(logits: Tensor) -> Tensor:
    return dsntnn.dsnt(dsntnn.flat_softmax(logits), normalized_coordinates=False)


def gradient(decoder: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    leaf = logits.detach().requires_grad_()
    decoder(leaf).square().sum().backward()
    return leaf.grad


def torch_argmax(heatmap: Tensor) -> Tensor:
    flat = heatmap.flatten(-2).argmax(-1)
    return torch.stack((flat % heatmap.shape[-1], flat // heatmap.shape[-1]), -1).to(heatmap.dtype)


def maps(batch: int, hw: tuple[int, int]) -> tuple[Tensor, Tensor, np.ndarray]:
    """Heatmaps, logits, and the heatmaps in numpy; peaks keep away from the border."""
    draw = torch.Generator().manual_seed(0)
    cells = 4 + torch.rand(batch, 17, 2, generator=draw) * torch.tensor([hw[1] - 9.0, hw[0] - 9.0])
    heatmap = gaussian_heatmap(cells, hw, sigma=SIGMA)
    return heatmap, torch.log(heatmap + 1e-6), heatmap.numpy()


def all_equal(heatmap: Tensor, logits: Tensor, numbers: np.ndarray) -> bool:
    print("Same results?")
    dark, slope = refine_dark(heatmap, blur=2.0), gradient(soft_argmax, logits)
    equal = [
        check("argmax, torch", argmax(heatmap), lambda: torch_argmax(heatmap), atol=0),
        check("soft-argmax, kornia", soft_argmax(logits), lambda: kornia_soft(logits), 3e-4),
        check("soft-argmax, dsntnn", soft_argmax(logits), lambda: dsntnn_soft(logits), 3e-4),
        check("its gradient, kornia", slope, lambda: gradient(kornia_soft, logits), 1e-3),
        check("its gradient, dsntnn", slope, lambda: gradient(dsntnn_soft, logits), 1e-3),
        check("quarter shift, loop", refine_quarter(heatmap), lambda: each(loop_quarter, numbers), atol=0),
        check("DARK, loop with differences over one cell", dark, lambda: each(loop_dark, numbers, 1)),
        check("UDP, loop", refine_udp(heatmap, blur=2.0), lambda: each(loop_udp, numbers)),
    ]
    print("  for the eye: DARK with mmpose's differences over two cells is off by "
          f"{np.abs(each(loop_dark, numbers) - dark.numpy()).max():.1e}")
    return all(equal)


def works(heatmap: Tensor, logits: Tensor, numbers: np.ndarray) -> dict:
    """For each work, what runs in turns: posebook, and peers with the goal."""
    loop, peaks = "mmpose's loop", {"an argmax": (lambda: argmax(heatmap), "")}
    return {
        "argmax": (
            lambda: argmax(heatmap),
            {"a read": (heatmap.sum, "<= 5"), "torch": (lambda: torch_argmax(heatmap), ">= 1")}),
        "soft-argmax": (
            lambda: soft_argmax(logits),
            {"kornia": (lambda: kornia_soft(logits), ">= 2"), "dsntnn": (lambda: dsntnn_soft(logits), ">= 1"),
             "a softmax": (lambda: logits.flatten(-2).softmax(-1), "")}),
        "soft-argmax, tau 0.5": (
            lambda: soft_argmax(logits, 0.5),
            {"kornia": (lambda: kornia_soft(logits, 0.5), ">= 2"),
             "a softmax": (lambda: logits.flatten(-2).softmax(-1), "")}),
        "soft-argmax + backward": (
            lambda: gradient(soft_argmax, logits),
            {"kornia": (lambda: gradient(kornia_soft, logits), ">= 2"),
             "dsntnn": (lambda: gradient(dsntnn_soft, logits), ">= 1")}),
        "quarter shift": (
            lambda: refine_quarter(heatmap), {loop: (lambda: each(loop_quarter, numbers), ">= 7")} | peaks),
        "DARK, blur 2": (
            lambda: refine_dark(heatmap, blur=2.0), {loop: (lambda: each(loop_dark, numbers), ">= 15")} | peaks),
        "UDP, blur 2": (
            lambda: refine_udp(heatmap, blur=2.0), {loop: (lambda: each(loop_udp, numbers), ">= 15")} | peaks),
    }


def growing(size: str, data: tuple, rounds: int, **at: float) -> list[dict]:
    """Two of the works at one size, without goals."""
    chosen = {}
    for work in ("soft-argmax", "DARK, blur 2"):
        ours, peers = works(*data)[work]
        chosen[f"{work}, {size}"] = ours, {peer: (function, "") for peer, (function, _) in peers.items()}
    return compare(chosen, rounds, **at)


def measure(options) -> list[dict]:
    quick = options.quick
    data = maps(64, HW)
    if not all_equal(*data):
        sys.exit("decoding: results differ from a peer's")
    rows = compare(works(*data), 3 if quick else 21)
    for batch in (1, 8, 64) if quick else (1, 4, 16, 64, 256):
        rows += growing(f"batch {batch}", maps(batch, HW), 3 if quick else 7, batch=batch)
    for h, w in ((32, 24), (64, 48), (128, 96), (256, 192))[: 3 if quick else 4]:
        rows += growing(f"16 x 17 maps of {h} x {w}", maps(16, (h, w)), 3 if quick else 7, cells=h * w)
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
