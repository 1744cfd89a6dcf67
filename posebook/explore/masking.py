"""The masking explorer: noise on visibility masks, with and without clipping to [0, 1], and what it does to the loss.

**Task.** Find out what clipping takes away, and what it brings in.

1. Where it starts, how much of the loss's standard deviation does clipping leave, and what becomes of its mean? Raise
   *eta*, and then make the noise uniform.

>>> def factor(**start):
...     losses = compute(State(**start)).losses
...     return losses["clipped"].std / losses["as it is"].std
>>> for shape in ("gaussian", "uniform"):
...     print(shape, [f"{eta}: {factor(eta=eta, shape=shape):.3f}" for eta in (0.02, 0.2, 0.5, 0.58, 1.0)])
gaussian ['0.02: 0.584', '0.2: 0.584', '0.5: 0.555', '0.58: 0.531', '1.0: 0.398']
uniform ['0.02: 0.559', '0.2: 0.559', '0.5: 0.559', '0.58: 0.559', '1.0: 0.426']
>>> start = compute(State())
>>> print(verdict(start).partition(":")[0], f"from {start.visible:.2f} to {start.losses['clipped'].mean:.2f}")
Clipping leaves 0.584 of the standard deviation and moves the mean up by 1.546, 3.9 of the new standard deviations \
from 7.27 to 8.82

   It leaves 0.584 of it, with uniform noise 0.559, as long as next to no noise reaches from 1 to 0 or from 0 to 1; and
   less when it does. But the mean walks away from the true loss: up from 7.27 to 8.82, 3.9 of the new standard
   deviations.

2. Is a clipped loss nearer to the true one? Compare *off by* in both rows, with noise for each cell and for each map.

>>> for noise in ("each cell", "each map"):
...     losses = compute(State(noise=noise)).losses
...     print(noise, *(f"{way}: {loss.rms:.2f}" for way, loss in losses.items()))
each cell as it is: 0.68 clipped: 1.60
each map as it is: 3.15 clipped: 2.40

   With noise for each cell it is farther off, 1.60 and 0.68; with noise for each map it is nearer, 2.40 and 3.15. The
   bias is the same. Noise of many cells averages out and leaves it standing; noise that a whole map shares does not.

3. Set *hidden* to 0, and then to 8. Which way does the mean go? Now set *off* to 1: for how many hidden keypoints does
   the mean stay?

>>> def moved(hidden, off):
...     result = compute(State(hidden=hidden, off=off))
...     return result.losses["clipped"].mean - result.visible
>>> [f"{moved(hidden, 3.0):+.2f}" for hidden in (0, 1, 2, 8)]
['-0.93', '-0.10', '+0.72', '+5.67']
>>> [hidden for hidden in range(9) if abs(moved(hidden, 1.0)) < 1e-6]
[4]

   Down, where all is visible: clipping only takes weight from cells of 1. Up, where all is hidden: it only gives weight
   to cells of 0. The mean moves by 0.4 eta times (cost of what is hidden - cost of what is visible). With *off* at 1
   every map costs as much, and at 4 of 8 both are equal.

4. After clipping, how much does a hidden cell weigh in the mean, in the loss and in its gradient? Where does that end?

>>> weights = [compute(State(eta=eta)).weight for eta in (0.1, 0.2, 0.5, 1.0)]
>>> [f"hidden {weight:.3f}, visible {1 - weight:.3f}" for weight in weights]
['hidden 0.040, visible 0.960', 'hidden 0.080, visible 0.920', 'hidden 0.195, visible 0.805', \
'hidden 0.316, visible 0.684']
>>> round(clipping(1000.0, "gaussian").std, 3), round(-clipping(1000.0, "gaussian").shift, 3)
(0.5, 0.5)

   0.4 eta: it was to be left out, and now the network learns from it. With eta = 0.2 it weighs 0.08, and a visible cell
   0.92. With ever more noise the mask is thrown like a coin: 0 or 1, 0.5 in the mean.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook.encode import gaussian_heatmap
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.theory import ClipMoments, clip_moments, mask_noise_std

KEYPOINTS, SIDE = 8, 9  # maps, and cells on each side of one
SIGMA, SLIP = 1.5, 1.0  # of heatmaps in cells; how far off in cells the network is where keypoints are visible
DRAWS = 500
LOW, BIN, BINS = -2.05, 0.1, 51  # of the histogram of mask values
STEPS = 25  # of a curve
WAYS = ("as it is", "clipped")

TRUE = "circle", _page.INK
STYLES = {"as it is": ("square", _page.GRAY), "clipped": ("diamond", _page.BLUE)}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: standard deviation of the noise, its kind, how many of the keypoints are hidden, and
    how far off in cells the network is there.
    """

    eta: float = number(0.2, 0.02, 1, step=0.02)
    clip: str = choice("on", ("on", "off"))
    noise: str = choice("each cell", ("each cell", "each map"), width=90)
    shape: str = choice("gaussian", ("gaussian", "uniform"), width=90)
    hidden: int = choice(3, tuple(range(KEYPOINTS + 1)), slider=True)
    off: float = number(3.0, 0.5, 5, step=0.5)


