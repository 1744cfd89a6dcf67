"""integral_loss: its reference, cases and known mistakes."""

import torch
from torch.nn import functional

from posebook._links import See
from posebook.checks.decoding import soft_argmax
from posebook.checks.decoding.decode_argmax import OFFSET
from posebook.checks.decoding.soft_argmax import (
    BETWEEN,
    NO_EXPONENTIAL,
    NO_TAU,
    ONE_AXIS,
    OVERFLOWS,
    TAU,
    UNDERFLOWS,
    softmax_as,
)
from posebook.checks.decoding.soft_argmax import soft_argmax as soft_px
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def integral_loss(logits, xy, mask, stride, tau=1.0, offset=0.0):
    """Mean of |dx| + |dy| in px between soft-argmax and truth, over labeled keypoints."""
    h, w = logits.shape[-2:]
    prob = torch.softmax(logits.flatten(-2) / tau, dim=-1).unflatten(-1, (h, w))
    x = (prob.sum(-2) * torch.arange(w)).sum(-1)
    y = (prob.sum(-1) * torch.arange(h)).sum(-1)
    soft = offset + stride * torch.stack((x, y), dim=-1)  # (B, K, 2) px
    truth = torch.where(mask[..., None], xy, 0.0)  # no NaN takes part, not even times 0
    error = (soft - truth).abs().sum(-1)  # (B, K)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def _labeled_only(logits, xy, mask, stride, tau=1.0, offset=0.0):
    h, w = logits.shape[-2:]
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    cells = torch.stack((columns.flatten(), rows.flatten()), -1).to(logits.dtype)  # (H*W, 2)
    pick = logits[mask].flatten(-2)  # (N, H*W)
    if len(pick) == 0:
        return 0 * logits.sum()
    found = (pick / tau).softmax(-1) @ cells * stride + offset
    return functional.l1_loss(found, xy[mask], reduction="sum") / len(pick)


def _by_einsum(logits, xy, mask, stride, tau=1.0, offset=0.0):
    z = logits / tau
    prob = (z - z.logsumexp((-2, -1), keepdim=True)).exp()
    weight = mask.to(logits.dtype) / (mask.sum() + 1e-6)
    loss = 0
    for axis, equation in ((0, "bkhw,w->bk"), (1, "bkhw,h->bk")):
        mean = torch.einsum(equation, prob, torch.arange(logits.shape[-1 - axis], dtype=logits.dtype))
        loss = loss + torch.einsum("bk,bk->", weight, (offset + stride * mean - xy[..., axis].nan_to_num()).abs())
    return loss


def _by_loops(logits, xy, mask, stride, tau=1.0, offset=0.0):
    total, count = (logits * 0).sum(), 0
    for maps, points, labeled in zip(logits, xy, mask, strict=True):
        for one, point, known in zip(maps, points, labeled, strict=True):
            if known:
                p = (one / tau).flatten().softmax(0).reshape(one.shape)
                mean = torch.stack(((p * torch.arange(one.shape[1])).sum(),
                                    (p * torch.arange(one.shape[0])[:, None]).sum()))
                total, count = total + (offset + stride * mean - point).abs().sum(), count + 1
    return total / max(count, 1)


def _selected_after(logits, xy, mask, stride, tau=1.0, offset=0.0):
    error = torch.where(mask[..., None], (soft_px(logits, stride, tau, offset) - xy).abs(), 0.0)
    return error.sum() / torch.maximum(mask.sum(), torch.tensor(1))


TRUTH = {"torch.where(mask[..., None], xy, 0.0)": "xy"}
MEAN = "(error * mask).sum() / mask.sum().clamp(min=1)"
PER_IMAGE = {MEAN: "((error * mask).sum(-1) / mask.sum(-1).clamp(min=1)).mean()"}
OF_ALL = {MEAN: "(error * mask).sum() / mask.numel()"}
SUM = {MEAN: "(error * mask).sum()"}
NO_MASK = {MEAN: "error.mean()"}
NOTHING_BY_NOTHING = {MEAN: "(error * mask).sum() / mask.sum()"}
NEW_ZERO = {MEAN: f"{MEAN} if mask.any() else torch.zeros((), dtype=error.dtype)"}


def _error(text):
    """The error of a keypoint exchanged."""
    return edited(integral_loss, {"(soft - truth).abs().sum(-1)": text})


def draw(rng, *, b=3, k=4, hw=(5, 9), stride=4.0, mask=None, truth=None, dtype=torch.float32):
    """Random logits; truth 1 to 6 px from their soft-argmax on each axis, so that no gradient lies on a kink."""
    logits = 2 * torch.randn(b, k, *hw, generator=rng, dtype=dtype)
    mask = torch.ones(b, k, dtype=torch.bool) if mask is None else mask
    xy = away(rng, soft_px(logits, stride), 1, 6)
    if truth is not None:
        xy = torch.where(mask[..., None], xy, truth)
    return logits, xy, mask, stride


