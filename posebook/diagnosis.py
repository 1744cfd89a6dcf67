"""Where the AP goes: what is wrong with each detection, and what AP would be if one kind of error were mended.

Source: Ronchi and Perona 2017, arXiv:1707.05388.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from posebook.evaluation import Evaluation, evaluate, matches, similarities
from posebook.results import Category

GOOD, JITTER, INVERSION, SWAP, MISS = range(5)
KINDS = ("good", "jitter", "inversion", "swap", "miss")
LEAST_OKS, NEAR, HUMAN = 0.1, 0.5, 0.85
"""The OKS from which a detection is somebody's, and the similarities of a keypoint that is near a place, and of one
that is as near as annotators are to each other."""


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """What is wrong with the detections of one category.

    A detection belongs to the person with whom COCO would match it at an OKS of 0.1. Its keypoints are told apart by
    their similarity exp(-d^2 / (2 area k^2)) to places where they could belong, among them those of keypoints on the
    other side (left for right):

    - good: 0.85 or more to its own place;
    - jitter: from 0.5 on to its own place, which is the most similar one;
    - inversion: 0.5 or more to the same person's place on the other side, the most similar one;
    - swap: 0.5 or more to another person's place, the most similar one;
    - miss: below 0.5 to all.

    Args:
        category: its name.
        keypoints: names of its K keypoints.
        row: ``(M,)`` places in the results of the detections that are somebody's.
        person: ``(M,)`` ids of the annotations whose they are.
        kind: ``(M, K)`` index into KINDS; -1 where nothing is labeled.
        false_positives: ``(F,)`` places in the results of detections without a person: nobody is there, or another
            detection has her already.
        missed: ``(N,)`` ids of annotations without a detection.
    """

    category: str
    keypoints: tuple[str, ...]
    row: np.ndarray
    person: np.ndarray
    kind: np.ndarray
    false_positives: np.ndarray
    missed: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """``(K, 5)`` keypoints of each kind."""
        return (self.kind[..., None] == np.arange(len(KINDS))).sum(0)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Errors, and what they cost: the AP if they were mended, minus the AP as it is.

    Args:
        evaluation: as it is.
        errors: of each category that has records, by id.
        mended: for "jitter", "inversion", "swap", "miss", "false positive" and "missed person" the evaluation without
            errors of that kind alone.
        keypoints: for each of ``errors`` ``(K,)`` the category's AP without any error at that keypoint.
        category_ap: for each of ``errors`` the category's AP as it is.
    """

    evaluation: Evaluation
    errors: tuple[PoseErrors, ...]
    mended: dict[str, Evaluation]
    keypoints: tuple[np.ndarray, ...]
    category_ap: tuple[float, ...]


def diagnose(categories: tuple[Category, ...], *, tell: Callable[[int, int], None] | None = None) -> Diagnosis:
    """Tell errors apart, and mend each kind alone.

    A jittered keypoint is moved towards its place until its similarity is 0.85, a missed one until it is 0.5, an
    inverted or swapped one until it is as similar to its own place as it was to the wrong one. A false positive is left
    out of the results, a missed person out of the annotations. So the AP that is left belongs to annotators' spread
    and to scores that rank worse poses higher.

    Args:
        categories: of :func:`posebook.results.read`.
        tell: called with (evaluations done, evaluations in all).

    Returns:
        :class:`Diagnosis`.

    See chapter 3, section 3.15.

    Source: Ronchi and Perona 2017, arXiv:1707.05388. Their code, coco-analyze, moves keypoints to half the distances
    that belong to these similarities, and calls a swap what is good but still more similar to another person's place.

    >>> from posebook.results import read
    >>> person = {"image_id": 1, "category_id": 1, "keypoints": [10, 10, 2, 90, 90, 2]}
    >>> truth = {"images": [{"id": 1}], "annotations": [person | {"id": 1, "area": 6400}],
    ...          "categories": [{"id": 1, "keypoints": ["left_hand", "right_hand"]}]}
    >>> crossed = person | {"score": 0.9, "keypoints": [10, 10, 1, 10, 10, 1]}
    >>> found = diagnose(read(truth, [crossed], sigmas=(.1, .1)))
    >>> [KINDS[kind] for kind in found.errors[0].kind[0]]
    ['good', 'inversion']
    >>> f'AP {found.evaluation.stats["AP"]:.3f}, without inversions {found.mended["inversion"].stats["AP"]:.3f}'
    'AP 0.100, without inversions 1.000'
    """
    used = [(c, category) for c, category in enumerate(categories) if category.skeleton is not None]
    total = 7 + sum(len(category.skeleton) for _, category in used)
    done = 0

    def evaluated(changed: dict[int, Category]) -> Evaluation:
        nonlocal done
        out = evaluate(tuple(changed.get(c, category) for c, category in enumerate(categories)))
        done += 1
        if tell:
            tell(done, total)
        return out

    evaluation = evaluated({})
    found = {c: _Found(category) for c, category in used}
    mended = {}
    for kind in (JITTER, INVERSION, SWAP, MISS):
        mended[KINDS[kind]] = evaluated({c: one.mended(one.kind == kind) for c, one in found.items()})
    mended["false positive"] = evaluated({c: one.without_false_positives() for c, one in found.items()})
    mended["missed person"] = evaluated({c: one.without_missed() for c, one in found.items()})
    keypoints = []
    for c, one in found.items():
        columns = np.arange(one.kind.shape[1])
        keypoints.append(np.array([_ap(evaluated({c: one.mended((one.kind > GOOD) & (columns == k))}), c)
                                   for k in columns]))
    return Diagnosis(evaluation, tuple(one.errors() for one in found.values()), mended, tuple(keypoints),
                     tuple(_ap(evaluation, c) for c in found))


