# %% [markdown]
# # 1. Representations: how a network says where
#
# A network looks at a picture and is to say where the left wrist is. In which form should it answer? With two numbers? With a small picture that
# is bright at the wrist? With two rulers? The form of the answer is called the **representation**. It decides what the network has to
# learn, what it can express, and what is lost before training has begun.
#
# Each section asks a question. Answer it for yourself before you run the cells: a wrong guess is the best way to remember.
#
# | | |
# |---|---|
# | You need | a little Python and torch; what a Gaussian, a mean and a gradient are |
# | Time | some three hours, and two for the problems |
# | Problems | [the set *representations*](../exercises/representations/representations.ipynb) |
#
# In a hurry? Look at the pictures and read the takeaways: they carry the argument.

# %%
import math

import torch

from posebook import draw, theory
from posebook.encode import gaussian_heatmap
from posebook.grid import Grid
from posebook.people import draw_people
from posebook.skeleton import COCO_17, Skeleton

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 1.1 What is a keypoint?
#
# A **keypoint** is a place with a name: the left wrist, the tip of the nose, the corner of a page. A **skeleton** lists the names, the **limbs** that
# join them, and which of them are the left and the right of a pair. A **pose** is one place for each name: a table of $K$ rows
# $(x, y)$, in image pixels (px), $x$ to the right and $y$ down.
#
# > **Predict.** You mirror a picture of width $W$. Her left wrist was in row 9 of the table. Which number changes, and in which row is it now?
#
# *Left* is the person's left. In the mirror image her left wrist is where a right wrist would be, and nobody can tell that the picture was mirrored. So the
# rows of a pair change places. With $\pi(k)$ the partner of keypoint $k$, or $k$ itself, and whole numbers at pixel centers,
#
# $$x'_k = W - 1 - x_{\pi(k)}, \qquad y'_k = y_{\pi(k)}$$

# %%
from posebook.warp import flip_image, flip_points

three = Skeleton(("nose", "left_wrist", "right_wrist"), limbs=((0, 1), (0, 2)), pairs=((1, 2),))
pose = torch.tensor([[5.0, 1.0], [8.0, 6.0], [1.0, 7.0]])  # (K, 2), x and y in px
width, partner = 12, [0, 2, 1]
mirrored = torch.stack([torch.stack((width - 1 - pose[k, 0], pose[k, 1])) for k in partner])
for name, before, after in zip(three.names, pose.tolist(), mirrored.tolist(), strict=True):
    print(f"{name:12s} {before} -> {after}")
assert torch.equal(flip_points(pose, width, skeleton=three), mirrored)
assert not torch.equal(flip_points(pose, width), mirrored)  # the names were forgotten

# %% [markdown]
# This course draws its own people, so that there are as many as we like and each keypoint is known exactly (section 1.10 says what that is good for,
# and what not). They have the 17 keypoints of COCO, the data set that most pose estimators are trained on:

# %%
crowd = draw_people(300, seed=1)
seen = (crowd.vis[:, 0] == 2).all(-1)
arms = (crowd.xy[:, 0, 9] - crowd.xy[:, 0, 10]).norm(dim=-1)  # from wrist to wrist
one = int((arms * seen).argmax())  # a person with all 17 seen, and the widest gesture
image, xy = crowd.image[one], crowd.xy[one, 0]  # (3, H, W) and (17, 2)
print(", ".join(COCO_17.names))
print(f"{len(COCO_17)} keypoints, {len(COCO_17.limbs)} limbs, {len(COCO_17.pairs)} pairs")

# %%
flipped = flip_points(xy, image.shape[-1], skeleton=COCO_17)
wrong = flip_points(xy, image.shape[-1])
back = flip_points(flipped, image.shape[-1], skeleton=COCO_17)
assert torch.allclose(back, xy, atol=1e-4)  # twice is once back
right = flip_points(crowd.xy[:, 0], image.shape[-1], skeleton=COCO_17)
miss = (right - flip_points(crowd.xy[:, 0], image.shape[-1])).norm(dim=-1).mean()
print(f"names not exchanged: {miss:.2f} px off on average, over {len(right)} people")
assert miss > 2

# %%
images = torch.stack((image, flip_image(image), flip_image(image)))
draw.show(draw.people(images, torch.stack((xy, flipped, wrong)), COCO_17,
                      titles=("a person", "mirrored", "names forgotten")),
          "A drawn person with blue limbs on her left and orange ones on her right. In the mirror "
          "image the colors have changed sides with the body; where the names were forgotten "
          "the skeleton lies on the body but its left is on the wrong side.")

# %% [markdown]
# *Image of 64 x 64 px. Blue: the person's left; orange: her right. In the third picture every point lies on the body, and 16 of the 17 names are wrong.*
#
# **Takeaway.** A keypoint is a name and a place, and a mirror moves both: whoever flips training pictures and forgets to exchange the names teaches labels that are
# wrong by 7.01 px on average.

