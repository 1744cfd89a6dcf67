"""The tags explorer: what it computes, shows and says."""

import itertools
import math
import random
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from panels import SVG, cells, marks, window

from posebook.explore import tags
from posebook.explore.tags import KEYPOINTS, PUSHES, RATE, SIDES, STEPS, State, compute, force, forces, group
from posebook.losses import associative_embedding_loss

STATES = [
    State(people, push, gap, steps, margin, 0.5, spread, threshold)
    for people, push, gap, steps, (margin, spread), threshold in itertools.product(
        (2, 3, 4), PUSHES, (0.0, 0.15, 1.0), (0.0, 40.0, 300.0), ((1.0, 0.15), (0.6, 0.3)), (0.1, 0.45))
]


def loss(tags, mask, push, scale):
    return sum(associative_embedding_loss(tags, mask, push=push.lower(), scale=scale))


@pytest.mark.parametrize("push", PUSHES)
@pytest.mark.parametrize("people", [2, 3, 4])
def test_forces_are_minus_the_gradient(push, people):
    draw = random.Random(people)
    for scale in (0.2, 0.5, 1.5):
        means = tuple(draw.uniform(-1, 1) for _ in range(people))
        leaf = torch.tensor(means, dtype=torch.float64)[:, None, None].requires_grad_()  # one tag a person: no pull
        loss(leaf, torch.ones(people, 1, dtype=torch.bool), push, scale).backward()
        assert forces(means, push, scale) == pytest.approx((-leaf.grad.flatten()).tolist(), abs=1e-12)


@pytest.mark.parametrize("push", PUSHES)
def test_force_of_a_pair(push):
    for scale, d in itertools.product((0.2, 0.5, 1.0), (0.0, 1e-6, 0.1, 0.3, 0.7, 3.0)):
        leaf = torch.tensor([[[0.0]], [[d]]], dtype=torch.float64, requires_grad=True)
        loss(leaf, torch.ones(2, 1, dtype=torch.bool), push, scale).backward()
        assert force(d, push, scale) == pytest.approx(-leaf.grad[1].item(), abs=1e-12)
    peak = max((force(k / 1000, "Gaussian", 0.5), k / 1000) for k in range(2000))
    assert peak == (pytest.approx(math.exp(-0.5) / 0.5), 0.5)  # e^(-1/2) / s, at d = s


@pytest.mark.parametrize("push", PUSHES)
@pytest.mark.parametrize("people", [2, 3, 4])
def test_steps_are_those_of_gradient_descent(push, people):
    """On the tags themselves: the mean tags move by push alone, and the spread shrinks by pull alone."""
    state = State(people=people, push=push, gap=0.13, spread=0.2)
    start = compute(state).tags
    mask = torch.tensor([[tag is not None for tag in row] for row in start])
    leaf = torch.tensor([[[tag or 0.0] for tag in row] for row in start], dtype=torch.float64, requires_grad=True)
    for _ in range(30):
        loss(leaf, mask, push, tags._scale(state, push)).backward()
        with torch.no_grad():
            leaf -= 4 * RATE * leaf.grad  # four tags share a person's push
        leaf.grad = None
    after = compute(State(people=people, push=push, gap=0.13, spread=0.2, steps=30.0)).tags
    assert [tag for row in after for tag in row if tag is not None] == pytest.approx(leaf[mask].flatten().tolist())
    assert {row.count(None) for row in after} == {1}


def until(apart, **start):
    return next(n for n in range(STEPS + 1) if compute(State(steps=float(n), **start)).apart >= apart - 1e-9)


def test_time_to_part():
    """The hinge needs (m - d) / (2 rate) steps; the Gaussian's grow with the logarithm of how near they were."""
    for gap in (0.2, 0.1, 0.02):
        assert until(1.0, gap=gap, push="hinge") == round((1 - gap) / (2 * RATE))
    slow = [until(0.5, gap=gap, push="Gaussian", width=0.5) for gap in (1e-2, 1e-3, 1e-4)]
    tenth = 0.5**2 * math.log(10) / (2 * RATE)
    assert slow[1] - slow[0] == pytest.approx(tenth, abs=2) and slow[2] - slow[1] == pytest.approx(tenth, abs=2)
    assert compute(State(push="hinge", steps=300.0)).forces == (0, 0)
    assert compute(State(push="Gaussian", steps=300.0)).forces[1] > 0.03


