"""An instructor's course: make it, release a set, and the commands that do so."""

import re
import shlex
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from classroom import archive, here, mini, submit

from posebook import cli
from posebook.cli import instructor
from posebook.grading import pool
from posebook.grading.course import Course, CourseError
from posebook.grading.roster import read_roster
from posebook.grading.steps import init, release

ROOT = Path(__file__).parents[1]


def test_init_makes_a_course_and_keeps_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no alembic to be found, as in an environment that is not activated
    root = tmp_path / "new"
    assert init(root)[0] == "solutions/: applications, decoding, multi_person, representations, robustness"
    secret = root / "grading/secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and len(secret.read_text().strip()) == 64
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    before = {path: path.read_bytes() for path in (secret, root / "nbgrader_config.py")}
    (root / "solutions/decoding/decoding.ipynb").write_text("changed")
    assert "grading/secret: kept as it was" in init(root)
    assert before == {path: path.read_bytes() for path in before}
    assert (root / "solutions/decoding/decoding.ipynb").read_text() == "changed"


@pytest.mark.parametrize("name", ["pose [2026]", "what?", "a*b"])
def test_a_folder_in_which_nbgrader_would_look_elsewhere(tmp_path, name):
    with pytest.raises(CourseError, match="in a path for a pattern; rename the folder"):
        init(tmp_path / name / "course")
    assert not (tmp_path / name).exists()


def test_git_never_sees_what_students_handed_in(tmp_path):
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "solutions").mkdir()
    init(tmp_path)
    done = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["??", "nbgrader_config.py"]


def test_another_gradebook(tmp_path):
    (tmp_path / "solutions").mkdir()
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    init(tmp_path, db=url)
    assert Course.open(tmp_path).coursedir.db_url == url and (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "grading/gradebook.db").exists()
    with pytest.raises(CourseError, match="change it there"):
        init(tmp_path, db="sqlite:///third.db")


@pytest.mark.parametrize("url", ["nonesuch://x/y", "no URL", "postgresql+psycopg://ann@host:port/x",
                                 "sqlite:////nonesuch/folder/grades.db"])
def test_a_gradebook_that_cannot_be_opened_is_not_kept(tmp_path, url):
    (tmp_path / "solutions").mkdir()
    with pytest.raises(CourseError, match="cannot open the gradebook"):
        init(tmp_path, db=url)
    init(tmp_path)
    assert Course.open(tmp_path).coursedir.db_url.endswith("grading/gradebook.db")


def test_a_password_is_not_shown(course):
    """Neither in what init prints nor in its errors."""
    course.config.CourseDirectory.db_url = "postgresql+psycopg://ann:secret@host/grades"
    assert Course(course.root, course.config).address == "postgresql+psycopg://ann:***@host/grades"


