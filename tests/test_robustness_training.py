"""What chapter 4 has stored: nets and tables, that a row can be had again, and what they show.

As for chapter 1: an ordering is asserted where it holds for every seed with a margin.
"""

import json
from statistics import mean

import pytest
import scipy.stats
import torch

from posebook import warp
from posebook.encode import gaussian_heatmap, simcc_targets
from posebook.expectation import soft_argmax
from posebook.metrics import epe
from posebook.models import VisibilityNet
from posebook.people import render, sample_scene
from posebook.training import methods, read_tensors, robustness, table, variants
from posebook.training.robustness import KINDS, LABELS, experiments, results, under
from posebook.training.table import people
from posebook.uncertainty import mc_dropout, sample_moments
from posebook.warp import Affine

# ---------------------------------------------------------------------------------------------------------------------
# Pictures and labels


def test_turned_people_are_turned():
    """A quarter turn shows the same pixels, painted in another order, and the keypoints go along."""
    still, upright, vis = variants.turned(40, seed=3, degrees=0.0)
    image, xy, seen = variants.turned(40, seed=3, degrees=90.0)
    torch.testing.assert_close(xy, warp.warp_points(upright, Affine.rotation(90, (64, 64))), atol=1e-3, rtol=0)
    assert (torch.rot90(still, 1, (-2, -1)).int() - image.int()).abs().float().mean() < 0.5
    assert (seen == vis).float().mean() > 0.98
    first, second = variants.turned(64, seed=3)[1].split(32)
    assert torch.equal(variants.turned(32, seed=3)[1], first)
    up = [(part[:, 0] - part[:, 11:13].mean(1)).mean(0) for part in (first, second)]  # nose over hips
    assert torch.nn.functional.cosine_similarity(*up, dim=0) < 0.99  # each 32 have an angle of their own


def test_nobody_is_the_same_picture_without_the_person():
    there, xy, _ = variants.anybody(30, seed=6)
    image, same, vis = variants.nobody(30, seed=6)
    mask = render(sample_scene(30, table.HW, seed=6, **variants.ANYHOW)).mask[:, 0] > 0
    differ = (image.int() - there.int()).abs().amax(1) > 1
    assert not differ[~mask].any() and differ[mask].float().mean() > 0.8
    assert torch.equal(same, xy) and (vis == 0).all()


def test_scrambled_is_the_same_surroundings_with_parts_elsewhere():
    there, xy, _ = variants.anybody(30, seed=6, **table.PEOPLE)
    image, _, vis = variants.scrambled(30, seed=6, **table.PEOPLE)
    empty = variants.nobody(30, seed=6, **table.PEOPLE)[0]
    painted, before = ((other.int() - empty.int()).abs().amax(1) > 4 for other in (image, there))
    share = painted.float().mean() / before.float().mean()  # as much of the picture is covered by parts
    assert 0.7 < share < 1.4 and (painted & ~before).any((-2, -1)).all() and (vis == 0).all()
    assert torch.equal(image, variants.scrambled(30, seed=6, **table.PEOPLE)[0])


@pytest.fixture(scope="module")
def few_people():
    """In place of 8192 training people the first 512, drawn once."""
    return people(512)


def labels(condition, few_people, monkeypatch):
    monkeypatch.setattr(robustness, "people", lambda count: few_people)
    monkeypatch.setattr(robustness, "finite", lambda images, **options: images)
    monkeypatch.setattr(robustness, "IMAGES", 512)
    return robustness.labels_data(condition)


def test_labels_are_missing_and_flagged_as_they_say(few_people, monkeypatch):
    found = {name: labels(name, few_people, monkeypatch) for name in LABELS}
    missing = {name: (part[1][..., :2] == 0).all(-1) for name, part in found.items()}
    weight = {name: part[1][..., 2] for name, part in found.items()}
    assert torch.equal(found["all"][1][..., :2], few_people[1]) and (weight["all"] == 1).all()
    for name, share in (("30 % at zero", 0.3), ("30 % masked", 0.3), ("half masked", 0.5), ("half flipped", 0.5)):
        assert missing[name].float().mean() == pytest.approx(share, abs=0.03)  # 6 standard errors
    assert (weight["30 % at zero"] == 1).all() and torch.equal(missing["30 % at zero"], missing["30 % masked"])
    for name in ("30 % masked", "half masked", "few masked"):
        assert torch.equal(weight[name] == 0, missing[name])
    wrong = weight["half flipped"] != (~missing["half flipped"])
    assert wrong.float().mean() == pytest.approx(0.3, abs=0.03)
    corrected = weight["half corrected"]
    assert corrected.unique().tolist() == pytest.approx([-0.75, 1.75])
    assert torch.equal(corrected > 0, weight["half flipped"] > 0)
    for there in (True, False):  # right on average, in both halves
        assert corrected[missing["half corrected"] != there].mean().item() == pytest.approx(float(there), abs=0.1)
    assert len(found["few corrected"][0]) == robustness.FEW
    assert torch.equal(found["few corrected"][1], found["half corrected"][1][: robustness.FEW])
    with pytest.raises(ValueError, match="condition: want one of 'all', .*, got 'none'"):
        robustness.labels_data("none")


