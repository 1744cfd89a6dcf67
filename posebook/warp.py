"""Moving images, points and heatmaps together: what is done to one of them must be done to the others."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from posebook import _args
from posebook.grid import Grid
from posebook.skeleton import Skeleton


def flip_image(image: Tensor) -> Tensor:
    """Mirror an image ``(..., H, W)`` of any dtype from left to right: pixel x goes to ``W - 1 - x``.

    Raises:
        ValueError: not a tensor of two axes or more.

    See chapter 1, section 1.1.

    >>> flip_image(torch.tensor([[1, 2, 3]]))
    tensor([[3, 2, 1]])
    """
    if not isinstance(image, Tensor) or image.ndim < 2:
        _args.fail("image", "a tensor (..., H, W)", getattr(image, "shape", type(image).__name__))
    return image.flip(-1)


def flip_points(xy: Tensor, width: int, *, skeleton: Skeleton | None = None) -> Tensor:
    """Keypoints of the mirrored image: x goes to ``width - 1 - x``, and left and right change names.

    Args:
        xy: ``(..., K, 2)`` in image pixels, integers at pixel centers; ``(..., 2)`` without a skeleton.
        width: of the image in pixels.
        skeleton: its ``pairs`` are exchanged; None exchanges nothing.

    Returns:
        the shape and dtype of ``xy``; flipping twice gives the input back.

    Raises:
        ValueError: not ``(..., 2)``, an integer dtype, ``width <= 0``, or a K that is not the skeleton's.

    See chapter 1, section 1.1.

    >>> flip_points(torch.tensor([[0., 5.], [9., 5.]]), 10, skeleton=Skeleton(("left", "right"), pairs=((0, 1),)))
    tensor([[0., 5.],
            [9., 5.]])
    """
    _args.points("xy", xy)
    _args.positive("width", width)
    mirrored = torch.stack(((width - 1 - _args.widen(xy[..., 0])).to(xy.dtype), xy[..., 1]), dim=-1)
    return _swap("xy", mirrored, -2, skeleton)


def flip_shift(grid: Grid, *, width: int, cells: int) -> float:
    """How far to the right, in cells, a mirrored heatmap must move to fit that of the image as it is.

    Image and map are each mirrored about their own middle, and these two may differ. For an image of ``width = stride
    * cells`` pixels it is ``(stride - 1) / stride`` with :meth:`Grid.index`, and 0 with :meth:`Grid.center` and
    :meth:`Grid.unit_length`. Shifting by one cell instead, as much code does, leaves an error of 1 px.

    Args:
        grid: where the cells lie in the image.
        width: of the image in pixels.
        cells: width of the heatmap.

    Raises:
        ValueError: ``width`` or ``cells`` not > 0.

    See chapter 2, section 2.16.

    >>> flip_shift(Grid.index(4), width=256, cells=64), flip_shift(Grid.center(4), width=256, cells=64)
    (0.75, 0.0)
    """
    _args.positive("width", width)
    _args.positive("cells", cells)
    _args.instance("grid", grid, Grid)
    stride, offset = (value[0] if isinstance(value, tuple) else value for value in (grid.stride, grid.offset))
    return round((width - 1 - 2 * offset) / stride - (cells - 1), 9)  # (W - 1) / ((W - 1) / (n - 1)) may miss n - 1


def flip_heatmap(heatmaps: Tensor, width: int, grid: Grid, *, skeleton: Skeleton | None = None) -> Tensor:
    """Undo a flip: from the heatmaps of the mirrored image to those that the image itself should have.

    Mirrored, left and right exchanged, and moved to the right by :func:`flip_shift` cells: between cells by linear
    interpolation, beyond the map its edges repeated. Interpolation moves the center of mass exactly; it widens and
    lowers a peak a little. Where the shift is 0, applying it twice gives the input back.

    Args:
        heatmaps: ``(..., K, H, W)``; ``(..., H, W)`` without a skeleton.
        width: of the image in pixels.
        grid: where the cells lie in the image.
        skeleton: its ``pairs`` are exchanged; None exchanges nothing.

    Returns:
        the shape and dtype of ``heatmaps``.

    Raises:
        ValueError: fewer than two axes, an empty map, an integer dtype, ``width <= 0``, or a K that is not the
            skeleton's.

    See chapter 2, section 2.16.

    Source: the flip test's misalignment: UDP, Huang et al. 2020, arXiv:1911.07524.

    >>> flip_heatmap(torch.tensor([[0., 0., 8., 0.]]), 16, Grid.index(4))    # keypoint at 7 of 16 px: 1.75 cells
    tensor([[0., 2., 6., 0.]])
    """
    _args.maps("heatmaps", heatmaps)
    n = heatmaps.shape[-1]
    shift = flip_shift(grid, width=width, cells=n)
    mirrored = _swap("heatmaps", heatmaps.flip(-1), -3, skeleton)
    whole = math.floor(shift)
    rest = shift - whole
    source = torch.arange(n, device=heatmaps.device) - whole
    near = mirrored[..., source.clamp(0, n - 1)] if whole else mirrored
    if rest == 0:
        return near
    far = mirrored[..., (source - 1).clamp(0, n - 1)]
    return ((1 - rest) * _args.widen(near) + rest * far).to(heatmaps.dtype)


def crop_grid(box: tuple[float, float, float, float], hw: tuple[int, int], *, scale: float = 1.0) -> Grid:
    """Where the pixels of a crop lie in the image: the one thing that picture and keypoints need to move together.

    The box is enlarged about its center to the aspect ratio of the crop and multiplied by ``scale``; the crop's pixels
    tile it. :func:`crop_image` takes the picture there, :meth:`Grid.to_cells` the keypoints, and :meth:`Grid.to_image`
    brings back what was found in the crop.

    Args:
        box: ``(x, y, w, h)``, left and top edge and size in image px, where pixel centers are whole numbers: a whole
            image is the box ``(-0.5, -0.5, W, H)``. It may reach beyond the image. COCO's boxes count from the image's
            corner: take 0.5 off their x and y.
        hw: height and width of the crop in px.
        scale: how many times larger on each axis, > 0.

    Raises:
        ValueError: ``box`` no four finite numbers with a size > 0, a bad size, ``scale <= 0``.

    See chapter 3, section 3.2.

    >>> grid = crop_grid((9.5, 19.5, 40., 20.), (64, 64))    # 40 px become 64; above and below 10 px more are seen
    >>> grid.stride, grid.to_cells(torch.tensor([10., 20.]))    # the box's first pixel
    (0.625, tensor([ 0.3000, 16.3000]))
    """
    if not isinstance(box, (tuple, list)) or len(box) != 4 or not all(map(_args.is_number, box)) or min(box[2:]) <= 0:
        _args.fail("box", "(x, y, w, h), four finite numbers with w, h > 0", _args.shown(box))
    _args.size("hw", hw)
    _args.positive("scale", scale)
    x, y, w, h = box
    stride = scale * max(w / hw[1], h / hw[0])
    return Grid(stride, (x + w / 2 - stride * (hw[1] - 1) / 2, y + h / 2 - stride * (hw[0] - 1) / 2))


def crop_image(image: Tensor, grid: Grid | Sequence[Grid], hw: tuple[int, int]) -> Tensor:
    """The picture that lies under a grid's cells, or one for each of several grids.

    Between pixels by bilinear interpolation; beyond the image 0. Where the stride is far above 1, pixels between the
    crop's are skipped: average the image down first.

    Args:
        image: ``(C, H, W)``, the same for all grids, or ``(N, C, H, W)``, one for each.
        grid: from :func:`crop_grid`, or N of them.
        hw: height h and width w of the crop in px.

    Returns:
        ``(C, h, w)`` for one image and one grid, otherwise ``(N, C, h, w)``; dtype and device of ``image``.

    Raises:
        ValueError: ``image`` of another shape or of integer dtype, no grid, another number of them, a bad size.

    See chapter 3, section 3.2.

    >>> crop_image(torch.arange(4.).view(1, 1, 4), Grid(1.0, (1.5, 0.0)), (1, 3))    # the last: between 3 and outside
    tensor([[[1.5000, 2.5000, 1.5000]]])
    """
    _args.maps("image", image)
    if image.ndim not in (3, 4):
        _args.fail("image", "shape (C, H, W) or (N, C, H, W)", tuple(image.shape))
    _args.size("hw", hw)
    grids = list(grid) if isinstance(grid, (list, tuple)) else [grid]
    for one in grids:
        _args.instance("grid", one, Grid)
    if not grids or (image.ndim == 4 and len(grids) != len(image)):
        _args.fail("grid", "one for each image" if image.ndim == 4 else "at least one", len(grids))
    wide = _args.widen(image)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=wide.dtype, device=image.device) for n in hw), indexing="ij")
    xy = torch.stack([one.to_image(torch.stack((x, y), dim=-1)) for one in grids])  # (N, h, w, 2)
    share = (2 * xy + 1) / torch.tensor((image.shape[-1], image.shape[-2])).to(xy) - 1  # -1 and 1: the outer edges
    crops = F.grid_sample(wide.expand(len(grids), *image.shape[-3:]), share, align_corners=False).to(image.dtype)
    return crops[0] if image.ndim == 3 and isinstance(grid, Grid) else crops


def _swap(name: str, tensor: Tensor, axis: int, skeleton: Skeleton | None) -> Tensor:
    if skeleton is None:
        return tensor
    _args.instance("skeleton", skeleton, Skeleton)
    if tensor.ndim < -axis or tensor.shape[axis] != len(skeleton):
        _args.fail(name, f"{len(skeleton)} keypoints, as the skeleton has, on axis {axis}", (*tensor.shape,))
    return tensor.index_select(axis, torch.tensor(skeleton.flip_order, device=tensor.device))
