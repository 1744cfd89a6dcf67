"""The grades as a table, for a spreadsheet or a learning platform: ``posebook export`` and ``nbgrader export``."""

import csv
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from nbgrader.api import Gradebook, MissingEntry
from nbgrader.plugins import ExportPlugin

from posebook._files import write
from posebook.grading.collect import squeeze
from posebook.grading.course import Course, CourseError, Line, Student
from posebook.grading.roster import read_table

COLUMNS = ("assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
           "late_submission_penalty", "score", "max_score", "status")
FORMATS = ("csv", "canvas", "moodle")
CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")  # Canvas finds people by these
MOODLE = ("First name", "Last name", "ID number", "Email address")


class Grades(ExportPlugin):
    """nbgrader's columns, quoted where a name needs it, and a last one that says what came of the notebook. Nobody gets
    0 points for what was not graded: the score is then blank.
    """

    def export(self, gradebook: Gradebook) -> None:
        course = Course(Path(self.parent.coursedir.root), self.parent.config)
        rows = [row for row in graded(course, gradebook)
                if (not self.assignment or row["assignment"] in self.assignment)
                and (not self.student or row["student_id"] in self.student)]
        write(Path(self.to or "grades.csv"), table(COLUMNS, rows).encode())


def export(course: Course, name: str, *, format: str = "csv", into: Path | None = None, to: Path) -> list[Line]:
    """Write the scores of a set as a spreadsheet, or as a learning platform reads them; a line for each student.

    Args:
        format: "csv": as ``nbgrader export``; "canvas": Canvas's gradebook; "moodle": Moodle's grade import.
        into: the platform's own file, downloaded there, whose people get their scores: Canvas's gradebook, Moodle's
            grading worksheet. Without it the roster's ids and names stand for people.
        to: where the table goes.

    Raises:
        CourseError: no such set, or a file that is not the platform's.
    """
    course.problems(name)
    course.scores(name)  # raises where the set was not released
    if to.is_dir():
        raise CourseError(f"--to: want a file's name, {to} is a folder")
    with course.gradebook() as gradebook:
        rows = list(graded(course, gradebook, name))
        most = gradebook.find_assignment(name).max_score
    if format == "csv":
        write(to, table(COLUMNS, rows).encode())
        return [Line(row["student_id"], True, says(row)) for row in rows]
    scores = {row["student_id"]: row for row in rows}
    form = _canvas if format == "canvas" else _moodle
    return form(course.students(), scores, name, most, into, to)


def says(row: dict) -> str:
    """What a student's line says.

    >>> says({"score": 2.5, "max_score": 3.0, "status": "graded"})
    '2.5 of 3'
    """
    score = f"{number(row['score'])} of {row['max_score']:g}" if row.get("score") is not None else "blank"
    return score if row["status"] == "graded" else f"{score}: {row['status']}"


def number(score: float | None) -> str:
    """A score as platforms read it: a point, at most four decimals; blank where there is none."""
    return "" if score is None else f"{round(score, 4):g}"


def graded(course: Course, gradebook: Gradebook, name: str = "") -> Iterable[dict]:
    """A row with COLUMNS for each set, or this one, and student."""
    for assignment in [gradebook.find_assignment(name)] if name else gradebook.assignments:
        for student in gradebook.students:
            yield {"assignment": assignment.name, "duedate": assignment.duedate, "max_score": assignment.max_score,
                   "student_id": student.id, "last_name": student.last_name, "first_name": student.first_name,
                   "email": student.email, **_graded(course, gradebook, assignment.name, student.id)}


def _graded(course: Course, gradebook: Gradebook, name: str, student: str) -> dict[str, object]:
    try:
        submission = gradebook.find_submission(name, student)
    except MissingEntry:
        submission = None
    if submission is None or not course.mark(name, student).is_file():  # nbgrader did not get to the end: no 0
        there = course.folder("submitted", name, student).is_dir()
        return {"status": "not graded" if there else "nothing handed in"}
    penalty = submission.late_submission_penalty or 0.0
    return {"timestamp": submission.timestamp, "raw_score": submission.score, "late_submission_penalty": penalty,
            "score": max(0.0, submission.score - penalty),
            "status": "waits in formgrader" if submission.needs_manual_grade else "graded"}


