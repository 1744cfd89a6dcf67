"""Bombs among honest submissions in the pool: each fails alone with its status, the others keep their scores, and the
grader neither grows nor leaves anything behind."""

import json
import os
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
from classroom import command_of
from test_sandbox import pass_as_ordinary_user, second_user

from posebook.checks import PROBLEMS, trial
from posebook.checks.problem import text_of
from posebook.grading import kernel, pool
from posebook.grading.grade import Limits, grade
from posebook.grading.pool import Task
from posebook.grading.submission import Cell, Submission

pytestmark = pytest.mark.usefixtures("bubblewrap")

SOFT, FUSE = ("".join(text_of(PROBLEMS[name].reference)) for name in ("soft_argmax", "fuse"))
PLANTED, SLEEP = "posebook-test-planted", str(10**6 + os.getpid())
# What soft_argmax does, the status, and words of its first row.
BOMBS = {
    "catches_all": ("timeout", "kernel was killed", """
        import signal
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            try:
                while True: pass
            except BaseException: pass"""),
    "memory": ("memory", "raised MemoryError", """
        hoard = []
        while True: hoard.append(bytes(2**26))"""),
    "memory_of_torch": ("memory", "raised MemoryError", """
        return torch.ones(2**40)"""),
    "forks": ("timeout", "kernel was killed", """
        import os, signal
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        while True:
            try: os.fork()
            except BaseException: pass"""),
    "threads": ("ok", "raised RuntimeError", """
        import threading, time
        while True: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"""),
    "disk": ("ok", "raised OSError", """
        for n in range(10**4):
            with open(f"{n}.bin", "wb") as file: file.write(bytes(2**20))"""),
    "output": ("timeout", "was interrupted", """
        import os
        for _ in range(10 * 2**10):
            print("x" * 2**20)
            os.write(1, bytes(2**20))"""),
    "a_huge_message": ("output", "sent back too much", """
        return torch.zeros(10**7)"""),
    "sockets": ("ok", "raised OSError", """
        import socket
        open_ones = []
        while True: open_ones.append(socket.socketpair())"""),
    "signals": ("killed", "ended the kernel", """
        import os, signal
        for pid in (os.getppid(), 1, -1, 0):
            try: os.kill(pid, signal.SIGKILL)
            except OSError: pass"""),
    "left_behind": ("ok", "shape: want", f"""
        import pathlib, subprocess, sys
        subprocess.Popen(["sleep", "{SLEEP}"], start_new_session=True)
        for folder in ("/tmp", "/dev/shm", "/home/student", *sys.path):
            for name in ("torch.py", "sitecustomize.py", "{PLANTED}"):
                try: pathlib.Path(folder, name).write_text("raise SystemExit")
                except OSError: pass
        return torch.zeros(2)"""),
}
if "SECOND_USER" in os.environ:
    BOMBS = {name: BOMBS[name] for name in ("memory", "forks", "left_behind")}
ALONE = min(8, len(BOMBS))


def work(task: Task) -> str:
    """As the grader does, but with less patience where nothing else ends it."""
    trial.SECONDS, kernel.GRACE = (3, 2) if BOMBS.get(task.student, [""])[0] == "timeout" else (120, 5)
    return grade(task.submission, [PROBLEMS[name] for name in task.problems], secret=task.secret,
                 assignment=task.assignment, student=task.student, limits=Limits(processes=60)).to_json()


def handed_in(student: str) -> Task:
    body = BOMBS[student][2] if student in BOMBS else ""
    soft = f"def soft_argmax(*args):{body}" if body else SOFT
    cells = tuple(Cell("code", "import torch\n" + source) for source in (soft, FUSE))
    return Task("mini", student, Submission(cells, "0" * 64), ("soft_argmax", "fuse"), b"secret")


def graded(students: list[str]) -> tuple[dict[str, dict], int]:
    """The result of each, and the most bytes that the workers had, without what runs in the sandboxes."""
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            workers = [one for one in psutil.Process().children() if "spawn_main" in command_of(one)]
            most[0] = max(most[0], sum(map(kernel._in_use, workers)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        results = {}
        for task, good, text in pool.grade_all([handed_in(student) for student in students], jobs=2, work=work):
            assert good and task.student not in results, text
            results[task.student] = json.loads(text)
    finally:
        over.set()
        watcher.join()
    return results, most[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Honest ones, and then the bombs with an honest one after each; and the grader's own folder."""
    folder = tmp_path_factory.mktemp("grader")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        alone = graded([f"honest {n}" for n in range(ALONE)])
        mixed = graded([name for n, bomb in enumerate(BOMBS) for name in (bomb, f"honest {n}")])
    return alone, mixed, folder


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_fails_alone_in_the_pool(both, bomb):
    status, words, _ = BOMBS[bomb]
    result = both[1][0][bomb]
    soft, fuse = result["reports"]
    assert result["status"] == status and words in soft["rows"][0]["message"], result
    assert not any(row["passed"] for row in soft["rows"] if not row["fixed"])
    assert all(row["passed"] for row in fuse["rows"]), fuse  # the problem after it


def test_all_others_keep_their_scores(both):
    for n in range(len(BOMBS)):
        result = both[1][0][f"honest {n}"]
        assert result["status"] == "ok" and result["notes"] == []
        assert all(row["passed"] for report in result["reports"] for row in report["rows"])
        if n < ALONE:  # the bombs before it changed nothing
            assert result["reports"] == both[0][0][f"honest {n}"]["reports"]


def test_the_grader_does_not_grow(both):
    (_, alone), (_, mixed), _ = both
    assert 50 * 2**20 < alone and mixed < alone + 300 * 2**20


def test_nothing_is_left(both):
    assert not list(both[2].iterdir())
    assert not [one for one in psutil.process_iter() if SLEEP in command_of(one)]
    for folder in (tempfile.gettempdir(), "/dev/shm"):
        assert not Path(folder, PLANTED).exists() and not Path(folder, "torch.py").exists()


@second_user
def test_some_of_them_as_an_ordinary_user():
    pass_as_ordinary_user(__file__)
