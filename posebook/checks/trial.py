"""How an answer is tried: case by case, with guards, and which known mistake it makes."""

import hashlib
import math
import threading
import traceback
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pkgutil import resolve_name
from types import CodeType

import numpy as np
import torch
from torch import Tensor

from posebook.checks import calling
from posebook.checks.calling import Told
from posebook.checks.problem import Case, Mistake, Problem, Report, Row, is_wire, parameters

UNWRITTEN = "not written yet: put your lines in place of the `raise`"
SECONDS = 10  # an answer that takes longer is interrupted, where the platform can


def evaluate(problem: Problem, answer: Callable, *, seed: int | str = 0, refused: tuple[str, ...] = ()) -> Report:
    """Try an answer on every case.

    Args:
        problem: what is asked.
        answer: a function, or a proxy with the same call; a proxy brings its own
            ``vjp(args, input_index, output_index, cotangent)`` and ``quiet(args)``, as those of
            :mod:`posebook.checks.calling`, keeps time itself and raises :class:`posebook.checks.calling.Ended` where
            no result will come.
        seed: decides what the cases draw.
        refused: names of library functions that raise while the answer runs.
    """
    with calling.plain_torch():
        wanted = [_wanted(problem, case, seed) for case in problem.cases]
        drawn = [_draws(problem, case, seed) for case in problem.cases]
        outcomes = _outcomes(problem, answer, drawn, refused)
        rows = tuple(replace(_row(case, calls, want, got), weight=case.weight, fixed=case.fixed) for case, (calls, _),
                     want, got in zip(problem.cases, drawn, wanted, outcomes, strict=True))
        tries = list(zip(rows, outcomes, strict=True))
        says, mistake = ("", None) if all(row.passed for row in rows) else _diagnose(problem, tries, seed)
    see = str(mistake.see) if mistake and mistake.see else ""
    return Report(problem.name, problem.points, rows, says, see)


# ---------------------------------------------------------------------------------------------------------------------
# One case


@dataclass(frozen=True)
class _Outcome:
    """What a case made of an answer: the values it returned, or the kind of failure and words for it."""

    values: tuple = ()
    kind: str = ""
    message: str = ""
    detail: str = ""


def _wanted(problem: Problem, case: Case, seed: int | str) -> tuple:
    """The right values."""
    want = _run(problem, case, problem.reference, *_draws(problem, case, seed))
    if want.kind:
        raise RuntimeError(f"{problem.name}: the reference fails on {case.name!r}: {want.message}")
    return want.values


def _outcomes(problem: Problem, answer: Callable, drawn: list[tuple[list[tuple], torch.Generator]],
              refused: tuple[str, ...]) -> list[_Outcome]:
    """One for each case; a stub, and what does not return, is not tried again: the others would end the same way."""
    outcomes: list[_Outcome] = []
    with _refused(refused):
        for case, (calls, rng) in zip(problem.cases, drawn, strict=True):
            outcomes.append(_run(problem, case, answer, calls, rng))
            if outcomes[-1].kind in ("stub", "endless"):
                break
    last = outcomes[-1]
    untried = last if last.kind == "stub" else replace(last, message="not tried: an earlier case did not return")
    return outcomes + [untried] * (len(drawn) - len(outcomes))


def _row(case: Case, calls: list[tuple], want: tuple, got: _Outcome) -> Row:
    if got.kind:
        return Row(case.name, False, got.message, got.detail)
    for args, a, b in zip(calls, want, got.values, strict=True):
        if wrong := _differ(case, args, a, b):
            return Row(case.name, False, *wrong)
    if case.holds and not case.holds(*got.values):
        says = "each result is close to the right one, but the relation between them does not hold"
        return Row(case.name, False, says)
    return Row(case.name, True)


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
            with nullcontext() if hasattr(answer, "vjp") else calling.time_limit(SECONDS):
                values.append(_vjp(problem, case, answer, fresh, rng) if case.vjp else _call(case, answer, fresh))
        except calling.Ended as ended:
            return _Outcome(kind="endless", message=str(ended))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an answer may raise anything
            return _raised(error)
        for name, before, after in zip(parameters(problem.reference), args, fresh, strict=False):
            if isinstance(before, Tensor) and not _equal(before, after):
                return _Outcome(kind="mutates", message=f"changed its input `{name}` in place; work on a copy")
    return _Outcome(tuple(values))


def _call(case: Case, answer: Callable, args: tuple) -> object:
    if not case.quiet:
        return calling.call(answer, args)
    return answer.quiet(args) if hasattr(answer, "quiet") else calling.quiet(answer, args)


