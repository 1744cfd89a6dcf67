r"""Training terms: one value for each keypoint, of which :func:`masked_mean` makes one number, or for each image.

A keypoint whose truth is not finite has no loss: it is NaN and passes no gradient. ``masked_mean`` drops it cleanly,
and where the mask was forgotten, the NaN shows it at once.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from posebook import _args
from posebook.expectation import soft_argmax
from posebook.grid import Grid


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values where the mask is True; 0, with zero gradients, where it is True nowhere.

    Args:
        values: ``(...)``, one for each keypoint; NaN or infinite ones harm neither result nor gradient where masked.
        mask: ``(...)`` bool, True where the keypoint counts.

    Returns:
        A scalar in the dtype of ``values``. Every labeled keypoint of the batch weighs the same, in whichever image.

    Raises:
        ValueError: another shape of mask, or one that is not bool.

    See chapter 1, section 1.2.

    >>> masked_mean(torch.tensor([1., 2., float("nan")]), torch.tensor([True, True, False]))
    tensor(1.5000)
    """
    _args.floating("values", values, "(...)")
    _args.mask("mask", mask, values.shape)
    total = torch.where(mask, _args.widen(values), 0).sum()
    return (total / mask.sum().clamp(min=1)).to(values.dtype)


def coordinate_loss(found: Tensor, xy: Tensor) -> Tensor:
    """``|dx| + |dy|`` between found and true keypoints: the loss of direct regression.

    Args:
        found: ``(..., 2)`` px.
        xy: truth ``(..., 2)`` px.

    Returns:
        ``(...)`` px.

    Raises:
        ValueError: unequal shapes, not ``(..., 2)``, or an integer dtype.

    See chapter 1, section 1.2.

    >>> coordinate_loss(torch.tensor([3., 4.]), torch.tensor([1., 5.]))
    tensor(3.)
    """
    _args.points("found", found)
    _args.like("xy", xy, found)
    known, xy = _known(xy, 1)
    return torch.where(known, _distance(found, xy), torch.nan)


def integral_loss(logits: Tensor, xy: Tensor, *, grid: Grid, tau: float = 1.0) -> Tensor:
    """``|dx| + |dy|`` between the soft-argmax of the logits and the truth.

    Only the mean of the softmax is constrained, not its shape: two peaks on opposite sides of the truth cost nothing.

    Args:
        logits: scores ``(..., H, W)``.
        xy: truth ``(..., 2)`` px.
        grid: where the cells lie in the image.
        tau: temperature > 0 of the softmax, in units of ``logits``.

    Returns:
        ``(...)`` px.

    Raises:
        ValueError: as :func:`posebook.expectation.soft_argmax` and :func:`coordinate_loss`.

    See chapter 1, section 1.13.

    Source: Sun et al. 2018, arXiv:1711.08229.

    >>> integral_loss(torch.zeros(3, 5), torch.tensor([8., 5.5]), grid=Grid.index(4))    # flat: the center, (8, 4)
    tensor(1.5000)
    """
    _args.instance("grid", grid, Grid)
    return coordinate_loss(grid.to_image(soft_argmax(logits, tau)), xy)


def agreement_loss(first: Tensor, second: Tensor) -> Tensor:
    """``|dx| + |dy|`` between two heads of one network.

    It knows no truth: where both heads give the same wrong answer, value and gradient are 0. Use it only beside a term
    that compares with the truth.

    Args:
        first: ``(..., 2)`` px.
        second: ``(..., 2)`` px.

    Returns:
        ``(...)`` px; gradients reach both.

    Raises:
        ValueError: as :func:`coordinate_loss`.

    See chapter 1, section 1.13.

    >>> agreement_loss(torch.tensor([3., 4.]), torch.tensor([3., 6.]))
    tensor(2.)
    """
    _args.points("first", first)
    _args.like("second", second, first)
    return _distance(first, second)


