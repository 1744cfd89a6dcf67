# %% [markdown]
# # 1. Representations: how a network says where
#
# A network looks at a picture and is to say where the left wrist is. In which form should it answer? With two numbers? With a small picture that is
# bright at the wrist? With two rulers? The form of the answer is called the **representation**. It decides what the network has to learn, what it can
# express, and what is lost before training has begun.
#
# Each section asks a question. Answer it for yourself before you run the cells: a wrong guess is the best way to remember. A cell below each *Predict* takes your answer, if you like, and the chapter's end shows how often you were right, and how sure.
#
# | | |
# |---|---|
# | You need | a little Python and torch; what a Gaussian, a mean and a gradient are |
# | Time | about 5.3 hours, and 2 for the problems; the short path takes 2.4 |
# | Problems | [the set *representations*](../exercises/representations/representations.ipynb) |
#
# Under each heading stands how long its section takes, by a rule of thumb: one minute for 120 words, for the Predict question with its cell, for each picture and for each question of the quiz; two minutes for each
# code cell and each equation; five for each explorer with its answers. What is folded in does not count. In a hurry? Take the **short path**: read the sections that are
# marked so, and run the cells of the others without reading them (*Run*, *Run All Cells* does that at once), because later cells use what earlier ones define.

# %%
import math
import os

import torch

from posebook import draw, theory
from posebook.encode import gaussian_heatmap
from posebook.grid import Grid
from posebook.people import draw_people
from posebook.predictions import prediction, predictions
from posebook.skeleton import COCO_17, Skeleton

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 1.1 What is a keypoint?
#
# *14 minutes, short path*
#
# A **keypoint** is a place with a name: the left wrist, the tip of the nose, the corner of a page. A **skeleton** lists the names, the **limbs** that
# join them, and which of them are the left and the right of a pair. A **pose** is one place for each name: a table of $K$ rows $(x, y)$, in image
# pixels (px), $x$ to the right and $y$ down.
#
# > **Predict.** You mirror a picture of width $W$. Her left wrist was in row 9 of the table. Which number changes, and in which row is it now?

# %%
prediction("1.1")

# %% [markdown]
# *Left* is the person's left. In the mirror image her left wrist is where a right wrist would be, and nobody can tell that the picture was mirrored.
# So the rows of a pair change places. With $\pi(k)$ the partner of keypoint $k$, or $k$ itself, and whole numbers at pixel centers,
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
crowd = draw_people(300, seed=1, yaw=(-180.0, 180.0), size=(0.6, 0.95), occluder=0.3)
waving = draw_people(1, seed=0, poses=("waving",), yaw=(-20.0, 20.0), truncate=0.0, occluder=0.0)
image, xy = waving.image[0], waving.xy[0, 0]  # (3, H, W) in [0, 1] and (17, 2) px
print(", ".join(COCO_17.names))
print(f"{len(COCO_17)} keypoints, {len(COCO_17.limbs)} limbs, {len(COCO_17.pairs)} pairs")

# %%
flipped = flip_points(xy, image.shape[-1], skeleton=COCO_17)
wrong = flip_points(xy, image.shape[-1])
back = flip_points(flipped, image.shape[-1], skeleton=COCO_17)
assert torch.allclose(back, xy, atol=1e-4)  # mirrored twice, it is where it was
right = flip_points(crowd.xy[:, 0], image.shape[-1], skeleton=COCO_17)
miss = (right - flip_points(crowd.xy[:, 0], image.shape[-1])).norm(dim=-1).mean()
print(f"names not exchanged: {miss:.2f} px off on average, over {len(right)} people")
assert miss > 2

# %%
images = torch.stack((image, flip_image(image), flip_image(image)))
draw.show(draw.people(images, torch.stack((xy, flipped, wrong)), COCO_17,
                      titles=("a person", "mirrored", "names forgotten")),
          "A drawn person who waves with the left hand; limbs on the person's left are blue, on "
          "the right orange. In the mirror image the colors have changed sides, so that it is a "
          "right hand that waves; where the names were forgotten the skeleton lies on the body "
          "but its left is on the wrong side.")

# %% [markdown]
# *Image of 64 x 64 px. Blue: the person's left; orange: her right. In the third picture every point lies on the body, and 16 of the 17 names are
# wrong.*
#
# **Takeaway.** A keypoint is a name and a place, and a mirror moves both: whoever flips training pictures and forgets to exchange the names teaches
# labels that are wrong, here by some 7 px on average.

# %% [markdown]
# ## 1.2 Which keypoints count?
#
# *17 minutes*
#
# Not every keypoint of a person is in the picture, and not every one that is can be seen. COCO marks each with a **visibility** $v$: 2 means seen; 1
# means known but hidden, by another limb or by a thing in front of it; 0 means not labeled. For a keypoint that is not labeled, COCO's files store the
# place $(0, 0)$, which is no place at all.
#
# > **Predict.** A network is exactly right about all that is labeled. Two of a person's 17 keypoints are not labeled and stored as (0, 0). The picture is
# > 64 px high. What mean error does a program report that averages over all 17: 0 px, 1 px, 5 px?

# %%
prediction("1.2")

# %% [markdown]
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
print(f"mean over the four rows {e.mean():.2f} px, over the labeled three {by_hand:.2f} px")
assert masked_mean(epe(found, truth), vis > 0) == by_hand

# %% [markdown]
# One place that is not a place, and a perfect network is off by 17 px on average. Now the question above, for the 300 people: the wrists are not
# labeled, and the network puts them where they are.

# %%
right = crowd.xy[:, 0]  # (300, 17, 2) px: the network's answers
stored_as = right.clone()
stored_as[:, [COCO_17.names.index(name) for name in ("left_wrist", "right_wrist")]] = 0
careless = epe(right, stored_as).mean()
print(f"two of 17 at (0, 0): a mean error of {careless:.1f} px, and the network made none")
assert 4 < careless < 6 and torch.equal(epe(right, stored_as) > 0, (stored_as == 0).all(-1))

# %% [markdown]
# posebook stores NaN, "not a number", where nothing is known. NaN makes every sum that it enters NaN as well, so that a forgotten mask shows at once.
# It has three traps of its own. A comparison with NaN is False, so that a count of what is near enough takes the unknown for wrong. NaN times 0 is NaN, so multiplying
# by the mask does not help. And choosing the good rows *after* the error was computed saves the loss, but not always its gradient. For the squared error the gradient
# of a row that was not chosen is 0 times NaN, which is NaN. For
# $|dx| + |dy|$ torch happens to give 0. What is unknown should be taken out *before* anything is computed from it; then the loss does not matter:

# %%
from posebook.losses import coordinate_loss

unknown, mask = truth.masked_fill(vis[:, None] == 0, torch.nan), vis > 0


def squared(found):
    return (found - unknown).square().sum(-1)


def absolute(found):
    return (found - unknown).abs().sum(-1)


ways = {
    "squared, mean of all": lambda found: squared(found).mean(),
    "squared, times the mask": lambda found: (squared(found) * mask).sum() / 3,
    "squared, chosen after": lambda found: torch.where(mask, squared(found), 0).sum() / 3,
    "absolute, chosen after": lambda found: torch.where(mask, absolute(found), 0).sum() / 3,
    "posebook": lambda found: masked_mean(coordinate_loss(found, unknown), mask),
}

# %%
poisoned = {}
for name, loss in ways.items():
    guess = (found + 1).requires_grad_()  # off by (1, 1) everywhere
    loss(guess).backward()
    poisoned[name] = guess.grad.isnan().any().item()
    print(f"{name:24s} loss {loss(guess):.2f}, a gradient's sum {guess.grad.sum():.2f}")
assert list(poisoned.values()) == [True, True, True, False, False]
near = epe(found, unknown) < 5
print(f"less than 5 px off: {100 * near.float().mean():.0f} % of four, of the three labeled "
      f"{100 * masked_mean(near.float(), mask):.0f} %")
assert near.tolist() == [True, True, False, True]
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
# **Takeaway.** A label that is missing is not a label at (0, 0): in the toy example above the careless mean is 17.19 px for a network without any
# error, and the mean over what is labeled is 0. With the two wrists missing the careless mean is 5.0 px on these people.

# %% [markdown]
# ## 1.3 Where does a point go when the picture shrinks?
#
# *17 minutes, short path*
#
# Between a photograph and a heatmap the picture is cropped, resized and strided over. Each time its points must move with it.
#
# > **Predict.** A picture of 64 px is averaged down to 16: a new pixel is the mean of 4 x 4 old ones. A dot had its center at old pixel $x = 20$. Is it now at 5,
# > at 4.625 or at 5.375? And if the new picture takes every fourth pixel instead?

# %%
prediction("1.3")

# %% [markdown]
# It depends on where a new pixel *looks*. The mean of 4 x 4 makes new pixel 0 of the old pixels 0 to 3, whose middle is at 1.5. With the **stride** $s$, the
# number of old px per new one,
#
# $$u = \frac{x - \frac{s - 1}{2}}{s} = \frac{x + \frac12}{s} - \frac12$$
#
# Taking every fourth pixel puts new pixel 0 on old pixel 0. Then $u = x / s$.

# %%
import torch.nn.functional as F

row = torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0, 1.0, 0.0, 0.0])  # a dot at pixel 4
half = torch.stack([(row[2 * k] + row[2 * k + 1]) / 2 for k in range(4)])
place = (half * torch.arange(4.0)).sum() / half.sum()  # the mean place, weighted with the values
print(f"8 px -> 4 px: {half.tolist()}, the dot is at {place:.3f}, not at 4 / 2 = 2")
assert place == (4 - 0.5) / 2

# %% [markdown]
# Now in two dimensions, for six ways to shrink a picture. Three of them are convolutions or means as networks have them: two layers of 3 x 3 weights at
# stride 2 with padding 1, as in ResNet, and the layers of this course's networks, which have 4 x 4 and then 2 x 2 weights. The place of the dot is again the
# mean place, weighted with the values. `Grid` holds the rule of each way: `Grid.center(4)` is the formula above, `Grid.index(4)` is $x / 4$, and
# `Grid.unit_length` is a third one, in which the first pixels coincide and the last ones too.

# %%
from posebook.expectation import mean_cell


def mean_place(values):
    """Mean place (x, y) of a picture (H, W), weighted with its values."""
    rows, columns = (torch.arange(float(n)) for n in values.shape)
    return torch.stack((values.sum(0) @ columns, values.sum(1) @ rows)) / values.sum()


def layer(picture, kernel, padding):
    """A convolution with equal weights at stride 2."""
    weight = torch.full((1, 1, kernel, kernel), 1 / kernel**2)
    return F.conv2d(picture, weight, stride=2, padding=padding)


x = torch.tensor([20.0, 41.0])  # px, (x, y): in memory it is image[y, x], row first
dot = gaussian_heatmap(x, (64, 64), sigma=3.0)
assert torch.allclose(mean_place(dot), mean_cell(dot / dot.sum()))

# %%
old = dot[None, None]  # (1, 1, H, W)
by_index, center = Grid.index(4), Grid.center(4)
corner = Grid.unit_length((64, 64), (16, 16))
resized = {mode: F.interpolate(old, (16, 16), mode="bilinear", align_corners=mode)
           for mode in (False, True)}
shrunk = {
    "mean of 4 x 4": (F.avg_pool2d(old, 4), center),
    "4 x 4, then 2 x 2 weights": (layer(layer(old, 4, 1), 2, 0), center),
    "interpolate": (resized[False], center),
    "every fourth pixel": (old[..., ::4, ::4], by_index),
    "3 x 3 weights, twice": (layer(layer(old, 3, 1), 3, 1), by_index),
    "align_corners=True": (resized[True], corner),
}
for name, (small, grid) in shrunk.items():
    place = mean_place(small[0, 0])
    print(f"{name:25s} the dot is at ({place[0]:.3f}, {place[1]:.3f})", end="; ")
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
# So neither "divide by 4" nor the formula is right by itself: ask where the cell's weights are centered. With $k$ weights, stride $s$ and padding $p$, cell 0
# lies at $(k - 1) / 2 - p$ px. The rule is *center* where that is $(s - 1) / 2$, *index* where it is 0, and neither of them elsewhere:

# %%
ramp = torch.arange(64.0)[None, None]  # each pixel holds its own place
for k, s, p in ((4, 2, 1), (2, 2, 0), (3, 3, 0), (3, 2, 1), (5, 2, 2), (3, 2, 0), (4, 2, 0)):
    seen_at = F.conv1d(ramp, torch.full((1, 1, k), 1 / k), stride=s, padding=p)[0, 0]
    first = round(seen_at[4].item() - 4 * s, 4) + 0.0  # cell 4 sees no padding; no -0.0
    rule = {(s - 1) / 2: "center", 0: "index"}.get(first, "neither")
    print(f"{k} weights, stride {s}, padding {p}: cell 0 lies at {first} px, {rule}")
    assert first == (k - 1) / 2 - p

