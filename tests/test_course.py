"""An instructor's course: make it, release, collect, grade many, record, give back. The grader itself is a fake here."""

import csv
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from shutil import copytree

import fake_grader
import nbformat
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import markdown2html
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

from posebook import cli
from posebook.grading import course as courses
from posebook.grading import record, run
from posebook.grading.collect import collect
from posebook.grading.course import Course, CourseError, init, read_roster, release
from posebook.grading.pool import Task, grade_all
from posebook.grading.submission import Submission

ROOT = Path(__file__).parents[1]
ROSTER = """id,First Name,Last Name,Email,LMS user id
ann,Ann,Arbor,ann@example.org,4711
bob,Bob,Doe,,4712
rob,Bob,Doe,,4713
zoë_m,Zoë,M,,
"""
ROSTER = ROSTER.replace("zoë_m", "zoe_m")
FREE = "Why does the softmax lean to the center?\n\nYOUR ANSWER HERE"


def mini() -> nbformat.NotebookNode:
    """A set of two problems and a question to answer in words."""
    def marks(**values):
        return {"nbgrader": {"schema_version": 3, "task": False, "grade": False, "solution": False, "locked": False}
                | {"nbgrader": values}["nbgrader"]} if values else {}

    cells = [nbformat.v4.new_markdown_cell("# Mini\n\n<details><summary>Hint</summary>\n\nsoft\n\n</details>")]
    for name, points in (("soft_argmax", 3), ("fuse", 2)):
        body = f"def {name}(*args):\n    ### BEGIN SOLUTION\n    return 42\n    ### END SOLUTION"
        cells.append(nbformat.v4.new_code_cell(body, metadata=marks(grade_id=name, solution=True)))
        cells.append(nbformat.v4.new_code_cell(f'check("{name}", {name})', metadata=marks(
            grade_id=f"check-{name}", grade=True, locked=True, points=points)))
    cells.append(nbformat.v4.new_markdown_cell(FREE, metadata=marks(grade_id="why", grade=True, solution=True, points=5)))
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": {"name": "python3", "display_name": "Python 3",
                                                                          "language": "python"}})


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A course with the set mini, released, and a roster; tests work on copies."""
    root = tmp_path_factory.mktemp("made") / "course"
    (root / "solutions/mini").mkdir(parents=True)
    nbformat.write(mini(), root / "solutions/mini/mini.ipynb")
    roster = root.parent / "roster.csv"
    roster.write_text(ROSTER)
    init(root, roster=roster)
    release(Course.open(root), "mini", due=datetime(2026, 11, 20, tzinfo=UTC))
    return root


@pytest.fixture
def course(made, tmp_path, monkeypatch) -> Course:
    copytree(made, tmp_path / "course")
    monkeypatch.chdir(tmp_path / "course")
    return Course.open()


def submit(course: Course, student: str, *, when: str = "2026-11-19 10:00:00 UTC", free: str = "", **answers: str) -> Path:
    """Hand in the released notebook; ``fuse="half"`` makes the fake grader pass half of fuse's cases."""
    notebook = nbformat.read(course.notebook("release", "mini"), as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in answers:
            cell.source += f"\n    # fake: {answers[grade_id]}"
        if grade_id == "why" and free:
            cell.source = free
    path = course.notebook("submitted", "mini", student)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    path.with_name("timestamp.txt").write_text(when)
    return path


@pytest.fixture(autouse=True)
def in_this_process(request, monkeypatch):
    """Starting a worker costs seconds: only tests of just that start some."""
    if "processes" not in request.keywords:
        monkeypatch.setattr(run, "grade_all", lambda tasks, jobs, work: [(task, True, work(task)) for task in tasks])


def grade(course: Course, **options) -> dict[str, courses.Line]:
    lines = run.run(course, "mini", jobs=2, tell=lambda text: None, work=fake_grader.work, **options)
    return {line.student: line for line in lines}


# ---------------------------------------------------------------------------------------------------------------------
# Make and release


def test_init_makes_a_course_and_keeps_what_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # no alembic to be found, as in an environment that is not activated
    root = tmp_path / "new"
    assert init(root)[0] == "solutions/: decoding"
    secret = root / "grading/secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600 and len(secret.read_text().strip()) == 64
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    before = {path: path.read_bytes() for path in (secret, root / "nbgrader_config.py")}
    (root / "solutions/decoding/decoding.ipynb").write_text("changed")
    assert "grading/secret: kept as it was" in init(root)
    assert before == {path: path.read_bytes() for path in before}
    assert (root / "solutions/decoding/decoding.ipynb").read_text() == "changed"


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
# Collect


def archive(path: Path, members: dict[str, bytes], date=(2026, 11, 19, 8, 0, 0)) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, date), data, zipfile.ZIP_DEFLATED)
    return path


