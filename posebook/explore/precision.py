"""The average precision explorer: two people, up to three detections, who finds whom, and the AP that follows.

**Task.** Find out what a wrong detection costs, and when it costs nothing.

1. Where it starts, detection 3 is a duplicate with the lowest score. What does it cost? Raise *score 3* to 0.95; then
   the *least OKS* to 0.60.

>>> first = compute(State(score3=0.95))
>>> [f"{result.here:.3f}" for result in (compute(State()), first, compute(State(score3=0.95, threshold=0.6)))]
['1.000', '0.835', '0.667']
>>> print(verdict(first))
Detection 3 comes first and takes person 1 with OKS 0.58; detection 1, with 0.70, is left over and wrong. \
AP at 0.50 is 0.835, over all ten 0.401.

   Nothing: no right one comes after it, and nothing is read beyond the last right one. With the highest score it takes
   person 1, and the better detection is left over: (51 + 50 * 2/3) / 101 = 0.835. From 0.60 on it is wrong itself and
   comes before both right ones: 2/3.

2. Set *third* to none. Raise *error 2* until person 2 is missed. Half of the people are found: is AP one half? Put it
   back, and raise *shift 1* until person 1 is missed. Is that the same?

>>> for state in (State(third="none", error=12), State(third="none", error=12.5), State(third="none", shift=19)):
...     result = compute(state)
...     print(f"{result.detections[0].oks[0]:.3f} {result.detections[1].oks[1]:.3f}: AP {result.here:.3f}")
0.708 0.522: AP 1.000
0.708 0.500: AP 0.505
0.493 0.805: AP 0.252

   No, 51/101 = 0.505: of the readings at recall 0, 0.01 ... 1, those from 0 to 0.5 are 51. With half a pixel more all
   is lost at once: OKS 0.49991 is just below 0.5 and counts as nothing. Detection 1 has the higher score: missing its
   person, it stands before the only right one, which halves the precision too: 0.252.

3. Set *third* to nobody, and *score 2* and *score 3* to 0.7, the score of detection 1. Which of the three comes first?

>>> tied = compute(State(third="nobody", score2=0.7, score3=0.7))
>>> print(verdict(tied))
Equal scores: the order in the file decides. Turned round, the same file has an AP at 0.50 of 0.667. \
AP at 0.50 is 1.000, over all ten 0.550.

   The one that the file lists first. A detector that says the same score for everything, and happens to write the wrong
   detections last, gets an AP at 0.50 of 1.

4. Set *third* to none. Without touching the error of 6 px, make person 2 smaller, from 240 px to 70. What happens to
   her OKS, to AP and to AP of medium people?

>>> for height in (240, 160, 100, 72, 70):
...     result = compute(State(third="none", height=height))
...     stats = (figure(result.stats[name]) for name in ("AP", "APM"))
...     print(f"{result.areas[1]:.0f} px: OKS {result.detections[1].oks[1]:.2f}, AP and APM", *stats)
11520 px: OKS 0.90, AP and APM 0.58 -1
5120 px: OKS 0.80, AP and APM 0.55 0.70
2000 px: OKS 0.63, AP and APM 0.40 0.30
1037 px: OKS 0.46, AP and APM 0.25 0.00
980 px: OKS 0.45, AP and APM 0.25 -1

   The same 6 px are OKS 0.90 on a large person and 0.45 on a small one: an error counts relative to the root of the
   area. APM is -1 where nobody of medium size is there to find. Below 32 x 32 = 1024 px she is neither medium nor
   large, but counts in AP.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import evaluation
from posebook.explore import _page
from posebook.explore._challenges import Challenge, less, more
from posebook.explore._controls import Checked, choice, explorer, number
from posebook.results import read
from posebook.skeleton import COCO_17

WIDTH, HEIGHT = 410, 300  # of the image in px
TALL, SCORE = 240.0, 0.7  # person 1's height in px; detection 1's score
POSE = {  # (x, y) from the middle of a person, in heights
    "nose": (0.0, -0.42), "left_shoulder": (0.10, -0.28), "right_shoulder": (-0.10, -0.28), "left_wrist": (0.23, -0.44),
    "right_wrist": (-0.18, 0.0), "left_hip": (0.07, 0.04), "right_hip": (-0.07, 0.04), "left_ankle": (0.09, 0.47),
    "right_ankle": (-0.11, 0.47),
}  # fmt: skip
LIMBS = ((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (1, 5), (2, 6), (5, 6), (5, 7), (6, 8))
SIGMAS = tuple(COCO_17.oks_sigmas[COCO_17.names.index(name)] for name in POSE)
MIDDLES = {"1": (90.0, 150.0), "2": (248.0, 150.0), "nobody": (362.0, 110.0)}
THIRD = ("duplicate", "nobody", "none")
BESIDE = 16.0  # px between person 1 and her duplicate
THRESHOLDS = tuple(round(float(value), 2) for value in evaluation.THRESHOLDS)

PERSON = "circle", _page.INK
DETECTIONS = {1: ("square", _page.BLUE), 2: ("diamond", _page.ORANGE), 3: ("triangle", _page.RED)}


@dataclass(frozen=True)
class State(Checked):
    """Where the controls stand: the detections' errors and person 2's height in px, two scores, the least OKS."""

    shift: float = number(12.0, 0, 170, step=1, label="shift 1")
    error: float = number(6.0, 0, 40, step=0.5, label="error 2")
    height: float = number(160.0, 40, TALL, step=2, label="height 2")
    score2: float = number(0.6, 0.05, 1, step=0.05, label="score 2")
    score3: float = number(0.5, 0.05, 1, step=0.05, label="score 3")
    third: str = choice("duplicate", THIRD, width=90)
    threshold: float = choice(0.5, THRESHOLDS, label="least OKS")


@dataclass(frozen=True)
class Detection:
    """One detection, and what became of it at the least OKS; people are counted from 1."""

    name: int
    score: float
    xy: tuple[tuple[float, float], ...]  # px
    oks: tuple[float, float]  # with person 1 and 2
    finds: int  # person; 0 for nobody
    right: int  # detections that found somebody up to here, this one included


@dataclass(frozen=True)
class Result:
    """What follows from a state."""

    state: State
    people: tuple[tuple[tuple[float, float], ...], ...]  # px
    areas: tuple[float, float]  # square px
    detections: tuple[Detection, ...]  # as COCO goes through them: highest score first, equal ones by the file
    readings: tuple[float, ...]  # precision at the 101 recalls, at the least OKS
    each: tuple[float, ...]  # AP at each of the ten thresholds
    here: float  # AP at the least OKS
    turned: float  # the same of the file turned round
    stats: dict[str, float]  # COCO's; -1 where there is nobody to find


def compute(state: State) -> Result:
    """Draw two people, put the detections beside them, and let COCO's evaluation judge."""
    heights = TALL, state.height
    people = [_person(MIDDLES[name], height) for name, height in zip("12", heights, strict=True)]
    areas = [0.2 * height**2 for height in heights]
    angle = 2.4 * torch.arange(len(POSE), dtype=torch.float64)
    found = [people[0] + torch.tensor([state.shift, 0.0]),
             people[1] + state.error * torch.stack((angle.cos(), angle.sin()), -1)]
    if state.third != "none":
        nobody = _person(MIDDLES["nobody"], 100.0)
        found.append(nobody if state.third == "nobody" else people[0] - torch.tensor([BESIDE, 0.0]))
    scores = (SCORE, state.score2, state.score3)[: len(found)]
    file = [_record(xy) | {"score": score} for xy, score in zip(found, scores, strict=True)]
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "keypoints": list(POSE)}],
             "annotations": [_record(people[k]) | {"id": k + 1, "area": areas[k]} for k in (0, 1)]}

    (category,), judged, match = _judged(truth, file)
    at, oks = THRESHOLDS.index(state.threshold), evaluation.similarities(category)[2].reshape(-1, 2).tolist()
    here = judged.precision[at, :, 0, 0]
    detections, right = [], 0
    for row, pair, finds in zip(category.found.row.tolist(), oks, (match[at] + 1).tolist(), strict=True):
        right += finds > 0
        detections.append(Detection(row + 1, scores[row], _points(found[row]), tuple(pair), finds, right))
    tied = len(set(scores)) < len(scores)
    turned = _judged(truth, file[::-1])[1].precision[at, :, 0, 0] if tied else here
    return Result(
        state=state,
        people=tuple(map(_points, people)),
        areas=tuple(areas),
        detections=tuple(detections),
        readings=tuple(here.tolist()),
        each=tuple(judged.precision[..., 0, 0].mean(1).tolist()),
        here=here.mean().item(),
        turned=turned.mean().item(),
        stats=judged.stats,
    )


