"""What is painted: people and their surroundings as slabs in pixels, sorted from back to front, not yet painted."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from posebook import _args
from posebook.people.body import CLOTHES, LENGTHS, PARTS, SKIN, frames, joints, person_slabs, rgb, turn
from posebook.people.poses import POSES, Draws, joint_angles
from posebook.skeleton import COCO_17
from posebook.warp import Affine


@dataclass(frozen=True)
class Scene:
    """What :func:`render` paints: N slabs per image in back-to-front order, a background of T waves, P people."""

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
    part: Tensor  # (B, N) int64: index into PARTS; beyond them seat, clutter, occluder
    xy: Tensor  # (B, P, K, 2) px
    xy_depth: Tensor  # (B, P, K) body heights
    present: Tensor  # (B, P) bool
    rank: Tensor  # (B, P) int64: 0 is nearest to the viewer, the absent come last
    base: Tensor  # (B, 3) background color
    wave: Tensor  # (B, T, 3): radians per px in x and y, phase
    swing: Tensor  # (B, T, 3) amplitude in red, green, blue
    light: Tensor  # (B, 3) towards the light, times its strength

    def moved(self, *, zoom: float = 1.0, degrees: float = 0.0, shift: tuple[float, float] = (0.0, 0.0)) -> "Scene":
        """The scene under x -> zoom R x + shift, R turning clockwise about the center of the top-left pixel."""
        _args.positive("zoom", zoom)
        with _args.exact(self.xy.device):
            return self._moved(zoom, degrees, shift)

    def warped(self, affine: Affine) -> "Scene":
        """The scene under a turn, zoom and shift of the image: painted again, nothing of it is interpolated.

        The background goes on beyond the image, so that a turned scene has no empty corners.

        Raises:
            ValueError: no Affine, or one that mirrors or does not keep shapes.
        """
        _args.instance("affine", affine, Affine)
        (a, b, x), (d, e, y) = affine.matrix
        if affine.determinant < 0 or max(abs(a - e), abs(b + d)) > 1e-9 * math.hypot(a, d):
            _args.fail("affine", "a turn, zoom and shift, ((a, b, c), (-b, a, f))", _args.shown(affine.matrix))
        return self.moved(zoom=math.hypot(a, d), degrees=math.degrees(math.atan2(d, a)), shift=(x, y))

    def _moved(self, zoom: float, degrees: float, shift: tuple[float, float]) -> "Scene":
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn, shift = _args.constant(((c, s), (-s, c)), self.xy), _args.constant(shift, self.xy)  # of row vectors
        k = self.wave[..., :2] @ turn / zoom
        wave = torch.cat((k, (self.wave[..., 2] - k @ shift)[..., None]), -1)
        light = torch.cat((self.light[:, :2] @ turn, self.light[:, 2:]), -1)
        xy = zoom * self.xy @ turn + shift
        return replace(self, start=zoom * self.start @ turn + shift, end=zoom * self.end @ turn + shift,
                       radius=zoom * self.radius, half=zoom * self.half, across=self.across @ turn, wave=wave,
                       light=light, xy=torch.where(self.present[..., None, None], xy, 0.0))  # fmt: skip

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "Scene":
        """The scene with each of its tensors changed alike."""
        return Scene(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


_CLUTTER = 3  # things behind everybody
_PERSON, _IMAGE = 80, 128  # random numbers of a person and of an image, some to spare
BACKDROP = (0.2, 0.95)  # brightness of a background
BACKGROUNDS = ("mixed", "plain", "waves", "stripes", "clutter")


def sample_scene(
    count: int, hw: tuple[int, int] = (64, 64), *, persons: int | tuple[int, int] = 1, seed: int = 0,
    device: str | torch.device = "cpu", size: tuple[float, float] = (0.7, 0.95), poses: tuple[str, ...] | None = None,
    yaw: tuple[float, float] = (-45.0, 45.0), pitch: tuple[float, float] = (-5.0, 20.0), tilt: float = 6.0,
    truncate: float = 0.05, occluder: float = 0.2, background: str = "mixed",
    brightness: tuple[float, float] = (0.8, 1.1), crowding: float = 0.0, twins: bool = False,
    skin: tuple[float, float] = SKIN, clothes: tuple[float, float] = CLOTHES,
    backdrop: tuple[float, float] = BACKDROP,
) -> Scene:  # fmt: skip
    """Draw people and their surroundings, without painting them yet.

    Args:
        count: number of images B.
        hw: (height, width) of an image in pixels.
        persons: people per image, or (least, most): P is the most, and absent ones come last.
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
        crowding: from 0, each person in a part of the image's width that is its own, to 1, all behind one another.
        twins: all people of an image are copies of its first one, in other places.
        skin: (least, most) tone of the skin, from 0, the lightest, to 1, the darkest.
        clothes: (least, most) brightness of shirt, trousers and shoes, from 0, black, to 1.
        backdrop: (least, most) brightness of the background's main color, from 0, black, to 1.

    Raises:
        ValueError: an unknown pose or background, a number or a range that makes no sense.
    """
    bounds = persons if isinstance(persons, (tuple, list)) else (persons, persons)
    _check(count=count, hw=hw, persons=bounds, seed=seed, size=size, poses=poses, yaw=yaw, pitch=pitch,
           tilt=tilt, truncate=truncate, occluder=occluder, background=background, brightness=brightness,
           crowding=crowding, twins=twins, skin=skin, clothes=clothes, backdrop=backdrop)  # fmt: skip
    with torch.device("cpu"), _args.exact(torch.device("cpu")):  # whatever the program's defaults are
        scene = _sample(count, hw, bounds, seed, size, tuple(POSES if poses is None else poses), yaw, pitch, tilt,
                        truncate, occluder, background, brightness, crowding, twins, skin, clothes,
                        backdrop)  # fmt: skip
    return scene.mapped(lambda tensor: tensor.to(device))


def _sample(
    count, hw, persons, seed, size, poses, yaw, pitch, tilt, truncate, occluder, background, brightness, crowding,
    twins, skin, clothes, backdrop,
) -> Scene:  # fmt: skip
    least, most = persons
    draw = torch.Generator().manual_seed(seed)
    uniform = torch.rand(count, _IMAGE + most * _PERSON, generator=draw, dtype=torch.float32)
    around, own = Draws(uniform[:, :_IMAGE]), uniform[:, _IMAGE:].reshape(count, most, _PERSON)
    each = Draws(own[:, :1].expand_as(own) if twins else own)
    crowd = uniform[:, _IMAGE - 1 : _IMAGE]  # where a crowd gathers, as a share of the width
    present = torch.arange(most) < (least + (around() * (most - least + 1)).floor())[:, None]
    camera = turn(("z", torch.deg2rad(around(-tilt, tilt))), ("x", torch.deg2rad(around(*pitch))))[:, None]
    view = turn(("y", -torch.deg2rad(each(*yaw))))
    slabs, body, share = _bodies(each, camera @ view, size, poses, skin, clothes)
    zoom, low, high, cut = _sized(slabs, share, each, hw, truncate)
    each.uniform = own  # twins differ in their places only
    place = _placed(zoom, low, high, cut, _spots(each, crowding, crowd), hw)
    rank = _rank(place + zoom * high, present)
    slabs = _projected(slabs, zoom[..., None], place[:, :, None], rank, present)
    xy = zoom[..., None] * body[..., :2] + place[:, :, None]
    return assembled(slabs, body[..., 2], xy, present, rank, around, hw, occluder, background, brightness, backdrop)


def assembled(
    slabs: dict[str, Tensor], xy_depth: Tensor, xy: Tensor, present: Tensor, rank: Tensor, around: Draws, hw,
    occluder: float, background: str, brightness: tuple[float, float],
    backdrop: tuple[float, float] = BACKDROP,
) -> Scene:  # fmt: skip
    """People's slabs in px ``(B, P*n, ...)`` and keypoints ``(B, P, K, ...)`` with what is drawn around them."""
    base, wave, swing, strewn = _background(around, background, hw, backdrop)
    slabs = _sorted([slabs, _clutter(around, hw, strewn), _occluder(around, hw, occluder, xy)], xy.shape[1])
    light = _light(around, brightness)
    return Scene(**slabs, xy=torch.where(present[..., None, None], xy, 0.0), xy_depth=xy_depth, present=present,
                 rank=rank, base=1.25 * base * light[:, 2:], wave=wave, swing=swing, light=light)  # fmt: skip


