"""Every closed form against the decoders themselves, against quadrature and against other libraries."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, optimize, special, stats
from torch import Tensor

from posebook import theory
from posebook.decode import argmax, decode_anchors, refine_dark, refine_quarter
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax
from posebook.expectation import spread as decode_spread
from posebook.fusion import fuse_correlated, fuse_inverse_variance
from posebook.grid import Grid
from posebook.theory.decoding import _ein

PHASES = 400
STRIDES = [1, 3, 4, 8]


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def phases(n: int = PHASES) -> Tensor:
    """Midpoints of n equal parts of a cell, [-1/2, 1/2): none is 0, none a tie."""
    return (torch.arange(n) + 0.5) / n - 0.5


def on_x(u: Tensor) -> Tensor:
    return torch.stack((u, torch.zeros_like(u)), -1)


def sweep(decoder, grid: Grid, u: Tensor | None = None, sigma: float = 1.0) -> Tensor:
    """Error in px on x of a decoder, for a keypoint at every phase of the middle cell of a 1 x 17 map."""
    cells = on_x(8 + (phases() if u is None else u))
    xy = grid.to_image(cells)
    return (grid.to_image(decoder(gaussian_heatmap(cells, (1, 17), sigma=sigma))) - xy)[:, 0]


def logits_on_a_line(x: Tensor, cells: Tensor, q: float) -> Tensor:
    """Log-Gaussian scores ``(..., 1, n)`` with peaks at x."""
    return -(cells - x[..., None, None]).square() / (2 * q**2)


def soft_x(x: Tensor, n: int, q: float) -> Tensor:
    return soft_argmax(logits_on_a_line(x, torch.arange(float(n)), q))[..., 0]


# ---------------------------------------------------------------------------------------------------------------------
# Targets


def bumps(n: int = 20, side: int = 40, sigma: float = 2.0) -> Tensor:
    """Targets (n * n, side, side) with a keypoint at every phase of the middle cell."""
    return gaussian_heatmap(torch.cartesian_prod(phases(n), phases(n)) + side // 2, (side, side), sigma=sigma)


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0, 3.0])
def test_sums_of_a_bump(sigma):
    maps = bumps(sigma=sigma)
    for measured, want in zip((maps, maps.square()), theory.bump_sums(sigma), strict=True):
        assert measured.sum((-1, -2)).mean().item() == pytest.approx(want, rel=1e-9)  # over phases, at any width
        if sigma >= 1:
            assert measured.sum((-1, -2)).tolist() == pytest.approx([want] * 400, rel=3e-4)


def test_area_above_a_level():
    for level in (0.5, 0.1, 0.01):
        assert (bumps() > level).double().sum((-1, -2)).mean().item() == pytest.approx(
            theory.bump_area(level, 2.0), rel=5e-3)
    for level in (0.0, 1.0):
        with pytest.raises(ValueError, match="level: want between 0 and 1, got"):
            theory.bump_area(level, 2.0)


def test_a_misplaced_bump_costs_more_than_none():
    sigma, target = 2.0, torch.tensor([20.2, 20.4])
    maps = gaussian_heatmap(target, (48, 48), sigma=sigma)
    for distance in (0.0, 1.0, 2.0, 3.33, 10.0):
        there = gaussian_heatmap(target + distance * torch.tensor([0.6, 0.8]), (48, 48), sigma=sigma)
        want = theory.misplaced_mse(distance, sigma, 48**2)
        assert (there - maps).square().mean().item() == pytest.approx(want, abs=1e-9)
    even = 2 * sigma * math.sqrt(math.log(2))
    assert theory.misplaced_mse(even, sigma, 48**2) == pytest.approx(maps.square().mean().item(), rel=1e-6)


def test_label_noise_makes_the_best_map_wide_and_low():
    """Quadrature over the labels: the minimum of mean square error is the mean of the targets."""
    sigma, noise = 2.0, 1.5
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    labels = 15 + noise * torch.cartesian_prod(*[torch.from_numpy(nodes)] * 2)
    weight = torch.outer(*[torch.from_numpy(weights / weights.sum())] * 2).flatten()
    maps = gaussian_heatmap(labels, (31, 31), sigma=sigma)
    best = (weight[:, None, None] * maps).sum(0)
    peak, width = theory.label_noise_optimum(sigma, noise)
    want = peak * gaussian_heatmap(torch.tensor([15.0, 15.0]), (31, 31), sigma=width)
    assert torch.allclose(best, want, atol=1e-9)
    loss = lambda h: (weight[:, None, None] * (maps - h).square()).sum().item()  # noqa: E731
    assert loss(best) < min(loss(0.99 * best), loss(1.01 * best), loss(best.roll(1, -1)))
    assert theory.label_noise_optimum(2.0, 0.0) == (1.0, 2.0)


# ---------------------------------------------------------------------------------------------------------------------
# Argmax


def compare(stats_: theory.ErrorStats, error: Tensor) -> None:
    """With the sums that n midpoints give: exact for the mean and the mean size, (1 - 1/n^2) times for the variance."""
    n, close = len(error), lambda value: pytest.approx(value, abs=1e-12)
    assert error.mean().item() == close(stats_.bias)
    assert error.var(correction=0).item() == close(stats_.variance * (1 - 1 / n**2))
    assert error.square().mean().item() == close(stats_.bias**2 + stats_.variance * (1 - 1 / n**2))
    assert stats_.mse == close(stats_.bias**2 + stats_.variance)
    assert error.abs().mean().item() == close(stats_.mean_abs)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("grid", [Grid.index, Grid.center])
def test_argmax_rounds(grid, stride):
    error = sweep(argmax, grid(stride))
    compare(theory.argmax_error(stride), error)
    assert error.abs().max().item() == pytest.approx(stride / 2 * (1 - 1 / PHASES), abs=1e-12)
    assert theory.argmax_error(stride).largest == stride / 2


@pytest.mark.parametrize("stride", STRIDES)
def test_floor_is_half_a_cell_low_and_half_a_cell_more_repairs_it(stride):
    x = stride * (8 + phases())
    low = stride * torch.floor(x / stride) - x
    compare(theory.argmax_error(stride, convention="floor"), low)
    assert low.abs().max().item() == pytest.approx(stride * (1 - 0.5 / PHASES))
    assert theory.argmax_error(stride, convention="floor").largest == stride
    compare(theory.argmax_error(stride), low + stride / 2)


@pytest.mark.parametrize("stride", STRIDES)
def test_mixed_conventions_add_half_of_stride_minus_one(stride):
    cells = on_x(8 + phases())
    decoded = argmax(gaussian_heatmap(cells, (1, 17), sigma=1.0))
    error = (Grid.index(stride).to_image(decoded) - Grid.center(stride).to_image(cells))[:, 0]
    assert error.mean().item() == pytest.approx(-(stride - 1) / 2, abs=1e-12)


def test_bias_is_minus_the_mean_phase():
    """A law of phases that is not symmetric: Beta(2, 5) on one cell, by its quantiles."""
    u = torch.from_numpy(stats.beta.ppf((np.arange(4000) + 0.5) / 4000, 2, 5)) - 0.5
    error = sweep(argmax, Grid.index(4), u)
    assert error.mean().item() == pytest.approx(-4 * (2 / 7 - 1 / 2), abs=1e-4)


@pytest.mark.parametrize("stride", STRIDES)
def test_quarter_shift_is_a_grid_of_half_the_stride(stride):
    error = sweep(refine_quarter, Grid.index(stride))
    stats_ = theory.quarter_error(stride)
    assert error.mean().item() == pytest.approx(0, abs=1e-12)
    assert error.square().mean().item() == pytest.approx(stats_.mse * (1 - 4 / PHASES**2), abs=1e-12)
    assert error.abs().mean().item() == pytest.approx(stats_.mean_abs, abs=1e-12)
    assert error.abs().max().item() == pytest.approx(stats_.largest * (1 - 2 / PHASES), abs=1e-12)
    assert math.sqrt(stats_.mse) == pytest.approx(stride / math.sqrt(48))
    assert stats_.largest == stride / 4


def test_distance_in_the_plane():
    u = phases(200)
    cells = torch.stack(torch.meshgrid(u, u, indexing="xy"), -1).flatten(0, 1) + 2
    distance = 4 * (argmax(gaussian_heatmap(cells, (5, 5), sigma=1.0)) - cells).norm(dim=-1)
    mean, rms, largest = theory.argmax_distance(4)
    assert distance.mean().item() == pytest.approx(mean, rel=2e-5)
    assert distance.square().mean().sqrt().item() == pytest.approx(rms * math.sqrt(1 - 1 / 200**2), abs=1e-12)
    assert distance.max().item() == pytest.approx(largest * (1 - 1 / 200), abs=1e-12)
    quadrature = integrate.dblquad(lambda x, y: math.hypot(x, y), -0.5, 0.5, -0.5, 0.5)[0]
    assert theory.argmax_distance(1).mean == pytest.approx(quadrature, abs=1e-7)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 8, 16])
def test_integer_labels(stride):
    """Half of the ties go to the lower cell, and so do the others: the first index wins."""
    cells = on_x(5 + torch.arange(stride) / stride)
    error = stride * (argmax(gaussian_heatmap(cells, (1, 12), sigma=1.0)) - cells)[:, 0]
    assert error.mean().item() == pytest.approx(theory.integer_label_bias(stride), abs=1e-12)
    mirrored = stride * (11 - argmax(gaussian_heatmap(cells, (1, 12), sigma=1.0).flip(-1)) - cells)[:, 0]
    assert (error + mirrored).mean().item() == pytest.approx(0, abs=1e-12)  # either tie rule as often: no bias


@pytest.mark.parametrize("stride, cells", [(4, 4), (4, 64), (8, 5), (1, 1)])
def test_a_whole_image(stride, cells):
    """x uniform over the image: the last half cell is clamped on an index grid, and nothing is on a center grid."""
    x = (torch.arange(cells * PHASES) + 0.5) / PHASES
    error = stride * (argmax(gaussian_heatmap(on_x(x), (1, cells), sigma=1.0))[:, 0] - x)
    assert error.mean().item() == pytest.approx(theory.clamped_bias(stride, cells), abs=1e-9)
    assert error.min().item() == pytest.approx(-stride * (1 - 0.5 / PHASES), abs=1e-9)
    centered = stride * (argmax(gaussian_heatmap(on_x(x - 0.5), (1, cells), sigma=1.0))[:, 0] + 0.5 - x)
    assert centered.mean().item() == pytest.approx(0, abs=1e-9)


def test_the_far_corner_is_twice_the_interior():
    corner = torch.tensor([16.0, 12.0])
    error = (4 * argmax(gaussian_heatmap(corner / 4, (3, 4), sigma=1.0)) - corner).norm().item()
    assert error == pytest.approx(4 * math.sqrt(2)) and error == pytest.approx(2 * theory.argmax_distance(4).largest)


def test_decoding_beyond_the_grid_dark_is_exact_and_needs_its_log():
    u = phases()
    assert sweep_plane(refine_dark, u, 2.0).abs().max() < 1e-12
    for sigma, largest in [(1.0, 0.048), (2.0, 0.012)]:  # one axis at a time
        error = sweep_plane(lambda h: refine_dark(h.exp()), u, sigma)  # the log of it is the heatmap
        assert error.abs().max().item() == pytest.approx(largest, abs=5e-4)
    diagonal = torch.stack((u, u), -1) + 8
    error = refine_dark(gaussian_heatmap(diagonal, (17, 17), sigma=2.0).exp()) - diagonal
    assert error.abs().max().item() == pytest.approx(0.0289, abs=1e-4)  # both together: more than twice


def sweep_plane(decoder, u: Tensor, sigma: float) -> Tensor:
    cells = on_x(u) + 8
    return (decoder(gaussian_heatmap(cells, (17, 17), sigma=sigma)) - cells)[:, 0]


# ---------------------------------------------------------------------------------------------------------------------
# Argmax of a peak that noise moves


@pytest.mark.parametrize("stride, noise", [(4.0, 0.08), (4.0, 0.4), (1.0, 0.3), (8.0, 4.0)])
def test_dithered_bias_against_the_normal_law(stride, noise):
    """Sum of the cells, each with the probability that the moved peak rounds to it."""
    x = torch.linspace(-1.3, 1.1, 97) * stride
    k = torch.arange(-9, 10.0)
    edges = torch.special.ndtr(((k[:, None] + torch.tensor([-0.5, 0.5])) * stride - x[:, None, None]) / noise)
    exact = (edges[..., 1] - edges[..., 0]) @ (k * stride) - x
    torch.testing.assert_close(theory.dithered_bias(x, stride, noise), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.4])
def test_dithered_bias_against_argmax(noise):
    for x in (7.9, 8.2, 8.5):
        moved = x + noise * torch.randn(20_000)
        error = argmax(gaussian_heatmap(on_x(moved), (1, 17), sigma=1.0))[:, 0] - x
        deviation = (error.mean() - theory.dithered_bias(torch.tensor(x), 1.0, noise)).abs()
        assert deviation < 4.5 * (error.std() + 1e-6) / math.sqrt(len(error))


@pytest.mark.parametrize("noise, amplitude", [(0.05, 0.377), (0.1, 0.286), (0.2, 0.145), (0.3, 0.0539), (0.5, 0.0023)])
def test_dithered_amplitude(noise, amplitude):
    bias = theory.dithered_bias(4 * phases(4000), 4.0, 4 * noise)
    assert bias.abs().max().item() / 4 == pytest.approx(amplitude, abs=5e-4 if amplitude > 0.01 else 5e-5)


def test_little_dither_is_argmax():
    u = phases(50) * 0.9
    torch.testing.assert_close(theory.dithered_bias(4 * u, 4.0, 0.08), -4 * u, rtol=0, atol=0.03)
    assert theory.dithered_bias(torch.tensor(0.25), 1.0, 0.02).item() == pytest.approx(-0.25, abs=1e-12)


# ---------------------------------------------------------------------------------------------------------------------
# Soft-argmax: aliasing

TABLE = [  # q, largest error, leading term, root mean square, in cells
    (0.15, "3.93e-01", "1.81e-01", "2.50e-01"),
    (0.25, "2.68e-01", "2.29e-01", "1.84e-01"),
    (0.35, "1.39e-01", "1.37e-01", "9.81e-02"),
    (0.50, "2.26e-02", "2.26e-02", "1.60e-02"),
    (0.60, "3.71e-03", "3.71e-03", "2.62e-03"),
    (0.75, "1.06e-04", "1.06e-04", "7.53e-05"),
    (1.00, "3.36e-08", "3.36e-08", "2.38e-08"),
    (1.50, "1.46e-18", "1.46e-18", "1.03e-18"),
]


@pytest.mark.parametrize("q", [0.02, 0.1, 0.15, 0.25, 0.35, 0.5, 0.6, 0.75, 1.0, 1.5, 3.0])
def test_alias_error_is_that_of_soft_argmax(q):
    u = phases()
    measured = soft_argmax(logits_on_a_line(u, torch.arange(-40.0, 41), q))[:, 0] - 40 - u
    torch.testing.assert_close(measured, theory.alias_error(u, q), rtol=0, atol=5e-14)
    if q >= 0.1:  # else 400 phases are too few for its harmonics
        assert theory.alias_rms(q) == pytest.approx(measured.square().mean().sqrt().item(), abs=5e-14)


@pytest.mark.parametrize("sigma, tau", [(1.0, 0.16), (2.0, 0.0625), (0.3, 4.0)])
def test_width_is_root_tau_times_sigma(sigma, tau):
    """On both axes, and from a heatmap by its logarithm."""
    u = phases(40)
    cells = torch.stack((u, -u.flip(0) / 2), -1) + 12
    squares = (torch.arange(25.0) - cells[..., None]).square() / (-2 * sigma**2)  # (n, 2, 25)
    error = soft_argmax(squares[:, 1, :, None] + squares[:, 0, None, :], tau) - cells
    torch.testing.assert_close(error, theory.alias_error(cells - 12, math.sqrt(tau) * sigma), rtol=0, atol=5e-14)


@pytest.mark.parametrize("q, largest, leading, rms", TABLE)
def test_alias_table(q, largest, leading, rms):
    assert f"{theory.alias_error(phases(4000), q).abs().max():.2e}" == largest
    assert f"{theory.alias_amplitude(q):.2e}" == leading
    assert f"{theory.alias_rms(q):.2e}" == rms


@pytest.mark.parametrize("q", [0.3, 0.5, 1.0, 1.5])
def test_alias_error_beyond_double_precision(q):
    """The sum over cells in 60 digits: at q = 1.5 the error is 1e-18 of a cell."""
    with mpmath.workdps(60):
        for u in (-0.4, 0.1, 0.25):
            weight = {k: mpmath.exp(-((k - mpmath.mpf(u)) ** 2) / (2 * mpmath.mpf(q) ** 2)) for k in range(-40, 41)}
            exact = sum(k * p for k, p in weight.items()) / sum(weight.values()) - mpmath.mpf(u)
            assert theory.alias_error(torch.tensor(u), q).item() == pytest.approx(float(exact), rel=1e-12)


def test_no_width_is_argmax():
    u = phases(50) * 0.9
    torch.testing.assert_close(theory.alias_error(u, 0.02), -u, rtol=0, atol=1e-12)
    assert theory.alias_rms(0.02) == pytest.approx(math.sqrt(1 / 12), rel=3e-3)
    rms = [theory.alias_rms(q) for q in (0.02, 0.1, 0.2, 0.4, 0.8, 1.6)]
    assert rms == sorted(rms, reverse=True) and rms[-1] < 1e-18


def test_leading_term_and_one_percent():
    for q in (0.5, 0.55, 0.7, 1.0):
        largest = theory.alias_error(phases(4000), q).abs().max().item()
        assert largest == pytest.approx(theory.alias_amplitude(q), rel=2e-4)
    assert optimize.brentq(lambda q: theory.alias_amplitude(q) - 0.01, 0.3, 1.0) == pytest.approx(0.548, abs=1e-3)


def test_aliasing_is_not_dither():
    """Both are sawtooths that melt, but not the same one: harmonics fall as 1/sinh(n) here and as exp(-n^2)/n there."""
    u = phases()
    ratio = theory.alias_error(u, 0.5).abs().max() / theory.dithered_bias(u, 1.0, 0.5).abs().max()
    assert ratio.item() == pytest.approx(4 * math.pi**2 * 0.5**2, rel=1e-3)


def test_float32_ends_it():
    """Beyond q of some 0.9 a wider peak is not more accurate: rounding at 32 cells outweighs aliasing."""
    u = phases()
    for q in (0.9, 1.0, 2.0, 4.0):
        logits = logits_on_a_line(32 + u, torch.arange(64.0), q)
        error = soft_argmax(logits.float()).double()[:, 0] - (32 + u)
        assert theory.alias_error(u, q).abs().max() < 1.2e-6 < error.abs().max() < 1.2e-5


# ---------------------------------------------------------------------------------------------------------------------
# Soft-argmax: the border


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_border_bias(sigma):
    distance = torch.linspace(0, 6 * sigma, 301)
    measured = soft_x(distance - 0.5, 80, sigma) - (distance - 0.5)
    formula = theory.border_bias(distance, sigma)
    assert (measured - formula).abs().max() < 1 / (24 * sigma)
    law = stats.truncnorm(-distance.numpy() / sigma, 1000, loc=0, scale=sigma)
    torch.testing.assert_close(formula, torch.from_numpy(law.mean()), rtol=1e-9, atol=1e-12)
    assert formula[0].item() == pytest.approx(sigma * math.sqrt(2 / math.pi))
    mirrored = 79 - soft_x(79 - (distance - 0.5), 80, sigma) - (distance - 0.5)
    torch.testing.assert_close(mirrored, measured, rtol=0, atol=1e-11)


@pytest.mark.parametrize("sigma, measured, formula", [(1.0, 0.520, 0.509), (2.0, 1.302, 1.292), (3.0, 2.093, 2.085)])
def test_border_bias_at_the_first_cell(sigma, measured, formula):
    assert soft_x(torch.tensor(0.0), 80, sigma).item() == pytest.approx(measured, abs=5e-4)
    assert theory.border_bias(torch.tensor(0.5), sigma).item() == pytest.approx(formula, abs=5e-4)


@pytest.mark.parametrize(
    "sigma, formula, measured", [(1.0, 0.997, 1.077), (1.5, 1.936, 1.988), (2.0, 2.952, 2.992), (3.0, 5.138, 5.166)]
)
def test_soft_argmax_beats_argmax_from_here_on(sigma, formula, measured):
    """Distance to the edge at which the bias falls to argmax's s / sqrt 12: at a point, and averaged over a cell."""
    limit = math.sqrt(theory.argmax_error(1).mse)
    root = optimize.brentq(lambda d: theory.border_bias(torch.tensor(d), sigma).item() - limit, 0, 20)
    assert root == pytest.approx(formula, abs=1e-3)
    u = phases(200)

    def averaged(d: float) -> float:
        return (soft_x(d - 0.5 + u, 60, sigma) - (d - 0.5 + u)).square().mean().sqrt().item() - limit

    assert optimize.brentq(averaged, 0.6, 20) == pytest.approx(measured, abs=2e-3)


