"""ae_loss: its reference, cases and known mistakes."""

from functools import partial
from itertools import combinations

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def ae_loss(tags, vis, margin):
    """How far tags lie from their person's mean, and how far the means fall short of the margin."""
    count = vis.sum(1).clamp(min=1)
    means = (tags * vis[..., None]).sum(1) / count[:, None]  # (N, D)
    spread = ((tags - means[:, None]).square().sum(-1) * vis).sum(1) / count
    there = vis.any(1)
    pull = spread.sum() / there.sum().clamp(min=1)
    first, second = torch.triu_indices(len(tags), len(tags), 1)
    both = there[first] & there[second]
    apart = torch.linalg.vector_norm(means[first] - means[second], dim=-1)
    push = ((margin - apart).clamp(min=0) * both).sum() / both.sum().clamp(min=1)
    return pull, push


def _by_loops(tags, vis, margin):
    means, spreads = [], []
    for one, seen in zip(tags, vis, strict=True):
        if seen.any():
            mean = one[seen].mean(0)
            means.append(mean)
            spreads.append(((one[seen] - mean) ** 2).sum(1).mean())
    pull, push = 0 * tags.sum(), 0 * tags.sum()
    if means:
        pull = sum(spreads) / len(means)
    pairs = list(combinations(means, 2))
    for a, b in pairs:
        push = push + torch.relu(margin - torch.norm(a - b)) / len(pairs)
    return pull, push


def _by_cdist(tags, vis, margin):
    some = vis.any(1)
    tags, weight = tags[some], vis[some][..., None].to(tags.dtype)
    weight = weight / weight.sum(1, keepdim=True)
    means = (weight * tags).sum(1, keepdim=True)
    pull = (weight * (tags - means) ** 2).sum() / max(len(tags), 1)
    short = (margin - torch.cdist(means[:, 0], means[:, 0])).clamp(min=0)
    n = len(means)
    return pull, (short.sum() - margin * n) / max(n * (n - 1), 1)


def _by_variance(tags, vis, margin):
    """The mean squared distance is the mean square minus the square of the mean, taken about a tag that is near."""
    some = vis.any(1)
    tags, vis = tags[some], vis[some]
    share = vis.to(tags.dtype) / vis.sum(1, keepdim=True)
    at = vis.int().argmax(1)
    near = tags - tags[torch.arange(len(tags)), at].detach()[:, None]
    means, squares = torch.einsum("nk,nkd->nd", share, near), torch.einsum("nk,nkd,nkd->n", share, near, near)
    pull = (squares - means.square().sum(-1)).sum() / max(len(tags), 1)
    means = torch.einsum("nk,nkd->nd", share, tags)
    rows, columns = (torch.ones(len(tags), len(tags)).tril(-1) > 0).nonzero().T
    gap = ((means[rows] - means[columns]).square().sum(-1) + 1e-14).sqrt()
    push = torch.where(gap < margin, margin - gap, 0.0).sum() / max(len(gap), 1)
    return pull, push


SPREAD = "((tags - means[:, None]).square().sum(-1) * vis).sum(1) / count"
MEANS = "(tags * vis[..., None]).sum(1) / count[:, None]"
PULL = "spread.sum() / there.sum().clamp(min=1)"
APART = "torch.linalg.vector_norm(means[first] - means[second], dim=-1)"
SHORT = "(margin - apart).clamp(min=0)"
PUSH = f"({SHORT} * both).sum() / both.sum().clamp(min=1)"


def _edit(old, new):
    return edited(ae_loss, {old: new})


