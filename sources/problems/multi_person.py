# %% [markdown]
# # Problems: several people
#
# Write each function in the cell that says `raise NotImplementedError`, then run the check cell below it. The check shows, case by case, what it
# tried and what came of it, and where it recognizes a mistake, it names it. You may call anything in torch, numpy and posebook, except the functions
# that answer a problem of this set or do the heart of one. These, and the helpers that they are made of, are switched off while you are checked:
# SWITCHED_OFF.
#
# These hold for all problems of this set:
#
# - points are (x, y), in this order, x to the right and y down;
# - tensors share one floating dtype, float32 or float64, and the result keeps it; masks are boolean, and `vis` is int64: COCO's 0 for not labeled, 1
#   for labeled but hidden, 2 for labeled and visible;
# - `box`, `hw`, `margin`, `n_gt`, `samples`, `threshold` and `top_k` are plain numbers or tuples of them;
# - a result is a tensor, a tuple or a plain Python number, as the problem says; not a list, and not a numpy array;
# - no NaN comes in or goes out, unless the problem says so;
# - no value lies within round-off of a threshold, of a rank or of a tie, unless it is equal to it: then both are binary fractions such as 0.25, which
#   every dtype holds exactly;
# - inputs are left unchanged.
#
# When your work is graded, other numbers are drawn. A case whose right result is always the same earns points only where another case passes as well;
# a case that every user of your function would meet counts more.
#
# Together they lead from the heatmaps of a picture to its people, and to a score for them. [Chapter
# 3](../../chapters/03_multi_person.ipynb) derives them.

# %%
import torch

from posebook import draw, evaluation
from posebook.checks import check

# %% [markdown]
# ## 1. `local_peaks`
#
# *3 points, medium, about 20 minutes.*
#
# `local_peaks(heatmap (H, W), threshold, top_k) -> (xy (n, 2), scores (n,))`
#
# All peaks of one map: with several people in the picture, the highest cell is only one person's wrist. A peak is a cell above `threshold` and
# strictly higher than each of its up to eight neighbors, so a plateau has none. What lies beyond the map is no neighbor.
#
# `xy` holds the peaks (x, y) in cells, x along the last axis, and `scores` their values, both in the dtype of `heatmap`. Highest first, equal ones by
# flat index (first row first, then first column), at most `top_k`, which is 1 or more; there may be fewer, or none, and then the shapes are (0, 2)
# and (0,). Map and threshold may be negative. The map has two cells or more.
#
# Every bottom-up method starts here: a peak that is lost here is a keypoint that no grouping brings back, and a false one may become a person.
#
# `posebook.grouping.local_peaks` is the answer itself; it takes many maps at once, and says which of its `top_k` places hold a peak.

# %%
heatmap = torch.zeros(7, 12)
for row, column, height in ((2, 3, 1.0), (3, 9, 0.75), (5, 6, 0.25)):
    y, x = torch.arange(7.0)[:, None] - row, torch.arange(12.0) - column
    heatmap = torch.maximum(heatmap, height * torch.exp(-(x**2 + y**2) / 2))
