"""A stand-in for the sandboxed grader: quick, and it fails on demand. Workers import it by name."""

import os
import re
import time
from pathlib import Path

from posebook.checks import PROBLEMS, Report, Row
from posebook.grading.grade import Result
from posebook.grading.pool import Task

SIGN = re.compile(r"# fake: (\w+) ?(.*)")


def work(task: Task) -> str:
    """An answer's cell says what comes of it: ``# fake: right``, ``# fake: half``, ``# fake: die`` ..."""
    reports = []
    says = {cell.grade_id: SIGN.search(cell.source) for cell in task.submission.cells if cell.kind == "code"}
    for name in task.problems:
        word, text = says[name].groups() if says.get(name) else ("wrong", "")
        if word == "die":
            os.abort()
        if word == "raise":
            raise RuntimeError(text)
        if word == "note":
            with Path(text).open("a") as log:
                print(task.student, file=log)
        if word == "wait" and not (held := Path(text, task.student)).exists():
            held.write_text(str(os.getpid()))
            time.sleep(600)
        cases = PROBLEMS[name].cases
        passed = {"wrong": 0, "half": len(cases) // 2}.get(word, len(cases))
        rows = tuple(Row(case.name, i < passed, "" if i < passed else "differs") for i, case in enumerate(cases))
        reports.append(Report(name, PROBLEMS[name].points, rows, "" if passed == len(cases) else "x and y are swapped"))
    return Result("ok", tuple(reports), (), 0.1, "seed", {"posebook": "0"}, task.submission.sha256,
                  "none" if task.unsafe else "bubblewrap").to_json()
