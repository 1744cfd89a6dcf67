"""The sequence explorer: an action frame by frame, and what four nets say of it while keypoints tremble.

**Task.** Find out what each net needs in order to be right: time, order, steady keypoints, a camera that it knows.

1. Move *frame* from 1 to 40 while the person sits down. From which frame on does each net stay with the right answer?
   What did they say before, and why?

>>> def stays(name, **start):  # the frame from which on a net says what one sees; None: not at the end
...     result = compute(State(**start))
...     wrong = [n for n in range(1, FRAMES + 1) if says(result, name, n)[0] != result.shown]
...     return None if FRAMES in wrong else max(wrong, default=0) + 1
>>> print({name: stays(name) for name in NETS})
{'temporal': 33, 'order-free': None, 'on pixels': 30, 'trained on noise': 33}
>>> print({name: stays(name, action="waving") for name in NETS})
{'temporal': 1, 'order-free': 1, 'on pixels': 16, 'trained on noise': 5}
>>> print(sorted({says(compute(State()), "temporal", n)[0] for n in range(1, 33)}))
['picking up', 'walking']

   From 30 or 33 of 40 on, order-free not at all. Whoever is about to sit down stands, and no net has a name for that:
   the temporal one says walking or picking up. A hand in the air is a wave from the first frame on, for two of them.

2. Run the *film* backward. Whose answer changes? Try both actions of the pair, and other *persons*.

>>> there, back = (compute(State(film=film)) for film in ("forward", "backward"))
>>> for name in NETS:
...     print(name, "-", says(there, name, FRAMES)[0], "-", says(back, name, FRAMES)[0])
temporal - sitting down - standing up
order-free - standing up - standing up
on pixels - sitting down - standing up
trained on noise - sitting down - standing up
>>> bool((there.prob["order-free"][-1] - back.prob["order-free"][-1]).abs().max() < 1e-9)
True

   The answers of the three nets that see order. The last probabilities of the order-free one stay, as the film has the
   same frames. On the way there it has seen other frames, and they differ.

3. Set *noise in %* to 20, first drawn for each frame, then once for each film. Which is worse? What does training on
   noise help?

>>> for noise in ("each frame", "each film"):
...     right = compute(State(noise=noise)).right
...     print(noise, {name: right[name][SIZES.index(20)] for name in ("temporal", "trained on noise")})
each frame {'temporal': 63, 'trained on noise': 64}
each film {'temporal': 47, 'trained on noise': 54}

   Noise that stays: of 64 the temporal net gets 63 and 47. A net that averages over frames averages out what changes
   from frame to frame. Training on noise, which was drawn for each frame, helps against both and leaves a gap.

4. Set noise to 0, and the *camera* to farther, aside, rolled. Who is still right?

>>> for camera in CAMERAS:
...     right = compute(State(camera=camera)).right
...     print(camera, {name: right[name][0] for name in ("temporal", "on pixels")})
as trained {'temporal': 63, 'on pixels': 62}
farther {'temporal': 63, 'on pixels': 8}
aside {'temporal': 59, 'on pixels': 56}
rolled {'temporal': 42, 'on pixels': 51}

   Farther, where people are half as large and in another place, the normalized net loses nothing, and the other is
   right for 8 of 64, no more than by a guess. Normalization takes place and size away. It does not take away the angle
   of view: aside and rolled cost both nets something.

5. Camera as trained, noise of 60 % for each frame: which net is best? Would you take it?

>>> right = compute(State()).right
>>> print({name: right[name][SIZES.index(60)] for name in NETS})
{'temporal': 39, 'order-free': 10, 'on pixels': 57, 'trained on noise': 50}

   On pixels, with 57, though it is the one that fails with the camera farther away. Which net is best depends on what
   will vary where you use it. (These are single nets; the chapter compares three of each kind.)
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer
from posebook.geometry import Camera
from posebook.people import ACTIONS
from posebook.skeleton import COCO_17
from posebook.training.actions import CAMERA, FRAMES, HW, probabilities, sequences, stored, torso

NETS = {"temporal": "temporal", "order-free": "order-free", "on pixels": "temporal, pixels",
        "trained on noise": "temporal, noisy"}  # fmt: skip
CHOSEN = ("sitting down", "standing up", "picking up", "walking", "waving", "clapping")
REVERSED = {"sitting down": "standing up", "standing up": "sitting down"}
CAMERAS = {
    "as trained": CAMERA,
    "farther": Camera.look_at((0.0, -1.1, -8.0), (1.2, -0.2, 0.0), focal=360.0, hw=HW),
    "aside": Camera.look_at((3.6, -1.1, -1.7), (0.0, -1.1, 0.0), focal=360.0, hw=HW),
    "rolled": Camera.look_at((0.0, -1.1, -4.0), (0.0, -1.1, 0.0), focal=360.0, hw=HW, up=(1.0, -1.0, 0.0)),
}
SIZES = (0, 5, 10, 20, 30, 40, 60)  # of the noise, % of a torso length
PEOPLE, OTHERS = 8, 64  # to look at; to count with
SEED = 900

STYLES = {"temporal": ("circle", _page.BLUE), "order-free": ("square", _page.ORANGE),
          "on pixels": ("triangle", _page.RED), "trained on noise": ("diamond", _page.GREEN)}  # fmt: skip


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: the action and which way the film runs; the camera; whether noise is drawn for each
    frame or once for the film; how many frames have been seen; the standard deviation of each coordinate's noise in
    percent of a torso length; and who acts.
    """

    action: str = choice("sitting down", CHOSEN, width=104)
    film: str = choice("forward", ("forward", "backward"), width=90)
    camera: str = choice("as trained", tuple(CAMERAS), width=90)
    noise: str = choice("each frame", ("each frame", "each film"), width=90)
    frame: int = choice(28, tuple(range(1, FRAMES + 1)), slider=True)
    size: int = choice(0, SIZES, slider=True, label="noise in %")
    person: int = choice(1, tuple(range(1, PEOPLE + 1)), slider=True)


