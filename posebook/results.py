"""COCO's annotations and results as arrays: the people to find and the detections, one category at a time.

A results file is a list, one record per detection: ``image_id``, ``category_id``, ``score`` and ``keypoints``, which
is [x1, y1, c1, x2, y2, c2, ...]; the third number of each keypoint is not read.

Source: the formats at https://cocodataset.org/#format-data and https://cocodataset.org/#format-results.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from struct import Struct
from struct import error as StructError
from typing import NamedTuple, NoReturn

import numpy as np

from posebook import _args
from posebook._records import (
    LISTS,
    Check,
    by_id,
    coco_lists,
    distinct_names,
    is_number,
    numbers,
    read_json,
    short,
    take,
)
from posebook.skeleton import COCO_17, Skeleton, left_right_pairs

COCO_SIGMAS = np.round(10 * np.array(COCO_17.oks_sigmas), 2) / 10
"""``COCO_17.oks_sigmas`` to the last bit as COCO's evaluation has them: .26 / 10, not .026."""

Sigmas = Sequence[float] | Mapping[int, Sequence[float]] | None


@dataclass(frozen=True, eq=False)
class People:
    """The marked people of a category, by image, those of one image in the file's order.

    Args:
        image: ``(G,)`` rank of the image's id among all.
        xy: ``(G, K, 2)`` float64, (x, y) in pixels; anything where not ``labeled``.
        labeled: ``(G, K)`` bool, COCO's visibility 1 or 2.
        area: ``(G,)`` square pixels.
        box: ``(G, 4)`` (x, y, width, height) in pixels; 0 where the file has none.
        crowd: ``(G,)`` bool, a group: any number of detections may match it.
        ignored: ``(G,)`` bool, neither to be found nor wrong to find: a group, or nothing is labeled.
        id: ``(G,)`` of the annotation.
    """

    image: np.ndarray
    xy: np.ndarray
    labeled: np.ndarray
    area: np.ndarray
    box: np.ndarray
    crowd: np.ndarray
    ignored: np.ndarray
    id: np.ndarray


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of a category, by image, those of one image by falling score; not more than are evaluated.

    Args:
        image: ``(D,)`` rank of the image's id among all.
        rank: ``(D,)`` 0 for the highest score of its image; equal scores in the file's order.
        xy: ``(D, K, 2)`` float64, (x, y) in pixels.
        score: ``(D,)``.
        box: ``(D, 4)`` (x, y, width, height) in pixels; None where results have none.
        row: ``(D,)`` place in the results.
    """

    image: np.ndarray
    rank: np.ndarray
    xy: np.ndarray
    score: np.ndarray
    box: np.ndarray | None
    row: np.ndarray

    @cached_property
    def low(self) -> np.ndarray:
        """Smallest x and y, ``(D, 2)``."""
        return self.xy.min(1, initial=np.inf)

    @cached_property
    def high(self) -> np.ndarray:
        """Largest x and y, ``(D, 2)``."""
        return self.xy.max(1, initial=-np.inf)

    @property
    def area(self) -> np.ndarray:
        """``(D,)`` square pixels, of the box where there is one, or else from low to high."""
        return (self.high - self.low if self.box is None else self.box[:, 2:]).prod(-1)


@dataclass(frozen=True, eq=False)
class Category:
    """One category of the annotations, its people, and what was detected.

    Args:
        id: in the file.
        name: in the file.
        skeleton: names and left-right pairs of its K keypoints; None where there is no record of this category.
        sigmas: ``(K,)`` in use.
        people: those to find.
        found: the detections.
    """

    id: int
    name: str
    skeleton: Skeleton | None
    sigmas: np.ndarray
    people: People
    found: Detections


def read(ground_truth: str | Path | dict, detections: str | Path | list, *, sigmas: Sigmas = None,
         max_detections: int = 20) -> tuple[Category, ...]:
    """Read and check annotations and results.

    Args:
        ground_truth: a COCO keypoint file, or what it holds.
        detections: a COCO results file, or what it holds.
        sigmas: annotators' spread of each keypoint, in units of sqrt(area): one row for all categories, or category id
            to row. None, or an id that is left out, is COCO's where the keypoints are COCO's 17.
        max_detections: per image and category; those of the highest scores, of equal ones the first.

    Returns:
        :class:`Category` for each one of the annotations, by id.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed record, which the message names; no sigmas for a skeleton that is not COCO's.
    """
    _args.whole("max_detections", max_detections, 1)
    data, where = _opened(ground_truth, "ground_truth")
    coco_lists(data, where)
    images, annotations, categories = (by_id(data[kind], f"{where}: {kind}") for kind in LISTS)
    results, place = _opened(detections, "detections")
    if not isinstance(results, list):
        _args.fail(place, "COCO results, a list of detections", type(results).__name__)
    place += "" if results is detections else ": detections"

    position = {number: k for k, number in enumerate(sorted(images))}
    numbers_of = list(annotations)
    marked = _by_category(list(annotations.values()), categories, lambda k: f"{where}: annotation {numbers_of[k]}")
    found = _by_category(results, categories, lambda k: f"{place}[{k}]")
    boxed = bool(results) and results[0].get("bbox", []) != []  # COCO asks the first one for all
    if results and not boxed and results[0].get("segmentation"):
        _args.fail(f"{place}[0]: segmentation", "none, or a bbox beside it", "one alone")
    out = []
    for kind in sorted(categories):
        skeleton, spread = None, np.empty(0)
        if marked[kind].records or found[kind].records:
            skeleton, spread = _skeleton(categories[kind], sigmas, f"{where}: category {kind}")
        people = _people(marked[kind], len(spread), position)
        detected = _detections(found[kind], len(spread), position, boxed, max_detections)
        out.append(Category(kind, str(categories[kind].get("name", kind)), skeleton, spread, people, detected))
    return tuple(out)


class _Records(NamedTuple):
    """Records of one category: their rows in the file's list, and what an error calls the record of a row."""

    records: list[dict]
    rows: list[int]
    label: Callable[[int], str]

    def table(self, key: str, n: int, step: int = 1) -> np.ndarray:
        """``n`` numbers per record, the first, second ... of every ``step``: ``(step, N, n / step)`` float64."""
        values = _all_numbers((record[key] for record in self.records), n, step)
        if values is None:
            self.blame(key, f"{n} finite numbers", lambda value: numbers(value, n), is_number)
        return values

    def column(self, key: str, want: str, least: float = -math.inf) -> np.ndarray:
        """One number per record, ``(N,)`` float64."""
        values = _all_numbers(([record[key] for record in records] for records in [self.records]), len(self.records))
        if values is None or not (values >= least).all():
            self.blame(key, want, lambda value: is_number(value) and value >= least)
        return values[0, 0]

    def look_up(self, key: str, positions: dict[int, int], want: str) -> np.ndarray:
        """The position of what ``key`` names, ``(N,)`` int64."""
        try:
            return np.fromiter((positions[record[key]] for record in self.records), np.int64, len(self.records))
        except (KeyError, TypeError):
            self.blame(key, want, lambda value: isinstance(value, Hashable) and value in positions)

    def optional(self, key: str, default: list[int], want: str, ok: Callable[[int], bool]) -> list[int]:
        """A whole number per record, which may be left out."""
        values = [record.get(key, other) for record, other in zip(self.records, default, strict=True)]
        for row, value in zip(self.rows, values, strict=True):
            if not isinstance(value, int) or not ok(value):
                _args.fail(f"{self.label(row)}: {key}", want, short(value))
        return values

    def blame(self, key: str, want: str, ok: Check, each: Check | None = None) -> NoReturn:
        """Raise the error of the first record that is not ``ok``."""
        for row, record in zip(self.rows, self.records, strict=True):
            take(record, key, self.label(row), want, ok, each)
        raise AssertionError(f"{key}: every record is as wanted")

    def only(self, some: np.ndarray) -> "_Records":
        """Some of them, by their place here."""
        return _Records([self.records[k] for k in some], [self.rows[k] for k in some], self.label)


