# %% [markdown]
# # Problems: robustness
#
# Write each function in the cell that says `raise NotImplementedError`, then run the check cell below it. The check shows, case by case, what it
# tried and what came of it, and where it recognizes a mistake, it names it. You may call anything in torch, numpy and posebook, except the functions
# that answer a problem of this set or do the heart of one. These, and the helpers that they are made of, are switched off while you are checked:
# SWITCHED_OFF.
#
# These hold for all problems of this set:
#
# - points are (x, y), in this order, x to the right and y down;
# - tensors share one floating dtype, float32 or float64, and the result keeps it;
# - `...` stands for any number of leading axes, none included;
# - `k`, `height`, `width`, `p`, `area`, `eta` and `alpha` are plain numbers;
# - a result is a tensor, a tuple or a plain Python number, as the problem says; not a list, and not a numpy array;
# - results are right to 1e-5 of their size, unless the problem names another tolerance;
# - no NaN comes in or goes out, unless the problem says so;
# - inputs are left unchanged.
#
# When your work is graded, other numbers are drawn. A case whose right result is always the same earns points only where another case passes as well;
# a case that every user of your function would meet counts more.
#
# They ask what can be promised of a network, and what cannot: when the picture is turned, when the network is not sure, when labels are missing.
# [Chapter 4](../../chapters/04_robustness.ipynb) derives them.

# %%
import math

import torch

from posebook import draw
from posebook.checks import check

# %% [markdown]
# ## 1. `rot90_points`
#
# *2 points, easy, about 15 minutes.*
#
# `rot90_points(points (..., 2), k, height, width) -> (..., 2)`
#
# Where the points of an image lie after it has been turned, as `torch.rot90(image, k, (-2, -1))` turns it. `k` is any whole number, also below 0;
# `height` and `width` are those of the image before it is turned.
#
# `points` are in px of the image before, and the result in px of the image after it; whole numbers are the centers of pixels, (0, 0) that of the first.
# A point may lie between pixels, or outside the image, and is turned with it all the same. No gradients are asked for.
#
# Quarter turns are the fairest test of a network: each pixel moves to a pixel, and nothing is interpolated. Points that are turned by one pixel too
# little make a fault of yours look like one of the network.
#
# `posebook.warp.warp_points` with `Affine.rotation` does it for any angle. `posebook.warp.flip_points` is half of it: a quarter turn is a mirror
# image with its axes exchanged.

# %%
image = torch.arange(24.0).view(4, 6)
fig = draw.heatmaps({"4 rows, 6 columns": image, "turned once": torch.rot90(image, 1, (-2, -1))},
                    torch.tensor([[4.5, 1.0], [1.0, 0.5]]))
draw.show(fig, "Target: an image of 4 rows and 6 columns, brighter from row to row, with a "
               "point at (4.5, 1). Turned once it has 6 rows and 4 columns, is brighter from "
               "left to right, and the point is at (1, 0.5).")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Turn an image with a single bright pixel, and look where it goes. Which of the old coordinates is the new x? From which edge is the new y counted?
#
# </details>
# <details><summary>Hint 2</summary>
#
# One quarter turn is enough, if you can take it again. What are height and width for the second one? And which number of turns does the same as
# `k = -1`?
#
# </details>

# %%
from posebook.checks.robustness.rot90_points import rot90_points

# %%
check("rot90_points", rot90_points)

# %% [markdown]
# **Predict, then run.** Somebody has written `width` for `width - 1`. Which of these tests notices? Four turns bring every point back; two points keep
# their distance; the pixel at the point keeps its value.

# %% [markdown]
# ## 2. `c4_average`
#
# *3 points, medium, about 20 minutes.*
#
# `c4_average(responses (4, ..., 2), height, width) -> (..., 2)`
#
# A detector was asked four times: about an image, turned by `torch.rot90(image, k, (-2, -1))`, for k = 0, 1, 2, 3 in this order. Each response is in
# the px of its own turned image; `height` and `width` are those of the unturned image. Bring each of them back to the unturned image, and average the
# four: the result is in px of the unturned image. Points may lie outside. No gradients are asked for.
#
# Whatever the detector is, its average turns exactly with the picture. Whether it is any better is another question: one right and three wrong answers
# make a wrong mean.
#
# `posebook.equivariance.c4_average` asks the detector itself. Your `rot90_points` may be called here.

