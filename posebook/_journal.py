"""What a learner did, one JSON object a line, in work/.progress.jsonl: on this machine alone, and only by the notebooks
in a work/ that ``posebook lab`` or ``posebook update`` filled.

Lines are only ever added, each by one write to the file's end: on a local disk of Linux or macOS two notebooks at once
lose nothing (elsewhere a line, if both write in the same instant), and a line that a crash cut short spoils no other.
"""

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

COPIED = ".copied.json"  # marks a work/: of each file that was copied into it, what it held
JOURNAL = ".progress.jsonl"
ELSEWHERE = "POSEBOOK_PROGRESS"  # a variable: another file to keep it in, or nothing to keep none


def where(folder: Path | None = None) -> Path | None:
    """The file that belongs to a folder, this one if none is named: in the work/ that it is in. None: none is kept."""
    if ELSEWHERE in os.environ:
        return Path(os.path.expanduser(os.environ[ELSEWHERE])) if os.environ[ELSEWHERE] else None
    here = (folder or Path()).absolute()
    return next((up / JOURNAL for up in (here, *here.parents) if (up / COPIED).is_file()), None)


def add(path: Path, kind: str, **entry: object) -> None:
    """Add a line, with the time."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "kind": kind, **entry}
    data = b"\n" + json.dumps(line).encode()  # ends what a crash cut short before it
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if os.write(file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(file)


def entries(path: Path, kind: str = "") -> list[dict]:
    """The lines, of one kind or of all, as they came; what is no JSON object is passed over."""
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict) and kind in ("", entry.get("kind")):
            found.append(entry)
    return found
