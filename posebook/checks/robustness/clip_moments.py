"""clip_moments: its reference, cases and known mistakes."""

import math
from functools import partial

import numpy as np
import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def clip_moments(eta):
    """Mean, less 1, and standard deviation of 1 + eta z, cut to lie between 0 and 1."""
    far = 1 / eta  # -z beyond this is cut to 0
    density = [math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) for z in (0, far)]
    at_0 = math.erfc(far / math.sqrt(2)) / 2  # the share cut to 0; the half with z > 0 is cut to 1
    between = 1 / 2 - at_0
    loss = eta * (density[0] - density[1]) + at_0  # the mean of 1 - clip
    square = eta**2 * (between - far * density[1]) + at_0  # and of its square
    return -loss, math.sqrt(square - loss**2)


def _by_quadrature(eta):
    z = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    weight = torch.exp(-(z**2) / 2)
    weight = weight / weight.sum()
    value = (1 + eta * z).clamp(0, 1)
    mean = (weight * value).sum()
    return (mean - 1).item(), (weight * (value - mean) ** 2).sum().sqrt().item()


def _by_tails(eta):
    """The mean of a number from 0 to 1 is the area below the chance to exceed t; that of its square, with 2 t."""
    from scipy import integrate, stats

    def exceeds(t):
        return stats.norm.sf((t - 1) / eta)

    mean = integrate.quad(exceeds, 0, 1)[0]
    square = integrate.quad(lambda t: 2 * t * exceeds(t), 0, 1)[0]
    return float(mean) - 1, float(np.sqrt(square - mean**2))


def _by_truncated_normal(eta):
    """Between 0 and 1 a truncated normal, and two heaps at the ends."""
    from scipy import stats

    z = stats.truncnorm(-1 / eta, 0)
    share = stats.norm.cdf(0) - stats.norm.cdf(-1 / eta)
    first = share * (1 + eta * z.mean()) + 0.5
    second = share * (1 + 2 * eta * z.mean() + eta**2 * z.moment(2)) + 0.5
    return float(first - 1), float((second - first**2) ** 0.5)


