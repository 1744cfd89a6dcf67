"""Decoders. What they return on Gaussians of every phase, against closed forms, is in test_theory.py.

Those that expect under a softmax are in test_expectation.py; what all share is here.
"""

import math
from functools import partial

import numpy as np
import pytest
import torch
from samples import DTYPES, anywhere, close, maps
from scipy import ndimage, special, stats
from torch import Tensor

from posebook import decode
from posebook.decode import argmax, refine_dark, refine_quarter
from posebook.encode import gaussian_heatmap, simcc_targets
from posebook.expectation import soft_argmax, soft_argmax_compensated

DECODERS = {
    "argmax": argmax,
    "refine_quarter": refine_quarter,
    "refine_dark": refine_dark,
    "refine_dark blur=1": partial(refine_dark, blur=1.0),
    "refine_udp": decode.refine_udp,
    "refine_udp blur=0": partial(decode.refine_udp, blur=0.0),
    "soft_argmax": soft_argmax,
    "soft_argmax tau=0.5": partial(soft_argmax, tau=0.5),
    "soft_argmax_window": partial(decode.soft_argmax_window, radius=2),
    "soft_argmax_window tau=0.5": partial(decode.soft_argmax_window, tau=0.5, radius=3),
    "soft_argmax_compensated": partial(soft_argmax_compensated, beta=8.0),
}
MEANS = [name for name in DECODERS if name.startswith("soft")]
OF_LOGITS = [name for name in MEANS if "compensated" not in name]
SNAPPING = ["argmax", "refine_quarter", "refine_dark", "refine_dark blur=1"]

every_decoder = pytest.mark.parametrize("name", DECODERS)
every_snapping = pytest.mark.parametrize("name", SNAPPING)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# ---------------------------------------------------------------------------------------------------------------------
# What all decoders share


@every_decoder
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,), (2, 0, 3)])
def test_shape_dtype_device(name, leading, dtype, device):
    heatmap = maps(*leading, dtype=dtype).to(device)
    out = DECODERS[name](heatmap)
    assert (out.shape, out.dtype, out.device.type) == ((*leading, 2), dtype, device)


@every_decoder
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_the_wide_result_rounded(name, dtype, device):
    heatmap = maps(20, dtype=dtype).to(device)
    assert torch.equal(DECODERS[name](heatmap), DECODERS[name](heatmap.float()).to(dtype))


@every_decoder
def test_batch_is_a_loop(name):
    heatmap = maps(2, 3)
    out = DECODERS[name](heatmap)
    for b in range(2):
        for k in range(3):
            close(out[b, k], DECODERS[name](heatmap[b, k]))


@every_decoder
def test_strides_do_not_matter_and_inputs_stay(name):
    heatmap = maps(2, 3)
    before, expected = heatmap.clone(), DECODERS[name](heatmap)
    apart = torch.zeros(2, 3, 18, 33, dtype=heatmap.dtype)[..., ::2, ::3]
    apart.copy_(heatmap)
    transposed = heatmap.permute(3, 1, 2, 0).contiguous().permute(3, 1, 2, 0)
    for view in (apart, transposed, heatmap.contiguous(memory_format=torch.channels_last)):
        assert not view.is_contiguous()
        close(DECODERS[name](view), expected)
        close(DECODERS[name](view.detach().requires_grad_()).detach(), expected)
    close(DECODERS[name](heatmap[:, :1].expand(2, 5, 9, 11)), expected[:, :1].expand(2, 5, 2))
    assert torch.equal(heatmap, before)


@every_decoder
def test_shift(name):
    """In a wider map the answer moves along; the frame weighs nothing: -inf for a softmax, 0 for the others."""
    frame = -math.inf if name in OF_LOGITS else 0.0
    heatmap = maps(4)
    moved = torch.nn.functional.pad(heatmap, (5, 2, 3, 4), value=frame)
    close(DECODERS[name](moved), DECODERS[name](heatmap) + torch.tensor([5.0, 3.0]))


@pytest.mark.parametrize("name", [name for name in DECODERS if "udp" not in name])  # which depends on a flip
def test_flip_and_transpose(name):
    heatmap = maps(6)
    out = DECODERS[name](heatmap)
    close(DECODERS[name](heatmap.flip(-1)), torch.stack((10 - out[:, 0], out[:, 1]), -1))
    close(DECODERS[name](heatmap.flip(-2)), torch.stack((out[:, 0], 8 - out[:, 1]), -1))
    close(DECODERS[name](heatmap.mT), out.flip(-1))


@every_decoder
def test_one_cell_and_one_row(name):
    assert DECODERS[name](torch.ones(1, 1)).tolist() == [0, 0]
    row = maps(1, hw=(9, 11))[0, 4:5]
    out = DECODERS[name](row)
    assert out[1] == 0 and 0 < out[0] < 10
    close(DECODERS[name](row.mT), out.flip(-1))


