"""The asymmetry explorer without a page."""

import itertools
import math

import pytest
import torch
from panels import marks

from posebook import theory
from posebook.explore import asymmetry
from posebook.explore._controls import controls
from posebook.explore.asymmetry import FIXED, STRIDES, THREE, State, compute

NUMBERS = [controls(State)[name] for name in ("mu", "tau", "sigma")]
CORNERS = [State(*values) for values in itertools.product(FIXED, (1, 16), *((c.low, c.high) for c in NUMBERS))]


@pytest.mark.parametrize("fixed", FIXED[:3])
@pytest.mark.parametrize("stride", [4, 8])
def test_bias_to_second_order(fixed, stride):
    result = compute(State(fixed, stride, mu=1e-5, sigma=9.0))
    want = result.law * (1 + 1.25 * result.gamma**2)
    assert result.law == pytest.approx(theory.asymmetry_bias(result.mu, result.sigma))
    assert result.measured[stride] == pytest.approx(want, rel=1e-4)
    assert result.mean == pytest.approx(want, rel=1e-4)
    assert abs(result.gamma) < 0.02


def test_three_taps_are_exact():
    for state in (State(THREE, 16), State(THREE, 2, 2e-3, 0.3, 4.0)):
        for stride, bias in compute(state).measured.items():
            want = theory.three_tap_bias(state.mu, state.sigma, stride, state.tau)
            assert bias == pytest.approx(want, rel=1e-9)


def test_laws_meet_at_the_base():
    laws = [compute(State(fixed, asymmetry.BASE)).law for fixed in FIXED[:3]]
    assert laws == pytest.approx([laws[0]] * 3)


@pytest.mark.parametrize("state", CORNERS)
def test_the_window_keeps_one_peak(state):
    result = compute(state)
    x = torch.linspace(0, result.reach, 200, dtype=torch.float64)
    assert (asymmetry._scores(x, result.mu, result.sigma).diff() <= 1e-9).all()
    assert all(map(math.isfinite, (*result.measured.values(), result.mean, result.law)))
    assert state.fixed != THREE or len(result.cells) == 3
    assert result.cells[len(result.cells) // 2] == 0


@pytest.mark.parametrize("fixed", FIXED)
def test_powers(fixed):
    """The law's power, and what is measured where it holds."""
    result = compute(State(fixed, 1, mu=1e-5, sigma=10.0))
    power = theory.ASYMMETRY_EXPONENTS[fixed]
    assert math.log2(result.growth) == pytest.approx(power, abs=0.04)
    assert math.log2(result.measured[2] / result.measured[1]) == pytest.approx(power, abs=0.04)
    laws = [asymmetry._law(result.state, s) for s in STRIDES]
    assert [b / a for a, b in zip(laws, laws[1:], strict=False)] == pytest.approx([2**power] * 4)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(), "holds to 10 %: twice the stride, 16 times the bias (from stride 4 to 8 it grew 16.50 times)."),
        (State(FIXED[0]), "holds to 10 %: twice the stride, the same bias (from stride 4 to 8 it grew 1.00 times)."),
        (State(THREE, 1), "holds to 10 %: twice the stride, 16 times the bias (from stride 0.5 to 1 it grew 15.97"),
        (State(stride=16), "fails here, as the peak is too lopsided for a law of first order (gamma 1.23): it says"),
        (State(FIXED[0], 16, sigma=4.0), "(twice the stride, the same bias) fails here, as the cells are too coarse"),
        (State(THREE, 16), "fails here, as the taps reach too far down the peak: it says 2.18 px, soft-argmax 0.70"),
        (State(FIXED[0], 16, 2e-3, 0.1, 12.0), "too lopsided"),
    ],
)
def test_verdict(state, words):
    assert words in asymmetry.verdict(compute(state))


def test_a_law_that_holds_is_seen_to_hold():
    """In bias and in growth, wherever the controls may stand; and where it fails one of them is off."""
    held = failed = 0
    for fixed, stride, mu, tau, sigma in itertools.product(FIXED, STRIDES, *(torch.logspace(
            math.log10(c.low), math.log10(c.high), 5).tolist() for c in NUMBERS)):
        result = compute(State(fixed, stride, *map(float, (f"{v:.4g}" for v in (mu, tau, sigma)))))
        bias, growth = result.measured[stride] / result.law, result.growth / 2 ** theory.ASYMMETRY_EXPONENTS[fixed]
        said, fits = asymmetry.verdict(result), 0.9 <= bias <= 1.1
        assert ("law holds" in said) == (fits and 0.8 <= growth <= 1.2)
        assert ("to 10 %, but" in said) == (fits and not 0.8 <= growth <= 1.2)
        held, failed = held + ("law holds" in said), failed + ("fails here" in said)
    assert held > 500 and failed > 500


@pytest.mark.parametrize("state", CORNERS)
def test_points_are_where_they_were_measured(state):
    result = compute(state)
    peak, bias = asymmetry.view(result).panels
    assert list(marks(peak)) == list(asymmetry.POINTS)
    want = asymmetry._PLOT.at(state.stride, result.measured[state.stride])
    assert marks(bias)["place"] == pytest.approx(want, rel=1e-3)
    edge = 4 * result.sigma * math.sqrt(state.tau)
    assert ("below: " in bias) == (result.measured[state.stride] < 1e-6)
    assert ("off this picture" in peak) == (max(asymmetry._points(result).values()) > edge)
