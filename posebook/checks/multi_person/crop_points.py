"""crop_points: its reference, cases and known mistakes."""

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def crop_points(xy, box, hw):
    """Image px to crop px: (..., 2), of a box that is enlarged to the crop's aspect ratio."""
    x, y, w, h = box
    rows, columns = hw
    stride = max(w / columns, h / rows)  # image px per crop px
    left = x + w / 2 - stride * columns / 2
    top = y + h / 2 - stride * rows / 2
    return (xy - torch.tensor([left, top], dtype=xy.dtype)) / stride - 0.5


def _about_the_center(xy, box, hw):
    center = torch.tensor([box[0] + box[2] / 2, box[1] + box[3] / 2], dtype=xy.dtype)
    middle = torch.tensor([(hw[1] - 1) / 2, (hw[0] - 1) / 2], dtype=xy.dtype)
    return (xy - center) * min(hw[1] / box[2], hw[0] / box[3]) + middle


def _enlarged_first(xy, box, hw):
    x, y, w, h = box
    aspect = hw[1] / hw[0]
    if w < aspect * h:
        x, w = x - (aspect * h - w) / 2, aspect * h
    else:
        y, h = y - (w / aspect - h) / 2, w / aspect
    u = (xy[..., 0] - x) / w * hw[1] - 0.5
    v = (xy[..., 1] - y) / h * hw[0] - 0.5
    return torch.stack((u, v), dim=-1)


def _by_matrix(xy, box, hw):
    x, y, w, h = box
    scale = 1 / max(w / hw[1], h / hw[0])
    shift_x, shift_y = (hw[1] - 1) / 2 - scale * (x + w / 2), (hw[0] - 1) / 2 - scale * (y + h / 2)
    matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
    points = np.concatenate((xy.double().numpy(), np.ones((*xy.shape[:-1], 1))), -1)
    return torch.tensor((points @ matrix.T).tolist(), dtype=xy.dtype)


STRIDE = "max(w / columns, h / rows)"
LEFT, TOP = "x + w / 2 - stride * columns / 2", "y + h / 2 - stride * rows / 2"


def _edit(**pieces):
    """Lines exchanged, by what they assign."""
    names = {"stride": STRIDE, "left": LEFT, "top": TOP}
    return edited(crop_points, {names[name]: text for name, text in pieces.items()})


def _draw(rng, *shape, wide=1.0, hw=(64, 48), at=(30.0, 20.0), size=90.0, dtype=torch.float32):
    """A box ``wide`` times as wide as high, relative to the crop, and points in and around it."""
    h = size * uniform(rng, 0.8, 1.2)
    w = h * wide * hw[1] / hw[0]
    x, y = (start + uniform(rng, 0, 9) for start in at)
    share = 1.6 * torch.rand(*shape, 2, generator=rng, dtype=dtype) - 0.3
    return torch.tensor([x, y], dtype=dtype) + share * torch.tensor([w, h], dtype=dtype), (x, y, w, h), hw


PX = 1e-3  # of float32: some hundred px, over strides down to a third
HALF = "- 0.5"

TILED = See("flip", "the cells tile the image: its edge lies half a cell left of the first dot, the center of a cell",
            grid="center", stride=8)
SPREAD = See("flip",
             "the outer dots lie on the first and the last pixel: the outer cells reach beyond the image's edges",
             grid="unit length", stride=8)
ROUNDED = See("target",
              "a keypoint that was rounded to a cell of 4 px, as to a pixel of a crop, is 1.42 px off by all decoders",
              keypoint="rounded")