@dataclass(frozen=True)
class Loss:
    """The loss with one of the two masks: in closed form, and over the draws."""

    mean: float
    std: float
    rms: float  # root mean square distance from the true loss
    draws: Tensor  # (DRAWS,)
    values: Tensor  # (BINS,): shares of mask values, in some of the draws


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state."""

    state: State
    visible: float  # sum of the squared errors where the mask is 1: the true loss
    masked: float  # and where it is 0
    scale: float  # standard deviation of the loss as it is, for eta = 1
    weight: float  # mean mask of a hidden cell after clipping; of a visible one 1 less that
    losses: dict[str, Loss]  # as it is, clipped


def compute(state: State) -> Result:
    """Draw noise for the masks, clip it, and add up the losses."""
    mask, cost = _units(state.hidden, state.off, state.noise)
    noise = _noise(state.noise, state.shape)
    visible, masked = (mask @ cost).item(), ((1 - mask) @ cost).item()
    scale = mask_noise_std(cost, 1.0).item()
    moved = clipping(state.eta, state.shape)
    masks = torch.add(mask, noise, alpha=state.eta)  # (DRAWS, units)
    few = masks[: 20 if state.noise == "each cell" else DRAWS]
    plain = _loss(visible, visible, state.eta * scale, masks @ cost, few)
    few = few.clamp(0, 1)
    mean = visible - moved.shift * (masked - visible)
    clipped = _loss(visible, mean, moved.std * scale, masks.clamp_(0, 1) @ cost, few)
    return Result(state, visible, masked, scale, -moved.shift, {"as it is": plain, "clipped": clipped})


def _loss(true: float, mean: float, std: float, draws: Tensor, few: Tensor) -> Loss:
    counts = torch.histc((few - LOW) / BIN, BINS, 0, BINS)
    return Loss(mean, std, math.hypot(std, mean - true), draws, counts / few.numel())


@functools.cache
def clipping(eta: float, shape: str) -> ClipMoments:
    """Of a mask of 1, by the standard deviation of either noise; a mask of 0 moves as far the other way."""
    return clip_moments(eta if shape == "gaussian" else math.sqrt(3) * eta, noise=shape)


@functools.lru_cache(maxsize=64)
def _units(hidden: int, off: float, noise: str) -> tuple[Tensor, Tensor]:
    """The mask and what it multiplies, for each value that has its own noise; the last maps are the hidden ones."""
    slips = torch.tensor([SLIP] * (KEYPOINTS - hidden) + [off] * hidden)
    xy = torch.tensor([2.0, SIDE // 2]).expand(KEYPOINTS, 2)
    found = xy + torch.stack((slips, torch.zeros(KEYPOINTS)), -1)
    heatmaps = (gaussian_heatmap(points, (SIDE, SIDE), sigma=SIGMA) for points in (xy, found))
    cost = (next(heatmaps) - next(heatmaps)).square().flatten(1)  # (K, cells)
    mask = (torch.arange(KEYPOINTS) < KEYPOINTS - hidden).float()
    if noise == "each map":
        return mask, cost.sum(1)
    return mask[:, None].expand_as(cost).flatten(), cost.flatten()


@functools.cache
def _noise(noise: str, shape: str) -> Tensor:
    """Of mean 0 and standard deviation 1, (DRAWS, units)."""
    units = KEYPOINTS * (SIDE**2 if noise == "each cell" else 1)
    generator = torch.Generator().manual_seed(0)
    if shape == "gaussian":
        return torch.randn(DRAWS, units, generator=generator)
    return (2 * torch.rand(DRAWS, units, generator=generator) - 1) * math.sqrt(3)


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    cells = f"{s.off:g} {'cell' if s.off == 1 else 'cells'}"
    where = (f"{s.hidden} of {KEYPOINTS} keypoints hidden, where the network is {cells} off; "
             f"{s.shape} noise of eta = {s.eta:.2f} for {s.noise}; clipping {s.clip}.")
    told = []
    for way, loss in result.losses.items():
        mean, std = loss.draws.mean().item(), loss.draws.std().item()
        told.append(f"{way} mean {_plain(mean)} (predicted {loss.mean:.3f}), standard deviation {std:.3f} "
                    f"({loss.std:.3f})")
    return f"{where} True loss {result.visible:.3f}. {DRAWS} draws: {'; '.join(told)}. {verdict(result)}"


def verdict(result: Result) -> str:
    """What clipping buys, and with what."""
    plain, clipped = result.losses["as it is"], result.losses["clipped"]
    bias, factor = clipped.mean - result.visible, clipped.std / plain.std
    if result.state.clip == "off":
        return (f"Without clipping the mean stays at the true loss, and the standard deviation is {plain.std:.3f}, eta "
                f"times {result.scale:.3f}.")
    said = f"Clipping leaves {factor:.3f} of the standard deviation"
    if abs(bias) < 0.0005:
        about = "" if abs(result.masked - result.visible) < 1e-4 else "about "
        return f"{said}, and the mean stays: what is hidden costs {about}as much as what is visible."
    way, more = ("up", "more") if bias > 0 else ("down", "less")
    rms = f"{clipped.rms:.3f} in the root mean square, without clipping {plain.rms:.3f}"
    return (f"{said} and moves the mean {way} by {abs(bias):.3f}, {abs(bias) / clipped.std:.1f} of the new standard "
            f"deviations: what is hidden costs {more} than what is visible. In all the clipped loss is off by {rms}: "
            f"clipping {'helps' if clipped.rms < plain.rms else 'harms'}.")


def _plain(value: float) -> str:
    """Three decimals; no -0.000."""
    return f"{round(value, 3) + 0.0:.3f}"


def _short(value: float) -> str:
    """One decimal less from 10 on, so that the table stays as wide."""
    return _plain(value) if abs(value) < 9.9995 else f"{value:.2f}"


def table(result: Result) -> str:
    """Both losses, predicted and drawn; its shapes are the panels' legend."""
    rows = [(_page.legend(*TRUE, "true"), _short(result.visible), "", "", "", "")]
    for way, loss in result.losses.items():
        numbers = loss.mean, loss.draws.mean().item(), loss.std, loss.draws.std().item(), loss.rms
        rows.append((_page.legend(*STYLES[way], way), *map(_short, numbers)))
    return _page.table(("loss", "mean", f"of {DRAWS}", "std", f"of {DRAWS}", "off by"), rows)


