"""entropy_cov: its reference, cases and known mistakes."""

import math

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def entropy_cov(logits, tau=1.0):
    """Entropy (nats) and covariance (cells squared; x, y) of a spatial softmax."""
    h, w = logits.shape[-2:]
    log_prob = torch.log_softmax(logits.flatten(-2) / tau, dim=-1)  # finite, unlike softmax().log()
    prob = log_prob.exp()
    entropy = -(prob * log_prob).sum(-1)
    cells = torch.stack((torch.arange(w).repeat(h), torch.arange(h).repeat_interleave(w)), -1)
    cells = cells.to(logits.dtype)  # (H*W, 2)
    apart = cells - (prob[..., None] * cells).sum(-2, keepdim=True)  # (..., H*W, 2)
    return entropy, (prob[..., None] * apart).transpose(-1, -2) @ apart


def _prob(logits, tau):
    return torch.softmax(logits.flatten(-2) / tau, -1).unflatten(-1, logits.shape[-2:])


def _second_minus_first(logits, tau=1.0):
    h, w = logits.shape[-2:]
    prob = _prob(logits, tau)
    x, y = torch.arange(w, dtype=logits.dtype), torch.arange(h, dtype=logits.dtype)[:, None]
    mean = [(prob * v).sum((-2, -1)) for v in (x, y)]
    rows = [torch.stack([(prob * a * b).sum((-2, -1)) - ma * mb for b, mb in zip((x, y), mean, strict=True)], -1)
            for a, ma in zip((x, y), mean, strict=True)]
    return torch.special.entr(prob).sum((-2, -1)), torch.stack(rows, -2)


def _one_map_at_a_time(logits, tau=1.0):
    h, w = logits.shape[-2:]
    out = []
    for one in logits.reshape(-1, h, w):
        p = _prob(one, tau).flatten()
        cells = torch.cartesian_prod(torch.arange(h), torch.arange(w)).flip(-1).to(logits.dtype)
        out.append((-(p[p > 0] * p[p > 0].log()).sum(), torch.cov(cells.T, aweights=p, correction=0)))
    entropy, covariance = (torch.stack(values) for values in zip(*out, strict=True))
    return entropy.reshape(logits.shape[:-2]), covariance.reshape(*logits.shape[:-2], 2, 2)


def _tilted(rng, *batch):
    """A correlated Gaussian's logits, wide enough for the map not to cut it."""
    y, x = torch.arange(21.0, dtype=torch.float64)[:, None], torch.arange(25.0, dtype=torch.float64)
    a, b, c = uniform(rng, 0.3, 0.5), uniform(rng, 0.15, 0.25), uniform(rng, 0.05, 0.12)
    scale = 1 + torch.rand(*batch, 1, 1, generator=rng, dtype=torch.float64)
    return -scale * (a * (x - 12) ** 2 + b * (y - 10) ** 2 + 2 * c * (x - 12) * (y - 10)) / 2


def _pair(rng):
    logits = 2 * torch.randn(4, 5, generator=rng, dtype=torch.float64)
    return (logits, 1.0), (logits + 300, 1.0)


def _many(rng):
    """One high cell, and ten thousand that share a thousandth: each is small, their part of the entropy is not."""
    logits = -15 - 2 * torch.rand(100, 100, generator=rng, dtype=torch.float64)
    logits[40, 60] = 0.0
    return logits, 1.0


def _nearly_all(rng):
    """Two cells, one of which has nearly all: the other's probability is 5e-13 or so."""
    return torch.tensor([[0.0, -uniform(rng, 28, 28.5)]], dtype=torch.float64), 1.0


def _tie(rng):
    logits = torch.full((6, 7), -5000.0)
    row, apart = (int(torch.randint(1, 5, (), generator=rng)) for _ in range(2))
    logits[row, 1], logits[row, 1 + apart] = 0.0, uniform(rng, -1, 1)
    return logits, 1.0


UNDERFLOW = See("temperature", "nearly every probability has become 0, and the entropy is 0.00 nats, no NaN", tau=0.002)
NEVER = See("temperature", "the Gaussian formula says -1.99 nats, the entropy is 0.00: it is never below 0", tau=0.002)
TAU = See("temperature",
          "at tau 0.1 the entropy is 1.92 nats; move tau to 10, which is 1 / 0.1, and the map is nearly flat", tau=0.1)
