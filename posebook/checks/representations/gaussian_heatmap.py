"""gaussian_heatmap: its reference, cases and known mistakes."""

import math

import numpy as np
import torch

from posebook.checks.problem import Case, Mistake, Problem, uniform


def gaussian_heatmap(xy, hw, sigma, stride=1.0, offset=0.0):
    """The plain solution."""
    cells = (xy - offset) / stride
    dx = torch.arange(hw[1]) - cells[..., 0, None, None]  # (..., 1, W)
    dy = torch.arange(hw[0])[:, None] - cells[..., 1, None, None]  # (..., H, 1)
    return torch.exp(-(dx**2 + dy**2) / (2 * sigma**2))


def _by_meshgrid(xy, hw, sigma, stride=1.0, offset=0.0):
    x, y = torch.meshgrid(torch.arange(hw[1]), torch.arange(hw[0]), indexing="xy")
    pixels = offset + stride * torch.stack((x, y), -1).to(xy.dtype)  # (H, W, 2) px
    apart = pixels - xy[..., None, None, :]
    return torch.exp(-0.5 * apart.square().sum(-1) / (sigma * stride) ** 2)


def _by_einsum(xy, hw, sigma, stride=1.0, offset=0.0):
    h, w = hw
    bump_x = torch.exp(-(((torch.arange(w) - (xy[..., :1] - offset) / stride) / sigma) ** 2) / 2)
    bump_y = torch.exp(-(((torch.arange(h) - (xy[..., 1:] - offset) / stride) / sigma) ** 2) / 2)
    return torch.einsum("...h,...w->...hw", bump_y, bump_x)


def _by_numpy(xy, hw, sigma, stride=1.0, offset=0.0):
    rows, columns = np.indices(hw)
    cells = (xy.numpy().reshape(-1, 2) - offset) / stride
    maps = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2)) for x, y in cells]
    return torch.from_numpy(np.stack(maps)).to(xy.dtype).reshape(*xy.shape[:-1], *hw)


def _by_loops(xy, hw, sigma, stride=1.0, offset=0.0):
    out = torch.empty(xy.shape[:-1].numel(), *hw, dtype=xy.dtype)
    for one, (x, y) in zip(out, xy.reshape(-1, 2).tolist(), strict=True):
        for row in range(hw[0]):
            for column in range(hw[1]):
                away = math.hypot(offset + stride * column - x, offset + stride * row - y) / stride
                one[row, column] = math.exp(-(away**2) / (2 * sigma**2))
    return out.reshape(*xy.shape[:-1], *hw)


def _bump(dx, dy, sigma):
    return torch.exp(-(dx**2 + dy**2) / (2 * sigma**2))


def _with(cells=lambda xy, stride, offset: (xy - offset) / stride, bump=_bump, after=lambda heatmap: heatmap):
    """The right answer with its center, its bump or the finished map changed."""

    def answer(xy, hw, sigma, stride=1.0, offset=0.0):
        c = cells(xy, stride, offset)
        dx = torch.arange(hw[1]) - c[..., 0, None, None]
        dy = torch.arange(hw[0])[:, None] - c[..., 1, None, None]
        return after(bump(dx, dy, sigma))

    return answer


def _popular(xy, hw, sigma, stride=1.0, offset=0.0):
    """The patch that much published code pastes into a map of zeros."""
    cell = ((xy - offset) / stride + 0.5).floor()
    dx = torch.arange(hw[1]) - cell[..., 0, None, None]
    dy = torch.arange(hw[0])[:, None] - cell[..., 1, None, None]
    return _bump(dx, dy, sigma) * ((dx.abs() <= 3 * sigma) & (dy.abs() <= 3 * sigma))


def _nothing_outside(xy, hw, sigma, stride=1.0, offset=0.0):
    cells = (xy - offset) / stride
    inside = ((cells > -0.5) & (cells < torch.tensor([hw[1], hw[0]]) - 0.5)).all(-1)
    return gaussian_heatmap(xy, hw, sigma, stride, offset) * inside[..., None, None]


def _pulled_inside(xy, hw, sigma, stride=1.0, offset=0.0):
    cells = (xy - offset) / stride
    cells = torch.minimum(cells.clamp(min=0), torch.tensor([hw[1], hw[0]], dtype=xy.dtype) - 1)
    return gaussian_heatmap(cells, hw, sigma)


def _unpacks_one(xy, hw, sigma, stride=1.0, offset=0.0):
    x, y = xy
    return gaussian_heatmap(torch.stack((x, y)), hw, sigma, stride, offset)


def _indexes_one(xy, hw, sigma, stride=1.0, offset=0.0):
    x, y = (xy[0] - offset) / stride, (xy[1] - offset) / stride
    return _bump(torch.arange(hw[1]) - x, torch.arange(hw[0])[:, None] - y, sigma)


