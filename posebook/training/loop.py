"""The training loop, which an interrupt does not harm."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import getclosurevars, signature
from pathlib import Path
from types import FunctionType, MethodType

import torch
from torch import Tensor, nn
from tqdm import tqdm

from posebook import _args
from posebook.losses import masked_mean
from posebook.training.data import Data
from posebook.training.files import resume, save_checkpoint

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # net, image, xy to one value per keypoint (B, K)


def train(
    net: nn.Module, loss: Loss, data: Data, *, steps: int, lr: float = 3e-3, weight_decay: float = 0.01,
    checkpoint: str | Path | None = None, watch: Callable[[int, nn.Module], None] | None = None, progress: bool = True,
) -> list[float]:  # fmt: skip
    """Train the net in place, where it is: on a CPU or a GPU.

    Args:
        net: the network; its present weights are the start.
        loss: (net, image, xy) to one value per keypoint ``(B, K)``; averaged over those with vis > 0.
        data: the number of a step to its batch: :func:`fresh` or :func:`finite`.
        steps: how many in all, a whole number >= 1.
        lr: the highest learning rate > 0, of the cycle :func:`one_cycle`.
        weight_decay: AdamW's, >= 0.
        checkpoint: a file. Ctrl-C ends the step under way, writes the file and raises KeyboardInterrupt; the same call
            then goes on from there. It is written at the end too: a run that is done is not done again. The file knows
            the net's type, the loss with its weights, ``steps``, ``lr`` and ``weight_decay``; keep the data as it was.
        watch: called with the number of steps done and the net, in evaluation mode and without gradients.
        progress: show a bar with the loss and the time left on standard error.

    Returns:
        The loss of each step.

    Raises:
        ValueError: bad numbers; a checkpoint that is cut short, or that another net or another run wrote.

    Source: AdamW, Loshchilov and Hutter 2019, arXiv:1711.05101; one cycle, Smith and Topin 2019, arXiv:1708.07120.
    """
    _args.whole("steps", steps, 1)
    _args.positive("lr", lr)
    _args.at_least("weight_decay", weight_decay, 0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    run = {"net": type(net).__name__, "loss": _described(loss), "steps": steps, "lr": lr, "weight_decay": weight_decay}
    losses = resume(checkpoint, net, optimizer, run) if checkpoint and Path(checkpoint).exists() else []
    device = next(net.parameters()).device
    bar = tqdm(total=steps, initial=len(losses), unit="step", disable=not progress, leave=False)

    net.train()
    with bar, noted_interrupts() as interrupted:
        for step in range(len(losses), steps):
            for group in optimizer.param_groups:
                group["lr"] = lr * one_cycle(step / steps)
            image, xy, vis = (part.to(device) for part in data(step))
            value = masked_mean(loss(net, image, xy), vis > 0)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            losses.append(value.item())
            bar.set_postfix(loss=f"{losses[-1]:.4g}", refresh=False)
            bar.update()
            if watch:
                with evaluating(net):
                    watch(step + 1, net)
            if interrupted:
                break
    net.eval()
    if checkpoint and (interrupted or len(losses) == steps):
        save_checkpoint(checkpoint, net, optimizer, run, losses)
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


def _described(loss: Loss) -> str:
    """A loss by its name and the values that it brings along, such as a partial's: with others it is another loss."""
    if isinstance(loss, partial):
        fixed = dict(enumerate(loss.args)) | loss.keywords
        return f"{_described(loss.func)}({_listed(fixed)})"
    if isinstance(loss, MethodType):
        return f"{_described(loss.__func__)} of {_described(loss.__self__)}"
    if not isinstance(loss, FunctionType):
        return type(loss).__name__ if type(loss).__repr__ is object.__repr__ else repr(loss)
    defaults = {name: p.default for name, p in signature(loss).parameters.items() if p.default is not p.empty}
    return f"{loss.__name__}({_listed(defaults | getclosurevars(loss).nonlocals)})"


def _listed(values: dict) -> str:
    shown = {name: _described(value) if callable(value) else repr(value) for name, value in values.items()}
    return ", ".join(f"{name}={shown[name]}" for name in shown)


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


@contextmanager
def noted_interrupts() -> Iterator[list]:
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
