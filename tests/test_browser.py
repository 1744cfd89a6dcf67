"""The course in a real page: JupyterLab and chromium, keys and mouse, screen readers and network."""

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from driver import Lab, chromium
from ipywidgets import BoundedFloatText, BoundedIntText

from posebook.explore import decoding
from posebook.questions.quizzes import QUIZZES

pytestmark = pytest.mark.browser

BOXES = BoundedFloatText, BoundedIntText
CHAPTERS = sorted((Path(__file__).parents[1] / "chapters").glob("*.ipynb"))
EXPLORERS = ["decoding", *sorted(
    path.stem for path in Path(decoding.__file__).parent.glob("[!_]*.py") if path.stem != "decoding")]


# ---------------------------------------------------------------------------------------------------------------------
# JupyterLab, driven


class NotebookLab(Lab):
    def run(self, name: str, notebook: nbformat.NotebookNode, cells: str = ""):
        """The page after all code cells of the notebook ran, or those that this pattern is found in, or one wrote an
        error; what is not run shows its stored outputs.
        """
        notebook.metadata.setdefault("kernelspec", {"name": "python3", "display_name": "Python 3"})  # or it asks
        nbformat.write(notebook, self.served / name)
        page = self.open(f"/tree/{name}")
        page.wait_for_function(
            "() => { const c = window.jupyterapp?.shell.currentWidget?.sessionContext;"
            "        return c?.isReady && c.session?.kernel?.status === 'idle' }"
        )
        chosen = [k for k, cell in enumerate(notebook.cells)
                  if cell.cell_type == "code" and cell.source.strip() and re.search(cells, cell.source, re.M)]
        page.evaluate("""chosen => {
            const { content } = jupyterapp.shell.currentWidget;
            content.deselectAll();
            for (const [n, k] of chosen.entries()) {
                content.widgets[k].model.clearExecution();
                if (n) content.select(content.widgets[k]); else content.activeCellIndex = k;
            }
            jupyterapp.commands.execute("notebook:run-cell");
        }""", chosen)
        page.wait_for_function("""chosen => {
            if (document.querySelector('[data-mime-type$=".stderr"]')) return true;
            return chosen.every(k => jupyterapp.shell.currentWidget.content.widgets[k].model.executionCount);
        }""", arg=chosen, timeout=1_200_000)
        return page


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab")
    (root / "served").mkdir()
    with chromium() as browser, NotebookLab(root, browser, root / "served") as lab:
        yield lab


def assert_quiet(page) -> None:
    """Nothing left this machine, and nothing went wrong in the page."""
    assert page.hosts == {"127.0.0.1"}
    assert page.complaints == []
    assert page.locator("[data-mime-type$='.stderr']").all_inner_texts() == []


# ---------------------------------------------------------------------------------------------------------------------
# The explorers


class Explorer:
    """What a reader sees and touches, in one explorer of a page; :meth:`state` and :meth:`moved` are decoding's."""

    def __init__(self, page, name="decoding", among=EXPLORERS):
        self.page = page
        self.output = page.locator(".jp-OutputArea-output:has(.posebook)").nth(among.index(name))
        self.svg = self.output.locator("div[role=img]")
        self.svg.wait_for()
        self.output.evaluate("e => e.scrollIntoView({block: 'center'})")  # a redraw replaces the picture, not this

    def box(self, name):
        return self.output.get_by_role("spinbutton", name=name, exact=True)

    def handle(self, name):
        """The slider beside the number box."""
        return self.box(name).locator("xpath=../..").get_by_role("slider")

    def stride(self, stride):
        return self.output.get_by_role("button", name=str(stride), exact=True)

    def sentence(self):
        return self.svg.get_attribute("aria-label")

    def state(self):
        numbers = {name: float(self.box(name).input_value()) for name in ("tau", "x", "y")}
        return decoding.State(int(self.output.locator(".widget-toggle-button.mod-active").inner_text()), **numbers)

    def shows(self, view) -> bool:
        """Whether all of it, panels to the last digit, table and words, is what this view is in Python."""
        return self.output.locator("div.posebook").evaluate("""(shown, html) => {
            const want = document.createElement("template");
            want.innerHTML = html;
            return shown.isEqualNode(want.content.querySelector("div.posebook"));
        }""", view.html())

    def moved(self, before, *, to=lambda state: True) -> decoding.State:
        """Wait until what is shown changed and is what follows from the controls, and that is wanted."""
        end = time.monotonic() + 120
        while True:  # a drag may go on
            state, said = self.state(), self.sentence()
            if before != said and to(state) and self.shows(decoding.view(decoding.compute(state))):
                break
            assert time.monotonic() < end, f"the controls say {state}, the picture says {said}"
            self.page.wait_for_timeout(30)
        assert self.output.get_by_role("alert").count() == 0
        return state


