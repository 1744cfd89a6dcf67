"""gaussian_heatmap: its reference, cases and known mistakes."""

import math

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def gaussian_heatmap(xy, hw, sigma, stride=1.0, offset=0.0):
    """Bump of peak 1 at each keypoint: px (..., 2) -> (..., H, W)."""
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


def _cells(text):
    """The keypoint in cells found otherwise."""
    return edited(gaussian_heatmap, {CELLS: text})


def _bump(text):
    """The bump exchanged."""
    return edited(gaussian_heatmap, {BUMP: text})


CELLS = "(xy - offset) / stride"
BUMP = "torch.exp(-(dx**2 + dy**2) / (2 * sigma**2))"
PATCH = f"{BUMP} * ((dx.abs() <= 3 * sigma) & (dy.abs() <= 3 * sigma))"


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


OFFSET = See("target",
             "the target is encoded with one offset and decoded with another, and every decoder is -1.50 px off on "
             "both axes", grid="mixed")
ROUNDED = See("target",
              "the keypoint was rounded to a cell, and no decoder can know: all three are 1.42 px off",
              keypoint="rounded")
NARROW = See("target", "the highest cell holds only 0.50, and the mean, soft-argmax, is 1.08 px off", sigma=0.3)
WIDE = See("target", "the border cuts off 9 % of so wide a bump, and soft-argmax moves inward by 0.32 px", sigma=4.0)
PEAK = See("target", "the highest cell holds 0.94, as the keypoint lies between the cells; the sum is 6.28")

