"""Grading on a dask cluster of two worker processes: the same grades, whatever is killed meanwhile."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import dask
import distributed
import nbformat
import pytest
from classroom import grade, half, mini, submit
from quick_grader import work
from test_class_of_sixty import notebook

from posebook import cli
from posebook.grading import cluster, pool
from posebook.grading.course import Course, CourseError
from posebook.grading.results import HandedIn
from posebook.grading.steps import init, release

HERE = Path(__file__).parent


@pytest.fixture
def workers(cluster_of_two):
    """That cluster, both workers alive again after what another test did to them."""
    cluster_of_two.wait_for_workers(2, timeout=600)
    return cluster_of_two


@pytest.fixture(scope="module")
def cluster_of_two():
    """A scheduler and two workers, each a process of its own that can import the tests' modules."""
    os.environ["PYTHONPATH"], before = os.pathsep.join([str(HERE), os.environ["PYTHONPATH"]]), os.environ["PYTHONPATH"]
    try:
        slow = {"distributed.deploy.lost-worker-timeout": "1h"}  # what takes longer to start anew is given up for good
        with dask.config.set({"distributed.scheduler.allowed-failures": 1, **slow}), distributed.LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1",
                silence_logs=50) as found:
            yield found
    finally:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def grade_all(workers):
    return partial(cluster.grade_all, address=workers.scheduler_address, work=work)


def test_a_class(course, grade_all):
    submit(course, "ann", soft_argmax="right", fuse="half")
    submit(course, "bob", soft_argmax="right", fuse="right")
    submit(course, "rob", soft_argmax="raise no luck")
    lines = grade(course, grade_all=grade_all)
    assert {name: (line.good, line.says) for name, line in lines.items() if not line.good} == {
        "rob": (False, "RuntimeError: no luck")}
    assert {name: score.points for name, score in course.scores("mini").items()} == {"ann": 3 + half("fuse"), "bob": 5}
    submit(course, "rob", soft_argmax="right")
    assert grade(course, grade_all=grade_all)["rob"].good  # what failed is no result
    assert grade(course, grade_all=grade_all, force=True)["ann"].good  # nor is a regrade what was done before


def test_the_true_grader_says_there_what_it_says_here(course, workers, bubblewrap, tmp_path, monkeypatch):
    """In a sandbox on each worker. Cases are drawn from the course's secret, so that all but the seconds is the same.
    """
    release = nbformat.read(course.notebook("release", "mini"), as_version=4)
    kinds = {"ann": "right", "bob": "wrong", "zoe_m": "hostile"}
    for student, kind in kinds.items():
        submit(course, student).write_bytes(notebook(release, kind))
    shutil.copytree(course.root, tmp_path / "here")
    with monkeypatch.context() as patch:
        patch.setattr(pool, "grade_all", None)
        assert cli.main(["grade", "mini", "--dask", workers.scheduler_address]) == 0
    monkeypatch.chdir(tmp_path / "here")
    assert cli.main(["grade", "mini", "-j", "1"]) == 0
    there, here = (
        {student: replace(HandedIn.read(where, "mini", student).stored(), seconds=0.0) for student in kinds}
        for where in (course, Course.open()))
    assert there == here and {result.sandbox for result in there.values()} == {"bubblewrap"}
    points = {student: score.points for student, score in course.scores("mini").items()}
    assert points == {student: score.points for student, score in Course.open().scores("mini").items()}
    assert points["ann"] == 5 and 2 < points["bob"] < 5 and points["zoe_m"] == 2


def test_one_that_always_kills_its_worker_fails_alone(course, grade_all):
    submit(course, "ann", soft_argmax="die")
    for student in ("bob", "rob", "zoe_m"):
        submit(course, student, soft_argmax="right", fuse="right")
    lines = grade(course, grade_all=grade_all)
    assert not lines["ann"].good and lines["ann"].says == "the workers that had it died: KilledWorker"
    assert all(lines[student].good for student in ("bob", "rob", "zoe_m"))


def test_who_cannot_grade_as_here_is_refused_in_one_line(course, workers, monkeypatch, capsys):
    with monkeypatch.context() as patch, pytest.raises(
            CourseError, match="want a scheduler's address, such as tcp://host:8786; nowhere"):
        patch.setattr(cluster, "SECONDS", 1)
        list(cluster.grade_all([], address="nowhere"))
    monkeypatch.setattr(cluster, "checks_version", lambda: "other")
    submit(course, "ann", soft_argmax="right")
    assert cli.main(["grade", "mini", "--dask", workers.scheduler_address]) == 1
    said = capsys.readouterr().err.splitlines()[-1]  # after the bar of progress
    assert said.startswith("posebook grade set: --dask: want workers with this posebook, checks other; ")
    assert "has the version" in said and not course.scores("mini")


@pytest.mark.parametrize("threads, words", [
    ({}, "the scheduler has no workers: dask worker ADDRESS --nthreads 1"),
    ({"tcp://a:1": 1, "tcp://b:2": 2}, "want workers with one thread, started with --nthreads 1; tcp://b:2 has more"),
])  # fmt: skip
def test_more_threads_or_no_workers(workers, monkeypatch, threads, words):
    monkeypatch.setattr(distributed.Client, "nthreads", lambda client: threads)
    with pytest.raises(CourseError, match=words):
        list(cluster.grade_all([], address=workers.scheduler_address))


COMMAND = """
import sys
from functools import partial
from classroom import grade
from quick_grader import work
from posebook.grading import cluster
from posebook.grading.course import Course

grade(Course.open("."), grade_all=partial(cluster.grade_all, address=sys.argv[1], work=work))
"""


def test_killed_at_random_moments_every_submission_is_graded_exactly_once(workers, tmp_path, monkeypatch):
    """Sixty submissions; the command and workers are killed again and again, then a last run ends it."""
    root, log = tmp_path / "course", tmp_path / "log"
    (root / "solutions/mini").mkdir(parents=True)
    nbformat.write(mini(), root / "solutions/mini/mini.ipynb")
    students = [f"s{n:02}" for n in range(60)]
    roster = tmp_path / "roster.csv"
    roster.write_text("id,first_name,last_name\n" + "".join(f"{s},A,{s}\n" for s in students))
    init(root, roster=roster)
    monkeypatch.chdir(root)
    course = Course.open()
    release(course, "mini")
    for n, student in enumerate(students):
        submit(course, student, soft_argmax=f"note {log}", fuse=("right", "half", "wrong")[n % 3])
    rng, environment = random.Random(0), {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{os.environ['PYTHONPATH']}"}
    recorded = lambda: len(course.scores("mini"))  # noqa: E731
    for goal in (8, 25):
        command = subprocess.Popen([sys.executable, "-c", COMMAND, workers.scheduler_address], env=environment)
        while recorded() < goal and command.poll() is None:
            time.sleep(0.1)
        if rng.random() < 0.9:
            os.kill(rng.choice([worker.pid for worker in workers.workers.values() if worker.pid]), signal.SIGKILL)
        time.sleep(rng.random())
        command.kill()
        command.wait()
    workers.wait_for_workers(2, timeout=600)
    lines = grade(course, grade_all=partial(cluster.grade_all, address=workers.scheduler_address, work=work))
    assert sorted(lines) == students and all(line.good for line in lines.values())
    points = {student: score.points for student, score in course.scores("mini").items()}
    assert points == {s: 3 + (2, half("fuse"), 0)[n % 3] for n, s in enumerate(students)}
    results = Counter(path.parent.name for path in (root / "grading/results").rglob("*.json"))
    assert results == Counter(students)
    assert set(log.read_text().split()) == set(students)
