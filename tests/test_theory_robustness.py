"""Dropout, similarity and noisy masks: every closed form against enumeration, quadrature, sympy or simulation."""

import itertools
import math

import numpy as np
import pytest
import sympy
import torch
import torch.nn.functional as F
from scipy import integrate, stats
from torch import Tensor

from posebook import theory
from posebook.evaluation import oks
from posebook.losses import heatmap_loss


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def every_mask(n: int, p: float) -> tuple[Tensor, Tensor]:
    """All 2^n outcomes of the coins (2^n, n), and their probabilities."""
    coins = torch.tensor(list(itertools.product((0.0, 1.0), repeat=n)))
    return coins, (coins * (1 - p) + (1 - coins) * p).prod(-1)


# ---------------------------------------------------------------------------------------------------------------------
# Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_dropout_by_enumeration(p):
    w, x = torch.randn(3, 8), torch.randn(8)
    coins, chance = every_mask(8, p)
    y = (coins / (1 - p) * x) @ w.mT  # (256, 3)
    mean = chance @ y
    off = y - mean
    moments = theory.dropout_moments(w, x, p)
    torch.testing.assert_close(moments.mean, mean, rtol=0, atol=1e-12)
    torch.testing.assert_close(moments.variance, chance @ off**2, rtol=1e-12, atol=0)
    torch.testing.assert_close(theory.dropout_covariance(w, x, p), off.mT @ (chance[:, None] * off))
    excess = chance @ off**4 / (chance @ off**2) ** 2 - 3
    torch.testing.assert_close(theory.dropout_kurtosis(w, x, p), excess, rtol=0, atol=1e-10)


def test_dropout_of_a_layer_of_torch():
    """nn.Dropout and nn.Linear: mean, variance, covariance and the variance of the sample variance, in 4.5 sigmas."""
    layer, x, p, n = torch.nn.Linear(20, 2), torch.randn(20), 0.3, 100_000
    with torch.no_grad():
        y = layer(F.dropout(x.expand(n, 20), p))
        mean, variance = theory.dropout_moments(layer.weight, x, p)
        covariance = theory.dropout_covariance(layer.weight, x, p)
        kurtosis = theory.dropout_kurtosis(layer.weight, x, p)
        assert ((y.mean(0) - mean - layer.bias).abs() < 4.5 * (variance / n).sqrt()).all()
        rsd = torch.tensor([theory.sample_variance_std(n, kurtosis=k.item()) for k in kurtosis])
        assert ((y.var(0) / variance - 1).abs() < 4.5 * rsd).all()
        slack = 4.5 * (variance[0] * variance[1] + covariance[0, 1] ** 2).sqrt() / math.sqrt(n)
        assert (torch.cov(y.mT)[0, 1] - covariance[0, 1]).abs() < slack


def test_dropout_by_hand_and_at_its_ends():
    w, x = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([2.0, -1.0])
    assert theory.dropout_moments(w, x, 0.2)[0].tolist() == [0, 0]
    assert theory.dropout_moments(w, x, 0.2)[1].tolist() == [2.0, 0.0]
    assert theory.dropout_moments(w, x, 0.0)[1].tolist() == [0.0, 0.0]
    assert theory.dropout_kurtosis(w, x, 0.5).isnan().tolist() == [False, True]
    one = theory.dropout_kurtosis(torch.ones(1), torch.ones(1), 0.5).item()
    assert one == pytest.approx(stats.bernoulli(0.5).stats("k")) == pytest.approx(-2)
    assert theory.dropout_kurtosis(torch.ones(400), torch.ones(400), 0.5).item() == pytest.approx(-2 / 400)
    integers = theory.dropout_moments(w.float(), x.half(), 0.2)
    assert integers.mean.dtype == integers.variance.dtype == torch.float64


