"""The COCO keypoint format: people marked in photographs, read from one JSON file.

A file has three lists. ``categories`` says what is marked: the names of the keypoints, and which are joined. ``images``
names the pictures. ``annotations`` has one record per person: ``keypoints`` is [x1, y1, v1, x2, y2, v2, ...].

Source: Lin et al. 2014, arXiv:1405.0312; the format at https://cocodataset.org/#format-data.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from posebook._args import fail, is_whole, size
from posebook._records import LISTS, by_id, coco_lists, distinct_names, is_amount, is_number, numbers, read_json, take
from posebook.skeleton import COCO_17, Skeleton, left_right_pairs


@dataclass(frozen=True, eq=False)
class Person:
    """One annotation.

    Args:
        xy: ``(K, 2)`` float32, (x, y) in pixels, NaN where ``vis`` is 0: the file stores (0, 0) there, which a mean
            or a drawing would take for a place. Other values are as stored. COCO says no more than "0-indexed"; like
            Detectron2 we take them for pixel indices, so that integers are pixel centers.
        vis: ``(K,)`` int64, 0 not labeled, 1 labeled but hidden, 2 labeled and visible.
        area: of the person's segment, in square pixels: the scale in OKS.
        box: (x, y, width, height) in pixels, measured from the picture's corner, not from its first pixel's center.
        crowd: True if the record marks a group, which evaluation ignores.
        id: the annotation's id in the file.
    """

    xy: Tensor
    vis: Tensor
    area: float
    box: tuple[float, float, float, float]
    crowd: bool
    id: int


@dataclass(frozen=True, eq=False)
class Photo:
    """One picture: its file, (height, width) in pixels, the people marked in it (perhaps none) and its id."""

    path: Path
    hw: tuple[int, int]
    people: tuple[Person, ...]
    id: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """What one file holds: the skeleton of all its people, and its pictures in the file's order."""

    skeleton: Skeleton
    photos: tuple[Photo, ...]


def load(path: str | Path, *, images: str | Path | None = None) -> Dataset:
    """Read a COCO keypoint file. Pictures are not opened; :func:`read_picture` does that.

    Args:
        path: the JSON file, with one category that has keypoints, or one of several that annotations use.
            Annotations of other categories are left out.
        images: the folder of the pictures; None is the folder of ``path``.

    Returns:
        :class:`Dataset`. Left and right pairs come from the names, by :func:`posebook.skeleton.left_right_pairs`.
        ``oks_sigmas`` are COCO's where the names are COCO's 17, None otherwise. No ``skeleton`` means no limbs, no
        ``iscrowd`` means 0.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a COCO keypoint file; the message names the file, the record and what was wanted.

    >>> [len(photo.people) for photo in portrait().photos]
    [1]
    """
    path = Path(path)
    if images is not None and not Path(images).is_dir():
        fail("images", "a folder", str(images))
    folder = path.parent if images is None else Path(images)
    data = coco_lists(read_json(path), str(path))
    pictures, annotations, categories = (by_id(data[kind], f"{path}: {kind}") for kind in LISTS)
    used = {repr(record.get("category_id")) for record in annotations.values()}
    chosen, skeleton = _keypoint_category(categories, used, path)
    people = {number: [] for number in pictures}
    for number, record in annotations.items():
        where = f"{path}: annotation {number}"
        image = take(record, "image_id", where, "an id in images", lambda value: is_whole(value) and value in pictures)
        kind = take(record, "category_id", where, "an id in categories",
                     lambda value: is_whole(value) and value in categories)
        if kind == chosen:
            people[image].append(_person(record, skeleton, where))
    return Dataset(skeleton, tuple(_photo(record, tuple(people[number]), folder, f"{path}: image {number}")
                                   for number, record in pictures.items()))


