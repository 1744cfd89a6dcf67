"""conformal_radius: its reference, cases and known mistakes."""

import math
from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def conformal_radius(residuals, alpha):
    """Radius that a new residual exceeds with a chance of at most alpha: a plain number."""
    n = len(residuals)
    rank = math.ceil((n + 1) * (1 - alpha))
    if rank > n:
        return math.inf
    return residuals.sort().values[rank - 1].item()


def _by_kthvalue(residuals, alpha):
    n = residuals.numel()
    k = int(np.ceil((1 - alpha) * (n + 1)))
    return float(residuals.kthvalue(k).values) if k <= n else float("inf")


def _with_infinity(residuals, alpha):
    """The new one may be the largest of n + 1: put infinity among them."""
    values = sorted([*residuals.tolist(), math.inf])
    return values[math.ceil(len(values) * (1 - alpha)) - 1]


def _from_the_top(residuals, alpha):
    """As many as floor((n + 1) alpha) of the n + 1 may lie beyond."""
    beyond = math.floor((len(residuals) + 1) * alpha)
    if beyond == 0:
        return float("inf")
    return residuals.topk(beyond).values[-1].item()


def _by_counting(residuals, alpha):
    """The smallest residual that enough of them do not exceed."""
    need = (len(residuals) + 1) * (1 - alpha)
    enough = [r for r in residuals.tolist() if (residuals <= r).sum().item() >= need]
    return min(enough, default=math.inf)


