"""The explorers of the book: their grids, how frames are packed, and what a reader sees and moves in a browser."""

import base64
import hashlib
import importlib
import io
import json
import math
import random
import re
import shutil
from pathlib import Path
from urllib.parse import urlencode

import frames
import pytest
from grids import GRIDS, UNITS
from PIL import Image

import posebook.explore
from posebook.explore._controls import Choice, controls

NAMES = sorted(path.stem for path in Path(posebook.explore.__file__).parent.glob("[!_]*.py"))
STATIC = Path(frames.__file__).with_name("_static")


def module(name):
    return importlib.import_module(f"posebook.explore.{name}")


# ---------------------------------------------------------------------------------------------------------------------
# The grid


@pytest.mark.parametrize("name", NAMES)
def test_a_grid_has_states_of_the_explorer_and_not_too_many(name):
    state = module(name).State
    axes, start = frames.grid(name, state), state()
    assert list(axes) == list(controls(state))
    assert 50 <= math.prod(map(len, axes.values())) <= 3000
    for field, values in axes.items():
        first = getattr(start, field)
        assert first in values and {type(value) for value in values} == {type(first)}
        assert all(getattr(state(**{field: value}), field) == value for value in values)
        assert len({frames.said(value) for value in values}) == len(values)
        assert isinstance(controls(state)[field], Choice) or list(values) == sorted(values)


def test_grids_and_units_name_what_there_is():
    assert {*GRIDS, *UNITS} <= {*NAMES}
    for table in GRIDS, UNITS:
        for name, fields in table.items():
            assert {*fields} <= {*controls(module(name).State)}


@pytest.mark.parametrize("name", ["decoding", "limbs"])
def test_without_a_table_a_grid_is_thinned_out(monkeypatch, name):
    monkeypatch.delitem(GRIDS, name)
    start, axes = module(name).State(), frames.grid(name, module(name).State)
    assert 1000 < math.prod(map(len, axes.values())) <= 3000
    assert all(getattr(start, field) in values for field, values in axes.items())


def test_every_value_of_a_slider():
    assert frames.every(controls(module("fusion").State)["s1"])[:3] == (0.5, 0.55, 0.6)
    tau = frames.every(controls(module("decoding").State)["tau"])
    assert tau[0] == 0.01 and tau[50] == 0.1 and tau[-1] == 10 and len(tau) == 151


# ---------------------------------------------------------------------------------------------------------------------
# Packing


def test_equal_columns_are_stored_once_and_what_never_changes_in_the_skeleton():
    texts = [['<a b="1" c="1" d="x">1</a>', "is 7"], ['<a b="2" c="2" d="x">2</a>', "is 7"],
             ['<a b="2" c="2" d="x">2</a>', "is 7"], ['<a b="1" c="1" d="x">1</a>', "is 7"], ["<i></i>", "is 8"]]
    assert frames.pack(texts) == {
        "parts": [
            {"skeletons": [{"text": ['<a b="', '" c="', '" d="x">', "</a>"], "holes": [0, 0, 0]},
                           {"text": ["<i></i>"], "holes": []}], "which": [0, 0, 0, 0, 1]},
            {"skeletons": [{"text": ["is ", ""], "holes": [1]}], "which": [0] * 5},
        ],
        "columns": [{"values": ["1", "2"], "at": [0, 1, 1, 0]}, {"values": ["7", "8"], "at": [0, 0, 0, 0, 1]}],
    }


def pixels(png):
    return Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA")


def test_pictures_become_smaller_and_stay_as_they_are():
    before = []
    for name in ("angle", "conformal", "decoding", "epochs", "target"):
        view = module(name).view(module(name).compute(module(name).State()))
        before += re.findall('base64,([^"]*)', "".join(view.panels))
    after = [frames.smaller(png) for png in before]
    assert [*map(pixels, after)] == [*map(pixels, before)] and len(before) > 5
    assert all(len(a) <= len(b) for a, b in zip(after, before, strict=True))
    assert sum(map(len, after)) < 0.9 * sum(map(len, before))


def test_too_many_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(frames, "BYTES", 10_000)
    with pytest.raises(ValueError, match=r"^GRIDS\['epochs'\]: want frames of at most 10000 bytes, got \d{5}$"):
        frames.make("epochs")


def test_an_unknown_explorer_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^name: want one of angle, asymmetry, .*, got '_page'$"):
        frames.player("_page", tmp_path)


