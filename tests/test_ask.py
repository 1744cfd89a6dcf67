"""Predictions: each Predict has its question, the first answer counts, the sums are right, and so are the answers."""

import dataclasses
import itertools
import math
import os
import re
from fractions import Fraction
from pathlib import Path

import build
import nbformat
import pytest
import torch
from bs4 import BeautifulSoup
from driver import chromium
from test_browser import NotebookLab, assert_quiet

from book import page as page_of
from posebook import _journal, cli, predictions, progress, theory
from posebook.ask import Asked, Option, Question
from posebook.decode import argmax, decode_anchors, refine_dark, refine_quarter
from posebook.encode import gaussian_heatmap, simcc_targets
from posebook.evaluation import coco_keypoint_ap, oks
from posebook.expectation import soft_argmax, spatial_softmax
from posebook.filters import one_euro
from posebook.geometry import apply_homography, homography
from posebook.grid import Grid
from posebook.grouping import local_peaks
from posebook.losses import associative_embedding_loss, heatmap_loss, unbiased_mask
from posebook.people import draw_people
from posebook.predictions import CHAPTERS, PREDICTIONS, Answer, prediction
from posebook.predictions import predictions as table_of
from posebook.skeleton import COCO_17
from posebook.uncertainty import conformal_radius
from posebook.warp import Affine, crop_grid, flip_points, flip_shift, warp_image, warp_points

SOURCES = sorted((build.ROOT / "sources/chapters").glob("*.py"))
each_chapter = pytest.mark.parametrize(("source", "questions"), list(zip(SOURCES, CHAPTERS, strict=True)),
                                       ids=lambda value: getattr(value, "stem", ""))
each_question = pytest.mark.parametrize("question", PREDICTIONS.values(), ids=lambda question: question.name)


# ---------------------------------------------------------------------------------------------------------------------
# The questions and their cells


@each_chapter
def test_each_predict_has_its_question_directly_below(source, questions):
    cells, section, found = build.read(source).cells, "", []
    for cell, after in itertools.pairwise(cells):
        section = (re.findall(r"^## (\d+\.\d+) ", cell.source, re.M) or [section])[-1]
        if cell.cell_type == "markdown" and "**Predict.**" in cell.source:
            assert "\n\n" not in cell.source.split("**Predict.**")[1], f"{section}: the answer may stand below"
            assert after.cell_type == "code" and after.source == f'prediction("{section}")', section
            found.append(section)
    assert found == [question.name for question in questions]
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert sum(text.startswith("prediction(") for text in code) == len(found)
    assert code[-1] == f"predictions({CHAPTERS.index(questions) + 1})"
    assert "from posebook.predictions import prediction, predictions\n" in code[1]  # below the set-up


@each_question
def test_a_question_is_plain_and_has_one_right_answer(question):
    assert 2 <= len(question.options) <= 4 and sum(option.right for option in question.options) == 1
    assert len({option.words for option in question.options}) == len(question.options)
    for text in (question.text, *(text for option in question.options for text in (option.words, option.why))):
        assert text.strip() == text and text and not re.search(r"[*`$\\]|  ", text), text
    assert question.text.endswith("?") and all(option.why.endswith(".") for option in question.options)


@pytest.mark.parametrize("questions", CHAPTERS, ids=lambda questions: questions[0].name)
def test_who_always_ticks_the_same_place_is_right_at_most_half_of_the_time(questions):
    places = [question.options.index(question.right) for question in questions]
    assert max(places.count(place) for place in range(4)) <= len(questions) / 2


# ---------------------------------------------------------------------------------------------------------------------
# The answers that a computation can check


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def bell(x: float, y: float, hw: tuple[int, int] = (33, 33), sigma: float = 1.0) -> torch.Tensor:
    return gaussian_heatmap(double(x, y), hw, sigma=sigma)


