"""How good are the poses of several people: object keypoint similarity, and COCO's average precision to the last bit.

Source: https://cocodataset.org/#keypoints-eval, and its reference, pycocotools.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posebook import _args
from posebook.results import Category, Detections, People, Sigmas, read

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Least OKS of a match. By linspace: arange drifts past .8 and .9."""
RECALLS = np.linspace(0, 1, 101)
AREAS = {"all": (0, 1e5**2), "medium": (32**2, 96**2), "large": (96**2, 1e5**2)}
"""Ranges of a person's area in square pixels, both ends included. COCO evaluates no small people's keypoints."""


def oks(pred: Tensor, gt: Tensor, vis: Tensor, area: Tensor, oks_sigmas: Tensor) -> Tensor:
    r"""Object keypoint similarity, the mean of :math:`\exp(-d_i^2 / (2\,\mathrm{area}\,k_i^2))` over labeled keypoints.

    :math:`k_i = 2\sigma_i`: at :math:`d = k \sqrt{\mathrm{area}}` a keypoint counts :math:`e^{-1/2} \approx .61`.
    Differentiable in both points.

    Args:
        pred: ``(..., K, 2)``, (x, y) px; anything where ``vis`` is 0, NaN too.
        gt: ``(..., K, 2)`` px; likewise.
        vis: ``(..., K)``, COCO's 0, 1, 2 or bool: above 0 counts.
        area: ``(...)`` of the person's segment, square px, >= 0.
        oks_sigmas: ``(K,)`` root mean square distance of annotators' marks, in units of sqrt(area), > 0.

    Returns:
        ``(...)`` from 0 to 1, of all leading axes broadcast; 0 where nothing is labeled.

    Raises:
        ValueError: not ``(..., K, 2)``, an integer dtype, or a K that differs.

    See chapter 3, section 3.8.

    Source: Lin et al. 2014, arXiv:1405.0312; https://cocodataset.org/#keypoints-eval.

    >>> truth, visible = torch.tensor([[[0., 0.], [9., 9.]]]), torch.tensor([[2, 0]])
    >>> oks(truth + 2, truth, visible, area=torch.tensor([100.]), oks_sigmas=torch.tensor([.1, .1]))
    tensor([0.3679])
    """
    _args.points("pred", pred)
    _args.points("gt", gt)
    k = len(oks_sigmas)
    for name, axes in (("pred", pred.shape[:-1]), ("gt", gt.shape[:-1]), ("vis", vis.shape)):
        if axes[-1:] != (k,):
            _args.fail(name, f"{k} keypoints, one for each of oks_sigmas", f"shape {tuple(axes)}")
    labeled = vis > 0
    offset = (_args.widen(pred) - _args.widen(gt)).masked_fill(~labeled[..., None], 0)
    scale = 2 * (2 * oks_sigmas.to(offset)).square() * (area.to(offset)[..., None] + np.spacing(1))
    similarity = torch.exp(-offset.square().sum(-1) / scale) * labeled
    return (similarity.sum(-1) / labeled.sum(-1).clamp(min=1)).to(pred.dtype)


