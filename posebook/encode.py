"""Targets from keypoints."""

import math

import torch
from torch import Tensor

from posebook import _args


def gaussian_heatmap(cells: Tensor, hw: tuple[int, int], *, sigma: float) -> Tensor:
    r"""Gaussian bump with peak 1 at the exact, sub-cell keypoint: :math:`\exp(-\|u - c\|^2 / (2 \sigma^2))`.

    The center is not rounded, the bump is not normalized, and cut off only where float32 ends, below 4e-38; its sum is
    about :math:`2 \pi \sigma^2`. A keypoint may lie outside the map. The bump is separable: exponentials along both
    sides are enough for H x W cells.

    Args:
        cells: keypoints ``(..., 2)``, (x, y) in cells (:meth:`posebook.grid.Grid.to_cells` makes them from pixels).
        hw: height and width of the map in cells.
        sigma: standard deviation > 0, in cells.

    Returns:
        ``(..., H, W)``, dtype and device of ``cells``.

    Raises:
        ValueError: ``cells`` not ``(..., 2)`` or of integer dtype, a bad size, ``sigma <= 0``.

    See chapter 1, section 1.4.

    Source: Tompson et al. 2014, arXiv:1406.2984; unrounded centers: Zhang et al. 2020, arXiv:1910.06278.

    >>> gaussian_heatmap(torch.tensor([1., 0.]), (2, 3), sigma=1.0)
    tensor([[0.6065, 1.0000, 0.6065],
            [0.3679, 0.6065, 0.3679]])
    """
    _args.points("cells", cells)
    _args.size("hw", hw)
    _args.positive("sigma", sigma)
    bump = _bumps(cells, max(hw), sigma)  # one call for both axes, though the shorter one leaves some over
    return bump[..., 1, : hw[0], None] * bump[..., 0, None, : hw[1]]


def simcc_targets(xy: Tensor, hw: tuple[int, int], *, ratio: float, sigma: float) -> tuple[Tensor, Tensor]:
    r"""A keypoint as two one-dimensional distributions over bins, bin i at i / ratio px.

    :math:`p_i \propto \exp(-(i - \mathrm{ratio}\,x)^2 / (2 \sigma^2))`, with a center that is not rounded to a
    bin. The sum is 1 also near the edge: what would lie beyond the last bin is spread over the bins that exist.

    Args:
        xy: keypoints ``(..., 2)``, (x, y) in px.
        hw: height and width of the image in px.
        ratio: bins per pixel > 0; 2 makes bins of half a pixel.
        sigma: standard deviation > 0, in bins.

    Returns:
        ``((..., round(W * ratio)), (..., round(H * ratio)))``, for x and for y; dtype and device of ``xy``.

    Raises:
        ValueError: ``xy`` not ``(..., 2)`` or of integer dtype, a bad size, ``sigma`` or ``ratio`` not > 0, no bin.

    See chapter 1, section 1.9.

    Source: Li et al. 2022, arXiv:2107.03332.

    >>> for prob in simcc_targets(torch.tensor([1.0, 0.5]), (1, 2), ratio=2, sigma=1.0): print(prob)
    tensor([0.0576, 0.2583, 0.4258, 0.2583])
    tensor([0.3775, 0.6225])
    """
    _args.points("xy", xy)
    _args.size("hw", hw)
    _args.positive("ratio", ratio)
    _args.positive("sigma", sigma)
    if round(min(hw) * ratio) < 1:
        _args.fail("ratio", f"at least one bin on each side of {tuple(hw)}", ratio)
    wide = _args.widen(xy)
    targets = []
    for axis, n in enumerate((hw[1], hw[0])):
        bins = torch.arange(round(n * ratio), dtype=wide.dtype, device=xy.device)
        distance = (bins - wide[..., axis, None] * ratio) / sigma
        targets.append((distance.square() / -2).softmax(-1).to(xy.dtype))  # softmax: never 0 / 0, however far outside
    return targets[0], targets[1]


def people_heatmap(cells: Tensor, mask: Tensor, hw: tuple[int, int], *, sigma: float) -> Tensor:
    r"""The keypoints of several people in one map each: the maximum of their :func:`gaussian_heatmap`, not the sum.

    So each keypoint keeps its peak of 1. The sum of two bumps at most 2 sigma apart has a single peak, between them and
    up to 2 high; the maximum has one at each, and a kink halfway.

    Args:
        cells: ``(..., P, K, 2)``, (x, y) in cells; anything where the mask is False, NaN too.
        mask: ``(..., P, K)`` bool, True where the keypoint is labeled.
        hw: height and width of the map in cells.
        sigma: standard deviation > 0, in cells.

    Returns:
        ``(..., K, H, W)``, dtype and device of ``cells``; 0 where nobody is. A batch in which images have different
        numbers of people is padded with people of whom nothing is labeled.

    Raises:
        ValueError: as :func:`gaussian_heatmap`, no axis of people, or a mask of another shape.

    See chapter 3, section 3.1.

    Source: Cao et al. 2017, arXiv:1611.08050.

    >>> two, labeled = torch.tensor([[[0., 0.]], [[2., 0.]]]), torch.ones(2, 1, dtype=torch.bool)
    >>> people_heatmap(two, labeled, (1, 4), sigma=1.0)
    tensor([[[1.0000, 0.6065, 1.0000, 0.6065]]])
    """
    _people(cells, mask)
    _args.size("hw", hw)
    _args.positive("sigma", sigma)
    heatmap = cells.new_zeros(*cells.shape[:-3], cells.shape[-2], *hw)  # (..., K, H, W)
    for one in torch.where(mask[..., None], cells, torch.inf).unbind(-3):  # a bump at infinity is 0 everywhere
        heatmap = torch.maximum(heatmap, gaussian_heatmap(one, hw, sigma=sigma))
    return heatmap


