"""Every benchmark, each in a process of its own: results.json, RESULTS.md and its plots.

    python benchmarks/run.py [--quick] [--only NAME ...] [--threads 1 2]
    python benchmarks/run.py --take FILE --only gpu

Each benchmark runs once for each number of threads; explorers, gpu, grading, interaction and start only with the first.
What ran earlier on this machine with these versions stays where --only leaves it out. --take runs nothing: it puts in
what the results.json of another machine, such as one with a CUDA device, holds of a benchmark; the page says where it
was measured, and it stays until it is measured again. The exit status is 1 if a benchmark failed; a missed goal is told
at the top of the page, and changes no status.
"""

import argparse
import ast
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from _measure import PACKAGES, version
from _page import page, plots

HERE = Path(__file__).resolve().parent
NAMES = sorted(path.stem for path in HERE.glob("[!_]*.py") if path.stem != "run")
HANGS = 3 * 3600  # seconds that no benchmark takes
ONCE = ("explorers", "gpu", "grading", "interaction", "start")  # with the first number of threads alone


def machine() -> dict:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    card = {"card": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"processor": processor(), "processors": os.cpu_count(), "memory_gb": round(memory),
            "system": platform.system()} | card


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        asked = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        return asked.stdout.strip() or platform.machine()
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def versions() -> dict[str, str]:
    return {"Python": platform.python_version(), **{name: version(name) or "not installed" for name in PACKAGES}}


def measured(name: str, threads: int, quick: bool) -> tuple[list[dict], str]:
    """Rows, those made before a failure too, and why it failed: the last line of its errors."""
    with tempfile.TemporaryDirectory(prefix="posebook-bench-") as folder:
        rows = Path(folder, "rows.json")
        command = [sys.executable, HERE / f"{name}.py", "--threads", str(threads), "--rows", rows]
        threaded = os.environ | {"OMP_NUM_THREADS": str(threads)}
        try:
            done = subprocess.run(command + ["--quick"] * quick, env=threaded, stderr=subprocess.PIPE, text=True,
                                  timeout=HANGS)
            said, status = done.stderr, done.returncode
        except subprocess.TimeoutExpired:
            said, status = f"no end after {HANGS} s", 1
        sys.stderr.write(said)
        found = json.loads(rows.read_text()) if rows.exists() else []
        why = (said.strip().splitlines() or [f"exit status {status}"])[-1] if status else ""
        return [{"benchmark": name, "threads": threads, **row} for row in found], why


def earlier(file: Path) -> dict:
    """What is stored, if it was measured here, or taken, and still exists; else nothing yet."""
    here = {"machine": machine(), "versions": versions()}
    stored = json.loads(file.read_text()) if file.exists() else here | {"runs": {}, "rows": []}
    same = {key: stored[key] for key in here} == here
    if not same:
        print(f"{file.name} is of another machine or other versions: it is replaced, but for what it has taken")
    runs = {name: run for name, run in stored["runs"].items() if name in NAMES and (same or "elsewhere" in run)}
    return here | {"runs": runs, "rows": [row for row in stored["rows"] if row["benchmark"] in runs]}


def take(results: dict, name: str, other: dict) -> None:
    """One benchmark as another machine measured it."""
    results["rows"] = [row for row in results["rows"] if row["benchmark"] != name] + [
        row for row in other["rows"] if row["benchmark"] == name]
    there = {"elsewhere": {key: other[key] for key in ("machine", "versions")}}
    results["runs"][name] = there | other["runs"][name]  # which may have taken it from a third


def add(results: dict, name: str, options: argparse.Namespace, load: float) -> None:
    """Run one benchmark; its rows take the place of earlier ones, but of taken ones only if something was measured."""
    start, found, failed = time.monotonic(), [], ""
    for threads in options.threads[:1] if name in ONCE else options.threads:
        print(f"\n== {name}, {threads} thread{'s' * (threads > 1)}", flush=True)
        rows, why = measured(name, threads, options.quick)
        found, failed = found + rows, failed or why
    if "elsewhere" in results["runs"].get(name, {}) and all(row["ours"] is None for row in found):
        return
    results["rows"] = [row for row in results["rows"] if row["benchmark"] != name] + found
    results["runs"][name] = {
        "about": ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())).split("\n\n")[0],
        "date": datetime.date.today().isoformat(), "load": round(load, 1), "quick": options.quick,
        "seconds": round(time.monotonic() - start), "failed": failed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two minutes: less data, few rounds")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="default: 1 2, with --quick 1")
    parser.add_argument("--take", type=Path, metavar="FILE", help="results.json of another machine; names need --only")
    options = parser.parse_args()
    options.threads = options.threads or ([1] if options.quick else [1, 2])
    load, file = os.getloadavg()[0], HERE / "results.json"
    results = earlier(file)
    other = json.loads(options.take.read_text()) if options.take else None
    if other and (options.only is NAMES or not other["runs"].keys() >= set(options.only)):
        parser.error(f"--take wants --only with names of what {options.take} holds: {', '.join(other['runs'])}")
    for name in options.only:
        take(results, name, other) if other else add(results, name, options, load)
        file.write_text(json.dumps(results, indent=1) + "\n")
        (HERE / "RESULTS.md").write_text(page(results))  # also if the run is ended early
    plots(results, HERE)
    failed = [name for name in options.only if results["runs"][name]["failed"]]
    print(f"\nWritten: {HERE / 'RESULTS.md'}" + "".join(f"\nFailed: {name}" for name in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
