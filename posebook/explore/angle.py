"""The angle explorer: a person to turn, what chapter 1's network finds, three remedies, and the error's causes.

**Task.** Find out why the network fails at exactly 90 degrees, and which remedy helps at which angle.

1. Raise *degrees* from 0 to 90, where nothing is interpolated. Is the network better there than next to it? Which
   cause is left?

>>> for degrees in (0, 85, 90, 95):
...     print(degrees, verdict(compute(State(degrees))))
0 The network is 1.3 px off. Nothing was turned yet.
85 The network is 14.6 px off, upright 1.3 px. The network's part is the largest, 14.3 px; decoder 0.
90 The network is 15.3 px off, upright 1.3 px. The network's part is the largest, 15.4 px; interpolation 0, decoder 0.
95 The network is 15.6 px off, upright 1.3 px. The network's part is the largest, 15.5 px; decoder 0.

   It is not: the error grows right through 90 degrees. The network is left. It has learned that heads are up.

2. Go to 45 degrees, and change the picture from *painted anew* to *resampled*. What does that add to the error?

>>> for picture in PICTURES:
...     print(f"{picture}: {compute(State(45, picture)).errors['as it is']:.1f} px")
painted anew: 5.8 px
resampled: 7.6 px

   1.8 px: a smoother picture, and black corners.

3. Choose *mean of four turns*, painted anew. How far does it turn at 0, 90 and 180 degrees, and how far off is it?

>>> for degrees in (0, 90, 180):
...     mean = compute(State(degrees, answer="mean of four turns"))
...     print(f"{degrees}: {mean.errors['mean of four turns']:.1f} px off; does not turn {mean.causes['total']:.2f} px")
0: 13.4 px off; does not turn 0.00 px
90: 13.4 px off; does not turn 0.00 px
180: 13.4 px off; does not turn 0.00 px

   It turns exactly, and is wrong at every turn: the mean of one right and three wrong answers.

4. Choose *most confident turn*. At which angle is it worst, and how far off? And *trained with turns*?

>>> for answer in ANSWERS[2:]:
...     errors = {degrees: compute(State(degrees)).errors[answer] for degrees in ANGLES}
...     worst = max(errors, key=errors.get)
...     print(f"{answer}: {min(errors.values()):.1f} to {errors[worst]:.1f} px, worst at {worst}")
most confident turn: 1.3 to 6.2 px, worst at 50
trained with turns: 1.7 to 2.2 px, worst at 215

   Near 45 degrees each of the four turns is as far from upright as the picture is. Training with turns is even at all
   angles, and costs some tenths of a px upright.

5. Set the decoder to *argmax*, at 90 degrees. What is the decoder's part, for *as it is* and for *most confident turn*?

>>> for answer in (ANSWERS[0], ANSWERS[2]):
...     print(f"{answer}: {compute(State(90, answer=answer, decoder='argmax')).causes['decoder']:.2f} px")
as it is: 1.96 px
most confident turn: 0.00 px

   The maps of the network do not turn, so that both roundings have nothing to do with each other, even at 90 degrees.
   The most confident turn reads the very same map, and its cells fall on cells.
"""

import functools
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer
from posebook.people import Scene, render
from posebook.skeleton import COCO_17
from posebook.training import turning as table_of
from posebook.training.turning import ANGLES, ANSWERS, CAUSES, DECODERS, PASSES, PICTURES, SHOWN
from posebook.warp import Affine, warp_image, warp_points

EXACT = 0.01  # px: less is drawn, and called, nothing
STYLES = dict(zip(ANSWERS, (("circle", _page.RED), ("square", _page.GRAY), ("diamond", _page.BLUE),
                            ("triangle", _page.GREEN)), strict=True))  # fmt: skip
PARTS = dict(zip(CAUSES[1:], (("7 3", _page.BLUE), ("2 3", _page.ORANGE), ("none", _page.INK)), strict=True))  # dashes


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: how far the picture is turned, counterclockwise, how that was done, whose answer is
    shown and taken apart, and by which decoder.
    """

    degrees: int = choice(0, ANGLES, slider=True)
    picture: str = choice("painted anew", PICTURES, width=110)
    answer: str = choice("as it is", ANSWERS, width=150)
    decoder: str = choice("soft-argmax", DECODERS, width=110)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state; all in px."""

    state: State
    errors: dict[str, float]  # of each answer the median error here
    upright: dict[str, float]  # and at 0 degrees
    causes: dict[str, float]  # of the answer shown: medians of what does not turn, and of its parts
    truth: tuple[tuple[float, float], ...]  # (17, 2) of the person shown
    found: tuple[tuple[float, float], ...]