def oks_nms(pred: Tensor, scores: Tensor, area: Tensor, oks_sigmas: Tensor, *, threshold: float = 0.9) -> Tensor:
    """Keep the best of detections that are one another's doubles: non-maximum suppression with OKS for overlap.

    Highest score first, equal ones in the order given; each kept detection removes those whose OKS with it is above
    ``threshold``. The area in OKS is the mean of the two.

    Args:
        pred: ``(P, K, 2)``, (x, y) px.
        scores: ``(P,)``.
        area: ``(P,)`` square px.
        oks_sigmas: ``(K,)``.
        threshold: from 0 to 1; at 1 nothing is removed.

    Returns:
        ``(n,)`` int64 indices of those kept, highest score first.

    Raises:
        ValueError: as :func:`oks`, one axis more or less, or a threshold outside.

    See chapter 3, section 3.11.

    Source: Papandreou et al. 2017, arXiv:1701.01779.

    >>> found = torch.tensor([[[0., 0.]], [[9., 9.]], [[0., 1.]]])
    >>> oks_nms(found, torch.tensor([.5, .7, .6]), torch.full((3,), 100.), torch.tensor([.5]))
    tensor([1, 2])
    """
    _args.points("pred", pred)
    _args.within("threshold", threshold, (0, 1))
    if pred.ndim != 3 or scores.shape != pred.shape[:1] or area.shape != pred.shape[:1]:
        shapes = f"{tuple(pred.shape)}, {tuple(scores.shape)}, {tuple(area.shape)}"
        _args.fail("pred, scores, area", "shapes (P, K, 2), (P,), (P,)", shapes)
    everything = torch.ones_like(pred[..., 0], dtype=torch.bool)
    doubles = oks(pred[:, None], pred, everything, (area[:, None] + area) / 2, oks_sigmas) > threshold
    doubles = doubles.cpu()
    kept, gone = [], torch.zeros(len(scores), dtype=torch.bool, device="cpu")
    for k in scores.argsort(descending=True, stable=True).tolist():
        if not gone[k]:
            kept.append(k)
            gone |= doubles[k]
    return _args.constant(kept, pred, torch.int64)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """COCO's figures; print it for the ten lines that pycocotools prints. Nobody to find gives -1, not 0.

    Args:
        precision: ``(10, 101, C, 3)``, at each of THRESHOLDS, RECALLS, category by id, and AREAS. pycocotools has one
            more axis of length 1, for its one number of detections.
        recall: ``(10, C, 3)``, the highest reached.
        max_detections: per image and category.
    """

    precision: np.ndarray
    recall: np.ndarray
    max_detections: int = 20

    @property
    def stats(self) -> dict[str, float]:
        """AP, AP50, AP75, APM, APL, AR, AR50, AR75, ARM and ARL, in COCO's order."""
        return {f"{kind}{name}": self._mean(kind, t, area) for kind, name, t, area in _STATS}

    def _mean(self, kind: str, threshold: float | None, area: str) -> float:
        values = (self.precision if kind == "AP" else self.recall)[..., list(AREAS).index(area)]
        if threshold is not None:
            values = values[threshold == THRESHOLDS]
        values = values[values > -1]
        return float(values.mean()) if len(values) else -1.0

    def __str__(self) -> str:
        lines = []
        for (kind, _, threshold, area), value in zip(_STATS, self.stats.values(), strict=True):
            title = "Average Precision  (AP)" if kind == "AP" else "Average Recall     (AR)"
            span = "0.50:0.95" if threshold is None else f"{threshold:0.2f}"
            most = f"{self.max_detections:>3d}"
            lines.append(f" {title} @[ IoU={span:<9} | area={area:>6s} | maxDets={most} ] = {value:0.3f}")
        return "\n".join(lines)


_STATS = [(kind, name, threshold, area) for kind in ("AP", "AR") for name, threshold, area in (
    ("", None, "all"), ("50", 0.5, "all"), ("75", 0.75, "all"), ("M", None, "medium"), ("L", None, "large"))]


def coco_keypoint_ap(ground_truth: str | Path | dict, detections: str | Path | list, *, sigmas: Sigmas = None,
                     max_detections: int = 20) -> Evaluation:
    """COCO's average precision and recall of keypoints, equal to pycocotools' to the last bit.

    Four things that surprise: a detection without a ``bbox`` has the area of its keypoints' extent; a person of less
    than 32 x 32 px counts in "all" but neither as medium nor as large; at equal OKS a detection takes the later person;
    and a person with the annotation id 0 is never found, since pycocotools writes 0 for "no match".

    Args:
        ground_truth: a COCO keypoint file, or what it holds.
        detections: a COCO results file, or what it holds: a list of records with ``image_id``, ``category_id``,
            ``score`` and ``keypoints``.
        sigmas: annotators' spread of each keypoint, in units of sqrt(area): one row for all categories, or category id
            to row. None, or an id that is left out, is COCO's where the keypoints are COCO's 17.
        max_detections: per image and category.

    Returns:
        :class:`Evaluation`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed record, which the message names; no sigmas for a skeleton that is not COCO's.

    See chapter 3, section 3.9.

    >>> person = {"image_id": 1, "category_id": 1, "keypoints": [10, 10, 2, 90, 90, 2]}
    >>> truth = {"images": [{"id": 1}], "annotations": [person | {"id": 1, "area": 6400}],
    ...          "categories": [{"id": 1, "keypoints": ["head", "foot"]}]}
    >>> f'{coco_keypoint_ap(truth, [person | {"score": 0.9}], sigmas=(.1, .1)).stats["AP"]:.3f}'
    '1.000'
    """
    categories = read(ground_truth, detections, sigmas=sigmas, max_detections=max_detections)
    return evaluate(categories, max_detections)


