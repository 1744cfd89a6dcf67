"""Soft-argmax on a CUDA card by two programs of Triton: maps are read, and read again as their gradient is written.

That is what any gradient must move at the least: a map of softmax, which the plain form of
:mod:`posebook.expectation` keeps, is never stored. Triton compiles them once for each size of maps, in about a second,
and keeps that on disk. Only that module imports this one, as Triton is not everywhere.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_AT_ONCE = 8192  # cells of a map that a program holds; of larger maps it reads fewer at a time, which is faster


@triton.jit
def _forward(logits, mean, kept, per_tau, CELLS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """For a map: mean cell (x, y), the largest of its logits z, and the sum of e^((z - largest) / tau)."""
    image = tl.program_id(0)
    lane = tl.arange(0, BLOCK)
    largest, nothing = -float("inf"), tl.zeros([BLOCK], tl.float32)
    total, sum_x, sum_y = nothing, nothing, nothing
    for first in range(0, CELLS, BLOCK):
        cell = first + lane
        z = tl.load(logits + image.to(tl.int64) * CELLS + cell, cell < CELLS, -float("inf")).to(tl.float32)
        before, largest = largest, tl.maximum(largest, tl.max(z))
        weight = tl.where(z == -float("inf"), 0.0, tl.exp((z - largest) * per_tau))
        faded = tl.where(before == -float("inf"), 0.0, tl.exp((before - largest) * per_tau))
        total = total * faded + weight
        sum_x = sum_x * faded + weight * (cell % WIDTH)
        sum_y = sum_y * faded + weight * (cell // WIDTH)
    total = tl.sum(total)
    tl.store(mean + 2 * image, tl.sum(sum_x) / total)
    tl.store(mean + 2 * image + 1, tl.sum(sum_y) / total)
    tl.store(kept + 2 * image, largest)
    tl.store(kept + 2 * image + 1, total)


@triton.jit
def _backward(logits, mean, kept, of_mean, of_logits, per_tau,
              CELLS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    """p (u - mean) . g / tau for a block of a map's cells u, g being the gradient of its mean."""
    image = tl.program_id(0)
    cell = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at = image.to(tl.int64) * CELLS + cell
    x, y = tl.load(mean + 2 * image), tl.load(mean + 2 * image + 1)
    largest, total = tl.load(kept + 2 * image), tl.load(kept + 2 * image + 1)
    gx, gy = tl.load(of_mean + 2 * image), tl.load(of_mean + 2 * image + 1)
    z = tl.load(logits + at, cell < CELLS, 0.0).to(tl.float32)
    prob = tl.exp((z - largest) * per_tau) * (per_tau / total)
    slope = prob * (gx * (cell % WIDTH - x) + gy * (cell // WIDTH - y))
    tl.store(of_logits + at, slope.to(of_logits.dtype.element_ty), cell < CELLS)


def forward(logits: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """Mean cells and what the gradient needs beside them, float32 ``(..., 2)``.

    ``logits`` are ``(..., H, W)``, contiguous, in float32 or half precision.
    """
    h, w = logits.shape[-2:]
    mean, kept = (logits.new_empty((*logits.shape[:-2], 2), dtype=torch.float32) for _ in range(2))
    block = triton.next_power_of_2(h * w)
    block, warps = (block, max(1, block // 1024)) if block <= _AT_ONCE else (1024, 4)
    if mean.numel():
        with torch.cuda.device_of(logits):
            _forward[(mean.numel() // 2,)](logits, mean, kept, 1 / float(tau), h * w, w, block, num_warps=warps)
    return mean, kept


def backward(logits: Tensor, mean: Tensor, kept: Tensor, of_mean: Tensor, tau: float) -> Tensor:
    """The gradient of the logits from that of the mean cells, contiguous, in float32."""
    h, w = logits.shape[-2:]
    of_logits = torch.empty_like(logits)
    block = min(2048, triton.next_power_of_2(h * w))
    if mean.numel():
        with torch.cuda.device_of(logits):
            _backward[(mean.numel() // 2, triton.cdiv(h * w, block))](
                logits, mean, kept, of_mean, of_logits, 1 / float(tau), h * w, w, block, num_warps=4)  # fmt: skip
    return of_logits
