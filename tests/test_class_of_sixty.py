"""An instructor's whole class, by the commands of INSTRUCTORS.md: from course init to export, killed twice on the way.

Sixty students hand in two true problems and are graded in the sandbox: right, partly wrong, hostile, endless, late, cut
off and unknown ones, and some who hand in nothing.
"""

import csv
import json
import random
import subprocess
import sys
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
from classroom import archive, command_of, mini

from posebook.checks import PROBLEMS, evaluate
from posebook.checks.problem import edited, text_of
from posebook.grading.course import Course

pytestmark = pytest.mark.usefixtures("bubblewrap")

SOFT, FUSE = ("".join(text_of(PROBLEMS[name].reference)) for name in ("soft_argmax", "fuse"))
WRONG = SOFT.replace("/ tau", "* tau")
CHANGED = edited(PROBLEMS["soft_argmax"].reference, {"/ tau": "* tau"})
ENDLESS = "def soft_argmax(*args):\n    while True:\n        try:\n            pass\n        except BaseException:\n" \
          "            pass\n"
HOSTILE = """import os, signal, subprocess
from pathlib import Path

for signal_to in (1, -1, os.getppid()):
    try:
        os.kill(signal_to, signal.SIGTERM)
    except OSError:
        pass
Path("/tmp/left-behind").write_text("planted")
subprocess.Popen(["sleep", "3600"], start_new_session=True)


def soft_argmax(*args):
    Path("/tmp/left-behind").read_text()
    return args[0] * 0
"""
KINDS = {  # what is handed in: the two answers, and the share of soft_argmax's points that is right
    "right": (SOFT, FUSE), "wrong": (WRONG, FUSE), "hostile": (HOSTILE, FUSE), "endless": (ENDLESS, FUSE),
    "stub": ("def soft_argmax(*args):\n    raise NotImplementedError\n", FUSE),
}
NAMES = ("Ann", "O'Neil", "Zo\u00eb", "\u674e", "Jos\u00e9-Mar\u00eda", "de la Cruz")


def kind_of(n: int) -> str:
    special = {7: "hostile", 19: "hostile", 31: "hostile", 23: "endless", 40: "cut off", 41: "cut off", 42: "nothing",
               43: "nothing", 44: "stub"}
    return special.get(n, "wrong" if n % 3 == 2 else "right")


def notebook(release: nbformat.NotebookNode, kind: str) -> bytes:
    cells = nbformat.from_dict(release)
    for cell in cells.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in ("soft_argmax", "fuse"):
            cell.source = "import torch\n\n\n" + KINDS[kind][grade_id == "fuse"]
    cells.cells.append(nbformat.v4.new_markdown_cell("<script>alert(1)</script><img src=https://x/y.png>"))
    return nbformat.writes(cells).encode()


