"""Peaks, and people made of them: against plain loops, brute force, scipy, and what must hold of any grouping."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from card import Card, plain, put
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import DTYPES
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from posebook.encode import part_affinity_fields, people_heatmap
from posebook.grouping import (
    Peaks,
    People,
    fill_joints,
    group_by_paf,
    group_by_tags,
    local_peaks,
    paf_scores,
    refine_people,
    tags_at,
)
from posebook.skeleton import COCO_17

both_methods = pytest.mark.parametrize("method", ["greedy", "optimal"])


def noise(*shape: int, seed=0, dtype=torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def same(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> None:
    """Each part, NaN where NaN is."""
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)


# ---------------------------------------------------------------------------------------------------------------------
# Peaks


def loop_peaks(heatmap: list[list[float]], threshold: float, top_k: int) -> list[tuple[float, int, int]]:
    """(value, x, y) by the definition."""
    h, w, found = len(heatmap), len(heatmap[0]), []
    for y, x in itertools.product(range(h), range(w)):
        around = [heatmap[j][i] for j in range(y - 1, y + 2) for i in range(x - 1, x + 2)
                  if 0 <= j < h and 0 <= i < w and (i, j) != (x, y)]
        if heatmap[y][x] > threshold and all(heatmap[y][x] > value for value in around):
            found.append((heatmap[y][x], x, y))
    return sorted(found, key=lambda peak: -peak[0])[:top_k]  # a stable sort: equal ones by flat index


@pytest.mark.parametrize("hw", [(1, 1), (1, 2), (1, 7), (7, 1), (2, 2), (3, 3), (9, 11)])
@pytest.mark.parametrize("levels", [3, 10, 10**6])
@pytest.mark.parametrize("threshold", [-10.0, -0.3, 0.4])
def test_peaks_against_plain_loops(hw, levels, threshold, device):
    """Few levels make plateaus and equal peaks; some values are NaN or infinite."""
    heatmaps = (noise(30, *hw) * levels).round() / levels
    heatmaps[20:][noise(10, *hw, seed=1) > 1.5] = math.nan
    heatmaps[25:][noise(5, *hw, seed=2) > 1.5] = math.inf
    heatmaps[25:][noise(5, *hw, seed=3) > 1.5] = -math.inf
    xy, scores, valid = (part.cpu() for part in local_peaks(heatmaps.to(device), threshold=threshold, top_k=4))
    for b in range(30):
        expected = loop_peaks(heatmaps[b].tolist(), threshold, 4)
        n = len(expected)
        assert valid[b].tolist() == [True] * n + [False] * (4 - n)
        assert [(s, x, y) for s, (x, y) in zip(scores[b, :n].tolist(), xy[b, :n].tolist(), strict=True)] == expected
        assert xy[b, n:].isnan().all() and not scores[b, n:].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,), (2, 0, 3)])
def test_peaks_shape_dtype_device(leading, dtype, device):
    heatmaps = noise(*leading, 6, 7, dtype=dtype).to(device)
    before = heatmaps.clone()
    peaks = local_peaks(heatmaps, threshold=0.1, top_k=3)
    assert [part.shape for part in peaks] == [(*leading, 3, 2), (*leading, 3), (*leading, 3)]
    assert [part.dtype for part in peaks] == [dtype, dtype, torch.bool]
    assert {part.device.type for part in peaks} == {device} and torch.equal(heatmaps, before)
    wide = local_peaks(heatmaps.double(), threshold=0.1, top_k=3)
    same([part.double() for part in peaks], [part.double() for part in wide])


def test_maps_whose_sign_is_a_bit_of_the_view():
    """An imaginary part of a conjugate, which numpy does not take as it is."""
    def signed(maps: Tensor) -> Tensor:
        return torch.complex(torch.zeros_like(maps), -maps).conj().imag

    heatmaps, tag_maps, people = noise(5, 7, 8), noise(5, 2, 7, 8, seed=1), some_people(6)
    same(local_peaks(signed(heatmaps), threshold=0.1, top_k=3), local_peaks(heatmaps, threshold=0.1, top_k=3))
    same(fill_joints(people, signed(heatmaps), signed(tag_maps), threshold=1.0),
         fill_joints(people, heatmaps, tag_maps, threshold=1.0))


def test_peaks_one_by_one_and_with_any_strides():
    heatmaps = noise(2, 3, 9, 11)
    peaks = local_peaks(heatmaps, threshold=0.0, top_k=5)
    for b, k in itertools.product(range(2), range(3)):
        same(local_peaks(heatmaps[b, k], threshold=0.0, top_k=5), [part[b, k] for part in peaks])
    apart = torch.zeros(2, 3, 18, 33, dtype=torch.float64)[..., ::2, ::3]
    apart.copy_(heatmaps)
    for view in (apart, heatmaps.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0)):
        assert not view.is_contiguous()
        same(local_peaks(view, threshold=0.0, top_k=5), peaks)
    same(local_peaks(heatmaps[:, :1].expand(2, 5, 9, 11), threshold=0.0, top_k=5),
         [part[:, :1].expand(2, 5, *part.shape[2:]) for part in peaks])
    with torch.device("meta"):
        same(local_peaks(heatmaps, threshold=0.0, top_k=5), peaks)


def test_the_order_of_all_and_of_some():
    """The first of ten are the first of three; more places than peaks are left empty."""
    heatmaps = noise(4, 20, 20)
    many, few = (local_peaks(heatmaps, threshold=-9.0, top_k=k) for k in (400, 3))
    same([part[:, :3] for part in many], few)
    assert (many.valid.sum(-1) < 100).all() and (many.scores.masked_fill(~many.valid, -9).diff() <= 0).all()


def test_peaks_of_people():
    """Gaussians that lie far enough apart have their peaks at the nearest cells."""
    cells = torch.tensor([[[3.2, 4.4]], [[9.4, 4.1]], [[6.0, 10.3]]], dtype=torch.float64)
    heatmap = people_heatmap(cells, torch.ones(3, 1) > 0, (14, 13), sigma=1.5)
    xy, scores, valid = local_peaks(heatmap, threshold=0.1, top_k=9)
    assert sorted(xy[valid].tolist()) == sorted(cells.round().flatten(0, 1).tolist()) and scores[valid].min() > 0.9


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_threshold_beyond_the_dtype(dtype):
    heatmaps = torch.tensor([[0.0, 1.0, 0.0]], dtype=dtype)
    for threshold in (1e6, 1e300):
        assert not local_peaks(heatmaps, threshold=threshold, top_k=1).valid.any()
        assert local_peaks(heatmaps, threshold=-threshold, top_k=1).valid.all()


def test_gradients_pass_through_the_scores():
    heatmaps = noise(2, 6, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: local_peaks(z, threshold=0.2, top_k=9).scores, heatmaps)
    xy, scores, valid = local_peaks(heatmaps, threshold=0.2, top_k=9)
    assert not xy.requires_grad and not valid.all()
    scores.sum().backward()
    assert heatmaps.grad.sum() == valid.sum() and set(heatmaps.grad.unique().tolist()) == {0, 1}


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda z: local_peaks(z[0], threshold=0.1, top_k=1),
         "heatmaps: want shape (..., H, W) with H, W >= 1, got (3,)"),
        (lambda z: local_peaks(z.long(), threshold=0.1, top_k=1), "heatmaps: want a floating dtype, got int64"),
        (lambda z: local_peaks(z, threshold=math.nan, top_k=1), "threshold: want a finite number, got nan"),
        (lambda z: local_peaks(z, threshold=0.1, top_k=0), "top_k: want a whole number >= 1, got 0"),
    ],
)  # fmt: skip
def test_errors_of_peaks(call, text):
    with pytest.raises(ValueError) as error:
        call(torch.zeros(2, 3))
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# Tags


def peaks_of(valid: Tensor, dtype=torch.float64, seed=5) -> Peaks:
    """Peaks at random cells of a map of 40 x 40."""
    scores = noise(*valid.shape, seed=seed).abs() + 0.1
    xy = (20 + 6 * noise(*valid.shape, 2, seed=seed + 1)).round().clamp(0, 39)
    return Peaks(torch.where(valid[..., None], xy, math.nan).to(dtype), (scores * valid).to(dtype), valid)


def steps(tags: Tensor, valid: Tensor, assign) -> list[list[int]]:
    """People keypoint by keypoint: ``assign`` says of (candidate, person) distances who joins whom."""
    people, n = [], tags.shape[1]
    for k in range(len(tags)):
        here = [i for i in range(n) if valid[k, i]]
        means = [tags[[j for j in range(k) if p[j] >= 0], [i for i in p if i >= 0]].mean(0).tolist() for p in people]
        joined = assign([[math.dist(tags[k, i].tolist(), mean) for mean in means] for i in here])
        for row, i in enumerate(here):
            if row not in joined:
                people.append([-1] * k)
            people[joined.get(row, -1)].append(i)
        for person in people:
            person += [-1] * (k + 1 - len(person))
    return people


def greedy(distance: list[list[float]], threshold: float) -> dict[int, int]:
    joined = {}
    for row, values in enumerate(distance):
        free = [(value, column) for column, value in enumerate(values) if column not in joined.values()]
        if free and min(free)[0] < threshold:
            joined[row] = min(free)[1]
    return joined


def best_of_all(distance: list[list[float]], threshold: float) -> dict[int, int]:
    """By trying every way in which candidates can join people or nobody."""
    most, best = -1.0, {}
    columns = range(len(distance[0]) if distance else 0)
    for chosen in itertools.product([None, *columns], repeat=len(distance)):
        taken = [column for column in chosen if column is not None]
        pairs = {row: column for row, column in enumerate(chosen) if column is not None}
        gain = [threshold**2 - distance[row][column] ** 2 for row, column in pairs.items()]
        if len(set(taken)) == len(taken) and all(value > 0 for value in gain) and sum(gain) > most:
            most, best = sum(gain), pairs
    return best


def test_tags_at_against_plain_loops():
    tag_maps, xy = noise(2, 3, 4, 5), 3 + 2 * noise(2, 6, 2, seed=1)
    xy[1, 2] = math.nan
    tags = tags_at(tag_maps, xy)
    for b, n in itertools.product(range(2), range(6)):
        if (b, n) == (1, 2):
            assert tags[b, n].isnan().all()
            continue
        x, y = (min(max(round(value), 0), size - 1) for value, size in zip(xy[b, n].tolist(), (5, 4), strict=True))
        assert torch.equal(tags[b, n], tag_maps[b, :, y, x])
    tag_maps.requires_grad_()
    (gradient,) = torch.autograd.grad(tags_at(tag_maps, xy)[xy.isfinite().all(-1)].sum(), tag_maps)
    assert gradient.sum() == 11 * 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_tags_at_shape_dtype_device(dtype, device):
    wide = torch.arange(300.0).to(dtype).expand(2, 1, 2, 300).to(device)
    xy = torch.tensor([[[256.0, 1.0], [512.0, 0.0]]]).expand(2, 2, 2).to(device, dtype)  # bfloat16 rounds 299 to 300
    tags = tags_at(wide, xy)
    assert (tags.dtype, tags.device.type) == (dtype, device)
    assert torch.equal(tags[0, :, 0], wide[0, 0, 0, [256, 299]])
    assert tags_at(wide, xy[:, :0]).shape == (2, 0, 1) and tags_at(wide[:0], xy[:0]).shape == (0, 2, 1)


halves = st.integers(-6, 6).map(lambda value: value / 2)


@settings(max_examples=200)
@given(st.data(), st.integers(1, 4), st.integers(0, 4), st.integers(1, 2))
def test_greedy_against_plain_loops(data, k, n, d):
    """Tags of few values make ties, which go to the earlier person. Means of 3 tags round, so at most 2 or 4 join."""
    tags = torch.tensor(data.draw(st.lists(halves, min_size=k * n * d, max_size=k * n * d)), dtype=torch.float64)
    valid = torch.tensor(data.draw(st.lists(st.booleans(), min_size=k * n, max_size=k * n)), dtype=torch.bool)
    tags, valid = tags.view(k, n, d), valid.view(k, n)
    if k > 3:
        valid[2] = False
    threshold = data.draw(st.sampled_from([0.5, 1.25, 2.0]))
    people = group_by_tags(peaks_of(valid), tags, threshold=threshold, method="greedy")
    assert people.indices.tolist() == steps(tags, valid, partial(greedy, threshold=threshold))


@pytest.mark.parametrize("seed", range(40))
def test_optimal_against_all_ways(seed):
    """Tags that crowd together, so that several want the same person."""
    k, n, d = 4, 4, 1 + seed % 2
    tags, valid = noise(k, n, d, seed=seed), noise(k, n, seed=100 + seed) < 0.8
    for threshold in (0.3, 1.0, 5.0):
        people = group_by_tags(peaks_of(valid), tags, threshold=threshold)
        assert people.indices.tolist() == steps(tags, valid, partial(best_of_all, threshold=threshold))


def test_both_methods_and_where_they_differ():
    """Two people at 0 and 1; the first candidate, at 0.6, is nearest to 1, where the second belongs more clearly."""
    tags, valid = torch.tensor([[[0.0], [1.0]], [[0.6], [1.3]]]), torch.ones(2, 2, dtype=torch.bool)
    found = {m: group_by_tags(peaks_of(valid), tags, threshold=1.0, method=m).indices.tolist()
             for m in ("greedy", "optimal")}
    assert found == {"greedy": [[0, -1], [1, 0], [-1, 1]], "optimal": [[0, 0], [1, 1]]}


@both_methods
def test_as_far_as_the_threshold_is_too_far(method):
    """Both candidates want the person at 0; to the second only the one at 1.5 is left, just 1 away."""
    tags = torch.tensor([[[0.0], [1.5]], [[0.25], [0.5]]])
    for threshold, n in ((1.0, 3), (1.01, 2)):
        assert len(group_by_tags(peaks_of(torch.ones(2, 2) > 0), tags, threshold=threshold, method=method).xy) == n


def test_a_peak_far_from_all_takes_nobody_away():
    """The least sum of all distances, also of those beyond the threshold, would give the first person to both."""
    distance = np.array([[1.0, 0.2], [5.0, 3.8]])  # candidates at 1 and 5, people at 0 and 1.2
    assert linear_sum_assignment(distance)[1].tolist() == [0, 1]  # so nobody gets the keypoint at 1: not nearer than 1
    tags = torch.tensor([[[0.0], [1.2]], [[1.0], [5.0]]], dtype=torch.float64)
    people = group_by_tags(peaks_of(torch.ones(2, 2) > 0), tags, threshold=1.0)
    assert people.indices.tolist() == [[0, -1], [1, 0], [-1, 1]]


def test_squares_decide_where_distances_do_not():
    """Candidates at 1 and 1.5, people at 0 and 0.75: both ways the distances' sum is 1.75. Nearest to nearest is not
    what squares say: with equal scatter it is less likely that one tag has gone 1.5 and the other 0.25."""
    assert (1 - 0) + (1.5 - 0.75) == (1 - 0.75) + (1.5 - 0) == 1.75
    tags = torch.tensor([[[0.0], [0.75]], [[1.0], [1.5]]])
    people = group_by_tags(peaks_of(torch.ones(2, 2) > 0), tags, threshold=2.0)
    assert people.indices.tolist() == [[0, 0], [1, 1]]


@both_methods
@settings(max_examples=150)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 5), d=st.integers(1, 3), part=st.floats(0.001, 0.999))
def test_tags_within_a_quarter_of_the_margin_are_grouped_without_error(method, seed, n, d, part):
    """Radius r, margin m > 4 r: any threshold strictly between 2 r and m - 2 r, in whatever order the peaks come."""
    rng = np.random.default_rng(seed)
    m = 4 * (r := rng.uniform(0.1, 1)) * rng.uniform(1.001, 3)
    centers = np.zeros((n, d))
    centers[:, 0] = np.cumsum(m * rng.uniform(1, 1.5, n))
    offset = rng.normal(size=(6, n, d))
    offset *= r * rng.choice([1.0, 0.5], (6, n, 1)) / np.linalg.norm(offset, axis=-1, keepdims=True)  # many at the rim
    order = np.stack([rng.permutation(n) for _ in range(6)])
    tags = torch.from_numpy(np.take_along_axis(centers + offset, order[..., None], 1))
    valid = torch.from_numpy(rng.random((6, n)) < 0.7)
    threshold = 2 * r + part * (m - 4 * r)
    people = group_by_tags(peaks_of(valid), tags, threshold=threshold, method=method)
    whose = [{order[k, i] for k, i in enumerate(row) if i >= 0} for row in people.indices.tolist()]
    everybody = {p for k, p in enumerate(order) for p in p[valid[k].numpy()]}
    assert all(len(one) == 1 for one in whose) and len(whose) == len(everybody)
    assert (people.indices >= 0).sum() == valid.sum()


@both_methods
def test_beyond_these_thresholds_there_are_errors(method):
    """Margin 4.2, radius 1: below 2 one person falls apart, above 2.2 two people mix."""
    apart = torch.tensor([[[0.0]], [[2.0]]], dtype=torch.float64)  # around a center at 1
    mixed = torch.tensor([[[1.0]], [[3.2]]], dtype=torch.float64)  # around centers at 0 and 4.2
    one = peaks_of(torch.ones(2, 1) > 0)
    for tags, threshold, n in ((apart, 2.0, 2), (apart, 2.01, 1), (mixed, 2.19, 2), (mixed, 2.21, 1)):
        assert len(group_by_tags(one, tags, threshold=threshold, method=method).indices) == n


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_candidates_names_them_only(seed):
    tags, valid = noise(5, 6, 2, seed=seed), noise(5, 6, seed=50 + seed) < 0.8
    order = torch.stack([torch.randperm(6, generator=torch.Generator().manual_seed(seed + k)) for k in range(5)])
    rows = torch.arange(5)[:, None]
    people = group_by_tags(peaks_of(valid), tags, threshold=0.8).indices
    mixed = group_by_tags(peaks_of(valid[rows, order]), tags[rows, order], threshold=0.8).indices
    back = torch.where(mixed >= 0, order[torch.arange(5), mixed.clamp(min=0)], -1)
    assert sorted(back.tolist()) == sorted(people.tolist())


@both_methods
@pytest.mark.parametrize("dtype", DTYPES)
def test_people_are_made_of_their_peaks(method, dtype, device):
    valid = noise(4, 5, seed=3) < 0.6
    tags = torch.where(valid[..., None], noise(4, 5, 2), math.nan)
    peaks = Peaks(*(part.to(device) for part in peaks_of(valid, dtype)))
    xy, scores, indices = people = group_by_tags(peaks, tags.to(device, dtype), threshold=1.0, method=method)
    p = len(indices)
    assert [part.shape for part in people] == [(p, 4, 2), (p, 4), (p, 4)] and p > 5
    assert [part.dtype for part in people] == [dtype, dtype, torch.int64]
    assert {part.device.type for part in people} == {device}
    for a, k in itertools.product(range(p), range(4)):
        i = indices[a, k]
        if i < 0:
            assert xy[a, k].isnan().all() and scores[a, k] == 0
        else:
            assert torch.equal(xy[a, k], peaks.xy[k, i]) and scores[a, k] == peaks.scores[k, i] and valid[k, i]
    for k in range(4):  # each peak belongs to one person
        assert sorted(i for i in indices[:, k].tolist() if i >= 0) == valid[k].nonzero()[:, 0].tolist()


@both_methods
@pytest.mark.parametrize("threshold", [1e-300, 1e300])
def test_thresholds_of_any_size(method, threshold):
    one, tags = peaks_of(torch.ones(2, 1) > 0), torch.tensor([[[0.0]], [[1.0]]])
    people = group_by_tags(one, tags, threshold=threshold, method=method)
    assert len(people.indices) == (1 if threshold > 1 else 2)


@both_methods
@pytest.mark.parametrize("shape", [(1, 0), (17, 0), (1, 3), (17, 4)])
def test_no_peaks_no_people(method, shape):
    people = group_by_tags(peaks_of(torch.zeros(shape) > 0), noise(*shape, 1), threshold=1.0, method=method)
    k = shape[0]
    assert [part.shape for part in people] == [(0, k, 2), (0, k), (0, k)]


def test_gradients_pass_through_the_scores_of_people():
    peaks = peaks_of(torch.ones(2, 3) > 0)
    scores = peaks.scores.clone().requires_grad_()
    group_by_tags(peaks._replace(scores=scores), noise(2, 3, 1), threshold=1.0).scores.sum().backward()
    assert torch.equal(scores.grad, torch.ones(2, 3).double())


@pytest.mark.parametrize(
    "change, text",
    [
        ({"peaks": (1, 2, 3)}, "peaks: want a Peaks, got tuple"),
        ({"peaks": Peaks(torch.zeros(1, 2, 3, 2), torch.zeros(1, 2, 3), torch.ones(1, 2, 3) > 0)},
         "peaks.xy: want (K, N, 2), the peaks of one image, got (1, 2, 3, 2)"),
        ({"peaks": Peaks(torch.zeros(2, 3, 2), torch.zeros(2, 2), torch.ones(2, 3) > 0)},
         "peaks.scores: want shape (2, 3), got (2, 2)"),
        ({"peaks": Peaks(torch.zeros(2, 3, 2), torch.zeros(2, 3), torch.ones(2, 3))},
         "peaks.valid: want bool (2, 3), got float32 (2, 3)"),
        ({"tags": torch.zeros(2, 3)}, "tags: want shape (2, 3, D), got (2, 3)"),
        ({"tags": torch.zeros(3, 2, 1)}, "tags: want shape (2, 3, D), got (3, 2, 1)"),
        ({"tags": torch.full((2, 3, 1), math.inf)}, "tags: want finite where a peak is valid, got NaN or infinity"),
        ({"threshold": 0}, "threshold: want a finite number > 0, got 0"),
        ({"method": "best"}, "method: want one of 'optimal', 'greedy', got 'best'"),
    ],
)  # fmt: skip
def test_errors_of_tags(change, text):
    options = {"peaks": peaks_of(torch.ones(2, 3) > 0), "tags": torch.zeros(2, 3, 1), "threshold": 1.0} | change
    with pytest.raises(ValueError) as error:
        group_by_tags(options.pop("peaks"), options.pop("tags"), **options)
    assert str(error.value) == text


def test_errors_of_reading_tags():
    for tag_maps, xy in (((3, 4, 5), (2, 6, 2)), ((4, 5), (6, 2)), ((3, 4, 5), (2,))):
        with pytest.raises(ValueError, match=r"xy: want \(..., N, 2\) with the leading axes of tag_maps"):
            tags_at(torch.zeros(tag_maps), torch.zeros(xy))


# ---------------------------------------------------------------------------------------------------------------------
# Joints without a peak


def some_people(p=4, k=5, seed=9) -> People:
    """On maps of 7 x 8 cells, each with one joint at least."""
    known = noise(p, k, seed=seed) < 0.3
    known[:, 2] = True
    xy = (noise(p, k, 2, seed=seed + 1).abs() * 3).round().clamp(max=6)
    indices = torch.where(known, torch.arange(p)[:, None], -1)
    return People(torch.where(known[..., None], xy, math.nan), noise(p, k, seed=seed + 2).abs() * known, indices)


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("floor", [0.0, 0.8])
def test_filling_against_plain_loops(d, floor, device):
    """Heatmaps of few values, so that some are equal; some cells are NaN, in heatmaps or tags."""
    people, heatmaps, tag_maps = some_people(), (noise(5, 7, 8) * 3).round() / 3, noise(5, d, 7, 8, seed=1)
    tag_maps[3, 0, 5, 5] = math.nan
    before = [part.clone() for part in people]
    on_device = [People(*(part.to(device) for part in people)), heatmaps.to(device), tag_maps.to(device)]
    filled = [part.cpu() for part in fill_joints(*on_device, threshold=1.0, floor=floor)]
    same(people, before)
    assert torch.equal(filled[2], people.indices)
    found = missing = 0
    for p, k in itertools.product(range(4), range(5)):
        if people.indices[p, k] >= 0:
            same([part[p, k] for part in filled], [part[p, k] for part in people])
            continue
        cells = [people.xy[p, j].int().tolist() for j in range(5) if people.indices[p, j] >= 0]
        joints = [j for j in range(5) if people.indices[p, j] >= 0]
        own = torch.stack([tag_maps[j, :, y, x] for j, (x, y) in zip(joints, cells, strict=True)]).mean(0).tolist()
        fitting = [(-heatmaps[k, y, x].item(), y, x) for y, x in itertools.product(range(7), range(8))
                   if math.dist(tag_maps[k, :, y, x].tolist(), own) < 1.0]
        value, y, x = min(fitting, default=(0, 0, 0))
        if -value > floor:
            assert filled[0][p, k].tolist() == [x, y] and filled[1][p, k] == -value
            found += 1
        else:
            assert filled[0][p, k].isnan().all() and filled[1][p, k] == 0
            missing += 1
    assert found > 3 and (missing or d == 1)


def test_filling_many_people():
    """More joints than a card reads at a time."""
    people, heatmaps, tag_maps = some_people(40), noise(5, 7, 8), noise(5, 2, 7, 8, seed=1)
    filled = fill_joints(people, heatmaps, tag_maps, threshold=1.0)
    with Card():
        same(plain(fill_joints(*put((people, heatmaps, tag_maps)), threshold=1.0)), filled)
    for p in range(40):
        alone = fill_joints(People(*(part[p : p + 1] for part in people)), heatmaps, tag_maps, threshold=1.0)
        same(alone, [part[p : p + 1] for part in filled])
    nobody = People(*(part[:0] for part in people))
    same(fill_joints(nobody, heatmaps, tag_maps, threshold=1.0), nobody)
    complete = People(torch.zeros(2, 5, 2), torch.ones(2, 5), torch.zeros(2, 5, dtype=torch.int64))
    same(fill_joints(complete, heatmaps, tag_maps, threshold=1.0), complete)


def test_a_nan_where_the_tag_fits_fills_nothing():
    one = People(torch.tensor([[[0.0, 0.0], [math.nan] * 2]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0, -1]]))
    heatmaps, tag_maps = torch.tensor([[[1.0, 0.0, 0.0]], [[0.2, 0.9, math.nan]]]), torch.zeros(2, 1, 1, 3)
    assert fill_joints(one, heatmaps, tag_maps, threshold=1.0).xy[0, 1].isnan().all()
    tag_maps[1, 0, 0, 2] = 5  # where it does not fit, it does no harm
    assert fill_joints(one, heatmaps, tag_maps, threshold=1.0).xy[0, 1].tolist() == [1, 0]
    heatmaps[1] = 0.75
    assert fill_joints(one, heatmaps, tag_maps, threshold=1.0, floor=0.75).xy[0, 1].isnan().all()  # above, not at


@pytest.mark.parametrize("dtype", DTYPES)
def test_filling_dtype(dtype):
    people = some_people()
    people = People(people.xy.to(dtype), people.scores.to(dtype), people.indices)
    xy, scores, indices = fill_joints(people, noise(5, 7, 8, dtype=dtype), noise(5, 2, 7, 8, dtype=dtype), threshold=1)
    assert (xy.dtype, scores.dtype, indices.dtype) == (dtype, dtype, torch.int64)
    assert xy.isfinite().sum() > people.xy.isfinite().sum()


def test_from_maps_to_people():
    """Three people on maps; one joint has only a low bump, below the peaks' threshold."""
    cells = torch.tensor([[[4.0, 4.0], [6.0, 12.0]], [[15.0, 5.0], [14.0, 11.0]], [[25.0, 9.0], [24.0, 3.0]]])
    height = torch.tensor([[1.0, 1.0], [1.0, 0.05], [1.0, 1.0]])
    labeled = torch.ones(3, 2, dtype=torch.bool)
    heatmaps = torch.stack([height[p, :, None, None] * people_heatmap(cells[p : p + 1], labeled[p : p + 1], (16, 30),
                                                                      sigma=1.5) for p in range(3)]).amax(0)
    tag_maps = torch.tensor([0.0, 3.0, 6.0]).repeat_interleave(10).expand(2, 1, 16, 30)  # by the place
    peaks = local_peaks(heatmaps, threshold=0.1, top_k=5)
    people = group_by_tags(peaks, tags_at(tag_maps, peaks.xy), threshold=1.0)
    assert people.xy[:, 0].isfinite().all() and people.xy.isnan().any(-1).sum() == 1
    filled = fill_joints(people, heatmaps, tag_maps, threshold=1.0)
    assert sorted(filled.xy.tolist()) == sorted(cells.tolist()) and filled.scores.min().item() == pytest.approx(0.05)


