"""The course's notebooks, and the student's copies of them in work/: filled, renewed, put back; what a student wrote
stays.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from posebook import _journal
from posebook._files import write, write_new

WORK = Path("work")
COPIED = WORK / _journal.COPIED
PACKED = Path(__file__).parents[1] / "course"  # in a wheel


class CopyError(Exception):
    """What stands in the way, for the student to read."""


@contextmanager
def writing() -> Iterator[None]:
    """What the system refuses is for the student to read as well."""
    try:
        yield
    except OSError as error:
        raise CopyError(f"want a folder work/ to write to; got: {error}") from None


@dataclass
class Copied:
    """What became of the files of the course."""

    new: list[Path] = field(default_factory=list)  # were missing in work/
    renewed: list[Path] = field(default_factory=list)  # replaced, since the student had changed nothing
    kept: dict[Path, str] = field(default_factory=dict)  # changed by the student, newer in the course, which lies here


# ---------------------------------------------------------------------------------------------------------------------
# Filling work/


def course() -> Path:
    """The folder that has the course: the current one, else the installed package's."""
    here = Path.cwd()
    if work := next((up for up in (here, *here.parents) if (up / _journal.COPIED).exists()), None):
        raise CopyError(f"want the folder that work/ is in; got {here}: cd {work.parent}")
    for folder in (Path(), PACKED):
        if chapters(folder):
            return folder
    clone = PACKED.parents[1]
    there = f": cd {clone}" if chapters(clone) else ""
    raise CopyError(f"want the course's folder, which has chapters/; got {Path.cwd()}{there}")


def chapters(folder: Path) -> list[str]:
    """The chapters, in order, as they are named in the course's folder and in work/."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("chapters/*.ipynb"))


@writing()
def copy_course(folder: Path = Path(), *, beside: bool = False) -> Copied:
    """Copy what work/ lacks of the course, and what is newer there and was not changed in work/.

    Args:
        folder: the course's.
        beside: put what is newer there and was changed in work/ beside the student's, once, under a name of its own.
    """
    before, done = handed_out(), Copied()
    now = dict(before)
    for path, data in files(folder):
        name, new = path.as_posix(), written(data)
        was, given = before.get(name), f"{name}, beside"
        now[name] = new
        if not os.path.lexists(WORK / path):
            done.new += [path] if write_new(WORK / path, data) else []
        elif new != was and new != (mine := written((WORK / path).read_bytes())):
            if mine == was:
                write(WORK / path, data)
                done.renewed.append(path)
                continue
            now[name] = was or ""
            if new != before.get(given):
                done.kept[path] = put_beside(path, data, before.get(given)) if beside else ""
                now[given] = new if beside else before.get(given, "")
    write(COPIED, json.dumps(now, indent=1).encode())
    return done


def handed_out() -> dict[str, str]:
    """Of each file, what the student got; where that record is damaged everything counts as changed."""
    try:
        found = json.loads(COPIED.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The chapters and exercises with all that lies beside them, and what each file holds."""
    for path in sorted(path for part in ("chapters", "exercises") for path in (folder / part).rglob("*")):
        if path.is_file() and ".ipynb_checkpoints" not in path.parts:
            yield path.relative_to(folder), path.read_bytes()


def put_beside(path: Path, data: bytes, given: str | None) -> str:
    """Write the newer file into work/ beside the student's; returns its name. ``given``: what was put there before."""
    for k in count(1):
        beside = WORK / path.with_stem(f"{path.stem}-new" + (f"-{k}" if k > 1 else ""))
        if write_new(beside, data):
            return beside.name
        if written(beside.read_bytes()) in (given, written(data)):
            write(beside, data)
            return beside.name


def written(data: bytes) -> str:
    """Fingerprint of what someone wrote in a file: of a notebook the cells, not what came out when they ran."""
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(data)["cells"]]
    except (ValueError, LookupError, TypeError):  # another file
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# Putting a stub back


@writing()
def put_back(folder: Path, name: str) -> tuple[Path, Path | None]:
    """Bring a problem's stub back in work/; returns the notebook, and the file that keeps the answer, which is None
    where there was no answer.
    """
    stubs = {each: (path, cell) for path in folder.glob("exercises/*/*.ipynb")
             for each, cell in answers(path, read(path)).items()}
    if name not in stubs:
        raise CopyError(f"problem: want one of {', '.join(sorted(stubs))}; got {name}")
    path, stub = stubs[name]
    mine = WORK / path.relative_to(folder)
    if not mine.exists():
        raise CopyError(f"want {mine}, which is not there: posebook update brings it")
    notebook = read(mine)
    cell = answers(mine, notebook).get(name)
    if cell is None:
        raise CopyError(f"want the cell of {name} in {mine}, which is gone: rename the file, and posebook update "
                        "brings a new one")
    if text(cell) == text(stub) and cell.get("cell_type") == "code":
        return mine, None
    kept = keep(mine, name, text(cell))
    cell["source"] = stub["source"]
    for each in (cell, *(each for each in notebook["cells"] if mark(each).get("grade_id") == f"check-{name}")):
        each.pop("attachments", None)  # of a cell that was turned into text by accident
        each |= {"cell_type": "code", "execution_count": None, "outputs": []}
    write(mine, (json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode())
    return mine, kept


def read(path: Path) -> dict:
    """A notebook, as JSON."""
    try:
        notebook = json.loads(path.read_bytes())
        if all(isinstance(text(cell), str) and isinstance(mark(cell), dict) for cell in notebook["cells"]):
            return notebook
    except (ValueError, LookupError, TypeError, AttributeError):
        pass
    raise CopyError(f"want a notebook; got {path}, which is damaged: rename it, and posebook update brings a new one")


def text(cell: dict) -> str:
    """What stands in a cell."""
    return "".join(cell["source"])


def mark(cell: dict) -> dict:
    """What nbgrader knows a cell by."""
    return cell["metadata"].get("nbgrader", {})


def answers(path: Path, notebook: dict) -> dict[str, dict]:
    """The cells for answers, by the problem's name."""
    found = {}
    for cell in notebook["cells"]:
        if mark(cell).get("solution"):
            name = mark(cell).get("grade_id")
            if name in found:
                raise CopyError(f"want one cell of {name} in {path}; got two: delete the copy")
            found[name] = cell
    return found


def keep(notebook: Path, name: str, answer: str) -> Path:
    """Write an answer into a file of its own, beside its notebook."""
    kept = (notebook.with_name(f"{name}-{k}.py") for k in count(1))
    return next(path for path in kept if write_new(path, answer.encode() + b"\n"))
