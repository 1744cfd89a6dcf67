"""Cameras, and what their pixels say of the world: :mod:`~posebook.geometry.camera` projects,
:mod:`~posebook.geometry.views` triangulates, :mod:`~posebook.geometry.planes` finds homographies and poses.

World and camera axes: x to the right, y down, z away from the viewer; lengths in meters, or any one unit. Pixels are
(x, y); whole numbers are pixel centers.
"""

from posebook.geometry.camera import Camera
from posebook.geometry.planes import (
    Pose,
    apply_homography,
    homography,
    homography_covariance,
    planar_pose,
    pose_covariance,
)
from posebook.geometry.views import Gate, reprojection_gate, triangulate, triangulation_covariance

__all__ = [
    "Camera", "Gate", "Pose", "apply_homography", "homography", "homography_covariance", "planar_pose",
    "pose_covariance", "reprojection_gate", "triangulate", "triangulation_covariance",
]  # fmt: skip
