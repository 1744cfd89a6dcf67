"""Torch as on another processor: what float32 rounds may come out one unit in the last place higher or lower."""

from functools import cache

import torch
from torch import Tensor
from torch.ops import aten
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

VARIES = set(  # sums depend on their order, the others on who computes them; + - * / are the same on every processor
    "exp log expm1 log1p sin cos atan2 tanh sigmoid erf pow _softmax _log_softmax softplus logsumexp silu sum mean "
    "cumsum var std prod linalg_vector_norm mm bmm addmm baddbmm dot mv addmv convolution linalg_inv_ex "
    "_linalg_solve_ex _linalg_eigh _linalg_det upsample_bilinear2d grid_sampler_2d native_batch_norm".split()
)
MOST = 2**21  # results that get steps of their own


class Elsewhere(TorchDispatchMode):
    """What float64 says is exact stays."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)
        self.steps = 1 + torch.randint(-1, 2, (2 * MOST,), generator=self.generator) * torch.finfo(torch.float32).eps

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the wrapper would cost more than most calls

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        results = call(*args, **(kwargs or {}))
        if not varies(call) or isinstance(results, Tensor) and results.dtype != torch.float32:
            return results
        if call is aten.native_batch_norm.default or call is aten.convolution.default and args[1].shape[1] > 1:
            return tree_map(lambda result: self.moved(result, 0), results)  # a network's sums: never exact
        try:
            exact = call(*tree_map(widened, args), **tree_map(widened, kwargs or {}))
        except RuntimeError:  # it has float32 only
            exact = tree_map(lambda result: torch.full_like(result, torch.nan, dtype=torch.float64), results)
        return tree_map(self.moved, results, exact)

    def moved(self, result, exact):
        if not isinstance(result, Tensor) or result.dtype != torch.float32:
            return result
        start = int(torch.randint(MOST, (), generator=self.generator))
        steps = self.steps[start : start + min(MOST, result.numel())].repeat(-(-result.numel() // MOST))
        return torch.where(result == exact, result, result * steps[: result.numel()].view(result.shape))


@cache
def varies(call) -> bool:
    return call._schema.name.removeprefix("aten::") in VARIES and not call._schema.is_mutable


def widened(value):
    return value.double() if isinstance(value, Tensor) and value.dtype == torch.float32 else value
