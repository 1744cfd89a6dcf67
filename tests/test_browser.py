"""The course in a real page: JupyterLab and chromium, keys and mouse, screen readers and network."""

import importlib
import importlib.util
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from ipywidgets import BoundedFloatText, BoundedIntText

from posebook.explore import decoding

pytestmark = pytest.mark.browser

BOXES = BoundedFloatText, BoundedIntText
CHAPTERS = sorted((Path(__file__).parents[1] / "chapters").glob("*.ipynb"))
EXPLORERS = ["decoding", *sorted(
    path.stem for path in Path(decoding.__file__).parent.glob("[!_]*.py") if path.stem != "decoding")]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
FOLDERS = (
    "JUPYTER_CONFIG_DIR JUPYTER_DATA_DIR JUPYTER_RUNTIME_DIR IPYTHONDIR "
    "JUPYTERLAB_SETTINGS_DIR JUPYTERLAB_WORKSPACES_DIR"
)
SETTINGS = {
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
    "notebook-extension/tracker": {"windowingMode": "none"},
}


# ---------------------------------------------------------------------------------------------------------------------
# JupyterLab, driven


class Lab:
    """A JupyterLab of its own and one chromium; :meth:`run` opens a notebook and runs all its cells."""

    def __init__(self, root: Path, browser):
        self.root, self.browser, self.token = root, browser, secrets.token_hex(16)
        self.served = root / "served"
        env = dict(os.environ)
        for name in FOLDERS.split():
            env[name] = str(root / name.lower())
        for name, values in SETTINGS.items():
            path = Path(env["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        options = [
            "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.url.split(':')[-1]}",
            "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
            "--LabApp.expose_app_in_browser=True",
        ]  # fmt: skip
        self.served.mkdir()
        with open(root / "log.txt", "w") as log:
            command = [sys.executable, "-m", "jupyterlab", *options]
            self.server = subprocess.Popen(command, cwd=self.served, env=env, stdout=log, stderr=subprocess.STDOUT)

    def wait(self, seconds: float = 600) -> None:
        """Until the server answers."""
        end = time.monotonic() + seconds
        while True:
            try:
                return urllib.request.urlopen(f"{self.url}/api/status?token={self.token}", timeout=seconds).close()
            except OSError:
                if self.server.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"JupyterLab did not start:\n{(self.root / 'log.txt').read_text()}") from None
                time.sleep(0.1)

    def run(self, name: str, notebook: nbformat.NotebookNode):
        """The page after all cells ran, or one wrote an error; ``page.hosts`` and ``page.complaints`` keep growing."""
        notebook.metadata.setdefault("kernelspec", {"name": "python3", "display_name": "Python 3"})  # or it asks
        nbformat.write(notebook, self.served / name)
        page = self.browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(600_000)
        page.hosts, page.complaints = set(), []
        page.on("request", lambda r: page.hosts.update(re.findall(r"^(?:https?|wss?)://([^/:]+)", r.url)))
        page.on("websocket", lambda w: page.hosts.update(re.findall(r"^wss?://([^/:]+)", w.url)))
        page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))
        page.goto(f"{self.url}/lab/workspaces/ci/tree/{name}?reset&token={self.token}")
        page.wait_for_selector("#jupyterlab-splash", state="detached")
        page.wait_for_function(
            "() => { const c = window.jupyterapp?.shell.currentWidget?.sessionContext;"
            "        return c?.isReady && c.session?.kernel?.status === 'idle' }"
        )
        page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.wait_for_function(
            "() => document.querySelector('[data-mime-type$=\".stderr\"]') ||"
            "   [...jupyterapp.shell.currentWidget.content.model.cells].every("
            "       c => c.type !== 'code' || !c.sharedModel.source.trim() || c.executionCount)",
            timeout=1_200_000,  # chapter 1 trains a network
        )
        return page

    def stop(self) -> None:
        self.server.terminate()  # it ends its kernels
        try:
            self.server.wait(120)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    missing = [name for name in ("playwright", "axe_playwright_python") if importlib.util.find_spec(name) is None]
    missing += [] if CHROMIUM else ["chromium"]
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("not installed: " + ", ".join(missing))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        lab = Lab(tmp_path_factory.mktemp("lab"), browser)
        try:
            lab.wait()
            yield lab
        finally:
            lab.stop()
            browser.close()


def assert_quiet(page) -> None:
    """Nothing left this machine, and nothing went wrong in the page."""
    assert page.hosts == {"127.0.0.1"}
    assert page.complaints == []
    assert page.locator("[data-mime-type$='.stderr']").all_inner_texts() == []


# ---------------------------------------------------------------------------------------------------------------------
# The explorers


class Explorer:
    """What a reader sees and touches, in one explorer of a page; :meth:`state` and :meth:`moved` are decoding's."""

    def __init__(self, page, name="decoding"):
        self.page = page
        self.output = page.locator(".jp-OutputArea-output:has(.posebook)").nth(EXPLORERS.index(name))
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

    def rows(self):
        return self.output.locator("table").evaluate(
            "table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent.trim()))"
        )

    def moved(self, before, *, to=lambda state: True) -> decoding.State:
        """Wait until the picture changed and says what the controls say, and that is wanted; the table, too."""
        end = time.monotonic() + 120
        while True:  # a drag may go on
            state, said, rows = self.state(), self.sentence(), self.rows()
            if before != said == decoding.sentence(seen := decoding.compute(state)) and to(state):
                table = ET.fromstring(decoding.table(seen))
                if rows == [["".join(cell.itertext()).strip() for cell in row] for row in table.iter("tr")]:
                    break
            assert time.monotonic() < end, f"the controls say {state}, the picture says {said}, the table {rows}"
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


@pytest.mark.parametrize("name", EXPLORERS[1:])
def test_a_key_moves_each(page, name):
    """One press on the first slider: the picture is that of the number beside it, which a screen reader says."""
    module, explorer = importlib.import_module(f"posebook.explore.{name}"), Explorer(page, name)
    controls = module.explore().controls.items()
    field, box = next((field, control) for field, control in controls if isinstance(control, BOXES))
    kind = int if name in ("angle", "epochs") else float
    start, end = module.sentence(module.compute(module.State())), time.monotonic() + 120
    assert explorer.sentence() == start
    explorer.handle(box.description).press("ArrowRight")
    while True:
        state = replace(module.State(), **{field: kind(explorer.box(box.description).input_value())})
        if start != explorer.sentence() == module.sentence(module.compute(state)):
            break
        assert time.monotonic() < end, f"the controls say {state}, the picture says {explorer.sentence()}"
        page.wait_for_timeout(30)
    said = explorer.output.get_by_role("status").text_content()
    assert said == f"{box.description} {getattr(state, field)}. {module.verdict(module.compute(state))}"
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


# ---------------------------------------------------------------------------------------------------------------------
# The chapters


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_runs(lab, path):
    notebook = nbformat.read(path, as_version=4)
    page = lab.run(path.name, notebook)
    assert_quiet(page)
    if any("decoding.explore(" in cell.source for cell in notebook.cells if cell.cell_type == "code"):
        explorer = Explorer(page)
        before = explorer.sentence()
        explorer.handle("tau").press("ArrowRight")
        explorer.moved(before)
        assert_quiet(page)
    page.close()
