"""The marker explorer: what it computes, shows and says."""

import itertools
import math
import random
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from panels import SVG, any_state, cells, marks, window
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from posebook.explore import marker
from posebook.explore.marker import PARTS, State, compute

STATES = [
    State(tilt, turn, points, sigma, height, away, draw)
    for (tilt, turn), (points, sigma), (height, away), draw in itertools.product(
        ((40.0, 20.0), (0.0, -45.0), (70.0, 45.0)), ((4, 0.5), (9, 2.0), (36, 1.0)), ((2.0, 0.0), (3.0, 3.0)), (1, 16))
]


# ---------------------------------------------------------------------------------------------------------------------
# The same by other means: scipy's rotations and least squares, derivatives by differences


def truth(state):
    """A turn about the sheet's own axis, then the upper edge away from the viewer; as 3 turns and 3 shifts."""
    turned = Rotation.from_euler("x", -state.tilt, degrees=True) * Rotation.from_euler("z", state.turn, degrees=True)
    return np.append(turned.as_rotvec(), [0, 0, 1.5])


def seen(pose, places):
    local = Rotation.from_rotvec(pose[:3]).apply(places) + pose[3:]
    return 900 * local[:, :2] / local[:, 2:]


def sheet(n):
    line = np.linspace(-0.1, 0.1, round(n**0.5))
    return np.array([(x, y, 0.0) for x in line for y in line])


def box(state):
    x, y = 0.1 * np.array([-1, 1, 1, -1]) + 0.1 * state.away, 0.1 * np.array([-1, -1, 1, 1])
    return np.concatenate([np.stack((x, y, np.full(4, z)), -1) for z in (0.0, -0.1 * state.height)])


def slope(pose, places):
    steps = 1e-6 * np.eye(6)
    return np.stack([(seen(pose + d, places) - seen(pose - d, places)) / 2e-6 for d in steps], -1)  # (M, 2, 6)


@pytest.mark.parametrize("state", STATES)
def test_the_pose_fits_best_and_errors_are_propagated(state):
    result, pose, points = compute(state), truth(state), sheet(state.points)
    exact, read = seen(pose, points), result.read.numpy()
    assert result.true.numpy() == pytest.approx(seen(pose, box(state)), abs=1e-6)
    assert result.noise == pytest.approx(np.sqrt(np.mean((read - exact) ** 2)))
    assert (read - exact) / state.sigma == pytest.approx(marker._noise(state.points)[state.draw - 1].numpy(), abs=1e-9)

    starts = [pose, pose + [0.3, 0.3, 0, 0, 0, 0], pose - [0.8, 0, 0, 0, 0, 0], pose + [0.8, 0, 0, 0, 0, 0]]
    fits = [least_squares(lambda p: (seen(p, points) - read).ravel(), start, x_scale=0.1, xtol=1e-12)
            for start in starts]
    best = min(fits, key=lambda fit: fit.cost)
    assert result.residual == pytest.approx(math.sqrt(best.cost / state.points), rel=1e-4, abs=1e-6)
    assert result.residual <= result.noise
    if result.residual < 0.999 * min(math.sqrt(fit.cost / state.points) for fit in fits if fit is not best):
        assert result.found.numpy() == pytest.approx(seen(best.x, box(state)), abs=0.05)

    information = slope(pose, points).reshape(-1, 6)
    covariance = state.sigma**2 * np.linalg.inv(information.T @ information)
    g = slope(pose, box(state))
    assert result.spread.numpy() == pytest.approx(g @ covariance @ g.transpose(0, 2, 1), rel=1e-3, abs=1e-4)
    along = 0.1 * np.array(marker.REACHES)
    for curve, axis in ((result.beside, [1, 0, 0]), (result.above, [0, 0, -1])):
        g = slope(pose, along[:, None] * np.array(axis))
        want = np.sqrt(np.trace(g @ covariance @ g.transpose(0, 2, 1), axis1=1, axis2=2))
        assert curve.numpy() == pytest.approx(want, rel=1e-3, abs=1e-4)


def test_noise_is_standard():
    for n in (4, 9, 16, 36):
        z = marker._noise(n)
        assert z.shape == (20, n, 2)
        assert abs(z.mean()) < 4 / math.sqrt(z.numel()) and abs(z.square().mean() - 1) < 6 / math.sqrt(z.numel())


