"""Wire values as bytes: what crosses between the grader and the sandbox, and nothing else does.

A message is four bytes, the length of a JSON header; the header, which describes the value; and the tensors' bytes, one
after the other. Nothing is unpickled or evaluated: whatever the bytes are, decoding makes plain values of them or
raises :class:`WireError`.
"""

import builtins
import json
import math

import numpy
import torch
from torch import Tensor

LIMIT = 8 * 2**20  # bytes of a message
DEPTH = 8  # tuples within tuples
ITEMS = 10_000  # values in a message
AXES = 16
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16,
    torch.float32, torch.float64, torch.complex64, torch.complex128)}

# The only type names that cross: any other could carry numbers out of a hidden input, or markup into a report.
NAMES = {"ndarray", "Size", "Parameter", *dir(builtins), *(t.__name__ for t in numpy.sctypeDict.values())}


class WireError(ValueError):
    """Bytes that are no message, or a value that makes none."""


class Other:
    """Stands for a value that does not cross; :func:`decode` makes its type's name that of the value's type."""


def type_name(name: str) -> str:
    """A type's name as it may be shown: a known one, or "object"."""
    return name if name in NAMES else "object"


# ---------------------------------------------------------------------------------------------------------------------
# Out


def encode(value: object) -> bytes:
    """The message of a value: tensors, bool, int, float, str, None, tuples; of anything else its type's name.

    Raises:
        WireError: too large, too deep, or an input that is neither.

    >>> decode(encode((torch.tensor([1.5, -0.0]), 2, "hard", None)))
    (tensor([1.5000, -0.0000]), 2, 'hard', None)
    """
    buffers: list[bytes] = []
    try:
        head = json.dumps(_describe(value, buffers, DEPTH)).encode()
    except RecursionError:
        raise WireError("nests too deep") from None
    message = b"".join((len(head).to_bytes(4, "big"), head, *buffers))
    if len(message) > LIMIT:
        raise WireError(f"more than {LIMIT // 2**20} MB")
    return message


def _describe(value: object, buffers: list[bytes], depth: int) -> list:
    if isinstance(value, tuple):
        if depth == 0 or len(value) > ITEMS:
            raise WireError("too many tuples within tuples, or values in one")
        return ["tuple", [_describe(item, buffers, depth - 1) for item in value]]
    if isinstance(value, Tensor):
        return _describe_tensor(value, buffers)
    if value is None or type(value) in (bool, str) and _fits(value):
        return ["plain", value]
    if isinstance(value, (int, float)) and _fits(value):
        kind = int if isinstance(value, int) else float
        return ["plain", kind(value), *([] if type(value) is kind else [type(value).__name__])]  # numpy.float64
    return ["other", type(value).__name__]


def _describe_tensor(tensor: Tensor, buffers: list[bytes]) -> list:
    """Memory order goes along, since `view` works on some tensors and fails on others."""
    plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided and not tensor.is_nested
    if not plain or tensor.device.type != "cpu" or _name(tensor.dtype) not in DTYPES or tensor.ndim > AXES:
        return ["unusual"]
    if tensor.numel() * tensor.element_size() > LIMIT:
        raise WireError(f"more than {LIMIT // 2**20} MB")
    order = sorted(range(tensor.ndim), key=lambda axis: -tensor.stride(axis))
    dense = tensor.detach().resolve_conj().resolve_neg().permute(order)
    dense = dense.clone(memory_format=torch.contiguous_format)  # a single entry has any stride: no view
    buffers.append(dense.reshape(-1).view(torch.uint8).numpy().tobytes())
    return ["tensor", _name(tensor.dtype), list(dense.shape), order]


def _fits(plain: object) -> bool:
    """An int of 64 bits, a string that is text: without half characters (lone surrogates)."""
    if isinstance(plain, str):
        return not any("\ud800" <= c <= "\udfff" for c in plain)
    return not isinstance(plain, int) or abs(int(plain)) < 2**63


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# ---------------------------------------------------------------------------------------------------------------------
# In: from here on the bytes are hostile


def decode(message: bytes) -> object:
    """The value of a message.

    Raises:
        WireError: the bytes are none.
    """
    size = int.from_bytes(message[:4], "big")
    if len(message) > LIMIT or len(message) < 4 + size:
        raise WireError("no message: a wrong length")
    try:
        head = json.loads(message[4:4 + size].decode())
    except (ValueError, RecursionError):  # no UTF-8, no JSON, a number of thousands of digits, endless brackets
        raise WireError("no message: its header is not JSON") from None
    reader = _Reader(memoryview(message)[4 + size:])
    value = reader.value(head, DEPTH)
    if reader.data:
        raise WireError("no message: bytes are left over")
    return value


class _Reader:
    """Makes values of a header's parts and takes the tensors' bytes as they come."""

    def __init__(self, data: memoryview):
        self.data = data
        self.items = 0

    def value(self, part: object, depth: int) -> object:
        self.items += 1
        if depth < 0 or self.items > ITEMS:
            raise WireError("no message: too deep or too many values")
        match part:
            case ["tuple", list(items)]:
                return tuple(self.value(item, depth - 1) for item in items)
            case ["plain", None | bool() | str() | int() | float() as plain] if _fits(plain):
                return plain
            case ["plain", bool(), _]:
                pass
            case ["plain", int() | float() as plain, str(name)] if _fits(plain):
                return type(type_name(name), (type(plain),), {})(plain)
            case ["tensor", str(dtype), list(shape), list(order)] if dtype in DTYPES:
                return self.tensor(DTYPES[dtype], shape, order)
            case ["unusual"]:
                return torch.zeros(2).to_sparse()  # any tensor that no check takes for a plain one
            case ["other", str(name)]:
                return type(type_name(name), (Other,), {})()
        raise WireError("no message: a part of its header is unknown")

    def tensor(self, dtype: torch.dtype, shape: list, order: list) -> Tensor:
        if len(shape) > AXES or not all(type(n) is int and 0 <= n <= LIMIT for n in shape):
            raise WireError("no message: not a shape")
        if not all(type(axis) is int for axis in order) or sorted(order) != list(range(len(shape))):
            raise WireError("no message: not an order of axes")
        if math.prod(max(n, 1) for n in shape) > LIMIT:  # also where another axis is 0: torch multiplies the strides
            raise WireError("no message: a shape too large")
        size = math.prod(shape) * dtype.itemsize
        chunk, self.data = self.data[:size], self.data[size:]
        if len(chunk) < size:
            raise WireError("no message: bytes are missing")
        if dtype == torch.bool and any(byte > 1 for byte in set(chunk)):
            raise WireError("no message: a bool that is neither")
        flat = torch.frombuffer(bytearray(chunk), dtype=dtype) if size else torch.empty(0, dtype=dtype)
        inverse = [order.index(axis) for axis in range(len(order))]
        return flat.reshape(shape).permute(inverse)