def test_the_variance_of_dropout_knows_p_and_weights_and_scales():
    w, x = torch.randn(5, 30), torch.randn(30)
    variance = theory.dropout_moments(w, x, 0.5).variance
    torch.testing.assert_close(theory.dropout_moments(w, x, 0.2).variance, variance / 4)
    torch.testing.assert_close(theory.dropout_moments(3 * w, -x, 0.5).variance, 9 * variance)
    torch.testing.assert_close(theory.dropout_moments(w[2], x, 0.5).variance, variance[2])
    torch.testing.assert_close(theory.dropout_covariance(w, x, 0.5).diagonal(), variance)
    assert torch.autograd.gradcheck(lambda w, x: tuple(theory.dropout_moments(w, x, 0.3)),
                                    (w[:2].requires_grad_(), x.requires_grad_()))


@pytest.mark.parametrize("kurtosis, draw", [
    (0.0, lambda n, t: torch.randn(n, t)), (-1.2, lambda n, t: torch.rand(n, t)),
    (-2.0, lambda n, t: torch.randint(2, (n, t)).double()),
    (3.0, lambda n, t: torch.distributions.Laplace(0.0, 1.0).sample((n, t))),
])  # fmt: skip
@pytest.mark.parametrize("t", [2, 10, 51])
def test_the_spread_of_the_sample_variance(kurtosis, draw, t):
    n = 40_000
    variances = draw(n, t).var(-1)
    ratio = (variances.std() / variances.mean()).item()
    squares = (variances - variances.mean()) ** 2
    slack = 4.5 * squares.std().item() / (2 * squares.mean().item() * math.sqrt(n)) + 0.01
    assert theory.sample_variance_std(t, kurtosis=kurtosis) == pytest.approx(ratio, rel=slack)


def test_of_a_gaussian_it_is_that_of_chi_square():
    for t in (2, 5, 51, 1000):
        law = stats.chi2(t - 1)
        assert theory.sample_variance_std(t) == pytest.approx(law.std() / law.mean(), rel=1e-12)


@pytest.mark.parametrize("kurtosis", [-2.0, -1.2, 0.0, 0.7, 3.0, 40.0])
@pytest.mark.parametrize("std", [2.5, 0.7, 0.47, 0.2, 0.13, 0.1, 0.05])
def test_how_many_samples_are_enough(std, kurtosis):
    t = theory.samples_needed(std, kurtosis=kurtosis)
    assert theory.sample_variance_std(t, kurtosis=kurtosis) <= std * (1 + 1e-12)
    assert t == 2 or theory.sample_variance_std(t - 1, kurtosis=kurtosis) > std


# ---------------------------------------------------------------------------------------------------------------------
# Similarity


@pytest.mark.parametrize("kappa, variance", [(5.0, 25.0), (5.0, 3.0), (2.0, 40.0)])
def test_similarity_is_a_beta(kappa, variance):
    level = torch.linspace(0, 1, 21)
    ours = theory.similarity_cdf(level, kappa, variance)
    np.testing.assert_allclose(ours, stats.beta(kappa**2 / variance, 1).cdf(level.numpy()), rtol=1e-12)
    error = math.sqrt(variance) * torch.randn(20_000, 2)
    similarity = torch.exp(error.square().sum(-1) / (-2 * kappa**2))
    assert stats.kstest(theory.similarity_cdf(similarity, kappa, variance).numpy(), "uniform").pvalue > 1e-3
    mean, spread = theory.expected_oks(kappa, variance * torch.eye(2)), similarity.std() / math.sqrt(20_000)
    assert mean.item() == pytest.approx(stats.beta(kappa**2 / variance, 1).mean(), rel=1e-12)
    assert (similarity.mean() - mean).abs() < 4.5 * spread


COVARIANCES = [
    [[4.0, 0.0], [0.0, 4.0]], [[9.0, 2.0], [2.0, 1.0]], [[9.0, -2.9], [-2.9, 1.0]], [[4.0, 0.0], [0.0, 0.0]],
    [[4.0, 2.0], [2.0, 1.0]], [[250.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]],
]  # fmt: skip


