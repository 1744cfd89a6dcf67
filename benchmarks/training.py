"""How well a network finds keypoints after a minute, drawing its people included. Goal: a median under 1.5 px in 60 s.

    python benchmarks/training.py [--steps 500]

Whole people who face the viewer within 60 degrees (posebook.training.table.PEOPLE), 64 x 64 px, cross-entropy loss
at stride 4, soft-argmax. Errors over visible keypoints of 1024 test people. The last row repeats 40 of the steps beside
four processes that do nothing but count. Goal: at most 3 times as long as without them.
"""

import argparse
import multiprocessing
import time

import posebook  # noqa: F401 (before torch, whose threads heed the environment that this sets)

# isort: split
import torch

from posebook.training import finite, train
from posebook.training.methods import METHODS, make_net
from posebook.training.table import BATCH, IMAGES, LR, TEST_IMAGES, TEST_SEED, errors, people

BUSY, FEW = 4, 40


def count() -> None:
    while True:
        pass


def seconds(images) -> float:
    """How long a few steps take."""
    start = time.perf_counter()
    train(make_net("cross-entropy"), METHODS["cross-entropy"].loss, finite(images, batch=BATCH), steps=FEW, lr=LR,
          progress=False)  # fmt: skip
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=500)
    steps = parser.parse_args().steps
    test = people(TEST_IMAGES, seed=TEST_SEED)
    start, busy = time.perf_counter(), time.process_time()
    images = people(IMAGES)
    drawn = time.process_time() - busy
    net = make_net("cross-entropy")
    train(net, METHODS["cross-entropy"].loss, finite(images, batch=BATCH), steps=steps, lr=LR)
    spent, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{IMAGES} people drawn, {steps} steps of {BATCH}: {spent:.0f} s, of processor {busy:.0f} s on "
          f"{torch.get_num_threads()} threads (drawing {drawn:.0f} s)")
    for decoder, numbers in errors(net, "cross-entropy", test).items():
        print(f"{decoder:12} median {numbers['median']:.2f} px, mean {numbers['mean']:.2f} px")
    idle = seconds(images)
    others = [multiprocessing.get_context("spawn").Process(target=count, daemon=True) for _ in range(BUSY)]
    for other in others:
        other.start()
    time.sleep(5)  # until all of them count
    busy = seconds(images)
    for other in others:
        other.kill()
    print(f"{FEW} steps: {idle:.1f} s, beside four busy processes {busy:.1f} s: {busy / idle:.1f} times")