# %% [markdown]
# ## 1.2 Which keypoints count?
#
# Not every keypoint of a person is in the picture, and not every one that is can be seen. COCO marks each with a **visibility** $v$: 2 seen, 1 known but hidden, by
# another limb or by a thing before it, 0 not labeled. What is stored as the place of an unlabeled keypoint is $(0, 0)$ in COCO's files, which is no place.
#
# > **Predict.** A network is exactly right about all that is labeled. Two of a person's 17 keypoints are not labeled and stored as (0, 0). What mean error does a
# > program report that averages over all 17?
#
# With $m_k$ 1 where keypoint $k$ counts and 0 elsewhere, the mean error in px is
#
# $$\bar e = \frac{\sum_k m_k\, e_k}{\sum_k m_k}, \qquad e_k = \lVert \hat x_k - x_k \rVert$$

# %%
from posebook.losses import masked_mean
from posebook.metrics import epe

truth = torch.tensor([[20.0, 30.0], [41.0, 28.0], [0.0, 0.0], [33.0, 50.0]])  # (K, 2) px
vis = torch.tensor([2, 1, 0, 2])
found = torch.tensor([[20.0, 30.0], [41.0, 28.0], [45.0, 52.0], [33.0, 50.0]])  # right in three
e = ((found - truth) ** 2).sum(-1).sqrt()
by_hand = sum(e[k] for k in range(4) if vis[k] > 0) / int((vis > 0).sum())
print("errors in px:", e)
print(f"mean over all {e.mean():.2f} px, over the labeled {by_hand:.2f} px")
assert masked_mean(epe(found, truth), vis > 0) == by_hand

# %% [markdown]
# One place that is not a place, and a perfect network is off by 17 px on average. posebook stores NaN, not a number, where nothing is known: it poisons every sum
# it enters, so that a mask that was forgotten shows at once. That makes two traps visible. NaN times 0 is NaN. And choosing *after* the error was computed saves the loss, but not
# its gradient, which is 0 times NaN again. What is unknown has to be taken out before anything is computed from it:

# %%
from posebook.losses import coordinate_loss

unknown, mask = truth.masked_fill(vis[:, None] == 0, torch.nan), vis > 0


def squared(found):
    return (found - unknown).square().sum(-1)


ways = {
    "mean of all": lambda found: squared(found).mean(),
    "times the mask": lambda found: (squared(found) * mask).sum() / 3,
    "chosen afterwards": lambda found: torch.where(mask, squared(found), 0).sum() / 3,
    "posebook": lambda found: masked_mean(coordinate_loss(found, unknown), mask),
}
for name, loss in ways.items():
    guess = (found + 1).requires_grad_()  # off by (1, 1) everywhere
    loss(guess).backward()
    print(f"{name:18s} loss {loss(guess):.2f}, a gradient's sum {guess.grad.sum():.2f}")
assert loss(guess) == 2 and guess.grad[2].tolist() == [0, 0]  # |dx| + |dy|, and nothing unlabeled

# %%
vis = crowd.vis[:, 0]  # (300, 17)
share = [(vis == v).float().mean().item() for v in (0, 1, 2)]
for v, name in enumerate(("outside the picture", "hidden", "seen")):
    print(f"v = {v}, {name:20s}{100 * share[v]:4.1f} % of the keypoints of 300 people")
rare = min(range(17), key=lambda k: (vis[:, k] == 2).sum())
print("least often seen:", COCO_17.names[rare])
hidden = ((vis == 1).sum(-1) == 6).nonzero().flatten()[:4]  # people with six hidden keypoints
draw.show(draw.people(crowd.image[hidden], crowd.xy[hidden, 0], COCO_17, vis=vis[hidden]),
          "Four drawn people, each with six hidden keypoints: filled dots are seen, hollow ones "
          "lie behind a limb or behind a thing that stands before the person.")
assert len(hidden) == 4

# %% [markdown]
# *Filled: seen, $v = 2$. Hollow: hidden, $v = 1$. Each dot has a label.*
#
# **Takeaway.** A label that is missing is not a label at (0, 0): in the toy example above the careless mean is 17.19 px for a network without any error, the mean over what is labeled 0.

# %% [markdown]
# ## 1.3 Where does a point go when the picture shrinks?
#
# Between a photograph and a heatmap the picture is cropped, resized and strided over. Each time its points must move with it.
#
# > **Predict.** A picture of 64 px is averaged down to 16: a new pixel is the mean of 4 x 4 old ones. A dot had its center at old pixel $x = 20$. Is it now at 5,
# > at 4.625 or at 5.25?
#
# The new pixel 0 holds the old pixels 0 to 3, whose middle is 1.5. With the factor $s$ in old px per new one,
#
# $$u = \frac{x - \frac{s - 1}{2}}{s} = \frac{x + \frac12}{s} - \frac12$$

# %%
import torch.nn.functional as F

row = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0])  # a dot at pixel 4
half = torch.stack([(row[2 * k] + row[2 * k + 1]) / 2 for k in range(4)])
place = (half * torch.arange(4.0)).sum() / half.sum()
print(f"8 px -> 4 px: {half.tolist()}, the dot is at {place:.3f}, not at 4 / 2 = 2")
assert place == (4 - 0.5) / 2

# %%
from posebook.decode import argmax, soft_argmax

x = torch.tensor([20.0, 41.0])  # px, (x, y): in memory it is image[y, x], row first
dot = gaussian_heatmap(x, (64, 64), sigma=3.0)
center, corner = Grid.center(4), Grid.unit_length((64, 64), (16, 16))
shrunk = {
    "mean of 4 x 4": (F.avg_pool2d(dot[None, None], 4), center),
    "interpolate": (F.interpolate(dot[None, None], (16, 16), mode="bilinear"), center),
    "align_corners": (F.interpolate(dot[None, None], (16, 16), mode="bilinear",
                                    align_corners=True), corner),
}
for name, (small, grid) in shrunk.items():
    place = soft_argmax(small[0, 0].log())  # the mean of the values
    print(f"{name:14s} the dot is at ({place[0]:.3f}, {place[1]:.3f})", end="; ")
    print(f"x / 4 is off by {4 * (x / 4 - place).abs().max():.2f} old px")
    assert torch.allclose(place, grid.to_cells(x), atol=1e-3)

# %%
small = shrunk["mean of 4 x 4"][0][0, 0]
draw.show(draw.heatmaps({"64 px": dot, "16 px: (x - 1.5) / 4": small, "16 px: x / 4": small},
                        torch.stack((x, center.to_cells(x), x / 4))),
          "A dot in a picture of 64 px, and twice the picture averaged down to 16 px. A circle at "
          "(x - 1.5) / 4 sits on the dot, a circle at x / 4 sits right of it and below.")
assert torch.allclose(x / 4 - center.to_cells(x), torch.tensor(0.375))

# %% [markdown]
# *Dot of 3 px; 4 old px to a new one. Circle: where the formula in the title puts the dot.*
#
# So "divide by 4" is off by $1.5 / 4 = 0.375$ new px, 1.5 old ones, and `align_corners=True` is another map again. `Grid` holds the two numbers of each map;
# [section 2.2](02_decoding.ipynb) shows the conventions beside each other.
#
# **Takeaway.** A picture that shrinks by 4 moves its points to $(x - 1.5) / 4$; whoever divides by 4 alone is off by 1.50 px of the old picture, with the best of networks.

# %% [markdown]
# ## 1.4 How do you draw a point on a grid?
#
# A picture of the answer, a **heatmap**: one cell for $s \times s$ px, $s$ the **stride**, and in each cell a number that says how near the keypoint is.
#
# > **Predict.** The heatmap is a Gaussian with peak 1, one cell wide. What is the highest number that the grid holds, if the keypoint falls on a corner where four
# > cells meet?
#
# With $u_k = (x_k - \mathrm{offset}) / s$ the keypoint in cells, $u$ a cell and $\sigma$ the width in cells,
#
# $$h_k(u) = \exp\left(-\frac{\lVert u - u_k \rVert^2}{2 \sigma^2}\right)$$
#
# Often it is *rounded* to whole cells before it is drawn. Then it cannot be read back.

# %%
keypoint = torch.tensor([2.5, 1.5])  # (x, y) in cells: where four cells meet
heatmap = torch.zeros(5, 5)
for v in range(5):
    for u in range(5):
        distance2 = (u - keypoint[0]) ** 2 + (v - keypoint[1]) ** 2
        heatmap[v, u] = torch.exp(-distance2 / (2 * 1.0**2))
print(heatmap)
print(f"highest value {heatmap.max():.3f}")
assert torch.allclose(gaussian_heatmap(keypoint, (5, 5), sigma=1.0), heatmap)
assert abs(heatmap.max() - math.exp(-0.25)) < 1e-6

# %% [markdown]
# The explorer shows a target and its numbers. Three decoders read it; chapter 2 takes them apart. Answer before you move:
#
# > 1. Move x slowly through one cell. What jumps? What glides? How low can the highest value get at $\sigma = 1$?
# > 2. Set *center* to *rounded*. Which decoder can still find the keypoint?
# > 3. Set *grid* to *mixed*. In which direction do all points go, and how far at stride 8?
# > 4. Lower $\sigma$ to 0.3. DARK still reads the place exactly. Why would you not train with such a target?

# %%
from posebook.explore import target

target.explore()

# %%
for start in ({}, {"center": "rounded"}, {"grid": "mixed"}, {"sigma": 0.3}):
    result = target.compute(target.State(**start))
    read = ", ".join(f"{name} {miss:.2f}" for name, miss in result.errors.items())
    print(f"{start}: highest {result.peak:.2f}; errors in px: {read}")
