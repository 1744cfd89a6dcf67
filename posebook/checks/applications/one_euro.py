"""one_euro: its reference, cases and known mistakes."""

import math
from functools import partial

import numpy as np
import torch

from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def one_euro(x, rate, min_cutoff, beta):
    """Smooth x at each step, the less the faster it moves."""
    def share(cutoff):  # of the new value
        return 1 / (1 + rate / (2 * math.pi * cutoff))

    y, g = [x[0]], 0 * x[0]
    for before, now in zip(x[:-1], x[1:], strict=True):
        d = rate * (now - before)
        g = share(1) * d + (1 - share(1)) * g
        a = share(min_cutoff + beta * g.abs())
        y.append(a * now + (1 - a) * y[-1])
    return torch.stack(y)


def _by_steps(x, rate, min_cutoff, beta):
    """A step towards the new value, with the time between samples and time constants."""
    step = 1 / rate

    def alpha(cutoff):
        tau = 1 / (2 * math.pi * cutoff)
        return step / (step + tau)

    y, speed = x.clone(), torch.zeros((), dtype=x.dtype)
    for t in range(1, len(x)):
        speed = speed + alpha(1.0) * ((x[t] - x[t - 1]) / step - speed)
        y[t] = y[t - 1] + alpha(min_cutoff + beta * abs(speed)) * (x[t] - y[t - 1])
    return y


def _by_scipy(x, rate, min_cutoff, beta):
    """All speeds at once, then all shares, then the one recursion that is left."""
    from scipy import signal

    values = x.double().numpy()
    omega = 2 * np.pi / rate
    a1 = omega / (omega + 1)
    g = signal.lfilter([a1], [1, a1 - 1], rate * np.diff(values, prepend=values[:1]))
    w = omega * (min_cutoff + beta * np.abs(g))
    y = [values[0]]
    for value, a in zip(values[1:], (w / (w + 1))[1:], strict=True):
        y.append(a * value + (1 - a) * y[-1])
    return torch.tensor(np.array(y), dtype=x.dtype)


def _by_numbers(x, rate, min_cutoff, beta):
    class LowPass:
        def __init__(self, first):
            self.last = first

        def __call__(self, value, cutoff):
            a = 2 * math.pi * cutoff / (2 * math.pi * cutoff + rate)
            self.last = a * value + (1 - a) * self.last
            return self.last

    values = x.tolist()
    speed, place = LowPass(0.0), LowPass(values[0])
    out = [values[0]]
    for t in range(1, len(values)):
        g = speed((values[t] - values[t - 1]) * rate, 1.0)
        out.append(place(values[t], min_cutoff + beta * math.fabs(g)))
    return x.new_tensor(out)


def _by_recursion(x, rate, min_cutoff, beta):
    """The difference to the first value is filtered, so that both filters begin at 0."""
    u = x - x[0]
    y, g = torch.zeros_like(u), torch.zeros_like(u)
    a1 = 1 / (1 + rate / (2 * torch.pi))
    for t in range(1, u.numel()):
        g[t] = torch.lerp(g[t - 1], rate * (u[t] - u[t - 1]), a1)
        y[t] = torch.lerp(y[t - 1], u[t], 1 / (1 + rate / (2 * torch.pi * (min_cutoff + beta * g[t].abs()))))
    return y + x[0]


DERIVATIVE, SPEED = "d = rate * (now - before)", "share(1) * d + (1 - share(1)) * g"
CUTOFF, STEP = "min_cutoff + beta * g.abs()", "a * now + (1 - a) * y[-1]"
SHARE, FIRST = "1 / (1 + rate / (2 * math.pi * cutoff))", "y, g = [x[0]], 0 * x[0]"


def _edit(*changes):
    return edited(one_euro, dict(zip(changes[::2], changes[1::2], strict=True)))


def _backwards(out, x, rate, min_cutoff, beta):
    return one_euro(out.flip(0), rate, min_cutoff, beta).flip(0)


def _path(rng, n=80, rate=30.0, *, speed=40.0, noise=1.0, start=None, dtype=torch.float32):
    """Px: from a start, up to 200 px from 0, at a speed in px/s that changes slowly, and with noise."""
    start = uniform(rng, 60, 200) if start is None else start
    t = torch.arange(n, dtype=torch.float64) / rate
    turn, pace = uniform(rng, 0, 2 * math.pi), uniform(rng, 2, 5)
    x = start + speed / pace * torch.sin(pace * t + turn) + noise * torch.randn(n, generator=rng, dtype=torch.float64)
    return x.to(dtype)


