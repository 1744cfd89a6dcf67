"""The limbs explorer: what it computes, shows and says."""

import itertools
import math
import random
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from panels import SVG, any_state, cells, marks, window

from posebook.explore import _page, limbs
from posebook.explore.limbs import FINE, HW, METHODS, PAIRS, State, compute

STATES = [
    State(elbows, wrists, along, width, samples, threshold, noise, method)
    for elbows, wrists, along, (width, samples), (threshold, noise), method in itertools.product(
        (2.0, 8.0), (-6.0, 0.0, 2.0), (-4.0, 0.0, 2.0), ((0.5, 2), (1.5, 10)), ((0.3, 0.0), (0.8, 0.5)), METHODS)
]
TIE = 1e-9


# ---------------------------------------------------------------------------------------------------------------------
# The same by other means: complex numbers, loops, and all ways to join


def bands(limbs_, width):
    """For each limb the cells on it, its direction, and the cells that round-off cannot put on it or off it."""
    z = np.arange(HW[1]) + 1j * np.arange(HW[0])[:, None]
    for a, b in limbs_:
        a, b = complex(*a), complex(*b)
        unit = (b - a) / abs(b - a)
        turned = (z - a) * unit.conjugate()  # along the limb and across it
        inside = np.minimum(abs(b - a) / 2 - abs(turned.real - abs(b - a) / 2), width - abs(turned.imag))
        yield inside >= 0, unit, abs(inside) > TIE


def reading(field, a, b, t):
    """L(u) . v by the four cells around u."""
    u, v = a + t * (b - a), (b - a) / abs(b - a)
    x, y = min(int(u.real), HW[1] - 2), min(int(u.imag), HW[0] - 2)
    right, down = u.real - x, u.imag - y
    near = ((1 - right) * (1 - down) * field[y, x] + right * (1 - down) * field[y, x + 1]
            + (1 - right) * down * field[y + 1, x] + right * down * field[y + 1, x + 1])
    return (near * v.conjugate()).real


def settled(scores, threshold, method):
    """The pairs that a method joins, or None where round-off decides."""
    sure = all(abs(score - threshold) > TIE for score in scores.values())
    above = [pair for pair in PAIRS if scores[pair] > threshold]
    if method == "greedy":
        out, free = [], set(above)
        while free:
            best = max(free, key=scores.get)
            rivals = {pair for pair in free if (pair[0] == best[0]) != (pair[1] == best[1])}
            sure &= all(scores[best] - scores[pair] > TIE for pair in rivals)
            out.append(best)
            free -= rivals | {best}
        return tuple(sorted(out)) if sure else None
    ways = [way for way in ((), *((pair,) for pair in PAIRS), PAIRS[:2], PAIRS[2:]) if set(way) <= set(above)]
    saved = {way: sum(scores[pair] - threshold for pair in way) for way in ways}
    best = max(ways, key=saved.get)
    sure &= all(saved[best] - saved[way] > TIE for way in ways if way != best)
    return tuple(sorted(best)) if sure else None


def cross(one, other):
    """Solve a + t (b - a) = c + u (d - c)."""
    (a, b), (c, d) = np.array(one), np.array(other)
    both = np.stack((b - a, c - d), 1)
    if abs(np.linalg.det(both)) < TIE:
        return False
    t, u = np.linalg.solve(both, c - a)
    return 0 < t < 1 and 0 < u < 1


