"""Build the notebooks from sources/: what is stale, or the ones named.

    python tools/build.py                      rebuild what is stale
    python tools/build.py --all                rebuild everything
    python tools/build.py decoding             rebuild what has this in its name

sources/chapters/02_decoding.py  ->  chapters/02_decoding.ipynb, outputs stored
sources/problems/decoding.py     ->  solutions/decoding/decoding.ipynb, outputs stored
                                 ->  exercises/decoding/decoding.ipynb, solutions cut out (nbgrader's release)

Where only prose has changed, nothing runs: the outputs of the unchanged code stay. A cell that imports nothing but the
reference of a problem becomes the solution: the text of that function, between nbgrader's markers. SWITCHED_OFF in a
problem set becomes the list of functions that its checks refuse.
"""

import argparse
import ast
import hashlib
import os
import re
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from nbgrader.preprocessors import SaveCells
from traitlets.config import Config

from posebook.checks import PROBLEMS, SETS, Problem, withheld
from posebook.checks.problem import text_of
from posebook.grading.record import configure

ROOT = Path(__file__).resolve().parents[1]
NOT_SHOWN = {"grading", "cli", "progress", "_journal"}  # the parts of posebook that no notebook runs
NOT_RUN = {"chapters": {"checks"}, "problems": {"ask", "questions", "predictions", "quiz"}}  # by those there
WIDGET = "application/vnd.jupyter.widget-view+json"
SETUP = """\
# @title Set-up, for Colab. Where posebook is installed this does nothing.
import subprocess, sys
from importlib.util import find_spec

if not find_spec("posebook"):  # add it and what is missing; torch and numpy stay, old widgets go
    used = "comm jupyterlab_widgets matplotlib safetensors scipy tqdm widgetsnbextension".split()
    needed = [name for name in used if not find_spec(name)]
    needed += ["ipywidgets>=8.1.4", "posebook @ git+https://github.com/OWNER/posebook"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, *needed], check=True)"""
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["remove-cell"]}  # Colab, Jupyter, the book


def sources() -> list[Path]:
    """Every source, chapters first."""
    return sorted(ROOT.glob("sources/chapters/*.py")) + sorted(ROOT.glob("sources/problems/*.py"))


def target(source: Path) -> Path:
    """The executed notebook that a source becomes."""
    if source.parent.name == "chapters":
        return ROOT / "chapters" / f"{source.stem}.ipynb"
    return ROOT / "solutions" / source.stem / f"{source.stem}.ipynb"


def released(source: Path) -> Path:
    """The notebook that students get of a problem set."""
    return ROOT / "exercises" / source.stem / f"{source.stem}.ipynb"


def read(source: Path) -> NotebookNode:
    """Notebook of a source, not yet executed: fixed cell ids, nbgrader's metadata, nothing that varies; a chapter gets
    its set-up below its head.
    """
    text = source.read_text(encoding="utf-8")
    try:
        ast.parse(text)
    except SyntaxError as error:
        raise SystemExit(f"{source.name}, line {error.lineno}: {error.msg}") from None
    notebook = jupytext.reads(text, fmt="py:percent")
    if source.parent.name == "chapters":
        notebook.cells.insert(1, nbformat.v4.new_code_cell(SETUP))
    for cell in notebook.cells:
        if found := re.fullmatch(r"from posebook\.checks\.\w+\.(\w+) import \1", cell.source):
            cell.source = solution(found[1])
        if "SWITCHED_OFF" in cell.source:
            cell.source = cell.source.replace("SWITCHED_OFF", switched_off(source.stem))
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "posebook": {"digest": digest(source, notebook)},
    })
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(metadata(cell))
        cell.id = fixed_id(cell, seen)
    nbformat.validate(notebook)
    return notebook


def problem(name: str) -> Problem:
    """A problem that a cell names."""
    if name not in PROBLEMS:
        raise SystemExit(f"{name}: want one of {', '.join(PROBLEMS)}; is it in PROBLEMS of its set?")
    return PROBLEMS[name]


def solution(name: str) -> str:
    """A problem's reference as a student would write it, between the markers that the release is cut by."""
    head, body = text_of(problem(name).reference)
    return f"{head}    ### BEGIN SOLUTION\n{body}    ### END SOLUTION"


def switched_off(name: str) -> str:
    """The public functions of the library that this set's checks refuse, as a list in words."""
    names = [name for name in withheld(SETS[name]) if not name.rsplit(".", 1)[1].startswith("_")]
    return ", ".join(f"`{name}`" for name in sorted(names))


def fixed_id(cell: NotebookNode, seen: set[str]) -> str:
    """An id that depends on the cell's text alone; equal cells are counted."""
    base = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
    name, count = base, 1
    while name in seen:
        count += 1
        name = f"{base}-{count}"
    seen.add(name)
    return name


