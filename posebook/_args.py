"""Arguments: one clear error that names the argument, what was wanted and what came; and dtypes widened."""

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from numbers import Integral, Real

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

_MATMUL = {"cpu": getattr(torch.backends.mkldnn, "matmul", None), "cuda": torch.backends.cuda.matmul}


def fail(name: str, want: str, got: object) -> None:
    """Raise ``ValueError("tau: want a finite number > 0, got -1")``."""
    raise ValueError(f"{name}: want {want}, got {got}")


def is_number(value: object) -> bool:
    """A plain finite number, numpy's scalars included; no bool, no tensor."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    most = sys.float_info.max  # comparisons, as torch.compile knows no math.isfinite
    return -most <= value <= most if isinstance(value, int) else bool(-math.inf < value < math.inf)


def is_whole(value: object) -> bool:
    """A plain whole number, numpy's included; no bool, no tensor, no 2.0."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def whole(name: str, value: int, least: int | None = None) -> None:
    """A plain whole number, ``least`` or more."""
    if not is_whole(value) or (least is not None and value < least):
        fail(name, "a whole number" + ("" if least is None else f" >= {least}"), shown(value))


def number(name: str, value: float) -> None:
    """A finite plain number."""
    if not is_number(value):
        fail(name, "a finite number", shown(value))


def positive(name: str, value: float) -> None:
    """A finite plain number above 0."""
    if not is_number(value) or not value > 0:
        fail(name, "a finite number > 0", shown(value))


def at_least(name: str, value: float, least: float) -> None:
    """A finite plain number, ``least`` or more."""
    if not is_number(value) or not value >= least:
        fail(name, f"a finite number >= {least}", shown(value))


def within(name: str, value: float, bounds: tuple[float, float]) -> None:
    """A plain number between two bounds, both included."""
    if not is_number(value) or not bounds[0] <= value <= bounds[1]:
        fail(name, f"a number from {bounds[0]:g} to {bounds[1]:g}", value)


def bounds(name: str, value: tuple[float, float]) -> None:
    """(least, most), two finite plain numbers in this order."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(map(is_number, value))
    if not pair or value[0] > value[1]:
        fail(name, "(least, most), two finite numbers", value)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """One of the named options."""
    if value not in choices:
        fail(name, "one of " + ", ".join(map(repr, choices)), repr(value))


def floating(name: str, tensor: Tensor, shape: str) -> None:
    """A tensor of floating dtype; ``shape`` says what was wanted: ``"(..., H, W)"``, ``"(..., 2)"``."""
    if not isinstance(tensor, Tensor):
        fail(name, f"a tensor {shape}", type(tensor).__name__)
    if not torch.is_floating_point(tensor):
        fail(name, "a floating dtype", dtype_name(tensor))


def maps(name: str, tensor: Tensor) -> None:
    """A floating tensor ``(..., H, W)`` with at least one cell per map."""
    floating(name, tensor, "(..., H, W)")
    if tensor.ndim < 2 or 0 in tensor.shape[-2:]:
        fail(name, "shape (..., H, W) with H, W >= 1", tuple(tensor.shape))


def points(name: str, tensor: Tensor) -> None:
    """A floating tensor ``(..., 2)`` of (x, y) pairs."""
    floating(name, tensor, "(..., 2)")
    if tensor.ndim < 1 or tensor.shape[-1] != 2:
        fail(name, "shape (..., 2)", tuple(tensor.shape))


def like(name: str, tensor: Tensor, other: Tensor) -> None:
    """A floating tensor of the shape that another has."""
    floating(name, tensor, f"of shape {tuple(other.shape)}")
    if tensor.shape != other.shape:
        fail(name, f"shape {tuple(other.shape)}", tuple(tensor.shape))


def broadcasts(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """A tensor that broadcasts to this shape and does not widen it."""
    fits = len(tensor.shape) <= len(shape) and all(
        n in (1, m) for n, m in zip(reversed(tensor.shape), reversed(shape), strict=False)
    )
    if not fits:
        fail(name, f"a shape that broadcasts to {tuple(shape)}", tuple(tensor.shape))


def index_pairs(name: str, value: tuple[tuple[int, int], ...], n: int) -> None:
    """Pairs of two different indices below ``n``: limbs, left and right."""
    if not isinstance(value, (tuple, list)):
        fail(name, "a tuple of pairs", shown(value))
    for pair in value:
        whole = isinstance(pair, tuple) and all(is_whole(k) and 0 <= k < n for k in pair)
        if not whole or len(pair) != 2 or pair[0] == pair[1]:
            fail(name, f"two different indices from 0 to {n - 1}", pair)


def instance(name: str, value: object, kind: type) -> None:
    """One of posebook's own types: a Grid, a Skeleton."""
    if not isinstance(value, kind):
        fail(name, f"{'an' if kind.__name__[0] in 'AEIOU' else 'a'} {kind.__name__}", type(value).__name__)


