"""paf_score: its reference, cases and known mistakes."""

import math
from functools import partial

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def paf_score(paf, a, b, samples):
    """How well the field points from a to b: the mean of its component along the limb."""
    h, w = paf.shape[-2:]
    length = (b - a).norm()
    if length == 0:
        return paf.new_zeros(())
    unit = (b - a) / length
    share = torch.linspace(0, 1, samples, dtype=paf.dtype)[:, None]
    x, y = ((1 - share) * a + share * b).T  # (samples,) each, in cells
    left, top = x.floor().clamp(0, w - 2).long(), y.floor().clamp(0, h - 2).long()
    u, v = x - left, y - top
    upper = (1 - u) * paf[:, top, left] + u * paf[:, top, left + 1]  # (2, samples)
    lower = (1 - u) * paf[:, top + 1, left] + u * paf[:, top + 1, left + 1]
    field = (1 - v) * upper + v * lower
    return (unit @ field).mean()


def _by_grid_sample(paf, a, b, samples):
    if torch.equal(a, b):
        return 0 * paf.sum()
    size = torch.tensor([paf.shape[2] - 1, paf.shape[1] - 1], dtype=paf.dtype)
    places = torch.stack([a + k / (samples - 1) * (b - a) for k in range(samples)])
    field = torch.nn.functional.grid_sample(paf[None], (2 * places / size - 1)[None, None], align_corners=True,
                                            padding_mode="border")[0, :, 0]
    return torch.nn.functional.cosine_similarity(field.mean(1), b - a, dim=0) * field.mean(1).norm()


def _by_loops(paf, a, b, samples):
    (ax, ay), (bx, by) = a.tolist(), b.tolist()
    length = math.hypot(bx - ax, by - ay)
    if length == 0:
        return torch.tensor(0.0, dtype=paf.dtype)
    _, h, w = paf.shape
    total = 0.0
    for k in range(samples):
        x, y = ax + (bx - ax) * k / (samples - 1), ay + (by - ay) * k / (samples - 1)
        for row in range(h):
            for column in range(w):
                weight = max(0.0, 1 - abs(x - column)) * max(0.0, 1 - abs(y - row))
                if weight > 0:
                    vx, vy = paf[:, row, column].tolist()
                    total += weight * (vx * (bx - ax) + vy * (by - ay)) / length
    return torch.tensor(total / samples, dtype=paf.dtype)


def _by_tents(paf, a, b, samples):
    """The weights of all cells at all samples, as a product of tents along x and y."""
    xy = torch.lerp(a, b, torch.linspace(0, 1, samples, dtype=paf.dtype)[:, None])
    across = (1 - (xy[:, :1] - torch.arange(paf.shape[2])).abs()).clamp(min=0)
    down = (1 - (xy[:, 1:] - torch.arange(paf.shape[1])).abs()).clamp(min=0)
    mean = torch.einsum("chw,sh,sw->c", paf, down, across) / samples
    return mean @ (b - a) / (b - a).norm().clamp(min=1e-9)


PLACES = "((1 - share) * a + share * b).T"
SHARE = "torch.linspace(0, 1, samples, dtype=paf.dtype)[:, None]"
RESULT = "(unit @ field).mean()"
UNIT = "(b - a) / length"


def _edit(old, new):
    return edited(paf_score, {old: new})


def _last(paf):
    return torch.tensor([paf.shape[2] - 1, paf.shape[1] - 1], dtype=paf.dtype)


def _stretch(paf):
    """Cells for each of those that `grid_sample` takes them for, without align_corners."""
    return (_last(paf) + 1) / _last(paf)


def _nearest(paf, a, b, samples, cell=torch.round):
    """The field at the cell that is nearest, or below."""
    if torch.equal(a, b):
        return paf.new_zeros(())
    share = torch.linspace(0, 1, samples, dtype=paf.dtype)[:, None]
    x, y = cell((1 - share) * a + share * b).long().T
    return ((b - a) / (b - a).norm() @ paf[:, y, x]).mean()


def _draw(rng, h=8, w=11, samples=10, *, least=3.0, dtype=torch.float32):
    """A rough field and two points in it, ``least`` cells apart or more."""
    paf = torch.randn(2, h, w, generator=rng, dtype=dtype)
    while True:
        a, b = (torch.rand(2, generator=rng, dtype=dtype) * torch.tensor([w - 1, h - 1], dtype=dtype) for _ in range(2))
        if (a - b).norm() >= least:
            return paf, a, b, samples


def _limb(rng):
    """A field that points along the limb within 1.5 cells of it and is 0 elsewhere, and the limb from end to end."""
    _, a, b, samples = _draw(rng, 12, 12, least=5.0)
    unit = (b - a) / (b - a).norm()
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    aside = (x - a[0]) * unit[1] - (y - a[1]) * unit[0]
    return uniform(rng, 0.3, 0.9) * unit[:, None, None] * (aside.abs() <= 1.5), a, b, samples