def test_collect_reads_the_names_that_platforms_give(course, tmp_path):
    nested = archive(tmp_path / "n.zip", {"x/mini.ipynb": b"rob", "timestamp.txt": b"2020-01-01", "x/other.ipynb": b"?"},
                     date=(2020, 1, 1, 0, 0, 0))
    platform = archive(tmp_path / "all.zip", {
        "arborann_LATE_4711_90210_mini-1.ipynb": b"ann",
        "Bob Doe_4712_assignsubmission_file/ann/mini.ipynb": b"bob",  # a folder of his own cannot make him ann
        "doebob_4713_90213_mini.zip": nested.read_bytes(),
        "zoe_m_2026-11-19T20-30-10Z_ann.ipynb": b"zoe",
    })
    lines = {line.file: line for line in collect(course, "mini", [platform])}
    assert all(line.good for line in lines.values()) and len(lines) == 4
    for student in ("ann", "bob", "rob"):
        assert course.notebook("submitted", "mini", student).read_bytes() == student.encode()
    assert course.notebook("submitted", "mini", "zoe_m").read_bytes() == b"zoe"
    assert lines["zoe_m_2026-11-19T20-30-10Z_ann.ipynb"].says == "zoe_m: 2026-11-19 20:30:10 UTC by its name"
    assert lines["arborann_LATE_4711_90210_mini-1.ipynb"].says.endswith("by the archive's date, late says Canvas")
    assert "2020" not in lines["doebob_4713_90213_mini.zip"].says  # not the time that rob's own archive claims
    stamp = course.folder("submitted", "mini", "zoe_m") / "timestamp.txt"
    assert course.coursedir.get_existing_timestamp(str(stamp.parent)) == datetime(2026, 11, 19, 20, 30, 10)


def test_what_cannot_be_collected_is_listed_and_the_rest_is_collected(course, tmp_path):
    bomb = archive(tmp_path / "b.zip", {"mini.ipynb": bytes(20 * 2**20)}).read_bytes()
    assert len(bomb) < 50_000
    link = zipfile.ZipInfo("bob/mini.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    broken = archive(tmp_path / "all.zip", {
        "../../ann_mini.ipynb": b"", "/etc/ann_mini.ipynb": b"", "stranger_mini.ipynb": b"", "doebob_1_2_mini.ipynb": b"",
        "ann_report.pdf": b"", "ann/timestamp.txt": b"2020-01-01 00:00:00 UTC", "__MACOSX/._x": b"", "rob_mini.zip": bomb,
        "zoe_m/mini.zip": b"no archive", "doebob_4712_9_big.ipynb": bytes(17 * 2**20), "ann_mini.ipynb": b"fine"})
    with zipfile.ZipFile(broken, "a") as file:
        file.writestr(link, "/etc/passwd")
    lines = {line.file: line for line in collect(course, "mini", [broken, tmp_path / "b.tar", tmp_path / "n.ipynb"])}
    wrong = {name: line.says for name, line in lines.items() if not line.good}
    assert wrong.pop("zoe_m/mini.zip").startswith("zoe_m: not an archive that can be read")
    assert wrong == {
        "../../ann_mini.ipynb": "its path leads out of the archive",
        "/etc/ann_mini.ipynb": "its path leads out of the archive",
        "stranger_mini.ipynb": "no student of the roster fits this name",
        "doebob_1_2_mini.ipynb": "bob, rob are all called doebob: add the column lms_user_id to the roster",
        "ann_report.pdf": "not a notebook",
        "rob_mini.zip": "rob: larger than 16 MB",
        "bob/mini.ipynb": "a link, not a file",
        "doebob_4712_9_big.ipynb": "bob: larger than 16 MB",
        "b.tar": "there is no such file",
        "n.ipynb": "there is no such file",
    }
    assert lines["ann/timestamp.txt"].says == "left out: a file's own claim of its time does not count"
    assert course.notebook("submitted", "mini", "ann").read_bytes() == b"fine"
    assert not (tmp_path.parent / "ann_mini.ipynb").exists()
    assert len(list(course.grading.rglob("*.ipynb"))) == 1