@pytest.mark.parametrize("push", PUSHES)
def test_twins_never_part(push):
    for people, steps in itertools.product((2, 3, 4), (0.0, 1.0, 300.0)):
        result = compute(State(people=people, push=push, gap=0.0, steps=steps))
        assert result.apart == 0 and result.forces[0] == result.forces[1] and not result.right
        assert "the same mean tag: no push parts them" in tags.verdict(result)
    moved = compute(State(people=3, push=push, gap=0.0, steps=300.0)).means[0]
    assert moved < compute(State(people=3, push=push, gap=0.0)).means[0] - 0.1  # both flee from the third
    assert compute(State(push=push, gap=1e-3, steps=300.0)).apart > 0.9  # a hair's breadth suffices


def test_thresholds_in_between_never_fail():
    draw, met = random.Random(0), 0
    for _ in range(2000):
        result = compute(State(people=draw.choice((2, 3, 4)), push=draw.choice(PUSHES), gap=draw.uniform(0, 1.5),
                               spread=draw.uniform(0, 0.3), threshold=draw.uniform(0.02, 1.5),
                               steps=float(draw.choice((0, 50, 300)))))
        low, high = result.between
        if low < result.state.threshold <= high:
            met += 1
            assert result.right and "T groups them rightly: it is between" in tags.verdict(result)
    assert met > 300


def test_both_ends_are_sharp_for_two():
    for spread, off in itertools.product((0.05, 0.15, 0.24), (-0.01, 0.01)):
        low, high = 2 * spread, 1 - 2 * spread
        assert compute(State(gap=1.0, spread=spread, threshold=low + off)).right == (off > 0)
        assert compute(State(gap=1.0, spread=spread, threshold=high + off)).right == (off < 0)
    for spread, some in ((0.24, True), (0.25, False), (0.3, False)):  # m = 1 > 4 r
        rights = [compute(State(gap=1.0, spread=spread, threshold=t / 100)).right for t in range(2, 151)]
        assert any(rights) == some
    assert "tears people apart: it makes 4 groups" in tags.verdict(compute(State(gap=1.0, threshold=0.29)))
    assert "mixes people: it makes 2 groups, 1 of them mixed" in tags.verdict(compute(State(gap=1.0, threshold=0.71)))
    assert "No T is safe" in tags.verdict(compute(State(gap=1.0, spread=0.25)))
    lucky = compute(State(people=4, gap=1.11, spread=0.04, threshold=1.0))
    assert lucky.right and lucky.between == pytest.approx((0.08, 0.52)) and "by luck" in tags.verdict(lucky)


@pytest.mark.parametrize("given, threshold, want", [
    (((0.0, 0.1), (5.0, 5.1)), 1.0, ((1, 1), (0, 0))),  # the last person begins
    (((0.0, 0.1), (5.0, 5.1)), 0.05, ((1, 3), (0, 2))),  # too small: every tag for itself
    (((0.0, None), (None, 0.4)), 0.5, ((0, None), (None, 0))),  # one person's tags for all that one can tell
    (((0.0, None), (None, 0.5)), 0.5, ((0, None), (None, 1))),  # nearer than the threshold, not as near
    (((0.0, 0.2, 0.0), (0.4, 0.0, 0.0)), 0.5, ((1, 0, 0), (0, 1, 1))),  # the nearest; then the one still free
])
def test_groups(given, threshold, want):
    assert group(given, threshold) == want