rounded = target.compute(target.State(center="rounded")).errors
assert max(rounded.values()) - min(rounded.values()) < 1e-3 < 1 < rounded["DARK"]
assert target.compute(target.State()).errors["DARK"] < 1e-6

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The square of argmax jumps, the others glide with the keypoint. The highest value falls to $e^{-1/4} = 0.779$ at the corner of four cells: you must not read it as a certainty.
# 2. None. What rounding took is not in the picture any more.
# 3. Up and to the left by $(s - 1) / 2 = 3.5$ px: encoded as *center*, read as *index*.
# 4. Nearly all cells are 0 and one is not: the target says nothing about near misses, so there is nothing to learn from them. Section 1.6 has numbers.
#
# </details>
#
# **Takeaway.** A Gaussian that is drawn around the exact place, not around the nearest cell, keeps the place between the cells: at stride 4 the rounded one loses 1.42 px in the
# explorer's first picture, the exact one nothing. Practice: [`gaussian_heatmap`](../exercises/representations/representations.ipynb).

# %% [markdown]
# ## 1.5 Is a heatmap a probability?
#
# It has a peak of 1, it is nowhere negative, and it says where the keypoint probably is. Books call it a probability map.
#
# > **Predict.** $\sigma = 2$ cells. What do all its values add up to: 1, about 6, about 25?
#
# $$\sum_u h(u) \approx 2 \pi \sigma^2, \qquad \sum_u h(u)^2 \approx \pi \sigma^2$$
#
# in cells; the first is the volume under the bell, the second that under its square, which is a bell $\sqrt 2$ times narrower.

# %%
for sigma in (1.0, 2.0, 3.0):
    h = gaussian_heatmap(torch.tensor([31.3, 30.8]), (64, 64), sigma=sigma)
    total, energy = h.sum().item(), h.square().sum().item()
    print(f"sigma {sigma}: sum {total:6.2f}, of squares {energy:6.2f}; formulas "
          + ", ".join(f"{value:6.2f}" for value in theory.bump_sums(sigma)))
    assert abs(total / theory.bump_sums(sigma)[0] - 1) < 1e-3
    assert abs(energy / theory.bump_sums(sigma)[1] - 1) < 1e-3

# %% [markdown]
# It is no probability: it is about 25 of them. Divide by the sum and it is one, $p = h / \sum h$, and the place is the same. But the two say different things, and are trained
# with different losses: the heatmap with the **mean squared error** over its $N$ cells, the distribution as a softmax of logits $z$ with the **cross-entropy**,
#
# $$L_\mathrm{MSE} = \frac1N \sum_u \big(\hat h(u) - h(u)\big)^2, \qquad L_\mathrm{CE} = -\sum_u p(u) \ln \operatorname{softmax}(z)_u$$
#
# A heatmap can say "there is none here": all cells low. A distribution has to put its 1 somewhere.

# %%
from posebook.losses import cross_entropy_loss, heatmap_loss

h = gaussian_heatmap(torch.tensor([20.3, 24.6]), (64, 64), sigma=2.0)
p = h / h.sum()
entropy = -(p * p.clamp(min=1e-30).log()).sum()
flat, right = 0 * h, h.clamp(min=1e-30).log()
print(f"MSE: the right map {heatmap_loss(h, h):.2f}, an empty one {heatmap_loss(flat, h):.4f}")
print(f"cross-entropy: the right logits {cross_entropy_loss(right, p):.2f} nats, "
      f"flat ones {cross_entropy_loss(flat, p):.2f}")
assert abs(cross_entropy_loss(right, p) - entropy) < 1e-4  # its least value is not 0
assert abs(entropy - theory.gaussian_entropy(4 * torch.eye(2))) < 1e-3
nothing = torch.zeros(64, 64)  # what a network answers that sees no such keypoint
print(f"an empty map: highest value {nothing.max():.0f}; as logits it is decoded at",
      soft_argmax(nothing).tolist())
assert soft_argmax(nothing).tolist() == [31.5, 31.5]  # the center, with nothing there

# %%
sigmas = torch.linspace(0.3, 3, 28, dtype=torch.float64)
middle = torch.tensor([20.0, 20.0], dtype=torch.float64)
lines = {"sum of values": 2 * math.pi * sigmas**2, "sum of squares": math.pi * sigmas**2}
dots = {}
for shift, where in ((0.0, "on a cell"), (0.5, "on a corner")):
    maps = [gaussian_heatmap(middle + shift, (41, 41), sigma=s) for s in sigmas.tolist()]
    dots[f"values, {where}"] = torch.stack([h.sum() for h in maps])
    dots[f"squares, {where}"] = torch.stack([h.square().sum() for h in maps])
fig, (ax,) = draw.axes(height=2.6)
draw.curves(ax, sigmas, lines, dots, xlabel="sigma (cells)", ylabel="sum", yscale="log")
draw.show(fig, "Sum of a heatmap's values and of their squares against sigma on a logarithmic "
               "axis. From about half a cell on both lie on their formulas; narrower bumps "
               "depend on where in its cell the keypoint lies.")

