"""The temperature and stride explorer: how far off each decoder is, and the cliff that soft-argmax falls down.

>>> for tau in (0.01, 0.1, 1.0):
...     print(verdict(compute(State(stride=4, tau=tau))))
Soft-argmax is off by 0.20 cells, as the closed form says.
Soft-argmax is off by 0.02 cells, as the closed form says.
Soft-argmax is exact to float32 round-off.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import _args, theory
from posebook.decode import argmax, refine_dark, refine_quarter
from posebook.expectation import soft_argmax, spatial_softmax
from posebook.explore import _page
from posebook.grid import Grid

HW = (96, 128)  # of the image
SIGMA = 6.0  # of the Gaussian whose logarithm the logits are, in image px
STRIDES = (1, 2, 4, 8, 16)
TAU, X, Y = (0.01, 10.0), (0.0, HW[1] - 1.0), (0.0, HW[0] - 1.0)  # lowest and highest

KEYPOINT = "reticle", _page.INK
DECODERS = {
    "argmax": ("square", _page.RED),
    "quarter shift": ("diamond", _page.ORANGE),
    "DARK": ("triangle", _page.GREEN),
    "soft-argmax": ("circle", _page.BLUE),
}


@dataclass(frozen=True)
class State:
    """Where the controls stand; the keypoint (x, y) in image px."""

    stride: int = 8
    tau: float = 0.25
    x: float = 61.3
    y: float = 40.4

    def __post_init__(self):
        if self.stride not in STRIDES:
            _args.fail("stride", "one of " + ", ".join(map(str, STRIDES)), self.stride)
        for name, bounds in {"tau": TAU, "x": X, "y": Y}.items():
            _args.within(name, getattr(self, name), bounds)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state. Errors in cells are soft-argmax's, the root mean square of x and y."""

    state: State
    prob: Tensor  # (H, W), softmax of logits / tau
    points: dict[str, tuple[float, float]]  # decoder -> (x, y) in image px
    errors: dict[str, float]  # decoder -> distance from the keypoint in image px
    q: float  # width of prob in cells
    measured: float  # error in cells
    expected: float  # by the closed form, which knows no border
    excess: float  # measured less expected, as vectors
    floor: float  # what float32 resolves in the middle of the map, in cells


