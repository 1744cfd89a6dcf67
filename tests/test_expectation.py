"""What a map expects: soft-argmax and its halves, its kin, spread. What all decoders share is in test_decode.py."""

import math

import numpy as np
import pytest
import torch
from samples import DTYPES, anywhere, close, maps
from scipy import special

from posebook import expectation
from posebook.decode import argmax
from posebook.encode import gaussian_heatmap
from posebook.expectation import mean_cell, soft_argmax, soft_argmax_compensated, spatial_softmax, spread


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda z: soft_argmax(z, 0), "tau: want a finite number > 0, got 0"),
        (lambda z: soft_argmax(z, tau=-1), "tau: want a finite number > 0, got -1"),
        (lambda z: spatial_softmax(z, 0), "tau: want a finite number > 0, got 0"),
        (lambda z: spatial_softmax(z[0]), "logits: want shape (..., H, W) with H, W >= 1, got (3,)"),
        (lambda z: mean_cell(z.int()), "prob: want a floating dtype, got int32"),
        (lambda z: soft_argmax_compensated(z, beta=0), "beta: want a finite number > 0, got 0"),
        (lambda z: spread(z, tau=0), "tau: want a finite number > 0, got 0"),
        (lambda z: spread(z[0]), "logits: want shape (..., H, W) with H, W >= 1, got (3,)"),
    ],
)
def test_errors_of_options(call, text):
    with pytest.raises(ValueError) as error:
        call(torch.zeros(3, 3))
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# The halves


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (0,), (2, 3)])
def test_halves_shape_dtype_device(leading, dtype, device):
    logits = maps(*leading, dtype=dtype).to(device)
    before, prob = logits.clone(), spatial_softmax(logits, 0.7)
    cells = mean_cell(prob)
    assert (prob.shape, prob.dtype, prob.device.type) == (logits.shape, dtype, device)
    assert (cells.shape, cells.dtype, cells.device.type) == ((*leading, 2), dtype, device)
    assert torch.equal(prob, spatial_softmax(logits.to(torch.promote_types(dtype, torch.float32)), 0.7).to(dtype))
    assert torch.equal(cells, mean_cell(prob.to(torch.promote_types(dtype, torch.float32))).to(dtype))
    assert torch.equal(logits, before)


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
def test_spatial_softmax_against_scipy(tau):
    logits = 5 * torch.randn(2, 3, 5, 7, dtype=torch.float64)
    close(spatial_softmax(logits, tau), torch.from_numpy(special.softmax(logits.numpy() / tau, axis=(-2, -1))))
    close(spatial_softmax(logits.mT, tau), spatial_softmax(logits, tau).mT)


def test_mean_cell_of_one_cell_of_a_mixture_and_of_weights():
    weights = torch.zeros(2, 4, 6, dtype=torch.float64)
    weights[0, 3, 5] = weights[1, 0, 0] = 1
    corners = torch.tensor([[5.0, 3.0], [0.0, 0.0]]).double()
    close(mean_cell(weights), corners)
    close(mean_cell(0.25 * weights[0] + 0.75 * weights[1]), torch.tensor([1.25, 0.75]).double())
    close(mean_cell(7 * weights[0]) / 7, corners[0])
    assert mean_cell(torch.full((1, 3000), 1 / 3000).bfloat16()).tolist() == [1504, 0]  # bfloat16 cannot count so far


def test_halves_gradients():
    logits = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: spatial_softmax(z, 0.6), logits)
    assert torch.autograd.gradcheck(mean_cell, logits)


# ---------------------------------------------------------------------------------------------------------------------
# soft_argmax


def test_soft_argmax_by_hand():
    """Weights 1 : 2 : 4 at tau = 2, on either axis."""
    logits = torch.tensor([[0.0, 2 * math.log(2), 2 * math.log(4)]], dtype=torch.float64)
    close(soft_argmax(logits, 2.0), torch.tensor([10 / 7, 0], dtype=torch.float64))
    close(soft_argmax(logits.mT, 2.0), torch.tensor([0, 10 / 7], dtype=torch.float64))


@pytest.mark.parametrize("tau", [0.3, 1.0, 4.0])
def test_soft_argmax_against_scipy(tau):
    logits = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    prob = special.softmax(logits.numpy() / tau, axis=(-2, -1))
    oracle = np.stack(((prob * np.arange(8)).sum((-2, -1)), (prob * np.arange(6)[:, None]).sum((-2, -1))), -1)
    close(soft_argmax(logits, tau), torch.from_numpy(oracle))
    close(soft_argmax(logits / tau), torch.from_numpy(oracle))