@pytest.mark.parametrize(
    "change, text",
    [
        ({"people": (1, 2, 3)}, "people: want a People, got tuple"),
        ({"heatmaps": torch.zeros(4, 7, 8)}, "heatmaps: want shape (5, H, W), got (4, 7, 8)"),
        ({"tag_maps": torch.zeros(5, 7, 8)}, "tag_maps: want shape (5, D, 7, 8), got (5, 7, 8)"),
        ({"tag_maps": torch.zeros(5, 1, 8, 7)}, "tag_maps: want shape (5, D, 7, 8), got (5, 1, 8, 7)"),
        ({"threshold": -1}, "threshold: want a finite number > 0, got -1"),
        ({"floor": None}, "floor: want a finite number, got NoneType"),
    ],
)
def test_errors_of_filling(change, text):
    options = {"people": some_people(), "heatmaps": torch.zeros(5, 7, 8), "tag_maps": torch.zeros(5, 1, 7, 8),
               "threshold": 1.0} | change
    with pytest.raises(ValueError) as error:
        fill_joints(options.pop("people"), options.pop("heatmaps"), options.pop("tag_maps"), **options)
    assert str(error.value) == text


def people_at(xy: Tensor) -> People:
    return People(xy, torch.ones(xy.shape[:2]), torch.zeros(xy.shape[:2], dtype=torch.int64))


