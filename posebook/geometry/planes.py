"""Planes that a camera sees: homographies, and the pose of a marker."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from posebook import _args
from posebook.geometry.camera import Camera, in_front
from posebook.geometry.solve import least_squares


def homography(src: Tensor, dst: Tensor, *, refine: bool = True) -> Tensor:
    r"""The homography H that takes points of one plane to those of another, :math:`(x', y', 1) \sim H\,(x, y, 1)`.

    Both sets are moved to mean 0 and mean distance :math:`\sqrt 2`; H is the singular vector of the smallest singular
    value of the linear equations (DLT). Gauss-Newton steps from there minimize the sum of squared distances from
    ``dst``: the best estimate where its errors are normal, independent and equal, and ``src`` is exact.

    Args:
        src: ``(..., N, 2)``, N >= 4, any unit, four of them with no three on a line.
        dst: ``(..., N, 2)``, where they are seen. Leading axes broadcast. With 4 points H fits, whatever their errors.
        refine: False leaves the linear solution, without a gradient.

    Returns:
        ``(..., 3, 3)`` with Frobenius norm 1, and the sign that makes the last coordinate > 0 at ``src``.

    Raises:
        ValueError: shapes that do not fit, N < 4, points of either plane that do not fix it (three of four on a line),
            or no H with all points on one side of its horizon, as when corners are in the wrong order.

    See chapter 5, section 5.9.

    Source: Hartley 1997, In Defense of the Eight-Point Algorithm, IEEE TPAMI 19(6); Hartley and Zisserman 2004,
    Multiple View Geometry in Computer Vision, 2nd edition, chapter 4.

    >>> square = torch.tensor([[0., 0.], [1., 0.], [1., 1.], [0., 1.]])
    >>> h = homography(square, 3 * square + 5)
    >>> apply_homography(h, torch.tensor([[0.5, 2.0]]))
    tensor([[ 6.5000, 11.0000]])
    """
    src, dst, dtype = _pairs(src, dst, ("src", "dst"))
    return _homography(src, dst, ("src", "dst"), refine=refine).to(dtype)


def apply_homography(h: Tensor, points: Tensor) -> Tensor:
    """Where a homography takes points.

    Args:
        h: ``(..., 3, 3)``; any scale, but its sign says which side of the horizon counts: that of last coordinates > 0.
        points: ``(..., N, 2)``; leading axes broadcast.

    Returns:
        ``(..., N, 2)``.

    Raises:
        ValueError: shapes that do not fit, or a point at or beyond the horizon.

    >>> apply_homography(torch.eye(3), torch.tensor([[2.0, 3.0]]))
    tensor([[2., 3.]])
    """
    seen = _before_horizon("points", points, h)
    return (seen[..., :2] / seen[..., 2:]).to(points.dtype)


def _before_horizon(name: str, points: Tensor, h: Tensor) -> Tensor:
    """Where points land ``(..., N, 3)``, float64, before the division by a last coordinate that is > 0."""
    _matrices("h", h)
    _plane_points(name, points, 1)
    h = h.double()
    seen = points.double() @ h[..., :2].mT + h[..., None, :, 2]
    if _args.readable(seen) and not (seen[..., 2] > 0).all():
        _args.fail(name, "points on this side of the horizon", "one at or beyond it")
    return seen


def homography_covariance(h: Tensor, src: Tensor, points: Tensor, *, sigma: float) -> Tensor:
    r"""Covariance of where points land, :math:`\sigma^2 G (J^\top J)^{+} G^\top`, if H is :func:`homography` of points
    with errors.

    J holds the derivatives of the N seen points by the entries of H, G those of one more point. To first order in
    sigma.

    Args:
        h: ``(..., 3, 3)``, the homography.
        src: ``(..., N, 2)``, the points that it was found from.
        points: ``(..., M, 2)``, points of the same plane; leading axes broadcast.
        sigma: standard deviation of each coordinate of ``dst``, independent of the others, in its unit.

    Returns:
        ``(..., M, 2, 2)``, in that unit squared.

    Raises:
        ValueError: as :func:`homography` and :func:`apply_homography`, or sigma not > 0.

    See chapter 5, section 5.11.

    Source: Hartley and Zisserman 2004, Multiple View Geometry in Computer Vision, 2nd edition, section 5.2.

    >>> square = torch.tensor([[-1., -1.], [1., -1.], [1., 1.], [-1., 1.]])
    >>> covariance = homography_covariance(torch.eye(3), square, torch.tensor([[0., 0.], [2., 0.]]), sigma=1.0)
    >>> covariance.diagonal(dim1=-2, dim2=-1)    # variances of x and y: in the middle, and 2 away
    tensor([[0.5000, 0.5000],
            [3.5000, 1.5000]])
    """
    _args.positive("sigma", sigma)
    _plane_points("src", src, 4)
    for name, value in (("points", points), ("src", src)):
        _before_horizon(name, value, h)
    dtype = points.dtype
    h, src, points = (_args.double(x) for x in (h, src, points))
    move, moved = _normalization(src)
    _general("src", moved)
    h = h @ torch.linalg.inv_ex(move).inverse  # from normalized points: the errors of dst stay what they are
    h = h / h.norm(dim=(-2, -1), keepdim=True)
    jacobian = _derivatives(h, moved)
    return _spread(jacobian, _derivatives(h, _moved(move, points)), sigma, null=h.flatten(-2)).to(dtype)


class Pose(NamedTuple):
    """Where a thing is and how it is turned: its point X is at R X + t."""

    rotation: Tensor
    """R ``(..., 3, 3)``."""
    translation: Tensor
    """t ``(..., 3)``, in the unit of X."""

    def place(self, points: Tensor) -> Tensor:
        """Points ``(..., N, 3)`` in the thing's own axes, brought to where it is."""
        with _args.exact(points.device):
            wide = _args.widen(points)
            moved = wide @ self.rotation.to(wide).mT + self.translation.to(wide)[..., None, :]
        return moved.to(points.dtype)


