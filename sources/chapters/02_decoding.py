# %% [markdown]
# # 2. Decoding: from a heatmap back to a keypoint
#
# Many networks that find keypoints do not answer with coordinates. They answer with a *heatmap*: a coarse grid of scores,
# high where the keypoint seems to be. Somebody has to turn those scores into a point again. That step is called
# **decoding**. It has no weights and no training, and it decides a surprising part of the final error.
#
# Each section asks a question. Answer it for yourself before you run the cells: a wrong guess is the best way to remember. A cell below each *Predict* takes your answer, if you like, and the chapter's end shows how often you were right, and how sure.
#
# | | |
# |---|---|
# | You need | a little Python and torch; what a Gaussian, a mean and a derivative are |
# | Time | about 5 hours; 2.5 more for the problems; the short path takes 2 |
# | Problems | [the set *decoding*](../exercises/decoding/decoding.ipynb) |
#
# Under each heading stands how long its section takes, by a rule of thumb: one minute for 120 words, for the Predict question with its cell, for each picture and for each question of the quiz; two minutes for each code cell
# and each equation; five for each explorer with its answers. What is folded in does not count. In a hurry? Take the **short path**: read the sections that are marked so, and run the cells of the others
# without reading them (*Run*, *Run All Cells* does that at once), because later cells use what earlier ones define. Derivations are folded in: open them if
# you want to know why.

# %%
import math
import os

import torch

from posebook import coco, draw, theory
from posebook.decode import argmax
from posebook.encode import gaussian_heatmap
from posebook.expectation import soft_argmax, spatial_softmax
from posebook.grid import Grid
from posebook.predictions import prediction, predictions

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 2.1 What does a perfect heatmap lose?
#
# *13 minutes, short path*
#
# On this portrait of Grace Hopper, who wrote one of the first compilers, eight points were marked by hand. For each of them
# we draw the heatmap that a flawless network would give, then decode it by taking the highest cell.
#
# > **Predict.** The heatmap has one cell for 4 x 4 pixels. How far from the marked points do the decoded ones lie:
# > 0 px, up to 1 px, up to 3 px?

# %%
prediction("2.1")

# %% [markdown]
# The heatmap of keypoint $k$ has its peak, 1, at the exact position $u_k = x_k / s$:
#
# $$h_k(u) = \exp\left(-\frac{\lVert u - u_k \rVert^2}{2 \sigma^2}\right)$$
#
# with $u$ a cell, $x_k$ the keypoint in image pixels (px), $s = 4$ the **stride** in px per cell, and $\sigma = 2$ cells.
# `Grid` is the one object that turns cells into pixels and back.

# %%
album = coco.portrait()
photo, bones = album.photos[0], album.skeleton
truth = photo.people[0].xy  # (8, 2), x and y in px
grid = Grid.index(4)


def round_trip(xy, hw, decoder):
    """Keypoints in px -> heatmaps -> keypoints in px."""
    cells = tuple(math.ceil(n / 4) for n in hw)
    heatmaps = gaussian_heatmap(grid.to_cells(xy), cells, sigma=2.0)  # (K, H, W)
    return grid.to_image(decoder(heatmaps))


found = round_trip(truth, photo.hw, argmax)
error = (found - truth).norm(dim=-1)
for name, miss in zip(bones.names, error.tolist(), strict=True):
    print(f"{name:20s}{miss:5.2f} px")
print(f"mean {error.mean():.2f} px, largest {error.max():.2f} px")
assert error.max() <= 4 / math.sqrt(2)  # section 2.3 says why

# %%
worst = int(error.argmax())
draw.show(draw.photograph(coco.read_picture(photo), bones, truth, found, grid, around=worst),
          "Left: the portrait with eight marked points. Right: the cells around the worst of them; "
          f"the decoded point is the center of a cell, {error[worst]:.2f} px from the mark.")

# %% [markdown]
# *White lines: the edges of the 4 x 4 px cells. Cross: the mark. Square: the decoded point. Here the worst of the eight.*
#
# The heatmaps were perfect and there was no network, so all of this error is the decoder's: it can only answer with the
# center of a cell.
#
# **Takeaway.** At stride 4, taking the highest cell of a *perfect* heatmap misses these points by 1.48 px on average. Practice:
# [`decode_argmax`](../exercises/decoding/decoding.ipynb).
#
# If you have COCO's keypoint annotations, set the environment variable `POSEBOOK_COCO` to their JSON file, and `POSEBOOK_COCO_IMAGES` to
# the folder of the pictures where they lie elsewhere, before you start JupyterLab: the next cell then does the same with a photograph of yours.

# %%
best = None
if "POSEBOOK_COCO" in os.environ:
    yours = coco.load(os.environ["POSEBOOK_COCO"], images=os.environ.get("POSEBOOK_COCO_IMAGES"))
    best = coco.most_marked(yours)
if best:
    other, person = best
    decoded = round_trip(person.xy, other.hw, argmax)
    miss = (decoded - person.xy).norm(dim=-1)[person.vis > 0]
    print(f"{len(miss)} keypoints: mean {miss.mean():.2f} px, largest {miss.max():.2f} px")
    worst = int((decoded - person.xy).norm(dim=-1).nan_to_num(-1).argmax())
    picture = coco.read_picture(other)
    draw.show(draw.photograph(picture, yours.skeleton, person.xy, decoded, grid, around=worst),
              f"Left: {other.path.name}, one person's keypoints. Right: the cells around one.")
else:
    why = "names a file without a marked person" if "POSEBOOK_COCO" in os.environ else "is not set"
    print(f"POSEBOOK_COCO {why}: the portrait is all there is to see.")

# %% [markdown]
# ## 2.2 Where in the image is cell 0?
#
# *12 minutes, short path*
#
# > **Predict.** A network with stride 4 makes one cell from the pixels 0, 1, 2 and 3. Pixel centers are at whole numbers. Is the
# > center of that cell at 0, at 1.5 or at 2?

# %%
prediction("2.2")

# %% [markdown]
# Every convention has the same form, with $u$ in cells and $x$ in px:
#
# $$x = \mathrm{offset} + s\,u$$
#
# and they differ in the two numbers:
#
# | name | offset | stride | what it does |
# |---|---|---|---|
# | index | 0 | $s$ | divides by the stride, as section 2.1 did: cell 0 then sits on pixel 0 |
# | center | $(s - 1) / 2$ | $s$ | a cell sits in the middle of the pixels that it covers |
# | unit length | 0 | $(W - 1) / (w - 1)$ | the first and the last centers coincide ($W$ px, $w$ cells), as in UDP ("unbiased data processing", [Huang et al. 2020](https://arxiv.org/abs/1911.07524)) |

# %%
s, W, w = 4, 12, 3
positions = {
    "index": [0 + s * u for u in range(w)],
    "center": [(s - 1) / 2 + s * u for u in range(w)],
    "unit length": [(W - 1) / (w - 1) * u for u in range(w)],
}
grids = {"index": Grid.index(s), "center": Grid.center(s),
         "unit length": Grid.unit_length((W, W), (w, w))}
cells = torch.arange(3.0)[:, None].expand(3, 2)  # (0, 0), (1, 1), (2, 2)
for name, x in positions.items():
    print(f"{name:12s} cells 0, 1, 2 lie at {x} px")
    assert grids[name].to_image(cells)[:, 0].tolist() == x

# %%
draw.show(draw.conventions(4, grids),
          "Twelve pixels in a row and three cells over them. Index puts the cells at pixels "
          "0, 4, 8; center at 1.5, 5.5, 9.5; unit length at 0, 5.5, 11.")

# %% [markdown]
# *12 px, 3 cells, stride 4. The answer to the question is 1.5: the middle of 0, 1, 2, 3.*
#
# None of the three is wrong. Mixing two of them is. Encode with one, decode with another, and even a decoder
# without any error is off:

# %%
cells = Grid.center(4).to_cells(truth)  # encoded as centers
mixed = Grid.index(4).to_image(cells)  # decoded as indices
print("error in px of each of the", len(truth), "keypoints:", (mixed - truth)[0].tolist())
assert torch.allclose(mixed - truth, torch.tensor(-1.5), atol=1e-4)
assert torch.allclose(Grid.center(4).to_image(cells), truth, atol=1e-4)

# %% [markdown]
# **Takeaway.** Encode and decode with the same grid: encoding as *center* and decoding as *index* shifts every keypoint by
# $-(s - 1) / 2$, which is -1.5 px at stride 4, and the other way round by as much to the other side.

# %% [markdown]
# ## 2.3 How far can argmax miss?
#
# *12 minutes, short path*
#
# > **Predict.** Stride 4, a noise-free round peak (equally wide in all directions), well inside the map. What is the largest possible distance between
# > the keypoint and the decoded point? And the typical one?

# %%
prediction("2.3")

# %% [markdown]
# On such a peak argmax answers with the nearest cell. Call the **phase** $\varphi \in (-\frac12, \frac12]$ the keypoint's position minus that
# of its nearest cell, in cells. On each axis the error in px, decoded minus true, is
#
# $$e = -s\,\varphi$$
#
# If keypoints fall anywhere in a cell with equal chance, $\varphi$ is uniform, and the rest is integration:
#
# | | one axis | the distance in two dimensions |
# |---|---|---|
# | mean size | $s / 4$ | $s\,(\sqrt 2 + \operatorname{asinh} 1) / 6$ |
# | root mean square | $s / \sqrt{12}$ | $s / \sqrt 6$ |
# | largest | $s / 2$ | $s / \sqrt 2$ |

