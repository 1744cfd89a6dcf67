"""Decoders: what they add to a keypoint, axis by axis. Errors are estimate minus truth."""

import math
from dataclasses import dataclass
from typing import NamedTuple

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

    See chapter 2, section 2.3.

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
    """Error of :func:`posebook.decode.refine_quarter` on a symmetric noise-free peak: a grid of half the stride.

    See chapter 2, section 2.9.
    """
    return argmax_error(stride / 2)


class Distance(NamedTuple):
    """Of a Euclidean distance, in the stride's unit."""

    mean: float
    rms: float
    largest: float


def argmax_distance(stride: float) -> Distance:
    """Mean, root mean square and largest Euclidean distance in 2-D from a uniform point to its nearest grid point.

    See chapter 2, section 2.3.

    >>> [round(d, 3) for d in argmax_distance(4.0)]
    [1.53, 1.633, 2.828]
    """
    _args.positive("stride", stride)
    mean = stride * (math.sqrt(2) + math.asinh(1)) / 6
    return Distance(mean, rms=stride / math.sqrt(6), largest=stride / math.sqrt(2))


def integer_label_bias(stride: int) -> float:
    """Bias in px of argmax with whole-pixel labels, cell k at ``stride * k``, ties to the lower cell: -1/2 if even.

    See chapter 2, section 2.4.
    """
    _args.whole("stride", stride, 1)
    return -0.5 if stride % 2 == 0 else 0.0


def clamped_bias(stride: float, cells: int) -> float:
    """Bias in px over a whole image: x uniform on [0, cells * stride), grid points at ``stride * k``, none beyond.

    See chapter 2, section 2.4.
    """
    _args.positive("stride", stride)
    _args.positive("cells", cells)
    return -stride / (2 * cells)


def dithered_bias(x: Tensor, stride: float, noise: float) -> Tensor:
    r"""Expected snapping error at position x px when Gaussian noise moves the peak before it is snapped.

    :math:`\frac{s}{\pi} \sum_k \frac{(-1)^k}{k} e^{-2 \pi^2 k^2 \nu^2 / s^2} \sin(2 \pi k x / s)`: a sawtooth of
    amplitude s/2 that noise of standard deviation ``noise`` px > 0 (at least 0.02 strides) melts.

    See chapter 2, section 2.4.
    """
    _args.positive("stride", stride)
    _args.at_least("noise", noise, 0.02 * stride)
    x = _args.double(x)
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

    See chapter 2, section 2.6.
    """
    u = _args.double(u)
    n = _args.sent(_harmonics(q), u.device)
    weight = (-1) ** n / torch.sinh(2 * math.pi**2 * q**2 * n)
    return 2 * math.pi * q**2 * (torch.sin(2 * math.pi * u[..., None] * n) @ weight)


def alias_rms(q: float) -> float:
    r"""Root mean square of :func:`alias_error` over all phases, :math:`2 \pi q^2 \sqrt{\frac12 \sum 1 / \sinh^2}`.

    See chapter 2, section 2.6.

    >>> f"{alias_rms(0.5):.4f} {alias_rms(1.0):.1e}"
    '0.0160 2.4e-08'
    """
    return 2 * math.pi * q**2 * math.sqrt(torch.sinh(2 * math.pi**2 * q**2 * _harmonics(q)).pow(-2).sum().item() / 2)


def alias_amplitude(q: float) -> float:
    r"""Leading term of :func:`alias_error`, :math:`4 \pi q^2 e^{-2 \pi^2 q^2}`; to 0.02 % its maximum once q >= 0.5.

    See chapter 2, section 2.6.

    >>> f"{alias_amplitude(0.5):.4f}"
    '0.0226'
    """
    _args.positive("q", q)
    return 4 * math.pi * q**2 * math.exp(-2 * math.pi**2 * q**2)


def _harmonics(q: float) -> Tensor:
    _args.at_least("q", q, 0.02)
    last = 1 + math.ceil(40 / (2 * math.pi**2 * q**2))  # the rest is below 1e-17
    return torch.arange(1, last + 1, dtype=torch.float64, device="cpu")


def border_bias(distance: Tensor, sigma: float) -> Tensor:
    r"""Inward bias in cells of soft-argmax near one edge: :math:`\sigma\,\varphi(d/\sigma) / \Phi(d/\sigma)`.

    Args:
        distance: d >= 0 from the keypoint to the map's edge in cells (the edge lies half a cell outside the center of
            the first cell); the other edges are far away.
        sigma: standard deviation of the softmax in cells. The continuous approximation is good to about
            ``1 / (24 sigma)`` cells.

    See chapter 2, section 2.11.
    """
    _args.positive("sigma", sigma)
    z = _args.double(distance) / sigma
    if _args.readable(z) and (z < 0).any():
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

    See chapter 2, section 2.11.

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


# ---------------------------------------------------------------------------------------------------------------------
# Temperature: entropy and covariance of the softmax, and the variance of its mean, which is another thing

ENTROPY_CROSSOVER = 1 / math.sqrt(2 * math.pi * math.e)
"""Width q = 0.242 cells at which the entropy of a Gaussian on one axis falls below 0, which no grid's entropy can."""


