"""expected_oks: its reference, cases and known mistakes."""

import math
from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def expected_oks(area, k, covariance):
    """Mean similarity of a keypoint whose error is Gaussian: (...)."""
    reach = area * k**2  # px^2: where the similarity falls to exp(-1/2), squared
    spread = torch.eye(2, dtype=covariance.dtype) + covariance / reach
    return torch.linalg.det(spread).rsqrt()


def _by_hand(area, k, covariance):
    s = covariance / (area * k * k)
    a, b, c, d = s[..., 0, 0], s[..., 0, 1], s[..., 1, 0], s[..., 1, 1]
    return 1 / torch.sqrt((1 + a) * (1 + d) - b * c)


def _by_trace(area, k, covariance):
    """det(I + S) is 1 + trace S + det S."""
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    det = covariance[..., 0, 0] * covariance[..., 1, 1] - covariance[..., 0, 1] ** 2
    size = math.sqrt(area) * k
    return (1 + trace / size**2 + det / size**4) ** -0.5


def _by_axes(area, k, covariance):
    """Along the axes of the ellipse the two errors are independent: a product of two means."""
    v = torch.linalg.eigvalsh(covariance).clamp(min=0)
    return (1 + v / (area * k**2)).rsqrt().prod(-1)


def _by_quadrature(area, k, covariance):
    z, weight = np.polynomial.hermite_e.hermegauss(120)
    weight = weight / weight.sum()
    v, axes = np.linalg.eigh(covariance.double().numpy())
    root = axes * np.sqrt(np.clip(v, 0, None))[..., None, :]
    e = np.einsum("...ij,pqj->...pqi", root, np.stack(np.meshgrid(z, z), -1))
    similarity = np.exp(-(e**2).sum(-1) / (2 * area * k**2))
    return torch.tensor(np.einsum("...pq,p,q->...", similarity, weight, weight).tolist(), dtype=covariance.dtype)


def _by_loops(area, k, covariance):
    out = torch.empty(covariance.shape[:-2], dtype=covariance.dtype)
    for at in np.ndindex(*out.shape):
        (a, b), (_, d) = covariance[at].tolist()
        out[at] = float(np.linalg.det(np.eye(2) + np.array([[a, b], [b, d]]) / (area * k**2))) ** -0.5
    return out


def _by_cholesky(area, k, covariance):
    root = torch.linalg.cholesky(covariance)
    return torch.linalg.det(torch.eye(2, dtype=covariance.dtype) + root.mT @ root / (area * k**2)).rsqrt()


def _by_inverse(area, k, covariance):
    precision = torch.linalg.inv(covariance)
    both = precision + torch.eye(2, dtype=covariance.dtype) / (area * k**2)
    return (torch.linalg.det(precision) / torch.linalg.det(both)).sqrt()


