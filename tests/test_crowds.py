"""Detectors of several people: what they are trained on, how people are read from them, and what the stored ones do."""

import json

import pytest
import torch

from posebook import grouping
from posebook.evaluation import coco_keypoint_ap
from posebook.models import BottomUpNet
from posebook.training import crowds, read_tensors, train

PEOPLE = crowds.crowd(48, seed=7_000_000)  # no seed of a training picture


def boxes(people):
    return [box[(box[:, 2:] > 0).all(-1)] for box in people.box]


# ---------------------------------------------------------------------------------------------------------------------
# Data and loss


def test_scenes_are_labeled_by_nan_and_depend_on_the_step_alone():
    data = crowds.scenes(batch=6, seed=3)
    image, xy, weight = data(5)
    again, other = crowds.scenes(batch=6, seed=3)(5), data(6)
    assert torch.equal(image, again[0]) and not torch.equal(image, other[0])
    people = crowds.crowd(6, seed=4_000_005)
    assert torch.equal(image, people.image) and weight.tolist() == [1] * 6
    assert torch.equal(xy.isnan().all(-1), people.vis == 0) and (people.vis == 0).any() and (people.vis > 0).any()
    assert torch.equal(xy[people.vis > 0], people.xy[people.vis > 0])


def test_crops_show_each_person_with_the_labels_in_place():
    people, (image, xy, vis) = crowds.crowd(8, seed=1_000_002), crowds.crops(batch=8)(2)
    b, p = (people.area > 30).nonzero(as_tuple=True)
    assert image.shape == (len(b), 3, 64, 64) and xy.shape == (len(b), 17, 2) and len(b) > 12
    side = crowds.SCALE * people.box[b, p, 2:].amax(-1) / 64  # px of the picture to one of the crop
    apart, before = (torch.cdist(points, points) for points in (xy, people.xy[b, p]))
    torch.testing.assert_close(apart * side[:, None, None], before, rtol=1e-4, atol=1e-2)
    middle = people.box[b, p, :2] + people.box[b, p, 2:] / 2
    torch.testing.assert_close((xy[:, 0] - 31.5) * side[:, None], people.xy[b, p, 0] - middle, rtol=1e-4, atol=1e-2)
    inside = ((xy > -0.5) & (xy < 63.5)).all(-1)
    assert torch.equal(vis > 0, inside & (people.vis[b, p] > 0)) and set(vis.unique().tolist()) == {0, 1, 2}


def test_the_loss_of_an_image_does_not_depend_on_who_is_absent_or_beside_it():
    torch.manual_seed(0)
    net, (image, xy, _) = BottomUpNet().eval(), crowds.scenes(batch=3, seed=1)(0)
    alone = torch.cat([crowds.bottom_up(net, image[b : b + 1], xy[b : b + 1]) for b in range(3)])
    nobody = torch.full((3, 2, 17, 2), torch.nan)
    together = crowds.bottom_up(net, image, torch.cat((nobody, xy), 1))
    torch.testing.assert_close(together, alone)
    together.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_a_net_learns_one_picture_by_heart():
    torch.manual_seed(0)
    net, batch = BottomUpNet(), crowds.scenes(batch=2, seed=2)(0)
    losses = train(net, crowds.bottom_up, lambda step: batch, steps=60, lr=5e-3, progress=False)
    assert losses[-1] < 0.4 * losses[0]


# ---------------------------------------------------------------------------------------------------------------------
# Reading people off


def test_truth_and_results_are_coco_s():
    truth = crowds.coco_truth(PEOPLE)
    present = (PEOPLE.vis > 0).any(-1)
    assert len(truth["annotations"]) == present.sum() and len(truth["images"]) == 48
    exact = [grouping.People(xy[here], torch.ones(int(here.sum()), 17), torch.zeros(int(here.sum()), 17).long())
             for xy, here in zip(PEOPLE.xy, present, strict=True)]
    perfect = coco_keypoint_ap(json.loads(json.dumps(truth)), json.loads(json.dumps(crowds.coco_results(exact))))
    assert perfect.stats["AP"] == 1
    off = [people._replace(xy=people.xy + 30) for people in exact]
    assert coco_keypoint_ap(truth, crowds.coco_results(off)).stats["AP"] < 0.05


# ---------------------------------------------------------------------------------------------------------------------
# The stored networks


@pytest.fixture(scope="module")
def nets():
    return {name: crowds.stored(name) for name in crowds.STEPS}


def test_their_files_are_small_and_say_how_they_were_made():
    for name, steps in crowds.STEPS.items():
        path = crowds.FOLDER / f"{name}.safetensors"
        note = read_tensors(path)[1]["note"]
        assert path.stat().st_size < 2**20
        assert (note["command"], note["steps"], note["seed"]) == (crowds.COMMAND, steps, 0)


def test_they_find_people(nets):
    """AP at OKS 0.5, well below what 128 other pictures gave."""
    truth = crowds.coco_truth(PEOPLE)
    found = {by: crowds.find_bottom_up(nets["bottom-up"], PEOPLE.image, by=by) for by in ("tags", "limbs")}
    found["boxes"] = crowds.find_top_down(nets["top-down"], PEOPLE.image, boxes(PEOPLE))
    ap = {name: coco_keypoint_ap(truth, crowds.coco_results(people)).stats["AP50"] for name, people in found.items()}
    assert ap["tags"] > 0.45 and ap["limbs"] > 0.45 and ap["boxes"] > 0.65, ap
    joints = {name: torch.cat([people.xy for people in those]).isnan().any(-1).float().mean()
              for name, those in found.items()}
    assert joints["tags"] < joints["limbs"] and joints["boxes"] == 0  # tags fill in what has no peak of its own


def test_a_larger_picture_and_one_without_people(nets):
    large = crowds.draw_people(2, (192, 256), seed=5, persons=2, size=(0.3, 0.4)).image
    found = crowds.find_bottom_up(nets["bottom-up"], large)
    assert len(found) == 2 and all(people.xy.shape[1:] == (17, 2) for people in found)
    empty = crowds.find_bottom_up(nets["bottom-up"], torch.full((1, 3, 96, 96), 0.5))
    assert sum(int((people.scores.mean(-1) > 0.1).sum()) for people in empty) == 0
    nobody, = crowds.find_top_down(nets["top-down"], PEOPLE.image[:1], [torch.empty(0, 4)])
    assert nobody.xy.shape == (0, 17, 2)
    with pytest.raises(ValueError, match="by: want one of 'tags', 'limbs'"):
        crowds.find_bottom_up(nets["bottom-up"], large, by="boxes")
    with pytest.raises(ValueError, match="name: want one of 'bottom-up', 'top-down'"):
        crowds.stored("sideways")
