"""On a CUDA device: decoding, peaks, grouping's dense parts, people and training, and how near they are to its memory.

    python benchmarks/gpu.py [--quick] [--device cpu]

float32; a time ends when the device is done. The bytes that a work must move at the least (soft-argmax with its
gradient reads the maps twice and writes them once), over its time, are told as a share of what a copy of 1 GB moves in
the same rounds; maps that fit in a card's cache may pass 100 %. What is called from Python once takes as long as Python
does, at these sizes; recorded as a CUDA graph it takes as long as the card does. Without a device nothing is measured,
and the rows say so. ``--device cpu`` runs everything with little data on the processor.
"""

from collections.abc import Callable
from functools import cache

import torch
from _measure import compare, failure, line, main, row
from decoding import dsntnn_soft, kornia_soft
from grouping import LEAST, NEAR, TOP, scene
from torch import Tensor
from torch.nn import functional as F

from posebook.decode import refine_dark
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax
from posebook.grouping import fill_joints, group_by_tags, local_peaks, paf_scores, tags_at
from posebook.people import render, sample_scene
from posebook.skeleton import COCO_17
from posebook.training.methods import METHODS, make_net

SIZES = ((64, 96, 72), (256, 96, 72), (64, 192, 144))  # images with 17 maps each, and their cells
SETS = 8  # of maps, one after another: no card has a cache for so many
GRAPH = f"soft-argmax + backward, {SETS} in a CUDA graph"
Work = tuple[Callable[[str], Callable], int, dict[str, Callable]]  # by device; bytes; peers


def pooled(heatmap: Tensor):
    return (heatmap * (F.max_pool2d(heatmap, 5, 1, 2) == heatmap)).flatten(-2).topk(32)


@cache
def compiled(function: Callable) -> Callable:
    return torch.compile(function, dynamic=False, fullgraph=True)


def backward(decoder: Callable[[Tensor], Tensor], logits: Tensor) -> Tensor:
    """The gradient of the logits where that of each coordinate is 1."""
    leaf = logits.detach().requires_grad_()
    cells = decoder(leaf)
    return torch.autograd.grad(cells, leaf, torch.ones_like(cells))[0]


def replayed(decoder: Callable[[Tensor], Tensor], sets: list[Tensor]) -> Callable:
    """Gradients for several sets of maps, recorded once as a CUDA graph: then Python is not waited for."""
    def call():
        return [backward(decoder, logits) for logits in sets]

    if not sets[0].is_cuda:
        return call
    beside, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        call(), call()
    torch.cuda.current_stream().wait_stream(beside)
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def of_maps(cpu: Tensor, device: str) -> dict[str, Work]:
    maps = {"cpu": cpu, device: cpu.to(device)}
    there, size = maps[device], cpu.nbytes
    sets = [there.clone() for _ in range(SETS)]
    others = {"kornia": kornia_soft, "dsntnn": dsntnn_soft}
    if device != "cpu":
        torch._dynamo.reset()  # a function is compiled for so many shapes and no more
        compiled.cache_clear()
        others["torch, compiled"] = compiled(soft_argmax)
    return {
        "soft-argmax": (lambda at: lambda: soft_argmax(maps[at]), size, {
            name: lambda one=one: one(there) for name, one in others.items()}),
        "soft-argmax + backward": (lambda at: lambda: backward(soft_argmax, maps[at]), 3 * size, {
            name: lambda one=one: backward(one, there) for name, one in others.items()}),
        GRAPH: (lambda at: replayed(soft_argmax, sets) if at == device else None, 3 * size * SETS, {
            name: later(lambda one=one: replayed(one, sets)) for name, one in others.items()}),
        "DARK, blur 2": (lambda at: lambda: refine_dark(maps[at], blur=2.0), size, {}),
        "peaks": (lambda at: lambda: local_peaks(maps[at], threshold=0.1, top_k=32), size, {
            "torch max_pool2d 5x5": lambda: pooled(there)}),
    }


def later(make: Callable[[], Callable]) -> Callable:
    """Calls what is made at the first call."""
    made = cache(make)
    return lambda: made()()


