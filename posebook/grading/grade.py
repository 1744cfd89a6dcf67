"""One submission, graded: its cells run in a sandbox, its functions are called from here and judged here."""

from collections.abc import Sequence
from dataclasses import dataclass

from posebook.checks.problem import Problem, Report
from posebook.grading.submission import Submission


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell: float = 60.0  # seconds for one cell
    total: float = 600.0  # seconds for the whole submission
    memory: int = 4 * 2**30  # bytes of address space a process, and resident in all processes together


@dataclass(frozen=True)
class Result:
    """What came of a submission. ``status``: "ok", or the worst of "timeout", "memory", "output", "killed"; "unsafe"
    where all went well but without a sandbox."""

    status: str
    reports: tuple[Report, ...]
    notes: tuple[str, ...]
    seconds: float
    seed: str
    versions: dict[str, str]
    sha256: str
    sandbox: str  # "bubblewrap" | "none"

    def to_json(self) -> str:
        raise NotImplementedError

    @classmethod
    def from_json(cls, text: str) -> "Result":
        raise NotImplementedError


def grade(submission: Submission, problems: Sequence[Problem], *, secret: bytes, assignment: str, student: str,
          limits: Limits | None = None, unsafe: bool = False) -> Result:
    """Run a submission's cells in a sandbox and try its functions on cases drawn here.

    Raises:
        SandboxError: no sandbox here, or a kernel did not even start, twice: not the student's doing.
    """
    raise NotImplementedError
