"""The experiments of chapter 4 and their stored results: ``python -m posebook.training robustness``.

Four of them, each in rows of one file; a row that is there is not made again, so that the command can be interrupted:

- "labels": chapter 1's cross-entropy net, trained where labels are missing or wrong.
- "presence": a head that says whether a keypoint is to be seen, trained with and without pictures of nobody.
- "corruptions": the representations of chapter 1 under :mod:`posebook.corruptions`.
- "sources": ensembles that know too little, and ensembles that see too little.

The nets of :mod:`posebook.training.variants` are stored too.
"""

import math
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from posebook import _args, decode, expectation
from posebook.corruptions import AMOUNTS, corrupt
from posebook.losses import unbiased_mask
from posebook.metrics import epe
from posebook.training import methods, table, variants
from posebook.training.data import Batch, Data, finite
from posebook.training.files import read_tensors, write_tensors
from posebook.training.loop import evaluating, train
from posebook.training.table import BATCH, FEWER, FOLDER, IMAGES, LR, SEEDS, TEST_IMAGES, TEST_SEED, Run, people
from posebook.uncertainty import ensemble_uncertainty, excess_variance

COMMAND = "python -m posebook.training robustness"
FLIP = 0.3  # share of the flags that are wrong
FEW = 256  # training pictures, where they are few
LABELS = ("all", "30 % at zero", "30 % masked", "half masked", "half flipped", "half corrected", "few masked",
          "few corrected")  # fmt: skip
SOURCES = ("clean", "few pictures", "noisy pictures")
GRAIN = 0.2  # standard deviation of the noise of noisy pictures
TRIED = 256  # test pictures under corruptions
KINDS = (*AMOUNTS, "covered")  # "covering" counts what the rectangle leaves to be seen, "covered" what it hides
NUMBERS = ("median", "p90", "claim", "rank")  # of a corruption; see measured
PRESENCE_STEPS = variants.VARIANTS["visibility"].steps


@dataclass(frozen=True)
class Task:
    experiment: str
    condition: str
    seed: int = 0

    @property
    def name(self) -> str:
        return f"{self.experiment}: {self.condition}, seed {self.seed}"


def experiments() -> dict[str, list[Task]]:
    """Each experiment's rows. Those of "sources" hold three nets each; labels of few pictures are tried once."""
    conditions = {"labels": LABELS, "presence": tuple(variants.NEGATIVES), "corruptions": tuple(methods.METHODS)}
    tasks = {name: [Task(name, c, seed) for seed in SEEDS for c in those] for name, those in conditions.items()}
    tasks["labels"] = [task for task in tasks["labels"] if task.seed == 0 or not task.condition.startswith("few")]
    return tasks | {"sources": [Task("sources", c) for c in SOURCES]}


# ---------------------------------------------------------------------------------------------------------------------
# Labels that are missing or wrong


def labels_data(condition: str, *, seed: int = 0) -> Data:
    """Chapter 1's training people with labels ``(B, K, 3)``: x and y, 0 where missing, and the weight of the loss.

    "half": 50 % are missing; "few": 50 % in 256 pictures. Which are missing depends on nothing. "at zero" believes that
    all are there, "masked" knows which are, "flipped" believes flags of which 30 % are wrong, "corrected" has the same
    flags and knows that share. Flags are drawn once for each keypoint of each picture.
    """
    _args.one_of("condition", condition, LABELS)
    image, xy, vis = (part[: FEW if condition.startswith("few") else IMAGES] for part in people(IMAGES))
    source = torch.Generator().manual_seed(11)
    draws = torch.rand(2, IMAGES, xy.shape[1], generator=source, dtype=torch.float32, device="cpu")
    uniform, wrong = draws[:, : len(xy)]
    missing = uniform < {"all": 0.0, "30": 0.3}.get(condition.split()[0], 0.5)
    weight = ~missing ^ (wrong < FLIP) if condition.split()[-1] in ("flipped", "corrected") else ~missing
    if condition.endswith("corrected"):
        weight = unbiased_mask(weight, flip=FLIP)
    if condition == "30 % at zero":
        weight = torch.ones_like(missing)
    labels = torch.cat((xy.masked_fill(missing[..., None], 0), weight[..., None].to(xy)), -1)
    return finite((image, labels, vis * (weight != 0)), batch=BATCH, seed=seed)


def weighted_cross_entropy(net: nn.Module, image: Tensor, labels: Tensor) -> Tensor:
    """:func:`posebook.training.methods.cross_entropy` times the weight that comes with each label."""
    return labels[..., 2] * methods.cross_entropy(net, image, labels[..., :2])


