"""Reading a student's notebook file: every cell's text, or one plain sentence on why it cannot be read.

The file is untrusted. Nothing of it is run, and of everything in it only the cells' texts and nbgrader's marks go on.
"""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

MAX_BYTES = 16 * 2**20  # the released notebooks have less than 1 MB; pictures in outputs may add to that
MAX_CELLS = 2000
MAX_SOURCE = 2**20  # characters of all cells together
NESTING = 64  # a notebook's outputs nest some ten deep
CHECK = re.compile(r"""^\s*check\(\s*["'](\w+)["']""", re.MULTILINE)
PICTURES = ("image/png", "image/jpeg", "image/gif")


def plain(text: str, most: int = 200) -> str:
    """One line of somebody else's text, for a terminal: printable, and short."""
    line = "".join(c if c.isprintable() else " " for c in text[:4 * most])
    return line.strip()[:most]


class Malformed(ValueError):
    """The file is no notebook that can be graded; the text says why, for the student and the instructor."""


@dataclass(frozen=True)
class Cell:
    """One cell. ``grade_id`` and ``locked`` are what the file says, so a student may have changed them.

    ``pictures`` are those dropped into a text cell: (name, kind such as "image/png", base64 text).
    """

    kind: str  # "code" | "markdown"
    source: str
    grade_id: str = ""
    locked: bool = False
    pictures: tuple[tuple[str, str, str], ...] = ()

    @property
    def checks(self) -> str:
        """The name of the problem that this cell checks, or "". A cell without marks says so by its text.

        >>> Cell("code", 'check("fuse", fuse)').checks, Cell("code", "", "check-fuse").checks, Cell("code", "1").checks
        ('fuse', 'fuse', '')
        """
        if self.grade_id.startswith("check-"):
            return self.grade_id.removeprefix("check-")
        called = CHECK.search(self.source) if self.kind == "code" and not self.grade_id else None
        return called[1] if called else ""


@dataclass(frozen=True)
class Submission:
    """The cells in their order, and a hash of their texts that names what was handed in.

    ``notes`` says what was odd but could be read. Of two cells with one ``grade_id`` the last keeps it, as in
    nbgrader.
    """

    cells: tuple[Cell, ...]
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> set[str]:
        """The names that its cells have, those of the problems that they answer or check among them."""
        return {name for cell in self.cells for name in (cell.grade_id, cell.checks) if name}


def read(data: bytes) -> Submission:
    """The submission that a notebook file holds.

    Raises:
        Malformed: the bytes are no Jupyter notebook of format 4, or more than any student writes.

    >>> read(b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [').cells
    Traceback (most recent call last):
    posebook.grading.submission.Malformed: the file is cut off or is not JSON: Expecting value, line 1
    """
    notebook = _parse(data)
    if not isinstance(notebook, dict) or "nbformat" not in notebook:
        raise Malformed("the file is JSON, but not a Jupyter notebook")
    if type(notebook["nbformat"]) is not int or notebook["nbformat"] != 4:
        version = plain(str(notebook["nbformat"]), 20)
        raise Malformed(f"notebook format: want 4, got {version}; open it in JupyterLab and save it anew")
    if not isinstance(notebook.get("cells"), list):
        raise Malformed("the notebook has no list of cells")
    if not 0 < len(notebook["cells"]) <= MAX_CELLS:
        raise Malformed(f"the notebook has {len(notebook['cells'])} cells; want 1 to {MAX_CELLS}")
    cells, doubled = _unique(_cell(cell, number) for number, cell in enumerate(notebook["cells"], start=1))
    if sum(len(cell.source) for cell in cells) > MAX_SOURCE:
        raise Malformed(f"the cells hold more than {MAX_SOURCE} characters")
    notes = tuple(f"the cell `{plain(name)}` is there more than once; the last one counts" for name in doubled)
    return Submission(cells, _fingerprint(cells), notes)