def test_a_damaged_archive(course, tmp_path):
    path = archive(tmp_path / "all.zip", {"ann_mini.ipynb": b"a" * 5000, "bob_mini.ipynb": b"fine"})
    data = bytearray(path.read_bytes())
    data[50:56] = b"\xff" * 6  # in ann's compressed bytes
    path.write_bytes(data)
    lines = {line.file: line for line in collect(course, "mini", [path])}
    assert "the archive is damaged here" in lines["ann_mini.ipynb"].says and lines["bob_mini.ipynb"].good
    path.write_bytes(data[:100])
    assert "not an archive that can be read" in collect(course, "mini", [path])[0].says


def test_of_several_the_newest_and_again_changes_nothing(course, tmp_path):
    folder = tmp_path / "down"
    folder.mkdir()
    for stamp, text in (("2026-11-18T10:00:00Z", "old"), ("2026-11-19T10:00:00Z", "new"), ("20261117T100000", "oldest")):
        (folder / f"ann_{stamp.replace(':', '-')}_mini.ipynb").write_text(text)
    (folder / "bob.ipynb").symlink_to("/etc/passwd")
    lines = collect(course, "mini", [folder])
    assert [line.good for line in lines].count(False) == 1  # the link
    assert sum("there is a newer one, ann_2026-11-19T10-00-00Z_mini.ipynb" in line.says for line in lines) == 2
    target = course.notebook("submitted", "mini", "ann")
    assert target.read_text() == "new" and not course.folder("submitted", "mini", "bob").exists()
    before = target.stat().st_ino
    again = collect(course, "mini", [folder])
    assert any(line.says == "ann: there already, 2026-11-19 10:00:00 UTC by its name" for line in again)
    (folder / "ann_2026-11-19T10-00-00Z_mini.ipynb").unlink()
    older = collect(course, "mini", [folder])
    assert any(line.says == "ann: left alone: what is there is newer, 2026-11-19 10:00:00 UTC" for line in older)
    assert target.stat().st_ino == before and target.read_text() == "new"


# ---------------------------------------------------------------------------------------------------------------------
# Grade and record


def test_a_class(course, capsys):
    submit(course, "ann", soft_argmax="right", fuse="half", free="Because of the tails.")
    submit(course, "bob", soft_argmax="right", fuse="right")
    submit(course, "rob").write_text('{"nbformat": 4, "cells"')
    submit(course, "stranger", soft_argmax="right")
    lines = grade(course)
    assert {student: line.says for student, line in lines.items() if not line.good} == {
        "rob": "the file is cut off or is not JSON: Expecting ':' delimiter, line 1", "stranger": "not on the roster"}
    scores = courses.scores(course, "mini")
    assert {student: score.points for student, score in scores.items()} == {"ann": 4.0, "bob": 5.0}
    assert scores["ann"].by_hand and not scores["bob"].by_hand  # nobody wrote into bob's free-text cell: 0 points
    table = run.table(list(lines.values()), scores, course.students())
    assert table[1:] == ["ann      4 of 10  waits for you in formgrader", "bob      5 of 10", "handed in nothing: zoe_m",
                         "NOT GRADED rob: the file is cut off or is not JSON: Expecting ':' delimiter, line 1",
                         "NOT GRADED stranger: not on the roster"]


