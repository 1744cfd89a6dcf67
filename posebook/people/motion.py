"""People in motion: everyday actions as smooth joint angles over time, of bodies in a room, in meters.

World axes as in :mod:`posebook.geometry`: x to the right, y down, z away; the floor is y = 0. Who faces along -z has
the left side at greater x.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from posebook import _args
from posebook.geometry import Camera
from posebook.people.actions import ACTIONS, Action
from posebook.people.body import LENGTHS, PARTS, frames, joints, person_slabs, turn
from posebook.people.poses import ANGLES, EXCHANGED, Draws
from posebook.people.scene import BACKGROUNDS, Scene, assembled, in_pixels
from posebook.skeleton import COCO_17

_MIRRORED = (1, -1, -1, 1, -1, -1) + (1,) * 16  # signs of the exchanged ANGLES: side, twist, tilt and turn change
_FEET = {end: radius for part in PARTS if part.name.endswith("_foot")
         for end, radius in zip((part.start, part.end), part.radius, strict=True)}  # fmt: skip
_DTYPES = {"once": torch.bool, "backward": torch.bool, "seat": torch.bool,
           **dict.fromkeys(("seconds", "stands", "hop"), torch.float64)}  # fmt: skip
_MOVES, _LOOKS, _AROUND = 40, 160, 160  # random numbers of how people move and look, and what is around; some to spare


@dataclass(frozen=True, eq=False)
class Motion:
    """People who each do one action, as :func:`sample_motion` draws them; :func:`seen_by` shows them to a camera."""

    joints: Tensor
    """``(B, T, 17, 3)`` float64: COCO's keypoints in meters, x right, y down, z away; the floor is y = 0."""
    action: Tensor
    """``(B,)`` int64: index into ``actions``."""
    actions: tuple[str, ...]
    rate: float
    """Frames per second, Hz."""
    height: Tensor
    """``(B,)`` float64: body heights in meters."""
    place: Tensor = field(repr=False)
    """``(B, T, 3)``: the middle between the hips, meters."""
    yaw: Tensor = field(repr=False)
    """``(B,)`` radians: 0 faces along -z, a quarter turn along x."""
    angle: Tensor = field(repr=False)
    """``(B, T, 22)``: the joint angles of :data:`posebook.people.poses.ANGLES` in radians."""
    length: Tensor = field(repr=False)
    """``(B, 5)``: a body's lengths in the order of :data:`posebook.people.body.LENGTHS`."""
    seat: Tensor = field(repr=False)
    """``(B, 2, 3)``: top and foot of the seat of those who ``sit``, meters."""
    sits: Tensor = field(repr=False)
    """``(B,)`` bool."""
    looks: Tensor = field(repr=False)
    """Random numbers of how they and their surroundings look."""

    def __getitem__(self, rows: slice | list[int] | Tensor) -> "Motion":
        """Some of the sequences: ``motion[3:4]`` is the fourth alone."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return Motion(**{name: value[rows] if isinstance(value, Tensor) else value for name, value in own.items()})


def sample_motion(
    count: int, frames: int, *, rate: float = 15.0, actions: Sequence[str] | None = None, seed: int = 0,
    yaw: tuple[float, float] = (-45.0, 45.0),
) -> Motion:  # fmt: skip
    """Sequences of people who act: bodies, tempo, moment and reach differ, from one seed.

    Sequence i shows action i modulo their number, so that all are equally frequent. Its random numbers do not depend on
    its action: "standing up" is "sitting down" of the same seed, run backward.

    Args:
        count: number of sequences B.
        frames: number T of frames in each.
        rate: frames per second, Hz.
        actions: names from ``ACTIONS``; None for all.
        seed: whole number; sequence i does not depend on ``count``.
        yaw: (least, most) in degrees: 0 faces along -z, where one expects the camera, 90 along x.

    Returns:
        :class:`Motion`, on the CPU. The ankles stay above one place of the floor (of a kick: the standing one), walkers
        walk as on a treadmill; the lowest foot touches the floor, but for the hops of jumping jacks. Postures change
        smoothly. At a footfall, when walkers and kickers change the lowest foot, the whole body's speed jumps.

    Raises:
        ValueError: an unknown action, or a number or a range that makes no sense.

    >>> motion = sample_motion(8, 30, rate=15.0, seed=1)
    >>> motion.joints.shape, motion.actions[motion.action[2]]
    (torch.Size([8, 30, 17, 3]), 'sitting down')
    """
    names = tuple(ACTIONS) if actions is None else actions
    _check(count, frames, rate, names, seed, yaw)
    with torch.device("cpu"), _args.exact(torch.device("cpu")):
        draw = torch.Generator().manual_seed(seed)
        uniform = torch.rand(count, _MOVES + _LOOKS + _AROUND, generator=draw, dtype=torch.float64)
        action = torch.arange(count) % len(names)
        moves = _moves(Draws(uniform[:, :_MOVES]), action, [ACTIONS[name] for name in names], frames, rate, yaw)
        return Motion(action=action, actions=tuple(names), rate=rate, looks=uniform[:, _MOVES:], **moves)


def _check(count, frames, rate, actions, seed, yaw) -> None:
    _args.whole("count", count, 0)
    _args.whole("frames", frames, 1)
    _args.positive("rate", rate)
    _args.whole("seed", seed)
    if isinstance(actions, str) or len(actions) == 0:
        _args.fail("actions", "a tuple of one or more names", repr(actions))
    for name in actions:
        _args.one_of("actions", name, tuple(ACTIONS))
    _args.bounds("yaw", yaw)


def _moves(draws: Draws, action: Tensor, actions: list[Action], frames: int, rate: float, yaw) -> dict[str, Tensor]:
    """The fields of :class:`Motion` that say where the bodies are. One frame is added, the action's end: it says where
    a seat stands.
    """
    chosen = {name: torch.tensor([getattr(one, name) for one in actions], dtype=dtype)[action]
              for name, dtype in _DTYPES.items()}  # fmt: skip
    phase = torch.cat((_phase(draws, chosen, frames, rate), torch.ones(len(action), 1, dtype=torch.float64)), 1)
    angle = _angles(draws, action, actions, phase)
    mirrored = draws(n=1) < 0.5
    angle = torch.where(mirrored[..., None], angle[..., EXCHANGED] * angle.new_tensor(_MIRRORED), angle)
    stands = torch.where(mirrored, chosen["stands"].flip(-1), chosen["stands"])
    length = torch.stack([draws(*bounds) for bounds in LENGTHS.values()], -1)
    height, yaw = draws(1.5, 1.95), torch.deg2rad(draws(*yaw))
    _, point = _posed(angle, length, yaw)
    hop = (draws(0, 1) * (chosen["hop"][:, 1] - chosen["hop"][:, 0]) + chosen["hop"][:, 0])[:, None]
    place = height[:, None, None] * _root(point, stands, length[:, -1:], hop * (2 * math.pi * phase).sin().square())
    body = place[:, :, None] + height[:, None, None, None] * torch.stack([point[name] for name in COCO_17.names], 2)
    seat = (place + height[:, None, None] * point["seat"])[:, -1]
    foot = torch.stack((seat[:, 0], -0.07 * length[:, -1] * height, seat[:, 2]), -1)  # its radius above the floor
    film = {name: _film(value[:, :-1], chosen["backward"])
            for name, value in {"joints": body, "place": place, "angle": angle}.items()}  # fmt: skip
    return {**film, "length": length, "height": height, "yaw": yaw,
            "seat": torch.stack((seat, foot), 1), "sits": chosen["seat"]}  # fmt: skip


def _phase(draws: Draws, chosen: dict[str, Tensor], frames: int, rate: float) -> Tensor:
    """How much of its action each frame has behind it, ``(B, T)``: in cycles, or from 0 to 1 of what is done once."""
    low, high = chosen["seconds"].unbind(-1)
    seconds, first, middle = low + (high - low) * draws(), draws(), draws(0.4, 0.6) * (frames - 1) / rate
    time = torch.arange(frames, dtype=torch.float64) / rate
    once = ((time - middle[:, None]) / seconds[:, None] + 0.5).clamp(0, 1)
    return torch.where(chosen["once"][:, None], once, first[:, None] + time / seconds[:, None])


def _angles(draws: Draws, action: Tensor, actions: list[Action], phase: Tensor) -> Tensor:
    """Joint angles ``(B, T, 22)`` in radians, by a cubic spline through the keys.

    A spline is linear in its keys, so that one of each unit vector gives the weights for everybody's keys.
    """
    from scipy.interpolate import CubicSpline  # slow to import

    share = draws(n=len(ANGLES))[:, None]
    angle = phase.new_empty(*phase.shape, len(ANGLES))
    for a, one in enumerate(actions):
        at, bounds = (np.array(column, dtype=float) for column in zip(*one.keys, strict=True))
        unit = np.eye(len(at))
        if not one.once:
            unit[-1] = unit[0]
        spline = CubicSpline(at, unit, bc_type="clamped" if one.once else "periodic")
        rows = action == a
        low, high = torch.from_numpy(bounds).unbind(-1)  # (keys, 22)
        angle[rows] = torch.from_numpy(spline(phase[rows].numpy())) @ (low + (high - low) * share[rows])
    return torch.deg2rad(angle)


def _posed(angle: Tensor, length: Tensor, yaw: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Rotations ``(B, T, 3, 3)`` and points ``(B, T, 3)`` of bodies about their roots, in body heights."""
    root = turn(("y", -yaw[:, None].expand(angle.shape[:2])))
    frame = frames(dict(zip(ANGLES, angle.unbind(-1), strict=True)), root)
    return frame, joints(frame, dict(zip(LENGTHS, length.T[..., None], strict=True)))


