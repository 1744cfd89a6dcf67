"""Does a detector's answer move with the image? How far it does not, why, and averages for which it does.

A detector is any function from images ``(..., C, H, W)`` to keypoints ``(..., K, 2)`` in px of the image given to it.
It is equivariant to a map g of images if ``detector(g(image)) = g(detector(image))``.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from posebook import _args
from posebook.skeleton import Skeleton
from posebook.warp import Affine, warp_image, warp_points

Detector = Callable[[Tensor], Tensor]


class Causes(NamedTuple):
    """What :func:`equivariance_causes` finds, each ``(..., K, 2)``, (x, y) in px of the moved image."""

    total: Tensor
    """Found in the moved image, less what was found before and moved along: the sum of the other three."""
    interpolation: Tensor
    """Found in the resampled image, less what is found in the one that was painted anew."""
    decoder: Tensor
    """What the decoder adds to the error of a finer one that reads the same maps."""
    network: Tensor
    """The rest: the error of the finer decoder, where nothing was interpolated."""


class Turned(NamedTuple):
    """What :func:`c4_select` keeps."""

    xy: Tensor
    """``(..., K, 2)`` px of the image as it is."""
    scores: Tensor
    """``(..., K)``."""
    turns: Tensor
    """``(...)`` int64: how many quarter turns counterclockwise the image had made."""


def equivariance_error(detector: Detector, image: Tensor, affine: Affine, hw: tuple[int, int] | None = None, *,
                       skeleton: Skeleton | None = None) -> Tensor:
    """How far what is found in the moved image lies from what was found before, moved along.

    Args:
        detector: from images ``(..., C, H, W)`` to ``(..., K, 2)`` px.
        image: ``(..., C, H, W)``.
        affine: of its pixels; at quarter turns and flips nothing is interpolated, so that the error is the detector's.
        hw: height and width of the moved image in px, beyond the image 0; None for the same.
        skeleton: its ``pairs`` are exchanged if the map mirrors; None exchanges nothing.

    Returns:
        ``(..., K)``, distances in px of the moved image.

    Raises:
        ValueError: as :func:`posebook.warp.warp_image` and :func:`posebook.warp.warp_points`.

    See chapter 4, section 4.4.

    >>> def corner(image):    # sure that the keypoint is at (0, 0)
    ...     return image.new_zeros(1, 2)
    >>> equivariance_error(corner, torch.rand(1, 8, 8), Affine.rotation(90, (8, 8)))    # should have moved to (0, 7)
    tensor([7.])
    """
    moved = warp_image(image, affine, tuple(image.shape[-2:]) if hw is None else hw)
    before = warp_points(detector(image), affine, skeleton=skeleton)
    return torch.linalg.vector_norm(detector(moved) - before, dim=-1)


def equivariance_causes(detector: Detector, image: Tensor, moved: Tensor, affine: Affine, *,
                        fine: Detector | None = None, skeleton: Skeleton | None = None) -> Causes:
    """The same error, its three causes told apart. Geometry is no cause: points move exactly.

    With D the detector and F the finer one, S the resampled image and E the exact one::

        D(S) - g D(image) = [D(S) - D(E)] + [(D(E) - g D(image)) - (F(E) - g F(image))] + [F(E) - g F(image)]
        total             = interpolation + decoder                                     + network

    These are vectors, and they add up as vectors; the sizes of uncorrelated ones add up in squares. Beyond the edge of
    the image both S and E are 0, so that interpolation is all that they differ in. The part of argmax against
    soft-argmax has a root mean square of about stride / sqrt(3) where maps have one peak, and more where they have
    several.

    Args:
        detector: from images ``(..., C, H, W)`` to ``(..., K, 2)`` px.
        image: ``(..., C, H, W)``.
        moved: ``(..., C, h, w)``, what it shows after the map, painted anew, as of
            :meth:`posebook.people.Scene.warped`.
        affine: of pixels.
        fine: the same network under a decoder that does not round, such as soft-argmax; None counts the decoder to the
            network.
        skeleton: its ``pairs`` are exchanged if the map mirrors; None exchanges nothing.

    Raises:
        ValueError: as :func:`equivariance_error`, or ``moved`` of other axes than ``image`` before the last two.

    See chapter 4, section 4.4.

    >>> image = torch.rand(1, 8, 8)
    >>> turn, corner = Affine.rotation(90, (8, 8)), lambda image: image.new_zeros(1, 2)
    >>> equivariance_causes(corner, image, torch.rot90(image, 1, (-2, -1)), turn).network
    tensor([[ 0., -7.]])
    """
    _args.maps("image", image)
    _args.maps("moved", moved)
    if moved.shape[:-2] != image.shape[:-2]:
        _args.fail("moved", f"shape {(*image.shape[:-2], 'h', 'w')}", tuple(moved.shape))
    hw = tuple(moved.shape[-2:])
    exact = moved * warp_image(torch.ones_like(image), affine, hw)

    def error(find: Detector) -> Tensor:
        return find(exact) - warp_points(find(image), affine, skeleton=skeleton)

    interpolation = detector(warp_image(image, affine, hw)) - detector(exact)
    without = error(detector)
    network = without if fine is None else error(fine)
    return Causes(interpolation + without, interpolation, without - network, network)


def c4_average(detector: Detector) -> Detector:
    r"""The mean of what a detector finds in the image and in its three quarter turns, each turned back.

    A test-time augmentation, exactly equivariant to quarter turns whatever the detector: a turned image is looked at in
    the same four positions.
    If errors in two positions have one variance and correlation :math:`\rho`, the mean's variance is
    :math:`(1 + 3 \rho) / 4` of it. But the mean of one right and three wrong answers is wrong: see :func:`c4_select`.

    Args:
        detector: from images ``(..., C, H, W)`` to ``(..., K, 2)`` px; it also gets ``(..., C, W, H)``.

    Returns:
        a detector. Averages may be nested: ``c4_average(flip_average(detector, ...))`` is equivariant to both.

    Networks that turn their filters instead are equivariant layer by layer: Cohen and Welling 2016, arXiv:1602.07576.

    See chapter 4, section 4.5.

    >>> corner = c4_average(lambda image: image.new_zeros(1, 2))
    >>> corner(torch.rand(1, 6, 9))    # each corner once: the center
    tensor([[4.0000, 2.5000]])
    """
    def average(image: Tensor) -> Tensor:
        return torch.stack([warp_points(detector(turned), back) for turned, back in _turns(image)]).mean(0)

    return average


def c4_select(detector: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Callable[[Tensor], Turned]:
    """Of the image and its three quarter turns the one in which a detector is most confident, turned back.

    For each image of a batch by itself, by the mean of its scores; among equal ones the first. Equivariant to quarter
    turns like :func:`c4_average` (but for equal ones), and right if the one right answer of four has the best score.

    Args:
        detector: from images ``(..., C, H, W)`` to keypoints ``(..., K, 2)`` px and scores ``(..., K)``; it also gets
            ``(..., C, W, H)``.

    Returns:
        from images to :class:`Turned`.

    Raises:
        ValueError: when called, scores of another shape.

    See chapter 4, section 4.5.

    >>> def left(image):    # a keypoint, and how bright it is in the leftmost column
    ...     return image.new_zeros(1, 2), image[:, :, 0].amax(-1)
    >>> bright = torch.zeros(1, 5, 5)
    >>> bright[0, 4, 4] = 1
    >>> c4_select(left)(bright).turns    # twice, and it lies at the left
    tensor(2)
    """
    def select(image: Tensor) -> Turned:
        found = []
        for turned, back in _turns(image):
            xy, scores = detector(turned)
            _args.points("xy", xy)
            if scores.shape != xy.shape[:-1]:
                _args.fail("scores", f"shape {tuple(xy.shape[:-1])}", tuple(scores.shape))
            found.append((warp_points(xy, back), scores))
        xy, scores = map(torch.stack, zip(*found, strict=True))  # (4, ..., K, 2), (4, ..., K)
        turns = scores.mean(-1).argmax(0)
        best = turns[None, ..., None].expand(1, *scores.shape[1:])
        return Turned(xy.gather(0, best[..., None].expand(1, *xy.shape[1:]))[0], scores.gather(0, best)[0], turns)

    return select


def flip_average(detector: Detector, *, skeleton: Skeleton | None = None) -> Detector:
    """The mean of what a detector finds in the image and in its mirror image, mirrored back; exactly flip equivariant.

    Args:
        detector: from images ``(..., C, H, W)`` to ``(..., K, 2)`` px.
        skeleton: its ``pairs`` are exchanged; None exchanges nothing.

    Returns:
        a detector.

    >>> corner = flip_average(lambda image: image.new_zeros(1, 2))
    >>> corner(torch.rand(1, 6, 9))
    tensor([[4., 0.]])
    """
    def average(image: Tensor) -> Tensor:
        flip, hw = Affine.flip(image.shape[-1]), tuple(image.shape[-2:])
        back = warp_points(detector(warp_image(image, flip, hw)), flip, skeleton=skeleton)
        return (detector(image) + back) / 2

    return average


def _turns(image: Tensor) -> list[tuple[Tensor, Affine]]:
    """The image after 0 to 3 quarter turns, and the map from its pixels back to those of the image."""
    _args.maps("image", image)
    hw = tuple(image.shape[-2:])
    turns = [(Affine.rotation(90 * k, hw, into=into), into) for k, into in enumerate((hw, hw[::-1]) * 2)]
    return [(warp_image(image, affine, into), affine.inverse()) for affine, into in turns]
