"""border_bias: its reference, cases and known mistakes."""

import math

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def border_bias(distance, sigma):
    """Inward bias of soft-argmax in cells."""
    z = distance / sigma
    density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    inside = (1 + math.erf(z / math.sqrt(2))) / 2
    return sigma * density / inside


def _with_torch(distance, sigma):
    normal = torch.distributions.Normal(0.0, 1.0)
    z = torch.tensor(distance / sigma, dtype=torch.float64)
    return (sigma * normal.log_prob(z).exp() / normal.cdf(z)).item()


def _by_quadrature(distance, sigma):
    x = torch.linspace(-distance, 12 * sigma, 200_001, dtype=torch.float64)
    weight = torch.exp(-(x**2) / (2 * sigma**2))
    return (torch.trapezoid(x * weight, x) / torch.trapezoid(weight, x)).item()


def _by_cells(distance, sigma):
    x = torch.arange(200.0, dtype=torch.float64) + 0.5  # from the edge
    weight = torch.exp(-((x - distance) ** 2) / (2 * sigma**2))
    return ((weight * x).sum() / weight.sum()).item() - distance


INWARD = See("target", "the keypoint lies at x = 0.00, soft-argmax at 3.00: the bias goes inward", x=0.0)
CUT = See("target", "the border cuts off 45 % of the bump; the sum is 3.47, and what is left is divided by that", x=0.0)

PROBLEM = Problem(
    name="border_bias", points=2, minutes=15,
    reference=border_bias,
    own=("posebook.theory.border_bias",),
    cases=(
        Case("on the edge", lambda rng: (0.0, uniform(rng, 1, 3))),
        Case("one sigma inside", lambda rng: ((sigma := uniform(rng, 1, 3)), sigma)),
        Case("far inside nothing is left", lambda rng: (12.0, 1.0), fixed=True),
        Case("any distance within two sigma",
             lambda rng: ((sigma := uniform(rng, 1, 4)) * uniform(rng, 0.2, 2), sigma)),
        Case("a narrow peak", lambda rng: (uniform(rng, 0.2, 0.8), 0.8)),
        Case("distance and sigma doubled",
             lambda rng: ((d := uniform(rng, 0.5, 2), 1.3), (2 * d, 2.6)), holds=lambda a, b: abs(b - 2 * a) < 1e-3),
    ),
    mistakes=(
        Mistake("The bias is inward and counts as positive: the part of the bell that is cut off lies outside.",
                changed(border_bias, result=lambda out: -out), see=INWARD),
        Mistake("What is left of the bell must be made to sum to 1 again: divide by the part that lies inside the map.",
                edited(border_bias, {" / inside": ""}), see=CUT),
        Mistake("The result is in units of sigma: multiply by sigma to have cells. In terms of "
                "z = distance / sigma the density is exp(-z^2 / 2) / sqrt(2 pi), with no other sigma in it.",
                edited(border_bias, {"sigma * density": "density"})),
        Mistake("You divide by the part of the bell that lies outside the map; the mean is over the part inside.",
                edited(border_bias, {"/ inside": "/ max(1 - inside, 1e-12)"}), see=CUT),
        Mistake("`distance` is measured from the edge of the first cell, not from its center: nothing is to be added.",
                changed(border_bias, distance=lambda distance: distance + 0.5)),
        Mistake("`distance` is measured from the edge of the first cell, not from its center: subtract nothing.",
                changed(border_bias, distance=lambda distance: distance - 0.5)),
        Mistake("The normal distribution function is (1 + erf(z / sqrt 2)) / 2: the root of 2 is missing.",
                edited(border_bias, {"z / math.sqrt(2)": "z"})),
        Mistake("The normal density has a factor 1 / sqrt(2 pi).",
                edited(border_bias, {" / math.sqrt(2 * math.pi)": ""})),
        Mistake("The distance must be divided by sigma before it goes into the normal density and distribution.",
                edited(border_bias, {"distance / sigma": "distance"})),
        Mistake("One factor of sigma too many: the result grows with sigma, not with its square.",
                edited(border_bias, {"sigma * density": "sigma**2 * density"})),
        Mistake("The root is missing in the density: exp(-z^2 / 2) / sqrt(2 pi).",
                edited(border_bias, {"math.sqrt(2 * math.pi)": "(2 * math.pi)"})),
        Mistake("The distance is not squared in the density: exp(-z^2 / 2).", edited(border_bias, {"z**2": "z"})),
        Mistake("The 2 is missing in the density: exp(-z^2 / 2).", edited(border_bias, {"(z**2) / 2": "(z**2)"})),
        Mistake("erf alone is not the distribution function: (1 + erf(z / sqrt 2)) / 2.",
                edited(border_bias, {"(1 + math.erf(z / math.sqrt(2))) / 2": "max(math.erf(z / math.sqrt(2)), 1e-9)"})),
        Mistake("The distribution function is not halved: (1 + erf(z / sqrt 2)) / 2.",
                edited(border_bias, {"(1 + math.erf(z / math.sqrt(2))) / 2": "1 + math.erf(z / math.sqrt(2))"})),
        Mistake("This is the mean's distance from the edge: subtract the center.",
                changed(border_bias, result=lambda out, distance: out + distance)),
        Mistake("The cells are summed one by one: the continuous approximation is asked for.", _by_cells),
        Mistake("`sigma` is taken for a variance: it is the standard deviation.",
                changed(border_bias, sigma=lambda sigma: sigma**0.5)),
        Mistake("`distance` is cut to whole cells: it may lie anywhere.",
                changed(border_bias, distance=lambda distance: float(int(distance)))),
    ),
    alternatives=(_with_torch, _by_quadrature),
    clauses={
        "inward": "The bias is inward",
        "of standard deviation `sigma` cells": "`sigma` is taken for a variance",
        "the edge of the first cell, half a cell outside its center": "`distance` is measured from the edge",
        "a plain positive Python number in cells": "The result is in units of sigma",
        "in the continuous approximation": "The cells are summed",
        "the mean of a bell that is cut off at the edge": "What is left of the bell",
        "minus its center": "This is the mean's distance",
    },
)
