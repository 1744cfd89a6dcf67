"""c4_average: its reference, cases and known mistakes."""

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited
from posebook.checks.robustness.rot90_points import rot90_points


def c4_average(responses, height, width):
    """The mean of four responses, each brought back from its turned image: (..., 2)."""
    x, y = responses.unbind(-1)  # (4, ...)
    right, bottom = width - 1, height - 1
    back_x = torch.stack((x[0], right - y[1], right - x[2], y[3]))
    back_y = torch.stack((y[0], x[1], bottom - y[2], bottom - x[3]))
    return torch.stack((back_x.mean(0), back_y.mean(0)), dim=-1)


def _by_turning_on(responses, height, width):
    """Back is the same as on to the fourth turn; the turned image has its own height and width."""
    total = torch.zeros_like(responses[0])
    for k in range(4):
        h, w = (height, width) if k % 2 == 0 else (width, height)
        total = total + rot90_points(responses[k], (4 - k) % 4, h, w)
    return total / 4


def _about_the_centers(responses, height, width):
    center = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=responses.dtype)
    turn = torch.tensor([[0, 1], [-1, 0]], dtype=responses.dtype)
    back = torch.zeros_like(responses)
    for k in range(4):
        middle = center.flip(0) if k % 2 else center
        back[k] = (responses[k] - middle) @ torch.linalg.matrix_power(turn, k) + center
    return back.mean(dim=0)


def _step_by_step(responses, height, width):
    """From the last turn to the first: add, and turn the sum back once."""
    sums, sizes = torch.zeros_like(responses[0]), [(height, width), (width, height)]
    for k in (3, 2, 1, 0):
        if k < 3:
            w = sizes[k % 2][1]
            sums = torch.stack(((3 - k) * (w - 1) - sums[..., 1], sums[..., 0]), -1)
        sums = sums + responses[k]
    return sums / 4


def _by_numpy(responses, height, width):
    r, out = responses.numpy(), np.zeros(responses.shape[1:])
    out[..., 0] = (r[0, ..., 0] - r[1, ..., 1] - r[2, ..., 0] + r[3, ..., 1] + 2 * (width - 1)) / 4
    out[..., 1] = (r[0, ..., 1] + r[1, ..., 0] - r[2, ..., 1] - r[3, ..., 0] + 2 * (height - 1)) / 4
    return torch.from_numpy(out).to(responses.dtype)


X = "torch.stack((x[0], right - y[1], right - x[2], y[3]))"
Y = "torch.stack((y[0], x[1], bottom - y[2], bottom - x[3]))"
MEANS = "torch.stack((back_x.mean(0), back_y.mean(0)), dim=-1)"


def _back(x, y):
    """How each response is brought back exchanged."""
    return edited(c4_average, {X: f"torch.stack(({x}))", Y: f"torch.stack(({y}))"})


def _whole(rng, low, high):
    return int(torch.randint(low, high + 1, (), generator=rng))


