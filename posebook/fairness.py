"""Who is judged worse, by how much, and how surely: gaps between two groups of people, with intervals.

A score is one number for a keypoint, a picture or a person, such as an OKS; a gap is the mean of one group less that of
the other. Scores of one person rise and fall together, so that persons, not scores, are what is drawn again.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from posebook import _args
from posebook.skeleton import COCO_17

_AT_ONCE = 2**22  # persons times draws that are held at once


class Gap(NamedTuple):
    """A difference of means and the ends of its interval, each ``(...)``."""

    gap: Tensor
    low: Tensor
    high: Tensor


def gap(scores: Tensor, group: Tensor) -> Tensor:
    """Mean of the scores where ``group``, minus the mean elsewhere.

    Args:
        scores: ``(..., n)``, finite.
        group: ``(n,)`` bool.

    Returns:
        ``(...)`` in the scores' dtype and unit.

    Raises:
        ValueError: scores that are not finite or not floating, a group of another shape or dtype, or an empty group.

    See chapter 5, section 5.13.

    >>> gap(torch.tensor([0.5, 0.7, 0.9]), torch.tensor([True, False, False]))
    tensor(-0.3000)
    """
    _check(scores, group)
    wide = scores.double()
    return (wide[..., group].mean(-1) - wide[..., ~group].mean(-1)).to(scores.dtype)


def bootstrap_gap(
    scores: Tensor, group: Tensor, person: Tensor | None = None, *, draws: int = 2000, level: float = 0.95,
    seed: int = 0,
) -> Gap:  # fmt: skip
    """The gap and its interval by the percentile bootstrap: whole persons are drawn again, with replacement.

    Each group's persons are drawn by themselves, as many as it has; a person drawn twice brings all scores twice. If
    each score were drawn by itself, the interval of scores that rise and fall together would be too narrow.

    Args:
        scores: ``(..., n)``, finite; all leading entries are drawn alike.
        group: ``(n,)`` bool.
        person: ``(n,)`` int64, whose score it is, any ids; None: each score is of another person.
        draws: how often, >= 1.
        level: probability that the interval is to hold the true gap, between 0 and 1.
        seed: of a generator of its own.

    Returns:
        :class:`Gap`; the ends are quantiles (linear) of the drawn gaps.

    Raises:
        ValueError: as :func:`gap`, fewer than two persons in a group, somebody in both, or bad numbers. Of the same
            people twice, :func:`paired_gap` is the gap.

    See chapter 5, section 5.14.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993; whole clusters, Davison and Hinkley 1997.

    >>> scores = torch.tensor([1., 1., 0.5, 0.5, 0.875, 0.875, 0.625, 0.625])
    >>> group, person = torch.arange(8) < 4, torch.arange(8) // 2
    >>> bootstrap_gap(scores, group, person)    # two persons in each group
    Gap(gap=tensor(0.), low=tensor(-0.3750), high=tensor(0.3750))
    """
    _check(scores, group)
    who = _persons(person, group)
    whole = torch.zeros_like(who)
    return _stratified(scores, group, who, whole, scores.new_ones(1).double(), draws=draws, level=level, seed=seed)


def standardized_gap(
    scores: Tensor, group: Tensor, size: Tensor, person: Tensor | None = None, *, strata: int = 10,
    standard: str = "pooled", draws: int = 2000, level: float = 0.95, seed: int = 0,
) -> Gap:  # fmt: skip
    """The gap that there would be if both groups had one distribution of sizes: direct standardization.

    Sizes are cut into strata that hold equally many scores, ties aside. In each, the gap is that of persons of nearly
    one size; the mean of these gaps, weighted by how many scores of the standard each stratum has, is the standardized
    gap. The bootstrap draws persons within stratum and group: the sizes stay as they are. What sizes differ within a
    stratum is left in the gap: more strata leave less, and need more persons. An effect that is not the same at all
    sizes has another mean under another standard.

    Args:
        scores: ``(..., n)``, finite.
        group: ``(n,)`` bool.
        size: ``(n,)``, finite, one for each person, such as the area in px squared.
        person: ``(n,)`` int64; None: each score is of another person.
        strata: how many, >= 1; one leaves the raw gap.
        standard: whose sizes both groups get: "pooled", everybody's, "group" or "other".
        draws, level, seed: as :func:`bootstrap_gap`.

    Returns:
        :class:`Gap`.

    Raises:
        ValueError: as :func:`bootstrap_gap`, a person of several sizes, or a stratum of the standard in which a group
            has fewer than two persons: there nothing can be compared.

    See chapter 5, section 5.15.

    >>> size = torch.tensor([1., 1., 9., 9., 9., 9., 1., 1., 1., 1., 9., 9.])
    >>> scores, group = 0.1 * size, torch.arange(12) < 6    # the score is a matter of size alone
    >>> round(gap(scores, group).item(), 4), standardized_gap(scores, group, size, strata=2).gap
    (0.2667, tensor(0.))
    """
    _check(scores, group)
    who = _persons(person, group)
    _args.whole("strata", strata, 1)
    _args.one_of("standard", standard, ("pooled", "group", "other"))
    stratum = _strata(size, who, strata)
    those = {"pooled": torch.ones_like(group), "group": group, "other": ~group}[standard]
    weight = torch.bincount(stratum[those], minlength=strata).double() / those.sum()
    return _stratified(scores, group, who, stratum, weight, draws=draws, level=level, seed=seed)


def paired_gap(
    scores: Tensor, other: Tensor, person: Tensor | None = None, *, draws: int = 2000, level: float = 0.95,
    seed: int = 0,
) -> Gap:  # fmt: skip
    """Mean of the scores minus that of others of the same persons, with a bootstrap over persons.

    Each person is compared with herself under two conditions: what differs between persons drops out of the interval.

    Args:
        scores: ``(..., n)``, finite.
        other: ``(..., n)`` under the other condition, in the same order.
        person, draws, level, seed: as :func:`bootstrap_gap`.

    Raises:
        ValueError: unequal shapes, fewer than two persons, or bad numbers.

    See chapter 5, section 5.16.

    >>> paired_gap(torch.tensor([0.4, 0.6, 0.8]), torch.tensor([0.5, 0.7, 0.9]))
    Gap(gap=tensor(-0.1000), low=tensor(-0.1000), high=tensor(-0.1000))
    """
    _finite("scores", scores)
    _args.like("other", other, scores)
    _finite("other", other)
    _numbers(draws, seed, level)
    who = _persons(person, torch.zeros(scores.shape[-1], dtype=torch.bool, device=scores.device))
    sums, counts = _by_person(scores.double() - other.double(), who)
    if len(counts) < 2:
        _args.fail("person", "two persons or more", len(counts))
    drawn = _resampled(sums, counts, torch.Generator().manual_seed(seed), draws)
    return _interval(sums.sum(-1) / counts.sum(), drawn, level, scores.dtype)


def permutation_test(
    scores: Tensor, group: Tensor, person: Tensor | None = None, *, draws: int = 2000, seed: int = 0
) -> Tensor:  # fmt: skip
    """Two-sided p-value of "the group does not matter": how often shuffled persons show a gap as large.

    Whole persons change groups, each with all scores. If it does not matter who is in which group, values of at most p
    come with probability at most p, for any number of persons. It tests that the scores of both groups are distributed
    alike: with unequal groups, a difference in spread alone is found more often than that, or less.

    Args:
        scores, group, person, draws, seed: as :func:`bootstrap_gap`.

    Returns:
        ``(...)`` float64: (1 + how many of the shuffled gaps are as large) / (1 + draws), never 0.

    Raises:
        ValueError: as :func:`bootstrap_gap`.

    See chapter 5, section 5.14.

    Source: Phipson and Smyth 2010, arXiv:1603.05766, for the 1 that is added.

    >>> permutation_test(torch.arange(8.0), torch.arange(8) < 4, draws=9999).item() < 0.05    # 2 of 70 are as large
    True
    """
    _check(scores, group)
    who = _persons(person, group)
    _numbers(draws, seed)
    sums, counts = _by_person(scores.double(), who)
    member = torch.zeros(len(counts), dtype=torch.bool, device=group.device)
    member[who[group]] = True
    _two(int(member.sum()), "the group")
    _two(int((~member).sum()), "the others")
    source, at_once = torch.Generator().manual_seed(seed), max(1, _AT_ONCE // len(counts))
    gaps = [_gap_of(sums, counts, member[None])]
    for start in range(0, draws, at_once):
        order = torch.rand(min(at_once, draws - start), len(counts), generator=source, dtype=torch.float64,
                           device="cpu").argsort(-1)  # fmt: skip
        gaps.append(_gap_of(sums, counts, member[order.to(member.device)]))
    gaps = torch.cat(gaps, -1)  # (..., 1 + draws)
    seen = gaps[..., :1].abs()
    slack = 1e-9 * sums.abs().amax(-1, keepdim=True)  # equal gaps are as large, however they were added up
    return (gaps.abs() >= seen - slack).double().mean(-1)


def _gap_of(sums: Tensor, counts: Tensor, member: Tensor) -> Tensor:
    """Gaps ``(..., D)`` between the persons who are members ``(D, P)`` and the others."""
    member = member.double().mT
    inside, many = sums @ member, counts @ member
    return inside / many - (sums.sum(-1, keepdim=True) - inside) / (counts.sum() - many)


class Report(NamedTuple):
    """What belongs beside a gap: see :func:`report`."""

    raw: Gap
    standardized: Gap
    persons: tuple[int, int]
    quartiles: Tensor
    level: float

    def __str__(self) -> str:
        rows = []
        for name, found in (("gap", self.raw), ("at one distribution of sizes", self.standardized)):
            rows.append(f"{name}: {found.gap:+.3f}, {self.level:.0%} interval {found.low:+.3f} to {found.high:+.3f}")
        for name, n, row in zip(("group", "other"), self.persons, self.quartiles.tolist(), strict=True):
            rows.append(f"{name}: {n} persons, quartiles of size {row[0]:.3g}, {row[1]:.3g}, {row[2]:.3g}")
        return "\n".join(rows)


def report(
    scores: Tensor, group: Tensor, size: Tensor, person: Tensor | None = None, *, level: float = 0.95, **options
) -> Report:
    """Gap, interval, number of persons and their sizes: what a reader needs to judge a gap.

    Args:
        scores: ``(n,)``, finite.
        group, size, person, level: as :func:`standardized_gap`.
        options: of :func:`standardized_gap`; ``draws`` and ``seed`` of :func:`bootstrap_gap` too.

    Returns:
        :class:`Report`, raw and standardized gap, (persons in the group, others), and the quartiles of their sizes
        ``(2, 3)``; as text, four lines.

    Raises:
        ValueError: as :func:`standardized_gap`, or scores with more axes.

    See chapter 5, section 5.15.

    >>> size = torch.tensor([4., 8., 8., 8., 4., 4., 4., 8.]).repeat(9)
    >>> group = torch.arange(72) % 8 < 4
    >>> print(report(size / 16, group, size, strata=2))    # the score is a matter of size alone
    gap: +0.125, 95% interval +0.069 to +0.174
    at one distribution of sizes: +0.000, 95% interval +0.000 to +0.000
    group: 36 persons, quartiles of size 7, 8, 8
    other: 36 persons, quartiles of size 4, 4, 5
    """
    _finite("scores", scores)
    if scores.ndim != 1:
        _args.fail("scores", "shape (n,)", tuple(scores.shape))
    standardized = standardized_gap(scores, group, size, person, level=level, **options)
    once = {name: options[name] for name in ("draws", "seed") if name in options}
    raw = bootstrap_gap(scores, group, person, level=level, **once)
    who, sizes = _persons(person, group), []
    for part in (group, ~group):
        own, first = who[part].unique(return_inverse=True)
        sizes.append(size.double().new_zeros(len(own)).index_copy_(0, first, size[part].double()))
    quartiles = torch.stack([own.quantile(own.new_tensor([0.25, 0.5, 0.75])) for own in sizes])
    return Report(raw, standardized, (len(sizes[0]), len(sizes[1])), quartiles, level)


def simulate_similarities(
    area: Tensor, variance: float | Tensor, *, correlation: float = 0.0, seed: int = 0,
    oks_sigmas: tuple[float, ...] = COCO_17.oks_sigmas,
) -> Tensor:  # fmt: skip
    r"""Similarities of keypoints whose errors are Gaussian and depend on each other within a person.

    Each keypoint's error is :math:`\sqrt v (\sqrt\rho\, c + \sqrt{1 - \rho}\, e)` with c of the person and e of the
    keypoint, standard normal on both axes: of variance v whatever the correlation. So each similarity
    :math:`e^{-d^2 / 2 \kappa^2}` has the mean :math:`\kappa^2 / (\kappa^2 + v)` of
    :func:`posebook.theory.expected_oks`, with :math:`\kappa = 2 \sigma \sqrt{\text{area}}`.

    Args:
        area: of the persons, ``(...)`` px squared, > 0.
        variance: v of the error on each axis, px squared, >= 0: a number or one for each person, ``(...)``.
        correlation: rho of two keypoints' errors in one person, 0 to 1.
        seed: of a generator of its own.
        oks_sigmas: K of them, > 0.

    Returns:
        ``(..., K)`` from 0 to 1; the mean over K is a person's OKS.

    Raises:
        ValueError: an area or a sigma that is not > 0, a negative variance, or a correlation outside.

    See chapter 5, section 5.13.

    >>> simulate_similarities(torch.tensor([900., 400.]), 0.0, oks_sigmas=(0.1,))    # no error
    tensor([[1.],
            [1.]])
    """
    _args.floating("area", area, "(...)")
    _args.within("correlation", correlation, (0, 1))
    _args.whole("seed", seed)
    spread = _args.sent(_args.double(variance), area.device)
    _args.broadcasts("variance", spread, tuple(area.shape))
    if _args.readable(area) and not ((area > 0).all() and (spread >= 0).all()):
        _args.fail("area, variance", "> 0 and >= 0", "values that are not")
    for sigma in oks_sigmas:
        _args.positive("oks_sigmas", sigma)
    source, shape = torch.Generator().manual_seed(seed), (*area.shape, len(oks_sigmas), 2)
    common = torch.randn(*area.shape, 1, 2, generator=source, dtype=torch.float64, device="cpu")
    own = torch.randn(shape, generator=source, dtype=torch.float64, device="cpu")
    error = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own  # (..., K, 2)
    error = _args.sent(error, area.device)
    kappa2 = 4 * area.double()[..., None] * _args.constant(oks_sigmas, area, torch.float64).square()  # (..., K)
    return torch.exp(-spread[..., None] * error.square().sum(-1) / (2 * kappa2)).to(area.dtype)


# ---------------------------------------------------------------------------------------------------------------------
# Persons, strata, and what is drawn again


def _check(scores: Tensor, group: Tensor) -> None:
    _finite("scores", scores)
    _args.mask("group", group, scores.shape[-1:])
    inside = int(group.sum())
    if not 0 < inside < len(group):
        _args.fail("group", "somebody in the group and somebody else", f"{inside} of {len(group)} in the group")


def _finite(name: str, scores: Tensor) -> None:
    _args.floating(name, scores, "(..., n)")
    if scores.ndim < 1:
        _args.fail(name, "shape (..., n)", tuple(scores.shape))
    bad = int((~scores.isfinite()).sum())
    if bad:
        _args.fail(name, "finite values; leave out what is not labeled", f"{bad} that are not")


def _numbers(draws: int, seed: int, level: float = 0.95) -> None:
    _args.whole("draws", draws, 1)
    _args.whole("seed", seed)
    if not _args.is_number(level) or not 0 < level < 1:
        _args.fail("level", "a number between 0 and 1", _args.shown(level))


def _persons(person: Tensor | None, group: Tensor) -> Tensor:
    """Persons ``(n,)`` counted from 0; nobody is in both groups."""
    if person is None:
        return torch.arange(len(group), device=group.device)
    want = f"int64 {tuple(group.shape)}"
    if not isinstance(person, Tensor):
        _args.fail("person", want, type(person).__name__)
    if person.dtype != torch.int64 or person.shape != group.shape:
        _args.fail("person", want, f"{_args.dtype_name(person)} {tuple(person.shape)}")
    ids, who = person.unique(return_inverse=True)
    both = torch.isin(who[group], who[~group])
    if both.any():
        _args.fail("person", "nobody in both groups", f"person {ids[who[group][both][0]].item()} in both")
    return who


def _two(many: int, name: str, where: str = "") -> None:
    if many < 2:
        _args.fail("person", f"two persons or more of each group{' in each stratum' * bool(where)}",
                   f"{many} of {name}{where}")  # fmt: skip


def _strata(size: Tensor, who: Tensor, strata: int) -> Tensor:
    """The stratum ``(n,)`` of each score, from 0; an edge belongs to the stratum below it."""
    _args.floating("size", size, str((*who.shape,)))
    if size.shape != who.shape:
        _args.fail("size", f"shape {(*who.shape,)}", (*size.shape,))
    _finite("size", size)
    least, most = (size.new_zeros(int(who.max()) + 1).scatter_reduce_(0, who, size, how, include_self=False)
                   for how in ("amin", "amax"))  # fmt: skip
    if not torch.equal(least, most):
        _args.fail("size", "one size for each person", "a person of several")
    ranks = [-(-len(size) * k // strata) - 1 for k in range(1, strata)]
    return torch.bucketize(size, size.sort().values[ranks])


def _by_person(scores: Tensor, who: Tensor) -> tuple[Tensor, Tensor]:
    """Sums ``(..., P)`` and numbers ``(P,)`` of each person's scores."""
    count = torch.bincount(who).double()
    return scores.new_zeros(*scores.shape[:-1], len(count)).index_add_(-1, who, scores), count


