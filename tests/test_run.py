"""Grade many and record: once each, nothing lost, and nbgrader agrees. The grader is the classroom's quick one."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import nbformat
import pytest
from classroom import CANVAS_FILE, MOODLE_FILE, ROSTER, archive, grade, half, submit
from quick_grader import hungry, work

from posebook import cli
from posebook.grading import results, run, steps
from posebook.grading.course import Course, CourseError
from posebook.grading.export import export
from posebook.grading.pool import Task, grade_all
from posebook.grading.steps import init, release
from posebook.grading.submission import read

ROOT = Path(__file__).parents[1]


def test_a_class(course):
    submit(course, "ann", soft_argmax="right", fuse="half", free="Because of the tails.")
    submit(course, "bob", soft_argmax="right", fuse="right")
    submit(course, "rob").write_text('{"nbformat": 4, "cells"')
    submit(course, "stranger", soft_argmax="right")
    before = run._engine.cache_info()
    lines = grade(course)
    after = run._engine.cache_info()
    assert after.misses == before.misses + 1 and after.hits > before.hits + 10  # opened often, made once
    assert {student: line.says for student, line in lines.items() if not line.good} == {
        "rob": "the file is cut off or is not JSON: Expecting ':' delimiter, line 1", "stranger": "not on the roster"}
    scores = course.scores("mini")
    assert points(course) == {"ann": 3 + half("fuse"), "bob": 5.0}
    assert scores["ann"].by_hand and not scores["bob"].by_hand  # nobody wrote into bob's free-text cell: 0 points
    table = run.table(list(lines.values()), scores, course.students())
    points_of_ann = round(3 + half("fuse"), 2)
    assert table[1:] == [f"ann      {points_of_ann} of 10  waits for you in formgrader", "bob      5 of 10",
                         "handed in nothing: zoe_m",
                         "NOT GRADED rob: the file is cut off or is not JSON: Expecting ':' delimiter, line 1",
                         "NOT GRADED stranger: not on the roster",
                         "2 graded, 0 of them late; 2 not graded; 1 handed in nothing"]


KILLED = """
import os
from classroom import grade
from posebook.grading import record
from posebook.grading.course import Course

record.SaveAutoGrades.preprocess = lambda *_: os._exit(9)
grade(Course.open())
"""


def test_killed_while_nbgrader_records(course):
    """Between its two passes there are a notebook and a submission, but no score: no 0, but recorded again."""
    submit(course, "ann", soft_argmax="right", fuse="right")
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ["PYTHONPATH"]])}
    assert subprocess.run([sys.executable, "-c", KILLED], env=paths, capture_output=True).returncode == 9
    assert course.notebook("autograded", "mini", "ann").exists() and points(course) == {"ann": 0}
    assert export(course, "mini", to=course.root / "x.csv")[0].says == "blank: not graded"
    assert [line.says for line in steps.feedback(course, "mini")] == ["not graded yet: posebook grade mini"]
    assert grade(course)["ann"].good and points(course) == {"ann": 5}


def test_one_student_again(course, tmp_path):
    """Only ann's notebook is graded and given back; the others' results and pages stay as they are."""
    for student in ("ann", "bob"):
        submit(course, student, soft_argmax="right")
    grade(course)
    list(steps.feedback(course, "mini"))
    pages = {student: course.notebook("feedback", "mini", student).with_suffix(".html") for student in ("ann", "bob")}
    before = {student: (page.stat().st_mtime_ns, page.read_bytes()) for student, page in pages.items()}
    submit(course, "ann", soft_argmax="right", fuse="right")
    submit(course, "bob", soft_argmax="wrong")
    assert set(grade(course, only=["ann"])) == {"ann"} and points(course) == {"ann": 5, "bob": 3}
    assert [line.name for line in steps.feedback(course, "mini", ["ann"])] == ["ann"]
    after = {student: (page.stat().st_mtime_ns, page.read_bytes()) for student, page in pages.items()}
    assert after["bob"] == before["bob"] and after["ann"] != before["ann"]
    for refused in (lambda: grade(course, only=["eve"]), lambda: list(steps.feedback(course, "mini", ["ann", "eve"]))):
        with pytest.raises(CourseError, match="--student: want ids from the roster, got eve"):
            refused()


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
    monkeypatch.setattr(results, "checks_version", lambda: "another")
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
    assert course.scores("mini")["ann"].points == 3


def test_manual_scores_and_late_penalties_survive_a_regrade(course):
    submit(course, "ann", soft_argmax="right", free="The tails.", when="2026-11-21 00:00:00 UTC")
    grade(course)
    with course.gradebook() as gradebook:
        for cell, score in (("why", 4.5), ("check-fuse", 1.0)):
            gradebook.find_grade(cell, "mini", "mini", "ann").manual_score = score
        for one in gradebook.find_submission("mini", "ann").notebooks[0].grades:
            one.needs_manual_grade = False
        gradebook.find_comment("why", "mini", "mini", "ann").manual_comment = "Good."
        gradebook.db.commit()
    assert course.scores("mini")["ann"].points == 8.5
    assert course.scores("mini")["ann"].late == 86400
    grade(course, force=True)
    assert waiting(course) == set()  # nothing new to look at
    submit(course, "ann", soft_argmax="half", free="The tails, I mean.", when="2026-11-21 00:00:00 UTC")
    grade(course)
    assert waiting(course) == {"why", "check-fuse"}
    expected = 4.5 + 1 + half("soft_argmax")
    assert course.scores("mini")["ann"].points == expected
    with course.gradebook() as gradebook:
        assert gradebook.find_comment("why", "mini", "mini", "ann").comment == "Good."
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text().replace('penalty_method = "none"', 'penalty_method = "zero"'))
    grade(Course.open(), force=True)
    assert course.scores("mini")["ann"][:3] == (0, 10, expected)


def waiting(course: Course) -> set[str]:
    """Whose score in ann's notebook is to be looked at."""
    with course.gradebook() as gradebook:
        grades = gradebook.find_submission("mini", "ann").notebooks[0].grades
        return {one.name for one in grades if one.needs_manual_grade}


