"""anchor_decode: its reference, cases and known mistakes."""

import torch

from posebook._links import See
from posebook.checks.decoding.soft_argmax import FLAT
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def anchor_decode(scores, anchors, offsets, mode="hard"):
    """The vote of the best anchor, or the softmax-weighted mean of votes: (B, 2)."""
    votes = anchors + offsets  # (B, A, 2)
    if mode == "hard":
        best = scores.argmax(-1)
        return votes[torch.arange(len(votes)), best]
    return (scores.softmax(-1)[..., None] * votes).sum(1)


def _by_einsum(scores, anchors, offsets, mode="hard"):
    weight = scores.softmax(-1)
    if mode == "hard":
        weight = torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)
    return torch.einsum("ba,bad->bd", weight, anchors[None] + offsets)


def _by_loops(scores, anchors, offsets, mode="hard"):
    out = []
    for score, offset in zip(scores, offsets, strict=True):
        if mode == "hard":
            best = int(score.argmax())
            out.append(anchors[best] + offset[best])
        else:
            out.append(torch.softmax(score, 0) @ (anchors + offset))
    return torch.stack(out)


def _draw(rng, mode, batch=3, scale=1.0, dtype=torch.float32):
    """A grid of anchors, and random scores and offsets."""
    y, x = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    anchors = 8 * torch.stack((x.flatten(), y.flatten()), -1).to(dtype)  # (12, 2)
    scores = torch.stack([torch.randperm(12, generator=rng) for _ in range(batch)]).to(dtype)
    scores = scale * (scores / 3 + 0.1 * torch.rand(batch, 12, generator=rng, dtype=dtype))
    return scores, anchors, 3 * torch.randn(batch, 12, 2, generator=rng, dtype=dtype), mode


def _exact(rng, mode):
    scores, anchors, _, mode = _draw(rng, mode)
    keypoint = 16 * torch.rand(3, 1, 2, generator=rng)
    return scores, anchors, keypoint - anchors, mode


def _no_offsets(rng):
    scores, anchors, offsets, _ = _draw(rng, "soft")
    return scores, anchors, torch.zeros_like(offsets), "soft"


def _sharp(rng):
    drawn = _draw(rng, "hard", scale=1e4)
    return drawn, (*drawn[:3], "soft")


VOTE = See("decoding",
           "the square, the best cell's center, is 3.58 px off; the triangle, DARK, adds an offset to it: 0.00")
MODES = See("decoding", "the square, the best cell alone, is 3.58 px off; the circle, the mean of all cells, 1.06 px")

