"""Predictions that count: what a reader chose before a section was run, how sure, and how often that was right.

Answers are kept in the journal of work/, or, in a notebook elsewhere, until its kernel ends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from pathlib import Path

from posebook import _journal
from posebook._args import fail
from posebook.ask import Asked, Option, Question, firsts
from posebook.questions import (
    predictions_applications,
    predictions_decoding,
    predictions_multi_person,
    predictions_representations,
    predictions_robustness,
)

CHAPTERS = tuple(module.PREDICTIONS for module in (
    predictions_representations, predictions_decoding, predictions_multi_person, predictions_robustness,
    predictions_applications))
PREDICTIONS = {question.name: question for chapter in CHAPTERS for question in chapter}
SURE = {"guessing": None, "rather sure": Fraction(3, 4), "sure": Fraction(19, 20)}  # the chance of being right
RARE = Fraction(1, 20)
BEGIN = ("No prediction of this chapter is answered yet. In the notebook, run the cell below a Predict, choose an "
         "answer there before you run on, and in the end run this cell once more.")
_here: list[dict] = []  # where no journal is kept


@dataclass(frozen=True)
class Answer:
    """What was predicted, and how sure: one of the words of ``SURE``."""

    question: Question
    option: Option
    sure: str

    @property
    def chance(self) -> Fraction:
        """How sure, as a number; a guess is as good as drawing one of the options."""
        return chance(self.question, self.sure)

    @property
    def said(self) -> str:
        return f"{self.sure} ({percent(self.chance)})"


def chance(question: Question, sure: str) -> Fraction:
    """The probability that a word for how sure stands for, at this question."""
    return SURE[sure] or Fraction(1, len(question.options))


def percent(share: Fraction) -> str:
    return f"{float(100 * share):.0f} %"


def answers(entries: Iterable[dict]) -> dict[str, Answer]:
    """The first answer to each question as it is asked today; all other entries are passed over."""
    sure = (entry for entry in entries if isinstance(entry.get("sure"), str) and entry["sure"] in SURE)
    return {name: Answer(PREDICTIONS[name], option, entry["sure"])
            for name, (option, entry) in firsts(sure, PREDICTIONS).items()}


def read(path: Path | None) -> tuple[dict[str, Answer], str]:
    """The answers that a journal holds, and those of this kernel; a sentence, if the journal cannot be read."""
    kept, missing = [], ""
    try:
        kept = _journal.entries(path, "prediction") if path else []
    except OSError as error:
        missing = f"Answers kept before cannot be read: {error}"
    return answers([*kept, *_here]), missing


def prediction(name: str) -> Asked:
    """Ask the Predict of a section, "2.1", and note the first answer; later ones do not count.

    Raises:
        ValueError: no Predict has this name.
    """
    if name not in PREDICTIONS:
        fail("name", f"a section with a Predict, such as {next(iter(PREDICTIONS))!r}", repr(name))
    question = PREDICTIONS[name]
    labels = [(f"{sure} ({percent(chance(question, sure))})", sure) for sure in SURE]
    asked = Asked(question, lambda option, sure: note(asked, option, sure), button="Note my prediction", sure=labels,
                  hint="Choose before you read on. In the notebook, run this cell to note your choice.")
    found, missing = read(_journal.where())
    words = show_noted(asked, found[name]) if name in found else ""
    asked.say(f"{words} {escape(missing)}".strip())
    return asked


def note(asked: Asked, option: Option, sure: str) -> str:
    """Keep an answer, unless there is one; what to say of it."""
    question, path = asked.question, _journal.where()
    found, missing = read(path)
    if question.name not in found:
        entry = {"question": question.name, "digest": question.digest, "answer": option.words, "sure": sure}
        try:
            if path:
                _journal.add(path, "prediction", **entry)
        except OSError as error:
            missing = f"It is kept until the kernel ends only: {error}"
        if missing or not path:
            _here.append(entry)
        found[question.name] = Answer(question, option, sure)
    return f"{show_noted(asked, found[question.name])} {escape(missing)}".strip()


def show_noted(asked: Asked, answer: Answer) -> str:
    """Show the answer that counts, without a word on whether it is right; what to say of it."""
    asked.options.value, asked.sure.value = answer.option, answer.sure
    asked.close()
    return f"Noted: “{escape(answer.option.words)}”, {answer.said}. Read on to see."


# ---------------------------------------------------------------------------------------------------------------------
# The end of a chapter


def brier(given: Sequence[Answer]) -> Fraction:
    """The mean square of the chance that was said minus what came: 1 where right, 0 where wrong."""
    return sum(((answer.chance - answer.option.right) ** 2 for answer in given), Fraction()) / len(given)


def at_most(given: Sequence[Answer], right: int) -> Fraction:
    """How likely so few or fewer are right, if each is right with the chance that was said."""
    counts = [Fraction(1)]  # of 0, 1, ... right ones
    for answer in given:
        p = answer.chance
        counts = [a * (1 - p) + b * p for a, b in zip([*counts, 0], [0, *counts], strict=True)]
    return sum(counts[: right + 1], Fraction())


def verdict(given: Sequence[Answer]) -> str:
    """Whether what was said fits what came, by the two tails of 1 in 20."""
    right = sum(answer.option.right for answer in given)
    said = f"You said {percent(sum(answer.chance for answer in given) / len(given))} on average, and " \
           f"{percent(Fraction(right, len(given)))} were right: "
    if at_most(given, right) < RARE:
        return said + "you claimed more than came true."
    if 1 - at_most(given, right - 1) < RARE:
        return said + "you were right more often than you said, so trust yourself more."
    return said + "so large a difference may well be chance."


def summary(given: Sequence[Answer]) -> list[str]:
    """How often right, how often at each word for how sure, the Brier score, and the verdict."""
    right = sum(answer.option.right for answer in given)
    words = []
    for sure in SURE:
        of = [answer for answer in given if answer.sure == sure]
        if of:
            at = f" ({percent(SURE[sure])})" if SURE[sure] else ""
            words.append(f"{sure}{at}, right {sum(answer.option.right for answer in of)} of {len(of)}")
    blind = sum((g * (1 - g) for g in (chance(answer.question, "guessing") for answer in given)), Fraction())
    score = f"Brier score {float(brier(given)):.3f}: the mean of (chance you said − outcome)², with outcome 1 where " \
            f"you were right and 0 where not. 0 is best; who guesses, and says so, can expect " \
            f"{float(blind / len(given)):.3f}."
    return [f"Right {right} of {len(given)}. When you said {'; '.join(words)}.", verdict(given), score]


@dataclass(frozen=True)
class Predictions:
    """A chapter's predictions beside what was right; shown as a table."""

    chapter: int
    given: dict[str, Answer]
    missing: str = ""  # what could not be read

    @property
    def lines(self) -> list[str]:
        lines = summary(list(self.given.values())) if self.given else [BEGIN]
        return [*lines, self.missing] if self.missing else lines

    def __repr__(self) -> str:
        rows = [f"{name}  {'right' if one.option.right else 'wrong'}, {one.said}: {one.option.words}"
                for name, one in self.given.items()]
        return "\n".join([*rows, *self.lines])

    def _repr_html_(self) -> str:
        questions = CHAPTERS[self.chapter - 1]
        given = list(self.given.values())
        open_ = [question for question in questions if question.name not in self.given]
        text = table(("section", "you said", "right is"), map(answered, given)) if given else ""
        text += "".join(f"<p>{escape(line)}</p>" for line in self.lines)
        if open_:
            head = "Those you did not answer, and what is right" if given else "The questions, and what is right"
            rows = [(question.name, escape(question.text), said(question.right)) for question in open_]
            folded = table(("section", "question", "right is"), rows)
            text += f"<details><summary>{head}</summary>{folded}</details>"
        return f'<div class="posebook-question">{text}</div>'