def wrists_at_zero() -> float:
    """What the two wrists add to the mean of 17 if they are said to be at (0, 0)."""
    wrists = [COCO_17.names.index(name) for name in ("left_wrist", "right_wrist")]
    return (draw_people(20, seed=1).xy[:, 0, wrists].norm(dim=-1).sum(1) / 17).mean().item()


def two_peaks_from() -> float:
    """The px from which on the sum of two bells, 2 cells of 4 px wide, has a dent in its middle."""
    d = torch.linspace(8, 24, 1601, dtype=torch.float64)
    middle = 2 * torch.exp(-((d / 8) ** 2) / 8)
    beside = sum(torch.exp(-((d / 8 + side) ** 2) / 8) for side in (-0.01, 0.01))
    return d[beside > middle][0].item()


def noise_left() -> float:
    noise = torch.randn(1, 200, 200, generator=torch.Generator().manual_seed(0))
    return warp_image(noise, Affine.rotation(30, (200, 200)), (200, 200))[0, 60:140, 60:140].var().item()


def two_roundings() -> float:
    first, second = 4 * torch.rand(2, 20_000, 2, generator=torch.Generator().manual_seed(0)) - 2
    return (first - second).square().sum(-1).mean().sqrt().item()


def ap(people: list[float], found: list[tuple[float, float]]) -> float:
    """AP50 of heads found at places with scores."""
    def head(x: float, **more: object) -> dict:
        return {"image_id": 1, "category_id": 1, "keypoints": [x, 50.0, 2], **more}

    annotations = [head(x, id=n, area=1e4, iscrowd=0, bbox=[0, 0, 1, 1], num_keypoints=1)
                   for n, x in enumerate(people, start=1)]
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "keypoints": ["head"]}], "annotations": annotations}
    return coco_keypoint_ap(truth, [head(x, score=score) for x, score in found], sigmas=[0.05],
                            max_detections=len(found)).stats["AP50"]


def everybody_twice() -> float:
    places = [200.0 * n for n in range(100)]
    return ap(places, [(x, 1 - n / 128 - late) for n, x in enumerate(places) for late in (0, 1 / 256)])


def price_of_correction() -> float:
    kept, flipped = unbiased_mask(double(1, 0), flip=0.3)
    return (kept - flipped).item()


def frames_late(share: float) -> float:
    """By how many frames a low-pass filter is late that leaves this share of white noise."""
    a = 2 * share**2 / (1 + share**2)
    ramp = torch.arange(400, dtype=torch.float64)
    return (ramp - one_euro(ramp, 30, min_cutoff=30 * a / (2 * math.pi * (1 - a)), beta=0.0))[-1].item()


NUMBERS = {  # of a section: the numbers of the right answer, and how exact it has them
    "1.2": (0.5, wrists_at_zero),
    "1.3": (1e-6, lambda: Grid.center(4).to_cells(double(20, 20))[0]),
    "1.4": (0.005, lambda: bell(16.5, 16.5).max()),
    "1.5": (0.5, lambda: bell(16, 16, sigma=2.0).sum()),
    "1.7": (1e-9, lambda: theory.label_noise_optimum(2.0, 1.5).peak),
    "1.8": (0.1, two_peaks_from),
    "2.2": (1e-6, lambda: Grid.center(4).to_image(double(0, 0))[0]),
    "2.3": (0.005, lambda: theory.argmax_distance(4).largest),
    "2.4": (1e-9, lambda: theory.integer_label_bias(4)),
    "2.9": (0.001, lambda: theory.quarter_error(4).mse ** 0.5),
    "2.11": (0.05, lambda: soft_argmax(bell(20.3, 20, (64, 64), 2.0))[0]),
    "2.16": (1e-9, lambda: flip_shift(Grid.index(4), width=256, cells=64)),
    "2.17": (1e-9, lambda: 1 - theory.optimal_weight(1.0, 4.0)),
    "3.2": (1e-9, lambda: crop_grid((-0.5, -0.5, 256, 256), (64, 64)).offset[0]),
    "3.9": (0.005, lambda: ap([0, 300, 600], [(0, 0.9), (300, 0.8), (900, 0.7), (1200, 0.6), (600, 0.5)])),
    "3.11": (0.03, everybody_twice),
    "4.2": (0.03, noise_left),
    "4.3": (0.4, two_roundings),
    "4.8": (1e-9, lambda: theory.expected_oks(3.0, 9 * torch.eye(2).double())),
    "4.14": (1e-9, price_of_correction),
    "5.1": (0.5, lambda: 1000 * theory.stereo_std(2.0, focal=600, baseline=0.24, sigma=0.5).z),
    "5.8": (1e-6, lambda: frames_late(1 / 2), lambda: frames_late(1 / 4)),
    "5.11": (0.1, lambda: theory.marker_error(3 * 2**0.5, sigma=1.0)),
}


