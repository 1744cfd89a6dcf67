# %% [markdown]
# # 2. Decoding: from a heatmap back to a keypoint
#
# Many networks that find keypoints do not answer with coordinates. They answer with a *heatmap*: a coarse grid of scores,
# high where the keypoint seems to be. Somebody has to turn those scores into a point again. That step is called
# **decoding**, it has no weights and no training, and it decides a surprising part of the final error.
#
# Each section asks a question. Answer it for yourself before you run the cells: a wrong guess is the best way to remember.
#
# | | |
# |---|---|
# | You need | a little Python and torch; what a Gaussian and a mean are |
# | Time | about 60 minutes with the problems |
# | Problems | [the set *decoding*](../exercises/decoding/decoding.ipynb) |
#
# This chapter is growing. It has coordinates, argmax and soft-argmax; quarter shift, DARK, temperature, flips and the
# fusion of several decoders come next.

# %%
import math
import os

import torch

from posebook import coco, draw, theory
from posebook.decode import argmax, soft_argmax
from posebook.encode import gaussian_heatmap
from posebook.grid import Grid

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 2.1 What does a perfect heatmap lose?
#
# On this portrait of Grace Hopper, who wrote one of the first compilers, eight points were marked by hand. For each of them
# we draw the heatmap that a flawless network would give, then decode it by taking the highest cell.
#
# > **Predict.** The heatmap has one cell for 4 x 4 pixels. How far from the marked points do the decoded ones lie:
# > 0 px, up to 1 px, up to 3 px?
#
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
if "POSEBOOK_COCO" in os.environ:
    yours = coco.load(os.environ["POSEBOOK_COCO"], images=os.environ.get("POSEBOOK_COCO_IMAGES"))
    other, person = max(((photo, person) for photo in yours.photos for person in photo.people),
                        key=lambda pair: int((pair[1].vis > 0).sum()))
    decoded = round_trip(person.xy, other.hw, argmax)
    miss = (decoded - person.xy).norm(dim=-1)[person.vis > 0]
    print(f"{len(miss)} keypoints: mean {miss.mean():.2f} px, largest {miss.max():.2f} px")
    worst = int((decoded - person.xy).norm(dim=-1).nan_to_num(-1).argmax())
    picture = coco.read_picture(other)
    draw.show(draw.photograph(picture, yours.skeleton, person.xy, decoded, grid, around=worst),
              f"Left: {other.path.name}, one person's keypoints. Right: the cells around one.")
else:
    print("POSEBOOK_COCO is not set: the portrait is all there is to see.")

# %% [markdown]
# ## 2.2 Where in the image is cell 0?
#
# > **Predict.** A network with stride 4 makes one cell from the pixels 0, 1, 2 and 3. Pixel centers are at whole numbers. Is the
# > center of that cell at 0, at 1.5 or at 2?
#
# Every convention has the same form, with $u$ in cells and $x$ in px:
#
# $$x = \mathrm{offset} + s\,u$$
#
# and they differ in the two numbers:
#
# | name | offset | stride | who |
# |---|---|---|---|
# | index | 0 | $s$ | divide by the stride, as section 2.1 did: cell 0 then sits on pixel 0 |
# | center | $(s - 1) / 2$ | $s$ | a cell sits in the middle of the pixels that it covers |
# | unit length | 0 | $(W - 1) / (w - 1)$ | UDP: the first and the last centers coincide ($W$ px, $w$ cells) |

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
# > **Predict.** Stride 4, a noise-free symmetric peak, well inside the map. What is the largest possible distance between
# > the keypoint and the decoded point? And the typical one?
#
# Argmax answers with the nearest cell. Call the **phase** $\varphi \in (-\frac12, \frac12]$ the keypoint's position minus that
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
# The sawtooth is as often above zero as below, so argmax is **unbiased**. Books say so. It is true under four conditions:
# cells are rounded to the nearest, the peak is symmetric, keypoints are spread evenly over the cells, and the border is far.
#
# > **Predict.** Annotators mark whole pixels. With stride 4, is the mean error of argmax still 0?
#
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
# And even where the *mean* is zero, the error at a given place is not: it is the sawtooth. Taking several frames of a keypoint
# that does not move gives the same error each time. Unless the peak jitters: with Gaussian noise of standard deviation $\nu$ px
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
# Argmax looks at one cell. **Soft-argmax** asks all of them: turn scores into probabilities, then take the mean cell.
#
# > **Predict.** A map has two equally high peaks, at opposite sides. Where does soft-argmax put the keypoint?
#
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
print("two equal peaks at x = 1 and x = 7:", soft_argmax(twins).tolist())
assert torch.allclose(soft_argmax(twins), torch.tensor([4.0, 2.0]))
assert torch.allclose(soft_argmax(twins, 0.01), torch.tensor([4.0, 2.0]))  # cold does not choose