@pytest.fixture(scope="module")
def page(lab):
    code = [f"from posebook.explore import {name}\n\n{name}.explore()" for name in EXPLORERS]
    page = lab.run("explorers.ipynb", nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, code))))
    yield page
    page.close()


@pytest.fixture
def explorer(page):
    return Explorer(page)


def test_it_starts_as_written_and_fits(explorer):
    explorer.moved(before=None)
    assert explorer.state() == decoding.State()
    assert explorer.output.evaluate("e => e.scrollWidth <= e.clientWidth")


def test_keys_move_a_slider(explorer):
    before, tau = explorer.sentence(), explorer.state().tau
    explorer.handle("tau").focus()
    for _ in range(3):
        explorer.page.keyboard.press("ArrowRight")
    explorer.moved(before, to=lambda state: state.tau == pytest.approx(tau * 10**0.06, rel=0.03))


def test_a_drag_moves_a_slider(explorer):
    for name in ("tau", "x", "y"):
        before, value = explorer.sentence(), getattr(explorer.state(), name)
        spot = explorer.handle(name).bounding_box()
        x, y = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
        explorer.page.mouse.move(x, y)
        explorer.page.mouse.down()
        explorer.page.mouse.move(x + 40, y, steps=10)
        explorer.page.mouse.up()
        explorer.moved(before, to=lambda state, name=name, least=1.2 * value: getattr(state, name) > least)


def test_a_typed_number_stays(explorer):
    for name, value in {"tau": 0.317, "x": 33.33, "y": 70.07}.items():
        before = explorer.sentence()
        explorer.box(name).fill(str(value))
        explorer.box(name).press("Enter")
        explorer.page.wait_for_timeout(300)  # the slider goes to its nearest step; the number does not
        assert getattr(explorer.moved(before), name) == value


def test_the_cliff_by_keyboard_alone(explorer):
    """Tab from the buttons to tau's box, type, and walk down the strides: the dot falls."""
    for name in ("x", "y"):
        explorer.box(name).fill("44.4")
        explorer.box(name).press("Enter")
    explorer.stride(16).focus()
    before = explorer.sentence()
    explorer.page.keyboard.press("Enter")
    assert explorer.moved(before).stride == 16
    explorer.page.keyboard.press("Tab")
    assert explorer.box("tau").evaluate("box => box === document.activeElement")
    before = explorer.sentence()
    explorer.page.keyboard.type("1")
    explorer.page.keyboard.press("Enter")
    assert explorer.moved(before).tau == 1
    heights = []
    for stride in (8, 4):
        heights.append(explorer.svg.locator("[data-name=place]").bounding_box()["y"])
        before = explorer.sentence()
        explorer.stride(stride).press(" ")
        assert explorer.moved(before).stride == stride
    assert heights[1] > heights[0] + 40
    assert "exact to float32 round-off" in explorer.sentence()


