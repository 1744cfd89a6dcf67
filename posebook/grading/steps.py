"""What an instructor does before and after grading: make a course, release a set, write the feedback."""

import html
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from posebook._files import write, write_new
from posebook.grading.course import Course, CourseError, Line, check_name, reason
from posebook.grading.results import HandedIn
from posebook.grading.roster import read_roster
from posebook.grading.submission import Malformed

CONFIG = '''\
"""Settings of this course, read by nbgrader and by posebook. Yours to change; never overwritten."""

import os

from posebook.grading import record

c = get_config()
root = os.path.dirname(os.path.abspath(__file__))
c.CourseDirectory.root = root
c.CourseDirectory.course_id = {course_id!r}
c.CourseDirectory.db_url = {db_url}
record.configure(c)  # folders, and the steps of release and autograde

# Late submissions: "none" takes nothing away, "zero" takes every point. For a rule of your own see INSTRUCTORS.md.
c.LateSubmissionPlugin.penalty_method = "none"
'''


UNREADABLE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{name}</title>
<h1>{name}</h1><p>Your notebook could not be graded: {reason}. Please hand it in again.</p></html>
"""


def init(root: Path, *, roster: Path | None = None, db: str = "") -> list[str]:
    """Make a course in a folder, or add what it lacks and update its roster; returns what was done, line by line."""
    students = read_roster(roster) if roster else []
    root = root.resolve()
    check_name(root)
    root.mkdir(parents=True, exist_ok=True)
    done = _copy_solutions(root)
    grading = root / "grading"
    grading.mkdir(mode=0o700, exist_ok=True)
    written = {grading / ".gitignore": "*\n", grading / "secret": secrets.token_hex(32) + "\n",
               root / "nbgrader_config.py": _config(root, db)}
    for path, text in written.items():
        is_new = write_new(path, text.encode(), mode=0o600)
        done.append(f"{path.relative_to(root)}: {'written' if is_new else 'kept as it was'}")
    course = Course.open(root)
    if db and course.coursedir.db_url != db:
        raise CourseError(f"nbgrader_config.py names the gradebook {course.coursedir.db_url}: change it there")
    with course.gradebook() as gradebook:
        for student in students:
            gradebook.update_or_create_student(student.id, **{k: v for k, v in student._asdict().items() if k != "id"})
        done.append(f"roster: {len(gradebook.students)} students in {course.coursedir.db_url}")
    return done


def _config(root: Path, db: str) -> str:
    course_id = re.sub(r"[^\w.-]", "-", root.name) or "course"
    db_url = repr(db) if db else '"sqlite:///" + os.path.join(root, "grading", "gradebook.db")'
    return CONFIG.format(course_id=course_id, db_url=db_url)


def _copy_solutions(root: Path) -> list[str]:
    """The sets, from the course as cloned, into a folder that has none."""
    if (root / "solutions").is_dir():
        return []
    places = Path("solutions"), Path(__file__).resolve().parents[2] / "solutions"
    source = next((place for place in places if place.is_dir()), None)
    if source is None:
        raise CourseError("found no solutions/ to copy: run this in posebook's own folder, as it was cloned")
    sets = [path for path in sorted(source.glob("*/*.ipynb")) if path.stem == path.parent.name]
    for path in sets:
        write_new(root / "solutions" / path.parent.name / path.name, path.read_bytes())
    return [f"solutions/: {', '.join(path.stem for path in sets)}"]


def release(course: Course, name: str, *, due: datetime | None = None) -> list[str]:
    """Write exercises/<set>/ without solutions, and enter the set's cells and points into the gradebook.

    ``due`` is a time with its zone. Returns what was done, line by line.
    """
    problems = course.problems(name)
    source, target = course.folder("source", name), course.notebook("release", name)
    before = target.read_bytes() if target.exists() else None
    with course.only_the_notebook(name):
        result = course.api.generate_assignment(name)
    if not result["success"]:
        if before is not None:
            write(target, before)
        raise CourseError(f"nbgrader could not release {name}: {reason(result)}")
    if due:
        with course.gradebook() as gradebook:
            gradebook.update_or_create_assignment(name, duedate=due.astimezone(UTC).replace(tzinfo=None))
    points = sum(problem.points for problem in problems)
    left_out = sorted(path.name for path in source.iterdir() if path.name != target.name)
    lines = [f"{target.relative_to(course.root)}: {len(problems)} problems, {points} points; hand out this one file"]
    lines += [f"left out, since only the notebook is handed out: {', '.join(left_out)}"] if left_out else []
    return lines + ([f"due {due:%Y-%m-%d %H:%M %Z}"] if due else [])


def feedback(course: Course, name: str) -> Iterator[Line]:
    """Write a page for each student who handed something in; says of each, as soon as it is done, where it is or what
    went wrong.
    """
    course.problems(name)
    folders = [path for step in ("submitted", "autograded") for path in course.grading.glob(f"{step}/*/{name}")]
    for student in sorted({folder.parent.name for folder in folders}):
        page = course.notebook("feedback", name, student).with_suffix(".html")
        where = str(page.relative_to(course.root))
        if course.notebook("autograded", name, student).is_file():
            with course.only_the_notebook(name):
                result = course.api.generate_feedback(name, student)
            yield Line(student, result["success"], where if result["success"] else reason(result))
            continue
        try:
            HandedIn.read(course, name, student)
        except Malformed as error:
            write(page, UNREADABLE.format(name=name, reason=html.escape(str(error))).encode())
            yield Line(student, True, f"{where}, which says only that {error}")
        else:
            yield Line(student, False, f"not graded yet: posebook grade {name}")
