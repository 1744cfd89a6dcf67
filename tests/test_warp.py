"""Turns, flips, crops and any affine map: of image, points and heatmaps together, in every grid convention."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from posebook.decode import argmax, refine_dark
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax
from posebook.grid import Grid
from posebook.skeleton import COCO_17, Skeleton
from posebook.warp import (
    Affine,
    crop_grid,
    crop_image,
    flip_heatmap,
    flip_image,
    flip_points,
    flip_shift,
    warp_heatmap,
    warp_image,
    warp_points,
)

EYES = Skeleton(("nose", "left_eye", "right_eye"), pairs=((1, 2),))
HW, MAP = (64, 96), (16, 24)  # stride 4
GRIDS = {"index": Grid.index(4), "center": Grid.center(4), "unit_length": Grid.unit_length(HW, MAP)}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def people(n: int) -> Tensor:
    """Keypoints (n, 3, 2) in px, 6 or more cells from the sides."""
    return torch.tensor([28.0, 24.0]) + torch.rand(n, 3, 2) * torch.tensor([40.0, 16.0])


def mass_center(heatmap: Tensor) -> Tensor:
    y, x = torch.meshgrid(*[torch.arange(float(n)) for n in heatmap.shape[-2:]], indexing="ij")
    total = heatmap.sum((-2, -1))
    return torch.stack(((heatmap * x).sum((-2, -1)) / total, (heatmap * y).sum((-2, -1)) / total), -1)


# ---------------------------------------------------------------------------------------------------------------------
# Images and points


@pytest.mark.parametrize("width", [5, 8])
def test_a_pixel_and_its_point_go_together(width):
    for x in range(width):
        image = torch.zeros(3, 6, width)
        image[:, 2, x] = 1
        flipped = flip_points(torch.tensor([float(x), 2.0]), width)
        assert torch.equal(argmax(flip_image(image))[0], flipped)
    whole = torch.arange(24, dtype=torch.uint8).view(4, 6)
    assert flip_image(whole).dtype == torch.uint8 and torch.equal(flip_image(flip_image(whole)), whole)


def test_points_swap_left_and_right():
    xy = people(4)
    out = flip_points(xy, 96, skeleton=EYES)
    assert torch.equal(out[:, 0], torch.stack((95 - xy[:, 0, 0], xy[:, 0, 1]), -1))
    assert torch.equal(out[:, 1, 0], 95 - xy[:, 2, 0]) and torch.equal(out[:, 2, 1], xy[:, 1, 1])
    torch.testing.assert_close(flip_points(out, 96, skeleton=EYES), xy)
    assert torch.equal(flip_points(xy, 96), out[:, [0, 2, 1]])
    body = torch.rand(17, 2)
    assert torch.equal(flip_points(body, 10, skeleton=COCO_17)[5], flip_points(body, 10)[6])


# ---------------------------------------------------------------------------------------------------------------------
# The shift


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("cells", [1, 7, 48])
def test_shift_of_the_three_conventions(stride, cells):
    width = stride * cells
    assert flip_shift(Grid.index(stride), width=width, cells=cells) == pytest.approx((stride - 1) / stride, abs=1e-9)
    assert flip_shift(Grid.center(stride), width=width, cells=cells) == 0
    if cells > 1 and stride > 1:
        unit = Grid.unit_length((9, width), (3, cells))
        assert flip_shift(unit, width=width, cells=cells) == 0


@pytest.mark.parametrize("grid, width, cells", [
    (Grid.index(4), 96, 24), (Grid.index(4), 90, 23), (Grid(3.5, 1.25), 88, 24), (Grid((4.0, 2.0), (9.0, 0.0)), 96, 24),
])  # fmt: skip
def test_shift_is_what_the_geometry_says(grid, width, cells):
    """A point, its mirror image in cells, mirrored back in the map: so far is it from the point's own cell."""
    xy = torch.rand(20, 2) * width
    there = grid.to_cells(flip_points(xy, width))[:, 0]
    moved = grid.to_cells(xy)[:, 0] - (cells - 1 - there)
    torch.testing.assert_close(moved, torch.full_like(moved, flip_shift(grid, width=width, cells=cells)))


# ---------------------------------------------------------------------------------------------------------------------
# Heatmaps


