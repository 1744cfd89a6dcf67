"""Grade every submission of a set, in several processes; can be killed at any moment and run again.

1. Read what lies in submitted/ (:func:`scan`): what cannot be graded is listed with its reason.
2. Keep the stored results that today's checks gave; everything else is graded, each notebook in a process of its own
   (:mod:`posebook.grading.pool`): its cells run in the sandbox, its functions are called from outside
   (:mod:`posebook.grading.grade`).
3. As soon as a result is there, store it in a file of its own, written whole (:mod:`posebook.grading.results`).
4. Record it: nbgrader's autograde builds the notebook that formgrader shows and enters its scores into the gradebook
   (:mod:`posebook.grading.record`). Only this process writes there.
5. List who has how many points, who handed in nothing, and what was not graded (:func:`table`).
"""

import fcntl
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cache

import nbgrader.api
from nbgrader.api import MissingEntry
from nbgrader.utils import temp_attrs
from sqlalchemy.exc import SAWarning

from posebook.grading.course import Course, CourseError, Line, Score, Student, reason
from posebook.grading.pool import Task
from posebook.grading.results import HandedIn, duration
from posebook.grading.roster import check_extensions
from posebook.grading.submission import Malformed, plain

Graded = Iterable[tuple[Task, bool, str]]


def run(course: Course, name: str, *, grade_all: Callable[[list[Task]], Graded], only: Collection[str] = (),
        force: bool = False, unsafe: bool = False,
        progress: Callable[..., Iterable] = lambda items, total: items) -> list[Line]:
    """Grade and record what was handed in and is not yet graded; one line for each folder in submitted/.

    Args:
        grade_all: :func:`posebook.grading.pool.grade_all` with its number of jobs, or one that does the same elsewhere.
        only: these students; none for all.
        force: grade anew what has a result.
        unsafe: without a sandbox.
        progress: passes on what is iterated over, such as ``tqdm``.
    """
    course.problems(name)
    course.scores(name)  # raises where the set was not released
    course.check_students(only)
    check_extensions(course)
    with only_run(course):
        lines, handed_in = scan(course, name, only)
        known = {student for student, its in handed_in.items() if not force and is_graded(its, unsafe)}
        tasks = [its.task(unsafe=unsafe) for student, its in handed_in.items() if student not in known]

        def results() -> Iterator[tuple[str, bool, str]]:
            yield from ((student, True, "") for student in sorted(known))
            yield from ((task.student, good, text) for task, good, text in grade_all(tasks))

        for student, good, text in progress(results(), total=len(handed_in)):
            if good and student not in known:
                handed_in[student].store(text)
            lines.append(record(handed_in[student], again=force) if good else Line(student, False, text))
    return sorted(lines, key=lambda line: line.name)


def scan(course: Course, name: str, only: Collection[str] = ()) -> tuple[list[Line], dict[str, HandedIn]]:
    """What cannot be graded, each with its reason, and what can, by student; ``only``: these students, none for all."""
    students, lines, handed_in = course.students(), [], {}
    for folder in sorted(course.grading.glob(f"submitted/*/{name}")):
        student = folder.parent.name
        if only and student not in only:
            continue
        if student not in students:
            lines.append(Line(student, False, "not on the roster"))
            continue
        try:
            handed_in[student] = HandedIn.read(course, name, student)
        except Malformed as error:
            lines.append(Line(student, False, str(error)))
    return lines, handed_in


def is_graded(its: HandedIn, unsafe: bool) -> bool:
    """Whether there is a result, and one from the sandbox, if there is to be one."""
    found = its.stored()
    return found is not None and (found.sandbox != "none" or unsafe)


def record(its: HandedIn, *, again: bool = False) -> Line:
    """Enter a stored result into the gradebook through nbgrader, unless just this result is there already."""
    if (result := its.stored()) is None:
        return Line(its.student, False, f"{its.set} has gained a problem meanwhile: posebook grade {its.set}")
    says = "" if result.status == "ok" else result.status
    if again or not is_recorded(its):
        with its.course.only_the_notebook(its.set), one_engine(), warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # nbgrader's queries; nothing an instructor could do about them
            done = its.course.api.autograde(its.set, its.student, force=True, create=False)
        if not done["success"]:
            return Line(its.student, False, "nbgrader: " + reason(done))
    return Line(its.student, True, "; ".join(filter(None, (says, *its.notes))))


@contextmanager
def one_engine() -> Iterator[None]:
    """Within it nbgrader opens the gradebook, a dozen times for a submission, with queries that are compiled once."""
    with temp_attrs(nbgrader.api, create_engine=_engine):
        yield


_engine = cache(nbgrader.api.create_engine)


def is_recorded(its: HandedIn) -> bool:
    """Whether nbgrader got to the end with just this result, and all is still there."""
    try:
        tag = its.mark.read_text()
        with its.course.gradebook() as gradebook:
            gradebook.find_submission(its.set, its.student)
    except (OSError, MissingEntry):
        return False
    return tag == its.tag() and its.course.notebook("autograded", its.set, its.student).is_file()


@contextmanager
def only_run(course: Course) -> Iterator[None]:
    """Hold the course's lock, which the system takes back when this process ends, however it ends."""
    with open(course.grading / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CourseError("another posebook grade is at work in this course") from None
        for draft in course.grading.glob("results/*/*/.draft-*"):  # of a run that was killed as it wrote
            draft.unlink()
        yield


def table(lines: list[Line], scores: dict[str, Score], students: dict[str, Student]) -> list[str]:
    """A line for each student who handed something in, then who did not, then what could not be graded."""
    good = {line.name: line for line in lines if line.good}
    width = max(map(len, [*students, "student"]))
    shown = [f"{'student':{width}}  points"]
    for student in sorted(good.keys() & scores.keys()):
        score = scores[student]
        notes = [f"{duration(score.late)} late, {score.penalty:g} points off"] if score.late else []
        notes += ["waits for you in formgrader"] if score.by_hand else []
        notes += [good[student].says] if good[student].says else []
        shown.append(f"{student:{width}}  {round(score.points, 2):g} of {score.most:g}  {'; '.join(notes)}".rstrip())
    nothing = sorted(students.keys() - {line.name for line in lines})
    shown += [f"handed in nothing: {', '.join(nothing)}"] if nothing else []
    before = "; the grade of what was handed in before stands"
    shown += [f"NOT GRADED {plain(line.name)}: {plain(line.says, 1000)}{before if line.name in scores else ''}"
              for line in lines if not line.good]
    late = sum(scores[student].late > 0 for student in good.keys() & scores.keys())
    return [*shown, f"{len(good)} graded, {late} of them late; {len(lines) - len(good)} not graded; "
                    f"{len(nothing)} handed in nothing"]
