"""Contenders timed in turns: all of them meet the same machine. Medians: page faults make times bimodal."""

import random
import time
from collections.abc import Callable
from statistics import median


def interleave(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median time of each in ms over so many rounds; a round runs every one of them once, in random order."""
    order, times = list(contenders), {name: [] for name in contenders}
    for turn in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            start = time.perf_counter()
            contenders[name]()
            if turn:  # the first round warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: median(values) for name, values in times.items()}
