"""Skeletons: which keypoints there are, which belong together, and which are left and right of a pair."""

import re
from dataclasses import dataclass

from posebook._args import fail, index_pairs, is_number


@dataclass(frozen=True)
class Skeleton:
    """Named keypoints of a body, a face, a hand or an object; see chapter 1, section 1.1.

    Args:
        names: one name per keypoint, in the order of the K axis.
        limbs: pairs of keypoint indices that a drawing connects.
        pairs: (left, right) index pairs that a horizontal flip exchanges; a keypoint is in one pair at most.
        oks_sigmas: per keypoint the root mean square distance of annotators' marks, in units of sqrt(area), for OKS,
            whose k is 2 sigma; None where nobody has measured it.

    Raises:
        ValueError: names that repeat, an index outside the skeleton, a keypoint in two pairs, a wrong number of sigmas.

    >>> Skeleton(("left_eye", "right_eye", "nose"), limbs=((0, 2), (1, 2)), pairs=((0, 1),)).flip_order
    (1, 0, 2)
    """

    names: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()
    oks_sigmas: tuple[float, ...] | None = None

    def __post_init__(self):
        n = len(self.names)
        if not isinstance(self.names, tuple) or n == 0 or len(set(self.names)) != n:
            fail("names", "a tuple of one or more distinct names", self.names)
        for field in ("limbs", "pairs"):
            index_pairs(field, getattr(self, field), n)
        paired = [k for pair in self.pairs for k in pair]
        if len(set(paired)) != len(paired):
            fail("pairs", "each keypoint in one pair at most", self.pairs)
        if self.oks_sigmas is not None:
            if len(self.oks_sigmas) != n or not all(is_number(s) and s > 0 for s in self.oks_sigmas):
                fail("oks_sigmas", f"{n} finite numbers > 0", self.oks_sigmas)

    def __len__(self) -> int:
        """Number of keypoints K."""
        return len(self.names)

    @property
    def flip_order(self) -> tuple[int, ...]:
        """Index order that exchanges left and right: ``xy[..., flip_order, :]``."""
        order = list(range(len(self)))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)


def left_right_pairs(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """(left, right) index pairs of names that differ only in their side: left or right, L or R, wherever it stands.

    Capitals, spaces and punctuation do not matter: ``left_eye``, ``Left eye``, ``eye.L``, ``LEye`` and ``lefteye`` are
    understood. Names in other words have no pairs: give them to :class:`Skeleton` yourself.

    >>> left_right_pairs(("nose", "left_eye", "right_eye"))
    ((1, 2),)
    >>> left_right_pairs(("REye", "LEye", "neck", "hip (right)", "hip (left)"))
    ((1, 0), (4, 3))
    """
    words = [_words(name) for name in names]
    index = {name: k for k, name in enumerate(words)}
    mirrored = [tuple(_RIGHT.get(word, word) for word in name) for name in words]
    return tuple((k, index[other]) for k, (name, other) in enumerate(zip(words, mirrored, strict=True))
                 if other != name and other in index)


_RIGHT = {"left": "right", "l": "r"}


def _words(name: str) -> tuple[str, ...]:
    """Its words in small letters: cut at what is no letter or digit, before a capital, and around left and right."""
    apart = re.sub(r"(?i)(left|right)", r" \1 ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name))
    return tuple(re.findall(r"[^\W_]+", apart.lower()))


_COCO_NAMES = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
               "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
               "left_knee", "right_knee", "left_ankle", "right_ankle")

COCO_17 = Skeleton(
    names=_COCO_NAMES,
    limbs=((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
           (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    pairs=left_right_pairs(_COCO_NAMES),
    oks_sigmas=(.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089),
)
"""The 17 body keypoints of COCO (Lin et al. 2014, arXiv:1405.0312), with the OKS constants of its evaluation code."""
