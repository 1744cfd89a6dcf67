"""triangulate: its reference, cases and known mistakes."""

import math
from functools import partial
from itertools import combinations

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def triangulate(points, cameras):
    """The point X (3,) of which the 2 V residuals, linear in X, have the least sum of squares."""
    p1, p2, p3 = cameras.unbind(dim=1)  # (V, 4) each
    x, y = points[:, :1], points[:, 1:]  # (V, 1) each
    rows = torch.cat((x * p3 - p1, y * p3 - p2))  # (2 V, 4): times (X, 1) they are the residuals
    a, b = rows[:, :3], -rows[:, 3]  # so that the residuals are a X - b
    return torch.linalg.lstsq(a, b).solution


def _by_normal_equations(points, cameras):
    rows = points[:, :, None] * cameras[:, 2:] - cameras[:, :2]  # (V, 2, 4)
    a, b = rows[..., :3].reshape(-1, 3), rows[..., 3].reshape(-1)
    return torch.linalg.solve(a.T @ a, -(a.T @ b))


def _by_svd(points, cameras):
    rows = torch.stack([points[v, i] * cameras[v, 2] - cameras[v, i] for v in range(len(points)) for i in (0, 1)])
    u, s, vh = torch.linalg.svd(rows[:, :3], full_matrices=False)
    return vh.T @ ((u.T @ -rows[:, 3]) / s)


def _by_eigenvectors(points, cameras):
    """Of the normal equations' matrix; view by view."""
    a, b = torch.zeros(3, 3, dtype=points.dtype), torch.zeros(3, dtype=points.dtype)
    for (x, y), camera in zip(points, cameras, strict=True):
        for row in (x * camera[2] - camera[0], y * camera[2] - camera[1]):
            a, b = a + torch.outer(row[:3], row[:3]), b - row[3] * row[:3]
    values, vectors = torch.linalg.eigh(a)
    return vectors @ ((vectors.T @ b) / values)


def _with_four_unknowns(points, cameras):
    """The smallest of Z' M Z with the last element of Z held at 1: M, without its last row, times Z is 0."""
    rows = torch.cat([points[:, i, None] * cameras[:, 2] - cameras[:, i] for i in (0, 1)])
    m = rows.T @ rows
    m[3] = torch.tensor([0, 0, 0, 1], dtype=m.dtype)
    return torch.linalg.solve(m, m[3])[:3]


def _by_numpy(points, cameras):
    p, c = points.numpy(), cameras.numpy()
    rows = (p[:, :, None] * c[:, 2:3] - c[:, :2]).reshape(-1, 4)
    return torch.from_numpy(np.linalg.lstsq(rows[:, :3], -rows[:, 3], rcond=None)[0])


def _by_qr(points, cameras):
    rows = (points.unsqueeze(-1) * cameras[:, 2:] - cameras[:, :2]).flatten(0, 1)
    r = torch.linalg.qr(rows).R
    return torch.linalg.solve_triangular(r[:3, :3], -r[:3, 3:], upper=True)[:, 0]


STACK = "torch.cat((x * p3 - p1, y * p3 - p2))"
SOLVE = "torch.linalg.lstsq(a, b).solution"


def _rows(text):
    """Other equations."""
    return edited(triangulate, {STACK: text})


def _solve(text):
    """Another solution of them."""
    return edited(triangulate, {f"return {SOLVE}": text})


def _scaled(scale):
    """Each camera divided by a number of its own."""
    return changed(triangulate, cameras=lambda cameras: cameras / scale(cameras)[:, None, None])


def _by_depth(times):
    """The residuals divided by P3 . Z of the last solution, again and again: what they would be in px."""
    def answer(points, cameras):
        weights = torch.ones(len(points), dtype=points.dtype)
        for _ in range(times + 1):
            solution = triangulate(points, weights[:, None, None] * cameras)
            weights = 1 / (cameras[:, 2, :3] @ solution + cameras[:, 2, 3])
        return solution
    return answer


def _least_pixels(points, cameras):
    """The smallest sum of squares of distances in px."""
    solution = triangulate(points, cameras)
    for _ in range(30):
        seen = cameras[..., :3] @ solution + cameras[..., 3]  # (V, 3)
        xy = seen[:, :2] / seen[:, 2:]
        slope = (cameras[:, :2, :3] - xy[..., None] * cameras[:, 2:, :3]) / seen[:, 2:, None]
        solution = solution + torch.linalg.lstsq(slope.flatten(0, 1), (points - xy).flatten()).solution
    return solution


