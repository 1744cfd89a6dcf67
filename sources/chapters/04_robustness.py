# %% [markdown]
# # 4. Robustness: what holds when pictures change?
#
# | | |
# |---|---|
# | You need | chapter 1; what a variance and a correlation are |
# | Time | about 2.5 hours, and 2.5 for the problems; the short path takes 1.6 |
# | Problems | [the set *robustness*](../exercises/robustness/robustness.ipynb) |

# %%
import math

import torch
from torch import nn

from posebook import draw, theory
from posebook.encode import gaussian_heatmap
from posebook.metrics import epe
from posebook.skeleton import COCO_17

torch.set_printoptions(precision=3, sci_mode=False)

# %% [markdown]
# ## 4.6 What does a map's width know?
#
# *28 minutes, short path*
#
# Chapter 1 ended with a picture of two medians for ten kinds of pictures: how far off the network was, and how far off its map said that it was. They rose together through
# cover, darkness, noise and blur, and parted from behind and upside down. Those were kinds of pictures. Now take people of *one* kind. Does the width of the map say which of them
# will be found badly?
#
# > **Predict.** Order 128 people by what their maps say, and order them by how well they were found. Are the two orders alike? Does it matter whether you subtract
# the variance that the target has anyway?
#
# Training draws each target as a Gaussian of width $\sigma$ cells. A network that is unsure by $\nu$ cells on each axis, and learns by cross-entropy, makes a map of variance
# $\sigma^2 + \nu^2$. So with $\Sigma$ the covariance of the map in cells squared and $s$ the stride in px per cell, the map claims an error of variance
#
# $$v = s^2 \left(\tfrac12 \operatorname{tr} \Sigma - \sigma^2\right) \text{ px}^2 \text{ on each axis}$$
#
# A tiny example: two places, two cells apart, are equally likely, and nothing in the picture tells which. The best map is the mean of their two targets.

# %%
places = torch.tensor([[6.0, 7.0], [8.0, 7.0]])  # cells
targets = gaussian_heatmap(places, (15, 15), sigma=1.0).double()
best_map = (targets / targets.sum((-2, -1), keepdim=True)).mean(0)  # sums to 1
variance = []
for axis in (0, 1):  # over y, over x
    along = best_map.sum(1 - axis)
    mean = sum(cell * p for cell, p in enumerate(along))
    variance.append(sum((cell - mean) ** 2 * p for cell, p in enumerate(along)))
nu2 = sum(variance) / 2 - 1.0**2
print(f"variance on x {variance[1]:.3f}, on y {variance[0]:.3f}; less the target's {nu2:.3f} cells²")

# %%
from posebook.uncertainty import excess_variance

assert torch.allclose(excess_variance(best_map.log(), sigma=1.0), nu2)
to_places = (places - places.mean(0)).square().mean(0)  # variance of the two places on x, on y
print(f"variance of the two places: {to_places.tolist()}, mean of both axes {to_places.mean():.3f}")
assert abs(nu2 - to_places.mean()) < 1e-6

# %% [markdown]
# What is left is the variance of the places alone. Now the stored network of chapter 1, its targets 0.5 cells wide, and 128 people of no training, like those of the training.
# How well a person is found is her OKS: the mean over her labeled keypoints of the similarity $e^{-\lVert e \rVert^2 / 2 \kappa^2}$, with $e$ the error in px and
#
# $$\kappa = 2 \sigma_k \sqrt{\text{area}} \text{ px}$$
#
# COCO's constant $\sigma_k$ of the keypoint, without a unit, times the root of the person's area in px² (chapter 3). It is smallest for the eyes and largest for the hips.

# %%
from posebook.expectation import soft_argmax, spread
from posebook.people import render, sample_scene
from posebook.training import methods, robustness
from posebook.training.robustness import spearman
from posebook.training.table import PEOPLE

plain_net = methods.stored("cross-entropy")
per_keypoint = torch.tensor(COCO_17.oks_sigmas)


def asked(image):
    """Found points (B, 17, 2) px; variance per axis of the map, and less the target's, in px²."""
    with torch.no_grad():
        logits = plain_net(image)
    width = spread(logits)[1].diagonal(dim1=-2, dim2=-1).mean(-1)  # cells²
    less = excess_variance(logits, sigma=0.5).clamp(min=0)
    s2 = plain_net.grid.stride**2
    return plain_net.grid.to_image(soft_argmax(logits)), s2 * width, s2 * less


# %%
crowd = {}
for name in ("as in training", "from behind"):
    image, xy, vis = robustness.world(name)
    scene = sample_scene(len(image), seed=830_000, **(PEOPLE | robustness.WORLDS[name]))
    kappa = 2 * per_keypoint * render(scene).area[:, 0].sqrt()[:, None]  # (128, 17) px
    crowd[name] = (image / 255, xy, vis, kappa)
image, xy, vis, kappa = crowd["as in training"]
assert (vis > 0).all()  # every keypoint is labeled
found, width, less = asked(image)
similarity = torch.exp(-epe(found, xy) ** 2 / (2 * kappa**2))  # (128, 17)
oks = similarity.mean(1)
print(f"{len(image)} people, kappa from {kappa.min():.1f} to {kappa.max():.1f} px")