@pytest.mark.parametrize("bias", [(0.0, 0.0), (3.0, -1.0)])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_expected_oks_against_quadrature(covariance, bias):
    """Along the axes of the covariance both integrals are separate: Gauss and Hermite, 80 points each."""
    kappa, s, b = 5.0, np.array(covariance), np.array(bias)
    variances, axes = np.linalg.eigh(s)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    exact = 1.0
    for variance, mean in zip(variances.clip(0), axes.T @ b, strict=True):
        e = mean + math.sqrt(variance) * nodes
        exact *= weights @ np.exp(-(e**2) / (2 * kappa**2)) / math.sqrt(2 * math.pi)
    ours = theory.expected_oks(kappa, torch.tensor(covariance), bias=torch.tensor(bias))
    assert ours.item() == pytest.approx(exact, rel=1e-6)
    if not any(bias):
        assert torch.equal(theory.expected_oks(kappa, torch.tensor(covariance)), ours)


def test_expected_oks_is_that_of_the_evaluation():
    """Three keypoints of their own sizes and covariances: the mean of `oks` over simulated people, in 4.5 sigmas."""
    sigmas, area, n = torch.tensor([0.05, 0.1, 0.2]), 900.0, 40_000
    factor = 2 * torch.randn(3, 2, 2)
    covariance, bias = factor @ factor.mT, torch.randn(3, 2)
    error = bias + (factor @ torch.randn(n, 3, 2, 1))[..., 0]
    measured = oks(error, torch.zeros(n, 3, 2), torch.full((n, 3), 2), torch.full((n,), area), sigmas)
    expected = theory.expected_oks(2 * sigmas * math.sqrt(area), covariance, bias=bias).mean()
    assert (measured.mean() - expected).abs() < 4.5 * measured.std() / math.sqrt(n)


def test_expected_oks_knows_no_axes_and_no_unit():
    factor = torch.randn(6, 2, 2)
    s, b, kappa = factor @ factor.mT, torch.randn(6, 2), 1 + torch.rand(6)
    value = theory.expected_oks(kappa, s, bias=b)
    assert value.shape == (6,) and ((0 < value) & (value < 1)).all()
    c, d = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[c, -d], [d, c]])
    torch.testing.assert_close(theory.expected_oks(kappa, turn @ s @ turn.mT, bias=b @ turn.mT), value)
    torch.testing.assert_close(theory.expected_oks(3 * kappa, 9 * s, bias=3 * b), value)
    for one in range(6):
        torch.testing.assert_close(theory.expected_oks(kappa[one].item(), s[one], bias=b[one]), value[one])
    assert theory.expected_oks(2.0, s.float()).dtype == torch.float64
    assert theory.expected_oks(2.0, torch.zeros(0, 2, 2)).shape == (0,)
    gradients = (kappa.requires_grad_(), factor.requires_grad_(), b.requires_grad_())
    assert torch.autograd.gradcheck(lambda k, f, b: theory.expected_oks(k, f @ f.mT, bias=b), gradients)


def test_singular_covariances_in_half_precision():
    line = torch.randn(50, 2).to(torch.float16)
    s = (line[:, :, None] * line[:, None]).to(torch.float16)
    along = line.double().square().sum(-1)
    torch.testing.assert_close(theory.expected_oks(1.0, s), (1 + along) ** -0.5, rtol=2e-3, atol=0)


# ---------------------------------------------------------------------------------------------------------------------
# Noise on a mask


def noisy(seed: int = 3) -> tuple[Tensor, Tensor]:
    """Squared errors (2, 3, 4, 5) of two keypoints in three images, and which of the maps' cells count."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 4, 5, generator=generator) ** 2, torch.rand(2, 3, 4, 5, generator=generator) < 0.6


@pytest.mark.parametrize("shared", [False, True])
def test_noise_on_a_mask(shared):
    """No clipping: the mean stays, the standard deviation is in proportion to eta; a map's common noise is louder."""
    (cost, mask), n = noisy(), 20_000
    c, m = (cost.sum((-2, -1)), torch.ones(2, 3)) if shared else (cost, mask.double())
    for eta in (0.1, 2.0):
        loss = ((m + eta * torch.randn(n, *m.shape)) * c).flatten(1).sum(1)
        std = theory.mask_noise_std(c, eta)
        assert (loss.mean() - (m * c).sum()).abs() < 4.5 * std / math.sqrt(n)
        assert loss.std().item() == pytest.approx(std.item(), rel=4.5 / math.sqrt(2 * n))
    assert theory.mask_noise_std(cost.sum((-2, -1)), 1.0) > 2 * theory.mask_noise_std(cost, 1.0)


