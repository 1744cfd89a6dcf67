"""posebook evaluate, as an engineer meets it."""

import argparse
import json
import re
import shutil
import sys
from functools import partial

import numpy as np
import pytest
import tqdm
from bs4 import BeautifulSoup
from coco_sets import coco_set, pycocotools
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posebook.cli.evaluate import add_commands
from posebook.diagnosis import diagnose
from posebook.results import read


def evaluate(*arguments) -> int:
    parser = argparse.ArgumentParser(prog="posebook")
    add_commands(parser.add_subparsers(required=True))
    options = parser.parse_args(["evaluate", *map(str, arguments)])
    return options.run(options)


@pytest.fixture
def files(tmp_path):
    """Annotations and results with everything in them, and what they hold."""
    data = coco_set(np.random.default_rng(1), images=8)
    paths = tmp_path / "truth.json", tmp_path / "results.json"
    for path, content in zip(paths, data, strict=True):
        path.write_text(json.dumps(content))
    return paths, data


def test_ten_lines_then_kinds_then_keypoints(files, capsys):
    paths, data = files
    assert evaluate(*paths) == 0
    out, err = capsys.readouterr()
    assert out.startswith(pycocotools(*data).text) and err == ""
    diagnosis = diagnose(read(*data))
    ap, rows = diagnosis.evaluation.stats["AP"], dict(re.findall(r"^([a-z_ ]+?)  +(\S.*)$", out, re.M))
    for kind, mended in diagnosis.mended.items():
        assert rows[kind].split()[-2:] == [f"{mended.stats['AP']:.3f}", f"{mended.stats['AP'] - ap:.3f}"]
    errors, without = diagnosis.errors[0], diagnosis.keypoints[0]
    for name, counts, mended in zip(errors.keypoints, errors.counts, without, strict=True):
        shares = [f"{n / counts.sum():.1%}" for n in counts]
        assert rows[name].split() == [str(counts.sum()), *shares, f"{mended:.3f}", f"{mended - ap:.3f}"]
    assert rows["false positive"].split()[0] == str(len(errors.false_positives))
    assert rows["missed person"].split()[0] == str(len(errors.missed))


def test_sigmas_and_several_categories(tmp_path, capsys):
    data = coco_set(np.random.default_rng(3), keypoints=3, categories=2)
    for name, content in zip(("truth", "results"), data, strict=True):
        (tmp_path / name).write_text(json.dumps(content))
    assert evaluate(tmp_path / "truth", tmp_path / "results", "--sigmas", ".1,.2,.05") == 0
    out, _ = capsys.readouterr()
    assert out.startswith(pycocotools(*data, [0.1, 0.2, 0.05]).text)
    assert out.count("Keypoint by keypoint: kind ") == 2 and "Note" not in out
    assert evaluate(tmp_path / "truth", tmp_path / "results") == 1
    assert "sigmas: want 3 numbers > 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        evaluate(tmp_path / "truth", tmp_path / "results", "--sigmas", "a,b")
    assert "want numbers with commas between them, got a,b" in capsys.readouterr().err


def test_an_id_of_0_is_noted(tmp_path, capsys):
    data = coco_set(np.random.default_rng(1), images=8, first_id=0)
    for name, content in zip(("truth", "results"), data, strict=True):
        (tmp_path / name).write_text(json.dumps(content))
    assert evaluate(tmp_path / "truth", tmp_path / "results") == 0
    assert "Note: the person with the annotation id 0 counts as never found" in capsys.readouterr().out


def test_nobody_to_find(tmp_path, capsys):
    truth, results = coco_set(np.random.default_rng(1))
    for name, content in (("truth", truth | {"annotations": []}), ("results", results)):
        (tmp_path / name).write_text(json.dumps(content))
    assert evaluate(tmp_path / "truth", tmp_path / "results", "--html", tmp_path / "page.html") == 0
    out = capsys.readouterr().out
    assert out.count("= -1.000") == 10 and re.search(r"^jitter +0 +- +-$", out, re.M)
    (tmp_path / "results").write_text("[]")
    assert evaluate(tmp_path / "truth", tmp_path / "results", "--html", tmp_path / "page.html") == 0


def test_progress_where_somebody_watches(files, capsys, monkeypatch):
    assert evaluate(*files[0]) == 0 and capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(tqdm, "tqdm", partial(tqdm.tqdm, mininterval=0))  # show each step
    assert evaluate(*files[0]) == 0
    said = capsys.readouterr().err
    assert "reading" in said and "evaluating" in said
    steps = [int(step) for step in re.findall(r"(\d+)/24 ", said)]
    assert len(steps) > 3 and steps == sorted(steps) and said.endswith("\r")  # the bar is gone in the end


