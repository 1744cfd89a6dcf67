import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import cdist

from posebook.metrics import epe, pck

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def some_points(*leading: int, seed: int = 0) -> torch.Tensor:
    return 64 * torch.rand(*leading, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_epe_against_scipy():
    found, xy = some_points(7, seed=1), some_points(7, seed=2)
    np.testing.assert_allclose(epe(found, xy), np.diag(cdist(found, xy)), rtol=1e-14)


def test_epe_ignores_shifts_rotations_and_order():
    found, xy = some_points(5, 3, seed=1), some_points(5, 3, seed=2)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    torch.testing.assert_close(epe(found @ turn + 3, xy @ turn + 3), epe(found, xy))
    assert torch.equal(epe(xy, found), epe(found, xy))
    assert torch.equal(epe(found[2], xy[2]), epe(found, xy)[2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,)])
def test_epe_shape_dtype_device(leading, dtype, device):
    found = some_points(*leading).to(dtype).to(device)
    before = found.clone()
    out = epe(found, torch.zeros_like(found))
    assert (out.shape, out.dtype, out.device.type) == (leading, dtype, device)
    assert torch.equal(found, before)


def test_epe_is_nan_where_there_is_no_truth_and_differentiable_elsewhere():
    xy = some_points(4)
    xy[1, 0] = math.nan
    assert epe(torch.zeros_like(xy), xy).isnan().tolist() == [False, True, False, False]
    found = some_points(4, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: epe(f, some_points(4)), found)


def test_pck_of_normal_errors_is_their_rayleigh_law():
    """Errors normal with sd s an axis: the distance is Rayleigh, so that PCK at t is 1 - exp(-t^2 / (2 s^2))."""
    draw = torch.Generator().manual_seed(0)
    error = 2.0 * torch.randn(20_000, 2, generator=draw, dtype=torch.float64)
    mask = torch.ones(20_000, dtype=torch.bool)
    for t in (1.0, 2.0, 5.0):
        expected = stats.rayleigh(scale=2.0).cdf(t)
        spread = math.sqrt(expected * (1 - expected) / 20_000)
        assert pck(error, torch.zeros_like(error), mask, threshold=t).item() == pytest.approx(expected, abs=4 * spread)


def test_pck_counts_a_keypoint_at_the_threshold_and_one_threshold_a_person():
    found = torch.tensor([[[3.0, 4.0], [0.0, 6.0]], [[3.0, 4.0], [0.0, 6.0]]])
    truth, mask = torch.zeros_like(found), torch.ones(2, 2, dtype=torch.bool)
    assert pck(found, truth, mask, threshold=5.0) == 0.5
    assert pck(found, truth, mask, threshold=4.99) == 0.0
    assert pck(found, truth, mask, threshold=torch.tensor([[5.5], [6.0]])) == 0.75


def test_pck_counts_only_where_masked_in_and_never_what_is_not_finite():
    found = torch.tensor([[0.0, 0.0], [math.nan, 0.0], [0.0, 0.0], [50.0, 0.0]])
    truth = torch.tensor([[0.0, 0.0], [0.0, 0.0], [math.nan, math.nan], [0.0, 0.0]])
    mask = torch.tensor([True, True, False, False])
    assert pck(found, truth, mask, threshold=1.0) == 0.5
    assert pck(found, truth, torch.zeros(4, dtype=torch.bool), threshold=1.0).isnan()


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: epe(torch.zeros(3), torch.zeros(3)), "found: want shape (..., 2), got (3,)"),
        (lambda: epe(torch.zeros(2), torch.zeros(1, 2)), "xy: want shape (2,), got (1, 2)"),
        (lambda: pck(torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(3), threshold=1.0),
         "mask: want bool (3,), got float32 (3,)"),
        (lambda: pck(torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(2, dtype=torch.bool), threshold=1.0),
         "mask: want bool (3,), got bool (2,)"),
        (lambda: pck(torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(3, dtype=torch.bool), threshold=0),
         "threshold: want a finite number > 0, got 0"),
        (lambda: pck(torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(3, dtype=torch.bool), threshold=torch.zeros(3)),
         "threshold: want > 0, got values that are not"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 1, 1), (2, 17), (4, 17, 1), (17, 4)])
def test_pck_refuses_a_threshold_that_would_multiply_the_keypoints(shape):
    xy, mask = torch.zeros(4, 17, 2), torch.ones(4, 17, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"threshold: want a shape that broadcasts to \(4, 17\), got"):
        pck(xy, xy, mask, threshold=torch.ones(shape))
    for fits in ((), (17,), (1, 17), (4, 1), (4, 17)):
        assert pck(xy, xy, mask, threshold=torch.ones(fits)) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_counts_and_measures(dtype):
    xy = torch.zeros(100_000, 2, dtype=dtype)
    mask = torch.ones(100_000, dtype=torch.bool)
    assert pck(xy, xy, mask, threshold=1.0) == 1
    xy[:25_000] = 9
    assert pck(xy, 0 * xy, mask, threshold=1.0) == 0.75
    far, near = torch.tensor([60000.0, -45000.0], dtype=dtype), torch.tensor([0.0, 0.0], dtype=dtype)
    wide = epe(far.float(), near.float()).to(dtype)
    assert torch.equal(epe(far, near), wide)


def test_pck_without_a_mask_says_so():
    with pytest.raises(ValueError, match=r"mask: want bool \(3,\), got NoneType"):
        pck(torch.zeros(3, 2), torch.zeros(3, 2), None, threshold=1.0)