def _rays(points, cameras):
    """Centers and directions of the rays through the points."""
    inner = cameras[..., :3]
    ones = torch.ones(len(points), 1, dtype=points.dtype)
    directions = torch.linalg.solve(inner, torch.cat((points, ones), 1))
    return -torch.linalg.solve(inner, cameras[..., 3]), directions / directions.norm(dim=1, keepdim=True)


def _nearest_to_rays(points, cameras):
    """The smallest sum of squared distances to the rays; of two rays, the middle of what lies between them."""
    centers, directions = _rays(points, cameras)
    across = torch.eye(3, dtype=points.dtype) - directions[:, :, None] * directions[:, None]
    return torch.linalg.solve(across.sum(0), (across @ centers[..., None]).sum(0)[:, 0])


def _first_ray(points, cameras):
    """Where the first ray comes nearest to the second."""
    (a, b), (d, e) = (part[:2] for part in _rays(points, cameras))
    return a + d * torch.linalg.lstsq(torch.stack((d, -e), 1), b - a).solution[0]


def _pairs(which, how=lambda found: found.mean(0)):
    """The solutions of pairs of views, averaged."""
    def answer(points, cameras):
        found = [triangulate(points[list(pair)], cameras[list(pair)]) for pair in which(range(len(points)))]
        return how(torch.stack(found))
    return answer


def _without_the_worst(points, cameras):
    if len(points) < 3:
        return triangulate(points, cameras)
    rows = points[..., None] * cameras[:, 2:] - cameras[:, :2]
    solution = triangulate(points, cameras)
    off = (rows[..., :3] @ solution + rows[..., 3]).norm(dim=1)
    keep = off < off.max()
    return triangulate(points[keep], cameras[keep])


def _draw(rng, views=2, *, noise=2.0, arc=1.0, distance=(2.0, 4.0), focal=(800.0, 1200.0), scale=1.0, unit=1.0):
    """Views, px, of a point 3 to 8 m from the world's origin, by cameras that stand on an arc, in radians, about it.

    ``scale``: each camera is multiplied by a number of its own, up to this. ``unit``: so many units are a meter.
    """
    target = torch.tensor([1.0, -1.0, 4.0], dtype=torch.float64) + torch.rand(3, generator=rng, dtype=torch.float64)
    point = torch.cat((target + torch.rand(3, generator=rng, dtype=torch.float64) - 0.5, target.new_ones(1)))
    cameras, points = [], []
    for v in range(views):
        turn, tilt = arc * (v / (views - 1) - 0.5 + uniform(rng, -0.1, 0.1)), arc * uniform(rng, -0.2, 0.2)
        ahead = torch.tensor([-math.sin(turn) * math.cos(tilt), -math.sin(tilt), math.cos(turn) * math.cos(tilt)],
                             dtype=torch.float64)
        right = torch.tensor([math.cos(turn), 0.0, math.sin(turn)], dtype=torch.float64)
        axes = torch.stack((right, torch.linalg.cross(ahead, right), ahead))
        position = target - uniform(rng, *distance) * ahead
        f = uniform(rng, *focal)
        inner = torch.tensor([[f, 0, 319.5], [0, f, 239.5], [0, 0, 1]], dtype=torch.float64)
        if f == 1:  # no pixels: x / z and y / z
            inner = torch.eye(3, dtype=torch.float64)
        camera = inner @ torch.cat((axes, -(axes @ position)[:, None]), 1)
        seen = camera @ point
        points.append(seen[:2] / seen[2] + noise * torch.randn(2, generator=rng, dtype=torch.float64))
        camera[:, :3] /= unit
        cameras.append(camera * scale ** (((-1) ** v) * uniform(rng, 0.6, 1.0)) if scale != 1 else camera)
    return torch.stack(points), torch.stack(cameras)


def _one_bad(rng):
    """One of four views is off by some 60 px."""
    points, cameras = _draw(rng, 4)
    points[int(torch.randint(4, (), generator=rng))] += torch.tensor([50.0, -35.0], dtype=points.dtype)
    return points, cameras


def _elsewhere(cameras, shift):
    """The cameras if the world's origin lies elsewhere: what was at X is at X + shift, and P (X, 1) stays."""
    return torch.cat((cameras[..., :3], cameras[..., 3:] - cameras[..., :3] @ shift[:, None]), -1)