def read_picture(photo: Photo) -> Tensor:
    """The picture's pixels as stored: turned by no EXIF orientation, because COCO's coordinates are not.

    Returns:
        ``(H, W, 3)`` uint8, red, green, blue. Gray and CMYK pictures are converted.

    Raises:
        FileNotFoundError: there is no such picture.
        ValueError: not a picture, more than 8 bits per channel, or another size than ``photo.hw``.
    """
    if not photo.path.is_file():
        raise FileNotFoundError(f"{photo.path}: no such picture; load(..., images=folder) says where the pictures are")
    try:
        with Image.open(photo.path) as picture:
            width, height = picture.size
            mode = picture.mode
            pixels = np.array(picture.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{photo.path}: want a picture, got {error}") from None
    if mode[0] in "IF":
        fail(str(photo.path), "8 bits per channel", f"Pillow's mode {mode}")
    if (height, width) != photo.hw:
        fail(str(photo.path), f"(height, width) {photo.hw} as in the JSON", (height, width))
    return torch.from_numpy(pixels)


def most_marked(dataset: Dataset, *, least: int = 1) -> tuple[Photo, Person] | None:
    """The person with the most keypoints of at least this visibility, and her photo; None if nobody has any.

    Args:
        dataset: from :func:`load`.
        least: 1 counts hidden keypoints too, 2 those that are seen alone.

    Of equal ones the first in the file.

    >>> photo, person = most_marked(portrait())
    >>> int((person.vis > 0).sum())
    8
    """
    pairs = [(photo, person) for photo in dataset.photos for person in photo.people]
    best = max(pairs, key=lambda pair: int((pair[1].vis >= least).sum()), default=None)
    return best if best is not None and (best[1].vis >= least).any() else None


def portrait() -> Dataset:
    """A photograph that every reader has: the portrait of Grace Hopper that matplotlib ships, 8 points marked by hand.

    Returns:
        One photo of 600 x 512 pixels with one person. Left and right are hers. Irises, nostrils and mouth corners are
        good to about one pixel, the tip of the nose and the chin to about three.

    Source: US Navy, public domain; ``data/portrait.json`` says more.

    >>> portrait().skeleton.names[:3]
    ('right_eye', 'left_eye', 'nose_tip')
    """
    from matplotlib.cbook import get_sample_data

    picture = Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
    return load(Path(__file__).parent / "data" / "portrait.json", images=picture.parent)


def _keypoint_category(categories: dict[int, dict], used: set[str], path: Path) -> tuple[int, Skeleton]:
    """The id and the skeleton of the one category with keypoints; the file counts keypoints from 1.

    Of several, the one that annotations use.
    """
    with_keypoints = [number for number, record in categories.items() if record.get("keypoints")]
    if len(with_keypoints) > 1:
        with_keypoints = [number for number in with_keypoints if repr(number) in used] or with_keypoints
    if len(with_keypoints) != 1:
        fail(f"{path}: categories", "one category with keypoints", len(with_keypoints))
    number = with_keypoints[0]
    where, record = f"{path}: category {number}", categories[number]
    names = tuple(take(record, "keypoints", where, "distinct names", distinct_names))
    limbs = take({"skeleton": [], **record}, "skeleton", where, f"pairs of different numbers from 1 to {len(names)}",
                 lambda value: isinstance(value, list) and all(_limb(pair, len(names)) for pair in value),
                 lambda pair: _limb(pair, len(names)))
    sigmas = COCO_17.oks_sigmas if names == COCO_17.names else None
    return number, Skeleton(names, tuple((a - 1, b - 1) for a, b in limbs), left_right_pairs(names), sigmas)


def _photo(record: dict, people: tuple[Person, ...], folder: Path, where: str) -> Photo:
    hw = (record.get("height"), record.get("width"))
    size(where, hw)
    name = take(record, "file_name", where, "a file's name", lambda value: isinstance(value, str) and value != "")
    return Photo(folder / name, hw, people, record["id"])


def _person(record: dict, skeleton: Skeleton, where: str) -> Person:
    n = len(skeleton)
    flat = take(record, "keypoints", where, f"{3 * n} numbers, (x, y, v) of {n} keypoints",
                lambda value: numbers(value, 3 * n), is_number)
    for name, v in zip(skeleton.names, flat[2::3], strict=True):
        if v not in (0, 1, 2):
            fail(f"{where}: visibility of {name}", "0, 1 or 2", v)
    area = take(record, "area", where, "a number >= 0", lambda value: is_amount(value))
    box = take(record, "bbox", where, "[x, y, width, height], width and height >= 0",
               lambda value: numbers(value, 4) and min(value[2:]) >= 0, is_number)
    crowd = take({"iscrowd": 0, **record}, "iscrowd", where, "0 or 1", lambda value: value in (0, 1))
    xyv = torch.tensor(flat, dtype=torch.float32, device="cpu").reshape(n, 3)
    vis = xyv[:, 2].long()
    xy = xyv[:, :2].masked_fill(vis[:, None] == 0, torch.nan)
    return Person(xy, vis, float(area), tuple(map(float, box)), bool(crowd), record["id"])


def _limb(pair: object, n: int) -> bool:
    return (isinstance(pair, list) and len(pair) == 2 and pair[0] != pair[1]
            and all(is_whole(k) and 1 <= k <= n for k in pair))
