"""Moving images, points and heatmaps together: what is done to one of them must be done to the others.

Every move is an :class:`Affine` map of pixels. Flips and crops have names of their own, but are such maps too, and the
same code looks their pixels up: exactly where pixels fall on pixels, by linear interpolation otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from posebook import _args
from posebook.grid import Grid
from posebook.skeleton import Skeleton

Row = tuple[float, float, float]


@dataclass(frozen=True)
class Affine:
    """A map of image pixels to image pixels, ``x' = a x + b y + c`` and ``y' = d x + e y + f``.

    Pixel centers are whole numbers, x goes right and y down, as everywhere here. ``second @ first`` does the first,
    then the second. :func:`warp_points` applies it to points, :func:`warp_image` to images, :func:`warp_heatmap` to
    heatmaps.

    Args:
        matrix: the rows ``((a, b, c), (d, e, f))``, plain numbers.

    Raises:
        ValueError: not two rows of three finite numbers, or a map that flattens the plane (``a e = b d``).

    >>> Affine.rotation(90, (3, 5), into=(5, 3))    # (x, y) to (y, 4 - x)
    Affine(matrix=((0.0, 1.0, 0.0), (-1.0, 0.0, 4.0)))
    """

    matrix: tuple[Row, Row] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

    def __post_init__(self):
        rows = self.matrix
        ok = isinstance(rows, tuple) and len(rows) == 2 and all(isinstance(r, tuple) and len(r) == 3 for r in rows)
        if not ok or not all(_args.is_number(value) for row in rows for value in row):
            _args.fail("matrix", "((a, b, c), (d, e, f)), finite numbers", _args.shown(rows))
        if self.determinant == 0:
            _args.fail("matrix", "a map that can be undone, a e - b d not 0", _args.shown(rows))

    @classmethod
    def rotation(cls, degrees: float, hw: tuple[int, int], *, into: tuple[int, int] | None = None,
                 zoom: float = 1.0) -> "Affine":
        """Turn an image counterclockwise, as it is seen, about its center ``((W - 1) / 2, (H - 1) / 2)``.

        At multiples of 90 degrees it is what ``torch.rot90`` does, to the bit; give ``into=(W, H)`` for odd ones.

        Args:
            degrees: counterclockwise, as torch.rot90 and most image libraries count.
            hw: height and width of the image in px.
            into: those of the image that it goes to, center on center; None for the same.
            zoom: how many times larger, > 0.

        Raises:
            ValueError: a number that is not finite, a bad size, ``zoom <= 0``.
        """
        _args.number("degrees", degrees)
        _args.size("hw", hw)
        _args.size("into", hw if into is None else into)
        _args.positive("zoom", zoom)
        quarters, rest = divmod(degrees, 90)
        c, s = zoom * math.cos(math.radians(rest)), zoom * math.sin(math.radians(rest))
        for _ in range(int(quarters % 4)):
            c, s = 0 - s, c  # exact, and no -0
        (h, w), (new_h, new_w) = hw, hw if into is None else into
        x, y = (w - 1) / 2, (h - 1) / 2
        return cls(((c, s, (new_w - 1) / 2 - (c * x + s * y)), (0 - s, c, (new_h - 1) / 2 - (c * y - s * x))))

    @classmethod
    def flip(cls, width: float) -> "Affine":
        """Mirror an image of that width in px from left to right: x goes to ``width - 1 - x``."""
        _args.positive("width", width)
        return cls(((-1.0, 0.0, width - 1.0), (0.0, 1.0, 0.0)))

    @classmethod
    def of_grid(cls, grid: Grid) -> "Affine":
        """From a grid's cells to the image, :meth:`Grid.to_image`; its inverse moves an image into a crop."""
        _args.instance("grid", grid, Grid)
        (sx, sy), (x, y) = (v if isinstance(v, tuple) else (v, v) for v in (grid.stride, grid.offset))
        return cls(((float(sx), 0.0, float(x)), (0.0, float(sy), float(y))))

    @property
    def determinant(self) -> float:
        """How many times larger areas get; negative where the map mirrors."""
        (a, b, _), (d, e, _) = self.matrix
        return a * e - b * d

    def inverse(self) -> "Affine":
        """The map that undoes it."""
        (a, b, c), (d, e, f) = self.matrix
        a, b, d, e = (value / self.determinant + 0.0 for value in (e, -b, -d, a))  # + 0: no -0
        return Affine(((a, b, 0 - (a * c + b * f)), (d, e, 0 - (d * c + e * f))))

    def __matmul__(self, first: "Affine") -> "Affine":
        if not isinstance(first, Affine):
            return NotImplemented
        columns = list(zip(*first.matrix, (0.0, 0.0, 1.0), strict=True))
        rows = (tuple(sum(x * y for x, y in zip(row, column, strict=True)) for column in columns)
                for row in self.matrix)
        return Affine(tuple(rows))


