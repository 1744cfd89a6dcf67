"""Trials that keep what they have drawn and run: tests ask for the same again and again."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

import pytest

from posebook.checks import trial


@contextmanager
def once(known: Collection[Callable]) -> Iterator[None]:
    """Within it a case draws once for each seed, and these answers run once on what it drew."""
    draws, runs, draw, run = {}, {}, trial._draws, trial._run

    def drawn(problem, case, seed):
        key = (problem.name, case, seed)
        if key not in draws:
            draws[key] = draw(problem, case, seed)
        calls, rng = draws[key]
        return calls, rng.clone_state()

    def ran(problem, case, answer, calls, rng):
        if answer not in known:
            return run(problem, case, answer, calls, rng)
        key = (answer, case, rng.get_state().numpy().tobytes())
        if key not in runs:
            runs[key] = run(problem, case, answer, calls, rng)
        return runs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "_run", ran)
        patch.setattr(trial, "_draws", drawn)
        yield
