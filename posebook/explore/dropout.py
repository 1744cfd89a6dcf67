"""The dropout explorer: answers of a network whose dropout stays on, how far they scatter, and what they claim of OKS.

**Task.** Find out what sets the spread of Monte Carlo dropout, and what that spread knows of the error.

1. Move *error* from 0 to 24. What happens to the spread of the answers, and what to OKS?

>>> for error in (0.0, 9.0, 24.0):
...     result = compute(State(error=error))
...     print(f"error {error:g} px: v = {result.variance:.2f} px², expected OKS {result.expected['closed']:.2f}, "
...           f"OKS {result.oks:.2f}")
error 0 px: v = 9.00 px², expected OKS 0.94, OKS 1.00
error 9 px: v = 9.00 px², expected OKS 0.94, OKS 0.75
error 24 px: v = 9.00 px², expected OKS 0.94, OKS 0.13

   To the spread nothing: the cloud moves as it is. OKS falls from 1 to 0.13, and the expected OKS stays at 0.94.

2. What spread can you make with *p*? What do *weights* of 2 do? Which *p* claims the real error of 9 px?

>>> for p, weights in ((0.1, 1.0), (0.5, 1.0), (0.9, 1.0), (0.2, 2.0), (0.53, 1.0)):
...     v = compute(State(p=p, weights=weights)).variance
...     print(f"p {p}, weights times {weights:g}: v = {v:.1f} px², claimed error {math.sqrt(2 * v):.1f} px")
p 0.1, weights times 1: v = 4.0 px², claimed error 2.8 px
p 0.5, weights times 1: v = 36.0 px², claimed error 8.5 px
p 0.9, weights times 1: v = 324.0 px², claimed error 25.5 px
p 0.2, weights times 2: v = 36.0 px², claimed error 8.5 px
p 0.53, weights times 1: v = 40.6 px², claimed error 9.0 px

   Any. v is p / (1 - p) times the sum of w² x², and weights of 2 make it four times as large. The claimed error, the
   root of the mean squared distance, is sqrt(2 v): p = 0.53 claims 9 px. But you chose it because you knew the error;
   the network did not.

3. Move *draw* at *T* = 10, then at 51, 201 and 500. How far from its closed form is the variance on x? And with
   *p* = 0.01?

>>> for p, T in ((0.2, 10), (0.2, 51), (0.2, 201), (0.2, 500), (0.01, 51)):
...     every = [compute(State(p=p, samples=T, draw=draw)) for draw in range(1, DRAWS + 1)]
...     shares = sorted(result.covariance[0][0] / result.variance for result in every)
...     print(f"p = {p}, T = {T}: {shares[0]:.2f} to {shares[-1]:.2f}, by the law plus or minus {every[0].std:.2f}")
p = 0.2, T = 10: 0.43 to 1.94, by the law plus or minus 0.47
p = 0.2, T = 51: 0.66 to 1.21, by the law plus or minus 0.20
p = 0.2, T = 201: 0.90 to 1.10, by the law plus or minus 0.10
p = 0.2, T = 500: 0.92 to 1.09, by the law plus or minus 0.06
p = 0.01, T = 51: 0.51 to 1.94, by the law plus or minus 0.36

   Ten answers say from half of it to twice as much, 201 are off by some 10 %: half as far off takes four times the
   answers. T does not change what is estimated, only how well. At p = 0.01 most masks drop no unit or one; a variance
   made by a few rare masks is harder to estimate.

4. Without touching the cloud, move *size* from 24 to 320. What happens to the expected OKS? Then set *size* to 48 and
   *weights* to 0.5. Why is the expected OKS that of the start?

>>> for size, weights in ((24.0, 1.0), (96.0, 1.0), (320.0, 1.0), (48.0, 0.5)):
...     result = compute(State(size=size, weights=weights))
...     v, kappa = result.variance, result.kappa
...     print(f"v = {v:.2f} px², kappa {kappa:.1f} px: v / kappa² = {v / kappa**2:.3f}, "
...           f"expected OKS {result.expected['closed']:.2f}")
v = 9.00 px², kappa 3.0 px: v / kappa² = 1.016, expected OKS 0.50
v = 9.00 px², kappa 11.9 px: v / kappa² = 0.064, expected OKS 0.94
v = 9.00 px², kappa 39.7 px: v / kappa² = 0.006, expected OKS 0.99
v = 2.25 px², kappa 6.0 px: v / kappa² = 0.064, expected OKS 0.94

   The same 9 px² are an expected OKS of 0.50 on a small person and 0.99 on a large one. It is kappa² / (kappa² + v):
   half the spread on half the person gives the same v / kappa², and the same OKS.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import theory
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.skeleton import COCO_17
from posebook.uncertainty import sample_moments

UNITS = 64  # inputs of the last layer, which dropout drops
REACH = 6.0  # px: root of sum w^2 x^2 on each axis at weights of 1, so that v is 36 px^2 where p / (1 - p) is 1
K = 2 * COCO_17.oks_sigmas[COCO_17.names.index("left_wrist")]  # kappa = K sqrt(area)
SAMPLES = (2, 3, 4, 5, 7, 10, 14, 20, 30, 40, 51, 70, 100, 140, 201, 300, 500)
DRAWS = 8
AWAY = 0.8, -0.6  # the way from the true keypoint to the answer, to the right and up
LEVELS = 0.95, 0.75, 0.5  # OKS of the contours
MARKED = tuple(sorted({*SAMPLES, *(round(2 * 250 ** (k / 40)) for k in range(41))}))  # T at which curves are drawn

CLOSED = "square", _page.ORANGE
SAMPLED = "circle", _page.BLUE
TRUE = "diamond", _page.INK


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: the chance to be dropped, the number of answers, a factor of all weights, distance of
    the network's answer from the true keypoint in px, root of the person's area in px, and which masks are drawn.
    """

    p: float = number(0.2, 0.01, 0.9, step=0.01)
    samples: int = choice(30, SAMPLES, slider=True, label="T")
    weights: float = number(1.0, 0.25, 2, step=0.05)
    error: float = number(9.0, 0, 24, step=0.5)
    size: float = number(96.0, 24, 320, step=4)
    draw: int = choice(1, tuple(range(1, DRAWS + 1)), slider=True)


