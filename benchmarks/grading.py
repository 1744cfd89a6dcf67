"""Submissions a minute of `posebook grade` against serial `nbgrader autograde`, each from files to gradebook.

    python benchmarks/grading.py [--quick] [--jobs N] [--submissions N] [--peer N] [--dask]

The submissions are the set decoding, solved: of its answers some are changed, some left out, so that no two notebooks
are equal. nbgrader executes the same ones, checks included, in a course of its own without a sandbox; its rate is that
after its first submission, so that its start does not count. posebook's start does, so with --quick, where there are
few submissions, no rate is judged. The memory is the most that all of posebook's processes have in use at once,
sandboxes included (what they share counts once).

With --dask, instead, as many dask workers grade the same submissions, between two runs of the local pool.
"""

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from _measure import line, main, needs, optional, row

distributed, psutil = optional("distributed"), optional("psutil")

ROOT = Path(__file__).resolve().parents[1]
SET = "decoding"
SOLUTION = ROOT / f"solutions/{SET}/{SET}.ipynb"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
CHANGES = ((" + ", " - "), (" * ", " / "), ("return ", "return 2 * "), ("sum", "mean"), ("(-1)", "(0)"))


def submission(rng: random.Random, student: str) -> dict:
    """A solved notebook: one in three is all right, in the others an answer in ten is not written and one in five is
    changed somewhere.
    """
    notebook = json.loads(SOLUTION.read_text())
    all_right = rng.random() < 1 / 3
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution"):
            head, mark, body = "".join(cell["source"]).partition("### BEGIN SOLUTION")
            chance = 1.0 if all_right else rng.random()
            if chance < 0.1:
                body = "\n    raise NotImplementedError"
            elif chance < 0.3:
                body = body.replace(*rng.choice(CHANGES), 1)
            cell["source"] = f"# {student}\n{head}{mark}{body}"
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    return notebook


def hand_in(folder: Path, students: list[str]) -> None:
    for student in students:
        path = folder / student / SET / f"{SET}.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(submission(random.Random(student), student)))


def run(folder: Path, *arguments: str, most: list[int] | None = None) -> np.ndarray:
    """Seconds that a command takes, by the clock and of processors; the memory in use by all its processes goes into
    ``most``.
    """
    start, before = time.monotonic(), of_processors()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=folder, env=ENVIRONMENT, stdout=said,
                                   stderr=said)
        done = threading.Event()
        watcher = threading.Thread(target=watch, args=(process.pid, done, most))
        if most is not None:
            watcher.start()
        status = process.wait()
        took = np.array([time.monotonic() - start, of_processors() - before])
        done.set()
        if most is not None:
            watcher.join()
        said.seek(0)
        if status:
            sys.exit(f"{' '.join(arguments)}: {said.read().decode()[-2000:]}")
    return took


def of_processors() -> float:
    """Of the whole machine, which should be idle otherwise: nobody waits for what ends with its sandbox."""
    used = psutil.cpu_times()
    return used.user + used.system


def watch(pid: int, done: threading.Event, most: list[int]) -> None:
    while not done.wait(0.5):
        used = 0
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            try:
                used += process.memory_full_info().pss
            except psutil.AccessDenied:
                used += process.memory_info().rss
            except psutil.Error:
                pass
        most.append(used)


def ours(folder: Path, count: int, *how: str) -> tuple[np.ndarray, float]:
    """Seconds, as :func:`run`, and GB."""
    students = [f"s{number:03}" for number in range(count)]
    (folder / "roster.csv").write_text("id,First Name,Last Name\n" + "".join(f"{s},A,B\n" for s in students))
    (folder / f"solutions/{SET}").mkdir(parents=True)
    (folder / f"solutions/{SET}/{SET}.ipynb").write_bytes(SOLUTION.read_bytes())
    run(folder, "posebook.cli", "course", "init", ".", "--roster", "roster.csv")
    run(folder, "posebook.cli", "release", SET)
    hand_in(folder / "grading/submitted", students)
    most: list[int] = []
    took = run(folder, "posebook.cli", "grade", SET, *how, most=most)
    return took, max(most) / 1e9


