"""Collect what a learning platform let you download: archives, folders and notebooks, into grading/submitted/.

nbgrader's zip_collect unpacks archives as they are, bombs and all, and believes a time that a student's own archive
claims. Here nothing is unpacked to disk but one notebook for each student, read up to a limit.
"""

import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath

from posebook._files import write
from posebook.grading.course import Course, CourseError, Line, Student, reason
from posebook.grading.submission import MAX_BYTES

MAX_ARCHIVE = 4 * MAX_BYTES  # of an archive that a student handed in
MAX_MEMBERS = 1000  # in an archive that a student handed in
STAMP = re.compile(  # after the id: 2026-11-19T20-30-10Z and the like
    r"_(\d{4})-?(\d\d)-?(\d\d)[T_ -](\d\d)[:.-]?(\d\d)[:.-]?(\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?(?![0-9A-Za-z])"
)
CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<user>\d+)_\d+_")  # doejane_LATE_4711_90210_decoding-1.ipynb
MOODLE = re.compile(r"(?P<name>[^_]+)_(?P<user>\d+)_assignsubmission_")  # Jane Doe_90210_assignsubmission_file/


class Refused(ValueError):
    """A file that is not collected; the text says why."""


@dataclass(frozen=True)
class File:
    """Something that may be a submission: where it lay, its date, whose word that is, and its bytes when asked."""

    name: str
    when: datetime
    clock: str
    read: Callable[[], bytes]


def collect(course: Course, name: str, paths: list[Path]) -> list[Line]:
    """Lay out submitted/<student>/<set>/<set>.ipynb with its timestamp.txt; of several submissions the newest.

    Running it again changes nothing; an older file never replaces a newer one.
    """
    course.problems(name)
    students = list(course.students().values())
    lines: list[Line] = []
    newest: dict[str, File] = {}
    for file in files(paths, lines):
        try:
            student, after_id = owner(file.name, students)
        except Refused as error:
            lines.append(Line(file.name, False, str(error)))
            continue
        when, says = clock(after_id, file.when, file.clock)
        file = replace(file, when=when, clock=says)
        older, newer = sorted((file, newest.get(student, file)), key=lambda found: found.when)
        newest[student] = newer
        if older is not newer:
            lines.append(Line(older.name, True, f"{student}: there is a newer one, {newer.name}"))
    for student, file in sorted(newest.items()):
        try:
            says = place(course, name, student, file)
        except Refused as error:
            lines.append(Line(file.name, False, f"{student}: {error}"))
        else:
            lines.append(Line(file.name, True, f"{student}: {says}"))
    return lines


def place(course: Course, name: str, student: str, file: File) -> str:
    """Write one student's submission; says what was done."""
    data = notebook(file, name)
    target = course.notebook("submitted", name, student)
    stamp = target.with_name("timestamp.txt")
    when = f"{file.when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    says = f"{when} by {file.clock}"
    before = course.coursedir.get_existing_timestamp(str(target.parent))
    if target.exists() and before:
        if before > file.when.astimezone(UTC).replace(tzinfo=None, microsecond=0):
            return f"left alone: what is there is newer, {before:%Y-%m-%d %H:%M:%S} UTC"
        if target.read_bytes() == data and stamp.read_text().strip() == when:
            return f"there already, {says}"
    write(target, data, mode=0o600)
    write(stamp, f"{when}\n".encode(), mode=0o600)
    return says


def exchange(course: Course, name: str) -> list[Line]:
    """Collect from nbgrader's exchange, by nbgrader itself; newer submissions take the place of older ones."""
    course.problems(name)
    result = course.api.collect(name, update=True)
    if not result["success"]:
        raise CourseError("nbgrader's exchange: " + reason(result))
    lines = [line for line in result.get("log", "").splitlines() if "ubmission" in line]
    return [Line("exchange", True, line.partition("] ")[2]) for line in lines]


# ---------------------------------------------------------------------------------------------------------------------
# What files there are


def files(paths: list[Path], lines: list[Line]) -> Iterator[File]:
    """Every notebook and every student's archive in the given archives and folders; the rest goes into ``lines``."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            for inner in sorted(path.rglob("*")):
                if inner.is_symlink() or not inner.is_dir():
                    yield from _on_disk(inner, inner.relative_to(path).as_posix(), lines)
        elif path.suffix.lower() == ".zip" and path.is_file():
            yield from _in_archive(path, lines)
        else:
            yield from _on_disk(path, path.name, lines)


def _on_disk(path: Path, name: str, lines: list[Line]) -> Iterator[File]:
    if hidden(name) or path.name == "timestamp.txt":
        return
    if path.is_symlink() or not path.is_file():
        lines.append(Line(name, False, "a link, not a file" if path.is_symlink() else "there is no such file"))
    elif not handed_in(name):
        lines.append(Line(name, False, "not a notebook"))
    else:
        when = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
        yield File(name, when, "the file's date", lambda: _read(path.open("rb"), name))


def _in_archive(path: Path, lines: list[Line]) -> Iterator[File]:
    """The platform's archive; it stays open for as long as the files are asked for."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        lines.append(Line(path.name, False, f"not an archive that can be read: {error}"))
        return
    for member in archive.infolist():
        if member.is_dir() or hidden(member.filename):
            continue
        try:
            check_member(member)
        except Refused as error:
            lines.append(Line(member.filename, False, str(error)))
            continue
        if PurePosixPath(member.filename).name == "timestamp.txt":
            lines.append(Line(member.filename, True, "left out: a file's own claim of its time does not count"))
        elif not handed_in(member.filename):
            lines.append(Line(member.filename, False, "not a notebook"))
        else:
            yield File(member.filename, _date(member), "the archive's date",
                       lambda member=member: _extract(archive, member))