def _raised(error: BaseException) -> _Outcome:
    """What a row says of an exception. Its own words may quote a hidden input, so they stand in the detail."""
    kind = type(error).__name__
    try:
        text = str(error).strip().split("\n")[0][:200]
    except Exception:
        text = "an exception without words"
    if isinstance(error, Told):
        return _Outcome(kind=kind, message=text)
    if kind == "NotImplementedError" and not text:
        return _Outcome(kind="stub", message=UNWRITTEN)
    ours = (__file__, calling.__file__)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in ours]
    where = f" (line {frames[0].lineno}: {frames[0].line})" if frames and frames[0].line else ""
    return _Outcome(kind=kind, message=f"raised {kind}", detail=text + where)


def _vjp(problem: Problem, case: Case, answer: Callable, args: tuple, rng: torch.Generator) -> Tensor:
    """Gradient of <cotangent, output> in one input."""
    wrt, output = case.vjp
    index = parameters(problem.reference).index(wrt)
    like = calling.pick(problem.reference(*_copy(args)), output)
    cotangent = torch.randn(like.shape, generator=rng, dtype=like.dtype)
    pull = answer.vjp if hasattr(answer, "vjp") else partial(calling.vjp, answer)
    try:
        out, flows, gradient = pull(args, index, output, cotangent)
    except calling.InPlace:
        raise Told(f"changed its input `{wrt}` in place; work on a copy") from None
    if isinstance(out, Tensor) and out.shape == cotangent.shape and not flows:
        raise Told(f"no gradient reaches `{wrt}`: it was detached, rounded, or turned into numbers on the way")
    if wrong := compare(cotangent, out, float("inf")):
        raise Told(wrong[0])
    if gradient is None:
        raise Told(f"no gradient reaches `{wrt}`: the result does not depend on it")
    return gradient


def _differ(case: Case, args: tuple, want: object, got: object) -> tuple[str, str] | None:
    """As :func:`compare`, of what the case looks at."""
    if case.seen is None:
        return compare(want, got, case.atol, case.rtol)
    if wrong := compare(want, got, float("inf")):
        return wrong
    right, found = case.seen(want, *args), case.seen(got, *args)
    if isinstance(found, str) and found != right:
        return found, ""
    return compare(right, found, case.atol, case.rtol)


def compare(want: object, got: object, atol: float, rtol: float = 0.0) -> tuple[str, str] | None:
    """None where ``got`` is as good as ``want``; otherwise what is wrong, in words and in numbers."""
    if isinstance(want, tuple):
        if not isinstance(got, tuple) or len(got) != len(want):
            how = "" if got is None else ", as `return a, b, ...` makes one"
            return f"returned {_kind(got)}; want a tuple of {len(want)}{how}", ""
        wrongs = ((i, compare(a, b, atol, rtol)) for i, (a, b) in enumerate(zip(want, got, strict=True)))
        return next(((f"output {i}: {wrong[0]}", wrong[1]) for i, wrong in wrongs if wrong), None)
    if isinstance(want, Tensor):
        if not isinstance(got, Tensor):
            return f"returned {_kind(got)}; want a tensor of shape {tuple(want.shape)}{_as_tensor(got)}", ""
        plain = type(got) in (Tensor, torch.nn.Parameter) and not got.is_nested and got.layout == torch.strided
        if not plain or got.device != want.device:
            return "returned an unusual tensor; want a plain one, dense and on the CPU", ""
        if got.dtype != want.dtype:
            return f"dtype: want {_dtype(want)}, got {_dtype(got)}", ""
        if got.shape != want.shape:
            return f"shape: want {tuple(want.shape)}, got {tuple(got.shape)}", ""
        return _compare_numbers(want, got, atol, rtol)
    if isinstance(want, float):
        if isinstance(got, bool) or not isinstance(got, (int, float)):
            how = ", as `.item()` makes one" if hasattr(type(got), "item") else ""
            return f"returned {_kind(got)}; want a plain number{how}", ""
        right, found = (torch.tensor(number, dtype=torch.float64) for number in (want, _as_float(got)))
        return _compare_numbers(right, found, atol, rtol)
    if type(got) is type(want) and is_wire(want) and got == want:
        return None
    return "differs from the right result", f"want {want}, got {got}"


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if number > 0 else -math.inf


def _compare_numbers(want: Tensor, got: Tensor, atol: float, rtol: float) -> tuple[str, str] | None:
    if torch.equal(want, got):
        return None
    right, found = want.double(), got.double()
    same = (got == want) | (got.isnan() & want.isnan())
    gap = (found - right).abs().nan_to_num(torch.inf, torch.inf).masked_fill(same, 0.0)
    allowed = atol + rtol * right.abs().nan_to_num(0.0, 0.0, 0.0) if rtol else torch.tensor(atol).expand(gap.shape)
    beyond = gap > allowed
    if not beyond.any():
        return None
    at = tuple(map(int, np.unravel_index(int(torch.where(beyond, gap, -1.0).argmax()), gap.shape)))
    where = f"at {list(at)}: " if at else ""
    bad = (want.isfinite() & ~got.isfinite()).any()
    what = "holds NaN or infinity" if bad else "differs from the right result"
    off = f"off by {gap[at].item():.1e}, tolerance {allowed[at].item():.1e}"
    said = f"want {want[at].item() + 0.0:.5g}, got {got[at].item() + 0.0:.5g}"  # 0.0, and no "-0"
    return what, f"{where}{said} ({off})"