# %% [markdown]
# The layers of this course's networks are of the first two kinds, so that their stride is that of `Grid.center`. [Section 2.2](02_decoding.ipynb) shows
# the three rules beside each other.
#
# **Takeaway.** A picture that is averaged down by 4 moves its points to $(x - 1.5) / 4$, one that keeps every fourth pixel to $x / 4$; whoever takes the one
# for the other is off by 1.50 px of the old picture, with the best of networks.

# %% [markdown]
# ## 1.4 How do you draw a point on a grid?
#
# *17 minutes, short path*
#
# By a picture of the answer, a **heatmap**. It has one cell for $s \times s$ px, where $s$ is the stride, and in each cell a number that says how near the
# keypoint is.
#
# > **Predict.** The heatmap is a Gaussian with peak 1, one cell wide. What is the highest number that the grid holds, if the keypoint falls on a corner where four
# > cells meet?

# %%
prediction("1.4")

# %% [markdown]
# With $u_k = (x_k - \mathrm{offset}) / s$ the keypoint in cells, $u$ a cell and $\sigma$ the width in cells,
#
# $$h_k(u) = \exp\left(-\frac{\lVert u - u_k \rVert^2}{2 \sigma^2}\right)$$
#
# Much code *rounds* the keypoint to a whole cell before it draws the Gaussian. Then the exact place cannot be read back.

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
# The explorer shows a target and its numbers, and what three **decoders** read from it. *Argmax* takes the highest cell. *DARK* lays a bell through the highest
# cell and its neighbors, and takes the top of that bell. *Soft-argmax* takes the mean place of all cells, weighted with their values. Chapter 2 takes them
# apart; here it is enough that the first one answers with a whole cell and the others between cells. Answer before you move:
#
# > 1. Move x slowly through one cell. What jumps? What glides? How low can the highest value get at $\sigma = 1$?
# > 2. Set *keypoint* to *rounded*. Which decoder can still find the keypoint?
# > 3. Set *grid* to *mixed*. In which direction do all points go, and how far at stride 8?
# > 4. Lower $\sigma$ to 0.3. DARK still reads the place exactly. Why would you not train with such a target?

# %%
from posebook.explore import target

target.explore()

# %%
for start in ({}, {"keypoint": "rounded"}, {"grid": "mixed", "stride": 8}, {"sigma": 0.3}):
    result = target.compute(target.State(**start))
    read = ", ".join(f"{name} {miss:.2f}" for name, miss in result.errors.items())
    print(f"{start}: highest {result.peak:.2f}; errors in px: {read}")
rounded = target.compute(target.State(keypoint="rounded")).errors
assert max(rounded.values()) - min(rounded.values()) < 1e-3 < 1 < rounded["DARK"]
assert target.compute(target.State()).errors["DARK"] < 1e-6
whole = target.State(x=29.5, y=33.5, keypoint="rounded")  # at a cell's center
assert max(target.compute(whole).errors.values()) < 1e-6
mixed = target.compute(target.State(grid="mixed", stride=8))
aside = [a - b for a, b in zip(mixed.points["DARK"], (mixed.state.x, mixed.state.y), strict=True)]
print(f"mixed, stride 8: DARK goes by ({aside[0]:.1f}, {aside[1]:.1f}) px")
assert all(abs(off + 3.5) < 1e-6 for off in aside)

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The square of argmax jumps; away from the border the others glide with the keypoint. The highest value falls to $e^{-1/4} = 0.779$ at the corner of four cells: you must not read it as a certainty.
# 2. None, unless the keypoint is at a cell's center. What rounding took is not in the picture any more.
# 3. Up and to the left, by $(s - 1) / 2$ px on each axis: 3.5 px at stride 8, which is 4.95 px in all. The target was encoded as *center* and read as *index*.
# 4. All cells but one, two or four are nearly 0, and what lies between the cells is told by numbers that the mean squared error hardly counts. Section 1.6 shows what such a
#    loss rewards; section 1.14 shows that cross-entropy takes it better.
#
# </details>
#
# **Takeaway.** A Gaussian that is drawn around the exact place, not around the nearest cell, keeps the place between the cells: at stride 4 the
# rounded one loses 1.42 px in the explorer's first picture, the exact one nothing. Practice:
# [`gaussian_heatmap`](../exercises/representations/representations.ipynb).

# %% [markdown]
# ## 1.5 Is a heatmap a probability?
#
# *17 minutes, short path*
#
# A heatmap has a peak of 1, it is nowhere negative, and it says where the keypoint probably is. Many texts call it a probability map.
#
# > **Predict.** $\sigma = 2$ cells. What do all its values add up to: 1, about 6, about 25?

# %%
prediction("1.5")

# %% [markdown]
# $$\sum_u h(u) \approx 2 \pi \sigma^2, \qquad \sum_u h(u)^2 \approx \pi \sigma^2$$
#
# where $\sigma$ is in cells. The first is the volume under the bell, the second the volume under its square, which is a bell $\sqrt 2$ times narrower.
# A sum over cells is within some 3 % of the volume only where the bell is wide enough, the first from half a cell on, the second from 0.7 cells on, and where no border
# is nearer than $2.5 \sigma$.

# %%
for sigma in (1.0, 2.0, 3.0):
    h = gaussian_heatmap(torch.tensor([31.3, 30.8]), (64, 64), sigma=sigma)
    total, energy = h.sum().item(), h.square().sum().item()
    print(f"sigma {sigma}: sum {total:6.2f}, of squares {energy:6.2f}; formulas "
          + ", ".join(f"{value:6.2f}" for value in theory.bump_sums(sigma)))
    assert abs(total / theory.bump_sums(sigma).mass - 1) < 1e-3
    assert abs(energy / theory.bump_sums(sigma).energy - 1) < 1e-3

# %% [markdown]
# The values sum to about 25, so they are no probabilities. Divide them by their sum, $p = h / \sum h$, and they are; the place stays the same. But the two
# say different things, and they are trained with different losses. The heatmap is trained with the **mean squared error** over its $N$ cells. The
# distribution is trained with the **cross-entropy**. There the network says any number $z_u$ for each cell, high or low, a **logit**, and the **softmax** makes
# positive numbers of them that sum to 1: $\operatorname{softmax}(z)_u = e^{z_u} / \sum_v e^{z_v}$. The loss is measured in **nats**, the unit of information
# that belongs to the natural logarithm; 1 nat is 1.44 bits.
#
# $$L_\mathrm{MSE} = \frac1N \sum_u \big(\hat h(u) - h(u)\big)^2, \qquad L_\mathrm{CE} = -\sum_u p(u) \ln \operatorname{softmax}(z)_u$$
#
# A heatmap can say "there is no such keypoint": all cells are low. A distribution always sums to 1 and has to put it somewhere.
#
# The least value of the cross-entropy is not 0. It is the **entropy** of the target, $-\sum_u p(u) \ln p(u)$, which says how widely the target is spread.

# %%
from posebook.expectation import soft_argmax, spatial_softmax
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
               "axis. The values lie on their formula from about half a cell on, the squares from "
               "about 0.7; narrower bumps depend on where in its cell the keypoint lies.")

# %%
for name, narrow in {"values": 0.5, "squares": 0.7}.items():
    ratios = [found / lines[f"sum of {name}"] for key, found in dots.items() if name in key]
    for sigma in (0.5, 0.7):
        on, off = (ratio[(sigmas - sigma).abs().argmin()] for ratio in ratios)
        print(f"sigma {sigma}, sum of {name} / formula: {on:.2f} on a cell, {off:.2f} on a corner")
    assert all((ratio[sigmas > narrow - 0.01] - 1).abs().max() < 0.04 for ratio in ratios)
assert min((ratio[sigmas < 0.51] - 1).abs().min() for ratio in ratios) > 0.3  # squares, narrower
for far in (1.0, 2.5):
    near = [gaussian_heatmap(torch.tensor([far * s - 0.5] * 2), (41, 41), sigma=s).sum().item()
            / theory.bump_sums(s).mass for s in (0.5, 0.7, 1.0, 2.0, 3.0)]
    print(f"{far} sigma from two borders, sum / formula: {min(near):.2f} to {max(near):.2f}")
    assert (max(abs(ratio - 1) for ratio in near) < 0.03) == (far == 2.5)

# %% [markdown]
# *Lines: $2 \pi \sigma^2$ and $\pi \sigma^2$. Dots: measured, with the keypoint on a cell's center and on a corner of four cells.*
#
# **Takeaway.** A heatmap is not a probability: at $\sigma = 2$ cells its values sum to 25.13. Divided by their sum they are one, but then they must point to some
# place even where there is nothing to find.

# %% [markdown]
# ## 1.6 When is silence cheaper than a guess?
#
# *10 minutes*
#
# Most cells of a heatmap are nearly 0. A network that answers 0 everywhere is right about all of these.
#
# > **Predict.** $\sigma = 2$, 64 x 64 cells. One network answers with a perfect bump, 4 cells beside the keypoint. Another answers 0 everywhere. Whose mean squared error is lower?

# %%
prediction("1.6")

# %% [markdown]
# With $N$ cells, $d$ the distance of the bump from its place, in cells, and the overlap of two bells $\sum h\,h' = \pi \sigma^2 e^{-d^2 / 4
# \sigma^2}$,
#
# $$L_\mathrm{empty} = \frac{\pi \sigma^2}{N}, \qquad L(d) = \frac{2 \pi \sigma^2}{N}\left(1 - e^{-d^2 / 4 \sigma^2}\right)$$
#
# They are equal at $d = 2 \sigma \sqrt{\ln 2} = 1.67\,\sigma$.

# %%
h = gaussian_heatmap(torch.tensor([30.0, 31.0]), (64, 64), sigma=2.0)
empty = (h**2).sum() / h.numel()
print(f"empty map: MSE {empty:.4f}, formula {theory.bump_sums(2.0).energy / 64**2:.4f}")
for d in (1.0, 3.33, 4.0, 10.0):
    beside = gaussian_heatmap(torch.tensor([30.0 + d, 31.0]), (64, 64), sigma=2.0)
    print(f"bump {d:5.2f} cells beside: MSE {heatmap_loss(beside, h):.4f}")
    assert abs(heatmap_loss(beside, h) - theory.misplaced_mse(d, 2.0, 64**2)) < 1e-6
print(f"equal at {2 * math.sqrt(math.log(2)):.2f} sigma = {4 * math.sqrt(math.log(2)):.2f} cells")
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
level = torch.full_like(d, theory.bump_sums(2.0).energy / 64**2)
fig, (ax,) = draw.axes(height=2.6)
draw.curves(ax, d, {"a bump beside": formula, "an empty map": level}, {"a bump beside": measured},
            xlabel="distance from the keypoint (cells)", ylabel="mean squared error")
draw.show(fig, "Mean squared error of a perfect bump against its distance from the keypoint: it "
               "crosses the line of the empty map, 0.0031, at 3.33 cells and is twice as high "
               "from some 8 cells on.")

# %% [markdown]
# *$\sigma = 2$ cells, 64 x 64 cells. The curve has no slope far away: a bump that is far off does not learn from this loss in which direction to go.*
#
# So a network whose bump would be more than 3.33 cells off pays less if it draws none. (Best of all is a low and wide bump, section 1.7.) A loss of 0.0031
# looks excellent and is worth nothing: compare it with the loss of the empty map. What helps is more training, a wider $\sigma$, more weight on
# the cells near the keypoint, or the cross-entropy, whose answer cannot be empty.
#
# **Takeaway.** Answering 0 everywhere costs 0.0031, because only 2.8 % of the cells are above 0.01, and a perfect bump costs more than that if it is
# over 3.33 cells off.

# %% [markdown]
# ## 1.7 What does label noise do to the target?
#
# *18 minutes*
#
# Ask ten people to click on a hip. The clicks scatter, and not by a little.
#
# > **Predict.** Targets with $\sigma = 2$ cells; the labels scatter around the true place with a standard deviation of 1.5 cells on each axis. A network with endless data
# > minimizes the mean squared error. How high is the peak of its heatmap?

# %%
prediction("1.7")

# %% [markdown]
# The map that minimizes the mean squared error is the mean of the targets, and the mean of Gaussians whose centers are scattered by a Gaussian of
# $\nu$ cells is a Gaussian again:
#
# $$\text{width } \sqrt{\sigma^2 + \nu^2}, \qquad \text{peak } \frac{\sigma^2}{\sigma^2 + \nu^2}$$

