"""hybrid_loss: its reference, cases and known mistakes."""

import torch
from torch.nn import functional

from posebook.checks.problem import Case, Mistake, Problem
from posebook.checks.representations import integral_loss as integral
from posebook.checks.representations.integral_loss import NAN, UNEVEN, WITH_EMPTY, away, by_hand, same, soft_px, some


def hybrid_loss(logits, xy_regressed, xy, mask, stride, weight):
    """The plain solution."""
    soft = soft_px(logits, stride)
    truth = torch.where(mask[..., None], xy, 0.0)
    error = (xy_regressed - truth).abs() + (soft - truth).abs() + weight * (xy_regressed - soft).abs()
    return (error.sum(-1) * mask).sum() / mask.sum().clamp(min=1)


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


def _l1(apart):
    return apart.abs().sum(-1)


def _over_labeled(error, mask):
    return (error * mask).sum() / mask.sum().clamp(min=1)


def _with(terms=lambda r, s, t, weight: _l1(r - t) + _l1(s - t) + weight * _l1(r - s), mean=_over_labeled,
          soft=soft_px, truth=lambda xy, mask: torch.where(mask[..., None], xy, 0.0)):
    """The right answer with its three terms (of regressed, soft, true), its mean, its decoder or its truth changed."""

    def answer(logits, xy_regressed, xy, mask, stride, weight):
        return mean(terms(xy_regressed, soft(logits, stride), truth(xy, mask), weight), mask)

    return answer


def _agreement_of_all(logits, xy_regressed, xy, mask, stride, weight):
    soft = soft_px(logits, stride)
    supervised = hybrid_loss(logits, xy_regressed, xy, mask, stride, 0.0)
    return supervised + weight * _l1(xy_regressed - soft).mean()


def _agreement_of_all_over_labeled(logits, xy_regressed, xy, mask, stride, weight):
    supervised = hybrid_loss(logits, xy_regressed, xy, mask, stride, 0.0)
    return supervised + weight * _l1(xy_regressed - soft_px(logits, stride)).sum() / mask.sum().clamp(min=1)


def _zero_of_one_head(logits, xy_regressed, xy, mask, stride, weight):
    return hybrid_loss(logits, xy_regressed, xy, mask, stride, weight) if mask.any() else 0 * logits.sum()


def _agreement_in_cells(logits, xy_regressed, xy, mask, stride, weight):
    return hybrid_loss(logits, xy_regressed, xy, mask, stride, weight / stride)


def _regressed_in_cells(logits, xy_regressed, xy, mask, stride, weight):
    return hybrid_loss(logits, stride * xy_regressed, xy, mask, stride, weight)


def _each_by_mean(logits, xy_regressed, xy, mask, stride, weight):
    return hybrid_loss(logits, xy_regressed, xy, mask, stride, weight) / 2


def draw(rng, *, weight=0.5, b=3, k=4, hw=(5, 9), stride=4.0, mask=None, truth=None, dtype=torch.float32):
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