@pytest.mark.parametrize("convention", GRIDS)
def test_flipped_back_it_is_the_heatmap_of_the_image(convention):
    """What a perfect network sees in the mirrored image, undone: every keypoint where it was, under its own name."""
    grid, xy = GRIDS[convention], people(20)
    mirrored = flip_points(xy, HW[1], skeleton=EYES)
    heatmaps = gaussian_heatmap(grid.to_cells(mirrored), MAP, sigma=1.2)
    back = flip_heatmap(heatmaps, HW[1], grid, skeleton=EYES)
    straight = gaussian_heatmap(grid.to_cells(xy), MAP, sigma=1.2)
    torch.testing.assert_close(mass_center(back), mass_center(straight), rtol=0, atol=2e-4)
    if convention == "index":  # interpolation widens: by f (1 - f) cells^2
        assert (back - straight).abs().max() < 0.1
        assert (refine_dark(back) - refine_dark(straight)).abs().max() < 0.04
    else:
        torch.testing.assert_close(back, straight, rtol=0, atol=1e-12)
        torch.testing.assert_close(grid.to_image(refine_dark(back)), xy, rtol=0, atol=1e-9)


def test_the_most_asked_question():
    """Index grid, stride 4: mirrored only, off by -3 px, averaged with the straight map -1.5; shifted a cell, +1 px."""
    grid, xy = GRIDS["index"], people(20)
    straight = gaussian_heatmap(grid.to_cells(xy), MAP, sigma=1.5)
    heatmaps = gaussian_heatmap(grid.to_cells(flip_points(xy, HW[1])), MAP, sigma=1.5)
    mirrored = flip_image(heatmaps)

    def error(heatmap: Tensor) -> float:
        off = (grid.to_image(mass_center(heatmap)) - xy)[..., 0]
        assert off.std() < 0.02
        return off.mean().item()

    assert error(mirrored) == pytest.approx(-3, abs=5e-3)
    assert error((mirrored + straight) / 2) == pytest.approx(-1.5, abs=5e-3)
    cell = torch.cat((mirrored[..., :1], mirrored[..., :-1]), -1)
    assert error(cell) == pytest.approx(1, abs=5e-3)
    assert error((cell + straight) / 2) == pytest.approx(0.5, abs=5e-3)
    assert error(flip_heatmap(heatmaps, HW[1], grid)) == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("leading", [(), (2,), (2, 0)])
def test_the_problems_definition(stride, leading):
    """flip_back: mirror, swap, out[i] = (1 - f) in[i] + f in[i - 1] with in[-1] := in[0]."""
    heatmaps = torch.rand(*leading, 3, 4, 6)
    source = heatmaps[..., [0, 2, 1], :, :].flip(-1)
    f, expected = (stride - 1) / stride, torch.empty_like(heatmaps)
    for i in range(6):
        expected[..., i] = (1 - f) * source[..., i] + f * source[..., max(i - 1, 0)]
    out = flip_heatmap(heatmaps, 6 * stride, Grid.index(stride), skeleton=EYES)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-9)
    assert torch.equal(flip_heatmap(heatmaps, 6 * stride, Grid.center(stride), skeleton=EYES), source)


@pytest.mark.parametrize("shift", [-7.5, -2.0, -1.25, -0.5, 0.0, 0.3, 1.0, 2.75, 9.0])
def test_any_shift_interpolates_linearly_and_repeats_the_edges(shift):
    """Of a ramp, which interpolation reproduces: clamped where the source would lie outside."""
    ramp = torch.arange(6.0).expand(2, 6)
    grid = Grid(1.0, -shift / 2)
    assert flip_shift(grid, width=6, cells=6) == pytest.approx(shift)
    out = flip_heatmap(ramp, 6, grid)
    torch.testing.assert_close(out[0], 5 - (torch.arange(6.0) - shift).clamp(0, 5), rtol=0, atol=1e-12)


def test_interpolation_moves_the_mass_exactly_and_widens_it():
    heatmap = gaussian_heatmap(torch.tensor([11.4, 8.0]), (17, 25), sigma=1.3)
    back = flip_heatmap(heatmap, 100, Grid.index(4))
    moved = mass_center(back)[0] - (24 - mass_center(heatmap)[0])
    assert moved.item() == pytest.approx(0.75, abs=1e-12) and back.sum().item() == pytest.approx(heatmap.sum().item())
    x = torch.arange(25.0)
    spread = [((h * (x - mass_center(h)[0]).square()).sum() / h.sum()).item() for h in (heatmap, back)]
    assert spread[1] - spread[0] == pytest.approx(0.75 * 0.25, abs=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (0,)])
@pytest.mark.parametrize("convention", ["index", "center"])
def test_shape_dtype_device(dtype, leading, convention, device):
    heatmaps = torch.rand(*leading, 3, *MAP).to(dtype).to(device)
    before = heatmaps.clone()
    out = flip_heatmap(heatmaps, 96, GRIDS[convention], skeleton=EYES)
    assert (out.shape, out.dtype, out.device.type) == (heatmaps.shape, dtype, device)
    assert torch.equal(heatmaps, before)
    plain = flip_heatmap(heatmaps, 96, GRIDS[convention])
    assert torch.equal(plain[..., [0, 2, 1], :, :], out)
    xy = torch.rand(*leading, 3, 2).to(dtype).to(device)
    out = flip_points(xy, 96, skeleton=EYES)
    assert (out.shape, out.dtype, out.device.type) == (xy.shape, dtype, device)


