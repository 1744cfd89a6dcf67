"""How well a network finds keypoints after a minute, drawing its people included. Goal: a median under 1.5 px in 60 s.

    python benchmarks/training.py [--quick] [--threads N] [--steps 500]

Whole people who face the viewer within 60 degrees (posebook.training.table.PEOPLE), 64 x 64 px, cross-entropy loss
at stride 4, soft-argmax. Errors over visible keypoints of 1024 test people. Then 40 of the steps
are repeated beside four processes that do nothing but count. Goal: at most 3 times as long as without them. Last comes
``python -m posebook.training run cross-entropy``, 256 x 192 px, drawing included: on a CUDA device, if there is one, in
bfloat16, 64 images a step, as it is and compiled; else on the processor, 4.
"""

import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import posebook  # noqa: F401 (before torch, whose threads heed the environment that this sets)

# isort: split
import torch
from _measure import failure, line, main, row

from posebook.training import finite, train
from posebook.training.methods import METHODS, make_net
from posebook.training.scale import Settings, Team
from posebook.training.scale import train as train_at_scale
from posebook.training.table import BATCH, IMAGES, LR, TEST_IMAGES, TEST_SEED, errors, people

BUSY, FEW = 4, 40


def count() -> None:
    while True:
        pass


def seconds(images, steps: int) -> float:
    start = time.perf_counter()
    train(make_net("cross-entropy"), METHODS["cross-entropy"].loss, finite(images, batch=BATCH), steps=steps, lr=LR,
          progress=False)  # fmt: skip
    return time.perf_counter() - start


def slowed(images, steps: int) -> float:
    """How many times as long steps take beside busy processes."""
    idle = seconds(images, steps)
    others = [multiprocessing.get_context("spawn").Process(target=count, daemon=True) for _ in range(BUSY)]
    for other in others:
        other.start()
    time.sleep(5)  # until all of them count
    busy = seconds(images, steps)
    for other in others:
        other.kill()
    return busy / idle


def speed(quick: bool) -> list[dict]:
    """As it is and, on a card, compiled; what a compiler that is missing says is a row as well."""
    rows = [images_per_second(quick, compile=False)]
    if torch.cuda.is_available():
        try:
            rows.append(images_per_second(quick, compile=True))
        except Exception as error:
            rows.append(row("training by torch.compile", note=failure(error)))
    return rows


def images_per_second(quick: bool, *, compile: bool) -> dict:
    """Of the second half of a run; the first warms up."""
    cuda = torch.cuda.is_available()
    half = (100 if cuda else 2) // (2 if quick else 1)
    settings = Settings("cross-entropy", steps=2 * half, batch=64 if cuda else 4, bf16=cuda)
    team = Team(0, 1, torch.device("cuda" if cuda else "cpu"))
    with tempfile.TemporaryDirectory() as folder:
        train_at_scale(settings, Path(folder), team, compile=compile, every=half, test=1)
        last = json.loads((Path(folder) / "log.jsonl").read_text().splitlines()[-1])
    where = torch.cuda.get_device_name() if cuda else "the processor"
    how = ", compiled" if compile else ""
    name = f"training at 256 x 192 px, {settings.batch} a step, on {where}{how}"
    return row(name, last["images_per_second"], "images/s")


def measure(options) -> list[dict]:
    steps, count = (40, IMAGES // 8) if options.quick else (options.steps, IMAGES)
    whole = steps >= 500
    test = people(TEST_IMAGES, seed=TEST_SEED)
    start, busy = time.perf_counter(), time.process_time()
    images = people(count)
    drawn = time.process_time() - busy
    net = make_net("cross-entropy")
    train(net, METHODS["cross-entropy"].loss, finite(images, batch=BATCH), steps=steps, lr=LR, progress=False)
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{count} people drawn, {steps} steps of {BATCH}: {spent:.0f} s, of processor {busy:.0f} s on "
          f"{torch.get_num_threads()} threads (drawing {drawn:.0f} s)")
    what = f"{count} people drawn, {steps} steps of {BATCH}"
    rows = [row(what, spent, "s", goal="<= 60" if whole else "", note="" if whole else "quick: not judged")]
    for decoder, numbers in errors(net, "cross-entropy", test).items():
        goal = "<= 1.5" if whole and decoder == "soft-argmax" else ""
        rows.append(row(f"median error after {steps} steps, {decoder}", numbers["median"], "px", goal=goal))
    few = FEW // 4 if options.quick else FEW
    share = max(1, (BUSY + torch.get_num_threads()) / (os.cpu_count() or 1))
    rows.append(row(f"{few} steps beside {BUSY} busy processes", slowed(images, few), "times as long",
                    goal="<= 3" if whole else "", note=f"a fair share of the processors makes it {share:.3g}"))
    rows += speed(options.quick)
    print(*map(line, rows), sep="\n")
    return rows


if __name__ == "__main__":
    main(measure, __doc__, steps=500)