def evaluate(categories: tuple[Category, ...], max_detections: int = 20) -> Evaluation:
    """As :func:`coco_keypoint_ap`, of what :func:`posebook.results.read` returned; both with the same maximum."""
    precision = np.full((len(THRESHOLDS), len(RECALLS), len(categories), len(AREAS)), -1.0)
    recall = np.full((len(THRESHOLDS), len(categories), len(AREAS)), -1.0)
    for c, category in enumerate(categories):
        people, found = category.people, category.found
        ignored = np.stack([people.ignored | _outside(people.area, area) for area in AREAS.values()])
        match = matches(category, *similarities(category), ignored, THRESHOLDS)
        order = np.argsort(-found.score, kind="stable")
        for a, area in enumerate(AREAS.values()):
            if not ignored[a].all():
                outside = _outside(found.area, area)[order]
                precision[..., c, a], recall[:, c, a] = _curves(match[a][:, order], people, ignored[a], outside)
    return Evaluation(precision, recall, max_detections)


def similarities(category: Category) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each detection with each person of its image: who, whom, and their OKS, ``(P,)`` each, by detection and person.

    With a person of whom nothing is labeled, it is the distance of all keypoints from her box, thrice as large, that
    counts. Pairs are taken by the number n of terms, so that these are added in the order in which pycocotools adds
    them, and in pieces that stay in the processor's cache.
    """
    people, found = category.people, category.found
    d, g = _pairs(people, found)
    points = [np.ascontiguousarray(found.xy[..., axis]) for axis in (0, 1)]
    truth = [np.ascontiguousarray(people.xy[..., axis]) for axis in (0, 1)]
    variance = (category.sigmas * 2) ** 2
    scale = -2 * (people.area + np.spacing(1))
    labels = people.labeled.sum(1, dtype=np.int16)
    value = np.empty(len(d))
    for n in np.unique(labels[g]).tolist():
        pair = np.flatnonzero(labels[g] == n)
        for part in np.array_split(pair, len(pair) // 1000 + 1):
            them = g[part]
            away = [x[d[part]] for x in points]
            for axis, x in enumerate(away):
                if n > 0:
                    x -= truth[axis][them]
                else:
                    x[:] = _beyond(x, *people.box[them, axis::2].T)
                x *= x
            error = np.add(*away, out=away[0])
            error /= variance
            error /= scale[them, None]
            error = error[people.labeled[them]].reshape(-1, n) if n > 0 else error
            value[part] = np.exp(error).sum(1) / error.shape[1]
    return d, g, value


def _beyond(x: np.ndarray, start: np.ndarray, length: np.ndarray) -> np.ndarray:
    """How far ``(P, K)`` coordinates lie beyond boxes with one more box on either side."""
    first, last = start - length, start + length * 2
    return np.maximum(0, first[:, None] - x) + np.maximum(0, x - last[:, None])


def _pairs(people: People, found: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Each detection with each person of its image, ``(P,)`` and ``(P,)``, by detection and person."""
    size = 1 + max(people.image.max(initial=-1), found.image.max(initial=-1))
    there = np.bincount(people.image, minlength=size)
    count = there[found.image]
    first = (np.cumsum(there) - there)[found.image]
    d = np.repeat(np.arange(len(count)), count)
    return d, np.arange(len(d)) - np.repeat(np.cumsum(count) - count - first, count)


