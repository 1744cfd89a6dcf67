"""What a network claims of its error: samples against closed forms, densities by quadrature, coverage by simulation.

Simulations have fixed seeds; their slack is 4.5 standard deviations of what they estimate, unless it is said otherwise.
"""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from posebook import theory
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax
from posebook.losses import gaussian_nll_loss, laplace_nll_loss, residual_nll_loss
from posebook.metrics import pck
from posebook.uncertainty import (
    DROPOUT,
    ResidualFlow,
    conformal_radius,
    ensemble_uncertainty,
    excess_variance,
    expected_calibration_error,
    mc_dropout,
    point_reliability,
    sample_moments,
    scale_variances,
    score_reliability,
    squared_mahalanobis,
)


def draw(*shape: int, seed: int = 0, dtype=torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def covariances(*leading: int, seed: int = 5) -> Tensor:
    factor = draw(*leading, 2, 2, seed=seed)
    return factor @ factor.mT + 0.1 * torch.eye(2, dtype=torch.float64)


# ---------------------------------------------------------------------------------------------------------------------
# MC dropout


class Net(nn.Module):
    """Convolution, batch normalization, dropout, and two heads."""

    def __init__(self, p: float = 0.3):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout2d(p))
        self.maps, self.tags = nn.Conv2d(4, 2, 1), nn.Sequential(nn.Dropout(p), nn.Conv2d(4, 1, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(image)
        return self.maps(features), self.tags(features)


class Fails(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("on the way")


def modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net()
    net(torch.randn(8, 3, 6, 6))  # running statistics that are not the first ones
    return net


def test_dropout_on_and_all_else_off(net):
    """The same as the network in evaluation mode, but for units that are dropped; nothing in it changes."""
    image, before = draw(5, 3, 6, 6, dtype=torch.float32), copy.deepcopy(net.state_dict())
    seen = []
    hook = net.register_forward_pre_hook(lambda module, args: seen.append((modes(module), torch.is_grad_enabled())))
    maps, tags = mc_dropout(net, image, samples=7, seed=1)
    hook.remove()
    assert maps.shape == (7, 5, 2, 4, 4) and tags.shape == (7, 5, 1, 4, 4)
    on = [isinstance(module, DROPOUT) for module in net.modules()]
    assert sum(on) == 2 and seen == [(on, False)]
    assert not maps.requires_grad and len({tuple(one.flatten().tolist()) for one in maps}) == 7
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    for module in net.modules():
        if isinstance(module, DROPOUT):
            module.p = 0.0
    expected = net.eval()(image)
    for found, one in zip(mc_dropout(net, image, samples=2), expected, strict=True):
        torch.testing.assert_close(found, one.detach().expand_as(found), rtol=0, atol=1e-6)


@pytest.mark.parametrize("setting", ["train", "eval", "mixed"])
@pytest.mark.parametrize("fails", [False, True])
def test_every_mode_comes_back(net, setting, fails):
    net.train(setting == "train")
    if setting == "mixed":
        net.trunk[1].train()
        net.tags.train()
        net.tags[0].eval()
    if fails:
        net.tags.append(Fails())
    before = modes(net)
    image = torch.zeros(1, 3, 6, 6)
    if fails:
        with pytest.raises(RuntimeError, match="on the way"):
            mc_dropout(net, image, samples=2, seed=0)
    else:
        mc_dropout(net, image, samples=2, seed=0)
    assert modes(net) == before and torch.is_grad_enabled()


def test_seeds(net):
    """A seed decides the samples and leaves torch's generator alone, after an exception too; None draws from it."""
    image = draw(2, 3, 6, 6, dtype=torch.float32)
    torch.manual_seed(3)
    following = torch.rand(3)
    torch.manual_seed(3)
    first = mc_dropout(net, image, samples=3, seed=1)[0]
    with pytest.raises(RuntimeError):
        mc_dropout(nn.Sequential(nn.Dropout(), Fails()), image, samples=3, seed=1)
    assert torch.equal(torch.rand(3), following)
    assert torch.equal(mc_dropout(net, image, samples=3, seed=1)[0], first)
    assert not torch.equal(mc_dropout(net, image, samples=3, seed=2)[0], first)
    torch.manual_seed(3)
    loose = mc_dropout(net, image, samples=3)[0]
    assert not torch.equal(mc_dropout(net, image, samples=3)[0], loose)
    torch.manual_seed(3)
    assert torch.equal(mc_dropout(net, image, samples=3)[0], loose)


@pytest.mark.parametrize("batch, sizes", [(1, [5] * 7), (9, [5] * 7), (10, [10, 10, 10, 5]), (256, [35])])
def test_samples_go_through_in_batches(net, batch, sizes):
    """Image after image within a sample, so that sample t of image b is at [t, b], whatever the batch."""
    net.maps = nn.Identity()
    image = torch.arange(5.0)[:, None, None, None].expand(5, 3, 6, 6)
    seen = []
    net.trunk = nn.Sequential(nn.Dropout(0.0), nn.Identity())
    net.tags = nn.Identity()
    hook = net.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    found, _ = mc_dropout(net, image, samples=7, batch=batch)
    hook.remove()
    assert seen == sizes and torch.equal(found, image.expand(7, 5, 3, 6, 6))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_mc_dropout_against_the_closed_form(p):
    """A linear layer: mean, variance and covariance of its samples are those of theory."""
    torch.manual_seed(0)
    layer, x, t = nn.Linear(12, 2).double(), draw(3, 12), 20_000
    found = mc_dropout(nn.Sequential(nn.Dropout(p), layer), x, samples=t, seed=4)
    mean, covariance = sample_moments(found)
    for b in range(3):
        exact = theory.dropout_moments(layer.weight.detach(), x[b], p)
        assert ((mean[b] - exact.mean - layer.bias.detach()).abs() < 4.5 * (exact.variance / t).sqrt()).all()
        kurtosis = theory.dropout_kurtosis(layer.weight.detach(), x[b], p)
        slack = [4.5 * theory.sample_variance_std(t, kurtosis=k.item()) for k in kurtosis]
        ratio = covariance[b].diagonal() / exact.variance
        assert all(abs(r - 1) < s for r, s in zip(ratio.tolist(), slack, strict=True))
        shared = theory.dropout_covariance(layer.weight.detach(), x[b], p)
        error = (shared.diagonal().prod() + shared[0, 1] ** 2).sqrt() / math.sqrt(t)
        assert (covariance[b, 0, 1] - shared[0, 1]).abs() < 4.5 * error
    assert found[:, 0].sub(found[:, 1]).std(0).min() > 0  # another mask for each image


def test_mc_dropout_of_soft_argmax_by_the_delta_method():
    """Dropout on the features of a map: the point's variance is p / (1 - p) sum (J x)^2, to first order."""
    torch.manual_seed(2)
    head, p = nn.Conv2d(40, 1, 1).double(), 0.05
    cx, cy = 4 + 0.5 * draw(2, 40, 1, 1)  # each channel asks for another place
    bowls = -((torch.arange(9.0) - cx) ** 2 + (torch.arange(9.0)[:, None] - cy) ** 2) / 4  # (40, 9, 9)
    features = bowls[None] / 40 / head.weight.detach().view(1, 40, 1, 1)
    found = soft_argmax(mc_dropout(nn.Sequential(nn.Dropout2d(p), head), features, samples=20_000, seed=0))[:, 0, 0]
    shares = torch.zeros(1, 40, 1, 1, dtype=torch.float64).add(1).requires_grad_()
    jacobian = torch.stack([
        torch.autograd.grad(soft_argmax(head(features * shares))[0, 0, axis], shares)[0].flatten() for axis in range(2)
    ])  # (2, 40)
    exact = theory.dropout_moments(jacobian, torch.ones(40).double(), p).variance
    torch.testing.assert_close(found.var(0), exact, rtol=0.1, atol=0)


@pytest.mark.parametrize("kind", DROPOUT)
def test_every_dropout_of_torch_is_known(kind):
    shape = {nn.Dropout1d: (2, 8, 5), nn.Dropout3d: (2, 8, 3, 3, 3)}.get(kind, (2, 8, 5, 5))
    found = mc_dropout(nn.Sequential(kind(0.5), nn.Flatten()), torch.ones(shape), samples=4, seed=0)
    assert len({tuple(one.flatten().tolist()) for one in found}) == 4
    assert {getattr(nn, name) for name in dir(nn) if name.endswith("Dropout") or "Dropout" in name} == set(DROPOUT)


# ---------------------------------------------------------------------------------------------------------------------
# Moments of several answers


@pytest.mark.parametrize("correction", [0, 1])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_sample_moments_against_numpy(d, correction):
    points = draw(6, 4, 3, d)
    mean, covariance = sample_moments(points, correction=correction)
    for b in range(4):
        for k in range(3):
            here = points[:, b, k].numpy()
            np.testing.assert_allclose(mean[b, k], here.mean(0), rtol=1e-12)
            oracle = np.cov(here.T, ddof=correction).reshape(d, d)
            np.testing.assert_allclose(covariance[b, k], oracle, rtol=1e-12, atol=1e-14)
    shifted = sample_moments(points + 100, correction=correction)
    torch.testing.assert_close(shifted.covariance, covariance, rtol=1e-9, atol=1e-12)
    assert torch.autograd.gradcheck(lambda p: tuple(sample_moments(p, correction=correction)),
                                    points[:, 0, 0].clone().requires_grad_())


def test_the_correction_is_the_bias():
    """Means over 20,000 groups of five: without correction (T - 1) / T of the variance."""
    points = 3 * draw(5, 20_000, 1)
    for correction, factor in ((1, 1.0), (0, 0.8)):
        variance = sample_moments(points, correction=correction).covariance.flatten()
        assert abs(variance.mean().item() - 9 * factor) < 4.5 * variance.std().item() / math.sqrt(20_000)


@pytest.mark.parametrize("kind", ["isotropic", "per axis", "full"])
def test_total_variance_is_that_of_the_mixture(kind):
    """Five members' Gaussians: 200,000 draws of the mixture have the sum of both covariances (correction 0)."""
    points, n = draw(5, 2), 200_000
    full = covariances(5)
    variance = {"isotropic": full[:, 0, 0], "per axis": full.diagonal(dim1=-2, dim2=-1), "full": full}[kind]
    same = {"isotropic": torch.diag_embed(full[:, :1, 0].expand(5, 2)),
            "per axis": torch.diag_embed(variance) if kind == "per axis" else None, "full": full}[kind]
    both = ensemble_uncertainty(points, variance, correction=0)
    torch.testing.assert_close(both.aleatoric, same.mean(0))
    torch.testing.assert_close(both.total, both.aleatoric + both.epistemic)
    member = torch.randint(5, (n,), generator=torch.Generator().manual_seed(1))
    drawn = points[member] + (torch.linalg.cholesky(same)[member] @ draw(n, 2, 1, seed=2))[..., 0]
    for i in range(2):
        for j in range(2):
            products = (drawn[:, i] - both.mean[i]) * (drawn[:, j] - both.mean[j])
            assert (products.mean() - both.total[i, j]).abs() < 4.5 * products.std() / math.sqrt(n)


def test_networks_that_agree_and_networks_that_are_sure():
    agree = ensemble_uncertainty(torch.ones(4, 3, 2), torch.full((4, 3), 2.0))
    assert not agree.epistemic.any() and torch.equal(agree.total, 2 * torch.eye(2).expand(3, 2, 2))
    points = draw(4, 3, 2)
    sure = ensemble_uncertainty(points, torch.zeros(4, 3, 2))
    assert not sure.aleatoric.any() and torch.equal(sure.total, sample_moments(points).covariance)


@pytest.mark.parametrize("sigma, nu, stride", [(2.0, 1.5, 4), (0.8, 0.6, 8), (1.0, 3.0, 4)])
def test_excess_variance_is_the_variance_of_the_label(sigma, nu, stride):
    """A map that is the mean of the targets of scattered labels, as cross-entropy asks: nu^2 is what remains."""
    labels = 20 + nu * draw(4000, 2)
    mean = gaussian_heatmap(labels, (41, 41), sigma=sigma).div(2 * math.pi * sigma**2).mean(0)
    excess = excess_variance(mean.log(), sigma)
    expected = labels.var(0).mean()
    assert excess.item() == pytest.approx(expected.item(), rel=2e-3)
    assert stride * excess.sqrt().item() == pytest.approx(stride * nu, rel=0.03)


def test_excess_variance_of_targets_is_zero_on_average_over_a_cell():
    """At one place of the keypoint in its cell the grid's ripple is left, 14 % of sigma squared at 0.5 cells."""
    phase = (torch.arange(20.0).double() + 0.5) / 20 - 0.5
    cells = 10 + torch.stack(torch.meshgrid(phase, phase, indexing="xy"), -1)
    excess = excess_variance(gaussian_heatmap(cells, (21, 21), sigma=0.5).clamp(min=1e-300).log(), 0.5)
    assert excess.abs().max().item() == pytest.approx(0.14 * 0.25, rel=0.1)
    assert abs(excess.mean().item()) < 0.02 * 0.25
    narrow = excess_variance(gaussian_heatmap(cells, (21, 21), sigma=1.0).log(), 1.5)
    torch.testing.assert_close(narrow, torch.full((20, 20), 1 - 1.5**2).double(), rtol=1e-4, atol=0)
    assert torch.autograd.gradcheck(lambda z: excess_variance(z, 1.0, 0.7), draw(2, 4, 5).requires_grad_())


# ---------------------------------------------------------------------------------------------------------------------
# The flow


def shaped(base: str, *, seed: int = 0, strength: float = 0.5) -> ResidualFlow:
    """A flow whose last layers are not 0 any more."""
    torch.manual_seed(seed)
    flow = ResidualFlow(base=base).double()
    with torch.no_grad():
        for net in flow.nets:
            net[2].weight.normal_(0, strength)
            net[2].bias.normal_(0, strength)
    return flow


@pytest.mark.parametrize("base, reach", [("laplace", 35), ("gaussian", 20)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_flow_is_a_density(base, reach, seed):
    """Its integral over the plane is 1: the sum over a grid of steps of 0.1."""
    flow = shaped(base, seed=seed, strength=0.2)
    axis = torch.arange(-10 * reach, 10 * reach).double() / 10 + 0.05
    with torch.no_grad():
        density = flow.log_prob(torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)).exp()
    assert density[[0, -1]].max() < 1e-6 and density[:, [0, -1]].max() < 1e-6  # next to nothing is left outside
    assert density.sum().item() * 0.1**2 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("base", ["laplace", "gaussian"])
def test_a_flow_by_the_change_of_variables(base):
    """Its log density is the base's at the end of the way, plus the logarithm of the whole map's Jacobian."""
    flow = shaped(base)

    def way(z: Tensor) -> Tensor:
        for k, net in enumerate(flow.nets):
            kept, moved = z[k % 2], z[1 - k % 2]
            stretch, shift = net(kept[None])
            moved = moved * stretch.tanh().exp() + shift
            z = torch.stack((moved, kept) if k % 2 else (kept, moved))
        return z

    law = {"laplace": stats.laplace, "gaussian": stats.norm}[base]
    for z in draw(5, 2):
        jacobian = torch.autograd.functional.jacobian(way, z)
        exact = law.logpdf(way(z).detach().numpy()).sum() + torch.linalg.slogdet(jacobian)[1].item()
        assert flow.log_prob(z).item() == pytest.approx(exact, rel=1e-10)


def test_a_new_flow_is_its_base():
    found, xy, log = draw(4, 2), draw(4, 2, seed=1), draw(4, 2, seed=2)
    for base, loss in (("laplace", laplace_nll_loss), ("gaussian", gaussian_nll_loss)):
        flow = ResidualFlow(base=base).double()
        claimed = 2 * log if base == "gaussian" else log
        value = residual_nll_loss(found, xy, log, flow.log_prob)
        torch.testing.assert_close(value, loss(found, xy, claimed))


def test_a_flow_has_gradients():
    flow = shaped("gaussian")
    assert torch.autograd.gradcheck(flow.log_prob, draw(3, 2).requires_grad_())
    residual_nll_loss(draw(4, 2), draw(4, 2, seed=1), draw(4, seed=2), flow.log_prob).mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in flow.parameters())
    xy = torch.tensor([[0.0, math.nan]], dtype=torch.float64)
    value = residual_nll_loss(draw(1, 2), xy, draw(1, seed=2), flow.log_prob)
    flow.zero_grad()
    value.nansum().backward()
    assert value.isnan() and all(not p.grad.any() for p in flow.parameters())


def bent(n: int, seed: int) -> Tensor:
    """Residuals on a bow: the y of each depends on its x."""
    x, y = draw(n, 2, seed=seed).unbind(-1)
    return torch.stack((x, 0.3 * y + 0.7 * (x.square() - 1)), -1)


def test_a_flow_learns_the_shape_of_the_errors():
    """On new residuals it ends within 0.15 nats of the true density, of which both bases miss more than 0.9."""
    torch.manual_seed(0)
    flow = ResidualFlow(base="gaussian").double()
    optimizer = torch.optim.Adam(flow.parameters(), lr=0.02)
    for step in range(300):
        loss = -flow.log_prob(bent(256, seed=step)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    new = bent(5000, seed=999)
    exact = stats.norm.logpdf(new[:, 0]) + stats.norm(0.7 * (new[:, 0] ** 2 - 1), 0.3).logpdf(new[:, 1])
    missing = exact.mean() - flow.log_prob(new).mean().item()
    assert -0.1 < missing < 0.15
    zero, spread = torch.zeros(5000, 2, dtype=torch.float64), new.square().mean(0).log().expand(5000, 2)
    widths = new.abs().mean(0).log().expand(5000, 2)
    for best in (gaussian_nll_loss(zero, new, spread), laplace_nll_loss(zero, new, widths)):
        assert best.mean().item() + exact.mean() > 0.9


# ---------------------------------------------------------------------------------------------------------------------
# Do claims hold?


def test_squared_mahalanobis_by_hand_and_in_three_shapes():
    error, v = draw(7, 2), 0.5 + draw(7, 2, seed=1) ** 2
    per_axis = squared_mahalanobis(error, v)
    torch.testing.assert_close(per_axis, error[:, 0] ** 2 / v[:, 0] + error[:, 1] ** 2 / v[:, 1])
    torch.testing.assert_close(squared_mahalanobis(error, torch.diag_embed(v)), per_axis)
    alike = squared_mahalanobis(error, v[:, 0])
    torch.testing.assert_close(alike, error.square().sum(-1) / v[:, 0])
    s = covariances(7)
    exact = torch.stack([e @ torch.linalg.inv(m) @ e for e, m in zip(error, s, strict=True)])
    torch.testing.assert_close(squared_mahalanobis(error, s), exact)
    assert torch.autograd.gradcheck(squared_mahalanobis, (error.requires_grad_(), v.requires_grad_()))


def test_a_claim_that_holds_is_chi_square():
    s, n = covariances(), 5000
    error = (torch.linalg.cholesky(s) @ draw(n, 2, 1))[..., 0]
    square = squared_mahalanobis(error, s.expand(n, 2, 2))
    assert stats.kstest(square.numpy(), stats.chi2(2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("kind", ["isotropic", "per axis", "full"])
def test_the_best_factor_of_the_variances(kind):
    """No other factor has a better likelihood, and the slope there is 0."""
    error = 3 * draw(50, 2)
    s = covariances(50)
    v = {"isotropic": s[:, 0, 0], "per axis": s.diagonal(dim1=-2, dim2=-1), "full": s}[kind]
    factor = scale_variances(error, v)

    def nll(c: Tensor) -> Tensor:
        if kind != "full":
            return gaussian_nll_loss(error, torch.zeros_like(error), (c * v).log()).mean()
        law = torch.distributions.MultivariateNormal(torch.zeros(2).double(), c * s)
        return -law.log_prob(error).mean()

    for other in (0.98, 1.02):
        assert nll(factor * other) > nll(factor)
    at = factor.clone().requires_grad_()
    (slope,) = torch.autograd.grad(nll(at), at)
    assert abs(slope.item()) < 1e-12
    torch.testing.assert_close(scale_variances(error, factor * v), torch.ones(()).double())


def test_the_factor_of_claims_that_are_a_known_times_too_small():
    v = 0.5 + draw(20_000, seed=1) ** 2
    error = (8 * v).sqrt()[:, None] * draw(20_000, 2)
    error[::5] = math.nan
    factor = scale_variances(error, v)
    assert factor.item() == pytest.approx(8, rel=4.5 / math.sqrt(16_000))
    assert scale_variances(error[:1], v[:1]).isnan()


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_the_factor_by_the_median(n):
    """Half of the errors, or one more, lie in the ellipse of one half; a few that are far off do not matter."""
    error, s = draw(n, 2), covariances(n)
    factor = scale_variances(error, s, fit="median")
    just = factor * (1 + 1e-9)  # the one on the edge is inside
    observed = point_reliability(error, just * s, levels=1).observed.item()
    assert observed == math.ceil(n / 2) / n
    if n > 2:
        outliers = torch.cat((error, torch.tensor([[math.nan, 0.0], [1e6, 0.0]]).double()))
        moved = scale_variances(outliers, torch.cat((s, s[:2])), fit="median")
        assert factor <= moved < 2 * factor and scale_variances(outliers, torch.cat((s, s[:2]))) > 1e6 * factor
    right = scale_variances(draw(40_000, 2), torch.ones(40_000).double(), fit="median").item()
    assert right == pytest.approx(1, abs=4.5 / (math.log(2) * math.sqrt(40_000)))


def test_reliability_of_points_by_loops():
    error, s = draw(40, 2), covariances(40)
    error[3] = math.nan
    curve = point_reliability(error, s, levels=4)
    torch.testing.assert_close(curve.claimed, torch.tensor([0.2, 0.4, 0.6, 0.8]).double())
    for level, observed, count in zip(*curve, strict=True):
        limit = stats.chi2(2).ppf(level.item())
        inside = [(e @ torch.linalg.inv(m) @ e).item() <= limit for e, m in zip(error, s, strict=True)]
        assert observed.item() == pytest.approx(sum(inside) / 39) and count == 39


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_reliability_tells_too_sure_from_too_careful(factor):
    """Variances too small by a factor c: observed 1 - (1 - q)^c. The claim that holds has no calibration error."""
    n = 40_000
    error, v = draw(n, 2), torch.full((n,), factor).double()
    claimed, observed, count = curve = point_reliability(error, v)
    exact = 1 - (1 - claimed) ** factor
    assert ((observed - exact).abs() < 4.5 * (exact * (1 - exact) / n).sqrt()).all() and (count == n).all()
    ece = expected_calibration_error(curve)
    assert ece.item() == pytest.approx((exact - claimed).abs().mean().item(), abs=0.011)
    if factor != 1:
        scaled = point_reliability(error, scale_variances(error, v) * v)
        assert expected_calibration_error(scaled) < 0.01 < 0.2 < ece


def test_reliability_of_scores_by_loops():
    score = torch.rand(300, generator=torch.Generator().manual_seed(0)).double()
    correct = torch.rand(300, generator=torch.Generator().manual_seed(1)) < score
    claimed, observed, count = curve = score_reliability(score.view(10, 30), correct.view(10, 30), bins=7)
    total = 0.0
    for m in range(7):
        inside = [i for i in range(300) if m / 7 < score[i] <= (m + 1) / 7]
        confidence, accuracy = score[inside].mean().item(), correct[inside].double().mean().item()
        assert count[m] == len(inside) and claimed[m].item() == pytest.approx(confidence)
        assert observed[m].item() == pytest.approx(accuracy)
        total += len(inside) / 300 * abs(confidence - accuracy)
    assert expected_calibration_error(curve).item() == pytest.approx(total)


def test_bins_at_their_edges_and_empty_ones():
    score = torch.tensor([0.0, 0.25, 0.25, 0.5, 1.0])
    curve = score_reliability(score, score > 0.3, bins=4)
    assert curve.count.tolist() == [3, 1, 0, 1] and curve.observed.isnan().tolist() == [False, False, True, False]
    assert expected_calibration_error(curve).item() == pytest.approx((3 * 0.5 / 3 + 0.5 + 0) / 5)
    assert expected_calibration_error(score_reliability(torch.zeros(0), torch.zeros(0) > 0)).isnan()


def test_scores_that_are_right_and_scores_that_are_sharpened():
    n = 40_000
    score = torch.rand(n, generator=torch.Generator().manual_seed(0))
    correct = torch.rand(n, generator=torch.Generator().manual_seed(1)) < score
    assert expected_calibration_error(score_reliability(score, correct)) < 0.015
    sure = torch.sigmoid(3 * torch.logit(score))
    gap = (sure - score).abs().mean().item()  # of one sign within each bin, but for the middle
    assert expected_calibration_error(score_reliability(sure, correct)).item() == pytest.approx(gap, abs=0.015)


# ---------------------------------------------------------------------------------------------------------------------
# Conformal radii


@pytest.mark.parametrize("n", [1, 2, 9, 10, 19, 99, 100, 101])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1, 0.25, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_the_rank(n, alpha):
    """In whole hundredths, where floats would call 10 * (1 - 0.7) more than 3."""
    rank = -(-(n + 1) * (100 - round(100 * alpha)) // 100)
    residuals = torch.randperm(n, generator=torch.Generator().manual_seed(0)).double() + 1
    assert conformal_radius(residuals, alpha).item() == (rank if rank <= n else math.inf)


@pytest.mark.parametrize("n, alpha", [(99, 0.1), (20, 0.1), (9, 0.1), (50, 0.3)])
def test_coverage_is_guaranteed_and_known(n, alpha):
    """Of 20,000 calibrations, each with one new residual: rank / (n + 1), from 1 - alpha to 1 - alpha + 1 / (n + 1)."""
    trials = 20_000
    residuals = draw(n + 1, trials).abs() ** 3  # any distribution
    covered = (residuals[-1] <= conformal_radius(residuals[:-1], alpha)).double().mean().item()
    rank = math.ceil(round((n + 1) * (1 - alpha), 9))
    exact = rank / (n + 1)
    assert 1 - alpha - 1e-12 <= exact < 1 - alpha + 1 / (n + 1)
    assert abs(covered - exact) < 4.5 * math.sqrt(exact * (1 - exact) / trials)


def test_too_few_residuals_promise_nothing():
    assert conformal_radius(torch.ones(8), 0.1) == math.inf and conformal_radius(torch.ones(9), 0.1) == 1
    assert conformal_radius(torch.zeros(0, 3), 0.1).tolist() == [math.inf] * 3


def test_radii_of_each_keypoint_with_missing_truth():
    residuals = draw(60, 2, 3).abs()
    residuals[::4, 1] = math.nan
    residuals[:, 0, 2] = math.nan
    radii = conformal_radius(residuals, 0.2)
    assert radii.shape == (2, 3) and radii[0, 2] == math.inf
    for i in range(2):
        for k in range(3):
            known = residuals[:, i, k][~residuals[:, i, k].isnan()]
            assert radii[i, k] == conformal_radius(known, 0.2)


def test_radii_scaled_by_the_own_claim():
    """The same coverage over all, but in proportion to the claim: the sure and the unsure are covered alike."""
    n, trials, alpha = 199, 4000, 0.1
    scale = torch.where(draw(n + 1, trials, seed=1) > 0, 5.0, 1.0).double()
    residuals = scale * draw(n + 1, trials).abs()
    claim = 3 * scale  # any factor will do
    plain = residuals[-1] <= conformal_radius(residuals[:-1], alpha)
    scaled = residuals[-1] <= conformal_radius(residuals[:-1] / claim[:-1], alpha) * claim[-1]
    unsure = scale[-1] == 5
    slack = 4.5 * math.sqrt(0.09 / trials)
    assert abs(plain.double().mean() - 0.9) < slack and abs(scaled.double().mean() - 0.9) < slack
    assert plain[~unsure].all() and plain[unsure].double().mean() < 0.85
    for group in (unsure, ~unsure):
        assert abs(scaled[group].double().mean() - 0.9) < 1.5 * slack


def test_what_is_not_exchangeable_is_not_covered():
    residuals = draw(300, seed=1).abs()
    radius = conformal_radius(residuals, 0.1)
    assert (4 * draw(5000, seed=2).abs() <= radius).double().mean() < 0.5


def test_keypoints_are_no_pictures():
    """17 that err alike, of five people: counted as 85, the largest of five covers 5 / 6 instead of 0.9."""
    trials = 20_000
    residuals = draw(6, trials, seed=3).abs()
    radius = conformal_radius(residuals[:-1].repeat(17, 1), 0.1)
    covered = (residuals[-1] <= radius).double().mean().item()
    assert covered == pytest.approx(5 / 6, abs=4.5 * math.sqrt(5 / 36 / trials))
    assert conformal_radius(residuals[:-1], 0.1).isinf().all()


def test_the_radius_is_a_threshold_of_pck():
    """On the calibration's own keypoints it covers rank / n."""
    found, xy = draw(99, 2), torch.zeros(99, 2).double()
    radius = conformal_radius(found.norm(dim=-1), 0.1)
    assert pck(found, xy, torch.ones(99) > 0, threshold=radius.item()).item() == pytest.approx(90 / 99)


# ---------------------------------------------------------------------------------------------------------------------
# What they share

POSITIVE = 0.5 + draw(6, 4, seed=1) ** 2
CALLS = {
    "sample_moments": lambda e: tuple(sample_moments(e)),
    "ensemble_uncertainty": lambda e: tuple(ensemble_uncertainty(e, POSITIVE.to(e))),
    "excess_variance": lambda e: (excess_variance(e, 1.0),),
    "squared_mahalanobis": lambda e: (squared_mahalanobis(e, POSITIVE.to(e)),),
    "squared_mahalanobis, full": lambda e: (squared_mahalanobis(
        e, torch.diag_embed(POSITIVE.to(e)[..., None].expand(*POSITIVE.shape, 2))),),
    "scale_variances": lambda e: (scale_variances(e, POSITIVE.to(e)),),
    "conformal_radius": lambda e: (conformal_radius(e.abs(), 0.25),),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_device_and_inputs(name, dtype, device):
    values = draw(6, 4, 2).to(dtype).to(device)
    before = values.clone()
    results = CALLS[name](values)
    assert all((one.dtype, one.device.type) == (dtype, device) for one in results)
    assert torch.equal(values, before)
    wide = CALLS[name](values.to(torch.promote_types(dtype, torch.float32)))
    for one, other in zip(results, wide, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=0.03 if dtype.itemsize == 2 else 0, atol=1e-2)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "scale_variances"])  # one factor for all
def test_a_batch_is_a_loop(name):
    values = draw(6, 4, 2)
    whole = CALLS[name](values)
    one_by_one = {
        "sample_moments": lambda b: sample_moments(values[:, b]),
        "ensemble_uncertainty": lambda b: ensemble_uncertainty(values[:, b], POSITIVE[:, b]),
        "conformal_radius": lambda b: (conformal_radius(values[:, b].abs(), 0.25),),
        "excess_variance": lambda b: (excess_variance(values[b], 1.0),),
        "squared_mahalanobis": lambda b: (squared_mahalanobis(values[b], POSITIVE[b]),),
        "squared_mahalanobis, full": lambda b: (squared_mahalanobis(values[b], POSITIVE[b]),),
    }[name]
    for b in range(4):
        for one, other in zip(one_by_one(b), whole, strict=True):
            torch.testing.assert_close(one, other[b])


E2, V2 = torch.zeros(3, 2), torch.ones(3)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: mc_dropout(nn.Linear(2, 2), E2, samples=3), "net: want a module with dropout in it, got Linear"),
        (lambda: mc_dropout(nn.Dropout(), E2, samples=0), "samples: want a whole number >= 1, got 0"),
        (lambda: mc_dropout(nn.Dropout(), E2, samples=1, batch=0), "batch: want a whole number >= 1, got 0"),
        (lambda: mc_dropout(nn.Dropout(), E2, samples=1, seed=0.5), "seed: want a whole number, got 0.5"),
        (lambda: sample_moments(E2[:1]), "points: want shape (M, ..., D) with M > 1, got (1, 2)"),
        (lambda: sample_moments(V2), "points: want shape (M, ..., D) with M > 1, got (3,)"),
        (lambda: sample_moments(E2.long()), "points: want a floating dtype, got int64"),
        (lambda: ensemble_uncertainty(E2, V2[:2]),
         "variance: want shape (3,) or (3, 2) or (3, 2, 2), got (2,)"),
        (lambda: excess_variance(E2, 0), "sigma: want a finite number > 0, got 0"),
        (lambda: ResidualFlow(base="student"), "base: want one of 'laplace', 'gaussian', got 'student'"),
        (lambda: ResidualFlow(layers=0), "layers: want a whole number >= 1, got 0"),
        (lambda: ResidualFlow().log_prob(V2), "residual: want shape (..., 2), got (3,)"),
        (lambda: squared_mahalanobis(E2, 0 * V2), "variance: want > 0, got values that are not"),
        (lambda: squared_mahalanobis(E2, math.nan * V2), "variance: want > 0, got values that are not"),
        (lambda: squared_mahalanobis(E2, torch.ones(3, 2, 2)),
         "variance: want positive definite matrices, got one that is not"),
        (lambda: squared_mahalanobis(torch.zeros(3, 3), V2), "error: want shape (..., 2), got (3, 3)"),
        (lambda: scale_variances(E2, V2, fit="mean"), "fit: want one of 'likelihood', 'median', got 'mean'"),
        (lambda: point_reliability(E2, V2, levels=0), "levels: want a whole number >= 1, got 0"),
        (lambda: score_reliability(V2 + 1, V2 > 0), "score: want from 0 to 1, got values that are not"),
        (lambda: score_reliability(V2, V2), "correct: want bool (3,), got float32 (3,)"),
        (lambda: score_reliability(V2, V2 > 0, bins=0), "bins: want a whole number >= 1, got 0"),
        (lambda: expected_calibration_error((V2, V2, V2)), "reliability: want a Reliability, got tuple"),
        (lambda: conformal_radius(V2, 1), "alpha: want a number between 0 and 1, got 1"),
        (lambda: conformal_radius(torch.tensor(1.0), 0.1), "residuals: want shape (n, ...), got ()"),
        (lambda: conformal_radius(V2.long(), 0.1), "residuals: want a floating dtype, got int64"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text
