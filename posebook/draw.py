"""Static figures. Each function returns a figure; :func:`show` puts it on the page with its alt text."""

import io
from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from posebook import _args
from posebook.grid import Grid
from posebook.skeleton import Skeleton

# Okabe and Ito's colors: told apart by most color-blind readers. Markers differ too, for the rest.
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
MARKERS = ("o", "s", "^", "D", "v", "P")


def show(fig: Figure, alt: str) -> None:
    """Display a figure as PNG; ``alt`` says what it shows, to those who cannot see it and to nbval.

    Raises:
        ValueError: an empty ``alt``.
    """
    from IPython.display import display

    if not alt or not alt.strip():
        _args.fail("alt", "a sentence that says what the figure shows", repr(alt))
    display({"image/png": png(fig), "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})


def png(fig: Figure) -> bytes:
    """A figure as PNG file."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


def axes(columns: int = 1, *, rows: int = 1, width: float = 8.0, height: float = 3.2,
         **options) -> tuple[Figure, list[Axes]]:
    """An empty figure, in inches, and its axes row by row; ``options`` go to matplotlib's ``subplots``."""
    fig = Figure(figsize=(width, height), layout="constrained")
    every = list(fig.subplots(rows, columns, squeeze=False, **options).flat)
    for ax in every:
        ax.spines[["top", "right"]].set_visible(False)
    return fig, every


def skeleton(ax: Axes, xy: Tensor, bones: Skeleton, *, color: str = SKY) -> None:
    """Draw keypoints ``(K, 2)`` in px and the limbs between those that are finite."""
    _args.points("xy", xy)
    _args.instance("bones", bones, Skeleton)
    if xy.shape != (len(bones), 2):
        _args.fail("xy", f"shape ({len(bones)}, 2), one row per keypoint", tuple(xy.shape))
    for a, b in bones.limbs:
        ax.plot(*xy[[a, b]].T.tolist(), "-", color=color, linewidth=1.5)
    ax.plot(*xy.T.tolist(), "o", color=color, markersize=4, markeredgecolor="white", markeredgewidth=0.6)


def box(ax: Axes, corners: Tensor, *, color: str = SKY, label: str | None = None, line: str = "-") -> None:
    """Draw the 12 edges of a box in a picture.

    Args:
        ax: where.
        corners: ``(8, 2)`` in px: the four of the floor in turn, then those above them.
        color: of the edges, those of the floor thinner.
        label: for a legend.
        line: matplotlib's line style.
    """
    _args.points("corners", corners)
    if corners.shape != (8, 2):
        _args.fail("corners", "shape (8, 2)", tuple(corners.shape))
    floor, roof = corners[:4], corners[4:]
    ax.plot(*floor[[0, 1, 2, 3, 0]].T.tolist(), line, color=color, linewidth=1)
    for a, b in zip(floor, roof, strict=True):
        ax.plot(*torch.stack((a, b)).T.tolist(), line, color=color, linewidth=2)
    ax.plot(*roof[[0, 1, 2, 3, 0]].T.tolist(), line, color=color, linewidth=2, label=label)


def heatmap(ax: Axes, cells: Tensor, grid: Grid | None = None, *, signed: bool = False) -> None:
    """Draw a map ``(H, W)``, each cell as the square that it covers: in cells, or in image px where a grid is given.

    Dark is 0 or less. ``signed`` puts 0 at white, positive values in red and negative ones in blue.
    """
    _args.maps("cells", cells)
    if cells.ndim != 2:
        _args.fail("cells", "one map (H, W)", tuple(cells.shape))
    h, w = cells.shape
    corners = (grid or Grid()).to_image(torch.tensor([[-0.5, -0.5], [w - 0.5, h - 0.5]]))
    (left, top), (right, bottom) = corners.tolist()
    top_value = cells.abs().max().item() or 1.0
    ax.imshow(cells.detach().cpu().float().numpy(), extent=(left, right, bottom, top), interpolation="nearest",
              cmap="RdBu_r" if signed else "cividis", vmin=-top_value if signed else 0,
              vmax=top_value)
    ax.set_aspect("equal")


def people(images: Tensor, xy: Tensor | None, bones: Skeleton, *, vis: Tensor | None = None,
           found: Tensor | None = None, titles: Sequence[str] | None = None, columns: int = 6) -> Figure:
    """Pictures with their poses: the person's left in blue, her right in orange, what has no side in white.

    Args:
        images: ``(B, 3, H, W)``, 0 to 1.
        xy: ``(B, K, 2)`` px, or None for the pictures alone; what is not finite is left out.
        bones: the keypoints' names, limbs and pairs.
        vis: ``(B, K)``, 0 left out, 1 a hollow dot, 2 a filled one; None fills all that are given.
        found: ``(B, K, 2)`` px, one cross each, joined to the truth by a red line.
        titles: one for each picture.
        columns: pictures in a row.
    """
    rows = -(-len(images) // columns)
    wide = min(columns, len(images))
    h, w = images.shape[-2:]
    size = min(2.6 * max(1, w / h), 9.6 / wide)  # inches: width of a picture
    fig = Figure(figsize=(size * wide, (size * h / w + (0.25 if titles else 0)) * rows), layout="constrained")
    grid = fig.subplots(rows, wide, squeeze=False).flatten()
    for b, ax in enumerate(grid):
        ax.axis("off")
        if b < len(images):
            ax.imshow(images[b].permute(1, 2, 0).clamp(0, 1).cpu().numpy(), interpolation="nearest")
            if titles:
                ax.set_title(titles[b], fontsize=10)
            if xy is not None:
                _pose(ax, xy[b], bones, torch.full((len(bones),), 2) if vis is None else vis[b])
            if found is not None:
                _misses(ax, found[b], xy[b], None if vis is None else vis[b] > 0)
    return fig


def groups(images: Tensor, found: Sequence[Tensor], bones: Skeleton, *, truth: Sequence[Tensor] | None = None,
           titles: Sequence[str] | None = None, columns: int = 4) -> Figure:
    """Pictures of several people, each who was found in a color of its own, one who is there as a dashed white line.

    Args:
        images: ``(B, 3, H, W)``, 0 to 1.
        found: for each picture ``(P, K, 2)`` px, NaN where there is no joint.
        bones: the keypoints' names and limbs.
        truth: for each picture ``(K, 2)`` px of one person, NaN where not labeled.
        titles: one for each picture.
        columns: pictures in a row.
    """
    fig = people(images, None, bones, titles=titles, columns=columns)
    for b, ax in enumerate(fig.axes[: len(images)]):
        ax.set(xlim=ax.get_xlim(), ylim=ax.get_ylim())
        for a, z in bones.limbs if truth is not None else ():
            ax.plot(*truth[b][[a, z]].T.tolist(), "--", color="white", linewidth=1.2)
        for n, one in enumerate(found[b]):
            skeleton(ax, one, bones, color=(SKY, ORANGE, GREEN, RED, PURPLE, YELLOW, BLUE, BLACK)[n % 8])
    return fig


def _pose(ax: Axes, xy: Tensor, bones: Skeleton, vis: Tensor) -> None:
    sides = {k: color for left, right in bones.pairs for k, color in ((left, SKY), (right, ORANGE))}
    known = [bool(v) for v in (vis > 0) & xy.isfinite().all(-1)]
    for a, b in bones.limbs:
        if known[a] and known[b]:
            same = sides.get(a) if sides.get(a) == sides.get(b) else None
            ax.plot(*xy[[a, b]].T.tolist(), "-", color=same or "white", linewidth=1.4, alpha=0.9)
    for k, (x, y) in enumerate(xy.tolist()):
        if known[k]:
            color = sides.get(k, "white")
            ax.plot(x, y, "o", color=color if vis[k] == 2 else "none", markersize=4, markeredgewidth=0.8,
                    markeredgecolor="black" if vis[k] == 2 else color)


def _misses(ax: Axes, found: Tensor, xy: Tensor, known: Tensor | None) -> None:
    for k, ((x, y), (tx, ty)) in enumerate(zip(found.tolist(), xy.tolist(), strict=True)):
        if known is None or known[k]:
            ax.plot([tx, x], [ty, y], "-", color=RED, linewidth=1)
            ax.plot(x, y, "x", color="white", markersize=4, markeredgewidth=1.2)


def photograph(picture: Tensor, bones: Skeleton, truth: Tensor, found: Tensor, grid: Grid, *, around: int) -> Figure:
    """A photograph with its marked keypoints; beside it the cells around one of them, where it was marked and found.

    Args:
        picture: ``(H, W, 3)`` uint8.
        bones: the keypoints' names and limbs.
        truth: marked keypoints ``(K, 2)`` in px.
        found: decoded keypoints ``(K, 2)`` in px.
        grid: where the cells lie.
        around: index of the keypoint that the right half enlarges.
    """
    fig, (left, right) = axes(2, height=4.6)
    for ax in (left, right):
        ax.imshow(picture.numpy())
        ax.set(xlabel="x (px)", ylabel="y (px)")
    skeleton(left, truth, bones)
    x, y = truth[around].tolist()
    reach = 5 * (max(grid.stride) if isinstance(grid.stride, tuple) else grid.stride)  # five cells to each side
    first = grid.to_cells(truth[around] - reach).floor()
    edges = grid.to_image(first + torch.arange(13.0)[:, None] - 0.5)
    for column, row in edges.tolist():
        right.axvline(column, color="white", linewidth=0.6, alpha=0.7)
        right.axhline(row, color="white", linewidth=0.6, alpha=0.7)
    right.plot(x, y, "x", color=YELLOW, markersize=13, markeredgewidth=3, label="marked")
    right.plot(*found[around].tolist(), "s", color=SKY, markersize=9, markeredgecolor="white", label="decoded")
    right.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach),
              title=f"{bones.names[around]} on a grid of cells".replace("_", " "))
    right.legend(loc="lower right", fontsize=8)
    return fig


def conventions(stride: int, grids: Mapping[str, Grid], *, cells: int = 3) -> Figure:
    """A row of image pixels, and for each grid the centers of its first cells over them."""
    fig, (ax,) = axes(height=0.55 + 0.5 * len(grids))
    pixels = stride * cells
    for k in range(pixels):
        ax.add_patch(_square(k, len(grids) + 0.1, YELLOW if k == 0 else "#eeeeee"))
        ax.text(k, len(grids) + 0.5, str(k), ha="center", va="center", fontsize=8)
    for row, (name, grid) in enumerate(grids.items()):
        y = len(grids) - 1 - row + 0.45
        x = grid.to_image(torch.stack((torch.arange(float(cells)), torch.zeros(cells)), -1))[:, 0].tolist()
        ax.plot(x, [y] * cells, MARKERS[row], color=(BLUE, RED, GREEN)[row % 3], markersize=9)
        for k, position in enumerate(x):
            ax.text(position + 0.25, y, f"cell {k}: {position:g}", va="center", fontsize=8)
        ax.text(-0.8, y, name, ha="right", va="center", fontsize=9)
    ax.text(-0.8, len(grids) + 0.5, "image pixel", ha="right", va="center", fontsize=9)
    ax.set(xlim=(-4.2, pixels + 0.9), ylim=(0, len(grids) + 1.1))
    ax.axis("off")
    return fig


def curves(ax: Axes, x: Sequence[float] | Tensor, lines: Mapping[str, Tensor], dots: Mapping[str, Tensor] | None = None,
           **options) -> None:
    """Closed forms as lines and measurements as dots over the same x; ``options`` go to ``ax.set``.

    Dots with the name of a line take its color and no entry of their own in the legend.

    Raises:
        ValueError: more than six names.
    """
    x, dots = torch.as_tensor(x, device="cpu"), dots or {}
    names = list(dict.fromkeys([*lines, *dots]))
    if len(names) > len(MARKERS):
        _args.fail("lines, dots", f"at most {len(MARKERS)} names", len(names))
    for name, color, marker in zip(names, (BLUE, RED, GREEN, PURPLE, ORANGE, BLACK), MARKERS, strict=False):
        if name in lines:
            ax.plot(x.numpy(), lines[name].numpy(), color=color, linewidth=1.6, label=name)
        if name in dots:
            ax.plot(x.numpy(), dots[name].numpy(), marker, color=color, markersize=4, markerfacecolor="white",
                    label=None if name in lines else name)
    ax.set(**options)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def measured(ax: Axes, lines: Mapping[str, Mapping[float, tuple[float, float | None]]], *, legend: bool = True,
             **options) -> None:
    """Means with their intervals: name to x to (mean, half width or None); ``options`` go to ``ax.set``.

    Ticks are at the x that were measured. Without a legend, as where several axes share one, ``fig.legend`` has it.
    """
    for (name, points), color, marker in zip(lines.items(), (RED, BLUE, GREEN, PURPLE, ORANGE, BLACK), MARKERS,
                                             strict=False):
        x, values = list(points), list(points.values())
        ax.errorbar(x, [mean for mean, _ in values], yerr=[half or 0 for _, half in values], color=color, marker=marker,
                    markersize=4, markerfacecolor="white", linewidth=1.6, capsize=3, label=name)
    ax.set(**options)
    ticks = sorted({x for points in lines.values() for x in points})
    ax.set_xticks(ticks, labels=[f"{x:g}" for x in ticks])
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    if legend:
        ax.legend(fontsize=8, frameon=False)


def films(sequences: Mapping[str, Tensor], bones: Skeleton, *, columns: int = 2) -> Figure:
    """A panel for each name: the poses ``(n, K, 2)`` px of its sequence side by side, the first on the left."""
    rows = -(-len(sequences) // columns)
    fig, every = axes(columns, rows=rows, width=9.0, height=1.5 * rows)
    for ax in every:
        ax.axis("off")
    for ax, (name, poses) in zip(every, sequences.items(), strict=False):
        wide = (poses[..., 0].amax(1) - poses[..., 0].amin(1)).max().item()
        for n, pose in enumerate(poses):
            middle = (pose[:, 0].amax() + pose[:, 0].amin()) / 2
            skeleton(ax, pose - pose.new_tensor([middle.item() - 1.1 * wide * n, 0.0]), bones,
                     color=(RED, BLUE)[n > 0])  # fmt: skip
        ax.set_title(name, fontsize=9)
        ax.set_aspect("equal")
        ax.invert_yaxis()
    return fig


def intervals(ax: Axes, rows: Mapping[str, Tensor], bars: Mapping[str, tuple[float, float]] | None = None,
              **options) -> None:
    """A line for each name, top down: its values ``(n,)`` as small dots, and mean and half width of an interval.

    Args:
        ax: where.
        rows: name to values.
        bars: name to (mean, half width); without one only the dots are drawn.
        options: go to ``ax.set``.
    """
    for k, (name, values) in enumerate(rows.items()):
        ax.plot(values.tolist(), [-k] * len(values), "o", color=SKY, markersize=4, alpha=0.9)
        if bars and name in bars:
            mean, half = bars[name]
            ax.plot([mean - half, mean + half], [-k, -k], "-", color=BLUE, linewidth=2)
            ax.plot(mean, -k, "|", color=BLUE, markersize=12, markeredgewidth=2)
    ax.set(yticks=range(0, -len(rows), -1), yticklabels=list(rows), **options)
    ax.grid(alpha=0.3, axis="x")


def heatmaps(maps: Mapping[str, Tensor], points: Tensor | None = None, *, signed: bool = False) -> Figure:
    """A row of maps ``(H, W)`` under their titles; a circle marks the map's point, ``points`` (maps, 2), in cells."""
    fig, row = axes(len(maps), height=2.6)
    for k, (ax, (title, cells)) in enumerate(zip(row, maps.items(), strict=True)):
        heatmap(ax, cells, signed=signed)
        if points is not None:
            ax.plot(*points[k].tolist(), "o", color=RED, markeredgecolor="white", markersize=9, markeredgewidth=1.5)
        ax.set_title(title, fontsize=10)
        ax.set_xticks(range(0, cells.shape[1], max(1, cells.shape[1] // 4)))
        ax.set_yticks(range(0, cells.shape[0], max(1, cells.shape[0] // 4)))
    return fig


def _square(x: float, y: float, color: str):
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.5, y), 1, 0.8, facecolor=color, edgecolor="#999999", linewidth=0.8)
