"""Everyday actions: postures to pass through, each a pose of bounds as in :mod:`posebook.people.poses`."""

from dataclasses import dataclass

from posebook.people.poses import ARM, LEG, TRUNK, lean


def _key(at: float, trunk=TRUNK, left_arm=ARM, right_arm=ARM, left_leg=LEG, right_leg=LEG) -> tuple:
    """A time, as a share of the action, and the bounds of each angle then, in degrees."""
    return at, (*trunk, *left_arm, *right_arm, *left_leg, *right_leg)


@dataclass(frozen=True)
class Action:
    """Postures to pass through. Whoever is at a quarter of one angle's bounds in one of them is so in all."""

    keys: tuple
    seconds: tuple[float, float]
    """Least and most of one cycle, or of the whole where it is done once."""
    once: bool = False
    backward: bool = False
    """The film of the same action, run backward."""
    stands: tuple[float, float] = (0.5, 0.5)
    """Weights of left and right ankle in the point that stays above one place of the floor."""
    hop: tuple[float, float] = (0.0, 0.0)
    """Least and most height of two hops in each cycle, in body heights."""
    seat: bool = False
    """Whether a seat stands where the pelvis is at the last key."""


_WAVE = ((0, 20), (85, 115), (-105, -80))
_STEP, _SWING = ((20, 28), (0, 4), (-8, 4), (2, 8)), ((8, 18), (0, 4), (-8, 4), (50, 65))
_PUSH, _STAND = ((-22, -15), (0, 4), (-8, 4), (14, 24)), ((0, 4), (0, 4), (-8, 4), (4, 10))
_BACK, _FORE, _HANG = (((f, g), (4, 12), (0, 20), (10, 30)) for f, g in ((-28, -14), (14, 28), (-4, 4)))
_OPEN_LEG, _SHUT_LEG = ((0, 4), (18, 28), (-12, 0), (6, 14)), ((0, 6), (0, 4), (-12, 0), (8, 18))
_DOWN, _UP = (((0, 12), outward, (-20, 10), (5, 20)) for outward in ((6, 14), (140, 165)))
_CLAP, _PART = (((24, 36), (2, 5), inward, (70, 84)) for inward in ((25, 30), (-22, -4)))
_LOOSE, _AHEAD, _BEHIND = ((forward, (18, 35), (0, 30), (10, 40)) for forward in ((-4, 4), (20, 36), (-36, -20)))
_READY, _DRAWN = ((-2, 4), (2, 8), (-8, 4), (8, 16)), ((-22, -12), (2, 8), (-8, 4), (45, 65))
_KICK, _LOWERED = ((60, 85), (0, 8), (-8, 4), (8, 20)), ((18, 30), (2, 8), (-8, 4), (26, 42))
_SEATED, _HALFWAY = ((80, 92), (3, 12), (-8, 4), (82, 96)), ((42, 54), (3, 12), (-8, 4), (54, 68))
_LAP, _REACH = ((18, 32), (4, 12), (15, 35), (40, 60)), ((25, 45), (4, 12), (5, 25), (15, 35))
_CROUCH, _HELD = ((68, 84), (4, 14), (-10, 2), (92, 108)), ((15, 30), (4, 12), (10, 30), (80, 100))
_SIT = (_key(0), _key(0.45, lean(28, 42), _REACH, _REACH, _HALFWAY, _HALFWAY),
        _key(1, lean(-2, 10), _LAP, _LAP, _SEATED, _SEATED))  # fmt: skip

ACTIONS = {
    "walking": Action(tuple(_key(at, lean(1, 8), *limbs) for at, *limbs in (
        (0, _BACK, _FORE, _STEP, _PUSH), (0.25, _HANG, _HANG, _STAND, _SWING), (0.5, _FORE, _BACK, _PUSH, _STEP),
        (0.75, _HANG, _HANG, _SWING, _STAND), (1, _BACK, _FORE, _STEP, _PUSH))), (0.95, 1.3)),
    "waving": Action((_key(0, left_arm=(*_WAVE, (30, 50))), _key(0.5, left_arm=(*_WAVE, (90, 115))),
                      _key(1, left_arm=(*_WAVE, (30, 50)))), (0.6, 1.1)),
    "sitting down": Action(_SIT, (1.2, 1.8), once=True, seat=True),
    "standing up": Action(_SIT, (1.2, 1.8), once=True, seat=True, backward=True),
    "picking up": Action((_key(0), _key(0.5, lean(50, 68), ((20, 40), (5, 15), (0, 20), (20, 50)),
                                        ((52, 70), (2, 8), (0, 20), (14, 24)), _CROUCH, _CROUCH),
                          _key(1, right_arm=_HELD)), (1.5, 2.2), once=True),
    "jumping jacks": Action(tuple(_key(at, TRUNK, arm, arm, leg, leg) for at, arm, leg in (
        (0, _DOWN, _SHUT_LEG), (0.5, _UP, _OPEN_LEG), (1, _DOWN, _SHUT_LEG))), (0.9, 1.3), hop=(0.03, 0.06)),
    "kicking": Action(tuple(_key(at, trunk, *arms, leg) for at, trunk, arms, leg in (
        (0, lean(0, 6), (_LOOSE, _LOOSE), _READY), (0.28, lean(2, 10), (_AHEAD, _BEHIND), _DRAWN),
        (0.52, lean(-14, -4), (_BEHIND, _AHEAD), _KICK), (0.78, lean(-4, 4), (_LOOSE, _LOOSE), _LOWERED),
        (1, lean(0, 6), (_LOOSE, _LOOSE), _READY))), (1.3, 1.9), stands=(0, 1)),
    "clapping": Action((_key(0, left_arm=_CLAP, right_arm=_CLAP), _key(0.5, left_arm=_PART, right_arm=_PART),
                        _key(1, left_arm=_CLAP, right_arm=_CLAP)), (0.4, 0.8)),
}  # fmt: skip
