"""Closed forms that the chapters check against measurement. Tensors are float64; errors are estimate minus truth."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import _args

# ---------------------------------------------------------------------------------------------------------------------
# Argmax: a keypoint snapped to a grid


@dataclass(frozen=True)
class ErrorStats:
    """Error of a decoder on one axis, in the stride's unit: mean, variance, mean square, mean size, largest size."""

    bias: float
    variance: float
    mse: float
    mean_abs: float
    largest: float


def argmax_error(stride: float, *, convention: str = "round") -> ErrorStats:
    """Error of snapping a coordinate, uniform over whole cells, to a grid of the given stride.

    Noise-free, away from the border, symmetric peak. ``"round"`` takes the nearest grid point, ``"floor"`` the one
    below (which is what an integer division does).

    >>> argmax_error(4.0).variance, argmax_error(4.0, convention="floor").bias
    (1.3333333333333333, -2.0)
    """
    _args.positive("stride", stride)
    _args.one_of("convention", convention, ("round", "floor"))
    var = stride**2 / 12
    if convention == "round":
        return ErrorStats(0.0, var, var, stride / 4, stride / 2)
    return ErrorStats(-stride / 2, var, stride**2 / 3, stride / 2, stride)


def quarter_error(stride: float) -> ErrorStats:
    """Error of :func:`posebook.decode.refine_quarter` on a symmetric noise-free peak: a grid of half the stride."""
    return argmax_error(stride / 2)


def argmax_distance(stride: float) -> tuple[float, float, float]:
    """Mean, root mean square and largest Euclidean distance in 2-D from a uniform point to its nearest grid point.

    >>> [round(d, 3) for d in argmax_distance(4.0)]
    [1.53, 1.633, 2.828]
    """
    _args.positive("stride", stride)
    return stride * (math.sqrt(2) + math.asinh(1)) / 6, stride / math.sqrt(6), stride / math.sqrt(2)


def integer_label_bias(stride: int) -> float:
    """Bias in px of argmax with whole-pixel labels, cell k at ``stride * k``, ties to the lower cell: -1/2 if even."""
    _args.positive("stride", stride)
    if stride % 1:
        _args.fail("stride", "a whole number", stride)
    return -0.5 if stride % 2 == 0 else 0.0


def clamped_bias(stride: float, cells: int) -> float:
    """Bias in px over a whole image: x uniform on [0, cells * stride), grid points at ``stride * k``, none beyond."""
    _args.positive("stride", stride)
    _args.positive("cells", cells)
    return -stride / (2 * cells)


def dithered_bias(x: Tensor, stride: float, noise: float) -> Tensor:
    r"""Expected snapping error at position x px when Gaussian noise moves the peak before it is snapped.

    :math:`\frac{s}{\pi} \sum_k \frac{(-1)^k}{k} e^{-2 \pi^2 k^2 \nu^2 / s^2} \sin(2 \pi k x / s)`: a sawtooth of
    amplitude s/2 that noise of standard deviation ``noise`` px > 0 (at least 0.02 strides) melts.
    """
    _args.positive("stride", stride)
    _args.at_least("noise", noise, 0.02 * stride)
    x = torch.as_tensor(x, dtype=torch.float64)
    k = torch.arange(1, 1 + math.ceil(1.5 * stride / noise), dtype=torch.float64, device=x.device)
    weight = (-1) ** k / k * torch.exp(-2 * (math.pi * k * noise / stride) ** 2)
    return stride / math.pi * torch.sin(2 * math.pi * x[..., None] * k / stride) @ weight


# ---------------------------------------------------------------------------------------------------------------------
# Soft-argmax: the mean of a Gaussian that is known on a grid only


