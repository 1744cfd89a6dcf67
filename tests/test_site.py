"""The web book: built once, without a network and without running a cell, then read as files and in chromium."""

import functools
import importlib
import inspect
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from parts import mathml

import posebook

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted(
    path.relative_to(ROOT) for pattern in ("chapters/*.ipynb", "exercises/*/*.ipynb") for path in ROOT.glob(pattern)
)
COPIED = ("book", "chapters", "docs", "exercises", "posebook", "sources", "tools", "*.md")
KINDS = ("index", "chapters", "problems", "glossary", "references", "INSTRUCTORS", "search", "genindex", "api/index",
         "api/decode", "chapters/02_decoding", "exercises/decoding/decoding")
TABLES = ("CONTRIBUTING", "chapters/01_representations", "chapters/03_multi_person", "chapters/04_robustness",
          "chapters/05_applications")
CUT = """() => {
  document.querySelectorAll('details').forEach(details => details.open = true);
  fit();
  const rolls = e => getComputedStyle(e).overflowX != 'visible';
  const scrolls = e => e.tagName != 'ARTICLE' && (rolls(e) || scrolls(e.parentElement));
  return [...document.querySelectorAll('article :is(math, code, pre, p, dt, img, td)')]
    .filter(e => e.getBoundingClientRect().right > innerWidth && !scrolls(e)).map(e => e.textContent.slice(0, 80));
}"""
SEEN = 'In the explorer\n*epochs* at step 5 and\nkeypoint "left wrist" (section\n1.12) both nets are far off.'
FEWER = "document.querySelectorAll('section section').forEach((section, i) => i % 4 ? section.remove() : 0)"


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A copy of the course in a folder with an unusual name, with the book built in it."""
    folder = tmp_path_factory.mktemp("site") / "a course, 50% \u00f1"
    folder.mkdir()
    for path in (path for pattern in COPIED for path in ROOT.glob(pattern)):
        copy = functools.partial(shutil.copytree, ignore=shutil.ignore_patterns("__pycache__"))
        (copy if path.is_dir() else shutil.copy)(path, folder / path.name)
    frames = folder / "book/frames.py"
    many, few = "FRAMES, BYTES = 3000,", "FRAMES, BYTES = 2,"  # test_frames.py tries the explorers themselves
    assert many in frames.read_text()
    all_of, but_one = "> FRAMES:", '> FRAMES and name != "epochs":'
    assert all_of in frames.read_text()
    frames.write_text(frames.read_text().replace(many, few).replace(all_of, but_one))
    page = folder / "exercises/representations/representations.ipynb"
    notebook = nbformat.read(page, as_version=4)
    unfold = f"<details><summary>Unfold</summary>\n\n{SEEN}\n\n</details>"
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(unfold))
    nbformat.write(notebook, page)
    first = folder / NOTEBOOKS[0]
    notebook = nbformat.read(first, as_version=4)
    trap = f"import pathlib\npathlib.Path({str(folder / 'executed')!r}).touch()"
    notebook.cells.append(nbformat.v4.new_code_cell(trap, id="trap"))
    nbformat.write(notebook, first)
    done = subprocess.run([sys.executable, "tools/book.py"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def site(course) -> Path:
    return course / "site"


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    """Page -> what it holds, by its path without .html; less the colors of code, which are most of it."""
    texts = {path.relative_to(site).as_posix()[:-5]: path.read_text() for path in sorted(site.rglob("*.html"))}
    plain = {name: re.sub(r'<span class="[a-z0-9]{1,3}">([^<]*)</span>', r"\1", text) for name, text in texts.items()}
    return {name: BeautifulSoup(text, "html.parser") for name, text in plain.items()}


def cells(notebook: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(ROOT / notebook, as_version=4).cells if cell.cell_type == kind]


# As files


def test_nothing_is_executed_and_nothing_left_beside_the_site(course):
    assert not (course / "executed").exists()
    assert "touch" in (course / "site" / NOTEBOOKS[0].with_suffix(".html")).read_text()
    made = {path.name for path in course.iterdir()} - {path.name for pattern in COPIED for path in ROOT.glob(pattern)}
    assert made == {".site", "site"}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_stored_outputs_and_alt_texts_are_those_of_the_notebook(pages, notebook):
    page, alts, printed, explorers = pages[notebook.with_suffix("").as_posix()], [], [], []
    for cell in cells(notebook, "code"):
        if cell.source.endswith(".explore()"):
            explorers.append(cell.source.split(".explore import ")[1].split()[0])
            continue
        printed += [output.text.strip() for output in cell.outputs if output.output_type == "stream"]
        alts += [o.metadata["image/png"]["alt"] for o in cell.outputs if "image/png" in o.get("data", {})]
    assert [image["alt"] for image in page.select(".cell_output img")] == alts and all(alts)
    assert [pre.get_text().strip() for pre in page.select(".cell_output .output.stream pre")] == printed
    assert [player["data-name"] for player in page.select(".cell_output .player")] == explorers


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_each_formula_is_mathml(pages, notebook):
    text = "\n\n".join(re.sub(r"`[^`\n]*`", "", cell.source) for cell in cells(notebook, "markdown"))
    blocks = re.findall(r"\$\$.+?\$\$", text, re.S)
    inline = re.findall(r"\$[^$]+\$", re.sub(r"\$\$.+?\$\$", "", text, flags=re.S))
    article = pages[notebook.with_suffix("").as_posix()].article
    displays = Counter(math["display"] for math in article.find_all("math"))
    assert (displays["block"], displays["inline"]) == (len(blocks), len(inline))


def test_no_formula_keeps_latex(pages):
    formulas = [math.get_text() for page in pages.values() for math in page.find_all("math")]
    assert len(formulas) > 1000
    assert [formula for formula in formulas if re.search(r"[\\{}&~]", formula)] == []


@pytest.mark.parametrize(
    "latex, expected",
    [
        (r"2 \ln x", "2 ln x"), (r"\exp(x)", "exp(x)"), (r"\ln\left(x\right)", "ln(x)"), (r"\sin^2 x", "sin2 x"),
        (r"\mathrm{stride}\,u", "stride u"), (r"\operatorname{mean} d", "mean d"), (r"a - b", "a−b"),
    ],
)  # fmt: skip
def test_names_of_functions_stand_apart(latex, expected):
    spaced = re.sub(r"<mspace[^>]*>", " ", mathml(latex, "inline"))
    assert re.sub(r"<[^>]+>", "", spaced) == expected


@pytest.mark.parametrize("latex, signs", [("-a", 1), ("a - b", 0), ("a = -b", 1), ("(-a - b)", 1), (r"e^{-x}", 1)])
def test_a_minus_is_a_sign_or_an_operator(latex, signs):
    assert mathml(latex, "inline").count('form="prefix">−') == signs


def test_one_heading_of_the_first_rank_and_none_left_out(pages):
    wrong = {}
    for name, page in pages.items():
        ranks = [int(heading.name[1]) for heading in page.main.find_all(re.compile("^h[1-6]$"))]
        if ranks.count(1) != 1 or ranks[0] != 1 or any(b > a + 1 for a, b in zip(ranks, ranks[1:], strict=False)):
            wrong[name] = ranks
    assert wrong == {}


def test_no_link_is_broken(site, pages):
    ids = {name: {tag["id"] for tag in page.find_all(id=True)} for name, page in pages.items()}
    broken = set()
    for name, page in pages.items():
        for tag in page.find_all(href=True) + page.find_all(src=True):
            link = urlsplit(tag.get("href") or tag["src"])
            if link.scheme in ("http", "https", "mailto", "data") and tag.name == "a" or link.scheme == "data":
                continue
            path = (site / name).parent / unquote(link.path) if link.path else site / f"{name}.html"
            there = path.resolve().relative_to(site.resolve()).as_posix() if path.is_file() else ""
            explorer, _, state = tag.get("href", "").partition("#")[2].partition("?")
            if explorer and there and (state or link.fragment.endswith("?")):
                link = link._replace(fragment="" if pages[there[:-5]].select(f'[data-name="{explorer}"]') else explorer)
            if not there or (link.fragment and there.endswith(".html") and link.fragment not in ids[there[:-5]]):
                broken.add((name, tag.get("href") or tag["src"]))
    assert broken == set()


def test_every_problem_has_its_statement_its_picture_and_its_hints(pages):
    from posebook.checks import SETS

    for name, problems in SETS.items():
        page = pages[f"exercises/{name}/{name}"]
        for problem in problems:
            section = next(h.parent for h in page.find_all("h2") if h.code and h.code.get_text() == problem.name)
            hints = [summary.get_text() for summary in section.select("details > summary")]
            assert hints == ["Hint 1", "Hint 2"] and len(section.select("img")) == 1
            assert "draw.show" not in section.get_text() and "NotImplementedError" in section.get_text()


def modules() -> list[str]:
    """Every module of the library that has a name of its own to be imported by; a package stands for its files."""
    library = [module.name for module in pkgutil.iter_modules(posebook.__path__) if not module.name.startswith("_")]
    apart = {"cli", "grading", "explore", "questions"}
    found = [f"posebook.{name}" for name in library if name not in apart]
    for package in ("explore", "training"):
        front = importlib.import_module(f"posebook.{package}")
        exported = {getattr(front, name).__module__ for name in getattr(front, "__all__", ()) if name != "Loss"}
        inside = [f"posebook.{package}.{module.name}" for module in pkgutil.iter_modules(front.__path__)]
        found += [name for name in inside if name not in exported and "._" not in name]
    return found


@pytest.mark.parametrize("name", modules())
def test_every_public_function_is_in_the_reference(pages, name):
    module = importlib.import_module(name)
    ids = {tag["id"] for page in pages if page.startswith("api/") for tag in pages[page].find_all(id=True)}
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name and key[0] != "_"]
    public = {key: getattr(module, key) for key in getattr(module, "__all__", own)}
    documented = [key for key, value in public.items()
                  if (inspect.isfunction(value) or inspect.isclass(value)) and inspect.getdoc(value)]
    assert documented and [key for key in documented if f"{name}.{key}" not in ids] == []


def test_docstrings_lead_to_the_section_that_derives_them(pages):
    found = pages["api/decode"].find(id="posebook.expectation.mean_cell").parent
    assert found.select_one('a[href="../chapters/02_decoding.html#section-2-5"]').get_text() == "section 2.5"
    assert found.select_one('a[href="https://arxiv.org/abs/1801.07372"]') and found.math
    assert found.select_one('a[href="../references.html#ref-nibali-2018"]').get_text() == "Nibali et al. 2018"
    assert pages["chapters/02_decoding"].find(id="section-2-5").h2.get_text().startswith("2.5 ")


def test_the_references_lead_to_what_cites_them(pages):
    entry = pages["references"].find("strong", string="Zhang et al. 2020").parent
    assert [link["href"] for link in entry.find_all("a")] == [
        "https://arxiv.org/abs/1910.06278", "chapters/02_decoding.html#section-2-10",
        "api/decode.html#module-posebook.decode", "api/encode.html#module-posebook.encode"]


def test_the_glossary_links_each_term_to_a_section(pages):
    terms = pages["glossary"].select("dl.glossary > dt")
    assert len(terms) >= 40
    for term in terms:
        assert term.find_next_sibling("dd").select('a[href*="#section-"]'), term.get_text()


# In chromium


@pytest.fixture(scope="module", params=["file", "http"])
def address(request, site):
    """Where the book is, and where alone a page may ask."""
    if request.param == "file":
        yield site.as_uri()
        return
    quiet = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def opened(browser):
    """Opens a page; ``page.asked`` lists what it asked elsewhere, which is refused, ``page.complaints`` what failed."""
    contexts = []

    def open_page(base, name, width=1280, theme="light", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(600_000)
        page.asked, page.complaints = [], []
        page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: page.complaints.append(str(e)))

        def route(way):
            if way.request.url.startswith((f"{base}/", "data:")):
                return way.continue_()
            page.asked.append(way.request.url)
            return way.abort()

        page.route("**/*", route)
        page.base = base
        page.goto(f"{base}/{name}")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.browser
def test_a_page_asks_nothing_elsewhere_and_is_not_wider_than_a_phone(opened, address, pages):
    page = opened(address, "index.html", width=390)
    wide, cut = {}, {}
    for name in pages if address.startswith("file") else KINDS:
        page.goto(f"{address}/{name}.html")
        page.evaluate("document.fonts.ready")
        wide[name], cut[name] = page.evaluate("document.documentElement.scrollWidth"), page.evaluate(CUT)
    page.wait_for_load_state("networkidle")
    assert (page.asked, page.complaints) == ([], [])
    assert {name: width for name, width in wide.items() if width > 390} == {}
    assert {name: lost for name, lost in cut.items() if lost} == {}


@pytest.mark.browser
def test_search_finds_a_function_and_a_section(opened, address):
    page = opened(address, "index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("soft_argmax_compensated")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    found = [link.get_attribute("href") for link in page.query_selector_all("#search-results li a")]
    assert any("api/decode.html" in link for link in found) and (page.asked, page.complaints) == ([], [])
    page.goto(f"{address}/search.html?q=lopsided")
    page.wait_for_selector("#search-results li a")
    page.click("#search-results li a >> nth=0")
    assert "02_decoding.html" in page.url


@pytest.mark.browser
def test_words_lead_to_the_state_of_an_explorer_that_they_name(opened, address):
    from posebook.explore import epochs

    page = opened(address, "exercises/representations/representations.html")
    page.get_by_text("Unfold", exact=True).click()
    words = page.get_by_text("both nets are far off.").inner_text()
    plain = re.sub('"(.*)"', "\u201c\\1\u201d", SEEN.replace("*", ""))
    assert words.split() == plain.split()
    assert page.get_by_role("link", name="section 1.12").last.is_visible()
    page.get_by_role("link", name="explorer epochs at step 5").click()
    page.wait_for_url("**/chapters/01_representations.html#epochs?step=5&keypoint=left+wrist")
    state = epochs.State(step=5, keypoint="left wrist")
    assert state != epochs.State()
    sentence = epochs.sentence(epochs.compute(state))
    page.locator(".player[data-name=epochs] [role=status]").get_by_text(sentence[:40]).wait_for()
    shown = page.locator(".player[data-name=epochs]")
    assert shown.locator("[role=status]").text_content() == sentence
    assert 0 <= shown.bounding_box()["y"] < page.viewport_size["height"] and (page.asked, page.complaints) == ([], [])


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_the_first_screen_has_something_to_move(opened, site, width):
    page = opened(site.as_uri(), "index.html", width)
    control = page.locator(".player input:enabled").first
    assert control.is_visible() and control.bounding_box()["y"] < page.viewport_size["height"]
    before = page.locator(".player [role=status]").inner_text()
    control.focus()
    page.keyboard.press("Home")  # of two values, in this build, it starts at the second
    page.wait_for_function("was => document.querySelector('.player [role=status]').innerText != was", arg=before)
    assert page.complaints == [] and "1.5 pixels" in page.locator("main p").first.inner_text()


@pytest.mark.browser
def test_an_explorer_keeps_its_size_on_a_laptop(opened, site):
    page = opened(site.as_uri(), "chapters/02_decoding.html")
    assert page.evaluate("document.querySelector('.cell_output').clientWidth") >= 826


@pytest.mark.browser
@pytest.mark.parametrize("theme, width, names", [("light", 1280, KINDS), ("dark", 390, KINDS), ("light", 390, TABLES)])
def test_axe(opened, site, theme, width, names):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(site.as_uri(), "index.html", width, theme)
    found = {}
    for name in names:
        page.goto(f"{site.as_uri()}/{name}.html")
        page.wait_for_function(f"document.documentElement.dataset.theme == '{theme}'")
        page.evaluate(FEWER if name.startswith("chapters/") else "document.fonts.ready")
        assert names is KINDS or page.locator("article table").count() > 0
        violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        if violations:
            found[name] = [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in violations]
    assert found == {}, json.dumps(found, indent=1)


@pytest.mark.browser
def test_figures_keep_their_colors_in_the_dark(opened, site):
    page = opened(site.as_uri(), "chapters/02_decoding.html", theme="dark")
    style = "(() => { const s = getComputedStyle(document.querySelector('.cell_output img')); "
    assert page.evaluate(style + "return [s.filter, s.backgroundColor]; })()") == ["none", "rgb(255, 255, 255)"]


@pytest.mark.browser
def test_without_scripts_formulas_stand_there_and_hints_open_by_keyboard(opened, site):
    page = opened(site.as_uri(), "exercises/decoding/decoding.html", java_script_enabled=False)
    assert page.locator("math").nth(0).bounding_box()["width"] > 10
    hint = page.locator("details").nth(0)
    assert hint.get_attribute("open") is None
    page.locator("summary").nth(0).focus()
    page.keyboard.press("Enter")
    assert hint.get_attribute("open") == ""


@pytest.mark.browser
def test_print_shows_all_of_each_line_and_each_hint(opened, site):
    page = opened(site.as_uri(), "exercises/decoding/decoding.html", width=794)
    page.emulate_media(media="print")
    cut = "[...document.querySelectorAll('pre')].filter(pre => pre.scrollWidth > pre.clientWidth + 1).length"
    assert page.evaluate(cut) == 0
    assert not page.locator("header.bd-header").is_visible()
    assert page.locator("details p").nth(0).bounding_box()["height"] > 10


@pytest.mark.browser
def test_a_formula_that_is_wider_than_a_phone_can_be_scrolled_by_keyboard(opened, site):
    page = opened(site.as_uri(), "chapters/03_multi_person.html", width=390)
    page.wait_for_selector(".math.wide")
    box = page.locator("div.math.wide").nth(0)
    box.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.wait_for_function("!document.querySelector('.math.wide')")
    left, right = page.evaluate("""(() => {
        const column = document.querySelector('div.math').getBoundingClientRect();
        const formula = document.querySelector('div.math math *').getBoundingClientRect();
        return [formula.left - column.left, column.right - formula.right];
    })()""")
    assert left > 10 and abs(left - right) < 2