@pytest.mark.parametrize("state", STATES[::3])
def test_field_and_readings_by_loops(state):
    result = compute(state)
    (one, v, sure), (two, w, sure_too) = bands(result.limbs, state.width)
    mean = (one * v + two * w) / np.maximum(1, one * 1 + two)
    noise = limbs._noise().numpy()
    field = result.field[0].numpy() + 1j * result.field[1].numpy()
    off = abs(field - mean - state.noise * (noise[0] + 1j * noise[1]))
    assert off[sure & sure_too].max() < 1e-12 and (sure & sure_too).mean() > 0.9
    assert (result.on.numpy() == one * 1 + two)[sure & sure_too].all()
    for pair in PAIRS:
        a, b = (complex(*end) for end in (result.limbs[pair[0]][0], result.limbs[pair[1]][1]))
        assert result.lengths[pair] == pytest.approx(abs(b - a))
        for values, n in ((result.readings[pair], state.samples), (result.curves[pair], FINE + 1)):
            want = [reading(field, a, b, k / (n - 1)) for k in range(n)]
            assert values == pytest.approx(want, abs=1e-9)
        assert result.scores[pair] == pytest.approx(sum(result.readings[pair]) / state.samples, abs=1e-12)


def test_a_verdict_is_true_wherever_the_controls_stand():
    draw, met, seen = random.Random(0), 0, set()
    for _ in range(2000):
        result = compute(any_state(State, draw))
        said, (one, two) = limbs.verdict(result), result.limbs
        assert result.same == (one[1] == two[1]) == said.startswith("Both wrists are the same point: neither")
        if result.same:
            assert result.right == {"optimal": 0, "greedy": 0, "nearest": 0}
            assert result.scores[0, 0] == result.scores[0, 1] and result.scores[1, 0] == result.scores[1, 1]
            continue
        joined = {method: settled(result.scores, result.state.threshold, method) for method in METHODS}
        if None in joined.values():
            continue
        met += 1
        assert result.joined == joined
        assert result.cross == cross(one, two)
        form = r"The limbs (cross|do not cross); to (.*?)\. (The field joins .*?\.)(?: (\w+ would join .*)\.)?"
        crossing, nearby, by_field, other = re.fullmatch(form, said).groups()
        assert (crossing == "cross") == result.cross
        true_nearby(nearby, one, two, result.cross)
        seen.add(true_field(by_field, result, joined[result.state.method]))
        rival = METHODS[1 - METHODS.index(result.state.method)]
        assert (other is not None) == (joined["greedy"] != joined["optimal"])
        if other:
            assert other == f"{rival.capitalize()} would join {brief(joined[rival])}"
            seen.add(other.split()[0])
    assert met > 1900
    assert seen == {*itertools.product((0, 1, 2), METHODS, (True, False)), "Optimal", "Greedy"} - {
        (0, method, True) for method in METHODS}


def brief(joined):
    how = "rightly" if joined and joined[0][0] == joined[0][1] else "wrongly"
    return ("nobody", *(f"E{a + 1}-W{b + 1} alone, {how}" for a, b in joined[:1]), f"both limbs {how}")[len(joined)]


def true_nearby(nearby, one, two, crossing):
    """By distances; where limbs of one length cross, at least one wrist has the wrong elbow nearest."""
    more = [math.dist(two[0], one[1]) - math.dist(one[0], one[1]), math.dist(one[0], two[1]) - math.dist(*two)]
    first, second = ("tied" if abs(far) < TIE else "right" if far > 0 else "wrong" for far in more)
    nearest = {"tied": "both elbows are as near", "right": "the right elbow is the nearest",
               "wrong": "the wrong elbow is the nearest"}
    if first == second:
        assert nearby == f"both wrists {nearest[first]}" and first != "tied"
    else:
        other = nearest[second] if "tied" in (first, second) else f"the {second} one"
        assert nearby == f"wrist 1 {nearest[first]}, to wrist 2 {other}"
    assert not crossing or min(more) < 0


