"""Training that scales: one method, images of any size, a deeper trunk, on one device or on several::

    python -m posebook.training run cross-entropy --size 256x192 --out runs/first
    torchrun --nproc-per-node 4 -m posebook.training run cross-entropy --size 256x192 --out runs/first

1. The people of a step depend on the seed and the number of the step alone; each process paints its share of them.
2. A step is the gradient of the mean over all labeled keypoints of the batch, whoever holds them, and AdamW.
3. Every so many steps the first process measures errors on people who are never trained on, adds a line to
   ``log.jsonl``, and writes ``checkpoint.safetensors``, from which the same command goes on.

So the number of processes changes no more than the order of sums. Normalization is over groups of channels, not over
the batch: no image's features depend on what other images are in the batch, or on which device they are.

On one H200 GPU cross-entropy draws and learns from some 11,000 images per second at 64 x 64 px, 256 a step in float32,
and from some 2,000 at 256 x 192 px, 64 a step in bf16. Chapter 1, section 1.14, shows what the first reached.
"""

import argparse
import json
import math
import os
import re
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from posebook import _args, _files
from posebook._journal import entries
from posebook.evaluation import oks
from posebook.models import Trunk, group_norm
from posebook.people import Scene, draw_people, render, sample_scene
from posebook.people.paint import CHUNK_ON_CARD
from posebook.skeleton import COCO_17
from posebook.training.data import Batch, alone
from posebook.training.files import load_weights, resume, save_checkpoint, save_weights
from posebook.training.loop import evaluating, noted_interrupts, one_cycle
from posebook.training.methods import METHODS, make_net
from posebook.training.table import FOLDER, PEOPLE, TEST_IMAGES, TEST_SEED, made, scores

FILE = FOLDER / "scaled.safetensors"
AHEAD = 8  # steps whose people are posed at once, on the CPU: so many cost hardly more than those of one


@dataclass(frozen=True)
class Settings:
    """What decides a run's numbers."""

    method: str
    size: str = "256x192"  # HEIGHTxWIDTH, px
    stride: int = 4
    depth: int = 3
    width: int = 32
    steps: int = 20_000
    batch: int = 64  # images, of all processes together
    lr: float = 1e-3
    seed: int = 0
    bf16: bool = False

    def __post_init__(self) -> None:
        _args.one_of("method", self.method, tuple(METHODS))
        if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", self.size) or any(side % 16 for side in self.hw):
            _args.fail("size", "HEIGHTxWIDTH in px, multiples of 16 such as 256x192", self.size)
        for name in ("steps", "batch"):
            _args.whole(name, getattr(self, name), 1)
        _args.whole("seed", self.seed, 0)
        _args.positive("lr", self.lr)

    @property
    def hw(self) -> tuple[int, int]:
        height, width = self.size.split("x")
        return int(height), int(width)


class Team(NamedTuple):
    """The processes that train together, seen from one of them."""

    rank: int
    count: int
    device: torch.device


@contextmanager
def team(kind: str) -> Iterator[Team]:
    """As torchrun has started them; without it a process is alone."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    if count == 1:
        yield Team(0, 1, torch.device(kind))
        return
    if kind not in ("cpu", "cuda"):
        _args.fail("device", "cpu or cuda for several processes", kind)
    device = torch.device(kind, int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)
    if kind == "cuda":
        if device.index >= (cards := torch.cuda.device_count()):
            _args.fail("nproc-per-node", f"{cards} at most, a process for each card", count)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), count, device)
    finally:
        dist.destroy_process_group()


def summed(value: Tensor) -> Tensor:
    """Over all processes."""
    if dist.is_initialized():
        dist.all_reduce(value)
    return value


# ---------------------------------------------------------------------------------------------------------------------
# Net and people


def make(settings: Settings) -> nn.Module:
    """Chapter 1's net of the method on a deeper trunk, float32, on the CPU."""
    trunk = partial(Trunk, depth=settings.depth, width=settings.width, norm=group_norm, bf16=settings.bf16)
    options = {"stride": settings.stride, "trunk": trunk}
    if "hw" in signature(METHODS[settings.method].net).parameters:  # a dense head knows the image's size
        options["hw"] = settings.hw
    return make_net(settings.method, seed=settings.seed, **options)