def gaussian_entropy(covariance: Tensor) -> Tensor:
    r"""Entropy in nats of a wide softmax from its covariance ``(..., D, D)`` in cells squared.

    :math:`\frac D2 \ln(2 \pi e) + \frac12 \ln\det\Sigma`. For log-Gaussian logits with Hessian -A, :math:`\Sigma = \tau
    A^{-1}`; good to 1e-5 nats where every standard deviation is at least 0.9 cells and the border is far.

    See chapter 2, section 2.12.
    """
    return covariance.shape[-1] / 2 * math.log(2 * math.pi * math.e) + torch.linalg.slogdet(covariance.double())[1] / 2


class Spread(NamedTuple):
    """Entropy in nats and variance in cells squared, on one axis."""

    entropy: float | Tensor
    variance: float | Tensor


def sharp_spread(q: float) -> Spread:
    """Entropy in nats and variance in cells squared on one axis of a narrow softmax centered on a cell.

    ``2 (1 + a) e^-a`` and ``2 e^-a`` with ``a = 1 / (2 q^2)``, to 5 % for q <= 0.3. Centered
    between two cells, they tend to ln 2 and 1/4 instead: a tie does not sharpen.

    >>> "%.1e, %.1e" % sharp_spread(0.2)
    '1.0e-04, 7.5e-06'
    """
    _args.positive("q", q)
    a = 1 / (2 * q**2)
    return Spread(entropy=2 * (1 + a) * math.exp(-a), variance=2 * math.exp(-a))


def smooth_spread(u: Tensor, q: float) -> Spread:
    r"""Entropy in nats and variance in cells squared on one axis of a wide softmax at phase u, with the grid's ripple.

    With :math:`\epsilon = e^{-2 \pi^2 q^2} \cos 2 \pi u`: :math:`\frac12 \ln(2 \pi e q^2) + (2 - 4 \pi^2 q^2) \epsilon`
    and :math:`q^2 (1 - 8 \pi^2 q^2 \epsilon)`. Terms of the order :math:`\epsilon^2` are left out: 0.4 % at q = 0.5.
    """
    _args.positive("q", q)
    ripple = math.exp(-2 * math.pi**2 * q**2) * torch.cos(2 * math.pi * u.double())
    entropy = math.log(2 * math.pi * math.e * q**2) / 2 + (2 - 4 * math.pi**2 * q**2) * ripple
    return Spread(entropy, variance=q**2 * (1 - 8 * math.pi**2 * q**2 * ripple))


def noise_variance(noise: float, tau: float, q: float, *, dims: int = 2) -> float:
    r"""Variance in cells squared per axis of soft-argmax when white noise of this standard deviation is on the logits.

    To first order in ``noise / tau``, for a Gaussian softmax of width :math:`q = \sqrt\tau\,\sigma \ge 0.7` cells far
    from the border: :math:`\nu^2 q / (4 \sqrt\pi \tau^2)` on a line and :math:`\nu^2 / (8 \pi \tau^2)` in the plane,
    whatever the width. It falls as tau rises, while the softmax's own variance :math:`q^2` grows.

    See chapter 2, section 2.13.

    >>> round(math.sqrt(noise_variance(0.05, 0.5, 1.4)), 4)
    0.0199
    """
    _args.positive("tau", tau)
    _args.positive("q", q)
    return (noise / tau) ** 2 * q**2 / effective_votes(q, dims=dims) / 2