def numbers(option: Option) -> list[float]:
    found = re.findall(r"-?\d+(?:\.\d+)?(?:/\d+)?", option.words.replace("−", "-"))
    return [float(Fraction(number)) for number in found]


@pytest.mark.parametrize("name", NUMBERS)
def test_the_number_of_the_right_answer_is_that_of_the_library(name):
    within, *computed = NUMBERS[name]
    want, question = [float(value()) for value in computed], PREDICTIONS[name]
    assert numbers(question.right)[: len(want)] == pytest.approx(want, abs=within)
    for option in question.options:
        if numbers(option) and not option.right:
            assert numbers(option)[: len(want)] != pytest.approx(want, abs=within), option.words


def mirrored() -> bool:
    xy = draw_people(1, seed=0).xy[0, 0]
    left, right = (COCO_17.names.index(f"{side}_wrist") for side in ("left", "right"))
    moved = flip_points(xy, 64, skeleton=COCO_17)
    return torch.allclose(moved[right], torch.stack((63 - xy[left, 0], xy[left, 1])))


def no_bump_is_cheaper() -> bool:
    target = bell(30, 32, (64, 64), 2.0)
    return heatmap_loss(0 * target, target).mean() < heatmap_loss(bell(34, 32, (64, 64), 2.0), target).mean()


def right_of_the_mean_is_raised() -> bool:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    x = soft_argmax(logits)[0]
    x.backward()
    away = (torch.arange(5) - x.detach()) * spatial_softmax(logits.detach())
    return torch.allclose(logits.grad, away)


