"""Drawn people. The oracle of who is in front paints every slab as many discs with pillow, eight times as large."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from posebook.people import BACKGROUNDS, POSES, People, Scene, draw_people, paint, render, sample_scene
from posebook.people.body import PARTS
from posebook.skeleton import COCO_17
from posebook.warp import Affine, warp_image, warp_points

K = {name: k for k, name in enumerate(COCO_17.names)}
EASY = {"occluder": 0.0, "truncate": 0.0, "background": "plain"}


def close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def centroid(mask: Tensor) -> Tensor:
    """(x, y) of the center of mass of ``(..., H, W)``."""
    y, x = (torch.arange(n, dtype=mask.dtype) for n in mask.shape[-2:])
    return torch.stack((mask.sum(-2) @ x, mask.sum(-1) @ y), -1) / mask.sum((-2, -1))[..., None]


# ---------------------------------------------------------------------------------------------------------------------
# What comes back


@pytest.mark.parametrize("hw", [(64, 64), (48, 70), (9, 5)])
@pytest.mark.parametrize("count, persons, most", [(3, 1, 1), (1, (1, 3), 3), (0, 2, 2)])
def test_shapes_dtypes_ranges(hw, count, persons, most, device):
    people = draw_people(count, hw, persons=persons, device=device)
    found = {name: (tuple(getattr(people, name).shape), getattr(people, name).dtype)
             for name in ("image", "xy", "vis", "mask", "rank", "area", "box")}  # fmt: skip
    assert found == {
        "image": ((count, 3, *hw), torch.float32), "xy": ((count, most, 17, 2), torch.float32),
        "vis": ((count, most, 17), torch.int64), "mask": ((count, most, *hw), torch.float32),
        "rank": ((count, most), torch.int64), "area": ((count, most), torch.float32),
        "box": ((count, most, 4), torch.float32),
    }  # fmt: skip
    assert {t.device.type for t in (people.image, people.xy, people.vis, people.mask, people.rank)} == {device}
    assert ((people.image >= 0) & (people.image <= 1)).all() and people.image.isfinite().all()
    assert (people.mask >= 0).all() and (people.mask.sum(1) <= 1 + 1e-5).all()
    assert set(people.vis.unique().tolist()) <= {0, 1, 2}


def test_the_seed_decides(device):
    one, same, other = (draw_people(8, seed=seed, device=device) for seed in (5, 5, 6))
    assert torch.equal(one.image, same.image) and torch.equal(one.xy, same.xy) and torch.equal(one.vis, same.vis)
    assert (one.image - other.image).abs().mean() > 0.05 and (one.xy - other.xy).abs().mean() > 2


def test_an_image_does_not_depend_on_the_count():
    many, few = draw_people(9, persons=(1, 2), seed=3), draw_people(5, persons=(1, 2), seed=3)
    close(few.image, many.image[:5], atol=1e-6)
    assert torch.equal(few.xy, many.xy[:5]) and torch.equal(few.vis, many.vis[:5])


@pytest.mark.parametrize("pixels", [1, 3 * 48 * 70, 2048 * 64**2])
def test_it_does_not_matter_how_many_are_painted_at_once(pixels, monkeypatch):
    scene = sample_scene(7, (48, 70), persons=2, seed=4)
    usual = render(scene, (48, 70))
    monkeypatch.setattr(paint, "_CHUNK", {"cpu": pixels})
    other = render(scene, (48, 70))
    close(other.image, usual.image, atol=1e-6)
    close(other.mask, usual.mask, atol=1e-6)


@pytest.mark.parametrize("option", [{"occluder": 1.0}, {"background": "clutter"}, {"brightness": (0.3, 0.5)},
                                    {"skin": (0.9, 1.0)}, {"clothes": (0.0, 0.1)}, {"backdrop": (0.9, 1.0)}])
def test_an_option_changes_nothing_else(option):
    one, other = draw_people(20, seed=1, **EASY), draw_people(20, seed=1, **{**EASY, **option})
    assert torch.equal(one.xy, other.xy)
    assert not torch.equal(one.image, other.image)
    assert torch.equal(one.mask, other.mask) == ("occluder" not in option)


def test_skin_clothes_and_backdrop_are_shades_of_what_is_drawn():
    """Unless they are given everything is as ever; each makes what it names darker or lighter and nothing else."""
    people = draw_people(20, seed=1, **EASY)
    same = draw_people(20, seed=1, skin=(0, 1), clothes=(0.15, 0.95), backdrop=(0.2, 0.95), **EASY)
    assert torch.equal(same.image, people.image)
    scene = sample_scene(40, seed=2, **EASY)
    inside = {name: torch.isin(scene.part, torch.tensor([n for n, p in enumerate(PARTS) if set(p.colors) == {color}]))
              for name, color in (("skin", "skin"), ("clothes", "shirt"))}  # fmt: skip
    for name, (dark, light) in {"skin": ((1.0, 1.0), (0.0, 0.0)), "clothes": ((0.0, 0.1), (0.9, 1.0))}.items():
        low, high = (sample_scene(40, seed=2, **EASY, **{name: bounds}) for bounds in (dark, light))
        differ = (low.color != high.color).any(-1).any(-1) & (scene.opacity > 0)
        assert differ[inside[name] & (scene.opacity > 0)].all()
        other = inside["clothes" if name == "skin" else "skin"]
        assert not differ[other].any() and (low.color <= high.color)[inside[name]].all()
        assert torch.equal(low.base, scene.base) and torch.equal(low.xy, scene.xy)
    low, high = (sample_scene(40, seed=2, **EASY, backdrop=bounds) for bounds in ((0.0, 0.1), (0.9, 1.0)))
    assert (low.base < high.base).all() and torch.equal(low.color, high.color)


@pytest.mark.parametrize(
    "option, want",
    [
        ({"count": -1}, "count: want a whole number >= 0, got -1"),
        ({"count": 2.0}, "count: want a whole number >= 0, got 2.0"),
        ({"hw": (0, 8)}, "hw: want"),
        ({"persons": 0}, "persons: want a whole number >= 1"),
        ({"persons": (3, 2)}, "persons: want"),
        ({"persons": (1, 2, 3)}, "persons: want"),
        ({"persons": "two"}, "persons: want"),
        ({"persons": True}, "persons: want"),
        ({"seed": 0.5}, "seed: want a whole number, got 0.5"),
        ({"size": (0, 1)}, "size: want a finite number > 0, got 0"),
        ({"size": 0.8}, "size: want"),
        ({"yaw": (90, -90)}, "yaw: want"),
        ({"pitch": (0, math.nan)}, "pitch: want"),
        ({"brightness": (-1, 1)}, "brightness: want a finite number >= 0, got -1"),
        ({"tilt": -3}, "tilt: want a finite number >= 0, got -3"),
        ({"truncate": 2}, "truncate: want a number from 0 to 1, got 2"),
        ({"occluder": -0.1}, "occluder: want a number from 0 to 1, got -0.1"),
        ({"crowding": 1.5}, "crowding: want a number from 0 to 1, got 1.5"),
        ({"twins": 2}, "twins: want True or False, got 2"),
        ({"skin": 0.5}, "skin: want (least, most), two finite numbers, got 0.5"),
        ({"skin": (0.5, 1.2)}, "skin: want a number from 0 to 1, got 1.2"),
        ({"clothes": (-0.1, 0.5)}, "clothes: want a number from 0 to 1, got -0.1"),
        ({"backdrop": (0.9, 0.2)}, "backdrop: want (least, most)"),
        ({"background": "forest"}, "background: want one of 'mixed', "),
        ({"poses": ("flying",)}, "poses: want one of 'standing', "),
        ({"poses": "standing"}, "poses: want a tuple of one or more names, got 'standing'"),
        ({"poses": ()}, "poses: want a tuple of one or more names"),
    ],
)
def test_errors_name_the_argument(option, want):
    with pytest.raises(ValueError) as error:
        draw_people(**{"count": 1, **option})
    assert str(error.value).startswith(want)


# ---------------------------------------------------------------------------------------------------------------------
# Exact to a fraction of a pixel


def lone_disc(xy: tuple[float, float], radius: float) -> Scene:
    scene = sample_scene(1, persons=1, **EASY)
    start, end, radii, half = (v.clone() for v in (scene.start, scene.end, scene.radius, scene.half))
    start[:, -1], end[:, -1], radii[:, -1], half[:, -1] = torch.tensor(xy), torch.tensor(xy), radius, 0.0
    alone = torch.zeros_like(scene.opacity).index_fill_(1, torch.tensor(scene.opacity.shape[1] - 1), 1.0)
    return replace(scene, start=start, end=end, radius=radii, half=half, opacity=alone, owner=0 * scene.owner)


@pytest.mark.parametrize("radius", [1.5, 2.5, 6.0])
@pytest.mark.parametrize("xy", [(20.0, 31.0), (20.25, 31.6), (7.5, 39.5), (40.9, 8.01)])
def test_a_lone_disc_has_its_centroid_and_area(xy, radius):
    """An edge that falls linearly over 1 px around radius r has the area pi (r^2 + 1/12)."""
    mask = render(lone_disc(xy, radius)).mask[0, 0]
    close(centroid(mask), torch.tensor(xy), atol=0.03)
    assert mask.sum().item() == pytest.approx(math.pi * (radius**2 + 1 / 12), rel=0.01)


def test_eight_times_as_large_and_averaged_is_the_same():
    scene = sample_scene(4, persons=2, seed=4, yaw=(-180, 180))
    people, large = render(scene), render(scene.moved(zoom=8, shift=(3.5, 3.5)), (512, 512))
    small = torch.nn.functional.avg_pool2d(torch.cat((large.image, large.mask), 1), 8)
    gap = (torch.cat((people.image, people.mask), 1) - small).abs()
    assert gap.mean() < 0.005 and gap.flatten().quantile(0.99) < 0.1
    close(large.area / 64, people.area, atol=0.03 * people.area.max().item())  # edges of two slabs add up a little
    close(large.xy, 8 * people.xy + 3.5, atol=1e-3)
    assert (large.vis == people.vis).float().mean() > 0.995  # at 64 px some dots of eyes are a rounding apart


def test_a_fraction_of_a_pixel_moves_image_and_keypoints():
    scene = sample_scene(20, (64, 64), seed=2, size=(0.6, 0.8), **EASY)
    here, there = render(scene), render(scene.moved(shift=(0.3, -0.4)))
    inside = (here.xy.amin((1, 2)) > 6).all(-1) & (here.xy.amax((1, 2)) < 58).all(-1)
    assert inside.sum() > 5
    close(there.xy - here.xy, torch.tensor([0.3, -0.4]).expand_as(here.xy), atol=1e-5)
    moved = centroid(there.mask[inside]) - centroid(here.mask[inside])
    close(moved.mean((0, 1)), torch.tensor([0.3, -0.4]), atol=0.02)
    close(moved, torch.tensor([0.3, -0.4]).expand_as(moved), atol=0.1)  # where edges overlap, the area varies a little


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_whole_pixels_move_everything(background):
    scene = sample_scene(10, persons=2, seed=1, background=background)
    here, there = render(scene), render(scene.moved(shift=(3, 5)))
    close(there.image[..., 5:, 3:], here.image[..., :-5, :-3], atol=2e-4)
    close(there.mask[..., 5:, 3:], here.mask[..., :-5, :-3], atol=2e-4)


def test_a_quarter_turn_is_that_of_the_image():
    scene = sample_scene(10, persons=2, seed=1)
    here, there = render(scene), render(scene.moved(degrees=90, shift=(63, 0)))
    close(there.image, here.image.rot90(-1, (-2, -1)), atol=2e-4)
    close(there.xy, torch.stack((63 - here.xy[..., 1], here.xy[..., 0]), -1), atol=1e-4)


@pytest.mark.parametrize("k", range(4))
def test_a_warped_scene_is_what_a_warped_image_would_be(k):
    """Of an oblong image by quarter turns to round-off; at other angles but for what interpolation does."""
    hw = (48, 64)
    into = hw if k % 2 == 0 else hw[::-1]
    scene, turn = sample_scene(6, hw, persons=2, seed=1), Affine.rotation(90 * k, hw, into=into)
    here, there = render(scene, hw), render(scene.warped(turn), into)
    close(there.image, here.image.rot90(k, (-2, -1)), atol=2e-4)
    close(there.xy, warp_points(here.xy, turn), atol=1e-4)
    other = Affine.rotation(90 * k + 25, hw, into=into, zoom=1.3)
    there, resampled = render(scene.warped(other), into).image, warp_image(here.image, other, into)
    inside = warp_image(torch.ones(hw), other, into) == 1
    assert (there - resampled).abs().mean(1)[:, inside].mean() < 0.02
    close(scene.warped(other).xy, warp_points(scene.xy, other), atol=1e-4)
    moved = scene.moved(zoom=1.5, degrees=30, shift=(3.0, -4.0))
    c, s = 1.5 * math.cos(math.pi / 6), 1.5 * math.sin(math.pi / 6)
    close(scene.warped(Affine(((c, -s, 3.0), (s, c, -4.0)))).start, moved.start, atol=1e-4)


@pytest.mark.parametrize("affine", [Affine.flip(64), Affine(((2, 0, 0), (0, 1, 0))), Affine(((1, 1, 0), (0, 1, 0))), 3])
def test_a_scene_keeps_its_shapes(affine):
    with pytest.raises(ValueError, match="affine: want an? "):
        sample_scene(1).warped(affine)


# ---------------------------------------------------------------------------------------------------------------------
# Who is in front


def discs(scene: Scene, b: int, n: int, zoom: int) -> list[tuple[float, float, float]]:
    """(x, y, radius) of many discs whose union is slab n."""
    (ra, rb), (ha, hb) = scene.radius[b, n].tolist(), scene.half[b, n].tolist()
    length = (scene.end - scene.start)[b, n].norm().item()
    least = min(ra, rb)
    ts = torch.linspace(0, 1, max(2, math.ceil(4 * length / least)))
    ss = torch.linspace(-1, 1, max(2, math.ceil(8 * max(ha, hb) / least))) if max(ha, hb) > 0 else torch.zeros(1)
    t, s = torch.meshgrid(ts, ss, indexing="ij")
    middle = torch.lerp(scene.start[b, n], scene.end[b, n], t[..., None])
    xy = middle + (s * torch.lerp(torch.tensor(ha), torch.tensor(hb), t))[..., None] * scene.across[b, n]
    rows = torch.cat((zoom * xy + (zoom - 1) / 2, zoom * (ra + t * (rb - ra))[..., None]), -1)
    return rows.flatten(0, 1).tolist()


def front(scene: Scene, b: int, hw: tuple[int, int], zoom: int = 8) -> Tensor:
    """Number of the slab in front at each of ``zoom * hw`` pixels, -1 for none."""
    image = Image.new("I", (zoom * hw[1], zoom * hw[0]), -1)
    pen = ImageDraw.Draw(image)
    for n in scene.opacity[b].nonzero()[:, 0].tolist():
        for x, y, r in discs(scene, b, n, zoom):
            pen.ellipse([x - r, y - r, x + r, y + r], fill=n)
    return torch.tensor(np.array(image), dtype=torch.int64)


NAMES = (*(part.name for part in PARTS), "seat", "clutter", "occluder")
SHOW = {
    "eye": ("eye", "pupil"), "ear": ("ear",), "nose": ("nose",), "shoulder": ("upper_arm", "torso"),
    "elbow": ("upper_arm", "forearm"), "wrist": ("forearm", "hand"), "hip": ("thigh", "pelvis", "torso", "skirt"),
    "knee": ("thigh", "shin", "skirt"), "ankle": ("shin", "foot"),
}  # fmt: skip


def shows(keypoint: str, part: str) -> bool:
    side, _, joint = keypoint.rpartition("_")
    return part in {one if one in ("nose", "torso", "pelvis", "skirt") else f"{side}_{one}" for one in SHOW[joint]}


@pytest.fixture(scope="module")
def crowd() -> tuple[Scene, People, list[Tensor]]:
    scene = sample_scene(12, persons=2, seed=7, size=(0.7, 0.95), occluder=0.7, truncate=0.3, yaw=(-180, 180))
    return scene, render(scene), [front(scene, b, (64, 64)) for b in range(12)]


def test_the_slab_in_front_decides_visibility(crowd):
    scene, people, fronts = crowd
    agree = disagree = 0
    for b, p, k in torch.cartesian_prod(*map(torch.arange, people.vis.shape)).tolist():
        x, y = (8 * people.xy[b, p, k] + 3.5).round().long().tolist()
        if not (2 <= x < 510 and 2 <= y < 510):
            continue
        near = fronts[b][y - 2 : y + 3, x - 2 : x + 3].unique()
        if len(near) > 1 or near.item() < 0:  # at an edge, a quarter of a pixel decides
            continue
        n = near.item()
        part = NAMES[scene.part[b, n].item()]
        mine = scene.owner[b, n].item() == p and shows(COCO_17.names[k], part)
        far = scene.xy_depth[b, p, k] > scene.depth[b, n] + 0.04
        if mine and far and part in ("torso", "pelvis", "skirt"):  # on the trunk's far side: a matter of degree
            continue
        agree, disagree = agree + (people.vis[b, p, k] == 1 + mine), disagree + (people.vis[b, p, k] != 1 + mine)
    assert disagree == 0 and agree > 200


def test_area_is_that_of_the_pixels_counted(crowd):
    scene, people, fronts = crowd
    for b, ids in enumerate(fronts):
        owner = torch.cat((scene.owner[b], torch.tensor([9])))[ids]
        counted = torch.stack([(owner == p).sum() for p in range(2)]) / 64
        close(people.area[b], counted, atol=0.03 * counted.max().item() + 4)


def test_an_occluder_hides():
    bare, covered = (draw_people(60, seed=2, **{**EASY, "occluder": p}) for p in (0.0, 1.0))
    assert (covered.area <= bare.area + 1e-3).all() and (covered.area < bare.area - 5).float().mean() > 0.8
    assert (covered.vis <= bare.vis).all() and (covered.vis < bare.vis).float().mean() > 0.05
    assert (covered.vis > 0).all()


def test_out_of_the_image_is_not_labeled():
    people = draw_people(100, seed=0, truncate=1.0, size=(0.9, 1.0))
    inside = ((people.xy >= -0.5) & (people.xy < 63.5)).all(-1)
    assert torch.equal(people.vis > 0, inside)
    assert 0.1 < (people.vis == 0).float().mean() < 0.7
    assert (draw_people(100, seed=0, truncate=0.0).vis > 0).all()


def test_absent_people():
    people = draw_people(100, persons=(1, 3), seed=0)
    present = (people.vis > 0).any(-1)
    assert present[:, 0].all() and set(present.sum(1).tolist()) == {1, 2, 3}
    assert (people.xy[~present] == 0).all() and (people.area[~present] == 0).all() and (people.vis[~present] == 0).all()


def test_who_stands_lower_is_nearer():
    scene = sample_scene(40, persons=2, seed=3, **EASY)
    both = render(scene)
    alone = [render(replace(scene, opacity=scene.opacity * (scene.owner == p))) for p in range(2)]
    lost = torch.stack([one.mask[:, p].sum((1, 2)) - both.area[:, p] for p, one in enumerate(alone)], 1)
    rows = torch.stack([(one.mask[:, p] > 0.5).any(-1) * torch.arange(64) for p, one in enumerate(alone)], 1).amax(-1)
    told_apart = (lost.amax(1) > 2) & ((rows[:, 0] - rows[:, 1]).abs() > 1)
    assert told_apart.sum() > 8
    assert lost[told_apart, rows[told_apart].argmax(1)].max() < 1e-3  # the nearer loses nothing
    assert torch.equal(rows[told_apart].argmax(1), both.rank[told_apart].argmin(1))


def test_a_rank_for_each_and_the_absent_come_last():
    people = draw_people(60, persons=(1, 4), seed=2)
    present = (people.vis > 0).any(-1)
    assert torch.equal(people.rank.sort(1).values, torch.arange(4).expand(60, 4))
    assert torch.equal(people.rank < present.sum(1, keepdim=True), present)


def test_a_box_holds_what_is_visible():
    people = draw_people(40, (48, 80), persons=(1, 3), seed=5, truncate=0.3)
    for mask, box in zip(people.mask.flatten(0, 1), people.box.flatten(0, 1).tolist(), strict=True):
        rows, columns = (mask >= 0.5).nonzero(as_tuple=True)
        if len(rows) == 0:
            assert box == [0, 0, 0, 0]
            continue
        first, last = (columns.min().item(), rows.min().item()), (columns.max().item(), rows.max().item())
        assert box[:2] == [first[0] - 0.5, first[1] - 0.5]
        assert [box[0] + box[2], box[1] + box[3]] == [last[0] + 0.5, last[1] + 0.5]


def test_crowding_moves_people_together_and_changes_nothing_else():
    """Neither bodies nor sizes, nor who stands lower."""
    options = {"persons": 3, "seed": 4, "size": (0.45, 0.75), "occluder": 0.0, "truncate": 0.0}
    alone, *crowds = [draw_people(60, (96, 96), crowding=crowding, **options) for crowding in (0.0, 0.4, 0.8, 1.0)]
    width = [((p.xy.amax(2) + p.xy.amin(2))[..., 0] / 2).std(1).mean().item() for p in (alone, *crowds)]
    assert width[0] > 14 and all(b < 0.8 * a for a, b in zip(width, width[1:], strict=False)) and width[-1] < 3
    hidden = [(p.vis == 1).float().mean().item() for p in (alone, *crowds)]
    assert hidden == sorted(hidden) and hidden[-1] > hidden[0] + 0.1
    for crowd in crowds:
        assert torch.equal(crowd.rank, alone.rank) and (crowd.vis > 0).all()
        close(crowd.xy - crowd.xy[:, :, :1], alone.xy - alone.xy[:, :, :1], atol=1e-4)
        close(crowd.xy[..., 1], alone.xy[..., 1], atol=1e-4)


def test_twins_differ_in_their_places_only():
    options = {"persons": 3, "seed": 6, "occluder": 0.0, "truncate": 0.0, "background": "plain"}
    one, twins = (draw_people(30, (96, 96), size=(0.4, 0.5), twins=twins, **options) for twins in (False, True))
    shape, other = (p.xy - p.xy[:, :, :1] for p in (twins, one))
    close(shape, shape[:, :1].expand_as(shape), atol=1e-4)
    close(shape[:, 0], other[:, 0], atol=1e-4)  # copies of the first
    assert (other[:, 0] - other[:, 1]).abs().amax((1, 2)).min() > 1
    assert (twins.xy[:, 0] - twins.xy[:, 1]).abs().amax((1, 2)).min() > 1
    nearest = twins.rank.argmin(1)
    whole = twins.area[torch.arange(30), nearest]  # covered by nobody
    apart = (twins.area > 0.98 * whole[:, None]).all(1)  # images in which nobody covers another
    assert apart.sum() > 5
    close(twins.area[apart], whole[apart, None].expand(-1, 3), atol=0.02 * whole.max().item())


# ---------------------------------------------------------------------------------------------------------------------
# Bodies


def test_limbs_keep_their_length_in_every_pose():
    """Squared lengths, q |dxy|^2 + dz^2 = c L^2, with one zoom (q) and one build (c) per person, for eight bones."""
    scene = sample_scene(200, seed=1)
    bones = {("shoulder", "elbow"): 0.172, ("elbow", "wrist"): 0.152, ("hip", "knee"): 0.245, ("knee", "ankle"): 0.240}
    rows = []
    for side in ("left", "right"):
        for (a, b), length in bones.items():
            a, b = K[f"{side}_{a}"], K[f"{side}_{b}"]
            dxy = (scene.xy[:, 0, a] - scene.xy[:, 0, b]).double().square().sum(-1)
            dz = (scene.xy_depth[:, 0, a] - scene.xy_depth[:, 0, b]).double().square()
            arm, leg = (length**2 * (a < 11), length**2 * (a >= 11))
            rows.append(torch.stack((dxy, -torch.full_like(dxy, arm), -torch.full_like(dxy, leg), -dz), -1))
    system = torch.stack(rows, 1)  # (B, 8, 4)
    found = torch.linalg.lstsq(system[..., :3], system[..., 3:]).solution
    close(system[..., :3] @ found, system[..., 3:], atol=1e-5)


@pytest.mark.parametrize("pose", POSES)
def test_joints_stay_within_human_limits(pose):
    _, arms, legs = POSES[pose]
    for forward, outward, inward, bent in arms:
        assert -60 <= forward[0] and forward[1] <= 180 and 0 <= outward[0] and outward[1] <= 180
        assert -110 <= inward[0] and inward[1] <= 90 and 0 <= bent[0] and bent[1] <= 145
    for forward, outward, _, bent in legs:
        assert -35 <= forward[0] and forward[1] <= 125 and 0 <= outward[0] and outward[1] <= 45
        assert 0 <= bent[0] and bent[1] <= 140
    assert (draw_people(4, poses=(pose,), **EASY).area > 100).all()


def test_left_and_right_by_the_view():
    def at(yaw: float) -> Scene:
        return sample_scene(50, yaw=(yaw, yaw), poses=("standing", "arms raised"), **EASY)

    pairs = [(K[f"left_{name}"], K[f"right_{name}"]) for name in ("shoulder", "hip", "ear")]
    for left, right in pairs:
        assert (at(0).xy[..., left, 0] > at(0).xy[..., right, 0]).all()
        assert (at(180).xy[..., left, 0] < at(180).xy[..., right, 0]).all()
    for left, right in pairs[:2]:  # a head may be turned
        assert (at(90).xy_depth[..., left] > at(90).xy_depth[..., right]).all()
    assert (at(90).xy[..., K["nose"], 0] > at(90).xy[..., K["left_ear"], 0]).all()
    assert (at(-90).xy[..., K["nose"], 0] < at(-90).xy[..., K["left_ear"], 0]).all()


def test_a_face_shows_where_it_looks():
    vis = {yaw: draw_people(40, yaw=(yaw, yaw), poses=("standing",), **EASY).vis[:, 0] for yaw in (0, 90, 180, -90)}
    seen = {yaw: (flags == 2).float().mean(0) for yaw, flags in vis.items()}
    assert seen[0][K["nose"]] > 0.95 and seen[180][K["nose"]] == 0
    assert seen[0][[K["left_eye"], K["right_eye"]]].min() > 0.6
    assert seen[180][[K["left_eye"], K["right_eye"]]].max() == 0
    assert seen[90][K["right_ear"]] > 0.9 and seen[90][K["left_ear"]] == 0
    assert seen[-90][K["left_ear"]] > 0.9 and seen[-90][K["right_ear"]] == 0


def test_people_are_upright_and_of_human_proportions():
    scene = sample_scene(200, poses=("standing",), yaw=(0, 0), pitch=(0, 0), tilt=0, **EASY)
    y = {name: scene.xy[:, 0, k, 1] for name, k in K.items()}
    assert (y["nose"] < y["left_shoulder"]).all() and (y["left_shoulder"] < y["left_hip"]).all()
    assert (y["left_hip"] < y["left_knee"]).all() and (y["left_knee"] < y["left_ankle"]).all()
    tall = render(scene).mask[:, 0].amax(-1) > 0.5  # (B, H)
    height = tall.sum(-1)
    legs = (y["left_ankle"] - y["left_hip"]) / height
    assert (0.42 < legs).all() and (legs < 0.55).all()


def test_variety():
    people, scene = draw_people(300, seed=0), sample_scene(300, seed=0)
    x, depth = scene.xy[:, 0, :, 0], scene.xy_depth[:, 0]
    to_the_right = (depth[:, K["left_shoulder"]] > depth[:, K["right_shoulder"]]).float().mean()
    assert 0.4 < to_the_right < 0.6
    around = sample_scene(300, seed=0, yaw=(-180, 180)).xy[:, 0, :, 0]
    frontal = [(v[:, K["left_shoulder"]] > v[:, K["right_shoulder"]]).float().mean() for v in (x, around)]
    assert frontal[0] > 0.95 and 0.4 < frontal[1] < 0.6
    area = people.area[:, 0]
    assert area.quantile(0.9) > 1.6 * area.quantile(0.1)
    assert people.image.mean((1, 2, 3)).std() > 0.1
    seen = (people.vis == 2).float().mean()
    assert 0.5 < seen < 0.9
    hips, knees, nose = (scene.xy[:, 0, K[name], 1] for name in ("left_hip", "left_knee", "nose"))
    assert 0.05 < ((knees - hips).abs() < 0.4 * (hips - nose).abs()).float().mean() < 0.5  # sitting, kicking ...


def test_the_size_is_the_share_of_the_image_that_a_person_fills():
    mask = draw_people(100, (96, 128), size=(0.8, 0.8), **EASY).mask[:, 0] > 0.02
    high, wide = mask.any(-1).sum(-1) / 96, mask.any(-2).sum(-1) / 128
    fill = torch.maximum(high, wide)
    assert (fill > 0.76).all() and (fill < 0.83).all()
