"""match: its reference, cases and known mistakes."""

from itertools import permutations

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def match(similarity, threshold):
    """The person that each detection takes, first come first served, or -1: (D,) int64."""
    d, g = similarity.shape
    taken = torch.full((d,), -1)
    free = torch.ones(g, dtype=torch.bool)
    for i in range(d):
        left = torch.where(free, similarity[i], -1.0)
        if free.any() and left.max() >= threshold:
            taken[i] = left.argmax()
            free[taken[i]] = False
    return taken


def _by_loops(similarity, threshold):
    taken = []
    for row in similarity.tolist():
        best, which = threshold, -1
        for j, value in enumerate(row):
            if j not in taken and (value > best or which < 0 and value == best):
                best, which = value, j
        taken.append(which)
    return torch.tensor(taken, dtype=torch.int64)


def _by_sorting(similarity, threshold):
    out = torch.full(similarity.shape[:1], -1, dtype=torch.long)
    for i, order in enumerate(similarity.argsort(dim=1, descending=True, stable=True)):
        for j in order.tolist():
            if similarity[i, j] >= threshold and not (out == j).any():
                out[i] = j
                break
    return out


def _by_numpy(similarity, threshold):
    left = similarity.numpy().copy()
    out = np.full(len(left), -1)
    for i in range(len(left)):
        if left.shape[1] and left[i].max() >= threshold:
            out[i] = left[i].argmax()
            left[:, out[i]] = 0
    return torch.from_numpy(out)


def _by_pairs(similarity, threshold):
    d, g = similarity.shape
    free, out = list(range(g)), [-1] * d
    for i in range(d):
        good = [j for j in free if similarity[i, j] >= threshold]
        if good:
            out[i] = max(good, key=lambda j: similarity[i, j].item())
            free.remove(out[i])
    return torch.tensor(out, dtype=torch.long)


def _best_in_all(similarity, threshold):
    """Of all ways to pair rows and columns, the one with the highest sum."""
    d, g = similarity.shape
    few, many = min(d, g), max(d, g)
    ways = torch.tensor(list(permutations(range(many), few))).reshape(-1, few)
    side = similarity if d <= g else similarity.T
    best = ways[side[torch.arange(few), ways].sum(1).argmax()]
    out = torch.full((d,), -1)
    for i, j in enumerate(best.tolist()):
        row, column = (i, j) if d <= g else (j, i)
        if similarity[row, column] >= threshold:
            out[row] = column
    return out


def _highest_pair_first(similarity, threshold):
    left, out = similarity.clone(), torch.full(similarity.shape[:1], -1)
    while left.numel() and left.max() >= threshold:
        i, j = divmod(int(left.argmax()), left.shape[1])
        out[i] = j
        left[i], left[:, j] = -1.0, -1.0
    return out


def _people_choose(similarity, threshold):
    out = torch.full(similarity.shape[:1], -1)
    for i, j in enumerate(match(similarity.T, threshold).tolist()):
        if j >= 0:
            out[j] = i
    return out


def _strongest_first(similarity, threshold):
    if similarity.numel() == 0:
        return match(similarity, threshold)
    order = similarity.amax(1).argsort(descending=True, stable=True)
    return match(similarity[order], threshold)[order.argsort()]


CHOICE = "taken[i] = left.argmax()"
ENOUGH = "free.any() and left.max() >= threshold"


def _draw(rng, d, g, dtype=torch.float32, among=(0.3, 0.6)):
    """Similarities that are all different, and a threshold between two of them."""
    n = d * g
    values = (torch.randperm(n, generator=rng).to(dtype) + 0.5) / n
    low, high = (round(share * n) for share in among)
    return values.view(d, g), int(torch.randint(low, high + 1, (), generator=rng)) / n


def _close(rng):
    """As drawn, but within a hundredth of 0.5."""
    similarity, threshold = _draw(rng, 6, 6)
    return 0.495 + similarity / 100, 0.495 + threshold / 100


def _rivals(rng, dtype=torch.float32):
    """Two detections next to the same person, the later one nearer; who loses her has another one.

    By rows: the first takes her and the second the other one. The best in all, and the highest pair first, differ.
    """
    near, far = torch.randperm(4, generator=rng)[:2].tolist()
    out = 0.1 * torch.rand(3, 4, generator=rng, dtype=dtype)
    noise = 0.04 * torch.rand(5, generator=rng, dtype=dtype)
    out[0, near], out[0, far] = 0.80 + noise[0], 0.70 + noise[1]
    out[1, near], out[1, far] = 0.95 + noise[2], 0.55 + noise[3]
    out[2, near] = 0.60 + noise[4]
    return out, 0.5


