"""refine_dark: its reference, cases and known mistakes."""

import torch
from torch.nn import functional

from posebook._links import See
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


def _gaussian(rng, *batch, tilt=0.0, dtype=torch.float64, low=(3.0, 2.0), span=4.0):
    """Gaussian bumps with centers anywhere well inside 9 x 11 cells, or within a span of the lowest x and y."""
    center = torch.tensor(low, dtype=dtype) + span * torch.rand(*batch, 2, generator=rng, dtype=dtype)
    x = torch.arange(11, dtype=dtype) - center[..., 0, None]
    y = torch.arange(9, dtype=dtype) - center[..., 1, None]
    cross = x[..., None, :] * y[..., :, None]
    return torch.exp(-(0.25 * x[..., None, :] ** 2 + 0.35 * y[..., :, None] ** 2 + 2 * tilt * cross) / 2)


def _bumpy(rng):
    """Smooth positive maps that are not Gaussian."""
    base = _gaussian(rng, 2, 3)
    return base * (1 + 0.2 * torch.rand(base.shape, generator=rng, dtype=base.dtype))


def _at(rng, window, low):
    """Three maps with the given 3 x 3 logarithms anywhere in them, the last one mirrored along a diagonal."""
    heatmap = torch.full((3, 8, 8), low, dtype=torch.float64)
    for one in heatmap:
        row, column = (int(torch.randint(1, 7, (), generator=rng)) for _ in range(2))
        one[row - 1:row + 2, column - 1:column + 2] = torch.tensor(window, dtype=torch.float64).exp()
    heatmap[2] = heatmap[2].T.clone()
    return (heatmap,)


def _edge(rng):
    heatmap = 0.1 + 0.5 * torch.rand(4, 6, 7, generator=rng, dtype=torch.float64)
    rows, columns = (torch.randint(1, n - 1, (2,), generator=rng).tolist() for n in (6, 7))
    heatmap[0, 0, columns[0]] = heatmap[1, 5, columns[1]] = heatmap[2, rows[0], 0] = heatmap[3, rows[1], 6] = 2.0
    return (heatmap,)


def _next_to_the_edge(rng):
    """Peaks in the second and the last but one row and column."""
    y, x = torch.arange(6.0, dtype=torch.float64)[:, None], torch.arange(7.0, dtype=torch.float64)
    shift = 0.8 * torch.rand(4, 2, 1, 1, generator=rng, dtype=torch.float64) - 0.4
    places = shift + torch.tensor([[3.0, 1.0], [3.0, 4.0], [1.0, 2.0], [5.0, 3.0]])[..., None, None]
    return (torch.exp(-((x - places[:, 0]) ** 2 / 3 + (y - places[:, 1]) ** 2 / 2)),)


def _around_the_peak(rng, place, value):
    """A Gaussian in which one neighbor of the peak has another value."""
    heatmap = _gaussian(rng)
    row, column = divmod(int(heatmap.argmax()), 11)
    dy, dx = place
    heatmap[row + dy, column + dx] = value
    return (heatmap,)


def _not_positive(rng, value):
    """A corner and a straight neighbor of the peak."""
    corner = ((-1, -1), (-1, 1), (1, -1), (1, 1))[int(torch.randint(0, 4, (), generator=rng))]
    straight = ((-1, 0), (1, 0), (0, -1), (0, 1))[int(torch.randint(0, 4, (), generator=rng))]
    maps = [_around_the_peak(rng, place, value)[0] for place in (corner, straight)]
    return (torch.stack(maps),)


def _zero_far_away(rng):
    heatmap = _gaussian(rng)
    row, column = divmod(int(heatmap.argmax()), 11)
    far = torch.ones(9, 11, dtype=torch.bool)
    far[row - 1:row + 2, column - 1:column + 2] = False
    return (torch.where(far, -0.1 * torch.rand(9, 11, generator=rng, dtype=torch.float64), heatmap),)


