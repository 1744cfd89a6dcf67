"""Make .venv and install posebook there, with the extras named: python3 tools/venv.py [dev] [bench].

Does nothing where that is done already. uv installs where it is there, else pip. Standard library only, and plain
enough that an old Python 3 can read it and say which one is needed.
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
STATE = VENV / "posebook.json"  # what is installed; without a folder while that changes: .venv is then made anew
LOG = VENV / "install.log"
NEEDED = (3, 11)
CHANGES = re.compile(r"Installing collected packages|Prepared \d|Uninstalled \d")  # as pip and uv say it
LARGE = re.compile(r"Downloading .*\((\d{2,}[.\d]* ?Mi?B|[\d.]+ ?Gi?B)\)")
UNREACHABLE = re.compile(
    "connection broken|failed to establish|max retries|timed out|incomplete|error sending request|failed to fetch", re.I
)
START = (
    "Installing posebook into .venv: the first time 340 MB to download, with torch's CUDA build 3 GB, and minutes; "
    "later seconds. Details: .venv/install.log"
)


def main(extras):
    state = json.loads(STATE.read_text()) if STATE.exists() else {}
    files = b"\n".join((HERE / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    chosen = {
        "torch_index": os.environ.get("TORCH_INDEX") or state.get("torch_index", ""),
        "extras": sorted({*state.get("extras", []), *extras}),
    }
    here = {"folder": str(HERE)}
    done = {**here, **chosen, "files": hashlib.sha256(files).hexdigest()}
    if state == done and PYTHON.exists():
        return
    whole = state.get("folder") == here["folder"] and PYTHON.exists()
    if not whole:
        make_venv()
        write_state(**here, **chosen)
    LOG.write_text("")
    print(START, flush=True)
    if chosen["torch_index"] and not (whole and "files" in state and state["torch_index"] == chosen["torch_index"]):
        install(chosen, "--index-url", chosen["torch_index"], "--force-reinstall", "--no-deps", "torch")
        write_state(**here, **chosen)
    install(chosen, "-e", ".[" + ",".join(chosen["extras"]) + "]" if chosen["extras"] else ".")
    write_state(**done)


def write_state(**state):
    draft = STATE.with_suffix(".part")
    draft.write_text(json.dumps(state))
    draft.replace(STATE)


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


def install(chosen, *what):
    """A log has the whole output. A terminal shows its latest line, anything else hears of large downloads."""
    uv, python = shutil.which("uv"), str(PYTHON)
    command = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "--no-input", "install"]
    command += ["-c", "constraints.txt"] + list(what)
    process = subprocess.Popen(
        command, cwd=str(HERE), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace"
    )
    live = sys.stdout.isatty()
    with LOG.open("a", encoding="utf-8", buffering=1) as log:
        for line in process.stdout:
            log.write(line)
            changes = CHANGES.match(line)
            if changes:
                write_state(**chosen)
            if live:
                print("\r\033[K" + line.strip()[:78], end="", flush=True)
            elif changes or LARGE.search(line):
                print("  " + line.strip()[:78], flush=True)
    if live:
        print("\r\033[K", end="", flush=True)
    if process.wait():
        sys.exit(reason(LOG.read_text(encoding="utf-8"), process.returncode))


def reason(log, status):
    """Why an installation failed, in one line."""
    if status < 0:
        return f"The installation was killed (signal {-status}), for want of memory perhaps: run the same again."
    if "No space left on device" in log:
        return "The disk is full: make room (torch needs gigabytes) and run the same command again."
    if UNREACHABLE.search(log):
        return "No network: no package index was reached. Connect and run the same again. Details: .venv/install.log"
    errors = [line.strip() for line in log.splitlines() if re.match(r"ERROR:|error:|  × ", line)] or ["no reason given"]
    return "Installation stopped: {}. Details: .venv/install.log".format(errors[-1].rstrip("."))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run the same command again to go on.")
    except OSError as error:
        sys.exit(f"Cannot set up .venv: {error}")
