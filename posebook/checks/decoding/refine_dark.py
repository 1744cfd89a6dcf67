"""refine_dark: its reference, cases and known mistakes."""

import torch
from torch.nn import functional

from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def refine_dark(heatmap):
    """Argmax plus one clamped Newton step on the log of the heatmap, in cells: (..., 2)."""
    h, w = heatmap.shape[-2:]
    out = []
    for one in heatmap.reshape(-1, h, w):
        y, x = divmod(int(one.argmax()), w)
        cell = torch.tensor([x, y], dtype=heatmap.dtype)
        window = one[max(y - 1, 0):y + 2, max(x - 1, 0):x + 2]
        if window.shape == (3, 3) and (window > 0).all():
            z = window.log()
            gx, gy = (z[1, 2] - z[1, 0]) / 2, (z[2, 1] - z[0, 1]) / 2
            a, c = z[1, 2] - 2 * z[1, 1] + z[1, 0], z[2, 1] - 2 * z[1, 1] + z[0, 1]
            b = (z[2, 2] - z[2, 0] - z[0, 2] + z[0, 0]) / 4
            det = a * c - b**2
            if det > 0:
                cell = cell - (torch.stack((c * gx - b * gy, a * gy - b * gx)) / det).clamp(-1, 1)
        out.append(cell)
    return torch.stack(out).reshape(*heatmap.shape[:-2], 2)


def _in_one_go(heatmap):
    h, w = heatmap.shape[-2:]
    index = heatmap.flatten(-2).argmax(-1)
    x, y = index % w, index // w
    inside = (x > 0) & (x < w - 1) & (y > 0) & (y < h - 1)
    near = torch.arange(-1, 2)
    where = (y.clamp(1, h - 2)[..., None, None] + near[:, None]) * w + x.clamp(1, w - 2)[..., None, None] + near
    window = heatmap.flatten(-2).gather(-1, where.flatten(-2)).unflatten(-1, (3, 3))
    good = inside & (window > 0).all(-1).all(-1)
    z = torch.where(good[..., None, None], window, 1.0).log()
    gradient = torch.stack((z[..., 1, 2] - z[..., 1, 0], z[..., 2, 1] - z[..., 0, 1]), -1) / 2
    dxx, dyy = z[..., 1, 2] - 2 * z[..., 1, 1] + z[..., 1, 0], z[..., 2, 1] - 2 * z[..., 1, 1] + z[..., 0, 1]
    dxy = (z[..., 2, 2] - z[..., 2, 0] - z[..., 0, 2] + z[..., 0, 0]) / 4
    hessian = torch.stack((dxx, dxy, dxy, dyy), -1).unflatten(-1, (2, 2))
    good = good & (torch.linalg.det(hessian) > 0)
    hessian = torch.where(good[..., None, None], hessian, -torch.eye(2, dtype=heatmap.dtype))
    step = -torch.linalg.solve(hessian, gradient[..., None])[..., 0]
    return torch.stack((x, y), -1).to(heatmap.dtype) + torch.where(good[..., None], step.clamp(-1, 1), 0.0)


def _by_pseudo_inverse(heatmap):
    """The Newton step from a matrix inverse, map by map."""
    h, w = heatmap.shape[-2:]
    out = []
    for one in heatmap.reshape(-1, h, w):
        y, x = divmod(int(one.argmax()), w)
        point = torch.tensor([x, y], dtype=heatmap.dtype)
        if 0 < x < w - 1 and 0 < y < h - 1 and one[y - 1:y + 2, x - 1:x + 2].min() > 0:
            z = one.clamp(min=1e-300 if one.dtype == torch.float64 else 1e-38).log()
            dx, dy = (z[y, x + 1] - z[y, x - 1]) / 2, (z[y + 1, x] - z[y - 1, x]) / 2
            a, c = z[y, x + 1] - 2 * z[y, x] + z[y, x - 1], z[y + 1, x] - 2 * z[y, x] + z[y - 1, x]
            b = (z[y + 1, x + 1] - z[y + 1, x - 1] - z[y - 1, x + 1] + z[y - 1, x - 1]) / 4
            matrix = torch.tensor([[a, b], [b, c]], dtype=heatmap.dtype)
            if torch.linalg.eigvalsh(matrix).max() < 0:
                point = point - (torch.linalg.pinv(matrix) @ torch.stack((dx, dy))).clamp(-1, 1)
        out.append(point)
    return torch.stack(out).reshape(*heatmap.shape[:-2], 2)


def _gaussian(rng, *batch, tilt=0.0, dtype=torch.float64):
    """Gaussian bumps with centers anywhere well inside 9 x 11 cells."""
    center = torch.tensor([3.0, 2.0], dtype=dtype) + 4 * torch.rand(*batch, 2, generator=rng, dtype=dtype)
    x = torch.arange(11, dtype=dtype) - center[..., 0, None]
    y = torch.arange(9, dtype=dtype) - center[..., 1, None]
    cross = x[..., None, :] * y[..., :, None]
    return torch.exp(-(0.25 * x[..., None, :] ** 2 + 0.35 * y[..., :, None] ** 2 + 2 * tilt * cross) / 2)


