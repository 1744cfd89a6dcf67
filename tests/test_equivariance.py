"""Errors of equivariance and their causes, averages over a group, and the laws of what turning costs, each measured."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from posebook.decode import argmax, refine_dark, refine_quarter
from posebook.encode import gaussian_heatmap
from posebook.equivariance import (
    c4_average,
    c4_select,
    equivariance_causes,
    equivariance_error,
    flip_average,
)
from posebook.expectation import mean_cell, soft_argmax
from posebook.grid import Grid
from posebook.skeleton import Skeleton
from posebook.warp import Affine, warp_image, warp_points

SIZES = [(32, 32), (33, 33), (30, 33), (28, 40)]
PAIR = Skeleton(("left", "right"), pairs=((0, 1),))


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def mass_center(image: Tensor) -> Tensor:
    """A detector whose only error is the picture's: one keypoint per channel."""
    return mean_cell(image) / image.sum((-2, -1))[..., None]


def pictures(hw: tuple[int, int], n: int = 6, sigma: float = 1.3) -> tuple[Tensor, Tensor]:
    """Blobs ``(n, 2, H, W)`` about places ``(n, 2, 2)`` near the middle."""
    xy = torch.tensor([(hw[1] - 1) / 2, (hw[0] - 1) / 2]) + 6 * torch.rand(n, 2, 2) - 3
    return gaussian_heatmap(xy, hw, sigma=sigma), xy


def convolutions(seed: int = 0, channels: int = 2, outputs: int = 2):
    """A random network of two layers under soft-argmax: as good as any for what holds of every detector."""
    draw = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(shape, generator=draw) for shape in ((16, channels, 3, 3), (outputs, 16, 3, 3)))

    def detector(image: Tensor) -> Tensor:
        flat = image.reshape(-1, *image.shape[-3:])
        maps = F.conv2d(F.relu(F.conv2d(flat, first, padding=1)), second, padding=1)
        return soft_argmax(maps, 3.0).reshape(*image.shape[:-3], -1, 2)

    return detector


def square_moves(hw: tuple[int, int]) -> list[tuple[Affine, tuple[int, int]]]:
    """The eight turns and flips of an image, and the sizes that come of them."""
    moves = []
    for k in range(4):
        into = hw[::-1] if k % 2 else hw
        turn = Affine.rotation(90 * k, hw, into=into)
        moves += [(turn, into), (turn @ Affine.flip(hw[1]), into)]
    return moves


# ---------------------------------------------------------------------------------------------------------------------
# The error


@pytest.mark.parametrize("hw", SIZES)
def test_a_detector_without_fault_has_no_error_where_nothing_is_interpolated(hw):
    image, _ = pictures(hw)
    for affine, into in square_moves(hw):
        error = equivariance_error(mass_center, image, affine, into)
        assert error.shape == (6, 2) and error.max() < 1e-12


def test_the_error_is_a_distance_in_px_of_the_moved_image():
    image, _ = pictures((32, 32))
    beside = lambda image: mass_center(image) + torch.tensor([3.0, 0.0])  # noqa: E731
    for degrees in (90, 180, 270):  # of a constant offset b: 2 |b| |sin(degrees / 2)|
        error = equivariance_error(beside, image, Affine.rotation(degrees, (32, 32)))
        torch.testing.assert_close(error, torch.full((6, 2), 6 * abs(math.sin(math.radians(degrees / 2)))))
    double = Affine.rotation(0, (32, 32), into=(64, 64), zoom=2.0)
    error = equivariance_error(beside, image, double, (64, 64))  # 3 px where 6 were due
    torch.testing.assert_close(error, torch.full((6, 2), 3.0), rtol=0, atol=1e-2)
    assert equivariance_error(mass_center, image[0], double, (64, 64)).shape == (2,)


