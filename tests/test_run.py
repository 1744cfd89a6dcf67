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
import time
from functools import partial
from pathlib import Path

import nbformat
import pytest
from classroom import ROSTER, archive, grade, half, submit
from quick_grader import hungry, work

from posebook import cli
from posebook.grading import results, run, steps
from posebook.grading.course import Course, CourseError
from posebook.grading.pool import Task, grade_all
from posebook.grading.steps import init, release
from posebook.grading.submission import read

ROOT = Path(__file__).parents[1]


def test_a_class(course):
    submit(course, "ann", soft_argmax="right", fuse="half", free="Because of the tails.")
    submit(course, "bob", soft_argmax="right", fuse="right")
    submit(course, "rob").write_text('{"nbformat": 4, "cells"')
    submit(course, "stranger", soft_argmax="right")
    lines = grade(course)
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
        gradebook.find_comment("why", "mini", "mini", "ann").manual_comment = "Good."
        gradebook.db.commit()
    assert course.scores("mini")["ann"].points == 8.5
    assert course.scores("mini")["ann"].late == 86400
    grade(course, force=True)
    submit(course, "ann", soft_argmax="half", free="The tails, I mean.", when="2026-11-21 00:00:00 UTC")
    grade(course)
    expected = 4.5 + 1 + half("soft_argmax")
    assert course.scores("mini")["ann"].points == expected
    with course.gradebook() as gradebook:
        assert gradebook.find_comment("why", "mini", "mini", "ann").comment == "Good."
    config = course.root / "nbgrader_config.py"
    config.write_text(config.read_text().replace('penalty_method = "none"', 'penalty_method = "zero"'))
    grade(Course.open(), force=True)
    assert course.scores("mini")["ann"][:3] == (0, 10, expected)


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


def test_killed_and_run_again_nothing_is_lost_or_doubled(course, tmp_path):
    log, hold = tmp_path / "log", tmp_path / "hold"
    hold.mkdir()
    submit(course, "ann", soft_argmax=f"note {log}")
    submit(course, "bob", soft_argmax=f"note {log}")
    submit(course, "rob", soft_argmax=f"wait {hold}")
    submit(course, "zoe_m", soft_argmax=f"wait {hold}")
    code = ("import sys; sys.path.append(sys.argv[1]); import classroom, quick_grader; from functools import partial; "
            "from posebook.grading import course, pool; "
            "all = partial(pool.grade_all, jobs=2, work=quick_grader.work); "
            "classroom.grade(course.Course.open(), grade_all=all)")
    first = subprocess.Popen([sys.executable, "-c", code, str(ROOT / "tests")], stdout=subprocess.DEVNULL)
    recorded = course.grading.glob
    wait_for(lambda: len(list(hold.iterdir())) == len(list(recorded("autograded/*/mini/*.ipynb"))) == 2)
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


def test_the_walk_of_the_guide(bubblewrap, tmp_path, monkeypatch, capfd):
    """Every command that INSTRUCTORS.md shows, in its order, with two students and the true grader.

    nbgrader's autograde finds the stored results, and all agree on the grades.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "roster.csv").write_text(ROSTER)
    (tmp_path / "Downloads").mkdir()
    right = (ROOT / "solutions/decoding/decoding.ipynb").read_bytes()
    wrong = right.replace(b"total = precision.sum(0)", b"total = precision.sum(0) + 1")
    assert wrong != right
    archive(tmp_path / "Downloads/submissions.zip", date=(2026, 11, 29, 8, 0, 0),
            members={"arborann_4711_1_decoding.ipynb": right, "bob_decoding.ipynb": wrong})
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
    assert seen[-7:] == ["cd pose-2026", "posebook release", "posebook collect", "posebook grade",
                         "posebook feedback", "nbgrader export", "nbgrader autograde"]
    scores = Course.open().scores("decoding")
    assert scores["ann"].points == 24 and 22 <= scores["bob"].points < 24
    table = f"ann      24 of 24\nbob      {round(scores['bob'].points, 2):g} of 24\nhanded in nothing: rob, zoe_m\n"
    assert table in capfd.readouterr().out
    rows = {row["student_id"]: (row["score"], row["status"]) for row in csv.DictReader(Path("grades.csv").open())}
    assert rows == {"ann": ("24.0", "graded"), "bob": (str(scores["bob"].points), "graded"),
                    "rob": ("", "nothing handed in"), "zoe_m": ("", "nothing handed in")}
    result = json.loads(next(Path("grading/results/decoding/ann").glob("*.json")).read_text())["result"]
    assert result["status"] == "ok" and result["sandbox"] == "bubblewrap"
    page = Path("grading/feedback/bob/decoding/decoding.html").read_text()
    assert "fuse: " in page and "(Score: 24.0" not in page


def changed(folder: str) -> list[int]:
    return [path.stat().st_mtime_ns for path in sorted(Path(folder).rglob("*.json"))]