# %% [markdown]
# Half-way between them, where nothing is. Soft-argmax is a mean, so it needs *one* peak. Here is what the temperature does:

# %%
taus = (0.2, 1.0, 3.0)
means = torch.stack([soft_argmax(z, tau) for tau in taus])
maps = {f"tau = {tau}: x = {mean[0]:.2f}": (z / tau).flatten().softmax(0).view(5, 5)
        for tau, mean in zip(taus, means, strict=True)}
draw.show(draw.heatmaps(maps, means),
          "Softmax of the same 5 x 5 logits at three temperatures, the mean a circle. At tau 0.2 "
          "one cell has nearly all probability and the circle; at tau 3 the probability is spread, "
          f"and the circle is at x = {means[2, 0]:.2f}, near the center.")
assert soft_argmax(z, 0.02).tolist() == argmax(z).tolist()
assert torch.allclose(soft_argmax(z, 1e4), torch.tensor([2.0, 2.0]), atol=1e-3)

# %% [markdown]
# *The logits of the cell above at $\tau$ = 0.2, 1 and 3; circle: their mean. As $\tau \to 0$ the mean goes to the highest cell (the equal ones share);
# as $\tau \to \infty$ it goes to the center of the map, whatever the logits are.*
#
# And on the photograph? The logarithm of a Gaussian heatmap is a fine logit:

# %%
soft = round_trip(truth, photo.hw, lambda heatmaps: soft_argmax(heatmaps.log()))
miss = (soft - truth).norm(dim=-1)
assert miss.max() < 1e-3
print(f"largest error: argmax {error.max():.2f} px, soft-argmax below 0.001 px")

# %% [markdown]
# **Takeaway.** Soft-argmax is the mean cell under a softmax: it falls between the cells, and on a perfect Gaussian the
# 2.40 px of argmax become less than 0.001 px. Practice: [`soft_argmax`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.6 Why is soft-argmax so exact?
#
# A Gaussian seen on a grid is a few numbers, and still their mean hits the center almost perfectly. Almost: how almost?
#
# > **Predict.** A Gaussian with a standard deviation of one cell. How many decimals of its center does the mean get right?
#
# Take one axis, an endless grid, and as logits the logarithm of a Gaussian of $\sigma$ px. Then $p$ samples a Gaussian of width
# $q = \sqrt\tau\,\sigma / s$ cells; count cells $k$ from the one nearest to the keypoint, so that the keypoint is at its phase $\varphi$. The normalizer
# $Z(\varphi) = \sum_k e^{-(k - \varphi)^2 / 2 q^2}$ holds everything, since $\hat u - \varphi = q^2\, \frac{d}{d\varphi} \ln Z$.
# Were $Z$ constant, the error would be 0. Poisson's summation formula says how constant it is: its ripples, relative to its mean, are
# $2 e^{-2 \pi^2 n^2 q^2} \cos 2 \pi n \varphi$. Carried to the end (Jacobi's triple product), the error in cells is
#
# $$e(\varphi) = 2 \pi q^2 \sum_{n \ge 1} \frac{(-1)^n \sin 2 \pi n \varphi}{\sinh 2 \pi^2 n q^2} \;\approx\; -4 \pi q^2\, e^{-2 \pi^2 q^2} \sin 2 \pi \varphi$$
#
# and the approximation, its first term, is good from $q = 0.5$ on.

# %%
q, phase = 0.5, 0.3
k = torch.arange(-20, 21, dtype=torch.float64)
p = torch.softmax(-((k - phase) ** 2) / (2 * q**2), 0)
measured = ((k * p).sum() - phase).item()
formula = theory.alias_error(torch.tensor(phase, dtype=torch.float64), q).item()
first = -theory.alias_amplitude(q) * math.sin(2 * math.pi * phase)
print(f"measured {measured:.6f} cells, series {formula:.6f}, its first term {first:.6f}")
assert abs(measured - formula) < 1e-12 and abs(first / formula - 1) < 0.005

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
# *Map of 49 cells, keypoint at its middle, 100 phases. Dotted: $1 / \sqrt{12} = 0.289$ cells, argmax.*
#
# One formula holds both decoders. As $q \to 0$ the softmax has one cell left, and the series becomes $-\varphi$: argmax. From
# $q \approx 0.5$ on the error falls off a cliff, and between $q = 0.8$ and $1$ it sinks below what single precision can hold, so that a
# wider Gaussian gains nothing more.

# %%
phases = torch.linspace(-0.4, 0.4, 9, dtype=torch.float64)
assert torch.allclose(theory.alias_error(phases, 0.1), -phases, atol=1e-4)  # one cell left: argmax
assert theory.alias_rms(0.5) < 0.02 and theory.alias_rms(0.9) < 1e-6

