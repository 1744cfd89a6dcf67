"""The student's feedback page and the instructor's report as chromium shows them: quiet, on a phone, in print."""

import re
import shutil

import pytest
import quick_grader
from classroom import grade, submit
from nbconvert.filters import markdown2html
from test_record import HOSTILE

from posebook.checks import PROBLEMS
from posebook.checks.problem import Report
from posebook.grading import record, steps
from posebook.grading.course import Course
from posebook.grading.report import write_report

pytestmark = pytest.mark.browser

WIDE = "Words that are long enough to fill a line and more. " * 9 + '''

```python
@functools.cache  # a comment
def known(x: int) -> float:
    """Words."""
    return f"{x:g}" if x is not None and x in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16] else 1e-3 * len
```

|a table|of many|columns|that is|wider|than|a phone|
|-|-|-|-|-|-|-|
|''' + "a_word_that_does_not_break|" * 7 + "\n\n" + "aa" * 200


@pytest.fixture
def opened(browser):
    """Opens a file in a new page, whose ``asked`` and ``acted`` list requests to elsewhere, dialogs and errors."""
    contexts = []

    def open_file(path, width=1280):
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.asked, page.acted = [], []

        def route(way):
            if way.request.url == path.as_uri():
                return way.continue_()
            page.asked.append(way.request.url)
            return way.abort()

        def answer(dialog):
            page.acted.append(dialog.message)
            dialog.dismiss()

        context.route(re.compile("^(?!data:)"), route)
        page.on("request", lambda r: page.asked.append(r.url) if r.url != path.as_uri() and r.url[:5] != "data:" else 0)
        page.on("dialog", answer)
        page.on("pageerror", lambda error: page.acted.append(str(error)))
        page.on("console", lambda said: page.acted.append(said.text) if said.type == "error" else None)
        page.on("popup", lambda new: page.acted.append(new.url))
        page.goto(path.as_uri())
        page.wait_for_timeout(200)  # what an onload or a timer would do
        return page

    yield open_file
    for context in contexts:
        context.close()


def hand_in_hostile(course):
    submit(course, "bob", soft_argmax="say <img src=x onerror=alert(1)>", fuse="wrong", free="\n\n".join(HOSTILE))


def feedback(course, student):
    return course.notebook("feedback", "mini", student).with_suffix(".html")


@pytest.fixture(scope="module")
def pages(released, tmp_path_factory):
    """Files by name: ann is late, half right, with wide text; bob is hostile; rob's file cannot be read."""
    def named(name, points, rows, diagnosis):
        return Report(name, points, rows, PROBLEMS[name].mistakes[0].says if diagnosis else "")

    root = tmp_path_factory.mktemp("pages") / "course"
    shutil.copytree(released, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(quick_grader, "Report", named)
        course = Course.open()
        submit(course, "ann", soft_argmax="half", fuse="right", free=WIDE, when="2026-11-21 09:00:00 UTC")
        hand_in_hostile(course)
        submit(course, "rob").write_text("{<b>")
        grade(course)
        with course.gradebook() as gradebook:
            gradebook.find_comment("why", "mini", "mini", "ann").manual_comment = "A *good* start."
            gradebook.db.commit()
        assert all(line.good for line in steps.feedback(course, "mini"))
        found = {student: feedback(course, student) for student in ("ann", "bob", "rob")}
        yield found | {"report": write_report(course, "mini")}


def test_what_is_hostile_acts_where_it_is_not_cleaned(opened, tmp_path):
    """So that the next test sees something: each of these texts alone, as Markdown leaves it, asks or acts."""
    for text, asks, acts in [("<script>alert(1)</script>", False, True), ("<img src=x onerror=alert(1)>", True, True),
                             ("<img src=https://x/track.png>", True, False),
                             ("![x](https://x/track.png)", True, False),
                             ("<details open ontoggle=alert(1)>", False, True)]:
        assert text in HOSTILE
        path = tmp_path / "raw.html"
        path.write_text(f"<!DOCTYPE html><title>raw</title>{markdown2html(text)}")
        page = opened(path)
        assert bool(page.asked) == asks, text
        assert not acts or "1" in page.acted, text


def test_no_page_asks_or_acts(opened, pages):
    for name, path in pages.items():
        page = opened(path)
        for link in page.locator("a[href^='#']").all():
            link.click()
        for summary in page.locator("summary").all():
            summary.click()
        page.emulate_media(media="print")
        assert (page.asked, page.acted) == ([], []), name
        assert page.locator("script, iframe, object, embed, form, base, link").count() == 0


def test_cleaning_turned_off_is_seen(opened, course, monkeypatch):
    """The hostile student's page without the cleaning asks and acts."""
    monkeypatch.setattr(record, "harmless", lambda source, pictures=(): source)
    hand_in_hostile(course)
    grade(course)
    assert all(line.good for line in steps.feedback(course, "mini"))
    page = opened(feedback(course, "bob"))
    assert page.asked and "1" in page.acted


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_and_width(opened, pages, width):
    """No violation, and nothing wider than the window; what scrolls is one of the page's own regions."""
    from axe_playwright_python.sync_playwright import Axe

    for name, path in pages.items():
        page = opened(path, width)
        assert page.locator("main h1").count() >= 1 and page.title().startswith("mini")
        found = Axe().run(page).response["violations"]
        assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == [], name
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1] == width, name
        outside = page.evaluate(
            "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 &&"
            "  !e.closest('[tabindex=\"0\"]')).map(e => e.outerHTML.slice(0, 100))")
        assert outside == [], name


