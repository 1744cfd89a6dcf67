"""The stored nets and tables of chapter 1: what they hold, that two rows can be had again, and what they show.

An ordering is asserted where it holds for every seed with a margin: what is not asserted here, no chapter may claim.
"""

import json
from statistics import mean

import pytest
import torch

from posebook.training import table
from posebook.training.methods import METHODS, STORED, predict, stored
from posebook.training.table import SEEDS, Epochs, Run, epochs, errors, experiments, people, results, summary


def medians(experiment: str, decoder: str | None = None, **options) -> list[float]:
    """Median errors in px, one a seed, of the runs with these options, by the method's own decoder or another."""
    chosen = [r for r in experiments()[experiment] if all(getattr(r, k) == v for k, v in options.items())]
    assert len(chosen) == (2 if experiment == "noise" else len(SEEDS))
    return [results()[r.name]["errors"][decoder or next(iter(METHODS[r.method].decoders))]["median"] for r in chosen]


def below(lower: list[float], higher: list[float], *, by: float) -> bool:
    """For every seed, and by a share of the higher mean."""
    return max(lower) < min(higher) and mean(lower) < (1 - by) * mean(higher)


# (experiment, decoder, options) of what is better, of what is worse, and by how much of the worse at least
FAIR = "representations"
ORDERINGS = {
    "cross-entropy before integral": ((FAIR, None, "cross-entropy"), (FAIR, None, "integral"), 0.1),
    "integral before SimCC": ((FAIR, None, "integral"), (FAIR, None, "SimCC"), 0.1),
    "SimCC before regression": ((FAIR, None, "SimCC"), (FAIR, None, "regression"), 0.15),
    "regression before heatmap + argmax": ((FAIR, None, "regression"), (FAIR, "argmax", "heatmap"), 0.15),
    "heatmap: DARK before argmax": ((FAIR, "DARK", "heatmap"), (FAIR, "argmax", "heatmap"), 0.1),
    "cross-entropy: DARK before soft-argmax": ((FAIR, "DARK", "cross-entropy"), (FAIR, None, "cross-entropy"), 0.05),
    "cross-entropy: soft before argmax": ((FAIR, None, "cross-entropy"), (FAIR, "argmax", "cross-entropy"), 0.25),
    "integral alone before the hybrid's maps": ((FAIR, None, "integral"), (FAIR, "soft-argmax", "hybrid"), 0.25),
    "integral alone before the hybrid's coordinates": ((FAIR, None, "integral"), (FAIR, None, "hybrid"), 0.25),
}


@pytest.mark.parametrize("name", ORDERINGS)
def test_orderings(name):
    (better, decoder, method), (worse, other, against), by = ORDERINGS[name]
    assert below(medians(better, decoder, method=method), medians(worse, other, method=against), by=by)


def test_heatmap_training_reaches_one_and_a_half_pixels():
    """Soft-argmax at stride 4; and of a map trained by mean squared error, that is no logits, it is far off."""
    assert max(medians(FAIR, "soft-argmax", method="cross-entropy")) < 1.45
    assert min(medians(FAIR, "soft-argmax", method="heatmap")) > 15


def test_data_and_budget():
    """An eighth of the images, or a quarter of the steps: cross-entropy is still before regression."""
    few, many = (medians("data", method="cross-entropy", images=n) for n in (256, 2048))
    regression = [medians("data", method="regression", images=n) for n in (256, 2048, 8192)]
    assert below(few, regression[1], by=0.1) and below(many, regression[2], by=0.3)
    assert below(many, few, by=0.25) and below(regression[1], regression[0], by=0.15)
    short, long = (medians("budget", method=m, steps=n) for m, n in (("cross-entropy", 125), ("regression", 500)))
    assert below(short, long, by=0.08)
    for method in Epochs.METHODS:
        steps = [medians("budget", method=method, steps=n) for n in (125, 250, 500)]
        assert below(steps[1], steps[0], by=0.15) and below(steps[2], steps[1], by=0.15)


