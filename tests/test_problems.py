"""Every problem: right answers pass however they are written, wrong ones fail and are named."""

import math
import time
from concurrent.futures import ThreadPoolExecutor

import build
import numpy as np
import pytest
import torch
from once import once
from scipy import stats

from posebook import decode, expectation
from posebook.checks import PROBLEMS, SETS, CheckFailed, Report, Row, calling, check, evaluate, trial
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, is_wire, text_of

SEEDS = range(3)
DRAWS = trial._draws  # as it is outside of `once`
answers = [pytest.param(p, a, id=f"{p.name}-{a.__name__}")
           for p in PROBLEMS.values() for a in (p.reference, *p.alternatives)]
mistakes = [pytest.param(p, m, id=f"{p.name}-{i}") for p in PROBLEMS.values() for i, m in enumerate(p.mistakes)]
problems = pytest.mark.parametrize("p", PROBLEMS.values(), ids=list(PROBLEMS))


@pytest.fixture(autouse=True, scope="module")
def known_answers_run_once():
    with once({answer for p in PROBLEMS.values() for answer in (p.reference, *(m.answer for m in p.mistakes))}):
        yield


@pytest.mark.parametrize(("p", "answer"), answers)
def test_right_answers_pass(p, answer):
    for seed in SEEDS:
        report = evaluate(p.name, answer, seed)
        assert report.passed and report.score == p.points and not report.diagnosis, str(report)


@pytest.mark.parametrize(("p", "mistake"), mistakes)
def test_a_known_mistake_fails_and_is_named(p, mistake):
    for seed in SEEDS:
        report = evaluate(p.name, mistake.answer, seed)
        assert not report.passed and report.score < p.points
        assert report.diagnosis == mistake.says, f"taken for another mistake, seed {seed}: {report}"


@problems
def test_a_problem_is_complete(p):
    assert len(p.mistakes) >= 5, "want 5 known mistakes"
    assert len(p.alternatives) >= 2, "want 2 right answers written otherwise"
    assert p.own, "want the library's names that are the answer, such as posebook.decode.argmax"
    assert p.points > 0 and p.minutes > 0 and p.clauses and all(case.weight > 0 for case in p.cases)
    assert len({case.name for case in p.cases}) == len(p.cases)


def statement(p):
    """What the notebook says of a problem, and what its head says of the whole set; in one line each."""
    source = next(s for s in build.sources() if s.parent.name == "problems" and p in SETS[s.stem])
    texts = [cell.source for cell in build.read(source).cells if cell.cell_type == "markdown"]
    own = next(text for text in texts if f"`{p.name}`\n\n*" in text)
    return " ".join(f"{texts[0]} {own}".split())


@problems
def test_each_clause_of_a_statement_has_a_case_and_a_mistake(p):
    """The table that ``pytest -rP`` prints: clause, cases that fail for who ignores it, what the mistake says."""
    text = statement(p)
    for clause, says in p.clauses.items():
        assert clause in text, f"not in the statement: {clause}"
        known = [mistake for mistake in p.mistakes if mistake.says.startswith(says)]
        assert known, f"no mistake says {says!r}"
        for mistake in known:
            failed = [{row.case for row in evaluate(p.name, mistake.answer, seed).rows if not row.passed}
                      for seed in SEEDS]
            always = set.intersection(*failed)
            assert always, f"no case fails on every seed for who ignores: {clause}"
            print(f"{clause} | {'; '.join(sorted(always)[:3])} | {mistake.says}")


def results(p, seed):
    """The right result of each call, case by case; None where a gradient is asked for."""
    with calling.plain_torch():
        return [None if case.vjp else trial._run(p, case, p.reference, *trial._draws(p, case, seed)).values
                for case in p.cases]


@problems
def test_a_case_draws_or_says_that_it_is_fixed(p):
    seen = [results(p, seed) for seed in SEEDS]
    for case, *drawn in zip(p.cases, *seen, strict=True):
        if not case.vjp:
            same = all(trial.compare(drawn[0], other, case.atol, case.rtol) is None for other in drawn[1:])
            assert same == case.fixed, f"{case.name}: {'never varies: want fixed=True' if same else 'varies'}"


