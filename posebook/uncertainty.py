"""How far off could it be? What a network, or several, claim of their own error, and whether such claims hold.

Errors and points are in px, or in any other unit all through; variances in its square.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from posebook import _args
from posebook.expectation import spread
from posebook.losses import gaussian_nll_loss, laplace_nll_loss

# ---------------------------------------------------------------------------------------------------------------------
# Several answers to one question: dropout left on, an ensemble, the width of a map

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


def mc_dropout(
    net: nn.Module, image: Tensor, *, samples: int, seed: int | None = None, batch: int = 256
) -> Tensor | tuple[Tensor, ...]:
    """Answers of a network whose dropout stays on, each with its own dropped units: Monte Carlo dropout.

    All else is in evaluation mode: batch normalization uses its running statistics and does not change them. After the
    call, also one that fails, every submodule has the mode that it had before. No gradients are kept.

    Args:
        net: any module in which dropout is a module, such as ``nn.Dropout2d``; ``F.dropout`` inside another module
            follows the mode of that one and stays off.
        image: what the net takes, ``(B, ...)``.
        samples: how many answers T to each image, >= 1.
        seed: of the dropped units, which leaves torch's own generators as they were; None draws from these.
        batch: how many images go through the net at once, at least the B of one sample. With the same seed another
            ``batch`` drops other units.

    Returns:
        ``(T, B, ...)``, or a tuple of such where the net returns a tuple.

    Raises:
        ValueError: a net without dropout, or bad numbers.

    See chapter 4, section 4.7.

    Source: Gal and Ghahramani 2016, arXiv:1506.02142.

    >>> found = mc_dropout(nn.Dropout(0.5), torch.ones(4, 3), samples=1000, seed=0)
    >>> found.shape, found.unique()    # dropped, or divided by 1 - p
    (torch.Size([1000, 4, 3]), tensor([0., 2.]))
    """
    _args.whole("samples", samples, 1)
    _args.whole("batch", batch, 1)
    if seed is not None:
        _args.whole("seed", seed)
    modes = [(module, module.training) for module in net.modules()]
    dropouts = [module for module in net.modules() if isinstance(module, DROPOUT)]
    if not dropouts:
        _args.fail("net", "a module with dropout in it", type(net).__name__)
    each = max(1, batch // max(1, len(image)))  # samples that go through the net together
    sizes = [min(each, samples - start) for start in range(0, samples, each)]
    try:
        net.eval()
        for module in dropouts:
            module.training = True
        with torch.no_grad(), _seeded(seed):
            outputs = [net(image.repeat(n, *[1] * (image.ndim - 1))) for n in sizes]  # (n * B, ...)
    finally:
        for module, mode in modes:
            module.training = mode
    if isinstance(outputs[0], tuple):
        return tuple(_by_sample(parts, sizes) for parts in zip(*outputs, strict=True))
    return _by_sample(outputs, sizes)


def _by_sample(parts: list[Tensor], sizes: list[int]) -> Tensor:
    return torch.cat([part.unflatten(0, (n, len(part) // n)) for part, n in zip(parts, sizes, strict=True)])


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


class SampleMoments(NamedTuple):
    """Mean ``(..., D)`` and covariance ``(..., D, D)``."""

    mean: Tensor
    covariance: Tensor


def sample_moments(points: Tensor, *, correction: int = 1) -> SampleMoments:
    """Mean and covariance of several answers to one question: dropout's samples, or the members of an ensemble.

    Args:
        points: ``(M, ..., D)``, M answers.
        correction: the sum of squares is divided by M - correction: 1 estimates without bias how much one answer
            scatters; 0 is (M - 1) / M times that on average, and the covariance of these M answers as they are.

    Returns:
        mean ``(..., D)`` and covariance ``(..., D, D)``, in the dtype of ``points``.

    Raises:
        ValueError: fewer than two axes, an integer dtype, or M not above the correction.

    See also :func:`posebook.theory.sample_variance_std`: from ten answers a variance has a standard deviation of 47 %.

    >>> sample_moments(torch.tensor([[1., 0.], [3., 0.]])).covariance
    tensor([[2., 0.],
            [0., 0.]])
    """
    _args.floating("points", points, "(M, ..., D)")
    _args.whole("correction", correction, 0)
    if points.ndim < 2 or len(points) <= correction:
        _args.fail("points", f"shape (M, ..., D) with M > {correction}", tuple(points.shape))
    wide = _args.widen(points)
    mean = wide.mean(0)
    off = wide - mean
    covariance = (off[..., :, None] * off[..., None, :]).sum(0) / (len(points) - correction)
    return SampleMoments(mean.to(points.dtype), covariance.to(points.dtype))


class Uncertainty(NamedTuple):
    """Mean ``(..., D)``, and two covariances ``(..., D, D)`` of the error whose sum is :attr:`total`.

    Aleatoric is what each network says that no network could know, epistemic is what they disagree about.
    """

    mean: Tensor
    aleatoric: Tensor
    epistemic: Tensor

    @property
    def total(self) -> Tensor:
        """``(..., D, D)``."""
        return self.aleatoric + self.epistemic


def ensemble_uncertainty(points: Tensor, variance: Tensor, *, correction: int = 1) -> Uncertainty:
    """Mean of the members' variances, aleatoric, and covariance of their answers, epistemic: the law of total variance.

    Args:
        points: ``(M, ..., D)``, the answers of M networks.
        variance: ``(M, ...)`` the same on each axis, ``(M, ..., D)`` per axis, or covariances ``(M, ..., D, D)``: what
            each claims of its own error.
        correction: 1 estimates without bias how much one such network, trained anew, would scatter; 0 is the
            covariance of the mixture of these M.

    Raises:
        ValueError: as :func:`sample_moments`, or a variance of another shape.

    See chapter 4, section 4.8.

    Source: Lakshminarayanan, Pritzel and Blundell 2017, arXiv:1612.01474 (correction 0); the two names as in Kendall
    and Gal 2017, arXiv:1703.04977.

    >>> both = ensemble_uncertainty(torch.tensor([[1., 0.], [3., 0.]]), torch.tensor([2., 4.]))
    >>> both.total
    tensor([[5., 0.],
            [0., 3.]])
    """
    mean, epistemic = sample_moments(points, correction=correction)
    kind = _kind(variance, points)
    wide = _args.widen(variance)
    if kind != "full":
        wide = torch.diag_embed((wide[..., None] if kind == "isotropic" else wide).expand(points.shape))
    return Uncertainty(mean, wide.mean(0).to(points.dtype), epistemic)


def excess_variance(logits: Tensor, sigma: float, tau: float = 1.0) -> Tensor:
    r"""A map's own variance per axis less that of its target, :math:`\frac12 \operatorname{tr} \Sigma - \sigma^2`.

    Targets of width sigma and a network that is unsure by nu cells on each axis make a map of variance
    :math:`\sigma^2 + \nu^2`, if the loss is least where the softmax is the mean target, as cross-entropy's is.

    Args:
        logits: scores ``(..., H, W)``.
        sigma: width of the target's Gaussian in cells, > 0.
        tau: temperature > 0 of the softmax, in units of ``logits``.

    Returns:
        ``(...)`` in cells squared: times stride squared, px squared. Below 0 where the map is narrower than the target;
        clamp it before a root is drawn.

    Raises:
        ValueError: as :func:`posebook.expectation.spread`, or sigma <= 0.

    See chapter 4, section 4.6.

    >>> from posebook.encode import gaussian_heatmap
    >>> logits = gaussian_heatmap(torch.tensor([20.3, 19.6]).double(), (40, 40), sigma=2.5).log()
    >>> round(excess_variance(logits, 2.0).item(), 4)    # 2.5^2 - 2^2
    2.25
    """
    _args.positive("sigma", sigma)
    covariance = _args.widen(spread(logits, tau)[1])
    return (covariance.diagonal(dim1=-2, dim2=-1).mean(-1) - sigma**2).to(logits.dtype)


# ---------------------------------------------------------------------------------------------------------------------
# A density of errors that is learned


class ResidualFlow(nn.Module):
    """A density of standardized residuals, learned with the network: the change that it makes to a simple one.

    Each layer moves and stretches one axis by what the other is, so that densities stay densities: RealNVP. At the
    start it changes nothing, and the loss is that of the base. ``residual_nll_loss(found, xy, log_scale,
    flow.log_prob)`` trains both; afterwards the flow is not needed to answer. As it may stretch, the scale is no longer
    a standard deviation by itself.

    The paper multiplies the base by a flow's density and leaves out the factor that makes the product's integral 1.
    Here the base is what the flow starts from, so that the integral is 1 by construction.

    Args:
        base: "laplace" or "gaussian", of scale 1 on each axis.
        layers: how many, >= 1; an even number moves both axes equally often.
        hidden: units of each layer's network, >= 1.

    Source: Li et al. 2021, arXiv:2107.11291; RealNVP, Dinh et al. 2017, arXiv:1605.08803.

    >>> flow = ResidualFlow()
    >>> round(flow.log_prob(torch.tensor([1., -2.])).item(), 4)    # as yet -3 - 2 log(2)
    -4.3863
    """

    def __init__(self, *, base: str = "laplace", layers: int = 4, hidden: int = 16):
        super().__init__()
        _args.one_of("base", base, ("laplace", "gaussian"))
        _args.whole("layers", layers, 1)
        _args.whole("hidden", hidden, 1)
        self.nll = {"laplace": laplace_nll_loss, "gaussian": gaussian_nll_loss}[base]
        self.nets = nn.ModuleList(
            nn.Sequential(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 2)) for _ in range(layers)
        )
        for net in self.nets:
            nn.init.zeros_(net[2].weight)
            nn.init.zeros_(net[2].bias)

    def log_prob(self, residual: Tensor) -> Tensor:
        """Log density ``(...)`` in nats of residuals ``(..., 2)``, each an error over its scale."""
        _args.points("residual", residual)
        z, log_det = residual, 0.0
        for k, net in enumerate(self.nets):
            kept, moved = z[..., k % 2], z[..., 1 - k % 2]
            stretch, shift = net(kept[..., None]).unbind(-1)
            stretch = stretch.tanh()  # at most e-fold
            moved = moved * stretch.exp() + shift
            z = torch.stack((moved, kept) if k % 2 else (kept, moved), dim=-1)
            log_det = log_det + stretch
        return log_det - self.nll(torch.zeros_like(z), z, torch.zeros_like(z))


# ---------------------------------------------------------------------------------------------------------------------
# Do claims hold?


def squared_mahalanobis(error: Tensor, variance: Tensor) -> Tensor:
    r"""Squared error in units of the claim, :math:`e^\top S^{-1} e`: chi-square with 2 degrees of freedom if it holds.

    Args:
        error: found minus true, ``(..., 2)``; NaN where there is no truth.
        variance: claimed, > 0: ``(...)`` the same on both axes, ``(..., 2)`` per axis, or covariances ``(..., 2, 2)``.

    Returns:
        ``(...)``, 2 on average where the claim holds; NaN where the error is.

    Raises:
        ValueError: not ``(..., 2)``, a variance of another shape, or one that is not > 0.

    >>> squared_mahalanobis(torch.tensor([[3., 4.], [2., 2.]]), torch.tensor([25., 1.]))
    tensor([1., 8.])
    """
    _args.points("error", error)
    kind, wide, scale = _kind(variance, error), _args.widen(error), _args.widen(variance)
    if kind == "full":
        _args.definite("variance", variance, (*error.shape, 2))
        unit = torch.linalg.solve_ex(scale, wide[..., None].to(scale.dtype))[0][..., 0]
        return (wide * unit).sum(-1).to(error.dtype)
    if _args.readable(variance) and not (variance > 0).all():
        _args.fail("variance", "> 0", "values that are not")
    return (wide.square() / (scale[..., None] if kind == "isotropic" else scale)).sum(-1).to(error.dtype)


def scale_variances(error: Tensor, variance: Tensor, *, fit: str = "likelihood") -> Tensor:
    r"""The one factor for all variances that fits held-out errors best.

    "likelihood" is the mean of :math:`e^\top S^{-1} e / 2`, which makes Gaussian errors most likely: a few that are
    large for their claim decide it. "median" is the median of :math:`e^\top S^{-1} e` over :math:`2 \ln 2`: half of the
    errors then lie within the ellipse that claims half. Both are 1 for a Gaussian claim that holds. They mend claims
    that are all too small or all too large; which keypoint is surer than which stays as it was.

    Args:
        error: found minus true on pictures of no training, ``(..., 2)``; NaN where there is no truth.
        variance: as :func:`squared_mahalanobis`.
        fit: "likelihood" or "median".

    Returns:
        a scalar, by which the variances are multiplied; NaN if there is no truth at all.

    Raises:
        ValueError: as :func:`squared_mahalanobis`, or an unknown fit.

    See chapter 4, section 4.9.

    >>> error = torch.tensor([[3., 4.], [float("nan"), 0.]])
    >>> scale_variances(error, torch.ones(2)), scale_variances(error, torch.ones(2), fit="median")
    (tensor(12.5000), tensor(18.0337))
    """
    _args.one_of("fit", fit, ("likelihood", "median"))
    square = _args.widen(squared_mahalanobis(error, variance))
    factor = square.nanmean() / 2 if fit == "likelihood" else square.nanmedian() / (2 * math.log(2))
    return factor.to(error.dtype)


class Reliability(NamedTuple):
    """What was claimed, what was observed, and in how many cases: one entry for each level or bin."""

    claimed: Tensor
    observed: Tensor
    count: Tensor


def point_reliability(error: Tensor, variance: Tensor, *, levels: int = 9) -> Reliability:
    r"""How often the truth lies within the ellipse that is claimed to hold it with this probability.

    For a Gaussian claim the ellipse of probability q is :math:`e^\top S^{-1} e \le -2 \ln(1 - q)`.

    Args:
        error: found minus true, ``(..., 2)``; NaN where there is no truth.
        variance: as :func:`squared_mahalanobis`.
        levels: how many probabilities q, evenly between 0 and 1: nine are 0.1, 0.2 ... 0.9.

    Returns:
        claimed q, observed fraction (NaN if there is no truth), and number of keypoints, each ``(levels,)``. Observed
        below claimed is too sure.

    Raises:
        ValueError: as :func:`squared_mahalanobis`, or fewer than one level.

    See chapter 4, section 4.9.

    Source: Kuleshov, Fenner and Ermon 2018, arXiv:1807.00263, in two dimensions.

    >>> far = torch.tensor([[0.1, 0.], [1., 1.], [3., 0.]])    # within 0.5 %, 63 % and 99 %
    >>> point_reliability(far, torch.ones(3), levels=3).observed
    tensor([0.3333, 0.3333, 0.6667])
    """
    _args.whole("levels", levels, 1)
    square = _args.widen(squared_mahalanobis(error, variance)).flatten()
    reached = -torch.expm1(square[~square.isnan()] / -2)  # the probability of the ellipse on whose edge the truth lies
    claimed = torch.arange(1, levels + 1, dtype=reached.dtype, device=reached.device) / (levels + 1)
    within = (reached[:, None] <= claimed).to(reached.dtype)
    return Reliability(claimed, within.mean(0), torch.full_like(claimed, len(reached), dtype=torch.int64))


def score_reliability(score: Tensor, correct: Tensor, *, bins: int = 10) -> Reliability:
    """Accuracy against confidence, in bins of equal width: the reliability diagram of a score from 0 to 1.

    Args:
        score: ``(...)`` from 0 to 1, the claimed probability of being correct.
        correct: ``(...)`` bool.
        bins: how many; an edge belongs to the bin below it.

    Returns:
        mean score, fraction correct and number, each ``(bins,)``; an empty bin has NaN, NaN and 0.

    Raises:
        ValueError: scores outside 0 to 1 or NaN, ``correct`` of another shape or dtype, or fewer than one bin.

    Source: Guo et al. 2017, arXiv:1706.04599.

    >>> score_reliability(torch.tensor([0.25, 0.5, 0.75, 1.]), torch.tensor([False, False, True, True]), bins=2)
    Reliability(claimed=tensor([0.3750, 0.8750]), observed=tensor([0., 1.]), count=tensor([2, 2]))
    """
    _args.floating("score", score, "(...)")
    _args.mask("correct", correct, score.shape)
    _args.whole("bins", bins, 1)
    if _args.readable(score) and not ((score >= 0) & (score <= 1)).all():
        _args.fail("score", "from 0 to 1", "values that are not")
    wide = _args.widen(score).flatten()
    edges = torch.arange(1, bins, dtype=wide.dtype, device=wide.device) / bins
    which = torch.bucketize(wide, edges)[None] == torch.arange(bins, device=wide.device)[:, None]  # (bins, N)
    count = which.sum(1)
    return Reliability((which * wide).sum(1) / count, (which & correct.flatten()).sum(1) / count.to(wide.dtype), count)


def expected_calibration_error(reliability: Reliability) -> Tensor:
    """Mean distance of observed from claimed, each level or bin with the weight of its count: ECE, from 0 to 1.

    With few cases in a bin it is above 0 for claims that hold, too.

    Args:
        reliability: of :func:`point_reliability` or :func:`score_reliability`.

    Returns:
        a scalar; NaN without any case.

    See chapter 4, section 4.9.

    Source: Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, arXiv:1706.04599.

    >>> claimed, observed = torch.tensor([0.2, 0.8]), torch.tensor([0.2, 0.4])
    >>> expected_calibration_error(Reliability(claimed, observed, count=torch.tensor([3, 1])))
    tensor(0.1000)
    """
    _args.instance("reliability", reliability, Reliability)
    claimed, observed, count = reliability
    gap = torch.where(count > 0, (observed - claimed).abs(), 0)
    return (gap * count).sum() / count.sum()


def conformal_radius(residuals: Tensor, alpha: float) -> Tensor:
    r"""Radius that a new residual does not exceed with probability at least :math:`1 - \alpha`, whatever the network.

    The :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th smallest of n residuals that no training has seen; infinite where
    there is no such one, at :math:`n < 1 / \alpha - 1`. Without ties the probability is below :math:`1 - \alpha + 1 /
    (n + 1)`. It is a mean over pictures to come *and* over draws of these n, and it holds where the new picture is
    exchangeable with them: for pictures of another kind, nothing is promised. Each of the n is a picture: the keypoints
    of one picture err together, and counted as pictures they promise too much.

    Args:
        residuals: ``(n, ...)`` >= 0, such as the distances found to true of n pictures; ``(n, K)`` gives each keypoint
            its own radius. NaN where there is no truth, which lowers that keypoint's n. Divide each by what the network
            claims, such as its standard deviation > 0, and multiply the radius by the new claim: then it is larger
            where the network is less sure.
        alpha: how often it may be wrong, between 0 and 1.

    Returns:
        ``(...)``.

    Raises:
        ValueError: no axis, an integer dtype, or alpha outside.

    See chapter 4, section 4.10.

    Source: Vovk, Gammerman and Shafer 2005; Angelopoulos and Bates 2021, arXiv:2107.07511; by a claim Lei et al. 2018,
    arXiv:1604.04173.

    >>> conformal_radius(torch.arange(1., 10.), 0.2), conformal_radius(torch.arange(1., 10.), 0.05)
    (tensor(8.), tensor(inf))
    """
    _args.floating("residuals", residuals, "(n, ...)")
    if residuals.ndim < 1:
        _args.fail("residuals", "shape (n, ...)", tuple(residuals.shape))
    if not _args.is_number(alpha) or not 0 < alpha < 1:
        _args.fail("alpha", "a number between 0 and 1", _args.shown(alpha))
    counts = ~residuals.isnan()
    n = counts.sum(0)
    beyond = residuals.new_full((1, *residuals.shape[1:]), math.inf)
    ordered = torch.cat((torch.where(counts, residuals, math.inf), beyond)).sort(0).values  # (n + 1, ...)
    rank = ((n.double() + 1) * (1 - alpha) - 1e-9).ceil().clamp(min=1).long()  # 10 * (1 - 0.7) is above 3 in floats
    return ordered.gather(0, rank[None] - 1)[0]


def _kind(variance: Tensor, points: Tensor) -> str:
    """Whether a variance is the same on all axes of the points, one for each axis, or full."""
    _args.floating("variance", variance, "(...), (..., 2) or (..., 2, 2)")
    shape = (*points.shape,)
    kinds = {shape[:-1]: "isotropic", shape: "per axis", (*shape, *shape[-1:]): "full"}
    if (*variance.shape,) not in kinds:
        _args.fail("variance", "shape " + " or ".join(map(str, kinds)), (*variance.shape,))
    return kinds[(*variance.shape,)]
