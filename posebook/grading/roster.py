"""The roster: a CSV file, as a learning platform or a spreadsheet saves it."""

import csv
import io
import re
from pathlib import Path

from posebook.grading.course import NAME, CourseError, Student


def read_roster(path: Path) -> list[Student]:
    """The students of a CSV file with the columns id, first_name, last_name, and where known email, lms_user_id.

    Raises:
        CourseError: names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CourseError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CourseError(f"{path}: not UTF-8; in a spreadsheet save as CSV UTF-8") from None
    head = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    rows.fieldnames = [re.sub(r"\W+", "_", column.strip().lower()) for column in rows.fieldnames or ()]
    if lacking := [column for column in ("id", "first_name", "last_name") if column not in rows.fieldnames]:
        raise CourseError(f"{path}, line 1: no column {', '.join(lacking)}; want id, first_name, last_name, email")
    found: dict[str, tuple[int, Student]] = {}
    for row in rows:
        student = Student(*((row.get(column) or "").strip() for column in Student._fields))
        if wrong := _wrong(student, row, found):
            raise CourseError(f"{path}, line {rows.line_num}: {wrong}")
        if student.id:
            found[student.id.lower()] = rows.line_num, student
    return [student for _, student in found.values()]


def _wrong(student: Student, row: dict, found: dict[str, tuple[int, Student]]) -> str:
    if None in row:
        return f"more fields than the first line has: {', '.join(row[None])}"
    if not student.id:
        return "the id is missing" if any(student) else ""
    if not NAME.fullmatch(student.id):
        return f"id: want letters, digits and . _ @ - (it becomes a folder's name), got {student.id!r}"
    if not student.first_name and not student.last_name:
        return f"{student.id} has no name"
    if student.id.lower() in found:
        return f"the id {student.id} is on line {found[student.id.lower()][0]} as well"
    return ""
