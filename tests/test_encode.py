import math

import pytest
import torch
from scipy import stats

from posebook.encode import gaussian_heatmap, part_affinity_fields, people_heatmap, simcc_targets


def some_cells(*leading: int, dtype=torch.float64) -> torch.Tensor:
    draw = torch.Generator().manual_seed(3)
    return (torch.rand(*leading, 2, generator=draw, dtype=torch.float64) * 6 + 2).to(dtype)


def test_against_scipy():
    """A heatmap is the density of a normal law, without its normalization."""
    (cx, cy), sigma = (4.3, 2.8), 1.7
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    law = stats.multivariate_normal([cx, cy], sigma**2)
    oracle = torch.from_numpy(law.pdf(torch.stack((x, y), -1).numpy()) * 2 * math.pi * sigma**2)
    made = gaussian_heatmap(torch.tensor([cx, cy], dtype=torch.float64), (9, 11), sigma=sigma)
    torch.testing.assert_close(made, oracle, rtol=1e-13, atol=0)


@pytest.mark.parametrize("sigma", [0.75, 1.0, 2.0])
def test_sums(sigma):
    """Sum 2 pi sigma^2, energy pi sigma^2; sampling adds some exp(-2 pi^2 sigma^2) of it, for squares the root."""
    c = torch.tensor([20.3, 19.6], dtype=torch.float64)
    heatmap = gaussian_heatmap(c, (41, 42), sigma=sigma)
    leak = math.exp(-2 * math.pi**2 * sigma**2), math.exp(-(math.pi**2) * sigma**2)
    assert heatmap.sum().item() == pytest.approx(2 * math.pi * sigma**2, rel=4 * leak[0] + 1e-12)
    assert heatmap.square().sum().item() == pytest.approx(math.pi * sigma**2, rel=4 * leak[1] + 1e-12)


