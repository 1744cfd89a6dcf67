"""The representations: for each a network, a loss and the decoders of its output, on one trunk.

A loss takes (net, image, xy (B, K, 2) px) and returns one value per keypoint; a decoder takes (net, output) and returns
(B, K, 2) px. Cells are those of ``net.grid``, in the targets as in the decoders.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import torch
from torch import Tensor, nn

from posebook import _args, decode, encode, expectation
from posebook.grid import Grid
from posebook.losses import (
    agreement_loss,
    coordinate_loss,
    cross_entropy_loss,
    heatmap_loss,
    integral_loss,
    simcc_loss,
)
from posebook.models import HeatmapNet, HybridNet, RegressionNet, SimCCNet
from posebook.training.files import load_weights
from posebook.training.loop import evaluating

SIGMA = {"heatmap": 2.0, "cross-entropy": 0.5}  # cells: of the targets; from short trials, nothing else was tuned
SIMCC_SIGMA = 4.0  # bins: 2 px at two bins per pixel


@dataclass(frozen=True)
class Method:
    net: Callable[..., nn.Module]
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor]
    decoders: dict[str, Callable[[nn.Module, Tensor], Tensor]]  # the first is the method's own


def regression(net: RegressionNet, image: Tensor, xy: Tensor) -> Tensor:
    return coordinate_loss(net(image), xy)


def heatmap(net: HeatmapNet, image: Tensor, xy: Tensor, *, sigma: float = SIGMA["heatmap"]) -> Tensor:
    """Mean squared error against Gaussians of peak 1."""
    maps = net(image)
    return heatmap_loss(maps, encode.gaussian_heatmap(net.grid.to_cells(xy), maps.shape[-2:], sigma=sigma))


def cross_entropy(
    net: HeatmapNet, image: Tensor, xy: Tensor, *, sigma: float = SIGMA["cross-entropy"]
) -> Tensor:  # fmt: skip
    """Cross-entropy against Gaussians of sum 1."""
    return map_cross_entropy(net.grid, net(image), xy, sigma=sigma)


def map_cross_entropy(grid: Grid, logits: Tensor, xy: Tensor, *, sigma: float = SIGMA["cross-entropy"]) -> Tensor:
    """The same of maps ``(B, K, h, w)`` that the net has already drawn."""
    target = encode.gaussian_heatmap(grid.to_cells(xy), logits.shape[-2:], sigma=sigma)
    return cross_entropy_loss(logits, target / target.sum((-2, -1), keepdim=True))


def integral(net: HeatmapNet, image: Tensor, xy: Tensor) -> Tensor:
    return integral_loss(net(image), xy, grid=net.grid)


def simcc(net: SimCCNet, image: Tensor, xy: Tensor) -> Tensor:
    return simcc_loss(net(image), encode.simcc_targets(xy, net.hw, ratio=net.ratio, sigma=SIMCC_SIGMA))


def hybrid(net: HybridNet, image: Tensor, xy: Tensor, *, weight: float = 1.0) -> Tensor:
    """Both heads against the truth, and ``weight`` times their disagreement."""
    logits, found = net(image)
    soft = _soft(net.grid, logits)
    return coordinate_loss(found, xy) + coordinate_loss(soft, xy) + weight * agreement_loss(found, soft)


def _soft(grid: Grid, logits: Tensor) -> Tensor:
    return grid.to_image(expectation.soft_argmax(logits))


DECODERS = {"soft-argmax": expectation.soft_argmax, "argmax": decode.argmax,
            "DARK": lambda logits: decode.refine_dark(expectation.spatial_softmax(logits))}  # of logits, in cells


_ARGMAX = {"argmax": lambda net, maps: net.grid.to_image(decode.argmax(maps))}
_SOFT = {"soft-argmax": lambda net, logits: _soft(net.grid, logits)}
METHODS = {
    "regression": Method(RegressionNet, regression, {"coordinates": lambda net, found: found}),
    "heatmap": Method(HeatmapNet, heatmap, _ARGMAX | {
        "quarter": lambda net, maps: net.grid.to_image(decode.refine_quarter(maps)),
        "DARK": lambda net, maps: net.grid.to_image(decode.refine_dark(maps, blur=1.0)),
        **_SOFT,  # of a map that is no logits: chapter 2 shows why that fails
    }),
    "cross-entropy": Method(HeatmapNet, cross_entropy, _SOFT | _ARGMAX | {
        "DARK": lambda net, logits: net.grid.to_image(DECODERS["DARK"](logits))}),
    "integral": Method(HeatmapNet, integral, _SOFT | _ARGMAX),
    "SimCC": Method(SimCCNet, simcc, {
        "best bin": lambda net, bins: decode.decode_simcc(*bins, ratio=net.ratio),
        "mean bin": lambda net, bins: decode.decode_simcc(*bins, ratio=net.ratio, mode="soft"),
    }),
    "hybrid": Method(HybridNet, hybrid, {
        "coordinates": lambda net, heads: heads[1],
        "soft-argmax": lambda net, heads: _soft(net.grid, heads[0]),
        "mean of both": lambda net, heads: (heads[1] + _soft(net.grid, heads[0])) / 2,
    }),
}  # fmt: skip
STORED = ("regression", "cross-entropy", "SimCC", "hybrid")  # whose trained weights are in posebook/data


def make_net(method: str, *, seed: int = 0, **options) -> nn.Module:
    """An untrained net of the method, float32 on the CPU; the same for the same seed, whatever was drawn before.

    Args:
        method: a key of ``METHODS``.
        seed: of the first weights.
        options: of the network: ``stride``, ``keypoints``, and ``hw`` where its head is dense.

    >>> make_net("integral", stride=8).grid
    Grid(stride=8, offset=3.5)
    """
    _args.one_of("method", method, tuple(METHODS))
    with as_ever(seed):
        return METHODS[method].net(**options)


@contextmanager
def as_ever(seed: int) -> Iterator[None]:
    """Nets that are made here are float32 on the CPU with the first weights of this seed, whatever was set before."""
    before = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float32)  # layers take it from there, with other first weights for another
        try:
            yield
        finally:
            torch.set_default_dtype(before)


def stored(method: str) -> nn.Module:
    """The trained net of stride 4 for images of 64 x 64, in evaluation mode.

    Raises:
        ValueError: a method that has no weights in posebook/data.
    """
    _args.one_of("method", method, STORED)
    net = make_net(method)
    load_weights(net, files("posebook") / "data" / f"{method.lower()}.safetensors")
    return net.eval()


def predict(net: nn.Module, method: str, image: Tensor, *, decoder: str | None = None, batch: int = 256) -> Tensor:
    """Keypoints ``(B, K, 2)`` px of images ``(B, 3, H, W)``; ``decoder`` names another than the method's first."""
    decoders = METHODS[method].decoders
    decoder = decoder or next(iter(decoders))
    _args.one_of("decoder", decoder, tuple(decoders))
    with evaluating(net):
        return torch.cat([decoders[decoder](net, net(part)) for part in image.split(batch)])