def _person(middle: tuple[float, float], height: float) -> Tensor:
    """Keypoints in px, (9, 2)."""
    return torch.tensor(middle, dtype=torch.float64) + height * torch.tensor(list(POSE.values()), dtype=torch.float64)


def _record(xy: Tensor) -> dict:
    """In COCO's format, all keypoints labeled."""
    return {"image_id": 1, "category_id": 1, "keypoints": [v for x, y in xy.tolist() for v in (x, y, 2)]}


def _points(xy: Tensor) -> tuple[tuple[float, float], ...]:
    return tuple(map(tuple, xy.tolist()))


def _judged(truth: dict, file: list) -> tuple:
    """The one category, COCO's figures, and the person of each detection at each threshold, (10, D), or -1."""
    categories = read(truth, file, sigmas=SIGMAS)
    category, ignored = categories[0], categories[0].people.ignored[None]
    pairs = evaluation.similarities(category)
    match = evaluation.matches(category, *pairs, ignored, evaluation.THRESHOLDS)[0]
    return categories, evaluation.evaluate(categories), match


# ---------------------------------------------------------------------------------------------------------------------
# Views of a result


def sentence(result: Result) -> str:
    """One line with the numbers."""
    s, told = result.state, []
    for d in result.detections:
        finds = f"finds person {d.finds}" if d.finds else "finds nobody"
        told.append(f"detection {d.name}, score {d.score:.2f}, OKS {_cut(d.oks[0])} and {_cut(d.oks[1])}, {finds}")
    return f"Least OKS {s.threshold:.2f}. By score: {'; '.join(told)}. {verdict(result)}"