def test_soft_argmax_limits():
    logits = maps(20).log()
    assert torch.equal(soft_argmax(logits, 1e-5), argmax(logits))
    close(soft_argmax(logits, 1e12), torch.tensor([5.0, 4.0], dtype=torch.float64).expand(20, 2), atol=1e-9)
    close(soft_argmax(torch.full((4, 6), 3.0)), torch.tensor([2.5, 1.5]), atol=1e-6)
    tie = torch.zeros(1, 9)
    tie[0, 2] = tie[0, 7] = 1.0
    assert soft_argmax(tie, 1e-3).tolist() == [4.5, 0]  # where neither peak is


def test_soft_argmax_ignores_a_constant():
    logits = maps(5).log()
    close(soft_argmax(logits + 1e4), soft_argmax(logits), atol=1e-9)
    whole = torch.randint(0, 9, (5, 6, 7)).float()
    assert torch.equal(soft_argmax(whole + 10_000), soft_argmax(whole))
    assert soft_argmax(torch.full((2, 3), 3e38)).tolist() == [1, 0.5]  # no overflow


def test_soft_argmax_infinite_logits():
    logits = maps(3).log()
    masked = logits.clone()
    masked[..., 7:] = -math.inf
    close(soft_argmax(masked), soft_argmax(logits[..., :7]))  # a cell of -inf does not exist
    assert soft_argmax(torch.full((2, 2), -math.inf)).isnan().all()
    assert soft_argmax(torch.tensor([[0.0, math.inf]]))[0].isnan()


