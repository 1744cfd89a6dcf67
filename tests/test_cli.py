"""posebook doctor and posebook lab, as a student meets them."""

import json
import os
import re
import shutil
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
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

from posebook import _journal, cli
from posebook.cli import copies, student
from posebook.cli.student import PROMPT
from posebook.cli.websocket import PromptConnection

ROOT = Path(__file__).parent.parent
POSEBOOK = [sys.executable, "-m", "posebook.cli"]


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A course's folder, with one chapter and one exercise, and a name that wants care."""
    tmp_path = tmp_path / "l'été «один» \"two\""
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
    assert len(copies.copy_course().new) == 3
    assert files(course / "work") == [
        ".copied.json",
        "chapters/02_decoding.ipynb",
        "chapters/table.csv",
        "exercises/decoding/decoding.ipynb",
    ]
    assert (course / "work/chapters/table.csv").read_text() == "1,2"
    assert nbformat.read(course / "work/exercises/decoding/decoding.ipynb", 4).cells == []


CHAPTER, EXERCISE = Path("chapters/02_decoding.ipynb"), Path("exercises/decoding/decoding.ipynb")


def test_never_overwrites_and_brings_back_what_is_missing(course):
    copies.copy_course()
    (course / "work" / CHAPTER).write_text("my answers")
    (course / "work" / EXERCISE).unlink()
    assert copied() == ([EXERCISE], [], [])
    assert (course / "work" / CHAPTER).read_text() == "my answers"
    assert files(course / "work") == [".copied.json", str(CHAPTER), str(EXERCISE)]


def copied() -> tuple[list[Path], list[Path], list[Path]]:
    """What was missing, what was replaced, and what is newer but was kept."""
    done = copies.copy_course()
    return done.new, done.renewed, list(done.kept)


def update(path: Path, source: str, output: str = "") -> None:
    """A notebook of one cell, which printed something."""
    said = [nbformat.v4.new_output("stream", text=output)] if output else []
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, outputs=said)]), path)


