"""local_peaks: its reference, cases and known mistakes."""

from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def local_peaks(heatmap, threshold, top_k):
    """Cells (x, y) and values of the strict local maxima above the threshold, highest first."""
    h, w = heatmap.shape
    around = torch.nn.functional.pad(heatmap, (1, 1, 1, 1), value=-torch.inf)
    near = [around[i:i + h, j:j + w] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    peak = (heatmap > threshold) & (heatmap > torch.stack(near).amax(0))
    index = peak.flatten().nonzero()[:, 0]
    index = index[heatmap.flatten()[index].argsort(descending=True, stable=True)[:top_k]]
    xy = torch.stack((index % w, index // w), dim=-1).to(heatmap.dtype)
    return xy, heatmap.flatten()[index]


def _by_loops(heatmap, threshold, top_k):
    rows = heatmap.tolist()
    h, w = len(rows), len(rows[0])
    found = []
    for y in range(h):
        for x in range(w):
            near = [rows[v][u] for v in range(max(y - 1, 0), min(y + 2, h)) for u in range(max(x - 1, 0), min(x + 2, w))
                    if (u, v) != (x, y)]
            if rows[y][x] > threshold and rows[y][x] > max(near):
                found.append((rows[y][x], x, y))
    found = sorted(found, key=lambda peak: -peak[0])[:top_k]
    return (torch.tensor([(x, y) for _, x, y in found], dtype=heatmap.dtype).reshape(-1, 2),
            torch.tensor([value for value, _, _ in found], dtype=heatmap.dtype))


def _by_windows(heatmap, threshold, top_k):
    """A peak equals the highest value of its window, and nothing else there does."""
    padded = torch.nn.functional.pad(heatmap, (1, 1, 1, 1), value=-torch.inf)
    window = padded.unfold(0, 3, 1).unfold(1, 3, 1).flatten(-2)  # (H, W, 9)
    highest = window.amax(-1)
    alone = (window == highest[..., None]).sum(-1) == 1
    y, x = torch.where((heatmap == highest) & alone & (heatmap > threshold))
    scores, order = heatmap[y, x].sort(descending=True, stable=True)
    return torch.stack((x, y), 1)[order][:top_k].to(heatmap.dtype), scores[:top_k]


def _by_numpy(heatmap, threshold, top_k):
    z = np.pad(heatmap.numpy(), 1, constant_values=-np.inf)
    peak = z > threshold
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dx or dy:
                peak &= z > np.roll(z, (dy, dx), (0, 1))
    y, x = np.nonzero(peak)
    order = np.lexsort((x, y, -z[y, x]))[:top_k]
    xy = np.stack((x - 1, y - 1), -1)[order]
    return torch.tensor(xy.tolist(), dtype=heatmap.dtype).reshape(-1, 2), heatmap[xy[:, 1], xy[:, 0]]


def _one_by_one(heatmap, threshold, top_k):
    h, w = heatmap.shape
    xy, scores = [], []
    for index in heatmap.flatten().argsort(descending=True, stable=True).tolist():
        y, x = divmod(index, w)
        value = heatmap[y, x]
        if len(xy) == top_k or value <= threshold:
            break
        window = heatmap[max(y - 1, 0):y + 2, max(x - 1, 0):x + 2]
        if (window >= value).sum() == 1:
            xy.append([x, y])
            scores.append(value)
    if not xy:
        return heatmap.new_zeros(0, 2), heatmap.new_zeros(0)
    return torch.tensor(xy).to(heatmap.dtype), torch.stack(scores)


ORDER = "argsort(descending=True, stable=True)"
PAD = "torch.nn.functional.pad(heatmap, (1, 1, 1, 1), value=-torch.inf)"
HIGHER = "(heatmap > torch.stack(near).amax(0))"
ABOVE = "(heatmap > threshold)"
INDEX = "peak.flatten().nonzero()[:, 0]"
CHOSEN = f"index[heatmap.flatten()[index].{ORDER}[:top_k]]"


def _edit(old, new):
    return edited(local_peaks, {old: new})


def _draw(rng, h=9, w=12, threshold=0.4, top_k=100, low=0.0, high=1.0, dtype=torch.float32):
    """A rough map: all values are different, from low to high, and the threshold lies between two of them."""
    n = h * w
    values = (torch.randperm(n, generator=rng).to(dtype) + 0.5) / n
    return low + (high - low) * values.view(h, w), low + (high - low) * round(threshold * n) / n, top_k


def _spaced(rng, values, h=12, w=16, ground=0.125):
    """Peaks of those values in every other row and column, in any order."""
    heatmap = torch.full((h, w), ground)
    places = heatmap[::2, ::2]
    heatmap[::2, ::2] = torch.tensor(values)[torch.randint(0, len(values), places.shape, generator=rng)]
    return heatmap


def _edges(rng):
    """Peaks in three corners and on all four edges, and rough ground below."""
    heatmap = 0.3 * torch.rand(9, 11, generator=rng)
    row, column = (2 + 2 * int(torch.randint(0, n, (), generator=rng)) for n in (3, 4))
    for k, place in enumerate(((0, 0), (0, 10), (8, 0), (row, 0), (row, 10), (0, column), (8, column))):
        heatmap[place] = 0.95 - 0.05 * k
    return heatmap, 0.5, 9


def _negative(rng):
    heatmap = _draw(rng, low=-9.0, high=-1.0)[0]
    return heatmap, -4.0 - 1e-3, 6


def _plateaus(rng):
    """Two equal neighbors side by side, one above the other, along both diagonals, a square of four; and lone peaks."""
    heatmap = 0.25 * torch.rand(14, 12, generator=rng)
    y, x = (int(torch.randint(1, 3, (), generator=rng)) for _ in range(2))
    for k, cells in enumerate((((0, 0), (0, 1)), ((0, 4), (1, 4)), ((4, 0), (5, 1)), ((4, 5), (5, 4)),
                               ((8, 0), (8, 1), (9, 0), (9, 1)))):
        for dy, dx in cells:
            heatmap[y + dy, x + dx] = 0.5 + k / 16
    heatmap[y + 8, x + 5], heatmap[y + 4, x + 8] = 0.625 + 1 / 32, 0.9375
    return heatmap, 0.375, 30


def _at_threshold(rng):
    return _spaced(rng, (0.5, 0.5, 0.75)), 0.5, 60


def _close(rng):
    """Neighbors that differ by less than float32 can tell."""
    heatmap = 1 + 1e-9 * _draw(rng, dtype=torch.float64)[0]
    return heatmap, 1 + 4e-10, 9


def _no_peak(rng):
    return 0.4 * torch.rand(5, 6, generator=rng), 0.5, 4


Near = partial(Case, atol=1e-6, rtol=1e-5)

PLATEAU = See("target",
              "the keypoint lies between two cells, and both hold 0.88: neither is higher than all its neighbors",
              stride=2, x=29.5)
EDGE = See("target", "the highest cell, with 0.91, lies in the first column: a peak without a neighbor at its left",
           x=0.0)
BUMP = See("target", "one keypoint: beside the highest cell, 0.94, lie others with 0.75 and 0.71, which are no peaks")
ROWS = See("target", "cells with 0.71, 0.94 and 0.45 are each the highest of their row, and only one of them is a peak")

PROBLEM = Problem(
    name="local_peaks", points=3, minutes=20,
    reference=local_peaks,
    own=("posebook.grouping.local_peaks", "posebook.grouping._higher_than_neighbors"),
    cases=(
        Near("values 0.75 in row 2, column 4, and 0.5 in row 0, column 1: (4, 2) first, then (1, 0)",
             lambda rng: (torch.zeros(5, 7).index_put((torch.tensor([2, 0]), torch.tensor([4, 1])),
                                                      torch.tensor([0.75, 0.5])), 0.25, 5), fixed=True),
        Near("a rough map of 9 x 12 cells", _draw, weight=2),
        Near("only the 3 highest peaks are asked for", lambda rng: _draw(rng, top_k=3), weight=2),
        Near("a map as high as wide, so that shapes do not tell the axes apart", lambda rng: _draw(rng, 8, 8, top_k=7)),
        Near("peaks in the corners and on the edges", _edges),
        Near("all values negative, and the threshold too", _negative),
        Near("negative peaks below a positive threshold", lambda rng: (
            _spaced(rng, (-0.5, 0.75), 8, 10, ground=-1.0), 0.25, 40)),
        Near("equal neighbors: a plateau has no peak", _plateaus),
        Near("many equal peaks: by flat index", lambda rng: (_spaced(rng, (0.5, 0.75)), 0.25, 100)),
        Near("many equal peaks, and not all are asked for", lambda rng: (_spaced(rng, (0.5, 0.75)), 0.25, 30)),
        Near("as high as the threshold is not above it", _at_threshold),
        Near("a high threshold", lambda rng: _draw(rng, threshold=0.9)),
        Near("a map of one row", lambda rng: _draw(rng, 1, 20, threshold=0.2)),
        Near("a map of one column", lambda rng: _draw(rng, 20, 1, threshold=0.2)),
        Near("values far above 1", lambda rng: (100 * uniform(rng, 1, 9) * (heatmap := _draw(rng))[0], *heatmap[1:])),
        Near("no peak above the threshold: shapes (0, 2) and (0,)", _no_peak, fixed=True),
        Case("neighbors that float32 cannot tell apart; float64 stays float64", _close, atol=1e-12),
    ),
    mistakes=(
        Mistake("A cell as high as the threshold counts: it must be above it, `>`.", _edit(ABOVE, "(heatmap >= "
                "threshold)")),
        Mistake("Every cell of a plateau counts: a peak is strictly higher than each neighbor. `max_pool2d(z) == z` "
                "holds for all cells of a plateau.", _edit(HIGHER, HIGHER.replace(">", ">=")), see=PLATEAU),
        *(Mistake("One cell of a plateau counts: a plateau has no peak. Compare with `>` on all sides.",
                  _edit(HIGHER, f"(heatmap {a} torch.stack(near[:4]).amax(0)) & (heatmap {b} "
                                 "torch.stack(near[4:]).amax(0))"), see=PLATEAU)
          for a, b in ((">", ">="), (">=", ">"))),
        Mistake("Only the neighbors left, right, above and below are compared: there are eight, the diagonal ones too.",
                _edit("(i, j) != (1, 1)", "(i + j) % 2")),
        Mistake("Only the neighbors in the same row are compared: there are eight.",
                _edit("(i, j) != (1, 1)", "i == 1 and j != 1"), see=ROWS),
        *(Mistake("Peaks on the edge of the map are left out: a cell there has five neighbors, or three. What must "
                  "stand around the map so that it does not disturb?", _edit(PAD, text), see=EDGE)
          for text in ("torch.nn.functional.pad(heatmap, (1, 1, 1, 1), value=torch.inf)",
                       "torch.nn.functional.pad(heatmap[None], (1, 1, 1, 1), mode=\"replicate\")[0]")),
        Mistake("The map is surrounded by zeros: where its values are negative they hide the peaks on the edge.",
                _edit("-torch.inf", "0.0")),
        Mistake("The map goes on at its other side, as `torch.roll` has it: what lies beyond the edge is no neighbor.",
                _edit(PAD, "torch.nn.functional.pad(heatmap[None, None], (1, 1, 1, 1), mode=\"circular\")[0, 0]")),
        Mistake("x and y are swapped: x counts columns and comes first.",
                _edit("(index % w, index // w)", "(index // w, index % w)")),
        Mistake("The flat index is taken apart with the height: a row is W cells long, so x = index % W, y = index // "
                "W.",
                _edit("(index % w, index // w)", "(index % h, index // h)")),
        Mistake("The peaks are in the order of the map: the highest comes first.", _edit(CHOSEN, (
            f"index[heatmap.flatten()[index].{ORDER}[:top_k]].sort().values"))),
        Mistake("These are the first `top_k` peaks of the map: want the highest.",
                _edit(CHOSEN, f"(few := index[:top_k])[heatmap.flatten()[few].{ORDER}]")),
        Mistake("The lowest peak comes first: sort with `descending=True`.",
                _edit("descending=True", "descending=False")),
        Mistake("Equal peaks are turned around: the lower flat index comes first. Ask for a falling and stable order.",
                _edit(ORDER, "argsort(stable=True).flip(0)")),
        Mistake("Some of the equal peaks change places: the sort is not stable. Ask for it, `stable=True` in torch, "
                "`kind=\"stable\"` in numpy.",
                _edit(f"heatmap.flatten()[index].{ORDER}[:top_k]",
                      "torch.from_numpy(np.argsort(-heatmap.flatten()[index].numpy(), kind=\"heapsort\"))[:top_k]")),
        Mistake("Equal peaks are ordered by column: the flat index goes along the rows.",
                _edit(CHOSEN, f"(some := index[(index % "
                               f"w).argsort(stable=True)])[heatmap.flatten()[some].{ORDER}[:top_k]]")),
        Mistake("All peaks come back: `top_k` is the most that are wanted.", _edit("[:top_k]", "")),
        Mistake("The `top_k` highest cells are taken first, and then the peaks among them: the cells beside one high "
                "peak crowd out the others. In which order must the two steps come?",
                _edit(INDEX, f"torch.tensor([i for i in heatmap.flatten().{ORDER}[:top_k].tolist() if "
                             "peak.flatten()[i]], dtype=torch.int64)"), see=BUMP),
        Mistake("`topk` raises where there are fewer than `top_k`: cut what there is, or ask for no more than there "
                "are.",
                _edit(CHOSEN, "index[heatmap.flatten()[index].topk(top_k).indices]")),
        Mistake("The result is filled up to `top_k`: it holds as many as there are.",
                changed(local_peaks, result=lambda out, top_k: tuple(
                    torch.cat((part, part.new_zeros(max(0, top_k - len(part)), *part.shape[1:]))) for part in out))),
        Mistake("Only the highest peak comes back: there may be several people.",
                changed(local_peaks, top_k=1)),
        Mistake("The threshold is not used: a peak must be above it.", _edit(ABOVE, "(heatmap > -torch.inf)")),
        Mistake("The threshold is taken as a share of the highest value: it is in the units of the map.",
                changed(local_peaks, threshold=lambda threshold, heatmap: threshold * heatmap.max().item())),
        Mistake("Every cell above the threshold counts: a peak is also higher than its neighbors.",
                _edit(f" & {HIGHER}", ""), see=BUMP),
        Mistake("The window is 5 x 5: a peak need only be higher than its eight neighbors.",
                edited(local_peaks, {"(1, 1, 1, 1)": "(2, 2, 2, 2)", "range(3)": "range(5)", "!= (1, 1)": "!= (2, "
                                     "2)"})),
        *(Mistake("Peaks of 0 or less are lost: only the threshold says what is high enough, and it may be negative.",
                  answer)
          for answer in (changed(local_peaks, heatmap=lambda heatmap: heatmap.clamp(min=0)),
                         _edit(ABOVE, "(heatmap > max(threshold, 0))"))),
        Mistake("The absolute value is compared with the threshold: -0.5 is not above 0.25.",
                _edit(ABOVE, "(heatmap.abs() > threshold)")),
        Mistake("This looks for valleys: a peak is higher than its neighbors.",
                _edit(HIGHER, "(heatmap < torch.stack([n.abs() for n in near]).amin(0))")),
        Mistake("The scores are what is left above the threshold: they are the values of the map.",
                changed(local_peaks, result=lambda out, threshold: (out[0], out[1] - threshold))),
        Mistake("Cells are counted from 1: the first one is (0, 0).",
                changed(local_peaks, result=lambda out: (out[0] + 1, out[1]))),
        Mistake("Half a cell is added: whole numbers are the centers of cells.",
                changed(local_peaks, result=lambda out: (out[0] + 0.5, out[1]))),
        Mistake("The scores come first: want the tuple (xy, scores).",
                changed(local_peaks, result=lambda out: out[::-1])),
        Mistake("Without a peak the shape is wrong: want (0, 2) and (0,). What shape has `torch.tensor([])`?",
                changed(local_peaks, result=lambda out: (out[0] if len(out[0]) else out[0].flatten(), out[1]))),
        Mistake("The cells are whole numbers of int64: want the dtype of `heatmap`.",
                changed(local_peaks, result=lambda out: (out[0].long(), out[1]))),
        Mistake("Part of it is computed in float32: where two neighbors differ by less, a peak is lost.",
                changed(local_peaks, heatmap=lambda heatmap: heatmap.float(),
                        result=lambda out, heatmap: tuple(part.to(heatmap.dtype) for part in out))),
        *(Mistake("The result is always float32. It should have the dtype of `heatmap`.", answer) for answer in (
            changed(local_peaks, result=lambda out: tuple(part.float() for part in out)),
            changed(local_peaks, result=lambda out: (out[0].float(), out[1])))),
    ),
    alternatives=(_by_loops, _by_windows, _by_numpy, _one_by_one),
    clauses={
        "(x, y) in cells": "x and y are swapped",
        "above `threshold`": "A cell as high as the threshold",
        "strictly higher than each": "Every cell of a plateau",
        "of its up to eight neighbors": "Only the neighbors left, right, above and below",
        "up to eight": "Peaks on the edge",
        "so a plateau has none": "One cell of a plateau",
        "Highest first": "The peaks are in the order of the map",
        "equal ones by flat index": "Equal peaks are turned around",
        "at most `top_k`": "All peaks come back",
        "there may be fewer": "`topk` raises",
        "or none": "Without a peak the shape is wrong",
        "Map and threshold may be negative": "Peaks of 0 or less",
        "dtype of `heatmap`": "The cells are whole numbers",
    },
)
