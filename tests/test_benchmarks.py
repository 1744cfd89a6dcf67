"""The benchmarks' page: every row is there, losses are said, one that fails hides no other."""

import importlib
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
GOOD = '''"""Made up: nothing is measured.

More words, which the page leaves out.
"""
from _measure import main, optional, row

def measure(options):
    growing = [row(f"growing, batch {n}", 0.5 * n, peer="dsntnn", theirs=2.0 * n, ratios=[4.0], batch=n)
               for n in (1, 8)]
    return growing + [
        row("ahead", 2.0, peer="kornia", theirs=6.0, ratios=[2.5, 3.1, 3.0], goal=">= 2"),
        row("behind", 5.0, peer="kornia", theirs=3.0, ratios=[0.6, 0.7, 0.5]),
        row("near", 5.0, peer="dsntnn", theirs=4.5, ratios=[0.8, 1.1, 0.9], goal=">= 1"),
        row("many reads", 6.0, peer="a read", theirs=1.0, ratios=[6.0], goal="<= 5"),
        row("near", 5.0, peer="a softmax", theirs=2.5, ratios=[2.0]),
        row("memory", 0.5, "GB", goal="<= 1"),
        row("a | b", note="not measured: there is no CUDA device here"),
    ]

main(measure, __doc__)
'''
BROKEN = '''"""Fails, half way."""
import sys
from _measure import compare, main

def measure(options):
    def wrong():
        raise TypeError("another version's arguments")
    compare({"before": (int, {"torch": (int, ""), "kornia": (wrong, ">= 1")})}, 1)
    sys.exit("broken: results differ from a peer's")

main(measure, __doc__)
'''
LACKING = '''"""Needs what nobody has."""
from _measure import main, needs
main(lambda options: needs("no_such_package"), __doc__)
'''


@pytest.fixture
def bench(monkeypatch):
    """Imports one of the benchmarks' helpers."""
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module
    for name in ("_measure", "_page", "run"):
        sys.modules.pop(name, None)


def run(folder: Path, *arguments: str) -> int:
    command = [sys.executable, folder / "run.py", "--quick", *arguments]
    return subprocess.run(command, stdout=subprocess.DEVNULL, timeout=600).returncode


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, int]:
    """A folder with made-up benchmarks, all run once, and the exit status."""
    folder = tmp_path_factory.mktemp("made up")
    for name in ("run.py", "_page.py", "_measure.py"):
        shutil.copy(FOLDER / name, folder)
    for name, text in {"good": GOOD, "broken": BROKEN, "lacking": LACKING}.items():
        (folder / f"{name}.py").write_text(text)
    return folder, run(folder)


def lines_with(page: str, text: str) -> list[str]:
    return [line for line in page.splitlines() if text in line]


def test_every_row_is_on_the_page_and_a_loss_is_called_one(made):
    page = (made[0] / "RESULTS.md").read_text()
    ahead, = lines_with(page, "| ahead |")
    assert "3.00 times kornia: faster; goal met" in ahead and "3.00 (2.50 to 3.10)" in ahead and "at least 2x" in ahead
    behind, = lines_with(page, "| behind |")
    assert "**0.60 times kornia: slower**" in behind and "goal" not in behind
    near, floor = lines_with(page, "| near |")
    assert "2.00 times a softmax" in floor and "goal" not in floor
    assert "**0.90 times dsntnn: slower**, though the spread includes 1; **goal missed**" in near
    assert "0.50 GB; goal met" in lines_with(page, "| memory |")[0]
    assert "not measured: there is no CUDA device here" in lines_with(page, "| a \\| b |")[0]
    assert "no_such_package is not installed" in page
    assert len(lines_with(page, "growing, batch")) == 2


