"""The floors of the library: a module imports only from floors below its own, absolutely, and nothing through posebook.

Beside the library stands a tower, ``checks < grading`` and ``ask < questions < predictions, quiz < progress``, that
imports nothing of it: an answer is judged by what the checks and the questions themselves say. Both stand on the same
ground, and ``cli`` is the roof over both. A new module needs a floor here first. Files of one package (people,
training, explore, checks, questions, grading, cli) share its floor and may import each other, without going round in
circles.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import posebook

GROUND = {"__init__": 0, "_args": 0, "_files": 0, "_html": 0, "_journal": 0, "_links": 0, "_triton": 0}
LIBRARY = {
    "skeleton": 1, "grid": 1, "expectation": 1, "_records": 1,
    "encode": 2, "decode": 2, "warp": 2, "fusion": 2, "metrics": 2, "theory": 2, "results": 2,
    "geometry": 2, "filters": 2,
    "losses": 3, "grouping": 3, "equivariance": 3, "corruptions": 3, "people": 3, "coco": 3, "evaluation": 3,
    "models": 4, "draw": 4, "diagnosis": 4, "uncertainty": 4, "fairness": 4,
    "training": 5, "evaluation_report": 5,
    "explore": 6,
}  # fmt: skip
TOWER = {"checks": 1, "ask": 1, "questions": 2, "grading": 2, "predictions": 3, "quiz": 3, "progress": 4}
FLOORS = GROUND | LIBRARY | TOWER | {"cli": 7}
ROOT = Path(posebook.__file__).parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}  # {"checks": .../checks/__init__.py, "checks.problem": ...}


def imports(source: str, modules: set[str]) -> Iterator[tuple[str, str]]:
    """Each import of something of posebook, at any depth of the source: the module meant, or "" and what is wrong."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "", f"line {node.lineno}: relative import"
        elif isinstance(node, ast.ImportFrom):
            package, _, module = node.module.partition(".")
            for name in node.names if package == "posebook" else ():
                inside = f"{module}.{name.name}".lstrip(".")  # a module, or else a name within one
                if not module and inside not in modules:
                    yield "", f"line {node.lineno}: {name.name} through posebook itself"
                else:
                    yield (inside if inside in modules else module), f"line {node.lineno}"
        elif isinstance(node, ast.Import):
            for name in node.names:
                package, _, module = name.name.partition(".")
                if package == "posebook":
                    yield module, f"line {node.lineno}" if module else f"line {node.lineno}: posebook itself"


def violations(name: str, source: str, modules: set[str]) -> list[str]:
    top = name.partition(".")[0]
    if top not in FLOORS:
        return [f"{name} has no floor: give it one in tests/test_layers.py"]
    wrong = []
    for module, where in imports(source, modules):
        other = module.partition(".")[0]
        if not module:
            wrong.append(where)
        elif other not in FLOORS:
            wrong.append(f"{where}: {module} has no floor")
        elif {top, other} & set(TOWER) and {top, other} & set(LIBRARY):
            wrong.append(f"{where}: {name} and {module} stand apart")
        elif other != top and FLOORS[other] >= FLOORS[top]:
            wrong.append(f"{where}: {module} is on floor {FLOORS[other]}, {name} on {FLOORS[top]}")
        elif module == name:
            wrong.append(f"{where}: imports itself")
    return wrong


@pytest.mark.parametrize("name", MODULES)
def test_floors(name):
    assert violations(name, MODULES[name].read_text(), set(MODULES)) == []


def test_no_circles():
    """Floors rule them out between modules; this rules them out within a package."""
    graph = {name: {module for module, _ in imports(path.read_text(), set(MODULES))} for name, path in MODULES.items()}
    assert list(TopologicalSorter(graph).static_order())


def test_the_library_is_found():
    assert {"_args", "skeleton", "grid", "encode", "decode", "theory"} <= set(MODULES)