def test_graded_once_unless_something_changed(course, tmp_path, monkeypatch):
    log = tmp_path / "log"
    submit(course, "ann", soft_argmax=f"note {log}")
    submit(course, "bob", soft_argmax=f"note {log}", fuse="half")

    def graded(**options) -> list[str]:
        log.write_text("")
        assert all(line.good for line in grade(course, **options).values())
        return sorted(log.read_text().split())

    assert graded() == ["ann", "bob"]
    recorded = course.notebook("autograded", "mini", "ann").stat().st_ino
    assert graded() == []
    assert course.notebook("autograded", "mini", "ann").stat().st_ino == recorded
    submit(course, "ann", soft_argmax=f"note {log}", fuse="right")
    assert graded() == ["ann"]
    assert graded(force=True) == ["ann", "bob"]
    assert graded(unsafe=True) == []
    assert graded(force=True, unsafe=True) == ["ann", "bob"]
    assert graded() == ["ann", "bob"]  # without a sandbox does not count as graded
    monkeypatch.setattr(run, "checks_version", lambda: "another")
    assert graded() == ["ann", "bob"]
    monkeypatch.undo()
    monkeypatch.chdir(course.root)
    next(course.grading.glob("results/mini/bob/*.json")).write_text("{ damaged")
    assert "bob" in graded()


def test_a_gradebook_that_was_lost_is_filled_again(course):
    submit(course, "ann", soft_argmax="right")
    grade(course)
    (course.grading / "gradebook.db").unlink()
    roster = course.root / "roster.csv"
    roster.write_text(ROSTER)
    init(course.root, roster=roster)
    release(course, "mini")
    grade(course)
    assert courses.scores(course, "mini")["ann"].points == 3


def test_manual_scores_and_late_penalties_survive_a_regrade(course):
    submit(course, "ann", soft_argmax="right", free="The tails.", when="2026-11-21 00:00:00 UTC")
    grade(course)
    with course.gradebook() as gradebook:
        for cell, score in (("why", 4.5), ("check-fuse", 1.0)):
            gradebook.find_grade(cell, "mini", "mini", "ann").manual_score = score
        gradebook.find_comment("why", "mini", "mini", "ann").manual_comment = "Good."
        gradebook.db.commit()
    assert courses.scores(course, "mini")["ann"].points == 8.5
    assert courses.scores(course, "mini")["ann"].late == 86400
    grade(course, force=True)
    submit(course, "ann", soft_argmax="half", free="The tails, I mean.", when="2026-11-21 00:00:00 UTC")
    grade(course)
    expected = 4.5 + 1 + fake_points("soft_argmax", "half")
    assert courses.scores(course, "mini")["ann"].points == expected
    with course.gradebook() as gradebook:
        assert gradebook.find_comment("why", "mini", "mini", "ann").comment == "Good."
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text().replace('penalty_method = "none"', 'penalty_method = "zero"'))
    grade(Course.open(), force=True)
    assert courses.scores(course, "mini")["ann"][:3] == (0, 10, expected)


