"""Names that the doctests in posebook/ use without importing them."""

import pytest
import torch


@pytest.fixture(autouse=True)
def doctest_names(doctest_namespace):
    doctest_namespace["torch"] = torch