def compute(state: State) -> Result:
    """Look up what was measured."""
    table = _table()
    at = (ANGLES.index(state.degrees), PICTURES.index(state.picture), DECODERS.index(state.decoder))
    answer = ANSWERS.index(state.answer)
    return Result(
        state=state,
        errors=_by(ANSWERS, table["error"][at]),
        upright=_by(ANSWERS, table["error"][(0, *at[1:])]),
        causes=_by(CAUSES, table["causes"][at[0], at[2], answer]),
        truth=_places(warp_points(_person(), Affine.rotation(state.degrees, table_of.HW))),
        found=_places(table["found"][(*at, answer)]),
    )


def _by(names: tuple[str, ...], values: Tensor) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def _places(xy: Tensor) -> tuple:
    return tuple(map(tuple, xy.tolist()))


@functools.cache
def _table() -> dict[str, Tensor]:
    return table_of.turning()


@functools.cache
def _scene() -> Scene:
    """The person shown, alone."""
    return table_of.scene().mapped(lambda values: values[SHOWN : SHOWN + 1])


@functools.cache
def _person() -> Tensor:
    return _scene().xy[0, 0].double()


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    errors = ", ".join(f"{name} {value:.1f}" for name, value in result.errors.items())
    causes = ", ".join(f"{name} {_size(value)}" for name, value in result.causes.items())
    return (f"Turned by {s.degrees} degrees, {s.picture}, {s.decoder}. Median error in px: {errors}. "
            f"Does not turn, {s.answer}: {causes}. {verdict(result)}")


def _size(value: float, digits: int = 2) -> str:
    return "0" if value < EXACT else f"{value:.{digits}f}"


def verdict(result: Result) -> str:
    """How far off the answer is, and why."""
    s, here, upright = result.state, result.errors[result.state.answer], result.upright[result.state.answer]
    name = {"as it is": "The network", "trained with turns": "The network that was trained with turns"}.get(
        s.answer, f"The {s.answer}")
    off = f"{name} is {here:.1f} px off"
    if s.degrees == 0:
        return f"{off}. Nothing was turned yet."
    if max(result.causes.values()) < EXACT:
        wrong = ", and is as wrong as upright" if here > 5 else ", and is as right as upright"
        return f"{off}, upright {upright:.1f} px. Its answer turns exactly with the picture{wrong}."
    most = max(PARTS, key=result.causes.get)
    none = [cause for cause in PARTS if result.causes[cause] < EXACT]
    rest = "; " + ", ".join(f"{cause} 0" for cause in none) if none else ""
    return f"{off}, upright {upright:.1f} px. The {most}'s part is the largest, {result.causes[most]:.1f} px{rest}."


def table(result: Result) -> str:
    """The answers; its shapes are the panels' legend."""
    rows = [(_page.legend(*STYLES[name], name), f"{result.errors[name]:.1f}", f"{result.upright[name]:.1f}", str(n))
            for name, n in zip(ANSWERS, PASSES, strict=True)]
    rows += [(cause, _size(result.causes[cause], 1), "", "") for cause in PARTS]
    return _page.table(("median px", "here", "upright", "passes"), rows)


_SIDE, _PX = 300, 64  # px on the page and of the picture


def view(result: Result) -> _page.View:
    """The picture with what was found; errors and causes against the angle."""
    s = result.state
    picture = _page.window(1, 24, _SIDE, _SIDE, (0, 0, _SIDE, _SIDE), _pictures(s.picture)[ANGLES.index(s.degrees)],
                           *_skeletons(result))
    panels = (
        _page.panel(f"turned by {s.degrees} degrees, {s.picture}", _SIDE + 2, _SIDE + 26, picture),
        _page.panel("median error (px) of the four answers", 430, _SIDE + 26, _axes(), _errors(result),
                    _causes(result)),
    )
    note = (
        "Dashed: where the keypoints are. Solid: what is found. At the right, above: the error of each answer against "
        "the angle; below: by how many px the answer shown does not turn with the picture, in three parts, if that is "
        "resampled. Medians over the visible keypoints of 60 people; less than 0.1 px is drawn at the bottom. The "
        "three parts are vectors; their medians do not add up."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


@functools.cache
def _pictures(kind: str) -> tuple[str, ...]:
    """The person at each angle, a little pale, in 32 colors."""
    images, upright = [], render(_scene(), table_of.HW).image[0]
    for degrees in ANGLES:
        turn = Affine.rotation(degrees, table_of.HW)
        if kind == PICTURES[0]:
            image = render(_scene().warped(turn), table_of.HW).image[0]
        else:
            image = warp_image(upright, turn, table_of.HW)
        pixels = image.permute(1, 2, 0)
        pale = Image.fromarray((255 - 0.8 * (255 - 255 * pixels)).round().byte().numpy()).quantize(32, dither=0)
        images.append(_page.embed(pale, 0, 0, _SIDE, _SIDE))
    return tuple(images)


def _skeletons(result: Result) -> list[str]:
    parts, scale = [], _SIDE / _PX
    for name, places, style in (("truth", result.truth, {"stroke_width": 2, "stroke_dasharray": "5 3"}),
                                ("found", result.found, {"stroke_width": 2.5})):
        at = [(scale * (x + 0.5), scale * (y + 0.5)) for x, y in places]
        lines = "".join(f"M{at[a][0]:.0f} {at[a][1]:.0f}L{at[b][0]:.0f} {at[b][1]:.0f}" for a, b in COCO_17.limbs)
        color = _page.INK if name == "truth" else STYLES[result.state.answer][1]
        parts.append(_page.tag("path", d=lines, fill="none", stroke=_page.PAPER, stroke_width=5, stroke_opacity=0.7))
        parts.append(_page.tag("path", d=lines, fill="none", stroke=color, data_name=name, **style))
    dots = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in at)
    parts.append(_page.tag("path", d=dots, stroke=color, stroke_width=7, stroke_linecap="round"))
    return parts


