"""People in motion: rigid bodies on a floor, and cameras that agree with what they see of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from posebook.geometry import Camera
from posebook.people import ACTIONS, Motion, render, sample_motion, seen_by
from posebook.people.body import PART_INDEX
from posebook.people.poses import ANGLES
from posebook.skeleton import COCO_17

K = {name: k for k, name in enumerate(COCO_17.names)}
LIMBS = [(K[f"{side}_{a}"], K[f"{side}_{b}"]) for side in ("left", "right")
         for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))]  # fmt: skip
LIMBS += [(K["left_shoulder"], K["right_shoulder"]), (K["left_hip"], K["right_hip"]), (K["nose"], K["left_ear"])]


def close(actual: torch.Tensor, expected: torch.Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def camera(x: float = 0.0, z: float = -4.0, hw: tuple[int, int] = (96, 96)) -> Camera:
    return Camera.look_at((x, -1.2, z), (0, -0.9, 0), focal=1.5 * hw[0], hw=hw)


# ---------------------------------------------------------------------------------------------------------------------
# Sequences


@pytest.mark.parametrize("count, frames", [(0, 3), (1, 1), (11, 7)])
def test_shapes_and_dtypes(count, frames):
    motion = sample_motion(count, frames)
    assert motion.joints.shape == (count, frames, 17, 3) and motion.joints.dtype == torch.float64
    assert motion.action.tolist() == [i % len(ACTIONS) for i in range(count)]
    assert motion.actions == tuple(ACTIONS) and motion.joints.isfinite().all()


def test_the_seed_decides_and_a_sequence_does_not_depend_on_the_count():
    one, same, other, fewer = sample_motion(9, 5, seed=3), sample_motion(9, 5, seed=3), sample_motion(9, 5, seed=4), \
        sample_motion(4, 5, seed=3)  # fmt: skip
    assert torch.equal(one.joints, same.joints) and (one.joints - other.joints).abs().mean() > 0.05
    close(fewer.joints, one.joints[:4], 1e-12)
    state = torch.random.get_rng_state()
    sample_motion(2, 2, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    close(one[[7, 2]].joints, one.joints[[7, 2]], 0)
    assert one[2:3].action.tolist() == [2]


def test_limbs_keep_their_length():
    joints = sample_motion(40, 30, seed=5).joints
    for a, b in LIMBS:
        length = (joints[:, :, a] - joints[:, :, b]).norm(dim=-1)
        close(length, length[:, :1].expand_as(length), 1e-9)
        assert length.std(0)[0] > 1e-3  # bodies differ


def test_standing_up_is_sitting_down_run_backward():
    down, up = (sample_motion(6, 20, actions=(name,), seed=2) for name in ("sitting down", "standing up"))
    assert torch.equal(down.joints.flip(1), up.joints)
    close(down.seat, up.seat)
    there, back = render(seen_by(down, 3, camera())), render(seen_by(up, 16, camera()))
    assert torch.equal(there.image, back.image)
    assert (down.seat[:, 0, 1] < down.seat[:, 1, 1]).all() and (down.seat[:, 1, 1] < 0).all()  # on the floor
    hips = down.joints[:, :, K["left_hip"], 1]  # y points down
    assert (hips[:, -1] - hips[:, 0] > 0.2).all()


def test_frames_are_samples_of_one_smooth_course():
    """Twice the rate passes through the same postures. Accelerations have a limit that does not grow with the rate; a
    footfall adds a jump of speed, as large at any rate.
    """
    at = {rate: sample_motion(32, 2 * rate + 1, rate=rate, seed=6).joints for rate in (30, 60, 120)}
    close(at[60][:, ::2], at[30], 1e-9)
    action = sample_motion(32, 1, seed=6).action
    steps = torch.tensor([name in ("walking", "kicking") for name in ACTIONS])[action]  # these have footfalls
    for rate, joints in at.items():
        change = joints.diff(n=2, dim=1) * rate  # m/s from frame to frame
        posture = (joints - joints[:, :, [K["left_hip"]]]).diff(n=2, dim=1) * rate
        assert posture.norm(dim=-1).max() * rate < 60  # m/s^2: the foot of whoever kicks
        assert change[~steps].norm(dim=-1).max() * rate < 60
        assert change[steps].norm(dim=-1).max() < 1.5 + 60 / rate  # m/s
    speed = (at[120][:, 1:] - at[120][:, :-1]).norm(dim=-1) * 120
    assert speed.max() < 8  # m/s
    assert (speed.amax((1, 2)) > 0.5).all()  # everybody moves


def test_what_is_periodic_repeats_and_what_is_done_once_ends_at_rest():
    names = tuple(name for name, action in ACTIONS.items() if not action.once)
    course = sample_motion(2 * len(names), 400, rate=100, actions=names, seed=1)
    for joints in course.joints:
        away = (joints - joints[:1]).norm(dim=-1).amax(-1)
        assert away[40:200].min() < 0.1 < away.max()
    names = tuple(name for name, action in ACTIONS.items() if action.once)
    course = sample_motion(2 * len(names), 400, rate=100, actions=names, seed=1).joints
    assert torch.equal(course[:, 0], course[:, 20]) and torch.equal(course[:, -1], course[:, -20])
    assert ((course[:, -1] - course[:, 0]).norm(dim=-1).amax(-1) > 0.15).all()


def test_the_lowest_foot_stands_on_the_floor_and_the_ankles_above_one_place():
    motion = sample_motion(32, 40, seed=8)
    for name, joints in zip([motion.actions[a] for a in motion.action], motion.joints, strict=True):
        ankles = joints[:, [K["left_ankle"], K["right_ankle"]]]
        assert (joints[..., 1] < 0).all()
        lowest = ankles[..., 1].amax(1)
        assert (lowest < -0.03).all() and (lowest > -0.35).all()
        if name != "jumping jacks":
            assert (lowest > -0.25).all()
        middle = ankles[..., [0, 2]].mean(1).norm(dim=-1)
        standing = ankles[..., [0, 2]].norm(dim=-1).amax(0).min()
        assert standing < 1e-9 if name == "kicking" else middle.max() < 1e-9


def test_angles_stay_within_human_limits():
    angle = dict(zip(ANGLES, torch.rad2deg(sample_motion(80, 60, seed=9).angle).unbind(-1), strict=True))
    for side in ("left", "right"):
        for limb, forward, bent in (("arm", (-60, 180), (-5, 145)), ("leg", (-35, 125), (-5, 140))):
            for name, (low, high) in (("forward", forward), ("bent", bent)):
                value = angle[f"{side}_{limb}_{name}"]
                assert low <= value.min() and value.max() <= high, (side, limb, name)


@pytest.mark.parametrize(
    "option, want",
    [
        ({"count": -1}, "count: want a whole number >= 0, got -1"),
        ({"frames": 0}, "frames: want a whole number >= 1, got 0"),
        ({"rate": 0}, "rate: want a finite number > 0, got 0"),
        ({"seed": 1.5}, "seed: want a whole number, got 1.5"),
        ({"actions": "walking"}, "actions: want a tuple of one or more names, got 'walking'"),
        ({"actions": ()}, "actions: want a tuple of one or more names"),
        ({"actions": ("flying",)}, "actions: want one of 'walking', "),
        ({"yaw": (90, -90)}, "yaw: want (least, most), two finite numbers, got (90, -90)"),
    ],
)
def test_errors_name_the_argument(option, want):
    with pytest.raises(ValueError) as error:
        sample_motion(**{"count": 1, "frames": 2, **option})
    assert str(error.value).startswith(want)


# ---------------------------------------------------------------------------------------------------------------------
# Before a camera


def test_keypoints_are_where_the_camera_projects_the_joints():
    motion = sample_motion(8, 10, seed=4)
    for view in (camera(), camera(3.0, -2.0), camera(0.0, 4.0)):
        people = render(seen_by(motion, 5, view, (96, 96)), (96, 96))
        close(people.xy[:, 0].double(), view.project(motion.joints[:, 5]), 1e-4)
        assert people.image.shape == (8, 3, 96, 96) and people.xy.dtype == torch.float32


def test_what_is_painted_lies_where_the_camera_projects_it():
    """Of hands painted alone: a rod's disc about the wrist has its center at the projected wrist, to 0.03 px."""
    motion, view, hw = sample_motion(3, 4, seed=2), camera(2.0, -3.0, (400, 400)), (400, 400)
    scene = seen_by(motion, 2, view, hw)
    wrist = view.project(motion.joints[:, 2, K["left_wrist"]])
    hand = scene.part == PART_INDEX["left_hand"]
    alone = replace(scene, opacity=hand.float(), end=scene.start, radius=scene.radius[..., :1].expand(-1, -1, 2))
    mask = render(alone, hw).mask[:, 0]
    for b in range(3):
        center = ndimage.center_of_mass(mask[b].numpy())[::-1]
        np.testing.assert_allclose(center, wrist[b].numpy(), atol=0.03)
        z = view.local(motion.joints[b, 2, K["left_wrist"]])[2]
        radius = 0.018 * motion.length[b, -1] * motion.height[b] * view.focal / z
        assert mask[b].sum().item() == pytest.approx(np.pi * (radius.item() ** 2 + 1 / 12), rel=0.01)


