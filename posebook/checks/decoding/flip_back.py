"""flip_back: its reference, cases and known mistakes."""

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def flip_back(heatmaps, pairs, stride):
    """Undo a horizontal image flip: mirror, swap channels, shift by (stride - 1) / stride cells."""
    order = list(range(heatmaps.shape[-3]))
    for left, right in pairs:
        order[left], order[right] = right, left
    mirrored = heatmaps[..., order, :, :].flip(-1)
    f = (stride - 1) / stride
    before = torch.cat((mirrored[..., :1], mirrored[..., :-1]), dim=-1)  # in[i - 1], first in[0]
    return (1 - f) * mirrored + f * before


def _in_place_on_a_copy(heatmaps, pairs, stride):
    out = heatmaps.clone()
    for left, right in pairs:
        out[..., left, :, :], out[..., right, :, :] = heatmaps[..., right, :, :], heatmaps[..., left, :, :]
    out = torch.flip(out, dims=(-1,))
    shifted = out.clone()
    shifted[..., 1:] = out[..., :-1]
    return torch.lerp(out, shifted, 1 - 1 / stride)


def _by_matrix(heatmaps, pairs, stride):
    k, w = heatmaps.shape[-3], heatmaps.shape[-1]
    swap = torch.eye(k, dtype=heatmaps.dtype)
    for left, right in pairs:
        swap[[left, right]] = swap[[right, left]]
    f = (stride - 1) / stride
    shift = (1 - f) * torch.eye(w, dtype=heatmaps.dtype) + f * torch.diag(torch.ones(w - 1, dtype=heatmaps.dtype), -1)
    shift[0, 0] = 1
    return torch.einsum("jk,iw,...khw->...jhi", swap, shift.flip(1), heatmaps)


def _draw(rng, *shape, dtype=torch.float32):
    return torch.rand(*shape, generator=rng, dtype=dtype)


def _impulse(rng):
    """A map of one row with one cell that is not 0."""
    column = torch.randint(0, 7, (1, 1), generator=rng)
    return (0.5 + _draw(rng, 1)) * torch.eye(7)[column]


PAIRS = ((1, 2), (3, 4))

NONE = See("flip", "the flipped-back peak lies -3.00 px, or -0.75 cells, beside the other one")
WHOLE = See("flip",
            "one cell is too far: the flipped-back peak lies +1.00 px, or +0.25 cells, beside the other one",
            shift="one cell")
EXACT = See("flip", "exact: at stride 4 the map moves by 0.75 cells, and both peaks lie at 60.30 px", shift="exact")

