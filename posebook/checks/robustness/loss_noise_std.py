"""loss_noise_std: its reference, cases and known mistakes."""

import math
from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def loss_noise_std(pred, target, eta):
    """Standard deviation of the loss when each mask value has noise of its own: a plain number."""
    weights = (pred - target).square()  # what each mask value is multiplied by
    return eta * weights.square().sum().sqrt().item()


def _by_norm(pred, target, eta):
    return float(eta * torch.linalg.vector_norm((pred - target) ** 2))


def _by_loops(pred, target, eta):
    variance = 0.0
    for a, b in zip(pred.flatten().tolist(), target.flatten().tolist(), strict=True):
        variance += (eta * (a - b) ** 2) ** 2
    return math.sqrt(variance)


def _by_numpy(pred, target, eta):
    d = pred.numpy().astype(float) - target.numpy()
    return np.sqrt(np.sum((eta * d**2) ** 2)).item()


def _by_four_norm(pred, target, eta):
    return (pred - target).double().flatten().norm(p=4).item() ** 2 * eta


def _by_gradient(pred, target, eta):
    """The loss is linear in the mask: its gradient there holds the weights."""
    mask = torch.zeros_like(pred, requires_grad=True)
    weights, = torch.autograd.grad((mask * (pred - target) ** 2).sum(), mask)
    return math.hypot(*(eta * weights).flatten().tolist())


def _by_simulation(pred, target, eta, draws=20_000):
    z = torch.randn(draws, pred.numel(), generator=torch.Generator().manual_seed(0))
    return (eta * (z @ (pred - target).square().flatten().float())).std().item()


ROOT = "weights.square().sum().sqrt().item()"
WEIGHTS = "(pred - target).square()"


def _root(text):
    return edited(loss_noise_std, {ROOT: text})


def _draw(rng, *shape, eta=None, scale=1.0, shift=0.0, origin=0.0, dtype=torch.float32):
    pred, target = origin + scale * torch.randn(2, *shape, generator=rng, dtype=dtype)
    return pred + shift, target, uniform(rng, 0.05, 0.4) if eta is None else eta


def _one_cell(rng):
    """A difference in one cell of each map only."""
    pred, _, eta = _draw(rng, 2, 3, 4, 5)
    on = torch.zeros(6, 20)
    on[torch.arange(6), torch.randint(20, (6,), generator=rng)] = 1
    return pred + 2 * on.view(2, 3, 4, 5), pred, eta


def _twice(rng):
    pred, target, eta = _draw(rng, 3, 4)
    return (pred, target, eta), (2 * pred, 2 * target, eta)


def _twice_the_noise(rng):
    pred, target, eta = _draw(rng, 3, 4)
    return (pred, target, eta), (pred, target, 2 * eta)


Near = partial(Case, atol=1e-7, rtol=1e-5)

SHARED = See("masking",
             "noise that a map's cells share makes the loss vary by 3.145; choose each cell, and it is less than a "
             "quarter of that", clip="off", noise="each map")
UNCLIPPED = See("masking", "as it is the loss varies by 0.677; only clipping makes 0.395 of it", clip="off")
LINEAR = See("masking",
             "at eta 0.02 the loss varies by 0.068, eta times 3.385; move eta to 0.2: ten times as much",
             clip="off", eta=0.02)
UNIFORM = See("masking",
              "uniform noise with the standard deviation 0.20 makes the loss vary by 0.677, as Gaussian noise does",
              clip="off", shape="uniform")

