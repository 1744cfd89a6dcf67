"""dropout_moments: its reference, cases and known mistakes."""

from functools import partial
from itertools import product

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def dropout_moments(w, x, p):
    """Mean and variance of a sum whose terms are dropped, each on its own, with probability p."""
    terms = w * x
    mean = terms.sum(-1)  # what stays is divided by 1 - p, so that the mean is that without dropout
    variance = p / (1 - p) * terms.square().sum(-1)
    return mean, variance


def _by_matrices(w, x, p):
    return w @ x, w**2 @ x**2 * (p / (1 - p))


def _by_einsum(w, x, p):
    keep = 1 - p
    of_z = keep * p  # a coin's variance
    return torch.einsum("...i,i->...", w, x), of_z * torch.einsum("...i,i->...", (w / keep) ** 2, x**2)


def _term_by_term(w, x, p):
    """Each term is 0 or w x / (1 - p): its two moments from both values, and all of them added up."""
    mean, variance = torch.zeros_like(w[..., 0]), torch.zeros_like(w[..., 0])
    for i in range(len(x)):
        value = w[..., i] * x[i] / (1 - p)
        first = p * 0 + (1 - p) * value
        mean = mean + first
        variance = variance + p * first**2 + (1 - p) * (value - first) ** 2
    return mean, variance


def _by_numpy(w, x, p):
    terms = w.double().numpy() * x.double().numpy()
    moments = terms.sum(-1), (terms**2).sum(-1) * p / (1 - p)
    return tuple(torch.tensor(moment, dtype=w.dtype) for moment in moments)


def _by_all_masks(w, x, p):
    """All 2^n masks, where n is small enough."""
    n = len(x)
    if n > 10:
        raise MemoryError(f"2^{n} masks")
    masks = torch.tensor(list(product((0.0, 1.0), repeat=n)), dtype=w.dtype)
    chance = (p ** (1 - masks) * (1 - p) ** masks).prod(1)
    y = (w * x) @ masks.T / (1 - p)
    mean = y @ chance
    return mean, (y - mean[..., None]).square() @ chance


def _by_simulation(w, x, p, draws=20_000):
    rng = torch.Generator().manual_seed(0)
    z = (torch.rand(draws, len(x), generator=rng) >= p).to(w.dtype)
    y = (w * x) @ z.T / (1 - p)
    return y.mean(-1), y.var(-1)


FACTOR, SQUARES = "p / (1 - p)", "terms.square().sum(-1)"


def _mean(change):
    return changed(dropout_moments, result=lambda out, p: (change(out[0], p), out[1]))


def _variance(text):
    return edited(dropout_moments, {f"{FACTOR} * {SQUARES}": text})


def _draw(rng, *shape, n=8, p=None, dtype=torch.float32, scale=1.0):
    """Weights and inputs of both signs, so that means lie far from 0 and p from 1 - p."""
    w = scale * (0.4 + torch.randn(*shape, n, generator=rng, dtype=dtype))
    x = 0.7 + torch.randn(n, generator=rng, dtype=dtype)
    return w, x, uniform(rng, 0.15, 0.4) if p is None else p


def _twice(rng):
    w, x, p = _draw(rng, 3)
    return (w, x, p), (2 * w, x, p)


Near = partial(Case, atol=1e-5, rtol=1e-5)

COIN = See("dropout",
           "v = p / (1 - p) times 36.00 = 324.00 px²: what stays is divided by 1 - p, so v is far more than p (1 - p) "
           "times 36.00", p=0.9)
KEPT = See("dropout", "the more is dropped, the more answers vary, 324.00 px² at p = 0.9; move p to 0.1", p=0.9)
DRAWS = See("dropout", "a variance from 201 answers still has a standard deviation of 10 %", samples=201)

