"""A pinhole camera: from points in a room to pixels."""

from dataclasses import dataclass

import torch
from torch import Tensor

from posebook import _args


@dataclass(frozen=True, eq=False)
class Camera:
    r"""A pinhole camera with square pixels and no distortion: a point X is seen at :math:`f\,(x, y)/z + c`, where
    :math:`(x, y, z) = R X + t` is the point in the camera's own axes.

    Source: Hartley and Zisserman 2004, Multiple View Geometry in Computer Vision, 2nd edition, section 6.1.

    >>> camera = Camera.look_at((0, 0, -2), (0, 0, 0), focal=500, hw=(480, 640))
    >>> camera.project(torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0]], dtype=torch.float64))
    tensor([[319.5000, 239.5000],
            [344.5000, 239.5000]], dtype=torch.float64)
    """

    focal: float
    """f, px: the distance of the image plane."""
    center: tuple[float, float]
    """c, px: where the axis of sight meets the image."""
    rotation: Tensor
    """R ``(3, 3)`` float64: its rows are the camera's axes in the world."""
    translation: Tensor
    """t ``(3,)`` float64: the world's origin in the camera's axes."""

    def __post_init__(self):
        _args.positive("focal", self.focal)
        if not isinstance(self.center, tuple) or len(self.center) != 2 or not all(map(_args.is_number, self.center)):
            _args.fail("center", "(x, y), two finite numbers", self.center)
        for name, value, shape in (("rotation", self.rotation, (3, 3)), ("translation", self.translation, (3,))):
            _args.floating(name, value, str(shape))
            if value.shape != shape:
                _args.fail(name, f"shape {shape}", tuple(value.shape))
            if _args.readable(value) and not value.isfinite().all():
                _args.fail(name, "finite numbers", "some that are not")
            object.__setattr__(self, name, value.double())
        if not _args.readable(self.rotation):
            return
        eye = torch.eye(3, dtype=torch.float64, device="cpu")
        if not torch.allclose(self.rotation @ self.rotation.mT, eye, atol=1e-5) or torch.det(self.rotation) < 0:
            _args.fail("rotation", "a rotation: orthonormal rows, determinant 1", "another matrix")

    @classmethod
    def look_at(
        cls, position: tuple[float, float, float], target: tuple[float, float, float], *, focal: float,
        hw: tuple[int, int], up: tuple[float, float, float] = (0.0, -1.0, 0.0),
    ) -> "Camera":  # fmt: skip
        """A camera that has ``target`` in the middle of its picture, and ``up`` pointing upward in it.

        Args:
            position: (x, y, z) of the camera in the world.
            target: (x, y, z) of the point that it looks at.
            focal: f in px.
            hw: (height, width) of its picture, px.
            up: a direction in the world; y points down, so that the default is up.

        Raises:
            ValueError: not three finite numbers, ``position`` is ``target``, or it looks along ``up``.
        """
        _args.size("hw", hw)
        for name, value in {"position": position, "target": target, "up": up}.items():
            if len(value) != 3 or not all(map(_args.is_number, value)):
                _args.fail(name, "(x, y, z), three finite numbers", value)
        position, target, up = (torch.tensor(v, dtype=torch.float64, device="cpu") for v in (position, target, up))
        forward = target - position
        if not forward.norm() > 0:
            _args.fail("target", "a point away from position", "position itself")
        forward = forward / forward.norm()
        right = torch.linalg.cross(forward, up)
        if not right.norm() > 1e-9 * up.norm():
            _args.fail("up", "a direction across the line of sight", "one along it")
        right = right / right.norm()
        rotation = torch.stack((right, torch.linalg.cross(forward, right), forward))
        return cls(focal, ((hw[1] - 1) / 2, (hw[0] - 1) / 2), rotation, -rotation @ position)

    @property
    def position(self) -> Tensor:
        """``(3,)``: where the camera is in the world."""
        return -self.rotation.mT @ self.translation

    @property
    def matrix(self) -> Tensor:
        """``(3, 4)``: P, with the pixel (P1 . Z / P3 . Z, P2 . Z / P3 . Z) of Z = (X, 1)."""
        (x, y), zero = self.center, 0.0
        inner = _args.constant(((self.focal, zero, x), (zero, self.focal, y), (zero, zero, 1.0)), self.rotation)
        return inner @ torch.cat((self.rotation, self.translation[:, None]), 1)

    def local(self, points: Tensor) -> Tensor:
        """World points ``(..., 3)`` in the camera's own axes, at least in float32; z is the depth."""
        _args.floating("points", points, "(..., 3)")
        if points.ndim < 1 or points.shape[-1] != 3:
            _args.fail("points", "shape (..., 3)", tuple(points.shape))
        wide = _args.widen(points)
        rotation, translation = self.rotation.to(wide), self.translation.to(wide)
        with _args.exact(points.device):
            return wide @ rotation.mT + translation

    def project(self, points: Tensor) -> Tensor:
        """Pixels ``(..., 2)`` of world points ``(..., 3)``, differentiable, in their dtype.

        Raises:
            ValueError: no floating ``(..., 3)``, or a point that is not in front of the camera.
        """
        local = self.local(points)
        in_front("points", local[..., 2])
        return (self.focal * local[..., :2] / local[..., 2:] + _args.constant(self.center, local)).to(points.dtype)


def in_front(name: str, depth: Tensor) -> None:
    """Refuse points, called so, of which one has a depth that is not > 0."""
    if _args.readable(depth) and not (depth > 0).all():
        _args.fail(name, "points in front of the camera", "one beside or behind it")
