"""Kernel cost of a move in each explorer: from a control's new value to the new HTML. Goal: a median of 5 ms.

A browser adds its own 30 ms or so to draw it.
"""

import time

import torch

from posebook.explore import asymmetry, decoding, epochs, target, temperature

MOVES = 300


def cost(explorer, name, values):
    """Milliseconds of each move of one control; the first few warm up."""
    spent = []
    for value in values:
        start = time.perf_counter()
        explorer.controls[name].value = value
        spent.append(1e3 * (time.perf_counter() - start))
    return torch.tensor(spent[10:])


if __name__ == "__main__":
    print("explorer  stride  map       median ms  p95 ms  (goal: median 5 ms)")
    for stride in decoding.STRIDES:
        spent = cost(decoding.explore(stride=stride), "tau", torch.linspace(0.02, 2, MOVES).tolist())
        h, w = (n // stride for n in decoding.HW)
        print(f"decoding  {stride:6}  {f'{w} x {h}':8}  {spent.median():9.2f}  {spent.quantile(0.95):6.2f}")
    print("explorer     control                  median ms  p95 ms")
    sweeps = {
        "tau": torch.logspace(-2, 0.5, MOVES),
        "sigma": torch.linspace(2, 3, MOVES),
        "noise": torch.linspace(0.1, 0.9, MOVES),
        "phase": torch.linspace(0, 0.5, MOVES),
        "mu": torch.logspace(-5, -3, MOVES),
    }
    sweeps |= {"x": torch.linspace(0, 63, MOVES), "step": torch.linspace(1, 500, MOVES)}
    cases = [(target, name, {"stride": stride}) for stride in target.STRIDES for name in ("sigma", "x")]
    cases += [(epochs, "step", {})]
    cases += [(temperature, name, {}) for name in ("tau", "sigma", "noise", "phase")]
    cases += [(asymmetry, name, {"fixed": fixed}) for fixed in asymmetry.FIXED for name in ("mu", "tau", "sigma")]
    for module, name, start in cases:
        spent = cost(module.explore(**start), name, sweeps[name].clamp(*getattr(module, name.upper())).tolist())
        title, control = module.__name__.rpartition(".")[2], " ".join((name, *map(str, start.values())))
        print(f"{title:11}  {control:23}  {spent.median():9.2f}  {spent.quantile(0.95):6.2f}")
