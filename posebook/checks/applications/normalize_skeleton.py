"""normalize_skeleton: its reference, cases and known mistakes."""

import math
from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def normalize_skeleton(xy, mask, root, pair):
    """Keypoint root at 0 in each frame, and one scale for all frames: the mean length of pair."""
    a, b = pair
    both = mask[:, a] & mask[:, b]
    scale = (xy[both, a] - xy[both, b]).norm(dim=-1).mean()
    moved = (xy - xy[:, root, None]) / scale
    known = mask & mask[:, root, None]  # without its root a frame has no place
    return torch.where(known[..., None], moved, math.nan)


def _by_nanmean(xy, mask, root, pair):
    """NaN first, which then spreads by itself."""
    xy = xy.masked_fill(~mask[..., None], float("nan"))
    a, b = (xy[:, k] for k in pair)
    return (xy - xy[:, root:root + 1]) / torch.linalg.vector_norm(a - b, dim=-1).nanmean()


def _by_weights(xy, mask, root, pair):
    clean = torch.where(mask[..., None], xy, torch.zeros_like(xy))
    weight = mask[:, list(pair)].all(1).to(xy)
    length = torch.hypot(*(clean[:, pair[0]] - clean[:, pair[1]]).unbind(-1))
    scale = (weight * length).sum() / weight.sum()
    nan = torch.where(mask & mask[:, [root]], 0.0, torch.nan).to(xy)
    return clean / scale - clean[:, [root]] / scale + nan.unsqueeze(-1)


def _frame_by_frame(xy, mask, root, pair):
    out, lengths = torch.full_like(xy, torch.nan), []
    for frame, seen in zip(xy, mask, strict=True):
        if seen[pair[0]] and seen[pair[1]]:
            lengths.append(math.dist(frame[pair[0]].tolist(), frame[pair[1]].tolist()))
    scale = sum(lengths) / len(lengths)
    for t in range(xy.shape[0]):
        for k in range(xy.shape[1]):
            if mask[t, k] and mask[t, root]:
                out[t, k] = (xy[t, k] - xy[t, root]) / scale
    return out


def _by_numpy(xy, mask, root, pair):
    points = np.where(mask.numpy()[..., None], xy.numpy(), np.nan)
    scale = np.nanmean(np.sqrt(np.square(np.diff(points[:, list(pair)], axis=1)).sum(-1)))
    return torch.from_numpy(((points - points[:, [root]]) / scale).astype(xy.numpy().dtype))


def _by_cdist(xy, mask, root, pair):
    """Rows are chosen, and what is left out stays NaN."""
    lengths = [torch.cdist(f[[pair[0]]], f[[pair[1]]]).squeeze() for f in xy[mask[:, pair[0]] * mask[:, pair[1]]]]
    out = torch.empty_like(xy).fill_(torch.nan)
    rows = mask[:, root].nonzero().flatten()
    part = (xy[rows] - xy[rows, root].unsqueeze(1)) / torch.stack(lengths).mean()
    part[~mask[rows]] = torch.nan
    return out.index_copy(0, rows, part)


BOTH, LENGTH = "mask[:, a] & mask[:, b]", "(xy[both, a] - xy[both, b]).norm(dim=-1)"
SCALE, MOVED = f"{LENGTH}.mean()", "(xy - xy[:, root, None]) / scale"
KNOWN, RETURN = "mask & mask[:, root, None]", "torch.where(known[..., None], moved, math.nan)"


def _scale(text):
    return edited(normalize_skeleton, {SCALE: text})


def _moved(text):
    return edited(normalize_skeleton, {MOVED: text})


def _known(text):
    return edited(normalize_skeleton, {KNOWN: text})


def _each(of):
    """One number for each frame in the mean's place: by which frames are divided, or 1 where either is masked."""
    return edited(normalize_skeleton, {SCALE: of, MOVED: "(xy - xy[:, root, None]) / scale.view(-1, 1, 1)"})


PER_FRAME = "torch.where(both, (xy[:, a] - xy[:, b]).norm(dim=-1), 1.0)"


