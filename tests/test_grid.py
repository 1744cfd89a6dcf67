import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posebook.grid import Grid

GRIDS = [Grid(), Grid.index(4), Grid.center(4.0), Grid((2.0, 3.0), (0.5, -7.0)), Grid.unit_length((256, 192), (64, 48))]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_the_three_conventions():
    cells = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    assert Grid.index(4).to_image(cells).tolist() == [[0, 0], [4, 8]]
    assert Grid.center(4).to_image(cells).tolist() == [[1.5, 1.5], [5.5, 9.5]]
    assert Grid.unit_length((9, 5), (3, 3)).to_image(cells).tolist() == [[0, 0], [2, 8]]  # strides 2 in x, 4 in y


def test_center_lies_amid_the_pixels_of_its_cell():
    pixels = torch.arange(12.0).reshape(3, 4).mean(1)
    assert torch.equal(Grid.center(4).to_image(torch.arange(3.0)[:, None].expand(3, 2))[:, 0], pixels)
    assert Grid.center((4, 3)) == Grid((4, 3), (1.5, 1.0))


def test_unit_length_maps_corners_to_corners_and_flips_to_flips():
    grid = Grid.unit_length((256, 192), (64, 48))
    last = torch.tensor([47.0, 63.0], dtype=torch.float64)
    torch.testing.assert_close(grid.to_image(last), torch.tensor([191.0, 255.0], dtype=torch.float64))
    cells = torch.rand(50, 2, dtype=torch.float64) * last
    torch.testing.assert_close(191 - grid.to_image(cells)[:, 0], grid.to_image(last - cells)[:, 0])


@pytest.mark.parametrize("convention, shift", [(Grid.index, -3 / 4), (Grid.center, 0.0)])
def test_flipping_image_and_map_differ_by_this_many_cells(convention, shift):
    """Image width 192 = 48 cells of 4: an index grid is off by -(s - 1)/s cells, a center grid is not."""
    x = torch.tensor([[100.0, 0.0]], dtype=torch.float64)
    flipped = torch.tensor([[191.0 - 100.0, 0.0]], dtype=torch.float64)
    back = 47 - convention(4).to_cells(flipped)[0, 0]
    assert (back - convention(4).to_cells(x)[0, 0]).item() == pytest.approx(shift, abs=1e-12)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_decoding_with_the_other_convention_is_off_by_half_of_stride_minus_one(stride):
    xy = torch.rand(20, 2, dtype=torch.float64) * 100
    mixed = Grid.index(stride).to_image(Grid.center(stride).to_cells(xy)) - xy
    torch.testing.assert_close(mixed, torch.full_like(xy, -(stride - 1) / 2))


@settings(derandomize=True, database=None)
@given(*[st.floats(*limits) for limits in [(0.1, 64), (0.1, 64), (-50, 50), (-50, 50), (-1e3, 1e3), (-1e3, 1e3)]])
def test_round_trip(stride_x, stride_y, offset_x, offset_y, x, y):
    grid = Grid((stride_x, stride_y), (offset_x, offset_y))
    xy = torch.tensor([x, y], dtype=torch.float64)
    torch.testing.assert_close(grid.to_image(grid.to_cells(xy)), xy, rtol=0, atol=1e-9)
    torch.testing.assert_close(grid.to_cells(grid.to_image(xy)), xy, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(2,), (0, 2), (3, 5, 2)])
@pytest.mark.parametrize("grid", GRIDS)
def test_shape_dtype_device(grid, shape, dtype, device):
    cells = torch.ones(shape, dtype=dtype, device=device)
    for out in (grid.to_image(cells), grid.to_cells(cells)):
        assert (out.shape, out.dtype, out.device.type) == (shape, dtype, device)


@pytest.mark.parametrize("grid", GRIDS)
def test_gradients_meta_and_inputs(grid):
    cells = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    before = cells.detach().clone()
    assert torch.autograd.gradcheck(grid.to_image, cells) and torch.autograd.gradcheck(grid.to_cells, cells)
    assert torch.equal(cells, before)
    assert grid.to_image(torch.empty(7, 2, device="meta")).shape == (7, 2)


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: Grid(0), "stride: want > 0, got 0"),
        (lambda: Grid((4.0, -1.0)), "stride: want > 0, got (4.0, -1.0)"),
        (lambda: Grid([4, 4]), "stride: want a finite number or a tuple (x, y) of two, got list"),
        (lambda: Grid(torch.tensor(4.0)), "stride: want a finite number or a tuple (x, y) of two, got Tensor"),
        (lambda: Grid((4, torch.tensor(4.0))),
         "stride: want a finite number or a tuple (x, y) of two, got (4, Tensor)"),
        (lambda: Grid((1.0, 2.0, 3.0)), "stride: want a finite number or a tuple (x, y) of two, got (1.0, 2.0, 3.0)"),
        (lambda: Grid(4, float("nan")), "offset: want a finite number or a tuple (x, y) of two, got nan"),
        (lambda: Grid.center(-1), "stride: want > 0, got -1"),
        (lambda: Grid.unit_length((9, 9), (1, 3)),
         "image_hw, map_hw: want at least 2 pixels and 2 cells per axis, got ((9, 9), (1, 3))"),
        (lambda: Grid.unit_length((9, 9.0), (3, 3)),
         "image_hw: want (height, width), two whole numbers >= 1, got (9, 9.0)"),
        (lambda: Grid().to_image(torch.zeros(3)), "cells: want shape (..., 2), got (3,)"),
        (lambda: Grid().to_cells(torch.zeros(1, 2, dtype=torch.int64)), "xy: want a floating dtype, got int64"),
    ],
)
def test_errors(make, text):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == text


def test_the_ruler_in_the_docstring_is_true():
    """Four columns are one pixel; each convention's cells stand under the pixels where they lie."""
    lines = {name: line for line in Grid.__doc__.splitlines() for name in ("pixel ", "index", "center", "unit_length")
             if line.strip().removeprefix("Grid.").startswith(name) and "0 " in line}  # fmt: skip
    first = lines["pixel "].index("0")
    grids = {"index": Grid.index(4), "center": Grid.center(4), "unit_length": Grid.unit_length((12, 12), (3, 3))}
    for name, grid in grids.items():
        drawn = [(lines[name].rindex(str(cell)) - first) / 4 for cell in range(3)]
        x = grid.to_image(torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]))[:, 0].tolist()
        assert drawn == x, name
