"""Drawn people with COCO's 17 keypoints, exact: what is painted lies within 0.03 px. :func:`draw_people` is the entry.

A person is a 3-D skeleton with human proportions, posed by joint angles, seen from any side in parallel projection.
Every visible thing (limb, trunk, eye, bench, occluder) is one *slab*: a rod with two radii, swept sideways. Slabs are
painted from back to front, so that depth, self-occlusion and left and right mean what they do in a photograph. Lengths
of a body are in units of its height, until :func:`sample_scene` turns them into pixels.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import torch
from torch import Tensor

from posebook import _args
from posebook.skeleton import COCO_17

_CHUNK = 128 * 64**2  # pixels painted at once: so few stay in a CPU's cache
_K = {name: k for k, name in enumerate(COCO_17.names)}


@dataclass(frozen=True)
class People:
    """Images and what is true of them."""

    image: Tensor
    """``(B, 3, H, W)`` float32, 0 to 1."""
    xy: Tensor
    """``(B, P, 17, 2)`` px, (x, y); exact also where hidden or outside the image; 0 for an absent person."""
    vis: Tensor
    """``(B, P, 17)`` int64: 0 outside the image or absent, 1 hidden, 2 visible.

    Visible: what is painted last over the keypoint is a part that meets there (at an elbow, upper arm or forearm, with
    clothes). The trunk shows shoulders and hips, from behind too, but not those on its far side in a view from aside.
    """
    mask: Tensor
    """``(B, P, H, W)`` float32: the share of each pixel that shows the person."""

    @property
    def area(self) -> Tensor:
        """``(B, P)``: each person's visible silhouette, px^2."""
        return self.mask.sum((-2, -1))


@dataclass(frozen=True)
class Scene:
    """What :func:`render` paints: N slabs an image in back-to-front order, a background of T waves, P people."""

    start: Tensor  # (B, N, 2) px
    end: Tensor  # (B, N, 2) px
    radius: Tensor  # (B, N, 2) px, at start and end
    half: Tensor  # (B, N, 2) px: how far it is swept to either side, at start and end
    across: Tensor  # (B, N, 2) unit vector of the sweep
    color: Tensor  # (B, N, 2, 3): before and after the seam
    seam: Tensor  # (B, N) where the color changes: 0 at the start, 1 at the end
    stripes: Tensor  # (B, N, 2): strength and number
    opacity: Tensor  # (B, N)
    depth: Tensor  # (B, N) body heights away from the viewer, in its own person
    owner: Tensor  # (B, N) int64: the person that it is a part of, or P
    part: Tensor  # (B, N) int64: index into _PARTS; beyond them seat, clutter, occluder
    xy: Tensor  # (B, P, K, 2) px
    xy_depth: Tensor  # (B, P, K) body heights
    present: Tensor  # (B, P) bool
    base: Tensor  # (B, 3) background color
    wave: Tensor  # (B, T, 3): radians per px in x and y, phase
    swing: Tensor  # (B, T, 3) amplitude in red, green, blue
    light: Tensor  # (B, 3) towards the light, times its strength

    def moved(self, *, zoom: float = 1.0, degrees: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> "Scene":
        """The scene under x -> zoom R x + shift, R turning clockwise about the center of the top-left pixel."""
        _args.positive("zoom", zoom)
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn, shift = self.xy.new_tensor([[c, s], [-s, c]]), self.xy.new_tensor(shift)  # of row vectors
        k = self.wave[..., :2] @ turn / zoom
        wave = torch.cat((k, (self.wave[..., 2] - k @ shift)[..., None]), -1)
        light = torch.cat((self.light[:, :2] @ turn, self.light[:, 2:]), -1)
        xy = zoom * self.xy @ turn + shift
        return replace(self, start=zoom * self.start @ turn + shift, end=zoom * self.end @ turn + shift,
                       radius=zoom * self.radius, half=zoom * self.half, across=self.across @ turn, wave=wave,
                       light=light, xy=torch.where(self.present[..., None, None], xy, 0.0))  # fmt: skip


def draw_people(count: int, hw: tuple[int, int] = (64, 64), **options) -> People:
    """Images of people in everyday poses with their keypoints, visibility, silhouettes and areas.

    Args:
        count: number of images B.
        hw: (height, width) of each in pixels.
        options: those of :func:`sample_scene`: ``persons``, ``seed``, ``device``, ``size``, ``yaw`` ...

    Returns:
        :class:`People`. The same seed gives the same images on one device; image i does not depend on ``count``.

    Raises:
        ValueError: as :func:`sample_scene`.

    >>> people = draw_people(4, (64, 48), persons=2, seed=1)
    >>> people.image.shape, people.xy.shape, people.area.shape
    (torch.Size([4, 3, 64, 48]), torch.Size([4, 2, 17, 2]), torch.Size([4, 2]))
    """
    return render(sample_scene(count, hw, **options), hw)


# ---------------------------------------------------------------------------------------------------------------------
# Poses: joint angles in degrees, each drawn evenly between two bounds

_TRUNK = ((-3, 8), (-6, 6), (-12, 12), (-10, 15), (-8, 8), (-35, 35))  # lean, side, twist; nod, tilt and turn of head
_ARM = ((-12, 15), (5, 16), (0, 40), (5, 35))  # forward, outward, turned inward, elbow bent
_LEG = ((-4, 8), (1, 8), (-18, 4), (0, 8))  # forward, outward, turned inward, knee bent
_ARMS, _LEGS = (_ARM, _ARM), (_LEG, _LEG)


def _lean(low: float, high: float) -> tuple:
    return ((low, high), *_TRUNK[1:])


POSES = {  # trunk, two arms, two legs; left and right are exchanged at random
    "standing": (_TRUNK, _ARMS, _LEGS),
    "relaxed": (_TRUNK, (((-30, -8), (25, 42), (50, 75), (75, 100)), _ARM),
                (_LEG, ((5, 25), (3, 12), (-25, 0), (10, 40)))),
    "akimbo": (_TRUNK, (((-25, -5), (38, 55), (60, 80), (80, 105)),) * 2, (((-5, 5), (5, 15), (-18, 4), (0, 8)),) * 2),
    "arms folded": (_TRUNK, (((15, 30), (5, 14), (55, 75), (90, 110)),) * 2, _LEGS),
    "walking": (_lean(0, 10), (((-35, -10), (4, 12), (0, 25), (5, 35)), ((10, 35), (4, 12), (0, 25), (15, 50))),
                (((15, 35), (0, 5), (-10, 4), (0, 18)), ((-28, -8), (0, 5), (-10, 4), (10, 55)))),
    "running": (_lean(5, 20), (((-60, -25), (8, 20), (0, 25), (75, 110)), ((20, 55), (6, 16), (10, 35), (75, 110))),
                (((35, 75), (0, 6), (-10, 4), (45, 100)), ((-32, -8), (0, 6), (-10, 4), (25, 105)))),
    "waving": (_TRUNK, (((0, 25), (85, 130), (-105, -70), (35, 95)), _ARM), _LEGS),
    "pointing": (_TRUNK, (((60, 100), (0, 45), (0, 20), (0, 25)), _ARM), _LEGS),
    "arms raised": (_TRUNK, (((0, 25), (125, 172), (-30, 20), (0, 55)),) * 2,
                (((-4, 8), (3, 14), (-18, 4), (0, 10)),) * 2),
    "arms spread": (_TRUNK, (((-5, 20), (70, 105), (-30, 20), (0, 30)),) * 2,
                (((-4, 8), (5, 25), (-18, 4), (0, 12)),) * 2),
    "jumping": (_lean(-8, 10), (((-5, 30), (95, 155), (-40, 20), (0, 50)),) * 2,
                (((-15, 35), (10, 38), (-15, 5), (5, 70)),) * 2),
    "kicking": (_lean(-12, 8), (((-30, 30), (20, 60), (0, 40), (10, 60)),) * 2,
                (((45, 90), (0, 15), (-15, 5), (0, 45)), ((-10, 5), (0, 8), (-15, 5), (0, 25)))),
    "lunging": (_lean(0, 25), (((-40, 60), (5, 40), (0, 40), (5, 90)),) * 2,
                (((55, 85), (0, 10), (-10, 5), (60, 95)), ((-30, -10), (0, 10), (-10, 5), (5, 45)))),
    "bending": (_lean(45, 95), (((45, 95), (2, 20), (0, 30), (0, 40)),) * 2,
                (((0, 20), (1, 10), (-15, 4), (0, 30)),) * 2),
    "sitting": (_lean(-5, 20), (((15, 45), (3, 16), (15, 45), (25, 85)),) * 2,
                (((75, 95), (1, 18), (-10, 8), (70, 100)),) * 2),
    "squatting": (_lean(15, 40), (((40, 85), (3, 20), (5, 35), (10, 80)),) * 2,
                  (((85, 115), (8, 28), (-25, 0), (95, 130)),) * 2),
}  # fmt: skip

_JOINTS = ("lean", "side", "twist", "nod", "tilt", "turn",
           *(f"{side}_{angle}" for limb in ("arm", "leg") for side in ("left", "right")
             for angle in (f"{limb}_forward", f"{limb}_outward", f"{limb}_inward", f"{limb}_bent")))  # fmt: skip


class _Draws:
    """Uniform numbers ``(..., n)`` handed out column by column, so that each choice has columns of its own."""

    def __init__(self, uniform: Tensor):
        self.uniform, self.used = uniform, 0

    def __call__(self, low: float = 0.0, high: float = 1.0, n: int | None = None) -> Tensor:
        """``(...)``, or ``(..., n)``."""
        columns = self.uniform[..., self.used : self.used + (n or 1)]
        self.used += n or 1
        assert self.used <= self.uniform.shape[-1]
        return low + (high - low) * (columns if n else columns[..., 0])


def _joint_angles(draws: _Draws, poses: tuple[str, ...]) -> tuple[dict[str, Tensor], Tensor]:
    """Radians by name, each ``(B, P)``, and which of them sit."""
    rows = [[*trunk, *arms[0], *arms[1], *legs[0], *legs[1]] for trunk, arms, legs in (POSES[name] for name in poses)]
    table = torch.tensor(rows, dtype=torch.float32)  # (poses, 22, 2)
    pose = (draws() * len(poses)).long().clamp(max=len(poses) - 1)
    low, high = table[pose].unbind(-1)
    angles = torch.deg2rad(low + (high - low) * draws(n=low.shape[-1]))
    exchanged = angles[..., [*range(6), *range(10, 14), *range(6, 10), *range(18, 22), *range(14, 18)]]
    angles = torch.where(draws(n=1) < 0.5, angles, exchanged)
    sits = torch.tensor([name == "sitting" for name in poses])[pose]
    return dict(zip(_JOINTS, angles.unbind(-1), strict=True)), sits


# ---------------------------------------------------------------------------------------------------------------------
# The body: x to its left, y down, z backwards, in units of its height

_AXES = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}


