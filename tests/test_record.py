"""What graders and students see of a submission: all of its text, and nothing that acts."""

import base64
import csv
import html
import re
import subprocess
import sys

import pytest
import quick_grader
from bs4 import BeautifulSoup
from classroom import HOSTILE, grade, half, submit, submit_hostile
from hypothesis import given, settings
from hypothesis import strategies as st
from nbconvert.exporters import HTMLExporter
from nbconvert.filters import markdown2html
from nbgrader.server_extensions.formgrader import handlers
from traitlets.config import Config

from posebook.checks import PROBLEMS, Report, Row
from posebook.checks.example import example
from posebook.grading import steps
from posebook.grading.course import Course, CourseError
from posebook.grading.record import gist, harmless, output

ACTIVE = {"script", "style", "iframe", "object", "embed", "form", "input", "base", "link", "meta", "svg"}


def acts(page: str) -> list[str]:
    """All in a page that could act, or ask another site for something."""
    found = []
    for element in BeautifulSoup(page, "html.parser").find_all(True):
        if element.name in ACTIVE:
            found.append(str(element))
        for name, value in element.attrs.items():
            value = " ".join(value) if isinstance(value, list) else value
            plain = re.sub(r"[\s\x00-\x20]", "", value).lower()
            if name.startswith("on") or name in ("style", "srcdoc", "action", "formaction", "name") or (
                name == "id" and not re.fullmatch(r"cell-id=cell-\d+", value)):
                found.append(f"{element.name} {name}={value}")
            elif name in ("src", "href") and not plain.startswith(("https:", "http:", "mailto:", "data:image/", "#")):
                found.append(f"{element.name} {name}={value}")
            elif name == "src" and not plain.startswith("data:image/"):
                found.append(f"{element.name} {name}={value}")
    return found


def test_the_check_sees_what_is_hostile():
    raw = [text for text in HOSTILE if "attachment:" not in text and acts(markdown2html(text))]
    assert len(raw) >= 20


@settings(max_examples=400)
@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5), min_size=1, max_size=6).map("".join))
def test_nothing_acts_in_a_students_markdown(source):
    """Neither in what is stored nor in what Markdown makes of that."""
    stored = harmless(source)
    assert acts(stored) == [] and "\n" not in stored
    assert acts(markdown2html(stored)) == []


def test_text_code_math_links_and_pictures_stay():
    shown = harmless("**Bold** `a<b` $x<y$ [site](https://example.org)\n\n```python\nx = 1\n\n\ny = 2\n```\n\n"
                            "|a|\n|-|\n|b|\n\n![p](attachment:p.png)", (("p.png", "image/png", "aGk="),))
    page = markdown2html(shown)
    for part in ("<strong>Bold</strong>", "<code>a&lt;b</code>", "$x&lt;y$", 'href="https://example.org"', "<td>b</td>",
                 'src="data:image/png;base64,aGk="', '<span class="mi">1</span>'):
        assert part in page
    assert "1\n\n\n" in BeautifulSoup(page, "html.parser").text
    assert "[[[" in harmless("[" * 10**5)  # Markdown alone would take minutes over this


def test_a_hostile_notebook_in_feedback_and_formgrader(course):
    """Both pages hold exactly what acts in an honest student's pages."""
    submit(course, "ann", soft_argmax="say hello", fuse="half", free="honest")
    submit_hostile(course, "bob")
    assert all(line.good for line in grade(course).values())
    assert all(line.good for line in steps.feedback(course, "mini"))
    pages = {}
    for student in ("ann", "bob"):
        pages[student] = [course.notebook("feedback", "mini", student).with_suffix(".html").read_text(),
                          formgrader_page(course, student)]
    for honest, hostile in zip(*pages.values(), strict=True):
        assert acts(hostile) == acts(honest)
        assert "onerror=alert(1)&gt;" in hostile  # shown as it was typed
    assert "Safe" in pages["bob"][1]  # MathJax's safe mode