# %%
found = torch.tensor([[50.0, 10.0], [10.0, 26.0], [6.0, 42.0], [22.0, 34.0]])
fig, (ax,) = draw.axes(height=2.8)
ax.plot([-0.5, 63.5, 63.5, -0.5, -0.5], [-0.5, -0.5, 47.5, 47.5, -0.5], color="#999999")
for k, (x, y) in enumerate(found.tolist()):
    ax.plot(x, y, "o", color=draw.SKY)
    ax.text(x + 1.5, y, f"k = {k}", va="center", fontsize=9)
ax.plot(*found.mean(0).tolist(), "X", color=draw.RED, markersize=10, label="their mean")
ax.set(xlim=(-3, 100), ylim=(49, -2), xlabel="x (px)", ylabel="y (px)", aspect="equal")
ax.legend(fontsize=8, loc="center right", frameon=False)
draw.show(fig, "Target: an image of 48 rows and 64 columns, and four responses that are brought "
               "back: that of the unturned image at (50, 10), those of the turned ones at (10, "
               "26), (6, 42) and (22, 34). A cross marks their mean, (22, 28), far from the "
               "first.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# How many more quarter turns bring a response home that has had k of them? Which height and width has the image that this turn begins with?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Try four responses that are right: turn a point on, four times, and your function must give it back, in an image that is not square.
#
# </details>

# %%
from posebook.checks.robustness.c4_average import c4_average

# %%
check("c4_average", c4_average)

# %% [markdown]
# **Predict, then run.** A detector is right to 2 px in each of the four, up to noise that is independent from one to the next. How far off is the mean?
# Another one is exactly right on the unturned image, and finds the same wrong place, 40 px away, on the other three. How far off is its mean?

# %% [markdown]
# ## 3. `dropout_moments`
#
# *2 points, medium, about 15 minutes.*
#
# `dropout_moments(w (..., n), x (n,), p) -> (mean (...), variance (...))`
#
# Dropout drops inputs of a layer at random, each on its own. Mean and variance of its output
#
# $$y = \sum_{i=1}^{n} w_i \, x_i \, z_i / (1 - p)$$
#
# are asked for, one for each output: `w` has a row of n weights for each, and all share the n inputs `x`. $z_i$ is 1 with probability $1 - p$, and
# else 0. `p` is the share that is dropped, $0 \le p < 1$; where nothing is dropped the variance is 0.
#
# The result is a tuple, (mean, variance), of two tensors. `n` is 1 or more, up to 500. A simulation is not exact enough, and there are more than
# $10^{150}$ ways to drop some of 500 inputs.
#
# Many call this variance the network's uncertainty. Look at what is in it, and at what is not.
#
# `posebook.theory.dropout_moments` is the answer, always in float64.

# %%
terms = torch.tensor([3.0, 2.0, 2.0, 1.0, 1.0, -1.0, 0.5, 0.5])  # w x, for 8 inputs
kept = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8)  # all 256 ways to drop some
y = 2 * kept @ terms
fig, (ax,) = draw.axes(height=2.4)
ax.hist(y, bins=torch.arange(-3.5, 22).tolist(), color=draw.SKY)
ax.axvline(y.mean(), color=draw.RED, label="mean")
ax.axvspan(y.mean() - y.std(correction=0), y.mean() + y.std(correction=0), color=draw.RED,
           alpha=0.15, label="one standard deviation")