def test_missed_goals_and_failures_come_first(made):
    top = (made[0] / "RESULTS.md").read_text().split("## How cost grows")[0]
    assert "2 of 4 goals are met" in top
    assert [line.split(", ")[1] for line in lines_with(top, "the goal is")] == ["near", "many reads"]
    near, reads = lines_with(top, "the goal is")
    assert near.endswith("the goal is at least 1x; it takes 2.00 times a softmax")
    assert reads.endswith("6.00 times a read; the goal is at most 5x")
    assert "**broken failed**: broken: results differ from a peer's" in top
    assert "Quick run" in top


def test_one_that_fails_makes_the_status_1_and_hides_no_other(made):
    folder, status = made
    results = json.loads((folder / "results.json").read_text())
    assert status == 1
    assert {name: bool(entry["failed"]) for name, entry in results["runs"].items()} == {
        "broken": True, "good": False, "lacking": False}
    assert [row["work"] for row in results["rows"] if row["benchmark"] == "good"][2:4] == ["ahead", "behind"]
    assert results["runs"]["good"]["about"] == "Made up: nothing is measured."
    kept = {row["peer"]: row for row in results["rows"] if row["benchmark"] == "broken"}
    assert kept["torch"]["ratio"] and kept["kornia"]["met"] is None
    assert kept["kornia"]["note"] == "fails: TypeError: another version's arguments"


def test_a_plot_has_a_sentence_and_an_alternative_text(made):
    page = (made[0] / "RESULTS.md").read_text()
    picture, = lines_with(page, "](batch.svg)")
    assert "At 8, growing: posebook 4.00 ms, dsntnn 16.0 ms." in picture
    assert "From 1 to 8 images in a batch, growing takes 8.00 times as long (dsntnn 8.00)." in page
    drawn = (made[0] / "batch.svg").read_text()
    assert drawn.count("</svg>") == 1 and ">images in a batch</text>" in drawn
    assert not (made[0] / "people.svg").exists()


def test_the_page_is_made_of_results_json_alone(made, bench):
    for folder in (made[0], FOLDER):
        results = json.loads((folder / "results.json").read_text())
        assert bench("_page").page(results) == (folder / "RESULTS.md").read_text()


def test_the_stored_page_has_every_benchmark_and_its_pictures(bench):
    results = json.loads((FOLDER / "results.json").read_text())
    assert sorted(results["runs"]) == bench("run").NAMES
    assert {row["benchmark"] for row in results["rows"]} == set(results["runs"])
    for axis in bench("_page").AXES:
        assert (FOLDER / f"{axis}.svg").exists() == bool(bench("_page").panels(results, axis))


def test_a_part_can_be_replaced(made, tmp_path, bench):
    folder = tmp_path / "again"
    shutil.copytree(made[0], folder)
    (folder / "good.py").write_text(GOOD.replace('"ahead"', '"far ahead"'))
    assert run(folder, "--only", "good", "--threads", "1", "2") == 0
    page = (folder / "RESULTS.md").read_text()
    assert [line[:17] for line in lines_with(page, "far ahead")] == ["| far ahead | 1 |", "| far ahead | 2 |"]
    assert "| ahead |" not in page and "**broken failed**" in page
    stored = json.loads((folder / "results.json").read_text())
    stored["machine"]["processor"] = "another"
    (folder / "results.json").write_text(json.dumps(stored))
    kept = bench("run").earlier(folder / "results.json")
    assert kept["rows"] == [] and kept["runs"] == {} and kept["machine"]["processor"] != "another"