def heatmap_loss(heatmap: Tensor, target: Tensor) -> Tensor:
    r"""Mean squared error over the cells of each map.

    Where labels scatter around the truth with standard deviation :math:`\nu`, the best answer to Gaussian targets of
    width :math:`\sigma` is no longer of peak 1 but wider and lower: peak :math:`\sigma^2 / (\sigma^2 + \nu^2)`.

    Args:
        heatmap, target: ``(..., H, W)``.

    Returns:
        ``(...)``.

    Raises:
        ValueError: unequal shapes, fewer than two axes, an empty map or an integer dtype.

    See chapter 1, section 1.6.

    Source: Tompson et al. 2014, arXiv:1406.2984.

    >>> heatmap_loss(torch.zeros(2, 2), torch.tensor([[0., 2.], [0., 0.]]))
    tensor(1.)
    """
    _args.maps("heatmap", heatmap)
    _args.like("target", target, heatmap)
    known, target = _known(target, 2)
    return _mean_square(heatmap, target, known)


def masked_heatmap_loss(heatmap: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    r"""Mean over the cells of each map of mask times squared error: what is not labeled costs nothing.

    The mean is over all H W cells, so that the loss is linear in the mask: :func:`heatmap_loss` where that is 1, the
    sum :math:`\sum M d^2` divided by H W, and right on average under a mask that is right on average.

    Args:
        heatmap: ``(..., H, W)``.
        target: ``(..., H, W)``; it may be NaN or infinite where the mask is 0.
        mask: weights, usually from 0 to 1, that broadcast against the maps: ``(..., H, W)``, or ``(..., 1, 1)``, one
            for each map; floating or bool.

    Returns:
        ``(...)``; NaN without gradient where a target is not finite and its mask not 0.

    Raises:
        ValueError: as :func:`heatmap_loss`, or a mask that does not broadcast.

    See chapter 4, section 4.12.

    >>> target, mask = torch.tensor([[2., float("nan")], [0., 4.]]), torch.tensor([[1., 0.], [1., 0.5]])
    >>> masked_heatmap_loss(torch.zeros(2, 2), target, mask)    # (4 + 8) / 4
    tensor(3.)
    """
    _args.maps("heatmap", heatmap)
    _args.like("target", target, heatmap)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        _args.floating("mask", mask, "(..., H, W)")
    _args.broadcasts("mask", mask, heatmap.shape)
    finite = target.isfinite()
    known = (finite | (mask == 0)).flatten(-2).all(-1)
    return _mean_square(heatmap, torch.where(finite, target, 0), known, torch.where(finite, mask, 0))


def unbiased_mask(mask: Tensor, *, flip: float) -> Tensor:
    r"""Weights in place of a mask whose labels are flipped with a known probability f: :math:`(M - f) / (1 - 2 f)`.

    Their mean over the flips is the right mask. So a loss that is linear in its mask is right on average:
    :func:`masked_heatmap_loss` becomes :math:`(L_\mathrm{flip} - f \sum d^2) / (1 - 2 f)`. The price is variance, and
    weights below 0: the loss of a single picture has no lower bound, and truth is needed under a mask of 0 too.

    Args:
        mask: ``(...)`` bool or floating, as it was labeled.
        flip: f from 0 to below 1/2.

    Returns:
        ``(...)`` in the dtype of ``mask``, float32 for bool.

    Raises:
        ValueError: an integer dtype or f outside.

    See chapter 4, section 4.14.

    Source: Natarajan et al., "Learning with Noisy Labels", NeurIPS 2013.

    >>> unbiased_mask(torch.tensor([True, False]), flip=0.25)    # 3/4 of 1.5 and 1/4 of -0.5 are 1
    tensor([ 1.5000, -0.5000])
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        _args.floating("mask", mask, "(...)")
    if not _args.is_number(flip) or not 0 <= flip < 0.5:
        _args.fail("flip", "a probability from 0 to below 1/2", _args.shown(flip))
    wide = _args.widen(mask)
    return ((wide - flip) / (1 - 2 * flip)).to(wide.dtype if mask.dtype == torch.bool else mask.dtype)


def cross_entropy_loss(logits: Tensor, prob: Tensor) -> Tensor:
    r"""Cross-entropy :math:`-\sum_u p_u \ln \mathrm{softmax}(z)_u` of a spatial distribution, in nats.

    Args:
        logits: scores ``(..., H, W)``.
        prob: target ``(..., H, W)`` of sum 1: a heatmap divided by its sum.

    Returns:
        ``(...)``. It is least where the softmax equals the target; there it is the target's entropy, which is not 0
        unless the target is a single cell.

    Raises:
        ValueError: as :func:`heatmap_loss`.

    See chapter 1, section 1.5.

    >>> cross_entropy_loss(torch.zeros(2, 2), torch.full((2, 2), 0.25))    # log(4)
    tensor(1.3863)
    """
    _args.maps("logits", logits)
    _args.like("prob", prob, logits)
    known, prob = _known(prob, 2)
    log = _args.widen(logits).flatten(-2).log_softmax(-1).view(prob.shape)
    loss = -(prob * log).sum((-2, -1)).to(torch.result_type(logits, prob))
    return torch.where(known, loss, torch.nan)


def simcc_loss(logits: tuple[Tensor, Tensor], target: tuple[Tensor, Tensor]) -> Tensor:
    """Cross-entropy in nats of the two one-dimensional distributions of SimCC, summed over the axes.

    Args:
        logits: scores of the bins ``((..., X), (..., Y))``.
        target: :func:`posebook.encode.simcc_targets`, ``((..., X), (..., Y))``, each of sum 1.

    Returns:
        ``(...)``.

    Raises:
        ValueError: unequal shapes or an integer dtype.

    Source: Li et al. 2022, arXiv:2107.03332, where the loss is the Kullback-Leibler divergence: it differs
    from this one by the target's entropy, a constant, so that the gradients are equal.

    >>> flat = torch.zeros(4), torch.zeros(2)
    >>> simcc_loss(flat, (torch.full((4,), 0.25), torch.full((2,), 0.5)))    # log(4) + log(2)
    tensor(2.0794)
    """
    return sum(cross_entropy_loss(z[..., None, :], p[..., None, :]) for z, p in zip(logits, target, strict=True))


def residual_nll_loss(found: Tensor, xy: Tensor, log_scale: Tensor, log_prob: Callable[[Tensor], Tensor]) -> Tensor:
    r"""Negative log-likelihood in nats of a keypoint, whose error over its scale has a given density q.

    :math:`-\ln q(\frac{x^* - x}{s}) + \ln s_x + \ln s_y`. A network that answers both x and s is paid for being sure,
    and pays where it was and is wrong.

    Args:
        found: ``(..., 2)`` px.
        xy: truth ``(..., 2)`` px.
        log_scale: natural logarithm of s in px, ``(..., 2)``, or ``(...)`` for both axes alike.
        log_prob: residuals ``(..., 2)`` to their log density ``(...)``, such as
            :meth:`posebook.uncertainty.ResidualFlow.log_prob`.

    Returns:
        ``(...)``; it may be below 0, as a density may be above 1.

    Raises:
        ValueError: unequal shapes, not ``(..., 2)``, or an integer dtype.

    Source: residual log-likelihood, Li et al. 2021, arXiv:2107.11291.

    >>> residual_nll_loss(torch.zeros(2), torch.tensor([3., 4.]), torch.tensor(0.), lambda z: -z.abs().sum(-1))
    tensor(7.)
    """
    _args.points("found", found)
    _args.like("xy", xy, found)
    _args.floating("log_scale", log_scale, "(..., 2) or (...)")
    if log_scale.shape not in (found.shape, found.shape[:-1]):
        _args.fail("log_scale", f"shape {(*found.shape,)} or {(*found.shape[:-1],)}", (*log_scale.shape,))
    known, xy = _known(xy, 1)
    axes = _args.widen(log_scale if log_scale.shape == found.shape else log_scale[..., None]).expand(found.shape)
    loss = axes.sum(-1) - log_prob((xy - _args.widen(found)) * torch.exp(-axes))
    return torch.where(known, loss.to(torch.result_type(found, xy)), torch.nan)


def gaussian_nll_loss(found: Tensor, xy: Tensor, log_variance: Tensor) -> Tensor:
    r"""Negative log-likelihood in nats of a Gaussian error, :math:`\frac12 \sum (e^2 / v + \ln v) + \ln 2 \pi`.

    It is least where v is the mean of :math:`e^2`. The gradient of a keypoint that is off grows with the error.

    Args:
        found: ``(..., 2)`` px.
        xy: truth ``(..., 2)`` px.
        log_variance: natural logarithm of v in px squared, ``(..., 2)``, or ``(...)`` for both axes alike.

    Returns:
        ``(...)``.

    Raises:
        ValueError: as :func:`residual_nll_loss`.

    Source: Nix and Weigend 1994; with images Kendall and Gal 2017, arXiv:1703.04977.

    >>> gaussian_nll_loss(torch.zeros(2), torch.tensor([1., 1.]), torch.tensor(0.))    # 1 + log(2 pi)
    tensor(2.8379)
    """
    _args.floating("log_variance", log_variance, "(..., 2) or (...)")
    half = _args.widen(log_variance) / 2
    return residual_nll_loss(found, xy, half, lambda z: z.square().sum(-1) / -2 - math.log(2 * math.pi))


def laplace_nll_loss(found: Tensor, xy: Tensor, log_scale: Tensor) -> Tensor:
    r"""Negative log-likelihood in nats of a Laplace error, :math:`\sum (|e| / b + \ln 2 b)`.

    It is least where b is the mean of :math:`|e|`. With b fixed it is :func:`coordinate_loss` but for constants: a
    keypoint that is far off pulls no harder than another.

    Args:
        found: ``(..., 2)`` px.
        xy: truth ``(..., 2)`` px.
        log_scale: natural logarithm of b in px, ``(..., 2)``, or ``(...)`` for both axes alike.

    Returns:
        ``(...)``.

    Raises:
        ValueError: as :func:`residual_nll_loss`.

    >>> laplace_nll_loss(torch.zeros(2), torch.tensor([3., 1.]), torch.tensor(0.))    # 4 + 2 log(2)
    tensor(5.3863)
    """
    return residual_nll_loss(found, xy, log_scale, lambda z: -z.abs().sum(-1) - 2 * math.log(2))


def attenuated_loss(loss: Tensor, log_variance: Tensor) -> Tensor:
    r"""A loss that the network may turn down, at a price: :math:`\frac{L}{2 s^2} + \ln s` with its own answer s.

    The best s squared is the mean of L. So where labels are wrong and L stays large, the weight :math:`1 / (2 s^2)`
    becomes small: a mask that is learned, and never 0.

    Args:
        loss: L ``(...)`` >= 0, such as a squared error or :func:`heatmap_loss`; NaN where there is no truth.
        log_variance: natural logarithm of s squared, ``(...)``.

    Returns:
        ``(...)``; NaN without gradient where the loss is not finite.

    Raises:
        ValueError: an integer dtype or unequal shapes.

    See chapter 4, section 4.14.

    Source: Kendall and Gal 2017, arXiv:1703.04977.

    >>> attenuated_loss(torch.tensor([4., 4.]), torch.tensor([0., 4.]).log1p())    # s squared 1 and 5
    tensor([2.0000, 1.2047])
    """
    _args.floating("loss", loss, "(...)")
    _args.like("log_variance", log_variance, loss)
    known = loss.isfinite()
    wide = _args.widen(log_variance)
    value = (torch.where(known, loss, 0) * torch.exp(-wide) + wide) / 2
    return torch.where(known, value.to(torch.result_type(loss, log_variance)), torch.nan)


def associative_embedding_loss(tags: Tensor, mask: Tensor, *, push: str = "hinge",
                               scale: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""Tags of one person pulled to their mean, the means of different people pushed apart.

    With d the Euclidean distance of two people's mean tags, a pair costs :math:`\max(0, m - d)` ("hinge": the same push
    at every d < m, none beyond) or :math:`e^{-d^2 / (2 s^2)}` ("gaussian": the strongest push at d = s, next to none
    where people lie on top of each other, and never quite none). Neither can part people whose mean tags are equal:
    there the gradient is 0.

    Args:
        tags: ``(..., P, K, D)``, read off the tag maps at the true keypoints; anything where the mask is False.
        mask: ``(..., P, K)`` bool, True where the keypoint is labeled.
        push: "hinge" or "gaussian".
        scale: > 0, in units of the tags: the margin m, or the standard deviation s.

    Returns:
        ``(pull, push)``, each ``(...)``, one for each image. pull: mean over people of the mean squared distance of
        their labeled tags to their mean tag. push: mean over the pairs of people. People of whom nothing is labeled
        do not count; where nobody or no pair is left, the value is 0.

    Raises:
        ValueError: not ``(..., P, K, D)``, an integer dtype, a mask of another shape, or a bad option.

    See chapter 3, section 3.3.

    Source: Newell, Huang and Deng 2017, arXiv:1611.05424, with a Gaussian push over all N * N ordered pairs, each
    person with itself too: 1 / N + (N - 1) / N times this one.

    >>> tags = torch.tensor([[[0.], [2.]], [[3.], [5.]]])    # means 1 and 4
    >>> associative_embedding_loss(tags, torch.ones(2, 2, dtype=torch.bool), scale=5)
    (tensor(1.), tensor(2.))
    """
    _args.one_of("push", push, ("hinge", "gaussian"))
    _args.positive("scale", scale)
    _args.floating("tags", tags, "(..., P, K, D)")
    if tags.ndim < 3 or tags.shape[-1] < 1:
        _args.fail("tags", "shape (..., P, K, D) with D >= 1", tuple(tags.shape))
    _args.mask("mask", mask, tags.shape[:-1])
    wide = torch.where(mask[..., None], _args.widen(tags), 0)
    labeled = mask.sum(-1)  # (..., P)
    means = wide.sum(-2) / labeled.clamp(min=1)[..., None]  # (..., P, D)
    square = (wide - means[..., None, :]).square().sum(-1)  # (..., P, K)
    pull = torch.where(mask, square, 0).sum(-1) / labeled.clamp(min=1)

    there = labeled > 0
    between = means[..., :, None, :] - means[..., None, :, :]  # (..., P, P, D)
    if push == "hinge":
        cost = (scale - torch.linalg.vector_norm(between, dim=-1)).clamp(min=0)  # its gradient is 0 at distance 0
    else:
        cost = torch.exp((between / scale).square().sum(-1) / -2)
    pairs = (there[..., :, None] & there[..., None, :]).triu(1)  # (..., P, P), each pair once
    apart = torch.where(pairs, cost, 0).sum((-2, -1)) / pairs.sum((-2, -1)).clamp(min=1)
    return (pull.sum(-1) / there.sum(-1).clamp(min=1)).to(tags.dtype), apart.to(tags.dtype)


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """``|dx| + |dy|``, rounded once."""
    return (_args.widen(first) - second).abs().sum(-1).to(torch.result_type(first, second))


def _mean_square(heatmap: Tensor, target: Tensor, known: Tensor, weight: Tensor | float = 1) -> Tensor:
    """Of each map, and NaN where it is not known."""
    error = (weight * (_args.widen(heatmap) - target).square()).mean((-2, -1))
    return torch.where(known, error.to(torch.result_type(heatmap, target)), torch.nan)


def _known(truth: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """Which keypoints have a finite truth, and the truth with 0 in place of the others: NaN * 0 is no gradient."""
    known = truth.isfinite().flatten(-axes).all(-1)
    return known, torch.where(known[(..., *[None] * axes)], truth, 0)
