"""The colors of explorers and figures, as readers see them who lack one kind of cone, and on paper."""

from itertools import combinations

import numpy as np
import pytest

from posebook import draw
from posebook.explore import _page

# Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision deficiency, IEEE
# Transactions on Visualization and Computer Graphics 15(6), 2009: severity 1.0, on linear RGB.
EYES = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041]])  # of linear sRGB
APART = 12  # Delta E of 1976; some 2 can just be seen, side by side
EXPLORERS = {name: getattr(_page, name) for name in ("INK", "GRAY", "BLUE", "ORANGE", "GREEN", "RED")}
FIGURES = {name: getattr(draw, name)
           for name in ("BLACK", "ORANGE", "SKY", "GREEN", "YELLOW", "BLUE", "RED", "PURPLE")}


def linear(color: str) -> np.ndarray:
    s = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)


def lab(color: str, eyes: str = "usual") -> np.ndarray:
    """CIELAB under D65."""
    xyz = XYZ @ (EYES[eyes] @ linear(color)).clip(0, 1) / XYZ.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one: str, other: str, eyes: str) -> float:
    return float(np.linalg.norm(lab(one, eyes) - lab(other, eyes)))


def test_what_colors_are_seen_by():
    """Red of sRGB as it is tabled; gray, which all eyes see alike."""
    assert lab("#ff0000") == pytest.approx([53.24, 80.09, 67.20], abs=0.01)
    for eyes in EYES:
        assert lab("#808080", eyes) == pytest.approx(lab("#808080"), abs=0.01)


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("palette", [EXPLORERS, FIGURES], ids=["explorers", "figures"])
def test_any_two_colors_stay_apart(palette, eyes):
    near = {pair: apart(palette[pair[0]], palette[pair[1]], eyes) for pair in combinations(palette, 2)}
    assert {pair: found for pair, found in near.items() if found < APART} == {}


@pytest.mark.parametrize("one, other", [("#b94e48", "#537f3c"), ("#c14a00", "#a86400")])
def test_red_beside_a_green_or_an_orange_as_light_would_not(one, other):
    assert lab(one)[0] == pytest.approx(lab(other)[0], abs=2)
    assert apart(one, other, "usual") > 20 and apart(one, other, "deuteranopia") < APART / 4


@pytest.mark.parametrize("name", EXPLORERS)
def test_print_of_each_color_of_explorers_has_contrast(name):
    """4.5 to 1 on paper, as WCAG asks of text."""
    light, dark = (XYZ[1] @ linear(color) for color in (_page.PAPER, EXPLORERS[name]))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