def _labels(task: Task) -> dict:
    if task.condition == "all":  # a row of chapter 1
        run = Run("cross-entropy", seed=task.seed, steps=FEWER)
        row = table.results()[run.name]
        return {"steps": FEWER, "errors": row["errors"], "loss": row["loss"]}
    net = methods.make_net("cross-entropy", seed=task.seed)
    data = labels_data(task.condition, seed=task.seed)
    losses = train(net, weighted_cross_entropy, data, steps=FEWER, lr=LR, progress=False)
    return {"steps": FEWER, "errors": table.errors(net, "cross-entropy", people(TEST_IMAGES, seed=TEST_SEED)),
            "loss": round(statistics.mean(losses[-20:]), 4)}  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# Is there anybody?


@lru_cache(maxsize=1)
def presence_tests() -> dict[str, tuple[Batch, Batch]]:
    """What is asked to its pictures with and without somebody in them, 256 each, of no training."""
    small, plain = {"size": (0.3, 0.45), "background": "clutter"}, {**table.PEOPLE, "background": "plain"}

    def asked(options: dict, without: Callable[..., Batch], other: dict) -> tuple[Batch, Batch]:
        return variants.anybody(256, seed=800_000, **options), without(256, seed=810_000, **other)

    return {"plain": asked(plain, variants.nobody, plain), "clutter": asked(small, variants.nobody, small),
            "scrambled": asked(table.PEOPLE, variants.scrambled, table.PEOPLE),
            "small or scrambled": asked(small, variants.scrambled, table.PEOPLE)}  # fmt: skip


def presence_scores(net: nn.Module, image: Tensor) -> dict[str, Tensor]:
    """Each ``(B, K)``, higher where the net is surer that there is something: what its output has to say."""
    with evaluating(net):
        output = net(image / 255 if image.dtype == torch.uint8 else image)
    logits, *seen = output if isinstance(output, tuple) else (output,)
    scores = {"peak": expectation.spatial_softmax(logits).amax((-2, -1)),
              "narrowness": -excess_variance(logits, methods.SIGMA["cross-entropy"])}  # fmt: skip
    return scores | ({"visibility": seen[0].sigmoid()} if seen else {})


def roc_area(positive: Tensor, negative: Tensor) -> float:
    """Probability that a positive ``(n,)`` scores higher than a negative ``(m,)``, ties counting half: AUC.

    >>> roc_area(torch.tensor([1., 3.]), torch.tensor([0., 1.]))    # (1 + 1/2 + 1 + 1) / 4
    0.875
    """
    both = positive[:, None] - negative
    return ((both > 0).double().mean() + (both == 0).double().mean() / 2).item()


def presence_areas(net: nn.Module) -> dict[str, dict[str, float]]:
    """For each test and each score, averaged over a picture's keypoints: the area under the ROC curve.

    "outside" and "hidden" are about keypoints: visible ones against those not in the picture, or behind something.
    """
    table = {}
    for name, (somebody, without) in presence_tests().items():
        with_, none = (presence_scores(net, batch[0]) for batch in (somebody, without))
        table[name] = {score: roc_area(with_[score].mean(1), none[score].mean(1)) for score in with_}
    image, _, vis = variants.anybody(256, seed=820_000, truncate=0.5, occluder=1.0)
    scores = presence_scores(net, image)
    for name, level in (("outside", 0), ("hidden", 1)):
        table[name] = {score: roc_area(value[vis == 2], value[vis == level]) for score, value in scores.items()}
    return {name: {score: round(area, 4) for score, area in row.items()} for name, row in table.items()}


def _presence(task: Task) -> dict:
    negatives = variants.NEGATIVES[task.condition]
    if task.seed == 0 and task.condition == "nobody, scrambled":
        net = variants.stored("visibility")
    else:
        net = variants.train_presence(negatives, seed=task.seed, steps=PRESENCE_STEPS)
    return {"steps": PRESENCE_STEPS, "areas": presence_areas(net), "errors": _map_errors(net)}


def _map_errors(net: nn.Module) -> float:
    """Median error in px of the soft-argmax on chapter 1's test people: what the new head costs."""
    image, xy, vis = people(TEST_IMAGES, seed=TEST_SEED)
    with evaluating(net):
        logits = net(image / 255)[0]
    return round(epe(net.grid.to_image(expectation.soft_argmax(logits)), xy)[vis == 2].median().item(), 4)


