"""Dropout, similarity and noisy masks: what a network says of its own error, and what missing labels do to a loss."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from posebook import _args

# ---------------------------------------------------------------------------------------------------------------------
# Dropout on the inputs of a linear layer, y = sum_i w_i x_i z_i / (1 - p), where z_i is 0 with probability p, else 1


class Moments(NamedTuple):
    """Mean and variance."""

    mean: Tensor
    variance: Tensor


def dropout_moments(w: Tensor, x: Tensor, p: float) -> Moments:
    r"""Mean and variance of a linear layer under dropout: :math:`\sum w_i x_i` and :math:`\frac p{1-p} \sum w_i^2
    x_i^2`.

    The variance depends on p, the weights and the input alone: no error of the network is in it. A bias of the layer
    adds to the mean and not to the variance.

    Args:
        w: weights ``(..., n)``.
        x: inputs ``(..., n)``, which broadcast against ``w``.
        p: probability from 0 to below 1 that an input is dropped; the others are divided by 1 - p.

    Returns:
        mean and variance ``(...)``.

    Raises:
        ValueError: no last axis of equal length, or p outside.

    See chapter 4, section 4.7.

    Source: dropout at test time, Gal and Ghahramani 2016, arXiv:1506.02142.

    >>> dropout_moments(torch.tensor([1., -2.]), torch.tensor([3., 1.]), 0.5)
    Moments(mean=tensor(1., dtype=torch.float64), variance=tensor(13., dtype=torch.float64))
    """
    terms = _terms(w, x, p)
    return Moments(mean=terms.sum(-1), variance=p / (1 - p) * terms.square().sum(-1))


def dropout_covariance(w: Tensor, x: Tensor, p: float) -> Tensor:
    r"""Covariance of outputs that share one mask, :math:`\frac p{1-p} \sum_i w_{ai} w_{bi} x_i^2`.

    Args:
        w: weights ``(..., M, n)`` of M outputs.
        x: inputs ``(n,)``.
        p: as :func:`dropout_moments`.

    Returns:
        ``(..., M, M)``; the variances of :func:`dropout_moments` are its diagonal.

    Raises:
        ValueError: as :func:`dropout_moments`.
    """
    terms = _terms(w, x, p)
    return p / (1 - p) * (terms @ terms.mT)


def dropout_kurtosis(w: Tensor, x: Tensor, p: float) -> Tensor:
    r"""Excess kurtosis, :math:`\frac{1 - 6 p q}{p q} \sum c_i^4 / (\sum c_i^2)^2` with c = w x and q = 1 - p.

    It is 0 for a Gaussian: many terms of like size bring it there. Arguments as :func:`dropout_moments`, but p > 0;
    NaN where nothing varies.
    """
    c2 = _terms(w, x, p).square()
    if p == 0:
        _args.fail("p", "> 0, as nothing varies without dropout", p)
    one = (1 - 6 * p * (1 - p)) / (p * (1 - p))  # of a single coin
    return one * c2.square().sum(-1) / c2.sum(-1).square()


def _terms(w: Tensor, x: Tensor, p: float) -> Tensor:
    if not _args.is_number(p) or not 0 <= p < 1:
        _args.fail("p", "a probability from 0 to below 1", _args.shown(p))
    _args.floating("w", w, "(..., n)")
    _args.floating("x", x, "(..., n)")
    if w.ndim < 1 or x.ndim < 1 or w.shape[-1] != x.shape[-1]:
        _args.fail("x", f"shape (..., n) with the n of w {tuple(w.shape)}", tuple(x.shape))
    return w.double() * x.double()


def sample_variance_std(samples: int, *, kurtosis: float = 0.0) -> float:
    r"""Relative standard deviation of a variance estimated from T samples, :math:`\sqrt{2 / (T - 1) + \kappa / T}`.

    Of the unbiased estimate, which divides by T - 1, and with the excess kurtosis :math:`\kappa` of one sample.

    Raises:
        ValueError: fewer than two samples, or a kurtosis below -2, which no distribution has.

    See chapter 4, section 4.7.

    >>> [round(sample_variance_std(t), 2) for t in (10, 51, 201)]
    [0.47, 0.2, 0.1]
    """
    _args.whole("samples", samples, 2)
    _args.at_least("kurtosis", kurtosis, -2)
    return math.sqrt(max(0.0, 2 / (samples - 1) + kurtosis / samples))


def samples_needed(std: float, *, kurtosis: float = 0.0) -> int:
    """How many samples make :func:`sample_variance_std` at most ``std`` > 0: the fewest, at least 2.

    >>> samples_needed(0.2), samples_needed(0.1)
    (51, 201)
    """
    _args.positive("std", std)
    _args.at_least("kurtosis", kurtosis, -2)
    b = std**2 + 2 + kurtosis  # std^2 T^2 - b T + kurtosis = 0
    root = (b + math.sqrt(max(0.0, b**2 - 4 * std**2 * kurtosis))) / (2 * std**2)
    return max(2, math.ceil(root * (1 - 1e-12)))


# ---------------------------------------------------------------------------------------------------------------------
# A keypoint's similarity exp(-|e|^2 / (2 kappa^2)), one term of OKS, where kappa = k sqrt(area) px, k = 2 oks_sigma


def similarity_cdf(similarity: Tensor, kappa: float, variance: float) -> Tensor:
    r"""Probability that the similarity is at most this, :math:`s^{\kappa^2 / v}`, for errors of variance v per axis.

    So the similarity is distributed as Beta(:math:`\kappa^2 / v`, 1), if the error is Gaussian without bias and alike
    on both axes.

    Args:
        similarity: from 0 to 1, any shape.
        kappa: px > 0, the distance at which the similarity is :math:`e^{-1/2}`.
        variance: v in px squared on each axis, > 0.

    >>> similarity_cdf(torch.tensor([0.25, 0.81]), 3.0, 18.0)    # kappa^2 = v / 2: a root
    tensor([0.5000, 0.9000], dtype=torch.float64)
    """
    _args.positive("kappa", kappa)
    _args.positive("variance", variance)
    return _args.double(similarity) ** (kappa**2 / variance)


def expected_oks(kappa: float | Tensor, covariance: Tensor, *, bias: Tensor | None = None) -> Tensor:
    r"""Mean similarity of a keypoint whose error is Gaussian.

    With covariance S and bias b it is :math:`\det(I + S / \kappa^2)^{-1/2} e^{-b^\top (\kappa^2 I + S)^{-1} b / 2}`;
    without bias and with :math:`S = v I`, :math:`\kappa^2 / (\kappa^2 + v)`. The mean over a person's labeled keypoints
    is the expected OKS, also where their errors depend on each other.

    Args:
        kappa: px > 0, a number or ``(...)``: k sqrt(area), with k twice the keypoint's ``oks_sigmas``.
        covariance: S ``(..., 2, 2)`` of the error in px squared, symmetric and positive semidefinite.
        bias: b ``(..., 2)``, the mean error in px; None is none.

    Returns:
        ``(...)``, from 0 to 1.

    Raises:
        ValueError: not ``(..., 2, 2)``, no covariance, kappa not > 0, or a bias that is not ``(..., 2)``.

    See chapter 4, section 4.8.

    >>> expected_oks(3.0, torch.tensor([[9., 0.], [0., 9.]]))
    tensor(0.5000, dtype=torch.float64)
    """
    if not isinstance(kappa, Tensor):
        _args.positive("kappa", kappa)
    elif _args.readable(kappa) and not (kappa > 0).all():
        _args.fail("kappa", "> 0", "values that are not")
    _args.floating("covariance", covariance, "(..., 2, 2)")
    if covariance.shape[-2:] != (2, 2):
        _args.fail("covariance", "shape (..., 2, 2)", tuple(covariance.shape))
    s = covariance.double()
    xx, yy, xy = s[..., 0, 0], s[..., 1, 1], s[..., 0, 1]
    size = (xx * yy).sqrt()
    valid = (xx >= 0) & (yy >= 0) & (xy.abs() <= 1.01 * size) & ((xy - s[..., 1, 0]).abs() <= 0.01 * size)  # round-off
    if _args.readable(s) and not valid.all():
        _args.fail("covariance", "symmetric and positive semidefinite", "values that are not")
    k2 = _args.sent(_args.double(kappa), s.device) ** 2
    det = k2 * (k2 + xx + yy) + (xx * yy - xy**2).clamp(min=0)
    mean = k2 / det.sqrt()
    if bias is None:
        return mean
    _args.points("bias", bias)
    bx, by = bias.double().unbind(-1)
    return mean * torch.exp(((k2 + yy) * bx**2 - 2 * xy * bx * by + (k2 + xx) * by**2) / (-2 * det))


# ---------------------------------------------------------------------------------------------------------------------
# Noise on a loss's mask, L = sum M c, with the cost c that each value of the mask multiplies: (heatmap - target)^2 of a
# cell, or the sum of a map where one value of the mask is for the whole map


def mask_noise_std(cost: Tensor, eta: float) -> Tensor:
    r"""Standard deviation of the loss when each value of the mask gets its own noise, :math:`\eta \sqrt{\sum c^2}`.

    With the squared error as the cost, :math:`\eta \sqrt{\sum d^4}`. Noise that all cells of a map share is much
    louder: give the map's sum as the cost. The noise has mean 0 and is not clipped, so the mean loss stays.

    Args:
        cost: ``(...)``, what each value of the mask multiplies.
        eta: standard deviation of the noise, >= 0.

    Returns:
        a scalar.

    Raises:
        ValueError: an integer dtype or eta < 0.

    See chapter 4, section 4.13.

    >>> square = torch.tensor([[9., 1.], [4., 4.]])
    >>> mask_noise_std(square, 0.5), mask_noise_std(square.sum((-2, -1)), 0.5)
    (tensor(5.3385, dtype=torch.float64), tensor(9., dtype=torch.float64))
    """
    _args.floating("cost", cost, "(...)")
    _args.at_least("eta", eta, 0)
    return eta * cost.double().square().sum().sqrt()


def masked_mean_noise_std(cost: Tensor, mask: Tensor, eta: float) -> Tensor:
    r"""The same for the masked mean :math:`\sum M c / \sum M`, to first order: :math:`\eta \sqrt{\sum (c - \bar c)^2} /
    \sum M`.

    The sum runs over all values, masked ones too, and :math:`\bar c` is the masked mean. Where all costs are alike,
    noise cancels.

    Args:
        cost: ``(...)``, what each value of the mask multiplies.
        mask: ``(...)`` from 0 to 1.
        eta: standard deviation of the noise, >= 0, small: sqrt(number of values) eta far below the mask's sum.

    Returns:
        a scalar.

    Raises:
        ValueError: an integer dtype, unequal shapes or eta < 0.
    """
    _args.floating("cost", cost, "(...)")
    _args.like("mask", mask, cost)
    c, m = cost.double(), mask.double()
    return mask_noise_std(c - (m * c).sum() / m.sum(), eta) / m.sum()


def flip_moments(cost: Tensor, mask: Tensor, flip: float) -> Moments:
    r"""Mean and variance of the loss when each label of the mask is flipped with this probability f.

    With :math:`S_1` and :math:`S_0` the costs under True and under False: :math:`S_1 + f (S_0 - S_1)` and
    :math:`f (1 - f) \sum c^2`.

    Args:
        cost: ``(...)``, what each label multiplies.
        mask: ``(...)`` bool, the right labels.
        flip: f from 0 to 1.

    Returns:
        mean and variance, scalars.

    Raises:
        ValueError: an integer dtype, a mask of another shape or dtype, or f outside.

    >>> flip_moments(torch.tensor([5., 1.]), torch.tensor([True, False]), 0.25)
    Moments(mean=tensor(4., dtype=torch.float64), variance=tensor(4.8750, dtype=torch.float64))
    """
    _args.floating("cost", cost, "(...)")
    _args.mask("mask", mask, cost.shape)
    _args.within("flip", flip, (0, 1))
    c = cost.double()
    chance = flip + (1 - 2 * flip) * mask.double()
    return Moments(mean=(chance * c).sum(), variance=flip * (1 - flip) * c.square().sum())


class ClipMoments(NamedTuple):
    """How far the mean moves, and the standard deviation."""

    shift: float
    std: float


def clip_moments(eta: float, *, mask: float = 1.0, noise: str = "gaussian") -> ClipMoments:
    r"""Of a mask's value after noise and clipping to [0, 1]: how far its mean has moved, and its standard deviation.

    For a mask of 1 and little Gaussian noise they are :math:`-\eta / \sqrt{2 \pi}` and :math:`0.584\,\eta`; for a
    mask of 0 the mean moves as far up. So clipping takes noise away, and lets what was masked into the loss.

    Args:
        eta: > 0, the standard deviation of "gaussian" noise, or the half width of "uniform" noise, whose standard
            deviation is eta / sqrt(3).
        mask: the value before, from 0 to 1.
        noise: "gaussian" or "uniform".

    Raises:
        ValueError: eta not > 0, a mask outside, or an unknown noise.

    See chapter 4, section 4.13.

    >>> shift, std = clip_moments(0.1)
    >>> round(shift, 4), round(std, 4)
    (-0.0399, 0.0584)
    """
    _args.positive("eta", eta)
    _args.within("mask", mask, (0, 1))
    _args.one_of("noise", noise, ("gaussian", "uniform"))
    low, high = -mask, 1 - mask  # the noise that is left lies between
    if noise == "uniform":
        low, high = max(low, -eta), min(high, eta)
        below, above = (low + eta) / (2 * eta), (eta - high) / (2 * eta)
        first, second = (high**2 - low**2) / (4 * eta), (high**3 - low**3) / (6 * eta)
    else:
        a, b = low / eta, high / eta
        below, above = _cdf(a), _cdf(-b)
        between = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2  # 1 - below - above would round it away
        first, second = eta * (_pdf(a) - _pdf(b)), eta**2 * (between + a * _pdf(a) - b * _pdf(b))
    mean = low * below + high * above + first
    return ClipMoments(shift=mean, std=math.sqrt(max(0.0, low**2 * below + high**2 * above + second - mean**2)))


def _pdf(z: float) -> float:
    return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _cdf(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
