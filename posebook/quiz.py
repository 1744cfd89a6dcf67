"""Short ungraded quizzes at the end of each chapter: every answer is explained, and the first tries are counted.

First tries are kept in the journal of work/; in a notebook elsewhere none is.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path

from ipywidgets import HTML, VBox

from posebook import _journal
from posebook._html import markup
from posebook.ask import Asked, Option, Question, firsts
from posebook.questions.quizzes import QUIZZES

KIND = "quiz"
CITED = re.compile(r"\(sections? ([\d.]+)(?: and ([\d.]+))?\)")


class Quiz:
    """A chapter's questions one below the other; what was chosen first is counted."""

    def __init__(self, questions: tuple[Question, ...]):
        self.questions = questions
        self.first, missing = kept(questions)
        self.asked = [Asked(replace(question, text=f"{k}. {question.text}"), partial(self._take, question),
                            button="Check") for k, question in enumerate(questions, start=1)]
        self.count = HTML()
        self.box = VBox([*(asked.box for asked in self.asked), self.count])
        if self.first or missing:
            self._count(missing)

    def _take(self, question: Question, option: Option, sure: object) -> str:
        """Right or wrong, and why; the first try is counted and kept."""
        missing = ""
        if question.name not in self.first:
            self.first[question.name], missing = keep(question, option)
            self._count()
        return said(option) + missing

    def _count(self, missing: str = "") -> None:
        words = counted(self.first.values(), len(self.questions))
        self.count.value = f'<div role="status">{words}{missing}</div>'

    def _repr_mimebundle_(self, **_: object) -> dict:
        """The widgets, and for pages without a kernel all answers, folded in."""
        plain = "\n".join(f"{k}. {question.text}" for k, question in enumerate(self.questions, start=1))
        return self.box._repr_mimebundle_() | {"text/html": html(self.questions), "text/plain": plain}


def quiz(chapter: int) -> Quiz:
    """The quiz of a chapter. Nothing is graded, and you may try as often as you like.

    Raises:
        ValueError: there is no such chapter.
    """
    if chapter not in QUIZZES:
        raise ValueError(f"chapter: want a whole number from 1 to {len(QUIZZES)}, got {chapter!r}")
    return Quiz(QUIZZES[chapter])


def said(option: Option, *, book: bool = False) -> str:
    """What is said of an option, as HTML; in the book its sections and its explorer's state are links."""
    why, see = escape(option.why), option.see
    if book:
        why = CITED.sub(lambda cited: re.sub(r"(\d)\.(\d+)", r'<a href="#section-\1-\2">\g<0></a>', cited[0]), why)
    words = f"<b>{'&#10003; Right.' if option.right else '&#10007; Not right.'}</b> {why}"
    if see is None:
        return words
    place = escape(see.address.removeprefix("chapters/"))
    return f"{words} <br>" + (f'<a href="{place}">See it</a>: {escape(see.look)}.' if book else markup(str(see)))


def counted(first: Iterable[Option], questions: int) -> str:
    """How many of the first tries were right, in words."""
    first = list(first)
    so_far = "" if len(first) == questions else f", {questions - len(first)} still to answer"
    return f"{sum(option.right for option in first)} of {questions} right on the first try{so_far}."


def html(questions: Iterable[Question], *, book: bool = False) -> str:
    """The whole quiz where no kernel runs: each question with its options, and below them, folded in, why."""
    items = []
    for question in questions:
        options = "".join(f"<li>{escape(option.words)}</li>" for option in question.options)
        whys = "".join(f"<li>{said(option, book=book)}</li>" for option in question.options)
        items.append(f"<li><p><b>{escape(question.text)}</b></p>\n<ol type='a'>{options}</ol>\n"
                     f"<details><summary>Answers</summary>\n<ol type='a'>{whys}</ol>\n</details></li>")
    return '<div class="posebook-question"><ol>\n' + "\n".join(items) + "\n</ol></div>"


# ---------------------------------------------------------------------------------------------------------------------
# The journal


def kept(questions: Iterable[Question]) -> tuple[dict[str, Option], str]:
    """The first tries of these questions in this notebook's journal; HTML on why it cannot be read."""
    try:
        path = _journal.where()
        found = read(path) if path else {}
    except OSError as error:
        return {}, f" Tries kept before cannot be read: {escape(str(error))}"
    return {question.name: found[question.name] for question in questions if question.name in found}, ""


def keep(question: Question, option: Option) -> tuple[Option, str]:
    """Note the first try of a question, where a journal is kept: the one that counts, and HTML on what went wrong."""
    try:
        path = _journal.where()
        found = read(path) if path else {}
        if path and question.name not in found:
            _journal.add(path, KIND, question=question.name, digest=question.digest, answer=option.words)
    except OSError as error:
        return option, f"<br>This try is missing in posebook progress: {escape(str(error))}"
    return found.get(question.name, option), ""


def read(path: Path) -> dict[str, Option]:
    """The first tries that a journal holds; what was no option of a question as it is asked today is passed over."""
    questions = {question.name: question for chapter in QUIZZES.values() for question in chapter}
    return {name: option for name, (option, _) in firsts(_journal.entries(path, KIND), questions).items()}


def told(path: Path) -> dict[int, str]:
    """A line for each chapter in whose quiz something was answered."""
    found, lines = read(path), {}
    for chapter, questions in QUIZZES.items():
        first = [found[question.name] for question in questions if question.name in found]
        if first:
            lines[chapter] = f"Quiz of chapter {chapter}: {counted(first, len(questions))}"
    return lines
