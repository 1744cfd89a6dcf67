"""The one map between heatmap cells and image pixels.

Every other module speaks either cells or pixels; only a :class:`Grid` turns one into the other.
"""

from dataclasses import dataclass

from torch import Tensor

from posebook import _args

Pair = float | tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """Where the cells of a heatmap lie in the image: ``x_image = offset + stride * x_cell``.

    Args:
        stride: image pixels per cell, > 0; a number, or an (x, y) pair.
        offset: image position of the center of cell 0 in pixels; a number, or an (x, y) pair.

    See chapter 2, section 2.2. Where its three conventions put 3 cells in an image of 12 pixels::

        pixel               0   1   2   3   4   5   6   7   8   9  10  11
        Grid.index(4)       0               1               2
        Grid.center(4)            0               1               2
        Grid.unit_length    0                     1                     2

    Raises:
        ValueError: ``stride <= 0``, or anything that is not a finite number or a pair of them.

    >>> Grid.center(4).to_image(torch.tensor([0., 1.]))    # cell (0, 1) covers rows 4 to 7
    tensor([1.5000, 5.5000])
    """

    stride: Pair = 1.0
    offset: Pair = 0.0

    def __post_init__(self):
        for name in ("stride", "offset"):
            value = getattr(self, name)
            numbers = value if isinstance(value, tuple) else (value, value)
            if len(numbers) != 2 or not all(map(_args.is_number, numbers)):
                _args.fail(name, "a finite number or a tuple (x, y) of two", _args.shown(value))
        if not (min(self.stride) if isinstance(self.stride, tuple) else self.stride) > 0:
            _args.fail("stride", "> 0", self.stride)

    @classmethod
    def index(cls, stride: Pair) -> "Grid":
        """Cell 0 at pixel 0: the cell is the pixel with index ``stride * cell`` (most training code)."""
        return cls(stride, 0.0)

    @classmethod
    def center(cls, stride: Pair) -> "Grid":
        """A cell at the center of the ``stride x stride`` pixels that it covers: offset ``(stride - 1) / 2``."""
        stride = cls(stride).stride  # checked
        if isinstance(stride, tuple):
            return cls(stride, tuple((s - 1) / 2 for s in stride))
        return cls(stride, (stride - 1) / 2)

    @classmethod
    def unit_length(cls, image_hw: tuple[int, int], map_hw: tuple[int, int]) -> "Grid":
        """First centers on each other, last centers on each other: stride ``(W - 1) / (w - 1)`` on each axis.

        Sizes are measured in pixel spacings rather than pixel counts, so that a flip of the image is a flip of the
        map. Source: UDP, Huang et al. 2020, arXiv:1911.07524.
        """
        _args.size("image_hw", image_hw)
        _args.size("map_hw", map_hw)
        if min(*image_hw, *map_hw) < 2:
            _args.fail("image_hw, map_hw", "at least 2 pixels and 2 cells per axis", (image_hw, map_hw))
        return cls(tuple((image_hw[a] - 1) / (map_hw[a] - 1) for a in (1, 0)), 0.0)

    def to_image(self, cells: Tensor) -> Tensor:
        """Image pixels ``(..., 2)`` of cell coordinates ``(..., 2)``, both (x, y)."""
        _args.points("cells", cells)
        wide = _args.widen(cells)  # half precision would round between the two operations
        return (_args.constant(self.offset, wide) + _args.constant(self.stride, wide) * wide).to(cells.dtype)

    def to_cells(self, xy: Tensor) -> Tensor:
        """Cell coordinates ``(..., 2)`` of image pixels ``(..., 2)``, both (x, y); the inverse of :meth:`to_image`."""
        _args.points("xy", xy)
        wide = _args.widen(xy)
        return ((wide - _args.constant(self.offset, wide)) / _args.constant(self.stride, wide)).to(xy.dtype)