PROBLEM = Problem(
    name="loss_noise_std", points=2, minutes=15,
    reference=loss_noise_std,
    own=("posebook.theory.mask_noise_std",),
    cases=(
        Near("differences 1, 1, 1 and 3, eta 0.5: weights 1, 1, 1 and 9, so 0.5 sqrt(84) = 4.58",
             lambda rng: (torch.tensor([[1.0, 1.0], [1.0, 3.0]]), torch.zeros(2, 2), 0.5), fixed=True),
        Near("one map of 4 x 5 cells", lambda rng: _draw(rng, 4, 5), weight=2),
        Near("maps (2, 3, 4, 5)", lambda rng: _draw(rng, 2, 3, 4, 5), weight=2),
        Near("one row of 9 numbers", lambda rng: _draw(rng, 9)),
        Near("a single cell, (1, 1)", lambda rng: _draw(rng, 1, 1)),
        Near("a single number, no axes", lambda rng: _draw(rng)),
        Near("one cell of each map is wrong", _one_cell),
        Near("differences of a hundredth", lambda rng: _draw(rng, 6, 6, scale=0.01)),
        Near("differences of some tens", lambda rng: _draw(rng, 6, 6, scale=20.0)),
        Near("predictions that are too high everywhere", lambda rng: _draw(rng, 6, 6, scale=0.3, shift=1.5)),
        Near("strong noise, eta from 2 to 5: it is not clipped", lambda rng: _draw(rng, 4, 5, eta=uniform(rng, 2, 5))),
        Near("no noise, eta 0: 0", lambda rng: _draw(rng, 4, 5, eta=0.0), fixed=True),
        Near("a perfect prediction: 0", lambda rng: ((t := torch.randn(3, 4, generator=rng)), t.clone(), 0.2),
             fixed=True),
        Near("twice the difference: four times the result", _twice, holds=lambda a, b: abs(b - 4 * a) < 1e-3 * b),
        Near("twice the noise: twice the result", _twice_the_noise, holds=lambda a, b: abs(b - 2 * a) < 1e-3 * b),
        Near("float64, values of a million", lambda rng: _draw(rng, 4, 5, dtype=torch.float64, origin=1e6)),
    ),
    mistakes=(
        Mistake("The weights are summed, not their squares: that holds if all mask values share one noise. What adds "
                "up for independent ones?", _root("weights.sum().item()"), see=SHARED),
        Mistake("This is eta times the root of the loss: the noise is multiplied by the squared difference, so its "
                "variance by the fourth power.", _root("weights.sum().sqrt().item()")),
        Mistake("This is eta times the norm of the differences' sizes: the loss holds squares.",
                edited(loss_noise_std, {WEIGHTS: "(pred - target).abs().sqrt()"})),
        Mistake("The sizes of the differences are summed: variances add, and the loss holds squares.",
                _root("(pred - target).abs().sum().item()")),
        Mistake("This is the variance: the standard deviation is its root.",
                edited(loss_noise_std, {"eta *": "eta**2 *", ".sqrt()": ""})),
        Mistake("The root of the sum is missing: only eta is in units of the loss.",
                edited(loss_noise_std, {".sqrt()": ""})),
        Mistake("eta is squared outside the root: eta is a standard deviation, and so is the result.",
                edited(loss_noise_std, {"eta *": "eta**2 *"}), see=LINEAR),
        Mistake("The root of eta is taken: it is a standard deviation, not a variance, and inside the root it is "
                "squared.",
                edited(loss_noise_std, {"eta *": "eta**0.5 *"}), see=LINEAR),
        Mistake("eta is missing.", edited(loss_noise_std, {"eta * ": ""})),
        Mistake("The standard deviations of the terms are averaged: the variances add.",
                _root("weights.mean().item()")),
        Mistake("The squares are averaged: the loss is a sum.", _root("weights.square().mean().sqrt().item()")),
        Mistake("This is the noise of a mean over the cells: the loss is a sum.",
                _root("weights.square().sum().sqrt().item() / weights.numel()")),
        Mistake("This is the standard error, once more divided by the root of the number of cells: the loss is one "
                "sum, not a mean of many.", _root("weights.sum().item() / weights.numel() ** 0.5")),
        Mistake("This is how much the weights differ from each other: the noise is in the mask, from one draw to the "
                "next.", _root("weights.std(correction=0).item()")),
        Mistake("This is how much the weights differ from each other: the noise is in the mask, from one draw to the "
                "next.", _root("weights.std().item() if weights.numel() > 1 else math.nan")),
        Mistake("This is how much the differences vary about their mean: each weight counts from 0.",
                _root("(weights - weights.mean()).square().sum().sqrt().item()")),
        Mistake("All cells of a map share one noise here: each mask value has its own.",
                _root("weights.reshape(-1, *weights.shape[-2:]).sum((-2, -1)).square().sum().sqrt().item() if "
                      "weights.ndim > 1 else weights.sum().item()"), see=SHARED),
        Mistake("All cells of a row share one noise here: each mask value has its own.",
                _root("weights.sum(-1).square().sum().sqrt().item() if weights.ndim else weights.item()")),
        Mistake("The standard deviations of the maps are added: variances add, also those of maps.",
                _root("weights.square().sum((-2, -1)).sqrt().sum().item()")),
        Mistake("The root of eta times the loss is taken: the variance is a sum of squares, eta^2 times the fourth "
                "powers.", edited(loss_noise_std, {f"eta * {ROOT}": "(eta * weights).sum().sqrt().item()"})),
        Mistake("The fourth root is taken: the variance is a sum of fourth powers, and its root is the square root.",
                _root("weights.square().sum().sqrt().sqrt().item()")),
        Mistake("The differences are squared once too often: eighth powers.",
                edited(loss_noise_std, {WEIGHTS: "(pred - target).square().square()"})),
        Mistake("The third powers are summed: the square of a square is the fourth power.",
                _root("(pred - target).abs().pow(3).sum().sqrt().item()")),
        Mistake("The square of the sum of the differences is taken: the loss sums squares.",
                _root("(pred - target).sum().square().item()")),
        Mistake("The prediction's own values are taken: it is the difference to the target.",
                changed(loss_noise_std, target=lambda target: torch.zeros_like(target))),
        Mistake("`pred` and `target` are squared one by one: square their difference.",
                edited(loss_noise_std, {WEIGHTS: "(pred.square() - target.square())"})),
        Mistake("The factor of clipping, 0.584, is in it: nothing is clipped here.",
                edited(loss_noise_std, {"eta *": "math.sqrt(0.5 - 0.5 / math.pi) * eta *"}), see=UNCLIPPED),
        Mistake("The noise is clipped to 1: nothing is clipped here.",
                changed(loss_noise_std, eta=lambda eta: min(eta, 1.0)), see=UNCLIPPED),
        Mistake("The noise is taken for uniform between -eta and eta: eta is its standard deviation.",
                edited(loss_noise_std, {"eta *": "eta / math.sqrt(3) *"}), see=UNIFORM),
        Mistake("This is a simulation, from 20000 draws: it is right to about a hundredth. Variances of independent "
                "terms add; which are the terms?", _by_simulation),
        *(Mistake("You count on one number of axes: `pred` and `target` may have any number of them; `.sum()` without "
                  "an axis does not care.", edited(loss_noise_std, {"weights = ": f"{text}\n    weights = "}))
          for text in ("b, k, h, w = pred.shape", "h, w = pred.shape", "n, = pred.shape")),
        Mistake("One number comes back for each map: sum over everything.",
                _root("weights.square().flatten(-2).sum(-1).sqrt() if weights.ndim > 2 else weights.square().sum()"
                      ".sqrt()[None]")),
        Mistake("The result is a tensor: a plain Python number is asked for, `.item()` makes one.",
                edited(loss_noise_std, {".item()": ""})),
        Mistake("Part of it is computed in float32: float64 is wanted all the way where it comes in.",
                changed(loss_noise_std, pred=lambda pred: pred.float(), target=lambda target: target.float())),
    ),
    alternatives=(_by_norm, _by_loops, _by_numpy, _by_four_norm, _by_gradient),
    clauses={
        "The standard deviation of": "This is the variance",
        "times the squared difference": "This is eta times the root of the loss",
        "The sum": "This is the noise of a mean",
        "its own independent noise": "The weights are summed, not their squares",
        "of standard deviation `eta`": "The root of eta is taken",
        "not clipped": "The noise is clipped to 1",
        "any number of axes": "You count on one number of axes",
        "a plain Python number": "The result is a tensor",
        "results are right to 1e-5 of their size": "This is a simulation",
    },
)
