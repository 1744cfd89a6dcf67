"""argmax_error_stats: its reference, cases and known mistakes."""

import math

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


PROBLEM = Problem(
    name="argmax_error_stats", points=2, minutes=10,
    reference=argmax_error_stats,
    own=("posebook.theory.argmax_error",),
    cases=(
        Case("rounding at stride 4", lambda rng: (4.0, "round"), atol=1e-5),
        Case("rounding is what you get without a convention", lambda rng: (8.0,), atol=1e-5),
        Case("floor at stride 4", lambda rng: (4.0, "floor"), atol=1e-5),
        Case("stride 1, floor", lambda rng: (1.0, "floor"), atol=1e-5),
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
                changed(argmax_error_stats, result=lambda out: (out[0], 1 / 12, out[2]))),
        Mistake("Variances grow with the square of the stride, here it is the stride itself.",
                edited(argmax_error_stats, {"stride**2": "stride"})),
        Mistake("Both conventions get the figures of rounding: look at `convention`.",
                changed(argmax_error_stats, convention="round")),
        Mistake("Both conventions get the figures of floor: look at `convention`.",
                changed(argmax_error_stats, convention="floor")),
        Mistake("The error is uniform between -stride / 2 and stride / 2: a range of r has variance r^2 / 12, and "
                "the range is one stride, not two.", changed(argmax_error_stats, stride=lambda stride: 2 * stride)),
    ),
    alternatives=(_by_integration, _by_midpoints),
)
