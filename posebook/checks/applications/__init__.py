"""The problem set *applications*: one file a problem."""

from posebook.checks.applications import bootstrap_gap, homography, normalize_skeleton, one_euro, triangulate

PROBLEMS = tuple(module.PROBLEM for module in (
    triangulate, homography, normalize_skeleton, bootstrap_gap, one_euro))
