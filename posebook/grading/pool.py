"""Worker processes: each grades one submission after the other, and may die without harm to the rest.

Each keeps a fork server (:mod:`posebook.grading.forks`) as long as it lives.
"""

import ctypes
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from posebook.checks import PROBLEMS
from posebook.grading.grade import grade
from posebook.grading.sandbox import MachineFull
from posebook.grading.submission import Submission

SPAWN = multiprocessing.get_context("spawn")
PREFIX = "posebook-worker-"  # of folders; then comes the number of the process that made them
TRIES = 2  # a process that dies may have been killed by chance


@dataclass(frozen=True)
class Task:
    """What a worker needs to know, all of it plain data."""

    assignment: str
    student: str
    submission: Submission
    problems: tuple[str, ...]
    secret: bytes
    unsafe: bool = False


def work(task: Task) -> str:
    """Grade one submission; the result as JSON."""
    problems = [PROBLEMS[name] for name in task.problems]
    return grade(task.submission, problems, secret=task.secret, assignment=task.assignment, student=task.student,
                 unsafe=task.unsafe).to_json()


def attempt(work: Callable[[Task], str], task: Task) -> tuple[bool | None, str]:
    """(True, result), (False, what was raised), or (None, why it may be otherwise with the machine to itself)."""
    try:
        return True, work(task)
    except MachineFull as error:
        return None, str(error)
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"


def serve(work: Callable[[Task], str], pipe: Connection, folder: str) -> None:
    """A worker process: one task after the other, until the pipe is closed. What it writes for itself goes there."""
    tempfile.tempdir = folder
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which then ends this one
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: do not outlive it
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(attempt(work, job))


class Worker:
    """A process and the task that it has."""

    def __init__(self, work: Callable[[Task], str]) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=serve, args=(work, theirs, self.folder.name), daemon=True)
        self.process.start()
        theirs.close()
        self.task: Task | None = None

    def give(self, task: Task) -> None:
        self.task = task
        try:
            self.pipe.send(task)
        except OSError:
            pass  # it has died: so says receive

    def receive(self) -> tuple[bool | None, str]:
        """What :func:`attempt` returned; where the process died, None and that it did."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            return None, f"the grading process died ({self.process.exitcode})"

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()
        self.folder.cleanup()


def clear() -> None:
    """Remove the folders of processes that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not psutil.pid_exists(int(number)):
            shutil.rmtree(folder, ignore_errors=True)


def grade_all(tasks: list[Task], *, jobs: int, work: Callable[[Task], str] = work) -> Iterator[tuple[Task, bool, str]]:
    """Each task as it is done: whether it was graded, and the result as JSON or what went wrong.

    A task whose process dies, or that is short of memory, is tried once more in the end, alone; no other task loses
    anything by it. ``work`` has to be a function of an importable module.
    """
    clear()
    waiting = deque((task, 1) for task in tasks)
    alone: deque[tuple[Task, int]] = deque()
    workers: list[Worker] = []
    tries: dict[Worker, int] = {}  # of those at work
    finished: list[tuple[Task, bool, str]] = []
    try:
        while waiting or alone or tries or finished:
            if alone and not waiting and not tries:
                waiting.append(alone.popleft())
            while waiting and len(tries) < jobs:
                worker = next((w for w in workers if w not in tries), None)
                if worker is None:
                    workers.append(worker := Worker(work))
                task, tries[worker] = waiting.popleft()
                worker.give(task)
            yield from finished  # whoever records them keeps no worker waiting
            finished = []
            ready = wait([worker.pipe for worker in tries]) if tries else []
            for worker in [worker for worker in tries if worker.pipe in ready]:
                count, (good, text) = tries.pop(worker), worker.receive()
                if not worker.process.is_alive():
                    workers.remove(worker)
                if good is None and count < TRIES:
                    alone.append((worker.task, count + 1))
                else:
                    finished.append((worker.task, bool(good), text))
    finally:
        for worker in workers:
            worker.end()