def test_a_peak_between_cells_is_found_exactly_and_what_is_no_peak_stays():
    xy = torch.tensor([[[3.3, 4.8], [7.6, 2.2]], [[0.2, 5.0], [torch.nan, torch.nan]]], dtype=torch.float64)
    heatmaps = people_heatmap(xy, ~xy.isnan().any(-1), (9, 12), sigma=0.8)
    cells = people_at(xy.round())
    found = refine_people(cells, heatmaps)
    torch.testing.assert_close(found.xy[0], xy[0])
    assert torch.equal(found.xy[1, 0], xy[1, 0].round()) and found.xy[1, 1].isnan().all()  # at the edge, and missing
    assert torch.equal(cells.xy[0], xy[0].round()) and found[1:] == cells[1:]  # what came in stays
    beside = people_at(xy.round() + torch.tensor([1.0, 0.0]))
    assert torch.equal(refine_people(beside, heatmaps).xy[0], beside.xy[0])
    nobody = people_at(xy[:0])
    same(refine_people(nobody, heatmaps), nobody)


def test_refining_wants_people_and_their_maps():
    people = people_at(torch.zeros(1, 2, 2))
    for heatmaps, want in ((torch.ones(3, 4, 5), r"heatmaps: want shape \(2, H, W\), got \(3, 4, 5\)"),
                           (torch.ones(2, 4, 5, dtype=torch.int64), "heatmaps: want .*floating")):
        with pytest.raises(ValueError, match=want):
            refine_people(people, heatmaps)
    with pytest.raises(ValueError, match="people: want a People, got Tensor"):
        refine_people(torch.zeros(1, 2, 2), torch.ones(2, 4, 5))