def fake_points(name: str, word: str) -> float:
    result = json.loads(fake_grader.work(Task("mini", "x", Submission((), ""), (name,), b"")))
    cases, points = len(result["reports"][0]["rows"]), result["reports"][0]["points"]
    return points * (cases // 2) / cases if word == "half" else 0.0


def test_nbgraders_own_commands_agree(course):
    """autograde finds the stored result, never runs the answer, and export shows each grade."""
    submit(course, "ann", soft_argmax="right", fuse="half")
    submit(course, "bob", fuse="right")
    grade(course)
    before = courses.scores(course, "mini")
    own = os.environ | {"PATH": os.path.dirname(sys.executable)}
    nbgrader = [sys.executable, "-m", "nbgrader"]
    for command in (["autograde", "mini", "--force"], ["export", "--to", "grades.csv"]):
        done = subprocess.run(nbgrader + command, env=own, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert courses.scores(course, "mini") == before
    rows = {row["student_id"]: row for row in csv.DictReader((course.root / "grades.csv").open())}
    assert {student: float(row["score"]) for student, row in rows.items()} == {
        "ann": before["ann"].points, "bob": 2.0, "rob": 0.0, "zoe_m": 0.0}


def test_missing_moved_and_changed_cells(course):
    path = submit(course, "ann", soft_argmax="right", fuse="right", free="mine")
    notebook = nbformat.read(path, as_version=4)
    by_id = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in notebook.cells}
    by_id["check-soft_argmax"].metadata.nbgrader.points = 100
    by_id["check-soft_argmax"].source = "print('full marks')"
    by_id["why"] |= {"cell_type": "code", "outputs": [], "execution_count": None}
    by_id["soft_argmax"].metadata.nbgrader.update(grade=True, points=50, grade_id="soft_argmax")
    notebook.cells = [by_id["why"], by_id["soft_argmax"], by_id["check-soft_argmax"], by_id["check-soft_argmax"]]
    nbformat.write(notebook, path)
    line = grade(course)["ann"]
    assert line.good and line.says == "the cell `check-soft_argmax` is there more than once; the last one counts"
    assert courses.scores(course, "mini")["ann"].points == 3
    got = nbformat.read(course.notebook("autograded", "mini", "ann"), as_version=4)
    notes = got.cells[0].source
    assert "the cell `fuse` is missing" in notes and "the cell `check-fuse` is missing" in notes
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in got.cells[1:]]
    assert ids == ["why", "soft_argmax", None, "check-soft_argmax", "fuse", "check-fuse"]
    check = got.cells[ids.index("check-soft_argmax") + 1]
    assert check.source == 'check("soft_argmax", soft_argmax)' and check.metadata.nbgrader.points == 3


def test_nothing_else_of_a_submission_goes_on(course, tmp_path):
    """Files beside the notebook, links, outputs and metadata stay behind, also in what the student gets back."""
    path = submit(course, "ann", soft_argmax="right")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["title"] = "EVIL"
    notebook.cells[1].metadata["tags"] = ["EVIL"]
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="EVIL")]
    nbformat.write(notebook, path)
    (path.parent / "evil.html").write_text("EVIL")
    (path.parent / "sub").mkdir()
    (path.parent / "sub/evil.html").write_text("EVIL")
    (path.parent / "gradebook.txt").symlink_to(course.grading / "gradebook.db")
    (course.folder("source", "mini") / "notes.txt").write_text("EVIL")
    grade(course)
    own = os.environ | {"PATH": os.path.dirname(sys.executable)}
    subprocess.run([sys.executable, "-m", "nbgrader", "autograde", "mini", "--force"], env=own, check=True,
                   capture_output=True)
    assert courses.feedback(course, "mini")[0].good
    for step in ("autograded", "feedback"):
        files = [file for file in course.folder(step, "mini", "ann").rglob("*") if file.is_file()]
        assert {file.name for file in files} <= {"mini.ipynb", "mini.html", "timestamp.txt"}
        assert not any(b"EVIL" in file.read_bytes() for file in files)


def test_a_link_in_place_of_a_submission(course):
    path = submit(course, "ann")
    path.unlink()
    path.symlink_to(course.notebook("source", "mini"))
    submit(course, "bob").unlink()
    os.mkfifo(course.notebook("submitted", "mini", "bob"))
    submit(course, "rob").unlink()
    assert {student: line.says for student, line in grade(course).items()} == {
        "ann": "the file is a link to another", "bob": "the file is no plain file", "rob": "there is no mini.ipynb"}


# ---------------------------------------------------------------------------------------------------------------------
# Many processes


def test_a_submission_that_kills_its_process_costs_no_other(course):
    submit(course, "ann", soft_argmax="die")
    submit(course, "bob", soft_argmax="right")
    submit(course, "rob", soft_argmax="raise it broke")
    submit(course, "zoe_m", soft_argmax="right")
    lines = grade(course)
    assert lines["ann"].says == "the grading process died (-6)" and not lines["ann"].good
    assert lines["rob"].says == "RuntimeError: it broke" and not lines["rob"].good
    assert lines["bob"].good and lines["zoe_m"].good
    assert {student: score.points for student, score in courses.scores(course, "mini").items()} == {"bob": 3, "zoe_m": 3}


