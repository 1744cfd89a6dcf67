"""Filters over time, for keypoints that tremble from frame to frame."""

import math
from itertools import pairwise

import torch
from torch import Tensor

from posebook import _args


def one_euro(
    x: Tensor, rate: float, *, min_cutoff: float, beta: float, d_cutoff: float = 1.0, dim: int = -1
) -> Tensor:
    r"""A low-pass filter that opens as the signal moves: calm while it rests, little lag while it is fast.

    Each value by itself, from the frames up to now alone: :math:`y_t = a(c)\,x_t + (1 - a(c))\,y_{t-1}` with the cutoff
    :math:`c = \mathrm{min\_cutoff} + \mathrm{beta}\,|g_t|`, where :math:`g_t` is the speed
    :math:`\mathrm{rate}\,(x_t - x_{t-1})` behind such a filter of the cutoff ``d_cutoff``, and
    :math:`a(c) = 1 / (1 + \mathrm{rate} / (2 \pi c))`. It starts with :math:`y_0 = x_0` and :math:`g_0 = 0`. With
    ``beta`` at 0 it is a plain low-pass filter: a steady motion is :math:`1 / (2 \pi\,\mathrm{min\_cutoff})` s late.

    Args:
        x: any shape, floating, with the frames along ``dim``: ``(B, T, K, 2)`` px with ``dim=1``.
        rate: frames per second > 0.
        min_cutoff: cutoff at rest > 0, Hz: lower is calmer, and later.
        beta: how far speed opens the filter, >= 0, Hz per unit of ``x`` and second: higher is less late.
        d_cutoff: cutoff > 0 of the speed, Hz.
        dim: the axis of time.

    Returns:
        The shape and dtype of ``x``; differentiable. From a NaN on its own signal is NaN: fill gaps first.

    Raises:
        ValueError: an integer dtype, no such axis, no frame, or a number out of its range.

    See chapter 5, section 5.8.

    Source: Casiez, Roussel and Vogel 2012, "1 euro filter", CHI, doi:10.1145/2207676.2208639. The authors' newer code
    takes the speed from the last filtered value to x, which is more while the filter lags.

    >>> one_euro(torch.tensor([0.0, 8.0, 8.0, 8.0]), 2 * math.pi, min_cutoff=1.0, beta=0.0)    # a = 1/2
    tensor([0., 4., 6., 7.])
    """
    _args.floating("x", x, "with an axis of frames")
    if not _args.is_whole(dim) or not -x.ndim <= dim < x.ndim:
        _args.fail("dim", f"an axis of {tuple(x.shape)}", dim)
    if not x.shape[dim]:
        _args.fail("x", f"a frame or more along axis {dim}", tuple(x.shape))
    for name, value in (("rate", rate), ("min_cutoff", min_cutoff), ("d_cutoff", d_cutoff)):
        _args.positive(name, value)
    _args.at_least("beta", beta, 0)

    frames = _args.widen(x).unbind(dim)
    smooth, speed = [frames[0]], torch.zeros_like(frames[0])
    for before, now in pairwise(frames):
        speed = torch.lerp(speed, rate * (now - before), _share(d_cutoff, rate))
        smooth.append(torch.lerp(smooth[-1], now, _share(min_cutoff + beta * speed.abs(), rate)))
    return torch.stack(smooth, dim).to(x.dtype)


def _share(cutoff: Tensor | float, rate: float) -> Tensor | float:
    """What a first-order low-pass filter of this cutoff takes of a new frame."""
    return 1 / (1 + rate / (2 * math.pi * cutoff))