fig, (ax,) = draw.axes(height=2.6)
draw.heatmap(ax, heatmap)
ax.plot([3, 9], [2, 3], "o", color=draw.RED, markeredgecolor="white", markersize=9)
ax.set(xlabel="x (cells)", ylabel="y (cells)")
draw.show(fig,
          "Target: a map of 7 rows and 12 columns with three bumps. With a threshold of 0.5 its "
          "peaks are (3, 2), of height 1, and (9, 3), of height 0.75; the third bump, of height "
          "0.25 about (6, 5), stays below.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Move the whole map by one cell, and you can compare all cells with one of their neighbors at once. How many moves does it take, and what comes in at
# the edge that is lower than anything?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Sorting moves equal values as it likes, unless you ask it not to. And what has each of your steps to work with when there is no peak at all?
#
# </details>

# %%
from posebook.checks.multi_person.local_peaks import local_peaks

# %%
check("local_peaks", local_peaks)

# %% [markdown]
# **Predict, then run.** A map holds nothing but noise, every cell drawn on its own. Which share of its cells are peaks? And after a blur of two
# cells, are there more of them or fewer?

# %% [markdown]
# ## 2. `crop_points`
#
# *2 points, medium, about 15 minutes.*
#
# `crop_points(xy (..., 2), box, hw) -> (..., 2)`
#
# Where the points of an image lie in the crop of one person. `...` stands for any number of leading axes, none included. `box` = (x, y, w, h) is her
# box in image px: its left and top edge, where pixel centers are whole numbers, and its width and height, both positive. So a whole image
# of W x H pixels is the box (-0.5, -0.5, W, H). `hw` = (H, W) is the size of the crop in px.
#
# 1. Enlarge the box about its center, along one axis, to the aspect ratio of `hw`: it is never cut, and nothing is stretched.
# 2. Tile it with H x W crop pixels. The result is in crop px: whole numbers are the centers of crop pixels, (0, 0) that of the first.
#
# Points outside the box get their place as well, below 0 or beyond the crop. The box may reach beyond the image. No gradients are asked for.
#
# Top-down pose estimation goes through this twice, there and back. Half a pixel lost here is half a crop pixel on every keypoint, and no training
# finds it.
#
# `posebook.warp.crop_grid` is the heart of it; it returns a `Grid`.

# %%
x, y, w, h = 9.5, 3.5, 12, 20  # px
side = max(w, h)
left, top = x + (w - side) / 2, y + (h - side) / 2
fig, (ax,) = draw.axes(height=3.0)
for (a, b, c, d), color, name in (((x, y, w, h), draw.ORANGE, "box"),
                                  ((left, top, side, side), draw.SKY, "crop, 8 x 8 px")):
    ax.plot([a, a + c, a + c, a, a], [b, b, b + d, b + d, b], color=color, linewidth=2, label=name)
first = (left + side / 16, top + side / 16)
ax.plot(*first, "o", color=draw.RED, label="crop pixel (0, 0)")
ax.set(xlim=(0, 40), ylim=(26, 0), xlabel="x (px)", ylabel="y (px)", aspect="equal")
ax.legend(fontsize=8, loc="center right", frameon=False)
draw.show(fig, "Target: a box 12 px wide and 20 px high, and around it, about the same center, the "
               f"square of 20 px that the crop of 8 x 8 pixels covers. Crop pixel (0, 0) lies at "
               f"({first[0]:g}, {first[1]:g}) px, half a crop pixel inside the corner.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# How many image px does one crop pixel cover? There are two candidates, one from each axis. With which of them does the whole box fit in?
#
# </details>
# <details><summary>Hint 2</summary>
#
# Where in the crop, in crop px, lies the left edge of what it covers: at 0? The center of the box stays in the center: in which crop px is that?
#
# </details>

# %%
from posebook.checks.multi_person.crop_points import crop_points

# %%
check("crop_points", crop_points)

# %% [markdown]
# **Predict, then run.** A box 100 px wide and 200 px high becomes a crop 192 px wide and 256 px high. What does an error of one crop pixel cost in
# the image? And if the crop is 48 px wide and 64 px high?

# %% [markdown]
# ## 3. `ae_loss`
#
# *3 points, hard, about 25 minutes.*
#
# `ae_loss(tags (N, K, D), vis (N, K), margin) -> (pull, push)`
#
# The loss that teaches a network tags: those of one person are to agree, those of two people to differ. `tags` holds what the network says at the K
# keypoints of N people, D numbers each; `vis` is boolean here, True where a keypoint is labeled.
#
# - pull: the mean over people with a labeled tag of the mean squared distance of her labeled tags to their mean; first the mean of each person, then
#   that over people. The squared distance is the sum of squares over the D numbers.
# - push: the mean over unordered pairs of such people of $\max(0, \mathrm{margin} - d)$, where $d$ is the Euclidean distance of their mean tags; 0 for
#   fewer than two of them.
#
# With nobody labeled both are 0. Unlabeled tags are finite and may be any number. Gradients reach the tags, and they are finite also where means
# coincide; no distance is drawn at the margin, where max has a kink. `margin` is positive.
#
# At the start of training all tags are nearly equal. A loss without finite gradients there ends the training in its first step.
#
# `posebook.losses.associative_embedding_loss` is the answer itself; it calls the margin `scale`.

# %%
tags = torch.tensor([[[0.0, 0.5], [1.0, -0.5], [0.5, 1.0]], [[3.0, 1.5], [3.5, 2.5], [2.5, 3.0]]])
means = tags.mean(1)
fig, (ax,) = draw.axes(height=2.8)
for person, mean, color, marker in zip(tags, means, (draw.SKY, draw.ORANGE), "os", strict=True):
    for x, y in person.tolist():
        ax.plot([x, mean[0]], [y, mean[1]], "-", color=color, linewidth=1)
    ax.plot(*person.T.tolist(), marker, color=color)
    ax.plot(*mean.tolist(), "X", color=color, markeredgecolor="black", markersize=10)
ax.plot(*means.T.tolist(), "--", color="#999999", zorder=0)
ax.set(xlabel="first number", ylabel="second number", aspect="equal")
pull, apart = (tags - means[:, None]).square().sum(-1).mean(), (means[0] - means[1]).norm()
print(f"pull {pull:.3f}, distance of the means {apart:.3f}")
draw.show(fig, "Target: three tags of each of two people, dots and squares, with thin lines to "
               f"their means, two crosses. Pull is the mean squared length of these lines, "
               f"{pull:.3f}. A dashed line of length {apart:.3f} joins the crosses: push is what "
                "the margin is longer.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A mean over some entries is a sum with weights 0 and 1, divided by how many ones there are. How often do you need it here, and where may there be
# none? The explorer *tags* at steps 25 (section 3.3) draws both: pull at each tag, push at the mean tags.
#
# </details>
# <details><summary>Hint 2</summary>
#
# What is the derivative of the root at 0? Which pairs are left when you go through all pairs of N numbers once?
#
# </details>

# %%
from posebook.checks.multi_person.ae_loss import ae_loss

# %%
check("ae_loss", ae_loss)

# %% [markdown]
# **Predict, then run.** Two people have exactly the same tags. What is push, and what is its gradient? What follows for two people who look the same
# to the network?

# %% [markdown]
# ## 4. `group_tags`
#
# *3 points, hard, about 30 minutes.*
#
# `group_tags(tags (K, n, D), valid (K, n), threshold) -> (P, K)`
#
# Which peaks belong to one person? Each of K keypoints has up to n candidates, peaks of its heatmap, and each candidate a tag of D numbers; a network
# gives equal people equal tags. `valid` is boolean: whether there is a candidate at all. Only valid candidates take part; the tags of the others are
# finite, and mean nothing.
#
# Keypoint by keypoint, and candidate by candidate in the order given: a candidate joins the person whose mean tag is nearest, among those who lack
# this keypoint, if that is nearer than `threshold`, else it begins a new person. A person's mean is the mean of all tags that have joined her so far.
# The distance is Euclidean. Of two people as near, the earlier one gets it; such ties are drawn among means of one, two or four tags alone.
#
# The result is int64: a row for each person, in the order in which they began, with the index of her candidate for each keypoint, and -1 where she
# has none. P may be 0. `threshold` is positive; K, n and D >= 1.
#
# This loop is what makes people of peaks in associative embedding. It is greedy: one wrong candidate moves a mean, and the rest follows.
#
# `posebook.grouping.group_by_tags` with the method "greedy" is the answer itself.

# %%
tags = torch.tensor([[0.0, 4.0, 9.0], [4.5, 0.5, 4.0], [1.0, 9.5, 7.0]])  # 3 keypoints of 3
people = torch.tensor([[0, 1, 0], [1, 0, -1], [2, -1, 1], [-1, 2, -1], [-1, -1, 2]])
colors = (draw.SKY, draw.ORANGE, draw.GREEN, draw.RED, draw.PURPLE)
fig, (ax,) = draw.axes(height=2.6)
for p, (row, color) in enumerate(zip(people.tolist(), colors, strict=True)):
    mine = [(k, tags[k, i].item()) for k, i in enumerate(row) if i >= 0]
    ax.plot([tag for _, tag in mine], [k for k, _ in mine], "o-", color=color, label=f"person {p}")
ax.set(xlabel="tag", ylabel="keypoint", yticks=range(3), ylim=(2.4, -0.4))
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: three keypoints with three candidates each, at their tags, with a "
               "threshold of 2. Lines join five people. The candidate of keypoint 1 at tag 4 is "
               "near person 1 at 4, who has this keypoint already, from 4.5, so it begins person "
               "3; that of keypoint 2 at tag 7 is near nobody and begins person 4.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write three plain loops first: keypoints, candidates, people. What must you know of a person to decide, and what changes when somebody joins her?
# The explorer *tags* at steps 25 (section 3.3) groups five tags of each person: move T.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Start the search for the nearest with the threshold as the distance to beat. Which comparison then gives both rules, that of ties and that of the
# threshold?
#
# </details>

# %%
from posebook.checks.multi_person.group_tags import group_tags

# %%
check("group_tags", group_tags)

# %% [markdown]
# **Predict, then run.** Two people have tags 0 and 1 with a threshold of 0.75, and each of 17 keypoints has its tag exactly. Now one candidate in
# between, at 0.4, comes second. Whom does it join, and can it be mended later?

# %% [markdown]
# ## 5. `paf_score`
#
# *3 points, medium, about 20 minutes.*
#
# `paf_score(paf (2, H, W), a (2,), b (2,), samples) -> scalar`
#
# Is there a limb from a to b? A part affinity field holds a vector in each cell, channel 0 is its x and channel 1 its y: where a limb passes it
# points along it, elsewhere it is 0. The score is the mean over `samples` places, evenly spaced from a to b, ends included, of the dot product of the
# field there, interpolated bilinearly, with the unit vector from a to b, its sign included.
#
# The points are in cells; whole numbers are the centers of cells, 0 <= x <= W - 1 and 0 <= y <= H - 1. H, W and `samples` >= 2. Where a equals b the
# result is 0; else they are at least half a cell apart. The result is a tensor without axes. No gradients are asked for.
#
# Two wrists and two elbows make four pairs. Their scores say which two are arms, also where the arms cross.
#
# `posebook.grouping.paf_scores` is the answer itself; it takes many pairs at once.

# %%
y, x = torch.meshgrid(torch.arange(7.0), torch.arange(12.0), indexing="ij")
unit = torch.tensor([0.8, 0.6])
aside = (x - 2) * unit[1] - (y - 1) * unit[0]
on = (aside.abs() <= 1).float()
fig, (ax,) = draw.axes(height=2.8)
ax.quiver(x, y, on * unit[0], on * unit[1], angles="xy", scale_units="xy", scale=1.2,
          color="#999999")
ax.plot([2, 8], [1, 5.5], "o-", color=draw.RED, label="along the limb")
ax.plot([2, 8], [5, 1], "s--", color=draw.SKY, label="across it")
ax.set(xlabel="x (cells)", ylabel="y (cells)", ylim=(6.5, -0.5), aspect="equal")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Target: gray arrows of a field that points to the lower right in a band 2 cells "
               "wide. A line from (2, 1) to (8, 5.5) runs along the band: its score is near 1. A "
               "dashed line from (2, 5) to (8, 1) crosses it: few of its samples lie in the band, "
               "at an angle.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# All places at once are a (samples, 2) tensor: which number, from 0 to 1, says how far along the limb each lies? The explorer *limbs* at samples 2
# (section 3.7) shows what the ends alone say of a wrong pair.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Four cells around each place, with weights that sum to 1. Which four do you take on the last row? If you prefer `grid_sample`, ask which place in
# the map its -1 stands for.
#
# </details>

# %%
from posebook.checks.multi_person.paf_score import paf_score

# %%
check("paf_score", paf_score)

# %% [markdown]
# **Predict, then run.** The score of a limb is 0.9. What is that from b to a? And what is left of it if the field is right on the first half of the
# limb, and 0 on the other?

# %% [markdown]
# ## 6. `oks`
#
# *2 points, easy, about 15 minutes.*
#
# `oks(pred (P, K, 2), gt (P, K, 2), vis (P, K), area (P,), sigmas (K,)) -> (P,)`
#
# The object keypoint similarity of each person's pose with the truth. It is the mean over her labeled keypoints (`vis` > 0) of
#
# $$\exp\left(-\frac{d^2}{2 \, \mathrm{area} \, k^2}\right), \qquad k = 2 \, \mathrm{sigma}$$
#
# where $d$ is the distance in px between prediction and truth. Each person has an area and each keypoint a sigma: `area` in square px says how large
# she is, and `sigmas`, without a unit, how far apart annotators set this keypoint. All are positive, and P, K >= 1.
#
# - A person without a labeled keypoint has 0.
# - Where `vis` is 0, `pred` and `gt` may be any number, or NaN.
#
# For poses OKS is what the overlap of boxes is for boxes: every AP of keypoints stands on it. A wrong factor in it looks like a
# better or worse network.
#
# `posebook.evaluation.oks` is the answer itself.

# %%
away = torch.linspace(0, 40, 161)  # px
truth, seen = torch.zeros(161, 1, 2), torch.full((161, 1), 2)
pred = torch.stack((away, torch.zeros(161)), -1)[:, None]
lines = {}
for name, sigma, side in (("eye", 0.025, 96), ("hip", 0.107, 96), ("hip", 0.107, 48)):
    area, spread = torch.full((161,), float(side**2)), torch.tensor([sigma])
    lines[f"{name}, {side} x {side} px"] = evaluation.oks(pred, truth, seen, area, spread)
fig, (ax,) = draw.axes(height=2.4)
draw.curves(ax, away, lines, xlabel="distance (px)", ylabel="similarity")
draw.show(fig, "Target: the similarity of one keypoint over its distance from the truth falls from "
               "1 along half a bell. For an eye of a person of 96 x 96 px it is 0.607 at 4.8 px, "
               "for her hip at 20.5 px, and for a hip of 48 x 48 px at 10.3 px.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write down the shape of each factor before you write the quotient. Which of them belong to people, and which to keypoints? Could a wrong shape go
# unnoticed? How the size of a person counts is seen in the explorer *precision* at error 12 and height 70 (section 3.9).
#
# </details>
# <details><summary>Hint 2</summary>
#
# 0 times NaN is NaN, so what is not labeled must be gone before it is used. And what is the mean of no numbers?
#
# </details>

# %%
from posebook.checks.multi_person.oks import oks

# %%
check("oks", oks)

# %% [markdown]
# **Predict, then run.** A pose is perfect but for one of 17 keypoints, which lies at the other end of the picture. What is its OKS? Does it matter
# how far away the lost keypoint lies? And what if all 17 are off by $k \sqrt{\mathrm{area}}$?

# %% [markdown]
# ## 7. `match`
#
# *2 points, easy, about 15 minutes.*
#
# `match(similarity (D, G), threshold) -> (D,)`
#
# Which person does each detection count for? `similarity` holds a row for each of D detections, the one with the highest score first, and a column
# for each of G people; its values are from 0 to 1. The detections choose in order of rows: each takes the person who is still free and has the
# highest similarity among those, if it is at least `threshold`; of equal ones the person with the lower index. Whom a detection has taken is no
# longer free; otherwise it takes nobody and has -1. The choice is greedy: later rows have no say in it.
#
# The result is int64. `threshold` is positive. D or G may be 0.
#
# So one good detection and nine copies of it are one hit and nine false alarms. COCO matches like this, but for a tie: there the later
# person is taken.
#
# `posebook.evaluation.matches` is the heart of it, for all images at once.

# %%
similarity = torch.tensor([[0.75, 0.25, 0.125], [0.875, 0.625, 0.25], [0.5, 0.625, 0.375]])
fig, (ax,) = draw.axes(height=2.6)
draw.heatmap(ax, similarity)
for row in range(3):
    for column in range(3):
        ax.text(column, row, f"{similarity[row, column]:g}", ha="center", va="center",
                color=draw.RED, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
ax.plot([0, 1], [0.33, 1.33], "o", color="white", markersize=8)
ax.set(xlabel="person", ylabel="detection", xticks=range(3), yticks=range(3))
draw.show(fig, "Target: similarities of three detections, rows, with three people, columns. With a "
               "threshold of 0.5 detection 0 takes person 0, at 0.75; detection 1 is nearest to "
               "her as well, at 0.875, but takes person 1, at 0.625; for detection 2 nobody near "
               "is left. Two white dots mark the pairs: the result is 0, 1, -1.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A loop over the rows, and something that remembers who is still free. What should a row see in the columns of those who are not? The explorer
# *precision* at score3 0.95 (section 3.9) has a row that takes a person to whom a later one is nearer.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Which case breaks the search for a highest value before the threshold is even asked?
#
# </details>

# %%
from posebook.checks.multi_person.match import match

# %%
check("match", match)

# %% [markdown]
# **Predict, then run.** In the picture above, how many detections would the best assignment of all match, and which? Why may an evaluation not
# want the best one?

# %% [markdown]
# ## 8. `average_precision`
#
# *3 points, hard, about 25 minutes.*
#
# `average_precision(scores (D,), matched (D,), n_gt) -> float`
#
# One number for a list of detections, as COCO computes it. `matched` is boolean: whether a detection found a person. `n_gt` is how many people there
# are to find.
#
# 1. Sort the detections: highest score first, equal ones in the order given.
# 2. At each place in this list, precision is the share of the detections so far that are matched, and recall the share of the `n_gt` people that are
#    found so far.
# 3. Raise each precision to the highest precision at its own or any later place.
# 4. Read it at the 101 recalls 0, 0.01, ... 1: at the first place whose recall reaches it, 0 where no place does. The result is the
#    mean of these 101 numbers, a plain Python number.
#
# Without detections it is 0.0. At most `n_gt` detections are matched, and `n_gt` >= 1. It has no common divisor with 100, so that no recall
# but 0 and 1 falls on a hundredth, where a floating-point number could lie on either side.
#
# The scores themselves do not enter, only their order: that is why a detector whose scores are all equal gets an AP that says nothing.
#
# `posebook.evaluation.coco_keypoint_ap` holds the answer, among much else.

# %%
precision = torch.tensor([1, 1 / 2, 2 / 3, 3 / 4, 3 / 5, 4 / 6])
recall = torch.tensor([1, 1, 2, 3, 3, 4]) / 7
read = torch.tensor([1.0] * 15 + [0.75] * 28 + [2 / 3] * 15 + [0.0] * 43)
fig, (ax,) = draw.axes(height=2.6)
ax.plot(torch.linspace(0, 1, 101), read, ".", color=draw.SKY, label="raised, at 101 recalls")
ax.plot(recall, precision, "o--", color=draw.RED, linewidth=1, label="precision, place by place")
ax.set(xlabel="recall", ylabel="precision", ylim=(-0.05, 1.05))
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
print(f"mean of the 101 numbers: {read.mean():.3f}")
draw.show(fig, "Target: six detections, of which the first, third, fourth and sixth are matched, "
               "with 7 people to find. A dashed line falls and rises with precision; dots at 101 "
               "recalls lie on falling steps: 15 at 1, 28 at 0.75, 15 at 0.667 and 43 at 0.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Once the list is sorted, a running sum says how many are matched up to each place. What do you divide it by for precision, and what for recall?
# The explorer *precision* at score3 0.95 and third "nobody" (section 3.9) shows both, place by place, and the 101 readings.
#
# </details>
# <details><summary>Hint 2</summary>
#
# "The highest at its own or any later place" is a running maximum, seen from the other end. And recall never falls: which function finds the first
# place in a rising list that reaches a value?
#
# </details>

# %%
from posebook.checks.multi_person.average_precision import average_precision

# %%
check("average_precision", average_precision)

# %% [markdown]
# **Predict, then run.** A detector finds all people, and after them come a thousand wrong detections with lower scores. What is its AP? And what if
# these thousand have the highest scores?