def test_gradients_meta_and_logits():
    grid = Grid.index(4)
    heatmaps = torch.rand(3, 2, 5, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h: flip_heatmap(h, 20, grid, skeleton=EYES), heatmaps)
    assert torch.autograd.gradcheck(lambda p: flip_points(p, 20, skeleton=EYES), torch.rand(3, 2, requires_grad=True))
    assert flip_heatmap(torch.empty(3, 2, 5, device="meta"), 20, grid, skeleton=EYES).device.type == "meta"
    assert flip_points(torch.empty(3, 2, device="meta"), 20, skeleton=EYES).device.type == "meta"
    out = flip_heatmap(torch.tensor([[-torch.inf, -torch.inf, 0.0, 1.0]]), 16, grid)
    assert out.tolist() == [[1.0, 0.75, -torch.inf, -torch.inf]]
    x = torch.arange(24.0)  # a quadratic has no peak to widen: interpolated logits keep theirs to 1e-2 cells
    logits = -(x - 10.3).square()[None] / 4
    assert soft_argmax(flip_heatmap(logits, 96, grid))[0].item() == pytest.approx(23 - 10.3 + 0.75, abs=1e-2)


@pytest.mark.parametrize("call, text", [
    (lambda: flip_image(torch.zeros(3)), "image: want a tensor (..., H, W), got torch.Size([3])"),
    (lambda: flip_image([[1]]), "image: want a tensor (..., H, W), got list"),
    (lambda: flip_points(torch.zeros(3), 9), "xy: want shape (..., 2), got (3,)"),
    (lambda: flip_points(torch.zeros(3, 2), 0), "width: want a finite number > 0, got 0"),
    (lambda: flip_points(torch.zeros(4, 2), 9, skeleton=EYES),
     "xy: want 3 keypoints, as the skeleton has, on axis -2, got (4, 2)"),
    (lambda: flip_points(torch.zeros(2), 9, skeleton=EYES),
     "xy: want 3 keypoints, as the skeleton has, on axis -2, got (2,)"),
    (lambda: flip_heatmap(torch.zeros(3, 4, 5).long(), 20, Grid(4)), "heatmaps: want a floating dtype, got int64"),
    (lambda: flip_heatmap(torch.zeros(2, 4, 5), 20, Grid(4), skeleton=EYES),
     "heatmaps: want 3 keypoints, as the skeleton has, on axis -3, got (2, 4, 5)"),
    (lambda: flip_heatmap(torch.zeros(4, 5), -1, Grid(4)), "width: want a finite number > 0, got -1"),
    (lambda: flip_shift(Grid(4), width=8, cells=0), "cells: want a finite number > 0, got 0"),
])  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text