@pytest.mark.parametrize(
    "name, source, wrong",
    [
        ("decode", "from posebook._args import fail\nfrom posebook import grid\nimport posebook.skeleton, torch", None),
        ("checks", "from posebook.checks.problem import Case\nfrom posebook.checks import problem", None),
        ("checks.problem", "from posebook._args import fail", None),
        ("cli", "from posebook import decode, checks", None),
        ("checks.problem", "from posebook.decode import argmax", "line 1: checks.problem and decode stand apart"),
        ("cli", "def main():\n    from posebook.checks import problem, evaluate", None),
        ("decode", "from ._args import fail", "line 1: relative import"),
        ("decode", "from . import grid", "line 1: relative import"),
        ("decode", "from posebook.encode import gaussian_heatmap", "line 1: encode is on floor 2, decode on 2"),
        ("grid", "def late():\n    from posebook import decode", "line 2: decode is on floor 2, grid on 1"),
        ("grid", "import posebook.checks.problem", "line 1: grid and checks.problem stand apart"),
        ("explore", "from posebook.checks.problem import Case", "line 1: explore and checks.problem stand apart"),
        ("decode", "import posebook", "line 1: posebook itself"),
        ("decode", "from posebook import __version__", "line 1: __version__ through posebook itself"),
        ("decode", "from posebook.unheard import of", "line 1: unheard has no floor"),
        ("unheard", "import torch", "unheard has no floor: give it one in tests/test_layers.py"),
        ("checks.problem", "from posebook.checks.problem import Case", "line 1: imports itself"),
    ],
)
def test_the_rules_themselves(name, source, wrong):
    modules = {"_args", "skeleton", "grid", "encode", "decode", "explore", "checks", "checks.problem", "cli"}
    assert violations(name, source, modules) == ([wrong] if wrong else [])


def test_the_sections_that_docstrings_name_exist():
    headings = "".join(path.read_text() for path in sorted((ROOT.parent / "sources/chapters").glob("*.py")))
    library = "".join(path.read_text() for path in MODULES.values())
    named = re.findall(r"chapter (\d), section (\d+\.\d+)", library)
    assert len(named) > 50
    for chapter, section in named:
        assert section.startswith(f"{chapter}.") and f"\n# ## {section} " in headings, section


def test_a_circle_would_be_seen():
    with pytest.raises(CycleError):
        list(TopologicalSorter({"checks.a": {"checks.b"}, "checks.b": {"checks.a"}}).static_order())


def test_the_package_itself_is_empty_and_light():
    lines = [ast.unparse(node) for node in ast.parse(MODULES["__init__"].read_text()).body[1:]]
    version = f"__version__ = {posebook.__version__!r}"
    assert lines == ["import os", version, "os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')"]
    code = "import sys; before = set(sys.modules); import posebook; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["posebook"]


SLOW = {"matplotlib", "ipywidgets", "IPython", "jupyterlab", "scipy"}  # to import


def imported(code: str) -> set[str]:
    """The modules that are there after this code has run."""
    code = f"import sys\ntry:\n    {code}\nfinally:\n    print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return {*done.stdout.splitlines()[-1].split()}


def test_what_computes_imports_torch_and_nothing_else_that_is_slow():
    shown = {"draw", "explore", "evaluation_report"}
    fast = [f"posebook.{name}" for name in MODULES if name in {*LIBRARY, "checks"} - shown]
    found = imported(f"import {', '.join(fast)}")
    assert {"torch", *fast} <= found and not SLOW & found


@pytest.mark.parametrize("words", [["--help"], ["lab", "--help"], ["evaluate", "no file", "no file", "--sigmas", "x"],
                                   ["grade", "--help"], ["reset", "no_problem"], ["progress"]], ids=" ".join)
def test_the_command_line_answers_without_torch(words, tmp_path, monkeypatch):
    """Help, a word that is wrong, a folder that is not the course's."""
    monkeypatch.chdir(tmp_path)
    found = imported(f"from posebook.cli import main; sys.argv[1:] = {words}; main()")
    assert "posebook.cli.student" in found and not (SLOW | {"torch", "numpy"}) & found
