"""Keypoints from the peaks of heatmaps, in cells; :class:`posebook.grid.Grid` turns cells into image pixels.

A map that holds a NaN has no peak: every decoder answers NaN for it, and for no other map of the batch.
What a softmax of the whole map expects, such as soft-argmax, is in :mod:`posebook.expectation`.
"""

import torch
from torch import Tensor

from posebook import _args
from posebook.expectation import soft_argmax, spatial_softmax


def argmax(heatmap: Tensor) -> Tensor:
    """Cell of the highest value; among equal ones the lowest flat index (the first row, then the first column).

    Args:
        heatmap: ``(..., H, W)``, any floating dtype.

    Returns:
        ``(..., 2)``, (x, y) in whole cells, in the dtype of ``heatmap`` (bfloat16 holds whole numbers up to 256); NaN
        for a map that holds one. No gradient passes.

    Raises:
        ValueError: fewer than two axes, an empty map or an integer dtype.

    See chapter 2, section 2.3.

    >>> argmax(torch.tensor([[0., 1., 0.], [0., 5., 0.]]))
    tensor([1., 1.])
    """
    _args.maps("heatmap", heatmap)
    peak, lost = _peak(heatmap)
    return peak.to(heatmap.dtype).masked_fill(lost, torch.nan)


def refine_quarter(heatmap: Tensor) -> Tensor:
    """Argmax moved a quarter of a cell towards the higher neighbor, on each axis by itself.

    On an axis where both neighbors are equal, or where the peak lies in the first or last cell, it is not moved.

    Args:
        heatmap: ``(..., H, W)``, any floating dtype.

    Returns:
        ``(..., 2)``, (x, y) in cells, in the dtype of ``heatmap``; no gradient passes.

    Raises:
        ValueError: as :func:`argmax`.

    See chapter 2, section 2.9.

    Source: the decoding of stacked hourglass networks, Newell et al. 2016, arXiv:1603.06937.

    >>> refine_quarter(torch.tensor([[0., 1., 3., 2., 0.]]))
    tensor([2.2500, 0.0000])
    """
    _args.maps("heatmap", heatmap)
    h, w = heatmap.shape[-2:]
    peak, lost = _peak(heatmap)
    around = (peak[..., 1] * w + peak[..., 0])[..., None] + _args.constant((-1, -w, 1, w), peak)
    values = heatmap.flatten(-2).gather(-1, around.clamp(0, h * w - 1))
    before, after = values.split(2, dim=-1)  # (..., 2): left and above; right and below
    step = (after > before).int() - (before > after).int()
    return (peak + 0.25 * step * _inner(peak, h, w)).to(heatmap.dtype).masked_fill(lost, torch.nan)


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

    See chapter 2, section 2.10.

    Source: DARK, Zhang et al. 2020, arXiv:1910.06278.

    >>> from posebook.encode import gaussian_heatmap
    >>> refine_dark(gaussian_heatmap(torch.tensor([3.3, 2.4]), (6, 8), sigma=1.5))
    tensor([3.3000, 2.4000])
    """
    _args.maps("heatmap", heatmap)
    _args.at_least("blur", blur, 0)
    peak, lost = _peak(heatmap)
    window = _blurred_window(heatmap, peak, blur)  # (3, 3, ...)

    usable = (window.amin((0, 1)) > 0) & _inner(peak, *heatmap.shape[-2:]).all(-1)
    log = torch.where(usable, window, 1.0).log()
    hxy = (log[2, 2] - log[2, 0] - log[0, 2] + log[0, 0]) / 4
    step = torch.where(usable[..., None], _newton(*_differences(log), hxy), 0.0)
    return (peak + step).to(heatmap.dtype).masked_fill(lost, torch.nan)


def refine_udp(heatmap: Tensor, *, blur: float = 2.0) -> Tensor:
    r"""Argmax plus one Newton step on the log of the blurred heatmap, as mmpose decodes UDP.

    Exact on a Gaussian, like :func:`refine_dark`. They differ in three ways: values below a thousandth of the largest
    of the 3 x 3 window are raised to it, and so do not stop the step; a peak at the border is refined too, with the
    map's edge repeated beyond it, which puts it half a cell outside (exactly so where nothing is tilted); and the mixed
    difference is that of one diagonal, :math:`(L_{++} + L_{--} + 2 L_{00} - L_{+0} - L_{-0} - L_{0+} - L_{0-}) / 2`:
    equal on a quadratic, but on other maps a horizontal flip changes it.

    mmpose blurs and clips whole maps where only windows are needed, clips at 0.001 and 50 (the same for a peak near
    1), inverts indefinite Hessians and does not clamp. Here each axis's step is clamped to [-1, 1], and the peak stays
    where the window holds nothing positive or the Hessian is not negative definite; so it often is at the border, as
    the blur counts 0 outside the map.

    Args:
        heatmap: ``(..., H, W)``, any floating dtype.
        blur: standard deviation >= 0 in cells, as in :func:`refine_dark`; 2 is mmpose's kernel of 11 cells.

    Returns:
        ``(..., 2)``, (x, y) in cells, in the dtype of ``heatmap``; differentiable in the step.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, or ``blur < 0``.

    See chapter 2, section 2.18.

    Source: UDP, Huang et al. 2020, arXiv:1911.07524; ``refine_keypoints_dark_udp`` of mmpose.

    >>> from posebook.encode import gaussian_heatmap
    >>> refine_udp(gaussian_heatmap(torch.tensor([6.3, 7.4]), (16, 14), sigma=1.5))
    tensor([6.3000, 7.4000])
    """
    _args.maps("heatmap", heatmap)
    _args.at_least("blur", blur, 0)
    peak, lost = _peak(heatmap)
    window = _blurred_window(heatmap, peak, blur)  # (3, 3, ...)
    window = _repeat_edge(window, peak, *heatmap.shape[-2:])

    top = window.amax((0, 1))
    log = torch.where(top > 0, torch.maximum(window, 1e-3 * top), 1.0).log()
    gx, gy, hxx, hyy = _differences(log)
    hxy = (log[2, 2] + log[0, 0] - 2 * log[1, 1] - hxx - hyy) / 2  # as in the formula above
    return (peak + _newton(gx, gy, hxx, hyy, hxy)).to(heatmap.dtype).masked_fill(lost, torch.nan)


def soft_argmax_window(logits: Tensor, tau: float = 1.0, *, radius: int) -> Tensor:
    """Soft-argmax of the cells at most ``radius`` away from the argmax, on either axis: other peaks do not count.

    What the window cuts off pulls the mean towards its whole cell, for a Gaussian of width q cells by less than 0.001
    cells once ``radius >= 4 q``. At the border the window is smaller, and the mean leans inwards as before.

    Args:
        logits: scores ``(..., H, W)``, as for :func:`soft_argmax`.
        tau: temperature > 0, in units of ``logits``.
        radius: whole number of cells >= 1; the window has ``2 radius + 1`` cells per axis.

    Returns:
        ``(..., 2)``, (x, y) in cells, in the dtype of ``logits``; differentiable except where the argmax jumps.

    Raises:
        ValueError: as :func:`soft_argmax`, or a radius that is no whole number >= 1.

    See chapter 2, section 2.11.

    >>> soft_argmax_window(torch.tensor([[9., 9., 0., 0., 0., 0., 8.]]), radius=2)    # the peak on the right is far off
    tensor([0.5001, 0.0000])
    """
    _args.maps("logits", logits)
    _args.positive("tau", tau)
    _args.whole("radius", radius, 1)
    radius = min(radius, max(logits.shape[-2:]))  # beyond the map there is nothing
    peak, _ = _peak(logits)  # a NaN is in its own window
    window, inside = _window(logits, peak, radius=radius)
    inside = inside[1][:, None] & inside[0]  # (2r+1, 2r+1, N)
    prob = spatial_softmax(torch.where(inside, _args.widen(window), -torch.inf).movedim(-1, 0), tau)
    reach = torch.arange(-radius, radius + 1, dtype=prob.dtype, device=prob.device)  # from the peak
    step = torch.stack(((prob.sum(-2) * reach).sum(-1), (prob.sum(-1) * reach).sum(-1)), dim=-1)
    return (peak + step.view(peak.shape)).to(logits.dtype)


def decode_anchors(scores: Tensor, anchors: Tensor, offsets: Tensor, *, mode: str = "hard") -> Tensor:
    r"""Keypoint from anchors that vote, each for its own place plus a regressed offset.

    Args:
        scores: logits ``(..., A)``, one per anchor.
        anchors: places ``(A, 2)``, (x, y) in cells or pixels.
        offsets: ``(..., A, 2)`` in the same unit, from the anchor to the keypoint.
        mode: ``"hard"``, the vote of the best anchor (the first of equal ones), or ``"soft"``, the mean of
            all votes under the softmax of the scores. Where all offsets are exact, both find the keypoint, whatever the
            scores are.

    Returns:
        ``(..., 2)``, (x, y) in the unit of the anchors and the dtype of ``offsets``.

    Raises:
        ValueError: shapes that do not fit together, an integer dtype, no anchor, or an unknown mode.

    See chapter 2, section 2.15.

    >>> places, votes = torch.tensor([[0., 0.], [4., 0.]]), torch.tensor([[1., 2.], [1., 2.]])
    >>> decode_anchors(torch.tensor([0., 1.]), places, votes)
    tensor([5., 2.])
    >>> decode_anchors(torch.tensor([0., 0.]), places, votes, mode="soft")
    tensor([3., 2.])
    """
    _args.one_of("mode", mode, ("hard", "soft"))
    _args.floating("scores", scores, "(..., A)")
    _args.points("anchors", anchors)
    _args.points("offsets", offsets)
    if scores.ndim < 1 or scores.shape[-1] < 1 or anchors.shape != (scores.shape[-1], 2):
        _args.fail("anchors", "(A, 2), A >= 1 the last axis of scores", f"{(*anchors.shape,)} and {(*scores.shape,)}")
    if offsets.shape != (*scores.shape, 2):
        _args.fail("offsets", f"shape {(*scores.shape, 2)}, one offset per score", (*offsets.shape,))
    if mode == "hard":
        best, lost = _peak(scores[..., None, :])  # (..., 2): the anchor's number, and 0
        vote = (anchors + offsets).gather(-2, best[..., :1, None].expand(*best.shape[:-1], 1, 2))[..., 0, :]
        return vote.to(offsets.dtype).masked_fill(lost, torch.nan)
    prob = _args.widen(scores).softmax(-1)
    votes = _args.widen(anchors) + _args.widen(offsets)  # (..., A, 2)
    return (prob[..., None] * votes).sum(-2).to(offsets.dtype)


def decode_simcc(x: Tensor, y: Tensor, *, ratio: float, mode: str = "hard") -> Tensor:
    r"""Keypoints in image pixels from SimCC's two one-dimensional scores: no grid is needed, bin i is at i / ratio px.

    "hard" takes the best bin, the lowest among equals: rounding alone costs up to 1 / (2 ratio) px per axis, and
    :math:`1 / (\mathrm{ratio} \sqrt{12})` px root mean square. "soft" takes the mean under a softmax.

    Args:
        x: logits ``(..., X)`` of the bins along x; for "hard" any scores of that order.
        y: logits ``(..., Y)`` of the bins along y.
        ratio: bins per pixel > 0.
        mode: "hard" or "soft".

    Returns:
        ``(..., 2)``, (x, y) in px; differentiable for "soft".

    Raises:
        ValueError: an integer dtype, no bins, unequal leading axes, ``ratio <= 0`` or an unknown mode.

    See chapter 1, section 1.9.

    Source: Li et al. 2022, arXiv:2107.03332, which takes the best bin.

    >>> decode_simcc(torch.tensor([0., 9., 0., 0.]), torch.tensor([0., 0., 9.]), ratio=2)
    tensor([0.5000, 1.0000])
    """
    _args.positive("ratio", ratio)
    _args.one_of("mode", mode, ("hard", "soft"))
    for name, bins in (("x", x), ("y", y)):
        _args.floating(name, bins, "(..., bins)")
        if bins.ndim < 1 or bins.shape[-1] < 1 or bins.shape[:-1] != x.shape[:-1]:
            want = ", ".join(map(str, (*x.shape[:-1], "bins >= 1")))
            _args.fail(name, f"shape ({want})", tuple(bins.shape))
    one = argmax if mode == "hard" else soft_argmax
    xy = torch.stack([one(_args.widen(bins)[..., None, :])[..., 0] for bins in (x, y)], dim=-1)
    return (xy / ratio).to(torch.promote_types(x.dtype, y.dtype))


def _peak(heatmap: Tensor) -> tuple[Tensor, Tensor]:
    """Whole-number (x, y) ``(..., 2)`` of the first highest value, and whether that is NaN, ``(..., 1)``."""
    flat = heatmap.detach().flatten(-2)
    if flat.device.type == "cpu" and flat.dtype != torch.bfloat16 and _args.readable(flat):
        numbers = flat.resolve_neg().numpy()
        index = torch.as_tensor(numbers.argmax(-1), device="cpu")  # some ten times as fast as torch's own
    else:
        index = flat.argmax(-1)
    lost = flat.gather(-1, index[..., None]).isnan()  # NaN counts as the highest value: one anywhere shows here
    return torch.stack((index % heatmap.shape[-1], index // heatmap.shape[-1]), dim=-1), lost


def _inner(peak: Tensor, h: int, w: int) -> Tensor:
    """Whether each coordinate ``(..., 2)`` has a cell on either side."""
    return (peak > 0) & (peak < _args.constant((w - 1, h - 1), peak))


def _window(heatmap: Tensor, peak: Tensor, *, radius: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Values around whole cells ``(2 radius + 1, 2 radius + 1, N)``, N all maps; the map's edge is repeated beyond it.

    Also, by x and by y, which of them are inside the map: twice ``(2 radius + 1, N)``. The maps' axis is the longest
    and comes last: what follows runs along memory.
    """
    h, w = heatmap.shape[-2:]
    whole = torch.int32 if heatmap.numel() < 2**31 else torch.int64  # the index is most of what is written
    first, reach = (torch.arange(*ends, dtype=whole, device=peak.device)
                    for ends in ((0, heatmap.numel(), h * w), (-radius, radius + 1)))
    x, y = (place + reach[:, None] for place in peak.reshape(-1, 2).to(whole).unbind(-1))  # (2r+1, N)
    near_x, near_y = x.clamp(0, w - 1), y.clamp(0, h - 1)
    index = (first + w * near_y)[:, None] + near_x  # (2r+1, 2r+1, N)
    return heatmap.reshape(-1).index_select(0, index.flatten()).view(index.shape), (x == near_x, y == near_y)