@every_decoder
def test_meta(name):
    out = DECODERS[name](torch.empty(2, 3, 8, 9, device="meta"))
    assert out.device.type == "meta" and out.shape == (2, 3, 2)


@every_decoder
def test_under_a_foreign_default_device(name):
    """A program may build its tensors elsewhere: the answer still lies beside the heatmap."""
    heatmap = maps(3)
    expected = DECODERS[name](heatmap)
    with torch.device("meta"):
        out = DECODERS[name](heatmap)
    assert out.device.type == "cpu"
    close(out, expected)


@every_decoder
def test_a_map_of_nan_spoils_only_itself(name):
    heatmap = maps(3)
    expected = DECODERS[name](heatmap)
    heatmap[1, 4, 6] = math.nan
    out = DECODERS[name](heatmap)
    close(out[[0, 2]], expected[[0, 2]])
    assert out[1].isnan().all()


@pytest.mark.parametrize("decoder", [
    partial(refine_dark, blur=1e4), partial(refine_dark, blur=1e300), partial(decode.refine_udp, blur=1e4),
    partial(decode.soft_argmax_window, radius=10**9),
])  # fmt: skip
def test_a_window_is_no_larger_than_the_map_needs(decoder):
    heatmap = maps(3, hw=(9, 11))
    assert (decoder(heatmap) - argmax(heatmap)).abs().max() < 3  # and the machine's memory holds it


@every_decoder
@pytest.mark.parametrize(
    "heatmap, text",
    [
        ([[0.0]], "want a tensor (..., H, W), got list"),
        (torch.zeros(4), "want shape (..., H, W) with H, W >= 1, got (4,)"),
        (torch.zeros(3, 0, 4), "want shape (..., H, W) with H, W >= 1, got (3, 0, 4)"),
        (torch.zeros(4, 4, dtype=torch.int64), "want a floating dtype, got int64"),
    ],
)
def test_errors(name, heatmap, text):
    with pytest.raises(ValueError) as error:
        DECODERS[name](heatmap)
    assert str(error.value) == ("logits: " if name in OF_LOGITS else "heatmap: ") + text


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda z: refine_dark(z, blur=-1), "blur: want a finite number >= 0, got -1"),
        (lambda z: decode.refine_udp(z, blur=-1), "blur: want a finite number >= 0, got -1"),
        (lambda z: decode.soft_argmax_window(z, 0, radius=1), "tau: want a finite number > 0, got 0"),
        (lambda z: decode.soft_argmax_window(z, radius=0), "radius: want a whole number >= 1, got 0"),
        (lambda z: decode.soft_argmax_window(z, radius=1.5), "radius: want a whole number >= 1, got 1.5"),
        (lambda z: decode.decode_anchors(z, torch.zeros(3, 2), torch.zeros(3, 3, 2), mode="mean"),
         "mode: want one of 'hard', 'soft', got 'mean'"),
        (lambda z: decode.decode_anchors(z, torch.zeros(4, 2), torch.zeros(3, 3, 2)),
         "anchors: want (A, 2), A >= 1 the last axis of scores, got (4, 2) and (3, 3)"),
        (lambda z: decode.decode_anchors(z, torch.zeros(3, 2), torch.zeros(3, 2)),
         "offsets: want shape (3, 3, 2), one offset per score, got (3, 2)"),
        (lambda z: decode.decode_anchors(z.long(), torch.zeros(3, 2), torch.zeros(3, 3, 2)),
         "scores: want a floating dtype, got int64"),
    ],
)
def test_errors_of_options(call, text):
    with pytest.raises(ValueError) as error:
        call(torch.zeros(3, 3))
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# argmax


def test_argmax_against_numpy():
    heatmap = torch.randn(50, 7, 9)
    row, column = np.unravel_index(heatmap.flatten(1).numpy().argmax(1), (7, 9))
    assert torch.equal(argmax(heatmap), torch.from_numpy(np.stack((column, row), 1)).float())


def test_argmax_takes_a_peak_and_not_the_best_row_and_column():
    heatmap = torch.zeros(5, 6)
    heatmap[1], heatmap[3, 4] = 0.6, 1.0
    assert argmax(heatmap).tolist() == [4, 3]


def test_argmax_ties_negative_and_infinite(device):
    tie = torch.zeros(4, 4, device=device)
    tie[1, 3] = tie[2, 0] = 1.0
    assert argmax(tie).tolist() == [3, 1]
    assert argmax(torch.full((4, 5), -2.0, device=device)).tolist() == [0, 0]
    assert argmax(torch.full((4, 5), -math.inf, device=device)).tolist() == [0, 0]
    assert argmax(-(torch.arange(12.0, device=device) - 7).square().view(3, 4)).tolist() == [3, 1]