# ---------------------------------------------------------------------------------------------------------------------
# Asymmetry: scores exp((-x^2 / (2 sigma^2) + mu x^3 / 6) / tau), whose mode is 0

ASYMMETRY_EXPONENTS = {
    "mu and sigma in px": 0,
    "mu and sigma in cells": 1,
    "mu in px, sigma in cells": 4,
    "mu and sigma in px, three taps": 4,
}
"""Power of the stride (or of the dilation that widens the peak, or spaces the taps) in soft-argmax's bias in px."""


def asymmetry_bias(mu: float, sigma: float, tau: float = 1.0) -> float:
    r"""Mean minus mode in px, :math:`\mu \tau \sigma^4 / 2`, for mu per px^3 and sigma in px.

    The first order in :math:`\gamma = \mu \sigma^3 \sqrt\tau`; the next is a factor :math:`1 + \frac54 \gamma^2`.
    The density is meant within a window of many sigmas: on the whole line it diverges.

    See chapter 2, section 2.14.

    >>> asymmetry_bias(1e-3, 2.0)
    0.008
    """
    _args.positive("sigma", sigma)
    _args.positive("tau", tau)
    return mu * tau * sigma**4 / 2


def three_tap_bias(mu: float, sigma: float, spacing: float, tau: float = 1.0) -> float:
    r"""Mean minus mode in px, exactly, of a soft-argmax over three taps: the mode's and one ``spacing`` px each way.

    :math:`2 h A \sinh z / (1 + 2 A \cosh z)` with :math:`A = e^{-h^2 / (2 \sigma^2 \tau)}`, :math:`z = \mu h^3 / (6
    \tau)`: for a small spacing :math:`\mu h^4 / (9 \tau)`, so the fourth power of stride times dilation.

    See chapter 2, section 2.14.
    """
    for name, value in (("sigma", sigma), ("spacing", spacing), ("tau", tau)):
        _args.positive(name, value)
    a, z = math.exp(-(spacing**2) / (2 * sigma**2 * tau)), mu * spacing**3 / (6 * tau)
    return 2 * spacing * a * math.sinh(z) / (1 + 2 * a * math.cosh(z))


def dark_asymmetry_bias(u: Tensor, mu: float, sigma: float, stride: float) -> Tensor:
    r"""Error in px of DARK, whose Newton step aims at the mode: :math:`\mu \sigma^2 s^2 (\frac16 - \frac{u^2}2)`.

    To first order in mu, at phase u cells; the 1/6 comes from central differences, exact derivatives have none. Over
    a cell it averages to :math:`\mu \sigma^2 s^2 / 8`, which is :func:`asymmetry_bias` times
    :math:`s^2 / (4 \tau \sigma^2)`.
    """
    _args.positive("sigma", sigma)
    _args.positive("stride", stride)
    return mu * (sigma * stride) ** 2 * (1 / 6 - u.double().square() / 2)


# ---------------------------------------------------------------------------------------------------------------------
# Anchors, a stride apart, that vote: errors in px on one axis


def effective_votes(q: float, *, dims: int = 2) -> float:
    r"""Number of votes that a softmax of width q cells averages, :math:`1 / \sum p^2`, for q at least 0.7.

    :math:`2 \sqrt\pi q` on a line, its square :math:`4 \pi q^2` in the plane. Independent noise of standard deviation
    rho on the offsets leaves rho in the best anchor's vote, and rho over the root of this number in the mean.

    See chapter 2, section 2.15.

    >>> round(1.5 / math.sqrt(effective_votes(2.0, dims=1)), 3)
    0.563
    """
    _args.positive("q", q)
    if dims not in (1, 2):
        _args.fail("dims", "1 or 2", dims)
    return (2 * math.sqrt(math.pi) * q) ** dims


def shrunk_offset_rms(stride: float, shrink: float, q: float | None = None) -> float:
    r"""RMS error when each offset is (1 - shrink) of what it should be.

    :math:`\lambda s / \sqrt{12}` for the best anchor (q None); under a softmax of width q cells :math:`\lambda s` times
    :func:`alias_rms`, which is almost 0.
    """
    _args.positive("stride", stride)
    return abs(shrink) * stride * (1 / math.sqrt(12) if q is None else alias_rms(q))