def test_peak_is_one_on_a_cell_and_lower_between_cells():
    heatmap = gaussian_heatmap(torch.tensor([[3.0, 1.0], [3.5, 1.0]], dtype=torch.float64), (4, 6), sigma=1.0)
    assert heatmap[0, 1, 3] == 1 and heatmap[0].max() == 1
    assert heatmap[1, 1, 3] == heatmap[1, 1, 4] == pytest.approx(math.exp(-1 / 8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_distances_give_equal_values(dtype):
    """To the last bit, wherever the two cells lie in memory: else a keypoint amid two cells would have no tie."""
    left = torch.arange(40)
    cells = torch.stack((left + 0.5, torch.zeros(40)), -1).to(dtype)
    for sigma in torch.linspace(0.4, 5, 200).tolist():
        rows = gaussian_heatmap(cells, (1, 41), sigma=sigma)[:, 0]
        assert torch.equal(rows[left, left], rows[left, left + 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_away_is_zero_and_never_a_number_with_fewer_digits(dtype):
    row = gaussian_heatmap(torch.tensor([300.25, 0.0], dtype=dtype), (1, 600), sigma=3.0)[0]
    exact = torch.exp(-(torch.arange(600).double() - 300.25).square() / 18)
    tiny, near = torch.finfo(dtype).tiny, exact > 4 * torch.finfo(dtype).tiny
    assert ((row == 0) | (row >= tiny)).all() and not row[exact < tiny].any() and near.sum() > 70
    torch.testing.assert_close(row[near], exact[near].to(dtype), rtol=200 * torch.finfo(dtype).eps, atol=0)


def test_shift_flip_transpose():
    cells = some_cells(5)
    base = gaussian_heatmap(cells, (10, 12), sigma=1.3)
    moved = gaussian_heatmap(cells + torch.tensor([2.0, -1.0]), (10, 12), sigma=1.3)
    torch.testing.assert_close(moved[:, :-1, 2:], base[:, 1:, :-2], rtol=1e-12, atol=0)
    mirror = torch.tensor([11.0, 0.0], dtype=torch.float64)
    flipped = gaussian_heatmap((cells - mirror) * torch.tensor([-1.0, 1.0]), (10, 12), sigma=1.3)
    torch.testing.assert_close(flipped, base.flip(-1), rtol=1e-12, atol=0)
    torch.testing.assert_close(gaussian_heatmap(cells.flip(-1), (12, 10), sigma=1.3), base.mT, rtol=1e-12, atol=0)


def test_a_finer_grid_is_the_same_bump():
    """Cells of half the size: twice the coordinates and twice the sigma."""
    cells = some_cells(4)
    coarse = gaussian_heatmap(cells, (9, 9), sigma=1.1)
    torch.testing.assert_close(gaussian_heatmap(2 * cells, (17, 17), sigma=2.2)[:, ::2, ::2], coarse)


def test_batch_is_a_loop_and_strides_do_not_matter():
    cells = some_cells(2, 3)
    batch = gaussian_heatmap(cells, (7, 8), sigma=2.0)
    for b in range(2):
        for k in range(3):
            assert torch.equal(batch[b, k], gaussian_heatmap(cells[b, k], (7, 8), sigma=2.0))
    assert torch.equal(gaussian_heatmap(cells.transpose(0, 1), (7, 8), sigma=2.0), batch.transpose(0, 1))
    reversed_twice = cells.flip(-1).contiguous()[..., [1, 0]]
    assert torch.equal(gaussian_heatmap(reversed_twice, (7, 8), sigma=2.0), batch)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,), (2, 0)])
def test_shape_dtype_device(leading, dtype, device):
    cells = some_cells(*leading, dtype=dtype).to(device)
    before = cells.clone()
    out = gaussian_heatmap(cells, (5, 6), sigma=1.5)
    assert (out.shape, out.dtype, out.device.type) == ((*leading, 5, 6), dtype, device)
    exact = gaussian_heatmap(cells.double(), (5, 6), sigma=1.5)
    torch.testing.assert_close(out.double(), exact, rtol=0, atol=2 * torch.finfo(dtype).eps)
    assert torch.equal(cells, before)


@pytest.mark.parametrize("dtype, width", [(torch.bfloat16, 400), (torch.float16, 3000)])
def test_half_precision_counts_beyond_its_whole_numbers(dtype, width):
    """bfloat16 holds no 257 and float16 no 2049; a keypoint that they do hold gets its bump all the same."""
    x = 260.0 if dtype == torch.bfloat16 else 2052.0
    heatmap = gaussian_heatmap(torch.tensor([x, 0.0], dtype=dtype), (1, width), sigma=1.0)[0]
    expected = torch.exp(-(torch.arange(width) - x).square() / 2)
    torch.testing.assert_close(heatmap.float(), expected, rtol=0, atol=torch.finfo(dtype).eps)


def test_outside_and_not_finite():
    cells = torch.tensor([[-3.0, 1.0], [math.inf, 1.0], [math.nan, 1.0], [1.0, 1.0]], dtype=torch.float64)
    heatmap = gaussian_heatmap(cells, (3, 4), sigma=1.0)
    assert heatmap[0].max() == heatmap[0, 1, 0] == pytest.approx(math.exp(-4.5))
    assert torch.equal(heatmap[1], torch.zeros(3, 4, dtype=torch.float64))
    assert heatmap[2].isnan().all() and heatmap[3].isfinite().all()


def test_gradients_and_meta():
    cells = some_cells(3).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: gaussian_heatmap(c, (4, 5), sigma=1.2), cells)
    assert torch.autograd.gradgradcheck(lambda c: gaussian_heatmap(c, (4, 5), sigma=1.2), cells)
    out = gaussian_heatmap(torch.empty(2, 3, 2, device="meta"), (4, 5), sigma=1.0)
    assert out.device.type == "meta" and out.shape == (2, 3, 4, 5)


@pytest.mark.parametrize(
    "cells, hw, sigma, text",
    [
        (torch.zeros(3), (4, 5), 1.0, "cells: want shape (..., 2), got (3,)"),
        (torch.zeros(2, dtype=torch.int64), (4, 5), 1.0, "cells: want a floating dtype, got int64"),
        (torch.zeros(2), (4, 0), 1.0, "hw: want (height, width), two whole numbers >= 1, got (4, 0)"),
        (torch.zeros(2), (4, 5), 0, "sigma: want a finite number > 0, got 0"),
    ],
)
def test_errors(cells, hw, sigma, text):
    with pytest.raises(ValueError) as error:
        gaussian_heatmap(cells, hw, sigma=sigma)
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# SimCC


def test_simcc_against_scipy():
    """A normal density at the bins, divided by its sum; bin i lies at i / ratio px, the keypoint where it is."""
    xy, ratio, sigma = torch.tensor([5.37, 2.81], dtype=torch.float64), 2.0, 1.9
    both = simcc_targets(xy, (7, 11), ratio=ratio, sigma=sigma)
    for prob, center, n in zip(both, xy.tolist(), (22, 14), strict=True):
        density = stats.norm(center, sigma / ratio).pdf(torch.arange(n).numpy() / ratio)
        torch.testing.assert_close(prob, torch.from_numpy(density / density.sum()), rtol=1e-12, atol=0)


