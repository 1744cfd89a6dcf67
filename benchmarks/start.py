"""What posebook costs until it can be used: processor time, user and system, of new processes that import a module, run
a command or show a chapter's first explorer, beside that of one which imports torch alone.

In words: which packages the time goes to, by ``python -X importtime``, where torch is not nearly all of it.
"""

import argparse
import os
import pkgutil
import random
import re
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

from _measure import line, main, row

import posebook

TORCH, OWN = "torch alone", {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
ALMOST = ">= 0.9"  # of torch alone: nothing else that is slow to import
EMPTY = {"cli", "explore", "grading", "questions"}  # packages whose front holds nothing
EXPLORER = "from posebook.explore import decoding; decoding.explore()._repr_mimebundle_()"
QUICK = ("import posebook", "import posebook.decode", "posebook --help", "posebook progress", "explorer of section 2.8")


def works() -> dict[str, tuple[list[str], str]]:
    """Arguments of Python, and the goal as in :func:`_measure.row`."""
    names = sorted(each.name for each in pkgutil.iter_modules(posebook.__path__) if each.name not in EMPTY)
    slow = {"draw": "", "ask": "", "predictions": "", "quiz": "", "progress": ""}  # they draw, or hold widgets
    modules = {"posebook": ">= 20"} | {f"posebook.{name}": slow.get(name, ALMOST) for name in names if name[0] != "_"}
    commands = {"--help": ">= 5", "progress": "", "doctor": ""}
    return ({f"import {name}": (["-c", f"import {name}"], goal) for name, goal in modules.items()}
            | {f"posebook {name}": (["-m", "posebook.cli", name], goal) for name, goal in commands.items()}
            | {"explorer of section 2.8": (["-c", EXPLORER], "")})


def processor(arguments: list[str]) -> float:
    """Of a new Python, in ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], env=OWN, capture_output=True, text=True)
    if done.returncode not in ((0,) if arguments[0] == "-c" else (0, 1)):
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def most(arguments: list[str]) -> str:
    """The packages that take a twentieth of the time or more; nothing where torch takes nine tenths."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], env=OWN, capture_output=True, text=True)
    own = Counter()
    for time, module in re.findall(r"import time: +(\d+) \| +\d+ \| +(\w+)", done.stderr):
        own[module] += int(time)
    large = [f"{name} {time / own.total():.0%}" for name, time in own.most_common() if time > 0.05 * own.total()]
    return ", ".join(large) if large and not large[0].startswith("torch 9") else ""


def measure(options: argparse.Namespace) -> list[dict]:
    chosen = {name: each for name, each in works().items() if name in QUICK or not options.quick}
    contenders = {TORCH: ["-c", "import torch"]} | {name: arguments for name, (arguments, _) in chosen.items()}
    times = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        OWN["POSEBOOK_PROGRESS"] = str(Path(folder, "progress.jsonl"))
        for turn in range(3 if options.quick else 4):
            for name in random.sample(list(contenders), len(contenders)):
                ms = processor(contenders[name])
                if turn:  # the first round warms up
                    times[name].append(ms)
        alone = median(times[TORCH])
        rows = [row(name, median(times[name]), peer=TORCH, theirs=alone, goal=goal,
                    note=most(arguments) if median(times[name]) > alone / 2 else "",
                    ratios=[b / a for a, b in zip(times[name], times[TORCH], strict=True)])
                for name, (arguments, goal) in chosen.items()]
    print(*map(line, rows), sep="\n")
    return rows


if __name__ == "__main__":
    main(measure, __doc__)
