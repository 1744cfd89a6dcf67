"""posebook._args: each check passes what it should, and names argument, wish and value otherwise."""

import math

import numpy as np
import pytest
import torch

from posebook import _args

GOOD = [
    (_args.positive, ("tau", 1e-300)),
    (_args.positive, ("tau", 3)),
    (_args.positive, ("tau", np.float64(0.5))),
    (_args.number, ("floor", -2)),
    (_args.at_least, ("blur", 0, 0)),
    (_args.at_least, ("blur", 2.5, 2.5)),
    (_args.one_of, ("mode", "hard", ("hard", "soft"))),
    (_args.floating, ("z", torch.zeros((), dtype=torch.bfloat16), "(...)")),
    (_args.maps, ("z", torch.zeros(0, 1, 1, dtype=torch.float16))),
    (_args.points, ("xy", torch.zeros(2))),
    (_args.points, ("xy", torch.zeros(0, 3, 2, dtype=torch.float64))),
    (_args.whole, ("seed", -3)),
    (_args.whole, ("radius", np.int64(1), 1)),
    (_args.like, ("xy", torch.zeros(3, dtype=torch.float16), torch.zeros(3))),
    (_args.mask, ("mask", torch.ones(4, 1, dtype=torch.bool), (4, 1))),
    (_args.index_pairs, ("limbs", ((0, 2), (2, 1)), 3)),
    (_args.index_pairs, ("limbs", (), 0)),
    (_args.size, ("hw", (1, 5))),
    (_args.size, ("hw", torch.zeros(3, 4, 5).shape[-2:])),
    (_args.size, ("hw", [4, 5])),
    (_args.bounds, ("yaw", (-45.0, 45))),
    (_args.bounds, ("yaw", [3, 3])),
]