# ---------------------------------------------------------------------------------------------------------------------
# Limbs


def ends(*leading: int, hw=(6, 8), seed=0, dtype=torch.float64) -> Tensor:
    """Points on the map."""
    draw = torch.Generator().manual_seed(seed)
    size = torch.tensor([hw[1] - 1, hw[0] - 1])
    return (torch.rand(*leading, 2, generator=draw, dtype=torch.float64) * size).to(dtype)


@pytest.mark.parametrize("samples", [2, 3, 10])
@pytest.mark.parametrize("hw", [(6, 8), (1, 8), (6, 1), (1, 1)])
def test_paf_scores_against_scipy(hw, samples):
    """Bilinear interpolation, beyond the map its edge, at evenly spaced points."""
    field, a, b = noise(2, *hw), 3 * ends(50, hw=(6, 8)) - 5, 3 * ends(50, hw=(6, 8), seed=1) - 5
    scores = paf_scores(field, a, b, samples=samples)
    for start, end, score in zip(a.numpy(), b.numpy(), scores.tolist(), strict=True):
        points = np.linspace(start, end, samples)
        vectors = np.stack([ndimage.map_coordinates(part, points.T[::-1], order=1, mode="nearest")
                            for part in field.numpy()], -1)
        expected = (vectors @ ((end - start) / np.linalg.norm(end - start))).mean()
        assert score == pytest.approx(expected, rel=0, abs=1e-12)