# %% [markdown]
# *Lines: $2 \pi \sigma^2$ and $\pi \sigma^2$. Dots: measured, with the keypoint on a cell's center and on a corner of four cells.*
#
# **Takeaway.** A heatmap is not a probability: at $\sigma = 2$ cells its values sum to 25.13. Divided by that it is one, and has to be somewhere even where there is nothing.

# %% [markdown]
# ## 1.6 When is silence cheaper than a guess?
#
# Most cells of a heatmap are nearly 0. So is most of the loss of a network that always answers 0.
#
# > **Predict.** $\sigma = 2$, 64 x 64 cells. One network answers with a perfect bump, 4 cells beside the keypoint. Another answers 0 everywhere. Whose mean squared error is lower?
#
# With $N$ cells, $d$ the distance of the bump from its place, in cells, and the overlap of two bells $\sum h\,h' = \pi \sigma^2 e^{-d^2 / 4 \sigma^2}$,
#
# $$L_\mathrm{empty} = \frac{\pi \sigma^2}{N}, \qquad L(d) = \frac{2 \pi \sigma^2}{N}\left(1 - e^{-d^2 / 4 \sigma^2}\right)$$
#
# They are equal at $d = 2 \sigma \sqrt{\ln 2} = 1.67\,\sigma$.

# %%
h = gaussian_heatmap(torch.tensor([30.0, 31.0]), (64, 64), sigma=2.0)
empty = (h**2).sum() / h.numel()
print(f"empty map: MSE {empty:.4f}, formula {theory.bump_sums(2.0)[1] / 64**2:.4f}")
for d in (1.0, 3.33, 4.0, 10.0):
    beside = gaussian_heatmap(torch.tensor([30.0 + d, 31.0]), (64, 64), sigma=2.0)
    print(f"bump {d:5.2f} cells beside: MSE {heatmap_loss(beside, h):.4f}")
    assert abs(heatmap_loss(beside, h) - theory.misplaced_mse(d, 2.0, 64**2)) < 1e-6
print(f"equal at {2 * 2.0 * math.sqrt(math.log(2)):.2f} cells")
generator = torch.Generator().manual_seed(0)
some = gaussian_heatmap(32 + torch.rand(400, 2, generator=generator), (64, 64), sigma=2.0)
above = (some > 0.01).float().mean()
print(f"{100 * above:.1f} % of the cells are above 0.01, formula "
      f"{100 * theory.bump_area(0.01, 2.0) / 64**2:.1f} %")
assert abs(above * 64**2 / theory.bump_area(0.01, 2.0) - 1) < 0.01

# %%
d = torch.linspace(0, 12, 49, dtype=torch.float64)
there = gaussian_heatmap(torch.stack((24 + d, 0 * d + 31), -1), (64, 64), sigma=2.0)
measured = heatmap_loss(there, there[:1].expand_as(there))
formula = torch.tensor([theory.misplaced_mse(v, 2.0, 64**2) for v in d.tolist()])
level = torch.full_like(d, theory.bump_sums(2.0)[1] / 64**2)
fig, (ax,) = draw.axes(height=2.6)
draw.curves(ax, d, {"a bump beside": formula, "an empty map": level}, {"a bump beside": measured},
            xlabel="distance from the keypoint (cells)", ylabel="mean squared error")
draw.show(fig, "Mean squared error of a perfect bump against its distance from the keypoint: it "
               "crosses the line of the empty map, 0.0031, at 3.33 cells and is twice as high "
               "from some 8 cells on.")

# %% [markdown]
# *$\sigma = 2$ cells, 64 x 64 cells. The curve has no slope far away: a bump that is far off does not learn from this loss in which direction to go.*
#
# So a network that is unsure by more than some 3 cells does best to keep quiet, and while it knows nothing yet, that is what it learns first. A loss of 0.0031 looks excellent and is worth
# nothing: read it against that of the empty map. Cures: more training, smaller maps, a wider $\sigma$, more weight on cells near the keypoint, or cross-entropy, which cannot keep quiet.
#
# **Takeaway.** Answering 0 everywhere costs 0.0031, because only 2.8 % of the cells are above 0.01, and a perfect bump costs more than that if it is over 3.33 cells off.

# %% [markdown]
# ## 1.7 What does label noise do to the target?
#
# Ask ten people to click on a hip. The clicks scatter, and not by a little.
#
# > **Predict.** Targets with $\sigma = 2$ cells; the labels scatter around the true place with a standard deviation of 1.5 cells on each axis. A network with endless data
# > minimizes the mean squared error. How high is the peak of its heatmap?
#
# The map that minimizes the mean squared error is the mean of the targets, and the mean of Gaussians whose centers are scattered by a Gaussian of $\nu$ cells is a Gaussian again:
#
# $$\text{width } \sqrt{\sigma^2 + \nu^2}, \qquad \text{peak } \frac{\sigma^2}{\sigma^2 + \nu^2}$$

