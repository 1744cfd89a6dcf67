"""What a map expects when it is read as a distribution: its mean cell, soft-argmax, and how wide it is."""

import warnings
from functools import cache, lru_cache
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from posebook import _args

_ONE_PROGRAM = 2**16  # cells of a map that one program on a card reads alone; larger ones leave most of it idle
_BLOCK = 200_000  # values that soft_argmax holds at once for each thread of a CPU: so few stay in its cache


def spatial_softmax(logits: Tensor, tau: float = 1.0) -> Tensor:
    r"""Softmax over all cells of each map, :math:`p_u = e^{z_u / \tau} / \sum_v e^{z_v / \tau}`.

    With :func:`mean_cell` it is soft-argmax, see chapter 2, section 2.5.

    Args:
        logits: scores ``(..., H, W)``; a cell of -inf does not exist.
        tau: temperature > 0, in units of ``logits``: a small one sharpens.

    Returns:
        probabilities ``(..., H, W)``, each map of sum 1, in the dtype of ``logits``.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, or ``tau <= 0``.

    >>> spatial_softmax(torch.tensor([[0., 0.], [0., 1.]]).log())    # three cells that do not exist
    tensor([[0., 0.],
            [0., 1.]])
    """
    _args.maps("logits", logits)
    _args.positive("tau", tau)
    wide = _args.widen(logits)
    scaled = wide if tau == 1 else wide / tau  # a division is one more pass
    return scaled.flatten(-2).softmax(-1).reshape(logits.shape).to(logits.dtype)


def mean_cell(prob: Tensor) -> Tensor:
    r"""Mean cell under a distribution over the cells, :math:`\sum_u u\,p_u`.

    Args:
        prob: ``(..., H, W)``, each map of sum 1. It is linear: with other weights, divide the result by their sum.

    Returns:
        ``(..., 2)``, (x, y) in cells, in the dtype of ``prob``; (0, 0) is the center of the top-left cell.

    Raises:
        ValueError: fewer than two axes, an empty map or an integer dtype.

    Source: Nibali et al. 2018, arXiv:1801.07372; see chapter 2, section 2.5.

    >>> mean_cell(torch.tensor([[0., 0.5, 0., 0.5]]))    # two modes: their middle, where nothing is
    tensor([2., 0.])
    """
    _args.maps("prob", prob)
    wide = _args.widen(prob)
    return _moments(wide.sum(-2), wide.sum(-1)).to(prob.dtype)


def soft_argmax(logits: Tensor, tau: float = 1.0) -> Tensor:
    r"""Expected cell under a spatial softmax, :math:`\sum_u u\,\mathrm{softmax}(z / \tau)_u`.

    Args:
        logits: scores ``(..., H, W)``; not probabilities, and not a 0-to-1 heatmap, whose flat background pulls the
            mean to the map's center.
        tau: temperature > 0, in units of ``logits``; as it goes to 0, the result tends to the argmax, or to
            the mean of equal peaks.

    Returns:
        ``(..., 2)``, (x, y) in cells; (0, 0) is the center of the top-left cell.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, or ``tau <= 0``.

    Called on a CUDA device with float32 or half precision it runs by Triton, where that is there, and keeps the logits
    for its gradient, no softmax: do not change them in place before the backward pass.

    See chapter 2, section 2.5.

    Source: Sun et al. 2018, arXiv:1711.08229; Nibali et al. 2018, arXiv:1801.07372.

    >>> soft_argmax(50 * torch.eye(2))    # two equal peaks: their mean
    tensor([0.5000, 0.5000])
    """
    _args.maps("logits", logits)
    _args.positive("tau", tau)
    known = _plainly_there(logits) and not torch._C._are_functorch_transforms_active()
    for_card = logits.dtype != torch.float64 and logits.shape[-1] * logits.shape[-2] <= _ONE_PROGRAM
    if known and logits.is_cuda and for_card and (programs := _triton(logits.device, logits.dtype)):
        cells = _SoftArgmaxOnCard.apply(logits.contiguous(), tau, programs)
    elif known and logits.device.type == "cpu" and not (logits.requires_grad and torch.is_grad_enabled()):
        cells = _soft_argmax_in_blocks(logits.detach(), tau)
    elif known and logits.device.type == "cpu" and logits.numel() > _BLOCK:
        cells = _SoftArgmax.apply(_args.widen(logits), tau)[0]
    else:
        cells = _plain_soft_argmax(_args.widen(logits), tau)
    return cells.to(logits.dtype)


