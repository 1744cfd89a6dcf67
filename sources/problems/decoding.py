# %% [markdown]
# # Problems: decoding
#
# Write each function in the cell that says `raise NotImplementedError`, then run the check cell below it. The check shows, case by case, what it
# tried and what came of it, and where it recognizes a mistake, it names it. You may call anything in torch, numpy and posebook, except the functions
# that answer a problem of this set or do the heart of one. These, and the helpers that they are made of, are switched off while you are checked:
# SWITCHED_OFF.
#
# These hold for all problems of this set:
#
# - tensors share one dtype, float32 or float64, and the result keeps it;
# - `...` stands for any number of leading axes, none included;
# - `stride`, `offset` and `tau` are plain numbers;
# - a result is a tensor, a tuple or a plain Python number, as the problem says; not a list, and not a numpy array;
# - inputs are left unchanged.
#
# When your work is graded, other numbers are drawn. A case whose right result is always the same earns points only where another case passes as well;
# a case that every user of your function would meet counts more.
#
# The text behind them: [chapter 2](../../chapters/02_decoding.ipynb).

# %%
import math

import torch

from posebook import decode, draw, expectation, warp
from posebook.checks import check
from posebook.grid import Grid

# %% [markdown]
# ## 1. `decode_argmax`
#
# *2 points, easy, about 10 minutes.*
#
# `decode_argmax(heatmap (..., H, W), stride, offset=0.0) -> (..., 2)`
#
# The image position, (x, y) in px, of the highest cell of each map. Cell $u$ lies at $\mathrm{offset} + \mathrm{stride} \cdot u$ px, with x along the
# last axis. The result has the dtype of `heatmap`. Of several equally high cells, take the one with the lowest flat index (first row first, then
# first column).
#
# Every decoder that refines a peak starts here, and swapped axes or a scaled offset spoil every keypoint that follows.
#
# `posebook.decode.argmax` is the answer but for the unit: it returns cells, yours returns pixels.

