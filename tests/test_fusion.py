"""Fused estimates against proofs, simulation and searches over all weights."""

import math

import pytest
import torch
from scipy import optimize
from torch import Tensor

from posebook.fusion import (
    fuse_correlated,
    fuse_correlated_axes,
    fuse_covariance_intersection,
    fuse_inverse_covariance,
    fuse_inverse_variance,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(autouse=True)
def double():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def covariances(*shape: int, d: int = 2) -> Tensor:
    """Random positive definite matrices ``(*shape, d, d)``, none nearly singular."""
    root = torch.randn(*shape, d, d)
    return root @ root.mT + 0.2 * torch.eye(d)


def tensors(name: str, *leading: int, d: int = 2) -> tuple[Tensor, Tensor]:
    """Arguments for one of FUSIONS: two heads of d axes."""
    estimates = torch.randn(2, *leading, d)
    if name == "fuse_inverse_variance":
        return estimates, 0.1 + torch.rand(2, *leading)
    if name == "fuse_correlated":
        return estimates, covariances(*leading)
    if name == "fuse_correlated_axes":
        return estimates, covariances(*leading, d=2 * d).unflatten(-1, (2, d)).unflatten(-3, (2, d))
    return estimates, covariances(2, *leading, d=d)


FUSIONS = {
    "fuse_inverse_variance": fuse_inverse_variance,
    "fuse_inverse_covariance": fuse_inverse_covariance,
    "fuse_correlated": fuse_correlated,
    "fuse_correlated_axes": fuse_correlated_axes,
    "fuse_covariance_intersection": fuse_covariance_intersection,
}
AXES = [  # return a covariance (..., D, D)
    "fuse_inverse_covariance", "fuse_correlated_axes", "fuse_covariance_intersection",
]
every = pytest.mark.parametrize("name", FUSIONS)


def close(actual: Tensor, expected: Tensor, atol: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# ---------------------------------------------------------------------------------------------------------------------
# What all of them share


@every
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [(), (3,), (0,), (2, 3)])
def test_shape_dtype_device(name, dtype, leading, device):
    arguments = [t.to(dtype).to(device) for t in tensors(name, *leading)]
    before = [t.clone() for t in arguments]
    fused, variance = FUSIONS[name](*arguments)
    assert (fused.shape, fused.dtype, fused.device.type) == ((*leading, 2), dtype, device)
    shape = (*leading, 2, 2) if name in AXES else leading
    assert (variance.shape, variance.dtype, variance.device.type) == (shape, dtype, device)
    assert all(torch.equal(a, b) for a, b in zip(arguments, before, strict=True))
    if dtype in (torch.float16, torch.bfloat16):
        wide = FUSIONS[name](*[t.float() for t in arguments])
        assert torch.equal(fused, wide[0].to(dtype)) and torch.equal(variance, wide[1].to(dtype))


@every
def test_batch_is_a_loop_and_meta(name):
    arguments = tensors(name, 3)
    fused, variance = FUSIONS[name](*arguments)
    for b in range(3):
        second = arguments[1][b] if name in ("fuse_correlated", "fuse_correlated_axes") else arguments[1][:, b]
        one = FUSIONS[name](arguments[0][:, b], second)
        close(one[0], fused[b])
        close(one[1], variance[b])
    meta = FUSIONS[name](*[t.to("meta") for t in arguments])
    assert meta[0].device.type == "meta" and meta[0].shape == fused.shape and meta[1].shape == variance.shape


@every
def test_units_and_origin(name):
    """Moved estimates move the result; in a unit three times as large variances are nine times as large."""
    estimates, spread = tensors(name, 4)
    fused, variance = FUSIONS[name](estimates, spread)
    moved, same = FUSIONS[name](estimates + torch.tensor([100.0, -7.0]), spread)
    close(moved, fused + torch.tensor([100.0, -7.0]))
    close(same, variance)
    scaled, larger = FUSIONS[name](3 * estimates, 9 * spread)
    close(scaled, 3 * fused)
    close(larger, 9 * variance)
    agreed, _ = FUSIONS[name](estimates[:1].expand_as(estimates), spread)
    close(agreed, estimates[0])  # weights sum to 1


@every
def test_gradients(name):
    estimates, spread = tensors(name, 2)
    if name == "fuse_inverse_variance":
        inputs = (estimates.requires_grad_(), spread.requires_grad_())
        assert torch.autograd.gradcheck(FUSIONS[name], inputs)
    else:  # a covariance stays symmetric only if its root is what moves
        flat = spread.flatten(-4, -3).flatten(-2) if name == "fuse_correlated_axes" else spread
        root = torch.linalg.cholesky(flat)

        def fuse(e: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
            return FUSIONS[name](e, (r @ r.mT).view(spread.shape))

        assert torch.autograd.gradcheck(fuse, (estimates.requires_grad_(), root.requires_grad_()))


@every
@pytest.mark.parametrize("estimates, text", [
    (torch.zeros(2), "want shape (M, ..., D) with M, D >= 1, got (2,)"),
    (torch.zeros(0, 2), "want shape (M, ..., D) with M, D >= 1, got (0, 2)"),
    (torch.zeros(2, 2, dtype=torch.int64), "want a floating dtype, got int64"),
])  # fmt: skip
def test_errors_of_estimates(name, estimates, text):
    with pytest.raises(ValueError) as error:
        FUSIONS[name](estimates, torch.ones(2))
    assert str(error.value) == "estimates: " + text


@pytest.mark.parametrize("call, text", [
    (lambda z: fuse_inverse_variance(z, torch.ones(3)), "variances: want shape (2,), one per head, got (3,)"),
    (lambda z: fuse_inverse_variance(z, torch.tensor([1.0, 0.0])), "variances: want > 0, got 0.0"),
    (lambda z: fuse_inverse_variance(z, torch.tensor([1.0, -2.0])), "variances: want > 0, got -2.0"),
    (lambda z: fuse_inverse_covariance(z, torch.ones(2, 2)), "covariances: want shape (2, 2, 2), got (2, 2)"),
    (lambda z: fuse_inverse_covariance(z, torch.ones(2, 2, 2)),
     "covariances: want positive definite matrices, got one that is not"),
    (lambda z: fuse_correlated(z, torch.eye(3)), "covariance: want shape (2, 2), got (3, 3)"),
    (lambda z: fuse_correlated(z, torch.ones(2, 2)),
     "covariance: want positive definite matrices, got one that is not"),
    (lambda z: fuse_correlated_axes(z, torch.eye(4)), "covariance: want shape (2, 2, 2, 2), got (4, 4)"),
    (lambda z: fuse_covariance_intersection(z[:1], torch.ones(1, 2, 2)),
     "estimates: want shape (2, ..., D), D at most 2, got (1, 2)"),
    (lambda z: fuse_covariance_intersection(torch.zeros(2, 3), torch.eye(3).expand(2, 3, 3)),
     "estimates: want shape (2, ..., D), D at most 2, got (2, 3)"),
])  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call(torch.zeros(2, 2))
    assert str(error.value) == text


# ---------------------------------------------------------------------------------------------------------------------
# Independent heads


def test_inverse_variance_by_hand_and_one_head():
    fused, variance = fuse_inverse_variance(torch.tensor([[0.0], [10.0]]), torch.tensor([1.0, 4.0]))
    assert fused.item() == pytest.approx(2) and variance.item() == pytest.approx(0.8)
    fused, variance = fuse_inverse_variance(torch.tensor([[3.0, 4.0]]), torch.tensor([7.0]))
    assert fused.tolist() == [3, 4] and variance.item() == 7
    fused, variance = fuse_inverse_variance(torch.tensor([[1.0], [2.0], [6.0]]), torch.full((3,), 6.0))
    assert fused.item() == pytest.approx(3) and variance.item() == pytest.approx(2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inverse_variance_of_tiny_huge_and_infinite(dtype):
    estimates = torch.tensor([[5.0], [9.0]], dtype=dtype)
    for sure in (1e-12, 1e-38, 1e-40):  # 1 / 1e-40 is no float32
        fused, variance = fuse_inverse_variance(estimates, torch.tensor([sure, 1.0], dtype=dtype))
        assert fused.item() == pytest.approx(5, abs=1e-11) and variance.item() == pytest.approx(sure, rel=1e-4)
    fused, variance = fuse_inverse_variance(estimates, torch.tensor([2.0, math.inf], dtype=dtype))
    assert fused.item() == 5 and variance.item() == 2


def test_no_other_weights_do_better():
    """For weights that sum to 1: variance = V* + sum v (w - w*)^2."""
    v = torch.tensor([1.0, 4.0, 0.5, 2.0])
    best, variance = fuse_inverse_variance(torch.eye(4)[:, None, :], v[:, None])  # unit vectors: the weights
    assert best.sum().item() == pytest.approx(1)
    for _ in range(20):
        w = torch.rand(4)
        w = w / w.sum()
        assert (v * w.square()).sum().item() == pytest.approx((variance + (v * (w - best).square()).sum()).item())


def test_inverse_variance_in_simulation():
    v = torch.tensor([1.0, 4.0, 9.0])
    estimates = torch.tensor([3.0, -2.0]) + v.sqrt()[:, None, None] * torch.randn(3, 40_000, 2)
    fused, variance = fuse_inverse_variance(estimates, v[:, None].expand(3, 40_000))
    assert fused.var(0).tolist() == pytest.approx([36 / 49] * 2, rel=4.5 * math.sqrt(2 / 40_000))
    assert variance[0].item() == pytest.approx(36 / 49)
    assert fused.mean(0).tolist() == pytest.approx([3, -2], abs=4.5 * math.sqrt(36 / 49 / 40_000))


def test_a_head_that_fails_in_silence():
    """Two equal heads, one 60 px off in 10 % of frames: MSE = V + (w b)^2, so the fused RMSE is 9.5 and not 0.7."""
    n = 20_000
    estimates = torch.randn(2, n, 1)
    estimates[1, : n // 10] += 60
    fused, _ = fuse_inverse_variance(estimates, torch.ones(2, n))
    assert fused.square().mean().sqrt().item() == pytest.approx(math.sqrt(0.5 + 0.1 * 30**2), rel=2e-3)
    known = torch.ones(2, n)
    known[1, : n // 10] = 60**2  # a head that says so does no harm
    assert fuse_inverse_variance(estimates, known)[0].square().mean().sqrt().item() < 0.8


def test_inverse_covariance_in_simulation_and_by_axes():
    """Its covariance is that of the errors; it never has more trace than axis by axis, and equals it untilted."""
    s = covariances(3)
    errors = torch.linalg.cholesky(s)[:, None] @ torch.randn(3, 40_000, 2, 1)  # (3, n, 2, 1)
    fused, covariance = fuse_inverse_covariance(errors[..., 0], s[:, None].expand(3, 40_000, 2, 2))
    close(torch.cov(fused.T), covariance[0], atol=0.03 * covariance[0].trace().item())
    z = torch.randn(2, 500, 2)
    tilted = covariances(2, 500)
    trace = fuse_inverse_covariance(z, tilted)[1].diagonal(dim1=-2, dim2=-1).sum(-1)
    by_axes = fuse_inverse_variance(z[..., None], tilted.diagonal(dim1=-2, dim2=-1))[1].sum(-1)
    assert (trace <= by_axes + 1e-12).all() and (trace < 0.8 * by_axes).any()
    straight = torch.diag_embed(0.1 + torch.rand(2, 500, 2))
    fused, covariance = fuse_inverse_covariance(z, straight)
    one, variance = fuse_inverse_variance(z[..., None], straight.diagonal(dim1=-2, dim2=-1))
    close(fused, one[..., 0])
    close(covariance, torch.diag_embed(variance))


# ---------------------------------------------------------------------------------------------------------------------
# Correlated heads


def test_correlated_is_the_least_variance_among_all_weights():
    c = covariances(d=4)
    weights, variance = fuse_correlated(torch.eye(4), c)  # the unit vectors: their mean is the weights

    def of(w: list[float]) -> float:
        w = torch.tensor([*w, 1 - sum(w)])
        return (w @ c @ w).item()

    found = optimize.minimize(of, [0.25] * 3, method="BFGS", options={"gtol": 1e-9})
    assert variance.item() == pytest.approx(found.fun, rel=1e-9)
    assert weights[:3].tolist() == pytest.approx(found.x.tolist(), abs=1e-4)
    assert weights.sum().item() == pytest.approx(1)


def test_correlated_is_inverse_variance_without_correlation():
    z, v = torch.randn(3, 5, 2), 0.1 + torch.rand(3, 5)
    fused, variance = fuse_correlated(z, torch.diag_embed(v.T))
    close(fused, fuse_inverse_variance(z, v)[0])
    close(variance, fuse_inverse_variance(z, v)[1])


def test_correlated_weights_leave_0_to_1():
    """Head 2, twice as wide: weight .2, 0 at r = 1/2, then negative."""
    for r, w in [(0.0, 0.2), (0.5, 0.0), (0.8, -1 / 3)]:
        fused, _ = fuse_correlated(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0, 2 * r], [2 * r, 4.0]]))
        assert fused.item() == pytest.approx(w, abs=1e-12)


def test_correlated_axes_contains_the_others():
    z = torch.randn(3, 5, 2)
    s = covariances(3, 5)
    joint = torch.zeros(5, 3, 2, 3, 2)
    for m in range(3):
        joint[:, m, :, m, :] = s[m]
    fused, covariance = fuse_correlated_axes(z, joint)
    close(fused, fuse_inverse_covariance(z, s)[0])
    close(covariance, fuse_inverse_covariance(z, s)[1])
    c = covariances(5, d=3)
    fused, covariance = fuse_correlated_axes(z, c[:, :, None, :, None] * torch.eye(2)[:, None, :])
    close(fused, fuse_correlated(z, c)[0])
    close(covariance, fuse_correlated(z, c)[1][:, None, None] * torch.eye(2))


def test_correlated_axes_in_simulation():
    joint = covariances(d=4)
    errors = (torch.linalg.cholesky(joint) @ torch.randn(40_000, 4, 1))[..., 0]
    z = errors.unflatten(-1, (2, 2)).movedim(1, 0)  # (2, n, 2)
    wanted = joint.view(2, 2, 2, 2)
    fused, covariance = fuse_correlated_axes(z, wanted.expand(40_000, 2, 2, 2, 2))
    close(torch.cov(fused.T), covariance[0], atol=0.03 * covariance[0].trace().item())
    naive = fuse_inverse_covariance(z, torch.stack((joint[:2, :2], joint[2:, 2:]))[:, None].expand(2, 40_000, 2, 2))[0]
    assert torch.cov(naive.T).trace() > torch.cov(fused.T).trace()


# ---------------------------------------------------------------------------------------------------------------------
# Covariance intersection


def test_intersection_against_a_search_over_omega():
    a, b = covariances(300), covariances(300)
    _, covariance = fuse_covariance_intersection(torch.zeros(2, 300, 2), torch.stack((a, b)))
    omega = torch.linspace(0, 1, 2001)[:, None, None, None]
    traces = torch.linalg.inv(omega * a.inverse() + (1 - omega) * b.inverse()).diagonal(dim1=-2, dim2=-1).sum(-1)
    least = traces.amin(0)
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert (trace <= least + 1e-9).all() and (trace >= least * (1 - 1e-4)).all()
    inner = (traces.argmin(0) > 0) & (traces.argmin(0) < 2000)
    assert 30 < inner.sum() < 290


def test_intersection_is_consistent_with_its_omega():
    """One omega makes both the mean and the covariance: P^-1 x = w A^-1 a + (1 - w) B^-1 b."""
    s, z = covariances(2, 50), torch.randn(2, 50, 2)
    fused, p = fuse_covariance_intersection(z, s)
    x, y = s.inverse()
    omega = ((p.inverse() - y) / (x - y))[..., 0, 0][:, None, None]
    assert ((omega > -1e-9) & (omega < 1 + 1e-9)).all()
    close(p.inverse(), omega * x + (1 - omega) * y, atol=1e-7)
    right = omega * x @ z[0][..., None] + (1 - omega) * y @ z[1][..., None]
    close(fused, (p @ right)[..., 0], atol=1e-7)


def test_intersection_is_never_too_sure_whatever_the_correlation():
    """Reported minus actual covariance has no negative eigenvalue; fuse_inverse_covariance's has, and often."""
    n = 3000
    a, b = covariances(n), covariances(n)
    turn = torch.linalg.qr(torch.randn(n, 2, 2))[0] * torch.rand(n, 1, 1)  # a contraction: any possible correlation
    cross = torch.linalg.cholesky(a) @ turn @ torch.linalg.cholesky(b).mT
    joint = torch.cat((torch.cat((a, cross), -1), torch.cat((cross.mT, b), -1)), -2)
    assert torch.linalg.eigvalsh(joint).min() > -1e-12
    unit = torch.eye(4).view(4, 2, 2)  # the estimates as unit vectors: the result is the gain (2, 4) as columns
    for fusion, sure in [(fuse_covariance_intersection, False), (fuse_inverse_covariance, True)]:
        gain = torch.stack([fusion(u[:, None].expand(2, n, 2), torch.stack((a, b)))[0] for u in unit], -1)  # (n, 2, 4)
        reported = fusion(torch.zeros(2, n, 2), torch.stack((a, b)))[1]
        excess = torch.linalg.eigvalsh(reported - gain @ joint @ gain.mT)
        assert (excess.min() < -1e-3) == sure
        if not sure:
            assert excess.min() > -1e-10


def test_intersection_is_the_better_head_where_it_dominates_and_on_one_axis():
    z, s = torch.randn(2, 20, 2), covariances(20)
    wider = s + covariances(20)
    for heads, covs in [(z, torch.stack((s, wider))), (z.flip(0), torch.stack((wider, s)))]:
        fused, p = fuse_covariance_intersection(heads, covs)
        close(fused, z[0])
        close(p, s)
    variances = torch.tensor([[1.0, 9.0], [4.0, 2.0]])  # per axis: head 1 in x, head 2 in y
    z = torch.tensor([[1.0, 1.0], [5.0, 5.0]])[..., None]
    fused, p = fuse_covariance_intersection(z, variances[..., None, None])
    assert fused.flatten().tolist() == [1, 5] and p.flatten().tolist() == [1, 2]


@pytest.mark.parametrize("d", [1, 2])
def test_intersection_of_equal_covariances_is_the_plain_mean(d):
    s = covariances(7, d=d)
    z = torch.randn(2, 7, d)
    fused, p = fuse_covariance_intersection(z, torch.stack((s, s)))
    close(fused, z.mean(0))
    close(p, s)


def test_intersection_where_omega_is_a_half():
    """The trace's quadratic is linear there: crossed ellipses of the same shape."""
    for turn in (0.0, 0.4, 1.1):
        r = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        flat, tall = (r @ torch.diag(torch.tensor(v)) @ r.T for v in ([4.0, 1.0], [1.0, 4.0]))
        fused, p = fuse_covariance_intersection(torch.zeros(2, 2), torch.stack((flat, tall)))
        close(p, 1.6 * torch.eye(2))


# ---------------------------------------------------------------------------------------------------------------------
# Any unit, and what must not pass


@pytest.mark.parametrize("scale", [1e-20, 1e-7, 1e-6, 1.0, 1e8, 1e20])
def test_the_unit_of_a_covariance_changes_no_estimate(scale):
    """float32 holds numbers to 1e38: no power of a variance may be taken."""
    flat, tall = torch.diag(torch.tensor([4.0, 1.0])), torch.diag(torch.tensor([1.0, 4.0]))
    points, pair = torch.tensor([[0.0, 0.0], [5.0, 5.0]]), scale * torch.stack((flat, tall))
    for function in (fuse_covariance_intersection, fuse_inverse_covariance):
        fused, covariance = function(points, pair)
        expected, unscaled = function(points, pair / scale)
        close(fused, expected, atol=1e-5)
        close(covariance / scale, unscaled, atol=1e-5)
    close(fuse_covariance_intersection(points, pair)[0], torch.tensor([4.0, 1.0]), atol=1e-5)

    draw = torch.Generator().manual_seed(0)
    root = torch.randn(2, 200, 2, 2, generator=draw, dtype=torch.float64)
    covariances, estimates = root @ root.mT + 0.05 * torch.eye(2), torch.randn(2, 200, 2, generator=draw).double()
    expected = fuse_covariance_intersection(estimates, covariances)[0]
    found = fuse_covariance_intersection(estimates.float(), (scale * covariances).float())[0]
    close(found.double(), expected, atol=2e-3)


@pytest.mark.parametrize("said", [math.nan, math.inf, 7.0])
def test_an_infinite_variance_leaves_a_head_out_whatever_it_says(said):
    estimates = torch.tensor([[said, said], [10.0, 5.0]], requires_grad=True)
    fused, variance = fuse_inverse_variance(estimates, torch.tensor([math.inf, 4.0]))
    assert fused.tolist() == [10, 5] and variance == 4
    fused.sum().backward()
    assert estimates.grad.tolist() == [[0, 0], [1, 1]]
    nobody, variance = fuse_inverse_variance(estimates.detach(), torch.full((2,), math.inf))
    assert nobody.isnan().all() and variance == math.inf


@pytest.mark.parametrize("call", [
    lambda z, c: fuse_correlated(z, c), lambda z, c: fuse_inverse_covariance(z, torch.stack((c, c.mT))),
    lambda z, c: fuse_covariance_intersection(z, torch.stack((c, c))),
    lambda z, c: fuse_correlated_axes(z, c[:, None, :, None] * torch.eye(2)[:, None, :]),
])  # fmt: skip
def test_covariances_are_symmetric(call):
    lopsided = torch.tensor([[1.0, 0.9], [0.1, 2.0]])
    with pytest.raises(ValueError, match="covariances?: want symmetric matrices, got one that is not"):
        call(torch.zeros(2, 2), lopsided)
    call(torch.zeros(2, 2), (lopsided + lopsided.mT) / 2 + torch.tensor([[0.0, 1e-4], [0.0, 0.0]]))  # round-off passes
