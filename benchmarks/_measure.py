"""Contenders compared, then timed in turns, so that all of them meet the same machine."""

import random
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor


def interleave(contenders: dict[str, Callable[[], object]], rounds: int, calls: int = 3) -> dict[str, float]:
    """Time of each in ms. A round calls every contender some times in a row and keeps the fastest call.

    The order within a round is random and the result the median over rounds: page faults make times bimodal.
    """
    order, times = list(contenders), {name: [] for name in contenders}
    for turn in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            fastest = min(seconds(contenders[name]) for _ in range(calls))
            if turn:  # the first round warms up
                times[name].append(1e3 * fastest)
    return {name: median(values) for name, values in times.items()}


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def check(name: str, ours: Tensor, theirs: Tensor | np.ndarray, atol: float = 1e-4) -> bool:
    largest = (ours - torch.as_tensor(theirs)).abs().max().item()
    print(f"  {'equal' if largest <= atol else 'DIFFERS'}: {name}, {largest:.1e}")
    return largest <= atol


def compare(works: dict[str, tuple[Callable[[], object], dict]], rounds: int) -> None:
    """Print how posebook does against its peers, on one thread and on two.

    Args:
        works: for each work posebook's function, and peers: name to (function, ratio that it should have at least,
            None for no goal). "1x read" is no peer but a floor: posebook should take at most so many times as long.
        rounds: of :func:`interleave`.
    """
    for threads in (1, 2):
        torch.set_num_threads(threads)
        print(f"\n{threads} thread{'s' * (threads > 1)}, {rounds} rounds\n"
              f"{'work':24}{'posebook':>10}{'peer':>15}{'':10}{'ratio':>8}{'goal':>9}")
        for work, (ours, peers) in works.items():
            ms = interleave({"posebook": ours} | {peer: function for peer, (function, _) in peers.items()}, rounds)
            for peer, (_, goal) in peers.items():
                ratio = ms[peer] / ms["posebook"]
                wanted, met = (f">= {goal}x", ratio >= goal) if goal else ("none", None)
                if peer == "1x read":
                    ratio = 1 / ratio
                    wanted, met = f"<= {goal}x", ratio <= goal
                line(work, ms["posebook"], peer, ms[peer], ratio, wanted, met)


def line(work: str, ours: float, peer: str, theirs: float, ratio: float, goal: str, met: bool | None) -> None:
    verdict = {True: "met", False: "MISSED", None: ""}[met]
    print(f"{work:24}{ours:7.2f} ms{peer:>15}{theirs:7.2f} ms{ratio:7.1f}x{goal:>9}  {verdict}")
