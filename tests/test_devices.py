"""Every function on a CUDA device: what it has to wait for there. Without a card a pretended one counts that."""

import copy
import inspect
import re
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from card import Card, OnCard, plain, put
from samples import maps
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from posebook import (
    corruptions,
    decode,
    encode,
    equivariance,
    evaluation,
    expectation,
    fairness,
    filters,
    fusion,
    geometry,
    grouping,
    losses,
    metrics,
    models,
    theory,
    uncertainty,
    warp,
)
from posebook.geometry import Camera
from posebook.grid import Grid
from posebook.people import render, sample_scene
from posebook.skeleton import COCO_17
from posebook.training.methods import METHODS, make_net

DRAW = torch.Generator().manual_seed(0)


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=DRAW, dtype=torch.float64)


def covariances(*shape: int, n: int = 2) -> Tensor:
    root = rand(*shape, n, n)
    return root @ root.mT + torch.eye(n, dtype=torch.float64)


def nodding(image: Tensor) -> Tensor:
    """A detector: one keypoint that depends on the image."""
    return image.mean((-3, -2, -1))[..., None, None].expand(*image.shape[:-3], 1, 2)


def slope(logits: Tensor, tau: float = 1.0, function=expectation.soft_argmax) -> Tensor:
    leaf = logits.detach().requires_grad_()
    return torch.autograd.grad(function(leaf, tau).square().sum(), leaf)[0]


GRID, TURN = Grid(4.0, (1.5, 0.5)), warp.Affine.rotation(30, (9, 11))
MAPS, LOGITS, MASK = maps(2, 17), maps(2, 17).log(), rand(2, 17) > 0.2
POINTS, FOUND, VARIANCE = 8 * rand(2, 17, 2), 8 * rand(2, 17, 2), covariances(2, 17)
PEAKS = grouping.local_peaks(maps(17), threshold=0.5, top_k=3)
TAGS = rand(17, 3, 1)
GROUPED = grouping.group_by_tags(PEAKS, TAGS, threshold=0.3)
SCENE = sample_scene(3, (32, 24), persons=2, seed=1)
CAMERAS = tuple(Camera.look_at((x, 0, -3), (0, 0, 0), focal=400, hw=(480, 640)) for x in (-1, 0, 1))
WORLD = rand(5, 3) - 0.5
SEEN = torch.stack([camera.project(WORLD) for camera in CAMERAS], -2)  # (5, V, 2)
FLAT = torch.tensor([[-0.3, -0.2, 0], [0.3, -0.2, 0], [0.3, 0.2, 0], [-0.3, 0.2, 0], [0.1, 0.1, 0]]).double()
POSE = geometry.planar_pose(FLAT[:, :2], CAMERAS[0].project(FLAT), CAMERAS[0])
HOMOGRAPHY = geometry.homography(FLAT[:, :2], CAMERAS[0].project(FLAT))
PERSON = torch.arange(40) // 2
SCORES, GROUP, SIZE = rand(40), PERSON % 2 == 0, 1 + rand(20)[PERSON]
IMAGE, PICTURE = rand(2, 3, 9, 11), rand(2, 3, 64, 64).float()
NETS = [models.HeatmapNet, models.DropoutNet, models.VisibilityNet, models.RegressionNet, models.HybridNet,
        models.SimCCNet, models.BottomUpNet]
CLAIMS = uncertainty.point_reliability(FOUND - POINTS, VARIANCE)