ax.set(xlabel="output y", ylabel="of 256 masks")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
print(f"mean {y.mean():g}, variance {y.var(correction=0):g}")
draw.show(fig, "Target: the outputs of all 256 ways to drop some of 8 inputs, with p = 0.5, "
               "from -2 to 20. Their mean is 9, as without dropout, and their variance 20.5: a "
               "band of one standard deviation reaches from about 4.5 to 13.5.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# What are mean and variance of a single $z_i$? And of a number times $z_i$?
#
# </details>
# <details><summary>Hint 2</summary>
#
# For independent terms variances add. Which factor do all of them share? The explorer *dropout* at p 0.9 (section 4.7) shows how large it can be.
#
# </details>

# %%
from posebook.checks.robustness.dropout_moments import dropout_moments

# %%
check("dropout_moments", dropout_moments)

# %% [markdown]
# **Predict, then run.** Which p makes the variance largest? All targets of the training set move by 10 px, and the layer's bias learns it: what becomes
# of the variance? What does it know of the network's error?

# %% [markdown]
# ## 4. `expected_oks`
#
# *3 points, hard, about 25 minutes.*
#
# `expected_oks(area, k, covariance (..., 2, 2)) -> (...)`
#
# Which OKS does a network deserve that says how unsure it is? The mean of a keypoint's similarity
#
# $$\exp\left(-\frac{|e|^2}{2 \, \mathrm{area} \, k^2}\right)$$
#
# for an error $e$ in px that is Gaussian, of mean 0, with `covariance` in square px; one for each covariance. `area` in square px says how large the
# person is, and `k`, without a unit, how far apart annotators set this keypoint; both are positive.
#
# A covariance is symmetric, and no variance along any axis is negative, or above 10 area k^2. It may be singular: then the error lies on a line, or
# is 0. The result is right to 1e-4; a simulation would not be.
#
# OKS can be foretold from a variance, but only from one that is true. Where it cannot, the variance says something else than how far off the
# network is.
#
# `posebook.theory.expected_oks` is the answer, always in float64; of area and k it wants $k \sqrt{\mathrm{area}}$, and calls it kappa.

# %%
reach, covariance = 5.0, torch.tensor([[36.0, 20.0], [20.0, 25.0]])  # px, px^2
n = torch.arange(400) + 0.5
radius, turn = (-2 * torch.log(1 - n / 400)).sqrt(), 2.399963 * n
x, y = torch.linalg.cholesky(covariance) @ (radius * torch.stack((turn.cos(), turn.sin())))
fig, (ax,) = draw.axes(height=3.0)
ax.plot(x, y, ".", color=draw.SKY, markersize=3, label="errors")
angle = torch.linspace(0, 2 * math.pi, 100)
for level, color in ((0.75, draw.GREEN), (0.5, draw.ORANGE), (0.25, draw.RED)):
    r = reach * math.sqrt(-2 * math.log(level))
    ax.plot(r * angle.cos(), r * angle.sin(), color=color, label=f"similarity {level}")
ax.set(xlabel="x (px)", ylabel="y (px)", aspect="equal")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: 400 errors of a Gaussian cloud that lies aslant, with variances of 36 "
               "and 25 square px and a covariance of 20. Circles about its center mark "
               "similarities of 0.75, 0.5 and 0.25, for an area of 2500 square px and a k of "
               "0.1. The mean is 0.486.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Begin with one axis and a variance v. A Gaussian density times such a similarity is, but for a factor, another Gaussian: what is its variance, and
# what is its integral? The explorer *dropout* at size 24 (section 4.7) shows errors on a similarity that is narrow for them.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Along the axes of the ellipse the two errors are independent, so that the mean of the product is a product of means. Which number of a matrix is a
# product like that, whatever the axes?
#
# </details>

# %%
from posebook.checks.robustness.expected_oks import expected_oks

# %%
check("expected_oks", expected_oks)

# %% [markdown]
# **Predict, then run.** Two networks have the same mean squared error. With one of them errors go in all directions, with the other along one line.
# Which has the higher mean similarity? And which of both would you rather have?

# %% [markdown]
# ## 5. `masked_loss`
#
# *2 points, easy, about 10 minutes.*
#
# `masked_loss(pred (B, K, H, W), target (B, K, H, W), mask (B, K, H, W)) -> scalar`
#
# The loss of heatmaps of which not all is labeled. The sum over everything, images, keypoints and cells, of the mask times the squared difference of
# `pred` and `target`. The mask holds any number from 0 to 1 in each cell: 0.25 counts a quarter.
#
# - `target` may be NaN where the mask is 0, and then neither loss nor gradient is.
# - Gradients reach `pred`.
# - If everything is masked, the loss is 0, and so are all gradients.
#
# The result is a tensor without axes.
#
# What is not labeled is not absent. Without the mask a network is taught that there is nothing wherever nobody has looked.
#
# `posebook.losses.masked_heatmap_loss` is the answer, but that it takes the mean of each map.

# %%
difference = torch.tensor([[0.0, 1.0, 2.0], [1.0, 3.0, 1.0], [2.0, 1.0, 0.0]])
mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.5, 0.0], [1.0, 0.25, 0.0]])
fig = draw.heatmaps({"squared difference": difference**2, "mask": mask,
                     "their product": mask * difference**2})