def formgrader_page(course: Course, student: str) -> str:
    """What formgrader serves, by the same exporter, also where the course's own settings are not loaded."""
    templates = {"template_name": "formgrade", "extra_template_basedirs": [handlers.template_path]}
    config = Config({"HTMLExporter": templates})
    resources = {"assignment_id": "mini", "notebook_id": "mini", "submission_id": "1", "index": 0, "total": 1,
                 "base_url": "", "student": "x", "last_name": "x", "first_name": "x", "notebook_path": "x"}
    notebook = str(course.notebook("autograded", "mini", student))
    return HTMLExporter(config=config).from_filename(notebook, resources=resources)[0]


def test_feedback_names_the_mistake_and_the_failed_cases(course):
    submit(course, "ann", soft_argmax="right", fuse="half")
    grade(course)
    list(steps.feedback(course, "mini"))
    page = course.notebook("feedback", "mini", "ann").with_suffix(".html").read_text()
    text = BeautifulSoup(page, "html.parser").text
    assert "x and y are swapped" in text and f"cases passed, {half('fuse'):.3g} of 2 points" in text
    assert f"mini: {round(3 + half('fuse'), 2):g} of 10 points" in " ".join(text.split())
    contents = [item.text for item in BeautifulSoup(page, "html.parser").select("#toc a")]
    assert contents[:3] == ["soft_argmax", "fuse", "answer why"]


def test_a_feedback_page_needs_no_network(course):
    """The set's formulas are pictures, but for what cannot be drawn; what a student writes stays as it was typed."""
    same = "$\\hat u =\n\\sum_u u\\,p(u)$"
    submit(course, "ann", soft_argmax="right", fuse="half", free=f"$a$ and $\\sqrt{{a}}$, <a title='{same}'>{same}</a>")
    grade(course)
    list(steps.feedback(course, "mini"))
    page = BeautifulSoup(course.notebook("feedback", "mini", "ann").with_suffix(".html").read_text(), "html.parser")
    fetched = [element.get("src") or element.get("href") for element in page.select("[src], link[href]")]
    assert [address for address in fetched if not address.startswith("data:")] == []
    assert "@import" not in str(page) and not re.search(r"url\(['\"]?(https?:)?//", str(page))
    assert [image["alt"] for image in page.select("img")] == ["\\hat u = \\sum_u u\\,p(u)"]
    assert base64.b64decode(page.img["src"].partition(",")[2]).startswith(b"<?xml")
    assert "$x < \\nonesuch$" in page.text and "$a$ and $\\sqrt{a}$" in page.text


def test_feedback_on_a_late_notebook_with_a_cell_that_does_not_end_and_on_a_file_that_is_cut_off(course):
    submit(course, "ann", soft_argmax="say cell 2 did not end within 60 s", when="2026-11-21 09:00:00 UTC")
    submit(course, "bob").write_text("{<b>")
    grade(course)
    submit(course, "rob")
    lines = {line.name: line for line in steps.feedback(course, "mini")}
    page = course.notebook("feedback", "mini", "ann").with_suffix(".html").read_text()
    text = BeautifulSoup(page, "html.parser").text
    assert "handed in 2026-11-21 09:00 UTC, 33 h late" in text
    assert "cell 2 did not end" in text and "In\u00a0[2]:" in text  # the cells are numbered
    page = course.notebook("feedback", "mini", "bob").with_suffix(".html").read_text()
    assert "could not be graded: the file is cut off" in page and "hand it in again" in page and "<b>" not in page
    assert lines["ann"].good and lines["bob"].good and lines["rob"].says == "not graded yet: posebook grade mini"