def test_frames_are_kept_until_a_source_changes(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(frames, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(frames, "make", lambda name: made.append(name) or (f"script {len(made)}", f"page {len(made)}"))
    for source, expected in (("a", 1), ("a", 1), ("b", 2)):
        monkeypatch.setattr(frames, "digest", lambda name, source=source: source)
        assert frames.player("gap", tmp_path / "out") == f"page {expected}"
        assert (tmp_path / "out/frames-gap.js").read_text() == f"script {expected}"
    assert made == ["gap", "gap"] and len([*(tmp_path / "cache").iterdir()]) == 2


def test_the_digest_is_of_what_the_explorer_needs(monkeypatch, tmp_path):
    for path in ("explore/gap.py", "explore/tags.py", "explore/_page.py", "metrics.py", "checks/base.py", "ask.py"):
        (tmp_path / "posebook" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "posebook" / path).write_text("old")
    script = tmp_path / "book" / "frames.py"
    script.parent.mkdir()
    script.write_text("old")
    monkeypatch.setattr(frames, "ROOT", tmp_path)
    monkeypatch.setattr(frames, "__file__", str(script))
    before = frames.digest("gap")
    for path in ("posebook/explore/tags.py", "posebook/checks/base.py", "posebook/ask.py"):
        (tmp_path / path).write_text("new")
        assert frames.digest("gap") == before
    for path in ("posebook/explore/gap.py", "posebook/explore/_page.py", "posebook/metrics.py", "book/frames.py"):
        (tmp_path / path).write_text("new")
        assert frames.digest("gap") != before
        before = frames.digest("gap")
    monkeypatch.setitem(UNITS, "gap", {"n": "people"})
    assert frames.digest("gap") != before


# ---------------------------------------------------------------------------------------------------------------------
# In a browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A page with all explorers, few frames of each, in a folder with an unusual name."""
    folder = tmp_path_factory.mktemp("site") / "the book, 50%"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "CACHE", folder.parent / "cache")
        patch.setattr(frames, "FRAMES", 60)
        players = [f"<h2>{name}</h2>{frames.player(name, folder)}" for name in NAMES]
        grids = {name: frames.grid(name, module(name).State) for name in NAMES}
    link = '<p><a id="away" href="#decoding?stride=16&tau=10">stride 16</a></p>'
    write_page(folder, "Explorers", link + "".join(players))
    return folder, grids


def write_page(folder, title, body):
    """A page with players whose frames lie in the folder, and what moves them."""
    for file in STATIC.iterdir():
        shutil.copy(file, folder)
    (folder / "index.html").write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="player.css"></head>'
        f'<body><main><h1>{title}</h1>{body}</main><script src="player.js"></script></body></html>', encoding="utf-8")


@pytest.fixture
def opened(site, browser):
    """Opens the page; what it asked for and what went wrong there is in ``asked`` and ``complaints``."""
    pages = []

    def page(query="", **options):
        page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}} | options)
        page.set_default_timeout(600_000)
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto((site[0] / "index.html").as_uri() + query)
        pages.append(page)
        return page

    yield page
    for page in pages:
        assert page.complaints == []
        assert {url.rpartition("/")[0] for url in page.asked} == {site[0].as_uri()}
        page.close()


def player(page, name):
    return page.locator(f".player[data-name={name}]")


def seen(page, name):
    """Pictures, their name, table, status and note, as the browser writes them; PNGs as their pixels."""
    pictures, *rest = player(page, name).evaluate(
        "e => [e.querySelector('.pictures').innerHTML, e.querySelector('.pictures').getAttribute('aria-label'),"
        "      e.querySelector('.numbers').innerHTML, e.querySelector('[role=status]').textContent,"
        "      e.querySelector('small.note').textContent]")
    return [as_pixels(pictures), *rest]


def as_pixels(markup):
    return re.sub('base64,([^"]*)', lambda m: hashlib.sha256(pixels(m[1]).tobytes()).hexdigest(), markup)


def wanted(page, name, state):
    """The same of a view that the library makes of a state."""
    view = module(name).view(module(name).compute(state))
    write = "text => Object.assign(document.createElement('template'), {innerHTML: text}).innerHTML"
    pictures, table = (page.evaluate(write, text) for text in ("".join(view.panels), view.table))
    return [as_pixels(pictures), view.sentence, table, view.sentence, view.note]


def show(page, name, query):
    """Follow a link and wait for what it leads to."""
    page.evaluate("query => { location.hash = query }", f"{name}?{query}")
    page.wait_for_function("name => document.activeElement.dataset.name === name", arg=name)
    page.evaluate("() => new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)))")


def until(page, name, state):
    sentence = module(name).sentence(module(name).compute(state))
    page.wait_for_function(
        "([name, text]) => text === [...document.querySelectorAll("
        "  `.player[data-name=${name}] [role=status] :is(span, strong)`)].map(e => e.textContent).join('')",
        arg=[name, sentence])


@pytest.mark.browser
def test_frames_are_what_the_library_shows(site, opened):
    page, draw, differ = opened(), random.Random(0), 0
    for name in NAMES:
        start = module(name).State()
        for _ in range(3):
            values = {field: draw.choice(values) for field, values in site[1][name].items()}
            query = "&".join(f"{field}={frames.said(value)}" for field, value in values.items())
            show(page, name, query)
            state = type(start)(**values)
            until(page, name, state)
            assert seen(page, name) == wanted(page, name, state)
            differ += state != start
    assert differ > 2.5 * len(NAMES)