def view(result: Result) -> _page.View:
    """The masks' values and the losses; how both moments of the loss depend on eta."""
    s, units = result.state, KEYPOINTS * (SIDE**2 if result.state.noise == "each cell" else 1)
    panels = (
        _page.panel(_piled(result), 402, 352, _values(result), _losses(result)),
        _page.panel("standard deviation of the loss over eta", 400, 352, _stds(result), _means(result)),
    )
    note = (
        f"The loss: mask times squared error, summed over {KEYPOINTS} maps of {SIDE} x {SIDE} cells. The mask is 1 for "
        f"visible keypoints, where the network is {SLIP:g} cell off, and 0 for hidden ones; {units} numbers of noise, "
        f"one for {s.noise}. Filled: the chosen way; curves: the predicted normal. Bands: mean, and one standard "
        "deviation up and down. Off by: root mean square distance from the true loss."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


_VALUES = _page.Plot((36, 24, 358, 110), x=(LOW, LOW + BIN * BINS), y=(0.0, 0.2), log="")  # mask, share of values
_LOSSES = (36, 198, 358, 120)
_STDS = (44, 24, 340, 110)
_MEANS = (44, 198, 340, 120)


def _piled(result: Result) -> str:
    if result.state.clip == "off":
        return "mask values, in shares per 0.1"
    ends = result.losses["clipped"].values
    return f"mask values, in shares per 0.1; after clipping {100 * (ends[20] + ends[30]):.0f} % near 0 or 1"


def _order(result: Result) -> tuple[str, ...]:
    """The chosen way on top."""
    return WAYS if result.state.clip == "on" else WAYS[::-1]


@functools.cache
def _values_axes() -> str:
    return _VALUES.axes({float(n): str(n) for n in (-2, -1, 0, 1, 2, 3)}, {0.0: "0", 0.1: "0.1", 0.2: "0.2"}, "mask")


def _values(result: Result) -> str:
    edges = [LOW + BIN * k for k in range(BINS + 1)]
    parts = [_histogram(_VALUES, edges, result.losses[way].values.tolist(), result, way, "values")
             for way in _order(result)]
    return _values_axes() + _VALUES.framed(*parts)


def _histogram(plot: _page.Plot, edges: list[float], heights: list[float], result: Result, way: str, name: str) -> str:
    """A filled outline for the chosen way, a bare one for the other."""
    base, (first, *rights) = plot.at(0, 0)[1], [plot.at(edge, 0)[0] for edge in edges]
    tops = [plot.at(0, height)[1] for height in heights]
    steps = "".join([f"V{top:.1f}H{right:.1f}" for top, right in zip(tops, rights, strict=True)])
    d = f"M{first:.1f} {base:.1f}{steps}V{base:.1f}z"
    chosen = way == _order(result)[-1]
    fill = {"fill": STYLES[way][1], "fill_opacity": 0.35} if chosen else {"fill": "none", "stroke_dasharray": "3 2"}
    return _page.tag("path", d=d, stroke=STYLES[way][1], data_name=f"{name} {way}", **fill)


def _losses(result: Result) -> str:
    """Both histograms of the loss with their normals; the true loss and both means."""
    reach = [(loss.mean - 3.6 * loss.std, loss.mean + 3.6 * loss.std) for loss in result.losses.values()]
    low, high = min(a for a, _ in reach), max(b for _, b in reach)
    bins = 36
    width = (high - low) / bins
    counts = {way: torch.histc((loss.draws - low) / width, bins, 0, bins).tolist()
              for way, loss in result.losses.items()}
    top = 1.05 * max(max(map(max, counts.values())),
                     *(DRAWS * width * _pdf(0) / loss.std for loss in result.losses.values()))
    plot = _page.Plot(_LOSSES, x=(low, high), y=(0.0, top), log="")
    parts = []
    edges = [low + k * width for k in range(bins + 1)]
    for way in _order(result):
        loss = result.losses[way]
        parts.append(_histogram(plot, edges, counts[way], result, way, "losses"))
        normal = [(x, DRAWS * width * _pdf((x - loss.mean) / loss.std) / loss.std)
                  for x in (loss.mean + loss.std * k / 8 for k in range(-28, 29))]
        parts.append(plot.curve(normal, STYLES[way][1], 1.5, data_name=f"normal {way}"))
    true = plot.at(result.visible, 0)[0]
    parts.append(_page.tag("line", x1=true, x2=true, y1=_LOSSES[1], y2=_LOSSES[1] + _LOSSES[3], stroke=_page.INK,
                           stroke_width=1.5, data_name="true"))
    foot = _LOSSES[1] + _LOSSES[3]
    marks = [_page.mark(*STYLES[way], plot.at(result.losses[way].mean, 0)[0], foot, scale=0.8, name=f"mean {way}")
             for way in _order(result)]
    marks.append(_page.mark(*TRUE, true, foot, scale=0.8, name="true loss"))
    title = _page.words(f"loss of {DRAWS} draws", 1, 188, color=_page.INK)
    return title + plot.axes(_ticks(low, high, 5), {}, "loss") + plot.framed(*parts) + "".join(marks)


def _pdf(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _ticks(low: float, high: float, most: int) -> dict[float, str]:
    """Round numbers between, at most so many, at equal steps."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(step * n for n in (1, 2, 5, 10, 20) if (high - low) / (step * n) <= most - 0.5)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step + 0.1), math.floor(high / step - 0.1)
    return {k * step: f"{round(k * step, digits) + 0.0:.{digits}f}" for k in range(first, last + 1)}


_ETAS = tuple(k / STEPS for k in range(STEPS + 1))
_ETA_TICKS = {0.0: "0", 0.25: "0.25", 0.5: "0.5", 0.75: "0.75", 1.0: "1"}


@functools.cache
def _moments(shape: str) -> dict[str, tuple[tuple[float, float], ...]]:
    """Shift and standard deviation of a mask of 1 at each eta of the curves."""
    clipped = ((0.0, 0.0), *(tuple(clipping(eta, shape)) for eta in _ETAS[1:]))
    return {"as it is": tuple((0.0, eta) for eta in _ETAS), "clipped": clipped}


def _stds(result: Result) -> str:
    """A straight line, and one that saturates."""
    scale, eta = result.scale, result.state.eta
    plot = _page.Plot(_STDS, x=(0.0, 1.0), y=(0.0, 1.04 * scale), log="")
    parts = [plot.axes(_ETA_TICKS, _ticks(0, 1.04 * scale, 5) | {0.0: "0"}, "eta")]
    for way in _order(result):
        stds = [std * scale for _, std in _moments(result.state.shape)[way]]
        parts.append(plot.curve(zip(_ETAS, stds, strict=True), STYLES[way][1], data_name=f"std {way}"))
    parts += [_page.mark(*STYLES[way], *plot.at(eta, result.losses[way].std), name=f"at {way}")
              for way in _order(result)]
    return "".join(parts)


def _means(result: Result) -> str:
    """The mean of either loss, a standard deviation up and down."""
    true, more = result.visible, result.masked - result.visible
    bands = {way: [(true - shift * more, std * result.scale) for shift, std in moments]
             for way, moments in _moments(result.state.shape).items()}
    ends = [mean + side * std for band in bands.values() for mean, std in band for side in (-1, 1)]
    room = 0.05 * (max(ends) - min(ends))
    plot = _page.Plot(_MEANS, x=(0.0, 1.0), y=(min(ends) - room, max(ends) + room), log="")
    parts, marks = [plot.axes(_ETA_TICKS, _ticks(*plot.y, 5), "eta")], []
    for way in _order(result):
        color, band = STYLES[way][1], list(zip(_ETAS, bands[way], strict=True))
        edge = [plot.at(eta, mean + std) for eta, (mean, std) in band]
        edge += [plot.at(eta, mean - std) for eta, (mean, std) in reversed(band)]
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in edge) + "z"
        parts.append(_page.tag("path", d=d, fill=color, fill_opacity=0.18, data_name=f"band {way}"))
        parts.append(plot.curve([(eta, mean) for eta, (mean, _) in band], color, data_name=f"mean {way}"))
        marks.append(_page.mark(*STYLES[way], *plot.at(result.state.eta, result.losses[way].mean),
                                name=f"mean at {way}"))
    return _page.words("its mean over eta", 1, 188, color=_page.INK) + "".join(parts + marks)


CHALLENGES = (
    Challenge(
        "With noise for {noise} and clipping {clip}, bring the clipped loss to less than {} times as far off as "
        "the loss as it is.",
        less(0.6, lambda result: result.losses["clipped"].rms / result.losses["as it is"].rms),
        noise="each cell", clip="on",
    ),
    Challenge(
        "With clipping {clip}, take more than {} of the true loss away from the mean.",
        more(0.2, lambda result: 1 - result.losses["clipped"].mean / max(result.visible, 1e-9)), clip="on",
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
