"""The masking explorer: what it computes, shows and says."""

import functools
import itertools
import math
import random
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from panels import SVG, any_state, cells, marks, window

from posebook.explore import masking
from posebook.explore.masking import DRAWS, KEYPOINTS, SIDE, WAYS, State, compute

STATES = [
    State(eta, clip, noise, shape, hidden, off)
    for eta, clip, noise, shape, (hidden, off) in itertools.product(
        (0.02, 0.2, 1.0), ("on", "off"), ("each cell", "each map"), ("gaussian", "uniform"),
        ((3, 3.0), (0, 3.0), (8, 0.5), (4, 1.0), (1, 5.0)))
]


# ---------------------------------------------------------------------------------------------------------------------
# The same by other means: bumps by hand, and integrals over the noise


@functools.cache
def bump(x):
    """A heatmap with its peak at (x, middle), (SIDE * SIDE,)."""
    across, down = np.arange(SIDE) - x, np.arange(SIDE) - SIDE // 2
    return np.exp(-(across**2 + down[:, None] ** 2) / (2 * 1.5**2)).ravel()


def costs(state):
    """Squared errors by map, (KEYPOINTS, cells), and the mask of each map."""
    slips = [1.0] * (KEYPOINTS - state.hidden) + [state.off] * state.hidden
    mask = np.array([1.0] * (KEYPOINTS - state.hidden) + [0.0] * state.hidden)
    return np.stack([(bump(2.0) - bump(2.0 + slip)) ** 2 for slip in slips]), mask


def moments(eta, shape, mask):
    """Mean and standard deviation of a clipped mask, by the midpoint rule."""
    if shape == "gaussian":
        z = (np.arange(-8_000, 8_000) + 0.5) / 1e3
        weight = np.exp(-(z**2) / 2)
    else:
        z = ((np.arange(8_000) + 0.5) / 4_000 - 1) * math.sqrt(3)
        weight = np.ones_like(z)
    value = np.clip(mask + eta * z, 0, 1)
    mean = np.average(value, weights=weight)
    return mean, math.sqrt(np.average((value - mean) ** 2, weights=weight))


def expected(state):
    """True loss, and mean and standard deviation of the loss as it is and clipped."""
    cost, mask = costs(state)
    units = cost if state.noise == "each cell" else cost.sum(1, keepdims=True)
    mask = np.broadcast_to(mask[:, None], units.shape)
    true = (mask * units).sum()
    plain = true, state.eta * math.sqrt((units**2).sum())
    by_mask = {m: moments(state.eta, state.shape, m) for m in (0.0, 1.0)}
    mean = sum(by_mask[m][0] * units[mask == m].sum() for m in by_mask)
    std = math.sqrt(sum(by_mask[m][1] ** 2 * (units[mask == m] ** 2).sum() for m in by_mask))
    return true, plain, (mean, std)


@pytest.mark.parametrize("state", STATES[::7])
def test_predictions_are_integrals_over_the_noise(state):
    result = compute(state)
    true, *both = expected(state)
    assert result.visible == pytest.approx(true, rel=1e-5, abs=1e-6)
    for way, (mean, std) in zip(WAYS, both, strict=True):
        loss = result.losses[way]
        assert (loss.mean, loss.std) == (pytest.approx(mean, rel=1e-4, abs=1e-5), pytest.approx(std, rel=1e-4))
        assert loss.rms == pytest.approx(math.hypot(std, mean - true), rel=1e-4)
        # 500 draws of a fixed seed; 4 standard errors, that of a variance by its own kurtosis
        z = (loss.draws.double().numpy() - mean) / std
        assert abs(z.mean()) < 4 / math.sqrt(DRAWS)
        assert abs((z**2).mean() - 1) < 4 * math.sqrt(((z**4).mean() - 1) / DRAWS)
    hidden = moments(state.eta, state.shape, 0.0)[0]
    assert result.weight == pytest.approx(hidden, abs=1e-5)