@pytest.mark.browser
def test_the_first_frame_stands_without_javascript(opened):
    page, other = opened(java_script_enabled=False), opened()
    for name in NAMES:
        view, shown = module(name).view(module(name).compute(module(name).State())), player(page, name)
        assert seen(other, name) == wanted(other, name, module(name).State())
        assert shown.locator(".pictures svg").count() >= len(view.panels)
        assert shown.locator(".pictures").get_attribute("aria-label") == view.sentence
        assert shown.locator("[role=status]").text_content() == view.sentence
        assert shown.locator("table").is_visible() and not shown.locator("form").is_visible()
        assert "JavaScript" in shown.locator("noscript").text_content()
    assert not [url for url in page.asked if "frames-" in url]


@pytest.mark.browser
def test_inputs_are_named_and_keys_move_them(site, opened):
    page = opened()
    for name in NAMES:
        start, axes, shown = module(name).State(), site[1][name], player(page, name)
        moved = {}
        for field, control in controls(type(start)).items():
            label, values = control.label or field, axes[field]
            unit = UNITS.get(name, {}).get(field, "")
            at = values.index(getattr(start, field))
            step = 1 if at + 1 < len(values) else -1
            if len(values) == 1:
                assert f"{label} {frames.said(values[0])} {unit}".strip() in shown.locator("form small").inner_text()
                continue
            if isinstance(control, Choice) and not control.slider:
                group = shown.get_by_role("group", name=label + (unit and f" in {unit}"), exact=True)
                assert group.get_by_role("radio").count() == len(values)
                group.get_by_role("radio", name=frames.said(values[at]), exact=True).focus()
            else:
                spoken = [f"{frames.said(value)} {unit}".strip() for value in (values[at], values[at + step])]
                slider = shown.get_by_role("slider", name=label, exact=True)
                assert slider.get_attribute("aria-valuetext") == spoken[0]
                slider.focus()
            page.keyboard.press("ArrowRight" if step > 0 else "ArrowLeft")
            if not isinstance(control, Choice) or control.slider:
                assert slider.get_attribute("aria-valuetext") == spoken[1]
            moved[field] = values[at + step]
            until(page, name, type(start)(**moved))
        link = shown.get_by_role("link").get_attribute("href")
        assert link == f"#{name}?{urlencode({field: frames.said(value) for field, value in moved.items()})}"
        assert shown.get_by_role("status").count() == 1


@pytest.mark.browser
def test_a_link_sets_the_nearest_state_and_brings_it_into_view(site, opened):
    decoding, axes = module("decoding"), site[1]["decoding"]
    last = {field: axes[field][-1] for field in ("stride", "tau")}
    page = opened("#decoding?stride=1e3&tau=9.7&x=far&color=red")
    until(page, "decoding", decoding.State(**last))
    assert 0 <= player(page, "decoding").bounding_box()["y"] < 100

    page.locator("#away").click()
    until(page, "decoding", decoding.State(**last))
    player(page, "decoding").get_by_role("slider", name="tau").press("Home")
    until(page, "decoding", decoding.State(stride=last["stride"], tau=axes["tau"][0]))
    page.locator("#away").click()  # the hash stays as it is
    until(page, "decoding", decoding.State(**last))
    show(page, "decoding", "")
    until(page, "decoding", decoding.State())
    page.evaluate("() => { location.hash = 'nothing?tau=1' }")
    page.evaluate("() => { location.hash = 'away' }")
    until(page, "decoding", decoding.State())


@pytest.mark.browser
def test_frames_are_read_when_their_explorer_comes_near(opened):
    page = opened()
    page.wait_for_function("() => document.querySelector('script[src*=\"frames-angle\"]')")
    assert not [url for url in page.asked if NAMES[-1] in url]
    player(page, NAMES[-1]).scroll_into_view_if_needed()
    page.wait_for_function(f"() => document.querySelector('script[src*=\"frames-{NAMES[-1]}\"]')")


@pytest.mark.browser
def test_frames_that_cannot_be_read_are_said(site, browser, tmp_path):
    for file in site[0].glob("[!f]*"):
        shutil.copy(file, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    player(page, "gap").get_by_role("slider").first.press("Home")
    player(page, "gap").get_by_text("frames-gap.js cannot be read").wait_for(timeout=600_000)
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("width, scheme", [(1280, "dark"), (390, "light")])
def test_no_barrier_and_no_overflow(opened, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    found = Axe().run(page, options={"preload": False}).response["violations"]
    assert found == [], json.dumps(found, indent=1)[:3000]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for name in NAMES:
        shown = player(page, name)
        assert shown.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
        assert shown.evaluate("e => [...e.querySelectorAll('*')].filter(c => c.getBoundingClientRect().right > "
                              "innerWidth && !c.closest('.numbers, svg, noscript')).length") == 0
    assert width < 500 or all(player(page, name).locator(".numbers").evaluate("e => e.scrollWidth <= e.clientWidth")
                              for name in NAMES)


@pytest.mark.browser
def test_printed_it_has_no_controls(opened):
    page = opened()
    page.emulate_media(media="print")
    assert not page.locator(".player form").first.is_visible() and page.locator(".player svg").first.is_visible()