@problems
def test_constants_earn_nothing(p):
    """Not the right results of another seed, written down, and not zeros of the right shape."""
    known = results(p, 0)

    def zeros(value):
        if isinstance(value, tuple):
            return tuple(zeros(item) for item in value)
        return torch.zeros_like(value) if isinstance(value, torch.Tensor) else type(value)()

    for make in (trial._copy, zeros):
        for seed in (1, 2):
            calls = iter([make(value) for values in known for value in values or (None,)])
            report = evaluate(p.name, lambda *args, calls=calls: next(calls), seed)
            assert report.score == 0, str(report)


def test_cases_count_by_their_weight_and_fixed_ones_only_beside_others():
    def report(**passed):
        rows = [Row(name, passed.get(name, False), weight=weight, fixed=name == "known")
                for name, weight in (("known", 1), ("light", 1), ("heavy", 3))]
        return Report("any", 10, tuple(rows))

    assert report(known=True).score == 0 and report(light=True).score == 2
    assert report(known=True, light=True).score == 4 and report(heavy=True).score == 6
    assert report(known=True, light=True, heavy=True).score == 10


@problems
def test_cases_draw_wire_values_that_the_seed_decides(p):
    drawn = {seed: [DRAWS(p, case, seed)[0] for case in p.cases] for seed in (0, 1)}
    again = [DRAWS(p, case, 0)[0] for case in p.cases]
    wire = all(is_wire(args) for calls in drawn[0] for args in calls)
    assert wire, "cases draw tensors, numbers, strings, None and tuples of these only"
    assert all(trial.compare(tuple(a), tuple(b), 0.0) is None for a, b in zip(drawn[0], again, strict=True))
    assert any(trial.compare(tuple(a), tuple(b), 0.0) for a, b in zip(drawn[0], drawn[1], strict=True))


@problems
def test_the_stub_is_not_written_yet(p):
    def stub(*args):
        raise NotImplementedError

    report = evaluate(p.name, stub)
    assert report.score == 0 and "not written yet" in str(report) and len(str(report).splitlines()) == 3


@problems
def test_the_library_does_not_solve_it(p):
    codes = [trial.resolve_name(name).__code__ for name in p.own]
    for name in p.own:
        function = trial.resolve_name(name)
        report = evaluate(p.name, lambda *args, function=function: function(args[0]))
        assert report.score == 0 and f"`{name}` answers a problem of this set: write your own lines" in str(report)
    assert codes == [trial.resolve_name(name).__code__ for name in p.own]
    assert decode.argmax(torch.eye(3)).tolist() == [0, 0]


def test_a_library_function_that_was_imported_before_is_refused_too():
    from posebook.expectation import soft_argmax

    assert evaluate("soft_argmax", lambda logits, stride, tau=1.0, offset=0.0: soft_argmax(logits, tau)).score == 0


def _first(heatmap, stride, offset=0.0):
    """Right but for what the tests below do to it."""
    return PROBLEMS["decode_argmax"].reference(heatmap, stride, offset)


def _raises(*args):
    raise KeyError("nose")


def _stops(*args):
    raise GeneratorExit


def _mute(*args):
    class Mute(Exception):
        def __str__(self):
            raise ValueError

    raise Mute


def _in_place(heatmap, stride, offset=0.0):
    heatmap.add_(1)
    return _first(heatmap, stride, offset)


def _through_numpy(heatmap, stride, offset=0.0):
    heatmap.numpy()[...] = 0
    return _first(heatmap, stride, offset)


