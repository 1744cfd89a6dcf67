"""Make .venv and install posebook there, with the extras named: python3 tools/venv.py [dev] [bench].

Does nothing where that is done already. Standard library only, and plain enough that an old Python 3 can read it
and say which one is needed.
"""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "posebook.json"  # what is installed; absent while pip is changing it
LOG = VENV / "pip.log"
NEEDED = (3, 11)
UNREACHABLE = re.compile("connection broken|failed to establish|max retries|timed out|incomplete", re.IGNORECASE)


def main(extras):
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    torch_index = os.environ.get("TORCH_INDEX") or state.get("torch_index", "")
    wanted = {"folder": str(HERE), "torch_index": torch_index, "files": digest("pyproject.toml", "constraints.txt")}
    installed = set(state.pop("extras", []))
    if state == wanted and installed.issuperset(extras) and PYTHON.exists():
        return
    if not whole():
        make_venv()
    drop_unfinished()
    LOG.write_text("")
    print("Installing posebook into .venv: minutes the first time, seconds later. Details: .venv/pip.log", flush=True)
    if torch_index != state.get("torch_index", ""):
        pip("install", "-c", "constraints.txt", "--index-url", torch_index, "--force-reinstall", "--no-deps", "torch")
    extras = sorted(installed.union(extras))
    pip("install", "-c", "constraints.txt", "-e", ".[" + ",".join(extras) + "]" if extras else ".")
    draft = STATE.with_suffix(".part")
    draft.write_text(json.dumps({**wanted, "extras": extras}))
    draft.replace(STATE)


def digest(*names):
    return hashlib.sha256(b"\n".join((HERE / name).read_bytes() for name in names)).hexdigest()


def whole():
    """Whether .venv stands where it was made, with its Python and with all of pip."""
    pip = VENV / "bin" / "pip"
    return PYTHON.exists() and pip.exists() and str(PYTHON) in pip.read_text() and not unfinished("pip-*")


def unfinished(pattern):
    """Packages whose installation was cut off: pip writes INSTALLER last."""
    found = list(VENV.glob("lib/python3*/site-packages/" + pattern + ".dist-info"))
    return [path for path in found if not (path / "INSTALLER").exists()]


def drop_unfinished():
    for path in unfinished("*"):
        shutil.rmtree(str(path))  # pip then installs the package again


def make_venv():
    this = "{}.{}".format(*sys.version_info)
    if sys.version_info < NEEDED:
        others = [name for name in ("python3.11", "python3.12", "python3.13") if shutil.which(name)] + ["python3.12"]
        sys.exit(
            f"Python 3.11 or newer is needed, this is {this} ({sys.executable}); "
            f"install it or name one: make PYTHON={others[0]} lab"
        )
    if importlib.util.find_spec("ensurepip") is None:
        sys.exit(
            f"Python {this} ({sys.executable}) lacks ensurepip, which makes .venv; "
            f"on Debian or Ubuntu: apt install python{this}-venv"
        )
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        sys.exit("Python could not make .venv: " + made.stdout.strip().splitlines()[-1])


def pip(*arguments):
    """Run pip in .venv. Its output goes to the log; a terminal sees its latest line; a failure ends in one line."""
    command = [str(PYTHON), "-m", "pip", "--no-input", "--disable-pip-version-check"] + list(arguments)
    process = subprocess.Popen(
        command, cwd=str(HERE), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )
    with LOG.open("a", encoding="utf-8", buffering=1) as log:
        for line in process.stdout:
            log.write(line)
            if line.startswith("Installing collected packages") and STATE.exists():
                STATE.unlink()
            if sys.stdout.isatty():
                print("\r\033[K" + line.strip()[:78], end="", flush=True)
    if sys.stdout.isatty():
        print("\r\033[K", end="", flush=True)
    if process.wait():
        sys.exit(reason(LOG.read_text(encoding="utf-8")))


def reason(log):
    """pip's failure in one line."""
    if UNREACHABLE.search(log):
        return "No network: pip reached no package index. Connect and run the same again. Details: .venv/pip.log"
    if "No space left on device" in log:
        return "The disk is full: make room (torch needs gigabytes) and run the same command again."
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")] or ["ERROR: no reason given"]
    return f"pip stopped: {errors[-1].rstrip('.')}. Details: .venv/pip.log"


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the same command again to go on.")
    except OSError as error:
        sys.exit(f"Cannot set up .venv: {error}")
