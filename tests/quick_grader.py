"""In place of the sandboxed grader in tests. Workers import it by name: it is light."""

import os
import re
import time
from pathlib import Path

from posebook.checks import PROBLEMS, Report, Row
from posebook.grading.grade import Result
from posebook.grading.pool import Task
from posebook.grading.sandbox import MachineFull

SIGN = re.compile(r"# fake: (\w+) ?(.*)")


def work(task: Task) -> str:
    """The last line of an answer's cell says what comes of it: ``# fake: half``."""
    reports, notes = [], list(task.submission.notes)
    says = {cell.grade_id: SIGN.search(cell.source) for cell in task.submission.cells if cell.kind == "code"}
    for name in task.problems:
        word, text = says[name].groups() if says.get(name) else ("wrong", "")
        if word == "die":
            os.abort()
        if word == "raise":
            raise RuntimeError(text)
        if word == "say":
            notes.append(text)
        if word == "note":
            with Path(text).open("a") as log:
                print(task.student, file=log)
        if word == "wait" and not (held := Path(text, task.student)).exists():
            held.write_text(str(os.getpid()))
            time.sleep(3600)
        cases = PROBLEMS[name].cases
        passed = {"wrong": 0, "half": len(cases) // 2}.get(word, len(cases))
        rows = tuple(Row(case.name, i < passed, "" if i < passed else "differs") for i, case in enumerate(cases))
        says_which = "" if passed == len(cases) else "x and y are swapped"
        reports.append(Report(name, PROBLEMS[name].points, rows, says_which))
    return Result("ok", tuple(reports), tuple(notes), 0.1, "seed", {"posebook": "0"}, task.submission.sha256,
                  "none" if task.unsafe else "bubblewrap").to_json()


def hungry(task: Task) -> str:
    """How often it was tried; ``full`` finds the machine full at first, ``full-again`` always."""
    folder = Path(task.problems[0])
    before = (folder / task.student).exists()
    (folder / task.student).touch()
    with (folder / "log").open("a") as log:
        print("alone:" * before + task.student, file=log)
    if task.student == "full-again" or task.student == "full" and not before:
        raise MachineFull("no memory")
    return "2" if before else "1"
