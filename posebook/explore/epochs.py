"""The training explorer: what a regression and a heatmap network say of one picture while they learn.

>>> early, late = (compute(State(step=step)) for step in STEP)
>>> all(late.median[name] < early.median[name] for name in NETS)
True
"""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from posebook import _args
from posebook.explore import _page
from posebook.metrics import epe
from posebook.skeleton import COCO_17
from posebook.training.table import EPOCHS, epochs

NETS = {"regression": "regression", "heatmap": "cross-entropy"}  # as they are called here -> whose run it is
KEYPOINTS = ("nose", "left wrist", "right wrist", "left knee", "right ankle")
STEP = (1.0, float(EPOCHS[-1]))  # lowest and highest
FLAT = 0.05  # a map without a cell of this probability looks thin

KEYPOINT = "reticle", _page.INK
MARKS = {"regression": ("square", _page.RED), "heatmap": ("circle", _page.BLUE)}


@dataclass(frozen=True)
class State:
    """Where the controls stand."""

    step: float = 60.0
    keypoint: str = "left wrist"

    def __post_init__(self):
        _args.within("step", self.step, STEP)
        _args.one_of("keypoint", self.keypoint, KEYPOINTS)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state; places and errors in image px."""

    state: State
    steps: int  # of training after which the networks were asked: the last stored moment not after the state's
    truth: tuple[float, float]  # of the chosen keypoint
    found: dict[str, Tensor]  # network -> (17, 2)
    points: dict[str, tuple[float, float]]  # network -> where it puts the chosen keypoint
    errors: dict[str, float]  # network -> how far off that is
    median: dict[str, float]  # network -> of the errors of all visible keypoints
    prob: Tensor  # (H, W), the heatmap network's of the chosen keypoint
    peak: float  # its highest value


def compute(state: State) -> Result:
    """Look up what was stored."""
    moment = sum(step <= state.step for step in EPOCHS) - 1
    k = COCO_17.names.index(state.keypoint.replace(" ", "_"))
    found = {name: run["found"][moment] for name, run in _runs().items()}
    truth = _runs()["heatmap"]["xy"][k]
    prob = _runs()["heatmap"]["prob"][moment, k].float()
    return Result(
        state=state,
        steps=EPOCHS[moment],
        truth=tuple(truth.tolist()),
        found=found,
        points={name: tuple(xy[k].tolist()) for name, xy in found.items()},
        errors={name: epe(xy[k], truth).item() for name, xy in found.items()},
        median={name: _curves()[name][moment][1] for name in NETS},
        prob=prob,
        peak=prob.max().item(),
    )


@functools.cache
def _runs() -> dict[str, dict[str, Tensor]]:
    return {name: epochs(method) for name, method in NETS.items()}


@functools.cache
def _curves() -> dict[str, list[tuple[float, float]]]:
    """For each network (step, median error over the visible keypoints in px)."""
    curves = {}
    for name, run in _runs().items():
        seen = run["vis"] == 2
        medians = epe(run["found"], run["xy"].expand_as(run["found"]))[:, seen].median(-1).values
        curves[name] = list(zip(map(float, EPOCHS), medians.tolist(), strict=True))
    return curves


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    where = f"After {result.steps} steps of training, {result.state.keypoint}:"
    off = ", ".join(f"{name} {error:.2f}" for name, error in result.errors.items())
    median = ", ".join(f"{name} {error:.2f}" for name, error in result.median.items())
    peak = f"Highest probability of a cell {result.peak:.2f}."
    return f"{where} errors in px: {off}; median over all visible keypoints: {median}. {peak} {verdict(result)}"


def verdict(result: Result) -> str:
    """Who is nearer, and how sure the map is."""
    a, b = (result.median[name] for name in NETS)
    if min(a, b) > 0.8 * max(a, b):
        return "Both are about as far off."
    near, far = ("regression", "heatmap") if a < b else ("heatmap", "regression")
    return f"The {near} is nearer: {min(a, b):.1f} px in the median, the {far} {max(a, b):.1f} px."


def table(result: Result) -> str:
    """Points and errors; its shapes are the picture's legend."""
    x, y = result.truth
    rows = [(_page.legend(*KEYPOINT, result.state.keypoint), f"{x:.2f}", f"{y:.2f}", "", "")]
    for name, (x, y) in result.points.items():
        numbers = result.errors[name], result.median[name]
        rows.append((_page.legend(*MARKS[name], name), f"{x:.2f}", f"{y:.2f}", *(f"{n:.2f}" for n in numbers)))
    return _page.table(("point", "x", "y", "error in px", "median"), rows)


_SIDE, _LEFTS = 216, (1, 241)  # of the two windows


def svg(result: Result) -> str:
    """The picture twice, with what each network says, and the medians of both against the steps."""
    windows = []
    for name, left in zip(NETS, _LEFTS, strict=True):
        veil = _veil(result) if name == "heatmap" else ""
        windows += [
            _page.words(f"{name}, after {result.steps} steps", left, 14, color=_page.INK),
            _page.window(left, 24, _SIDE, _SIDE, (-0.5, -0.5, 64, 64), _picture(), veil,
                         _pose(result.found[name], MARKS[name][1]), _marks(result, name)),
        ]
    return _page.picture(
        826, 254, sentence(result), *windows,
        _page.words("median error over the visible keypoints in px", 520, 14, color=_page.INK), _axes(), _place(result),
    )