CALLS = {  # name: function, arguments, options
    "argmax": (decode.argmax, MAPS),
    "refine_quarter": (decode.refine_quarter, MAPS),
    "refine_dark": (decode.refine_dark, MAPS, {"blur": 1.0}),
    "refine_udp": (decode.refine_udp, MAPS),
    "soft_argmax_window": (decode.soft_argmax_window, LOGITS, {"radius": 2}),
    "decode_anchors": (decode.decode_anchors, rand(2, 17, 5), rand(5, 2), rand(2, 17, 5, 2)),
    "decode_anchors soft": (decode.decode_anchors, rand(2, 17, 5), rand(5, 2), rand(2, 17, 5, 2), {"mode": "soft"}),
    "decode_simcc": (decode.decode_simcc, rand(2, 17, 9), rand(2, 17, 7), {"ratio": 2.0}),
    "decode_simcc soft": (decode.decode_simcc, rand(2, 17, 9), rand(2, 17, 7), {"ratio": 2.0, "mode": "soft"}),
    "spatial_softmax": (expectation.spatial_softmax, LOGITS, 0.5),
    "mean_cell": (expectation.mean_cell, MAPS),
    "soft_argmax": (expectation.soft_argmax, LOGITS, 0.5),
    "soft_argmax_compensated": (expectation.soft_argmax_compensated, MAPS, {"beta": 8.0}),
    "spread": (expectation.spread, LOGITS),
    "Grid.to_image": (GRID.to_image, POINTS),
    "Grid.to_cells": (GRID.to_cells, POINTS),
    "gaussian_heatmap": (encode.gaussian_heatmap, POINTS, (9, 11), {"sigma": 2.0}),
    "simcc_targets": (encode.simcc_targets, POINTS, (9, 11), {"ratio": 2.0, "sigma": 2.0}),
    "people_heatmap": (encode.people_heatmap, POINTS, MASK, (9, 11), {"sigma": 2.0}),
    "part_affinity_fields": (
        encode.part_affinity_fields, POINTS, MASK, (9, 11), {"limbs": COCO_17.limbs, "width": 1.0}),
    "fuse_inverse_variance": (fusion.fuse_inverse_variance, rand(3, 2), 1 + rand(3)),
    "fuse_inverse_covariance": (fusion.fuse_inverse_covariance, rand(3, 5, 2), covariances(3, 5)),
    "fuse_correlated": (fusion.fuse_correlated, rand(3, 5, 2), covariances(5, n=3)),
    "fuse_correlated_axes": (
        fusion.fuse_correlated_axes, rand(3, 5, 2), covariances(5, n=6).unflatten(-1, (3, 2)).unflatten(1, (3, 2))),
    "fuse_covariance_intersection": (fusion.fuse_covariance_intersection, rand(2, 5, 2), covariances(2, 5)),
    "warp_points": (warp.warp_points, POINTS, TURN, {"skeleton": COCO_17}),
    "warp_points, mirrored": (warp.warp_points, POINTS, warp.Affine.flip(11), {"skeleton": COCO_17}),
    "warp_image": (warp.warp_image, IMAGE, TURN, (9, 11)),
    "warp_heatmap": (warp.warp_heatmap, MAPS, TURN, GRID, (9, 11)),
    "flip_image": (warp.flip_image, IMAGE),
    "flip_points": (warp.flip_points, POINTS, 11, {"skeleton": COCO_17}),
    "flip_heatmap": (warp.flip_heatmap, MAPS, 44, GRID, {"skeleton": COCO_17}),
    "crop_image": (warp.crop_image, IMAGE, [Grid(0.5, 2.2), Grid(0.7, 1.1)], (5, 4)),
    "epe": (metrics.epe, FOUND, POINTS),
    "pck": (metrics.pck, FOUND, POINTS, MASK, {"threshold": 2.0}),
    "pck, a threshold each": (metrics.pck, FOUND, POINTS, MASK, {"threshold": 1 + rand(2, 1)}),
    "masked_mean": (losses.masked_mean, rand(2, 17), MASK),
    "coordinate_loss": (losses.coordinate_loss, FOUND, POINTS),
    "integral_loss": (losses.integral_loss, LOGITS, POINTS, {"grid": GRID}),
    "agreement_loss": (losses.agreement_loss, FOUND, POINTS),
    "heatmap_loss": (losses.heatmap_loss, MAPS, LOGITS),
    "masked_heatmap_loss": (losses.masked_heatmap_loss, MAPS, LOGITS, rand(2, 17, 9, 11) > 0.3),
    "unbiased_mask": (losses.unbiased_mask, MASK, {"flip": 0.1}),
    "cross_entropy_loss": (losses.cross_entropy_loss, LOGITS, expectation.spatial_softmax(LOGITS)),
    "simcc_loss": (losses.simcc_loss, (rand(2, 17, 9), rand(2, 17, 7)), (rand(2, 17, 9), rand(2, 17, 7))),
    "gaussian_nll_loss": (losses.gaussian_nll_loss, FOUND, POINTS, rand(2, 17, 2)),
    "laplace_nll_loss": (losses.laplace_nll_loss, FOUND, POINTS, rand(2, 17, 2)),
    "attenuated_loss": (losses.attenuated_loss, rand(2, 17), rand(2, 17)),
    "associative_embedding_loss": (losses.associative_embedding_loss, rand(3, 17, 1), rand(3, 17) > 0.2),
    "local_peaks": (grouping.local_peaks, MAPS, {"threshold": 0.5, "top_k": 3}),
    "tags_at": (grouping.tags_at, rand(17, 1, 9, 11), PEAKS.xy),
    "group_by_tags": (grouping.group_by_tags, PEAKS, TAGS, {"threshold": 0.3}),
    "fill_joints": (grouping.fill_joints, GROUPED, maps(17), rand(17, 1, 9, 11), {"threshold": 0.3}),
    "refine_people": (grouping.refine_people, GROUPED, maps(17)),
    "paf_scores": (grouping.paf_scores, rand(17, 2, 9, 11), 8 * rand(17, 3, 2), 8 * rand(17, 3, 2)),
    "group_by_paf": (grouping.group_by_paf, PEAKS, rand(19, 2, 9, 11), COCO_17.limbs, {"threshold": 0.1}),
    "equivariance_error": (equivariance.equivariance_error, nodding, IMAGE, TURN),
    "equivariance_causes": (equivariance.equivariance_causes, nodding, IMAGE, 1 - IMAGE, TURN),
    "c4_average": (equivariance.c4_average(nodding), IMAGE),
    "c4_select": (
        equivariance.c4_select(lambda image: (nodding(image), image[..., 0].mean((-2, -1))[..., None])), IMAGE),
    "flip_average": (equivariance.flip_average(nodding), IMAGE),
    "sample_moments": (uncertainty.sample_moments, rand(5, 2, 17, 2)),
    "ensemble_uncertainty": (uncertainty.ensemble_uncertainty, rand(5, 2, 17, 2), covariances(5, 2, 17)),
    "excess_variance": (uncertainty.excess_variance, LOGITS, 1.0),
    "squared_mahalanobis": (uncertainty.squared_mahalanobis, FOUND - POINTS, VARIANCE),
    "scale_variances": (uncertainty.scale_variances, FOUND - POINTS, VARIANCE),
    "point_reliability": (uncertainty.point_reliability, FOUND - POINTS, VARIANCE),
    "score_reliability": (uncertainty.score_reliability, rand(40), rand(40) > 0.5),
    "expected_calibration_error": (uncertainty.expected_calibration_error, CLAIMS),
    "conformal_radius": (uncertainty.conformal_radius, rand(40), 0.1),
    "mc_dropout": (uncertainty.mc_dropout, models.DropoutNet(p=0.0), PICTURE, {"samples": 2}),
    "residual_nll_loss": (lambda flow, *args: losses.residual_nll_loss(*args, flow.log_prob),
                          uncertainty.ResidualFlow().double(), FOUND, POINTS, rand(2, 17, 2)),
    "oks": (evaluation.oks, FOUND, POINTS, MASK, 50 + rand(2), torch.tensor(COCO_17.oks_sigmas).double()),
    "oks_nms": (evaluation.oks_nms, FOUND, rand(2), 50 + rand(2), torch.tensor(COCO_17.oks_sigmas).double()),
    "gap": (fairness.gap, SCORES, GROUP),
    "bootstrap_gap": (fairness.bootstrap_gap, SCORES, GROUP, PERSON, {"draws": 9}),
    "standardized_gap": (fairness.standardized_gap, SCORES, GROUP, SIZE, PERSON, {"draws": 9, "strata": 2}),
    "paired_gap": (fairness.paired_gap, SCORES, rand(40), PERSON, {"draws": 9}),
    "permutation_test": (fairness.permutation_test, SCORES, GROUP, PERSON, {"draws": 9}),
    "simulate_similarities": (fairness.simulate_similarities, 50 + rand(4), 1.0),
    "report": (fairness.report, SCORES, GROUP, SIZE, PERSON, {"draws": 9, "strata": 2}),
    "one_euro": (filters.one_euro, rand(2, 9), 30.0, {"min_cutoff": 1.0, "beta": 0.1}),
    "Camera.project": (Camera.project, CAMERAS[0], WORLD),
    "triangulate": (geometry.triangulate, SEEN, CAMERAS),
    "triangulation_covariance": (geometry.triangulation_covariance, WORLD, CAMERAS, covariances(5, 3)),
    "reprojection_gate": (geometry.reprojection_gate, SEEN, CAMERAS, covariances(5, 3)),
    "apply_homography": (geometry.apply_homography, HOMOGRAPHY, FLAT[:, :2]),
    "homography": (geometry.homography, FLAT[:, :2], CAMERAS[0].project(FLAT)),
    "homography_covariance": (
        geometry.homography_covariance, HOMOGRAPHY, FLAT[:, :2], FLAT[:, :2], {"sigma": 1.0}),
    "planar_pose": (geometry.planar_pose, FLAT[:, :2], CAMERAS[0].project(FLAT), CAMERAS[0]),
    "pose_covariance": (geometry.pose_covariance, POSE, FLAT[:, :2], FLAT, CAMERAS[0], {"sigma": 1.0}),
    "render": (render, SCENE, (32, 24)),
    "corrupt": (corruptions.corrupt, IMAGE, "noise", 3),
    "marker_error": (theory.marker_error, rand(4), {"sigma": 1.0}),
    "alias_error": (theory.alias_error, rand(4), 0.5),
    "border_bias": (theory.border_bias, rand(4), 1.0),
    "dark_asymmetry_bias": (theory.dark_asymmetry_bias, rand(4), 0.3, 2.0, 4.0),
    "dithered_bias": (theory.dithered_bias, rand(4), 4.0, 1.0),
    "gaussian_entropy": (theory.gaussian_entropy, VARIANCE),
    "smooth_spread": (theory.smooth_spread, rand(4), 1.0),
    "dropout_covariance": (theory.dropout_covariance, rand(3, 4), rand(4), 0.3),
    "dropout_kurtosis": (theory.dropout_kurtosis, rand(3, 4), rand(4), 0.3),
    "dropout_moments": (theory.dropout_moments, rand(3, 4), rand(4), 0.3),
    "expected_oks": (theory.expected_oks, 1 + rand(2, 17), VARIANCE, {"bias": FOUND}),
    "flip_moments": (theory.flip_moments, rand(9, 11), rand(9, 11) > 0.5, 0.1),
    "mask_noise_std": (theory.mask_noise_std, rand(9, 11), 0.1),
    "masked_mean_noise_std": (theory.masked_mean_noise_std, rand(9, 11), (rand(9, 11) > 0.5).double(), 0.1),
    "similarity_cdf": (theory.similarity_cdf, rand(4), 1.0, 1.0),
    "soft_argmax, its gradient": (slope, LOGITS),
    "soft_argmax by Triton": (expectation.soft_argmax, LOGITS.float(), 0.5),
    "soft_argmax by Triton, its gradient": (slope, LOGITS.float()),
    **{f"{method}, its loss": (METHODS[method].loss, make_net(method), PICTURE, 60 * rand(2, 17, 2).float())
       for method in METHODS},
    **{net.__name__: (nn.Module.__call__, net().eval(), PICTURE) for net in NETS},
}

