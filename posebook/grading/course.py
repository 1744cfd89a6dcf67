"""A course's folder: nbgrader's settings, the roster, the secret; release a problem set, write feedback."""

import csv
import io
import os
import re
import secrets
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import temp_attrs
from traitlets.config import Config, PyFileConfigLoader

from posebook.checks import PROBLEMS, Problem

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")  # of students and sets: they become folders
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


class CourseError(ValueError):
    """Something an instructor can put right; the text says what."""


@dataclass(frozen=True)
class Course:
    """The folder that holds ``nbgrader_config.py``, solutions/, exercises/ and grading/."""

    root: Path
    config: Config

    @classmethod
    def open(cls, root: Path | str = ".", *, db: str = "") -> "Course":
        """Raises CourseError where there is no course; ``db`` is used in place of the settings' gradebook."""
        root = Path(root).resolve()
        if not (root / "nbgrader_config.py").is_file():
            raise CourseError(f"want a course's folder (posebook course init): no nbgrader_config.py in {root}")
        find_alembic()
        config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
        if db:
            config.CourseDirectory.db_url = db
        return cls(root, config)

    @cached_property
    def coursedir(self) -> CourseDirectory:
        return CourseDirectory(config=self.config)

    @cached_property
    def api(self) -> NbGraderAPI:
        return NbGraderAPI(self.coursedir, config=self.config)

    def gradebook(self) -> Gradebook:
        """A context manager."""
        return Gradebook(self.coursedir.db_url, self.coursedir.course_id)

    def folder(self, step: str, name: str, student: str = ".") -> Path:
        """Where a step ("source", "release", "submitted", "autograded", "feedback") keeps one student's set."""
        return Path(self.coursedir.format_path(getattr(self.coursedir, f"{step}_directory"), student, name))

    def notebook(self, step: str, name: str, student: str = ".") -> Path:
        return self.folder(step, name, student) / f"{name}.ipynb"

    @property
    def grading(self) -> Path:
        return self.root / "grading"

    def secret(self) -> bytes:
        """What makes the drawn inputs unpredictable; the same for as long as the course lasts."""
        try:
            return (self.grading / "secret").read_bytes().strip()
        except FileNotFoundError:
            raise CourseError("grading/secret is missing: posebook course init makes a new one") from None

    def sets(self) -> list[str]:
        return sorted(path.stem for path in Path(self.coursedir.root, self.coursedir.source_directory).glob("*/*.ipynb")
                      if path.stem == path.parent.name)

    def problems(self, name: str) -> list[Problem]:
        """The problems of a set, in the order of its check cells.

        Raises:
            CourseError: no such set; a check cell without a problem, or with other points than it has.
        """
        if not NAME.fullmatch(name) or not self.notebook("source", name).is_file():
            raise CourseError(f"want one of the sets in {self.coursedir.source_directory}/: "
                              f"{', '.join(self.sets()) or 'there are none'}; got {name}")
        found = []
        for cell in nbformat.read(self.notebook("source", name), as_version=4).cells:
            marks = cell.metadata.get("nbgrader", {})
            if marks.get("grade") and not marks.get("solution") and cell.cell_type == "code":
                found.append(_problem(marks))
        return found

    def students(self) -> dict[str, "Student"]:
        with self.gradebook() as gradebook:
            return {s.id: Student(s.id, s.first_name or "", s.last_name or "", s.email or "", s.lms_user_id or "")
                    for s in gradebook.students}

    @contextmanager
    def only_the_notebook(self, name: str):
        """Within it nbgrader's steps take the set's notebook, and no other file that lies beside it."""
        with temp_attrs(self.coursedir, notebook_id=name, ignore=["*"]):
            yield


def _problem(marks: dict) -> Problem:
    problem = PROBLEMS.get(marks["grade_id"].removeprefix("check-"))
    if problem is None or not marks["grade_id"].startswith("check-"):
        raise CourseError(f"the graded cell {marks['grade_id']} is no check of posebook's: name it check-<problem>, "
                          f"where the problem is one of {', '.join(PROBLEMS)}")
    if marks["points"] != problem.points:
        raise CourseError(f"the cell {marks['grade_id']} gives {marks['points']} points, its problem {problem.points}")
    return problem


