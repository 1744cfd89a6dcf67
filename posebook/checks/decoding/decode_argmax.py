"""decode_argmax: its reference, cases and known mistakes."""

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def decode_argmax(heatmap, stride, offset=0.0):
    """Image px (x, y) of the highest cell: (..., H, W) -> (..., 2)."""
    w = heatmap.shape[-1]
    index = heatmap.flatten(-2).argmax(-1)
    cells = torch.stack((index % w, index // w), dim=-1).to(heatmap.dtype)
    return offset + stride * cells


def _unraveled(heatmap, stride, offset=0.0):
    maps = heatmap.numpy().reshape(-1, heatmap.shape[-2] * heatmap.shape[-1])
    y, x = np.unravel_index(maps.argmax(1), heatmap.shape[-2:])
    xy = torch.from_numpy(np.stack((x, y), -1)).to(heatmap.dtype)
    return (xy * stride + offset).reshape(*heatmap.shape[:-2], 2)


def _row_then_column(heatmap, stride, offset=0.0):
    best, column = heatmap.max(dim=-1)
    row = best.argmax(-1, keepdim=True)
    return torch.cat((column.gather(-1, row), row), -1).to(heatmap.dtype) * stride + offset


def _by_loops(heatmap, stride, offset=0.0, start=-float("inf")):
    h, w = heatmap.shape[-2:]
    out = []
    for one in heatmap.reshape(-1, h, w):
        best, xy = start, (0, 0)
        for y in range(h):
            for x in range(w):
                if one[y, x] > best:
                    best, xy = one[y, x], (x, y)
        out.append(xy)
    cells = torch.tensor(out, dtype=heatmap.dtype)
    return (cells * stride + offset).reshape(*heatmap.shape[:-2], 2)


def _mean_of_equals(heatmap, stride, offset=0.0):
    best = (heatmap == heatmap.amax((-2, -1), keepdim=True)).to(heatmap.dtype)
    x, y = (best.sum(axis) / best.sum((-2, -1))[..., None] for axis in (-2, -1))
    cells = torch.stack(((x * torch.arange(x.shape[-1])).sum(-1), (y * torch.arange(y.shape[-1])).sum(-1)), -1)
    return offset + stride * cells


def _one_peak(rng):
    heatmap = torch.rand(7, 11, generator=rng)
    heatmap[2, 5] = 2.0
    return heatmap, 4.0


def _ridge(rng):
    heatmap = torch.zeros(9, 12)
    row, column = torch.randperm(9, generator=rng), torch.randperm(12, generator=rng)
    heatmap[row[0], :] = 0.6
    heatmap[:, column[0]] = 0.6
    heatmap[row[1], column[1]] = 1.0
    return heatmap, uniform(rng, 2, 9)


def _negative(rng):
    cy, cx = torch.randint(2, 6, (2,), generator=rng)
    y, x = torch.arange(8.0)[:, None], torch.arange(10.0)
    return -1 - (y - cy) ** 2 - (x - cx) ** 2, uniform(rng, 2, 9)


def _tie(rng):
    """Four equal cells: the first by rows, the first by columns and the last are three of them."""
    heatmap = torch.rand(6, 8, generator=rng)
    upper, left = (int(torch.randint(1, 3, (), generator=rng)) for _ in range(2))
    heatmap[upper + 3, left + 2] = heatmap[upper + 2, left - 1] = heatmap[upper, left + 4] = heatmap[upper, left] = 3.0
    return heatmap, uniform(rng, 2, 9)


INDEX = "heatmap.flatten(-2).argmax(-1)"  # which the known mistakes find otherwise

OFFSET = See("target",
             "the decoder's offset is not that of the target, and every decoder is -1.50 px off on both axes",
             grid="mixed")
TIE = See("target", "two cells hold 0.88, the highest value; argmax names the left one, at x = 28.50", stride=2, x=29.5)

PROBLEM = Problem(
    name="decode_argmax", points=2, minutes=10,
    reference=decode_argmax,
    own=("posebook.decode.argmax", "posebook.decode.refine_quarter", "posebook.decode.refine_dark",
         "posebook.decode.refine_udp", "posebook.decode._peak"),
    cases=(
        Case("a peak in row 2, column 5 at stride 4 lies at (20, 8)", _one_peak, fixed=True),
        Case("leading axes stay: 2 x 3 maps of 7 x 11 cells give (2, 3, 2)",
             lambda rng: (torch.rand(2, 3, 7, 11, generator=rng), 4.0)),
        Case("an offset of 1.5 px is added in pixels", lambda rng: (torch.rand(4, 5, 9, generator=rng), 4.0, 1.5),
             weight=3),
        Case("one high cell wins over a long ridge", _ridge),
        Case("every value may be negative", _negative),
        Case("of equal cells the lowest flat index wins", _tie),
        Case("float64 stays float64",
             lambda rng: (torch.rand(3, 6, 4, generator=rng, dtype=torch.float64), uniform(rng, 2, 9),
                          -uniform(rng, 2, 9)), atol=1e-9),
        Case("a map of one column", lambda rng: (torch.rand(2, 9, 1, generator=rng), 3.0)),
    ),
    mistakes=(
        Mistake("x and y are swapped: the last axis of `heatmap` is x, and x comes first in the result.",
                changed(decode_argmax, result=lambda out: out.flip(-1))),
        Mistake("The offset is multiplied by the stride: it is already in pixels, so add it last, "
                "`offset + stride * cell`.", changed(decode_argmax, offset=lambda offset, stride: stride * offset)),
        Mistake("The stride is missing: cells are not pixels yet, `offset + stride * cell`.",
                changed(decode_argmax, stride=1.0)),
        Mistake("The offset is missing: `offset + stride * cell`.", changed(decode_argmax, offset=0.0), see=OFFSET),
        Mistake("The flat index is taken apart with the height: a row is W cells long, so x = index % W, "
                "y = index // W.", edited(decode_argmax, {"shape[-1]": "shape[-2]"})),
        Mistake("Rows and columns are summed before the maximum: a long low ridge then beats the highest cell. "
                "Look for the highest cell itself.",
                edited(decode_argmax, {INDEX: "heatmap.sum(-1).argmax(-1) * w + heatmap.sum(-2).argmax(-1)"})),
        Mistake("Column and row are looked for one by one: of two equal cells, the column of one meets the row of the "
                "other. Find one cell, then take its index apart.",
                edited(decode_argmax, {INDEX: "heatmap.amax(-1).argmax(-1) * w + heatmap.amax(-2).argmax(-1)"})),
        Mistake("Half a cell, or half of (stride - 1), is added: the statement puts cell u at offset + stride * u.",
                changed(decode_argmax, offset=lambda offset, stride: offset + (stride - 1) / 2), see=OFFSET),
        Mistake("Half a cell is added: the statement puts cell u at offset + stride * u.",
                changed(decode_argmax, offset=lambda offset, stride: offset + stride / 2)),
        Mistake("The offset is subtracted: `offset + stride * cell`.",
                changed(decode_argmax, offset=lambda offset: -offset)),
        Mistake("Cells are counted from 1: the first one is cell 0.",
                changed(decode_argmax, offset=lambda offset, stride: offset + stride)),
        Mistake("You count on four axes, or another fixed number: `...` stands for any number of leading axes, none "
                "included. `heatmap.shape[-2:]` and `flatten(-2)` do not care.",
                edited(decode_argmax, {"w = heatmap.shape[-1]": "b, k, h, w = heatmap.shape"})),
        Mistake("The search starts from 0, so a map of negative values has no maximum. Start from minus infinity.",
                changed(_by_loops, start=0.0)),
        Mistake("Of equal cells the last one wins; the statement asks for the lowest flat index. Replace only "
                "where a value is greater, not where it is equal.",
                edited(decode_argmax, {INDEX: "w * heatmap.shape[-2] - 1 - heatmap.flatten(-2).flip(-1).argmax(-1)"}),
                see=TIE),
        Mistake("One maximum is taken over the whole batch. Each map has its own: take it over the last two axes only.",
                edited(decode_argmax, {INDEX: "heatmap.argmax() % (w * heatmap.shape[-2])"})),
        Mistake("The result is always float32. It should have the dtype of `heatmap`.",
                changed(decode_argmax, result=lambda out: out.float())),
        Mistake("Part of it is computed in float32: the dtype of `heatmap` is wanted all the way.",
                changed(decode_argmax, heatmap=lambda heatmap: heatmap.float(),
                        result=lambda out, heatmap: out.to(heatmap.dtype))),
        Mistake("Of equal cells the one in the first column wins: the lowest flat index is in the first row.",
                edited(decode_argmax, {
                    INDEX: "heatmap.transpose(-1, -2).flatten(-2).argmax(-1)",
                    "index % w, index // w": "index // heatmap.shape[-2], index % heatmap.shape[-2]"})),
        Mistake("Equal cells are averaged: that is a place where no cell need be. Take one of them.",
                _mean_of_equals, see=TIE),
        Mistake("This is the cell of the largest absolute value: -3 is not higher than 1.",
                changed(decode_argmax, heatmap=lambda heatmap: heatmap.abs())),
        Mistake("This is the lowest cell: look for the highest.",
                changed(decode_argmax, heatmap=lambda heatmap: -heatmap)),
        Mistake("The row is not a whole number: use `index // w`, not `index / w`.",
                edited(decode_argmax, {"index // w": "index / w"})),
        Mistake("Only x gets the offset: both x and y do.",
                changed(decode_argmax, result=lambda out, offset: out - torch.tensor([0.0, offset], dtype=out.dtype))),
    ),
    alternatives=(_unraveled, _row_then_column, _by_loops),
    clauses={
        "(x, y) in px": "x and y are swapped",
        "of the highest cell of each map": "One maximum is taken over the whole batch",
        "the highest cell": "Rows and columns are summed",
        "$\\mathrm{offset} + \\mathrm{stride} \\cdot u$ px": "The offset is multiplied by the stride",
        "x along the last axis": "The flat index is taken apart with the height",
        "The result has the dtype of `heatmap`": "The result is always float32",
        "take the one with the lowest flat index": "Of equal cells the last one wins",
        "first row first, then first column": "Of equal cells the one in the first column wins",
        "`...` stands for any number of leading axes, none included": "You count on four axes",
    },
)