def _by_simulation(area, k, covariance, draws=20_000):
    z = torch.randn(draws, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v, axes = torch.linalg.eigh(covariance.double())
    root = axes * v.clamp(min=0).sqrt()[..., None, :]
    squared = (z @ root.mT).square().sum(-1)
    return torch.exp(-squared / (2 * area * k**2)).mean(-1).to(covariance.dtype)


REACH, SPREAD = "area * k**2", "torch.eye(2, dtype=covariance.dtype) + covariance / reach"
RESULT = "torch.linalg.det(spread).rsqrt()"
VARIANCES = "covariance.diagonal(dim1=-2, dim2=-1)"


def _edit(old, new):
    return edited(expected_oks, {old: new})


def _result(text):
    return edited(expected_oks, {RESULT: text})


def _person(rng):
    """An area and a k: a person of 30 to 90 px, and her keypoints."""
    return uniform(rng, 30, 90) ** 2, uniform(rng, 0.06, 0.18)


def _draw(rng, *shape, low=0.2, high=3.0, dtype=torch.float32):
    """Ellipses that lie aslant, with variances from ``low`` to ``high`` area k^2 along their axes."""
    area, k = _person(rng)
    v = low + (high - low) * torch.rand(*shape, 2, generator=rng, dtype=dtype)
    v[..., 0] *= 0.3  # nowhere round
    angle = 0.4 + 0.8 * torch.rand(shape, generator=rng, dtype=dtype)
    axes = torch.stack((torch.stack((angle.cos(), -angle.sin()), -1), torch.stack((angle.sin(), angle.cos()), -1)), -2)
    covariance = area * k**2 * (axes * v[..., None, :]) @ axes.mT
    return area, k, (covariance + covariance.mT) / 2


def _upright(rng):
    """Ellipses along x and y."""
    area, k = _person(rng)
    return area, k, torch.diag_embed(area * k**2 * (0.1 + 3 * torch.rand(4, 2, generator=rng)))


def _along_a_line(rng):
    """Errors along one line only, in binary fractions: the determinant is exactly 0."""
    area, k = _person(rng)
    way = torch.tensor([[1.0, 0.0], [1.0, 2.0], [2.0, -1.0], [1.0, 1.0]])
    lines = way[:, :, None] * way[:, None, :]  # of variance 1 to 5 px^2 along it
    return area, k, lines * 2.0 ** int(math.log2(area * k**2))


def _round(rng):
    area, k = _person(rng)
    return area, k, uniform(rng, 0.5, 3) * area * k**2 * torch.eye(2)


def _turned(rng):
    area, k, covariance = _draw(rng, 3)
    angle = uniform(rng, 0.5, 1)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return (area, k, covariance), (area, k, turn @ covariance @ turn.T)


def _three_times(rng):
    area, k, covariance = _draw(rng, 3)
    return (area, k, covariance), (9 * area, k, 9 * covariance)


def _same(a, b):
    return bool(torch.allclose(a, b, atol=3e-4))


Near = partial(Case, atol=1e-4)

CURVE = See("dropout",
            "OKS is expected to be 0.30, as v / kappa² = 2.29; at the mean squared error it would be exp(-2.29), a "
            "third of that", p=0.9)
LARGE = See("dropout", "v / kappa² = 2.29, so 1 - v / kappa² is below 0; OKS is expected to be 0.30", p=0.9)
AREA = See("dropout", "the same errors leave a small person an expected OKS of 0.50; move size to 320", size=24.0)

PROBLEM = Problem(
    name="expected_oks", points=3, minutes=25,
    reference=expected_oks,
    own=("posebook.theory.expected_oks",),
    cases=(
        Near("area 2500, k 0.1 and a variance of 25 px^2 along x and y: 25 is area k^2, so 1/2",
             lambda rng: (2500.0, 0.1, 25 * torch.eye(2)), fixed=True),
        Near("round ellipses", _round),
        Near("ellipses along x and y", _upright),
        Near("ellipses aslant", lambda rng: _draw(rng, 4), weight=2),
        Near("small errors", lambda rng: _draw(rng, 4, low=0.01, high=0.1)),
        Near("large errors, variances up to 10 area k^2", lambda rng: _draw(rng, 4, low=5.0, high=10.0)),
        Near("errors along one line: the covariance is singular", _along_a_line, weight=2),
        Near("no errors: 1", lambda rng: (*_person(rng), torch.zeros(2, 2)), fixed=True),
        Near("leading axes: (2, 3, 2, 2)", lambda rng: _draw(rng, 2, 3)),
        Near("a single covariance, (2, 2)", lambda rng: _draw(rng)),
        Near("turned about: the same", _turned, holds=_same),
        Near("three times as large, an area nine times as large: the same", _three_times, holds=_same),
        Near("float64", lambda rng: _draw(rng, 4, dtype=torch.float64)),
    ),
    mistakes=(
        Mistake("k is not squared: both area and |e|^2 are in square pixels, and k has no unit.", _edit("k**2", "k")),
        Mistake("k is taken for sigma and doubled: the statement gives k itself.",
                _edit("k**2", "(2 * k) ** 2")),
        Mistake("The 2 stands in the determinant as well: exp(-e^2 / (2 s)) with e of variance v has the mean "
                "(1 + v / s)^(-1/2).", _edit("covariance / reach", "covariance / (2 * reach)")),
        Mistake("The 2 is lost: the exponent is |e|^2 / (2 area k^2), not |e|^2 / (area k^2).",
                _edit("covariance / reach", "2 * covariance / reach")),
        Mistake("The area is squared: it is in square pixels already.", _edit(REACH, "area**2 * k**2")),
        Mistake("The root of the area is taken: |e|^2 is in square pixels, and so must be what it is divided by.",
                _edit(REACH, "area**0.5 * k**2")),
        Mistake("The area is missing: the same error in pixels weighs less on a large person.", _edit(REACH, "k**2"),
                see=AREA),
        Mistake("This is the similarity of the mean squared error: the mean of a curve is not the curve at the mean. "
                "Which of both is larger here?", _result(f"torch.exp(-{VARIANCES}.sum(-1) / (2 * reach))"), see=CURVE),
        Mistake("This is the similarity of an error of 1 sd along each axis of one mean variance: average over all "
                "errors.", _result(f"torch.exp(-{VARIANCES}.mean(-1) / (2 * reach))")),
        Mistake("This is the similarity at a distance of sd x + sd y: average over all errors.",
                _result(f"torch.exp(-{VARIANCES}.sqrt().sum(-1).square() / (2 * reach))")),
        Mistake("This is the beginning of a series, 1 - mean |e|^2 / (2 area k^2): errors are not small.",
                _result(f"1 - {VARIANCES}.sum(-1) / (2 * reach)"), see=LARGE),
        Mistake("This is the beginning of a series, 1 / (1 + mean |e|^2 / (2 area k^2)): errors are not small, and "
                "two axes of different size are not one.", _result(f"1 / (1 + {VARIANCES}.sum(-1) / (2 * reach))")),
        Mistake("The product of the two variances is left out: the determinant of I + S is 1 + trace S + det S.",
                _result(f"(1 + {VARIANCES}.sum(-1) / reach).rsqrt()")),
        Mistake("The sum of the two variances is left out: the determinant of I + S is 1 + trace S + det S.",
                _result("(1 + torch.linalg.det(covariance / reach)).rsqrt()")),
        Mistake("Only the variances take part: the covariance of x and y says whether the ellipse lies aslant, and "
                "then it is narrower than it seems.", _result(f"(1 + {VARIANCES} / reach).rsqrt().prod(-1)")),
        Mistake("The covariance of x and y is added with the wrong sign, as if it made errors larger.",
                _result("((1 + covariance[..., 0, 0] / reach) * (1 + covariance[..., 1, 1] / reach) + "
                        "(covariance[..., 0, 1] / reach).square()).rsqrt()")),
        Mistake("The covariance of x and y is not squared in the determinant.",
                _result("((1 + covariance[..., 0, 0] / reach) * (1 + covariance[..., 1, 1] / reach) - "
                        "covariance[..., 0, 1] / reach).clamp(min=1e-3).rsqrt()")),
        Mistake("Only the first axis takes part: errors have an x and a y.",
                _result("(1 + covariance[..., 0, 0] / reach).rsqrt()")),
        Mistake("The means along the two axes are averaged: the similarity of both is the product.",
                _result("(1 + torch.linalg.eigvalsh(covariance) / reach).rsqrt().mean(-1)")),
        Mistake("The larger variance stands for both: an ellipse has two.",
                _result("1 / (1 + torch.linalg.eigvalsh(covariance)[..., 1] / reach)")),
        Mistake("A circle of the same area stands for the ellipse: along a line that is no error at all.",
                _result("1 / (1 + torch.linalg.det(covariance).clamp(min=0).sqrt() / reach)")),
        Mistake("The root is missing: it is the determinant to the power -1/2.", _edit(".rsqrt()", ".reciprocal()")),
        Mistake("The determinant is not inverted: similarity falls with the variance.", _edit(".rsqrt()", ".sqrt()")),
        Mistake("The identity is missing: without errors the similarity is 1, not infinite.",
                _edit(SPREAD, "covariance / reach")),
        Mistake("1 is added to all four numbers: the identity has ones on its diagonal only.",
                _edit(SPREAD, "1 + covariance / reach")),
        Mistake("The covariance is taken for the errors' standard deviations: its entries are in px^2 already.",
                _edit("covariance / reach", "covariance @ covariance / reach")),
        Mistake("The roots of the entries are taken: |e|^2 goes with variances, in px^2.",
                _edit("covariance / reach", "covariance.abs().sqrt() / reach")),
        Mistake("The determinant of the inverse is needed only if you write it so: a singular covariance has no "
                "inverse and no Cholesky root, and `MultivariateNormal` refuses it. Which form needs neither?",
                _by_cholesky),
        Mistake("The determinant of the inverse is needed only if you write it so: a singular covariance has no "
                "inverse and no Cholesky root, and `MultivariateNormal` refuses it. Which form needs neither?",
                _by_inverse),
        Mistake("Where the covariance is singular the result is 1: errors along a line are errors.",
                changed(expected_oks, result=lambda out, covariance: torch.where(
                    covariance[..., 0, 0] * covariance[..., 1, 1] == covariance[..., 0, 1] ** 2, 1.0, out))),
        Mistake("This is a simulation, from 20000 draws: it is right to a few thousandths. For a Gaussian the mean can "
                "be written down.", _by_simulation),
        Mistake("This is the loss of similarity, 1 - OKS.", changed(expected_oks, result=lambda out: 1 - out)),
        Mistake("One mean is taken over all of them: each covariance has its own.",
                changed(expected_oks, result=lambda out: out.mean().expand_as(out).clone())),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`covariance[..., 0, 0]` does not care.",
                  edited(expected_oks, {"reach = ": f"{text}\n    reach = "}))
          for text in ("n, two, _ = covariance.shape", "n, m, two, _ = covariance.shape")),
        Mistake("A single similarity is returned as a number: keep it a tensor, without axes.",
                changed(expected_oks, result=lambda out: out if out.ndim else out.item())),
        Mistake("The result is always float32. It should have the dtype of `covariance`.",
                changed(expected_oks, result=lambda out: out.float())),
    ),
    alternatives=(_by_hand, _by_trace, _by_axes, _by_quadrature, _by_loops),
    clauses={
        "\\exp\\left(-\\frac{|e|^2}{2 \\, \\mathrm{area} \\, k^2}\\right)": "The 2 is lost",
        "The mean of": "This is the similarity of the mean squared error",
        "for an error $e$ in px that is Gaussian": "Only the first axis takes part",
        "with `covariance` in square px": "The covariance is taken for the errors' standard deviations",
        "`area` in square px": "The area is squared",
        "`k`, without a unit": "k is taken for sigma",
        "right to 1e-4": "This is a simulation",
        "It may be singular": "The determinant of the inverse",
        "one for each covariance": "One mean is taken over all",
        "`...` stands for any number of leading axes, none included": "You count on one number of axes",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
