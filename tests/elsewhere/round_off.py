"""Torch as on another processor: what float32 rounds may come out one unit in the last place higher or lower."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

VARIES = set(  # sums depend on their order, the others on who computes them; + - * / are the same on every processor
    "exp log expm1 log1p sin cos atan2 tanh sigmoid erf pow _softmax _log_softmax softplus logsumexp silu sum mean "
    "cumsum var std prod linalg_vector_norm mm bmm addmm baddbmm dot mv addmv convolution linalg_inv_ex "
    "_linalg_solve_ex _linalg_eigh _linalg_det upsample_bilinear2d grid_sampler_2d native_batch_norm".split()
)


class Elsewhere(TorchDispatchMode):
    """What float64 says is exact stays."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        results = call(*args, **(kwargs or {}))
        if call._schema.name.removeprefix("aten::") not in VARIES or call._schema.is_mutable:
            return results
        try:
            exact = call(*tree_map(widened, args), **tree_map(widened, kwargs or {}))
        except RuntimeError:  # it has float32 only
            exact = tree_map(lambda result: torch.full_like(result, torch.nan, dtype=torch.float64), results)
        return tree_map(self.moved, results, exact)

    def moved(self, result, exact):
        if not isinstance(result, Tensor) or result.dtype != torch.float32:
            return result
        step = torch.randint(-1, 2, result.shape, generator=self.generator)
        return torch.where(result.double() == exact, result, result * (1 + step * torch.finfo(torch.float32).eps))


def widened(value):
    return value.double() if isinstance(value, Tensor) and value.dtype == torch.float32 else value
