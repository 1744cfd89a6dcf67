"""Questions of several choices in a notebook: what they hold, and how they look, with a kernel and without one."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ipywidgets import HTML, Button, Layout, RadioButtons, VBox

from posebook._links import See

_STYLE = """<style>
.posebook-ask {max-width: 860px; margin: 4px 0; padding: 2px 0 2px 12px; border-left: 4px solid currentColor}
.posebook-ask .widget-radio {width: auto; height: auto; margin: 2px 0}
.posebook-ask .widget-radio-box {height: auto; min-height: 0; margin: 0; max-width: 100%}
.posebook-ask .widget-radio-box label {height: auto; line-height: 1.4; padding: 3px 0; margin: 0; white-space: normal;
  display: flex; flex-direction: row-reverse; justify-content: flex-end; gap: 8px; font-size: 14px}
.posebook-ask .widget-radio-box input {flex: none; margin: 0}
.posebook-ask .widget-radio-box:not(.widget-radio-box-vertical) {display: flex; flex-flow: row wrap; gap: 0 20px}
.posebook-ask .widget-radio > .widget-label {font-size: 14px; width: auto}
.posebook-ask .widget-button {width: auto; align-self: flex-start}
.posebook-ask :is(p, .widget-html-content) {margin: 0; font-size: 14px; line-height: 1.4; white-space: normal}
</style>"""


@dataclass(frozen=True)
class Option:
    """One of the answers, in plain text: math in unicode."""

    words: str
    why: str  # one or two sentences: why right, or which mistake it is
    right: bool = False
    see: See | None = None  # where an explorer shows it


@dataclass(frozen=True)
class Question:
    """A question in plain text, with 2 to 4 options, exactly one of them right."""

    name: str  # "2.1" for the Predict of section 2.1; "2-a" for a quiz
    text: str
    options: tuple[Option, ...]

    @property
    def right(self) -> Option:
        """The option that is right."""
        return next(option for option in self.options if option.right)

    @property
    def digest(self) -> str:
        """Of what is asked: an answer to another wording, or to another key, does not count."""
        whole = "\n".join([self.text, *(f"{option.right:d} {option.words}" for option in self.options)])
        return hashlib.sha256(whole.encode()).hexdigest()[:12]

    def html(self, hint: str = "") -> str:
        """The question as a page without a kernel shows it: it gives nothing away."""
        rows = "".join(f"<li>{escape(option.words)}</li>" for option in self.options)
        below = f"<p>{escape(hint)}</p>" if hint else ""
        return f'<div class="posebook-question"><p><b>{escape(self.text)}</b></p><ul>{rows}</ul>{below}</div>'


def firsts(entries: Iterable[dict], questions: Mapping[str, Question]) -> dict[str, tuple[Option, dict]]:
    """The first answer to each question as it is asked today, and its entry; all other entries are passed over."""
    found = {}
    for entry in entries:
        name = entry.get("question")
        question = questions.get(name) if isinstance(name, str) and name not in found else None
        if question and entry.get("digest") == question.digest:
            option = next((option for option in question.options if option.words == entry.get("answer")), None)
            found |= {name: (option, entry)} if option else {}
    return found


class Asked:
    """A question on the page: its options, how sure one is, a button, and a line that says what came of it.

    Args:
        question: what is asked.
        take: gets the option that was chosen and the value for how sure; what it returns, HTML, is said.
        button: what the button says.
        sure: pairs of a label and a value for how sure one is; none: this is not asked.
        hint: what a page without a kernel says below the options.
    """

    def __init__(self, question: Question, take: Callable[[Option, object], str], *, button: str,
                 sure: Sequence[tuple[str, object]] = (), hint: str = ""):
        self.question, self.hint, self._take = question, hint, take
        self.options = RadioButtons(options=[(option.words, option) for option in question.options], index=None)
        self.sure = RadioButtons(options=list(sure), index=None, description="How sure are you?",
                                 orientation="horizontal", style={"description_width": "initial"})
        self.button, self.status = Button(description=button), HTML()
        self.button.on_click(lambda _: self._press())
        asked = [self.sure] if sure else []
        self.box = VBox([HTML(f"{_STYLE}<p><b>{escape(question.text)}</b></p>"), self.options, *asked, self.button,
                         self.status], layout=Layout(overflow="visible"))
        self.box.add_class("posebook-ask")

    def close(self) -> None:
        """Nothing can be chosen any more."""
        self.options.disabled = self.sure.disabled = self.button.disabled = True

    def say(self, words: str, role: str = "status") -> None:
        """HTML below the button, which a screen reader reads out."""
        self.status.value = f'<div role="{role}">{words}</div>'

    def _press(self) -> None:
        """An exception would leave no trace, so it is said."""
        try:
            if self.options.value is None:
                self.say("Choose an answer first.")
            elif self.sure.options and self.sure.value is None:
                self.say("Say how sure you are, too.")
            else:
                self.say(self._take(self.options.value, self.sure.value))
        except Exception as error:
            self.say(escape(f"{type(error).__name__}: {error}"), "alert")

    def _repr_mimebundle_(self, **_: object) -> dict:
        """The widgets, and for pages without a kernel the question and its options."""
        count = len(self.question.options)
        plain = f"A question with {count} options to choose from, where this notebook runs."
        return self.box._repr_mimebundle_() | {"text/html": self.question.html(self.hint), "text/plain": plain}