def test_the_weighted_loss(few_people):
    net, (image, xy, _) = methods.stored("cross-entropy"), (part[:3] for part in few_people)
    weight = torch.tensor([1.0, 0.0, -0.75])[:, None, None].expand(3, 17, 1)
    found = robustness.weighted_cross_entropy(net, image / 255, torch.cat((xy, weight), -1))
    torch.testing.assert_close(found, weight[..., 0] * methods.cross_entropy(net, image / 255, xy))


def test_the_loss_of_presence_knows_no_place_for_what_is_not_there(few_people):
    torch.manual_seed(0)
    net, image, xy = VisibilityNet().eval(), few_people[0][:3] / 255, few_people[1][:3]
    vis = torch.tensor([0, 1, 2])[:, None].expand(3, 17)
    logits, seen = net(image)
    found = variants.presence(net, image, torch.cat((xy, vis[..., None].float()), -1))
    where = methods.cross_entropy(lambda_net(net, logits), image, xy)
    whether = -torch.where(vis == 2, seen.sigmoid().log(), (-seen).sigmoid().log())
    torch.testing.assert_close(found, whether + where * (vis > 0))
    far = torch.cat((torch.where(vis[..., None] == 0, 1e6, xy), vis[..., None].float()), -1)
    torch.testing.assert_close(variants.presence(net, image, far), found)


def lambda_net(net, logits):
    """A net that has answered already."""
    class Answered:
        grid = net.grid

        def __call__(self, image):
            return logits

    return Answered()


# ---------------------------------------------------------------------------------------------------------------------
# Measures


def test_areas_and_ranks_are_scipy_s():
    source = torch.Generator().manual_seed(1)
    first, second = (torch.rand(2, 60, generator=source) * 20).round().unbind(0)  # with ties
    assert robustness.spearman(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)
    area = scipy.stats.mannwhitneyu(first, second[:40]).statistic / (60 * 40)
    assert robustness.roc_area(first, second[:40]) == pytest.approx(area)


def test_claims_are_those_of_targets_and_scatter():
    """What a net that has learned its loss's optimum would answer, of labels that scatter by 3 px on each axis."""
    xy, nu = torch.tensor([[[30.3, 33.1], [34.0, 29.2]]]), 3.0
    grid = methods.make_net("heatmap").grid

    def wide(sigma: float) -> tuple[torch.Tensor, float]:
        both = (sigma**2 + (nu / 4) ** 2) ** 0.5  # cells
        return gaussian_heatmap(grid.to_cells(xy), (16, 16), sigma=both), both

    maps, both = wide(methods.SIGMA["heatmap"])
    net = methods.make_net("heatmap")
    claim = robustness.CLAIMS["heatmap"](net, (methods.SIGMA["heatmap"] / both) ** 2 * maps)
    torch.testing.assert_close(claim, torch.full((1, 2), nu), rtol=0.06, atol=0)
    maps, _ = wide(methods.SIGMA["cross-entropy"])
    torch.testing.assert_close(robustness.CLAIMS["cross-entropy"](net, maps.log()), torch.full((1, 2), nu), rtol=0.02,
                               atol=0)  # fmt: skip
    bins = simcc_targets(xy, (64, 64), ratio=2.0, sigma=(methods.SIMCC_SIGMA**2 + (2 * nu) ** 2) ** 0.5)
    claim = robustness.CLAIMS["SimCC"](methods.make_net("SimCC"), tuple(prob.log() for prob in bins))
    torch.testing.assert_close(claim, torch.full((1, 2), nu), rtol=0.02, atol=0)
    source = torch.Generator().manual_seed(2)
    two = xy + nu * torch.randn(2, 4000, 1, 2, 2, generator=source)  # of independent heads the mean has nu^2 / 2
    heads = (gaussian_heatmap(grid.to_cells(two[0, :, 0]), (16, 16), sigma=0.7).log(), two[1, :, 0])
    claim = robustness.CLAIMS["hybrid"](methods.make_net("hybrid"), heads)
    assert (claim.square().mean() / 2).sqrt().item() == pytest.approx(nu / 2**0.5, rel=0.05)


