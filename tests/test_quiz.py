"""The quizzes: what their questions claim holds in the library; the page with a kernel and without; the journal."""

import importlib
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import frames
import pytest
import torch
from bs4 import BeautifulSoup

from posebook import _journal, cli, progress, theory
from posebook.ask import Option, Question
from posebook.decode import argmax, refine_dark, soft_argmax_window
from posebook.encode import gaussian_heatmap, part_affinity_fields, simcc_targets
from posebook.equivariance import equivariance_error
from posebook.evaluation import coco_keypoint_ap, oks
from posebook.expectation import soft_argmax, soft_argmax_compensated
from posebook.fairness import bootstrap_gap, gap, simulate_similarities, standardized_gap
from posebook.filters import one_euro
from posebook.geometry import Camera, apply_homography, homography, reprojection_gate, triangulate
from posebook.grid import Grid
from posebook.grouping import Peaks, group_by_paf, group_by_tags, local_peaks
from posebook.losses import associative_embedding_loss, heatmap_loss, integral_loss
from posebook.questions.quizzes import QUIZZES
from posebook.quiz import CITED, Quiz, html, quiz, told
from posebook.training.actions import normalized
from posebook.uncertainty import conformal_radius
from posebook.warp import Affine, crop_grid, warp_image, warp_points

ROOT = Path(__file__).parents[1]
QUESTIONS = {question.name: question for chapter in QUIZZES.values() for question in chapter}
each_chapter = pytest.mark.parametrize("chapter", QUIZZES)
f64 = torch.float64


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cited(option: Option) -> list[str]:
    """The sections that its explanation names."""
    return [section for pair in CITED.findall(option.why) for section in pair if section]


def right(name: str) -> str:
    return QUESTIONS[name].right.words


# ---------------------------------------------------------------------------------------------------------------------
# The questions


@each_chapter
def test_each_chapter_has_five_to_seven_questions_with_one_right_option(chapter):
    many = len(QUIZZES[chapter])
    assert 5 <= many <= 7
    assert [question.name for question in QUIZZES[chapter]] == [f"{chapter}-{c}" for c in "abcdefg"[:many]]
    for question in QUIZZES[chapter]:
        words = [option.words for option in question.options]
        assert sum(option.right for option in question.options) == 1
        assert 3 <= len(words) <= 4 and len({word.strip(" .").lower() for word in words}) == len(words)


def test_the_right_option_stands_everywhere_and_is_not_the_longest():
    places = [question.options.index(question.right) for question in QUESTIONS.values()]
    counts = [places.count(k) for k in range(4)]
    assert min(counts) >= len(places) / 8 and max(counts) < len(places) / 2
    longest = sum(question.right.words == max((o.words for o in question.options), key=len)
                  for question in QUESTIONS.values())
    assert longest < len(QUESTIONS) / 2


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
def test_words_are_few_and_each_answer_names_a_section_of_its_chapter(question):
    chapter = question.name[0]
    (source,) = (ROOT / "sources/chapters").glob(f"0{chapter}_*.py")
    there = set(re.findall(rf"^# ## ({chapter}\.\d+) ", source.read_text(encoding="utf-8"), re.M))
    assert len(question.text.split()) <= 60 and question.text.endswith("?")
    for option in question.options:
        assert len(option.words.split()) <= 20 and len(option.why.split()) <= 50
        assert not re.search(r"[$`*<>]", option.words + option.why + question.text)  # plain text
        assert cited(option) and {*cited(option)} <= there
        assert len(re.findall("section", option.why)) == len(CITED.findall(option.why))


SEEN = [option.see for question in QUESTIONS.values() for option in question.options if option.see]


@pytest.mark.parametrize("see", SEEN, ids=repr)
def test_the_state_that_an_answer_points_at_is_in_the_book_and_shows_its_numbers(see):
    frames.check(see)
    module = importlib.import_module(f"posebook.explore.{see.explorer}")
    view = module.view(module.compute(module.State(**see.state)))
    shown = [float(number) for number in re.findall(r"-?\d+\.\d+", view.sentence)]
    assert see.look and {float(number) for number in re.findall(r"-?\d+\.\d+", see.look)} <= {*shown}


# ---------------------------------------------------------------------------------------------------------------------
# The page and the journal


def choose(asked, option: Option) -> str:
    """Choose an option and press the button; what is said then, as text."""
    asked.options.value = option
    asked.button.click()
    return BeautifulSoup(asked.status.value, "html.parser").text