def planar_pose(points: Tensor, xy: Tensor, camera: Camera) -> Pose:
    r"""Pose of a flat marker in the world of a camera that sees it: the least sum of squared distances from ``xy``.

    The columns of :math:`K^{-1} H` are the first two of R, and t, up to scale (K: its intrinsic matrix). A small
    marker looks nearly the same with its tilt mirrored across the line of sight, so Gauss-Newton steps start from both;
    the better end is kept.

    Args:
        points: ``(..., N, 2)``, N >= 4, on the marker, which lies in its own plane z = 0; in the world's unit.
        xy: ``(..., N, 2)``, where they are seen, px. Leading axes broadcast.
        camera: where it stands, and its focal length and center.

    Returns:
        the pose: ``camera.project(pose.place(x))`` is where points x ``(..., M, 3)`` in the marker's axes are seen.
        Where x goes to the right on the marker and y down, z goes into it: what stands on it has z < 0.

    Raises:
        ValueError: as :func:`homography`, for ``points`` and ``xy``.

    See chapter 5, section 5.9.

    Source: Zhang 2000, A Flexible New Technique for Camera Calibration, IEEE TPAMI 22(11); Schweighofer and Pinz 2006,
    Robust Pose Estimation from a Planar Target, IEEE TPAMI 28(12).

    >>> camera = Camera.look_at((0, 0, -2), (0, 0, 0), focal=500, hw=(480, 640))
    >>> corners = torch.tensor([[-0.1, -0.1], [0.1, -0.1], [0.1, 0.1], [-0.1, 0.1]], dtype=torch.float64)
    >>> seen = camera.project(torch.nn.functional.pad(corners, (0, 1)) + torch.tensor([0.2, 0.3, 1.0]))
    >>> planar_pose(corners, seen, camera).translation
    tensor([0.2000, 0.3000, 1.0000], dtype=torch.float64)
    """
    _args.instance("camera", camera, Camera)
    points, xy, dtype = _pairs(points, xy, ("points", "xy"))
    center = points.detach().mean(-2, keepdim=True)  # the marker's own middle, about which it turns best
    rays, solid = (xy - _args.constant(camera.center, xy)) / camera.focal, pad(points - center, (0, 1))
    start = _zhang(_homography(points - center, rays, ("points", "xy"), refine=False))
    both = torch.stack((start, _mirrored(start)))

    def model(pose: Tensor) -> tuple[Tensor, Tensor]:
        seen, slope = _seen(pose, solid)
        return (seen - rays).flatten(-2), slope.flatten(-3, -2)

    ends = least_squares(model, _turned, both)
    worse = model(ends)[0].square().sum(-1).diff(dim=0)[0] < 0
    local = torch.where(worse[..., None, None], ends[1], ends[0])
    if _args.readable(local) and not (solid @ local[..., 2:, :3].mT + local[..., 2:, 3:] > 0).all():
        _args.fail("xy", "points of a marker in front of the camera", "none such")
    back = camera.rotation.to(local).mT
    turned = back @ local[..., :3]
    shift = (local[..., 3] - camera.translation.to(local)) @ back.mT - (turned @ pad(center, (0, 1)).mT)[..., 0]
    return Pose(turned.to(dtype), shift.to(dtype))


