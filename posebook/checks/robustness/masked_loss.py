"""masked_loss: its reference, cases and known mistakes."""

from functools import partial

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def masked_loss(pred, target, mask):
    """Sum of the mask times the squared difference; where the mask is 0, the target may be NaN."""
    apart = torch.where(mask > 0, pred - target, 0.0)  # no NaN takes part, not even times 0
    return (mask * apart.square()).sum()


def _by_selecting(pred, target, mask):
    on = mask > 0
    return (mask[on] * (pred[on] - target[on]) ** 2).sum()


def _by_filling(pred, target, mask):
    return torch.sum(mask * (pred - target.nan_to_num()) ** 2)


def _by_own_prediction(pred, target, mask):
    truth = torch.where(mask == 0, pred.detach(), target)
    return torch.nn.functional.mse_loss(pred, truth, reduction="none").mul(mask).sum()


def _by_roots(pred, target, mask):
    """The root of the mask inside the square; a NaN is filled first."""
    root = mask.sqrt()
    return (root * pred - root * target.masked_fill(mask == 0, 0)).flatten().square().sum()


def _map_by_map(pred, target, mask):
    total = 0 * pred.sum()
    for b in range(pred.shape[0]):
        for k in range(pred.shape[1]):
            on = mask[b, k] != 0
            d = pred[b, k][on] - target[b, k][on]
            total = total + torch.dot(mask[b, k][on], d * d)
    return total


APART, LOSS = "torch.where(mask > 0, pred - target, 0.0)", "(mask * apart.square()).sum()"
NAN = float("nan")


def _loss(text):
    return edited(masked_loss, {LOSS: text})


def _draw(rng, b=2, k=3, h=5, w=7, *, values=None, hidden=None, off=0.4, dtype=torch.float32):
    """Maps and a mask: ``off`` of it is 0, the rest from 0.05 to 1, or one of ``values``; targets there ``hidden``."""
    pred, target = torch.randn(2, b, k, h, w, generator=rng, dtype=dtype)
    mask = 0.05 + 0.95 * torch.rand(b, k, h, w, generator=rng, dtype=dtype)
    if values is not None:
        mask = torch.tensor(values, dtype=dtype)[torch.randint(len(values), mask.shape, generator=rng)]
    count = round(off * mask.numel())
    zero = torch.randperm(mask.numel(), generator=rng)[:count]
    mask.view(-1)[zero] = 0
    if hidden is not None:
        target.view(-1)[zero] = hidden
    return pred, target, mask


def _keypoints(rng):
    """Whole maps masked: a keypoint in one image, and all of another image."""
    pred, target, _ = _draw(rng, 3, 2)
    mask = torch.ones_like(pred)
    one = int(torch.randint(2, (), generator=rng))
    mask[0, one], mask[2] = 0, 0
    target[0, one], target[2] = NAN, NAN
    return pred, target, mask


def _nothing(rng):
    pred, target, mask = _draw(rng)
    return pred, target * NAN, 0 * mask


def _twice(rng):
    pred, target, mask = _draw(rng, hidden=NAN)
    return (pred, target, mask), (2 * pred, 2 * target, mask)


def _half(rng):
    pred, target, mask = _draw(rng, hidden=NAN)
    return (pred, target, mask), (pred, target, mask / 2)


Near = partial(Case, atol=1e-4, rtol=1e-5)

HIDDEN = See("masking", "move off: however wrong the network is where the mask is 0, the true loss stays 7.273")
WEIGHTS = See("masking",
              "mask values scatter about 0 and 1, and each counts as much as it says: the loss varies by 0.677",
              clip="off")
SUM = See("masking", "5 visible maps have the true loss 7.273; move hidden to 6: 2 of them have less than half of that")
NOTHING = See("masking", "all keypoints are hidden, their masks are 0, and the true loss is 0.000", hidden=8)

