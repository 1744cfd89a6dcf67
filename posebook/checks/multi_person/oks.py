"""oks: its reference, cases and known mistakes."""

import math
from functools import partial

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def oks(pred, gt, vis, area, sigmas):
    """Mean similarity of the labeled keypoints of each person, from 0 to 1: (P,)."""
    labeled = vis > 0
    apart = torch.where(labeled[..., None], pred - gt, 0.0)  # no NaN takes part, not even times 0
    k = 2 * sigmas
    similarity = torch.exp(-apart.square().sum(-1) / (2 * area[:, None] * k**2))  # (P, K)
    return (similarity * labeled).sum(-1) / labeled.sum(-1).clamp(min=1)


def _by_loops(pred, gt, vis, area, sigmas):
    out = []
    for found, truth, seen, size in zip(pred.tolist(), gt.tolist(), vis.tolist(), area.tolist(), strict=True):
        each = [math.exp(-(math.dist(p, q) ** 2) / (8 * size * s * s))
                for p, q, v, s in zip(found, truth, seen, sigmas.tolist(), strict=True) if v > 0]
        out.append(sum(each) / len(each) if each else 0.0)
    return torch.tensor(out, dtype=pred.dtype)


def _by_nanmean(pred, gt, vis, area, sigmas):
    away = (pred - gt).norm(dim=-1) / (2 * sigmas * area.sqrt()[:, None])
    return (-0.5 * away**2).exp().masked_fill(vis == 0, torch.nan).nanmean(-1).nan_to_num(0.0)


def _by_einsum(pred, gt, vis, area, sigmas):
    known = (vis != 0).to(pred.dtype)
    error = (pred.nan_to_num() - gt.nan_to_num()) ** 2
    exponent = torch.einsum("pkd,p,k->pk", error, 1 / area, sigmas**-2) / 8
    return torch.einsum("pk,pk->p", torch.exp(-exponent), known) / (known.sum(1) + 1e-6)


def _person_by_person(pred, gt, vis, area, sigmas):
    out = pred.new_zeros(len(pred))
    for i in range(len(pred)):
        on = vis[i] > 0
        if on.any():
            squared = ((pred[i, on] - gt[i, on]) ** 2).sum(1)
            out[i] = torch.exp(-squared / area[i] / (2 * sigmas[on]) ** 2 / 2).mean()
    return out


SQUARED, EXPONENT, MEAN = (
    "apart.square().sum(-1)", "(2 * area[:, None] * k**2)", "(similarity * labeled).sum(-1) / labeled.sum(-1)")
GUARD = "torch.where(labeled[..., None], pred - gt, 0.0)"
SIMILARITY = f"torch.exp(-{SQUARED} / {EXPONENT})"


def _draw(rng, vis, *, other=500.0, origin=(300.0, 200.0), size=900, dtype=torch.float32):
    """People of whom each keypoint lies 0.4 to 2 of its own spread from the truth; what is not labeled, ``other`` px.

    Areas and sigmas vary by factors of 9 and 4, so that none of them may stand for another.
    """
    vis = torch.tensor([[int(c) for c in row] for row in vis])
    p, k = vis.shape
    area = size * (1 + 8 * torch.rand(p, generator=rng, dtype=dtype))
    sigmas = 0.02 * (1 + 3 * torch.rand(k, generator=rng, dtype=dtype))
    gt = 80 * torch.rand(p, k, 2, generator=rng, dtype=dtype) + torch.tensor(origin, dtype=dtype)
    angle = 2 * math.pi * torch.rand(p, k, generator=rng, dtype=dtype)
    away = (0.4 + 1.6 * torch.rand(p, k, generator=rng, dtype=dtype)) * 2 * sigmas * area.sqrt()[:, None]
    pred = gt + away[..., None] * torch.stack((angle.cos(), angle.sin()), -1)
    hidden = (vis == 0)[..., None]
    return torch.where(hidden, gt + other, pred), torch.where(hidden, gt + 0 * other, gt), vis, area, sigmas


def _three_times(rng):
    pred, gt, vis, area, sigmas = _draw(rng, MIXED)
    return (pred, gt, vis, area, sigmas), (3 * pred, 3 * gt, vis, 9 * area, sigmas)


MIXED = ("21201", "02110", "22001")
NAN = float("nan")
Near = partial(Case, atol=1e-6, rtol=1e-5)

SIGMA = See("precision",
            "half of k acts like half of the height: at 70 px OKS is 0.08, and person 2 is missed; at 160 px she is "
            "found", error=12.0, height=70.0)
AREA = See("precision", "12 px leave the large person 2 an OKS of 0.70; move height 2 to 70", error=12.0, height=240.0)
SMOOTH = See("precision", "move error 2: the OKS of detection 2, 0.52 here, rises and falls without a step", error=12.0)