BAD = {
    "raised KeyError": _raises,
    "returned None (is there a `return`?); want a tensor of shape (2,)": lambda *args: None,
    "returned a list; want a tensor of shape (2,), as `torch.stack(...)` makes one": lambda *args: [*_first(*args)],
    "returned a tuple of 2; want a tensor of shape (2,), as `torch.stack(...)` makes one":
        lambda *args: _first(*args).unbind(),
    "returned a list; want a tensor of shape (2,), as `torch.tensor(..., dtype=...)` makes one":
        lambda *args: _first(*args).tolist(),
    "returned a tuple of 2; want a tensor of shape (2,), as `torch.tensor(..., dtype=...)` makes one":
        lambda *args: (1.0, 2.0),
    "returned a tuple of 0; want a tensor of shape (2,), as `torch.tensor(..., dtype=...)` makes one":
        lambda *args: (),
    "returned a float; want a tensor of shape (2,): keep it a tensor, no `.item()`":
        lambda *args: _first(*args).sum().item(),
    "returned an int; want a tensor of shape (2,): keep it a tensor, no `.item()`": lambda *args: 3,
    "returned a ndarray; want a tensor of shape (2,), as `torch.from_numpy(...)` makes one":
        lambda *args: _first(*args).numpy(),
    "shape: want (2,), got (1, 2)": lambda *args: _first(*args)[None],
    "holds NaN or infinity": lambda *args: _first(*args) * float("nan"),
    "dtype: want float32, got int64": lambda *args: _first(*args).long(),
    "changed its input `heatmap` in place; work on a copy": _in_place,
    "differs from the right result": lambda *args: _first(*args) + 1,
    "raised TypeError": lambda: None,
    "raised SystemExit": lambda *args: exit(0),
    "raised GeneratorExit": _stops,
    "raised Mute": _mute,
    "returned an unusual tensor; want a plain one, dense and on the CPU": lambda *args: _first(*args).to_sparse(),
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_answer_gets_a_row_that_says_so(message):
    row = evaluate("decode_argmax", BAD[message]).rows[0]
    assert not row.passed and row.message == message


def test_a_change_through_numpy_is_seen():
    assert "in place" in evaluate("decode_argmax", _through_numpy).rows[0].message


def test_numbers_stand_in_the_detail_and_nowhere_else():
    row = evaluate("decode_argmax", lambda *args: _first(*args) + 1).rows[0]
    assert row.detail == "at [0]: want 20, got 21 (off by 1.0e+00, tolerance 1.0e-04)"
    assert not any(c.isdigit() for c in row.message)


def test_the_detail_knows_no_minus_zero():
    want, got = torch.tensor([-0.0]), torch.tensor([1.0])
    assert trial.compare(want, got, 0.5)[1].startswith("at [0]: want 0, got 1 ")
    assert trial.compare(got, want, 0.5)[1].startswith("at [0]: want 1, got 0 ")


@pytest.mark.parametrize("catches", [(), (Exception,), (BaseException,)], ids=["plain", "Exception", "BaseException"])
def test_an_answer_that_never_returns_is_interrupted(monkeypatch, catches):
    monkeypatch.setattr(trial, "SECONDS", 0.2)
    caught = []

    def endless(*args):
        while len(caught) < 2:
            try:
                while True:
                    pass
            except catches as error:
                caught.append(error)
        return _first(*args)

    start = time.monotonic()
    report = evaluate("decode_argmax", endless)
    assert time.monotonic() - start < 8 and report.score == 0 or len(caught) == 2
    assert catches == (BaseException,) or report.rows[0].message == "did not return within 0.2 s, and was interrupted"
    assert catches == (BaseException,) or report.rows[-1].message == "not tried: an earlier case did not return"


def test_a_mistake_in_part_of_the_cases_is_named_as_such():
    def swapped_without_batch(heatmap, stride, offset=0.0):
        xy = _first(heatmap, stride, offset)
        return xy.flip(-1) if heatmap.ndim == 2 else xy + 3

    report = evaluate("decode_argmax", swapped_without_batch)
    assert report.diagnosis.startswith("In 4 of the 8 failed cases your answer does this: x and y are swapped")


def test_an_answer_that_is_wrong_in_a_new_way_gets_no_diagnosis():
    assert evaluate("decode_argmax", lambda *args: _first(*args) + 0.37).diagnosis == ""


def test_a_lost_gradient_is_told():
    reference = PROBLEMS["soft_argmax"].reference
    report = evaluate("soft_argmax", lambda logits, *args: reference(logits.detach(), *args))
    assert [row.passed for row in report.rows] == [True] * 8 + [False]
    assert report.rows[-1].message.startswith("no gradient reaches `logits`")


def test_a_wrong_gradient_fails():
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return 2 * g

    reference = PROBLEMS["soft_argmax"].reference
    report = evaluate("soft_argmax", lambda logits, *args: reference(Doubled.apply(logits), *args))
    assert [row.passed for row in report.rows] == [True] * 8 + [False]


def test_a_proxy_brings_its_own_gradient():
    class Proxy:
        def __call__(self, *args):
            assert not any(isinstance(a, torch.Tensor) and a.requires_grad for a in args)
            return PROBLEMS["soft_argmax"].reference(*args)

        def vjp(self, args, index, output, cotangent):
            leaf = args[index].clone().requires_grad_()
            out = PROBLEMS["soft_argmax"].reference(leaf, *args[1:])
            return out.detach(), True, torch.autograd.grad(out, leaf, cotangent)[0]

    assert evaluate("soft_argmax", Proxy()).passed


@pytest.mark.parametrize(("want", "got", "atol", "message"), [
    (1.0, torch.tensor(1.0), 1e-6, "returned a Tensor; want a plain number, as `.item()` makes one"),
    (1.0, 1, 1e-6, None),
    (1.0, 2**64, 1e-6, "differs from the right result"),
    (1.0, -(10**400), 1e-6, "holds NaN or infinity"),
    (1.0, True, 1e-6, "returned a bool; want a plain number"),
    (1.0, [1.0], 1e-6, "returned a list; want a plain number"),
    (1.0, None, 1e-6, "returned None (is there a `return`?); want a plain number"),
    (1.0, 1.1, 1e-2, "differs from the right result"),
    (1.0, float("nan"), 1e-2, "holds NaN or infinity"),
    (float("inf"), float("inf"), 1e-6, None),
    ((1.0, 2.0), (1.0, 2.5), 1e-6, "output 1: differs from the right result"),
    ((1.0, 2.0), (1.0,), 1e-6, "returned a tuple of 1; want a tuple of 2, as `return a, b, ...` makes one"),
    ((1.0, 2.0), None, 1e-6, "returned None (is there a `return`?); want a tuple of 2"),
    ((1.0, 2.0), [1.0, 2.0], 1e-6, "returned a list; want a tuple of 2, as `return a, b, ...` makes one"),
    ("left", "right", 0.0, "differs from the right result"),
    (None, None, 0.0, None),
    (torch.tensor([1.0, float("inf")]), torch.tensor([1.0, float("inf")]), 1e-6, None),
    (torch.tensor([1.0, float("inf")]), torch.tensor([1.0, float("-inf")]), 1e-6, "differs from the right result"),
    (torch.tensor([1.0, float("inf")]), torch.tensor([1.0, 3.0]), 1e-6, "differs from the right result"),
    (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 3.0]), 1e-6, "differs from the right result"),
    (torch.tensor([1, 2]), torch.tensor([1, 2]), 0.0, None),
    (torch.zeros(0, 2), torch.zeros(0, 2), 0.0, None),
])
def test_compare(want, got, atol, message):
    wrong = trial.compare(want, got, atol)
    assert (wrong and wrong[0]) == message