def a_wide_p_has_a_calmer_mean() -> bool:
    noise = 0.05 * torch.randn(400, 33, 33, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cold, warm = (soft_argmax(bell(16.2, 15.9, sigma=2.0).log() + noise, tau).std(0) for tau in (0.5, 2.0))
    return bool((warm < cold / 3).all())


def ranked() -> list[str]:
    xy = 12 + 8 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps = gaussian_heatmap(xy, (32, 32), sigma=1.0)
    found = {"DARK": refine_dark(maps), "soft-argmax": soft_argmax(maps.clamp(min=1e-4).log()),
             "quarter shift": refine_quarter(maps), "argmax": argmax(maps)}
    return sorted(found, key=lambda name: (found[name] - xy).square().mean())


def two_wrists() -> tuple[int, int]:
    both = gaussian_heatmap(double(4, 5, 7, 5).reshape(2, 2), (11, 12), sigma=2.0)
    return tuple(int(local_peaks(one, threshold=0.05, top_k=9).valid.sum()) for one in (both.sum(0), both.amax(0)))


def nothing_pushes() -> bool:
    tags = double(0, 0, 5, 5).reshape(2, 2, 1).requires_grad_()
    associative_embedding_loss(tags, torch.ones(2, 2, dtype=torch.bool))[1].backward()
    return not tags.grad.any()


def of_nose_and_hip() -> list[float]:
    at = torch.zeros(2, 1, 2).double()
    sigmas = [COCO_17.oks_sigmas[COCO_17.names.index(name)] for name in ("nose", "left_hip")]
    return [oks(at[0] + double(10, 0), at[0], torch.ones(1), torch.tensor(96.0**2), double(sigma)).item()
            for sigma in sigmas]


def largest_of_nine() -> Fraction:
    ten = torch.arange(10.0)
    left_out = [torch.cat((ten[:k], ten[k + 1 :])) for k in range(10)]
    return Fraction(sum(bool(ten[k] <= conformal_radius(left_out[k], 0.1)) for k in range(10)), 10)


def the_loss_varies_by() -> float:
    place = double(4, 4)
    off = [3.0] * 3 + [1.0] * 5  # cells; the first three are hidden
    found = torch.stack([gaussian_heatmap(place + double(d, 0), (9, 9), sigma=1.0) for d in off])
    cost = (found - gaussian_heatmap(place, (9, 9), sigma=1.0)).square()
    return (theory.mask_noise_std(cost, 0.2) / cost[3:].sum()).item()


def the_diagonals_cross_there() -> bool:
    square = double(-1, -1, 1, -1, 1, 1, -1, 1).reshape(4, 2)
    seen = double(200, 150, 420, 130, 380, 330, 230, 300).reshape(4, 2)
    middle = apply_homography(homography(square, seen), double(0, 0)[None])[0]
    crossed = [torch.linalg.det(torch.stack((seen[k + 2] - seen[k], middle - seen[k]))) for k in (0, 1)]
    return max(map(abs, crossed)) < 1e-6 and (middle - seen.mean(0)).norm() > 3


def gap_by_size() -> float:
    def expected(area: float) -> torch.Tensor:
        kappas = 2 * area**0.5 * double(*COCO_17.oks_sigmas)
        return torch.stack([theory.expected_oks(kappa.item(), 4 * torch.eye(2).double()) for kappa in kappas]).mean()

    return (expected(600) - expected(300)).item()


HOLDS = {  # of a section: how the right answer begins, and what it claims
    "1.1": ("Its x becomes W − 1 − x, and it goes", mirrored),
    "1.6": ("that of the empty map", no_bump_is_cheaper),
    "1.9": ("as many as a map of stride 4", lambda: sum(each.numel() for each in simcc_targets(
        double(20, 30), (64, 64), ratio=2.0, sigma=2.0)) == bell(8, 8, (16, 16)).numel()),
    "2.1": ("up to 3 px", lambda: 1 < theory.argmax_distance(4).mean < theory.argmax_distance(4).largest < 3),
    "2.5": ("half-way", lambda: torch.allclose(soft_argmax(bell(4, 9, (19, 19)) + bell(14, 9, (19, 19))),
                                               double(9, 9))),
    "2.6": ("less than a millionth", lambda: theory.alias_rms(1.0) < 1e-6 < theory.alias_rms(0.75)),
    "2.7": ("all cells right of the mean", right_of_the_mean_is_raised),
    "2.10": ("Yes, exactly", lambda: torch.allclose(refine_dark(bell(12.3, 7.6)), double(12.3, 7.6))),
    "2.13": ("No: its mean moves less", a_wide_p_has_a_calmer_mean),
    "2.15": ("As wrong as you like", lambda: torch.allclose(decode_anchors(
        double(-90, 3, 0), double(0, 0, 4, 0, 8, 0).reshape(3, 2), double(5, 2, 1, 2, -3, 2).reshape(3, 2),
        mode="soft"), double(5, 2))),
    "2.18": ("DARK, soft-argmax, quarter shift, argmax",
             lambda: ", ".join(ranked()) == PREDICTIONS["2.18"].right.words),
    "3.1": ("the sum at most one, the larger value two", lambda: two_wrists()[0] <= 1 and two_wrists()[1] == 2),
    "3.3": ("nothing", nothing_pushes),
    "3.8": ("nose 0.1, hip 0.9", lambda: of_nose_and_hip() == pytest.approx([0.134, 0.888], abs=1e-3)),
    "4.1": ("to (2, 0)", lambda: torch.allclose(
        warp_points(double(4, 2), Affine.rotation(90, (3, 5), into=(5, 3))), double(2, 0))),
    "4.10": ("9 times of 10", lambda: largest_of_nine() == Fraction(9, 10)),
    "4.13": ("by less than 10 %", lambda: the_loss_varies_by() < 0.1),
    "5.9": ("no: where the diagonals cross", the_diagonals_cross_there),
    "5.10": ("the residual rises", lambda: [round(theory.reprojection_rms(0.5, n).item(), 2) for n in (4, 9, 16, 36)]
             == [0, 0.37, 0.43, 0.47]),
    "5.13": ("by more than a tenth", lambda: gap_by_size() > 0.1),
}


@pytest.mark.parametrize("name", HOLDS)
def test_what_the_right_answer_claims_holds_in_the_library(name):
    begins, claim = HOLDS[name]
    assert PREDICTIONS[name].right.words.startswith(begins) and claim()


def test_enough_answers_are_computed():
    assert len(NUMBERS.keys() | HOLDS.keys()) >= 40


# ---------------------------------------------------------------------------------------------------------------------
# Answering


ASK = PREDICTIONS["2.3"]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(predictions, "_here", [])


def answer(name: str, place: int, sure: str = "sure") -> Asked:
    """As a reader answers."""
    asked = prediction(name)
    asked.options.index, asked.sure.value = place, sure
    asked.button.click()
    return asked


def said(asked: Asked) -> str:
    return BeautifulSoup(asked.status.value, "html.parser").get_text()


def kept(work: Path) -> list[dict]:
    return _journal.entries(work / _journal.JOURNAL, "prediction")


def test_the_first_answer_counts_and_is_shown_again(work):
    wrong = ASK.options[0]
    first = answer("2.3", 0, "rather sure")
    assert said(first) == f"Noted: “{wrong.words}”, rather sure (75 %). Read on to see."
    for again in (prediction("2.3"), answer("2.3", 1)):
        assert again.options.value is wrong and again.sure.value == "rather sure" and said(again) == said(first)
        assert again.options.disabled and again.sure.disabled and again.button.disabled
    assert [(entry["question"], entry["answer"]) for entry in kept(work)] == [("2.3", wrong.words)]


def test_an_answer_given_in_another_notebook_meanwhile_is_the_one_that_counts(work):
    asked = prediction("2.3")
    answer("2.3", 0)
    asked.options.index, asked.sure.value = 1, "guessing"
    asked.button.click()
    assert asked.options.value is ASK.options[0] and len(kept(work)) == 1


@pytest.mark.parametrize(("place", "sure", "wants"), [
    (None, "sure", "Choose an answer"), (1, None, "how sure you are"),
])
def test_half_an_answer_is_none(work, place, sure, wants):
    asked = prediction("2.3")
    asked.options.index, asked.sure.value = place, sure
    asked.button.click()
    assert wants in said(asked) and kept(work) == [] and not asked.button.disabled


def test_outside_of_work_it_is_kept_until_the_kernel_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer("2.3", 1)
    assert list(tmp_path.iterdir()) == [] and table_of(2).given["2.3"].option is ASK.options[1]


def test_a_disk_that_takes_nothing_is_said_and_loses_nothing_at_once(work, monkeypatch):
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left <here>")))
    asked = answer("2.3", 1)
    assert said(asked).endswith("It is kept until the kernel ends only: [Errno 28] No space left <here>")
    assert table_of(2).given["2.3"].option.right


def test_a_journal_that_cannot_be_read_is_said_and_what_this_kernel_holds_counts(work):
    (work / _journal.JOURNAL).mkdir()
    asked = prediction("2.3")
    assert "Answers kept before cannot be read: [Errno " in said(asked) and not asked.button.disabled
    asked = answer("2.3", 1)
    assert said(asked).startswith("Noted: ") and "It is kept until the kernel ends only: [Errno " in said(asked)
    again = prediction("2.3")
    assert said(again).startswith("Noted: ") and "cannot be read" in said(again) and again.button.disabled
    assert table_of(2).given["2.3"].option is ASK.options[1]
    for text in (repr(table_of(2)), table_of(2)._repr_html_(), repr(table_of(1))):
        assert "Answers kept before cannot be read: [Errno " in text


def test_what_is_not_an_answer_of_today_does_not_count(work):
    path = work / _journal.JOURNAL
    path.write_bytes(b'\n[1]\n\xff\n{"kind": "prediction", "question": "2.')
    good = {"question": "2.3", "digest": ASK.digest, "answer": ASK.right.words, "sure": "sure"}
    for change in ({"question": 2.3}, {"question": "9.9"}, {"digest": "of another wording"}, {"answer": ["2 px"]},
                   {"answer": "5 px"}, {"sure": "certain"}, {"sure": {}}):
        _journal.add(path, "prediction", **good | change)
    for key in good:
        _journal.add(path, "prediction", **{name: value for name, value in good.items() if name != key})
    assert predictions.read(path) == ({}, "") and progress.read(path).lines == ()
    _journal.add(path, "prediction", **good)
    assert predictions.read(path) == ({"2.3": Answer(ASK, ASK.right, "sure")}, "")


def test_another_wording_asks_anew(work, monkeypatch):
    answer("2.3", 1)
    for changed in (dataclasses.replace(ASK, text=ASK.text + " And why?"),
                    dataclasses.replace(ASK, options=ASK.options[::-1])):
        monkeypatch.setitem(PREDICTIONS, "2.3", changed)
        assert not prediction("2.3").options.disabled
    monkeypatch.setitem(PREDICTIONS, "2.3", dataclasses.replace(ASK, options=tuple(
        dataclasses.replace(option, why="Said otherwise.") for option in ASK.options)))
    assert prediction("2.3").options.disabled


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match=r"name: want a section with a Predict, such as '1.1', got '1.99'"):
        prediction("1.99")
    with pytest.raises(ValueError, match="chapter: want a whole number from 1 to 5, got 6"):
        table_of(6)