def _root(point: dict[str, Tensor], stands: Tensor, girth: Tensor, lift: Tensor) -> Tensor:
    """Where the root is ``(B, T, 3)`` in body heights, with the lowest foot ``lift (B, T)`` above the floor."""
    sole = torch.stack([point[name][..., 1] + radius * girth for name, radius in _FEET.items()]).amax(0)
    left, right = stands[:, :, None, None].unbind(1)
    over = left * point["left_ankle"] + right * point["right_ankle"]
    return -torch.stack((over[..., 0], sole + lift, over[..., 2]), -1)


def _film(value: Tensor, backward: Tensor) -> Tensor:
    """``(B, T, ...)`` with time reversed where ``backward (B)``."""
    return torch.where(backward.view(-1, *[1] * (value.ndim - 1)), value.flip(1), value)


# ---------------------------------------------------------------------------------------------------------------------
# Before a camera


def seen_by(
    motion: Motion, frame: int, camera: Camera, hw: tuple[int, int] = (64, 64), *, background: str = "plain",
    occluder: float = 0.0, brightness: tuple[float, float] = (0.8, 1.1),
) -> Scene:  # fmt: skip
    """One frame of each sequence as a camera sees it, in perspective: :func:`~posebook.people.render` paints it.

    A rod keeps straight edges: its ends are projected, its radii scaled by f/z there. All cameras see the same person
    in the same clothes; background, light and what stands in front belong to the picture, not to the room.

    Args:
        motion: from :func:`sample_motion`.
        frame: number of the frame, 0 to T - 1.
        camera: all of the bodies are in front of it.
        hw: (height, width) of the image in pixels.
        background: one of ``BACKGROUNDS``.
        occluder: probability of something in front.
        brightness: (least, most) factor of all light.

    Returns:
        :class:`Scene` of B images with one person each; ``xy`` is what ``camera.project`` says of ``motion.joints``.

    Raises:
        ValueError: no such frame, a body that is not in front of the camera, an option that makes no sense.

    >>> motion = sample_motion(2, 30, seed=1)
    >>> camera = Camera.look_at((0, -1, -4), (0, -0.9, 0), focal=120, hw=(64, 64))
    >>> seen_by(motion, 10, camera).xy.shape
    torch.Size([2, 1, 17, 2])
    """
    _check_view(motion, frame, camera, hw, background, occluder, brightness)
    with torch.device("cpu"), _args.exact(torch.device("cpu")):
        draws, around = map(Draws, motion.looks.split((_LOOKS, _AROUND), 1))
        slabs = _before(camera, motion, frame, draws)
        xy = camera.project(motion.joints[:, None, frame])
        depth = camera.local(motion.joints[:, None, frame])[..., 2] / motion.height[:, None, None]
        alone = torch.zeros(len(xy), 1, dtype=torch.int64)
        scene = assembled(slabs, depth, xy, alone == 0, alone, around, hw, occluder, background, brightness)
    return scene.mapped(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)