# ---------------------------------------------------------------------------------------------------------------------
# Which known mistake is it?


def _diagnose(problem: Problem, tries: list[tuple[Row, _Outcome]], seed: int | str) -> tuple[str, Mistake | None]:
    """The mistake, in words, that does the same in every case; failing that, in at least half of the failed ones.

    One case alone may agree by chance: it counts only where the mistake also passes whatever the answer passes.
    """
    passed = [i for i, (row, _) in enumerate(tries) if row.passed]
    failed = [i for i, (row, _) in enumerate(tries) if not row.passed]

    @cache
    def drawn(i: int) -> tuple[list[tuple], torch.Generator]:
        return _draws(problem, problem.cases[i], seed)

    @cache
    def made(answer: Callable, i: int) -> _Outcome:
        calls, rng = drawn(i)
        return _run(problem, problem.cases[i], answer, calls, rng.clone_state())

    @cache
    def alike(k: int, i: int) -> bool:
        case, (row, got), known, calls = problem.cases[i], tries[i], made(problem.mistakes[k].answer, i), drawn(i)[0]
        if not case.chance:
            return _alike(got, known, case, calls)
        near = _alike(got, known, replace(case, atol=case.atol + case.chance), calls)
        return near and (bool(known.kind) or _alike(known, made(problem.reference, i), case, calls) is row.passed)

    for k, mistake in enumerate(problem.mistakes):
        if all(alike(k, i) for i in failed + passed):  # most mistakes differ in the first of them
            return mistake.says, mistake
    best, most = ("", None), 0
    for k, mistake in enumerate(problem.mistakes):
        hits = 0
        for tried, i in enumerate(failed):
            hits += not tries[i][1].kind and alike(k, i)
            if 2 * (hits + len(failed) - tried - 1) < len(failed):
                break  # it cannot come to half of them
        if hits > most and 2 * hits >= len(failed) and (hits > 1 or all(alike(k, i) for i in passed)):
            says = f"In {hits} of the {len(failed)} failed cases your answer does this: {mistake.says}"
            best, most = (says, mistake), hits
    return best


def _alike(a: _Outcome, b: _Outcome, case: Case, calls: list[tuple]) -> bool:
    if a.kind or b.kind:
        return a.kind == b.kind
    triples = zip(calls, b.values, a.values, strict=True)
    near = all(_differ(case, args, theirs, got) is None for args, theirs, got in triples)
    return near and (case.holds is None or _holds(case, a) == _holds(case, b))


def _holds(case: Case, outcome: _Outcome) -> bool:
    try:
        return bool(case.holds(*outcome.values))
    except Exception:  # results of another kind than the right one
        return False


# ---------------------------------------------------------------------------------------------------------------------
# Guards


_one_at_a_time = threading.RLock()


@cache
def _refusal(name: str) -> CodeType:
    scope: dict = {}
    exec(f"def refuse(*args, **options):\n"
         f"    from posebook.checks.calling import Withheld\n"
         f"    raise Withheld({name!r})", scope)
    return scope["refuse"].__code__


@contextmanager
def _refused(names: tuple[str, ...]):
    """Make library functions raise, however they were imported: their code is exchanged for the time being."""
    if not names:
        yield
        return
    functions = [getattr(found, "__func__", found) for found in map(resolve_name, names)]  # also of class methods
    _one_at_a_time.acquire()
    codes = [function.__code__ for function in functions]
    try:
        for name, function in zip(names, functions, strict=True):
            function.__code__ = _refusal(name)
        yield
    finally:
        for function, code in zip(functions, codes, strict=True):
            function.__code__ = code
        _one_at_a_time.release()


def _copy(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_copy(item) for item in value)
    return value.detach().clone() if isinstance(value, Tensor) else value


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


def _as_tensor(got: object) -> str:
    """How to return a tensor instead, for those who return something."""
    if got is None:
        return ""
    if isinstance(got, (int, float)):
        return ": keep it a tensor, no `.item()`"
    items = got if isinstance(got, (list, tuple)) else ()
    stack = "torch.stack(...)" if items and all(isinstance(item, Tensor) for item in items) else ""
    numpy = "torch.from_numpy(...)" if type(got).__name__ == "ndarray" else ""
    return f", as `{stack or numpy or 'torch.tensor(..., dtype=...)'}` makes one"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