def _turn(*steps: tuple[str, Tensor]) -> Tensor:
    """Product of right-handed rotations about axes, ``(B, P, 3, 3)``."""
    total = None
    for axis, angle in steps:
        i, j = _AXES[axis]
        one = torch.eye(3, device=angle.device).repeat(*angle.shape, 1, 1)
        one[..., i, i] = one[..., j, j] = angle.cos()
        one[..., j, i], one[..., i, j] = angle.sin(), -angle.sin()
        total = one if total is None else total @ one
    return total


def _frames(angle: dict[str, Tensor], root: Tensor) -> dict[str, Tensor]:
    """Rotation of each rigid piece of the body, ``(B, P, 3, 3)``."""
    frame = {"pelvis": root}
    frame["loin"] = root @ _turn(("x", angle["lean"] / 2), ("z", angle["side"] / 2), ("y", angle["twist"] / 2))
    frame["chest"] = root @ _turn(("x", angle["lean"]), ("z", angle["side"]), ("y", angle["twist"]))
    frame["neck"] = frame["chest"] @ _turn(("x", angle["nod"] / 2), ("z", angle["tilt"] / 2))
    frame["head"] = frame["chest"] @ _turn(("x", angle["nod"]), ("z", angle["tilt"]), ("y", -angle["turn"]))
    for side, sign in (("left", 1), ("right", -1)):
        for limb, parent, bend in (("arm", "chest", -1), ("leg", "pelvis", 1)):
            forward, outward, inward, bent = (
                angle[f"{side}_{limb}_{a}"] for a in ("forward", "outward", "inward", "bent")
            )
            upper = frame[parent] @ _turn(("z", -sign * outward), ("x", -forward), ("y", sign * inward))
            frame[f"{side}_upper_{limb}"], frame[f"{side}_lower_{limb}"] = upper, upper @ _turn(("x", bend * bent))
    return frame


