import numpy as np
import pytest
import torch
from pycocotools.cocoeval import Params

from posebook.skeleton import COCO_17, Skeleton, left_right_pairs

NAMES = ("left_eye", "right_eye", "nose")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_lengths_and_order():
    face = Skeleton(NAMES, limbs=((0, 2), (1, 2)), pairs=((0, 1),), oks_sigmas=(0.1, 0.2, 0.3))
    assert len(face) == 3
    assert face.flip_order == (1, 0, 2)
    assert Skeleton(("corner",)).flip_order == (0,)


def test_equal_skeletons_are_one_key_and_frozen():
    assert len({Skeleton(NAMES), Skeleton(NAMES)}) == 1
    with pytest.raises(AttributeError):
        Skeleton(NAMES).names = ("nose",)


@pytest.mark.parametrize("skeleton", [COCO_17, Skeleton(NAMES, pairs=((1, 0),))])
def test_flipping_twice_changes_nothing(skeleton):
    order = list(skeleton.flip_order)
    assert sorted(order) == list(range(len(skeleton)))
    xy = torch.rand(4, len(skeleton), 2)
    assert torch.equal(xy[..., order, :][..., order, :], xy)


def test_left_right_pairs():
    assert left_right_pairs(("right_hip", "tail", "left_hip", "left_ear", "right_eye")) == ((2, 0),)
    assert left_right_pairs(("left", "right", "leftover")) == ((0, 1),)


@pytest.mark.parametrize("left, right", [
    ("L_Eye", "R_Eye"), ("eye_left", "eye_right"), ("Left eye", "Right eye"), ("leftEye", "rightEye"), ("LEye", "REye"),
    ("eyeL", "eyeR"), ("eye.l", "eye.r"), ("lefteye", "righteye"), ("eyeleft", "eyeright"), ("LEFT_EYE", "RIGHT_EYE"),
    ("l-big-toe", "r-big-toe"), ("LBigToe", "RBigToe"), ("eye (left)", "eye (right)"),
    ("left_finger_2", "right_finger_2"),
    ("LeftHand1", "RightHand1"), ("left", "right"), ("L", "R"), ("linkes_left", "linkes_right"),
])  # fmt: skip
def test_sides_in_the_common_spellings(left, right):
    assert left_right_pairs(("nose", right, "neck", left)) == ((3, 1),)


@pytest.mark.parametrize("names", [
    ("leftover", "nose"), ("elbow", "erbow"), ("left_eye", "right_ear"), ("l1", "r_2"), ("tail",),
    ("left_eye_1", "right_eye_2"),
])  # fmt: skip
def test_what_is_no_pair(names):
    assert left_right_pairs(names) == ()


@pytest.mark.parametrize(
    "arguments, text",
    [
        (dict(names=()), "names: want a tuple of one or more distinct names, got ()"),
        (dict(names=("a", "a")), "names: want a tuple of one or more distinct names, got ('a', 'a')"),
        (dict(names=NAMES, limbs=((0, 3),)), "limbs: want two different indices from 0 to 2, got (0, 3)"),
        (dict(names=NAMES, limbs=((-1, 2),)), "limbs: want two different indices from 0 to 2, got (-1, 2)"),
        (dict(names=NAMES, limbs=((0, 1, 2),)), "limbs: want two different indices from 0 to 2, got (0, 1, 2)"),
        (dict(names=NAMES, pairs=((1, 1),)), "pairs: want two different indices from 0 to 2, got (1, 1)"),
        (dict(names=NAMES, pairs=((0, 1), (1, 2))),
         "pairs: want each keypoint in one pair at most, got ((0, 1), (1, 2))"),
        (dict(names=NAMES, oks_sigmas=(0.1,)), "oks_sigmas: want 3 finite numbers > 0, got (0.1,)"),
        (dict(names=NAMES, oks_sigmas=(0.1, 0.0, 0.1)), "oks_sigmas: want 3 finite numbers > 0, got (0.1, 0.0, 0.1)"),
    ],
)
def test_errors(arguments, text):
    with pytest.raises(ValueError) as error:
        Skeleton(**arguments)
    assert str(error.value) == text


def test_coco_agrees_with_its_evaluation_code():
    np.testing.assert_allclose(COCO_17.oks_sigmas, Params(iouType="keypoints").kpt_oks_sigmas, rtol=0, atol=1e-15)


def test_coco_names_limbs_and_pairs_fit():
    assert len(COCO_17) == 17 and len(COCO_17.limbs) == 19 and len(COCO_17.pairs) == 8
    for left, right in COCO_17.pairs:  # a pair shares its sigma, and a flip maps limbs onto limbs
        assert COCO_17.names[left].replace("left_", "right_") == COCO_17.names[right]
        assert COCO_17.oks_sigmas[left] == COCO_17.oks_sigmas[right]
    limbs = {frozenset(limb) for limb in COCO_17.limbs}
    assert {frozenset(COCO_17.flip_order[k] for k in limb) for limb in limbs} == limbs
    reached = {0}
    for _ in COCO_17.names:
        reached |= {k for limb in limbs if limb & reached for k in limb}
    assert reached == set(range(17))  # one connected drawing