def away(rng, xy, low, high):
    """Points between low and high px from others, on each axis and to either side."""
    sign = 2.0 * torch.randint(0, 2, xy.shape, generator=rng) - 1
    return xy + sign * (low + (high - low) * torch.rand(xy.shape, generator=rng, dtype=xy.dtype))


def some(*rows):
    """A mask written in rows of 0 and 1."""
    return torch.tensor([[c == "1" for c in row] for row in rows])


def by_hand(x, y, hw=(6, 9)):
    """Logits ``(1, 1, H, W)`` of a narrow bump that is symmetric about a cell inside."""
    columns, rows = torch.arange(hw[1]), torch.arange(hw[0])[:, None]
    return -20.0 * ((columns - x) ** 2 + (rows - y) ** 2)[None, None].float()


UNEVEN = some("1111", "0100", "0110")  # 4, 1 and 2 keypoints: a mean of means is another number
WITH_EMPTY = some("1010", "0000", "0111")
NAN = float("nan")


def _raised(rng):
    """The same logits as they are, all raised by 10000, and one map raised by it."""
    logits, xy, mask, stride = draw(rng, dtype=torch.float64, mask=UNEVEN)
    one = logits.clone()
    one[0, 1] += 1e4
    return (logits, xy, mask, stride), (logits + 1e4, xy, mask, stride), (one, xy, mask, stride)


def _with_offset(rng):
    """Truth to the right of and below all soft-argmaxes: there, errors of either sign cannot make up for each other."""
    logits, _, mask, stride = draw(rng, mask=UNEVEN)
    soft = soft_px(logits, stride, 3.0, 1.5)
    return logits, soft + 3 + 6 * torch.rand(soft.shape, generator=rng), mask, stride, 3.0, 1.5


def _none(rng):
    return draw(rng, mask=some("0000", "0000", "0000"), truth=NAN)


def same(*losses):
    """Whether several calls gave one and the same number."""
    return all(torch.allclose(losses[0], other, rtol=0, atol=1e-6) for other in losses)


UNITS = See("decoding",
            "one distance in two units: soft-argmax is off by 1.06 px or 0.13 cells, as the table's last columns say")