def _check(
    *, count, hw, persons, seed, size, poses, yaw, pitch, tilt, truncate, occluder, background, brightness, crowding,
    twins, skin, clothes, backdrop,
) -> None:  # fmt: skip
    _args.whole("count", count, 0)
    _args.size("hw", hw)
    if len(persons) != 2 or not all(map(_args.is_whole, persons)) or not 1 <= persons[0] <= persons[1]:
        _args.fail("persons", "a whole number >= 1, or (least, most) of them", persons)
    _args.whole("seed", seed)
    shades = {"skin": skin, "clothes": clothes, "backdrop": backdrop}
    for name, bounds in ({"size": size, "yaw": yaw, "pitch": pitch, "brightness": brightness} | shades).items():
        _args.bounds(name, bounds)
    for name, bounds in shades.items():
        for bound in bounds:
            _args.within(name, bound, (0, 1))
    _args.positive("size", size[0])
    _args.at_least("brightness", brightness[0], 0)
    _args.at_least("tilt", tilt, 0)
    _args.within("truncate", truncate, (0, 1))
    _args.within("occluder", occluder, (0, 1))
    _args.within("crowding", crowding, (0, 1))
    if not isinstance(twins, bool):
        _args.fail("twins", "True or False", _args.shown(twins))
    _args.one_of("background", background, BACKGROUNDS)
    if poses is not None and (isinstance(poses, str) or len(poses) == 0):
        _args.fail("poses", "a tuple of one or more names", repr(poses))
    for pose in poses or ():
        _args.one_of("poses", pose, tuple(POSES))


