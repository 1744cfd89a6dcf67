"""Stored results: one file for each notebook that was graded, named by the hash of what was handed in."""

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from posebook import checks
from posebook._files import write
from posebook.grading import roster
from posebook.grading.course import Course
from posebook.grading.grade import Result
from posebook.grading.pool import Task, work
from posebook.grading.submission import Submission, read_file


@dataclass(frozen=True)
class HandedIn:
    """What one student handed in of a set, and where the course keeps what came of it."""

    course: Course
    set: str
    student: str
    submission: Submission

    @classmethod
    def read(cls, course: Course, set: str, student: str) -> "HandedIn":
        """Raises Malformed where there is no notebook, or none that can be graded."""
        return cls(course, set, student, read_file(course.notebook("submitted", set, student)))

    @property
    def notes(self) -> tuple[str, ...]:
        """What was odd about it."""
        known = any(problem.name in self.submission.problems for problem in self.course.problems(self.set))
        return self.submission.notes if known else (f"no cell of {self.set} is in it: is it another notebook?",)

    def lateness(self) -> list[str]:
        """When it was handed in, and how late that was, if it was late."""
        folder = self.course.folder("submitted", self.set, self.student)
        when = self.course.coursedir.get_existing_timestamp(str(folder))
        due = roster.due(self.course, self.set, self.student)
        if not when or not due or when.replace(tzinfo=UTC) <= due:
            return []
        late = duration((when.replace(tzinfo=UTC) - due).total_seconds())
        return [f"handed in {when:%Y-%m-%d %H:%M} UTC, {late} late"]

    @property
    def path(self) -> Path:
        """The stored result's file."""
        return self.course.grading / "results" / self.set / self.student / f"{self.submission.sha256}.json"

    @property
    def mark(self) -> Path:
        """The file that holds the :meth:`tag` of what is recorded; it is gone while nbgrader records."""
        return self.course.mark(self.set, self.student)

    def unmark(self) -> None:
        """Say that nbgrader records; what was recorded before is kept aside."""
        with suppress(FileNotFoundError):
            self.mark.replace(self.mark.with_name("before"))

    def was_recorded(self) -> bool:
        """While nbgrader records: whether it did so before, and the last time what was handed in was the same."""
        before = self.mark.with_name("before")
        return before.is_file() and before.read_text().partition(" ")[0] == self.submission.sha256

    def stored(self) -> Result | None:
        """The result that today's checks gave, or None."""
        try:
            record = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        found = Result.from_json(json.dumps(record["result"])) if record["checks"] == checks_version() else None
        asked = {problem.name for problem in self.course.problems(self.set)}  # a set may have gained one
        return found if found and asked <= {report.name for report in found.reports} else None

    def store(self, result: str) -> None:
        """Keep a result, which is JSON."""
        record = {"checks": checks_version(), "result": json.loads(result)}
        write(self.path, json.dumps(record, indent=1).encode(), mode=0o600)

    def task(self, *, unsafe: bool = False) -> Task:
        """What a worker needs to grade it."""
        problems = tuple(problem.name for problem in self.course.problems(self.set))
        return Task(self.set, self.student, self.submission, problems, self.course.secret(), unsafe)

    def graded(self) -> Result:
        """The stored result; where there is none of today's checks, that of grading here and now."""
        if (found := self.stored()) is None:
            self.store(work(self.task()))
            found = self.stored()
        return found

    def tag(self) -> str:
        """Hash of what was handed in, and of all that the recorded notebook and its scores follow from."""
        timestamp = self.course.folder("submitted", self.set, self.student) / "timestamp.txt"
        due = str(roster.due(self.course, self.set, self.student)).encode()
        parts = [self.path.read_bytes(), due, timestamp.read_bytes() if timestamp.is_file() else b""]
        return self.submission.sha256 + " " + hashlib.sha256(b"\0".join(parts)).hexdigest()


def duration(seconds: float) -> str:
    """
    >>> duration(42), duration(150), duration(7200), duration(200_000)
    ('42 s', '2 min', '2 h', '56 h')
    """
    unit, size = ("s", 1) if seconds < 100 else ("min", 60) if seconds < 6000 else ("h", 3600)
    return f"{seconds / size:.0f} {unit}"


def checks_version() -> str:
    """Changes with the problems' cases and with how they are tried; results of another version are graded anew."""
    digest = hashlib.sha256()
    for folder in (Path(checks.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
