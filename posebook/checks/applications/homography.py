"""homography: its reference, cases and known mistakes."""

import math
from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def homography(src, dst):
    """H (3, 3) that takes each point of src to its point of dst, with h33 = 1."""
    (x, y), (u, v) = src.T, dst.T
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    for_u = torch.stack((x, y, one, zero, zero, zero, -u * x, -u * y), dim=1)  # (N, 8)
    for_v = torch.stack((zero, zero, zero, x, y, one, -v * x, -v * y), dim=1)
    h = torch.linalg.lstsq(torch.cat((for_u, for_v)), torch.cat((u, v))).solution
    return torch.cat((h, h.new_ones(1))).reshape(3, 3)


def _rows(src, dst):
    """Two rows for each point, (2 N, 9): times the nine elements of H they are 0."""
    z = torch.cat((src, torch.ones_like(src[:, :1])), 1)
    nothing = torch.zeros_like(z)
    return torch.cat((torch.cat((z, nothing, -dst[:, :1] * z), 1), torch.cat((nothing, z, -dst[:, 1:] * z), 1)))


def _by_svd(src, dst):
    h = torch.linalg.svd(_rows(src, dst)).Vh[-1].reshape(3, 3)
    return h / h[2, 2]


def _about_the_mean(points, size=lambda away: away.norm(dim=1).mean() / math.sqrt(2)):
    """What brings the points about 0, at a distance of sqrt 2 on average, or as ``size`` says."""
    center = points.mean(0)
    scale = 1 / size(points - center)
    move = torch.eye(3, dtype=points.dtype)
    move[:2, 2] = -center
    return torch.diag(torch.stack((scale, scale, torch.ones_like(scale)))) @ move


def _moved(matrix, points):
    z = torch.cat((points, torch.ones_like(points[:, :1])), 1) @ matrix.T
    return z[:, :2] / z[:, 2:]


def _normalized(src, dst, undo=lambda h, a, b: torch.linalg.inv(b) @ h @ a, move=_about_the_mean):
    a, b = move(src), move(dst)
    rows = _rows(_moved(a, src), _moved(b, dst))
    values, vectors = torch.linalg.eigh(rows.T @ rows)
    h = undo(vectors[:, 0].reshape(3, 3), a, b)
    return h / h[2, 2]


def _of_four(which):
    """Eight equations of four points."""
    def answer(src, dst):
        rows = _rows(src[which], dst[which])
        h = torch.linalg.solve(rows[:, :8], -rows[:, 8])
        return torch.cat((h, h.new_ones(1))).view(3, 3)
    return answer


def _by_frames(src, dst):
    """The corners of a triangle and the point that is their sum, to each of the four; once there, once back."""
    there, back = (torch.cat((four, torch.ones_like(four[:, :1])), 1).T for four in (src[:4], dst[:4]))
    there = there[:, :3] * torch.linalg.solve(there[:, :3], there[:, 3])
    back = back[:, :3] * torch.linalg.solve(back[:, :3], back[:, 3])
    h = back @ torch.linalg.inv(there)
    return h / h[2, 2]


def _by_numpy(src, dst):
    rows, sides = [], []
    for (x, y), (u, v) in zip(src.tolist(), dst.tolist(), strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        sides += [u, v]
    h = np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)[0]
    return torch.from_numpy(np.append(h, 1).reshape(3, 3))


def _by_pinv(src, dst):
    rows = _rows(src, dst)
    h = torch.linalg.pinv(rows[:, :8]) @ -rows[:, 8]
    return torch.nn.functional.pad(h, (0, 1), value=1.0).unflatten(0, (3, 3))


ROWS, SIDES = "torch.cat((for_u, for_v))", "torch.cat((u, v))"
INTERLEAVED = "torch.stack((for_u, for_v), 1).flatten(0, 1)"


MOVES = (_about_the_mean, partial(_about_the_mean, size=torch.std),
         partial(_about_the_mean, size=lambda away: torch.ones_like(away[0, 0])))


def _scaled(text):
    """Another scale of H."""
    return changed(homography, result=lambda out: eval(text, {"out": out, "torch": torch}))


def _null(vector, squared=False):
    """A vector that is not, or not to all its digits, the one that the rows take to 0."""
    def answer(src, dst):
        rows = _rows(src, dst)
        h = vector(rows.T @ rows if squared else rows).reshape(3, 3)
        return h / h[2, 2]
    return answer