def test_a_mirror_exchanges_left_and_right():
    """A detector that finds what is in the left half and what is in the right: no error with the pair's names."""
    image, _ = pictures((32, 32))

    def halves(image: Tensor) -> Tensor:
        x = torch.arange(32.0)
        total = image.sum(-3)
        return torch.stack([mass_center(total * side) for side in (x < 15.5, x > 15.5)], -2)

    flip = Affine.flip(32)
    assert equivariance_error(halves, image, flip, skeleton=PAIR).max() < 1e-12
    assert equivariance_error(halves, image, flip).min() > 1
    with pytest.raises(ValueError, match="xy: want 2 keypoints, as the skeleton has"):
        equivariance_error(lambda image: halves(image)[..., :1, :], image, flip, skeleton=PAIR)


def test_nothing_of_the_input_changes():
    image, _ = pictures((20, 24))
    before = image.clone()
    for detector in (mass_center, c4_average(mass_center), flip_average(mass_center)):
        equivariance_error(detector, image, Affine.rotation(30, (20, 24)))
        equivariance_error(detector, image, Affine.rotation(180, (20, 24)))
    assert torch.equal(image, before)


# ---------------------------------------------------------------------------------------------------------------------
# Its causes


def test_causes_add_up():
    image, xy = pictures((32, 32))
    affine = Affine.rotation(25, (32, 32))
    exact = gaussian_heatmap(warp_points(xy, affine), (32, 32), sigma=1.3)
    detector, fine = convolutions(1), convolutions(2)
    causes = equivariance_causes(detector, image, exact, affine, fine=fine)
    total = detector(warp_image(image, affine, (32, 32))) - warp_points(detector(image), affine)
    torch.testing.assert_close(causes.total, total, rtol=0, atol=1e-12)
    torch.testing.assert_close(sum(causes[1:]), causes.total, rtol=0, atol=1e-12)
    torch.testing.assert_close(causes.total.norm(dim=-1), equivariance_error(detector, image, affine))
    whole = equivariance_causes(detector, image, exact, affine)
    assert torch.equal(whole.interpolation, causes.interpolation) and not whole.decoder.any()
    torch.testing.assert_close(whole.network, causes.network + causes.decoder)
    two = equivariance_causes(detector, image[None], exact[None], affine, fine=fine)
    assert torch.equal(two.network[0], causes.network)


@pytest.mark.parametrize("degrees", [10, 45, 90, 200])
def test_each_cause_is_found_alone(degrees):
    hw = (48, 48)
    image, xy = pictures(hw, 200)
    affine = Affine.rotation(degrees, hw)
    exact = gaussian_heatmap(warp_points(xy, affine), hw, sigma=1.3)
    find = partial(equivariance_causes, image=image, moved=exact, affine=affine)

    picture = find(mass_center)  # only the picture was resampled
    assert picture.network.abs().max() < 1e-6
    assert (picture.interpolation.abs().max() < 1e-6) == (degrees == 90)

    rounded = find(lambda image: mass_center(image).round(), fine=mass_center)
    assert rounded.network.abs().max() < 1e-6 and (rounded.decoder.abs().max() < 1e-9) == (degrees == 90)

    bias = torch.tensor([2.0, -1.0])
    shifted = find(lambda image: mass_center(image) + bias)
    turned = warp_points(bias[None], affine) - warp_points(torch.zeros(1, 2), affine)
    torch.testing.assert_close(shifted.network, (bias - turned).expand(200, 2, 2), rtol=0, atol=1e-6)
    torch.testing.assert_close(shifted.interpolation, picture.interpolation, rtol=0, atol=1e-12)


def test_what_lies_beyond_the_edge_is_no_interpolation():
    """The painted scene goes on there, the resampled one does not: both are 0."""
    y, x = torch.meshgrid(torch.arange(-40.0, 40), torch.arange(-40.0, 40), indexing="ij")
    everywhere = (1 + 0.3 * (0.05 * x).sin() * (0.05 * y).cos())[None]  # smooth: it hardly suffers
    hw, affine = (32, 32), Affine.rotation(30, (32, 32))
    whole = Affine(((1, 0, 24), (0, 1, 24)))  # from the image into the large one
    image = everywhere[:, 24:56, 24:56]
    exact = warp_image(everywhere, affine @ whole.inverse(), hw)
    found = equivariance_causes(mass_center, image, exact, affine)
    assert found.interpolation.abs().max() < 1e-3
    assert (mass_center(exact) - mass_center(warp_image(image, affine, hw))).abs().max() > 0.01