# %%
generator = torch.Generator().manual_seed(0)
clicks = 1.5 * torch.randn(4000, 2, generator=generator)  # cells from the hip
peak, width = theory.label_noise_optimum(2.0, 1.5)
for hip in (32.5, 32.0):  # on a corner of four cells, on a cell
    maps = [gaussian_heatmap(hip + part, (64, 64), sigma=2.0).sum(0) for part in clicks.split(500)]
    best = sum(maps) / 4000
    formula = peak * gaussian_heatmap(torch.tensor([hip, hip]), (64, 64), sigma=width).max()
    print(f"hip at {hip} in x and y: highest cell {best.max():.2f}, formula {formula:.2f}")
    assert abs(best.max() / formula - 1) < 0.02
columns = best.sum(0) / best.sum()
measured = (columns * (torch.arange(64) - 32) ** 2).sum().sqrt()
print(f"peak {peak:.2f}; width {measured:.1f}, formula {width:.1f} cells")
print(f"decoded at ({soft_argmax(best.log())[0]:.1f}, {soft_argmax(best.log())[1]:.1f})")
assert abs(formula / peak - 1) < 1e-6 and abs(measured / width - 1) < 0.02
assert (soft_argmax(best.log()) - 32).abs().max() < 0.1  # low and wide, but at its place

# %% [markdown]
# The network does not have to see several clicks on the same picture. It cannot tell from a picture which way the click will be off, so that the mean of all
# possible targets is still its best answer. A low peak is therefore no failure. Part of it may be the place between the cells; the rest says how far the labels scatter.
#
# Which $\sigma$ is best, then? Take 20 labels for one place and average their targets, as a network does with 20 similar pictures. Then read the average in two
# ways: at its peak (with DARK) and as its mean place (with soft-argmax). In a first trial the labels only scatter; in a second one two of the 20 are on the
# wrong hip, 15 cells away. The error is given as **rms**, the root of the mean of the squared errors.

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
for sigma in (0.25, *sigmas):
    maps = gaussian_heatmap(swapped, (41, 51), sigma=sigma).mean(1)
    off = (soft_argmax(maps.log()) - swapped.mean(1)).abs().max()
    print(f"sigma {sigma}: mean of the map - mean of the labels: up to {off:.2f} cells")
    assert off < 0.05 if sigma >= 0.5 else off > 1

# %%
for n, enough in ((2, 1.0), (6, 1.5)):
    swapped = clicks.clone()
    swapped[:, :n, 0] += 15.0
    maps = [gaussian_heatmap(swapped, (41, 51), sigma=s).mean(1) for s in sigmas]
    wrong = [100 * ((refine_dark(h) - 20).norm(dim=-1) > 8).double().mean().item() for h in maps]
    print(f"{n} of 20 on the wrong hip: so is the peak, in % of the places, at sigma",
          ", ".join(f"{s}: {share:.1f}" for s, share in zip(sigmas, wrong, strict=True)))
    assert all((share == 0) == (s >= enough) for s, share in zip(sigmas, wrong, strict=True))

# %%
fig, (ax,) = draw.axes(height=2.8)
draw.curves(ax, sigmas, rms, rms, xlabel="sigma of the targets (cells)", ylabel="rms error (cells)")
draw.show(fig, "Error of the place read from the mean of 20 targets against their sigma. Read at "
               "the peak it falls from 0.8 cells, with two swapped labels from 1.1, to nearly "
               "0.35, that of the mean; read as a mean, two swapped labels cost over one cell at "
               "every sigma.")

# %% [markdown]
# *200 places, 20 labels each, scattered by 1.5 cells. The peak of narrow targets is where the labels happen to lie densest; the peak of wide targets is near
# their mean. In other words, $\sigma$ smooths.*
#
# The mean of the map is the mean of the labels, wrong ones included, at every $\sigma$ from half a cell on: narrower bells fall between the cells. Its peak ignores a
# few labels that are many $\sigma$ off, as long as the bells are wide enough for the right ones to pile up higher: here two of 20 from $\sigma = 1$ on, six of 20 from
# 1.5 on. And it needs a wide target to average the scatter of the others. That much is arithmetic. Section 1.14 asks trained networks which $\sigma$ is
# best, and they answer otherwise.
#
# **Takeaway.** Label noise of 1.5 cells turns targets of peak 1 and width 2 into a best answer of peak 0.64 and width 2.5, at the right place. Read
# at its peak, a map of bells that are wide enough ignores a few labels that are wrong by many $\sigma$; read as a mean it does not.

# %% [markdown]
# ## 1.8 What does the stride cost?
#
# *23 minutes*
#
# A map with stride 4 has a sixteenth of the cells of the picture. It is cheaper to compute and to store, and the bell on it, $\sigma$ cells wide, is
# $\sigma s$ px wide.
#
# > **Predict.** Stride 4, $\sigma = 2$ cells. Two people stand side by side, and the nose map is the sum of two bells. How far apart must the noses be, in px, so that
# > it has two peaks?

# %%
prediction("1.8")

# %% [markdown]
# The sum of two equal Gaussians has one peak up to a distance of $2 \sigma$ and two beyond, because at $2 \sigma$ the curvature in the middle changes its
# sign. In px that is
#
# $$d = 2\,\sigma\,s$$
#
# if one could look between the cells. A dent that is narrower than a cell is not seen, so that on the map it takes more: little for wide bells, up to twice as much for
# bells of half a cell. How much depends on where in its cell the middle between the two lies.

# %%
def peaks(row):  # how many values are higher than the one before, not lower than the one after
    return int(((row[1:-1] > row[:-2]) & (row[1:-1] >= row[2:])).sum())


def two(x, apart, sigma):
    """Two bells (2, N), the middle between them at 0."""
    return torch.exp(-((x - torch.tensor([[-apart / 2], [apart / 2]])) ** 2) / (2 * sigma**2))


x = torch.linspace(-15, 15, 3001, dtype=torch.float64)  # cells, fine enough to see any dent
cells = torch.arange(-20, 21, dtype=torch.float64)
phases = torch.linspace(0, 0.95, 20, dtype=torch.float64)  # the middle, in its cell
for sigma in (0.5, 1.0, 2.0, 3.0):
    seen = [peaks(two(x, share * 2 * sigma, sigma).sum(0)) for share in (0.98, 1.02)]
    need = [next(d for d in range(150, 450) if peaks(two(cells - p, d * sigma / 100, sigma).sum(0))
                 == 2) for p in phases]  # the distance in hundredths of sigma
    low, high = (0.04 * sigma * n for n in (min(need), max(need)))  # px at stride 4
    print(f"sigma {sigma}, stride 4: {seen[0]} peak just below, {seen[1]} just above "
          f"{8 * sigma:.0f} px; on the cells two from {low:.1f} to {high:.1f} px on")
    assert seen == [1, 2] and 200 < min(need) <= max(need) < 200 + 210 * (0.5 / sigma) ** 2

# %% [markdown]
# Some code draws the *higher* of the two bells into each cell, not their sum. Such a target has a crease between the two, and two peaks as soon as a cell in between is
# lower than cells on both sides:

# %%
for sigma in (1.0, 2.0, 3.0):
    need = [next(d for d in range(50, 400) if peaks(two(cells - p, d / 100, sigma).amax(0)) == 2)
            for p in phases]  # the distance in hundredths of a cell
    print(f"sigma {sigma}: the higher of two bells has two peaks "
          f"from {0.04 * min(need):.0f} to {0.04 * max(need):.0f} px on")
    assert 100 <= min(need) < 110 and 190 < max(need) <= 201  # one cell to two, at any sigma

# %% [markdown]
# From one to two cells on, at each of these widths. Whether a network can learn so sharp a crease is another question: its best answer is a mean of targets (section 1.7).
#
# The other cost is precision. With the same noise on the cells, an error that is measured in cells stays the same, and is worth $s$ times as many px. DARK
# is often used after a small **blur**, a mean over neighboring cells, which takes away part of the noise; here it is a Gaussian of 1 cell:

# %%
from posebook.decode import argmax

readers = {"argmax": argmax, "DARK": refine_dark,
           "DARK after a blur": lambda h: refine_dark(h, blur=1.0)}


