"""A known mistake made visible: a small input, what is right there, and what the mistake makes of it.

The input is drawn for whoever reads it, from a seed of its own: it is none of those on which an answer was tried.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from posebook.checks import calling, trial
from posebook.checks.problem import Case, Mistake, Problem, parameters

SEEDS = ("an example", "another example", "a third example")
MOST = 130  # numbers that a reader takes in: of input and results together


@dataclass(frozen=True)
class Example:
    """The arguments by their names, and both results; each as text. ``right`` is empty where ``wrong`` says both."""

    arguments: tuple[tuple[str, str], ...]
    right: str
    wrong: str

    def __str__(self) -> str:
        parts = [f"{name} = {value}" for name, value in self.arguments]
        parts += [f"right: {self.right}"] if self.right else []
        return "\n".join([*parts, f"with this mistake: {self.wrong}"])


def known(problem: Problem, diagnosis: str) -> Mistake | None:
    """The mistake that a report's diagnosis names, whole or in some cases."""
    return next((mistake for mistake in problem.mistakes if diagnosis.endswith(mistake.says)), None)


def example(problem: Problem, mistake: Mistake) -> Example | None:
    """Where the mistake shows, with as few numbers as there are; where that takes too many, the one place where it is
    farthest off. None where nothing drawn shows it.
    """
    with calling.plain_torch():
        found = [shown for seed in SEEDS for case in problem.cases if (shown := _shown(problem, case, mistake, seed))]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _shown(problem: Problem, case: Case, mistake: Mistake, seed: str) -> tuple[int, Example] | None:
    """The first call of a case in which both differ, and how many numbers it takes to see that."""
    names = parameters(problem.reference)
    for args in trial._draws(problem, case, seed)[0]:
        right, wrong = (trial._run(problem, case, answer, [args], torch.Generator().manual_seed(0))
                        for answer in (problem.reference, mistake.answer))
        told = wrong.message, ""
        if not wrong.kind:
            told = trial._differ(case, args, right.values[0], wrong.values[0])
        if told is None:
            continue
        values = text(right.values[0]), wrong.message if wrong.kind else text(wrong.values[0])
        numbers = count(args) + count(right.values[0])
        if case.vjp or numbers > MOST or values[0] == values[1] or not (wrong.kind or told[1]):
            words = ": ".join(filter(None, told)).partition(" (off by")[0]
            gradient = f"the gradient in {case.vjp[0]} " if case.vjp else ""
            numbers, values = numbers + 10 * MOST, ("", gradient + words)
        given = tuple((name, text(value) if count(value) <= MOST else _shape(value))
                      for name, value in zip(names, args, strict=False))
        return numbers, Example(given, *values)
    return None


def _shape(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shape, value)) + ")"
    return f"{' x '.join(map(str, value.shape))} numbers" if isinstance(value, Tensor) else text(value)


def count(value: object) -> int:
    """How many numbers a wire value holds."""
    if isinstance(value, tuple):
        return sum(map(count, value))
    return value.numel() if isinstance(value, Tensor) else 1


def text(value: object) -> str:
    """A wire value as a reader sees it: four digits, a row on a line.

    >>> print(text((torch.tensor([[1.0, 0.12345], [-0.0, 1e-9]]), 3, None)))
    ([[1, 0.1235],
     [0, 1e-09]], 3, None)
    """
    if isinstance(value, tuple):
        return "(" + ", ".join(map(text, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, Tensor):
        return _rows(value.tolist(), 0) if value.numel() else f"empty, {' x '.join(map(str, value.shape))}"
    return _number(value) if isinstance(value, (int, float)) else repr(value)


def _rows(value: object, depth: int) -> str:
    if not isinstance(value, list):
        return _number(value)
    apart = ",\n" + " " * (depth + 1) if value and isinstance(value[0], list) else ", "
    return "[" + apart.join(_rows(item, depth + 1) for item in value) + "]"


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}" if value else "0"