def _draw(rng, *shape, hw=(48, 64), noise=1.0, beyond=0.0, dtype=torch.float32):
    """Right answers and noise, px; all of them far from the image's center, so that no wrong turn is near."""
    height, width = (n + _whole(rng, 0, n // 8) for n in hw)
    share = (1 + 2 * beyond) * torch.rand(*shape, 2, generator=rng, dtype=dtype) - beyond
    points = share * torch.tensor([width - 1, height - 1], dtype=dtype)
    turned = torch.stack([rot90_points(points, k, height, width) for k in range(4)])
    return turned + noise * torch.randn(turned.shape, generator=rng, dtype=dtype), height, width


def _square(rng):
    responses, height, _ = _draw(rng, 4, hw=(40, 40), noise=6.0)
    return responses, height, height


def _one_right(rng):
    """The first answer is right, the others are somewhere in the picture."""
    responses, height, width = _draw(rng, 5, noise=0.0)
    for k in (1, 2, 3):
        limits = torch.tensor([height, width] if k % 2 else [width, height])
        responses[k] = torch.rand(5, 2, generator=rng) * (limits - 1)
    return responses, height, width


def _turned_once_more(rng):
    responses, height, width = _draw(rng, 5, noise=5.0)
    return (responses, height, width), (responses.roll(-1, 0), width, height)


def _turned_with_it(a, b):
    """Whether b is a, turned once. Sizes are unknown here, but x of the turned one is y, and differences turn."""
    return bool(torch.allclose(b[:, 0], a[:, 1], atol=1e-3)
                and torch.allclose(b[:, 1] - b[:1, 1], a[:1, 0] - a[:, 0], atol=1e-3))


PX = 1e-3  # of float32: some hundred px

UPRIGHT = See("angle",
              "the network alone is 15.3 px off, upright 1.3 px: its answer does not turn with the picture; choose "
              "the mean of four turns, which does", degrees=90)
MEAN = See("angle",
           "the mean is 13.4 px off, upright too, where the network alone is 1.3 px off: wrong answers move it",
           degrees=90, answer="mean of four turns")

PROBLEM = Problem(
    name="c4_average", points=3, minutes=20,
    reference=c4_average,
    own=("posebook.warp.flip_points", "posebook.equivariance.c4_average", "posebook.equivariance.c4_select",
         "posebook.equivariance._turns"),
    cases=(
        Case("four right answers for (7, 1) in an image of 6 rows and 10 columns: (7, 1)",
             lambda rng: (torch.tensor([[7.0, 1.0], [1.0, 2.0], [2.0, 4.0], [4.0, 7.0]]), 6, 10), fixed=True),
        Case("17 keypoints in a wide image, right to about one px", lambda rng: _draw(rng, 17), atol=PX, weight=2),
        Case("a high image", lambda rng: _draw(rng, 6, hw=(80, 30), noise=2.0), atol=PX, weight=2),
        Case("a square image, and as many keypoints as turns", _square, atol=PX),
        Case("answers that have little in common", lambda rng: _draw(rng, 6, noise=15.0), atol=PX),
        Case("one right answer and three wrong ones: their mean", _one_right, atol=PX),
        Case("right answers, to the last digit", lambda rng: _draw(rng, 6, noise=0.0), atol=PX),
        Case("points outside the image", lambda rng: _draw(rng, 12, beyond=0.4), atol=PX),
        Case("leading axes stay: (4, 2, 3, 2) responses", lambda rng: _draw(rng, 2, 3, noise=4.0), atol=PX),
        Case("one keypoint, (4, 2) responses", lambda rng: _draw(rng, noise=4.0), atol=PX),
        Case("the image turned once more: its point turns with it", _turned_once_more, atol=PX, holds=_turned_with_it),
        Case("float64, and an image of millions of px", lambda rng: _draw(
            rng, 5, hw=(3_000_000, 4_000_000), dtype=torch.float64), atol=1e-6),
    ),
    mistakes=(
        Mistake("The responses are averaged as they are: each is in the px of its own turned image, so bring it back "
                "first.", changed(c4_average, result=lambda out, responses: responses.mean(0))),
        Mistake("The responses are turned on, not back: what lies at (x, y) in the turned image came from where?",
                _back("x[0], y[1], right - x[2], bottom - y[3]", "y[0], right - x[1], bottom - y[2], x[3]")),
        Mistake("Responses 1 and 3 are exchanged, or turned on where they should be turned back: `torch.rot90` turns "
                "counterclockwise, as a picture is shown.",
                changed(c4_average, responses=lambda responses: responses[[0, 3, 2, 1]])),
        Mistake("The sizes are exchanged for the quarter turns, or for the half turn: an x of the unturned image, "
                "brought back, runs to `width - 1`.",
                _back("x[0], bottom - y[1], right - x[2], y[3]", "y[0], x[1], bottom - y[2], right - x[3]")),
        Mistake("The sizes are exchanged everywhere: `height` and `width` are those of the unturned image.",
                changed(c4_average, height=lambda width: width, width=lambda height: height)),
        Mistake("The image is taken for a square: use both `height` and `width`.",
                changed(c4_average, width=lambda height: height)),
        Mistake("Off by half a px: the last pixel's center is at `width - 1`, so turning round goes by `width - 1 - "
                "x`.", edited(c4_average, {"width - 1, height - 1": "width, height"})),
        Mistake("The responses are turned back about (0, 0): the turned image begins at 0 again, so turning round goes "
                "by `width - 1 - x`.", edited(c4_average, {"width - 1, height - 1": "0, 0"})),
        Mistake("The quarter turns are brought back by exchanging x and y alone: one of them is turned round as well.",
                _back("x[0], y[1], right - x[2], y[3]", "y[0], x[1], bottom - y[2], x[3]")),
        Mistake("The half turn turns only x round: upside down turns both round.",
                edited(c4_average, {"bottom - y[2]": "y[2]"})),
        Mistake("The half turn turns only y round: upside down turns both round.",
                edited(c4_average, {"right - x[2]": "x[2]"})),
        Mistake("The half turn is left as it is: turn both x and y round.",
                edited(c4_average, {"right - x[2]": "x[2]", "bottom - y[2]": "y[2]"})),
        Mistake("Only the half turn is brought back: the quarter turns are in other px as well.",
                _back("x[0], x[1], right - x[2], x[3]", "y[0], y[1], bottom - y[2], y[3]")),
        Mistake("The first response is taken for one of a turned image: it is k = 0, not turned.",
                changed(c4_average, responses=lambda responses: responses.roll(1, 0))),
        Mistake("This is the median of the four: want the mean, which one wrong answer moves.",
                edited(c4_average, {MEANS: "torch.stack((back_x.quantile(0.5, dim=0), back_y.quantile(0.5, dim=0)), "
                                           "dim=-1)"}), see=MEAN),
        Mistake("This is the lower of the two middle ones, as `torch.median` has it: want the mean.",
                edited(c4_average, {MEANS: "torch.stack((back_x.median(0).values, back_y.median(0).values), dim=-1)"})),
        Mistake("Only the unturned image is asked: average all four.",
                edited(c4_average, {MEANS: "torch.stack((back_x[0], back_y[0]), dim=-1)"}), see=UPRIGHT),
        Mistake("Only the three turned images are averaged: k = 0 is one of the four.",
                edited(c4_average, {".mean(0)": "[1:].mean(0)"})),
        Mistake("Only k = 0 and 2 are averaged: want all four.", edited(c4_average, {".mean(0)": "[::2].mean(0)"})),
        Mistake("This is the sum of the four: divide by 4.", edited(c4_average, {".mean(0)": ".sum(0)"})),
        Mistake("The sum is divided by 3: there are four.", edited(c4_average, {".mean(0)": ".sum(0) / 3"})),
        Mistake("The four are averaged in pairs, the last one weighs half: each of them weighs a quarter.",
                edited(c4_average, {".mean(0)": ".unflatten(0, (4, 1)).mul(torch.tensor([[1, 1, 2, 4]])"
                                                ".reshape(4, *[1] * x.ndim) / 8).sum((0, 1))"})),
        Mistake("All four come back: return their mean.",
                edited(c4_average, {MEANS: "torch.stack((back_x, back_y), dim=-1)"})),
        Mistake("One mean is taken over the keypoints as well: each has its own.",
                changed(c4_average, result=lambda out: out.reshape(-1, 2).mean(0).expand_as(out).clone())),
        Mistake("One mean is taken over the keypoints as well: each has its own.",
                changed(c4_average, result=lambda out: out.reshape(-1, 2).mean(0))),
        Mistake("The mean is taken over the keypoints, not over the four turns: these are the first axis.",
                edited(c4_average, {MEANS: "torch.stack((back_x, back_y), dim=-1).mean(1)"})),
        Mistake("The turns are looked for in the last but one axis: they are the first.",
                changed(c4_average, responses=lambda responses: responses.movedim(-2, 0))),
        Mistake("The result is (y, x): points are (x, y), before and after.",
                changed(c4_average, result=lambda out: out.flip(-1))),
        Mistake("The responses are read as (y, x): x comes first.",
                changed(c4_average, responses=lambda responses: responses.flip(-1), result=lambda out: out.flip(-1))),
        Mistake("Points outside the image are pulled to its edge: they are averaged as they are.",
                changed(c4_average, result=lambda out, height, width: out.clamp(min=0).minimum(
                    torch.tensor([width - 1, height - 1], dtype=out.dtype)))),
        Mistake("The result is rounded to whole pixels: the mean may lie between them.",
                changed(c4_average, result=lambda out: out.round())),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`responses[..., 0]` does not care.", edited(c4_average, {"x, y = responses": f"{text}\n    x, y = "
                  "responses"}))
          for text in ("four, n, two = responses.shape", "four, p, n, two = responses.shape")),
        Mistake("Part of it is computed in float32: the dtype of `responses` is wanted all the way.",
                changed(c4_average, responses=lambda responses: responses.float(),
                        result=lambda out, responses: out.to(responses.dtype))),
        Mistake("The result is always float32. It should have the dtype of `responses`.",
                changed(c4_average, result=lambda out: out.float())),
    ),
    alternatives=(_by_turning_on, _about_the_centers, _step_by_step, _by_numpy),
    clauses={
        "turned by `torch.rot90(image, k, (-2, -1))`": "Responses 1 and 3 are exchanged",
        "k = 0, 1, 2, 3": "The first response is taken for one",
        "in the px of its own turned image": "The responses are averaged as they are",
        "`height` and `width` are those of the unturned image": "The sizes are exchanged everywhere",
        "Bring each of them back": "The responses are turned on, not back",
        "average the four": "This is the median of the four",
        "in px of the unturned image": "The quarter turns are brought back by exchanging",
        "Points may lie outside": "Points outside the image are pulled",
        "`...` stands for any number of leading axes, none included": "You count on one number of axes",
        "points are (x, y), in this order": "The responses are read as (y, x)",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