# ---------------------------------------------------------------------------------------------------------------------
# Representations under corruptions


def _of_map(sigma: float) -> Callable[[nn.Module, Tensor], Tensor]:
    """Standard deviation per axis in px: that of the softmax less that of the target, sigma cells."""
    def claim(net: nn.Module, logits: Tensor) -> Tensor:
        own = expectation.spread(logits)[1].diagonal(dim1=-2, dim2=-1).mean(-1) - sigma**2
        return net.grid.stride * own.clamp(min=0).sqrt()

    return claim


def _of_peak(net: nn.Module, maps: Tensor) -> Tensor:
    r"""A map that squared error trains is of peak :math:`\sigma^2 / (\sigma^2 + \nu^2)`, if it is unsure by nu."""
    sigma = methods.SIGMA["heatmap"]
    between = (decode.refine_dark(maps, blur=1.0) - decode.argmax(maps)).square().sum(-1)  # the best cell's to the top
    peak = (maps.amax((-2, -1)) * torch.exp(between / (2 * sigma**2))).clamp(1e-3, 1)
    return net.grid.stride * sigma * (1 / peak - 1).sqrt()


def _of_bins(net: nn.Module, logits: tuple[Tensor, Tensor]) -> Tensor:
    own = []
    for axis in logits:
        prob, at = axis.softmax(-1), torch.arange(axis.shape[-1], dtype=axis.dtype, device=axis.device)
        mean = (prob * at).sum(-1, keepdim=True)
        own.append((prob * (at - mean).square()).sum(-1) - methods.SIMCC_SIGMA**2)
    return ((own[0] + own[1]) / 2).clamp(min=0).sqrt() / net.ratio


def _of_heads(net: nn.Module, heads: tuple[Tensor, Tensor]) -> Tensor:
    """Half the distance of the two heads' answers, squared, is the variance per axis that they have together."""
    soft = net.grid.to_image(expectation.soft_argmax(heads[0]))
    return (heads[1] - soft).norm(dim=-1) / 2


CLAIMS = {"heatmap": _of_peak, "cross-entropy": _of_map(methods.SIGMA["cross-entropy"]), "integral": _of_map(0.0),
          "SimCC": _of_bins, "hybrid": _of_heads}  # (net, output) to px per axis; regression claims nothing


@lru_cache(maxsize=len(KINDS) * 5 + 1)
def worsened(kind: str, strength: int) -> Batch:
    """256 of chapter 1's test people under a corruption: image as bytes, xy, and bool where a keypoint counts.

    Those count that were visible and still are in the picture; of "covering" those beside the rectangle, of "covered"
    those beneath it.
    """
    image, xy, vis = (part[:TRIED] for part in people(TEST_IMAGES, seed=TEST_SEED))
    before = image / 255
    after, moved = corrupt(before, "covering" if kind == "covered" else kind, strength, xy=xy, seed=5)
    counts = (vis == 2) & ((moved > -0.5) & (moved < moved.new_tensor(table.HW[::-1]) - 0.5)).all(-1)
    if kind in ("covering", "covered"):
        x, y = moved.round().long().clamp(0, 63).unbind(-1)
        each = torch.arange(len(x))[:, None]
        beneath = (after != before).any(1)[each, y, x]
        counts = counts & (beneath if kind == "covered" else ~beneath)
    return (255 * after).round().byte(), moved, counts


def measured(net: nn.Module, method: str, batch: Batch) -> list[float | None]:
    """``NUMBERS`` of a net: median and 90th percentile of the error in px, the median error that it claims, and the
    rank correlation (Spearman) of claim and error over keypoints; None where it claims nothing.

    A claim of nu px on each axis is one of a median error of nu sqrt(2 ln 2), if the error is Gaussian.
    """
    image, xy, counts = batch
    with evaluating(net):
        output = net(image / 255)
        error = epe(next(iter(methods.METHODS[method].decoders.values()))(net, output), xy)[counts]
        claim = CLAIMS[method](net, output)[counts] if method in CLAIMS else None
    found = [error.median().item(), error.quantile(0.9).item(), None, None]
    if claim is not None:
        found[2:] = [math.sqrt(2 * math.log(2)) * claim.median().item(), spearman(claim, error)]
    return [None if value is None else round(value, 3) for value in found]


