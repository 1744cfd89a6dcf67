"""Training terms: by hand and by other libraries, gradients by differences, and what missing truth may not do."""

import math

import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from posebook.encode import gaussian_heatmap, simcc_targets
from posebook.expectation import soft_argmax
from posebook.grid import Grid
from posebook.losses import (
    agreement_loss,
    associative_embedding_loss,
    attenuated_loss,
    coordinate_loss,
    cross_entropy_loss,
    gaussian_nll_loss,
    heatmap_loss,
    integral_loss,
    laplace_nll_loss,
    masked_heatmap_loss,
    masked_mean,
    residual_nll_loss,
    simcc_loss,
    unbiased_mask,
)

GRID, HW = Grid.center(4), (6, 8)


def draw(*shape: int, seed: int = 0, dtype=torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def points(*leading: int, seed: int = 1, dtype=torch.float64) -> Tensor:
    return (14 + 4 * draw(*leading, 2, seed=seed)).to(dtype)


def bumps(xy: Tensor) -> Tensor:
    return gaussian_heatmap(GRID.to_cells(xy), HW, sigma=1.2)


def density(xy: Tensor) -> Tensor:
    return bumps(xy) / bumps(xy).sum((-2, -1), keepdim=True)


def bins(xy: Tensor) -> tuple[Tensor, Tensor]:
    return simcc_targets(xy, (24, 32), ratio=2, sigma=3.0)


# Each loss as a function of what a network returns, of shape (B, K, *rest), and of the truth in px
LOSSES = {
    "coordinate": (coordinate_loss, (2,)),
    "integral": (lambda z, xy: integral_loss(z, xy, grid=GRID), HW),
    "heatmap": (lambda z, xy: heatmap_loss(z, bumps(xy)), HW),
    "cross-entropy": (lambda z, xy: cross_entropy_loss(z, density(xy)), HW),
    "simcc": (lambda z, xy: simcc_loss(z.split((64, 48), -1), bins(xy)), (112,)),
    "masked heatmap": (lambda z, xy: masked_heatmap_loss(z, bumps(xy), torch.ones_like(z)), HW),
    "Gaussian": (lambda out, xy: gaussian_nll_loss(out[..., :2], xy, out[..., 2:]), (4,)),
    "Laplace": (lambda out, xy: laplace_nll_loss(out[..., :2], xy, out[..., 2]), (3,)),
    "attenuated": (lambda out, xy: attenuated_loss(coordinate_loss(out[..., :2], xy), out[..., 2]), (3,)),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shape_dtype_device(name, dtype, device):
    loss, rest = LOSSES[name]
    output, xy = draw(2, 3, *rest, dtype=dtype).to(device), points(2, 3, dtype=dtype).to(device)
    before = output.clone(), xy.clone()
    value = loss(output, xy)
    assert (value.shape, value.dtype, value.device.type) == ((2, 3), dtype, device)
    assert torch.equal(output, before[0]) and torch.equal(xy, before[1])


@every_loss
def test_a_batch_is_a_loop(name):
    loss, rest = LOSSES[name]
    output, xy = draw(2, 3, *rest), points(2, 3)
    value = loss(output, xy)
    for b in range(2):
        for k in range(3):
            torch.testing.assert_close(loss(output[b, k], xy[b, k]), value[b, k], rtol=1e-12, atol=0)


@every_loss
def test_gradients(name):
    loss, rest = LOSSES[name]
    xy = points(2, 2)
    assert torch.autograd.gradcheck(lambda output: loss(output, xy), draw(2, 2, *rest).requires_grad_())


@every_loss
@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_missing_truth_harms_neither_value_nor_gradient(name, missing):
    """The labeled keypoints' mean and gradient are those of a batch that holds nothing else."""
    loss, rest = LOSSES[name]
    output, xy = draw(2, 3, *rest).requires_grad_(), points(2, 3)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    alone = masked_mean(loss(output[mask], xy[mask]), mask[mask])
    (expected,) = torch.autograd.grad(alone, output)
    xy[~mask] = missing
    value = masked_mean(loss(output, xy), mask)
    (gradient,) = torch.autograd.grad(value, output)
    torch.testing.assert_close(value, alone, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)
    assert (gradient[~mask] == 0).all()


@every_loss
def test_a_forgotten_mask_shows(name):
    loss, rest = LOSSES[name]
    xy = points(2, 3)
    xy[0, 1, 0] = math.nan
    assert loss(draw(2, 3, *rest), xy).isnan().tolist() == [[False, True, False], [False] * 3]


@every_loss
def test_nothing_labeled_is_zero_with_zero_gradients(name):
    loss, rest = LOSSES[name]
    output = draw(2, 3, *rest).requires_grad_()
    value = masked_mean(loss(output, torch.full((2, 3, 2), math.nan)), torch.zeros(2, 3, dtype=torch.bool))
    value.backward()
    assert value == 0 and torch.equal(output.grad, torch.zeros_like(output))


def test_masked_mean_weighs_keypoints_not_images():
    values = torch.tensor([[1.0, 2.0, 3.0], [10.0, 0.0, 0.0]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert masked_mean(values, mask) == 4.0


def test_values_by_hand():
    found, xy = torch.tensor([[1.0, 7.0]]), torch.tensor([[4.0, 5.0]])
    assert coordinate_loss(found, xy) == agreement_loss(found, xy) == 5
    logits = torch.tensor([[0.0, math.log(3.0)]], dtype=torch.float64)  # probabilities 1/4, 3/4: mean cell (0.75, 0)
    value = integral_loss(logits, torch.tensor([5.5, 1.5], dtype=torch.float64), grid=GRID)
    assert value.item() == pytest.approx(abs(1.5 + 4 * 0.75 - 5.5) + 0)
    assert integral_loss(logits, torch.zeros(2).double(), grid=Grid(4), tau=0.5).item() == pytest.approx(4 * 0.9)


def test_against_torch():
    z, xy = draw(5, *HW), points(5)
    target = density(xy)
    oracle = F.cross_entropy(z.flatten(1), target.flatten(1), reduction="none")
    torch.testing.assert_close(cross_entropy_loss(z, target), oracle)
    oracle = F.mse_loss(z, target, reduction="none").flatten(1).mean(1)
    torch.testing.assert_close(heatmap_loss(z, target), oracle)
    (zx, zy), (px, py) = draw(5, 112, seed=4).split((64, 48), -1), bins(xy)
    oracle = F.cross_entropy(zx, px, reduction="none") + F.cross_entropy(zy, py, reduction="none")
    torch.testing.assert_close(simcc_loss((zx, zy), (px, py)), oracle)


def test_cross_entropy_is_least_where_the_softmax_is_the_target():
    target = density(points(4))
    logits = target.log().requires_grad_()
    value = cross_entropy_loss(logits, target)
    torch.testing.assert_close(value, torch.special.entr(target).sum((-2, -1)))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert gradient.abs().max() < 1e-14
    assert (cross_entropy_loss(logits + draw(4, *HW), target) > value).all()


def test_an_impossible_cell_costs_nothing_where_the_target_is_zero():
    target = torch.tensor([[0.0, 1.0]])
    logits = torch.tensor([[-300.0, 0.0]]).requires_grad_()
    value = cross_entropy_loss(logits, target)
    value.backward()
    assert value == 0 and logits.grad.isfinite().all()


def test_the_integral_loss_does_not_see_the_shape():
    """One peak at the truth or two around it: the same mean, so the same loss; cross-entropy tells them apart."""
    one = gaussian_heatmap(torch.tensor([4.0, 3.0], dtype=torch.float64), (7, 9), sigma=1.0).log()
    apart = torch.tensor([[2.0, 3.0], [6.0, 3.0]], dtype=torch.float64)
    two = gaussian_heatmap(apart, (7, 9), sigma=0.7).sum(0).log()
    truth, grid = torch.tensor([4.0, 3.0], dtype=torch.float64), Grid.index(1)
    assert integral_loss(one, truth, grid=grid) < 1e-6 and integral_loss(two, truth, grid=grid) < 1e-6
    assert cross_entropy_loss(two, one.flatten().softmax(0).view(7, 9)) > 1 + cross_entropy_loss(
        one, one.flatten().softmax(0).view(7, 9)
    )


def test_the_integral_losses_gradient():
    r"""Closed form: stride p_u (u - mean) sign / tau on each axis, which sums to 0 over the cells."""
    logits, tau = draw(*HW).requires_grad_(), 0.7
    xy = torch.tensor([3.0, 20.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(integral_loss(logits, xy, grid=GRID, tau=tau), logits)
    prob = (logits / tau).flatten().softmax(0).view(HW).detach()
    mean = soft_argmax(logits.detach(), tau)
    sign = (GRID.to_image(mean) - xy).sign()
    x, y = torch.arange(HW[1]) - mean[0], torch.arange(HW[0])[:, None] - mean[1]
    torch.testing.assert_close(gradient, 4 * prob * (sign[0] * x + sign[1] * y) / tau)
    assert abs(gradient.sum()) < 1e-14


def test_agreement_alone_is_no_supervision():
    """Value and gradient are zero at a common wrong answer; beside a supervised term it reaches both heads."""
    first, second = (torch.full((3, 2), 50.0, requires_grad=True) for _ in range(2))
    value = agreement_loss(first, second).sum()
    value.backward()
    assert value == 0 and (first.grad == 0).all() and (second.grad == 0).all()
    apart = torch.full((3, 2), 40.0, requires_grad=True)
    agreement_loss(first, apart).sum().backward()
    assert (first.grad == 1).all() and (apart.grad == -1).all()


def test_the_best_heatmap_under_label_noise_is_wider_and_lower():
    """Mean squared error's optimum is the mean target: a Gaussian of variance sigma^2 + nu^2 and of the same sum."""
    sigma, nu, n = 2.0, 1.5, 4000
    labels = 12 + nu * draw(n, 2, seed=5)
    target = gaussian_heatmap(labels, (25, 25), sigma=sigma)
    center = torch.tensor([12.0, 12.0], dtype=torch.float64)
    peak = sigma**2 / (sigma**2 + nu**2)
    best = peak * gaussian_heatmap(center, (25, 25), sigma=math.hypot(sigma, nu))
    clean = gaussian_heatmap(center, (25, 25), sigma=sigma)
    sampling, middle = target.std(0) / math.sqrt(n), best > 1e-3  # in the tails a few labels decide
    assert ((target.mean(0) - best).abs() < 4.5 * sampling)[middle].all() and peak == 0.64
    clean = gaussian_heatmap(center, (25, 25), sigma=sigma)
    gain = heatmap_loss(clean.expand_as(target), target).mean() - heatmap_loss(best.expand_as(target), target).mean()
    overlap = peak * 2 * sigma**2 * (sigma**2 + nu**2) / (2 * sigma**2 + nu**2)  # of both Gaussians, over pi
    expected = math.pi * (sigma**2 + peak**2 * (sigma**2 + nu**2) - 2 * overlap) / 625
    assert gain.item() == pytest.approx(expected, rel=0.05)


def test_all_zeros_nearly_solve_the_heatmap():
    """Class imbalance: a net that says nothing has the error pi sigma^2 / cells, here 0.0031 on 64 x 64 cells."""
    target = gaussian_heatmap(torch.tensor([30.3, 32.8], dtype=torch.float64), (64, 64), sigma=2.0)
    value = heatmap_loss(torch.zeros_like(target), target).item()
    assert value == pytest.approx(math.pi * 4 / 4096, rel=1e-9)
    assert (target > 0.01).double().mean() < 0.03


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: masked_mean(torch.zeros(3), torch.ones(3)), "mask: want bool (3,), got float32 (3,)"),
        (lambda: masked_mean(torch.zeros(3), torch.ones(1, 3, dtype=torch.bool)),
         "mask: want bool (3,), got bool (1, 3)"),
        (lambda: coordinate_loss(torch.zeros(4, 3), torch.zeros(4, 3)), "found: want shape (..., 2), got (4, 3)"),
        (lambda: coordinate_loss(torch.zeros(4, 2), torch.zeros(2)), "xy: want shape (4, 2), got (2,)"),
        (lambda: agreement_loss(torch.zeros(4, 2), torch.zeros(2)), "second: want shape (4, 2), got (2,)"),
        (lambda: heatmap_loss(torch.zeros(2, 3), torch.zeros(3, 2)), "target: want shape (2, 3), got (3, 2)"),
        (lambda: cross_entropy_loss(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)),
         "prob: want a floating dtype, got int64"),
        (lambda: integral_loss(torch.zeros(2, 3), torch.zeros(2), grid=GRID, tau=0),
         "tau: want a finite number > 0, got 0"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_sums_are_those_of_float32_rounded(dtype):
    """Sums of float16 end at 65504, and bfloat16 counts to 256."""
    draw = torch.Generator().manual_seed(0)
    values, mask = torch.full((64, 17), 80.0, dtype=dtype), torch.ones(64, 17, dtype=torch.bool)
    assert masked_mean(values, mask) == 80
    maps = (300 * torch.randn(2, 3, 40, 50, generator=draw)).to(dtype)
    target = maps.float().flip(0).flatten(-2).softmax(-1).view(maps.shape).to(dtype)
    xy = (200 * torch.rand(2, 7, 2, generator=draw)).to(dtype)
    for loss, one, other in ((heatmap_loss, maps / 4, maps.flip(0) / 4), (cross_entropy_loss, maps / 100, target),
                             (coordinate_loss, xy, xy.flip(0)), (agreement_loss, xy, xy.flip(0))):  # fmt: skip
        found = loss(one, other)
        assert found.dtype == dtype and torch.equal(found, loss(one.float(), other.float()).to(dtype)), loss


def test_a_grid_is_a_grid():
    with pytest.raises(ValueError, match="grid: want a Grid, got int"):
        integral_loss(torch.zeros(3, 5), torch.zeros(2), grid=4)


# ---------------------------------------------------------------------------------------------------------------------
# Incomplete labels


def labeled() -> tuple[Tensor, Tensor, Tensor]:
    """Maps (2, 3, 6, 8) and a continuous mask, of which a third is 0; the target is NaN there, or infinite."""
    heatmap, target = draw(2, 3, *HW, seed=2), draw(2, 3, *HW, seed=3)
    mask = draw(2, 3, *HW, seed=4).clamp(0, 1)
    return heatmap, torch.where(mask > 0, target, torch.where(heatmap > 0, math.nan, math.inf)), mask


def test_masked_heatmap_by_loops():
    heatmap, target, mask = labeled()
    value = masked_heatmap_loss(heatmap, target, mask)
    assert 0.3 < (mask == 0).double().mean() < 0.7 and ((0 < mask) & (mask < 1)).any()
    for b in range(2):
        for k in range(3):
            cells = [(i, j) for i in range(HW[0]) for j in range(HW[1]) if mask[b, k, i, j] > 0]
            total = sum(mask[b, k][c] * (heatmap[b, k][c] - target[b, k][c]) ** 2 for c in cells).item()
            assert value[b, k].item() == pytest.approx(total / 48, rel=1e-12)


def test_masked_heatmap_gradients():
    """2 M (heatmap - target) / cells, 0 under the mask; the target gets its negative, the mask the squared error."""
    heatmap, target, mask = labeled()
    heatmap.requires_grad_(), target.requires_grad_(), mask.requires_grad_()
    gradients = torch.autograd.grad(masked_heatmap_loss(heatmap, target, mask).sum(), (heatmap, target, mask))
    difference = torch.where(mask > 0, heatmap - target, 0).detach()
    torch.testing.assert_close(gradients[0], 2 * mask.detach() * difference / 48)
    torch.testing.assert_close(gradients[1], -2 * mask.detach() * difference / 48)
    torch.testing.assert_close(gradients[2], difference**2 / 48)
    known = target.detach().nan_to_num(0, 0, 0)
    assert torch.autograd.gradcheck(masked_heatmap_loss, (heatmap, known.requires_grad_(), mask))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_masks_of_one_zero_and_of_maps(dtype):
    heatmap, target = draw(2, 3, *HW, dtype=dtype), draw(2, 3, *HW, seed=3, dtype=dtype)
    full = heatmap_loss(heatmap, target)
    for ones in (torch.ones_like(heatmap), torch.ones(1, 1, dtype=dtype), torch.ones(3, 1, 1) > 0):
        value = masked_heatmap_loss(heatmap, target, ones)
        assert value.dtype == dtype and torch.equal(value, full)
    nothing = masked_heatmap_loss(heatmap, torch.full_like(target, math.nan), torch.zeros(HW))
    assert nothing.dtype == dtype and not nothing.any()
    visible = torch.tensor([[True, False, True], [False, False, True]])
    value = masked_heatmap_loss(heatmap, target, visible[..., None, None])
    assert torch.equal(value, torch.where(visible, full, 0))


def test_a_mask_is_linear_and_may_leave_0_to_1():
    heatmap, target = draw(3, *HW), draw(3, *HW, seed=3)
    one, two = draw(3, *HW, seed=5), draw(3, *HW, seed=6)
    value = masked_heatmap_loss(heatmap, target, one + 3 * two)
    parts = masked_heatmap_loss(heatmap, target, one) + 3 * masked_heatmap_loss(heatmap, target, two)
    torch.testing.assert_close(value, parts, rtol=1e-12, atol=1e-12)


def test_a_masked_target_that_is_missing_where_it_counts_shows():
    heatmap, target, mask = labeled()
    mask = mask.clone()
    mask[0, 1] = 0.5
    heatmap.requires_grad_()
    value = masked_heatmap_loss(heatmap, target, mask)
    assert value.isnan().tolist() == [[False, True, False], [False] * 3]
    (gradient,) = torch.autograd.grad(value.nansum(), heatmap)
    assert gradient.isfinite().all() and not gradient[0, 1].any()


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.3, 0.45])
def test_unbiased_masks_by_enumeration(flip):
    """All 2^6 ways to flip six labels: the mean of the weights is the mask, that of the loss the loss."""
    mask = torch.tensor([True, False, True, True, False, False])
    ways = torch.cartesian_prod(*[torch.tensor([False, True])] * 6)
    chance = (flip * ways.double() + (1 - flip) * (~ways).double()).prod(-1)
    weights = unbiased_mask((ways ^ mask).double(), flip=flip)
    torch.testing.assert_close(chance @ weights, mask.double())
    heatmap, target = draw(6, *HW), draw(6, *HW, seed=3)
    many = heatmap.expand(64, -1, -1, -1), target.expand(64, -1, -1, -1)
    losses = masked_heatmap_loss(*many, weights[..., None, None])
    right = masked_heatmap_loss(heatmap, target, mask[:, None, None])
    torch.testing.assert_close(chance @ losses, right)


def test_an_unbiased_mask_is_the_corrected_loss():
    heatmap, target, flip = draw(4, *HW), draw(4, *HW, seed=3), 0.3
    mask = draw(4, *HW, seed=4) > 0
    corrected = (masked_heatmap_loss(heatmap, target, mask) - flip * heatmap_loss(heatmap, target)) / (1 - 2 * flip)
    torch.testing.assert_close(masked_heatmap_loss(heatmap, target, unbiased_mask(mask.double(), flip=flip)), corrected)
    assert unbiased_mask(mask, flip=flip).dtype == torch.float32
    assert torch.equal(unbiased_mask(mask, flip=0), mask.float())


@pytest.mark.parametrize("dtype", [torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_unbiased_masks_dtype_device(dtype, device):
    mask = (draw(2, 3) > 0).to(dtype).to(device)
    before = mask.clone()
    weights = unbiased_mask(mask, flip=0.25)
    assert weights.dtype == (torch.float32 if dtype == torch.bool else dtype) and weights.device.type == device
    assert weights.unique().tolist() == [-0.5, 1.5] and torch.equal(mask, before)


# ---------------------------------------------------------------------------------------------------------------------
# Likelihoods


@pytest.mark.parametrize("isotropic", [False, True])
def test_likelihoods_against_torch_and_scipy(isotropic):
    found, xy, log = points(5), points(5, seed=2), draw(5, *() if isotropic else (2,), seed=3)
    both = log[..., None].expand(5, 2) if isotropic else log
    oracle = F.gaussian_nll_loss(found, xy, both.exp(), full=True, reduction="none").sum(-1)
    torch.testing.assert_close(gaussian_nll_loss(found, xy, log), oracle)
    law = stats.laplace(found.numpy(), both.exp().numpy())
    torch.testing.assert_close(laplace_nll_loss(found, xy, log), torch.from_numpy(-law.logpdf(xy.numpy()).sum(-1)))


def test_any_density_of_residuals():
    """Student's, whose tails are heavier than both."""
    found, xy, log = points(5), points(5, seed=2), draw(5, 2, seed=3)
    student = torch.distributions.StudentT(torch.tensor(4.0).double())
    value = residual_nll_loss(found, xy, log, lambda z: student.log_prob(z).sum(-1))
    law = stats.t(4, found.numpy(), log.exp().numpy())
    torch.testing.assert_close(value, torch.from_numpy(-law.logpdf(xy.numpy()).sum(-1)))


def test_the_best_scales_are_the_rms_and_the_mean_absolute_error():
    """Found by following the gradient from a scale of 1, for errors of a third kind."""
    xy = torch.zeros(4000, 2, dtype=torch.float64)
    found = 3 * draw(4000, 2, seed=9) ** 3
    for loss, best in ((gaussian_nll_loss, found.square().mean(0)), (laplace_nll_loss, found.abs().mean(0))):
        log = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        newton = torch.optim.LBFGS([log], max_iter=50, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

        def closure(loss=loss, log=log, newton=newton):
            newton.zero_grad()
            value = loss(found, xy, log.expand(4000, 2)).mean()
            value.backward()
            return value

        newton.step(closure)
        torch.testing.assert_close(log.detach().exp(), best, rtol=1e-6, atol=0)


def test_a_wrong_gaussian_pulls_harder_a_wrong_laplace_does_not():
    xy, log = torch.zeros(3, 2, dtype=torch.float64), torch.full((3,), math.log(2.0), dtype=torch.float64)
    found = torch.tensor([[1.0, 0.0], [10.0, 0.0], [100.0, 0.0]], dtype=torch.float64, requires_grad=True)
    (gaussian,) = torch.autograd.grad(gaussian_nll_loss(found, xy, log).sum(), found)
    (laplace,) = torch.autograd.grad(laplace_nll_loss(found, xy, log).sum(), found)
    torch.testing.assert_close(gaussian, found.detach() / 2)
    torch.testing.assert_close(laplace, torch.tensor([[0.5, 0.0]] * 3, dtype=torch.float64))


@pytest.mark.parametrize("missing", [math.nan, math.inf])
def test_missing_truth_teaches_no_scale(missing):
    found, log = points(3).requires_grad_(), draw(3, 2, seed=3).requires_grad_()
    xy = points(3, seed=2)
    xy[1, 0] = missing
    for loss in (gaussian_nll_loss, laplace_nll_loss):
        value = loss(found, xy, log)
        assert value.isnan().tolist() == [False, True, False]
        gradients = torch.autograd.grad(value.nansum(), (found, log))
        assert all(g.isfinite().all() and not g[1].any() and g[[0, 2]].all() for g in gradients)


def test_an_attenuated_loss_is_a_gaussian_one():
    found, xy, log = points(5), points(5, seed=2), draw(5, 2, seed=3)
    value = attenuated_loss((found - xy) ** 2, log).sum(-1) + math.log(2 * math.pi)
    torch.testing.assert_close(value, gaussian_nll_loss(found, xy, log))


def test_an_attenuated_loss_learns_a_mask():
    """At its best the weight is 1 / (2 L), and the price 1 / 2 (1 + ln L): maps with wrong labels weigh little."""
    loss = torch.tensor([0.01, 0.01, 4.0], dtype=torch.float64)
    log = loss.log().requires_grad_()
    value = attenuated_loss(loss.requires_grad_(), log)
    torch.testing.assert_close(value, (1 + loss.log()) / 2)
    weight, slope = torch.autograd.grad(value.sum(), (loss, log))
    torch.testing.assert_close(weight, 1 / (2 * loss))
    assert slope.abs().max() < 1e-15 and weight[2] < weight[0] / 300
    for step in (-0.1, 0.1):
        assert (attenuated_loss(loss, log + step) > value).all()


def test_an_attenuated_loss_without_truth():
    loss = torch.tensor([1.0, math.nan, math.inf], requires_grad=True)
    log = torch.zeros(3, requires_grad=True)
    value = attenuated_loss(loss, log)
    assert value.isnan().tolist() == [False, True, True]
    gradients = torch.autograd.grad(value.nansum(), (loss, log))
    assert all(g.isfinite().all() and not g[1:].any() for g in gradients)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda z, m: masked_heatmap_loss(z, z[0], m), "target: want shape (2, 3, 4), got (3, 4)"),
        (lambda z, m: masked_heatmap_loss(z, z, m[:, :2]),
         "mask: want a shape that broadcasts to (2, 3, 4), got (2, 2, 4)"),
        (lambda z, m: masked_heatmap_loss(z, z, m[None]),
         "mask: want a shape that broadcasts to (2, 3, 4), got (1, 2, 3, 4)"),
        (lambda z, m: masked_heatmap_loss(z, z, m.long()), "mask: want a floating dtype, got int64"),
        (lambda z, m: masked_heatmap_loss(z, z, 1), "mask: want a tensor (..., H, W), got int"),
        (lambda z, m: unbiased_mask(m, flip=0.5), "flip: want a probability from 0 to below 1/2, got 0.5"),
        (lambda z, m: unbiased_mask(m.long(), flip=0.1), "mask: want a floating dtype, got int64"),
        (lambda z, m: gaussian_nll_loss(z, z, z), "found: want shape (..., 2), got (2, 3, 4)"),
        (lambda z, m: gaussian_nll_loss(z[..., :2], z[..., :2], z),
         "log_scale: want shape (2, 3, 2) or (2, 3), got (2, 3, 4)"),
        (lambda z, m: laplace_nll_loss(z[..., :2], z[0, :, :2], z[..., 0]), "xy: want shape (2, 3, 2), got (3, 2)"),
        (lambda z, m: attenuated_loss(z, z[0]), "log_variance: want shape (2, 3, 4), got (3, 4)"),
    ],
)  # fmt: skip
def test_errors_of_masks_and_likelihoods(call, text):
    with pytest.raises(ValueError) as error:
        call(torch.zeros(2, 3, 4), torch.ones(2, 3, 4) > 0)
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# Associative embedding

both_pushes = pytest.mark.parametrize("push", ["hinge", "gaussian"])
ALL = torch.ones(2, 1, dtype=torch.bool)


def tagged(*leading: int, d=2, dtype=torch.float64) -> tuple[Tensor, Tensor]:
    """Four people of three keypoints, of whom some are unlabeled and NaN, one person as a whole."""
    tags, mask = draw(*leading, 4, 3, d, seed=7).to(dtype), draw(*leading, 4, 3, seed=8) < 0.7
    mask[..., 1, :], mask[..., 2, 0] = False, True
    return torch.where(mask[..., None], tags, math.nan), mask


def test_tags_by_hand():
    """Mean tags (0, 0) and (3, 4), 5 apart; the tags lie 1 from the mean of their person."""
    tags = torch.tensor([[[-1.0, 0.0], [1.0, 0.0]], [[3.0, 3.0], [3.0, 5.0]]], dtype=torch.float64)
    mask = torch.ones(2, 2, dtype=torch.bool)
    assert associative_embedding_loss(tags, mask, scale=7) == (1, 2)
    assert associative_embedding_loss(tags, mask, scale=4.9) == (1, 0)
    assert associative_embedding_loss(tags, mask, push="gaussian", scale=5)[1].item() == pytest.approx(math.exp(-0.5))
    equal = tags[:, :1].expand(2, 2, 2)
    assert associative_embedding_loss(equal, mask)[0] == 0
    assert associative_embedding_loss(tags[:1], mask[:1], scale=7) == (1, 0)  # one person: nobody to push


@both_pushes
@pytest.mark.parametrize("d", [1, 2, 5])
def test_tags_against_plain_loops(push, d):
    tags, mask = tagged(6, d=d)
    pull, apart = associative_embedding_loss(tags, mask, push=push, scale=1.5)
    assert pull.shape == apart.shape == (6,)
    for b in range(6):
        people = [tags[b, p][mask[b, p]] for p in range(4) if mask[b, p].any()]
        means = [person.mean(0) for person in people]
        spread = [((person - mean) ** 2).sum(1).mean().item() for person, mean in zip(people, means, strict=True)]
        pairs = [math.dist(means[i], means[j]) for j in range(len(means)) for i in range(j)]
        costs = [max(0, 1.5 - x) if push == "hinge" else math.exp(-(x**2) / (2 * 1.5**2)) for x in pairs]
        assert pull[b].item() == pytest.approx(sum(spread) / len(spread), rel=1e-12)
        assert apart[b].item() == pytest.approx(sum(costs) / len(costs) if costs else 0, rel=1e-12)


def test_the_push_of_the_paper():
    """Over all N * N ordered pairs, each person with itself too: 1 / N + (N - 1) / N times ours; its pull is ours."""
    tags, s, n, k = draw(5, 3, 1), 0.8, 5, 3
    pull, apart = associative_embedding_loss(tags, torch.ones(5, 3) > 0, push="gaussian", scale=s)
    mean = tags.mean(1)
    paper = torch.exp(-((mean[:, None] - mean) ** 2).sum(-1) / (2 * s**2)).sum() / n**2
    torch.testing.assert_close(paper, 1 / n + (n - 1) / n * apart)
    torch.testing.assert_close(pull, ((tags - mean[:, None]) ** 2).sum() / (n * k))


@pytest.mark.parametrize("distance", [0.05, 0.7, 1.0, 1.9, 2.1, 6.0])
def test_the_forces_between_two_people(distance):
    """Hinge: 1 below the margin, none beyond. Gaussian: d / s^2 e^(-d^2 / 2 s^2), the most at d = s."""
    for push, expected in (("hinge", float(distance < 2)), ("gaussian", distance / 4 * math.exp(-(distance**2) / 8))):
        tags = torch.tensor([[[0.0, 0.0]], [[0.6 * distance, 0.8 * distance]]], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(associative_embedding_loss(tags, ALL, push=push, scale=2)[1], tags)
        direction = torch.tensor([0.6, 0.8], dtype=torch.float64)
        torch.testing.assert_close(gradient[:, 0], expected * torch.stack((direction, -direction)))


def test_the_pull_is_a_spring_to_the_mean():
    """Gradient 2 (tag - mean) / (P K): what moving the mean would change cancels."""
    tags = draw(3, 4, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(associative_embedding_loss(tags, torch.ones(3, 4) > 0)[0], tags)
    torch.testing.assert_close(gradient, 2 * (tags - tags.mean(1, keepdim=True)).detach() / 12)


@both_pushes
def test_identical_tags_stay_together(push):
    """The gradient is 0, not NaN, and the push the largest there is."""
    tags = torch.full((3, 2, 4), 0.3, requires_grad=True)
    pull, apart = associative_embedding_loss(tags, torch.ones(3, 2) > 0, push=push, scale=0.5)
    (pull + apart).backward()
    assert pull == 0 and apart == (0.5 if push == "hinge" else 1) and torch.equal(tags.grad, torch.zeros(3, 2, 4))


@both_pushes
def test_tags_under_another_default_dtype_and_device(push):
    tags, mask = tagged(2, dtype=torch.float32)
    expected = associative_embedding_loss(tags, mask, push=push)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = associative_embedding_loss(tags, mask, push=push)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(one.dtype == torch.float32 for one in found)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert all(part.is_meta for part in associative_embedding_loss(tags.to("meta"), mask.to("meta"), push=push))


@both_pushes
def test_tags_gradients(push):
    tags, mask = tagged(2)
    tags = tags.nan_to_num(0).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: associative_embedding_loss(t, mask, push=push, scale=2.0), tags)


@both_pushes
@pytest.mark.parametrize("garbage", [1e30, math.nan, math.inf])
def test_unlabeled_tags_and_people_are_left_out(push, garbage):
    tags, mask = tagged()
    known = tags.nan_to_num(0).requires_grad_()
    alone = sum(associative_embedding_loss(known[[0, 2, 3]], mask[[0, 2, 3]], push=push, scale=2.0))
    (expected,) = torch.autograd.grad(alone, known)
    spoiled = torch.where(mask[..., None], tags, garbage).requires_grad_()
    value = sum(associative_embedding_loss(spoiled, mask, push=push, scale=2.0))
    (gradient,) = torch.autograd.grad(value, spoiled)
    torch.testing.assert_close(value, alone)
    torch.testing.assert_close(gradient, expected)
    assert not gradient[~mask].any() and gradient[mask].any()


@both_pushes
@pytest.mark.parametrize("shape", [(3, 2, 2), (0, 2, 2), (3, 0, 2), (5, 0, 2, 1)])
def test_nobody_labeled_is_zero_with_zero_gradients(push, shape):
    tags = torch.full(shape, math.nan, requires_grad=True)
    pull, apart = associative_embedding_loss(tags, torch.zeros(shape[:-1], dtype=torch.bool), push=push)
    (pull + apart).sum().backward()
    assert not pull.any() and not apart.any() and torch.equal(tags.grad, torch.zeros(shape))


@both_pushes
def test_tags_in_any_order_moved_and_in_batches(push):
    tags, mask = tagged(2, 3)
    value = torch.stack(associative_embedding_loss(tags, mask, push=push))
    people, keypoints = torch.tensor([3, 0, 1, 2]), torch.tensor([1, 2, 0])
    mixed = associative_embedding_loss(tags[..., people, :, :][..., keypoints, :], mask[..., people, :][..., keypoints],
                                       push=push)
    torch.testing.assert_close(torch.stack(mixed), value)
    torch.testing.assert_close(torch.stack(associative_embedding_loss(tags + 3, mask, push=push)), value)
    for b in range(2):
        for c in range(3):
            one = torch.stack(associative_embedding_loss(tags[b, c], mask[b, c], push=push))
            torch.testing.assert_close(one, value[:, b, c], rtol=1e-12, atol=0)


@both_pushes
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tags_dtype_device(push, dtype, device):
    tags, mask = (part.to(device) for part in tagged(2, dtype=dtype))
    found = associative_embedding_loss(tags, mask, push=push)
    assert all((part.shape, part.dtype, part.device.type) == ((2,), dtype, device) for part in found)
    wide = associative_embedding_loss(tags.to(torch.promote_types(dtype, torch.float32)), mask, push=push)
    assert all(torch.equal(one, other.to(dtype)) for one, other in zip(found, wide, strict=True))
    with torch.autocast(device, dtype=torch.bfloat16):
        again = associative_embedding_loss(tags, mask, push=push)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))


@pytest.mark.parametrize(
    "options, text",
    [
        ({"tags": torch.zeros(2, 3)}, "tags: want shape (..., P, K, D) with D >= 1, got (2, 3)"),
        ({"tags": torch.zeros(2, 3, 0)}, "tags: want shape (..., P, K, D) with D >= 1, got (2, 3, 0)"),
        ({"tags": torch.zeros(2, 3, 1, dtype=torch.int64)}, "tags: want a floating dtype, got int64"),
        ({"mask": torch.ones(2, 3)}, "mask: want bool (2, 3), got float32 (2, 3)"),
        ({"push": "hing"}, "push: want one of 'hinge', 'gaussian', got 'hing'"),
        ({"scale": 0}, "scale: want a finite number > 0, got 0"),
    ],
)
def test_errors_of_tags(options, text):
    options = {"tags": torch.zeros(2, 3, 1), "mask": torch.ones(2, 3, dtype=torch.bool)} | options
    with pytest.raises(ValueError) as error:
        associative_embedding_loss(**options)
    assert str(error.value) == text