@dataclass(frozen=True)
class Result:
    """What follows from a state. Places in px, with the true keypoint at (0, 0)."""

    state: State
    kappa: float  # px
    variance: float  # v in px squared on each axis, in closed form
    answer: tuple[float, float]  # of the network without dropout
    points: Tensor  # (T, 2)
    mean: tuple[float, float]  # of the points
    covariance: tuple[tuple[float, float], ...]  # of the points
    std: float  # of the points' variance on x, relative, by the law
    band: tuple[float, ...]  # the same for each T of MARKED
    courses: tuple[tuple[float, ...], ...]  # of each draw the variance on x over v, for each T of MARKED
    expected: dict[str, float]  # OKS if errors were as claimed, in closed form and by the samples
    oks: float  # of the answer


def compute(state: State) -> Result:
    """Scale what the masks leave of the layer's terms, and compare its moments with the closed forms."""
    w, x = layer()
    w = w * state.weights
    variance = theory.dropout_moments(w, x, state.p).variance[0].item()
    kurtosis = theory.dropout_kurtosis(w[0], x, state.p).item()
    off, courses = _drawn(state.p)
    answer = tuple(state.error * way for way in AWAY)
    points = state.weights * off[state.draw - 1, : state.samples] + off.new_tensor(answer)
    mean, covariance = sample_moments(points)
    kappa = K * state.size
    claims = {"closed": variance * torch.eye(2, dtype=torch.float64), "sampled": covariance}
    return Result(
        state=state,
        kappa=kappa,
        variance=variance,
        answer=answer,
        points=points,
        mean=tuple(mean.tolist()),
        covariance=tuple(map(tuple, covariance.tolist())),
        std=theory.sample_variance_std(state.samples, kurtosis=kurtosis),
        band=tuple(theory.sample_variance_std(n, kurtosis=kurtosis) for n in MARKED),
        courses=courses,
        expected={name: theory.expected_oks(kappa, claim).item() for name, claim in claims.items()},
        oks=math.exp(-((state.error / kappa) ** 2) / 2),
    )


