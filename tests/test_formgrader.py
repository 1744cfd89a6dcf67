"""nbgrader's formgrader in an instructor's JupyterLab, driven in chromium: what is changed there stays."""

import re

import pytest
from bs4 import BeautifulSoup
from classroom import grade, half, submit, submit_hostile
from driver import Lab, chromium

from posebook.grading import steps

pytestmark = pytest.mark.browser

MATHJAX = "https://cdnjs.cloudflare.com/ajax/libs/mathjax/"  # which nbgrader's own page asks for
OFFLINE = {"Failed to load resource: net::ERR_FAILED", "MathJax is not defined"}  # that it cannot be had


class Formgrader:
    """Formgrader as its menu opens it in the JupyterLab of the course's folder; no other host can be reached."""

    def __init__(self, lab: Lab):
        self.page = page = lab.open()
        page.acted = []
        page.on("dialog", lambda dialog: (page.acted.append(dialog.message), dialog.dismiss()))
        page.on("popup", lambda popup: page.acted.append(popup.url))
        page.route(re.compile(f"^(?!{re.escape(lab.url)})https?:"), lambda route: route.abort())
        page.get_by_role("menuitem", name="Nbgrader", exact=True).click()
        page.get_by_role("menuitem", name="Formgrader", exact=True).click()
        self.frame = page.frame_locator("iframe")

    def rows(self, link: str = "/") -> list[list[str]]:
        """Those of the table, once it has this link; the page before it may still be there."""
        self.frame.locator(f"#main-table td a[href*='{link}']:visible").first.wait_for()
        return [row.locator("td").all_inner_texts() for row in self.frame.locator("#main-table tr").all()]

    def open(self, name: str = "") -> list[list[str]]:
        """The list of submissions, with names, and then that of one person."""
        self.frame.get_by_role("link", name="Manual Grading").click()
        for path in ("mini", "mini/mini"):  # the set, then its one notebook
            self.frame.locator(f"#main-table a[href$='/gradebook/{path}']").click()
        self.frame.get_by_role("link", name="Submission #1").wait_for()  # or the button has no names to show
        self.frame.get_by_role("button", name="Show All Names").click()
        rows = [[cell.strip() for cell in row] for row in self.rows()]
        if name:
            self.frame.get_by_role("link", name=name, exact=True).click()
            self.wait()
        return rows

    def wait(self) -> None:
        """Until the submission's grades and comments have come, which a field shows by its placeholder."""
        for field in ("check-fuse", "why-comment"):
            self.frame.locator(f"#{field}[placeholder]").wait_for()

    def fill(self, field: str, value: str) -> None:
        """Type it, go on to the next field, and wait until it is saved."""
        with self.page.expect_response(lambda r: r.request.method == "PUT") as saved:
            self.frame.locator(f"#{field}").fill(value)
            self.frame.locator(f"#{field}").press("Tab")
        assert saved.value.ok

    def shows(self, field: str) -> str:
        return self.frame.locator(f"#{field}").input_value()


@pytest.fixture
def start(course, tmp_path):
    """Starts JupyterLab in the course's folder, as INSTRUCTORS.md says."""
    (tmp_path / "lab").mkdir()
    with chromium() as browser, Lab(tmp_path / "lab", browser, course.root) as lab:
        yield lambda: Formgrader(lab)


