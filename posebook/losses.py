r"""Training terms: one value for each keypoint, of which :func:`masked_mean` makes one number, or for each image.

A keypoint whose truth is not finite has no loss: it is NaN and passes no gradient. ``masked_mean`` drops it cleanly,
and where the mask was forgotten, the NaN shows it at once.
"""

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
    error = (_args.widen(heatmap) - target).square().mean((-2, -1)).to(torch.result_type(heatmap, target))
    return torch.where(known, error, torch.nan)


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


def _known(truth: Tensor, axes: int) -> tuple[Tensor, Tensor]:
    """Which keypoints have a finite truth, and the truth with 0 in place of the others: NaN * 0 is no gradient."""
    known = truth.isfinite().flatten(-axes).all(-1)
    return known, torch.where(known[(..., *[None] * axes)], truth, 0)