def handed_in(name: str) -> bool:
    return name.lower().endswith((".ipynb", ".zip"))


def hidden(name: str) -> bool:
    """What systems and editors leave behind."""
    return any(part.startswith(".") and part != ".." or part == "__MACOSX" for part in PurePosixPath(name).parts)


def check_member(member: zipfile.ZipInfo) -> None:
    """Refuse what no platform packs."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", member.filename):
        raise Refused("its path leads out of the archive")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise Refused("a link, not a file")
    if member.flag_bits & 1:
        raise Refused("it is encrypted")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return _read(archive.open(member), member.filename)
    except Refused:
        raise
    except Exception as error:  # zipfile and its decompressors raise a dozen kinds
        raise Refused(f"the archive is damaged here ({type(error).__name__}: {error})") from None


def _read(file, name: str) -> bytes:
    """The bytes of a file, whatever size it claims to have."""
    most = MAX_BYTES if name.lower().endswith(".ipynb") else MAX_ARCHIVE
    with file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Refused(f"larger than {most // 2**20} MB")
    return data


def notebook(file: File, name: str) -> bytes:
    """The notebook itself, or the one inside a student's own archive."""
    data = file.read()
    if not file.name.lower().endswith(".zip"):
        return data
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except Exception as error:
        raise Refused(f"not an archive that can be read: {error}") from None
    if len(archive.infolist()) > MAX_MEMBERS:
        raise Refused(f"the archive holds more than {MAX_MEMBERS} files")
    found = [member for member in archive.infolist() if member.filename.lower().endswith(".ipynb")
             and not hidden(member.filename)]
    named = [member for member in found if PurePosixPath(member.filename).name.startswith(name)]
    if len(named or found) != 1:
        inside = ", ".join(member.filename for member in found[:4]) or "none"
        raise Refused(f"want one notebook {name}.ipynb in the archive; it holds {inside}")
    member, = named or found
    check_member(member)
    return _extract(archive, member)


# ---------------------------------------------------------------------------------------------------------------------
# Whose, and when


def owner(name: str, students: list[Student]) -> tuple[str, str]:
    """The id of the student whose file this is, and what the platform wrote after it.

    The outermost folder that says so decides, by an id, or by Canvas's or Moodle's names; what is within it, and what
    follows Canvas's numbers, has been named by the student.

    Raises:
        Refused: nobody, or several, of the roster.
    """
    ids = {student.id.lower(): student.id for student in students}
    *folders, last = PurePosixPath(name).parts
    for part in (*folders, PurePosixPath(last).stem):
        fitting = [known for known in ids if f"{part.lower()}_".startswith(f"{known}_")]
        if fitting:
            known = max(fitting, key=len)
            return ids[known], part[len(known):]
        if found := CANVAS.match(part) or MOODLE.match(part):
            return _by_name(found["name"], found["user"], students), found.groupdict().get("late") or ""
    raise Refused("no student of the roster fits this name")


def _by_name(name: str, user: str, students: list[Student]) -> str:
    by_number = [student.id for student in students if user in (student.lms_user_id, student.id)]
    if len(by_number) == 1:
        return by_number[0]
    squeezed = squeeze(name)
    fitting = [s.id for s in students
               if squeezed in (squeeze(s.last_name + s.first_name), squeeze(s.first_name + s.last_name))]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise Refused(f"no student of the roster is called {name} or has the number {user}")
    raise Refused(f"{', '.join(fitting)} are all called {name}: add the column lms_user_id to the roster")


def squeeze(name: str) -> str:
    """A name as Canvas writes it: its letters and digits alone, small.

    >>> squeeze("O'Neil-Smith, Zoë")
    'oneilsmithzoë'
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def clock(after_id: str, otherwise: datetime, says: str) -> tuple[datetime, str]:
    """When a file was handed in, and how that is known: an ISO stamp right after the student's id comes first."""
    if found := STAMP.match(after_id):
        *numbers, zone = found.groups()
        try:
            when = datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*numbers) + (zone or ""))
            return (when if zone else when.astimezone()), "its name"
        except ValueError:
            pass  # a month 13
    return otherwise, says + (", late says Canvas" if after_id == "LATE_" else "")


def _date(member: zipfile.ZipInfo) -> datetime:
    try:
        return datetime(*member.date_time).astimezone()
    except (ValueError, OverflowError):
        return datetime(1980, 1, 1, tzinfo=UTC)
