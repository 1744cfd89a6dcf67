"""Everyday poses, and one drawn for each person: joint angles in degrees, each drawn evenly between two bounds."""

import torch
from torch import Tensor

TRUNK = ((-3, 8), (-6, 6), (-12, 12), (-10, 15), (-8, 8), (-35, 35))  # lean, side, twist; nod, tilt and turn of head
ARM = ((-12, 15), (5, 16), (0, 40), (5, 35))  # forward, outward, turned inward, elbow bent
LEG = ((-4, 8), (1, 8), (-18, 4), (0, 8))  # forward, outward, turned inward, knee bent
ARMS, LEGS = (ARM, ARM), (LEG, LEG)


def lean(low: float, high: float) -> tuple:
    """Bounds of a trunk that leans forward by ``low`` to ``high`` degrees."""
    return ((low, high), *TRUNK[1:])


POSES = {  # trunk, two arms, two legs; left and right are exchanged at random
    "standing": (TRUNK, ARMS, LEGS),
    "relaxed": (TRUNK, (((-30, -8), (25, 42), (50, 75), (75, 100)), ARM),
                (LEG, ((5, 25), (3, 12), (-25, 0), (10, 40)))),
    "akimbo": (TRUNK, (((-25, -5), (38, 55), (60, 80), (80, 105)),) * 2, (((-5, 5), (5, 15), (-18, 4), (0, 8)),) * 2),
    "arms folded": (TRUNK, (((15, 30), (5, 14), (55, 75), (90, 110)),) * 2, LEGS),
    "walking": (lean(0, 10), (((-35, -10), (4, 12), (0, 25), (5, 35)), ((10, 35), (4, 12), (0, 25), (15, 50))),
                (((15, 35), (0, 5), (-10, 4), (0, 18)), ((-28, -8), (0, 5), (-10, 4), (10, 55)))),
    "running": (lean(5, 20), (((-60, -25), (8, 20), (0, 25), (75, 110)), ((20, 55), (6, 16), (10, 35), (75, 110))),
                (((35, 75), (0, 6), (-10, 4), (45, 100)), ((-32, -8), (0, 6), (-10, 4), (25, 105)))),
    "waving": (TRUNK, (((0, 25), (85, 130), (-105, -70), (35, 95)), ARM), LEGS),
    "pointing": (TRUNK, (((60, 100), (0, 45), (0, 20), (0, 25)), ARM), LEGS),
    "arms raised": (TRUNK, (((0, 25), (125, 172), (-30, 20), (0, 55)),) * 2,
                (((-4, 8), (3, 14), (-18, 4), (0, 10)),) * 2),
    "arms spread": (TRUNK, (((-5, 20), (70, 105), (-30, 20), (0, 30)),) * 2,
                (((-4, 8), (5, 25), (-18, 4), (0, 12)),) * 2),
    "jumping": (lean(-8, 10), (((-5, 30), (95, 155), (-40, 20), (0, 50)),) * 2,
                (((-15, 35), (10, 38), (-15, 5), (5, 70)),) * 2),
    "kicking": (lean(-12, 8), (((-30, 30), (20, 60), (0, 40), (10, 60)),) * 2,
                (((45, 90), (0, 15), (-15, 5), (0, 45)), ((-10, 5), (0, 8), (-15, 5), (0, 25)))),
    "lunging": (lean(0, 25), (((-40, 60), (5, 40), (0, 40), (5, 90)),) * 2,
                (((55, 85), (0, 10), (-10, 5), (60, 95)), ((-30, -10), (0, 10), (-10, 5), (5, 45)))),
    "bending": (lean(45, 95), (((45, 95), (2, 20), (0, 30), (0, 40)),) * 2,
                (((0, 20), (1, 10), (-15, 4), (0, 30)),) * 2),
    "sitting": (lean(-5, 20), (((15, 45), (3, 16), (15, 45), (25, 85)),) * 2,
                (((75, 95), (1, 18), (-10, 8), (70, 100)),) * 2),
    "squatting": (lean(15, 40), (((40, 85), (3, 20), (5, 35), (10, 80)),) * 2,
                  (((85, 115), (8, 28), (-25, 0), (95, 130)),) * 2),
}  # fmt: skip

ANGLES = ("lean", "side", "twist", "nod", "tilt", "turn",
          *(f"{side}_{angle}" for limb in ("arm", "leg") for side in ("left", "right")
            for angle in (f"{limb}_forward", f"{limb}_outward", f"{limb}_inward", f"{limb}_bent")))  # fmt: skip
EXCHANGED = (*range(6), *range(10, 14), *range(6, 10), *range(18, 22), *range(14, 18))
"""Which of ``ANGLES`` is whose once left and right are exchanged."""


class Draws:
    """Uniform numbers ``(..., n)`` handed out column by column, so that each choice has columns of its own."""

    def __init__(self, uniform: Tensor):
        self.uniform, self.used = uniform, 0

    def __call__(self, low: float = 0.0, high: float = 1.0, n: int | None = None) -> Tensor:
        """``(...)``, or ``(..., n)``."""
        columns = self.uniform[..., self.used : self.used + (n or 1)]
        self.used += n or 1
        assert self.used <= self.uniform.shape[-1]
        return low + (high - low) * (columns if n else columns[..., 0])


def joint_angles(draws: Draws, poses: tuple[str, ...]) -> tuple[dict[str, Tensor], Tensor]:
    """Radians by name, each ``(B, P)``, and which of them sit."""
    rows = [[*trunk, *arms[0], *arms[1], *legs[0], *legs[1]] for trunk, arms, legs in (POSES[name] for name in poses)]
    table = torch.tensor(rows, dtype=torch.float32)  # (poses, 22, 2)
    pose = (draws() * len(poses)).long().clamp(max=len(poses) - 1)
    low, high = table[pose].unbind(-1)
    angles = torch.deg2rad(low + (high - low) * draws(n=low.shape[-1]))
    exchanged = angles[..., EXCHANGED]
    angles = torch.where(draws(n=1) < 0.5, angles, exchanged)
    sits = torch.tensor([name == "sitting" for name in poses])[pose]
    return dict(zip(ANGLES, angles.unbind(-1), strict=True)), sits
