"""group_tags: its reference, cases and known mistakes."""

import math

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def group_tags(tags, valid, threshold):
    """Candidates to people: a row for each person, of candidates' indices or -1, (P, K)."""
    people = []
    for k in range(len(tags)):
        for i in valid[k].nonzero()[:, 0].tolist():
            nearest, least = None, threshold
            for person in people:
                joined = [tags[j, c] for j, c in enumerate(person) if c >= 0]
                apart = torch.linalg.vector_norm(tags[k, i] - torch.stack(joined).mean(0))
                if person[k] < 0 and apart < least:
                    nearest, least = person, apart
            if nearest is None:
                nearest = [-1] * len(tags)
                people.append(nearest)
            nearest[k] = i
    return torch.tensor(people, dtype=torch.int64).reshape(-1, len(tags))


def _running_sums(tags, valid, threshold):
    keypoints, n, d = tags.shape
    sums, counts = tags.new_zeros(keypoints * n, d), tags.new_zeros(keypoints * n, 1)
    rows = torch.full((keypoints * n, keypoints), -1)
    p = 0
    for k in range(keypoints):
        for i in range(n):
            if valid[k, i]:
                apart = (sums[:p] / counts[:p] - tags[k, i]).norm(dim=-1)
                apart[rows[:p, k] >= 0] = torch.inf
                best = int(apart.argmin()) if p else 0
                if p == 0 or apart[best] >= threshold:
                    best, p = p, p + 1
                sums[best] += tags[k, i]
                counts[best] += 1
                rows[best, k] = i
    return rows[:p].clone()


def _by_lists(tags, valid, threshold):
    people = []  # (dict of keypoint to candidate, list of tags)
    for k, (row, there) in enumerate(zip(tags.tolist(), valid.tolist(), strict=True)):
        for i, (tag, is_there) in enumerate(zip(row, there, strict=True)):
            if not is_there:
                continue
            lacking = [p for p in people if k not in p[0]]
            means = [[sum(axis) / len(p[1]) for axis in zip(*p[1], strict=True)] for p in lacking]
            near = [(math.dist(tag, mean), m) for m, mean in enumerate(means) if math.dist(tag, mean) < threshold]
            if near:
                chosen = lacking[min(near)[1]]
            else:
                chosen = ({}, [])
                people.append(chosen)
            chosen[0][k] = i
            chosen[1].append(tag)
    rows = [[p[0].get(k, -1) for k in range(len(tags))] for p in people]
    return torch.tensor(rows, dtype=torch.int64).view(len(rows), len(tags))


def _running_means(tags, valid, threshold):
    rows, means, counts = [], [], []
    for k, i in valid.nonzero().tolist():
        tag = tags[k, i]
        order = sorted((float((tag - mean).square().sum()) ** 0.5, p) for p, mean in enumerate(means) if rows[p][k] < 0)
        if order and order[0][0] < threshold:
            p = order[0][1]
        else:
            p = len(rows)
            rows.append([-1] * len(tags))
            means.append(torch.zeros_like(tag))
            counts.append(0)
        rows[p][k] = i
        counts[p] += 1
        means[p] = means[p] + (tag - means[p]) / counts[p]
    return torch.tensor(rows, dtype=torch.long) if rows else torch.zeros(0, len(tags), dtype=torch.long)


def _single_tag(tags, valid, threshold):
    """The distance to the nearest tag of a person."""
    return edited(group_tags, {APART: "min(torch.linalg.vector_norm(tags[k, i] - tag) for tag in joined)"})(
        tags, valid, threshold)


def _best_in_all(tags, valid, threshold):
    """Keypoint by keypoint, pairs by rising distance rather than candidates in their order."""
    people = []
    for k in range(len(tags)):
        means = [torch.stack([tags[j, c] for j, c in enumerate(person) if c >= 0]).mean(0) for person in people]
        left = valid[k].nonzero()[:, 0].tolist()
        pairs = sorted((float(torch.linalg.vector_norm(tags[k, i] - mean)), i, p)
                       for i in left for p, mean in enumerate(means))
        for apart, i, p in pairs:
            if apart < threshold and i in left and people[p][k] < 0:
                people[p][k] = i
                left.remove(i)
        for i in left:
            people.append([-1] * len(tags))
            people[-1][k] = i
    return torch.tensor(people, dtype=torch.int64).reshape(-1, len(tags))