PROBLEM = Problem(
    name="hybrid_loss", points=3, minutes=20,
    reference=hybrid_loss,
    own=("posebook.losses.integral_loss", "posebook.losses.agreement_loss", "posebook.losses.masked_mean",
         "posebook.expectation.soft_argmax", "posebook.expectation._mean_cell"),
    cases=(
        Case("soft (20, 8), regressed (22, 8), truth (23, 4) px, weight 0.5: 5 + 7 + 0.5 * 2 = 13",
             lambda rng: (by_hand(5, 2), torch.tensor([[[22.0, 8.0]]]), torch.tensor([[[23.0, 4.0]]]), some("1"), 4.0,
                          0.5)),
        Case("3 images of 4 keypoints, all labeled, weight 0.5", draw),
        Case("4, 1 and 2 keypoints labeled, weight 2", lambda rng: draw(rng, mask=UNEVEN, weight=2.0)),
        Case("weight 0: the two errors alone", lambda rng: draw(rng, mask=UNEVEN, weight=0.0)),
        Case("both heads agree on a wrong place: their errors remain", _heads_agree),
        Case("no labels in one image, and NaN as their place", lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN)),
        Case("nothing is labeled: 0", _none),
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
        Case("nothing is labeled: the logits' gradients are there, and 0", _none, vjp=("logits", 0)),
        Case("nothing is labeled: the regressed points' gradients are there, and 0", _none, vjp=("xy_regressed", 0)),
    ),
    mistakes=(
        Mistake("The soft-argmax is detached in the agreement: then that term pulls only the regression head. Both "
                "heads are to move.", _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + w * _l1(r - s.detach()))),
        Mistake("The regressed point is detached in the agreement: then that term pulls only the heatmap head. Both "
                "heads are to move.", _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + w * _l1(r.detach() - s))),
        Mistake("Both heads are detached in the agreement: the loss shows it, but nobody learns from it.",
                _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + w * _l1(r.detach() - s.detach()))),
        Mistake("`weight` stands at the heatmap head's error: it belongs to the agreement.",
                _with(lambda r, s, t, w: _l1(r - t) + w * _l1(s - t) + _l1(r - s))),
        Mistake("`weight` stands at the regression head's error: it belongs to the agreement.",
                _with(lambda r, s, t, w: w * _l1(r - t) + _l1(s - t) + _l1(r - s))),
        Mistake("`weight` multiplies all three terms: it belongs to the agreement alone.",
                _with(lambda r, s, t, w: w * (_l1(r - t) + _l1(s - t) + _l1(r - s)))),
        Mistake("`weight` multiplies both errors: it belongs to the agreement.",
                _with(lambda r, s, t, w: w * (_l1(r - t) + _l1(s - t)) + _l1(r - s))),
        Mistake("`weight` is missing: multiply the agreement by it.",
                _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + _l1(r - s))),
        Mistake("The errors are multiplied by 1 - weight: they stand as they are.",
                _with(lambda r, s, t, w: (1 - w) * (_l1(r - t) + _l1(s - t)) + w * _l1(r - s))),
        Mistake("Agreement alone is no supervision: two heads that agree on a wrong place would have no loss. Add the "
                "error of each.", _with(lambda r, s, t, w: w * _l1(r - s))),
        Mistake("The agreement is missing: add weight |xy_regressed - soft|.",
                _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + 0 * (r + s).sum(-1))),
        Mistake("The regression head's own error is missing: |xy_regressed - xy|.",
                _with(lambda r, s, t, w: _l1(s - t) + w * _l1(r - s))),
        Mistake("The heatmap head's own error is missing: |soft - xy|.",
                _with(lambda r, s, t, w: _l1(r - t) + w * _l1(r - s))),
        Mistake("The agreement compares the sizes of the two errors: it is the distance of the two points, which may "
                "be large while both errors are equal.",
                _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + w * (_l1(r - t) - _l1(s - t)).abs())),
        Mistake("The agreement is squared: it is |xy_regressed - soft|, like the errors.",
                _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + w * (r - s).square().sum(-1))),
        Mistake("The agreement is averaged over the two axes: it is the sum |dx| + |dy|, like the errors.",
                _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + w * _l1(r - s) / 2)),
        Mistake("The agreement is the straight distance, the root of dx^2 + dy^2: it is |dx| + |dy|, like the errors.",
                _with(lambda r, s, t, w: _l1(r - t) + _l1(s - t) + w * torch.linalg.vector_norm(r - s, dim=-1))),
        Mistake("The agreement is in cells: all three terms are in pixels.", _agreement_in_cells),
        *(Mistake("The agreement counts all keypoints: it needs no truth, but the mean is over labeled ones.", answer)
          for answer in (_agreement_of_all, _agreement_of_all_over_labeled)),
        Mistake("The regressed points are multiplied by the stride: they are in pixels already.", _regressed_in_cells),
        Mistake("The stride is missing: the soft-argmax is in cells, and stride * cell is in pixels.",
                _with(soft=lambda logits, stride: soft_px(logits, 1.0))),
        Mistake("Half of (stride - 1) is added: the statement puts cell u at stride * u.",
                _with(soft=lambda logits, stride: soft_px(logits, stride, 1.0, (stride - 1) / 2))),
        Mistake("exp of a large number such as 10000 is infinite, and infinity / infinity is NaN; `torch.softmax` "
                "takes care of that.", _with(soft=lambda logits, stride: integral.no_shift(logits, stride, 1.0, 0.0))),
        Mistake("x and y are swapped in the soft-argmax: the last axis of `logits` is x, and x comes first in `xy`.",
                _with(soft=lambda logits, stride: soft_px(logits, stride).flip(-1))),
        Mistake("The two axes are averaged: the terms are sums |dx| + |dy|. `mean` and `l1_loss` divide by 2 as well.",
                _each_by_mean),
        *(Mistake("The three terms are squared, as in `mse_loss`: the statement wants |dx| + |dy|.",
                  _with(lambda r, s, t, w, n=n: ((r - t) ** 2 + (s - t) ** 2 + w * (r - s) ** 2).sum(-1) / n))
          for n in (1, 2)),
        Mistake("The three terms are averaged: they are added.",
                _with(lambda r, s, t, w: (_l1(r - t) + _l1(s - t) + w * _l1(r - s)) / 3)),
        Mistake("A mean over each image, then over the images: the only keypoint of one image then counts as much as "
                "all of another. Divide one sum by one count.",
                _with(mean=lambda e, mask: ((e * mask).sum(-1) / mask.sum(-1).clamp(min=1)).mean())),
        Mistake("The sum is divided by all B x K keypoints: the unlabeled ones do not count.",
                _with(mean=lambda e, mask: (e * mask).sum() / mask.numel())),
        Mistake("This is a sum over the keypoints: divide it by the number of labeled ones.",
                _with(mean=lambda e, mask: (e * mask).sum())),
        Mistake("The mask is not used: what is not labeled has no truth to compare with.",
                _with(mean=lambda e, mask: e.mean(), truth=lambda xy, mask: xy)),
        Mistake("NaN times 0 is NaN: multiplying by the mask does not remove it. Select with `torch.where` or "
                "`[mask]`, best before you subtract.", _with(truth=lambda xy, mask: xy)),
        Mistake("With nothing labeled you divide 0 by 0, and one such batch turns every weight of the network to NaN. "
                "Divide by at least 1.", _with(mean=lambda e, mask: (e * mask).sum() / mask.sum())),
        Mistake("With nothing labeled the 0 is a new tensor, and `backward()` finds no way to the heads. Make the 0 "
                "from them: a sum over an empty choice, divided by at least 1.",
                _with(mean=lambda e, mask: (
                    _over_labeled(e, mask) if mask.any() else torch.zeros((), dtype=e.dtype)))),
        Mistake("With nothing labeled the 0 hangs on one head alone, and `backward()` leaves the other without "
                "gradients.", _zero_of_one_head),
        Mistake("The result is always float32. It should have the dtype of `logits`.",
                lambda *args: hybrid_loss(*args).float()),
    ),
    alternatives=(_labeled_only, _by_pairs, _by_loops, _two_integrals),
)