def _corners(rng):
    """From the last cell's center to a point on the first row or column: nothing lies beyond."""
    paf, _, _, samples = _draw(rng)
    place = 1 + 4 * torch.rand(2, generator=rng)
    place[int(torch.randint(0, 2, (), generator=rng))] = 0.0
    return paf, torch.tensor([10.0, 7.0]), place, samples


def _along_edges(rng):
    """Along the last row."""
    paf, _, _, samples = _draw(rng)
    x = 4 * torch.rand(2, generator=rng) + torch.tensor([0.0, 6.0])
    return paf, torch.tensor([x[0], 7.0]), torch.tensor([x[1], 7.0]), samples


def _same(rng):
    paf, a, _, samples = _draw(rng)
    return paf, a, a.clone(), samples


def _both_ways(rng):
    paf, a, b, samples = _draw(rng)
    return (paf, a, b, samples), (paf, b, a, samples)


def _across(rng):
    """A million across the limb is nothing along it, but for what float32 makes of it."""
    paf, a, b, samples = _draw(rng, dtype=torch.float64)
    unit = (b - a) / (b - a).norm()
    return paf + 1e6 * torch.stack((-unit[1], unit[0]))[:, None, None], a, b, samples


def _opposite(forth, back):
    return bool((forth + back).abs() < 1e-4)


Near = partial(Case, atol=1e-5, rtol=1e-5)

ENDS = See("limbs", "by two samples, the ends, wrong pairs score 0.892; move samples to 10", samples=2)
SCORE = See("limbs",
            "limbs that are 15.7 cells long, read at 10 places, score 0.972: neither makes a score larger than 1")

