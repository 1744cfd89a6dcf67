"""What a problem is, and how an answer is tried: the machinery that every problem set shares.

An answer is called with *wire values* only (tensors, bool, int, float, str, None, tuples of these) and returns wire
values, so that it may as well be a proxy of a function in another process.
"""

import hashlib
import html
import inspect
import re
import signal
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pkgutil import resolve_name

import torch
from torch import Tensor

SECONDS = 10  # an answer that takes longer is interrupted, where the platform can


@dataclass(frozen=True)
class Case:
    """One trial of an answer; its result is compared with that of the reference.

    Args:
        name: what is tried, in the student's words.
        draw: random generator -> arguments; where ``holds`` is given, a tuple of such tuples, one for each call.
        atol, rtol: a difference of ``atol + rtol * |right value|`` counts as equal.
        vjp: (input's name, output's index): compare the vector-Jacobian product rather than the result.
        holds: results of the calls -> whether the property that ``name`` states holds among them.
    """

    name: str
    draw: Callable[[torch.Generator], tuple]
    atol: float = 1e-4
    rtol: float = 0.0
    vjp: tuple[str, int] | None = None
    holds: Callable[..., bool] | None = None


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students write: ``says`` names it and teaches, ``answer`` makes it."""

    says: str
    answer: Callable


@dataclass(frozen=True)
class Problem:
    """A problem: a readable solution, the library names that *are* the answer, cases, mistakes, other right answers."""

    name: str
    points: int
    minutes: int
    reference: Callable
    own: tuple[str, ...]
    cases: tuple[Case, ...]
    mistakes: tuple[Mistake, ...]
    alternatives: tuple[Callable, ...] = ()


@dataclass(frozen=True)
class Row:
    """What came of one case. ``detail`` holds numbers: for the student's own eyes, never for hidden inputs."""

    case: str
    passed: bool
    message: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """What came of all cases. ``diagnosis`` says which known mistake the answer makes, or is empty."""

    name: str
    points: int
    rows: tuple[Row, ...]
    diagnosis: str = ""

    @property
    def passed(self) -> bool:
        """Whether every case passed."""
        return all(row.passed for row in self.rows)

    @property
    def score(self) -> float:
        """Points earned: each case counts the same."""
        return self.points * sum(row.passed for row in self.rows) / len(self.rows)

    @property
    def headline(self) -> str:
        """One line: cases passed and points."""
        right = sum(row.passed for row in self.rows)
        return f"{self.name}: {right} of {len(self.rows)} cases passed, {self.score:.3g} of {self.points} points"

    @property
    def _shown(self) -> tuple[Row, ...]:
        """The rows; just one where all say the same, as with an answer that is not written yet."""
        one = self.rows[0]
        if one.message and all(row.message == one.message and not row.detail for row in self.rows):
            return (Row("every case", False, one.message),)
        return self.rows

    def __str__(self) -> str:
        lines = [text for text in (self.headline, self.diagnosis) if text]
        for row in self._shown:
            lines.append(f"  {'passed' if row.passed else 'FAILED'}  {row.case}")
            lines += [f"          {text}" for text in (row.message, row.detail) if text]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body = ""
        for row in self._shown:
            mark = "&#10003; passed" if row.passed else "<b>&#10007; failed</b>"
            says = "<br>".join(_markup(text) for text in (row.message, row.detail) if text)
            columns = (mark, _markup(row.case), says)
            body += "<tr>" + "".join(f"<td style='text-align:left'>{text}</td>" for text in columns) + "</tr>"
        advice = f"<p><b>{_markup(self.diagnosis)}</b></p>" if self.diagnosis else ""
        return f"<p>{_markup(self.headline)}</p>{advice}<table>{body}</table>"