def test_keypoints_that_count():
    image, xy, vis = (part[: robustness.TRIED] for part in people(table.TEST_IMAGES, seed=table.TEST_SEED))
    same, still, counts = robustness.worsened("noise", 0)
    assert torch.equal(same, image) and torch.equal(still, xy) and torch.equal(counts, vis == 2)
    beside, beneath = (robustness.worsened(kind, 4)[2] for kind in ("covering", "covered"))
    assert torch.equal(beside | beneath, counts) and not (beside & beneath).any()
    assert 0.15 < beneath.sum() / counts.sum() < 0.6
    _, turned, kept = robustness.worsened("rotation", 5)
    assert not (kept & ~counts).any() and (turned[kept] > -0.5).all() and (turned[kept] < 63.5).all()
    assert kept.sum() > 0.9 * counts.sum()


# ---------------------------------------------------------------------------------------------------------------------
# The stored nets


def test_files_are_small_and_say_how_they_were_made():
    paths = [variants.path(name) for name in variants.VARIANTS]
    paths += [table.FOLDER / "ensemble.safetensors", table.FOLDER / "robustness.json"]
    assert sum(path.stat().st_size for path in paths) < 1.2e6
    for name, variant in variants.VARIANTS.items():
        note = read_tensors(variants.path(name))[1]["note"]
        assert (note["command"], note["steps"], note["seed"]) == (robustness.COMMAND, variant.steps, 0)
    assert json.loads((table.FOLDER / "robustness.json").read_text()) == results()
    with pytest.raises(ValueError, match="name: want one of 'dropout-middle', .*, got 'none'"):
        variants.stored("none")


def test_a_file_of_another_net_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(variants, "FOLDER", tmp_path)
    variants.save("dropout-head", VisibilityNet(), {})
    with pytest.raises(ValueError, match="dropout-head.safetensors: not the weights of dropout-head"):
        variants.stored("dropout-head")


@pytest.mark.parametrize("name", ["dropout-middle", "dropout-head"])
def test_what_was_to_stay_has_stayed(name):
    net, base = variants.stored(name), methods.stored("cross-entropy")
    fixed = variants.VARIANTS[name].fixed
    mine = dict(net.named_parameters())
    assert all(torch.equal(mine[key], t) == key.startswith(fixed) for key, t in base.named_parameters())


def test_turned_people_are_found_by_the_net_that_saw_some():
    """Medians in px over 64 people at each angle; at 0 degrees it pays a little."""
    base, net, error = methods.stored("cross-entropy"), variants.stored("turned"), {}
    for degrees in (0.0, 45.0, 90.0, 180.0):
        image, xy, vis = variants.turned(64, seed=77, degrees=degrees)
        error[degrees] = [epe(robustness.answers(one, image)[0], xy)[vis == 2].median().item() for one in (base, net)]
        assert error[degrees][1] < 2.8, error
    assert error[0.0][0] < 0.9 * error[0.0][1]
    assert error[45.0][0] > 2 * error[45.0][1] and error[90.0][0] > 4 * error[90.0][1] < error[180.0][0] / 2


def test_dropout_claims_less_than_it_errs_and_ranks_no_better_than_the_map():
    """20 samples for 96 people; in the middle it claims a small share of the error, before the head a larger one."""
    image, xy, vis = (part[:96] for part in people(table.TEST_IMAGES, seed=table.TEST_SEED))
    share, ranks, seen = {}, {}, vis == 2
    for name in ("dropout-middle", "dropout-head"):
        net = variants.stored(name)
        found, own = robustness.answers(net, image)
        error = epe(found, xy)[seen]
        assert error.median() < 1.7
        several = mc_dropout(net, image / 255, samples=20, seed=0)
        _, covariance = sample_moments(net.grid.to_image(soft_argmax(several)))
        claim = (covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[seen]).sqrt()
        share[name] = (1.177 * claim.median() / error.median()).item()
        ranks[name] = robustness.spearman(claim, error), robustness.spearman(own[seen], error)
    assert share["dropout-middle"] < 0.3 and 2 * share["dropout-middle"] < share["dropout-head"] < 1
    for by_dropout, by_map in ranks.values():
        assert 0.25 < by_dropout < by_map - 0.04 < 0.7