def test_two_cameras_meet_at_the_joint():
    motion, views = sample_motion(4, 6, seed=3), (camera(-1.5), camera(1.5))
    rays = []
    for view in views:
        xy = seen_by(motion, 3, view).xy[:, 0].double()
        toward = torch.cat(((xy - torch.tensor(view.center)) / view.focal, torch.ones_like(xy[..., :1])), -1)
        rays.append((view.position, toward @ view.rotation))
    (p, d), (q, e) = rays
    system = torch.stack((d, -e), -1)  # p + s d = q + t e
    s = torch.linalg.lstsq(system, (q - p).expand_as(d)[..., None]).solution[..., :1, 0]
    close(p + s * d, motion.joints[:, 3], 1e-5)


def test_far_away_and_enlarged_perspective_becomes_parallel():
    motion = sample_motion(4, 2, seed=1)
    xy = []
    for far in (1e3, 1e4):
        view = Camera.look_at((0, -0.9, -far), (0, -0.9, 0), focal=30 * far, hw=(96, 96))
        xy.append(seen_by(motion, 0, view, (96, 96)).xy[:, 0])
    parallel = 30 * (motion.joints[:, 0, :, :2] - torch.tensor([0, -0.9])) + 47.5
    assert (xy[0] - parallel).abs().max() < 0.05 and (xy[1] - parallel).abs().max() < 0.005