# %%
generator = torch.Generator().manual_seed(0)
labels = 32 + 1.5 * torch.randn(4000, 2, generator=generator)  # clicks on a hip at (32, 32)
best = sum(gaussian_heatmap(part, (64, 64), sigma=2.0).sum(0) for part in labels.split(500)) / 4000
peak, width = theory.label_noise_optimum(2.0, 1.5)
columns = best.sum(0) / best.sum()
measured = (columns * (torch.arange(64) - 32) ** 2).sum().sqrt()
print(f"peak {best.max():.2f}, formula {peak:.2f}; width {measured:.1f}, formula {width:.1f} cells")
print(f"decoded at ({soft_argmax(best.log())[0]:.1f}, {soft_argmax(best.log())[1]:.1f})")
assert abs(best.max() / peak - 1) < 0.02 and abs(measured / width - 1) < 0.02
assert (soft_argmax(best.log()) - 32).abs().max() < 0.1  # low and wide, but at its place

# %% [markdown]
# The network does not have to see several clicks on one picture: it cannot tell from the picture which way a click will be off, and that comes to the same.
# Low peaks are no failure. They say how far the labels scatter, and the hip's is lower than the eye's.
#
# Which $\sigma$ is best, then? Take 20 labels for a place, average their targets and read the peak, as a network does with 20 similar pictures. Once the labels only scatter; once two of the 20
# are on the wrong hip, 15 cells away.

# %%
from posebook.decode import refine_dark

clicks = 20 + 1.5 * torch.randn(200, 20, 2, generator=generator)  # 200 places, 20 labels each
swapped = clicks.clone()
swapped[:, :2, 0] += 15.0
sigmas, rms = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0), {}
for kind, places in {"scatter": clicks, "two swapped": swapped}.items():
    maps = [gaussian_heatmap(places, (41, 51), sigma=s).mean(1) for s in sigmas]
    for name, read in {"peak": refine_dark, "mean": lambda h: soft_argmax(h.log())}.items():
        miss = [(read(h) - 20).square().mean().sqrt() for h in maps]
        rms[f"{name}, {kind}"] = torch.stack(miss)
for name, values in rms.items():
    print(f"{name:18s} rms on an axis, cells:", [round(v, 2) for v in values.tolist()])
assert abs(rms["mean, scatter"][3] - 1.5 / math.sqrt(20)) < 0.02  # the mean of the clicks
assert rms["peak, two swapped"][3] < rms["mean, two swapped"][3] / 2  # the peak forgives

# %%
fig, (ax,) = draw.axes(height=2.8)
draw.curves(ax, sigmas, rms, rms, xlabel="sigma of the targets (cells)", ylabel="rms error (cells)")
draw.show(fig, "Error of the place read from the mean of 20 targets against their sigma. Read at "
               "the peak it falls from 0.9 cells to nearly that of the mean, with two swapped "
               "labels or without; read as a mean, two swapped labels cost over one cell at "
               "every sigma.")

# %% [markdown]
# *200 places, 20 labels each, scattered by 1.5 cells. A narrow target takes the densest spot of the labels, a wide one their mean: $\sigma$ is a smoother.*
#
# **Takeaway.** Label noise of 1.5 cells turns targets of peak 1 and width 2 into a best answer of peak 0.64 and width 2.5, at the right place; a target about as wide as the scatter smooths it,
# and read at its peak it forgives labels that are simply wrong.

# %% [markdown]
# ## 1.8 What does the stride cost?
#
# A map with stride 4 has a sixteenth of the cells of the picture. It is cheaper to compute and to store, and the bell on it, $\sigma$ cells wide, is $\sigma s$ px wide.
#
# > **Predict.** Stride 4, $\sigma = 2$ cells. Two people stand side by side. How far apart must their noses be, in px, so that the nose map has two peaks?
#
# The sum of two equal Gaussians has one peak up to a distance of $2 \sigma$ and two beyond (at $2 \sigma$ the curvature in the middle changes its sign). In px that is
#
# $$d = 2\,\sigma\,s$$

# %%
def peaks(row):
    """How many values are higher than both their neighbors."""
    return int(((row[1:-1] > row[:-2]) & (row[1:-1] > row[2:])).sum())


x = torch.linspace(-20, 20, 4001, dtype=torch.float64)  # px, fine enough to see any dent
for stride in (2, 4, 8):
    wide = 2.0 * stride  # sigma in px
    seen = [peaks(sum(torch.exp(-((x * stride - c) ** 2) / (2 * wide**2)) for c in (-d / 2, d / 2)))
            for d in (0.98 * 2 * wide, 1.02 * 2 * wide)]
    print(f"stride {stride}: {seen[0]} peak just below, {seen[1]} just above {2 * wide:.0f} px")
    assert seen == [1, 2]

