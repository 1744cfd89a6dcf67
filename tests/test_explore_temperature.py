"""The temperature explorer without a page."""

import math
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, marks, window

from posebook import theory
from posebook.explore import _page, temperature
from posebook.explore.temperature import CELL, DRAWS, HW, TAUS, State, compute

STATES = [State(), State(0.002, 0.5, 0.02, 0.0), State(20.0, 3.0, 1.0, 0.5), State(0.01, 1, 0.3, 0.5), State(1, 2)]


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_spread_follows_theory(sigma, phase):
    for tau in TAUS:
        result, q = compute(State(tau=tau, sigma=sigma, phase=phase)), math.sqrt(tau) * sigma
        assert result.q == pytest.approx(q)
        assert result.gaussian == pytest.approx(math.log(2 * math.pi * math.e * q**2))
        assert (result.gaussian < 0) == (q < theory.ENTROPY_CROSSOVER)
        if 0.7 <= q <= 1.5:
            phases = torch.tensor([phase, 0.0])
            entropy, variance = theory.smooth_spread(phases, q)
            assert result.entropy == pytest.approx(entropy.sum().item(), abs=1e-4)
            assert result.covariance.diagonal().tolist() == pytest.approx(variance.tolist(), abs=1e-4)
            assert result.spread == pytest.approx(math.sqrt(variance.mean().item()), abs=1e-4)
        if phase == 0 and 0.1 < q <= 0.3:
            entropy, variance = theory.sharp_spread(q)
            assert (result.entropy, result.spread**2) == pytest.approx((2 * entropy, variance), rel=0.05)


def test_plateaus():
    assert compute(State(tau=0.002, sigma=1.0, phase=0.0)).entropy == pytest.approx(0, abs=1e-9)
    tie = compute(State(tau=0.002, sigma=1.0, phase=0.5))
    assert tie.entropy == pytest.approx(math.log(2), abs=1e-9)
    assert tie.covariance.flatten().tolist() == pytest.approx([0.25, 0, 0, 0], abs=1e-9)


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_noise_law(tau):
    """Each estimate to first order in the noise; their variance within what 24 draws tell."""
    noise, sigma = 0.02, 1.5
    result = compute(State(tau=tau, sigma=sigma, noise=noise, phase=0.3))
    y, x = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in HW], indexing="ij")
    away = torch.stack((x - result.mean[0], y - result.mean[1]))
    first = torch.einsum("hw,chw,nhw->nc", result.prob, away, temperature._draws()) * noise / tau
    assert (result.estimates - torch.tensor(result.mean) - first).abs().max() < 6e-4
    law = math.sqrt(theory.noise_variance(noise, tau, result.q))
    assert first.square().mean().sqrt().item() == pytest.approx(law, rel=0.35)


def test_curves_go_through_the_place():
    for state in STATES:
        for i in (0, 8, 15, 24):
            here = compute(State(TAUS[i], state.sigma, state.noise, state.phase))
            curves = here.curves
            assert here.estimates.shape == (DRAWS, 2)
            assert curves.entropy[i] == pytest.approx(here.entropy, abs=1e-9)
            assert curves.spread[i] == pytest.approx(here.spread, abs=1e-9)
            assert curves.rms[i] == pytest.approx(here.rms, abs=1e-5)
            assert here.best == curves.rms.index(min(curves.rms))


def test_the_sweet_spot():
    """Neither end is best; below it the spread of p rises and the error falls; argmax is the cold limit."""
    for state in (State(), State(sigma=1.0), State(sigma=3.0, noise=0.1, phase=0.5)):
        result = compute(state)
        curves, best = result.curves, result.best
        assert 0 < best < len(TAUS) - 1
        assert all(a <= b + 1e-12 for a, b in zip(curves.spread, curves.spread[1:], strict=False))
        assert all(a > b for a, b in zip(curves.rms[6:best], curves.rms[7:best], strict=False))
        assert curves.rms[best] < 0.2 * curves.argmax and curves.rms[-1] > 3 * curves.rms[best]
        assert curves.rms[0] == pytest.approx(curves.argmax, rel=0.1)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(tau=0.01), "The grid decides: the Gaussian formula says -0.38 nats, and no entropy is negative."),
        (State(tau=0.5), "Gaussian: the entropy is that of the formula. Too sharp"),
        (State(tau=2.0), "The sweet spot"),
        (State(tau=10.0), "The border decides: it cuts off what the formula counts. Too flat"),
        (State(tau=0.02, sigma=2.0, phase=0.0), "The grid shows"),
        (State(1.0, 0.5, 0.02, 0.0), "Argmax is exact"),
    ],
)
def test_verdict(state, words):
    assert words in temperature.verdict(compute(state))


def test_ellipse():
    result = compute(State(tau=20.0, sigma=3.0))
    turned = next(ET.fromstring(temperature.view(result).panels[0]).iter(f"{SVG}ellipse"))
    radii = sorted((float(turned.get("rx")) ** 2, float(turned.get("ry")) ** 2))
    assert radii == pytest.approx(torch.linalg.eigvalsh(result.covariance).tolist(), rel=1e-3)


@pytest.mark.parametrize("state", STATES)
def test_views(state):
    result = compute(state)
    view = temperature.view(result)
    for value in (state.sigma, state.noise, state.phase, result.q, result.entropy, result.gaussian):
        assert f"{value:.2f}" in view.sentence
    for tau in (state.tau, TAUS[result.best]):
        assert f"au {_page.figure(tau)}" in view.sentence
    softmax, nats, error = view.panels
    assert marks(window(softmax))["keypoint"] == pytest.approx((CELL[0] + state.phase, CELL[1]))
    assert marks(nats)["entropy"] == pytest.approx(temperature._NATS.at(state.tau, result.entropy), rel=1e-4)
    assert marks(error)["error"] == pytest.approx(temperature._CELLS.at(state.tau, result.rms), rel=1e-4)
