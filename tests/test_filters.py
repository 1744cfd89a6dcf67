"""The one-euro filter: against a loop over plain floats, scipy's linear filter and its closed forms."""

import math

import pytest
import scipy.signal
import torch

from posebook.filters import one_euro

OPTIONS = {"min_cutoff": 1.2, "beta": 0.05, "d_cutoff": 0.8}


def signal(*shape, seed=0, dtype=torch.float64):
    source = torch.Generator().manual_seed(seed)
    return 10 * torch.randn(*shape, generator=source, dtype=torch.float64).cumsum(-1).to(dtype)


def by_hand(x, rate, min_cutoff, beta, d_cutoff=1.0):
    """One value after the other, as the paper has it: two exponential filters."""

    def a(cutoff):
        tau, step = 1 / (2 * math.pi * cutoff), 1 / rate
        return 1 / (1 + tau / step)

    y, g, out = x[0], 0.0, [x[0]]
    for t in range(1, len(x)):
        g = a(d_cutoff) * (x[t] - x[t - 1]) * rate + (1 - a(d_cutoff)) * g
        c = a(min_cutoff + beta * abs(g))
        y = c * x[t] + (1 - c) * y
        out.append(y)
    return out


@pytest.mark.parametrize("rate", [10.0, 30, 120.0])
@pytest.mark.parametrize("beta", [0.0, 0.01, 1.0])
def test_as_by_hand(rate, beta):
    x = signal(50, seed=1)
    for min_cutoff in (0.1, 1.0, 7.0):
        for d_cutoff in (0.5, 1.0, 4.0):
            want = torch.tensor(by_hand(x.tolist(), rate, min_cutoff, beta, d_cutoff), dtype=torch.float64)
            torch.testing.assert_close(one_euro(x, rate, min_cutoff=min_cutoff, beta=beta, d_cutoff=d_cutoff), want)


def test_without_beta_it_is_linear():
    """y_t = a x_t + (1 - a) y_{t-1}: scipy's; what is missing of a step is (1 - a)^t, the lag on a ramp (1 - a) / a."""
    x, rate, cutoff = signal(80, seed=2), 30.0, 2.0
    a = 1 / (1 + rate / (2 * math.pi * cutoff))
    want, _ = scipy.signal.lfilter([a], [1, a - 1], x.numpy(), zi=[(1 - a) * x[0].item()])
    torch.testing.assert_close(one_euro(x, rate, min_cutoff=cutoff, beta=0), torch.from_numpy(want))
    t = torch.arange(200, dtype=torch.float64)
    step = one_euro((t > 0).double(), rate, min_cutoff=cutoff, beta=0)
    torch.testing.assert_close(step, 1 - (1 - a) ** t)
    ramp = one_euro(3 * t, rate, min_cutoff=cutoff, beta=0)
    lag = (3 * t - ramp)[-1].item()  # 3 units per frame
    assert lag == pytest.approx(3 * (1 - a) / a) == pytest.approx(3 * rate / (2 * math.pi * cutoff))