# ---------------------------------------------------------------------------------------------------------------------
# Averages


@pytest.mark.parametrize("hw", SIZES)
def test_averages_are_equivariant_whatever_the_detector(hw):
    image = torch.rand(3, 2, *hw)
    plain = convolutions()
    turns, flips = c4_average(plain), flip_average(plain, skeleton=PAIR)
    both = c4_average(flips)
    for n, (affine, into) in enumerate(square_moves(hw)):
        mirrors = n % 2 == 1
        assert equivariance_error(both, image, affine, into, skeleton=PAIR).max() < 1e-12
        if not mirrors:
            assert equivariance_error(turns, image, affine, into).max() < 1e-12
        if affine == Affine.flip(hw[1]):
            assert equivariance_error(flips, image, affine, into, skeleton=PAIR).max() < 1e-12
        if n:
            assert equivariance_error(plain, image, affine, into, skeleton=PAIR).min() > 0.05
    assert equivariance_error(turns, image, Affine.rotation(45, hw)).min() > 1e-3  # four turns are not all


def test_averages_are_means_of_what_was_found():
    image = torch.rand(2, 2, 12, 9)
    plain = convolutions()
    back = (lambda x, y: (x, y), lambda x, y: (8 - y, x), lambda x, y: (8 - x, 11 - y), lambda x, y: (y, 11 - x))
    found = [torch.stack(back[k](*plain(torch.rot90(image, k, (-2, -1))).unbind(-1)), -1) for k in range(4)]
    torch.testing.assert_close(c4_average(plain)(image), sum(found) / 4, rtol=0, atol=1e-12)
    mirrored = plain(image.flip(-1))
    unmirrored = torch.stack((8 - mirrored[..., 0], mirrored[..., 1]), -1)[..., [1, 0], :]
    torch.testing.assert_close(flip_average(plain, skeleton=PAIR)(image), (plain(image) + unmirrored) / 2)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_the_mean_of_four_turns_has_a_variance_of_1_plus_3_rho_over_4(rho):
    """Errors of variance 1, correlated by rho between turns; 40 000 values, so a standard error of 0.7 %."""
    n, truth, turn = 20_000, torch.tensor([2.0, 5.0]), iter(range(4))
    shared = torch.randn(n, 1, 2)

    def noisy(image: Tensor) -> Tensor:
        error = rho**0.5 * shared + (1 - rho) ** 0.5 * torch.randn(n, 1, 2)
        return warp_points(truth + error, Affine.rotation(90 * next(turn), (8, 8)))

    error = c4_average(noisy)(torch.zeros(n, 1, 8, 8)) - truth
    assert error.square().mean().item() == pytest.approx((1 + 3 * rho) / 4, rel=5 * 2**0.5 / (2 * n) ** 0.5)


def test_the_mean_of_one_right_and_three_wrong_answers_is_wrong_and_the_most_confident_is_right():
    """A detector that finds a keypoint in an upright picture, marked at the top left, and the top left in others."""
    image, xy = pictures((24, 30))
    image[..., 0, 0] = 9

    def upright(image: Tensor) -> tuple[Tensor, Tensor]:
        right = image[..., 0, 0] == 9
        return torch.where(right[..., None], mass_center(image.clamp(max=1)), 0.0), right.double()

    mean, best = c4_average(lambda image: upright(image)[0]), c4_select(upright)
    want = mass_center(image.clamp(max=1))
    assert (mean(image) - want).norm(dim=-1).min() > 2
    for k in range(4):
        into = (24, 30) if k % 2 == 0 else (30, 24)
        turn = Affine.rotation(90 * k, (24, 30), into=into)
        found = best(warp_image(image, turn, into))
        torch.testing.assert_close(found.xy, warp_points(want, turn))
        assert (found.turns == -k % 4).all() and found.turns.shape == (6,) and (found.scores == 1).all()