def matches(category: Category, d: np.ndarray, g: np.ndarray, value: np.ndarray, ignored: np.ndarray,
            thresholds: np.ndarray) -> np.ndarray:
    """COCO's matching: the detections of an image choose by falling score; the q-th of all images at once.

    Each takes the person of the highest OKS among those left whose OKS reaches the threshold, at equal OKS the later
    one; an ignored person only where no other is left. Groups are never used up.

    Args:
        category: whose people and detections.
        d: detection of each pair, ``(P,)``, rising.
        g: person of each pair, ``(P,)``, rising for each detection.
        value: OKS of each pair, ``(P,)``.
        ignored: ``(A, G)`` bool.
        thresholds: ``(T,)`` rising.

    Returns:
        ``(A, T, D)`` int32, the person or -1.
    """
    people, rank = category.people, category.found.rank
    least = np.minimum(thresholds, 1 - 1e-10)
    shape = len(ignored), len(least)
    near = np.flatnonzero(value >= least[0])
    turn = rank[d[near]].astype(np.min_scalar_type(rank.max(initial=0)))  # of one byte: sorted in no time
    near = near[np.argsort(turn, kind="stable")]
    d, g, value = d[near], g[near], value[near]
    by_value = np.lexsort((g, value))
    liking = np.empty((len(d), shape[0]), np.int32)
    liking[by_value] = np.arange(1, len(d) + 1)[:, None]
    liking += len(d) * ~ignored.T[g]
    person = np.concatenate(([-1], g[by_value], g[by_value])).astype(np.int32)  # of a liking
    first = np.append(np.flatnonzero(np.diff(d, prepend=-1)), len(d))
    turns = np.searchsorted(rank[d[first[:-1]]], np.arange(rank.max(initial=-1) + 2))
    used = np.zeros((len(people.area), *shape), bool)
    out = np.full((*shape, len(rank)), -1, np.int32)
    for start, stop in zip(turns[:-1], turns[1:], strict=True):
        if start < stop:
            part, some = slice(first[start], first[stop]), first[start:stop]
            free = ~used[g[part]] & (value[part, None] >= least)[:, None]
            choice = np.maximum.reduceat(free * liking[part, :, None], some - some[0])
            who, a, t = np.nonzero(choice)
            chosen = person[choice[who, a, t]]
            out[a, t, d[some[who]]] = chosen
            used[chosen, a, t] = ~people.crowd[chosen]
    return out


def _outside(area: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (area < bounds[0]) | (area > bounds[1])


def _curves(match: np.ndarray, people: People, ignored: np.ndarray, outside: np.ndarray
            ) -> tuple[np.ndarray, np.ndarray]:
    """Precision ``(T, R)`` and highest recall ``(T,)``.

    Precision is computed at the right detections only: it falls in between, and recall stays.

    Args:
        match: ``(T, D)`` the person of each detection or -1, highest score first.
        people: to find; some are.
        ignored: ``(G,)`` bool, people who do not count: what they match is neither right nor wrong.
        outside: ``(D,)`` bool, detections of a size that does not count: wrong ones are neither.
    """
    precision, recall = np.zeros((len(match), len(RECALLS))), np.zeros(len(match))
    to_find = np.count_nonzero(~ignored)
    judged = np.cumsum(~outside)
    for t, row in enumerate(match):
        at = np.flatnonzero(row >= 0)
        real = people.id[row[at]] != 0  # to pycocotools the id 0 says "no match"
        right = real & ~ignored[row[at]]
        excused = np.cumsum((real | ignored[row[at]]) & ~outside[at])
        hit = np.arange(1.0, np.count_nonzero(right) + 1)
        wrong = (judged[at] - excused)[right]
        height = hit / (wrong + hit + np.spacing(1))
        height = np.maximum.accumulate(height[::-1])[::-1]
        reach = np.searchsorted(hit / to_find, RECALLS)
        reach = reach[reach < len(hit)]
        precision[t, : len(reach)] = height[reach]
        recall[t] = len(hit) / to_find
    return precision, recall