def test_a_property_must_hold_among_the_calls():
    close = Problem("twice", 1, 1, reference=lambda x: 2 * x, own=(), mistakes=(), cases=(
        Case("the order of calls does not matter", lambda rng: ((1.0,), (1.0,)), atol=1.0, holds=lambda a, b: a == b),))
    calls = iter(range(100))
    assert trial.evaluate(close, lambda x: 2.0 * x).passed
    row = trial.evaluate(close, lambda x: 2 * x + 0.1 * next(calls)).rows[0]
    assert not row.passed and "does not hold" in row.message


def test_a_result_may_be_judged_by_what_it_does():
    def line(slope, start):
        return lambda x: torch.tensor([slope, start])

    exchanged = Mistake("Slope and start are exchanged.", line(2.0, 1e-6))
    far = Case("where it is at 2000", lambda rng: (2e3,), atol=1e-3,
               seen=lambda out, x: out[0] * x + out[1] if out[0] > 0 else "It falls.")
    problem = Problem("line", 1, 1, reference=line(1e-6, 2.0), own=(), cases=(far,), mistakes=(exchanged,))
    assert trial.evaluate(problem, line(1.2e-6, 2.0002)).passed
    row = trial.evaluate(problem, line(1e-5, 2.0)).rows[0]  # within 1e-3 of the right slope
    assert row.message == "differs from the right result" and row.detail.startswith("want 2.002, got 2.02 ")
    assert trial.evaluate(problem, line(2.0, 1e-6)).diagnosis == "Slope and start are exchanged."
    assert trial.evaluate(problem, line(1.0, math.nan)).rows[0].message == "holds NaN or infinity"
    assert trial.evaluate(problem, line(-1e-6, 2.0)).rows[0].message == "It falls."
    assert trial.evaluate(problem, lambda x: torch.zeros(3)).rows[0].message == "shape: want (2,), got (3,)"
    assert trial.evaluate(problem, lambda x: 2.002).rows[0].message.startswith("returned a float; want a tensor")


def test_a_reference_that_fails_is_a_bug_of_ours():
    broken = Problem("broken", 1, 1, reference=_raises, own=(), mistakes=(Mistake("", _raises),),
                     cases=(Case("any", lambda rng: (1.0,)),))
    with pytest.raises(RuntimeError, match="broken: the reference fails on 'any'"):
        trial.evaluate(broken, lambda x: x)