_ERROR = _page.Plot((40, 26, 374, 100), x=(0.0, 360.0), y=(1.0, 40.0), log="y")
_PART = _page.Plot((40, 176, 374, 100), x=(0.0, 360.0), y=(0.1, 40.0), log="y")


@functools.cache
def _axes() -> str:
    """The same for every state."""
    quarters = {float(angle): str(angle) for angle in range(0, 361, 90)}
    title = [_page.words("what does not turn:", 1, 168, color=_page.INK)]
    for y in (1, 3, 10, 30):
        title += _ERROR.level(y), _page.words(str(y), _ERROR.box[0] - 6, _ERROR.at(0, y)[1] + 4, anchor="end")
    for cause, x in zip(PARTS, (148, 256, 338), strict=True):
        dashes, color = PARTS[cause]
        title.append(_page.tag("line", x1=x, x2=x + 18, y1=164, y2=164, stroke=color, stroke_width=2,
                               stroke_dasharray=dashes))
        title.append(_page.words(cause, x + 21, 168, color=color))
    return _PART.axes(quarters, {0.1: "0.1", 1.0: "1", 10.0: "10"}, "degrees") + "".join(title)


@functools.lru_cache(maxsize=64)
def _line(box: str, *index: int) -> str:
    """Places of a stored curve, closed at 360 degrees."""
    plot, name = (_ERROR, "error") if box == "error" else (_PART, "causes")
    values = _table()[name][(slice(None), *index)].tolist()
    points = zip((*ANGLES, 360), (*values, values[0]), strict=True)
    return " ".join("{:.1f},{:.1f}".format(*plot.at(*point)) for point in points)


def _errors(result: Result) -> str:
    """All four answers, the one shown in bold, and where we are."""
    s, parts = result.state, [_here(_ERROR, result.state.degrees)]
    way = PICTURES.index(s.picture), DECODERS.index(s.decoder)
    for k, name in enumerate(ANSWERS):
        shape, color = STYLES[name]
        width = 3 if name == s.answer else 1.2
        parts.append(_page.tag("polyline", points=_line("error", *way, k), fill="none", stroke=color,
                               stroke_width=width, data_name=f"line {name}"))
    for name in ANSWERS:
        parts.append(_page.mark(*STYLES[name], *_ERROR.at(s.degrees, result.errors[name]), scale=0.9, name=name))
    return "".join(parts)


def _causes(result: Result) -> str:
    """The three parts of the answer shown."""
    s, parts = result.state, [_here(_PART, result.state.degrees)]
    way = DECODERS.index(s.decoder), ANSWERS.index(s.answer)
    for cause in PARTS:
        parts.append(_page.tag("polyline", points=_line("causes", *way, CAUSES.index(cause)), fill="none",
                               stroke=PARTS[cause][1], stroke_width=2, stroke_dasharray=PARTS[cause][0],
                               data_name=f"line {cause}"))
    return "".join(parts)


def _here(plot: _page.Plot, degrees: float) -> str:
    (x, _), (_, top, _, height) = plot.at(degrees, plot.y[0]), plot.box
    return _page.tag("line", x1=x, x2=x, y1=top, y2=top + height, stroke=_page.INK, stroke_dasharray="2 3")


CHALLENGES = (
    Challenge(
        "With the picture {picture} and turned by {degrees} degrees, bring the median error of the answer shown "
        "below {} px.",
        less(3, lambda result: result.errors[result.state.answer]), picture="resampled", degrees=135,
    ),
    Challenge(
        "With the answer {answer}, make the decoder's part larger than the network's by more than {} px.",
        more(0.5, lambda result: result.causes["decoder"] - result.causes["network"]), answer="as it is",
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