def _draw(rng, *, beta=(0.02, 0.06), cutoff=(0.6, 1.6), rates=(25, 70), **path):
    rate = uniform(rng, *rates)
    return _path(rng, rate=rate, **path), rate, uniform(rng, *cutoff), uniform(rng, *beta)


def _near_the_rate(rng):
    """The cutoff is as high as the rate: whole numbers."""
    return _path(rng, rate=30), int(torch.randint(20, 40, (), generator=rng)), 25, 1


def _jump(rng):
    """Still, then elsewhere: the speed decides how soon it is there."""
    x = torch.zeros(24)
    x[int(torch.randint(6, 12, (), generator=rng)):] = uniform(rng, 20, 60)
    return x - uniform(rng, 5, 15), uniform(rng, 20, 40), uniform(rng, 0.2, 0.5), uniform(rng, 0.02, 0.05)


def _at_once(rng):
    """The first step is a large one."""
    x, *rest = _draw(rng, n=20, noise=0.3)
    x[0] -= uniform(rng, 30, 60)
    return x, *rest


def _still(rng):
    return torch.full((30,), uniform(rng, 50, 100)), uniform(rng, 25, 70), uniform(rng, 0.5, 2), uniform(rng, 0, 1)


def _falling(rng):
    x, *rest = _draw(rng, n=50, speed=0.0, noise=0.2)
    return x - uniform(rng, 1.5, 3) * torch.arange(50), *rest


def _moved(rng):
    x, *rest = _draw(rng, start=0.0)
    return (x, *rest), (x + 64, *rest)


def _mirrored(rng):
    x, *rest = _draw(rng)
    return (x, *rest), (-x, *rest)


def _twice_as_large(rng):
    x, rate, cutoff, beta = _draw(rng)
    return (x, rate, cutoff, beta), (2 * x, rate, cutoff, beta / 2)


def _later(rng):
    """What comes later does not change what was."""
    x, *rest = _draw(rng, n=40)
    return (x, *rest), (x[:25].clone(), *rest)


Near = partial(Case, atol=1e-4, rtol=1e-5)