def test_each_option_says_whether_it_is_right_and_why_and_only_the_first_try_counts(work):
    shown = quiz(2)
    for k, (asked, question) in enumerate(zip(shown.asked, shown.questions, strict=True)):
        wrong = next(option for option in question.options if not option.right)
        first, then = (wrong, question.right) if k % 2 else (question.right, wrong)
        for option in (first, then, first):
            mark = "\u2713 Right." if option.right else "\u2717 Not right."
            see = f" {option.see}".replace("`", "") if option.see else ""
            assert choose(asked, option) == f"{mark} {option.why}{see}"
    assert BeautifulSoup(shown.count.value, "html.parser").text == "4 of 7 right on the first try."
    assert BeautifulSoup(shown.count.value, "html.parser").div["role"] == "status"


def test_the_count_says_what_is_left():
    shown = quiz(1)
    choose(shown.asked[3], shown.questions[3].right)
    assert BeautifulSoup(shown.count.value, "html.parser").text == "1 of 7 right on the first try, 6 still to answer."


@pytest.mark.parametrize("chapter", [0, 6, "2", None, 2.5])
def test_there_is_no_such_chapter(chapter):
    with pytest.raises(ValueError, match=rf"^chapter: want a whole number from 1 to 5, got {chapter!r}$"):
        quiz(chapter)


def count(shown: Quiz) -> str:
    return BeautifulSoup(shown.count.value, "html.parser").text


def test_a_quiz_goes_on_with_the_first_tries_that_were_kept(work):
    right, wrong = QUESTIONS["2-a"], QUESTIONS["2-b"]
    miss = next(option for option in wrong.options if not option.right)
    assert count(quiz(2)) == ""
    shown, beside = quiz(2), quiz(2)
    choose(shown.asked[0], right.right)
    choose(shown.asked[1], miss)
    choose(beside.asked[1], wrong.right)
    assert count(beside) == "0 of 7 right on the first try, 6 still to answer."  # 2-b was tried in the other one
    again = quiz(2)
    assert count(again) == "1 of 7 right on the first try, 5 still to answer." and count(quiz(3)) == ""
    for asked, question in zip(again.asked, again.questions, strict=True):
        choose(asked, question.right)
    assert count(again) == count(quiz(2)) == "6 of 7 right on the first try."
    assert told(work / _journal.JOURNAL) == {2: f"Quiz of chapter 2: {count(again)}"}


def test_another_wording_or_key_asks_anew(work, monkeypatch):
    question = QUESTIONS["2-a"]
    choose(quiz(2).asked[0], question.right)
    swapped = tuple(replace(option, right=option is question.options[-1]) for option in question.options)
    if question.options[-1].right:
        swapped = tuple(replace(option, right=option is question.options[0]) for option in question.options)
    for changed in (replace(question, text="And why? " + question.text), replace(question, options=swapped)):
        monkeypatch.setitem(QUIZZES, 2, (changed, *QUIZZES[2][1:]))
        assert quiz(2).first == {} and told(work / _journal.JOURNAL) == {}
    choose(quiz(2).asked[0], changed.right)
    assert told(work / _journal.JOURNAL)[2].startswith("Quiz of chapter 2: 1 of 7 right")
    whys = tuple(replace(option, why="Said otherwise.") for option in swapped)
    monkeypatch.setitem(QUIZZES, 2, (replace(question, options=whys), *QUIZZES[2][1:]))
    assert quiz(2).first["2-a"].right


def test_a_journal_that_cannot_be_read_is_said(work):
    (work / _journal.JOURNAL).mkdir()
    shown = quiz(1)
    assert count(shown).startswith("0 of 7 right") and "Tries kept before cannot be read: [Errno " in count(shown)
    words = choose(shown.asked[0], QUESTIONS["1-a"].right)
    assert words.startswith("\u2713 Right.") and "missing in posebook progress: [Errno " in words
    assert count(shown) == "1 of 7 right on the first try, 6 still to answer."


def test_first_tries_are_kept_in_work_and_progress_tells_them(work, capsys):
    path = work / _journal.JOURNAL
    choose(quiz(3).asked[0], QUESTIONS["3-a"].options[0])
    again = quiz(3)
    for asked, question in zip(again.asked, again.questions, strict=True):
        choose(asked, question.right)
    assert len(_journal.entries(path, "quiz")) == 7
    choose(quiz(5).asked[2], QUESTIONS["5-c"].right)
    assert told(path) == {3: "Quiz of chapter 3: 6 of 7 right on the first try.",
                          5: "Quiz of chapter 5: 1 of 7 right on the first try, 6 still to answer."}
    lines = [*told(path).values()]
    assert [*progress.read(path).lines] == lines and [*progress.read(path, "multi_person").lines] == lines[:1]
    os.chdir(work.parent)
    assert cli.main(["progress"]) == 0 and capsys.readouterr().out.splitlines() == lines


