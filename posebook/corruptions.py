"""Pictures made worse, each in five strengths: what a detector that was trained on clean pictures may meet.

:func:`corrupt` is the entry; :data:`AMOUNTS` says what the strengths mean. They are made for people who fill a picture
of 64 x 64 px.
"""

import io
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from posebook import _args
from posebook.warp import Affine, warp_image, warp_points

AMOUNTS = {
    "noise": (0.05, 0.1, 0.15, 0.2, 0.3),  # standard deviation; black is 0 and white 1
    "blur": (0.5, 1.0, 1.5, 2.0, 3.0),  # standard deviation of a Gaussian, px
    "contrast": (0.7, 0.5, 0.35, 0.2, 0.1),  # what is left of the differences to the picture's mean
    "darkness": (0.7, 0.5, 0.35, 0.2, 0.1),  # what is left of the light
    "jpeg": (50, 25, 12, 6, 2),  # quality, of 100
    "covering": (0.05, 0.1, 0.2, 0.3, 0.4),  # share of the picture that a rectangle of one color hides
    "scale": (0.9, 0.8, 0.7, 0.6, 0.5),  # size about the center; beyond the picture its edge is repeated
    "rotation": (10, 20, 30, 45, 60),  # degrees about the center, to one side or the other; the edge is repeated
}
Draw = Callable[..., Tensor]


class Corrupted(NamedTuple):
    """What :func:`corrupt` makes."""

    image: Tensor
    """``(..., C, H, W)``."""
    xy: Tensor | None
    """``(..., K, 2)`` px, where the keypoints are now, perhaps outside the picture; None if none were given."""


def corrupt(image: Tensor, kind: str, strength: int, *, xy: Tensor | None = None, seed: int = 0) -> Corrupted:
    """Pictures with one corruption, and their keypoints.

    Chance is the same at every strength of a seed: the same noise, larger; the same turn to the left, further. Only
    ``"scale"`` and ``"rotation"`` move keypoints. ``"covering"`` may hide some, which are then no longer visible.

    Args:
        image: ``(..., C, H, W)``, 0 to 1; for ``"jpeg"`` of one or three channels.
        kind: a key of :data:`AMOUNTS`.
        strength: 1 to 5, or 0, which changes nothing.
        xy: keypoints ``(..., K, 2)`` px of each picture.
        seed: whole number; picture i of a batch does not depend on how many there are.

    Returns:
        :class:`Corrupted`, the pictures in their dtype and on their device.

    Raises:
        ValueError: no picture, an integer dtype, an unknown kind or strength, keypoints with other leading axes.

    See chapter 4, section 4.15.

    Source: kinds and five strengths as of Hendrycks and Dietterich 2019, arXiv:1903.12261, with amounts of our own.

    >>> corrupt(torch.ones(3, 2, 2), "darkness", 2).image[0]
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    >>> corrupt(torch.ones(3, 9, 9), "scale", 5, xy=torch.tensor([[0., 4.]])).xy    # half as large about (4, 4)
    tensor([[2., 4.]])
    """
    _check(image, kind, strength, xy, seed)
    if strength == 0:
        return Corrupted(image.clone(), xy)
    amount, flat = AMOUNTS[kind][strength - 1], _args.widen(image).reshape(-1, *image.shape[-3:])  # (B, C, H, W)
    source = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        """Uniform from 0 to 1, ``(B, *shape)``; drawn once, so that a picture does not know how many there are."""
        uniform = torch.rand(len(flat), *shape, generator=source, dtype=torch.float32, device="cpu")
        return _args.sent(uniform, flat.device).to(flat.dtype)

    if kind in ("scale", "rotation"):
        points = None if xy is None else xy.reshape(-1, *xy.shape[-2:])
        flat, points = _moved(flat, points, kind, amount, draw)
        xy = None if xy is None else points.reshape(xy.shape)
    else:
        with _args.exact(flat.device):
            flat = _CHANGES[kind](flat, amount, draw)
    return Corrupted(flat.reshape(image.shape).to(image.dtype), xy)


