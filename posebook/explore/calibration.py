"""The calibration explorer: people, the error that a network claims for each, and the errors that it makes.

**Task.** Find out when the claimed variance goes with OKS, and what one factor can mend.

1. Where it starts, the claims have nothing to do with the errors. Move *related* to 1. What happens to Spearman's
   correlation, what to the histogram of v?

>>> ways = [compute(State(related=related)) for related in (0.0, 0.25, 0.5, 0.75, 1.0)]
>>> [f"{result.spearman:.2f}" for result in ways], len({tuple(counts(result.claimed)) for result in ways})
(['0.01', '-0.16', '-0.32', '-0.49', '-0.65'], 1)

   The correlation comes, and the histogram stays: it is one and the same. Nobody who sees the variances alone can tell
   whether they mean something; it takes the errors.

2. Set *keypoints* to 17, with *related* at 1 and at 0. Are the claims better now?

>>> for related in (1.0, 0.0):
...     results = [compute(State(related=related, keypoints=n)) for n in (1, 4, 17)]
...     print(related, [f"{result.spearman:.2f}" for result in results])
1.0 ['-0.65', '-0.88', '-0.97']
0.0 ['0.01', '-0.02', '-0.04']
>>> [compute(State(related=1.0, keypoints=n)).held["as claimed"].ece < CHANCE[n] for n in (1, 4, 17)]
[True, True, True]

   No, they are the same. The mean over 17 keypoints has less luck in it, so that OKS follows the claim. Where there is
   nothing to follow, 17 keypoints change nothing.

3. Set *keypoints* to 1 and *related* to 1, and *factor* to 0.25, then to 4. What does that do to the correlation, to
   ECE, and to ECE after scaling? And with *related* at 0?

>>> for related, factor in ((1.0, 0.25), (1.0, 4.0), (0.0, 0.25), (0.0, 4.0)):
...     result = compute(State(related=related, factor=factor))
...     print(f"{related} {factor}: Spearman {result.spearman:.2f}, ECE", *map(_ece, result.held.values()))
1.0 0.25: Spearman -0.65, ECE 0.341 0.021 0.021
1.0 4.0: Spearman -0.65, ECE 0.321 0.021 0.021
0.0 0.25: Spearman 0.01, ECE 0.255 0.176 0.072
0.0 4.0: Spearman 0.01, ECE 0.246 0.176 0.072

   To the correlation nothing: ranks do not see a factor. Claims that are all too small, or all too large, are mended by
   one factor. Unrelated claims are not: right for half of the ellipses, they are still too large for some people and
   too small for others. Likelihood looks at those for whom they are much too small, and makes all of them large.

4. Set *factor* to 1, *related* to 1 and *spread* to 0.1; then *related* to 0. Do the claims pass? Do they go with OKS?

>>> for related in (1.0, 0.0):
...     result = compute(State(related=related, spread=0.1))
...     print(f"Spearman {result.spearman:.2f}. {_mended(result)}")
Spearman -0.10. Over all people the claims pass.
Spearman 0.00. Over all people the claims pass.

   They pass, and tell nobody from anybody: where all people are nearly alike, nothing is left to go with. A reliability
   curve on the diagonal and a correlation with OKS are two things. Look at both.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.uncertainty import expected_calibration_error, point_reliability, scale_variances

PEOPLE = 400
MOST = 17  # keypoints
MEDIAN = 0.25  # of the true v / kappa^2 of all people
LEVELS = 9  # of the reliability curve: 0.1, 0.2 ... 0.9
FIFTHS = 5
CHANCE = {1: 0.033, 4: 0.016, 17: 0.008}
"""By keypoints of each person the ECE that claims that hold exceed in one of twenty draws of people."""
RANKS = 0.1  # Spearman's correlation of as many unrelated pairs exceeds this, up or down, in one of twenty draws

CLAIMS = {
    "as claimed": ("square", _page.ORANGE),
    "likelihood": ("diamond", _page.BLUE),
    "median": ("triangle", _page.GREEN),
}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: correlation of the claimed log variance with the true one, keypoints of each person,
    the factor that all claims are too large by, and the standard deviation of the log variances.
    """

    related: float = number(0.0, 0, 1, step=0.05)
    keypoints: int = choice(1, tuple(CHANCE))
    factor: float = number(1.0, 0.1, 10, step=0.05, log=True)
    spread: float = number(1.0, 0.1, 1.5, step=0.05)


