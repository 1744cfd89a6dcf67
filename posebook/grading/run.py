"""Grade every submission of a set, in several processes; can be killed at any moment and run again.

Each result is one file, written whole as soon as it is there, and named by the hash of what was handed in. Only this
process writes to the gradebook.
"""

import fcntl
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nbgrader.api import MissingEntry
from sqlalchemy.exc import SAWarning

from posebook import checks
from posebook.grading.course import Course, CourseError, Line, Score, Student, reason, scores, write
from posebook.grading.grade import Result
from posebook.grading.pool import Task, work
from posebook.grading.submission import Malformed, Submission, read_file

# ---------------------------------------------------------------------------------------------------------------------
# One submission


def task(course: Course, name: str, student: str, submission: Submission, *, unsafe: bool = False) -> Task:
    problems = tuple(problem.name for problem in course.problems(name))
    return Task(name, student, submission, problems, course.secret(), unsafe)


def result(course: Course, name: str, student: str, submission: Submission) -> Result:
    """The stored result; where there is none of today's checks, the submission is graded here and now."""
    path = result_path(course, name, student, submission)
    if (found := stored(path)) is None:
        store(path, work(task(course, name, student, submission)))
        found = stored(path)
    return found


def result_path(course: Course, name: str, student: str, submission: Submission) -> Path:
    return course.grading / "results" / name / student / f"{submission.sha256}.json"


def store(path: Path, text: str) -> None:
    write(path, json.dumps({"checks": checks_version(), "result": json.loads(text)}, indent=1).encode())


def stored(path: Path) -> Result | None:
    """A result that today's checks gave, or None."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return Result.from_json(json.dumps(record["result"])) if record["checks"] == checks_version() else None


def checks_version() -> str:
    """Changes with the problems' cases and with how they are tried; results of another version are graded anew."""
    digest = hashlib.sha256()
    for path in sorted(Path(checks.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def tag(course: Course, name: str, student: str, submission: Submission) -> str:
    """Fingerprint of all that the recorded notebook follows from; it stands in that notebook once it is recorded."""
    path = result_path(course, name, student, submission)
    timestamp = course.folder("submitted", name, student) / "timestamp.txt"
    parts = [path.read_bytes(), timestamp.read_bytes() if timestamp.is_file() else b""]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# A set


def run(course: Course, name: str, *, grade_all: Callable[[list[Task]], Iterable[tuple[Task, bool, str]]],
        force: bool = False, unsafe: bool = False, tell: Callable[[str], None] = print) -> list[Line]:
    """Grade and record what was handed in and is not yet graded; one line for each folder in submitted/.

    ``grade_all`` is :func:`posebook.grading.pool.grade_all` with its number of jobs, or does the same elsewhere.
    """
    course.problems(name)
    scores(course, name)  # raises where the set was not released
    with only_run(course):
        lines, submissions = scan(course, name)
        tasks = []
        for student, submission in submissions.items():
            found = None if force else stored(result_path(course, name, student, submission))
            if found is None or (found.sandbox == "none" and not unsafe):
                tasks.append(task(course, name, student, submission, unsafe=unsafe))
        tell(f"{name}: {len(submissions) + len(lines)} handed in, {len(tasks)} to grade")
        progress = Progress(len(tasks), tell)
        for student in submissions.keys() - {job.student for job in tasks}:
            lines += record(course, name, student, submissions[student])
        for job, good, text in grade_all(tasks):
            if good:
                store(result_path(course, name, job.student, job.submission), text)
                lines += record(course, name, job.student, job.submission, again=force)
            else:
                lines.append(Line(job.student, False, text))
            progress.step()
    return sorted(lines, key=lambda line: line.student)


def scan(course: Course, name: str) -> tuple[list[Line], dict[str, Submission]]:
    """What cannot be graded, each with its reason, and what can."""
    students, lines, submissions = course.students(), [], {}
    for folder in sorted(course.grading.glob(f"submitted/*/{name}")):
        student = folder.parent.name
        if student not in students:
            lines.append(Line(student, False, "not on the roster"))
            continue
        try:
            submissions[student] = read_file(folder / f"{name}.ipynb")
        except Malformed as error:
            lines.append(Line(student, False, str(error)))
    return lines, submissions


def record(course: Course, name: str, student: str, submission: Submission, *, again: bool = False) -> list[Line]:
    """Enter a stored result into the gradebook through nbgrader, unless just this result is there already."""
    result = stored(result_path(course, name, student, submission))
    says = "" if result.status == "ok" else result.status
    if again or not is_recorded(course, name, student, submission):
        with course.only_the_notebook(name), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's queries; nothing an instructor could do about them
            done = course.api.autograde(name, student, force=True, create=False)
        if not done["success"]:
            return [Line(student, False, "nbgrader: " + reason(done))]
    return [Line(student, True, "; ".join(filter(None, (says, *submission.notes))))]


def is_recorded(course: Course, name: str, student: str, submission: Submission) -> bool:
    try:
        notebook = json.loads(course.notebook("autograded", name, student).read_bytes())
        with course.gradebook() as gradebook:
            gradebook.find_submission(name, student)
    except (OSError, ValueError, MissingEntry):
        return False
    return notebook["metadata"].get("posebook", {}).get("recorded") == tag(course, name, student, submission)


@contextmanager
def only_run(course: Course) -> Iterator[None]:
    """Hold the course's lock, which the system takes back when this process ends, however it ends."""
    with open(course.grading / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CourseError("another posebook grade is at work in this course") from None
        yield


def table(lines: list[Line], scores: dict[str, Score], students: dict[str, Student]) -> list[str]:
    """A line for each student who handed something in, then who did not, then what could not be graded."""
    good = {line.student: line for line in lines if line.good}
    width = max(map(len, [*students, "student"]))
    shown = [f"{'student':{width}}  points"]
    for student in sorted(good.keys() & scores.keys()):
        score = scores[student]
        notes = [f"{duration(score.late)} late, {score.penalty:g} points off"] if score.late else []
        notes += ["waits for you in formgrader"] if score.by_hand else []
        notes += [good[student].says] if good[student].says else []
        shown.append(f"{student:{width}}  {score.points:g} of {score.most:g}  {'; '.join(notes)}".rstrip())
    nothing = sorted(students.keys() - {line.student for line in lines})
    shown += [f"handed in nothing: {', '.join(nothing)}"] if nothing else []
    before = "; the grade of what was handed in before stands"
    return shown + [f"NOT GRADED {line.student}: {line.says}{before if line.student in scores else ''}"
                    for line in lines if not line.good]


class Progress:
    """Says how many are done and how long the rest will take: at most every two seconds, and at the end."""

    def __init__(self, total: int, tell: Callable[[str], None]) -> None:
        self.total, self.tell, self.done = total, tell, 0
        self.start = self.told = time.monotonic()

    def step(self) -> None:
        self.done += 1
        now = time.monotonic()
        if self.done == self.total or now - self.told >= 2:
            self.told = now
            left = (now - self.start) / self.done * (self.total - self.done)
            self.tell(f"{self.done} of {self.total} graded" + (f", about {duration(left)} left" if left else ""))


def duration(seconds: float) -> str:
    """
    >>> duration(42), duration(150), duration(7200), duration(200_000)
    ('42 s', '2 min', '2 h', '56 h')
    """
    unit, size = ("s", 1) if seconds < 100 else ("min", 60) if seconds < 6000 else ("h", 3600)
    return f"{seconds / size:.0f} {unit}"