def _resampled(sums: Tensor, counts: Tensor, source: torch.Generator, draws: int) -> Tensor:
    """Means ``(..., draws)`` of the scores of as many persons, drawn with replacement."""
    n, means = len(counts), []
    at_once = max(1, _AT_ONCE // n)
    for start in range(0, draws, at_once):
        some = min(at_once, draws - start)
        chosen = torch.randint(n, (some, n), generator=source, device="cpu")
        times = torch.zeros(some, n, dtype=torch.float64, device="cpu")
        times = times.scatter_add_(1, chosen, torch.ones_like(times)).to(sums.device).mT  # (P, some)
        means.append((sums @ times) / (counts @ times))
    return torch.cat(means, -1)


def _stratified(scores, group, who, stratum, weight, *, draws, level, seed) -> Gap:
    """Weighted mean over strata of the gap in each, with persons drawn within stratum and group."""
    _numbers(draws, seed, level)
    source, seen, drawn = torch.Generator().manual_seed(seed), 0.0, 0.0
    for k, share in enumerate(weight.tolist()):
        for sign, part in ((1.0, group), (-1.0, ~group)) if share else ():
            cell = part & (stratum == k)
            sums, counts = _by_person(scores[..., cell].double(), who[cell].unique(return_inverse=True)[1])
            where = f" in stratum {k + 1} of {len(weight)}" if len(weight) > 1 else ""
            _two(len(counts), "the group" if sign > 0 else "the others", where)
            seen = seen + sign * share * (sums.sum(-1) / counts.sum())
            drawn = drawn + sign * share * _resampled(sums, counts, source, draws)
    return _interval(seen, drawn, level, scores.dtype)


def _interval(seen: Tensor, drawn: Tensor, level: float, dtype: torch.dtype) -> Gap:
    """Linear quantiles; torch's own take no more than 2^24 numbers."""
    ordered, ends = drawn.sort(-1).values, []
    for share in ((1 - level) / 2, (1 + level) / 2):
        place = share * (drawn.shape[-1] - 1)
        below = int(place)
        above = min(below + 1, drawn.shape[-1] - 1)
        ends.append(ordered[..., below].lerp(ordered[..., above], place - below))
    return Gap(*(value.to(dtype) for value in (seen, *ends)))
