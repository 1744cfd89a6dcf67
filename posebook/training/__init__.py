"""One training loop for every network and loss, data by the step, and files that hold weights: safetensors, no pickle.

``train(net, loss, fresh(), steps=300)`` is all it takes. Data and learning rate depend on the number of the step alone,
so that an interrupted run, resumed, ends with the numbers of a run that never stopped. What a net is trained on is in
:mod:`posebook.training.methods`; ``python -m posebook.training table`` makes the stored results anew.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from posebook import _args
from posebook.losses import masked_mean
from posebook.people import People, draw_people

Batch = tuple[Tensor, Tensor, Tensor]  # image (B, 3, H, W), xy (B, K, 2) px, vis (B, K)
Data = Callable[[int], Batch]  # the number of a step, from 0, to its batch
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # net, image, xy to one value a keypoint (B, K)


def train(
    net: nn.Module, loss: Loss, data: Data, *, steps: int, lr: float = 3e-3, weight_decay: float = 0.01,
    checkpoint: str | Path | None = None, watch: Callable[[int, nn.Module], None] | None = None, progress: bool = True,
) -> list[float]:  # fmt: skip
    """Train the net in place, where it is: on a CPU or a GPU.

    Args:
        net: the network; its present weights are the start.
        loss: (net, image, xy) to one value for each keypoint ``(B, K)``; averaged over those with vis > 0.
        data: the number of a step to its batch: :func:`fresh` or :func:`finite`.
        steps: how many in all, >= 1.
        lr: the highest learning rate > 0, of the cycle :func:`one_cycle`.
        weight_decay: AdamW's, >= 0.
        checkpoint: a file. Ctrl-C ends the step under way, writes the file and raises KeyboardInterrupt; the same call
            then goes on from there. It is written at the end too: a run that is done is not done again.
        watch: called with the number of steps done and the net, in evaluation mode and without gradients.
        progress: show a line with loss and time left on standard error.

    Returns:
        The loss of each step.

    Raises:
        ValueError: bad numbers; a checkpoint that is cut short, or that another net or another run wrote.

    Source: AdamW, Loshchilov and Hutter 2019, arXiv:1711.05101; one cycle, Smith and Topin 2018, arXiv:1708.07120.
    """
    _args.at_least("steps", steps, 1)
    _args.positive("lr", lr)
    _args.at_least("weight_decay", weight_decay, 0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    run = {"net": type(net).__name__, "loss": getattr(loss, "__name__", type(loss).__name__), "steps": steps, "lr": lr,
           "weight_decay": weight_decay}  # fmt: skip
    losses = _resume(checkpoint, net, optimizer, run) if checkpoint and Path(checkpoint).exists() else []
    device, line = next(net.parameters()).device, _Line(steps, len(losses), progress)

    net.train()
    with _noted_interrupts() as interrupted:
        for step in range(len(losses), steps):
            for group in optimizer.param_groups:
                group["lr"] = lr * one_cycle(step / steps)
            image, xy, vis = (part.to(device) for part in data(step))
            value = masked_mean(loss(net, image, xy), vis > 0)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
            line.show(losses)
            if watch:
                with evaluating(net):
                    watch(step + 1, net)
            if interrupted:
                break
    net.eval()
    line.end()
    if checkpoint and (interrupted or len(losses) == steps):
        _save_checkpoint(checkpoint, net, optimizer, run, losses)
    if interrupted:
        where = f"; the same call goes on from {checkpoint}" if checkpoint else "; a checkpoint would have kept them"
        raise KeyboardInterrupt(f"after {len(losses)} of {steps} steps{where}")
    return losses


def one_cycle(share: float) -> float:
    """Learning rate at a share 0 to 1 of the run, over its highest: up in a straight line to 0.25, down by a cosine.

    >>> [round(one_cycle(share), 2) for share in (0, 0.25, 0.625, 1)]
    [0.04, 1.0, 0.5, 0.0]
    """
    if share < 0.25:
        return 0.04 + 0.96 * share / 0.25
    return 0.5 + 0.5 * math.cos(math.pi * (share - 0.25) / 0.75)


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients; then the mode that the net was in."""
    before = net.training
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        net.train(before)


# ---------------------------------------------------------------------------------------------------------------------
# Data


def fresh(*, batch: int = 64, seed: int = 0, **options) -> Data:
    """New people at every step, never seen twice; the same for the same seed and step.

    Args:
        batch: images a step.
        seed: whole number >= 0.
        options: of :func:`posebook.people.draw_people`.
    """
    return lambda step: alone(draw_people(batch, seed=1_000_000 * (seed + 1) + step, **options))