@pytest.mark.parametrize("x", [-3.0, 0.0, 0.3, 15.0, 15.9, 400.0])
def test_simcc_sums_to_one_also_near_the_edge_and_beyond(x):
    for prob in simcc_targets(torch.tensor([x, x], dtype=torch.float64), (16, 16), ratio=3, sigma=2.0):
        assert prob.sum().item() == pytest.approx(1, rel=1e-12) and (prob >= 0).all()


def test_simcc_mean_is_the_keypoint_unrounded():
    """Inside, the mean of a Gaussian sampled at bins is its center, to some exp(-2 pi^2 sigma^2)."""
    xy = torch.tensor([[20.13, 17.4], [19.77, 21.01]], dtype=torch.float64)
    for axis, prob in enumerate(simcc_targets(xy, (40, 40), ratio=2, sigma=2.0)):
        torch.testing.assert_close(prob @ (torch.arange(80).double() / 2), xy[:, axis], rtol=0, atol=1e-12)


def test_simcc_and_a_heatmap_of_one_row():
    cells = some_cells(3)
    column, _ = simcc_targets(cells, (1, 10), ratio=1, sigma=1.3)
    row = gaussian_heatmap(torch.stack((cells[:, 0], torch.zeros(3)), -1), (1, 10), sigma=1.3)[:, 0]
    torch.testing.assert_close(column, row / row.sum(-1, keepdim=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,)])
def test_simcc_shape_dtype_device(leading, dtype, device):
    xy = some_cells(*leading, dtype=dtype).to(device)
    before = xy.clone()
    x, y = simcc_targets(xy, (9, 10), ratio=1.5, sigma=2.0)
    assert (x.shape, y.shape) == ((*leading, 15), (*leading, 14))  # 13.5 bins: Python rounds to the even neighbor
    assert x.dtype == y.dtype == dtype and x.device.type == y.device.type == device and torch.equal(xy, before)
    exact = simcc_targets(xy.double(), (9, 10), ratio=1.5, sigma=2.0)[0]
    torch.testing.assert_close(x.double(), exact, rtol=0, atol=2 * torch.finfo(dtype).eps)


def test_simcc_gradients_missing_truth_and_loops():
    xy = some_cells(2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: simcc_targets(p, (9, 10), ratio=1.0, sigma=1.5), xy)
    missing = torch.tensor([[math.nan, math.nan], [3.0, 4.0]])
    known = simcc_targets(missing[1], (9, 10), ratio=2, sigma=2.0)
    for axis, prob in enumerate(simcc_targets(missing, (9, 10), ratio=2, sigma=2.0)):
        assert prob[0].isnan().all() and torch.equal(prob[1], known[axis])


@pytest.mark.parametrize(
    "change, text",
    [
        ({"xy": torch.zeros(3)}, "xy: want shape (..., 2), got (3,)"),
        ({"hw": (4, 0)}, "hw: want (height, width), two whole numbers >= 1, got (4, 0)"),
        ({"ratio": 0}, "ratio: want a finite number > 0, got 0"),
        ({"ratio": 0.1}, "ratio: want at least one bin on each side of (4, 5), got 0.1"),
        ({"sigma": -1}, "sigma: want a finite number > 0, got -1"),
    ],
)
def test_simcc_errors(change, text):
    options = {"xy": torch.zeros(2), "hw": (4, 5), "ratio": 2.0, "sigma": 1.0} | change
    with pytest.raises(ValueError) as error:
        simcc_targets(options.pop("xy"), options.pop("hw"), **options)
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# Several people

LIMBS = ((0, 1), (2, 1))