class Held(NamedTuple):
    """How well claims hold after they were multiplied by a factor."""

    factor: float
    observed: tuple[float, ...]  # at each level
    ece: float


@dataclass(frozen=True)
class Result:
    """What follows from a state. Variances are v / kappa^2."""

    state: State
    claimed: tuple[float, ...]  # of each person
    oks: tuple[float, ...]  # of each person
    spearman: float  # of both; any factor leaves it as it is
    fifths: tuple[tuple[float, float], ...]  # of people by what is claimed: geometric mean of it, and mean OKS
    held: dict[str, Held]  # by CLAIMS


def compute(state: State) -> Result:
    """Draw the errors of all people from their true variances, and judge the claims by them."""
    own, other, unit = _people()
    log_true = state.spread * (state.related * own + math.sqrt(1 - state.related**2) * other)
    error = (MEDIAN * log_true.exp()).sqrt()[:, None, None] * unit[:, : state.keypoints]  # (P, K, 2) in kappa
    claimed = state.factor * MEDIAN * (state.spread * own).exp()
    oks = (error.square().sum(-1) / -2).exp().mean(1)
    each = claimed[:, None].expand(error.shape[:2])
    factors = {"as claimed": 1.0} | {fit: scale_variances(error, each, fit=fit).item() for fit in list(CLAIMS)[1:]}
    order = claimed.argsort()
    groups = [(claimed[part].log().mean().exp().item(), oks[part].mean().item()) for part in order.chunk(FIFTHS)]
    return Result(
        state=state,
        claimed=tuple(claimed.tolist()),
        oks=tuple(oks.tolist()),
        spearman=_spearman(claimed, oks),
        fifths=tuple(groups),
        held={name: _held(error, each, factor) for name, factor in factors.items()},
    )


@functools.cache
def _people() -> tuple[Tensor, Tensor, Tensor]:
    """Two unrelated standard normal numbers of each person, and errors of unit variance, (PEOPLE, MOST, 2).

    The numbers are the quantiles, in random order: so a histogram is smooth.
    """
    draw = torch.Generator().manual_seed(0)
    quantiles = torch.special.ndtri((torch.arange(PEOPLE, dtype=torch.float64) + 0.5) / PEOPLE)
    own, other = (quantiles[torch.rand(PEOPLE, generator=draw, dtype=torch.float64).argsort()] for _ in range(2))
    return own, other, torch.randn(PEOPLE, MOST, 2, generator=draw, dtype=torch.float64)


def _spearman(a: Tensor, b: Tensor) -> float:
    """Correlation of the ranks; no two are equal."""
    a, b = (values.argsort().argsort().double() - (len(values) - 1) / 2 for values in (a, b))
    return ((a @ b) / (a @ a)).item()


def _held(error: Tensor, variance: Tensor, factor: float) -> Held:
    variance = factor * (1 + 1e-9) * variance  # the median's own ellipse holds it, not by round-off
    reliability = point_reliability(error, variance, levels=LEVELS)
    return Held(factor, tuple(reliability.observed.tolist()), expected_calibration_error(reliability).item())


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s, half = result.state, LEVELS // 2
    held = _percent(result.held["as claimed"].observed[half])
    return (f"{PEOPLE} people, {_keypoints(s)} each; claims related to the errors by {s.related:.2f}, {s.factor:.2f} "
            f"times as large, spread {s.spread:.2f}. Ellipses for 50 % hold {held}. {verdict(result)}")


def _keypoints(state: State) -> str:
    return f"{state.keypoints} keypoint{'s' if state.keypoints > 1 else ''}"


