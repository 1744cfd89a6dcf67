"""States that checks and hints point at: each is one that the book has, and its line of code runs."""

import importlib
import math
import re
from pathlib import Path

import frames
import parts
import pytest

from posebook._links import CHAPTER_OF, See, address
from posebook.checks import PROBLEMS, SETS, evaluate
from posebook.explore import angle, flip, gap, marker, masking, sequence, target

ROOT = Path(__file__).parent.parent
SEEN = [*{str(mistake.see): mistake.see for problem in PROBLEMS.values() for mistake in problem.mistakes
          if mistake.see}.values()]


def test_each_explorer_is_in_the_chapter_that_the_link_names():
    found = {}
    for path in sorted(ROOT.glob("sources/chapters/*.py")):
        found |= dict.fromkeys(re.findall(r"^from posebook\.explore import (\w+)", path.read_text(), re.M), path.stem)
    assert found == CHAPTER_OF


def opens(see: See) -> None:
    """The book has the state, and the line opens the explorer there."""
    frames.check(see)
    module = importlib.import_module(f"posebook.explore.{see.explorer}")
    *imports, call = see.line.split("; ")
    assert [*imports, call.partition("(")[0]] == [f"from posebook.explore import {see.explorer}",
                                                  f"{see.explorer}.explore"]
    state = eval(f"dict({call.partition('(')[2]}")
    assert state == see.state and module.State(**state)


@pytest.mark.parametrize("see", [*SEEN, See("conformal", n=99, keypoint="nose", radius="by the map's width")])
def test_a_state_is_one_that_the_book_has(see):
    opens(see)
    looks(see)


TEXTS = [re.sub(r"\n\s*(# )?", " ", path.read_text()) for path in ROOT.glob("sources/*/*.py")]
NAMED = [parts.state_of(name, after)[0] for text in TEXTS
         for name, after in re.findall(r"[Ee]xplorer \*(\w+)\*([^*]{0,100})", text)]


@pytest.mark.parametrize("see", NAMED, ids=repr)
def test_a_state_that_prose_names_is_one_that_the_book_has(see):
    frames.check(see)


def test_hints_name_states():
    assert len(NAMED) >= 20 and sum(bool(see.state) for see in NAMED) >= 15


def looks(see: See) -> None:
    """Each decimal number in what to look at stands there, or is one that a control can be moved to."""
    module = importlib.import_module(f"posebook.explore.{see.explorer}")
    view = module.view(module.compute(module.State(**see.state)))
    shown = [*(re.sub("<[^>]*>", " ", part) for part in (*view.panels, view.table)), view.sentence]
    values = {float(value) for values in frames.grid(see.explorer, module.State).values() for value in values
              if isinstance(value, float)}
    found = {float(number) for text in shown for number in re.findall(r"[-+]?\d+\.\d+", text)} | values
    assert {float(number) for number in re.findall(r"-?\d+\.\d+", see.look)} <= found | {-number for number in found}


def test_many_mistakes_can_be_seen():
    assert len(SEEN) >= 107 and all(see.look and see.look[-1] not in ".:;" for see in SEEN)
    counts = {name: sum(bool(mistake.see) for mistake in problem.mistakes) for name, problem in PROBLEMS.items()}
    assert [name for name, count in counts.items() if not count] == ["one_euro"]  # no explorer has a filter
    assert sum(counts.values()) >= 238
    assert all(sum(counts[each.name] for each in problems) >= 19 for problems in SETS.values())


def test_where_the_head_is_when_the_picture_has_turned():
    """As the looks of rot90_points say: top left, left below the middle, bottom right, right above it."""
    heads = [angle.compute(angle.State(degrees)).truth[0] for degrees in (0, 90, 180, 270)]
    away = [(x - 31.5, y - 31.5) for x, y in heads]  # px, from the middle
    assert [(x > 0, y > 0) for x, y in away] == [(False, False), (False, True), (True, True), (True, False)]
    assert [abs(x) > abs(y) for x, y in away] == [False, True, False, True]


def test_what_the_cells_of_a_target_are():
    """A plateau of two; a peak at the edge; and a column that holds the highest cell of each row."""
    plateau, edge, start = (target.compute(target.State(**state)) for state in
                            ({"stride": 2, "x": 29.5}, {"x": 0.0}, {}))
    x, y = plateau.highest
    assert plateau.heatmap[y, x] == plateau.heatmap[y, x + 1] == plateau.heatmap.max() and edge.highest[0] == 0
    assert (start.heatmap.argmax(-1) == start.highest[0]).all()


