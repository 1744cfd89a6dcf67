"""The built notebooks agree with their sources; their text keeps what it promises. nbval executes them."""

import ast
import inspect
import json
import math
import re

import build
import nbformat
import pytest
import torch
from nbclient import NotebookClient

from posebook.checks import SETS, evaluate
from posebook.questions.quizzes import QUIZZES

SOURCES = build.sources()
CHAPTERS = [s for s in SOURCES if s.parent.name == "chapters"]
PROBLEM_SETS = [s for s in SOURCES if s.parent.name == "problems"]
NOTEBOOKS = [build.target(s) for s in SOURCES] + [build.released(s) for s in PROBLEM_SETS]
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: str(p.relative_to(build.ROOT)))
each_chapter = pytest.mark.parametrize("source", CHAPTERS, ids=lambda s: s.stem)
each_set = pytest.mark.parametrize("source", PROBLEM_SETS, ids=lambda s: s.stem)


def outputs(notebook):
    return [o for cell in notebook.cells for o in cell.get("outputs", ())]


def printed(notebook):
    """All text that a notebook's cells print; alt texts do not count."""
    plain = [o for o in outputs(notebook) if "image/png" not in o.get("data", {})]
    return "\n".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in plain)


@pytest.mark.parametrize("source", SOURCES, ids=lambda s: s.stem)
def test_built_notebooks_agree_with_their_source(source):
    fresh = build.read(source)
    old = build.stored(build.target(source))
    assert build.bare(old) == build.bare(fresh) and old.metadata == fresh.metadata, "run `make notebooks`"
    if source in PROBLEM_SETS:
        release = build.stored(build.released(source))
        assert build.bare(release) == build.bare(build.exercise(fresh)), "run `make notebooks`"


def test_no_notebook_without_a_source():
    built = {p for folder in ("chapters", "solutions", "exercises") for p in (build.ROOT / folder).rglob("*.ipynb")
             if ".ipynb_checkpoints" not in p.parts}
    assert built == set(NOTEBOOKS)