PROBLEM = Problem(
    name="gaussian_heatmap", points=2, minutes=15,
    reference=gaussian_heatmap,
    own=("posebook.encode.gaussian_heatmap",),
    cases=(
        Case("a keypoint at (20, 8) px and stride 4: column 5, row 2 holds 1",
             lambda rng: (torch.tensor([20.0, 8.0]), (6, 9), 1.5, 4.0), fixed=True),
        Case("a keypoint between the cells", lambda rng: _draw(rng, sigma=1.2), weight=2),
        Case("without stride and offset cells are pixels", lambda rng: _draw(rng, 5, sigma=2.0, stride=1.0)[:3]),
        Case("an offset of 1.5 px: cell 0 lies there", lambda rng: _draw(rng, 5, offset=1.5), weight=2),
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
                changed(gaussian_heatmap, xy=lambda xy: xy.flip(-1))),
        Mistake("Height and width are swapped: `hw` is (height, width), so `h, w = hw`.",
                changed(gaussian_heatmap, hw=lambda hw: (hw[1], hw[0]))),
        Mistake("The map lies on its side: its axes are (..., H, W), rows first. `torch.meshgrid(x, y, "
                "indexing=\"ij\")` gives (W, H).",
                changed(gaussian_heatmap, result=lambda out: out.transpose(-1, -2))),
        Mistake("The offset is missing: cell u lies at offset + stride * u, so u = (x - offset) / stride.",
                changed(gaussian_heatmap, offset=0.0), see=OFFSET),
        Mistake("The offset is taken off in cells: it is in pixels, so subtract it before you divide by the stride.",
                _cells("xy / stride - offset")),
        Mistake("The offset is added: cell u lies at offset + stride * u, so u = (x - offset) / stride.",
                _cells("(xy + offset) / stride"), see=OFFSET),
        Mistake("The stride is missing: pixels are not cells yet, u = (x - offset) / stride.",
                _cells("xy - offset")),
        Mistake("Half of (stride - 1) is taken off as well: the statement puts cell u at offset + stride * u.",
                _cells("(xy - offset - (stride - 1) / 2) / stride"), see=OFFSET),
        Mistake("Half a cell is taken off as well: the statement puts cell u at offset + stride * u.",
                _cells(f"{CELLS} - 0.5")),
        Mistake("`sigma` is taken in pixels: it is in cells. Measure the distance in cells too.",
                changed(gaussian_heatmap, sigma=lambda sigma, stride: sigma / stride), see=NARROW),
        Mistake("The center is rounded to a cell: that moves the target by up to half a cell on each axis, "
                "and no network can learn it back. Keep its fraction.",
                _cells(f"({CELLS}).round()"), see=ROUNDED),
        Mistake("The center is cut to the cell below, as `int`, `long` and `//` do. Keep its fraction.",
                _cells(f"({CELLS}).floor()"), see=ROUNDED),
        Mistake("A patch of 3 sigma around a rounded center: popular code does so, but the statement wants the exact "
                "center, and no cell cut off.",
                edited(gaussian_heatmap, {CELLS: f"({CELLS} + 0.5).floor()", BUMP: PATCH}), see=ROUNDED),
        Mistake("The bump is cut off at 3 sigma: there it is still 0.011. Every cell gets its value.",
                _bump(PATCH)),
        Mistake("The bump is cut off at a distance of 3 sigma: there it is still 0.011. Every cell gets its value.",
                _bump(f"{BUMP} * (dx**2 + dy**2 <= 9 * sigma**2)")),
        Mistake("Each map is divided by its sum: a heatmap has peak 1. It is not a probability.",
                changed(gaussian_heatmap, result=lambda out: out / out.sum((-2, -1), keepdim=True)), see=PEAK),
        Mistake("The density's factor 1 / (2 pi sigma^2) is there: a heatmap has peak 1.",
                changed(gaussian_heatmap, result=lambda out, sigma: out / (2 * math.pi * sigma**2)), see=PEAK),
        Mistake("Each map is divided by its highest cell: the peak of 1 lies at the keypoint, which is between the "
                "cells or outside, and no cell need reach it.",
                changed(gaussian_heatmap, result=lambda out: out / out.amax((-2, -1), keepdim=True)), see=PEAK),
        Mistake("The 2 is missing: exp(-d^2 / (2 sigma^2)).",
                _bump("torch.exp(-(dx**2 + dy**2) / sigma**2)")),
        Mistake("`sigma` is not squared: exp(-d^2 / (2 sigma^2)).",
                _bump("torch.exp(-(dx**2 + dy**2) / (2 * sigma))")),
        Mistake("The quotient is not in parentheses: `/ 2 * sigma**2` divides by 2 and then multiplies by sigma "
                "squared; write `/ (2 * sigma**2)`.",
                _bump("torch.exp(-(dx**2 + dy**2) / 2 * sigma**2)")),
        Mistake("The distance is not squared: exp(-d / ...) has a sharp tip; a Gaussian has d^2.",
                _bump("torch.exp(-((dx**2 + dy**2) ** 0.5) / (2 * sigma**2))")),
        Mistake("Two bumps are added: exp of a sum is the product of exps, so multiply them.",
                _bump("torch.exp(-(dx**2) / (2 * sigma**2)) + torch.exp(-(dy**2) / (2 * sigma**2))")),
        Mistake("A keypoint outside the map gets an empty map: its bump still reaches in. Whether to use it is for the "
                "loss to say.",
                _bump(f"{BUMP} * ((cells > -0.5) & (cells < torch.tensor(hw[::-1]) - 0.5)).all(-1)[..., None, None]")),
        Mistake("A keypoint outside the map is pulled to its edge: leave the center where it is.",
                _cells(f"({CELLS}).clamp(min=0).minimum(torch.tensor([hw[1], hw[0]], dtype=xy.dtype) - 1)")),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`xy[..., 0]` does not care.", edited(gaussian_heatmap, edits))
          for edits in ({"cells =": "x, y = xy\n    cells ="},
                        {"..., 0, None, None": "0", "..., 1, None, None": "1"},
                        {"cells =": "b, k, _ = xy.shape\n    cells ="},
                        {"..., 0": ":, :, 0", "..., 1": ":, :, 1"})),
        Mistake("All keypoints share one map: each has a map of its own.",
                changed(gaussian_heatmap, result=lambda out, hw: out.reshape(-1, *hw).amax(0))),
        Mistake("Part of it is computed in float32: the dtype of `xy` is wanted all the way.",
                changed(gaussian_heatmap, xy=lambda xy: xy.float(), result=lambda out, xy: out.to(xy.dtype))),
        Mistake("The result is always float32. It should have the dtype of `xy`.",
                changed(gaussian_heatmap, result=lambda out: out.float())),
        Mistake("The stride multiplies where it should divide: u = (x - offset) / stride.",
                _cells("(xy - offset) * stride")),
        Mistake("Half a cell is added: the statement puts cell u at offset + stride * u.", _cells(f"{CELLS} + 0.5")),
        Mistake("Only x gets the offset: both x and y do.", _cells("(xy - torch.tensor([offset, 0.0])) / stride")),
        Mistake("dx and dy are added before they are squared, or without: the squared distance is dx^2 + dy^2.",
                _bump("torch.exp(-((dx + dy) ** 2) / (2 * sigma**2))")),
        Mistake("dx and dy are added before they are squared, or without: the squared distance is dx^2 + dy^2.",
                _bump("torch.exp(-(dx.abs() + dy.abs()) / (2 * sigma**2))")),
        Mistake("`sigma` is taken for the full width at half height: it is the standard deviation.",
                changed(gaussian_heatmap, sigma=lambda sigma: sigma / 2.355)),
        Mistake("The whole denominator is squared: 2 sigma^2, not (2 sigma)^2.",
                changed(gaussian_heatmap, sigma=lambda sigma: 2**0.5 * sigma)),
        Mistake("`sigma` is multiplied by the stride: it is in cells, and so is the distance.",
                changed(gaussian_heatmap, sigma=lambda sigma, stride: sigma * stride), see=WIDE),
        Mistake("The exponent has no minus: the value falls with the distance.",
                _bump("torch.exp((dx**2 + dy**2) / (2 * sigma**2))")),
        *(Mistake("Small values are set to 0: every cell gets its value.", _bump(f"(g := {BUMP}) * (g > {least})"))
          for least in (1e-2, 1e-4, 1.2e-7)),
        Mistake("The highest cell is set to 1: the peak of 1 lies at the keypoint, between the cells.",
                changed(gaussian_heatmap, result=lambda out: torch.where(
                    out == out.amax((-2, -1), keepdim=True), torch.ones_like(out), out)), see=PEAK),
        Mistake("The maps of all keypoints are added: each has a map of its own.",
                changed(gaussian_heatmap, result=lambda out: out.sum(0, keepdim=True).expand(out.shape))),
        Mistake("A patch around the keypoint: every cell of the map gets its value, however far away.",
                _bump(f"{BUMP} * ((dx.abs() <= math.ceil(3 * sigma)) & (dy.abs() <= math.ceil(3 * sigma)))")),
    ),
    alternatives=(_by_meshgrid, _by_einsum, _by_numpy, _by_loops),
    clauses={
        "for each keypoint": "All keypoints share one map",
        "$\\exp(-\\|u - c\\|^2 / 2 \\sigma^2)$": "The 2 is missing",
        "$\\mathrm{offset} + \\mathrm{stride} \\cdot u$ px": "The offset is added",
        "columns along x and rows along y": "The map lies on its side",
        "`xy` and `offset` are in px": "The offset is taken off in cells",
        "`stride` in px per cell": "The stride is missing",
        "`hw` and `sigma` in cells": "`sigma` is taken in pixels",
        "(height, width)": "Height and width are swapped",
        "$c$ keeps its fraction": "The center is rounded",
        "the peak of 1 may lie between the cells": "Each map is divided by its highest cell",
        "or outside the map": "A keypoint outside the map gets an empty map",
        "nothing is cut off": "The bump is cut off at 3 sigma",
        "and nothing is divided by a sum": "Each map is divided by its sum",
        "points are (x, y) in px": "x and y are swapped",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The result is always float32",
        "`...` stands for any number of leading axes, none included": "You count on one number of axes",
    },
)
