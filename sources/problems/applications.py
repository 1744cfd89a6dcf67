# %% [markdown]
# # Problems: applications
#
# Write each function in the cell that says `raise NotImplementedError`, then run the check cell below it. The check shows, case by case, what it
# tried and what came of it, and where it recognizes a mistake, it names it. You may call anything in torch, numpy and posebook, except the functions
# that answer a problem of this set or do the heart of one. These, and the helpers that they are made of, are switched off while you are checked:
# SWITCHED_OFF.
#
# These hold for all problems of this set:
#
# - points are (x, y), in this order, x to the right and y down;
# - tensors share one floating dtype, float32 or float64, and the result keeps it; masks are boolean, and ids are int64;
# - `root`, `draws`, `seed`, `rate`, `min_cutoff` and `beta` are plain numbers, and `pair` is a tuple of two of them;
# - a result is a tensor, a tuple or a plain Python number, as the problem says; not a list, and not a numpy array;
# - results are right to 1e-5 of their size, unless the problem names another tolerance;
# - no NaN comes in or goes out, unless the problem says so;
# - no value lies within round-off of a threshold, of a rank or of a tie, unless it is equal to it: then both are binary fractions such as 0.25, which
#   every dtype holds exactly;
# - inputs are left unchanged.
#
# When your work is graded, other numbers are drawn. A case whose right result is always the same earns points only where another case passes as well;
# a case that every user of your function would meet counts more.
#
# Each of them is a step of an application: where a hand is, which way a marker lies, what somebody does, who is judged worse.
# [Chapter 5](../../chapters/05_applications.ipynb) derives them.

# %%
import math

import torch

from posebook import draw, filters
from posebook.checks import check

# %% [markdown]
# ## 1. `triangulate`
#
# *2 points, medium, about 20 minutes.*
#
# `triangulate(points (V, 2), cameras (V, 3, 4)) -> (3,)`
#
# Where in the room is what V cameras have seen? A camera is a matrix P of three rows, P1, P2 and P3. With Z = (X, 1), a point X of the room and a 1
# after it, the camera sees X at x = (P1 . Z) / (P3 . Z) and y = (P2 . Z) / (P3 . Z). Multiplied by P3 . Z, both are linear in X. What camera
# `cameras[v]` has seen, `points[v]` = (x, y), is noisy, and then something is left of
#
# $$x\,(P_3 \cdot Z) - P_1 \cdot Z \quad\text{and}\quad y\,(P_3 \cdot Z) - P_2 \cdot Z.$$
#
# Return the X that makes the sum of the squares of these 2 V residuals smallest, with each camera as it is given and each residual as it stands.
#
# Two cameras or more, and no two rays are parallel. All is float64. `points` are in px, or in whatever unit the cameras have; X is in the cameras' unit
# of length, and right to 1e-6 of |X|.
#
# An arm reaches for the X that comes out. It costs one small linear system, and needs no first guess. The price: a residual is not an error in px, but
# P3 . Z times as much, so that a far camera counts more than a near one.

# %%
views = {(-1.6, 0.2): (0.9, 1.0), (0.2, -0.4): (-0.16, 1.0), (1.5, 0.3): (-0.93, 1.0)}
fig, (ax,) = draw.axes(height=3.2)
for k, ((x, z), (dx, dz)) in enumerate(views.items()):
    ax.plot([x, x + 2.6 * dx], [z, z + 2.6 * dz], color=draw.SKY, label=None if k else "rays")
    ax.plot(x, z, "s", color="black", label=None if k else "cameras")
ax.plot(-0.078, 1.936, "X", color=draw.RED, markersize=10, label="X")
ax.set(xlim=(-3.2, 3.2), ylim=(-0.7, 2.8), xlabel="x (m)", ylabel="z (m)", aspect="equal")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: a room from above. The rays of three cameras, through what each has seen, "
               "nearly meet; X, at x = -0.08 m and z = 1.94 m, is between them and on none.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write one residual out: which numbers stand before the three elements of X, and which number stands alone? How many rows has the system, and what is
# on its right side?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Books often look for the Z of length 1 that makes the residuals smallest, and divide by its last element. Try both on noisy points: is that the same
# sum, and the same minimum?
#
# </details>

# %%
from posebook.checks.applications.triangulate import triangulate

# %%
check("triangulate", triangulate)