def test_each_image_chooses_for_itself_and_the_first_of_equals():
    scores = torch.tensor([[0.0, 2.0, 1.0, 0.0], [3.0, 0.0, 0.0, 3.0], [1.0, 1.0, 1.0, 1.5]])  # (images, turns)
    turn = iter(range(4))

    def detector(image: Tensor) -> tuple[Tensor, Tensor]:
        k = next(turn)
        return torch.full((3, 2, 2), float(k)), scores[:, k, None] + torch.tensor([-0.5, 0.5])  # of a mean of that

    found = c4_select(detector)(torch.zeros(3, 1, 8, 8))
    assert found.turns.tolist() == [1, 0, 3] and found.turns.dtype == torch.int64
    assert found.scores.tolist() == [[1.5, 2.5], [2.5, 3.5], [1.0, 2.0]]
    want = [warp_points(torch.tensor([k, k]).double(), Affine.rotation(-90 * k, (8, 8))) for k in (1, 0, 3)]
    torch.testing.assert_close(found.xy, torch.stack(want)[:, None].expand(3, 2, 2))


def test_the_most_confident_turn_is_equivariant():
    image = torch.rand(5, 2, 14, 19)

    def detector(image: Tensor) -> tuple[Tensor, Tensor]:
        return convolutions()(image), image[..., :3, :].sum((-2, -1))

    best = c4_select(detector)
    for k in range(4):
        into = (14, 19) if k % 2 == 0 else (19, 14)
        turn = Affine.rotation(90 * k, (14, 19), into=into)
        assert equivariance_error(lambda image: best(image).xy, image, turn, into).max() < 1e-12


def test_gradients_and_single_precision():
    image = torch.rand(2, 9, 9, requires_grad=True)
    for average in (c4_average, flip_average):
        assert torch.autograd.gradcheck(average(convolutions()), image)
    half = torch.rand(2, 9, 9, dtype=torch.float16)
    assert c4_average(mass_center)(half).dtype == torch.float16


@pytest.mark.parametrize("act, words", [
    (lambda image: equivariance_error(mass_center, image[0, 0, 0], Affine()), "image: want shape (..., H, W)"),
    (lambda image: equivariance_error(mass_center, image, None), "affine: want an Affine, got NoneType"),
    (lambda image: equivariance_error(mass_center, image, Affine(), (0, 5)), "hw: "),
    (lambda image: equivariance_error(lambda image: image[..., 0], image, Affine()), "xy: want shape (..., 2), got"),
    (lambda image: equivariance_causes(mass_center, image, image[:1], Affine()), "moved: want shape (6, 2, 'h', 'w')"),
    (lambda image: c4_average(mass_center)(image.int()), "image: want a floating dtype, got int32"),
    (lambda image: flip_average(mass_center)(image.int()), "image: want a floating dtype, got int32"),
    (lambda image: c4_select(lambda image: (mass_center(image), image))(image), "scores: want shape (6, 2), got (6, 2"),
])  # fmt: skip
def test_errors_are_named(act, words):
    with pytest.raises(ValueError) as error:
        act(pictures((32, 32))[0])
    assert str(error.value).startswith(words)


# ---------------------------------------------------------------------------------------------------------------------
# Laws of geometry


@pytest.mark.parametrize("degrees", [0, 1, 30, 90, 180, 275])
def test_a_turn_about_the_wrong_center_misses_by_root_2_sin_half_the_angle(degrees):
    """About (n / 2, n / 2), half a px off on both axes: each point by the same: 1 px at 90 degrees, root 2 at 180."""
    xy, n = 50 * torch.rand(20, 2), 32
    right = Affine.rotation(degrees, (n, n))
    wrong = Affine.rotation(degrees, (n + 1, n + 1))  # whose center is (n / 2, n / 2)
    off = (warp_points(xy, wrong) - warp_points(xy, right)).norm(dim=-1)
    torch.testing.assert_close(off, torch.full((20,), 2**0.5 * abs(math.sin(math.radians(degrees / 2)))))