def answered(answer: Answer) -> tuple[str, str, str]:
    """The row of a question that was answered."""
    mark = "&#10003; right" if answer.option.right else "&#10007; wrong"
    yours = f"{escape(answer.option.words)}<br>{mark}, you were {answer.said}"
    return answer.question.name, yours, said(answer.question.right) if answer.option.right else (
        f"{said(answer.question.right)}<br>Yours: {escape(answer.option.why)}")


def said(option: Option) -> str:
    """An option with its reason, as HTML."""
    return f"<b>{escape(option.words)}</b><br>{escape(option.why)}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of HTML; the first cell of a row is its name."""
    left = "style='text-align:left;vertical-align:top'"
    text = "".join(f"<th scope='col' {left}>{cell}</th>" for cell in head)
    body = ""
    for first, *rest in rows:
        cells = "".join(f"<td {left}>{cell}</td>" for cell in rest)
        body += f"<tr><th scope='row' {left}>{first}</th>{cells}</tr>"
    return f"<table><thead><tr>{text}</tr></thead><tbody>{body}</tbody></table>"


def predictions(chapter: int) -> Predictions:
    """A chapter's predictions, from 1: which were right, and whether you were as sure as you were right.

    Raises:
        ValueError: there is no such chapter.
    """
    if chapter not in range(1, len(CHAPTERS) + 1):
        fail("chapter", f"a whole number from 1 to {len(CHAPTERS)}", chapter)
    found, missing = read(_journal.where())
    names = [question.name for question in CHAPTERS[chapter - 1]]
    return Predictions(chapter, {name: found[name] for name in names if name in found}, missing)


def told(path: Path) -> dict[int, str]:
    """A line for each chapter in which a journal has predictions; which are right, no sooner than all are answered."""
    found, lines = answers(_journal.entries(path, "prediction")), {}
    for number, questions in enumerate(CHAPTERS, start=1):
        given = [found[question.name] for question in questions if question.name in found]
        if given:
            right = f", {sum(answer.option.right for answer in given)} right" if len(given) == len(questions) else ""
            lines[number] = f"Predictions in chapter {number}: {len(given)} of {len(questions)} answered{right}."
    return lines