def _blurred_window(heatmap: Tensor, peak: Tensor, blur: float) -> Tensor:
    """The values around each peak after a Gaussian blur ``(3, 3, ...)``, at least float32; nothing else is blurred."""
    reach = min(round(2.5 * blur), max(heatmap.shape[-2:]))  # beyond the map there is nothing
    window, inside = _window(heatmap, peak, radius=reach + 1)
    window = _args.widen(window)
    columns, rows = (axis.to(window.dtype) for axis in inside)  # (2r+3, N): what is outside counts as 0
    kernel = _blur_rows(blur, reach, like=window)  # (3, 2r+3)
    with _args.exact(window.device):
        blurred = (kernel @ (rows[:, None] * window).flatten(1)).unflatten(1, columns.shape)  # (3, 2r+3, N)
        return (kernel @ (columns * blurred)).view(3, 3, *peak.shape[:-1])


def _blur_rows(sigma: float, radius: int, *, like: Tensor) -> Tensor:
    """Three shifted copies of a normalized Gaussian kernel, ``(3, 2r + 3)``: they blur a window to 3 cells per axis."""
    reach = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(reach.square() / (-2 * sigma * sigma)) if radius else torch.ones_like(reach)
    kernel = kernel / kernel.sum()
    return torch.nn.functional.pad(kernel, (2, 2)).unfold(0, 2 * radius + 3, 1).flip(0)


