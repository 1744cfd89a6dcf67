"""soft_argmax: its reference, cases and known mistakes."""

import torch

from posebook._links import See
from posebook.checks.decoding.decode_argmax import OFFSET, decode_argmax
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def soft_argmax(logits, stride, tau=1.0, offset=0.0):
    """Image px (x, y) of the mean cell under a softmax: (..., H, W) -> (..., 2)."""
    h, w = logits.shape[-2:]
    prob = torch.softmax(logits.flatten(-2) / tau, dim=-1).unflatten(-1, (h, w))
    x = (prob.sum(-2) * torch.arange(w)).sum(-1)
    y = (prob.sum(-1) * torch.arange(h)).sum(-1)
    return offset + stride * torch.stack((x, y), dim=-1)


def _mean(prob, stride, offset):
    """Mean of a map of weights that each sum to 1."""
    h, w = prob.shape[-2:]
    x = torch.einsum("...hw,w->...", prob, torch.arange(w, dtype=prob.dtype))
    y = torch.einsum("...hw,h->...", prob, torch.arange(h, dtype=prob.dtype))
    return offset + stride * torch.stack((x, y), dim=-1)


def _shifted_exponentials(logits, stride, tau=1.0, offset=0.0):
    z = (logits - logits.amax((-2, -1), keepdim=True)) / tau
    return _mean(z.exp() / z.exp().sum((-2, -1), keepdim=True), stride, offset)


def _log_sum_exp(logits, stride, tau=1.0, offset=0.0):
    z = logits / tau
    return _mean(torch.exp(z - z.logsumexp((-2, -1), keepdim=True)), stride, offset)


def _one_map_at_a_time(logits, stride, tau=1.0, offset=0.0):
    h, w = logits.shape[-2:]
    cells = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy"), -1).reshape(-1, 2)
    rows = [torch.softmax(one / tau, 0) @ cells.to(logits.dtype) for one in logits.reshape(-1, h * w)]
    return torch.stack(rows).reshape(*logits.shape[:-2], 2) * stride + offset


def softmax_as(text):
    """The softmax of the reference exchanged, for ``edited``; integral_loss has the same line."""
    return {"torch.softmax(logits.flatten(-2) / tau, dim=-1).unflatten(-1, (h, w))": text}


def share(weight):
    """A softmax made by hand of weights."""
    return softmax_as(f"{weight} / {weight}.sum((-2, -1), keepdim=True)")


OVERFLOWS = share("torch.exp(logits / tau)")
UNDERFLOWS = share("torch.exp((logits - logits.max()) / tau)")  # where another map of the batch lies much higher
NO_EXPONENTIAL = share("logits")
WHOLE_BATCH = softmax_as("torch.softmax(logits.flatten() / tau, 0).view(logits.shape)")
ONE_AXIS = {"prob.sum(-2)": "torch.softmax(logits / tau, -1).mean(-2)",
            "prob.sum(-1)": "torch.softmax(logits / tau, -2).mean(-1)"}


def _random_logits(rng, *shape, dtype=torch.float32):
    return 2 * torch.randn(*shape, generator=rng, dtype=dtype)


def _gaussian_logits(rng):
    center = torch.tensor([5.0, 4.0]) + 4 * torch.rand(2, generator=rng)
    y, x = torch.arange(14.0)[:, None], torch.arange(15.0)
    return -((x - center[0]) ** 2 + (y - center[1]) ** 2) / 2, 4.0


def _with_constant(rng):
    logits = _random_logits(rng, 2, 5, 6, dtype=torch.float64)
    return (logits, 4.0), (logits + 1e4, 4.0)


def _constant_on_one_map(rng):
    logits = _random_logits(rng, 3, 5, 6, dtype=torch.float64)
    raised = logits.clone()
    raised[1] += 1e4
    return (logits, 4.0), (raised, 4.0)


def _cold(rng):
    logits = torch.randperm(48, generator=rng).reshape(6, 8).float()  # the highest stands out by 1
    return logits, uniform(rng, 2, 9), 0.01


def _agree(a, b):
    return bool(torch.allclose(a, b, rtol=0, atol=1e-6))


TAU = See("decoding",
          "at tau 0.25 soft-argmax is 1.06 px off; move tau to 4, which is 1 / 0.25, and hardly any error is left",
          tau=0.25)
NO_TAU = See("decoding", "move tau to 0.01: the circle goes to the highest cell; without `tau` it would stay", tau=1.0)
BETWEEN = See("decoding",
              "the square, argmax, sits on a cell's center, 3.58 px off; the circle, soft-argmax, lies between the "
              "cells", tau=1.0)