def part_affinity_fields(cells: Tensor, mask: Tensor, hw: tuple[int, int], *, limbs: tuple[tuple[int, int], ...],
                         width: float) -> Tensor:
    r"""Vector fields that point along limbs: they say which keypoints belong to the same person.

    At each cell on a limb, the unit vector v from its first keypoint a to its second b; elsewhere 0. On the limb means
    :math:`0 \le v \cdot (u - a) \le |b - a|` and :math:`|v_\perp \cdot (u - a)| \le w`, a rectangle. Where several
    people's limbs of one kind lie on a cell, the mean of their vectors.

    Args:
        cells: ``(..., P, K, 2)``, (x, y) in cells; anything where the mask is False, NaN too.
        mask: ``(..., P, K)`` bool, True where the keypoint is labeled; a limb needs both.
        hw: height and width of the map in cells.
        limbs: E pairs (a, b) of keypoint indices, such as ``COCO_17.limbs``.
        width: half the rectangle's width w > 0, in cells.

    Returns:
        ``(..., E, 2, H, W)``, x and y of the vectors, dtype and device of ``cells``. A limb of length 0 leaves nothing.

    Raises:
        ValueError: as :func:`people_heatmap`; a limb that is no pair of two of the K keypoints; ``width <= 0``.

    See chapter 3, section 3.7.

    Source: Cao et al. 2017, arXiv:1611.08050.

    >>> arm, labeled = torch.tensor([[[1., 0.], [3., 0.]]]), torch.ones(1, 2, dtype=torch.bool)
    >>> part_affinity_fields(arm, labeled, (1, 5), limbs=((0, 1),), width=0.5)[0, 0]    # x of the vectors
    tensor([[0., 1., 1., 1., 0.]])
    """
    _people(cells, mask)
    _args.size("hw", hw)
    _args.positive("width", width)
    _args.index_pairs("limbs", limbs, cells.shape[-2])
    first, second = _args.constant(limbs, cells, torch.int64).view(-1, 2).unbind(1)  # (E,), (E,)
    wide = _args.widen(cells)
    total = wide.new_zeros(*cells.shape[:-3], len(limbs), 2, *hw)  # (..., E, 2, H, W)
    people = torch.zeros_like(total[..., :1, :, :])  # whose limbs lie on the cell
    for one, labeled in zip(wide.unbind(-3), mask.unbind(-2), strict=True):
        known = (labeled[..., first] & labeled[..., second])[..., None]  # (..., E, 1)
        a, b = (torch.where(known, one[..., ends, :], 0) for ends in (first, second))  # (..., E, 2)
        inside, unit = _limb(a, b - a, hw, width)
        total, people = total + inside * unit, people + inside
    return (total / people.clamp(min=1)).to(cells.dtype)


def _bumps(center: Tensor, n: int, sigma: float) -> Tensor:
    """Gaussians of peak 1, ``(..., n)``; 0 where float32 would fall below 4e-38: exp takes six times as long there."""
    wide = _args.widen(center)  # bfloat16 cannot count beyond 256
    place = torch.arange(n, dtype=wide.dtype, device=wide.device)
    power = (place - wide[..., None]).square() / (-2 * sigma**2)
    tiny = torch.finfo(wide.dtype).tiny
    # torch.exp2 is faster, but its last bit depends on the place in memory: equal distances must give equal values
    bump = power.clamp(min=math.log(2 * tiny)).exp()
    return torch.nn.functional.threshold(bump, 3 * tiny, 0.0).to(center.dtype)


def _limb(a: Tensor, limb: Tensor, hw: tuple[int, int], width: float) -> tuple[Tensor, Tensor]:
    """Which cells lie on limbs from a ``(..., 1, H, W)``, and the limbs' unit vectors ``(..., 2, 1, 1)``."""
    x, y = (torch.arange(n, dtype=a.dtype, device=a.device) for n in (hw[1], hw[0]))
    dx, dy = (x - a[..., 0, None])[..., None, :], (y - a[..., 1, None])[..., :, None]  # (..., 1, W), (..., H, 1)
    limb = limb[..., None, None]  # (..., 2, 1, 1)
    lx, ly = limb.unbind(-3)
    # not divided by the length: so it is exact where all are whole numbers
    dot, cross, square = lx * dx + ly * dy, lx * dy - ly * dx, lx.square() + ly.square()
    inside = (dot >= 0) & (dot <= square) & (cross.square() <= width * width * square) & (square > 0)  # (..., H, W)
    length = torch.linalg.vector_norm(limb, dim=-3, keepdim=True)
    return inside[..., None, :, :], limb / torch.where(length > 0, length, 1)


def _people(cells: Tensor, mask: Tensor) -> None:
    """Keypoints ``(..., P, K, 2)`` of people, and a mask ``(..., P, K)``."""
    _args.points("cells", cells)
    if cells.ndim < 3:
        _args.fail("cells", "shape (..., P, K, 2)", tuple(cells.shape))
    _args.mask("mask", mask, cells.shape[:-1])