def test_more_tasks_than_workers_and_none():
    assert list(grade_all([], jobs=3)) == []
    tasks = [Task("mini", f"s{i}", Submission((), ""), ("fuse",), b"") for i in range(5)]
    done = list(grade_all(tasks, jobs=2, work=fake_grader.work))
    assert sorted(task.student for task, good, _ in done if good) == ["s0", "s1", "s2", "s3", "s4"]


def test_killed_and_run_again_nothing_is_lost_or_doubled(course, tmp_path):
    log, hold = tmp_path / "log", tmp_path / "hold"
    hold.mkdir()
    submit(course, "ann", soft_argmax=f"note {log}")
    submit(course, "bob", soft_argmax=f"note {log}")
    submit(course, "rob", soft_argmax=f"wait {hold}")
    submit(course, "zoe_m", soft_argmax=f"wait {hold}")
    code = ("import sys; sys.path.append(sys.argv[1]); import fake_grader; from posebook.grading import course, run; "
            "run.run(course.Course.open(), 'mini', jobs=2, work=fake_grader.work)")
    first = subprocess.Popen([sys.executable, "-c", code, str(ROOT / "tests")], stdout=subprocess.DEVNULL)
    wait_for(lambda: len(list(hold.iterdir())) == 2 and len(list(course.grading.glob("autograded/*/mini/*.ipynb"))) == 2)
    with pytest.raises(CourseError, match="another posebook grade is at work"):
        grade(course)
    workers = [int(path.read_text()) for path in hold.iterdir()]
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_for(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    assert sorted(log.read_text().split()) == ["ann", "bob"]
    lines = grade(course)  # whoever waited does not wait again
    assert all(line.good for line in lines.values())
    assert sorted(log.read_text().split()) == ["ann", "bob"]
    assert {student: score.points for student, score in courses.scores(course, "mini").items()} == {
        "ann": 3, "bob": 3, "rob": 3, "zoe_m": 3}
    assert not list(course.grading.rglob(".draft-*"))


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


# ---------------------------------------------------------------------------------------------------------------------
# What graders and students see


HOSTILE = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "<svg/onload=alert(1)>",
    "<a href='jAvAsCrIpT:alert(1)'>x</a>", "<iframe srcdoc='<script>alert(1)</script>'></iframe>", "</div>", "<div>\n\n",
    "![x](javascript:alert(1))", "![x](data:text/html;base64,PHN2Zz4=)", "[x]: javascript:alert(1)\n\n[x]", "<form>",
    "$<img src=x onerror=alert(1)>$", "$$\n<script>alert(1)</script>\n$$", "\\begin{a}<script>x</script>\\end{a}",
    "```html\n<script>alert(1)</script>\n```", "```mermaid\n<script>x</script>\n```", "<!-- --!><script>x</script>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>", "<style>*{}</style>", "<base href=//x>",
    "<details open ontoggle=alert(1)>", "\\[x\\](javascript:alert(1))", "<https://x/\"onclick=alert(1)>", "`<script>`",
    "<input autofocus onfocus=alert(1)>", "&lt;script&gt;alert(1)&lt;/script&gt;", "<x/onclick=alert(1)>", "\n\n", "    ",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>", "<a id=check-fuse name=why>", "\u2028", "\r", "*",
    "<img src=https://x/track.png>", "![x](https://x/track.png)", "![x](attachment:a.png)", "<p style='x:y'>", "- [ ] x",
)


