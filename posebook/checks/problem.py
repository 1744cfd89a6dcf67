"""What a problem is, and what is reported of an answer: the data that every problem set shares.

An answer is called with *wire values* only (tensors, bool, int, float, str, None, tuples of these) and returns wire
values, so that it may as well be a proxy of a function in another process.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One trial of an answer; its result is compared with that of the reference.

    Args:
        name: what is tried, in the student's words.
        draw: random generator -> arguments; where ``holds`` is given, a tuple of such tuples, one for each call.
        atol, rtol: a difference of ``atol + rtol * |right value|`` counts as equal.
        vjp: (input's name, output's index): compare the vector-Jacobian product rather than the result.
        holds: results of the calls -> whether the property that ``name`` states holds among them.
    """

    name: str
    draw: Callable[[torch.Generator], tuple]
    atol: float = 1e-4
    rtol: float = 0.0
    vjp: tuple[str, int] | None = None
    holds: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students write: ``says`` names it and teaches, ``answer`` makes it."""

    says: str
    answer: Callable


@dataclass(frozen=True)
class Problem:
    """A problem: a readable solution, the library names that *are* the answer, cases, mistakes, other right answers."""

    name: str
    points: int
    minutes: int
    reference: Callable
    own: tuple[str, ...]
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...]
    alternatives: tuple[Callable, ...] = ()


@dataclass(frozen=True)
class Row:
    """What came of one case. ``detail`` holds numbers: for the student's own eyes, never for hidden inputs."""

    case: str
    passed: bool
    message: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """What came of all cases. ``diagnosis`` says which known mistake the answer makes, or is empty."""

    name: str
    points: int
    rows: tuple[Row, ...]
    diagnosis: str = ""

    @property
    def passed(self) -> bool:
        """Whether every case passed."""
        return all(row.passed for row in self.rows)

    @property
    def score(self) -> float:
        """Points earned: each case counts the same."""
        return self.points * sum(row.passed for row in self.rows) / len(self.rows)

    @property
    def headline(self) -> str:
        """One line: cases passed and points."""
        right = sum(row.passed for row in self.rows)
        return f"{self.name}: {right} of {len(self.rows)} cases passed, {self.score:.3g} of {self.points} points"

    @property
    def _shown(self) -> tuple[Row, ...]:
        """The rows; just one where all say the same, as with an answer that is not written yet."""
        one = self.rows[0]
        if one.message and all((row.message, row.detail) == (one.message, one.detail) for row in self.rows):
            return (Row("every case", False, one.message, one.detail),)
        return self.rows

    def __str__(self) -> str:
        lines = [text for text in (self.headline, self.diagnosis) if text]
        for row in self._shown:
            lines.append(f"  {'passed' if row.passed else 'FAILED'}  {row.case}")
            lines += [f"          {text}" for text in (row.message, row.detail) if text]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        body = ""
        for row in self._shown:
            mark = "&#10003; passed" if row.passed else "<b>&#10007; failed</b>"
            says = "<br>".join(_markup(text) for text in (row.message, row.detail) if text)
            columns = (mark, _markup(row.case), says)
            body += "<tr>" + "".join(f"<td style='text-align:left'>{text}</td>" for text in columns) + "</tr>"
        advice = f"<p><b>{_markup(self.diagnosis)}</b></p>" if self.diagnosis else ""
        return f"<p>{_markup(self.headline)}</p>{advice}<table>{body}</table>"


def _markup(text: str) -> str:
    """Plain text as HTML, with `code` set as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """A plain number between low and high, for cases to draw."""
    return low + (high - low) * torch.rand((), generator=rng, dtype=torch.float64).item()


def is_wire(value: object) -> bool:
    """Whether an answer may be called with this value, or return it."""
    if isinstance(value, tuple):
        return all(is_wire(item) for item in value)
    return value is None or type(value) in (Tensor, bool, int, float, str)