@pytest.mark.parametrize("degrees", [20, 90])
def test_torch_s_own_grids_are_right_on_square_images_with_one_convention(degrees):
    """Two conventions mixed miss by up to 0.7 px; sides counted as equal, on 40 x 80 px, by 5 px on average at 20."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def off(hw: tuple[int, int], corners: bool, sampled: bool) -> Tensor:
        grid = F.affine_grid(torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]]), (1, 1, *hw), align_corners=corners)[0]
        size = torch.tensor([hw[1], hw[0]])
        found = (grid + 1) * (size - 1) / 2 if sampled else ((grid + 1) * size - 1) / 2  # as grid_sample reads it
        y, x = torch.meshgrid(*(torch.arange(float(n)) for n in hw), indexing="ij")
        truth = warp_points(torch.stack((x, y), -1), Affine.rotation(degrees, hw).inverse())
        return (found - truth).norm(dim=-1)[((truth >= 0) & (truth <= size - 1)).all(-1)]

    for corners in (False, True):
        assert off((64, 64), corners, corners).max() < 1e-10
        assert 0.5 < off((64, 64), corners, not corners).max() < 0.75
        assert off((40, 80), corners, corners).mean() > (4.5 if degrees == 20 else 11)


# ---------------------------------------------------------------------------------------------------------------------
# Laws of interpolation


@pytest.mark.parametrize("a", [0.0, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("k", [1, 5, 20, 31])
def test_a_shift_takes_power_from_high_frequencies(a, k):
    """1 - 2 a (1 - a) (1 - cos w) of a wave's power."""
    n, w = 64, 2 * math.pi * k / 64
    wave = (w * torch.arange(3 * n)).cos()[None]
    moved = warp_image(wave, Affine(((1, 0, a), (0, 1, 0))), (1, 3 * n))[0, n : 2 * n]
    kept = 1 - 2 * a * (1 - a) * (1 - math.cos(w))
    assert moved.square().sum().item() == pytest.approx(kept * wave[0, :n].square().sum().item(), abs=1e-9)


def noise_power(n: int, degrees: float, maps: int) -> tuple[float, float]:
    """Of white noise of variance 1, within the circle that stays in the image; and half an interval, 5 sigma."""
    noise = torch.randn(maps, n, n)
    y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    inside = (x - (n - 1) / 2) ** 2 + (y - (n - 1) / 2) ** 2 < ((n - 3) / 2) ** 2
    values = warp_image(noise, Affine.rotation(degrees, (n, n)), (n, n))[:, inside].square()
    per_map = values.mean(1)
    return per_map.mean().item(), 5 * per_map.std().item() / maps**0.5


@pytest.mark.parametrize("degrees", [5, 17, 30, 60, 83, 130])
def test_of_white_noise_four_ninths_are_left(degrees):
    power, half = noise_power(96, degrees, 30)
    assert half < 0.01 and abs(power - 4 / 9) < half + 0.004


def test_at_quarter_turns_all_is_left_and_near_them_it_depends_on_angle_times_size():
    """A quarter of a degree takes 14 % of 43 px, but of 257 px already more than half."""
    for degrees in (90, 180, 270):
        assert abs(noise_power(64, degrees, 10)[0] - 1) < 0.05
    power = {n: noise_power(n, 0.25, 10)[0] for n in (43, 129, 257)}
    assert 0.8 < power[43] < 0.9 and 0.6 < power[129] < 0.7 and 0.44 < power[257] < 0.48
    same = [noise_power(n, degrees, 20)[0] for n, degrees in ((65, 1.0), (130, 0.5), (260, 0.25))]
    assert max(same) - min(same) < 0.015


def about(n: int, count: int) -> Tensor:
    """Places ``(count, 2)`` from 4 to 18 px from the middle of n x n px, in all directions."""
    angle, radius = 2 * math.pi * torch.rand(count), 4 + 14 * torch.rand(count)
    return (n - 1) / 2 + torch.stack((radius * angle.cos(), radius * angle.sin()), -1)


