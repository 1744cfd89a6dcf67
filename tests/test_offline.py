"""The guard of tests/guard is alive: in this process, in subprocesses and in notebooks' kernels."""


import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

LEAVE = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"  # 192.0.2.0/24 belongs to nobody
STAY = "import socket; server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())"


@pytest.fixture
def record(tmp_path, monkeypatch) -> Path:
    """These refusals are expected: they go to a file of their own."""
    path = tmp_path / "refused.txt"
    monkeypatch.setenv("POSEBOOK_GUARD_LOG", str(path))
    return path


def run_in_kernel(code: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()


def test_a_kernel_cannot_leave(record):
    with pytest.raises(CellExecutionError, match="posebook runs offline"):
        run_in_kernel(LEAVE)
    assert "192.0.2.1" in record.read_text()


def test_a_kernel_reaches_loopback(record):
    run_in_kernel(STAY)
    assert not record.exists()


def test_a_subprocess_cannot_leave(record):
    done = subprocess.run([sys.executable, "-c", LEAVE], capture_output=True, text=True)
    assert done.returncode == 1 and "posebook runs offline" in done.stderr
    assert "192.0.2.1" in record.read_text()


@pytest.mark.parametrize(
    "leave",
    [
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: socket.gethostbyname("example.org"),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 53)),
        lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)),
    ],
)
def test_this_process_cannot_leave(record, leave):
    with pytest.raises(PermissionError, match="posebook runs offline"):
        leave()
    assert record.read_text().count("\n") == 1


def test_unix_sockets_and_localhost_stay(record, tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "socket"))
        server.listen()
        client.connect(str(tmp_path / "socket"))
    assert socket.getaddrinfo("localhost", 80)
    assert not record.exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_refusal_fails_the_whole_run(tmp_path, workers):
    """A run of its own, whose only test swallows the refusal: the run fails all the same, also where workers run it."""
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "guard").symlink_to(Path(__file__).parent / "guard")
    (tmp_path / "test_it.py").write_text(
        f"import contextlib\ndef test_it():\n    with contextlib.suppress(OSError):\n        {LEAVE}\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "test_it.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "1 passed" in done.stdout and "192.0.2.1" in done.stdout
    assert done.returncode == 1