ASSIGNED = "the assignment of peaks to people is scipy's, on the processor"
PERSONS = "statistics: which scores are whose is looked up, and chance is drawn on the processor"
WAITS = {  # how often, and why: all others never
    "local_peaks": (3, "which cells are peaks, and how high they are: the processor puts them in order"),
    "group_by_tags": (2, ASSIGNED),
    "group_by_paf": (2, ASSIGNED),
    "fill_joints": (2, "which joints are missing, and which of them are found"),
    "refine_people": (1, "which joints there are"),
    "point_reliability": (1, "errors that are NaN do not count"),
    "oks_nms": (2, "what goes depends on what is kept, one after another: on the processor"),
    "homography": (1, "a singular value decomposition waits until it has converged"),
    "planar_pose": (2, "two singular value decompositions"),
    "gap": (4, PERSONS),
    "bootstrap_gap": (17, PERSONS),
    "standardized_gap": (34, PERSONS),
    "paired_gap": (8, PERSONS),
    "permutation_test": (11, PERSONS),
    "report": (64, PERSONS),
    "render": (3, "which tiles of a picture a person reaches"),
}


def moved(value, to):
    """The arguments of a call with all their tensors moved, those of cameras, scenes and networks too."""
    def one(leaf):
        if isinstance(leaf, Tensor):
            return to(leaf)
        if isinstance(leaf, nn.Module):
            net = copy.deepcopy(leaf)
            for module in net.modules():
                for held in (module._parameters, module._buffers):
                    held.update({name: to(x.detach()) for name, x in held.items() if x is not None})
            return net
        if is_dataclass(leaf) and not isinstance(leaf, type):
            held = {f.name: getattr(leaf, f.name) for f in fields(leaf)}
            return replace(leaf, **{name: to(x) for name, x in held.items() if isinstance(x, Tensor)})
        return leaf

    return tree_map(one, value)