PROBLEM = Problem(
    name="one_euro", points=2, minutes=20,
    reference=one_euro,
    own=("posebook.filters.one_euro", "posebook.filters._share"),
    cases=(
        Near("0, 8, 8, 8 with a rate of 2 pi Hz, a cutoff of 1 Hz and beta 0, so that a = 1/2: 0, 4, 6, 7",
             lambda rng: (torch.tensor([0.0, 8.0, 8.0, 8.0]), 2 * math.pi, 1.0, 0.0), fixed=True),
        Near("a noisy path of 80 values at 25 to 70 Hz", _draw, weight=2),
        Near("beta 0: one cutoff for all", lambda rng: _draw(rng, beta=(0, 0))),
        Near("a large beta: the path is followed closely", lambda rng: _draw(rng, beta=(0.5, 1))),
        Near("a low cutoff, 0.1 to 0.3 Hz", lambda rng: _draw(rng, cutoff=(0.1, 0.3))),
        Near("a high cutoff, 4 to 8 Hz", lambda rng: _draw(rng, cutoff=(4, 8))),
        Near("a high rate, 100 to 200 Hz", lambda rng: _draw(rng, rates=(100, 200))),
        Near("a low rate, 1 to 3 Hz", lambda rng: _draw(rng, rates=(1, 3), beta=(0.2, 0.4))),
        Near("whole numbers for rate, cutoff and beta", _near_the_rate),
        Near("a path that falls", _falling),
        Near("still, then a jump", _jump, weight=2),
        Near("the first step is a large one", _at_once),
        Near("what stands still stays", _still),
        Near("a single value", lambda rng: _draw(rng, n=1), weight=2),
        Near("two values", lambda rng: _draw(rng, n=2, speed=300.0)),
        Near("1000 values", lambda rng: _draw(rng, n=1000)),
        Near("a path moved by 64 px: so is the result", _moved,
             holds=lambda a, b: bool((b - a - 64).abs().max() < 1e-3)),
        Near("a path mirrored at 0: so is the result", _mirrored, holds=lambda a, b: bool((a + b).abs().max() < 1e-3)),
        Near("values twice as large, beta half as large: twice the result", _twice_as_large,
             holds=lambda a, b: bool((b - 2 * a).abs().max() < 1e-2)),
        Near("what comes later does not change what was", _later,
             holds=lambda a, b: bool((a[:25] - b).abs().max() < 1e-3)),
        Case("float64", lambda rng: _draw(rng, dtype=torch.float64), atol=1e-9),
    ),
    mistakes=(
        Mistake("The speed is taken from y_{t-1}, the value that has been smoothed: d = rate (x_t - x_{t-1}).",
                _edit("now - before", "now - y[-1]")),
        Mistake("The speed is that of the smoothed values: d = rate (x_t - x_{t-1}).",
                _edit("now - before", "y[-1] - y[-2] if len(y) > 1 else 0 * now")),
        Mistake("The rate is missing in d: x_t - x_{t-1} is a step in px, and the speed is in px/s.",
                _edit(DERIVATIVE, "d = now - before")),
        Mistake("The step is divided by the rate: 1 / rate is the time between two values, and d = rate (x_t - "
                "x_{t-1}).",
                _edit(DERIVATIVE, "d = (now - before) / rate")),
        Mistake("The speed is not smoothed: the cutoff follows g, not d.", _edit("g.abs()", "d.abs()")),
        Mistake("The speed is smoothed with the cutoff of x: its own is 1 Hz, a(1).",
                _edit("share(1)", "share(min_cutoff)")),
        Mistake("The speed is smoothed with the rate as cutoff: its own is 1 Hz, a(1).",
                _edit("share(1)", "share(rate)")),
        Mistake("The share a is held by the old speed: g_t = a(1) d + (1 - a(1)) g_{t-1}.",
                _edit(SPEED, "share(1) * g + (1 - share(1)) * d")),
        Mistake("g begins with the first speed: g_0 = 0, so that already the first one is smoothed.",
                _edit(SPEED, f"{SPEED} if len(y) > 1 else d")),
        Mistake("g begins anew with each value: the last g_{t-1} is kept.", _edit(SPEED, "share(1) * d")),
        Mistake("The cutoff comes from g_{t-1}: g_t is known by then.",
                _edit(f"g = {SPEED}\n", "last = g\n        g = share(1) * d + (1 - share(1)) * g\n",
                      "g.abs()", "last.abs()")),
        Mistake("The sign of the speed counts: a path that falls is as fast as one that rises, so |g|.",
                _edit("g.abs()", "g.clamp(min=0)")),
        Mistake("The sign of the speed counts: a path that falls is as fast as one that rises, so |g|.",
                _edit("g.abs()", "g")),
        Mistake("|d| is smoothed: g is, with its sign, and noise to and fro cancels in it.",
                _edit(DERIVATIVE, f"{DERIVATIVE}.abs()")),
        Mistake("The speed is squared: c = min_cutoff + beta |g|.", _edit("g.abs()", "g.square()")),
        Mistake("beta is not used: c = min_cutoff + beta |g|.", _edit(CUTOFF, "min_cutoff")),
        Mistake("beta multiplies all of the cutoff: c = min_cutoff + beta |g|.",
                _edit(CUTOFF, "max(1e-9, beta * (min_cutoff + g.abs()))")),
        Mistake("The larger of both is the cutoff: c is their sum.",
                _edit(CUTOFF, "(beta * g.abs()).clamp(min=min_cutoff)")),
        Mistake("min_cutoff is missing: c = min_cutoff + beta |g|.", _edit(CUTOFF, "(beta * g.abs()).clamp(min=1e-9)")),
        Mistake("min_cutoff is multiplied: c = min_cutoff + beta |g|, a sum.",
                _edit(CUTOFF, "min_cutoff * (1 + beta * g.abs())")),
        Mistake("The cutoff falls with the speed: it is added, so that fast is smoothed less.",
                _edit(CUTOFF, "(min_cutoff - beta * g.abs()).clamp(min=1e-9)")),
        Mistake("2 pi is missing in a(c): a cutoff of c Hz is 2 pi c rad/s.", _edit("2 * math.pi * ", "")),
        Mistake("Brackets are missing: `rate / 2 * pi * c` multiplies by pi and by c.",
                _edit(SHARE, "1 / (1 + rate / 2 * math.pi * cutoff)")),
        Mistake("In a(c) pi stands for 2 pi: a cutoff of c Hz is 2 pi c rad/s.", _edit("2 * math.pi", "math.pi")),
        Mistake("rate and 2 pi c are exchanged in a(c), or a(c) and 1 - a(c), both times: a higher cutoff smooths "
                "less, so a rises with it.",
                _edit(SHARE, "1 / (1 + 2 * math.pi * cutoff / rate)")),
        Mistake("The rate divides twice, or stands for the time between two values: a(c) = 1 / (1 + rate / (2 pi c)).",
                _edit(SHARE, "1 / (1 + 1 / (rate * 2 * math.pi * cutoff))")),
        Mistake("a(c) is an exponential: want 1 / (1 + rate / (2 pi c)).",
                _edit(SHARE, "1 - math.exp(-2 * math.pi * cutoff / rate)")),
        Mistake("a(c) is not a share: 2 pi c / rate is near to it only where it is small.",
                _edit(SHARE, "min(1.0, 2 * math.pi * cutoff / rate)")),
        Mistake("The share a is held by the old value: y_t = a(c) x_t + (1 - a(c)) y_{t-1}.",
                _edit(STEP, "a * y[-1] + (1 - a) * now")),
        Mistake("The new value meets x_{t-1}, not y_{t-1}: then nothing older is remembered.",
                _edit("* y[-1]", "* before")),
        Mistake("The old value x_{t-1} is taken for the new one: everything comes one step late.",
                _edit("a * now", "a * before")),
        Mistake("y begins at 0: y_0 = x_0.", _edit(FIRST, "y, g = [0 * x[0]], 0 * x[0]")),
        Mistake("y begins at 0, and x_0 is already smoothed: y_0 = x_0.",
                _edit("y, g = [x[0]], 0 * x[0]", "y, g = [share(min_cutoff) * x[0]], 0 * x[0]")),
        Mistake("The first value is missing: y_0 = x_0, and there are as many y as x.",
                _edit("torch.stack(y)", "torch.stack(y[1:] or y)")),
        Mistake("It is smoothed a second time, backwards: y_t knows nothing of what comes later.",
                changed(one_euro, result=_backwards)),
        Mistake("Everything is smoothed with the cutoff of the mean speed: each step has its own.",
                lambda x, rate, min_cutoff, beta: one_euro(
                    x, rate, min_cutoff + beta * rate * (x.diff().abs().mean().item() if len(x) > 1 else 0.0), 0.0)),
        Mistake("Nothing is smoothed: this is x.", lambda x, rate, min_cutoff, beta: x.clone()),
        Mistake("The result is g, the speed: want y.", _edit("torch.stack(y)", "g.expand(len(x)).clone()")),
        Mistake("min_cutoff and beta are exchanged.", lambda x, rate, min_cutoff, beta: one_euro(
            x, rate, max(beta, 1e-9), min_cutoff)),
        Mistake("The rate is always 30 Hz: use `rate`.", changed(one_euro, rate=30.0)),
        Mistake("The rate is always 60 Hz: use `rate`.", changed(one_euro, rate=60.0)),
        Mistake("The rate is always 120 Hz: use `rate`.", changed(one_euro, rate=120.0)),
        Mistake("min_cutoff is always 1 Hz: use `min_cutoff`.", changed(one_euro, min_cutoff=1.0)),
        Mistake("A single value is no reason to raise: it is the result.",
                _edit(FIRST, f"{FIRST}\n    x[1] - x[0]")),
        Mistake("A single value is no reason for NaN: it is the result.",
                changed(one_euro, result=lambda out: out if len(out) > 1 else out * math.nan)),
        Mistake("Part of it is computed in float32: the dtype of `x` is wanted all the way.",
                changed(one_euro, x=lambda x: x.float(), result=lambda out, x: out.to(x.dtype))),
        Mistake("The result is always float32. It should have the dtype of `x`.",
                changed(one_euro, result=lambda out: out.float())),
        Mistake("The result is always float64. It should have the dtype of `x`.",
                changed(one_euro, result=lambda out: out.double())),
    ),
    alternatives=(_by_steps, _by_scipy, _by_numbers, _by_recursion),
    clauses={
        "y_0 = x_0": "y begins at 0: y_0",
        "g_0 = 0": "g begins with the first speed",
        "\\mathrm{rate} \\, (x_t - x_{t-1})": "The speed is taken from y_{t-1}",
        "a(1) \\, d": "The speed is smoothed with the cutoff of x",
        "(1 - a(1)) \\, g_{t-1}": "g begins anew",
        "a(c) \\, x_t + (1 - a(c)) \\, y_{t-1}": "The share a is held by the old value",
        "\\beta \\, |g_t|": "The sign of the speed counts",
        "\\mathrm{rate} / (2 \\pi c)": "rate and 2 pi c are exchanged",
        "T is 1 or more": "A single value is no reason to raise",
        "as many values as `x`": "The first value is missing",
    },
)
