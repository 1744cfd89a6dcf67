"""Figures show what they are given, where it lies; their alt text goes with them."""

import io
import itertools

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from posebook import draw
from posebook.grid import Grid
from posebook.skeleton import Skeleton

FACE = Skeleton(("left_eye", "right_eye", "nose"), limbs=((0, 2), (1, 2)), pairs=((0, 1),))
XY = torch.tensor([[40.0, 20.0], [24.0, 20.0], [32.0, 30.0]])


def size(picture: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(picture)).size


def test_show_gives_the_picture_its_words(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    draw.show(draw.conventions(4, {"index": Grid.index(4)}), "Three cells over twelve pixels.")
    (data, options), = shown
    assert size(data["image/png"])[0] == 800 and data["text/plain"] == "Three cells over twelve pixels."
    assert options == {"raw": True, "metadata": {"image/png": {"alt": "Three cells over twelve pixels."}}}
    with pytest.raises(ValueError, match="alt: want a sentence that says what the figure shows, got ' '"):
        draw.show(Figure(), " ")


def test_a_heatmap_covers_the_pixels_that_its_cells_cover():
    fig, (ax,) = draw.axes()
    draw.heatmap(ax, torch.rand(2, 3), Grid.center(4))
    assert ax.images[0].get_extent() == pytest.approx((-0.5, 11.5, 7.5, -0.5))
    draw.heatmap(ax, torch.rand(2, 3), Grid.index((4.0, 2.0)))
    assert ax.images[1].get_extent() == pytest.approx((-2, 10, 3, -1))
    draw.heatmap(ax, torch.tensor([[-3.0, 1.0]]), signed=True)
    assert ax.images[2].get_clim() == (-3, 3) and ax.images[1].get_clim()[0] == 0


def test_a_skeleton_is_its_points_and_limbs():
    fig, (ax,) = draw.axes()
    draw.skeleton(ax, XY, FACE)
    *limbs, points = ax.lines
    assert [line.get_xydata().tolist() for line in limbs] == [XY[[0, 2]].tolist(), XY[[1, 2]].tolist()]
    assert points.get_xydata().tolist() == XY.tolist()
    with pytest.raises(ValueError, match=r"xy: want shape \(3, 2\), one row per keypoint, got \(2, 2\)"):
        draw.skeleton(ax, XY[:2], FACE)


def test_a_photograph_enlarges_the_cells_around_a_keypoint():
    grid = Grid.index(4)
    truth = XY.clone()
    truth[1] = float("nan")  # not labeled
    found = grid.to_image(grid.to_cells(XY).round())
    fig = draw.photograph(torch.zeros(48, 64, 3, dtype=torch.uint8), FACE, truth, found, grid, around=2)
    left, right = fig.axes
    assert right.get_xlim() == (12, 52) and right.get_ylim() == (50, 10)
    assert right.get_title() == "nose on a grid of cells"
    edges = {line.get_xdata()[0] for line in right.lines if list(line.get_ydata()) == [0, 1]}
    assert {30.0, 34.0} <= edges  # the cell whose center is x = 32
    points = [tuple(line.get_xydata()[0]) for line in right.lines if len(line.get_xydata()) == 1]
    assert points == [(32, 30), tuple(found[2].tolist())]
    assert size(draw.png(fig)) == (800, 460)


def test_dots_take_the_color_of_their_line():
    fig, (ax,) = draw.axes()
    x = torch.arange(3.0)
    draw.curves(ax, x, {"formula": x**2}, {"formula": x**2 + 0.1, "other": x}, xlabel="x (px)", yscale="log")
    line, dots, other = ax.lines
    assert line.get_color() == dots.get_color() != other.get_color()
    assert dots.get_ydata() == pytest.approx([0.1, 1.1, 4.1]) and line.get_xdata().tolist() == [0, 1, 2]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["formula", "other"]
    assert ax.get_xlabel() == "x (px)" and ax.get_yscale() == "log"


def test_each_map_has_its_point():
    fig = draw.heatmaps({"a": torch.rand(5, 9), "b": torch.rand(5, 9)}, torch.tensor([[1.0, 2.0], [8.0, 4.0]]))
    assert [ax.get_title() for ax in fig.axes] == ["a", "b"]
    assert [ax.lines[0].get_xydata()[0].tolist() for ax in fig.axes] == [[1, 2], [8, 4]]


def test_conventions_name_each_position():
    fig = draw.conventions(4, {"index": Grid.index(4), "center": Grid.center(4)})
    words = [text.get_text() for text in fig.axes[0].texts]
    assert {"cell 1: 4", "cell 1: 5.5", "index", "center", "image pixel"} <= set(words)


def test_people_have_sides_and_what_is_hidden_is_hollow():
    images, xy = torch.rand(3, 3, 48, 64), XY.expand(3, 3, 2).clone()
    xy[1, 0] = float("nan")
    vis = torch.tensor([[2, 1, 2], [2, 2, 2], [0, 2, 2]])
    fig = draw.people(images, xy, FACE, vis=vis, found=(XY + 3).expand(3, 3, 2), titles=("a", "b", "c"), columns=2)
    assert len(fig.axes) == 4 and [ax.get_title() for ax in fig.axes] == ["a", "b", "c", ""]
    for ax, given in zip(fig.axes, ([0, 1, 2], [1, 2], [1, 2]), strict=False):
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        assert [line.get_xydata()[0].tolist() for line in dots] == XY[given].tolist()
        crosses = [line for line in ax.lines if line.get_marker() == "x"]
        assert {tuple(line.get_xydata()[0]) for line in crosses} >= {tuple((XY[k] + 3).tolist()) for k in given}
    left, right, nose = (line for line in fig.axes[0].lines if line.get_marker() == "o")
    assert (left.get_markerfacecolor(), right.get_markerfacecolor()) == (draw.SKY, "none")  # seen, hidden
    assert nose.get_markerfacecolor() == "white" and right.get_markeredgecolor() == draw.ORANGE
    assert not draw.people(images, None, FACE).axes[2].lines
    assert len(fig.axes[1].images) == 1 and not fig.axes[3].images


def test_intervals_have_a_line_for_each_name():
    fig, (ax,) = draw.axes()
    draw.intervals(ax, {"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([2.0])}, {"a": (2.0, 1.5)}, xlabel="px")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"] and ax.get_xlabel() == "px"
    assert [line.get_xydata().tolist() for line in ax.lines] == [
        [[1, 0], [3, 0]], [[0.5, 0], [3.5, 0]], [[2, 0]], [[2, -1]]]


def test_axes_come_row_by_row_and_may_share_a_legend():
    fig, every = draw.axes(2, rows=3, sharex=True)
    assert len(every) == 6 and every == fig.axes
    assert [ax.get_subplotspec().rowspan.start for ax in every] == [0, 0, 1, 1, 2, 2]
    draw.measured(every[0], {"a": {1: (2.0, 0.5)}}, legend=False)
    assert every[0].get_legend() is None and every[0].get_legend_handles_labels()[1] == ["a"]


def test_measured_means_have_their_intervals():
    fig, (ax,) = draw.axes()
    draw.measured(ax, {"a": {1: (2.0, 0.5), 4: (1.0, None)}, "b": {1: (3.0, 0.1)}}, ylabel="px")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"] and ax.get_ylabel() == "px"
    first, second = ax.containers
    assert first.lines[0].get_xydata().tolist() == [[1, 2], [4, 1]]
    assert [bar.tolist() for bar in first.lines[2][0].get_segments()] == [[[1, 1.5], [1, 2.5]], [[4, 1], [4, 1]]]


def test_groups_have_a_color_for_each_and_the_truth_is_dashed():
    found = [torch.stack((XY, XY + 5)), XY[:0].reshape(0, 3, 2)]
    found[0][1, 2] = torch.nan  # a joint that was not found
    fig = draw.groups(torch.rand(2, 3, 48, 64), found, FACE, truth=[XY, XY], titles=("a", "b"))
    first, second = fig.axes
    dashed = [line for line in first.lines if line.get_linestyle() == "--"]
    assert [line.get_xydata().tolist() for line in dashed] == [XY[[0, 2]].tolist(), XY[[1, 2]].tolist()]
    assert len(second.lines) == 2 and first.get_title() == "a"
    assert len({line.get_color() for line in first.lines}) == 3 and first.get_xlim() == (-0.5, 63.5)
    assert not draw.groups(torch.rand(1, 3, 48, 64), found[1:], FACE).axes[0].lines


def test_films_have_a_panel_for_each_name_and_a_skeleton_for_each_pose():
    poses = 30 * torch.rand(3, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fig = draw.films({"up": poses, "down": poses.flip(0), "still": poses[:1]}, FACE)
    assert [ax.get_title() for ax in fig.axes] == ["up", "down", "still", ""]
    dots = [[line for line in ax.lines if len(line.get_xdata()) == 3] for ax in fig.axes]
    assert [len(lines) for lines in dots] == [3, 3, 1, 0]
    assert dots[0][0].get_color() != dots[0][1].get_color() == dots[0][2].get_color()
    left = [min(line.get_xdata()) for line in dots[0]]
    assert left == sorted(left) and fig.axes[0].yaxis_inverted()
    apart = dots[0][1].get_ydata() - poses[1, :, 1].numpy()
    assert abs(apart).max() < 1e-9  # moved to the side alone


def test_a_box_has_twelve_edges():
    _, (ax,) = draw.axes()
    corners = torch.tensor([[0.0, 0], [4, 0], [4, 4], [0, 4], [1, 1], [5, 1], [5, 5], [1, 5]])
    draw.box(ax, corners, label="a cube")
    paths = [[tuple(map(float, point)) for point in line.get_xydata()] for line in ax.lines]
    pairs = {frozenset(edge) for path in paths for edge in itertools.pairwise(path)}
    want = [(k, (k + 1) % 4) for k in range(4)] + [(4 + k, 4 + (k + 1) % 4) for k in range(4)]
    want += [(k, 4 + k) for k in range(4)]
    assert pairs == {frozenset((tuple(corners[a].tolist()), tuple(corners[b].tolist()))) for a, b in want}
    with pytest.raises(ValueError, match=r"corners: want shape \(8, 2\), got \(4, 2\)"):
        draw.box(ax, corners[:4])