# %%
picture = torch.zeros(6, 9)
picture[2, 5], picture[2, 4], picture[3, 5] = 1.0, 0.6, 0.4
draw.show(draw.heatmaps({"stride 4: (x, y) = (20, 8) px": picture}, decode.argmax(picture)[None]),
          "Target: a map of 6 rows and 9 columns with a circle on its highest cell, row 2 and "
          "column 5, which is (20, 8) px at stride 4.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# torch looks for the highest value along one axis, or in the whole tensor. How do you make one axis of the last two, and of no others?
#
# </details>
# <details><summary>Hint 2</summary>
#
# In which row of a map with W = 9 does flat index 17 lie, and in which column? Which of the two numbers is x? Go from cells to pixels last.
#
# </details>

# %%
from posebook.checks.decoding.decode_argmax import decode_argmax

# %%
check("decode_argmax", decode_argmax)

# %% [markdown]
# **Predict, then run.** A map with stride 4 and offset 1.5 has its peak in the top-left cell. What does your function return?
# And if you had multiplied the offset by the stride?

# %% [markdown]
# ## 2. `soft_argmax`
#
# *3 points, medium, about 15 minutes.*
#
# `soft_argmax(logits (..., H, W), stride, tau=1.0, offset=0.0) -> (..., 2)`
#
# The image position, (x, y) in px, of the mean cell under a softmax of each map: with $p = \mathrm{softmax}(z / \tau)$ over all H x W cells, the mean
# cell is $\hat u = \sum_u u\,p(u)$, and it lies at $\mathrm{offset} + \mathrm{stride} \cdot \hat u$ px.
#
# Adding a constant to all logits of a map must change nothing, even a constant as large as 10000 (tested in float64), and also when one map of a
# batch has it and another has not. Gradients reach the logits. H = 1 is allowed.
#
# It makes a network trainable on coordinates, and it answers between the cells.
#
# `posebook.expectation.soft_argmax` is the answer but for the unit: it returns cells and knows neither stride nor offset.

# %%
rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
logits = -((columns - 5.3) ** 2 + (rows - 2.4) ** 2) / 2
mean = expectation.soft_argmax(logits)
title = f"stride 4: (x, y) = ({4 * mean[0]:.1f}, {4 * mean[1]:.1f}) px"
draw.show(draw.heatmaps({title: logits.flatten().softmax(0).view(6, 9)}, mean[None]),
          f"Target: softmax of a Gaussian's logits with a circle at its mean; {title}.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A softmax along each axis in turn is not the softmax over the map: its H x W probabilities sum to 1 together. What shape must the logits have for
# `torch.softmax`, which takes one axis?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Sum p over the rows: what is left is a distribution over the columns. What is its mean? No exponential of your own is needed, so no overflow
# either. What `tau` does is seen in the explorer *decoding* at tau 0.01 (section 2.8): move it up.
#
# </details>

# %%
from posebook.checks.decoding.soft_argmax import soft_argmax

# %%
check("soft_argmax", soft_argmax)

# %% [markdown]
# **Predict, then run.** A map has logit 0 everywhere but in one corner, where it has logit 5. Stride 4, 8 x 8 cells. Is the answer of your
# function nearer to the corner or to the center? What about 64 x 64 cells?

# %% [markdown]
# ## 3. `argmax_error_stats`
#
# *2 points, easy, about 10 minutes.*
#
# `argmax_error_stats(stride, convention="round") -> (bias, variance, mse)`
#
# The error, estimate minus truth, that comes from snapping a coordinate to cells: the error along one axis. Return its mean in px, its variance and
# its mean square, both in px squared, as exact plain Python numbers. The keypoint is uniform over a cell, away from the border, without noise or
# offset. `convention` is `"round"`, which takes the nearest cell, or `"floor"`, which takes the one below.
#
# Three lines of algebra say what no benchmark table does: how much of an error is the decoder's.
#
# `posebook.theory.argmax_error` holds the answer, among five figures in an object.

# %%
u = torch.linspace(-0.5, 0.5, 101)[:-1] + 0.005
fig, (ax,) = draw.axes(height=2.2)
draw.curves(ax, u, {"round": -4 * u, "floor": -4 * (u + 0.5)},
            xlabel="place in the cell", ylabel="error (px)")
draw.show(fig, "Target: the errors to average at stride 4, over the place in the cell: rounding "
               "falls from "
               "+2 to -2 px, floor from 0 to -4 px.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# As the keypoint moves through its cell, from where to where does the error run? Every value in between is equally likely. Move x in the explorer
# *decoding* at stride 16 (section 2.8), and watch argmax.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The variance of a uniform variable depends on the length of its range alone. The mean square also depends on where the range lies.
#
# </details>

# %%
from posebook.checks.decoding.argmax_error_stats import argmax_error_stats

# %%
check("argmax_error_stats", argmax_error_stats)

# %% [markdown]
# **Predict, then run.** How many times the mean square error of rounding is that of floor? Does it depend on the stride?

# %% [markdown]
# ## 4. `border_bias`
#
# *2 points, medium, about 15 minutes.*
#
# `border_bias(distance, sigma) -> cells`
#
# Near a border soft-argmax leans inward. How far? The softmax is a Gaussian of standard deviation `sigma` cells whose center lies `distance` >= 0
# cells inside the map's edge: that is the edge of the first cell, half a cell outside its center. All other edges are far away. Return a plain
# positive Python number in cells, in the continuous approximation: the mean of a bell that is cut off at the edge, minus its center.
#
# People stand at the edges of pictures. There, soft-argmax loses to plain argmax.
#
# `posebook.theory.border_bias` is the answer itself; it takes tensors, yours takes plain numbers.

# %%
x = torch.linspace(-3, 6, 91)
bell = torch.exp(-((x - 1) ** 2) / 4.5)
fig, (ax,) = draw.axes(height=2.2)
seen = torch.where(x < 0, torch.nan, bell)
draw.curves(ax, x, {"the whole bell": bell, "what the map sees": seen},
            xlabel="cells from the edge", ylabel="p, not normalized")
draw.show(fig, "Target: a bell with its center 1 cell inside the edge at 0; the part left of "
               "the edge is missing, "
               "so the mean of the rest lies to the right of the center.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Measure in units of sigma first. What the map sees of the bell is a truncated normal distribution. Its mean has a closed form, made of the normal
# density and the normal distribution function at the cut. The explorer *target* at x 0 (section 1.4) shows a bell that is cut off, and its mean.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `math.erf` is not yet the distribution function, which runs from 0 to 1 and has a root of 2 in its argument. In which unit is your result?
#
# </details>

# %%
from posebook.checks.decoding.border_bias import border_bias

# %%
check("border_bias", border_bias)

# %% [markdown]
# **Predict, then run.** On the very edge, is the bias larger for sigma = 1 or for sigma = 2? By which factor?

# %% [markdown]
# ## 5. `entropy_cov`
#
# *3 points, medium, about 20 minutes.*
#
# `entropy_cov(logits (..., H, W), tau=1.0) -> (entropy (...), covariance (..., 2, 2))`
#
# How wide the softmax $p$ of each map is, with $p = \mathrm{softmax}(z / \tau)$ over all H x W cells: its entropy $-\sum p \ln p$ in nats, and the
# covariance of a cell drawn from it, in cells squared, in the order x, y. Both stay finite where probabilities underflow to 0, and exact where they
# are small (tested in float64).
#
# Uncertainty heads report one or the other; section 2.13 shows what neither of them is.
#
# `posebook.expectation.spread` is the answer itself; a cross-entropy of posebook is half of it.

# %%
rows, columns = torch.meshgrid(torch.arange(9.0), torch.arange(13.0), indexing="ij")
tilted = -(0.15 * (columns - 6) ** 2 + 0.5 * (rows - 4) ** 2 - 0.3 * (columns - 6) * (rows - 4))
entropy, covariance = expectation.spread(tilted)
draw.show(draw.heatmaps({f"entropy {entropy:.2f} nats": tilted.flatten().softmax(0).view(9, 13)}),
          f"Target: a tilted bell with entropy {entropy:.2f} nats, variances "
          f"{covariance[0, 0]:.2f} in x and "
          f"{covariance[1, 1]:.2f} in y, and covariance {covariance[0, 1]:.2f} cells squared.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# In floating point 0 times the logarithm of 0 is NaN, and a small number added to p makes another entropy. Which function of torch gives ln p
# without taking the logarithm of a probability? The explorer *temperature* at tau 0.002 (section 2.12) has such a p: what is its entropy?
#
# </details>
# <details><summary>Hint 2</summary>
#
# A covariance is a weighted mean of products of two deviations. What are the weights, and from what do the cells deviate? A matrix product over the
# cells gives all four entries at once.
#
# </details>

# %%
from posebook.checks.decoding.entropy_cov import entropy_cov

# %%
check("entropy_cov", entropy_cov)

# %% [markdown]
# **Predict, then run.** What is the entropy of a softmax with two equal cells and nothing else? Does it depend on how far apart they are? And
# the covariance?

# %% [markdown]
# ## 6. `asymmetry_bias`
#
# *2 points, medium, about 15 minutes.*
#
# `asymmetry_bias(mu, sigma, tau=1.0) -> float`
#
# Mean minus mode in px of $p(x) \propto e^{(-x^2 / 2 \sigma^2 + \mu x^3 / 6) / \tau}$: a Gaussian of standard deviation `sigma` px whose logits have
# a third derivative `mu` at the mode, in px to the power -3. Return a plain Python number that is right to within 2 %, for $|\mu \sigma^3 \sqrt\tau|
# \le 0.02$.
#
# Peaks of real networks are lopsided. Soft-argmax leans to the longer side, argmax does not.
#
# `posebook.theory.asymmetry_bias` is the answer itself.

# %%
x = torch.linspace(-5, 5, 101)
fig, (ax,) = draw.axes(height=2.2)
bells = {f"mu = {mu}": torch.exp(-(x**2) / 4.5 + mu * x**3 / 6) for mu in (0.0, 0.1)}
draw.curves(ax, x, bells, xlabel="x (px)", ylabel="p, not normalized")
draw.show(fig, "Target: a symmetric bell, and one with a fatter right side: both have their "
               "highest point at 0, "
               "but the mean of the second lies to the right.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# For small mu, replace the exponential of the cubic term by the first two terms of its series. What remains is a Gaussian times a polynomial. `tau`
# widens that Gaussian: what is its variance? The explorer *asymmetry* at tau 2 (section 2.14) shows the mean leave the mode.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The mean is the integral of x times p. Which moments of the Gaussian does that take, and which of them vanish?
#
# </details>

# %%
from posebook.checks.decoding.asymmetry_bias import asymmetry_bias

# %%
check("asymmetry_bias", asymmetry_bias)

# %% [markdown]
# **Predict, then run.** The peak becomes twice as wide and keeps its `mu`. How many times larger is the bias?

# %% [markdown]
# ## 7. `anchor_decode`
#
# *2 points, easy, about 15 minutes.*
#
# `anchor_decode(scores (B, A), anchors (A, 2), offsets (B, A, 2), mode="hard") -> (B, 2)`
#
# Each anchor votes for a place: its own place plus its offset. `"hard"` returns the vote of the anchor with the highest score; each row of the batch
# has its own (no ties are drawn). `"soft"` returns the mean of all votes of a row, each weighted by the softmax of its scores over the A anchors.
# Gradients reach the offsets, and with `"soft"` also the scores.
#
# Anchor-based detectors and offset heads on heatmaps are this function.
#
# `posebook.decode.decode_anchors` is the answer itself.

# %%
places = torch.cartesian_prod(torch.arange(0.0, 24, 8), torch.arange(0.0, 16, 8))  # (6, 2) px
votes = torch.tensor([11.0, 6.0]).expand(6, 2)
fig, (ax,) = draw.axes(height=2.2)
for (x, y), (dx, dy) in zip(places.tolist(), (votes - places).tolist(), strict=True):
    ax.annotate("", (x + dx, y + dy), (x, y), arrowprops={"arrowstyle": "->"})
ax.set(xlim=(-2, 18), ylim=(10, -2), xlabel="x (px)", ylabel="y (px)", aspect="equal")
draw.show(fig, "Target: six anchors on a grid of 8 px, each with an arrow, its offset, to one "
               "and the same point "
               "(11, 6): with exact offsets every vote is right.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# All votes together are one tensor. Which shape has it, and does broadcasting give it to you?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Each row of the batch picks another anchor, so one index is not enough: you may index with two tensors of the same length, or use `gather`.
#
# </details>

# %%
from posebook.checks.decoding.anchor_decode import anchor_decode

# %%
check("anchor_decode", anchor_decode)

# %% [markdown]
# **Predict, then run.** All offsets are exact. What happens to the answer of `"soft"` when you draw new scores at random?

# %% [markdown]
# ## 8. `fuse`
#
# *2 points, easy, about 10 minutes.*
#
# `fuse(estimates (M, ..., D), variances (M, ...)) -> (fused (..., D), variance (...))`
#
# The minimum-variance mean of M independent unbiased heads, and its variance. Each head has one variance for each keypoint, which its D axes share;
# for each keypoint the weights of the heads sum to 1. All variances are positive, and may be very small.
#
# Two heads, two cameras, a heatmap and a regression: whenever two estimates of one point meet, this is the rule, and its assumptions matter.
#
# `posebook.fusion.fuse_inverse_variance` is the answer itself; its kin, which take covariances, contain it.

# %%
x = torch.linspace(-4, 14, 181)
bells = {f"variance {v:g}": torch.exp(-((x - m) ** 2) / (2 * v)) / v**0.5
         for m, v in ((0.0, 1.0), (10.0, 4.0), (2.0, 0.8))}
fig, (ax,) = draw.axes(height=2.2)
draw.curves(ax, x, bells, xlabel="x (px)", ylabel="density, not normalized")
draw.show(fig, "Target: heads at 0 with variance 1 and at 10 with variance 4 fuse to 2 with "
               "variance 0.8: nearer to "
               "the surer head, and narrower than both.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write down the variance of w a + (1 - w) b for two independent heads. Which w makes it least? The head that is surer should count more. The bowl
# of the explorer *fusion* (section 2.17) is this variance, drawn over w.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A weighted sum has the variance: sum of squared weights times variances. With the best weights it becomes short. Mind that `estimates` has an axis
# more than `variances`.
#
# </details>

# %%
from posebook.checks.decoding.fuse import fuse

# %%
check("fuse", fuse)

# %% [markdown]
# **Predict, then run.** A third head with variance 1000 joins. Can it make the result worse, if it tells the truth about its variance?

# %% [markdown]
# ## 9. `refine_dark`
#
# *3 points, hard, about 25 minutes.*
#
# `refine_dark(heatmap (..., H, W)) -> (..., 2)`
#
# The peak (x, y) in cells: the highest cell, and of equal ones that with the lowest flat index, plus one Newton step on the logarithm $L$ of the
# heatmap, without any blur. The derivatives are central differences: first differences are halved, second differences have unit spacing, and the
# mixed one is divided by 4. The step takes the full 2 x 2 Hessian; then each axis of the step is cut to [-1, 1] by itself.
#
# The cell stays as it is, unrefined, where
#
# - the peak lies in the first or last row or column; anywhere else it is refined, also right beside these;
# - a value of its 3 x 3 window is 0 or negative, however many are positive; other values of the map do not matter, and a positive value counts as it
#   is, however small;
# - the Hessian is not negative definite (determinant <= 0; no near-singular cases are drawn).
#
# `posebook.decode.refine_dark` is the answer itself.

# %%
rows, columns = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
bump = torch.exp(-((columns - 4.3) ** 2 + (rows - 2.6) ** 2) / 3)
refined = decode.refine_dark(bump)
draw.show(draw.heatmaps({"argmax (4, 3), refined (4.3, 2.6)": bump}, refined[None]),
          "Target: a Gaussian bump with a circle at its refined peak, (4.3, 2.6), between the "
          "cells; the argmax is (4, 3).")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write it for one map with Python indices first, then loop over the maps of `heatmap.reshape(-1, h, w)`. Test what could go wrong before you take a
# logarithm. The peak on the border, for one, is the explorer *decoding* at x 2 (section 2.8).
#
# </details>
# <details><summary>Hint 2</summary>
#
# In one dimension the step is minus the first derivative over the second. In two it solves a linear system with the Hessian, whose determinant you
# have to look at anyway.
#
# </details>

# %%
from posebook.checks.decoding.refine_dark import refine_dark

# %%
check("refine_dark", refine_dark)

# %% [markdown]
# **Predict, then run.** On a perfect Gaussian, does the answer change when you square the heatmap? When you multiply it by 3?

# %% [markdown]
# ## 10. `flip_back`
#
# *3 points, medium, about 15 minutes.*
#
# `flip_back(heatmaps (..., K, H, W), pairs, stride) -> (..., K, H, W)`
#
# The network has seen the mirrored image; undo that in its heatmaps, for targets at $u = x / \mathrm{stride}$. Mirror the last axis; swap the
# channels of each (left, right) pair; then shift the mirrored maps to the right by $f = (\mathrm{stride} - 1) / \mathrm{stride}$ cells:
#
# $$\mathrm{out}[i] = (1 - f)\,\mathrm{in}[i] + f\,\mathrm{in}[i - 1], \qquad \mathrm{in}[-1] := \mathrm{in}[0]$$
#
# `pairs` is a tuple of pairs of channel numbers. They are disjoint, there may be any number of them or none, and other channels stay. `stride` >= 1.
# Forgetting one of the three steps is the most common bug of the flip test.
#
# `posebook.warp.flip_heatmap` is the answer itself; it takes any grid, and a skeleton instead of pairs. `warp_heatmap` and `warp_image` do all but the
# swap.

# %%
row = torch.exp(-((torch.arange(12.0) - 3) ** 2) / 2)[None]  # of an image 48 px wide
shifted = warp.flip_heatmap(row, 48, Grid(stride=4))
fig, (ax,) = draw.axes(height=2.2)
draw.curves(ax, torch.arange(12), {"mirrored": row[0].flip(0), "and shifted": shifted[0]},
            xlabel="cell", ylabel="value")
draw.show(fig, "Target: at stride 4 a mirrored peak at cell 8 moves three quarters of a cell to "
               "the right.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# When you swap two channels in place, the second assignment reads what the first has overwritten. Put their numbers in the new order instead: a list
# of numbers can be an index.
#
# </details>
# <details><summary>Hint 2</summary>
#
# All in[i - 1] together are the mirrored map moved by one column. Which column is lost, and which one comes in on the other side? The explorer
# *flip* at shift "one cell" (section 2.16) shows why a whole column is too far.
#
# </details>

# %%
from posebook.checks.decoding.flip_back import flip_back

# %%
check("flip_back", flip_back)

# %% [markdown]
# **Predict, then run.** At stride 1, how large is the shift? And at stride 32?
