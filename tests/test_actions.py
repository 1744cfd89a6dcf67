"""The nets that tell actions apart: what they can see, what they are told, and what was stored of them.

As for chapter 1: an ordering is asserted where it holds for every seed with a margin.
"""

import math

import pytest
import torch
from scipy.stats import binom

from posebook.geometry import Camera
from posebook.people.motion import sample_motion
from posebook.training import actions, read_tensors
from posebook.training.actions import ACTIONS, SEEDS, accuracy, normalized, probabilities, sequences, stored

PAIR = "sitting down", "standing up"


@pytest.fixture(scope="module")
def seen():
    return sequences(400, seed=77)


@pytest.fixture(scope="module")
def pair():
    return sequences(200, seed=78, actions=PAIR)


def of_pair(net, xy) -> torch.Tensor:
    """Whether standing up is the likelier of the two."""
    down, up = (list(ACTIONS).index(name) for name in PAIR)
    last = probabilities(net, xy)[:, -1]
    return last[:, up] > last[:, down]


# ---------------------------------------------------------------------------------------------------------------------
# Sequences


def test_sequences_are_what_the_camera_sees():
    xy, label = sequences(16, seed=3)
    motion = sample_motion(16, actions.FRAMES, rate=actions.RATE, seed=3)
    assert torch.equal(xy, actions.CAMERA.project(motion.joints)) and label.tolist() == 2 * list(range(8))
    assert xy.shape == (16, actions.FRAMES, 17, 2) and xy.dtype == torch.float64
    hw = torch.tensor(actions.HW[::-1])
    many, _ = sequences(160, seed=4)
    assert (many > 0).all() and (many < hw - 1).all()  # nobody leaves the picture
    away = Camera.look_at((0.0, -1.1, -8.0), (0.0, -1.1, 0.0), focal=360.0, hw=actions.HW)
    ratio = actions.torso(sequences(16, seed=3, camera=away)[0]) / actions.torso(xy)
    torch.testing.assert_close(ratio, torch.full_like(ratio, 0.5), atol=0.03, rtol=0)
    assert sequences(4, seed=3, actions=PAIR)[1].tolist() == [2, 3, 2, 3]


def test_the_pair_is_one_film_in_two_directions():
    down, _ = sequences(20, seed=5, actions=("sitting down",))
    up, _ = sequences(20, seed=5, actions=("standing up",))
    assert torch.equal(up, down.flip(1))


def test_normalized_by_hand():
    xy = torch.randn(2, 5, 17, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = xy.clone()
    out = normalized(xy)
    for b in range(2):
        hips = [(xy[b, t, 11] + xy[b, t, 12]) / 2 for t in range(5)]
        shoulders = [(xy[b, t, 5] + xy[b, t, 6]) / 2 for t in range(5)]
        mean = sum(math.dist(a, c) for a, c in zip(hips, shoulders, strict=True)) / 5
        assert actions.torso(xy)[b].item() == pytest.approx(mean)
        for t in range(5):
            torch.testing.assert_close(out[b, t], (xy[b, t] - hips[t]) / mean)
    assert torch.equal(xy, before)
    torch.testing.assert_close(normalized(xy[1]), out[1])
    torch.testing.assert_close(normalized(xy, scale=False), out * actions.torso(xy)[:, None, None, None])
    torch.testing.assert_close(normalized(3 * xy + 7), out)  # another place, another size


@pytest.mark.parametrize(
    "xy, message",
    [
        (torch.zeros(4, 17, 3), r"xy: want shape \(..., T, 17, 2\), got \(4, 17, 3\)"),
        (torch.zeros(17, 2), r"xy: want shape \(..., T, 17, 2\), got \(17, 2\)"),
        (torch.zeros(4, 17, 2).long(), "xy: want a floating dtype, got int64"),
    ],
)
def test_normalized_errors(xy, message):
    with pytest.raises(ValueError, match=message):
        normalized(xy)


# ---------------------------------------------------------------------------------------------------------------------
# Nets


def test_a_row_depends_on_the_frames_so_far():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        nets = actions.ActionNet(3, reads="pixels").double(), actions.ActionNet(1, reads="pixels").double()
    xy = sequences(2, seed=6)[0]
    for net in nets:
        whole = net(xy)
        assert whole.shape == (2, actions.FRAMES, 8)
        for t in (1, 2, 17, actions.FRAMES):
            torch.testing.assert_close(net(xy[:, :t])[:, -1], whole[:, t - 1])
    after, before = (xy.clone().requires_grad_() for _ in range(2))
    net = nets[0]
    net(after)[0, 20].sum().backward()
    assert not after.grad[0, 21:].any() and after.grad[0, 20].any()
    x = net.stem(actions.prepared(before, "pixels").flatten(-2).mT).detach().requires_grad_()
    y = x
    for block in net.blocks:
        y = y + block(torch.nn.functional.pad(y, (2 * block.dilation[0], 0)))  # linear: what can be seen at all
    y[0, :, 35].sum().backward()
    assert x.grad[0].any(0).nonzero()[:, 0].tolist() == list(range(35 - 30, 36))  # 31 frames


def test_without_a_past_order_cannot_matter(seen):
    xy, order = seen[0][:50], torch.randperm(actions.FRAMES, generator=torch.Generator().manual_seed(0))
    for seed in SEEDS:
        bag, temporal = stored("order-free", seed=seed), stored("temporal", seed=seed)
        torch.testing.assert_close(probabilities(bag, xy[:, order])[:, -1], probabilities(bag, xy)[:, -1])
        assert (probabilities(temporal, xy[:, order])[:, -1] - probabilities(temporal, xy)[:, -1]).abs().max() > 0.5


def test_errors():
    with pytest.raises(ValueError, match="kernel: want a whole number >= 1, got 0"):
        actions.ActionNet(0)
    with pytest.raises(ValueError, match="reads: want one of 'pixels', 'centered', 'normalized', got 'meters'"):
        actions.ActionNet(reads="meters")
    with pytest.raises(ValueError, match="name: want one of 'temporal', .*, got 'recurrent'"):
        stored("recurrent")
    with pytest.raises(ValueError, match=r"seed: want one of \(0, 1, 2\), got 3"):
        stored(seed=3)


def test_training_learns_and_is_the_same_each_time():
    xy, label = sequences(160, seed=7)
    nets = [actions.train_net("temporal", seed=5, steps=40, count=320) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(net.state_dict().values() for net in nets), strict=True))
    assert accuracy(nets[0], xy, label) > 0.4


