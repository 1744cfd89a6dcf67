"""Scores as spreadsheets and platforms read them."""

import csv
from io import StringIO

import pytest
from classroom import CANVAS_FILE, MOODLE_FILE, grade, half, submit

from posebook import cli
from posebook.grading.course import Course, CourseError
from posebook.grading.export import CANVAS, export


def read(path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def graded(course) -> Course:
    """ann has 5 and waits for a grade by hand, bob 3.9, rob's file is cut off, zoe_m handed in nothing."""
    submit(course, "ann", soft_argmax="right", fuse="right", free="Tails.")
    submit(course, "bob", soft_argmax="right", fuse="half")
    submit(course, "rob").write_text("{")
    with course.gradebook() as gradebook:
        gradebook.update_or_create_student("bob", last_name='Doe, "Jr."', lms_user_id="4712")
    grade(course)
    return course


BOB = f"{round(3 + half('fuse'), 4):g}"


def test_csv(graded, tmp_path):
    lines = export(graded, "mini", to=tmp_path / "x.csv")
    rows = {row["student_id"]: row for row in read(tmp_path / "x.csv")}
    assert rows["ann"]["score"] == "5.0" and rows["bob"]["last_name"] == 'Doe, "Jr."' and rows["rob"]["score"] == ""
    assert [f"{line.name}: {line.says}" for line in lines] == [
        "ann: 5 of 10: waits in formgrader", "rob: blank: not graded", f"bob: {BOB} of 10",
        "zoe_m: blank: nothing handed in"]


def test_canvas_from_the_roster(graded, tmp_path):
    lines = export(graded, "mini", format="canvas", to=tmp_path / "x.csv")
    assert all(line.good for line in lines)
    possible, *people = read(tmp_path / "x.csv")
    assert list(possible) == [*CANVAS, "mini"]
    assert possible["Student"].strip() == "Points Possible" and possible["mini"] == "10"
    assert [(p["Student"], p["ID"], p["SIS Login ID"], p["mini"]) for p in people] == [
        ("Arbor, Ann", "4711", "ann", "5"), ("Doe, Bob", "4713", "rob", ""),
        ('Doe, "Jr.", Bob', "4712", "bob", BOB), ("M, Zo\u00eb", "", "zoe_m", "")]


def test_canvas_into_its_own_file(graded, tmp_path):
    """The assignment's own column is found by its name and number; other columns are not written, so not changed."""
    own = tmp_path / "gradebook.csv"
    own.write_text(CANVAS_FILE, encoding="utf-8")
    lines = export(graded, "mini", format="canvas", into=own, to=tmp_path / "x.csv")
    possible, *people = read(tmp_path / "x.csv")
    assert list(possible) == [*CANVAS, "mini (90210)"] and possible["mini (90210)"] == "10"
    before = {row["ID"]: row for row in csv.DictReader(StringIO(CANVAS_FILE.lstrip("\ufeff"))) if row["ID"]}
    assert [p["ID"] for p in people] == list(before)
    for person in people:
        assert all(person[column] == before[person["ID"]][column] for column in CANVAS)
    # rob's 7 stays, his file is not graded
    assert [p["mini (90210)"] for p in people] == ["5", BOB, "7", "", ""]
    assert [(line.name, line.good) for line in lines] == [
        ("ann", True), ("rob", True), ("bob", True), ("zoe_m", True), ("Student, Test", True)]
    assert own.read_text(encoding="utf-8") == CANVAS_FILE


def test_moodle_from_the_roster(graded, tmp_path):
    export(graded, "mini", format="moodle", to=tmp_path / "x.csv")
    rows = read(tmp_path / "x.csv")
    assert list(rows[0]) == ["First name", "Last name", "ID number", "Email address", "Assignment: mini (Real)"]
    assert [list(row.values()) for row in rows[::2]] == [
        ["Ann", "Arbor", "ann", "ann@example.org", "5"], ["Bob", 'Doe, "Jr."', "bob", "", BOB]]


def test_moodle_into_its_worksheet(graded, tmp_path):
    """By address, then by name; bob's name there is rob's on the roster, whose score is blank: bob's finds no place."""
    own = tmp_path / "sheet.csv"
    own.write_text(MOODLE_FILE, encoding="utf-8")
    lines = {line.name: line for line in export(graded, "mini", format="moodle", into=own, to=tmp_path / "x.csv")}
    before, after = list(csv.DictReader(StringIO(MOODLE_FILE))), read(tmp_path / "x.csv")
    assert [row["Grade"] for row in after] == ["5", "", "", "1"]
    assert [{**row, "Grade": ""} for row in after] == [{**row, "Grade": ""} for row in before]
    assert not lines["bob"].good and lines["bob"].says == f"{BOB} of 10; none of the platform's lines name them"
    assert lines["zoe_m"].good and lines["Guest"].says == "left as it was: not on the roster"


@pytest.mark.parametrize("format, text, words", [
    ("canvas", "Student,ID\n", "want Canvas's gradebook .*which has the column Section"),
    ("moodle", "Full name,Grade\n", "want Moodle's grading worksheet .* the column Identifier, Maximum Grade"),
    ("moodle", MOODLE_FILE.replace("10,00", "100,00"), "Moodle's maximum grade is 100,00, mini has 10 points"),
    ("moodle", MOODLE_FILE.encode().replace(b"Guest", b"Gu\xe9st"), "not UTF-8"),
    ("canvas", CANVAS_FILE.replace(",5,10,", ",5,100,"), "Canvas's points possible are 100, mini has 10 points"),
    ("canvas", CANVAS_FILE.split('"Arbor')[0] + '"' + 200_000 * "a", "is a quote left open"),
    ("canvas", None, "No such file"),
])  # fmt: skip
def test_files_that_are_not_the_platforms(course, tmp_path, format, text, words):
    own = tmp_path / "own.csv"
    if text is not None:
        own.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CourseError, match=words):
        export(course, "mini", format=format, into=own, to=tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


def test_by_command(graded, tmp_path, capsys):
    assert cli.main(["export", "mini", "--format", "canvas"]) == 0
    assert "ok     ann: 5 of 10" in (shown := capsys.readouterr().out) and "written: mini-canvas.csv" in shown
    own = tmp_path / "own.csv"
    own.write_text(MOODLE_FILE, encoding="utf-8")
    assert cli.main(["export", "mini", "--format", "moodle", "--into", str(own)]) == 1
    assert "FAILED bob" in capsys.readouterr().out
    for wrong in (["--into", str(own)], ["--format", "moodle", "--into", str(own), "--to", str(own)]):
        assert cli.main(["export", "mini", *wrong]) == 1
        assert capsys.readouterr().err.count("\n") == 1
    assert own.read_text(encoding="utf-8") == MOODLE_FILE


def test_a_namesake_gets_nobodys_score(graded, tmp_path):
    """Another Ann Arbor of the platform's has another number; two lines with her own number are one too many."""
    own = tmp_path / "own.csv"
    stranger = CANVAS_FILE.replace('"Arbor, Ann",4711,u1,ann', '"Arbor, Ann",9999,u9,other')
    own.write_text(stranger, encoding="utf-8")
    lines = {line.name: line for line in export(graded, "mini", format="canvas", into=own, to=tmp_path / "x.csv")}
    assert not lines["ann"].good and "none of the platform's lines" in lines["ann"].says
    assert {row["ID"]: row["mini (90210)"] for row in read(tmp_path / "x.csv")}["9999"] == ""
    row = next(line for line in CANVAS_FILE.splitlines(keepends=True) if "4711" in line)
    own.write_text(CANVAS_FILE.replace(row, 2 * row), encoding="utf-8")
    lines = {line.name: line for line in export(graded, "mini", format="canvas", into=own, to=tmp_path / "x.csv")}
    assert not lines["ann"].good and "2 of the platform's lines" in lines["ann"].says
    assert [row["mini (90210)"] for row in read(tmp_path / "x.csv") if row["ID"] == "4711"] == ["", ""]


def test_a_folder_is_no_file_to_write(graded, tmp_path):
    with pytest.raises(CourseError, match="--to: want a file's name"):
        export(graded, "mini", to=tmp_path)