def theirs(folder: Path, count: int) -> np.ndarray:
    """Seconds for each submission, after the first."""
    (folder / f"source/{SET}").mkdir(parents=True)
    (folder / f"source/{SET}/{SET}.ipynb").write_bytes(SOLUTION.read_bytes())
    (folder / "nbgrader_config.py").write_text("c = get_config()\nc.CourseDirectory.course_id = 'peer'\n"
                                               "c.ExecutePreprocessor.timeout = 600\n")
    run(folder, "nbgrader", "generate_assignment", SET)
    students = [f"s{number:03}" for number in range(count + 1)]
    hand_in(folder / "submitted", students)
    first = run(folder, "nbgrader", "autograde", SET, "--student", students[0])
    return (run(folder, "nbgrader", "autograde", SET, "--force") - first) / count


@contextmanager
def dask(folder: Path, workers: int) -> Iterator[str]:
    """A scheduler and its workers, as INSTRUCTORS.md says; the address."""
    started = []
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        worker = ("worker", address, "--nthreads", "1", "--nworkers", str(workers), "--no-dashboard")
        for arguments in (("scheduler", "--host", address, "--no-dashboard"), worker):
            started.append(subprocess.Popen([sys.executable, "-m", "dask", *arguments], cwd=folder, env=ENVIRONMENT,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        with distributed.Client(address, timeout=600, set_as_default=False) as client:
            client.wait_for_workers(workers, timeout=600)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def compare_dask(folder: Path, count: int, jobs: int) -> list[dict]:
    seconds = {}
    with dask(folder, jobs) as address:
        for name, how in (("before", ("-j", str(jobs))), ("dask", ("--dask", address)), ("after", ("-j", str(jobs)))):
            (folder / name).mkdir()
            seconds[name] = ours(folder / name, count, *how)[0][0]
    pool = [seconds["before"], seconds["after"]]
    found = row(f"{count} submissions, {jobs} dask workers", seconds["dask"], "s", peer="the local pool",
                theirs=sum(pool) / 2, ratios=[other / seconds["dask"] for other in pool], goal=">= 0.8")
    print(line(found))
    return [found]


def measure(options) -> list[dict]:
    needs("nbgrader", "psutil")
    count = options.submissions or (10 if options.quick else 120)
    peer = options.peer or (1 if options.quick else 10)
    with tempfile.TemporaryDirectory(prefix="posebook-bench-") as folder:
        if options.dask:
            return compare_dask(Path(folder), count, options.jobs)
        places = [Path(folder, name) for name in ("before", "ours", "after")]
        for place in places:
            place.mkdir()
        before = theirs(places[0], peer)
        took, memory = ours(places[1], count, "-j", str(options.jobs))
        peers = np.array([before] if options.quick else [before, theirs(places[2], peer)])
    rate, others = 60 * count / took[0], 60 / peers[:, 0]
    work, processors = f"{count} submissions, {options.jobs} workers", took[1] / count
    print(f"nbgrader one after the other: {peer} before" + f", {peer} after" * (len(peers) - 1))
    rows = [
        row(work, rate, "a minute", peer="nbgrader, one after the other", theirs=max(others),
            ratios=rate / others, goal="" if options.quick else ">= 6"),
        row(work, rate, "a minute", goal="" if options.quick else ">= 120"),
        row(f"{work}, processors' time for each", processors, "s", peer="nbgrader", theirs=min(peers[:, 1]),
            ratios=peers[:, 1] / processors),
        row(f"{work}, memory of all processes", memory, "GB", goal="<= 3"),
    ]
    print(*map(line, rows), sep="\n")
    return rows


if __name__ == "__main__":
    main(measure, __doc__, jobs=2, submissions=0, peer=0, dask=False)