def _sides(*rows: tuple) -> tuple:
    """Rows for the left and, mirrored, for the right: names that begin with ``*`` get the side's name."""

    def named(value, side):
        if isinstance(value, str):
            return value.replace("*", side)
        mirrored = isinstance(value, tuple) and len(value) == 3 and side == "right" and not isinstance(value[0], str)
        return (-value[0], *value[1:]) if mirrored else value

    return tuple(tuple(named(value, side) for value in row) for side in ("left", "right") for row in rows)


_POINTS = (  # name, from, frame, offset, which of a person's lengths scales it
    ("waist", "root", "loin", (0, -.12, 0), "trunk"),
    ("breast", "waist", "chest", (0, -.150, 0), "trunk"),
    ("throat", "breast", "chest", (0, -.035, .004), "trunk"),
    ("groin", "root", "pelvis", (0, .005, 0), "trunk"),
    ("hem", "root", "pelvis", (0, .17, -.01), "leg"),
    ("skull_base", "throat", "neck", (0, -.045, -.006), "head"),
    ("cranium", "skull_base", "head", (0, -.067, .006), "head"),
    ("chin", "skull_base", "head", (0, -.017, -.020), "head"),
    ("hair", "skull_base", "head", (0, -.086, .026), "head"),
    ("nape", "skull_base", "head", (0, .045, .046), "head"),
    ("bridge", "skull_base", "head", (0, -.062, -.046), "head"),
    ("nose", "skull_base", "head", (0, -.043, -.056), "head"),
    *_sides(
        ("*_temple", "skull_base", "head", (.025, -.104, -.018), "head"),
        ("*_eye", "skull_base", "head", (.018, -.061, -.034), "head"),
        ("*_pupil", "*_eye", "head", (-.001, .001, -.006), "head"),
        ("*_ear", "skull_base", "head", (.055, -.053, .008), "head"),
        ("*_ear_top", "*_ear", "head", (.002, -.009, .003), "head"),
        ("*_lobe", "*_ear", "head", (-.003, .010, -.002), "head"),
        ("*_lip", "skull_base", "head", (.015, -.020, -.040), "head"),
        ("*_shoulder", "breast", "chest", (.105, -.018, 0), "trunk"),
        ("*_elbow", "*_shoulder", "*_upper_arm", (0, .172, 0), "arm"),
        ("*_wrist", "*_elbow", "*_lower_arm", (0, .152, 0), "arm"),
        ("*_knuckles", "*_wrist", "*_lower_arm", (0, .058, -.006), "arm"),
        ("*_hip", "root", "pelvis", (.056, .0, 0), "trunk"),
        ("*_knee", "*_hip", "*_upper_leg", (0, .245, 0), "leg"),
        ("*_ankle", "*_knee", "*_lower_leg", (0, .240, 0), "leg"),
        ("*_heel", "*_ankle", "*_lower_leg", (0, .024, .018), "leg"),
        ("*_toe", "*_ankle", "*_lower_leg", (0, .034, -.092), "leg"),
    ),
    ("seat", "groin", "pelvis", (0, .10, .02), "leg"),
    ("floor", "groin", "pelvis", (0, .42, .02), "leg"),
)  # fmt: skip


class _Part(NamedTuple):
    """A slab between two points; ``nearer`` moves it in the painting order only."""

    name: str
    start: str
    end: str
    radius: tuple[float, float]
    colors: tuple[str, str]
    seam: str = "never"
    half: tuple[float, float] = (0.0, 0.0)
    across: str = "chest"
    nearer: float = 0.0
    shown: str = "always"


_PARTS = tuple(_Part(*row) for row in (
    ("long_hair", "hair", "nape", (.052, .036), ("hair", "hair"), "never", (.0, .018), "head", .012, "long_hair"),
    ("pelvis", "waist", "groin", (.053, .058), ("trousers", "trousers"), "never", (.036, .045), "pelvis", .0),
    *_sides(
        ("*_thigh", "*_hip", "*_knee", (.056, .036), ("trousers", "skin"), "thigh", (0., 0.), "chest", .0),
        ("*_shin", "*_knee", "*_ankle", (.037, .022), ("trousers", "skin"), "shin", (0., 0.), "chest", .0),
        ("*_foot", "*_heel", "*_toe", (.021, .017), ("shoes", "shoes"), "never", (0., 0.), "chest", .002),
    ),
    ("skirt", "waist", "hem", (.055, .040), ("trousers", "trousers"), "never", (.036, .085), "pelvis", .09, "skirt"),
    ("torso", "breast", "waist", (.050, .055), ("shirt", "shirt"), "never", (.068, .040), "chest", .004),
    ("neck", "throat", "skull_base", (.029, .028), ("skin", "skin"), "never", (0., 0.), "chest", .004),
    *_sides(
        ("*_upper_arm", "*_shoulder", "*_elbow", (.035, .025), ("shirt", "skin"), "upper_arm", (0., 0.), "chest", .012),
        ("*_forearm", "*_elbow", "*_wrist", (.025, .018), ("shirt", "skin"), "forearm", (0., 0.), "chest", .014),
        ("*_hand", "*_wrist", "*_knuckles", (.018, .017), ("skin", "skin"), "never", (0., 0.), "chest", .016),
    ),
    ("head", "cranium", "chin", (.056, .034), ("skin", "skin"), "never", (0., 0.), "chest", .0),
    ("hair", "hair", "hair", (.056, .056), ("hair", "hair"), "never", (0., 0.), "head", .012, "hair"),
    ("fringe", "left_temple", "right_temple", (.021, .021), ("hair", "hair"), "never", (0., 0.), "head", .0, "hair"),
    *_sides(
        ("*_ear", "*_ear_top", "*_lobe", (.014, .010), ("skin", "skin"), "never", (0., 0.), "chest", .012),
        ("*_eye", "*_eye", "*_eye", (.0105, .0105), ("white", "white"), "never", (0., 0.), "chest", -.005),
        ("*_pupil", "*_pupil", "*_pupil", (.008, .008), ("pupil", "pupil"), "never", (0., 0.), "chest", -.004),
    ),
    ("mouth", "left_lip", "right_lip", (.006, .006), ("mouth", "mouth"), "never", (0., 0.), "chest", .0),
    ("nose", "bridge", "nose", (.006, .0125), ("nose", "nose"), "never", (0., 0.), "chest", .0),
))  # fmt: skip
_SEAT = _Part("seat", "seat", "floor", (0.07, 0.07), ("seat", "seat"), "never", (0.06, 0.06), "pelvis", -0.2, "seat")
_P = {part.name: n for n, part in enumerate(_PARTS)}