@dataclass(frozen=True, eq=False)
class Result:
    """What follows from a state."""

    state: State
    shown: str  # the action that one sees: backward, sitting down is standing up
    xy: Tensor  # (T, 17, 2) px
    found: Tensor  # (T, 17, 2) px: with noise
    px: float  # the noise's standard deviation
    prob: dict[str, Tensor]  # net -> (T, actions), row t after t + 1 frames
    right: dict[str, tuple[int, ...]]  # net -> how many of OTHERS at each of SIZES


def compute(state: State) -> Result:
    """Add noise to the keypoints, and ask all nets."""
    backward = state.film == "backward"
    shown = REVERSED.get(state.action, state.action) if backward else state.action
    xy, found, px, prob = _watched(state.action, backward, state.camera, state.noise, state.size, state.person)
    return Result(state, shown, xy, found, px, prob, _right(state.camera, state.noise))


@functools.lru_cache(32)
def _watched(action: str, backward: bool, camera: str, noise: str, size: int, person: int) -> tuple:
    """What :class:`Result` says of the keypoints, and of one person."""
    xy = _seen(action, camera)[person - 1]
    xy = xy.flip(0) if backward else xy
    px = size / 100 * torso(xy).item()
    found = xy + px * _noise(PEOPLE, noise)[person - 1]
    return xy, found, px, {name: probabilities(net, found[None])[0] for name, net in _nets().items()}


@functools.cache
def _seen(action: str, camera: str) -> Tensor:
    return sequences(PEOPLE, seed=SEED, camera=CAMERAS[camera], actions=(action,))[0]


@functools.cache
def _noise(count: int, noise: str) -> Tensor:
    source = torch.Generator().manual_seed(SEED)
    frames = FRAMES if noise == "each frame" else 1
    return torch.randn(count, frames, 17, 2, generator=source, dtype=torch.float64)


@functools.cache
def _nets() -> dict[str, torch.nn.Module]:
    return {name: stored(kept) for name, kept in NETS.items()}


