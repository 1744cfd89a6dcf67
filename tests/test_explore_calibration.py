"""The calibration explorer: what it computes, shows and says."""

import itertools
import random
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from panels import SVG, any_state, cells, marks, window
from scipy import stats

from posebook.explore import calibration
from posebook.explore.calibration import CHANCE, CLAIMS, FIFTHS, LEVELS, PEOPLE, RANKS, State, compute

STATES = [
    State(related, keypoints, factor, spread)
    for related, keypoints, factor, spread in itertools.product(
        (0.0, 0.5, 1.0), CHANCE, (0.1, 0.25, 1.0, 10.0), (0.1, 1.0, 1.5))
]
QUANTILES = np.arange(1, 10) / 10
EDGES = stats.chi2(2).ppf(QUANTILES)  # squared errors over v, of ellipses that claim these


# ---------------------------------------------------------------------------------------------------------------------
# The same by other means: numpy, scipy, and the chi-square distribution


def people(state):
    """Claimed v / kappa^2, and squared errors over kappa^2, (P, K)."""
    own, other, unit = (values.numpy() for values in calibration._people())
    true = 0.25 * np.exp(state.spread * (state.related * own + np.sqrt(1 - state.related**2) * other))
    squares = true[:, None] * (unit[:, : state.keypoints] ** 2).sum(-1)
    return state.factor * 0.25 * np.exp(state.spread * own), squares