def test_a_face_shows_to_the_camera_before_it_only():
    motion = sample_motion(20, 4, actions=("clapping", "waving"), seed=5, yaw=(0, 0))
    seen = {z: render(seen_by(motion, 1, camera(0, z, (192, 192)), (192, 192)), (192, 192)).vis[:, 0] for z in (-4, 4)}
    share = {z: (vis == 2).double().mean(0) for z, vis in seen.items()}
    assert share[-4][K["nose"]] > 0.9 and share[4][K["nose"]] == 0
    left, right = (motion.joints[:, 1, K[f"{side}_shoulder"], 0] for side in ("left", "right"))
    assert (left > right).all()


def test_one_person_before_all_cameras_and_a_background_of_choice():
    motion = sample_motion(3, 2, seed=2)
    one, other = seen_by(motion, 0, camera()), seen_by(motion, 0, camera(1.0))
    for name in ("color", "seam", "stripes", "base", "light"):
        assert torch.equal(getattr(one, name).flatten(1).sort().values, getattr(other, name).flatten(1).sort().values)
    plain, covered = (render(seen_by(motion, 0, camera(), **o)) for o in ({}, {"occluder": 1.0, "background": "waves"}))
    assert (covered.area <= plain.area + 1e-3).all() and not torch.equal(covered.image, plain.image)


def test_a_view_leaves_its_motion_alone_and_names_what_is_wrong():
    motion = sample_motion(2, 3)
    before = motion.joints.clone()
    seen_by(motion, 0, camera())
    assert torch.equal(motion.joints, before)
    cases = [
        ((motion, 3, camera()), {}, "frame: want a whole number from 0 to 2, got 3"),
        ((motion, 0.0, camera()), {}, "frame: want a whole number from 0 to 2, got 0.0"),
        ((motion.joints, 0, camera()), {}, "motion: want a Motion, got Tensor"),
        ((motion, 0, motion), {}, "camera: want a Camera, got Motion"),
        ((motion, 0, camera(), (0, 8)), {}, "hw: want"),
        ((motion, 0, camera()), {"background": "forest"}, "background: want one of 'mixed', "),
        ((motion, 0, camera()), {"occluder": 2}, "occluder: want a number from 0 to 1, got 2"),
        ((motion, 0, camera()), {"brightness": (2, 1)}, "brightness: want"),
        ((motion, 0, Camera.look_at((0, -1, 3), (0, -1, 5), focal=50, hw=(8, 8))), {}, "camera: want"),
    ]
    for arguments, options, want in cases:
        with pytest.raises(ValueError) as error:
            seen_by(*arguments, **options)
        assert str(error.value).startswith(want)
    assert isinstance(motion, Motion)
