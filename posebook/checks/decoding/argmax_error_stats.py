"""argmax_error_stats: its reference, cases and known mistakes."""

import math

from posebook.checks.problem import Case, Mistake, Problem, uniform


def argmax_error_stats(stride, convention="round"):
    """The plain solution."""
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


def _ignores_the_convention(stride, convention="round"):
    return argmax_error_stats(stride, "round")


def _always_floor(stride, convention="round"):
    return argmax_error_stats(stride, "floor")


def _changed(bias=lambda b: b, variance=lambda v, m: v, mse=lambda v, m: m):
    """The right answer with one of its numbers changed."""

    def answer(stride, convention="round"):
        b, v, m = argmax_error_stats(stride, convention)
        return bias(b), variance(v, m), mse(v, m)

    return answer


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
                _changed(bias=abs)),
        Mistake("The mean square error is the variance plus the square of the bias; with floor the bias is not 0.",
                _changed(mse=lambda v, m: v)),
        Mistake("This is the mean square error in the variance's place: subtract the square of the bias.",
                _changed(variance=lambda v, m: m)),
        Mistake("This is the standard deviation: the variance is its square.", _changed(variance=lambda v, m: v**0.5)),
        Mistake("The variance is that of cells: it is in px squared, so multiply by the square of the stride.",
                _changed(variance=lambda v, m: 1 / 12)),
        Mistake("Variances grow with the square of the stride, here it is the stride itself.",
                lambda stride, convention="round": tuple(
                    x / y for x, y in zip(argmax_error_stats(stride, convention), (1, stride, stride), strict=True))),
        Mistake("Both conventions get the figures of rounding: look at `convention`.", _ignores_the_convention),
        Mistake("Both conventions get the figures of floor: look at `convention`.", _always_floor),
        Mistake("The error is uniform between -stride / 2 and stride / 2: a range of r has variance r^2 / 12, and "
                "the range is one stride, not two.",
                lambda stride, convention="round": (
                    (0.0, stride**2 / 3, stride**2 / 3) if convention == "round" else (-stride, stride**2 / 3,
                                                                                       4 * stride**2 / 3))),
    ),
    alternatives=(_by_integration, _by_midpoints),
)