def acts(page: str) -> list[str]:
    """All in a page that could act, or ask another site for something."""
    found = []
    for element in BeautifulSoup(page, "html.parser").find_all(True):
        if element.name in ("script", "style", "iframe", "object", "embed", "form", "input", "base", "link", "meta", "svg"):
            found.append(str(element))
        for name, value in element.attrs.items():
            value = " ".join(value) if isinstance(value, list) else value
            plain = re.sub(r"[\s\x00-\x20]", "", value).lower()
            if name.startswith("on") or name in ("style", "srcdoc", "action", "formaction", "name") or (
                name == "id" and not re.fullmatch(r"cell-id=cell-\d+", value)):
                found.append(f"{element.name} {name}={value}")
            elif name in ("src", "href") and not plain.startswith(("https:", "http:", "mailto:", "data:image/", "#")):
                found.append(f"{element.name} {name}={value}")
            elif name == "src" and not plain.startswith("data:image/"):
                found.append(f"{element.name} {name}={value}")
    return found


def test_the_check_sees_what_is_hostile():
    raw = [text for text in HOSTILE if "attachment:" not in text and acts(markdown2html(text))]
    assert len(raw) >= 20


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5), min_size=1, max_size=6).map("".join))
def test_nothing_acts_in_a_students_markdown(source):
    """Neither in what is stored nor in what Markdown makes of that."""
    stored = record.harmless(source)
    assert acts(stored) == [] and "\n" not in stored
    assert acts(markdown2html(stored)) == []


def test_text_code_math_links_and_pictures_stay():
    shown = record.harmless("**Bold** `a<b` $x<y$ [site](https://example.org)\n\n```python\nx = 1\n\n\ny = 2\n```\n\n"
                            "|a|\n|-|\n|b|\n\n![p](attachment:p.png)", (("p.png", "image/png", "aGk="),))
    page = markdown2html(shown)
    for part in ("<strong>Bold</strong>", "<code>a&lt;b</code>", "$x&lt;y$", 'href="https://example.org"', "<td>b</td>",
                 'src="data:image/png;base64,aGk="', '<span class="mi">1</span>'):
        assert part in page
    assert "1\n\n\n" in BeautifulSoup(page, "html.parser").text
    assert "[[[" in record.harmless("[" * 10**5)  # Markdown alone would take minutes over this