def verdict(result: Result) -> str:
    """Whether claims go with OKS, whether they hold, and what one factor does."""
    chance = ", no more than chance" if abs(result.spearman) <= RANKS else ""
    before, *fits = result.held.values()
    scaled = " or ".join(f"{_ece(held)} ({name}, times {held.factor:.2f})"
                         for name, held in zip(list(CLAIMS)[1:], fits, strict=True))
    return (f"Spearman of v / kappa² and OKS: {_plain(result.spearman)}{chance}, whatever the factor. ECE as claimed: "
            f"{_ece(before)}; scaled: {scaled}; by chance up to {CHANCE[result.state.keypoints]}. {_mended(result)}")


def _mended(result: Result) -> str:
    """What one factor does."""
    passed = [name for name, held in result.held.items() if held.ece <= CHANCE[result.state.keypoints]]
    fits = [name for name in passed if name != "as claimed"]
    if "as claimed" in passed:
        spoilt = ["both factors spoil" if not fits else f"the {name} factor spoils"
                  for name in list(CLAIMS)[1:] if name not in fits]
        return f"Over all people the claims pass{f'; {spoilt[0]} that' if spoilt else ''}."
    if len(fits) == 2:
        return "The claims fail, and one factor mends them."
    return f"The claims fail, and {f'only the {fits[0]} factor' if fits else 'neither factor'} mends them."


def _ece(held: Held) -> str:
    return f"{held.ece + 1e-9:.3f}"  # a half is rounded up, not by round-off


def _percent(share: float) -> str:
    return f"{100 * share + 1e-9:.0f} %"


def _plain(value: float) -> str:
    """Two decimals; no -0.00."""
    return f"{round(value, 2) + 0.0:.2f}"