def test_another_gradebook_than_the_course_s(course, tmp_path):
    shutil.copy(course.grading / "gradebook.db", tmp_path / "other.db")
    submit(course, "ann", soft_argmax="right")
    other = Course.open(db=f"sqlite:///{tmp_path}/other.db")
    assert grade(other)["ann"].good
    assert points(other) == {"ann": 3} and points(course) == {}


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
    other = submit(course, "bob")
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x = 1")]), other)
    lines = grade(course)
    assert lines["bob"].good and lines["bob"].says == "no cell of mini is in it: is it another notebook?"
    assert course.scores("mini")["bob"].points == 0
    line = lines["ann"]
    assert line.good and line.says == "the cell `check-soft_argmax` is there more than once; the last one counts"
    assert course.scores("mini")["ann"].points == 3
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
    assert course.api.autograde("mini", "ann", force=True)["success"]
    assert next(steps.feedback(course, "mini")).good
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
    lines = grade(course, grade_all=partial(grade_all, jobs=2, work=work))
    assert lines["ann"].says == "the grading process died (-6)" and not lines["ann"].good
    assert lines["rob"].says == "RuntimeError: it broke" and not lines["rob"].good
    assert lines["bob"].good and lines["zoe_m"].good
    assert points(course) == {"bob": 3, "zoe_m": 3}