PROBLEM = Problem(
    name="anchor_decode", points=2, minutes=15,
    reference=anchor_decode,
    own=("posebook.decode.decode_anchors",),
    cases=(
        Case("exact offsets, hard", lambda rng: _exact(rng, "hard")),
        Case("exact offsets, soft", lambda rng: _exact(rng, "soft")),
        Case("any offsets, hard: each row of the batch has its own best anchor", lambda rng: _draw(rng, "hard"),
             weight=2),
        Case("hard is what you get without a mode", lambda rng: _draw(rng, "hard")[:3]),
        Case("any offsets, soft", lambda rng: _draw(rng, "soft"), weight=2),
        Case("no offsets, soft: the mean anchor", _no_offsets),
        Case("with very sharp scores soft is hard", _sharp, holds=lambda a, b: bool(torch.allclose(a, b, atol=1e-4))),
        Case("hard: float64 stays float64", lambda rng: _draw(rng, "hard", dtype=torch.float64), atol=1e-9),
        Case("soft: float64 stays float64", lambda rng: _draw(rng, "soft", dtype=torch.float64), atol=1e-9),
        Case("soft: gradients reach the scores", lambda rng: _draw(rng, "soft"), vjp=("scores", 0)),
        Case("hard: gradients reach the offsets", lambda rng: _draw(rng, "hard"), vjp=("offsets", 0)),
        Case("soft: gradients reach the offsets", lambda rng: _draw(rng, "soft"), vjp=("offsets", 0)),
    ),
    mistakes=(
        Mistake("The offsets are missing: a vote is an anchor plus its offset.",
                changed(anchor_decode, offsets=lambda offsets: 0 * offsets), see=VOTE),
        Mistake("The offset is subtracted: a vote is anchor + offset.",
                edited(anchor_decode, {"anchors + offsets": "anchors - offsets"})),
        Mistake("The best anchor of the first row is used for the whole batch.",
                edited(anchor_decode, {"torch.arange(len(votes)), best": ":, best[0]"})),
        Mistake("The softmax runs over the batch: it goes over the anchors, the last axis of `scores`.",
                edited(anchor_decode, {"softmax(-1)": "softmax(0)"})),
        Mistake("Both modes take the best anchor's vote: look at `mode`.", changed(anchor_decode, mode="hard"),
                see=MODES),
        Mistake("Both modes take the weighted mean: look at `mode`.", changed(anchor_decode, mode="soft"), see=MODES),
        Mistake("The votes all count the same: weight them by the softmax of their scores.",
                edited(anchor_decode, {"scores.softmax": "(0 * scores).softmax"}), see=FLAT),
        Mistake("The weights are not normalized: softmax, not exp or sigmoid.",
                edited(anchor_decode, {"softmax(-1)": "sigmoid()"})),
        Mistake("exp of a large score is infinite, and infinity / infinity is NaN; `softmax` takes care of that.",
                edited(anchor_decode, {"scores.softmax(-1)": "(scores.exp() / scores.exp().sum(-1, keepdim=True))"})),
        Mistake("The result is cut off from the scores: no `detach`, `item` or `numpy` on the way.",
                edited(anchor_decode, {"scores.softmax": "scores.detach().softmax"})),
        *(Mistake("One best anchor serves the whole batch: each row of `scores` has its own.",
                  edited(anchor_decode, {"torch.arange(len(votes)), best": f":, {best}"}))
          for best in ("scores.sum(0).argmax()", "scores.argmax() % scores.shape[-1]")),
        Mistake("The scores themselves are the weights: take their softmax.",
                edited(anchor_decode, {"scores.softmax(-1)": "scores"})),
        Mistake("The scores are divided by their sum: take their softmax.",
                edited(anchor_decode, {"scores.softmax(-1)": "(scores / scores.sum(-1, keepdim=True))"})),
        *(Mistake("The offsets are not weighted: each belongs to its anchor's vote, and the votes are weighted.",
                  edited(anchor_decode, {"[..., None] * votes).sum(1)": f"[..., None] * anchors).sum(1) + {offset}"}))
          for offset in ("offsets.mean(1)", "offsets.sum(1)",
                         "offsets[torch.arange(len(offsets)), scores.argmax(-1)]")),
        Mistake("The softmax's weights sum to 1 already: sum the weighted votes, do not take their mean.",
                edited(anchor_decode, {".sum(1)": ".mean(1)"})),
        Mistake("The softmax runs over all scores of the batch: each row has its own.",
                edited(anchor_decode, {"scores.softmax(-1)": "scores.flatten().softmax(0).view_as(scores)"})),
        Mistake("This is the place of the best anchor alone: its vote is anchor + offset.",
                edited(anchor_decode, {"return votes[torch.arange(len(votes)), best]": "return anchors[best]"}),
                see=VOTE),
        Mistake("This is the anchor with the lowest score.", edited(anchor_decode, {"argmax": "argmin"})),
        Mistake("Each row of the batch gets the votes of all rows' best anchors: index rows and anchors together.",
                edited(anchor_decode, {"votes[torch.arange(len(votes)), best]": "votes[:, best]"})),
        Mistake("Without a mode `hard` is meant: `mode=\"hard\"` is the default.",
                lambda scores, anchors, offsets, mode="soft": anchor_decode(scores, anchors, offsets, mode)),
        *(Mistake("The result is cut off from the offsets: no `detach`, `item` or `numpy` on the way.",
                  edited(anchor_decode, {votes: f"{votes}.detach()"}))
          for votes in ("+ offsets", "return votes", "* votes")),
        *(Mistake("The result is always float32. It should have the dtype of `scores`.",
                  edited(anchor_decode, edits)) for edits in (
            {"anchors + offsets": "(anchors + offsets).float()", "scores.softmax(-1)": "scores.softmax(-1).float()"},
            {"return votes": "return votes.float()"}, {".sum(1)": ".sum(1).float()"})),
        *(Mistake("Part of it is computed in float32: the dtype of `scores` is wanted all the way.",
                  edited(anchor_decode, {part: f"{part}.float().to(scores.dtype)"}))
          for part in ("return votes", "scores.softmax(-1)")),
    ),
    alternatives=(_by_einsum, _by_loops),
    clauses={
        "its own place plus its offset": "The offsets are missing",
        "`\"hard\"` returns the vote of the anchor with the highest score": "Both modes take the weighted mean",
        "each row of the batch has its own": "The best anchor of the first row",
        "`\"soft\"` returns the mean of all votes": "Both modes take the best anchor's vote",
        "weighted by the softmax of its scores": "The votes all count the same",
        "over the A anchors": "The softmax runs over the batch",
        "mode=\"hard\"": "Without a mode",
        "Gradients reach the offsets": "The result is cut off from the offsets",
        "with `\"soft\"` also the scores": "The result is cut off from the scores",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
