"""Kernel cost of a move in each explorer: from a control's new value to the new HTML. Goal: a median of 5 ms.

    python benchmarks/explorers.py [--quick]

A browser adds its own 30 ms or so to draw it. The row of an explorer is that of its slowest control.
"""

import importlib
import math
import time
from pathlib import Path

import torch
from _measure import main, row

import posebook.explore
from posebook.explore._controls import Number, controls

NAMES = sorted(path.stem for path in Path(posebook.explore.__file__).parent.glob("[!_]*.py"))


def sweep(control, moves: int) -> list:
    """As many values as there are moves, from one end of a control to the other, or around its options."""
    if not isinstance(control, Number):
        return [control.options[k % len(control.options)] for k in range(moves)]
    if control.log:
        return torch.logspace(math.log10(control.low), math.log10(control.high), moves).tolist()
    return torch.linspace(control.low, control.high, moves).tolist()


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


def slowest(title: str, start: dict, moves: int) -> dict:
    """The row of the control of an explorer whose moves cost most."""
    module, rows = importlib.import_module(f"posebook.explore.{title}"), []
    for name, control in controls(module.State).items():
        spent, size = cost(module.explore(**start), name, sweep(control, moves))
        where = " ".join((name, *(f"at stride {s}" for s in start.values())))
        print(f"{title:11}  {where:22}  {spent.median():9.2f}  {spent.quantile(0.95):6.2f}  {size:5.1f}", flush=True)
        note = f"p95 {spent.quantile(0.95):.1f} ms, {size:.0f} kB"
        rows.append(row(f"{title}, {where}", spent.median().item(), goal="<= 5", note=note))
    return max(rows, key=lambda found: found["ours"])


def measure(options) -> list[dict]:
    print("explorer     control                 median ms  p95 ms     kB  (goal: median 5 ms)")
    return [slowest(title, start, 20 if options.quick else 200) for title in NAMES
            for start in starts(importlib.import_module(f"posebook.explore.{title}"))]


if __name__ == "__main__":
    main(measure, __doc__)
