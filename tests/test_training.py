"""The loop, its data and its files. What the stored nets and tables say is in test_representations.py."""

import os
import signal
import sys
import threading
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from posebook.grid import Grid
from posebook.people import draw_people
from posebook.training import alone, evaluating, finite, fresh, load_weights, one_cycle, save_weights, train
from posebook.training.methods import METHODS, make_net, predict, stored

STEPS = 6


@pytest.fixture(scope="module")
def data():
    return finite(alone(draw_people(20, seed=5)), batch=8)


def run(data, method="cross-entropy", *, steps=STEPS, seed=0, **options):
    net = make_net(method, seed=seed)
    return net, train(net, METHODS[method].loss, data, steps=steps, progress=False, **options)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def interrupting(data, at: int):
    """Ctrl-C while the batch of a step is drawn."""

    def interrupted(step):
        if step == at:
            signal.raise_signal(signal.SIGINT)
        return data(step)

    return interrupted


# ---------------------------------------------------------------------------------------------------------------------
# The loop


@pytest.mark.parametrize("method", METHODS)
def test_it_learns_and_is_the_same_each_time(method, data):
    net, losses = run(data, method, steps=12)
    assert len(losses) == 12 and sum(losses[-3:]) < 0.96 * sum(losses[:3])  # cross-entropy's least is no 0
    again, repeated = run(data, method, steps=12)
    assert losses == repeated and same(net, again) and not net.training
    assert not same(net, run(data, method, steps=12, seed=1)[0])


def test_a_net_learns_two_images_by_heart():
    """120 steps on two images: every labeled keypoint is found to a pixel, so targets and decoder agree."""
    images = alone(draw_people(2, seed=8, truncate=0.0))
    for method in ("regression", "cross-entropy", "SimCC"):
        net, _ = run(finite(images, batch=8), method, steps=120)
        error = (predict(net, method, images[0]) - images[1]).norm(dim=-1)
        assert error.median() < 1.0, method


def test_interrupted_and_resumed_is_uninterrupted_bit_for_bit(data, tmp_path):
    whole, losses = run(data)
    file = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt, match="after 3 of 6 steps; the same call goes on"):
        run(interrupting(data, 2), checkpoint=file)
    resumed, joined = run(data, seed=7, checkpoint=file)  # other first weights: the file decides
    assert joined == losses and same(whole, resumed)
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.parametrize("method", ["regression", "hybrid"])
def test_the_same_interrupted_twice(method, data, tmp_path):
    whole, losses = run(data, method)
    for at in (1, 4):
        with pytest.raises(KeyboardInterrupt):
            run(interrupting(data, at), method, checkpoint=tmp_path / "run")
    resumed, joined = run(data, method, checkpoint=tmp_path / "run")
    assert joined == losses and same(whole, resumed)


def test_a_run_that_is_done_is_not_done_again(data, tmp_path):
    net, losses = run(data, checkpoint=tmp_path / "run")
    drawn = []
    again, repeated = run(lambda step: drawn.append(step), checkpoint=tmp_path / "run")
    assert repeated == losses and same(net, again) and drawn == [] and not again.training


def test_an_interrupt_without_a_checkpoint_says_so(data):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="after 1 of 6 steps; a checkpoint would have kept them"):
        run(interrupting(data, 0))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_does_not_wait(data, tmp_path):
    def twice(step):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(twice, checkpoint=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_it_runs_in_a_thread(data):
    done = []
    thread = threading.Thread(target=lambda: done.append(run(data, steps=1)))
    thread.start()
    thread.join()
    assert len(done[0][1]) == 1


def test_watch_sees_every_step_and_changes_nothing(data):
    seen = []

    def watch(step, net):
        assert not net.training and not torch.is_grad_enabled()
        net(torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(step)))
        seen.append(step)

    watched, losses = run(data, watch=watch)
    assert seen == [1, 2, 3, 4, 5, 6]
    net, unwatched = run(data)
    assert losses == unwatched and same(net, watched)


