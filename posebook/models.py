"""Small networks: one trunk, and a head for each way of saying where a keypoint is.

All take images (B, 3, H, W) in [0, 1] whose sides are multiples of 16 and the same as in training where the head is
dense, and hold some 0.2 million parameters. Cells follow :meth:`posebook.grid.Grid.center`: a cell lies at the center
of the ``stride x stride`` pixels that it covers, so that the map covers the image and a flip of the image is a flip of
the map; the trunk's kernels are centered there too. ``net.grid`` is that grid.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posebook import _args
from posebook.grid import Grid
from posebook.skeleton import COCO_17

WIDTHS = {2: 16, 4: 32, 8: 48, 16: 48}  # channels at each stride
K = 17


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalization over 16 channels of one image: unlike a batch's, it is the same in whichever company.

    Source: Wu and He 2018, arXiv:1803.08494.
    """
    return nn.GroupNorm(channels // 16, channels)


class Trunk(nn.Module):
    """Encoder to stride 16 and decoder back to ``stride``, with a skip connection at every stride between.

    Args:
        stride: image pixels per cell of the output: 2, 4 or 8.
        depth: residual blocks at each stride on the way down, 1 or more.
        width: channels at stride 2, a multiple of 16; at stride 4 twice as many, at 8 and 16 three times.
        norm: a number of channels to a layer that normalizes them.
        bf16: layers compute in bfloat16, by torch.autocast; what comes out is float32 again.

    Raises:
        ValueError: another stride, depth or width; in ``forward`` an image that is not (B, 3, H, W) with sides that 16
            divides.
    """

    def __init__(self, stride: int = 4, *, depth: int = 1, width: int = 16,
                 norm: Callable[[int], nn.Module] = nn.BatchNorm2d, bf16: bool = False):  # fmt: skip
        super().__init__()
        if stride not in (2, 4, 8):
            _args.fail("stride", "2, 4 or 8", stride)
        _args.whole("depth", depth, 1)
        _args.whole("width", width, 16)
        if width % 16:
            _args.fail("width", "a multiple of 16", width)
        c = {s: n * width // 16 for s, n in WIDTHS.items()}
        self.bf16, self.stem = bf16, conv(3, c[2], 4, stride=2, norm=norm)
        self.down = nn.ModuleList(
            nn.Sequential(conv(c[s // 2], c[s], 2, stride=2, norm=norm), *(Residual(c[s], norm) for _ in range(depth)))
            for s in (4, 8, 16)
        )
        self.skip = nn.ModuleList(nn.Conv2d(c[s], c[s], 1) for s in (8, 4, 2) if s >= stride)
        self.up = nn.ModuleList(nn.Conv2d(c[2 * s], c[s], 1) for s in (8, 4, 2) if s >= stride)
        self.mix = nn.ModuleList(Residual(c[s], norm) for s in (8, 4, 2) if s >= stride)
        self.channels = c[stride]

    def forward(self, image: Tensor) -> Tensor:
        _args.floating("image", image, "(B, 3, H, W)")
        if image.ndim != 4 or image.shape[1] != 3 or any(n % 16 for n in image.shape[2:]):
            _args.fail("image", "shape (B, 3, H, W), H and W multiples of 16", tuple(image.shape))
        if not self.bf16:
            return self._features(image)
        with torch.autocast(image.device.type, torch.bfloat16):
            return self._features(image).float()

    def _features(self, image: Tensor) -> Tensor:
        x = self.stem((image - 0.5).contiguous(memory_format=torch.channels_last))  # (B, 16, H/2, W/2)
        finer = [x]
        for down in self.down:
            finer.append(down(finer[-1]))
        x = finer.pop()  # (B, 64, H/16, W/16)
        for skip, up, mix in zip(self.skip, self.up, self.mix, strict=True):
            x = mix(F.interpolate(up(x), scale_factor=2) + skip(finer.pop()))
        return x  # (B, channels, H/stride, W/stride)


class Residual(nn.Module):
    """Two 3 x 3 convolutions around which the input is added."""

    def __init__(self, channels: int, norm: Callable[[int], nn.Module] = nn.BatchNorm2d):
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, norm=norm), nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        )
        self.norm = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.body(x)))


def conv(inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1,
         norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Sequential:  # fmt: skip
    """Convolution, normalization, ReLU. An even kernel at stride 2 lies centered on the pixels it merges."""
    padding = (kernel - 1) // 2
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False), norm(outputs), nn.ReLU())


class HeatmapNet(nn.Module):
    """One map per keypoint: ``net(image)`` are scores ``(B, K, H / stride, W / stride)``.

    What they mean is the loss's matter: a heatmap of peak 1 under :func:`posebook.losses.heatmap_loss`, logits under
    cross-entropy and the integral loss. The image may have another size than in training.

    Args:
        stride: image pixels per cell.
        keypoints: how many, K.
        trunk: a stride to the layers before the head, as a partial of :class:`Trunk`; in other nets likewise.
    """

    def __init__(self, *, stride: int = 4, keypoints: int = K, trunk: Callable[[int], nn.Module] = Trunk):
        super().__init__()
        self.grid = Grid.center(stride)
        self.trunk = trunk(stride)
        self.head = nn.Conv2d(self.trunk.channels, keypoints, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.trunk(image))


