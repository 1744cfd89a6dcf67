"""Contenders compared, then timed in turns, so that all of them meet the same machine; what was found as plain rows."""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import random
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from types import ModuleType

import torch
from torch import Tensor

PACKAGES = ("torch", "numpy", "scipy", "kornia", "dsntnn", "munkres", "pycocotools", "faster-coco-eval", "nbgrader",
            "distributed", "ipywidgets", "matplotlib")


FLOORS = ("a read", "an exp", "a softmax", "an argmax", "its peaks", "its numbers packed", "a bare slider")
# of which posebook's work contains one: the ratio is how many times as long it takes
MADE: list[dict] = []  # every row so far: what is kept if a benchmark fails half way


def failure(error: Exception) -> str:
    """What a row says of it."""
    return f"fails: {type(error).__name__}: {str(error)[:150]}"


class NotInstalled(Exception):
    """A peer is missing: the text says which."""


class Absent:
    """Stands for a module that is missing; whoever uses it hears so."""

    def __init__(self, package: str):
        self.package = package

    def __getattr__(self, name: str):
        raise NotInstalled(f"{self.package} is not installed")


def optional(module: str) -> ModuleType | Absent:
    package = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != package:
            raise
        return Absent(package.replace("_", "-"))


def needs(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise NotInstalled(f"{module} is not installed")


def interleave(contenders: dict[str, Callable[[], object]], rounds: int, calls: int = 3) -> dict[str, list[float]]:
    """Times of each in ms, one a round. A round calls every contender some times in a row and keeps the fastest call.

    The order within a round is random. Take medians over rounds: page faults make times bimodal.
    """
    order, times = list(contenders), {name: [] for name in contenders}
    for turn in range(rounds + 1):
        random.shuffle(order)
        for name in order:
            fastest = min(seconds(contenders[name]) for _ in range(calls))
            if turn:  # the first round warms up
                times[name].append(1e3 * fastest)
    return times


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def check(name: str, ours: Tensor, theirs: Callable[[], object], atol: float = 1e-4) -> bool:
    """Whether both are equal; a peer that is missing does not differ."""
    try:
        largest = (ours - torch.as_tensor(theirs())).abs().max().item()
    except NotInstalled as missing:
        print(f"  not checked: {name}, {missing}")
        return True
    print(f"  {'equal' if largest <= atol else 'DIFFERS'}: {name}, {largest:.1e}")
    return largest <= atol


def row(work: str, ours: float | None = None, unit: str = "ms", *, peer: str = "", theirs: float | None = None,
        ratios: Iterable[float] = (), goal: str = "", note: str = "", **at: float) -> dict:
    """One line of the page.

    Args:
        work: what was measured.
        ours: posebook's figure, in ``unit``; None where nothing could be measured, and ``note`` says why.
        peer: its name; the version of the package that it begins with is added.
        ratios: of each round, how many times as good posebook is; for a floor, how many times as slow.
        goal: ">= 2" or "<= 5": of the ratios' median, or of ``ours`` where there are none.
        at: the axis along which this row is a point of a plot, and where, as ``batch=64``.
    """
    package, ratios = re.split(r"[^\w-]", peer)[0], sorted(ratios)
    ratio = [ratios[0], median(ratios), ratios[-1]] if ratios else None
    judged, met = ratio[1] if ratio else ours, None
    if goal and judged is not None:
        sign, bound = goal.split()
        met = bool(judged >= float(bound) if sign == ">=" else judged <= float(bound))
    MADE.append({"work": work, "ours": ours, "unit": unit, "peer": peer,
                 "version": version(package) if package in PACKAGES else "", "theirs": theirs, "ratio": ratio,
                 "goal": goal, "met": met, "note": note, "at": at})
    return MADE[-1]


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def compare(works: dict[str, tuple[Callable[[], object], dict]], rounds: int, calls: int = 3,
            **at: float) -> list[dict]:
    """Rows of how posebook does against its peers, printed as well.

    Args:
        works: for each work posebook's function, and peers: name to (function, goal as in :func:`row`, "" for none).
        rounds, calls: of :func:`interleave`.
        at: as in :func:`row`.
    """
    rows = []
    for work, (ours, peers) in works.items():
        contenders, missing = {"posebook": ours}, {}
        for peer, (function, _) in peers.items():
            try:
                function()
                contenders[peer] = function
            except NotInstalled as error:
                missing[peer] = str(error)
            except Exception as error:  # a peer that fails hides no other
                missing[peer] = failure(error)
        ms = interleave(contenders, rounds, calls)
        mine = median(ms["posebook"])
        for peer, (_, goal) in peers.items():
            if peer in missing:
                rows.append(row(work, mine, peer=peer, goal=goal, note=missing[peer], **at))
                rows[-1]["met"] = None
            else:
                pairs = zip(ms["posebook"], ms[peer], strict=True)
                ratios = [a / b if peer in FLOORS else b / a for a, b in pairs]
                rows.append(row(work, mine, peer=peer, theirs=median(ms[peer]), ratios=ratios, goal=goal, **at))
            print(line(rows[-1]), flush=True)
    return rows


def line(found: dict) -> str:
    """A row as text."""
    ours = "" if found["ours"] is None else f"{found['ours']:10.2f} {found['unit']}"
    theirs = "" if found["theirs"] is None else f"{found['theirs']:10.2f} {found['unit']}"
    low, mid, high = found["ratio"] or (0, 0, 0)
    ratio = f"{mid:7.2f}x ({low:.2f} to {high:.2f})" if found["ratio"] else ""
    verdict = {True: "met", False: "MISSED", None: ""}[found["met"]]
    parts = f"{found['work']:40}{ours:20}{found['peer']:>22}{theirs:20}{ratio:26}"
    return f"{parts}{found['goal']:>7} {verdict}{found['note']}"


def main(measure: Callable[[argparse.Namespace], list[dict]], doc: str, **options) -> None:
    """A benchmark's command line: what all have in common, and ``options`` with their defaults; writes its rows."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: times are rough")
    parser.add_argument("--threads", type=int, help="of torch; default: as torch chooses")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write the rows there, as JSON")
    for name, default in options.items():
        kind = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        parser.add_argument(f"--{name}", **kind)
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    rows = MADE
    try:
        rows = measure(chosen)
    except NotInstalled as missing:
        row("all", note=str(missing))
        print(missing)
    finally:
        if chosen.rows:
            chosen.rows.write_text(json.dumps(rows))