def test_after_an_update_what_was_not_changed_is_replaced_and_the_rest_kept(course, monkeypatch, capsys):
    (course / "chapters/table.csv").write_text("1,2")
    copies.copy_course()
    update(course / "work" / EXERCISE, "my answer")
    for path in (CHAPTER, EXERCISE):
        update(course / path, "second edition")
    (course / "chapters/table.csv").write_text("3,4")
    monkeypatch.setattr(student, "address_of_running", lambda: "http://there")
    assert cli.main(["lab", "--no-browser"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Replaced in work/ by a newer version, since you had changed nothing:",
        f"  {CHAPTER}",
        "  chapters/table.csv",
        "Left in work/ as you changed it, though there is a newer version (posebook update puts that beside yours):",
        f"  {EXERCISE}",
        "JupyterLab is running here already: http://there",
    ]
    assert "second edition" in (course / "work" / CHAPTER).read_text()
    assert "my answer" in (course / "work" / EXERCISE).read_text()
    assert copied() == ([], [], [EXERCISE])  # said until it is renamed
    (course / "work" / EXERCISE).rename(course / "work/mine.ipynb")
    assert copied() == ([EXERCISE], [], [])
    assert copied() == ([], [], [])


def test_update_puts_what_is_newer_beside_what_was_changed(course, capsys):
    def said() -> list[str]:
        assert cli.main(["update"]) == 0
        return capsys.readouterr().out.splitlines()

    assert said() == ["New in work/:", f"  {CHAPTER}", f"  {EXERCISE}"]
    update(course / "work" / EXERCISE, "my answer")
    for path in (CHAPTER, EXERCISE):
        update(course / path, "second edition")
    mine, new = course / "work" / EXERCISE, course / "work/exercises/decoding/decoding-new.ipynb"
    assert said() == ["Replaced in work/ by a newer version, since you had changed nothing:", f"  {CHAPTER}",
                      "Yours stays as you changed it; the newer version lies beside it:",
                      f"  {EXERCISE}: decoding-new.ipynb"]
    assert "my answer" in mine.read_text() and new.read_bytes() == (course / EXERCISE).read_bytes()
    assert said() == ["work/ is up to date."] and copied() == ([], [], [])
    new.unlink()
    assert said() == ["work/ is up to date."] and not new.exists()  # it was given once

    update(course / EXERCISE, "third edition")
    said()
    update(course / EXERCISE, "fourth edition")
    assert said()[-1] == f"  {EXERCISE}: decoding-new.ipynb"  # in the place of the third, which nobody had changed
    update(new, "my notes")
    update(course / EXERCISE, "fifth edition")
    assert said()[-1] == f"  {EXERCISE}: decoding-new-2.ipynb"
    assert "my notes" in new.read_text() and "my answer" in mine.read_text()


def test_a_damaged_record_of_what_was_copied_costs_no_answer(course):
    copies.copy_course()
    update(course / "work" / EXERCISE, "my answer")
    update(course / EXERCISE, "second edition")
    for damage in ("", "[]", '{"chapters/0'):
        (course / "work/.copied.json").write_text(damage)
        assert copied() == ([], [], [EXERCISE])
    assert "my answer" in (course / "work" / EXERCISE).read_text()


@pytest.mark.parametrize("folder", ["work", "work/exercises/decoding"])
def test_within_work_there_is_no_course_to_copy(course, monkeypatch, capsys, folder):
    copies.copy_course()
    monkeypatch.setattr(copies, "PACKED", course)
    monkeypatch.chdir(course / folder)
    assert cli.main(["update"]) == 1
    assert capsys.readouterr().err == (f"posebook update: want the folder that work/ is in; got {course / folder}: "
                                       f"cd {course}\n")
    assert not (course / folder / "work").exists()


def test_a_course_comes_from_the_installed_package_where_there_is_none_here(course, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr(copies, "PACKED", course)
    assert cli.main(["update"]) == 0
    assert files(Path("work")) == [".copied.json", str(CHAPTER), str(EXERCISE)]


def test_a_notebook_that_only_ran_counts_as_not_changed(course):
    update(course / CHAPTER, "1 + 1")
    copies.copy_course()
    update(course / "work" / CHAPTER, "1 + 1", output="2")
    assert copied() == ([], [], [])
    update(course / CHAPTER, "1 + 2")
    assert copied() == ([], [CHAPTER], [])


def test_copies_of_an_older_posebook_are_kept_unless_they_are_as_new(course):
    """It left no record of what it copied."""
    update(course / CHAPTER, "second edition")
    (course / "work/chapters").mkdir(parents=True)
    update(course / "work" / CHAPTER, "first edition")
    assert copied() == ([EXERCISE], [], [CHAPTER])
    update(course / "work" / CHAPTER, "second edition")
    assert copied() == ([], [], [])
    update(course / CHAPTER, "third edition")
    assert copied() == ([], [CHAPTER], [])


# ---------------------------------------------------------------------------------------------------------------------
# posebook reset


@pytest.fixture
def solved(course) -> Path:
    """A notebook in work/ in which soft_argmax was written, and its check has run."""
    shutil.copy(ROOT / "exercises/decoding/decoding.ipynb", course / EXERCISE)
    copies.copy_course()
    path = course / "work" / EXERCISE
    notebook = nbformat.read(path, 4)
    for name in ("soft_argmax", "check-soft_argmax", "fuse"):
        cell = cell_of(notebook, name)
        cell.source = cell.source if name.startswith("check") else f"# é, my answer to {name}"
        cell |= {"execution_count": 7, "outputs": [nbformat.v4.new_output("stream", text="ran")]}
    nbformat.write(notebook, path)
    return path


def cell_of(notebook, name: str):
    (cell,) = (cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)
    return cell


def test_reset_brings_the_stub_back_and_keeps_the_answer(solved, course, capsys):
    before, stubs = nbformat.read(solved, 4), nbformat.read(course / EXERCISE, 4)
    assert cli.main(["reset", "soft_argmax"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"soft_argmax in work/{EXERCISE} is empty again, and your answer is in "
        "work/exercises/decoding/soft_argmax-1.py.",
        "Is the notebook open? Choose File, Reload Notebook from Disk, before you go on."]
    assert solved.with_name("soft_argmax-1.py").read_text(encoding="utf-8") == "# é, my answer to soft_argmax\n"
    after = nbformat.read(solved, 4)
    for name in ("soft_argmax", "check-soft_argmax"):
        changed = cell_of(before, name)
        changed |= {"source": cell_of(stubs, name).source, "execution_count": None, "outputs": []}
    assert after == before  # and nothing else
    nbformat.validate(after)
    assert [entry["problem"] for entry in _journal.entries(course / "work/.progress.jsonl", "reset")] == ["soft_argmax"]

    assert cli.main(["reset", "soft_argmax"]) == 0
    assert capsys.readouterr().out == (f"soft_argmax in work/{EXERCISE} is as it was handed out: there is no answer to "
                                       "put away.\n")
    solved.write_bytes(solved.read_bytes().replace(b"raise NotImplementedError", b"pass"))
    assert cli.main(["reset", "soft_argmax"]) == 0
    assert "    pass" in solved.with_name("soft_argmax-2.py").read_text(encoding="utf-8")  # the first one stays
    assert "my answer" in solved.with_name("soft_argmax-1.py").read_text(encoding="utf-8")


def test_reset_makes_a_cell_of_text_one_of_code_again(solved):
    notebook = nbformat.read(solved, 4)
    cell = cell_of(notebook, "soft_argmax")
    cell.cell_type = "markdown"
    del cell["outputs"], cell["execution_count"]
    nbformat.write(notebook, solved)
    assert cli.main(["reset", "soft_argmax"]) == 0
    after = nbformat.read(solved, 4)
    nbformat.validate(after)
    assert cell_of(after, "soft_argmax").cell_type == "code"


def test_reset_says_where_the_answer_is_though_nothing_can_be_noted(solved, capsys, monkeypatch):
    monkeypatch.setenv("POSEBOOK_PROGRESS", "/nonesuch/folder/file")
    assert cli.main(["reset", "soft_argmax"]) == 0
    said = capsys.readouterr().out
    assert "your answer is in work/exercises/decoding/soft_argmax-1.py" in said
    assert "This reset is missing in posebook progress" in said


def no_cell(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"grade_id": "soft_argmax"', b'"grade_id": "other"'))


def two_cells(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"grade_id": "fuse"', b'"grade_id": "soft_argmax"'))


@pytest.mark.parametrize("damage, says", [
    (Path.unlink, "want work/{0}, which is not there: posebook update brings it"),
    (no_cell, "want the cell of soft_argmax in work/{0}, which is gone: rename the file, and posebook update brings a "
              "new one"),
    (two_cells, "want one cell of soft_argmax in work/{0}; got two: delete the copy"),
    (lambda path: path.write_text('{"cells": [{}]}'),
     "want a notebook; got work/{0}, which is damaged: rename it, and posebook update brings a new one"),
])
def test_reset_where_it_cannot(solved, capsys, damage, says):
    damage(solved)
    before = solved.read_bytes() if solved.exists() else None
    assert cli.main(["reset", "soft_argmax"]) == 1
    assert capsys.readouterr().err == f"posebook reset: {says.format(EXERCISE)}\n"
    assert (solved.read_bytes() if solved.exists() else None) == before
    assert not solved.with_name("soft_argmax-1.py").exists()


def test_reset_of_no_problem_names_those_there_are(solved, capsys):
    assert cli.main(["reset", "softargmax"]) == 1
    assert re.fullmatch(r"posebook reset: problem: want one of anchor_decode, .*; got softargmax\n",
                        capsys.readouterr().err)


# ---------------------------------------------------------------------------------------------------------------------
# posebook lab


def test_a_killed_copy_leaves_nothing_half_written(course, monkeypatch):
    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        copies.copy_course()
    assert files(course / "work") == []


def test_lab_outside_the_course(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab"]) == 1
    error = capsys.readouterr().err
    assert error == f"posebook lab: want the course's folder, which has chapters/; got {tmp_path}: cd {ROOT}\n"
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
    """Behind a port that is taken; also with a home that cannot be written to."""
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
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
        found = re.match(r"http://127.0.0.1:(\d+)/lab/tree/chapters/02_decoding.ipynb\?token=", address)
        assert found and int(found[1]) != port, lines
        site, token = address.split("/lab/")[0], address.split("token=")[1]

        page = get(address)
        assert '"news": {"disabled": true}' in page
        for fetched in ("lab/api/news", "lab/api/update"):  # both would ask a site, were they not off
            get(f"{site}/{fetched}?token={token}")
        listing = json.loads(get(f"{site}/api/contents/?token={token}"))
        assert sorted(entry["name"] for entry in listing["content"]) == ["chapters", "exercises"]
        if not closed:
            again = subprocess.run(command, env=os.environ | own, capture_output=True, text=True)
            said = f"JupyterLab is running here already: http://localhost:{found[1]}/lab?token={token}"
            assert again.stdout.splitlines()[-1] == said and again.returncode == 0

        lab.send_signal(signal.SIGINT)
        rest = lab.stdout.read()
        assert lab.wait() == 0
        assert "Traceback" not in rest
    finally:
        limit.cancel()
        lab.kill()
        lab.stdout.close()
        taken.close()


@pytest.mark.parametrize("gateway", [False, True])
def test_lab_hands_a_kernels_messages_on_at_once(course, monkeypatch, gateway):
    """But not where kernels are behind a gateway."""
    found = []
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", types.SimpleNamespace(main=found.extend))
    monkeypatch.delenv("JUPYTER_GATEWAY_URL", raising=False)
    if gateway:
        monkeypatch.setenv("JUPYTER_GATEWAY_URL", "http://127.0.0.1:9")
    before = signal.getsignal(signal.SIGINT)
    try:
        assert cli.main(["lab"]) == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert (PROMPT in found) is not gateway
    server = ServerApp()
    server.parse_command_line([PROMPT])
    assert server.kernel_websocket_connection_class is PromptConnection


def test_a_prompt_connection_waits_for_no_acknowledgement(monkeypatch):
    done = []
    monkeypatch.setattr(KernelWebsocketHandler, "set_nodelay", lambda self, value: done.append(value))
    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", lambda self: done.append("connected") or "later")
    connection = PromptConnection.__new__(PromptConnection)
    connection.websocket_handler = KernelWebsocketHandler.__new__(KernelWebsocketHandler)
    assert connection.connect() == "later" and done == [True, "connected"]


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
    assert f"FAIL   no course here: want the course's folder, which has chapters/; got {tmp_path}" in done.stdout


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
