"""The experiments of chapter 1 and their stored results: ``python -m posebook.training table``.

Every run trains one network on people of ``PEOPLE`` and measures all decoders of its output on the same test people,
over their visible keypoints. A run that is already in the table is not repeated, so that the command can be
interrupted. What a chapter says of a comparison is what the runs of several seeds say: :func:`summary`.
"""

import json
import math
import platform
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import torch
from torch import Tensor, nn

from posebook import _args, _files
from posebook.expectation import spatial_softmax
from posebook.metrics import epe, pck
from posebook.people import render, sample_scene
from posebook.training.data import Batch, Data, alone, finite
from posebook.training.files import read_tensors, save_weights, write_tensors
from posebook.training.loop import Loss, evaluating, train
from posebook.training.methods import METHODS, SIGMA, STORED, make_net, predict

HW, BATCH, LR = (64, 64), 32, 5e-3
PEOPLE = {"truncate": 0.0, "occluder": 0.0, "yaw": (-60.0, 60.0), "size": (0.75, 0.95)}  # of draw_people
IMAGES, STEPS, FEWER, SEEDS = 8192, 500, 250, (0, 1, 2)
TEST_SEED, TEST_IMAGES, CURVE_IMAGES = 900_000, 1024, 256
FOLDER = Path(str(files("posebook") / "data"))
EPOCHS = (0, 5, 10, 20, 30, 45, 60, 80, 100, 130, 160, 200, 240, 300, 360, 430, 500)  # steps that the explorer scrubs
EPOCH_IMAGE = 13  # among the test images
SHIFTS = (0, 4, 8, 12, 16)  # px
WIDTHS = (0.5, 1.0, 2.0)  # cells, of the targets: for each loss on maps the same


@dataclass(frozen=True)
class Run:
    """One training run: what is left out is as in the fair comparison."""

    method: str
    seed: int = 0
    steps: int = STEPS
    images: int = IMAGES
    stride: int = 4
    sigma: float | None = None  # cells, of the Gaussian target; None: the method's own
    noise: float = 0.0  # px: standard deviation of the training labels' error on each axis
    centered: bool = False  # all training people in the middle of the image
    agreement: float = 1.0  # weight of the hybrid's third term

    @property
    def name(self) -> str:
        left = {name: value for name, value in asdict(self).items() if value != getattr(Run, name, None)}
        return " ".join(f"{name}={value}" for name, value in left.items())