def spearman(first: Tensor, second: Tensor) -> float:
    """Correlation of the ranks of two ``(n,)``; equal values share their mean rank.

    >>> spearman(torch.tensor([1., 2., 3.]), torch.tensor([1., 100., 8.]))
    0.5
    """
    ranks = []
    for values in (first.double(), second.double()):
        _, place, count = values.unique(return_inverse=True, return_counts=True)
        ranks.append((count.cumsum(0) - (count - 1) / 2)[place])
    return round(torch.corrcoef(torch.stack(ranks))[0, 1].item(), 9)


def _corruptions(task: Task) -> dict:
    run = Run(task.condition, seed=task.seed)
    if task.seed == 0 and run.method in methods.STORED:
        net = methods.stored(run.method)
    else:
        net = methods.make_net(run.method, seed=run.seed)
        loss = methods.METHODS[run.method].loss
        train(net, loss, table.training_data(run), steps=run.steps, lr=LR, progress=False)
    if run.method == "cross-entropy":
        add_member(net, run.seed)
    return {"steps": run.steps, "clean": measured(net, run.method, worsened("noise", 0))} | {
        kind: [measured(net, run.method, worsened(kind, strength)) for strength in range(1, 6)] for kind in KINDS
    }


# ---------------------------------------------------------------------------------------------------------------------
# Several nets


WORLDS = {"as in training": {}, "covered": {"occluder": 1.0}, "from behind": {"yaw": (140.0, 220.0)},
          "upside down": {}}  # fmt: skip
MEMBER_IMAGES = 128


@lru_cache(maxsize=len(WORLDS))
def world(name: str) -> Batch:
    """128 pictures, of no training, on which the stored ensemble has answered: image as bytes, xy px, vis."""
    _args.one_of("name", name, tuple(WORLDS))
    if name == "upside down":
        return variants.turned(MEMBER_IMAGES, seed=830, degrees=180.0)
    return variants.anybody(MEMBER_IMAGES, seed=830_000, **table.PEOPLE | WORLDS[name])


def answers(net: nn.Module, image: Tensor) -> tuple[Tensor, Tensor]:
    """What a cross-entropy net finds, ``(B, K, 2)`` px, and the variance per axis that it claims, ``(B, K)`` px^2."""
    with evaluating(net):
        logits = net(image / 255 if image.dtype == torch.uint8 else image)
    own = net.grid.stride**2 * excess_variance(logits, methods.SIGMA["cross-entropy"]).clamp(min=0)
    return net.grid.to_image(expectation.soft_argmax(logits)), own


def add_member(net: nn.Module, seed: int, path: Path | None = None) -> None:
    """Store what one of three nets answers in each world."""
    path = path or FOLDER / "ensemble.safetensors"
    tensors = read_tensors(path)[0] if path.exists() else {}
    for name in WORLDS:
        found, variance = answers(net, world(name)[0])
        tensors |= {f"{name}.found.{seed}": found.half(), f"{name}.variance.{seed}": variance.half()}
    write_tensors(path, tensors, made())


def ensemble(name: str) -> tuple[Tensor, Tensor]:
    """What three nets, trained alike but for the seed, say of :func:`world`: ``(3, B, K, 2)`` px and ``(3, B, K)``."""
    _args.one_of("name", name, tuple(WORLDS))
    tensors = read_tensors(FOLDER / "ensemble.safetensors")[0]
    return tuple(torch.stack([tensors[f"{name}.{what}.{seed}"] for seed in SEEDS]).float()
                 for what in ("found", "variance"))  # fmt: skip


def _grainy(images: Batch, *, seed: int) -> Batch:
    """The pictures with noise that is drawn once, in training and in the test: what no net can know better."""
    draw, parts = torch.Generator().manual_seed(seed), []
    for part in images[0].split(256):
        noise = torch.randn(part.shape, generator=draw, dtype=torch.float32, device="cpu")
        parts.append((part + 255 * GRAIN * noise).clamp(0, 255).round().byte())
    return torch.cat(parts), *images[1:]