@pytest.mark.parametrize("sigma", [1.5, 2.0, 3.0])
def test_each_resampling_widens_a_blob_by_a_sixth_and_hardly_moves_it(sigma):
    """Variance + 1/6 px^2 per axis, each time anew; matched amplitude 1 - 1 / (12 sigma^2)."""
    n, times = 80, 4
    xy, turn = about(n, 60), Affine.rotation(17, (n, n))
    sharp = image = gaussian_heatmap(xy, (n, n), sigma=sigma)
    x = torch.arange(float(n))

    def variance(image: Tensor) -> Tensor:
        share = image.sum(-2) / image.sum((-2, -1))[:, None]
        return (share * (x - mass_center(image)[:, :1]).square()).sum(-1)

    for k in range(1, times + 1):
        image, xy = warp_image(image, turn, (n, n)), warp_points(xy, turn)
        assert (variance(image) - variance(sharp)).mean().item() == pytest.approx(k / 6, rel=0.02)
        if k == 1:
            off = (mass_center(image) - xy).norm(dim=-1).mean().item()
            assert off < {1.5: 3e-3, 2.0: 2e-3, 3.0: 4e-4}[sigma]
            target = gaussian_heatmap(xy, (n, n), sigma=sigma)
            matched = ((image * target).sum((-2, -1)) / target.square().sum((-2, -1))).mean().item()
            assert matched == pytest.approx(1 - 1 / (12 * sigma**2), abs=0.1 / (12 * sigma**2))


def test_eight_turns_of_45_degrees_widen_less_than_eight_others():
    """Every second one falls on pixels that the first two have made: 7.7 sixths, 8 for turns that do not repeat."""
    n, sigma, x = 80, 2.0, torch.arange(80.0)
    sharp = gaussian_heatmap(about(n, 60), (n, n), sigma=sigma)
    grown = {}
    for degrees in (45, 40):
        image = sharp
        for _ in range(8):
            image = warp_image(image, Affine.rotation(degrees, (n, n)), (n, n))
        spread = [(z.sum(-2) / z.sum((-2, -1))[:, None] * (x - mass_center(z)[:, :1]).square()).sum(-1)
                  for z in (sharp, image)]
        grown[degrees] = 6 * (spread[1] - spread[0]).mean().item()
    assert grown[40] == pytest.approx(8, abs=0.05) and 7.6 < grown[45] < 7.8


def test_a_blob_narrower_than_a_pixel_moves():
    n, turn = 80, Affine.rotation(45, (80, 80))
    xy = about(n, 400)
    off = mass_center(warp_image(gaussian_heatmap(xy, (n, n), sigma=0.5), turn, (n, n))) - warp_points(xy, turn)
    assert 0.02 < off.square().sum(-1).mean().sqrt().item() < 0.06


# ---------------------------------------------------------------------------------------------------------------------
# Laws of the decoder: an oracle that draws the ideal map of known keypoints