def _at_threshold(rng):
    """0.5 with the threshold 0.5, once as a free person's and once as that of a person whom another has taken."""
    columns = torch.randperm(5, generator=rng)
    out = torch.full((4, 5), 0.25)
    for row, (value, column) in enumerate(((0.5, 0), (0.4375, 1), (0.5, 2), (0.75, 0))):
        out[row, columns[column]] = value
    return out, 0.5


def _tie(rng):
    """Rows of equal ones, the first of them free or taken."""
    a, b, c, d = torch.randperm(6, generator=rng)[:4].sort().values.tolist()
    out = torch.full((4, 6), 0.125)
    out[0, [b, d]] = 0.75
    out[1, [a, c]] = 0.875
    out[2, [b, c, d]] = 0.75
    out[3, [a, b]] = 0.5
    return out, 0.5


def _none_near(rng):
    """The first detection is near nobody, the second near the person who was nearest to the first."""
    one = int(torch.randint(0, 3, (), generator=rng))
    out = 0.1 * torch.rand(3, 3, generator=rng)
    out[0, one], out[1, one], out[2, (one + 1) % 3] = 0.45, 0.9, 0.6
    return out, 0.5


TAKEN = See("precision", "detection 3 has an OKS of 0.58 with person 1, and finds nobody: she is taken")
GREEDY = See("precision",
             "detection 3 comes first and takes person 1 with OKS 0.58; detection 1, with 0.70, is left over",
             score3=0.95)
FREE = See("precision",
           "detection 3, with OKS 0.58, is below 0.60 and finds nobody; person 1 stays free for detection 1",
           score3=0.95, threshold=0.6)