def test_shaken():
    xy, label = sequences(300, seed=8)
    noisy, same, _ = actions.shaken(lambda step: (xy, label[:, None], torch.ones(300, 1)))(3)
    spread = ((noisy - xy) / actions.torso(xy)[:, None, None, None]).flatten(1).std(1)
    assert torch.equal(same[:, 0], label) and spread.max() < 0.31
    assert spread.sort().values.numpy() == pytest.approx(torch.linspace(0, 0.3, 300).numpy(), abs=0.03)  # evenly


# ---------------------------------------------------------------------------------------------------------------------
# Keypoints that are found


def test_maps_without_noise():
    cells = 30 * torch.rand(4, 9, 17, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = actions.from_maps(cells)
    assert list(found) == list(actions.DECODERS) and all(xy.shape == cells.shape for xy in found.values())
    assert torch.equal(found["argmax"], cells.round())
    torch.testing.assert_close(found["DARK"], cells, atol=1e-5, rtol=0)
    torch.testing.assert_close(found["soft-argmax"], cells, atol=1e-3, rtol=0)  # what the map's end cuts off


def test_maps_with_noise():
    """On a sharp-free Gaussian soft-argmax keeps noise / sqrt(8 pi) cells: the law of theory.noise_variance."""
    cells = 30 * torch.rand(4000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = actions.from_maps(cells, noise=0.1, seed=3)
    rms = {name: (xy - cells).square().mean().sqrt().item() for name, xy in found.items()}
    assert rms["soft-argmax"] == pytest.approx(0.1 / math.sqrt(8 * math.pi), rel=0.06)
    assert rms["soft-argmax"] < rms["DARK"] < rms["argmax"]
    assert torch.equal(actions.from_maps(cells, noise=0.1, seed=3)["DARK"], found["DARK"])
    assert not torch.equal(actions.from_maps(cells, noise=0.1, seed=4)["DARK"], found["DARK"])


def test_pictures():
    motion = sample_motion(2, 3, rate=actions.RATE, seed=9)
    xy, found = actions.from_pictures(motion)
    assert torch.equal(xy, actions.SMALL_CAMERA.project(motion.joints)) and list(found) == list(actions.DECODERS)
    for places in found.values():
        assert places.shape == xy.shape and (places - xy).norm(dim=-1).median() < 4
    assert torch.equal(found["argmax"], (found["argmax"] - 1.5).div(4).round() * 4 + 1.5)  # cells of stride 4


# ---------------------------------------------------------------------------------------------------------------------
# What is stored


def test_the_file():
    assert read_tensors(actions.FILE)[1]["command"] == actions.COMMAND
    assert actions.FILE.stat().st_size < 100_000
    size, right = actions.pictures()
    assert size.shape == (3,) and right.shape == (3, len(actions.ERRORS), 2, len(SEEDS))
    assert (right >= 0).all() and (right <= actions.MEASURED).all()


def test_measure_is_as_told():
    size, right = actions.measure(3, seed=1)
    assert size.shape == (3,) and right.shape == (3, 4, 2, 3) and right.max() <= 3
    assert (size > 0.05).all() and (size < 0.4).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_order(seed, seen, pair):
    """The temporal net is right; without order the pair is a guess, within what 99.9 % of 200 fair coins show."""
    temporal, bag = stored("temporal", seed=seed), stored("order-free", seed=seed)
    assert accuracy(temporal, *seen) > 0.98 and 0.8 < accuracy(bag, *seen) < 0.92
    up = pair[1] == list(ACTIONS).index(PAIR[1])
    share = (of_pair(bag, pair[0]) == up).double().mean().item()
    low, high = (n / 200 for n in binom.interval(0.999, 200, 0.5))
    assert low <= share <= high
    assert (of_pair(temporal, pair[0]) == up).double().mean() > 0.98
    assert (of_pair(temporal, pair[0].flip(1)) != up).double().mean() > 0.98  # backward the answers change sides


def test_no_net_without_order_tells_a_film_from_its_reverse():
    down, _ = sequences(50, seed=79, actions=("sitting down",))
    for seed in SEEDS:
        bag = stored("order-free", seed=seed)
        torch.testing.assert_close(probabilities(bag, down)[:, -1], probabilities(bag, down.flip(1))[:, -1])


def rights(name: str, xy, label) -> list[float]:
    return [accuracy(stored(name, seed=seed), xy, label) for seed in SEEDS]


@pytest.mark.parametrize("seed", [80, 81])
def test_normalized_survives_another_place_and_size_and_no_turn(seed):
    def seen(focal=360.0, x=0.0, up=(0.0, -1.0, 0.0)):
        camera = Camera.look_at((x, -1.1, -4.0), (x, -1.1, 0.0), focal=focal, hw=actions.HW, up=up)
        return sequences(80, seed=seed, camera=camera)

    for options in ({"focal": 90.0}, {"focal": 540.0}, {"x": 1.0}, {"focal": 90.0, "x": -1.0}):
        assert min(rights("temporal", *seen(**options))) > 0.97
    assert max(rights("temporal, centered", *seen(focal=90.0))) < 0.8 < 0.95 < min(
        rights("temporal, centered", *seen(x=1.0)))  # fmt: skip
    assert min(rights("temporal, pixels", *seen(focal=90.0, x=1.0))) < 0.8
    for name in ("temporal", "temporal, centered", "temporal, pixels"):
        assert max(rights(name, *seen(up=(1.0, 0.0, 0.0)))) < 0.3


@pytest.mark.parametrize("seed", [82, 83])
def test_errors_that_stay_do_more_harm(seed):
    xy, label = sequences(80, seed=seed)
    unit = actions.torso(xy)[:, None, None, None]
    source = torch.Generator().manual_seed(seed)
    anew = unit * torch.randn(xy.shape, generator=source, dtype=torch.float64)
    for name in ("temporal", "temporal, noisy"):
        for size in (0.2, 0.4):
            once = rights(name, xy + size * anew[:, :1], label)
            assert max(once) < min(rights(name, xy + 2 * size * anew, label)) + 0.01
    cells = 2 * xy / unit + torch.rand(len(xy), 1, 1, 2, generator=source, dtype=torch.float64)
    still, dithered = (rights("temporal", actions.from_maps(cells, noise=noise)["argmax"], label)
                       for noise in (0.0, 0.2))  # fmt: skip
    assert max(still) + 0.04 < min(dithered)


def test_errors_of_a_network():
    size, right = actions.pictures()
    found, mean, rest, random = (right[:, k] / actions.MEASURED for k in range(4))  # (3, 2, 3) each
    assert (size > 0.1).all() and (size < 0.17).all()
    assert (random > 0.97).all() and (found[:, 0] < 0.95).all() and (mean[:, 0] < rest[:, 0] - 0.02).all()
    assert (found[:, 1].mean(-1) > found[:, 0].mean(-1) + 0.03).all()  # trained with noise
