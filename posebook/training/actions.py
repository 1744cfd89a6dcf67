"""Which action is it? Small nets that read skeletons over time, one that sees the order of frames and one that cannot;
and what the decoders of chapter 2 do to them.

``python -m posebook.training actions`` trains the stored ones anew and measures, in some minutes.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posebook import _args
from posebook.geometry import Camera
from posebook.people import render
from posebook.people.motion import ACTIONS, Motion, sample_motion, seen_by
from posebook.skeleton import COCO_17
from posebook.training import methods
from posebook.training.data import Batch, Data, finite
from posebook.training.files import read_tensors, write_tensors
from posebook.training.loop import train
from posebook.training.table import FOLDER, made

FRAMES, RATE = 40, 15.0  # of each sequence; Hz
HW = (256, 256)  # px: the picture in which people move
CAMERA = Camera.look_at((0.0, -1.1, -4.0), (0.0, -1.1, 0.0), focal=360.0, hw=HW)  # of training
SMALL_HW = (64, 64)  # px: pictures such as those of chapter 1
SMALL_CAMERA = Camera.look_at((0.0, -1.15, -4.0), (0.0, -1.15, 0.0), focal=104.0, hw=SMALL_HW)
INPUTS = ("pixels", "centered", "normalized")
NETS = {"temporal": (3, "normalized"), "order-free": (1, "normalized"),
        "temporal, centered": (3, "centered"), "temporal, pixels": (3, "pixels"),
        "temporal, noisy": (3, "normalized")}  # fmt: skip
SEEDS = (0, 1, 2)
ERRORS = "as found", "mean over time", "the rest", "Gaussian"  # the last independent, with as large an RMS as found
MEASURED, MEASURED_SEED = 160, 500  # sequences in pictures
DECODERS = {name: methods.DECODERS[name] for name in ("argmax", "DARK", "soft-argmax")}
COUNT, STEPS, BATCH = 2400, 400, 64
FILE = FOLDER / "actions.safetensors"
COMMAND = "python -m posebook.training actions"
SHOULDERS, HIPS = ([COCO_17.names.index(f"{side}_{part}") for side in ("left", "right")]
                   for part in ("shoulder", "hip"))  # fmt: skip


def sequences(count: int, *, seed: int = 0, camera: Camera = CAMERA, **options) -> tuple[Tensor, Tensor]:
    """People in motion as a camera sees them.

    Args:
        count: how many sequences B.
        seed: whole number >= 0; those of training have 1000 and more.
        camera: by default that of training.
        options: ``actions`` and ``yaw`` of :func:`posebook.people.motion.sample_motion`.

    Returns:
        xy ``(B, T, 17, 2)`` px, T = FRAMES, and the number in ACTIONS of what they do ``(B,)``.
    """
    motion = sample_motion(count, FRAMES, rate=RATE, seed=seed, **options)
    number = torch.tensor([list(ACTIONS).index(name) for name in motion.actions])
    return camera.project(motion.joints), number[motion.action]


def normalized(xy: Tensor, *, scale: bool = True) -> Tensor:
    """Each frame with the middle of the hips at 0, and all frames divided by one number: the mean over frames of the
    torso's length, from the middle of the hips to that of the shoulders.

    Args:
        xy: ``(..., T, 17, 2)`` px.
        scale: False leaves out the division.

    Returns:
        The shape of ``xy``: in torso lengths, or in px.

    See chapter 5, section 5.6.
    """
    _args.floating("xy", xy, "(..., T, 17, 2)")
    if xy.ndim < 3 or xy.shape[-2:] != (17, 2):
        _args.fail("xy", "shape (..., T, 17, 2)", tuple(xy.shape))
    hips = xy[..., HIPS, :].mean(-2, keepdim=True)
    return (xy - hips) / (torso(xy)[..., None, None, None] if scale else 1)


def torso(xy: Tensor) -> Tensor:
    """Mean over frames of the torso's length ``(...)`` px, of ``(..., T, 17, 2)``."""
    hips, shoulders = (xy[..., rows, :].mean(-2) for rows in (HIPS, SHOULDERS))
    return (shoulders - hips).norm(dim=-1).mean(-1)