def _draw(rng, vis, d=2, *, spread=0.4, dtype=torch.float32, origin=0.0, hidden=1e3):
    """Means of which about half the pairs are nearer than the margin, none within 0.02 of it."""
    vis = torch.tensor([[c == "1" for c in row] for row in vis])
    some = vis.any(1)
    while True:
        center = 2 * torch.rand(len(vis), 1, d, generator=rng, dtype=dtype)
        tags = center + spread * torch.randn(*vis.shape, d, generator=rng, dtype=dtype)
        means = torch.stack([one[seen].mean(0) for one, seen in zip(tags[some], vis[some], strict=True)])
        apart = torch.pdist(means).sort().values.tolist()
        margin = (apart[len(apart) // 2 - 1] + apart[len(apart) // 2]) / 2
        if all(abs(margin - a) > 0.02 for a in apart) and min(apart) > 0.05:
            return torch.where(vis[..., None], tags + origin, hidden), vis, margin


def _alone(rng, vis):
    tags, vis = torch.randn(len(vis), len(vis[0]), 2, generator=rng), torch.tensor([[c == "1" for c in r] for r in vis])
    return tags, vis, 2.0


def _twins(rng):
    """Persons 0 and 2 have the same tags, to the last bit, and person 1 others."""
    tags = torch.randn(3, 4, 2, generator=rng)
    tags[2] = tags[0]
    return tags, torch.ones(3, 4, dtype=torch.bool), 9.0


def _all_alike(rng):
    """Everybody has one and the same tag."""
    return torch.randn(2, generator=rng).expand(3, 4, 2).clone(), torch.ones(3, 4, dtype=torch.bool), 2.0


ALL, SOME, LACKING = ("1111",) * 4, ("1101", "0110", "1111", "0001"), ("1101", "0000", "0111", "0000", "1000")
Near = partial(Case, atol=1e-5, rtol=1e-5)  # as far as `pairwise_distance`, which adds 1e-6, is right

REST = See("tags", "the mean tags are 1.00 apart, the margin: the hinge is at rest, and pushes by 0.00", steps=100.0)
NEWELL = See("tags",
             "the tags are 1.33 apart, more than the margin, and the Gaussian still pushes by 0.16",
             push="Gaussian", steps=100.0)
MARGIN = See("tags", "with a margin of 0.50 the mean tags come to rest 0.50 apart", margin=0.5, steps=200.0)
SAME = See("tags", "people 1 and 2 have the same mean tag, and are pushed by 0.00: no NaN", gap=0.0)
MOVES = See("tags",
            "the arrows at the mean tags, -1.00 and +1.00, are push's gradient; more steps part the people by it",
            steps=25.0)

PROBLEM = Problem(
    name="ae_loss", points=3, minutes=25,
    reference=ae_loss,
    own=("posebook.losses.associative_embedding_loss",),
    cases=(
        Near("means (0, 0) and (3, 4), each tag 1 from its mean, margin 7: pull 1, push 7 - 5 = 2",
             lambda rng: (torch.tensor([[[-1.0, 0.0], [1.0, 0.0]], [[3.0, 3.0], [3.0, 5.0]]]),
                          torch.ones(2, 2, dtype=torch.bool), 7.0), fixed=True),
        Near("4 people, all tags labeled", lambda rng: _draw(rng, ALL), weight=2),
        Near("some tags are not labeled: they do not count", lambda rng: _draw(rng, SOME), weight=2),
        Near("two of five people have no labeled tag: they do not count", lambda rng: _draw(rng, LACKING)),
        Near("tags of one number", lambda rng: _draw(rng, SOME, d=1)),
        Near("tags of three numbers", lambda rng: _draw(rng, SOME, d=3)),
        Near("one person: push 0", lambda rng: _alone(rng, ("1101",))),
        Near("one person with labels, among others without: push 0", lambda rng: _alone(rng, ("0000", "1101", "0000"))),
        Near("nobody has a label: 0 and 0", lambda rng: _alone(rng, ("0000", "0000")), fixed=True),
        Near("everybody has the same tag: pull 0, push the margin", _all_alike, fixed=True),
        Near("two of three people have the same tags", _twins),
        Near("float64, tags a million from 0",
             lambda rng: _draw(rng, SOME, dtype=torch.float64, origin=1e6, hidden=-1e3)),
        Near("gradients of pull", lambda rng: _draw(rng, SOME), vjp=("tags", 0)),
        Near("gradients of push", lambda rng: _draw(rng, SOME), vjp=("tags", 1)),
        Case("gradients of push are finite where two people have the same tags", _twins, vjp=("tags", 1), atol=10.0,
             weight=2, fixed=True),
        Case("gradients of push are finite where all have the same tag", _all_alike, vjp=("tags", 1), atol=10.0,
             fixed=True),
    ),
    mistakes=(
        Mistake("The mean tag is over all K keypoints: divide by the number of those that are labeled.",
                edited(ae_loss, {MEANS: "(tags * vis[..., None]).mean(1)"})),
        Mistake("Unlabeled tags take part: nobody has trained them, they may be anything.",
                changed(ae_loss, vis=lambda vis: vis.any(1, keepdim=True).expand_as(vis))),
        Mistake("An unlabeled tag counts as 0: it is left out, from the mean and from the distances.",
                edited(ae_loss, {SPREAD: "((tags * vis[..., None] - means[:, None]).square().sum(-1)).mean(1)"})),
        Mistake("All labeled tags count alike in pull: first the mean of each person, then the mean over people.",
                edited(ae_loss, {PULL: "(spread * count).sum() / vis.sum().clamp(min=1)"})),
        Mistake("People without a labeled tag count in the mean of pull: they have no tags to pull.",
                edited(ae_loss, {PULL: "spread.mean()"})),
        Mistake("The squares are averaged over the D numbers of a tag: the squared distance is their sum.",
                edited(ae_loss, {"square().sum(-1)": "square().mean(-1)"})),
        Mistake("The distance in pull is not squared.", edited(ae_loss, {SPREAD: (
            "(((tags - means[:, None]).square().sum(-1) + 1e-20).sqrt() * vis).sum(1) / count")})),
        Mistake("The variance is divided by one less than the number of tags: `var` does so unless you say "
                "`unbiased=False`.", edited(ae_loss, {SPREAD: f"{SPREAD[:-5]}(vis.sum(1) - 1).clamp(min=1)"})),
        Mistake("Pull compares pairs of tags: it is the distance to the mean. The two differ by a factor alone.",
                edited(ae_loss, {PULL: f"2 * {PULL}"})),
        Mistake("Pull is the root of the mean squared distance: it stands as it is.",
                edited(ae_loss, {PULL: "((spread + 1e-20).sqrt() * there).sum() / there.sum().clamp(min=1)"})),
        Mistake("Pull is a sum over people: take the mean.", edited(ae_loss, {PULL: "spread.sum()"})),
        Mistake("Pull sums over a person's tags: take their mean.", edited(ae_loss, {SPREAD: SPREAD[:-8]})),
        Mistake("Pull is halved: it is the mean squared distance as it is.",
                changed(ae_loss, result=lambda out: (out[0] / 2, out[1]))),
        Mistake("People without a labeled tag take part in push, with a mean of 0: nobody is there.",
                _edit("there[first] & there[second]", "there[first] | ~there[first]")),
        Mistake("Each person is a pair with herself: she can never be a margin away from herself.",
                _edit("(len(tags), len(tags), 1)", "(len(tags), len(tags))")),
        Mistake("Each person is a pair with herself: she can never be a margin away from herself.",
                edited(ae_loss, {PUSH: f"(2 * ({SHORT} * both).sum() + margin * there.sum()) / "
                                       "(there.sum() ** 2).clamp(min=1)"})),
        Mistake("Each pair is counted twice and divided by once: take the mean over pairs, each once.",
                edited(ae_loss, {PUSH: f"2 * {PUSH}"})),
        Mistake("Push is a sum over the pairs: take their mean.", edited(ae_loss, {PUSH: f"({SHORT} * both).sum()"})),
        Mistake("Push is divided by the number of people: it is the mean over pairs.",
                edited(ae_loss, {PUSH: f"({SHORT} * both).sum() / there.sum().clamp(min=1)"})),
        Mistake("Push is the mean over those pairs alone that are too near: pairs far enough apart count, with 0.",
                edited(ae_loss, {PUSH: f"({SHORT} * both).sum() / (both & (apart < margin)).sum().clamp(min=1)"})),
        Mistake("What the distance falls short of the margin is squared: it stands as it is.",
                edited(ae_loss, {SHORT: f"{SHORT}.square()"})),
        Mistake("Push is divided by the margin: it is max(0, margin - distance) as it stands.",
                edited(ae_loss, {SHORT: f"{SHORT} / margin"})),
        Mistake("Push goes below 0 for people far apart: max(0, ...). Beyond the margin there is nothing to gain.",
                edited(ae_loss, {SHORT: "(margin - apart)"}), see=REST),
        Mistake("The squared distance is compared with the margin: it is the distance.",
                edited(ae_loss, {SHORT: "(margin - apart.square()).clamp(min=0)"}), see=MARGIN),
        Mistake("This is Newell's push, a Gaussian of the distance: the statement wants max(0, margin - distance).",
                edited(ae_loss, {SHORT: "torch.exp(-apart.square() / 2)"}), see=NEWELL),
        Mistake("Push compares tags with tags: it compares the mean tags.",
                edited(ae_loss, {APART: "(tags[first][:, :, None] - tags[second][:, None]).norm(dim=-1).mean((1, "
                                        "2))"})),
        Mistake("The distance of the means is the sum of |differences|: it is Euclidean.",
                edited(ae_loss, {"dim=-1)\n": "ord=1, dim=-1)\n"})),
        Mistake("The root of a sum of squares has the gradient NaN at 0, where two people have the same mean. Which "
                "function of torch knows what to do there?",
                edited(ae_loss, {APART: "(means[first] - means[second]).square().sum(-1).sqrt()"}), see=SAME),
        Mistake("For fewer than two people the mean over no pairs is NaN: push is 0 then.",
                edited(ae_loss, {"both.sum().clamp(min=1)": "both.sum()"})),
        Mistake("With nobody labeled the mean over no people is NaN: pull is 0 then.",
                edited(ae_loss, {"there.sum().clamp(min=1)": "there.sum()"})),
        Mistake("For a person without labels you divide 0 by 0: leave her out before you do.",
                edited(ae_loss, {"vis.sum(1).clamp(min=1)": "vis.sum(1)"})),
        Mistake("For fewer than two people push is the margin: there is nobody to push, so it is 0.",
                changed(ae_loss, result=lambda out, vis, margin: out if vis.any(1).sum() > 1 else (
                    out[0], out[1] + margin))),
        Mistake("The means are cut off from the tags in push: then nobody moves. No `detach`, `item` or `numpy` on the "
                "way.",
                edited(ae_loss, {"means[first] - means[second]": "(means[first] - means[second]).detach()"}),
                see=MOVES),
        Mistake("Push comes first in your result: want (pull, push).", changed(ae_loss, result=lambda out: out[::-1])),
        Mistake("Pull and push are added: return both, and let the caller weigh them.",
                changed(ae_loss, result=lambda out: (out[0] + out[1], out[1]))),
        Mistake("The margin is always 1: use `margin`.", changed(ae_loss, margin=1.0), see=MARGIN),
        Mistake("Tags are rounded to float32: far from 0 their differences are lost.",
                changed(ae_loss, tags=lambda tags: tags.float(),
                        result=lambda out, tags: tuple(part.to(tags.dtype) for part in out))),
        Mistake("The result is always float32. It should have the dtype of `tags`.",
                changed(ae_loss, result=lambda out: tuple(part.float() for part in out))),
    ),
    alternatives=(_by_loops, _by_cdist, _by_variance),
    clauses={
        "the mean over people with a labeled tag": "People without a labeled tag count in the mean of pull",
        "of the mean squared distance": "The distance in pull is not squared",
        "her labeled tags": "Unlabeled tags take part",
        "to their mean": "The mean tag is over all K keypoints",
        "first the mean of each person, then that over people": "All labeled tags count alike",
        "the mean over unordered pairs": "Each pair is counted twice",
        "of such people": "People without a labeled tag take part in push",
        "\\max(0, \\mathrm{margin} - d)": "Push goes below 0",
        "Euclidean distance of their mean tags": "Push compares tags with tags",
        "0 for fewer than two": "For fewer than two people the mean",
        "With nobody labeled both are 0": "With nobody labeled",
        "Gradients reach the tags": "The means are cut off",
        "finite also where means coincide": "The root of a sum of squares",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