def finite(images: Batch, *, batch: int = 64, seed: int = 0) -> Data:
    """A fixed set of N images, in another order each time that it is used up.

    Args:
        images: image ``(N, 3, H, W)`` float or, to save memory, uint8; xy ``(N, K, 2)`` px, vis ``(N, K)``.
        batch: images a step; where N is no multiple of it, a batch reaches into the next order.
        seed: of the orders.
    """
    n = len(images[0])

    def order(epoch: int) -> Tensor:
        return torch.randperm(n, generator=torch.Generator().manual_seed(1_000_003 * seed + epoch))

    def data(step: int) -> Batch:
        first, last = step * batch, (step + 1) * batch - 1  # places in the orders, one after another
        orders = torch.cat([order(epoch) for epoch in range(first // n, last // n + 1)])
        chosen = orders[first % n :][:batch]
        image, xy, vis = (part[chosen] for part in images)
        return (image / 255 if image.dtype == torch.uint8 else image), xy, vis

    return data


def alone(people: People) -> Batch:
    """Images with one person each as a batch: image, xy and vis without the axis of persons."""
    if people.xy.shape[1] != 1:
        _args.fail("people", "one person an image", people.xy.shape[1])
    return people.image, people.xy[:, 0], people.vis[:, 0]


# ---------------------------------------------------------------------------------------------------------------------
# Files


def save_weights(net: nn.Module, path: str | Path, *, note: dict | None = None) -> None:
    """Write the net's weights at half precision, and a note (what JSON can hold) on how they were made."""
    half = {name: t.half() if t.is_floating_point() else t for name, t in net.state_dict().items()}
    write_tensors(path, half, {"net": type(net).__name__, "note": note or {}})


def load_weights(net: nn.Module, path: str | Path) -> dict:
    """Read weights into the net; returns the note.

    Raises:
        ValueError: a file that is cut short, or that holds another net's weights.
        FileNotFoundError: no such file.
    """
    tensors, about = read_tensors(path)
    _fit(path, net, tensors, about)
    net.load_state_dict(tensors)
    return about["note"]


def _save_checkpoint(path, net: nn.Module, optimizer: torch.optim.Optimizer, run: dict, losses: list[float]) -> None:
    tensors = {f"net.{name}": t for name, t in net.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": t for name, t in state.items()}
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    write_tensors(path, tensors, {"net": run["net"], "run": run})


def _resume(path, net: nn.Module, optimizer: torch.optim.Optimizer, run: dict) -> list[float]:
    tensors, about = read_tensors(path)
    weights = {name.removeprefix("net."): t for name, t in tensors.items() if name.startswith("net.")}
    _fit(path, net, weights, about)
    for name, value in run.items():
        if about.get("run", {}).get(name) != value:
            _args.fail("checkpoint", f"one of this run, {name} {value}", f"{about.get('run', {}).get(name)} in {path}")
    net.load_state_dict(weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name in tensors:
        if name.startswith("optimizer."):
            _, i, part = name.split(".")
            state.setdefault(int(i), {})[part] = tensors[name]
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return tensors["losses"].tolist()


def write_tensors(path: str | Path, tensors: dict[str, Tensor], about: dict) -> None:
    """All of the file or none of it: under another name first."""
    path = Path(path)
    data = save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, {"posebook": json.dumps(about)})
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short, or no safetensors file ({error}); delete it to start anew") from None
    return tensors, json.loads(about.get("posebook", "{}"))


def _fit(path: str | Path, net: nn.Module, tensors: dict[str, Tensor], about: dict) -> None:
    """The tensors are those of such a net: their names and shapes."""
    mine, theirs = ({name: tuple(t.shape) for name, t in all.items()} for all in (net.state_dict(), tensors))
    if mine != theirs:
        wrong = next(name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name))
        raise ValueError(f"{path}: holds the weights of {about.get('net', 'something else')}, not of this "
                         f"{type(net).__name__}: {wrong} is {theirs.get(wrong, 'missing')} there, "
                         f"{mine.get(wrong, 'missing')} here")  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# The reader at the keyboard


@contextmanager
def _noted_interrupts() -> Iterator[list]:
    """Ctrl-C is noted in the list, so that a step ends whole; a second one raises at once."""
    noted: list[int] = []

    def note(number, frame) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears signals
        yield noted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class _Line:
    """step 120/300, loss 3.21, 12 s, 18 s left"""

    def __init__(self, steps: int, done: int, shown: bool):
        self.steps, self.done, self.shown, self.start, self.last = steps, done, shown, time.monotonic(), 0.0

    def show(self, losses: list[float]) -> None:
        now, step = time.monotonic(), len(losses)
        if self.shown and now - self.last > 0.5:
            self.last, spent = now, now - self.start
            left = spent / (step - self.done) * (self.steps - step)
            text = f"step {step}/{self.steps}, loss {losses[-1]:.4g}, {spent:.0f} s, {left:.0f} s left"
            print(f"\r{text:60}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.last:
            print(f"\r{'':60}\r", end="", file=sys.stderr, flush=True)