def metadata(cell: NotebookNode) -> dict:
    """The set-up is folded in; of others nbgrader wants to know: an answer to write, a locked check, or nothing."""
    if cell.source == SETUP:
        return FOLDED
    if cell.cell_type != "code":
        return {}
    common = {"schema_version": 3, "task": False}
    if "### BEGIN SOLUTION" in cell.source:
        name = re.search(r"^def (\w+)", cell.source, re.M)[1]
        return {"nbgrader": {"grade": False, "grade_id": name, "locked": False, "solution": True, **common}}
    if found := re.search(r'^check\("(\w+)"', cell.source, re.M):
        return {"nbgrader": {"grade": True, "grade_id": f"check-{found[1]}", "locked": True,
                             "points": problem(found[1]).points, "solution": False, **common}}
    return {}


def is_check(cell: NotebookNode) -> bool:
    """Whether this is a locked check cell."""
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def exercise(solution: NotebookNode) -> NotebookNode:
    """The release: answers cut out, check cells locked and allowed to fail, pictures kept."""
    config = Config()
    configure(config)
    notebook = nbformat.from_dict(solution)
    for step in config.GenerateAssignment.preprocessors:
        if step is not SaveCells:  # which writes to the gradebook
            notebook, _ = step(config=config).preprocess(notebook, {})
    return notebook


def digest(source: Path, notebook: NotebookNode) -> str:
    """Fingerprint of all that outputs depend on: the code, and each file of posebook that the notebook could run."""
    left_out = NOT_SHOWN | NOT_RUN[source.parent.name]
    whole = hashlib.sha256("\n# %%\n".join(c.source for c in notebook.cells if c.cell_type == "code").encode())
    for path in sorted((ROOT / "posebook").rglob("*")):
        parts = path.relative_to(ROOT / "posebook").parts
        hidden = any(part.startswith((".", "__pycache__")) for part in parts)
        if path.is_file() and not hidden and parts[0].removesuffix(".py") not in left_out:
            whole.update(f"\n{'/'.join(parts)}\n".encode() + path.read_bytes())
    return whole.hexdigest()[:16]


def stored(path: Path) -> NotebookNode | None:
    """The built notebook as it lies there, or None where there is none to be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError):
        return None


def bare(notebook: NotebookNode) -> list[tuple]:
    """What a source decides about a notebook: its cells, ids and metadata, not the outputs."""
    return [(c.cell_type, c.source, c.id, c.metadata) for c in notebook.cells]


def is_stale(source: Path) -> bool:
    """Whether a notebook is missing or would come out otherwise."""
    notebook, old = read(source), stored(target(source))
    if old is None or bare(old) != bare(notebook) or old.metadata != notebook.metadata:
        return True
    if source.parent.name == "problems":
        release = stored(released(source))
        return release is None or bare(release) != bare(exercise(notebook))
    return False


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells; keep outputs, drop what differs from run to run."""
    environment = {k: v for k, v in os.environ.items() if k != "POSEBOOK_COCO"}  # outputs come from what ships
    environment["POSEBOOK_PROGRESS"] = ""  # and from no one's answers
    client = NotebookClient(notebook, timeout=1200, kernel_name="python3", record_timing=False,
                            store_widget_state=False, resources={"metadata": {"path": str(folder)}},
                            coalesce_streams=True, extra_arguments=["--log-level=40"])
    client.execute(env=environment)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)


def build(source: Path, *, force: bool) -> str:
    """Write the notebooks of one source; returns what was done."""
    notebook, old, path = read(source), stored(target(source)), target(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not force and old is not None and old.metadata == notebook.metadata:
        outputs = iter([c for c in old.cells if c.cell_type == "code"])  # same code, same library: only prose changed
        for cell in (c for c in notebook.cells if c.cell_type == "code"):
            before = next(outputs)
            cell.outputs, cell.execution_count = before.outputs, before.execution_count
        done = "prose"
    else:
        execute(notebook, path.parent)
        done = "executed"
    nbformat.write(notebook, path)
    if source.parent.name == "problems":
        released(source).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(exercise(notebook), released(source))
    return done


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="rebuild the sources whose name holds one of these")
    parser.add_argument("--all", action="store_true", help="rebuild and execute everything")
    options = parser.parse_args()
    for source in sources():
        named = any(name in str(source.relative_to(ROOT)) for name in options.names)
        if options.all or named or (not options.names and is_stale(source)):
            start = time.perf_counter()
            try:
                done = build(source, force=options.all or named)
            except (CellExecutionError, RuntimeError) as error:  # a cell raised; a solution's markers do not match
                plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
                raise SystemExit(f"{source.relative_to(ROOT)}: {plain}") from None
            print(f"{target(source).relative_to(ROOT)}: {done} in {time.perf_counter() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