# %% [markdown]
# **Takeaway.** The error of soft-argmax on a Gaussian falls like $e^{-2 \pi^2 q^2}$: 0.016 cells at $q = 0.5$ and
# $2.4 \cdot 10^{-8}$ at $q = 1$. Practice: [`soft_argmax`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.7 Can you train through it?
#
# A loss on coordinates needs a derivative of the coordinates. Argmax has none: its answer jumps, and between jumps it does not
# move at all. Soft-argmax has one.
#
# > **Predict.** The decoded point should move to the right. Which logits does the gradient raise, and which does it lower?
#
# $$\frac{\partial \hat u}{\partial z(u)} = \frac{p(u)\,(u - \hat u)}{\tau}$$
#
# in cells per unit of logit: for x, with the x of $u$ and $\hat u$. Below, `requires_grad_` tells torch to follow a tensor, and
# `backward` fills its `grad` with the derivative.

# %%
z = z.double()  # the logits of section 2.5
p = z.flatten().softmax(0).view(5, 5)
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
    prob = (z / tau).flatten().softmax(0).view(5, 5)
    spread = (prob * (torch.arange(5) - soft_argmax(z, tau)[0]) ** 2).sum().sqrt()
    size = pull(tau).abs().sum()
    print(f"tau {tau:4.2f}: sum of |gradient| {size:.1e} <= spread / tau = {spread / tau:.1e}")
    assert abs(pull(tau).sum()) < 1e-12 and size <= spread / tau

# %%
taus = (3.0, 1.0, 0.3)
means = torch.stack([soft_argmax(z, tau) for tau in taus])
draw.show(draw.heatmaps({f"tau = {tau}": pull(tau) for tau in taus}, means, signed=True),
          "Gradient of the decoded x in each logit at three temperatures: red cells to the right "
          "of the mean, blue to the left. At tau 3 many cells take part, at tau 0.3 only two.")

# %% [markdown]
# *The logits of section 2.5. Red raises x, blue lowers it; each picture has its own scale. Circle: the decoded point.*
#
# The spread of $p$, its standard deviation in x, bounds the gradient. A cold softmax is sure of itself, has no spread, and learns
# next to nothing, right or wrong. Unless two cells tie: then it hangs in the balance, and the gradient grows as $1 / \tau$.

# %%
for tau in (1.0, 0.1):
    leaf = twins.clone().requires_grad_()  # two equal peaks, 6 cells apart
    soft_argmax(leaf, tau)[0].backward()
    print(f"two equal peaks, tau {tau}: sum of |gradient| {leaf.grad.abs().sum():.1f}")
    assert torch.allclose(leaf.grad.abs().sum(), torch.tensor(3.0 / tau))

# %% [markdown]
# **Takeaway.** Soft-argmax passes a gradient, $p\,(u - \hat u) / \tau$, to every cell that has probability; argmax passes none, and
# a cold softmax nearly none unless two cells tie. Practice: [`soft_argmax`](../exercises/decoding/decoding.ipynb).

# %% [markdown]
# ## 2.8 What does each knob do?
#
# The explorer draws a virtual image of 128 x 96 px with one keypoint. Move it, and change the stride and the temperature.
#
# > **Predict.** Answer each question before you move the slider.
# >
# > 1. Stride 4, $\tau = 1$. Move x slowly through one cell. Which points jump, which glide?
# > 2. Lower $\tau$ until the dot of soft-argmax sits on the square of argmax. Where on the curve are you?
# > 3. Stride 16. At which $\tau$ is soft-argmax best? Why does it become worse on *both* sides?
# > 4. Move the keypoint to the edge. What pulls the mean inward, and why does the curve know nothing of it?

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

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The square (argmax) and the diamond (quarter shift) jump; the triangle (DARK) and the dot (soft-argmax) glide with the keypoint.
# 2. On the plateau at the left: $q$ is below 0.2 there, and the error is argmax's.
# 3. Near $\tau = 4$, where $q = 0.75$. Colder, the grid shows through, since $q$ is small; hotter, the softmax reaches the border and is cut off there.
# 4. The part of the bell outside the map is missing, so the mean of the rest lies further in. The curve is for an endless grid.
#
# </details>
#
# **Takeaway.** The width $q = \sqrt\tau\,\sigma / s$ decides. At stride 16 soft-argmax is off by 5.87 px when it is cold, which is argmax,
# by 0.01 px at $\tau = 4$, and by 0.58 px when it is hot and feels the border.
#
# ## What you can do now
#
# You know what a decoder costs: 1.633 px for argmax at stride 4, practically nothing for soft-argmax on a Gaussian that is wide
# enough. Solve [the two problems](../exercises/decoding/decoding.ipynb). Real heatmaps are not Gaussians, though; where that
# leads is the rest of this chapter, which is being written.