NO_TAU = See("temperature", "move tau: entropy, 4.22 nats, and spread, 2.00 cells, both follow", tau=1.0)

PROBLEM = Problem(
    name="entropy_cov", points=3, minutes=20,
    reference=entropy_cov,
    own=("posebook.expectation.spread", "posebook.losses.cross_entropy_loss"),
    cases=(
        Case("a flat map of 4 x 5 cells: ln 20, and diag(2, 1.25)", lambda rng: (torch.zeros(4, 5), 1.0), fixed=True),
        Case("a tilted Gaussian, float64", lambda rng: (_tilted(rng), 1.0), atol=1e-8),
        Case("a tilted Gaussian at tau = 0.8", lambda rng: (_tilted(rng), 0.8)),
        Case("leading axes stay: 2 x 3 maps give (2, 3) and (2, 3, 2, 2)", lambda rng: (_tilted(rng, 2, 3), 1.5)),
        Case("two cells of a row share it all: no spread in y, and no NaN from the others", _tie, weight=2),
        Case("one cell has it all: entropy 0 and no spread", lambda rng: (1000 * torch.eye(1, 30).reshape(5, 6), 0.5),
             weight=2, fixed=True),
        Case("ten thousand cells and float64: small probabilities count", _many, atol=1e-8),
        Case("two cells, float64: one has nearly all, and both results are tiny", _nearly_all, atol=1e-15, rtol=1e-3),
        Case("a constant changes nothing", _pair, holds=lambda a, b: bool(torch.allclose(a[0], b[0], atol=1e-6))),
    ),
    mistakes=(
        Mistake("0 times the logarithm of 0 is NaN where a probability underflows. `torch.log_softmax` stays finite, "
                "and `torch.special.entr` knows the limit.",
                edited(entropy_cov, {"torch.log_softmax(logits.flatten(-2) / tau, dim=-1)":
                                     "torch.softmax(logits.flatten(-2) / tau, dim=-1).log()"}), see=UNDERFLOW),
        Mistake("x and y are swapped in the covariance: x, the last axis of `logits`, comes first.",
                changed(entropy_cov, result=lambda out: (out[0], out[1].flip(-1, -2)))),
        Mistake("The mean is not subtracted: this is the second moment about cell (0, 0).",
                edited(entropy_cov, {"cells - (prob[..., None] * cells).sum(-2, keepdim=True)": "cells"})),
        Mistake("Only the variances are there: how x and y vary together stands beside them.",
                changed(entropy_cov, result=lambda out: (out[0], out[1] * torch.eye(2, dtype=out[1].dtype)))),
        Mistake("The logarithm is to base 2; nats have the natural one.",
                changed(entropy_cov, result=lambda out: (out[0] / math.log(2), out[1]))),
        Mistake("The sign of the entropy is wrong: probabilities are below 1, so their logarithms are negative.",
                changed(entropy_cov, result=lambda out: (-out[0], out[1])), see=NEVER),
        Mistake("These are standard deviations: take no root.",
                changed(entropy_cov, result=lambda out: (out[0], out[1].clamp(min=0).sqrt()))),
        Mistake("`tau` multiplies where it should divide.", changed(entropy_cov, tau=lambda tau: 1 / tau), see=TAU),
        Mistake("`tau` is missing: divide the logits by it before the softmax.", changed(entropy_cov, tau=1.0),
                see=NO_TAU),
        Mistake("The spread of a distribution is a sum over cells weighted by p, with no N / (N - 1).",
                edited(entropy_cov, {"@ apart": "@ apart * (h * w / (h * w - 1))"})),
        *(Mistake("A number is added inside the logarithm, or small probabilities are cut off: that falsifies them. "
                  "`torch.log_softmax` needs neither.",
                  edited(entropy_cov, {"prob * log_prob": text.format(f"1e-{n}")}))
          for text in ("prob * (prob + {}).log()", "(prob + {0}) * (prob + {0}).log()",
                       "prob * prob.clamp(min={}).log()", "prob.clamp(min={0}) * prob.clamp(min={0}).log()",
                       "torch.where(prob > {}, prob * log_prob, 0.0)") for n in range(3, 13)),
        *(Mistake("The softmax runs over each row or column alone: take it over both axes of a map together.",
                  edited(entropy_cov, {"torch.log_softmax(logits.flatten(-2) / tau, dim=-1)":
                                       f"torch.log_softmax(logits / tau, dim={axis}).flatten(-2)"}))
          for axis in (-1, -2)),
        Mistake("The softmax runs over the whole batch. Each map is a distribution of its own: take it over the last "
                "two axes only.",
                edited(entropy_cov, {"torch.log_softmax(logits.flatten(-2) / tau, dim=-1)":
                                     "torch.log_softmax(logits.flatten() / tau, 0).view(*logits.shape[:-2], h * w)"})),
        Mistake("You count on four axes, or another fixed number: `...` stands for any number of leading axes, none "
                "included. `logits.shape[-2:]` and `flatten(-2)` do not care.",
                edited(entropy_cov, {"h, w = logits.shape[-2:]": "b, k, h, w = logits.shape"})),
        Mistake("Part of it is computed in float32: the dtype of `logits` is wanted all the way.",
                changed(entropy_cov, logits=lambda logits: logits.float(),
                        result=lambda out, logits: tuple(part.to(logits.dtype) for part in out))),
        Mistake("The results are always float32. They should have the dtype of `logits`.",
                changed(entropy_cov, result=lambda out: tuple(part.float() for part in out))),
        Mistake("`tau` is missing in the entropy: both results are of the softmax of z / tau.",
                changed(entropy_cov, result=lambda out, logits: (entropy_cov(logits)[0], out[1])), see=NO_TAU),
        Mistake("`tau` is missing in the covariance: both results are of the softmax of z / tau.",
                changed(entropy_cov, result=lambda out, logits: (out[0], entropy_cov(logits)[1])), see=NO_TAU),
        Mistake("The two results are exchanged: entropy, then covariance.",
                changed(entropy_cov, result=lambda out: out[::-1])),
        Mistake("The entropy is divided by its largest value: nats are asked for.",
                edited(entropy_cov, {"return entropy": "return entropy / math.log(h * w)"})),
        Mistake("This is a correlation: cells squared are asked for.",
                changed(entropy_cov, result=lambda out: (out[0], out[1] / (
                    (d := out[1].diagonal(dim1=-2, dim2=-1).clamp(min=1e-12).sqrt())[..., None, :] * d[..., None])))),
        Mistake("The sign of the covariance of x and y is wrong: it is positive where x and y grow together.",
                changed(entropy_cov, result=lambda out: (
                    out[0], out[1] * torch.tensor([[1, -1], [-1, 1]], dtype=out[1].dtype)))),
        Mistake("The deviations are taken from the highest cell: take them from the mean.",
                edited(entropy_cov, {
                    "(prob[..., None] * cells).sum(-2, keepdim=True)": "cells[prob.argmax(-1)][..., None, :]"})),
        Mistake("The entropy is a mean over the cells: it is a sum.",
                edited(entropy_cov, {"log_prob).sum(-1)": "log_prob).mean(-1)"})),
        Mistake("This is the inverse of the covariance.",
                changed(entropy_cov, result=lambda out: (out[0], torch.linalg.pinv(out[1])))),
    ),
    alternatives=(_second_minus_first, _one_map_at_a_time),
    clauses={
        "the softmax $p$ of each map": "The softmax runs over the whole batch",
        "over all H x W cells": "The softmax runs over each row or column",
        "$p = \\mathrm{softmax}(z / \\tau)$": "`tau` multiplies",
        "its entropy $-\\sum p \\ln p$": "The sign of the entropy",
        "in nats": "The logarithm is to base 2",
        "the covariance of a cell drawn from it": "The mean is not subtracted",
        "a cell drawn from it": "The spread of a distribution",
        "in cells squared": "These are standard deviations",
        "in the order x, y": "x and y are swapped in the covariance",
        "(..., 2, 2)": "Only the variances are there",
        "Both stay finite": "0 times the logarithm of 0",
        "and exact": "A number is added inside",
        "exact where they are small (tested in float64)": "Part of it is computed in float32",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The results are always float32",
        "`...` stands for any number of leading axes, none included": "You count on four axes",
        "(entropy (...), covariance (..., 2, 2))": "The two results are exchanged",
    },
)