@every_snapping
def test_snapping_ignores_scale_and_argmax_every_rising_function(name):
    heatmap = maps(8)
    close(DECODERS[name](heatmap * 7.5), DECODERS[name](heatmap), atol=1e-9)
    for rising in (torch.log, lambda h: h**3 - 5):
        assert torch.equal(argmax(rising(heatmap)), argmax(heatmap))
        assert torch.equal(refine_quarter(rising(heatmap)), refine_quarter(heatmap))


@pytest.mark.parametrize("name", ["argmax", "refine_quarter"])
def test_whole_and_quarter_cells_pass_no_gradient(name):
    assert not DECODERS[name](maps(2).requires_grad_()).requires_grad


# ---------------------------------------------------------------------------------------------------------------------
# refine_quarter


def slow_quarter(heatmap: np.ndarray) -> list[float]:
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    h, w = heatmap.shape
    dx = 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1]) if 0 < x < w - 1 else 0
    dy = 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x]) if 0 < y < h - 1 else 0
    return [x + dx, y + dy]


def test_quarter_against_a_loop():
    heatmap = torch.randn(200, 4, 5)  # small: many peaks on the border
    assert refine_quarter(heatmap).tolist() == [slow_quarter(m) for m in heatmap.numpy()]


@pytest.mark.parametrize(
    "row, x",
    [
        ([0, 1, 3, 2, 0], 2.25),
        ([0, 2, 3, 1, 0], 1.75),
        ([0, 2, 3, 2, 0], 2.0),
        ([0, 3, 3, 0, 0], 1.25),  # a tie: the first peak, towards the second
        ([3, 2, 0, 0, 0], 0.0),
        ([0, 0, 0, 2, 3], 4.0),
        ([0, -math.inf, 3, -math.inf, 0], 2.0),
        ([0, -math.inf, 3, 0, 0], 2.25),
        ([0, -3, -1, -2, -9], 0.0),
        ([-9, -3, -1, -2, -9], 2.25),
    ],
)
def test_quarter_by_hand(row, x, device):
    row = torch.tensor([row], dtype=torch.float32, device=device)
    assert refine_quarter(row).tolist() == [x, 0]
    assert refine_quarter(row.mT).tolist() == [0, x]


# ---------------------------------------------------------------------------------------------------------------------
# refine_dark


def slow_dark(heatmap: np.ndarray, blur: float = 0.0, radius: int | None = None) -> np.ndarray:
    """One map, the whole of it blurred; None as radius for the documented one."""
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    h, w = heatmap.shape
    peak = np.array([x, y], dtype=float)
    radius = round(2.5 * blur) if radius is None else radius
    kernel = np.exp(-np.arange(-radius, radius + 1) ** 2 / (2 * blur**2)) if radius else np.ones(1)
    for axis in (0, 1):
        heatmap = ndimage.correlate1d(heatmap, kernel / kernel.sum(), axis=axis, mode="constant")
    if not (0 < x < w - 1 and 0 < y < h - 1) or heatmap[y - 1 : y + 2, x - 1 : x + 2].min() <= 0:
        return peak
    log = np.log(heatmap[y - 1 : y + 2, x - 1 : x + 2])
    gradient = np.array([log[1, 2] - log[1, 0], log[2, 1] - log[0, 1]]) / 2
    mixed = (log[2, 2] - log[2, 0] - log[0, 2] + log[0, 0]) / 4
    hessian = np.array([[log[1, 0] + log[1, 2] - 2 * log[1, 1], mixed], [mixed, log[0, 1] + log[2, 1] - 2 * log[1, 1]]])
    if np.linalg.eigvalsh(hessian).max() >= 0:
        return peak
    return peak + np.clip(-np.linalg.solve(hessian, gradient), -1, 1)