def moved(explorer, module, field, label, value) -> float:
    """Wait until all that is shown is the view of a new number beside the slider, and a screen reader hears it; that
    number.
    """
    before, end = module.sentence(module.compute(replace(module.State(), **{field: value}))), time.monotonic() + 120
    while True:  # a drag may go on
        number = type(value)(explorer.box(label).input_value())
        want = module.view(module.compute(replace(module.State(), **{field: number})))
        said = explorer.output.get_by_role("status").text_content()
        says = said.startswith(f"{label} {number}. ") and said.endswith(want.verdict)  # and what it solved
        if says and before != explorer.sentence() and explorer.shows(want):
            return number
        assert time.monotonic() < end, f"want {want.sentence}, {label} {number}, got {explorer.sentence()}, {said}"
        explorer.page.wait_for_timeout(30)


@pytest.mark.parametrize("name", EXPLORERS[1:])
def test_a_key_and_the_mouse_move_each(page, name):
    """The first slider: picture, table and sentence are those of the number beside it, which a screen reader says."""
    module, explorer = importlib.import_module(f"posebook.explore.{name}"), Explorer(page, name)
    controls = module.explore().controls.items()
    field, box = next((field, control) for field, control in controls if isinstance(control, BOXES))
    label, handle, start = box.description, explorer.handle(box.description), getattr(module.State(), field)
    assert explorer.shows(module.view(module.compute(module.State())))
    handle.press("ArrowRight")
    pressed = moved(explorer, module, field, label, start)
    spot = handle.bounding_box()
    x, y = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + (60 if pressed - box.min < box.max - pressed else -60), y, steps=20)
    page.mouse.up()
    moved(explorer, module, field, label, pressed)
    assert explorer.output.evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("name", EXPLORERS)
def test_axe(page, name):
    """No violation but one of ipywidgets: a slider's handle has no name. The number box beside it has."""
    from axe_playwright_python.sync_playwright import Axe

    explorer = Explorer(page, name)
    explorer.output.evaluate("(e, name) => e.id = name", name)
    found = Axe().run(page, context=f"#{name}").response["violations"]
    known = [node for rule in found if rule["id"] == "aria-input-field-name" for node in rule["nodes"]]
    assert [rule["id"] for rule in found if rule["id"] != "aria-input-field-name"] == []
    assert all('class="noUi-handle' in node["html"] for node in known)
    controls = importlib.import_module(f"posebook.explore.{name}").explore().controls.values()
    boxes = [control.description for control in controls if isinstance(control, BOXES)]
    assert len(known) == explorer.output.get_by_role("slider").count() == len(boxes) > 0
    for label in boxes:
        assert explorer.handle(label).count() == explorer.box(label).count() == 1


def test_panels_stand_in_a_row(page):
    """On a page of 1280 px, file browser open: so that controls and all panels are seen at once."""
    for name in EXPLORERS:
        tops = Explorer(page, name).output.evaluate(
            "e => [...e.querySelectorAll('[role=img] > svg')].map(svg => svg.getBoundingClientRect().top)")
        assert tops == pytest.approx(tops[:1] * len(tops), abs=1), name


def test_print_keeps_its_size_in_a_narrow_page(page):
    """At 900 px, file browser open: panels stand below one another, and none is shrunk."""
    page.set_viewport_size({"width": 900, "height": 900})
    for name in EXPLORERS:
        output = Explorer(page, name).output
        output.evaluate("e => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        shown = output.evaluate("e => [...e.querySelectorAll('[role=img] > svg')].map(svg =>"
                                "  svg.getBoundingClientRect().width / svg.getAttribute('width'))")
        assert shown == pytest.approx([1] * len(shown)) and shown
        assert output.evaluate("e => e.scrollWidth <= e.clientWidth")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_nothing_leaves_and_nothing_complains(explorer):
    assert_quiet(explorer.page)


def test_what_goes_wrong_is_said(lab):
    """A view that raises: a line below the picture says so, until a move that goes well."""
    code = ["from posebook.explore import decoding\n\nshown = decoding.explore()\nshown",
            "view = shown._view\nshown._view = lambda result: 1 / 0 if result.state.tau > 1 else view(result)"]
    page = lab.run("broken.ipynb", nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, code))))
    output = page.locator(".jp-OutputArea-output:has(.posebook)")
    box = output.get_by_role("spinbutton", name="tau", exact=True)
    for value, alerts in (("2", 1), ("0.5", 0)):
        box.fill(value)
        box.press("Enter")
        output.get_by_role("alert" if alerts else "status").wait_for(state="attached")
        words = ["ZeroDivisionError: division by zero"] * alerts
        assert output.get_by_role("alert").all_inner_texts() == words and output.locator("div[role=img]").is_visible()
    page.close()