PROBLEM = Problem(
    name="flip_back", points=3, minutes=15,
    reference=flip_back,
    own=("posebook.warp.flip_heatmap", "posebook.warp.warp_heatmap", "posebook.warp.warp_image",
         "posebook.warp._looked_up", "posebook.warp._along"),
    cases=(
        Case("stride 1", lambda rng: (_draw(rng, 5, 4, 6), PAIRS, 1.0)),
        Case("no pairs, stride 4", lambda rng: (_draw(rng, 3, 4, 6), (), 4.0), weight=2),
        Case("five keypoints, two pairs, stride 4", lambda rng: (_draw(rng, 5, 4, 6), PAIRS, 4.0), weight=2),
        Case("stride 3: a third and two thirds", lambda rng: (_draw(rng, 2, 3, 7), ((0, 1),), 3.0)),
        Case("leading axes stay: (2, 3, 5, 4, 6)", lambda rng: (_draw(rng, 2, 3, 5, 4, 6), ((4, 0),), 2.0)),
        Case("a map as high as wide, so that shapes do not tell the axes apart",
             lambda rng: (_draw(rng, 5, 5, 5), PAIRS, 8.0)),
        Case("one impulse", lambda rng: (_impulse(rng), (), 4.0)),
        Case("float64 stays float64", lambda rng: (_draw(rng, 5, 3, 4, dtype=torch.float64), PAIRS, 2.5), atol=1e-9),
    ),
    mistakes=(
        Mistake("The shift is missing: with targets at u = x / stride the mirrored peak is (stride - 1) / stride cells "
                "too far left.", edited(flip_back, {"(stride - 1) / stride": "0.0"}), see=NONE),
        Mistake("The shift is a whole cell; it is (stride - 1) / stride of one.",
                edited(flip_back, {"(stride - 1) / stride": "1.0"}), see=WHOLE),
        Mistake("The shift goes to the left, or comes before the mirror, which is the same: mirror first, then out[i] "
                "takes from in[i - 1].",
                edited(flip_back, {"mirrored[..., :1], mirrored[..., :-1]": "mirrored[..., 1:], mirrored[..., -1:]"})),
        Mistake("The shares are exchanged, or f is 1 / stride: out[i] has (1 - f) of in[i] and f of in[i - 1], and "
                "f is (stride - 1) / stride.",
                edited(flip_back, {"(stride - 1) / stride": "1 / stride"}), see=EXACT),
        Mistake("f is (stride - 1) / stride, in cells; (stride - 1) / 2 px is another offset.",
                edited(flip_back, {"(stride - 1) / stride": "(stride - 1) / 2"}), see=EXACT),
        Mistake("The channels are not swapped: after a flip the left wrist answers in the right wrist's channel.",
                changed(flip_back, pairs=())),
        Mistake("One channel of each pair is lost: the second assignment reads what the first has overwritten. "
                "Index with a list of channels, or keep a copy.",
                edited(flip_back, {"order[left], order[right] = right, left": "order[left] = order[right]"})),
        Mistake("Rows are mirrored: a horizontal flip reverses the last axis.",
                edited(flip_back, {"flip(-1)": "flip(-2)"})),
        Mistake("The maps are not mirrored back: reverse the last axis.", edited(flip_back, {".flip(-1)": ""})),
        Mistake("The first column is filled with 0; the statement repeats in[0].",
                edited(flip_back, {"(mirrored[..., :1]": "(0 * mirrored[..., :1]"})),
        Mistake("The last column comes back in at the left, as `torch.roll` does; the statement repeats in[0].",
                edited(flip_back, {"(mirrored[..., :1]": "(mirrored[..., -1:]"})),
        Mistake("f is half as large as it should be: (stride - 1) / stride.",
                edited(flip_back, {"(stride - 1) / stride": "(stride - 1) / (2 * stride)"}), see=EXACT),
        Mistake("f is rounded: it is a fraction of a cell.",
                edited(flip_back, {"(stride - 1) / stride": "round((stride - 1) / stride)"}), see=WHOLE),
        Mistake("f is (stride - 1) px: divide by the stride to have cells.",
                edited(flip_back, {"(stride - 1) / stride": "(stride - 1)"}), see=NONE),
        Mistake("All channels are reversed: swap those of each pair, and leave the others.",
                edited(flip_back, {"order[left], order[right] = right, left": "pass",
                                   "heatmaps[..., order": "heatmaps[..., order[::-1]"})),
        Mistake("Only the first pair is swapped.", changed(flip_back, pairs=lambda pairs: pairs[:1])),
        Mistake("The pairs are always the same ones: take them from `pairs`.",
                changed(flip_back, pairs=lambda heatmaps: PAIRS if heatmaps.shape[-3] == 5 else ())),
        Mistake("You count on four axes, or another fixed number: `...` stands for any number of leading axes, none "
                "included. `heatmaps.shape[-3]` and `heatmaps[..., order, :, :]` do not care.",
                edited(flip_back, {"order = list(range(heatmaps.shape[-3]))":
                                   "b, k, h, w = heatmaps.shape\n    order = list(range(k))"})),
        Mistake("The channels are the third axis from the end, not the first.",
                edited(flip_back, {"heatmaps[..., order, :, :]": "heatmaps[order]"})),
        Mistake("The shift goes down: it goes to the right, along the last axis.",
                edited(flip_back, {"[..., :1]": "[..., :1, :]", "[..., :-1]": "[..., :-1, :]", "dim=-1": "dim=-2"})),
        Mistake("Both axes are mirrored: a horizontal flip reverses the last one alone.",
                edited(flip_back, {"flip(-1)": "flip(-1, -2)"})),
        Mistake("The first column is filled with in[1]; the statement repeats in[0].",
                edited(flip_back, {"(mirrored[..., :1]": "(mirrored[..., 1:2]"})),
        Mistake("The result is always float32. It should have the dtype of `heatmaps`.",
                changed(flip_back, result=lambda out: out.float())),
    ),
    alternatives=(_in_place_on_a_copy, _by_matrix),
    clauses={
        "Mirror the last axis": "The maps are not mirrored back",
        "swap the channels of each (left, right) pair": "The channels are not swapped",
        "other channels stay": "All channels are reversed",
        "then shift": "The shift goes to the left, or comes before",
        "to the right": "The shift goes to the left",
        "$f = (\\mathrm{stride} - 1) / \\mathrm{stride}$ cells": "The shift is a whole cell",
        "(1 - f)\\,\\mathrm{in}[i] + f\\,\\mathrm{in}[i - 1]": "The shares are exchanged",
        "\\mathrm{in}[-1] := \\mathrm{in}[0]": "The last column comes back",
        "there may be any number of them": "Only the first pair",
        "(..., K, H, W)": "The channels are the third axis",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The result is always float32",
        "`...` stands for any number of leading axes, none included": "You count on four axes",
    },
)
