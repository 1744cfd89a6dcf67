"""Decoders and fusion under torch's transforms, where Python may not look at the values: they stay within torch."""

from functools import partial

import pytest
import torch
from samples import anywhere
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from posebook import decode, expectation, fusion, metrics

MAPS, OTHERS = anywhere(5).float(), anywhere(5, seed=8).float()  # different peaks
FUNCTIONS = {
    "argmax": decode.argmax, "refine_quarter": decode.refine_quarter,
    "refine_dark": partial(decode.refine_dark, blur=1.0), "refine_udp": partial(decode.refine_udp, blur=1.0),
    "soft_argmax_window": partial(decode.soft_argmax_window, radius=2), "soft_argmax": expectation.soft_argmax,
    "soft_argmax_compensated": partial(expectation.soft_argmax_compensated, beta=3.0),
    "spread": lambda maps: expectation.spread(maps)[1],
}  # fmt: skip


class Module(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, maps: Tensor) -> Tensor:
        return self.function(maps)


def forward_mode(function, maps: Tensor) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(maps, torch.ones_like(maps))
        return torch.autograd.forward_ad.unpack_dual(function(dual)).primal


def fake(function, maps: Tensor) -> Tensor:
    with FakeTensorMode() as mode:
        out = function(mode.from_tensor(maps))
    assert out.shape[0] == len(maps)
    return function(maps)


TRANSFORMS = {  # function and maps to what the function returns
    "vmap": lambda function, maps: torch.vmap(function)(maps),
    "jvp": lambda function, maps: torch.func.jvp(function, (maps,), (torch.ones_like(maps),))[0],
    "forward mode": forward_mode,
    "trace": lambda function, maps: torch.jit.trace(lambda z: function(z), (OTHERS,), check_trace=False)(maps),
    "make_fx": lambda function, maps: make_fx(lambda z: function(z))(OTHERS)(maps),
    "export": lambda function, maps: torch.export.export(Module(function), (OTHERS,)).module()(maps),
    "fake tensors": fake,
    "negative bit": lambda function, maps: function(torch.complex(torch.zeros_like(maps), -maps).conj().imag),
    "parameter": lambda function, maps: function(nn.Parameter(maps)).detach(),
}


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_decoders_under_transforms(name, transform):
    found = TRANSFORMS[transform](FUNCTIONS[name], MAPS)
    torch.testing.assert_close(found, FUNCTIONS[name](MAPS), rtol=0, atol=1e-5)


def test_a_compiled_soft_argmax_takes_a_new_temperature():
    """From the second on it is no constant of the graph any more."""
    torch._dynamo.reset()
    compiled = torch.compile(expectation.soft_argmax, backend="eager", fullgraph=True)
    for tau in (1.0, 0.5, 0.7, 2.0):
        torch.testing.assert_close(compiled(MAPS, tau), expectation.soft_argmax(MAPS, tau), rtol=0, atol=1e-5)


FUSED = torch.tensor([[[1.0, 2.0], [3.0, 5.0]], [[0.0, 4.0], [2.0, 2.0]], [[0.5, 1.0], [1.0, 7.0]]])  # (B, M, D)
SPD = torch.eye(2) + 0.3 * torch.ones(3, 2, 2, 2)
FUSIONS = {
    "inverse variance": (fusion.fuse_inverse_variance, torch.tensor([[1.0, 4.0], [2.0, 2.0], [5.0, 1.0]])),
    "inverse covariance": (fusion.fuse_inverse_covariance, SPD), "correlated": (fusion.fuse_correlated, SPD[:, 0]),
    "intersection": (fusion.fuse_covariance_intersection, SPD),
}  # fmt: skip


@pytest.mark.parametrize("name", FUSIONS)
def test_fusion_under_vmap(name):
    function, spreads = FUSIONS[name]
    rows = [function(one, spread) for one, spread in zip(FUSED, spreads, strict=True)]
    for found, expected in zip(torch.vmap(function)(FUSED, spreads), zip(*rows, strict=True), strict=True):
        torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=1e-5)


def test_pck_under_vmap():
    mask, threshold = torch.ones(3, 2, dtype=torch.bool), torch.tensor([[1.0], [2.0], [9.0]])
    rates = torch.vmap(lambda found, xy, mask, near: metrics.pck(found, xy, mask, threshold=near))(
        FUSED, FUSED + 1, mask, threshold)
    assert rates.tolist() == [0.0, 1.0, 1.0]