for ax, cells in zip(fig.axes, (difference**2, mask, mask * difference**2), strict=True):
    for row in range(3):
        for column in range(3):
            hidden = column == 2 and ax is fig.axes[0]
            ax.text(column, row, "NaN" if hidden else f"{cells[row, column]:g}", ha="center",
                    va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
print(f"loss {(mask * difference**2).sum():g}")
draw.show(fig, "Target: squared differences of 3 x 3 cells, the last column NaN, a mask of 1, "
               "0.5, 0.25 and, in the last column, 0, and their product, 0 in the last column. "
               "Its sum, the loss, is 10.75.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# What is 0 times NaN? So at which step must the NaN be gone?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Look at the gradient as well, `pred.grad`. It goes through your steps from the last to the first, and multiplies: which of them has a slope that is
# NaN?
#
# </details>

# %%
from posebook.checks.robustness.masked_loss import masked_loss

# %%
check("masked_loss", masked_loss)

# %% [markdown]
# **Predict, then run.** All mask values are halved. What becomes of the loss, of its gradient, and of what Adam does with it? And if the network were to
# choose the mask itself, to make the loss small?

# %% [markdown]
# ## 6. `loss_noise_std`
#
# *2 points, medium, about 15 minutes.*
#
# `loss_noise_std(pred, target, eta) -> float`
#
# How much does the loss of the last problem vary if its mask is noisy? The sum, over all cells, of the mask times the squared difference of `pred` and
# `target`, where each mask value gets its own independent noise, of mean 0 and of standard deviation `eta`. The noise is added, and the sum of both is
# not clipped. The standard deviation of this sum, from one draw of the noise to the next, is asked for, as a plain Python number.
#
# `pred` and `target` have one shape, with any number of axes, also none. `eta` is 0 or more.
#
# Nothing is said of the mask itself, and of the form of its noise: this law needs neither. A few large differences make most of it.
#
# `posebook.theory.mask_noise_std` is the heart of it.

# %%
squared = torch.tensor([1.0, 1.0, 1.0, 9.0])
noise = 0.5 * torch.randn(4000, 4, generator=torch.Generator().manual_seed(0))
loss = (1 + noise) @ squared
fig, (ax,) = draw.axes(height=2.4)
ax.hist(loss, bins=40, color=draw.SKY)
ax.axvline(12, color=draw.RED, label="without noise")
ax.axvspan(12 - 0.5 * 84**0.5, 12 + 0.5 * 84**0.5, color=draw.RED, alpha=0.15,
           label="one standard deviation")
ax.set(xlabel="loss", ylabel="of 4000 draws")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: the losses of 4000 draws of a noisy mask lie about 12, the loss without "
               "noise, like a bell. Differences are 1, 1, 1 and 3, the mask is 1, and eta 0.5: "
               "a band of one standard deviation, 4.58, to each side.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# By which number is each mask value multiplied in the loss? So by which number is its noise? The explorer *masking* at clip "off" (section 4.13)
# draws such noise 500 times.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Of independent terms neither the sizes nor the standard deviations add. What does?
#
# </details>

# %%
from posebook.checks.robustness.loss_noise_std import loss_noise_std

# %%
check("loss_noise_std", loss_noise_std)

# %% [markdown]
# **Predict, then run.** A map of 64 x 64 cells has the same difference in each. How many times larger is the standard deviation if all its mask values
# share one noise, as when a whole keypoint is taken for hidden?

# %% [markdown]
# ## 7. `clip_moments`
#
# *3 points, hard, about 30 minutes.*
#
# `clip_moments(eta) -> (shift, std)`
#
# A mask value of 1 gets noise, and is cut back to what a mask may be: clip(1 + eta z, 0, 1), where z is standard normal, and what would be below 0
# becomes 0, and above 1 becomes 1. How far does that move its mean, shift = mean - 1, and what is its standard deviation?
#
# The result is a tuple `(shift, std)` of plain Python numbers, both in units of the mask. `eta` is any positive number. Both are right within 2e-3.
#
# Clipping makes noise smaller, and that looks like a gain. It is paid for: what cannot rise above 1 falls on average, and keypoints that are hidden
# come back into the loss by the same amount.
#
# `posebook.theory.clip_moments` is the answer itself.

# %%
eta = 0.5
z = torch.randn(4000, generator=torch.Generator().manual_seed(0))
fig, (ax,) = draw.axes(height=2.4)
ax.hist((1 + eta * z).clamp(0, 1), bins=40, range=(0, 1), color=draw.SKY)
ax.axvline(0.805, color=draw.RED, label="mean")
ax.axvspan(0.805 - 0.277, 0.805 + 0.277, color=draw.RED, alpha=0.15, label="one standard deviation")
ax.set(xlabel="mask value", ylabel="of 4000 draws")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: 4000 mask values of 1 with noise of eta = 0.5, clipped. Half of them "
               "are 1, a few are 0, the others lie between, fewer and fewer towards 0. Their "
               "mean is 0.805, so that the shift is -0.195, and their standard deviation 0.277.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# For which z is the value 1, for which 0, and for which in between? How likely are the two ends? The explorer *masking* at eta 1 and hidden 0
# (section 4.13) shows the heaps at both ends.
#
# </details>
# <details><summary>Hint 2</summary>
#
# You may integrate by hand, and find the normal density and `math.erfc` in the result; or let a sum over a fine grid of z do it; or draw. How many
# draws make a mean right within 2e-3, nearly always?
#
# </details>

# %%
from posebook.checks.robustness.clip_moments import clip_moments

# %%
check("clip_moments", clip_moments)

# %% [markdown]
# **Predict, then run.** With much noise, eta of 100 and more, where do shift and standard deviation go? And what are they for a mask value of 0, and
# the shift for one of 0.5?

# %% [markdown]
# ## 8. `conformal_radius`
#
# *2 points, medium, about 15 minutes.*
#
# `conformal_radius(residuals (n,), alpha) -> float`
#
# A circle around each prediction that holds the truth in all but a share `alpha` of new pictures, whatever the network is. `residuals` are the
# distances in px between prediction and truth in n pictures that were held out, in no order. The radius is the
#
# $$\lceil (n + 1)(1 - \alpha) \rceil \text{-th smallest}$$
#
# of them, and infinity where there are fewer than that. $\lceil \cdot \rceil$ rounds up to a whole number, and that is not rounded up itself.
#
# The result is a plain Python number. n is 1 or more; residuals are positive, or 0. Some may be equal. 0 < alpha < 1, and $(n + 1)(1 - \alpha)$ is
# never within 1e-6 of a whole number, unless alpha is a binary fraction such as 0.25, so that it is computed exactly.
#
# This promise needs no Gaussian and no trust in the network; that new pictures come from where the held-out ones came from is all it needs. It
# holds on average over pictures, not for each kind of them.
#
# `posebook.uncertainty.conformal_radius` is the answer, as a tensor; it takes the residuals of several keypoints at once.

# %%
residuals = torch.tensor([0.4, 0.6, 0.9, 1.1, 1.2, 1.5, 1.7, 1.8, 2.1, 2.3, 2.4, 2.8, 3.0, 3.3, 3.9,
                          4.4, 5.6, 7.5, 11.0])
fig, (ax,) = draw.axes(height=2.4)
ax.plot(range(1, 20), residuals, "o", color=draw.SKY, label="residuals, sorted")
ax.plot([0, 15, 15], [3.9, 3.9, 0], "--", color=draw.RED, label="radius, alpha = 0.25")
ax.set(xlim=(0, 20), ylim=(0, 12), xlabel="rank", ylabel="residual (px)", xticks=range(0, 21, 5))
ax.legend(fontsize=8, loc="upper left", frameon=False)
draw.show(fig, "Target: 19 residuals from 0.4 to 11 px, sorted. With alpha = 0.25 the radius is "
               "that of rank 15, which is 20 times 0.75: 3.9 px. Four residuals lie beyond.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Of n + 1 residuals, the new one among them, each is as likely as the others to be the largest. How often may the new one be larger than all n? In
# the explorer *conformal* at n 10 and alpha 0.09 (section 4.10) there are too few of them.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A rank counts from 1, and a list? What do you do when the rank is n + 1?
#
# </details>

# %%
from posebook.checks.robustness.conformal_radius import conformal_radius

# %%
check("conformal_radius", conformal_radius)

# %% [markdown]
# **Predict, then run.** How many residuals are needed before an alpha of 0.01 gives a finite radius? And what is left of the promise if all held-out
# people stand, and half of the new ones hang upside down?