def test_outside_of_work_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    choose(quiz(1).asked[0], QUESTIONS["1-a"].right)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_journal_costs_no_more_than_what_is_damaged(work):
    path = work / _journal.JOURNAL
    question = QUESTIONS["2-a"]
    good = {"question": "2-a", "digest": question.digest, "answer": question.right.words}
    for change in ({"question": 7}, {"question": ["2-a"]}, {"question": "2-z"}, {"answer": "of another year"},
                   {"answer": None}, {"digest": "of another wording"}, {"digest": ["x"]}):
        _journal.add(path, "quiz", **good | change)
    for key in good:
        _journal.add(path, "quiz", **{name: value for name, value in good.items() if name != key})
    path.write_bytes(path.read_bytes() + b'\n{"kind": "quiz", "question": "2-\xff\n[[[')
    assert told(path) == {}
    choose(quiz(2).asked[0], QUESTIONS["2-a"].right)
    assert told(path) == {2: "Quiz of chapter 2: 1 of 7 right on the first try, 6 still to answer."}


def test_a_full_disk_is_said_and_the_answer_explained(work, monkeypatch):
    monkeypatch.setattr(_journal, "add", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
    said = choose(quiz(1).asked[0], QUESTIONS["1-a"].right)
    assert said.startswith(f"\u2713 Right. {QUESTIONS['1-a'].right.why}") and said.endswith("No space left")


@each_chapter
def test_a_page_without_a_kernel_holds_all_answers_folded_in(chapter):
    data = quiz(chapter)._repr_mimebundle_()
    page = BeautifulSoup(data["text/html"], "html.parser")
    items = page.ol.find_all("li", recursive=False)
    for item, question in zip(items, QUIZZES[chapter], strict=True):
        options, whys = (parent.find_all("ol", recursive=False)[0] for parent in (item, item.details))
        assert item.p.text == question.text and item.details.summary.text == "Answers"
        assert [li.text for li in options.find_all("li")] == [option.words for option in question.options]
        for li, option in zip(whys.find_all("li"), question.options, strict=True):
            assert li.text.split(". ", 1)[1].startswith(option.why) and (li.code is not None) == bool(option.see)
        assert [li.b.text == "\u2713 Right." for li in whys.find_all("li")] == [o.right for o in question.options]
        assert not item.details.has_attr("open")
    kept = {"div", "ol", "li", "p", "b", "br", "code", "details", "summary"}  # by GitHub
    assert {tag.name for tag in page.find_all()} == kept
    assert "application/vnd.jupyter.widget-view+json" in data and QUIZZES[chapter][0].text in data["text/plain"]


@each_chapter
def test_in_the_book_sections_and_states_are_links(chapter):
    page = BeautifulSoup(html(QUIZZES[chapter], book=True), "html.parser")
    targets = [link["href"] for link in page.find_all("a")]
    options = [option for question in QUIZZES[chapter] for option in question.options]
    sections = [section for option in options for section in cited(option)]
    see = [option.see.address for option in options if option.see]
    assert see and all(address.startswith(f"chapters/0{chapter}_") for address in see)
    assert [target for target in targets if target[0] == "#"] == [f"#section-{s.replace('.', '-')}" for s in sections]
    assert [f"chapters/{target}" for target in targets if target[0] != "#"] == see


def test_words_are_escaped():
    odd = Question("1-a", "<i>&", (Option("a < b", "'<script>'", right=True), Option("<b>", "&amp;")))
    page = BeautifulSoup(html((odd,)), "html.parser")
    assert page.p.text == "<i>&" and not page.find_all(["i", "script"]) and "&amp;amp;" in html((odd,))
    shown = Quiz((odd,))
    assert "<script>" in choose(shown.asked[0], odd.right) and "<script>" not in shown.asked[0].status.value


# ---------------------------------------------------------------------------------------------------------------------
# What they claim: chapter 1


def test_1a_the_best_map_of_labels_at_two_places_has_two_bumps_of_half_the_height():
    for apart in (8, 12, 20):
        both = gaussian_heatmap(torch.tensor([[10.0, 16.0], [10.0 + apart, 16.0]]), (32, 40), sigma=1.5)
        best = both.mean(0, keepdim=True)
        peaks = local_peaks(best[None], threshold=0.1, top_k=5)
        assert peaks.valid.sum() == 2 and peaks.scores[peaks.valid].tolist() == pytest.approx([0.5, 0.5], abs=1e-3)
        middle = gaussian_heatmap(both.new_tensor([[10 + apart / 2, 16]]), (32, 40), sigma=1.5)
        others = (both[:1], both[1:], middle, 0.9 * best)
        cost, *more = (heatmap_loss(h.expand_as(both), both).mean() for h in (best, *others))
        assert min(more) > cost
    assert right("1-a").startswith("Two bumps of half the height")


def test_1b_the_place_in_cells():
    cell = Grid.center(4).to_cells(torch.tensor([21.0, 0.0]))[0]
    assert right("1-b") == f"x = {cell:g} cells"
    assert (Grid.center(4).to_image(torch.tensor([5.25, 0.0]))[0] - 21).item() == 1.5
    assert Grid.center(4).to_image(torch.tensor([5.625, 0.0]))[0] == 24


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0, 3.7, 8.0])
def test_1c_the_distance_at_which_silence_is_cheaper_doubles_with_the_width(sigma):
    at = 2 * math.sqrt(math.log(2))
    for width in (sigma, 2 * sigma):
        silence = theory.bump_sums(width).energy / 4096
        below, above = (theory.misplaced_mse(share * at * width, width, 4096) for share in (0.99, 1.01))
        assert below < silence < above
    assert theory.bump_sums(2 * sigma).energy == pytest.approx(4 * theory.bump_sums(sigma).energy)
    assert right("1-c") == "It doubles."