def _markup(text: str) -> str:
    """Plain text as HTML, with `code` set as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text))


def evaluate(problem: Problem, answer: Callable, *, seed: int | str = 0) -> Report:
    """Try an answer on every case.

    Args:
        problem: what is asked.
        answer: a function, or a proxy with the same call; a proxy brings its own
            ``vjp(args, input_index, output_index, cotangent)``.
        seed: decides what the cases draw.
    """
    tries: list[tuple[Row, _Outcome]] = []
    for case in problem.cases:
        if tries and tries[-1][1].kind in ("stub", "endless"):  # the next case would fare no better, and cost as long
            tries.append((Row(case.name, False, tries[-1][1].message), tries[-1][1]))
        else:
            tries.append(_try(problem, case, answer, seed))
    rows = tuple(row for row, _ in tries)
    diagnosis = "" if all(row.passed for row in rows) else _diagnose(problem, tries, seed)
    return Report(problem.name, problem.points, rows, diagnosis)


# ---------------------------------------------------------------------------------------------------------------------
# One case


@dataclass(frozen=True)
class _Outcome:
    """What a case made of an answer: the values it returned, or the kind of failure and words for it."""

    values: tuple = ()
    kind: str = ""
    message: str = ""


def _try(problem: Problem, case: Case, answer: Callable, seed: int | str) -> tuple[Row, _Outcome]:
    right, rng = _draws(problem, case, seed)
    want = _run(problem, case, problem.reference, *_draws(problem, case, seed))
    with _refused(problem.own):
        got = _run(problem, case, answer, right, rng)
    if want.kind:
        raise RuntimeError(f"{problem.name}: the reference fails on {case.name!r}: {want.message}")
    if got.kind:
        return Row(case.name, False, got.message), got
    for a, b in zip(want.values, got.values, strict=True):
        if wrong := compare(a, b, case.atol, case.rtol):
            return Row(case.name, False, *wrong), got
    if case.holds and not case.holds(*got.values):
        return Row(case.name, False, "each result is close to the right one, but this does not hold among them"), got
    return Row(case.name, True), got


def _draws(problem: Problem, case: Case, seed: int | str) -> tuple[list[tuple], torch.Generator]:
    """Argument tuples of the case's calls, and the generator that goes on to draw a cotangent."""
    digest = hashlib.sha256(f"{seed}/{problem.name}/{case.name}".encode()).digest()
    rng = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    drawn = case.draw(rng)
    return (list(drawn) if case.holds else [drawn]), rng


def _run(problem: Problem, case: Case, answer: Callable, calls: list[tuple], rng: torch.Generator) -> _Outcome:
    values = []
    for args in calls:
        fresh = _copy(args)
        try:
            with _time_limit(SECONDS):
                values.append(_vjp(problem, case, answer, fresh, rng) if case.vjp else _detach(answer(*fresh)))
        except NotImplementedError:
            return _Outcome(kind="stub", message="not written yet: put your lines in place of the `raise`")
        except _TooLong:
            return _Outcome(kind="endless", message=f"did not return within {SECONDS} s, and was interrupted")
        except (Exception, SystemExit) as error:
            text = str(error).strip().split("\n")[0][:200]
            kind = type(error).__name__
            return _Outcome(kind=kind, message=text if isinstance(error, Told) else f"raised {kind}: {text}")
        names = list(inspect.signature(problem.reference).parameters)
        for name, before, after in zip(names, args, fresh, strict=False):
            if isinstance(before, Tensor) and not _equal(before, after):
                return _Outcome(kind="mutates", message=f"changed its input `{name}` in place; work on a copy")
    return _Outcome(tuple(values))


def _vjp(problem: Problem, case: Case, answer: Callable, args: tuple, rng: torch.Generator) -> Tensor:
    """Gradient of <cotangent, output> in one input."""
    wrt, output = case.vjp
    index = list(inspect.signature(problem.reference).parameters).index(wrt)
    like = _pick(problem.reference(*_copy(args)), output)
    cotangent = torch.randn(like.shape, generator=rng, dtype=like.dtype)
    if hasattr(answer, "vjp"):
        return answer.vjp(args, index, output, cotangent)
    leaf = args[index].requires_grad_()
    out = _pick(answer(*args), output)
    if isinstance(out, Tensor) and out.shape == cotangent.shape and not out.requires_grad:
        raise Told(f"no gradient reaches `{wrt}`: it was detached, rounded, or turned into numbers on the way")
    if wrong := compare(like, out, float("inf")):
        raise Told(wrong[0])
    grad, = torch.autograd.grad(out, leaf, cotangent, allow_unused=True)
    leaf.requires_grad_(False)
    if grad is None:
        raise Told(f"no gradient reaches `{wrt}`: the result does not depend on it")
    return grad


def compare(want: object, got: object, atol: float, rtol: float = 0.0) -> tuple[str, str] | None:
    """None where ``got`` is as good as ``want``; otherwise what is wrong, in words and in numbers."""
    if isinstance(want, tuple):
        if not isinstance(got, tuple) or len(got) != len(want):
            return f"returned {_kind(got)}; want a tuple of {len(want)}", ""
        wrongs = ((i, compare(a, b, atol, rtol)) for i, (a, b) in enumerate(zip(want, got, strict=True)))
        return next(((f"output {i}: {wrong[0]}", wrong[1]) for i, wrong in wrongs if wrong), None)
    if isinstance(want, Tensor):
        if not isinstance(got, Tensor):
            return f"returned {_kind(got)}; want a tensor of shape {tuple(want.shape)}", ""
        if got.dtype != want.dtype:
            return f"dtype: want {_dtype(want)}, got {_dtype(got)}", ""
        if got.shape != want.shape:
            return f"shape: want {tuple(want.shape)}, got {tuple(got.shape)}", ""
        return _compare_numbers(want, got, atol, rtol)
    if isinstance(want, float):
        if isinstance(got, Tensor) and got.numel() == 1:
            got = got.item()
        if isinstance(got, bool) or not isinstance(got, (int, float)):
            return f"returned {_kind(got)}; want a number", ""
        return _compare_numbers(torch.tensor(want).double(), torch.tensor(got).double(), atol, rtol)
    if type(got) is type(want) and got == want:
        return None
    return "differs from the right result", f"want {want}, got {got}"