def test_cures_for_the_border():
    """Four sigmas of padding, or the truncated mean inverted: it is monotone, and exact up to the grid."""
    assert soft_x(torch.tensor(8.0), 80, 2.0).item() - 8 == pytest.approx(8e-5, abs=1e-6)
    x = torch.linspace(-0.4, 20, 200)
    means = x + theory.border_bias(x + 0.5, 2.0)
    assert (means.diff() > 0).all()

    def invert(decoded: float) -> float:
        return optimize.brentq(lambda t: t + theory.border_bias(torch.tensor(t + 0.5), 2.0).item() - decoded, -0.5, 30)

    for truth in (0.0, 0.3, 2.0, 7.5):
        decoded = soft_x(torch.tensor(truth), 80, 2.0).item()
        assert abs(invert(decoded) - truth) < 0.04
        exact = truth + theory.border_bias(torch.tensor(truth + 0.5), 2.0).item()
        assert invert(exact) == pytest.approx(truth, abs=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# Soft-argmax of a raw 0-to-1 heatmap


def test_ein_against_scipy():
    for z in (1e-3, 0.1, 1.0, 7.0, 30.0, 100.0):
        assert _ein(z) == pytest.approx(special.expi(z) - np.euler_gamma - math.log(z), rel=1e-11, abs=1e-15)


@pytest.mark.parametrize(
    "tau, pull, atol", [(1.0, 0.9920, 1e-9), (0.2, 0.8109, 1e-5), (0.1, 0.0614, 2e-4), (0.05, 6.4e-6, 6e-7)]
)
def test_background_pull(tau, pull, atol):
    """64 x 64 cells, sigma 2: the fraction of the way to the center, at any place in its cell."""
    cells = torch.tensor([20.0, 28.0]) + torch.rand(200, 2) - 0.5
    heatmap = gaussian_heatmap(cells, (64, 64), sigma=2.0)
    formula = theory.background_pull(64 * 64, 2.0, tau)
    assert formula == pytest.approx(pull, rel=0.01)
    fraction = 64 * 64 / (heatmap / tau).exp().sum((-2, -1))
    torch.testing.assert_close(fraction, torch.full_like(fraction, formula), rtol=0, atol=atol)
    pulled = (soft_argmax(heatmap, tau) - cells) - formula * (31.5 - cells)
    assert pulled.abs().max() < 12 * atol + 2.5 * theory.alias_amplitude(2.0 * math.sqrt(tau))


def test_background_pull_in_the_other_direction():
    """At tau = 1 a keypoint 11.5 cells from the center is decoded .09 cells from it; tau for a pull of 1 % and .1 %."""
    decoded = soft_argmax(gaussian_heatmap(torch.tensor([20.0, 31.5]), (64, 64), sigma=2.0))
    assert (31.5 - decoded[0]).item() == pytest.approx(11.5 * (1 - theory.background_pull(4096, 2.0, 1.0)), abs=1e-6)
    assert (31.5 - decoded[0]).item() == pytest.approx(0.092, abs=5e-4)
    for pull, tau in [(0.01, 0.08276), (0.001, 0.06847)]:
        found = optimize.brentq(lambda t: theory.background_pull(4096, 2.0, t) - pull, 0.03, 0.3)  # noqa: B023
        assert found == pytest.approx(tau, abs=1e-5)
    assert theory.background_pull(4096, 2.0, 1e6) == pytest.approx(1, abs=1e-6)
    assert theory.background_pull(4096, 2.0, 0.01) < 1e-35


@pytest.mark.parametrize(
    "tau, on_a_cell, anywhere", [(1.0, 1e-8, 1e-8), (0.2, 1e-10, 1e-4), (0.1, 1e-11, 4e-3), (0.05, 1e-11, 0.05)]
)
def test_inverting_the_pull(tau, on_a_cell, anywhere):
    """x = (C E - N c) / (C - N): exact on a cell; elsewhere aliasing of the narrow softmax is left."""
    for spread, bound in [(0.0, on_a_cell), (1.0, anywhere)]:
        cells = torch.tensor([20.0, 28.0]) + spread * (torch.rand(100, 2) - 0.5)
        heatmap = gaussian_heatmap(cells, (64, 64), sigma=2.0)
        total, n = (heatmap / tau).exp().sum((-2, -1))[:, None], 64 * 64
        inverted = (total * soft_argmax(heatmap, tau) - n * 31.5) / (total - n)
        assert (inverted - cells).abs().max() < bound


# ---------------------------------------------------------------------------------------------------------------------
# Soft-argmax: gradient, several peaks


@pytest.mark.parametrize("tau", [0.3, 1.0, 5.0])
def test_gradient_of_soft_argmax(tau):
    """p (k - mean) / tau: sums to 0, and its sizes to at most the spread over tau."""
    logits = torch.randn(6, 7, requires_grad=True)
    mean = soft_argmax(logits, tau)
    p = (logits.detach() / tau).flatten().softmax(0).view(6, 7)
    y, x = torch.meshgrid(torch.arange(6.0), torch.arange(7.0), indexing="ij")
    for axis, k in enumerate((x, y)):
        (gradient,) = torch.autograd.grad(mean[axis], logits, retain_graph=True)
        formula = p * (k - mean[axis].detach()) / tau
        torch.testing.assert_close(gradient, formula, rtol=0, atol=1e-14)
        assert gradient.sum().abs() < 1e-14
        spread = (p * (k - mean[axis].detach()).square()).sum().sqrt().item()
        assert 0.5 * spread / tau < gradient.abs().sum().item() <= spread / tau


def test_a_sharp_softmax_has_an_error_and_no_gradient():
    logits = torch.randn(1, 9)
    logits[0, 2] = 4.0
    logits.requires_grad_()
    loss = (soft_argmax(logits, 0.05)[0] - 5).square()
    loss.backward()
    assert loss.item() == pytest.approx(9) and logits.grad.abs().max() < 1e-8


@pytest.mark.parametrize("tau, error", [(1.0, 1.818), (0.5, 0.198), (0.25, 0.002)])
def test_a_side_mode_of_a_tenth(tau, error):
    """20 cells away: (1/10)^(1/tau) of the weight."""
    cells = torch.tensor([[12.0, 0.0], [32.0, 0.0]])
    one, other = gaussian_heatmap(cells, (1, 45), sigma=1.0)
    assert soft_argmax((one + 0.1 * other).log(), tau)[0].item() - 12 == pytest.approx(error, abs=5e-4)
    assert soft_argmax((one + other).log(), tau)[0].item() == pytest.approx(22)  # equal modes: amid them


# ---------------------------------------------------------------------------------------------------------------------
# What the functions share

OF_TENSORS = {
    "dithered_bias": lambda x: theory.dithered_bias(x, 4.0, 1.0),
    "alias_error": lambda x: theory.alias_error(x, 0.4),
    "border_bias": lambda x: theory.border_bias(x, 2.0),
}


@pytest.mark.parametrize("name", OF_TENSORS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3, 4)])
def test_shape_dtype_device(name, dtype, shape, device):
    x = (torch.rand(shape) * 5).to(dtype).to(device)
    before = x.clone()
    out = OF_TENSORS[name](x)
    assert (out.shape, out.dtype, out.device.type) == (shape, torch.float64, device)
    one_by_one = [OF_TENSORS[name](value) for value in x.flatten()]
    torch.testing.assert_close(out.flatten(), torch.tensor(one_by_one, device=device), rtol=0, atol=1e-14)
    assert torch.equal(out, OF_TENSORS[name](x.double()))
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", OF_TENSORS)
def test_gradients(name):
    assert torch.autograd.gradcheck(OF_TENSORS[name], (torch.rand(5) * 3).requires_grad_())


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: theory.argmax_error(0), "stride: want a finite number > 0, got 0"),
        (lambda: theory.argmax_error(4, convention="ceil"), "convention: want one of 'round', 'floor', got 'ceil'"),
        (lambda: theory.argmax_distance(-1), "stride: want a finite number > 0, got -1"),
        (lambda: theory.integer_label_bias(2.5), "stride: want a whole number >= 1, got 2.5"),
        (lambda: theory.clamped_bias(4, 0), "cells: want a finite number > 0, got 0"),
        (lambda: theory.dithered_bias(torch.zeros(1), 4, 0.01),
         "noise: want a finite number >= 0.08, got 0.01"),
        (lambda: theory.alias_error(torch.zeros(1), 0.01), "q: want a finite number >= 0.02, got 0.01"),
        (lambda: theory.alias_rms(0), "q: want a finite number >= 0.02, got 0"),
        (lambda: theory.alias_amplitude(0), "q: want a finite number > 0, got 0"),
        (lambda: theory.border_bias(torch.zeros(1), 0), "sigma: want a finite number > 0, got 0"),
        (lambda: theory.background_pull(9, 1, 0.001), "tau: want a finite number >= 0.01, got 0.001"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# Temperature: entropy and covariance


def spread_on_a_line(u: Tensor, q: float) -> tuple[Tensor, Tensor]:
    entropy, covariance = decode_spread(logits_on_a_line(u, torch.arange(-40.0, 41), q))
    return entropy, covariance[:, 0, 0]


@pytest.mark.parametrize(
    "q, entropy, ratio", [(0.5, 4e-3, 3e-3), (0.7, 2e-7, 1e-6), (0.85, 1e-10, 1e-10), (2.0, 1e-12, 1e-12)]
)
def test_wide_softmax(q, entropy, ratio):
    """The ripple is right to its square; without it the Gaussian would be off by much more."""
    u = phases()
    measured, formula = spread_on_a_line(u, q), theory.smooth_spread(u, q)
    assert (measured[0] - formula[0]).abs().max() < entropy
    assert (measured[1] - formula[1]).abs().max() / q**2 < ratio
    if q < 1:
        gaussian = theory.gaussian_entropy(torch.tensor([[q**2]]))
        assert (measured[0] - gaussian).abs().max() > 10 * entropy
        assert (measured[1] / q**2 - 1).abs().max() > 10 * ratio


@pytest.mark.parametrize("q, on_a_cell, between", [(0.3, -0.165, 0.478), (0.5, -0.056, 0.058), (0.7, -0.0011, 0.0011)])
def test_entropy_against_the_gaussian(q, on_a_cell, between):
    measured = spread_on_a_line(torch.tensor([0.0, 0.5]), q)[0] - theory.gaussian_entropy(torch.tensor([[q**2]]))
    assert measured.tolist() == pytest.approx([on_a_cell, between], abs=5e-4)


def test_narrow_softmax():
    """On a cell the entropy vanishes, amid two it is ln 2, amid four ln 4; the Gaussian's falls below 0 at 0.242."""
    for q, rel in [(0.1, 1e-6), (0.2, 1e-3), (0.3, 0.05)]:
        entropy, variance = spread_on_a_line(torch.zeros(1), q)
        assert (entropy.item(), variance.item()) == pytest.approx(theory.sharp_spread(q), rel=rel)
    entropy, variance = spread_on_a_line(torch.tensor([0.5]), 0.1)
    assert entropy.item() == pytest.approx(math.log(2)) and variance.item() == pytest.approx(0.25)
    corner = -(torch.arange(6.0) - 2.5).square() / 0.02
    entropy, covariance = decode_spread(corner[:, None] + corner)
    assert entropy.item() == pytest.approx(math.log(4))
    torch.testing.assert_close(covariance, torch.eye(2) / 4)
    crossover = torch.tensor([[theory.ENTROPY_CROSSOVER**2]])
    assert theory.ENTROPY_CROSSOVER == pytest.approx(0.24197, abs=1e-5)
    assert theory.gaussian_entropy(crossover).item() == pytest.approx(0, abs=1e-14)
    assert theory.gaussian_entropy(0.99 * crossover) < 0


@pytest.mark.parametrize("tau", [0.8, 1.0, 2.0])
def test_tilted_softmax(tau):
    """Log-Gaussian scores with Hessian -A: covariance tau / A, and the entropy that belongs to it."""
    a = torch.tensor([[0.30, 0.12], [0.12, 0.20]])
    y, x = torch.meshgrid(torch.arange(61.0) - 30.3, torch.arange(61.0) - 29.9, indexing="ij")
    logits = -(a[0, 0] * x**2 + 2 * a[0, 1] * x * y + a[1, 1] * y**2) / 2
    entropy, covariance = decode_spread(logits, tau)
    torch.testing.assert_close(covariance, tau * a.inverse(), rtol=0, atol=1e-7)
    assert entropy.item() == pytest.approx(theory.gaussian_entropy(covariance).item(), abs=1e-7)
    assert stats.multivariate_normal(cov=covariance.numpy()).entropy() == pytest.approx(entropy.item(), abs=1e-7)


@pytest.mark.parametrize("sigma, tau", [(2.0, 0.25), (2.0, 1.0), (2.0, 4.0), (1.0, 1.0)])
@pytest.mark.parametrize("dims", [1, 2])
def test_noise_variance(sigma, tau, dims):
    """By the gradient to 1e-6, and by simulation to its own error: both to first order in the noise."""
    q, noise = math.sqrt(tau) * sigma, 0.02 * tau
    square = -(torch.arange(49.0) - 24.2).square() / (2 * sigma**2)
    logits = (square[None] if dims == 1 else square[:, None] + square).requires_grad_()
    (gradient,) = torch.autograd.grad(soft_argmax(logits, tau)[0], logits)
    formula = theory.noise_variance(noise, tau, q, dims=dims)
    assert noise**2 * gradient.square().sum().item() == pytest.approx(formula, rel=1e-6 if q > 1 else 2e-3)
    n = 1500
    noisy = logits.detach() + noise * torch.randn(n, *logits.shape)
    assert soft_argmax(noisy, tau)[:, 0].var().item() == pytest.approx(formula, rel=4.5 * math.sqrt(2 / n))


def test_spread_and_noise_move_in_opposite_directions():
    """Of the estimate in the plane it is sigma's size that does not matter, and tau that does, the other way round."""
    tau = [0.25, 0.5, 1.0, 2.0, 4.0]
    sd = [math.sqrt(theory.noise_variance(0.05, t, 2 * math.sqrt(t))) for t in tau]
    assert sd == pytest.approx([0.0399, 0.0199, 0.00997, 0.00499, 0.00249], rel=5e-3)
    assert theory.noise_variance(0.05, 1.0, 1.0) == pytest.approx(theory.noise_variance(0.05, 1.0, 3.0))
    logits = gaussian_heatmap(torch.tensor([24.2, 24.0]), (49, 49), sigma=2.0).log()
    widths = [decode_spread(logits, t)[1][0, 0].item() for t in tau]
    assert widths == pytest.approx([4 * t for t in tau], rel=0.03)


def test_raw_bump():
    """Laplace: the softmax of a raw Gaussian bump has variance tau sigma^2 (1 + 3/2 tau), while tau is small."""
    logits = gaussian_heatmap(torch.tensor([60.0, 0.0]), (1, 121), sigma=20.0)
    for tau in (0.02, 0.01):
        measured = decode_spread(logits[:, 20:101], tau)[1][0, 0].item() / (tau * 400)
        assert measured == pytest.approx(1 + 1.5 * tau, abs=8 * tau**2)


# ---------------------------------------------------------------------------------------------------------------------
# Asymmetry


def lopsided(x: Tensor, mu: float, sigma: float) -> Tensor:
    return -x.square() / (2 * sigma**2) + mu * x**3 / 6


def measured_asymmetry(mu: float, sigma: float, tau: float, stride: float) -> float:
    """Soft-argmax in px over cells a stride apart, one of them at the mode, 9 sigmas each way."""
    n = math.ceil(9 * sigma * math.sqrt(tau) / stride)
    return stride * (soft_argmax(lopsided(stride * torch.arange(-n, n + 1.0), mu, sigma)[None], tau)[0].item() - n)


@pytest.mark.parametrize(
    "mu, sigma, tau", [(1e-3, 2.0, 1.0), (-2e-3, 2.0, 1.0), (1e-2, 1.0, 4.0), (3e-4, 4.0, 0.5), (5e-3, 2.0, 0.2)]
)
def test_asymmetry_bias(mu, sigma, tau):
    bias, gamma = theory.asymmetry_bias(mu, sigma, tau), mu * sigma**3 * math.sqrt(tau)
    reach = 8 * sigma * math.sqrt(tau)

    def integral(power: int) -> float:
        return integrate.quad(
            lambda x: x**power * math.exp((-(x**2) / (2 * sigma**2) + mu * x**3 / 6) / tau), -reach, reach)[0]

    mean = integral(1) / integral(0)
    assert abs(gamma) <= 0.0201 and mean == pytest.approx(bias, rel=1e-3)
    assert mean == pytest.approx(bias * (1 + 1.25 * gamma**2), rel=2e-6)
    assert measured_asymmetry(mu, sigma, tau, 0.5) == pytest.approx(mean, rel=1e-6)
    assert theory.asymmetry_bias(-mu, sigma, tau) == -bias


def test_asymmetry_of_a_product_is_exact():
    """A heatmap G (1 + mu x^3 / 6), normalized by its sum: its center of mass is mu sigma^4 / 2 to the last digits."""
    x = torch.arange(-40.0, 41)
    weight = torch.exp(-x.square() / 18) * (1 + 1e-3 * x**3 / 6)
    assert ((x * weight).sum() / weight.sum()).item() == pytest.approx(theory.asymmetry_bias(1e-3, 3.0), rel=1e-12)


def test_asymmetry_in_the_plane():
    """A mixed term mu' x y^2 / 2 leans x as much as mu x^3 / 6 does."""
    y, x = torch.meshgrid(*[torch.arange(-20.0, 21)] * 2, indexing="ij")
    logits = -(x.square() + y.square()) / 8 + 1e-3 * x * y.square() / 2
    assert soft_argmax(logits)[0].item() - 20 == pytest.approx(theory.asymmetry_bias(1e-3, 2.0), rel=1e-3)


AT_STRIDE = {  # the bias in px measured when the stride, or the dilation, is s
    "mu and sigma in px": lambda s: measured_asymmetry(1e-5, 10.0, 1.0, s),
    "mu and sigma in cells": lambda s: s * measured_asymmetry(1e-3, 2.0, 1.0, 1.0),
    "mu in px, sigma in cells": lambda s: measured_asymmetry(1e-7, 2.0 * s, 1.0, s),
    "mu and sigma in px, three taps": lambda s: 0.05 * s * (
        soft_argmax(lopsided(0.05 * s * torch.arange(-1.0, 2), 0.02, 5.0)[None])[0].item() - 1),
}


@pytest.mark.parametrize("fixed", theory.ASYMMETRY_EXPONENTS)
def test_asymmetry_exponents(fixed):
    s = np.array([1.0, 2.0, 4.0, 8.0])
    slope = np.polyfit(np.log(s), np.log([AT_STRIDE[fixed](v) for v in s]), 1)[0]
    assert slope == pytest.approx(theory.ASYMMETRY_EXPONENTS[fixed], abs=5e-3)


def test_asymmetry_grows_with_the_fourth_power_of_a_dilation_that_widens_the_peak():
    bias = [measured_asymmetry(1e-6, 2.0 * d, 1.0, 1.0) for d in (1, 2, 4)]
    assert np.polyfit(np.log([1, 2, 4]), np.log(bias), 1)[0] == pytest.approx(4, abs=1e-3)


@pytest.mark.parametrize(
    "mu, sigma, spacing, tau", [(1e-3, 2.0, 4.0, 1.0), (0.1, 2.0, 2.0, 0.5), (-0.05, 3.0, 8.0, 2.0)]
)
def test_three_taps(mu, sigma, spacing, tau):
    """A stride times a dilation apart: exact, at any skewness."""
    taps = lopsided(spacing * torch.arange(-1.0, 2), mu, sigma)[None]
    measured = spacing * (soft_argmax(taps, tau)[0].item() - 1)
    assert measured == pytest.approx(theory.three_tap_bias(mu, sigma, spacing, tau), rel=1e-12)
    small = theory.three_tap_bias(mu, sigma, 0.01, tau)
    assert small == pytest.approx(mu * 0.01**4 / (9 * tau), rel=1e-3)


@pytest.mark.parametrize("mu, sigma, stride", [(1e-3, 2.0, 1.0), (-1e-4, 8.0, 4.0), (1e-5, 6.0, 1.0)])
def test_dark_under_asymmetry(mu, sigma, stride):
    """A cubic's central differences, on a map around the mode: to second order in mu."""
    u = phases(50)
    x = stride * (torch.arange(-6.0, 7) - u[:, None])  # (50, 13)
    logs = lopsided(x, mu, sigma)[:, None, :] - (stride * torch.arange(-6.0, 7))[:, None].square() / (2 * sigma**2)
    assert torch.equal(argmax(logs.exp()), torch.full((50, 2), 6.0))
    error = stride * (refine_dark(logs.exp())[:, 0] - 6 - u)
    formula = theory.dark_asymmetry_bias(u, mu, sigma, stride)
    assert (error - formula).abs().max() < 0.2 * (mu * sigma**2) ** 2 * stride**3
    assert error.mean().item() == pytest.approx(mu * (sigma * stride) ** 2 / 8, rel=2e-3)
    ratio = theory.asymmetry_bias(mu, sigma) / (mu * (sigma * stride) ** 2 / 8)
    assert ratio == pytest.approx(4 * sigma**2 / stride**2)
    if stride == 1 and sigma == 6:
        assert ratio == pytest.approx(144)


# ---------------------------------------------------------------------------------------------------------------------
# Anchors


def anchor_line(u: Tensor, q: float, stride: float, n: int = 41) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (U, n), anchors (n, 2) and exact offsets (U, n, 2) for keypoints at phase u of the middle cell."""
    places = on_x(stride * torch.arange(float(n)))
    keypoint = on_x(stride * (n // 2 + u))
    return logits_on_a_line(n // 2 + u, torch.arange(float(n)), q)[:, 0], places, keypoint[:, None] - places


def rms(error: Tensor) -> float:
    return error.square().mean().sqrt().item()


@pytest.mark.parametrize("q", [0.7, 1.0, 2.0])
@pytest.mark.parametrize("dims", [1, 2])
def test_effective_votes(q, dims):
    u = phases(20)
    p = logits_on_a_line(20 + u, torch.arange(41.0), q)[:, 0].softmax(-1).square().sum(-1) ** dims
    torch.testing.assert_close(1 / p, torch.full_like(p, theory.effective_votes(q, dims=dims)),
                               rtol=0.05 if q < 1 else 1e-3, atol=0)


@pytest.mark.parametrize("q", [1.0, 2.0])
@pytest.mark.parametrize("dims", [1, 2])
def test_noisy_offsets(q, dims):
    """Hard: the noise itself; soft: the noise over the root of the effective votes, an axis, in the plane even less."""
    n, rho = 4000, 1.5
    scores, places, offsets = anchor_line(phases(n), q, 4.0, 21 if dims == 1 else 13)
    if dims == 2:  # the line's anchors, repeated in y
        scores = (scores[:, None, :] - (torch.arange(13.0) - 6)[:, None].square() / (2 * q**2)).flatten(1)
        shift = torch.stack((torch.zeros(13), 4.0 * torch.arange(-6.0, 7)), -1)[:, None]  # (13, 1, 2)
        places, offsets = (places + shift).flatten(0, 1), (offsets[:, None] - shift).flatten(1, 2)
    noisy = offsets + rho * torch.randn_like(offsets)
    truth = (places + offsets)[:, 0]
    tolerance = 4.5 / math.sqrt(2 * 2 * n)
    assert rms(decode_anchors(scores, places, noisy) - truth) == pytest.approx(rho, rel=tolerance)
    formula = rho / math.sqrt(theory.effective_votes(q, dims=dims))
    soft = decode_anchors(scores, places, noisy, mode="soft")
    assert rms(soft - truth) == pytest.approx(formula, rel=tolerance + 1e-3)


@pytest.mark.parametrize("q", [None, 0.3, 0.5])
@pytest.mark.parametrize("shrink", [0.3, 1.0])
def test_shrunk_offsets(q, shrink):
    """Regression to the mean: a fraction of argmax's error in the best vote, of soft-argmax's in the mean."""
    u = phases()
    scores, places, offsets = anchor_line(u, q or 1.0, 4.0)
    out = decode_anchors(scores, places, (1 - shrink) * offsets, mode="soft" if q else "hard")
    error = out[:, 0] - 4 * (20 + u)
    assert rms(error) == pytest.approx(theory.shrunk_offset_rms(4.0, shrink, q), rel=1e-5)
    if shrink == 1:
        whole = 4 * theory.alias_rms(q) if q else math.sqrt(theory.argmax_error(4).mse)
        assert rms(error) == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("reach", [0.0, 0.7, 1.5, 2.0, 3.0])
def test_clipped_offsets(reach):
    u = phases(4000)
    scores, places, offsets = anchor_line(u, 1.0, 4.0, 9)
    error = decode_anchors(scores, places, offsets.clamp(-reach, reach))[:, 0] - 4 * (4 + u)
    assert rms(error) == pytest.approx(theory.clipped_offset_rms(4.0, reach), rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("mode, q", [("hard", None), ("soft", 1.0)])
def test_break_even(mode, q):
    """Just below this noise offsets help, just above no offsets are better."""
    u = phases(4000)
    scores, places, offsets = anchor_line(u, q or 1.0, 4.0, 15)
    without = rms(decode_anchors(scores, places, 0 * offsets)[:, 0] - 4 * (7 + u))
    limit = theory.offset_break_even(4.0, theory.effective_votes(q, dims=1) if q else 1.0)
    for factor in (0.93, 1.07):
        noisy = offsets + factor * limit * torch.randn_like(offsets)
        assert (rms(decode_anchors(scores, places, noisy, mode=mode)[:, 0] - 4 * (7 + u)) < without) == (factor < 1)


# ---------------------------------------------------------------------------------------------------------------------
# Fusion


def two_heads(v1: float, v2: float, r: float, n: int = 200_000) -> Tensor:
    """Errors (n, 2) whose sample covariance is exactly that."""
    errors = torch.randn(n, 2)
    errors = (errors - errors.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(errors.T))).T
    c = r * math.sqrt(v1 * v2)
    return errors @ torch.linalg.cholesky(torch.tensor([[v1, c], [c, v2]])).T


HEADS = [(1.0, 4.0, 0.0), (1.0, 4.0, 0.3125), (1.0, 4.0, 0.8), (2.0, 2.0, 0.5), (9.0, 1.0, -0.6)]


@pytest.mark.parametrize("v1, v2, r", HEADS)
def test_fused_variances(v1, v2, r):
    """In a sample with exactly these moments both means have exactly these variances, and no weight does better."""
    errors = two_heads(v1, v2, r, 1000)
    w = theory.optimal_weight(v1, v2, r)
    best = (errors @ torch.tensor([w, 1 - w])).var().item()
    assert best == pytest.approx(theory.optimal_variance(v1, v2, r), rel=1e-9)
    for other in (w - 0.01, w + 0.01):  # the bowl: quadratic in the weight
        variance = (errors @ torch.tensor([other, 1 - other])).var().item()
        assert variance - best == pytest.approx(0.01**2 * (v1 + v2 - 2 * r * math.sqrt(v1 * v2)), rel=1e-6)
    naive, reported = fuse_inverse_variance(errors.T[..., None], torch.tensor([v1, v2])[:, None].expand(2, 1000))
    assert naive.var().item() == pytest.approx(theory.naive_variance(v1, v2, r), rel=1e-9)
    assert reported[0].item() / naive.var().item() == pytest.approx(theory.overconfidence(v1, v2, r), rel=1e-9)
    joint = torch.tensor([[v1, r * math.sqrt(v1 * v2)], [r * math.sqrt(v1 * v2), v2]])
    fused, variance = fuse_correlated(errors.T[..., None], joint.expand(1000, 2, 2))
    assert fused.var().item() == pytest.approx(best, rel=1e-9) and variance[0].item() == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("ratio", [1.05, 1.5, 2.0, 5.0])
def test_when_naive_fusion_is_worse_than_the_better_head(ratio):
    limit = theory.naive_limit(ratio)
    root = optimize.brentq(lambda r: theory.naive_variance(1.0, ratio**2, r) - 1, -0.5, 0.9999)
    assert root == pytest.approx(limit, abs=1e-9)
    assert theory.naive_limit(1.0) == 1 and theory.naive_variance(1.0, 1.0, 0.999) < 1
    assert [theory.naive_variance(1.0, 4.0, r) for r in (0.5, 0.8)] == pytest.approx([1.12, 1.312])


def test_the_worse_heads_weight_leaves_0_to_1_beyond_the_ratio():
    assert theory.optimal_weight(1.0, 4.0, 0.5) == pytest.approx(1) and theory.optimal_weight(1.0, 4.0, 0.7) > 1
    assert theory.optimal_variance(1.0, 4.0, 0.5) == pytest.approx(1) and theory.optimal_variance(1.0, 4.0, 0.7) < 1


@pytest.mark.parametrize("v1, v2", [(1.0, 1.0), (1.0, 4.0), (9.0, 1.0)])
@pytest.mark.parametrize("factor", [0.1, 0.5, 2.0, 10.0])
def test_misjudged_variances(v1, v2, factor):
    errors = two_heads(v1, v2, 0.0, 1000)
    reported = torch.tensor([v1, factor * v2])[:, None].expand(2, 1000)
    inflation = fuse_inverse_variance(errors.T[..., None], reported)[0].var().item() / theory.optimal_variance(v1, v2)
    w = theory.optimal_weight(v1, v2)
    assert inflation == pytest.approx(theory.misjudged_inflation(w, factor), rel=1e-9)
    if v1 == v2:
        assert inflation == pytest.approx(2 * (1 + factor**2) / (1 + factor) ** 2, rel=1e-9)
    assert theory.misjudged_inflation(w, 1e9) == pytest.approx(1 / w)
    assert theory.misjudged_inflation(w, 1e-9) == pytest.approx(1 / (1 - w))


# ---------------------------------------------------------------------------------------------------------------------
# What the newer functions share

OF_TENSORS |= {  # the tests above take these too: pytest reads the dictionary once the file is read
    "smooth_spread": lambda x: theory.smooth_spread(x, 0.6).variance,
    "smooth_spread, entropy": lambda x: theory.smooth_spread(x, 0.6).entropy,
    "dark_asymmetry_bias": lambda x: theory.dark_asymmetry_bias(x, 1e-3, 2.0, 4.0),
}


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: theory.sharp_spread(0), "q: want a finite number > 0, got 0"),
        (lambda: theory.smooth_spread(torch.zeros(1), 0), "q: want a finite number > 0, got 0"),
        (lambda: theory.noise_variance(1, 0, 1), "tau: want a finite number > 0, got 0"),
        (lambda: theory.noise_variance(1, 1, 1, dims=3), "dims: want 1 or 2, got 3"),
        (lambda: theory.asymmetry_bias(1, 0), "sigma: want a finite number > 0, got 0"),
        (lambda: theory.asymmetry_bias(1, 1, -1), "tau: want a finite number > 0, got -1"),
        (lambda: theory.three_tap_bias(1, 1, 0), "spacing: want a finite number > 0, got 0"),
        (lambda: theory.dark_asymmetry_bias(torch.zeros(1), 1, 1, 0), "stride: want a finite number > 0, got 0"),
        (lambda: theory.effective_votes(0), "q: want a finite number > 0, got 0"),
        (lambda: theory.shrunk_offset_rms(0, 0.5), "stride: want a finite number > 0, got 0"),
        (lambda: theory.clipped_offset_rms(4, -1), "reach: want a finite number >= 0, got -1"),
        (lambda: theory.offset_break_even(4, 0), "votes: want a finite number > 0, got 0"),
        (lambda: theory.optimal_weight(1, 4, 1), "r: want a correlation between -1 and 1, got 1"),
        (lambda: theory.optimal_variance(0, 4), "v1: want a finite number > 0, got 0"),
        (lambda: theory.naive_limit(0.5), "ratio: want a finite number >= 1, got 0.5"),
        (lambda: theory.misjudged_inflation(2, 2), "weight: want from 0 to 1, got 2"),
        (lambda: theory.misjudged_inflation(0.5, 0), "factor: want a finite number > 0, got 0"),
    ],
)
def test_more_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text
