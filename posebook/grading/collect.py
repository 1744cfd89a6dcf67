"""Collect what a learning platform let you download: archives, folders and notebooks, into grading/submitted/.

nbgrader's zip_collect unpacks archives as they are, bombs and all, and believes a time that a student's own archive
claims. Here nothing is unpacked to disk but one notebook for each student, read up to a limit.
"""

import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
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
MOODLE = re.compile(r"(?P<name>[^_]+)_\d+_assignsubmission_")  # Jane Doe_90210_assignsubmission_file/
NAME_FILE = "name.txt"  # beside what was handed in: the name that the platform gave it
FILE = "the file's date"
ON_TIME = "counts as ON TIME"
OTHER = "not a notebook"
WAY_ON = "give it the name <id>_{}.ipynb (for a team: one copy for each of its members)"


class Refused(ValueError):
    """A file that is not collected; the text says why."""


@dataclass(frozen=True)
class File:
    """Something that may be a submission: where it lay, its date, and its bytes when asked."""

    name: str  # with / between folders, its accents composed
    date: datetime
    clock: str  # whose word the date is
    read: Callable[[], bytes]


@dataclass(frozen=True, order=True)
class Claim:
    """A student's file; of several the greatest counts: named after the set, and of these the newest."""

    named: bool
    when: datetime
    date: datetime
    file: File = field(compare=False)
    says: str = field(compare=False)  # who says when


@dataclass(frozen=True)
class Dates:
    """What the instructor knows of dates where a file's name says nothing.

    Args:
        submitted_at: when all of them were handed in.
        on_time: they were handed in in time, whatever their dates.
        due: a file that only its own date calls late counts as handed in then: unpacking gives files a new date.
    """

    submitted_at: datetime | None = None
    on_time: bool = False
    due: datetime | None = None

    def of(self, file: File, late: bool) -> tuple[datetime, str]:
        """When a file whose name has no stamp was handed in, and who says so; ``late``: Canvas does."""
        if self.submitted_at:
            return self.submitted_at, "--submitted-at"
        says = file.clock + (", late says Canvas" if late else "")
        if late and self.due and file.date <= self.due:
            return self.due + timedelta(seconds=1), "Canvas, which says late, but not how late"
        if late or self.due is None or file.date <= self.due or not (self.on_time or file.clock == FILE):
            return file.date, says
        if self.on_time:
            return self.due, "--on-time"
        return self.due, (f"nobody, so it {ON_TIME}: {file.date.astimezone(UTC):%Y-%m-%d %H:%M} UTC, the file's date, "
                          "may be that of unpacking; if you know better, --submitted-at")


def collect(course: Course, name: str, paths: list[Path], *, submitted_at: datetime | None = None,
            on_time: bool = False) -> list[Line]:
    """Lay out submitted/<student>/<set>/<set>.ipynb with its timestamp.txt.

    Running it again changes nothing; an older file never replaces a newer one.
    """
    course.problems(name)
    dates = Dates(submitted_at, on_time, course.due(name))
    students = list(course.students().values())
    lines: list[Line] = []
    best: dict[str, Claim] = {}
    for file in files(paths, lines):
        try:
            student, after = owner(file.name, students, WAY_ON.format(name))
        except Refused as error:
            lines.append(Line(file.name, False, str(error)))
            continue
        when, says = stamp(after) or dates.of(file, late=after == "LATE_")
        own = PurePosixPath(file.name).name if after in ("", "LATE_") else after
        claim = Claim(name.lower() in own.lower(), when, file.date, file, says)
        worse, best[student] = sorted((best.get(student, claim), claim))
        if worse is not best[student]:
            other = best[student]
            why = "newer" if worse.named == other.named else "named after the set"
            lines.append(Line(worse.file.name, True, f"{student}: there is one that is {why}, {other.file.name}"))
    for number, line in enumerate(lines):  # a text or a picture may lie beside a notebook
        with suppress(Refused):
            if line.says == OTHER and owner(line.name, students, "")[0] in best:
                lines[number] = replace(line, good=True, says=f"left out: {OTHER}")
    for student, claim in sorted(best.items()):
        try:
            lines.append(Line(claim.file.name, True, f"{student}: {place(course, name, student, claim)}"))
        except Refused as error:
            lines.append(Line(claim.file.name, False, f"{student}: {error}"))
    return lines