@functools.cache
def layer() -> tuple[Tensor, Tensor]:
    """Weights (2, UNITS) in px and inputs (UNITS,): the terms w x of both axes are as large, and orthogonal."""
    draw = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, UNITS, generator=draw, dtype=torch.float64)
    other = other - (one @ other) / (one @ one) * one
    x = 0.5 + torch.rand(UNITS, generator=draw, dtype=torch.float64)
    return torch.stack([REACH * terms / terms.norm() / x for terms in (one, other)]), x


@functools.cache
def _chances() -> Tensor:
    """A unit is dropped where its chance is below p: the same for every p, so that a cloud grows without jumping."""
    return torch.rand(DRAWS, SAMPLES[-1], UNITS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@functools.lru_cache(16)
def _drawn(p: float) -> tuple[Tensor, tuple]:
    """What each mask adds to the answer at weights of 1, (DRAWS, T, 2) px; of each draw the variance on x over v."""
    w, x = layer()
    terms, at = (w * x).T, torch.tensor(MARKED)
    off = (_chances() >= p).double() @ terms / (1 - p) - terms.sum(0)
    across = off[..., 0].contiguous()
    first, second = across.cumsum(1)[:, at - 1], across.square().cumsum(1)[:, at - 1]
    variances = ((second - first.square() / at) / (at - 1)).clamp(min=0)
    closed = theory.dropout_moments(w[0], x, p).variance
    return off, tuple(map(tuple, (variances / closed).tolist()))


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s, (across, down) = result.state, result.covariance
    return (f"Dropout p = {s.p:.2f} on {UNITS} units, weights times {s.weights:.2f}, draw {s.draw}: the variance of "
            f"{s.samples} answers is {across[0]:.2f} px² on x and {down[1]:.2f} px² on y. "
            f"Size {s.size:.0f} px, kappa {result.kappa:.2f} px. {verdict(result)}")


def verdict(result: Result) -> str:
    """What the samples say, and what they claim of OKS."""
    return f"{_sampled(result)} {_claimed(result)}"


def _sampled(result: Result) -> str:
    s, share = result.state, round(100 * (result.covariance[0][0] / result.variance - 1))
    more = f"{abs(share)} % {'more' if share > 0 else 'less'} on x" if share else "the same on x, to 1 %"
    return (f"v = p / (1 - p) times {(REACH * s.weights) ** 2:.2f} = {_page.figure(result.variance)} px² on each axis. "
            f"The {s.samples} answers say {more}; such an estimate has a standard deviation of "
            f"{100 * result.std:.0f} %.")


def _claimed(result: Result) -> str:
    ratio = _page.figure(result.variance / result.kappa**2)
    rms, error = math.sqrt(2 * result.variance), result.state.error
    return (f"With Gaussian errors like that OKS would be {result.expected['closed']:.2f} on average, as v / kappa² = "
            f"{ratio}. The real error, {error:.1f} px, is {_page.figure(error / rms)} times the claimed {rms:.1f} px; "
            f"its OKS is {result.oks:.2f}.")


def table(result: Result) -> str:
    """Squared px on both axes and OKS; its shapes are the panels' legend."""
    (xx, _), (_, yy) = result.covariance
    v, (x, y) = result.variance, result.answer
    rows = [
        (_page.legend(*CLOSED, "closed form"), *map(_page.figure, (v, v)), f"{result.expected['closed']:.2f} expected"),
        (_page.legend(*SAMPLED, f"{result.state.samples} answers"), *map(_page.figure, (xx, yy)),
         f"{result.expected['sampled']:.2f} expected"),
        (_page.legend(*TRUE, "real error, squared"), *map(_page.figure, (x * x, y * y)), f"{result.oks:.2f}"),
    ]
    return _page.table(("variance", "x in px²", "y in px²", "OKS"), rows)


def view(result: Result) -> _page.View:
    """The cloud over contours of OKS; the estimate against T, and OKS against v / kappa^2."""
    s = result.state
    picture = _page.window(1, 24, _WIDE, _HIGH, (-_WIDE / 2, -_HIGH / 2, _WIDE, _HIGH), *_picture(result))
    panels = (
        _page.panel(f"{s.samples} answers for one wrist; {_WIDE // _PX} x {_HIGH // _PX} px", _WIDE + 2, 350, picture),
        _page.panel("variance on x over its closed form, for T answers", 390, 350, _axes(), _funnel(result),
                    _curve(result)),
    )
    note = (
        "Diamond: the true keypoint; square: the network's answer without dropout; dots: its answers with it. Green: "
        f"where an answer has OKS {', '.join(map(str, LEVELS))}; dashed: kappa away, OKS 0.61. Orange circle: one "
        "standard deviation in closed form; blue ellipse: by the answers. At the right, black: the chosen one of "
        f"{DRAWS} draws; gray: the others; orange: one standard deviation more and less. Below: the expected OKS, and "
        "that of the network's answer."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


_PX = 6  # of the picture for one px of the image
_WIDE, _HIGH = 68 * _PX, 53 * _PX


def _picture(result: Result) -> list[str]:
    """Contours, cloud, circle and ellipse, and three marks."""
    parts = []
    for level in LEVELS:
        r = _PX * result.kappa * math.sqrt(-2 * math.log(level))
        parts.append(_page.tag("circle", cx=0, cy=0, r=r, fill="none", stroke=_page.GREEN, data_name=f"OKS {level}"))
    parts.append(_page.tag("circle", cx=0, cy=0, r=_PX * result.kappa, fill="none", stroke=_page.GREEN, stroke_width=2,
                           stroke_dasharray="6 4", data_name="kappa"))
    dots = "".join([f"M{_PX * x:.0f} {_PX * y:.0f}h0" for x, y in result.points.tolist()])
    parts.append(_page.tag("path", d=dots, stroke=_page.BLUE, stroke_opacity=0.45, stroke_width=4,
                           stroke_linecap="round", data_name="answers"))
    x, y = (_PX * value for value in result.answer)
    parts.append(_page.tag("circle", cx=x, cy=y, r=_PX * math.sqrt(result.variance), fill="none", stroke=CLOSED[1],
                           stroke_width=2.5, data_name="closed form"))
    parts.append(_ellipse(result))
    parts.append(_page.mark(*TRUE, 0, 0, name="true"))
    parts.append(_page.mark(*CLOSED, x, y, scale=0.8, name="answer"))
    parts.append(_page.mark(*SAMPLED, *(_PX * value for value in result.mean), scale=0.8, name="mean"))
    return parts


def _ellipse(result: Result) -> str:
    """One standard deviation of the answers; of two answers it is a line."""
    (a, b), (_, c) = result.covariance
    middle, half = (a + c) / 2, math.hypot((a - c) / 2, b)
    rx, ry = (_PX * math.sqrt(max(value, 0.0)) for value in (middle + half, middle - half))
    turn = math.degrees(math.atan2(2 * b, a - c)) / 2
    x, y = (_PX * value for value in result.mean)
    return _page.tag("ellipse", rx=max(rx, 0.05), ry=max(ry, 0.05), fill="none", stroke=SAMPLED[1], stroke_width=2.5,
                     transform=f"translate({x:.2f} {y:.2f}) rotate({turn:.3f})", data_name="ellipse")


_FUNNEL = _page.Plot((30, 24, 358, 142), x=(1.8, 640.0), y=(-0.1, 2.5), log="x")  # T, variance over v
_CURVE = _page.Plot((30, 224, 358, 92), x=(5e-6, 500.0), y=(-0.12, 1.12), log="x")  # v / kappa^2, OKS


@functools.cache
def _axes() -> str:
    """The same for every state."""
    decades = {2.0: "2", 10.0: "10", 51.0: "51", 201.0: "201", 500.0: "500"}
    ratios = {1e-4: "0.0001", 0.01: "0.01", 1.0: "1", 100.0: "100"}
    places = [10 ** (k / 10) for k in range(-53, 27)]
    return "".join([
        _FUNNEL.axes(decades, {0.0: "0", 1.0: "1", 2.0: "2"}, "T answers"),
        _page.words("OKS: expected, and of the network's answer", 1, 214, color=_page.INK),
        _CURVE.axes(ratios, {0.0: "0", 0.5: "0.5", 1.0: "1"}, "v / kappa²"),
        _CURVE.curve([(ratio, 1 / (1 + ratio)) for ratio in places], _page.GRAY),
    ])


def _funnel(result: Result) -> str:
    """Estimates for each T, and how far off they are by the law."""
    s, plot, chosen = result.state, _FUNNEL, result.courses[result.state.draw - 1]
    edges = [plot.at(n, 1 + std) for n, std in zip(MARKED, result.band, strict=True)]
    edges += reversed([plot.at(n, 1 - std) for n, std in zip(MARKED, result.band, strict=True)])
    band = "M" + "L".join([f"{x:.1f} {y:.1f}" for x, y in edges]) + "z"
    x, y = plot.at(s.samples, chosen[MARKED.index(s.samples)])
    others = (k for k in range(1, DRAWS + 1) if k != s.draw)
    return plot.framed(
        _page.tag("path", d=band, fill=CLOSED[1], fill_opacity=0.25, data_name="band"),
        *(_line(result, k, "#8c959f", 0.8) for k in others),
        _line(result, s.draw, _page.INK, 2),
        _page.tag("line", x1=x, x2=x, y1=24, y2=166, stroke=_page.INK, stroke_dasharray="2 3"),
        _page.mark(*SAMPLED, x, y, name="estimate"),
    )


@functools.cache
def _across() -> tuple[str, ...]:
    """Places of each T of MARKED."""
    return tuple(f"{_FUNNEL.at(n, 0)[0]:.0f}" for n in MARKED)


def _line(result: Result, draw: int, color: str, width: float) -> str:
    """The course of a draw; what is above the frame goes to 0 and is cut off."""
    zero, one = (_FUNNEL.at(2, y)[1] for y in (0, 1))
    places = zip(_across(), result.courses[draw - 1], strict=True)
    points = " ".join([f"{x},{max(zero + (one - zero) * value, 0):.1f}" for x, value in places])
    return _page.tag("polyline", points=points, fill="none", stroke=color, stroke_width=width, data_name=f"draw {draw}")


def _curve(result: Result) -> str:
    """Expected OKS in closed form and by the samples, and the OKS that there is."""
    unit, ((xx, _), (_, yy)) = result.kappa**2, result.covariance
    ratio = result.variance / unit
    x, _ = _CURVE.at(ratio, 0)
    return _CURVE.framed(
        _page.tag("line", x1=x, x2=x, y1=224, y2=316, stroke=_page.INK, stroke_dasharray="2 3"),
        _page.mark(*SAMPLED, *_CURVE.at((xx + yy) / 2 / unit, result.expected["sampled"]), name="by answers"),
        _page.mark(*CLOSED, *_CURVE.at(ratio, result.expected["closed"]), scale=0.8, name="by closed form"),
        _page.mark(*TRUE, x, _CURVE.at(ratio, result.oks)[1], scale=0.9, name="own"),
    )


CHALLENGES = (
    Challenge(
        "Make the network sure and wrong: expected OKS above {}, real OKS below {}.",
        more(0.95, lambda result: result.expected["closed"]), less(0.2, lambda result: result.oks),
    ),
    Challenge(
        "Let as many as {samples} answers have a variance on x that misses its closed form by more than {} of that.",
        more(0.2, lambda result: abs(result.covariance[0][0] / result.variance - 1)), samples=201,
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
