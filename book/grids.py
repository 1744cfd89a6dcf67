"""Which values the controls of the explorers have in the book, and in which units.

The value that a control starts with is always among them. A control that is not listed has all values that the explorer
gives it. One with a single value is fixed in the book, which says so below the others.
"""


def steps(first: float, last: float, step: float) -> tuple[float, ...]:
    """Evenly spaced, both ends included."""
    return tuple(round(first + k * step, 6) for k in range(round((last - first) / step) + 1))


GRIDS = {
    "asymmetry": {
        "mu": (1e-5, 3e-5, 6e-5, 1e-4, 3e-4, 1e-3, 2e-3),
        "tau": (0.1, 0.5, 1, 2, 4),
        "sigma": (2, 5, 8, 12),
    },
    "calibration": {
        "related": steps(0, 1, 0.1),
        "factor": (0.25, 0.5, 1, 2, 4),
        "spread": (0.1, 0.5, 1, 1.5),
    },
    "cameras": {
        "baseline": (0.1, 0.16, 0.24, 0.36, 0.48, 0.7, 1, 1.4, 2),
        "depth": (0.5, 1, 2, 4),
        "sigma": (0.1, 0.5, 2),
        "draw": (1, 2, 3, 4, 5, 6),
    },
    "conformal": {
        "alpha": (0.01, 0.09, 0.1, 0.3),
        "n": (10, 99, 100, 1000),
        "keypoint": ("nose", "left wrist"),
    },
    "decoding": {
        "tau": (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 10),
        "x": (0, 2, 5, 10, 20, 40, *steps(57, 66, 1), 90, 127),
        "y": (0, 42),
    },
    "dropout": {
        "p": (0.01, 0.1, 0.2, 0.35, 0.53, 0.9),
        "samples": (10, 30, 201),
        "weights": (0.5, 1, 2),
        "error": (0, 9, 24),
        "size": (24, 96, 320),
        "draw": (1, 2, 3, 4, 5, 6),
    },
    "flip": {"x": steps(32, 63, 0.5)},
    "fusion": {
        "s1": (0.5, 1, 2, 4),
        "s2": (0.5, 1, 1.5, 2, 4),
        "r": (-0.5, 0, 0.2, 0.3, 0.32, 0.4, 0.5, 0.6, 0.8, 0.9),
        "reported": (0.25, 0.5, 1, 1.1, 1.5, 2, 4, 8),
    },
    "gap": {
        "ratio": (0.25, 0.5, 0.7, 1),
        "effect": (1, 1.8, 3),
        "related": (0, 0.7, 1),
        "n": (20, 200, 400),
        "draw": (1, 2, 3, 4, 5),
    },
    "limbs": {
        "elbows": (2, 8, 10),
        "wrists": (-10, -6, -2, 2, 10),
        "along": (0, 2),
        "width": (1, 1.5, 2),
        "samples": (2, 5, 10),
        "threshold": (0.3, 0.7),
        "noise": (0, 0.25),
    },
    "marker": {
        "tilt": (0, 20, 40, 60),
        "turn": (20,),
        "sigma": (1, 2),
        "height": (2, 3),
        "away": (0, 3),
    },
    "masking": {
        "eta": (0.02, 0.1, 0.2, 0.4, 0.7, 1),
        "off": (1, 2, 3, 5),
    },
    "precision": {
        "shift": (0, 12, 19, 100),
        "error": (0, 6, 12, 12.5, 30),
        "height": (70, 100, 160, 240),
        "score2": (0.6, 0.7),
        "score3": (0.5, 0.7, 0.95),
        "threshold": (0.5, 0.6),
    },
    "sequence": {
        "frame": (4, 8, 12, 16, 20, 24, 28, 32, 36, 40),
        "size": (0, 20, 40),
        "person": (1,),
    },
    "tags": {
        "gap": (0, 0.01, 0.2),
        "steps": steps(0, 300, 25),
        "margin": (0.5, 1),
        "width": (0.5, 1),
        "spread": (0.15,),
        "threshold": (0.25, 0.5, 1),
    },
    "target": {
        "sigma": (0.3, 0.5, 1, 1.5, 2, 4),
        "x": (0, 26.6, 27.6, 28.6, 29.5, 30.6, 31.6, 32.6, 33.5, 34.6),
        "y": (32.6, 33.5),
    },
    "temperature": {
        "tau": (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4,
                0.5, 0.7, 1, 1.4, 2, 3, 4, 5, 7, 10, 14, 20),
        "sigma": (0.5, 0.7, 1, 2, 3),
        "noise": (0.02, 0.1, 0.3, 1),
        "phase": (0, 0.1, 0.2, 0.3, 0.4, 0.5),
    },
}

UNITS = {
    "asymmetry": {"stride": "px", "mu": "per px³", "sigma": "px"},
    "cameras": {"baseline": "m", "depth": "m", "sigma": "px"},
    "conformal": {"n": "pictures"},
    "decoding": {"stride": "px", "x": "px", "y": "px"},
    "dropout": {"samples": "answers", "error": "px", "size": "px"},
    "flip": {"stride": "px", "x": "px"},
    "fusion": {"s1": "px", "s2": "px", "reported": "px"},
    "gap": {"n": "persons"},
    "limbs": {"elbows": "cells", "wrists": "cells", "along": "cells", "width": "cells"},
    "marker": {"tilt": "degrees", "turn": "degrees", "sigma": "px", "height": "half sides", "away": "half sides"},
    "masking": {"off": "cells"},
    "precision": {"shift": "px", "error": "px", "height": "px"},
    "sequence": {"size": "%"},
    "target": {"stride": "px", "sigma": "cells", "x": "px", "y": "px"},
    "temperature": {"sigma": "cells", "phase": "cells"},
}
