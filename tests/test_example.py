"""Known mistakes made visible: what is shown is right, differs, and is no input on which an answer is tried."""

import random

import pytest
import torch

from posebook.checks import PROBLEMS, calling, trial
from posebook.checks.example import MOST, SEEDS, count, example, known, text
from posebook.checks.problem import Case, Mistake, Problem


@pytest.mark.parametrize("name", PROBLEMS)
def test_mistakes_of_every_problem_can_be_seen(name):
    """Four of each problem's mistakes, drawn by its name: each has an example, and both results differ in it. Where
    results are by chance, some mistakes show in no single result.
    """
    problem = PROBLEMS[name]
    for mistake in random.Random(name).sample(problem.mistakes, 4):
        found = example(problem, mistake)
        if found is None and any(case.chance for case in problem.cases):
            continue
        assert found is not None, mistake.says
        assert found.right != found.wrong and found.wrong
        assert len(str(found).splitlines()) <= 80 and len(str(found)) < 6000
        assert known(problem, f"In 3 of the 5 failed cases your answer does this: {mistake.says}").says == mistake.says


def twice(x, factor):
    """Twice x."""
    return x * factor


TWICE = Problem(
    name="twice", points=1, minutes=1, reference=twice, own=(),
    cases=(Case("large", lambda rng: (torch.rand(20, 20, generator=rng), 2.0)),
           Case("small", lambda rng: (torch.rand(2, generator=rng), 3.0))),
    mistakes=(Mistake("added", lambda x, factor: x + factor),
              Mistake("negative", lambda x, factor: x * abs(factor)),
              Mistake("large only", lambda x, factor: x * factor + (len(x) > 2)),
              Mistake("float64", lambda x, factor: x.double() * factor),
              Mistake("raises", lambda x, factor: x.nothing)),
)


def test_the_example_is_the_smallest_and_its_numbers_are_those_of_reference_and_mistake():
    added, none, large, double, raises = (example(TWICE, mistake) for mistake in TWICE.mistakes)
    inputs = [trial._draws(TWICE, TWICE.cases[1], seed)[0][0][0] for seed in SEEDS]
    shown = {text(x): x for x in inputs}[dict(added.arguments)["x"]]
    assert (added.right, added.wrong) == (text(3 * shown), text(shown + 3)) and dict(added.arguments)["factor"] == "3"
    assert none is None and (raises.right, raises.wrong) == (added.right, "raised AttributeError")
    assert dict(large.arguments)["x"] == "20 x 20 numbers" and large.right == ""
    assert large.wrong.startswith("differs from the right result: at [") and "tolerance" not in large.wrong
    assert double.wrong == "dtype: want float32, got float64"


def test_no_example_is_drawn_from_a_seed_that_answers_are_tried_on():
    """Those are numbers in the notebook, and in grading the hex digits of a digest."""
    assert all(not set(seed) <= set("0123456789abcdef") for seed in SEEDS)


def test_numbers_as_text():
    assert text((torch.tensor([[1.0, -0.0], [float("nan"), 1 / 3]]), True, 2, "a", None, ())) == (
        "([[1, 0],\n [nan, 0.3333]], True, 2, 'a', None, ())")
    assert text(torch.zeros(2, 0)) == "empty, 2 x 0" and text((1,)) == "(1,)"
    assert count((torch.zeros(2, 3), 1.0, (2, 3))) == 9 and MOST > 9
    with calling.plain_torch():
        assert text(torch.tensor(0.5)) == "0.5"
