"""Torch as on another processor: what float32 rounds may come out one unit in the last place higher or lower."""

import warnings
import zlib
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.library import Library, get_kernel
from torch.ops import aten
from torch.utils._pytree import tree_map

VARIES = (  # sums depend on their order, the others on who computes them; + - * / are the same on every processor
    "exp log expm1 log1p sin cos atan2 tanh sigmoid erf pow _softmax _log_softmax softplus logsumexp silu sum mean "
    "cumsum var std prod linalg_vector_norm mm bmm addmm baddbmm dot mv addmv convolution linalg_inv_ex "
    "_linalg_solve_ex _linalg_eigh _linalg_det upsample_bilinear2d grid_sampler_2d native_batch_norm".split()
)
MOST = 2**21  # numbers of a result that get steps of their own
CPU, IMPLICIT = torch._C.DispatchKeySet(torch._C.DispatchKey.CPU), torch._C.DispatchKey.CompositeImplicitAutograd


def calls() -> Iterator[OpOverload]:
    """The overloads of these operations that a processor has a kernel for, and that return what they compute."""
    known = set(torch._C._dispatch_get_all_op_names())
    for packet in (getattr(aten, name) for name in VARIES):
        for call in (getattr(packet, overload) for overload in packet.overloads()):
            name = call.name()
            if name in known and not call._schema.is_mutable and not call.has_kernel_for_dispatch_key(IMPLICIT):
                if torch._C._dispatch_has_computed_kernel_for_dispatch_key(name, "CPU"):
                    yield call


class Elsewhere:
    """Within it the processor's kernels of these operations are others; what float64 says is exact stays."""

    def __init__(self, seed: int) -> None:
        self.seed, generator = seed, torch.Generator().manual_seed(seed)
        self.steps = 1 + torch.randint(-1, 2, (2 * MOST,), generator=generator) * torch.finfo(torch.float32).eps
        self.within = False

    def __enter__(self) -> "Elsewhere":
        self.library = Library("aten", "IMPL")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that they replace others is the point
            for call in calls():
                self.library.impl(call, partial(self.kernel, call, get_kernel(call, "CPU")), "CPU")
        return self

    def __exit__(self, *_: object) -> None:
        self.library._destroy()

    def kernel(self, call, real, *args, **kwargs):
        if self.within:  # one of these operations, as it works
            return real.call_boxed(CPU, *args, **kwargs)
        self.within = True
        try:
            return self.computed(call, partial(real.call_boxed, CPU), args, kwargs)
        finally:
            self.within = False

    def computed(self, call, real, args, kwargs):
        results = real(*args, **kwargs)
        if isinstance(results, Tensor) and results.dtype != torch.float32:
            return results
        if call is aten.native_batch_norm.default or call is aten.convolution.default and args[1].shape[1] > 1:
            return tree_map(self.move_, results)  # a network's sums: never exact
        try:
            exact = real(*tree_map(widened, args), **tree_map(widened, kwargs))
        except RuntimeError:  # it has float32 only
            exact = tree_map(lambda result: torch.full_like(result, torch.nan, dtype=torch.float64), results)
        return tree_map(self.moved, results, exact)

    def moved(self, result, exact):
        if not isinstance(result, Tensor) or result.dtype != torch.float32:
            return result
        return torch.where(result == exact, result, self.move_(result.clone()))

    def move_(self, result: Tensor) -> Tensor:
        """In place; the same twice, as on any processor."""
        if result.dtype != torch.float32:
            return result
        if not result.is_contiguous():
            return result.copy_(self.move_(result.contiguous()))
        start = zlib.crc32(result.view(-1)[:1000].numpy(), self.seed) % MOST
        for part in result.view(-1).split(MOST):
            part *= self.steps[start : start + len(part)]
        return result


def widened(value):
    return value.double() if isinstance(value, Tensor) and value.dtype == torch.float32 else value
