"""integral_loss: its reference, cases and known mistakes."""

import torch
from torch.nn import functional

from posebook.checks.problem import Case, Mistake, Problem


def integral_loss(logits, xy, mask, stride, tau=1.0, offset=0.0):
    """The plain solution."""
    soft = soft_px(logits, stride, tau, offset)
    truth = torch.where(mask[..., None], xy, 0.0)  # no NaN takes part, not even times 0
    error = (soft - truth).abs().sum(-1)  # (B, K)
    return (error * mask).sum() / mask.sum().clamp(min=1)


def soft_px(logits, stride, tau=1.0, offset=0.0):
    """Soft-argmax in px: (B, K, H, W) -> (B, K, 2)."""
    h, w = logits.shape[-2:]
    prob = torch.softmax(logits.flatten(-2) / tau, dim=-1).unflatten(-1, (h, w))
    x = (prob.sum(-2) * torch.arange(w)).sum(-1)
    y = (prob.sum(-1) * torch.arange(h)).sum(-1)
    return offset + stride * torch.stack((x, y), dim=-1)


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


def _with(soft=soft_px, error=lambda apart: apart.abs().sum(-1), mean=None, truth=None):
    """The right answer with its decoder, its error per keypoint, its mean or its truth changed."""
    mean = mean or (lambda e, mask: (e * mask).sum() / mask.sum().clamp(min=1))
    truth = truth or (lambda xy, mask: torch.where(mask[..., None], xy, 0.0))

    def answer(logits, xy, mask, stride, tau=1.0, offset=0.0):
        return mean(error(soft(logits, stride, tau, offset) - truth(xy, mask)), mask)

    return answer


def _per_image(error, mask):
    return ((error * mask).sum(-1) / mask.sum(-1).clamp(min=1)).mean()


def _apart_from_the_graph(error, mask):
    return (error * mask).sum() / mask.sum() if mask.any() else torch.zeros((), dtype=error.dtype)


def _mean(prob, stride, offset):
    x = (prob.sum(-2) * torch.arange(prob.shape[-1])).sum(-1)
    y = (prob.sum(-1) * torch.arange(prob.shape[-2])).sum(-1)
    return offset + stride * torch.stack((x, y), dim=-1)


def no_shift(logits, stride, tau, offset):
    """A softmax that overflows."""
    weight = torch.exp(logits / tau)
    return _mean(weight / weight.sum((-2, -1), keepdim=True), stride, offset)


def _one_shift_for_all(logits, stride, tau, offset):
    weight = torch.exp((logits - logits.max()) / tau)
    return _mean(weight / weight.sum((-2, -1), keepdim=True), stride, offset)


def _one_axis(logits, stride, tau, offset):
    x = (torch.softmax(logits / tau, -1).mean(-2) * torch.arange(logits.shape[-1])).sum(-1)
    y = (torch.softmax(logits / tau, -2).mean(-1) * torch.arange(logits.shape[-2])).sum(-1)
    return offset + stride * torch.stack((x, y), dim=-1)


def _one_axis_then_sums(logits, stride, tau, offset):
    return _mean(torch.softmax(logits / tau, -1), stride, offset)


def _over_keypoints(logits, stride, tau, offset):
    return _mean(torch.softmax(logits / tau, 1), stride, offset)


def _over_channels(logits, stride, tau, offset):
    return _mean(torch.softmax(logits.flatten(1) / tau, -1).reshape(logits.shape), stride, offset)


def _no_exponential(logits, stride, tau, offset):
    z = logits / tau
    return _mean(z / z.sum((-2, -1), keepdim=True), stride, offset)