# %% [markdown]
# To compare two orders, give each person her **rank** in both, from 0 for the smallest to 127, and take the correlation of the ranks: **Spearman's correlation**. It is 1 for equal
# orders, −1 for opposite ones, near 0 for unrelated ones.

# %%
first, second = torch.tensor([5.0, 1.0, 3.0, 9.0]), torch.tensor([0.2, 0.8, 0.9, 0.1])
ranks = torch.stack([values.argsort().argsort() for values in (first, second)]).double()
print("ranks", ranks.tolist(), f"correlation {torch.corrcoef(ranks)[0, 1]:.1f}")
assert abs(spearman(first, second) - torch.corrcoef(ranks)[0, 1]) < 1e-6

# %%
by_person = {
    "v of the map": width, "v less the target's": less,
    "v of the map / kappa²": width / kappa**2, "v less the target's / kappa²": less / kappa**2,
}
rho = {name: spearman(value.mean(1), oks) for name, value in by_person.items()}
plain, without, divided, both = rho.values()
assert plain < -0.6 and abs(plain - without) < 0.02
print("variance against OKS, by person: below -0.6, with or without the target's")
assert abs(both - without) < 0.1 and divided > both + 0.08
print("divided by kappa²: within 0.1 of that without the target's; with it more than 0.08 weaker")

# %% [markdown]
# The map knows something: the wider, the worse the person was found. To subtract a constant changes no order, so that the first two numbers are the same (up to the few maps that
# are narrower than the target and are set to 0). Divided by $\kappa^2$, the constant is a constant no more: $s^2 \sigma^2 / \kappa^2$ says how small the person is, and nothing else.
# It blurs the order.
#
# So why divide at all? An error of 3 px is a different loss for a nose than for a hip, and for a small person than for a large one. Between *keypoints* it shows:

# %%
nothing = spearman((1 / kappa**2).flatten(), similarity.flatten())
alone = spearman(less.flatten(), similarity.flatten())
together = spearman((less / kappa**2).flatten(), similarity.flatten())
assert -0.55 < nothing < -0.4 < alone < -0.3 and together < -0.62
print("similarity, by keypoint: against v above -0.40, against 1 / kappa² above -0.55,")
print("against v / kappa² below -0.62")
for size in (24.0, 48.0):  # px, the root of the area
    wrist = 2 * COCO_17.oks_sigmas[9] * size
    similar = math.exp(-(3.0**2) / (2 * wrist**2))
    print(f"a wrist 3 px off, area {size:.0f}² px²: kappa {wrist:.1f} px, similarity {similar:.2f}")

# %% [markdown]
# Neither $v$ nor $\kappa$ alone goes with the similarity as well as their quotient. By person, here, $v / \kappa^2$ does no better than $v$: these people are nearly of a size, and
# means over all keypoints share the same constants. A number that is compared between people of different sizes, or turned into an OKS, has to be divided.
#
# And what does the width not notice? The same people, seen from behind:

# %%
behind_image, behind_xy, _, behind_kappa = crowd["from behind"]
behind_found, _, behind_less = asked(behind_image)
behind_oks = torch.exp(-epe(behind_found, behind_xy) ** 2 / (2 * behind_kappa**2)).mean(1)
error, behind_error = (epe(*pair).median() for pair in ((found, xy), (behind_found, behind_xy)))
grows = (behind_less.median() / less.median()).sqrt()
assert behind_error > 5 * error and grows < 1.3
assert oks.mean() > 0.7 and behind_oks.mean() < 0.2
print("from behind: the error is more than 5 times as large, the claimed one less than 1.3 times")
behind_rho = spearman((behind_less / behind_kappa**2).mean(1), behind_oks)
assert both < -0.6 and abs(behind_rho) < 0.4
print("Spearman's correlation of v / kappa² with OKS: below -0.6, from behind within 0.4 of 0")

# %%
fig, panels = draw.axes(2, height=3.0, sharey=True)
shown = {"as in training": (less / kappa**2, oks),
         "from behind": (behind_less / behind_kappa**2, behind_oks)}
for ax, (name, (claim, score)) in zip(panels, shown.items(), strict=True):
    ax.plot(claim.mean(1), score, ".", color=draw.BLUE)
    ax.set(xscale="log", xlim=(0.05, 20), title=name, xlabel="mean of v / kappa²", ylim=(0, 1))
panels[0].set_ylabel("OKS")
draw.show(fig, "OKS against the mean of v over kappa squared, one dot for each of 128 people. As in "
               "training the dots fall from the upper left to the lower right. From behind the "
               "claims lie over the same range and nearly all dots lie below an OKS of 0.4.")

# %% [markdown]
# *Chapter 1's stored network. Each dot is a person, $v$ of the map less the target's.*
#
# The claims from behind look like any others. Who sees the claims alone cannot tell that the picture has changed. Sections 4.9 and 4.11 ask whether other measures can.
#
# **Takeaway.** Among people like those of the training the order of the maps' variances goes with that of OKS, below -0.6 by Spearman's correlation; before you divide by
# $\kappa^2$, subtract the target's own variance, or it is more than 0.08 weaker. From behind the error is more than 5 times as large, and the claim less than 1.3 times.