def read_file(path: Path) -> Submission:
    """The submission in a file, which has to be a plain one: no link to somewhere else, no pipe.

    Raises:
        Malformed: as for :func:`read`, and for a file that is missing or not plain.
    """
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Malformed("the file is no plain file")
            _limit(status.st_size)
            return read(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        raise Malformed(f"there is no {path.name}") from None
    except OSError as error:
        plain = "the file is a link to another" if path.is_symlink() else f"the file cannot be read: {error.strerror}"
        raise Malformed(plain) from None


def _limit(size: int) -> None:
    if size > MAX_BYTES:
        raise Malformed(f"the file has {size / 2**20:.0f} MB, want {MAX_BYTES // 2**20} MB at most: "
                        "in JupyterLab, clear all outputs and save")


def _parse(data: bytes) -> object:
    _limit(len(data))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(f"the file is not UTF-8 text (byte {error.start})") from None
    if not text.strip("\0 \t\r\n"):
        raise Malformed("the file is empty")
    try:
        notebook = json.loads(text)
    except json.JSONDecodeError as error:
        raise Malformed(f"the file is cut off or is not JSON: {error.msg}, line {error.lineno}") from None
    except RecursionError:
        raise Malformed(f"the file nests deeper than {NESTING} levels") from None
    except ValueError:  # Python refuses to read integers of thousands of digits
        raise Malformed("the file holds a number of thousands of digits") from None
    if _deeper(notebook, NESTING):
        raise Malformed(f"the file nests deeper than {NESTING} levels")
    return notebook


def _deeper(value: object, levels: int) -> bool:
    """Whether lists and dictionaries nest deeper than this; goes no further down than that."""
    layer = [value]
    for _ in range(levels):
        layer = [item for outer in layer if isinstance(outer, (dict, list))
                 for item in (outer.values() if isinstance(outer, dict) else outer)]
    return bool(layer)


def _cell(cell: object, number: int) -> Cell:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise Malformed(f"cell {number} is no code, markdown or raw cell")
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise Malformed(f"cell {number} has no text")
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    marks = marks if isinstance(marks, dict) else {}
    grade_id = marks.get("grade_id") if isinstance(marks.get("grade_id"), str) else ""
    try:
        (source + grade_id).encode()
    except UnicodeEncodeError:
        raise Malformed(f"cell {number} holds half a character (a lone surrogate)") from None
    kind = "code" if cell["cell_type"] == "code" else "markdown"
    return Cell(kind, source, grade_id[:200], marks.get("locked") is True, tuple(_pictures(cell.get("attachments"))))


def _pictures(attachments: object) -> Iterator[tuple[str, str, str]]:
    for name, kinds in attachments.items() if isinstance(attachments, dict) else ():
        for kind in PICTURES:
            data = kinds.get(kind) if isinstance(kinds, dict) else None
            if isinstance(data, str) and re.fullmatch(r"[\w .-]+", name, re.ASCII):
                data = re.sub(r"\s", "", data)
                if re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", data):
                    yield name, kind, data


def _unique(cells: Iterator[Cell]) -> tuple[tuple[Cell, ...], list[str]]:
    """The cells, each ``grade_id`` left to the last that has it, and the ids that came more than once."""
    cells = list(cells)
    last = {cell.grade_id: place for place, cell in enumerate(cells)}
    doubled = [cell.grade_id for place, cell in enumerate(cells) if cell.grade_id and last[cell.grade_id] != place]
    kept = (cell if last[cell.grade_id] == place else replace(cell, grade_id="") for place, cell in enumerate(cells))
    return tuple(kept), list(dict.fromkeys(doubled))


def _fingerprint(cells: tuple[Cell, ...]) -> str:
    """Lengths come first, so that no text can pass for the next cell."""
    digest = hashlib.sha256()
    for cell in cells:
        pictures = "".join(map(str, cell.pictures))
        for text in (cell.kind, cell.grade_id, "locked" if cell.locked else "", cell.source, pictures):
            data = text.encode()
            digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()
