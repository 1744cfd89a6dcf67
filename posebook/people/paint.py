"""Slabs onto pixels, in tiles: each tile is painted with the slabs that reach it, all tiles' k-th slabs at once."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from posebook import _args
from posebook.people.body import PART_INDEX, PARTS
from posebook.people.scene import Scene
from posebook.skeleton import COCO_17

_CHUNK = {"cpu": 128 * 64**2}  # pixels painted at once: so few stay in its cache ...
CHUNK_ON_CARD = 4096 * 64**2  # ... where what counts is how many calls there are; some 1.5 GB
_TILE = 8  # px
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
    rank: Tensor
    """``(B, P)`` int64: how many people are nearer to the viewer; the absent come last."""

    @property
    def area(self) -> Tensor:
        """``(B, P)``: each person's visible silhouette, px^2."""
        return self.mask.sum((-2, -1))

    @property
    def box(self) -> Tensor:
        """``(B, P, 4)``: (x, y, w, h) of what is visible, left and top edge and size in px; pixel centers are whole
        numbers, as in :func:`posebook.warp.crop_grid`. 0 where nothing is.
        """
        sides = []
        for axis in (-2, -1):  # of columns, then of rows
            shown = (self.mask >= 0.5).any(axis)
            first, last = shown.int().argmax(-1), shown.shape[-1] - shown.flip(-1).int().argmax(-1)  # behind the last
            sides.append(torch.stack((first - 0.5, (last - first).to(self.mask)), -1) * shown.any(-1, keepdim=True))
        return torch.stack(sides, -1).flatten(-2)  # x, y, w, h


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
    at_once = max(1, _CHUNK.get(scene.base.device.type, CHUNK_ON_CARD) // (hw[0] * hw[1]))
    starts = range(0, max(1, len(scene.base)), at_once)
    with _args.exact(scene.base.device):
        chunks = [_paint(scene.mapped(lambda tensor, at=at: tensor[at : at + at_once]), hw) for at in starts]
    image, mask = torch.cat(chunks).split((3, scene.xy.shape[1]), 1)
    return People(image.clamp(0, 1), scene.xy, _visibility(scene, hw), mask.contiguous(), scene.rank)


def _paint(scene: Scene, hw: tuple[int, int]) -> Tensor:
    """``(B, 3 + P, H, W)``: colors, and each person's share of every pixel.

    The tiles of all images stand in one list, those with most slabs first: then the tiles that have a k-th slab are
    the first so many of the list, and one call paints all of these slabs.
    """
    corner, reached = _tiles(scene, hw)  # (tiles, 2), (B, tiles, N)
    many = reached.sum(-1).flatten()  # (B*tiles,): slabs of each tile
    order = many.argsort(descending=True, stable=True)
    image, tile = order // len(corner), order % len(corner)

    pixel = torch.arange(_TILE**2, device=order.device)
    xy = corner[tile]  # (B*tiles, 2)
    x, y = xy[:, :1] + pixel % _TILE, xy[:, 1:] + pixel // _TILE  # (B*tiles, 64)
    canvas = _canvas(scene, x, y, image)  # (B*tiles, 3 + P, 64)

    slabs = torch.cat((_shape(scene), _finish(scene)), -1)  # (B, N, ...)
    source, _, slab = reached.nonzero().unbind(-1)  # tile after tile, each from back to front
    rows = slabs[source, slab]
    first = (many.cumsum(0) - many)[order]  # each tile's farthest slab in rows
    for k, n in enumerate(_at_least_one_more(many)):
        _paint_slab(canvas[:n], rows[first[:n] + k], x[:n], y[:n])
    return _joined(torch.empty_like(canvas).index_copy_(0, order, canvas), hw)


def _tiles(scene: Scene, hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Corners ``(tiles, 2)`` of an image's tiles in px, and which slabs reach them, ``(B, tiles, N)``."""
    steps = [torch.arange(0, n, _TILE, dtype=scene.start.dtype, device=scene.start.device) for n in (hw[1], hw[0])]
    corner = torch.stack(torch.meshgrid(*steps, indexing="xy"), -1).flatten(0, 1)  # (tiles, 2)
    middle = (corner + (_TILE - 1) / 2)[:, None] - scene.start[:, None]  # (B, tiles, N, 2)
    way = scene.end - scene.start
    t = (middle * (way / (way.square().sum(-1, keepdim=True) + 1e-9))[:, None]).sum(-1, keepdim=True).clamp_(0, 1)
    away = (middle - t * way[:, None]).square().sum(-1)
    reach = scene.radius.amax(-1) + scene.half.amax(-1) + 0.5 + (_TILE - 1) / math.sqrt(2)
    return corner, (away < reach.square()[:, None]) & (scene.opacity > 0)[:, None]


def _at_least_one_more(many: Tensor) -> list[int]:
    """How many of the counts are above 0, above 1, above 2 ..."""
    return many.bincount().flip(0).cumsum(0).flip(0)[1:].tolist()


def _joined(tiles: Tensor, hw: tuple[int, int]) -> Tensor:
    """Images ``(B, C, H, W)`` of their tiles ``(B*tiles, C, 64)``, row by row."""
    h, w = (-(-n // _TILE) for n in hw)
    grid = tiles.view(-1, h, w, tiles.shape[1], _TILE, _TILE).permute(0, 3, 1, 4, 2, 5)  # (B, C, h, 8, w, 8)
    return grid.flatten(4).flatten(2, 3)[..., : hw[0], : hw[1]]


def _canvas(scene: Scene, x: Tensor, y: Tensor, image: Tensor) -> Tensor:
    """The background of tiles ``(tiles, 3 + P, 64)``: waves are products of a function of x and one of y."""
    across = x[:, None, :_TILE] * scene.wave[image, :, 0, None] + scene.wave[image, :, 2, None]  # (tiles, T, 8)
    down = y[:, None, ::_TILE] * scene.wave[image, :, 1, None]
    swing = scene.swing[image].repeat(1, 2, 1)[..., None]  # (tiles, 2T, 3, 1)
    rows = (swing * torch.cat((down.cos(), -down.sin()), 1)[:, :, None]).flatten(2)  # (tiles, 2T, 3*8)
    waves = rows.transpose(1, 2) @ torch.cat((across.cos(), across.sin()), 1)  # (tiles, 3*8, 8)
    color = waves.view(len(image), 3, _TILE**2) + scene.base[image, :, None]
    return torch.cat((color, color.new_zeros(len(image), scene.xy.shape[1], _TILE**2)), 1)


# ---------------------------------------------------------------------------------------------------------------------
# One slab: its numbers are columns of one tensor, so that one look-up brings them all


class _Shape(NamedTuple):
    """A slab's shape, worked out before its pixels are; px, and vectors by x and y."""

    start_x: Tensor
    start_y: Tensor
    way_x: Tensor  # from start to end
    way_y: Tensor
    share_x: Tensor  # its dot product with a point, seen from the start: the share t of the way, 0 to 1
    share_y: Tensor
    across_x: Tensor  # unit vector of the sweep
    across_y: Tensor
    sweep_x: Tensor  # its dot product with a point: how far across, once the way is taken out
    sweep_y: Tensor
    skew: Tensor  # share of the way that a step of 1 px across is worth: 0 where the two are perpendicular
    lean: Tensor  # share of the way from a foot of a perpendicular to the disc that reaches farthest, per px^2 aside
    half: Tensor  # the sweep to either side at the start ...
    widen: Tensor  # ... and how much more it is at the end
    radius: Tensor
    taper: Tensor


def _shape(scene: Scene) -> Tensor:
    """The columns of :class:`_Shape`, ``(B, N, 16)``."""
    way, across = scene.end - scene.start, scene.across
    squared = way.square().sum(-1, keepdim=True) + 1e-9  # of the length; a disc has none
    share = way / squared
    skew = (share * across).sum(-1, keepdim=True)
    aside = across - way * skew  # the part of across that is perpendicular to the way ...
    sweep = aside / (1 - skew * (way * across).sum(-1, keepdim=True)).clamp(min=0.1)  # ... over its length squared
    half, half_at_end = scene.half.split(1, -1)
    radius, radius_at_end = scene.radius.split(1, -1)
    sine = ((radius_at_end - radius) / squared.sqrt()).clamp(-0.999, 0.999)  # of the angle of side and middle
    lean = sine / (1 - sine.square()).sqrt() / squared
    return torch.cat((scene.start, way, share, across, sweep, skew, lean, half, half_at_end - half, radius,
                      radius_at_end - radius), -1)  # fmt: skip


def _distance(slab: _Shape, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Signed distance to a slab's edge in px, negative inside, of points that broadcast with the slab's numbers.

    Also the share t of its way from start to end, the radius there, and (x, y) from the nearest point of its middle.
    A slab that is not swept is the union of discs between its ends, which is how a rod of varying radius projects: the
    disc that reaches farthest lies from the foot of the perpendicular towards the thick end.
    """
    x, y = x - slab.start_x, y - slab.start_y
    t = torch.addcmul(x * slab.share_x, y, slab.share_y)
    half = torch.addcmul(slab.half, t.clamp(0, 1), slab.widen)
    swept = torch.addcmul(x * slab.sweep_x, y, slab.sweep_y).minimum(half).maximum(-half)
    x, y = torch.addcmul(x, swept, -slab.across_x), torch.addcmul(y, swept, -slab.across_y)
    aside = torch.addcmul(x * slab.way_y, y, -slab.way_x).abs_()  # px from the middle, times the length
    t = torch.addcmul(torch.addcmul(t, swept, -slab.skew), aside, slab.lean).clamp_(0, 1)
    x, y = torch.addcmul(x, t, -slab.way_x), torch.addcmul(y, t, -slab.way_y)
    radius = torch.addcmul(slab.radius, t, slab.taper)
    return torch.addcmul(x * x, y, y).sqrt_() - radius, t, radius, x, y


class _Finish(NamedTuple):
    """A slab's light and colors; after these columns come two colors, (red, green, blue) each, and its owner's."""

    opacity: Tensor
    along_x: Tensor  # unit vector of the way, less for what is as wide as long
    along_y: Tensor
    light_x: Tensor
    light_y: Tensor
    light_z: Tensor
    ambient: Tensor
    stripe: Tensor  # strength ...
    stripes: Tensor  # ... and number
    length: Tensor
    seam: Tensor  # px from the start to where the second color begins, and half a px


def _finish(scene: Scene) -> Tensor:
    """The columns of :class:`_Finish`, then second color, the first's difference from it, and owner one-hot.

    ``(B, N, 17 + P)``.
    """
    way = scene.end - scene.start
    length = way.norm(dim=-1, keepdim=True)
    along, thick = way / length.clamp(min=1e-6), scene.radius.amax(-1, keepdim=True)
    ball = thick / (thick + length)  # 1: shaded as a ball; 0: as a rod, whose ends do not show
    light = scene.light[:, None].expand(*length.shape[:2], 3)
    side = light[..., :2] - (1 - ball) * (light[..., :2] * along).sum(-1, keepdim=True) * along
    ambient = 0.62 * light.norm(dim=-1, keepdim=True)
    opacity = scene.opacity[..., None] * (2 * thick).clamp(max=1)  # thinner than a pixel: it fades
    first, second = scene.color.unbind(-2)
    owner = (scene.owner[..., None] == torch.arange(scene.xy.shape[1], device=way.device)).to(way.dtype)
    return torch.cat((opacity, along * (1 - ball.square()).sqrt(), 0.5 * side, 0.5 * light[..., 2:], ambient,
                      scene.stripes, length, scene.seam[..., None] * length + 0.5, second, first - second,
                      owner), -1)  # fmt: skip


_SIZES = (len(_Shape._fields), len(_Finish._fields), 3, 3)  # columns of a slab, before those of the owner


def _paint_slab(canvas: Tensor, rows: Tensor, x: Tensor, y: Tensor) -> None:
    """Paint one slab per tile over ``canvas (tiles, 3 + P, 64)``, in place; ``rows (tiles, 33 + P)`` say which."""
    columns = rows[..., None].split((*_SIZES, rows.shape[1] - sum(_SIZES)), 1)
    shape, look = _Shape(*columns[0].unbind(1)), _Finish(*columns[1].unbind(1))  # (tiles, 1) each
    second, change, owner = columns[2:]  # (tiles, 3, 1), the same, (tiles, P, 1)

    distance, t, radius, x, y = _distance(shape, x, y)
    share = (0.5 - distance).clamp_(0, 1).mul_(look.opacity)  # of the pixel that the slab covers
    off = torch.addcmul(x * x, y, y) - torch.addcmul(x * look.along_x, y, look.along_y).square_()
    up = (1 - off / radius.square()).clamp_(min=0).sqrt_()  # of the surface's normal: towards the viewer
    shade = torch.addcmul(x * look.light_x, y, look.light_y).div_(radius).add_(look.ambient)
    shade = torch.addcmul(shade, up, look.light_z)
    shade *= 1 - look.stripe * ((t * look.stripes).frac_() - 0.5).abs_() * 2
    before = (look.seam - t * look.length).clamp_(0, 1)  # 1: the first color, 0: the second
    color = torch.addcmul(second, before[:, None], change).mul_(shade[:, None])
    canvas[:, :3].lerp_(color, share[:, None])
    canvas[:, 3:].lerp_(owner.expand(-1, -1, x.shape[-1]), share[:, None])


# ---------------------------------------------------------------------------------------------------------------------
# Who is seen


def _showing() -> Tensor:
    """(K, parts): how far a keypoint may lie behind the middle of a part that shows it; -inf where another hides it."""
    far = torch.full((len(_K), len(PARTS) + 3), -math.inf, dtype=torch.float32, device="cpu")
    for side in ("left", "right"):
        for joint, parts in (("eye", ("eye", "pupil")), ("ear", ("ear",)), ("shoulder", ("upper_arm",)),
                             ("elbow", ("upper_arm", "forearm")), ("wrist", ("forearm", "hand")), ("hip", ("thigh",)),
                             ("knee", ("thigh", "shin")), ("ankle", ("shin", "foot"))):  # fmt: skip
            far[_K[f"{side}_{joint}"], [PART_INDEX[f"{side}_{part}"] for part in parts]] = math.inf
        far[_K[f"{side}_shoulder"], PART_INDEX["torso"]] = 0.08
        far[_K[f"{side}_hip"], [PART_INDEX["pelvis"], PART_INDEX["torso"], PART_INDEX["skirt"]]] = 0.06
        far[_K[f"{side}_knee"], PART_INDEX["skirt"]] = 0.06
    far[_K["nose"], PART_INDEX["nose"]] = math.inf
    return far


def _visibility(scene: Scene, hw: tuple[int, int]) -> Tensor:
    """COCO's flags ``(B, P, K)``: the slab in front at a keypoint decides."""
    b, p, k = scene.xy.shape[:3]
    x, y = scene.xy.flatten(1, 2)[..., None, :].unbind(-1)  # (B, P*K, 1)
    slabs = _Shape(*_shape(scene)[:, None].unbind(-1))
    covers = (_distance(slabs, x, y)[0] < 0) & (scene.opacity > 0)[:, None]
    n = torch.arange(covers.shape[-1], device=covers.device)
    top = torch.where(covers, n, -1).amax(-1)  # (B, P*K)
    front = top.clamp(min=0)
    owner, part, depth = (v.gather(1, front).view(b, p, k) for v in (scene.owner, scene.part, scene.depth))
    far = _args.sent(_showing(), covers.device)[torch.arange(k, device=covers.device), part]
    mine = (owner == torch.arange(p, device=owner.device)[:, None]) & (top.view(b, p, k) >= 0)
    seen = mine & (scene.xy_depth - depth < far)
    size = _args.constant((hw[1], hw[0]), scene.xy)
    inside = ((scene.xy >= -0.5) & (scene.xy < size - 0.5)).all(-1) & scene.present[..., None]
    return torch.where(inside, 1 + seen.long(), 0)