def test_what_another_machine_measured_is_taken_and_kept(made, tmp_path, bench, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        shutil.copytree(made[0], folder)
    other = json.loads((there / "results.json").read_text())
    other["machine"] |= {"card": "a card", "processor": "another"}
    other["rows"] = [row | {"ours": 3.0} for row in other["rows"] if row["benchmark"] == "lacking"]
    (there / "results.json").write_text(json.dumps(other))
    assert run(here, "--only", "lacking", "--take", there / "results.json") == 0
    for wrong in ([], ["--only", "lacking", "run"]):
        assert run(here, *wrong, "--take", there / "results.json") == 2
    for again in (["--only", "lacking"], ["--only", "good"]):  # nothing can be measured of it here
        page, results = (here / "RESULTS.md").read_text(), json.loads((here / "results.json").read_text())
        part = page.split("## lacking")[1]
        assert "On another machine:" in part and "- a card, another, " in part and "3.00 ms" in part
        assert results["machine"]["processor"] != "another" and len(results["runs"]) == 3
        assert run(here, *again) == 0
    assert run(there, "--only", "lacking", "--take", here / "results.json") == 0
    assert "- a card, another, " in (there / "RESULTS.md").read_text().split("## lacking")[1]
    results["machine"]["processor"] = "a third"
    (here / "results.json").write_text(json.dumps(results))
    monkeypatch.setattr(bench("run"), "NAMES", ["broken", "good", "lacking"])
    assert set(bench("run").earlier(here / "results.json")["runs"]) == {"lacking"}
    (here / "lacking.py").write_text(GOOD)
    assert run(here, "--only", "lacking") == 0 and "On another machine" not in (here / "RESULTS.md").read_text()


def test_ratios_are_those_of_each_round(bench, monkeypatch):
    measuring, now, third = bench("_measure"), [0.0], itertools.cycle((6, 6, 8, 12))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: now[0])

    def takes(ms):
        def call():
            now[0] += next(ms) / 1e3
        return call

    peers = {"kornia": (takes(third), ">= 3.9"), "a read": (takes(itertools.repeat(1)), "<= 1.5")}
    kornia, read = measuring.compare({"work": (takes(itertools.repeat(2)), peers)}, rounds=3, calls=1, batch=7)
    # the first call tries the peer, the first round warms up
    assert kornia["ratio"] == pytest.approx([3, 4, 6]) and kornia["met"] and kornia["theirs"] == pytest.approx(8)
    assert read["ratio"] == pytest.approx([2, 2, 2]) and read["met"] is False
    assert kornia["at"] == {"batch": 7}


def test_the_benchmark_of_a_device_runs_on_the_processor_too(tmp_path):
    rows = tmp_path / "rows.json"
    command = [sys.executable, FOLDER / "gpu.py", "--quick", "--device", "cpu", "--threads", "1", "--rows", rows]
    subprocess.run(command, check=True, timeout=600, stdout=subprocess.DEVNULL)
    found = json.loads(rows.read_text())
    shares = [row for row in found if row["unit"] == "%"]
    assert all(row["ours"] > 0 and row["met"] is None and "GB/s" in row["note"] for row in shares)
    measured, shares = ([row["work"].split(",")[0] for row in some] for some in (found, shares))
    assert shares == ["soft-argmax", *2 * ["soft-argmax + backward"], "DARK", "peaks", "people painted"]
    assert {"joints read off maps", "limbs' scores", "a step of training"} <= set(measured)
    assert {row["peer"] for row in found} == {"", "kornia", "dsntnn", "torch max_pool2d 5x5"}


def test_a_real_benchmark_goes_on_without_a_peer(tmp_path):
    rows = tmp_path / "rows.json"
    script = "import runpy, sys; sys.modules['kornia'] = None; runpy.run_module('encode', run_name='__main__')"
    command = [sys.executable, "-c", script, "--quick", "--threads", "1", "--rows", rows]
    subprocess.run(command, check=True, timeout=600, stdout=subprocess.DEVNULL, cwd=FOLDER)
    found = {(row["work"], row["peer"]): row for row in json.loads(rows.read_text())}
    assert found["heatmaps", "kornia"]["note"] == "kornia is not installed"
    assert found["heatmaps", "kornia"]["met"] is None
    low, middle, high = found["heatmaps", "mmpose's loop"]["ratio"]
    assert 0 < low <= middle <= high