def _sources(task: Task) -> dict:
    """Three nets of one condition: medians over keypoints of what they say, in which they differ, and of the error."""
    images, test = people(IMAGES), tuple(part[:TRIED] for part in people(TEST_IMAGES, seed=TEST_SEED))
    if task.condition == "few pictures":
        images = tuple(part[:FEW] for part in images)
    if task.condition == "noisy pictures":
        images, test = _grainy(images, seed=21), _grainy(test, seed=22)
    found, variance = [], []
    for seed in SEEDS:
        net = methods.make_net("cross-entropy", seed=seed)
        data = finite(images, batch=BATCH, seed=seed)
        train(net, methods.cross_entropy, data, steps=FEWER, lr=LR, progress=False)
        xy, own = answers(net, test[0])
        found.append(xy)
        variance.append(own)
    seen, parts = test[2] == 2, ensemble_uncertainty(torch.stack(found), torch.stack(variance))
    aleatoric, epistemic = (part.diagonal(dim1=-2, dim2=-1).mean(-1)[seen] for part in parts[1:])
    square = torch.stack(found).sub(test[1]).square().mean((0, -1))[seen]  # per axis, of one net
    numbers = {"aleatoric": aleatoric, "epistemic": epistemic, "squared error": square}
    return {"steps": FEWER, "seeds": list(SEEDS)} | {
        name: {"median": round(value.median().item(), 4), "mean": round(value.mean().item(), 4)}
        for name, value in numbers.items()
    }


# ---------------------------------------------------------------------------------------------------------------------
# The file


def results(path: Path | None = None) -> dict[str, dict]:
    """Each stored row by its name; without a path those in posebook/data."""
    return table.results(path or FOLDER / "robustness.json")


PERFORM = {"labels": _labels, "presence": _presence, "corruptions": _corruptions, "sources": _sources}


def make(path: Path | None = None, *, only: tuple[str, ...] = ()) -> None:
    """Train the nets that are not stored and do each row that is missing; the file is written after each.

    Args:
        path: another file than the one in posebook/data; then only rows are made, no nets.
        only: experiments, or "nets"; all if empty.
    """
    tests, target = experiments(), path or FOLDER / "robustness.json"
    for name in only:
        _args.one_of("experiment", name, ("nets", *tests))
    if path is None and (not only or "nets" in only):
        for name in variants.VARIANTS:
            if not variants.path(name).exists():
                variants.save(name, variants.make(name), {"seed": 0, "steps": variants.VARIANTS[name].steps} | made())
                print(f"{name}: stored", file=sys.stderr, flush=True)
    tasks = [task for name, group in tests.items() if not only or name in only for task in group]
    for task in sorted(tasks, key=_order):
        if task.name not in results(target):
            row = asdict(task) | PERFORM[task.experiment](task) | {"made": made()}
            table.write_json(target, results(target) | {task.name: row})
            print(task.name, file=sys.stderr, flush=True)


def _order(task: Task) -> tuple:
    """Seed by seed, so that an early stop leaves whole comparisons."""
    return task.experiment == "sources", task.seed


def made() -> dict[str, str]:
    return table.made() | {"command": COMMAND}


def summary(experiment: str, number: Callable[[dict], float], *, rows: dict | None = None) -> Iterator[dict]:
    """For each condition of an experiment: n, mean over the seeds of a number of its rows, half a 95 % interval.

    The interval is Student's, of the mean over training runs; None for a single run.

    >>> next(summary("labels", lambda row: row["errors"]["soft-argmax"]["median"]))["condition"]
    'all'
    """
    rows, groups = results() if rows is None else rows, {}
    _args.one_of("experiment", experiment, tuple(experiments()))
    for task in experiments()[experiment]:
        if task.name in rows:
            groups.setdefault(task.condition, []).append(number(rows[task.name]))
    for condition, values in groups.items():
        yield {"condition": condition, **table.student(values)}


def under(kind: str, number: str = "median", *, rows: dict | None = None) -> dict[str, list[dict]]:
    """Method to six summaries, strengths 0 to 5, of one of ``NUMBERS``; a method that claims nothing is left out.

    Args:
        kind: one of ``KINDS``; of "covered" strength 0, where nothing is, is left out: five summaries.
        number: "median", "p90", "claim" or "rank".
        rows: of another file.
    """
    _args.one_of("kind", kind, KINDS)
    _args.one_of("number", number, NUMBERS)
    column, found = NUMBERS.index(number), {}
    for strength in range(1 if kind == "covered" else 0, 6):
        def pick(row: dict, strength: int = strength) -> float | None:
            return (row[kind][strength - 1] if strength else row["clean"])[column]

        for one in _claiming("corruptions", pick, rows):
            found.setdefault(one["condition"], []).append(one)
    return found


def _claiming(experiment: str, pick: Callable[[dict], float | None], rows: dict | None) -> Iterator[dict]:
    rows = results() if rows is None else rows
    return summary(experiment, pick, rows={name: row for name, row in rows.items()
                                           if row["experiment"] == experiment and pick(row) is not None})  # fmt: skip