def test_unlabeled_keypoints_teach_nothing(data):
    """Other numbers, even NaN, where vis is 0: the same run. Nothing labeled: only the weights decay."""
    image, xy, vis = data(0)
    vis = vis.clone()
    vis[:, ::2] = 0
    broken = xy.masked_fill((vis == 0)[..., None], float("nan"))
    first, losses = run(lambda step: (image, xy, vis), steps=3)
    second, repeated = run(lambda step: (image, broken, vis), steps=3)
    assert losses == repeated and same(first, second)
    nothing, zeros = run(lambda step: (image, broken, torch.zeros_like(vis)), steps=2, weight_decay=0.0)
    start = make_net("cross-entropy")
    assert zeros == [0, 0]
    assert all(torch.equal(a, b) for a, b in zip(nothing.parameters(), start.parameters(), strict=True))


def test_one_cycle():
    shares = torch.linspace(0, 1, 401).tolist()
    rates = [one_cycle(share) for share in shares]
    assert max(rates) == rates[100] == 1 and rates[0] == 0.04 and rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates[:101] == sorted(rates[:101]) and rates[100:] == sorted(rates[100:], reverse=True)


def test_progress_is_one_line_that_goes_away(data, capsys):
    train(make_net("regression"), METHODS["regression"].loss, data, steps=2)
    out, err = capsys.readouterr()
    assert out == "" and "\n" not in err and "0/2 [" in err
    assert err.rpartition("\r")[2] == "" and err.split("\r")[-2].isspace()  # nothing of it is left
    run(data, steps=1)
    assert capsys.readouterr() == ("", "")


def test_evaluating_restores_the_mode():
    net = nn.Linear(2, 2)
    for mode in (True, False):
        net.train(mode)
        with pytest.raises(ZeroDivisionError), evaluating(net):
            assert not net.training and not torch.is_grad_enabled()
            raise ZeroDivisionError
        assert net.training is mode and torch.is_grad_enabled()


@pytest.mark.gpu
def test_it_trains_on_a_gpu(data):
    net = make_net("cross-entropy").cuda()
    losses = train(net, METHODS["cross-entropy"].loss, data, steps=12, progress=False)
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


# ---------------------------------------------------------------------------------------------------------------------
# Methods


class Perfect(nn.Module):
    """A net that knows the answer: Gaussian scores around the keypoints, over cell centers written out in pixels."""

    def __init__(self, method: str, xy: torch.Tensor):
        super().__init__()
        net = make_net(method)
        self.grid, self.hw, self.ratio = Grid.center(4), (64, 64), 2.0
        assert getattr(net, "grid", self.grid) == self.grid and getattr(net, "ratio", self.ratio) == self.ratio
        x = y = 1.5 + 4 * torch.arange(16.0, dtype=torch.float64)  # px
        bins = torch.arange(128.0, dtype=torch.float64) / 2  # px
        square = (x - xy[..., 0, None, None]) ** 2 + (y[:, None] - xy[..., 1, None, None]) ** 2
        sigma = 4.0 * (2.0 if method == "heatmap" else 1.0)  # px
        logits = -square / (2 * sigma**2)
        self.output = {
            "heatmap": logits.exp(), "regression": xy, "hybrid": (logits, xy),
            "SimCC": tuple(-((bins - xy[..., axis, None]) ** 2) / (2 * 2.0**2) for axis in (0, 1)),
        }.get(method, logits)  # fmt: skip

    def forward(self, image):
        return self.output


@pytest.mark.parametrize("method", METHODS)
def test_targets_and_decoders_agree(method):
    """The answer has the least loss there is, and every sub-cell decoder gives the keypoint back."""
    xy = torch.tensor([[[30.3, 25.9], [22.1, 37.2]]], dtype=torch.float64)
    net, image = Perfect(method, xy), torch.zeros(1, 3, 64, 64)
    least = METHODS[method].loss(net, image, xy)
    for shift in (-1.5, 1.5):  # the offset that is forgotten most often
        assert (METHODS[method].loss(net, image, xy + shift) > least + 1e-3).all()
    if method in ("regression", "heatmap", "integral", "hybrid"):
        assert least.max() < 1e-3
    for name, decoder in METHODS[method].decoders.items():
        if (method, name) != ("heatmap", "soft-argmax"):  # of values that are no logits
            reach = {"argmax": 2.0, "quarter": 1.0, "best bin": 0.25}.get(name, 0.02)  # px
            assert (decoder(net, net(image)) - xy).abs().max() <= reach + 1e-9, name