def test_where_the_machine_was_full_it_is_tried_again_alone(tmp_path):
    tasks = [Task("mini", student, read(b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": ""}]}'),
                  (str(tmp_path),), b"") for student in ("full", "full-again", "fine", "other")]
    done = {task.student: (good, text) for task, good, text in grade_all(tasks, jobs=2, work=hungry)}
    assert done == {"full": (True, "2"), "full-again": (False, "no memory"), "fine": (True, "1"), "other": (True, "1")}
    log = (tmp_path / "log").read_text().split()
    assert sorted(log[:4]) == ["fine", "full", "full-again", "other"]
    assert sorted(log[4:]) == ["alone:full", "alone:full-again"]


def test_killed_and_run_again_nothing_is_lost_or_doubled(course, tmp_path, monkeypatch):
    log, hold, temporary = tmp_path / "log", tmp_path / "hold", tmp_path / "temporary"
    hold.mkdir()
    temporary.mkdir()
    submit(course, "ann", soft_argmax=f"note {log}")
    submit(course, "bob", soft_argmax=f"note {log}")
    submit(course, "rob", soft_argmax=f"wait {hold}")
    submit(course, "zoe_m", soft_argmax=f"wait {hold}")
    code = ("import sys; sys.path.append(sys.argv[1]); import classroom, quick_grader; from functools import partial; "
            "from posebook.grading import course, pool; "
            "all = partial(pool.grade_all, jobs=2, work=quick_grader.work); "
            "classroom.grade(course.Course.open(), grade_all=all)")
    first = subprocess.Popen([sys.executable, "-c", code, str(ROOT / "tests")], stdout=subprocess.DEVNULL,
                             env={**os.environ, "TMPDIR": str(temporary)})
    recorded = course.grading.glob
    wait_for(lambda: len(list(hold.iterdir())) == len(list(recorded("autograded/*/mini/*.ipynb"))) == 2)
    with pytest.raises(CourseError, match="another posebook grade is at work"):
        grade(course)
    workers = [int(path.read_text()) for path in hold.iterdir()]
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_for(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    assert sorted(log.read_text().split()) == ["ann", "bob"]
    assert len(list(temporary.iterdir())) == 2  # of the workers, which could not clear up
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert not list(grade_all([], jobs=2)) and not list(temporary.iterdir())
    (course.grading / "results/mini/ann/.draft-cut").write_text('{"status"')  # killed as it wrote
    lines = grade(course)  # whoever waited does not wait again
    assert all(line.good for line in lines.values())
    assert sorted(log.read_text().split()) == ["ann", "bob"]
    assert points(course) == {"ann": 3, "bob": 3, "rob": 3, "zoe_m": 3}
    assert not list(course.grading.rglob(".draft-*"))


def points(course: Course) -> dict[str, float]:
    return {student: score.points for student, score in course.scores("mini").items()}


def wait_for(condition, seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


# ---------------------------------------------------------------------------------------------------------------------
# INSTRUCTORS.md


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / "INSTRUCTORS.md").read_text(), re.M | re.S)
    return [text for name, text in found if name == language]


def test_the_late_rule_of_the_guide(course):
    config = course.root / "nbgrader_config.py"
    rule, = blocks("python")
    config.write_text(config.read_text() + rule)
    submit(course, "ann", soft_argmax="right", fuse="right", when="2026-11-21 12:00:00 UTC")  # 36 h late: two days
    submit(course, "bob", soft_argmax="right", fuse="right", when="2027-11-21 12:00:00 UTC")
    grade(Course.open())
    scores = course.scores("mini")
    assert scores["ann"][:3] == (4, 10, 1) and scores["bob"][:3] == (0, 10, 5)


def test_more_time_for_one_student(course):
    """extensions.csv moves one due date: lateness, penalty, and what the page says; a change is recorded anew."""
    config = course.root / "nbgrader_config.py"
    rule, = blocks("python")
    config.write_text(config.read_text() + rule)
    for student in ("ann", "bob"):
        submit(course, student, soft_argmax="right", fuse="right", when="2026-11-21 12:00:00 UTC")  # 36 h late
    dates = course.root / "extensions.csv"
    for due, points, says in (("2026-11-22T00:00Z", 5, ""), ("2026-11-21T00:00Z", 4.5, "12 h late"), (None, 4, "36 h")):
        dates.write_text(f"ID;Set;Due\nann;mini;{due}\n;;\n") if due else dates.unlink()
        grade(Course.open())
        scores = course.scores("mini")
        assert scores["ann"].points == points and scores["bob"].points == 4 and scores["bob"].late == 36 * 3600
        page = course.notebook("autograded", "mini", "ann").read_text()
        assert (says in page) if says else ("late" not in page.replace("template", ""))
    dates.write_text("id,set,due\nann,mini,2026-11-21T00:00Z\n")
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("mini", duedate=None)
    grade(Course.open())
    assert course.scores("mini")["ann"].points == 5
    page = course.notebook("autograded", "mini", "ann").read_text()
    assert "late" not in page.replace("template", "")  # a date for one alone is none


@pytest.mark.parametrize("text, words", [
    ("id,set\n", "line 1: no column due; want id, set, due"),
    ("id,set,due\neve,mini,2026-11-22\n", "line 2: id: want one of the roster, got 'eve'"),
    ("id,set,due\nann,maxi,2026-11-22\n", "line 2: set: want one of mini, got 'maxi'"),
    ("id,set,due\nann,mini,2026-11-22,23:59\n", "line 2: more fields than the first line has: 23:59"),
    ("id,set,due\nann,mini,soon\n", "line 2: due: want a date such as \"2026-11-30 23:59\", got 'soon'"),
    ("id,set,due\nann,mini,2026-11-22\nann,mini,2026-11-23\n", "line 3: ann has a date for mini on line 2 already"),
])  # fmt: skip
def test_extensions_that_are_wrong(course, text, words):
    (course.root / "extensions.csv").write_text(text)
    with pytest.raises(CourseError, match=re.escape(words)):
        grade(course)


def test_a_set_that_gains_a_problem_is_graded_anew(course, tmp_path):
    log = tmp_path / "log"
    source = course.notebook("source", "mini")
    whole = nbformat.read(source, as_version=4)
    less = nbformat.from_dict({**whole, "cells": [cell for cell in whole.cells if "fuse" not in cell.source]})
    nbformat.write(less, source)
    release(course, "mini")
    submit(course, "ann", soft_argmax=f"note {log}")
    assert grade(course)["ann"].good and grade(course)["ann"].good and log.read_text() == "ann\n"
    nbformat.write(whole, source)
    assert course.problems("mini")[1].name == "fuse"
    assert its_problems(course) == {"soft_argmax"}
    grade(course)
    assert its_problems(course) == {"soft_argmax", "fuse"} and log.read_text() == "ann\nann\n"


def its_problems(course: Course) -> set[str]:
    [path] = course.grading.glob("results/mini/ann/*.json")
    return {report["name"] for report in json.loads(path.read_text())["result"]["reports"]}


def test_the_walk_of_the_guide(bubblewrap, tmp_path, monkeypatch, capfd):
    """Every command that INSTRUCTORS.md shows, in its order, with two students and the true grader.

    nbgrader's autograde finds the stored results, and all agree on the grades.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "roster.csv").write_text(ROSTER.replace("Doe,,4712", "Doe,bob@example.org,4712"))
    (tmp_path / "Downloads").mkdir()
    right = (ROOT / "solutions/decoding/decoding.ipynb").read_bytes()
    wrong = right.replace(b"total = precision.sum(0)", b"total = precision.sum(0) + 1")
    assert wrong != right
    archive(tmp_path / "Downloads/submissions.zip", date=(2026, 11, 29, 8, 0, 0),
            members={"arborann_4711_1_decoding.ipynb": right, "bob_decoding.ipynb": wrong})
    gradebook = CANVAS_FILE.replace("mini", "decoding").replace(",5,10,", ",5,24,")
    (tmp_path / "Downloads/gradebook.csv").write_text(gradebook, encoding="utf-8")
    (tmp_path / "Downloads/worksheet.csv").write_text(MOODLE_FILE.replace("10,00", "24,00"), encoding="utf-8")
    seen = []
    for program, *arguments in map(shlex.split, "".join(blocks("")).splitlines()):
        if program == "cd":
            monkeypatch.chdir(arguments[0])
        elif program == "posebook":
            assert cli.main([os.path.expanduser(argument) for argument in arguments]) == 0, arguments
        elif program == "nbgrader":
            before = changed("grading/results")
            subprocess.run([sys.executable, "-m", program, *arguments], check=True, capture_output=True)
            assert changed("grading/results") == before
        seen.append(f"{program} {arguments[0]}")
    assert seen[-10:] == ["cd pose-2026", "posebook release", "posebook collect", "posebook grade", "posebook feedback",
                         *["posebook export"] * 3, "posebook report", "nbgrader autograde"]
    scores = Course.open().scores("decoding")
    assert scores["ann"].points == 24 and 22 <= scores["bob"].points < 24
    table = f"ann      24 of 24\nbob      {round(scores['bob'].points, 2):g} of 24\nhanded in nothing: rob, zoe_m\n"
    assert table in capfd.readouterr().out
    rows = {row["student_id"]: (row["score"], row["status"]) for row in csv.DictReader(Path("decoding.csv").open())}
    assert rows == {"ann": ("24.0", "graded"), "bob": (str(scores["bob"].points), "graded"),
                    "rob": ("", "nothing handed in"), "zoe_m": ("", "nothing handed in")}
    result = json.loads(next(Path("grading/results/decoding/ann").glob("*.json")).read_text())["result"]
    assert result["status"] == "ok" and result["sandbox"] == "bubblewrap"
    page = Path("grading/feedback/bob/decoding/decoding.html").read_text()
    assert "fuse: " in page and "(Score: 24.0" not in page


def changed(folder: str) -> list[int]:
    return [path.stat().st_mtime_ns for path in sorted(Path(folder).rglob("*.json"))]