def _all_numbers(rows: Iterable[list], n: int, step: int = 1) -> np.ndarray | None:
    """Rows of ``n`` numbers each, the first, second ... of every ``step``: ``(step, N, n / step)`` float64.

    None where anything else is among them. In pieces: what is read again is still in the processor's cache.
    """
    try:
        rows, packed = list(rows), Struct(f"{n}d").pack  # which text raises in, and a row of another length
        out = np.empty((step, len(rows), n // step))
        for k in range(0, len(rows), 500):
            part = [packed(*row) for row in rows[k : k + 500]]
            flat = np.frombuffer(b"".join(part))
            out[:, k : k + 500] = flat.reshape(len(part), n // step, step).transpose(2, 0, 1)
    except (KeyError, TypeError, OverflowError, StructError):
        return None
    return out if out.min(initial=0) > -1e30 and out.max(initial=0) < 1e30 else None  # NaN is neither


def _opened(value: object, name: str) -> tuple[object, str]:
    """What a file holds, with its name; or the value itself, with the argument's name."""
    return (read_json(Path(value)), str(value)) if isinstance(value, (str, Path)) else (value, name)


def _by_category(records: list, categories: dict[int, dict], label: Callable[[int], str]) -> dict[int, _Records]:
    rows = {number: [] for number in categories}
    try:
        for k, record in enumerate(records):
            rows[record["category_id"]].append(k)
    except (KeyError, TypeError):
        if not isinstance(record, dict):
            _args.fail(label(k), "an object", short(record))
        take(record, "category_id", label(k), "an id in categories", lambda _: False)
    return {number: _Records([records[k] for k in some], some, label) for number, some in rows.items()}


def _skeleton(category: dict, sigmas: Sigmas, where: str) -> tuple[Skeleton, np.ndarray]:
    """The skeleton of a category and its sigmas; a category without names has as many keypoints as sigmas."""
    names = category.get("keypoints") or []
    if not distinct_names(names):
        _args.fail(f"{where}: keypoints", "distinct names", short(names))
    given = sigmas.get(category["id"]) if isinstance(sigmas, Mapping) else sigmas
    if given is None:
        if tuple(names) != COCO_17.names:
            _args.fail("sigmas", f"{len(names) or 'some'} numbers > 0 for {where}, whose keypoints are not COCO's 17",
                       "None")
        return COCO_17, COCO_SIGMAS
    names = tuple(names) or tuple(f"keypoint {k + 1}" for k in range(len(given)))
    if len(given) != len(names) or not all(_args.is_number(sigma) and sigma > 0 for sigma in given):
        _args.fail("sigmas", f"{len(names)} finite numbers > 0 for {where}", list(given))
    return Skeleton(names, pairs=left_right_pairs(names)), np.array(given, np.float64)


def _people(marked: _Records, k: int, position: dict[int, int]) -> People:
    image = marked.look_up("image_id", position, "an id in images")
    x, y, vis = marked.table("keypoints", 3 * k, 3)
    if not np.isin(vis, (0, 1, 2)).all():
        marked.blame("keypoints", "0, 1 or 2 as every third number", lambda value: set(value[2::3]) <= {0, 1, 2})
    area = marked.column("area", "a number >= 0", 0)
    labeled = vis > 0
    crowd = np.array(marked.optional("iscrowd", [0] * len(image), "0 or 1", lambda value: value in (0, 1)), bool)
    count = marked.optional("num_keypoints", labeled.sum(1).tolist(), "a whole number >= 0", lambda value: value >= 0)
    ignored = crowd | np.array([value == 0 for value in count], bool)
    bare, box = np.flatnonzero(~labeled.any(1)), np.zeros((len(image), 4))
    box[bare] = marked.only(bare).table("bbox", 4)[0]
    ids = np.array([record["id"] for record in marked.records], object)
    columns = (image, np.stack((x, y), -1), labeled, area, box, crowd, ignored, ids)
    order = np.argsort(image, kind="stable")
    return People(*(column[order] for column in columns))


def _detections(found: _Records, k: int, position: dict[int, int], boxed: bool, most: int) -> Detections:
    image = found.look_up("image_id", position, "an id in images")
    xyc = found.table("keypoints", 3 * k, 3)
    score = found.column("score", "a finite number")
    order = np.lexsort((-score, image))
    rank = np.arange(len(order)) - np.searchsorted(image[order], image[order])
    order, rank = order[rank < most], rank[rank < most]
    xy = xyc[:2].take(order, axis=1).transpose(1, 2, 0)  # (D, K, 2); all x and all y lie together
    box = found.table("bbox", 4)[0, order] if boxed else None
    return Detections(image[order], rank, xy, score[order], box, np.array(found.rows, np.int64)[order])