def test_check_shows_rows_and_raises_one_line(capsys):
    check("decode_argmax", _first)
    assert "8 of 8 cases passed, 2 of 2 points" in capsys.readouterr().out
    with pytest.raises(CheckFailed) as caught:
        check("decode_argmax", lambda *args: _first(*args).flip(-1))
    shown = capsys.readouterr().out
    assert "x and y are swapped" in shown and shown.count("FAILED") == 8
    line = "CheckFailed: decode_argmax: 8 of 8 cases failed; the table above says which"
    assert caught.value._render_traceback_() == [line]


def test_the_page_shows_no_markup_of_the_answer():
    def hostile(*args):
        raise ValueError("<script>alert(1)</script>")

    page = evaluate("decode_argmax", hostile)._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page


@pytest.mark.parametrize(("name", "want"), [("integral_loss", 7.0), ("hybrid_loss", 13.0)])
def test_the_first_case_of_a_loss_is_what_its_name_says(name, want):
    p = PROBLEMS[name]
    assert p.reference(*p.cases[0].draw(torch.Generator())).item() == pytest.approx(want, abs=1e-5)


def test_the_first_target_of_a_kind_is_what_its_name_says():
    heatmap, simcc = (PROBLEMS[name] for name in ("gaussian_heatmap", "simcc_targets"))
    target = heatmap.reference(*heatmap.cases[0].draw(torch.Generator()))
    assert target.shape == (6, 9) and target[2, 5] == 1 and (target == 1).sum() == 1
    x, y = simcc.reference(*simcc.cases[0].draw(torch.Generator()))
    assert (len(x), len(y)) == (34, 24) and (x.argmax(), y.argmax()) == (16, 10)
    assert x.sum().item() == pytest.approx(1) and y.sum().item() == pytest.approx(1)


def test_the_first_case_with_several_people_is_what_its_name_says():
    def first(name):
        p = PROBLEMS[name]
        return p.reference(*p.cases[0].draw(torch.Generator()))

    xy, scores = first("local_peaks")
    assert xy.tolist() == [[4, 2], [1, 0]] and scores.tolist() == [0.75, 0.5]
    assert first("crop_points").tolist() == [7, 3]
    assert [part.item() for part in first("ae_loss")] == [1, 2]
    assert first("group_tags").tolist() == [[0, 1], [1, 0]]
    assert first("paf_score").item() == 0.5
    assert first("oks").item() == pytest.approx(0.607, abs=5e-4)
    assert first("match").tolist() == [0, 1]
    assert first("average_precision") == pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-6)


def test_the_first_case_about_robustness_is_what_its_name_says():
    def first(name):
        p = PROBLEMS[name]
        return p.reference(*p.cases[0].draw(torch.Generator()))

    assert first("rot90_points").tolist() == [1, 2]
    assert first("c4_average").tolist() == [7, 1]
    assert [part.item() for part in first("dropout_moments")] == [5, 13]
    assert first("expected_oks").item() == pytest.approx(0.5, abs=1e-6)
    assert first("masked_loss").item() == 5.25
    assert first("loss_noise_std") == pytest.approx(0.5 * 84**0.5, rel=1e-6)
    assert first("clip_moments") == pytest.approx((-0.040, 0.058), abs=5e-4)
    assert first("conformal_radius") == 4


def test_the_first_case_of_an_application_is_what_its_name_says():
    def first(name):
        p = PROBLEMS[name]
        return p.reference(*p.cases[0].draw(torch.Generator()))

    torch.testing.assert_close(first("triangulate"), torch.tensor([0.5, 0.25, 1.0]).double())
    torch.testing.assert_close(first("homography"), torch.tensor([[2, 0, 1], [0, 2, 0], [1, 0, 1]]).double())
    assert first("normalize_skeleton")[:, 3].tolist() == [[0.75, 1], [0.75, 2]]
    assert first("bootstrap_gap") == (0.5, 0.5, 0.5)
    assert first("one_euro").tolist() == pytest.approx([0, 4, 6, 7])


def persons_drawn(n, k):
    """Chance that j of n persons drawn are among the k who stand out, for j = 0 ... n."""
    return stats.binom(n, k / n).pmf(range(n + 1))