def clipped_offset_rms(stride: float, reach: float) -> float:
    r"""RMS error of the best anchor's vote with offsets clipped to ``reach`` px: :math:`\sqrt{2 (s/2 - r)^3 / (3 s)}`.

    >>> round(clipped_offset_rms(4.0, 0.0), 3), clipped_offset_rms(4.0, 2.0)
    (1.155, 0.0)
    """
    _args.positive("stride", stride)
    _args.at_least("reach", reach, 0)
    return math.sqrt(2 * max(stride / 2 - reach, 0) ** 3 / (3 * stride))


def offset_break_even(stride: float, votes: float = 1.0) -> float:
    """Noise in px on the offsets above which argmax, s / sqrt 12 without offsets, is better; for so many votes."""
    _args.positive("stride", stride)
    _args.positive("votes", votes)
    return stride * math.sqrt(votes / 12)


# ---------------------------------------------------------------------------------------------------------------------
# Fusion of two unbiased heads with variances v1, v2 and correlation r


def optimal_weight(v1: float, v2: float, r: float = 0.0) -> float:
    r"""Weight of head 1 in the best mean, :math:`(v_2 - c) / (v_1 + v_2 - 2 c)` with :math:`c = r \sqrt{v_1 v_2}`.

    The worse head's weight is 0 at r = the ratio of the standard deviations, and negative beyond.

    See chapter 2, section 2.17.

    >>> optimal_weight(1.0, 4.0), optimal_weight(1.0, 4.0, 0.5)
    (0.8, 1.0)
    """
    c = _covariance(v1, v2, r)
    return (v2 - c) / (v1 + v2 - 2 * c)


def optimal_variance(v1: float, v2: float, r: float = 0.0) -> float:
    r"""Variance of the best mean, :math:`v_1 v_2 (1 - r^2) / (v_1 + v_2 - 2 r \sqrt{v_1 v_2})`.

    See chapter 2, section 2.17.
    """
    return v1 * v2 * (1 - r**2) / (v1 + v2 - 2 * _covariance(v1, v2, r))


def naive_variance(v1: float, v2: float, r: float) -> float:
    r"""Variance, in truth, of the mean that takes correlated heads for independent and reports ``optimal_variance``.

    :math:`v_1 v_2 (S + 2 r \sqrt{v_1 v_2}) / S^2` with :math:`S = v_1 + v_2`.

    See chapter 2, section 2.17.
    """
    return v1 * v2 / (v1 + v2) / overconfidence(v1, v2, r)


def overconfidence(v1: float, v2: float, r: float) -> float:
    r"""Reported over actual variance of naive fusion, :math:`S / (S + 2 r \sqrt{v_1 v_2})`; below 1 it is too sure.

    >>> round(overconfidence(1.0, 4.0, 0.8), 2)
    0.61
    """
    return (v1 + v2) / (v1 + v2 + 2 * _covariance(v1, v2, r))


def naive_limit(ratio: float) -> float:
    """Correlation above which naive fusion is worse than the better head alone, ``(1 + k^2) / (2 k^3)``.

    ``ratio`` k >= 1 is that of the standard deviations. For equal heads the limit is 1, which is never reached.

    See chapter 2, section 2.17.

    >>> naive_limit(2.0)
    0.3125
    """
    _args.at_least("ratio", ratio, 1)
    return (1 + ratio**2) / (2 * ratio**3)


def misjudged_inflation(weight: float, factor: float) -> float:
    r"""Actual over best variance when the other, independent head reports its variance ``factor`` times too large.

    :math:`1 + w (1 - w) (c - 1)^2 / (1 + w (c - 1))^2` with the first head's right weight w. It tends to 1 / w as c
    grows (head 1 alone), and to 1 / (1 - w) as c falls to 0 (the other alone).

    See chapter 2, section 2.17.

    >>> [round(misjudged_inflation(0.5, c), 2) for c in (1, 2, 4, 10)]
    [1.0, 1.11, 1.36, 1.67]
    """
    _args.positive("factor", factor)
    if not 0 <= weight <= 1:
        _args.fail("weight", "from 0 to 1", weight)
    return 1 + weight * (1 - weight) * (factor - 1) ** 2 / (1 + weight * (factor - 1)) ** 2


def _covariance(v1: float, v2: float, r: float) -> float:
    for name, value in (("v1", v1), ("v2", v2)):
        _args.positive(name, value)
    if not -1 < r < 1:
        _args.fail("r", "a correlation between -1 and 1", r)
    return r * math.sqrt(v1 * v2)
