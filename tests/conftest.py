"""For all tests: no connection leaves this machine; fixtures for the sample of COCO and for the devices there are."""

import importlib.util
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

collect_ignore = ["guard"]
GUARD = Path(__file__).parent / "guard"
REFUSED = Path(tempfile.mkdtemp(prefix="posebook-guard-"), "refused.txt")
COCO_JSON = os.environ.pop("POSEBOOK_COCO", None)  # the notebooks' stored outputs were made without it

os.environ["POSEBOOK_GUARD_LOG"] = str(REFUSED)
os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])  # subprocesses
spec = importlib.util.spec_from_file_location("posebook_guard", GUARD / "sitecustomize.py")
spec.loader.exec_module(importlib.util.module_from_spec(spec))  # this process


def pytest_sessionfinish(session: pytest.Session) -> None:
    if REFUSED.exists():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if REFUSED.exists():
        terminalreporter.section("FAILED: connections that would have left this machine", red=True)
        terminalreporter.write(REFUSED.read_text())


def pytest_unconfigure() -> None:
    shutil.rmtree(REFUSED.parent, ignore_errors=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        import torch

        cuda = [pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else []
        metafunc.parametrize("device", ["cpu", *cuda])


@pytest.fixture
def coco_json() -> Path:
    """The COCO sample's annotations."""
    if COCO_JSON is None:
        pytest.skip("POSEBOOK_COCO names no COCO keypoint JSON")
    return Path(COCO_JSON).resolve(strict=True)


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """For tests that run answers in the sandbox: skipped where there is none, but not in continuous integration."""
    from posebook.grading.sandbox import SandboxError, probe

    try:
        probe()
    except SandboxError as error:
        if os.environ.get("POSEBOOK_CI"):
            pytest.fail(f"POSEBOOK_CI is set, and the sandbox does not work: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def released(tmp_path_factory) -> Path:
    """An instructor's course with a roster and a small set, released."""
    import nbformat
    from classroom import ROSTER, mini

    from posebook.grading.course import Course
    from posebook.grading.steps import init, release

    root = tmp_path_factory.mktemp("released") / "course"
    (root / "solutions/mini").mkdir(parents=True)
    nbformat.write(mini(), root / "solutions/mini/mini.ipynb")
    roster = root.parent / "roster.csv"
    roster.write_text(ROSTER, encoding="utf-8")
    init(root, roster=roster)
    release(Course.open(root), "mini", due=datetime(2026, 11, 20, tzinfo=UTC))
    return root


@pytest.fixture
def course(released, tmp_path, monkeypatch):
    """A copy of that course, which is the current folder, in one with an unusual name."""
    from posebook.grading.course import Course

    root = tmp_path / "a \"b\" 'c' {d} 50% #1 \u00f1 \u65e5\u672c" / "course"
    shutil.copytree(released, root)
    monkeypatch.chdir(root)
    return Course.open()