@pytest.mark.parametrize("state", STATES[::11])
def test_draws_are_sums_over_the_masks(state):
    result = compute(state)
    cost, mask = costs(state)
    units = cost.ravel() if state.noise == "each cell" else cost.sum(1)
    ones = np.repeat(mask, len(units) // KEYPOINTS)
    noise = masking._noise(state.noise, state.shape).double().numpy()
    for way, masks in (("as it is", ones + state.eta * noise), ("clipped", np.clip(ones + state.eta * noise, 0, 1))):
        assert result.losses[way].draws.numpy() == pytest.approx(masks @ units, rel=1e-4, abs=1e-4)
        few = masks[:20] if state.noise == "each cell" else masks
        edges = masking.LOW + masking.BIN * np.arange(masking.BINS + 1)
        want = np.histogram(few, edges)[0] / few.size
        assert result.losses[way].values.numpy() == pytest.approx(want, abs=2e-3)  # float32 at the edge of a bin


def test_noise_is_standard():
    for noise, shape in itertools.product(("each cell", "each map"), ("gaussian", "uniform")):
        z = masking._noise(noise, shape)
        assert z.shape == (DRAWS, KEYPOINTS * (SIDE**2 if noise == "each cell" else 1))
        assert abs(z.mean()) < 4 / math.sqrt(z.numel()) and abs(z.square().mean() - 1) < 6 / math.sqrt(z.numel())
        assert (z.abs().max() <= math.sqrt(3) + 1e-6) == (shape == "uniform")


def test_a_verdict_is_true_wherever_the_controls_stand():
    draw, seen = random.Random(0), set()
    clip_moments = {}
    for _ in range(2000):
        state = any_state(State, draw)
        result, cost = compute(state), costs(state)
        said = masking.verdict(result)
        units = cost[0] if state.noise == "each cell" else cost[0].sum(1, keepdims=True)
        true, masked = (units[cost[1] == m].sum() for m in (1.0, 0.0))
        scale = math.sqrt((units**2).sum())
        numbers = [float(number) for number in re.findall(r"\d+\.\d+", said)]
        close = {"rel": 1e-4, "abs": 0.000501}
        if state.clip == "off":
            assert said.startswith("Without clipping the mean stays at the true loss, and the standard deviation is ")
            assert numbers == [pytest.approx(n, **close) for n in (state.eta * scale, scale)]
            seen.add("off")
            continue
        key = state.eta, state.shape
        if key not in clip_moments:
            clip_moments[key] = moments(*key, 0.0)
        shift, std = clip_moments[key]
        bias = shift * (masked - true)
        factor = std / state.eta
        if "the mean stays" in said:
            about = "" if abs(masked - true) < 1e-4 else "about "
            assert said.endswith(f"what is hidden costs {about}as much as what is visible.")
            assert abs(bias) < 5.1e-4 and abs(masked - true) < 0.05 * (masked + true)
            assert numbers == [pytest.approx(factor, **close)]
            seen.add("stays")
            continue
        assert abs(bias) > 4.9e-4
        rms = math.hypot(bias, std * scale), state.eta * scale
        want = factor, abs(bias), abs(bias) / (std * scale), *rms
        assert numbers == [pytest.approx(n, rel=1e-4, abs=0.0501 if k == 2 else 0.000501) for k, n in enumerate(want)]
        assert f"moves the mean {'up' if bias > 0 else 'down'} by" in said
        assert f"what is hidden costs {'more' if bias > 0 else 'less'} than what is visible" in said
        if abs(rms[0] / rms[1] - 1) > 1e-3:
            assert said.endswith("helps." if rms[0] < rms[1] else "harms.")
        seen.add((bias > 0, rms[0] < rms[1]))
    assert seen == {"off", "stays", *itertools.product((True, False), repeat=2)}


# ---------------------------------------------------------------------------------------------------------------------
# What there is to discover


def test_clipping_is_never_louder():
    for state in STATES:
        losses = compute(state).losses
        assert losses["clipped"].std < losses["as it is"].std
        small = state.eta <= 0.2
        if small:
            factor = losses["clipped"].std / losses["as it is"].std
            want = math.sqrt(0.5 - 0.5 / math.pi) if state.shape == "gaussian" else math.sqrt(5 / 16)
            assert factor == pytest.approx(want, abs=2e-4)
            more = 1 / math.sqrt(2 * math.pi) if state.shape == "gaussian" else math.sqrt(3) / 4
            assert compute(state).weight == pytest.approx(more * state.eta, rel=1e-3)


def test_the_narrower_histogram_has_walked_away():
    """At the start hardly a draw of the clipped loss is as near to the true one as most draws as it is."""
    result = compute(State())
    near = {way: ((loss.draws - result.visible).abs() < 0.7).float().mean().item()
            for way, loss in result.losses.items()}
    assert near["as it is"] > 0.6 and near["clipped"] < 0.05
    shared = compute(State(noise="each map")).losses
    assert shared["clipped"].rms < shared["as it is"].rms


# ---------------------------------------------------------------------------------------------------------------------
# The view


def outline(root, name):
    """Left, right and top of each bar."""
    d = next(node.get("d") for node in root.iter(f"{SVG}path") if node.get("data-name") == name)
    lefts = [float(d[1:].split()[0])]
    steps = re.findall(r"V(\S+?)H(\S+?)(?=V)", d)
    lefts += [float(right) for _, right in steps]
    return [(left, right, float(top)) for left, right, (top, _) in zip(lefts, lefts[1:], steps, strict=False)]


@pytest.mark.parametrize("state", STATES[::7])
def test_views(state):
    result = compute(state)
    view = masking.view(result)
    left, right = map(ET.fromstring, view.panels)
    values = window(view.panels[0])
    for way, loss in result.losses.items():
        bars = zip(outline(values, f"values {way}"), range(51), loss.values.tolist(), strict=True)
        for (x0, x1, top), k, share in bars:
            assert (x0, top) == pytest.approx(masking._VALUES.at(masking.LOW + masking.BIN * k, share), abs=0.06)
            assert x1 - x0 == pytest.approx(358 / 51, abs=0.11)
        bars = [318 - top for *_, top in outline(left, f"losses {way}")]
        far = ((loss.draws - loss.mean).abs() > 3.6 * loss.std).sum().item()
        assert len(bars) == 36 and sum(bars) > 0 and far < DRAWS / 20
        for number in (loss.mean, loss.std, loss.draws.mean().item(), loss.draws.std().item()):
            assert masking._plain(number) in view.sentence and masking._short(number) in view.table
        place = marks(right)[f"at {way}"]
        assert place[0] == pytest.approx(44 + 340 * state.eta, abs=0.01)
        assert place[1] == pytest.approx(24 + 110 * (1 - loss.std / (1.04 * result.scale)), abs=0.02)
        chosen = (way == "clipped") == (state.clip == "on")
        fill = next(node.get("fill") for node in left.iter(f"{SVG}path") if node.get("data-name") == f"losses {way}")
        assert (fill == "none") == (not chosen)
    assert [row[0] for row in cells(view.table)] == ["loss", "true", *WAYS]
    x = marks(left)
    order = sorted((loss.mean, way) for way, loss in result.losses.items())
    assert x["true loss"][0] == pytest.approx(x["mean as it is"][0], abs=0.02)
    assert x[f"mean {order[0][1]}"][0] <= x[f"mean {order[1][1]}"][0] + 0.02


def test_ticks_are_round_numbers_between():
    draw = random.Random(0)
    for _ in range(500):
        low = draw.uniform(-50, 50)
        high = low + 10 ** draw.uniform(-2, 2)
        ticks = masking._ticks(low, high, 5)
        assert 1 <= len(ticks) <= 5 and all(low <= tick <= high for tick in ticks)
        assert all(float(label) == pytest.approx(tick, abs=1e-9) for tick, label in ticks.items())