PROBLEM = Problem(
    name="crop_points", points=2, minutes=15,
    reference=crop_points,
    own=("posebook.warp.crop_grid",),
    cases=(
        Case("a whole image of 20 x 10 px as a crop of 20 x 10 px: (7, 3) stays where it is",
             lambda rng: (torch.tensor([7.0, 3.0]), (-0.5, -0.5, 20, 10), (10, 20)), fixed=True),
        Case("a box of the crop's aspect ratio", lambda rng: _draw(rng, 6), atol=PX),
        Case("a box that is too narrow, as that of a person who stands", lambda rng: _draw(rng, 6, wide=0.5), atol=PX,
             weight=2),
        Case("a box that is too wide, as that of a person who lies", lambda rng: _draw(rng, 6, wide=2.5), atol=PX,
             weight=2),
        Case("a square crop of a narrow box", lambda rng: _draw(rng, 6, wide=0.6, hw=(32, 32)), atol=PX),
        Case("a crop wider than high", lambda rng: _draw(rng, 6, wide=0.7, hw=(24, 60)), atol=PX),
        Case("a box smaller than the crop: pixels are made larger", lambda rng: _draw(rng, 6, wide=1.4, size=25.0),
             atol=PX),
        Case("a box that reaches beyond the image's left and top edge",
             lambda rng: _draw(rng, 6, wide=1.5, at=(-40.0, -60.0)), atol=PX),
        Case("leading axes stay: (2, 3, 2) points", lambda rng: _draw(rng, 2, 3, wide=0.8), atol=PX),
        Case("a single point, (2,)", lambda rng: _draw(rng, wide=1.2), atol=PX),
        Case("float64, and a box a million px from the corner",
             lambda rng: _draw(rng, 5, wide=0.8, at=(1e6, 2e6), dtype=torch.float64), atol=1e-6),
    ),
    mistakes=(
        Mistake("Each axis has a scale of its own, which stretches the person: the box is enlarged to the crop's "
                "aspect ratio first, and both axes share one scale.",
                edited(crop_points, {STRIDE: "torch.tensor([w / columns, h / rows], dtype=xy.dtype)",
                                     LEFT: "x", TOP: "y"})),
        Mistake("The box is cut where it should be enlarged: the larger of the two scales lets all of it in. Whose "
                "feet are missing?", _edit(stride="min(w / columns, h / rows)")),
        Mistake("The scale is always that of the width: a box higher than the crop's aspect ratio is cut then.",
                _edit(stride="w / columns")),
        Mistake("The scale is always that of the height: a box wider than the crop's aspect ratio is cut then.",
                _edit(stride="h / rows")),
        Mistake("The scale is the mean of both: the box would be stretched or cut.",
                _edit(stride="(w / columns + h / rows) / 2")),
        Mistake("The longer side of the box is brought to the longer side of the crop: compare width with width and "
                "height with height.", _edit(stride="max(w, h) / max(columns, rows)")),
        Mistake("The box is enlarged to the right and downwards: its center stays where it is.",
                _edit(left="x", top="y")),
        Mistake("The box is enlarged to the left and upwards: its center stays where it is, so half of it goes to each "
                "side.", _edit(left="x + w - stride * columns", top="y + h - stride * rows")),
        Mistake("Half a pixel is missing: the edge of the crop lies at -0.5, half a pixel outside the center of its "
                "first pixel.", edited(crop_points, {HALF: ""}), see=TILED),
        Mistake("Half a pixel is added: the edge of the crop lies at -0.5, so it comes off.",
                edited(crop_points, {HALF: "+ 0.5"}), see=TILED),
        Mistake("Half an image pixel is taken off: it is half a crop pixel that lies between edge and first center.",
                edited(crop_points, {HALF: "- 0.5 / stride"}), see=TILED),
        Mistake("The box's edges are taken for pixel numbers: `x` is an edge in px, where pixel centers are whole "
                "numbers. Half a pixel is taken off twice.",
                edited(crop_points, {LEFT: f"{LEFT} - 0.5", TOP: f"{TOP} - 0.5"})),
        Mistake("Half a pixel is put on the box and then taken off in the crop: only the crop's own half is missing.",
                edited(crop_points, {LEFT: f"{LEFT} + 0.5", TOP: f"{TOP} + 0.5"})),
        Mistake("The first and last pixel centers are put on the edges of the box (`align_corners`): pixels tile it, "
                "so edges meet edges.", edited(crop_points, {
                    ") / stride - 0.5": ") / stride * torch.tensor([1 - 1 / columns, 1 - 1 / rows], dtype=xy.dtype)"}),
                see=SPREAD),
        Mistake("Height and width are swapped: `hw` is (height, width), so `h, w = hw`.",
                changed(crop_points, hw=lambda hw: hw[::-1])),
        Mistake("The box is read as (x, y, right, bottom): its last two numbers are width and height.",
                changed(crop_points, box=lambda box: (*box[:2], box[2] - box[0], box[3] - box[1]))),
        Mistake("The box is read as center and size: its first two numbers are the left and top edge.",
                changed(crop_points, box=lambda box: (box[0] - box[2] / 2, box[1] - box[3] / 2, *box[2:]))),
        Mistake("x and y are swapped: x comes first, in `xy` as in `box`.",
                changed(crop_points, result=lambda out: out.flip(-1))),
        Mistake("The box is read as (y, x, h, w): x comes first.",
                changed(crop_points, box=lambda box: (box[1], box[0], box[3], box[2]))),
        Mistake("This goes the other way, from the crop to the image: divide by the image px that a crop pixel covers.",
                edited(crop_points, {") / stride - 0.5": ") * stride - 0.5"})),
        Mistake("These are the points of the crop in the image: the way back. Solve for crop px.",
                edited(crop_points, {"return (xy - torch.tensor([left, top], dtype=xy.dtype)) / stride - 0.5":
                                     "return (xy + 0.5) * stride + torch.tensor([left, top], dtype=xy.dtype)"})),
        Mistake("The result runs from 0 to 1: want crop px.",
                changed(crop_points, result=lambda out, hw: (out + 0.5) / torch.tensor(hw[::-1], dtype=out.dtype))),
        Mistake("The result runs from -1 to 1, as `grid_sample` wants it: want crop px.",
                changed(crop_points, result=lambda out, hw: (
                    2 * out + 1) / torch.tensor(hw[::-1], dtype=out.dtype) - 1)),
        Mistake("Points outside the crop are pulled to its edge: they keep their place, also below 0.",
                changed(crop_points, result=lambda out, hw: out.clamp(min=0).minimum(
                    torch.tensor([hw[1] - 1, hw[0] - 1], dtype=out.dtype)))),
        Mistake("The result is rounded to whole pixels: keep the fraction.",
                changed(crop_points, result=lambda out: out.round()), see=ROUNDED),
        Mistake("The box is rounded to whole pixels first, as some crops in numpy are cut: keep its fractions.",
                changed(crop_points, box=lambda box: tuple(round(v) for v in box))),
        Mistake("The box is cut at the image's edge first: it may reach beyond.",
                changed(crop_points, box=lambda box: (max(box[0], -0.5), max(box[1], -0.5),
                                                      box[2] - max(-0.5 - box[0], 0), box[3] - max(-0.5 - box[1], 0)))),
        Mistake("The box is enlarged by a quarter as well, as some detectors do: the statement does not.",
                changed(crop_points, box=lambda box: (box[0] - box[2] / 8, box[1] - box[3] / 8,
                                                      1.25 * box[2], 1.25 * box[3]))),
        Mistake("A box smaller than the crop is not made larger: it fills the crop, whatever its size.",
                _edit(stride=f"max(1.0, {STRIDE})")),
        Mistake("Only where the box begins is taken off: divide by the scale as well.",
                edited(crop_points, {" / stride - 0.5": " - 0.5"})),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`xy[..., 0]` does not care.", edited(crop_points, {"x, y, w, h = box": f"{text}\n    x, y, w, h = "
                  "box"}))
          for text in ("n, two = xy.shape", "p, k, two = xy.shape")),
        Mistake("Part of it is computed in float32: the dtype of `xy` is wanted all the way.",
                changed(crop_points, xy=lambda xy: xy.float(), result=lambda out, xy: out.to(xy.dtype))),
        Mistake("The result is always float32. It should have the dtype of `xy`.",
                changed(crop_points, result=lambda out: out.float())),
    ),
    alternatives=(_about_the_center, _enlarged_first, _by_matrix),
    clauses={
        "`...` stands for any number of leading axes, none included": "You count on one number of axes",
        "`box` = (x, y, w, h)": "The box is read as (x, y, right, bottom)",
        "its left and top edge": "The box is read as center and size",
        "where pixel centers are whole numbers": "The box's edges are taken for pixel numbers",
        "`hw` = (H, W)": "Height and width are swapped",
        "Enlarge the box": "The box is cut where it should be enlarged",
        "about its center": "The box is enlarged to the right",
        "to the aspect ratio of `hw`": "Each axis has a scale of its own",
        "Tile it with H x W crop pixels": "The first and last pixel centers",
        "whole numbers are the centers of crop pixels": "Half a pixel is missing",
        "Points outside the box get their place as well": "Points outside the crop are pulled",
        "The box may reach beyond the image": "The box is cut at the image's edge",
        "points are (x, y), in this order": "x and y are swapped",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