@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0, 5.0])
def test_1d_labels_that_scatter_by_a_width_halve_the_peak(sigma):
    best = theory.label_noise_optimum(sigma, sigma)
    assert best.peak == pytest.approx(float(right("1-d"))) and best.width == pytest.approx(2**0.5 * sigma)


def test_1e_two_rulers_of_two_people_fit_four_places():
    x, y = simcc_targets(torch.tensor([[10.0, 20.0], [40.0, 50.0]]), (64, 64), ratio=2.0, sigma=2.0)
    x, y = x.mean(0), y.mean(0)
    peaks = local_peaks((y[:, None] * x)[None, None], threshold=0.5 * (x.max() * y.max()).item(), top_k=9)
    assert peaks.valid.sum() == 4 and right("1-e").startswith("Four places")


@pytest.mark.parametrize("apart", [6, 10, 14])
def test_1f_the_integral_loss_sees_the_mean_alone(apart):
    key = torch.tensor([[24.0, 20.0]], dtype=f64)
    bumps = gaussian_heatmap(key + torch.tensor([[apart, 0.0], [-apart, 0.0]]), (41, 49), sigma=1.5).sum(0)[None]
    assert integral_loss(bumps.log(), key, grid=Grid()).abs().max() < 1e-6
    assert (argmax(bumps) - key).norm() == apart
    assert right("1-f") == "Loss 0, and argmax is 10 cells off."


# ---------------------------------------------------------------------------------------------------------------------
# Chapter 2


@pytest.mark.parametrize("stride", [1, 2, 4, 7.5, 16])
def test_2a_twice_the_stride_with_the_quarter_shift_is_the_stride_without(stride):
    assert theory.quarter_error(2 * stride).mse == theory.argmax_error(stride).mse
    assert theory.argmax_error(2 * stride).mse == pytest.approx(4 * theory.argmax_error(stride).mse)
    assert theory.quarter_error(stride).mse == pytest.approx(theory.argmax_error(stride).mse / 4)
    assert right("2-a") == "It stays as it was."


def test_2b_dark_keeps_the_shift_of_two_grids():
    xy = 40 + 40 * torch.rand(200, 2, generator=random(1), dtype=f64)  # px
    maps = gaussian_heatmap(Grid.index(4).to_cells(xy), (32, 32), sigma=2.0)
    off = {decode: Grid.center(4).to_image(decode(maps)) - xy for decode in (refine_dark, argmax)}
    assert (off[refine_dark] - 1.5).abs().max() < 1e-3
    assert (off[argmax].mean(0) - 1.5).abs().max() < 0.3 and off[argmax].std() > 1
    assert "1.5 px to the right and down" in right("2-b")


def test_2c_the_logarithm_mends_a_raw_heatmap_and_nothing_else_here_does():
    xy = torch.tensor([[20.3, 20.0], [15.0, 44.0], [50.0, 30.5]], dtype=f64)
    maps = gaussian_heatmap(xy, (64, 64), sigma=2.0)
    sums = maps.sum((-2, -1), keepdim=True)
    middle = torch.tensor([31.5, 31.5])
    for logits, tau in ((maps, 1.0), (maps / sums, 1.0), (maps, 4.0)):
        assert (soft_argmax(logits, tau) - middle).norm(dim=-1).max() < 0.3
    assert theory.background_pull(128 * 128, 2.0, 1.0) > theory.background_pull(64 * 64, 2.0, 1.0)
    assert (soft_argmax(maps.log().clamp(min=-700)) - xy).norm(dim=-1).max() < 1e-3
    assert right("2-c") == "Give it the logarithm of the map."