def _by_numpy(residuals, alpha):
    values, n = np.sort(residuals.numpy()), len(residuals)
    rank = -int(-((n + 1) * (1 - alpha)) // 1)
    return values[rank - 1].item() if rank <= n else np.inf


RANK, TOO_MANY, PICK = (
    "math.ceil((n + 1) * (1 - alpha))", "if rank > n:\n        return math.inf\n    ",
    "residuals.sort().values[rank - 1].item()")


def _rank(text):
    return edited(conformal_radius, {RANK: text})


def _always(text):
    """Another number in the residual's place, infinity included."""
    return edited(conformal_radius, {TOO_MANY: "", PICK: text})


def _residuals(rng, n, dtype=torch.float32):
    """Distances in px, all different by more than a tenth of the mean gap, in no order."""
    gaps = 0.3 + torch.rand(n, generator=rng, dtype=dtype)
    return (gaps.cumsum(0) * 12 / n)[torch.randperm(n, generator=rng)]


def _draw(rng, n, low, high, *, lower=True, dtype=torch.float32):
    """An alpha of which (n + 1)(1 - alpha) is no whole number, and nearer to the one below it.

    With n in place of n + 1 the rank is one lower, or the same: as ``lower`` says.
    """
    while True:
        alpha = uniform(rng, low, high)
        rank = (n + 1) * (1 - alpha)
        other = n * (1 - alpha)
        if 0.1 < rank % 1 < 0.45 and 0.05 < other % 1 < 0.95 and (math.ceil(other) < math.ceil(rank)) == lower:
            return _residuals(rng, n, dtype), alpha


def _whole(rng):
    """Alpha an eighth or a quarter, and (n + 1)(1 - alpha) whole."""
    alpha = 2.0 ** -int(torch.randint(2, 4, (), generator=rng))
    n = 8 * int(torch.randint(2, 6, (), generator=rng)) - 1
    return _residuals(rng, n), alpha


def _largest(rng):
    """The rank is n: alpha a little above 1 / (n + 1)."""
    n = int(torch.randint(8, 30, (), generator=rng))
    return _residuals(rng, n), uniform(rng, 1.2, 1.6) / (n + 1)


def _largest_whole(rng):
    """The rank is n exactly."""
    n = 2 ** int(torch.randint(3, 6, (), generator=rng)) - 1
    return _residuals(rng, n), 1 / (n + 1)


def _too_few(rng):
    n = int(torch.randint(3, 30, (), generator=rng))
    return _residuals(rng, n), uniform(rng, 0.3, 0.9) / (n + 1)


def _smallest(rng):
    n = int(torch.randint(5, 12, (), generator=rng))
    return _residuals(rng, n), 1 - uniform(rng, 0.3, 0.8) / (n + 1)


def _ties(rng):
    """24 residuals of five values, of which one is 0."""
    values = torch.tensor([0.0] * 4 + [0.5] * 8 + [1.25] * 8 + [2.0] * 2 + [3.0] * 2)
    order = torch.randperm(24, generator=rng)
    return (0.5 + uniform(rng, 0, 1)) * values[order], uniform(rng, 0.205, 0.235)  # the 20th, a 1.25


def _falling(rng):
    residuals, alpha = _draw(rng, 20, 0.1, 0.3)
    return residuals.sort(descending=True).values, alpha


def _twice(rng):
    residuals, alpha = _draw(rng, 25, 0.1, 0.4)
    return (residuals, alpha), (2 * residuals, alpha)


Near = partial(Case, atol=1e-6, rtol=1e-5)

INFINITE = See("conformal",
               "of 10 pictures there is no rank 11: the circles are infinite, and the promise holds", n=10, alpha=0.09)
LAST = See("conformal", "rank 10 of 10 is the largest residual, 1.83 px, and no infinite circle yet", n=10)
ROUNDED_UP = See("conformal", "rank 91 of 100: n + 1 counts, and the product is rounded up")
NEAREST = See("conformal",
              "11 times 0.91 is a little more than 10: the rank is 11, which 10 pictures do not have", n=10, alpha=0.09)
WHOLE = See("conformal", "rank 90 of 99: 100 times 0.9 is a whole number, and stays", n=99)
ALPHA = See("conformal",
            "circles that may fail 1 % of the time have 21.29 px; move alpha to 0.3, and they shrink", alpha=0.01)

PROBLEM = Problem(
    name="conformal_radius", points=2, minutes=15,
    reference=conformal_radius,
    own=("posebook.uncertainty.conformal_radius",),
    cases=(
        Near("residuals 4, 1, 3, 2 and alpha 0.25: 5 * 0.75 = 3.75, so the 4th smallest, 4",
             lambda rng: (torch.tensor([4.0, 1.0, 3.0, 2.0]), 0.25), fixed=True),
        Near("20 residuals, alpha from 0.1 to 0.3", lambda rng: _draw(rng, 20, 0.1, 0.3), weight=2),
        Near("200 residuals, alpha from 0.05 to 0.2", lambda rng: _draw(rng, 200, 0.05, 0.2), weight=2),
        Near("residuals in falling order", _falling),
        Near("half of them may lie beyond, alpha from 0.4 to 0.6", lambda rng: _draw(rng, 30, 0.4, 0.6)),
        Near("most may lie beyond, alpha from 0.7 to 0.9", lambda rng: _draw(rng, 30, 0.7, 0.9, lower=False)),
        Near("nearly all may lie beyond: the smallest", _smallest),
        Near("(n + 1)(1 - alpha) is a whole number", _whole, weight=2),
        Near("the largest residual is just enough", _largest),
        Near("the largest residual, and (n + 1)(1 - alpha) is n exactly", _largest_whole),
        Near("too few residuals for so small an alpha: infinity", _too_few, weight=2, fixed=True),
        Near("one residual, alpha 0.6: it is enough",
             lambda rng: (torch.rand(1, generator=rng), 0.6)),
        Near("one residual, alpha 0.3: infinity", lambda rng: (torch.rand(1, generator=rng), 0.3), fixed=True),
        Near("many are equal, and some are 0", _ties),
        Near("residuals twice as large: a radius twice as large", _twice,
             holds=lambda a, b: abs(b - 2 * a) < 1e-3 * b),
        Near("float64", lambda rng: _draw(rng, 40, 0.1, 0.3, dtype=torch.float64)),
    ),
    mistakes=(
        Mistake("n is taken for n + 1: the new residual is one of n + 1, and each place among them is as likely.",
                _rank("max(1, math.ceil(n * (1 - alpha)))"), see=ROUNDED_UP),
        Mistake("The rank is rounded down: then fewer than 1 - alpha lie within. Round up.",
                edited(conformal_radius, {"math.ceil": "math.floor", "[rank - 1]": "[max(rank, 1) - 1]"}),
                see=ROUNDED_UP),
        Mistake("The rank is rounded to the nearest: round up, or less than 1 - alpha may lie within.",
                edited(conformal_radius, {"math.ceil": "round", "[rank - 1]": "[max(rank, 1) - 1]"}), see=NEAREST),
        Mistake("The rank is one too high where (n + 1)(1 - alpha) is a whole number: rounded up, that stays as it is.",
                _rank("int((n + 1) * (1 - alpha)) + 1"), see=WHOLE),
        Mistake("The list is counted from 0: the first smallest has the index 0. This is one place too far.",
                edited(conformal_radius, {"rank > n": "rank >= n", "[rank - 1]": "[rank]"})),
        Mistake("One place too far, but for the largest: the list counts from 0, and so does a quantile of the level "
                "rank / n, of which `higher` is the next one.",
                edited(conformal_radius, {"[rank - 1]": "[min(rank, n - 1)]"})),
        Mistake("The list is counted from 0: the first smallest has the index 0. This is one place too far, and at the "
                "end of the list it raises.", edited(conformal_radius, {"[rank - 1]": "[rank]"})),
        Mistake("One place too low: the rank counts from 1.",
                edited(conformal_radius, {"[rank - 1]": "[max(rank - 2, 0)]"})),
        Mistake("The largest residual stands for infinity: with too few residuals no radius is large enough.",
                edited(conformal_radius, {TOO_MANY: "rank = min(rank, n)\n    "}), see=INFINITE),
        Mistake("Where there are too few residuals an index is out of range: the result is infinity then.",
                edited(conformal_radius, {TOO_MANY: ""}), see=INFINITE),
        Mistake("Where there are too few residuals an index is out of range: the result is infinity then.",
                _always("residuals.kthvalue(rank).values.item()"), see=INFINITE),
        Mistake("Where there are too few residuals NaN comes back: it is infinity then.",
                edited(conformal_radius, {"return math.inf": "return math.nan"}), see=INFINITE),
        Mistake("Where there are too few residuals None comes back: it is infinity then.",
                edited(conformal_radius, {"return math.inf": "return None"}), see=INFINITE),
        Mistake("Infinity comes one residual too early: the n-th smallest is the largest, and there is one.",
                edited(conformal_radius, {"rank > n": "rank >= n"}), see=LAST),
        Mistake("The residuals are not sorted.", edited(conformal_radius, {"residuals.sort().values": "residuals"})),
        Mistake("The residuals are sorted from the largest on: it is the rank-th smallest.",
                edited(conformal_radius, {"sort()": "sort(descending=True)"})),
        Mistake("`alpha` is taken for the share that lies within: it is the share that may lie beyond.",
                _rank("math.ceil((n + 1) * alpha)"), see=ALPHA),
        Mistake("`alpha` is halved, as for an interval with two ends: a circle has one.",
                changed(conformal_radius, alpha=lambda alpha: alpha / 2)),
        Mistake("This is the quantile 1 - alpha, interpolated between two residuals: want the one of the rank, and it "
                "counts n + 1.", _always("residuals.quantile(1 - alpha).item()")),
        Mistake("This is a quantile, interpolated between two residuals: want the one of the rank.",
                _always("residuals.quantile(min(1.0, rank / n)).item() if rank <= n else math.inf")),
        Mistake("One place too far, but for the largest: the list counts from 0, and so does a quantile of the level "
                "rank / n, of which `higher` is the next one.",
                _always("residuals.quantile(min(1.0, rank / n), interpolation=\"higher\").item() if rank <= n else "
                        "math.inf")),
        Mistake("This is the higher neighbor of the quantile 1 - alpha: want the one of the rank, which counts n + 1.",
                _always("residuals.quantile(1 - alpha, interpolation=\"higher\").item()")),
        Mistake("The residuals are taken for normal, mean + z sd: nothing is assumed of them here.",
                _always("(residuals.mean() + residuals.std(correction=0) * 2**0.5 * torch.erfinv("
                        "torch.tensor(1 - 2 * alpha))).item()")),
        Mistake("The residuals are taken for the lengths of Gaussian errors: nothing is assumed of them here.",
                _always("(residuals.square().mean() * -math.log(alpha)).sqrt().item()")),
        Mistake("This is the mean of the residuals within: want the largest of them, the rank-th smallest.",
                edited(conformal_radius, {PICK: "residuals.sort().values[:rank].mean().item()"})),
        Mistake("This is the share 1 - alpha of the largest residual: want the rank-th smallest.",
                _always("((1 - alpha) * residuals.max()).item()")),
        Mistake("This is the rank: want the residual that has it.",
                edited(conformal_radius, {PICK: "float(rank)"})),
        Mistake("Equal residuals are counted once: each of them has its place.",
                edited(conformal_radius, {"residuals.sort().values[rank - 1]": "(u := residuals.unique())[min(rank, "
                                          "len(u)) - 1]"})),
        Mistake("Residuals of 0 are left out: they are the best ones, and count.",
                changed(conformal_radius, residuals=lambda residuals: residuals[residuals > 0])),
        Mistake("The residuals are squared: the radius is a distance.",
                changed(conformal_radius, residuals=lambda residuals: residuals**2)),
        Mistake("alpha is always 0.1: use `alpha`.", changed(conformal_radius, alpha=0.1), see=ALPHA),
        Mistake("The result is rounded to whole px: keep the fraction.",
                changed(conformal_radius, result=lambda out: out if math.isinf(out) else float(round(out)))),
        Mistake("The result is a tensor: a plain Python number is asked for, `.item()` makes one.",
                changed(conformal_radius, result=lambda out: torch.tensor(out))),
        Mistake("The result is a tensor, but for infinity: a plain Python number is asked for, `.item()` makes one.",
                changed(conformal_radius, result=lambda out: out if math.isinf(out) else torch.tensor(out))),
    ),
    alternatives=(_by_kthvalue, _with_infinity, _from_the_top, _by_counting, _by_numpy),
    clauses={
        "(n + 1)": "n is taken for n + 1",
        "\\lceil": "The rank is rounded down",
        "-th smallest": "The residuals are sorted from the largest on",
        "whole number, and that is not rounded up": "The rank is one too high",
        "infinity where there are fewer": "The largest residual stands for infinity",
        "in no order": "The residuals are not sorted",
        "Some may be equal": "Equal residuals are counted once",
        "or 0": "Residuals of 0 are left out",
        "a plain Python number": "The result is a tensor: a plain",
    },
)
