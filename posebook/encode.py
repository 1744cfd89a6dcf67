"""Targets from keypoints."""

import torch
from torch import Tensor

from posebook import _args


def gaussian_heatmap(cells: Tensor, hw: tuple[int, int], *, sigma: float) -> Tensor:
    r"""Gaussian bump with peak 1 at the exact, sub-cell keypoint: :math:`\exp(-\|u - c\|^2 / (2 \sigma^2))`.

    The center is not rounded, the bump is neither cut off nor normalized; its sum is about :math:`2 \pi \sigma^2`. A
    keypoint may lie outside the map. The bump is separable, so H + W exponentials are enough for H x W cells.

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
    wide = _args.widen(cells)  # bfloat16 cannot count beyond 256
    x, y = (torch.arange(n, dtype=wide.dtype, device=cells.device) for n in (hw[1], hw[0]))
    # torch.exp2 is faster, but its last bit depends on the place in memory: equal distances must give equal values
    bump_x = torch.exp((x - wide[..., 0, None]).square() / (-2 * sigma**2)).to(cells.dtype)  # (..., W)
    bump_y = torch.exp((y - wide[..., 1, None]).square() / (-2 * sigma**2)).to(cells.dtype)  # (..., H)
    return bump_y[..., :, None] * bump_x[..., None, :]


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