def warp_points(xy: Tensor, affine: Affine, *, skeleton: Skeleton | None = None) -> Tensor:
    """Where points go under an affine map.

    Args:
        xy: ``(..., K, 2)`` in image pixels, integers at pixel centers; ``(..., 2)`` without a skeleton.
        affine: the map.
        skeleton: its ``pairs`` are exchanged if the map mirrors; None exchanges nothing.

    Returns:
        the shape and dtype of ``xy``.

    Raises:
        ValueError: not ``(..., 2)``, an integer dtype, no Affine, or a K that is not the skeleton's.

    See chapter 4, section 4.1.

    >>> warp_points(torch.tensor([4., 1.]), Affine.rotation(90, (3, 5), into=(5, 3)))
    tensor([1., 0.])
    """
    _args.points("xy", xy)
    _args.instance("affine", affine, Affine)
    wide = _args.widen(xy)
    moved = []
    for *factors, shift in affine.matrix:
        terms = [factor * part for factor, part in zip(factors, wide.unbind(-1), strict=True) if factor]
        moved.append(sum(terms[1:], terms[0]) + shift)  # 0 times infinity would be NaN
    return _exchanged("xy", torch.stack(moved, dim=-1).to(xy.dtype), -2, affine, skeleton)


def warp_image(image: Tensor, affine: Affine, hw: tuple[int, int], *, beyond: str = "zero") -> Tensor:
    """The image under an affine map: what lay at a point lies where :func:`warp_points` puts the point.

    Each pixel of the result looks up where it came from. Where all come from centers of pixels (to 1e-9 px), as after
    quarter turns, flips and whole steps, the values are taken as they are; otherwise from the four nearest by bilinear
    interpolation, which takes fine detail away: of white noise, turned by any other angle, 5/9 of the power. Where the
    map makes the image far smaller, pixels are skipped: average it down first.

    Args:
        image: ``(..., H, W)``, any floating dtype.
        affine: from its pixels to those of the result.
        hw: height h and width w of the result in px.
        beyond: what is seen outside the image: ``"zero"``, into which the outermost pixels fade over 1 px, or
            ``"edge"``, the nearest of the outermost pixels.

    Returns:
        ``(..., h, w)``, dtype and device of ``image``; differentiable in it.

    Raises:
        ValueError: fewer than two axes, an empty image, an integer dtype, no Affine, a bad size, another ``beyond``.

    See chapter 4, section 4.2.

    >>> warp_image(torch.tensor([[1., 2., 3.]]), Affine.rotation(90, (1, 3), into=(3, 1)), (3, 1))
    tensor([[3.],
            [2.],
            [1.]])
    """
    _args.maps("image", image)
    _args.instance("affine", affine, Affine)
    _args.size("hw", hw)
    _args.one_of("beyond", beyond, ("zero", "edge"))
    flat = image.reshape(1, -1, *image.shape[-2:])  # (1, N, H, W): the same map for all
    return _looked_up(flat, [affine.inverse()], hw, beyond).reshape(*image.shape[:-2], *hw)


def warp_heatmap(heatmaps: Tensor, affine: Affine, grid: Grid, hw: tuple[int, int], *, into: Grid | None = None,
                 beyond: str = "edge", skeleton: Skeleton | None = None) -> Tensor:
    """Heatmaps under an affine map of the image: those that the moved image should have.

    Cells move by the map that follows from that of the pixels: to the image, moved, and back to cells. A turn about the
    image's center is one about the map's center only if the grid is centered in the image, as :meth:`Grid.center` is.

    Args:
        heatmaps: ``(..., K, H, W)``; ``(..., H, W)`` without a skeleton. Values are moved, not turned: fields of
            vectors, such as part affinity fields, need more.
        affine: of image pixels.
        grid: where the cells lie in the image.
        hw: height and width of the result in cells.
        into: where the cells of the result lie in the moved image; None for the same grid.
        beyond: as in :func:`warp_image`; ``"edge"``, as 0 is a high value among logits.
        skeleton: its ``pairs`` are exchanged if the map mirrors; None exchanges nothing.

    Returns:
        ``(..., K, h, w)``, the dtype of ``heatmaps``.

    Raises:
        ValueError: as :func:`warp_image`, no Grid, or a K that is not the skeleton's.

    See chapter 4, section 4.2.

    >>> turn = Affine.rotation(180, (1, 16))    # of the image, whose cells lie at 0, 4, 8 and 12 px
    >>> warp_heatmap(torch.tensor([[0., 0., 8., 0.]]), turn, Grid.index(4), (1, 4))    # 8 px goes to 7 px
    tensor([[0., 2., 6., 0.]])
    """
    _args.maps("heatmaps", heatmaps)
    _args.instance("affine", affine, Affine)
    first, last = Affine.of_grid(grid), Affine.of_grid(grid if into is None else into)
    moved = warp_image(heatmaps, last.inverse() @ affine @ first, hw, beyond=beyond)
    return _exchanged("heatmaps", moved, -3, affine, skeleton)


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
    return warp_points(xy, Affine.flip(width), skeleton=skeleton)


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
    return warp_heatmap(heatmaps, Affine.flip(width), grid, tuple(heatmaps.shape[-2:]), skeleton=skeleton)


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
    images = (image if image.ndim == 4 else image[None]).expand(len(grids), *image.shape[-3:])
    crops = _looked_up(images, list(map(Affine.of_grid, grids)), hw, "zero")
    return crops[0] if image.ndim == 3 and isinstance(grid, Grid) else crops