# %%
keypoint = torch.tensor([2.3, 1.6])  # (x, y) in cells of a 5 x 5 map
rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(5.0), indexing="ij")
heatmap = torch.exp(-((columns - keypoint[0]) ** 2 + (rows - keypoint[1]) ** 2) / 2)
index = int(heatmap.flatten().argmax())
cell = torch.tensor([index % 5, index // 5])
print(heatmap)
print("highest cell (x, y):", cell.tolist(), "  error at stride 4 in px:", 4 * (cell - keypoint))
assert torch.equal(argmax(heatmap), cell.float())

# %% [markdown]
# Now over a whole cell: 201 x 201 phases, each a heatmap of its own.

# %%
phase = torch.linspace(-0.5, 0.5, 202, dtype=torch.float64)[:-1] + 0.5 / 201
xy = 4 + torch.cartesian_prod(phase, phase)  # (201 * 201, 2) cells
miss = (argmax(gaussian_heatmap(xy, (9, 9), sigma=1.0)) - xy).norm(dim=-1)
for stride in (2, 4, 8):
    measured = stride * torch.stack((miss.mean(), miss.square().mean().sqrt(), miss.max())).float()
    formula = torch.tensor(theory.argmax_distance(stride))
    print(f"stride {stride}: mean, rms, largest in px", measured, "formula", formula)
    assert torch.allclose(measured, formula, atol=5e-3 * stride)
dx, dy = torch.arange(9) - xy[:, :1], torch.arange(9) - xy[:, 1:]
along, across = dx[:, None] + dy[..., None], dx[:, None] - dy[..., None]  # the two diagonals
tilted = 4 * (argmax(torch.exp(-((along / 2) ** 2) / 4 - across**2 / 4)) - xy).norm(dim=-1).max()
print(f"stride 4, a peak twice as long along one diagonal: largest {tilted:.2f} px")
assert tilted > 2.95 > 4 / math.sqrt(2)

# %% [markdown]
# The last line is a warning: a peak that is long and tilted can be highest in a cell that is not the nearest one. Back to round peaks, on one axis:

# %%
x = torch.linspace(12, 28, 161, dtype=torch.float64)[:-1] + 0.05  # px
line = gaussian_heatmap(torch.stack((x / 4, 0 * x), -1), (1, 11), sigma=1.0)  # (160, 1, 11)
sawtooth = 4 * argmax(line)[:, 0] - x
fig, (ax,) = draw.axes(height=2.4)
draw.curves(ax, x, {"argmax": -4 * (x / 4 - (x / 4).round())}, {"argmax": sawtooth},
            xlabel="keypoint x (px)", ylabel="error (px)")
draw.show(fig, "Error of argmax against the keypoint's position: a sawtooth that falls from +2 px "
               "to -2 px within every 4 px.")
stats = theory.argmax_error(4)
assert abs(sawtooth.square().mean() - stats.variance) < 2e-3
assert sawtooth.abs().max() <= stats.largest

# %% [markdown]
# *Line: the formula; dots: measured; stride 4, Gaussian of 1 cell. The error is 0 where the keypoint lies on a cell's center, and ±2 px half-way between two.*
#
# **Takeaway.** At stride 4, argmax misses by up to $4 / \sqrt 2 = 2.828$ px and by 1.633 px in root mean square; both grow
# in proportion to the stride. Practice: [`decode_argmax`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.4 When is the expected error zero?
#
# *15 minutes*
#
# The sawtooth is as often above zero as below, so argmax is **unbiased**. Books say so. It is true under four conditions:
# cells are rounded to the nearest, the peak is symmetric, keypoints are spread evenly over the cells, and the border is far.
#
# > **Predict.** Annotators mark whole pixels. With stride 4, is the mean error of argmax still 0?

# %%
prediction("2.4")

# %% [markdown]
# Let us break one condition at a time, at stride $s = 4$ unless a row says otherwise, and measure the mean error in px. As in
# section 2.1, cell 0 sits on pixel 0; the last row but one uses the other grid.

# %%
def mean_error(x, grid, cells=40):
    """Mean of argmax minus truth in px, for keypoints x in px along a row of cells."""
    points = grid.to_cells(torch.stack((x, 0 * x), -1))
    line = gaussian_heatmap(torch.stack((points[:, 0], 0 * x), -1), (1, cells), sigma=1.0)
    return (grid.to_image(argmax(line))[:, 0] - x).mean().item()


even = torch.arange(40, 80, 0.01, dtype=torch.float64) + 0.005  # spread over whole cells
pixels = torch.arange(60, 120, dtype=torch.float64)  # whole pixels
image = torch.arange(0, 64, 0.01, dtype=torch.float64) + 0.005  # 16 cells with the border
floor = (4 * (even / 4).floor() - even).mean().item()
apart = torch.arange(40) - even[:, None] / 4  # cell minus keypoint
peaks = torch.exp(-((apart / torch.where(apart < 0, 3, 1)) ** 2) / 2)  # 3 cells wide left, 1 right
lopsided = (4 * argmax(peaks[:, None])[:, 0] - even).mean().item()

# %%
cases = {
    "nearest cell, spread evenly": (mean_error(even, grid), theory.argmax_error(4).bias),
    "floor instead of nearest": (floor, theory.argmax_error(4, convention="floor").bias),
    "a peak 3 times as wide on the left": (lopsided, 4 * (1 / 2 - 3 / 4)),
    "whole pixels": (mean_error(pixels, grid), theory.integer_label_bias(4)),
    "whole pixels, stride 5": (mean_error(pixels, Grid.index(5)), theory.integer_label_bias(5)),
    "whole pixels, Grid.center": (mean_error(pixels, Grid.center(4)), 0.0),
    "from 0 to 64 px, 16 cells": (mean_error(image, grid, cells=16), theory.clamped_bias(4, 16)),
}
for name, (measured, formula) in cases.items():
    print(f"{name:35s} measured {round(measured, 3) + 0:7.3f} px   formula {formula:7.3f} px")
    assert abs(measured - formula) < 1e-6

# %% [markdown]
# A peak with width $a$ cells on its left and $b$ on its right gives way to the next cell only $a / (a + b)$ of the way rather than half-way, which
# shifts the mean by $s\,(1/2 - a / (a + b))$. Whole pixels at stride 4 have phases 0, 1/4, 1/2 and -1/4. The one at 1/2 is a tie, and ties go
# to the lower cell: an error of $-2$ px that no $+2$ px balances. With an odd stride, or on the grid of centers, there is no tie.
#
# And even where the *mean* is zero, the error at a given place is not: it is the sawtooth. Several frames of a keypoint
# that does not move have the same error each time. It is another matter if the peak jitters: with Gaussian noise of standard deviation $\nu$ px
# on its position, the expected error at $x$ is
#
# $$b(x) = \frac{s}{\pi} \sum_{k \ge 1} \frac{(-1)^k}{k}\, e^{-2 \pi^2 k^2 \nu^2 / s^2} \sin\frac{2 \pi k x}{s}$$

# %%
x = torch.linspace(0, 8, 81, dtype=torch.float64)[:-1] + 0.05  # px
chance = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
levels = torch.special.ndtri(chance)  # 4000 equally likely values of a standard normal
measured, formula = {}, {}
for noise in (0.2, 1.2, 2.0):
    expected = (4 * ((x[:, None] + noise * levels) / 4).round() - x[:, None]).mean(-1)
    measured[f"noise {noise} px"] = expected
    formula[f"noise {noise} px"] = theory.dithered_bias(x, 4, noise)
    assert torch.allclose(expected, theory.dithered_bias(x, 4, noise), atol=5e-3)
    print(f"noise {noise} px: largest expected error {expected.abs().max():.3f} px")

# %%
fig, (ax,) = draw.axes(height=2.6)
draw.curves(ax, x, formula, measured, xlabel="keypoint x (px)", ylabel="expected error (px)")
draw.show(fig, "Expected error against position for three noise levels: a sawtooth at 0.2 px, "
               "a flat wave at 1.2 px, nearly nothing at 2 px. Measurements lie on the formula.")

# %% [markdown]
# *Lines: the formula. Dots: the mean over 4000 noises. Stride 4 px.*
#
# **Takeaway.** Argmax is unbiased only on average over evenly spread keypoints: whole-pixel labels on the index grid of stride 4 already
# cost $-0.5$ px, and at one given place the expected error fades only when the peak jitters by about half a stride.

# %% [markdown]
# ## 2.5 What does soft-argmax compute?
#
# *14 minutes, short path*
#
# Argmax looks at one cell. **Soft-argmax** asks all of them: a **softmax** turns scores into probabilities, all positive and with the
# sum 1; then take the mean cell.
#
# > **Predict.** A map has two equally high peaks, at opposite sides. Where does soft-argmax put the keypoint?

# %%
prediction("2.5")

# %% [markdown]
# With $z$ the **logits**, scores of any sign and scale, $\tau > 0$ the **temperature** that divides them, and $u$ the cells:
#
# $$p(u) = \frac{e^{z(u) / \tau}}{\sum_v e^{z(v) / \tau}}, \qquad \hat u = \sum_u u\,p(u)$$

# %%
z = torch.zeros(5, 5)
z[1, 3], z[1, 2], z[2, 3] = 4.0, 3.0, 2.0
p = torch.exp(z) / torch.exp(z).sum()
x_hat = sum(p[y, x] * x for y in range(5) for x in range(5))
y_hat = sum(p[y, x] * y for y in range(5) for x in range(5))
print(p)
print(f"soft-argmax: x = {x_hat:.3f}, y = {y_hat:.3f}   argmax: {argmax(z).tolist()}")
assert torch.allclose(soft_argmax(z), torch.stack((x_hat, y_hat)))

# %%
twins = torch.full((5, 9), -20.0)
twins[2, 1] = twins[2, 7] = 0.0
x_hat, y_hat = soft_argmax(twins)
print(f"two equal peaks at x = 1 and x = 7: x = {x_hat:.3f}, y = {y_hat:.3f}")
assert torch.allclose(soft_argmax(twins), torch.tensor([4.0, 2.0]))
assert torch.allclose(soft_argmax(twins, 0.01), torch.tensor([4.0, 2.0]))  # cold does not choose

# %% [markdown]
# It lands half-way between them, where nothing is. Soft-argmax is a mean, so it needs *one* peak. Here is what the temperature does:

# %%
taus = (0.2, 1.0, 3.0)
means = torch.stack([soft_argmax(z, tau) for tau in taus])
maps = {f"tau = {tau}: x = {mean[0]:.2f}": spatial_softmax(z, tau)
        for tau, mean in zip(taus, means, strict=True)}
draw.show(draw.heatmaps(maps, means),
          "Softmax of the same 5 x 5 logits at three temperatures, the mean a circle. At tau 0.2 "
          "one cell has nearly all probability and the circle; at tau 3 the probability is spread, "
          f"and the circle is at x = {means[2, 0]:.2f}, near the center.")
assert soft_argmax(z, 0.02).tolist() == argmax(z).tolist()
assert torch.allclose(soft_argmax(z, 1e4), torch.tensor([2.0, 2.0]), atol=1e-3)

# %% [markdown]
# *The logits of the cell above at $\tau$ = 0.2, 1 and 3; circle: their mean. As $\tau \to 0$ the mean goes to the highest cell, or to the mean of several that are
# equally high; as $\tau \to \infty$ it goes to the center of the map, whatever the logits are.*
#
# And on the photograph? The softmax of the logarithm of a heatmap is the heatmap divided by its sum, so the logarithm is what we feed in:

# %%
soft = round_trip(truth, photo.hw, lambda heatmaps: soft_argmax(heatmaps.log()))
miss = (soft - truth).norm(dim=-1)
assert miss.max() < 1e-3
print(f"largest error: argmax {error.max():.2f} px, soft-argmax below 0.001 px")

# %% [markdown]
# **Takeaway.** Soft-argmax is the mean cell under a softmax: it falls between the cells, and on a perfect Gaussian of 2 cells the
# 2.40 px of argmax become less than 0.001 px. Practice: [`soft_argmax`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.6 Why is soft-argmax so exact?
#
# *17 minutes*
#
# A Gaussian seen on a grid is a few numbers, and still their mean hits the center almost perfectly. How nearly?
#
# > **Predict.** A Gaussian with a standard deviation of one cell. How many decimals of its center does the mean get right?

# %%
prediction("2.6")

# %% [markdown]
# Take one axis, an endless grid, and as logits the logarithm of a Gaussian of $\sigma$ px. The temperature widens it, so that $p$ samples a Gaussian of the
# width
#
# $$q = \sqrt\tau\,\sigma / s \quad \text{cells}$$
#
# The mean of $p$ is a sum over cells. If it were an integral over all places, it would be exactly the center. The sum is nearly that integral: where the bell is
# smooth, equally spaced values add up almost without error. What is left is a ripple: it depends on where in its cell the keypoint lies, its phase
# $\varphi$, and it fades very fast as the bell becomes wider than a cell. From $q = 0.4$ on the error in cells is
#
# $$e(\varphi) \approx -4 \pi q^2\, e^{-2 \pi^2 q^2} \sin 2 \pi \varphi$$
#
# <details><summary>Where that comes from, and the whole series</summary>
#
# Count the cells $k$ from the one nearest to the keypoint. The softmax divides by the sum $Z(\varphi) = \sum_k e^{-(k - \varphi)^2 / 2 q^2}$.
#
# 1. *The error is a slope of Z.* The derivative of each term by $\varphi$ is the term times $(k - \varphi) / q^2$. Divided by $Z$, the sum of these is the mean of
#    $k - \varphi$ over $q^2$, so that $e = \hat u - \varphi = q^2\, \frac{d}{d\varphi} \ln Z$. Were $Z$ the same for all phases, the error would be 0.
# 2. *How constant is Z?* It has the period of the grid, so it is a sum of waves. Poisson's summation formula says which: the $n$-th wave is as high as the
#    Fourier transform of the bell at frequency $n$. The transform of a Gaussian is a Gaussian, so with $a = e^{-2 \pi^2 q^2}$
#
#    $$Z = \sqrt{2 \pi}\, q \Big(1 + 2 \sum_{n \ge 1} a^{n^2} \cos 2 \pi n \varphi\Big)$$
#
# 3. *The first wave.* For $q \ge 0.5$ the number $a$ is at most 0.0072 and $a^4$ is nothing. Then $\ln Z$ is a constant plus $2 a \cos 2 \pi \varphi$, and $q^2$ times its
#    derivative is the formula above.
# 4. *All waves.* Jacobi's triple product is an identity that writes the bracket as a product,
#    $\prod_{m \ge 1} (1 - a^{2m})(1 + 2 a^{2m-1} \cos 2 \pi \varphi + a^{4m-2})$. A logarithm makes a sum of a product. With
#    $\ln(1 + 2 b \cos\theta + b^2) = 2 \sum_{n \ge 1} (-1)^{n-1} b^n \cos(n\theta) / n$, and $\sum_m a^{n(2m-1)} = a^n / (1 - a^{2n}) = 1 / (2 \sinh 2 \pi^2 n q^2)$, the slope is
#
#    $$e(\varphi) = 2 \pi q^2 \sum_{n \ge 1} \frac{(-1)^n \sin 2 \pi n \varphi}{\sinh 2 \pi^2 n q^2}$$
#
#    This is exact at every width. The library has it as `theory.alias_error`.
#
# </details>

# %%
q, phase = 0.5, 0.3
k = torch.arange(-20, 21, dtype=torch.float64)
p = torch.softmax(-((k - phase) ** 2) / (2 * q**2), 0)
measured = ((k * p).sum() - phase).item()
formula = theory.alias_error(torch.tensor(phase, dtype=torch.float64), q).item()
first = -theory.alias_amplitude(q) * math.sin(2 * math.pi * phase)
print(f"measured {measured:.6f} cells, whole series {formula:.6f}, its first term {first:.6f}")
assert abs(measured - formula) < 1e-12 and abs(first / formula - 1) < 0.005
a = math.exp(-2 * math.pi**2 * q**2)
print(f"a = {a:.4f}, a^4 = {a**4:.0e}")  # less for every wider bell
phases = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64)
for q in (0.2, 0.4, 0.6):
    series = theory.alias_error(phases, q)
    gap = (series + theory.alias_amplitude(q) * torch.sin(2 * math.pi * phases)).abs().max()
    print(f"q = {q}: the first term is off by {100 * gap / series.abs().max():.1f} % at most")
    assert (gap < 0.05 * series.abs().max()) == (q >= 0.4)

# %% [markdown]
# Now the root mean square over all phases, for many widths $q$, with the library's decoder in double and in single precision:

# %%
def soft_rms(q, dtype):
    """Root mean square error in cells over 100 phases, on a map of one row."""
    u = 24 + (torch.arange(100, dtype=torch.float64) + 0.5) / 100 - 0.5
    logits = -((torch.arange(49, dtype=torch.float64) - u[:, None]) ** 2) / (2 * q**2)
    return (soft_argmax(logits[:, None, :].to(dtype))[:, 0] - u).square().mean().sqrt().item()


widths = torch.linspace(0.1, 1.3, 49).tolist()
closed = torch.tensor([theory.alias_rms(q) for q in widths])
double = torch.tensor([soft_rms(q, torch.float64) for q in widths])
single = torch.tensor([soft_rms(q, torch.float32) for q in widths])
for q in (0.1, 0.25, 0.5, 0.75, 1.0):
    rms = soft_rms(q, torch.float64)
    print(f"q = {q:4.2f}: rms {rms:.1e} cells, formula {theory.alias_rms(q):.1e}")
    assert abs(rms / theory.alias_rms(q) - 1) < 1e-3
assert abs(soft_rms(0.8, torch.float32) / theory.alias_rms(0.8) - 1) < 0.2  # still on the curve
assert soft_rms(1.0, torch.float32) > 10 * theory.alias_rms(1.0)  # single precision has stopped

# %%
fig, (ax,) = draw.axes(height=3.4)
draw.curves(ax, widths, {"formula": closed}, {"float64": double, "float32": single},
            xlabel="q, width of the Gaussian (cells)", ylabel="rms error (cells)", yscale="log")
ax.axhline(1 / math.sqrt(12), color="black", linestyle=":")
ax.text(0.85, 0.5, "argmax: 0.289 cells")
draw.show(fig, "Error of soft-argmax against q, logarithmic: close to argmax's 0.289 cells for "
               "q near 0.1, then a cliff: 0.016 cells at q = 0.5, 2.4e-8 at q = 1. Single precision"
               " stops near 1e-6.")
assert abs(theory.alias_rms(0.05) - 1 / math.sqrt(12)) < 0.03

# %% [markdown]
# *Map of 49 cells, keypoint at its middle, 100 phases. Formula: the whole series. Dotted: $1 / \sqrt{12} = 0.289$ cells, argmax.*
#
# Read the curve from left to right. For a very narrow bell the softmax has one cell left, the error is $-\varphi$, and soft-argmax is argmax. From about $q = 0.5$ on
# the error falls off a cliff. Between $q = 0.8$ and 1 it becomes smaller than what single precision can hold, so that a wider Gaussian gains nothing more.

# %%
phases = torch.linspace(-0.4, 0.4, 9, dtype=torch.float64)
assert torch.allclose(theory.alias_error(phases, 0.1), -phases, atol=1e-4)  # one cell left: argmax
assert theory.alias_rms(0.5) < 0.02 and theory.alias_rms(0.9) < 1e-6

# %% [markdown]
# **Takeaway.** The error of soft-argmax on a Gaussian falls like $e^{-2 \pi^2 q^2}$: it is $1.6 \cdot 10^{-2}$ cells at $q = 0.5$ and
# $2.4 \cdot 10^{-8}$ at $q = 1$. Practice: [`soft_argmax`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.7 Can you train through it?
#
# *14 minutes*
#
# A loss on coordinates needs a derivative of the coordinates. Argmax has none: its answer jumps, and between jumps it does not
# move at all. Soft-argmax has one.
#
# > **Predict.** The decoded point should move to the right. Which logits does the gradient raise, and which does it lower?

# %%
prediction("2.7")

# %% [markdown]
# $$\frac{\partial \hat u}{\partial z(u)} = \frac{p(u)\,(u - \hat u)}{\tau}$$
#
# in cells per unit of logit: for x, with the x of $u$ and $\hat u$. Below, `requires_grad_` tells torch to follow a tensor, and
# `backward` fills its `grad` with the derivative.

# %%
z = z.double()  # the logits of section 2.5
p = spatial_softmax(z)
by_hand = p * (torch.arange(5.0) - soft_argmax(z)[0])
leaf = z.clone().requires_grad_()
soft_argmax(leaf)[0].backward()
print(by_hand)
assert torch.allclose(leaf.grad, by_hand, atol=1e-6)
assert not argmax(leaf).requires_grad

# %% [markdown]
# Cells right of the mean are raised, cells left of it are lowered, each by its probability times its distance. Together they
# cancel: adding the same number to all logits moves nothing. What does a low temperature do to this?

# %%
def pull(tau):
    """Gradient of the decoded x in the logits at temperature tau."""
    leaf = z.clone().requires_grad_()
    soft_argmax(leaf, tau)[0].backward()
    return leaf.grad


for tau in (1.0, 0.3, 0.1, 0.05):
    prob = spatial_softmax(z, tau)
    width = (prob * (torch.arange(5) - soft_argmax(z, tau)[0]) ** 2).sum().sqrt()  # of p, in x
    size = pull(tau).abs().sum()
    print(f"tau {tau:4.2f}: sum of |gradient| {size:.1e} <= spread / tau = {width / tau:.1e}")
    assert abs(pull(tau).sum()) < 1e-12 and size <= width / tau

# %%
taus = (3.0, 1.0, 0.3)
means = torch.stack([soft_argmax(z, tau) for tau in taus])
draw.show(draw.heatmaps({f"tau = {tau}": pull(tau) for tau in taus}, means, signed=True),
          "Gradient of the decoded x in each logit at three temperatures: red cells to the right "
          "of the mean, blue to the left. At tau 3 many cells take part, at tau 0.3 only two.")

# %% [markdown]
# *The logits of section 2.5. Red raises x, blue lowers it; each picture has its own scale. Circle: the decoded point.*
#
# The gradient cannot be larger than the spread of $p$, its standard deviation in x, over $\tau$. A cold softmax has nearly all of $p$ in one cell: it has no
# spread, and so it learns next to nothing, whether it is right or wrong. The exception is a tie of two cells that differ in x. A little more in one of them then decides
# everything, and the gradient grows as $1 / \tau$.

# %%
for tau in (1.0, 0.1):
    leaf = twins.clone().requires_grad_()  # two equal peaks, 6 cells apart
    soft_argmax(leaf, tau)[0].backward()
    print(f"two equal peaks, tau {tau}: sum of |gradient| {leaf.grad.abs().sum():.1f}")
    assert torch.allclose(leaf.grad.abs().sum(), torch.tensor(3.0 / tau))
    leaf = twins.mT.clone().requires_grad_()  # one above the other
    soft_argmax(leaf, tau)[0].backward()
    assert leaf.grad.abs().sum() < 1e-5

# %% [markdown]
# **Takeaway.** Soft-argmax passes a gradient, $p\,(u - \hat u) / \tau$, to every cell that has probability; argmax passes none, and
# a cold softmax nearly none unless two cells tie. Practice: [`soft_argmax`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.8 What does each knob do?
#
# *13 minutes, short path*
#
# The explorer draws a virtual image of 128 x 96 px with one keypoint. Move it, and change the stride and the temperature. The curve at the right
# is that of section 2.6, but for a distance, on two axes, and so $\sqrt 2$ times as high: how far off soft-argmax is, against the width $q = \sqrt\tau\,\sigma / s$ of its softmax in
# cells, here with $\sigma = 6$ px. It has a plateau of 0.41 cells at the left, where one cell has nearly all probability, and falls off a cliff from about $q = 0.5$ on. Two of the decoders come only in the next sections: the
# *quarter shift* moves argmax a quarter of a cell towards the higher neighbor, and *DARK* lays a bell through the highest cell and its neighbors.
#
# > **Predict.** Answer each question before you move the slider.
# >
# > 1. Stride 4, $\tau = 1$. Move x slowly through one cell. Which points jump, which glide?
# > 2. Lower $\tau$ until the dot of soft-argmax sits on the square of argmax. Where on the curve are you?
# > 3. Stride 16. At which $\tau$ is soft-argmax best? Why does it become worse on *both* sides?
# > 4. Move the keypoint to the edge. What pulls the mean inward, and why does the curve know nothing of it?

# %%
prediction("2.8")

# %%
from posebook.explore import decoding

decoding.explore()

# %% [markdown]
# The third question in numbers: at stride 16, and with the keypoint where the explorer starts, both ends of the temperature are bad.

# %%
off = {}
for tau in (0.01, 0.1, 1.0, 4.0, 10.0):
    off[tau] = decoding.compute(decoding.State(stride=16, tau=tau)).errors["soft-argmax"]
    print(f"tau {tau:5.2f}: soft-argmax is off by {off[tau]:.2f} px")
assert min(off, key=off.get) == 4.0 and max(off, key=off.get) < 1
plateau = math.sqrt(2) * theory.alias_rms(0.02)
print(f"plateau of the curve: {plateau:.2f} cells")
assert abs(plateau - theory.argmax_distance(1)[1]) < 2e-3

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The square (argmax) and the diamond (quarter shift) jump; the triangle (DARK) and the dot (soft-argmax) glide with the keypoint.
# 2. On the plateau at the left: $q$ is below 0.2 there, and the error is that of argmax.
# 3. Near $\tau = 4$, where $q = 0.75$. At lower temperatures $q$ is so small that the grid shows through; at higher ones the softmax reaches the border and is cut off there.
# 4. The part of the bell outside the map is missing, so the mean of the rest lies further in. The curve is for an endless grid.
#
# </details>
#
# **Takeaway.** The width $q = \sqrt\tau\,\sigma / s$ decides. At stride 16 soft-argmax is off by 5.87 px when it is cold, which is argmax,
# by 0.01 px at $\tau = 4$, and by 0.58 px when it is hot and feels the border.

# %% [markdown]
# ## 2.9 What does a quarter of a cell buy?
#
# *11 minutes*
#
# The neighbors of the highest cell know on which side the keypoint lies. The simplest refinement uses only that: move the answer a quarter
# of a cell towards the higher neighbor, on each axis by itself.
#
# > **Predict.** The root mean square error of argmax on one axis is $s / \sqrt{12}$, 1.155 px at stride 4. By how much does the
# > quarter shift lower it?

# %%
prediction("2.9")

# %% [markdown]
# With the phase $\varphi \in (-\frac12, \frac12]$ in cells, the error in px becomes
#
# $$e = s\,\left(\tfrac14 \operatorname{sign} \varphi - \varphi\right)$$
#
# which is argmax's error on a grid of half the stride: at most $s / 4$, and $s / \sqrt{48}$ in root mean square.

# %%
from posebook.decode import refine_quarter

x, y = argmax(heatmap).int().tolist()  # the 5 x 5 map of section 2.3, keypoint at (2.3, 1.6)
dx = 0.25 if heatmap[y, x + 1] > heatmap[y, x - 1] else -0.25
dy = 0.25 if heatmap[y + 1, x] > heatmap[y - 1, x] else -0.25
print(f"argmax ({x}, {y}), neighbors say: ({x + dx}, {y + dy})")
assert refine_quarter(heatmap).tolist() == [x + dx, y + dy]

# %%
x = torch.linspace(12, 28, 161, dtype=torch.float64)[:-1] + 0.05  # px
rows = gaussian_heatmap(torch.stack((x / 4, 0 * x), -1), (1, 11), sigma=1.0)  # (160, 1, 11)
errors = {"argmax": 4 * argmax(rows)[:, 0] - x, "quarter shift": 4 * refine_quarter(rows)[:, 0] - x}
stats_of = {"argmax": theory.argmax_error(4), "quarter shift": theory.quarter_error(4)}
for name, stats in stats_of.items():
    rms, formula = errors[name].square().mean().sqrt().item(), math.sqrt(stats.mse)
    print(f"{name:14s} rms {rms:.3f} px, formula {formula:.3f} px")
    assert abs(rms - formula) < 2e-3 and errors[name].abs().max() <= stats.largest + 1e-9

# %%
fig, (ax,) = draw.axes(height=2.4)
draw.curves(ax, x, errors, xlabel="keypoint x (px)", ylabel="error (px)")
draw.show(fig, "Two sawtooths over the keypoint's position: argmax between -2 and +2 px with "
               "one tooth "
               "every 4 px, the quarter shift between -1 and +1 px with a tooth every 2 px.")

# %% [markdown]
# *Stride 4, Gaussian of 1 cell, no noise.*
#
# **Takeaway.** A quarter of a cell towards the higher neighbor halves the error of argmax: from 1.155 to 0.577 px in root mean square on each axis at
# stride 4, for two comparisons.

# %% [markdown]
# ## 2.10 Can three numbers find the peak exactly?
#
# *15 minutes, short path*
#
# The quarter shift asks only *which* neighbor is higher. **DARK** ([Zhang et al. 2020](https://arxiv.org/abs/1910.06278)) also asks *by how much*.
#
# > **Predict.** You know three neighboring values of a Gaussian, but neither its height nor its width. Can you find its center exactly?

# %%
prediction("2.10")

# %% [markdown]
# The logarithm of a Gaussian is a parabola, and three points determine a parabola. With $L = \ln h$ at the best cell and central
# differences, $L' = \frac{L_{+} - L_{-}}{2}$ and $L'' = L_{+} - 2 L_0 + L_{-}$ (per cell and per cell squared), the top is one Newton step away:
#
# $$\hat u = u_0 - \frac{L'}{L''}, \qquad \text{in two dimensions} \quad \hat u = u_0 - (D^2 L)^{-1} D L$$
#
# with $D L$ the two slopes and $D^2 L$ the 2 x 2 matrix of second differences. Its diagonal holds $L''$ in x and in y; beside it stands the **mixed derivative**, a quarter of
# $L_{++} - L_{+-} - L_{-+} + L_{--}$ from the four diagonal neighbors.

# %%
from posebook.decode import refine_dark

h = torch.exp(-((torch.arange(5, dtype=torch.float64) - 2.3) ** 2) / 2)  # peak at 2.3 cells
for name, z in {"with the logarithm": h.log(), "without": h}.items():
    slope, bend = (z[3] - z[1]) / 2, z[3] - 2 * z[2] + z[1]
    print(f"{name:18s} {2 - slope / bend:.4f} cells")

two = gaussian_heatmap(torch.tensor([2.3, 1.6], dtype=torch.float64), (5, 5), sigma=1.0)
print("posebook.decode.refine_dark:", refine_dark(two).tolist())
assert torch.allclose(refine_dark(two), torch.tensor([2.3, 1.6], dtype=torch.float64), atol=1e-12)
dx, dy = torch.arange(5) - 2.3, torch.arange(5)[:, None] - 1.6
slanted = torch.exp(-(dx**2 + dx * dy + dy**2) / 2)  # here the mixed derivative counts
assert torch.allclose(refine_dark(slanted), torch.tensor([2.3, 1.6]), atol=1e-5)

# %% [markdown]
# The step on the logarithm is exact; without the logarithm it is not. Is it exact for every width? In theory, yes. In a computer the values must be numbers,
# and those of a very narrow peak, in a cell beside the highest or diagonal to it, are too small for single precision. They become 0, which has no logarithm:

# %%
spots = 30 + 4 * torch.rand(500, 2, generator=torch.Generator().manual_seed(8))  # cells
for sigma in (0.1, 0.2, 0.5, 1.0, 3.0, 10.0):
    peaks = gaussian_heatmap(spots, (64, 64), sigma=sigma)  # single precision
    off = (refine_dark(peaks) - spots).abs().amax(-1) > 1e-3
    print(f"width {sigma:4.1f} cells: {100 * off.float().mean():3.0f} % are more than 0.001 off")
    assert off.any() == (sigma < 0.2)

# %% [markdown]
# From 0.2 cells on it holds for every width that is used. What noise does to it is another matter: DARK looks at nine cells, and the logarithm turns a small
# disturbance of a small value into a large one. So the heatmap is blurred first, in a window around the peak.

# %%
generator = torch.Generator().manual_seed(0)
truth_cells = 8 + 16 * torch.rand(2000, 2, generator=generator)
clean = gaussian_heatmap(truth_cells, (32, 32), sigma=2.0)
noisy = clean + 0.03 * torch.randn(clean.shape, generator=generator)
decoders = {"argmax": argmax, "quarter shift": refine_quarter, "DARK": refine_dark,
            "DARK, blur 2 cells": lambda maps: refine_dark(maps, blur=2.0)}
noise_rms = {}
for name, decoder in decoders.items():
    rms = [(decoder(maps) - truth_cells).square().mean().sqrt().item() for maps in (clean, noisy)]
    noise_rms[name] = rms[1]
    print(f"{name:18s} rms {rms[0]:.2f} cells without noise, {rms[1]:.2f} with")
assert noise_rms["DARK, blur 2 cells"] < noise_rms["DARK"] < noise_rms["argmax"]

# %%
fig, (ax,) = draw.axes(height=2.6)
cells = torch.linspace(0, 4.6, 93, dtype=torch.float64)
slope, bend = (h[3] - h[1]) / 2, h[3] - 2 * h[2] + h[1]
tries = {"logarithm": 1 - (cells - 2.3) ** 2 / 2, "Gaussian": torch.exp(-((cells - 2.3) ** 2) / 2),
         "parabola of the Gaussian": h[2] + slope * (cells - 2) + bend * (cells - 2) ** 2 / 2}
draw.curves(ax, cells, tries, xlabel="cell", ylabel="value", ylim=(-1, 1.1))
ax.plot([1, 2, 3] * 2, [*(1 + h[1:4].log()).tolist(), *h[1:4].tolist()], "ko")
ax.axvline(2.3, color="black", linestyle=":")
draw.show(fig, "A Gaussian, its logarithm shifted up by 1, and on each its values in the cells "
               "1, 2 and 3. The parabola through the three values of the logarithm is the "
               "logarithm itself, with its top at 2.3 cells; the parabola through those of the "
               "Gaussian leaves the Gaussian, and has its top too far left, at 2.25.")
assert abs(2 - slope / bend - 2.2523) < 1e-4

# %% [markdown]
# *Dots: the three values that the step uses. The logarithm is drawn 1 higher than it is, so that both curves fit into one picture; that does not move its top. Dotted:
# the peak, at 2.3 cells; width 1 cell. The numbers above: 2000 keypoints on maps of 32 x 32 cells,
# width 2 cells, white noise (independent in each cell) of standard deviation 0.03.*
#
# **Takeaway.** One Newton step on the logarithm is exact on a Gaussian, in single precision from a width of 0.2 cells on; under noise it needs a blur first, which here takes the error from
# 0.13 cells to 0.02. Practice: [`refine_dark`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.11 Where does soft-argmax fail?
#
# *26 minutes, short path*
#
# Soft-argmax is a mean. Means fail where the distribution is cut off, where it has a background, and where it has two peaks.
#
# > **Predict.** A network was trained to give Gaussian heatmaps between 0 and 1. You feed such a heatmap, 64 x 64 cells, straight into soft-argmax. Where
# > does a keypoint at cell (20.3, 20) land?

# %%
prediction("2.11")

# %% [markdown]
# **The border.** A bell of standard deviation $\sigma$ cells whose center lies $d$ cells inside the map's edge loses its outer part, and its mean moves inward by
#
# $$\sigma\,\frac{\varphi(d / \sigma)}{\Phi(d / \sigma)} \quad \text{cells}$$
#
# with $\varphi$ and $\Phi$ the standard normal density (not a phase, here) and distribution function.
#
# **The background.** A heatmap between 0 and 1 that is fed in raw, without the logarithm, gives every empty cell the weight $e^0 = 1$. On a map of $N$ cells, nearly
# all of them 0, these cells move the mean. Let $m$ be the mean without the background, $E$ that of the whole softmax and $c$ the map's center, all in cells. With
# $C = \sum_u e^{h(u) / \tau}$, the background moves the mean the fraction $N / C$ of the way from $m$ to $c$: $E = m + (N / C)(c - m)$. This can be undone,
# $m = (C E - N c) / (C - N)$. Of the border, and of bumps that are too narrow for the grid, it knows nothing.

# %%
from posebook.decode import soft_argmax_window
from posebook.expectation import soft_argmax_compensated

raw = gaussian_heatmap(torch.tensor([20.3, 20.0], dtype=torch.float64), (64, 64), sigma=2.0)
weight = torch.exp(raw)  # tau = 1
naive = (weight.sum(0) * torch.arange(64)).sum() / weight.sum()
undone = (weight.sum() * naive - 64 * 64 * 31.5) / (weight.sum() - 64 * 64)
pull, formula = raw.numel() / weight.sum(), theory.background_pull(64 * 64, 2.0, 1.0)
print(f"softmax of the raw heatmap: x = {naive:.2f}, {31.5 - naive:.1f} cells from the center")
print(f"pull {pull:.3f}, formula {formula:.3f}")
answers = {"posebook.soft_argmax": soft_argmax(raw), "of its logarithm": soft_argmax(raw.log()),
           "compensated": soft_argmax_compensated(raw, beta=5.0)}
for name, answer in answers.items():
    print(f"{name:21s} x = {answer[0]:.3f}")
assert abs(pull - formula) < 1e-3 and torch.allclose(soft_argmax(raw)[0], naive)
assert abs(undone - 20.3) < 1e-6 and abs(answers["compensated"][0] - 20.3) < 1e-3
assert abs(naive - (20.3 + pull * (31.5 - 20.3))) < 1e-6  # E = m + (N / C)(c - m)

# %%
maps = {"softmax of the raw heatmap": weight, "softmax of its logarithm": raw}
draw.show(draw.heatmaps(maps, torch.stack((soft_argmax(raw), soft_argmax(raw.log())))),
          "Two maps of 64 x 64 cells with a bump at (20.3, 20). Left, the softmax of the raw "
          "heatmap: the background is more than a third as bright as the bump, everywhere, and the "
          "circle, the mean, is in the middle of the map. Right, the softmax of the logarithm: "
          "a dark background, and the circle is on the bump.")

# %% [markdown]
# *The bump's width is 2 cells; circle: the mean; $\tau = 1$.*
#
# Is a lower temperature a way out? Here are 50 keypoints that lie from $x = 20$ to 21:

# %%
def bumps(x, sigma):
    """Raw heatmaps (N, 64, 64) with bumps at (x, 20)."""
    return gaussian_heatmap(torch.stack((x, torch.full_like(x, 20)), -1), (64, 64), sigma=sigma)


x, colder = 20 + torch.arange(0.01, 1, 0.02, dtype=torch.float64), {}
for tau in (0.1, 0.08, 0.07, 0.065, 0.06, 0.055, 0.05, 0.04):
    off = [soft_argmax(bumps(x, sigma), tau)[:, 0] - x for sigma in (2.0, 3.0)]
    colder[tau] = [e.square().mean().sqrt().item() for e in off]
    print("tau {:5.3f}: rms {:.3f} cells at a width of 2, {:.4f} at 3".format(tau, *colder[tau]))
two, three = (min(colder, key=lambda tau: colder[tau][k]) for k in (0, 1))  # the best
assert (two, three) == (0.065, 0.055) and colder[two][0] < 0.015
q = 0.05**0.5 * 2
print(f"tau 0.05, width 2: q {q:.2f}, by section 2.6 {theory.alias_rms(q):.3f} cells")
assert abs(colder[0.05][0] / theory.alias_rms(q) - 1) < 0.1

# %% [markdown]
# Only a narrow one. For a width of 2 cells on this map of 64 x 64 the best temperature is near $\tau = 0.065$, with 0.014 cells. At 0.1 the background still pulls by 0.675 cells; at 0.05 the
# softmax is only $\sqrt\tau\,\sigma = 0.45$ cells wide, so that the grid shows through. And a width of 3 cells wants a lower one, near 0.055. `soft_argmax_compensated` undoes the pull
# without such a search, with $\beta = 1 / \tau$. Where does that hold?

# %%
def worst(x, sigma, beta):
    """Largest error in cells of the compensated soft-argmax."""
    return (soft_argmax_compensated(bumps(x, sigma), beta=beta)[:, 0] - x).abs().max().item()


first = torch.tensor([1.0], dtype=torch.float64)  # 1.5 cells from the edge
print("largest error in cells, beta  0.1     1       5       10; at x = 1, beta 5")
for sigma in (0.7, 1.0, 2.0, 3.0, 4.0, 7.0):
    inside = torch.linspace(4 * sigma - 0.5, 31.5, 101, dtype=torch.float64)  # 4 widths in
    off = [worst(inside, sigma, beta) for beta in (0.1, 1.0, 5.0, 10.0)]
    cut = worst(first, sigma, 5.0)
    print(f"width {sigma} cells:            ", "  ".join(f"{e:.4f}" for e in off), f"  {cut:.2f}")
    assert (max(off[:3]) < 1e-3) == (sigma >= 2) == (cut > 0.2)
    assert (off[3] > 1e-3) == (sigma <= 2)

# %% [markdown]
# To 0.001 cells it holds up to $\beta = 5$ for a bump that is 2 to 7 cells wide, with its center at least four widths inside the map. At the border ($x = 1$) such a bump
# is cut off, and its mean moves inward as before. A large $\beta$ makes the bump narrower, until the grid shows through: at $\beta = 10$ a width of 2 cells is no longer enough.

# %%
def border_lean(distance, sigma):
    """Inward bias of soft-argmax in cells, measured and by the formula; lengths in cells."""
    points = torch.stack((distance - 0.5, torch.full_like(distance, 20)), -1)
    logits = gaussian_heatmap(points, (41, 41), sigma=sigma).log()
    return soft_argmax(logits)[:, 0] - points[:, 0], theory.border_bias(distance, sigma)


distance = torch.linspace(0, 6, 13, dtype=torch.float64)  # from the edge of the first cell
for sigma in (1.0, 2.0, 4.0):
    lean, formula = border_lean(distance, sigma)
    print(f"width {sigma}: on the edge {lean[0]:.2f} cells, formula {formula[0]:.2f}; "
          f"6 cells inside {round(lean[-1].item(), 3) + 0:.3f}, formula {formula[-1]:.3f}")
    assert (lean - formula).abs().max() < 1 / (24 * sigma)

# %%
lean, formula = border_lean(distance, 2.0)
fig, (ax,) = draw.axes(height=2.4)
draw.curves(ax, distance, {"soft-argmax": formula}, {"soft-argmax": lean},
            xlabel="distance from the edge (cells)", ylabel="inward bias (cells)")
draw.show(fig, "Inward bias of soft-argmax against the distance to the edge, width 2 cells: "
               f"{lean[0]:.2f} cells on the edge, "
               "falling to nearly nothing at 6 cells; the measurements lie on the formula.")

# %% [markdown]
# *Width 2 cells, map of 41 x 41. The formula is for a continuous bell, good to $1 / 24 \sigma$ cells from a width of 1 cell on.*
#
# **Two peaks.** Section 2.5 put the mean of two equal peaks half-way. A side peak need not be equal to do harm. A way out is the **window**: the mean over only those
# cells that lie at most $r$ columns and $r$ rows away from the highest one.

# %%
main = gaussian_heatmap(torch.tensor([20.0, 20.0]), (41, 61), sigma=1.5)
side = 0.1 * gaussian_heatmap(torch.tensor([40.0, 20.0]), (41, 61), sigma=1.5)  # 20 cells away
z = (main + side).log()
for tau in (1.0, 0.5, 0.25):
    print(f"tau {tau:4.2f}: soft-argmax is off by {soft_argmax(z, tau)[0] - 20:.3f} cells")
print(f"in a window of 9 x 9 cells: {soft_argmax_window(z, radius=4)[0] - 20:.3f} cells")
print(f"compensated: {soft_argmax_compensated(main + side, beta=5.0)[0] - 20:.3f} cells")
assert abs(soft_argmax(z)[0] - 20 - 20 * 0.1 / 1.1) < 1e-3

# %% [markdown]
# The first number is $20 \cdot 0.1 / 1.1$: the side peak is 20 cells away and has one eleventh of the probability. How large must the window be?

# %%
for sigma in (1.0, 2.0, 3.0, 4.0):
    h, r = bumps(x, sigma), round(4 * sigma)
    off = [(soft_argmax_window(h.log(), radius=n)[:, 0] - x).abs().max().item() for n in (4, r)]
    print(f"width {sigma}: r = 4 is off by up to {off[0]:.2f} cells, r = {r} by {off[1]:.4f}")
    assert off[1] < 1e-3 and (off[0] > 0.05) == (sigma > 1)

# %% [markdown]
# Take $r$ at least four times the bell's width. A smaller window pulls the mean towards the highest cell: at $r = 4$ and a width of 3 cells by up to 0.22 cells.
#
# **Takeaway.** Soft-argmax needs logits, room and a single peak: a raw heatmap leaves it 0.1 cells from the map's center, the edge costs 1.61 cells at a width
# of 2, and a side peak of a tenth costs 1.818. Practice: [`border_bias`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.12 How warm should a softmax be?
#
# *22 minutes*
#
# > **Predict.** The logits carry white noise. Is soft-argmax best at a low temperature, which trusts the peak, or at a high one, which averages?

# %%
prediction("2.12")

# %% [markdown]
# **First: what does the temperature do to $p$?** It sets the width $q = \sqrt\tau\,\sigma$ (here $\sigma$ and $q$ are both in cells). Two textbook sentences
# contradict each other: "as $\tau \to 0$ all of $p$ is in one cell" and "at low temperature $p$ is a Gaussian of width $q$". Both are true, in different ranges.
# Where $q$ is well below 0.3 cells, $p$ is one cell, or two if the keypoint lies nearly half-way between them; from about 0.7 cells on, as long as the border is far, it is a Gaussian.
#
# The **entropy** of $p$ shows the change. It says, in nats, over how many cells $p$ is spread: $\ln n$ for $n$ equal cells, 0 for one. A Gaussian on a line has
#
# $$H = -\sum_u p(u) \ln p(u) \approx \tfrac12 \ln (2 \pi e\, q^2)$$

# %%
from posebook.expectation import spread


def line_softmax(phase, q, cells=61):
    """Logits of a Gaussian of width q at a phase from the middle of a row of cells."""
    k = torch.arange(cells, dtype=torch.float64) - cells // 2
    return -((k - phase) ** 2)[None] / (2 * q**2)


for q in (0.1, 0.242, 0.5, 0.7, 1.0, 3.0):
    on_cell, tie = (spread(line_softmax(phase, q))[0].item() for phase in (0.0, 0.5))
    gauss = theory.gaussian_entropy(torch.tensor([[q**2]], dtype=torch.float64)).item()
    print(f"q {q:5.3f}: entropy on a cell {on_cell:.3f}, between {tie:.3f}; Gaussian {gauss:6.3f}")
    assert q < 0.7 or abs(on_cell - gauss) < 2e-3 > abs(tie - gauss)
assert abs(spread(line_softmax(0.5, 0.1))[0] - math.log(2)) < 1e-6
assert abs(theory.gaussian_entropy(torch.tensor([[theory.ENTROPY_CROSSOVER**2]]))) < 1e-6

# %% [markdown]
# On a grid no entropy is negative. That of the Gaussian is, below $q = 1 / \sqrt{2 \pi e} = 0.242$: from there on the formula cannot hold. And half-way between two
# cells the entropy never falls below $\ln 2 = 0.693$, since two equal cells stay equal at every temperature.
#
# **Second: what does it do to the error?** Put noise on the logits and decode at seven temperatures. The peak has a width of 2 cells and stands 8 above a flat
# background:

# %%
generator = torch.Generator().manual_seed(1)
noise = 0.3 * torch.randn(400, 1, 48, generator=generator, dtype=torch.float64)
places = 23.5 + torch.rand(400, 1, 1, generator=generator, dtype=torch.float64)
clean = (-((torch.arange(48) - places) ** 2) / 8).clamp(min=-8)  # width 2, background -8
rms = {}
for tau in (0.02, 0.1, 0.5, 1.0, 2.0, 3.0, 5.0):
    miss = soft_argmax(clean + noise, tau)[:, 0] - places[:, 0, 0]
    rms[tau] = miss.square().mean().sqrt().item()
    print(f"tau {tau:4.2f}: rms error {rms[tau]:.2f} cells")
assert min(rms, key=rms.get) in (1.0, 2.0, 3.0)
assert rms[0.02] > 4 * rms[2.0] and rms[5.0] > 2 * rms[2.0]
pulled = (soft_argmax(clean, 5.0)[:, 0] - places[:, 0, 0]).square().mean().sqrt()  # no noise
assert 0.9 * rms[5.0] < pulled < rms[5.0]  # what the heat costs is bias

# %% [markdown]
# *A row of 48 cells, noise of standard deviation 0.3.*
#
# Both ends are bad, for different reasons. A cold softmax listens to one cell and its noise. A hot one listens to the background, which pulls its mean
# towards the middle of the map; it would do so without any noise. In the explorer you see both at once, in two dimensions, with the softmax as an ellipse and its mean
# under 24 draws of noise as dots. There it is the border that pulls.
#
# > **Task.** Find the temperature at which the mean is best: for a wide peak, for a narrow one, and under more noise.
# >
# > 1. Start as it is and raise *tau*. Where is the error lowest, and by which factor does it beat argmax? What happens to the ellipse meanwhile, what to the dots?
# > 2. Set *tau* to its lowest value and move *phase* from 0 to 0.5. What does the entropy do, and why?
# > 3. Make the peak narrow: *sigma* 0.7. Does the best *tau* rise or fall? And with *noise* at 1?

# %%
from posebook.explore import temperature

temperature.explore()

# %%
def best(sigma, noise):
    """The best tau, the error and the width of p there, and the error of argmax; in cells."""
    found = temperature.compute(temperature.State(sigma=sigma, noise=noise))
    error, width = found.curves.rms[found.best], found.curves.spread[found.best]
    return temperature.TAUS[found.best], error, width, found.curves.argmax


for sigma in (2.0, 0.7):
    rows = [best(sigma, noise) for noise in (0.02, 0.3, 1.0)]
    for noise, (tau, error, width, rough) in zip((0.02, 0.3, 1.0), rows, strict=True):
        print(f"sigma {sigma}, noise {noise:4.2f}: best tau {tau:4.1f}, error {error:.3f}, "
              f"width {width:.1f}, argmax {rough:.2f} cells")
        assert 1.7 < width < 3
    taus, errors = ([row[k] for row in rows] for k in (0, 1))
    assert taus[0] < taus[1] <= taus[2] and errors[0] < errors[1] < errors[2]
assert best(0.7, 0.02)[0] > best(2.0, 1.0)[0]  # a narrow peak wants more heat
_, error, _, rough = best(2.0, 0.3)
print(f"where the explorer starts, argmax is {rough / error:.1f} times worse")

# %%
for phase in (0.0, 0.3, 0.4, 0.48, 0.5):
    entropy = temperature.compute(temperature.State(tau=0.002, phase=phase)).entropy
    print(f"lowest tau, phase {phase:.2f}: entropy {entropy:.2f}")
    assert (entropy < 0.01) == (phase <= 0.4) and entropy < math.log(2) + 1e-6
for noise in (0.3, 1.0):
    states = [temperature.State(tau=tau, noise=noise) for tau in (1.7, 2.4)]
    less, more = (temperature.compute(state).rms for state in states)
    print(f"sigma 2.0, noise {noise}: error {less:.3f} cells at tau 1.7, {more:.3f} at tau 2.4")
    assert (1.05 * less < more) == (noise == 0.3) != (1.02 * more < less)

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. Near $\tau = 2$ the error is 0.04 cells, some 18 times less than that of argmax. The ellipse grows all the way up, while the dots come together. They leave the keypoint, together, when the
#    ellipse feels the border.
# 2. At phase 0 it is 0, since one cell has everything. At phase 0.5 it is $\ln 2 = 0.69$: two cells tie, and a low temperature cannot decide between them. In between it
#    stays near 0 until the tie is close.
# 3. The best *tau* rises to about 9. What is best is a softmax that is some two to three cells wide, and a narrow peak needs more heat to become so wide. More noise makes even the best
#    error larger and asks for more heat: with *sigma* 0.7 and *noise* 1 the best *tau* is near 14. With *sigma* 2 the table shows 2.0 for both, because its temperatures lie
#    too far apart: of 1.7 and 2.4, the lower one is better with *noise* 0.3, the higher one with *noise* 1.
#
# </details>
#
# **Takeaway.** The best temperature is neither end: with this peak and this noise the error falls from 0.84 cells at $\tau = 0.02$ to 0.11 at 2 and is back at 0.34
# at 5. Cold softmaxes follow the noise, hot ones the background.

# %% [markdown]
# ## 2.13 Does the spread tell how good the estimate is?
#
# *17 minutes*
#
# > **Predict.** You raise the temperature, and $p$ becomes wider. Does its mean become more uncertain?

# %%
prediction("2.13")

# %% [markdown]
# Two variances are easily taken for one another. The first is the spread of $p$: how far its cells lie from its mean. It is $q^2 = \tau \sigma^2$ cells squared. The
# second is the variance of the *estimate* $\hat u$: how far the mean itself moves from one noisy map to the next.
#
# Put white noise of a small standard deviation $\nu$ on the logits. A change of the logit of cell $u$ moves $\hat u$ by the gradient of section 2.7,
# $p(u)\,(u - \hat u) / \tau$. The noises of different cells are independent, so their squares add:
#
# $$\operatorname{Var} \hat u = \frac{\nu^2}{\tau^2} \sum_u p(u)^2 (u - \hat u)^2 \approx \frac{\nu^2}{8 \pi \tau^2} \quad \text{cells squared, on each axis of a plane}$$
#
# The sum is right for noise that is small beside $\tau$. The last step, besides, needs a border that is far. It is right to 16 % where $p$ is 0.7 cells wide, to 5 % at 0.8
# and to about 1 % from 0.9 on.
#
# <details><summary>Where the last step comes from</summary>
#
# The square of a Gaussian $p$ of width $q$ is again a Gaussian, of width $q / \sqrt 2$, and its cells sum to $1 / (4 \pi q^2)$ in the plane. So the sum is this number times
# the variance $q^2 / 2$, which is $1 / (8 \pi)$, whatever the width. On a grid the phase matters as well, but less and less as $p$ becomes wider; the next cell says how much.
#
# </details>

# %%
phases = torch.linspace(-0.5, 0.5, 21, dtype=torch.float64)[:, None]
for q, close in ((0.7, 0.16), (0.8, 0.05), (0.9, 0.011), (1.0, 0.003), (3.0, 0.003)):
    p = torch.softmax(-((torch.arange(-20, 21) - phases) ** 2) / (2 * q**2), -1)  # on one axis
    away = torch.arange(-20, 21) - (p * torch.arange(-20, 21)).sum(-1, keepdim=True)
    times = 8 * math.pi * (p * away).square().sum(-1)[:, None] * p.square().sum(-1)  # phases x, y
    print(f"q {q}: the sum is {times.min():.2f} to {times.max():.2f} times 1 / (8 pi)")
    assert (times - 1).abs().max() < close

# %%
rows, columns = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
away = ((columns - 16.2) ** 2 + (rows - 15.9) ** 2).double()  # squared, in cells
generator = torch.Generator().manual_seed(3)
noise = 0.05 * torch.randn(2000, 33, 33, generator=generator, dtype=torch.float64)


def two_variances(sigma, tau):
    """Variance of p in cells squared, and standard deviation of the estimate in cells, in x."""
    peak = -away / (2 * sigma**2)
    return spread(peak, tau)[1][0, 0].item(), soft_argmax(peak + noise, tau)[:, 0].std().item()


# %%
seen = {}
for sigma in (2.0, 0.5):
    for tau in (0.25, 0.5, 1.0, 2.0):
        q = tau**0.5 * sigma
        wide, sure = seen[q] = two_variances(sigma, tau)
        formula = theory.noise_variance(0.05, tau, q) ** 0.5
        print(f"sigma {sigma}, tau {tau:4.2f}, q {q:4.2f}: variance of p {wide:.2f} cells^2, "
              f"sd of estimate {sure:.4f} cells, formula {formula:.4f}")
        assert q < 0.7 or abs(sure / formula - 1) < 0.1 and abs(wide / q**2 - 1) < 0.01
assert seen[1.0][1] > 7 * seen[8**0.5][1]  # wide: the estimate becomes surer
assert seen[0.25][1] < seen[0.125**0.5][1] / 3  # narrow: less sure

# %%
loud = soft_argmax(-away / 8 + 20 * noise, 0.5)[:, 0].std().item()
formula = theory.noise_variance(1.0, 0.5, 2 * 0.5**0.5) ** 0.5
print(f"sigma 2.0, tau 0.50, noise of 1: sd of estimate {loud:.2f} cells, formula {formula:.2f}")
assert loud > 1.3 * formula  # this noise is not small beside tau
for x in (16.2, 16.5):
    narrow = -((columns - x) ** 2 + (rows - 15.9) ** 2).double() / (2 * 0.5**2)
    cold, warm = (soft_argmax(narrow + noise, tau)[:, 0].std().item() for tau in (0.25, 0.5))
    print(f"sigma 0.5, x = {x}: sd of estimate {cold:.4f} at tau 0.25, {warm:.4f} at tau 0.5")
    assert (2 * cold < warm) == (x == 16.2) != (cold > 1.9 * warm)

# %%
fig, (ax,) = draw.axes(height=2.6)
taus = torch.tensor([0.35, 0.5, 0.7, 1.0, 1.4, 2.0], dtype=torch.float64)
formula = {"spread of p": 2 * taus.sqrt(), "estimate": 0.05 / math.sqrt(8 * math.pi) / taus}
wide, sure = torch.tensor([two_variances(2.0, tau) for tau in taus.tolist()]).T
draw.curves(ax, taus, formula, {"spread of p": wide.sqrt(), "estimate": sure},
            yscale="log", xlabel="temperature", ylabel="sd (cells)", ylim=(3e-3, 10))
draw.show(fig, "Two standard deviations against the temperature, on a logarithmic axis: the spread "
               "of p rises from 1.2 to 2.8 cells, that of the estimate falls from 0.028 to 0.005.")

# %% [markdown]
# *Peak of width 2 cells at (16.2, 15.9), noise of standard deviation 0.05. Lines: the formulas; dots: measured, the lower ones over 2000 draws.*
#
# So whoever reads "$p$ is wide" as "the answer is uncertain" has it the wrong way round here. Below 0.7 cells it is another matter. With $\sigma = 0.5$ and
# the keypoint 0.2 cells from a cell's center, both grow from $\tau = 0.25$ to 0.5, because a softmax with one cell left hardly moves. Half-way between two cells the
# estimate moves more when it is cold. Is the spread of no use, then? [Section
# 1.15](01_representations.ipynb) does take it for an error, and with some success. The difference is where the map comes from. There a network was *trained*, with
# the cross-entropy and at $\tau = 1$, to spread $p$ as its labels were spread; its spread is an answer that it has learned. Here $p$ is as wide as the target and
# the temperature make it, and nothing was learned.
#
# **Takeaway.** The spread of $p$ is not the variance of the estimate. Where $p$ is at least 0.7 cells wide, the noise low and the border far, a higher temperature moves them in opposite
# directions: with $\sigma = 2$, from $\tau = 0.5$ to 2, the one grows from 2.0 to 8.0 cells squared, and the standard deviation of the other falls from 0.0199 to 0.0050 cells. Only training can make the spread mean an error.
# Practice: [`entropy_cov`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.14 How far does a lopsided peak lean?
#
# *24 minutes*
#
# > **Predict.** A peak has a longer tail on its right. Its highest point stays. Where does the mean go, and how does that change when the whole picture is sampled
# > at twice the stride?

# %%
prediction("2.14")

# %% [markdown]
# **First: how far the mean goes.** The simplest lopsided peak has the logits $z = -x^2 / 2 \sigma^2 + \mu x^3 / 6$. Its top, the **mode**, stays at 0, because slope and
# value of the new term are 0 there; $\sigma$ is in px and $\mu$, the lopsidedness, in px to the power $-3$. To first order in $\mu$ the mean is at
#
# $$\operatorname{E}[x] = \frac{\mu\,\tau\,\sigma^4}{2} \quad \text{px}$$
#
# <details><summary>Where that comes from</summary>
#
# For a small $\mu$ and $\tau = 1$, $e^z \approx e^{-x^2 / 2 \sigma^2} (1 + \mu x^3 / 6)$. The first factor is a Gaussian, under which $x$ has the mean 0 and $x^4$ the mean
# $3 \sigma^4$. So the mean of $x$ is $\mu / 6 \cdot 3 \sigma^4$. A temperature divides all logits, which is the same as $\sigma^2 \tau$ for $\sigma^2$ and $\mu / \tau$ for $\mu$.
#
# On the whole line the peak would not end: far out on the right the cube wins over the square. The formula is meant within a window of some standard deviations.
#
# </details>

# %%
mu, sigma = 2e-3, 2.0
x = torch.linspace(-12, 12, 2401, dtype=torch.float64)
p = torch.softmax(-(x**2) / (2 * sigma**2) + mu * x**3 / 6, 0)
print(f"mode 0, mean {(p * x).sum():.4f} px, formula {theory.asymmetry_bias(mu, sigma):.4f} px")
assert abs((p * x).sum() / theory.asymmetry_bias(mu, sigma) - 1) < 0.01

# %% [markdown]
# **Second: how it grows with the stride.** "The bias grows with powers of the stride and of the dilation", people say. Which power depends on what stays the same
# when the stride changes. (The dilation is the distance between the cells that a window looks at, in cells.) Put what stays into $\mu \sigma^4 / 2$:
#
# | what stays | then | the bias in px grows with the stride to the power |
# |---|---|---|
# | mu and sigma in px | the picture is the same, only the grid is coarser | 0 |
# | mu and sigma in cells | the network draws the same shape on every map: $\sigma \propto s$, $\mu \propto s^{-3}$ | 1 |
# | mu in px, sigma in cells | the peak becomes wider, its lopsidedness is the picture's: $\sigma \propto s$ | 4 |
# | mu and sigma in px, three taps | only the highest cell and one at each side count, as in a dilated window | 4, for small strides |

# %%
def lean(stride, mu, sigma, radius=60):
    """Bias in px of soft-argmax over cells a stride apart; mu and sigma in px."""
    u = stride * torch.arange(-radius, radius + 1, dtype=torch.float64)
    u = u[u.abs() <= 6 * sigma]
    return (u * torch.softmax(-(u**2) / (2 * sigma**2) + mu * u**3 / 6, 0)).sum().item()


cases = {
    "mu and sigma in px": lambda s: lean(s, 1e-5, 6.0),
    "mu and sigma in cells": lambda s: lean(s, 1e-3 / s**3, 2.0 * s),
    "mu in px, sigma in cells": lambda s: lean(s, 1e-5, 2.0 * s),
    "mu and sigma in px, three taps": lambda s: theory.three_tap_bias(1e-5, 60.0, s),
}
for name, bias in cases.items():
    slope = math.log2(bias(4) / bias(2))
    print(f"{name:31s} bias grows with stride to the power {slope:.2f}")
    assert abs(slope - theory.ASYMMETRY_EXPONENTS[name]) < 0.05

# %% [markdown]
# In the explorer, *fixed* chooses what stays; $\mu$ and $\sigma$ are given at stride 8. The drawing at the right has the stride across and the bias upwards, both logarithmic, so
# that a power is a slope.
#
# > **Task.** Find by which factor the bias grows each time the stride doubles.
# >
# > 1. Choose each of the four for *fixed*, and go through the strides. Which two have the same slope? Where do two of them bend, and why?
# > 2. Choose *mu in px, sigma in cells* and stride 16. Lower *mu*, then raise it. For which does the measured bias follow the law?
# > 3. Raise *tau* from 1 to 2. What does the law do, and what would DARK, which looks for the top, do?

# %%
from posebook.explore import asymmetry

asymmetry.explore()

# %%
for mu in (1e-5, 3e-5, 6e-5):
    gamma = mu * 16.0**3  # sigma 8 px at stride 8 is 16 px at stride 16
    far = lean(16, mu, 16.0) / theory.asymmetry_bias(mu, 16.0)
    print(f"mu {mu:.0e}, gamma {gamma:.2f}: the bias is {far:.2f} times the law")
    assert abs(far - 1 - 1.25 * gamma**2) < 0.3 * gamma**2 + 2e-3
at = asymmetry.compute(asymmetry.State(stride=16))  # mu in px, sigma in cells
held, times = at.reach / at.sigma, at.measured[16] / at.law
print(f"mu {at.mu:.0e}, gamma {at.gamma:.2f}: {times:.2f} times, window of {held:.1f} sigma")
assert times < 0.2 and held < 1.7 and math.isclose(at.reach, 2 / (at.mu * at.sigma**2))  # slope 0

# %%
print("the bias grows, from stride to stride   1-2   2-4   4-8   8-16;  the law, from tau 1 to 2")
for fixed, power in theory.ASYMMETRY_EXPONENTS.items():
    start, hot = (asymmetry.compute(asymmetry.State(fixed=fixed, tau=tau)) for tau in (1.0, 2.0))
    times = [start.measured[2 * s] / start.measured[s] for s in (1, 2, 4, 8)]
    warmer = hot.law / start.law
    print(f"{fixed:37s}", *(f"{t:5.2f}" for t in times), f"times; {warmer:.1f} times")
    assert abs(times[0] / 2**power - 1) < 0.01 and (times[-1] < 2**power / 2) == (power == 4)
    assert (times[-1] > 1.1 * 2**power) == (power == 0)
    assert math.isclose(warmer, 0.5 if "three taps" in fixed else 2)

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. Factors of 1, 2, 16 and 16: the slopes of the last two are the same, and both bend, most of all from stride 8 to 16. There the bias of *three taps* grows only 6.23 times: the
#    taps lie farther apart than the peak is wide, and the outer two count for little. That of *mu in px, sigma in cells* grows only 2.82 times: the peak has
#    become so lopsided that the explorer's window, which ends where the cube turns the scores up again, holds only 1.6 sigma to each side. A third one bends a little, *mu and sigma in px*: 1.17 times instead of 1, because cells of 16 px are too coarse for a peak of 8 px.
# 2. The smaller one. The law is the first order in $\gamma = \mu \sigma^3 \sqrt\tau$, a number without a unit; while $\gamma$ is small, the next term makes the bias $1 + \frac54 \gamma^2$ times as large, so
#    that the law is good to 2 % up to $\gamma = 0.12$ or so.
# 3. The law doubles; that of *three taps* halves, because heat only makes the three weights more equal. The top does not move with the temperature, and DARK would stay where it is.
#
# </details>
#
# **Third: is DARK better?** It aims at the top, not at the mean. But it takes the slope from three cells, which lie a stride apart, and the cube bends what lies between
# them. Averaged over the phases it leans by $\mu \sigma^2 s^2 / 8$ px. That is soft-argmax's lean times $s^2 / 4 \tau \sigma^2$, here 1/9.
#
# <details><summary>Where that comes from</summary>
#
# Let the mode be at 0 and the nearest cell at $x_0$. The central difference of the logarithm $L$ is $L'(x_0) + s^2 L''' / 6$, with $L''' = \mu$, and the second difference is
# $L''(x_0) = -1 / \sigma^2 + \mu x_0$. To first order in $\mu$ the Newton step leads to $\mu \sigma^2 (s^2 / 6 - x_0^2 / 2)$. Over a cell, $x_0^2$ averages to $s^2 / 12$, and
# $1/6 - 1/24 = 1/8$.
#
# </details>

# %%
u = 10 + (torch.arange(100, dtype=torch.float64) + 0.5) / 100 - 0.5  # 100 phases
x = 4 * (torch.arange(21) - u[:, None])  # px from the keypoint, stride 4
profile = torch.exp(-(x**2) / (2 * 6.0**2) + 1e-4 * x**3 / 6)  # sigma 6 px
maps = profile[:, None, :] * torch.exp(-((torch.arange(5) - 2.0) ** 2) / 2)[:, None]
soft, dark = theory.asymmetry_bias(1e-4, 6.0), 1e-4 * 6.0**2 * 4**2 / 8
for name, decoder, formula in (("soft-argmax", lambda h: soft_argmax(h.log()), soft),
                               ("DARK", refine_dark, dark)):
    bias = 4 * (decoder(maps)[:, 0] - u).mean().item()
    print(f"{name:11s} leans by {bias:.4f} px, formula {formula:.4f} px")
    assert abs(bias / formula - 1) < 0.02
assert torch.allclose(refine_dark(maps), refine_dark(maps.sqrt()))  # tau = 2: DARK stays

# %% [markdown]
# **Takeaway.** A lopsided peak pulls soft-argmax by $\mu \tau \sigma^4 / 2$, here by 0.0160 px. That grows with the stride to the power 0, 1 or 4, according to what stays
# fixed. DARK leans less where the peak is wider than half a stride, here by 0.0072 px instead of 0.0648. Practice: [`asymmetry_bias`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.15 Do anchors do better than heatmaps?
#
# *11 minutes*
#
# The **head** of a network is its last part: it turns what the rest, the **backbone**, has found in the picture into an answer. An **anchor** is a grid point of the
# picture. An anchor-based head gives each anchor a score and an **offset**, an arrow from the anchor to the keypoint. Each anchor
# votes for the place where its arrow ends. Either the vote of the anchor with the best score wins ("hard"), or the mean of all votes, weighted with a softmax of the
# scores ("soft").
#
# > **Predict.** All offsets are exactly right. How wrong may the scores be?

# %%
prediction("2.15")

# %% [markdown]
# Anchor $a_j$ with offset $\delta_j$, both in px, votes for $a_j + \delta_j$; the softmax of the scores gives weights with $\sum_j p_j = 1$. If every vote is the keypoint
# $x^\ast$, then $\sum_j p_j x^\ast = x^\ast$, whatever $p$.

# %%
from posebook.decode import decode_anchors

generator = torch.Generator().manual_seed(4)
places = 4 * torch.cartesian_prod(torch.arange(24.0), torch.arange(24.0))  # (576, 2) px, stride 4
goal = 40 + 4 * torch.rand(2000, 1, 2, generator=generator)  # 2000 keypoints
exact = goal - places  # (2000, 576, 2)
scores = -(exact.square().sum(-1)) / (2 * 6.0**2)  # log of a Gaussian of 6 px, 1.5 cells
noisy = exact + 1.5 * torch.randn(exact.shape, generator=generator)
heads = {"exact": exact, "none": 0 * exact, "noise of 1.5 px": noisy, "10 % too short": 0.9 * exact}
for name, offsets in heads.items():
    miss = [decode_anchors(scores, places, offsets, mode=mode) - goal[:, 0]
            for mode in ("hard", "soft")]
    hard, soft = (e.square().mean().sqrt().item() for e in miss)
    print(f"offsets {name:16s} rms on an axis: hard {hard:.3f} px, soft {soft:.3f} px")
    right = {"exact": 0, "none": 4 / math.sqrt(12), "noise of 1.5 px": 1.5}.get(name, hard)
    assert abs(hard - right) < 0.04 and soft <= hard + 1e-3
any_scores = torch.randn(2000, 576, generator=generator)
assert torch.allclose(decode_anchors(any_scores, places, exact, mode="soft"), goal[:, 0], atol=1e-3)

# %%
votes = theory.effective_votes(1.5)
miss = decode_anchors(scores, places, noisy, mode="soft") - goal[:, 0]
print(f"{votes:.0f} votes count: 1.5 px / sqrt({votes:.0f}) = {1.5 / math.sqrt(votes):.3f} px")
assert abs(miss.square().mean().sqrt() / (1.5 / math.sqrt(votes)) - 1) < 0.07
cells = torch.arange(-20.0, 21.0)
for q in (0.2, 0.4, 0.7, 1.0, 2.0):  # width of the softmax in cells, over 100 phases
    row = torch.softmax(-((cells - torch.linspace(-0.45, 0.45, 10)[:, None]) ** 2) / (2 * q**2), -1)
    counted = 1 / (row.square().sum(-1)[:, None] * row.square().sum(-1)).mean().item()
    print(f"q {q}: {counted:5.2f} votes, 4 pi q^2 = {4 * math.pi * q**2:5.2f}")
    assert (abs(counted / (4 * math.pi * q**2) - 1) < 0.01) == (q >= 0.7) and counted >= 1
    assert (theory.alias_rms(q) < 1e-3) == (q >= 0.7)  # of soft voting without offsets, in cells

# %% [markdown]
# Without offsets, hard voting is argmax, with its error of $s / \sqrt{12}$, and soft voting is soft-argmax, which needs no offsets on clean scores if the
# softmax is at least 0.7 cells wide. With independent noise on
# the offsets, hard voting has the noise of one vote. Soft voting has the noise of a mean of many: of $1 / \sum_j p_j^2$ votes, which is $4 \pi q^2$ for a softmax that is $q \ge
# 0.7$ cells wide. (Narrower, it is one vote, or a few where several anchors are equally near.) A heatmap with an offset head beside it is the same thing: the difference is
# between offset and no offset, not between anchors and no anchors.

# %%
fig, (ax,) = draw.axes(height=2.6)
noise = torch.linspace(0, 3, 7, dtype=torch.float64)  # px
lines = {"best vote": noise, "mean of the votes": noise / math.sqrt(votes),
         "no offsets, best vote": torch.full_like(noise, 4 / math.sqrt(12))}
unit = (noisy - exact)[:500] / 1.5
seen = {}
for name, mode in (("best vote", "hard"), ("mean of the votes", "soft")):
    miss = [decode_anchors(scores[:500], places, exact[:500] + n * unit, mode=mode) - goal[:500, 0]
            for n in noise.tolist()]
    seen[name] = torch.stack([e.square().mean().sqrt() for e in miss])
    assert (seen[name] - lines[name]).abs().max() < 0.2
draw.curves(ax, noise, lines, seen, xlabel="noise on the offsets (px)", ylabel="rms error (px)")
draw.show(fig, "Error against the noise on the offsets. The best vote errs as much as its own "
               "offset, and more than argmax, which has none, from 1.155 px on; the mean of the "
               "votes errs some five times less.")

# %% [markdown]
# *Anchors every 4 px, softmax of width 1.5 cells. Lines: the formulas; dots: 500 keypoints.*
#
# **Takeaway.** Exact offsets make the scores irrelevant; independent noise of 1.5 px on them is averaged down to 0.283 px by soft voting, and offsets that are 10 % too short keep 10 % of argmax's
# error in the best vote. Practice: [`anchor_decode`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.16 Why does the flip test need a shift?
#
# *23 minutes*
#
# Many pose estimators run twice, on the image and on its mirror image, flip the second heatmap back and average. With targets at $u = x / s$ (pixel $x$, stride $s$) the two do not fit.
#
# > **Predict.** Image of $W = s\,w$ px, map of $w$ cells, stride 4. By how many cells is the flipped-back peak off?

# %%
prediction("2.16")

# %% [markdown]
# The image is mirrored about its middle, $x \to W - 1 - x$, the map about its own, $u \to w - 1 - u$:
#
# $$\Big(w - 1 - \frac{W - 1 - x}{s}\Big) - \frac{x}{s} = -\frac{s - 1}{s} \quad \text{cells}$$

# %%
from posebook.warp import flip_heatmap, flip_points, flip_shift

keypoint = torch.tensor([[101.0, 40.0]])  # px, in an image of 256 x 192
mirrored = flip_points(keypoint, 256)
print("in the mirror image at x =", mirrored[0, 0].item())
for name, grid_used in {"index": Grid.index(4), "center": Grid.center(4),
                        "unit length": Grid.unit_length((192, 256), (48, 64))}.items():
    seen = gaussian_heatmap(grid_used.to_cells(mirrored), (48, 64), sigma=2.0)  # a perfect network
    goal = grid_used.to_cells(keypoint)[0, 0]
    back = (refine_dark(seen.flip(-1))[0, 0] - goal).item()
    fixed = (soft_argmax(flip_heatmap(seen, 256, grid_used).log())[0, 0] - goal).item()
    both = gaussian_heatmap(grid_used.to_cells(keypoint), (48, 64), sigma=2.0) + seen.flip(-1)
    mean = (soft_argmax(both.log())[0, 0] - goal).item()
    back, mean, fixed = (round(e, 3) + 0 for e in (back, mean, fixed))  # no -0
    print(f"{name:12s} flipped back: {back:5.2f} cells; the average of both: {mean:6.3f}; "
          f"corrected: {fixed:5.2f}")
    assert abs(mean - back / 2) < 1e-2
    assert abs(back + flip_shift(grid_used, width=256, cells=64)) < 1e-3 and abs(fixed) < 0.02

# %% [markdown]
# The two middles differ only where the grid is not its own mirror image. Shifting by one whole cell, as much code does, goes too far:

# %%
for stride in (2, 4, 8):
    left = 1 - flip_shift(Grid.index(stride), width=64 * stride, cells=64)
    print(f"stride {stride}: a shift of one cell leaves {left:.3f} cells, {stride * left:.1f} px")
    assert stride * left == 1.0

# %% [markdown]
# What is left is 1 px on every stride. Does `Grid.center` never need a shift, then? Only if the cells cover the image exactly. If the width is no multiple of the
# stride, the cells end before the image does (or after it), and the middle of the map is not the middle of the image:

# %%
for width, cells in ((256, 64), (252, 63), (250, 62), (250, 63), (253, 63)):
    shifts = {name: flip_shift(g, width=width, cells=cells) for name, g in (
        ("center", Grid.center(4)), ("unit length", Grid.unit_length((width,) * 2, (cells,) * 2)))}
    print(f"{width} px, {cells} cells: ", ", ".join(
        f"{name} needs {round(by, 3) + 0:.2f} cells" for name, by in shifts.items()))
    assert abs(shifts["unit length"]) < 1e-6
    assert (abs(shifts["center"]) < 1e-6) == (width == 4 * cells)

# %% [markdown]
# Unit lengths, as UDP has them, never need a shift, since they stretch the cells over the whole image. In the explorer the image has 96 px, a multiple of all its strides.
#
# > **Task.** Make the average right on each grid, and say which shift it needed.
# >
# > 1. *grid* index, *shift* none: go through the strides. By how many cells is the flipped-back peak off, by how many px? And the average?
# > 2. Set *shift* to one cell. On which side is the average now, and by how many px? Does a larger stride make it worse?
# > 3. Set *grid* to center, then to unit length. Which shift is right? What does one cell do there?

# %%
from posebook.explore import flip

flip.explore()

# %%
for s in flip.STRIDES:
    off = flip.compute(flip.State(stride=s, grid="index", shift="none")).off
    back = off["flipped back"]
    print(f"stride {s}: flipped back off by {back:.3f} cells, {s * back:.1f} px; "
          f"the average by {s * off['average']:.1f} px")
    assert abs(back + (s - 1) / s) < 1e-3 and abs(off["average"] - back / 2) < 1e-3

# %%
tried = (("index", "none"), ("index", "one cell"), ("index", "exact"), ("center", "none"),
         ("center", "one cell"), ("unit length", "none"))
for kind, shift in tried:
    average = [flip.compute(flip.State(stride=s, grid=kind, shift=shift)) for s in flip.STRIDES]
    px = [result.off["average"] * result.stride for result in average]
    print(f"grid {kind}, shift {shift}: the average is off by ",
          ", ".join(f"{round(error, 2) + 0:.2f}" for error in px), "px at stride 2, 4, 8")
    right = "exact" if kind == "index" else "none"
    assert (max(map(abs, px)) < 0.01) == (shift == right)

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The peak is off by $(s - 1) / s$ cells to the left: 0.5, 0.75 and 0.875 cells, which is 1, 3 and 7 px. The average is off by half of that.
# 2. It is half a pixel to the right, at every stride: one cell goes 1 px too far, and the average has half of it.
# 3. None. One cell moves the peak by a whole stride away from where it was right, and the average by half a stride.
#
# </details>
#
# **Takeaway.** With targets at $x / s$ and stride 4 the flipped-back peak is off by -0.75 cells and the average by half of that, 1.5 px. On a grid that is its own mirror
# image neither is off at all: unit lengths always are, cell centers where the cells cover the image exactly. Practice:
# [`flip_back`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.17 How do you fuse two heads?
#
# *22 minutes*
#
# > **Predict.** One head has standard deviation 1 px, the other 2 px. What weight should the second one get: 1/2, 1/3, 1/5, none?

# %%
prediction("2.17")

# %% [markdown]
# For independent, unbiased heads with variances $v_m$ (px squared), weights $w_m$ that sum to 1 and $w^\ast_m \propto 1 / v_m$,
#
# $$\sum_m v_m w_m^2 = V^\ast + \sum_m v_m (w_m - w^\ast_m)^2, \qquad V^\ast = \frac{1}{\sum_m 1 / v_m}$$
#
# The second term is a sum of squares, so $V^\ast$ is the minimum, and a small error in the weights costs only its square.

# %%
from posebook.fusion import fuse_inverse_variance

heads = torch.tensor([[[0.0, 0.0]], [[10.0, 5.0]]])  # two heads, one keypoint
fused, variance = fuse_inverse_variance(heads, torch.tensor([[1.0], [4.0]]))
print("weights 0.8 and 0.2: fused", fused, "variance", variance)
assert torch.allclose(fused, torch.tensor([[2.0, 1.0]]))
assert torch.allclose(variance, torch.tensor([0.8]))
v, best, other = torch.tensor([1.0, 4.0]), torch.tensor([0.8, 0.2]), torch.tensor([0.5, 0.5])
assert torch.allclose((v * other**2).sum(), variance + (v * (other - best) ** 2).sum())
for factor in (2, 4, 10):
    cost = theory.misjudged_inflation(0.5, factor)
    print(f"of two equal heads, one misjudged {factor} times: {cost:.2f} times the variance")

# %% [markdown]
# The proof needs three things: no bias, variances that are known, and independence. Two heads on one backbone tend to share their mistakes. With correlation $r > 0$ the mean
# that believes in independence is still unbiased, but not as good as it says:

# %%
errors = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
for r in (0.0, 0.3, 0.5, 0.8):
    second = 2 * (r * errors[:, 0] + math.sqrt(1 - r**2) * errors[:, 1])
    naive = (0.8 * errors[:, 0] + 0.2 * second).var().item()
    print(f"r {r:.1f}: says 0.80, has {theory.naive_variance(1, 4, r):.2f}; head 1 alone 1.00, "
          f"the best weights {theory.optimal_variance(1, 4, r):.2f} with "
          f"{theory.optimal_weight(1, 4, r):.2f} on head 1")
    assert abs(naive / theory.naive_variance(1, 4, r) - 1) < 0.02
print(f"worse than head 1 alone from r = {theory.naive_limit(2.0):.4f} on")

# %% [markdown]
# A weight of 1.33 is no misprint. Beyond $r = 1/2$, the ratio of the two standard deviations, the worse head's best weight is negative: the worse head then serves to
# guess the mistake that both share, which is subtracted from the better one. That needs an $r$ that is known well, and it seldom is.
#
# In the explorer both heads estimate one number. *sd 1* and *sd 2* are their standard deviations, *r* is their correlation, and *reported* is the standard deviation that head 2
# claims to have. The *naive* mean believes that claim and believes in independence; the *best* mean knows the truth.
#
# > **Task.** Find out what makes the naive mean worse than head 1 alone.
# >
# > 1. Set *sd 1*, *sd 2* and *reported* to 1 and *r* to 0. Which weight does head 1 get? Now set *reported* to 2, so that the variance is misjudged four times. What does it cost?
# > 2. Set *sd 2* and *reported* to 2. Raise *r* slowly from 0. From where on is the naive mean worse than head 1 alone? From where on is the best weight outside 0 to 1?
# > 3. At *r* = 0.8, choose *reported* so that the naive mean is as good as it can be. Is the truth, 2, the best choice?

# %%
from posebook.explore import fusion

fusion.explore()

# %%
def naive_mean(**state):
    return fusion.compute(fusion.State(**state)).naive


for reported in (1.0, 2.0):
    mean = naive_mean(s1=1.0, s2=1.0, r=0.0, reported=reported)
    print(f"equal heads, reported {reported:.0f}: weight {mean.weight:.2f}, "
          f"{mean.times:.2f} times the best variance")
for r in (0.3, 0.32, 0.5):
    variance = naive_mean(s1=1.0, s2=2.0, r=r, reported=2.0).variance
    print(f"sd 1 and 2, r = {r:.2f}: variance {variance:.3f}, of head 1 alone 1")
    assert (variance > 1) == (r > theory.naive_limit(2.0))
times = [naive_mean(s1=1.0, s2=2.0, r=0.8, reported=reported).times for reported in (2.0, 4.0, 8.0)]
print("r = 0.80, reported 2, 4, 8:", *(f"{t:.2f}" for t in times), "times the best variance")
assert times[0] > times[1] > times[2] > 1

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. One half. With *reported* at 2 it gets 0.8, and the variance is 1.36 times the best.
# 2. From $r = 0.3125$ on, in the explorer from 0.32 on; the best weight leaves the range at $r = 0.5$.
# 3. No: the larger the reported value, the better, since head 2 is better left out than believed. But not even the largest makes it as good as the best mean, which would give
#    head 2 a negative weight.
#
# </details>
#
# Worse than all of these is a head that fails silently. Here the second head is off by 60 px in one frame of ten, while the variance that it reports stays the same:

# %%
good = errors[:, 0]
silent = 2 * errors[:, 1] + 60 * (torch.arange(len(errors)) % 10 == 0)
both = 0.8 * good + 0.2 * silent
alone, fused = (e.square().mean().sqrt().item() for e in (good, both))
print(f"root mean square error: the good head {alone:.1f} px, fused {fused:.1f} px")
assert fused > 3 * alone

# %% [markdown]
# **Takeaway.** Inverse variance is best for independent, honest heads; above a correlation of 0.3125 its weights are worse here than the better head alone, and one silent
# failure in ten frames takes the error from 1.0 to 3.9 px. Practice: [`fuse`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.18 Which decoder, when?
#
# *26 minutes, short path*
#
# > **Predict.** On clean Gaussian heatmaps, rank argmax, quarter shift, DARK and soft-argmax. Does the order change under noise? At the border?

# %%
prediction("2.18")

# %% [markdown]
# All decoders of this chapter meet here. One is new: **UDP's decoder**, as the toolbox mmpose has it. UDP is known for its grid of unit lengths (section 2.2), and it comes with
# a decoder of its own, which is DARK with three changes. Values below a thousandth of the largest one in the window are raised to it, so that noise cannot stop
# the step. A peak in the first or last cell is refined as well, with the map's edge repeated beyond it. And the mixed derivative, which DARK takes from the four
# diagonal neighbors, is taken along one diagonal only.
#
# The error is estimate minus truth on the x axis, in cells, as a root mean square over 400 keypoints,
#
# $$\mathrm{rms} = \sqrt{\tfrac1{400} \textstyle\sum_i (\hat u_i - u_i)^2}$$
#
# on maps of 32 x 32 cells of three kinds: clean; with white noise of standard deviation 0.05; and clean again, but with the keypoints between the first two columns. In the
# first two kinds the keypoints lie in the middle, with x and y from 10 to 22. For the logarithm that soft-argmax needs, values below a ten-thousandth of the
# peak are raised to it.

# %%
from posebook.decode import refine_udp

generator = torch.Generator().manual_seed(6)
inside = 10 + 12 * torch.rand(400, 2, generator=generator)
edge = torch.stack((torch.rand(400, generator=generator), inside[:, 1]), -1)  # x from 0 to 1 cell
trial = {"clean": (inside, 0.0), "noise": (inside, 0.05), "border": (edge, 0.0)}
decoders = {
    "argmax": argmax, "quarter shift": refine_quarter, "DARK": lambda h: refine_dark(h, blur=1.0),
    "UDP": lambda h: refine_udp(h, blur=1.0),
    "soft-argmax": lambda h: soft_argmax(h.clamp(min=1e-4).log()),
    "soft, window": lambda h: soft_argmax_window(h.clamp(min=1e-4).log(), radius=4),
    "soft, compensated": lambda h: soft_argmax_compensated(h, beta=5.0),
}

# %%
sigmas, table = (0.7, 1.0, 1.5, 2.0, 3.0), {}
for sigma in sigmas:
    for kind, (points, level) in trial.items():
        maps = gaussian_heatmap(points, (32, 32), sigma=sigma)
        maps = maps + level * torch.randn(maps.shape, generator=torch.Generator().manual_seed(7))
        for name, decoder in decoders.items():
            rms = (decoder(maps) - points)[:, 0].square().mean().sqrt().item()
            table[name, kind, sigma] = rms
print("rms in cells, for Gaussians of width  ", *(f"{sigma:6.1f}" for sigma in sigmas))
for kind in trial:
    for name in decoders:
        print(f"{kind:7s} {name:29s}", *(f"{table[name, kind, sigma]:6.2f}" for sigma in sigmas))

# %% [markdown]
# Read it kind by kind. **Clean:** here every decoder beats argmax at every one of these widths, and DARK, UDP and, for wide bells, the compensated soft-argmax are exact to a
# hundredth of a cell. **Noise:** DARK and UDP stay best, until the bell is so wide that its top is flat; the plain soft-argmax is the worst, since the noise of
# far cells has a long lever. **Border:** a wide bell is cut off, and then nothing is good; a narrow one (1 cell and less) is found again by the compensated soft-argmax.

# %%
for sigma in sigmas:
    rms = {kind: {name: table[name, kind, sigma] for name in decoders} for kind in trial}
    refined = [rms["clean"][name] for name in decoders if name != "argmax"]
    assert max(refined) < 0.6 * rms["clean"]["argmax"]
    assert max(rms["clean"]["DARK"], rms["clean"]["UDP"]) < 0.01
    assert (rms["clean"]["soft, compensated"] < 0.01) == (sigma >= 1.5)
    assert max(rms["noise"], key=rms["noise"].get) == "soft-argmax"
    lowest = min(rms["noise"].values())
    assert (max(rms["noise"][name] for name in ("DARK", "UDP")) < lowest + 0.005) == (sigma < 3)
    best = min(rms["border"], key=rms["border"].get)
    print(f"width {sigma}: best at the border is {best}, {rms['border'][best]:.2f} cells")
    assert (rms["border"][best] > 0.2) == (best != "soft, compensated") == (sigma >= 1.5)
    assert abs(rms["noise"]["DARK"] - rms["noise"]["UDP"]) < 0.005
    assert (rms["border"]["UDP"] > 1.3 * rms["border"]["DARK"]) == (sigma < 1.5)

# %% [markdown]
# And the four of the question?

# %%
four = ("DARK", "soft-argmax", "quarter shift", "argmax")
for sigma in sigmas:
    rank = {kind: sorted(four, key=lambda name: table[name, kind, sigma]) for kind in trial}
    print(f"width {sigma}: at the border first {rank['border'][0]}, last {rank['border'][-1]}")
    assert tuple(rank["clean"]) == four and rank["border"][-1] == "soft-argmax"
    assert rank["noise"] == ["DARK", "quarter shift", "argmax", "soft-argmax"]
    assert rank["border"][0] == ("DARK" if sigma < 1.5 else "quarter shift")

# %% [markdown]
# On clean maps the order is DARK, soft-argmax, quarter shift, argmax, at each of these widths. Under noise soft-argmax falls to the last place. At the border it is the last one
# too; first is DARK for bells of 0.7 and 1 cell, and the quarter shift for wider ones.
#
# Does the size of the map matter? Here the keypoints lie in the middle of a map of 64 x 64 cells:

# %%
def on_large(name, sigma, level):
    """Root mean square error in cells on a map of 64 x 64, keypoints from 20 to 44."""
    maps = gaussian_heatmap(2 * inside, (64, 64), sigma=sigma)
    noise = torch.randn(maps.shape, generator=torch.Generator().manual_seed(7))
    return (decoders[name](maps + level * noise) - 2 * inside)[:, 0].square().mean().sqrt().item()


large = {name: on_large(name, 0.7, 0.0) for name in decoders}
print(f"clean, width 0.7: argmax {large['argmax']:.2f}, soft-argmax {large['soft-argmax']:.2f}")
assert [name for name in decoders if large[name] > large["argmax"]] == ["soft-argmax"]
name = "soft, compensated"
for sigma in sigmas:
    small, rms = table[name, "noise", sigma], on_large(name, sigma, 0.05)
    print(f"noise, width {sigma}: compensated {rms:.2f}, on 32 x 32 {small:.2f}")
    assert rms > 3 * small and (small > table["argmax", "noise", sigma]) == (sigma < 1.5)

# %% [markdown]
# Soft-argmax now loses to argmax for a bell of 0.7 cells: the ten-thousandth that each empty cell has is a background, and it pulls (section 2.11). The compensated one has
# no such background, but under noise its error grows with the map, and for bells of 1 cell and less it is worse than argmax on the small map already.

# %%
fig, (ax,) = draw.axes(height=3.0)
for kind, color, marker in zip(trial, (draw.BLUE, draw.RED, draw.GREEN), "os^", strict=True):
    rms = [max(table[name, kind, 1.5], 1e-3) for name in decoders]
    ax.plot(rms, list(decoders), marker, color=color, markersize=8, label=kind)
ax.set(xscale="log", xlabel="rms error (cells), at least 0.001", xlim=(8e-4, 4))
ax.invert_yaxis()
ax.grid(alpha=0.3)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Errors of seven decoders on a logarithmic axis. On clean maps DARK, UDP and the "
               "compensated soft-argmax are near or below 0.001 cells, argmax at 0.28. Under "
               "noise DARK and UDP are best, near 0.04, and soft-argmax is worst, above 2. At the "
               "border all lie between 0.2 and 1.")

