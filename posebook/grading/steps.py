"""What an instructor does before and after grading: make a course, release a set, write the feedback."""

import html
import re
import secrets
import zipfile
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath

from traitlets import TraitError

from posebook import _html
from posebook._files import write, write_new
from posebook.grading.collect import CANVAS, MOODLE, NAME_FILE
from posebook.grading.course import Course, CourseError, Line, check_name, reason
from posebook.grading.feedback import FeedbackPage
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

# Where you published the web book (make site): feedback then links to it.
# c.FeedbackPage.book = "https://example.org/book"
'''


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
        raise CourseError(f"nbgrader_config.py names the gradebook {course.address}: change it there")
    try:
        opened = course.gradebook()
    except CourseError:
        if db and "written" in done[-1]:  # the wrong URL is not to stay there
            (root / "nbgrader_config.py").unlink()
        raise
    with opened as gradebook:
        for student in students:
            gradebook.update_or_create_student(student.id, **{k: v for k, v in student._asdict().items() if k != "id"})
        done.append(f"roster: {len(gradebook.students)} students in {course.address}")
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


def feedback(course: Course, name: str, only: Collection[str] = ()) -> Iterator[Line]:
    """Write a page for each student who handed something in; says of each, as soon as it is done, where it is or what
    went wrong. ``only``: these students, none for all.
    """
    course.problems(name)
    course.check_students(only)
    try:
        FeedbackPage(config=course.config)
    except (ValueError, TraitError) as error:
        raise CourseError(f"nbgrader_config.py: c.FeedbackPage.book: {error}") from None
    folders = [path for step in ("submitted", "autograded") for path in course.grading.glob(f"{step}/*/{name}")]
    for student in sorted({folder.parent.name for folder in folders}):
        if only and student not in only:
            continue
        page = course.notebook("feedback", name, student).with_suffix(".html")
        where = str(page.relative_to(course.root))
        if course.mark(name, student).is_file() and course.notebook("autograded", name, student).is_file():
            with course.only_the_notebook(name):
                result = course.api.generate_feedback(name, student)
            yield Line(student, result["success"], where if result["success"] else reason(result))
            continue
        try:
            HandedIn.read(course, name, student)
        except Malformed as error:
            says = f"Your notebook could not be graded: {html.escape(str(error))}. Please hand it in again."
            write(page, _html.page(f"{name}: feedback", [f"<h1>{name}</h1>", f"<p>{says}</p>"]).encode())
            yield Line(student, True, f"{where}, which says only that {error}")
        else:
            yield Line(student, False, f"not graded yet: posebook grade {name}")


def zip_pages(course: Course, name: str, path: Path) -> list[str]:
    """Put all feedback pages of a set into an archive, under the names that the platform gave to what was handed in, so
    that it can be uploaded there; a student whose file came otherwise gets <id>_<set>.html. Returns those names.
    """
    pages = {page.parent.parent.name: page for page in sorted(course.grading.glob(f"feedback/*/{name}/{name}.html"))}
    if not pages:
        raise CourseError(f"{name} has no feedback: posebook feedback {name}")
    if path.is_dir():
        raise CourseError(f"--zip: want a file's name, {path} is a folder")
    archive, names = BytesIO(), []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for student, page in pages.items():
            kept = course.folder("submitted", name, student) / NAME_FILE
            own = PurePosixPath(kept.read_text() if kept.is_file() else "")
            place = next((i for i, part in enumerate(own.parts) if CANVAS.match(part) or MOODLE.match(part)), None)
            parts = own.with_suffix(".html").parts[place:] if place is not None else (f"{student}_{name}.html",)
            names.append("/".join(parts))
            file.write(page, names[-1])
    write(path, archive.getvalue(), mode=0o600)
    return names