def _walk(rng, t=8, k=6, *, grow=1.0, dtype=torch.float32):
    """Px: a skeleton that walks and moves its limbs, far from 0, and becomes up to ``grow`` times as large."""
    body = 30 * torch.randn(1, k, 2, generator=rng, dtype=torch.float64)
    limbs = body + 6 * torch.randn(t, k, 2, generator=rng, dtype=torch.float64)
    size = torch.linspace(1, grow, t, dtype=torch.float64)[torch.randperm(t, generator=rng), None, None]
    start = torch.tensor([uniform(rng, 150, 400), uniform(rng, 150, 400)], dtype=torch.float64)
    step = torch.tensor([uniform(rng, 5, 15), uniform(rng, -5, 5)], dtype=torch.float64)
    return (size * limbs + start + step * torch.arange(t)[:, None, None]).to(dtype)


def _three(rng, k):
    root, a, b = torch.randperm(k, generator=rng)[:3].tolist()
    return root, (a, b)


def _all_seen(rng, t=8, k=6, **walk):
    xy = _walk(rng, t, k, **walk)
    return xy, torch.ones(t, k, dtype=torch.bool), *_three(rng, k)


def _hidden(rng, *, of="others", hidden="number", t=9, k=6, grow=2.0, frames=3, dtype=torch.float32):
    """Some frames without the root, without one or both of the pair, or without others; there NaN or any number."""
    xy, mask, root, pair = _all_seen(rng, t, k, grow=grow, dtype=dtype)
    chosen = torch.randperm(t, generator=rng)[:frames].tolist()
    others = [j for j in range(k) if j not in (root, *pair)]
    for i, frame in enumerate(chosen):
        which = {"root": [root], "first": [pair[0]], "second": [pair[1]], "others": others[i % 2:][:2],
                 "pair": [list(pair), pair[:1], pair[1:]][i % 3]}[of]
        mask[frame, list(which)] = False
    return _fill(rng, xy, mask, hidden), mask, root, pair


def _fill(rng, xy, mask, hidden):
    """What stands where nothing is known."""
    number = {"nan": math.nan, "zero": 0.0, "huge": 1e9}.get(hidden)
    other = xy.flip(0, 1) + 700 * torch.rand(xy.shape, generator=rng, dtype=xy.dtype) if number is None else (
        torch.full_like(xy, number))
    return torch.where(mask[..., None], xy, other)


def _mixed(rng, hidden, t=14, k=8, **walk):
    """Everything at once: frames without root, of the pair one, both or none, and others."""
    xy, mask, root, pair = _all_seen(rng, t, k, grow=2.0, **walk)
    order = torch.randperm(t, generator=rng)
    mask &= torch.rand(t, k, generator=rng) > 0.15
    mask[order] = mask[order].index_put((torch.arange(4),), torch.tensor(False))  # four frames wholly
    for rows, columns, value in ((order[4:7], (root,), False), (order[4:7], pair, True), (order[7:9], pair[:1], False),
                                 (order[9:11], pair[1:], False), (order[7:], (root,), True), (order[11:], pair, True)):
        for column in columns:
            mask[rows, column] = value
    return _fill(rng, xy, mask, hidden), mask, root, pair


def _one_counts(rng):
    """Of the pair both are seen in one frame only, and there the root is not."""
    xy, mask, root, pair = _all_seen(rng, 6, grow=2.0)
    mask[:, pair[0]] = False
    at = int(torch.randint(6, (), generator=rng))
    mask[at, pair[0]], mask[at, root] = True, False
    return _fill(rng, xy, mask, "number"), mask, root, pair


def _root_in_pair(rng):
    xy, mask, _, pair = _hidden(rng, of="first")
    return xy, mask, pair[0], pair


def _nearer(rng):
    """Seen by another camera: half the size, and elsewhere."""
    xy, mask, root, pair = _mixed(rng, "zero", dtype=torch.float64)
    return (xy, mask, root, pair), (0.5 * xy + torch.tensor([150.0, -80.0], dtype=torch.float64), mask, root, pair)


def _frames_are_alike(a, b):
    return bool(torch.allclose(a, b, rtol=1e-6, atol=1e-6, equal_nan=True))


def _known_answer(rng):
    """Two frames: the root walks by 100 px, the pair is 30 px and 50 px long."""
    xy = torch.tensor([[[100.0, 100.0], [80.0, 100.0], [100.0, 140.0], [130.0, 140.0]],
                       [[200.0, 100.0], [180.0, 100.0], [200.0, 140.0], [230.0, 180.0]]])
    return xy, torch.ones(2, 4, dtype=torch.bool), 0, (2, 3)


Near = partial(Case, atol=2e-5, rtol=1e-5)

FARTHER = See("sequence",
              "people are farther away and elsewhere: the net on pixels, which are neither moved nor divided, is right "
              "for 8 of 64, the temporal one for 63", camera="farther")