def oracle_error(decoder, grid: Grid, degrees: float, *, reach: float = 110, count: int = 3000) -> Tensor:
    """Decoded after the turn, less decoded and turned, ``(count, 2)`` px, of keypoints up to ``reach`` px from the
    middle of 256 x 256 px.
    """
    n = 256
    angle, radius = 2 * math.pi * torch.rand(count), reach * torch.rand(count).sqrt()
    xy = (n - 1) / 2 + torch.stack((radius * angle.cos(), radius * angle.sin()), -1)
    turn, cells = Affine.rotation(degrees, (n, n)), (n // 4, n // 4)

    def found(xy: Tensor) -> Tensor:
        return grid.to_image(decoder(gaussian_heatmap(grid.to_cells(xy), cells, sigma=1.5)))

    return found(warp_points(xy, turn)) - warp_points(found(xy), turn)


def rms(error: Tensor) -> float:
    return error.square().sum(-1).mean().sqrt().item()


@pytest.mark.parametrize("grid", [Grid.center(4), Grid.index(4), Grid.unit_length((256, 256), (64, 64))])
@pytest.mark.parametrize("degrees", [10, 17, 33, 56, 71, 100, 200])
def test_argmax_turns_by_stride_over_root_3_off(grid, degrees):
    """The two roundings have nothing to do with one another: s^2 / 12 on each of two axes, twice."""
    stride = grid.stride if isinstance(grid.stride, int) else grid.stride[0]
    error = oracle_error(argmax, grid, degrees)
    assert rms(error) == pytest.approx(stride / 3**0.5, rel=0.03)
    assert error.norm(dim=-1).max() < stride * 2**0.5 + 1e-9


def test_at_quarter_turns_it_depends_on_the_grid():
    """0 where the turned grid is the grid; else a cell is split at f = (s - 1) / s, and f (1 - f) s^2 is s - 1."""
    for k in range(4):
        for grid in (Grid.center(4), Grid.unit_length((256, 256), (64, 64))):
            assert oracle_error(argmax, grid, 90 * k, count=500).abs().max() < 1e-9
        split = (0, 1, 2, 1)[k]  # axes whose cells the turned grid splits
        found = rms(oracle_error(argmax, Grid.index(4), 90 * k, count=2000))
        assert found == pytest.approx((3 * split) ** 0.5, rel=0.05, abs=1e-9)
    assert 6**0.5 > 4 / 3**0.5  # half a turn is worse than any generic angle


def test_a_small_angle_is_not_generic():
    """Until keypoints move by cells, few of them change cells."""
    sizes = [rms(oracle_error(argmax, Grid.center(4), degrees)) * 3**0.5 / 4 for degrees in (0.05, 0.25, 1.0, 10.0)]
    assert sizes[0] < 0.3 and 0.35 < sizes[1] < 0.6 and 0.75 < sizes[2] < 0.95 and sizes[3] > 0.95


def test_decoders_that_do_not_round_turn_exactly():
    for degrees in (17, 90, 200):
        for decoder in (refine_dark, lambda maps: soft_argmax(maps.log())):
            assert oracle_error(decoder, Grid.center(4), degrees, reach=90, count=500).abs().max() < 1e-6
    quarter = rms(oracle_error(refine_quarter, Grid.center(4), 17))
    assert quarter == pytest.approx(2 / 3**0.5, rel=0.03)  # a grid of half the stride


# ---------------------------------------------------------------------------------------------------------------------
# Laws of the network, where nothing is interpolated


def c4_error(net, image: Tensor, *, centered: bool = False) -> float:
    """Of maps: size of the difference by size of the map."""
    turned, maps = net(torch.rot90(image, 1, (-2, -1))), torch.rot90(net(image), 1, (-2, -1))
    if centered:
        turned, maps = (z - z.mean((-2, -1), keepdim=True) for z in (turned, maps))
    return ((turned - maps).norm() / maps.norm()).item()


def network(seed: int, *, symmetric: bool = False, stride: int = 1, kernel: int = 3):
    draw = torch.Generator().manual_seed(seed)
    filters = [torch.randn(*shape, generator=draw) for shape in ((16, 3, kernel, kernel), (8, 16, 3, 3))]
    if symmetric:
        filters = [sum(torch.rot90(f, k, (-2, -1)) for k in range(4)) / 4 for f in filters]

    def net(image: Tensor) -> Tensor:
        return F.conv2d(F.relu(F.conv2d(image, filters[0], padding=1, stride=stride)), filters[1], padding=1)

    return net


def test_random_filters_do_not_turn_and_symmetric_ones_do():
    """About 1.3 once the maps' means are taken away, which turn by themselves; with them, on pictures, 0.4 to 1.1."""
    images = [torch.rand(2, 3, 33, 33) for _ in range(20)]
    centered = [c4_error(network(seed), image, centered=True) for seed, image in enumerate(images)]
    assert 1.2 < sum(centered) / 20 < 1.4 and min(centered) > 1
    plain = [c4_error(network(seed), image) for seed, image in enumerate(images)]
    assert 0.6 < sum(plain) / 20 < 0.85
    assert max(c4_error(network(seed, symmetric=True), image) for seed, image in enumerate(images)) < 1e-12


@pytest.mark.parametrize("kernel, exact", [(3, 1), (4, 0)])
@pytest.mark.parametrize("n", [32, 33, 34, 35])
def test_a_stride_of_2_turns_where_the_kernels_lie_symmetric_in_the_image(kernel, exact, n):
    """Padding 1: of odd kernels in odd images, of even kernels in even ones, as posebook's networks have them."""
    image = torch.randn(2, 3, n, n)
    errors = [c4_error(network(seed, symmetric=True, stride=2, kernel=kernel), image) for seed in range(5)]
    assert max(errors) < 1e-12 if n % 2 == exact else min(errors) > 0.5
