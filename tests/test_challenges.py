"""Challenges of the explorers: what they ask, who judges, and what marks them in the notebook and in the book."""

import dataclasses
import functools
import html
import importlib
import itertools
import random
import xml.etree.ElementTree as ET

import frames
import pytest
from test_frames import NAMES, player, until, write_page

from posebook.explore import _controls, decoding
from posebook.explore._challenges import Challenge, less, listed, more

SAMPLE = 500  # states of a grid, of which a tenth at most may solve a challenge
THREE = ("decoding", "flip", "temperature")


def module(name):
    return importlib.import_module(f"posebook.explore.{name}")


@functools.cache
def solutions(name):
    """Of each challenge the share of a sample of the grid's states that solve it, and the results of some that do."""
    axes = frames.grid(name, module(name).State)
    states = [module(name).State(*values) for values in itertools.product(*axes.values())]
    chosen = {*random.Random(0).sample(range(len(states)), min(SAMPLE, len(states)))}
    order = sorted(range(len(states)), key=lambda k: (k not in chosen, k))  # the grid's own order: much is kept there
    result = functools.cache(lambda k: module(name).compute(states[k]))
    found = []
    for challenge in module(name).CHALLENGES:
        hits = [k for k in order[: len(chosen)] if could(challenge, states[k]) and challenge.solved(result(k))]
        rest = (k for k in order[len(chosen) :] if could(challenge, states[k]) and challenge.solved(result(k)))
        share = len(hits) / len(chosen)
        found.append((share, [result(k) for k in hits or itertools.islice(rest, 1)]))
    return found


def could(challenge, state):
    """Whether the fields of the state are those that the challenge asks for."""
    return all(getattr(state, field) == value for field, value in challenge.state.items())


# ---------------------------------------------------------------------------------------------------------------------
# What is asked


@pytest.mark.parametrize("name", NAMES)
def test_a_challenge_takes_moves_and_not_luck(name):
    challenges, start = module(name).CHALLENGES, module(name).compute(module(name).State())
    assert 1 <= len(challenges) <= 3
    for challenge, (share, results) in zip(challenges, solutions(name), strict=True):
        assert not challenge.solved(start), challenge.text
        assert results, f"{challenge.text} No state of the book solves it."
        assert share <= 0.1, f"{challenge.text} {100 * share:.1f} % of the states of the book solve it."


@pytest.mark.parametrize("name", NAMES)
def test_no_challenge_hangs_on_round_off(name):
    for challenge, (_, results) in zip(module(name).CHALLENGES, solutions(name), strict=True):
        for limit, result in itertools.product(challenge.limits, results):
            assert abs(limit.value(result) - limit.bound) > 1e-5 * max(1, abs(limit.bound)), challenge.text


@pytest.mark.parametrize("name", NAMES)
def test_a_challenge_says_what_is_judged(name):
    texts = [challenge.text for challenge in module(name).CHALLENGES]
    assert len({*texts}) == len(texts)
    for challenge in module(name).CHALLENGES:
        assert challenge.limits and challenge.state.keys() <= _controls.controls(module(name).State).keys()
        for value in (*(limit.bound for limit in challenge.limits), *challenge.state.values()):
            assert frames.said(value) in challenge.text
        assert challenge.text[0].isupper() and challenge.text.endswith(".") and "{" not in challenge.text
        assert challenge.text not in module(name).__doc__


def test_limits_leave_out_their_bound():
    assert [less(2, float)(value) for value in (1.9, 2, 2.1)] == [True, False, False]
    assert [more(2, float)(value) for value in (1.9, 2, 2.1)] == [False, False, True]


def test_a_list_says_in_words_what_is_solved():
    some = [Challenge("Reach {} < b.", more(2, float)), Challenge("Reach less than {}.", less(1, float))]
    _, card = ET.fromstring(f"<body>{listed(some, {1})}</body>")
    assert [" ".join(row.itertext()) for row in card.iter("li")] == ["open Reach 2 < b.", "solved Reach less than 1."]


# ---------------------------------------------------------------------------------------------------------------------
# In the notebook


def marks(shown):
    return [row.find("b").text for row in ET.fromstring(f"<body>{shown.challenges.value}</body>").iter("li")]


@pytest.mark.parametrize("name", NAMES)
def test_a_move_to_a_solution_marks_it_and_says_so_once(name):
    challenges = module(name).CHALLENGES
    for challenge, (_, results) in zip(challenges, solutions(name), strict=True):
        goal = results[0].state
        last = next(f for f in _controls.controls(type(goal)) if getattr(goal, f) != getattr(type(goal)(), f))
        shown, said = module(name).explore(), []
        assert marks(shown) == ["open"] * len(challenges)
        shown.status.observe(lambda change, said=said: said.append(change["new"]), "value")
        for field in [f for f in shown.controls if f != last] + [last]:
            shown.controls[field].value = getattr(goal, field)
        assert shown.result.state == goal and marks(shown)[challenges.index(challenge)] == "solved"
        assert sum(html.escape(f"Solved: {challenge.text}") in text for text in said) == 1
        solved = marks(shown)
        shown.controls[last].value = getattr(type(goal)(), last)
        assert f"Solved: {challenge.text}" not in html.unescape(shown.status.value)
        assert [word for word, before in zip(marks(shown), solved, strict=True) if before == "solved" != word] == []