def _all_negative(rng):
    return (_gaussian(rng, 3) - 2,)


def _far_step(rng):
    """A ridge so long that the Newton step leaves the 3 x 3 window."""
    t = uniform(rng, 0.0, 0.01)
    return _at(rng, [[-1.49, -0.06, -0.19 - t], [-0.58, 0.0, -0.17], [-0.21, -0.50 + t, -1.07]], low=0.1)


def _saddle(rng):
    """Highest in the middle, but the diagonal differences outweigh the straight ones."""
    t = uniform(rng, 0.0, 0.02)
    return _at(rng, [[-0.02, -0.10 - t, -1.5], [-0.12, 0.0, -0.08 - t], [-1.4, -0.07, -0.03]], low=0.1)


def _tie(rng):
    """Two equal peaks: the first by rows is the last by columns."""
    one = _gaussian(rng, low=(2.0, 5.6), span=1.4)
    return (torch.maximum(one, one.flip((-1, -2))),)


def _quarter(heatmap):
    h, w = heatmap.shape[-2:]
    out = []
    for one in heatmap.reshape(-1, h, w):
        y, x = divmod(int(one.argmax()), w)
        dx = torch.sign(one[y, x + 1] - one[y, x - 1]) if 0 < x < w - 1 else 0
        dy = torch.sign(one[y + 1, x] - one[y - 1, x]) if 0 < y < h - 1 else 0
        out.append((x + dx / 4, y + dy / 4))
    return torch.tensor(out, dtype=heatmap.dtype).reshape(*heatmap.shape[:-2], 2)


def _blurred(heatmap):
    kernel = torch.tensor([0.05, 0.9, 0.05], dtype=heatmap.dtype)
    maps = heatmap.reshape(-1, 1, *heatmap.shape[-2:])
    maps = functional.conv2d(maps, kernel.view(1, 1, 1, 3), padding=(0, 1))
    return refine_dark(functional.conv2d(maps, kernel.view(1, 1, 3, 1), padding=(1, 0)).reshape(heatmap.shape))


SECOND = "z[1, 2] - 2 * z[1, 1] + z[1, 0], z[2, 1] - 2 * z[1, 1] + z[0, 1]"

QUARTER = See("decoding",
              "the diamond, a quarter of a cell toward the higher neighbor, is 1.12 px off; the triangle, DARK, 0.00")
BORDER = See("decoding", "the peak is in the first column: DARK stays on its cell, as argmax does, 3.44 px off", x=2.0)

