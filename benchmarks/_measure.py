"""Contenders timed in turns, so that all of them meet the same machine."""

import random
import time
from collections.abc import Callable
from statistics import median


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