def _bodies(draws: Draws, root: Tensor, size, poses, skin, clothes) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """The people's slabs ``(B, P, n, ...)`` and keypoints ``(B, P, K, 3)`` in body heights, and how much of the image
    each is to fill ``(B, P)``.
    """
    length = {name: draws(*bounds) for name, bounds in LENGTHS.items()}
    share = draws(*size)
    angle, sits = joint_angles(draws, poses)
    frame = frames(angle, root)
    point = joints(frame, length)
    slabs = person_slabs(frame, point, length, draws, sits, skin, clothes)
    return slabs, torch.stack([point[name] for name in COCO_17.names], 2), share


def _sorted(layers: list[dict[str, Tensor]], persons: int) -> dict[str, Tensor]:
    """All slabs of an image, the farthest first; those of nobody get the owner P."""
    slabs = {name: torch.cat([layer[name] for layer in layers], 1) for name in layers[0]}
    slabs["owner"] = slabs["owner"].clamp(max=persons)
    order = slabs.pop("order").argsort(dim=1, descending=True, stable=True)
    return {name: value.gather(1, order.view(*order.shape, *[1] * (value.ndim - 2)).expand_as(value))
            for name, value in slabs.items()}  # fmt: skip


def _sized(
    slabs: dict[str, Tensor], share: Tensor, draws: Draws, hw, truncate: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels per body height ``(B, P, 1)``; the person's box about the root, ``low`` and ``high (B, P, 2)`` in body
    heights; and who may reach over the image's edge ``(B, P)``.
    """
    reach = (
        slabs["radius"].amax(-1, keepdim=True) + slabs["half"].amax(-1, keepdim=True) * slabs["across"][..., :2].abs()
    )
    both = torch.stack((slabs["start"][..., :2], slabs["end"][..., :2]))
    shown = ((slabs["opacity"] > 0) & (slabs["part"] < len(PARTS)))[..., None]
    low = torch.where(shown, both - reach, math.inf).amin((0, 3))  # (B, P, 2)
    high = torch.where(shown, both + reach, -math.inf).amax((0, 3))
    frame = share.new_tensor([hw[1], hw[0]])
    cut = draws() < truncate
    zoom = (share * torch.where(cut, draws(1.0, 1.6), 1.0) * (frame / (high - low)).amin(-1))[..., None]
    return zoom, low, high, cut


def _spots(draws: Draws, crowding: float, crowd: Tensor) -> Tensor:
    """Where the people stand, ``(B, P, 2)``: shares of the room that each has in the image."""
    slot = draws().argsort(-1)
    x, y = (slot + draws()) / slot.shape[-1], draws()
    return torch.stack((x.lerp(crowd.expand_as(x), crowding), y), -1)


def _placed(zoom: Tensor, low: Tensor, high: Tensor, cut: Tensor, spot: Tensor, hw) -> Tensor:
    """Where the root goes, ``(B, P, 2)`` px."""
    frame = spot.new_tensor([hw[1], hw[0]])
    first, last = -0.5 - zoom * low, frame - 0.5 - zoom * high  # where the root keeps the person inside
    loose = (0.1 + 0.8 * spot) * frame - zoom * (low + high) / 2  # the middle of the person anywhere in the image
    return torch.where(cut[..., None], loose, first + spot * (last - first))


def _rank(bottom: Tensor, present: Tensor) -> Tensor:
    """``(B, P)``: who stands lower in the image is nearer; 0 is the nearest."""
    return torch.where(present, -bottom[..., 1], math.inf).argsort(-1).argsort(-1)


def _projected(
    slabs: dict[str, Tensor], zoom: Tensor, place: Tensor, rank: Tensor, present: Tensor
) -> dict[str, Tensor]:
    """The people's slabs in px, ``(B, P*n, ...)``, the nearest person's in front."""
    start, end = (zoom * slabs[name][..., :2] + place for name in ("start", "end"))
    order = slabs["depth"] + 4.0 * rank[..., None]
    return in_pixels(slabs, start, end, slabs["across"][..., :2], zoom, order, present)


def in_pixels(
    slabs: dict[str, Tensor], start: Tensor, end: Tensor, across: Tensor, zoom: Tensor, order: Tensor, present: Tensor
) -> dict[str, Tensor]:
    """People's slabs ``(B, P, n, ...)`` between ``start`` and ``end`` in px, as ``(B, P*n, ...)``.

    ``across (B, P, n, 2)``: what a sweep by 1 looks like, without the ``zoom``, which broadcasts with the two ends.
    """
    foreshortened = across.norm(dim=-1, keepdim=True)
    many = slabs["depth"].shape
    owner = torch.arange(many[1])[:, None].expand(many)
    flat = dict(
        slabs, start=start, end=end, radius=zoom * slabs["radius"], half=zoom * slabs["half"] * foreshortened,
        across=across / foreshortened.clamp(min=1e-6), opacity=slabs["opacity"] * present[..., None],
        order=order, owner=torch.where(slabs["part"] < len(PARTS), owner, many[1]),
    )  # fmt: skip
    return {name: value.flatten(1, 2) for name, value in flat.items()}


def _things(
    draws: Draws, hw, n: int, *, part: int, order: float, middle: Tensor, length, radius, half
) -> dict[str, Tensor]:
    """n slabs of any color about ``middle (B, n, 2)``; lengths as shares of the image's height."""
    angle = draws(0, math.pi, n)
    along = torch.stack((angle.cos(), angle.sin()), -1)
    reach = along * draws(*length, n)[..., None] * hw[0] / 2
    same = torch.ones_like(angle)
    color = rgb(draws(n=n), draws(0, 0.65, n), draws(0.15, 0.95, n))[..., None, :].expand(-1, -1, 2, -1)
    return {
        "start": middle - reach, "end": middle + reach, "across": along.flip(-1) * along.new_tensor([-1.0, 1.0]),
        "radius": (draws(*radius, n) * hw[0])[..., None].expand(-1, -1, 2),
        "half": (draws(*half, n) * hw[0])[..., None].expand(-1, -1, 2), "color": color, "seam": 9 * same,
        "stripes": torch.stack((draws(-0.6, 0.5, n).clamp(min=0), draws(1, 6, n)), -1), "opacity": same,
        "depth": order * same, "order": order * same, "part": (part * same).long(), "owner": (1000 * same).long(),
    }  # fmt: skip


def _clutter(draws: Draws, hw, strewn: Tensor) -> dict[str, Tensor]:
    """A floor and a few things behind everybody, where ``strewn (B)``."""
    middle = draws(n=2 * _CLUTTER).unflatten(-1, (_CLUTTER, 2)) * draws.uniform.new_tensor([hw[1], hw[0]])
    behind = _things(draws, hw, _CLUTTER, part=len(PARTS) + 1, order=100.0, middle=middle, length=(0.05, 0.6),
                     radius=(0.02, 0.07), half=(0.0, 0.18))  # fmt: skip
    behind["opacity"] = behind["opacity"] * strewn[:, None]
    horizon = draws(0.45, 0.95)
    floor = _things(draws, hw, 1, part=len(PARTS) + 1, order=200.0, middle=draws.uniform.new_zeros(len(strewn), 1, 2),
                    length=(0, 0), radius=(2, 2), half=(0, 0))  # fmt: skip
    y = (horizon + 2) * hw[0]
    floor["start"] = torch.stack((torch.full_like(y, -2.0 * hw[1]), y), -1)[:, None]
    floor["end"] = torch.stack((torch.full_like(y, 3.0 * hw[1]), y), -1)[:, None]
    floor["opacity"] = floor["opacity"] * (strewn & (draws() < 0.7))[:, None]
    floor["stripes"] = torch.zeros_like(floor["stripes"])
    return {name: torch.cat((behind[name], floor[name]), 1) for name in behind}


def _occluder(draws: Draws, hw, probability: float, xy: Tensor) -> dict[str, Tensor]:
    """One thing in front of everybody, on a random keypoint of the first person."""
    k = (draws() * xy.shape[2]).long().clamp(max=xy.shape[2] - 1)
    middle = xy[torch.arange(len(xy)), 0, k] + (draws(n=2) - 0.5) * 0.2 * hw[0]
    thing = _things(draws, hw, 1, part=len(PARTS) + 2, order=-100.0, middle=middle[:, None], length=(0.1, 0.45),
                    radius=(0.02, 0.05), half=(0.0, 0.1))  # fmt: skip
    thing["opacity"] = thing["opacity"] * (draws(n=1) < probability)
    return thing


def _background(draws: Draws, style: str, hw, backdrop) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Base color ``(B, 3)``, waves ``(B, T, 3)``, their amplitudes ``(B, T, 3)``, and where clutter stands ``(B)``."""
    mixed = (draws() * 4).long().clamp(max=3) + 1
    kind = torch.full_like(mixed, BACKGROUNDS.index(style)) if style != "mixed" else mixed
    base = rgb(draws(), draws() ** 1.5 * 0.5, draws(*backdrop))
    direction = draws(0, 2 * math.pi, 6)
    period = torch.cat((draws(1.2, 3.0, 2), draws(0.25, 0.8, 3), draws(0.06, 0.25, 1)), -1) * hw[0]  # px
    k = torch.stack((direction.cos(), direction.sin()), -1) * (2 * math.pi / period)[..., None]
    wave = torch.cat((k, draws(0, 2 * math.pi, 6)[..., None]), -1)
    tint = 1 + draws(-0.5, 0.5, 18).unflatten(-1, (6, 3))
    shown = torch.stack([kind > 1] * 2 + [kind == 2] * 3 + [kind == 3], -1)
    strength = shown * base.new_tensor([0.07, 0.07, 0.06, 0.06, 0.06, 0.13])
    return base, wave, tint * strength[..., None] * draws(0.3, 1.5, 6)[..., None], kind == 4


def _light(draws: Draws, brightness: tuple[float, float]) -> Tensor:
    """Towards the light, from above and the viewer's side, ``(B, 3)``; z towards the viewer."""
    toward = torch.stack((draws(-0.7, 0.7), draws(-0.9, -0.1), draws(0.5, 1.0)), -1)
    return toward / toward.norm(dim=-1, keepdim=True) * draws(*brightness)[:, None]
