"""A learner's journal and what is read from it: kept in work/ alone, by any number of notebooks, whatever breaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient

from posebook import _journal, checks, cli, progress
from posebook.checks import PROBLEMS, SETS, evaluate

SWAPPED = PROBLEMS["decode_argmax"].mistakes[0]


# ---------------------------------------------------------------------------------------------------------------------
# The journal


def test_it_belongs_to_the_work_folder_around_and_to_no_other(work, tmp_path, monkeypatch):
    assert _journal.where() == work / ".progress.jsonl" == _journal.where(work)
    assert _journal.where(tmp_path) is None
    monkeypatch.setenv(_journal.ELSEWHERE, "")
    assert _journal.where() is None
    monkeypatch.setenv(_journal.ELSEWHERE, "~/mine.jsonl")
    assert _journal.where() == Path.home() / "mine.jsonl"


def test_what_a_crash_cut_short_or_someone_damaged_spoils_no_other_line(tmp_path):
    path = tmp_path / "journal"
    assert _journal.entries(path) == []
    _journal.add(path, "check", problem="é\udc80")
    with path.open("ab") as file:
        file.write(b'\n[1]\nnull\n\xff\xfe\n' + b"[" * 100_000 + b'\n{"time": "2026-11-2')
    _journal.add(path, "reset", problem="fuse")
    assert [(entry["kind"], entry["problem"]) for entry in _journal.entries(path)] == [
        ("check", "é\udc80"), ("reset", "fuse")]
    assert [entry["problem"] for entry in _journal.entries(path, "reset")] == ["fuse"]


def test_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "journal"
    code = "import sys, pathlib; from posebook import _journal\n" \
           "for k in range(300): _journal.add(pathlib.Path(sys.argv[1]), 'check', who=sys.argv[2], k=k, long='x' * 900)"
    writers = [subprocess.Popen([sys.executable, "-c", code, path, str(n)]) for n in range(3)]
    assert [writer.wait(600) for writer in writers] == [0, 0, 0]
    found = [(entry["who"], entry["k"]) for entry in _journal.entries(path)]
    assert sorted(found) == sorted((str(n), k) for n in range(3) for k in range(300))


def test_a_write_that_ends_early_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda file, data: 3)
    with pytest.raises(OSError, match="No space left"):
        _journal.add(tmp_path / "journal", "check")


# ---------------------------------------------------------------------------------------------------------------------
# What a check notes


def tries(work: Path) -> list[dict]:
    return _journal.entries(work / ".progress.jsonl")


def note(name: str, answer) -> None:
    checks.note(evaluate(name, answer), answer)


def stub(heatmap, stride, offset=0.0):
    raise NotImplementedError


def test_a_try_is_noted_and_an_untouched_stub_is_none(work):
    note("decode_argmax", stub)
    assert tries(work) == []
    note("decode_argmax", SWAPPED.answer)
    note("decode_argmax", PROBLEMS["decode_argmax"].reference)
    wrong, right = tries(work)
    assert wrong["problem"] == "decode_argmax" and wrong["diagnosis"] == SWAPPED.says
    assert wrong["passed"] < wrong["cases"] == right["passed"] == right["cases"] and right["diagnosis"] == ""
    assert right["score"] == PROBLEMS["decode_argmax"].points > wrong["score"]
    assert wrong["answer"] != right["answer"] == checks.fingerprint(PROBLEMS["decode_argmax"].reference)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(30, "Read-only file system")])
def test_a_disk_that_takes_nothing_breaks_no_check(work, monkeypatch, capsys, error):
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(error))
    note("decode_argmax", PROBLEMS["decode_argmax"].reference)
    assert capsys.readouterr().out == f"This try is missing in posebook progress: {error}\n"


def test_an_answer_without_a_text_is_noted(work):
    class Odd:
        __wrapped__ = property(lambda self: 1 / 0)

        def __call__(self, *args):
            return 0

    note("decode_argmax", Odd())
    assert [entry["answer"] for entry in tries(work)] == [""]


def test_outside_of_a_notebook_nothing_is_noted(work, capsys):
    checks.check("decode_argmax", PROBLEMS["decode_argmax"].reference)
    assert "8 of 8 cases passed" in capsys.readouterr().out and tries(work) == []


CELLS = """from posebook.checks import PROBLEMS, check
right = PROBLEMS["decode_argmax"].reference
check("decode_argmax", right)
from posebook.progress import show
show()"""


def test_only_the_notebooks_in_work_note_what_they_try(work):
    """The same notebook in work/ and beside it, where the course is built and tested."""
    built = work.parent / "solutions/decoding"
    built.mkdir(parents=True)
    said = {}
    for folder in (built, work / "exercises/decoding"):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELLS)])
        NotebookClient(notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": folder}}).execute()
        said[folder.parent.name] = notebook.cells[0].outputs[-1]
    assert [entry["problem"] for entry in tries(work)] == ["decode_argmax"]
    assert sorted(path.name for path in work.parent.rglob(".progress.jsonl")) == [".progress.jsonl"]
    assert said["solutions"].text.startswith("Tries are kept for notebooks in work/ alone")
    assert "decoding: 1 of 10 problems pass, 2 of 24 points" in said["exercises"].data["text/html"]
    assert "decoding: 1 of 10 problems pass, 2 of 24 points" in said["exercises"].data["text/plain"]


# ---------------------------------------------------------------------------------------------------------------------
# What is read from it


def add(work: Path, name: str, passed: int, diagnosis: str = "", answer: str = "") -> None:
    _journal.add(work / ".progress.jsonl", "check", problem=name, passed=passed, cases=8, diagnosis=diagnosis,
                 answer=answer or os.urandom(4).hex())


def line(work: Path, name: str) -> progress.Line:
    (decoding,) = progress.read(work / ".progress.jsonl", "decoding")
    return next(line for line in decoding.lines if line.name == name)


def test_nothing_tried(work, capsys):
    assert progress.read(work / ".progress.jsonl") == ()
    progress.show()
    assert capsys.readouterr().out == progress.NONE + "\n"
    assert line(work, "fuse").stands == "not tried"
    with pytest.raises(ValueError, match="set: want one of representations, .* got decode"):
        progress.read(work / ".progress.jsonl", "decode")


def test_a_journal_that_cannot_be_read_is_said(work, capsys):
    (work / ".progress.jsonl").mkdir()
    progress.show()
    assert capsys.readouterr().out.startswith("What was kept of your tries cannot be read: [Errno ")


def test_tries_count_answers_that_changed(work):
    for answer in ("a", "a", "b", "a"):
        add(work, "fuse", 3, "The weights are wrong", answer)
    add(work, "fuse", 4, "The weights are wrong", "a")  # a function that it calls has changed
    assert line(work, "fuse").stands == "4 of 8 cases pass, 4 tries"


def test_each_mistake_stands_once_and_the_latest_last(work):
    for diagnosis in ("one", "two", "", "one"):
        add(work, "fuse", 3, diagnosis)
    assert line(work, "fuse").mistakes == ("two", "one")


def test_what_passed_and_fails_again_says_both(work):
    add(work, "fuse", 8)
    assert line(work, "fuse").stands == "passes, 1 try"
    add(work, "fuse", 5)
    assert line(work, "fuse").stands == "5 of 8 cases pass, has passed before, 2 tries"
    _journal.add(work / ".progress.jsonl", "reset", problem="fuse")
    assert line(work, "fuse").stands == "put back, has passed before, 2 tries"


def test_entries_that_lack_something_or_name_what_is_gone_are_passed_over(work):
    path = work / ".progress.jsonl"
    path.write_bytes(b"\n{}\n")
    _journal.add(path, "check", problem="fuse", passed="all")
    _journal.add(path, "prediction", problem="fuse")
    add(work, "gone", 8)
    assert progress.read(path) == () and line(work, "fuse").tries == 0


def test_only_sets_in_which_something_was_tried_are_shown(work):
    add(work, "oks", 8)
    assert [each.name for each in progress.read(work / ".progress.jsonl")] == ["multi_person"]


def test_what_comes_next(work):
    def following() -> str:
        return progress.read(work / ".progress.jsonl", "decoding")[0].next

    first = SETS["decoding"][0]
    assert following() == (f"`{first.name}` in exercises/decoding/decoding.ipynb, {first.points} points, about "
                           f"{first.minutes} minutes.")
    add(work, "fuse", 3, "The weights are the variances")
    assert following() == "`fuse`: The weights are the variances"
    add(work, "fuse", 3)
    assert following() == "`fuse`: look at the rows that its check failed."
    add(work, "fuse", 3)
    add(work, "fuse", 3)
    assert following().startswith("`fuse`: open the hints below its statement, or read chapter 2 again")
    _journal.add(work / ".progress.jsonl", "reset", problem="fuse")
    assert following().startswith("`fuse` in exercises/decoding/decoding.ipynb, ")
    for problem in SETS["decoding"]:
        add(work, problem.name, 8)
    assert following().startswith("All pass. Run the whole of exercises/decoding/decoding.ipynb once more")


def test_the_table_is_plain_html_with_heads_and_the_words_escaped(work):
    add(work, "fuse", 3, "`<b>` & more")
    page = BeautifulSoup(progress.read(work / ".progress.jsonl")._repr_html_(), "html.parser")
    assert page.caption.text == "decoding: 0 of 10 problems pass, 0 of 24 points"
    assert [head.text for head in page.select("th[scope=col]")] == ["problem", "state, and mistakes met"]
    assert [head.text for head in page.select("th[scope=row]")] == [problem.name for problem in SETS["decoding"]]
    row = page.find("th", string="fuse").parent
    assert row.td.text == "3 of 8 cases pass, 1 try\u2022 <b> & more"
    assert {tag.name for tag in page.find_all()} <= {"table", "caption", "b", "tr", "th", "td", "code", "p", "br"}


def test_the_command_says_the_same_from_the_course_and_from_within_work(work, monkeypatch, capsys):
    add(work, "fuse", 3, "word " * 40)
    said = set()
    for folder in (work.parent, work, work / "exercises/decoding"):
        monkeypatch.chdir(folder)
        assert cli.main(["progress"]) == 0
        said.add(capsys.readouterr().out)
    (text,) = said
    assert text.startswith("decoding: 0 of 10 problems pass")
    assert "\n  fuse                   3 of 8 cases pass, 1 try\n" in text
    assert max(map(len, text.splitlines())) <= 100
    assert cli.main(["progress", "robustness"]) == 0
    assert capsys.readouterr().out.startswith("robustness: 0 of 8 problems pass")


def test_the_command_where_there_is_nothing_to_read(work, tmp_path, monkeypatch, capsys):
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out == progress.NONE + "\n"
    assert cli.main(["progress", "decode"]) == 1
    assert capsys.readouterr().err.startswith("posebook progress: set: want one of representations, decoding")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["progress"]) == 1
    assert capsys.readouterr().err == (f"posebook progress: want a folder with the course's work/; got {tmp_path}: "
                                       "posebook lab fills one\n")


def test_each_line_is_json_and_has_its_time(work):
    add(work, "fuse", 3)
    (text,) = (work / ".progress.jsonl").read_text().split("\n")[1:]
    assert json.loads(text)["time"].endswith("+00:00")
