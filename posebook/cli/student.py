"""A student's commands: ``posebook lab`` and ``posebook doctor``."""

import argparse
import hashlib
import importlib.metadata
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from posebook._files import write, write_new

WORK = Path("work")
COPIED = WORK / ".copied.json"  # of each file that was copied into work/, what it held
OFFLINE = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
)
REINSTALL = "make venv, or python -m pip install -c constraints.txt -e ."


def add_commands(commands: argparse._SubParsersAction) -> None:
    add_lab(commands)
    add_doctor(commands)


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


def lab(options: argparse.Namespace) -> int:
    chapters = course_chapters()
    if not chapters:
        print(f"posebook lab: want the course's folder, which has chapters/; got {Path.cwd()}", file=sys.stderr)
        return 1
    try:
        copied, renewed, kept = copy_course()
    except OSError as error:
        print(f"posebook lab: want a folder work/ to write to; got: {error}", file=sys.stderr)
        return 1
    if renewed:
        print("Replaced in work/ by a newer version, since you had changed nothing:", *renewed, sep="\n  ")
    if kept:
        print("Left in work/ as you changed it, though there is a newer version (rename yours to get it):", *kept,
              sep="\n  ")
    if running := address_of_running():
        print(f"JupyterLab is running here already: {running}", flush=True)
        if not options.no_browser:
            webbrowser.open(running)
        return 0
    print(f"{len(copied)} files copied into work/, where your own notebooks are. Ctrl-C ends JupyterLab.", flush=True)
    arguments = [f"--ServerApp.root_dir={WORK}", f"--LabApp.default_url=/lab/tree/{chapters[0]}", *OFFLINE]
    arguments += [f"--port={options.port}", "--log-level=ERROR", "-y"]  # -y: Ctrl-C asks nothing
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


def course_chapters() -> list[str]:
    return sorted(path.as_posix() for path in Path("chapters").glob("*.ipynb"))


def copy_course() -> tuple[list[Path], list[Path], list[Path]]:
    """Copy what work/ lacks of chapters/ and exercises/, and what is newer there and was not changed in work/.

    Returns:
        What was copied because it was missing, what was replaced, and what is newer but was kept as it was changed.
    """
    WORK.mkdir(exist_ok=True)
    before = json.loads(COPIED.read_text(encoding="utf-8")) if COPIED.exists() else {}
    sources = [path for folder in ("chapters", "exercises") for path in Path(folder).rglob("*") if path.is_file()]
    copied, renewed, kept, now = [], [], [], {}
    for path in sorted(path for path in sources if ".ipynb_checkpoints" not in path.parts):
        data, name = path.read_bytes(), path.as_posix()
        new = now[name] = written(data)
        if not os.path.lexists(WORK / path):
            copied += [path] if write_new(WORK / path, data) else []
        elif new != (mine := written((WORK / path).read_bytes())) and new != before.get(name):
            if mine == before.get(name):
                write(WORK / path, data)
                renewed.append(path)
            else:
                kept.append(path)
                now[name] = before.get(name, "")
    write(COPIED, json.dumps(now, indent=1).encode())
    return copied, renewed, kept


def written(data: bytes) -> str:
    """Fingerprint of what someone wrote in a file: of a notebook the cells, not what came out when they ran."""
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(data)["cells"]]
    except (ValueError, LookupError, TypeError):  # another file
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def address_of_running() -> str | None:
    """The address of a JupyterLab that serves this work/ already."""
    from jupyter_server.serverapp import list_running_servers

    for server in list_running_servers():
        if Path(server["root_dir"]) == WORK.resolve():
            return f"{server['url']}lab?token={server['token']}"
    return None


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
    count = len(course_chapters())
    text = f"notebooks in {Path('chapters').absolute()}: {count}"
    return Finding(count > 0, text, "cd to the course's folder")


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