def test_where_it_starts_nothing_is_solved_and_no_move_sends_the_list_again():
    shown, sent = decoding.explore(tau=2.0), []
    assert decoding.CHALLENGES[0].solved(shown.result) and marks(shown) == ["open", "open"]
    shown.challenges.observe(lambda change: sent.append(change["new"]), "value")
    for tau in (2.5, 3.0, 0.1, 2.0):
        shown.controls["tau"].value = tau
    assert marks(shown) == ["solved", "open"] and len(sent) == 1
    assert "hallenge" not in shown.shown.html()


# ---------------------------------------------------------------------------------------------------------------------
# In the book


@pytest.mark.parametrize("name", THREE)
def test_a_frame_says_what_it_solves(name):
    for challenge, (_, results) in zip(module(name).CHALLENGES, solutions(name), strict=True):
        bits = frames.solved(module(name), results[0])
        assert len(bits) == len(module(name).CHALLENGES)
        assert bits[module(name).CHALLENGES.index(challenge)] == "1"
    start = module(name).compute(module(name).State())
    assert {*frames.solved(module(name), start)} == {"0"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A page with three explorers, each with the values of its start and of its first challenge's first solution."""
    folder, goals, axes = tmp_path_factory.mktemp("challenges") / "the book", {}, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "CACHE", folder.parent / "cache")
        for name in THREE:
            goals[name] = solutions(name)[0][1][0].state
            values = {f: (getattr(goals[name], f),) for f in _controls.controls(module(name).State)}
            patch.setitem(frames.GRIDS, name, values)
            axes[name] = frames.grid(name, module(name).State)
        players = [f"<h2>{name}</h2>{frames.player(name, folder)}" for name in THREE]
    write_page(folder, "Challenges", "".join(players))
    return folder / "index.html", goals, axes


@pytest.fixture
def page(site, browser):
    page = browser.new_page()
    page.set_default_timeout(600_000)
    page.goto(site[0].as_uri())
    yield page
    page.close()


def words(shown):
    return shown.get_by_role("listitem").locator("b").all_inner_texts()


def move(shown, name, field, place):
    """To the first or the second value of a control."""
    slider = shown.locator(f"input[id={name}-{field}]")
    if slider.count():
        slider.press(("Home", "End")[place])
    else:
        shown.locator(f"input[name={name}-{field}]").nth(place).check()


@pytest.mark.browser
@pytest.mark.parametrize("name", THREE)
def test_a_move_in_the_book_marks_what_it_solves(site, page, name):
    goal, axes, shown = site[1][name], site[2][name], player(page, name)
    first, *others = module(name).CHALLENGES
    items = shown.get_by_role("list", name="Challenges").get_by_role("listitem")
    assert items.locator("span").all_inner_texts() == [challenge.text for challenge in (first, *others)]
    state, moves = type(goal)(), [field for field, values in axes.items() if len(values) == 2]
    while not first.solved(module(name).compute(state)):
        until(page, name, state)
        assert words(shown)[0] == "open"
        field = moves.pop(0)
        before, state = state, dataclasses.replace(state, **{field: getattr(goal, field)})
        move(shown, name, field, axes[field].index(getattr(goal, field)))
    shown.get_by_role("status").get_by_text(f"Solved: {first.text}").wait_for()
    assert words(shown)[0] == "solved"
    move(shown, name, field, axes[field].index(getattr(before, field)))
    until(page, name, before)
    assert words(shown)[0] == "solved" and shown.locator("[role=status] i").text_content() == ""


@pytest.mark.browser
def test_a_link_to_a_solution_solves_nothing(site, page):
    goal, shown = site[1]["decoding"], player(page, "decoding")
    query = "&".join(f"{field}={value}" for field, value in dataclasses.asdict(goal).items())
    page.evaluate("query => { location.hash = query }", f"decoding?{query}")
    until(page, "decoding", goal)
    assert words(shown) == ["open"] * len(decoding.CHALLENGES)


@pytest.mark.browser
def test_without_javascript_nothing_is_asked(site, browser):
    page = browser.new_page(java_script_enabled=False)
    page.goto(site[0].as_uri())
    assert page.get_by_role("list", name="Challenges").count() == 0 and page.locator(".goals li").count() > 3
    page.close()