@pytest.mark.parametrize("block", [1, 99, 250])
@pytest.mark.parametrize("tau", [1.0, 0.7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_soft_argmax_blocks_are_invisible(monkeypatch, block, tau, dtype):
    """With and without a gradient, in any layout."""
    logits = maps(2, 5).log().to(dtype)
    expected, slope = soft_argmax(logits, tau), gradient(logits, tau)
    monkeypatch.setattr(expectation, "_BLOCK", block)
    before, atol = logits.clone(), 2 * torch.finfo(dtype).eps
    for view in (logits, logits.mT.contiguous().mT, logits.transpose(0, 1).contiguous().transpose(0, 1)):
        assert torch.equal(soft_argmax(view, tau), expected)
        torch.testing.assert_close(gradient(view, tau), slope, rtol=8 * atol, atol=atol)
    assert torch.equal(soft_argmax(logits[:, :1].expand(2, 5, 9, 11), tau), expected[:, :1].expand(2, 5, 2))
    torch.testing.assert_close(gradient(logits[0, 0], tau), slope[0, 0], rtol=8 * atol, atol=atol)
    with torch.no_grad():
        assert torch.equal(soft_argmax(logits.requires_grad_(), tau), expected)
    assert torch.equal(logits, before)


def gradient(logits: torch.Tensor, tau: float) -> torch.Tensor:
    leaf = logits.detach().requires_grad_()
    (slope,) = torch.autograd.grad(soft_argmax(leaf, tau)[..., 0].sum(), leaf)
    return slope


@pytest.mark.parametrize("block", [1, 10**9])
@pytest.mark.parametrize("tau", [1.0, 0.7])
def test_soft_argmax_gradients(monkeypatch, tau, block):
    monkeypatch.setattr(expectation, "_BLOCK", block)
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: soft_argmax(z, tau), logits)
    assert torch.autograd.gradgradcheck(lambda z: soft_argmax(z, tau), logits)


class Programs:
    """Stand for those of a card."""

    @staticmethod
    def forward(logits, tau):
        mean = expectation._plain_soft_argmax(logits, tau)
        return mean, torch.zeros_like(mean)

    @staticmethod
    def backward(logits, mean, kept, of_mean, tau):
        return torch.func.vjp(lambda z: expectation._plain_soft_argmax(z, tau), logits)[1](of_mean)[0]


def on_card(logits, tau=0.7):
    return expectation._SoftArgmaxOnCard.apply(logits, tau, Programs)


@pytest.mark.parametrize("function", [soft_argmax, on_card])
def test_soft_argmax_takes_many_gradients_at_once_and_further_ones(monkeypatch, function):
    monkeypatch.setattr(expectation, "_BLOCK", 1)
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, logits, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(function, logits)


def test_soft_argmax_of_a_constant_within_a_transform(monkeypatch):
    teacher, weight = torch.randn(2, 3, 4, requires_grad=True), torch.randn(5, 2, 2)
    expected = (weight * soft_argmax(teacher)).sum((1, 2))
    monkeypatch.setattr(expectation, "_BLOCK", 1)
    close(torch.func.vmap(lambda w: (w * soft_argmax(teacher)).sum())(weight), expected)
    close(torch.func.grad(lambda w: (w * soft_argmax(teacher)).sum())(weight[0]), soft_argmax(teacher))


@pytest.mark.parametrize("hw", [(1, 500), (500, 1), (2, 300), (1, 1)])
def test_soft_argmax_of_a_row_and_of_a_column(hw):
    """SimCC's bins. A line's own cells are summed in float64 alone: half an ulp of the answer is left."""
    logits = 2 * torch.randn(3, 4, *hw)
    expected = soft_argmax(logits.double())
    leaf = logits.clone().requires_grad_()
    for found in (soft_argmax(logits), soft_argmax(leaf), soft_argmax(logits.mT).flip(-1)):
        close(found.double(), expected, atol=4e-5 if 1 in hw else 1e-4)
    (slope,) = torch.autograd.grad(soft_argmax(leaf)[..., 0].sum(), leaf)
    leaf = logits.double().requires_grad_()
    close(slope, torch.autograd.grad(soft_argmax(leaf)[..., 0].sum(), leaf)[0].float(), atol=1e-4)


def test_soft_argmax_is_precise_in_float32():
    cells = torch.tensor([[40.3, 2.5], [150.8, 190.2]], dtype=torch.float64)
    squares = [(torch.arange(200.0, dtype=torch.float64) - c[:, None]).square() for c in cells.T]
    logits = -(squares[1][:, :, None] + squares[0][:, None, :]) / 8
    assert (soft_argmax(logits.float()).double() - soft_argmax(logits)).abs().max() < 4e-5  # 2 ulp at 200 are 3e-5


@pytest.mark.parametrize("block", [10**9, 100_000])
def test_soft_argmax_of_a_long_tail_is_as_exact_as_its_sums(monkeypatch, block):
    """A float32 softmax of 64 x 48 cells sums to 1 but for some 3e-6; the mean does not take that over, times 48."""
    monkeypatch.setattr(expectation, "_BLOCK", block)
    logits = (maps(8, 17, hw=(64, 48)) - 0.01).clamp(min=0).add(1e-6).log().float()
    for z in (logits, logits.clone().requires_grad_()):
        assert (soft_argmax(z) - soft_argmax(z.double())).abs().max() < 3e-5


# ---------------------------------------------------------------------------------------------------------------------
# soft_argmax_compensated


@pytest.mark.parametrize("beta", [0.5, 1.0, 5.0, 10.0, 20.0])
def test_compensated_is_the_pull_inverted(beta):
    """(C E - N c) / (C - N), which in float64 loses only some digits; also for values below 0."""
    heatmap = anywhere(30, (20, 24)) + 0.05 * torch.randn(30, 20, 24, dtype=torch.float64)
    total, n = torch.exp(beta * heatmap).sum((-2, -1))[:, None], 20 * 24
    center = torch.tensor([11.5, 9.5], dtype=torch.float64)
    inverted = (total * soft_argmax(heatmap, 1 / beta) - n * center) / (total - n)
    close(soft_argmax_compensated(heatmap, beta=beta), inverted, atol=1e-9)


@pytest.mark.parametrize("beta", [1e-6, 1.0, 10.0, 30.0, 1000.0])
def test_compensated_is_exact_on_a_cell_for_every_beta_in_float32(beta):
    cells = torch.tensor([[20.0, 28.0], [40.0, 11.0]])
    heatmap = gaussian_heatmap(cells, (64, 64), sigma=2.0)
    close(soft_argmax_compensated(heatmap, beta=beta), cells, atol=2e-5)


@pytest.mark.parametrize("beta, left", [(1e-3, 1e-8), (1.0, 1e-8), (5.0, 1e-4), (10.0, 4e-3), (20.0, 0.05)])
def test_compensated_leaves_aliasing(beta, left):
    """At any phase of its cell; soft-argmax of the same map is off by cells until beta is 10 and more."""
    cells = torch.tensor([20.0, 28.0]) + torch.rand(200, 2, dtype=torch.float64) - 0.5
    heatmap = gaussian_heatmap(cells, (64, 64), sigma=2.0)
    error = (soft_argmax_compensated(heatmap, beta=beta) - cells).abs().max()
    assert error < left
    if beta > 1:
        assert error > left / 4
    if beta <= 10:
        assert (soft_argmax(heatmap, 1 / beta) - cells).abs().max() > 0.4


def test_compensated_beyond_exp_and_below_zero():
    heatmap = torch.zeros(3, 5)
    heatmap[1, 3] = 1.0
    heatmap[0, 0] = -1.0
    for beta in (100.0, 1e4):  # e^100 is no float32
        assert soft_argmax_compensated(heatmap, beta=beta).tolist() == [3, 1]
    assert soft_argmax_compensated(torch.zeros(3, 5), beta=5.0).isnan().all()


def test_compensated_shift_pads_with_the_background():
    """In a wider map of zeros the answer moves along, to the last digits: the pull of more cells is taken out too."""
    heatmap = anywhere(5)
    moved = torch.nn.functional.pad(heatmap, (5, 2, 3, 4))
    out = soft_argmax_compensated(heatmap, beta=8.0)
    close(soft_argmax_compensated(moved, beta=8.0), out + torch.tensor([5.0, 3.0]))
    assert (soft_argmax(8 * moved) - soft_argmax(8 * heatmap) - torch.tensor([5.0, 3.0])).abs().max() > 0.05


def test_compensated_gradients():
    heatmap = (anywhere(3, (5, 6)) * (anywhere(3, (5, 6)) > 0.1)).requires_grad_()  # zeros too: their gradient counts
    assert torch.autograd.gradcheck(lambda h: soft_argmax_compensated(h, beta=3.0), heatmap)


# ---------------------------------------------------------------------------------------------------------------------
# spread


@pytest.mark.parametrize("tau", [0.4, 1.0, 3.0])
def test_spread_against_scipy_and_numpy(tau):
    logits = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    entropy, covariance = spread(logits, tau)
    y, x = np.mgrid[:5, :7]
    for b in range(2):
        for k in range(3):
            p = special.softmax(logits[b, k].numpy() / tau)
            assert entropy[b, k].item() == pytest.approx(special.entr(p).sum(), abs=1e-12)
            close(covariance[b, k], torch.from_numpy(np.cov(x.ravel(), y.ravel(), aweights=p.ravel(), ddof=0)))
    close(spread(logits.mT, tau)[1], covariance.flip(-1, -2))
    close(spread(logits.flip(-1), tau)[1], covariance * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (0,), (2, 3)])