PROBLEM = Problem(
    name="normalize_skeleton", points=2, minutes=20,
    reference=normalize_skeleton,
    own=("posebook.training.actions.normalized", "posebook.training.actions.torso"),
    cases=(
        Near("two frames, the pair 30 and 50 px long: moved, and divided by 40", _known_answer, fixed=True),
        Near("all seen, 8 frames", _all_seen, weight=2),
        Near("all seen, and larger from frame to frame: one number for all", lambda rng: _all_seen(rng, grow=3.0),
             weight=2),
        Near("one frame", lambda rng: _all_seen(rng, 1)),
        Near("two keypoints, of which one is the root",
             lambda rng: (_walk(rng, 5, 2), torch.ones(5, 2, dtype=torch.bool), 1, (0, 1))),
        Near("the pair's order does not matter", lambda rng: ((s := _mixed(rng, "nan")), (*s[:3], s[3][::-1])),
             holds=_frames_are_alike),
        Near("some keypoints masked, not root nor pair: NaN", _hidden, weight=2),
        Near("the root masked in some frames: these are NaN, and count in the mean",
             lambda rng: _hidden(rng, of="root"), weight=2),
        Near("the first of the pair masked in some frames", lambda rng: _hidden(rng, of="first")),
        Near("the second of the pair masked in some frames", lambda rng: _hidden(rng, of="second")),
        Near("one or both of the pair masked in some frames, NaN in `xy` there",
             lambda rng: _hidden(rng, of="pair", hidden="nan"), weight=2),
        Near("one or both of the pair masked in some frames, 0 in `xy` there",
             lambda rng: _hidden(rng, of="pair", hidden="zero")),
        Near("the root is one of the pair, and masked in some frames", _root_in_pair),
        Near("all of this at once, NaN where masked", lambda rng: _mixed(rng, "nan"), weight=2),
        Near("all of this at once, 0 where masked", lambda rng: _mixed(rng, "zero")),
        Near("all of this at once, any number where masked", lambda rng: _mixed(rng, "number"), weight=2),
        Near("all of this at once, 1e9 where masked", lambda rng: _mixed(rng, "huge")),
        Near("a single frame counts, and its root is masked", _one_counts),
        Near("seen half as large, and elsewhere: the same result", _nearer, holds=_frames_are_alike),
        Near("200 frames of 17 keypoints", lambda rng: _mixed(rng, "nan", 200, 17)),
        Case("float64", lambda rng: _mixed(rng, "nan", dtype=torch.float64), atol=1e-10),
    ),
    mistakes=(
        Mistake("Nothing is moved: the root is to be at 0 in each frame.", _moved("xy / scale"), see=FARTHER),
        Mistake("All frames are moved by the root of the first: each has its own.",
                _moved("(xy - xy[mask[:, root].float().argmax(), root]) / scale")),
        Mistake("All frames are moved by the mean of the root: each has its own.",
                _moved("(xy - xy[mask[:, root], root].mean(0)) / scale")),
        Mistake("Frames are moved by the mean of their keypoints: keypoint `root` is to be at 0.",
                edited(normalize_skeleton, {
                    MOVED: "(xy - torch.where(mask[..., None], xy, math.nan).nanmean(1, keepdim=True)) / scale"})),
        Mistake("Frames are moved by the middle of the pair: keypoint `root` is to be at 0.",
                _moved("(xy - (xy[:, a, None] + xy[:, b, None]) / 2) / scale")),
        Mistake("Only x is moved: both coordinates of the root are to be 0.",
                _moved("(xy - xy[:, root, None] * torch.tensor([1, 0])) / scale")),
        Mistake("The root is added: it is to come off, so that it lies at 0.",
                _moved("(xy + xy[:, root, None]) / scale")),
        Mistake("The sign is turned around: keypoint less root.", _moved("(xy[:, root, None] - xy) / scale")),
        Mistake("Only what is moved is divided, or only the root: xy - root / scale. Move first, then divide all.",
                _moved("xy - xy[:, root, None] / scale")),
        Mistake("Nothing is divided: all frames are to be divided by the mean length of the pair.",
                _moved("xy - xy[:, root, None]"), see=FARTHER),
        Mistake("It is multiplied by the mean length: divide.", _moved("(xy - xy[:, root, None]) * scale")),
        Mistake("Each frame is divided by its own length: one number for all keeps that somebody comes nearer.",
                edited(normalize_skeleton, {SCALE: f"{PER_FRAME}\n    known0 = both", MOVED:
                                            "(xy - xy[:, root, None]) / scale.view(-1, 1, 1)",
                                            KNOWN: f"{KNOWN} & known0[:, None]"})),
        Mistake("Each frame is divided by its own length, and by 1 where there is none: one number for all.",
                _each(PER_FRAME)),
        Mistake("Each frame is divided by its own length, and by the mean where there is none: one number for all.",
                _each(f"torch.where(both, {PER_FRAME}, {SCALE})")),
        Mistake("All frames are divided by the length in the first one: the mean over frames is wanted.",
                _scale(f"{LENGTH}[0]")),
        Mistake("All frames are divided by the length in the last one: the mean over frames is wanted.",
                _scale(f"{LENGTH}[-1]")),
        Mistake("This is the median of the lengths: the mean is wanted.", _scale(f"{LENGTH}.median()")),
        Mistake("This is the largest of the lengths: the mean is wanted.", _scale(f"{LENGTH}.max()")),
        Mistake("This is the sum of the lengths: the mean is wanted.", _scale(f"{LENGTH}.sum()")),
        Mistake("This is the root of the mean square of the lengths: the mean of the lengths is wanted.",
                _scale(f"{LENGTH}.square().mean().sqrt()")),
        Mistake("This is the mean of the squared lengths: a distance is the root of it.",
                _scale(f"{LENGTH}.square().mean()")),
        Mistake("Frames are divided by the mean of 1 / length, turned over: the mean of the lengths is wanted.",
                _scale(f"1 / (1 / {LENGTH}).mean()")),
        Mistake("The length of the mean difference is taken: limbs turn, so that differences cancel. Take the mean of "
                "the lengths.", _scale("(xy[both, a] - xy[both, b]).mean(0).norm()")),
        Mistake("|dx| + |dy| is taken for the distance.", _scale("(xy[both, a] - xy[both, b]).abs().sum(-1).mean()")),
        Mistake("The larger of |dx| and |dy| is taken for the distance.",
                _scale("(xy[both, a] - xy[both, b]).abs().amax(-1).mean()")),
        Mistake("Only the difference in x is taken for the distance.",
                _scale("(xy[both, a] - xy[both, b])[:, 0].abs().mean()")),
        Mistake("Only the difference in y is taken for the distance.",
                _scale("(xy[both, a] - xy[both, b])[:, 1].abs().mean()")),
        Mistake("The length runs from the root to the first of the pair: it is the distance of the two of `pair`.",
                edited(normalize_skeleton, {"a, b = pair": "a, b = pair[0], root\n    b = pair[1] if a == b else b"})),
        Mistake("The length runs from the root to the second of the pair: it is the distance of the two of `pair`.",
                edited(normalize_skeleton, {"a, b = pair": "a, b = root, pair[1]\n    a = pair[0] if a == b else a"})),
        Mistake("The skeleton is divided by its own spread: by the mean length of the pair is wanted.",
                _scale("xy[mask].std(correction=0)")),
        Mistake("The skeleton is divided by its largest coordinate after the move: by the mean length of the pair is "
                "wanted.",
                _scale("(xy - xy[:, root, None])[mask & mask[:, root, None]].abs().max()")),
        Mistake("Frames in which either of the pair is masked count in the mean: what stands in `xy` there is no "
                "measurement.", edited(normalize_skeleton, {BOTH: "mask[:, a] | True"})),
        Mistake("Frames in which either of the pair is masked count in the mean, unless `xy` is NaN there: any number "
                "may stand there. Ask `mask`.", _scale("(xy[:, a] - xy[:, b]).norm(dim=-1).nanmean()")),
        Mistake("Frames in which either of the pair is masked count as 0 in the mean: divide by the number of those "
                "that count.", _scale(f"{LENGTH}.sum() / len(xy)")),
        Mistake("Of the pair only the first is asked for in `mask`: both have to be seen.",
                edited(normalize_skeleton, {BOTH: "mask[:, a]"})),
        Mistake("Of the pair only the second is asked for in `mask`: both have to be seen.",
                edited(normalize_skeleton, {BOTH: "mask[:, b]"})),
        Mistake("A frame counts in the mean where one of the pair is seen: both have to be.",
                edited(normalize_skeleton, {BOTH: "mask[:, a] | mask[:, b]"})),
        Mistake("Frames without root are left out of the mean: the pair's length is known there, so they count.",
                edited(normalize_skeleton, {BOTH: f"{BOTH} & mask[:, root]"})),
        Mistake("Only frames in which everything is seen count in the mean: the two of `pair` are enough.",
                edited(normalize_skeleton, {BOTH: "mask.all(1)"})),
        Mistake("The mean is NaN as soon as one length in it is, and then so is everything: leave out frames in which "
                "either of the pair is masked.", _scale(
                    "torch.where(both, (xy[:, a] - xy[:, b]).norm(dim=-1), math.nan).mean()")),
        Mistake("The norm runs over the frames, or over everything: a distance is the norm over x and y.",
                _scale("(xy[both, a] - xy[both, b]).norm(dim=0).mean()")),
        Mistake("The norm runs over the frames, or over everything: a distance is the norm over x and y.",
                _scale("(xy[both, a] - xy[both, b]).norm()")),
        Mistake("The mask is not used: where it is False the result is NaN.", edited(normalize_skeleton, {
            BOTH: "mask[:, a] | True", RETURN: "moved"})),
        Mistake("What is masked is not NaN, unless `xy` is NaN there: any number may stand there. Ask `mask`.",
                edited(normalize_skeleton, {RETURN: "moved"})),
        Mistake("What is masked is 0: NaN is wanted, since 0 is the root's place.",
                edited(normalize_skeleton, {"math.nan": "0.0"})),
        Mistake("`mask` is taken the other way around: True says that a keypoint is seen.",
                changed(normalize_skeleton, mask=lambda mask: ~mask)),
        Mistake("The result is NaN where `mask` is True: it is where it is False.",
                _known("~(mask & mask[:, root, None])")),
        Mistake("Frames without root are not NaN: they are moved by what stands in `xy` there, which is no "
                "measurement.",
                _known("mask")),
        Mistake("Frames without root are not moved: their place is not known, so they are NaN throughout.",
                edited(normalize_skeleton, {MOVED: "torch.where(mask[:, root, None, None], xy - xy[:, root, None], xy)"
                                            " / scale", KNOWN: "mask"})),
        Mistake("Frames without root are 0: NaN is wanted.",
                changed(normalize_skeleton, result=lambda out, mask, root: torch.where(
                    mask[:, root, None, None] | ~mask[..., None], out, 0.0))),
        Mistake("Frames in which any keypoint is masked are NaN throughout: only those without root are.",
                _known("mask & mask.all(1, keepdim=True)")),
        Mistake("Frames in which either of the pair is masked are NaN throughout: only those without root are.",
                _known(f"{KNOWN} & both[:, None]")),
        Mistake("Frames without root are left out: the result has as many frames as `xy`, and NaN in these.",
                changed(normalize_skeleton, result=lambda out, mask, root: out[mask[:, root]])),
        Mistake("The root itself is left out: it stays, at 0.",
                changed(normalize_skeleton, result=lambda out, root: torch.cat((out[:, :root], out[:, root + 1:]), 1))),
        Mistake("The root is always keypoint 0: use `root`.", changed(normalize_skeleton, root=0)),
        Mistake("The pair is always the first two keypoints: use `pair`.", changed(normalize_skeleton, pair=(0, 1))),
        Mistake("Part of it is computed in float32: the dtype of `xy` is wanted all the way.",
                changed(normalize_skeleton, xy=lambda xy: xy.float(), result=lambda out, xy: out.to(xy.dtype))),
        Mistake("The result is always float32. It should have the dtype of `xy`.",
                changed(normalize_skeleton, result=lambda out: out.float())),
        Mistake("The result is always float64. It should have the dtype of `xy`.",
                changed(normalize_skeleton, result=lambda out: out.double())),
    ),
    alternatives=(_by_nanmean, _by_weights, _frame_by_frame, _by_numpy, _by_cdist),
    clauses={
        "Each frame is moved": "All frames are moved by the root of the first",
        "keypoint `root` lies at 0": "Frames are moved by the mean",
        "divided by one number": "Each frame is divided by its own length:",
        "the mean over frames": "This is the median",
        "the distance of the two keypoints of `pair`": "|dx| + |dy|",
        "Where `mask` is False the result is NaN": "What is masked is not NaN",
        "NaN or any number": "Frames in which either of the pair is masked count in the mean, unless",
        "A frame whose root is masked is NaN throughout": "Frames without root are not NaN",
        "A frame in which either of `pair` is masked does not count in the mean": "Frames in which either of the pair "
                                                                                  "is masked count in the mean: ",
        "a frame without root does": "Frames without root are left out of the mean",
    },
)