def _squared(inverse):
    """The normal equations of the eight unknowns."""
    def answer(src, dst):
        rows = _rows(src, dst)
        h = inverse(rows[:, :8].T @ rows[:, :8]) @ -rows[:, :8].T @ rows[:, 8]
        return torch.cat((h, h.new_ones(1))).reshape(3, 3)
    return answer


def _affine(src, dst):
    """The best without perspective."""
    z = torch.cat((src, torch.ones_like(src[:, :1])), 1)
    return torch.cat((torch.linalg.lstsq(z, dst).solution.T, z.new_tensor([[0, 0, 1]])))


def _similar(src, dst):
    """The best that only turns, scales and shifts."""
    (x, y), (u, v) = (src - src.mean(0)).T, (dst - dst.mean(0)).T
    c, s = (x * u + y * v).sum(), (x * v - y * u).sum()
    turn = torch.stack((torch.stack((c, -s)), torch.stack((s, c)))) / (x**2 + y**2).sum()
    shift = dst.mean(0) - turn @ src.mean(0)
    return torch.cat((torch.cat((turn, shift[:, None]), 1), src.new_tensor([[0, 0, 1]])))


def _affine_transposed(src, dst):
    """That of the rows (x, y, 1): they stand on the left of it."""
    return _affine(src, dst).T


def _landed(h, src, dst):
    """Where H takes the points of src and those half way between two of them, px."""
    if h.shape != (3, 3):
        return h
    if h[2, 2].isfinite() and (h[2, 2] - 1).abs() > 1e-6:
        return "the last element of H, h33, is not 1"
    return _moved(h.to(src.dtype), torch.cat((src, (src + src.roll(1, 0)) / 2)))


UNIT = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]], dtype=torch.float64)
GRID = torch.cat((UNIT, torch.tensor([[0, 0.5], [-0.5, 0], [0, -0.5], [0, 0], [0.5, 0]], dtype=torch.float64)))


def _draw(rng, count=4, *, src=(300.0, 800.0), dst=(300.0, 800.0), start=0.6, tilt=0.35, mirror=False, beyond=False,
          grid=False):
    """A flat square and its picture, in px.

    The first four points are near its corners, in any order. ``src`` and ``dst``: its side here and there. ``start``:
    how many sides, at least, its center is away from (0, 0), to the right and down, in both. ``tilt``: how much its
    depth varies. ``beyond``: (0, 0) lies behind the horizon.
    """
    corners = UNIT[torch.randperm(4, generator=rng)] + 0.2 * torch.rand(4, 2, generator=rng, dtype=torch.float64) - 0.1
    more = torch.rand(count - 4, 2, generator=rng, dtype=torch.float64) - 0.5
    points = GRID if grid else torch.cat((corners, more))
    angle, way = uniform(rng, -0.6, 0.6), math.pi / 2 * int(torch.randint(4, (), generator=rng))
    way += uniform(rng, 0.2, 1.3)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], dtype=torch.float64)
    matrix = torch.eye(3, dtype=torch.float64)
    slant = [[1, uniform(rng, -0.3, 0.3)], [0, uniform(rng, 0.6, 0.9)]]
    matrix[:2, :2] = turn @ torch.tensor(slant, dtype=matrix.dtype)
    if mirror:
        matrix[:2, 0] *= -1
    steep = tilt * uniform(rng, 0.7, 1.0)
    matrix[2, :2] = steep * torch.tensor([math.cos(way), math.sin(way)], dtype=matrix.dtype)
    first, second = (start + 0.4 * torch.rand(2, generator=rng, dtype=matrix.dtype) for _ in range(2))
    if beyond:
        first = 2 / steep**2 * matrix[2, :2]
    return uniform(rng, *src) * (points + first), uniform(rng, *dst) * (_moved(matrix, points) + second)


def _exchanged(rng):
    src, dst = _draw(rng, 6, src=(200.0, 200.0))
    return (src, dst), (dst, src)


def _there_and_back(a, b):
    """A point of the square, by one and by the other."""
    point = torch.tensor([[150.0, 160.0]], dtype=a.dtype)
    return bool(torch.allclose(_moved(b, _moved(a, point)), point, atol=1e-2))


def _fixed(rng):
    src = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    dst = torch.tensor([[1, 0], [1.5, 0], [1.5, 1], [1, 2]], dtype=torch.float64)
    return src, dst


def _shifted(rng):
    src = _draw(rng, 5)[0]
    return src, src + torch.tensor([[uniform(rng, 20, 90), uniform(rng, -90, -20)]], dtype=src.dtype)


Near = partial(Case, atol=1e-3, seen=_landed)

