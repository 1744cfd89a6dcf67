"""rot90_points: its reference, cases and known mistakes."""

import math

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited


def rot90_points(points, k, height, width):
    """Where the points of a (height, width) image lie after k quarter turns: (..., 2)."""
    x, y = points.unbind(-1)
    for _ in range(k % 4):
        x, y = y, width - 1 - x  # the last column becomes the first row
        height, width = width, height
    return torch.stack((x, y), dim=-1)


def _by_cases(points, k, height, width):
    x, y = points[..., 0], points[..., 1]
    k = k % 4
    if k == 1:
        x, y = y, width - 1 - x
    elif k == 2:
        x, y = width - 1 - x, height - 1 - y
    elif k == 3:
        x, y = height - 1 - y, x
    return torch.stack([x, y], -1)


def _about_the_centers(points, k, height, width):
    angle = k * math.pi / 2
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    before = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64)
    after = before.flip(0) if k % 2 else before
    return ((points.double() - before) @ turn.T + after).to(points.dtype)


def _by_complex(points, k, height, width):
    z = points.numpy()[..., 0].astype(complex) + 1j * points.numpy()[..., 1]
    corner = complex(width - 1, height - 1)
    out = (z - corner / 2) * (-1j) ** (k % 4)
    after = corner if k % 2 == 0 else complex(height - 1, width - 1)
    out = out + after / 2
    return torch.from_numpy(np.stack((out.real, out.imag), -1)).to(points.dtype)


def _point_by_point(points, k, height, width):
    out = torch.empty_like(points)
    for at in np.ndindex(*points.shape[:-1]):
        x, y = points[at].tolist()
        h, w = height, width
        for _ in range(k % 4):
            x, y, h, w = y, w - 1 - x, w, h
        out[at] = torch.tensor([x, y], dtype=points.dtype)
    return out


def _about_one_center(points, k, height, width):
    """As about the centers, but with the unturned image's for both."""
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=points.dtype)
    away = points - middle
    for _ in range(k % 4):
        away = torch.stack((away[..., 1], -away[..., 0]), -1)
    return away + middle


TURN, SIZES, TURNS = "x, y = y, width - 1 - x", "height, width = width, height", "range(k % 4)"


def _turn(text):
    """One quarter turn exchanged."""
    return edited(rot90_points, {TURN: text})


def _half_turn(change):
    """Half a turn exchanged."""
    return changed(rot90_points, result=lambda out, points, k: (
        torch.stack(change(*out.unbind(-1), *points.unbind(-1)), -1) if k % 4 == 2 else out))


def _whole(rng, low, high):
    return int(torch.randint(low, high + 1, (), generator=rng))