def test_the_first_of_the_ensemble_is_chapter_1_s():
    for name in robustness.WORLDS:
        image, xy, _ = robustness.world(name)
        found, variance = robustness.ensemble(name)
        assert found.shape == (3, *xy.shape) and variance.shape == found.shape[:-1] and (variance >= 0).all()
        again, own = robustness.answers(methods.stored("cross-entropy"), image)
        assert (found[0] - again).abs().quantile(0.99) < 0.1
        torch.testing.assert_close(variance[0].median(), own.median(), rtol=0.02, atol=0)
    with pytest.raises(ValueError, match="name: want one of 'as in training', .*, got 'none'"):
        robustness.ensemble("none")


# ---------------------------------------------------------------------------------------------------------------------
# Rows


@pytest.mark.parametrize("method, kind, strength", [("cross-entropy", "noise", 3), ("SimCC", "rotation", 4)])
def test_two_corruptions_measured_again(method, kind, strength):
    row = results()[f"corruptions: {method}, seed 0"]
    again = robustness.measured(methods.stored(method), method, robustness.worsened(kind, strength))
    assert again == pytest.approx(row[kind][strength - 1], rel=0.05, abs=0.02)


def test_presence_measured_again():
    row = results()["presence: nobody, scrambled, seed 0"]
    for name, areas in robustness.presence_areas(variants.stored("visibility")).items():
        assert areas == pytest.approx(row["areas"][name], abs=0.03)


def test_every_row_is_there():
    rows, wanted = results(), {task.name: task for group in experiments().values() for task in group}
    assert set(rows) == set(wanted)
    for name, row in rows.items():
        task = wanted[name]
        assert (row["experiment"], row["condition"], row["seed"]) == (task.experiment, task.condition, task.seed)
        assert row["made"]["command"] == robustness.COMMAND and row["steps"] > 0
        if task.experiment == "corruptions":
            assert all(len(row[kind]) == 5 for kind in KINDS)


def test_the_table_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path, done = tmp_path / "table.json", []

    def perform(task):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task.name)
        return {"made_up": True}

    monkeypatch.setitem(robustness.PERFORM, "sources", perform)
    with pytest.raises(KeyboardInterrupt):
        robustness.make(path, only=("sources",))
    assert list(results(path)) == sorted(done) and len(done) == 2
    monkeypatch.setitem(robustness.PERFORM, "sources", lambda task: {"made_up": False})
    robustness.make(path, only=("sources",))
    rows = results(path)
    assert len(rows) == 3 and all(rows[name]["made_up"] == (name in done) for name in rows)
    assert rows[done[0]]["made"]["command"] == robustness.COMMAND
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]
    with pytest.raises(ValueError, match="experiment: want one of 'nets', 'labels', .*, got 'none'"):
        robustness.make(path, only=("none",))


def test_summaries_are_over_seeds():
    rows = {task.name: {"experiment": "corruptions", "clean": [1.0 + task.seed, 0, None, 0],
                        "blur": [[k + task.seed, 0, None, 0] for k in range(5)]}
            for task in experiments()["corruptions"] if task.condition == "hybrid"}  # fmt: skip
    (found,) = under("blur", rows=rows).values()
    assert [one["mean"] for one in found] == [2, 1, 2, 3, 4, 5] and {one["n"] for one in found} == {3}
    assert found[0]["half"] == pytest.approx(4.303 / 3**0.5)
    assert under("blur", "claim", rows=rows) == {}
    with pytest.raises(ValueError, match="number: want one of 'median', 'p90', 'claim', 'rank', got 'mode'"):
        under("blur", "mode")


# ---------------------------------------------------------------------------------------------------------------------
# What they show: no chapter may claim what is not asserted here


def of(experiment: str, condition: str, *keys) -> list:
    """A number of each seed's row."""
    found = [row for row in results().values() if (row["experiment"], row["condition"]) == (experiment, condition)]
    for key in keys:
        found = [row[key] for row in found]
    return found


def at(method: str, kind: str, strength: int, number: str = "median") -> list[float]:
    column = robustness.NUMBERS.index(number)
    return [(row[kind][strength - 1] if strength else row["clean"])[column] for row in of("corruptions", method)]


def below(lower: list[float], higher: list[float], *, by: float) -> bool:
    """For every seed, and by a share of the higher mean."""
    return max(lower) < min(higher) and mean(lower) < (1 - by) * mean(higher)