def pose_covariance(pose: Pose, points: Tensor, places: Tensor, camera: Camera, *, sigma: float) -> Tensor:
    r"""Covariance of where a camera sees places that follow a marker, if its pose is :func:`planar_pose` of points with
    errors: :math:`\sigma^2 G (J^\top J)^{-1} G^\top`.

    J holds the derivatives of the N seen points by the 6 parameters of the pose, G those of one place. To first order
    in sigma.

    Args:
        pose: R ``(..., 3, 3)`` and t ``(..., 3)``.
        points: ``(..., N, 2)``, on the marker, which the pose was found from.
        places: ``(..., M, 3)``, in the marker's axes; leading axes broadcast.
        camera: the one that saw them.
        sigma: standard deviation of each coordinate of what was seen, independent of the others, px.

    Returns:
        ``(..., M, 2, 2)``, px^2.

    Raises:
        ValueError: points that do not fix a pose, points or places not in front of the camera, or sigma not > 0.

    See chapter 5, section 5.11.

    >>> camera = Camera(500.0, (0.0, 0.0), torch.eye(3), torch.zeros(3))
    >>> corners = torch.tensor([[-1., -1.], [1., -1.], [1., 1.], [-1., 1.]])
    >>> pose = Pose(torch.eye(3), torch.tensor([0., 0., 5.]))
    >>> covariance = pose_covariance(pose, corners, torch.tensor([[1., 1., 0.], [1., 1., -2.]]), camera, sigma=1.0)
    >>> covariance.diagonal(dim1=-2, dim2=-1)    # of a corner of the marker, and of one of the cube upon it
    tensor([[ 0.7500,  0.7500],
            [64.4290, 64.4290]])
    """
    _args.instance("camera", camera, Camera)
    _args.positive("sigma", sigma)
    _plane_points("points", points, 4)
    _general("points", _normalization(_args.double(points))[1])
    dtype = places.dtype
    points, places, rotation, translation = (_args.double(x) for x in (points, places, *pose))
    for name, those in (("points", pad(points, (0, 1))), ("places", places)):
        in_front(name, camera.local(Pose(rotation, translation).place(those))[..., 2])
    outer = camera.rotation.to(rotation)
    shift = translation @ outer.mT + camera.translation.to(rotation)
    local = torch.cat((outer @ rotation, shift[..., None]), -1)
    by_points, by_places = (_seen(local, x)[1] for x in (pad(points, (0, 1)), places))
    return _spread(by_points, by_places, sigma).to(dtype)


def _plane_points(name: str, tensor: Tensor, least: int) -> None:
    """(..., N, 2), ``least`` of them or more."""
    _args.floating(name, tensor, "(..., N, 2)")
    if tensor.ndim < 2 or tensor.shape[-1] != 2 or tensor.shape[-2] < least:
        _args.fail(name, f"shape (..., N, 2) with N >= {least}", tuple(tensor.shape))


def _matrices(name: str, tensor: Tensor) -> None:
    _args.floating(name, tensor, "(..., 3, 3)")
    if tensor.ndim < 2 or tensor.shape[-2:] != (3, 3):
        _args.fail(name, "shape (..., 3, 3)", tuple(tensor.shape))