def count(lines: list[Line]) -> str:
    """How many of each kind, in one line."""
    failed, guessed = sum(not line.good for line in lines), sum(ON_TIME in line.says for line in lines)
    return f"{len(lines)} files: {len(lines) - failed} ok, {failed} FAILED" + (
        f"; of {guessed} nobody says when: ON TIME" if guessed else "")


def place(course: Course, name: str, student: str, claim: Claim) -> str:
    """Write one student's submission; says what was done."""
    data = notebook(claim.file, name)
    target = course.notebook("submitted", name, student)
    stamp = target.with_name("timestamp.txt")
    when = f"{claim.when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    says = f"{when} by {claim.says}"
    before = course.coursedir.get_existing_timestamp(str(target.parent))
    if target.exists() and before:
        if before > claim.when.astimezone(UTC).replace(tzinfo=None, microsecond=0):
            return f"left alone: what is there is newer, {before:%Y-%m-%d %H:%M:%S} UTC"
        if target.read_bytes() == data and stamp.read_text().strip() == when:
            return f"there already, {says}"
    write(target.with_name(NAME_FILE), claim.file.name.encode(), mode=0o600)
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
    name = spell(name)
    if hidden(name) or path.name == "timestamp.txt":
        return
    if path.is_symlink() or not path.is_file():
        lines.append(Line(name, False, "a link, not a file" if path.is_symlink() else "there is no such file"))
    elif not handed_in(name):
        lines.append(Line(name, False, OTHER))
    else:
        when = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
        yield File(name, when, FILE, lambda: _read(path.open("rb"), name))


def _in_archive(path: Path, lines: list[Line]) -> Iterator[File]:
    """The platform's archive; it stays open for as long as the files are asked for."""
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        lines.append(Line(path.name, False, f"not an archive that can be read: {error}"))
        return
    for member in archive.infolist():
        name = member_name(member)
        if name.endswith("/") or hidden(name):
            continue
        try:
            check_member(member)
        except Refused as error:
            lines.append(Line(name, False, str(error)))
            continue
        if PurePosixPath(name).name == "timestamp.txt":
            lines.append(Line(name, True, "left out: a file's own claim of its time does not count"))
        elif not handed_in(name):
            lines.append(Line(name, False, OTHER))
        else:
            yield File(name, _date(member), "the archive's date", lambda member=member: _extract(archive, member))


def spell(name: str) -> str:
    """A name as everybody else spells it: / between folders, and letters with their accents, which a Mac takes apart.

    >>> spell("jdoe\\\\Zoe\u0308.ipynb") == "jdoe/Zo\u00eb.ipynb"
    True
    """
    return unicodedata.normalize("NFC", name.replace("\\", "/"))