PROBLEM = Problem(
    name="oks", points=2, minutes=15,
    reference=oks,
    own=("posebook.evaluation.oks", "posebook.evaluation.similarities", "posebook.diagnosis._similarity"),
    cases=(
        Near("one keypoint 5 px off, area 2500, sigma 0.05: 5 px is k sqrt(area), so exp(-1/2) = 0.607",
             lambda rng: (torch.tensor([[[13.0, 14.0]]]), torch.tensor([[[10.0, 10.0]]]), torch.tensor([[2]]),
                          torch.tensor([2500.0]), torch.tensor([0.05])), fixed=True),
        Near("3 people of 4 keypoints, all labeled and visible", lambda rng: _draw(rng, ("2222",) * 3)),
        Near("some are labeled but hidden, vis = 1: they count", lambda rng: _draw(rng, ("2112", "1111", "1222")),
             weight=2),
        Near("some are not labeled: they do not count, however far off", lambda rng: _draw(rng, MIXED), weight=2),
        Near("NaN where nothing is labeled", lambda rng: _draw(rng, MIXED, other=NAN)),
        Near("as many people as keypoints, so that shapes do not tell area and sigma apart",
             lambda rng: _draw(rng, ("2222", "1222", "2202", "2221"))),
        Near("one of three people has no label: 0", lambda rng: _draw(rng, ("212", "000", "021"), other=NAN), weight=2),
        Near("nobody has a label", lambda rng: _draw(rng, ("000", "000"), other=NAN), fixed=True),
        Near("areas of a few square px", lambda rng: _draw(rng, ("2222",) * 3, size=0.5, origin=(0.0, 0.0))),
        Near("three times as large, an area nine times as large: the same",
             _three_times, holds=lambda a, b: bool(torch.allclose(a, b, atol=1e-4))),
        Near("float64, a million px from the corner",
             lambda rng: _draw(rng, MIXED, origin=(1e6, 2e6), dtype=torch.float64)),
    ),
    mistakes=(
        Mistake("k is taken for sigma: k = 2 sigma. How much stricter is your score?",
                edited(oks, {"2 * sigmas": "sigmas"}), see=SIGMA),
        Mistake("The sigmas are doubled twice: k = 2 sigma, and k^2 = 4 sigma^2.", edited(oks, {"2 * sigmas": "4 * "
                "sigmas"})),
        Mistake("k is not squared: the denominator is 2 area k^2. Both d^2 and area are in square pixels; what must "
                "the unit of k be?", edited(oks, {"k**2": "k"})),
        Mistake("The 2 in front of the area is missing: exp(-d^2 / (2 area k^2)).",
                edited(oks, {"2 * area": "area"})),
        Mistake("The area is squared: it is in square pixels already. COCO's text writes s^2 for it.",
                edited(oks, {"area[:, None]": "area[:, None] ** 2"})),
        Mistake("This divides by the root of the area: d^2 is in square pixels, and so must be what it is divided by.",
                edited(oks, {"area[:, None]": "area[:, None].sqrt()"})),
        Mistake("The area is missing: the same error in pixels weighs less on a large person.",
                edited(oks, {"area[:, None]": "1"}), see=AREA),
        Mistake("The distance is not squared: exp(-d^2 / ...).",
                edited(oks, {SQUARED: f"{SQUARED}.sqrt()"})),
        Mistake("The quotient is not in parentheses: `/ 2 * area * k**2` divides by 2 only, and multiplies by the "
                "rest.",
                edited(oks, {EXPONENT: "2 * area[:, None] * k**2"})),
        Mistake("Labeled but hidden keypoints are left out: vis = 1 says that somebody marked the place. Which of 0, 1 "
                "and 2 is above 0?", edited(oks, {"vis > 0": "vis == 2"})),
        Mistake("Visible keypoints are left out: 1 and 2 both say that somebody marked the place.",
                edited(oks, {"vis > 0": "vis == 1"})),
        Mistake("`vis` is a weight in the mean: 1 and 2 count alike, labeled is labeled.",
                edited(oks, {MEAN: "(similarity * vis).sum(-1) / vis.sum(-1)"})),
        Mistake("The sum is divided by all K keypoints: then a person with few labels can never reach 1. Of how many "
                "is it the mean?",
                edited(oks, {f"{MEAN}.clamp(min=1)": "(similarity * labeled).mean(-1)"})),
        Mistake("Unlabeled keypoints take part in the mean: nobody knows where they are. Look at `vis`.",
                edited(oks, {GUARD: "(pred - gt)", f"{MEAN}.clamp(min=1)": "similarity.mean(-1)"})),
        Mistake("An unlabeled keypoint counts as perfect: an error of 0 has the similarity 1. Leave it out of the sum "
                "and of the count.", edited(oks, {f"{MEAN}.clamp(min=1)": "similarity.mean(-1)"})),
        Mistake("NaN times 0 is NaN: multiplying by the mask does not remove it. Select with `torch.where`, or "
                "`[mask]`.",
                edited(oks, {GUARD: "(pred - gt)"})),
        Mistake("For a person without labels you divide 0 by 0. The statement says what her OKS is.",
                edited(oks, {".clamp(min=1)": ""})),
        Mistake("A person without labels gets 1: the statement says 0.",
                changed(oks, result=lambda out, vis: torch.where((vis > 0).any(-1), out, 1.0))),
        Mistake("One mean is taken over the keypoints of all people: each person has her own.",
                edited(oks, {f"return {MEAN}.clamp(min=1)": "out = (similarity * labeled).sum() / "
                             "labeled.sum().clamp(min=1)\n    return out * torch.ones_like(area)"})),
        Mistake("The mean is taken inside the exponential: each keypoint has its own similarity, and they are "
                "averaged. One lost wrist should cost its share, not all.",
                edited(oks, {SIMILARITY: f"{SQUARED} / {EXPONENT}",
                             f"{MEAN}.clamp(min=1)": f"torch.exp(-{MEAN}.clamp(min=1)) * labeled.any(-1)"})),
        Mistake("`area` meets the keypoints: it has one entry for each person, so it wants an axis more, "
                "`area[:, None]`. Where P = K broadcasting hides this.",
                edited(oks, {"area[:, None]": "area"})),
        Mistake("`sigmas` meets the people: it has one entry for each keypoint. Where P = K broadcasting hides this.",
                edited(oks, {"2 * sigmas": "2 * sigmas[:, None]"})),
        Mistake("The sigmas are counted along the labeled keypoints: the third keypoint has the third sigma, also "
                "where the second is not labeled.",
                edited(oks, {"2 * sigmas": "2 * sigmas[(labeled.cumsum(-1) - 1).clamp(min=0)]"})),
        Mistake("d is |dx| + |dy|: the distance is Euclidean, d^2 = dx^2 + dy^2.",
                edited(oks, {SQUARED: "apart.abs().sum(-1).square()"})),
        Mistake("The squares are averaged over x and y: d^2 = dx^2 + dy^2.",
                edited(oks, {SQUARED: "apart.square().mean(-1)"})),
        Mistake("Only x takes part: d^2 = dx^2 + dy^2.", edited(oks, {SQUARED: "apart[..., 0].square()"})),
        Mistake("This is a sum over the keypoints: divide it by the number of labeled ones.",
                edited(oks, {" / labeled.sum(-1).clamp(min=1)": ""})),
        Mistake("A small number is added to the count: one labeled keypoint counts as 1, not as a little more. "
                "`clamp(min=1)` guards against 0 alone.", edited(oks, {"clamp(min=1)": "add(0.01)"})),
        Mistake("The exponent has no minus: similarity falls with the distance.", edited(oks, {"exp(-": "exp("})),
        Mistake("The labels are guessed from NaN: what is not labeled may be any number. Use `vis`.",
                edited(oks, {"vis > 0": "~(pred - gt).isnan().any(-1)"})),
        Mistake("Each area is taken from the extent of the labeled keypoints: it is given, `area`.",
                edited(oks, {"area[:, None]": "(torch.where(labeled[..., None], gt, -torch.inf).amax(1) - torch.where("
                             "labeled[..., None], gt, torch.inf).amin(1)).prod(-1).clamp(1, 1e9)[:, None]"})),
        Mistake("The sigma of the whole skeleton is their mean: each keypoint has its own. A hip is harder to mark "
                "than an eye.", changed(oks, sigmas=lambda sigmas: sigmas.mean().expand(len(sigmas)))),
        Mistake("This is the fraction of keypoints within a distance, as PCK counts: OKS falls smoothly.",
                edited(oks, {"similarity * labeled": "(similarity > 0.5) * labeled"}), see=SMOOTH),
        Mistake("Part of it is computed in float32: the dtype of `pred` is wanted all the way.",
                changed(oks, pred=lambda pred: pred.float(), gt=lambda gt: gt.float(),
                        result=lambda out, pred: out.to(pred.dtype))),
        Mistake("The result is always float32. It should have the dtype of `pred`.",
                changed(oks, result=lambda out: out.float())),
    ),
    alternatives=(_by_loops, _by_nanmean, _by_einsum, _person_by_person),
    clauses={
        "mean over her labeled keypoints": "The sum is divided by all K keypoints",
        "(`vis` > 0)": "Labeled but hidden keypoints are left out",
        "exp\\left(-\\frac{d^2}{2 \\, \\mathrm{area} \\, k^2}\\right)": "The 2 in front of the area is missing",
        "k = 2 \\, \\mathrm{sigma}": "k is taken for sigma",
        "$d$ is the distance in px": "d is |dx| + |dy|",
        "`area` in square px": "The area is squared",
        "Each person has an area and each keypoint a sigma": "`area` meets the keypoints",
        "A person without a labeled keypoint has 0": "For a person without labels",
        "`pred` and `gt` may be any number, or NaN": "NaN times 0",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
