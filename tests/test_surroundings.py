"""What a program sets for all of torch changes no result: autocast, the default dtype and device, inference mode.

Each call is one public function on float32 tensors that were made before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import Tensor

from posebook import (
    coco,
    corruptions,
    decode,
    encode,
    equivariance,
    expectation,
    fairness,
    fusion,
    losses,
    metrics,
    theory,
    uncertainty,
    warp,
)  # fmt: skip
from posebook.geometry import Camera
from posebook.grid import Grid
from posebook.people import draw_people, render, sample_motion, sample_scene, seen_by
from posebook.skeleton import COCO_17
from posebook.training import alone, finite, fresh, variants
from posebook.training.methods import make_net, stored

CELLS = torch.tensor([[[201.3, 156.2], [20.0, 30.7]], [[99.5, 12.25], [64.1, 64.9]]])  # (2, 2, 2)
MAPS = encode.gaussian_heatmap(CELLS, (160, 210), sigma=2.0)
LOGITS = 20 * MAPS
MASK = torch.tensor([[True, False], [True, True]])
FACTOR = torch.tensor([[[1.3, 0.2], [0.1, 0.9]], [[0.7, -0.3], [0.2, 1.1]]])
COVARIANCES = FACTOR @ FACTOR.mT  # (2, 2, 2)
JOINT = torch.tensor([[1.0, 0.3], [0.3, 2.0]])[:, None, :, None] * torch.tensor([[1.0, 0.2], [0.2, 1.5]])[:, None, :]
GRID = Grid.center(4)
TURN, STEP = warp.Affine.rotation(20, (160, 210)), warp.Affine(((0, 1, 3), (-1, 0, 100.5)))
SCORES = torch.linspace(-2, 2, 24).view(2, 12).sin()
LINE = torch.linspace(-0.5, 0.5, 9)
SCENE = sample_scene(3, seed=4)
MOTION, CAMERA = sample_motion(9, 2, seed=3), Camera.look_at((0, -1, -4), (0, -1, 0), focal=90.0, hw=(64, 64))

CALLS = {
    "argmax": lambda: decode.argmax(MAPS), "refine_quarter": lambda: decode.refine_quarter(MAPS),
    "refine_dark": lambda: decode.refine_dark(MAPS), "refine_dark, blur": lambda: decode.refine_dark(MAPS, blur=1.5),
    "refine_udp": lambda: decode.refine_udp(MAPS),
    "soft_argmax_window": lambda: decode.soft_argmax_window(LOGITS, radius=4),
    "decode_anchors": lambda: decode.decode_anchors(SCORES, 30 * LINE.new_ones(12, 2), SCORES[..., None] * CELLS[0, 0],
                                                    mode="soft"),
    "decode_simcc": lambda: decode.decode_simcc(SCORES, SCORES.flip(-1), ratio=2, mode="soft"),
    "soft_argmax": lambda: expectation.soft_argmax(LOGITS, 0.5),
    "soft_argmax_compensated": lambda: expectation.soft_argmax_compensated(MAPS, beta=5.0),
    "spatial_softmax": lambda: expectation.spatial_softmax(LOGITS), "mean_cell": lambda: expectation.mean_cell(MAPS),
    "spread": lambda: expectation.spread(LOGITS),
    "gaussian_heatmap": lambda: encode.gaussian_heatmap(CELLS, (20, 30), sigma=3.0),
    "simcc_targets": lambda: encode.simcc_targets(CELLS, (160, 210), ratio=2, sigma=4.0),
    "fuse_inverse_variance": lambda: fusion.fuse_inverse_variance(CELLS, CELLS[..., 0]),
    "fuse_inverse_covariance": lambda: fusion.fuse_inverse_covariance(CELLS[0], COVARIANCES),
    "fuse_correlated": lambda: fusion.fuse_correlated(CELLS[0], COVARIANCES[0]),
    "fuse_correlated_axes": lambda: fusion.fuse_correlated_axes(CELLS[0], JOINT),
    "fuse_covariance_intersection": lambda: fusion.fuse_covariance_intersection(CELLS[0], COVARIANCES),
    "to_image": lambda: GRID.to_image(CELLS), "to_cells": lambda: GRID.to_cells(CELLS),
    "flip_points": lambda: warp.flip_points(CELLS, 210),
    "flip_heatmap": lambda: warp.flip_heatmap(MAPS, 840, Grid.index(4)),
    "warp_points": lambda: warp.warp_points(CELLS, TURN),
    "warp_image": lambda: (warp.warp_image(MAPS, TURN, (90, 80)), warp.warp_image(MAPS, STEP, (90, 80))),
    "warp_heatmap": lambda: warp.warp_heatmap(MAPS, TURN, GRID, (20, 30), beyond="zero"),
    "crop_image": lambda: warp.crop_image(MAPS, [Grid(1.3, 4.0), Grid(1.0, 2.5)], (20, 30)),
    "c4_average": lambda: equivariance.c4_average(decode.argmax)(MAPS),
    "corrupt": lambda: tuple(corruptions.corrupt(MAPS[:, :1], kind, 3).image for kind in corruptions.AMOUNTS),
    "epe": lambda: metrics.epe(CELLS, CELLS.flip(0)),
    "pck": lambda: metrics.pck(CELLS, CELLS + 1, MASK, threshold=1.5),
    "masked_mean": lambda: losses.masked_mean(CELLS[..., 0], MASK),
    "coordinate_loss": lambda: losses.coordinate_loss(CELLS, CELLS.flip(0)),
    "integral_loss": lambda: losses.integral_loss(LOGITS, 4 * CELLS + 2, grid=GRID),
    "heatmap_loss": lambda: losses.heatmap_loss(MAPS, MAPS.flip(0)),
    "cross_entropy_loss": lambda: losses.cross_entropy_loss(LOGITS, MAPS / MAPS.sum((-2, -1), keepdim=True)),
    "simcc_loss": lambda: losses.simcc_loss((SCORES, SCORES), (SCORES.softmax(-1), SCORES.softmax(-1))),
    "alias_error": lambda: theory.alias_error(LINE, 0.5), "dithered_bias": lambda: theory.dithered_bias(LINE, 4.0, 0.5),
    "border_bias": lambda: theory.border_bias(LINE.abs(), 2.0),
    "gaussian_entropy": lambda: theory.gaussian_entropy(COVARIANCES),
    "masked_heatmap_loss": lambda: losses.masked_heatmap_loss(MAPS, MAPS.flip(0), MAPS),
    "unbiased_mask": lambda: losses.unbiased_mask(MASK, flip=0.3),
    "gaussian_nll_loss": lambda: losses.gaussian_nll_loss(CELLS, CELLS.flip(0), CELLS / 50),
    "laplace_nll_loss": lambda: losses.laplace_nll_loss(CELLS, CELLS.flip(0), CELLS[..., 0] / 50),
    "attenuated_loss": lambda: losses.attenuated_loss(CELLS, CELLS / 100),
    "dropout_moments": lambda: tuple(theory.dropout_moments(CELLS, LINE[:2], 0.3)),
    "dropout_covariance": lambda: theory.dropout_covariance(CELLS, LINE[:2], 0.3),
    "expected_oks": lambda: theory.expected_oks(0.8, COVARIANCES, bias=CELLS[0] / 100),
    "similarity_cdf": lambda: theory.similarity_cdf(LINE.abs(), 2.0, 3.0),
    "mask_noise_std": lambda: theory.mask_noise_std(SCORES, 0.3),
    "masked_mean_noise_std": lambda: theory.masked_mean_noise_std(SCORES, SCORES.abs(), 0.3),
    "flip_moments": lambda: tuple(theory.flip_moments(CELLS[..., 0], MASK, 0.3)),
    "mc_dropout": lambda: uncertainty.mc_dropout(torch.nn.Dropout(0.4), CELLS, samples=3, seed=1),
    "sample_moments": lambda: tuple(uncertainty.sample_moments(CELLS)),
    "ensemble_uncertainty": lambda: tuple(uncertainty.ensemble_uncertainty(CELLS, CELLS[..., 0])),
    "excess_variance": lambda: uncertainty.excess_variance(LOGITS, 2.0),
    "squared_mahalanobis": lambda: uncertainty.squared_mahalanobis(CELLS[0], COVARIANCES),
    "scale_variances": lambda: uncertainty.scale_variances(CELLS, CELLS),
    "point_reliability": lambda: tuple(uncertainty.point_reliability(CELLS, 9 * CELLS[..., 0])),
    "score_reliability": lambda: tuple(uncertainty.score_reliability(SCORES.abs() % 1, SCORES > 0)),
    "calibration error": lambda: uncertainty.expected_calibration_error(
        uncertainty.score_reliability(SCORES.abs() % 1, SCORES > 0)),
    "conformal_radius": lambda: uncertainty.conformal_radius(CELLS, 0.4),
    "bootstrap_gap": lambda: tuple(fairness.bootstrap_gap(LINE, LINE > 0, draws=50)),
    "standardized_gap": lambda: tuple(fairness.standardized_gap(LINE, LINE > 0, LINE.abs(), strata=2, draws=50)),
    "paired_gap": lambda: tuple(fairness.paired_gap(LINE, LINE.square(), draws=50)),
    "permutation_test": lambda: fairness.permutation_test(LINE, LINE > 0, draws=50),
    "simulate_similarities": lambda: fairness.simulate_similarities(LINE.abs() + 1, 2.0, correlation=0.5),
    "sample_motion": lambda: sample_motion(9, 4, seed=3).joints,
    "seen_by": lambda: tuple(vars(render(seen_by(MOTION, 1, CAMERA))).values()),
    "draw_people": lambda: tuple(vars(draw_people(3, persons=2, seed=3)).values()),
    "moved": lambda: SCENE.moved(zoom=1.3, degrees=20, shift=(3.0, 1.0)).start,
    "warped": lambda: SCENE.warped(TURN).start,
    "fresh": lambda: fresh(batch=2)(1), "finite": lambda: finite(alone(draw_people(5, seed=1)), batch=3)(2),
    "make_net": lambda: tuple(make_net("SimCC", seed=3).state_dict().values()),
    "stored": lambda: tuple(stored("regression").state_dict().values()),
    "stored variant": lambda: tuple(variants.stored("visibility").state_dict().values()),
    "turned people": lambda: variants.turned(3, seed=1), "scrambled": lambda: variants.scrambled(3, seed=1),
    "portrait": lambda: coco.portrait().photos[0].people[0].xy,
    "flip with pairs": lambda: warp.flip_points(CELLS[0, :1].expand(17, 2), 210, skeleton=COCO_17),
}  # fmt: skip


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


SURROUNDINGS = {
    "autocast": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "float64 by default": partial(default_dtype, torch.float64),
    "float16 by default": partial(default_dtype, torch.float16),
    "another device by default": partial(torch.device, "meta"), "inference mode": torch.inference_mode,
}  # fmt: skip


@pytest.fixture(scope="module", params=CALLS)
def expected(request) -> tuple[str, tuple[Tensor, ...]]:
    return request.param, results(request.param)


def results(name: str) -> tuple[Tensor, ...]:
    found = CALLS[name]()
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("around", SURROUNDINGS)
def test_surroundings_change_nothing(expected, around):
    name, tensors = expected
    with SURROUNDINGS[around]():
        found = results(name)
    for one, other in zip(found, tensors, strict=True):
        assert one.dtype == other.dtype and one.device == other.device
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)