def _unpacks_three(xy, hw, sigma, stride=1.0, offset=0.0):
    b, k, _ = xy.shape
    return gaussian_heatmap(xy, hw, sigma, stride, offset)


def _indexes_three(xy, hw, sigma, stride=1.0, offset=0.0):
    return gaussian_heatmap(torch.stack((xy[:, :, 0], xy[:, :, 1]), -1), hw, sigma, stride, offset)


def _one_map_for_all(xy, hw, sigma, stride=1.0, offset=0.0):
    maps = gaussian_heatmap(xy, hw, sigma, stride, offset)
    return maps.reshape(-1, *hw).amax(0)


def _single_inside(xy, hw, sigma, stride=1.0, offset=0.0):
    return gaussian_heatmap(xy.float(), hw, sigma, stride, offset).to(xy.dtype)


def _draw(rng, *shape, hw=(6, 9), sigma=1.5, stride=4.0, offset=0.0, dtype=torch.float32):
    """Keypoints anywhere on the map, in px."""
    cells = torch.rand(*shape, 2, generator=rng, dtype=dtype) * torch.tensor([hw[1] - 1, hw[0] - 1])
    return offset + stride * cells, hw, sigma, stride, offset


def _outside(rng):
    u, v = uniform(rng, 1, 2.5), uniform(rng, 1, 4)
    cells = torch.tensor([[-u, v], [8 + u, v], [v, -u], [v, 5 + u]])  # left, right, above, below a map of 6 x 9
    return 8 * cells, (6, 9), 2.0, 8.0


def _shifted(rng):
    xy, hw, sigma, stride, offset = _draw(rng, 5, offset=1.5)
    return (xy, hw, sigma, stride, offset), (xy + 10, hw, sigma, stride, offset + 10)


