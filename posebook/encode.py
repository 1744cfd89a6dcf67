"""Targets from keypoints."""

import torch
from torch import Tensor

from posebook import _args


def gaussian_heatmap(cells: Tensor, hw: tuple[int, int], *, sigma: float) -> Tensor:
    r"""Gaussian bump with peak 1 at the exact, sub-cell keypoint: :math:`\exp(-\|u - c\|^2 / (2 \sigma^2))`.

    Neither rounded, truncated nor normalized; the sum is about :math:`2 \pi \sigma^2`. A keypoint may lie outside the
    map. The bump is separable, so H + W exponentials are enough for H x W cells.

    Args:
        cells: keypoints ``(..., 2)``, (x, y) in cells (:meth:`posebook.grid.Grid.to_cells` makes them from pixels).
        hw: height and width of the map in cells.
        sigma: standard deviation > 0, in cells.

    Returns:
        ``(..., H, W)``, dtype and device of ``cells``.

    Raises:
        ValueError: ``cells`` not ``(..., 2)`` or of integer dtype, a bad size, ``sigma <= 0``.

    Source: Tompson et al. 2014, arXiv:1406.2984; unrounded centers: Zhang et al. 2020, arXiv:1910.06278.

    >>> gaussian_heatmap(torch.tensor([1., 0.]), (2, 3), sigma=1.0)
    tensor([[0.6065, 1.0000, 0.6065],
            [0.3679, 0.6065, 0.3679]])
    """
    _args.points("cells", cells)
    _args.size("hw", hw)
    _args.positive("sigma", sigma)
    wide = torch.promote_types(cells.dtype, torch.float32)  # bfloat16 cannot count beyond 256
    x, y = (torch.arange(n, dtype=wide, device=cells.device) for n in (hw[1], hw[0]))
    # torch.exp2 is faster, but its last bit depends on the place in memory: equal distances must give equal values
    bump_x = torch.exp((x - cells[..., 0, None]).square() / (-2 * sigma**2)).to(cells.dtype)  # (..., W)
    bump_y = torch.exp((y - cells[..., 1, None]).square() / (-2 * sigma**2)).to(cells.dtype)  # (..., H)
    return bump_y[..., :, None] * bump_x[..., None, :]