def true_field(said, result, joined):
    """What is joined, rightly or wrongly, and the reason given; returns what was met."""
    scores, threshold, method = result.scores, result.state.threshold, result.state.method
    assert said.startswith(f"The field joins {brief(joined)}:" if joined else "The field joins nobody:")
    right = bool(joined) and joined[0][0] == joined[0][1]
    numbers = [float(number) for number in re.findall(r"\d\.\d{3}|-\d\.\d{3}", said)]
    names = [(int(e) - 1, int(w) - 1) for e, w in re.findall(r"E(\d)-W(\d)", said)]
    close = {"abs": 0.000501}
    if not joined:
        assert "is not above T" in said and max(scores.values()) <= threshold
        assert numbers == [pytest.approx(max(scores.values()), **close)]
    elif len(joined) == 1:
        assert names == [*joined, (1 - joined[0][0], 1 - joined[0][1])]
        assert "is not above T" in said and scores[names[1]] <= threshold < scores[names[0]]
        assert numbers == [pytest.approx(scores[names[1]], **close)]
    elif method == "greedy":
        assert scores[names[0]] >= max(scores.values()) - TIE and set(names) == set(joined)
        assert numbers == [pytest.approx(scores[name], **close) for name in names]
    else:
        sums = {"right": scores[0, 0] + scores[1, 1], "wrong": scores[0, 1] + scores[1, 0]}
        one, other = re.search(r"the (right|wrong) pairs add up to .*, the (right|wrong) ones to ", said).groups()
        assert (one == "right") == right != (other == "right") and sums[one] >= sums[other]
        assert numbers == [pytest.approx(sums[name], **close) for name in (one, other)]
    return len(joined), method, right


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


EVERY = [(e, w, x) for e in range(2, 11, 2) for w in range(-10, 11, 2) if w for x in range(-4, 5, 2)]


def test_the_nearest_elbow_is_wrong_where_limbs_cross():
    for e, w in itertools.product((2, 5.5, 10), (-10, -0.1, 0.1, 10)):
        result = compute(State(e, w))
        assert result.cross == (w < 0) and result.right["nearest"] == (0 if w < 0 else 2)
    crossed = [result for result in (compute(State(*place)) for place in EVERY) if result.cross]
    assert len(crossed) > 120 and max(result.right["nearest"] for result in crossed) == 1


def test_without_noise_the_field_is_right_until_limbs_lie_on_one_another():
    for samples in (2, 3, 5, 10, 20):
        assert all(compute(State(*place, samples=samples)).right["optimal"] == 2 for place in EVERY[::2])
    for width, right in ((1.0, 2), (1.25, 2), (1.5, 0), (2.0, 0)):
        near = compute(State(2, -2, width=width))
        assert near.right == {"optimal": right, "greedy": right, "nearest": 0}
        assert (near.scores[0, 0] > near.scores[0, 1]) == (right == 2)
        assert near.scores[0, 1] == pytest.approx(math.cos(math.atan(1 / 7)), abs=1e-3)  # straight ahead, all the way