def _check_view(motion, frame, camera, hw, background, occluder, brightness) -> None:
    _args.instance("motion", motion, Motion)
    _args.instance("camera", camera, Camera)
    if not _args.is_whole(frame) or not 0 <= frame < motion.joints.shape[1]:
        _args.fail("frame", f"a whole number from 0 to {motion.joints.shape[1] - 1}", _args.shown(frame))
    _args.size("hw", hw)
    _args.one_of("background", background, BACKGROUNDS)
    _args.within("occluder", occluder, (0, 1))
    _args.bounds("brightness", brightness)
    _args.at_least("brightness", brightness[0], 0)


def _before(camera: Camera, motion: Motion, frame: int, draws: Draws) -> dict[str, Tensor]:
    """The slabs ``(B, n, ...)`` of everybody in px. All is worked out in body heights, from the camera."""
    turned, point = _posed(motion.angle[:, frame, None], motion.length, motion.yaw)
    point = {name: motion.place[:, frame, None] + motion.height[:, None, None] * at for name, at in point.items()}
    stools = {name: motion.seat[:, i, None] for i, name in enumerate(("seat", "floor"))}
    point = {name: camera.local(at) / motion.height[:, None, None] for name, at in {**point, **stools}.items()}
    turned = {name: camera.rotation @ one for name, one in turned.items()}
    length = dict(zip(LENGTHS, motion.length.T[..., None], strict=True))
    draws.uniform = draws.uniform[:, None]
    slabs = person_slabs(turned, point, length, draws, motion.sits[:, None])
    ends = torch.stack((slabs["start"], slabs["end"]), -2)  # (B, 1, n, 2, 3)
    if not (ends[..., 2] > 0).all():
        _args.fail("camera", "one that has the whole bodies in front of it", "one beside or within a body")
    zoom = camera.focal / ends[..., 2]  # px per body height
    start, end = (zoom[..., None] * ends[..., :2] + ends.new_tensor(camera.center)).unbind(-2)
    middle, across = ends.mean(-2), slabs["across"]
    across = across[..., :2] - across[..., 2:] * middle[..., :2] / middle[..., 2:]
    return in_pixels(slabs, start, end, across, zoom, slabs["depth"], torch.ones_like(motion.sits)[:, None])