def _near_the_origin(rng):
    """The point is 2 to 3 mm from the world's origin, some meters from the cameras."""
    points, cameras = _draw(rng, noise=0.0)
    way = torch.randn(3, generator=rng, dtype=torch.float64)
    new = uniform(rng, 0.002, 0.003) * way / way.norm()
    return points, _elsewhere(cameras, new - triangulate(points, cameras))


SHIFT = (30.0, -20.0, 60.0)


def _moved(rng):
    points, cameras = _draw(rng, 3, noise=4.0)
    return (points, cameras), (points, _elsewhere(cameras, torch.tensor(SHIFT, dtype=points.dtype)))


def _moves_along(a, b):
    return bool(torch.allclose(b - a, torch.tensor(SHIFT, dtype=a.dtype), atol=1e-4))


def _fixed(rng):
    left = torch.eye(3, 4, dtype=torch.float64)
    left[2, 3] = 1
    right = left.clone()
    right[0, 3] = -1
    return torch.tensor([[0.25, 0.125], [-0.25, 0.125]], dtype=torch.float64), torch.stack((left, right))


Near = partial(Case, atol=1e-5)  # 1e-6 of |X|: up to 8 m

ROUNDED = See("cameras",
              "argmax rounds to cells of 4 px: 1.15 px on each axis, and 45.52 mm along the view", pixels="argmax")

