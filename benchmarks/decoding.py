"""Decoders and targets against kornia, dsntnn, plain torch and the loops over instances of mmpose's definitions.

    python benchmarks/decoding.py [--quick]

64 x 17 maps of 64 x 48 cells, float32. All contenders of a line return the same to 1e-4, which is checked first (exit
code 1 if not); speed decides nothing about the exit. Times are medians of one interleaved run: compare ratios, not times.
"""

import argparse
import sys
from collections.abc import Callable

import dsntnn
import kornia.geometry.subpix as kornia
import numpy as np
import torch
from _measure import interleave
from torch import Tensor

from posebook.decode import argmax, refine_dark, refine_quarter, soft_argmax
from posebook.encode import gaussian_heatmap

HW, SIGMA = (64, 48), 2.0

# ---------------------------------------------------------------------------------------------------------------------
# The loops: one instance at a time in numpy, as mmpose's codecs decode and encode


def loop_peaks(heatmaps: np.ndarray) -> np.ndarray:
    """(B, K, 2) whole cells (x, y)."""
    y, x = np.unravel_index(heatmaps.reshape(*heatmaps.shape[:2], -1).argmax(-1), heatmaps.shape[2:])
    return np.stack((x, y), -1).astype(np.float32)


def loop_quarter(heatmaps: np.ndarray) -> np.ndarray:
    cells = loop_peaks(heatmaps)
    h, w = heatmaps.shape[2:]
    for b, k in np.ndindex(*heatmaps.shape[:2]):
        values, (x, y) = heatmaps[b, k], cells[b, k].astype(int)
        slope_x = values[y, x + 1] - values[y, x - 1] if 1 < x < w - 1 else 0.0
        slope_y = values[y + 1, x] - values[y - 1, x] if 1 < y < h - 1 else 0.0
        cells[b, k] += np.sign([slope_x, slope_y]) * 0.25
    return cells


def band(n: int, sigma: float, radius: int) -> np.ndarray:
    """The matrix that blurs n values with a Gaussian of 2 radius + 1 taps, 0 beyond the ends."""
    tap = np.arange(n)[:, None] - np.arange(n)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2)).sum()
    return (np.exp(-(tap**2) / (2 * sigma**2)) / kernel * (abs(tap) <= radius)).astype(np.float32)


def loop_dark(heatmaps: np.ndarray, reach: int = 2) -> np.ndarray:
    """Every map blurred as a whole by 11 taps (two BLAS products, about as fast as OpenCV), clipped, logged, one step.

    Second differences span ``reach`` cells each way: 2 in mmpose, 1 in posebook.
    """
    cells = loop_peaks(heatmaps)
    h, w = heatmaps.shape[2:]
    rows, columns = band(h, 2.0, 5), band(w, 2.0, 5)
    for b in range(len(heatmaps)):
        logs = np.empty_like(heatmaps[b])
        for k, values in enumerate(heatmaps[b]):
            blurred = rows @ values @ columns
            logs[k] = blurred * (values.max() / blurred.max())
        logs = np.log(np.maximum(logs, 1e-10))
        for k, log in enumerate(logs):
            x, y = cells[b, k].astype(int)
            if reach <= x < w - reach and reach <= y < h - reach:
                slope = np.array([log[y, x + 1] - log[y, x - 1], log[y + 1, x] - log[y - 1, x]]) / 2
                xx = (log[y, x + reach] - 2 * log[y, x] + log[y, x - reach]) / reach**2
                yy = (log[y + reach, x] - 2 * log[y, x] + log[y - reach, x]) / reach**2
                xy = (log[y + 1, x + 1] - log[y - 1, x + 1] - log[y + 1, x - 1] + log[y - 1, x - 1]) / 4
                if xx * yy - xy**2 != 0:
                    cells[b, k] -= np.linalg.inv(np.array([[xx, xy], [xy, yy]])) @ slope
    return cells


def loop_targets(cells: np.ndarray, hw: tuple[int, int], sigma: float) -> np.ndarray:
    """Unrounded Gaussians, one whole map of exponentials for each keypoint."""
    out = np.zeros((*cells.shape[:2], *hw), dtype=np.float32)
    x, y = np.arange(hw[1], dtype=np.float32), np.arange(hw[0], dtype=np.float32)[:, None]
    for b, k in np.ndindex(*cells.shape[:2]):
        cx, cy = cells[b, k]
        np.maximum(out[b, k], np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)), out=out[b, k])
    return out


# ---------------------------------------------------------------------------------------------------------------------
# The lines


def kornia_soft(logits: Tensor) -> Tensor:
    return kornia.spatial_expectation2d(kornia.spatial_softmax2d(logits), normalized_coordinates=False)


def dsntnn_soft(logits: Tensor) -> Tensor:
    return dsntnn.dsnt(dsntnn.flat_softmax(logits), normalized_coordinates=False)