@pytest.mark.parametrize("blur", [0.0, 0.1, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("kind", ["peaked", "noise"])
def test_dark_against_a_loop(kind, blur):
    """Noise has peaks on the border, values below 0, wide steps and indefinite Hessians."""
    heatmap = maps(60) if kind == "peaked" else torch.randn(300, 6, 7, dtype=torch.float64) + 1.5
    oracle = np.stack([slow_dark(m, blur) for m in heatmap.numpy()])
    close(refine_dark(heatmap, blur=blur), torch.from_numpy(oracle), atol=1e-9)
    if kind == "noise":
        moved = np.abs(oracle - argmax(heatmap).numpy())
        assert (moved.max(1) == 0).any() and (moved.max(1) > 0).any()


@pytest.mark.parametrize("amplitude", [1e-6, 1.0, 300.0])
def test_dark_is_exact_on_log_gaussians(amplitude):
    """Any center, width, height and tilt: the log is a quadratic and its central differences are exact."""
    draw = torch.Generator().manual_seed(1)
    centers = 8 + 4 * torch.rand(200, 2, generator=draw, dtype=torch.float64)
    root = torch.randn(200, 2, 2, generator=draw, dtype=torch.float64) * 0.1 + 0.5 * torch.eye(2)
    y, x = torch.meshgrid(*[torch.arange(20.0, dtype=torch.float64)] * 2, indexing="ij")
    offset = (torch.stack((x, y), -1)[None] - centers[:, None, None]) @ root[:, None]
    heatmap = amplitude * torch.exp(-offset.square().sum(-1) / 2)
    assert (argmax(heatmap) - centers).abs().max() < 1  # else the clamp would bind
    close(refine_dark(heatmap), centers, atol=1e-9)


@pytest.mark.parametrize("blur, bound", [(0.3, 1e-4), (0.5, 2e-3), (1.0, 2e-4), (1.5, 3e-5), (2.0, 4e-5), (3.0, 2e-5)])
def test_dark_with_blur_is_exact_up_to_the_kernels_end(blur, bound):
    """A blurred Gaussian is a Gaussian; what the cut kernel leaves is small, and an uncut one leaves nothing."""
    centers = 20 + torch.rand(100, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for sigma in (1.0, 1.5, 2.0, 3.0):
        heatmap = gaussian_heatmap(centers, (42, 42), sigma=sigma)
        close(refine_dark(heatmap, blur=blur), centers, atol=bound)
    if blur == 2.0:
        few = gaussian_heatmap(centers[:5], (42, 42), sigma=2.0).numpy()
        close(torch.from_numpy(np.stack([slow_dark(m, blur, radius=18) for m in few])), centers[:5], atol=1e-9)


def ramp(*, low: float = 0.1) -> Tensor:
    """A 5 x 6 map that falls from its first cell: its peak can be moved by a single larger value."""
    return 1 - (1 - low) * torch.arange(30, dtype=torch.float64).view(5, 6) / 29


@pytest.mark.parametrize("y, x", [(0, 2), (4, 2), (2, 0), (2, 5), (0, 0), (4, 5)])
@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_dark_stays_at_the_border(y, x, blur):
    heatmap = ramp()
    heatmap[y, x] = 2.0
    assert refine_dark(heatmap, blur=blur).tolist() == [x, y]


@pytest.mark.parametrize("value", [0.0, -1.0, -math.inf])
@pytest.mark.parametrize("y, x", [(1, 2), (2, 2), (3, 4)])
def test_dark_stays_where_the_window_is_not_positive(value, y, x):
    heatmap = ramp()
    heatmap[2, 3] = 2.0
    assert refine_dark(heatmap).tolist() != [3, 2]
    heatmap[y, x] = value
    assert refine_dark(heatmap).tolist() == [3, 2]


def test_dark_stays_on_a_saddle():
    saddle = torch.tensor([[0.0, -0.1, -8.0], [-0.1, 0.001, -0.1], [-8.0, -0.1, 0.0]]).exp()
    assert refine_dark(saddle).tolist() == [1, 1]
    assert refine_dark(torch.ones(3, 3)).tolist() == [0, 0]


def test_dark_stays_in_a_hollow():
    """A sharp cell within a ring: once blurred it is a minimum, and a Newton step would look for that."""
    heatmap = torch.full((9, 9), 0.1, dtype=torch.float64)
    heatmap[2:7, 2:7] = 0.95
    heatmap[3:6, 3:6] = 0.1
    heatmap[3:6, 6] = 0.97  # lopsided: the step would not be 0
    heatmap[4, 4] = 1.0
    assert slow_dark(heatmap.numpy(), blur=1.0).tolist() == [4, 4]
    assert refine_dark(heatmap, blur=1.0).tolist() == [4, 4]


def test_dark_on_a_singular_hessian():
    """Determinant 0, give or take the logarithms' last bits: stay or go as far as the clamp, with a gradient of 0."""
    powers = torch.tensor([[-10.0, -1.0, -2.0], [-1.0, 0.0, -2.5], [-1.0, -2.5, -7.0]], dtype=torch.float64)
    heatmap = torch.exp2(powers).requires_grad_()
    cells = refine_dark(heatmap)
    assert set(cells.tolist()) <= {0.0, 1.0, 2.0}
    cells.sum().backward()
    assert torch.equal(heatmap.grad, torch.zeros(3, 3, dtype=torch.float64))


@pytest.mark.parametrize("flip", [(), (0,), (1,), (0, 1)])
def test_dark_clamps_its_step(flip):
    """Gradient .495 an axis, second differences -1.01, mixed .9: Newton would leap some 4 cells."""
    log = torch.tensor([[-0.01, -1.0, -1.81], [-1.0, 0.0, -0.01], [-1.81, -0.01, -0.01]], dtype=torch.float64)
    step = torch.tensor([-1.0 if 1 in flip else 1.0, -1.0 if 0 in flip else 1.0], dtype=torch.float64)
    heatmap = log.exp().flip(flip)
    close(refine_dark(heatmap), 1 + step)
    heatmap.requires_grad_()
    refine_dark(heatmap).sum().backward()
    assert torch.equal(heatmap.grad, torch.zeros(3, 3, dtype=torch.float64))


@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_dark_gradients(blur):
    heatmap = maps(3, hw=(7, 8)).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: refine_dark(h, blur=blur), heatmap)


def test_dark_gradient_is_zero_and_finite_where_it_stays():
    heatmap = torch.zeros(2, 4, 5, dtype=torch.float64)
    heatmap[0, 0, 0] = heatmap[1, 1, 2] = 1.0
    heatmap.requires_grad_()
    refine_dark(heatmap).sum().backward()
    assert torch.equal(heatmap.grad, torch.zeros_like(heatmap))


def test_dark_blurs_after_it_has_found_the_peak():
    """One sharp cell against a broad hill that wins once blurred: the answer stays within a cell of the sharp one."""
    heatmap = gaussian_heatmap(torch.tensor([14.0, 5.0], dtype=torch.float64), (11, 20), sigma=2.0) + 1e-3
    heatmap[5, 4] = 1.2
    assert (refine_dark(heatmap, blur=2.0) - torch.tensor([4.0, 5.0])).abs().max() <= 1


# ---------------------------------------------------------------------------------------------------------------------
# refine_udp


def slow_udp(heatmap: np.ndarray, blur: float, *, guards: bool) -> np.ndarray:
    """One map as mmpose does it: blurred as a whole, brought back to its height, clipped, logged, its edges repeated.

    With our guards the map's height counts as 1 and is that of the window, a step is at most 1 an axis, and none is
    taken where the Hessian is not negative definite.
    """
    y, x = np.unravel_index(heatmap.argmax(), heatmap.shape)
    top, radius = heatmap.max(), round(2.5 * blur)
    kernel = np.exp(-np.arange(-radius, radius + 1) ** 2 / (2 * blur**2)) if radius else np.ones(1)
    for axis in (0, 1):
        heatmap = ndimage.correlate1d(heatmap, kernel / kernel.sum(), axis=axis, mode="constant")
    window = np.pad(heatmap, 1, mode="edge")[y : y + 3, x : x + 3]
    log = np.log(np.clip(window / window.max() if guards else window * (top / heatmap.max()), 1e-3, 50))
    gradient = np.array([log[1, 2] - log[1, 0], log[2, 1] - log[0, 1]]) / 2
    mixed = (log[2, 2] - log[1, 2] - log[2, 1] + 2 * log[1, 1] - log[1, 0] - log[0, 1] + log[0, 0]) / 2
    hessian = np.array([[log[1, 0] + log[1, 2] - 2 * log[1, 1], mixed], [mixed, log[0, 1] + log[2, 1] - 2 * log[1, 1]]])
    if guards and np.linalg.eigvalsh(hessian).max() >= -1e-12:
        return np.array([x, y], dtype=float)
    step = -np.linalg.solve(hessian, gradient)
    return np.array([x, y]) + (np.clip(step, -1, 1) if guards else step)


@pytest.mark.parametrize("blur", [0.0, 0.6, 1.0, 2.0])
def test_udp_against_mmposes_way(blur):
    """No guard of ours binds on peaks: without a blur nor at the border, where a blurred map often rises inwards."""
    heatmap = anywhere(150)
    at_border = ((argmax(heatmap) == 0) | (argmax(heatmap) == torch.tensor([10.0, 8.0]))).any(-1)
    assert 10 < at_border.sum() < 100
    heatmap = heatmap[~at_border] if blur else heatmap
    oracle = np.stack([slow_udp(m / m.max(), blur, guards=False) for m in heatmap.numpy()])
    close(decode.refine_udp(heatmap, blur=blur), torch.from_numpy(oracle), atol=1e-9)
    close(decode.refine_udp(heatmap * 300, blur=blur), torch.from_numpy(oracle), atol=1e-9)  # any scale


@pytest.mark.parametrize("blur", [0.0, 0.6, 1.0])
def test_udp_against_a_loop_on_noise(blur):
    """Wide steps, indefinite Hessians, values below the floor and below 0."""
    heatmap = torch.randn(300, 6, 7, dtype=torch.float64) + 0.7
    heatmap = heatmap[torch.tensor([ndimage.gaussian_filter(m, blur or 0.01).max() > 0 for m in heatmap.numpy()])]
    oracle = np.stack([slow_udp(m, blur, guards=True) for m in heatmap.numpy()])
    close(decode.refine_udp(heatmap, blur=blur), torch.from_numpy(oracle), atol=1e-9)
    moved = np.abs(oracle - argmax(heatmap).numpy())
    assert (moved.max(1) == 0).any() and (moved == 1).any()


def test_udp_is_dark_on_gaussians_and_exact_on_tilted_ones():
    """Inside the map; both mixed differences are exact on a quadratic."""
    heatmap = gaussian_heatmap(20 + torch.rand(50, 2, dtype=torch.float64), (42, 42), sigma=1.5)
    for blur in (0.0, 1.0, 2.0):
        close(decode.refine_udp(heatmap, blur=blur), refine_dark(heatmap, blur=blur), atol=1e-4 if blur else 1e-9)
    center = torch.tensor([8.3, 7.8], dtype=torch.float64)
    y, x = torch.meshgrid(*[torch.arange(16.0, dtype=torch.float64)] * 2, indexing="ij")
    dx, dy = x - center[0], y - center[1]
    tilted = torch.exp(-(dx**2 + dx * dy + dy**2) / 4)
    close(decode.refine_udp(tilted, blur=0.0), center, atol=1e-9)


def test_udp_differs_from_dark_by_its_floor_and_its_border():
    """A value <= 0 in the window counts as a thousandth; a border peak ends half a cell outside, whatever its slope."""
    heatmap = torch.full((7, 9), 0.5, dtype=torch.float64)
    heatmap[3, 4] = 2.0
    heatmap[3, 5] = 1.0
    raised = heatmap.clone()
    heatmap[2, 3], raised[2, 3] = 0.0, 2e-3
    assert refine_dark(heatmap).tolist() == [4, 3]
    close(decode.refine_udp(heatmap, blur=0.0), decode.refine_udp(raised, blur=0.0))
    assert decode.refine_udp(heatmap, blur=0.0).tolist() != [4, 3]
    for slope in (0.2, 0.9):
        edge = torch.tensor([slope, 1.0, slope], dtype=torch.float64)[:, None] * slope ** torch.arange(5.0)
        close(decode.refine_udp(edge, blur=0.0), torch.tensor([-0.5, 1.0], dtype=torch.float64))
        close(decode.refine_udp(edge.flip(1), blur=0.0), torch.tensor([4.5, 1.0], dtype=torch.float64))
    assert decode.refine_udp(torch.zeros(3, 3)).tolist() == [0, 0]
    assert decode.refine_udp(torch.full((3, 3), -1.0)).tolist() == [0, 0]


def test_udp_depends_on_a_flip():
    """Its mixed difference is that of one diagonal: transposed or turned by 180 degrees, not mirrored, it is equal."""
    heatmap = maps(20)
    out = decode.refine_udp(heatmap, blur=0.0)
    close(decode.refine_udp(heatmap.mT, blur=0.0), out.flip(-1))
    close(decode.refine_udp(heatmap.flip(-1, -2), blur=0.0), torch.tensor([10.0, 8.0]) - out)
    mirrored = decode.refine_udp(heatmap.flip(-1), blur=0.0)
    assert (mirrored[:, 0] - (10 - out[:, 0])).abs().max() > 1e-3
    dark = refine_dark(heatmap)
    close(refine_dark(heatmap.flip(-1))[:, 0], 10 - dark[:, 0])


@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_udp_gradients(blur):
    heatmap = torch.cat((maps(3, hw=(7, 8)), anywhere(3, (7, 8)))).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: decode.refine_udp(h, blur=blur), heatmap)
    empty = torch.zeros(2, 4, 5, dtype=torch.float64, requires_grad=True)
    decode.refine_udp(empty, blur=blur).sum().backward()
    assert torch.equal(empty.grad, torch.zeros_like(empty))


# ---------------------------------------------------------------------------------------------------------------------
# soft_argmax_window


@pytest.mark.parametrize("radius", [1, 2, 4, 20])
@pytest.mark.parametrize("tau", [0.5, 1.0])
def test_window_against_a_map_cut_out_by_hand(radius, tau):
    """Cells out of the window count as -inf; with a large one it is soft-argmax."""
    logits = torch.cat((maps(20).log(), torch.randn(40, 9, 11, dtype=torch.float64)))
    cut = torch.full_like(logits, -math.inf)
    for z, c, (x, y) in zip(logits, cut, argmax(logits).long().tolist(), strict=True):
        rows, columns = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
        c[rows, columns] = z[rows, columns]
    close(decode.soft_argmax_window(logits, tau, radius=radius), soft_argmax(cut, tau))
    close(decode.soft_argmax_window(logits, tau, radius=11), soft_argmax(logits, tau))


def test_window_ignores_another_peak():
    """A second person 20 cells away, 90 % as high, drags soft-argmax by many cells and the window by none."""
    cells = torch.tensor([[10.3, 8.0], [30.0, 8.0]], dtype=torch.float64)
    one, other = gaussian_heatmap(cells, (17, 41), sigma=1.5)
    logits = (one + 0.9 * other).log()
    assert soft_argmax(logits)[0] > 19
    close(decode.soft_argmax_window(logits, radius=6), cells[0], atol=1e-3)


@pytest.mark.parametrize(
    "q, radius, largest",
    [(1.0, 1, 0.227), (1.0, 2, 0.0432), (1.0, 3, 2.93e-3), (1.0, 4, 6.8e-5), (2.0, 8, 1.96e-4), (4.0, 16, 3.23e-4)],
)
def test_window_leans_to_its_whole_cell_like_a_truncated_normal(q, radius, largest):
    u = (torch.arange(40, dtype=torch.float64) + 0.5) / 40 - 0.5
    logits = -(torch.arange(81.0, dtype=torch.float64) - 40 - u[:, None, None]).square() / (2 * q**2)  # (40, 1, 81)
    error = decode.soft_argmax_window(logits, radius=radius)[:, 0] - 40 - u
    law = stats.truncnorm.mean((-radius - 0.5 - u.numpy()) / q, (radius + 0.5 - u.numpy()) / q, scale=q)
    assert (error - torch.from_numpy(law)).abs().max() < 0.006
    assert error.abs().max().item() == pytest.approx(largest, rel=5e-3)
    assert (error * u <= 0).all()


def test_window_gradients_and_infinite_logits():
    logits = torch.randn(4, 5, 6, dtype=torch.float64, requires_grad=True)  # peaks at the border too
    assert torch.autograd.gradcheck(lambda z: decode.soft_argmax_window(z, 0.7, radius=2), logits)
    masked = torch.full((1, 7), -math.inf)
    masked[0, 3] = 2.0
    assert decode.soft_argmax_window(masked, radius=2).tolist() == [3, 0]
    assert decode.soft_argmax_window(torch.full((2, 2), -math.inf), radius=1).isnan().all()


# ---------------------------------------------------------------------------------------------------------------------
# anchors


def votes(*leading: int, n=12, dtype=torch.float64, seed=5) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(3), torch.arange(n // 3), indexing="ij")
    places = 8 * torch.stack((x.flatten(), y.flatten()), -1).to(dtype)
    scores = torch.randn(*leading, n, generator=draw, dtype=torch.float64).to(dtype)
    return scores, places, (3 * torch.randn(*leading, n, 2, generator=draw, dtype=torch.float64)).to(dtype)


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_anchors_against_a_loop(mode):
    scores, places, offsets = votes(2, 5)
    out = decode.decode_anchors(scores, places, offsets, mode=mode)
    for b in range(2):
        for k in range(5):
            weight = special.softmax(scores[b, k].numpy()) if mode == "soft" else np.eye(12)[scores[b, k].argmax()]
            close(out[b, k], torch.from_numpy(weight @ (places + offsets[b, k]).numpy()))
    close(decode.decode_anchors(scores[0, 0], places, offsets[0, 0], mode=mode), out[0, 0])


@pytest.mark.parametrize("mode", ["hard", "soft"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (0,), (2, 3)])
def test_anchors_exact_offsets_find_the_keypoint_whatever_the_scores(mode, dtype, leading, device):
    scores, places, _ = (t.to(device) for t in votes(*leading, dtype=dtype))
    keypoint = torch.tensor([13.25, 6.5], dtype=dtype, device=device)
    out = decode.decode_anchors(scores, places, (keypoint - places).expand(*leading, 12, 2), mode=mode)
    assert (out.shape, out.dtype, out.device.type) == ((*leading, 2), dtype, device)
    close(out, keypoint.expand(*leading, 2), atol=1e-5 if dtype != torch.float64 else 1e-12)


def test_anchors_without_offsets_are_argmax_and_soft_argmax():
    """Cells as anchors, a map as scores."""
    logits = maps(4).log()
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(11.0), indexing="ij")
    cells, none = torch.stack((x, y), -1).double().flatten(0, 1), torch.zeros(4, 99, 2, dtype=torch.float64)
    close(decode.decode_anchors(logits.flatten(1), cells, none), argmax(logits))
    close(decode.decode_anchors(logits.flatten(1), cells, none, mode="soft"), soft_argmax(logits))


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_anchors_with_a_score_of_nan_answer_nan(mode):
    scores, places, offsets = votes(3)
    scores[1, 4] = math.nan
    out = decode.decode_anchors(scores, places, offsets, mode=mode)
    assert out[1].isnan().all() and out[[0, 2]].isfinite().all()


def test_anchors_ties_sharp_scores_and_gradients():
    scores, places, offsets = votes(3)
    first = decode.decode_anchors(torch.zeros(12).double(), places, offsets[0])
    close(first, places[0] + offsets[0, 0])
    soft = decode.decode_anchors(scores * 1e5, places, offsets, mode="soft")
    close(soft, decode.decode_anchors(scores, places, offsets))
    assert decode.decode_anchors.__kwdefaults__ == {"mode": "hard"}
    inputs = [t.clone().requires_grad_() for t in (scores, places, offsets)]
    assert torch.autograd.gradcheck(lambda s, a, o: decode.decode_anchors(s, a, o, mode="soft"), inputs)
    assert torch.autograd.gradcheck(lambda a, o: decode.decode_anchors(scores, a, o), inputs[1:])
    before = [t.clone() for t in votes(3)]
    assert all(torch.equal(a, b) for a, b in zip(before, (scores, places, offsets), strict=True))


# ---------------------------------------------------------------------------------------------------------------------
# SimCC


def simcc_scores(*leading: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(*leading, n, generator=draw, dtype=torch.float64) for n in (9, 6))
    return x, y


@pytest.mark.parametrize("ratio", [1.0, 2.0, 3.0])
def test_simcc_rounds_to_a_bin(ratio):
    """Hard: at most half a bin off, of root mean square 1 / (ratio sqrt(12)) px over all phases. Soft: exact inside."""
    n = 2000
    xy = 8 + torch.stack([torch.arange(n) * 3.0 / n] * 2, -1).double()
    logits = [p.log() for p in simcc_targets(xy, (20, 20), ratio=ratio, sigma=2.0)]
    error = decode.decode_simcc(*logits, ratio=ratio) - xy
    assert error.abs().max() <= 0.5 / ratio + 1e-12
    close(error.square().mean(0).sqrt(), torch.full((2,), 1 / (ratio * math.sqrt(12))).double(), 1e-3)
    middle = simcc_targets(xy, (20, 20), ratio=ratio, sigma=1.2)
    close(decode.decode_simcc(*(p.log() for p in middle), ratio=ratio, mode="soft"), xy, 1e-9)


def test_simcc_soft_is_the_mean_bin():
    x, y = simcc_scores(2, 3)
    mean = [z.softmax(-1) @ (torch.arange(z.shape[-1]).double() / 2) for z in (x, y)]
    close(decode.decode_simcc(x, y, ratio=2, mode="soft"), torch.stack(mean, -1))
    assert torch.autograd.gradcheck(
        lambda *z: decode.decode_simcc(*z, ratio=2, mode="soft"), (x.requires_grad_(), y.requires_grad_())
    )


@pytest.mark.parametrize("mode", ["hard", "soft"])
@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0,)])
def test_simcc_shapes_loops_and_inputs(mode, leading, device):
    x, y = (z.float().to(device) for z in simcc_scores(*leading))
    before = x.clone(), y.clone()
    xy = decode.decode_simcc(x, y, ratio=2, mode=mode)
    assert (xy.shape, xy.dtype, xy.device.type) == ((*leading, 2), torch.float32, device)
    assert torch.equal(x, before[0]) and torch.equal(y, before[1])
    for index in np.ndindex(*leading):
        close(xy[index], decode.decode_simcc(x[index], y[index], ratio=2, mode=mode), 1e-6)