def test_spread_shape_dtype_device_and_half_precision(dtype, leading, device):
    logits = maps(*leading, dtype=dtype).log().to(device)
    before = logits.clone()
    entropy, covariance = spread(logits)
    assert (entropy.shape, entropy.dtype, entropy.device.type) == (leading, dtype, device)
    assert (covariance.shape, covariance.dtype) == ((*leading, 2, 2), dtype)
    wide = spread(logits.to(torch.promote_types(dtype, torch.float32)))
    assert torch.equal(entropy, wide[0].to(dtype)) and torch.equal(covariance, wide[1].to(dtype))
    assert torch.equal(logits, before)
    assert spread(torch.empty(2, 4, 5, device="meta"))[1].shape == (2, 2, 2)


def test_spread_of_the_flat_the_sharp_and_the_tied():
    entropy, covariance = spread(torch.zeros(4, 5, dtype=torch.float64))
    assert entropy.item() == pytest.approx(math.log(20))
    close(covariance, torch.diag(torch.tensor([2.0, 1.25], dtype=torch.float64)))
    row = torch.tensor([[0.0, 3e4, 3e4, 0.0]], requires_grad=True)  # all others underflow
    entropy, covariance = spread(row)
    assert entropy.item() == pytest.approx(math.log(2)) and covariance.tolist() == [[0.25, 0], [0, 0]]
    (entropy + covariance.sum()).backward()
    assert row.grad.isfinite().all()
    one = torch.full((3, 3), -math.inf)
    one[1, 2] = 5.0
    one.requires_grad_()
    entropy, covariance = spread(one)
    (entropy + covariance.sum()).backward()
    assert entropy.item() == 0 and not covariance.any() and one.grad.isfinite().all()


def test_spread_ignores_a_constant_and_its_place():
    logits = maps(5).log()
    for a, b in zip(spread(logits), spread(logits + 1e4), strict=True):
        close(a, b, atol=1e-9)
    moved = torch.nn.functional.pad(logits, (300, 2, 3, 4), value=-math.inf)
    for a, b in zip(spread(logits), spread(moved), strict=True):
        close(a, b, atol=1e-11)


@pytest.mark.parametrize("tau", [0.7, 1.0])
def test_spread_gradients(tau):
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: spread(z, tau), logits)
    assert torch.autograd.gradgradcheck(lambda z: spread(z, tau), logits)


def test_spread_and_temperature():
    """dH / dtau = Var(z) / tau^3 >= 0 and dE / dtau = -Cov(x, z) / tau^2, by differences."""
    logits, tau, h = torch.randn(6, 7, dtype=torch.float64), 0.8, 1e-5
    p = (logits / tau).flatten().softmax(0).view(6, 7)
    mean = (p * logits).sum()
    slope = (spread(logits, tau + h)[0] - spread(logits, tau - h)[0]) / (2 * h)
    assert slope.item() == pytest.approx((p * (logits - mean).square()).sum().item() / tau**3, rel=1e-8)
    x = torch.arange(7.0, dtype=torch.float64)
    slope = (soft_argmax(logits, tau + h) - soft_argmax(logits, tau - h))[0] / (2 * h)
    assert slope.item() == pytest.approx(-(p * x * (logits - mean)).sum().item() / tau**2, rel=1e-8)
