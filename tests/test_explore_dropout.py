"""The dropout explorer: what it computes, shows and says."""

import itertools
import math
import random
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from panels import SVG, any_state, cells, marks, window
from scipy import stats

from posebook import theory
from posebook.explore import dropout
from posebook.explore.dropout import DRAWS, MARKED, SAMPLES, UNITS, State, compute

STATES = [
    State(p, samples, weights, error, size, draw)
    for p, samples, (weights, error), size, draw in itertools.product(
        (0.01, 0.2, 0.9), (2, 30, 500), ((0.25, 0.0), (1.0, 9.0), (2.0, 24.0)), (24.0, 96.0), (1, 8))
]


# ---------------------------------------------------------------------------------------------------------------------
# The same by other means: what each mask leaves, one coin at a time, and numerical integrals


def answers(state):
    """Of each mask the layer's output, less that without dropout, plus the answer; px."""
    w, x = (value.numpy() for value in dropout.layer())
    chances = dropout._chances()[state.draw - 1, : state.samples].numpy()
    inputs = np.where(chances < state.p, 0, x / (1 - state.p))
    outputs = np.stack([inputs @ row for row in state.weights * w], -1) - state.weights * (w @ x)
    return outputs + state.error * np.array([0.8, -0.6])


def closed(state):
    """Variance on each axis, and the relative standard deviation of its estimate, from cumulants of single coins."""
    w, x = (value.numpy() for value in dropout.layer())
    terms = state.weights * w * x
    values, chances = np.array([0, 1 / (1 - state.p)]), np.array([state.p, 1 - state.p])
    second, fourth = (chances @ (values - 1) ** power for power in (2, 4))
    variances = second * (terms**2).sum(1)
    cumulant = (fourth - 3 * second**2) * (terms[0] ** 4).sum()
    law = 2 / (state.samples - 1) + cumulant / variances[0] ** 2 / state.samples
    return variances, math.sqrt(law)


def rounded(value):
    """Off by half of the last digit at most: of two decimals, or of the one digit of a small number."""
    digit = 10 ** math.floor(math.log10(value)) if 0 < value < 0.005 else 0.01
    return pytest.approx(value, abs=0.501 * digit, rel=0)


def test_the_layer_is_as_large_on_both_axes():
    w, x = dropout.layer()
    terms = (w * x).numpy()
    assert w.shape == (2, UNITS) and terms @ terms.T == pytest.approx(36 * np.eye(2), abs=1e-9)