def test_paf_scores_of_a_linear_field():
    """Bilinear interpolation is exact there, and the mean is the field in the middle of the limb."""
    y, x = torch.meshgrid(torch.arange(6).double(), torch.arange(8).double(), indexing="ij")
    matrix, shift = noise(2, 2), noise(2, seed=1)
    field = torch.einsum("cd,dhw->chw", matrix, torch.stack((x, y))) + shift[:, None, None]
    a, b = ends(20), ends(20, seed=1)
    along = (b - a) / (b - a).norm(dim=-1, keepdim=True)
    expected = (((a + b) / 2 @ matrix.T + shift) * along).sum(-1)
    for samples in (2, 5, 64):
        torch.testing.assert_close(paf_scores(field, a, b, samples=samples), expected, rtol=0, atol=1e-12)


def test_paf_scores_come_near_the_integral():
    """A field that is bilinear between cells along a row: the line integral by trapezoids over the cells is exact."""
    field = torch.stack((noise(1, 9), torch.zeros(1, 9).double()))
    exact = np.trapezoid(field[0, 0].numpy()) / 8
    a, b = torch.tensor([0.0, 0.0]).double(), torch.tensor([8.0, 0.0]).double()
    errors = [abs(paf_scores(field, a, b, samples=n).item() - exact) for n in (10, 10**2, 10**3, 10**4)]
    assert errors[3] < 1e-3 and errors == sorted(errors, reverse=True)