def _ap(evaluation: Evaluation, c: int) -> float:
    """AP of one category over all areas."""
    return float(evaluation.precision[:, :, c, 0].mean())


class _Found:
    """The errors of one category by the places of detections and people in its arrays, and the category mended."""

    def __init__(self, category: Category):
        people = category.people
        d, g, value = similarities(category)
        match = matches(category, d, g, value, people.ignored[None], np.array([LEAST_OKS]))[0, 0]
        self.category = category
        self.nobody = match < 0
        self.missed = ~people.ignored
        self.missed[match[match >= 0]] = False
        self.row = np.flatnonzero(~self.nobody & ~people.ignored[match]) if len(people.id) else np.empty(0, np.intp)
        self.person = match[self.row]
        shape = len(self.row), len(category.skeleton)
        self.kind, self.goal = np.empty(shape, np.int8), np.empty(shape)
        for part in np.array_split(np.arange(shape[0]), shape[0] // 4000 + 1):
            if len(part):
                pair = slice(*np.searchsorted(d, (self.row[part[0]], self.row[part[-1]] + 1)))
                others = match[d[pair]] != g[pair]
                self.kind[part], self.goal[part] = _kinds(
                    category, self.row[part], self.person[part], d[pair][others], g[pair][others])

    def errors(self) -> PoseErrors:
        people, found = self.category.people, self.category.found
        return PoseErrors(self.category.name, self.category.skeleton.names, found.row[self.row], people.id[self.person],
                          self.kind, found.row[self.nobody], people.id[self.missed])

    def mended(self, wrong: np.ndarray) -> Category:
        """The category with those keypoints, ``(M, K)`` bool, moved straight to where their similarity is the goal."""
        people, xy = self.category.people, self.category.found.xy.copy()
        m, k = np.nonzero(wrong)
        truth = people.xy[self.person[m], k]
        offset = xy[self.row[m], k] - truth
        scale = 2 * people.area[self.person[m]] * (2 * self.category.sigmas[k]) ** 2
        reach = np.sqrt(-np.log(self.goal[m, k]) * scale) * (1 - 1e-9)  # not outside by round-off
        xy[self.row[m], k] = truth + offset * (reach / np.linalg.norm(offset, axis=-1))[:, None]
        return replace(self.category, found=replace(self.category.found, xy=xy))

    def without_false_positives(self) -> Category:
        return replace(self.category, found=_only(self.category.found, ~self.nobody))

    def without_missed(self) -> Category:
        return replace(self.category, people=_only(self.category.people, ~self.missed))


def _kinds(category: Category, row: np.ndarray, person: np.ndarray, d: np.ndarray, g: np.ndarray
           ) -> tuple[np.ndarray, np.ndarray]:
    """Kind of each keypoint and the similarity that mending gives it, ``(M, K)`` each.

    Args:
        category: whose people and detections.
        row: ``(M,)`` detections, rising.
        person: ``(M,)`` whose they are.
        d: ``(P,)`` detections again, rising, others among them,
        g: ``(P,)`` and the other people of their images.
    """
    own, twin = _similarity(category, row, person)
    other = np.full((len(category.found.score), own.shape[1]), -1.0)
    if len(d):
        start = np.flatnonzero(np.diff(d, prepend=-1))
        other[d[start]] = np.maximum.reduceat(np.maximum(*_similarity(category, d, g)), start)
    other = other[row]
    best = np.maximum(np.maximum(own, twin), other)
    labeled = category.people.labeled[person]
    kind = np.select([~labeled, own >= HUMAN, best < NEAR, own == best, twin == best],
                     [-1, GOOD, MISS, JITTER, INVERSION], SWAP)
    return kind, np.select([kind == JITTER, kind == MISS], [HUMAN, NEAR], best)


def _similarity(category: Category, d: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each keypoint to that of a person, and to that on the other side, ``(P, K)`` each; -1 where there is none."""
    people, xy = category.people, category.found.xy[d]
    scale = 2 * (people.area[g, None] + np.spacing(1)) * (2 * category.sigmas) ** 2
    order = np.array(category.skeleton.flip_order)
    two_sided = order != np.arange(len(order))

    def to(truth: np.ndarray, there: np.ndarray) -> np.ndarray:
        return np.where(there, np.exp(-((xy - truth) ** 2).sum(-1) / scale), -1)

    truth, labeled = people.xy[g], people.labeled[g]
    return to(truth, labeled), to(truth[:, order], labeled[:, order] & two_sided)


def _only(table, rows: np.ndarray):
    """A table of arrays, with some of its rows."""
    values = {field.name: getattr(table, field.name) for field in fields(table)}
    return replace(table, **{name: value[rows] for name, value in values.items() if value is not None})
