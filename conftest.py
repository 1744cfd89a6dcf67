"""Names that the doctests in posebook/ use without importing them."""

import importlib.util
import os

import pytest

import posebook  # noqa: F401 (before torch, whose threads heed the environment that this sets)

collect_ignore = [] if importlib.util.find_spec("triton") else ["posebook/_triton.py"]
if "POSEBOOK_CI" in os.environ:  # where tests/test_round_off.py runs them all
    collect_ignore_glob = ["chapters/*.ipynb", "solutions/*/*.ipynb"]


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    import torch

    doctest_namespace["torch"] = torch
