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
    assert len(chosen) == len(SEEDS)
    return [results()[r.name]["errors"][decoder or next(iter(METHODS[r.method].decoders))]["median"] for r in chosen]


def below(lower: list[float], higher: list[float], *, by: float) -> bool:
    """For every seed, and by a share of the higher mean."""
    return max(lower) < min(higher) and mean(lower) < (1 - by) * mean(higher)


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
        assert torch.equal(kept["image"], image) and torch.equal(kept["xy"], xy) and torch.equal(kept["vis"], vis)
        last = predict(stored(method), method, image[None] / 255)[0]
        assert (kept["found"][-1] - last).abs().max() < 0.2
        error = (kept["found"] - xy).norm(dim=-1)[:, vis == 2].median(1).values
        assert error[-1] < 0.3 * error[0]
    assert torch.allclose(kept["prob"].float().sum((-2, -1)), torch.ones(len(table.EPOCHS), 17), atol=5e-3)
    assert len(kept["prob"]) == len(table.EPOCHS)


def test_people_of_more_are_those_of_fewer():
    few, many = people(40, seed=3), people(300, seed=3)
    assert all(torch.equal(part, whole[:40]) for part, whole in zip(few, many, strict=True))


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
