"""The fusion explorer: what it computes, shows and says."""

import math
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from posebook import theory
from posebook.explore import fusion
from posebook.explore.fusion import BEST, ESTIMATES, HEADS, NAIVE, State, actual, compute

SVG = "{http://www.w3.org/2000/svg}"
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
        assert mean.variance == actual(state, mean.weight)
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


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"s1": 0.0}, "s1: want a number from 0.5 to 4, got 0.0"),
        ({"s2": "2"}, "s2: want a number from 0.5 to 4, got 2"),
        ({"r": 1.0}, "r: want a number from -0.5 to 0.9, got 1.0"),
        ({"reported": math.nan}, "reported: want a number from 0.25 to 8, got nan"),
    ],
)
def test_out_of_range(start, message):
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        fusion.explore(**start)


@pytest.mark.parametrize("state", STATES)
def test_views(state):
    result = compute(state)
    root, said = ET.fromstring(fusion.svg(result)), fusion.sentence(result)
    assert root.get("role") == "img" and root.get("aria-label") == said and "\n" not in said
    assert said == fusion.sentence(compute(State(**vars(state))))
    for value in (*vars(state).values(), result.best.weight, result.naive.weight, result.best.variance, result.says):
        assert f"{value:.2f}" in said
    bells, bowl = root.findall(f"{SVG}svg")
    marks = {g.get("data-name"): g.get("transform") for g in bowl.iter(f"{SVG}g")}
    above = result.naive.times > 3
    for name, mean in {"best": result.best, "naive": result.naive, f"{result.name} alone": result.better}.items():
        got = map(float, re.match(r"translate\((\S+) (\S+)\)", marks[name]).groups())
        times = 2.9 if above and name == "naive" else mean.times
        assert list(got) == pytest.approx(fusion._at(mean.weight, times), abs=0.06)
    assert (f"above: {result.naive.times:.2f}" in "".join(bowl.itertext())) == above
    left, _, width, _ = fusion._BOWL
    assert left < fusion._at(result.best.weight, 1)[0] < left + width  # never out of the picture
    curve = [tuple(map(float, p.split(","))) for p in bowl.find(f"{SVG}polyline").get("points").split()]
    assert max(curve, key=lambda p: p[1]) == pytest.approx(fusion._at(result.best.weight, 1), abs=0.1)
    weight = result.best.weight + (curve[-1][0] - curve[24][0]) / width * (fusion._W[1] - fusion._W[0])
    assert actual(state, weight) / result.best.variance == pytest.approx(3.25, abs=0.05)
    assert [line.get("data-name") for line in bells.iter(f"{SVG}polyline")] == [
        "reported", "head 1", "head 2", "naive", "best"]
    ET.fromstring(f"<body>{fusion.view(result)}</body>")
    rows = [["".join(c.itertext()).strip() for c in row] for row in ET.fromstring(fusion.table(result)).iter("tr")]
    assert [row[0] for row in rows[1:]] == ["best mean", "naive mean", f"{result.name} alone", "naive reports"]
    assert rows[2][1] == f"{result.naive.weight:.2f}" and rows[2][4] == f"{result.naive.times:.2f}"


def test_shapes_differ():
    assert len({shape for shape, _ in (*HEADS.values(), NAIVE, BEST)}) == 4


def test_png():
    assert fusion.png(compute(State())).startswith(b"\x89PNG\r\n\x1a\n")


def test_a_move_is_one_assignment():
    explorer, seen = fusion.explore(), []
    explorer.view.observe(lambda change: seen.append(change["new"]), "value")
    for name, value in {"s1": 0.8, "s2": 2.5, "r": 0.6, "reported": 4.0}.items():
        seen.clear()
        explorer.controls[name].value = value
        assert seen == [fusion.view(compute(explorer.result.state))]
    assert explorer.result.state == State(0.8, 2.5, 0.6, 4.0)
    assert explorer._repr_mimebundle_()[0]["text/plain"] == fusion.sentence(explorer.result)


def test_an_exception_is_said(monkeypatch):
    explorer = fusion.explore()
    before = explorer.view.value
    monkeypatch.setattr(fusion, "R", (-0.5, 0.5))
    explorer.controls["r"].value = 0.7
    assert explorer.status.value == '<div role="status">ValueError: r: want a number from -0.5 to 0.5, got 0.7</div>'
    assert explorer.view.value == before