def crowd(*leading: int, seed=0, dtype=torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Three people of three keypoints on a map of 8 x 9 cells or around it, some of them unlabeled and NaN."""
    draw = torch.Generator().manual_seed(seed)
    cells = 11 * torch.rand(*leading, 3, 3, 2, generator=draw, dtype=torch.float64) - 1
    mask = torch.rand(*leading, 3, 3, generator=draw) < 0.7
    return torch.where(mask[..., None], cells, math.nan).to(dtype), mask


def test_people_heatmap_is_the_maximum_over_labeled_people():
    cells, mask = crowd(2)
    made = people_heatmap(cells, mask, (8, 9), sigma=1.3)
    for b in range(2):
        for k in range(3):
            bumps = [gaussian_heatmap(cells[b, p, k], (8, 9), sigma=1.3) for p in range(3) if mask[b, p, k]]
            assert torch.equal(made[b, k], torch.stack([torch.zeros(8, 9).double(), *bumps]).amax(0))


def test_a_sum_would_have_one_peak_where_the_maximum_has_two():
    """Along the line through two equal bumps, on cells much finer than sigma."""
    sigma = 100.0
    for distance, peaks in ((1.98 * sigma, 1), (2.02 * sigma, 2)):
        two = torch.tensor([[[600 - distance / 2, 0.0]], [[600 + distance / 2, 0.0]]], dtype=torch.float64)
        row = people_heatmap(two, torch.ones(2, 1) > 0, (1, 1201), sigma=sigma)[0, 0]
        total = gaussian_heatmap(two, (1, 1201), sigma=sigma).sum(0)[0, 0]
        higher = [((z[1:-1] > z[:-2]) & (z[1:-1] > z[2:])).sum().item() for z in (row, total)]
        assert higher == [2, peaks] and row.max() == 1
        assert row[600] < 1 < total.max()


def test_fields_against_plain_loops():
    """Cell by cell and person by person, as the paper states it."""
    cells, mask = crowd(20)
    width, hw = 1.2, (8, 9)
    made = part_affinity_fields(cells, mask, hw, limbs=LIMBS, width=width)
    several = 0
    for b in range(20):
        for e, (i, j) in enumerate(LIMBS):
            for y in range(hw[0]):
                for x in range(hw[1]):
                    here = []
                    for p in range(3):
                        if mask[b, p, i] and mask[b, p, j]:
                            (ax, ay), (bx, by) = cells[b, p, i].tolist(), cells[b, p, j].tolist()
                            length = math.hypot(bx - ax, by - ay)
                            vx, vy = (bx - ax) / length, (by - ay) / length
                            along, across = vx * (x - ax) + vy * (y - ay), vx * (y - ay) - vy * (x - ax)
                            if 0 <= along <= length and abs(across) <= width:
                                here.append((vx, vy))
                    several += len(here) > 1
                    expected = torch.tensor(here or [(0.0, 0.0)], dtype=torch.float64).mean(0)
                    torch.testing.assert_close(made[b, e, :, y, x], expected, rtol=0, atol=1e-12)
    assert several > 50


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_limb_between_whole_cells_holds_both_its_ends_and_its_rim(dtype):
    """Also a slanted one, whose length no dtype holds: 0.5 cells wide to either side is 0.5, not 0.5 less round-off."""
    for x in range(1, 12):
        for y in range(12):
            ends = torch.tensor([[[0, 0], [x, y]]], dtype=dtype)
            made = part_affinity_fields(ends, torch.ones(1, 2) > 0, (13, 13), limbs=((0, 1),), width=0.5)[0]
            assert made[:, 0, 0].any() and made[:, y, x].any()
    straight = torch.tensor([[[1, 2], [4, 2]]], dtype=dtype)
    made = part_affinity_fields(straight, torch.ones(1, 2) > 0, (5, 6), limbs=((0, 1),), width=1)[0]
    assert made[0].tolist() == [[0.0] * 6, *[[0.0, 1.0, 1.0, 1.0, 1.0, 0.0]] * 3, [0.0] * 6] and not made[1].any()


def test_fields_turned_around_and_scaled():
    cells, mask = crowd(5)
    options = dict(hw=(8, 9), width=1.0)
    made = part_affinity_fields(cells, mask, limbs=LIMBS, **options)
    back = part_affinity_fields(cells, mask, limbs=tuple((j, i) for i, j in LIMBS), **options)
    torch.testing.assert_close(back, -made, rtol=0, atol=1e-14)
    turned = part_affinity_fields(cells.flip(-1), mask, (9, 8), limbs=LIMBS, width=1.0)  # x and y exchanged
    torch.testing.assert_close(turned, made.flip(-3).mT, rtol=0, atol=1e-14)
    double = part_affinity_fields(2 * cells, mask, (15, 17), limbs=LIMBS, width=2.0)
    torch.testing.assert_close(double[..., ::2, ::2], made, rtol=0, atol=1e-14)


def test_a_limb_of_no_length_leaves_nothing_and_harms_no_gradient():
    cells = torch.tensor([[[2.0, 2.0], [2.0, 2.0]], [[1.0, 1.0], [3.0, 2.0]]], dtype=torch.float64, requires_grad=True)
    mask = torch.ones(2, 2, dtype=torch.bool)
    made = part_affinity_fields(cells, mask, (4, 5), limbs=((0, 1),), width=1.0)
    alone = part_affinity_fields(cells[1:], mask[1:], (4, 5), limbs=((0, 1),), width=1.0)
    made.square().sum().backward()
    assert torch.equal(made, alone) and made.any() and cells.grad.isfinite().all()


SEVERAL = {
    "heatmap": (lambda cells, mask: people_heatmap(cells, mask, (8, 9), sigma=1.3), (3, 8, 9)),
    "fields": (lambda cells, mask: part_affinity_fields(cells, mask, (8, 9), limbs=LIMBS, width=1.1), (2, 2, 8, 9)),
}
several_people = pytest.mark.parametrize("name", SEVERAL)


@several_people
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("leading", [(), (2,), (2, 3), (0,)])
def test_several_people_shape_dtype_device(name, leading, dtype, device):
    encode, shape = SEVERAL[name]
    cells, mask = (part.to(device) for part in crowd(*leading, dtype=dtype))
    before = cells.clone()
    out = encode(cells, mask)
    assert (out.shape, out.dtype, out.device.type) == ((*leading, *shape), dtype, device)
    assert out.isfinite().all() and torch.equal(cells.nan_to_num(-9), before.nan_to_num(-9))
    if dtype in (torch.float16, torch.bfloat16) and leading:
        wide = encode(cells.float(), mask)
        torch.testing.assert_close(out.float(), wide, rtol=0, atol=2 * torch.finfo(dtype).eps)


@several_people
def test_several_people_in_any_order_alone_in_batches_and_none(name):
    encode, shape = SEVERAL[name]
    cells, mask = crowd(4)
    out = encode(cells, mask)
    torch.testing.assert_close(encode(cells[:, [2, 0, 1]], mask[:, [2, 0, 1]]), out, rtol=0, atol=1e-15)
    for b in range(4):
        assert torch.equal(encode(cells[b], mask[b]), out[b])
    more = torch.cat((cells, cells[:, :1]), 1), torch.cat((mask, torch.zeros(4, 1, 3, dtype=torch.bool)), 1)
    assert torch.equal(encode(*more), out)  # somebody of whom nothing is labeled
    nobody = torch.zeros(0, 3, 2), torch.zeros(0, 3, dtype=torch.bool)
    assert encode(*nobody).shape == shape and not encode(*nobody).any()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encode(cells, mask), out)


@several_people
def test_several_people_under_another_default_dtype_and_device(name):
    encode, _ = SEVERAL[name]
    cells, mask = crowd(2, dtype=torch.float32)
    expected = encode(cells, mask)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = encode(cells, mask)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    meta = encode(cells.to("meta"), mask.to("meta"))
    assert meta.device.type == "meta" and meta.shape == expected.shape


@several_people
def test_several_people_gradients(name):
    encode, _ = SEVERAL[name]
    cells, mask = crowd(2)
    cells.requires_grad_()
    (gradient,) = torch.autograd.grad(encode(cells, mask).square().sum(), cells)
    assert gradient.isfinite().all() and not gradient[~mask].any() and gradient[mask].any()
    known = torch.where(mask[..., None], cells.detach(), 0).requires_grad_()  # differences of NaN say nothing
    assert torch.autograd.gradcheck(lambda cells: encode(cells, mask), known)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda c, m: people_heatmap(c[0], m[0], (4, 5), sigma=1.0), "cells: want shape (..., P, K, 2), got (3, 2)"),
        (lambda c, m: people_heatmap(c, m[:, :2], (4, 5), sigma=1.0), "mask: want bool (2, 3), got bool (2, 2)"),
        (lambda c, m: people_heatmap(c[:0], m[:0], (4, 5), sigma=0), "sigma: want a finite number > 0, got 0"),
        (lambda c, m: people_heatmap(c, m, (4, 0), sigma=1.0),
         "hw: want (height, width), two whole numbers >= 1, got (4, 0)"),
        (lambda c, m: part_affinity_fields(c, m.int(), (4, 5), limbs=LIMBS, width=1),
         "mask: want bool (2, 3), got int32 (2, 3)"),
        (lambda c, m: part_affinity_fields(c, m, (4, 5), limbs=((0, 3),), width=1),
         "limbs: want two different indices from 0 to 2, got (0, 3)"),
        (lambda c, m: part_affinity_fields(c, m, (4, 5), limbs=LIMBS, width=0),
         "width: want a finite number > 0, got 0"),
    ],
)  # fmt: skip
def test_errors_of_several_people(call, text):
    with pytest.raises(ValueError) as error:
        call(torch.zeros(2, 3, 2), torch.ones(2, 3, dtype=torch.bool))
    assert str(error.value) == text