def test_the_page_shows_what_a_known_mistake_does():
    """Beside the words, an example; text of the answer is not in it, and what is no known mistake has none."""
    problem = PROBLEMS["soft_argmax"]
    mistake = next(mistake for mistake in problem.mistakes if mistake.says.startswith("This is argmax"))
    rows = tuple(Row(case.name, False, "differs") for case in problem.cases)
    page = output(Report(problem.name, 3, rows, mistake.says)).data["text/html"]
    assert page.endswith(f"<pre tabindex=\"0\">{html.escape(str(example(problem, mistake)))}</pre>")
    assert "an input on which your answer was not tried" in page and acts(page.replace("style=", "data-style=")) == []
    assert output(Report(problem.name, 3, rows, mistake.says)).metadata["posebook"] == {
        "passed": 0, "cases": len(rows), "says": mistake.says}
    assert gist(Report(problem.name, 3, rows))["says"] == f"{rows[0].case}: differs"
    assert gist(Report(problem.name, 3, (Row("a", True), Row("b", True))))["says"] == ""
    for diagnosis in ("", "something else"):
        assert "<pre" not in output(Report(problem.name, 3, rows, diagnosis)).data["text/html"]


def test_feedback_links_to_the_state_in_which_a_mistake_can_be_seen(course, monkeypatch):
    """Where the settings say the book's address; nothing that a student wrote is in the link."""
    seen = {name: next(each for each in PROBLEMS[name].mistakes if each.see) for name in ("soft_argmax", "fuse")}
    monkeypatch.setattr(quick_grader, "Report", lambda name, points, rows, _: Report(
        name, points, rows, f"In 2 cases: {seen[name].says}", str(seen[name].see)))
    submit(course, "ann", fuse="wrong", soft_argmax="half", free="See it: run `x`: <a href='https://x'>y</a>")
    grade(course)
    path = course.notebook("feedback", "mini", "ann").with_suffix(".html")
    assert all(line.good for line in steps.feedback(course, "mini")) and "See it in the book" not in path.read_text()
    course.config.FeedbackPage.book = "https://example.org/a/book/"
    assert all(line.good for line in steps.feedback(course, "mini"))
    page = BeautifulSoup(path.read_text(), "html.parser")
    links = [link["href"] for link in page.find_all("a", string="See it in the book")]
    assert sorted(links) == sorted(2 * [f"https://example.org/a/book/{each.see.address}" for each in seen.values()])
    assert all(str(each.see).replace("`", "") in page.text for each in seen.values())
    for wrong in ("javascript:alert(1)", 7):
        course.config.FeedbackPage.book = wrong
        with pytest.raises(CourseError, match=r"^nbgrader_config.py: c.FeedbackPage.book: "):
            list(steps.feedback(course, "mini"))


def test_the_table_of_grades_says_what_came_of_each(course, monkeypatch):
    """A file that could not be graded has no points, not 0; and a name with a comma stays one field."""
    submit(course, "ann", soft_argmax="right", fuse="right", when="2026-11-21 09:00:00 UTC", free="Tails.")
    submit(course, "bob", soft_argmax="right", fuse="half")
    submit(course, "rob").write_text("{")
    with course.gradebook() as gradebook:
        gradebook.update_or_create_student("bob", last_name='Doe, "Jr."', lms_user_id="4712")
    grade(course)
    monkeypatch.chdir(course.root)
    for only in ([], ["--student", "['bob']"]):
        subprocess.run([sys.executable, "-m", "nbgrader", "export", *only], check=True, capture_output=True)
        with open("grades.csv", newline="", encoding="utf-8") as file:
            rows = {row["student_id"]: row for row in csv.DictReader(file)}
        assert rows["bob"]["last_name"] == 'Doe, "Jr."' and float(rows["bob"]["score"]) == 3 + half("fuse")
        assert set(rows) == ({"bob"} if only else {"ann", "bob", "rob", "zoe_m"})
        if not only:
            assert {student: (row["score"], row["status"]) for student, row in rows.items() if student != "bob"} == {
                "ann": ("5.0", "waits in formgrader"), "rob": ("", "not graded"), "zoe_m": ("", "nothing handed in")}
            assert rows["ann"]["timestamp"].startswith("2026-11-21 09:00") and rows["ann"]["max_score"] == "10.0"