def gradient(decoder: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    leaf = logits.detach().requires_grad_()
    decoder(leaf).square().sum().backward()
    return leaf.grad


def torch_argmax(heatmap: Tensor) -> Tensor:
    flat = heatmap.flatten(-2).argmax(-1)
    return torch.stack((flat % heatmap.shape[-1], flat // heatmap.shape[-1]), -1).to(heatmap.dtype)


def check(name: str, ours: Tensor, theirs: Tensor | np.ndarray, atol: float = 1e-4) -> bool:
    largest = (ours - torch.as_tensor(theirs)).abs().max().item()
    print(f"  {'equal' if largest <= atol else 'DIFFERS'}: {name}, {largest:.1e}")
    return largest <= atol


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few rounds: checks equality, times roughly")
    rounds = 3 if parser.parse_args().quick else 31

    draw = torch.Generator().manual_seed(0)
    cells = 4 + torch.rand(64, 17, 2, generator=draw) * torch.tensor([HW[1] - 9.0, HW[0] - 9.0])
    heatmap = gaussian_heatmap(cells, HW, sigma=SIGMA)
    logits = torch.log(heatmap + 1e-6)
    numbers, points = heatmap.numpy(), cells.numpy()
    spread = torch.full_like(cells, SIGMA)
    density = heatmap / heatmap.sum((-2, -1), keepdim=True)

    print("Same results?")
    equal = [
        check("argmax, torch", argmax(heatmap), torch_argmax(heatmap), atol=0),
        check("soft-argmax, kornia", soft_argmax(logits), kornia_soft(logits)),
        check("soft-argmax, dsntnn", soft_argmax(logits), dsntnn_soft(logits)),
        check("its gradient, kornia", gradient(soft_argmax, logits), gradient(kornia_soft, logits), 1e-3),
        check("its gradient, dsntnn", gradient(soft_argmax, logits), gradient(dsntnn_soft, logits), 1e-3),
        check("quarter shift, loop", refine_quarter(heatmap), loop_quarter(numbers), atol=0),
        check("DARK, loop with differences over one cell", refine_dark(heatmap, blur=2.0), loop_dark(numbers, 1)),
        check("targets, loop", heatmap, loop_targets(points, HW, SIGMA)),
        check("targets, kornia (sum 1)", density, kornia.render_gaussian2d(cells, spread, HW, False)),
    ]
    print("  for the eye: DARK with mmpose's differences over two cells is off by "
          f"{np.abs(loop_dark(numbers) - refine_dark(heatmap, blur=2.0).numpy()).max():.1e}")
    if not all(equal):
        return 1

    ours = {
        "argmax": lambda: argmax(heatmap),
        "soft-argmax": lambda: soft_argmax(logits),
        "soft-argmax, tau 0.5": lambda: soft_argmax(logits, 0.5),
        "soft-argmax + backward": lambda: gradient(soft_argmax, logits),
        "quarter shift": lambda: refine_quarter(heatmap),
        "DARK, blur 2": lambda: refine_dark(heatmap, blur=2.0),
        "targets": lambda: gaussian_heatmap(cells, HW, sigma=SIGMA),
    }
    peers = {  # line, peer: what to run, at least so many times slower
        ("argmax", "torch"): (lambda: torch_argmax(heatmap), 1),
        ("soft-argmax", "kornia"): (lambda: kornia_soft(logits), 2),
        ("soft-argmax", "dsntnn"): (lambda: dsntnn_soft(logits), 1),
        ("soft-argmax, tau 0.5", "kornia"): (
            lambda: kornia.spatial_expectation2d(kornia.spatial_softmax2d(logits, 0.5), False), 2),
        ("soft-argmax + backward", "kornia"): (lambda: gradient(kornia_soft, logits), 2),
        ("soft-argmax + backward", "dsntnn"): (lambda: gradient(dsntnn_soft, logits), 1),
        ("quarter shift", "mmpose's loop"): (lambda: loop_quarter(numbers), 7),
        ("DARK, blur 2", "mmpose's loop"): (lambda: loop_dark(numbers), 15),
        ("targets", "mmpose's loop"): (lambda: loop_targets(points, HW, SIGMA), 9),
        ("targets", "kornia"): (lambda: kornia.render_gaussian2d(cells, spread, HW, False), 1),
    }
    run = {"read": lambda: heatmap.sum(), **ours, **{pair: peer for pair, (peer, _) in peers.items()}}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        ms = interleave(run, rounds)
        print(f"\n{threads} thread{'s' * (threads > 1)}, medians of {rounds}; 1x read = {ms['read']:.2f} ms")
        print(f"{'work':24}{'posebook':>10}  {'peer':>24}{'ratio':>8}{'goal':>9}")

        def line(work: str, time: float, peer: str, ratio: float, goal: str, met: bool) -> None:
            print(f"{work:24}{time:7.2f} ms  {peer:>24}{ratio:7.1f}x{goal:>9}  {'met' if met else 'MISSED'}")

        reads = ms["argmax"] / ms["read"]
        line("argmax", ms["argmax"], f"read {ms['read']:.2f} ms", reads, "<= 5x", reads <= 5)
        for (work, peer), (_, goal) in peers.items():
            ratio = ms[work, peer] / ms[work]
            line(work, ms[work], f"{peer} {ms[work, peer]:.2f} ms", ratio, f">= {goal}x", ratio >= goal)
    return 0


if __name__ == "__main__":
    sys.exit(main())
