"""Honest answers are not hurt: what a right answer scores in the notebook it scores in the sandbox, word for word."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from once import once

import posebook
from posebook.checks import SETS, trial, withheld
from posebook.checks.problem import Case, Problem
from posebook.grading import submission
from posebook.grading.grade import grade
from posebook.grading.kernel import Proxy, Session
from posebook.grading.sandbox import Limits
from posebook.grading.submission import Cell, Submission

pytestmark = pytest.mark.usefixtures("bubblewrap")

ROOT = Path(posebook.__file__).resolve().parents[1]


def twice(name):
    """Double a tensor, gradient included."""
    def draw(rng):
        return (torch.randn(2, 3, generator=rng),)

    return Problem(name, points=3, minutes=1, reference=lambda x: 2 * x, own=("posebook.decode.argmax",), mistakes=(),
                   cases=(Case("any", draw), Case("more", draw), Case("gradient", draw, vjp=("x", 0))))


# Each is one cell; the function that is graded has the cell's name. Cells that raise say so.
HONEST = {
    "helper_of_a_later_cell": "def helper_of_a_later_cell(x): return helper(x)",
    "warns": """
import sys, warnings
def warns(x):
    warnings.warn("deprecated")
    print("careful", file=sys.stderr)
    return 2 * x""",
    "prints": """
def prints(x):
    for i in range(1000): print(i, x)
    return 2 * x""",
    "slow_first_call": """
import functools, time
@functools.cache
def table():
    time.sleep(2)
    return 2.0
def slow_first_call(x): return table() * x""",
    "raises_first": """
raise ValueError("an experiment")""",
    "defined_twice": "def defined_twice(x): return x",
    "global_state": """
calls = {"n": 0}
def global_state(x):
    global calls
    calls["n"] += 1
    return x * 2""",
    "numpy_detour": """
import numpy as np
class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return torch.from_numpy(np.multiply(x.detach().numpy(), 2))
    @staticmethod
    def backward(ctx, g): return torch.from_numpy(2 * g.numpy())
numpy_detour = Double.apply""",
    "magics": """
%matplotlib inline
%load_ext autoreload
%config InlineBackend.figure_format = "svg"
!ls /
def magics(x): return 2 * x""",
    "cell_magic": """%%time
def cell_magic(x): return 2 * x""",
    "captured": """%%capture out
def captured(x): return 2 * x""",
    "plots": """
import matplotlib.pyplot as plt
def plots(x):
    fig, ax = plt.subplots()
    ax.plot(x.detach().flatten())
    plt.show()
    return 2 * x""",
    "widgets": """
import ipywidgets
from IPython.display import HTML, display
ipywidgets.interact(lambda a: a, a=(0, 5))
display(HTML("<b>hello</b>"))
def widgets(x): return 2 * x""",
    "awaits": """
import asyncio
await asyncio.sleep(0.01)
def awaits(x): return 2 * x""",
    "a_module": """
class Twice(torch.nn.Module):
    def forward(self, x): return x + x
a_module = Twice()""",
    "a_partial": """
import functools, operator
a_partial = functools.partial(operator.mul, 2)""",
    "a_parameter": """
def a_parameter(x): return 2 * x if x.requires_grad else torch.nn.Parameter(2 * x)""",
    "not_contiguous": """
def not_contiguous(x): return (x.T.contiguous() * 2).T""",
    "float64_by_default": """
torch.set_default_dtype(torch.float64)
def float64_by_default(x): return x * torch.tensor(2.0).to(x.dtype) * torch.ones(1)""",
    "gradients_off": """
torch.set_grad_enabled(False)
def gradients_off(x): return 2 * x""",
    "threads": """
from concurrent.futures import ThreadPoolExecutor
def threads(x):
    with ThreadPoolExecutor(4) as pool:
        return torch.stack(list(pool.map(lambda row: 2 * row, x)))""",
    "files": """
import tempfile
def files(x):
    torch.save(x.detach(), "x.pt")
    with tempfile.TemporaryFile() as file: file.write(b"x" * 10**6)
    return 0 * torch.load("x.pt") + 2 * x""",
    "uses_the_librarys_answer_in_its_cell": """