BAD = [
    (_args.number, ("floor", math.inf), "floor: want a finite number, got inf"),
    (_args.number, ("floor", None), "floor: want a finite number, got NoneType"),
    (_args.index_pairs, ("limbs", 3, 3), "limbs: want a tuple of pairs, got 3"),
    (_args.index_pairs, ("limbs", (3,), 3), "limbs: want two different indices from 0 to 2, got 3"),
    (_args.index_pairs, ("limbs", ((0, 3),), 3), "limbs: want two different indices from 0 to 2, got (0, 3)"),
    (_args.index_pairs, ("limbs", ((1, 1),), 3), "limbs: want two different indices from 0 to 2, got (1, 1)"),
    (_args.index_pairs, ("limbs", ((0, 1.0),), 3), "limbs: want two different indices from 0 to 2, got (0, 1.0)"),
    (_args.positive, ("tau", 0), "tau: want a finite number > 0, got 0"),
    (_args.positive, ("tau", -1.5), "tau: want a finite number > 0, got -1.5"),
    (_args.positive, ("tau", math.nan), "tau: want a finite number > 0, got nan"),
    (_args.positive, ("tau", math.inf), "tau: want a finite number > 0, got inf"),
    (_args.positive, ("tau", True), "tau: want a finite number > 0, got True"),
    (_args.positive, ("tau", "1"), "tau: want a finite number > 0, got str"),
    (_args.positive, ("tau", torch.ones(5)), "tau: want a finite number > 0, got Tensor"),
    (_args.at_least, ("blur", -0.1, 0), "blur: want a finite number >= 0, got -0.1"),
    (_args.at_least, ("blur", math.inf, 0), "blur: want a finite number >= 0, got inf"),
    (_args.at_least, ("blur", math.nan, 0), "blur: want a finite number >= 0, got nan"),
    (_args.at_least, ("blur", False, 0), "blur: want a finite number >= 0, got False"),
    (_args.at_least, ("blur", None, 0), "blur: want a finite number >= 0, got NoneType"),
    (_args.one_of, ("mode", "sfot", ("hard", "soft")), "mode: want one of 'hard', 'soft', got 'sfot'"),
    (_args.floating, ("z", [1.0], "(..., 2)"), "z: want a tensor (..., 2), got list"),
    (_args.floating, ("z", torch.ones(2, dtype=torch.int64), "(..., 2)"), "z: want a floating dtype, got int64"),
    (_args.floating, ("z", torch.ones(2, dtype=torch.bool), "(..., 2)"), "z: want a floating dtype, got bool"),
    (_args.maps, ("z", np.zeros((2, 2))), "z: want a tensor (..., H, W), got ndarray"),
    (_args.maps, ("z", torch.zeros(4)), "z: want shape (..., H, W) with H, W >= 1, got (4,)"),
    (_args.maps, ("z", torch.zeros(2, 0, 3)), "z: want shape (..., H, W) with H, W >= 1, got (2, 0, 3)"),
    (_args.points, ("xy", torch.zeros(())), "xy: want shape (..., 2), got ()"),
    (_args.points, ("xy", torch.zeros(2, 3)), "xy: want shape (..., 2), got (2, 3)"),
    (_args.points, ("xy", torch.ones(2, dtype=torch.int32)), "xy: want a floating dtype, got int32"),
    (_args.whole, ("radius", 0, 1), "radius: want a whole number >= 1, got 0"),
    (_args.whole, ("radius", 2.0, 1), "radius: want a whole number >= 1, got 2.0"),
    (_args.whole, ("seed", True), "seed: want a whole number, got True"),
    (_args.whole, ("seed", torch.tensor(1)), "seed: want a whole number, got Tensor"),
    (_args.like, ("xy", torch.zeros(4), torch.zeros(4, 1)), "xy: want shape (4, 1), got (4,)"),
    (_args.like, ("xy", None, torch.zeros(4, 1)), "xy: want a tensor of shape (4, 1), got NoneType"),
    (_args.like, ("xy", torch.zeros(4, dtype=torch.int8), torch.zeros(4)), "xy: want a floating dtype, got int8"),
    (_args.mask, ("mask", None, (4,)), "mask: want bool (4,), got NoneType"),
    (_args.mask, ("mask", torch.ones(4, 1, dtype=torch.bool), (4,)), "mask: want bool (4,), got bool (4, 1)"),
    (_args.mask, ("mask", torch.ones(4), (4,)), "mask: want bool (4,), got float32 (4,)"),
    (_args.size, ("hw", (4, 0)), "hw: want (height, width), two whole numbers >= 1, got (4, 0)"),
    (_args.size, ("hw", (4, 5.0)), "hw: want (height, width), two whole numbers >= 1, got (4, 5.0)"),
    (_args.size, ("hw", (True, 5)), "hw: want (height, width), two whole numbers >= 1, got (True, 5)"),
    (_args.size, ("hw", (4, 5, 6)), "hw: want (height, width), two whole numbers >= 1, got (4, 5, 6)"),
    (_args.size, ("hw", 4), "hw: want (height, width), two whole numbers >= 1, got 4"),
    (_args.bounds, ("yaw", (2, 1)), "yaw: want (least, most), two finite numbers, got (2, 1)"),
    (_args.bounds, ("yaw", (0, math.inf)), "yaw: want (least, most), two finite numbers, got (0, inf)"),
    (_args.bounds, ("yaw", (1, 2, 3)), "yaw: want (least, most), two finite numbers, got (1, 2, 3)"),
    (_args.bounds, ("yaw", 4), "yaw: want (least, most), two finite numbers, got 4"),
]


@pytest.mark.parametrize("check, arguments", GOOD)
def test_good(check, arguments):
    assert check(*arguments) is None


@pytest.mark.parametrize("check, arguments, text", BAD)
def test_bad(check, arguments, text):
    with pytest.raises(ValueError) as error:
        check(*arguments)
    assert str(error.value) == text


@pytest.mark.parametrize("value", [np.float32(2.0), np.float64(2.0), np.int64(2), 2])
def test_numpy_scalars_are_numbers(value):
    _args.positive("sigma", value)
    _args.at_least("sigma", value, 2)


@pytest.mark.parametrize("value", [True, torch.tensor(2.0), "2", None, 10**400, float("nan"), float("inf")])
def test_these_are_no_numbers(value):
    with pytest.raises(ValueError, match="sigma: want a finite number > 0, got "):
        _args.positive("sigma", value)


def test_within():
    _args.within("tau", 0.01, (0.01, 10.0))
    for value in (0.009, 10.1, float("nan"), "1", True):
        with pytest.raises(ValueError, match="tau: want a number from 0.01 to 10, got "):
            _args.within("tau", value, (0.01, 10.0))


@pytest.mark.parametrize("dtype, wide", [
    (torch.float16, torch.float32), (torch.bfloat16, torch.float32), (torch.float32, torch.float32),
    (torch.float64, torch.float64),
])  # fmt: skip
def test_widen(dtype, wide):
    x = torch.tensor([1.5, 300.0], dtype=dtype, requires_grad=True)
    _args.widen(x).sum().backward()
    assert _args.widen(x).dtype == wide and x.grad.dtype == dtype and (x.grad == 1).all()
