"""Training that scales: the same numbers on two processes, after an interrupt, and after a kill."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial, partialmethod

import pytest
import torch
from torch import nn

from posebook.models import Trunk, group_norm
from posebook.training import __main__ as command
from posebook.training import scale, table
from posebook.training.files import load_weights, read_tensors
from posebook.training.methods import METHODS
from posebook.training.scale import Settings, Team, drawn, evaluate, held_out, make, train

ALONE = Team(0, 1, torch.device("cpu"))
SMALL = Settings("regression", size="64x48", depth=2, width=16, steps=12, batch=7)
ARGUMENTS = "regression --size 64x48 --depth 2 --width 16 --steps 12 --batch 7 --every 3 --test 8 --device cpu".split()
go = partial(train, team=ALONE, every=3, test=8)


def python(*arguments, **environment) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=600,
                          env=environment)  # fmt: skip


def kept(out) -> dict[str, torch.Tensor]:
    return read_tensors(out / "checkpoint.safetensors")[0]


def same(one, two) -> bool:
    first, second = kept(one), kept(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def log(out) -> list[dict]:
    """All but how fast it was."""
    rows = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name != "images_per_second"} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole")
    with one_thread():
        go(SMALL, out)
    return out


class one_thread:
    """As many as the processes that it is compared with have: sums are in another order with another number."""

    def __enter__(self):
        self.before = torch.get_num_threads()
        torch.set_num_threads(1)

    def __exit__(self, *_):
        torch.set_num_threads(self.before)


# ---------------------------------------------------------------------------------------------------------------------
# Several processes, interrupts, kills


def test_two_processes_give_the_numbers_of_one(whole, tmp_path):
    """Batches of 7 are shared 3 to 4. Only the order of float32 sums differs: 12 steps later losses by at most 1e-5 of
    their size, weights by at most 2e-5, while AdamW has moved them by up to 6e-3 (2e-7 and 2e-6 were found).
    """
    out = tmp_path / "with a space"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", 2]
    ended = python(*torchrun, "-m", "posebook.training", "run", *ARGUMENTS, "--out", out)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("step 12:") == 1  # one of them speaks
    one, two, first = kept(whole), kept(out), make(SMALL).state_dict()
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=0)
    for name in first:
        torch.testing.assert_close(two[f"net.{name}"], one[f"net.{name}"], rtol=0, atol=2e-5)
    assert max((one[f"net.{name}"] - start).abs().max() for name, start in first.items()) > 2e-3
    errors = [[row["errors"]["coordinates"]["mean"] for row in log(folder)] for folder in (whole, out)]
    assert errors[1] == pytest.approx(errors[0], abs=1e-3)


KILLED = """
import os, signal, sys
from posebook.training import __main__ as command, scale
drawn = scale.drawn
def dying(settings, team, first):
    for step, batch in enumerate(drawn(settings, team, first), first):
        if step == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch
scale.drawn = dying
command.main(sys.argv[1:])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_and_resumed_is_uninterrupted_bit_for_bit(whole, tmp_path):
    """Killed after 7 of 12 steps, of which a checkpoint has 6."""
    assert python("-c", KILLED, "run", *ARGUMENTS, "--out", tmp_path).returncode == -signal.SIGKILL
    assert len(kept(tmp_path)["losses"]) == 6 and not (tmp_path / "net.safetensors").exists()
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 7}\n{"step": 8, "lo')  # what a checkpoint has not, and what was cut short
    with one_thread():
        go(SMALL, tmp_path)
    assert same(whole, tmp_path) and log(whole) == log(tmp_path)
    assert [row["step"] for row in log(tmp_path)] == [3, 6, 9, 12]


def test_ctrl_c_keeps_the_steps_and_says_how_to_go_on(whole, tmp_path, monkeypatch):
    def interrupted(settings, team, first):
        for step, batch in enumerate(drawn(settings, team, first), first):
            if step == 4:
                signal.raise_signal(signal.SIGINT)
            yield batch

    with one_thread():
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as stopped:
            patch.setattr(scale, "drawn", interrupted)
            go(SMALL, tmp_path)
        assert str(stopped.value) == f"after 4 of 12 steps; the same command goes on from {tmp_path}"
        assert len(kept(tmp_path)["losses"]) == 4
        go(SMALL, tmp_path)
    assert same(whole, tmp_path) and log(whole) == log(tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, monkeypatch):
    def spoiled(settings, team, first):
        for step, (image, xy, vis) in enumerate(drawn(settings, team, first), first):
            yield image, xy * (float("inf") if step == 4 else 1), vis

    monkeypatch.setattr(scale, "drawn", spoiled)
    with pytest.raises(ValueError, match="loss: (inf|nan) at step 6 or before; try a lower lr"):
        go(SMALL, tmp_path)
    assert kept(tmp_path)["losses"].isfinite().all() and len(kept(tmp_path)["losses"]) == 3 == log(tmp_path)[-1]["step"]


def test_a_run_that_is_done_is_not_done_again(whole, monkeypatch):
    before, lines = kept(whole), log(whole)
    monkeypatch.setattr(scale, "render", None)
    go(SMALL, whole)
    assert log(whole) == lines and all(torch.equal(before[name], value) for name, value in kept(whole).items())


def test_the_weights_it_leaves(whole):
    net, trained = make(SMALL), kept(whole)
    note = load_weights(net, whole / "net.safetensors")
    assert (note["size"], note["steps"], note["method"], note["device"]) == ("64x48", 12, "regression", "processor")
    assert note["log"] == [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    for name, value in net.state_dict().items():
        assert torch.equal(value, trained[f"net.{name}"].half().float())


def test_the_stored_net_is_as_good_as_its_note_says():
    """On the processor, in half precision: what chapter 1 tells of a run on a card."""
    net, note = scale.stored()
    settings = Settings(**{name: note[name] for name in ("method", "size", "steps", "batch")})
    found = evaluate(net, settings, held_out(settings.hw, table.TEST_IMAGES, ALONE.device))
    assert note["log"][-1]["step"] == note["steps"]
    for decoder, errors in note["log"][-1]["errors"].items():
        assert found[decoder] == pytest.approx(errors, rel=0.01)


@pytest.mark.parametrize("change, text", [
    ({"depth": 3}, "depth 3, got 2"), ({"size": "48x64"}, "size 48x64, got 64x48"), ({"steps": 13}, "steps 13, got 12"),
    ({"batch": 8}, "batch 8, got 7"), ({"lr": 0.5}, "lr 0.5, got 0.001"), ({"seed": 1}, "seed 1, got 0"),
    ({"bf16": True}, "bf16 True, got False"), ({"stride": 8}, "stride 8, got 4"),
    ({"method": "SimCC"}, "net SimCCNet, got RegressionNet"),
])  # fmt: skip
def test_a_checkpoint_of_other_settings_is_refused(change, text, whole):
    with pytest.raises(ValueError) as error:
        go(replace(SMALL, **change), whole)
    assert str(error.value) == f"checkpoint: want one of this run, {text} in {whole / 'checkpoint.safetensors'}"


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_damaged_checkpoint_is_refused(share, whole, tmp_path):
    data = (whole / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match="checkpoint.safetensors: cut short, or no safetensors file"):
        go(SMALL, tmp_path)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_one_bit_of_a_checkpoint_that_fell_over(share, whole, tmp_path):
    data = bytearray((whole / "checkpoint.safetensors").read_bytes())
    data[int(share * len(data))] ^= 1
    (tmp_path / "checkpoint.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match="checkpoint.safetensors: damaged, what it holds is not what was written"):
        go(SMALL, tmp_path)


def test_no_pickle():
    text = open(scale.__file__).read()
    assert not any(word in text for word in ("torch.load", "torch.save", "pickle", "object_list", "gather_object"))


# ---------------------------------------------------------------------------------------------------------------------
# Nets


@pytest.mark.parametrize("method", METHODS)
def test_every_method_on_a_deeper_trunk(method):
    """256 x 192 px at stride 4: maps of 64 x 48 cells, and coordinates within a picture of that size."""
    settings = Settings(method, depth=3, width=16)
    net, image = make(settings), torch.rand(2, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    assert [len(down) - 1 for down in net.trunk.down] == [3, 3, 3]
    output = net(image)
    maps, shapes = (2, 17, 64, 48), {"regression": [(2, 17, 2)], "SimCC": [(2, 17, 384), (2, 17, 512)]}
    parts = output if isinstance(output, tuple) else (output,)
    assert [part.shape for part in parts] == (shapes | {"hybrid": [maps, (2, 17, 2)]}).get(method, [maps])
    alone = net(image[:1])  # in training mode too
    for part, one in zip(parts, alone if isinstance(alone, tuple) else (alone,), strict=True):
        torch.testing.assert_close(part[:1], one, atol=1e-3, rtol=1e-4)
    value = METHODS[method].loss(net, image, torch.full((2, 17, 2), 50.0)).mean()
    value.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_width_and_depth():
    trunk = Trunk(8, depth=2, width=32, norm=group_norm)
    assert trunk.channels == 96 and trunk(torch.rand(1, 3, 32, 48)).shape == (1, 96, 4, 6)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in trunk.modules())
    groups = [layer for layer in trunk.modules() if isinstance(layer, nn.GroupNorm)]
    assert {layer.num_channels // layer.num_groups for layer in groups} == {16}
    with pytest.raises(ValueError, match="width: want a multiple of 16, got 40"):
        Trunk(width=40)
    with pytest.raises(ValueError, match="depth: want a whole number >= 1, got 0"):
        Trunk(depth=0)


def test_bf16_is_for_layers_not_for_coordinates(tmp_path):
    settings = Settings("hybrid", size="64x48", depth=1, width=16, bf16=True)
    net, wide = make(settings), make(replace(settings, bf16=False))
    seen = {}
    for name in ("trunk.stem.0", "trunk.mix.0", "trunk", "maps", "coordinates.dense"):
        net.get_submodule(name).register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output}))
    test = held_out(settings.hw, 4, ALONE.device)
    output = net(test[0] / 255)
    assert seen["trunk.stem.0"].dtype == seen["trunk.mix.0"].dtype == torch.bfloat16
    assert {seen[name].dtype for name in ("trunk", "maps", "coordinates.dense")} == {torch.float32}
    found = [decode(net, output) for decode in METHODS["hybrid"].decoders.values()]
    assert {places.dtype for places in found} == {torch.float32}
    assert (found[0] * 256 != (found[0] * 256).round()).any()  # finer than what bfloat16 can say of pixels
    exact = METHODS["hybrid"].decoders["coordinates"](wide, wide(test[0] / 255))
    assert 0 < (found[0] - exact).abs().max() < 1
    go(replace(settings, steps=1, batch=2), tmp_path)
    assert {value.dtype for name, value in kept(tmp_path).items() if name.startswith("net.")} == {torch.float32}


def test_compiled_it_is_one_graph_with_the_same_numbers(whole, tmp_path, monkeypatch):
    """By the backend that needs no compiler: what torch.compile captures, without what it makes of it."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager", fullgraph=True))
    go(replace(SMALL, steps=2), tmp_path, compile=True)
    torch.testing.assert_close(kept(tmp_path)["losses"][:1], kept(whole)["losses"][:1], rtol=1e-6, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("compile", [False, True])
def test_it_trains_on_a_gpu(compile, tmp_path):
    settings = Settings("cross-entropy", depth=2, width=16, steps=40, batch=16, bf16=True)
    train(settings, tmp_path, Team(0, 1, torch.device("cuda")), compile=compile, every=20, test=16)
    losses = kept(tmp_path)["losses"]
    assert losses.isfinite().all() and losses[-5:].mean() < 0.9 * losses[:5].mean()


@pytest.mark.gpu
def test_a_gpu_gives_the_numbers_of_the_cpu(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    go(SMALL, tmp_path, team=Team(0, 1, torch.device("cuda")))
    torch.testing.assert_close(kept(tmp_path)["losses"], kept(whole)["losses"], rtol=0.01, atol=0)


# ---------------------------------------------------------------------------------------------------------------------
# People


@pytest.mark.parametrize("count", [2, 3])
def test_shares_of_a_step_are_the_whole_step(count):
    settings = replace(SMALL, batch=8)
    for step in (0, 9):
        shares = [next(drawn(settings, Team(rank, count, ALONE.device), step)) for rank in range(count)]
        for parts, all in zip(zip(*shares, strict=True), next(drawn(settings, ALONE, step)), strict=True):
            torch.testing.assert_close(torch.cat(parts), all, rtol=0, atol=1e-6)


def test_each_step_has_people_of_its_own():
    settings = replace(SMALL, steps=2 * scale.AHEAD + 3)
    steps = [xy for _, xy, _ in drawn(settings, ALONE)]
    assert len({tuple(person.flatten().tolist()) for xy in steps for person in xy}) == settings.steps * settings.batch
    for first in (3, 2 * scale.AHEAD):
        found = [xy for _, xy, _ in drawn(settings, ALONE, first)]
        assert len(found) == settings.steps - first and all(map(torch.equal, found, steps[first:]))
    assert not torch.equal(next(drawn(replace(settings, seed=1), ALONE, 3))[1], steps[3])


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_for_a_card_the_same_people_are_posed_ahead_and_painted_several_steps_at_once(at_once, monkeypatch):
    """"meta" stands for a card: what is sent there stays on the CPU."""
    monkeypatch.setattr(scale._args, "sent", lambda tensor, device: tensor)
    settings = replace(SMALL, steps=2 * scale.AHEAD + 3)
    monkeypatch.setattr(scale, "CHUNK_ON_CARD", at_once * settings.batch * 64 * 48)
    render, painted = scale.render, []

    def noted(scene, hw):
        painted.append(len(scene.xy))
        return render(scene, hw)

    monkeypatch.setattr(scale, "render", noted)
    for first in (0, 5, 18):
        want = list(drawn(settings, ALONE, first))
        painted.clear()
        found = list(drawn(settings, Team(0, 1, torch.device("meta")), first))
        assert len(found) == len(want) == settings.steps - first
        for one, other in zip(found, want, strict=True):
            for mine, theirs in zip(one, other, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)
        in_block = min(scale.AHEAD - first % scale.AHEAD, settings.steps - first)
        assert painted[0] == min(at_once, in_block) * settings.batch


def test_a_thread_is_one_item_ahead():
    begun = [threading.Event() for _ in range(4)]

    def square(n):
        begun[n].set()
        return n * n

    results = scale.ahead(square, range(4))
    assert next(results) == 0 and begun[1].wait(60) and not begun[2].is_set()
    assert list(results) == [1, 4, 9]
    results.close()
    with pytest.raises(IndexError):
        list(scale.ahead(square, [4]))


def test_it_is_measured_on_people_of_chapter_1(whole):
    """At 64 x 64 px the same people, hence the same numbers as in its comparison."""
    image, xy, vis, area = held_out((64, 64), 20, ALONE.device)
    mine = table.people(20, seed=table.TEST_SEED)
    assert all(torch.equal(one, other) for one, other in zip((image, xy, vis), mine, strict=True))
    settings = Settings("cross-entropy", size="64x64", depth=1, width=16, batch=6)  # in batches of 6, 6, 6 and 2
    net = make(settings)
    found, theirs = evaluate(net, settings, (image, xy, vis, area)), table.errors(net, "cross-entropy", mine)
    for decoder in METHODS["cross-entropy"].decoders:
        assert 0 <= found[decoder].pop("oks") <= 1
        assert found[decoder] == pytest.approx(theirs[decoder], abs=2e-3)


# ---------------------------------------------------------------------------------------------------------------------
# Command line


@pytest.mark.parametrize("arguments, text", [
    (["heatmaps"], "method: want one of 'regression', 'heatmap', "),
    (["heatmap", "--size", "250x192"], "size: want HEIGHTxWIDTH in px, multiples of 16 such as 256x192, got 250x192"),
    (["heatmap", "--size", "256"], "size: want HEIGHTxWIDTH in px, multiples of 16 such as 256x192, got 256"),
    (["heatmap", "--stride", "3"], "stride: want 2, 4 or 8, got 3"),
    (["heatmap", "--steps", "0"], "steps: want a whole number >= 1, got 0"),
    (["heatmap", "--batch", "0"], "batch: want a whole number >= 1, got 0"),
    (["heatmap", "--lr", "nan"], "lr: want a finite number > 0, got nan"),
    (["heatmap", "--every", "0"], "every: want a whole number >= 1, got 0"),
    (["heatmap", "--width", "20"], "width: want a multiple of 16, got 20"),
    (["heatmap", "--device", "tpu"], "device: want one of 'cpu'"),
])  # fmt: skip
def test_bad_input_is_one_line(arguments, text, tmp_path):
    with pytest.raises(SystemExit) as ended:
        command.main(["run", *arguments, "--out", str(tmp_path / "out")])
    assert str(ended.value).startswith(f"posebook.training run: {text}") and "\n" not in str(ended.value)
    assert not (tmp_path / "out").exists()


def test_a_batch_smaller_than_the_team(tmp_path):
    with pytest.raises(ValueError, match="batch: want one image or more for each of 8 processes, got 7"):
        go(SMALL, tmp_path, team=Team(0, 8, ALONE.device))


def test_what_it_prints(tmp_path, capsys):
    arguments = ["regression", "--size", "32x32", "--depth", "1", "--width", "16", "--steps", "1", "--batch", "1",
                 "--test", "2", "--device", "cpu"]  # fmt: skip
    command.main(["run", *arguments, "--out", str(tmp_path)])
    line, end = capsys.readouterr().out.splitlines()
    row = json.loads((tmp_path / "log.jsonl").read_text())
    errors = row["errors"]["coordinates"]
    assert line.startswith(f"step 1: loss {row['loss']:.4f}, ") and f"px, median {errors['median']:.2f} px" in line
    assert end == f"1 steps are done; the weights are in {tmp_path / 'net.safetensors'}"
