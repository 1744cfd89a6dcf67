"""Flips and crops: of image, points and heatmaps together, in every grid convention."""

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
from posebook.warp import crop_grid, crop_image, flip_heatmap, flip_image, flip_points, flip_shift

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
