"""The command line: ``posebook lab`` opens the course, ``posebook doctor`` says whether it can run; the other commands
are an instructor's.

Everything heavy is imported where it is used, so that ``posebook --help`` answers at once.
"""

import argparse
import functools
import importlib.metadata
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

WORK = Path("work")
OFFLINE = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
REINSTALL = "make venv, or python -m pip install -c constraints.txt -e ."


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="posebook", description="A course on keypoint detection and pose estimation.")
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("lab", help="copy what is missing into work/ and open JupyterLab there")
    command.add_argument("--port", type=port, default=8888, help="the first port to try (8888)")
    command.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    command.set_defaults(run=lab)

    command = commands.add_parser("doctor", help="say whether the course can run here, and what would help")
    command.set_defaults(run=doctor)

    instructor(commands)
    options = parser.parse_args(argv)
    return options.run(options)


def port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"want a number from 1 to 65535, got {text}")
    return int(text)


def instructor(commands: argparse._SubParsersAction) -> None:
    """The commands that hand out, collect, grade and give back: INSTRUCTORS.md walks through them."""

    def add(parent: argparse._SubParsersAction, name: str, run: Callable, help: str, example: str):
        command = parent.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".",
                                    epilog=f"example: {example}")
        command.set_defaults(run=run)
        return command

    courses = commands.add_parser("course", help="make an instructor's course").add_subparsers(
        required=True, metavar="command")
    command = add(courses, "init", course_init, "make a course in a folder; what is there stays",
                  "posebook course init pose-2026 --roster roster.csv")
    command.add_argument("folder", type=Path)
    command.add_argument("--roster", type=Path, help="CSV with the columns id, first_name, last_name, email")
    command.add_argument("--db", default="", help="gradebook, as SQLAlchemy's URL (a file in grading/)")

    command = add(commands, "release", release, "write exercises/SET, without solutions",
                  'posebook release decoding --due "2026-11-30 23:59"')
    command.add_argument("set")
    command.add_argument("--due", type=moment, help="when it has to be handed in; local time unless it says a zone")

    command = add(commands, "collect", collect, "sort what a learning platform let you download, or the exchange",
                  "posebook collect decoding ~/Downloads/submissions.zip")
    command.add_argument("set")
    command.add_argument("paths", nargs="*", type=Path, metavar="path",
                         help="archives, folders or notebooks; without any: nbgrader's exchange")

    command = add(commands, "grade", grade, "grade what was handed in of a set, or one notebook without any course",
                  "posebook grade decoding -j 4; posebook grade decoding.ipynb")
    command.add_argument("what", metavar="SET|FILE.ipynb")
    command.add_argument("-j", "--jobs", type=count, default=0, help="how many at a time (one for each processor)")
    command.add_argument("--force", action="store_true", help="grade anew what is graded already")
    command.add_argument("--unsafe", action="store_true", help="run answers without a sandbox; every result says so")
    command.add_argument("--db", default="", help="another gradebook than the course's, as SQLAlchemy's URL")

    command = add(commands, "feedback", feedback, "write a page for each student: what failed, and which mistake it is",
                  "posebook feedback decoding")
    command.add_argument("set")


def count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"want a number from 1 to 1000, got {text}")
    return int(text)


def moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f'want a date such as "2026-11-30 23:59", got {text}') from None


# posebook lab


def lab(options: argparse.Namespace) -> int:
    chapters = course_chapters()
    if not chapters:
        print(f"posebook lab: want the course's folder, which has chapters/; got {Path.cwd()}", file=sys.stderr)
        return 1
    try:
        copied = copy_missing()
    except OSError as error:
        print(f"posebook lab: want a folder work/ to write to; got: {error}", file=sys.stderr)
        return 1
    print(f"{copied} files copied into work/, where your own notebooks are. Ctrl-C ends JupyterLab.", flush=True)
    arguments = [f"--ServerApp.root_dir={WORK}", f"--LabApp.default_url=/lab/tree/{chapters[0]}", *OFFLINE]
    arguments += [f"--port={options.port}", "--log-level=ERROR", "-y"]  # -y: Ctrl-C asks nothing
    if options.no_browser:
        arguments.append("--no-browser")
    if getattr(os, "geteuid", lambda: 1)() == 0:
        arguments.append("--allow-root")  # in a container
    from jupyterlab.labapp import main as jupyterlab

    # Without a terminal JupyterLab leaves SIGINT to Python, and may then hang; SIGTERM ends it in every case.
    signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    jupyterlab(arguments)
    return 0


def course_chapters() -> list[str]:
    return sorted(path.as_posix() for path in Path("chapters").glob("*.ipynb"))


def copy_missing() -> int:
    """Copy every file of chapters/ and exercises/ that work/ lacks; return how many."""
    WORK.mkdir(exist_ok=True)
    sources = [path for folder in ("chapters", "exercises") for path in Path(folder).rglob("*") if path.is_file()]
    missing = [path for path in sources if ".ipynb_checkpoints" not in path.parts and not os.path.lexists(WORK / path)]
    with tempfile.TemporaryDirectory(prefix=".copying-", dir=WORK) as drafts:
        for path in missing:
            copy_new(path, WORK / path, draft=Path(drafts, "draft"))
    return len(missing)


