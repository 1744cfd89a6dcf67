"""The training explorer: what a regression and a heatmap network say of one picture while they learn.

>>> early, late = (compute(State(step=step)) for step in (EPOCHS[0], EPOCHS[-1]))
>>> all(late.median[name] < early.median[name] for name in NETS)
True
"""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from posebook.explore import _page
from posebook.explore._challenges import Challenge, more
from posebook.explore._controls import Checked, choice, explorer
from posebook.metrics import epe
from posebook.skeleton import COCO_17
from posebook.training.table import EPOCHS, epochs

NETS = {"regression": "regression", "heatmap": "cross-entropy"}  # as they are called here -> whose run it is
KEYPOINTS = ("nose", "left wrist", "right wrist", "left knee", "right ankle")
FLAT = 0.05  # a map without a cell of this probability looks thin

KEYPOINT = "reticle", _page.INK
MARKS = {"regression": ("square", _page.RED), "heatmap": ("circle", _page.BLUE)}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: the steps of training after which the networks are asked, and for what."""

    step: int = choice(60, EPOCHS, slider=True)
    keypoint: str = choice("left wrist", KEYPOINTS, width=92)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state; places and errors in image px."""

    state: State
    truth: tuple[float, float]  # of the chosen keypoint
    found: dict[str, Tensor]  # network -> (17, 2)
    points: dict[str, tuple[float, float]]  # network -> where it puts the chosen keypoint
    errors: dict[str, float]  # network -> how far off that is
    median: dict[str, float]  # network -> of the errors of all visible keypoints
    prob: Tensor  # (H, W), the heatmap network's of the chosen keypoint
    peak: float  # its highest value


def compute(state: State) -> Result:
    """Look up what was stored."""
    moment = EPOCHS.index(state.step)
    k = COCO_17.names.index(state.keypoint.replace(" ", "_"))
    found = {name: run["found"][moment] for name, run in _runs().items()}
    truth = _runs()["heatmap"]["xy"][k]
    prob = _runs()["heatmap"]["prob"][moment, k].float()
    return Result(
        state=state,
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
    where = f"After {result.state.step} steps of training, {result.state.keypoint}:"
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
    """Points and errors; its shapes are the panels' legend."""
    x, y = result.truth
    rows = [(_page.legend(*KEYPOINT, result.state.keypoint), f"{x:.2f}", f"{y:.2f}", "", "")]
    for name, (x, y) in result.points.items():
        numbers = result.errors[name], result.median[name]
        rows.append((_page.legend(*MARKS[name], name), f"{x:.2f}", f"{y:.2f}", *(f"{n:.2f}" for n in numbers)))
    return _page.table(("point", "x", "y", "error in px", "median"), rows)


def view(result: Result) -> _page.View:
    """The picture twice, with what each network says, and the medians of both against the steps."""
    panels = []
    for name in NETS:
        veil = _veil(result) if name == "heatmap" else ""
        said = veil + _pose(result.found[name], MARKS[name][1]) + _marks(result, name)
        window = _page.window(1, 24, 200, 200, (-0.5, -0.5, 64, 64), _picture(), said)
        panels.append(_page.panel(f"{name}, after {result.state.step} steps", 202, 226, window))
    panels.append(_page.panel("median error over visible keypoints, in px", 306, 254, _axes(), _place(result)))
    note = (
        f"One picture that neither network was trained on. Of each training {len(EPOCHS)} moments are stored. Lines: "
        "the pose that the network sees. Blue veil: the probability of the chosen keypoint's cells, at most "
        f"{result.peak:.2f}."
    )
    return _page.View(tuple(panels), table(result), sentence(result), verdict(result), note)


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


_PLOT = _page.Plot((36, 24, 254, 192), x=(2.5, EPOCHS[-1]), y=(0.5, 50.0))  # a logarithm has no 0: it stands at 2.5


@functools.cache
def _axes() -> str:
    """Axes and both curves: the same for every state."""
    ticks = {_PLOT.x[0]: "0", **{float(n): str(n) for n in (5, 10, 50, 100, 500)}}
    parts = [_PLOT.axes(ticks, {0.5: "0.5", 1.0: "1", 5.0: "5", 10.0: "10", 50.0: "50"}, "steps of training")]
    for name, (_, color) in MARKS.items():
        parts.append(_PLOT.curve([(max(step, _PLOT.x[0]), error) for step, error in _curves()[name]], color))
    return "".join(parts)


def _place(result: Result) -> str:
    right = _PLOT.at(result.state.step, 1)[0]
    line = _page.tag("line", x1=right, x2=right, y1=24, y2=216, stroke=_page.INK, stroke_dasharray="2 3")
    return line + "".join(_page.mark(*MARKS[name], *_PLOT.at(result.state.step, error), name=f"median, {name}")
                          for name, error in result.median.items())


CHALLENGES = (
    Challenge(
        "Find the moment at which the regression is ahead the most: its median error is more than {} px below "
        "that of the heatmap.",
        more(5, lambda result: result.median["heatmap"] - result.median["regression"]),
    ),
    Challenge(
        "Find a map that is sure and wrong: its highest probability is above {}, and the heatmap's error above {} "
        "px.",
        more(0.5, lambda result: result.peak), more(3, lambda result: result.errors["heatmap"]),
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
