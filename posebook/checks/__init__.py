"""``check`` a problem's answer: the one call in every check cell."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable

from posebook import _journal
from posebook.checks import applications, decoding, multi_person, representations, robustness, trial
from posebook.checks.problem import Case, Mistake, Problem, Report, Row

__all__ = ["PROBLEMS", "SETS", "Case", "CheckFailed", "Mistake", "Problem", "Report", "Row", "check", "evaluate"]

SETS: dict[str, tuple[Problem, ...]] = {
    "representations": representations.PROBLEMS, "decoding": decoding.PROBLEMS, "multi_person": multi_person.PROBLEMS,
    "robustness": robustness.PROBLEMS, "applications": applications.PROBLEMS}
PROBLEMS: dict[str, Problem] = {problem.name: problem for problems in SETS.values() for problem in problems}


class CheckFailed(AssertionError):
    """A check cell's one-line error: the table above it says the rest."""

    def _render_traceback_(self) -> list[str]:
        return [f"CheckFailed: {self}"]


def evaluate(name: str, answer: Callable, seed: int | str = 0) -> Report:
    """Try an answer to the named problem on every case; ``seed`` decides what the cases draw.

    Raises:
        ValueError: an unknown name, or an answer that cannot be called.
    """
    if name not in PROBLEMS:
        raise ValueError(f"name: want one of {', '.join(PROBLEMS)}, got {name!r}")
    if not callable(answer):
        raise ValueError(f"answer: want a function, got {type(answer).__name__}")
    return trial.evaluate(PROBLEMS[name], answer, seed=seed, refused=withheld(mates(name)))


def mates(name: str) -> tuple[Problem, ...]:
    """All problems of the set that the named one is in."""
    return next(problems for problems in SETS.values() if PROBLEMS[name] in problems)


def withheld(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Names of the library functions that answer a problem of this set: refused while any of them is tried."""
    return tuple(dict.fromkeys(name for problem in problems for name in problem.own))


def check(name: str, answer: Callable) -> None:
    """Show how an answer does, case by case; in a notebook in work/, note it for ``posebook progress``.

    Raises:
        CheckFailed: a case failed.
    """
    report = evaluate(name, answer)
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        sys.modules["IPython"].display.display(report)
        note(report, answer)
    else:
        print(report)
    if not report.passed:
        failed = sum(not row.passed for row in report.rows)
        raise CheckFailed(f"{name}: {failed} of {len(report.rows)} cases failed; the table above says which")


def note(report: Report, answer: Callable) -> None:
    """Add a try to the learner's journal, where one is kept; a stub is none. Where that fails, the check still holds.
    """
    if all(row.message == trial.UNWRITTEN for row in report.rows):
        return
    passed = sum(row.passed for row in report.rows)
    try:
        if path := _journal.where():
            _journal.add(path, "check", problem=report.name, passed=passed, cases=len(report.rows),
                         score=round(report.score, 3), diagnosis=report.diagnosis, answer=fingerprint(answer))
    except OSError as error:
        print(f"This try is missing in posebook progress: {error}")


def fingerprint(answer: Callable) -> str:
    """Tells two answers apart by their text; "" where there is none."""
    try:
        return hashlib.sha256(inspect.getsource(answer).encode(errors="replace")).hexdigest()[:12]
    except Exception:  # what students make callable fails in many ways
        return ""