def alias_error(u: Tensor, q: float) -> Tensor:
    r"""Soft-argmax minus truth in cells, for a Gaussian peak of width q cells at phase u on an endless grid.

    :math:`2 \pi q^2 \sum_{n \ge 1} (-1)^n \sin(2 \pi n u) / \sinh(2 \pi^2 n q^2)`, the logarithmic derivative of a
    theta function.

    Args:
        u: keypoint minus its nearest cell, in cells; any shape.
        q: width of the Gaussian that the softmax samples, :math:`\sqrt{\tau}\,\sigma` in cells, at least 0.02. As
            q -> 0 the error tends to -u: argmax.

    Returns:
        error in cells, shape of ``u``, float64.
    """
    u = torch.as_tensor(u, dtype=torch.float64)
    n = _harmonics(q).to(u.device)
    weight = (-1) ** n / torch.sinh(2 * math.pi**2 * q**2 * n)
    return 2 * math.pi * q**2 * (torch.sin(2 * math.pi * u[..., None] * n) @ weight)


def alias_rms(q: float) -> float:
    r"""Root mean square of :func:`alias_error` over all phases, :math:`2 \pi q^2 \sqrt{\frac12 \sum 1 / \sinh^2}`.

    >>> f"{alias_rms(0.5):.4f} {alias_rms(1.0):.1e}"
    '0.0160 2.4e-08'
    """
    return 2 * math.pi * q**2 * math.sqrt(torch.sinh(2 * math.pi**2 * q**2 * _harmonics(q)).pow(-2).sum().item() / 2)


def alias_amplitude(q: float) -> float:
    r"""Leading term of :func:`alias_error`, :math:`4 \pi q^2 e^{-2 \pi^2 q^2}`; to 0.02 % its maximum once q >= 0.5.

    >>> f"{alias_amplitude(0.5):.4f}"
    '0.0226'
    """
    _args.positive("q", q)
    return 4 * math.pi * q**2 * math.exp(-2 * math.pi**2 * q**2)


def _harmonics(q: float) -> Tensor:
    _args.at_least("q", q, 0.02)
    return torch.arange(1, 2 + math.ceil(40 / (2 * math.pi**2 * q**2)), dtype=torch.float64)  # the rest is below 1e-17


def border_bias(distance: Tensor, sigma: float) -> Tensor:
    r"""Inward bias in cells of soft-argmax near one edge: :math:`\sigma\,\varphi(d/\sigma) / \Phi(d/\sigma)`.

    Args:
        distance: d >= 0 from the keypoint to the map's edge in cells (the edge lies half a cell outside the center of
            the first cell); the other edges are far away.
        sigma: standard deviation of the softmax in cells. The continuous approximation is good to about
            ``1 / (24 sigma)`` cells.
    """
    _args.positive("sigma", sigma)
    z = torch.as_tensor(distance, dtype=torch.float64) / sigma
    if (z < 0).any():
        _args.fail("distance", ">= 0, inside the map", z.min().item() * sigma)
    return sigma * torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) / torch.special.ndtr(z)


def background_pull(cells: int, sigma: float, tau: float) -> float:
    r"""Fraction of its way to the map's center that softmax of a raw 0-to-1 Gaussian heatmap drags a keypoint.

    :math:`N / C` with :math:`C = N + 2 \pi \sigma^2\,\mathrm{Ein}(1 / \tau)`; away from the border, and averaged over
    the keypoint's place within its cell, which matters only for :math:`\sqrt{\tau}\,\sigma` below some 0.6 cells.

    Args:
        cells: number N of cells of the map.
        sigma: standard deviation of the heatmap in cells.
        tau: temperature of the softmax, at least 0.01.

    >>> round(background_pull(64 * 64, 2.0, 1.0), 3)
    0.992
    """
    _args.positive("cells", cells)
    _args.positive("sigma", sigma)
    _args.at_least("tau", tau, 0.01)
    return cells / (cells + 2 * math.pi * sigma**2 * _ein(1 / tau))


def _ein(z: float) -> float:
    """Entire exponential integral, sum of z^m / (m m!)."""
    term, total, m = 1.0, 0.0, 0
    while term > 1e-17 * total or m < z:
        m += 1
        term *= z / m
        total += term / m
    return total
