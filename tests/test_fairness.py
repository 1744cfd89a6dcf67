"""Gaps between groups: by loops, in closed form, against scipy, and coverage by simulation.

Simulations have fixed seeds; their slack is 4.5 standard deviations of what they estimate, unless it is said otherwise.
"""

import math
import re

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from posebook import fairness, theory
from posebook.fairness import (
    Gap,
    bootstrap_gap,
    gap,
    paired_gap,
    permutation_test,
    report,
    simulate_similarities,
    standardized_gap,
)
from posebook.skeleton import COCO_17

K = len(COCO_17)
SIGMAS = torch.tensor(COCO_17.oks_sigmas, dtype=torch.float64)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sample(persons: int = 30, most: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Scores of persons who have one to ``most`` each, in no order: scores, group, person (odd ids), size."""
    source = torch.Generator().manual_seed(seed)
    many = torch.randint(1, most + 1, (persons,), generator=source)
    who = torch.arange(persons).repeat_interleave(many)
    own, size = draw(persons, seed=seed + 1), draw(persons, seed=seed + 2).exp()
    scores = own[who] + 0.3 * draw(len(who), seed=seed + 3)
    order = torch.randperm(len(who), generator=source)
    who = who[order]
    return scores[order], who % 3 == 0, 7 * who - 40, size[who]


def everything(scores, group, person, size, **options) -> list[Tensor]:
    """What all functions say, one after another."""
    found = [gap(scores, group), *bootstrap_gap(scores, group, person, **options),
             *standardized_gap(scores, group, size, person, strata=2, **options),
             *paired_gap(scores, scores.sin(), person, **options)]  # fmt: skip
    return [*found, permutation_test(scores, group, person, **options)]


# ---------------------------------------------------------------------------------------------------------------------
# Closed forms, and the same by loops


def test_gap_by_hand():
    scores, group, *_ = sample()
    inside = [s for s, g in zip(scores.tolist(), group.tolist(), strict=True) if g]
    others = [s for s, g in zip(scores.tolist(), group.tolist(), strict=True) if not g]
    want = sum(inside) / len(inside) - sum(others) / len(others)
    assert gap(scores, group).item() == pytest.approx(want, abs=1e-12)
    for found in (bootstrap_gap(scores, group), standardized_gap(scores, group, scores.abs(), strata=1)):
        assert found.gap.item() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("level, low, high", [(0.4, 0.5, 0.5), (0.8, 0.0, 1.0)])
def test_two_persons_have_three_means(level, low, high):
    """0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4: with three scores each too."""
    scores = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64).repeat(3)
    group, person = (torch.arange(4) < 2).repeat(3), torch.arange(4).repeat(3)
    assert [x.item() for x in bootstrap_gap(scores, group, person, level=level)] == [0.5, low, high]


def test_a_person_drawn_twice_brings_all_scores():
    """Three scores of 0 in one person, one of 1 in another: means 0, 1/4, 1."""
    scores = torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    person = torch.tensor([5, 5, 5, 9, 1, 2])
    found = bootstrap_gap(scores, person >= 5, person, level=0.4)
    assert [x.item() for x in found] == [0.25, 0.25, 0.25]


def test_bootstrap_is_that_of_scipy():
    """Ends over many draws, of persons with one score and of persons with several, whose means are ratios."""
    scores, group, person, _ = sample(60)
    one = stats.bootstrap(
        (scores[group].numpy(), scores[~group].numpy()), lambda a, b, axis: a.mean(axis) - b.mean(axis),
        n_resamples=20_000, method="percentile", rng=np.random.default_rng(1), vectorized=True)  # fmt: skip
    found = bootstrap_gap(scores, group, draws=20_000)
    sums, counts = {}, {}
    for s, p in zip(scores.tolist(), person.tolist(), strict=True):
        sums[p], counts[p] = sums.get(p, 0.0) + s, counts.get(p, 0) + 1
    ids = [[p for p in sums if (p + 40) // 7 % 3 == 0], [p for p in sums if (p + 40) // 7 % 3]]
    rng, drawn = np.random.default_rng(2), []
    tables = [np.array([[sums[p], counts[p]] for p in part]) for part in ids]
    for _ in range(20_000):
        means = [np.divide(*t[rng.integers(len(t), size=len(t))].sum(0)) for t in tables]
        drawn.append(means[0] - means[1])
    several = bootstrap_gap(scores, group, person, draws=20_000)
    for ours, ends in ((found, one.confidence_interval), (several, np.quantile(drawn, [0.025, 0.975]))):
        wide = ours.high.item() - ours.low.item()
        assert abs(ours.low.item() - ends[0]) < 0.03 * wide and abs(ours.high.item() - ends[1]) < 0.03 * wide
    assert several.high - several.low > 1.2 * (found.high - found.low)


def test_permutation_test_is_that_of_scipy():
    """All 252 ways to choose five of ten; by person, each score three times, the same."""
    for seed, apart in ((0, 0.0), (1, 1.0), (2, 2.0)):
        scores, group = draw(10, seed=seed), torch.arange(10) < 5
        scores = scores + apart * group
        exact = stats.permutation_test((scores[group].numpy(), scores[~group].numpy()),
                                       lambda a, b: abs(a.mean() - b.mean()), alternative="greater",
                                       n_resamples=np.inf).pvalue  # fmt: skip
        draws, thrice = 20_000, torch.arange(10).repeat(3)
        for found in (permutation_test(scores, group, draws=draws),
                      permutation_test(scores.repeat(3), group.repeat(3), thrice, draws=draws, seed=5)):
            assert abs(found.item() - exact) < 4.5 * math.sqrt(exact * (1 - exact) / draws) + 1 / draws


def test_equal_scores_are_as_large_however_they_are_added_up():
    scores, group = torch.full((30,), 0.1), torch.arange(30) < 11
    assert permutation_test(scores, group).item() == 1


def test_standardized_gap_by_loops():
    """Strata by rank, each stratum's gap, and the weights of each standard."""
    scores, group, person, size = sample(90, seed=4)
    for strata, standard in ((1, "pooled"), (3, "pooled"), (3, "group"), (3, "other"), (4, "pooled")):
        ordered = sorted(size.tolist())
        edges = [ordered[-(-len(ordered) * k // strata) - 1] for k in range(1, strata)]
        cells = {}
        for s, g, a in zip(scores.tolist(), group.tolist(), size.tolist(), strict=True):
            cells.setdefault((sum(a > edge for edge in edges), g), []).append(s)
        weight = [sum(len(cells[k, g]) for g in (True, False)
                      if standard == "pooled" or (standard == "group") == g) for k in range(strata)]
        want = sum(w * (np.mean(cells[k, True]) - np.mean(cells[k, False])) for k, w in enumerate(weight)) / sum(weight)
        found = standardized_gap(scores, group, size, person, strata=strata, standard=standard)
        assert found.gap.item() == pytest.approx(want, abs=1e-12) and found.low < found.gap < found.high


def test_one_stratum_is_the_raw_gap_and_sizes_of_one_kind_too():
    scores, group, person, size = sample()
    raw = bootstrap_gap(scores, group, person, seed=3)
    assert standardized_gap(scores, group, size, person, strata=1, seed=3) == raw
    assert standardized_gap(scores, group, torch.ones_like(size), person, strata=5, seed=3) == raw


def test_a_score_of_size_alone_has_no_gap_at_one_size():
    size = torch.tensor([1.0, 2.0, 4.0]).double().repeat_interleave(torch.tensor([40, 40, 40]))
    group = torch.cat([torch.arange(40) < n for n in (30, 20, 10)])
    found = standardized_gap(size / 8, group, size, strata=3)
    assert gap(size / 8, group) < -0.1 and all(abs(x.item()) < 1e-12 for x in found)


def test_paired_gap_is_the_bootstrap_of_differences():
    scores, _, person, _ = sample(50, seed=9)
    other = scores - 0.2 - 0.05 * draw(len(scores), seed=12)
    found = paired_gap(scores, other, person)
    assert found.gap.item() == pytest.approx((scores - other).mean().item(), abs=1e-12)
    assert 0.16 < found.low < found.high < 0.24
    one = paired_gap(draw(200), draw(200, seed=1), draws=20_000)
    want = stats.bootstrap(((draw(200) - draw(200, seed=1)).numpy(),), np.mean, n_resamples=20_000,
                           method="percentile", rng=np.random.default_rng(0)).confidence_interval  # fmt: skip
    assert [one.low.item(), one.high.item()] == pytest.approx(list(want), abs=0.01)


def test_report():
    scores, group, person, size = sample(60)
    found = report(scores, group, size, person, strata=2, seed=4, draws=500)
    assert found.raw == bootstrap_gap(scores, group, person, seed=4, draws=500)
    assert found.standardized == standardized_gap(scores, group, size, person, strata=2, seed=4, draws=500)
    assert found.persons == (20, 40)
    own = dict(zip(person.tolist(), size.tolist(), strict=True))
    for row, part in zip(found.quartiles, (True, False), strict=True):
        sizes = [a for p, a in own.items() if ((p + 40) // 7 % 3 == 0) == part]
        assert row.tolist() == pytest.approx(np.quantile(sizes, [0.25, 0.5, 0.75]))
    lines = str(found).splitlines()
    assert len(lines) == 4 and lines[0].startswith("gap: ") and "20 persons" in lines[2] and "40 persons" in lines[3]


# ---------------------------------------------------------------------------------------------------------------------
# Similarities


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_similarities_have_their_expected_mean(correlation):
    area, variance = torch.tensor([900.0, 400.0]).double(), torch.tensor([4.0, 1.0]).double()
    found = simulate_similarities(area.expand(20_000, 2), variance, correlation=correlation, seed=1)
    assert found.shape == (20_000, 2, K) and 0 <= found.min() and found.max() <= 1
    kappa = 2 * SIGMAS * area[:, None].sqrt()
    want = theory.expected_oks(kappa, variance[:, None, None, None] * torch.eye(2))
    slack = 4.5 * found.std(0) / math.sqrt(20_000)
    assert ((found.mean(0) - want).abs() < slack).all()
    assert torch.allclose(want, kappa**2 / (kappa**2 + variance[:, None]))


def test_similarities_of_a_person_depend_on_each_other():
    area = torch.full((5000,), 600.0).double()
    alone, half, same = (simulate_similarities(area, 3.0, correlation=c, seed=2) for c in (0.0, 0.5, 1.0))
    assert torch.corrcoef(alone.T)[0, 1:].abs().max() < 4.5 / math.sqrt(5000)
    assert (torch.corrcoef(half.T)[0, 1:] > 0.1).all()
    square = -8 * 600 * SIGMAS**2 * same.log()  # d^2 of each keypoint: one error for all
    assert torch.allclose(square, square[:, :1].expand_as(square))


# ---------------------------------------------------------------------------------------------------------------------
# What intervals and tests promise, by simulation of 1000 data sets


SETS, PEOPLE = 1000, 60


@pytest.fixture(scope="module")
def worlds() -> tuple[Tensor, Tensor, Tensor]:
    """Two groups without any difference, 60 persons of 17 keypoints each: (1000, 2 * 60 * 17), group, person."""
    area = torch.full((SETS, 2 * PEOPLE), 600.0).double()
    scores = simulate_similarities(area, 6.0, correlation=0.7, seed=3).flatten(1)
    person = torch.arange(2 * PEOPLE).repeat_interleave(K)
    return scores, person < PEOPLE, person


def coverage(found: Gap, truth: float | Tensor = 0.0) -> float:
    return ((found.low <= truth) & (truth <= found.high)).double().mean().item()


SLACK = 4.5 * math.sqrt(0.95 * 0.05 / SETS)  # 0.031


def test_by_person_the_interval_holds_what_it_promises(worlds):
    scores, group, person = worlds
    assert abs(coverage(bootstrap_gap(scores, group, person, draws=800)) - 0.95) < SLACK + 0.01  # 60 persons: 0.945


def test_by_keypoint_it_does_not(worlds):
    """A design effect of 1 + (K - 1) r, with r the correlation of scores within a person, says by how much."""
    scores, group, person = worlds
    found = coverage(bootstrap_gap(scores, group, draws=400))
    each = scores.view(SETS, -1, K)
    between, total = each.mean(-1).var(), each.var()
    effect = K * between / total
    want = 2 * stats.norm.cdf(1.96 / math.sqrt(effect)) - 1
    assert found < 0.8 and abs(found - want) < 4.5 * math.sqrt(want * (1 - want) / SETS) + 0.01


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_what_section_5_14_states_holds_for_other_seeds(seed):
    """95 of 100 by person and 72 by keypoint, and a false alarm in 5 and in 29 of 100, at a correlation of 0.7."""
    area, person = torch.full((1000, 120), 600.0).double(), torch.arange(120).repeat_interleave(K)
    scores = simulate_similarities(area, 4.0, correlation=0.7, seed=seed).flatten(1)
    group = person >= 60
    assert abs(coverage(bootstrap_gap(scores, group, person, draws=400)) - 0.95) < 0.03
    assert abs(coverage(bootstrap_gap(scores, group, draws=200)) - 0.72) < 0.05
    for who, want in ((person, 0.05), (None, 0.29)):
        assert abs((permutation_test(scores, group, who, draws=199) <= 0.05 + 1e-9).double().mean() - want) < 0.05


def test_what_is_drawn_in_parts(monkeypatch):
    """As distributed as what is drawn at once; quantiles as numpy's."""
    scores, group, person, _ = sample(60)
    whole = bootstrap_gap(scores, group, person, draws=20_000)
    chance = permutation_test(scores, group, person, draws=2000)
    monkeypatch.setattr("posebook.fairness._AT_ONCE", 500)
    for found, other in zip(bootstrap_gap(scores, group, person, draws=20_000), whole, strict=True):
        assert abs(found - other) < 0.03 * (whole.high - whole.low)
    assert permutation_test(scores, group, person, draws=2000) == chance  # the same people change groups
    drawn = draw(7, 3)
    for level in (0.9, 0.5, 0.01):
        ends = fairness._interval(drawn, drawn, level, torch.float64)[1:]
        want = np.quantile(drawn.numpy(), [(1 - level) / 2, (1 + level) / 2], axis=-1)
        assert np.allclose(torch.stack(ends).numpy(), want)


def test_the_permutation_test_errs_as_often_as_it_says(worlds):
    scores, group, person = worlds
    p = permutation_test(scores, group, person, draws=199)
    for alpha in (0.05, 0.2):
        share = (p <= alpha + 1e-9).double().mean().item()
        assert abs(share - alpha) < 4.5 * math.sqrt(alpha * (1 - alpha) / SETS)
    wrong = permutation_test(scores, group, draws=199)
    assert (wrong <= 0.05).double().mean() > 0.2
    assert (permutation_test(scores + 0.1 * group, group, person, draws=199) <= 0.05).double().mean() > 0.95


@pytest.mark.parametrize("factor", [1.0, 1.8])
def test_the_standardized_interval_holds_the_gap_at_one_distribution_of_sizes(factor):
    """Of another spread of sizes in each group. What is left of the sizes within strata is less than its slack."""
    n, sets = 300, 400
    size = torch.cat((700 * (0.3 * draw(n, seed=5)).exp(), 1000 * (0.3 * draw(n, seed=6)).exp()))
    group = torch.arange(2 * n) < n
    variance = torch.where(group, 9.0 * factor, 9.0).double()
    scores = simulate_similarities(size.expand(sets, -1), variance, correlation=0.5, seed=7).mean(-1)
    kappa2 = 4 * size[:, None] * SIGMAS**2
    truth = (kappa2 / (kappa2 + 9 * factor) - kappa2 / (kappa2 + 9)).mean().item()
    raw, found = bootstrap_gap(scores, group, draws=400), standardized_gap(scores, group, size, draws=400)
    assert coverage(raw, truth) < 0.7
    assert coverage(found, truth) > 0.95 - 4.5 * math.sqrt(0.95 * 0.05 / sets)
    assert (found.gap.mean().item() - truth) == pytest.approx(0, abs=0.005)
    assert (raw.gap.mean().item() - truth) < -0.02


# ---------------------------------------------------------------------------------------------------------------------
# Invariances, seeds, dtypes


def test_order_ids_and_constants_do_not_matter():
    scores, group, person, size = sample(seed=2)
    base = everything(scores, group, person, size)
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(0))
    for other in (everything(*(x[order] for x in (scores, group, person, size))),
                  everything(scores, group, 3 * person + 10**12, 5 * size)):
        assert [x.item() for x in other] == pytest.approx([x.item() for x in base], abs=1e-12)
    moved = [*bootstrap_gap(2 * scores + 7, group, person), permutation_test(2 * scores + 7, group, person)]
    assert [x.item() for x in moved] == pytest.approx(
        [2 * x.item() for x in bootstrap_gap(scores, group, person)] + [base[-1].item()], abs=1e-9)
    assert gap(scores, ~group).item() == pytest.approx(-base[0].item(), abs=1e-12)


def test_batch_is_loop():
    scores, group, person, size = sample()
    many = torch.stack((scores, scores.cos(), scores**2)).view(3, 1, -1)
    base = [everything(row[0], group, person, size) for row in many]
    for k, found in enumerate(everything(many, group, person, size)):
        assert found.shape == (3, 1)
        assert found[:, 0].tolist() == pytest.approx([row[k].item() for row in base], abs=1e-12)


def test_seeds_and_torch_s_own_generator():
    scores, group, person, size = sample()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, again, other = (everything(scores, group, person, size, seed=seed, draws=50) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again and first != other
    area = torch.full((4,), 100.0)
    assert torch.equal(simulate_similarities(area, 1.0, seed=1), simulate_similarities(area, 1.0, seed=1))
    assert not torch.equal(simulate_similarities(area, 1.0, seed=1), simulate_similarities(area, 1.0, seed=2))
    assert torch.equal(torch.get_rng_state(), state)


def test_groups_are_drawn_apart():
    """Equal groups drawn with one and the same choice would have no interval at all."""
    scores = draw(20).repeat(2)
    found = bootstrap_gap(scores, torch.arange(40) < 20)
    assert found.high - found.low > 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtypes_devices_and_inputs(dtype, device):
    scores, group, person, size = (x.to(device) for x in sample())
    scores = scores.to(dtype)
    before = [x.clone() for x in (scores, group, person, size)]
    *found, p = everything(scores, group, person, size)
    assert all(x.dtype == dtype and x.device.type == device for x in found) and p.dtype == torch.float64
    assert all(map(torch.equal, before, (scores, group, person, size)))
    wide = everything(scores.double(), group, person, size)
    assert [x.item() for x in found] == pytest.approx([x.item() for x in wide[:-1]], abs=2e-3)
    area = size.to(dtype)
    assert simulate_similarities(area, 0.1).dtype == dtype and simulate_similarities(area, 0.1).device.type == device


# ---------------------------------------------------------------------------------------------------------------------
# Errors


GROUP = torch.tensor([True, True, False, False])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda s: gap(s, torch.zeros(4, dtype=torch.bool)), "group: want somebody in the group and somebody else, got "
                                                            "0 of 4 in the group"),
        (lambda s: bootstrap_gap(s, ~torch.zeros(4, dtype=torch.bool)), "group: want somebody in the group and "
                                                                        "somebody else, got 4 of 4 in the group"),
        (lambda s: gap(s, GROUP[:3]), "group: want bool (4,), got bool (3,)"),
        (lambda s: gap(s, GROUP.long()), "group: want bool (4,), got int64 (4,)"),
        (lambda s: gap(s.long(), GROUP), "scores: want a floating dtype, got int64"),
        (lambda s: gap(s[0], GROUP), "scores: want shape (..., n), got ()"),
        (lambda s: gap(s / s, GROUP), "scores: want finite values; leave out what is not labeled, got 1 that are not"),
        (lambda s: bootstrap_gap(s, GROUP, torch.tensor([1, 1, 2, 3])),
         "person: want two persons or more of each group, got 1 of the group"),
        (lambda s: permutation_test(s, GROUP, torch.tensor([1, 2, 3, 3])),
         "person: want two persons or more of each group, got 1 of the others"),
        (lambda s: bootstrap_gap(s, GROUP, torch.tensor([1, 8, 8, 3])),
         "person: want nobody in both groups, got person 8 in both"),
        (lambda s: bootstrap_gap(s, GROUP, torch.tensor([1.0, 2, 3, 4])), "person: want int64 (4,), got float32 (4,)"),
        (lambda s: bootstrap_gap(s, GROUP, [1, 2, 3, 4]), "person: want int64 (4,), got list"),
        (lambda s: bootstrap_gap(s, GROUP, draws=0), "draws: want a whole number >= 1, got 0"),
        (lambda s: bootstrap_gap(s, GROUP, level=95), "level: want a number between 0 and 1, got 95"),
        (lambda s: bootstrap_gap(s, GROUP, seed=0.5), "seed: want a whole number, got 0.5"),
        (lambda s: standardized_gap(s, GROUP, s, strata=2),
         "person: want two persons or more of each group in each stratum, got 0 of the others in stratum 1 of 2"),
        (lambda s: standardized_gap(s, GROUP, s, strata=0), "strata: want a whole number >= 1, got 0"),
        (lambda s: standardized_gap(s, GROUP, s[:3]), "size: want shape (4,), got (3,)"),
        (lambda s: standardized_gap(s, GROUP, s, torch.tensor([1, 1, 2, 2])),
         "size: want one size for each person, got a person of several"),
        (lambda s: standardized_gap(s, GROUP, s, standard="all"),
         "standard: want one of 'pooled', 'group', 'other', got 'all'"),
        (lambda s: paired_gap(s, s[:3]), "other: want shape (4,), got (3,)"),
        (lambda s: paired_gap(s, s, torch.ones(4, dtype=torch.int64)), "person: want two persons or more, got 1"),
        (lambda s: report(s[None], GROUP, s), "scores: want shape (n,), got (1, 4)"),
        (lambda s: simulate_similarities(s, 1.0), "area, variance: want > 0 and >= 0, got values that are not"),
        (lambda s: simulate_similarities(s + 1, -1.0), "area, variance: want > 0 and >= 0, got values that are not"),
        (lambda s: simulate_similarities(s + 1, 1.0, correlation=2), "correlation: want a number from 0 to 1, got 2"),
        (lambda s: simulate_similarities(s + 1, s[:3]), "variance: want a shape that broadcasts to (4,), got (3,)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(torch.arange(4.0))


def test_more_errors_name_their_argument():
    group = torch.tensor([True, True, False, False])
    with pytest.raises(ValueError, match="scores: want a tensor"):
        report([1.0, 2.0, 3.0, 4.0], group, torch.ones(4))
    with pytest.raises(ValueError, match="oks_sigmas: want a finite number > 0, got 0.0"):
        simulate_similarities(torch.ones(2), 1.0, oks_sigmas=(0.0,))
