"""What a problem is, and what is reported of an answer: the data that every problem set shares.

An answer is called with *wire values* only (tensors, bool, int, float, str, None, tuples of these) and returns wire
values, so that it may as well be a proxy of a function in another process.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, wraps

import torch
from torch import Tensor

from posebook._html import markup
from posebook._links import See


@dataclass(frozen=True)
class Case:
    """One trial of an answer; its result is compared with that of the reference.

    Args:
        name: what is tried, in the student's words.
        draw: random generator -> arguments; where ``holds`` is given, a tuple of such tuples, one for each call.
        atol, rtol: a difference of ``atol + rtol * |right value|`` counts as equal.
        chance: results are by chance, so that two answers with one mistake differ by this (in their numbers' unit) at
            most.
        quiet: torch's global generator has to be as it was once the answer returns.
        vjp: (input's name, output's index): compare the vector-Jacobian product rather than the result.
        holds: results of the calls -> whether the relation between them that ``name`` speaks of holds.
        seen: (result, *arguments) -> tensors or numbers to compare in the result's place, where it is judged by what it
            does; or words, where it cannot be judged. Its own kind, dtypes and shapes have been compared before.
        weight: how much it counts beside the other cases; more than 1 where every user would meet the bug.
        fixed: the right result is the same whatever is drawn: it earns nothing unless another case passes as well.
    """

    name: str
    draw: Callable[[torch.Generator], tuple]
    atol: float = 1e-4
    rtol: float = 0.0
    chance: float = 0.0
    quiet: bool = False
    vjp: tuple[str, int] | None = None
    holds: Callable[..., bool] | None = None
    seen: Callable[..., object] | None = None
    weight: float = 1.0
    fixed: bool = False


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students write: ``says`` names it and teaches, ``answer`` makes it, ``see`` shows it."""

    says: str
    answer: Callable
    see: See | None = None


@dataclass(frozen=True)
class Problem:
    """A problem.

    Args:
        reference: the solution as a student would write it: its text goes into the notebook.
        own: names of the library's functions that answer it, whole or in part.
        cases, mistakes: what is tried, and wrong answers that students write.
        alternatives: other right answers.
        clauses: parts of the statement, word for word, each with the beginning of what the mistake says that ignores
            just this part.
    """

    name: str
    points: int
    minutes: int
    reference: Callable
    own: tuple[str, ...]
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...]
    alternatives: tuple[Callable, ...] = ()
    clauses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What came of one case. ``detail`` holds numbers: for the student's own eyes, never for hidden inputs."""

    case: str
    passed: bool
    message: str = ""
    detail: str = ""
    weight: float = 1.0
    fixed: bool = False


@dataclass(frozen=True)
class Report:
    """What came of all cases. ``diagnosis`` says which known mistake the answer makes, or is empty; ``see`` where an
    explorer shows it.
    """

    name: str
    points: int
    rows: tuple[Row, ...]
    diagnosis: str = ""
    see: str = ""

    @property
    def passed(self) -> bool:
        """Whether every case passed."""
        return all(row.passed for row in self.rows)

    @property
    def score(self) -> float:
        """Points earned: the share of cases passed, by their weights; none for what could have been written down."""
        if not any(row.passed and not row.fixed for row in self.rows):
            return 0.0
        return self.points * sum(row.weight for row in self.rows if row.passed) / sum(row.weight for row in self.rows)

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
        lines = [text for text in (self.headline, self.diagnosis, self.see) if text]
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
            says = "<br>".join(markup(text) for text in (row.message, row.detail) if text)
            columns = (mark, markup(row.case), says)
            body += "<tr>" + "".join(f"<td style='text-align:left'>{text}</td>" for text in columns) + "</tr>"
        advice = f"<p><b>{markup(self.diagnosis)}</b></p>" if self.diagnosis else ""
        advice += f"<p>{markup(self.see)}</p>" if self.see else ""
        return f"<p>{markup(self.headline)}</p>{advice}<table>{body}</table>"


def changed(function: Callable, *, result: Callable | None = None, **arguments: object) -> Callable:
    """A wrong answer made of a right one: some of its arguments, or its result, are changed.

    Args:
        function: the right one.
        result: what is returned in the result's place: a function of the result and of any arguments, by their names.
        arguments: what an argument becomes: a value, or a function of any arguments, by their names.

    >>> twice = changed(pow, exp=lambda exp: 2 * exp, result=lambda out, base: out + base)
    >>> twice(3, 1)
    12
    """
    signature = inspect.signature(function)

    def answer(*args):
        call = signature.bind(*args)
        call.apply_defaults()
        given = dict(call.arguments)
        new = {name: _of(change, given) if callable(change) else change for name, change in arguments.items()}
        out = function(**given | new)
        return _of(result, given, out) if result else out

    return answer


def _of(change: Callable, given: dict, *first: object) -> object:
    names = parameters(change)[len(first):]
    return change(*first, **{name: given[name] for name in names})


@cache
def parameters(function: Callable) -> list[str]:
    """The names of a function's parameters."""
    return list(inspect.signature(function).parameters)


def edited(function: Callable, changes: dict[str, str]) -> Callable:
    """A wrong answer made of a right one's source: in its body each key, wherever it stands, becomes its value.

    Raises:
        ValueError: a key that does not stand there.
    """
    head, body = text_of(function)
    for old, new in changes.items():
        if old not in body:
            raise ValueError(f"{function.__name__}: want one of its lines to hold {old!r}")
        body = body.replace(old, new)
    scope = dict(function.__globals__)

    @cache
    def made() -> Callable:  # when it is called first: hundreds are edited wherever checks are imported
        exec(compile(f"{head}{body}", f"<{function.__name__}, edited>", "exec"), scope)
        return scope[function.__name__]

    @wraps(function)
    def answer(*args, **named):
        return made()(*args, **named)

    return answer


@cache
def text_of(function: Callable) -> tuple[str, str]:
    """A function's text in two parts: its head down to the end of the docstring, and its body.

    Raises:
        ValueError: it has no docstring.
    """
    if not function.__doc__:
        raise ValueError(f"{function.__name__}: want a docstring below its head")
    text = inspect.getsource(function)
    lines = text.splitlines(keepends=True)
    end = ast.parse(text).body[0].body[0].end_lineno
    return "".join(lines[:end]), "".join(lines[end:])


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """A plain number between low and high, for cases to draw."""
    return low + (high - low) * torch.rand((), generator=rng, dtype=torch.float64).item()


def is_wire(value: object) -> bool:
    """Whether an answer may be called with this value, or return it."""
    if isinstance(value, tuple):
        return all(is_wire(item) for item in value)
    return value is None or type(value) in (Tensor, bool, int, float, str)