PROBLEM = Problem(
    name="match", points=2, minutes=15,
    reference=match,
    own=("posebook.evaluation.matches", "posebook.evaluation.evaluate", "posebook.evaluation.coco_keypoint_ap",
         "posebook.grouping._in_order"),
    cases=(
        Case("2 detections, both nearest to person 0: the first takes her, the second person 1",
             lambda rng: (torch.tensor([[0.75, 0.25], [0.875, 0.625]]), 0.5), fixed=True),
        Case("6 detections, 6 people", lambda rng: _draw(rng, 6, 6), weight=2),
        Case("more detections than people", lambda rng: _draw(rng, 9, 4)),
        Case("more people than detections", lambda rng: _draw(rng, 4, 9)),
        Case("a later detection is nearer to the same person", _rivals, weight=2),
        Case("a detection that is near nobody takes nobody away", _none_near),
        Case("similarities within a hundredth of each other", _close),
        Case("as high as the threshold is enough", _at_threshold),
        Case("of equal ones the lower index, among those who are free", _tie),
        Case("a low threshold", lambda rng: _draw(rng, 5, 7, among=(0.02, 0.06))),
        Case("a high threshold", lambda rng: _draw(rng, 5, 6, among=(0.85, 0.95))),
        Case("float64", lambda rng: _draw(rng, 5, 5, dtype=torch.float64)),
        Case("no detections", lambda rng: (torch.zeros(0, 3), 0.5), fixed=True),
        Case("no people", lambda rng: (torch.zeros(4, 0), 0.5), fixed=True),
    ),
    mistakes=(
        Mistake("One person is taken by several detections: she is free only once. What must you remember from row to "
                "row?", edited(match, {"free[taken[i]] = False": "pass"}), see=TAKEN),
        Mistake("A detection whose nearest person is taken gets nobody: it takes the nearest of those who are free.",
                edited(match, {"left = torch.where(free, similarity[i], -1.0)": "left = similarity[i]",
                               ENOUGH: "free.any() and left.max() >= threshold and free[left.argmax()]"})),
        Mistake("The assignment is the best in all: COCO's is greedy, and each row chooses without a look at later "
                "ones.",
                _best_in_all, see=GREEDY),
        Mistake("The highest pair of all goes first: rows choose in their order, whatever later rows would like.",
                _highest_pair_first, see=GREEDY),
        Mistake("The people choose: it is the detections that do, row by row.", _people_choose, see=GREEDY),
        Mistake("The detections are sorted by their similarity: they are in order already, that of their scores.",
                _strongest_first, see=GREEDY),
        Mistake("The last row chooses first: rows choose in their order.",
                changed(match, similarity=lambda similarity: similarity.flip(0), result=lambda out: out.flip(0)),
                see=TAKEN),
        Mistake("A similarity equal to the threshold is refused: at least `threshold` is `>=`.",
                edited(match, {">=": ">"})),
        Mistake("Of equal ones the later person is taken: the statement wants the lower index. (COCO's own code does "
                "as you do.)", edited(match, {CHOICE: "taken[i] = g - 1 - left.flip(0).argmax()"})),
        Mistake("The first person who is near enough is taken: take the nearest.",
                edited(match, {CHOICE: "taken[i] = (left >= threshold).int().argmax()"})),
        Mistake("The threshold is not used: below it a detection takes nobody.",
                edited(match, {"left.max() >= threshold": "True"}), see=FREE),
        Mistake("The threshold is always 0.5: use `threshold`.", changed(match, threshold=0.5), see=FREE),
        Mistake("Similarities are rounded: take them as they are, however close.",
                changed(match, similarity=lambda similarity: (100 * similarity).round() / 100)),
        Mistake("A detection below the threshold still takes its person away: only a match does.",
                edited(match, {f"if {ENOUGH}:": "if free.any():",
                               CHOICE: "taken[i] = left.argmax() if left.max() >= threshold else -1",
                               "free[taken[i]]": "free[left.argmax()]"}), see=FREE),
        Mistake("A detection without a match has 0, which is a person: it has -1.",
                edited(match, {"(d,), -1": "(d,), 0"})),
        Mistake("A detection without a match has G: it has -1.",
                changed(match, result=lambda out, similarity: torch.where(out < 0, similarity.shape[1], out))),
        Mistake("Only those detections are returned that have a match: each has an entry, -1 where there is none.",
                changed(match, result=lambda out: out[out >= 0])),
        Mistake("This says for each person which detection has her: it is to be the other way round, (D,).",
                changed(match, result=lambda out, similarity: torch.tensor(
                    [out.tolist().index(j) if j in out else -1 for j in range(similarity.shape[1])],
                    dtype=torch.int64))),
        Mistake("This says whether a detection has a match: say which person it has.",
                changed(match, result=lambda out: out >= 0)),
        Mistake("Only pairs who are each other's nearest are matched: a detection also takes a person to whom another "
                "one is nearer, if it comes first.",
                changed(match, similarity=lambda similarity: similarity * (
                    similarity == similarity.amax(0, keepdim=True)) if similarity.numel() else similarity), see=GREEDY),
        Mistake("Indices are whole numbers: the result should be int64.",
                changed(match, result=lambda out, similarity: out.to(similarity.dtype))),
        Mistake("The result is int32: it should be int64.", changed(match, result=lambda out: out.int())),
        Mistake("The lowest similarity wins: it is a similarity, not a distance; the highest is the nearest.",
                edited(match, {"similarity[i], -1.0": "similarity[i], 2.0",
                               CHOICE: "taken[i] = torch.where(left >= threshold, left, 2.0).argmin()",
                               ENOUGH: "(free & (left >= threshold)).any()"})),
        Mistake("With no people you ask for the highest of nothing, which raises: G may be 0.",
                edited(match, {"free.any() and ": ""})),
        Mistake("With no people nothing comes back: there is still an entry for each detection.",
                changed(match, result=lambda out, similarity: out if similarity.shape[1] else out[:0])),
    ),
    alternatives=(_by_loops, _by_sorting, _by_numpy, _by_pairs),
    clauses={
        "in order of rows": "The detections are sorted by their similarity",
        "each takes the person": "The people choose",
        "who is still free": "One person is taken by several detections",
        "the highest similarity among those": "A detection whose nearest person is taken",
        "if it is at least `threshold`": "A similarity equal to the threshold",
        "otherwise it takes nobody and has -1": "A detection without a match has 0",
        "of equal ones the person with the lower index": "Of equal ones the later person",
        "later rows have no say": "The assignment is the best in all",
        "int64": "Indices are whole numbers",
        "D or G may be 0": "With no people you ask for the highest",
    },
)
