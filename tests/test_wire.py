"""Wire messages: values come back exactly; whatever else the bytes are, there is one clear error."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posebook.checks import PROBLEMS, trial
from posebook.checks.problem import is_wire
from posebook.grading import wire
from posebook.grading.wire import Other, WireError, decode, encode

dtypes = st.sampled_from(list(wire.DTYPES.values()))


@st.composite
def tensors(draw):
    dtype = draw(dtypes)
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if dtype == torch.bool:
        data = bytes(byte % 2 for byte in data)
    flat = torch.frombuffer(bytearray(data), dtype=dtype) if size else torch.empty(0, dtype=dtype)
    return flat.reshape(shape).permute(draw(st.permutations(range(len(shape)))))  # any bits: NaN, -0.0, infinity


plain = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats() | st.text(max_size=20)
values = st.recursive(plain | tensors(), lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12)


def same(a, b) -> bool:
    if isinstance(a, tuple):
        return type(b) is tuple and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        bits = [t.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8) for t in (a, b)]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)
    return type(a) is type(b) and repr(a) == repr(b)


@given(values)
@settings(max_examples=100)
def test_what_goes_in_comes_out(value):
    try:
        message = encode(value)
    except WireError:
        assert not shallow(value, wire.DEPTH)
        return
    assert same(value, decode(message))


def shallow(value, depth):
    return depth >= 0 if not isinstance(value, tuple) else depth > 0 and all(shallow(v, depth - 1) for v in value)


@pytest.mark.parametrize("value", [
    float("nan"), -0.0, float("inf"), 5e-324, 2**63 - 1, True, None, "", "\N{GREEK SMALL LETTER SIGMA}", (), ((),),
    torch.tensor(-0.0), torch.zeros(0, 3), torch.tensor([float("nan"), 1.0]).bfloat16(),
    torch.ones(2, dtype=torch.bool), torch.eye(3)[:1, 1], torch.tensor(2.0).expand(1).clone(),
    torch.from_numpy(np.full(0, -1)), torch.tensor(2.0).expand(2, 3),
], ids=repr)
def test_corner_values(value):
    assert same(value, decode(encode(value)))


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_memory_order_survives(order):
    """`view` works on one order and fails on another: in the sandbox as in the notebook."""
    tensor = torch.randn(2, 3, 4).permute(order)
    assert decode(encode(tensor)).stride() == tensor.stride()


def test_inputs_of_every_problem_survive():
    for problem in PROBLEMS.values():
        for case in problem.cases:
            for args in trial._draws(problem, case, 0)[0]:
                copy = trial._copy(args)
                back = decode(encode(copy))
                assert same(copy, back) and is_wire(back)
                for a, b in zip(copy, back, strict=True):
                    assert not isinstance(a, torch.Tensor) or a.stride() == b.stride() or a.numel() < 2


@pytest.mark.parametrize("value, name", [
    ([1.0], "list"), (np.zeros(2), "ndarray"), (np.float32(1), "float32"), (1j, "complex"), (10**30, "int"),
    (lambda: None, "object"), ("\ud800", "str"), (type("X3_14159", (), {})(), "object"),
])
def test_of_other_values_only_a_known_type_name_crosses(value, name):
    back = decode(encode(value))
    assert isinstance(back, Other) and type(back).__name__ == name
    assert trial.compare(1.0, back, 1.0)[0] .startswith(f"returned {trial._kind(back)}; want a plain number")


def test_numbers_of_a_subclass_stay_numbers_but_no_wire_values():
    back = decode(encode(np.float64(2.5)))
    assert back == 2.5 and isinstance(back, float) and type(back).__name__ == "float64" and not is_wire(back)


class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True


@pytest.mark.parametrize("tensor", [
    torch.zeros(2).as_subclass(Liar), torch.eye(2).to_sparse(), torch.zeros(2, device="meta"),
    torch.zeros([1] * 17),
], ids=["subclass", "sparse", "meta", "17 axes"])
def test_unusual_tensors_come_out_as_one_that_no_check_takes(tensor):
    back = decode(encode((tensor,)))[0]
    assert "unusual" in trial.compare(torch.zeros(2), back, 1.0)[0] and trial.compare(0.0, back, 1.0)


@pytest.mark.parametrize("value", [
    torch.zeros(wire.LIMIT + 1, dtype=torch.uint8), "x" * wire.LIMIT, (0,) * (wire.ITEMS + 1),
    (torch.zeros(wire.LIMIT // 2, dtype=torch.uint8),) * 3,
], ids=["tensor", "text", "items", "sum"])
def test_too_large(value):
    with pytest.raises(WireError):
        encode(value)


def test_too_deep():
    deep = ()
    for _ in range(5000):
        deep = (deep,)
    with pytest.raises(WireError):
        encode(deep)


def message(head, data=b"") -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(4, "big") + text + data


F = "float32"
MALFORMED = {
    "empty": b"",
    "short": b"\0\0",
    "a length beyond the end": b"\xff\xff\xff\xff{}",
    "no JSON": message(b"{"),
    "no UTF-8": message(b'["plain", "\xff"]'),
    "endless brackets": message(b"[" * 100_000),
    "a number of thousands of digits": message(b'["plain", ' + b"9" * 5000 + b"]"),
    "pickle": b"\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00\x8c\x08builtins\x94.",
    "not a list": message({"plain": 1}),
    "nothing": message([]),
    "an unknown part": message(["eval", "1+1"]),
    "too many fields": message(["plain", 1, "int", 2]),
    "a list as plain": message(["plain", [1]]),
    "a bool of a subclass": message(["plain", True, "int"]),
    "half a character": message(b'["plain", "\\ud800"]'),
    "an int too large": message(["plain", 2**63]),
    "bytes left over": message(["plain", 1], b"x"),
    "an unknown dtype": message(["tensor", "object", [1], [0]], bytes(8)),
    "quantized": message(["tensor", "qint8", [1], [0]], b"x"),
    "bytes missing": message(["tensor", F, [2], [0]], bytes(7)),
    "a negative size": message(["tensor", F, [-1], [0]]),
    "a bool as size": message(["tensor", F, [True], [0]], bytes(4)),
    "a float as size": message(["tensor", F, [1.0], [0]], bytes(4)),
    "an axis twice": message(["tensor", F, [1, 1], [0, 0]], bytes(4)),
    "an axis too many": message(["tensor", F, [1], [0, 1]], bytes(4)),
    "no such axis": message(["tensor", F, [1], [1]], bytes(4)),
    "a float as axis": message(["tensor", F, [1], [0.0]], bytes(4)),
    "a size too large": message(["tensor", F, [2**40], [0]]),
    "empty, but strides overflow": message(["tensor", F, [0, *[2**20] * 5], list(range(6))]),
    "17 axes": message(["tensor", F, [1] * 17, list(range(17))], bytes(4)),
    "a bool of 2": message(["tensor", "bool", [1], [0]], b"\2"),
    "too deep": message(b'["tuple", [' * 9 + b'["plain", 1]' + b"]]" * 9),
    "too many": message(["tuple", [["plain", None]] * (wire.ITEMS + 1)]),
    "too long": bytes(wire.LIMIT + 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name):
    with pytest.raises(WireError):
        decode(MALFORMED[name])


def decodes_or_says_why(data: bytes) -> None:
    try:
        value = decode(data)
    except WireError:
        return
    assert allowed(value)


def allowed(value) -> bool:
    if isinstance(value, tuple):
        return type(value) is tuple and all(map(allowed, value))
    return value is None or isinstance(value, (bool, int, float, str, Other)) or type(value) is torch.Tensor


@given(values, st.data())
@settings(max_examples=200)
def test_flipped_bits(value, data):
    try:
        good = bytearray(encode(value))
    except WireError:
        return
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    decodes_or_says_why(bytes(good[:data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else good))


parts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["tuple", "plain", "tensor", "other", F]),
    lambda inner: st.lists(inner, max_size=5), max_leaves=20)


@given(parts, st.binary(max_size=32))
@settings(max_examples=200)
def test_headers_of_any_shape(head, data):
    decodes_or_says_why(message(head, data))


@given(st.binary(max_size=64))
def test_any_bytes(data):
    decodes_or_says_why(data)