def test_translation():
    """Trained on people in the middle, both fail aside; regression sooner. Trained on people anywhere, neither does."""
    centered, anywhere = ({m: shifts(m, centered=c) for m in Epochs.METHODS} for c in (True, False))
    assert below(centered["cross-entropy"][16], centered["regression"][16], by=0.4)
    assert below(centered["cross-entropy"][8], centered["regression"][8], by=0.4)
    for method in Epochs.METHODS:
        assert below(centered[method][0], centered[method][8], by=0.35)
        assert mean(anywhere[method][16]) < 1.1 * mean(anywhere[method][0])
        assert below(anywhere[method][16], centered[method][16], by=0.6)


def shifts(method: str, *, centered: bool) -> dict[int, list[float]]:
    """Shift in px to the medians, one a seed, of the method's own decoder."""
    rows = [results()[r.name] for r in experiments()["translation"] if (r.method, r.centered) == (method, centered)]
    own = next(iter(METHODS[method].decoders))
    return {s: [dict(row["shifts"])[s][own]["median"] for row in rows] for s in table.SHIFTS}


def test_stride():
    """A finer map is better by every decoder, and argmax, which snaps to cells, gains most."""
    for decoder, gain in (("argmax", 0.3), ("DARK", 0.15), ("soft-argmax", 0.08)):
        fine, middle, coarse = (medians("stride", decoder, stride=s) for s in (2, 4, 8))
        assert below(fine, middle, by=gain) and below(middle, coarse, by=gain)


def test_label_noise_and_sigma():
    """Labels off by 3 px an axis cost much less than 3 px, and the narrowest target is the best with and without."""
    quiet, noisy = ({s: medians("noise", noise=n, sigma=s) for s in (None, 1.0, 2.0)} for n in (0.0, 3.0))
    for errors_by_sigma in (quiet, noisy):
        assert below(errors_by_sigma[1.0], errors_by_sigma[2.0], by=0.2)
    assert below(quiet[None], quiet[1.0], by=0.1) and mean(noisy[None]) < mean(noisy[1.0])
    assert below(quiet[None], noisy[None], by=0.1) and max(noisy[None]) < 2.5


def test_width_and_loss():
    """At 2 cells both losses on maps are alike; narrower targets help cross-entropy only, and half a cell no other."""
    for decoder in ("argmax", "DARK"):
        ce = [medians("width", decoder, method="cross-entropy", sigma=s) for s in (None, 1.0, 2.0)]
        mse = [medians("width", decoder, method="heatmap", sigma=s) for s in (0.5, 1.0, None)]
        assert below(ce[0], ce[1], by=0.1) and below(ce[1], ce[2], by=0.15)
        assert below(mse[1], mse[0], by=0.5) and below(mse[2], mse[0], by=0.5) and below(ce[1], mse[1], by=0.15)
        assert mean(ce[2]) == pytest.approx(mean(mse[2]), rel=0.1)


def test_agreement():
    """The third term makes the hybrid worse, and without it the two heads are still worse than the map alone."""
    without, with_it = (medians("agreement", "soft-argmax", agreement=w) for w in (0.0, 1.0))
    assert below(without, with_it, by=0.1) and below(medians(FAIR, None, method="integral"), without, by=0.1)


def test_every_run_is_there_and_says_how_it_was_made():
    stored_runs, wanted = results(), {run.name: run for group in experiments().values() for run in group}
    assert set(stored_runs) == set(wanted)
    for name, row in stored_runs.items():
        run = wanted[name]
        assert all(row[field] == getattr(run, field) for field in ("method", "seed", "steps", "images", "stride"))
        assert set(row["made"]) == {"command", "posebook", "torch", "python"} and set(row["errors"]) == set(
            METHODS[run.method].decoders
        )


@pytest.mark.parametrize("run", experiments()["quick"], ids=lambda run: run.method)
def test_two_rows_made_again(run):
    """Sums in another order change the last digits, and training some more of them: a tenth, not the seventh digit."""
    row = results()[run.name]
    _, again = table.perform(run)
    for decoder, numbers in row["errors"].items():
        assert again["errors"][decoder]["median"] == pytest.approx(numbers["median"], rel=0.1)
    assert again["loss"] == pytest.approx(row["loss"], rel=0.05)


@pytest.mark.parametrize("method", STORED)
def test_stored_nets_have_the_errors_of_their_row(method):
    """At half precision, and read back: the errors of the run that made them."""
    net, row = stored(method), results()[Run(method).name]
    measured = errors(net, method, people(table.TEST_IMAGES, seed=table.TEST_SEED))
    for decoder, numbers in row["errors"].items():
        assert measured[decoder]["median"] == pytest.approx(numbers["median"], rel=0.01, abs=0.01)
        assert measured[decoder]["pck@0.05"] == pytest.approx(numbers["pck@0.05"], abs=0.005)