APART = "torch.linalg.vector_norm(tags[k, i] - torch.stack(joined).mean(0))"
NEARER = "person[k] < 0 and apart < least"
VALID = "valid[k].nonzero()[:, 0].tolist()"


def _halving(joined):
    mean = joined[0]
    for tag in joined[1:]:
        mean = (mean + tag) / 2
    return mean


def _edit(old, new):
    return edited(group_tags, {old: new})


def _is_clear(tags, valid, threshold, margin):
    """Whether no decision on the way is closer than ``margin``."""
    people = []  # keypoints that she has, sums of her tags
    for k, (row, there) in enumerate(zip(tags.tolist(), valid.tolist(), strict=True)):
        for tag in (tag for tag, is_there in zip(row, there, strict=True) if is_there):
            lacking = [p for p in people if k not in p[0]]
            apart = sorted((math.dist(tag, [a / len(p[0]) for a in p[1]]), m) for m, p in enumerate(lacking))
            if any(abs(a - threshold) < margin for a, _ in apart[:1]):
                return False
            if len(apart) > 1 and apart[1][0] - apart[0][0] < margin:
                return False
            near = lacking[apart[0][1]] if apart and apart[0][0] < threshold else None
            if near is None:
                near = (set(), [0.0] * len(tag))
                people.append(near)
            near[0].add(k)
            near[1][:] = [a + b for a, b in zip(near[1], tag, strict=True)]
    return True


def _scattered(rng, k=5, n=4, d=2, *, spread=3.0, threshold=1.0, missing=0.2, dtype=torch.float32, origin=0.0):
    """Tags anywhere, so that persons compete for them; drawn again until every decision is clear."""
    while True:
        tags = spread * torch.rand(k, n, d, generator=rng, dtype=dtype)
        valid = torch.rand(k, n, generator=rng) >= missing
        if valid.any() and _is_clear(tags, valid, threshold, 1e-3):
            return tags + origin, valid, threshold


def _clusters(rng, k=6, n=4, d=2, dtype=torch.float32):
    """Persons far apart, each keypoint's candidates in an order of its own, and some candidates that are none."""
    center = 4 * torch.stack([torch.randperm(n, generator=rng) for _ in range(d)], -1).to(dtype)
    order = torch.stack([torch.randperm(n, generator=rng) for _ in range(k)])
    tags = center[order] + 0.6 * torch.rand(k, n, d, generator=rng, dtype=dtype)
    valid = torch.rand(k, n, generator=rng) > 0.25
    valid[0, 0] = True
    return tags, valid, 1.5


def _placed(rng, rows, n=6, threshold=0.75):
    """Tags of one axis in their order, keypoint by keypoint, among candidates that are none."""
    tags = 8 * torch.rand(len(rows), n, 1, generator=rng) - 4
    valid = torch.zeros(len(rows), n, dtype=torch.bool)
    for k, row in enumerate(rows):
        for i, tag in zip(sorted(torch.randperm(n, generator=rng)[:len(row)].tolist()), row, strict=True):
            tags[k, i], valid[k, i] = tag, True
    return tags, valid, threshold


def _none(rng):
    return torch.rand(3, 4, 2, generator=rng), torch.zeros(3, 4, dtype=torch.bool), 0.5


WIDE = See("tags", "T = 1.00 is above 0.99, and one group holds two people; move T to 0.5", steps=300.0, threshold=1.0)
SQUARED = See("tags",
              "T = 0.50 mixes people; T = 0.25 would not, but squared distances pass it up to 0.5",
              steps=25.0, threshold=0.5)

