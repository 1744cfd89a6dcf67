"""Pictures made worse: each kind by its own law and against another library, by chance that a seed fixes."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats
from torch import Tensor

from posebook.corruptions import AMOUNTS, corrupt
from posebook.people import draw_people
from posebook.warp import Affine, warp_image, warp_points

STRENGTHS = range(1, 6)
PEOPLE = draw_people(12, seed=5)
IMAGE, XY = PEOPLE.image, PEOPLE.xy[:, 0]


def close(actual: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# ---------------------------------------------------------------------------------------------------------------------
# All kinds


def test_eight_kinds_in_five_strengths():
    assert len(AMOUNTS) == 8 and all(len(amounts) == 5 for amounts in AMOUNTS.values())
    for amounts in AMOUNTS.values():
        assert list(amounts) in (sorted(amounts), sorted(amounts, reverse=True)) and len(set(amounts)) == 5


@pytest.mark.parametrize("kind", AMOUNTS)
def test_strength_0_changes_nothing_and_more_changes_more(kind):
    """Measured by the mean absolute difference to the clean pictures, or by how far keypoints move."""
    clean = corrupt(IMAGE, kind, 0, xy=XY)
    assert torch.equal(clean.image, IMAGE) and torch.equal(clean.xy, XY)
    assert clean.image.data_ptr() != IMAGE.data_ptr()
    results = [corrupt(IMAGE, kind, strength, xy=XY) for strength in range(6)]
    found = [((one.xy - XY).norm(dim=-1) if kind in ("scale", "rotation") else (one.image - IMAGE).abs()).mean().item()
             for one in results]
    assert found[0] == 0 and all(b > 1.05 * a for a, b in zip(found, found[1:], strict=False)), found


@pytest.mark.parametrize("kind", AMOUNTS)
def test_a_seed_fixes_chance_and_pictures_do_not_know_of_one_another(kind):
    before, state = IMAGE.clone(), torch.get_rng_state()
    one = corrupt(IMAGE, kind, 3, xy=XY, seed=1)
    again = corrupt(IMAGE, kind, 3, xy=XY, seed=1)
    assert torch.equal(one.image, again.image) and torch.equal(one.xy, again.xy)
    few = corrupt(IMAGE[:5], kind, 3, xy=XY[:5], seed=1)
    close(few.image, one.image[:5], atol=1e-6)
    assert torch.equal(few.xy, one.xy[:5])
    changes = kind in ("noise", "covering", "rotation")
    assert torch.equal(corrupt(IMAGE, kind, 3, seed=2).image, one.image) != changes
    assert torch.equal(IMAGE, before) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", AMOUNTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("leading", [(), (2,), (3, 2), (0,)])
def test_shapes_dtypes_and_devices(kind, dtype, leading, device):
    image, xy = torch.rand(*leading, 3, 20, 24).to(dtype).to(device), torch.rand(*leading, 7, 2).to(device)
    found = corrupt(image, kind, 4, xy=xy)
    assert (found.image.shape, found.image.dtype, found.image.device) == (image.shape, dtype, image.device)
    assert (found.xy.shape, found.xy.dtype) == (xy.shape, xy.dtype)
    assert corrupt(image, kind, 4).xy is None
    if leading == (3, 2):
        flat = corrupt(image.flatten(0, 1), kind, 4, xy=xy.flatten(0, 1))
        assert torch.equal(flat.image.view(image.shape), found.image) and torch.equal(flat.xy.view(xy.shape), found.xy)
    wide = corrupt(image.double(), kind, 4).image
    if kind != "jpeg":  # bytes: half precision may be a byte off, and then all of its block
        close(found.image.double(), wide, atol=1e-5 + 2 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("kind", AMOUNTS)
def test_pictures_stay_within_black_and_white(kind):
    for strength in STRENGTHS:
        found = corrupt(IMAGE, kind, strength).image
        assert found.min() >= -1e-6 and found.max() <= 1 + 1e-6


@pytest.mark.parametrize("act, words", [
    (lambda: corrupt(IMAGE, "snow", 1), "kind: want one of 'noise', 'blur', 'contrast', 'darkness', 'jpeg', "),
    (lambda: corrupt(IMAGE, "noise", 6), "strength: want a whole number from 0 to 5, got 6"),
    (lambda: corrupt(IMAGE, "noise", -1), "strength: want a whole number from 0 to 5, got -1"),
    (lambda: corrupt(IMAGE, "noise", 2.5), "strength: want a whole number from 0 to 5, got 2.5"),
    (lambda: corrupt(IMAGE, "noise", 1, seed=0.5), "seed: want a whole number, got 0.5"),
    (lambda: corrupt(IMAGE[0, 0], "noise", 1), "image: want shape (..., C, H, W), got (64, 64)"),
    (lambda: corrupt(IMAGE.byte(), "noise", 1), "image: want a floating dtype, got uint8"),
    (lambda: corrupt(IMAGE[:, :2], "jpeg", 1), "image: want one or three channels, got 2"),
    (lambda: corrupt(IMAGE, "scale", 1, xy=XY[:5]), "xy: want shape (12, 'K', 2), got (5, 17, 2)"),
    (lambda: corrupt(IMAGE, "noise", 1, xy=XY[..., :1]), "xy: want shape (..., 2), got (12, 17, 1)"),
])  # fmt: skip
def test_errors_are_named(act, words):
    with pytest.raises(ValueError) as error:
        act()
    assert str(error.value).startswith(words)


# ---------------------------------------------------------------------------------------------------------------------
# Each by its own law


@pytest.mark.parametrize("strength", STRENGTHS)
def test_noise_has_its_standard_deviation_where_nothing_is_clipped(strength):
    """On gray, clipped at 0 and 1; 147 456 values, so a standard error of 0.2 %. The same noise at every strength."""
    amount = AMOUNTS["noise"][strength - 1]
    found = corrupt(torch.full((12, 3, 64, 64), 0.5), "noise", strength).image - 0.5
    edge = 0.5 / amount
    inner = stats.truncnorm(-edge, edge)
    variance = (1 - 2 * stats.norm.sf(edge)) * inner.var() * amount**2 + 2 * stats.norm.sf(edge) * 0.25
    assert found.std().item() == pytest.approx(variance**0.5, rel=0.01) and abs(found.mean()) < 0.003
    if strength < 3:
        assert stats.kstest(found.flatten().numpy()[::7] / amount, "norm").pvalue > 1e-3
        weakest = corrupt(torch.full((12, 3, 64, 64), 0.5), "noise", 1).image - 0.5
        close(found, weakest * amount / AMOUNTS["noise"][0], atol=1e-5)
        assert abs(np.corrcoef(found[0].flatten(), found[1].flatten())[0, 1]) < 0.05


@pytest.mark.parametrize("strength", STRENGTHS)
def test_blur_is_that_of_scipy(strength):
    image = IMAGE[:2].double()
    sigma = AMOUNTS["blur"][strength - 1]
    want = ndimage.gaussian_filter(image.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=3)
    close(corrupt(image, "blur", strength).image, torch.from_numpy(want), atol=1e-9)
    close(corrupt(torch.full((3, 5, 4), 0.3), "blur", strength).image, torch.full((3, 5, 4), 0.3), atol=1e-6)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_contrast_and_darkness_scale(strength):
    contrast, darkness = (AMOUNTS[kind][strength - 1] for kind in ("contrast", "darkness"))
    found = corrupt(IMAGE, "contrast", strength).image
    close(found.mean((1, 2, 3)), IMAGE.mean((1, 2, 3)), atol=1e-5)
    close(found.std((1, 2, 3)), contrast * IMAGE.std((1, 2, 3)), atol=1e-5)
    close(corrupt(IMAGE, "darkness", strength).image, darkness * IMAGE, atol=1e-7)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_pillow_writes_and_reads(channels):
    image, sizes = IMAGE[:3, :channels], []
    for strength in STRENGTHS:
        found = corrupt(image, "jpeg", strength).image
        for one, other in zip(image, found, strict=True):
            bytes_ = (255 * one).round().byte().permute(1, 2, 0).squeeze(-1).numpy()
            file = io.BytesIO()
            Image.fromarray(bytes_).save(file, "JPEG", quality=AMOUNTS["jpeg"][strength - 1])
            want = torch.from_numpy(np.array(Image.open(file))).view(64, 64, channels).permute(2, 0, 1)
            assert torch.equal((255 * other).round().byte(), want)
            sizes.append(file.tell())
    assert np.all(np.diff(np.reshape(sizes, (5, 3)), axis=0) < 0)  # each stronger one is a smaller file


def test_a_rectangle_of_one_color_hides_its_share():
    """Each within its rows and columns of a pixel; what stronger ones hide more, weaker ones hide too, but for that."""
    image = -torch.ones(200, 3, 40, 60)  # no color is negative
    for strength in STRENGTHS:
        found = corrupt(image, "covering", strength).image
        hidden = (found >= 0).all(1)
        assert torch.equal(found < 0, ~hidden[:, None].expand_as(found))
        rows, columns = hidden.any(2), hidden.any(1)
        assert torch.equal(hidden, rows[:, :, None] & columns[:, None])  # a rectangle
        for line in (rows, columns):
            assert (line.int().diff(dim=1).abs().sum(1) <= 2).all()  # in one piece
        share, amount = hidden.double().mean((1, 2)), AMOUNTS["covering"][strength - 1]
        assert (share - amount).abs().max() < amount**0.5 * 2 * (1 / 40 + 1 / 60) + 1e-9
        assert share.mean().item() == pytest.approx(amount, rel=0.03)
        ratio = (columns.double().mean(1) / rows.double().mean(1)).log2()
        assert ratio.min() < -0.7 and ratio.max() > 0.7 and ratio.abs().max() < 1.4
        for k in (0, 57, 199):
            assert (found[k][:, hidden[k]] == found[k][:, hidden[k]][:, :1]).all()
    assert len({tuple(color) for color in found.amax((2, 3)).tolist()}) == 200
    center = hidden.double().mean(0)
    assert center[20, 30] > center[0, 0] > 0  # it reaches into corners too


@pytest.mark.parametrize("hw", [(64, 64), (40, 61)])
@pytest.mark.parametrize("strength", STRENGTHS)
def test_scale_and_rotation_move_keypoints_exactly(hw, strength):
    """With the picture: one that shows its own coordinates shows each keypoint's old place at its new one."""
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in hw), indexing="ij")
    image = torch.stack((x, y, x)).expand(16, 3, *hw).double()
    xy = torch.tensor([hw[1], hw[0]]) * (0.3 + 0.4 * torch.rand(16, 5, 2)).double()
    for kind in ("scale", "rotation"):
        amount, found = AMOUNTS[kind][strength - 1], corrupt(image, kind, strength, xy=xy, seed=4)
        if kind == "scale":
            maps = [Affine.rotation(0, hw, zoom=amount)]
        else:
            maps = [Affine.rotation(side * amount, hw) for side in (1, -1)]
        chosen = torch.stack([(found.xy - warp_points(xy, affine)).abs().amax((1, 2)) < 1e-9 for affine in maps])
        assert (chosen.sum(0) == 1).all() and chosen.any(1).all()  # one of them, and each side somewhere
        for k in range(16):
            affine = maps[chosen[:, k].int().argmax()]
            close(found.image[k], warp_image(image[k], affine, hw, beyond="edge"), atol=1e-12)
            low = found.xy[k].floor().long()
            u, v = (low + (low < 0).long()).unbind(-1)
            place = found.image[k][:2, v.clamp(0, hw[0] - 1), u.clamp(0, hw[1] - 1)].T
            inside = ((low >= 0) & (low < torch.tensor([hw[1], hw[0]]))).all(-1)
            back = warp_points(low.double(), affine.inverse())
            within = inside & ((back >= 0) & (back <= torch.tensor([hw[1] - 1, hw[0] - 1]))).all(-1)
            assert within.any()
            close(place[within], back[within], atol=1e-9)
        same = corrupt(image, kind, 1, xy=xy, seed=4).xy
        if kind == "rotation":  # the same side at every strength
            side = torch.stack([(same - warp_points(xy, Affine.rotation(s * 10, hw))).abs().amax((1, 2)) < 1e-9
                                for s in (1, -1)])
            assert torch.equal(side, chosen)


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "darkness", "jpeg", "covering"])
def test_the_others_leave_keypoints_where_they_are(kind):
    assert all(torch.equal(corrupt(IMAGE, kind, strength, xy=XY).xy, XY) for strength in STRENGTHS)
