"""The instructor's page, and hints at answers that resemble each other."""

import ast
import inspect
import random
import textwrap

import pytest
from bs4 import BeautifulSoup
from classroom import grade, half, submit
from test_record import acts

from posebook import cli
from posebook.checks import PROBLEMS
from posebook.checks.problem import Report as REPORT
from posebook.checks.problem import text_of
from posebook.grading.course import CourseError
from posebook.grading.report import write_report
from posebook.grading.similar import pairs, tokens


@pytest.fixture
def page(course) -> BeautifulSoup:
    """ann all right and late, bob half of fuse, rob unreadable, zoe_m nothing; bob's text is hostile."""
    submit(course, "ann", soft_argmax="right", fuse="right", when="2026-11-21 09:00:00 UTC")
    submit(course, "bob", soft_argmax="say <img src=x onerror=alert(1)>", fuse="half")
    submit(course, "rob").write_text("{<b>")
    grade(course)
    return BeautifulSoup(write_report(course, "mini").read_text(), "html.parser")


def rows(page: BeautifulSoup, caption: str) -> dict[str, list[str]]:
    table = next(t for t in page.find_all("table") if t.caption.text.startswith(caption))
    return {row.th.text: [cell.text for cell in row.find_all("td")] for row in table.find_all("tr")[1:]}


def test_the_page_says_how_the_set_went(page):
    assert "3 handed in, 2 are graded. Median" in page.p.text and f"from {3 + half('fuse'):.3g} to 5" in page.p.text
    assert rows(page, "How many students solved it") == {
        "soft_argmax": ["3", "2", "0", "0"], "fuse": ["2", "1", "1", "0"]}
    assert rows(page, "Who is missing") == {
        "ann": ["33 h late, 0 points off"], "zoe_m": ["handed in nothing"],
        "rob": ["not graded: the file is cut off or is not JSON: Expecting property name enclosed in double quotes, "
                "line 1"]}
    cases = rows(page, "fuse: who passed")
    assert list(cases) == [case.name for case in PROBLEMS["fuse"].cases]
    assert [says for _, says in cases.values()].count("differs") == len(cases) - len(cases) // 2
    assert {passed for passed, says in cases.values() if says} == {"1 of 2"}


def test_known_mistakes_with_who_made_them(page):
    told = page.find_all("table", class_="words")
    assert "x and y are swapped" in told[0].text and "bob" in told[0].text and "ann" not in told[0].text


def test_nothing_on_the_page_acts_or_asks_another_site(page):
    assert not [found for found in acts(str(page.main)) if not found.startswith(("<svg", "span style"))]
    assert not page.find_all(["script", "link", "img", "iframe"]) and "<img src=x" in page.text


def test_what_no_mistake_names_is_grouped_by_how_it_fails(course, monkeypatch):
    import quick_grader

    monkeypatch.setattr(quick_grader, "Report", lambda name, points, rows, says: REPORT(name, points, rows, ""))
    for student in ("ann", "bob"):
        submit(course, student, soft_argmax="right", fuse="half")
    submit(course, "rob", soft_argmax="right")
    grade(course)
    page = BeautifulSoup(write_report(course, "mini").read_text(), "html.parser")
    groups = [(h3.text, h3.find_next("p").text) for h3 in page.find_all("h3")]
    assert groups == [("fuse: 2", "ann, bob"), ("fuse: 1", "rob")]
    assert "# fake: half" in page.find("pre").text


def test_points_by_hand_count(course):
    submit(course, "ann", soft_argmax="right", fuse="right", free="Tails.")
    grade(course)
    with course.gradebook() as gradebook:
        for one in gradebook.find_submission("mini", "ann").notebooks[0].grades:
            if one.cell.name == "why":
                one.manual_score, one.needs_manual_grade = 4.5, False
        gradebook.db.commit()
    page = BeautifulSoup(write_report(course, "mini").read_text(), "html.parser")
    assert "Median 9.5 of 10 points, from 9.5 to 9.5" in page.p.text


def test_nothing_graded_yet(course, capsys):
    with pytest.raises(CourseError, match="nothing of mini is graded: posebook grade mini"):
        write_report(course, "mini")
    assert cli.main(["report", "mini"]) == 1
    submit(course, "ann", soft_argmax="right")
    grade(course)
    capsys.readouterr()
    assert cli.main(["report", "mini"]) == 0 and capsys.readouterr().out == "grading/report/mini.html\n"


# ---------------------------------------------------------------------------------------------------------------------
# Likeness


def honest(rng: random.Random) -> list[str]:
    """A student's answers: to each problem the reference or one of the alternatives, under the student's own names."""
    cells = []
    for problem in PROBLEMS.values():
        answers = [a for a in (problem.reference, *problem.alternatives) if inspect.isfunction(a)]
        tree = ast.parse(textwrap.dedent(inspect.getsource(rng.choice(answers))))
        own = {node.id: f"{node.id}_{rng.randrange(100)}" for node in ast.walk(tree)
               if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = own.get(node.id, node.id)
            elif isinstance(node, ast.arg):
                node.arg = own.get(node.arg, node.arg)
        cells.append(ast.unparse(tree))
    return cells


MINE = """def fuse(xy, cov):
    {weights} = [1 / float(c.diagonal().mean()) for c in cov]
    {sum} = 0.0
    for {w} in {weights}:
        {sum} = {sum} + {w} ** 2 / (1 + {w})
    {out} = xy[0] * 0
    for {k}, {w} in enumerate({weights}):
        {out} = {out} + {w} * xy[{k}] - 0.25 * {sum} * {out}.abs().clamp(min=1e-3)
    return {out} / max({sum}, 1e-9)
"""
NAMES = dict(weights="weights", sum="total", w="w", out="out", k="k")
OTHER = dict(weights="inverse", sum="s", w="value", out="answer", k="number")


def test_a_renamed_copy_is_found_and_honest_answers_are_not():
    """Thirty students who answer from the same few ways, two of whom share an odd answer under other names."""
    rng = random.Random(0)
    answers = {f"s{n:02}": honest(rng) for n in range(30)}
    known = [inspect.getsource(answer) for problem in PROBLEMS.values()
             for answer in (problem.reference, *problem.alternatives) if inspect.isfunction(answer)]
    assert pairs(answers, known) == []
    answers["s03"].append(MINE.format(**NAMES))
    answers["s17"].append("# by me\n" + MINE.format(**OTHER).replace('    return', '\n\n    # done\n    return'))
    answers["s20"].append(MINE.format(**NAMES).replace("** 2 / (1 +", "/ (3 -").replace("clamp(min=", "add("))
    found = pairs(answers, known)
    assert (found[0].first, found[0].second) == ("s03", "s17") and found[0].share > 0.9


def test_names_comments_docstrings_and_layout_do_not_count():
    assert tokens(MINE.format(**NAMES)) == tokens(MINE.format(**OTHER))
    head, body = text_of(PROBLEMS["fuse"].reference)
    assert tokens(head + body) == tokens(f"{head.splitlines()[0]}\n{body}")
    assert tokens("x = 1 +\n") and tokens("'''") == []  # what Python cannot read
    assert tokens("x=" + "not " * 200_000 + "1")  # nor this, for want of a deeper stack
    assert tokens("a(") == ["name 0", "("]
