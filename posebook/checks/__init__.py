"""``check`` a problem's answer: the one call in every check cell."""

import sys
from collections.abc import Callable

from posebook.checks import decoding, representations, trial
from posebook.checks.problem import Case, Mistake, Problem, Report, Row

__all__ = ["PROBLEMS", "Case", "CheckFailed", "Mistake", "Problem", "Report", "Row", "check", "evaluate"]

PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in (*representations.PROBLEMS, *decoding.PROBLEMS)}


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
    return trial.evaluate(PROBLEMS[name], answer, seed=seed)


def check(name: str, answer: Callable) -> None:
    """Show how an answer does, case by case.

    Raises:
        CheckFailed: a case failed.
    """
    report = evaluate(name, answer)
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
        sys.modules["IPython"].display.display(report)
    else:
        print(report)
    if not report.passed:
        failed = sum(not row.passed for row in report.rows)
        raise CheckFailed(f"{name}: {failed} of {len(report.rows)} cases failed; the table above says which")