def compute(state: State) -> Result:
    """Encode the keypoint in float32, decode it four ways, and ask the closed form."""
    grid, sigma = Grid.center(state.stride), SIGMA / state.stride
    keypoint = grid.to_cells(torch.tensor([state.x, state.y], dtype=torch.float32))
    y, x = (torch.arange(n // state.stride) for n in HW)
    logits = ((x - keypoint[0]).square() + (y - keypoint[1]).square()[:, None]) / (-2 * sigma**2)  # (H, W)
    heatmap = logits.exp()
    decoded = argmax(heatmap), refine_quarter(heatmap), refine_dark(heatmap), soft_argmax(logits, state.tau)
    cells = torch.stack(decoded)  # (4, 2)

    error = cells.double() - keypoint.double()
    q = math.sqrt(state.tau) * sigma
    expected = theory.alias_error(keypoint.double() - keypoint.double().round(), q)
    return Result(
        state=state,
        prob=spatial_softmax(logits, state.tau),
        points=dict(zip(DECODERS, map(tuple, grid.to_image(cells).tolist()), strict=True)),
        errors=dict(zip(DECODERS, (state.stride * error.norm(dim=1)).tolist(), strict=True)),
        q=q,
        measured=_rms(error[-1]),
        expected=_rms(expected),
        excess=_rms(error[-1] - expected),
        floor=torch.finfo(torch.float32).eps * len(x) / 2,
    )


def _rms(error: Tensor) -> float:
    return error.square().mean().sqrt().item()


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    errors = ", ".join(f"{name} {error:.2f}" for name, error in result.errors.items())
    where = f"Stride {s.stride}, tau {s.tau:.2f}, keypoint ({s.x:.2f}, {s.y:.2f}) px: q = {result.q:.2f} cells."
    return f"{where} Errors in px: {errors}. {verdict(result)}"


def verdict(result: Result) -> str:
    """Is soft-argmax where the closed form says?"""
    if result.excess > max(4 * result.floor, 0.1 * result.expected):
        return f"The border pulls soft-argmax off the curve, by {_page.figure(result.excess)} cells."
    if result.measured <= 4 * result.floor:
        return "Soft-argmax is exact to float32 round-off."
    return f"Soft-argmax is off by {_page.figure(result.measured)} cells, as the closed form says."


def table(result: Result) -> str:
    """Points and errors; its shapes are the picture's legend."""
    rows = [(_page.legend(*KEYPOINT, "keypoint"), f"{result.state.x:.2f}", f"{result.state.y:.2f}", "")]
    for name, (x, y) in result.points.items():
        rows.append((_page.legend(*DECODERS[name], name), f"{x:.2f}", f"{y:.2f}", _page.figure(result.errors[name])))
    return _page.table(("point", "x", "y", "error in px"), rows)


def svg(result: Result) -> str:
    """The heatmap on the image, three cells around the keypoint, and the place on the curve."""
    (h, w), s = HW, result.state
    image = (-0.5, -0.5, w, h)
    zoom = (s.x - 1.5 * s.stride, s.y - 1.5 * s.stride, 3 * s.stride, 3 * s.stride)
    heatmap = _page.heatmap(result.prob, *image)
    marks = functools.partial(_page.points, {"keypoint": KEYPOINT, **DECODERS}, (s.x, s.y), result.points)
    return _page.picture(
        826, 254, sentence(result),
        _page.words(f"softmax, {w // s.stride} x {h // s.stride} cells", 1, 14, color=_page.INK),
        _page.window(1, 24, 256, 192, image, heatmap, marks(scale=0.6 * w / 256)),
        _page.words("3 x 3 cells around the keypoint", 277, 14, color=_page.INK),
        _page.window(277, 24, 192, 192, zoom, heatmap, _page.cells(HW, s.stride, -0.5),
                     marks(scale=1.1 * zoom[2] / 192)),
        _page.words("soft-argmax: error per axis in cells", 520, 14, color=_page.INK),
        _curve(), _place(result),
    )


def view(result: Result) -> str:
    """All that a move changes."""
    note = (
        f"Image of {HW[1]} x {HW[0]} px, tiled by the cells; Gaussian of sigma = {SIGMA:g} px; computed in float32. "
        "Curve: closed form, root mean square over all phases. Ring: closed form at this phase. Dot: measured."
    )
    return _page.card(svg(result), table(result), verdict(result), note)


# The curve: both axes are logarithmic.

_MARKERS = {"square": "s", "diamond": "D", "triangle": "^", "circle": "o"}
_PLOT = _page.Plot((556, 24, 270, 192), x=(0.03, 30.0), y=(1e-8, 10.0))  # q, error


@functools.cache
def _closed_form() -> list[tuple[float, float]]:
    """Points (q, error) of the curve, as far down as it is drawn."""
    points = [(q, theory.alias_rms(q)) for q in (_PLOT.x[0] * 10 ** (i / 100) for i in range(160))]
    return [(q, error) for q, error in points if error > _PLOT.y[0]]


@functools.cache
def _curve() -> str:
    """Axes, the closed form, the level of argmax: the same for every state."""
    x, _, width, _ = _PLOT.box
    argmax = 1 / math.sqrt(12)
    label = _page.words("argmax 0.29", x + width, _PLOT.at(1, argmax)[1] + 14, color=_page.RED, anchor="end")
    return "".join([
        _PLOT.axes(
            {q: f"{q:g}" for q in (0.1, 0.5, 1, 2, 10)},
            {1.0: "1", 1e-2: "0.01", 1e-4: "1e-4", 1e-6: "1e-6", 1e-8: "1e-8"}, "q = sqrt(tau) sigma / s, cells",
        ),
        _PLOT.level(argmax, _page.RED, stroke_dasharray="4 3"), label, _PLOT.curve(_closed_form()),
    ])


def _place(result: Result) -> str:
    """The float32 floor, the closed form here and now as a ring, the measurement as a dot."""
    x, y, width, height = _PLOT.box
    floor = _PLOT.at(1, result.floor)[1]
    parts = [
        _page.tag("rect", x=x, y=floor, width=width, height=y + height - floor, fill=_page.GRAY, fill_opacity=0.12),
        _page.words("float32 round-off", x + width - 4, y + height - 6, anchor="end"),
    ]
    at = _PLOT.at(result.q, result.expected)
    if result.expected >= _PLOT.y[0]:
        parts.append(_page.tag("circle", cx=at[0], cy=at[1], r=9, fill="none", stroke=_page.INK, stroke_width=1.5))
    parts.append(_page.mark(*DECODERS["soft-argmax"], *_PLOT.at(result.q, result.measured), name="place"))
    return "".join(parts)


def png(result: Result) -> bytes:
    """Five cells around the keypoint and the curve, for pages without a kernel."""
    from posebook import draw  # matplotlib is slow to import, and no move needs it

    (h, w), s = HW, result.state
    fig, (image, curve) = draw.axes(2, width=8.6)
    prob = result.prob.numpy()
    image.imshow(prob, cmap="Blues", vmax=2 * prob.max(), extent=(-0.5, w - 0.5, h - 0.5, -0.5))
    reach = 2.5 * s.stride
    image.set(xlim=(s.x - reach, s.x + reach), ylim=(s.y + reach, s.y - reach), xlabel="x in px", ylabel="y in px")
    image.set_title(f"softmax, stride {s.stride}, tau {s.tau:.2f}")
    for (name, (shape, color)), (x, y) in zip(DECODERS.items(), result.points.values(), strict=True):
        label = f"{name}: {result.errors[name]:.2f} px"
        image.plot(x, y, _MARKERS[shape], color=color, fillstyle="none", markeredgewidth=2, label=label)
    image.plot(s.x, s.y, "+", color=KEYPOINT[1], markersize=12, label="keypoint")
    image.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    curve.loglog(*zip(*_closed_form(), strict=True), color=_page.INK, label="closed form")
    curve.axhline(1 / math.sqrt(12), color=_page.RED, linestyle="--", label="argmax")
    curve.axhspan(_PLOT.y[0], result.floor, color=_page.GRAY, alpha=0.12, label="float32 round-off")
    curve.plot(result.q, max(result.measured, _PLOT.y[0]), "o", color=_page.BLUE, label="measured")
    curve.set(title="soft-argmax: error per axis in cells", xlabel="q in cells", xlim=_PLOT.x, ylim=_PLOT.y)
    curve.legend(fontsize=8, loc="center right", frameon=False)
    return draw.png(fig)


def explore(**start: float) -> _page.Explorer:
    """The explorer; ``explore(stride=4, tau=1.0)`` starts there."""
    s = State(**start)
    controls = {
        "stride": _page.choice("stride", s.stride, STRIDES),
        "tau": _page.number("tau", s.tau, *TAU, step=0.02, log=True),
        "x": _page.number("x", s.x, *X, step=0.25),
        "y": _page.number("y", s.y, *Y, step=0.25),
    }
    return _page.Explorer(s, controls, compute=compute, view=view, sentence=sentence, png=png)
