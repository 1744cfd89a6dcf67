"""A student's commands: ``posebook lab``, ``update``, ``reset``, ``progress`` and ``doctor``."""

import argparse
import functools
import importlib.metadata
import os
import shutil
import signal
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from posebook import _journal
from posebook.cli import copies
from posebook.cli.copies import WORK

OFFLINE = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
PROMPT = "--ServerApp.kernel_websocket_connection_class=posebook.cli.websocket.PromptConnection"
REINSTALL = "make venv, or python -m pip install -c constraints.txt -e ."


def add_commands(commands: argparse._SubParsersAction) -> None:
    add_lab(commands)
    add_update(commands)
    add_reset(commands)
    add_progress(commands)
    add_doctor(commands)


def told(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """What a student can put right ends in one line on stderr, and in 1."""

    @functools.wraps(run)
    def command(options: argparse.Namespace) -> int:
        try:
            return run(options)
        except copies.CopyError as error:
            print(f"posebook {run.__name__}: {error}", file=sys.stderr)
            return 1

    return command


def tell(words: str, names: Iterable[object]) -> None:
    """The names below the words, if there are any."""
    if names := list(names):
        print(words, *names, sep="\n  ")


# ---------------------------------------------------------------------------------------------------------------------
# posebook lab


def add_lab(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("lab", help="copy what is missing into work/ and open JupyterLab there")
    command.add_argument("--port", type=port, default=8888, help="the first port to try (8888)")
    command.add_argument("--no-browser", action="store_true", help="print the address, open nothing")
    command.set_defaults(run=lab)


def port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"want a number from 1 to 65535, got {text}")
    return int(text)


@told
def lab(options: argparse.Namespace) -> int:
    course = copies.course()
    copied = copies.copy_course(course)
    tell("Replaced in work/ by a newer version, since you had changed nothing:", copied.renewed)
    tell("Left in work/ as you changed it, though there is a newer version (posebook update puts that beside yours):",
         copied.kept)
    return serve(options, copies.chapters(course)[0], len(copied.new))


def serve(options: argparse.Namespace, first: str, count: int) -> int:
    """JupyterLab in work/, at the first chapter, until it ends."""
    if running := address_of_running():
        print(f"JupyterLab is running here already: {running}", flush=True)
        if not options.no_browser:
            webbrowser.open(running)
        return 0
    print(f"{count} files copied into work/, where your own notebooks are. Ctrl-C ends JupyterLab.", flush=True)
    arguments = [f"--ServerApp.root_dir={WORK}", f"--LabApp.default_url=/lab/tree/{first}", *OFFLINE]
    arguments += [f"--port={options.port}", "--log-level=ERROR", "-y"]  # -y: Ctrl-C asks nothing
    if "JUPYTER_GATEWAY_URL" not in os.environ:  # with kernels elsewhere the server needs connections of another class
        arguments.append(PROMPT)
    if options.no_browser:
        arguments.append("--no-browser")
    if getattr(os, "geteuid", lambda: 1)() == 0:
        arguments.append("--allow-root")  # in a container
    if coco := os.environ.pop("POSEBOOK_COCO", ""):  # kernels start in folders of their own
        os.environ["POSEBOOK_COCO"] = os.path.abspath(os.path.expanduser(coco))
    settings = [str(Path(__file__).parent), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(settings)  # ours: labconfig/, so that no news are offered
    # Without a terminal JupyterLab leaves SIGINT to Python, and may then hang; SIGTERM ends it in every case.
    signal.signal(signal.SIGINT, lambda *_: signal.raise_signal(signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="posebook-lab-") as folder:
        if closed := closed_folders():
            print(f"{', '.join(closed.values())} cannot be written to: JupyterLab forgets its settings when it ends.",
                  flush=True)
            os.environ |= {name: os.path.join(folder, name) for name in closed}
        from jupyterlab.labapp import main as jupyterlab

        jupyterlab(arguments)
    for thread in threading.enumerate():  # JupyterLab leaves workers of anyio that Python would wait for at its end
        if type(thread).__module__.startswith("anyio."):
            thread.stop()
    return 0


def closed_folders() -> dict[str, str]:
    """The folders in a home, by the variables that name them, where Jupyter wants to write and cannot."""
    from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir

    ipython = os.environ.get("IPYTHONDIR") or os.path.expanduser("~/.ipython")
    folders = {"JUPYTER_CONFIG_DIR": jupyter_config_dir(), "JUPYTER_DATA_DIR": jupyter_data_dir(),
               "JUPYTER_RUNTIME_DIR": jupyter_runtime_dir(), "IPYTHONDIR": ipython}
    return {name: folder for name, folder in folders.items() if unwritable(Path(folder))}


def unwritable(folder: Path) -> str:
    """Why nothing can be written to a folder, or to the one in which it would be made; "" where it can."""
    there = next(up for up in (folder, *folder.parents) if os.path.exists(up))
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        return error.strerror
    return ""


def address_of_running() -> str | None:
    """The address of a JupyterLab that serves this work/ already."""
    from jupyter_server.serverapp import list_running_servers

    for server in list_running_servers():
        if Path(server["root_dir"]) == WORK.resolve():
            return f"{server['url']}lab?token={server['token']}"
    return None


# ---------------------------------------------------------------------------------------------------------------------
# posebook update, reset, progress


def add_update(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("update", help="bring new material into work/; what you changed stays as it is")
    command.set_defaults(run=update)


@told
def update(options: argparse.Namespace) -> int:
    copied = copies.copy_course(copies.course(), beside=True)
    tell("New in work/:", copied.new)
    tell("Replaced in work/ by a newer version, since you had changed nothing:", copied.renewed)
    tell("Yours stays as you changed it; the newer version lies beside it:",
         (f"{path}: {name}" for path, name in copied.kept.items()))
    if not (copied.new or copied.renewed or copied.kept):
        print("work/ is up to date.")
    return 0


def add_reset(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("reset", help="bring a problem's empty stub back in work/, and keep your answer")
    command.add_argument("problem", help="its name, such as soft_argmax")
    command.set_defaults(run=reset)


@told
def reset(options: argparse.Namespace) -> int:
    notebook, kept = copies.put_back(copies.course(), options.problem)
    if kept is None:
        print(f"{options.problem} in {notebook} is as it was handed out: there is no answer to put away.")
        return 0
    print(f"{options.problem} in {notebook} is empty again, and your answer is in {kept}.")
    print("Is the notebook open? Choose File, Reload Notebook from Disk, before you go on.")
    try:
        if path := _journal.where(WORK):
            _journal.add(path, "reset", problem=options.problem)
    except OSError as error:
        print(f"This reset is missing in posebook progress: {error}")
    return 0


def add_progress(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("progress", help="say which problems pass, what was tried and what comes next")
    command.add_argument("set", nargs="?", default="", help="a problem set, such as decoding; else all that you tried")
    command.set_defaults(run=progress)


def progress(options: argparse.Namespace) -> int:
    path = _journal.where(WORK)
    if path is None:
        print(f"posebook progress: want a folder with the course's work/; got {Path.cwd()}: posebook lab fills one",
              file=sys.stderr)
        return 1
    from posebook.progress import NONE, read

    try:
        print(read(path, options.set) or NONE)
    except (ValueError, OSError) as error:
        print(f"posebook progress: {error}", file=sys.stderr)
        return 1
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# posebook doctor


def add_doctor(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("doctor", help="say whether the course can run here, and what would help")
    command.set_defaults(run=doctor)


class Finding(NamedTuple):
    good: bool
    text: str
    remedy: str
    needed: bool = True


def doctor(options: argparse.Namespace) -> int:
    findings = [*packages(), device(), widgets(), notebooks(), writing(), home()]
    findings.append(program("chromium", command="chromium", use="the tests that drive JupyterLab's page"))
    findings.append(program("bubblewrap", command="bwrap", use="grading in a sandbox"))
    for good, text, remedy, needed in findings:
        print("ok     " + text if good else f"{'FAIL' if needed else 'note':6} {text}: {remedy}")
    can_run = all(found.good or not found.needed for found in findings)
    print("The course can run here." if can_run else "The course cannot run here: mend each FAIL and ask again.")
    return 0 if can_run else 1


def packages() -> Iterator[Finding]:
    """Python and each package that students need, against what posebook's metadata asks for."""
    from packaging.requirements import Requirement

    try:
        metadata = importlib.metadata.metadata("posebook")
    except importlib.metadata.PackageNotFoundError:
        yield Finding(False, "posebook is not installed", REINSTALL)
        return
    python = ".".join(map(str, sys.version_info[:3]))
    yield compare("Python", python, metadata["Requires-Python"], remedy="install it, then make PYTHON=python3.11 lab")
    for requirement in map(Requirement, metadata.get_all("Requires-Dist", [])):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield compare(requirement.name, installed(requirement.name), str(requirement.specifier), remedy=REINSTALL)


def installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def compare(name: str, version: str, wanted: str, *, remedy: str) -> Finding:
    """``wanted`` is like ">=3.11"; a version such as 2.13.0+cpu or 3.0rc1 counts as what it says."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        good = SpecifierSet(wanted).contains(Version(version), prereleases=True)
    except InvalidVersion:  # "missing"
        good = False
    return Finding(good, f"{name} {version}" + ("" if good else f", want {wanted}"), remedy)


def device() -> Finding:
    try:
        import torch
    except Exception as error:  # a broken build fails in many ways
        return Finding(False, f"torch does not start ({error})", REINSTALL)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if torch.backends.mps.is_available():
        name = "mps"
    return Finding(True, f"torch computes on {name}", "")


def widgets() -> Finding:
    try:
        import ipywidgets  # noqa: F401
        from jupyter_core.paths import jupyter_path
    except Exception as error:
        return Finding(False, f"ipywidgets does not start ({error})", REINSTALL)
    folders = jupyter_path("labextensions", "@jupyter-widgets", "jupyterlab-manager")
    found = any(Path(folder).is_dir() for folder in folders)
    text = "widgets render in JupyterLab" if found else "JupyterLab lacks its widgets' extension"
    return Finding(found, text, "python -m pip install --force-reinstall jupyterlab_widgets")


def notebooks() -> Finding:
    try:
        folder = copies.course()
    except copies.CopyError as error:
        return Finding(False, f"no course here: {error}", "cd to the course's folder")
    return Finding(True, f"notebooks in {folder.absolute() / 'chapters'}: {len(copies.chapters(folder))}", "")


def writing() -> Finding:
    folder = (WORK if WORK.exists() else Path(".")).absolute()
    if why := unwritable(folder):
        text = f"{folder} cannot be written to ({why})"
        return Finding(False, text, "change its owner or rights, or move the course")
    return Finding(True, f"{folder} can be written to", "")


def home() -> Finding:
    closed = ", ".join(closed_folders().values())
    text = f"{closed} cannot be written to" if closed else "Jupyter can keep its settings"
    return Finding(not closed, text, "JupyterLab forgets its settings when it ends", needed=False)


def program(name: str, *, command: str, use: str) -> Finding:
    found = shutil.which(command)
    text = f"{name}, for {use}" if found else f"no {name}, only for {use}"
    return Finding(bool(found), text, f"apt install {name}", needed=False)
