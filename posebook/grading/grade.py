"""One submission, graded: its cells run in a sandbox, its functions are called from here and judged here."""

import hashlib
import hmac
import json
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
          limits: Limits | None = None, unsafe: bool = False) -> Result:
    """Run a submission's cells in a sandbox and try its functions on cases drawn here.

    Args:
        submission: its code cells run, but for the locked ones, which are the checks.
        problems: the assignment's whole set.
        secret: the course's own; with the other three names it decides what the cases draw, so that a student cannot
            know it and a regrade finds the same.
        limits: what the submission may use.
        unsafe: without a sandbox: only for notebooks that you trust.

    Raises:
        SandboxError: no sandbox here, or a kernel did not even start, twice: not the student's doing.
    """
    if not unsafe:
        sandbox.probe()
    start = time.monotonic()
    seed = draw_seed(secret, assignment, student, submission.sha256)
    cells = [(number, cell.source) for number, cell in enumerate(submission.cells, start=1)
             if cell.kind == "code" and not cell.locked]
    with Session(cells, withheld=withheld(problems), limits=limits or Limits(), unsafe=unsafe) as session:
        reports = tuple(_report(session, problem, seed) for problem in problems)
    status = next((status for status in WORST_FIRST if status in session.statuses), "unsafe" if unsafe else "ok")
    notes = (*submission.notes, *(session.cell_notes[number] for number in sorted(session.cell_notes)))
    return Result(status, reports, notes, round(time.monotonic() - start, 2), seed, sandbox.versions(),
                  submission.sha256, "none" if unsafe else "bubblewrap")


def draw_seed(secret: bytes, assignment: str, student: str, sha256: str) -> str:
    """What the cases of this submission draw from."""
    return hmac.new(secret, json.dumps([assignment, student, sha256]).encode(), hashlib.sha256).hexdigest()


def _report(session: Session, problem: Problem, seed: str) -> Report:
    """A kernel that died is tried a second time: the machine may have run out of memory through others."""
    for _ in range(2):
        session.ready()
        report = trial.evaluate(problem, Proxy(session, problem.name), seed=seed)
        if session.lost != "killed":
            break
    session.statuses.update({session.lost} - {""})
    return replace(report, rows=tuple(replace(row, detail="") for row in report.rows))