def rms_px(stride, noise):
    """Reader -> root mean square of the distance in px, over 400 keypoints."""
    generator = torch.Generator().manual_seed(1)
    xy = 20 + 24 * torch.rand(400, 2, generator=generator)  # px, in an image of 64 x 64
    grid = Grid.center(stride)
    maps = gaussian_heatmap(grid.to_cells(xy), (64 // stride, 64 // stride), sigma=1.0)
    maps = maps + noise * torch.randn(maps.shape, generator=generator)
    return {name: (grid.to_image(read(maps)) - xy).square().sum(-1).mean().sqrt().item()
            for name, read in readers.items()}

# %%
rms = {(noise, s): rms_px(s, noise) for noise in (0.05, 0.1, 0.2) for s in (1, 2, 4, 8)}
for (noise, s), found in rms.items():
    print(f"noise {noise:.2f}, stride {s}:", ", ".join(f"{n} {v:.2f} px" for n, v in found.items()))
for noise in (0.05, 0.1):  # in proportion to the stride
    assert all(6 < rms[noise, 8][name] / rms[noise, 1][name] < 10 for name in readers)
    assert rms[noise, 4]["DARK after a blur"] < 1.05 * rms[noise, 1]["argmax"]
assert rms[0.05, 8]["DARK after a blur"] < 1.1 * rms[0.05, 1]["argmax"] < 0.6 * rms[0.05, 8]["DARK"]
assert rms[0.1, 8]["DARK after a blur"] > 1.8 * rms[0.1, 1]["argmax"]
assert rms[0.2, 1]["argmax"] > rms[0.2, 4]["argmax"] + 1  # false peaks, far away

# %%
strides = (1.0, 2.0, 4.0, 8.0)
fig, (ax,) = draw.axes(height=2.4)
dots = {n: torch.tensor([rms[0.05, int(s)][n] for s in strides]) for n in readers}
draw.curves(ax, strides, {"argmax, no noise": torch.tensor(strides) / math.sqrt(6)}, dots,
            xlabel="stride (px per cell)", ylabel="rms distance (px)", xticks=strides)
draw.show(fig, "Error of argmax and of DARK against the stride: all grow in proportion to it, "
               "DARK's some four times more slowly than argmax's, after a blur some eight times.")

# %% [markdown]
# *400 keypoints, $\sigma = 1$ cell, noise of standard deviation 0.05 on each cell. Line: $s / \sqrt 6$.*
#
# With noise of 0.2 the proportion is lost: some cell far away is now and then higher than the bell. With less noise DARK after a blur reads stride 4 at least as well as
# argmax reads stride 1 (0.48 px each with noise of 0.1), which is one reason why stride 4 is common and stride 1 rare. And the second peak? A decoder that looks for
# peaks cannot find it. It is not lost, though: whoever knows that there are two bells, and how wide they are, can fit both, as long as the noise is low. Start with
# two bells beside each other in the middle, and improve their places step by step with the least squares of Gauss and Newton:

# %%
def pair(places):
    """The map of two bells of 2 cells at places (4,) in cells, flattened."""
    return gaussian_heatmap(places.view(2, 2), (16, 16), sigma=2.0).sum(0).flatten()


def fitted(apart, noise):
    """Error in px, at stride 4, of the worse of two bells, fitted to a map with noise."""
    truth = torch.tensor([7.6 - apart / 8, 8.3, 7.6 + apart / 8, 8.3], dtype=torch.float64)
    seen = pair(truth) + noise * torch.randn(256, generator=generator, dtype=torch.float64)
    start = mean_place(seen.view(16, 16).float())
    places = torch.stack((start[0] - 0.5, start[1], start[0] + 0.5, start[1])).double()
    for _ in range(10):
        slopes = torch.func.jacfwd(pair)(places)  # (256, 4)
        places = places + torch.linalg.lstsq(slopes, (seen - pair(places))[:, None]).solution[:, 0]
    return 4 * (places - truth).view(2, 2).norm(dim=-1).max()

# %%
for apart in (8.0, 12.0):  # px: less than the 16 px of two peaks
    assert peaks(two(x, apart / 4, 2.0).sum(0)) == 1
    clear, noisy = (torch.stack([fitted(apart, noise) for _ in range(50)]).median()
                    for noise in (0.01, 0.1))
    print(f"{apart:2.0f} px apart: the worse bell is {clear:.2f} px off with noise 0.01, "
          f"{noisy:.2f} px with noise 0.1")
    assert clear < 0.1 and 7 < noisy / clear < 14

# %% [markdown]
# **Takeaway.** While the noise is too low to make a false peak, the error is proportional to the stride. With noise of 0.05 on bells of 1 cell, DARK after a blur of 1
# cell reads stride 8 (0.46 px) about as well as argmax reads stride 1 (0.43 px); without the blur it is 0.89 px off, and with twice the noise 0.93 px. The sum of two
# people's bells has one peak below about $2 \sigma s$, with $\sigma = 2$ on the cells of stride 4 below 16.4 to 16.9 px; only a fit that knows of two bells still
# tells them apart, and ten times the noise makes its error ten times as large.

# %% [markdown]
# ## 1.9 Can two rulers replace a map?
#
# *12 minutes*
#
# A map answers for x and y together, and needs $H \times W$ numbers for that. **SimCC** asks about x and about y separately, with two rows of bins that are so
# fine that a bin is only a part of a pixel.
#
# > **Predict.** An image of 64 x 64 px, two bins per pixel. How many numbers is that, against a map of stride 1 or 4, and how far is the best bin off?

# %%
prediction("1.9")

# %% [markdown]
# With $\kappa$ bins per px, bin $i$ at $i / \kappa$ px and a smoothing of $\sigma$ bins, the target on the x ruler is
#
# $$p_i \propto \exp\left(-\frac{(i - \kappa x)^2}{2 \sigma^2}\right), \qquad \sum_i p_i = 1$$
#
# Taking the best bin rounds x to a multiple of $1 / \kappa$: an error of $1 / (\kappa \sqrt{12})$ px in root mean square on each axis, as argmax's at
# stride $1 / \kappa$.

# %%
from posebook import decode, encode

x, kappa, sigma = 1.7, 2, 1.0
weight = torch.exp(-((torch.arange(8) - kappa * x) ** 2) / (2 * sigma**2))  # 4 px, 8 bins
ruler = weight / weight.sum()
print("bins:", ruler, f" best bin {int(ruler.argmax())}, at {int(ruler.argmax()) / kappa} px")
along_x, along_y = encode.simcc_targets(torch.tensor([x, 0.5]), (4, 4), ratio=kappa, sigma=sigma)
assert torch.allclose(along_x, ruler) and len(along_y) == 8
read = decode.decode_simcc(along_x.log(), along_y.log(), ratio=kappa)
print("posebook.decode.decode_simcc:", read.tolist(), "px")

# %%
xy = 8 + 48 * torch.rand(4000, 2, generator=torch.Generator().manual_seed(2))
for kappa in (1, 2, 4):
    rulers = encode.simcc_targets(xy, (64, 64), ratio=kappa, sigma=1.5)
    logits = [p.clamp(min=1e-30).log() for p in rulers]
    hard, soft = ((decode.decode_simcc(*logits, ratio=kappa, mode=mode) - xy).square().mean().sqrt()
                  for mode in ("hard", "soft"))
    formula = math.sqrt(theory.argmax_error(1 / kappa).variance)
    print(f"{kappa} per px, {2 * 64 * kappa:3d} numbers: rms of the best bin {hard:.3f} px, "
          f"formula {formula:.3f}; of their mean below 0.001")
    assert abs(hard / formula - 1) < 0.03 and soft < 1e-3
for s in (1, 4):
    argmax_rms = math.sqrt(theory.argmax_error(s).variance)
    print(f"a map of stride {s}, {(64 // s) ** 2:4d} numbers: rms of argmax {argmax_rms:.3f} px")

# %% [markdown]
# What two rulers cannot say is *which x belongs to which y*. If the keypoint is at one of two places, the two rulers allow four:

# %%
one, other = torch.tensor([16.0, 20.0]), torch.tensor([44.0, 46.0])
each = [encode.simcc_targets(place, (64, 64), ratio=1, sigma=3.0) for place in (one, other)]
rulers = [(a + b) / 2 for a, b in zip(*each, strict=True)]  # x, y
ghosts = torch.outer(rulers[1], rulers[0])  # (H, W): all that the rulers know
map_of_two = gaussian_heatmap(torch.stack((one, other)), (64, 64), sigma=3.0).sum(0)
draw.show(draw.heatmaps({"a map of two places": map_of_two, "two rulers for them": ghosts}),
          "Left: a heatmap with two bumps, at upper left and lower right. Right: the product of "
          "its two rulers has four bumps, two of them where nothing is.")
there = [ghosts[46, 44], ghosts[20, 16], ghosts[20, 44], ghosts[46, 16]]
assert max(there) / min(there) < 1.01  # true places and ghosts are equally likely

# %% [markdown]
# *Image of 64 x 64 px, one bin per px, $\sigma = 3$ bins.*
#
# **Takeaway.** Two bins per pixel round to 0.144 px with 256 numbers, as many as a map of stride 4 that rounds to 1.155 px; but two rulers cannot keep
# two places apart from their ghosts. Practice: [`simcc_targets`](../exercises/representations/representations.ipynb).

# %% [markdown]
# ## 1.10 Why learn from drawn people?
#
# *18 minutes*
#
# The rest of the chapter trains networks on people that are drawn by `posebook.people`: a skeleton in three dimensions with clothes, a background,
# and things in front of it.
#
# > **Predict.** Network A is off by 1.20 px in the median, network B by 1.33 px. The annotators of your 100 test photographs scatter by 0.5 to 2 px. Can the
# > photographs tell which network is better?

# %%
prediction("1.10")

# %% [markdown]
# COCO measured how far its annotators scatter: by a distance of $\sigma_k \sqrt A$ px in root mean square, where $A$ is the area of the person's
# silhouette in px squared and $\sigma_k$ a number for each kind of keypoint. On each of the two axes that is $\sigma_k \sqrt{A / 2}$.

# %%
area = crowd.area[:, 0]
typical = area.median().sqrt()
print(f"median silhouette {area.median():.0f} px^2 in images of 64 x 64 px")
for name in ("left_eye", "left_wrist", "left_hip"):
    scatter = COCO_17.oks_sigmas[COCO_17.names.index(name)] * typical
    axis = scatter / math.sqrt(2)
    print(f"{name:10s} annotators would scatter by {scatter:.2f} px, on each axis by {axis:.2f} px")
    clicks = axis * torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
    assert abs(clicks.square().sum(-1).mean().sqrt() / scatter - 1) < 0.02
assert axis > 1  # the hip

# %% [markdown]
# That is more than the difference between A and B, but it does not hide the difference. The scatter is the same for both, and 100 people have 1700
# keypoints. What no number of photographs averages away is a **bias**: annotators who all click a little too far to the same side, because the joint is
# inside the body and they see the cloth. A network that was trained on their clicks learns to click there too. Below, A and B make Gaussian errors of their
# own. In the second row annotators lean by 0.5 px to the right, and B has learned a quarter of that; in the third they lean by 1 px, and B has learned half.

# %%
def wins(lean, learned, people=100, trials=100):
    """In how many percent of the trials the labels say that A is the better one."""
    generator = torch.Generator().manual_seed(3)
    scatter = torch.tensor(COCO_17.oks_sigmas)[:, None] * typical / math.sqrt(2)  # (17, 1) px
    won = 0
    for _ in range(trials):
        a, b, label = torch.randn(3, people, 17, 2, generator=generator)  # the truth is at 0
        to_right = torch.tensor([1.0, 0.0])
        label = scatter * label + lean * to_right
        a, b = 1.2 / 1.177 * a, 1.33 / 1.177 * b + learned * lean * to_right  # 1.177: median of |e|
        won += int((a - label).norm(dim=-1).median() < (b - label).norm(dim=-1).median())
    return 100 * won / trials

# %%
won = {}
for lean, learned in ((0.0, 0.0), (0.5, 0.25), (1.0, 0.5)):
    won[lean] = [wins(lean, learned, people) for people in (100, 400)]
    print(f"labels {lean:.1f} px to the right, B learned {learned:.2f} of it: A the better one in "
          f"{won[lean][0]:.0f} % of the sets of 100 people, {won[lean][1]:.0f} % of those of 400")
assert all(90 < few <= many for few, many in (won[0.0], won[0.5]))
assert won[1.0][1] < won[1.0][0] < 20

# %% [markdown]
# A small bias does not change the verdict. A large one that B has learned does: the labels prefer B, although A is nearer to the truth. More photographs only make the
# labels surer of what they say, right or wrong.
#
# A drawn person has no annotator: the keypoint is where the joint was put. Is it there, to a part of a pixel? Move the whole scene by a known part of a pixel and look
# whether the silhouette follows:

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

# %% [markdown]
# The shift shows that picture and labels move together. But labels that are all 0.7 px too far right would pass as well. So turn the scenes by 180 degrees about the
# middle of the picture, 31.5 px: what was at $x$ has to land on $63 - x$.

# %%
half_turn = render(scene.moved(shift=(63.0, 63.0), degrees=180.0))
sums = {"silhouettes": centroid(half_turn) + centroid(still), "labels": half_turn.xy + still.xy}
for name, total in sums.items():
    print(f"{name:11s} before and after add up to {total.min():.2f} to {total.max():.2f} px")
    assert (total - 63).abs().max() < 1e-3

# %% [markdown]
# Both do, so there is no common offset either.

# %%
draw.show(draw.people(crowd.image[:12], None, COCO_17),
          "Twelve drawn people of 64 x 64 px: standing, sitting, walking, seen from all sides, in "
          "varied clothes, before plain, striped and blurred backgrounds, some partly covered.")

# %% [markdown]
# *The first twelve of the 300.*
#
# What drawn people cannot show is everything that only photographs have: cloth that folds, faces, hair in the wind, crowds, motion blur, ten
# thousand kinds of background. A number from drawn people compares *representations* on equal terms. It says nothing about how well a network does in
# the street; section 1.15 asks that.
#
# **Takeaway.** Annotators of pictures as small as these would scatter by 2.10 px on a hip. Scatter averages out, a bias does not: if it is large enough, the
# labels prefer whoever shares it. Drawn people have keypoints that are exact far below a pixel; they are an instrument to compare with, and no substitute for photographs.

# %% [markdown]
# ## 1.11 What can a network learn while you watch?
#
# *17 minutes*
#
# The network, `posebook.models.HeatmapNet`, goes from 64 x 64 px down to 4 x 4 cells and up again to 16 x 16, one map for each of the 17 keypoints.
# The network is small, and so is its training set: a thousand pictures of whole people who more or less face you.
#
# > **Predict.** A thousand pictures, two hundred steps of 32 of them, some ten seconds on a laptop. How far off will it be on people that it has never seen, in the median over the visible
# > keypoints: 10 px, 3 px, 0.5 px?

# %%
prediction("1.11")

# %% [markdown]
# The loss is the cross-entropy of section 1.5 between the softmax of the map's logits $z_k$ and a Gaussian target of sum 1, $\sigma = 0.5$ cells,
# averaged over the labeled keypoints of the batch:
#
# $$L = -\frac{1}{\sum m_k} \sum_k m_k \sum_u p_k(u) \ln \operatorname{softmax}(z_k)_u \quad \text{nats}$$

# %%
from posebook.training import alone, finite, train
from posebook.training.methods import METHODS, make_net, predict
from posebook.training.table import PEOPLE

print("drawn with", PEOPLE)
lessons = alone(draw_people(1024, seed=10, **PEOPLE))  # images, xy (1024, 17, 2) px, vis
exam, exam_xy, exam_vis = alone(draw_people(256, seed=11, **PEOPLE))
net = make_net("cross-entropy", seed=0)
print(f"{sum(p.numel() for p in net.parameters()):,} weights; image", tuple(exam[:1].shape),
      "-> logits", tuple(net(exam[:1]).shape))

# %%
def loss(net, image, xy):
    """Cross-entropy (B, K) in nats between the net's softmax and Gaussians around xy."""
    bumps = gaussian_heatmap(net.grid.to_cells(xy), (16, 16), sigma=0.5)
    target = bumps / bumps.sum((-2, -1), keepdim=True)
    return -(target * net(image).flatten(2).log_softmax(-1).view(target.shape)).sum((-2, -1))


library = METHODS["cross-entropy"].loss
assert torch.allclose(loss(net, exam[:4], exam_xy[:4]), library(net, exam[:4], exam_xy[:4]))

# %% [markdown]
# What does it have to beat? An answer that never looks at the picture: the mean pose of the thousand, given for everybody.

# %%
seen = exam_vis == 2
mean_pose = lessons[1].mean(0)  # (17, 2)
blind = epe(mean_pose.expand_as(exam_xy), exam_xy)[seen].median().item()
print(f"the mean pose, always: median error {blind:.1f} px")

curve = {}


def watch(step, net):
    if step in (1, 10, 20, 50, 100, 150, 200):
        found = predict(net, "cross-entropy", exam)
        curve[step] = epe(found, exam_xy)[seen].median().item()
        print(f"after step {step} of 200")


train(net, loss, finite(lessons, batch=32), steps=200, lr=5e-3, watch=watch, progress=False)
assert curve[200] < 3.5 < blind / 2  # what training decides is asserted, not printed
print("median error at the end: below 3.5 px")

# %%
fig, (ax,) = draw.axes(height=2.4)
lines = {"the mean pose": torch.full((len(curve),), blind),
         "the network": torch.tensor(list(curve.values()))}
draw.curves(ax, list(curve), lines, xlabel="step", ylabel="median error (px)", ylim=(0, None))
draw.show(fig, "Median error on people never seen against the training step: it starts above "
               "that of the mean pose, is half of it within some dozens of steps, and ends below "
               "3.5 px.")

# %%
def median_of(found, *names):
    """Median error in px over the keypoints whose names end so."""
    rows = [k for k, name in enumerate(COCO_17.names) if name.endswith(names)]
    return epe(found, exam_xy)[:, rows][seen[:, rows]].median()


found = predict(net, "cross-entropy", exam)
miss = epe(found, exam_xy).masked_fill(~seen, 0).sum(-1) / seen.sum(-1)
order = miss.argsort()
some = order[[5, 80, 128, 180, 250]]
draw.show(draw.people(exam[some], exam_xy[some], COCO_17, found=found[some], vis=exam_vis[some],
                      titles=("good", "better half", "median", "worse half", "bad")),
          "Five people with their true poses and the network's answers as crosses. In the good "
          "one the crosses sit on the joints; from left to right more of them lie beside.")
best = median_of(found, "shoulder", "hip")
assert all(median_of(found, name) > best for name in ("wrist", "elbow", "nose"))
print("hands, elbows and the nose are farther off than shoulders and hips")

# %% [markdown]
# *Dots: the truth. Crosses: found, with a red line to where they should be. Picked by rank of their mean error over the visible keypoints.*
#
# **Takeaway.** A heatmap network learns where 17 joints are within 200 steps and a thousand pictures: from 10.4 px for the mean pose to under 3.5 px.
# Elbows, hands and the nose are farther off than shoulders and hips.

# %% [markdown]
# ## 1.12 Why not answer with two numbers?
#
# *41 minutes, short path*
#
# The network of section 1.11 was trained on drawn people of 64 x 64 px, with the cross-entropy and targets of half a cell. It has two parts. The **trunk**, many layers
# of convolutions, turns the picture into features: 32 numbers for each of 16 x 16 cells. The **head**, the last layer, makes the answer of them, a map for each keypoint.
#
# Another head could say $(x, y)$ at once: $17 \times 2$ numbers, trained with the distance to the label. It is made of **dense layers**, in which each number is a weighted
# sum of all numbers before it, here of the features at 4 x 4 places. No grid, no decoder, no rounding. The first networks for poses did that.
#
# > **Predict.** Same trunk, same pictures, same number of steps. Which needs more pictures, regression or heatmaps? And which suffers more when people stand where
# > nobody stood in training?

# %%
prediction("1.12")

# %% [markdown]
# A convolution looks at each place with the same weights: what it learned about a wrist here, it knows there. So if the picture $I$ moves, the map $f(I)$
# moves with it, away from the border:
#
# $$f(T_d I) = T_{d / s} f(I), \qquad T_d \text{ a shift by } d \text{ pixels or cells}, \quad s \text{ the stride of the map}$$
#
# Exactly so, however, only where every layer sees the picture move by a whole number of *its* cells. Our trunk goes down to stride 16 before it comes up to
# stride 4 again. For a shift by 16 px the equation holds; for one by 4 px, a whole cell of the map, it holds only about, as a cell below
# measures. A dense layer has a weight of its own for each place, and has to be shown each of them.
#
# All networks from here on were trained before, three times each with other first weights and another order of the pictures; their results are stored in the
# repository, with the command that made them. Set `RETRAIN` to see for yourself.

# %%
from pathlib import Path

from posebook.training import table
from posebook.training.methods import stored

RETRAIN = False  # True: repeat every stored run, half an hour or more on two cores
mine = Path("representations.json")
if RETRAIN:
    table.make(mine)  # Ctrl-C ends it; what was done is kept
runs = table.results(mine if RETRAIN else None)
print(f"{len(runs)} training runs of up to {table.STEPS} steps of {table.BATCH} pictures out of "
      f"{table.IMAGES}, tested on {table.TEST_IMAGES} others")

# %%
def measured(experiment, key):
    """Method -> value of key -> (mean, half of the 95 % interval) of the median error in px."""
    found = {}
    for row in table.summary(experiment, table=runs):
        run = row["run"]
        if row["decoder"] == next(iter(METHODS[run.method].decoders)):  # the method's own
            point = {getattr(run, key): (row["mean"], row["half"])}
            found.setdefault(run.method, {}).update(point)
    return found

# %%
tests = {"pictures": measured("data", "images"), "steps": measured("budget", "steps")}
for name, lines in tests.items():
    for value in next(iter(lines.values())):
        print(f"{value:5d} {name:9s}", "; ".join(
            f"{method} {points[value][0]:.2f} ± {points[value][1]:.2f} px"
            for method, points in lines.items()))
    for value in lines["regression"]:
        assert lines["regression"][value][0] > 1.3 * lines["cross-entropy"][value][0]
slow, fast = tests["steps"]["regression"], tests["steps"]["cross-entropy"]
assert slow[500][0] > fast[125][0]  # four times the steps, and not yet there
many, few = tests["pictures"]["regression"], tests["pictures"]["cross-entropy"]
assert many[8192][0] - many[8192][1] > sum(few[256])  # 32 times the pictures, and not yet there
assert all(abs(p[8192][0] - p[2048][0]) < p[2048][1] for p in (many, few))  # the steps are too few

# %%
fig, row = draw.axes(2, height=3.0)
for ax, (name, lines) in zip(row, tests.items(), strict=True):
    draw.measured(ax, lines, xlabel=f"training {name}", ylabel="median error (px)", xscale="log",
                  ylim=(0, None))
draw.show(fig, "Median error of regression and of the heatmap network against the number of "
               "training pictures and of training steps: regression lies above everywhere, and "
               "more steps help both.")

# %% [markdown]
# *Test people never seen in training; median over visible keypoints, mean over three seeds, bars: 95 % intervals. "cross-entropy" is the heatmap
# network of section 1.11, read by soft-argmax. Left: 250 steps each; right: 8192 pictures each.*
#
# Regression needs more pictures: with 8192 it is off by 2.88 px, and the heatmap network with 256 by 2.41 px. But more pictures alone stop helping: from 2048 to 8192
# neither network gains anything in 250 steps. With more steps both do.
#
# Now let people stand elsewhere. These networks saw 2048 people, all in the middle of the picture, or wherever they fit; the test people stand
# farther and farther to the right or left of the middle.

# %%
lines = {}
for run in runs.values():
    if "shifts" in run:
        where = "centered" if run["centered"] else "anywhere"
        own = next(iter(METHODS[run["method"]].decoders))
        for shift, errors in run["shifts"]:
            key = f"{run['method']}, {where}"
            lines.setdefault(key, {}).setdefault(shift, []).append(errors[own]["median"])
means = {name: {s: (sum(v) / len(v), (max(v) - min(v)) / 2) for s, v in points.items()}
         for name, points in lines.items()}
print(f"{'px from the middle':25s}", *(f"{s:5d}" for s in table.SHIFTS))
for name, points in means.items():
    print(f"{name:25s}", *(f"{m:5.1f}" for m, _ in points.values()), " px off")
    rise = points[16][0] / points[0][0]
    assert rise > 3 if "centered" in name else rise < 1.2
assert means["regression, centered"][16][0] > 1.5 * means["cross-entropy, centered"][16][0]

# %%
for method in ("regression", "cross-entropy"):
    anywhere, centered = means[f"{method}, anywhere"], means[f"{method}, centered"]
    saved = [centered[s][0] - anywhere[s][0] for s in table.SHIFTS]  # px
    print(f"{method}: people anywhere cost {-saved[0]:.1f} px in the middle, "
          f"save {saved[-1]:.1f} px at {table.SHIFTS[-1]} px from it")
    assert saved == sorted(saved) and -0.7 < saved[0] < 0 < saved[1]

# %%
fig, (ax,) = draw.axes(height=3.0)
draw.measured(ax, means, xlabel="px beside the middle", ylabel="median error (px)")
draw.show(fig, "Median error against how far people stand to the right or left of the middle. For "
               "networks that saw people anywhere the lines are nearly flat; for those that saw "
               "them only in the middle they rise.")

# %% [markdown]
# *Mean over three seeds; bars: as long as the best and the worst seed are apart.*
#
# Training with people anywhere costs both a little in the middle, 0.2 and 0.6 px, and saves both more and more beside it. Without it the dense layer follows only in
# part: at 16 px it is 14.7 px off. The convolution does better, but it fails as well: it sees so much of the picture at once, border included, that it learned where people
# stand. And the equation itself? First the map alone, far from any border: lay the picture into a large gray one, move it, and count how much of the map's probability is
# not where the equation puts it.

# %%
def moved_map(images, shift):
    """Softmax (B, 17, H, W) of images in a gray frame, ``shift`` px to the right."""
    frame = F.pad(images - 0.5, (64 + shift, 64 - shift, 64, 64)) + 0.5
    with torch.no_grad():
        return spatial_softmax(stored("cross-entropy")(frame))


still, elsewhere = moved_map(exam[:32], 0), {}
for shift in (4, 8, 12, 16, 32):
    moved = moved_map(exam[:32], shift).roll(-shift // 4, dims=-1)  # back by as many cells
    elsewhere[shift] = 50 * (moved - still).abs().sum((-2, -1)).mean().item()  # percent
    print(f"{shift:2d} px: {elsewhere[shift]:4.1f} % of the probability is elsewhere")
assert all((share < 1) == (shift % 16 == 0) for shift, share in elsewhere.items())

# %% [markdown]
# Only multiples of 16 px, the trunk's deepest stride, leave the map as it was. What becomes of the answers? Move people who have room by 8 px, two cells of
# the map:

# %%
scene = sample_scene(64, seed=12, **(PEOPLE | {"size": (0.5, 0.6)}))  # with room to move
went = {}
for way, (x, y) in {"right": (8, 0), "left": (-8, 0), "up": (0, -8), "down": (0, 8)}.items():
    for method in ("regression", "cross-entropy"):
        here, there = (predict(stored(method), method, render(s).image)
                       for s in (scene, scene.moved(shift=(float(x), float(y)))))
        along = (there - here) @ torch.tensor([x / 8, y / 8])
        went[method, way] = along.median().item()
    print(f"8 px {way:5s}: the median answer of regression goes {went['regression', way]:.1f} px, "
          f"that of the heatmap network {went['cross-entropy', way]:.1f} px")
    assert went["regression", way] < went["cross-entropy", way] < 8.4
middles = lessons[1].mean(1).std(0)  # of the people in training pictures
print(f"in training their middles scatter by {middles[0]:.0f} px in x, {middles[1]:.0f} px in y")
far = {way: went["regression", way] for way in ("right", "left", "up", "down")}
assert max(far["up"], far["down"]) < 4 < 6 < min(far["right"], far["left"])

# %% [markdown]
# Regression has learned less of up and down than of right and left, and it was shown less: whole people leave little room above and below, so that all stand at much the
# same height.
#
# The explorer shows both networks at work on one picture, while they learn.
#
# > 1. Go through the first steps. What do both answer before they know anything?
# > 2. Which of the two has the shape of a person first? Which is near the joints first?
# > 3. Watch the veil of a wrist. Is the map first right and then sharp, or first sharp and then right?

# %%
from posebook.explore import epochs

epochs.explore()

# %%
for step in (5, 30, 60, 500):
    now = epochs.compute(epochs.State(step=step))
    size = {name: found.std(0).norm().item() for name, found in now.found.items()}
    print(f"after {step:3d} steps:", "; ".join(
        f"{name} {now.median[name]:4.1f} px off, pose {size[name]:4.1f} px large" for name in size))
    if step == 30:
        to_mean = (now.found["regression"] - mean_pose).norm(dim=-1).median()
        print(f"regression now: {to_mean:.1f} px from the mean pose, in the median")
        assert to_mean < 4 and size["heatmap"] < 3 < 12 < size["regression"]
start, end = (epochs.compute(epochs.State(step=step)) for step in (60, 500))
assert start.median["heatmap"] < start.median["regression"]
assert end.errors["heatmap"] < end.errors["regression"] / 3  # the raised left wrist

# %%
wrist, shoulder = (COCO_17.names.index(f"left_{name}") for name in ("wrist", "shoulder"))
for name, now in {" 60": start, "500": end}.items():
    said = now.found["regression"][:, 1]  # y, px
    print(f"after {name} steps regression: left wrist at y = {said[wrist]:.0f} px, in truth at "
          f"{now.truth[1]:.0f} px; left shoulder at {said[shoulder]:.0f} px")
assert start.points["regression"][1] > 20 and 10 < end.points["regression"][1] < 16
assert abs(said[wrist] - said[shoulder]) < 3  # level
low = (lessons[1][:, wrist, 1] > lessons[1][:, shoulder, 1]).float().mean()
print(f"{100 * low:.0f} % of the left wrists in training pictures are lower than the shoulder")
assert 0.75 < low < 0.9

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. Regression puts all keypoints close together near the middle; the maps are flat, and the mean of a flat map is the middle.
# 2. Regression has a body first, after 30 steps: nearly the mean pose, in the middle of the picture, where nobody is. The maps are flat until then, and 30 steps later they are near the joints.
# 3. First about right, a wide cloud between chest and hand, then sharp. And look at the raised hand, at $y = 6$ px. After 60 steps regression lets it hang at 25 px; after 500 steps it has it at 13 px,
#    level with its shoulder, and still too low.
#
# </details>
#
# The low hand has a reason. Where the network is unsure, two numbers can only say one place, and the loss $|dx| + |dy|$ is least, on average, at the median of
# all places that are possible: near where most hands are, and four of five are lower than the shoulder. A map can keep two places open. Dense heads can be cured of much
# of this: with more data together with more steps, by starting from a trained trunk, or with a likelihood that learns how errors are distributed (residual log-likelihood
# estimation, [Li et al. 2021](https://arxiv.org/abs/2107.11291)). Read "regression is less accurate" as history, and as a statement about this budget.
#
# **Takeaway.** Two numbers can name any place that a map can, but only one at a time, and the network learns them more slowly: after 500 steps regression is off by
# 2.30 px, the heatmap network after 125 steps by 2.03 px. Where training put nobody, both fail, regression first.

# %% [markdown]
# ## 1.13 Can two heads teach each other?
#
# *17 minutes*
#
# Soft-argmax makes a coordinate out of a map and passes gradients, so a map can be trained on coordinates: the **integral loss**. And a network can
# have both heads, one that draws a map and one that says two numbers: a **hybrid**. Then one may ask that they agree.
#
# > **Predict.** A hybrid sees pictures without any labels, and is trained to make its two heads agree. They do, perfectly. What have they learned?

# %%
prediction("1.13")

# %% [markdown]
# With $\hat x$ the soft-argmax of the map's logits and $\tilde x$ the regressed coordinates, both in px, $x$ the label and $|\cdot|_1$ the sum of the
# absolute values on both axes,
#
# $$L_\mathrm{integral} = |\hat x - x|_1, \qquad L_\mathrm{agree} = |\tilde x - \hat x|_1, \qquad L_\mathrm{hybrid} = |\tilde x - x|_1 + |\hat x - x|_1 + w\,|\tilde x - \hat x|_1$$
#
# First the integral loss. It sees the mean of the softmax and nothing else:

# %%
from posebook.losses import agreement_loss, integral_loss

xy, grid = torch.tensor([30.0, 26.0]), Grid.center(4)  # px; maps of 16 x 16 cells


def bump(x, y, sigma=1.0):
    return gaussian_heatmap(grid.to_cells(torch.tensor([x, y])), (16, 16), sigma=sigma)


shapes = {"one bump, right": bump(30.0, 26.0), "a wide one": bump(30.0, 26.0, 2.0),
          "two bumps around": bump(14.0, 26.0) + bump(46.0, 26.0), "wrong": bump(42.0, 26.0)}
for name, h in shapes.items():
    logits = h.clamp(min=1e-12).log()
    by_hand = (grid.to_image(soft_argmax(logits)) - xy).abs().sum()
    loss, mse = integral_loss(logits, xy, grid=grid), heatmap_loss(h, bump(30.0, 26.0))
    print(f"{name:17s} integral loss {loss:5.2f} px, MSE to the target {mse:.3f}")
    assert torch.allclose(loss, by_hand, atol=1e-4)


# %% [markdown]
# Two bumps, none of them at the keypoint, cost the integral loss nothing. And a wrong answer that is sure of one cell gets no gradient: the gradient in
# the logit of cell $u$ is, on each axis, of the size $s\,p(u)\,|u - \hat u|$ px per logit, with the stride $s$ and $\hat u$ the mean cell. Where all of $p$ is in one cell,
# that cell is $\hat u$, and no gradient is left.

# %%
x = torch.arange(16.0)
u = torch.stack(torch.meshgrid(x, x, indexing="xy"), -1)  # (16, 16, 2): each cell's own place
sizes = {}
for column, sharper in ((9.5, 1), (9.5, 30), (10.125, 1), (10.125, 10), (10.125, 30)):
    wrong = bump(4 * column + 1.5, 30.0)  # too far right, and 4 px too low
    logits = (sharper * wrong.double().clamp(min=1e-12).log()).requires_grad_()
    loss = integral_loss(logits, xy, grid=grid)
    loss.backward()
    sizes[column, sharper] = logits.grad.abs().sum()
    print(f"bump at column {column:.1f}, logits times {sharper:2d}: loss {loss:5.2f} px, "
          f"sum of |gradient| {sizes[column, sharper]:.1e} px per logit")
    away = u - soft_argmax(logits)  # positive signs: the answer is too far right and too low
    assert torch.allclose(logits.grad, 4 * spatial_softmax(logits) * away.sum(-1))
assert loss > 15 and sizes[10.125, 30] < 1e-3 < 1.9 < sizes[9.5, 30]  # one cell, two cells

# %% [markdown]
# Where the bump lies between two cells, both keep a share and some of the gradient stays.
#
# Now the agreement. Take its value and its gradient wherever the two heads say the same, right or wrong:

# %%
for wrong in ((30.0, 26.0), (10.0, 50.0), (63.0, 0.0)):
    soft = torch.tensor(wrong, requires_grad=True)
    regressed = torch.tensor(wrong, requires_grad=True)
    agree = agreement_loss(regressed, soft)
    agree.backward()
    hybrid = coordinate_loss(regressed, xy) + coordinate_loss(soft, xy) + agree
    print(f"both heads at {wrong}: agreement {agree:.0f} px, hybrid {hybrid:.0f} px")
    assert agree == 0 and soft.grad.abs().sum() == 0 and regressed.grad.abs().sum() == 0

# %%
paths = {}
for name, weight in {"agreement alone": 0.0, "hybrid": 1.0}.items():
    heads = [torch.tensor(v, requires_grad=True) for v in (10.0, 52.0)]
    steps = []
    for step in range(120):
        loss = (heads[0] - heads[1]).abs() + weight * sum((h - 26.0).abs() for h in heads)
        for head, slope in zip(heads, torch.autograd.grad(loss, heads), strict=True):
            head.data -= 0.4 * slope * (1 - step / 120)
        steps.append([h.item() for h in heads])
    paths[name] = torch.tensor(steps)
    print(f"{name:15s} the heads end at {steps[-1][0]:.0f} and {steps[-1][1]:.0f} px, label 26 px")
assert (paths["agreement alone"][-1] - 31).abs().max() < 1
assert (paths["hybrid"][-1] - 26).abs().max() < 1

# %%
fig, row = draw.axes(2, height=2.8)
for ax, (name, path) in zip(row, paths.items(), strict=True):
    lines = {"regression": path[:, 0], "map": path[:, 1], "label": torch.full((120,), 26.0)}
    draw.curves(ax, range(120), lines, xlabel="step", ylabel="x (px)", title=name)
draw.show(fig, "Positions of two heads over 120 gradient steps. With agreement alone they meet at "
               "31 px and stay, 5 px beside the label; with the hybrid loss both go to the label, "
               "26 px.")

# %% [markdown]
# *One coordinate; the heads start at 10 and 52 px, the label is 26.*
#
# They learned to say the same, and nothing else: "consistency" is no label, and two heads that always answer with the same constant are perfectly consistent.
# Beside labels the agreement is a third term that pulls the heads together. Section 1.14 measures what it is worth.
#
# **Takeaway.** The integral loss constrains only the mean: two bumps at the wrong places cost 0.00 px, and a wrong answer that is sure of one cell gets no gradient.
# Agreement of heads alone has value and gradient 0 at every common wrong answer. Practice:
# [`integral_loss`](../exercises/representations/representations.ipynb) and [`hybrid_loss`](../exercises/representations/representations.ipynb).

# %% [markdown]
# ## 1.14 Which representation wins?
#
# *38 minutes, short path*
#
# A fair comparison: the same trunk, the same people, the same number of steps, the same learning rate, three seeds each. Only the head, the loss and the
# decoder differ. The two losses on maps draw their targets with the width that suited each of them in short trials: 2 cells for the mean squared error, 0.5 cells for the
# cross-entropy. What that hides comes right after.
#
# Some names, in case you skipped their sections. The *integral* loss compares the soft-argmax of a map with the label (1.13). *SimCC* answers with two rulers, one row of
# bins for x and one for y (1.9). The *hybrid* has two heads on one trunk, a map and two numbers, and its loss also asks that the two agree (1.13). And *quarter*, one of
# the decoders, moves argmax by a quarter of a cell towards the higher neighbor, on each axis ([section 2.9](02_decoding.ipynb)).
#
# > **Predict.** Rank them: regression, heatmap (mean squared error) read by argmax and by DARK, cross-entropy, integral, SimCC, hybrid.

# %%
prediction("1.14")

# %% [markdown]
# What you see for each is $\bar e \pm t\,s / \sqrt n$ px: the mean of the median errors of $n = 3$ seeds, $s$ their standard deviation and $t =
# 4.303$ Student's factor for 95 %. Such an interval says where the mean over many seeds may lie; it says nothing about other pictures or other trunks.

# %%
fight = {(row["run"].method, row["decoder"]): (row["mean"], row["half"])
              for row in table.summary("representations", table=runs)}
for (method, decoder), (mean, half) in sorted(fight.items(), key=lambda item: item[1][0]):
    print(f"{method:14s} {decoder:13s} {mean:5.2f} ± {half:.2f} px")


def below(a, b):
    """Whether a's whole interval lies below b's."""
    return fight[a][0] + fight[a][1] < fight[b][0] - fight[b][1]


ours, regressed = ("cross-entropy", "soft-argmax"), ("regression", "coordinates")
assert below(ours, regressed) and below(("cross-entropy", "DARK"), ("heatmap", "DARK"))
assert below(("cross-entropy", "DARK"), ours) and below(ours, ("SimCC", "mean bin"))
assert below(("integral", "soft-argmax"), ("hybrid", "soft-argmax"))
assert below(regressed, ("heatmap", "argmax")) and fight["heatmap", "soft-argmax"][0] > 10

# %%
names = sorted(fight, key=lambda key: fight[key][0])
names = [key for key in names if fight[key][0] < 5]  # softmax of a raw heatmap: off the scale
each = {m: [runs[table.Run(m, seed=s).name]["errors"] for s in table.SEEDS] for m in METHODS}
dots = {f"{m}: {d}": torch.tensor([e[d]["median"] for e in each[m]]) for m, d in names}
bars = {f"{m}: {d}": fight[m, d] for m, d in names}
fig, (ax,) = draw.axes(height=4.2)
draw.intervals(ax, dots, bars, xlabel="median error (px)")
draw.show(fig, "Median errors of all representations and decoders, best on top, with three seeds "
               "and 95 % intervals: cross-entropy read by DARK and soft-argmax leads, then the "
               "integral loss and SimCC, then regression, the hybrid and heatmaps with mean "
               "squared error.")

# %%
curves = {}
for method in METHODS:
    seeds = [runs[table.Run(method, seed=s).name]["curve"] for s in table.SEEDS]
    curves[method] = torch.tensor(seeds).mean(0)  # (points, 2): step, median error in px
fig, (ax,) = draw.axes(height=3.0)
steps = curves["regression"][:, 0]
draw.curves(ax, steps, {method: curve[:, 1] for method, curve in curves.items()}, xlabel="step",
            ylabel="median error (px)", ylim=(0, 12))
draw.show(fig, "Learning curves, median error against step: cross-entropy is below the others "
               "from the first points on; heatmaps with mean squared error start latest.")

# %% [markdown]
# *The same test people for all; small dots: the seeds. Heatmap: mean squared error, $\sigma = 2$ cells; cross-entropy: $\sigma = 0.5$ cells; SimCC: two bins per px.
# Before DARK the maps of the mean squared error are smoothed with a Gaussian of 1 cell, those of the cross-entropy are not.*
#
# Does that smoothing decide anything? The stored network of the cross-entropy, with and without it:

# %%
with torch.no_grad():
    prob = spatial_softmax(stored("cross-entropy")(exam))
places = [Grid.center(4).to_image(refine_dark(prob, blur=blur)) for blur in (0.0, 1.0)]
plain, smoothed = (epe(found, exam_xy)[seen].median() for found in places)
print(f"cross-entropy, DARK: {plain:.2f} px, smoothed before {smoothed:.2f} px, "
      f"{100 * (smoothed / plain - 1):.0f} % more")
assert 1.01 < smoothed / plain < 1.05

# %% [markdown]
# It costs the cross-entropy some 3 %, far less than lies between the two losses.
#
# Two things are not as many textbooks have them. **Regression is better than heatmaps** that are trained with the mean squared error and read by argmax. And **DARK reads
# better than soft-argmax** what the cross-entropy has trained, although nothing told the network of DARK.
#
# **Is it the loss, or the width of the target?** Cross-entropy and mean squared error, both read by DARK (1.21 and 2.38 px), differ in the loss and in the width of
# the targets. So both losses were trained again at three widths each:

# %%
from posebook.training.methods import SIGMA

widths = {}  # (method, decoder) -> width in cells -> (mean, half of the interval) in px
for row in table.summary("width", table=runs):
    run, point = row["run"], (row["mean"], row["half"])
    widths.setdefault((run.method, row["decoder"]), {})[run.sigma or SIGMA[run.method]] = point
for sigma in table.WIDTHS:
    print(f"targets of {sigma} cells:", "; ".join(
        f"{method} {decoder} {points[sigma][0]:.2f} ± {points[sigma][1]:.2f}"
        for (method, decoder), points in widths.items() if decoder in ("argmax", "DARK")))


def seeds(method, decoder, sigma):
    """The median errors of the three seeds, best first."""
    sigma = None if sigma == SIGMA[method] else sigma
    found = [runs[table.Run(method, seed=s, sigma=sigma).name]["errors"] for s in table.SEEDS]
    return sorted(errors[decoder]["median"] for errors in found)

# %%
fig, row = draw.axes(2, height=3.0, sharey=True)
called = {"heatmap": "mean squared error", "cross-entropy": "cross-entropy"}
for ax, decoder in zip(row, ("argmax", "DARK"), strict=True):
    draw.measured(ax, {called[m]: widths[m, decoder] for m in called}, title=f"read by {decoder}",
                  xlabel="width of the target (cells)", yscale="log", ylim=(1, 20))
    ax.set_yticks((1, 2, 5, 10, 20), labels=("1", "2", "5", "10", "20 px"))
draw.show(fig, "Median error against the width of the targets for two losses, read by argmax and "
               "by DARK. At 2 cells the losses are equal. With narrower targets the cross-entropy "
               "gets better, and the mean squared error does not: 12 px at half a cell.")
for decoder in ("argmax", "DARK"):  # each seed of what is better below each seed of what is worse
    ce, mse = ([seeds(m, decoder, s) for s in table.WIDTHS] for m in ("cross-entropy", "heatmap"))
    assert ce[0][-1] < 0.95 * ce[1][0] and ce[1][-1] < 0.95 * ce[2][0]
    assert max(mse[1][-1], mse[2][-1]) < 0.5 * mse[0][0]  # half a cell: it hardly trains
    assert all(ce[k][-1] < 0.9 * mse[k][0] for k in (0, 1))  # narrow targets: the loss decides
    assert abs(sum(ce[2]) - sum(mse[2])) / 3 < widths["heatmap", decoder][2.0][1]  # wide: not

# %% [markdown]
# *Mean over three seeds and 95 % intervals; the error is on a logarithmic scale. 500 steps at one learning rate. DARK as above: after a blur of 1 cell for the mean squared
# error, without one for the cross-entropy.*
#
# At a width of 2 cells the two losses are as good as each other. It is the narrow target that makes the better map, and only the cross-entropy gains from it. With the mean
# squared error a width of 1 cell is no better than 2, and with half a cell the network hardly learns anything in 500 steps. Section 1.6 offers a reason: the narrower the
# target, the more cells an empty map has right. So neither the width alone decides nor the loss alone. The loss decides how narrow the target may be.
#
# **What is the agreement worth?** The hybrid has three terms: both heads against the label, and their agreement. Here it is with and without the third:

# %%
hybrids = {}
for row in table.summary("agreement", table=runs):
    weight, decoder = row["run"].agreement, row["decoder"]
    hybrids[weight, decoder] = row["mean"], row["half"]
    print(f"hybrid, weight of the agreement {weight:.0f}, {decoder:12s} "
          f"{row['mean']:.2f} ± {row['half']:.2f} px")
alone_map, alone_numbers = fight["integral", "soft-argmax"], fight[regressed]
print(f"each head alone: the map {alone_map[0]:.2f} ± {alone_map[1]:.2f}, "
      f"the numbers {alone_numbers[0]:.2f} ± {alone_numbers[1]:.2f} px")
both, none = hybrids[1.0, "soft-argmax"], hybrids[0.0, "soft-argmax"]
assert none[0] + none[1] < both[0] - both[1] and alone_map[0] + alone_map[1] < none[0] - none[1]

# %% [markdown]
# The agreement makes the map worse, in every seed, and changes the numbers little: it pulls the better head towards the worse one. And even without it the map is worse than
# the same map alone, trained with the integral loss: two heads have to share one trunk and its training. At this budget the second head is no help to the first.
#
# Two knobs more: the stride (section 1.8) and the width of the target where labels scatter (section 1.7), measured with networks trained for 250 steps, the label noise
# with two seeds:

# %%
knobs = {}
for experiment in ("stride", "noise"):
    for row in table.summary(experiment, table=runs):
        run, decoder = row["run"], row["decoder"]
        knobs.setdefault((run.stride, run.sigma or 0.5, run.noise, decoder), row["mean"])
for s, sigma, noise in sorted({key[:3] for key in knobs}):
    print(f"stride {s}, sigma {sigma} cells, labels {noise:.0f} px off: ", ", ".join(
        f"{name} {knobs[s, sigma, noise, name]:.2f}" for name in ("argmax", "soft-argmax", "DARK")))
readers = ("argmax", "DARK", "soft-argmax")
grows = {name: knobs[8, 0.5, 0.0, name] / knobs[2, 0.5, 0.0, name] for name in readers}
print("from stride 2 to 8:", ", ".join(f"{n} {100 * g - 100:.0f} % more" for n, g in grows.items()))
assert grows["argmax"] > 2.3 > 2 > grows["DARK"] > 1.6 > 1.5 > grows["soft-argmax"] > 1.25
for name in readers:
    assert all(knobs[4, 0.5, n, name] < knobs[4, 2.0, n, name] - 0.5 for n in (0.0, 3.0))

# %%
by_stride = {name: [[runs[table.Run("cross-entropy", seed=i, steps=table.FEWER, stride=s).name]
                     ["errors"][name]["median"] for i in table.SEEDS] for s in (2, 4, 8)]
             for name in ("DARK", "soft-argmax")}
for dark, soft in list(zip(*by_stride.values(), strict=True))[:2]:
    assert max(dark) < 0.95 * min(soft)  # stride 2 and 4: DARK
assert max(by_stride["soft-argmax"][2]) < min(by_stride["DARK"][2])  # stride 8: soft-argmax

# %% [markdown]
# The stride costs every decoder something: argmax most, DARK less, soft-argmax least, but even its error grows by some 40 % from stride 2 to 8. That changes the
# order: at strides 2 and 4 DARK is better than soft-argmax, at stride 8 soft-argmax is a little better, in all three seeds.
#
# The narrow target wins *also when the labels scatter by 3 px*: all three decoders read the wide one worse. The network itself averages over the labels of thousands of
# pictures, so that the target need not smooth them. Far from the border the mean of the map is the mean of the labels at each of these widths (the flat lines of section
# 1.7). And near the border? Read the mean of the targets themselves, with no network:

# %%
points = exam_xy[seen]  # (N, 2) px
means = {}
for sigma in table.WIDTHS:
    maps = gaussian_heatmap(Grid.center(4).to_cells(points), (16, 16), sigma=sigma)
    read = Grid.center(4).to_image(soft_argmax(maps.clamp(min=1e-30).log()))
    means[sigma] = epe(read, points).median().item()
    print(f"targets of {sigma} cells: their mean is {means[sigma]:.2f} px off in the median")
assert means[0.5] < 0.1 and means[1.0] < 0.1 and 0.5 < means[2.0] < 0.8

# %% [markdown]
# On 16 x 16 cells the border cuts off a bell of 2 cells at many keypoints, and that pulls its mean inward.
#
# All of this is about five hundred steps at one learning rate on a small trunk. How far does the same method get with a GPU? There `python -m posebook.training run
# cross-entropy --size 64x64 --steps 1000 --batch 256 --every 250 --out FOLDER` draws its pictures as it goes, so that each is seen once, for a trunk with more blocks and
# twice the channels. Much differs at once here: the trunk and its normalization, the pictures, the batch, the learning rate and the number of steps. The figure shows what can
# be reached, and not which of these it takes.

# %%
from posebook.training import scale

large, made = scale.stored()
ends = [0, *(row["step"] for row in made["log"])]
taken = sum((b - a) * made["batch"] / row["images_per_second"]  # s
            for a, b, row in zip(ends, ends[1:], made["log"], strict=False))
few, many, leads = table.STEPS * table.BATCH, made["steps"] * made["batch"], {}  # pictures
sizes = [sum(p.numel() for p in one.parameters()) for one in (net, large)]
print(f"one {made['device']}: {made['steps']} steps of {made['batch']} pictures in {taken:.0f} s, "
      f"{sizes[1]:,} weights instead of {sizes[0]:,}")
for decoder in ("soft-argmax", "DARK"):
    before, after = fight["cross-entropy", decoder][0], made["log"][-1]["errors"][decoder]["median"]
    print(f"{decoder:11s} {few:6,} seen: {before:.2f} px; {many:,} seen on the GPU: {after:.2f} px")
    leads[decoder] = torch.tensor([before, after])
    assert 0.5 < after / before < 0.65
    found = epe(predict(large, "cross-entropy", exam, decoder=decoder), exam_xy)[seen]
    assert abs(found.median().item() / after - 1) < 0.1  # so does what is stored, on any processor
lead = 100 * (1 - leads["DARK"] / leads["soft-argmax"])
print(f"DARK's lead: {lead[0]:.0f} % after few pictures, {lead[1]:.0f} % after many")

# %%
small = {step * table.BATCH / 1000: (error, None)  # thousands of pictures -> px
         for step, error in curves["cross-entropy"].tolist() if step in (50, 100, 250, 500)}
big = {row["step"] * made["batch"] / 1000: (row["errors"]["soft-argmax"]["median"], None)
       for row in made["log"]}
fig, (ax,) = draw.axes(height=3.0)
draw.measured(ax, {"the small trunk": small, "on a GPU": big}, xlabel="pictures seen (thousands)",
              ylabel="median error (px)", xscale="log", ylim=(0, 5))
draw.show(fig, "Median error of soft-argmax against the number of pictures seen, on a logarithmic "
               "scale: the small trunk ends at 1.4 px after 16 thousand pictures, the larger one "
               "on a GPU goes from 1.4 px at 64 thousand to 0.7 px at 256 thousand.")

# %% [markdown]
# *One run on the GPU; of the small trunk the mean of three seeds, its curve on 256 of the 1,024 test people; it saw 8,192 pictures about twice.* In this run the two decoders are closer to each other: DARK's lead over soft-argmax
# is 1 % here, and 9 % with the small trunk. A network that was trained on photographs before, or a thousand times the budget, may change the order of the methods too.
#
# **Takeaway.** On this trunk and this budget the cross-entropy with narrow targets is best: 1.21 px read by DARK and 1.33 px by soft-argmax. The integral loss has 1.54 px,
# SimCC 1.80 px, regression 2.30 px, the mean squared error read by argmax 2.93 px. At equal width, 2 cells, both losses on maps are alike; narrow targets help only
# the cross-entropy.

# %% [markdown]
# ## 1.15 What does the network not know?
#
# *35 minutes*
#
# Every number so far is for people like those of the training. The last question of any representation is what it says about a picture that is like
# none of them.
#
# > **Predict.** The stored heatmap network has seen whole people of much the same size, heads up, who more or less face it. Which hurts it most: people half as large, people in the dark, people seen from
# > behind, or people upside down? And will it *say* that it is unsure?

# %%
prediction("1.15")

# %% [markdown]
# The map has a spread, and section 1.7 says what it should be. Targets of width $\sigma$ and a network that is unsure by $\nu$ cells on each axis make
# the variance $\sigma^2 + \nu^2$. So the map claims something about its own error. With $\Sigma$ the covariance of the softmax in cells squared, and if the
# error is Gaussian,
#
# $$\nu^2 = \tfrac12 \operatorname{tr} \Sigma - \sigma^2, \qquad \text{claimed median error} = s\,\nu \sqrt{2 \ln 2} \text{ px}$$
#
# Why should the spread of a softmax say anything about an error? Only because of the loss. The cross-entropy is least where the softmax is the distribution of
# the targets, so the network *learned* to spread its map as widely as it was wrong on the training pictures. It is a learned answer like any other, and no
# measurement made on the picture at hand. Divide the same logits by a number $\tau$, the **temperature**, before the softmax, and the claim is another. (Section 2.13
# shows how little the spread by itself has to do with the estimate.)

# %%
from posebook.expectation import spread

trained = stored("cross-entropy")


def turned(degrees):
    """What ``scene.moved`` takes to turn a scene about the middle of the picture, 31.5 px."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return {"shift": (31.5 * (1 - c + s), 31.5 * (1 - c - s)), "degrees": degrees}


unlike = {
    "as in training": {}, "covered": {"occluder": 1.0}, "dark": {"brightness": (0.15, 0.25)},
    "half as large": {"size": (0.4, 0.5)}, "noise": {}, "blur": {}, "turned by 45": {},
    "from the side": {"yaw": (80.0, 100.0)}, "from behind": {"yaw": (140.0, 220.0)},
    "upside down": {},
}

# %%
def asked(image, sigma=0.5, tau=1.0):
    """Answers (B, 17, 2) in px, the median error (B, 17) in px that the map claims, its peak."""
    with torch.no_grad():
        logits = trained(image) / tau
    own = spread(logits)[1].diagonal(dim1=-2, dim2=-1).mean(-1) - sigma**2  # nu^2
    claim = trained.grid.stride * (2 * math.log(2) * own.clamp(min=0)).sqrt()
    peak = spatial_softmax(logits).amax((-2, -1))
    return trained.grid.to_image(soft_argmax(logits)), claim, peak

# %%
worlds, medians, claims = {}, {}, {}
generator = torch.Generator().manual_seed(5)
moves = {"upside down": turned(180.0), "turned by 45": turned(45.0)}
for name, change in unlike.items():
    scene = sample_scene(100, seed=13, **(PEOPLE | change))
    image, xy, vis = alone(render(scene.moved(**moves[name]) if name in moves else scene))
    if name == "noise":
        image = (image + 0.1 * torch.randn(image.shape, generator=generator)).clamp(0, 1)
    if name == "blur":
        image = F.avg_pool2d(F.pad(image, (2, 2, 2, 2), mode="replicate"), 5, 1)
    found, claim, peak = asked(image)
    worlds[name] = (image, xy, vis, found)
    medians[name] = epe(found, xy)[vis == 2].median().item()
    claims[name] = claim[vis == 2].median().item()
    print(f"{name:15s} median error {medians[name]:5.1f} px, claimed {claims[name]:4.1f} px, "
          f"error over claim {medians[name] / claims[name]:.1f}")

# %%
fig, (ax,) = draw.axes(height=3.2)
for k, name in enumerate(unlike):
    ax.plot([medians[name], claims[name]], [-k, -k], color="0.7", zorder=0)
rows = [-k for k in range(len(unlike))]
ax.plot(list(medians.values()), rows, "o", color=draw.RED, label="error")
ax.plot(list(claims.values()), rows, "s", color=draw.BLUE, label="claimed")
ax.set(xscale="log", xlabel="median over the keypoints (px)", xlim=(1, 40))
ax.set_yticks(rows, labels=list(unlike))
ax.set_xticks((1, 2, 5, 10, 20), labels=("1", "2", "5", "10", "20"))
ax.legend(frameon=False)
draw.show(fig, "Error and claimed error for ten kinds of pictures, on a logarithmic axis. In the "
               "first eight rows they rise together, from 1.3 px as in training to 6 px turned by "
               "45 degrees; from behind, at 10 px, and upside down, at 26 px, the claim stays at 2 "
               "and 6 px.")
follows = [name for name in unlike if name not in ("from behind", "upside down")]
assert all(0.4 < medians[name] / claims[name] < 1.3 for name in follows)
assert all(medians[name] > 3 * claims[name] for name in ("from behind", "upside down"))
assert medians["upside down"] > 20 and claims["upside down"] < 7

# %% [markdown]
# *100 people in each row.*
#
# For seven of the nine changes the map says what has happened to it, although the network has seen none of them in training: its claim grows with the error. Upside down
# it does not: the network is off by more than a third of the picture and claims a few pixels. From behind it does not either. So are there two groups, and what divides
# them? Turn people little by little:

# %%
ratios = {}
for degrees in (30.0, 60.0, 90.0, 120.0, 180.0):
    scene = sample_scene(100, seed=13, **PEOPLE)
    image, xy, vis = alone(render(scene.moved(**turned(degrees))))
    found, claim, _ = asked(image)
    off, says = epe(found, xy)[vis == 2].median(), claim[vis == 2].median()
    ratios[degrees] = (off / says).item()
    print(f"turned by {degrees:3.0f} degrees: median error {off:4.1f} px, claimed {says:3.1f} px, "
          f"error over claim {ratios[degrees]:.1f}")
assert list(ratios.values()) == sorted(ratios.values())
assert ratios[30.0] < 0.9 and 1.4 < ratios[90.0] < 1.9 and ratios[180.0] > 4

# %% [markdown]
# There is no border. The error over the claim rises step by step, from 0.8 at 30 degrees over 1.6 at 90 to 4.4 at 180. And from behind? Exchange left and right in what
# the network answered:

# %%
_, xy, vis, found = worlds["from behind"]
off = epe(found[:, COCO_17.flip_order], xy)[vis == 2].median().item()
print(f"from behind: {medians['from behind']:.1f} px off, with names exchanged {off:.1f} px")
assert off < 1.2 * medians["as in training"]

# %% [markdown]
# Now it is as good as on pictures like those of the training, and the claim of 2.3 px fits. The network finds the joints and takes the back for a front. The claim follows
# where a picture looks strange *to the network*, and a back does not.
#
# And the same logits, read at a temperature of $\tau = 2$?

# %%
image, xy, vis, _ = worlds["as in training"]
found, claim, _ = asked(image, tau=2.0)
off = epe(found, xy)[vis == 2].median().item()
print(f"tau = 2: the error grows {off / medians['as in training']:.1f} times, the claim "
      f"{claim[vis == 2].median().item() / claims['as in training']:.1f} times")

# %%
names = ["covered", "half as large", "turned by 45", "from behind", "upside down"]
pick = [worlds[name] for name in names]
image, xy, vis, found = (torch.stack([world[part][7] for world in pick]) for part in range(4))
draw.show(draw.people(image, xy, COCO_17, found=found, vis=vis, titles=names),
          "Five people unlike those of the training, with the network's crosses. The covered one "
          "has most right, the small and the turned one have some; from behind, left and right "
          "are exchanged; upside down, the crosses lie about the body without order.")

# %% [markdown]
# *Dots: the truth. Crosses: found. The eighth of 100 people of each kind.*
#
# And a picture with nobody in it, or nothing but noise? And a real one?

# %%
from posebook import coco
from posebook.warp import crop_grid, crop_image

album = coco.portrait()
photo = album.photos[0]
square = coco.read_picture(photo).permute(2, 0, 1)[None, :, 0:512, 0:512] / 255  # (1, 3, 512, 512)
small = F.interpolate(square, (64, 64), mode="area")
to_small = Grid.center(8)  # 8 px of the portrait to one
marked = to_small.to_cells(photo.people[0].xy)
eyes = {"left_eye": marked[album.skeleton.names.index("left_eye")],
        "right_eye": marked[album.skeleton.names.index("right_eye")],
        "nose": marked[album.skeleton.names.index("nose_tip")]}
generator = torch.Generator().manual_seed(5)
others = {"portrait": small, "gray": torch.full((1, 3, 64, 64), 0.5),
          "noise": torch.rand(1, 3, 64, 64, generator=generator)}
for name, picture in others.items():
    found, claim, peak = asked(picture)
    print(f"{name:9s} claimed error {claim.median():4.1f} px, median over the 17 keypoints; "
          f"highest cell {peak.median():.2f}")

# %%
found, claim, peak = asked(small)
for name, place in eyes.items():
    k = COCO_17.names.index(name)
    miss = (found[0, k] - place).norm()
    print(f"{name:10s} {miss:4.1f} px of 64 off, claimed {claim[0, k]:.1f} px")
    assert miss > 2 * claim[0, k]
for name in ("left_hip", "left_ankle"):
    k = COCO_17.names.index(name)
    print(f"{name:10s} is not in the picture; found at {found[0, k].round().tolist()} px")
known = worlds["as in training"]
draw.show(draw.people(torch.cat((small, known[0][7:8])), torch.cat((found, known[3][7:8])), COCO_17,
                      titles=("a photograph", "a drawn person")),
          "Left: a portrait of head and shoulders, on which the network has laid a whole small "
          "body: shoulders on the cap, hips on the mouth, feet on the collar. Right: the same "
          "network on a drawn person, the pose in its place.")

# %% [markdown]
# *Left: the portrait of Grace Hopper, US Navy, public domain, at 64 x 64 px. Lines: what the network sees.*
#
# The network has no way to say "there is no ankle here", because a softmax has to put its 1 somewhere (section 1.5). On the photograph it lays a whole
# body over a face, since whole bodies are all that it has ever seen, and on this crop claims less than half of its error on the eyes and the nose.
#
# None of this is special to heatmaps: a network that answers with two numbers does not even have a spread. What helps is data that is like the use, a score that can be low, and a
# test on pictures unlike the training. Chapter 4, on robustness, will go on from here.

# %% [markdown]
# With [COCO photographs of your own](02_decoding.ipynb), the next cell asks the network about the person who is marked most completely.
# `crop_grid` makes the `Grid` of a crop around the person's box, and this one object takes both the picture and the points there:

# %%
best = None
if "POSEBOOK_COCO" in os.environ:
    yours = coco.load(os.environ["POSEBOOK_COCO"], images=os.environ.get("POSEBOOK_COCO_IMAGES"))
    best = coco.most_marked(yours, least=2)  # of visible keypoints
if best:
    other, person = best
    x, y, w, h = person.box  # counted from the picture's corner
    where = crop_grid((x - 0.5, y - 0.5, w, h), (64, 64), scale=1.1)
    picture = coco.read_picture(other).permute(2, 0, 1) / 255
    seen = crop_image(picture, where, (64, 64))[None]
    (found, claim, _), truth = asked(seen), where.to_cells(person.xy)[None]
    off = epe(found, truth)[person.vis[None] == 2].median()
    print(f"median error {off:.1f} px of 64, claimed {claim.median():.1f} px")
    draw.show(draw.people(seen, truth, yours.skeleton, vis=person.vis[None], found=found),
              f"A person of {other.path.name} at 64 x 64 px, the marks and the network's crosses.")
else:
    why = "names a file without a marked person" if "POSEBOOK_COCO" in os.environ else "is not set"
    print(f"POSEBOOK_COCO {why}: the portrait is all there is to see.")

# %% [markdown]
# **Takeaway.** A map's spread is a claim about its error, learned from the training pictures. Here it followed the error through cover, darkness, noise, blur, half the
# size and a side view. The further people were turned, the less it did: at 180 degrees the error is 4.4 times the claim. From behind it is 4.2 times the claim, because
# left and right are exchanged. The map does not say which of these cases you are in.

# %% [markdown]
# ## What has stayed with you?
#
# *8 minutes*
#
# Seven short questions about the whole chapter. Nothing is graded, each answer is explained, and you may try as often as you like. Answer from memory first; then go back to
# the section that an explanation names.

# %%
from posebook.quiz import quiz

quiz(1)

# %% [markdown]
# ## What you can do now
#
# You know what a keypoint is, in which forms a network can answer, and what each form costs: solve [the four
# problems](../exercises/representations/representations.ipynb). How to get the last tenths of a pixel out of a heatmap is the business of [chapter
# 2](02_decoding.ipynb).
#
# And your predictions, if you made some? In the notebook, run the next cell once more to see how often you were right, and whether you were as sure as that.

# %%
predictions(1)