_LENGTHS = {"trunk": (.95, 1.05), "arm": (.94, 1.06), "leg": (.93, 1.06), "head": (.95, 1.18),
            "girth": (.88, 1.2)}  # fmt: skip


def _joints(frame: dict[str, Tensor], length: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every named point of the body, ``(B, P, 3)``, the root between the hips at 0."""
    point = {"root": torch.zeros_like(frame["pelvis"][..., 0])}
    for name, origin, piece, offset, scale in _POINTS:
        reach = frame[piece] @ frame[piece].new_tensor(offset)
        point[name] = point[origin] + length[scale][..., None] * reach
    return point


# ---------------------------------------------------------------------------------------------------------------------
# Looks

_SKIN = ((.98, .84, .74), (.94, .76, .63), (.87, .66, .51), (.75, .54, .39), (.58, .40, .28),
         (.40, .26, .18))  # fmt: skip
_HAIR = ((.08, .06, .05), (.22, .14, .09), (.42, .26, .14), (.55, .24, .12), (.82, .66, .38),
         (.66, .64, .62))  # fmt: skip


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """``(..., 3)`` from hue, saturation and value in 0 to 1."""
    away = (hue[..., None] * 6 + hue.new_tensor([0.0, 4.0, 2.0])) % 6 - 3
    pure = (away.abs() - 1).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * (1 - pure))


def _cloth(draws: _Draws) -> Tensor:
    return _rgb(draws(), draws() ** 1.3 * 0.85, draws(0.15, 0.95))


def _looks(draws: _Draws, sits: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Colors ``(B, P, 3)``, seams ``(B, P)`` and which parts are shown ``(B, P)``."""
    tone = draws(0, len(_SKIN) - 1.001)
    low = tone.long()
    skins = torch.tensor(_SKIN)
    skin = torch.lerp(skins[low], skins[low + 1], (tone - low)[..., None]) * draws(0.93, 1.04)[..., None]
    hair = torch.tensor(_HAIR)[(draws() * len(_HAIR)).long().clamp(max=len(_HAIR) - 1)] * draws(0.8, 1.15)[..., None]
    color = {"skin": skin, "hair": hair, "shirt": _cloth(draws), "trousers": _cloth(draws),
             "shoes": _cloth(draws) * 0.7, "white": torch.full_like(skin, 0.9),
             "pupil": torch.full_like(skin, 0.07) + 0.25 * hair,
             "mouth": skin * skin.new_tensor([0.78, 0.48, 0.48]), "nose": skin * 0.93,
             "seat": _cloth(draws) * 0.8}  # fmt: skip
    style, crop, sleeve = draws(), draws(), draws()
    skirt = (draws() < 0.18) & ~sits
    long = torch.where(crop < 0.7, 9.0, draws(0.55, 1.3))  # seams count from the hip or shoulder: beyond 2 is all
    sleeve = torch.where(sleeve < 0.45, 9.0, torch.where(sleeve < 0.9, draws(0.35, 0.9), -9.0))
    always = torch.ones_like(sits)
    seam = {
        "never": torch.full_like(long, 9.0),
        "thigh": torch.where(skirt, 0.6, long),
        "shin": torch.where(skirt, -9.0, long - 1),
        "upper_arm": sleeve,
        "forearm": sleeve - 1,
    }
    shown = {"always": always, "skirt": skirt, "hair": style > 0.1, "long_hair": style > 0.62, "seat": sits}
    return color, seam, shown


def _person_slabs(frame, point, length, draws: _Draws, sits: Tensor) -> dict[str, Tensor]:
    """Slabs of each person in body heights about its root: ``(B, P, n, ...)``, ends still 3-D."""
    color, seam, shown = _looks(draws, sits)
    parts = (*_PARTS, _SEAT)
    scale = {row[0]: row[4] for row in _POINTS}
    wide = torch.stack([length["head"] if scale[p.start] == "head" else length["girth"] for p in parts], -1)[..., None]
    fitted = draws(0.0, 1.0)
    stripes = torch.stack((torch.where(fitted < 0.3, draws(0.25, 0.6), 0.0), draws(2.0, 6.0)), -1)
    striped = torch.tensor([[p.name == "torso"] for p in parts])

    def each(values):
        return torch.stack([values(p) for p in parts], 2)

    return {
        "start": each(lambda p: point[p.start]), "end": each(lambda p: point[p.end]),
        "across": each(lambda p: frame[p.across][..., 0]),
        "radius": wide * torch.tensor([p.radius for p in parts]), "half": wide * torch.tensor([p.half for p in parts]),
        "color": each(lambda p: torch.stack([color[c] for c in p.colors], -2)),
        "seam": each(lambda p: seam[p.seam]), "opacity": each(lambda p: shown[p.shown].float()),
        "stripes": stripes[..., None, :] * striped,
        "depth": each(lambda p: (point[p.start] + point[p.end])[..., 2] / 2 - p.nearer),
        "part": torch.arange(len(parts)).expand(*sits.shape, -1),
    }  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# The scene

_PERSON, _IMAGE, _CLUTTER = 80, 128, 3
BACKGROUNDS = ("mixed", "plain", "waves", "stripes", "clutter")


def sample_scene(
    count: int, hw: tuple[int, int] = (64, 64), *, persons: int | tuple[int, int] = 1, seed: int = 0,
    device: str | torch.device = "cpu", size: tuple[float, float] = (0.7, 0.95), poses: tuple[str, ...] | None = None,
    yaw: tuple[float, float] = (-45.0, 45.0), pitch: tuple[float, float] = (-5.0, 20.0), tilt: float = 6.0,
    truncate: float = 0.05, occluder: float = 0.2, background: str = "mixed",
    brightness: tuple[float, float] = (0.8, 1.1),
) -> Scene:  # fmt: skip
    """Draw people and their surroundings, without painting them yet.

    Args:
        count: number of images B.
        hw: (height, width) of an image in pixels.
        persons: people an image, or (least, most): P is the most, and absent ones come last.
        seed: whole number; all but ``persons`` have random numbers of their own: changing one changes nothing else.
        device: where the tensors go; the scene is the same on all.
        size: (least, most) share of the image's height or width, whichever the person fills more.
        poses: names from ``POSES`` to choose among evenly; None for all.
        yaw: (least, most) in degrees: 0 faces the viewer, 90 looks to the right of the image, 180 away. All round,
            ``(-180, 180)``, is much harder to learn: from behind, left and right change places.
        pitch: (least, most) in degrees by which the camera looks down.
        tilt: most degrees by which the camera leans to either side.
        truncate: probability of a person who may reach over the image's edge; others are made to fit.
        occluder: probability of something in front.
        background: one of ``BACKGROUNDS``; "mixed" draws among the others.
        brightness: (least, most) factor of all light.

    Raises:
        ValueError: an unknown pose or background, a number or a range that makes no sense.
    """
    bounds = persons if isinstance(persons, (tuple, list)) else (persons, persons)
    _check(count=count, hw=hw, persons=bounds, seed=seed, size=size, poses=poses, yaw=yaw, pitch=pitch,
           tilt=tilt, truncate=truncate, occluder=occluder, background=background, brightness=brightness)  # fmt: skip
    least, most = bounds
    uniform = torch.rand(count, _IMAGE + most * _PERSON, generator=torch.Generator().manual_seed(seed))
    around, each = _Draws(uniform[:, :_IMAGE]), _Draws(uniform[:, _IMAGE:].reshape(count, most, _PERSON))
    present = torch.arange(most) < (least + (around() * (most - least + 1)).floor())[:, None]
    camera = _turn(("z", torch.deg2rad(around(-tilt, tilt))), ("x", torch.deg2rad(around(*pitch))))[:, None]
    slabs, xy, xy_depth = _people(
        each, camera, hw, size, tuple(POSES if poses is None else poses), yaw, truncate, present
    )
    base, wave, swing, strewn = _background(around, background, hw)
    slabs = _sorted([slabs, _clutter(around, hw, strewn), _occluder(around, hw, occluder, xy)], most)
    light = _light(around, brightness)
    scene = Scene(**slabs, xy=torch.where(present[..., None, None], xy, 0.0), xy_depth=xy_depth, present=present,
                  base=1.25 * base * light[:, 2:], wave=wave, swing=swing, light=light)  # fmt: skip
    return Scene(**{f.name: getattr(scene, f.name).to(device) for f in fields(scene)})


def _check(
    *, count, hw, persons, seed, size, poses, yaw, pitch, tilt, truncate, occluder, background, brightness
) -> None:
    if type(count) is not int or count < 0:
        _args.fail("count", "a whole number >= 0", count)
    _args.size("hw", hw)
    if [type(n) for n in persons] != [int, int] or not 1 <= persons[0] <= persons[1]:
        _args.fail("persons", "a whole number >= 1, or (least, most) of them", persons)
    if type(seed) is not int:
        _args.fail("seed", "a whole number", seed)
    for name, bounds in {"size": size, "yaw": yaw, "pitch": pitch, "brightness": brightness}.items():
        pair = isinstance(bounds, (tuple, list)) and len(bounds) == 2 and all(map(_args.is_number, bounds))
        if not pair or bounds[0] > bounds[1]:
            _args.fail(name, "(least, most), two finite numbers", bounds)
    _args.positive("size", size[0])
    _args.at_least("brightness", brightness[0], 0)
    _args.at_least("tilt", tilt, 0)
    _args.within("truncate", truncate, (0, 1))
    _args.within("occluder", occluder, (0, 1))
    _args.one_of("background", background, BACKGROUNDS)
    if poses is not None and (isinstance(poses, str) or len(poses) == 0):
        _args.fail("poses", "a tuple of one or more names", repr(poses))
    for pose in poses or ():
        _args.one_of("poses", pose, tuple(POSES))


def _people(
    draws: _Draws, camera: Tensor, hw, size, poses, yaw, truncate, present
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The people's slabs ``(B, P*n, ...)``, and their keypoints ``(B, P, K, 2)`` in px with depths ``(B, P, K)``."""
    root = camera @ _turn(("y", -torch.deg2rad(draws(*yaw))))
    length = {name: draws(*bounds) for name, bounds in _LENGTHS.items()}
    share = draws(*size)
    angle, sits = _joint_angles(draws, poses)
    frame = _frames(angle, root)
    point = _joints(frame, length)
    slabs = _person_slabs(frame, point, length, draws, sits)
    body = torch.stack([point[name] for name in COCO_17.names], 2)  # (B, P, K, 3)
    zoom, place, bottom = _placed(slabs, share, draws, hw, truncate)
    return _projected(slabs, zoom, place, bottom, present), zoom * body[..., :2] + place, body[..., 2]


def _sorted(layers: list[dict[str, Tensor]], persons: int) -> dict[str, Tensor]:
    """All slabs of an image, the farthest first; those of nobody get the owner P."""
    slabs = {name: torch.cat([layer[name] for layer in layers], 1) for name in layers[0]}
    slabs["owner"] = slabs["owner"].clamp(max=persons)
    order = slabs.pop("order").argsort(dim=1, descending=True, stable=True)
    return {name: value.gather(1, order.view(*order.shape, *[1] * (value.ndim - 2)).expand_as(value))
            for name, value in slabs.items()}  # fmt: skip


def _placed(
    slabs: dict[str, Tensor], share: Tensor, draws: _Draws, hw, truncate: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels a body height ``(B, P, 1, 1)``, where the root goes ``(B, P, 1, 2)``, and its lowest point in px."""
    reach = (
        slabs["radius"].amax(-1, keepdim=True) + slabs["half"].amax(-1, keepdim=True) * slabs["across"][..., :2].abs()
    )
    both = torch.stack((slabs["start"][..., :2], slabs["end"][..., :2]))
    shown = ((slabs["opacity"] > 0) & (slabs["part"] < len(_PARTS)))[..., None]
    low = torch.where(shown, both - reach, math.inf).amin((0, 3))  # (B, P, 2)
    high = torch.where(shown, both + reach, -math.inf).amax((0, 3))
    frame = share.new_tensor([hw[1], hw[0]])
    cut = draws() < truncate
    zoom = (share * torch.where(cut, draws(1.0, 1.6), 1.0) * (frame / (high - low)).amin(-1))[..., None]
    slot = draws().argsort(-1)
    spot = torch.stack(((slot + draws()) / slot.shape[-1], draws()), -1)
    first, last = -0.5 - zoom * low, frame - 0.5 - zoom * high  # where the root keeps the person inside
    loose = (0.1 + 0.8 * spot) * frame - zoom * (low + high) / 2  # the middle of the person anywhere in the image
    place = torch.where(cut[..., None], loose, first + spot * (last - first))
    return zoom[..., None], place[:, :, None], (place + zoom * high)[..., 1]


def _projected(
    slabs: dict[str, Tensor], zoom: Tensor, place: Tensor, bottom: Tensor, present: Tensor
) -> dict[str, Tensor]:
    """The people's slabs in px, ``(B, P*n, ...)``; who stands lower in the image is nearer."""
    across = slabs["across"][..., :2]
    foreshortened = across.norm(dim=-1, keepdim=True)
    rank = bottom.argsort(-1).argsort(-1)[..., None]
    many = slabs["depth"].shape
    owner = torch.arange(many[1])[:, None].expand(many)
    flat = dict(
        slabs, start=zoom * slabs["start"][..., :2] + place, end=zoom * slabs["end"][..., :2] + place,
        radius=zoom * slabs["radius"], half=zoom * slabs["half"] * foreshortened,
        across=across / foreshortened.clamp(min=1e-6), opacity=slabs["opacity"] * present[..., None],
        order=slabs["depth"] - 4.0 * rank, owner=torch.where(slabs["part"] < len(_PARTS), owner, many[1]),
    )  # fmt: skip
    return {name: value.flatten(1, 2) for name, value in flat.items()}


def _things(
    draws: _Draws, hw, n: int, *, part: int, order: float, middle: Tensor, length, radius, half
) -> dict[str, Tensor]:
    """n slabs of any color about ``middle (B, n, 2)``; lengths as shares of the image's height."""
    angle = draws(0, math.pi, n)
    along = torch.stack((angle.cos(), angle.sin()), -1)
    reach = along * draws(*length, n)[..., None] * hw[0] / 2
    same = torch.ones_like(angle)
    color = _rgb(draws(n=n), draws(0, 0.65, n), draws(0.15, 0.95, n))[..., None, :].expand(-1, -1, 2, -1)
    return {
        "start": middle - reach, "end": middle + reach, "across": along.flip(-1) * along.new_tensor([-1.0, 1.0]),
        "radius": (draws(*radius, n) * hw[0])[..., None].expand(-1, -1, 2),
        "half": (draws(*half, n) * hw[0])[..., None].expand(-1, -1, 2), "color": color, "seam": 9 * same,
        "stripes": torch.stack((draws(-0.6, 0.5, n).clamp(min=0), draws(1, 6, n)), -1), "opacity": same,
        "depth": order * same, "order": order * same, "part": (part * same).long(), "owner": (1000 * same).long(),
    }  # fmt: skip


def _clutter(draws: _Draws, hw, strewn: Tensor) -> dict[str, Tensor]:
    """A floor and a few things behind everybody, where ``strewn (B)``."""
    middle = draws(n=2 * _CLUTTER).unflatten(-1, (_CLUTTER, 2)) * draws.uniform.new_tensor([hw[1], hw[0]])
    behind = _things(draws, hw, _CLUTTER, part=len(_PARTS) + 1, order=100.0, middle=middle, length=(0.05, 0.6),
                     radius=(0.02, 0.07), half=(0.0, 0.18))  # fmt: skip
    behind["opacity"] = behind["opacity"] * strewn[:, None]
    horizon = draws(0.45, 0.95)
    floor = _things(draws, hw, 1, part=len(_PARTS) + 1, order=200.0, middle=torch.zeros(len(strewn), 1, 2),
                    length=(0, 0), radius=(2, 2), half=(0, 0))  # fmt: skip
    y = (horizon + 2) * hw[0]
    floor["start"] = torch.stack((torch.full_like(y, -2.0 * hw[1]), y), -1)[:, None]
    floor["end"] = torch.stack((torch.full_like(y, 3.0 * hw[1]), y), -1)[:, None]
    floor["opacity"] = floor["opacity"] * (strewn & (draws() < 0.7))[:, None]
    floor["stripes"] = torch.zeros_like(floor["stripes"])
    return {name: torch.cat((behind[name], floor[name]), 1) for name in behind}


def _occluder(draws: _Draws, hw, probability: float, xy: Tensor) -> dict[str, Tensor]:
    """One thing in front of everybody, on a random keypoint of the first person."""
    k = (draws() * xy.shape[2]).long().clamp(max=xy.shape[2] - 1)
    middle = xy[torch.arange(len(xy)), 0, k] + (draws(n=2) - 0.5) * 0.2 * hw[0]
    thing = _things(draws, hw, 1, part=len(_PARTS) + 2, order=-100.0, middle=middle[:, None], length=(0.1, 0.45),
                    radius=(0.02, 0.05), half=(0.0, 0.1))  # fmt: skip
    thing["opacity"] = thing["opacity"] * (draws(n=1) < probability)
    return thing


def _background(draws: _Draws, style: str, hw) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Base color ``(B, 3)``, waves ``(B, T, 3)``, their amplitudes ``(B, T, 3)``, and where clutter stands ``(B)``."""
    mixed = (draws() * 4).long().clamp(max=3) + 1
    kind = torch.full_like(mixed, BACKGROUNDS.index(style)) if style != "mixed" else mixed
    base = _rgb(draws(), draws() ** 1.5 * 0.5, draws(0.2, 0.95))
    direction = draws(0, 2 * math.pi, 6)
    period = torch.cat((draws(1.2, 3.0, 2), draws(0.25, 0.8, 3), draws(0.06, 0.25, 1)), -1) * hw[0]  # px
    k = torch.stack((direction.cos(), direction.sin()), -1) * (2 * math.pi / period)[..., None]
    wave = torch.cat((k, draws(0, 2 * math.pi, 6)[..., None]), -1)
    tint = 1 + draws(-0.5, 0.5, 18).unflatten(-1, (6, 3))
    strength = torch.stack([(kind > 1) * 0.07] * 2 + [(kind == 2) * 0.06] * 3 + [(kind == 3) * 0.13], -1)
    return base, wave, tint * strength[..., None] * draws(0.3, 1.5, 6)[..., None], kind == 4


def _light(draws: _Draws, brightness: tuple[float, float]) -> Tensor:
    """Towards the light, from above and the viewer's side, ``(B, 3)``; z towards the viewer."""
    toward = torch.stack((draws(-0.7, 0.7), draws(-0.9, -0.1), draws(0.5, 1.0)), -1)
    return toward / toward.norm(dim=-1, keepdim=True) * draws(*brightness)[:, None]


# ---------------------------------------------------------------------------------------------------------------------
# Painting, in tiles: each tile is painted with the slabs that reach it, all tiles' k-th slabs at once

_TILE = 8  # px
_G = 16  # numbers of a slab's geometry


def render(scene: Scene, hw: tuple[int, int] = (64, 64)) -> People:
    """Paint a scene: a slab covers as much of a pixel as the distance from the pixel's center to its edge says.

    Args:
        scene: from :func:`sample_scene`, moved or not.
        hw: (height, width) in pixels of what is painted, from the scene's origin.

    Returns:
        :class:`People`.

    Raises:
        ValueError: ``hw`` is not two whole numbers >= 1.
    """
    _args.size("hw", hw)
    at_once = max(1, _CHUNK // (hw[0] * hw[1]))
    chunks = [_paint(_slice(scene, at, at + at_once), hw) for at in range(0, max(1, len(scene.base)), at_once)]
    image, mask = torch.cat(chunks).split((3, scene.xy.shape[1]), 1)
    return People(image.clamp(0, 1), scene.xy, _visibility(scene, hw), mask.contiguous())


def _slice(scene: Scene, start: int, stop: int) -> Scene:
    return Scene(**{f.name: getattr(scene, f.name)[start:stop] for f in fields(scene)})


def _geometry(scene: Scene) -> Tensor:
    """What :func:`_distance` needs of each slab: ``(B, N, 16)``."""
    d, e = scene.end - scene.start, scene.across
    squared = d.square().sum(-1, keepdim=True) + 1e-9
    g = d / squared  # its dot product with a point: the share of the way
    skew = (g * e).sum(-1, keepdim=True)
    f = (e - d * skew) / (1 - skew * (d * e).sum(-1, keepdim=True)).clamp(min=0.1)  # and this: how far across
    (half, widest), (radius, last) = (v.split(1, -1) for v in (scene.half, scene.radius))
    slope = ((last - radius) / squared.sqrt()).clamp(-0.999, 0.999)
    lean = slope / (1 - slope.square()).sqrt() / squared
    return torch.cat((scene.start, d, g, e, f, skew, lean, half, widest - half, radius, last - radius), -1)


def _distance(geometry: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Signed distance to a slab's edge in px, negative inside, of points that broadcast with ``geometry[..., 0]``.

    Also the share t of its way from start to end, the radius there, and (x, y) from the nearest point of its middle.
    A slab that is not swept is the union of discs between its ends, which is how a rod of varying radius projects: the
    disc that reaches farthest lies from the foot of the perpendicular towards the thick end.
    """
    ax, ay, dx, dy, gx, gy, ex, ey, fx, fy, skew, lean, half, widen, radius, taper = geometry.unbind(-1)
    x, y = x - ax, y - ay
    t = torch.addcmul(x * gx, y, gy)
    half = torch.addcmul(half, t.clamp(0, 1), widen)
    s = torch.addcmul(x * fx, y, fy).minimum(half).maximum(-half)
    x, y = torch.addcmul(x, s, -ex), torch.addcmul(y, s, -ey)
    aside = torch.addcmul(x * dy, y, -dx).abs_()
    t = torch.addcmul(torch.addcmul(t, s, -skew), aside, lean).clamp_(0, 1)
    x, y = torch.addcmul(x, t, -dx), torch.addcmul(y, t, -dy)
    radius = torch.addcmul(radius, t, taper)
    return torch.addcmul(x * x, y, y).sqrt_() - radius, t, radius, x, y


def _tiles(scene: Scene, hw: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Corners ``(tiles, 2)`` of an image's tiles in px; rows (image, tile, slab) of what reaches which; how many."""
    steps = [torch.arange(0, n, _TILE, device=scene.base.device) for n in (hw[1], hw[0])]
    corner = torch.stack(torch.meshgrid(*steps, indexing="xy"), -1).flatten(0, 1)  # (tiles, 2)
    middle = (corner + (_TILE - 1) / 2)[:, None] - scene.start[:, None]  # (B, tiles, N, 2)
    d = scene.end - scene.start
    t = (middle * (d / (d.square().sum(-1, keepdim=True) + 1e-9))[:, None]).sum(-1, keepdim=True).clamp_(0, 1)
    away = (middle - t * d[:, None]).square().sum(-1)
    reach = scene.radius.amax(-1) + scene.half.amax(-1) + 0.5 + (_TILE - 1) / math.sqrt(2)
    hit = (away < reach.square()[:, None]) & (scene.opacity > 0)[:, None]
    return corner, hit.nonzero(), hit.sum(-1)


def _paint(scene: Scene, hw: tuple[int, int]) -> Tensor:
    """``(B, 3 + P, H, W)``: colors, and each person's share of every pixel."""
    corner, hits, many = _tiles(scene, hw)
    b, tiles = many.shape
    many = many.flatten()
    first = many.cumsum(0) - many
    order = many.argsort(descending=True, stable=True)  # those that the k-th step paints come first
    xy = corner.to(scene.start.dtype)[order % tiles]  # (B*tiles, 2)
    fine = torch.arange(_TILE**2, device=xy.device)
    x, y = xy[:, :1] + fine % _TILE, xy[:, 1:] + fine // _TILE  # (B*tiles, 64)
    canvas = _canvas(scene, x, y, order // tiles)
    rows = torch.cat((_geometry(scene), _finish(scene)), -1).flatten(0, 1)[
        hits[:, 0] * scene.seam.shape[1] + hits[:, 2]
    ]
    left = many.bincount().flip(0).cumsum(0).flip(0)[1:].tolist()  # tiles with k slabs or more, k = 1, 2, ...
    for k, n in enumerate(left):
        _paint_slab(canvas[:n], rows[first[order[:n]] + k], x[:n], y[:n])
    h, w = (-(-n // _TILE) for n in hw)
    whole = torch.empty_like(canvas).index_copy_(0, order, canvas).view(b, h, w, canvas.shape[1], _TILE, _TILE)
    return whole.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)[..., : hw[0], : hw[1]]


def _finish(scene: Scene) -> Tensor:
    """What :func:`_paint_slab` needs of each slab beyond its geometry: ``(B, N, 17 + P)``."""
    d = scene.end - scene.start
    length = d.norm(dim=-1, keepdim=True)
    along, thick = d / length.clamp(min=1e-6), scene.radius.amax(-1, keepdim=True)
    ball = thick / (thick + length)  # 1: shaded as a ball; 0: as a rod, whose ends do not show
    light = scene.light[:, None].expand(*length.shape[:2], 3)
    side = light[..., :2] - (1 - ball) * (light[..., :2] * along).sum(-1, keepdim=True) * along
    ambient = 0.62 * light.norm(dim=-1, keepdim=True)
    opacity = scene.opacity[..., None] * (2 * thick).clamp(max=1)  # thinner than a pixel: it fades
    people = torch.arange(scene.xy.shape[1], device=d.device)
    owner = (scene.owner[..., None] == people).to(d.dtype)
    color = torch.cat((scene.color[..., 1, :], scene.color[..., 0, :] - scene.color[..., 1, :]), -1)
    return torch.cat((opacity, along * (1 - ball.square()).sqrt(), 0.5 * side, 0.5 * light[..., 2:], ambient,
                      scene.stripes, length, scene.seam[..., None] * length + 0.5, color, owner), -1)  # fmt: skip


def _paint_slab(canvas: Tensor, rows: Tensor, x: Tensor, y: Tensor) -> None:
    """Paint a slab a tile over ``canvas (tiles, 3 + P, 64)``, in place; ``rows (tiles, ...)`` say which."""
    distance, t, radius, x, y = _distance(rows[:, None, :_G], x, y)
    opacity, px, py, lx, ly, lz, ambient, strength, number, length, seam = rows[:, _G : _G + 11, None].unbind(1)
    share = (0.5 - distance).clamp_(0, 1).mul_(opacity)
    inner = torch.addcmul(x * x, y, y) - torch.addcmul(x * px, y, py).square_()
    nz = (1 - inner / radius.square()).clamp_(min=0).sqrt_()
    shade = torch.addcmul(torch.addcmul(x * lx, y, ly).div_(radius).add_(ambient), nz, lz)
    shade *= 1 - strength * ((t * number).frac_() - 0.5).abs_() * 2
    before = (seam - t * length).clamp_(0, 1)
    second, change = rows[:, _G + 11 : _G + 14, None], rows[:, _G + 14 : _G + 17, None]
    color = torch.addcmul(second, before[:, None], change).mul_(shade[:, None])
    canvas[:, :3].lerp_(color, share[:, None])
    canvas[:, 3:].lerp_(rows[:, _G + 17 :, None].expand(-1, -1, x.shape[-1]), share[:, None])


def _canvas(scene: Scene, x: Tensor, y: Tensor, image: Tensor) -> Tensor:
    """The background of tiles ``(tiles, 3 + P, 64)``: waves are products of a function of x and one of y."""
    across = x[:, None, :_TILE] * scene.wave[image, :, 0, None] + scene.wave[image, :, 2, None]  # (tiles, T, 8)
    down = y[:, None, ::_TILE] * scene.wave[image, :, 1, None]
    swing = scene.swing[image].repeat(1, 2, 1)[..., None]  # (tiles, 2T, 3, 1)
    rows = (swing * torch.cat((down.cos(), -down.sin()), 1)[:, :, None]).flatten(2)  # (tiles, 2T, 3*8)
    waves = rows.transpose(1, 2) @ torch.cat((across.cos(), across.sin()), 1)  # (tiles, 3*8, 8)
    color = waves.view(len(image), 3, _TILE**2) + scene.base[image, :, None]
    return torch.cat((color, color.new_zeros(len(image), scene.xy.shape[1], _TILE**2)), 1)


def _own() -> Tensor:
    """(K, parts): how far a keypoint may lie behind the middle of a part that shows it; -inf where another hides it."""
    far = torch.full((len(_K), len(_PARTS) + 3), -math.inf)
    for side in ("left", "right"):
        for joint, parts in (("eye", ("eye", "pupil")), ("ear", ("ear",)), ("shoulder", ("upper_arm",)),
                             ("elbow", ("upper_arm", "forearm")), ("wrist", ("forearm", "hand")), ("hip", ("thigh",)),
                             ("knee", ("thigh", "shin")), ("ankle", ("shin", "foot"))):  # fmt: skip
            far[_K[f"{side}_{joint}"], [_P[f"{side}_{part}"] for part in parts]] = math.inf
        far[_K[f"{side}_shoulder"], _P["torso"]] = 0.08
        far[_K[f"{side}_hip"], [_P["pelvis"], _P["torso"], _P["skirt"]]] = 0.06
        far[_K[f"{side}_knee"], _P["skirt"]] = 0.06
    far[_K["nose"], _P["nose"]] = math.inf
    return far


def _visibility(scene: Scene, hw: tuple[int, int]) -> Tensor:
    """COCO's flags ``(B, P, K)``: the slab in front at a keypoint decides."""
    b, p, k = scene.xy.shape[:3]
    x, y = scene.xy.flatten(1, 2)[..., None, :].unbind(-1)  # (B, P*K, 1)
    covers = (_distance(_geometry(scene)[:, None], x, y)[0] < 0) & (scene.opacity > 0)[:, None]
    n = torch.arange(covers.shape[-1], device=covers.device)
    top = torch.where(covers, n, -1).amax(-1)  # (B, P*K)
    front = top.clamp(min=0)
    owner, part, depth = (v.gather(1, front).view(b, p, k) for v in (scene.owner, scene.part, scene.depth))
    far = _own().to(covers.device)[torch.arange(k, device=covers.device), part]
    mine = (owner == torch.arange(p, device=owner.device)[:, None]) & (top.view(b, p, k) >= 0)
    seen = mine & (scene.xy_depth - depth < far)
    size = scene.xy.new_tensor([hw[1], hw[0]])
    inside = ((scene.xy >= -0.5) & (scene.xy < size - 0.5)).all(-1) & scene.present[..., None]
    return torch.where(inside, 1 + seen.long(), 0)