def test_the_noise_of_a_squared_error():
    heatmap, target = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    expected = 0.3 * math.sqrt(sum(d**4 for d in (heatmap - target).flatten().tolist()))
    assert theory.mask_noise_std((heatmap - target) ** 2, 0.3).item() == pytest.approx(expected, rel=1e-12)
    assert theory.mask_noise_std((heatmap - target) ** 2, 0) == 0
    shared = theory.mask_noise_std(heatmap_loss(heatmap, target), 0.3).item() * 12
    assert shared == pytest.approx(0.3 * math.sqrt(sum(s**2 for s in ((heatmap - target) ** 2).sum((1, 2)).tolist())))


def test_noise_on_a_masked_mean():
    (cost, mask), n, eta = noisy(), 20_000, 0.1
    weights = mask + eta * torch.randn(n, *mask.shape)
    mean = (weights * cost).flatten(1).sum(1) / weights.flatten(1).sum(1)
    std = theory.masked_mean_noise_std(cost, mask.double(), eta)
    assert mean.std().item() == pytest.approx(std.item(), rel=0.03)
    even = theory.masked_mean_noise_std(torch.full((4, 5), 3.0), torch.ones(4, 5), eta)
    assert even == 0 and theory.mask_noise_std(torch.full((4, 5), 3.0), eta) > 1


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_flipped_labels_by_enumeration(flip):
    cost, mask = torch.rand(7) * 3, torch.arange(7) % 3 > 0
    coins, chance = every_mask(7, 1 - flip)  # 1 is a flip
    loss = (((coins > 0) ^ mask) * cost).sum(-1)
    mean, variance = theory.flip_moments(cost, mask, flip)
    assert mean.item() == pytest.approx((chance @ loss).item(), rel=1e-12)
    assert variance.item() == pytest.approx((chance @ (loss - mean) ** 2).item(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("mask", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("noise", ["gaussian", "uniform"])
@pytest.mark.parametrize("eta", [0.01, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 300.0])
def test_clipping_against_quadrature(eta, noise, mask):
    law = stats.norm(mask, eta) if noise == "gaussian" else stats.uniform(mask - eta, 2 * eta)

    def mean_of(f):
        """Both lumps, and what lies between them, from peak to peak."""
        low, high = max(0.0, mask - 12 * eta), min(1.0, mask + 12 * eta)
        corners = [x for x in (mask - eta, mask, mask + eta) if low < x < high]
        inside = integrate.quad(lambda x: f(x) * law.pdf(x), low, high, points=corners or None, epsabs=1e-13)[0]
        return f(0.0) * law.cdf(0.0) + f(1.0) * law.sf(1.0) + inside

    shift = mean_of(lambda x: x - mask)
    std = math.sqrt(mean_of(lambda x: (x - mask - shift) ** 2))
    ours = theory.clip_moments(eta, mask=mask, noise=noise)
    assert ours.shift == pytest.approx(shift, abs=1e-9) and ours.std == pytest.approx(std, abs=1e-9)
    mirrored = theory.clip_moments(eta, mask=1 - mask, noise=noise)
    assert (mirrored.shift, mirrored.std) == pytest.approx((-ours.shift, ours.std), abs=1e-12)


def test_clipping_by_sympy():
    """A mask of 1: shift and second moment of min(eta z, 0) down to -1, by symbols."""
    z, eta = sympy.symbols("z eta", positive=True)
    density = sympy.exp(-(z**2) / 2) / sympy.sqrt(2 * sympy.pi)
    lump = sympy.integrate(density, (z, 1 / eta, sympy.oo))
    first = -sympy.integrate(eta * z * density, (z, 0, 1 / eta)) - lump
    second = sympy.integrate(eta**2 * z**2 * density, (z, 0, 1 / eta)) + lump
    for value in (0.05, 0.4, 1.0, 7.0):
        shift, square = (float(e.subs(eta, value)) for e in (first, second))
        assert theory.clip_moments(value) == pytest.approx((shift, math.sqrt(square - shift**2)), rel=1e-9)


def test_clipping_of_little_and_of_much_noise():
    half, root = 1 / math.sqrt(2 * math.pi), math.sqrt(1 / 2 - 1 / (2 * math.pi))
    for eta in (1e-12, 1e-3, 0.1):
        assert theory.clip_moments(eta) == pytest.approx((-eta * half, eta * root), rel=1e-9)
    assert root == pytest.approx(0.584, abs=5e-4)
    for eta in (1e-12, 1e-3, 0.1, 1.0):
        shift, std = theory.clip_moments(eta, noise="uniform")
        assert (shift, std) == pytest.approx((-eta / 4, math.sqrt(5 / 48) * eta), rel=1e-9)
        assert std / (eta / math.sqrt(3)) == pytest.approx(math.sqrt(5 / 16)) == pytest.approx(0.559, abs=1e-3)
    for noise in ("gaussian", "uniform"):
        assert theory.clip_moments(1e6, noise=noise) == pytest.approx((-0.5, 0.5), abs=1e-5)


@pytest.mark.parametrize("eta, ratio", [(0.2, 0.5838), (0.3, 0.583), (0.5, 0.555), (1, 0.398), (2, 0.228), (5, 0.097)])
def test_table_of_clipping(eta, ratio):
    assert theory.clip_moments(eta).std / eta == pytest.approx(ratio, abs=5e-4)
    for mask in (0.0, 0.2, 0.5, 1.0):
        assert theory.clip_moments(eta, mask=mask).std < eta
    assert theory.clip_moments(0.1, mask=0.5).std / 0.1 == pytest.approx(1.0, abs=5e-4)
    assert theory.clip_moments(0.5, mask=0.5).std / 0.5 == pytest.approx(0.718, abs=5e-4)


def test_clipped_noise_of_a_loss():
    """The mean moves by eta / sqrt(2 pi) (S0 - S1), the standard deviation is 0.584 of what it was."""
    (cost, mask), n, eta = noisy(), 20_000, 0.1
    clipped = ((mask + eta * torch.randn(n, *mask.shape)).clamp(0, 1) * cost).flatten(1).sum(1)
    one, none = cost[mask].sum(), cost[~mask].sum()
    shift, std = theory.clip_moments(eta)
    expected = theory.mask_noise_std(cost, std)
    assert expected == pytest.approx(0.58382 * theory.mask_noise_std(cost, eta).item(), rel=1e-5)
    assert (clipped.mean() - (one + shift * (one - none))).abs() < 4.5 * expected / math.sqrt(n)
    assert clipped.std().item() == pytest.approx(expected.item(), rel=4.5 / math.sqrt(2 * n))


# ---------------------------------------------------------------------------------------------------------------------
# What the functions share

CALLS = {
    "dropout_moments": (lambda w, x: theory.dropout_moments(w, x, 0.3).variance, (3, 4), (4,)),
    "dropout_covariance": (lambda w, x: theory.dropout_covariance(w, x, 0.3), (2, 3, 4), (4,)),
    "dropout_kurtosis": (lambda w, x: theory.dropout_kurtosis(w, x, 0.3), (3, 4), (4,)),
    "similarity_cdf": (lambda s: theory.similarity_cdf(s.abs(), 2.0, 3.0), (3, 4)),
    "expected_oks": (lambda f, b: theory.expected_oks(2.0, (f @ f.mT + 0.1).to(b.dtype), bias=b), (3, 2, 2), (3, 2)),
    "mask_noise_std": (lambda c: theory.mask_noise_std(c, 0.3), (3, 4)),
    "masked_mean_noise_std": (lambda c, m: theory.masked_mean_noise_std(c, m.abs(), 0.3), (3, 4), (3, 4)),
    "flip_moments": (lambda c: theory.flip_moments(c, torch.ones_like(c) > 0, 0.3).variance, (3, 4)),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtype_device_and_inputs(name, dtype, device):
    function, *shapes = CALLS[name]
    inputs = [torch.randn(shape).to(dtype).to(device) for shape in shapes]
    before = [x.clone() for x in inputs]
    out = function(*inputs)
    assert (out.dtype, out.device.type) == (torch.float64, device)
    if name != "expected_oks":  # whose covariance is made in the dtype
        assert torch.equal(out, function(*(x.double() for x in inputs)))
    assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))
    assert function(*(x.to("meta") for x in inputs)).shape == out.shape


@pytest.mark.parametrize("name", CALLS)
def test_gradients(name):
    function, *shapes = CALLS[name]
    assert torch.autograd.gradcheck(function, tuple((1 + torch.rand(shape)).requires_grad_() for shape in shapes))


def test_every_closed_form_is_in_theory():
    """What a file of the package defines, but for its private helpers, is found as theory.name."""
    defined = {
        name: value for module in (theory.representations, theory.decoding, theory.robustness, theory.applications)
        for name, value in vars(module).items()
        if not name.startswith("_") and (getattr(value, "__module__", "") == module.__name__ or name.isupper())
    }  # fmt: skip
    assert set(theory.__all__) == set(defined) and len(theory.__all__) > 50
    assert all(getattr(theory, name) is value for name, value in defined.items())


TWO = torch.ones(2)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: theory.dropout_moments(TWO, TWO, 1), "p: want a probability from 0 to below 1, got 1"),
        (lambda: theory.dropout_moments(TWO, TWO, math.nan), "p: want a probability from 0 to below 1, got nan"),
        (lambda: theory.dropout_moments(TWO, torch.ones(3), 0.5),
         "x: want shape (..., n) with the n of w (2,), got (3,)"),
        (lambda: theory.dropout_covariance(TWO.long(), TWO, 0.5), "w: want a floating dtype, got int64"),
        (lambda: theory.dropout_kurtosis(TWO, TWO, 0), "p: want > 0, as nothing varies without dropout, got 0"),
        (lambda: theory.sample_variance_std(1), "samples: want a whole number >= 2, got 1"),
        (lambda: theory.sample_variance_std(9, kurtosis=-3), "kurtosis: want a finite number >= -2, got -3"),
        (lambda: theory.samples_needed(0), "std: want a finite number > 0, got 0"),
        (lambda: theory.similarity_cdf(TWO, 0, 1), "kappa: want a finite number > 0, got 0"),
        (lambda: theory.similarity_cdf(TWO, 1, 0), "variance: want a finite number > 0, got 0"),
        (lambda: theory.expected_oks(0, torch.eye(2)), "kappa: want a finite number > 0, got 0"),
        (lambda: theory.expected_oks(0 * TWO, torch.eye(2)), "kappa: want > 0, got values that are not"),
        (lambda: theory.expected_oks(1, TWO), "covariance: want shape (..., 2, 2), got (2,)"),
        (lambda: theory.expected_oks(1, -torch.eye(2)),
         "covariance: want symmetric and positive semidefinite, got values that are not"),
        (lambda: theory.expected_oks(1, torch.tensor([[1.0, 0.5], [0.4, 1.0]])),
         "covariance: want symmetric and positive semidefinite, got values that are not"),
        (lambda: theory.expected_oks(1, torch.tensor([[1.0, 1.1], [1.1, 1.0]])),
         "covariance: want symmetric and positive semidefinite, got values that are not"),
        (lambda: theory.expected_oks(1, torch.eye(2), bias=torch.ones(3)), "bias: want shape (..., 2), got (3,)"),
        (lambda: theory.mask_noise_std(TWO, -1), "eta: want a finite number >= 0, got -1"),
        (lambda: theory.masked_mean_noise_std(TWO, torch.ones(3), 1), "mask: want shape (2,), got (3,)"),
        (lambda: theory.flip_moments(TWO, TWO, 0.1), "mask: want bool (2,), got float32 (2,)"),
        (lambda: theory.flip_moments(TWO, TWO > 0, 2), "flip: want a number from 0 to 1, got 2"),
        (lambda: theory.clip_moments(0), "eta: want a finite number > 0, got 0"),
        (lambda: theory.clip_moments(1, mask=2), "mask: want a number from 0 to 1, got 2"),
        (lambda: theory.clip_moments(1, noise="normal"), "noise: want one of 'gaussian', 'uniform', got 'normal'"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text