PROBLEM = Problem(
    name="paf_score", points=3, minutes=20,
    reference=paf_score,
    own=("posebook.grouping.paf_scores",),
    cases=(
        Near("a field of (0.5, 0) everywhere, from (1, 2) to (5, 2): 0.5",
             lambda rng: (torch.tensor([0.5, 0.0]).view(2, 1, 1).repeat(1, 5, 7), torch.tensor([1.0, 2.0]),
                          torch.tensor([5.0, 2.0]), 5), fixed=True),
        Near("a rough field, any two points", _draw, weight=2),
        Near("a field as high as wide, so that shapes do not tell the axes apart", lambda rng: _draw(rng, 9, 9)),
        Near("a field drawn along the limb", _limb),
        Near("two samples: the ends", lambda rng: _draw(rng, samples=2)),
        Near("three samples: the ends and the middle", lambda rng: _draw(rng, samples=3)),
        Near("40 samples", lambda rng: _draw(rng, samples=40)),
        Near("a limb of half a cell to a cell", lambda rng: next(
            drawn for drawn in iter(lambda: _draw(rng, 2, 3, least=0.5), None) if (drawn[1] - drawn[2]).norm() < 1)),
        Near("from the center of the last cell", _corners),
        Near("along the last row", _along_edges),
        Near("a field of 2 x 2 cells", lambda rng: _draw(rng, 2, 2, least=0.6)),
        Near("a equals b: 0", _same, fixed=True),
        Near("from b to a: minus as much", _both_ways, holds=_opposite),
        Near("float64, and a strong field across the limb", _across),
    ),
    mistakes=(
        Mistake("The field is read at the nearest cell: it is interpolated between the four around the place.",
                _nearest),
        Mistake("The field is read at the cell below, as `int`, `long` and `//` do: it is interpolated between the "
                "four around the place.", changed(_nearest, cell=torch.floor)),
        Mistake("The last sample is missing, the one at b: both ends belong to the samples.",
                _edit(SHARE, "(torch.arange(samples) / samples).to(paf.dtype)[:, None]")),
        Mistake("The first sample is missing, the one at a: both ends belong to the samples.",
                _edit(SHARE, "(torch.arange(1, samples + 1) / samples).to(paf.dtype)[:, None]")),
        Mistake("The samples lie in the middles of equal parts: both ends belong to them.",
                _edit(SHARE, "((torch.arange(samples) + 0.5) / samples).to(paf.dtype)[:, None]")),
        Mistake("Neither end belongs to your samples: both do.",
                _edit(SHARE, "torch.linspace(0, 1, samples + 2, dtype=paf.dtype)[1:-1, None]")),
        Mistake("There is one sample too many: `samples` counts both ends.",
                changed(paf_score, samples=lambda samples: samples + 1)),
        Mistake("The number of samples is always 10: use `samples`.", changed(paf_score, samples=10), see=ENDS),
        Mistake("The vector from a to b is not made a unit vector: long limbs would score higher.",
                _edit(UNIT, "b - a"), see=SCORE),
        Mistake("The dot products are added up: take their mean.", _edit(".mean()", ".sum()"), see=SCORE),
        Mistake("This is the median of the dot products: take their mean.", _edit(".mean()", ".median()")),
        Mistake("The ends count half, as in a trapezoidal rule: all samples count alike.",
                _edit(RESULT, "torch.trapezoid(unit @ field) / (samples - 1)")),
        Mistake("x and y are swapped where the field is read: y is the row, `paf[:, y, x]`.",
                _edit(f"x, y = {PLACES}", f"y, x = {PLACES}")),
        Mistake("The field's channels are swapped: channel 0 is x, channel 1 is y.",
                changed(paf_score, paf=lambda paf: paf.flip(0))),
        Mistake("The field is compared with the vector from b to a: a limb has a direction.",
                _edit(UNIT, "(a - b) / length")),
        Mistake("The sign is lost: a field that points the other way speaks against the limb.",
                changed(paf_score, result=lambda out: out.abs())),
        Mistake("The sign is lost: a field that points the other way speaks against the limb.",
                _edit(RESULT, "(unit @ field).abs().mean()")),
        Mistake("Negative dot products are set to 0: they speak against the limb, and count.",
                _edit(RESULT, "(unit @ field).clamp(min=0).mean()")),
        Mistake("This is the share of samples above a threshold, which OpenPose asks for as well: want the mean.",
                _edit(RESULT, "(unit @ field > 0.05).to(paf.dtype).mean()")),
        Mistake("The field's vectors are made unit vectors as well: their length says how sure the network is.",
                _edit(RESULT, "(unit @ (field / field.norm(dim=0))).mean()")),
        Mistake("The mean length of the field is returned: only what points along the limb counts.",
                _edit(RESULT, "field.norm(dim=0).mean()")),
        Mistake("Only the place in the middle is looked at: another limb may cross there. Take all samples.",
                _edit(SHARE, "torch.full((samples, 1), 0.5, dtype=paf.dtype)")),
        Mistake("Only the two ends are looked at: what lies between them is what tells two people apart.",
                changed(paf_score, samples=2), see=ENDS),
        Mistake("Only x takes part: the dot product has two terms.", _edit(RESULT, "(unit[0] * field[0]).mean()")),
        Mistake("The places are scaled as if the edges of the map were at -1 and 1, as `grid_sample` does by itself: "
                "want `align_corners=True` for places in cells.",
                changed(paf_score, a=lambda a, paf: (a * _stretch(paf) - 0.5).clamp(min=0).minimum(_last(paf)),
                        b=lambda b, paf: (b * _stretch(paf) - 0.5).clamp(min=0).minimum(_last(paf)))),
        Mistake("Half a cell is added to the places: whole numbers are the centers of cells.",
                edited(paf_score, {PLACES: f"({PLACES[:-2]} + 0.5).minimum(_last(paf)).T"})),
        Mistake("The weights of the interpolation are exchanged: the nearer cell has the larger one.",
                edited(paf_score, {"u, v = x - left, y - top": "u, v = left + 1 - x, top + 1 - y"})),
        Mistake("Between rows nothing is interpolated: it is along both axes.",
                edited(paf_score, {"(1 - v) * upper + v * lower": "upper"})),
        Mistake("Between columns nothing is interpolated: it is along both axes.",
                edited(paf_score, {"u, v = x - left": "u, v = 0 * x"})),
        Mistake("On the last row or column the cell beyond it is read, which is not there: what is its weight, and "
                "which cell may stand in?", edited(paf_score, {".clamp(0, w - 2)": "", ".clamp(0, h - 2)": ""})),
        Mistake("On the last row or column the field is taken for 0: it is there, and so is its value.",
                edited(paf_score, {"field = ": "field = ((x < w - 1) & (y < h - 1)) * (", "v * lower": "v * lower)"})),
        Mistake("Where a equals b you divide 0 by 0: the statement says what the result is.",
                _edit("length == 0", "False")),
        Mistake("Where a equals b the field's length is returned: it is 0.",
                _edit("paf.new_zeros(())", "paf.mean((1, 2)).norm()")),
        Mistake("The result has an axis: want a tensor without axes.",
                changed(paf_score, result=lambda out: out[None])),
        Mistake("Part of it is computed in float32: the dtype of `paf` is wanted all the way.",
                changed(paf_score, paf=lambda paf: paf.float(), a=lambda a: a.float(), b=lambda b: b.float(),
                        result=lambda out, paf: out.to(paf.dtype))),
        Mistake("The result is always float32. It should have the dtype of `paf`.",
                changed(paf_score, result=lambda out: out.float())),
    ),
    alternatives=(_by_grid_sample, _by_loops, _by_tents),
    clauses={
        "the mean over": "The dot products are added up",
        "`samples` places": "There is one sample too many",
        "evenly spaced from a to b": "Only the place in the middle",
        "ends included": "The last sample is missing",
        "dot product of the field": "The mean length of the field",
        "interpolated bilinearly": "The field is read at the nearest cell",
        "unit vector": "The vector from a to b is not made a unit vector",
        "from a to b, its sign included": "The field is compared with the vector from b to a",
        "channel 0 is its x and channel 1 its y": "The field's channels are swapped",
        "0 <= x <= W - 1": "On the last row or column the cell beyond",
        "Where a equals b the result is 0": "Where a equals b you divide",
        "a tensor without axes": "The result has an axis",
        "points are (x, y), in this order": "x and y are swapped",
        "tensors share one floating dtype, float32 or float64, and the result keeps it": "The result is always float32",
    },
)