@pytest.mark.parametrize("tau", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("sigma", [1.5, 2.0, 4.0])
def test_2d_four_times_the_temperature_is_twice_the_width_and_a_quarter_of_the_scatter(tau, sigma):
    before, after = (theory.noise_variance(0.02, t, t**0.5 * sigma) ** 0.5 for t in (tau, 4 * tau))
    assert after == pytest.approx(before / 4)
    noise = 0.02 * torch.randn(300, 129, 129, generator=random(2), dtype=f64)
    logits = -(torch.cartesian_prod(*[torch.arange(-64.0, 65)] * 2).double().square().sum(-1) / (2 * sigma**2))
    logits = logits.view(129, 129)
    found = [soft_argmax(logits + noise, t).std() for t in (1.0, 4.0)]
    assert found[1] / found[0] == pytest.approx(1 / 4, rel=0.15)
    assert right("2-d") == "It becomes twice as wide, and the mean scatters a quarter as much."


@pytest.mark.parametrize("mu", [1e-4, 5e-4])
def test_2e_half_the_stride_leaves_the_lean_of_soft_argmax_and_a_quarter_of_darks(mu):
    sigma, dark = 4.0, {}  # px
    for stride in (1, 2):
        x = torch.arange(-20, 21, stride, dtype=f64)
        logits = -(x**2) / (2 * sigma**2) + mu * x**3 / 6 - (x**2 / (2 * sigma**2))[:, None]
        lean, dark[stride] = (stride * (found[0].item() - (len(x) - 1) / 2)
                              for found in (soft_argmax(logits), refine_dark(logits.exp())))
        assert lean == pytest.approx(theory.asymmetry_bias(mu, sigma), rel=0.03)
        assert dark[stride] == pytest.approx(mu * (sigma * stride) ** 2 / 6, rel=0.01)
    assert dark[2] / dark[1] == pytest.approx(4, rel=0.01)
    assert theory.ASYMMETRY_EXPONENTS["mu and sigma in px"] == 0 and "DARK falls to a quarter" in right("2-e")
    assert theory.ASYMMETRY_EXPONENTS["mu in px, sigma in cells"] == 4


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0])
def test_2f_at_a_correlation_equal_to_the_ratio_the_worse_head_adds_nothing(ratio):
    weight = 1 - theory.optimal_weight(1.0, ratio**2, 1 / ratio)
    assert weight == pytest.approx(float(right("2-f")))
    assert theory.optimal_weight(1.0, ratio**2, 1 / ratio + 0.05) > 1  # the other's is negative
    assert theory.naive_variance(1.0, 4.0, 0.5) > 1 and 1 - theory.optimal_weight(1.0, 4.0) == pytest.approx(1 / 5)


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_2g_a_window_keeps_the_other_peak_out(share):
    own, other = gaussian_heatmap(torch.tensor([[20.3, 30.1], [40.3, 30.1]], dtype=f64), (64, 64), sigma=2.0)
    heatmap = own + share * other
    wide = torch.nn.functional.pad(heatmap, (0, 64, 0, 64))
    off = {"window": soft_argmax_window(heatmap.log(), radius=8), "warm": soft_argmax(heatmap.log(), 4.0),
           "compensated": soft_argmax_compensated(heatmap, beta=10.0), "larger": soft_argmax((wide + 1e-30).log())}
    off = {name: (found - torch.tensor([20.3, 30.1])).norm().item() for name, found in off.items()}
    assert off.pop("window") < 0.001 and min(off.values()) > 0.2
    assert right("2-g") == "Soft-argmax in a window around the highest cell."


# ---------------------------------------------------------------------------------------------------------------------
# Chapter 3


@pytest.mark.parametrize("side", [16.0, 32.0, 64.0, 128.0, 256.0])
def test_3a_a_corner_plus_s_times_the_pixel_is_right_at_s_1_alone(side):
    s, u = side / 64, torch.arange(64.0)
    careless = 40 + s * u
    right_place = crop_grid((39.5, 39.5, side, side), (64, 64)).to_image(torch.stack((u, u), -1))[:, 0]
    assert (careless - right_place - (1 - s) / 2).abs().max() < 1e-4
    assert right("3-a").endswith("s = 1.")


@pytest.mark.parametrize("push", ["hinge", "gaussian"])
def test_3b_equal_means_are_not_pushed(push):
    tags = torch.tensor([[0.1, 0.3], [0.5, -0.1]], dtype=f64)[..., None].requires_grad_()
    pull, pushed = associative_embedding_loss(tags, torch.ones(2, 2, dtype=torch.bool), push=push)
    assert torch.autograd.grad(pushed, tags, retain_graph=True)[0].abs().max() == 0 and pushed == 1
    assert torch.autograd.grad(pull, tags)[0].sum(1).abs().max() < 1e-12
    assert right("3-b") == "Nothing, whichever push it is."


def grouped(tags: list, threshold: float, method: str) -> bool:
    """Whether rows of tags, None where nothing is shown, become one group each."""
    shown = torch.tensor([[tag is not None for tag in row] for row in tags]).T
    values = torch.tensor([[tag or 0.0 for tag in row] for row in tags]).T[..., None]
    groups = group_by_tags(Peaks(torch.zeros(*shown.shape, 2), torch.ones(shown.shape), shown), values,
                           threshold=threshold, method=method).indices
    return len(groups) == len(tags) and all(len(set(row[row >= 0].tolist())) == 1 for row in groups)