def test_words_are_text_and_no_markup(work, monkeypatch):
    bad = "<img src=x onerror=alert(1)> & \"quoted\""
    options = Option(f"{bad} a", f"{bad} b."), Option(f"{bad} c", f"{bad} d.", right=True)
    monkeypatch.setitem(PREDICTIONS, "2.3", Question("2.3", bad + "?", options))
    monkeypatch.setattr(predictions, "CHAPTERS", ((PREDICTIONS["2.3"],),) * 5)
    open_ = table_of(2)._repr_html_()
    shown = answer("2.3", 0)
    heading = shown.box.children[0].value
    for text in (shown.status.value, shown.question.html(), open_, table_of(2)._repr_html_(), heading):
        page = BeautifulSoup(text, "html.parser")
        assert page.img is None and bad in page.get_text()


# ---------------------------------------------------------------------------------------------------------------------
# What a page without a kernel shows


@each_question
def test_without_a_kernel_the_options_stand_and_nothing_is_given_away(question):
    data = prediction(question.name)._repr_mimebundle_()
    page = BeautifulSoup(data["text/html"], "html.parser")
    assert [item.text for item in page.select("li")] == [option.words for option in question.options]
    assert page.select_one(".posebook-question > p > b").text == question.text
    assert question.text in page.text and not any(option.why in page.text for option in question.options)
    assert len({str(item.attrs) for item in page.select("li")}) == 1  # no mark on one of them
    assert not re.search(r"\d\.\d", data["text/plain"])  # or a takeaway's number would count as printed