def misses(draws, level, below, at):
    """Chance that a percentile (linear) of so many draws is not the value that has this probability, and less below."""
    place = level * (draws - 1)
    up_to = min(1.0, below + at)  # a sum of shares may be a last digit above 1
    return stats.binom.sf(math.floor(place), draws, below) + stats.binom.cdf(math.ceil(place), draws, up_to)


@pytest.mark.parametrize(("chances", "low", "high"), [
    (persons_drawn(5, 1), 0, 3), (np.convolve(persons_drawn(2, 1), persons_drawn(2, 1)), 0, 4),
    (persons_drawn(2, 1), 0, 2)], ids=["one of five", "one of two in both groups", "one of two"])
def test_an_honest_bootstrap_gives_one_interval_whatever_the_seed(chances, low, high):
    """Ends at these places of the ordered gaps; both miss so rarely that no honest answer is ever refused."""
    below = np.concatenate(([0.0], chances.cumsum()))
    assert misses(2000, 0.025, below[low], chances[low]) + misses(2000, 0.975, below[high], chances[high]) < 2e-12


def test_the_interval_of_a_bootstrap_case_is_that_of_an_enumeration():
    """One of five stands out, by 1 and with nine scores, and whoever is elsewhere is alike: 3 of 5 draws, and none."""
    p = PROBLEMS["bootstrap_gap"]
    case = next(case for case in p.cases if case.name.startswith("who stands out has nine"))
    args = case.draw(torch.Generator().manual_seed(0))
    scores, group, *_ = args
    gap, low, high = p.reference(*args)
    step = (scores[group].max() - scores[group].min()).item()
    assert low == pytest.approx(gap - 9 / 13 * step, abs=1e-5)
    assert high == pytest.approx(low + 27 / 29 * step, abs=1e-5)


def test_an_answer_that_moves_torch_s_generator_is_told():
    p = PROBLEMS["bootstrap_gap"]
    quiet, = (i for i, case in enumerate(p.cases) if case.quiet)

    def seeds(*args):
        torch.manual_seed(args[-1])
        return p.reference(*args)

    rows = evaluate("bootstrap_gap", seeds).rows
    assert [i for i, row in enumerate(rows) if not row.passed] == [quiet]
    assert rows[quiet].message == "torch's global generator was seeded, or drawn from: make one of your own"


def test_answers_are_alike_where_the_same_relations_hold():
    """Any two numbers are near enough here: only the relation tells both mistakes apart."""
    calls = Case("the same twice", lambda rng: ((1.0,), (1.0,)), atol=math.inf, holds=lambda a, b: a == b)
    once, turns = iter(range(1000)), iter(range(1000))
    p = Problem("any", 1, 1, reference=lambda x: x, own=(), mistakes=(
        Mistake("always one", lambda x: 1.0), Mistake("a count", lambda x: float(next(once)))), cases=(
            Case("the number", lambda rng: (2.0,), atol=math.inf, holds=None), calls))
    report = trial.evaluate(p, lambda x: float(next(turns)))
    assert not report.passed and report.diagnosis == "a count"


def test_results_by_chance_are_alike_where_chance_alone_keeps_them_apart():
    p = Problem("any", 1, 1, reference=lambda x: x, own=(), cases=(
        Case("a number", lambda rng: (torch.rand((), generator=rng).item(),), atol=1e-5, chance=0.1),), mistakes=(
            Mistake("right in this case", lambda x: x), Mistake("one more", lambda x: x + 1.0)))
    assert trial.evaluate(p, lambda x: x + 1.03).diagnosis == "one more"
    assert trial.evaluate(p, lambda x: x + 0.03).diagnosis == trial.evaluate(p, lambda x: x + 1.2).diagnosis == ""


def test_the_line_that_most_write_for_a_masked_l1_is_told_what_it_does():
    def answer(logits, xy, mask, stride, tau=1.0, offset=0.0):
        soft = PROBLEMS["soft_argmax"].reference(logits, stride, tau, offset)
        return torch.nn.functional.l1_loss(soft[mask], xy[mask])

    report = evaluate("integral_loss", answer)
    assert report.diagnosis.startswith("In 10 of the 11 failed cases your answer does this: The two axes are averaged")
    assert "NaN" in report.rows[6].message and report.rows[6].case == "nothing is labeled: 0"