# %% [markdown]
# *The numbers for a width of 1.5 cells. Left is better.*
#
# Is there a difference between DARK and UDP's decoder, then? At the border UDP's is the worse one for narrow bells. Inside the map the numbers are the same, but a symmetry
# is not. Turn a noisy map into its mirror image: the answer should be the mirror image of the old answer.

# %%
noisy = gaussian_heatmap(inside, (32, 32), sigma=1.5)
noisy = noisy + 0.05 * torch.randn(noisy.shape, generator=torch.Generator().manual_seed(7))
apart = {}
for name in ("DARK", "UDP"):
    mirrored, straight = decoders[name](noisy.flip(-1))[:, 0], decoders[name](noisy)[:, 0]
    apart[name] = (31 - mirrored - straight).abs().max().item()
    print(f"{name}: a mirrored map is decoded up to {apart[name]:.2f} cells off the mirror image")
assert apart["DARK"] < 1e-4 < 1e-3 < apart["UDP"]  # UDP's mixed difference looks along one diagonal

# %% [markdown]
# In words, with the section that says why:
#
# | decoder | bias | gradient | cost | use it |
# |---|---|---|---|---|
# | argmax (2.3) | none on average over all phases, but up to half a cell at each | none | reads the map once | as the first step of the others |
# | quarter shift (2.9) | as argmax on a grid of half the stride; at the border as argmax | none | + 4 values | when nothing else is at hand |
# | DARK (2.10) | none on Gaussians; a peak in the first or last cell is not refined; noise needs the blur | in the step | + a window | to refine a trained heatmap network |
# | UDP's decoder | inside the map as DARK; a peak in the first or last cell is refined too, which is worse for bells of 1 cell and less; a mirrored map is not decoded in mirror image | in the step | + a window | seldom: take UDP's grid, and DARK as the decoder |
# | soft-argmax (2.5) | towards the middle at the border, by a background, by side peaks | everywhere | one exponential per cell | to train on coordinates |
# | soft-argmax in a window (2.11) | at the border; towards the highest cell if $r$ is less than four widths of the bell | in the window | + a window | to decode what soft-argmax has trained |
# | compensated (2.11) | at the border if the bell is wide, by side peaks, for bells of 1 cell and less | everywhere | one exponential per cell | on raw heatmaps without noise and with wide bells |
#
# **Takeaway.** Encode and decode on one grid; take DARK with a little blur to decode heatmaps, and soft-argmax to train on coordinates; take a window where there may be a second
# peak; and keep keypoints away from the border. In the middle of a clean map of 32 x 32, with bells from 0.7 to 3 cells, each refinement beats the 0.28 cells of argmax. On 64 x 64, at a width of 0.7, soft-argmax is off by 0.83. Between the first two columns none gets below 0.2
# cells if the bell is 1.5 cells wide or wider.

# %% [markdown]
# ## What has stayed with you?
#
# *8 minutes*
#
# Seven short questions about the whole chapter. Nothing is graded, each answer is explained, and you may try as often as you like. Answer from memory first; then go back to
# the section that an explanation names.

# %%
from posebook.quiz import quiz

quiz(2)

# %% [markdown]
# ## What you can do now
#
# You know what each decoder costs, why, and when: solve [the ten problems](../exercises/decoding/decoding.ipynb). What made the heatmaps, and what a network can and cannot
# learn from them, is the business of [chapter 1](01_representations.ipynb).
#
# And your predictions, if you made some? In the notebook, run the next cell once more to see how often you were right, and whether you were as sure as that.

# %%
predictions(2)