PROBLEM = Problem(
    name="refine_dark", points=3, minutes=25,
    reference=refine_dark,
    own=("posebook.decode.refine_dark", "posebook.decode.refine_udp", "posebook.decode._newton"),
    cases=(
        Case("exact on a Gaussian", lambda rng: (_gaussian(rng),), atol=1e-9),
        Case("exact on a tilted Gaussian", lambda rng: (_gaussian(rng, tilt=0.12),), atol=1e-6),
        Case("leading axes stay: 2 x 3 maps give (2, 3, 2)", lambda rng: (_bumpy(rng),), atol=1e-6),
        Case("float32 stays float32", lambda rng: (_gaussian(rng, 4, dtype=torch.float32),), atol=1e-3),
        Case("a peak in the first or last row or column stays", _edge, atol=1e-6, weight=2),
        Case("a peak in the second or last but one row or column is refined", _next_to_the_edge, atol=1e-6),
        Case("a window with a negative value: the peak stays", lambda rng: _not_positive(rng, -0.1), atol=1e-6),
        Case("a window with a value of 0: the peak stays", lambda rng: _not_positive(rng, 0.0), atol=1e-6),
        Case("a window with a tiny positive value: the peak is refined with it",
             lambda rng: _around_the_peak(rng, (0, 1), 10 ** uniform(rng, -14, -13)), atol=1e-6),
        Case("values that are not positive elsewhere do no harm", _zero_far_away, atol=1e-6, weight=2),
        Case("a map of negative values: the peak stays", _all_negative, atol=1e-6),
        Case("a step longer than 1 cell is cut to 1", _far_step, atol=1e-6),
        Case("a Hessian that is not negative definite: the peak stays", _saddle, atol=1e-6),
        Case("of equal peaks the lowest flat index", _tie, atol=1e-6),
    ),
    mistakes=(
        Mistake("The logarithm is missing: a Newton step is exact on a parabola: the log of a Gaussian is one, the "
                "Gaussian is not.", edited(refine_dark, {"window.log()": "window"})),
        Mistake("The mixed derivative is missing: on a tilted peak x and y do not part.",
                edited(refine_dark, {"b = (z": "b = 0 * (z"})),
        *(Mistake("The second differences are divided: they have unit spacing, left - 2 * middle + right.",
                  edited(refine_dark, {"det = a * c": f"a, c = a / {n}, c / {n}\n            det = a * c"}))
          for n in (2, 4)),
        Mistake("The second differences reach over four cells, as the gradient of a gradient does: they have unit "
                "spacing, left - 2 * middle + right.",
                edited(refine_dark, {
                    SECOND: "(torch.gradient(torch.gradient(one.log(), dim=d)[0], dim=d)[0][y, x] for d in (1, 0))"})),
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
        Mistake("A Hessian that is not negative definite has no peak to step to: leave the cell where it is "
                "unless a c - b^2 > 0.",
                edited(refine_dark, {"if det > 0": "if True"})),
        Mistake("A peak on the border has no neighbor on one side, and none may be invented: leave it unrefined.",
                changed(refine_dark, heatmap=lambda heatmap: functional.pad(heatmap, (1, 1, 1, 1), value=1e-3),
                        result=lambda out: out - 1), see=BORDER),
        Mistake("You count on four axes, or another fixed number: `...` stands for any number of leading axes, none "
                "included. `heatmap.shape[-2:]` and `flatten(-2)` do not care.",
                edited(refine_dark, {"h, w = heatmap.shape[-2:]": "b, k, h, w = heatmap.shape"})),
        *(Mistake("A peak next to the border is left alone: only in the first or last row or column it has no window.",
                  edited(refine_dark, {"window.shape == (3, 3)": f"window.shape == (3, 3) and {inside}"}))
          for inside in ("1 < x < w - 2 and 1 < y < h - 2", "x > 1 and y > 1", "x < w - 2 and y < h - 2")),
        *(Mistake("A value that is not positive is replaced, by a small one for instance: leave the peak where it is.",
                  edited(refine_dark, {"(window > 0).all()": f"(window > {least}).any()",
                                       "window.log()": f"window.clamp(min={least}).log()"}))
          for least in (1e-6, 1e-10, 1e-12)),
        *(Mistake("A number is added before the logarithm: it flattens the peak. Leave the window as it is.",
                  edited(refine_dark, {"(window > 0).all()": f"(window > {-more}).all()",
                                       "window.log()": f"(window + {more}).log()"})) for more in (1e-10, 1e-6, 1e-3)),
        Mistake("A window with a value of 0 is refined: its logarithm is minus infinity. All nine values must be "
                "above 0.",
                edited(refine_dark, {"window > 0": "window >= 0"})),
        Mistake("Small values count as not positive: only 0 and less do.",
                edited(refine_dark, {"window > 0": "window > 1e-8"})),
        Mistake("The whole map is asked to be positive: only the 3 x 3 window of the peak counts.",
                edited(refine_dark, {"(window > 0)": "(one > 0)"})),
        Mistake("The step is cut at another length: each axis to [-1, 1].",
                edited(refine_dark, {"clamp(-1, 1)": "clamp(-0.5, 0.5)"})),
        Mistake("The step is shortened as a whole: cut each axis by itself to [-1, 1].",
                edited(refine_dark, {").clamp(-1, 1)": ") / max(1.0, (torch.stack((c * gx - b * gy, a * gy - b * gx))"
                                                       " / det).norm().item())"})),
        Mistake("A step longer than 1 is dropped: cut each axis of it to [-1, 1].",
                edited(refine_dark, {"if det > 0": "if det > max(0, abs(c * gx - b * gy), abs(a * gy - b * gx))"})),
        Mistake("A Hessian that is not negative definite is refined without its mixed part: leave the peak alone.",
                edited(refine_dark, {"det = a * c - b**2": "b = b if a * c > b**2 else 0 * b\n"
                                                           "            det = a * c - b**2"})),
        Mistake("The first differences are taken forward: central ones go from left to right neighbor, over two cells.",
                edited(refine_dark, {"(z[1, 2] - z[1, 0]) / 2": "z[1, 2] - z[1, 1]",
                                     "(z[2, 1] - z[0, 1]) / 2": "z[2, 1] - z[1, 1]"})),
        Mistake("This is a step of the gradient alone: multiply it by the inverse Hessian.",
                edited(refine_dark, {"(c * gx - b * gy, a * gy - b * gx)) / det": "(-gx, -gy))"})),
        Mistake("This is a quarter of a cell toward the higher neighbor: a Newton step is asked for.", _quarter,
                see=QUARTER),
        Mistake("The heatmap is blurred first: the statement wants it as it is.", _blurred),
        Mistake("Of equal peaks the last one wins, or that in the first column: the lowest flat index is in the first "
                "row.",
                changed(refine_dark, heatmap=lambda heatmap: heatmap.flip((-1, -2)),
                        result=lambda out, heatmap: torch.tensor(heatmap.shape[:-3:-1], dtype=out.dtype) - 1 - out)),
        Mistake("Part of it is computed in float32: the dtype of `heatmap` is wanted all the way.",
                changed(refine_dark, heatmap=lambda heatmap: heatmap.float(),
                        result=lambda out, heatmap: out.to(heatmap.dtype))),
        Mistake("The flat index is taken apart with the height: a row is W cells long.",
                edited(refine_dark, {"one.argmax()), w)": "one.argmax()), h)"})),
        Mistake("The result is always float32. It should have the dtype of `heatmap`.",
                changed(refine_dark, result=lambda out: out.float())),
        Mistake("The result is always float64. It should have the dtype of `heatmap`.",
                changed(refine_dark, result=lambda out: out.double())),
    ),
    alternatives=(_in_one_go, _by_pseudo_inverse),
    clauses={
        "The peak (x, y) in cells": "x and y are swapped",
        "the highest cell, and of equal ones that with the lowest flat index":
            "Of equal peaks the last one wins",
        "plus one Newton step": "The step goes the wrong way",
        "on the logarithm $L$ of the heatmap": "The logarithm is missing",
        "without any blur": "The heatmap is blurred first",
        "central differences": "The first differences are taken forward",
        "first differences are halved": "The first differences are not halved",
        "second differences have unit spacing": "The second differences are divided",
        "have unit spacing": "The second differences reach over four cells",
        "the mixed one is divided by 4":
            "The mixed difference is divided by 4: two cells in x times two cells in y. You do not",
        "the full 2 x 2 Hessian": "The mixed derivative is missing",
        "each axis of the step is cut to [-1, 1]": "The step is not clamped",
        "by itself": "The step is shortened as a whole",
        "the peak lies in the first or last row or column": "A peak on the border",
        "anywhere else it is refined": "A peak next to the border",
        "a value of its 3 x 3 window is 0 or negative": "A value that is not positive is replaced",
        "0 or negative": "A window with a value of 0",
        "other values of the map do not matter": "The whole map is asked",
        "the Hessian is not negative definite": "A Hessian that is not negative definite has no peak",
        "determinant <= 0": "A Hessian that is not negative definite has no peak",
        "tensors share one dtype, float32 or float64, and the result keeps it": "The result is always float32",
        "`...` stands for any number of leading axes, none included": "You count on four axes",
    },
)