def verdict(result: Result) -> str:
    """Why AP is what it is."""
    at = f"{result.state.threshold:.2f}"
    ap = f"AP at {at} is {result.here:.3f}, over all ten {result.stats['AP']:.3f}."
    if abs(result.turned - result.here) > 1e-9:
        turned = f"Turned round, the same file has an AP at {at} of {result.turned:.3f}."
        return f"Equal scores: the order in the file decides. {turned} {ap}"
    return " ".join(filter(None, (_missed(result), _wrong(result), ap)))


def _missed(result: Result) -> str:
    """Who is not found, and what that leaves."""
    least, seen = result.state.threshold, {d.finds for d in result.detections}
    missed, told = [person for person in (1, 2) if person not in seen], []
    for person in missed:
        best = max(d.oks[person - 1] for d in result.detections)
        below = "just below" if best > least - 0.05 else "below"
        taken = f"Person {person} is missed: who comes near her finds the other."
        told.append(f"Person {person} is missed: the best OKS is {_cut(best)}, {below} {least:.2f}."
                    if best < least else taken)
    if missed:
        told.append("Nobody found: all 101 readings are 0." if len(missed) == 2 else
                    f"One of two found: {sum(r > 0 for r in result.readings)} of the 101 readings are above 0.")
    return " ".join(told)


