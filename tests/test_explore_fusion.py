"""The fusion explorer: what it computes, shows and says."""

import math

import pytest
import torch
from panels import SVG, cells, marks, window

from posebook import theory
from posebook.explore import fusion
from posebook.explore.fusion import ESTIMATES, State, actual, compute

STATES = [
    State(),
    State(1.0, 2.0, 0.8, 2.0),
    State(2.0, 1.0, 0.5, 2.0),
    State(4.0, 0.5, 0.9, 0.25),
    State(0.5, 0.5, -0.5, 8.0),
    State(1, 1, 0, 1),
]


@pytest.mark.parametrize("state", STATES)
def test_closed_forms(state):
    result = compute(state)
    v1, v2 = state.s1**2, state.s2**2
    assert result.best.weight == theory.optimal_weight(v1, v2, state.r)
    assert result.best.variance == pytest.approx(theory.optimal_variance(v1, v2, state.r), rel=1e-12)
    assert result.says == pytest.approx(theory.optimal_variance(v1, state.reported**2), rel=1e-12)
    assert result.better.variance == pytest.approx(min(v1, v2)) and result.best.times == pytest.approx(1)
    for mean in (result.best, result.naive, result.better):
        estimate = mean.weight * ESTIMATES[0] + (1 - mean.weight) * ESTIMATES[1]
        assert mean.estimate == pytest.approx(estimate, abs=1e-12)
        assert mean.variance >= result.best.variance * (1 - 1e-12)
    honest = compute(State(state.s1, state.s2, state.r, state.s2))
    assert honest.naive.variance == pytest.approx(theory.naive_variance(v1, v2, state.r), rel=1e-12)
    sure = honest.says / honest.naive.variance
    assert sure == pytest.approx(theory.overconfidence(v1, v2, state.r), rel=1e-12)


@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 2, 4])
def test_the_bowl_is_flat(factor):
    for s2 in (0.8, 1.0, 1.5):
        result = compute(State(1.0, s2, 0.0, s2 * math.sqrt(factor)))
        assert result.naive.times == pytest.approx(theory.misjudged_inflation(result.best.weight, factor), rel=1e-12)
        assert result.naive.times <= 1 + (factor - 1) ** 2 / (4 * factor) + 1e-12  # the note's 12.5 %
    equal = compute(State(1.0, 1.0, 0.0, math.sqrt(factor)))
    assert equal.naive.times == pytest.approx(2 * (1 + factor**2) / (1 + factor) ** 2)
    if factor == 2:
        assert "The bowl is flat" in fusion.verdict(equal) and "1.11 times" in fusion.verdict(equal)


def test_the_best_weight_leaves_the_interval():
    for s1, s2 in ((1.0, 2.0), (2.0, 1.0)):
        for r, outside in ((0.49, False), (0.5, False), (0.51, True)):
            result = compute(State(s1, s2, r, s2))
            assert result.limit == 0.5
            assert ("outside [0, 1]: r is past 0.50" in fusion.verdict(result)) == outside
            assert not outside or not 0 <= result.best.weight <= 1
            assert result.best.estimate == pytest.approx(ESTIMATES[s1 > s2], abs=0.03)
    for r, worse in ((0.30, False), (0.32, True)):  # theory.naive_limit(2) = 0.3125
        assert ("worse than head 1 alone" in fusion.verdict(compute(State(1.0, 2.0, r, 2.0)))) == worse


def test_draws_agree():
    state = State(1.0, 2.0, 0.8, 3.0)
    result, random = compute(state), torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 400_000, generator=random, dtype=torch.float64)
    heads = state.s1 * a, state.s2 * (state.r * a + math.sqrt(1 - state.r**2) * b)
    for mean in (result.best, result.naive, result.better):
        drawn = (mean.weight * heads[0] + (1 - mean.weight) * heads[1]).var().item()
        assert drawn == pytest.approx(mean.variance, rel=0.01)  # 4.5 standard errors


@pytest.mark.parametrize("state", STATES)
def test_views(state):
    result = compute(state)
    view = fusion.view(result)
    for value in (*vars(state).values(), result.best.weight, result.naive.weight, result.best.variance, result.says):
        assert f"{value:.2f}" in view.sentence
    bells, bowl = map(window, view.panels)
    plot, found, above = fusion._BOWL, marks(bowl), result.naive.times > 3
    for name, mean in {"best": result.best, "naive": result.naive, f"{result.name} alone": result.better}.items():
        times = 2.9 if above and name == "naive" else mean.times
        assert times > 3 or found[name] == pytest.approx(plot.at(mean.weight, times), abs=0.06)
    for name, weight in (("head 1 alone", 1), ("head 2 alone", 0)):
        assert (name in found) == (actual(state, weight) <= 3 * result.best.variance)
    assert (f"above: {result.naive.times:.2f}" in view.panels[1]) == above
    assert plot.x[0] < result.best.weight < plot.x[1]  # never out of the picture
    left, top, width, _ = plot.box
    curve = [tuple(map(float, p.split(","))) for p in bowl.find(f"{SVG}polyline").get("points").split()]

    def height(right):
        weight = plot.x[0] + (right - left) / width * (plot.x[1] - plot.x[0])
        return plot.at(weight, actual(state, weight) / result.best.variance)[1]

    for right, down in curve:
        rounding = 0.06 + abs(height(right + 0.05) - height(right - 0.05))
        assert down == pytest.approx(height(right), abs=rounding)
    for right, down in (curve[0], curve[-1]):  # it goes on to the edge of the picture
        assert down == pytest.approx(top, abs=0.06) or min(right - left, left + width - right) < 0.06
    assert [line.get("data-name") for line in bells.iter(f"{SVG}polyline")] == [
        "reported", "head 1", "head 2", "naive", "best"]
    rows = cells(view.table)
    assert [row[0] for row in rows[1:]] == ["best mean", "naive mean", f"{result.name} alone", "naive reports"]
    assert rows[2][1] == f"{result.naive.weight:.2f}" and rows[2][4] == f"{result.naive.times:.2f}"