@functools.cache
def _right(camera: str, noise: str) -> dict[str, tuple[int, ...]]:
    """Of other people, all actions equally often, whose films run forward."""
    xy, label = sequences(OTHERS, seed=SEED + 1, camera=CAMERAS[camera])
    step = _noise(OTHERS, noise) * torso(xy)[:, None, None, None] / 100
    right = {name: [(probabilities(net, xy + size * step)[:, -1].argmax(-1) == label).sum().item() for size in SIZES]
             for name, net in _nets().items()}  # fmt: skip
    return {name: tuple(counts) for name, counts in right.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def says(result: Result, name: str, frame: int) -> tuple[str, float]:
    """A net's likeliest action after so many frames, and its probability."""
    top, number = result.prob[name][frame - 1].max(-1)
    return tuple(ACTIONS)[number], top.item()


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s = result.state
    where = (f"{s.action.capitalize()}, film {s.film}, camera {s.camera}, person {s.person}; noise of {s.size} % of a "
             f"torso length, {result.px:.1f} px, drawn for {s.noise}.")
    said = ", ".join(f"{name} {action} ({top:.2f})" for name in NETS for action, top in [says(result, name, s.frame)])
    level = SIZES.index(s.size)
    counts = ", ".join(f"{name} {counts[level]}" for name, counts in result.right.items())
    return (f"{where} After {_frames(s.frame)} of {FRAMES}: {said}. Right for how many of {OTHERS} other people, films "
            f"forward: {counts}. {verdict(result)}")


def _frames(n: int) -> str:
    return f"{n} {'frame' if n == 1 else 'frames'}"


def verdict(result: Result) -> str:
    """What one sees, and who says so in the end."""
    told: dict[str, list[str]] = {}
    for name in NETS:
        told.setdefault(says(result, name, FRAMES)[0], []).append(name)
    said = "; ".join(f"{_listed(names)} {'says' if len(names) == 1 else 'say'} {action}"
                     for action, names in told.items())  # fmt: skip
    return f"One sees {_name(result)}. After all {FRAMES} frames {said}."


def _listed(names: list[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _name(result: Result) -> str:
    odd = result.state.film == "backward" and result.state.action not in REVERSED
    return result.shown + (" backward, which no net has learned" if odd else "")


def table(result: Result) -> str:
    """What each net says now and in the end; its shapes are the panels' legend."""
    level, rows = SIZES.index(result.state.size), []
    for name in NETS:
        now, end = (f"{action} {top:.2f}" for action, top in
                    (says(result, name, frame) for frame in (result.state.frame, FRAMES)))
        rows.append((_page.legend(*STYLES[name], name), now, end, f"{result.right[name][level]}"))
    return _page.table(("net", f"after {_frames(result.state.frame)}", f"after {FRAMES}", f"right of {OTHERS}"), rows)


def view(result: Result) -> _page.View:
    """The skeleton; probabilities over time and counts over noise; the probabilities of all actions."""
    s = result.state
    picture = _page.window(1, 24, 256, 256, (-0.5, -0.5, *map(float, HW)), _floor(s.camera), *_skeletons(result))
    panels = (
        _page.panel(f"frame {s.frame} of {FRAMES}", 258, 330, picture),
        _page.panel(f"probability of {result.shown}", 276, 330, _axes(), _courses(result), _counts(result)),
        _page.panel(f"of each action, after {_frames(s.frame)}", 252, 330, _rows(result)),
    )
    note = (
        "Gray: the true skeleton; black: with noise, which is what the nets read. Lines on the floor are 0.5 m apart. "
        "Order-free: from the mean of features of single frames. On pixels: as temporal, but not normalized. Trained "
        f"on noise: as temporal, on noise of up to 30 %. Right of {OTHERS}: 8 of each action."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


@functools.cache
def _floor(camera: str) -> str:
    at = [x / 2 for x in range(-3, 4)]
    ends = [((x, 0.0, -1.5), (x, 0.0, 1.5)) for x in at] + [((-1.5, 0.0, z), (1.5, 0.0, z)) for z in at]
    xy = CAMERAS[camera].project(torch.tensor(ends, dtype=torch.float64))
    d = "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {e:.1f}" for (a, b), (c, e) in xy.tolist())
    return _page.tag("path", d=d, stroke=_page.LINE, stroke_width=1, fill="none")


def _skeletons(result: Result) -> list[str]:
    at = result.state.frame - 1
    return [_limbs(xy[at], color, width, name) for xy, color, width, name in
            ((result.xy, "#a8b0b8", 5, "true"), (result.found, _page.INK, 2, "with noise"))]


def _limbs(xy: Tensor, color: str, width: float, name: str) -> str:
    places = [f"{x:.1f} {y:.1f}" for x, y in xy.tolist()]
    d = "".join([f"M{places[a]}L{places[b]}" for a, b in COCO_17.limbs])
    return _page.tag("path", d=d, fill="none", stroke=color, stroke_width=width, stroke_linecap="round", data_name=name)


_TIME = _page.Plot((30, 24, 234, 104), x=(1.0, FRAMES), y=(-0.04, 1.04), log="")  # frames, probability
_NOISE = _page.Plot((30, 192, 234, 100), x=(0.0, SIZES[-1]), y=(-0.04 * OTHERS, 1.04 * OTHERS), log="")
_EACH = _page.Plot((94, 24, 148, 248), x=(-0.05, 1.05), y=(-0.5, len(ACTIONS) - 0.5), log="")


@functools.cache
def _axes() -> str:
    half = {0.0: "0", 0.5: "0.5", 1.0: "1"}
    return "".join([
        _TIME.axes({float(n): str(n) for n in (1, 10, 20, 30, 40)}, half, "frames seen"),
        _page.words(f"right of {OTHERS} people", 1, 182, color=_page.INK),
        _NOISE.axes({float(n): str(n) for n in (0, 20, 40, 60)}, {OTHERS * n: f"{OTHERS * n:g}" for n in half},
                    "noise in % of a torso length"),
    ])


def _now(plot: _page.Plot, x: float) -> str:
    across, (_, top, _, height) = plot.at(x, 0)[0], plot.box
    return _page.tag("line", x1=across, x2=across, y1=top, y2=top + height, stroke=_page.INK, stroke_dasharray="2 3")


def _courses(result: Result) -> str:
    """The shown action's probability in each net, frame by frame."""
    a, frame = list(ACTIONS).index(result.shown), result.state.frame
    parts, marks = [_now(_TIME, frame)], []
    for name, prob in result.prob.items():
        course = prob[:, a].clamp(0, 1).tolist()
        parts.append(_TIME.curve(enumerate(course, 1), STYLES[name][1], data_name=f"course {name}"))
        marks.append(_page.mark(*STYLES[name], *_TIME.at(frame, course[frame - 1]), scale=0.8, name=f"now {name}"))
    return "".join(parts + marks)


def _counts(result: Result) -> str:
    parts, marks, level = [_now(_NOISE, result.state.size)], [], SIZES.index(result.state.size)
    for name, counts in result.right.items():
        parts.append(_NOISE.curve(zip(map(float, SIZES), counts, strict=True), STYLES[name][1]))
        marks.append(_page.mark(*STYLES[name], *_NOISE.at(SIZES[level], counts[level]), scale=0.8,
                                name=f"right {name}"))  # fmt: skip
    return "".join(parts + marks)


def _rows(result: Result) -> str:
    """All actions with their probability, that of each net in a lane of its own."""
    parts, marks = [_each_axes()], []
    for row, action in enumerate(ACTIONS):
        if action == result.shown:
            x, y = _EACH.at(_EACH.x[0], len(ACTIONS) - 1 - row)
            parts.append(_page.tag("rect", x=x, y=y - 15.5, width=_EACH.box[2], height=31, fill="#eef1f4"))
        for lane, name in enumerate(NETS):
            p = result.prob[name][result.state.frame - 1, row].item()
            x, y = _EACH.at(p, len(ACTIONS) - 1 - row)
            marks.append(_page.mark(*STYLES[name], x, y - 9 + 6 * lane, scale=0.6, name=f"{action}, {name}"))
    return "".join(parts + marks)


@functools.cache
def _each_axes() -> str:
    left, top, _, height = _EACH.box
    names = [_page.words(action, left - 6, _EACH.at(0, len(ACTIONS) - 1 - row)[1] + 4, anchor="end")
             for row, action in enumerate(ACTIONS)]
    lines = [_page.tag("line", x1=x, x2=x, y1=top, y2=top + height, stroke=_page.LINE)
             for x in (_EACH.at(p, 0)[0] for p in (0, 0.5, 1))]
    ticks = [_page.words(text, _EACH.at(p, 0)[0], top + height + 15, anchor="middle")
             for p, text in ((0, "0"), (0.5, "0.5"), (1, "1"))]
    return "".join(names + lines + ticks)


def _given(result: Result, name: str) -> float:
    """The probability that a net gives what one sees."""
    return result.prob[name][result.state.frame - 1, tuple(ACTIONS).index(result.shown)].item()


def _wrong(result: Result, name: str) -> float:
    """The probability of a net's answer, if it is wrong."""
    answer, probability = says(result, name, result.state.frame)
    return probability if answer != result.shown else 0.0


CHALLENGES = (
    Challenge(
        "At frame {frame}, with the whole film seen, make the temporal net give a wrong answer a probability "
        "above {}.",
        more(0.9, lambda result: _wrong(result, "temporal")), frame=FRAMES,
    ),
    Challenge(
        "Find a frame at which order-free alone is right: it gives what one sees a probability above {}, and each "
        "other net one below {}.",
        more(0.6, lambda result: _given(result, "order-free")),
        less(0.3, lambda result: max(_given(result, name) for name in NETS if name != "order-free")),
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