def _hard(logits, stride, tau, offset):
    index = logits.flatten(-2).argmax(-1)
    w = logits.shape[-1]
    return offset + stride * torch.stack((index % w, index // w), -1).to(logits.dtype)


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


PROBLEM = Problem(
    name="integral_loss", points=3, minutes=25,
    reference=integral_loss,
    own=("posebook.losses.integral_loss", "posebook.losses.masked_mean", "posebook.expectation.soft_argmax",
         "posebook.expectation._mean_cell"),
    cases=(
        Case("soft-argmax (20, 8) px, truth (23, 4) px: 3 + 4 = 7",
             lambda rng: (by_hand(5, 2), torch.tensor([[[23.0, 4.0]]]), some("1"), 4.0)),
        Case("3 images of 4 keypoints, all labeled", draw),
        Case("4, 1 and 2 keypoints labeled: each counts the same", lambda rng: draw(rng, mask=UNEVEN)),
        Case("tau = 0.5", lambda rng: (*draw(rng, mask=UNEVEN), 0.5)),
        Case("tau = 3, and an offset of 1.5 px", _with_offset),
        Case("no labels in one image, and NaN as their place", lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN)),
        Case("nothing is labeled: 0", _none),
        Case("float64 stays float64", lambda rng: draw(rng, b=2, k=3, hw=(7, 4), stride=8.0, dtype=torch.float64)),
        Case("adding 10000 to all logits, or to one map, changes nothing", _raised, holds=same),
        Case("gradients reach the logits", lambda rng: draw(rng, mask=UNEVEN), vjp=("logits", 0)),
        Case("gradients are finite, and 0 where the truth is NaN", lambda rng: draw(rng, mask=WITH_EMPTY, truth=NAN),
             vjp=("logits", 0)),
        Case("nothing is labeled: gradients are there, and 0", _none, vjp=("logits", 0)),
    ),
    mistakes=(
        Mistake("x and y are swapped in the soft-argmax: the last axis of `logits` is x, and x comes first in `xy`.",
                _with(soft=lambda *args: soft_px(*args).flip(-1))),
        Mistake("The two axes are averaged: the error of a keypoint is the sum |dx| + |dy|. `mean` and `l1_loss` "
                "divide by 2 as well.", _with(error=lambda apart: apart.abs().mean(-1))),
        Mistake("A mean over each image, then over the images: the only keypoint of one image then counts as much as "
                "all of another. Divide one sum by one count.", _with(mean=_per_image)),
        Mistake("A mean over each of the K keypoints, then over the K: one that is labeled once then counts as much as "
                "one that always is. Divide one sum by one count.",
                _with(mean=lambda e, mask: ((e * mask).sum(0) / mask.sum(0).clamp(min=1)).mean())),
        Mistake("Each image is divided by its own count, and 0 / 0 is NaN for an image without labels. Divide one sum "
                "over the batch by one count.",
                _with(mean=lambda e, mask: ((e * mask).sum(-1) / mask.sum(-1)).mean())),
        Mistake("The sum is divided by all B x K keypoints: the unlabeled ones do not count.",
                _with(mean=lambda e, mask: (e * mask).sum() / mask.numel())),
        Mistake("The sum is divided by the number of images: divide it by that of labeled keypoints.",
                _with(mean=lambda e, mask: (e * mask).sum() / len(mask))),
        Mistake("This is a sum over the keypoints: divide it by the number of labeled ones.",
                _with(mean=lambda e, mask: (e * mask).sum())),
        Mistake("The mask is not used: what is not labeled has no truth to compare with.",
                _with(mean=lambda e, mask: e.mean(), truth=lambda xy, mask: xy)),
        Mistake("NaN times 0 is NaN: multiplying by the mask does not remove it. Select with `torch.where` or "
                "`[mask]`, best before you subtract.", _with(truth=lambda xy, mask: xy)),
        Mistake("NaN is replaced in the truth, but then those keypoints count: use the mask for the mean as well.",
                _with(mean=lambda e, mask: e.mean())),
        Mistake("The value is right, but its gradient is NaN where the truth is: `where` stops the value, and "
                "backward through a root or a square multiplies 0 by NaN. Replace the NaN before you subtract.",
                _with(truth=lambda xy, mask: xy, error=lambda apart: apart.square().sqrt().sum(-1),
                      mean=lambda e, mask: torch.where(mask, e, 0.0).sum() / mask.sum().clamp(min=1))),
        Mistake("With nothing labeled you divide 0 by 0, and one such batch turns every weight of the network to NaN. "
                "Divide by at least 1.", _with(mean=lambda e, mask: (e * mask).sum() / mask.sum())),
        Mistake("With nothing labeled the 0 is a new tensor, and `backward()` finds no way to the logits. Make the 0 "
                "from them: a sum over an empty choice, divided by at least 1.", _with(mean=_apart_from_the_graph)),
        *(Mistake("The errors are squared, as in `mse_loss`: the statement wants |dx| + |dy|.", _with(error=error))
          for error in (lambda apart: apart.square().sum(-1), lambda apart: apart.square().mean(-1))),
        Mistake("This is the straight distance, the root of dx^2 + dy^2: the statement wants |dx| + |dy|.",
                _with(error=lambda apart: torch.linalg.vector_norm(apart, dim=-1))),
        Mistake("This is smooth L1: it halves and squares errors under 1 px, and takes half a px off the others.",
                _with(error=lambda apart: functional.smooth_l1_loss(apart, torch.zeros_like(apart),
                                                                    reduction="none").sum(-1))),
        Mistake("dx and dy are added with their signs: take absolute values first.",
                _with(error=lambda apart: apart.sum(-1).abs())),
        Mistake("`tau` multiplies where it should divide: a high temperature makes the distribution flatter.",
                _with(soft=lambda z, s, tau, o: soft_px(z, s, 1 / tau, o))),
        Mistake("`tau` is missing: divide the logits by it before the softmax.",
                _with(soft=lambda z, s, tau, o: soft_px(z, s, 1.0, o))),
        Mistake("The offset is missing: `offset + stride * cell`.",
                _with(soft=lambda z, s, tau, o: soft_px(z, s, tau))),
        Mistake("The offset is multiplied by the stride: it is already in pixels, so add it last, "
                "`offset + stride * cell`.", _with(soft=lambda z, s, tau, o: s * (soft_px(z, 1.0, tau) + o))),
        Mistake("The stride is missing: cells are not pixels yet, `offset + stride * cell`.",
                _with(soft=lambda z, s, tau, o: soft_px(z, 1.0, tau, o))),
        Mistake("The error is in cells: the loss is in pixels, `stride` times as much.",
                lambda logits, xy, mask, stride, tau=1.0, offset=0.0: (
                    integral_loss(logits, xy, mask, stride, tau, offset) / stride)),
        Mistake("Half of (stride - 1) is added: the statement puts cell u at offset + stride * u.",
                _with(soft=lambda z, s, tau, o: soft_px(z, s, tau, o + (s - 1) / 2))),
        Mistake("Half a cell is added: the statement puts cell u at offset + stride * u.",
                _with(soft=lambda z, s, tau, o: soft_px(z, s, tau, o + s / 2))),
        Mistake("This is argmax: it takes the highest cell, not the mean, and no gradient passes.", _with(soft=_hard)),
        Mistake("The values are right, but the result is cut off from `logits`: no `detach`, `item` or `numpy` "
                "on the way.", _with(soft=lambda z, s, tau, o: soft_px(z.detach(), s, tau, o))),
        *(Mistake("The softmax runs over one axis at a time. The probabilities of all H x W cells of a map sum to 1: "
                  "flatten both axes first.", _with(soft=soft)) for soft in (_one_axis, _one_axis_then_sums)),
        Mistake("The softmax runs over the keypoints, axis 1: each map is a distribution over its own cells.",
                _with(soft=_over_keypoints)),
        Mistake("The softmax runs over all keypoints of an image. Each map is a distribution of its own: take it over "
                "the last two axes only.", _with(soft=_over_channels)),
        Mistake("The logits are divided by their sum: a softmax takes their exponentials first.",
                _with(soft=_no_exponential)),
        Mistake("exp of a large number such as 10000 is infinite, and infinity / infinity is NaN; `torch.softmax` "
                "takes care of that.", _with(soft=no_shift)),
        Mistake("The maximum of the whole batch is subtracted, so the other maps underflow to 0 / 0. "
                "Subtract each map's own maximum.", _with(soft=_one_shift_for_all)),
        Mistake("The result is always float32. It should have the dtype of `logits`.",
                lambda *args: integral_loss(*args).float()),
    ),
    alternatives=(_labeled_only, _by_einsum, _by_loops, _selected_after),
)
