"""For all tests: no connection leaves this machine; fixtures for the sample of COCO and for the devices there are."""

import importlib.util
import os
import shutil
import signal
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("posebook", deadline=None)  # what is only slow is no fault
settings.load_profile("posebook")
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background, and so by children
collect_ignore = ["elsewhere", "guard"]
GUARD = Path(__file__).parent / "guard"


class Guard:
    """Kept by the process that a run starts with; what it starts, workers of pytest-xdist too, inherits the guard."""

    def __init__(self) -> None:
        self.refused = Path(tempfile.mkdtemp(prefix="posebook-guard-"), "refused.txt")
        os.environ["POSEBOOK_GUARD_LOG"] = str(self.refused)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])
        spec = importlib.util.spec_from_file_location("posebook_guard", GUARD / "sitecustomize.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))  # this process
        os.environ["MPLCONFIGDIR"] = str(self.refused.parent)
        import matplotlib.font_manager  # noqa: F401, lists the fonts: kernels find that list, whatever else runs then

        os.environ.pop("POSEBOOK_PROGRESS", None)  # no one's own journal
        if "POSEBOOK_COCO" in os.environ:  # the notebooks' stored outputs were made without it
            os.environ["POSEBOOK_TESTS_COCO"] = os.environ.pop("POSEBOOK_COCO")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused.exists():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.refused.exists():
            terminalreporter.section("FAILED: connections that would have left this machine", red=True)
            terminalreporter.write(self.refused.read_text())

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self.refused.parent, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Guard())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "device" in metafunc.fixturenames:
        import torch

        cuda = [pytest.param("cuda", marks=pytest.mark.gpu)] if torch.cuda.is_available() else []
        metafunc.parametrize("device", ["cpu", *cuda])


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")


@pytest.fixture(scope="module")
def browser():
    """Chromium; the tests that need it are skipped where it is not."""
    from driver import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A work/ that was filled, with the folder of a set, which is the current one."""
    from posebook import _journal

    folder = tmp_path / "l'été 1/work"
    (folder / "exercises/decoding").mkdir(parents=True)
    (folder / _journal.COPIED).write_text("{}")
    monkeypatch.chdir(folder / "exercises/decoding")
    return folder


@pytest.fixture
def coco_json() -> Path:
    """The COCO sample's annotations."""
    if "POSEBOOK_TESTS_COCO" not in os.environ:
        pytest.skip("POSEBOOK_COCO names no COCO keypoint JSON")
    return Path(os.environ["POSEBOOK_TESTS_COCO"]).resolve(strict=True)


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