def test_noise_at_rest():
    """White noise through it keeps a / (2 - a) of its variance: 400 signals, within 4 standard errors."""
    rate, cutoff = 30.0, 1.0
    a = 1 / (1 + rate / (2 * math.pi * cutoff))
    noise = torch.randn(400, 400, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    left = one_euro(noise, rate, min_cutoff=cutoff, beta=0)[:, 100:].square().mean(1)
    assert abs(left.mean() - a / (2 - a)) < 4 * left.std() / 20


def test_on_a_ramp_the_speed_opens_it():
    """The speed settles at v, so the lag at v / (2 pi c) with c = min_cutoff + beta v: below 1 / (2 pi beta)."""
    t = torch.arange(3000, dtype=torch.float64)
    for v in (1.0, 20.0, 400.0):  # units per second
        lag = (v / 30 * t - one_euro(v / 30 * t, 30.0, min_cutoff=0.5, beta=0.2))[-1].item()
        assert lag == pytest.approx(v / (2 * math.pi * (0.5 + 0.2 * v)), rel=1e-9)


def test_invariances(device):
    x = signal(3, 40, seed=4).to(device)
    y = one_euro(x, 25.0, **OPTIONS)
    torch.testing.assert_close(one_euro(x + 7, 25.0, **OPTIONS), y + 7)
    torch.testing.assert_close(one_euro(-x, 25.0, **OPTIONS), -y)
    doubled = one_euro(2 * x, 25.0, **OPTIONS | {"beta": OPTIONS["beta"] / 2})  # beta has units
    torch.testing.assert_close(doubled, 2 * y)
    slower = one_euro(x, 12.5, **{name: value / 2 if name != "beta" else value for name, value in OPTIONS.items()})
    torch.testing.assert_close(slower, y)  # frames of twice the length, cutoffs of half
    assert torch.equal(one_euro(x[:, :25], 25.0, **OPTIONS), y[:, :25])  # causal
    assert torch.equal(y[:, 0], x[:, 0]) and torch.equal(one_euro(x[:, :1], 25.0, **OPTIONS), x[:, :1])
    still = torch.full((9,), 3.25, device=device)
    assert torch.equal(one_euro(still, 25.0, **OPTIONS), still)
    assert (y.amin(1) >= x.amin(1)).all() and (y.amax(1) <= x.amax(1)).all()  # means of what came


def test_any_axis_and_batch():
    x = signal(2, 3, 4, 30, seed=5)
    y = one_euro(x, 30.0, **OPTIONS)
    for dim in range(-4, 3):
        torch.testing.assert_close(one_euro(x.movedim(-1, dim), 30.0, **OPTIONS, dim=dim), y.movedim(-1, dim))
    torch.testing.assert_close(one_euro(x[1, 2, 3], 30.0, **OPTIONS), y[1, 2, 3])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_and_inputs(dtype):
    x = signal(5, 20, seed=6, dtype=dtype)
    before = x.clone()
    y = one_euro(x, 30.0, **OPTIONS)
    assert y.dtype == dtype and y.shape == x.shape and torch.equal(x, before)
    want = one_euro(x.double(), 30.0, **OPTIONS)
    torch.testing.assert_close(y.double(), want, rtol=2 * torch.finfo(dtype).eps, atol=100 * torch.finfo(dtype).eps)


def test_gradient():
    x = signal(2, 6, seed=7).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: one_euro(x, 30.0, **OPTIONS), x)


def test_a_gap_stays_in_its_own_signal():
    x = signal(2, 9, seed=8)
    x[0, 4] = torch.nan
    y = one_euro(x, 30.0, **OPTIONS)
    assert y[0, 4:].isnan().all() and not y[0, :4].isnan().any() and not y[1].isnan().any()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x": torch.arange(4)}, "x: want a floating dtype, got int64"),
        ({"x": [1.0, 2.0]}, "x: want a tensor with an axis of frames, got list"),
        ({"x": torch.tensor(1.0)}, r"dim: want an axis of \(\), got -1"),
        ({"dim": 2}, r"dim: want an axis of \(3, 4\), got 2"),
        ({"x": torch.ones(3, 0)}, r"x: want a frame or more along axis -1, got \(3, 0\)"),
        ({"rate": 0}, "rate: want a finite number > 0, got 0"),
        ({"min_cutoff": -1.0}, "min_cutoff: want a finite number > 0, got -1.0"),
        ({"beta": -0.1}, "beta: want a finite number >= 0, got -0.1"),
        ({"d_cutoff": math.inf}, "d_cutoff: want a finite number > 0, got inf"),
    ],
)
def test_errors(change, message):
    options = {"x": torch.ones(3, 4), "rate": 30.0, **OPTIONS} | change
    with pytest.raises(ValueError, match=message):
        one_euro(options.pop("x"), options.pop("rate"), **options)
