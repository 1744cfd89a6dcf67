# %% [markdown]
# # Problems: representations
#
# Write each function in the cell that says `raise NotImplementedError`, then run the check cell below it. The check shows, case by case, what it
# tried and what came of it, and where it recognizes a mistake, it names it. You may call anything in torch, numpy and posebook, except the functions
# that answer a problem of this set or do the heart of one. These, and the helpers that they are made of, are switched off while you are checked:
# SWITCHED_OFF.
#
# These hold for all problems of this set:
#
# - points are (x, y) in px, x to the right and y down; pixel (0, 0) has its center at (0, 0);
# - sizes are tuples (height, width) of whole numbers;
# - tensors share one dtype, float32 or float64, and the result keeps it;
# - `...` stands for any number of leading axes, none included;
# - `stride`, `offset`, `sigma`, `tau`, `ratio` and `weight` are plain numbers;
# - a result is a tensor, a tuple or a plain Python number, as the problem says; not a list, and not a numpy array;
# - inputs are left unchanged.
#
# When your work is graded, other numbers are drawn. A case whose right result is always the same earns points only where another case passes as well;
# a case that every user of your function would meet counts more.
#
# The first and the last problem make targets, the two between them losses. They belong to chapter 1.

# %%
import torch

from posebook import draw, encode, expectation
from posebook.checks import check
from posebook.grid import Grid

# %% [markdown]
# ## 1. `gaussian_heatmap`
#
# *2 points, easy, about 15 minutes.*
#
# `gaussian_heatmap(xy (..., 2), hw, sigma, stride=1.0, offset=0.0) -> (..., H, W)`
#
# The heatmap that a network is to learn, a map for each keypoint: the value in cell $u$ is $\exp(-\|u - c\|^2 / 2 \sigma^2)$, where $c$ is the
# keypoint in cells. Cell $u$ lies at $\mathrm{offset} + \mathrm{stride} \cdot u$ px, columns along x and rows along y. `xy` and `offset` are in px,
# `stride` in px per cell, `hw` and `sigma` in cells.
#
# $c$ keeps its fraction, so the peak of 1 may lie between the cells, or outside the map. Every cell gets its value: nothing is cut off, and nothing
# is divided by a sum. No gradients are asked for.
#
# Most pose networks train on this target. A rounded center alone costs them up to half a cell in x and in y.
#
# `posebook.encode.gaussian_heatmap` is the answer itself; it takes cells, yours takes pixels.