PROBLEM = Problem(
    name="triangulate", points=2, minutes=20,
    reference=triangulate,
    own=("posebook.geometry.triangulate", "posebook.geometry.reprojection_gate",
         "posebook.geometry.views._linear_start",
         "posebook.geometry.views._refined", "posebook.geometry.views._fitted"),
    cases=(
        Near("cameras at (0, 0, -1) and (1, 0, -1) see (0.25, 0.125) and (-0.25, 0.125): (0.5, 0.25, 1)", _fixed,
             fixed=True),
        Near("two cameras, exact points", lambda rng: _draw(rng, noise=0.0)),
        Near("two cameras, noisy points", _draw, weight=2),
        Near("three cameras, noisy points", lambda rng: _draw(rng, 3), weight=2),
        Near("eight cameras all round, noisy points", lambda rng: _draw(rng, 8, arc=5.0)),
        Near("a narrow baseline, and noise", lambda rng: _draw(rng, arc=0.1, distance=(2.5, 3.5))),
        Near("two cameras less than a centimeter apart, exact points, six times: float64 is needed",
             lambda rng: tuple(_draw(rng, arc=0.002, noise=0.0, distance=(3.0, 3.0)) for _ in range(6)),
             holds=lambda *found: len(found) == 6),
        Case("the point is 2 to 3 mm from the world's origin, and right to 1e-6 of that", _near_the_origin, atol=3e-9),
        Near("two cameras of unequal scale: one matrix is multiplied by a large number, the other one by a small one",
             lambda rng: _draw(rng, noise=4.0, scale=10.0)),
        Near("three cameras of unequal scale", lambda rng: _draw(rng, 3, noise=4.0, scale=3.0), weight=2),
        Near("a near, a middle and a far camera", lambda rng: _draw(rng, 3, distance=(1.5, 9.0))),
        Near("lenses of unlike focal length", lambda rng: _draw(rng, 3, focal=(300.0, 3000.0))),
        Near("points without pixels, x / z and y / z, and noise", lambda rng: _draw(rng, 3, noise=0.004, focal=(1, 1))),
        Case("lengths in millimeters, and noise", lambda rng: _draw(rng, 3, unit=1000.0), atol=1e-2),
        Near("one of four views is off by 60 px: it counts as the others do", _one_bad),
        Case("the world's origin moved: X moves along", _moved, atol=1e-4, holds=_moves_along),
    ),
    mistakes=(
        Mistake("The smallest singular vector, divided by its last element: it holds the length of Z at 1, and noise "
                "makes that another minimum. Here the last element of Z is 1.",
                _solve("z = torch.linalg.svd(rows).Vh[-1]\n    return z[:3] / z[3]")),
        Mistake("The smallest singular vector is not divided by its last element; and it is not the minimum with Z = "
                "(X, 1).", _solve("return torch.linalg.svd(rows).Vh[-1, :3]")),
        Mistake("The last column of `Vh` is taken: the singular vectors are its rows, as `Vh` is V transposed; and "
                "the smallest is not the minimum with Z = (X, 1).",
                _solve("z = torch.linalg.svd(rows).Vh[:, -1]\n    return z[:3] / z[3]")),
        Mistake("Rows are scaled to length 1, and the smallest singular vector is taken: want the residuals as they "
                "are, and Z = (X, 1).",
                _solve("z = torch.linalg.svd(rows / rows.norm(dim=1, keepdim=True)).Vh[-1]\n    return z[:3] / z[3]")),
        Mistake("Rows are scaled to length 1: that changes what counts how much. The residuals are wanted as they are.",
                edited(triangulate, {STACK: f"torch.nn.functional.normalize({STACK}, dim=1)"})),
        Mistake("The rows of a are scaled to length 1: that changes what counts how much. The residuals are wanted as "
                "they are.", _solve("n = a.norm(dim=1)\n    return torch.linalg.lstsq(a / n[:, None], b / n)"
                                    ".solution")),
        *(Mistake("The residuals are divided by the depth P3 . Z of an earlier solution, once or until nothing "
                  "changes: want those with it as a factor.", _by_depth(times)) for times in (1, 30)),
        Mistake("This is the smallest sum of squared distances in px: each residual is one of these times P3 . Z, "
                "which is linear in X.", _least_pixels),
        Mistake("This is the point nearest to the rays, in space: want the smallest residuals.", _nearest_to_rays),
        Mistake("This is the point of the first ray that is nearest to the second: want the smallest residuals of "
                "all views.", _first_ray),
        Mistake("The third equation of the cross product, x P2 - y P1, is in the sum as well: it has two for each "
                "view.", _rows("torch.cat((x * p3 - p1, y * p3 - p2, x * p2 - y * p1))")),
        Mistake("The smallest singular vector is taken, and the third equation of the cross product, x P2 - y P1, is "
                "in the sum as well: want two for each view, and Z = (X, 1).", edited(triangulate, {
                    STACK: "torch.cat((x * p3 - p1, y * p3 - p2, x * p2 - y * p1))",
                    f"return {SOLVE}": "z = torch.linalg.svd(rows).Vh[-1]\n    return z[:3] / z[3]"})),
        Mistake("Cameras are scaled so that the third row, without its last element, has length 1: their scale counts, "
                "take them as given.", _scaled(lambda p: p[:, 2, :3].norm(dim=1))),
        Mistake("Cameras are divided by their last element: their scale counts, take them as given.",
                _scaled(lambda p: p[:, 2, 3])),
        Mistake("Cameras are scaled to length 1: their scale counts, take them as given.",
                _scaled(lambda p: p.flatten(1).norm(dim=1))),
        Mistake("Only the first two views are used: all of them count.",
                changed(triangulate, points=lambda points: points[:2], cameras=lambda cameras: cameras[:2])),
        Mistake("Only the first and the last view are used: all of them count.",
                changed(triangulate, points=lambda points: points[[0, -1]], cameras=lambda cameras: cameras[[0, -1]])),
        Mistake("The solutions of all pairs of views are averaged: want one solution of all residuals together.",
                _pairs(partial(combinations, r=2))),
        Mistake("The solutions of neighboring views are averaged: want one solution of all residuals together.",
                _pairs(lambda views: zip(views, views[1:], strict=False))),
        Mistake("The solutions of the first view with each other one are averaged: want one solution of all residuals "
                "together.", _pairs(lambda views: [(0, v) for v in views[1:]])),
        Mistake("This is the median of the solutions of all pairs of views: want one solution of all residuals "
                "together.", _pairs(partial(combinations, r=2), lambda found: found.quantile(0.5, dim=0))),
        Mistake("The worst view is left out: all of them count, also a bad one.", _without_the_worst),
        Mistake("Only as many equations are used as there are unknowns, three: all 2 V count.",
                _solve("return torch.linalg.solve(a[:3], b[:3])")),
        Mistake("Only as many equations are used as there are unknowns, three of the first two views: all 2 V count.",
                edited(triangulate, {STACK: "torch.stack((x * p3 - p1, y * p3 - p2), 1).flatten(0, 1)[:3]"})),
        Mistake("Only x counts: with y there are two residuals for each view.", _rows("x * p3 - p1")),
        Mistake("Only y counts: with x there are two residuals for each view.", _rows("y * p3 - p2")),
        Mistake("Both residuals of a view are added before they are squared: each has its own square.",
                _rows("x * p3 - p1 + y * p3 - p2")),
        Mistake("The sign is wrong: the last column is brought to the other side, so that it changes its sign.",
                edited(triangulate, {"-rows": "rows"})),
        Mistake("x P3 and P1 are added: the residual is their difference, 0 where the point fits.",
                _rows("torch.cat((x * p3 + p1, y * p3 + p2))")),
        Mistake("The products are exchanged, x P1 - P3: it is x that stands beside P3, as x = P1 . Z / P3 . Z.",
                _rows("torch.cat((x * p1 - p3, y * p2 - p3))")),
        Mistake("x and y are exchanged: x belongs to the first row of a camera, y to the second.",
                edited(triangulate, {"p1, p2, p3 =": "p2, p1, p3 ="})),
        Mistake("A camera is cut along its columns: P1, P2 and P3 are its rows, `cameras[:, 0]` and so on.",
                changed(triangulate, cameras=lambda cameras: torch.cat((
                    cameras[..., :3].mT, cameras[..., 3:]), -1))),
        Mistake("The first axis is cut, as if there were three cameras and each a row: `cameras[:, 0]` holds all P1.",
                edited(triangulate, {"dim=1": "dim=0"})),
        Mistake("The last column is left out: Z ends with a 1, so it is the constant part of each residual.",
                edited(triangulate, {"-rows[:, 3]": "0 * rows[:, 3]"})),
        Mistake("The inverse is damped, so the result is drawn toward the origin: no such term is in the sum.",
                _solve("return torch.linalg.solve(a.T @ a + torch.eye(3, dtype=a.dtype), a.T @ b)")),
        Mistake("This is Z = (X, 1): want X, its first three elements.",
                changed(triangulate, result=lambda out: torch.cat((out, out.new_ones(1))))),
        Mistake("The result has two axes: want one, `[:, 0]` takes the only column.",
                changed(triangulate, result=lambda out: out[:, None])),
        Mistake("The result has two axes: want one, `[0]` takes the only row.",
                changed(triangulate, result=lambda out: out[None])),
        Mistake("These are the places in the pictures where X is seen: want X itself.",
                changed(triangulate, result=lambda out, cameras: (
                    seen := cameras[..., :3] @ out + cameras[..., 3])[:, :2] / seen[:, 2:])),
        Mistake("x and y have the shape (V,), and the rows (V, 4): `points[:, :1]` keeps the axis along which a row is "
                "multiplied.", edited(triangulate, {"points[:, :1], points[:, 1:]": "points[:, 0], points[:, 1]"})),
        Mistake("The rows are float32, as `torch.zeros` makes them: give it `dtype=torch.float64`.",
                edited(triangulate, {STACK: f"{STACK}.float()", SOLVE: f"{SOLVE}.double()"})),
        Mistake("Part of it is computed in float32: float64 is wanted all the way.",
                changed(triangulate, points=lambda points: points.float(), cameras=lambda cameras: cameras.float(),
                        result=lambda out: out.double())),
        Mistake("The result is float32. It should have the dtype of `points`, float64.",
                changed(triangulate, result=lambda out: out.float())),
        Mistake("The points are rounded to whole px: they lie between pixels as well.",
                changed(triangulate, points=lambda points: points.round()), see=ROUNDED),
    ),
    alternatives=(_by_normal_equations, _by_svd, _by_eigenvectors, _with_four_unknowns, _by_numpy, _by_qr),
    clauses={
        "points are (x, y), in this order": "x and y are exchanged",
        "three rows, P1, P2 and P3": "A camera is cut along its columns",
        "With Z = (X, 1)": "The smallest singular vector, divided",
        "x\\,(P_3 \\cdot Z) - P_1 \\cdot Z": "The products are exchanged",
        "the X that makes": "This is Z = (X, 1)",
        "the sum of the squares of these 2 V residuals": "The third equation of the cross product",
        "each camera as it is given": "Cameras are scaled to length 1",
        "each residual as it stands": "Rows are scaled to length 1: that",
        "Two cameras or more": "Only the first two views are used",
        "is noisy": "The points are rounded to whole px",
        "All is float64": "Part of it is computed in float32",
    },
)