def call(name: str, to=lambda tensor: tensor):
    """A call with its arguments moved, made later."""
    function, *args = moved(CALLS[name], to)
    options = args.pop() if isinstance(args[-1], dict) else {}
    return lambda: function(*args, **options)


def tensors(result) -> list[Tensor]:
    if is_dataclass(result):
        result = vars(result)
    return [x for x in tree_leaves(result) if isinstance(x, Tensor)]


def test_every_function_is_called():
    modules = (corruptions, decode, encode, equivariance, evaluation, expectation, fairness, filters, fusion, geometry,
               grouping, losses, metrics, theory, uncertainty, warp)
    public = {name for module in modules for name, value in vars(module).items()
              if inspect.isfunction(value) and not name.startswith("_")
              and value.__module__.startswith(module.__name__) and "Tensor" in str(inspect.signature(value).parameters)}
    assert len(public) > 80
    assert public - {re.split("[ ,]", name)[0] for name in CALLS} == set()
    assert set(WAITS) <= set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_on_a_pretended_card(name):
    with Card():
        later = call(name, put)
    with Card() as card:
        results = tensors(later())
    expected = tensors(call(name)())
    assert results and all(isinstance(one, OnCard) for one in results)
    torch.testing.assert_close(plain(results), expected, equal_nan=True)
    assert len(card.waits) == WAITS.get(name, (0, ""))[0], card.waits