@pytest.mark.parametrize("method", ["greedy", "optimal"])
def test_3c_of_these_thresholds_one_is_safe(method):
    split, near = [[-0.2, 0.2, None]], [[None, 5.2, None], [None, None, 5.8]]
    safe = [option for option in QUESTIONS["3-c"].options
            if all(grouped(case, float(option.words), method) for case in (split, near, split + near))]
    assert [option.words for option in safe] == ["0.5"] == [right("3-c")]


def test_3d_a_wrist_without_its_elbow_is_lost_by_limbs_and_kept_by_tags():
    arm = torch.tensor([[[4.0, 4.0], [12.0, 4.0], [12.0, 12.0]]])  # shoulder, elbow, wrist
    fields = part_affinity_fields(arm, torch.ones(1, 3, dtype=torch.bool), (16, 16), limbs=((0, 1), (1, 2)), width=1.0)
    peaks = Peaks(arm[0][:, None], torch.ones(3, 1), torch.tensor([[True], [False], [True]]))
    by_limbs = group_by_paf(peaks, fields, ((0, 1), (1, 2)), threshold=0.1).indices
    assert not (by_limbs[:, 2] >= 0).any()
    by_tags = group_by_tags(peaks, torch.tensor([[[0.1]], [[0.0]], [[0.2]]]), threshold=0.5).indices
    assert by_tags.tolist() == [[0, -1, 0]]
    assert right("3-d") == "By limbs it joins nobody; by tags it can still join its person."


@pytest.mark.parametrize("before", [0.9, 0.7, 0.5])
def test_3e_a_quarter_of_the_area_takes_the_fourth_power(before):
    sigma, area = torch.tensor([0.05], dtype=f64), torch.tensor(1e4, dtype=f64)
    off = (-8 * sigma**2 * area * math.log(before)).sqrt() * torch.tensor([[1.0, 0.0]], dtype=f64)
    large, small = (oks(off, torch.zeros(1, 2, dtype=f64), torch.ones(1), size, sigma) for size in (area, area / 4))
    assert large.item() == pytest.approx(before) and small.item() == pytest.approx(before**4)
    assert right("3-e") == f"{0.9**4:.2f}"


def people(n: int) -> dict:
    """A ground truth of n pictures, each with one person of one keypoint."""
    rows = [head(100.0, image_id=k, id=k, area=1e4, iscrowd=0, bbox=[50.0, 50.0, 100.0, 100.0], num_keypoints=1)
            for k in range(1, n + 1)]
    return {"images": [{"id": k} for k in range(1, n + 1)], "annotations": rows,
            "categories": [{"id": 1, "keypoints": ["head"]}]}


def head(x: float, **more: object) -> dict:
    return {"category_id": 1, "keypoints": [x, 100.0, 2], **more}


def ap(truth: dict, rows: list[dict]) -> float:
    return coco_keypoint_ap(truth, rows, sigmas=[0.05]).stats["AP"]


@pytest.mark.parametrize("n", [3, 20, 60])
def test_3f_wrong_poses_behind_all_right_ones_cost_nothing(n):
    good = [head(100.0, image_id=k, score=1 - k / 1000) for k in range(1, n + 1)]
    wrong = [head(400.0, image_id=k, score=0.1 - k / 1000) for k in range(1, n + 1)]
    assert ap(people(n), good + wrong) == ap(people(n), good) > 0.999
    assert ap(people(n), good + [row | {"score": row["score"] + 2} for row in wrong]) < 0.6
    assert right("3-f") == "Nothing."


def test_3g_of_these_causes_one_makes_ap_0():
    truth, source = people(60), random(3)
    errors = (12 * torch.rand(60, generator=source)).tolist()
    good = [head(100 + error, image_id=k, score=1 / (1 + error)) for k, error in enumerate(errors, start=1)]
    as_it_is = ap(truth, good)
    assert 0.3 < as_it_is < 0.8
    equal = [row | {"score": 1.0} for row in good]
    boxes = truth | {"annotations": [row | {"area": 2 * row["area"]} for row in truth["annotations"]]}
    twice = good + [row | {"score": row["score"] - 1e-6} for row in good]
    in_crop = [head((row["keypoints"][0] - 50) * 0.64, image_id=row["image_id"], score=row["score"]) for row in good]
    assert ap(truth, in_crop) == 0 and right("3-g").startswith("Its points are in px of the crop")
    assert ap(truth, equal) > 0.5 * as_it_is and ap(boxes, good) > as_it_is and ap(truth, twice) > 0.4 * as_it_is


