"""Heatmaps that the tests of decoders share."""

import torch
from torch import Tensor

from posebook.encode import gaussian_heatmap

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def maps(*leading: int, hw=(9, 11), dtype=torch.float64, seed=0) -> Tensor:
    """Gaussians of peak 1 to 2 under multiplicative noise, all positive, peaks 3 or more cells from the border."""
    draw = torch.Generator().manual_seed(seed)
    low, high = torch.tensor([3.0, 3.0]), torch.tensor([hw[1] - 4.0, hw[0] - 4.0])
    cells = low + torch.rand(*leading, 2, generator=draw, dtype=torch.float64) * (high - low)
    noise = 1 + 0.1 * torch.rand(*leading, *hw, generator=draw, dtype=torch.float64)
    return (gaussian_heatmap(cells, hw, sigma=1.6) * noise + 0.01).to(dtype)


def anywhere(n: int, hw=(9, 11), *, sigma=1.7, seed=4) -> Tensor:
    """Gaussians with centers anywhere between the first and the last cell."""
    draw = torch.Generator().manual_seed(seed)
    centers = torch.rand(n, 2, generator=draw, dtype=torch.float64) * torch.tensor([hw[1] - 1.0, hw[0] - 1.0])
    return gaussian_heatmap(centers, hw, sigma=sigma)


def close(actual: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)