def _wrong(result: Result) -> str:
    """What wrong detections cost."""
    wrong = [d for d in result.detections if not d.finds]
    total = result.detections[-1].right
    for d in wrong:
        for other in result.detections[: result.detections.index(d)]:
            if other.finds and d.oks[other.finds - 1] > max(other.oks[other.finds - 1], result.state.threshold):
                k = other.finds - 1
                return (f"Detection {other.name} comes first and takes person {k + 1} with OKS {_cut(other.oks[k])}; "
                        f"detection {d.name}, with {_cut(d.oks[k])}, is left over and wrong.")
    if any(d.right < total for d in wrong):
        names = " and ".join(str(d.name) for d in wrong if d.right < total)
        return f"Wrong and before a right one: detection {names}; from there on precision is below 1."
    if wrong and total:
        return "What is wrong comes after the last right one, where nothing is read: it costs nothing."
    return "Both people are found, and nothing is wrong." if total == 2 else ""


def _cut(value: float) -> str:
    """Two decimals, cut off, so that what is below a threshold looks so."""
    return f"{math.floor(100 * value) / 100:.2f}"


def figure(value: float) -> str:
    """An AP; -1 is no number, but says that there was nobody to find."""
    return "-1" if value < 0 else f"{value:.2f}"


def table(result: Result) -> str:
    """People and detections by score; its shapes are the panels' legend."""
    rows = [(_page.legend(*PERSON, "area in px²"), "", *(f"{area:.0f}" for area in result.areas), "", "")]
    for n, d in enumerate(result.detections, 1):
        name = _page.legend(*DETECTIONS[d.name], f"detection {d.name}")
        rows.append((name, f"{d.score:.2f}", *map(_cut, d.oks), str(d.finds or "-"), f"{d.right} of {n}"))
    return _page.table(("by score", "score", "OKS 1", "OKS 2", "finds", "right"), rows)


def view(result: Result) -> _page.View:
    """The image with all that was found; precision over recall, and AP at each threshold."""
    labels = [_page.words(f"person {name}", MIDDLES[name][0] + 1, 38, color=_page.INK, anchor="middle")
              for name in "12"]
    image = _page.window(1, 24, WIDTH, HEIGHT, (0, 0, WIDTH, HEIGHT), *_people(result), *_found(result))
    panels = (
        _page.panel(f"an image of {WIDTH} x {HEIGHT} px", WIDTH + 2, 326, image, *labels),
        _page.panel(f"precision over recall at OKS {result.state.threshold:.2f}: AP {result.here:.3f}", 390, 326,
                    _curve(result), _bars(result)),
    )
    note = (
        f"Detection 1 is person 1 moved to the right, with score {SCORE}. Detection 2 is person 2, each keypoint off "
        f"by error 2. Detection 3 is person 1 moved {BESIDE:g} px to the left, or nobody. On its circle a keypoint "
        "alone has the least OKS; dashed: not found, or finds nobody. Dots: the 101 readings, each the highest "
        "precision at its recall or beyond. Area: 0.2 of the squared height. -1: nobody of that size."
    )
    return _page.View(panels, table(result), sentence(result), verdict(result), note)


def _people(result: Result) -> list[str]:
    """Two gray bodies; around each keypoint what the least OKS allows."""
    parts, seen = [], {d.finds for d in result.detections}
    for k, (person, area, height) in enumerate(
            zip(result.people, result.areas, (TALL, result.state.height), strict=True)):
        style = {"fill": "none", "stroke": "#e4e6e9", "stroke_linecap": "round"}
        parts.append(_page.tag("path", d=_limbs(person), stroke_width=0.09 * height, **style))
        parts.append(_page.tag("path", d=_dots(person[:1]), stroke_width=0.15 * height, **style))
        found = {"stroke": _page.GREEN} if k + 1 in seen else {"stroke": _page.GRAY, "stroke_dasharray": "3 3"}
        for (x, y), sigma in zip(person, SIGMAS, strict=True):
            r = math.sqrt(-2 * math.log(result.state.threshold) * area) * 2 * sigma
            parts.append(_page.tag("circle", cx=x, cy=y, r=r, fill="none", **found))
        dots = {"stroke_width": 4, "stroke_linecap": "round"}
        parts.append(_page.tag("path", d=_dots(person), stroke=PERSON[1], **dots))
    return parts


