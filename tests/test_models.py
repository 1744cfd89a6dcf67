import pytest
import torch

from posebook import theory
from posebook.models import DropoutNet, HeatmapNet, HybridNet, RegressionNet, SimCCNet, VisibilityNet
from posebook.uncertainty import mc_dropout

NETS = [HeatmapNet, RegressionNet, HybridNet, SimCCNet, VisibilityNet]
every_net = pytest.mark.parametrize("net", NETS)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def images(n: int = 2, hw: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.rand(n, 3, *hw, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("hw", [(64, 64), (32, 48)])
def test_shapes(stride, hw, device):
    image, cells = images(2, hw).to(device), (hw[0] // stride, hw[1] // stride)
    assert HeatmapNet(stride=stride).to(device)(image).shape == (2, 17, *cells)
    assert RegressionNet(stride=stride, hw=hw).to(device)(image).shape == (2, 17, 2)
    maps, xy = HybridNet(stride=stride, hw=hw, keypoints=5).to(device)(image)
    assert (maps.shape, xy.shape) == ((2, 5, *cells), (2, 5, 2))
    x, y = SimCCNet(stride=stride, hw=hw, ratio=1.5).to(device)(image)
    assert (x.shape, y.shape) == ((2, 17, hw[1] * 3 // 2), (2, 17, hw[0] * 3 // 2))
    maps, seen = VisibilityNet(stride=stride, keypoints=5).to(device)(image)
    assert (maps.shape, seen.shape) == ((2, 5, *cells), (2, 5))
    assert DropoutNet(stride=stride, where="head").to(device)(image).shape == (2, 17, *cells)
    assert image.is_contiguous() and torch.equal(image, images(2, hw).to(device))


@every_net
def test_small(net):
    """So few parameters that four trained nets are stored in less than 2 MB at half precision."""
    assert 100_000 < sum(p.numel() for p in net().parameters()) < 270_000


@every_net
def test_every_parameter_is_reached(net):
    one = net()
    output = one(images())
    sum(part.square().sum() for part in (output if isinstance(output, tuple) else (output,))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in one.parameters())


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_cells_lie_where_the_grid_says(stride):
    """A flip of the image, with all kernels flipped, is a flip of the map: true of cell centers only (Grid.center)."""
    net = HeatmapNet(stride=stride).eval().double()
    image = images().double()
    before = net(image)
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.copy_(layer.weight.flip(-1))
    torch.testing.assert_close(net(image.flip(-1)).flip(-1), before, rtol=1e-9, atol=1e-9)
    assert net.grid.to_image(torch.tensor([0.0, 0.0])).tolist() == [(stride - 1) / 2] * 2
    last = torch.tensor([64 / stride - 1, 0.0])
    assert net.grid.to_image(last)[0] == 63 - (stride - 1) / 2


def test_a_shift_by_whole_coarsest_cells_shifts_the_map():
    """Away from the border: the heatmap net shares its weights over places, the dense heads do not."""
    net, image = HeatmapNet().eval().double(), torch.zeros(1, 3, 256, 256, dtype=torch.float64) + 0.5
    image[..., 112:128, 112:128] = images(1, (16, 16)).double()
    still, moved = net(image), net(image.roll((16, 32), (-2, -1)))
    torch.testing.assert_close(moved[..., 24:40, 28:44], still[..., 20:36, 20:36], rtol=1e-9, atol=1e-9)
    assert (still[..., 26:34, 26:34] - still[..., :1, :1]).abs().max() > 1e-3  # it sees the patch at all


def test_regression_starts_near_the_center():
    xy = RegressionNet(hw=(32, 96))(images(8, (32, 96)))
    assert (xy.mean((0, 1)) - torch.tensor([47.5, 15.5])).abs().max() < 8


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: HeatmapNet(stride=3), "stride: want 2, 4 or 8, got 3"),
        (lambda: HeatmapNet()(torch.zeros(1, 3, 60, 64)),
         "image: want shape (B, 3, H, W), H and W multiples of 16, got (1, 3, 60, 64)"),
        (lambda: HeatmapNet()(torch.zeros(3, 64, 64)),
         "image: want shape (B, 3, H, W), H and W multiples of 16, got (3, 64, 64)"),
        (lambda: HeatmapNet()(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)),
         "image: want a floating dtype, got uint8"),
    ],
)  # fmt: skip
def test_errors(call, text):
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text


@pytest.mark.parametrize("where", ["middle", "head"])
def test_a_net_with_dropout_has_the_weights_and_the_answers_of_one_without(where):
    plain, net = HeatmapNet().eval(), DropoutNet(where=where, p=0.4).eval()
    net.load_state_dict(plain.state_dict())
    assert torch.equal(net(images()), plain(images()))
    found = mc_dropout(net, images(), samples=5, seed=1)
    assert (found != plain(images())).any((-3, -2, -1)).all() and (found[0] != found[1]).any()


def test_dropout_before_the_last_layer_has_the_moments_of_its_sum():
    """2000 samples: mean and variance of the scores of all keypoints in one cell, within 5 standard errors."""
    net, samples, image = DropoutNet(where="head", p=0.4).eval(), 2000, images(1, (16, 16))
    found = mc_dropout(net, image, samples=samples, seed=2)[:, 0, :, 2, 1].double()  # (T, 17)
    with torch.no_grad():
        features = net.trunk(image)[0, :, 2, 1].double()
    mean, variance = theory.dropout_moments(net.head.weight[:, :, 0, 0].detach().double(), features, 0.4)
    off = (found.mean(0) - mean - net.head.bias.detach()) / (variance / samples).sqrt()
    assert off.abs().max() < 5
    assert (found.var(0) / variance - 1).abs().max() < 5 * (2 / samples) ** 0.5


def test_dropout_refuses():
    with pytest.raises(ValueError, match="where: want one of 'middle', 'head', got 'end'"):
        DropoutNet(where="end")
    with pytest.raises(ValueError, match="p: want a probability from 0 to below 1, got 1"):
        DropoutNet(p=1)