def experiments() -> dict[str, list[Run]]:
    """The comparisons, each with all its runs; a run may belong to several."""
    pair, tests = ("regression", "cross-entropy"), {}
    tests["representations"] = [Run(m) for m in METHODS]
    tests["quick"] = [Run(m, steps=60, images=512) for m in pair]
    tests["budget"] = [Run(m, steps=n) for m in pair for n in (125, FEWER, STEPS)]
    tests["data"] = [Run(m, steps=FEWER, images=n) for m in pair for n in (256, 2048, IMAGES)]
    tests["translation"] = [Run(m, steps=FEWER, images=2048, centered=c) for m in pair for c in (True, False)]
    tests["stride"] = [Run("cross-entropy", steps=FEWER, stride=s) for s in (2, 4, 8)]
    tests["width"] = [Run(m, sigma=None if s == SIGMA[m] else s) for m in SIGMA for s in WIDTHS]
    tests["agreement"] = [Run("hybrid", agreement=w) for w in (0.0, 1.0)]
    tests["noise"] = [Run("cross-entropy", steps=FEWER, noise=n, sigma=s) for n in (0.0, 3.0) for s in (None, 1.0, 2.0)]
    seeds = dict.fromkeys(tests, SEEDS) | {"quick": SEEDS[:1], "noise": SEEDS[:2]}
    return {name: [replace(run, seed=s) for s in seeds[name] for run in runs] for name, runs in tests.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Data


@lru_cache(maxsize=8)
def people(count: int, *, seed: int = 0, centered: bool = False, shift: float = 0.0) -> Batch:
    """Images as bytes, xy, vis; the first n of a larger count are those of a smaller one."""
    parts = []
    for first in range(0, count, 256):
        scene = sample_scene(min(256, count - first), HW, seed=seed + first // 256, **PEOPLE)
        parts.append(_centered(scene, shift) if centered else render(scene, HW))
    image, xy, vis = (torch.cat(part) for part in zip(*map(alone, parts), strict=True))
    return (255 * image).round().byte(), xy, vis


def _centered(scene, shift: float):
    """Each person's keypoints about the middle of the image, then ``shift`` px aside: to the right, to the left ..."""
    low, high = scene.xy[:, 0].amin(1), scene.xy[:, 0].amax(1)  # (B, 2)
    aside = shift * low.new_tensor([[1.0, 0.0], [-1.0, 0.0]]).repeat(len(low) // 2 + 1, 1)[: len(low)]
    move = low.new_tensor([HW[1], HW[0]]) / 2 - 0.5 - (low + high) / 2 + aside
    phase = scene.wave[..., 2] - (scene.wave[..., :2] * move[:, None]).sum(-1)
    moved = replace(scene, start=scene.start + move[:, None], end=scene.end + move[:, None],
                    xy=scene.xy + move[:, None, None], wave=torch.cat((scene.wave[..., :2], phase[..., None]), -1))
    return render(moved, HW)  # fmt: skip


def training_data(run: Run) -> Data:
    image, xy, vis = (part[: run.images] for part in people(_rounded(run), centered=run.centered))
    draw = torch.Generator().manual_seed(7)  # of the labels' error, once and for all
    error = torch.randn(xy.shape, generator=draw, dtype=xy.dtype, device="cpu")
    return finite((image, xy + run.noise * error, vis), batch=BATCH, seed=run.seed)


def _rounded(run: Run) -> int:
    """So few sets are drawn: the whole, or what the smaller ones share."""
    return next(count for count in (512, 2048, IMAGES) if count >= run.images)


# ---------------------------------------------------------------------------------------------------------------------
# One run


def perform(run: Run, *, watch=None) -> tuple[nn.Module, dict]:
    """Train, measure: the net, and the numbers that the table holds."""
    net, data, curve = make_net(run.method, seed=run.seed, stride=run.stride), training_data(run), []
    image, xy, vis = (part[:CURVE_IMAGES] for part in people(TEST_IMAGES, seed=TEST_SEED))

    def look(step: int, net: nn.Module) -> None:
        if step % 50 == 0:
            found = predict(net, run.method, image / 255)
            curve.append([step, round(epe(found, xy)[vis == 2].median().item(), 4)])
        if watch:
            watch(step, net)

    if watch:
        with evaluating(net):
            watch(0, net)
    losses = train(net, _loss(run), data, steps=run.steps, lr=LR, watch=look, progress=False)
    result = {"errors": errors(net, run.method, people(TEST_IMAGES, seed=TEST_SEED)), "curve": curve,
              "loss": round(statistics.mean(losses[-20:]), 5)}  # fmt: skip
    if run.images == 2048:
        result["shifts"] = [
            [shift, errors(net, run.method, people(512, seed=TEST_SEED + 50, centered=True, shift=float(shift)))]
            for shift in SHIFTS
        ]
    return net, result


def _loss(run: Run) -> Loss:
    loss, options = METHODS[run.method].loss, {}
    if run.sigma is not None:
        options["sigma"] = run.sigma
    if run.method == "hybrid":
        options["weight"] = run.agreement
    return partial(loss, **options)


def errors(net: nn.Module, method: str, images: Batch) -> dict[str, dict[str, float]]:
    """For each decoder what :func:`scores` says of it."""
    image, xy, vis = images
    with evaluating(net):
        output = net(image / 255)
    return {name: scores(decode(net, output), xy, vis) for name, decode in METHODS[method].decoders.items()}


def scores(found: Tensor, xy: Tensor, vis: Tensor) -> dict[str, float]:
    """Median, mean and 90th percentile of the error in px over visible keypoints, and PCK."""
    seen, side = vis == 2, (xy.amax(1) - xy.amin(1)).amax(-1, keepdim=True)  # the larger side of the keypoints' box
    error = epe(found, xy)[seen]
    numbers = {"median": error.median(), "mean": error.mean(), "p90": error.quantile(0.9),
               "pck@0.05": pck(found, xy, seen, threshold=0.05 * side)}  # fmt: skip
    return {name: round(value.item(), 4) for name, value in numbers.items()}


# ---------------------------------------------------------------------------------------------------------------------
# The table


def results(path: Path | None = None) -> dict[str, dict]:
    """Each stored run's name to its numbers; without a path those in posebook/data."""
    path = path or FOLDER / "representations.json"
    return json.loads(path.read_text()) if path.exists() else {}


def make(path: Path | None = None, *, only: tuple[str, ...] = ()) -> None:
    """Do each run that is missing and write the table after each, seed by seed: an early stop leaves whole rows.

    Two such processes may work at once on different experiments.
    """
    tests = experiments()
    for name in only:
        _args.one_of("experiment", name, tuple(tests))
    target = path or FOLDER / "representations.json"
    for run in sorted({run for name, group in tests.items() if not only or name in only for run in group}, key=_order):
        if run.name in results(target):
            continue
        stores = path is None and run == Run(run.method) and run.method in STORED
        epochs = Epochs(run.method) if stores and run.method in Epochs.METHODS else None
        net, result = perform(run, watch=epochs)
        write_json(target, results(target) | {run.name: asdict(run) | result | {"made": made()}})
        if stores:
            save_weights(net, FOLDER / f"{run.method.lower()}.safetensors", note=asdict(run) | made())
        if epochs:
            epochs.write()
        print(f"{run.name}: {result['errors']}", file=sys.stderr, flush=True)


def _order(run: Run) -> tuple:
    """Seed by seed; within one, runs that share a training set side by side."""
    return run.seed, run.centered, -_rounded(run), run.name


def made() -> dict[str, str]:
    return {"command": "python -m posebook.training table", "posebook": version("posebook"), "torch": torch.__version__,
            "python": platform.python_version()}  # fmt: skip


def write_json(path: Path, table: dict) -> None:
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(table.items()))
    _files.write(path, f"{{\n{rows}\n}}\n".encode())


def summary(experiment: str, *, number: str = "median", table: dict | None = None) -> Iterator[dict]:
    """Rows of an experiment over its seeds: the run without its seed, decoder, n, mean, and half a 95 % interval.

    The interval is Student's, of the mean over training runs: it holds what seeds change, not what test people do.
    """
    table = results() if table is None else table
    groups: dict[Run, list[dict]] = {}
    for run in experiments()[experiment]:
        if run.name in table:
            groups.setdefault(replace(run, seed=0), []).append(table[run.name]["errors"])
    for run, found in groups.items():
        for decoder in found[0]:
            yield {"run": run, "decoder": decoder, **student([errors[decoder][number] for errors in found])}


def student(values: list[float]) -> dict[str, float | None]:
    """n, mean, and half of Student's 95 % interval of the mean; None where n is 1."""
    n, half = len(values), None
    if n > 1:
        half = _STUDENT[n] * statistics.stdev(values) / math.sqrt(n)
    return {"n": n, "mean": statistics.mean(values), "half": half}


_STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 0.975 quantiles, n - 1 degrees of freedom


# ---------------------------------------------------------------------------------------------------------------------
# Training as it went, for the explorer that scrubs through it


class Epochs:
    """Predictions on one test image while a run trains: hand it to :func:`perform` as ``watch``, then write."""

    METHODS = ("regression", "cross-entropy")

    def __init__(self, method: str):
        self.method, self.image, self.found, self.maps = method, people(TEST_IMAGES, seed=TEST_SEED), [], []

    def __call__(self, step: int, net: nn.Module) -> None:
        if step in EPOCHS:
            image = self.image[0][EPOCH_IMAGE : EPOCH_IMAGE + 1] / 255
            self.found.append(predict(net, self.method, image)[0])
            if self.method == "cross-entropy":
                self.maps.append(spatial_softmax(net(image)[0]))

    def write(self, path: Path | None = None) -> None:
        image, xy, vis = (part[EPOCH_IMAGE] for part in self.image)
        tensors = {"steps": torch.tensor(EPOCHS), "image": image, "xy": xy, "vis": vis}
        tensors["found"] = torch.stack(self.found)
        if self.maps:
            tensors["prob"] = torch.stack(self.maps).half()
        write_tensors(path or FOLDER / f"epochs-{self.method}.safetensors", tensors, made())


def epochs(method: str) -> dict[str, Tensor]:
    """What was stored of the run of ``method``, "regression" or "cross-entropy".

    Returns:
        steps ``(T,)``; the test image ``(3, 64, 64)`` uint8 with xy ``(17, 2)`` px and vis ``(17,)``; found
        ``(T, 17, 2)`` px after so many steps; for "cross-entropy" also prob ``(T, 17, 16, 16)``, each of sum 1.
    """
    _args.one_of("method", method, Epochs.METHODS)
    return read_tensors(FOLDER / f"epochs-{method}.safetensors")[0]
