"""average_precision: its reference, cases and known mistakes."""

from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def average_precision(scores, matched, n_gt):
    """COCO's average precision: the mean of the raised precision at 101 recalls."""
    if len(scores) == 0:
        return 0.0
    hits = matched[scores.argsort(descending=True, stable=True)].cumsum(0)
    precision = hits / torch.arange(1, len(hits) + 1)
    raised = precision.flip(0).cummax(0).values.flip(0)
    first = torch.searchsorted(hits / n_gt, torch.linspace(0, 1, 101))
    return torch.cat((raised, torch.zeros(1)))[first].mean().item()


def _by_loops(scores, matched, n_gt):
    order = sorted(range(len(scores)), key=lambda i: -scores[i].item())
    points, hits = [], 0
    for n, i in enumerate(order, 1):
        hits += int(matched[i])
        points.append((hits, hits / n))
    total = 0.0
    for step in range(101):
        total += max((p for h, p in points if 100 * h >= step * n_gt), default=0.0)
    return total / 101


def _by_numpy(scores, matched, n_gt):
    right = matched.numpy()[np.argsort(-scores.numpy(), kind="stable")]
    hits = np.cumsum(right)
    recall, precision = hits / n_gt, hits / (np.arange(len(hits)) + 1 + 1e-12)
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    out = np.zeros(101)
    for at, place in enumerate(np.searchsorted(recall, np.linspace(0, 1, 101), side="left")):
        if place < len(precision):
            out[at] = precision[place]
    return float(out.mean())


def _by_rectangles(scores, matched, n_gt):
    """How many of the recalls lie between one hit and the next, times the height there."""
    hit = [bool(matched[i]) for i in scores.argsort(descending=True, stable=True)]
    heights = [(sum(hit[:n + 1])) / (n + 1) for n in range(len(hit)) if hit[n]]
    total = 0.0
    for k in range(len(heights)):
        recalls = 100 * (k + 1) // n_gt - (100 * k // n_gt if k else -1)
        total += recalls * max(heights[k:])
    return total / 101


def _by_outer(scores, matched, n_gt):
    if not bool(matched.any()):
        return 0.0
    _, order = scores.double().sort(descending=True, stable=True)
    hits = matched[order].double().cumsum(0)
    precision = hits / torch.arange(1, len(hits) + 1)
    reaches = (hits / n_gt)[None] >= torch.arange(101, dtype=torch.float64)[:, None] / 100  # (101, D)
    return torch.where(reaches, precision, 0.0).amax(1).mean().item()


ORDER = "scores.argsort(descending=True, stable=True)"
RECALLS = "torch.linspace(0, 1, 101)"
FIRST = f"torch.searchsorted(hits / n_gt, {RECALLS})"
RAISED = "precision.flip(0).cummax(0).values.flip(0)"
AT = "torch.cat((raised, torch.zeros(1)))[first].mean().item()"
AREA = "(hits / n_gt).diff(prepend=torch.zeros(1))"


def _mean(text):
    """What is averaged exchanged."""
    return edited(average_precision, {AT: text})


def _draw(rng, d, n_gt, hits, dtype=torch.float32, low=0.0):
    """Detections in no order, of whom so many are matched; scores are all different, and from low to 1."""
    scores = low + (1 - low) * (torch.randperm(d, generator=rng).to(dtype) + 0.5) / d
    matched = torch.zeros(d, dtype=torch.bool)
    matched[torch.randperm(d, generator=rng)[:hits]] = True
    return scores, matched, n_gt


def _ties(rng):
    """Many scores of few values, in binary fractions, and right and wrong ones among equals."""
    scores = torch.randint(1, 5, (40,), generator=rng) / 8
    matched = torch.rand(40, generator=rng) < torch.linspace(0.9, 0.1, 40)
    for value in scores.unique():  # no value without a wrong one before a right one, and one after it
        of_it = (scores == value).nonzero()[:, 0]
        matched[of_it[:4]] = torch.tensor([False, True, True, False])[:len(of_it)]
    return scores, matched, 47


def _last_is_lower(rng):
    """Right ones after wrong ones: precision rises again later on."""
    d = 24
    matched = torch.arange(d) >= int(torch.randint(6, 12, (), generator=rng))
    order = torch.randperm(d, generator=rng)
    return (1 - torch.arange(d) / 32)[order], matched[order], 21


Near = partial(Case, atol=1e-6, rtol=1e-5)

WRONG_FIRST = See("precision",
                  "the wrong detection 3 has the highest score and comes first, and AP at 0.50 is 0.667",
                  score3=0.95, third="nobody")
EQUAL = See("precision",
            "detections 1 and 3 have equal scores: AP at 0.50 is 0.835 in their order, 0.667 if that is turned around",
            score3=0.7, third="nobody")
WRONG_THEN_RIGHT = See("precision",
                       "first a wrong one, then two right ones: all dots lie at the precision of the last place, and "
                       "AP at 0.50 is 0.667", shift=100.0)
MISSED = See("precision",
             "person 2 is missed: 51 of the 101 readings are above 0, the others count with 0, and AP at 0.50 is "
             "0.505", error=30.0, third="none")
