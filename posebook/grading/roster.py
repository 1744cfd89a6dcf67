"""The roster, and who has more time: CSV files, as a learning platform or a spreadsheet saves them."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from posebook.grading.course import NAME, Course, CourseError, Student


class Table(NamedTuple):
    """A CSV file: its columns, and each row with the number of its last line; None there holds what is too much."""

    columns: list[str]
    rows: list[tuple[int, dict]]


def read_table(path: Path) -> Table:
    """A CSV file with commas, semicolons or tabs.

    Raises:
        CourseError: no such file, not UTF-8, or a quote that does not end.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path}: not UTF-8; in a spreadsheet save as CSV UTF-8") from None
    head = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    try:
        return Table(list(rows.fieldnames or ()), [(rows.line_num, row) for row in rows])
    except csv.Error as error:
        raise CourseError(f"{path}, line {rows.line_num}: {error}; is a quote left open?") from None


def _named(path: Path, wanted: tuple[str, ...], known: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a file of the instructor's own, each with its place: columns in small letters, with _ for what is no
    letter, values without blanks around them.
    """
    table = read_table(path)
    names = {column: re.sub(r"\W+", "_", column.strip().lower()) for column in table.columns}
    if lacking := [column for column in wanted if column not in names.values()]:
        raise CourseError(f"{path}, line 1: no column {', '.join(lacking)}; want {', '.join(known)}")
    for line, row in table.rows:
        if None in row:
            raise CourseError(f"{path}, line {line}: more fields than the first line has: {', '.join(row[None])}")
        yield line, {names[column]: (value or "").strip() for column, value in row.items()}


def read_roster(path: Path) -> list[Student]:
    """The students of a CSV file with the columns id, first_name, last_name, and where known email, lms_user_id.

    Raises:
        CourseError: names the line.
    """
    wanted = ("id", "first_name", "last_name")
    found: dict[str, tuple[int, Student]] = {}
    for line, row in _named(path, wanted, (*wanted, "email")):
        student = Student(*(row.get(column, "") for column in Student._fields))
        if wrong := _wrong(student, found):
            raise CourseError(f"{path}, line {line}: {wrong}")
        if student.id:
            found[student.id.lower()] = line, student
    return [student for _, student in found.values()]


def _wrong(student: Student, found: dict[str, tuple[int, Student]]) -> str:
    if not student.id:
        return "the id is missing" if any(student) else ""
    if not NAME.fullmatch(student.id):
        return f"id: want letters, digits and . _ @ - (it becomes a folder's name), got {student.id!r}"
    if not student.first_name and not student.last_name:
        return f"{student.id} has no name"
    if student.id.lower() in found:
        return f"the id {student.id} is on line {found[student.id.lower()][0]} as well"
    return ""


# ---------------------------------------------------------------------------------------------------------------------
# Who has more time


def due(course: Course, name: str, student: str) -> datetime | None:
    """When one student has to hand in a set: by the line of extensions.csv, else when everybody has to; UTC.

    None where nobody has to: nbgrader counts lateness from the set's own date.
    """
    path = course.root / "extensions.csv"
    own = _extensions(path, path.stat().st_mtime_ns).get((name, student)) if path.exists() else None
    everybody = course.due(name)
    return own[1] if own and everybody else everybody


def check_extensions(course: Course) -> None:
    """Raises CourseError for a line of extensions.csv that is wrong, or names nobody or nothing."""
    path = course.root / "extensions.csv"
    if not path.exists():
        return
    students, sets = course.students(), course.sets()
    for (name, student), (line, _) in _extensions(path, path.stat().st_mtime_ns).items():
        if student not in students:
            raise CourseError(f"{path}, line {line}: id: want one of the roster, got {student!r}")
        if name not in sets:
            raise CourseError(f"{path}, line {line}: set: want one of {', '.join(sets)}, got {name!r}")


@lru_cache(maxsize=8)
def _extensions(path: Path, changed: int) -> dict[tuple[str, str], tuple[int, datetime]]:
    """Line and date by (set, student) of a CSV file with the columns id, set, due."""
    found: dict[tuple[str, str], tuple[int, datetime]] = {}
    for line, row in _named(path, columns := ("id", "set", "due"), columns):
        student, name, when = (row[column] for column in columns)
        if not (student or name or when):
            continue
        if (name, student) in found:
            first = found[name, student][0]
            raise CourseError(f"{path}, line {line}: {student} has a date for {name} on line {first} already")
        try:
            found[name, student] = line, datetime.fromisoformat(when).astimezone(UTC)
        except (ValueError, OverflowError):
            want = f'due: want a date such as "2026-11-30 23:59", got {when!r}'
            raise CourseError(f"{path}, line {line}: {want}") from None
    return found
