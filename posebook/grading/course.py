"""A course's folder: nbgrader's settings, the roster, the secret, the gradebook."""

import os
import re
import shutil
import sys
from collections.abc import Collection
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.utils import temp_attrs
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from traitlets.config import Config, PyFileConfigLoader

from posebook.checks import PROBLEMS, Problem
from posebook.grading.submission import plain

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")  # of students and sets: they become folders


class CourseError(ValueError):
    """Something an instructor can put right; the text says what."""


@dataclass(frozen=True)
class Line:
    """What came of one student's submission, or of one file; ``says`` is for the instructor. Either may quote students.
    """

    name: str
    good: bool
    says: str = ""

    def __str__(self) -> str:
        return f"{'ok    ' if self.good else 'FAILED'} {plain(self.name)}: {plain(self.says, 1000)}"


class Student(NamedTuple):
    """One line of the roster. ``lms_user_id`` is the number that Canvas or Moodle puts into file names."""

    id: str
    first_name: str
    last_name: str
    email: str = ""
    lms_user_id: str = ""


class Score(NamedTuple):
    """What the gradebook holds of one submission: ``points`` are less the penalty."""

    points: float
    most: float
    penalty: float
    late: float  # seconds
    by_hand: bool


@dataclass(frozen=True)
class Course:
    """The folder that holds ``nbgrader_config.py``, solutions/, exercises/ and grading/."""

    root: Path
    config: Config

    @classmethod
    def open(cls, root: Path | str = ".", *, db: str = "") -> "Course":
        """Raises CourseError where there is no course; ``db`` is used in place of the settings' gradebook."""
        root = Path(root).resolve()
        check_name(root)
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
        try:
            return Gradebook(self.coursedir.db_url, self.coursedir.course_id)
        except (SQLAlchemyError, ImportError, ValueError, OSError) as error:
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise CourseError(f"cannot open the gradebook: {why}") from None

    @property
    def address(self) -> str:
        """The gradebook's, without its password."""
        return make_url(self.coursedir.db_url).render_as_string(hide_password=True)

    def folder(self, step: str, name: str, student: str = ".") -> Path:
        """Where a step ("source", "release", "submitted", "autograded", "feedback") keeps one student's set."""
        return Path(self.coursedir.format_path(getattr(self.coursedir, f"{step}_directory"), student, name))

    def notebook(self, step: str, name: str, student: str = ".") -> Path:
        return self.folder(step, name, student) / f"{name}.ipynb"

    def mark(self, name: str, student: str) -> Path:
        """The file that says what is recorded of a submission; it is gone while nbgrader records."""
        return self.grading / "results" / name / student / "recorded"

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
        path = self.notebook("source", name)
        return list(_problems(path, path.stat().st_mtime_ns))

    def students(self) -> dict[str, Student]:
        with self.gradebook() as gradebook:
            return {s.id: Student(s.id, s.first_name or "", s.last_name or "", s.email or "", s.lms_user_id or "")
                    for s in gradebook.students}

    def check_students(self, ids: Collection[str]) -> None:
        """Raises CourseError for an id that is not on the roster."""
        if unknown := sorted(set(ids) - self.students().keys()):
            raise CourseError(f"--student: want ids from the roster, got {', '.join(unknown)}")

    def due(self, name: str) -> datetime | None:
        """When a set has to be handed in, if it was released with a date."""
        with self.gradebook() as gradebook, suppress(MissingEntry):
            due = gradebook.find_assignment(name).duedate
            return due.replace(tzinfo=UTC) if due else None

    def scores(self, name: str) -> dict[str, Score]:
        """The recorded submissions of a set, by student.

        Raises:
            CourseError: the set was not released.
        """
        with self.gradebook() as gradebook:
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

    @contextmanager
    def only_the_notebook(self, name: str):
        """Within it nbgrader's steps take the set's notebook, and no other file that lies beside it."""
        with temp_attrs(self.coursedir, notebook_id=name, ignore=["*"]):
            yield


@lru_cache(maxsize=16)
def _problems(path: Path, changed: int) -> tuple[Problem, ...]:
    """Those of a set's notebook, which is read anew once it has changed."""
    marked = [(cell, cell.metadata.get("nbgrader", {})) for cell in nbformat.read(path, as_version=4).cells]
    return tuple(_problem(marks) for cell, marks in marked
                 if marks.get("grade") and not marks.get("solution") and cell.cell_type == "code")


def _problem(marks: dict) -> Problem:
    problem = PROBLEMS.get(marks["grade_id"].removeprefix("check-"))
    if problem is None or not marks["grade_id"].startswith("check-"):
        raise CourseError(f"the graded cell {marks['grade_id']} is no check of posebook's: name it check-<problem>, "
                          f"where the problem is one of {', '.join(PROBLEMS)}")
    if marks["points"] != problem.points:
        raise CourseError(f"the cell {marks['grade_id']} gives {marks['points']} points, its problem {problem.points}")
    return problem


def check_name(root: Path) -> None:
    """Raises CourseError for a folder in which nbgrader would look for another one."""
    if wrong := sorted(set("[]?*") & set(str(root))):
        raise CourseError(f"{root}: nbgrader takes {' '.join(wrong)} in a path for a pattern; rename the folder")


def find_alembic() -> None:
    """nbgrader runs ``alembic`` by its name; in a virtual environment that is not activated it is not on the path."""
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    if not shutil.which("alembic"):
        os.environ["PATH"] = f"{beside}{os.pathsep}{path}" if path else beside


def reason(result: dict) -> str:
    """Why a step of nbgrader's failed, in one line: its last error."""
    log = [line.strip() for line in (result.get("log") or "").splitlines()]
    raised = [line for line in log if re.match(r"[\w.]*(Error|Exception|Entry|Malformed)\b", line)]
    errors = [line for line in log if line.startswith("[ERROR]")]
    return (raised or errors or [(result.get("error") or "no reason given").strip().splitlines()[-1]])[-1]