@pytest.mark.parametrize("call, text", [
    (lambda: make_net("heatmaps"), "method: want one of 'regression', 'heatmap', .*, got 'heatmaps'"),
    (lambda: stored("heatmap"), "method: want one of 'regression', 'cross-entropy', 'SimCC', 'hybrid', got 'heatmap'"),
    (lambda: predict(make_net("SimCC"), "SimCC", torch.zeros(1, 3, 64, 64), decoder="argmax"),
     "decoder: want one of 'best bin', 'mean bin', got 'argmax'"),
])  # fmt: skip
def test_unknown_names(call, text):
    with pytest.raises(ValueError, match=text):
        call()


def test_first_weights_depend_on_the_seed_alone():
    state = torch.random.get_rng_state()
    first = make_net("SimCC", seed=4)
    torch.rand(3)
    assert same(first, make_net("SimCC", seed=4)) and not same(first, make_net("SimCC", seed=5))
    torch.random.set_rng_state(state)
    make_net("SimCC")
    assert torch.equal(torch.random.get_rng_state(), state)  # and leaves others' random numbers alone


# ---------------------------------------------------------------------------------------------------------------------
# Data


def test_finite_uses_every_image_once_an_epoch():
    images = (torch.arange(10).float().view(10, 1, 1, 1), torch.arange(20.0).view(10, 1, 2), torch.ones(10, 1))
    data = finite(images, batch=4, seed=3)
    drawn = torch.cat([data(step)[0].flatten() for step in range(10)]).view(4, 10)
    assert (drawn.sort(1).values == torch.arange(10)).all() and len({tuple(row.tolist()) for row in drawn}) == 4
    image, xy, _ = data(7)
    assert torch.equal(image.flatten() * 2, xy[:, 0, 0])  # images and keypoints stay together
    assert torch.equal(data(7)[0], image)  # any step at any time
    assert len(finite(images, batch=25)(0)[0]) == 25


def test_finite_reads_bytes():
    images = (torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1), torch.zeros(2, 1, 2), torch.ones(2, 1))
    assert sorted(finite(images, batch=2)(0)[0].flatten().tolist()) == [0.0, 1.0]


def test_fresh_is_new_each_step_and_the_same_each_time():
    data = fresh(batch=3, seed=2, persons=1, truncate=0.0)
    image, xy, vis = data(5)
    assert (image.shape, xy.shape, vis.shape) == ((3, 3, 64, 64), (3, 17, 2), (3, 17))
    assert torch.equal(data(5)[0], image) and not torch.equal(data(6)[0], image)
    assert not torch.equal(fresh(batch=3, seed=3, truncate=0.0)(5)[0], image)
    with pytest.raises(ValueError, match="people: want one person per image, got 2"):
        fresh(batch=3, persons=2)(0)


# ---------------------------------------------------------------------------------------------------------------------
# Files


def test_weights_at_half_precision(tmp_path):
    net, file = make_net("SimCC", seed=1).eval(), tmp_path / "net.safetensors"
    save_weights(net, file, note={"steps": 3})
    other = make_net("SimCC", seed=2).eval()
    assert load_weights(other, file) == {"steps": 3}
    for name, value in net.state_dict().items():
        kept = other.state_dict()[name]
        assert kept.dtype == value.dtype and torch.equal(kept, value.half().to(value.dtype))
    assert file.stat().st_size < 2 * sum(p.numel() for p in net.parameters()) + 30_000
    assert file.read_bytes()[8:9] == b"{"  # safetensors: its header's length, then JSON; a pickle is nowhere


@pytest.mark.parametrize("kept", [0, 7, 100, 5_000, -1])
def test_a_file_cut_short(kept, data, tmp_path):
    file = tmp_path / "run"
    run(data, steps=1, checkpoint=file)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match="run: cut short, or no safetensors file .*; delete it to start anew"):
        run(data, steps=1, checkpoint=file)
    with pytest.raises(ValueError, match="run: cut short, or no safetensors file"):
        load_weights(make_net("cross-entropy"), file)