def member_name(member: zipfile.ZipInfo) -> str:
    """Its name in the archive. Some programs write UTF-8 there without saying so, and zipfile reads an old code."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode()
    return spell(name)


def handed_in(name: str) -> bool:
    return name.lower().endswith((".ipynb", ".zip"))


def hidden(name: str) -> bool:
    """What systems and editors leave behind."""
    return any(part.startswith(".") and part != ".." or part == "__MACOSX" for part in PurePosixPath(name).parts)


def check_member(member: zipfile.ZipInfo) -> None:
    """Refuse what no platform packs."""
    path = PurePosixPath(member_name(member))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", str(path)):
        raise Refused("its path leads out of the archive")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise Refused("a link, not a file")
    if member.flag_bits & 1:
        raise Refused("it is encrypted")


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        return _read(archive.open(member), member_name(member))
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
    found = {member_name(member): member for member in archive.infolist()}
    found = {inside: member for inside, member in found.items()
             if inside.lower().endswith(".ipynb") and not hidden(inside)}
    named = [inside for inside in found if PurePosixPath(inside).name.lower().startswith(name.lower())]
    if len(named or found) != 1:
        inside = ", ".join(list(found)[:4]) or "none"
        raise Refused(f"want one notebook {name}.ipynb in the archive; it holds {inside}")
    member = found[(named or list(found))[0]]
    check_member(member)
    return _extract(archive, member)


# ---------------------------------------------------------------------------------------------------------------------
# Whose, and when


def owner(name: str, students: list[Student], way_on: str) -> tuple[str, str]:
    """The id of the student whose file this is, and what the platform wrote after it.

    The outermost folder that says so decides: a folder by its whole name, an id, or by Canvas's or Moodle's; the file
    also by an id that its name begins with. What is within that folder has been named by the student.

    Raises:
        Refused: nobody of the roster, several, or two clues that disagree; ``way_on`` is what to do about it.
    """
    *folders, last = PurePosixPath(name).parts
    for part in folders:
        clues = [student.id for student in students if student.id.lower() == part.lower()]
        if clues or CANVAS.match(part) or MOODLE.match(part):
            return (clues[0], "") if clues else _platform(part, students, [], way_on)
    stem = PurePosixPath(last).stem
    fitting = [student.id for student in students if f"{stem.lower()}_".startswith(f"{student.id.lower()}_")]
    clues = [max(fitting, key=len)] if fitting else []
    if CANVAS.match(stem) or MOODLE.match(stem):
        return _platform(stem, students, clues, way_on)
    if not clues:
        raise Refused(f"no student of the roster fits this name: {way_on}")
    return clues[0], stem[len(clues[0]):]


def _platform(part: str, students: list[Student], ids: list[str], way_on: str) -> tuple[str, str]:
    """As :func:`owner`, by Canvas's or Moodle's pattern; ``ids`` is the id, if any, that the name begins with.

    Canvas numbers people, Moodle numbers what is handed in, so only Canvas's number is a clue.
    """
    canvas = CANVAS.match(part)
    found = canvas or MOODLE.match(part)
    name, number = found["name"], canvas["user"] if canvas else ""
    after = part[len(ids[0]):] if ids else ""
    if canvas and canvas["late"] and not stamp(after):
        after = canvas["late"]
    called = [s.id for s in students
              if squeeze(name) in (squeeze(s.last_name + s.first_name), squeeze(s.first_name + s.last_name))]
    numbered = [s.id for s in students if number and s.lms_user_id == number]
    named = ids or called
    if named and numbered and not set(named) & set(numbered):
        raise Refused(f"the name says {' or '.join(named)}, the number {number} says {numbered[0]}: {way_on}")
    agreed = [student for student in named if student in numbered] or named or numbered
    other = {s.id: s.lms_user_id for s in students}
    if not agreed:
        raise Refused(f"no student of the roster is called {name}" + f" or has the number {number}" * bool(number)
                      + f": {way_on}")
    if len(agreed) > 1:
        column = " add the column lms_user_id to the roster, or" * bool(canvas)
        raise Refused(f"{', '.join(agreed)} are all called {name}:{column} {way_on}")
    if canvas and not ids and not numbered and other[agreed[0]]:
        raise Refused(f"the name says {agreed[0]}, whose number is {other[agreed[0]]}, not {number}: {way_on}")
    return agreed[0], after


def squeeze(name: str) -> str:
    """A name as Canvas writes it: its letters and digits alone, small.

    >>> squeeze("O'Neil-Smith, Zoë")
    'oneilsmithzoë'
    """
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())


def stamp(after_id: str) -> tuple[datetime, str] | None:
    """When a file was handed in, by an ISO stamp right after the student's id, and that its name says so."""
    if found := STAMP.match(after_id):
        *numbers, zone = found.groups()
        try:
            when = datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*numbers) + (zone or ""))
            return (when if zone else when.astimezone()), "its name"
        except ValueError:
            pass  # a month 13
    return None


def _date(member: zipfile.ZipInfo) -> datetime:
    try:
        return datetime(*member.date_time).astimezone()
    except (ValueError, OverflowError):
        return datetime(1980, 1, 1, tzinfo=UTC)