def table(columns: Iterable[str], rows: Iterable[dict]) -> str:
    """Rows as CSV; what a row has beside the columns is left out."""
    text = StringIO()
    writer = csv.DictWriter(text, list(columns), restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# What platforms read


def _canvas(students: dict[str, Student], scores: dict[str, dict], name: str, most: float, into: Path | None,
            to: Path) -> list[Line]:
    """Canvas's gradebook: who, the points possible in a line of their own, and one column with the set's scores."""
    if into is None:
        people = [{"Student": f"{s.last_name}, {s.first_name}", "ID": s.lms_user_id, "SIS Login ID": s.id}
                  for s in students.values()]
        column, owners = name, list(students)
    else:
        columns, rows = _read(into, ("Student", "ID", "Section"), "Canvas's gradebook (Grades, Export)")
        column = next((c for c in columns if c == name or c.startswith(f"{name} (")), name)
        theirs = [row.get(column, "") for row in rows if row["Student"].strip() == "Points Possible"]
        if other := [own for own in theirs if own.strip() and abs(_points(own) - most) > 1e-6]:
            raise CourseError(f"{into}: Canvas's points possible are {other[0]}, {name} has {most:g} points: set the "
                              "assignment's points in Canvas, then export its gradebook again")
        people = [row for row in rows if row["ID"].strip()]  # the first lines say how columns are graded
        owners = [_find(students, lms_user_id=row["ID"], id=row.get("SIS Login ID", ""),
                        name=" ".join(reversed(row["Student"].split(",", 1)))) for row in people]
    _fill(column, people, owners, scores)
    possible = {"Student": "    Points Possible", column: number(most)}
    write(to, table((*CANVAS, column), [possible, *people]).encode())
    return _lines(students, scores, owners, [person["Student"] for person in people])


def _moodle(students: dict[str, Student], scores: dict[str, dict], name: str, most: float, into: Path | None,
            to: Path) -> list[Line]:
    """The columns of Moodle's own export of grades, or its grading worksheet with the column Grade filled in."""
    if into is None:
        columns = (*MOODLE, f"Assignment: {name} (Real)")
        people = [dict(zip(MOODLE, (s.first_name, s.last_name, s.id, s.email), strict=True)) for s in students.values()]
        owners = list(students)
    else:
        wanted = ("Identifier", "Full name", "Grade", "Maximum Grade")
        columns, people = _read(into, wanted, "Moodle's grading worksheet (Submissions, Download grading worksheet)")
        owners = [_find(students, email=row.get("Email address", ""), id=row.get("ID number", ""),
                        name=row["Full name"]) for row in people]
    grade = "Grade" if into else columns[-1]
    other = {own for person in people if into and abs(_points(own := person["Maximum Grade"]) - most) > 1e-6}
    if other:
        raise CourseError(f"{into}: Moodle's maximum grade is {', '.join(sorted(other))}, {name} has {most:g} points: "
                          "set the assignment's maximum grade in Moodle, then download the worksheet again")
    _fill(grade, people, owners, scores)
    write(to, table(columns, people).encode())
    called = [person.get("Full name") or f"{person['First name']} {person['Last name']}" for person in people]
    return _lines(students, scores, owners, called)


def _fill(column: str, people: list[dict], owners: list[str], scores: dict[str, dict]) -> None:
    """Who has a score gets it; what the platform has of the others stays."""
    for person, owner in zip(people, owners, strict=True):
        if owners.count(owner) == 1 and owner and (score := number(scores[owner].get("score"))):
            person[column] = score


def _points(text: str) -> float:
    """A number with a point or a comma; NaN where it is none."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return float("nan")


def _read(path: Path, wanted: tuple[str, ...], what: str) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of a platform's file."""
    columns, rows = read_table(path)
    if lacking := [column for column in wanted if column not in columns]:
        raise CourseError(f"{path}: want {what}, which has the column {', '.join(lacking)}")
    return columns, [{column: row[column] or "" for column in columns} for _, row in rows]


def _find(students: dict[str, Student], *, name: str, **clues: str) -> str:
    """The id of the one student whom a clue names: by number, id or address, else by the name; "" if there is none."""
    for field, value in clues.items():
        clue = value.strip().lower()
        found = [student.id for student in students.values() if clue and getattr(student, field).lower() == clue]
        if len(found) == 1:
            return found[0]
    called, number = squeeze(name), clues.get("lms_user_id", "").strip()
    found = [s.id for s in students.values() if called and not (number and s.lms_user_id) and
             called in (squeeze(s.first_name + s.last_name), squeeze(s.last_name + s.first_name))]
    return found[0] if len(found) == 1 else ""


def _lines(students: dict[str, Student], scores: dict[str, dict], owners: list[str], called: list[str]) -> list[Line]:
    """What became of each student, then of each person whom the platform has and the roster does not.

    A score that found no place there is a failure; so is one of a student whom two of its lines name.
    """
    lines = []
    for student in students:
        places = owners.count(student)
        told = says(scores[student])
        if places == 1 or (places == 0 and scores[student].get("score") is None):
            lines.append(Line(student, True, told))
        else:
            lines.append(Line(student, False, f"{told}; {places or 'none'} of the platform's lines name them"))
    return lines + [Line(who.strip(), True, "left as it was: not on the roster")
                    for who, owner in zip(called, owners, strict=True) if not owner]