FLAT = See("temperature", "a map that is nearly flat: its mean is drawn to the middle and 1.42 cells off", tau=20.0)

PROBLEM = Problem(
    name="soft_argmax", points=3, minutes=15,
    reference=soft_argmax,
    own=("posebook.expectation.soft_argmax", "posebook.expectation.soft_argmax_compensated",
         "posebook.expectation.spatial_softmax", "posebook.expectation.mean_cell",
         "posebook.decode.soft_argmax_window", "posebook.expectation._soft_argmax_in_blocks",
         "posebook.expectation._plain_soft_argmax"),
    cases=(
        Case("a flat map gives its center", lambda rng: (torch.zeros(1, 1, 5, 7), 1.0), fixed=True),
        Case("a Gaussian gives its center, between the cells", _gaussian_logits),
        Case("one row of three cells at tau = 2 (H = 1 is allowed)",
             lambda rng: (_random_logits(rng, 1, 3), 1.0, 2.0)),
        Case("leading axes stay: 2 x 3 maps of 5 x 9 cells give (2, 3, 2)",
             lambda rng: (_random_logits(rng, 2, 3, 5, 9), 4.0, 0.7)),
        Case("an offset of 1.5 px is added in pixels", lambda rng: (_random_logits(rng, 4, 6, 5), 4.0, 1.0, 1.5),
             weight=3),
        Case("a small tau gives the highest cell", _cold),
        Case("adding 10000 to every logit changes nothing", _with_constant, holds=_agree, weight=2),
        Case("adding 10000 to one map of three changes nothing", _constant_on_one_map, holds=_agree),
        Case("gradients reach the logits", lambda rng: (_random_logits(rng, 2, 6, 7), 4.0, 1.5), vjp=("logits", 0)),
    ),
    mistakes=(
        Mistake("x and y are swapped: the last axis of `logits` is x, and x comes first in the result.",
                changed(soft_argmax, result=lambda out: out.flip(-1))),
        Mistake("`tau` multiplies where it should divide: a high temperature makes the distribution flatter.",
                changed(soft_argmax, tau=lambda tau: 1 / tau), see=TAU),
        Mistake("`tau` is missing: divide the logits by it before the softmax.", changed(soft_argmax, tau=1.0),
                see=NO_TAU),
        Mistake("The offset is multiplied by the stride: it is already in pixels, so add it last, "
                "`offset + stride * cell`.", changed(soft_argmax, offset=lambda offset, stride: stride * offset)),
        Mistake("The stride is missing: cells are not pixels yet, `offset + stride * cell`.",
                changed(soft_argmax, stride=1.0)),
        Mistake("The offset is missing: `offset + stride * cell`.", changed(soft_argmax, offset=0.0), see=OFFSET),
        Mistake("Half of (stride - 1) is added: the statement puts cell u at offset + stride * u.",
                changed(soft_argmax, offset=lambda offset, stride: offset + (stride - 1) / 2), see=OFFSET),
        Mistake("Half a cell is added: the statement puts cell u at offset + stride * u.",
                changed(soft_argmax, offset=lambda offset, stride: offset + stride / 2)),
        Mistake("The logits are divided by their sum: a softmax takes their exponentials first.",
                edited(soft_argmax, NO_EXPONENTIAL)),
        Mistake("`tau` is applied after the softmax: divide the logits by it before.",
                edited(soft_argmax, {"flatten(-2) / tau": "flatten(-2)", "stride *": "stride / tau *"})),
        Mistake("You count on four axes, or another fixed number: `...` stands for any number of leading axes, none "
                "included. `logits.shape[-2:]` and `flatten(-2)` do not care.",
                edited(soft_argmax, {"h, w = logits.shape[-2:]": "b, k, h, w = logits.shape"})),
        Mistake("In float32, 10000 plus a logit keeps three decimals of the logit: compute in the dtype of `logits`, "
                "do not only return it.", changed(soft_argmax, logits=lambda logits: logits.float(),
                                                  result=lambda out, logits: out.to(logits.dtype))),
        Mistake("exp of a large number such as 10000 is infinite, and infinity / infinity is NaN. Softmax does not "
                "change when each map's maximum is subtracted first; `torch.softmax` does that for you.",
                edited(soft_argmax, OVERFLOWS)),
        Mistake("The maximum of the whole batch is subtracted, so the other maps underflow to 0 / 0. "
                "Subtract each map's own maximum.", edited(soft_argmax, UNDERFLOWS)),
        Mistake("The softmax runs over one axis at a time. The probabilities of all H x W cells of a map sum to 1: "
                "flatten both axes first.", edited(soft_argmax, ONE_AXIS)),
        Mistake("The softmax runs over the whole batch. Each map is a distribution of its own: "
                "take it over the last two axes only.", edited(soft_argmax, WHOLE_BATCH)),
        Mistake("Coordinates run from 0 to 1. A cell's coordinate is its index: 0, 1, ..., W - 1.",
                edited(soft_argmax, {f"torch.arange({n})": f"torch.linspace(0, 1, {n})" for n in "wh"})),
        Mistake("Coordinates run from -1 to 1. A cell's coordinate is its index: 0, 1, ..., W - 1.",
                edited(soft_argmax, {f"torch.arange({n})": f"torch.linspace(-1, 1, {n})" for n in "wh"})),
        Mistake("This is argmax: it takes the highest cell, not the mean, and no gradient passes.",
                lambda logits, stride, tau=1.0, offset=0.0: decode_argmax(logits, stride, offset), see=BETWEEN),
        Mistake("The values are right, but the result is cut off from `logits`: no `detach`, `item` or `numpy` "
                "on the way.", changed(soft_argmax, logits=lambda logits: logits.detach())),
        Mistake("The result is always float32. It should have the dtype of `logits`.",
                changed(soft_argmax, result=lambda out: out.float())),
        Mistake("Cells are counted from 1: the first one is cell 0.",
                changed(soft_argmax, offset=lambda offset, stride: offset + stride)),
        Mistake("The offset is subtracted: `offset + stride * cell`.",
                changed(soft_argmax, offset=lambda offset: -offset)),
        Mistake("The softmax runs along each row: the probabilities of all H x W cells of a map sum to 1 together.",
                edited(soft_argmax, softmax_as("torch.softmax(logits / tau, dim=-1)"))),
        Mistake("Only x gets the offset: both x and y do.",
                changed(soft_argmax, result=lambda out, offset: out - torch.tensor([0.0, offset], dtype=out.dtype))),
        Mistake("The stride divides where it should multiply: `offset + stride * cell`.",
                changed(soft_argmax, stride=lambda stride: 1 / stride)),
        Mistake("The softmax is taken twice, of the probabilities instead of the logits: that is nearly flat.",
                edited(soft_argmax,
                       softmax_as("(logits.flatten(-2) / tau).softmax(-1).softmax(-1).unflatten(-1, (h, w))")),
                see=FLAT),
        Mistake("The logits are cut off at some number: softmax is safe without that, and cutting moves the mean.",
                changed(soft_argmax, logits=lambda logits: logits.clamp(-50, 50))),
        Mistake("The mean cell is rounded: it lies between the cells.",
                edited(soft_argmax, {"torch.stack((x, y), dim=-1)": "torch.stack((x, y), dim=-1).round()"}),
                see=BETWEEN),
        Mistake("Axes of length 1 are squeezed away: `...` of the input is `...` of the result.",
                changed(soft_argmax, result=lambda out: out.squeeze())),
        Mistake("The sum of the weights is not 1: a number is added to what you divide by.",
                edited(soft_argmax,
                       softmax_as("(w_ := (logits / tau - (logits / tau).amax((-2, -1), keepdim=True)).exp())"
                                  " / (1 + w_.sum((-2, -1), keepdim=True))"))),
        Mistake("Negative logits are cut to 0 and the rest divided by their sum: a softmax takes exponentials.",
                edited(soft_argmax, share("(logits.clamp(min=0) + 1e-9)"))),
    ),
    alternatives=(_shifted_exponentials, _log_sum_exp, _one_map_at_a_time),
    clauses={
        "(x, y) in px": "x and y are swapped",
        "under a softmax of each map": "The softmax runs over the whole batch",
        "\\mathrm{softmax}(z / \\tau)": "`tau` multiplies",
        "over all H x W cells": "The softmax runs over one axis at a time",
        "$\\mathrm{offset} + \\mathrm{stride} \\cdot \\hat u$ px": "The offset is multiplied by the stride",
        "Adding a constant to all logits of a map must change nothing": "exp of a large number",
        "even a constant as large as 10000 (tested in float64)": "In float32, 10000 plus",
        "when one map of a batch has it and another has not": "The maximum of the whole batch",
        "Gradients reach the logits": "The values are right, but the result is cut off",
        "H = 1 is allowed": "Axes of length 1",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The result is always float32",
        "`...` stands for any number of leading axes, none included": "You count on four axes",
    },
)
