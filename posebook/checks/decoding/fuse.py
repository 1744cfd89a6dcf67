"""fuse: its reference, cases and known mistakes."""

import torch

from posebook.checks.problem import Case, Mistake, Problem


def fuse(estimates, variances):
    """The plain solution."""
    precision = 1 / variances  # (M, ...)
    total = precision.sum(0)
    return (precision[..., None] * estimates).sum(0) / total[..., None], 1 / total


def _by_weights(estimates, variances):
    weight = torch.softmax(-variances.log(), 0)
    return torch.einsum("m...,m...d->...d", weight, estimates), (weight**2 * variances).sum(0)


def _two_at_a_time(estimates, variances):
    fused, variance = estimates[0], variances[0]
    for other, v in zip(estimates[1:], variances[1:], strict=True):
        gain = variance / (variance + v)
        fused = fused + gain[..., None] * (other - fused)
        variance = (1 - gain) * variance
    return fused, variance


def _with(weight, variance=lambda v, w: 1 / (1 / v).sum(0)):
    """Estimates weighted otherwise; the variance of the right answer unless another one is given."""

    def answer(estimates, variances):
        w = weight(variances)
        return (w[..., None] * estimates).sum(0), variance(variances, w)

    return answer


def _shares(precision):
    return precision / precision.sum(0)


def _right(variances):
    return _shares(1 / variances)


def _draw(rng, m, *shape, d=2, dtype=torch.float32):
    """m heads for keypoints of the given shape."""
    estimates = 50 * torch.rand(m, *shape, d, generator=rng, dtype=dtype)
    return estimates, 0.5 + 4 * torch.rand(m, *shape, generator=rng, dtype=dtype)


def _moved(rng):
    estimates, variances = _draw(rng, 3, 4)
    return (estimates, variances), (estimates + 7, variances)


def _scaled(rng):
    estimates, variances = _draw(rng, 3, 4)
    return (estimates, variances), (estimates, 9 * variances)


def _sure(rng):
    estimates, variances = _draw(rng, 3, 5, dtype=torch.float64)
    variances[1] = 1e-12
    return estimates, variances


PROBLEM = Problem(
    name="fuse", points=2, minutes=10,
    reference=fuse,
    own=("posebook.fusion.fuse_inverse_variance",),
    cases=(
        Case("variances 1 and 4: weights 0.8 and 0.2, variance 0.8",
             lambda rng: (torch.tensor([[0.0, 0.0], [10.0, 5.0]]), torch.tensor([1.0, 4.0]))),
        Case("one head is left as it is", lambda rng: _draw(rng, 1, 3)),
        Case("three heads, 2 x 4 keypoints: a variance for each", lambda rng: _draw(rng, 3, 2, 4)),
        Case("as many keypoints as axes, so that shapes do not tell them apart", lambda rng: _draw(rng, 2, 2)),
        Case("one axis", lambda rng: _draw(rng, 4, 3, d=1)),
        Case("moving all estimates moves the result", _moved, atol=1e-3,
             holds=lambda a, b: bool(torch.allclose(b[0] - a[0], torch.tensor(7.0), atol=1e-3))),
        Case("nine times the variances: the same place, nine times the variance", _scaled,
             holds=lambda a, b: bool(torch.allclose(b[1], 9 * a[1], atol=1e-3))),
        Case("a head that is sure decides, float64", _sure, atol=1e-6),
    ),
    mistakes=(
        Mistake("The weights are the variances: the head with the larger variance should count less.", _with(_shares)),
        Mistake("The weights are 1 / standard deviation; minimum variance needs 1 / variance.",
                _with(lambda v: _shares(v**-0.5))),
        Mistake("All heads count the same: weight them by 1 / variance.", _with(lambda v: torch.ones_like(v) / len(v))),
        Mistake("The place is right; the fused variance is 1 / (sum of 1 / variance), not the mean of the variances.",
                _with(_right, lambda v, w: v.mean(0))),
        Mistake("The place is right; the variance of a weighted sum has the squares of the weights: sum of w^2 v.",
                _with(_right, lambda v, w: (w * v).sum(0))),
        Mistake("The place is right; the sum of the precisions is returned where its inverse, the variance, is wanted.",
                _with(_right, lambda v, w: (1 / v).sum(0))),
        Mistake("The place is right; this is a standard deviation: the variance is wanted.",
                _with(_right, lambda v, w: (1 / (1 / v).sum(0)).sqrt())),
        Mistake("The place is right; the variance is divided by the number of heads once more.",
                _with(_right, lambda v, w: 1 / (1 / v).sum(0) / len(v))),
        Mistake("The weights do not sum to 1: divide by the sum of 1 / variance.", _with(lambda v: 1 / v)),
        Mistake("The least uncertain head decides alone; the others know something too.",
                lambda estimates, variances: (
                    torch.gather(estimates, 0, variances.argmin(0)[None, ..., None].expand(1, *estimates.shape[1:]))[0],
                    variances.amin(0))),
    ),
    alternatives=(_by_weights, _two_at_a_time),
)