def find_alembic() -> None:
    """nbgrader runs ``alembic`` by its name; in a virtual environment that is not activated it is not on the path."""
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    if not shutil.which("alembic"):
        os.environ["PATH"] = f"{beside}{os.pathsep}{path}" if path else beside


# ---------------------------------------------------------------------------------------------------------------------
# The roster


class Student(NamedTuple):
    """One line of the roster. ``lms_user_id`` is the number that Canvas or Moodle puts into file names."""

    id: str
    first_name: str
    last_name: str
    email: str = ""
    lms_user_id: str = ""


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


# ---------------------------------------------------------------------------------------------------------------------
# What an instructor does


def init(root: Path, *, roster: Path | None = None, db: str = "") -> list[str]:
    """Make a course in a folder, or add what it lacks and update its roster; returns what was done, line by line."""
    students = read_roster(roster) if roster else []
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    done = _copy_solutions(root)
    grading = root / "grading"
    grading.mkdir(mode=0o700, exist_ok=True)
    written = {grading / ".gitignore": "*\n", grading / "secret": secrets.token_hex(32) + "\n",
               root / "nbgrader_config.py": _config(root, db)}
    for path, text in written.items():
        done.append(f"{path.relative_to(root)}: {'written' if write_new(path, text) else 'kept as it was'}")
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
        write_new(root / "solutions" / path.parent.name / path.name, path.read_text(encoding="utf-8"), mode=0o644)
    return [f"solutions/: {', '.join(path.stem for path in sets)}"]


def write_new(path: Path, text: str, *, mode: int = 0o600) -> bool:
    """Write a file that appears whole or not at all; False where there is one already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = write_draft(path, text.encode(), mode=mode)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def write(path: Path, data: bytes) -> None:
    """Replace a file at once: whoever reads it meanwhile, or after a power cut, finds the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_draft(path, data).replace(path)


def write_draft(path: Path, data: bytes, *, mode: int = 0o600) -> Path:
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    return Path(draft)


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


@dataclass(frozen=True)
class Line:
    """What came of one student's submission, in a step; ``says`` is for the instructor."""

    student: str
    good: bool
    says: str = ""


def feedback(course: Course, name: str) -> list[Line]:
    """Write each graded student's feedback page; says where it is, or what went wrong."""
    course.problems(name)
    done = []
    for path in sorted(course.grading.glob(f"autograded/*/{name}/{name}.ipynb")):
        student = path.parents[1].name
        with course.only_the_notebook(name):
            result = course.api.generate_feedback(name, student)
        page = course.notebook("feedback", name, student).with_suffix(".html")
        good = result["success"]
        done.append(Line(student, good, str(page.relative_to(course.root)) if good else reason(result)))
    return done


def reason(result: dict) -> str:
    """Why a step of nbgrader's failed, in one line: its last error."""
    log = [line.strip() for line in (result.get("log") or "").splitlines()]
    raised = [line for line in log if re.match(r"[\w.]*(Error|Exception|Entry|Malformed)\b", line)]
    errors = [line for line in log if line.startswith("[ERROR]")]
    return (raised or errors or [(result.get("error") or "no reason given").strip().splitlines()[-1]])[-1]


class Score(NamedTuple):
    """What the gradebook holds of one submission: ``points`` are less the penalty."""

    points: float
    most: float
    penalty: float
    late: float  # seconds
    by_hand: bool


def scores(course: Course, name: str) -> dict[str, Score]:
    """The recorded submissions of a set, by student.

    Raises:
        CourseError: the set was not released.
    """
    with course.gradebook() as gradebook:
        try:
            submissions = gradebook.find_assignment(name).submissions
        except MissingEntry:
            raise CourseError(f"{name} is not in the gradebook: posebook release {name}") from None
        found = {}
        for submission in submissions:
            penalty = sum(notebook.late_submission_penalty or 0 for notebook in submission.notebooks)
            found[submission.student_id] = Score(submission.score - penalty, submission.max_score, penalty,
                                                 submission.total_seconds_late, submission.needs_manual_grade)
        return found
