"""Keypoints from heatmaps, in cells; :class:`posebook.grid.Grid` turns cells into image pixels."""

import torch
from torch import Tensor

from posebook import _args

_BLOCK = 800_000  # values that soft_argmax holds at once on a CPU: so few stay in the cache


def argmax(heatmap: Tensor) -> Tensor:
    """Cell of the highest value; among equal ones the lowest flat index (the first row, then the first column).

    Args:
        heatmap: ``(..., H, W)``, any floating dtype.

    Returns:
        ``(..., 2)``, (x, y) in whole cells, in the dtype of ``heatmap`` (bfloat16 counts to 256); no gradient passes.

    Raises:
        ValueError: fewer than two axes, an empty map or an integer dtype.

    >>> argmax(torch.tensor([[0., 1., 0.], [0., 5., 0.]]))
    tensor([1., 1.])
    """
    _args.maps("heatmap", heatmap)
    return _peak(heatmap).to(heatmap.dtype)


def soft_argmax(logits: Tensor, tau: float = 1.0) -> Tensor:
    r"""Expected cell under a spatial softmax, :math:`\sum_u u\,\mathrm{softmax}(z / \tau)_u`.

    Args:
        logits: scores ``(..., H, W)``; not probabilities, and not a 0-to-1 heatmap, whose flat background pulls the
            mean to the map's center.
        tau: temperature > 0, in units of ``logits``; ``tau -> 0`` tends to :func:`argmax`, ties to their mean.

    Returns:
        ``(..., 2)``, (x, y) in cells; (0, 0) is the center of the top-left cell.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, or ``tau <= 0``.

    Source: Sun et al. 2018, arXiv:1711.08229; Nibali et al. 2018, arXiv:1801.07372.

    >>> soft_argmax(50 * torch.eye(3))    # three equal peaks: their mean
    tensor([1., 1.])
    """
    _args.maps("logits", logits)
    _args.positive("tau", tau)
    if logits.device.type != "cpu" or logits.requires_grad:  # a backward pass would only have to join the blocks
        return _mean_cell(logits, tau)
    h, w = logits.shape[-2:]
    blocks = logits.reshape(-1, h, w).split(max(1, _BLOCK // (h * w)))  # (N, H, W)
    return torch.cat([_mean_cell(block, tau) for block in blocks]).view(*logits.shape[:-2], 2)


def refine_quarter(heatmap: Tensor) -> Tensor:
    """Argmax moved a quarter of a cell towards the higher neighbor, on each axis by itself.

    Not moved on an axis where both neighbors are equal or where the peak lies in the first or last cell.

    Args:
        heatmap: ``(..., H, W)``, any floating dtype.

    Returns:
        ``(..., 2)``, (x, y) in cells, in the dtype of ``heatmap``; no gradient passes.

    Raises:
        ValueError: as :func:`argmax`.

    Source: the decoding of stacked hourglass networks, Newell et al. 2016, arXiv:1603.06937.

    >>> refine_quarter(torch.tensor([[0., 1., 3., 2., 0.]]))
    tensor([2.2500, 0.0000])
    """
    _args.maps("heatmap", heatmap)
    h, w = heatmap.shape[-2:]
    peak = _peak(heatmap)
    around = (peak[..., 1] * w + peak[..., 0])[..., None] + peak.new_tensor([-1, -w, 1, w])
    values = heatmap.flatten(-2).gather(-1, around.clamp(0, h * w - 1))
    before, after = values.split(2, dim=-1)  # (..., 2): left and above; right and below
    step = (after > before).int() - (before > after).int()
    return (peak + 0.25 * step * _inner(peak, h, w)).to(heatmap.dtype)


def refine_dark(heatmap: Tensor, *, blur: float = 0.0) -> Tensor:
    r"""Argmax plus one Newton step on the log of the heatmap: exact where the heatmap is a Gaussian.

    With :math:`L = \log h` and central differences at the peak, the step is :math:`-(D^2 L)^{-1} D L`, each axis
    clamped to [-1, 1]. The peak stays as it is where it lies in the first or last row or column, where its 3 x 3
    window (after the blur) holds a value <= 0, or where the Hessian is not negative definite.

    Args:
        heatmap: ``(..., H, W)``, any floating dtype, positive around the peak.
        blur: standard deviation >= 0, in cells, of a Gaussian that smooths the map before the logarithm (its kernel
            reaches ``round(2.5 * blur)`` cells, the map counts as 0 outside); 0 for none. The peak is that of the
            map before the blur. A blurred Gaussian is a Gaussian but for the kernel's ends: off by 2e-4 cells at most
            if neither it nor ``blur`` is narrower than 1 cell.

    Returns:
        ``(..., 2)``, (x, y) in cells, in the dtype of ``heatmap``; differentiable in the step.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, or ``blur < 0``.

    Source: DARK, Zhang et al. 2020, arXiv:1910.06278.

    >>> from posebook.encode import gaussian_heatmap
    >>> refine_dark(gaussian_heatmap(torch.tensor([3.3, 2.4]), (6, 8), sigma=1.5))
    tensor([3.3000, 2.4000])
    """
    _args.maps("heatmap", heatmap)
    _args.at_least("blur", blur, 0)
    peak = _peak(heatmap)
    wide = torch.promote_types(heatmap.dtype, torch.float32)
    kernel = _blur_rows(blur, wide, heatmap.device)  # (3, 2r+3)
    window = kernel @ _window(heatmap, peak, radius=kernel.shape[1] // 2).to(wide) @ kernel.T  # (..., 3, 3)

    usable = (window.amin((-2, -1)) > 0) & _inner(peak, *heatmap.shape[-2:]).all(-1)
    log = torch.where(usable[..., None, None], window, 1.0).log()
    up, mid, down = log.unbind(-2)
    gx, gy = (mid[..., 2] - mid[..., 0]) / 2, (down[..., 1] - up[..., 1]) / 2
    hxx = mid[..., 2] - 2 * mid[..., 1] + mid[..., 0]
    hyy = down[..., 1] - 2 * mid[..., 1] + up[..., 1]
    hxy = (down[..., 2] - down[..., 0] - up[..., 2] + up[..., 0]) / 4
    det = hxx * hyy - hxy * hxy
    usable = usable & (det > 0) & (hxx < 0)
    det = torch.where(usable, det, 1.0)
    step = torch.stack((hxy * gy - hyy * gx, hxy * gx - hxx * gy), dim=-1) / det[..., None]
    step = torch.where(usable[..., None], step.clamp(-1, 1), 0.0)
    return (peak + step).to(heatmap.dtype)


def _peak(heatmap: Tensor) -> Tensor:
    """Whole-number (x, y) ``(..., 2)`` of the first highest value."""
    flat = heatmap.detach().flatten(-2)
    if flat.device.type == "cpu" and flat.dtype != torch.bfloat16:
        index = torch.as_tensor(flat.numpy().argmax(-1), device="cpu")  # some ten times as fast as torch's own
    else:
        index = flat.argmax(-1)
    return torch.stack((index % heatmap.shape[-1], index // heatmap.shape[-1]), dim=-1)


def _inner(peak: Tensor, h: int, w: int) -> Tensor:
    """Whether each coordinate ``(..., 2)`` has a cell on either side."""
    return (peak > 0) & (peak < peak.new_tensor([w - 1, h - 1]))


def _mean_cell(logits: Tensor, tau: float) -> Tensor:
    h, w = logits.shape[-2:]
    wide = torch.promote_types(logits.dtype, torch.float32)  # half precision would round the sums
    x, y = (torch.arange(n, dtype=wide, device=logits.device) for n in (w, h))
    scaled = logits.to(wide) if tau == 1 else logits.to(wide) / tau  # a division is one more pass
    prob = scaled.flatten(-2).softmax(-1).reshape(logits.shape)
    return torch.stack((prob.sum(-2) @ x, prob.sum(-1) @ y), dim=-1).to(logits.dtype)


def _window(heatmap: Tensor, peak: Tensor, *, radius: int) -> Tensor:
    """Values around whole cells: ``(..., 2 radius + 1, 2 radius + 1)``, 0 outside the map."""
    h, w = heatmap.shape[-2:]
    reach = torch.arange(-radius, radius + 1, device=heatmap.device)
    columns, rows = (peak[..., None] + reach).unbind(-2)
    rows = torch.where((rows >= 0) & (rows < h), rows * w, -h * w)  # so low that no column lifts them to 0
    columns = torch.where((columns >= 0) & (columns < w), columns, -h * w)
    index = rows[..., :, None] + columns[..., None, :]
    inside = index >= 0
    values = heatmap.flatten(-2).gather(-1, index.clamp_(min=0).flatten(-2)).view(index.shape)
    return torch.where(inside, values, 0.0)


def _blur_rows(sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Three shifted copies of a normalized Gaussian kernel, ``(3, 2r + 3)``: they blur a window to 3 cells an axis."""
    radius = round(2.5 * sigma)
    reach = torch.arange(-radius, radius + 1, dtype=dtype, device=device)
    kernel = torch.exp(reach.square() / (-2 * sigma**2)) if radius else torch.ones_like(reach)
    kernel = kernel / kernel.sum()
    return torch.stack([torch.nn.functional.pad(kernel, (k, 2 - k)) for k in range(3)])