def test_a_hostile_notebook_in_feedback_and_formgrader(course):
    """Both pages hold exactly what acts in an honest student's pages."""
    submit(course, "ann", soft_argmax="right", fuse="half", free="honest")
    path = submit(course, "bob", soft_argmax="right", fuse="half", free="".join(f"{text}\n\n" for text in HOSTILE))
    notebook = json.loads(path.read_text())
    bad = '"><script>alert(1)</script>'
    notebook["metadata"] |= {"title": bad, "authors": [{"name": bad}], "widgets": {"application/x": {"state": bad}},
                             "language_info": {"name": bad, "pygments_lexer": bad, "mimetype": bad}}
    for text in HOSTILE:
        notebook["cells"].append({"cell_type": "markdown", "id": "x", "source": text, "metadata": {
            "tags": [bad], "nbgrader": {"grade_id": bad, "grade": True, "solution": True, "points": 1, "locked": False}}})
        notebook["cells"].append({"cell_type": "raw", "id": "y", "source": text, "metadata": {"format": "text/html"}})
        notebook["cells"].append({"cell_type": "code", "id": "z", "source": text, "execution_count": 1, "metadata": {},
                                  "outputs": [{"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}]})
    path.write_text(json.dumps(notebook))
    assert all(line.good for line in grade(course).values())
    assert all(line.good for line in courses.feedback(course, "mini"))
    pages = {}
    for student in ("ann", "bob"):
        pages[student] = [course.notebook("feedback", "mini", student).with_suffix(".html").read_text(),
                          formgrader_page(course, student)]
    for honest, hostile in zip(*pages.values(), strict=True):
        assert acts(hostile) == acts(honest)
        assert "Safe" in hostile and "onerror=alert(1)&gt;" in hostile  # MathJax's safe mode; and shown as it was typed


def formgrader_page(course: Course, student: str) -> str:
    """What formgrader serves, by the same exporter, also where the course's own settings are not loaded."""
    config = Config({"HTMLExporter": {"template_name": "formgrade", "extra_template_basedirs": [handlers.template_path]}})
    resources = {"assignment_id": "mini", "notebook_id": "mini", "submission_id": "1", "index": 0, "total": 1,
                 "base_url": "", "student": "x", "last_name": "x", "first_name": "x", "notebook_path": "x"}
    notebook = str(course.notebook("autograded", "mini", student))
    return HTMLExporter(config=config).from_filename(notebook, resources=resources)[0]


def test_feedback_names_the_mistake_and_the_failed_cases(course):
    submit(course, "ann", soft_argmax="right", fuse="half")
    grade(course)
    courses.feedback(course, "mini")
    text = BeautifulSoup(course.notebook("feedback", "mini", "ann").with_suffix(".html").read_text(), "html.parser").text
    assert "x and y are swapped" in text and "fuse: " in text and "cases passed, 1 of 2 points" in text
    assert "mini (Score: 4.0 / 10.0)" in text


# ---------------------------------------------------------------------------------------------------------------------
# The command line


@pytest.mark.parametrize("command", ["course init", "release", "collect", "grade", "feedback"])
def test_help_shows_an_example_that_parses(command, capsys, monkeypatch):
    with pytest.raises(SystemExit) as end:
        cli.main([*command.split(), "--help"])
    assert end.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for example in shown.partition("example: posebook ")[2].split("; posebook "):
        parses(example, monkeypatch)


def parses(example: str, monkeypatch) -> None:
    """Whether the command line takes this; nothing is run."""
    import shlex

    called = []
    for name in ("course_init", "release", "collect", "grade", "feedback", "lab", "doctor"):
        monkeypatch.setattr(cli, name, lambda options: called.append(options) or 0)
    assert cli.main(shlex.split(example)) == 0 and called
    monkeypatch.undo()


def test_commands_say_what_is_wrong_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("posebook.grading.sandbox.probe", lambda: None)
    for command in ("release", "collect", "grade", "feedback"):
        assert cli.main([command, "mini"]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"posebook {command}") and "posebook course init" in said and said.count("\n") == 1
    (tmp_path / "bad.ipynb").write_text("{")
    assert cli.main(["grade", "bad.ipynb"]) == 1
    assert "the file is cut off" in capsys.readouterr().err
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), tmp_path / "none.ipynb")
    assert cli.main(["grade", "none.ipynb"]) == 1
    assert "no cell of a problem" in capsys.readouterr().err


def test_elsewhere_than_linux(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cli.main(["grade", "decoding"]) == 1
    assert "On Windows use WSL, elsewhere a virtual machine with Linux" in capsys.readouterr().err


def test_a_walk_by_commands(course, tmp_path, monkeypatch, capsys):
    """release, collect, grade, feedback, as an instructor types them; the exit status says whether all was graded."""
    monkeypatch.setattr("posebook.grading.sandbox.probe", lambda: None)
    monkeypatch.setattr(run, "grade_all", lambda tasks, jobs, work: grade_all(tasks, jobs=jobs, work=fake_grader.work))
    assert cli.main(["release", "mini", "--due", "2026-11-20T12:00+00:00"]) == 0
    good = submit(course, "ann", soft_argmax="right").read_bytes()
    bad = archive(tmp_path / "all.zip", {"ann_mini.ipynb": good, "bob_mini.ipynb": b"{", "eve_mini.ipynb": good})
    assert cli.main(["collect", "mini", str(bad)]) == 1
    assert "FAILED eve_mini.ipynb: no student of the roster fits this name" in capsys.readouterr().out
    assert cli.main(["grade", "mini", "-j", "1"]) == 1
    shown = capsys.readouterr().out
    assert "1 of 1 graded" in shown and "ann      3 of 10" in shown and "NOT GRADED bob: the file is cut off" in shown
    assert cli.main(["feedback", "mini"]) == 0
    assert capsys.readouterr().out == "ok     ann: grading/feedback/ann/mini/mini.html\n"
    course.folder("submitted", "mini", "bob").joinpath("mini.ipynb").write_bytes(good)
    assert cli.main(["grade", "mini"]) == 0