def table(result: Result) -> str:
    """Claims as they are and scaled; its shapes are the panels' legend."""
    rows = [(_page.legend(*CLAIMS[name], name), f"{held.factor:.2f}", _ece(held),
             _percent(held.observed[LEVELS // 2]), _plain(result.spearman))
            for name, held in result.held.items()]
    return _page.table(("claims", "times", "ECE", "50 % hold", "Spearman"), rows)


def view(result: Result) -> _page.View:
    """OKS against what is claimed, the histogram of that, and the reliability curves."""
    left, right = f"OKS of {PEOPLE} people against the claimed v / kappa²", "how often the truth is in the ellipse"
    panels = (
        _page.panel(left, 410, 350, _axes(), _scatter(result), _histogram(result)),
        _page.panel(right, 390, 350, _diagonal(), _reliability(result)),
    )
    note = (
        "Gray: people. Black: mean OKS of each fifth by v. Dashed: kappa² / (kappa² + v), the expected OKS of claims "
        "that hold. Below: the histogram of v / kappa²; the control 'related' changes the errors, never the claims. "
        "Right: for each claimed probability how many ellipses hold the truth; below the diagonal claims are too sure, "
        "above it not sure enough. Likelihood and median are two ways to fit one factor. Claims pass if their ECE is "
        "within chance."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


_SCATTER = _page.Plot((30, 24, 376, 212), x=(1e-4, 1000.0), y=(-0.03, 1.03), log="x")  # v / kappa^2, OKS
_BINS = 35  # of a fifth of a decade
_HISTOGRAM = _page.Plot((30, 246, 376, 70), x=_SCATTER.x, y=(0.0, 1.05), log="x")  # v / kappa^2, people
_RELIABILITY = _page.Plot((36, 24, 350, 292), x=(0.0, 1.0), y=(0.0, 1.0), log="")  # claimed, observed


@functools.cache
def _axes() -> str:
    """The same for every state."""
    ratios = {1e-3: "0.001", 0.01: "0.01", 0.1: "0.1", 1.0: "1", 10.0: "10", 100.0: "100"}
    places = [10 ** (k / 10) for k in range(-40, 31)]
    levels = [_SCATTER.level(y) + _page.words(f"{y:g}", 24, _SCATTER.at(1, y)[1] + 4, anchor="end")
              for y in (0.0, 0.5, 1.0)]
    return "".join([
        *levels,
        _HISTOGRAM.axes(ratios, {}, "claimed v / kappa²"),
        _SCATTER.curve([(ratio, 1 / (1 + ratio)) for ratio in places], _page.GRAY, 1.5, stroke_dasharray="6 4"),
    ])


def _scatter(result: Result) -> str:
    """People, and the means of fifths."""
    (x, zero), (decade, one) = _SCATTER.at(1, 0), _SCATTER.at(10, 1)
    dots = "".join([f"M{x + (decade - x) * math.log10(v):.0f} {zero + (one - zero) * oks:.0f}h0"
                    for v, oks in zip(result.claimed, result.oks, strict=True)])
    return _SCATTER.framed(
        _page.tag("path", d=dots, stroke="#8c959f", stroke_width=4, stroke_opacity=0.6, stroke_linecap="round",
                  data_name="people"),
        _SCATTER.curve(result.fifths, _page.INK),
        *(_page.mark("circle", _page.INK, *_SCATTER.at(*pair), scale=0.8, name=f"fifth {k}")
          for k, pair in enumerate(result.fifths, 1)),
    )


def counts(claimed: tuple[float, ...]) -> list[int]:
    """How many people in each bin of the histogram."""
    low, high = map(math.log, _HISTOGRAM.x)
    counted = [0] * _BINS
    for value in claimed:
        counted[int((math.log(value) - low) / (high - low) * _BINS)] += 1
    return counted


def _histogram(result: Result) -> str:
    """As high as the frame where most people are."""
    counted = counts(result.claimed)
    left, _, width, _ = _HISTOGRAM.box
    bottom, most = _HISTOGRAM.at(1, 0)[1], max(counted)
    bars = "".join([f"M{left + k * width / _BINS:.1f} {bottom:.1f}V{_HISTOGRAM.at(1, n / most)[1]:.1f}"
                    f"h{width / _BINS:.2f}V{bottom:.1f}z" for k, n in enumerate(counted) if n])
    return _HISTOGRAM.framed(_page.tag("path", d=bars, fill="#8c959f", stroke=_page.PAPER, data_name="histogram"))


@functools.cache
def _diagonal() -> str:
    """The axes, and claims that hold."""
    ticks = {0.0: "0", 0.5: "0.5", 1.0: "1"}
    return _RELIABILITY.axes(ticks, ticks, "claimed probability") + _RELIABILITY.curve(
        [(0.0, 0.0), (1.0, 1.0)], _page.GRAY, 1.5, stroke_dasharray="6 4")


def _reliability(result: Result) -> str:
    """A curve for each way of scaling; as claimed on top."""
    parts = []
    for name, held in reversed(result.held.items()):
        pairs = [((k + 1) / (LEVELS + 1), share) for k, share in enumerate(held.observed)]
        shape, color = CLAIMS[name]
        parts.append(_RELIABILITY.curve([(0.0, 0.0), *pairs, (1.0, 1.0)], color, 1.5, data_name=f"curve {name}"))
        parts += [_page.mark(shape, color, *_RELIABILITY.at(*pair), scale=0.7, name=f"{name} {k}")
                  for k, pair in enumerate(pairs, 1)]
    return _RELIABILITY.framed(*parts)


CHALLENGES = (
    Challenge(
        "Make claims go with OKS and hold badly: Spearman's correlation below {}, ECE as claimed above {}.",
        less(-0.9, lambda result: result.spearman), more(0.3, lambda result: result.held["as claimed"].ece),
    ),
    Challenge(
        "With related below {}, find claims that fail with an ECE above {} and that the likelihood factor brings "
        "below {}.",
        less(0.5, lambda result: result.state.related), more(0.1, lambda result: result.held["as claimed"].ece),
        less(0.03, lambda result: result.held["likelihood"].ece),
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
