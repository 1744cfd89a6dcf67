"""Data by the step: the batch depends on the number of the step alone, so that a run can stop and go on."""

from collections.abc import Callable

import torch
from torch import Tensor

from posebook import _args
from posebook.people import People, draw_people

Batch = tuple[Tensor, Tensor, Tensor]  # image (B, 3, H, W), xy (B, K, 2) px, vis (B, K)
Data = Callable[[int], Batch]  # the number of a step, from 0, to its batch


def fresh(*, batch: int = 64, seed: int = 0, **options) -> Data:
    """New people at every step, never seen twice; the same for the same seed and step.

    Args:
        batch: images per step.
        seed: whole number >= 0.
        options: of :func:`posebook.people.draw_people`.
    """
    return lambda step: alone(draw_people(batch, seed=1_000_000 * (seed + 1) + step, **options))


def finite(images: Batch, *, batch: int = 64, seed: int = 0) -> Data:
    """A fixed set of N images, in a new order each time that all have been used.

    Args:
        images: image ``(N, 3, H, W)`` float or, to save memory, uint8; xy ``(N, K, 2)`` px, vis ``(N, K)``.
        batch: images per step. Where N is no multiple of it, the last batch of one order goes on with the next order.
        seed: of the orders.
    """
    n = len(images[0])

    def order(epoch: int) -> Tensor:
        return torch.randperm(n, generator=torch.Generator().manual_seed(1_000_003 * seed + epoch), device="cpu")

    def data(step: int) -> Batch:
        first, last = step * batch, (step + 1) * batch - 1  # places in the orders, one after another
        orders = torch.cat([order(epoch) for epoch in range(first // n, last // n + 1)])
        chosen = orders[first % n :][:batch]
        image, xy, vis = (part[chosen] for part in images)
        return (image / 255 if image.dtype == torch.uint8 else image), xy, vis

    return data


def alone(people: People) -> Batch:
    """Images with one person each as a batch: image, xy and vis without the axis of persons."""
    if people.xy.shape[1] != 1:
        _args.fail("people", "one person per image", people.xy.shape[1])
    return people.image, people.xy[:, 0], people.vis[:, 0]