class DropoutNet(HeatmapNet):
    """A HeatmapNet that drops whole channels while it trains, and under :func:`posebook.uncertainty.mc_dropout`.

    It has the weights of a HeatmapNet and takes those of one.

    Args:
        where: "middle", what comes out of stride 16, or "head", the features that the last layer sees; there the
            scores are a sum over channels, whose moments :func:`posebook.theory.dropout_moments` knows.
        p: probability of a channel to be dropped, from 0 to below 1.

    Raises:
        ValueError: another place, or a probability outside.
    """

    def __init__(self, *, where: str = "middle", p: float = 0.3, stride: int = 4, keypoints: int = K):
        super().__init__(stride=stride, keypoints=keypoints)
        _args.one_of("where", where, ("middle", "head"))
        if not _args.is_number(p) or not 0 <= p < 1:
            _args.fail("p", "a probability from 0 to below 1", _args.shown(p))
        self.drop = nn.Identity()
        if where == "head":
            self.drop = nn.Dropout2d(p)
        else:
            self.trunk.down[-1].append(nn.Dropout2d(p))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.drop(self.trunk(image)))


class VisibilityNet(nn.Module):
    """A map and a score for each keypoint: ``net(image)`` is (scores as of HeatmapNet, logits ``(B, K)``).

    A logit says whether the keypoint is to be seen at all, which no softmax over a map can: that has to put its 1
    somewhere. The image may have another size than in training.
    """

    def __init__(self, *, stride: int = 4, keypoints: int = K):
        super().__init__()
        self.grid = Grid.center(stride)
        self.trunk = Trunk(stride)
        self.head = nn.Conv2d(self.trunk.channels, keypoints, 1)
        self.neck = conv(self.trunk.channels, 48, 4, stride=2)
        self.seen = nn.Linear(48, keypoints)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(image)
        return self.head(features), self.seen(self.neck(features).mean((-2, -1)))


class RegressionNet(nn.Module):
    """Coordinates directly: ``net(image)`` are ``(B, K, 2)`` px, from the trunk's features by two dense layers.

    Source: Toshev and Szegedy 2014, arXiv:1312.4659.
    """

    def __init__(self, *, stride: int = 4, keypoints: int = K, hw: tuple[int, int] = (64, 64),
                 trunk: Callable[[int], nn.Module] = Trunk):  # fmt: skip
        super().__init__()
        self.trunk = trunk(stride)
        self.head = CoordinateHead(self.trunk.channels, keypoints, hw)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.trunk(image))


class HybridNet(nn.Module):
    """Both heads on one trunk: ``net(image)`` is (scores as of HeatmapNet, coordinates as of RegressionNet)."""

    def __init__(self, *, stride: int = 4, keypoints: int = K, hw: tuple[int, int] = (64, 64),
                 trunk: Callable[[int], nn.Module] = Trunk):  # fmt: skip
        super().__init__()
        self.grid = Grid.center(stride)
        self.trunk = trunk(stride)
        self.maps = nn.Conv2d(self.trunk.channels, keypoints, 1)
        self.coordinates = CoordinateHead(self.trunk.channels, keypoints, hw)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.trunk(image)
        return self.maps(features), self.coordinates(features)


class SimCCNet(nn.Module):
    """Two classifications per keypoint: ``net(image)`` is (scores (B, K, W ratio) for x, scores (B, K, H ratio) for y).

    One map per keypoint, flattened, then one dense layer per axis, shared by all keypoints. Source: Li et al. 2022,
    arXiv:2107.03332.
    """

    def __init__(self, *, stride: int = 4, keypoints: int = K, hw: tuple[int, int] = (64, 64), ratio: float = 2.0,
                 trunk: Callable[[int], nn.Module] = Trunk):  # fmt: skip
        super().__init__()
        self.hw, self.ratio = hw, ratio
        self.trunk = trunk(stride)
        self.maps = nn.Conv2d(self.trunk.channels, keypoints, 1)
        cells = (hw[0] // stride) * (hw[1] // stride)
        self.x, self.y = (nn.Linear(cells, round(n * ratio)) for n in (hw[1], hw[0]))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        flat = self.maps(self.trunk(image)).flatten(2)  # (B, K, cells)
        return self.x(flat), self.y(flat)


class BottomUpNet(nn.Module):
    """Everybody in one pass: ``net(image)`` is (scores, tags, fields); :mod:`posebook.grouping` makes people of them.

    Scores ``(B, K, H / stride, W / stride)`` are logits of a keypoint being in a cell, so their sigmoid is a heatmap of
    several people; tags ``(B, K, 1, ...)`` one number for each keypoint and cell; fields ``(B, E, 2, ...)`` part
    affinity fields of E limbs. The image may have another size than in training.

    Source: tags, Newell et al. 2017, arXiv:1611.05424; fields, Cao et al. 2017, arXiv:1611.08050.
    """

    def __init__(self, *, stride: int = 4, keypoints: int = K, limbs: int = len(COCO_17.limbs)):
        super().__init__()
        self.grid = Grid.center(stride)
        self.trunk = Trunk(stride)
        self.neck = conv(self.trunk.channels, 48)
        self.scores, self.tags, self.fields = (nn.Conv2d(48, n, 1) for n in (keypoints, keypoints, 2 * limbs))
        nn.init.constant_(self.scores.bias, -4.0)  # nearly all cells hold nothing

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.neck(self.trunk(image))
        return self.scores(features), self.tags(features)[:, :, None], self.fields(features).unflatten(1, (-1, 2))


class CoordinateHead(nn.Module):
    """Features averaged to 4 x 4 places, flattened, two dense layers; 0 is the image's center and 1 half its side."""

    def __init__(self, channels: int, keypoints: int, hw: tuple[int, int]):
        super().__init__()
        self.dense = nn.Sequential(nn.Linear(16 * channels, 128), nn.ReLU(), nn.Linear(128, 2 * keypoints))
        self.register_buffer("scale", torch.tensor([hw[1] / 2, hw[0] / 2]), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        places = F.adaptive_avg_pool2d(features, 4).flatten(1)  # (B, channels * 16)
        return self.scale - 0.5 + self.scale * self.dense(places).unflatten(-1, (-1, 2))  # (B, K, 2)