def test_a_loss_is_not_made_of_the_library_s_soft_argmax():
    def answer(logits, xy, mask, stride, tau=1.0, offset=0.0):
        soft = offset + stride * expectation.soft_argmax(logits, tau)
        return ((soft - xy.nan_to_num()).abs().sum(-1) * mask).sum() / mask.sum().clamp(min=1)

    report = evaluate("integral_loss", answer)
    assert report.score == 0 and "`posebook.expectation.soft_argmax`" in report.rows[0].message


def _halved(x, by=2.0):
    """Half of x,
    or a share of it."""
    # a comment before the first line
    return x / by


def _first_line_is_code(x):
    return x


def test_a_text_is_split_after_the_docstring():
    head, body = text_of(_halved)
    assert head.endswith("or a share of it.\"\"\"\n")
    assert body == "    # a comment before the first line\n    return x / by\n"


def test_a_text_without_a_docstring_is_refused():
    with pytest.raises(ValueError, match="^_first_line_is_code: want a docstring below its head$"):
        text_of(_first_line_is_code)


def test_a_mistake_is_a_right_answer_with_something_changed():
    assert changed(_halved, by=4.0)(8.0) == 2.0
    assert changed(_halved, x=lambda by, x: x + by)(8.0) == 5.0
    assert changed(_halved, by=lambda by: -by, result=lambda out, x, by: (out, x, by))(8.0, 4.0) == (-2.0, 8.0, 4.0)
    assert edited(_halved, {"x / by": "x * by"})(8.0) == 16.0 and _halved(8.0) == 4.0
    with pytest.raises(ValueError, match="_halved: want one of its lines to hold 'Half of'"):
        edited(_halved, {"Half of": ""})


def test_bad_calls_are_refused():
    with pytest.raises(ValueError, match="name: want one of gaussian_heatmap, .*, got 'argmax'"):
        evaluate("argmax", _first)
    with pytest.raises(ValueError, match="answer: want a function, got int"):
        evaluate("decode_argmax", 3)


def test_an_exception_tells_its_line_in_the_detail():
    row = evaluate("decode_argmax", _raises).rows[0]
    assert row.detail.startswith("'nose' (line ") and 'raise KeyError("nose")' in row.detail


def test_written_code_that_raises_not_implemented_is_no_stub():
    def answer(heatmap, stride, offset=0.0):
        raise NotImplementedError("softmax for long")

    row = evaluate("decode_argmax", answer).rows[-1]
    assert row.message == "raised NotImplementedError" and "softmax for long" in row.detail


def test_an_input_changed_in_place_is_told_where_gradients_are_asked_for():
    def answer(logits, stride, tau=1.0, offset=0.0):
        logits /= tau
        return PROBLEMS["soft_argmax"].reference(logits, stride, 1.0, offset)

    rows = evaluate("soft_argmax", answer).rows
    assert rows[-1].message == rows[3].message == "changed its input `logits` in place; work on a copy"


@pytest.mark.parametrize("eps", [1e-6, 1e-8])
def test_a_usual_epsilon_does_no_harm(eps):
    def answer(logits, stride, tau=1.0, offset=0.0):
        weight = torch.exp((logits - logits.amax((-2, -1), keepdim=True)) / tau)
        prob = weight / (weight.sum((-2, -1), keepdim=True) + eps)
        x = (prob.sum(-2) * torch.arange(prob.shape[-1])).sum(-1)
        y = (prob.sum(-1) * torch.arange(prob.shape[-2])).sum(-1)
        return offset + stride * torch.stack((x, y), -1)

    assert evaluate("soft_argmax", answer).passed


@pytest.mark.parametrize("answer", [
    lambda heatmap, stride, offset=0.0: _first(heatmap, stride, offset) * 1.001 + 0.01,
    lambda heatmap, stride, offset=0.0: _first(heatmap, stride, offset).round() + 1,
    lambda heatmap, stride, offset=0.0: _first(heatmap, stride, offset) + 1.5e-4,
])
def test_a_chance_agreement_is_no_diagnosis(answer):
    assert evaluate("decode_argmax", answer).diagnosis == ""


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_what_the_notebook_has_set_changes_nothing(context):
    torch.set_default_dtype(torch.float64)
    try:
        with context():
            assert evaluate("soft_argmax", PROBLEMS["soft_argmax"].reference).passed
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_two_threads_leave_the_library_as_it_was():
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda seed: evaluate("decode_argmax", _first, seed), range(8)))
    assert all(report.passed for report in reports) and decode.argmax(torch.eye(3)).tolist() == [0, 0]