from posebook import decode
from posebook.checks import check
expected = decode.argmax(torch.eye(3))
def uses_the_librarys_answer_in_its_cell(x): return 2 * x
check("twice", uses_the_librarys_answer_in_its_cell)""",
    "asks": """
def asks(x): return 2 * x
input("ready?")""",
    "exits": """
def exits(x): return 2 * x
import sys
sys.exit()""",
    "names_like_ours": """
call = answer = run = wire = guest = kernel = check = "mine"
def names_like_ours(x): return 2 * x""",
    "helps": """
def helps(x): return 2 * x
helps?""",
}
AFTER = ["def helper(x): return 2 * x", "def defined_twice(x): return 2 * x", "def raises_first(x): return 2 * x"]
RAISE = {"raises_first": "ValueError", "asks": "StdinNotImplementedError", "exits": "SystemExit"}


@pytest.fixture(scope="module")
def honest():
    sources = ["import torch", *HONEST.values(), *AFTER]
    handed_in = Submission(tuple(Cell("code", source.strip()) for source in sources), "0" * 64)
    return grade(handed_in, [twice(name) for name in HONEST], secret=b"", assignment="a", student="s")


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_answer_has_all_its_points(name, honest):
    report = next(report for report in honest.reports if report.name == name)
    assert report.score == 3, str(report)


def test_only_the_cells_that_raise_are_noted(honest):
    names = list(HONEST)
    want = [f"cell {2 + names.index(name)} raised {kind}" for name, kind in RAISE.items()]
    assert [note.split(":")[0] for note in honest.notes] == want and honest.status == "ok"


# ---------------------------------------------------------------------------------------------------------------------
# What was right when its check cell ran: cells with a check between those before and those after it

THEN = {
    "helper_bound_anew": ("half = lambda v: v / 2\ndef helper_bound_anew(x): return 4 * half(x)", "half = 0.5"),
    "name_of_a_loop": ("def name_of_a_loop(x): return 2 * x", "for name_of_a_loop in range(3): pass"),
    "name_deleted": ("def name_deleted(x): return 2 * x", "del name_deleted"),
    "tensor_patched_later": ("def tensor_patched_later(x): return x * 2", "torch.Tensor.__mul__ = lambda *a: a[0]"),
    "all_reset": ("def all_reset(x): return 2 * x", "%reset -f\nimport torch"),
    "exit_called": ("def exit_called(x): return 2 * x", "exit()"),
    "quit_called": ("quit()\ndef quit_called(x): return 2 * x", ""),
    "loop_stopped": ("import asyncio\nasyncio.get_event_loop().stop()\ndef loop_stopped(x): return 2 * x", ""),
    "refused_first": ("""
from posebook import decode
print(decode.argmax(torch.eye(3)))
shown = decode.argmax(torch.eye(3))
print(shown + 1)
twofold = lambda v: 2 * v
def refused_first(x): return twofold(x)""", ""),
    "package_elsewhere": ("""
import seaborn as sns
sns.set_theme()
import numpy as np, pandas_of_another_name as pd
from google.colab import drive
with drive.mount("/content"):
    pass
def package_elsewhere(x): return 2 * x * np.float32(1)""", ""),
    "imported_within": ("""
import contextlib
with contextlib.suppress(ValueError):
    import seaborn_within
    from seaborn import objects
    def paint(): return objects.Plot()
shown = seaborn_within.color_palette(), paint()
def imported_within(x): return 2 * x""", ""),
    "used_in_a_later_cell": ("tones = sns.color_palette()\ndef used_in_a_later_cell(x): return 2 * x", "print(tones)"),
    "cell_magic_above": ("%%time\nimport seaborn\ndef cell_magic_above(x): return 2 * x", ""),
    "from_the_future": ("from __future__ import annotations\ndef from_the_future(x: Any): return 2 * x", ""),
    "caught_import": ("""
try:
    import seaborn
except ImportError:
    two = 2