def _draw(rng, *shape, k=1, hw=(48, 64), beyond=0.0, dtype=torch.float32):
    """Points between the pixels of an image whose sides are drawn anew, or up to ``beyond`` of its size outside."""
    height, width = (n + _whole(rng, 0, n // 8) for n in hw)
    share = (1 + 2 * beyond) * torch.rand(*shape, 2, generator=rng, dtype=dtype) - beyond
    return share * torch.tensor([width - 1, height - 1], dtype=dtype), k, height, width


def _corners(rng):
    """The four corner pixels of an image, and how often it is turned."""
    height, width = _whole(rng, 4, 9), _whole(rng, 12, 20)
    x, y = width - 1, height - 1
    return torch.tensor([[0, 0], [x, 0], [0, y], [x, y]], dtype=torch.float32), 1, height, width


def _square(rng):
    points, k, height, _ = _draw(rng, 6, hw=(40, 40))
    return points, k, height, height


def _outside(rng):
    """One point left of the image, one above it, one to the right, one below."""
    points, k, height, width = _draw(rng, 4, k=_whole(rng, 1, 3))
    away = 2 + 5 * torch.rand(4, generator=rng)
    points[0, 0], points[1, 1], points[2, 0], points[3, 1] = -away[0], -away[1], width + away[2], height + away[3]
    return points, k, height, width


def _whole_turn_more(rng):
    points, _, height, width = _draw(rng, 5)
    k = _whole(rng, 1, 3)
    return (points, k, height, width), (points, k + 4, height, width)


PX = 1e-3  # of float32: some hundred px

ONCE = See("angle", "the head was at the top, left of the middle, and is at the left now, below the middle", degrees=90)
TWICE = See("angle", "the head was at the top, left of the middle, and is at the bottom now, right of the middle",
            degrees=180)
BACK = See("angle",
           "three quarter turns, or one clockwise: the head is at the right; move degrees to 90, and it is at the left",
           degrees=270)

PROBLEM = Problem(
    name="rot90_points", points=2, minutes=15,
    reference=rot90_points,
    own=("posebook.warp.flip_points", "posebook.warp.warp_points", "posebook.warp.Affine.rotation"),
    cases=(
        Case("(7, 1) in an image of 6 rows and 10 columns, turned once: (1, 2)",
             lambda rng: (torch.tensor([7.0, 1.0]), 1, 6, 10), fixed=True),
        Case("the corners of a wide image, turned once", _corners),
        Case("a square image, turned once", _square, atol=PX),
        Case("a wide image, turned once", lambda rng: _draw(rng, 6), atol=PX, weight=2),
        Case("a high image, turned once", lambda rng: _draw(rng, 6, hw=(80, 30)), atol=PX),
        Case("turned twice: upside down", lambda rng: _draw(rng, 6, k=2), atol=PX),
        Case("turned three times", lambda rng: _draw(rng, 6, k=3), atol=PX, weight=2),
        Case("not turned, k = 0", lambda rng: _draw(rng, 6, k=0), atol=PX),
        Case("k = -1, the other way round", lambda rng: _draw(rng, 6, k=-1), atol=PX),
        Case("k = -2 or -6", lambda rng: _draw(rng, 6, k=-2 - 4 * _whole(rng, 0, 1)), atol=PX),
        Case("k = 5, 9 or 13", lambda rng: _draw(rng, 6, k=5 + 4 * _whole(rng, 0, 2)), atol=PX),
        Case("k and k + 4 are the same", _whole_turn_more, atol=PX,
             holds=lambda a, b: bool(torch.allclose(a, b, atol=2 * PX))),
        Case("points outside the image", _outside, atol=PX),
        Case("leading axes stay: (2, 3, 2) points", lambda rng: _draw(rng, 2, 3, k=3), atol=PX),
        Case("a single point, (2,)", lambda rng: _draw(rng, k=1), atol=PX),
        Case("float64, and an image of millions of px",
             lambda rng: _draw(rng, 5, k=3, hw=(3_000_000, 4_000_000), dtype=torch.float64), atol=1e-6),
    ),
    mistakes=(
        Mistake("This turns clockwise: `torch.rot90` with the axes (-2, -1) turns counterclockwise, as a picture is "
                "shown. Where does the top right corner go?", _turn("x, y = height - 1 - y, x"), see=ONCE),
        Mistake("The points are read as (y, x), or those of the turned image are brought back: x comes first, and the "
                "points go with the image.", _turn("x, y = width - 1 - y, x"), see=ONCE),
        Mistake("Off by one px: the last pixel's center is at `width - 1`, and it must come to 0.",
                _turn("x, y = y, width - x")),
        Mistake("The height is taken where the width is wanted: x runs from 0 to `width - 1`, and it is x that is "
                "turned round.", _turn("x, y = y, height - 1 - x")),
        Mistake("The turned image has other sizes: height and width change places with each quarter turn.",
                edited(rot90_points, {SIZES: "pass"})),
        Mistake("The image is taken for a square: use both `height` and `width`.",
                changed(rot90_points, width=lambda height: height)),
        Mistake("The points are turned about the unturned image's center, and left there: the center of the turned "
                "image is at another place, unless the image is square.", _about_one_center),
        Mistake("The points are turned about (0, 0), and leave the image: the turned image begins at 0 again.",
                _turn("x, y = y, -x"), see=ONCE),
        Mistake("x and y change places, and nothing is turned round: that mirrors the image about its diagonal.",
                _turn("x, y = y, x"), see=ONCE),
        Mistake("Only x is turned round: that mirrors the image. A quarter turn makes y of x.",
                _turn("x, y = width - 1 - x, y"), see=ONCE),
        Mistake("The new y is made of the new x: keep the old one until both are made, as `x, y = ...` does.",
                _turn("x = y; y = width - 1 - x")),
        Mistake("A negative k does not turn: it turns the other way round. What is `-1 % 4` in Python?",
                edited(rot90_points, {TURNS: "range(k % 4 if k > 0 else 0)"}), see=BACK),
        Mistake("A negative k turns as a positive one: it turns the other way round.",
                changed(rot90_points, k=abs), see=BACK),
        Mistake("A k above 3 does not turn: k is any whole number, and four turns are as none.",
                edited(rot90_points, {TURNS: "range(k % 4 if k < 4 else 0)"})),
        Mistake("A k above 3 turns three times: k is any whole number, and four turns are as none.",
                changed(rot90_points, k=lambda k: min(k, 3))),
        Mistake("For a k beyond 0 to 3 nothing comes back: k is any whole number, and four turns are as none.",
                edited(rot90_points, {"x, y = points.unbind(-1)": "x, y = points.unbind(-1)\n    if k not in range(4):"
                                      "\n        return None"})),
        Mistake("Every k turns once: `k` says how often.", changed(rot90_points, k=lambda k: int(k % 4 > 0)),
                see=TWICE),
        Mistake("`k` is not used: it says how often the image is turned.", changed(rot90_points, k=1), see=TWICE),
        Mistake("Three turns do what one does: they turn the other way round.",
                changed(rot90_points, k=lambda k: 1 if k % 4 == 3 else k), see=BACK),
        Mistake("Two turns do nothing: they turn the image upside down, x and y both.",
                changed(rot90_points, k=lambda k: 0 if k % 4 == 2 else k), see=TWICE),
        Mistake("Two turns turn only x round: that mirrors the image. Upside down turns both round.",
                _half_turn(lambda x, y, x0, y0: (x, y0)), see=TWICE),
        Mistake("Two turns turn only y round: that mirrors the image. Upside down turns both round.",
                _half_turn(lambda x, y, x0, y0: (x0, y)), see=TWICE),
        Mistake("Two turns have height and width exchanged: after two turns the image has its own sizes again.",
                _half_turn(lambda x, y, x0, y0: (y + y0 - x0, x + x0 - y0))),
        Mistake("The result is (y, x): points are (x, y), before and after.",
                changed(rot90_points, result=lambda out: out.flip(-1))),
        Mistake("Points outside the image are pulled to its edge: they turn with it all the same.",
                changed(rot90_points, points=lambda points, height, width: points.clamp(min=0).minimum(
                    torch.tensor([width - 1, height - 1], dtype=points.dtype)))),
        Mistake("Points are rounded to whole pixels: they may lie between them.",
                changed(rot90_points, result=lambda out: out.round())),
        Mistake("Points are cut to whole pixels: they may lie between them.",
                changed(rot90_points, points=lambda points: points.trunc())),
        Mistake("The result is a tensor of whole numbers: it keeps the dtype of `points`, and their fractions.",
                changed(rot90_points, result=lambda out: out.long())),
        Mistake("x and y are stacked along a new first axis: they belong in the last one.",
                edited(rot90_points, {"dim=-1": "dim=0"})),
        *(Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                  "`points[..., 0]` does not care.", edited(rot90_points, {"x, y = points.unbind(-1)": f"{text}\n    "
                  "x, y = points.unbind(-1)"}))
          for text in ("n, two = points.shape", "p, n, two = points.shape")),
        Mistake("You count on one number of axes: `...` stands for any number of leading axes, none included. "
                "`points[..., 0]` does not care.",
                edited(rot90_points, {"points.unbind(-1)": "points[:, 0], points[:, 1]", "dim=-1": "dim=1"})),
        Mistake("Part of it is computed in float32: the dtype of `points` is wanted all the way.",
                changed(rot90_points, points=lambda points: points.float(),
                        result=lambda out, points: out.to(points.dtype))),
        Mistake("The result is always float32. It should have the dtype of `points`.",
                changed(rot90_points, result=lambda out: out.float())),
    ),
    alternatives=(_by_cases, _about_the_centers, _by_complex, _point_by_point),
    clauses={
        "`torch.rot90(image, k, (-2, -1))`": "This turns clockwise",
        "after it has been turned": "The points are read as (y, x), or",
        "`height` and `width`": "The image is taken for a square",
        "of the image before it is turned": "The turned image has other sizes",
        "any whole number": "A k above 3 does not turn",
        "also below 0": "A negative k does not turn",
        "the result in px of the image after it": "The points are turned about (0, 0)",
        "whole numbers are the centers of pixels, (0, 0) that of the first": "Off by one px",
        "may lie between pixels": "Points are rounded to whole pixels",
        "or outside the image": "Points outside the image are pulled",
        "`...` stands for any number of leading axes, none included": "You count on one number of axes",
        "points are (x, y), in this order": "The points are read as (y, x), or",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