# ---------------------------------------------------------------------------------------------------------------------
# The quizzes


@pytest.fixture(scope="module")
def asked(lab):
    """A page with a chapter's quiz, and its output."""
    code = nbformat.v4.new_code_cell("from posebook.quiz import quiz\n\nquiz(2)")
    page = lab.run("quiz.ipynb", nbformat.v4.new_notebook(cells=[code]))
    output = page.locator(".jp-OutputArea-output:has(.posebook-ask)")
    output.wait_for()
    output.evaluate("e => e.id = 'quiz'")
    yield page, output
    page.close()


def tab(page, words: str, key: str = "Tab") -> None:
    """Move the focus until it is on what has these words."""
    for _ in range(20):
        if page.evaluate("(e => e.parentElement.tagName == 'LABEL' ? e.parentElement.textContent : e.textContent)"
                         "(document.activeElement)").strip() == words:
            return
        page.keyboard.press(key)
    raise AssertionError(f"nothing says {words}")


def test_a_quiz_by_keyboard_alone(asked):
    """Each answer is explained and heard, and only the first try counts."""
    page, output = asked
    question = QUIZZES[2][0]
    wrong = next(option for option in question.options if not option.right)
    output.get_by_role("radio").first.focus()
    for option, key in ((wrong, "Tab"), (question.right, "Shift+Tab")):
        tab(page, option.words, key)
        page.keyboard.press("Space")
        tab(page, "Check")
        page.keyboard.press("Enter")
        said = output.get_by_role("status").filter(has_text=option.why)
        said.wait_for()
        assert said.inner_text().startswith("\u2713 Right." if option.right else "\u2717 Not right.")
    assert output.get_by_role("status").last.inner_text() == "0 of 7 right on the first try, 6 still to answer."
    assert_quiet(page)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_a_quiz_has_nothing_against_it_by_axe_and_fits_a_phone(asked, theme):
    from axe_playwright_python.sync_playwright import Axe

    page, output = asked
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
    assert [rule["id"] for rule in Axe().run(page, context="#quiz").response["violations"]] == []
    page.set_viewport_size({"width": 390, "height": 844})
    output.evaluate("e => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert output.evaluate("e => e.scrollWidth <= e.clientWidth")
    page.set_viewport_size({"width": 1280, "height": 900})


# ---------------------------------------------------------------------------------------------------------------------
# What is folded


def test_what_is_folded_opens_and_shuts_by_keyboard_alone(lab):
    """A problem's hint, and the questions that a chapter's table of predictions has no answer to."""
    exercise = nbformat.read(CHAPTERS[0].parents[1] / "exercises/decoding/decoding.ipynb", as_version=4)
    hint = next(cell for cell in exercise.cells if "<details>" in cell.source)
    code = nbformat.v4.new_code_cell("from posebook.predictions import predictions\n\npredictions(2)")
    page = lab.run("folded.ipynb", nbformat.v4.new_notebook(cells=[hint, code]))
    for part in (".jp-MarkdownOutput", ".posebook-question"):
        folded = page.locator(f"{part} details").first
        inside = folded.locator(":scope > :not(summary)").first
        inside.wait_for(state="hidden")
        folded.locator("summary").focus()
        for state in ("visible", "hidden"):
            page.keyboard.press("Enter")
            inside.wait_for(state=state)
        assert folded.is_visible()  # the cell has not turned into its source
    assert_quiet(page)
    page.close()


# ---------------------------------------------------------------------------------------------------------------------
# The first opening


def test_nothing_covers_the_text_at_the_first_opening(lab, tmp_path):
    """posebook lab in a new home: the first chapter, and no question. Ctrl-C ends it after a page was open, too."""
    code = nbformat.v4.new_code_cell("1 + 1")
    notebook = nbformat.v4.new_notebook(cells=[code], metadata={"kernelspec": {"name": "python3", "display_name": "P"}})
    (tmp_path / "chapters").mkdir()
    nbformat.write(notebook, tmp_path / "chapters/01_first.ipynb")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "XDG_"))}
    command = [sys.executable, "-m", "posebook.cli", "lab", "--no-browser"]
    with subprocess.Popen(command, cwd=tmp_path, env=env | {"HOME": str(tmp_path / "home")}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as served:
        try:
            address = next(line.strip() for line in served.stdout if "http://127.0.0.1" in line)
            page = lab.browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(600_000)
            page.goto(address)
            page.wait_for_selector("#jupyterlab-splash", state="detached")
            page.wait_for_selector(".jp-Notebook")
            page.wait_for_timeout(5000)  # the question came within a second of the notebook
            assert page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == []
            page.close()
            served.send_signal(signal.SIGINT)
            assert served.wait(600) == 0
        finally:
            served.kill()


def test_notebook_7_opens_a_notebook_as_it_was_built_and_shows_its_explorer(lab):
    notebook = nbformat.read(CHAPTERS[0], as_version=4)
    notebook.cells = [nbformat.v4.new_code_cell("from posebook.explore import decoding\ndecoding.explore()")]
    nbformat.write(notebook, lab.served / "seven.ipynb")
    page = lab.browser.new_page()
    page.set_default_timeout(600_000)
    page.goto(f"{lab.url}/notebooks/seven.ipynb?token={lab.token}")
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
    cell, end = page.locator(".jp-CodeCell").first, time.monotonic() + 600
    while cell.locator(".jp-InputPrompt").inner_text().strip() in ("", "[ ]:"):  # keys are lost until the page listens
        assert time.monotonic() < end, "the cell does not run"
        cell.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(500)
    page.locator(".posebook div[role=img] svg").first.wait_for()
    assert page.locator(".jp-Dialog").count() == 0  # no kernel to choose
    page.get_by_role("slider").first.wait_for()
    page.close()


# ---------------------------------------------------------------------------------------------------------------------
# The chapters


WIDGETS = r"^from posebook\.predictions import|\.explore\(\)$|^quiz\(|^predictions?\("


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_opens_as_it_is_stored_and_its_widgets_run(lab, path):
    """Decoding runs as a whole; the code of the others runs in test_round_off.py."""
    notebook = nbformat.read(path, as_version=4)
    page = lab.run(path.name, notebook, cells="" if "decoding" in path.stem else WIDGETS)
    assert_quiet(page)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    names = re.findall(r"^from posebook\.explore import (\w+)", "\n".join(sources), re.M)
    assert names and len(names) == sum(source.endswith(".explore()") for source in sources)
    assert page.locator(".jp-OutputArea-output:has(.posebook)").count() == len(names)
    for name in names:
        module = importlib.import_module(f"posebook.explore.{name}")
        assert Explorer(page, name, names).shows(module.view(module.compute(module.State())))
    shown = page.locator(".jp-RenderedImage img").evaluate_all("all => all.map(img => img.complete && img.width > 0)")
    pictures = [output for cell in notebook.cells for output in cell.get("outputs", ())
                if "image/png" in output.get("data", {}) and not cell.source.endswith(".explore()")]
    assert len(shown) == len(pictures) > 0 and all(shown)
    if "decoding" in names:
        explorer = Explorer(page, among=names)
        before = explorer.sentence()
        explorer.handle("tau").press("ArrowRight")
        explorer.moved(before)
        assert_quiet(page)
    page.close()