def test_a_verdict_is_true_wherever_the_controls_stand():
    draw, kinds = random.Random(0), set()
    small = [State(sigma=2.0, tilt=20.0, draw=draw) for draw in range(1, 21)]
    for state in [*small, *(any_state(State, draw) for _ in range(120))]:
        result = compute(state)
        said = marker.verdict(result)
        off = (result.found - result.true).numpy()[4:]
        numbers = [float(number) for number in re.findall(r"\d+\.\d\d", said)]
        want = [result.residual, result.noise, math.sqrt((off**2).sum(-1).mean())]
        if "leans another way" in said:
            assert result.off > 20 and f"off by {result.off:.0f} degrees" in said
        else:
            want.append(math.sqrt(np.trace(result.spread.numpy()[4:], axis1=1, axis2=2).mean()))
        assert numbers == [pytest.approx(number, abs=0.00501) for number in want]
        assert result.residual <= result.noise + 1e-9  # "fits better"
        kinds.add("leans another way" in said)
    assert kinds == {True, False}


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


def test_two_standard_deviations_hold_as_many_corners_as_the_note_says():
    """Where errors are small: with them 2 standard deviations hold 1 - exp(-2) of two normal coordinates."""
    inside = []
    for draw, points in itertools.product(range(1, 21), (4, 9, 16, 36)):  # 80 independent draws
        result = compute(State(sigma=0.1, tilt=50.0, points=points, draw=draw))
        off = (result.found - result.true)[4:, :, None]
        inside.append((off.mT @ result.spread[4:].inverse() @ off).flatten() < 4)
    share = np.mean([part.double().mean().item() for part in inside])
    assert abs(share - (1 - math.exp(-2))) < 0.11  # 3 standard errors, as the corners of a roof go together


def test_seen_from_the_front_is_worst_and_more_points_are_better():
    for points in (4, 9, 16, 36):
        roofs = [compute(State(tilt=float(tilt), points=points)).expected(PARTS["roof"]) for tilt in range(0, 71, 10)]
        assert all(b < a for a, b in itertools.pairwise(roofs))
    for tilt in (0.0, 30.0, 60.0):
        roofs = [compute(State(tilt=tilt, points=points)).expected(PARTS["roof"]) for points in (4, 9, 16, 36)]
        assert all(b < a for a, b in itertools.pairwise(roofs))


# ---------------------------------------------------------------------------------------------------------------------
# The view


def places(node):
    return np.array([tuple(map(float, pair)) for pair in re.findall(r"[ML](\S+?) (-?[\d.]+)", node.get("d"))])


@pytest.mark.parametrize("state", STATES[::5])
def test_views(state):
    result = compute(state)
    view = marker.view(result)
    nodes = {node.get("data-name"): node for node in window(view.panels[0]).iter() if node.get("data-name")}
    for name, corners in (("true", result.true), ("found", result.found)):
        drawn = places(nodes[name])
        assert drawn[:8] == pytest.approx(corners.numpy(), abs=0.06)
        posts = corners.numpy()[[0, 4, 1, 5, 2, 6, 3, 7]]
        assert drawn[8:] == pytest.approx(posts, abs=0.06)
    assert len(re.findall("h10", nodes["read"].get("d"))) == state.points
    for k, spread in enumerate(result.spread[4:].numpy()):
        values, vectors = np.linalg.eigh(spread)
        ellipse = nodes[f"ellipse {k + 1}"]
        radii = float(ellipse.get("rx")), float(ellipse.get("ry"))
        assert radii == pytest.approx(2 * np.sqrt(values[::-1]), rel=1e-3, abs=1e-3)
        turn = math.radians(float(re.search(r"rotate\((\S+)\)", ellipse.get("transform"))[1]))
        if radii[0] > 1.01 * radii[1]:
            assert abs(vectors[:, 1] @ [math.cos(turn), math.sin(turn)]) == pytest.approx(1, abs=1e-3)
        centre = re.search(r"translate\((\S+) (\S+)\)", ellipse.get("transform")).groups()
        assert tuple(map(float, centre)) == pytest.approx(result.true[4 + k].tolist(), abs=0.01)

    right, reach = marks(view.panels[1]), np.linalg.norm(box(state), axis=1) / 0.1
    for name, part in PARTS.items():
        want = marker._PLOT.at(reach[part].mean(), result.error(part))
        assert right[name] == pytest.approx(want, abs=0.02)
    assert right["residual"][1] == pytest.approx(marker._PLOT.at(0, max(result.residual, 0.03))[1], abs=0.02)
    lines = {node.get("data-name") for node in ET.fromstring(view.panels[1]).iter(f"{SVG}polyline")}
    assert lines == {"beside", "above"}
    law = state.sigma * math.sqrt(1 - 3 / state.points)
    assert cells(view.table) == [
        ["px, RMS", "this draw", "expected"],
        ["residual per coordinate", f"{result.residual:.2f}", f"{law:.2f}"],
        *([f"{name} of the box", f"{result.error(part):.2f}", f"{result.expected(part):.2f}"]
          for name, part in PARTS.items()),
    ]
    for number in (law, *(f(part) for part in PARTS.values() for f in (result.error, result.expected))):
        assert f"{number:.2f}" in view.sentence