def mask(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    """A boolean tensor of just this shape."""
    want = f"bool {tuple(shape)}"
    if not isinstance(tensor, Tensor):
        fail(name, want, type(tensor).__name__)
    if tensor.dtype != torch.bool or tensor.shape != shape:
        fail(name, want, f"{dtype_name(tensor)} {tuple(tensor.shape)}")


def definite(name: str, covariance: Tensor, shape: tuple[int, ...]) -> None:
    """Symmetric, positive definite matrices of just this shape."""
    floating(name, covariance, str((*shape,)))
    if covariance.shape != shape:
        fail(name, f"shape {(*shape,)}", (*covariance.shape,))
    if not readable(covariance):
        return
    wide = widen(covariance.detach())
    if torch.linalg.cholesky_ex(wide).info.any():  # which looks at one triangle
        fail(name, "positive definite matrices", "one that is not")
    size = wide.diagonal(dim1=-2, dim2=-1).sqrt()
    slack = 0.01 * size[..., :, None] * size[..., None, :]  # a correlation of 0.01: round-off of any dtype passes
    if ((wide - wide.mT).abs() > slack).any():
        fail(name, "symmetric matrices", "one that is not")


def size(name: str, value: tuple[int, int]) -> None:
    """A pair (height, width) of whole numbers of at least 1."""
    ok = isinstance(value, (tuple, list, torch.Size)) and len(value) == 2
    if not ok or not all(is_whole(n) and n >= 1 for n in value):
        fail(name, "(height, width), two whole numbers >= 1", value)


def dtype_name(tensor: Tensor) -> str:
    """``"float32"`` of torch.float32."""
    return str(tensor.dtype).removeprefix("torch.")


def widen(tensor: Tensor) -> Tensor:
    """At least float32: half precision cannot count beyond 256 or 2048, and rounds every step of a calculation."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On that device. The CPU does not wait for a CUDA card to take it; any other such copy could be read too early."""
    return tensor.to(device, non_blocking=tensor.device.type == "cpu" and device.type == "cuda")


def constant(values: float | Sequence, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Plain numbers as a tensor of that dtype, on its device; a card is not waited for, as ``new_tensor`` would."""
    return sent(torch.tensor(values, dtype=dtype or like.dtype, device="cpu"), like.device)


def double(x: Tensor | float) -> Tensor:
    """float64, a tensor where it is and a number on the CPU."""
    return x.double() if isinstance(x, Tensor) else torch.as_tensor(x, dtype=torch.float64, device="cpu")


def readable(tensor: Tensor) -> bool:
    """Whether Python may look at the values: only on the CPU, as a card would have to be waited for."""
    return tensor.device.type == "cpu" and real(tensor)


def real(tensor: Tensor) -> bool:
    """Whether it has values now: not under vmap or jvp, nor fake, traced or exported."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or is_in_torch_dispatch_mode():
        return False
    if type(tensor) not in (Tensor, Parameter):
        return False
    try:
        tensor.data_ptr()  # those of torch.func have none
    except RuntimeError:
        return False
    return True


def exact(device: torch.device) -> AbstractContextManager:
    """Within it ``@`` keeps its factors' precision, also where autocast or, from torch 2.9 on,
    ``torch.set_float32_matmul_precision`` would round them to fewer bits.
    """
    cast = device.type != "meta" and torch.is_autocast_enabled(device.type)
    plain = torch.autocast(device.type, enabled=False) if cast else nullcontext()
    matmul = _MATMUL.get(device.type)
    if torch.compiler.is_compiling() or getattr(matmul, "fp32_precision", "none") in ("none", "ieee"):
        return plain
    return _unrounded(matmul, plain)


@contextmanager
def _unrounded(matmul: object, plain: AbstractContextManager) -> Iterator[None]:
    before, matmul.fp32_precision = matmul.fp32_precision, "ieee"
    try:
        with plain:
            yield
    finally:
        matmul.fp32_precision = before


def shown(value: object) -> object:
    """As an error shows it: a number or a tuple as it is, of anything else the type, as a tensor of 4 prints like 4."""
    if isinstance(value, tuple):
        return f"({', '.join(str(shown(part)) for part in value)})"
    return value if isinstance(value, Real) else type(value).__name__