@pytest.mark.parametrize("call, text", [
    (lambda: flip_points(torch.zeros(3, 2), 9, skeleton=[0, 2, 1]), "skeleton: want a Skeleton, got list"),
    (lambda: flip_heatmap(torch.zeros(3, 4, 5), 9, Grid(), skeleton=(0, 2, 1)), "skeleton: want a Skeleton, got tuple"),
    (lambda: flip_heatmap(torch.zeros(3, 4, 5), 9, 4), "grid: want a Grid, got int"),
    (lambda: flip_shift(None, width=9, cells=5), "grid: want a Grid, got NoneType"),
])  # fmt: skip
def test_other_types_are_named(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_wide_result_rounded(dtype):
    draw = torch.Generator().manual_seed(0)
    xy, maps = (700 * torch.rand(50, 2, generator=draw)).to(dtype), torch.randn(4, 6, 9, generator=draw).to(dtype)
    assert torch.equal(flip_points(xy, 701), flip_points(xy.float(), 701).to(dtype))
    grid = Grid.index(4)
    assert torch.equal(flip_heatmap(maps, 37, grid), flip_heatmap(maps.float(), 37, grid).to(dtype))


# ---------------------------------------------------------------------------------------------------------------------
# Crops

SIZES = st.floats(0.5, 500)
BOXES = st.tuples(st.floats(-300, 300), st.floats(-300, 300), SIZES, SIZES)
SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(box=BOXES, hw=SHAPES, scale=st.floats(0.2, 5))
def test_a_crop_tiles_the_box_enlarged_to_its_aspect_ratio(box, hw, scale):
    grid = crop_grid(box, hw, scale=scale)
    ends = torch.tensor([[-0.5, -0.5], [hw[1] - 0.5, hw[0] - 0.5]])  # its outer edges, in its own px
    (left, top), (right, bottom) = grid.to_image(ends).tolist()
    x, y, w, h = box
    near = pytest.approx
    assert ((left + right) / 2, (top + bottom) / 2) == (near(x + w / 2, abs=1e-6), near(y + h / 2, abs=1e-6))
    wide, high = (right - left) / (scale * w), (bottom - top) / (scale * h)
    assert min(wide, high) == near(1) and (right - left) / (bottom - top) == near(hw[1] / hw[0])
    point = torch.tensor([x, y])
    torch.testing.assert_close(grid.to_image(grid.to_cells(point)), point)


def test_the_whole_image_is_the_box_from_minus_a_half():
    image = torch.rand(3, 5, 7)
    grid = crop_grid((-0.5, -0.5, 7.0, 5.0), (5, 7))
    assert grid == Grid(1.0, (0.0, 0.0))
    torch.testing.assert_close(crop_image(image, grid, (5, 7)), image)
    half = crop_image(image[:, :4, :6], crop_grid((-0.5, -0.5, 6.0, 4.0), (2, 3)), (2, 3))
    torch.testing.assert_close(half, torch.nn.functional.avg_pool2d(image[:, :4, :6], 2))  # between four pixels


@pytest.mark.parametrize("box", [(3.2, 4.1, 9.0, 7.0), (-6.3, 8.0, 14.0, 9.5), (200.0, 0.0, 5.0, 5.0)])
def test_a_crop_is_the_image_between_pixels_and_0_beyond_it(box, device):
    """Against scipy's linear interpolation."""
    image, hw = torch.rand(3, 15, 18), (11, 6)
    grid = crop_grid(box, hw)
    v, u = torch.meshgrid(*(torch.arange(float(n)) for n in hw), indexing="ij")
    x, y = grid.to_image(torch.stack((u, v), -1)).unbind(-1)
    want = [ndimage.map_coordinates(one.numpy(), [y.numpy(), x.numpy()], order=1, mode="grid-constant")
            for one in image]
    found = crop_image(image.to(device), grid, hw)
    torch.testing.assert_close(found.cpu(), torch.stack(list(map(torch.from_numpy, want))))


def test_a_crop_shows_at_each_point_what_the_image_shows_there():
    """In an image that holds its own coordinates, which linear interpolation keeps."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(80.0), indexing="ij")
    xy = 5 + 50 * torch.rand(40, 2)
    for box in ((20.0, 10.0, 50.0, 30.0), (3.3, 5.0, 11.0, 55.5)):
        grid = crop_grid(box, (96, 72))
        place = crop_image(torch.stack((x, y)), grid, (96, 72))
        u, v = grid.to_cells(xy).round().long().unbind(-1)
        seen = (u >= 0) & (u < 72) & (v >= 0) & (v < 96)
        where = grid.to_image(torch.stack((u, v), -1)[seen].double())
        inside = ((where >= 0) & (where <= torch.tensor([79.0, 63.0]))).all(-1)
        assert inside.sum() > 10
        torch.testing.assert_close(place[:, v[seen], u[seen]].T[inside], where[inside])


def test_several_crops_are_those_one_by_one():
    images = torch.rand(3, 2, 20, 30)
    grids = [crop_grid((x, 2.0, 8.0 + x, 9.0), (6, 4)) for x in (0.0, 5.5, 20.0)]
    each = torch.stack([crop_image(image, grid, (6, 4)) for image, grid in zip(images, grids, strict=True)])
    assert torch.equal(crop_image(images, grids, (6, 4)), each)
    same = torch.stack([crop_image(images[0], grid, (6, 4)) for grid in grids])
    assert torch.equal(crop_image(images[0], grids, (6, 4)), same)
    assert crop_image(images[:1], grids[0], (6, 4)).shape == crop_image(images[0], grids[:1], (6, 4)).shape
    assert torch.autograd.gradcheck(lambda image: crop_image(image, grids, (6, 4)), images[0].requires_grad_())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_crop_keeps_the_dtype_and_is_made_in_float32_or_more(dtype):
    image, grid = torch.rand(1, 40, 600).to(dtype), crop_grid((500.3, 3.0, 30.0, 30.0), (32, 32))
    found = crop_image(image, grid, (32, 32))
    assert found.dtype == dtype
    want = crop_image(image.double(), grid, (32, 32))
    torch.testing.assert_close(found.double(), want, rtol=0, atol=1e-4 + torch.finfo(dtype).eps)


@pytest.mark.parametrize("act, words", [
    (lambda: crop_grid((0, 0, 0, 5), (4, 4)), "box: want .x, y, w, h., four finite numbers with w, h > 0"),
    (lambda: crop_grid((0, 0, float("nan"), 5), (4, 4)), "box: "), (lambda: crop_grid(torch.rand(4), (4, 4)), "box: "),
    (lambda: crop_grid((0, 0, 5, 5), (4, 0)), "hw: "), (lambda: crop_grid((0, 0, 5, 5), (4, 4), scale=0), "scale: "),
    (lambda: crop_image(torch.rand(4, 4), Grid(), (2, 2)), "image: want shape .C, H, W. or .N, C, H, W., got .4, 4."),
    (lambda: crop_image(torch.ones(1, 4, 4).int(), Grid(), (2, 2)), "image: want a floating dtype, got int32"),
    (lambda: crop_image(torch.rand(1, 4, 4), [], (2, 2)), "grid: want at least one, got 0"),
    (lambda: crop_image(torch.rand(2, 1, 4, 4), Grid(), (2, 2)), "grid: want one for each image, got 1"),
    (lambda: crop_image(torch.rand(1, 4, 4), (1.0, 0.0), (2, 2)), "grid: want a Grid, got float"),
    (lambda: crop_image(torch.rand(1, 4, 4), None, (2, 2)), "grid: want a Grid, got NoneType"),
    (lambda: crop_image(torch.rand(1, 4, 4), Grid(), (2, 2.5)), "hw: "),
])
def test_what_no_crop_can_be_is_told(act, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        act()


# ---------------------------------------------------------------------------------------------------------------------
# Affine maps

SIZES_OF_TURNS = [(4, 4), (5, 5), (4, 6), (5, 9), (4, 7), (7, 2), (1, 6), (5, 1), (1, 1)]
ANY = Affine(((0.8, -0.55, 3.2), (0.35, 1.1, -2.7)))


def turned(k: int, hw: tuple[int, int]) -> tuple[Affine, tuple[int, int]]:
    into = hw[::-1] if k % 2 else hw
    return Affine.rotation(90 * k, hw, into=into), into


def some_affines(n: int = 12) -> list[Affine]:
    """With turns, shears, zooms and mirrors."""
    draw = torch.Generator().manual_seed(3)
    found = []
    while len(found) < n:
        (a, b, c), (d, e, f) = (4 * torch.rand(2, 3, generator=draw) - 2).tolist()
        one = Affine(((a, b, 5 * c + 4), (d, e, 5 * f + 4)))
        if abs(one.determinant) > 0.3:
            found.append(one)
    return found


def matrix(affine: Affine) -> np.ndarray:
    return np.vstack((np.array(affine.matrix), (0, 0, 1)))


@pytest.mark.parametrize("hw", SIZES_OF_TURNS)
@pytest.mark.parametrize("k", range(-5, 6))
def test_quarter_turns_are_those_of_torch_to_the_bit(hw, k, device):
    """Of images, of every pixel's point, in every dtype."""
    affine, into = turned(k, hw)
    for dtype in DTYPES:
        image = torch.randn(3, *hw, device=device).to(dtype)
        assert torch.equal(warp_image(image, affine, into), torch.rot90(image, k, (-2, -1)))
        assert torch.equal(warp_image(image, affine, into, beyond="edge"), torch.rot90(image, k, (-2, -1)))
    for y in range(hw[0]):
        for x in range(hw[1]):
            impulse = torch.zeros(hw)
            impulse[y, x] = 1
            assert torch.equal(warp_points(torch.tensor([x, y]).double(), affine), argmax(torch.rot90(impulse, k)))


@pytest.mark.parametrize("hw, fits", [((6, 6), True), ((5, 5), True), ((4, 8), True), ((5, 9), True), ((4, 7), False)])
def test_a_quarter_turn_in_the_same_frame_is_exact_where_the_sides_differ_by_an_even_number(hw, fits):
    """What leaves the frame is lost, what comes in is 0; otherwise pixels fall between pixels."""
    image = torch.rand(hw)
    found = warp_image(image, Affine.rotation(90, hw), hw)
    h, w = hw
    whole = torch.rot90(image, 1)  # (w, h)
    if fits:
        cut, pad = (w - h) // 2, torch.zeros(h, (w - h) // 2)
        assert torch.equal(found, torch.cat((pad, whole[cut : cut + h], pad), 1))
    else:
        assert not torch.isin(found[found > 0], image).any()


@pytest.mark.parametrize("k", range(-4, 5))
def test_turns_add_up(k):
    """Turns of 90 degrees and another angle, and n turns of 360 / n degrees."""
    for degrees in (0, 17.3, 45, 200.5, 359):
        one = matrix(Affine.rotation(90 * k, (7, 7)) @ Affine.rotation(degrees, (7, 7)))
        np.testing.assert_allclose(one, matrix(Affine.rotation(90 * k + degrees, (7, 7))), atol=1e-13)
    n = k % 7 + 1
    around = Affine()
    for _ in range(n):
        around = Affine.rotation(360 / n, (5, 9)) @ around
    np.testing.assert_allclose(matrix(around), np.eye(3), atol=1e-13)


def test_a_turn_is_counterclockwise_about_the_center_and_zooms():
    right, center = torch.tensor([9.0, 3.0]), torch.tensor([4.0, 3.0])  # of 7 x 9 px
    for degrees in (0, 30, 90, 250):
        angle = math.radians(degrees)
        up = torch.tensor([math.cos(angle), -math.sin(angle)])
        found = warp_points(right, Affine.rotation(degrees, (7, 9), zoom=2.0))
        torch.testing.assert_close(found, center + 10 * up)
        found = warp_points(right, Affine.rotation(degrees, (7, 9), into=(21, 4)))
        torch.testing.assert_close(found, torch.tensor([1.5, 10.0]) + 5 * up)


def test_products_and_inverses_are_those_of_matrices():
    xy = 9 * torch.randn(30, 2)
    for first in some_affines():
        for second in some_affines()[:4]:
            np.testing.assert_allclose(matrix(second @ first), matrix(second) @ matrix(first), atol=1e-12)
            torch.testing.assert_close(warp_points(xy, second @ first), warp_points(warp_points(xy, first), second))
        np.testing.assert_allclose(matrix(first.inverse()), np.linalg.inv(matrix(first)), atol=1e-11)
        torch.testing.assert_close(warp_points(warp_points(xy, first), first.inverse()), xy)
        assert first.determinant == pytest.approx(np.linalg.det(matrix(first)))
    assert Affine.rotation(90, (4, 6), into=(6, 4)).inverse() == Affine.rotation(-90, (6, 4), into=(4, 6))
    assert "-0.0" not in f"{Affine.rotation(180, (4, 6)).inverse()} {Affine.flip(5).inverse()} {Affine().inverse()}"


@pytest.mark.parametrize("affine", [*some_affines(), ANY, Affine.rotation(30, (11, 17)), Affine.flip(17.5)])
@pytest.mark.parametrize("beyond, mode", [("zero", "grid-constant"), ("edge", "nearest")])
def test_an_image_looks_up_where_its_pixels_came_from(affine, beyond, mode, device):
    """As scipy does; a bilinear image of coordinates shows each pixel's origin."""
    image, hw = torch.rand(2, 11, 17), (13, 12)
    (a, b, c), (d, e, f) = affine.inverse().matrix
    want = [ndimage.affine_transform(one.numpy(), [[e, d], [b, a]], offset=(f, c), output_shape=hw, order=1, mode=mode)
            for one in image]
    found = warp_image(image.to(device), affine, hw, beyond=beyond).cpu()
    torch.testing.assert_close(found, torch.from_numpy(np.stack(want)))
    y, x = torch.meshgrid(torch.arange(11.0), torch.arange(17.0), indexing="ij")
    origin = warp_image(torch.stack((x, y)), affine, hw, beyond="edge").permute(1, 2, 0)  # (h, w, 2)
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in hw), indexing="ij")
    want = warp_points(torch.stack((x, y), -1), affine.inverse())
    torch.testing.assert_close(origin, want.clamp(torch.zeros(2), torch.tensor([16.0, 10.0])))


