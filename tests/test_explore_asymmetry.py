"""The asymmetry explorer without a page."""

import dataclasses
import math
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from posebook import theory
from posebook.explore import asymmetry
from posebook.explore.asymmetry import FIXED, MU, SIGMA, STRIDES, TAU, State, compute

SVG = "{http://www.w3.org/2000/svg}"
CORNERS = [State(fixed, s, mu, tau, sigma) for fixed in FIXED for s in (1, 16) for mu in MU for tau in TAU
           for sigma in SIGMA]
STATES = [State(), *(State(fixed, 2, 1e-3, 0.5, 5) for fixed in FIXED), *CORNERS[::7]]


@pytest.mark.parametrize("fixed", FIXED)
def test_slopes_snap(fixed):
    """The law's slope, and what is measured where it holds."""
    result = compute(State(fixed, 1, mu=1e-5, sigma=10.0))
    power = theory.ASYMMETRY_EXPONENTS[FIXED[fixed]]
    assert result.exponent == power
    assert result.slope == pytest.approx(power, abs=0.02)
    slope = math.log2(result.measured[2] / result.measured[1])
    assert slope == pytest.approx(power, abs=0.04)
    laws = [asymmetry._law(result.state, s) for s in STRIDES]
    assert [b / a for a, b in zip(laws, laws[1:], strict=False)] == pytest.approx([2**power] * 4)


@pytest.mark.parametrize("fixed", tuple(FIXED)[:3])
@pytest.mark.parametrize("stride", [4, 8])
def test_bias_to_second_order(fixed, stride):
    result = compute(State(fixed, stride, mu=1e-5, sigma=9.0))
    want = result.law * (1 + 1.25 * result.gamma**2)
    assert result.law == pytest.approx(theory.asymmetry_bias(result.mu, result.sigma))
    assert result.measured[stride] == pytest.approx(want, rel=1e-4)
    assert result.mean == pytest.approx(want, rel=1e-4)
    assert abs(result.gamma) < 0.02


def test_three_taps_are_exact():
    for state in (State("3 taps", 16), State("3 taps", 2, 2e-3, 0.3, 4.0)):
        for stride, bias in compute(state).measured.items():
            want = theory.three_tap_bias(state.mu, state.sigma, stride, state.tau)
            assert bias == pytest.approx(want, rel=1e-9)


def test_laws_meet_at_the_base():
    laws = [compute(State(fixed, asymmetry.BASE)).law for fixed in tuple(FIXED)[:3]]
    assert laws == pytest.approx([laws[0]] * 3)


@pytest.mark.parametrize("state", CORNERS)
def test_the_window_keeps_one_peak(state):
    result = compute(state)
    x = torch.linspace(0, result.reach, 200, dtype=torch.float64)
    assert (asymmetry._scores(x, result.mu, result.sigma).diff() <= 1e-9).all()
    assert all(map(math.isfinite, (*result.measured.values(), result.mean, result.law)))
    assert state.fixed != "3 taps" or len(result.cells) == 3
    assert result.cells[len(result.cells) // 2] == 0


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(), "Stride x 2, bias x 16. The first-order law holds."),
        (State("image px"), "Stride x 2, bias x 1. The first-order law holds."),
        (State(stride=16), "no longer, as the peak is too lopsided for first order (gamma 1.23)."),
        (State("image px", 16, sigma=4.0), "no longer, as the cells are too coarse for the peak."),
        (State("3 taps", 1), "Stride x 2, bias x 16. The small-stride law holds."),
        (State("3 taps", 16), "no longer, as the taps reach too far down the peak."),
    ],
)
def test_verdict(state, words):
    assert asymmetry.verdict(compute(state)).endswith(words)


@pytest.mark.parametrize("state", STATES)
def test_views(state):
    result = compute(state)
    said = asymmetry.sentence(result)
    root = ET.fromstring(asymmetry.svg(result))
    assert root.get("role") == "img" and root.get("aria-label") == said and "\n" not in said
    for value in (state.tau, result.sigma, result.slope):
        assert f"{value:.2f}" in said
    assert "-0.00" not in said and f"Slope {result.exponent}, " in said
    assert said == asymmetry.sentence(compute(dataclasses.replace(state)))
    marks = {m.get("data-name"): m.get("transform") for m in root.iter(f"{SVG}g") if m.get("data-name")}
    assert list(marks) == [*asymmetry.POINTS, "place"]
    place = map(float, re.match(r"translate\((\S+) (\S+)\)", marks["place"]).groups())
    assert tuple(place) == pytest.approx(asymmetry._PLOT.at(state.stride, result.measured[state.stride]), rel=1e-4)
    ET.fromstring(f"<body>{asymmetry.view(result)}</body>")


def test_png():
    for state in (State(), CORNERS[-1]):
        assert asymmetry.png(compute(state)).startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"fixed": "nothing"}, "fixed: want one of 'image px', "),
        ({"stride": 3}, "stride: want one of 1, 2, 4, 8, 16, got 3"),
        ({"mu": 0.0}, "mu: want a number from 1e-05 to 0.002, got 0.0"),
        ({"tau": math.nan}, "tau: want a number from 0.1 to 4, got nan"),
        ({"sigma": "8"}, "sigma: want a number from 2 to 12, got 8"),
    ],
)
def test_out_of_range(start, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        asymmetry.explore(**start)


def test_a_move_is_one_assignment(monkeypatch):
    explorer, seen = asymmetry.explore(), []
    explorer.view.observe(lambda change: seen.append(change["new"]), "value")
    for name, value in {"fixed": "image px", "stride": 2, "mu": 1e-4, "tau": 0.5, "sigma": 5.0}.items():
        seen.clear()
        explorer.controls[name].value = value
        assert seen == [asymmetry.view(compute(explorer.result.state))]
    assert explorer.result.state == State("image px", 2, 1e-4, 0.5, 5.0)
    monkeypatch.setattr(asymmetry.State, "__post_init__", lambda self: 1 / 0)
    explorer.controls["tau"].value = 0.7
    assert "ZeroDivisionError" in explorer.status.value and explorer.result.state.tau == 0.5
