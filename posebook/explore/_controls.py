"""What is moved: the fields of a state, the widgets that follow from them, and the object that owns these.

A state says once where each control starts, what it may be set to and what moves it:

>>> @dataclass(frozen=True)
... class State(Checked):
...     stride: int = choice(4, (1, 2, 4))
...     tau: float = number(0.1, 0.01, 10, step=0.02, log=True)
>>> State(tau=0.0)
Traceback (most recent call last):
ValueError: tau: want a number from 0.01 to 10, got 0.0
"""

import base64
import dataclasses
import functools
import html
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

from ipywidgets import (
    HTML,
    BoundedFloatText,
    BoundedIntText,
    FloatLogSlider,
    FloatSlider,
    HBox,
    Layout,
    SelectionSlider,
    ToggleButtons,
    VBox,
)

from posebook import _args
from posebook.explore._challenges import Challenge, listed
from posebook.explore._page import View, tag

_HIDDEN = "position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap"


@dataclass(frozen=True)
class Number:
    """A number between two bounds: a box, which has the label and holds the value, and its slider.

    With ``log``, a step of the slider is one of log10.
    """

    low: float
    high: float
    step: float
    log: bool
    label: str

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def allows(self, value: object) -> bool:
        return _args.is_number(value) and self.low <= value <= self.high

    def widgets(self, label: str, value: float) -> list:
        """The page moves a slider to its nearest step and tells the kernel: within half a step neither follows the
        other, so that a number stays as it was typed.
        """
        place = math.log10 if self.log else float
        box = BoundedFloatText(value, description=label, min=self.low, max=self.high, step=None)
        slider = (FloatLogSlider if self.log else FloatSlider)(
            value, min=place(self.low), max=place(self.high), step=self.step)

        def follow(change: dict) -> None:
            other = slider if change["owner"] is box else box
            if abs(place(change["new"]) - place(other.value)) > 0.5 * self.step + 1e-9:
                other.value = float(f"{change['new']:.4g}")

        return _beside(box, slider, follow)


@dataclass(frozen=True)
class Choice:
    """One of several values: buttons ``width`` px wide, one of them down; or a slider, beside a box for numbers."""

    options: tuple
    width: int
    slider: bool
    label: str

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.options))

    def allows(self, value: object) -> bool:
        return not isinstance(value, bool) and value in self.options

    def widgets(self, label: str, value: object) -> list:
        if self.slider:
            return self._slider(label, value)
        buttons = ToggleButtons(value=value, options=self.options, description=label)
        buttons.style.button_width = f"{self.width}px"
        row = len(self.options) if self.width * len(self.options) < 780 else 2
        buttons.layout = Layout(width="auto", max_width=f"{72 + row * (self.width + 4)}px", display="flex",
                                flex_flow="row wrap", align_items="center")
        return [buttons]

    def _slider(self, label: str, value: int) -> list:
        """Each press of an arrow is the next option; a number typed in between becomes the nearest one."""
        box = BoundedIntText(value, description=label, min=self.options[0], max=self.options[-1])
        slider = SelectionSlider(value=value, options=self.options)

        def follow(change: dict) -> None:
            slider.value = box.value = min(self.options, key=lambda option: abs(option - change["new"]))

        return _beside(box, slider, follow)


def _beside(box: BoundedFloatText | BoundedIntText, slider: FloatSlider | SelectionSlider, follow: Callable) -> list:
    box.layout.width, slider.layout.width, slider.readout = "150px", "245px", False
    for widget in (box, slider):
        widget.observe(follow, "value")
    return [box, slider]


def number(start: float, low: float, high: float, *, step: float, log: bool = False, label: str = "") -> float:
    """A field of a state that is a :class:`Number`; its label is the field's name, or this one."""
    return dataclasses.field(default=start, metadata={"control": Number(low, high, step, log, label)})


def choice(start: object, options: tuple, *, width: int = 50, slider: bool = False, label: str = "") -> object:
    """A field of a state that is a :class:`Choice`; its label is the field's name, or this one."""
    return dataclasses.field(default=start, metadata={"control": Choice(options, width, slider, label)})