def test_crossing_lowers_right_scores():
    for e in (4, 6, 8, 10):
        result, apart = compute(State(e, -e)), compute(State(e, e))
        middle = result.curves[0, 0][FINE // 2]
        assert middle == pytest.approx(min(result.curves[0, 0])) and middle < 0.95
        assert result.scores[0, 0] < apart.scores[0, 0] == pytest.approx(1)


def test_ends_alone_tell_little():
    ends, more = compute(State(samples=2)), compute(State(samples=10))
    assert ends.scores[0, 1] > 0.85 and more.scores[0, 1] < 0.4
    assert (len(ends.joined["optimal"]), len(more.joined["optimal"])) == (2, 2)
    right = {n: sum(compute(State(*place, samples=n, noise=0.5)).right["optimal"] == 2 for place in EVERY[::5])
             for n in (2, 10)}
    assert right[2] < 0.9 * right[10] and right[10] >= 0.97 * len(EVERY[::5])


def test_greedy_takes_the_highest_first():
    for width in (1.5, 1.75):
        result = compute(State(10, -2, 2, width))
        assert max(result.scores, key=result.scores.get) == (1, 0) and result.right["greedy"] == 0
        assert result.right["optimal"] == 2
    alone = compute(State(10, -2, 2, 1.5, threshold=0.7))
    assert alone.joined == {"optimal": PAIRS[:2], "greedy": ((1, 0),)}


# ---------------------------------------------------------------------------------------------------------------------
# The view


def path(root, name):
    return next(node.get("d") for node in root.iter(f"{SVG}path") if node.get("data-name") == name)


@pytest.mark.parametrize("state", STATES[::7])
def test_views(state):
    result = compute(state)
    view = limbs.view(result)
    left, right = window(view.panels[0]), ET.fromstring(view.panels[1])
    found, plots = marks(left), marks(right)
    lines = {node.get("data-name"): node for root in (left, right) for node in root.iter(f"{SVG}line")}
    for pair in PAIRS:
        name, joined = limbs._name(pair), pair in result.joined[state.method] and not result.same
        a, b = (limbs._at(*end) for end in (result.limbs[pair[0]][0], result.limbs[pair[1]][1]))
        assert found[f"E{pair[0] + 1}"] == pytest.approx(a, abs=0.01)
        assert found[f"W{pair[1] + 1}"] == pytest.approx(b, abs=0.01)
        line = lines[f"line {name}"]
        assert [float(line.get(key)) for key in ("x1", "y1", "x2", "y2")] == pytest.approx([*a, *b], abs=0.05)
        assert (line.get("stroke-dasharray") is None) == joined
        color = (_page.GREEN if pair[0] == pair[1] else _page.RED) if joined else _page.GRAY
        assert line.get("stroke") == lines[f"mean {name}"].get("stroke") == color
        x, y = found[name]
        assert (x - a[0]) * (b[1] - a[1]) == pytest.approx((y - a[1]) * (b[0] - a[0]), abs=5)  # on its line
        plot = limbs._PLOTS[pair]
        assert float(lines[f"mean {name}"].get("y1")) == pytest.approx(plot.at(0, result.scores[pair])[1], abs=0.01)
        dots = [tuple(map(float, dot.split())) for dot in path(right, f"samples {name}")[1:-2].split("h0M")]
        n = state.samples
        assert dots == [pytest.approx(plot.at(k / (n - 1), value), abs=0.06)
                        for k, value in enumerate(result.readings[pair])]
        assert f"plot {name}" in plots and f"{name} {limbs._plain(result.scores[pair])}" in view.sentence
    rows = cells(view.table)
    for pair, row in zip(PAIRS, rows[1:], strict=False):
        near, chance = result.nearest[pair[1]], result.same and result.scores[pair] > state.threshold
        assert row == [limbs._name(pair), f"{result.lengths[pair]:.1f}", limbs._plain(result.scores[pair]),
                       *("either" if chance else "yes" if pair in result.joined[method] else "-" for method in METHODS),
                       "-" if pair[0] not in near else "yes" if len(near) == 1 else "either"]
    assert rows[-1] == ["right", "", "", *(f"{result.right[by]} of 2" for by in (*METHODS, "nearest"))]


def test_needles_are_the_field():
    """One for each cell that is not 0: from the middle of its blunt end to its tip, as long as 0.9 cells times it."""
    for state in (State(), State(noise=0.5), State(2, -2, width=2)):
        result = compute(state)
        left, count = window(limbs.view(result).panels[0]), 0
        for number in (0, 1, 2):
            places = [(j, i) for j, i in (result.on == number).nonzero().tolist()
                      if result.field[:, j, i].norm() > 0.05]
            needles = path(left, f"on {number}")[1:].rstrip("z").split("zM") if places else []
            count += len(needles)
            for (j, i), needle in zip(places, needles, strict=True):
                tip, *blunt = [complex(*map(float, point.split())) for point in needle.split("L")]
                end = sum(blunt) / 2
                at = complex(*limbs._at(i, j)) * 2
                v = complex(*result.field[:, j, i].tolist())
                assert abs(tip - end - 1.8 * 17 * v) < 1.5 and abs((tip + end) / 2 - at) < 1.1
        assert count == (result.field.norm(dim=0) > 0.05).sum()