def test_a_limb_scores_one_on_its_own_field_and_minus_one_backwards():
    """Straight or slanted: all that interpolation reads lies on the limb, which is wide enough."""
    for x, y in ((9, 2), (2, 8), (9, 8), (8, 4)):
        cells = torch.tensor([[[2.0, 2.0], [x, y]]], dtype=torch.float64)
        field = part_affinity_fields(cells, torch.ones(1, 2) > 0, (11, 12), limbs=((0, 1),), width=3)[0]
        inner = cells[0, 0] + (cells[0, 1] - cells[0, 0]) * torch.tensor([[0.25], [0.75]])
        assert paf_scores(field, inner[0], inner[1]).item() == pytest.approx(1, abs=1e-12)
        assert paf_scores(field, inner[1], inner[0]).item() == pytest.approx(-1, abs=1e-12)
        across = torch.tensor([y - 2.0, 2.0 - x], dtype=torch.float64) / 8
        assert paf_scores(field, inner[0], inner[0] + across).item() == pytest.approx(0, abs=1e-12)


def test_paf_scores_of_all_pairs_and_in_batches():
    fields, a, b = noise(3, 4, 2, 6, 8), ends(3, 4, 5), ends(3, 4, 7, seed=1)
    scores = paf_scores(fields, a[..., :, None, :], b[..., None, :, :])
    assert scores.shape == (3, 4, 5, 7)
    for i, j, n, m in itertools.product(range(3), range(4), range(5), range(7)):
        one = paf_scores(fields[i, j], a[i, j, n], b[i, j, m])
        torch.testing.assert_close(one, scores[i, j, n, m], rtol=0, atol=1e-14)
    assert paf_scores(fields, a[..., :0, :], a[..., :0, :]).shape == (3, 4, 0)
    assert paf_scores(fields[:0], a[:0], a[:0]).shape == (0, 4, 5)


def test_paf_scores_where_the_ends_coincide_or_are_missing():
    field, a, b = noise(2, 6, 8), ends(4), ends(4, seed=1)
    expected = paf_scores(field, a, b)
    b[1], b[2, 0] = a[1], math.nan
    leaves = [part.clone().requires_grad_() for part in (field, a, b)]
    scores = paf_scores(*leaves)
    assert scores[1] == 0 and scores[2].isnan() and torch.equal(scores[[0, 3]], expected[[0, 3]])
    scores[[0, 1, 3]].sum().backward()
    assert all(leaf.grad[[0, 1]].isfinite().all() for leaf in leaves)