@each_notebook
def test_notebooks_hold_nothing_that_varies(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info", "posebook"}
    assert not any("execution" in cell.metadata for cell in notebook.cells)
    assert build.WIDGET not in path.read_text(encoding="utf-8")
    assert not [o for o in outputs(notebook) if o.output_type == "error" or o.get("name") == "stderr"]


@each_notebook
def test_every_picture_has_words(path):
    for output in outputs(nbformat.read(path, as_version=4)):
        if "image/png" in output.get("data", {}):
            text = output.data["text/plain"]
            assert output.metadata.get("image/png", {}).get("alt", text) == text
            good = len(text.split()) > 8 and not re.match(r"plot|figure|image|picture of", text, re.I)
            assert good, f"alt text: want more than 8 words that say what is there, got {text!r}"


@each_chapter
def test_explorers_open_without_a_kernel(source):
    """As on GitHub: a picture of the opening frame, with the verdict in it, and its sentence."""
    cells = [cell for cell in build.stored(build.target(source)).cells if cell.source.endswith(".explore()")]
    assert len(cells) >= 2
    for cell in cells:
        (data,) = (output.data for output in cell.outputs)
        assert set(data) == {"image/png", "text/plain"} and len(data["text/plain"].split()) > 20


@each_notebook
def test_links_lead_somewhere(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for link in re.findall(r"\]\(([^)\s]+)\)", cell.source) if cell.cell_type == "markdown" else ():
            assert link.startswith("https://") or (path.parent / link).exists(), link


@each_notebook
def test_cells_are_short(path):
    for cell in nbformat.read(path, as_version=4).cells:
        lines = cell.source.splitlines() if cell.cell_type == "code" else []
        longest = max(map(len, lines), default=0)
        assert len(lines) <= 20 and longest <= 100, f"want 20 lines of 100, got {len(lines)} of {longest}: {lines[0]}"


@each_chapter
def test_sections_ask_predict_and_conclude(source):
    text = "\n".join(c.source for c in build.read(source).cells if c.cell_type == "markdown")
    sections = re.split(r"^## (?=\d)", text, flags=re.M)[1:]
    assert sections
    for section in sections:
        title = section.splitlines()[0]
        assert title.endswith("?"), f"{title}: want a question"
        for part in ("**Predict.**", "**Takeaway.**"):
            assert part in section, f"{title}: no {part}"
    numbers = [int(re.match(r"\d+\.(\d+) ", section)[1]) for section in sections]
    assert numbers == list(range(1, len(sections) + 1)), numbers


def minutes(section):
    """How long a reader takes over the cells of a section, by the rule at the head of each chapter."""
    text = "\n".join(cell.source for cell in section if cell.cell_type == "markdown")
    text = re.sub(r"<details>.*?</details>", "", text, flags=re.S)  # what is folded in does not count
    plain, equations = re.subn(r"\$\$.*?\$\$", "", text, flags=re.S)
    code = [cell.source for cell in section if cell.cell_type == "code"]
    quizzes = [int(found[1]) for cell in code if (found := re.search(r"^quiz\((\d)\)", cell, re.M))]
    code = [cell for cell in code if not re.search(r"^(predictions?|quiz)\(", cell, re.M)]  # go by their questions
    pictures, explorers = (sum(part in cell for cell in code) for part in ("draw.show(", ".explore()"))
    asked = text.count("**Predict.**") + sum(len(QUIZZES[chapter]) for chapter in quizzes)
    return round(len(plain.split()) / 120 + asked + pictures + 2 * len(code) + 2 * equations + 5 * explorers)


@each_chapter
def test_sections_say_how_long_they_take(source):
    cells = build.read(source).cells
    starts = [k for k, cell in enumerate(cells) if re.match(r"## (\d|What has stayed)", cell.source)]
    total = short = 0
    for first, end in zip(starts, [*starts[1:], len(cells)], strict=True):
        title, _, line = cells[first].source.splitlines()[:3]
        said, want = re.fullmatch(r"\*(\d+) minutes(, short path)?\*", line), minutes(cells[first:end])
        assert said and abs(int(said[1]) - want) <= 1, f"{title}: want *{want} minutes*, got {line}"
        total, short = total + want, short + (want if said[2] else 0)
    hours = re.search(r"\| Time \| about ([\d.]+) hours.*; the short path takes ([\d.]+) \|", cells[0].source)
    assert hours, "want how long the chapter and its short path take"
    want = total / 60, short / 60
    assert all(abs(float(a) - b) <= 0.3 for a, b in zip(hours.groups(), want, strict=True)), f"want {want} hours"


@each_chapter
def test_numbers_in_a_takeaway_were_printed_above(source):
    notebook = build.stored(build.target(source))
    found = 0
    for k, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and "**Takeaway.**" in cell.source:
            above = printed(nbformat.from_dict({"cells": notebook.cells[:k]}))
            for number in re.findall(r"\d+\.\d+", cell.source.split("**Takeaway.**")[1].split("##")[0]):
                found += 1
                seen = re.search(rf"(?<![\d.]){re.escape(number)}0*(?!\d)", above)
                assert seen, f"{number} in a takeaway was not printed above: {cell.source}"
    assert found >= 3, "want 3 decimal numbers in takeaways"


@each_set
def test_exercises_hold_no_solution_and_their_checks_fail_until_it_is_written(source):
    release = nbformat.read(build.released(source), as_version=4)
    whole = "\n".join(cell.source for cell in build.read(source).cells)
    bodies = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", whole, re.S)
    text = "\n".join(cell.source for cell in release.cells)
    assert bodies and "SOLUTION" not in text and not any(body.strip() in text for body in bodies)

    problems = SETS[source.stem]
    statements = "\n".join(cell.source for cell in release.cells if cell.cell_type == "markdown")
    for n, p in enumerate(problems, 1):
        head = rf"## {n}\. `{p.name}`\n\n\*{p.points} points?, (easy|medium|hard), about {p.minutes} minutes\.\*"
        assert re.search(head, statements), f"want a statement {n} of {p.name}: {p.points} points, {p.minutes} minutes"
    ids = [cell.metadata.nbgrader.grade_id for cell in release.cells if "nbgrader" in cell.metadata]
    want = [name for p in problems for name in (p.name, f"check-{p.name}")]
    assert ids == want, "each of PROBLEMS wants its solution between markers, then its check cell"

    NotebookClient(release, timeout=1200, kernel_name="python3").execute()
    checks = [cell for cell in release.cells if build.is_check(cell)]
    assert len(checks) == len(bodies)
    for cell in checks:
        assert cell.metadata.nbgrader.locked and cell.metadata.nbgrader.points > 0
        assert cell.outputs[-1].ename == "CheckFailed" and len(cell.outputs[-1].traceback) == 1
        assert "not written yet" in cell.outputs[0].data["text/plain"]


@each_set
def test_a_solution_is_the_reference_and_stands_alone(source):
    problems = SETS[source.stem]
    cells = {c.metadata.nbgrader.grade_id: c.source for c in build.read(source).cells if "nbgrader" in c.metadata}
    for p in problems:
        without_markers = re.sub(r" *### (BEGIN|END) SOLUTION\n?", "", cells[p.name])
        assert without_markers == inspect.getsource(p.reference)
        scope = {"math": math, "torch": torch}
        exec(cells[p.name], scope)
        assert evaluate(p.name, scope[p.name]).passed


@each_chapter
def test_a_chapter_needs_no_checks(source):
    """So a changed check leaves it as it is."""
    assert "posebook.checks" not in source.read_text(encoding="utf-8")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A small course of one chapter."""
    monkeypatch.setattr(build, "ROOT", tmp_path)
    source = tmp_path / "sources" / "chapters" / "01_small.py"
    source.parent.mkdir(parents=True)
    (tmp_path / "posebook").mkdir()
    (tmp_path / "posebook" / "grid.py").write_text("# stands for a module of the library\n")
    source.write_text("# %% [markdown]\n# # Title\n\n# %%\nfrom posebook.grid import Grid\nprint(Grid(2).stride)\n")
    return source


def test_only_what_is_stale_is_rebuilt_and_prose_executes_nothing(course, monkeypatch):
    assert build.is_stale(course) and build.build(course, force=False) == "executed"
    assert not build.is_stale(course) and "2" in printed(build.stored(build.target(course)))

    before = build.stored(build.target(course))
    course.write_text(course.read_text().replace("Title", "Another title"))
    assert build.is_stale(course) and build.build(course, force=False) == "prose"
    after = build.stored(build.target(course))
    assert after.cells[1] == before.cells[1] and after.cells[0].source == "# Another title"

    (build.ROOT / "posebook" / "grid.py").write_text("# the library changed\n")
    assert build.is_stale(course)
    monkeypatch.setattr(build, "execute", lambda notebook, folder: None)
    assert build.build(course, force=False) == "executed"
    course.write_text(course.read_text().replace("Grid(2)", "Grid(3)"))
    assert build.is_stale(course) and build.build(course, force=False) == "executed"


@pytest.mark.parametrize(("name", "chapter", "problems"), [
    ("data/portrait.json", True, True), ("data/a new table.bin", True, True), ("explore/__init__.py", True, True),
    ("questions/predictions_decoding.py", True, False), ("ask.py", True, False),
    ("__init__.py", True, True), ("checks/decoding/fuse.py", False, True), ("grading/run.py", False, False),
    ("cli.py", False, False), ("__pycache__/grid.pyc", False, False), (".DS_Store", False, False),
])
def test_whatever_a_notebook_may_run_or_read_makes_it_stale(course, name, chapter, problems):
    """No list of imports to be wrong: all of posebook counts, but for what no notebook runs."""
    of_problems = build.ROOT / "sources" / "problems" / "small.py"
    of_problems.parent.mkdir()
    of_problems.write_text(course.read_text())
    before = [build.read(source).metadata.posebook.digest for source in (course, of_problems)]
    changed = build.ROOT / "posebook" / name
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text("changed")
    after = [build.read(source).metadata.posebook.digest for source in (course, of_problems)]
    assert [a != b for a, b in zip(before, after, strict=True)] == [chapter, problems]


def test_the_same_source_gives_the_same_ids_and_equal_cells_differ(course):
    course.write_text("# %%\n1\n\n# %%\n1\n\n# %%\n2\n")
    ids = [cell.id for cell in build.read(course).cells]
    assert ids == [cell.id for cell in build.read(course).cells] and len(set(ids)) == 4  # with the set-up


@pytest.mark.parametrize("cell", ["from posebook.checks.decoding.new import new", 'check("new", new)'])
def test_a_cell_of_a_problem_that_its_set_lacks_is_told(course, cell):
    course.write_text(f"# %%\n{cell}\n")
    with pytest.raises(SystemExit, match="^new: want one of .*flip_back.*; is it in PROBLEMS of its set"):
        build.read(course)


@pytest.fixture
def coco_twin(monkeypatch):
    """Runs a chapter's cell that reads a COCO file of the reader's, and the cells that it needs; gives its outputs."""
    def run(name, path):
        chapter = build.read(build.ROOT / "sources" / "chapters" / f"{name}.py")
        cells = [cell for cell in chapter.cells if cell.cell_type == "code"]
        while 'if "POSEBOOK_COCO" in os.environ' not in cells[-1].source:
            cells.pop()
        chapter.cells, (_, wanted) = [cells[-1]], names(cells[-1])
        for cell in reversed(cells[:-1]):
            defines, uses = names(cell)
            if defines & wanted:
                chapter.cells.insert(0, cell)
                wanted = wanted - defines | uses
        monkeypatch.setenv("POSEBOOK_COCO", str(path))
        NotebookClient(chapter, timeout=1200, kernel_name="python3").execute()
        outputs = chapter.cells[-1].outputs
        printed = [output for output in outputs if output.output_type == "stream"]  # in parts on a busy machine
        printed[0].text = "".join(output.text for output in printed)
        return [printed[0], *(output for output in outputs if output.output_type != "stream")]
    return run


def names(cell):
    """Those that a cell defines, and those that it needs."""
    nodes = list(ast.walk(ast.parse(cell.source)))
    defines = {alias.asname or alias.name for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))
               for alias in node.names}
    defines |= {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    defines |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    inner = {node.arg for node in nodes if isinstance(node, ast.arg)}
    return defines, {node.id for node in nodes if isinstance(node, ast.Name)} - defines - inner


@pytest.mark.parametrize(("name", "most"), [
    ("01_representations", 15),  # of a network that never saw a photograph
    ("02_decoding", 4 / 2**0.5 + 0.005),  # argmax at stride 4
])
def test_the_photograph_cells_have_a_coco_twin(name, most, coco_json, coco_twin):
    said, picture = coco_twin(name, coco_json)
    errors = [float(number) for number in re.findall(r"(\d+\.\d+) px", said.text)]
    assert len(errors) == 2 and all(0 < error <= most for error in errors)
    assert "image/png" in picture.data and ".jpg" in picture.data["text/plain"]


def test_blurred_photographs_of_a_coco_file_have_errors_and_claims(coco_json, coco_twin):
    [said] = coco_twin("04_robustness", coco_json)
    rows = re.findall(r"blur (\d): median error (\d+\.\d) px of 64, claimed (\d+\.\d) px", said.text)
    assert [int(strength) for strength, *_ in rows] == list(range(6))
    assert all(0 < float(value) < 64 for _, *pair in rows for value in pair)


def test_a_sheet_is_pinned_to_the_keypoints_of_a_coco_file(coco_json, coco_twin):
    [said] = coco_twin("05_applications", coco_json)
    [(n, *off)] = re.findall(r"^(\d+) keypoints: residual (\d+\.\d+) px, .* off by (\d+\.\d+) px$", said.text.strip())
    assert int(n) >= 4 and all(0 <= float(value) < 40 for value in off)


@pytest.mark.parametrize("crowd", [0, 1])
def test_shaken_marks_of_a_coco_file_have_the_mean_oks_that_a_formula_says(crowd, coco_json, coco_twin, tmp_path):
    data = json.loads(coco_json.read_text(encoding="utf-8"))
    marked = [record for record in data["annotations"] if any(record["keypoints"][2::3])]
    marked[0]["iscrowd"] = crowd
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    [said] = coco_twin("03_multi_person", path)
    to_find, others = len(marked) - crowd, len(data["annotations"]) - len(marked) + crowd
    assert said.text.startswith(f"{to_find} people to find, {others} whom nobody needs to find")
    rows = re.findall(r"mean OKS (\d\.\d+), by the formula (\d\.\d+); AP (\d\.\d+)", said.text)
    mean, formula, ap = zip(*(map(float, row) for row in rows), strict=True)
    assert len(rows) == 8 and all(abs(a - b) < 0.1 for a, b in zip(mean, formula, strict=True))
    honest, chance = ap[::2], ap[1::2]
    assert ap[:2] == (1, 1) and list(honest) == sorted(honest, reverse=True) and ap[-1] < 0.5
    assert all(a >= b for a, b in zip(honest, chance, strict=True))


@each_chapter
@pytest.mark.parametrize("people", [0, 1])
def test_a_coco_file_in_which_nobody_is_marked_is_said_to_be_one(source, people, coco_twin, tmp_path):
    data = json.loads((build.ROOT / "posebook" / "data" / "portrait.json").read_text(encoding="utf-8"))
    data["annotations"] = data["annotations"][:people]
    for record in data["annotations"]:
        record["keypoints"] = [0] * len(record["keypoints"])
    path = tmp_path / "nobody.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    [said] = coco_twin(source.stem, path)
    assert said.text.startswith("POSEBOOK_COCO names a file without a marked person:")