def test_a_crop_is_the_inverse_of_its_grid():
    image = torch.rand(3, 20, 30)
    for grid in (crop_grid((3.2, 4.0, 12.0, 9.0), (8, 6)), Grid(1.0, (4.0, -3.0)), Grid((0.5, 2.5), (3.3, 1.0))):
        affine = Affine.of_grid(grid).inverse()
        torch.testing.assert_close(warp_image(image, affine, (8, 6)), crop_image(image, grid, (8, 6)))
        xy = 20 * torch.rand(9, 2)
        torch.testing.assert_close(warp_points(xy, affine), grid.to_cells(xy))
    whole = crop_image(image, [Grid(1.0, (4.0, -3.0)), Grid(1.5), Grid(1.0, (0.5, 2.0))], (8, 6))
    assert torch.equal(whole[0], torch.cat((torch.zeros(3, 3, 6), image[:, :5, 4:10]), 1))
    torch.testing.assert_close(whole[2], (image[:, 2:10, :6] + image[:, 2:10, 1:7]) / 2)


def test_a_flip_is_an_affine_map():
    image, xy = torch.rand(3, 5, 8), people(2)
    assert torch.equal(warp_image(image, Affine.flip(8), (5, 8)), flip_image(image))
    assert torch.equal(warp_points(xy, Affine.flip(96), skeleton=EYES), flip_points(xy, 96, skeleton=EYES))
    once = Affine.rotation(20, (64, 96))
    assert torch.equal(warp_points(xy, once, skeleton=EYES), warp_points(xy, once))
    assert torch.equal(warp_points(xy, once @ Affine.flip(96), skeleton=EYES), warp_points(xy[:, [0, 2, 1]], once
                                                                                          @ Affine.flip(96)))
    for grid in GRIDS.values():
        maps = torch.rand(3, *MAP)
        found = warp_heatmap(maps, Affine.flip(96), grid, MAP, skeleton=EYES)
        assert torch.equal(found, flip_heatmap(maps, 96, grid, skeleton=EYES))
        twice = warp_heatmap(maps, Affine.rotation(180, HW) @ Affine.rotation(180, HW), grid, MAP, skeleton=EYES)
        assert torch.equal(twice, maps)