def _pairs(a: Tensor, b: Tensor, names: tuple[str, str]) -> tuple[Tensor, Tensor, torch.dtype]:
    """Both in float64, of one shape, and the dtype that results have."""
    for name, tensor in zip(names, (a, b), strict=True):
        _plane_points(name, tensor, 4)
        if _args.readable(tensor) and not tensor.isfinite().all():
            _args.fail(name, "finite coordinates", "NaN or infinity")
    if a.shape[-2] != b.shape[-2]:
        _args.fail(names[1], f"{a.shape[-2]} points as in {names[0]}", b.shape[-2])
    dtype = torch.promote_types(a.dtype, b.dtype)
    return *torch.broadcast_tensors(a.double(), b.double()), dtype


def _normalization(points: Tensor) -> tuple[Tensor, Tensor]:
    """The similarity ``(..., 3, 3)`` that gives points mean 0 and mean distance sqrt 2, and the points moved by it."""
    center = points.mean(-2)
    distance = (points - center[..., None, :]).norm(dim=-1).mean(-1)
    scale = 2**0.5 / distance.clamp(min=torch.finfo(points.dtype).tiny)
    one, zero = torch.ones_like(scale), torch.zeros_like(scale)
    x, y = (-scale[..., None] * center).unbind(-1)
    rows = (scale, zero, x), (zero, scale, y), (zero, zero, one)
    move = torch.stack([torch.stack(row, -1) for row in rows], -2)
    return move, _moved(move, points)


def _moved(move: Tensor, points: Tensor) -> Tensor:
    """Points under a similarity."""
    return points * move[..., None, :1, 0] + move[..., None, :2, 2]


def _equations(src: Tensor, dst: Tensor) -> Tensor:
    """The DLT's coefficients of the 9 entries of H, (..., 2N, 9)."""
    p, zero = pad(src, (0, 1), value=1.0), src.new_zeros(*src.shape[:-1], 3)
    across, down = torch.cat((p, zero, -dst[..., :1] * p), -1), torch.cat((zero, p, -dst[..., 1:] * p), -1)
    return torch.cat((across, down), -2)


def _general(name: str, points: Tensor) -> None:
    """Refuse points, normalized, of which any four have three on a line: more than one H leaves them in place."""
    if _args.readable(points):
        sizes = torch.linalg.svdvals(_equations(points.detach(), points.detach()))
        if not (sizes[..., 7] > 1e-6 * sizes[..., 0]).all():
            _args.fail(name, "four points with no three on a line", "points that do not fix a plane")


def _homography(src: Tensor, dst: Tensor, names: tuple[str, str], *, refine: bool) -> Tensor:
    """Of float64 points of one shape."""
    (before, a), (after, b) = _normalization(src), _normalization(dst)
    _general(names[0], a), _general(names[1], b)
    with torch.no_grad():
        start = torch.linalg.svd(pad(_equations(a, b), (0, 0, 0, 1)), full_matrices=False).Vh[..., 8, :]
        start = start.unflatten(-1, (3, 3))  # a row of zeros more: with 4 points there are but 8 singular values
        depth = pad(a, (0, 1), value=1.0) @ start[..., 2, :, None]  # (..., N, 1)
        start = start * depth.sum((-2, -1), keepdim=True).sign()
        depth = depth * depth.sum((-2, -1), keepdim=True).sign()
        if _args.readable(depth) and not (depth > 1e-6 * depth.amax(-2, keepdim=True)).all():
            _args.fail(names[1], f"the points of {names[0]}, all on one side of a horizon", "other points")

    def model(h: Tensor) -> tuple[Tensor, Tensor]:
        seen, slope = _landed(h, a), _derivatives(h, a)
        ruler = h.flatten(-2)[..., None, :]  # a step along h changes nothing
        return pad((seen - b).flatten(-2), (0, 1)), torch.cat((slope.flatten(-3, -2), ruler), -2)

    found = least_squares(model, _stepped, start) if refine else start
    h = torch.linalg.inv_ex(after).inverse @ found @ before
    h = h / h.norm(dim=(-2, -1), keepdim=True)
    return h if refine else h.detach()