PROBLEM = Problem(
    name="group_tags", points=3, minutes=30,
    reference=group_tags,
    own=("posebook.grouping.group_by_tags", "posebook.grouping._match", "posebook.grouping._in_order"),
    cases=(
        Case("tags 0 and 4, then 4.5 and 0.25, threshold 1: rows (0, 1) and (1, 0)",
             lambda rng: (torch.tensor([[[0.0], [4.0]], [[4.5], [0.25]]]), torch.ones(2, 2, dtype=torch.bool), 1.0),
             fixed=True),
        Case("people far apart", _clusters, weight=2),
        Case("people far apart, tags of one axis", lambda rng: _clusters(rng, d=1)),
        Case("people who compete for candidates", _scattered, weight=2),
        Case("tags of three axes", lambda rng: _scattered(rng, d=3, spread=2.0, threshold=0.9)),
        Case("a large threshold", lambda rng: _scattered(rng, threshold=2.5)),
        Case("a small threshold", lambda rng: _scattered(rng, threshold=0.3)),
        Case("many candidates, few keypoints", lambda rng: _scattered(rng, k=2, n=8)),
        Case("tags drift: the mean of all that have joined is what counts",
             lambda rng: _placed(rng, [[0.0], [0.5], [0.5], [0.5], [1.0625], [-0.1875]])),
        Case("as near as the threshold is not nearer", lambda rng: _placed(rng, [[0.0], [0.75, -0.75], [0.25, 1.0]])),
        Case("as near to two people: the earlier one", lambda rng: _placed(
            rng, [[1.0, 0.0, 3.0], [0.5, 2.5], [1.5, 0.5, 2.25]])),
        Case("two candidates near one person: she takes the first, another one or a new one the second",
             lambda rng: _placed(rng, [[0.0], [0.375, 0.125, 0.25], [0.25, 0.25, 0.25]])),
        Case("one keypoint: everybody is new", lambda rng: _scattered(rng, k=1, n=7)),
        Case("one candidate for each keypoint", lambda rng: _scattered(rng, k=7, n=1)),
        Case("no candidate is valid: (0, K)", _none, fixed=True),
        Case("float64, tags far from 0", lambda rng: _scattered(rng, dtype=torch.float64, origin=3e7)),
    ),
    mistakes=(
        Mistake("A candidate whose nearest person has this keypoint already begins a new one: look for the nearest "
                "among those who lack it.", edited(group_tags, {
                    NEARER: "apart < least",
                    "if nearest is None:": "if nearest is None or nearest[k] >= 0:"})),
        Mistake("A candidate takes the place of another one: a person who has this keypoint is not asked again.",
                _edit("person[k] < 0 and ", "")),
        Mistake("As near as the threshold is taken for nearer: it must be `<`.",
                edited(group_tags, {"apart < least": "(apart < least or nearest is None and apart == threshold)"})),
        Mistake("Of two people as near the later one is taken: the earlier one keeps her place.",
                edited(group_tags, {"apart < least": "apart <= least and apart < threshold"})),
        Mistake("The distance is to the first tag of a person: it is to the mean of all that have joined so far.",
                _edit(".mean(0)", "[0]")),
        Mistake("The distance is to the last tag of a person: it is to the mean of all that have joined so far.",
                _edit(".mean(0)", "[-1]")),
        Mistake("The distance is to the nearest tag of a person: it is to the mean of all that have joined so far.",
                _single_tag),
        Mistake("The mean forgets: half of it is always the last tag. All tags that have joined count alike. How many "
                "are there?", _edit("torch.stack(joined).mean(0)", "_halving(joined)")),
        Mistake("The mean is over all K keypoints: those that a person lacks have no tag, not a tag of 0.",
                _edit("torch.stack(joined).mean(0)", "(torch.stack(joined).sum(0) / len(tags))")),
        Mistake("The tags are added up: divide by how many have joined.",
                _edit(".mean(0)", ".sum(0)")),
        Mistake("The mean is the middle of the lowest and highest tag: every tag that has joined counts.",
                _edit("torch.stack(joined).mean(0)", "(torch.stack(joined).amax(0) + torch.stack(joined).amin(0)) / "
                      "2")),
        Mistake("This is the median of the tags: it is their mean.",
                _edit(".mean(0)", ".median(0).values")),
        Mistake("The threshold is taken for the width of a group: a tag may lie up to `threshold` from the mean.",
                changed(group_tags, threshold=lambda threshold: threshold / 2)),
        Mistake("Candidates that are not valid join as well: they have a tag, but nothing was found there.",
                changed(group_tags, valid=lambda valid: torch.ones_like(valid))),
        Mistake("The loops are the wrong way round: all candidates of one keypoint come before those of the next.",
                edited(group_tags, {"for k in range(len(tags))": "for i in range(tags.shape[1])",
                                    f"for i in {VALID}": "for k in valid[:, i].nonzero()[:, 0].tolist()"})),
        Mistake("The candidates of a keypoint come in the order of their distance: they come in the order given, and "
                "the first may take a person to whom the second is nearer.", _best_in_all),
        Mistake("The last candidate of a keypoint comes first: they come in the order given.",
                _edit(VALID, f"{VALID}[::-1]")),
        Mistake("The last keypoint comes first: they come in the order given.",
                _edit("in range(len(tags))", "in reversed(range(len(tags)))")),
        Mistake("The first person who is near enough is taken: take the nearest.",
                _edit("apart < least", "apart < threshold and nearest is None")),
        Mistake("The threshold is not used: a candidate that is near nobody begins a new person.",
                changed(group_tags, threshold=float("inf")), see=WIDE),
        Mistake("The threshold is always 1: use `threshold`.", changed(group_tags, threshold=1.0), see=WIDE),
        Mistake("The squared distance is compared with the threshold: take the root, or square both.",
                _edit(APART, f"{APART}.square()"), see=SQUARED),
        Mistake("The distance is the sum of |differences|: it is Euclidean.",
                _edit("- torch.stack(joined).mean(0)", "- torch.stack(joined).mean(0), ord=1")),
        Mistake("The distance is the largest difference of an axis: it is Euclidean.",
                _edit("- torch.stack(joined).mean(0)", "- torch.stack(joined).mean(0), ord=torch.inf")),
        Mistake("Only the first axis of the tags is compared: a tag has D of them.",
                changed(group_tags, tags=lambda tags: tags[..., :1])),
        Mistake("The squares are averaged over the axes: the Euclidean distance is the root of their sum.",
                _edit(APART, f"{APART} / tags.shape[-1] ** 0.5")),
        Mistake("Only the first keypoint begins people: any candidate that is near nobody does.",
                _edit("if nearest is None:", "if nearest is None and people and all(p[0] < 0 or k > 0 for p in "
                      "people):\n"
                      "                continue\n            if nearest is None:")),
        Mistake("People with a single keypoint are dropped: the statement keeps them.",
                changed(group_tags, result=lambda out: out[(out >= 0).sum(1) > 1])),
        Mistake("People are sorted by how many keypoints they have: they come in the order in which they began.",
                changed(group_tags, result=lambda out: out[(out >= 0).sum(1).argsort(descending=True, stable=True)])),
        Mistake("The newest person comes first: they come in the order in which they began.",
                changed(group_tags, result=lambda out: out.flip(0))),
        Mistake("This is (K, P): a row for each person, please.", changed(group_tags, result=lambda out: out.T)),
        Mistake("A missing keypoint has 0, which is a candidate: it has -1.",
                changed(group_tags, result=lambda out: out.clamp(min=0))),
        Mistake("Candidates are counted among the valid ones: the index is that in `tags`.",
                changed(group_tags, result=lambda out, valid: torch.where(
                    out < 0, out, valid.cumsum(1)[torch.arange(len(valid)), out.clamp(min=0)] - 1))),
        Mistake("This says whether a person has a keypoint: say which candidate it is.",
                changed(group_tags, result=lambda out: out >= 0)),
        Mistake("Indices are whole numbers: the result should be int64.",
                changed(group_tags, result=lambda out, tags: out.to(tags.dtype))),
        Mistake("With nobody found the shape is wrong: want (0, K). What shape has `torch.tensor([])`?",
                changed(group_tags, result=lambda out: out if len(out) else out.flatten())),
        Mistake("Tags are rounded to float32: far from 0 their differences are lost.",
                changed(group_tags, tags=lambda tags: tags.float())),
    ),
    alternatives=(_running_sums, _by_lists, _running_means),
    clauses={
        "Keypoint by keypoint": "The loops are the wrong way round",
        "in the order given": "The candidates of a keypoint come in the order of their distance",
        "Only valid candidates": "Candidates that are not valid",
        "the person whose mean tag is nearest": "The first person who is near enough",
        "the mean of all tags that have joined her so far": "The distance is to the last tag",
        "among those who lack this keypoint": "A candidate whose nearest person has this keypoint",
        "if that is nearer than `threshold`": "As near as the threshold",
        "Of two people as near, the earlier one": "Of two people as near",
        "else it begins a new person": "Only the first keypoint begins people",
        "The distance is Euclidean": "The distance is the sum of",
        "a row for each person, in the order in which they began": "The newest person comes first",
        "index of her candidate": "Candidates are counted among the valid ones",
        "-1 where she has none": "A missing keypoint has 0",
        "P may be 0": "With nobody found",
    },
)