@pytest.mark.parametrize("state", STATES[::5])
def test_views(state):
    result = compute(state)
    view = tags.view(result)
    for value in (*result.means, *result.forces):
        assert tags._signed(value) in view.sentence
    for value in (result.spread, state.threshold):
        assert f"{value:.2f}" in view.sentence
    left, right = window(view.panels[0]), ET.fromstring(view.panels[1])
    found = marks(left)
    for p, row in enumerate(result.tags):
        assert found[f"mean {p + 1}"][0] == pytest.approx(tags._TAGS.at(result.means[p], 0)[0], abs=0.01)
        for name, tag, side in zip(KEYPOINTS, row, SIDES[p], strict=True):
            assert (f"{p + 1} {name}" in found) == (tag is not None) == (side != 0)
            if tag is not None:
                assert tag - result.means[p] == pytest.approx(side * result.spread)
                assert found[f"{p + 1} {name}"][0] == pytest.approx(tags._TAGS.at(tag, 0)[0], abs=0.01)
    threads = [line.get("points").split() for line in left.iter(f"{SVG}polyline")]
    in_groups = [g for row in result.groups for g in row if g is not None]
    assert sorted(map(len, threads)) == sorted(in_groups.count(g) for g in set(in_groups))
    place = marks(right)
    assert place["place"] == pytest.approx(tags._COURSE.at(state.steps, state.threshold), abs=0.01)
    assert place["apart"] == pytest.approx(tags._COURSE.at(state.steps, result.apart), abs=0.01)
    limits = [line for line in right.iter(f"{SVG}line") if line.get("data-name") in ("2r", "m - 2r")]
    levels = [2 * state.spread, state.margin - 2 * state.spread] if state.margin > 4 * state.spread else []
    assert [float(line.get("y1")) for line in limits] == pytest.approx([tags._COURSE.at(0, y)[1] for y in levels])
    rows = cells(view.table)
    assert [row[0] for row in rows[1:]] == [*(f"person {p + 1}" for p in range(state.people)),
                                            f"T = {state.threshold:.2f}"]
    assert [row[1] for row in rows[1:-1]] == list(map(tags._signed, result.means))
    assert rows[-1][-1] == ("right" if result.right else "wrong")


def arrows(result, kind):
    """(from, to) across of each arrow."""
    d = window(tags.view(result).panels[0]).find(f"{SVG}path[@data-name='{kind}']").get("d")
    return [(float(a), float(b)) for a, b in re.findall(r"M(\S+) \S+H(\S+?)M", d)]


def test_arrows_are_the_forces():
    result, pixel = compute(State(gap=0.2, spread=0.3)), tags._TAGS.box[2] / 5.2
    lengths = [b - a for a, b in arrows(result, "push")]
    assert lengths == pytest.approx([-0.6 * pixel, 0.6 * pixel], abs=0.11)  # 60 steps of 0.01, force 1
    pulls = [b - a for a, b in arrows(result, "pull")]
    want = [-side * 0.6 * 0.3 * pixel for row in SIDES[:2] for side in row if side]
    assert pulls == pytest.approx(want, abs=0.11)
    assert arrows(compute(State(gap=0.0)), "push") == [] == arrows(compute(State(gap=1.0)), "push")


def test_the_wedge_is_what_is_safe():
    """From 2r to d - 2r at every fifth step, where that is not empty; the fill has no height elsewhere."""
    state = State(people=3, gap=0.1)
    d = ET.fromstring(tags.view(compute(state)).panels[1]).find(f".//{SVG}path[@data-name='safe']").get("d")
    points = [tuple(map(float, point.split())) for point in d[1:-1].split("L")]
    upper, lower = points[: len(points) // 2], points[len(points) // 2:][::-1]
    for n, top, bottom in zip(range(0, STEPS + 1, 5), upper, lower, strict=True):
        low, high = compute(State(people=3, gap=0.1, steps=float(n))).between
        assert top == pytest.approx(tags._COURSE.at(n, max(high, low)), abs=0.06)
        assert bottom == pytest.approx(tags._COURSE.at(n, low), abs=0.06)
    assert upper[0] == lower[0] and upper[-1][1] < lower[-1][1] - 20