def view(result: Result) -> str:
    """All that a move changes."""
    note = (
        f"One picture that neither network was trained on; {len(EPOCHS)} moments of each training are stored. Lines: "
        "the pose that the network sees. Median: over the visible keypoints. Blue veil: the probability of the chosen "
        f"keypoint's cells, at most {result.peak:.2f}."
    )
    return _page.card(svg(result), table(result), verdict(result), note)


@functools.cache
def _picture() -> str:
    return _page.embed(Image.fromarray(_runs()["heatmap"]["image"].permute(1, 2, 0).numpy()), -0.5, -0.5, 64, 64)


def _veil(result: Result) -> str:
    """The map of the chosen keypoint over the picture: clear where it is 0, and thin where it is flat."""
    share = (result.prob / max(result.peak, FLAT)).numpy()
    pixels = np.zeros((*share.shape, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = (0, 70, 160), 215 * share
    return _page.embed(Image.fromarray(pixels), -0.5, -0.5, 64, 64)


def _pose(xy: Tensor, color: str) -> str:
    """Limbs in image px."""
    places = [f"{x:.2f} {y:.2f}" for x, y in xy.tolist()]
    path = "".join(f"M{places[a]}L{places[b]}" for a, b in COCO_17.limbs)
    return "".join(
        _page.tag("path", d=path, fill="none", stroke=stroke, stroke_width=width, stroke_linecap="round")
        for stroke, width in ((_page.PAPER, 1.3), (color, 0.7))
    )


def _marks(result: Result, name: str) -> str:
    truth = _page.mark(*KEYPOINT, *result.truth, scale=0.22, name="keypoint")
    return truth + _page.mark(*MARKS[name], *result.points[name], scale=0.26, name=name)


_PLOT = _page.Plot((556, 24, 254, 192), x=STEP, y=(0.5, 50.0))


@functools.cache
def _axes() -> str:
    """Axes and both curves: the same for every state."""
    ticks = {float(n): str(n) for n in (1, 10, 100, 500)}
    parts = [_PLOT.axes(ticks, {0.5: "0.5", 1.0: "1", 5.0: "5", 10.0: "10", 50.0: "50"}, "steps of training")]
    for name, (_, color) in MARKS.items():
        parts.append(_PLOT.curve([(max(step, STEP[0]), error) for step, error in _curves()[name]], color))
    return "".join(parts)


def _place(result: Result) -> str:
    step = max(float(result.steps), STEP[0])
    right = _PLOT.at(step, 1)[0]
    line = _page.tag("line", x1=right, x2=right, y1=24, y2=216, stroke=_page.INK, stroke_dasharray="2 3")
    return line + "".join(_page.mark(*MARKS[name], *_PLOT.at(step, result.median[name]), name=f"median, {name}")
                          for name in NETS)


def png(result: Result) -> bytes:
    """Both pictures and the curves, for pages without a kernel."""
    from posebook import draw  # matplotlib is slow to import, and no move needs it

    fig, axes = draw.axes(3, width=9.6)
    for ax, name in zip(axes, NETS, strict=False):
        ax.imshow(_runs()[name]["image"].permute(1, 2, 0).numpy())
        if name == "heatmap":
            alpha = (0.85 * result.prob / max(result.peak, FLAT)).numpy()
            ax.imshow(np.ones_like(alpha), cmap="Blues", vmin=0, vmax=1.2, alpha=alpha, extent=(-0.5, 63.5, 63.5, -0.5))
        for a, b in COCO_17.limbs:
            ax.plot(*result.found[name][[a, b]].T.tolist(), "-", color=MARKS[name][1], linewidth=1.5)
        ax.plot(*result.truth, "+", color="white", markersize=14, markeredgewidth=2)
        ax.plot(*result.points[name], "s" if name == "regression" else "o", color=MARKS[name][1],
                markeredgecolor="white")
        ax.set(title=f"{name}, after {result.steps} steps", xticks=(), yticks=(), xlim=(-0.5, 63.5),
               ylim=(63.5, -0.5))
    for name in NETS:
        steps, errors = zip(*_curves()[name], strict=True)
        axes[2].loglog(steps, errors, color=MARKS[name][1], label=name)
        axes[2].plot(result.steps, result.median[name], "o", color=MARKS[name][1])
    axes[2].set(title="median error in px", xlabel="steps of training")
    axes[2].legend(fontsize=8, frameon=False)
    return draw.png(fig)


def explore(**start: object) -> _page.Explorer:
    """The explorer; ``explore(step=200, keypoint="nose")`` starts there."""
    s = State(**start)
    controls = {
        "step": _page.number("step", s.step, *STEP, step=0.02, log=True),
        "keypoint": _page.choice("point", s.keypoint, KEYPOINTS, width=92),
    }
    return _page.Explorer(s, controls, compute=compute, view=view, sentence=sentence, png=png)