@pytest.mark.parametrize("decoder", ["soft-argmax", "argmax"])
def test_incomplete_labels(decoder):
    def medians(condition):
        return of("labels", condition, "errors", decoder, "median")

    assert below(medians("30 % masked"), medians("30 % at zero"), by=0.8)
    assert below(medians("half corrected"), medians("half flipped"), by=0.7)
    assert max(medians("30 % masked")) < 1.08 * mean(medians("all"))
    assert max(medians("half masked")) < 1.12 * mean(medians("all"))
    assert below(medians("half masked"), medians("half corrected"), by=0.1)


def test_wrong_labels_hurt_argmax_more_than_the_mean():
    for condition in ("30 % at zero", "half flipped"):
        soft, hard = (of("labels", condition, "errors", name, "median") for name in ("soft-argmax", "argmax"))
        assert below(soft, hard, by=0.5) and min(soft) > 10


def test_the_correction_has_no_lower_bound_where_pictures_come_again():
    """In 250 steps 8192 pictures are seen once, 256 of them 31 times."""
    (loss,), (error,) = of("labels", "few corrected", "loss"), of("labels", "few corrected", "errors", "soft-argmax")
    assert loss < -1000 and error["median"] > 4 * of("labels", "few masked", "errors", "soft-argmax")[0]["median"]
    assert min(of("labels", "half corrected", "loss")) > 0


def test_presence():
    def areas(condition, test, score):
        return of("presence", condition, "areas", test, score)

    for condition in variants.NEGATIVES:
        assert min(areas(condition, "plain", "visibility")) > 0.99
        assert min(areas(condition, "clutter", "peak")) > 0.85
        assert max(areas(condition, "hidden", "visibility")) < 0.8 > max(areas(condition, "outside", "visibility"))
    assert max(areas("people", "small or scrambled", "visibility")) < 0.5
    assert max(areas("nobody", "small or scrambled", "visibility")) < 0.5
    assert min(areas("nobody, scrambled", "small or scrambled", "visibility")) > 0.8
    assert min(areas("nobody, scrambled", "scrambled", "visibility")) > 0.97
    assert max(areas("nobody", "scrambled", "visibility")) < 0.93
    base = robustness.presence_areas(methods.stored("cross-entropy"))
    assert base["plain"]["peak"] > 0.99 and base["clutter"]["peak"] < 0.82 and base["small or scrambled"]["peak"] < 0.55


def test_who_is_best_crosses():
    others = [method for method in methods.METHODS if method != "cross-entropy"]
    for kind, strengths in {"rotation": (0, 1, 2, 3, 4, 5), "covering": (1, 2, 3, 4, 5), "darkness": (1, 2, 3)}.items():
        for strength in strengths:
            for method in others:
                assert below(at("cross-entropy", kind, strength), at(method, kind, strength), by=0.03)
    for method in others:
        assert below(at(method, "jpeg", 5), at("cross-entropy", "jpeg", 5), by=0.08)
    for strength in (2, 3, 4, 5):
        assert below(at("hybrid", "covered", strength), at("cross-entropy", "covered", strength), by=0.15)


def test_who_says_so():
    """Error over claim in all rows of all kinds: the map of cross-entropy follows, two heads' distance does not."""
    ratio = {method: [error / claim for kind in KINDS for strength in range(1, 6)
                      for error, claim in zip(at(method, kind, strength), at(method, kind, strength, "claim"),
                                              strict=True)]
             for method in robustness.CLAIMS}  # fmt: skip
    assert 0.45 < min(ratio["cross-entropy"]) and max(ratio["cross-entropy"]) < 1.25
    assert max(ratio["SimCC"]) > 1.8 and max(ratio["heatmap"]) > 1.8 and min(ratio["hybrid"]) > 2
    assert min(at("hybrid", "rotation", 0)) > 7 * max(at("hybrid", "rotation", 0, "claim"))
    for method in ("heatmap", "integral", "hybrid"):
        assert below(at(method, "noise", 0, "rank"), at("cross-entropy", "noise", 0, "rank"), by=0.3)
    assert max(at("cross-entropy", "noise", 5, "rank")) < 0.3 < 0.5 < min(at("cross-entropy", "noise", 2, "rank"))


def test_sources_of_uncertainty():
    """Data taken away makes the nets differ; noise on the pictures makes each of them say that it is unsure."""
    found = {name: {part: row["median"] for part, row in of("sources", name)[0].items() if isinstance(row, dict)
                    and "median" in row} for name in robustness.SOURCES}  # fmt: skip
    clean, few, noisy = (found[name] for name in robustness.SOURCES)
    assert few["epistemic"] > 2 * clean["epistemic"] and noisy["aleatoric"] > 2 * clean["aleatoric"]
    for row in found.values():
        assert row["epistemic"] < row["squared error"] < row["aleatoric"]