def test_in_the_book_no_code_stands_between_predict_and_its_options(tmp_path):
    code = ['prediction("2.3")', "predictions(2)", "print(predict(2))"]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, code)))
    nbformat.write(notebook, tmp_path / "a.ipynb")
    cells = page_of(tmp_path / "a.ipynb", tmp_path).cells
    assert [cell.metadata.get("tags", []) for cell in cells] == [["remove-input"], ["remove-input"], []]


def test_without_answers_the_right_ones_are_folded_in():
    page = BeautifulSoup(table_of(2)._repr_html_(), "html.parser")
    assert "In the notebook, run the cell below a Predict" in page.p.text and "No prediction" in repr(table_of(2))
    assert page.table.find_parent("details") and "open" not in page.details.attrs
    rows = page.details.select("tbody tr")
    assert [row.th.text for row in rows] == [question.name for question in CHAPTERS[1]]
    for row, question in zip(rows, CHAPTERS[1], strict=True):
        assert question.right.words in row.text and question.right.why in row.text


# ---------------------------------------------------------------------------------------------------------------------
# The end of a chapter


def given(*answers: tuple[int, str, bool]) -> list[Answer]:
    """Answers to questions with so many options."""
    made = []
    for n, sure, right in answers:
        options = tuple(Option(str(k), "Why.", right=k == 0) for k in range(n))
        made.append(Answer(Question("2.1", "?", options), options[0 if right else 1], sure))
    return made