PROBLEM = Problem(
    name="dropout_moments", points=2, minutes=15,
    reference=dropout_moments,
    own=("posebook.theory.dropout_moments", "posebook.theory.dropout_covariance", "posebook.theory.robustness._terms"),
    cases=(
        Near("w = (1, 2), x = (3, 1), p = 0.5: 0, 6, 4 or 10, with mean 5 and variance 9 + 4 = 13",
             lambda rng: (torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0]), 0.5), fixed=True),
        Near("one output of 8 inputs", lambda rng: _draw(rng), weight=2),
        Near("5 outputs of 8 inputs", lambda rng: _draw(rng, 5), weight=2),
        Near("as many outputs as inputs", lambda rng: _draw(rng, 6, n=6)),
        Near("leading axes: w of shape (2, 3, 8)", lambda rng: _draw(rng, 2, 3)),
        Near("a single input", lambda rng: _draw(rng, 4, n=1)),
        Case("500 inputs", lambda rng: _draw(rng, 3, n=500), atol=2e-3, rtol=1e-5),
        Near("most inputs dropped, p from 0.7 to 0.9", lambda rng: _draw(rng, 3, p=uniform(rng, 0.7, 0.9))),
        Near("hardly any dropped, p from 0.005 to 0.02", lambda rng: _draw(rng, 3, p=uniform(rng, 0.005, 0.02))),
        Near("nothing dropped, p = 0: the variance is 0", lambda rng: _draw(rng, 3, p=0.0)),
        Near("weights twice as large: a mean twice, a variance four times as large", _twice,
             holds=lambda a, b: bool(torch.allclose(b[0], 2 * a[0], rtol=1e-4)
                                     and torch.allclose(b[1], 4 * a[1], rtol=1e-4))),
        Case("float64", lambda rng: _draw(rng, 4, n=50, dtype=torch.float64), atol=1e-10),
    ),
    mistakes=(
        Mistake("The mean shrinks by 1 - p: what stays is divided by 1 - p, and that makes up for what is dropped.",
                _mean(lambda mean, p: (1 - p) * mean)),
        Mistake("The mean is divided by 1 - p: only what stays is, and it stays with probability 1 - p.",
                _mean(lambda mean, p: mean / (1 - p))),
        Mistake("The variance is that of the coin, p (1 - p): what stays is divided by 1 - p, so its variance by the "
                "square of that.", edited(dropout_moments, {FACTOR: "p * (1 - p)"}), see=COIN),
        Mistake("What stays is not divided by 1 - p, neither in the mean nor in the variance.",
                changed(dropout_moments, result=lambda out, p: ((1 - p) * out[0], (1 - p) ** 2 * out[1])), see=COIN),
        Mistake("The variance of the coin is divided by 1 - p, where it takes its square.",
                edited(dropout_moments, {FACTOR: "p"}), see=COIN),
        Mistake("The variance of the coin, p (1 - p), is missing: only p is there.",
                edited(dropout_moments, {FACTOR: "p / (1 - p) ** 2"})),
        Mistake("The variance of the coin is left out: a coin of probability p varies by p (1 - p).",
                edited(dropout_moments, {FACTOR: "1 / (1 - p) ** 2"})),
        Mistake("This is the mean square in the variance's place, term by term: the square of each term's mean comes "
                "off.", edited(dropout_moments, {FACTOR: "1 / (1 - p)"})),
        Mistake("This is the mean square in the variance's place: the square of the mean comes off.",
                changed(dropout_moments, result=lambda out: (out[0], out[1] + out[0] ** 2))),
        Mistake("From the sum of the mean squares the square of the whole mean comes off: the terms' own means do.",
                edited(dropout_moments, {"p / (1 - p) * terms.square().sum(-1)": "terms.square().sum(-1) / (1 - p) - "
                                         "mean.square()"})),
        Mistake("p is taken for the probability to stay: it is that to be dropped.",
                edited(dropout_moments, {FACTOR: "(1 - p) / max(p, 1e-3)"}), see=KEPT),
        Mistake("The variance is p / (1 - p) times the square of the sum: the inputs are dropped each on its own, so "
                "it is the squares that are summed.", edited(dropout_moments, {SQUARES: "terms.sum(-1).square()"})),
        Mistake("The terms are not squared: variances go by squares.", edited(dropout_moments, {SQUARES: "mean"})),
        Mistake("The sizes of the terms are summed: variances go by squares.",
                edited(dropout_moments, {SQUARES: "terms.abs().sum(-1)"})),
        Mistake("Only the weights are squared: the whole term is w x, and so is its square.",
                edited(dropout_moments, {SQUARES: "(w**2 * x).sum(-1)"})),
        Mistake("Only the inputs are squared: the whole term is w x, and so is its square.",
                edited(dropout_moments, {SQUARES: "(w * x**2).sum(-1)"})),
        Mistake("The inputs are missing in the variance: a term is w x.",
                edited(dropout_moments, {SQUARES: "w.square().sum(-1)"})),
        Mistake("The weights are missing in the variance: a term is w x.",
                edited(dropout_moments, {SQUARES: "x.square().sum(-1).expand(mean.shape).clone()"})),
        Mistake("This is the standard deviation: the variance is its square.",
                changed(dropout_moments, result=lambda out: (out[0], out[1].sqrt()))),
        Mistake("The variance is that of a mean of n terms: y is their sum.",
                changed(dropout_moments, result=lambda out, x: (out[0], out[1] / len(x)))),
        Mistake("Mean and variance are those of a mean of n terms: y is their sum.",
                changed(dropout_moments, result=lambda out, x: (out[0] / len(x), out[1] / len(x) ** 2))),
        Mistake("Mean and variance are those of a mean of n terms: y is their sum.",
                changed(dropout_moments, result=lambda out, x: (out[0] / len(x), out[1] / len(x)))),
        Mistake("This is the spread between the terms: the variance of y is asked for, from one draw to the next.",
                _variance("terms.var(-1, correction=0)")),
        Mistake("Variance comes first in your result: want (mean, variance).",
                changed(dropout_moments, result=lambda out: out[::-1])),
        Mistake("Mean and variance are stacked into one tensor: return a tuple, `return mean, variance`.",
                changed(dropout_moments, result=lambda out: torch.stack(out))),
        Mistake("The sum runs over the outputs: it runs over the n inputs, the last axis of `w`.",
                edited(dropout_moments, {"terms.sum(-1)": "terms.sum(0)", SQUARES: "terms.square().sum(0)"})),
        Mistake("`w` is transposed: its last axis meets `x`.",
                changed(dropout_moments, w=lambda w: w.mT if w.ndim > 1 else w)),
        Mistake("The outputs are summed up as well: each has its mean and its variance.",
                edited(dropout_moments, {"sum(-1)": "sum()"})),
        Mistake("With p = 0 you divide 0 by 0: nothing is dropped then, and the variance is 0.",
                changed(dropout_moments, result=lambda out, p: (out[0], out[1] if p else out[1] / 0))),
        Mistake("All 2^n masks are tried: there are too many of them. What do you know of the variance of a sum?",
                _by_all_masks),
        Mistake("This is a simulation: a variance from 20000 draws is right to about a hundredth. What do you know "
                "of the variance of a sum?", _by_simulation, see=DRAWS),
        *(Mistake("You count on one number of axes: `w` may be (n,), (m, n) or more; `w * x` does not care.",
                  edited(dropout_moments, {"terms = w * x": f"{text}\n    terms = w * x"}))
          for text in ("m, n = w.shape", "n, = w.shape")),
        Mistake("A single output is returned as a number: keep it a tensor, without axes.",
                changed(dropout_moments, result=lambda out: tuple(o if o.ndim else o.item() for o in out))),
        Mistake("Part of it is computed in float32: the dtype of `w` is wanted all the way.",
                changed(dropout_moments, w=lambda w: w.float(), x=lambda x: x.float(),
                        result=lambda out, w: tuple(moment.to(w.dtype) for moment in out))),
        Mistake("The result is always float32. It should have the dtype of `w`.",
                changed(dropout_moments, result=lambda out: tuple(moment.float() for moment in out))),
    ),
    alternatives=(_by_matrices, _by_einsum, _term_by_term, _by_numpy),
    clauses={
        "with probability $1 - p$": "p is taken for the probability to stay",
        "z_i / (1 - p)": "What stays is not divided by 1 - p",
        "each on its own": "The variance is p / (1 - p) times the square of the sum",
        "(mean, variance)": "Variance comes first",
        "Mean and variance of": "This is the standard deviation",
        "one for each output": "The outputs are summed up",
        "A simulation is not exact enough": "This is a simulation",
        "up to 500": "All 2^n masks",
        "$0 \\le p < 1$": "With p = 0",
        "`...` stands for any number of leading axes, none included": "You count on one number of axes",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