LAST = See("precision", "in the end 2 of 3 are right, and AP at 0.50 is 1.000: what is wrong comes last")

PROBLEM = Problem(
    name="average_precision", points=3, minutes=25,
    reference=average_precision,
    own=("posebook.evaluation._curves", "posebook.evaluation.coco_keypoint_ap", "posebook.evaluation.evaluate"),
    cases=(
        Near("scores 0.9, 0.8, 0.7: right, wrong, right, and 3 people: (34 * 1 + 33 * 2 / 3) / 101 = 0.554",
             lambda rng: (torch.tensor([0.9, 0.8, 0.7]), torch.tensor([True, False, True]), 3), fixed=True),
        Near("20 detections in no order, 12 of 19 people found", lambda rng: _draw(rng, 20, 19, 12), weight=2),
        Near("right ones come late: precision rises again", _last_is_lower),
        Near("all people found, among wrong detections", lambda rng: _draw(rng, 17, 9, 9)),
        Near("a single person, found at last",
             lambda rng: _draw(rng, int(torch.randint(2, 12, (), generator=rng)), 1, 1)),
        Near("few of many people found", lambda rng: _draw(rng, 12, 51, 5)),
        Near("many wrong detections", lambda rng: _draw(rng, 60, 7, 4)),
        Near("equal scores keep their order", _ties),
        Near("scores below 0.5, or negative", lambda rng: _draw(rng, 15, 13, 8, low=-3.0)),
        Near("scores in float64 that float32 cannot tell apart", lambda rng: _draw(
            rng, 40, 33, 20, dtype=torch.float64, low=1 - 1e-9)),
        Near("no detections: 0.0", lambda rng: (torch.zeros(0), torch.zeros(0, dtype=torch.bool), 3), fixed=True),
        Near("all detections wrong: 0.0", lambda rng: _draw(rng, 6, 3, 0), fixed=True),
        Near("everything right: 1.0", lambda rng: _draw(rng, 11, 11, 11), fixed=True),
    ),
    mistakes=(
        Mistake("The detections are not sorted: the highest score comes first.",
                edited(average_precision, {f"[{ORDER}]": ""}), see=WRONG_FIRST),
        Mistake("The lowest score comes first: sort with `descending=True`.",
                edited(average_precision, {"descending=True": "descending=False"}), see=WRONG_FIRST),
        Mistake("Equal scores are turned around: turning a rising order round also turns the equal ones. Ask for a "
                "falling and stable order.",
                edited(average_precision, {ORDER: "scores.argsort(stable=True).flip(0)"}), see=EQUAL),
        Mistake("Of equal scores the right ones come first: that flatters. They keep the order given.",
                edited(average_precision, {ORDER: "torch.from_numpy(np.lexsort((~matched, -scores)))"})),
        Mistake("Of equal scores some change places: the sort is not stable. Ask for it, `stable=True` in torch, "
                "`kind=\"stable\"` in numpy.",
                edited(average_precision, {ORDER: "torch.from_numpy(np.argsort(-scores.numpy(), kind=\"heapsort\"))"})),
        Mistake("The precision is not raised: at each place it becomes the highest at its own or any later place.",
                edited(average_precision, {RAISED: "precision"}), see=WRONG_THEN_RIGHT),
        Mistake("The precision is raised from the front: later places count, not earlier ones. In which direction must "
                "the running maximum go?", edited(average_precision, {RAISED: "precision.cummax(0).values"}),
                see=WRONG_THEN_RIGHT),
        Mistake("The precision is raised to the next place only: any later place counts.",
                edited(average_precision, {RAISED: "torch.maximum(precision, precision.roll(-1))"})),
        Mistake("This is the area below the curve: COCO reads the curve at 101 recalls and averages what it reads.",
                _mean(f"({AREA} * raised).sum().item()"), see=MISSED),
        Mistake("The precisions at the hits are averaged, as search engines do: COCO reads at 101 recalls.",
                _mean("(precision * matched[scores.argsort(descending=True, stable=True)]).sum().item() / n_gt")),
        Mistake("The mean is over the detections: it is over the 101 recalls.", _mean("raised.mean().item()")),
        Mistake("Eleven recalls, as in VOC 2007: COCO has 101.",
                edited(average_precision, {RECALLS: "torch.linspace(0, 1, 11)"}), see=MISSED),
        Mistake("There are 100 recalls, and 0 is not among them: want 101, from 0 to 1.",
                edited(average_precision, {RECALLS: "torch.linspace(0, 1, 101)[1:]"}), see=MISSED),
        Mistake("There are 100 recalls, and 1 is not among them: `arange(0, 1, 0.01)` ends before 1. Want 101.",
                edited(average_precision, {RECALLS: "torch.linspace(0, 1, 101)[:-1]"}), see=MISSED),
        Mistake("Recalls that are never reached are left out of the mean: they count, with 0.",
                _mean("raised[first[first < len(raised)]].mean().item()"), see=MISSED),
        Mistake("Recalls that are never reached have the last precision: they have 0. What would a detector get that "
                "finds one person of a hundred?", _mean("raised[first.clamp(max=len(raised) - 1)].mean().item()"),
                see=MISSED),
        Mistake("Recall is divided by the number of those found: it is the share of all people, `n_gt`. Missed people "
                "must cost something.", changed(average_precision, n_gt=lambda matched: max(1, int(matched.sum()))),
                see=MISSED),
        Mistake("Recall is divided by the number of detections: it is the share of all people, `n_gt`.",
                changed(average_precision, n_gt=lambda matched: max(1, len(matched)))),
        Mistake("Precision is divided by the number of all detections: at each place only those so far count.",
                edited(average_precision, {"torch.arange(1, len(hits) + 1)": "len(hits)"})),
        Mistake("The detections are counted from 0: the first place has one detection.",
                edited(average_precision, {"torch.arange(1, len(hits) + 1)": "torch.arange(len(hits)).clamp(min=1)"})),
        Mistake("The detections are counted from 2: the first place has one detection.",
                edited(average_precision, {"torch.arange(1, len(hits) + 1)": "torch.arange(2, len(hits) + 2)"})),
        Mistake("Recall counts all detections so far: it is the share of the people that are found.",
                edited(average_precision, {"hits / n_gt": "torch.arange(1, len(hits) + 1) / n_gt"})),
        Mistake("The place is one too late: take the first that reaches the recall.",
                edited(average_precision, {FIRST: f"({FIRST} + 1).clamp(max=len(hits))"})),
        *(Mistake("Recall 1 is never reached, not even by a perfect detector: equal is enough, and nothing is added to "
                  "`n_gt`.", edited(average_precision, edits))
          for edits in ({"hits / n_gt": "hits / (n_gt + 1e-3)"},
                        {"searchsorted(": "searchsorted(right=True, sorted_sequence=", RECALLS: f"input={RECALLS}"})),
        Mistake("Between one hit and the next the precision is interpolated along a line: it is read at the first "
                "place that reaches the recall.", _mean(
                    "float(np.interp(np.linspace(0, 1, 101), (hits / n_gt)[new].numpy(), raised[new].numpy(), "
                    "right=0.0).mean()) if (new := hits.diff(prepend=hits.new_zeros(1)) > 0).any() else 0.0")),
        Mistake("The place whose recall is nearest is read: it is the first place that reaches the recall.",
                _mean(f"torch.where({RECALLS} <= hits[-1] / n_gt, raised[(hits / n_gt - {RECALLS}[:, None]).abs()"
                      ".argmin(1)], 0.0).mean().item()")),
        Mistake("The highest precision of all is read everywhere: only places that reach the recall count.",
                edited(average_precision, {RAISED: "precision.max().expand(len(hits))"})),
        Mistake("Wrong detections are left out: they lower the precision of all places after them.",
                changed(average_precision, scores=lambda scores, matched: scores[matched],
                        matched=lambda matched: matched[matched]), see=WRONG_FIRST),
        Mistake("Scores of 0.5 or less are left out: each detection counts. Only the order of scores matters.",
                changed(average_precision, scores=lambda scores: scores[scores > 0.5],
                        matched=lambda matched, scores: matched[scores > 0.5])),
        Mistake("Scores are weights here: only their order matters.",
                _mean("(raised * scores.sort(descending=True).values).sum().item() / max(1e-9, scores.sum().item())")),
        Mistake("This is the precision in the end, without a curve.", _mean("precision[-1].item()"), see=LAST),
        Mistake("This is the recall in the end, without a curve.", _mean("(hits[-1] / n_gt).item()"), see=WRONG_FIRST),
        Mistake("This is a percentage: the result is from 0 to 1.",
                changed(average_precision, result=lambda out: 100 * out)),
        Mistake("Scores are rounded to float32: where they are close, their order is lost.",
                changed(average_precision, scores=lambda scores: scores.float())),
        Mistake("Without detections the mean of nothing is NaN, or an index is out of range: it is 0.0.",
                edited(average_precision, {"return 0.0": "return float(\"nan\")"})),
        Mistake("Where nothing is matched the result is NaN: it is 0.0.",
                changed(average_precision, result=lambda out, matched: out if matched.any() else float("nan"))),
    ),
    alternatives=(_by_loops, _by_numpy, _by_rectangles, _by_outer),
    clauses={
        "highest score first": "The detections are not sorted",
        "equal ones in the order given": "Equal scores are turned around",
        "the share of the detections so far that are matched": "Precision is divided by the number of all detections",
        "of the `n_gt` people": "Recall is divided by the number of those found",
        "to the highest precision at its own or any later place": "The precision is not raised",
        "later place": "The precision is raised from the front",
        "101 recalls 0, 0.01, ... 1": "Eleven recalls",
        "at the first place whose recall reaches it": "The place is one too late",
        "reaches it": "Recall 1 is never reached",
        "0 where no place does": "Recalls that are never reached are left out",
        "mean of these 101 numbers": "This is the area below the curve",
        "Without detections it is 0.0": "Without detections the mean of nothing",
    },
)