# ---------------------------------------------------------------------------------------------------------------------
# Chapter 4


@pytest.mark.parametrize("degrees", [20.0, 30.0, 65.0])
def test_4a_there_and_back_is_smoother_and_in_place(degrees):
    turn, back = (Affine.rotation(angle, (65, 65)) for angle in (degrees, -degrees))
    noise = torch.randn(20, 65, 65, generator=random(4), dtype=f64)
    once = warp_image(noise, turn, (65, 65))
    middle = slice(20, 45), slice(20, 45)
    left = [image[:, *middle].var() for image in (noise, once, warp_image(once, back, (65, 65)))]
    assert left[2] < 0.9 * left[1] < 0.5 * left[0]
    place = 26 + 12 * torch.rand(20, 2, generator=random(5), dtype=f64)
    blob = warp_image(warp_image(gaussian_heatmap(place, (65, 65), sigma=2.0), turn, (65, 65)), back, (65, 65))
    assert (soft_argmax(blob.clamp(min=1e-300).log()) - place).norm(dim=-1).max() < 0.05
    assert (warp_points(warp_points(place, turn), back) - place).norm(dim=-1).max() < 1e-9
    assert right("4-a").startswith("A smoother picture")


@pytest.mark.parametrize("degrees", [10.0, 90.0, 137.0])
def test_4b_who_always_says_the_middle_is_equivariant(degrees):
    image = torch.rand(3, 3, 40, 40, generator=random(6))
    off = equivariance_error(lambda x: torch.full((*x.shape[:-3], 17, 2), 19.5), image,
                             Affine.rotation(degrees, (40, 40)))
    assert off.max() < 1e-4 and right("4-b") == "0"


def test_4c_p_decides_the_variance_and_no_error_does():
    w, x = torch.randn(2, 50, generator=random(7), dtype=f64)
    before, after = (theory.dropout_moments(w, x, p) for p in (0.5, 0.2))
    assert (after.variance / before.variance).item() == pytest.approx(1 / 4) and after.mean == before.mean
    assert right("4-c") == "The variance falls to a quarter, and the error stays."


@pytest.mark.parametrize("kappa", [0.5, 3.0, 20.0])
def test_4d_half_the_standard_deviation_makes_a_half_four_fifths(kappa):
    mean = [theory.expected_oks(kappa, (share * kappa) ** 2 * torch.eye(2, dtype=f64)).item() for share in (1, 0.5)]
    assert mean == pytest.approx([0.5, float(right("4-d"))])


@pytest.mark.parametrize("seed", range(3))
def test_4e_nine_pictures_promise_90_and_nothing_above(seed):
    distances = torch.rand(9, generator=random(seed)).log().neg()
    assert conformal_radius(distances, 0.1) == distances.max() and conformal_radius(distances, 0.05).isinf()
    finite = [conformal_radius(torch.arange(float(n)), 0.05).isfinite() for n in (18, 19)]
    assert finite == [False, True] and right("4-e") == "None that is finite."


@pytest.mark.parametrize("n", [100, 2000])
@pytest.mark.parametrize("shape", [lambda u: u, lambda u: -torch.log1p(-u), lambda u: (1 - u) ** -2.0])
def test_4f_the_promise_holds_for_any_distribution_but_not_for_other_pictures(n, shape):
    days = shape(torch.rand(n + 1, 1000, generator=random(8), dtype=f64))
    radius = conformal_radius(days[:-1], 0.1)
    held, at_night = ((new <= radius).double().mean() for new in (days[-1], 3 * days[-1] + 0.5))
    assert held > 0.87 and at_night < 0.85
    assert right("4-f") == "Pictures of the night are not exchangeable with those of the day."


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_4g_a_share_of_corners_moves_the_mean_by_that_share_and_a_sharp_peak_not(share):
    maps = gaussian_heatmap(torch.tensor([[20.0, 12.0], [0.0, 0.0]], dtype=f64), (32, 32), sigma=0.5)
    maps = maps / maps.sum((-2, -1), keepdim=True)
    logits = ((1 - share) * maps[0] + share * maps[1]).clamp(min=1e-300).log()
    truth, corner = soft_argmax(maps.clamp(min=1e-300).log())
    assert torch.allclose(soft_argmax(logits), (1 - share) * truth + share * corner)
    assert argmax(logits).tolist() == [20, 12]
    assert right("4-g") == "Soft-argmax a tenth of the way to the corner, argmax where it should."


# ---------------------------------------------------------------------------------------------------------------------
# Chapter 5