# %% [markdown]
# **Predict, then run.** A camera's matrix is multiplied by 10. It sees the same as before. Does X move if the points are exact? If they are noisy, which
# ray does it come nearer to?

# %% [markdown]
# ## 2. `homography`
#
# *3 points, medium, about 25 minutes.*
#
# `homography(src (N, 2), dst (N, 2)) -> (3, 3)`
#
# A flat marker is seen by a camera. Return the matrix H that takes each point (x, y) of `src` to its point (u, v) of `dst`:
#
# $$(a, b, c) = H \, (x, y, 1), \qquad u = a / c, \qquad v = b / c.$$
#
# H and 2 H do the same: return the one with 1 as its last element, h33, which is never near 0 here. The points are exact. N is 4 or more; no three of the
# first four lie on a line, but others may. All points are on one side of the horizon: c has the same sign for each.
#
# All is float64. `dst` is in px, `src` in px or meters, and coordinates go up to some thousand px. H is judged by where it takes the points of `src`, and
# those half way between two of them: within 1e-3 px.
#
# Four corners of a marker are enough to draw on it, and to find the camera. Each point gives two equations that are linear in the elements of H.

# %%
H = torch.tensor([[150.0, 40.0, 60.0], [-30.0, 110.0, 50.0], [0.3, 0.4, 1.0]])
grid = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)) / 3
a, b, c = (torch.cat((grid, torch.ones(16, 1)), dim=1) @ H.T).unbind(1)
fig, axes = draw.axes(2, height=2.8)
for ax, (x, y) in zip(axes, (grid.T, torch.stack((a / c, b / c))), strict=True):
    for k in range(4):
        ax.plot(x[4 * k : 4 * k + 4], y[4 * k : 4 * k + 4], color=draw.SKY)
        ax.plot(x[k::4], y[k::4], color=draw.SKY)
    ax.plot(x[[0, 3, 12, 15]], y[[0, 3, 12, 15]], "o", color=draw.RED)
    ax.invert_yaxis()
