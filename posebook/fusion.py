"""One estimate out of several: heads, flips or cameras that saw the same keypoint.

All of these are linear and unbiased. None of them protects against a head that fails while it reports a small variance.
"""

import torch
from torch import Tensor

from posebook import _args


def fuse_inverse_variance(estimates: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean of independent unbiased estimates with weights :math:`1 / v_m`: no other weights have less variance.

    Args:
        estimates: ``(M, ..., D)``, M heads, in any unit.
        variances: ``(M, ...)`` > 0 in that unit squared: each head's, on each of the D axes; inf leaves a head out,
            whatever it says, NaN too.

    Returns:
        fused ``(..., D)`` and its variance on each axis ``(...)``, :math:`1 / \sum_m 1 / v_m`.

    Raises:
        ValueError: an integer dtype, shapes that do not fit together, or a variance that is not > 0.

    See chapter 2, section 2.17.

    Source: the weighted mean of Gauss-Markov; :func:`fuse_correlated` where heads err together.

    >>> fuse_inverse_variance(torch.tensor([[0., 0.], [10., 6.]]), torch.tensor([1., 4.]))    # weights .8 and .2
    (tensor([2.0000, 1.2000]), tensor(0.8000))
    """
    _heads(estimates)
    _args.floating("variances", variances, "(M, ...)")
    if variances.shape != estimates.shape[:-1]:
        _args.fail("variances", f"shape {(*estimates.shape[:-1],)}, one per head", (*variances.shape,))
    if _args.readable(variances) and not (variances > 0).all():
        _args.fail("variances", "> 0", variances.min().item())
    v = _args.widen(variances)
    scale = v.detach().amin(0)  # 1 / v of a tiny variance would overflow
    out = v.isinf()
    ratio = torch.where(out, 0.0, scale / v)  # (M, ...)
    weight = ratio / ratio.sum(0)
    kept = torch.where(out[..., None], 0.0, _args.widen(estimates))  # 0 * NaN is NaN
    fused = (weight[..., None] * kept).sum(0)
    return fused.to(estimates.dtype), (scale / ratio.sum(0)).to(estimates.dtype)


def fuse_inverse_covariance(estimates: Tensor, covariances: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean of independent unbiased estimates with weights :math:`P S_m^{-1}`, where :math:`P = (\sum S_m^{-1})^{-1}`.

    Args:
        estimates: ``(M, ..., D)``, M heads.
        covariances: ``(M, ..., D, D)``, each head's, positive definite.

    Returns:
        fused ``(..., D)`` and its covariance P ``(..., D, D)``.

    Raises:
        ValueError: an integer dtype, shapes that do not fit together, or a covariance that is not symmetric and
            positive definite.

    >>> flat, tall = torch.diag(torch.tensor([4., 1.])), torch.diag(torch.tensor([1., 4.]))
    >>> fuse_inverse_covariance(torch.tensor([[0., 0.], [5., 6.]]), torch.stack((flat, tall)))
    (tensor([4.0000, 1.2000]), tensor([[0.8000, 0.0000],
                                       [0.0000, 0.8000]]))
    """
    _heads(estimates)
    d = estimates.shape[-1]
    _args.definite("covariances", covariances, (*estimates.shape, d))
    return _information_mean(estimates, torch.linalg.inv_ex(_args.widen(covariances)).inverse)


def fuse_correlated(estimates: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean of correlated unbiased heads, axis by axis: weights :math:`C^{-1} 1 / (1^\top C^{-1} 1)`.

    A head that is much worse than another and correlated with it gets a negative weight. That is right where C is
    right.

    Args:
        estimates: ``(M, ..., D)``, M heads.
        covariance: ``(..., M, M)`` of the heads' errors with each other, the same on each of the D axes.

    Returns:
        fused ``(..., D)`` and its variance on each axis ``(...)``.

    Raises:
        ValueError: an integer dtype, shapes that do not fit together, or a covariance that is not symmetric and
            positive definite.

    Source: the best linear unbiased estimate (Gauss, Markov, Aitken).

    >>> fuse_correlated(torch.tensor([[2.5], [9.]]), torch.tensor([[0.5, 0.5], [0.5, 2.]]))    # r = 1/2 = sqrt(0.5/2)
    (tensor([2.5000]), tensor(0.5000))
    """
    _heads(estimates)
    m = len(estimates)
    _args.definite("covariance", covariance, (*estimates.shape[1:-1], m, m))
    fused, variance = _best(_args.widen(estimates).movedim(0, -2), _args.widen(covariance), estimates.new_ones(m, 1))
    return fused[..., 0, :].to(estimates.dtype), variance[..., 0, 0].to(estimates.dtype)


def fuse_correlated_axes(estimates: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of correlated unbiased heads, all axes together, each head and axis correlated with each other.

    Args:
        estimates: ``(M, ..., D)``, M heads.
        covariance: ``(..., M, D, M, D)``: ``[..., m, i, n, j]`` is that of head m's error on axis i with head n's on j.

    Returns:
        fused ``(..., D)`` and its covariance ``(..., D, D)``.

    Raises:
        ValueError: an integer dtype, shapes that do not fit together, or a covariance that is not symmetric and
            positive definite.

    Source: as :func:`fuse_correlated`; for two heads Bar-Shalom and Campo 1986.

    >>> joint = torch.tensor([[1., 0.], [0., 4.]])[:, None, :, None] * torch.eye(2)[:, None, :]    # independent
    >>> fuse_correlated_axes(torch.tensor([[0., 0.], [10., 6.]]), joint)[0]
    tensor([2.0000, 1.2000])
    """
    _heads(estimates)
    m, d = len(estimates), estimates.shape[-1]
    _args.floating("covariance", covariance, "(..., M, D, M, D)")
    if covariance.shape != (*estimates.shape[1:-1], m, d, m, d):
        _args.fail("covariance", f"shape {(*estimates.shape[1:-1], m, d, m, d)}", (*covariance.shape,))
    joint = covariance.flatten(-2).flatten(-3, -2)  # (..., M*D, M*D)
    _args.definite("covariance", joint, joint.shape)
    stacked = _args.widen(estimates).movedim(0, -2).flatten(-2)[..., None]  # (..., M*D, 1)
    fused, out = _best(stacked, _args.widen(joint), torch.eye(d, device=joint.device).repeat(m, 1))
    return fused[..., 0].to(estimates.dtype), out.to(estimates.dtype)


def fuse_covariance_intersection(estimates: Tensor, covariances: Tensor) -> tuple[Tensor, Tensor]:
    r"""Fusion of two heads whose correlation nobody knows: never more certain than it should be, whatever the
    correlation is.

    :math:`P^{-1} = \omega A^{-1} + (1 - \omega) B^{-1}` with the :math:`\omega` in [0, 1] of least **trace** of P, the
    expected squared error at worst: in closed form, and 1/2 for equal covariances. Where one head is at least as sure
    in every direction, and always on a single axis (D = 1), it is simply that head: there is something to gain only
    where two ellipses cross.

    Args:
        estimates: ``(2, ..., D)``, two heads, D = 1 or 2; for axes each by itself, make them leading axes with D = 1.
        covariances: ``(2, ..., D, D)``, each head's, positive definite.

    Returns:
        fused ``(..., D)`` and the covariance P ``(..., D, D)``, never below the actual one.

    Raises:
        ValueError: not two heads, more than two axes, an integer dtype, shapes that do not fit together, or a
            covariance that is not symmetric and positive definite.

    Source: Julier and Uhlmann, "A non-divergent estimation algorithm in the presence of unknown correlations", ACC
    1997; for two heads no smaller bound exists (Reinhardt et al. 2015).

    >>> flat, tall = torch.diag(torch.tensor([4., 1.])), torch.diag(torch.tensor([1., 4.]))
    >>> fuse_covariance_intersection(torch.tensor([[0., 0.], [5., 6.]]), torch.stack((flat, tall)))
    (tensor([4.0000, 1.2000]), tensor([[1.6000, 0.0000],
                                       [0.0000, 1.6000]]))
    """
    _heads(estimates)
    if len(estimates) != 2 or estimates.shape[-1] > 2:
        _args.fail("estimates", "shape (2, ..., D), D at most 2", (*estimates.shape,))
    _args.definite("covariances", covariances, (*estimates.shape, estimates.shape[-1]))
    x, y = torch.linalg.inv_ex(_args.widen(covariances)).inverse  # (..., D, D) each
    omega = (_least_trace(x, y) if x.shape[-1] == 2 else _larger(x, y)[..., 0, 0])[..., None, None]
    return _information_mean(estimates, torch.stack((omega * x, (1 - omega) * y)))


def _least_trace(x: Tensor, y: Tensor) -> Tensor:
    """The weight of x ``(..., 2, 2)`` in [0, 1] for which the inverse of the mean of x and y has the least trace.

    That trace is a ratio of polynomials in the weight w, (t0 + t1 w) / (d0 + d1 w + d2 w^2). Where neither matrix
    dominates (d2 < 0) it is convex, with its bottom at the root of t1 d2 w^2 + 2 t0 d2 w + (t0 d1 - t1 d0).
    """
    scale = torch.maximum(*(m.detach().diagonal(dim1=-2, dim2=-1).amax(-1) for m in (x, y)))[..., None, None]
    x, y = x / scale, y / scale  # the unit changes nothing, but third powers of it would overflow
    z = x - y
    t0, t1 = (m.diagonal(dim1=-2, dim2=-1).sum(-1) for m in (y, z))
    d0, d2 = (m[..., 0, 0] * m[..., 1, 1] - m[..., 0, 1] * m[..., 1, 0] for m in (y, z))
    d1 = y[..., 0, 0] * z[..., 1, 1] + y[..., 1, 1] * z[..., 0, 0] - 2 * y[..., 0, 1] * z[..., 0, 1]
    cross = d2 < 0
    d2 = torch.where(cross, d2, -1.0)
    constant = t0 * d1 - t1 * d0
    root = torch.where(cross, (t0 * d2).square() - t1 * d2 * constant, 1.0).clamp(min=0).sqrt()
    return torch.where(cross, (-constant / (t0 * d2 - root)).clamp(0, 1), _larger(t0 + t1, t0))


def _larger(x: Tensor, y: Tensor) -> Tensor:
    """1 where x > y, 0 where x < y, 1/2 where they are equal."""
    return (1 + (x - y).detach().sign()) / 2


def _information_mean(estimates: Tensor, information: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of heads ``(M, ..., D)`` weighted by information matrices ``(M, ..., D, D)``."""
    covariance = torch.linalg.inv_ex(information.sum(0)).inverse
    with _args.exact(covariance.device):
        fused = covariance @ (information @ estimates.to(information.dtype)[..., None]).sum(0)
    return fused[..., 0].to(estimates.dtype), covariance.to(estimates.dtype)


def _best(stacked: Tensor, covariance: Tensor, design: Tensor) -> tuple[Tensor, Tensor]:
    """Best linear unbiased estimate of b in ``stacked = design @ b + error``: ``(..., D, R)``, and its covariance."""
    design = design.to(stacked)
    design = design.expand(*covariance.shape[:-1], design.shape[-1])
    weighed = torch.linalg.solve_ex(covariance, design)[0]  # C^-1 design
    with _args.exact(stacked.device):
        out = torch.linalg.inv_ex(design.mT @ weighed).inverse
        return out @ (weighed.mT @ stacked), out


def _heads(estimates: Tensor) -> None:
    _args.floating("estimates", estimates, "(M, ..., D)")
    if estimates.ndim < 2 or estimates.shape[0] < 1 or estimates.shape[-1] < 1:
        _args.fail("estimates", "shape (M, ..., D) with M, D >= 1", (*estimates.shape,))