# %%
keypoint = torch.tensor([21.0, 9.0])
cell = Grid(stride=4).to_cells(keypoint)
target = encode.gaussian_heatmap(cell, (6, 9), sigma=1.2)
title = f"(21, 9) px is cell ({cell[0]:.2f}, {cell[1]:.2f})"
draw.show(draw.heatmaps({title: target}, cell[None]),
          f"Target: a bump on a map of 6 rows and 9 columns at stride 4, sigma 1.2 cells; {title}, "
          f"where a circle lies. The highest cell, column 5 of row 2, holds {target.max():.3f}.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Go from pixels to cells first: the statement says where cell u lies, so solve that for u. From there on everything is in cells, `sigma` too. The
# explorer *target* at grid "mixed" (section 1.4) shows what becomes of every decoder where two conventions meet.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The squared distance is a sum of a part that depends on the column and a part that depends on the row. Which shapes must the two have so that their
# sum is (..., H, W)?
#
# </details>

# %%
from posebook.checks.representations.gaussian_heatmap import gaussian_heatmap

# %%
check("gaussian_heatmap", gaussian_heatmap)

# %% [markdown]
# **Predict, then run.** On 64 x 64 cells with sigma = 2, what do all values of a map add up to? Would the sum of a probability depend on sigma? And what
# is left of your sum when the keypoint lies in the top-left corner?

# %% [markdown]
# ## 2. `integral_loss`
#
# *3 points, hard, about 25 minutes.*
#
# `integral_loss(logits (B, K, H, W), xy (B, K, 2), mask (B, K), stride, tau=1.0, offset=0.0) -> scalar`
#
# How far the soft-argmax of each map lies from the truth `xy`: $|\Delta x| + |\Delta y|$ in px, the sum over the two axes, then the mean over all
# labeled keypoints of the batch together. `mask` is boolean, True where a keypoint is labeled. The soft-argmax is the mean cell under $p =
# \mathrm{softmax}(z / \tau)$ over the H x W cells of a map, and cell $u$ lies at $\mathrm{offset} + \mathrm{stride} \cdot u$ px.
#
# - Where `mask` is False, `xy` may be any number, or NaN. Neither the loss nor its gradient is NaN then.
# - With nothing labeled in the batch the loss is 0, and `backward()` leaves gradients of 0 in the logits.
# - Adding 10000 to the logits of any map changes nothing (tested in float64).
# - Gradients reach the logits. No soft-argmax is drawn that hits the truth exactly, where $|\cdot|$ has a kink.
#
# This loss trains a heatmap on what you want of it, a place. Batches with few labels are where its implementations break.
#
# `posebook.losses.integral_loss` is the answer itself; its parts are switched off too: write the mean cell, the distance and the mean over labeled
# keypoints yourself.

# %%
rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
logits = -((columns - 3) ** 2 + (rows - 2.5) ** 2) / 2
(x, y), (tx, ty) = (4 * expectation.soft_argmax(logits)).tolist(), (25.0, 16.0)
fig, (ax,) = draw.axes(height=2.8)
draw.heatmap(ax, logits.flatten().softmax(0).view(6, 9), Grid(stride=4))
ax.plot([x, tx, tx], [y, y, ty], "--", color="white")
ax.plot(x, y, "o", color=draw.RED, markeredgecolor="white", markersize=9, label="soft-argmax")
ax.plot(tx, ty, "X", color=draw.SKY, markeredgecolor="white", markersize=10, label="truth")
ax.text(tx + 1, (y + ty) / 2, f"{tx - x:.0f} + {ty - y:.0f} px", color="white", fontsize=9)
ax.set(xlabel="x (px)", ylabel="y (px)")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, f"Target: the softmax of one map at stride 4, its mean at ({x:.1f}, {y:.1f}) px and "
               f"the truth at ({tx:g}, {ty:g}) px; the loss is the length of the two legs between "
               f"them, {tx - x:.1f} + {ty - y:.1f} = {tx - x + ty - y:.1f} px.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# First the mean cell of each map, in px: one softmax over all cells of a map, then the means of the columns and of the rows.
#
# </details>
# <details><summary>Hint 2</summary>
#
# 0 times NaN is NaN, in the value and in the gradient, so a truth that is not labeled must be gone before you subtract. And what is the mean of no
# numbers?
#
# </details>

# %%
from posebook.checks.representations.integral_loss import integral_loss

# %%
check("integral_loss", integral_loss)

# %% [markdown]
# **Predict, then run.** A map has two equal peaks, 8 px to the left and 8 px to the right of the truth, and nothing else. What is its loss? Which way does the
# gradient move the two?

# %% [markdown]
# ## 3. `hybrid_loss`
#
# *3 points, medium, about 20 minutes.*
#
# `hybrid_loss(logits (B, K, H, W), xy_regressed (B, K, 2), xy (B, K, 2), mask (B, K), stride, weight) -> scalar`
#
# A network with two heads says two places for each keypoint: the soft-argmax of its logits (temperature 1, cell $u$ at $\mathrm{stride} \cdot u$ px)
# and coordinates that it regresses, in px. The loss has an error for each, and a term that draws the two together:
#
# $$|r - t|_1 + |s - t|_1 + \mathrm{weight} \cdot |r - s|_1$$
#
# with $r$ regressed, $s$ soft and $t$ the truth. Here $|v|_1 = |v_x| + |v_y|$ in px, and the mean is over all labeled keypoints of the batch
# together.
#
# - Gradients reach both heads through each term that they stand in.
# - Where `mask` is False, `xy` may be any number, or NaN; neither the loss nor a gradient is NaN then.
# - With nothing labeled the loss is 0, and `backward()` leaves gradients of 0 in both heads.
# - Adding 10000 to the logits of any map changes nothing (tested in float64). No two of the three points of a labeled keypoint coincide where
#   gradients are asked for.
#
# The last term alone supervises nothing: heads that agree on a wrong place have none of it.
#
# The losses of posebook and their parts are switched off here too; call what you wrote for `integral_loss`, or a helper in the same cell.

# %%
places = {"regressed": (29, 15), "soft-argmax": (13, 11), "truth": (24, 4)}  # px
fig, (ax,) = draw.axes(height=3.0)
for (a, b), word in {("regressed", "truth"): "5 + 11", ("soft-argmax", "truth"): "11 + 7",
                     ("soft-argmax", "regressed"): "weight (16 + 4)"}.items():
    (x, y), (u, v) = places[a], places[b]
    ax.plot((x, u), (y, v), "--", color="#999999", zorder=0)
    ax.text((x + u) / 2, (y + v) / 2, word, ha="center", va="center", fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
for (name, (x, y)), marker, color in zip(places.items(), "soX", (draw.ORANGE, draw.RED, draw.SKY),
                                         strict=True):
    ax.plot(x, y, marker, color=color, markersize=10, linestyle="none", label=name)
ax.set(xlim=(8, 34), ylim=(18, 1), xlabel="x (px)", ylabel="y (px)", aspect="equal")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: a triangle of the regressed point (29, 15), the soft-argmax (13, 11) and "
               "the truth (24, 4) px; its sides count 16, 18 and weight times 20, which is 44 in "
               "all with a weight of 0.5.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# All three terms are distances between two points. Get the three points first, (B, K, 2) each; then the loss of one keypoint is a sum of three.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Over which keypoints is the mean taken? Does the agreement of an unlabeled keypoint count? What remains of your sum, and of its gradients, when
# there is none?
#
# </details>

# %%
from posebook.checks.representations.hybrid_loss import hybrid_loss

# %%
check("hybrid_loss", hybrid_loss)

# %% [markdown]
# **Predict, then run.** Both heads say the same place, 5 px to the right of the truth. What is the loss with weight 1, and with weight 1000? Which of the three
# terms moves them?

# %% [markdown]
# ## 4. `simcc_targets`
#
# *2 points, medium, about 15 minutes.*
#
# `simcc_targets(xy (..., 2), hw, ratio, sigma) -> (x (..., round(W ratio)), y (..., round(H ratio)))`
#
# SimCC asks for x and y apart, each as a classification over bins finer than pixels: `ratio` bins per pixel, bin $i$ at $i / \mathrm{ratio}$ px. Each
# target is a Gaussian over the bins, of standard deviation `sigma` bins about the keypoint, divided by its sum over the bins. So it is a probability
# also where the image's edge cuts it, and whatever the sum is. `hw` is the size of the image in px; `round` is Python's, and no size times ratio ends
# in a half.
#
# The center is not rounded to a bin. Keypoints lie between the centers of the first and the last pixel. The result is a tuple, x first. No gradients
# are asked for.
#
# Two lines of bins for each keypoint cost less than a map, and reach below a pixel.
#
# `posebook.encode.simcc_targets` is the answer itself; `gaussian_heatmap` with a single row, half of it, is switched off as well.

# %%
keypoint, (h, w), ratio, sigma = (0.3, 3.1), (7, 12), 2, 1.5
targets = encode.simcc_targets(torch.tensor(keypoint), (h, w), ratio=ratio, sigma=sigma)
fig, row = draw.axes(2, height=2.4, sharey=True)
for ax, axis, center, bump in zip(row, "xy", keypoint, targets, strict=True):
    ax.bar(range(len(bump)), bump.tolist(), color=draw.SKY, width=0.85)
    ax.axvline(ratio * center, color=draw.RED, linewidth=1.5)
    ax.set_title(f"{axis} = {center} px is bin {ratio * center:g}", fontsize=10)
    ax.set(xlabel=f"bin of {axis}", ylabel="target" if axis == "x" else "")
    print(f"{axis}: {len(bump)} bins, sum {bump.sum():.3f}, highest {bump.max():.3f}")
draw.show(fig, "Target: for the keypoint (0.3, 3.1) px in an image of 7 rows and 12 columns, 2 "
               "bins per pixel: 24 bins of x with a bump about bin 0.6, cut by the left edge and "
               "higher for it, and 14 bins of y with a whole bump about bin 6.2.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# x and y go the same way: write one target from a coordinate and a size, and call it twice. Which entry of `hw` belongs to x?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Which bin is x px? Measure the distance in bins, like `sigma`. Then make the values of one target sum to 1.
#
# </details>

# %%
from posebook.checks.representations.simcc_targets import simcc_targets

# %%
check("simcc_targets", simcc_targets)

# %% [markdown]
# **Predict, then run.** A keypoint moves to the right by a quarter of a bin. Does the highest bin of its target change? Does the target's mean? What follows for
# a decoder that takes the highest bin?
