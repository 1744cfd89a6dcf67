"""Applications: what an error of some tenths of a pixel becomes in the world, and what a residual says of it."""

from typing import NamedTuple

import torch
from torch import Tensor

from posebook import _args

# ---------------------------------------------------------------------------------------------------------------------
# Two parallel cameras, side by side


class StereoStd(NamedTuple):
    """Standard deviations along x, y and z, in the unit of the depth."""

    x: float
    y: float
    z: float


def stereo_std(depth: float, *, focal: float, baseline: float, sigma: float) -> StereoStd:
    r"""Error of a point straight ahead of the middle between two parallel cameras, :math:`\sigma_x = \sigma_y =
    Z \sigma / (\sqrt2 f)` and :math:`\sigma_z = \sqrt2 Z^2 \sigma / (f b)`.

    To first order, which fits while :math:`\sigma_z` is small against Z. Across, the error grows with the depth, along
    it with its square; their ratio is 2 Z / b.

    Args:
        depth: Z > 0, from the line of the cameras.
        focal: f in px.
        baseline: b > 0, between the cameras, in the unit of the depth.
        sigma: px, the standard deviation on each axis of each camera, all independent.

    See chapter 5, section 5.1.

    Source: Z = f b / d with the disparity d, whose standard deviation is :math:`\sqrt2 \sigma`.

    >>> [round(1000 * std, 2) for std in stereo_std(2.0, focal=500, baseline=0.5, sigma=1.0)]    # mm
    [2.83, 2.83, 22.63]
    """
    for name, value in (("depth", depth), ("focal", focal), ("baseline", baseline)):
        _args.positive(name, value)
    _args.at_least("sigma", sigma, 0)
    across = depth * sigma / (2**0.5 * focal)
    return StereoStd(across, across, across * 2 * depth / baseline)


# ---------------------------------------------------------------------------------------------------------------------
# Views that do not agree


def gate_power(views: int, noncentrality: float, *, level: float = 0.01) -> float:
    r"""Probability that a chi-square gate on V views, with 2 V - 3 degrees of freedom, refuses a biased view.

    Args:
        views: V >= 2.
        noncentrality: >= 0, the chi-square of the bias alone: :math:`b^\top S^{-1} b` of what the fit leaves of it. 0
            is no bias, and the probability then the level.
        level: of the gate, from 0 to 1.

    See chapter 5, section 5.3, and :func:`posebook.geometry.reprojection_gate`.

    Source: the noncentral chi-square distribution.

    >>> round(gate_power(3, 0.0), 3), round(gate_power(3, 20.0), 3)
    (0.01, 0.914)
    """
    from scipy.special import chdtri, chndtr  # slow to import

    _args.whole("views", views, 2)
    _args.at_least("noncentrality", noncentrality, 0)
    _args.within("level", level, (0, 1))
    dof = 2 * views - 3
    return float(1 - chndtr(chdtri(dof, level), dof, noncentrality))


# ---------------------------------------------------------------------------------------------------------------------
# Markers: how far off an overlay is, and how far off it looks


def reprojection_rms(sigma: float, points: int, *, parameters: int = 8) -> Tensor:
    r"""Root mean square of a fit's residuals, :math:`\sigma \sqrt{1 - p / (2 N)}` per coordinate, where the points are
    off by sigma.

    A fit of p parameters to 2 N coordinates takes up p parts of their errors. What it takes up is what it is wrong by.

    Args:
        sigma: standard deviation > 0 of each coordinate of the points, px.
        points: N, at least p / 2.
        parameters: p >= 1: 8 of a homography, 6 of a pose.

    Returns:
        px: to first order in sigma; exact for a linear model. 0 for a homography of 4 points.

    Raises:
        ValueError: sigma not > 0, no whole numbers, or fewer coordinates than parameters.

    See chapter 5, section 5.10.

    Source: Hartley and Zisserman 2004, Multiple View Geometry in Computer Vision, 2nd edition, result 5.1.

    >>> [round(reprojection_rms(1.0, n).item(), 3) for n in (4, 9, 36)]
    [0.0, 0.745, 0.943]
    """
    _args.positive("sigma", sigma)
    _args.whole("parameters", parameters, 1)
    _args.whole("points", points, -(-parameters // 2))
    return sigma * _args.double(1 - parameters / (2 * points)).sqrt()


def marker_error(radius: Tensor | float, *, sigma: float, side: int = 2) -> Tensor:
    r"""Root mean square distance in px by which a homography misses a place near a marker that is seen from the front.

    Of a square grid of N = side x side points from -1 to 1, with mean squares m2 and mean fourth powers m4 of a
    coordinate:

    .. math:: \sigma \sqrt{\tfrac1N \left(2 + \tfrac{2 r^2}{m_2} + \tfrac{r^4 - 2 m_2 r^2 + 2 m_2^2}{m_4}\right)}

    With the 4 corners alone this is :math:`\sigma \sqrt{1 + r^4 / 4}`.

    Args:
        radius: r >= 0, from the middle of the marker, in half sides of it: a number or a tensor.
        sigma: standard deviation > 0 of each coordinate of the points, px.
        side: points on each side of the grid, at least 2.

    Returns:
        px, in the shape of ``radius``; to first order in sigma.

    Raises:
        ValueError: a negative radius, sigma not > 0, or side < 2.

    See chapter 5, section 5.11.

    >>> [round(marker_error(r, sigma=0.5).item(), 2) for r in (0, 2**0.5, 3 * 2**0.5)]  # middle, corner, 3 x the corner
    [0.5, 0.71, 4.53]
    """
    _args.positive("sigma", sigma)
    _args.whole("side", side, 2)
    r = _args.double(radius)
    if _args.readable(r) and not (r >= 0).all():
        _args.fail("radius", ">= 0", r.min().item())
    line = torch.linspace(-1, 1, side, dtype=torch.float64, device=r.device)
    m2, m4 = line.square().mean(), line.pow(4).mean()
    r2 = r.square()
    parts = 2 + 2 * r2 / m2 + (r2.square() - 2 * m2 * r2 + 2 * m2.square()) / m4
    return sigma / side * parts.sqrt()
