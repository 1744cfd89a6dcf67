"""hybrid_loss: its reference, cases and known mistakes."""

import torch
from torch.nn import functional

from posebook._links import See
from posebook.checks.decoding.decode_argmax import OFFSET
from posebook.checks.decoding.soft_argmax import soft_argmax as soft_px
from posebook.checks.problem import Case, Mistake, Problem, changed, edited
from posebook.checks.representations import integral_loss as integral
from posebook.checks.representations.integral_loss import MEAN, NAN, UNEVEN, WITH_EMPTY, away, by_hand, same, some


def hybrid_loss(logits, xy_regressed, xy, mask, stride, weight):
    """Mean of both heads' errors and their weighted disagreement in px, over labeled keypoints."""
    h, w = logits.shape[-2:]
    prob = torch.softmax(logits.flatten(-2), dim=-1).unflatten(-1, (h, w))
    x = (prob.sum(-2) * torch.arange(w)).sum(-1)
    y = (prob.sum(-1) * torch.arange(h)).sum(-1)
    soft = stride * torch.stack((x, y), dim=-1)  # (B, K, 2) px
    truth = torch.where(mask[..., None], xy, 0.0)
    errors = (xy_regressed - truth).abs() + (soft - truth).abs()
    error = (errors + weight * (xy_regressed - soft).abs()).sum(-1)  # (B, K)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def _labeled_only(logits, xy_regressed, xy, mask, stride, weight):
    if not mask.any():
        return 0 * (logits.sum() + xy_regressed.sum())
    soft, regressed, truth = soft_px(logits[mask], stride), xy_regressed[mask], xy[mask]  # (N, 2)
    terms = ((regressed, truth, 1.0), (soft, truth, 1.0), (regressed, soft, weight))
    return sum(2 * w * functional.l1_loss(a, b) for a, b, w in terms)  # l1_loss is a mean over both axes


def _by_pairs(logits, xy_regressed, xy, mask, stride, weight):
    labeled = mask[..., None].expand_as(xy)
    points = torch.stack((xy_regressed, soft_px(logits, stride), xy.masked_fill(~labeled, 0.0)))
    apart = torch.cdist(points.permute(1, 2, 0, 3), points.permute(1, 2, 0, 3), p=1)  # (B, K, 3, 3) px
    total = torch.einsum("bk,bkij,ij->", mask.to(xy.dtype), apart,
                         torch.tensor([[0, weight, 1], [0, 0, 1], [0, 0, 0]], dtype=xy.dtype))
    return total / (mask.sum() + 1e-6)


def _by_loops(logits, xy_regressed, xy, mask, stride, weight):
    soft, total = soft_px(logits, stride), 0.0 * (logits.sum() + xy_regressed.sum())
    for b, k in mask.nonzero().tolist():
        for axis in range(2):
            r, s, t = xy_regressed[b, k, axis], soft[b, k, axis], xy[b, k, axis]
            total = total + abs(r - t) + abs(s - t) + weight * abs(r - s)
    return total / max(1, int(mask.sum()))


def _two_integrals(logits, xy_regressed, xy, mask, stride, weight):
    regression = torch.where(mask[..., None], (xy_regressed - xy).abs(), 0.0).sum() / mask.sum().clamp(min=1)
    agreement = integral.integral_loss(logits, xy_regressed, mask, stride)
    return regression + integral.integral_loss(logits, xy, mask, stride) + weight * agreement


REGRESSED, HEATMAP = "(xy_regressed - truth).abs()", "(soft - truth).abs()"
AGREEMENT = "weight * (xy_regressed - soft).abs()"


def _terms(text):
    """The three terms exchanged: r is regressed, s soft, t the truth, w the weight."""
    return edited(hybrid_loss, {
        f"errors = {REGRESSED} + {HEATMAP}": "r, s, t, w = xy_regressed, soft, truth, weight",
        f"(errors + {AGREEMENT}).sum(-1)": text})


def draw(rng, *, weight=0.75, b=3, k=4, hw=(5, 9), stride=4.0, mask=None, truth=None, dtype=torch.float32):
    """As for integral_loss; the regressed points lie 7 to 12 px from the soft ones, or 1 px and more from the truth."""
    logits, xy, mask, stride = integral.draw(rng, b=b, k=k, hw=hw, stride=stride, mask=mask, truth=truth, dtype=dtype)
    return logits, away(rng, soft_px(logits, stride), 7, 12), xy, mask, stride, weight


def _heads_agree(rng):
    logits, _, xy, mask, stride, _ = draw(rng, mask=UNEVEN)
    return logits, soft_px(logits, stride), xy, mask, stride, 3.0