def test_scores_and_comments_given_in_formgrader_stay(course, start):
    from playwright.sync_api import expect

    submit(course, "ann", soft_argmax="right", fuse="half", free="Because of the **tails**.")
    submit(course, "bob", soft_argmax="right", fuse="right")
    grade(course)
    formgrader = start()
    name, due, *_, submissions, _, _ = (cell.strip() for cell in formgrader.rows()[0])
    assert (name, due[:10], submissions) == ("mini", "2026-11-20", "2")
    formgrader.frame.get_by_role("link", name="Manual Grading").click()
    average = round((3 + half("fuse") + 5) / 2, 2)
    assert formgrader.rows("/gradebook/mini") == [["mini", "2026-11-20 00:00:00 UTC", "2", f"{average:g} / 10"]]
    rows = {row[1]: row[2:5] for row in formgrader.open("Arbor, Ann")}
    code = f"{3 + half('fuse'):.2f}"
    assert rows == {"Arbor, Ann": [f"{code} / 10", f"{code} / 5", "0 / 5"], "Doe, Bob": ["5 / 10", "5 / 5", "0 / 5"]}
    assert "Because of the tails." in formgrader.frame.locator("body").inner_text()
    given = {"why": "4.5", "check-fuse": "1.75", "why-comment": "Which **tails**?", "fuse-comment": "x is not y"}
    for field, value in given.items():
        formgrader.fill(field, value)

    def found() -> tuple:
        with course.gradebook() as gradebook:
            submission = gradebook.find_submission("mini", "ann")
            comments = [gradebook.find_comment(cell, "mini", "mini", "ann").comment for cell in ("why", "fuse")]
            return submission.score, submission.needs_manual_grade, *comments

    expected = 3 + 1.75 + 4.5, False, "Which **tails**?", "x is not y"
    assert found() == expected
    grade(course, force=True)  # while formgrader is open
    assert found() == expected  # nothing new to look at
    submit(course, "ann", soft_argmax="half", fuse="right", free="Because of the **tails**, I mean.")
    grade(course)
    expected = half("soft_argmax") + 1.75 + 4.5, True, *expected[2:]
    assert found() == expected and course.scores("mini")["bob"].points == 5
    rows = {row[1]: row[2] for row in formgrader.open("Arbor, Ann")}
    assert rows["Arbor, Ann"] == f"{round(expected[0], 2):g} / 10"
    assert {field: formgrader.shows(field) for field in given} == given
    placeholder = formgrader.frame.locator("#check-soft_argmax").get_attribute("placeholder")
    assert float(placeholder) == half("soft_argmax")  # the new automatic score
    assert "tails, I mean" in formgrader.frame.locator("body").inner_text()
    resolve = formgrader.frame.locator(".mark-graded:visible")
    for left in (2, 1):
        assert resolve.count() == left
        with formgrader.page.expect_response(lambda r: r.request.method == "PUT") as saved:
            resolve.first.click()
        assert saved.value.ok
        expect(resolve).to_have_count(left - 1)
    assert found() == (expected[0], False, *expected[2:])

    assert all(line.good for line in steps.feedback(course, "mini"))
    page = BeautifulSoup(course.notebook("feedback", "mini", "ann").with_suffix(".html").read_text(), "html.parser")
    text = " ".join(page.text.split())
    for part in (f"feedback mini: {round(expected[0], 2)} of 10 points", "1.75 of 2", "4.5 of 5", "x is not y",
                 "Which tails?"):
        assert part in text
    assert page.find("strong", string="tails") is not None
    assert formgrader.page.acted == [] and set(formgrader.page.complaints) == OFFLINE


def test_no_student_acts_in_an_instructors_jupyterlab(course, start):
    """A hostile submission asks for nothing that an honest one does not ask for, and no dialog opens."""
    submit(course, "ann", soft_argmax="right", fuse="half", free="honest")
    submit_hostile(course, "bob")
    grade(course)
    formgrader = start()
    asked = {}
    for name in ("Arbor, Ann", "Doe, Bob"):
        formgrader.open()
        formgrader.page.asked.clear()
        formgrader.frame.get_by_role("link", name=name, exact=True).click()
        formgrader.wait()
        formgrader.page.wait_for_timeout(3000)  # for whatever may come late
        asked[name] = {re.sub(r"\b[0-9a-f]{32}\b", "ID", url) for url in formgrader.page.asked if "/formgrader/" in url
                       or not url.startswith(formgrader.page.url.partition("/lab")[0])}
    assert asked["Doe, Bob"] <= asked["Arbor, Ann"]
    elsewhere = [url for url in asked["Arbor, Ann"] if "127.0.0.1" not in url]
    assert len(elsewhere) == 1 and elsewhere[0].startswith(MATHJAX)
    assert "onerror=alert(1)>" in formgrader.frame.locator("body").inner_text()  # shown as it was typed
    assert formgrader.page.acted == [] and set(formgrader.page.complaints) == OFFLINE