def _by_simulation(eta, draws=2_000_000):
    value = (1 + eta * torch.randn(draws, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    return value.mean().item() - 1, value.std().item()


def _by_quantiles(eta):
    z = torch.special.ndtri((torch.arange(20_000).double() + 0.5) / 20_000).numpy()
    value = np.clip(1 + eta * z, 0, 1)
    return value.mean().item() - 1, value.std().item()


LOSS, SQUARE, BETWEEN = (
    "eta * (density[0] - density[1]) + at_0", "eta**2 * (between - far * density[1]) + at_0", "1 / 2 - at_0")
RETURN = "return -loss, math.sqrt(square - loss**2)"
FAR = "far = 1 / eta"


def _numbers(low, high, keep=lambda z, value: value, weight=lambda z, value: value * 0 + 1):
    """Moments of another number than the clipped one: of 1 + eta z, cut to low and high, ``keep`` made of it."""
    def answer(eta):
        z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
        value = keep(z, (1 + eta * z).clamp(low, high))
        w = torch.exp(-(z**2) / 2) * weight(z, 1 + eta * z)
        mean = (w * value).sum() / w.sum()
        return (mean - 1).item(), ((w * (value - mean) ** 2).sum() / w.sum()).sqrt().item()

    return answer


def _uniform_noise(eta):
    """Noise from -eta to eta."""
    u = torch.linspace(-1, 1, 20_001, dtype=torch.float64)
    value = (1 + eta * u).clamp(0, 1)
    return value.mean().item() - 1, value.std(correction=0).item()


def _result(change):
    return changed(clip_moments, result=lambda out, eta: change(*out, eta))


HUGE = 1e9
Near = partial(Case, atol=2e-3)

DOWN = See("masking", "all masks are 1, and clipping moves the mean loss down by 0.929", hidden=0)
LESS = See("masking", "clipping leaves 0.584 of the standard deviation", hidden=0)
LARGE = See("masking",
            "at eta 1 clipping leaves 0.398 of the standard deviation; move eta to 0.2, and it leaves more: fewer "
            "values heap at 0", eta=1.0, hidden=0)
UNIFORM = See("masking",
              "of uniform noise clipping leaves 0.559 of the standard deviation; choose Gaussian noise: it leaves more",
              shape="uniform")

PROBLEM = Problem(
    name="clip_moments", points=3, minutes=30,
    reference=clip_moments,
    own=("posebook.theory.clip_moments",),
    cases=(
        Near("eta 0.1, hardly anything is cut to 0: -0.040 and 0.058", lambda rng: (0.1,), fixed=True),
        Near("little noise, eta from 0.12 to 0.3", lambda rng: (uniform(rng, 0.12, 0.3),)),
        Near("eta from 0.4 to 0.7: some is cut to 0 as well", lambda rng: (uniform(rng, 0.4, 0.7),), weight=2),
        Near("eta 1: -0.316 and 0.398", lambda rng: (1.0,), fixed=True),
        Near("eta from 0.8 to 1.4", lambda rng: (uniform(rng, 0.8, 1.4),), weight=2),
        Near("much noise, eta from 2 to 4", lambda rng: (uniform(rng, 2, 4),)),
        Near("eta 100: nearly a coin, -0.498 and 0.499", lambda rng: (100.0,), fixed=True),
        Near("a plain whole number, eta 2", lambda rng: (2,), fixed=True),
        Near("more noise: a lower mean, spread wider",
             lambda rng: ((uniform(rng, 0.2, 0.6),), (uniform(rng, 0.8, 1.6),)),
             holds=lambda a, b: b[0] < a[0] < 0 and b[1] > a[1]),
    ),
    mistakes=(
        Mistake("The shift is downwards, mean - 1: what would rise above 1 is cut, what falls stays. (Or is it the "
                "noise alone that you clip?)",
                _result(lambda shift, std, eta: (-shift, std)), see=DOWN),
        Mistake("This is the mean: the shift is how far it lies from 1, mean - 1.",
                _result(lambda shift, std, eta: (1 + shift, std))),
        Mistake("This is the variance: the standard deviation is its root.",
                _result(lambda shift, std, eta: (shift, std**2))),
        Mistake("The root of the mean square distance from 1 is taken: the standard deviation is about the mean, which "
                "is no longer 1.", edited(clip_moments, {"square - loss**2": "square"})),
        Mistake("Nothing is clipped: then there is no shift, and the standard deviation is eta.",
                _numbers(-HUGE, HUGE), see=DOWN),
        Mistake("Only what is above 1 is cut. For little noise that gives the right -eta / sqrt(2 pi) and 0.584 eta, "
                "but what falls below 0 is cut as well.", _numbers(-HUGE, 1), see=LARGE),
        Mistake("Only what is below 0 is cut: what rises above 1 is cut to 1.", _numbers(0, HUGE), see=DOWN),
        Mistake("It is cut at -1 and 1: a mask lies between 0 and 1.", _numbers(-1, 1)),
        Mistake("This is 0 + eta z, cut to 0 and 1: the mask is 1 here.", _numbers(
            -HUGE, HUGE, keep=lambda z, value: (value - 1).clamp(0, 1))),
        Mistake("What falls outside is drawn again (a truncated normal): it is cut to 0 or 1, and stays there.",
                _numbers(0, 1, weight=lambda z, raw: ((raw >= 0) & (raw <= 1)).double())),
        Mistake("What falls below 0 is drawn again: it is cut to 0, and stays there.",
                _numbers(0, 1, weight=lambda z, raw: (raw >= 0).double())),
        Mistake("What rises above 1 is drawn again, or mirrored, which leaves the lower half of z: half of all values "
                "are cut to 1, and stay there.", _numbers(0, 1, weight=lambda z, raw: (raw <= 1).double())),
        Mistake("What falls outside is left out and counts as 0: it is cut to 0 or 1.",
                _numbers(-HUGE, HUGE, keep=lambda z, value: value * ((value >= 0) & (value <= 1)))),
        Mistake("The heap at 0 is missing, as if values below 0 were set to 1: they are cut to 0, where 1 - clip is 1.",
                edited(clip_moments, {LOSS: LOSS[:-7], SQUARE: SQUARE[:-7]}), see=LARGE),
        Mistake("The heap at 0 is missing in the mean square: values below 0 are cut to 0, where 1 - clip is 1.",
                edited(clip_moments, {SQUARE: SQUARE[:-7]})),
        Mistake("The heap at 0 is missing in the mean: values below 0 are cut to 0, where 1 - clip is 1.",
                edited(clip_moments, {LOSS: LOSS[:-7], "square - loss**2": "max(0.0, square - loss**2)"})),
        Mistake("The standard deviation is always 0.584 eta: that holds for little noise only.",
                _result(lambda shift, std, eta: (shift, math.sqrt(0.5 - 0.5 / math.pi) * eta)), see=LARGE),
        Mistake("The standard deviation is that of the noise, eta: clipping makes it smaller.",
                _result(lambda shift, std, eta: (shift, eta)), see=LESS),
        Mistake("The shift is 0: half of the noise would rise above 1, and is cut.",
                _result(lambda shift, std, eta: (0.0, std)), see=DOWN),
        Mistake("The shift is that of the cut ends of all of z: only the half with z > 0 is cut to 1.",
                _result(lambda shift, std, eta: (2 * shift, std))),
        Mistake("`far` is eta, not 1 / eta: how many standard deviations below 1 does 0 lie?",
                edited(clip_moments, {FAR: "far = eta", "square - loss**2": "max(0.0, square - loss**2)"})),
        Mistake("`eta` is taken for a variance: it is the standard deviation.", changed(
            clip_moments, eta=lambda eta: eta**0.5)),
        Mistake("`eta` is squared: it is the standard deviation.", changed(clip_moments, eta=lambda eta: eta**2)),
        Mistake("The density of the normal lacks its factor, 1 / sqrt(2 pi).",
                edited(clip_moments, {" / math.sqrt(2 * math.pi)": "", "square - loss**2": "max(0.0, square - "
                                      "loss**2)"})),
        Mistake("The root of 2 is missing: the share of z beyond b is erfc(b / sqrt 2) / 2.",
                edited(clip_moments, {"far / math.sqrt(2)": "far"})),
        Mistake("The share beyond b is not halved: erfc counts both ends, so it is erfc(b / sqrt 2) / 2.",
                edited(clip_moments, {"erfc(far / math.sqrt(2)) / 2": "erfc(far / math.sqrt(2))",
                                      "square - loss**2": "max(0.0, square - loss**2)"})),
        Mistake("The term b times the density at b is missing in the mean square: integrate z^2 times the density by "
                "parts.", edited(clip_moments, {" - far * density[1]": ""})),
        Mistake("The density at b is missing in the mean: z times the density, from 0 to b, is the density at 0 less "
                "that at b.", edited(clip_moments, {" - density[1])": ")"})),
        Mistake("The noise is taken for uniform between -eta and eta: z is standard normal.", _uniform_noise),
        Mistake("The noise is taken for uniform, with eta its standard deviation: z is standard normal.",
                lambda eta: _uniform_noise(math.sqrt(3) * eta), see=UNIFORM),
        Mistake("The standard deviation comes first in your result: want (shift, std).",
                _result(lambda shift, std, eta: (std, shift))),
        Mistake("Both are in units of eta: they are in units of the mask.",
                _result(lambda shift, std, eta: (shift / eta, std / eta))),
        Mistake("Both are rounded to one digit: within 2e-3 is asked for.",
                _result(lambda shift, std, eta: (round(shift, 1), round(std, 1)))),
        Mistake("Both are tensors: plain Python numbers are asked for, `.item()` makes one.",
                _result(lambda shift, std, eta: (torch.tensor(shift), torch.tensor(std)))),
        Mistake("One tensor comes back: return a tuple of two plain numbers.",
                _result(lambda shift, std, eta: torch.tensor([shift, std]))),
        Mistake("200 draws are too few: the result then is right to a few hundredths. How many do you need for 2e-3?",
                lambda eta: _by_simulation(eta, 200)),
    ),
    alternatives=(_by_quadrature, _by_tails, _by_truncated_normal, _by_simulation, _by_quantiles),
    clauses={
        "shift = mean - 1": "This is the mean",
        "its standard deviation": "This is the variance",
        "clip(1 + eta z, 0, 1)": "Only what is above 1 is cut",
        "below 0 becomes 0": "What falls below 0 is drawn again",
        "above 1 becomes 1": "What rises above 1 is drawn again",
        "z is standard normal": "The noise is taken for uniform between",
        "Both are right within 2e-3": "200 draws are too few",
        "any positive number": "The standard deviation is always 0.584 eta",
        "plain Python numbers": "Both are tensors",
        "`(shift, std)`": "The standard deviation comes first",
    },
)