def judged(state):
    """Spearman's correlation, and by name factor, observed shares and ECE."""
    claimed, squares = people(state)
    first, second = (values.argsort().argsort() for values in (claimed, np.exp(-squares / 2).mean(1)))
    spearman = 1 - 6 * ((first - second) ** 2).sum() / (PEOPLE * (PEOPLE**2 - 1))
    ratio = np.sort((squares / claimed[:, None]).ravel())
    factors = {"as claimed": 1.0, "likelihood": ratio.mean() / 2,
               "median": ratio[(len(ratio) - 1) // 2] / EDGES[4]}
    out = {}
    for name, factor in factors.items():
        shares = np.searchsorted(ratio, factor * EDGES * (1 + 1e-9), side="right") / len(ratio)
        out[name] = factor, shares, np.abs(shares - QUANTILES).mean()
    return spearman, out


def test_people_are_normal_and_unrelated():
    own, other, unit = (values.numpy() for values in calibration._people())
    quantiles = stats.norm.ppf((np.arange(PEOPLE) + 0.5) / PEOPLE)
    assert np.sort(own) == pytest.approx(quantiles, abs=1e-9) and np.sort(other) == pytest.approx(quantiles, abs=1e-9)
    assert abs(stats.pearsonr(own, other).statistic) < RANKS
    assert stats.kstest(unit.ravel(), "norm").pvalue > 0.01


def test_a_verdict_is_true_wherever_the_controls_stand():
    draw, seen = random.Random(0), set()
    for n in range(2000):
        state = any_state(State, draw)
        if n % 5:  # which takes the least time
            state = replace(state, keypoints=1)
        result = compute(state)
        spearman, held = judged(state)
        form = (r"Spearman of v / kappa² and OKS: (\S+?)(, no more than chance)?, whatever the factor\. ECE as "
                r"claimed: (\S+); scaled: (\S+) \(likelihood, times (\S+)\) or (\S+) \(median, times (\S+)\); "
                r"by chance up to (\S+)\. (.*)")
        rank, chance, *eces, most, told = re.fullmatch(form, calibration.verdict(result)).groups()
        before, likelihood, times, median, half = map(float, eces)
        assert float(rank) == pytest.approx(spearman, abs=0.00501) and (chance is None) == (abs(spearman) > 0.1)
        for said, (_, _, ece) in zip((before, likelihood, median), held.values(), strict=True):
            assert said == pytest.approx(ece, abs=0.000501)
        assert times == pytest.approx(held["likelihood"][0], abs=0.00501)
        assert half == pytest.approx(held["median"][0], abs=0.00501)
        limit = CHANCE[state.keypoints]
        assert float(most) == limit
        passed = tuple(ece <= limit for _, _, ece in held.values())
        assert told == {
            (True, True, True): "Over all people the claims pass.",
            (True, False, True): "Over all people the claims pass; the likelihood factor spoils that.",
            (True, True, False): "Over all people the claims pass; the median factor spoils that.",
            (True, False, False): "Over all people the claims pass; both factors spoil that.",
            (False, True, True): "The claims fail, and one factor mends them.",
            (False, True, False): "The claims fail, and only the likelihood factor mends them.",
            (False, False, True): "The claims fail, and only the median factor mends them.",
            (False, False, False): "The claims fail, and neither factor mends them.",
        }[passed]
        seen.add((passed, chance is None))
    assert len({passed for passed, _ in seen}) >= 5 and {correlated for _, correlated in seen} == {True, False}


@pytest.mark.parametrize("state", STATES[::5])
def test_claims_by_other_means(state):
    result, (spearman, held), (claimed, squares) = compute(state), judged(state), people(state)
    assert result.claimed == pytest.approx(claimed, rel=1e-12)
    oks = np.exp(-squares / 2).mean(1)
    assert result.oks == pytest.approx(oks, rel=1e-9) and result.spearman == pytest.approx(spearman, abs=1e-9)
    assert spearman == pytest.approx(stats.spearmanr(claimed, oks).statistic, abs=1e-9)
    for name, (factor, shares, ece) in held.items():
        assert result.held[name].factor == pytest.approx(factor, rel=1e-9)
        assert result.held[name].observed == pytest.approx(shares, abs=1e-12)
        assert result.held[name].ece == pytest.approx(ece, abs=1e-9)
    order, size = np.argsort(claimed), PEOPLE // FIFTHS
    for k, (v, mean) in enumerate(result.fifths):
        part = order[k * size : (k + 1) * size]
        assert (v, mean) == pytest.approx((stats.gmean(claimed[part]), oks[part].mean()), rel=1e-9)


def test_chance_is_one_of_twenty():
    draw = np.random.default_rng(0)
    for keypoints, limit in CHANCE.items():
        counts = draw.multinomial(PEOPLE * keypoints, np.full(10, 0.1), size=4000)[:, :9].cumsum(1)
        eces = np.abs(counts / (PEOPLE * keypoints) - QUANTILES).mean(1)
        assert 0.025 < (eces > limit).mean() < 0.06
    ranks = [stats.spearmanr(*draw.random((2, PEOPLE))).statistic for _ in range(500)]
    assert 0.02 < (np.abs(ranks) > RANKS).mean() < 0.08


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


def test_the_histogram_stays_and_the_correlation_goes():
    for keypoints, factor, spread in itertools.product(CHANCE, (0.25, 1.0, 4.0), (0.5, 1.0, 1.5)):
        ways = [compute(State(related, keypoints, factor, spread)) for related in (0.0, 0.25, 0.5, 0.75, 1.0)]
        assert len({way.claimed for way in ways}) == 1
        ranks = [way.spearman for way in ways]
        assert ranks == sorted(ranks, reverse=True) and abs(ranks[0]) < RANKS and ranks[-1] < -0.35
        assert sum(calibration.counts(ways[0].claimed)) == PEOPLE


def test_a_factor_changes_no_rank_and_is_found_again():
    for related, keypoints, spread in itertools.product((0.0, 0.5, 1.0), CHANCE, (0.1, 1.0, 1.5)):
        one = compute(State(related, keypoints, 1.0, spread))
        for factor in (0.1, 0.3, 3.0, 10.0):
            other = compute(State(related, keypoints, factor, spread))
            assert other.spearman == pytest.approx(one.spearman, abs=1e-12)
            for name in ("likelihood", "median"):
                assert other.held[name].factor * factor == pytest.approx(one.held[name].factor)
                assert other.held[name].ece == pytest.approx(one.held[name].ece, abs=1e-9)


def test_one_factor_mends_calibrated_claims_and_no_unrelated_ones():
    for keypoints, factor in itertools.product(CHANCE, (0.1, 0.25, 4.0, 10.0)):
        good, bad = (compute(State(related, keypoints, factor)).held for related in (1.0, 0.0))
        assert good["as claimed"].ece > 0.3 and bad["as claimed"].ece > 0.2
        for name in ("likelihood", "median"):
            assert good[name].ece < CHANCE[keypoints] < 2 * CHANCE[keypoints] < bad[name].ece
        assert bad["likelihood"].factor * factor > 2 > 1 > bad["median"].factor * factor
        assert bad["likelihood"].ece > 2 * bad["median"].ece


def test_averages_follow_a_claim_that_there_is():
    for related, low, high in ((1.0, -1, -0.96), (0.0, -RANKS, RANKS)):
        assert low < compute(State(related, 17)).spearman < high
    ranks = [compute(State(1.0, n)).spearman for n in CHANCE]
    assert ranks == sorted(ranks, reverse=True) and -0.7 < ranks[0] < -0.6
    assert all(compute(State(1.0, n)).held["as claimed"].ece < limit for n, limit in CHANCE.items())


def test_claims_that_are_all_alike_pass_and_tell_nothing():
    for related in (0.0, 1.0):
        result = compute(State(related, spread=0.1))
        assert abs(result.spearman) < RANKS and result.held["as claimed"].ece < CHANCE[1]


def test_dashed_is_what_claims_that_hold_expect():
    """The mean OKS of each fifth lies near it, however large the variances."""
    for spread in (0.5, 1.0):
        for v, mean in compute(State(1.0, 17, spread=spread)).fifths:
            assert mean == pytest.approx(1 / (1 + v), abs=0.06)


# ---------------------------------------------------------------------------------------------------------------------
# The view


@pytest.mark.parametrize("state", STATES[::9])
def test_views(state):
    result = compute(state)
    view = calibration.view(result)
    left, right = (ET.fromstring(panel) for panel in view.panels)
    plot = calibration._SCATTER
    paths = {node.get("data-name"): node.get("d") for node in left.iter(f"{SVG}path") if node.get("data-name")}
    dots = [tuple(map(float, dot.split())) for dot in paths["people"][1:-2].split("h0M")]
    places = [plot.at(*pair) for pair in zip(result.claimed, result.oks, strict=True)]
    assert np.array(dots) == pytest.approx(np.array(places), abs=0.501)
    found = marks(left)
    for k, pair in enumerate(result.fifths, 1):
        assert found[f"fifth {k}"] == pytest.approx(plot.at(*pair), abs=0.01)
    found = marks(window(view.panels[1]))
    assert len(found) == LEVELS * len(CLAIMS)
    for name, held in result.held.items():
        for k, share in enumerate(held.observed, 1):
            assert found[f"{name} {k}"] == pytest.approx(calibration._RELIABILITY.at(k / 10, share), abs=0.01)
    assert len([node for node in right.iter(f"{SVG}polyline") if node.get("data-name")]) == len(CLAIMS)
    rows = cells(view.table)
    assert [row[0] for row in rows[1:]] == list(CLAIMS)
    assert {row[4] for row in rows[1:]} == {calibration._plain(result.spearman)}
    for row, held in zip(rows[1:], result.held.values(), strict=True):
        assert float(row[1]) == pytest.approx(held.factor, abs=0.00501)
        assert float(row[2]) == pytest.approx(held.ece, abs=0.000501)
        assert float(row[3].removesuffix(" %")) == pytest.approx(100 * held.observed[4], abs=0.501)


def test_bars_are_counts():
    for state in (State(), State(factor=0.1, spread=1.5), State(factor=10.0, spread=1.5), State(spread=0.1)):
        result = compute(state)
        edges = np.geomspace(1e-4, 1e3, 36)
        counts = np.histogram(result.claimed, edges)[0]
        assert calibration.counts(result.claimed) == counts.tolist() and counts.sum() == PEOPLE
        left = ET.fromstring(calibration.view(result).panels[0])
        bars = next(node for node in left.iter(f"{SVG}path") if node.get("data-name") == "histogram").get("d")
        heights = [float(low) - float(top) for low, top in re.findall(r"M\S+ (\S+?)V(\S+?)h", bars)]
        shares = counts[counts > 0] / counts.max()
        assert heights == pytest.approx(shares * 70 / 1.05, abs=0.11)