def of_people(device: str, people: int, images: int) -> dict[str, Work]:
    """Grouping's dense parts, painting, and steps of training."""
    cpu = scene(people)
    maps = {at: [part.to(at) for part in cpu] for at in ("cpu", device)}
    peaks = {at: local_peaks(maps[at][0], threshold=LEAST, top_k=TOP) for at in maps}
    found = {at: group_by_tags(peaks[at], tags_at(maps[at][1], peaks[at].xy), threshold=NEAR) for at in maps}
    fields = torch.rand(len(COCO_17.limbs), 2, *cpu[0].shape[-2:])
    ends = torch.tensor(COCO_17.limbs)
    pairs = {at: (fields.to(at), peaks[at].xy[ends[:, 0], :, None], peaks[at].xy[ends[:, 1], None]) for at in maps}
    drawn = sample_scene(images)
    scenes = {at: drawn.mapped(lambda part, at=at: part.to(at)) for at in maps}
    batch = render(drawn)
    return {
        "joints read off maps": (lambda at: lambda: fill_joints(found[at], *maps[at], threshold=NEAR), 0, {}),
        "limbs' scores": (lambda at: lambda: paf_scores(*pairs[at]), 0, {}),
        "people painted": (lambda at: lambda: render(scenes[at]), batch.image.nbytes, {}),
        "a step of training": (lambda at: step(at, batch.image.to(at), batch.xy[:, 0].to(at)), 0, {}),
    }


def step(device: str, image: Tensor, xy: Tensor) -> Callable:
    net = make_net("cross-entropy").to(device)
    optimizer = torch.optim.AdamW(net.parameters())

    def call():
        optimizer.zero_grad()
        METHODS["cross-entropy"].loss(net, image, xy).mean().backward()
        optimizer.step()

    return call


def done(call: Callable, device: str) -> Callable:
    """A call that returns when the device is done."""
    def finished():
        call()
        if device != "cpu":
            torch.cuda.synchronize()

    return finished


def measured(name: str, work: Work, device: str, where: str, rounds: int) -> list[dict]:
    """A row for each peer, and the share of the memory's speed."""
    ours, least, peers = work
    block = torch.zeros(2**28 if device != "cpu" else 2**20, device=device)
    copied, into = 2 * block.nbytes, torch.empty_like(block)  # read and written
    rivals = {peer: (done(call, device), "") for peer, call in peers.items()}
    if device != "cpu" and (here := ours("cpu")):
        rivals["posebook on the processor"] = here, ""
    rivals["a copy"] = done(lambda: into.copy_(block), device), ""
    try:
        *rows, copy = compare({f"{name}, {where}": (done(ours(device), device), rivals)}, rounds)
    except Exception as error:  # such as a compiler that is missing
        return [row(f"{name}, {where}", note=failure(error))]
    if not least:
        return rows or [row(f"{name}, {where}", copy["ours"])]
    share = sorted(100 * ratio * least / copied for ratio in copy["ratio"])
    goal = ">= 70" if device != "cpu" and name.startswith(GRAPH) else ""
    speed = copied / copy["theirs"] / 1e6
    rows.append(row(f"{name}, {where}, of the memory's speed", share[1], "%", goal=goal,
                    note=f"{share[0]:.0f} to {share[2]:.0f}; {least / 1e6:,.0f} MB at the least, "
                         f"a copy moves {speed:,.0f} GB/s"))
    print(line(rows[-1]), flush=True)
    return rows


def measure(options) -> list[dict]:
    device = options.device or ("cuda" if torch.cuda.is_available() else "")
    if not device:
        works = of_maps(torch.zeros(1, 1, 2, 2), "cpu") | of_people("cpu", 1, 1)
        rows = [row(work, note="not measured: there is no CUDA device here") for work in works]
        print(*map(line, rows), sep="\n")
        return rows
    small, rounds = device == "cpu", 3 if options.quick else 11
    where = "the processor" if small else torch.cuda.get_device_name()
    rows = []
    for n, h, w in ((2, 24, 18),) if small else SIZES[:1] if options.quick else SIZES:
        draw = torch.Generator().manual_seed(0)
        cells = 4 + torch.rand(n, 17, 2, generator=draw) * torch.tensor([w - 9.0, h - 9.0])
        for name, work in of_maps(gaussian_heatmap(cells, (h, w), sigma=2.0), device).items():
            rows += measured(f"{name}, {n} x 17 x {h} x {w}", work, device, where, rounds)
    people, images = (2, 4) if small else (30, 256)
    for name, work in of_people(device, people, images).items():
        many = f"{people} people" if name.startswith(("joints", "limbs")) else f"{images} images"
        rows += measured(f"{name}, {many}", work, device, where, rounds)
    return rows


if __name__ == "__main__":
    main(measure, __doc__, device="")