PERSPECTIVE = See("marker",
                  "the marker's upper edge is farther away and shorter than the lower one, and its sides are not "
                  "parallel", tilt=60.0)
ROUNDED = See("marker", "points that are off by 1.00 px on each axis put the roof of the box 4.38 px off")

PROBLEM = Problem(
    name="homography", points=3, minutes=25,
    reference=homography,
    own=("posebook.geometry.homography", "posebook.geometry.planes._homography",
         "posebook.geometry.planes._equations"),
    cases=(
        Near("(0, 0), (1, 0), (1, 1), (0, 1) to (1, 0), (1.5, 0), (1.5, 1), (1, 2): rows (2, 0, 1), (0, 2, 0), "
             "(1, 0, 1)", _fixed, fixed=True),
        Near("four points, some hundred px", _draw, weight=3),
        Near("five points", lambda rng: _draw(rng, 5)),
        Near("twelve points", lambda rng: _draw(rng, 12), weight=2),
        Near("nine points of a grid: most of them on lines, not the first four", lambda rng: _draw(rng, 9, grid=True)),
        Near("four points, some thousand px: float64 is needed", lambda rng: _draw(
            rng, src=(1500.0, 2500.0), dst=(1500.0, 2500.0))),
        Near("thirty points, some thousand px, six times: `A.T @ A` would lose half of the digits", lambda rng: tuple(
            _draw(rng, 30, src=(2500.0, 3000.0), dst=(2500.0, 3000.0)) for _ in range(6)), weight=2,
            holds=lambda *found: len(found) == 6),
        Near("a small square, far from (0, 0)", lambda rng: _draw(
            rng, 8, src=(300.0, 400.0), dst=(300.0, 400.0), start=3.0, tilt=0.1)),
        Near("a marker in meters, to px", lambda rng: _draw(rng, src=(0.05, 0.2), start=-0.2)),
        Near("a steep view", lambda rng: _draw(rng, 10, tilt=0.8, start=-0.2)),
        Near("a mirror image", lambda rng: _draw(rng, 6, mirror=True)),
        Near("a picture that is only shifted", _shifted),
        Near("(0, 0) lies beyond the horizon", lambda rng: _draw(rng, 7, tilt=1.2, beyond=True)),
        Near("`src` and `dst` exchanged: there and back", _exchanged, holds=_there_and_back),
    ),
    mistakes=(
        Mistake("With four points there are 8 equations for 9 numbers: `full_matrices=False` leaves out the one vector "
                "that they all take to 0.", _null(lambda rows: torch.linalg.svd(rows, full_matrices=False).Vh[-1])),
        *(Mistake("H is not scaled: divide it by its last element, h33, when all else is done.", answer) for answer in (
            lambda src, dst: torch.linalg.svd(_rows(src, dst)).Vh[-1].reshape(3, 3),
            _scaled("-out / out.norm()"), _scaled("out / out[0, 0]"))),
        Mistake("The vector of the largest singular value is taken: that of the smallest is the one that the rows take "
                "to 0.", _null(lambda rows: torch.linalg.svd(rows).Vh[0])),
        Mistake("The last column of `Vh` is taken: the singular vectors are its rows, as `Vh` is V transposed.",
                _null(lambda rows: torch.linalg.svd(rows).Vh[:, -1])),
        *(Mistake("Digits are lost: A' A squares how unequal the columns are, some 1e7 between px * px and 1. Take the "
                  "singular vectors of A itself, or bring the points about 0 first.", _null(vector, squared=True))
          for vector in (lambda m: torch.linalg.eigh(m).eigenvectors[:, 0],
                         lambda m: torch.from_numpy(np.linalg.eigh(m.numpy())[1][:, 0]))),
        Mistake("Digits are lost: the pseudo-inverse of A' A squares how unequal the columns are, some 1e7 between "
                "px * px and 1. Use `torch.linalg.lstsq`.", _squared(torch.linalg.pinv)),
        Mistake("This goes from `dst` to `src`: the way back.",
                changed(homography, src=lambda dst: dst, dst=lambda src: src)),
        Mistake("H is transposed, or filled column by column: its first row makes u.",
                changed(homography, result=lambda out: out.T)),
        Mistake("Perspective is left out: the last row is (0, 0, 1), which keeps parallel lines parallel.", _affine,
                see=PERSPECTIVE),
        Mistake("This only turns, scales and shifts: perspective is left out.", _similar, see=PERSPECTIVE),
        Mistake("(x, y, 1) is brought to (u, v, 1) itself, from the left, and perspective is left out: each point has "
                "a scale c of its own.", _affine_transposed, see=PERSPECTIVE),
        Mistake("h31 and h32 are exchanged: h31 stands beside x.",
                edited(homography, {"-u * x, -u * y": "-u * y, -u * x", "-v * x, -v * y": "-v * y, -v * x"})),
        Mistake("The sign of the products is wrong: u = a / c becomes a - u c = 0.",
                edited(homography, {"-u": "u", "-v": "v"})),
        Mistake("The sign of the right side is wrong: u = a / c becomes a - u c = 0, and h33 is known.",
                edited(homography, {SIDES: "-torch.cat((u, v))"})),
        Mistake("x and y are exchanged: x comes first, in `src` and in `dst`.",
                changed(homography, src=lambda src: src.flip(1), dst=lambda dst: dst.flip(1))),
        Mistake("x and y are exchanged in `src`: x comes first.", changed(homography, src=lambda src: src.flip(1))),
        Mistake("u and v are exchanged: u, from the first row of H, comes first in `dst`.",
                changed(homography, dst=lambda dst: dst.flip(1))),
        Mistake("The rows alternate between u and v, the right side does not.",
                edited(homography, {ROWS: INTERLEAVED})),
        Mistake("The right side alternates between u and v, the rows do not.",
                edited(homography, {SIDES: "dst.flatten()"})),
        Mistake("The shift is left out: the third number of (x, y, 1) is 1.",
                edited(homography, {"torch.ones_like": "torch.zeros_like"})),
        Mistake("A square system has as many equations as unknowns: more than four points give more than eight. Least "
                "squares solves it, or four of the points.", edited(homography, {f"lstsq({ROWS}, {SIDES}).solution":
                                                                               f"solve({ROWS}, {SIDES})"})),
        Mistake("The last four points are used, and three of them may lie on a line: the first four are safe.",
                _of_four(slice(-4, None))),
        *(Mistake("The points were brought about 0, and H was not brought back.",
                  partial(_normalized, undo=lambda h, a, b: h, move=move)) for move in MOVES),
        *(Mistake("The points were brought about 0, and H was brought back in the wrong order: first to the small "
                  "`src`, last out of the small `dst`.",
                  partial(_normalized, undo=lambda h, a, b: torch.linalg.inv(a) @ h @ b, move=move)) for move in MOVES),
        Mistake("The points were brought about 0, and H was brought back on one side only.",
                partial(_normalized, undo=lambda h, a, b: h @ a)),
        Mistake("The points were brought about 0, and H was brought back on one side only.",
                partial(_normalized, undo=lambda h, a, b: torch.linalg.inv(b) @ h)),
        Mistake("The points were brought about 0, and what did so is used where its inverse belongs.",
                partial(_normalized, undo=lambda h, a, b: b @ h @ torch.linalg.inv(a))),
        Mistake("The result has one axis: want three rows of three.",
                changed(homography, result=lambda out: out.flatten())),
        Mistake("These are the eight unknowns: want three rows of three, with 1 as the last element.",
                changed(homography, result=lambda out: out.flatten()[:8])),
        Mistake("These are the places where the points land: want H.",
                changed(homography, result=lambda out, src: _moved(out, src))),
        Mistake("Part of it is computed in float32: float64 is wanted all the way.",
                changed(homography, src=lambda src: src.float(), dst=lambda dst: dst.float(),
                        result=lambda out: out.double())),
        Mistake("The result is float32. It should have the dtype of `src`, float64.",
                changed(homography, result=lambda out: out.float())),
        Mistake("The points are rounded to whole px: they lie between pixels as well.",
                changed(homography, dst=lambda dst: dst.round()), see=ROUNDED),
    ),
    alternatives=(_by_svd, _normalized, _of_four(slice(4)), _by_frames, _by_numpy, _by_pinv),
    clauses={
        "points are (x, y), in this order": "x and y are exchanged: x comes first",
        "each point (x, y) of `src` to its point (u, v) of `dst`": "This goes from `dst` to `src`",
        "(a, b, c) = H \\, (x, y, 1)": "H is transposed",
        "u = a / c": "Perspective is left out",
        "with 1 as its last element": "H is not scaled",
        "N is 4": "With four points there are 8 equations",
        "or more": "A square system has as many equations",
        "no three of the first four lie on a line": "The last four points are used",
        "All is float64": "Part of it is computed in float32",
        "some thousand px": "Digits are lost: A' A",
        "within 1e-3 px": "The points are rounded to whole px",
    },
)