def test_the_folder_is_small():
    sizes = {path.name: path.stat().st_size for path in table.FOLDER.iterdir()}
    weights = [f"{method.lower()}.safetensors" for method in STORED]
    assert sum(sizes[name] for name in weights) < 2e6
    assert sizes["representations.json"] < 300_000
    assert json.loads((table.FOLDER / "representations.json").read_text()) == results()


def test_epochs_are_those_of_the_run():
    for method in Epochs.METHODS:
        kept = epochs(method)
        assert kept["steps"].tolist() == list(table.EPOCHS) and kept["found"].shape == (len(table.EPOCHS), 17, 2)
        image, xy, vis = (part[table.EPOCH_IMAGE] for part in people(table.TEST_IMAGES, seed=table.TEST_SEED))
        assert (kept["image"].int() - image.int()).abs().max() <= 1 and torch.equal(kept["vis"], vis)
        torch.testing.assert_close(kept["xy"], xy)
        last = predict(stored(method), method, image[None] / 255)[0]
        assert (kept["found"][-1] - last).abs().max() < 0.2
        error = (kept["found"] - xy).norm(dim=-1)[:, vis == 2].median(1).values
        assert error[-1] < 0.3 * error[0]
    assert torch.allclose(kept["prob"].float().sum((-2, -1)), torch.ones(len(table.EPOCHS), 17), atol=5e-3)
    assert len(kept["prob"]) == len(table.EPOCHS)


def test_people_of_more_are_those_of_fewer():
    few, many = people(40, seed=3), people(300, seed=3)
    torch.testing.assert_close(few[1], many[1][:40])
    assert torch.equal(few[2], many[2][:40]) and (few[0].int() - many[0][:40].int()).abs().max() <= 1


def test_centered_people_are_centered_and_shifted_ones_shifted():
    _, still, seen = people(64, seed=4, centered=True)
    middle = (still.amin(1) + still.amax(1)) / 2
    torch.testing.assert_close(middle, torch.full((64, 2), 31.5), atol=1e-3, rtol=0)
    image, moved, _ = people(64, seed=4, centered=True, shift=8.0)
    aside = torch.tensor([[8.0, 0.0], [-8.0, 0.0]]).repeat(32, 1)
    torch.testing.assert_close(moved - still, aside[:, None].expand_as(still), atol=1e-3, rtol=0)
    before = people(64, seed=4, centered=True)[0]
    inner = (image[::2, :, :, 8:].int() - before[::2, :, :, :-8].int()).abs().float()
    assert inner.mean() < 4 < (image[::2].int() - before[::2].int()).abs().float().mean()  # the scene moves along


def test_the_summary_is_students():
    rows = {r.name: {"errors": {"coordinates": {"median": value}}}
            for r, value in zip([Run("regression", seed=s) for s in SEEDS], (1.0, 2.0, 3.0), strict=True)}  # fmt: skip
    (row,) = summary("representations", table=rows)
    assert (row["run"], row["decoder"], row["n"], row["mean"]) == (Run("regression"), "coordinates", 3, 2.0)
    assert row["half"] == pytest.approx(4.303 / 3**0.5)


def test_the_table_goes_on_where_it_stopped(tmp_path, monkeypatch):
    """One run is enough to see: what is there is kept, what is missing is made, and each is written at once."""
    path, done = tmp_path / "table.json", []

    def perform(run, *, watch=None):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(run.name)
        return None, {"errors": {}, "made_up": True}

    monkeypatch.setattr(table, "perform", perform)
    with pytest.raises(KeyboardInterrupt):
        table.make(path, only=("quick",))
    first = results(path)
    assert list(first) == done and len(done) == 1
    monkeypatch.setattr(table, "perform", lambda run, *, watch=None: (None, {"errors": {}}))
    table.make(path, only=("quick",))
    assert len(results(path)) == 2 and results(path)[done[0]] == first[done[0]]
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]
    with pytest.raises(ValueError, match="experiment: want one of 'representations', .*, got 'none'"):
        table.make(path, only=("none",))