def _compare_numbers(want: Tensor, got: Tensor, atol: float, rtol: float) -> tuple[str, str] | None:
    if want.numel() == 0:
        return None
    bad = got.isfinite().logical_not() & want.isfinite()
    same = (got == want) | (got.isnan() & want.isnan())
    gap = torch.where(same, 0.0, (got.double() - want.double()).abs().nan_to_num(torch.inf))
    allowed = atol + rtol * want.double().abs().nan_to_num(0.0, 0.0, 0.0)
    if (gap <= allowed).all():
        return None
    gap = torch.where(gap > allowed, gap, 0.0)
    at = [int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)]
    where = f"at {at}: " if at else ""
    what = "holds NaN or infinity" if bad.any() else "differs from the right result"
    return what, f"{where}want {want[tuple(at)].item():.5g}, got {got[tuple(at)].item():.5g} (tolerance {allowed[tuple(at)].item():.2g})"


# ---------------------------------------------------------------------------------------------------------------------
# Which known mistake is it?


def _diagnose(problem: Problem, tries: list[tuple[Row, _Outcome]], seed: int | str) -> str:
    """Words of the mistake that does the same in every case; failing that, in most of the failed ones."""
    failed = [i for i, (row, _) in enumerate(tries) if not row.passed]
    best, most = "", 0
    for mistake in problem.mistakes:
        alike = [_alike(got, _run(problem, case, mistake.answer, *_draws(problem, case, seed)), case)
                 for (_, got), case in zip(tries, problem.cases, strict=True)]
        if all(alike):
            return mistake.says
        hits = sum(alike[i] and not tries[i][1].kind for i in failed)
        if hits > most:
            best, most = f"In {hits} of the {len(failed)} failed cases your answer does this: {mistake.says}", hits
    return best


def _alike(a: _Outcome, b: _Outcome, case: Case) -> bool:
    if a.kind or b.kind:
        return a.kind == b.kind
    return all(_same(x, y, case.atol, case.rtol) for x, y in zip(a.values, b.values, strict=True))


def _same(a: object, b: object, atol: float, rtol: float = 0.0) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape == b.shape and a.dtype == b.dtype:
        return torch.allclose(a.double(), b.double(), rtol=max(rtol, 1e-5), atol=atol, equal_nan=True)
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        return all(_same(x, y, atol, rtol) for x, y in zip(a, b, strict=True))
    return not isinstance(a, (Tensor, tuple)) and not isinstance(b, (Tensor, tuple)) and compare(a, b, atol, rtol) is None


# ---------------------------------------------------------------------------------------------------------------------
# Guards


class Told(Exception):
    """What a row says as it stands: a gradient that got lost, a library function that is the answer itself."""


class _TooLong(BaseException):
    """Not an Exception, so that ``except Exception`` in an answer does not swallow it."""


@contextmanager
def _time_limit(seconds: float):
    """Interrupt what takes longer: in a main thread, where there are POSIX timers."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum, frame):
        raise _TooLong

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again each second, for an answer that catches everything
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _refused(names: tuple[str, ...]):
    """Make library functions raise, however they were imported: their code is exchanged for the time being."""
    functions = [resolve_name(name) for name in names]
    codes = [function.__code__ for function in functions]
    try:
        for name, function in zip(names, functions, strict=True):
            text = f"`{name}` is the function that you are asked to write"
            scope: dict = {}
            exec(f"def refuse(*args, **options):\n"
                 f"    from posebook.checks.problem import Told\n"
                 f"    raise Told({text!r})", scope)
            function.__code__ = scope["refuse"].__code__
        yield
    finally:
        for function, code in zip(functions, codes, strict=True):
            function.__code__ = code


def uniform(rng: torch.Generator, low: float, high: float) -> float:
    """A plain number between low and high, for cases to draw."""
    return low + (high - low) * torch.rand((), generator=rng, dtype=torch.float64).item()


def is_wire(value: object) -> bool:
    """Whether an answer may be called with this value, or return it."""
    if isinstance(value, tuple):
        return all(is_wire(item) for item in value)
    return value is None or type(value) in (Tensor, bool, int, float, str)


def _copy(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_copy(item) for item in value)
    return value.detach().clone() if isinstance(value, Tensor) else value


def _detach(value: object) -> object:
    if type(value) is tuple:
        return tuple(_detach(item) for item in value)
    return value.detach() if isinstance(value, Tensor) else value


def _pick(value: object, output: int) -> object:
    return value[output] if isinstance(value, tuple) and output < len(value) else value


def _equal(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(a, b) or bool(((a == b) | (a.isnan() & b.isnan())).all())


def _kind(value: object) -> str:
    if value is None:
        return "None (is there a `return`?)"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