PROBLEM = Problem(
    name="integral_loss", points=3, minutes=25,
    reference=integral_loss,
    own=("posebook.losses.integral_loss", "posebook.losses.coordinate_loss", "posebook.losses.masked_mean",
         "posebook.losses._distance", *soft_argmax.PROBLEM.own),
    cases=(
        Case("soft-argmax (20, 8) px, truth (23, 4) px: 3 + 4 = 7",
             lambda rng: (by_hand(5, 2), torch.tensor([[[23.0, 4.0]]]), some("1"), 4.0), fixed=True),
        Case("3 images of 4 keypoints, all labeled", draw),
        Case("4, 1 and 2 keypoints labeled: each counts the same", lambda rng: draw(rng, mask=UNEVEN)),
        Case("tau = 0.5", lambda rng: (*draw(rng, mask=UNEVEN), 0.5)),
        Case("tau = 3, and an offset of 1.5 px", _with_offset, weight=2),
        Case("no labels in one image, and NaN as their place", lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN),
             weight=2),
        Case("nothing is labeled: 0", _none, weight=3, fixed=True),
        Case("float64 stays float64", lambda rng: draw(rng, b=2, k=3, hw=(7, 4), stride=8.0, dtype=torch.float64)),
        Case("adding 10000 to all logits, or to one map, changes nothing", _raised, holds=same),
        Case("gradients reach the logits", lambda rng: draw(rng, mask=UNEVEN), vjp=("logits", 0)),
        Case("gradients are finite, and 0 where the truth is NaN", lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN),
             vjp=("logits", 0)),
        Case("nothing is labeled: gradients are there, and 0", _none, vjp=("logits", 0), weight=3, fixed=True),
    ),
    mistakes=(
        Mistake("x and y are swapped in the soft-argmax: the last axis of `logits` is x, and x comes first in `xy`.",
                edited(integral_loss, {"(x, y)": "(y, x)"})),
        Mistake("The two axes are averaged: the error of a keypoint is the sum |dx| + |dy|. `mean` and `l1_loss` "
                "divide by 2 as well.", _error("(soft - truth).abs().mean(-1)")),
        Mistake("A mean over each image, then over the images: the only keypoint of one image then counts as much as "
                "all of another. Divide one sum by one count.", edited(integral_loss, PER_IMAGE)),
        Mistake("A mean over each of the K keypoints, then over the K: one that is labeled once then counts as much as "
                "one that always is. Divide one sum by one count.",
                edited(integral_loss, {MEAN: "((error * mask).sum(0) / mask.sum(0).clamp(min=1)).mean()"})),
        Mistake("Each image is divided by its own count, and 0 / 0 is NaN for an image without labels. Divide one sum "
                "over the batch by one count.",
                edited(integral_loss, {MEAN: "((error * mask).sum(-1) / mask.sum(-1)).mean()"})),
        Mistake("The sum is divided by all B x K keypoints: the unlabeled ones do not count.",
                edited(integral_loss, OF_ALL)),
        Mistake("The sum is divided by the number of images: divide it by that of labeled keypoints.",
                edited(integral_loss, {MEAN: "(error * mask).sum() / len(mask)"})),
        Mistake("This is a sum over the keypoints: divide it by the number of labeled ones.",
                edited(integral_loss, SUM)),
        Mistake("The mask is not used: what is not labeled has no truth to compare with.",
                edited(integral_loss, NO_MASK | TRUTH)),
        Mistake("NaN times 0 is NaN: multiplying by the mask does not remove it. Select with `torch.where` or "
                "`[mask]`, best before you subtract.", edited(integral_loss, TRUTH)),
        Mistake("NaN is replaced in the truth, but then those keypoints count: use the mask for the mean as well.",
                edited(integral_loss, NO_MASK)),
        Mistake("The value is right, but its gradient is NaN where the truth is: `where` stops the value, and "
                "backward through a root or a square multiplies 0 by NaN. Replace the NaN before you subtract.",
                edited(integral_loss, TRUTH | {"abs()": "square().sqrt()",
                                               "(error * mask)": "torch.where(mask, error, 0.0)"})),
        Mistake("With nothing labeled you divide 0 by 0, and one such batch turns every weight of the network to NaN. "
                "Divide by at least 1.", edited(integral_loss, NOTHING_BY_NOTHING)),
        Mistake("With nothing labeled the 0 is a new tensor, and `backward()` finds no way to the logits. Make the 0 "
                "from them: a sum over an empty choice, divided by at least 1.",
                edited(integral_loss, NEW_ZERO)),
        *(Mistake("The errors are squared, as in `mse_loss`: the statement wants |dx| + |dy|.", _error(text))
          for text in ("(soft - truth).square().sum(-1)", "(soft - truth).square().mean(-1)")),
        Mistake("This is the straight distance, the root of dx^2 + dy^2: the statement wants |dx| + |dy|.",
                _error("torch.linalg.vector_norm(soft - truth, dim=-1)")),
        Mistake("This is smooth L1: it halves and squares errors under 1 px, and takes half a px off the others.",
                _error("functional.smooth_l1_loss(soft, truth, reduction='none').sum(-1)")),
        Mistake("dx and dy are added with their signs: take absolute values first.",
                _error("(soft - truth).sum(-1).abs()")),
        Mistake("`tau` multiplies where it should divide: a high temperature makes the distribution flatter.",
                changed(integral_loss, tau=lambda tau: 1 / tau), see=TAU),
        Mistake("`tau` is missing: divide the logits by it before the softmax.",
                changed(integral_loss, tau=1.0), see=NO_TAU),
        Mistake("The offset is missing: `offset + stride * cell`.",
                changed(integral_loss, offset=0.0), see=OFFSET),
        Mistake("The offset is multiplied by the stride: it is already in pixels, so add it last, "
                "`offset + stride * cell`.", changed(integral_loss, offset=lambda offset, stride: stride * offset)),
        Mistake("The stride is missing: cells are not pixels yet, `offset + stride * cell`.",
                changed(integral_loss, stride=1.0), see=UNITS),
        Mistake("The error is in cells: the loss is in pixels, `stride` times as much.",
                changed(integral_loss, result=lambda out, stride: out / stride), see=UNITS),
        Mistake("Half of (stride - 1) is added: the statement puts cell u at offset + stride * u.",
                changed(integral_loss, offset=lambda offset, stride: offset + (stride - 1) / 2), see=OFFSET),
        Mistake("Half a cell is added: the statement puts cell u at offset + stride * u.",
                changed(integral_loss, offset=lambda offset, stride: offset + stride / 2)),
        Mistake("This is argmax: it takes the highest cell, not the mean, and no gradient passes.",
                edited(integral_loss, softmax_as("functional.one_hot(logits.flatten(-2).argmax(-1), h * w)"
                                           ".to(logits.dtype).unflatten(-1, (h, w))")), see=BETWEEN),
        Mistake("The values are right, but the result is cut off from `logits`: no `detach`, `item` or `numpy` "
                "on the way.", changed(integral_loss, logits=lambda logits: logits.detach())),
        *(Mistake("The softmax runs over one axis at a time. The probabilities of all H x W cells of a map sum to 1: "
                  "flatten both axes first.", edited(integral_loss, edits))
          for edits in (ONE_AXIS, softmax_as("torch.softmax(logits / tau, -1)"))),
        Mistake("The softmax runs over the keypoints, axis 1: each map is a distribution over its own cells.",
                edited(integral_loss, softmax_as("torch.softmax(logits / tau, 1)"))),
        Mistake("The softmax runs over all keypoints of an image. Each map is a distribution of its own: take it over "
                "the last two axes only.",
                edited(integral_loss, softmax_as("torch.softmax(logits.flatten(1) / tau, -1).view(logits.shape)"))),
        Mistake("The logits are divided by their sum: a softmax takes their exponentials first.",
                edited(integral_loss, NO_EXPONENTIAL)),
        Mistake("exp of a large number such as 10000 is infinite, and infinity / infinity is NaN; `torch.softmax` "
                "takes care of that.", edited(integral_loss, OVERFLOWS)),
        Mistake("The maximum of the whole batch is subtracted, so the other maps underflow to 0 / 0. "
                "Subtract each map's own maximum.", edited(integral_loss, UNDERFLOWS)),
        Mistake("The result is always float32. It should have the dtype of `logits`.",
                changed(integral_loss, result=lambda out: out.float())),
        Mistake("A number is added to what you divide by: one labeled keypoint counts as 1, not as a little more.",
                edited(integral_loss, {"clamp(min=1)": "add(1)"})),
        Mistake("A number is added to what you divide by: one labeled keypoint counts as 1, not as a little more.",
                edited(integral_loss, {"clamp(min=1)": "add(1e-3)"})),
        Mistake("Only the larger of |dx| and |dy| counts: the sum of the two is asked for.",
                edited(integral_loss, {".sum(-1)  # (B, K)": ".amax(-1)"})),
        Mistake("Only x counts: the sum of |dx| and |dy| is asked for.",
                edited(integral_loss, {".abs().sum(-1)": ".abs()[..., 0]"})),
        Mistake("The mask is guessed from NaN: an unlabeled truth may be any number. Use `mask`.",
                edited(integral_loss, {"mask[..., None], xy": "~xy.isnan(), xy",
                                       "error * mask": "error * (xy == xy).all(-1)",
                                       "mask.sum()": "(xy == xy).all(-1).sum()"})),
        Mistake("The offset is added to the truth as well: it belongs to the soft-argmax.",
                changed(integral_loss, offset=0.0, xy=lambda xy, offset: xy + offset)),
        Mistake("`tau` is applied after the softmax: divide the logits by it before.",
                edited(integral_loss, {"flatten(-2) / tau": "flatten(-2)", "stride *": "stride / tau *"})),
        Mistake("The logits are cut off at some number: softmax is safe without that, and cutting moves the mean.",
                changed(integral_loss, logits=lambda logits: logits.clamp(-50, 50))),
        Mistake("With nothing labeled you take the mean of an empty choice, which is NaN. Divide a sum by at least 1.",
                edited(integral_loss, {MEAN: "error[mask].mean()"})),
        Mistake("This is the root of the mean: the statement asks for the mean itself.",
                changed(integral_loss, result=lambda out: out.sqrt())),
        Mistake("A mean over each image, then over the images that have labels: divide one sum by one count.",
                edited(integral_loss, {MEAN: "((error * mask).sum(-1) / mask.sum(-1).clamp(min=1)).sum()"
                                             " / mask.any(-1).sum().clamp(min=1)"})),
        Mistake("This is one loss for each keypoint: a single number is asked for, the mean over the labeled ones.",
                edited(integral_loss, {MEAN: "error * mask"})),
    ),
    alternatives=(_labeled_only, _by_einsum, _by_loops, _selected_after),
    clauses={
        "|\\Delta x| + |\\Delta y|": "The errors are squared",
        "the sum over the two axes": "The two axes are averaged",
        "in px": "The error is in cells",
        "over all labeled keypoints of the batch together": "A mean over each image, then over the images: ",
        "`mask` is boolean, True where a keypoint is labeled": "The mask is not used",
        "$p = \\mathrm{softmax}(z / \\tau)$": "`tau` multiplies",
        "over the H x W cells of a map": "The softmax runs over one axis at a time",
        "$\\mathrm{offset} + \\mathrm{stride} \\cdot u$ px": "The offset is multiplied by the stride",
        "`xy` may be any number, or NaN": "The mask is guessed from NaN",
        "Neither the loss nor its gradient is NaN then": "NaN times 0",
        "With nothing labeled in the batch the loss is 0": "With nothing labeled you divide 0 by 0",
        "`backward()` leaves gradients of 0 in the logits": "With nothing labeled the 0 is a new tensor",
        "Adding 10000 to the logits of any map changes nothing": "exp of a large number",
        "Gradients reach the logits": "The values are right, but the result is cut off",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
