"""posebook._files: whole or not at all, and nothing left over."""

import os
import stat

import pytest

from posebook._files import write, write_new


def test_write_replaces_whole(tmp_path):
    path = tmp_path / "folder/file"
    write(path, b"old" * 1000)
    write(str(path), b"new", mode=0o600)
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["file"]


def test_write_that_fails_keeps_the_old_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write(path, b"old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("links", [True, False])
def test_write_new_keeps_what_is_there(tmp_path, monkeypatch, links):
    if not links:  # a disk without hard links
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "Operation not permitted")))
    path = tmp_path / "file"
    assert write_new(path, b"first") is True
    assert write_new(path, b"second") is False
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["file"]