SIX = given((3, "sure", True), (3, "sure", False), (2, "guessing", True), (4, "guessing", False),
            (3, "rather sure", True), (3, "rather sure", True))


def test_a_score_by_hand():
    assert predictions.brier(given((3, "sure", True))) == Fraction(1, 400)
    assert predictions.brier(given((3, "sure", False))) == Fraction(361, 400)
    assert predictions.brier(given((4, "guessing", True))) == Fraction(9, 16)
    assert predictions.brier(SIX) == (Fraction(1 + 361, 400) + Fraction(1, 4) + Fraction(1, 16) + Fraction(2, 16)) / 6


def test_the_sentences_by_hand():
    right, verdict, score = predictions.summary(SIX)
    assert right == ("Right 4 of 6. When you said guessing, right 1 of 2; rather sure (75 %), right 2 of 2; "
                     "sure (95 %), right 1 of 2.")
    assert verdict == "You said 69 % on average, and 67 % were right: so large a difference may well be chance."
    assert score.startswith("Brier score 0.224: ")  # 1.3425 / 6
    assert score.endswith("can expect 0.221.")  # (4 * 2/9 + 1/4 + 3/16) / 6


def test_the_chance_of_so_few_right_is_the_sum_over_all_ways():
    for right in range(7):
        ways = Fraction()
        for came in itertools.product((0, 1), repeat=6):
            if sum(came) <= right:
                ways += math.prod(one.chance if hit else 1 - one.chance for one, hit in zip(SIX, came, strict=True))
        assert predictions.at_most(SIX, right) == ways


@pytest.mark.parametrize(("answers", "ends"), [
    ([(3, "sure", False)], "may well be chance."),  # exactly 1 in 20
    ([(3, "sure", False)] * 2, "you claimed more than came true."),
    ([(3, "guessing", False)] * 8, "you claimed more than came true."),
    ([(3, "guessing", True)] * 2, "may well be chance."),
    ([(3, "guessing", True)] * 3, "so trust yourself more."),
    ([(3, "sure", True)] * 20, "may well be chance."),
])
def test_a_verdict_needs_more_than_chance(answers, ends):
    assert predictions.verdict(given(*answers)).endswith(ends)