def test_another_nets_file(data, tmp_path):
    file = tmp_path / "run"
    run(data, "SimCC", steps=1, checkpoint=file)
    with pytest.raises(ValueError, match="checkpoint: want one of this run, net RegressionNet, got SimCCNet in"):
        run(data, "regression", steps=1, checkpoint=file)
    save_weights(make_net("integral", stride=8), file)
    with pytest.raises(ValueError, match="of HeatmapNet, not of this HeatmapNet: trunk.skip.1.weight is missing there"):
        load_weights(make_net("integral"), file)
    save_weights(make_net("integral", keypoints=5), file)
    with pytest.raises(ValueError, match=r"head.weight is \(5, 32, 1, 1\) there, \(17, 32, 1, 1\) here"):
        load_weights(make_net("integral"), file)
    with pytest.raises(FileNotFoundError):
        load_weights(make_net("integral"), tmp_path / "none")


@pytest.mark.parametrize("change, text", [
    ({"steps": 2}, "steps 2, got 1"), ({"lr": 1e-3}, "lr 0.001, got 0.003"),
    ({"method": "heatmap"}, r"loss heatmap\(sigma=2.0\), got cross"),
])  # fmt: skip
def test_another_runs_file(change, text, data, tmp_path):
    run(data, steps=1, checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=f"checkpoint: want one of this run, {text}.* in .*run"):
        run(data, **{"steps": 1, "checkpoint": tmp_path / "run"} | change)


def weighed(weight):
    return lambda net, image, xy: weight * METHODS["regression"].loss(net, image, xy)


@dataclass
class Weighed:
    weight: float

    def __call__(self, net, image, xy):
        return self.weight * METHODS["regression"].loss(net, image, xy)


@pytest.mark.parametrize("loss", [
    lambda weight: partial(lambda net, image, xy, weight: weighed(weight)(net, image, xy), weight=weight),
    lambda weight: partial(partial(Weighed.__call__, Weighed(weight))), weighed, Weighed,
    lambda weight: Weighed(weight).__call__,
], ids=["partial", "partial of a partial", "closure", "object", "method"])  # fmt: skip
def test_a_loss_of_another_weight_is_another_run(loss, data, tmp_path):
    def go(weight):
        return train(make_net("regression"), loss(weight), data, steps=1, progress=False, checkpoint=tmp_path / "run")

    first = go(0.5)
    assert go(0.5) == first
    with pytest.raises(ValueError, match=r"checkpoint: want one of this run, loss .*5\.0.*, got .*0\.5"):
        go(5.0)


def test_a_weights_file_is_no_checkpoint(data, tmp_path):
    save_weights(make_net("cross-entropy"), tmp_path / "net")
    with pytest.raises(ValueError, match="holds the weights of HeatmapNet, not of this HeatmapNet: .* missing there"):
        run(data, steps=1, checkpoint=tmp_path / "net")


def test_a_file_is_written_whole_or_not_at_all(data, tmp_path, monkeypatch):
    file = tmp_path / "run"
    run(data, steps=1, checkpoint=file)
    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_weights(make_net("SimCC"), file)
    assert file.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["run"]


def test_no_pickle():
    """Reading a file runs no code of its author."""
    modules = ("training", "training.files", "training.loop", "training.methods", "models")
    sources = [sys.modules[f"posebook.{name}"].__file__ for name in modules]
    text = "".join(open(path).read() for path in sources)
    assert not any(word in text for word in ("torch.load", "torch.save", "import pickle"))


@pytest.mark.parametrize("options, text", [
    ({"steps": 0}, "steps: want a whole number >= 1, got 0"), ({"lr": -1}, "lr: want a finite number > 0, got -1"),
    ({"weight_decay": -1}, "weight_decay: want a finite number >= 0, got -1"),
])  # fmt: skip
def test_errors(options, text, data):
    with pytest.raises(ValueError) as error:
        run(data, **options)
    assert str(error.value) == text
