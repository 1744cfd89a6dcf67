"""One submission, graded: its cells run in a sandbox, its functions are called from here and judged here.

1. Read its cells; the locked checks do not run.
2. Start a kernel in the sandbox and run the cells up to a problem's check cell.
3. Try the problem there, as ``check`` did in the notebook: later cells may use the same names for something else.
   Go on to the next one. Where the kernel is lost, a fresh one runs the cells up to there again.
4. Try what did not pass once more after the last cell, since cells may have been run in another order. The better
   report counts.
"""

import hashlib
import hmac
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from posebook.checks import trial, withheld
from posebook.checks.problem import Problem, Report, Row
from posebook.grading import sandbox
from posebook.grading.kernel import Proxy, Session
from posebook.grading.sandbox import Limits, SandboxError
from posebook.grading.submission import Submission

__all__ = ["Limits", "Result", "SandboxError", "grade"]

WORST_FIRST = ("killed", "memory", "output", "timeout")


@dataclass(frozen=True)
class Result:
    """What came of a submission.

    Args:
        status: "ok", or the worst of "killed", "memory", "output", "timeout"; "unsafe": well, but without a sandbox.
        reports: one for each problem, without any number of a hidden input.
        notes: what became of cells, in words for the student, who wrote some of them: escape them in HTML.
        seed: what the cases drew from; the same on a regrade.
        sandbox: "bubblewrap" or "none".
    """

    status: str
    reports: tuple[Report, ...]
    notes: tuple[str, ...]
    seconds: float
    seed: str
    versions: dict[str, str]
    sha256: str
    sandbox: str

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Result":
        fields = json.loads(text)
        reports = (Report(**{**report, "rows": tuple(Row(**row) for row in report["rows"])})
                   for report in fields["reports"])
        return cls(**{**fields, "reports": tuple(reports), "notes": tuple(fields["notes"])})


def grade(submission: Submission, problems: Sequence[Problem], *, secret: bytes, assignment: str, student: str,
          limits: Limits | None = None, unsafe: bool = False, cold: bool = False) -> Result:
    """Run a submission's cells in a sandbox and try its functions on cases drawn here.

    Args:
        submission: its code cells run, but for the locked checks.
        problems: the assignment's whole set.
        secret: the course's own; with the other three names it decides what the cases draw, so that a student cannot
            know it and a regrade finds the same.
        limits: what the submission may use.
        unsafe: without a sandbox: only for notebooks that you trust.
        cold: without the fork server.

    Raises:
        SandboxError: no sandbox here, a kernel did not even start, twice, or the machine ran out of memory: not the
            student's doing.
    """
    if not unsafe:
        sandbox.probe()
    start = time.monotonic()
    seed = draw_seed(secret, assignment, student, submission.sha256)
    cells = [(number, cell.source) for number, cell in enumerate(submission.cells, start=1)
             if cell.kind == "code" and not (cell.locked and cell.checks)]
    with Session(cells, withheld=withheld(problems), limits=limits or Limits(), unsafe=unsafe,
                 cold=cold) as session:
        reports = _reports(session, problems, _places(submission), seed)
    status = next((status for status in WORST_FIRST if status in session.statuses), "unsafe" if unsafe else "ok")
    notes = (*submission.notes, *(session.cell_notes[number] for number in sorted(session.cell_notes)))
    return Result(status, reports, notes, round(time.monotonic() - start, 2), seed, sandbox.versions(),
                  submission.sha256, "none" if unsafe else "bubblewrap")


def draw_seed(secret: bytes, assignment: str, student: str, sha256: str) -> str:
    """What the cases of this submission draw from."""
    return hmac.new(secret, json.dumps([assignment, student, sha256]).encode(), hashlib.sha256).hexdigest()


def _places(submission: Submission) -> dict[str, int]:
    """The number of the cell that checks each problem: the one that came with the notebook, if it is still there."""
    checks = [(cell, number) for number, cell in enumerate(submission.cells, start=1) if cell.checks]
    return {cell.checks: number for cell, number in sorted(checks, key=lambda check: bool(check[0].grade_id))}


def _reports(session: Session, problems: Sequence[Problem], places: dict[str, int], seed: str) -> tuple[Report, ...]:
    """A report for each problem: steps 2 to 4."""
    reports: dict[str, Report] = {}
    again = []
    for problem in sorted(problems, key=lambda problem: places.get(problem.name, math.inf)):
        place = places.get(problem.name, math.inf)
        session.ready(place)
        before = len(session.statuses)
        reports[problem.name] = report = _report(session, problem, place, seed)
        took_too_much = len(session.statuses) > before
        if place < math.inf and not report.passed and not took_too_much:
            again.append(problem)
    for problem in again:
        other = _report(session, replace(problem, mistakes=()), math.inf, seed)
        if other.score > reports[problem.name].score:
            reports[problem.name] = other if other.passed else _report(session, problem, math.inf, seed)
    return tuple(reports[problem.name] for problem in problems)


def _report(session: Session, problem: Problem, at: float, seed: str) -> Report:
    """Try a problem after the cells up to a number.

    A kernel that died is tried a second time: the machine may have run out of memory through others.
    """
    for _ in range(2):
        session.ready(at)
        report = trial.evaluate(problem, Proxy(session, problem.name), seed=seed)
        session.check_machine()
        if session.lost != "killed":
            break
    session.statuses += filter(None, [session.lost])
    return replace(report, rows=tuple(replace(row, detail="") for row in report.rows))