class ActionNet(nn.Module):
    """Skeletons ``(B, T, 17, 2)`` to logits ``(B, T, C)``: in row t those of the first t + 1 frames.

    A feature of each frame by convolutions over time that look back 1, 2, 4 and 8 frames; the mean of the features so
    far; one layer. With ``kernel=1`` the convolutions see a frame alone: then the last row is that of a bag of poses,
    and the frames' order cannot matter.

    Args:
        kernel: frames that a convolution sees, 1 or more; 3 sees 31 frames in all.
        reads: what becomes of the pixels first, one of INPUTS.
        channels: how many features.

    Source: Bai, Kolter and Koltun 2018, arXiv:1803.01271: causal, dilated convolutions with residual connections (here
    one convolution to a block, no weight normalization, no dropout).
    """

    def __init__(self, kernel: int = 3, *, reads: str = "normalized", channels: int = 12):
        super().__init__()
        _args.whole("kernel", kernel, 1)
        _args.one_of("reads", reads, INPUTS)
        self.kernel, self.reads = kernel, reads
        self.stem = nn.Conv1d(34, channels, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(channels, channels, kernel, dilation=2**n) for n in range(4))
        self.head = nn.Linear(channels, len(ACTIONS))

    def forward(self, xy: Tensor) -> Tensor:
        x = prepared(xy, self.reads).to(self.head.weight)
        x = self.stem(x.flatten(-2).mT)  # (B, channels, T)
        for block in self.blocks:
            past = (self.kernel - 1) * block.dilation[0]
            x = x + F.relu(block(F.pad(x, (past, 0))))
        frames = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
        return self.head((x.cumsum(-1) / frames).mT)  # (B, T, C)


def prepared(xy: Tensor, reads: str) -> Tensor:
    """What a net reads: numbers of about 1, of ``(B, T, 17, 2)`` px."""
    usual = 45.0  # px: a torso before the camera of training
    if reads == "pixels":
        return (xy - xy.new_tensor(CAMERA.center)) / usual
    return normalized(xy) if reads == "normalized" else normalized(xy, scale=False) / usual


def wrong(net: nn.Module, xy: Tensor, label: Tensor) -> Tensor:
    """Cross-entropy ``(B, 1)`` of the whole sequence."""
    return F.cross_entropy(net(xy)[:, -1], label[:, 0], reduction="none")[:, None]


def train_net(name: str, *, seed: int, steps: int = STEPS, count: int = COUNT) -> ActionNet:
    """One of NETS, on sequences of its own seed."""
    kernel, reads = NETS[name]
    with methods.as_ever(seed):
        net = ActionNet(kernel, reads=reads)
    xy, label = sequences(count, seed=1000 + seed)
    data = finite((xy, label[:, None], torch.ones(count, 1)), batch=BATCH, seed=seed)
    if name.endswith("noisy"):
        data = shaken(data)
    train(net, wrong, data, steps=steps, lr=1e-2, progress=False)
    return net


def shaken(data: Data, *, most: float = 0.3) -> Data:
    """The same sequences with Gaussian noise of its own in each frame, keypoint and axis: of one standard deviation for
    a sequence, from 0 to ``most`` torso lengths, drawn evenly.
    """

    def noisy(step: int) -> Batch:
        xy, label, ones = data(step)
        source = torch.Generator().manual_seed(step)
        deviation = most * torch.rand(len(xy), generator=source, dtype=xy.dtype) * torso(xy)
        noise = torch.randn(xy.shape, generator=source, dtype=xy.dtype)
        return xy + deviation[:, None, None, None] * noise, label, ones

    return noisy


# ---------------------------------------------------------------------------------------------------------------------
# Keypoints that are found, not known


def from_maps(cells: Tensor, *, noise: float = 0.0, sigma: float = 1.5, seed: int = 0) -> dict[str, Tensor]:
    """Each keypoint read from a map of its own by each of DECODERS: logits -d^2 / (2 sigma^2), d the distance in cells.

    Args:
        cells: ``(..., 2)``, (x, y) in cells; the map reaches 6 cells to each side of the nearest one.
        noise: standard deviation of white noise on the logits.
        sigma: the map's width in cells.
        seed: of the noise.

    Returns:
        places in cells, in the shape and dtype of ``cells``.
    """
    source, reach = torch.Generator().manual_seed(seed), 6
    near, steps = cells.round(), torch.arange(-reach, reach + 1, dtype=torch.float32)
    found = {name: [] for name in DECODERS}
    for part in (cells - near).float().flatten(0, -2).split(50_000):
        x, y = (steps - part[..., None]).square().unbind(-2)  # (n, 13) each
        logits = -(x[:, None] + y[..., None]) / (2 * sigma**2)
        if noise:
            logits += noise * torch.randn(logits.shape, generator=source, dtype=logits.dtype)
        for name, decode in DECODERS.items():
            found[name].append(decode(logits) - reach)
    return {name: near + torch.cat(parts).view(cells.shape).to(cells) for name, parts in found.items()}