@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_simcc_in_half_precision_is_the_wide_result_rounded(mode):
    """bfloat16 has no 301, but 301 / 4 px is 75 and 0.25."""
    x, y = (z.bfloat16() for z in simcc_scores(20))
    x = torch.nn.functional.pad(x, (301, 0), value=-9)
    found = decode.decode_simcc(x, y, ratio=4, mode=mode)
    assert torch.equal(found, decode.decode_simcc(x.float(), y.float(), ratio=4, mode=mode).bfloat16())


def test_simcc_ties_take_the_lowest_bin():
    assert decode.decode_simcc(torch.zeros(4), torch.tensor([0.0, 2.0, 2.0]), ratio=2).tolist() == [0.0, 0.5]
    assert decode.decode_simcc(torch.zeros(4), torch.zeros(3), ratio=2, mode="soft").tolist() == [0.75, 0.5]


@pytest.mark.parametrize(
    "change, text",
    [
        ({"ratio": 0}, "ratio: want a finite number > 0, got 0"),
        ({"mode": "mean"}, "mode: want one of 'hard', 'soft', got 'mean'"),
        ({"y": torch.zeros(3, 4)}, "y: want shape (2, bins >= 1), got (3, 4)"),
        ({"x": torch.zeros(2, 4, dtype=torch.int64)}, "x: want a floating dtype, got int64"),
        ({"x": torch.zeros(2, 0)}, "x: want shape (2, bins >= 1), got (2, 0)"),
    ],
)
def test_simcc_errors(change, text):
    with pytest.raises(ValueError) as error:
        decode.decode_simcc(**{"x": torch.zeros(2, 4), "y": torch.zeros(2, 5), "ratio": 2.0, "mode": "hard"} | change)
    assert str(error.value) == text
