"""How far off: errors in pixels, and the fraction that is close enough."""

import torch
from torch import Tensor

from posebook import _args


def epe(found: Tensor, xy: Tensor) -> Tensor:
    """End-point error: the Euclidean distance of each keypoint from its truth.

    Not reduced, because the mean follows a few left-right swaps and the median does not: say which one you quote, and
    over which keypoints.

    Args:
        found: ``(..., 2)``, (x, y) px.
        xy: truth ``(..., 2)`` px.

    Returns:
        ``(...)`` px; NaN where either is.

    Raises:
        ValueError: unequal shapes, not ``(..., 2)``, or an integer dtype.

    See chapter 1, section 1.2.

    >>> epe(torch.tensor([3., 4.]), torch.zeros(2))
    tensor(5.)
    """
    _args.points("found", found)
    _args.like("xy", xy, found)
    return torch.linalg.vector_norm(_args.widen(found) - xy, dim=-1).to(torch.result_type(found, xy))


def pck(found: Tensor, xy: Tensor, mask: Tensor, *, threshold: float | Tensor) -> Tensor:
    """Percentage of correct keypoints, as a fraction: those at most ``threshold`` from their truth.

    The threshold is what papers differ in: 0.2 of the larger side of the person's box (Yang and Ramanan), half a head
    (PCKh of the MPII data set), a part of the torso. Compute it for each person and say which.

    Args:
        found: ``(..., 2)``, (x, y) px; not finite is not correct.
        xy: truth ``(..., 2)`` px; anything where the mask is False.
        mask: ``(...)`` bool, True where the keypoint counts.
        threshold: px > 0; a number, or a tensor that broadcasts against ``mask``, such as ``(B, 1)``: one per person.

    Returns:
        A scalar from 0 to 1 over all keypoints that count; NaN if none does.

    Raises:
        ValueError: as :func:`epe`, a mask of another shape or dtype, or a threshold that is not > 0.

    Source: Yang and Ramanan, "Articulated human detection with flexible mixtures of parts", PAMI 2013.

    >>> found, mask = torch.tensor([[0., 0.], [3., 4.], [9., 9.]]), torch.tensor([True, True, False])
    >>> pck(found, torch.zeros(3, 2), mask, threshold=2.0)
    tensor(0.5000)
    """
    error = epe(found, xy)
    _args.mask("mask", mask, error.shape)
    if not isinstance(threshold, Tensor):
        _args.positive("threshold", threshold)
    else:
        _args.broadcasts("threshold", threshold, error.shape)
        if _args.readable(threshold) and not (threshold > 0).all():
            _args.fail("threshold", "> 0", "values that are not")
    correct = (error <= threshold) & mask  # NaN is not correct
    return (_args.widen(correct.sum()) / mask.sum()).to(error.dtype)  # half precision cannot count so far