# %% [markdown]
# (Where a target is the *higher* of two bells and not their sum there are two peaks at once, but a network's answer is smooth.) The stride's other cost is precision. With the same noise on the cells,
# everything that is measured in cells stays, and is worth $s$ times as many px:

# %%
generator = torch.Generator().manual_seed(1)
xy = 20 + 24 * torch.rand(400, 2, generator=generator)  # px, in an image of 64 x 64
table = {}
for stride in (1, 2, 4, 8):
    grid = Grid.center(stride)
    maps = gaussian_heatmap(grid.to_cells(xy), (64 // stride, 64 // stride), sigma=1.0)
    maps = maps + 0.05 * torch.randn(maps.shape, generator=generator)
    for name, read in {"argmax": argmax, "DARK": lambda h: refine_dark(h, blur=1.0)}.items():
        miss = (grid.to_image(read(maps)) - xy).norm(dim=-1)
        table[name, stride] = miss.square().mean().sqrt().item()
    print(f"stride {stride}: {maps[0].numel():4d} cells, rms: argmax {table['argmax', stride]:.2f} "
          f"px, without noise {stride / math.sqrt(6):.2f}, DARK {table['DARK', stride]:.2f} px")
for name in ("argmax", "DARK"):
    assert 6 < table[name, 8] / table[name, 1] < 10  # in proportion to the stride

# %%
strides = (1.0, 2.0, 4.0, 8.0)
fig, (ax,) = draw.axes(height=2.4)
dots = {n: torch.tensor([table[n, int(s)] for s in strides]) for n in ("argmax", "DARK")}
draw.curves(ax, strides, {"argmax, no noise": torch.tensor(strides) / math.sqrt(6)}, dots,
            xlabel="stride (px per cell)", ylabel="rms distance (px)", xticks=strides)
draw.show(fig, "Error of argmax and of DARK against the stride: both grow in proportion to it, "
               "DARK's some eight times more slowly.")

# %% [markdown]
# *400 keypoints, $\sigma = 1$ cell, noise of standard deviation 0.05 on each cell. Line: $s / \sqrt 6$.*
#
# A decoder that reads between the cells buys back most of what the stride costs; that is why stride 4 is common, and stride 1 rare. What no decoder buys back is the second peak.
#
# **Takeaway.** The error grows in proportion to the stride, but reading between the cells makes DARK at stride 8 (0.45 px) nearly as good as argmax at stride 1 (0.43 px); two people's noses melt into one below
# $2 \sigma s$, 16 px at stride 4.

# %% [markdown]
# ## 1.9 Can two rulers replace a map?
#
# A map is a joint answer about x and y, and pays for it with $H \times W$ numbers. **SimCC** asks about x and about y separately: two rows of bins, so fine that a bin is a part of a pixel.
#
# > **Predict.** An image of 64 x 64 px, two bins to a pixel. How many numbers is that, against a map of stride 1, and how far is the best bin off?
#
# With $\kappa$ bins per px, bin $i$ at $i / \kappa$ px and a smoothing of $\sigma$ bins, the target on the x ruler is
#
# $$p_i \propto \exp\left(-\frac{(i - \kappa x)^2}{2 \sigma^2}\right), \qquad \sum_i p_i = 1$$
#
# Taking the best bin rounds x to a multiple of $1 / \kappa$: an error of $1 / (\kappa \sqrt{12})$ px in root mean square on each axis, as argmax's at stride $1 / \kappa$.

# %%
from posebook import decode, encode

x, kappa, sigma = 1.7, 2, 1.0
weight = torch.exp(-((torch.arange(8) - kappa * x) ** 2) / (2 * sigma**2))  # 4 px, 8 bins
ruler = weight / weight.sum()
print("bins:", ruler, f" best bin {int(ruler.argmax())}, at {int(ruler.argmax()) / kappa} px")
along_x, along_y = encode.simcc(torch.tensor([x, 0.5]), (4, 4), ratio=kappa, sigma=sigma)
assert torch.allclose(along_x, ruler) and len(along_y) == 8
read = decode.simcc(along_x.log(), along_y.log(), ratio=kappa)
print("posebook.decode.simcc:", read.tolist(), "px")

# %%
xy = 8 + 48 * torch.rand(4000, 2, generator=torch.Generator().manual_seed(2))
for kappa in (1, 2, 4):
    rulers = encode.simcc(xy, (64, 64), ratio=kappa, sigma=1.5)
    logits = [p.clamp(min=1e-30).log() for p in rulers]
    hard, soft = ((decode.simcc(*logits, ratio=kappa, mode=mode) - xy).square().mean().sqrt()
                  for mode in ("hard", "soft"))
    formula = math.sqrt(theory.argmax_error(1 / kappa).variance)
    print(f"{kappa} bins a px, {2 * 64 * kappa:3d} numbers: rms of the best bin {hard:.3f} px, "
          f"formula {formula:.3f}; of their mean below 0.001")
    assert abs(hard / formula - 1) < 0.03 and soft < 1e-3
argmax_rms = math.sqrt(theory.argmax_error(4).variance)
print(f"a map of stride 4, {16 * 16} numbers: rms of argmax {argmax_rms:.3f} px")

# %% [markdown]
# What two rulers cannot say is *which x belongs to which y*. If the keypoint is at one of two places, the two rulers allow four:

# %%
one, other = torch.tensor([16.0, 20.0]), torch.tensor([44.0, 46.0])
each = [encode.simcc(place, (64, 64), ratio=1, sigma=3.0) for place in (one, other)]
rulers = [(a + b) / 2 for a, b in zip(*each, strict=True)]  # x, y
ghosts = torch.outer(rulers[1], rulers[0])  # (H, W): all that the rulers know
map_of_two = gaussian_heatmap(torch.stack((one, other)), (64, 64), sigma=3.0).sum(0)
draw.show(draw.heatmaps({"a map of two places": map_of_two, "two rulers for them": ghosts}),
          "Left: a heatmap with two bumps, at upper left and lower right. Right: the product of "
          "its two rulers has four bumps, two of them where nothing is.")
there = [ghosts[46, 44], ghosts[20, 16], ghosts[20, 44], ghosts[46, 16]]
assert max(there) / min(there) < 1.01  # true places and ghosts are equally likely

# %% [markdown]
# *Image of 64 x 64 px, one bin a px, $\sigma = 3$ bins.*
#
# **Takeaway.** Two bins a pixel round to 0.144 px with 256 numbers, as many as a map of stride 4 that rounds to 1.155 px; but two rulers cannot keep two places apart from their ghosts. Practice:
# [`simcc_targets`](../exercises/representations/representations.ipynb).

# %% [markdown]
# ## 1.10 Why learn from drawn people?
#
# The rest of the chapter trains networks on people that are drawn by `posebook.people`: a skeleton in three dimensions with clothes, a background, and things in front of it.
#
# > **Predict.** Two representations differ by 0.3 px on average. Can photographs that people annotated tell which is better?
#
# COCO measured how far its annotators scatter: on each axis with a standard deviation of $\sigma_k \sqrt A$ px, where $A$ is the area of the person's silhouette in px squared and $\sigma_k$ a
# number for each kind of keypoint.

# %%
area = crowd.area[:, 0]
typical = area.median().sqrt()
print(f"median silhouette {area.median():.0f} px^2 in images of 64 x 64 px")
for name in ("left_eye", "left_wrist", "left_hip"):
    scatter = COCO_17.oks_sigmas[COCO_17.names.index(name)] * typical
    print(f"{name:10s} annotators would scatter by {scatter:.2f} px on each axis")
assert COCO_17.oks_sigmas[COCO_17.names.index("left_hip")] * typical > 1

# %% [markdown]
# Against a scatter of that size, differences of a few tenths of a pixel between networks drown. A drawn person has no annotator: the keypoint is where the joint was put. Is it, to a part of a pixel? Move the
# whole scene by a known part of a pixel and look whether the silhouette follows:

# %%
from posebook.people import render, sample_scene

scene = sample_scene(100, seed=2, size=(0.5, 0.7), truncate=0.0, occluder=0.0)
still = render(scene)


def centroid(people):
    """Center of mass (B, 2) of the silhouettes in px."""
    mask = people.mask[:, 0]
    x, y = (mask.sum(axis) @ torch.arange(64.0) for axis in (1, 2))
    return torch.stack((x, y), -1) / mask.sum((1, 2))[:, None]


for shift in ((0.25, 0.0), (0.0, 0.5), (0.4, -0.3)):
    moved = render(scene.moved(shift=shift))
    went = (centroid(moved) - centroid(still)).median(0).values + 0.0005
    print(f"shift {shift}: the median silhouette went by ({went[0]:.2f}, {went[1]:.2f}) px")
    assert torch.allclose(went, torch.tensor(shift), atol=0.02)
    assert torch.allclose(moved.xy - still.xy, torch.tensor(shift), atol=1e-4)

# %%
draw.show(draw.people(crowd.image[:12], None, COCO_17),
          "Twelve drawn people of 64 x 64 px: standing, sitting, walking, seen from all sides, in "
          "varied clothes, before plain, striped and blurred backgrounds, some partly covered.")

# %% [markdown]
# *The first twelve of the 300.*
#
# What they cannot show is everything that photographs have and these do not: cloth that folds, faces, hair in the wind, crowds, motion blur, ten thousand kinds of background. A number from drawn people
# compares *representations* on equal terms. It says nothing about how well a network does in the street; section 1.14 asks that.
#
# **Takeaway.** Annotators of pictures as small as these would scatter by some HIPSCATTER px on a hip; drawn people have keypoints that are exact far below a pixel, and are an instrument to compare with, not a substitute for photographs.
