"""What is printed is the same on another processor: neither doctests nor notebooks show what float32 rounds away."""

import doctest
import importlib
import io
import os
import pkgutil
from contextlib import redirect_stdout

import build
import nbformat
import pytest
import torch
from elsewhere.round_off import Elsewhere
from nbclient import NotebookClient

import posebook

DOCTESTS = [
    test
    for module in pkgutil.walk_packages(posebook.__path__, "posebook.")
    if not module.name.endswith(("__main__", "_triton"))
    for test in doctest.DocTestFinder().find(importlib.import_module(module.name), extraglobs={"torch": torch})
    if test.examples
]
STARTUP = """
import sys
sys.path.insert(0, {tests!r})
from elsewhere.round_off import Elsewhere
Elsewhere(seed=1).__enter__()
"""
IS_ON = """
import torch
assert len(torch.ones(1000).exp().unique()) == 3, "the notebook ran as here"
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sums_and_exponentials_differ_but_not_what_is_exact(seed):
    x = torch.rand(1000, generator=torch.Generator().manual_seed(seed))
    here = x.exp()
    with Elsewhere(seed):
        exp, again, whole, wide = x.exp(), x.exp(), torch.ones(9).sum(), x.double().exp()
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(leaf.exp().sum(), leaf)
    assert 100 < (exp != here).sum() and torch.allclose(exp, here, rtol=3e-7, atol=0) and whole == 9
    assert torch.equal(exp, again)  # as two runs on one processor are
    assert torch.equal(wide, x.double().exp()) and torch.allclose(slope, exp, rtol=6e-7, atol=0)
    assert torch.equal(x.exp(), here)  # its end is an end


@pytest.mark.parametrize("test", DOCTESTS, ids=lambda test: test.name)
def test_a_doctest_prints_the_same_elsewhere(test):
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    said = io.StringIO()
    for seed in (1, 2, 3):
        with Elsewhere(seed), redirect_stdout(said):
            runner.run(test, clear_globs=False)
    assert runner.tries >= 3 and runner.failures == 0, said.getvalue()


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """The words of each code cell."""
    cells = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs) for outputs in cells]


@pytest.mark.skipif("POSEBOOK_CI" not in os.environ, reason="takes minutes; POSEBOOK_CI=1 runs it")
@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_a_notebook_prints_the_same_elsewhere(source, tmp_path):
    startup = tmp_path / "profile_default/startup/00-on.py"
    startup.parent.mkdir(parents=True)
    startup.write_text(STARTUP.format(tests=os.path.dirname(__file__)))
    stored = build.stored(build.target(source))
    notebook = nbformat.from_dict(stored)
    notebook.cells.append(nbformat.v4.new_code_cell(IS_ON))
    resources = {"metadata": {"path": str(build.target(source).parent)}}
    client = NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=resources, coalesce_streams=True)
    client.execute(env=os.environ | {"IPYTHONDIR": str(tmp_path)})
    assert printed(notebook)[:-1] == printed(stored)