def shared(net: nn.Module, team: Team) -> nn.Module:
    """The net, whose gradients are those of all processes."""
    if team.count == 1:
        return net
    together = DistributedDataParallel(net)
    for name in {"grid", "hw", "ratio"} & vars(net).keys():  # which losses ask for
        setattr(together, name, getattr(net, name))
    return together


def drawn(settings: Settings, team: Team, first: int = 0) -> Iterator[Batch]:
    """This process's share of the people of each step, from the step ``first`` on, painted on its device.

    A card gets them without waiting: a thread poses the next AHEAD steps' people while it trains on these, and several
    steps' are painted at once, as one step's take hardly less time there.
    """
    if first >= settings.steps:
        return
    on_card = team.device.type != "cpu"
    at, end = (settings.batch * rank // team.count for rank in (team.rank, team.rank + 1))
    at_once = max(1, CHUNK_ON_CARD // ((end - at) * math.prod(settings.hw))) if on_card else 1
    blocks = range(first // AHEAD, -(-settings.steps // AHEAD))
    for block, scene in zip(blocks, (ahead if on_card else map)(partial(posed, settings), blocks), strict=True):
        turns = range(max(0, first - block * AHEAD), min(AHEAD, settings.steps - block * AHEAD))
        for some in torch.tensor(turns).split(at_once):
            mine = (settings.batch * some[:, None] + torch.arange(at, end)).flatten()
            people = render(scene.mapped(lambda t, mine=mine: _args.sent(t[mine], team.device)), settings.hw)
            yield from zip(*(part.split(end - at) for part in alone(people)), strict=True)


def posed(settings: Settings, block: int) -> Scene:
    """The people of AHEAD steps, on the CPU."""
    seed = 1_000_000 * (settings.seed + 1) + block
    return sample_scene(AHEAD * settings.batch, settings.hw, seed=seed, **PEOPLE)


def ahead(function: Callable, items: Iterable) -> Iterator:
    """As map, but a thread is always one item ahead."""
    with ThreadPoolExecutor(1) as thread:
        coming = deque()
        for item in items:
            coming.append(thread.submit(function, item))
            if len(coming) > 1:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


@lru_cache(maxsize=1)
def held_out(hw: tuple[int, int], count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """People who are never trained on, at 64 x 64 px those of chapter 1: image as bytes, xy, vis, area ``(B,)``."""
    parts = []
    for first in range(0, count, 256):
        people = draw_people(min(256, count - first), hw, seed=TEST_SEED + first // 256, device=device, **PEOPLE)
        image, xy, vis = alone(people)
        parts.append(((255 * image).round().byte(), xy, vis, people.area[:, 0]))
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def evaluate(net: nn.Module, settings: Settings, test: tuple[Tensor, ...]) -> dict[str, dict[str, float]]:
    """For each decoder the errors in px, PCK, and the mean OKS."""
    image, xy, vis, area = test
    decoders, found = METHODS[settings.method].decoders, []
    with evaluating(net):
        for part in image.split(settings.batch):
            output = net(part / 255)
            found.append(torch.stack([decode(net, output) for decode in decoders.values()]))
    sigmas = torch.tensor(COCO_17.oks_sigmas)
    return {name: scores(places, xy, vis) | {"oks": round(oks(places, xy, vis, area, sigmas).mean().item(), 4)}
            for name, places in zip(decoders, torch.cat(found, 1), strict=True)}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Training


def train(settings: Settings, out: Path, team: Team, *, compile: bool = False, every: int = 1000,
          test: int = TEST_IMAGES) -> None:  # fmt: skip
    """Train, or go on where the checkpoint in the folder ``out`` ends.

    Args:
        settings: of the run; a checkpoint of others is refused.
        out: for checkpoint.safetensors, log.jsonl and, in the end, net.safetensors; all processes must see it.
        team: from :func:`team`.
        compile: by torch.compile.
        every: steps from one line of the log, and one checkpoint, to the next.
        test: how many people errors are measured on.

    Raises:
        ValueError: bad numbers; a checkpoint that is damaged, or of other settings; a loss that is no longer finite.
        KeyboardInterrupt: after Ctrl-C, once the step under way has ended and the checkpoint is written.
    """
    _args.whole("every", every, 1)
    _args.whole("test", test, 1)
    if settings.batch < team.count:
        _args.fail("batch", f"one image or more for each of {team.count} processes", settings.batch)
    net = make(settings).to(team.device).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr)
    record, whole = Record(settings, out, net, optimizer, team), shared(net, team)
    if compile:
        whole.compile()
    first = len(record.losses)
    with noted_interrupts() as interrupted, record.bar, closing(drawn(settings, team, first)) as batches:
        for step, (image, xy, vis) in enumerate(batches, first):
            counts = torch.stack(((vis > 0).sum(), _args.constant(len(interrupted), vis)))
            labeled, stop = summed(counts).tolist()  # of all
            if stop:
                if all(map(math.isfinite, record.losses)):
                    record.keep()
                raise KeyboardInterrupt(f"after {step} of {settings.steps} steps; the same command goes on from {out}")
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * one_cycle(step / settings.steps)
            loss = METHODS[settings.method].loss(whole, image, xy)
            part = torch.where(vis > 0, loss, 0).sum() / max(labeled, 1)  # of the mean: this process's
            optimizer.zero_grad()
            (team.count * part).backward()  # DistributedDataParallel divides by their number
            optimizer.step()
            record.add(summed(part.detach()))
            if len(record.losses) % every == 0 or len(record.losses) == settings.steps:
                record.report(every, test)
    record.end()


class Record:
    """What a run leaves behind: the loss of each step, the lines of its log, checkpoint and weights."""

    def __init__(self, settings: Settings, out: Path, net: nn.Module, optimizer: torch.optim.Optimizer, team: Team):
        self.settings, self.out, self.net, self.optimizer, self.team = settings, out, net, optimizer, team
        self.file, self.log = out / "checkpoint.safetensors", out / "log.jsonl"
        self.run = {"net": type(net).__name__} | asdict(settings)
        self.losses: list[Tensor | float] = []
        if self.file.exists():
            self.losses += resume(self.file, net, optimizer, self.run)
        done = len(self.losses)
        if summed(torch.tensor(done, device=team.device)) != team.count * done:
            _args.fail("out", "a folder that all processes see", out)
        self.rows = [row for row in entries(self.log) if row.get("step", done + 1) <= done]
        self.bar = tqdm(total=settings.steps, initial=done, unit="step", leave=False, disable=team.rank > 0 or None)
        self.since = time.perf_counter(), done

    def add(self, loss: Tensor) -> None:
        self.losses.append(loss)
        self.bar.update()

    def keep(self) -> None:
        """Write the checkpoint; the others wait for it."""
        if self.team.rank == 0:
            self.losses = [float(loss) for loss in self.losses]
            save_checkpoint(self.file, self.net, self.optimizer, self.run, self.losses)
        summed(torch.zeros(1, device=self.team.device))

    def report(self, every: int, test: int) -> None:
        """A line of the log, printed as well, then the checkpoint."""
        step, settings = len(self.losses), self.settings
        loss = statistics.fmean(map(float, self.losses[(step - 1) // every * every :]))
        if not math.isfinite(loss):
            raise ValueError(f"loss: {loss} at step {step} or before; try a lower lr in another --out. "
                             "The checkpoint before that stays")
        if self.team.rank == 0:
            speed = settings.batch * (step - self.since[1]) / (time.perf_counter() - self.since[0])
            errors = evaluate(self.net, settings, held_out(settings.hw, test, self.team.device))
            self.rows.append({"step": step, "loss": loss, "images_per_second": round(speed, 2), "errors": errors})
            _files.write(self.log, "".join(json.dumps(row) + "\n" for row in self.rows).encode())
            self.bar.write(told(self.rows[-1]))
        self.keep()
        self.since = time.perf_counter(), len(self.losses)

    def end(self) -> None:
        if self.team.rank == 0:
            path = self.out / "net.safetensors"
            device = torch.cuda.get_device_name(self.team.device) if self.team.device.type == "cuda" else "processor"
            note = {"command": "python -m posebook.training run", "device": device, "log": self.rows}
            save_weights(self.net.eval(), path, note=self.run | made() | note)
            print(f"{self.settings.steps} steps are done; the weights are in {path}")


def stored() -> tuple[nn.Module, dict]:
    """The net of chapter 1, section 1.14, in evaluation mode, and its note: settings, device, and the log's lines."""
    net = make(Settings("cross-entropy", size="64x64"))
    return net.eval(), load_weights(net, FILE)


def told(row: dict) -> str:
    """A line of the log as text: of the method's own decoder."""
    decoder, found = next(iter(row["errors"].items()))
    return (f"step {row['step']}: loss {row['loss']:.4f}, {row['images_per_second']:g} images a second; {decoder}: "
            f"mean {found['mean']:.2f} px, median {found['median']:.2f} px, PCK@0.05 {found['pck@0.05']:.3f}, "
            f"OKS {found['oks']:.3f}")  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Command line

HELP = {
    "size": "HEIGHTxWIDTH of the images in px, multiples of 16", "stride": "pixels per cell: 2, 4 or 8",
    "depth": "residual blocks at each stride on the way down", "width": "channels at stride 2, a multiple of 16",
    "steps": "how many in all", "batch": "images of a step, of all processes together",
    "lr": "highest learning rate of the cycle", "seed": "of first weights and people",
    "bf16": "the trunk's layers compute in bfloat16; heads, losses and coordinates stay float32",
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("method", help=", ".join(METHODS))
    for field in fields(Settings)[1:]:
        kind = {"action": "store_true"} if field.default is False else {"type": type(field.default)}
        left_out = "" if field.default is False else f"; {field.default} if left out"
        parser.add_argument(f"--{field.name}", default=field.default, help=HELP[field.name] + left_out, **kind)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER",
                        help="for checkpoint, log and weights; a run whose checkpoint it holds goes on")  # fmt: skip
    parser.add_argument("--device", default=devices()[-1], help="cpu, cuda or mps; the fastest there is if left out")
    parser.add_argument("--compile", action="store_true", help="by torch.compile: a slow start, then faster steps")
    for name, default, shown in (("every", 1000, "steps from one line of the log, and checkpoint, to the next"),
                                 ("test", TEST_IMAGES, "how many people errors are measured on")):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{shown}; {default} if left out")


def devices() -> list[str]:
    """The kinds that this machine has."""
    found = {"mps": torch.backends.mps.is_available(), "cuda": torch.cuda.is_available()}
    return ["cpu", *(kind for kind, there in found.items() if there)]


def main(options: argparse.Namespace) -> None:
    try:
        settings = Settings(**{field.name: getattr(options, field.name) for field in fields(Settings)})
        _args.one_of("device", options.device, tuple(devices()))
        with team(options.device) as us:
            train(settings, options.out, us, compile=options.compile, every=options.every, test=options.test)
    except (ValueError, OSError) as error:
        raise SystemExit(f"posebook.training run: {error}") from None
    except KeyboardInterrupt as stopped:
        if int(os.environ.get("RANK", 0)) == 0:
            print(stopped or "interrupted", file=sys.stderr)
        raise SystemExit(130) from None