def from_pictures(motion: Motion, camera: Camera = SMALL_CAMERA) -> tuple[Tensor, dict[str, Tensor]]:
    """Keypoints in pictures of 64 x 64 px, each painted anew: ``(B, T, 17, 2)`` px, the true ones, and those that
    chapter 1's network finds, by each of DECODERS.
    """
    net, maps = methods.stored("cross-entropy"), []
    for frame in range(motion.joints.shape[1]):
        with torch.no_grad():
            maps.append(net(render(seen_by(motion, frame, camera)).image))
    logits = torch.stack(maps, 1)
    return camera.project(motion.joints), {n: net.grid.to_image(d(logits)).double() for n, d in DECODERS.items()}


def measure(count: int, *, seed: int, path: Path = FILE) -> tuple[Tensor, Tensor]:
    """How far off they are, and what the stored nets make of them.

    Returns:
        RMS error per axis ``(3,)`` in torso lengths, by DECODERS; and how many sequences are right ``(3, 4, 2, 3)``, by
        DECODERS, ERRORS, "temporal" and "temporal, noisy", and SEEDS.
    """
    motion = sample_motion(count, FRAMES, rate=RATE, seed=seed)
    xy, found = from_pictures(motion)
    nets = [[stored(name, seed=s, path=path) for s in SEEDS] for name in ("temporal", "temporal, noisy")]
    source, sizes, right = torch.Generator().manual_seed(seed), [], []
    for places in found.values():
        error, unit = places - xy, torso(xy)[:, None, None, None]
        mean = error.mean(1, keepdim=True).expand_as(error)
        size = (error / unit).square().mean().sqrt()
        random = size * unit * torch.randn(xy.shape, generator=source, dtype=xy.dtype)
        sizes.append(size)
        right.append([[[round(count * accuracy(net, xy + part, motion.action)) for net in alike] for alike in nets]
                      for part in (error, mean, error - mean, random)])  # fmt: skip
    return torch.stack(sizes), torch.tensor(right, dtype=torch.int16)


# ---------------------------------------------------------------------------------------------------------------------
# The file


def make(path: Path | None = None) -> None:
    """Train all of NETS, from each of SEEDS, and store their weights at half precision; then :func:`measure`."""
    path, tensors, about = path or FILE, {}, made() | {"command": COMMAND}
    for name in NETS:
        for seed in SEEDS:
            weights = train_net(name, seed=seed).state_dict()
            tensors |= {f"{name}, {seed}, {key}": value.half() for key, value in weights.items()}
    write_tensors(path, tensors, about)
    size, right = measure(MEASURED, seed=MEASURED_SEED, path=path)
    write_tensors(path, tensors | {"error in pictures": size, "right in pictures": right}, about)


def pictures() -> tuple[Tensor, Tensor]:
    """What was stored of ``measure(MEASURED, seed=MEASURED_SEED)``."""
    kept = read_tensors(FILE)[0]
    return kept["error in pictures"], kept["right in pictures"]


def stored(name: str = "temporal", *, seed: int = 0, path: Path = FILE) -> ActionNet:
    """A trained net, float64, in evaluation mode.

    Args:
        name: one of NETS.
        seed: one of SEEDS.
        path: where it is stored.
    """
    _args.one_of("name", name, tuple(NETS))
    if seed not in SEEDS:
        _args.fail("seed", f"one of {SEEDS}", seed)
    kernel, reads = NETS[name]
    net, start, kept = ActionNet(kernel, reads=reads), f"{name}, {seed}, ", read_tensors(path)[0]
    net.load_state_dict({key.removeprefix(start): value for key, value in kept.items() if key.startswith(start)})
    return net.double().eval()


def probabilities(net: ActionNet, xy: Tensor) -> Tensor:
    """What a net believes while it watches: ``(B, T, C)`` of ``(B, T, 17, 2)`` px; row t after t + 1 frames.

    Its unit of length is the torso's mean over all frames, also in the first rows.
    """
    with torch.no_grad():
        return net(xy).softmax(-1)


def accuracy(net: ActionNet, xy: Tensor, label: Tensor) -> float:
    """Share of sequences whose action has the highest probability in the end."""
    return (probabilities(net, xy)[:, -1].argmax(-1) == label).double().mean().item()
