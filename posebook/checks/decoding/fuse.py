"""fuse: its reference, cases and known mistakes."""

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def fuse(estimates, variances):
    """Minimum-variance mean of M heads, and its variance."""
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
    variances[1] = 1e-8
    return estimates, variances


def _of_weights(variances, weight):
    """The variance of a mean with these weights."""
    return ((weight / weight.sum(0)) ** 2 * variances).sum(0)


def _weighted(weight):
    """The place weighted otherwise, by what stands there in the place of the precision; the right variance."""
    return edited(fuse, {"(precision[..., None] * estimates).sum(0) / total":
                         f"(({weight})[..., None] * estimates).sum(0) / ({weight}).sum(0)"})


TURNED = See("fusion",
             "as if weighted by the variances: head 1, the better one, has the weight 0.20, and the mean 3.25 times "
             "the best variance", s2=2.0, reported=0.5)
ROOTS = See("fusion",
            "as if weighted by 1 / sd: weight 0.80 in place of 0.94, and worse than head 1 alone", s2=4.0, reported=2.0)
EQUAL = See("fusion",
            "with equal weights the mean has 1.56 times the best variance, more than head 1 alone",
            s2=2.0, reported=1.0)
SQUARED = See("fusion",
              "as if weighted by 1 / variance^2: weight 0.94 in place of 0.80, and 1.12 times the best variance",
              s2=2.0, reported=4.0)
FUSED = See("fusion",
            "the best mean has the variance 0.80 and the sd 0.89, both below those of head 1", s2=2.0, reported=2.0)
ALONE = See("fusion", "head 1 alone has 1.25 times the best variance", s2=2.0, reported=2.0)