def test_roster(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_bytes("\ufeffID;First name;Last name;Email\r\nann; Ann ;Arbor;\r\n;;;\r\nbob;;Doe;b@x\r\n".encode())
    assert [tuple(s) for s in read_roster(path)] == [("ann", "Ann", "Arbor", "", ""), ("bob", "", "Doe", "b@x", "")]


@pytest.mark.parametrize("text, error", [
    ("id,name\n", "line 1: no column first_name, last_name"),
    ("", "line 1: no column id"),
    ("id,first_name,last_name\nann,A,B\n../x,A,B\n", "line 3: id: want letters, digits and"),
    ("id,first_name,last_name\nann,A,B\n,A,B\n", "line 3: the id is missing"),
    ("id,first_name,last_name\nann,A,B\nbob,,\n", "line 3: bob has no name"),
    ("id,first_name,last_name\nann,A,B\nAnn,C,D\n", "line 3: the id Ann is on line 2 as well"),
    ("id,first_name,last_name\nann,A,B,C,D\n", "line 2: more fields than the first line has: C, D"),
])
def test_roster_errors_name_the_line(tmp_path, text, error):
    path = tmp_path / "roster.csv"
    path.write_text(text)
    with pytest.raises(CourseError, match=re.escape(f"{path}, {error}")):
        read_roster(path)
    path.write_bytes(b"id,first_name,last_name\nann,Zo\xeb,B\n")
    with pytest.raises(CourseError, match="not UTF-8"):
        read_roster(path)


def test_release_is_the_notebook_of_the_repository(tmp_path):
    """Byte for byte: an instructor may work in the course's own folder and git stays clean."""
    init(tmp_path)
    course = Course.open(tmp_path)
    (tmp_path / "solutions/decoding/marks.txt").write_text("notes of mine")
    (tmp_path / "solutions/decoding/draft.ipynb").write_text("{}")
    lines = release(course, "decoding")
    assert lines == ["exercises/decoding/decoding.ipynb: 10 problems, 24 points; hand out this one file",
                     "left out, since only the notebook is handed out: draft.ipynb, marks.txt"]
    assert [path.name for path in (tmp_path / "exercises").rglob("*") if path.is_file()] == ["decoding.ipynb"]
    committed = ROOT / "exercises/decoding/decoding.ipynb"
    assert (tmp_path / "exercises/decoding/decoding.ipynb").read_bytes() == committed.read_bytes()


def test_the_gradebook_knows_cells_points_and_due_date(course):
    with course.gradebook() as gradebook:
        assignment = gradebook.find_assignment("mini")
        notebook = assignment.notebooks[0]
        assert {cell.name: cell.max_score for cell in notebook.grade_cells} == {
            "check-soft_argmax": 3, "check-fuse": 2, "why": 5}
        assert assignment.duedate == datetime(2026, 11, 20)


@pytest.mark.parametrize("change, error", [
    (lambda cell: cell.metadata.nbgrader.update(points=7), "the cell check-fuse gives 7 points, its problem 2"),
    (lambda cell: cell.metadata.nbgrader.update(grade_id="test1"), "the graded cell test1 is no check of posebook's"),
])
def test_release_refuses_what_could_not_be_graded(course, change, error):
    notebook = mini()
    change(next(cell for cell in notebook.cells if cell.source.startswith('check("fuse"')))
    nbformat.write(notebook, course.notebook("source", "mini"))
    with pytest.raises(CourseError, match=error):
        release(course, "mini")


def test_a_release_that_fails_leaves_the_old_one(course):
    before = course.notebook("release", "mini").read_bytes()
    notebook = mini()
    notebook.cells[1].source = notebook.cells[1].source.replace("### END SOLUTION", "")
    nbformat.write(notebook, course.notebook("source", "mini"))
    with pytest.raises(CourseError, match="nbgrader could not release mini: .*end solution"):
        release(course, "mini")
    assert course.notebook("release", "mini").read_bytes() == before


def test_unknown_set_and_no_course(course, tmp_path):
    for name in ("nothing", "../mini", ""):
        with pytest.raises(CourseError, match="want one of the sets in solutions/: mini; got"):
            release(course, name)
    with pytest.raises(CourseError, match="no nbgrader_config.py in"):
        Course.open(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# The command line


@pytest.mark.parametrize("command", ["course init", "release", "collect", "grade", "feedback", "export", "report"])
def test_help_shows_an_example_that_parses(command, capsys, monkeypatch):
    with pytest.raises(SystemExit) as end:
        cli.main([*command.split(), "--help"])
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for example in shown.partition("example: posebook ")[2].split("; posebook "):
        parses(example, monkeypatch)


def parses(example: str, monkeypatch) -> None:
    """Whether the command line takes this; nothing is run."""
    called = []
    for name in ("course_init", "release", "collect", "grade", "feedback", "export", "report"):
        monkeypatch.setattr(instructor, name, lambda options: called.append(options) or 0)
    assert cli.main(shlex.split(example)) == 0 and called
    monkeypatch.undo()


def test_commands_say_what_is_wrong_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("posebook.grading.sandbox.probe", lambda: None)
    for command in ("release", "collect", "grade", "feedback", "export", "report"):
        assert cli.main([command, "mini"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"posebook {command}") and "posebook course init" in said and said.count("\n") == 1
    (tmp_path / "bad.ipynb").write_text("{")
    assert cli.main(["grade", "bad.ipynb"]) == 1
    assert "the file is cut off" in capsys.readouterr().err
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), tmp_path / "none.ipynb")
    assert cli.main(["grade", "none.ipynb"]) == 1
    assert "no cell of a problem" in capsys.readouterr().err
    answer = nbformat.v4.new_code_cell("1", metadata={"nbgrader": {"grade_id": "fuse"}})  # its check cell is gone
    nbformat.write(nbformat.v4.new_notebook(cells=[answer]), tmp_path / "half.ipynb")
    monkeypatch.setattr("posebook.grading.grade.grade", lambda handed_in, problems, **_: sys.exit(problems[0].name))
    with pytest.raises(SystemExit, match="fuse"):
        cli.main(["grade", "half.ipynb"])


def test_elsewhere_than_linux(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cli.main(["grade", "decoding"]) == 1
    assert "On Windows use WSL, elsewhere a virtual machine with Linux" in capsys.readouterr().err


def test_a_walk_by_commands(course, tmp_path, monkeypatch, capsys):
    """release, collect, grade, feedback, as an instructor types them; the exit status says whether all was graded."""
    monkeypatch.setattr("posebook.grading.sandbox.probe", lambda: None)
    monkeypatch.setattr(pool, "grade_all", lambda tasks, jobs: here(tasks))
    assert cli.main(["release", "mini", "--due", "2026-11-20T12:00+00:00"]) == 0
    good = submit(course, "ann", soft_argmax="right").read_bytes()
    bad = archive(tmp_path / "all.zip", {"ann_mini.ipynb": good, "bob_mini.ipynb": b"{", "eve_mini.ipynb": good})
    assert cli.main(["collect", "mini", str(bad)]) == 1
    assert "FAILED eve_mini.ipynb: no student of the roster fits this name" in capsys.readouterr().out
    assert cli.main(["grade", "mini", "-j", "1"]) == 1
    shown = capsys.readouterr().out
    assert "ann      3 of 10" in shown and "NOT GRADED bob: the file is cut off" in shown
    assert cli.main(["feedback", "mini"]) == 0
    shown = capsys.readouterr().out
    assert "ok     ann: grading/feedback/ann/mini/mini.html\n" in shown
    assert "ok     bob: grading/feedback/bob/mini/mini.html, which says only that the file is cut off" in shown
    course.folder("submitted", "mini", "bob").joinpath("mini.ipynb").write_bytes(good)
    assert cli.main(["grade", "mini"]) == 0