def _bumpy(rng):
    """Smooth positive maps that are not Gaussian."""
    base = _gaussian(rng, 2, 3)
    return base * (1 + 0.2 * torch.rand(base.shape, generator=rng, dtype=base.dtype))


def _at(window, h=7, w=8, row=2, column=3, low=0.01):
    """A map with the given 3 x 3 logarithms around (row, column)."""
    heatmap = torch.full((h, w), low, dtype=torch.float64)
    heatmap[row - 1:row + 2, column - 1:column + 2] = torch.tensor(window, dtype=torch.float64).exp()
    return heatmap


def _edge(rng):
    heatmap = 0.1 + 0.5 * torch.rand(4, 6, 7, generator=rng, dtype=torch.float64)
    heatmap[0, 0, 3] = heatmap[1, 5, 2] = heatmap[2, 3, 0] = heatmap[3, 2, 6] = 2.0
    return (heatmap,)


def _not_positive(rng):
    heatmap = _gaussian(rng)
    index = int(heatmap.argmax())
    y, x = index // 11, index % 11
    heatmap[y - 1, x + 1] = -0.1
    return (heatmap,)


def _far_step(rng):
    """A ridge so long that the Newton step leaves the 3 x 3 window."""
    t = uniform(rng, 0.0, 0.01)
    return (_at([[-1.49, -0.06, -0.19 - t], [-0.58, 0.0, -0.17], [-0.21, -0.50 + t, -1.07]], low=0.1),)


def _saddle(rng):
    """Highest in the middle, but the diagonal differences outweigh the straight ones."""
    t = uniform(rng, 0.0, 0.02)
    return (_at([[-0.02, -0.10 - t, -1.5], [-0.12, 0.0, -0.08 - t], [-1.4, -0.07, -0.03]], low=0.1),)


def _tie(rng):
    one = _gaussian(rng)
    return (torch.maximum(one, one.flip((-1, -2))),)


PROBLEM = Problem(
    name="refine_dark", points=3, minutes=25,
    reference=refine_dark,
    own=("posebook.decode.refine_dark", "posebook.decode._newton"),
    cases=(
        Case("exact on a Gaussian", lambda rng: (_gaussian(rng),), atol=1e-6),
        Case("exact on a tilted Gaussian", lambda rng: (_gaussian(rng, tilt=0.12),), atol=1e-6),
        Case("leading axes stay: 2 x 3 maps give (2, 3, 2)", lambda rng: (_bumpy(rng),), atol=1e-6),
        Case("float32 stays float32", lambda rng: (_gaussian(rng, 4, dtype=torch.float32),), atol=1e-3),
        Case("a peak in the first or last row or column stays", _edge, atol=1e-6),
        Case("a window with a value that is not positive: the peak stays", _not_positive, atol=1e-6),
        Case("a step longer than 1 cell is cut to 1", _far_step, atol=1e-6),
        Case("a Hessian that is not negative definite: the peak stays", _saddle, atol=1e-6),
        Case("of equal peaks the lowest flat index", _tie, atol=1e-6),
    ),
    mistakes=(
        Mistake("The logarithm is missing: a Newton step is exact on a parabola: the log of a Gaussian is one, the "
                "Gaussian is not.", edited(refine_dark, {"window.log()": "window"})),
        Mistake("The mixed derivative is missing: on a tilted peak x and y do not part.",
                edited(refine_dark, {"b = (z": "b = 0 * (z"})),
        Mistake("The first differences are not halved: from left to right neighbor is two cells.",
                edited(refine_dark, {"z[1, 0]) / 2": "z[1, 0])", "z[0, 1]) / 2": "z[0, 1])"})),
        Mistake("The mixed difference is divided by 4: two cells in x times two cells in y. You divide by 2.",
                edited(refine_dark, {"/ 4": "/ 2"})),
        Mistake("The mixed difference is divided by 4: two cells in x times two cells in y. You do not divide.",
                edited(refine_dark, {" / 4": ""})),
        Mistake("The step goes the wrong way: it is minus the inverse Hessian times the gradient.",
                edited(refine_dark, {"cell - (": "cell + ("})),
        Mistake("The step's x and y are swapped: x runs along the last axis of the heatmap.",
                edited(refine_dark, {"c * gx - b * gy, a * gy - b * gx": "a * gy - b * gx, c * gx - b * gy"})),
        Mistake("x and y are swapped: the last axis of `heatmap` is x, and x comes first in the result.",
                changed(refine_dark, result=lambda out: out.flip(-1))),
        Mistake("The step is not clamped: each axis of it to [-1, 1].", edited(refine_dark, {".clamp(-1, 1)": ""})),
        Mistake("A Hessian that is not negative definite has no peak to step to: leave the cell where it is.",
                edited(refine_dark, {"if det > 0": "if True"})),
        Mistake("A peak on the border has no neighbor on one side, and none may be invented: leave it unrefined.",
                changed(refine_dark, heatmap=lambda heatmap: functional.pad(heatmap, (1, 1, 1, 1), value=1e-3),
                        result=lambda out: out - 1)),
    ),
    alternatives=(_in_one_go, _by_pseudo_inverse),
)
