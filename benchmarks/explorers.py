"""Kernel cost of a move in each explorer: from a control's new value to the new HTML. Goal: a median of 5 ms.

A browser adds its own 30 ms or so to draw it.
"""

import importlib
import math
import time
from pathlib import Path

import torch

import posebook.explore
from posebook.explore._controls import Number, controls

NAMES = sorted(path.stem for path in Path(posebook.explore.__file__).parent.glob("[!_]*.py"))
MOVES = 200


def sweep(control) -> list:
    """As many values as there are moves, from one end of a control to the other, or around its options."""
    if not isinstance(control, Number):
        return [control.options[k % len(control.options)] for k in range(MOVES)]
    if control.log:
        return torch.logspace(math.log10(control.low), math.log10(control.high), MOVES).tolist()
    return torch.linspace(control.low, control.high, MOVES).tolist()


def cost(explorer, name: str, values: list) -> tuple[torch.Tensor, float]:
    """Milliseconds of each move of one control, the first few of which warm up, and the mean kilobytes of its HTML."""
    spent, size = [], 0
    for value in values:
        start = time.perf_counter()
        explorer.controls[name].value = value
        spent.append(1e3 * (time.perf_counter() - start))
        size += len(explorer.view.value) / 1e3
    return torch.tensor(spent[10:]), size / len(values)


def starts(module) -> list[dict]:
    """The start, and where there are strides the finest and the coarsest."""
    strides = getattr(module, "STRIDES", ())
    return [{}, *({"stride": stride} for stride in (strides[:1] + strides[-1:]))]


if __name__ == "__main__":
    print("explorer     control            median ms  p95 ms     kB  (goal: median 5 ms)")
    for title in NAMES:
        module = importlib.import_module(f"posebook.explore.{title}")
        for start in starts(module):
            for name, control in controls(module.State).items():
                spent, size = cost(module.explore(**start), name, sweep(control))
                where = " ".join((name, *(f"stride {s}" for s in start.values())))
                numbers = f"{spent.median():9.2f}  {spent.quantile(0.95):6.2f}  {size:5.1f}"
                print(f"{title:11}  {where:17}  {numbers}")