def copy_new(source: Path, target: Path, *, draft: Path) -> None:
    """``target`` appears whole or not at all; where something has appeared there meanwhile, that stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, draft)
    try:
        os.link(draft, target)
    except FileExistsError:
        pass
    except OSError:  # a disk without hard links
        draft.rename(target)
    draft.unlink(missing_ok=True)


# posebook doctor


class Finding(NamedTuple):
    good: bool
    text: str
    remedy: str
    needed: bool = True


def doctor(options: argparse.Namespace) -> int:
    findings = [*packages(), device(), widgets(), notebooks(), writing()]
    findings.append(program("chromium", command="chromium", use="the tests that drive JupyterLab's page"))
    findings.append(program("bubblewrap", command="bwrap", use="grading in a sandbox"))
    for good, text, remedy, needed in findings:
        print("ok     " + text if good else f"{'FAIL' if needed else 'note':6} {text}: {remedy}")
    can_run = all(found.good or not found.needed for found in findings)
    print("The course can run here." if can_run else "The course cannot run here: mend each FAIL and ask again.")
    return 0 if can_run else 1


def packages() -> Iterator[Finding]:
    """Python and each package that students need, against the minimum that posebook's metadata names."""
    try:
        metadata = importlib.metadata.metadata("posebook")
    except importlib.metadata.PackageNotFoundError:
        yield Finding(False, "posebook is not installed", REINSTALL)
        return
    python = ".".join(map(str, sys.version_info[:3]))
    yield compare("Python", python, metadata["Requires-Python"], remedy="install it, then make PYTHON=python3.11 lab")
    for line in metadata.get_all("Requires-Dist", []):
        name, minimum = re.fullmatch(r"([\w.-]+)(.*)", line.partition(";")[0].strip()).groups()
        if "extra ==" not in line:
            yield compare(name, installed(name), minimum, remedy=REINSTALL)


def installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def compare(name: str, version: str, minimum: str, *, remedy: str) -> Finding:
    """``minimum`` is like ">=3.11": posebook states lower bounds only."""
    numbers, least = ([int(n) for n in re.findall(r"\d+", text)] for text in (version, minimum))
    good = numbers >= least
    return Finding(good, f"{name} {version}" + ("" if good else f", want {minimum}"), remedy)


def device() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken build fails in many ways
        return Finding(False, f"torch does not start ({error})", REINSTALL)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        name = "mps"
    return Finding(True, f"torch computes on {name}", "")


def widgets() -> Finding:
    try:
        import ipywidgets  # noqa: F401
        from jupyter_core.paths import jupyter_path
    except Exception as error:
        return Finding(False, f"ipywidgets does not start ({error})", REINSTALL)
    folders = jupyter_path("labextensions", "@jupyter-widgets", "jupyterlab-manager")
    found = any(Path(folder).is_dir() for folder in folders)
    text = "widgets render in JupyterLab" if found else "JupyterLab lacks its widgets' extension"
    return Finding(found, text, "python -m pip install --force-reinstall jupyterlab_widgets")


def notebooks() -> Finding:
    count = len(course_chapters())
    text = f"notebooks in {Path('chapters').absolute()}: {count}"
    return Finding(count > 0, text, "cd to the course's folder")


def writing() -> Finding:
    folder = WORK if WORK.exists() else Path(".")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        text = f"{folder.absolute()} cannot be written to ({error.strerror})"
        return Finding(False, text, "change its owner or rights, or move the course")
    return Finding(True, f"{folder.absolute()} can be written to", "")


def program(name: str, *, command: str, use: str) -> Finding:
    found = shutil.which(command)
    text = f"{name}, for {use}" if found else f"no {name}, only for {use}"
    return Finding(bool(found), text, f"apt install {name}", needed=False)


# posebook course, release, collect, grade, feedback


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


@instructors
def course_init(options: argparse.Namespace) -> int:
    from posebook.grading import course

    print(*course.init(options.folder, roster=options.roster, db=options.db), sep="\n")
    return 0


@instructors
def release(options: argparse.Namespace) -> int:
    from posebook.grading import course

    print(*course.release(course.Course.open(), options.set, due=options.due), sep="\n")
    return 0


@instructors
def collect(options: argparse.Namespace) -> int:
    from posebook.grading.collect import collect, exchange
    from posebook.grading.course import Course

    course = Course.open()
    lines = collect(course, options.set, options.paths) if options.paths else exchange(course, options.set)
    for line in lines:
        print(f"{'ok    ' if line.good else 'FAILED'} {line.file}: {line.says}")
    return 0 if all(line.good for line in lines) else 1


@instructors
def feedback(options: argparse.Namespace) -> int:
    from posebook.grading import course

    lines = course.feedback(course.Course.open(), options.set)
    for line in lines:
        print(f"{'ok    ' if line.good else 'FAILED'} {line.student}: {line.says}")
    return 0 if all(line.good for line in lines) else 1


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
    names = {cell.grade_id.removeprefix("check-") for cell in submission.cells}
    problems = [problem for name, problem in PROBLEMS.items() if name in names]
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
    from posebook.grading.course import Course, scores
    from posebook.grading.pool import grade_all
    from posebook.grading.run import run, table
    from posebook.grading.sandbox import probe

    course = Course.open(db=options.db)
    if not options.unsafe:
        probe()
    jobs = options.jobs or len(os.sched_getaffinity(0))
    lines = run(course, options.what, grade_all=functools.partial(grade_all, jobs=jobs), force=options.force,
                unsafe=options.unsafe, tell=functools.partial(print, flush=True))
    print(*table(lines, scores(course, options.what), course.students()), sep="\n")
    return 0 if all(line.good for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
