"""The gradebook in PostgreSQL: a class graded, recorded and exported as with SQLite, on a server of the test's own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import nbformat
import pytest
from classroom import ROSTER, grade, half, mini, submit

from posebook.grading.course import Course
from posebook.grading.export import export
from posebook.grading.steps import init, release


def run_as_nobody() -> dict:
    """PostgreSQL refuses to run as root: it then runs as the user that Debian's package made for it."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> str:
    """The address of a database on a private cluster, which listens on a socket in its own folder alone."""
    bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = bins[-1] / "initdb" if bins else shutil.which("initdb")
    try:
        who = run_as_nobody()
        import psycopg  # noqa: F401
    except (KeyError, ImportError) as error:
        found, missing = None, str(error)
    else:
        missing = "initdb"
    if not found or not Path(found).exists():
        if os.environ.get("POSEBOOK_CI"):
            pytest.fail(f"POSEBOOK_CI is set, and PostgreSQL is not installed: {missing}")
        pytest.skip(f"PostgreSQL is not installed: {missing}")
    bin = Path(found).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="posebook-pg-", dir="/tmp"))  # a short path: that of a socket is limited
    if who:
        os.chown(folder, who["user"], who["group"])
    log = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "check": True, "cwd": folder}
    try:
        subprocess.run([bin / "initdb", "-D", folder / "data", "-U", "posebook", "-A", "trust", "-E", "UTF8",
                        "--no-sync", "--locale=C"], **log, **who)
        subprocess.run([bin / "pg_ctl", "-D", folder / "data", "-l", folder / "log", "-w", "-t", "600", "-o",
                        f"-F -c listen_addresses='' -k {folder}", "start"],
                       **{**log, "stdout": subprocess.DEVNULL}, **who)
        yield f"postgresql+psycopg://posebook@/postgres?host={folder}"
    finally:
        subprocess.run([bin / "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "stop"],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **who)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_class_in_postgresql(server, tmp_path, monkeypatch):
    root = tmp_path / "course"
    (root / "solutions/mini").mkdir(parents=True)
    nbformat.write(mini(), root / "solutions/mini/mini.ipynb")
    (tmp_path / "roster.csv").write_text(ROSTER, encoding="utf-8")
    assert init(root, roster=tmp_path / "roster.csv", db=server)[-1].startswith("roster: 4 students in postgresql")
    assert not (root / "grading/gradebook.db").exists()
    monkeypatch.chdir(root)
    course = Course.open()
    release(course, "mini")
    submit(course, "ann", soft_argmax="right", fuse="right", free="Tails.")
    submit(course, "zoe_m", soft_argmax="right", fuse="half")
    assert all(line.good for line in grade(course).values())
    scores = course.scores("mini")
    assert scores["ann"].points == 5 and scores["ann"].by_hand and scores["zoe_m"].points == 3 + half("fuse")
    submit(course, "ann", soft_argmax="right")
    assert all(line.good for line in grade(Course.open()).values())
    assert course.scores("mini")["ann"].points == 3
    assert course.students()["zoe_m"].first_name == "Zoë"
    lines = {line.name: line.says for line in export(course, "mini", to=tmp_path / "x.csv")}
    assert lines["ann"] == "3 of 10" and lines["bob"] == "blank: nothing handed in"