def _looked_up(images: Tensor, sources: list[Affine], hw: tuple[int, int], beyond: str) -> Tensor:
    """``(N, C, h, w)`` of ``(N, C, H, W)``: at each pixel of image n what lies where ``sources[n]`` sends the pixel."""
    stepped = [_stepped(image, source, hw, beyond) for image, source in zip(images, sources, strict=True)]
    if images.numel() == 0 or all(one is not None for one in stepped):
        return images.new_zeros(*images.shape[:2], *hw) if images.numel() == 0 else torch.stack(stepped)
    wide = _args.widen(images)
    y, x = torch.meshgrid(*(torch.arange(n, dtype=wide.dtype, device=wide.device) for n in hw), indexing="ij")
    pixels = torch.stack((x, y), dim=-1)
    xy = torch.stack([warp_points(pixels, source) for source in sources])  # (N, h, w, 2)
    share = (2 * xy + 1) / _args.constant((images.shape[-1], images.shape[-2]), xy) - 1  # -1 and 1: the outer edges
    padding = {"zero": "zeros", "edge": "border"}[beyond]
    found = F.grid_sample(wide, share, padding_mode=padding, align_corners=False).to(images.dtype)
    if all(one is None for one in stepped):
        return found
    return torch.stack([other if one is None else one for one, other in zip(stepped, found, strict=True)])


def _stepped(image: Tensor, source: Affine, hw: tuple[int, int], beyond: str) -> Tensor | None:
    """The image where a step of one pixel in the result is one of one pixel in it, along an axis; None elsewhere."""
    (a, b, c), (d, e, f) = (tuple(round(v) if abs(v - round(v)) < 1e-9 else v for v in row) for row in source.matrix)
    if (abs(a), b, d, abs(e)) == (1, 0, 0, 1):
        (down, top), (right, left) = (e, f), (a, c)
    elif (a, abs(b), abs(d), e) == (0, 1, 1, 0):  # the result's rows come from columns
        image, (down, top), (right, left) = image.mT, (b, c), (d, f)
    else:
        return None
    wide = _along(_along(image, -2, down, top, hw[0], beyond), -1, right, left, hw[1], beyond)
    return wide.to(image.dtype)


def _along(image: Tensor, axis: int, step: int, start: float, n: int, beyond: str) -> Tensor:
    """n values on one axis, the k-th at ``start + step k``, step 1 or -1; between elements by linear interpolation."""
    low = math.floor(start)
    near = _taken(image, axis, step, low, n, beyond)
    if low == start:
        return near
    rest = start - low
    return (1 - rest) * _args.widen(near) + rest * _taken(image, axis, step, low + 1, n, beyond)


def _taken(image: Tensor, axis: int, step: int, start: int, n: int, beyond: str) -> Tensor:
    """n elements on one axis, the k-th is number ``start + step k``."""
    size = image.shape[axis]
    if step < 0:
        image, start = image.flip(axis), size - 1 - start
    if 0 <= start <= size - n:
        return image.narrow(axis, start, n)
    index = torch.arange(n, device=image.device) + max(-n, min(start, size))
    near = image.index_select(axis, index.clamp(0, size - 1))
    if beyond == "edge":
        return near
    inside = (index >= 0) & (index < size)
    return torch.where(inside if axis == -1 else inside[:, None], near, 0)


def _exchanged(name: str, tensor: Tensor, axis: int, affine: Affine, skeleton: Skeleton | None) -> Tensor:
    """With left and right exchanged if the map mirrors."""
    if skeleton is None:
        return tensor
    _args.instance("skeleton", skeleton, Skeleton)
    if tensor.ndim < -axis or tensor.shape[axis] != len(skeleton):
        _args.fail(name, f"{len(skeleton)} keypoints, as the skeleton has, on axis {axis}", (*tensor.shape,))
    if affine.determinant > 0:
        return tensor
    return tensor.index_select(axis, _args.constant(skeleton.flip_order, tensor, torch.int64))
