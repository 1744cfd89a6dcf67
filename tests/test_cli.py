"""posebook doctor and posebook lab, as a student meets them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

from posebook import cli
from posebook.cli import student

POSEBOOK = [sys.executable, "-m", "posebook.cli"]


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A course's folder, with one chapter and one exercise."""
    for name in ("chapters/02_decoding.ipynb", "exercises/decoding/decoding.ipynb"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        nbformat.write(nbformat.v4.new_notebook(), path)
    (tmp_path / "chapters/.ipynb_checkpoints").mkdir()
    (tmp_path / "chapters/.ipynb_checkpoints/02_decoding-checkpoint.ipynb").write_text("old")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_copies_every_file_but_checkpoints(course):
    (course / "chapters/table.csv").write_text("1,2")
    assert student.copy_missing() == 3
    assert files(course / "work") == [
        "chapters/02_decoding.ipynb",
        "chapters/table.csv",
        "exercises/decoding/decoding.ipynb",
    ]
    assert (course / "work/chapters/table.csv").read_text() == "1,2"
    assert nbformat.read(course / "work/exercises/decoding/decoding.ipynb", 4).cells == []


def test_never_overwrites_and_brings_back_what_is_missing(course):
    student.copy_missing()
    mine = course / "work/chapters/02_decoding.ipynb"
    mine.write_text("my answers")
    (course / "work/exercises/decoding/decoding.ipynb").unlink()
    assert student.copy_missing() == 1
    assert mine.read_text() == "my answers"
    assert files(course / "work") == ["chapters/02_decoding.ipynb", "exercises/decoding/decoding.ipynb"]


def test_a_killed_copy_leaves_nothing_half_written(course, monkeypatch):
    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        student.copy_missing()
    assert files(course / "work") == []


def test_lab_outside_the_course(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab"]) == 1
    error = capsys.readouterr().err
    assert error == f"posebook lab: want the course's folder, which has chapters/; got {tmp_path}\n"
    assert files(tmp_path) == []


def test_lab_where_work_is_no_folder(course, capsys):
    (course / "work").write_text("a file")
    assert cli.main(["lab"]) == 1
    assert capsys.readouterr().err.startswith("posebook lab: want a folder work/ to write to; got: ")
    assert (course / "work").read_text() == "a file"


@pytest.mark.parametrize("text", ["0", "65536", "many"])
def test_a_wrong_port(text, capsys):
    with pytest.raises(SystemExit):
        cli.main(["lab", "--port", text])
    assert f"want a number from 1 to 65535, got {text}" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [False, True])
def test_lab_serves_the_first_chapter_and_ends_quietly(course, closed):
    """Also with a home that cannot be written to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    kinds = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    own = {kind: str(course / "jupyter" / kind) for kind in kinds}
    if closed:
        (course / "a file").touch()
        own = dict.fromkeys(["HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME"], str(course / "a file"))
    command = [*POSEBOOK, "lab", "--no-browser", "--port", str(port)]
    lab = subprocess.Popen(command, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    limit = threading.Timer(600, lab.kill)
    limit.start()
    try:
        lines = []
        for line in lab.stdout:
            lines.append(line)
            if "http://127.0.0.1" in line:
                break
        assert any("JupyterLab forgets its settings" in line for line in lines) is closed
        address = lines[-1].strip()
        assert address.startswith(f"http://127.0.0.1:{port}/lab/tree/chapters/02_decoding.ipynb?token="), lines
        site, token = address.split("/lab/")[0], address.split("token=")[1]

        page = get(address)
        assert '"news": {"disabled": true}' in page
        for fetched in ("lab/api/news", "lab/api/update"):  # both would ask a site, were they not off
            get(f"{site}/{fetched}?token={token}")
        listing = json.loads(get(f"{site}/api/contents/?token={token}"))
        assert sorted(entry["name"] for entry in listing["content"]) == ["chapters", "exercises"]

        lab.send_signal(signal.SIGINT)
        rest = lab.stdout.read()
        assert lab.wait() == 0
        assert "Traceback" not in rest
    finally:
        limit.cancel()
        lab.kill()
        lab.stdout.close()


@pytest.mark.parametrize("given, seen", [("data/coco.json", "{here}/data/coco.json"), ("/x/coco.json", "/x/coco.json"),
                                         ("~/coco.json", "{home}/coco.json"), ("", None)])
def test_lab_names_the_coco_file_as_it_is_found_from_everywhere(course, monkeypatch, given, seen):
    """Kernels start in folders of their own."""
    found = []
    fake = types.ModuleType("labapp")
    fake.main = lambda arguments: found.append(os.environ.get("POSEBOOK_COCO"))
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", fake)
    monkeypatch.setenv("POSEBOOK_COCO", given)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert cli.main(["lab"]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [seen and seen.format(here=course, home=os.path.expanduser("~"))]


def get(address: str) -> str:
    """What the server answers; it prints its address a moment before it listens."""
    for _ in range(6000):
        try:
            with urllib.request.urlopen(address, timeout=300) as answer:
                return answer.read().decode()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise TimeoutError(address)


def doctor(**environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([*POSEBOOK, "doctor"], env=os.environ | environment, capture_output=True, text=True)


def test_doctor_is_content(course):
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("The course can run here.\n")
    assert "FAIL" not in done.stdout
    for found in ("ok     Python 3", "ok     torch 2", "ok     torch computes on", "ok     widgets render"):
        assert found in done.stdout
    assert files(course / "work") == []


def test_doctor_where_the_home_cannot_be_written_to(course):
    (course / "a file").touch()
    done = doctor(HOME=str(course / "a file"))
    assert done.returncode == 0, done.stdout
    assert "cannot be written to: JupyterLab forgets its settings when it ends" in done.stdout


def test_doctor_outside_the_course(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = doctor()
    assert done.returncode == 1
    assert f"FAIL   notebooks in {tmp_path}/chapters: 0: cd to the course's folder" in done.stdout


def test_doctor_names_an_old_package(course):
    (course / "site/numpy-1.0.dist-info").mkdir(parents=True)
    (course / "site/numpy-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.0\n")
    done = doctor(PYTHONPATH=os.pathsep.join([str(course / "site"), os.environ["PYTHONPATH"]]))
    assert done.returncode == 1
    assert "FAIL   numpy 1.0, want >=1.26: make venv" in done.stdout


def test_doctor_names_a_package_that_does_not_start(course):
    (course / "site").mkdir()
    (course / "site/torch.py").write_text("raise OSError('libgomp is missing')")
    done = doctor(PYTHONPATH=os.pathsep.join([str(course / "site"), os.environ["PYTHONPATH"]]))
    assert done.returncode == 1
    assert "FAIL   torch does not start (libgomp is missing): make venv" in done.stdout
    assert "Traceback" not in done.stderr


def test_doctor_without_the_optional_programs(course):
    done = doctor(PATH="")
    assert done.returncode == 0, done.stdout
    assert "note   no chromium, only for the tests that drive JupyterLab's page: apt install chromium" in done.stdout
    note = "note   no bubblewrap, only for grading in a sandbox: apt install bubblewrap"
    assert note in done.stdout


def test_doctor_where_nothing_can_be_written(course, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(student.tempfile, "TemporaryFile", refuse)
    finding = student.writing()
    assert not finding.good and finding.needed
    assert finding.text == f"{course} cannot be written to (Permission denied)"


@pytest.mark.parametrize(
    ("version", "minimum", "good"),
    [("2.13.0+cpu", ">=2.6", True), ("2.5.1", ">=2.6", False), ("missing", ">=2.6", False), ("3.11", ">=3.11", True),
     ("3.0rc1", ">=2.6", True), ("2.10", ">=2.6,!=2.10", False)],
)
def test_versions_compare_as_numbers(version, minimum, good):
    assert student.compare("name", version, minimum, remedy="").good is good