def _found(result: Result) -> list[str]:
    """Each detection as lines, dots and its mark at the nose; the highest score on top."""
    parts = []
    for d in reversed(result.detections):
        shape, color = DETECTIONS[d.name]
        dashes = {} if d.finds else {"stroke_dasharray": "4 4"}
        parts.append(_page.tag("path", d=_limbs(d.xy), fill="none", stroke=color, stroke_width=1.5, **dashes))
        parts.append(_page.tag("path", d=_dots(d.xy), stroke=color, stroke_width=5, stroke_linecap="round"))
        parts.append(_page.mark(shape, color, *d.xy[0], name=f"detection {d.name}"))
    return parts


def _limbs(xy: tuple[tuple[float, float], ...]) -> str:
    places = [f"{x:.1f} {y:.1f}" for x, y in xy]
    return "".join(f"M{places[a]}L{places[b]}" for a, b in LIMBS)


def _dots(xy: tuple[tuple[float, float], ...]) -> str:
    return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in xy)


_CURVE = _page.Plot((36, 26, 346, 150), x=(0.0, 1.0), y=(0.0, 1.0), log="")  # recall, precision
_BARS = _page.Plot((36, 246, 346, 46), x=(0.475, 0.975), y=(0.0, 1.0), log="")  # least OKS, AP


@functools.cache
def _axes() -> str:
    """The same for every state."""
    halves = {0.0: "0", 0.5: "0.5", 1.0: "1"}
    least = {value: f"{value:.2f}" for value in THRESHOLDS}
    return _CURVE.axes(halves, halves, "recall") + _BARS.axes(least, {0.0: "0", 1.0: "1"}, "least OKS")


def _curve(result: Result) -> str:
    """Precision and recall after each detection, and the readings."""
    after = [(d.right / 2, d.right / n, d.name) for n, d in enumerate(result.detections, 1)]
    readings = zip(evaluation.RECALLS.tolist(), result.readings, strict=True)
    dots = _dots(tuple(_CURVE.at(*reading) for reading in readings))
    return "".join([
        _axes(),
        _CURVE.curve([(recall, precision) for recall, precision, _ in after], _page.GRAY, 1),
        _page.tag("path", d=dots, stroke=_page.INK, stroke_width=2.6, stroke_linecap="round", data_name="readings"),
        *(_page.mark(*DETECTIONS[name], *_CURVE.at(recall, precision), name=f"after {name}")
          for recall, precision, name in reversed(after)),
    ])


def _bars(result: Result) -> str:
    """AP at each threshold; the chosen one is dark."""
    stats, parts = result.stats, []
    title = f"AP by least OKS: mean {stats['AP']:.2f} (medium {figure(stats['APM'])}, large {figure(stats['APL'])})"
    for least, ap in zip(THRESHOLDS, result.each, strict=True):
        (x, top), bottom = _BARS.at(least, ap), _BARS.at(least, 0)[1]
        color = _page.INK if least == result.state.threshold else _page.LINE
        parts.append(_page.tag("rect", x=x - 12, y=top, width=24, height=bottom - top, fill=color))
    return _page.words(title, 1, 232, color=_page.INK) + "".join(parts)


CHALLENGES = (
    Challenge(
        "Make the {third} useful: detection 3 finds person 1, detection 1 nobody, and AP at the least OKS is "
        "above {}.",
        more(0.8, lambda result: result.here),
        lambda result: {d.name: d.finds for d in result.detections}.items() >= {(3, 1), (1, 0)}, third="duplicate",
    ),
    Challenge(
        "Let AP at the least OKS be above {} and AP over all ten below {}.",
        more(0.99, lambda result: result.here), less(0.4, lambda result: result.stats["AP"]),
    ),
)

explore = explorer(State, compute, view, CHALLENGES)