PROBLEM = Problem(
    name="gaussian_heatmap", points=2, minutes=15,
    reference=gaussian_heatmap,
    own=("posebook.encode.gaussian_heatmap",),
    cases=(
        Case("a keypoint at (20, 8) px and stride 4: column 5, row 2 holds 1",
             lambda rng: (torch.tensor([20.0, 8.0]), (6, 9), 1.5, 4.0)),
        Case("a keypoint between the cells", lambda rng: _draw(rng, sigma=1.2)),
        Case("without stride and offset cells are pixels", lambda rng: _draw(rng, 5, sigma=2.0, stride=1.0)[:3]),
        Case("an offset of 1.5 px: cell 0 lies there", lambda rng: _draw(rng, 5, offset=1.5)),
        Case("leading axes stay: (3, 4, 2) keypoints give (3, 4, 6, 9)", lambda rng: _draw(rng, 3, 4, stride=8.0)),
        Case("a map as high as wide, so that shapes do not tell the axes apart",
             lambda rng: _draw(rng, 5, hw=(7, 7), stride=2.5, offset=-0.5)),
        Case("a wide bump reaches over the edges", lambda rng: _draw(rng, 5, sigma=4.0)),
        Case("a narrow bump", lambda rng: _draw(rng, 5, sigma=0.6)),
        Case("keypoints outside the map still reach into it", _outside),
        Case("keypoints and offset moved together: the same map", _shifted,
             holds=lambda a, b: bool(torch.allclose(a, b, atol=1e-4))),
        Case("float64, and the tail goes on: no cell is cut off",
             lambda rng: _draw(rng, 5, hw=(14, 16), dtype=torch.float64, offset=1.5), atol=1e-9),
    ),
    mistakes=(
        Mistake("x and y are swapped: x counts columns, along the map's last axis, and y counts rows.",
                lambda xy, hw, sigma, stride=1.0, offset=0.0: gaussian_heatmap(xy.flip(-1), hw, sigma, stride, offset)),
        Mistake("Height and width are swapped: `hw` is (height, width), so `h, w = hw`.",
                lambda xy, hw, sigma, stride=1.0, offset=0.0: (
                    gaussian_heatmap(xy, (hw[1], hw[0]), sigma, stride, offset))),
        Mistake("The map lies on its side: its axes are (..., H, W), rows first. `torch.meshgrid(x, y, "
                "indexing=\"ij\")` gives (W, H).",
                lambda xy, hw, sigma, stride=1.0, offset=0.0: (
                    gaussian_heatmap(xy, hw, sigma, stride, offset).transpose(-1, -2))),
        Mistake("The offset is missing: cell u lies at offset + stride * u, so u = (x - offset) / stride.",
                lambda xy, hw, sigma, stride=1.0, offset=0.0: gaussian_heatmap(xy, hw, sigma, stride)),
        Mistake("The offset is taken off in cells: it is in pixels, so subtract it before you divide by the stride.",
                _with(cells=lambda xy, stride, offset: xy / stride - offset)),
        Mistake("The offset is added: cell u lies at offset + stride * u, so u = (x - offset) / stride.",
                _with(cells=lambda xy, stride, offset: (xy + offset) / stride)),
        Mistake("The stride is missing: pixels are not cells yet, u = (x - offset) / stride.",
                _with(cells=lambda xy, stride, offset: xy - offset)),
        Mistake("Half of (stride - 1) is taken off as well: the statement puts cell u at offset + stride * u.",
                _with(cells=lambda xy, stride, offset: (xy - offset - (stride - 1) / 2) / stride)),
        Mistake("Half a cell is taken off as well: the statement puts cell u at offset + stride * u.",
                _with(cells=lambda xy, stride, offset: (xy - offset) / stride - 0.5)),
        Mistake("`sigma` is taken in pixels: it is in cells. Measure the distance in cells too.",
                lambda xy, hw, sigma, stride=1.0, offset=0.0: gaussian_heatmap(xy, hw, sigma / stride, stride, offset)),
        Mistake("The center is rounded to a cell: that moves the target by up to half a cell on each axis, "
                "and no network can learn it back. Keep its fraction.",
                _with(cells=lambda xy, stride, offset: ((xy - offset) / stride).round())),
        Mistake("The center is cut to the cell below, as `int`, `long` and `//` do. Keep its fraction.",
                _with(cells=lambda xy, stride, offset: ((xy - offset) / stride).floor())),
        Mistake("A patch of 3 sigma around a rounded center: popular code does so, but the statement wants the exact "
                "center, and no cell cut off.", _popular),
        Mistake("The bump is cut off at 3 sigma: there it is still 0.011. Every cell gets its value.",
                _with(bump=lambda dx, dy, sigma: (
                    _bump(dx, dy, sigma) * ((dx.abs() <= 3 * sigma) & (dy.abs() <= 3 * sigma))))),
        Mistake("The bump is cut off at a distance of 3 sigma: there it is still 0.011. Every cell gets its value.",
                _with(bump=lambda dx, dy, sigma: _bump(dx, dy, sigma) * (dx**2 + dy**2 <= 9 * sigma**2))),
        Mistake("Each map is divided by its sum: a heatmap has peak 1. It is not a probability.",
                _with(after=lambda heatmap: heatmap / heatmap.sum((-2, -1), keepdim=True))),
        Mistake("The density's factor 1 / (2 pi sigma^2) is there: a heatmap has peak 1.",
                _with(bump=lambda dx, dy, sigma: _bump(dx, dy, sigma) / (2 * math.pi * sigma**2))),
        Mistake("Each map is divided by its highest cell: the peak of 1 lies at the keypoint, which is between the "
                "cells or outside, and no cell need reach it.",
                _with(after=lambda heatmap: heatmap / heatmap.amax((-2, -1), keepdim=True))),
        Mistake("The 2 is missing: exp(-d^2 / (2 sigma^2)).",
                _with(bump=lambda dx, dy, sigma: torch.exp(-(dx**2 + dy**2) / sigma**2))),
        Mistake("`sigma` is not squared: exp(-d^2 / (2 sigma^2)).",
                _with(bump=lambda dx, dy, sigma: torch.exp(-(dx**2 + dy**2) / (2 * sigma)))),
        Mistake("The quotient is not in parentheses: `/ 2 * sigma**2` divides by 2 and then multiplies by sigma "
                "squared; write `/ (2 * sigma**2)`.",
                _with(bump=lambda dx, dy, sigma: torch.exp(-(dx**2 + dy**2) / 2 * sigma**2))),
        Mistake("The distance is not squared: exp(-d / ...) has a sharp tip; a Gaussian has d^2.",
                _with(bump=lambda dx, dy, sigma: torch.exp(-((dx**2 + dy**2) ** 0.5) / (2 * sigma**2)))),
        Mistake("Two bumps are added: exp of a sum is the product of exps, so multiply them.",
                _with(bump=lambda dx, dy, sigma: (
                    torch.exp(-(dx**2) / (2 * sigma**2)) + torch.exp(-(dy**2) / (2 * sigma**2))))),
        Mistake("A keypoint outside the map gets an empty map: its bump still reaches in. Whether to use it is for the "
                "loss to say.", _nothing_outside),
        Mistake("A keypoint outside the map is pulled to its edge: leave the center where it is.", _pulled_inside),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`xy[..., 0]` does not care.", answer)
          for answer in (_unpacks_one, _indexes_one, _unpacks_three, _indexes_three)),
        Mistake("All keypoints share one map: each has a map of its own.", _one_map_for_all),
        Mistake("Part of it is computed in float32: the dtype of `xy` is wanted all the way.", _single_inside),
        Mistake("The result is always float32. It should have the dtype of `xy`.",
                lambda xy, hw, sigma, stride=1.0, offset=0.0: gaussian_heatmap(xy, hw, sigma, stride, offset).float()),
    ),
    alternatives=(_by_meshgrid, _by_einsum, _by_numpy, _by_loops),
)