def _repeat_edge(window: Tensor, peak: Tensor, h: int, w: int) -> Tensor:
    """The 3 x 3 window ``(3, 3, ...)`` around each peak, cells outside the map set to their nearest cells inside."""
    x, y = peak.unbind(-1)
    for axis, place, last in ((1, x, w - 1), (0, y, h - 1)):
        before, at, after = window.unbind(axis)
        ends = torch.where(place == 0, at, before), at, torch.where(place == last, at, after)
        window = torch.stack(ends, axis)
    return window


def _differences(log: Tensor) -> tuple[Tensor, ...]:
    """First and second central differences of 3 x 3 windows ``(3, 3, ...)``, by x and by y."""
    up, mid, down = log
    gx, gy = (mid[2] - mid[0]) / 2, (down[1] - up[1]) / 2
    return gx, gy, mid[2] - 2 * mid[1] + mid[0], down[1] - 2 * mid[1] + up[1]


def _newton(gx: Tensor, gy: Tensor, hxx: Tensor, hyy: Tensor, hxy: Tensor) -> Tensor:
    """Step ``(..., 2)`` to the top of a quadratic, each axis clamped to [-1, 1]; 0 where it has no top."""
    det = hxx * hyy - hxy * hxy
    usable = (det > 0) & (hxx < 0)
    det = torch.where(usable, det, 1.0)
    step = torch.stack((hxy * gy - hyy * gx, hxy * gx - hxx * gy), dim=-1) / det[..., None]
    return torch.where(usable[..., None], step.clamp(-1, 1), 0.0)