@functools.cache
def controls(state: type) -> dict[str, Number | Choice]:
    """What each field of a state may be, in reading order."""
    return {field.name: field.metadata["control"] for field in dataclasses.fields(state)}


class Checked:
    """The base of a state, a frozen dataclass of numbers and choices: none of its fields is out of range."""

    def __post_init__(self):
        for name, control in controls(type(self)).items():
            value = getattr(self, name)
            if not control.allows(value):
                _args.fail(name, str(control), repr(value) if isinstance(control, Choice) else value)


class Explorer:
    """Owns the widgets; what they show is a pure function of a state.

    Args:
        state: where to start.
        compute: state -> result.
        view: result -> what is shown.
        challenges: what to reach by moving.
    """

    def __init__(self, state: Checked, compute: Callable, view: Callable[[object], View],
                 challenges: tuple[Challenge, ...]):
        self._state, self._compute, self._view = type(state), compute, view
        self._challenges, self._solved = challenges, set()
        self.controls, rows = {}, []
        for name, control in controls(self._state).items():
            widgets = control.widgets(control.label or name, getattr(state, name))
            widgets[0].style.description_width = "60px"
            narrow = len(widgets) > 1 or control.width * len(control.options) < 300
            rows.append(HBox(widgets, layout=Layout(flex="0 0 410px" if narrow else "0 0 100%")))
            self.controls[name] = widgets[0]
            widgets[0].observe(self._move, "value")
        self.view, self.challenges, self.status = HTML(), HTML(listed(challenges)), HTML()
        top = HBox(rows, layout=Layout(flex_flow="row wrap", max_width="860px"))
        self.box = VBox([top, self.view, self.challenges, self.status])
        self._move()

    def _move(self, change: dict | None = None) -> None:
        """The one observer: controls, state, result, view. An exception would leave no trace, so it is said.

        A screen reader reads out a logarithmic slider as its exponent, so the value is said as well.
        """
        try:
            result = self._compute(self._state(**{name: control.value for name, control in self.controls.items()}))
            shown = self._view(result)
            self.view.value = shown.html()
            self.result, self.shown = result, shown
            if change:
                said = f"{change['owner'].description} {change['owner'].value}. {self._judge(result)}{shown.verdict}"
                self.status.value = tag("div", html.escape(said), role="status", style=_HIDDEN)
        except Exception as error:
            self.status.value = tag("div", html.escape(f"{type(error).__name__}: {error}"), role="alert")

    def _judge(self, result: object) -> str:
        """Mark the challenges that this result solves as the first; what is said of them."""
        new = [k for k, each in enumerate(self._challenges) if k not in self._solved and each.solved(result)]
        if new:
            self._solved.update(new)
            self.challenges.value = listed(self._challenges, self._solved)
        return "".join(f"Solved: {self._challenges[k].text} " for k in new)

    def _repr_mimebundle_(self, **_: object) -> tuple[dict, dict]:
        """The widgets, and for pages without a kernel a picture of the same view.

        The picture is no SVG: GitHub and nbviewer break these, and JupyterLab hides them in a notebook that came
        from elsewhere.
        """
        from posebook.explore._png import png  # matplotlib is slow to import, and no move needs it

        sentence = self.shown.sentence
        picture = base64.b64encode(png(self.shown)).decode()
        data = self.box._repr_mimebundle_() | {"image/png": picture, "text/plain": sentence}
        return data, {"image/png": {"alt": sentence}}


def explorer(state: type, compute: Callable, view: Callable[[object], View],
             challenges: tuple[Challenge, ...]) -> Callable[..., Explorer]:
    """The function that starts an explorer, with the fields of its state as keywords."""

    def explore(**start: object) -> Explorer:
        return Explorer(state(**start), compute, view, challenges)

    lines = [f"    {field.name}: {field.metadata['control']}; {field.default!r}" for field in dataclasses.fields(state)]
    explore.__doc__ = "The explorer. What its controls may be set to, and where they start:\n\n" + "\n".join(lines)
    keywords = inspect.signature(state).parameters.values()
    explore.__signature__ = inspect.Signature([keyword.replace(kind=keyword.KEYWORD_ONLY) for keyword in keywords])
    explore.__module__ = state.__module__
    return explore