def soft_argmax_compensated(heatmap: Tensor, *, beta: float) -> Tensor:
    r"""Soft-argmax of a raw 0-to-1 heatmap, with the pull of its zero background taken out exactly.

    The N cells of the background drag the mean E of the softmax of :math:`\beta h` towards the map's center c. With the
    sum :math:`C = \sum e^{\beta h}` the mean without them is :math:`(C E - N c) / (C - N)`, which is the mean under the
    weights :math:`e^{\beta h} - 1`: so it is computed, without any difference of large numbers. Two errors are left:
    that of a peak which a large ``beta`` makes narrower than the cells, and that of the border.

    Args:
        heatmap: ``(..., H, W)`` with a background of 0; a constant added to it would count as signal.
        beta: inverse temperature > 0; ``beta -> 0`` tends to the center of mass of the heatmap itself.

    Returns:
        ``(..., 2)``, (x, y) in cells, in the dtype of ``heatmap``; NaN where the whole map is 0.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, or ``beta <= 0``.

    See chapter 2, section 2.11.

    Source: Gu, Yang and Yao, "Removing the Bias of Integral Pose Regression", ICCV 2021.

    >>> from posebook.encode import gaussian_heatmap
    >>> heatmap = gaussian_heatmap(torch.tensor([20., 28.]).double(), (64, 64), sigma=2.0)
    >>> soft_argmax(10 * heatmap).float(), soft_argmax_compensated(heatmap, beta=10).float()
    (tensor([20.7044, 28.2144]), tensor([20., 28.]))
    """
    _args.maps("heatmap", heatmap)
    _args.positive("beta", beta)
    power = (beta * _args.widen(heatmap)).clamp(min=-60)  # e^-60 - 1 is -1
    weight = -torch.expm1(-power) * torch.exp(power - power.detach().amax((-2, -1), keepdim=True).clamp(min=0))
    return (mean_cell(weight) / weight.sum((-2, -1))[..., None]).to(heatmap.dtype)


