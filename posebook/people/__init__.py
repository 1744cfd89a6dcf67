"""Drawn people with COCO's 17 keypoints, exact: what is painted lies within 0.03 px. :func:`draw_people` is the entry.

A person is a 3-D skeleton with human proportions, posed by joint angles, seen from any side in parallel projection.
Every visible thing (limb, trunk, eye, bench, occluder) is one *slab*: a rod with two radii, swept sideways. Slabs are
painted from back to front, so that depth, self-occlusion and left and right mean what they do in a photograph. Lengths
of a body are in units of its height, until :func:`sample_scene` turns them into pixels.

:mod:`~posebook.people.poses` bends the joints, :mod:`~posebook.people.body` builds what stands between them,
:mod:`~posebook.people.scene` puts people and things into an image, :mod:`~posebook.people.paint` paints it.
:mod:`~posebook.people.motion` lets them do what :mod:`~posebook.people.actions` lists, in meters, before any cameras.
"""

from posebook.people.actions import ACTIONS
from posebook.people.motion import Motion, sample_motion, seen_by
from posebook.people.paint import People, render
from posebook.people.poses import POSES
from posebook.people.scene import BACKGROUNDS, Scene, sample_scene

__all__ = ["ACTIONS", "BACKGROUNDS", "POSES", "Motion", "People", "Scene", "draw_people", "render", "sample_motion",
           "sample_scene", "seen_by"]  # fmt: skip


def draw_people(count: int, hw: tuple[int, int] = (64, 64), **options) -> People:
    """Images of people in everyday poses with their keypoints, visibility, silhouettes and areas.

    Args:
        count: number of images B.
        hw: (height, width) of each in pixels.
        options: those of :func:`sample_scene`: ``persons``, ``seed``, ``device``, ``size``, ``yaw`` ...

    Returns:
        :class:`People`. The same seed gives the same images on one device; image i does not depend on ``count``.

    Raises:
        ValueError: as :func:`sample_scene`.

    See chapter 1, section 1.10.

    >>> people = draw_people(4, (64, 48), persons=2, seed=1)
    >>> people.image.shape, people.xy.shape, people.area.shape
    (torch.Size([4, 3, 64, 48]), torch.Size([4, 2, 17, 2]), torch.Size([4, 2]))
    """
    return render(sample_scene(count, hw, **options), hw)
