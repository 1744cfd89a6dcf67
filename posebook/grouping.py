"""Which keypoint belongs to whom: peaks of heatmaps, and people made of them by tags or by part affinity fields.

In all results: where there is nothing, xy is NaN, the score 0 and the index -1. Points are in cells.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional as F

from posebook import _args
from posebook.decode import refine_dark


class Peaks(NamedTuple):
    """What :func:`local_peaks` finds: N places for each map, the highest peak first."""

    xy: Tensor
    """``(..., N, 2)``, (x, y) in cells."""
    scores: Tensor
    """``(..., N)``, the heatmap there."""
    valid: Tensor
    """``(..., N)`` bool: False where the map has no further peak."""


class People(NamedTuple):
    """P people of one image with K keypoints each, in the order of their first peak: keypoint by keypoint."""

    xy: Tensor
    """``(P, K, 2)``, (x, y) in cells."""
    scores: Tensor
    """``(P, K)``, the heatmap there."""
    indices: Tensor
    """``(P, K)`` int64: which of the keypoint's peaks it is."""


def local_peaks(heatmaps: Tensor, *, threshold: float, top_k: int) -> Peaks:
    """The highest local peaks of each map.

    A peak is a cell above ``threshold`` and strictly higher than each of its up to eight neighbors: a plateau has none.
    NaN is never a peak, nor is a cell beside it. Highest first, equal ones by flat index.

    Args:
        heatmaps: ``(..., H, W)``, any floating dtype; values may be negative.
        threshold: in units of the heatmaps.
        top_k: the N places of each map, a whole number >= 1.

    Returns:
        ``xy (..., N, 2)`` in the dtype of the heatmaps (bfloat16 holds whole numbers up to 256), ``scores (..., N)``,
        through which gradients pass, and ``valid (..., N)``.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, or a bad option.

    See chapter 3, section 3.1.

    Source: the non-maximum suppression of Newell, Huang and Deng 2017, arXiv:1611.05424, where a peak may equal its
    neighbors.

    >>> xy, scores, valid = local_peaks(torch.tensor([[9., 0., 0., 7., 7.]]), threshold=0.5, top_k=2)
    >>> xy[valid], scores, valid    # two equal neighbors: a plateau
    (tensor([[0., 0.]]), tensor([9., 0.]), tensor([ True, False]))
    """
    _args.maps("heatmaps", heatmaps)
    _args.number("threshold", threshold)
    _args.whole("top_k", top_k, 1)
    lead, (h, w) = heatmaps.shape[:-2], heatmaps.shape[-2:]
    flat = heatmaps.reshape(-1)
    least = max(torch.finfo(heatmaps.dtype).min, min(threshold, torch.finfo(heatmaps.dtype).max))
    found = _higher_than_neighbors(flat.detach().view(-1, h, w), least)
    peak, height = (part.cpu().numpy() for part in (found, _args.widen(flat.detach()[found])))
    of = peak // (h * w)  # of which map, in ascending order
    peak = peak[np.lexsort((-height, of))]  # map by map, the highest first
    rank = np.arange(len(of)) - np.searchsorted(of, of)  # within its map
    kept = rank < top_k
    cell = np.full(lead.numel() * top_k, -1)
    cell[(of * top_k + rank)[kept]] = peak[kept]

    cell = _args.sent(torch.as_tensor(cell, device="cpu"), flat.device).view(*lead, top_k)
    valid = cell >= 0
    xy = torch.stack((cell % w, cell // w % h), dim=-1).to(flat.dtype).masked_fill(~valid[..., None], torch.nan)
    return Peaks(xy, flat[cell.clamp(min=0)].masked_fill(~valid, 0), valid)


def tags_at(tag_maps: Tensor, xy: Tensor) -> Tensor:
    """Tags read off their maps at the nearest cells.

    Args:
        tag_maps: ``(..., D, H, W)``: D numbers at each cell.
        xy: ``(..., N, 2)``, (x, y) in cells, with the same leading axes; beyond the map its edge counts.

    Returns:
        ``(..., N, D)``, dtype of ``tag_maps``, NaN where ``xy`` is; differentiable in the maps.

    Raises:
        ValueError: shapes that do not fit together, or an integer dtype.

    See chapter 3, section 3.4.

    >>> tags_at(torch.tensor([[[5., 6.], [7., 8.]]]), torch.tensor([[1., 0.], [0.2, 0.8]]))
    tensor([[6.],
            [7.]])
    """
    _args.maps("tag_maps", tag_maps)
    _args.points("xy", xy)
    if tag_maps.ndim < 3 or xy.ndim < 2 or xy.shape[:-2] != tag_maps.shape[:-3]:
        _args.fail("xy", "(..., N, 2) with the leading axes of tag_maps (..., D, H, W)",
                   f"{tuple(xy.shape)} and {tuple(tag_maps.shape)}")
    h, w = tag_maps.shape[-2:]
    cell = _args.widen(xy).nan_to_num(0).round()  # bfloat16 cannot count beyond 256
    column, row = (cell[..., axis].clamp(0, n - 1).long() for axis, n in enumerate((w, h)))
    index = (row * w + column)[..., None, :].expand(*tag_maps.shape[:-2], -1)  # (..., D, N)
    return tag_maps.flatten(-2).gather(-1, index).mT.masked_fill(xy.isnan().any(-1, keepdim=True), torch.nan)


def group_by_tags(peaks: Peaks, tags: Tensor, *, threshold: float, method: str = "optimal") -> People:
    """People of one image: peaks join whose mean tag is near, keypoint by keypoint.

    The people so far are those of earlier keypoints; a person's tag is the mean of the tags that have joined. "greedy":
    peak by peak, in the order given, each joins the nearest person who is still free (of equally near ones the
    earlier), if nearer than ``threshold``. "optimal": all peaks of a keypoint at once, so that the sum of
    ``threshold**2 - distance**2`` over those who join is the largest. A peak that joins nobody begins a person.

    Tags within r of their person's center, and centers m or more apart, are grouped without error by either method if
    ``2 r < threshold < m - 2 r``.

    Args:
        peaks: of one image, ``xy (K, N, 2)``.
        tags: ``(K, N, D)``, such as ``tags_at(tag_maps, peaks.xy)``; anything where a peak is not valid.
        threshold: Euclidean distance > 0, in units of the tags.
        method: "optimal" or "greedy".

    Returns:
        ``xy (P, K, 2)``, ``scores (P, K)``, ``indices (P, K)``; P may be 0.

    Raises:
        ValueError: peaks of no or several images, tags of another shape or not finite at a peak, a bad option.

    See chapter 3, section 3.6.

    Source: Newell, Huang and Deng 2017, arXiv:1611.05424. There the sum of all distances is the smallest, those beyond
    the threshold too, so that a peak far from everybody can take a person from another; and on a line that sum does not
    say which of two peaks belongs to which of two people, if both peaks lie on the same side of both.

    >>> peaks = Peaks(torch.zeros(2, 2, 2), torch.ones(2, 2), torch.tensor([[True, True], [True, False]]))
    >>> group_by_tags(peaks, torch.tensor([[[0.], [5.]], [[4.9], [0.]]]), threshold=1.0).indices
    tensor([[ 0, -1],
            [ 1,  0]])
    """
    _one_image(peaks)
    _args.one_of("method", method, ("optimal", "greedy"))
    _args.positive("threshold", threshold)
    _args.floating("tags", tags, "(K, N, D)")
    if tags.ndim != 3 or tags.shape[:2] != peaks.valid.shape or tags.shape[2] < 1:
        _args.fail("tags", f"shape ({', '.join(map(str, peaks.valid.shape))}, D)", tuple(tags.shape))
    valid, values = peaks.valid.cpu().numpy(), tags.detach().cpu().double().numpy()
    if not np.isfinite(values[valid]).all():
        _args.fail("tags", "finite where a peak is valid", "NaN or infinity")
    sums, counts = np.zeros((valid.sum(), tags.shape[2])), np.zeros((valid.sum(), 1))  # of each person's tags
    indices, p = np.full((valid.sum(), len(tags)), -1), 0
    for k in range(len(tags)):
        here = valid[k].nonzero()[0]
        tag = values[k, here]  # (n, D)
        square = ((tag[:, None] - sums[:p] / counts[:p]) ** 2).sum(-1)  # (n, p)
        who = _match(square, threshold * threshold, _optimal if method == "optimal" else _in_order)
        new = (who < 0).nonzero()[0]
        who[new] = np.arange(p, p + len(new))
        p += len(new)
        sums[who] += tag
        counts[who] += 1
        indices[who, k] = here
    return _people(peaks, indices[:p])


def fill_joints(people: People, heatmaps: Tensor, tag_maps: Tensor, *, threshold: float, floor: float = 0.0) -> People:
    """Joints that no peak gave a person, read off the maps where the person's tag fits.

    The highest of the cells whose tag is nearer than ``threshold`` to the mean of the person's tags, of equal ones the
    first by flat index; where it is not above ``floor`` (or NaN), the joint is still missing. People whose tags are
    alike may get the same cell.

    Args:
        people: of one image, with at least one joint each.
        heatmaps: ``(K, H, W)``.
        tag_maps: ``(K, D, H, W)``.
        threshold: Euclidean distance > 0, in units of the tags.
        floor: in units of the heatmaps.

    Returns:
        the same people with more joints, whose indices are still -1.

    Raises:
        ValueError: shapes that do not fit together, an integer dtype, or a bad option.

    See chapter 3, section 3.12.

    Source: the refinement in the code of Newell, Huang and Deng 2017, arXiv:1611.05424, which takes the cell of the
    highest value of the heatmap less the distance, rounded to a whole number.

    >>> one = People(torch.tensor([[[0., 0.], [torch.nan] * 2]]), torch.tensor([[1., 0.]]), torch.tensor([[0, -1]]))
    >>> heatmaps, tag_maps = torch.tensor([[[1., 0.]], [[0.4, 0.3]]]), torch.tensor([[[[5., 7.]]], [[[7., 5.]]]])
    >>> fill_joints(one, heatmaps, tag_maps, threshold=1.0).xy[0]
    tensor([[0., 0.],
            [1., 0.]])
    """
    _args.instance("people", people, People)
    _args.maps("heatmaps", heatmaps)
    _args.maps("tag_maps", tag_maps)
    _args.positive("threshold", threshold)
    _args.number("floor", floor)
    k, h, w = people.xy.shape[1], *heatmaps.shape[-2:]
    if heatmaps.ndim != 3 or len(heatmaps) != k:
        _args.fail("heatmaps", f"shape ({k}, H, W)", tuple(heatmaps.shape))
    if tag_maps.ndim != 4 or (len(tag_maps), *tag_maps.shape[2:]) != (k, h, w):
        _args.fail("tag_maps", f"shape ({k}, D, {h}, {w})", tuple(tag_maps.shape))
    known = ~people.xy.isnan().any(-1)  # (P, K)
    wide = _args.widen(tag_maps)
    tags = tags_at(wide, people.xy.transpose(0, 1)).masked_fill(~known.mT[..., None], 0)  # (K, P, D)
    mean = tags.sum(0) / known.sum(1, keepdim=True)  # (P, D)
    p, k = (~known).nonzero().unbind(1)
    best = _highest_near(heatmaps.detach().flatten(1), wide.detach().flatten(2), mean.detach(), p, k, threshold)
    score = heatmaps.flatten(1)[k, best.clamp(min=0)]
    kept = ((best >= 0) & (score > floor)).nonzero()[:, 0]
    p, k, best, score = (part[kept] for part in (p, k, best, score))
    xy, scores = people.xy.clone(), people.scores.clone()
    xy[p, k] = torch.stack((best % w, best // w), dim=-1).to(xy.dtype)
    scores[p, k] = score.to(scores.dtype)
    return People(xy, scores, people.indices)


def refine_people(people: People, heatmaps: Tensor) -> People:
    """Joints moved off their cells to where DARK finds the peak, :func:`posebook.decode.refine_dark`.

    A joint stays on its cell where that is not higher than its neighbors, as one that :func:`fill_joints` gave may not
    be, or lies at the border.

    Args:
        people: of one image, joints on whole cells.
        heatmaps: ``(K, H, W)``, > 0.

    Returns:
        the same people, joints between cells.

    Raises:
        ValueError: not People, or heatmaps of another shape or dtype.

    See chapter 3, section 3.12.

    >>> from posebook.encode import people_heatmap
    >>> heatmaps = people_heatmap(torch.tensor([[[2.25, 2.]]]), torch.tensor([[True]]), (5, 6), sigma=0.8)
    >>> cells = People(torch.tensor([[[2., 2.]]]), torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.int64))
    >>> refine_people(cells, heatmaps).xy
    tensor([[[2.2500, 2.0000]]])
    """
    _args.instance("people", people, People)
    _args.maps("heatmaps", heatmaps)
    if heatmaps.ndim != 3 or len(heatmaps) != people.xy.shape[1]:
        _args.fail("heatmaps", f"shape ({people.xy.shape[1]}, H, W)", tuple(heatmaps.shape))
    p, k = (~people.xy.isnan().any(-1)).nonzero(as_tuple=True)  # of each joint whose and which it is
    x, y = people.xy[p, k].long().unbind(-1)
    around = torch.arange(3, device=heatmaps.device)
    framed = F.pad(heatmaps, (1, 1, 1, 1))  # a window that reaches beyond the map is left alone
    window = framed[k[:, None, None], (y[:, None] + around)[:, :, None], (x[:, None] + around)[:, None]]  # (n, 3, 3)
    step = torch.where((window.flatten(1).argmax(1) == 4)[:, None], refine_dark(window) - 1, 0)
    xy = people.xy.clone()
    xy[p, k] += step.to(xy.dtype)
    return people._replace(xy=xy)


def paf_scores(pafs: Tensor, a: Tensor, b: Tensor, *, samples: int = 10) -> Tensor:
    r"""How well a part affinity field agrees that a limb runs from a to b: the mean of :math:`L(u) \cdot v` on the way.

    v is the unit vector from a to b; the field L is read at ``samples`` points u evenly spaced from a to b, ends
    included, between cells bilinearly, beyond the map as at its edge.

    Args:
        pafs: ``(..., 2, H, W)``, (x, y) of vectors.
        a, b: ``(..., *pairs, 2)``, (x, y) in cells, with the leading axes of ``pafs``; axes of pairs broadcast: (N, 1,
            2) and (1, M, 2) are all pairs of N with M points.
        samples: a whole number >= 2.

    Returns:
        ``(..., *pairs)``, dtype of ``pafs``, from -1 to 1 for a field of unit vectors; 0 where a equals b, NaN where
        either is not finite. Differentiable in all three.

    Raises:
        ValueError: shapes that do not fit together, an integer dtype, or a bad number of samples.

    See chapter 3, section 3.7.

    Source: Cao et al. 2017, arXiv:1611.08050.

    >>> right = torch.stack((torch.ones(4, 4), torch.zeros(4, 4)))    # a field of vectors (1, 0)
    >>> paf_scores(right, torch.zeros(2, 2), torch.tensor([[3., 0.], [3., 3.]]))
    tensor([1.0000, 0.7071])
    """
    _args.maps("pafs", pafs)
    _args.points("a", a)
    _args.points("b", b)
    _args.whole("samples", samples, 2)
    if pafs.ndim < 3 or pafs.shape[-3] != 2:
        _args.fail("pafs", "shape (..., 2, H, W)", tuple(pafs.shape))
    lead, (h, w) = pafs.shape[:-3], pafs.shape[-2:]
    together = a.ndim == b.ndim and all(n == m or 1 in (n, m) for n, m in zip(a.shape, b.shape, strict=True))
    if not together or a.ndim <= len(lead) or not a.shape[: len(lead)] == b.shape[: len(lead)] == lead:
        want = "two shapes (..., *pairs, 2) with the leading axes of pafs (..., 2, H, W)"
        _args.fail("a, b", want, f"{tuple(a.shape)}, {tuple(b.shape)} and {tuple(pafs.shape)}")
    field = _args.widen(pafs)
    a, b = a.to(field.dtype), b.to(field.dtype)
    known = (a.isfinite() & b.isfinite()).all(-1, keepdim=True)  # with a NaN the gradient of grid_sample crashes
    a, limb = torch.where(known, a, 0), torch.where(known, b - a, 0)  # (..., *pairs, 2)
    steps = torch.linspace(0, 1, samples, dtype=field.dtype, device=field.device)[:, None]
    points = a[..., None, :] + steps * limb[..., None, :]  # (..., *pairs, samples, 2)
    place = (2 * points + 1) / _args.constant((w, h), points) - 1  # in grid_sample's units the map reaches from -1 to 1
    place = place.reshape(lead.numel(), limb.shape[len(lead) : -1].numel(), samples, 2)
    field = field.reshape(lead.numel(), 2, h, w)
    mean = F.grid_sample(field, place, padding_mode="border", align_corners=False).mean(-1)  # (leading, 2, pairs)
    length = torch.linalg.vector_norm(limb, dim=-1, keepdim=True)
    unit = limb / torch.where(length == 0, 1, length)
    return (mean.mT.reshape(limb.shape) * unit).sum(-1).masked_fill(~known[..., 0], torch.nan).to(pafs.dtype)


def group_by_paf(peaks: Peaks, pafs: Tensor, limbs: tuple[tuple[int, int], ...], *, threshold: float,
                 samples: int = 10, method: str = "optimal") -> People:
    """People of one image: peaks joined by limbs, of which part affinity fields say where they run.

    First, limb by limb, pairs of a peak of either end whose :func:`paf_scores` is above ``threshold``: "greedy" takes
    the highest score whose peaks are both free, and so on; "optimal" the pairs for which the sum of ``score -
    threshold`` is the largest. Then these pairs, the highest score first, join their people, unless one person would
    have two peaks of one keypoint, which can happen only where limbs form a circle.

    Args:
        peaks: of one image, ``xy (K, N, 2)``.
        pafs: ``(E, 2, H, W)``, as :func:`posebook.encode.part_affinity_fields` makes them.
        limbs: E pairs of keypoint indices, such as ``COCO_17.limbs``.
        threshold: in units of the fields.
        samples: of each pair, a whole number >= 2.
        method: "optimal" or "greedy".

    Returns:
        ``xy (P, K, 2)``, ``scores (P, K)``, ``indices (P, K)``; P may be 0. A peak without a limb belongs to nobody.

    Raises:
        ValueError: peaks of no or several images, limbs that are no pairs of keypoints, a shape that does not fit, or a
            bad option.

    See chapter 3, section 3.7.

    Source: Cao et al. 2017, arXiv:1611.08050: greedy; there, in addition, 8 of 10 samples must be above the
    threshold.

    >>> xy = torch.tensor([[[0., 0.], [0., 3.]], [[3., 0.], [3., 3.]]])    # two left ends, two right ends
    >>> right = torch.stack((torch.ones(4, 4), torch.zeros(4, 4)))[None]
    >>> group_by_paf(Peaks(xy, torch.ones(2, 2), torch.ones(2, 2) > 0), right, ((0, 1),), threshold=0.1).indices
    tensor([[0, 0],
            [1, 1]])
    """
    _one_image(peaks)
    _args.index_pairs("limbs", limbs, len(peaks.valid))
    _args.number("threshold", threshold)
    _args.one_of("method", method, ("optimal", "greedy"))
    _args.maps("pafs", pafs)
    if pafs.shape[:-2] != (len(limbs), 2):
        _args.fail("pafs", f"shape ({len(limbs)}, 2, H, W)", tuple(pafs.shape))
    first, second = _args.constant(limbs, pafs, torch.int64).view(-1, 2).unbind(1)  # (E,), (E,)
    valid = peaks.valid.cpu().numpy()
    n = 1 + max(valid.any(0).nonzero()[0], default=-1)  # beyond, no keypoint has a peak
    xy, valid = peaks.xy[:, :n], valid[:, :n]
    scores = paf_scores(pafs.detach(), xy[first][:, :, None], xy[second][:, None], samples=samples)
    scores = scores.detach().cpu().double().numpy()  # (E, n, n)
    ends = np.array(limbs, dtype=int).reshape(-1, 2)
    both = valid[ends[:, 0], :, None] & valid[ends[:, 1], None]
    costs = np.where(both & (scores > threshold), -scores, np.inf)
    found = []  # (cost, a peak as (keypoint, number), another)
    for (i, j), cost in zip(limbs, costs, strict=True):
        partner = _match(cost, -threshold, _optimal if method == "optimal" else _best_first)
        found += [(cost[a, partner[a]], (i, a), (j, partner[a])) for a in (partner >= 0).nonzero()[0]]
    return _people(peaks, _join(found, len(peaks.valid)))


def _higher_than_neighbors(maps: Tensor, least: float) -> Tensor:
    """Flat indices of cells of ``(M, H, W)``, above ``least`` and each of their up to eight neighbors."""
    h, w = maps.shape[1:]
    if maps.device.type != "cpu" or maps.dtype == torch.bfloat16:  # by shifted maxima: one call waits for a card
        framed = F.pad(maps, (1, 1, 1, 1), value=-torch.inf)
        sides = torch.maximum(framed[..., :-2], framed[..., 2:])  # (M, H+2, W): left and right of each cell
        rows = torch.maximum(sides, framed[..., 1:-1])  # and itself
        around = torch.maximum(sides[:, 1:-1], torch.maximum(rows[:, :-2], rows[:, 2:]))
        return (maps > around.clamp(min=least)).flatten().nonzero()[:, 0]
    inside = maps.resolve_neg().numpy()  # numpy is some five times as fast as torch
    cells = np.full((len(maps), h + 2, w + 2), -np.inf, inside.dtype)
    cells[:, 1:-1, 1:-1] = inside
    cells = cells.ravel()
    row = w + 2
    inner = cells[row:-row]
    higher = inner > least
    for step in (-1, 1, -row, row):
        higher &= inner > cells[row + step :][: len(inner)]
    peak = higher.nonzero()[0] + row
    for step in (-row - 1, -row + 1, row - 1, row + 1):  # of the few that are left
        peak = peak[cells[peak] > cells[peak + step]]
    y, x = np.divmod(peak, row)
    of, y = np.divmod(y, h + 2)
    return torch.as_tensor((of * h + y - 1) * w + x - 1, device="cpu")


def _highest_near(heatmaps: Tensor, tag_maps: Tensor, means: Tensor, p: Tensor, k: Tensor, threshold: float) -> Tensor:
    """For each pair (p, k) the first highest cell of map k whose tag is near person p's; -1 where no tag is.

    The maps are flat, ``(K, H*W)`` and ``(K, D, H*W)``; means ``(P, D)``.
    """
    def distance(p: Tensor | int, k: Tensor | int) -> Tensor:
        return torch.linalg.vector_norm(tag_maps[k] - means[p, :, None], dim=-2)  # (..., H*W)

    if heatmaps.device.type != "cpu":
        best = [torch.empty(0, dtype=torch.long, device=p.device)]
        for some, maps in zip(p.split(16), k.split(16), strict=True):  # whole maps take memory
            high, cell = torch.where(distance(some, maps) < threshold, heatmaps[maps], -torch.inf).max(-1)
            best.append(cell.masked_fill(high == -torch.inf, -1))
        return torch.cat(best)
    best, high = [], _args.widen(heatmaps).resolve_neg().numpy()
    for one, joint in zip(p.tolist(), k.tolist(), strict=True):  # reads the near cells alone: several times as fast
        near = (distance(one, joint).numpy() < threshold).nonzero()[0]
        best.append(near[high[joint].take(near).argmax()] if len(near) else -1)
    return torch.tensor(best, dtype=torch.long, device="cpu")


def _one_image(peaks: Peaks) -> None:
    _args.instance("peaks", peaks, Peaks)
    _args.points("peaks.xy", peaks.xy)
    if peaks.xy.ndim != 3:
        _args.fail("peaks.xy", "(K, N, 2), the peaks of one image", tuple(peaks.xy.shape))
    _args.like("peaks.scores", peaks.scores, peaks.xy[..., 0])
    _args.mask("peaks.valid", peaks.valid, peaks.xy.shape[:2])


def _people(peaks: Peaks, indices: ndarray) -> People:
    """Points and scores of the peaks of these numbers ``(P, K)``."""
    found = _args.sent(torch.as_tensor(indices, device="cpu"), peaks.xy.device)
    k, n, missing = torch.arange(found.shape[1], device=found.device), found.clamp(min=0), found < 0
    return People(peaks.xy[k, n].masked_fill(missing[..., None], torch.nan), peaks.scores[k, n].masked_fill(missing, 0),
                  found)


def _match(cost: ndarray, limit: float, settle: Callable[[ndarray, float], ndarray]) -> ndarray:
    """For each row the column that it gets at a cost below the limit, or -1; each column is got once at most.

    Where no two rows want the same column, each simply gets the one it wants; all ways to settle agree there.
    """
    if not cost.size:
        return np.full(len(cost), -1)
    wanted = cost.argmin(1)
    wanted[cost.min(1) >= limit] = -1
    asked = wanted[wanted >= 0].tolist()
    return wanted if len(set(asked)) == len(asked) else settle(cost, limit)


def _in_order(cost: ndarray, limit: float) -> ndarray:
    """Row by row the cheapest column that is free, of equal ones the first."""
    cost, out = cost.copy(), np.full(len(cost), -1)
    for i, row in enumerate(cost):
        j = row.argmin()
        if row[j] < limit:
            out[i], cost[:, j] = j, np.inf
    return out


def _best_first(cost: ndarray, limit: float) -> ndarray:
    """The cheapest of all pairs, then the cheapest whose row and column are free, and so on."""
    taken, out = set(), np.full(len(cost), -1)
    for flat in cost.argsort(axis=None, kind="stable").tolist():
        i, j = divmod(flat, cost.shape[1])
        if cost[i, j] < limit and out[i] < 0 and j not in taken:
            out[i] = j
            taken.add(j)
    return out


def _optimal(cost: ndarray, limit: float) -> ndarray:
    """The pairs that save most against the limit: whatever costs more is as bad as no pair."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    rows, columns = linear_sum_assignment(np.minimum(cost, limit))
    out = np.full(len(cost), -1)
    out[rows] = np.where(cost[rows, columns] < limit, columns, -1)
    return out


def _join(found: list[tuple], k: int) -> ndarray:
    """People ``(P, K)`` of pairs of peaks, the cheapest pairs first."""
    whose = {}  # of each peak, all peaks of its person, {keypoint: number}
    for _, a, b in sorted(found, key=lambda pair: pair[0]):
        one, other = (whose.setdefault(peak, dict([peak])) for peak in (a, b))
        if not one.keys() & other.keys():
            one.update(other)
            whose.update(dict.fromkeys(other.items(), one))
    people = {id(whose[peak]): whose[peak] for peak in sorted(whose)}.values()  # each once, by its first peak
    rows = [[person.get(j, -1) for j in range(k)] for person in people if len(person) > 1]
    return np.array(rows, dtype=np.int64).reshape(-1, k)