@pytest.mark.parametrize("hw", [(64, 96), (80, 80), (76, 60)])
@pytest.mark.parametrize("k", range(4))
def test_a_quarter_turn_of_the_map_is_the_map_of_the_quarter_turn(hw, k):
    """To the bit where the grid is centered in the image; Grid.index is not, and interpolates."""
    affine, into = turned(k, hw)
    cells, new_cells = (hw[0] // 4, hw[1] // 4), (into[0] // 4, into[1] // 4)
    xy = torch.tensor([hw[1], hw[0]]) * (0.4 + 0.2 * torch.rand(5, 2))
    for make in (lambda hw, cells: Grid.center(4), Grid.unit_length, lambda hw, cells: Grid.index(4)):
        grid, new = make(hw, cells), make(into, new_cells)
        before = gaussian_heatmap(grid.to_cells(xy), cells, sigma=1.0)
        after = gaussian_heatmap(new.to_cells(warp_points(xy, affine)), new_cells, sigma=1.0)
        found = warp_heatmap(before, affine, grid, new_cells, into=new)
        if new == Grid.index(4) and k:
            assert not torch.isin(found, before).all()
            torch.testing.assert_close(mass_center(found), mass_center(after), rtol=0, atol=1e-3)
        else:
            assert torch.equal(found, torch.rot90(before, k, (-2, -1)))
            torch.testing.assert_close(found, after, rtol=0, atol=1e-12)


@pytest.mark.parametrize("convention", GRIDS)
@pytest.mark.parametrize("degrees", [10, 77, 90, 213])
def test_the_mass_of_a_turned_map_lies_where_the_turned_keypoint_does(convention, degrees):
    grid, xy, affine = GRIDS[convention], people(30)[:, 0], Affine.rotation(degrees, HW)
    found = warp_heatmap(gaussian_heatmap(grid.to_cells(xy), MAP, sigma=1.0), affine, grid, MAP)
    off = grid.to_image(mass_center(found)) - warp_points(xy, affine)
    moved = warp_points(xy, affine)
    inside = ((moved > 20) & (moved < torch.tensor([75.0, 43.0]))).all(-1)
    assert inside.sum() > 5 and off[inside].norm(dim=-1).max() < 0.08  # 0.02 cells


@pytest.mark.parametrize("affine", [ANY, Affine.rotation(90, MAP), Affine.flip(24), Affine(((1, 0, 0.5), (0, 1, 0)))])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_leading_axes_dtypes_and_devices(affine, dtype, device):
    for leading in ((), (3,), (2, 3), (0,), (2, 0, 3)):
        image = torch.rand(*leading, *MAP).to(dtype).to(device)
        before = image.clone()
        found = warp_image(image, affine, (9, 7))
        assert (found.shape, found.dtype, found.device.type) == ((*leading, 9, 7), dtype, device)
        wide = warp_image(image.float(), affine, (9, 7)).to(dtype) if dtype.itemsize < 4 else found
        assert torch.equal(found, wide) and torch.equal(image, before)
        found += 1
        assert torch.equal(image, before)  # no view
        xy = torch.rand(*leading, 2).to(dtype).to(device)
        assert warp_points(xy, affine).dtype == dtype and warp_points(xy, affine).shape == xy.shape
        assert warp_heatmap(image, affine, Grid.center(4), (9, 7)).shape == (*leading, 9, 7)
    many = torch.rand(2, 3, *MAP)
    one_by_one = torch.stack([warp_image(image, affine, (9, 7)) for image in many.flatten(0, 1)]).view(2, 3, 9, 7)
    assert torch.equal(warp_image(many, affine, (9, 7)), one_by_one)


def test_gradients_of_affine_maps():
    image, xy = torch.rand(2, 4, 5, requires_grad=True), torch.rand(3, 2, requires_grad=True)
    for affine in (ANY, Affine.rotation(90, (4, 5)), Affine.flip(5.5)):
        for beyond in ("zero", "edge"):
            assert torch.autograd.gradcheck(lambda z, a=affine, b=beyond: warp_image(z, a, (3, 6), beyond=b), image)
        assert torch.autograd.gradcheck(lambda p, a=affine: warp_points(p, a), xy)
        assert torch.autograd.gradcheck(lambda z, a=affine: warp_heatmap(z, a, Grid.index(2), (4, 5)), image)
    meta = torch.empty(2, 4, 5, device="meta")
    assert warp_image(meta, Affine.rotation(90, (4, 5)), (5, 4)).shape == (2, 5, 4)


def test_what_is_unknown_stays_what_it_is():
    """A coordinate of NaN spoils no other, a logit of -inf no cell that does not look at it."""
    xy = torch.tensor([[math.inf, 1.0], [2.0, math.nan]])
    found = warp_points(xy, Affine.rotation(90, (4, 4)))
    assert found[0].tolist() == [1.0, -math.inf] and math.isnan(found[1, 0]) and found[1, 1] == 1
    logits = torch.full((2, 3), -math.inf)
    logits[1, 0] = 7
    assert torch.equal(warp_image(logits, Affine.rotation(90, (2, 3), into=(3, 2)), (3, 2)), torch.rot90(logits))


@pytest.mark.parametrize("act, words", [
    (lambda: Affine(((1, 0, 0), (0, 1))), "matrix: want ((a, b, c), (d, e, f)), finite numbers, got ((1, 0, 0)"),
    (lambda: Affine(((1, 0, math.nan), (0, 1, 0))), "matrix: want ((a, b, c), (d, e, f)), finite"),
    (lambda: Affine(torch.eye(3)[:2]), "matrix: want ((a, b, c), (d, e, f)), finite numbers, got Tensor"),
    (lambda: Affine(((1, 2, 0), (2, 4, 0))), "matrix: want a map that can be undone, a e - b d not 0, got ((1, 2, 0)"),
    (lambda: Affine.rotation(math.inf, (4, 4)), "degrees: want a finite number, got inf"),
    (lambda: Affine.rotation(30, (4, 0)), "hw: "), (lambda: Affine.rotation(30, (4, 4), into=3), "into: "),
    (lambda: Affine.rotation(30, (4, 4), zoom=0), "zoom: want a finite number > 0, got 0"),
    (lambda: Affine.flip(0), "width: want a finite number > 0, got 0"),
    (lambda: Affine.of_grid(4), "grid: want a Grid, got int"),
    (lambda: warp_points(torch.rand(3), Affine()), "xy: want shape (..., 2), got (3,)"),
    (lambda: warp_points(torch.rand(3, 2), Grid()), "affine: want an Affine, got Grid"),
    (lambda: warp_points(torch.rand(4, 2), Affine(), skeleton=EYES), "xy: want 3 keypoints, as the skeleton has"),
    (lambda: warp_image(torch.ones(4, 4).int(), Affine(), (2, 2)), "image: want a floating dtype, got int32"),
    (lambda: warp_image(torch.rand(4, 4), None, (2, 2)), "affine: want an Affine, got NoneType"),
    (lambda: warp_image(torch.rand(4, 4), Affine(), (2, 0)), "hw: "),
    (lambda: warp_image(torch.rand(4, 4), Affine(), (2, 2), beyond="mirror"), "beyond: want one of 'zero', 'edge'"),
    (lambda: warp_heatmap(torch.rand(3), Affine(), Grid(), (2, 2)), "heatmaps: want shape (..., H, W)"),
    (lambda: warp_heatmap(torch.rand(4, 4), Affine(), 4, (2, 2)), "grid: want a Grid, got int"),
    (lambda: warp_heatmap(torch.rand(4, 4), Affine(), Grid(), (2, 2), into=4), "grid: want a Grid, got int"),
    (lambda: warp_heatmap(torch.rand(2, 4, 4), Affine(), Grid(), (2, 2), skeleton=EYES), "heatmaps: want 3 keypoints"),
])  # fmt: skip
def test_what_no_map_can_be_is_told(act, words):
    with pytest.raises(ValueError) as error:
        act()
    assert str(error.value).startswith(words)


def test_a_product_with_anything_else_is_no_affine_map():
    with pytest.raises(TypeError):
        Affine() @ 3