PROBLEM = Problem(
    name="fuse", points=2, minutes=10,
    reference=fuse,
    own=("posebook.fusion.fuse_inverse_variance", "posebook.fusion.fuse_inverse_covariance",
         "posebook.fusion.fuse_correlated", "posebook.fusion.fuse_correlated_axes",
         "posebook.fusion._information_mean", "posebook.fusion._best"),
    cases=(
        Case("variances 1 and 4: weights 0.8 and 0.2, variance 0.8",
             lambda rng: (torch.tensor([[0.0, 0.0], [10.0, 5.0]]), torch.tensor([1.0, 4.0])), fixed=True),
        Case("one head is left as it is", lambda rng: _draw(rng, 1, 3)),
        Case("three heads, 2 x 4 keypoints: a variance for each", lambda rng: _draw(rng, 3, 2, 4), weight=2),
        Case("as many keypoints as axes, so that shapes do not tell them apart", lambda rng: _draw(rng, 2, 2)),
        Case("one axis", lambda rng: _draw(rng, 4, 3, d=1)),
        Case("moving all estimates moves the result", _moved, atol=1e-3,
             holds=lambda a, b: bool(torch.allclose(b[0] - a[0], torch.tensor(7.0), atol=1e-3))),
        Case("nine times the variances: the same place, nine times the variance", _scaled,
             holds=lambda a, b: bool(torch.allclose(b[1], 9 * a[1], atol=1e-3))),
        Case("a head that is sure decides, float64", _sure, atol=0.0, rtol=1e-6),
        Case("three heads, float64", lambda rng: _draw(rng, 3, 4, dtype=torch.float64), atol=0.0, rtol=1e-9),
    ),
    mistakes=(
        Mistake("The weights are the variances: the head with the larger variance should count less.",
                _weighted("variances"), see=TURNED),
        Mistake("The weights are 1 / standard deviation; minimum variance needs 1 / variance.",
                _weighted("precision**0.5"), see=ROOTS),
        Mistake("All heads count the same: weight them by 1 / variance.", _weighted("precision**0"), see=EQUAL),
        Mistake("The place is right; the fused variance is 1 / (sum of 1 / variance), not the mean of the variances.",
                changed(fuse, result=lambda out, variances: (out[0], variances.mean(0))), see=FUSED),
        Mistake("The place is right; the variance of a weighted sum has the squares of the weights: sum of w^2 v.",
                changed(fuse, result=lambda out, variances: (out[0], len(variances) * out[1])), see=FUSED),
        Mistake("The place is right; the sum of the precisions is returned where its inverse, the variance, is wanted.",
                edited(fuse, {", 1 / total": ", total"}), see=FUSED),
        Mistake("The place is right; this is a standard deviation: the variance is wanted.",
                edited(fuse, {", 1 / total": ", total**-0.5"}), see=FUSED),
        Mistake("The place is right; the variance is divided by the number of heads once more.",
                changed(fuse, result=lambda out, variances: (out[0], out[1] / len(variances))), see=FUSED),
        Mistake("The weights do not sum to 1: divide by the sum of 1 / variance.",
                edited(fuse, {" / total[..., None]": ""})),
        Mistake("The least uncertain head decides alone; the others know something too.",
                lambda estimates, variances: (
                    torch.take_along_dim(estimates, variances.argmin(0)[None, ..., None], 0)[0], variances.amin(0)),
                see=ALONE),
        Mistake("The weights are 1 / standard deviation; minimum variance needs 1 / variance.",
                changed(fuse, result=lambda out, estimates, variances: (
                    fuse(estimates, variances**0.5)[0], _of_weights(variances, variances**-0.5))), see=ROOTS),
        Mistake("The weights are the variances: the head with the larger variance should count less.",
                changed(fuse, result=lambda out, estimates, variances: (
                    fuse(estimates, 1 / variances)[0], _of_weights(variances, variances))), see=TURNED),
        *(Mistake("This is the plain mean: weight the heads by 1 / variance.",
                  lambda estimates, variances, of=of: (estimates.mean(0), of(variances)), see=EQUAL)
          for of in (lambda v: v.mean(0) / len(v), lambda v: v.mean(0), lambda v: v.sum(0))),
        *(Mistake("The weights are normalized over all keypoints: for each keypoint those of the M heads sum to 1.",
                  edited(fuse, {"/ total[..., None], 1 / total": text}))
          for text in ("/ total.sum(), 1 / total.sum()", "/ total.sum(), 1 / total")),
        Mistake("The weights are normalized over the last axis: it is the first, that of the M heads.",
                edited(fuse, {"(precision[..., None] * estimates).sum(0) / total[..., None]":
                              "((precision / precision.sum(-1, keepdim=True))[..., None] * estimates).sum(0)"})),
        Mistake("The weights are a softmax of the negative variances: they are proportional to 1 / variance.",
                changed(fuse, result=lambda out, estimates, variances: (
                    (torch.softmax(-variances, 0)[..., None] * estimates).sum(0),
                    _of_weights(variances, torch.softmax(-variances, 0))))),
        Mistake("The place is right; the fused variance is 1 / (sum of 1 / variance), not the sum of the variances.",
                changed(fuse, result=lambda out, variances: (out[0], variances.sum(0))), see=FUSED),
        Mistake("The place is right; the fused variance is below the least of them: 1 / (sum of 1 / variance).",
                changed(fuse, result=lambda out, variances: (out[0], variances.amin(0))), see=FUSED),
        Mistake("The variance has an axis too many: the D axes share one.",
                changed(fuse, result=lambda out: (out[0], out[1][..., None].expand_as(out[0])))),
        Mistake("The fused variance is missing: return both, the place and its variance.",
                changed(fuse, result=lambda out: out[0])),
        Mistake("The weights are 1 / variance^2: `variances` are squares already.",
                changed(fuse, variances=lambda variances: variances**2), see=SQUARED),
        *(Mistake("A number is added to the variances: they are positive, and a small one counts.",
                  edited(fuse, {"1 / variances": f"1 / (variances + 1e-{n})"})) for n in range(3, 8)),
        *(Mistake("A number is added to the sum of 1 / variance: it is positive, so nothing can be divided by 0.",
                  edited(fuse, {"precision.sum(0)": f"precision.sum(0) + 1e-{n}"})) for n in range(3, 8)),
        Mistake("You count on one axis of keypoints: `...` stands for any number of leading axes, none included.",
                edited(fuse, {"precision = ": "m, k, d = estimates.shape\n    precision = "})),
        Mistake("Part of it is computed in float32: the dtype of `estimates` is wanted all the way.",
                changed(fuse, estimates=lambda estimates: estimates.float(),
                        variances=lambda variances: variances.float(),
                        result=lambda out, estimates: tuple(part.to(estimates.dtype) for part in out))),
        Mistake("The results are always float32. They should have the dtype of `estimates`.",
                changed(fuse, result=lambda out: tuple(part.float() for part in out))),
    ),
    alternatives=(_by_weights, _two_at_a_time),
    clauses={
        "minimum-variance mean": "All heads count the same",
        "of M independent unbiased heads": "The place is right; the variance of a weighted sum has the squares",
        "and its variance":
            "The place is right; the fused variance is 1 / (sum of 1 / variance), not the mean",
        "Each head has one variance for each keypoint": "The weights are normalized over all keypoints",
        "which its D axes share": "The variance has an axis too many",
        "for each keypoint the weights of the heads": "The weights are normalized over the last axis",
        "weights of the heads sum to 1": "The weights do not sum to 1",
        "All variances are positive": "A number is added to the sum",
        "and may be very small": "A number is added to the variances",
        "tensors share one dtype, float32 or float64, and the result keeps it":
            "The results are always float32",
        "`...` stands for any number of leading axes, none included": "You count on one axis",
    },
)