@pytest.mark.gpu
@pytest.mark.parametrize("name", CALLS)
def test_on_a_card(name, monkeypatch):
    """The same numbers, and what the table does not list waits for nothing."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    later = call(name, Tensor.cuda)
    later()  # what is made once for each process may wait
    try:
        torch.cuda.set_sync_debug_mode("default" if name in WAITS else "error")
        results = tensors(later())
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = tensors(call(name)())
    assert results and all(one.is_cuda for one in results)
    atol = 1e-3 if any(one.dtype == torch.float32 for one in expected) else 1e-8
    torch.testing.assert_close([one.cpu() for one in results], expected, rtol=0, atol=atol, equal_nan=True)


@pytest.mark.gpu
@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_soft_argmax_compiled_for_a_card(tau):
    """In float32 beside float64 on the processor: values, and the gradient."""
    torch._dynamo.reset()  # it compiles a function for so many shapes and no more
    logits = maps(8, 17, hw=(96, 72)).log()
    expected = expectation.soft_argmax(logits, tau), slope(logits, tau)
    for function in (expectation.soft_argmax, torch.compile(expectation.soft_argmax, fullgraph=True)):
        there = logits.float().cuda()
        found = function(there, tau), slope(there, tau, function)
        torch.testing.assert_close([one.double().cpu() for one in found], [*expected], rtol=1e-3, atol=1e-3)


def scores(*shape: int) -> Tensor:
    """With cells that do not exist, of a long row all at its beginning."""
    logits = 4 * rand(*shape, 2, 3).movedim((-2, -1), (0, 1)) * rand(2, 3, 1, 1)
    return logits.masked_fill(torch.arange(shape[-1]) < 3 * (shape[-1] // 5), -torch.inf)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("hw", [(1, 1), (3, 5), (64, 48), (96, 72), (192, 144), (1, 60_000)])
def test_soft_argmax_by_triton(hw, dtype):
    """Values, gradient and second derivatives, beside float64 on the processor; in any layout."""
    assert expectation._triton(torch.device("cuda", 0), dtype)
    for tau in (1.0, 0.3, 7.0):
        here = scores(*hw).to(dtype)
        there, here = here.cuda().requires_grad_(), here.double().requires_grad_()
        weight = rand(2, 3, 2)
        found = expectation.soft_argmax(there, tau)
        assert found.dtype == dtype and "OnCard" in str(found.grad_fn.next_functions) + str(found.grad_fn)
        expected, of = expectation.soft_argmax(here, tau), weight.to(dtype)
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(found.double().cpu(), expected, rtol=eps, atol=1e-6 * max(hw))
        first = [torch.autograd.grad(y, x, w, create_graph=True)[0]
                 for y, x, w in ((found, there, of.cuda()), (expected, here, of.double()))]
        once = torch.autograd.grad(expectation.soft_argmax(there, tau), there, of.cuda())[0]
        most = first[1].abs().max().item()
        for slope in (first[0], once):
            torch.testing.assert_close(slope.double().cpu(), first[1], rtol=8 * eps, atol=(1e-5 + eps / 8) * most)
        if dtype == torch.float32:
            second = [torch.autograd.grad(slope.square().sum(), x)[0] for slope, x in zip(first, (there, here),
                                                                                        strict=True)]
            torch.testing.assert_close(second[0].double().cpu(), second[1], rtol=1e-3,
                                       atol=1e-4 * second[1].abs().max().item() + 1e-30)
        for layout in (there.mT.contiguous().mT, there.transpose(0, 1).contiguous().transpose(0, 1)):
            assert torch.equal(expectation.soft_argmax(layout, tau), found)


@pytest.mark.gpu
def test_soft_argmax_by_triton_of_what_is_no_distribution():
    maps = torch.zeros(4, 9, 11)
    maps[0], maps[1, 2, 3], maps[2, 2, 3] = -torch.inf, torch.inf, torch.nan
    there = expectation.soft_argmax(maps.cuda()).cpu()
    torch.testing.assert_close(there, expectation.soft_argmax(maps), equal_nan=True)
    assert there.isnan().any(-1).tolist() == [True, True, True, False]
    cold, far = 50 * torch.randn(99, 64, 48, generator=torch.Generator().manual_seed(0)), MAPS.float() + 1e4
    assert torch.equal(expectation.soft_argmax(cold.cuda(), 1e-8).cpu(), decode.argmax(cold))
    torch.testing.assert_close(expectation.soft_argmax(far.cuda(), np.float32(0.3)).cpu(),
                               expectation.soft_argmax(far.double(), 0.3).float(), rtol=0, atol=1e-4)
    assert expectation.soft_argmax(maps[:0].cuda()).shape == (0, 2)
    assert expectation.soft_argmax(maps.cuda().double()).dtype == torch.float64
    each = torch.func.vmap(expectation.soft_argmax)(LOGITS.float().cuda())
    tangent = torch.func.jvp(expectation.soft_argmax, (LOGITS.float().cuda(),), (MAPS.float().cuda(),))[1]
    torch.testing.assert_close(each.cpu(), expectation.soft_argmax(LOGITS).float())
    exact = torch.func.jvp(expectation.soft_argmax, (LOGITS,), (MAPS,))[1].float()
    torch.testing.assert_close(tangent.cpu(), exact, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "wrong, waits",
    [
        (lambda x: x.sum().item(), ["_local_scalar_dense"]),
        (lambda x: x[x > 0], ["index by a mask"]),
        (lambda x: bool((x > 0).all()), ["_local_scalar_dense"]),
        (lambda x: x.tolist(), ["tolist"]),
        (lambda x: x.cpu() + 1, ["cpu"]),
        (lambda x: x + x.new_tensor([1.0, 2.0]), ["new_tensor"]),
        (lambda x: x + torch.tensor([1.0, 2.0], device=x.device), ["tensor, onto the card"]),
        (lambda x: x + torch.ones(2).to(x.device), ["to, onto the card"]),
        (lambda x: x[..., [1, 0]], ["index by Python's numbers"]),
        (lambda x: torch.linalg.inv(x), ["_linalg_check_errors"]),
        (lambda x: x + torch.ones(2).to(x.device, non_blocking=True) + torch.arange(2, device=x.device), []),
    ],
)
def test_a_pretended_card_counts(wrong, waits):
    with Card() as card:
        wrong(put(torch.eye(2)))
    assert card.waits == waits


@pytest.mark.parametrize(
    "wrong", [lambda x: x + torch.ones(2), lambda x: x.numpy(), lambda x: torch.stack((x, x.cpu()))]
)
def test_a_pretended_card_refuses(wrong):
    with Card(), pytest.raises((RuntimeError, TypeError), match="two devices|numpy"):
        wrong(put(torch.eye(2)))


def narrow(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


@pytest.fixture
def rounding():
    """Products of float32 matrices that are rounded where the processor, or card, knows how: 8 or 11 bits are left."""
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


class Products(TorchDispatchMode):
    """What rule products of float32 matrices follow, of whatever size: small ones no processor rounds."""

    def __init__(self):
        super().__init__()
        self.rules = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        product = re.match(r"aten\.(mm|bmm|mv|addmm|addmv|addbmm|baddbmm)\b", str(function))
        if product and args[-1].dtype == torch.float32:
            self.rules.add(torch.backends.mkldnn.matmul.fp32_precision)
        return function(*args, **(kwargs or {}))


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="from torch 2.9 on")
@pytest.mark.parametrize("name", CALLS)
def test_no_product_is_rounded_but_those_of_networks(name, rounding):
    later = call(name, narrow)
    with Products() as products:
        later()
    assert products.rules <= {"ieee"} or re.search("Net|its loss|residual_nll", name)
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "matmul"), reason="from torch 2.9 on")
def test_soft_argmax_rounds_no_product_where_it_goes_over_blocks(rounding, monkeypatch):
    """Which it does not within a dispatch mode, such as the one above."""
    rules, bmm = [], torch.bmm

    def watched(*args, **options):
        rules.append((torch.backends.mkldnn.matmul.fp32_precision, torch.is_autocast_enabled("cpu")))
        return bmm(*args, **options)

    monkeypatch.setattr(torch, "bmm", watched)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expectation.soft_argmax(MAPS.float())
    assert rules == [("ieee", False)]


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in CALLS if re.match("refine_|fuse|Camera|project|soft_argmax", name)])
def test_no_product_is_rounded_on_a_card(name, rounding):
    found = tensors(call(name, lambda tensor: narrow(tensor).cuda())())
    torch.set_float32_matmul_precision("highest")
    want = tensors(call(name, lambda tensor: narrow(tensor).cuda())())
    torch.testing.assert_close(found, want, rtol=0, atol=0, equal_nan=True)


@pytest.mark.gpu
def test_soft_argmax_of_large_maps_on_a_card_takes_the_plain_form():
    """More cells than one program reads; the gradient too."""
    logits = scores(300, 301).float()
    there = logits.cuda().requires_grad_()
    found = expectation.soft_argmax(there, 0.3)
    assert "OnCard" not in str(found.grad_fn.next_functions) + str(found.grad_fn)
    torch.testing.assert_close(found.cpu(), expectation.soft_argmax(logits.double(), 0.3).float(), rtol=0, atol=1e-3)
    found.sum().backward()
    assert there.grad.isfinite().all() and there.grad.any()