def _landed(h: Tensor, points: Tensor) -> Tensor:
    seen = points @ h[..., :2].mT + h[..., None, :, 2]
    return seen[..., :2] / seen[..., 2:]


def _derivatives(h: Tensor, points: Tensor) -> Tensor:
    """(..., N, 2, 9): of where points land, by the entries of H."""
    depth = points @ h[..., 2, :2, None] + h[..., 2, 2, None, None]  # (..., N, 1)
    p = pad(points, (0, 1), value=1.0) / depth
    u, zero = _landed(h, points), torch.zeros_like(p)
    return torch.stack((torch.cat((p, zero, -u[..., :1] * p), -1), torch.cat((zero, p, -u[..., 1:] * p), -1)), -2)


def _stepped(h: Tensor, step: Tensor) -> Tensor:
    """A homography, one step further."""
    h = h + step.unflatten(-1, (3, 3))
    return h / h.norm(dim=(-2, -1), keepdim=True)


def _zhang(h: Tensor) -> Tensor:
    """[R t] ``(..., 3, 4)`` from the homography of a plane z = 0 to rays (x / z, y / z)."""
    h = h / h[..., :2].norm(dim=-2).mean(-1)[..., None, None]
    first, second, shift = h.unbind(-1)
    u, _, vh = torch.linalg.svd(torch.stack((first, second, torch.linalg.cross(first, second)), -1))
    return torch.cat((u @ vh, shift[..., None]), -1)


def _mirrored(pose: Tensor) -> Tensor:
    """The pose that looks nearly the same: tilted the other way across the line of sight."""
    sight = pose[..., 3] / pose[..., 3].norm(dim=-1, keepdim=True)
    mirror = _eye(3, pose) - 2 * sight[..., :, None] * sight[..., None, :]
    return torch.cat((mirror @ pose[..., :3] * _args.constant((1.0, 1.0, -1.0), pose), pose[..., 3:]), -1)


def _seen(pose: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Rays (x / z, y / z) (..., N, 2) of points (..., N, 3), and derivatives by 3 turns and 3 shifts (..., N, 2, 6)."""
    arm = points @ pose[..., :3].mT
    local = arm + pose[..., None, :, 3]
    ray, depth = local[..., :2] / local[..., 2:], local[..., 2:]
    by_place = torch.cat((_eye(2, ray).expand(*ray.shape, 2), -ray[..., None]), -1) / depth[..., None]
    by_turn = torch.linalg.cross(arm[..., None, :], by_place)  # a . (w x arm) = w . (arm x a)
    return ray, torch.cat((by_turn, by_place), -1)


def _eye(n: int, like: Tensor) -> Tensor:
    return torch.eye(n, dtype=like.dtype, device=like.device)


def _turned(pose: Tensor, step: Tensor) -> Tensor:
    """A pose, turned about the marker's origin (Cayley's rotation, for small steps the turn by w) and shifted."""
    eye = _eye(3, step).expand(*step.shape[:-1], 3, 3)
    half = torch.linalg.cross(eye, step[..., None, :3].expand_as(eye) / 2)  # half @ p is w x p / 2
    turned = torch.linalg.solve_ex(eye - half, pose[..., :3] + half @ pose[..., :3])[0]
    return torch.cat((turned, pose[..., 3:] + step[..., 3:, None]), -1)


def _spread(by_points: Tensor, by_places: Tensor, sigma: float, *, null: Tensor | None = None) -> Tensor:
    """sigma^2 G (J'J)^+ G', of J (..., N, 2, P) and each G of (..., M, 2, P); J ignores steps along ``null``."""
    rows = by_points.flatten(-3, -2)
    if null is not None:
        rows = torch.cat((rows, null[..., None, :].expand(*rows.shape[:-2], 1, -1)), -2)
    root = torch.linalg.qr(rows, mode="r").R.mT  # (..., P, P), lower; J'J = root root'
    half = torch.linalg.solve_triangular(root, by_places.flatten(-3, -2).mT, upper=False).mT  # (..., 2M, P)
    half = sigma * half.unflatten(-2, (-1, 2))
    return half @ half.mT