def caught_import(x): return two * x""", ""),
}


def test_what_was_right_when_its_check_ran_has_all_its_points():
    cells = [Cell("code", "import torch")]
    for name, (before, after) in THEN.items():
        cells += [Cell("code", before.strip(), name), Cell("code", "", f"check-{name}", True), Cell("code", after)]
    wrong = "def wrong(x): return nonesuch(x)\nnonesuch"
    cells += [Cell("code", wrong, "wrong"), Cell("code", 'from posebook.checks import check\ncheck("wrong", wrong)')]
    result = grade(Submission(tuple(cells), "0" * 64), [twice(name) for name in (*THEN, "wrong")], secret=b"",
                   assignment="a", student="s")
    assert [report.name for report in result.reports if report.score < 3] == ["wrong"], str(result.reports)
    assert result.status == "ok"
    number = 2 + 3 * list(THEN).index("package_elsewhere")  # imported_within is next
    assert result.notes == (
        f"cell {number}: No module named 'seaborn'; No module named 'pandas_of_another_name'; "
        "No module named 'google': what needs it was left out",
        f"cell {number + 3}: No module named 'seaborn_within': what needs it was left out",
        f"cell {2 + 3 * list(THEN).index('cell_magic_above')}: No module named 'seaborn': what needs it was left out",
        f"cell {2 + 3 * len(THEN)} raised NameError: name 'nonesuch' is not defined")


def test_a_locked_cell_that_checks_nothing_runs():
    cells = [("factor = 2", "given", True), ("def given_first(x): return factor * x", "given_first", False)]
    handed_in = Submission(tuple(Cell("code", *cell) for cell in cells), "0" * 64)
    assert grade(handed_in, [twice("given_first")], secret=b"", assignment="a", student="s").reports[0].passed


def test_an_answer_that_needs_a_later_cell_counts_as_it_is_in_the_end():
    cells = [("def later(x): return factor * x", "later"), ("", "check-later"), ("factor = 2", "")]
    handed_in = Submission(tuple(Cell("code", *cell) for cell in cells), "0" * 64)
    assert grade(handed_in, [twice("later")], secret=b"", assignment="a", student="s").reports[0].passed


# ---------------------------------------------------------------------------------------------------------------------
# The course's own problems


@pytest.mark.parametrize("name", SETS)
def test_the_solution_has_all_points_and_the_exercise_none(name):
    for folder in ("solutions", "exercises"):
        handed_in = submission.read((ROOT / folder / name / f"{name}.ipynb").read_bytes())
        result = grade(handed_in, SETS[name], secret=b"", assignment=name, student="s")
        assert result.status == "ok" and result.notes == ()
        for report in result.reports:
            if folder == "solutions":
                assert report.passed, str(report)
            else:
                assert report.score == 0 and "not written yet" in report.rows[0].message


def forged_checks(folder: str) -> str:
    """A cell that makes the checks' modules out of their sources, which the sandbox does not show."""
    paths = [ROOT / "posebook/checks/problem.py", *sorted((ROOT / "posebook/checks").glob("*/*.py"))]
    sources = {"posebook." + ".".join(path.relative_to(ROOT / "posebook").with_suffix("").parts).removesuffix(
        ".__init__"): path.read_text() for path in paths}
    return f"""
import importlib.abc, importlib.util, sys
SOURCES = {sources!r}
PACKAGES = {[f"posebook.checks.{name}" for name in SETS]!r}
class Forge(importlib.abc.MetaPathFinder, importlib.abc.SourceLoader):
    def find_spec(self, name, path, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=name in PACKAGES)
    def get_filename(self, name): return name
    def get_data(self, path): return SOURCES[path].encode()
sys.meta_path.insert(0, Forge())
from posebook.checks.{folder} import PROBLEMS
for problem in PROBLEMS:
    answers = [problem.reference, *problem.alternatives, *(mistake.answer for mistake in problem.mistakes)]
    for n, answer in enumerate(answers): globals()[f"{{problem.name}}_{{n}}"] = answer
"""


@pytest.fixture(scope="module", params=SETS)
def problem_set(request):
    problems = SETS[request.param]
    own = withheld(problems)
    handed_in = [(1, forged_checks(request.param))]
    with Session(handed_in, withheld=own, limits=Limits()) as session, once({p.reference for p in problems}):
        session.ready()
        assert not session.cell_notes
        yield session, problems, own


