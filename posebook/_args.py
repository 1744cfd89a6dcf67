"""Argument checks: one clear error that names the argument, what was wanted and what came."""

import math
from numbers import Integral, Real

import torch
from torch import Tensor


def fail(name: str, want: str, got: object) -> None:
    """Raise ``ValueError("tau: want a finite number > 0, got -1")``."""
    raise ValueError(f"{name}: want {want}, got {got}")


def is_number(value: object) -> bool:
    """A plain finite number, numpy's scalars included; no bool, no tensor."""
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def positive(name: str, value: float) -> None:
    """A finite plain number above 0."""
    if not is_number(value) or not value > 0:
        fail(name, "a finite number > 0", _shown(value))


def at_least(name: str, value: float, least: float) -> None:
    """A finite plain number, ``least`` or more."""
    if not is_number(value) or not value >= least:
        fail(name, f"a finite number >= {least}", _shown(value))


def within(name: str, value: float, bounds: tuple[float, float]) -> None:
    """A plain number between two bounds, both included."""
    if not is_number(value) or not bounds[0] <= value <= bounds[1]:
        fail(name, f"a number from {bounds[0]:g} to {bounds[1]:g}", value)


def one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    """One of the named options."""
    if value not in choices:
        fail(name, "one of " + ", ".join(map(repr, choices)), repr(value))


def floating(name: str, tensor: Tensor, shape: str) -> None:
    """A tensor of floating dtype; ``shape`` says what was wanted: ``"(..., H, W)"``, ``"(..., 2)"``."""
    if not isinstance(tensor, Tensor):
        fail(name, f"a tensor {shape}", type(tensor).__name__)
    if not torch.is_floating_point(tensor):
        fail(name, "a floating dtype", str(tensor.dtype).removeprefix("torch."))


def maps(name: str, tensor: Tensor) -> None:
    """A floating tensor ``(..., H, W)`` with at least one cell a map."""
    floating(name, tensor, "(..., H, W)")
    if tensor.ndim < 2 or 0 in tensor.shape[-2:]:
        fail(name, "shape (..., H, W) with H, W >= 1", tuple(tensor.shape))


def points(name: str, tensor: Tensor) -> None:
    """A floating tensor ``(..., 2)`` of (x, y) pairs."""
    floating(name, tensor, "(..., 2)")
    if tensor.ndim < 1 or tensor.shape[-1] != 2:
        fail(name, "shape (..., 2)", tuple(tensor.shape))


def size(name: str, value: tuple[int, int]) -> None:
    """A pair (height, width) of whole numbers of at least 1."""
    ok = isinstance(value, (tuple, list, torch.Size)) and len(value) == 2
    if not ok or not all(isinstance(n, Integral) and not isinstance(n, bool) and n >= 1 for n in value):
        fail(name, "(height, width), two whole numbers >= 1", value)


def _shown(value: object) -> object:
    return value if isinstance(value, Real) else type(value).__name__
