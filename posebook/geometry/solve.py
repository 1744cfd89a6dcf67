"""Least squares by damped Gauss-Newton steps: what triangulation, homographies and poses are refined by."""

from collections.abc import Callable

import torch
from torch import Tensor

from posebook import _args

Model = Callable[[Tensor], tuple[Tensor, Tensor]]


def least_squares(model: Model, move: Callable[[Tensor, Tensor], Tensor], state: Tensor, *, steps: int = 50) -> Tensor:
    """The state (..., a, b) with the least sum of squares: damped Gauss-Newton steps, each kept if it helps.

    Two plain steps at the end carry the gradient.
    """
    with torch.no_grad():
        residual, jacobian = model(state)
        damping = state.new_full((*state.shape[:-2], 1), 1e-2)
        for _ in range(steps):
            trial = move(state, _step(residual, jacobian, damping))
            after, slope = model(trial)
            cost = residual.square().sum(-1, keepdim=True)
            saved = cost - after.square().sum(-1, keepdim=True)
            better = saved > 0  # False for NaN
            residual = torch.where(better, after, residual)
            state, jacobian = (torch.where(better[..., None], *x) for x in ((trial, state), (slope, jacobian)))
            damping = torch.where(better, damping / 10, damping * 10).clamp(max=1e9)
            if _args.readable(saved) and (saved.abs() <= 1e-7 * cost + 1e-28).all():
                break
    for _ in range(2):
        state = move(state, _step(*model(state), torch.zeros_like(damping)))
    return state


def _step(residual: Tensor, jacobian: Tensor, damping: Tensor) -> Tensor:
    """(J'J + damping diag J'J)^-1 J' (-r)."""
    normal = jacobian.mT @ jacobian
    normal = normal + torch.diag_embed(damping * normal.diagonal(dim1=-2, dim2=-1))
    return torch.linalg.solve_ex(normal, -(jacobian.mT @ residual[..., None]))[0][..., 0]