def test_a_verdict_is_true_wherever_the_controls_stand():
    draw, seen = random.Random(0), set()
    some = [any_state(State, draw).p for _ in range(250)]
    for n in range(2000):
        state = replace(any_state(State, draw), p=some[n // 8])  # a new p takes the most time
        result = compute(state)
        v, std = closed(state)
        points, kappa = answers(state), 0.124 * state.size
        form = (r"v = p / \(1 - p\) times (\S+) = (\S+) px² on each axis\. The (\d+) answers say "
                r"(the same on x, to 1 %|(\d+) % (more|less) on x); such an estimate has a standard deviation of "
                r"(\d+) %\. With Gaussian errors like that OKS would be (\S+) on average, as v / kappa² = (\S+)\. "
                r"The real error, (\S+) px, is (\S+) times the claimed (\S+) px; its OKS is (\S+)\.")
        terms, said, samples, same, off, more, law, expected, ratio, error, times, claimed, oks = re.fullmatch(
            form, dropout.verdict(result)).groups()
        assert v[0] == pytest.approx(v[1]) and float(said) == rounded(v[0]) and int(samples) == state.samples
        assert state.p / (1 - state.p) * float(terms) == pytest.approx(v[0], rel=0.005 / 2.25 + 1e-6)
        share = 100 * (np.var(points[:, 0], ddof=1) / v[0] - 1)
        signed = 0 if off is None else int(off) * (1 if more == "more" else -1)
        assert signed == pytest.approx(share, abs=0.501) and (off is None) == same.startswith("the") and off != "0"
        assert int(law) == pytest.approx(100 * std, abs=0.501)
        assert float(expected) == pytest.approx(kappa**2 / (kappa**2 + v[0]), abs=0.00501)
        assert float(ratio) == rounded(v[0] / kappa**2)
        assert float(error) == pytest.approx(state.error, abs=0.0501)
        assert float(claimed) == pytest.approx(math.sqrt(v.sum()), abs=0.0501)
        assert float(times) == rounded(state.error / math.sqrt(v.sum()))
        assert float(oks) == pytest.approx(math.exp(-(state.error**2) / (2 * kappa**2)), abs=0.00501)
        seen.add(more)
    assert seen == {"more", "less", None}


@pytest.mark.parametrize("state", STATES[::7])
def test_moments_by_loops(state):
    result, points = compute(state), answers(state)
    assert result.points.numpy() == pytest.approx(points, abs=1e-9)
    assert result.mean == pytest.approx(points.mean(0), abs=1e-9)
    off = points - points.mean(0)
    covariance = off.T @ off / (state.samples - 1)
    assert np.array(result.covariance) == pytest.approx(covariance, abs=1e-9)
    v, std = closed(state)
    assert (result.variance, result.std) == pytest.approx((v[0], std))
    assert result.band[MARKED.index(state.samples)] == result.std
    for draw, course in enumerate(result.courses, 1):
        other = State(state.p, state.samples, 1.0, 0.0, 96.0, draw)
        share = np.var(answers(other)[:, 0], ddof=1) / closed(other)[0][0]
        assert course[MARKED.index(state.samples)] == pytest.approx(share, abs=1e-6)
    unit = result.kappa**2
    assert result.expected["closed"] == pytest.approx(unit / (unit + v[0]))
    assert result.expected["sampled"] == pytest.approx(np.linalg.det(np.eye(2) + covariance / unit) ** -0.5, rel=1e-6)


def test_expected_oks_is_the_mean_of_oks():
    """Of Gaussian errors of the claimed variance: the squared distance over v is chi-square."""
    for state in STATES[::5]:
        result = compute(state)
        mean = stats.chi2(2).expect(lambda q, r=result: math.exp(-q * r.variance / (2 * r.kappa**2)))
        assert result.expected["closed"] == pytest.approx(mean, abs=1e-6)


def test_the_law_holds_over_draws():
    """A share of the eight draws' estimates as large as that of a Gaussian lies within one standard deviation."""
    within = total = 0
    for p, samples in itertools.product((0.2, 0.5, 0.8), (30, 70, 201)):
        for draw in range(1, DRAWS + 1):
            result = compute(State(p=p, samples=samples, draw=draw))
            within += abs(result.covariance[0][0] / result.variance - 1) < result.std
            total += 1
    assert abs(within / total - 0.68) < 0.15


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


def test_the_error_moves_the_cloud_and_nothing_else():
    for p, size in itertools.product((0.05, 0.5, 0.9), (24.0, 320.0)):
        near, far = (compute(State(p=p, size=size, error=error)) for error in (0.0, 24.0))
        assert near.variance == far.variance and near.expected["closed"] == far.expected["closed"]
        assert np.array(near.covariance) == pytest.approx(np.array(far.covariance), rel=1e-9)
        assert near.oks == 1 > far.oks


def test_p_and_the_weights_set_the_spread():
    for p, weights in itertools.product((0.01, 0.2, 0.5, 0.9), (0.25, 1.0, 2.0)):
        assert compute(State(p=p, weights=weights)).variance == pytest.approx(p / (1 - p) * 36 * weights**2)
    assert math.sqrt(2 * compute(State(p=0.53)).variance) == pytest.approx(9, abs=0.02)


def test_few_units_fall_at_a_small_p():
    assert stats.binom(UNITS, 0.01).cdf(1) > 0.8  # no unit or one
    kurtosis = theory.dropout_kurtosis(*(value[0] if value.ndim == 2 else value for value in dropout.layer()), 0.01)
    assert theory.samples_needed(0.1, kurtosis=kurtosis.item()) > 3 * theory.samples_needed(0.1)


def test_oks_follows_from_the_ratio():
    start, small = compute(State()), compute(State(size=48.0, weights=0.5))
    assert small.expected["closed"] == pytest.approx(start.expected["closed"])
    assert compute(State(size=24.0)).expected["closed"] < 0.5 < 0.99 < compute(State(size=320.0)).expected["closed"]


# ---------------------------------------------------------------------------------------------------------------------
# The view


@pytest.mark.parametrize("state", STATES[::11])
def test_views(state):
    result = compute(state)
    view = dropout.view(result)
    left, right = window(view.panels[0]), ET.fromstring(view.panels[1])
    found, plots = marks(left), marks(right)
    assert found["true"] == (0, 0)
    assert found["answer"] == pytest.approx([6 * value for value in result.answer], abs=0.01)
    assert found["mean"] == pytest.approx([6 * value for value in result.mean], abs=0.01)
    circles = {node.get("data-name"): float(node.get("r")) for node in left.iter(f"{SVG}circle")}
    assert circles["kappa"] == pytest.approx(6 * result.kappa, rel=1e-4)
    assert circles["closed form"] == pytest.approx(6 * math.sqrt(result.variance), rel=1e-4)
    for level in dropout.LEVELS:
        assert math.exp(-((circles[f"OKS {level}"] / circles["kappa"]) ** 2) / 2) == pytest.approx(level, abs=1e-3)
    dots = next(node for node in left.iter(f"{SVG}path") if node.get("data-name") == "answers").get("d")
    places = [tuple(map(float, dot.split())) for dot in dots[1:-2].split("h0M")]
    assert np.array(places) == pytest.approx(6 * answers(state), abs=0.501)
    place = MARKED.index(state.samples)
    assert plots["estimate"] == pytest.approx(
        dropout._FUNNEL.at(state.samples, result.courses[state.draw - 1][place]), abs=0.01)
    ratio = result.variance / result.kappa**2
    assert plots["by closed form"] == pytest.approx(dropout._CURVE.at(ratio, 1 / (1 + ratio)), abs=0.01)
    assert plots["own"] == pytest.approx(dropout._CURVE.at(ratio, result.oks), abs=0.01)
    lines = [node.get("data-name") for node in right.iter(f"{SVG}polyline") if node.get("data-name")]
    assert sorted(lines) == [f"draw {k}" for k in range(1, DRAWS + 1)] and lines[-1] == f"draw {state.draw}"
    rows = cells(view.table)
    assert [row[0] for row in rows[1:]] == ["closed form", f"{state.samples} answers", "real error, squared"]
    assert [row[3].split()[0] for row in rows[1:]] == [
        f"{value:.2f}" for value in (*result.expected.values(), result.oks)]


def test_the_ellipse_has_the_covariance():
    for state in STATES[::9]:
        result = compute(state)
        node = next(window(dropout.view(result).panels[0]).iter(f"{SVG}ellipse"))
        turn = math.radians(float(re.search(r"rotate\((\S+)\)", node.get("transform"))[1]))
        axes = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        radii = np.diag([float(node.get("rx")), float(node.get("ry"))])
        made = axes @ radii**2 @ axes.T / 36
        assert made == pytest.approx(np.array(result.covariance), abs=1e-3 * made.max() + 2e-4)


def test_all_that_is_claimed_is_in_the_plot():
    low = compute(State(p=0.01, weights=0.25, size=320.0))
    high = compute(State(p=0.9, weights=2.0, size=24.0))
    assert dropout._CURVE.x[0] < low.variance / low.kappa**2 < high.variance / high.kappa**2 < dropout._CURVE.x[1]
    assert SAMPLES[0] == MARKED[0] and SAMPLES[-1] == MARKED[-1]
