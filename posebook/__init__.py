"""Keypoint detection and pose estimation, learned by doing. Import modules by name: this one holds nothing."""

__version__ = "0.1.0"