axes[0].set(xlabel="x", ylabel="y", aspect="equal")
axes[1].set(xlabel="u (px)", ylabel="v (px)", aspect="equal")
draw.show(fig, "Target: a square marker with a grid of lines, and how a camera sees it: lines stay "
               "straight, but no longer parallel, and far cells are smaller than near ones. Its "
               "four corners, marked, are `src` and `dst`.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Multiply u = a / c by c, and write it out in the elements of H. Where does the 1 of h33 go?
#
# </details>
# <details><summary>Hint 2</summary>
#
# If you look for a vector that all rows take to 0 instead: for N = 4, how many singular vectors are there with a singular value, and how many in all? And
# what are the largest and the smallest number in a row of your matrix, when points are at some thousand px?
#
# </details>

# %%
from posebook.checks.applications.homography import homography

# %%
check("homography", homography)

# %% [markdown]
# **Predict, then run.** Move one of four points of `dst` by 2 px. How far from the points of `dst` does your H take those of `src`? And if it is one of
# twelve? What does a small distance say about H, then?

# %% [markdown]
# ## 3. `normalize_skeleton`
#
# *2 points, medium, about 20 minutes.*
#
# `normalize_skeleton(xy (T, K, 2), mask (T, K), root, pair) -> (T, K, 2)`
#
# T frames of one person, each of K keypoints, are brought to one place and one size. `mask` is True where a keypoint is known.
#
# - Each frame is moved so that keypoint `root` lies at 0, both in x and in y.
# - Then all frames are divided by one number: the mean over frames of the distance of the two keypoints of `pair`, which is above 0.
# - Where `mask` is False the result is NaN. `xy` holds NaN or any number there, up to 1e9; it means nothing.
# - A frame whose root is masked is NaN throughout: nobody knows where it lies.
# - A frame in which either of `pair` is masked does not count in the mean; a frame without root does. At least one frame counts.
#
# `xy` is in px, and the result in units of that mean distance. `root` and both of `pair` are numbers from 0 to K - 1; the two of `pair` differ, and
# `root` may be one of them. T is 1 or more. No gradients are asked for.
#
# Whoever tells what somebody does should not care where the person stands, nor how far away. The camera sets both; what is left is the pose. One number
# for all frames, rather than one for each, keeps what is part of the motion: that somebody bends down, and becomes short.
#
# `posebook.training.actions.normalized` does it for COCO's keypoints, where nothing is masked; its root is the middle of the hips.

# %%
turn = torch.linspace(0.9, -0.9, 6)  # an arm that swings, of somebody who walks by
shoulder = torch.stack((60 + 20.0 * torch.arange(6), torch.full((6,), 60.0)), -1)
hand = shoulder + 50 * torch.stack((turn.sin(), turn.cos()), -1)
fig, axes = draw.axes(2, height=2.6)
for ax, root, size in zip(axes, (0 * shoulder, shoulder), (1.0, 50.0), strict=True):
    for a, b in zip((shoulder - root) / size, (hand - root) / size, strict=True):
        ax.plot(*zip(a.tolist(), b.tolist(), strict=True), color=draw.SKY)
        ax.plot(*b.tolist(), "o", color=draw.RED)
    ax.set(aspect="equal", ylim=ax.get_ylim()[::-1])
axes[0].set(xlabel="x (px)", ylabel="y (px)")
axes[1].set(xlabel="x (arms)", ylabel="y (arms)")
draw.show(fig, "Target: on the left, an arm of 50 px in six frames, as its shoulder moves 100 px "
               "to the right. On the right the same frames with the shoulder at 0, divided by "
               "50 px: all arms begin in one point, are 1 long, and swing from right to left.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# What is NaN less a number? And the mean of numbers of which one is NaN? Which steps may see what is masked, and which must not?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two questions are asked of each frame: is its root known, and are both of its pair? Write four frames with all four answers, and say for each what
# becomes of it, and of the mean.
#
# </details>

# %%
from posebook.checks.applications.normalize_skeleton import normalize_skeleton

# %%
check("normalize_skeleton", normalize_skeleton)

# %% [markdown]
# **Predict, then run.** Somebody walks towards the camera and becomes twice as large. What does your result show of it? What would be left of it if each
# frame were divided by its own distance? And what does noise of 2 px in the root do to all other keypoints?

# %% [markdown]
# ## 4. `bootstrap_gap`
#
# *3 points, hard, about 30 minutes.*
#
# `bootstrap_gap(scores (n,), group (n,), person (n,), draws, seed) -> (gap, low, high)`
#
# Is a network worse for one group of people than for the others? `scores[i]`, any number, is of the person with the id `person[i]`, who is in the group
# where `group[i]` is True. The gap is the mean of the scores where `group` is True, minus the mean of the scores elsewhere.
#
# How far it may be off is seen by drawing again. In each of `draws` resamples, persons are drawn with replacement, each group's by itself, and of each
# group as many persons as it has. A person who was drawn brings all of her scores, and one drawn twice brings them all twice; the gap of the resample is
# again one of means over scores. `low` and `high` are the 2.5 and 97.5 percentiles of these gaps, linear between two of them, as `torch.quantile` and
# `numpy.percentile` have it if nothing else is said.
#
# The result is a tuple of three plain Python numbers. It is by chance, and is checked by what chance may do, not digit by digit. But the same `seed`
# gives the same result, another one draws others, and torch's global generator is left as it was: what draws from it later must not notice.
#
# `person` is int64 with any ids, also below 0, in any order; `group` is boolean. Nobody is in both groups, and each has two persons or more. n is up to
# 200, `draws` from 1 to 2000, and `seed` a whole number from 0 on, below $2^{31}$. A call has some seconds: two thousand loops are no problem.
#
# Seventeen keypoints of one person are not seventeen persons. Where a person's scores rise and fall together, whoever draws them one by one gets an
# interval that is too narrow, and finds gaps where there are none.
#
# `posebook.fairness.bootstrap_gap` is the answer, as tensors.

# %%
inside = torch.tensor([0.52, 0.55, 0.6, 0.66, 0.7, 0.71, 0.83, 0.9])  # a mean score each
outside = torch.tensor([0.6, 0.64, 0.7, 0.74, 0.76, 0.77, 0.8, 0.81, 0.85, 0.9, 0.93, 0.94])
rng = torch.Generator().manual_seed(0)
means = [x[torch.randint(len(x), (2000, len(x)), generator=rng)].mean(1) for x in (inside, outside)]
fig, (ax,) = draw.axes(height=2.4)
ax.hist(means[0] - means[1], bins=40, color=draw.SKY)
ax.axvline(inside.mean() - outside.mean(), color=draw.RED, label="gap")
ax.axvspan(-0.20, 0.00, color=draw.RED, alpha=0.15, label="interval")
ax.set(xlabel="gap of a resample", ylabel="of 2000 draws")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: the gaps of 2000 resamples lie like a bell about the gap, -0.10, from "
               "about -0.25 to 0.08. The interval, in which 95 % of them lie, reaches from about "
               "-0.20 to about 0.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Which two numbers do you need of a person to know what she does to a mean over scores, however often she is drawn? The explorer *gap* (section
# 5.15) shows how much narrower an interval of scores is than one of persons, and how often it then misses.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Two groups of four persons each, and one seed: write down which persons your function draws in the first resample, in each group. What have both lists
# to do with each other?
#
# </details>

# %%
from posebook.checks.applications.bootstrap_gap import bootstrap_gap

# %%
check("bootstrap_gap", bootstrap_gap)

# %% [markdown]
# **Predict, then run.** Write each score down four times, with the same person beside it. What becomes of your interval? And of one whose scores are drawn
# one by one? Which of both has learned something from the copies?

# %% [markdown]
# ## 5. `one_euro`
#
# *2 points, medium, about 20 minutes.*
#
# `one_euro(x (T,), rate, min_cutoff, beta) -> (T,)`
#
# A coordinate that trembles from frame to frame is smoothed: much while it rests, little while it moves fast. `x` holds T values, and the result y as
# many values as `x`. It begins with $y_0 = x_0$ and $g_0 = 0$, and goes on, from t = 1, with
#
# $$d = \mathrm{rate} \, (x_t - x_{t-1}), \qquad g_t = a(1) \, d + (1 - a(1)) \, g_{t-1},$$
#
# $$y_t = a(c) \, x_t + (1 - a(c)) \, y_{t-1}, \qquad c = \mathrm{min\_cutoff} + \beta \, |g_t|, \qquad a(c) = \frac{1}{1 + \mathrm{rate} / (2 \pi c)}.$$
#
# `rate`, above 0, is how many values there are in a second, in Hz. `min_cutoff`, above 0, is a frequency in Hz as well, and so are the 1 of a(1) and c:
# what changes more slowly than that passes. `beta`, 0 or more, says how much of the speed |g| becomes cutoff. With `x` in px, d and g are in px/s, and
# `beta` is in Hz per px/s. T is 1 or more, up to 1000. No gradients are asked for.
#
# Every filter pays for calm with delay. This one pays while nothing moves, when nobody notices (Casiez et al. 2012).
#
# `posebook.filters.one_euro` is the answer, for tensors of any shape.

# %%
rng = torch.Generator().manual_seed(0)
path = torch.cat((torch.zeros(30), torch.linspace(0, 40, 15), torch.full((35,), 40.0)))  # px
x, time = path + torch.randn(80, generator=rng), torch.arange(80) / 30
fig, (ax,) = draw.axes(height=2.6)
ax.plot(time, x, ".", color=draw.SKY, label="x")
for beta, color in ((0.0, draw.ORANGE), (0.05, draw.RED)):
    y = filters.one_euro(x, 30.0, min_cutoff=1.0, beta=beta)
    ax.plot(time, y, color=color, label=f"y, beta = {beta:g}")
ax.set(xlabel="time (s)", ylabel="px")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: x at 30 Hz, with a noise of 1 px: 1 s about 0, half a second in which it "
               "rises to 40 px, and then about 40. With a cutoff of 1 Hz and beta = 0, y trembles "
               "less, and falls some 12 px behind as x rises; with beta = 0.05 some 3 px.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Which two numbers does the filter have to remember from one value to the next? And which of the values before does d take?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Take beta = 0 and a rate of 2 pi times the cutoff, so that a is one half, and go through 0, 8, 8, 8 by hand. What is y if all of `x` is one number?
#
# </details>

# %%
from posebook.checks.applications.one_euro import one_euro

# %%
check("one_euro", one_euro)

# %% [markdown]
# **Predict, then run.** With `beta` at 0, how late is y on a path that moves steadily? Try it for a `min_cutoff` of 1 Hz and of 2 Hz. And what does a
# large `beta` do to noise at rest, when the rate is high?
