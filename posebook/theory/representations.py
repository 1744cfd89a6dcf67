"""Targets: a Gaussian of peak 1 and sigma cells, at least 0.7 and far from the border, as a map of so many cells."""

import math
from typing import NamedTuple

from posebook import _args


class BumpSums(NamedTuple):
    """Sum of a map's values, and of their squares."""

    mass: float
    energy: float


def bump_sums(sigma: float) -> BumpSums:
    r"""Sum of the values (mass), :math:`2 \pi \sigma^2`, and of their squares (energy), :math:`\pi \sigma^2`.

    The sum is not 1: a heatmap of peak 1 is no probability. The energy over the number of cells is the mean square
    error of a network that answers 0 everywhere.

    See chapter 1, section 1.5.

    >>> [round(s, 2) for s in bump_sums(2.0)]
    [25.13, 12.57]
    """
    _args.positive("sigma", sigma)
    return BumpSums(mass=2 * math.pi * sigma**2, energy=math.pi * sigma**2)


def bump_area(level: float, sigma: float) -> float:
    r"""Number of cells above a level between 0 and 1, :math:`2 \pi \sigma^2 \ln(1 / level)`: the area of a disk.

    So it is on average over the places of the center within its cell.

    See chapter 1, section 1.6.
    """
    _args.positive("sigma", sigma)
    if not 0 < level < 1:
        _args.fail("level", "between 0 and 1", level)
    return 2 * math.pi * sigma**2 * math.log(1 / level)


def misplaced_mse(distance: float, sigma: float, cells: int) -> float:
    r"""Mean square error of a perfect bump at the wrong place, :math:`2 \pi \sigma^2 (1 - e^{-d^2/4\sigma^2}) / N`.

    At :math:`d = 2 \sigma \sqrt{\ln 2}` it is that of a map of zeros, :math:`\pi \sigma^2 / N`; far away twice that.

    See chapter 1, section 1.6.

    >>> round(misplaced_mse(2 * math.sqrt(math.log(2)), 1.0, 1) / bump_sums(1.0).energy, 6)
    1.0
    """
    _args.positive("cells", cells)
    return -bump_sums(sigma).mass * math.expm1(-(distance**2) / (4 * sigma**2)) / cells


class Bump(NamedTuple):
    """A Gaussian's highest value, and its standard deviation in cells."""

    peak: float
    width: float


def label_noise_optimum(sigma: float, noise: float) -> Bump:
    r"""Peak and width of the map that mean square error asks for when labels scatter by ``noise`` cells per axis.

    The mean of the scattered targets: again a Gaussian, of peak :math:`\sigma^2 / (\sigma^2 + \nu^2)` and width
    :math:`\sqrt{\sigma^2 + \nu^2}` cells, so that its sum stays the same.

    See chapter 1, section 1.7.

    >>> label_noise_optimum(2.0, 1.5)
    Bump(peak=0.64, width=2.5)
    """
    _args.positive("sigma", sigma)
    _args.at_least("noise", noise, 0)
    return Bump(peak=sigma**2 / (sigma**2 + noise**2), width=math.hypot(sigma, noise))
