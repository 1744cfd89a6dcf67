"""A body of human proportions: its points, the parts that stand between them, and how a person looks.

x to the person's left, y down, z backwards, in units of the body's height.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from posebook.people.poses import Draws

_AXES = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}


def turn(*steps: tuple[str, Tensor]) -> Tensor:
    """Product of right-handed rotations about axes, ``(B, P, 3, 3)``."""
    total = None
    for axis, angle in steps:
        i, j = _AXES[axis]
        one = torch.eye(3, dtype=angle.dtype, device=angle.device).repeat(*angle.shape, 1, 1)
        one[..., i, i] = one[..., j, j] = angle.cos()
        one[..., j, i], one[..., i, j] = angle.sin(), -angle.sin()
        total = one if total is None else total @ one
    return total


def frames(angle: dict[str, Tensor], root: Tensor) -> dict[str, Tensor]:
    """Rotation of each rigid piece of the body, ``(B, P, 3, 3)``."""
    frame = {"pelvis": root}
    frame["loin"] = root @ turn(("x", angle["lean"] / 2), ("z", angle["side"] / 2), ("y", angle["twist"] / 2))
    frame["chest"] = root @ turn(("x", angle["lean"]), ("z", angle["side"]), ("y", angle["twist"]))
    frame["neck"] = frame["chest"] @ turn(("x", angle["nod"] / 2), ("z", angle["tilt"] / 2))
    frame["head"] = frame["chest"] @ turn(("x", angle["nod"]), ("z", angle["tilt"]), ("y", -angle["turn"]))
    for side, sign in (("left", 1), ("right", -1)):
        for limb, parent, bend in (("arm", "chest", -1), ("leg", "pelvis", 1)):
            forward, outward, inward, bent = (
                angle[f"{side}_{limb}_{a}"] for a in ("forward", "outward", "inward", "bent")
            )
            upper = frame[parent] @ turn(("z", -sign * outward), ("x", -forward), ("y", sign * inward))
            frame[f"{side}_upper_{limb}"], frame[f"{side}_lower_{limb}"] = upper, upper @ turn(("x", bend * bent))
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


class Part(NamedTuple):
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


PARTS = tuple(Part(*row) for row in (
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
_SEAT = Part("seat", "seat", "floor", (0.07, 0.07), ("seat", "seat"), "never", (0.06, 0.06), "pelvis", -0.2, "seat")
PART_INDEX = {part.name: n for n, part in enumerate(PARTS)}


LENGTHS = {"trunk": (.95, 1.05), "arm": (.94, 1.06), "leg": (.93, 1.06), "head": (.95, 1.18),
            "girth": (.88, 1.2)}  # fmt: skip


def joints(frame: dict[str, Tensor], length: dict[str, Tensor]) -> dict[str, Tensor]:
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


def rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """``(..., 3)`` from hue, saturation and value in 0 to 1."""
    away = (hue[..., None] * 6 + hue.new_tensor([0.0, 4.0, 2.0])) % 6 - 3
    pure = (away.abs() - 1).clamp(0, 1)
    return value[..., None] * (1 - saturation[..., None] * (1 - pure))


SKIN, CLOTHES = (0.0, 1.0), (0.15, 0.95)  # from light to dark; brightness


def _cloth(draws: Draws, value: tuple[float, float] = CLOTHES) -> Tensor:
    return rgb(draws(), draws() ** 1.3 * 0.85, draws(*value))


def _looks(
    draws: Draws, sits: Tensor, tones, clothes
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:  # fmt: skip
    """Colors ``(B, P, 3)``, seams ``(B, P)`` and which parts are shown ``(B, P)``."""
    darkest = len(_SKIN) - 1.001
    tone = draws(darkest * tones[0], darkest * tones[1])
    low = tone.long()
    skins = tone.new_tensor(_SKIN)
    skin = torch.lerp(skins[low], skins[low + 1], (tone - low)[..., None]) * draws(0.93, 1.04)[..., None]
    hair = tone.new_tensor(_HAIR)[(draws() * len(_HAIR)).long().clamp(max=len(_HAIR) - 1)] * draws(0.8, 1.15)[..., None]
    color = {"skin": skin, "hair": hair, "shirt": _cloth(draws, clothes), "trousers": _cloth(draws, clothes),
             "shoes": _cloth(draws, clothes) * 0.7, "white": torch.full_like(skin, 0.9),
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


def person_slabs(
    frame, point, length, draws: Draws, sits: Tensor, tones=SKIN, clothes=CLOTHES
) -> dict[str, Tensor]:
    """Slabs of each person in body heights about its root: ``(B, P, n, ...)``, ends still 3-D."""
    color, seam, shown = _looks(draws, sits, tones, clothes)
    parts = (*PARTS, _SEAT)
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
        "radius": wide * wide.new_tensor([p.radius for p in parts]),
        "half": wide * wide.new_tensor([p.half for p in parts]),
        "color": each(lambda p: torch.stack([color[c] for c in p.colors], -2)),
        "seam": each(lambda p: seam[p.seam]), "opacity": each(lambda p: shown[p.shown].float()),
        "stripes": stripes[..., None, :] * striped,
        "depth": each(lambda p: (point[p.start] + point[p.end])[..., 2] / 2 - p.nearer),
        "part": torch.arange(len(parts)).expand(*sits.shape, -1),
    }  # fmt: skip