PROBLEM = Problem(
    name="masked_loss", points=2, minutes=10,
    reference=masked_loss,
    own=("posebook.losses.masked_heatmap_loss", "posebook.losses.heatmap_loss", "posebook.losses.masked_mean"),
    cases=(
        Near("differences 1, 2, 3, 4 under the mask 1, 0.5, 0.25, 0: 1 + 2 + 2.25 = 5.25",
             lambda rng: (torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.zeros(1, 1, 2, 2),
                          torch.tensor([[[[1.0, 0.5], [0.25, 0.0]]]])), fixed=True),
        Near("the mask is 1 everywhere", lambda rng: _draw(rng, values=(1.0,), off=0.0)),
        Near("a mask of zeros and ones", lambda rng: _draw(rng, values=(1.0,))),
        Near("a mask between 0 and 1", lambda rng: _draw(rng), weight=2),
        Near("a mask of small numbers, below 0.1", lambda rng: _draw(rng, values=(0.01, 0.03, 0.06, 0.09))),
        Near("NaN in the target where the mask is 0", lambda rng: _draw(rng, hidden=NAN), weight=2),
        Near("large finite targets where the mask is 0", lambda rng: _draw(rng, hidden=1e4)),
        Near("whole maps are masked, and one image", _keypoints),
        Near("one map of one image", lambda rng: _draw(rng, 1, 1, hidden=NAN)),
        Near("maps of twice the value: a loss four times as large", _twice,
             holds=lambda a, b: bool(torch.allclose(b, 4 * a, rtol=1e-4))),
        Near("half the mask: half the loss", _half, holds=lambda a, b: bool(torch.allclose(b, a / 2, rtol=1e-4))),
        Case("float64", lambda rng: _draw(rng, hidden=NAN, dtype=torch.float64), atol=1e-10),
        Near("everything is masked, all targets NaN: 0", _nothing, fixed=True),
        Near("gradients in pred", lambda rng: _draw(rng), vjp=("pred", 0)),
        Near("gradients are 0 where the mask is 0 and the target NaN", lambda rng: _draw(rng, hidden=NAN),
             vjp=("pred", 0), weight=2),
        Near("gradients are 0 where everything is masked", _nothing, vjp=("pred", 0), fixed=True),
    ),
    mistakes=(
        Mistake("NaN times 0 is NaN: multiplying by the mask does not remove it. Select what counts before you use it.",
                edited(masked_loss, {APART: "pred - target"})),
        Mistake("The loss is finite, its gradient is not: the NaN was removed after the square, and on the way back it "
                "is multiplied by 0 again. Remove it before it enters.",
                edited(masked_loss, {APART: "pred - target", LOSS: "torch.where(mask > 0, mask * apart.square(), 0.0)"
                                     ".sum()"})),
        Mistake("NaN is removed as if it told what is masked: where the target is finite, the mask counts too.",
                edited(masked_loss, {APART: "torch.where(target.isnan(), 0.0, pred - target)",
                                     LOSS: "apart.square().sum()"}), see=HIDDEN),
        Mistake("The mask is not used: each squared difference is multiplied by its own.", _loss("apart.square().sum() "
                "+ torch.where(mask > 0, 0.0, pred - target).square().sum()"), see=HIDDEN),
        Mistake("The mask is not used: each squared difference is multiplied by its own.",
                edited(masked_loss, {APART: "pred - target.nan_to_num()", LOSS: "apart.square().sum()"}), see=HIDDEN),
        Mistake("The mask is made of zeros and ones, split at 0: it is a weight, 0.25 counts a quarter.",
                changed(masked_loss, mask=lambda mask: (mask > 0).to(mask.dtype)), see=WEIGHTS),
        Mistake("The mask is made of zeros and ones, split at one half: it is a weight, 0.25 counts a quarter.",
                changed(masked_loss, mask=lambda mask: (mask > 0.5).to(mask.dtype)), see=WEIGHTS),
        Mistake("The mask counts only where it is above one half: it is a weight, and small ones count too.",
                changed(masked_loss, mask=lambda mask: mask * (mask > 0.5)), see=WEIGHTS),
        Mistake("The mask counts only where it is 1: it is a weight between 0 and 1.",
                changed(masked_loss, mask=lambda mask: (mask == 1).to(mask.dtype)), see=WEIGHTS),
        Mistake("Masks below 0.1 are taken for 0: only 0 is.", changed(masked_loss, mask=lambda mask: mask * (
            mask >= 0.1)), see=WEIGHTS),
        Mistake("The mask is squared: it multiplies the squared difference, so it stands outside the square.",
                _loss("(mask * apart).square().sum()")),
        Mistake("The root of the mask is taken: it multiplies the squared difference as it is.",
                changed(masked_loss, mask=lambda mask: mask.sqrt())),
        Mistake("The mask is turned around: 1 is what counts.",
                edited(masked_loss, {LOSS: "((1 - mask) * apart.square()).sum()"}), see=NOTHING),
        Mistake("The mask is turned around: 1 is what counts.",
                edited(masked_loss, {APART: "pred - target.nan_to_num()",
                                     LOSS: "((1 - mask) * apart.square()).sum()"}), see=NOTHING),
        Mistake("This is the mean over all cells: want the sum.", edited(masked_loss, {".sum()": ".mean()"})),
        Mistake("The sum is divided by the sum of the mask: want the sum itself.",
                _loss("(mask * apart.square()).sum() / mask.sum().clamp(min=1e-6)"), see=SUM),
        Mistake("The sum is divided by the number of cells that count: want the sum itself.",
                _loss("(mask * apart.square()).sum() / (mask > 0).sum().clamp(min=1)"), see=SUM),
        Mistake("The sum is divided by the number of images: want the sum itself.",
                _loss("(mask * apart.square()).sum() / len(mask)")),
        Mistake("The sum is divided by the number of maps: want the sum itself.",
                _loss("(mask * apart.square()).sum() / mask[:, :, 0, 0].numel()")),
        Mistake("The sum is halved: it stands as it is.", _loss("(mask * apart.square()).sum() / 2")),
        Mistake("The difference is not squared.", _loss("(mask * apart.abs()).sum()")),
        Mistake("The difference is not squared, and its sign stays.", _loss("(mask * apart).sum()")),
        Mistake("This is the root of the sum: it stands as it is.", _loss("((mask * apart.square()).sum() + 1e-24)"
                ".sqrt()")),
        Mistake("This is the square of the sum: sum the squares.", _loss("(mask.sqrt() * apart).sum().square()")),
        Mistake("What is masked is pulled to 0: nobody knows what is there, so neither loss nor gradient may be.",
                edited(masked_loss, {APART: "pred - torch.where(mask > 0, target, 0.0)",
                                     LOSS: "(torch.where(mask > 0, mask, 1.0) * apart.square()).sum()"}), see=HIDDEN),
        Mistake("Only the prediction is masked, and the target stays: mask the difference.",
                edited(masked_loss, {APART: "mask * pred - torch.where(mask > 0, target, 0.0)",
                                     LOSS: "apart.square().sum()"})),
        Mistake("A map counts wholly or not at all: each cell has its own weight.",
                changed(masked_loss, mask=lambda mask: (
                    mask.amax((-2, -1), keepdim=True) > 0).to(mask.dtype).expand_as(mask))),
        Mistake("Each map has the mean of its weights: each cell has its own.",
                changed(masked_loss, target=lambda target, pred, mask: torch.where(mask > 0, target, pred.detach()),
                        mask=lambda mask: mask.mean((-2, -1), keepdim=True).expand_as(mask))),
        Mistake("One loss comes back for each keypoint: sum over everything.",
                _loss("(mask * apart.square()).sum((0, 2, 3))")),
        Mistake("One loss comes back for each image: sum over everything.",
                _loss("(mask * apart.square()).sum((1, 2, 3))")),
        Mistake("The weighted squares come back one by one: sum over everything.", _loss("mask * apart.square()")),
        Mistake("The result is cut off from `pred`: then nothing is trained. No `detach`, `item` or `numpy` on the "
                "way.",
                edited(masked_loss, {"pred - target": "pred.detach() - target"})),
        Mistake("Where everything is masked a new 0 comes back, without a gradient: sum what there is, and the 0 comes "
                "by itself.",
                edited(masked_loss, {"apart =": "if not mask.any():\n        return torch.zeros((), dtype=pred.dtype)\n"
                                     "    apart ="})),
        Mistake("Where everything is masked the result is NaN: there is nothing to divide by. It is 0.",
                changed(masked_loss, result=lambda out, mask: out if mask.any() else out / 0), see=NOTHING),
        Mistake("The result is a Python number, which has no gradient: keep it a tensor.",
                changed(masked_loss, result=lambda out: out.item())),
        Mistake("Part of it is computed in float32: the dtype of `pred` is wanted all the way.",
                changed(masked_loss, pred=lambda pred: pred.float(), target=lambda target: target.float(),
                        mask=lambda mask: mask.float(), result=lambda out, pred: out.to(pred.dtype))),
        Mistake("The result is always float32. It should have the dtype of `pred`.",
                changed(masked_loss, result=lambda out: out.float())),
    ),
    alternatives=(_by_selecting, _by_filling, _by_own_prediction, _by_roots, _map_by_map),
    clauses={
        "The sum over everything": "This is the mean over all cells",
        "of the mask times": "The mask is not used",
        "the squared difference": "The difference is not squared.",
        "any number from 0 to 1": "The mask is made of zeros and ones, split at one half",
        "0.25 counts a quarter": "The mask is squared",
        "`target` may be NaN": "NaN times 0 is NaN",
        "neither loss": "What is masked is pulled to 0",
        "nor gradient": "The loss is finite, its gradient is not",
        "a tensor without axes": "One loss comes back for each keypoint",
        "Gradients reach `pred`": "The result is cut off from `pred`",
        "If everything is masked": "Where everything is masked the result is NaN",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