def spread(logits: Tensor, tau: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""Entropy and covariance of a spatial softmax :math:`p = \mathrm{softmax}(z / \tau)`: how wide it is.

    Neither of them is the variance of the estimate: under noise, that of :func:`soft_argmax` falls as p widens (see
    :func:`posebook.theory.noise_variance`).

    Args:
        logits: scores ``(..., H, W)``; a cell of -inf does not exist.
        tau: temperature > 0, in units of ``logits``.

    Returns:
        entropy :math:`-\sum p \ln p` in nats ``(...)``, from 0 to ln(H W), and covariance ``(..., 2, 2)`` in cells
        squared, in the order x, y. Both, and their gradients, are finite where probabilities underflow to 0.

    Raises:
        ValueError: as :func:`soft_argmax`.

    See chapter 2, section 2.12.

    >>> spread(50 * torch.eye(2))    # two equal peaks on the diagonal: log(2) nats
    (tensor(0.6931), tensor([[0.2500, 0.2500],
                             [0.2500, 0.2500]]))
    """
    _args.maps("logits", logits)
    _args.positive("tau", tau)
    wide = _args.widen(logits)
    log = (wide / tau).flatten(-2).log_softmax(-1)
    prob = log.exp().reshape(logits.shape)  # (..., H, W)
    entropy = -(log.exp() * log.clamp(min=torch.finfo(log.dtype).min)).sum(-1)  # 0 * -inf would be NaN

    mean, column, row = mean_cell(prob), prob.sum(-2), prob.sum(-1)
    x, y = (torch.arange(n, dtype=wide.dtype, device=wide.device) for n in (logits.shape[-1], logits.shape[-2]))
    dx, dy = x - mean[..., :1], y - mean[..., 1:]  # (..., W), (..., H)
    xx, yy = (column * dx.square()).sum(-1), (row * dy.square()).sum(-1)
    with _args.exact(wide.device):
        xy = (dy * (prob @ dx[..., None])[..., 0]).sum(-1)
    covariance = torch.stack((xx, xy, xy, yy), dim=-1).unflatten(-1, (2, 2))
    return entropy.to(logits.dtype), covariance.to(logits.dtype)


def _moments(columns: Tensor, rows: Tensor) -> Tensor:
    """Sums of u p_u ``(..., 2)``, from sums of p over the columns ``(..., W)`` and over the rows ``(..., H)``."""
    x, y = (torch.arange(sums.shape[-1], dtype=sums.dtype, device=sums.device) for sums in (columns, rows))
    return torch.stack(((columns * x).sum(-1), (rows * y).sum(-1)), dim=-1)


def _plain_soft_argmax(logits: Tensor, tau: float) -> Tensor:
    """Divided by its own total: that of a softmax in float32 is 1 only to some 1e-6, which costs a digit."""
    prob = spatial_softmax(logits, tau)
    wide = prob.dtype if prob.device.type == "mps" else torch.float64  # which mps has not
    columns, rows = prob.sum(-2).to(wide), prob.sum(-1).to(wide)
    return (_moments(columns, rows) / columns.sum(-1, keepdim=True)).to(prob.dtype)


def _soft_argmax_in_blocks(logits: Tensor, tau: float, kept: Tensor | None = None) -> Tensor:
    """The same in one buffer that stays in a processor's cache; at least float32. ``kept``, as logits, takes it all."""
    h, w = logits.shape[-2:]
    if h == 1 < w:  # read as one column, whose cells need no sum
        return _soft_argmax_in_blocks(logits.mT, tau, kept if kept is None else kept.mT).flip(-1)
    maps, most, dtype = logits.reshape(-1, h * w), _at_once(h, w), torch.promote_types(logits.dtype, torch.float32)
    held = maps.new_empty(min(most, len(maps)), h * w, dtype=dtype) if kept is None else kept.view(-1, h * w)
    sums = maps.new_empty(len(maps), min(w, 2), h, dtype=dtype)
    along, of_sums = _weights(h, w, dtype)
    with _args.exact(maps.device):
        for first in range(0, len(maps), most):
            part = maps[first : first + most].to(dtype)
            prob = held[: len(part)] if kept is None else held[first : first + most]
            torch.softmax(part if tau == 1 else torch.div(part, tau, out=prob), -1, out=prob)
            into = sums[first : first + most]
            if w == 1:
                into[:, 0] = prob
            else:
                torch.bmm(along.expand(len(part), 2, w), prob.view(-1, h, w).mT, out=into)  # reads prob once
        x_y_total = sums.flatten(1).double() @ of_sums[: min(w, 2) * h]
    return (x_y_total[:, :2] / x_y_total[:, 2:]).to(dtype).view(*logits.shape[:-2], 2)


@lru_cache(maxsize=32)
def _weights(h: int, w: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights ``(2, w)`` of a row's cells in its sum and in its sum of x, from the middle; and what those sums count
    for in a map's x, in its y and in its total, ``(2 h, 3)`` float64.
    """
    middle = (w - 1) / 2  # from there a row's float32 sum of x loses least
    x, y = (torch.arange(n, dtype=torch.float64, device="cpu") for n in (w, h))
    one, zero = torch.ones_like(y), torch.zeros_like(y)
    of_sums = torch.stack((torch.cat((middle * one, one)), torch.cat((y, zero)), torch.cat((one, zero))), dim=1)
    return torch.stack((torch.ones_like(x), x - middle)).to(dtype), of_sums


def _at_once(h: int, w: int) -> int:
    """How many maps make a block."""
    return max(1, _BLOCK * torch.get_num_threads() // (h * w))


class _SoftArgmax(torch.autograd.Function):
    """Soft-argmax, and its probabilities p, with a gradient of two passes: p (u - mean) / tau."""

    @staticmethod
    def forward(logits: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        prob = torch.empty_like(logits, memory_format=torch.contiguous_format)
        return _soft_argmax_in_blocks(logits, tau, prob), prob

    @staticmethod
    def setup_context(ctx, inputs: tuple, output: tuple) -> None:
        ctx.tau = inputs[1]
        ctx.save_for_backward(*output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, of_mean: Tensor | None, of_prob: Tensor | None) -> tuple[Tensor, None]:
        """From the gradients of both outputs: p gets one where second derivatives are taken, by the formula above."""
        mean, prob = ctx.saved_tensors
        x, y = (torch.arange(n, dtype=prob.dtype, device="cpu") for n in (prob.shape[-1], prob.shape[-2]))
        gx, gy = (torch.zeros_like(mean) if of_mean is None else of_mean / ctx.tau).split(1, -1)
        along_x, along_y = (gx * (x - mean[..., :1]))[..., None, :], (gy * (y - mean[..., 1:]))[..., :, None]
        if of_prob is None and not torch.is_grad_enabled() and _plainly_there(of_mean):
            slope = torch.empty_like(prob)
            parts = (whole.reshape(-1, *whole.shape[-2:]).split(_at_once(len(y), len(x)))
                     for whole in (slope, prob, along_x, along_y))
            for into, p, right, down in zip(*parts, strict=True):
                torch.add(right, down, out=into).mul_(p)
            return slope, None
        slope = along_x + along_y  # (..., H, W)
        if of_prob is not None:
            slope = slope + (of_prob - (of_prob * prob).sum((-2, -1), keepdim=True)) / ctx.tau
        return slope.mul_(prob), None


@cache
def _triton(device: torch.device, dtype: torch.dtype) -> ModuleType | None:
    """The programs for a CUDA card; None without Triton and, after a warning, where it fails: say, for want of gcc."""
    try:
        from posebook import _triton as programs

        logits = torch.zeros(1, 1, 1, dtype=dtype, device=device)
        mean, kept = programs.forward(logits, 1.0)
        programs.backward(logits, mean, kept, mean, 1.0)
    except ModuleNotFoundError:
        return None
    except Exception as error:  # of many kinds, as it compiles
        warnings.warn(f"Triton fails on {device}, and soft_argmax goes on without it: {error}", stacklevel=3)
        return None
    return programs


class _SoftArgmaxOnCard(torch.autograd.Function):
    """Soft-argmax of contiguous logits, float32 or narrower, which keeps no probabilities; a float32 mean."""

    @staticmethod
    def forward(ctx, logits: Tensor, tau: float, programs: ModuleType) -> Tensor:
        mean, kept = programs.forward(logits, tau)
        ctx.tau, ctx.programs = tau, programs
        ctx.save_for_backward(logits, mean, kept)
        return mean

    @staticmethod
    def backward(ctx, of_mean: Tensor) -> tuple[Tensor, None, None]:
        logits, mean, kept = ctx.saved_tensors
        if not torch.is_grad_enabled() and _plainly_there(of_mean):
            return ctx.programs.backward(logits, mean, kept, of_mean.contiguous(), ctx.tau), None, None
        create_graph = torch.is_grad_enabled()  # for second derivatives; or for a batch of gradients at once
        with torch.enable_grad():
            plain = _plain_soft_argmax(_args.widen(logits), ctx.tau)
            return *torch.autograd.grad(plain, logits, of_mean, create_graph=create_graph), None, None


def _plainly_there(tensor: Tensor) -> bool:
    """Whether it has values and nothing else: no tangent, no batch of a transform."""
    return _args.real(tensor) and unpack_dual(tensor).tangent is None
