"""asymmetry_bias: its reference, cases and known mistakes."""

import torch

from posebook._links import See
from posebook.checks.problem import Case, Mistake, Problem, changed, edited, uniform


def asymmetry_bias(mu, sigma, tau=1.0):
    """Mean minus mode of a slightly lopsided peak, in px."""
    return mu * tau * sigma**4 / 2


def _by_quadrature(mu, sigma, tau=1.0):
    reach = 8 * sigma * tau**0.5
    x = torch.linspace(-reach, reach, 20_001, dtype=torch.float64)
    weight = torch.exp((-(x**2) / (2 * sigma**2) + mu * x**3 / 6) / tau)
    return (torch.trapezoid(x * weight, x) / torch.trapezoid(weight, x)).item()


def _next_order(mu, sigma, tau=1.0):
    gamma = mu * sigma**3 * tau**0.5
    return mu * tau * sigma**4 / 2 * (1 + 1.25 * gamma**2)


def _draw(rng):
    """mu, sigma and tau for which the first order is good: |mu sigma^3 sqrt(tau)| <= 0.02."""
    sigma, tau = uniform(rng, 1.3, 3), uniform(rng, 0.3, 0.8)
    return uniform(rng, 0.01, 0.02) / (sigma**3 * tau**0.5), sigma, tau


def _mirrored(rng):
    mu, sigma, tau = _draw(rng)
    return (mu, sigma, tau), (-mu, sigma, tau)


def _twice_as_wide(rng):
    mu = uniform(rng, 5e-4, 1e-3)
    return (mu, 1.3, 1.0), (mu, 2.6, 1.0)


TAU = See("asymmetry", "the law says 0.12 px; move tau from 2 to 1, and it is half of that", mu=3e-05, tau=2.0)
SIGMA = See("asymmetry",
            "the law says 0.31 px; move sigma from 12 to 8: five times less, by the fourth power of 12 / 8",
            mu=3e-05, sigma=12.0)
SIGN = See("asymmetry", "with mu > 0 the mean lies 0.63 px right of the mode, never left")

PROBLEM = Problem(
    name="asymmetry_bias", points=2, minutes=15,
    reference=asymmetry_bias,
    own=("posebook.theory.asymmetry_bias",),
    cases=(
        Case("mu = 0.001 and sigma = 2: a bias of 0.008 px", lambda rng: (1e-3, 2.0), atol=1e-9, rtol=0.02, fixed=True),
        Case("a symmetric peak has none", lambda rng: (0.0, 3.0, 0.7), atol=1e-9, fixed=True),
        Case("any peak, tau below 1", _draw, atol=1e-9, rtol=0.02),
        Case("tau = 4", lambda rng: (uniform(rng, 1e-3, 2e-3), 1.6, 4.0), atol=1e-9, rtol=0.02),
        Case("the mirror image has the opposite bias", _mirrored, atol=1e-9, rtol=0.02,
             holds=lambda a, b: abs(a + b) < 1e-6),
        Case("a peak twice as wide", _twice_as_wide, atol=1e-9, rtol=0.02,
             holds=lambda a, b: abs(b / a - 16) < 0.3),
    ),
    mistakes=(
        Mistake("`tau` is missing: a higher temperature widens the peak, and a wider peak leans more.",
                changed(asymmetry_bias, tau=1.0), see=TAU),
        Mistake("`tau` divides where it should multiply: it widens the variance and flattens mu, and the bias has two "
                "powers of the first for one of the second.", changed(asymmetry_bias, tau=lambda tau: 1 / tau),
                see=TAU),
        Mistake("One power of `tau` too many: sigma^4 gives tau^2, but mu is divided by tau as well.",
                changed(asymmetry_bias, tau=lambda tau: tau**2), see=TAU),
        Mistake("The power of sigma is 4, from E[x^4] = 3 sigma^4; this is 2.",
                edited(asymmetry_bias, {"sigma**4": "sigma**2"}), see=SIGMA),
        Mistake("The power of sigma is 4, from E[x^4] = 3 sigma^4; this is 3.",
                edited(asymmetry_bias, {"sigma**4": "sigma**3"}), see=SIGMA),
        Mistake("The factor is 3 / 6 = 1 / 2: a Gaussian's E[x^4] is 3 sigma^4, not sigma^4.",
                edited(asymmetry_bias, {"/ 2": "/ 6"})),
        Mistake("The factor 1 / 6 of the cubic term is missing: mu is the third derivative.",
                edited(asymmetry_bias, {"/ 2": "* 3"})),
        Mistake("The sign is wrong: mu > 0 raises the logits on the right, so the mean lies right of the mode.",
                changed(asymmetry_bias, mu=lambda mu: -mu), see=SIGN),
        Mistake("The bias has the sign of mu.", changed(asymmetry_bias, mu=lambda mu: abs(mu))),
        Mistake("The root of `tau` is taken: sigma^4 gives tau^2, divided by tau once.",
                changed(asymmetry_bias, tau=lambda tau: tau**0.5), see=TAU),
        Mistake("The factor 1 / 2 is missing: 3 / 6, from E[x^4] = 3 sigma^4 and the 6 of the cubic term.",
                edited(asymmetry_bias, {" / 2": ""})),
        Mistake("The power of sigma is 4, from E[x^4] = 3 sigma^4; this is 5.",
                edited(asymmetry_bias, {"sigma**4": "sigma**5"}), see=SIGMA),
        *(Mistake("The factor is not 1 / 2: it is that of the cubic term, 1 / 6, times the 3 of E[x^4] = 3 sigma^4.",
                  edited(asymmetry_bias, {"/ 2": factor})) for factor in ("/ 3", "* 15 / 6", "* 3 / 2")),
        Mistake("A factor 1 / 2 too many: the cubic term has 1 / 6, and E[x^4] = 3 sigma^4 makes it 1 / 2.",
                edited(asymmetry_bias, {"/ 2": "/ 4"})),
        Mistake("This is the skewness, mu sigma^3, without the last factor sigma: px are asked for.",
                edited(asymmetry_bias, {"tau * sigma**4": "tau**0.5 * sigma**3"})),
        Mistake("The result is rounded: the bias is small, but it is asked for.",
                changed(asymmetry_bias, result=lambda out: round(out, 2))),
    ),
    alternatives=(_by_quadrature, _next_order),
    clauses={
        "Mean minus mode in px": "The sign is wrong",
        "\\mu x^3 / 6": "The factor 1 / 6",
        "/ \\tau}": "`tau` is missing",
        "of standard deviation `sigma` px": "The power of sigma is 4, from E[x^4] = 3 sigma^4; this is 2",
        "to within 2 %": "The result is rounded",
        "`mu` at the mode": "The bias has the sign of mu",
    },
)