def _raised(rng):
    logits, *rest = draw(rng, dtype=torch.float64, mask=UNEVEN)
    one = logits.clone()
    one[0, 1] += 1e4
    return (logits, *rest), (logits + 1e4, *rest), (one, *rest)


def _none(rng):
    return draw(rng, mask=some("0000", "0000", "0000"), truth=NAN)


AGREE = See("epochs",
            "both networks put the right wrist into the middle of the picture: they agree, and are 21.55 and 21.59 px "
            "off", step=10, keypoint="right wrist")
APART = See("epochs",
            "the networks are 13.73 and 13.95 px off, nearly alike, and yet one says y = 40.01, the other y = 30.70",
            step=30, keypoint="left knee")

PROBLEM = Problem(
    name="hybrid_loss", points=3, minutes=20,
    reference=hybrid_loss,
    own=("posebook.losses.agreement_loss", *integral.PROBLEM.own),
    cases=(
        Case("soft (20, 8), regressed (22, 8), truth (23, 4) px, weight 0.5: 5 + 7 + 0.5 * 2 = 13",
             lambda rng: (by_hand(5, 2), torch.tensor([[[22.0, 8.0]]]), torch.tensor([[[23.0, 4.0]]]), some("1"), 4.0,
                          0.5), fixed=True),
        Case("3 images of 4 keypoints, all labeled, weight 0.75", draw),
        Case("4, 1 and 2 keypoints labeled, weight 2", lambda rng: draw(rng, mask=UNEVEN, weight=2.0)),
        Case("weight 0: the two errors alone", lambda rng: draw(rng, mask=UNEVEN, weight=0.0)),
        Case("both heads agree on a wrong place", _heads_agree),
        Case("no labels in one image, and NaN as their place", lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN),
             weight=2),
        Case("nothing is labeled: 0", _none, weight=3, fixed=True),
        Case("float64 stays float64", lambda rng: draw(rng, b=2, k=3, hw=(7, 4), stride=8.0, dtype=torch.float64)),
        Case("adding 10000 to all logits, or to one map, changes nothing", _raised, holds=same),
        Case("gradients reach the logits", lambda rng: draw(rng, mask=UNEVEN), vjp=("logits", 0)),
        Case("gradients reach the regressed points, also those of the agreement",
             lambda rng: draw(rng, mask=UNEVEN, weight=2.5), vjp=("xy_regressed", 0)),
        Case("gradients reach the logits, also those of the agreement",
             lambda rng: draw(rng, mask=UNEVEN, weight=2.5), vjp=("logits", 0)),
        Case("NaN truth: gradients of the logits are finite", lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN),
             vjp=("logits", 0)),
        Case("NaN truth: gradients of the regressed points are finite",
             lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN), vjp=("xy_regressed", 0)),
        Case("nothing is labeled: the logits' gradients are there, and 0", _none, vjp=("logits", 0), weight=2,
             fixed=True),
        Case("nothing is labeled: the regressed points' gradients are there, and 0", _none, vjp=("xy_regressed", 0),
             weight=2, fixed=True),
    ),
    mistakes=(
        Mistake("The soft-argmax is detached in the agreement: then that term pulls only the regression head. Both "
                "heads are to move.", edited(hybrid_loss, {"regressed - soft)": "regressed - soft.detach())"})),
        Mistake("The regressed point is detached in the agreement: then that term pulls only the heatmap head. Both "
                "heads are to move.", edited(hybrid_loss, {"regressed - soft)": "regressed.detach() - soft)"})),
        Mistake("Both heads are detached in the agreement: the loss shows it, but nobody learns from it.",
                edited(hybrid_loss, {"regressed - soft)": "regressed - soft).detach()"})),
        Mistake("`weight` stands at the heatmap head's error: it belongs to the agreement.",
                edited(hybrid_loss, {"weight * ": "", HEATMAP: f"weight * {HEATMAP}"})),
        Mistake("`weight` stands at the regression head's error: it belongs to the agreement.",
                edited(hybrid_loss, {"weight * ": "", REGRESSED: f"weight * {REGRESSED}"})),
        Mistake("`weight` multiplies all three terms: it belongs to the agreement alone.",
                edited(hybrid_loss, {"errors + weight *": "weight * errors + weight *"})),
        *(Mistake("`weight` multiplies an error too: it belongs to the agreement alone.",
                  edited(hybrid_loss, {error: f"weight * {error}"})) for error in (REGRESSED, HEATMAP)),
        Mistake("`weight` multiplies both errors: it belongs to the agreement.",
                edited(hybrid_loss, {"errors + weight *": "weight * errors +"})),
        Mistake("`weight` is missing: multiply the agreement by it.",
                changed(hybrid_loss, weight=1.0)),
        Mistake("The errors are multiplied by 1 - weight: they stand as they are.",
                edited(hybrid_loss, {"errors + weight *": "(1 - weight) * errors + weight *"})),
        Mistake("The two errors are averaged: they stand as a sum.",
                edited(hybrid_loss, {"errors + weight *": "errors / 2 + weight *"})),
        Mistake("Agreement alone is no supervision: two heads that agree on a wrong place would have no loss. Add the "
                "error of each.", edited(hybrid_loss, {"errors + weight *": "weight *"}), see=AGREE),
        Mistake("The agreement is missing: add weight |xy_regressed - soft|.",
                changed(hybrid_loss, weight=0.0)),
        Mistake("The regression head's own error is missing: |xy_regressed - xy|.",
                edited(hybrid_loss, {f"{REGRESSED} + ": ""})),
        Mistake("The heatmap head's own error is missing: |soft - xy|.",
                edited(hybrid_loss, {f" + {HEATMAP}": ""})),
        Mistake("The agreement compares the sizes of the two errors: it is the distance of the two points, which may "
                "be large while both errors are equal.",
                _terms(
                    "(r - t).abs().sum(-1) + (s - t).abs().sum(-1)"
                    " + w * ((r - t).abs().sum(-1) - (s - t).abs().sum(-1)).abs()"), see=APART),
        Mistake("The agreement is squared: it is |xy_regressed - soft|, like the errors.",
                edited(hybrid_loss, {"soft).abs()": "soft).square()"})),
        Mistake("The agreement is averaged over the two axes: it is the sum |dx| + |dy|, like the errors.",
                edited(hybrid_loss, {"errors + weight": "errors + weight / 2"})),
        Mistake("The agreement is the straight distance, the root of dx^2 + dy^2: it is |dx| + |dy|, like the errors.",
                _terms(
                    "((r - t).abs() + (s - t).abs()).sum(-1) + w * torch.linalg.vector_norm(r - s, dim=-1)")),
        Mistake("The agreement is in cells: all three terms are in pixels.",
                changed(hybrid_loss, weight=lambda weight, stride: weight / stride), see=integral.UNITS),
        *(Mistake("The agreement counts all keypoints: it needs no truth, but the mean is over labeled ones.",
                  edited(hybrid_loss, {f"errors + {AGREEMENT}": "errors", MEAN: f"{MEAN} + {text}"}))
          for text in (f"({AGREEMENT}).sum(-1).mean()", f"({AGREEMENT}).sum() / mask.sum().clamp(min=1)")),
        Mistake("The regressed points are multiplied by the stride: they are in pixels already.",
                changed(hybrid_loss, xy_regressed=lambda xy_regressed, stride: stride * xy_regressed)),
        Mistake("The stride is missing: the soft-argmax is in cells, and stride * cell is in pixels.",
                changed(hybrid_loss, stride=1.0), see=integral.UNITS),
        Mistake("Half of (stride - 1) is added: the statement puts cell u at stride * u.",
                edited(hybrid_loss, {"soft = ": "soft = (stride - 1) / 2 + "}), see=OFFSET),
        Mistake("exp of a large number such as 10000 is infinite, and infinity / infinity is NaN; `torch.softmax` "
                "takes care of that.", edited(hybrid_loss, {
                    "torch.softmax(logits.flatten(-2), dim=-1).unflatten(-1, (h, w))":
                    "logits.exp() / logits.exp().sum((-2, -1), keepdim=True)"})),
        Mistake("x and y are swapped in the soft-argmax: the last axis of `logits` is x, and x comes first in `xy`.",
                edited(hybrid_loss, {"(x, y)": "(y, x)"})),
        Mistake("The two axes are averaged: the terms are sums |dx| + |dy|. `mean` and `l1_loss` divide by 2 as well.",
                changed(hybrid_loss, result=lambda out: out / 2)),
        *(Mistake("The three terms are squared, as in `mse_loss`: the statement wants |dx| + |dy|.",
                  edited(hybrid_loss, {"abs()": "square()", "sum(-1)  #": f"{reduce}(-1)  #"}))
          for reduce in ("sum", "mean")),
        Mistake("The three terms are averaged: they are added.",
                changed(hybrid_loss, result=lambda out: out / 3)),
        Mistake("A mean over each image, then over the images: the only keypoint of one image then counts as much as "
                "all of another. Divide one sum by one count.",
                edited(hybrid_loss, integral.PER_IMAGE)),
        Mistake("The sum is divided by all B x K keypoints: the unlabeled ones do not count.",
                edited(hybrid_loss, integral.OF_ALL)),
        Mistake("This is a sum over the keypoints: divide it by the number of labeled ones.",
                edited(hybrid_loss, integral.SUM)),
        Mistake("The mask is not used: what is not labeled has no truth to compare with.",
                edited(hybrid_loss, integral.NO_MASK | integral.TRUTH)),
        Mistake("NaN times 0 is NaN: multiplying by the mask does not remove it. Select with `torch.where` or "
                "`[mask]`, best before you subtract.", edited(hybrid_loss, integral.TRUTH)),
        Mistake("With nothing labeled you divide 0 by 0, and one such batch turns every weight of the network to NaN. "
                "Divide by at least 1.", edited(hybrid_loss, integral.NOTHING_BY_NOTHING)),
        Mistake("With nothing labeled the 0 is a new tensor, and `backward()` finds no way to the heads. Make the 0 "
                "from them: a sum over an empty choice, divided by at least 1.",
                edited(hybrid_loss, integral.NEW_ZERO)),
        Mistake("With nothing labeled the 0 hangs on one head alone, and `backward()` leaves the other without "
                "gradients.", edited(hybrid_loss, {MEAN: f"{MEAN} if mask.any() else 0 * logits.sum()"})),
        Mistake("The result is always float32. It should have the dtype of `logits`.",
                changed(hybrid_loss, result=lambda out: out.float())),
        Mistake("The agreement is subtracted: it is a loss like the others, so add it.",
                changed(hybrid_loss, weight=lambda weight: -weight)),
        Mistake("The agreement compares the truth with the mean of the heads: it is |xy_regressed - soft|.",
                edited(hybrid_loss, {"(xy_regressed - soft)": "((xy_regressed + soft) / 2 - truth)"})),
        Mistake("The errors are multiplied by 1 + weight: they stand as they are.",
                edited(hybrid_loss, {"errors + weight *": "(1 + weight) * errors + weight *"})),
        Mistake("The regressed points are divided by the stride: they are in pixels already, like the truth.",
                changed(hybrid_loss, xy_regressed=lambda xy_regressed, stride: xy_regressed / stride)),
        Mistake("A number is added to what you divide by: one labeled keypoint counts as 1, not as a little more.",
                edited(hybrid_loss, {"clamp(min=1)": "add(0.01)"})),
        Mistake("The logits are cut off at some number: softmax is safe without that, and cutting moves the mean.",
                changed(hybrid_loss, logits=lambda logits: logits.clamp(-60, 60))),
        Mistake("Half a cell is added: the statement puts cell u at stride * u.",
                edited(hybrid_loss, {"soft = ": "soft = stride / 2 + "})),
        Mistake("`weight` is squared.", changed(hybrid_loss, weight=lambda weight: weight**2)),
        Mistake("The regressed points are detached: then the regression head learns nothing.",
                changed(hybrid_loss, xy_regressed=lambda xy_regressed: xy_regressed.detach())),
        Mistake("The soft-argmax is detached: then the heatmap head learns nothing.",
                changed(hybrid_loss, logits=lambda logits: logits.detach())),
        Mistake("The mask is guessed from NaN: an unlabeled truth may be any number. Use `mask`.",
                edited(hybrid_loss, {"mask[..., None], xy": "~xy.isnan(), xy",
                                     "error * mask": "error * (xy == xy).all(-1)",
                                     "mask.sum()": "(xy == xy).all(-1).sum()"})),
    ),
    alternatives=(_labeled_only, _by_pairs, _by_loops, _two_integrals),
    clauses={
        "cell $u$ at $\\mathrm{stride} \\cdot u$ px": "The stride is missing",
        "|r - t|_1": "The regression head's own error is missing",
        "|s - t|_1": "The heatmap head's own error is missing",
        "|r - t|_1 + |s - t|_1": "The two errors are averaged",
        "\\mathrm{weight} \\cdot |r - s|_1": "The agreement is missing",
        "\\mathrm{weight} \\cdot": "`weight` is missing",
        "$|v|_1 = |v_x| + |v_y|$": "The two axes are averaged",
        "in px": "The agreement is in cells",
        "over all labeled keypoints of the batch together": "A mean over each image, then over the images",
        "Gradients reach both heads through each term that they stand in":
            "The soft-argmax is detached in the agreement",
        "`xy` may be any number, or NaN": "The mask is guessed from NaN",
        "neither the loss nor a gradient is NaN then": "NaN times 0",
        "With nothing labeled the loss is 0": "With nothing labeled you divide 0 by 0",
        "`backward()` leaves gradients of 0 in both heads": "With nothing labeled the 0 hangs on one head",
        "Adding 10000 to the logits of any map changes nothing": "exp of a large number",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