@pytest.mark.parametrize("name", ["truth.json", "results.json"])
@pytest.mark.parametrize("content, text", [
    (None, "no such file"), ("folder", "want a COCO JSON file, got a folder"), (b"", "want JSON, got Expecting value"),
    (b"\xff\xfe\x00", "want JSON, got "), (b"[" * 100_000, "want JSON, got "), (b"3", "want "),
])  # fmt: skip
def test_one_error_for_a_bad_file(files, capsys, name, content, text):
    (annotations, results), _ = files
    path = annotations.with_name(name)
    path.unlink()
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    page = path.with_name("page.html")
    assert evaluate(annotations, results, "--html", page) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"posebook evaluate: {path}") and text in err
    assert not page.exists()


@settings(max_examples=80, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1), cut=st.integers(0, 3), put=st.sampled_from(
    [b"", b"[", b"]", b"{", b'"', b",", b"null", b"1e999", b"-", b"NaN", b"\xff", b'"a"', b"1e400", b"0"]))
def test_a_damaged_results_file_is_one_error_or_figures(files, capsys, where, cut, put):
    (annotations, results), data = files
    raw = json.dumps(data[1]).encode()
    k = int(where * len(raw))
    results.write_bytes(raw[:k] + put + raw[k + cut :])
    code = evaluate(annotations, results)
    out, err = capsys.readouterr()
    assert (code, err) == (0, "") if out else code == 1 and err.count("\n") == 1 and "Traceback" not in err


def test_a_page_that_cannot_be_written_is_one_error(files, capsys):
    paths, _ = files
    assert evaluate(*paths, "--html", paths[0] / "page.html") == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and str(paths[0]) in err and "Where the AP goes" in out


@pytest.fixture
def page(files, capsys):
    """The page of a set whose names would break it if they were not escaped."""
    (annotations, results), (truth, _) = files
    truth["categories"][0]["name"] = "<script>alert('x')</script>"
    annotations.write_text(json.dumps(truth))
    path = annotations.with_name("page.html")
    assert evaluate(annotations, results, "--html", path) == 0
    assert capsys.readouterr().out.endswith(f"Written: {path}\n")
    return path


def test_the_page_holds_what_the_text_holds_and_asks_nobody(page, files):
    diagnosis = diagnose(read(*files[0]))
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    assert not soup.find_all(["script", "link", "img", "iframe", "object", "image", "use"])
    assert not re.search(r"https?:|url\(|@import|\bsrc=|\bhref=", str(soup))
    assert [h.name for h in soup.find_all(re.compile("^h[1-6]$"))] == ["h1", "h2", "h2", "h2", "h2", "h3"]
    figures, kinds, keypoints = ([[cell.text for cell in row.find_all(["th", "td"])] for row in table.find_all("tr")]
                                 for table in soup.find_all("table"))
    assert figures[1:] == [[name, f"{value:.3f}"] for name, value in diagnosis.evaluation.stats.items()]
    assert [row[0] for row in kinds[1:]] == list(diagnosis.mended)
    assert [row[0] for row in keypoints[1:]] == list(diagnosis.errors[0].keypoints)
    assert all(table.caption.text for table in soup.find_all("table"))
    alts = [svg["aria-label"] for svg in soup.find_all("svg")]
    jitter = diagnosis.mended["jitter"].stats["AP"] - diagnosis.evaluation.stats["AP"]
    assert len(alts) == 3 and f"{diagnosis.evaluation.stats['AP50']:.3f} at 0.50" in alts[0]
    assert f"jitter {jitter:.3f}" in alts[1] and "each keypoint of <script>" in alts[2]
    curves = soup.find("svg").find_all("polyline")
    for curve, heights in zip(curves, diagnosis.evaluation.precision[:, :, 0, 0], strict=True):
        y = [float(point.split(",")[1]) for point in curve["points"].split()]
        np.testing.assert_allclose((350 - np.array(y)) / 340, heights, atol=0.051 / 340)


@pytest.mark.browser
def test_the_page_in_a_browser(page):
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("not installed: chromium")
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (360, 1200):
            tab = browser.new_page(viewport={"width": width, "height": 800})
            requests, complaints = [], []
            tab.on("request", lambda request, seen=requests: seen.append(request.url))
            tab.on("console", lambda message, seen=complaints: seen.append(message.text))
            tab.goto(page.as_uri())
            assert requests == [page.as_uri()] and complaints == []
            assert Axe().run(tab).response["violations"] == []
            assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        browser.close()