def test_paf_scores_gradients():
    leaves = [part.requires_grad_() for part in (noise(3, 2, 6, 8), ends(3, 4), ends(3, 4, seed=1))]
    assert torch.autograd.gradcheck(lambda *args: paf_scores(*args, samples=4), leaves)


@pytest.mark.parametrize("dtype", DTYPES)
def test_paf_scores_dtype_device(dtype, device):
    args = [part.to(device) for part in (noise(3, 2, 6, 8, dtype=dtype), ends(3, 4, dtype=dtype), ends(3, 4, seed=1))]
    before = [part.clone() for part in args]
    scores = paf_scores(*args)
    assert (scores.shape, scores.dtype, scores.device.type) == ((3, 4), dtype, device)
    same(args, before)
    wide = paf_scores(*(part.double() for part in args))
    eps = torch.finfo(dtype).eps  # a place on a map of 8 cells is rounded to so many
    torch.testing.assert_close(scores.double(), wide, rtol=0, atol=8 * eps)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert torch.equal(paf_scores(*args), scores)


def crossing(limbs=((0, 1),)) -> tuple[Peaks, Tensor]:
    """Two limbs of 40 cells that cross in the middle of the map."""
    cells = torch.tensor([[[5.0, 5.0], [35.0, 35.0]], [[5.0, 35.0], [35.0, 5.0]]], dtype=torch.float64)
    fields = part_affinity_fields(cells, torch.ones(2, 2) > 0, (41, 41), limbs=limbs, width=1.5)
    return Peaks(cells.transpose(0, 1), torch.ones(2, 2).double(), torch.ones(2, 2) > 0), fields


@both_methods
def test_limbs_that_cross_are_told_apart(method):
    peaks, fields = crossing()
    assert group_by_paf(peaks, fields, ((0, 1),), threshold=0.5, method=method).indices.tolist() == [[0, 0], [1, 1]]
    backwards = group_by_paf(peaks, -fields, ((0, 1),), threshold=0.5, method=method)
    assert len(backwards.indices) == 0


def test_the_best_pair_first_or_all_pairs_at_once():
    """Scores .9 and .5 from the first peak, .8 and .1 from the second: .9 + .1 or .5 + .8."""
    scores = torch.tensor([[0.9, 0.5], [0.8, 0.1]], dtype=torch.float64)
    xy = torch.tensor([[[0.0, 0.0], [0.0, 50.0]], [[90.0, 0.0], [90.0, 50.0]]], dtype=torch.float64)
    fields = torch.zeros(1, 2, 51, 91, dtype=torch.float64)
    fields[0, :, 0, 0], fields[0, :, 50, 0] = solve(xy, scores)  # with two samples only the ends count
    for method, threshold, expected in (("greedy", 0.05, [[0, 0], [1, 1]]), ("optimal", 0.05, [[0, 1], [1, 0]]),
                                        ("greedy", 0.2, [[0, 0]]), ("optimal", 0.2, [[0, 1], [1, 0]])):
        people = group_by_paf(Peaks(xy, torch.ones(2, 2), torch.ones(2, 2) > 0), fields, ((0, 1),),
                              threshold=threshold, samples=2, method=method)
        assert people.indices.tolist() == expected


def solve(xy: Tensor, scores: Tensor) -> list[Tensor]:
    """The field at each first end that gives the scores to both second ends, where the field is 0."""
    limbs = xy[1] - xy[0][:, None]
    units = limbs / limbs.norm(dim=-1, keepdim=True)
    return [torch.linalg.solve(unit, 2 * score) for unit, score in zip(units, scores, strict=True)]


TREE = ((0, 1), (1, 2), (1, 3), (3, 4))


@both_methods
@pytest.mark.parametrize("seed", range(12))
def test_on_a_tree_people_are_what_hangs_together(seed, method):
    """Pairs by brute force or scipy from the scores alone; then connected components, which have no keypoint twice."""
    valid = noise(5, 4, seed=seed) < 0.8
    peaks, fields = peaks_of(valid, seed=seed), noise(4, 2, 40, 40, seed=seed)
    people = group_by_paf(peaks, fields, TREE, threshold=0.1, samples=3, method=method)
    links = []
    for (i, j), field in zip(TREE, fields, strict=True):
        score = paf_scores(field, peaks.xy[i][:, None], peaks.xy[j][None], samples=3).nan_to_num(-9).numpy()
        if method == "optimal":
            pairs = zip(*linear_sum_assignment(np.maximum(score, 0.1), maximize=True), strict=True)
            links += [(4 * i + a, 4 * j + b) for a, b in pairs if score[a, b] > 0.1]
        else:
            while score.max() > 0.1:
                a, b = np.unravel_index(score.argmax(), score.shape)
                links.append((4 * i + a, 4 * j + b))
                score[a], score[:, b] = -9, -9
    rows, columns = np.array(links).T
    _, label = connected_components(coo_array((np.ones(len(links)), (rows, columns)), shape=(20, 20)))
    groups = [np.flatnonzero(label == k) for k in range(label.max() + 1)]
    expected = [sorted(group.tolist()) for group in groups if len(group) > 1]
    found = [[4 * k + i for k, i in enumerate(row) if i >= 0] for row in people.indices.tolist()]
    assert found == sorted(expected) and len(found) > 1  # in the order of their first peaks
    for part, whole in ((people.xy, peaks.xy), (people.scores, peaks.scores)):
        for row, indices in zip(part, people.indices, strict=True):
            assert all(torch.equal(row[k], whole[k, i]) for k, i in enumerate(indices.tolist()) if i >= 0)


def test_in_a_circle_the_weaker_limb_gives_way():
    """Three keypoints in a circle, two peaks of the third: one limb joins each to the person; a person has one."""
    xy = torch.tensor([[[10.0, 10.0]] * 2, [[30.0, 10.0]] * 2, [[10.0, 30.0], [30.0, 30.0]]], dtype=torch.float64)
    valid = torch.tensor([[True, False], [True, False], [True, True]])
    limbs, strength = ((0, 1), (0, 2), (1, 2)), (0.9, 0.5, 0.7)
    fields = torch.zeros(3, 2, 40, 40, dtype=torch.float64)
    fields[0, 0], fields[1, 1, :, :20], fields[2, 1, :, 21:] = strength[0], strength[1], strength[2]
    options = dict(limbs=limbs, threshold=0.45, samples=5)
    people = group_by_paf(Peaks(xy, torch.ones(3, 2), valid), fields, **options)
    assert people.indices.tolist() == [[0, 0, 1]]  # by the limb of .7; the peak of the limb of .5 is left over
    people = group_by_paf(Peaks(xy, torch.ones(3, 2), valid), fields * torch.tensor([1, 1.9, 1])[:, None, None, None],
                          **options)
    assert people.indices.tolist() == [[0, 0, 0]]  # now that one is stronger