def _check(image: Tensor, kind: str, strength: int, xy: Tensor | None, seed: int) -> None:
    _args.maps("image", image)
    if image.ndim < 3:
        _args.fail("image", "shape (..., C, H, W)", tuple(image.shape))
    _args.one_of("kind", kind, tuple(AMOUNTS))
    if not _args.is_whole(strength) or not 0 <= strength <= 5:
        _args.fail("strength", "a whole number from 0 to 5", _args.shown(strength))
    _args.whole("seed", seed)
    if kind == "jpeg" and image.shape[-3] not in (1, 3):
        _args.fail("image", "one or three channels", image.shape[-3])
    if xy is not None:
        _args.points("xy", xy)
        if xy.ndim < 2 or xy.shape[:-2] != image.shape[:-3]:
            _args.fail("xy", f"shape {(*image.shape[:-3], 'K', 2)}", tuple(xy.shape))


def _moved(image: Tensor, xy: Tensor | None, kind: str, amount: float, draw: Draw) -> tuple[Tensor, Tensor | None]:
    """Pictures and keypoints ``(B, K, 2)``, each under one of two maps."""
    hw = tuple(image.shape[-2:])
    if kind == "scale":
        maps = [Affine.rotation(0, hw, zoom=amount)] * 2
    else:
        maps = [Affine.rotation(sign * amount, hw) for sign in (1, -1)]
    first = draw() < 0.5  # (B,)
    here, there = (warp_image(image, affine, hw, beyond="edge") for affine in maps)
    moved = torch.where(first[:, None, None, None], here, there)
    if xy is None:
        return moved, None
    return moved, torch.where(first[:, None, None], *(warp_points(xy, affine) for affine in maps))


# ---------------------------------------------------------------------------------------------------------------------
# Those that move nothing: of pictures (B, C, H, W)


def _noise(image: Tensor, amount: float, draw: Draw) -> Tensor:
    uniform = draw(*image.shape[1:])
    return (image + amount * torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))).clamp(0, 1)


def _blur(image: Tensor, amount: float, draw: Draw) -> Tensor:
    """A Gaussian that reaches three standard deviations; the picture's edge is repeated."""
    reach = math.ceil(3 * amount)
    x = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    kernel = torch.softmax(-x.square() / (2 * amount**2), 0)
    flat = F.pad(image, (reach,) * 4, mode="replicate").flatten(0, 1)[:, None]  # (B*C, 1, H + 2r, W + 2r)
    return F.conv2d(F.conv2d(flat, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1)).reshape(image.shape)


def _contrast(image: Tensor, amount: float, draw: Draw) -> Tensor:
    mean = image.mean((1, 2, 3), keepdim=True)
    return mean + amount * (image - mean)


def _jpeg(image: Tensor, amount: float, draw: Draw) -> Tensor:
    """Written as JPEG and read again, in bytes."""
    found = []
    for one in (255 * image.detach().clamp(0, 1)).round().byte().cpu().permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(one.squeeze(-1) if one.shape[-1] == 1 else one).save(file, "JPEG", quality=amount)
        found.append(torch.from_numpy(np.array(Image.open(file))).view(one.shape).permute(2, 0, 1))
    return torch.stack(found).to(image) / 255 if found else image


def _covering(image: Tensor, amount: float, draw: Draw) -> Tensor:
    """A rectangle anywhere within the picture, from twice as wide as high to twice as high as wide."""
    h, w = image.shape[-2:]
    uniform = draw(3 + image.shape[1])
    aspect, left, top = (2 * uniform[:, :3] - 1).unbind(1)  # (B,), -1 to 1
    inside = []
    for n, share, place in ((h, -0.5 * aspect, top), (w, 0.5 * aspect, left)):
        side = (n * amount**0.5 * 2.0**share).clamp(max=n)  # (B,) px
        start = (n - side) * (place + 1) / 2 - 0.5
        at = torch.arange(n, dtype=image.dtype, device=image.device)
        inside.append((at >= start[:, None]) & (at < (start + side)[:, None]))  # (B, n)
    hidden = inside[0][:, None, :, None] & inside[1][:, None, None]  # (B, 1, H, W)
    return torch.where(hidden, uniform[:, 3:, None, None], image)


_CHANGES = {"noise": _noise, "blur": _blur, "contrast": _contrast, "jpeg": _jpeg, "covering": _covering,
            "darkness": lambda image, amount, draw: amount * image}  # fmt: skip