def test_in_print_all_is_seen_dark_on_light(opened, pages):
    """Nothing scrolls or is cut off on paper of A4's width, hints are open, and text keeps a contrast of 4.5 to 1."""
    from axe_playwright_python.sync_playwright import Axe

    for name, path in pages.items():
        page = opened(path, 680)  # A4 less margins of 15 mm
        page.emulate_media(media="print")
        cut = page.evaluate(
            "[...document.querySelectorAll('main, main *')].filter(e => !e.closest('svg') &&"
            "  (e.getBoundingClientRect().right > innerWidth + 1 || e.clientWidth && e.scrollWidth > e.clientWidth + 1)"
            ").map(e => e.outerHTML.slice(0, 100))")
        assert cut == [], name
        shut = page.evaluate("[...document.querySelectorAll('details > :not(summary)')]"
                             ".filter(e => !e.checkVisibility({contentVisibilityAuto: true})).length")
        assert shut == 0, name
        dark = page.evaluate(
            "[...document.querySelectorAll('body, body *')].filter(e => !e.closest('svg')).map(e =>"
            "  getComputedStyle(e).backgroundColor).filter(c => c != 'rgba(0, 0, 0, 0)' &&"
            "  c.match(/\\d+/g).slice(0, 3).some(v => v < 230))")
        assert dark == [], name
        found = Axe().run(page, options={"runOnly": ["color-contrast"]}).response["violations"]
        assert found == [], name


def test_the_table_at_the_top_tells_it_problem_by_problem(opened, pages):
    page = opened(pages["ann"], 390)
    rows = [[cell.inner_text() for cell in row.locator("th, td").all()] for row in page.locator("#toc tr").all()[1:]]
    cases = {name: len(PROBLEMS[name].cases) for name in ("soft_argmax", "fuse")}
    half = cases["soft_argmax"] // 2
    mistake = PROBLEMS["soft_argmax"].mistakes[0].says.replace("`", "")
    assert rows == [
        ["soft_argmax", f"{3 * half / cases['soft_argmax']:.3g} of 3, {half} of {cases['soft_argmax']} cases", mistake],
        ["fuse", f"2 of 2, {cases['fuse']} of {cases['fuse']} cases", ""],
        ["answer why", "0 of 5", ""],
        ["comment on why", "", ""],
    ]
    assert page.locator("#why .comment em").inner_text() == "good"
    page.get_by_role("link", name="soft_argmax", exact=True).click()
    seen = page.locator("#check-soft_argmax")
    assert abs(seen.bounding_box()["y"]) < 20 and "For example, on an input" in seen.inner_text()