def rows(report):
    return [(row.case, row.passed, row.message) for row in report.rows]


BY_CHANCE = re.compile("Digits are lost|float32")  # which cases notice it hangs on the order of sums


def test_every_right_answer_and_every_mistake_scores_as_in_the_notebook(problem_set):
    """That right answers pass there, test_problems proves."""
    session, problems, own = problem_set
    for problem in problems:
        right = (problem.reference, *problem.alternatives)
        bare = replace(problem, mistakes=())  # diagnoses are tried below, on some
        for n, answer in enumerate((*right, *(mistake.answer for mistake in problem.mistakes))):
            there = trial.evaluate(bare, Proxy(session, f"{problem.name}_{n}"), seed="s")
            assert there.passed is (n < len(right)), f"{problem.name}, answer {n}"
            if n >= len(right) and not BY_CHANCE.search(problem.mistakes[n - len(right)].says):
                here = trial.evaluate(bare, answer, seed="s", refused=own)
                assert rows(there) == rows(here), f"{problem.name}, answer {n}"


def test_a_mistake_is_named_from_outside(problem_set):
    session, problems, _ = problem_set
    for problem in problems:
        last = len(problem.alternatives) + len(problem.mistakes)
        report = trial.evaluate(problem, Proxy(session, f"{problem.name}_{last}"), seed="s")
        assert report.diagnosis == problem.mistakes[-1].says


# ---------------------------------------------------------------------------------------------------------------------
# Odd answers, told in the same words on both sides

ODD = """
import torch, numpy as np
def stub(x): raise NotImplementedError
def unfinished(x): raise NotImplementedError("later")
def raises(x): raise KeyError("nose")
def raises_numpy(x): return np.linalg.inv(np.zeros((2, 2)))
def stops(x): raise GeneratorExit
def leaves(x): raise SystemExit(1)
def none(x): pass
def a_list(x): return (2 * x).tolist()
def an_array(x): return (2 * x).detach().numpy()
def a_tuple(x): return 2 * x, x
def a_number(x): return 3.0
def double(x): return (2 * x).double()
def wide(x): return (2 * x)[None]
def sparse(x): return (2 * x).to_sparse()
def in_place(x): return x.mul_(2)
def through_numpy(x):
    x.detach().numpy()[...] *= 2
    return x
def infinite(x): return x / 0
def cut(x): return 2 * x.detach()
def constant(x): return torch.zeros(2, 3, requires_grad=True)
def no_arguments(): return 1
def helped(x):
    from posebook.decode import argmax
    return argmax(x)
not_a_function = 3
"""


def test_odd_answers_get_the_same_words():
    scope: dict = {}
    exec(ODD, scope)
    names = [name for name in scope if name not in ("__builtins__", "torch", "np", "not_a_function")]
    with Session([(1, ODD)], withheld=twice("x").own, limits=Limits()) as session:
        session.ready()
        for name in names:
            there = trial.evaluate(twice(name), Proxy(session, name), seed=1)
            here = trial.evaluate(twice(name), scope[name], seed=1, refused=twice("x").own)
            assert rows(there) == rows(here), name
        missing = trial.evaluate(twice("not_a_function"), Proxy(session, "not_a_function"), seed=1)
    assert {row.message for row in missing.rows} == {
        "there is no function `not_a_function` after all cells have run"}


def test_a_regrade_gives_the_same_as_a_fork_and_cold():
    source = "def decode_argmax(heatmap, stride, offset=0.0): return heatmap.flatten(-2)[..., :2] + offset"
    handed_in = Submission((Cell("code", source),), "0" * 64)
    problems = SETS["decoding"][:1]
    first, second = (grade(handed_in, problems, secret=b"s", assignment="a", student="b", cold=cold)
                     for cold in (False, True))
    assert (first.seed, first.reports, first.notes) == (second.seed, second.reports, second.notes)
    assert json.loads(first.to_json())["sha256"] == handed_in.sha256 and first.reports[0].score < 2
