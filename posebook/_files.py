"""Files that appear whole or not at all: written under another name first, then put in their place at once."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write(path: str | Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write or replace a file: whoever reads it meanwhile, or after a power cut, finds the old one or the new one."""
    with _draft(Path(path), data, mode) as draft:
        draft.replace(path)


def write_new(path: str | Path, data: bytes, *, mode: int = 0o644) -> bool:
    """Write a file where there is none. False where there is one, even if it appeared a moment ago: that one stays."""
    with _draft(Path(path), data, mode) as draft:
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links
            if os.path.lexists(path):
                return False
            draft.rename(path)
    return True


@contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """The data in a file beside ``path``, which is gone in the end, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.chmod(name, mode)
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