@pytest.mark.parametrize("depth", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("baseline", [0.1, 0.24, 1.0])
def test_5a_twice_as_far_with_twice_the_baseline_doubles_both(depth, baseline):
    one, two, far = (theory.stereo_std(k * depth, focal=600, baseline=m * baseline, sigma=0.5)
                     for k, m in ((1, 1), (2, 2), (2, 1)))
    assert [b / a for a, b in zip(one, two, strict=True)] == pytest.approx([2, 2, 2])
    assert [b / a for a, b in zip(one, far, strict=True)] == pytest.approx([2, 2, 4])
    assert right("5-a") == "It doubles, across the view and along it."


@pytest.mark.parametrize("size", [2.0, 5.0, 10.0])
def test_5b_two_cameras_say_nothing_of_an_error_along_their_line(size):
    cameras = [Camera.look_at((x, 0.0, 0.0), (x, 0.0, 9.0), focal=600.0, hw=(480, 640)) for x in (-0.12, 0.12)]
    wrist = torch.tensor([0.1, -0.2, 2.0], dtype=f64)
    seen = torch.stack([camera.project(wrist) for camera in cameras])
    for shift, silent in (((size, 0.0), True), ((0.0, size), False)):
        wrong = seen + torch.tensor([[0.0, 0.0], shift], dtype=f64)
        found = triangulate(wrong, cameras)
        left = torch.stack([camera.project(found) for camera in cameras]) - wrong
        gate = reprojection_gate(wrong, cameras, 0.25 * torch.eye(2, dtype=f64))
        assert (left.abs().max() < 1e-3) == silent and (gate.chi2 < 1e-4) == silent
        assert left[:, 1].abs().tolist() == pytest.approx([0 if silent else size / 2] * 2, abs=0.05 * size)
        if silent:
            assert (found - wrist).abs()[2] > 0.03
    assert right("5-b") == "Nothing: they are 0."


@pytest.mark.parametrize("cutoff", [0.2, 1.0, 5.0])
def test_5c_a_filter_leaves_an_error_that_stays(cutoff):
    said = torch.full((200,), 101.5, dtype=f64)
    assert (one_euro(said, 30.0, min_cutoff=cutoff, beta=0.1) - 100 - 1.5).abs().max() < 1e-9
    assert right("5-c") == "1.5 px"


@pytest.mark.parametrize("corner", range(4))
def test_5d_four_corners_leave_no_residual_and_nine_points_do(corner):
    for side, silent in ((2, True), (3, False)):
        points = torch.cartesian_prod(*[torch.linspace(-1, 1, side, dtype=f64)] * 2)
        read = 100 + 60 * points
        read[[0, side - 1, -side, -1][corner], 0] += 20
        left = (apply_homography(homography(points, read), points) - read).norm(dim=-1)
        assert (left.max() < 1e-6) == silent and left.max() < 20
    assert right("5-d") == "0 px."


def test_5e_of_these_changes_a_roll_alone_is_not_divided_away():
    xy = 100 + 50 * torch.randn(10, 17, 2, generator=random(9), dtype=f64)
    before = normalized(xy)
    rolled = torch.stack((-xy[..., 1], xy[..., 0]), -1)
    changed = rolled, xy / 2, xy - torch.tensor([150, 0]), 2 * xy
    same = [bool(torch.allclose(normalized(new), before)) for new in changed]
    assert same == [not option.right for option in QUESTIONS["5-e"].options]


def test_5f_size_alone_makes_a_raw_gap_and_none_at_one_size():
    share = torch.rand(2, 4000, generator=random(10), dtype=f64).sqrt()
    area = 200 + 1000 * torch.cat((share[0], 1 - share[1]))  # px²
    second = torch.arange(8000) >= 4000
    scores = simulate_similarities(area, 4.0, seed=12).mean(-1)
    assert gap(scores, second) < -0.05
    assert abs(standardized_gap(scores, second, area, strata=20, draws=100).gap) < 0.01
    small, large = (theory.expected_oks(2 * 0.07 * size**0.5, 4.0 * torch.eye(2)) for size in (300, 600))
    assert small < large and right("5-f").startswith("The raw gap, the sizes, and the gap at one size")


@pytest.mark.parametrize("keypoints", [9, 17])
def test_5g_copies_make_an_interval_too_narrow_by_a_root(keypoints):
    scores = torch.rand(120, generator=random(13), dtype=f64).repeat_interleave(keypoints)
    person = torch.arange(120).repeat_interleave(keypoints)
    one, other = (bootstrap_gap(scores, person >= 60, who, draws=4000) for who in (person, None))
    assert ((one.high - one.low) / (other.high - other.low)).item() == pytest.approx(keypoints**0.5, rel=0.1)
    assert right("5-g") == f"It is about {17**0.5:.0f} times too narrow."


def test_nearly_all_claims_are_checked():
    names = set(re.findall(r"^def test_(\d[a-g])_", Path(__file__).read_text(encoding="utf-8"), re.M))
    assert {name.replace("-", "") for name in QUESTIONS} - names == {"1g"}  # of a trained network: section 1.15
