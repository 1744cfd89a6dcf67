"""An instructor's commands, which make a course, hand out, collect, grade and give back: INSTRUCTORS.md walks through
them.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction) -> None:
    add_course(commands)
    add_release(commands)
    add_collect(commands)
    add_grade(commands)
    add_feedback(commands)
    add_export(commands)
    add_report(commands)


def add(parent: argparse._SubParsersAction, name: str, run: Callable, help: str, example: str):
    """A command whose help ends in an example."""
    command = parent.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".",
                                epilog=f"example: {example}")
    command.set_defaults(run=run)
    return command


def instructors(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """What an instructor can put right ends in one line on stderr, and in 1; a bug ends in a traceback."""

    @functools.wraps(command)
    def run(options: argparse.Namespace) -> int:
        name = command.__name__.replace("_", " ")
        try:
            from posebook.grading.course import CourseError
        except ImportError as error:
            print(f"posebook {name}: {error.name} is missing: pip install 'posebook[instructor]'", file=sys.stderr)
            return 1
        try:
            return command(options)
        except CourseError as error:
            print(f"posebook {name}: {error}", file=sys.stderr)
            return 1

    return run


def show(lines: Iterable) -> int:
    """Print each :class:`posebook.grading.course.Line` as it comes; 0 if all are good."""
    good = True
    for line in lines:
        print(line, flush=True)
        good &= line.good
    return 0 if good else 1


# ---------------------------------------------------------------------------------------------------------------------
# posebook course init


def add_course(commands: argparse._SubParsersAction) -> None:
    courses = commands.add_parser("course", help="make an instructor's course").add_subparsers(
        required=True, metavar="command")
    command = add(courses, "init", course_init, "make a course in a folder; what is there stays",
                  "posebook course init pose-2026 --roster roster.csv")
    command.add_argument("folder", type=Path)
    command.add_argument("--roster", type=Path, help="CSV with the columns id, first_name, last_name, email")
    command.add_argument("--db", default="", help="gradebook, as SQLAlchemy's URL (a file in grading/)")


@instructors
def course_init(options: argparse.Namespace) -> int:
    from posebook.grading import steps

    print(*steps.init(options.folder, roster=options.roster, db=options.db), sep="\n")
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# posebook release


def add_release(commands: argparse._SubParsersAction) -> None:
    command = add(commands, "release", release, "write exercises/SET, without solutions",
                  'posebook release decoding --due "2026-11-30 23:59"')
    command.add_argument("set")
    command.add_argument("--due", type=moment, help="when it has to be handed in; local time unless it says a zone")


def moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f'want a date such as "2026-11-30 23:59", got {text}') from None


@instructors
def release(options: argparse.Namespace) -> int:
    from posebook.grading import steps
    from posebook.grading.course import Course

    print(*steps.release(Course.open(), options.set, due=options.due), sep="\n")
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# posebook collect


def add_collect(commands: argparse._SubParsersAction) -> None:
    command = add(commands, "collect", collect, "sort what a learning platform let you download, or the exchange",
                  "posebook collect decoding ~/Downloads/submissions.zip")
    command.add_argument("set")
    command.add_argument("paths", nargs="*", type=Path, metavar="path",
                         help="archives, folders or notebooks; without any: nbgrader's exchange")
    command.add_argument("--submitted-at", type=moment, help="when they were handed in, where no name says so")
    command.add_argument("--on-time", action="store_true", help="in time, unless a name or LATE says otherwise")


@instructors
def collect(options: argparse.Namespace) -> int:
    from posebook.grading import collect as collecting
    from posebook.grading.course import Course

    course = Course.open()
    dates = {"submitted_at": options.submitted_at, "on_time": options.on_time}
    lines = (collecting.collect(course, options.set, options.paths, **dates) if options.paths
             else collecting.exchange(course, options.set))
    status = show(lines)
    print(collecting.count(lines))
    return status


# ---------------------------------------------------------------------------------------------------------------------
# posebook grade


def add_grade(commands: argparse._SubParsersAction) -> None:
    command = add(commands, "grade", grade, "grade what was handed in of a set, or one notebook without any course",
                  "posebook grade decoding -j 4; posebook grade decoding.ipynb")
    command.add_argument("what", metavar="SET|FILE.ipynb")
    command.add_argument("-j", "--jobs", type=count, default=0, help="how many at a time (one for each processor)")
    add_student(command)
    command.add_argument("--force", action="store_true", help="grade anew what is graded already")
    command.add_argument("--unsafe", action="store_true", help="run answers without a sandbox; every result says so")
    command.add_argument("--dask", metavar="ADDRESS", help="grade on the workers of this dask scheduler")
    command.add_argument("--db", default="", help="another gradebook than the course's, as SQLAlchemy's URL")


def add_student(command: argparse.ArgumentParser) -> None:
    command.add_argument("--student", action="append", default=[], metavar="ID", help="this student; may come again")


def count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"want a number from 1 to 1000, got {text}")
    return int(text)


def grade(options: argparse.Namespace) -> int:
    if sys.platform != "linux":
        print("posebook grade: runs answers in a sandbox that only Linux has. On Windows use WSL, elsewhere a virtual "
              "machine with Linux.", file=sys.stderr)
        return 1
    from posebook.grading.sandbox import SandboxError

    try:
        return grade_file(Path(options.what), options) if options.what.endswith(".ipynb") else grade_set(options)
    except SandboxError as error:
        print(f"posebook grade: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on.", file=sys.stderr)
        return 130


def grade_file(path: Path, options: argparse.Namespace) -> int:
    """One notebook, without any course: what came of each problem that it has."""
    from posebook.checks import PROBLEMS
    from posebook.grading.grade import grade
    from posebook.grading.submission import Malformed, read_file

    try:
        submission = read_file(path)
    except Malformed as error:
        print(f"posebook grade: {path}: {error}", file=sys.stderr)
        return 1
    problems = [problem for name, problem in PROBLEMS.items() if name in submission.problems]
    if not problems:
        print(f"posebook grade: {path}: no cell of a problem of posebook's is in it", file=sys.stderr)
        return 1
    result = grade(submission, problems, secret=os.urandom(32), assignment=path.stem, student="", unsafe=options.unsafe)
    print(*result.reports, sep="\n\n")
    points = sum(report.score for report in result.reports)
    print(f"\n{points:.3g} of {sum(problem.points for problem in problems)} points; {result.status}", end="")
    print("", *result.notes, sep="\n  ")
    return 0


@instructors
def grade_set(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from posebook.grading import pool
    from posebook.grading.course import Course, CourseError
    from posebook.grading.run import run, table
    from posebook.grading.sandbox import probe

    course = Course.open(db=options.db)
    if options.dask:
        try:
            from posebook.grading import cluster
        except ImportError as error:
            raise CourseError(f"--dask: {error.name} is missing: pip install 'posebook[cluster]'") from None

        grade_all = functools.partial(cluster.grade_all, address=options.dask)
    else:
        if not options.unsafe:
            probe()
        grade_all = functools.partial(pool.grade_all, jobs=options.jobs or len(os.sched_getaffinity(0)))
    lines = run(course, options.what, grade_all=grade_all, only=options.student, force=options.force,
                unsafe=options.unsafe, progress=functools.partial(tqdm, desc=options.what, unit=" notebooks"))
    students = {id: who for id, who in course.students().items() if not options.student or id in options.student}
    print(*table(lines, course.scores(options.what), students), sep="\n")
    return 0 if all(line.good for line in lines) else 1


# ---------------------------------------------------------------------------------------------------------------------
# posebook feedback


def add_feedback(commands: argparse._SubParsersAction) -> None:
    command = add(commands, "feedback", feedback, "write a page for each student: what failed, and which mistake it is",
                  "posebook feedback decoding")
    command.add_argument("set")
    add_student(command)
    command.add_argument("--zip", type=Path, metavar="FILE", help="put all pages into an archive to upload, under the "
                         "names that Canvas or Moodle gave to what was handed in")


@instructors
def feedback(options: argparse.Namespace) -> int:
    from posebook.grading import steps
    from posebook.grading.course import Course

    course = Course.open()
    status = show(steps.feedback(course, options.set, options.student))
    if options.zip:
        print(f"{options.zip}: {len(steps.zip_pages(course, options.set, options.zip))} pages")
    return status


# ---------------------------------------------------------------------------------------------------------------------
# posebook export


def add_export(commands: argparse._SubParsersAction) -> None:
    command = add(commands, "export", export, "write the scores as a table, or as Canvas or Moodle reads them",
                  "posebook export decoding --format canvas --into ~/Downloads/gradebook.csv")
    command.add_argument("set")
    command.add_argument("--format", choices=("csv", "canvas", "moodle"), default="csv")
    command.add_argument("--into", type=Path, help="Canvas's gradebook or Moodle's grading worksheet, as downloaded: "
                         "the people in it get their scores; that file stays as it is")
    command.add_argument("--to", type=Path, help="the file to write (SET.csv, SET-canvas.csv, SET-moodle.csv)")


@instructors
def export(options: argparse.Namespace) -> int:
    from posebook.grading import export as exporting
    from posebook.grading.course import Course, CourseError

    to = options.to or Path(f"{options.set}.csv" if options.format == "csv" else f"{options.set}-{options.format}.csv")
    if options.into and options.format == "csv":
        raise CourseError("--into is for --format canvas or moodle")
    if options.into and to.resolve() == options.into.resolve():
        raise CourseError(f"--to: want another file than {to}, which is the platform's")
    status = show(exporting.export(Course.open(), options.set, format=options.format, into=options.into, to=to))
    print(f"written: {to}")
    return status


# ---------------------------------------------------------------------------------------------------------------------
# posebook report


def add_report(commands: argparse._SubParsersAction) -> None:
    command = add(commands, "report", report, "write a page on how a set went: points, mistakes, failures, likenesses",
                  "posebook report decoding")
    command.add_argument("set")


@instructors
def report(options: argparse.Namespace) -> int:
    from posebook.grading.course import Course
    from posebook.grading.report import write_report

    course = Course.open()
    print(write_report(course, options.set).relative_to(course.root))
    return 0