def test_what_the_dots_of_a_flip_lie_on():
    """Cells that tile the image; and those of unit length, which are wider and reach beyond it."""
    tiled, unit = ([flip._at(flip._grid(8, grid), cell) for cell in (-0.5, 0, 11, 11.5)]
                   for grid in ("center", "unit length"))
    assert tiled == [-0.5, 3.5, 91.5, 95.5]
    assert unit[1:3] == pytest.approx([0, 95]) and unit[0] < -4 and unit[3] > 99


def test_a_marker_that_leans_back_is_no_parallelogram():
    pose = marker._pose(60.0, marker.State().turn)
    corners = marker.CAMERA.project(pose.place(marker._box(1.0, 0.0)[:4]))
    upper, right, lower, left = corners.roll(-1, 0) - corners
    assert upper.norm() < 0.95 * lower.norm() and corners[:2, 1].max() < corners[2:, 1].min()
    sine = (right[0] * left[1] - right[1] * left[0]) / (right.norm() * left.norm())
    assert abs(sine) > math.sin(math.radians(5))


def test_what_moving_a_control_does_to_the_losses():
    """What is hidden costs nothing, however wrong it is; with 2 maps visible the loss is less than half that with 5."""
    losses = [masking.compute(masking.State(off=off)).visible for off in (1, 2, 3, 5)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)
    few, start, none = (masking.compute(masking.State(hidden=hidden)).visible for hidden in (6, 3, 8))
    assert none == 0 < few < start / 2


def test_what_more_people_and_a_farther_camera_do():
    few, start = (gap.compute(gap.State(n=n)).raw for n in (20, 200))
    assert start.half < few.half / 2
    truth = gap.compute(gap.State()).truth
    assert start.holds(truth) and abs(start.gap - truth) > start.half / 3
    right = sequence.compute(sequence.State(camera="farther")).right
    assert (right["on pixels"][0], right["temporal"][0]) == (8, 63)


@pytest.mark.parametrize(("see", "says"), [
    (See("decoding", stride=3), "want stride one of 1, 2, 4, 8, 16; book/grids.py adds others"),
    (See("decoding", tau=0.3), "want tau one of 0.01, 0.02, "),
    (See("decoding", sigma=1.0), "want fields of stride, tau, x, y, got sigma"),
])
def test_a_state_that_the_book_lacks_is_refused(see, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        frames.check(see)


def test_an_unknown_explorer_is_refused():
    with pytest.raises(ValueError, match="explorer: want one of target, epochs, .*, got '_page'"):
        See("_page")


def test_what_a_link_holds_is_quoted():
    see = See("asymmetry", fixed="mu in px, sigma in cells", mu=3e-5)
    assert see.address == "chapters/02_decoding.html#asymmetry?fixed=mu+in+px%2C+sigma+in+cells&mu=3e-5"
    assert See("gap").link("http://a.b") == "http://a.b/chapters/05_applications.html#gap?"


@pytest.mark.parametrize("text", ["https://example.org/book/", "http://localhost:8000", "https://a.b/c%20d/~e"])
def test_an_address_is_taken(text):
    assert address(text) == text


@pytest.mark.parametrize("text", [
    "", "book", "//a.b/c", "javascript:alert(1)", "data:text/html,x", "file:///a", "https://", "https:///a",
    'https://a.b/"onclick="x', "https://a.b/<b>", "https://a.b/ c", "https://a.b/\n", "https://a.b/?q", "https://a.b/#c",
    "https://[a",
])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"^want an address such as https://example.org/book, got "):
        address(text)


def test_a_check_says_where_to_see_the_mistake():
    (mistake,) = (each for each in PROBLEMS["soft_argmax"].mistakes if each.says.startswith("`tau` multiplies"))
    report = evaluate("soft_argmax", mistake.answer)
    assert report.diagnosis == mistake.says
    run = "from posebook.explore import decoding; decoding.explore(tau=0.25)"
    assert str(report).splitlines()[2] == f"See it: run `{run}`: {mistake.see.look}."
    assert f"<p>See it: run <code>{run}</code>: at tau 0.25 " in report._repr_html_()
    names = {}
    exec(run.replace("; ", "\nshown = "), names)
    assert names["shown"].result.state == names["decoding"].State(tau=0.25)
    assert evaluate("soft_argmax", PROBLEMS["soft_argmax"].reference).see == ""