def test_the_table_says_what_was_said_and_what_is_right(work):
    answer("2.3", 0, "rather sure")
    answer("2.4", CHAPTERS[1][3].options.index(CHAPTERS[1][3].right), "guessing")
    page = BeautifulSoup(table_of(2)._repr_html_(), "html.parser")
    wrong, right = page.table.select("tbody tr")
    assert wrong.th.text == "2.3" and "✗ wrong, you were rather sure (75 %)" in wrong.text
    assert ASK.options[0].why in wrong.text and ASK.right.why in wrong.text
    assert "✓ right, you were guessing (33 %)" in right.text and right.text.count(CHAPTERS[1][3].right.why) == 1
    assert [head.text for head in page.table.select("th[scope=col]")] == ["section", "you said", "right is"]
    assert len(page.details.select("tbody tr")) == len(CHAPTERS[1]) - 2
    assert "Right 1 of 2." in page.text and "Right 1 of 2." in repr(table_of(2))
    assert table_of(1).given == {}


def test_all_answered_leaves_nothing_to_fold(work):
    for question in CHAPTERS[1]:
        answer(question.name, 0)
    assert "details" not in table_of(2)._repr_html_()


def test_progress_says_a_line_for_each_chapter(work, capsys):
    answer("2.3", 1)
    answer("2.1", 0)
    answer("4.1", 0)
    lines = [f"Predictions in chapter {n}: {k} of {len(CHAPTERS[n - 1])} answered." for n, k in ((2, 2), (4, 1))]
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    assert cli.main(["progress", "decoding"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["", lines[0]]
    page = BeautifulSoup(progress.read(work / _journal.JOURNAL)._repr_html_(), "html.parser")
    assert [line.text for line in page.select("p")] == lines
    (work / _journal.JOURNAL).unlink()
    assert cli.main(["progress"]) == 0 and capsys.readouterr().out == progress.NONE + "\n"


def test_how_many_were_right_is_told_once_all_of_a_chapter_are_answered(work):
    for n, question in enumerate(CHAPTERS[1]):
        assert "right" not in "".join(progress.read(work / _journal.JOURNAL).lines)
        answer(question.name, (question.options.index(question.right) + (n < 3)) % len(question.options))
    many = len(CHAPTERS[1])
    (line,) = progress.read(work / _journal.JOURNAL).lines
    assert line == f"Predictions in chapter 2: {many} of {many} answered, {many - 3} right."


# ---------------------------------------------------------------------------------------------------------------------
# In JupyterLab


@pytest.mark.browser
def test_keys_alone_answer_and_a_rerun_shows_what_was_answered(tmp_path_factory):
    from axe_playwright_python.sync_playwright import Axe

    root = tmp_path_factory.mktemp("a lab")
    work = root / "my work"
    work.mkdir()
    (work / _journal.COPIED).write_text("{}")
    code = ["from posebook.predictions import prediction, predictions", 'prediction("2.3")', "predictions(2)"]
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, code)))
    with chromium() as browser, NotebookLab(root, browser, work) as lab:
        page = lab.run("predict.ipynb", notebook)
        asked = page.locator(".jp-OutputArea-output:has(.posebook-ask)")
        asked.get_by_role("radio", name=ASK.options[0].words).focus()
        for key in ["Tab", "Space", *["Tab"] * 4, "Space", "Tab", "Enter"]:  # second option, third degree, button
            page.keyboard.press(key)
        asked.get_by_role("status").wait_for()
        assert asked.get_by_role("status").inner_text() == f"Noted: “{ASK.right.words}”, sure (95 %). Read on to see."
        page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        page.get_by_text("Right 1 of 1.").wait_for()
        assert asked.get_by_role("radio", name=ASK.right.words).is_checked()
        assert asked.get_by_role("button").is_disabled() and len(kept(work)) == 1
        page.evaluate("document.querySelectorAll('.jp-OutputArea-output').forEach((e, k) => e.id = `output-${k}`)")
        for theme in ("Light", "Dark"):
            page.evaluate("name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})",
                          f"JupyterLab {theme}")
            page.wait_for_function(f"document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
            for k in range(page.locator("[id^=output-]").count()):
                assert Axe().run(page, context=f"#output-{k}").response["violations"] == []
        assert asked.evaluate("e => e.scrollWidth <= e.clientWidth")
        assert_quiet(page)
