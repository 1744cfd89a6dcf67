"""A point that several cameras see: where it is, how sure that is, and which view does not agree."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from posebook import _args
from posebook.geometry.camera import Camera
from posebook.geometry.solve import least_squares


def triangulate(
    xy: Tensor, cameras: Sequence[Camera], *, covariance: Tensor | None = None, refine: bool = True
) -> Tensor:
    r"""The point in the world whose pictures these pixels are: the most likely one, if their errors are Gaussian.

    The linear start (DLT) minimizes :math:`\sum_v (x_v z_v - p_v)^2 + (y_v z_v - q_v)^2`, where :math:`(p_v, q_v,
    z_v)` is the point in the axes of camera v and :math:`x_v, y_v` its pixel as the slope of a ray. From there
    damped Gauss-Newton steps minimize the reprojection error :math:`\sum_v r_v^\top S_v^{-1} r_v`, r in px.

    Args:
        xy: pixels ``(..., V, 2)``, one for each of V >= 2 cameras.
        cameras: V of them, at two places or more.
        covariance: S ``(2, 2)``, ``(V, 2, 2)`` or ``(..., V, 2, 2)`` of the errors in px squared, independent from
            view to view; None is the same for all, alike on both axes, and then its size does not matter.
        refine: False stops at the linear start, which knows no covariance.

    Returns:
        ``(..., 3)`` in the dtype of ``xy``; computed in float64, and differentiable in ``xy``.

    Raises:
        ValueError: fewer than two views, another number of cameras, values that are not finite, a bad covariance,
            cameras all at one place or rays that are all parallel (to a millionth of a radian), or an answer that is
            behind a camera.

    See chapter 5, section 5.2.

    Source: Hartley and Zisserman 2004, Multiple View Geometry in Computer Vision, 2nd edition, sections 12.2 and 12.3.

    >>> left, right = (Camera.look_at((x, 0, -2), (x, 0, 0), focal=500, hw=(480, 640)) for x in (-0.25, 0.25))
    >>> triangulate(torch.tensor([[407.0, 239.5], [282.0, 239.5]]), (left, right))    # 125 px apart: 500 * 0.5 / 2
    tensor([0.1000, 0.0000, 0.0000])
    """
    _views(xy, cameras)
    if not refine and covariance is not None:
        _args.fail("covariance", "None where refine is False", "a covariance")
    found = _linear_start(xy.double(), cameras)
    if refine:
        found = _refined(found, xy.double(), cameras, covariance)
    _in_front("xy", found, cameras)
    return found.to(xy.dtype)


def triangulation_covariance(point: Tensor, cameras: Sequence[Camera], covariance: Tensor) -> Tensor:
    r"""Covariance of :func:`triangulate`, to first order: :math:`\left(\sum_v J_v^\top S_v^{-1} J_v\right)^{-1}`.

    J is the derivative of a camera's pixel by the point, px per meter. No unbiased estimate has less (Cramer, Rao).

    Args:
        point: ``(..., 3)``, the true one, or the one found.
        cameras: V >= 2 of them, at two places or more.
        covariance: S ``(2, 2)``, ``(V, 2, 2)`` or ``(..., V, 2, 2)`` of the pixels' errors, in px squared.

    Returns:
        ``(..., 3, 3)`` in meters squared (the cameras' unit), in the dtype of ``point``.

    Raises:
        ValueError: as :func:`triangulate`; a point that is not in front of each camera.

    See chapter 5, section 5.1; :func:`posebook.theory.stereo_std` for two parallel cameras.

    >>> left, right = (Camera.look_at((x, 0, -2), (x, 0, 0), focal=500, hw=(480, 640)) for x in (-0.25, 0.25))
    >>> one_px = torch.eye(2, dtype=torch.float64)
    >>> found = triangulation_covariance(torch.zeros(3, dtype=torch.float64), (left, right), one_px)
    >>> 1000 * found.diagonal().sqrt()    # mm: along x, y and z
    tensor([ 2.8284,  2.8284, 22.6274], dtype=torch.float64)
    """
    _args.floating("point", point, "(..., 3)")
    if point.ndim < 1 or point.shape[-1] != 3:
        _args.fail("point", "shape (..., 3)", tuple(point.shape))
    _cameras(cameras)
    wide = point.double()
    _in_front("point", wide, cameras)
    jacobian, pixels = _projected(wide, cameras)
    _crossing(jacobian / jacobian.detach().norm(dim=(-2, -1), keepdim=True))
    tall = (_whitening(covariance, pixels) @ jacobian).flatten(-3, -2)  # (..., 2V, 3)
    inverse = torch.linalg.inv_ex(torch.linalg.qr(tall).R).inverse
    return (inverse @ inverse.mT).to(point.dtype)


class Gate(NamedTuple):
    """What :func:`reprojection_gate` says, each with the leading axes of its pixels."""

    chi2: Tensor
    """Sum of squared residuals in units of their standard deviation; inf where they meet behind a camera."""
    agree: Tensor
    """bool: the views agree with each other at the level asked for."""
    view: Tensor
    """int64, the view that does not agree with the others; -1 where all agree, or where there are only two."""
    point: Tensor
    """``(..., 3)``: from all views but this one; NaN behind a camera."""


def reprojection_gate(xy: Tensor, cameras: Sequence[Camera], covariance: Tensor, *, level: float = 0.01) -> Gate:
    r"""Do the views agree on one point? A chi-square test of the reprojection residuals, of 2V - 3 degrees of freedom.

    2V numbers were measured and 3 fitted. Where the test fails, each view is left out in turn: the one whose absence
    makes the rest agree best is named. Only what the others contradict can be seen: with two views, an error along the
    line on which the other view's ray is seen moves the point and leaves no residual.

    Args:
        xy: pixels ``(..., V, 2)``.
        cameras: V >= 2 of them; where V >= 3, no two at one place.
        covariance: S of the errors as :func:`triangulate` takes it; here its size matters.
        level: probability from 0 to 1 that views are refused whose errors are Gaussian with this covariance.

    Returns:
        :class:`Gate`.

    Raises:
        ValueError: as :func:`triangulate`, also for the views that remain when one is left out, but for answers behind
            a camera: there the views do not agree. A level outside.

    See chapter 5, section 5.3, and :func:`posebook.theory.gate_power`.

    >>> cameras = [Camera.look_at((x, 0, -2), (0, 0, 0), focal=500, hw=(480, 640)) for x in (-1, 0, 1, 2)]
    >>> seen = torch.tensor([[319.5, 239.5]]).repeat(4, 1)    # of a point in the middle
    >>> seen[2] += torch.tensor([0.0, 9.0])                   # and one view is 9 px off
    >>> gate = reprojection_gate(seen, cameras, torch.eye(2))
    >>> gate.agree, gate.view, gate.point.round(decimals=3).abs()
    (tensor(False), tensor(2), tensor([0., 0., 0.]))
    """
    from scipy.special import chdtri  # slow to import

    _views(xy, cameras)
    _args.floating("covariance", covariance, "(2, 2), (V, 2, 2) or (..., V, 2, 2)")
    _args.within("level", level, (0, 1))
    v, full = len(cameras), _expanded(covariance, xy)
    everyone = list(range(v))
    chi2, point = _fitted(everyone, xy, cameras, full)
    agree = chi2 < chdtri(2 * v - 3, level)
    view = torch.full_like(agree, -1, dtype=torch.int64)
    if v > 2:
        rest = [_fitted([k for k in everyone if k != left_out], xy, cameras, full) for left_out in everyone]
        best = torch.stack([without for without, _ in rest]).argmin(0)
        points = torch.stack([found for _, found in rest])  # (V, ..., 3)
        kept = points.gather(0, best[None, ..., None].expand(1, *point.shape))[0]
        view, point = torch.where(agree, view, best), torch.where(agree[..., None], point, kept)
    return Gate(chi2.to(xy.dtype), agree, view, point.to(xy.dtype))


def _views(xy: Tensor, cameras: Sequence[Camera]) -> None:
    _cameras(cameras)
    _args.floating("xy", xy, "(..., V, 2)")
    if xy.ndim < 2 or xy.shape[-2:] != (len(cameras), 2):
        _args.fail("xy", f"shape (..., {len(cameras)}, 2), a pixel for each camera", tuple(xy.shape))
    if _args.readable(xy) and not xy.isfinite().all():
        _args.fail("xy", "finite values", "some that are not")


def _cameras(cameras: Sequence[Camera]) -> None:
    if not isinstance(cameras, (tuple, list)) or len(cameras) < 2:
        got = len(cameras) if isinstance(cameras, (tuple, list)) else type(cameras).__name__
        _args.fail("cameras", "two or more", got)
    for camera in cameras:
        _args.instance("cameras", camera, Camera)
    places = torch.stack([camera.position for camera in cameras])
    apart = (places - places.mean(0)).norm(dim=-1).max() > 1e-9 * places.norm(dim=-1).max()
    if _args.readable(apart) and not apart:
        _args.fail("cameras", "two places or more", "all at one")


def _linear_start(xy: Tensor, cameras: Sequence[Camera]) -> Tensor:
    """DLT ``(..., 3)``, its rows in units of an angle; the world's origin is moved to the cameras."""
    middle = torch.stack([camera.position for camera in cameras]).mean(0)
    rows, right = [], []
    for k, camera in enumerate(cameras):
        slope = (xy[..., k, :] - _args.constant(camera.center, xy)) / camera.focal
        rows.append(_across(slope, camera))  # (..., 2, 3)
        right.append(rows[-1] @ (camera.position - middle).to(xy))
    rows = torch.stack(rows, -3)
    _crossing(rows)
    q, r = torch.linalg.qr(rows.flatten(-3, -2))
    right = torch.stack(right, -2).flatten(-2)[..., None]  # (..., 2V, 1)
    return middle.to(xy) + torch.linalg.solve_triangular(r, q.mT @ right, upper=True)[..., 0]


def _across(slope: Tensor, camera: Camera) -> Tensor:
    """Two world directions across the ray of this slope ``(..., 2)``: ``(..., 2, 3)``, its x and y - slope z."""
    rotation = camera.rotation.to(slope)
    return rotation[:2] - slope[..., :, None] * rotation[2]


def _projected(points: Tensor, cameras: Sequence[Camera]) -> tuple[Tensor, Tensor]:
    """Derivatives ``(..., V, 2, 3)`` of the pixels by the points ``(..., 3)``, and the pixels ``(..., V, 2)``."""
    jacobians, pixels = [], []
    for camera in cameras:
        local = camera.local(points)
        slope = local[..., :2] / local[..., 2:]
        jacobians.append(camera.focal / local[..., 2, None, None] * _across(slope, camera))
        pixels.append(camera.focal * slope + _args.constant(camera.center, slope))
    return torch.stack(jacobians, -3), torch.stack(pixels, -2)


def _whitening(covariance: Tensor | None, xy: Tensor) -> Tensor:
    """``(..., V, 2, 2)`` that makes the errors of unit variance: the inverse of the Cholesky factor."""
    if covariance is None:
        return torch.eye(2, dtype=xy.dtype, device=xy.device)
    return torch.linalg.inv_ex(torch.linalg.cholesky_ex(_expanded(covariance, xy)).L).inverse


def _expanded(covariance: Tensor, xy: Tensor) -> Tensor:
    _args.floating("covariance", covariance, "(2, 2), (V, 2, 2) or (..., V, 2, 2)")
    shape = (*xy.shape, 2)
    if covariance.shape[-2:] != (2, 2):
        _args.fail("covariance", "shape (..., 2, 2)", tuple(covariance.shape))
    _args.broadcasts("covariance", covariance, shape)
    _args.definite("covariance", covariance, tuple(covariance.shape))
    return covariance.to(xy.device, torch.float64).expand(shape)


def _refined(found: Tensor, xy: Tensor, cameras: Sequence[Camera], covariance: Tensor | None) -> Tensor:
    """The least reprojection error, from this point on."""
    whiten = _whitening(covariance, xy)

    def model(point: Tensor) -> tuple[Tensor, Tensor]:
        jacobian, pixels = _projected(point[..., 0], cameras)
        return (whiten @ (pixels - xy)[..., None]).flatten(-3), (whiten @ jacobian).flatten(-3, -2)

    return least_squares(model, lambda point, step: point + step[..., None], found[..., None])[..., 0]


def _fitted(views: list[int], xy: Tensor, cameras: Sequence[Camera], covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Chi-square ``(...)`` of some views and their point ``(..., 3)``, float64; inf and NaN if behind a camera."""
    some, at = [cameras[k] for k in views], _args.constant(views, xy, torch.int64)
    xy, covariance = xy[..., at, :].double(), covariance[..., at, :, :]
    point = _refined(_linear_start(xy, some), xy, some, covariance)
    off = xy - _projected(point, some)[1]
    chi2 = (_whitening(covariance, xy) @ off[..., None]).square().sum((-3, -2, -1))
    fine = (_depths(point, some) > 0).all(0)
    return torch.where(fine, chi2, torch.inf), torch.where(fine[..., None], point, torch.nan)


def _crossing(rows: Tensor) -> None:
    """No parallel rays: the directions across them ``(..., V, 2, 3)`` span the space."""
    tall = rows.detach().flatten(-3, -2)
    if _args.readable(rows) and not (torch.linalg.svdvals(tall)[..., -1] > 1e-6).all():
        _args.fail("cameras", "rays that cross", "parallel ones")


def _depths(points: Tensor, cameras: Sequence[Camera]) -> Tensor:
    return torch.stack([camera.local(points)[..., 2] for camera in cameras])  # (V, ...)


def _in_front(name: str, points: Tensor, cameras: Sequence[Camera]) -> None:
    depth = _depths(points.detach(), cameras)
    if _args.readable(depth) and not (depth > 0).all():
        _args.fail(name, "a point in front of each camera", "one beside or behind it")
