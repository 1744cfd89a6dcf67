"""argmax_error_stats: its reference, cases and known mistakes."""

import math

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def argmax_error_stats(stride, convention="round"):
    """Bias (px), variance and mean square error (px squared) of snapping to cells."""
    if convention == "round":
        return 0.0, stride**2 / 12, stride**2 / 12
    return -stride / 2, stride**2 / 12, stride**2 / 3


def _by_integration(stride, convention="round"):
    low, high = (-stride / 2, stride / 2) if convention == "round" else (-stride, 0)
    bias = (low + high) / 2
    mse = (high**3 - low**3) / (3 * stride)
    return bias, mse - bias**2, mse


def _by_midpoints(stride, convention="round"):
    shift = 0.5 if convention == "round" else 0.0
    phases = [(k + 0.5) / 4000 for k in range(4000)]
    errors = [stride * (math.floor(u + shift) - u) for u in phases]
    bias = sum(errors) / len(errors)
    mse = sum(e * e for e in errors) / len(errors)
    return bias, mse - bias**2, mse


AXES = See("decoding",
           "the dashed line, argmax 0.41, is the root of 2 / 12: cells, and both axes together; one axis has the root "
           "of 1 / 12")
UNITS = See("decoding", "argmax is off by 5.87 px or 0.37 cells: the stride, 16, is between the two", stride=16)

PROBLEM = Problem(
    name="argmax_error_stats", points=2, minutes=10,
    reference=argmax_error_stats,
    own=("posebook.theory.argmax_error",),
    cases=(
        Case("rounding at stride 4", lambda rng: (4.0, "round"), atol=1e-5, fixed=True),
        Case("rounding is what you get without a convention", lambda rng: (uniform(rng, 2, 9),), atol=1e-5),
        Case("floor at stride 4", lambda rng: (4.0, "floor"), atol=1e-5, fixed=True),
        Case("stride 1, floor", lambda rng: (1.0, "floor"), atol=1e-5, fixed=True),
        Case("any stride, rounding", lambda rng: (uniform(rng, 2, 9), "round"), atol=1e-5),
        Case("any stride, floor", lambda rng: (uniform(rng, 2, 9), "floor"), atol=1e-5),
    ),
    mistakes=(
        Mistake("Floor takes the cell below, so the estimate is too small: its bias is negative, estimate minus truth.",
                edited(argmax_error_stats, {"-stride / 2": "stride / 2"})),
        Mistake("The mean square error is the variance plus the square of the bias; with floor the bias is not 0.",
                edited(argmax_error_stats, {"/ 3": "/ 12"})),
        Mistake("This is the mean square error in the variance's place: subtract the square of the bias.",
                changed(argmax_error_stats, result=lambda out: (out[0], out[2], out[2]))),
        Mistake("This is the standard deviation: the variance is its square.",
                changed(argmax_error_stats, result=lambda out: (out[0], out[1]**0.5, out[2]))),
        Mistake("The variance is that of cells: it is in px squared, so multiply by the square of the stride.",
                changed(argmax_error_stats, result=lambda out: (out[0], 1 / 12, out[2])), see=UNITS),
        Mistake("Variances grow with the square of the stride, here it is the stride itself.",
                edited(argmax_error_stats, {"stride**2": "stride"})),
        Mistake("Both conventions get the figures of rounding: look at `convention`.",
                changed(argmax_error_stats, convention="round")),
        Mistake("Both conventions get the figures of floor: look at `convention`.",
                changed(argmax_error_stats, convention="floor")),
        Mistake("The error is uniform between -stride / 2 and stride / 2: a range of r has variance r^2 / 12, and "
                "the range is one stride, not two.", changed(argmax_error_stats, stride=lambda stride: 2 * stride)),
        Mistake("This is the root of the mean square where the variance is asked for.",
                changed(argmax_error_stats, result=lambda out: (out[0], out[2]**0.5, out[2]))),
        Mistake("This is the root of the mean square: px squared are asked for, so take no root.",
                changed(argmax_error_stats, result=lambda out: (out[0], out[1], out[2]**0.5))),
        Mistake("These are the figures of both axes together: the error along one axis is asked for.",
                changed(argmax_error_stats, result=lambda out: (out[0], 2 * out[1], 2 * out[2])), see=AXES),
        Mistake("These are the figures of both axes together: the error along one axis is asked for.",
                changed(argmax_error_stats, result=lambda out: tuple(2 * number for number in out)), see=AXES),
        Mistake("Everything is in cells: multiply the bias by the stride, the squares by its square.",
                changed(argmax_error_stats, stride=1.0), see=UNITS),
        Mistake("Variance and mean square are exchanged: bias, variance, mean square is the order.",
                changed(argmax_error_stats, result=lambda out: (out[0], out[2], out[1]))),
        Mistake("The two conventions are exchanged: `round` has no bias, `floor` has one.",
                edited(argmax_error_stats, {'"round"': '"floor"'})),
        Mistake("Without a convention `round` is meant: `convention=\"round\"` is the default.",
                lambda stride, convention="floor": argmax_error_stats(stride, convention)),
        Mistake("The bias is a mean with signs: errors to the left and to the right cancel. You average sizes.",
                edited(argmax_error_stats, {"return 0.0": "return stride / 4"})),
        Mistake("The floor is off by half a stride on average, not by a whole one.",
                edited(argmax_error_stats, {"-stride / 2, stride**2 / 12, stride**2 / 3":
                                            "-stride, stride**2 / 12, stride**2 * 13 / 12"})),
        Mistake("The figures are rounded: exact ones are asked for.",
                changed(argmax_error_stats, result=lambda out: tuple(round(number, 2) for number in out))),
        Mistake("The figures are tensors: plain Python numbers are asked for.",
                changed(argmax_error_stats, result=lambda out: tuple(torch.tensor(number) for number in out))),
        Mistake("A range of r has variance r^2 / 12, not r^2 / 4.",
                edited(argmax_error_stats, {"stride**2 / 12": "stride**2 / 4", "stride**2 / 3": "stride**2 / 2"})),
    ),
    alternatives=(_by_integration, _by_midpoints),
    clauses={
        "estimate minus truth": "Floor takes the cell below",
        "along one axis": "These are the figures of both axes together",
        "its mean in px": "Everything is in cells",
        "its variance and its mean square": "Variance and mean square are exchanged",
        "both in px squared": "The variance is that of cells",
        "in px squared": "This is the standard deviation",
        "as exact plain": "The figures are rounded",
        "plain Python numbers": "The figures are tensors",
        "The keypoint is uniform over a cell": "A range of r has variance",
        "`\"round\"`, which takes the nearest cell": "The two conventions are exchanged",
        "`\"floor\"`, which takes the one below": "Both conventions get the figures of rounding",
        "convention=\"round\"": "Without a convention",
    },
)