def posebook(*arguments: object, status: int = 0) -> str:
    done = subprocess.run([sys.executable, "-m", "posebook.cli", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def killed_after(recorded: int, course: Course) -> None:
    """Grade; kill a fork server and a worker when so many are recorded, and the command five later: nothing that it
    started outlives it.
    """
    command = subprocess.Popen([sys.executable, "-m", "posebook.cli", "grade", "mini", "-j", "2"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for more, part in ((0, "fork_server"), (2, "spawn_main"), (5, "")):
        while len(course.scores("mini")) < recorded + more and command.poll() is None:
            time.sleep(0.2)
        while part and command.poll() is None:
            with suppress(psutil.NoSuchProcess, IndexError):  # one may just be starting anew
                workers = [one for one in psutil.Process(command.pid).children() if "spawn_main" in command_of(one)]
                servers = [one for worker in workers for one in worker.children() if "fork_server" in command_of(one)]
                random.Random(recorded).choice(workers if part == "spawn_main" else servers).kill()
                break
            time.sleep(0.05)
    started = psutil.Process(command.pid).children(recursive=True)
    assert command.poll() is None and started
    command.kill()
    command.wait()
    deadline = time.monotonic() + 600
    while left := [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_class_of_sixty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pose/solutions/mini").mkdir(parents=True)
    nbformat.write(mini(), tmp_path / "pose/solutions/mini/mini.ipynb")
    students = {f"s{n:02}": (NAMES[n % len(NAMES)], f"Nr{n}", 1000 + n) for n in range(60)}
    with open("roster.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("id", "first_name", "last_name", "email", "lms_user_id"),
                                    *((id, first, last, f"{id}@example.org", lms)
                                      for id, (first, last, lms) in students.items())])
    posebook("course", "init", "pose", "--roster", "roster.csv")
    monkeypatch.chdir(tmp_path / "pose")
    posebook("release", "mini", "--due", "2026-11-20T12:00+00:00")
    course = Course.open()

    release = nbformat.read(course.notebook("release", "mini"), as_version=4)
    kinds = {id: kind_of(n) for n, id in enumerate(students)}
    members = {}
    for id, kind in kinds.items():
        first, last, lms = students[id]
        late = "_LATE" if int(id[1:]) % 10 == 5 else ""
        name = "".join(letter for letter in (last + first).casefold() if letter.isalnum())
        if kind != "nothing":
            members[f"{name}{late}_{lms}_9{lms}_mini.ipynb"] = (
                b'{"nbformat": 4, "cel' if kind == "cut off" else notebook(release, kind))
    members["somebody_77_1_mini.ipynb"] = notebook(release, "right")
    platform = archive(tmp_path / "all.zip", members, date=(2026, 11, 19, 8, 0, 0))
    said = posebook("collect", "mini", platform, status=1)
    assert "59 files: 58 ok, 1 FAILED" in said and "somebody" in said

    for recorded in (10, 30):
        killed_after(recorded, course)
    said = posebook("grade", "mini", "-j", "2", status=1).splitlines()
    assert said[-1] == "56 graded, 6 of them late; 2 not graded; 2 handed in nothing"
    scores = course.scores("mini")
    wrong = evaluate("soft_argmax", CHANGED).score
    assert 0 < wrong < 3
    want = {"right": 5, "wrong": wrong + 2, "hostile": 2, "endless": 2, "stub": 2}
    for id, kind in kinds.items():
        assert (id in scores) == (kind in want), (id, kind)
        if kind == "wrong":  # other inputs may let a case more or less pass
            assert 2 < scores[id].points < 5
        elif kind in want:
            assert scores[id].points == want[kind], (id, kind, scores[id])
    results = list(course.grading.glob("results/mini/*/*.json"))
    assert sorted(path.parent.name for path in results) == sorted(scores)
    statuses = {path.parent.name: json.loads(path.read_text())["result"]["status"] for path in results}
    assert {id for id, status in statuses.items() if status == "timeout"} == {"s23"}
    assert all(statuses[id] == "ok" for id, kind in kinds.items() if kind in ("right", "wrong", "stub"))

    posebook("feedback", "mini", "--zip", tmp_path / "back.zip")
    with zipfile.ZipFile(tmp_path / "back.zip") as back:
        assert len(back.namelist()) == 58 and "nr0ann_1000_91000_mini.html" in back.namelist()
        pages = {name: back.read(name).decode() for name in back.namelist()}
    assert all("<script>alert(1)" not in page and "https://x/y.png" not in page for page in pages.values())
    assert "with this mistake" in pages["nr2zo\u00eb_1002_91002_mini.html"]
    posebook("export", "mini", "--format", "canvas")
    with open("mini-canvas.csv", newline="", encoding="utf-8") as file:
        rows = {row["ID"]: row for row in list(csv.DictReader(file))[1:]}
    assert {id: rows[str(lms)]["mini"] for id, (_, _, lms) in students.items()} == {
        id: f"{round(scores[id].points, 4):g}" if id in scores else "" for id in students}
    assert Path(posebook("report", "mini").strip()).read_text().count("s23") >= 1