@both_methods
@pytest.mark.parametrize("dtype", DTYPES)
def test_people_apart_from_end_to_end(method, dtype, device):
    """Six people with COCO's limbs, some wrists and ankles unlabeled; each one's peaks come back together."""
    draw = torch.Generator().manual_seed(0)
    body = 6 + 24 * torch.rand(6, 17, 2, generator=draw)
    cells = body + 36 * torch.cartesian_prod(torch.arange(3), torch.arange(2))[:, None]
    mask = torch.ones(6, 17, dtype=torch.bool)
    mask[:, [9, 10, 15, 16]] = torch.rand(6, 4, generator=draw) < 0.5
    heatmaps = people_heatmap(cells, mask, (76, 112), sigma=1.0).to(device, dtype)
    fields = part_affinity_fields(cells, mask, (76, 112), limbs=COCO_17.limbs, width=1.5).to(device, dtype)
    peaks = local_peaks(heatmaps, threshold=0.3, top_k=8)
    people = group_by_paf(peaks, fields, COCO_17.limbs, threshold=0.3, method=method)
    assert people.xy.dtype == people.scores.dtype == dtype and people.indices.dtype == torch.int64
    assert {part.device.type for part in people} == {device} and people.indices.shape == (6, 17)
    distance = (people.xy.float().cpu()[:, None] - cells).norm(dim=-1)  # (found, true, K)
    whose = distance.nan_to_num(0).sum(-1).argmin(1)
    assert sorted(whose.tolist()) == list(range(6))
    assert torch.equal(people.indices.cpu() >= 0, mask[whose])
    assert distance[range(6), whose][mask[whose]].max() < 0.75


def test_peaks_that_were_refined_carry_their_gradients_on():
    peaks, fields = crossing()
    xy = peaks.xy.clone().requires_grad_()
    group_by_paf(peaks._replace(xy=xy), fields, ((0, 1),), threshold=0.5).xy.sum().backward()
    assert torch.equal(xy.grad, torch.ones_like(xy))


@both_methods
def test_no_limbs_no_people(method):
    peaks, fields = crossing()
    alone = peaks._replace(valid=torch.tensor([[True, True], [False, False]]))
    none = Peaks(*(part[:, :0] for part in peaks))
    for some, field, limbs in ((alone, fields, ((0, 1),)), (peaks, 0 * fields, ((0, 1),)), (peaks, fields[:0], ()),
                               (peaks, math.nan * fields, ((0, 1),)), (none, fields, ((0, 1),))):
        people = group_by_paf(some, field, limbs, threshold=0.1, method=method)
        assert [part.shape for part in people] == [(0, 2, 2), (0, 2), (0, 2)] and people.indices.dtype == torch.int64


@pytest.mark.parametrize(
    "change, text",
    [
        ({"peaks": None}, "peaks: want a Peaks, got NoneType"),
        ({"limbs": ((0, 2),)}, "limbs: want two different indices from 0 to 1, got (0, 2)"),
        ({"limbs": ((0, 1), (1, 0))}, "pafs: want shape (2, 2, H, W), got (1, 2, 41, 41)"),
        ({"pafs": torch.zeros(2, 41, 41)}, "pafs: want shape (1, 2, H, W), got (2, 41, 41)"),
        ({"threshold": math.inf}, "threshold: want a finite number, got inf"),
        ({"samples": 1}, "samples: want a whole number >= 2, got 1"),
        ({"method": "hungarian"}, "method: want one of 'optimal', 'greedy', got 'hungarian'"),
    ],
)
def test_errors_of_limbs(change, text):
    peaks, pafs = crossing()
    with pytest.raises(ValueError) as error:
        group_by_paf(**{"peaks": peaks, "pafs": pafs, "limbs": ((0, 1),), "threshold": 0.1} | change)
    assert str(error.value) == text


@pytest.mark.parametrize(
    "shapes, text",
    [
        (((3, 6, 8), (5, 2), (5, 2)), "pafs: want shape (..., 2, H, W), got (3, 6, 8)"),
        (((2, 6, 8), (5, 3), (5, 2)), "a: want shape (..., 2), got (5, 3)"),
        (((4, 2, 6, 8), (5, 2), (5, 2)),
         "a, b: want two shapes (..., *pairs, 2) with the leading axes of pafs (..., 2, H, W), "
         "got (5, 2), (5, 2) and (4, 2, 6, 8)"),
        (((2, 6, 8), (5, 2), (4, 2)),
         "a, b: want two shapes (..., *pairs, 2) with the leading axes of pafs (..., 2, H, W), "
         "got (5, 2), (4, 2) and (2, 6, 8)"),
    ],
)
def test_errors_of_paf_scores(shapes, text):
    with pytest.raises(ValueError) as error:
        paf_scores(*map(torch.zeros, shapes))
    assert str(error.value) == text


def test_under_another_default_dtype_and_device():
    """A program may compute in float64, or build its tensors elsewhere."""
    heatmaps, tag_maps = (noise(2, *shape, 9, 9, dtype=torch.float32) for shape in ((), (1,)))
    peaks, fields = crossing()
    pair = Peaks(peaks.xy.float(), peaks.scores.float(), peaks.valid)

    def all_of_them() -> list[Tensor]:
        found = local_peaks(heatmaps, threshold=0.0, top_k=4)
        people = group_by_tags(found, tags_at(tag_maps, found.xy), threshold=0.3)
        return [*found, *people, *fill_joints(people, heatmaps, tag_maps, threshold=0.3),
                *group_by_paf(pair, fields.float(), ((0, 1),), threshold=0.1)]

    expected = all_of_them()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            same(all_of_them(), expected)
    finally:
        torch.set_default_dtype(torch.float32)
