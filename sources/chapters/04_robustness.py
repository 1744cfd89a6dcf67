# %% [markdown]
# # 4. Robustness: what holds when pictures change?
#
# | | |
# |---|---|
# | You need | chapter 1; what a variance and a correlation are |
# | Time | about 3.1 hours, and 2.5 for the problems; the short path takes 1.5 |
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
# *29 minutes, short path*
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
on_axis = []
for axis in (0, 1):  # over y, over x
    along = best_map.sum(1 - axis)
    mean = sum(cell * p for cell, p in enumerate(along))
    on_axis.append(sum((cell - mean) ** 2 * p for cell, p in enumerate(along)))
nu2 = sum(on_axis) / 2 - 1.0**2
print(f"variance on x {on_axis[1]:.3f}, on y {on_axis[0]:.3f} cells²; "
      f"less the target's {nu2:.3f}")

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
    ax.set(xscale="log", xlim=(0.15, 20), title=name, xlabel="mean of v / kappa²", ylim=(0, 1))
assert behind_oks.max() < 0.4
panels[0].set_ylabel("OKS")
draw.show(fig, "OKS against the mean of v over kappa squared, one dot for each of 128 people. As "
               "in training the dots fall from the upper left to the lower right. From behind the "
               "claims lie over much the same range and all dots lie below an OKS of 0.4.")

# %% [markdown]
# *Chapter 1's stored network. Each dot is a person, $v$ of the map less the target's.*
#
# The claims from behind look much like the others. Sections 4.9 and 4.11 ask whether other measures can tell that the picture has changed.
#
# **Takeaway.** Among people like those of the training the order of the maps' variances goes with that of OKS, below -0.6 by Spearman's correlation; before you divide by
# $\kappa^2$, subtract the target's own variance, or it is more than 0.08 weaker. From behind the error is more than 5 times as large, and the claim less than 1.3 times.

# %% [markdown]
# ## 4.7 What does dropout measure?
#
# *36 minutes*
#
# In training, **dropout** sets each input of a layer to 0 with probability $p$ and divides the others by $1 - p$. Leave it on when the network answers, ask many times, and the
# answers scatter. The idea is called Monte Carlo dropout, and the scatter is often taken for the network's uncertainty. What is in it?
#
# > **Predict.** You add 20 px to a layer's bias, so that all its answers are 20 px further off. What happens to the variance of its answers under dropout? And if you double
# all weights?
#
# Take a single output $y = \sum_i w_i x_i z_i / (1 - p) + b$, where $z_i$ is 0 with probability $p$ and else 1, each on its own. In units of the output,
#
# $$\operatorname{E} y = \sum_i w_i x_i + b, \qquad \operatorname{Var} y = \frac{p}{1 - p} \sum_i w_i^2 x_i^2$$
#
# The variance of $z_i$ is $p (1 - p)$, each term has the factor $w_i x_i / (1 - p)$, and variances of independent terms add. With two inputs there are four masks; write them down:

# %%
w, x, p, b = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 1.0]), 0.5, 20.0
answers = []
for z in ((0, 0), (0, 1), (1, 0), (1, 1)):  # each of probability 1/4
    answers.append(sum(w[i] * x[i] * z[i] / (1 - p) for i in (0, 1)).item() + b)
mean = sum(answers) / 4
by_hand = sum((y - mean) ** 2 for y in answers) / 4
print(f"answers {answers}: mean {mean}, variance {by_hand}")

# %%
moments = theory.dropout_moments(w, x, p)  # without the bias
print(moments)
assert moments.mean + b == mean and moments.variance == by_hand
doubled = theory.dropout_moments(2 * w, x, p)
print("weights doubled: variance", doubled.variance.item())
assert doubled.variance == 4 * moments.variance

# %% [markdown]
# The bias is in the mean alone, and the true answer is in neither formula. Is the closed form exact for more inputs, and for other $p$? Ten inputs have 1024 masks, few enough to
# try them all, each with its probability.

# %%
masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 10)  # (1024, 10)
source = torch.Generator().manual_seed(0)
for p in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9):
    chance = (p ** (1 - masks) * (1 - p) ** masks).prod(1)
    for _ in range(5):
        w, x = torch.randn(2, 10, generator=source, dtype=torch.float64)
        y = masks @ (w * x) / (1 - p)
        mean = (chance * y).sum()
        closed = theory.dropout_moments(w, x, p)
        assert torch.allclose(mean, closed.mean)
        assert torch.allclose((chance * (y - mean) ** 2).sum(), closed.variance)
    print(f"p = {p}: the same in five layers; p / (1 - p) = {p / (1 - p):.2f}")

# %% [markdown]
# From $p = 0.1$ to $0.9$ the factor grows from 0.11 to 9. You chose $p$; so you chose the variance.
#
# A network has too many masks to try. `mc_dropout` draws some, and the variance of $T$ answers is an estimate. How good is it? Its standard deviation, relative to the variance, is by
# the law of sample variances
#
# $$\sqrt{\frac{2}{T - 1} + \frac{k}{T}}$$
#
# with $k$ the excess kurtosis of one answer, 0 for a Gaussian. Here is a layer of 64 inputs, asked $T$ times, again and again:

# %%
from posebook.uncertainty import mc_dropout

w, x = torch.randn(2, 64, generator=source)
layer = nn.Sequential(nn.Dropout(0.3), nn.Linear(64, 1))
layer.load_state_dict({"1.weight": w[None], "1.bias": torch.tensor([20.0])})
exact = theory.dropout_moments(w, x, 0.3).variance
kurtosis = theory.dropout_kurtosis(w, x, 0.3).item()
for samples in (10, 51, 201):
    drawn = mc_dropout(layer, x.expand(1000, 64), samples=samples, seed=1, batch=50_000)[..., 0]
    ratio = drawn.double().var(0) / exact  # of 1000 estimates from T samples each
    law = theory.sample_variance_std(samples, kurtosis=kurtosis)
    assert abs(ratio.mean() - 1) < 5 * law / 1000**0.5 and abs(ratio.std() / law - 1) < 0.15
    print(f"T = {samples}: variance off by {100 * law:.0f} % (one standard deviation); "
          "measured within 15 % of that")

# %% [markdown]
# Ten answers give a variance that is off by nearly half of itself; for 10 % it takes 201. In the explorer the cloud lies over contours of OKS for a wrist:
#
# > 1. Move *error* from 0 to 24. What happens to the spread of the answers, and what to OKS?
# > 2. What spread can you make with *p*? What do *weights* of 2 do? Which *p* claims the real error of 9 px?
# > 3. Move *draw* at *T* = 10, then at 201. How far from its closed form is the variance on x? And with *p* = 0.01?
# > 4. Without touching the cloud, move *size* from 24 to 320. What happens to the expected OKS?

# %%
from posebook.explore import dropout

dropout.explore()

# %%
def cloud(**start):
    return dropout.compute(dropout.State(**start))


for px in (0.0, 24.0):
    at = cloud(error=px)
    print(f"1: error {px:.0f} px: v = {at.variance:.2f} px², OKS {at.oks:.2f}")
for p, weights in ((0.1, 1.0), (0.9, 1.0), (0.2, 2.0), (0.53, 1.0)):
    v = cloud(p=p, weights=weights).variance
    print(f"2: p {p}, weights times {weights:g}: v = {v:.1f} px², claims {math.sqrt(2 * v):.1f} px")
for p, samples in ((0.2, 10), (0.2, 201), (0.01, 51)):
    tries = [cloud(p=p, samples=samples, draw=n) for n in range(1, dropout.DRAWS + 1)]
    parts = sorted(each.covariance[0][0] / each.variance for each in tries)
    print(f"3: p {p}, T = {samples}: {parts[0]:.2f} to {parts[-1]:.2f} times the closed form")
for px in (24.0, 320.0):
    print(f"4: size {px:.0f} px: expected OKS {cloud(size=px).expected['closed']:.2f}")

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. To the spread nothing: the cloud moves as it is. OKS falls from 1 to 0.13.
# 2. Any: $v$ grows with $p / (1 - p)$, and weights of 2 make it four times as large. $p = 0.53$ claims 9 px, but you found it because you knew the error.
# 3. Ten answers say from half of it to twice as much, 201 are off by some 10 %. At $p = 0.01$ most masks drop no unit or one, and a few rare masks make the variance.
# 4. It rises from 0.50 to 0.99: the same spread is a small part of a large person.
#
# </details>
#
# Now trained networks. Two were trained on from chapter 1's, with dropout of whole channels at $p = 0.3$: one before the last layer (*head*), one at the coarsest maps (*middle*). Before
# the last layer each score of a map is a sum over channels, so that the closed form holds for it:

# %%
from posebook.training import variants

with_dropout = {name: variants.stored(f"dropout-{name}") for name in ("head", "middle")}
head = with_dropout["head"]
with torch.no_grad():
    channels = head.trunk(image[:8])  # (8, C, 16, 16), the same for all masks
last_layer = nn.Sequential(head.drop, head.head)
scores = mc_dropout(last_layer, channels, samples=201, seed=1)  # (T, 8, 17, 16, 16)
weights = head.head.weight.detach()[:, None, :, 0, 0]  # (17, 1, C)
inputs = channels.flatten(2).mT[:, None]  # (8, 1, 256, C)
closed = theory.dropout_moments(weights, inputs, 0.3).variance  # (8, 17, 256)
ratio = scores.double().var(0).flatten(2) / closed
law = theory.sample_variance_std(201)
assert abs(ratio.mean() - 1) < 0.02 and abs(ratio.std() - law) < 0.02
print(f"{ratio.numel()} scores: sampled over closed form 1 within 0.02 on average,")
print(f"with a standard deviation within 0.02 of {law:.2f}, that of 201 samples")

# %% [markdown]
# The points come from the scores through a softmax, for which there is no closed form; so ask 20 times. What do the answers claim, and what of it changes from behind?

# %%
from posebook.uncertainty import sample_moments


def by_dropout(name, image, samples=20):
    """Points (B, 17, 2) without dropout, and the variance per axis of the answers with it, px²."""
    net = with_dropout[name]
    with torch.no_grad():
        features = net.trunk(image) if name == "head" else image
        points = net.grid.to_image(soft_argmax(net(image)))
    part = nn.Sequential(net.drop, net.head) if name == "head" else net
    answers = net.grid.to_image(soft_argmax(mc_dropout(part, features, samples=samples, seed=0)))
    return points, sample_moments(answers).covariance.diagonal(dim1=-2, dim2=-1).mean(-1)


# %%
def median_claim(variance):
    """Median error in px on each axis' variance v: v (2 ln 2) under the root, if Gaussian."""
    return (2 * math.log(2) * variance.median()).sqrt().item()


dropped = {}
for name in with_dropout:
    for world in crowd:
        dropped[name, world] = by_dropout(name, crowd[world][0])
    (here, v), (there, far) = (dropped[name, world] for world in crowd)
    off, away = epe(here, xy).median(), epe(there, behind_xy).median()
    told_here, told_there = median_claim(v), median_claim(far)
    assert 1.2 < off < 1.6 and away > 5 * off and told_there < 1.5 * told_here
    assert told_here < (0.4 if name == "middle" else 1.2)
    print(f"{name}: median error 1.2 to 1.6 px, claimed below "
          f"{0.4 if name == 'middle' else 1.2} px; from behind the error is more than 5 times, "
          "the claim less than 1.5 times as large")

# %%
fig, (ax,) = draw.axes(height=3.0)
for name, color in (("middle", draw.BLUE), ("head", draw.ORANGE)):
    points, v = dropped[name, "as in training"]
    ax.plot(v.sqrt().flatten(), epe(points, xy).flatten() / 2**0.5, ".", color=color,
            markersize=2, label=f"dropout, {name}")
ax.plot([0.03, 10], [0.03, 10], color="0.5", label="as claimed")
ax.set(xscale="log", yscale="log", xlim=(0.03, 10), ylim=(0.03, 20), ylabel="error per axis (px)",
       xlabel="claimed standard deviation per axis (px)")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Error against claim, one dot per keypoint, on logarithmic axes. The cloud of the "
               "net with dropout in the middle lies mostly above the line of equal values, to its "
               "right that of the one with dropout before the last layer lies on it.")

# %% [markdown]
# *2176 keypoints of 128 people, $p = 0.3$, 20 samples; the error is the distance over $\sqrt 2$.*
#
# Two networks with the same $p$ answer about equally well and claim quite different errors. Neither notices that people are seen from behind.
# That does not make the variance useless: weights and inputs come from training, and it may be that they are larger where the error is. Only a measurement can tell; the next section makes it.
#
# **Takeaway.** Dropout's variance is $\frac p{1-p} \sum w^2 x^2$: of p, weights and input, and of no error. Ten samples gave it to 46 %, 201 to 10 %.
# Dropout in the middle claimed a median error below 0.4 px where the error was above 1.2 px. Practice: [`dropout_moments`](../exercises/robustness/robustness.ipynb).

# %% [markdown]
# ## 4.8 When does uncertainty predict OKS?
#
# *31 minutes, short path*
#
# A variance in px² is no score. What OKS does it promise? And when is the promise worth anything?
#
# > **Predict.** A keypoint's error is Gaussian with variance $v = \kappa^2$ on each axis. What is its mean similarity $e^{-\lVert e \rVert^2 / 2 \kappa^2}$? And if a network's variances have
# exactly the right distribution, must they go with OKS?
#
# For an error $e \sim N(0, v I)$, $\lVert e \rVert^2 / 2 v$ is an exponential variable of mean 1. So for a threshold $t$ between 0 and 1
#
# $$P(\text{similarity} \le t) = t^{\kappa^2 / v}, \qquad \operatorname{E} \text{ similarity} = \frac{\kappa^2}{\kappa^2 + v}$$
#
# with $\kappa$ and the root of $v$ in px. The first is the Beta distribution with parameters $\kappa^2 / v$ and 1. Only the quotient $v / \kappa^2$ counts.

# %%
source = torch.Generator().manual_seed(3)
units = torch.randn(200_000, 2, generator=source, dtype=torch.float64)
kappa_px = 3.0
for v in (1.0, 9.0, 36.0):  # px²
    values = torch.exp(-v * units.square().sum(-1) / (2 * kappa_px**2))
    law = kappa_px**2 / (kappa_px**2 + v)
    low = 0.5 ** (kappa_px**2 / v)
    assert abs(values.mean() - law) < 0.004 and abs((values <= 0.5).double().mean() - low) < 0.006
    print(f"v = {v:4.0f} px²: mean similarity {law:.3f}, at most 0.5 with probability {low:.3f}")

# %%
levels = torch.linspace(0.01, 1, 100).double()
for v in (0.5, 1.0, 9.0, 36.0, 200.0):
    assert torch.allclose(theory.expected_oks(kappa_px, v * torch.eye(2).double()),
                          torch.tensor(kappa_px**2 / (kappa_px**2 + v)).double())
    law = levels ** (kappa_px**2 / v)
    assert torch.allclose(theory.similarity_cdf(levels, kappa_px, v), law)
stretched = torch.tensor([[30.0, 12.0], [12.0, 8.0]], dtype=torch.float64)  # not alike on both axes
draws = units @ torch.linalg.cholesky(stretched).mT
value = theory.expected_oks(kappa_px, stretched)
measured = torch.exp(-draws.square().sum(-1) / (2 * kappa_px**2)).mean()
assert abs(value - measured) < 0.004
print(f"a full covariance: {value:.3f}; measured within 0.004")

# %% [markdown]
# So 0.5 at $v = \kappa^2$. (For a full covariance $S$ it is $\det(I + S / \kappa^2)^{-1/2}$.) The mean over a person's keypoints is her **expected OKS**. It holds if the claim does. But a network can get the
# distribution of its variances right and still give them to the wrong people. In the explorer each dot is a person, and *related* says how much her claim has to do with her error:
#
# > 1. Move *related* from 0 to 1. What happens to Spearman's correlation, what to the histogram of $v$?
# > 2. Set *keypoints* to 17. Are the claims better now?
# > 3. With one keypoint and *related* at 1, set *factor* to 0.25, then to 4. What does that do to the correlation, and to ECE, the mean distance of the reliability curve from its diagonal (section 4.9)?
# > 4. Set *factor* to 1 and *spread* to 0.1. Do the claims pass? Do they go with OKS?

# %%
from posebook.explore import calibration

calibration.explore()

# %%
def told(**start):
    return calibration.compute(calibration.State(**start))


ways = [told(related=k / 20) for k in range(21)]
assert len({tuple(calibration.counts(way.claimed)) for way in ways}) == 1
assert all(b.spearman < a.spearman for a, b in zip(ways[:-1], ways[1:], strict=True))
for way in ways[::10]:
    print(f"1: related {way.state.related}: Spearman {way.spearman:.2f}, the same histogram")
for n in (1, 17):
    print(f"2: {n} keypoints: Spearman {told(related=1.0, keypoints=n).spearman:.2f} at related 1, "
          f"{told(keypoints=n).spearman:.2f} at 0")
for factor in (0.25, 1.0, 4.0):
    result = told(related=1.0, factor=factor)
    print(f"3: factor {factor}: Spearman {result.spearman:.2f}, "
          f"ECE {result.held['as claimed'].ece:.2f}, mended {result.held['median'].ece:.2f}")
result = told(related=1.0, spread=0.1)
print(f"4: spread 0.1: Spearman {result.spearman:.2f}, ECE {result.held['as claimed'].ece:.2f}")

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. The correlation comes, from 0.01 to −0.65, and the histogram stays: it is one and the same. Nobody who sees the variances alone can tell whether they mean something; it takes the errors.
# 2. No, they are the same. The mean over 17 keypoints has less luck in it, so that OKS follows the claim. Where there is nothing to follow, 17 keypoints change nothing.
# 3. To the correlation nothing: ranks do not see a factor. ECE grows, and one factor mends it.
# 4. They pass, and tell nobody from anybody: where all people are nearly alike, nothing is left to go with.
#
# </details>
#
# Now trained networks, all on the same 128 people: the map, the same less the target's variance, dropout in two places, and an **ensemble**: three networks, trained alike but for the
# seed, whose answers are stored. Their disagreement is a variance too; the last row adds what each of them claims by its own map, on average. Each claim becomes an expected OKS, and each is compared with the OKS of the points that go
# with it.

# %%
from posebook.uncertainty import ensemble_uncertainty


def per_axis(covariance):
    """Mean of the variances on x and y, (..., 2, 2) to (...)."""
    return covariance.diagonal(dim1=-2, dim2=-1).mean(-1)


members = ensemble_uncertainty(*robustness.ensemble("as in training"))  # of three nets
claims = {
    "map": (found, width), "map less target": (found, less),
    "dropout, middle": dropped["middle", "as in training"],
    "dropout, head": dropped["head", "as in training"],
    "ensemble, disagreement": (members.mean, per_axis(members.epistemic)),
    "ensemble, with its maps": (members.mean, per_axis(members.total)),
}

# %%
def scored(points, variance):
    """Expected and real OKS of each person, both (128,)."""
    promised = (kappa**2 / (kappa**2 + variance)).mean(1)
    return promised, torch.exp(-epe(points, xy) ** 2 / (2 * kappa**2)).mean(1)


follows, promise, real = {}, {}, {}
for name, claim in claims.items():
    expected, observed = scored(*claim)
    follows[name] = spearman(expected, observed)
    promise[name], real[name] = expected.mean().item(), observed.mean().item()
    assert 0.2 < follows[name] < 0.85 and 0.7 < real[name] < 0.82
print("Spearman of expected and real OKS: above 0.2 for all six")
assert follows["map less target"] > follows["map"] + 0.03 and follows["map less target"] > 0.6
print("map less target: above 0.6, and more than 0.03 above the map")
ours = ("map less target", "ensemble, with its maps")
assert min(follows[k] for k in ours) > max(follows[k] for k in follows if "dropout" in k) + 0.05
assert min(follows, key=follows.get) == "dropout, head" and follows["dropout, head"] < 0.5
print("both above those of dropout by more than 0.05; lowest is dropout before the last layer")

# %%
for where, net in with_dropout.items():  # the same network and points, two claims
    at, by_map = robustness.answers(net, image)  # its map's variance less the target's
    assert torch.allclose(at, dropped[where, "as in training"][0])
    own_map, its_dropout = spearman(*scored(at, by_map)), follows[f"dropout, {where}"]
    assert own_map > its_dropout + 0.05
    print(f"net with dropout, {where}: its map is ahead of its dropout by more than 0.05")

# %%
fig, (ax,) = draw.axes(height=3.0)
for k, name in enumerate(claims):
    ax.plot([promise[name], real[name]], [-k, -k], color="0.7", zorder=0)
ax.plot(list(real.values()), [-k for k in range(6)], "o", color=draw.RED, label="OKS")
ax.plot(list(promise.values()), [-k for k in range(6)], "s", color=draw.BLUE, label="expected")
for k, name in enumerate(claims):
    ax.text(1.02, -k, f"{follows[name]:.1f}", va="center")
ax.set(xlim=(0.4, 1.08), xlabel="mean over 128 people; right: Spearman's correlation")
ax.set_yticks([-k for k in range(6)], labels=list(claims))
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "Mean expected and mean real OKS for six claims. Real OKS is near 0.77 for all. The "
               "map expects 0.5, less the target's variance near 0.67, the ensemble with its maps "
               "near 0.65; dropout and the ensemble's disagreement expect 0.88 to 0.99.")
assert all(abs(promise[name] - real[name]) > 0.05 for name in claims)
assert promise["dropout, middle"] > 0.97 and promise["map"] < 0.55
print("mean expected OKS: dropout in the middle above 0.97, the map below 0.55; "
      "real: 0.70 to 0.82")

# %% [markdown]
# *One network or ensemble each, 128 people as in training.*
#
# All six claims go with OKS on these people, some more, some less, and none of them is right in size, by more than 0.05 of OKS: the map promises too little, dropout in the middle too much. These are two
# questions, as in the explorer. Is it luck of these 128? Draw 128 of them with replacement, again and again:

# %%
draws = torch.Generator().manual_seed(4)
pairs = {name: scored(*claims[name]) for name in ("map", "map less target", "dropout, head")}
wins = dict.fromkeys(("map", "dropout, head"), 0)
for _ in range(200):
    again = torch.randint(128, (128,), generator=draws)
    value = {name: spearman(a[again], b[again]) for name, (a, b) in pairs.items()}
    for name in wins:
        wins[name] += value["map less target"] > value[name]
assert all(n >= 190 for n in wins.values())
print("the map less its target is ahead of the map, and of dropout before the last layer, "
      "in at least 190 of 200 draws")

# %% [markdown]
# **Takeaway.** If a claim holds, the expected OKS is $\kappa^2 / (\kappa^2 + v)$, 0.500 at $v = \kappa^2$. Whether variances go with OKS depends on who gets them, and their histogram cannot show it. On trained networks all six claims
# did here, the map less its target above 0.6; in the two networks that have both, dropout less well than the map, by more than 0.05. Practice: [`expected_oks`](../exercises/robustness/robustness.ipynb).

# %% [markdown]
# ## 4.9 Is the claim right in size?
#
# *36 minutes*
#
# An order needs no size, a promise does: "within 3 px, nine times of ten". Claims that are all too large or all too small by one factor can be mended with a few labeled pictures that no training has seen. How would you find the factor?
#
# > **Predict.** One way: the factor that makes the errors most likely. Another: the one with which half of the errors lie inside the ellipses that claim half. On a well-trained network, do both find much the same factor?
#
# With $e$ the error in px and $S$ the claimed covariance in px², $d^2 = e^\top S^{-1} e$ has no unit. If the claim is Gaussian and holds, the ellipse that holds the truth with probability $q$ is
#
# $$e^\top S^{-1} e \le -2 \ln(1 - q)$$
#
# and the **reliability curve** is the share of truths inside it, against $q$. The mean distance of the curve from the diagonal is the **expected calibration error** (ECE). The two factors for all variances are
#
# $$f_\text{likelihood} = \tfrac12 \operatorname{mean} d^2, \qquad f_\text{median} = \frac{\operatorname{median} d^2}{2 \ln 2}$$

# %%
errors = torch.tensor([[0.5, 0.0], [1.0, 1.0], [0.0, 2.0], [3.0, 0.0], [1.0, 0.0]])  # px
claimed_v = torch.tensor([1.0, 1.0, 4.0, 1.0, 0.01])  # px² on each axis
d2 = errors.square().sum(-1) / claimed_v
inside = [(d2 <= -2 * math.log(1 - q)).double().mean().item() for q in (0.25, 0.5, 0.75)]
print("d²:", [round(value, 2) for value in d2.tolist()])
print(f"inside the ellipses of 0.25, 0.5, 0.75: {inside}")
factors = d2.mean() / 2, d2.median() / (2 * math.log(2))
print(f"factor by likelihood {factors[0]:.1f}, by the median {factors[1]:.1f}")

# %%
from posebook.uncertainty import expected_calibration_error, point_reliability, scale_variances

curve = point_reliability(errors, claimed_v, levels=3)
assert torch.allclose(curve.observed.double(), torch.tensor(inside).double())
for fit, by_formula in zip(("likelihood", "median"), factors, strict=True):
    assert torch.allclose(scale_variances(errors, claimed_v, fit=fit), by_formula)
print(f"ECE {expected_calibration_error(curve):.3f}")

# %% [markdown]
# The last keypoint is 1 px off and claims 0.1 px: its $d^2$ of 100 is most of the mean, and nothing to the median. Now chapter 1's network, with the map's variance less the target's.
# Fit on 200 people, test on 200 others. Some maps are narrower than the target, so that they claim 0; give all claims a floor of $0.1^2$ px².

# %%
from posebook.training.data import alone


def errors_and_claims(seed, **change):
    """Errors (n, 2) px and claimed variances (n,) px² of the visible keypoints of 200 people."""
    picture, truth, level = alone(render(sample_scene(200, seed=seed, **(PEOPLE | change))))
    points, _, variance = asked(picture)
    return (points - truth)[level == 2], variance[level == 2]


fitting, testing = errors_and_claims(51), errors_and_claims(52)


def ece(error, variance, factor=1.0, floor=0.01):
    """Expected calibration error of claims times a factor, and the curve."""
    curve = point_reliability(error, factor * variance.clamp(min=floor))
    return expected_calibration_error(curve).item(), curve


# %%
fits = {"as claimed": 1.0}
for fit in ("likelihood", "median"):
    fits[fit] = scale_variances(fitting[0], fitting[1].clamp(min=0.01), fit=fit).item()
held = {fit: ece(*testing, factor) for fit, factor in fits.items()}
assert 1.5 < fits["likelihood"] and 0.4 < fits["median"] < 0.6
print("factor by likelihood above 1.5, by the median 0.4 to 0.6")
assert 0.1 < held["as claimed"][0] < 0.2 < held["likelihood"][0] and held["median"][0] < 0.06
print("ECE as claimed 0.1 to 0.2; after scaling by likelihood above 0.2, by the median below 0.06")

# %%
fig, (ax,) = draw.axes(height=3.0, width=6.5)
levels = held["median"][1].claimed
lines = {"if it held": levels} | {fit: curve.observed for fit, (_, curve) in held.items()}
draw.curves(ax, levels, lines, xlabel="claimed probability", ylabel="share inside", ylim=(0, 1))
draw.show(fig, "Reliability curves on 200 people. As claimed the share inside the ellipses lies "
               "above the diagonal, scaled by likelihood far above. Scaled by the median it "
               "follows the diagonal up to 0.6 and ends below it.")
observed = held["median"][1].observed
assert (held["as claimed"][1].observed > levels).all() and observed[-1] < 0.87
assert (held["likelihood"][1].observed > held["as claimed"][1].observed).all()
assert (observed[:5] - levels[:5]).abs().max() < 0.05

# %% [markdown]
# *Chapter 1's stored network. Fitted on 200 people as in training, tested on 200 others. Above the diagonal: claims that are too large.*
#
# The network claims variances that are too large, and the likelihood makes them larger still. Why? Look at which keypoints decide it, and at what the floor does:

# %%
error, variance = fitting
size = error.norm(dim=-1)  # px
for floor in (0.0001, 0.01, 0.25, 1.0):
    d2 = error.square().sum(-1) / variance.clamp(min=floor)
    top = d2.argsort()[-len(d2) // 100:]  # the hundredth with the largest d²
    of_all = d2[top].sum() / d2.sum()
    likely, middle = d2.mean() / 2, d2.median() / (2 * math.log(2))
    assert 0.4 < middle < 0.53
    if floor <= 0.01:
        small = size < size.quantile(0.99)  # without the hundredth with the largest errors
        assert of_all > 0.4 and size[top].median() < 2 and d2[small].mean() > 0.9 * d2.mean()
        print(f"floor {floor}: one keypoint of a hundred makes above 40 % of the mean of d²; "
              "their median error is below 2 px")
    bound = {0.0001: 50, 0.01: 1.5, 0.25: 0.6, 1.0: 0.5}[floor]
    assert likely > bound and (floor < 0.25 or likely < 0.9)
    print(f"floor {floor}: factor by likelihood above {bound}, by the median 0.40 to 0.53")

# %% [markdown]
# It is not the large errors: without the largest hundredth of them the factor is still more than 0.9 times as large. It is a few ordinary ones, below 2 px, at keypoints whose maps claim next to nothing. Whoever chooses the floor chooses the factor. The median does not notice them, and
# does not mend them either: at 0.9 the curve ends below the diagonal, since these errors, over their claims, are not Gaussian. One factor mends the size of the claims and not their shape.
#
# Does the factor hold for other pictures?

# %%
others = {"dark": {"brightness": (0.15, 0.25)}, "from behind": {"yaw": (140.0, 220.0)}}
for name, change in others.items():
    value, _ = ece(*errors_and_claims(52, **change), fits["median"])
    assert value < 0.06 if name == "dark" else value > 0.4
    print(f"{name}: ECE {'below 0.06' if name == 'dark' else 'above 0.4'}")

# %% [markdown]
# ### What would more data help?
#
# An error has two sources. **Aleatoric** is what no network could know from this picture: noise, what is covered. **Epistemic** is what this one does not know, because it saw too little; others
# that were trained on other pictures would answer otherwise. For an ensemble of $M$ networks with answers $\mu_m$ and claims $S_m$, the law of total variance adds them:
#
# $$S = \underbrace{\frac1M \sum_m S_m}_\text{aleatoric} + \underbrace{\frac1{M - 1} \sum_m (\mu_m - \bar\mu)(\mu_m - \bar\mu)^\top}_\text{epistemic}$$
#
# The smallest network there is answers with the mean of $n$ noisy labels of one place, and claims their variance. With noise $\sigma$ px on each axis, the exact answers are $\sigma^2$ and $\sigma^2 / n$:

# %%
source = torch.Generator().manual_seed(6)
for noise, n in ((1.0, 5), (1.0, 20), (1.0, 80), (2.0, 20)):
    seen_by = noise * torch.randn(4000, n, 2, generator=source, dtype=torch.float64)
    means, covariances = seen_by.mean(1), seen_by.var(1)  # of 4000 networks, (4000, 2) each
    parts = ensemble_uncertainty(means, covariances)
    aleatoric, epistemic = per_axis(parts.aleatoric), per_axis(parts.epistemic)
    assert abs(aleatoric / noise**2 - 1) < 0.06 and abs(epistemic * n / noise**2 - 1) < 0.06
    print(f"noise {noise} px, {n:2d} labels: aleatoric {noise**2:.2f}, epistemic "
          f"{noise**2 / n:.4f} px²; measured within 6 % of both")

# %% [markdown]
# Four times the labels, a quarter of the epistemic part; the aleatoric one stays. Twice the noise raises both four times.
#
# And real networks? Three ensembles of three networks each, seeds apart, trained for 250 steps: on 8192 pictures; on 256 of them; on all 8192 with noise of standard deviation 0.2 added, and tested with such noise. Stored means over the keypoints, in px² on each axis:

# %%
for condition in robustness.SOURCES:
    row = robustness.results()[f"sources: {condition}, seed 0"]
    print(f"{condition:14s}", *(f"{part} {row[part]['mean']:.1f}" for part in
                                ("aleatoric", "epistemic", "squared error")), sep="  ")
clean, few, grainy = (robustness.results()[f"sources: {condition}, seed 0"]
                      for condition in robustness.SOURCES)
ratios = {part: [row[part]["mean"] / clean[part]["mean"] for row in (few, grainy)]
          for part in ("aleatoric", "epistemic")}
print({part: [round(value, 1) for value in pair] for part, pair in ratios.items()})
assert ratios["epistemic"][0] > 5 > 1.3 > ratios["aleatoric"][0]
assert ratios["aleatoric"][1] > 1.7 and ratios["epistemic"][1] < 2
assert few["aleatoric"]["median"] < clean["aleatoric"]["median"]

# %% [markdown]
# With few pictures the epistemic part is 6.8 times as large and the aleatoric one 1.1 times; with noise they are 1.9 and 1.4 times as large. Both changes double the squared error, and the parts tell which of them was made. The names are
# no law of nature, though: what each network says is "aleatoric" is learned as well, and with few pictures its median even falls.
#
# The members of an ensemble share their pictures, and what they share they do not disagree about. The three networks of section 4.8, as in training and from behind:

# %%
for name, (_, truth, _, _) in crowd.items():
    points, variances = robustness.ensemble(name)  # (3, 128, 17, 2) px, (3, 128, 17) px²
    parts = ensemble_uncertainty(points, variances)
    total, disagree = per_axis(parts.total).mean(), per_axis(parts.epistemic).mean()
    square = (parts.mean - truth).square().mean()  # px² per axis
    assert disagree < 1 and disagree < 0.15 * total
    assert square < total < 10 if name == "as in training" else square > 5 * total
    print(f"{name}: disagreement below 1 px² and below 15 % of the claim; the squared error is "
          + ("below the claim" if name == "as in training" else "more than 5 times the claim"))

# %%
for n, member in enumerate(robustness.ensemble("from behind")[0]):
    off = epe(member, behind_xy).median()
    exchanged = epe(member[:, COCO_17.flip_order], behind_xy).median()
    assert off > 7 and exchanged < 1.7
    print(f"network {n}, from behind: more than 7 px off, with left and right exchanged below 1.7")

# %% [markdown]
# From behind they agree: all three take a back for a front, and exchange left and right. What all members share, disagreement cannot show.
#
# **Takeaway.** One factor mends the size of claims: by the median the ECE went from above 0.1 to below 0.06, while the likelihood listened to a few keypoints that claim next to nothing and made it worse, above 0.2. It mends no pictures of
# another kind: from behind the ECE stays above 0.4, and three networks agree on the wrong answer.

# %% [markdown]
# ## 4.10 What can be promised?
#
# *29 minutes, short path*
#
# No formula for the error, no trust in the network: can you still promise that a circle holds the truth nine times of ten? You can, with some labeled pictures and one
# assumption.
#
# > **Predict.** You measure how far the left wrist is off in nine pictures, and draw a circle with the largest of the nine distances around the wrist of a tenth. How often does it hold the
# truth? Do you need to know the distribution of the distances?
#
# Let ten pictures be **exchangeable**: any order of them is as likely as any other, as if drawn from one urn. Then the tenth distance is the largest of the ten with probability 1/10,
# whatever the network and the distribution (without ties). In general, with $n$ distances in px and a share $\alpha$ of failures that you accept, take as the radius
#
# $$r = \text{the } \lceil (n + 1)(1 - \alpha) \rceil\text{-th smallest of the } n \text{ distances}, \qquad 1 - \alpha \le P(\text{the circle holds}) \le 1 - \alpha + \frac{1}{n + 1}$$
#
# and infinity if there is no such one. The upper bound holds without ties. This is **split conformal prediction**: the pictures for the radius are apart from those of the training.

# %%
distances = torch.tensor([2.1, 0.4, 1.3, 0.9, 5.2, 0.7, 1.8, 3.0, 1.1])  # px, n = 9
for alpha in (0.5, 0.25, 0.125, 0.0625):
    rank = math.ceil((len(distances) + 1) * (1 - alpha))
    radius = distances.sort().values[rank - 1].item() if rank <= 9 else math.inf
    print(f"alpha {alpha}: rank {rank}, radius {radius:.1f} px")

# %%
from posebook.uncertainty import conformal_radius

ordered = distances.sort().values
for alpha, place in ((0.5, 4), (0.25, 7), (0.125, 8)):
    assert conformal_radius(distances, alpha) == ordered[place]
assert conformal_radius(distances, 0.0625).isinf()

# %% [markdown]
# Try it on three distributions that know nothing of each other: many draws of $n$ distances, each with a new one.

# %%
draws = torch.Generator().manual_seed(8)
shapes = {"uniform": lambda u: u, "exponential": lambda u: -torch.log1p(-u),
          "with a heavy tail": lambda u: (1 - u) ** -2.0}
for n, alpha in ((9, 0.125), (19, 0.125), (99, 0.125), (99, 0.0625)):
    exact = math.ceil((n + 1) * (1 - alpha)) / (n + 1)
    assert 1 - alpha <= exact <= 1 - alpha + 1 / (n + 1)
    for shape in shapes.values():
        values = shape(torch.rand(n + 1, 20_000, generator=draws, dtype=torch.float64))
        holds = values[-1] <= conformal_radius(values[:-1], alpha)
        assert abs(holds.double().mean() - exact) < 5 * (exact * (1 - exact) / 20_000) ** 0.5
    print(f"n = {n:2d}, alpha = {alpha}: promised {1 - alpha:.4f}, exactly {exact:.4f}; "
          "measured so for all three")

# %% [markdown]
# So it is 0.9 for the largest of nine, and the distribution does not matter. What is promised is a mean, over pictures to come *and* over draws of the $n$. One radius that you happen to hold may do better or worse for good. In
# the explorer, on chapter 1's network:
#
# > 1. Circles are promised to hold the truth at least 90 % of the time; where the explorer starts, these hold it in 859 of 1000 fresh pictures. Is the promise broken? Go through the *draws*, then raise *n* to 1000.
# > 2. Let other *pictures* come: dark, from behind, upside down. What becomes of the promise?
# > 3. Set *n* to 10. How small may *alpha* be? How many pictures does 0.01 take?
# > 4. Let each circle follow the width of its map. Whom does that help? Why does the nose do well from behind?

# %%
from posebook.explore import conformal

conformal.explore()

# %%
def circles(**start):
    return conformal.compute(conformal.State(**start))


for n in (100, 1000):
    kept = [circles(n=n, draw=draw).held / 1000 for draw in range(1, 11)]
    print(f"1: n = {n}: share {min(kept):.3f} to {max(kept):.3f}, mean of ten {sum(kept) / 10:.3f}")
for pictures in conformal.KINDS:
    result = circles(pictures=pictures)
    print(f"2: {pictures}: radius {result.radius:.2f} px, share {result.mean:.2f}")
radii = [f"{circles(n=10, alpha=alpha).radius:.2f}" for alpha in (0.1, 0.09)]
enough = min(n for n in conformal.SIZES if math.isfinite(circles(n=n, alpha=0.01).radius))
print(f"3: n = 10: radius {radii[0]} px at 0.10, {radii[1]} at 0.09; 0.01 takes {enough} pictures")
for keypoint in ("left wrist", "nose"):
    for pictures in ("dark", "from behind"):
        one, by_width = (circles(pictures=pictures, keypoint=keypoint, radius=scale).mean
                         for scale in conformal.SCALES)
        print(f"4: {keypoint}, {pictures}: {one:.2f}, by the map's width {by_width:.2f}")

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. It is not: some draws hold less, some more; ten of them 0.904 in the mean. With $n = 1000$ draws scatter less; that their mean is 0.909 is chance, as 1000 fresh pictures tell a share to 0.01 or so.
# 2. It breaks: 0.58, 0.08 and 0.12 instead of 0.90. These pictures could not have been among those that the radius is from. The radius is the same, and nothing in it says so.
# 3. 0.10: ten distances cut the line into 11 parts, and a new one lies beyond the largest with probability 1/11. To promise less, a circle must be infinite. 0.01 takes 99.
# 4. In the dark it helps, 0.79 instead of 0.58: the maps grow wide there. From behind it hardly does. The network exchanges left and right there, and a nose has neither.
#
# </details>
#
# The circles of all five keypoints that are stored, each with its own radius from 2000 pictures, and 1000 fresh ones of each kind:

# %%
from posebook.training import residuals

kept_apart = residuals.residuals()
share, scaled = {}, {}
for name in residuals.KINDS:
    calibrated, fresh = (kept_apart[f"{key}, error"] for key in ("calibration", name))  # (n, 5) px
    share[name] = (fresh <= conformal_radius(calibrated, 0.1)).double().mean(0)
    units = [kept_apart[f"{key}, width"] for key in ("calibration", name)]
    limit = conformal_radius(calibrated / units[0], 0.1)  # in widths of the map
    scaled[name] = (fresh <= limit * units[1]).double().mean(0)
    print(f"{name:13s}", *(f"{part.replace('_', ' ')} {value:.2f}" for part, value in
                           zip(residuals.KEYPOINTS, share[name], strict=True)), sep="  ")

# %%
fig, panels = draw.axes(2, height=2.8, sharey=True)
for ax, (title, values) in zip(panels, {"one radius": share, "radius in widths of the map":
                                        scaled}.items(), strict=True):
    for k, name in enumerate(residuals.KINDS):
        ax.plot(values[name], [-k] * 5, "o", color=draw.BLUE, alpha=0.6)
    ax.axvline(0.9, color=draw.RED)
    ax.set(xlim=(0, 1), title=title, xlabel="share of circles that hold the truth")
panels[0].set_yticks([-k for k in range(4)], labels=list(residuals.KINDS))
draw.show(fig, "Shares of circles that hold the truth, a dot for each of five keypoints, a line at "
               "the promised 0.9. As calibrated all dots lie at the line. Dark, from behind and "
               "upside down all lie left of it; by the map's width the dark ones move towards it.")
assert (share["as calibrated"] - 0.9).abs().max() < 0.04
assert all((share[name] < 0.85).all() for name in ("dark", "from behind", "upside down"))
assert (scaled["dark"] > share["dark"]).all() and (scaled["upside down"] < 0.6).all()

# %% [markdown]
# *Chapter 1's stored network, stored distances. Five keypoints: nose, left shoulder, left wrist, left hip, right ankle; $\alpha = 0.1$.*
#
# One more way to break it. The keypoints of one picture err together. Count each of 17 as a picture of its own, and nine pictures look like 153:

# %%
values = torch.rand(10, 20_000, generator=draws, dtype=torch.float64)  # nine pictures and a new one
as_many = values[:9].repeat_interleave(17, dim=0)  # the extreme: all 17 keypoints equally far off
holds = (values[-1] <= conformal_radius(as_many, 0.0625)).double().mean().item()
assert conformal_radius(values[:9], 0.0625).isinf().all() and abs(holds - 0.9) < 0.01
print(f"promised {1 - 0.0625:.4f}; nine pictures counted as 153 hold 0.90 within 0.01")

# %% [markdown]
# **Takeaway.** The $\lceil (n + 1)(1 - \alpha) \rceil$-th smallest of $n$ distances is a radius that holds with probability $1 - \alpha$ at least, whatever the network: with 100 pictures 0.904 of fresh ones over ten draws, promised 0.90. It is a promise about
# exchangeable pictures: dark it was 0.58, from behind 0.08. Practice: [`conformal_radius`](../exercises/robustness/robustness.ipynb).

# %% [markdown]
# ## 4.11 Can a score be low?
#
# *26 minutes*
#
# A softmax has to put its 1 somewhere, also where nobody is. But it can spread it. So take a score from the map, and hope that it is low where there is nothing to find.
#
# > **Predict.** For which of these can chapter 1's network tell the two apart: people and empty pictures, both plain; small people in clutter and clutter alone; people and shuffled body parts of other people as large; small people in clutter and
# shuffled parts of large people?
#
# A score $c$ tells pictures with somebody from pictures without if it is higher where somebody is. For each threshold there is a **true positive rate**, the share of pictures with somebody above it, and a **false
# positive rate**, that of pictures without. One against the other is the **ROC curve**, and the area under it (AUC) is
#
# $$\text{AUC} = P(c_\text{with} > c_\text{without}) + \tfrac12 P(c_\text{with} = c_\text{without})$$
#
# for one picture of each drawn by chance: 1 if all are told apart, 1/2 if the score says nothing, below 1/2 if it is higher where nobody is.

# %%
from posebook.training.robustness import roc_area

with_somebody, without = torch.tensor([0.9, 0.7, 0.4]), torch.tensor([0.5, 0.4])
pairs = [(a > b) + 0.5 * (a == b) for a in with_somebody for b in without]
by_pairs = (sum(pairs) / len(pairs)).item()
points = [((without >= t).double().mean().item(), (with_somebody >= t).double().mean().item())
          for t in (1.0, 0.9, 0.7, 0.5, 0.4)]  # false and true positive rate at each threshold
area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(points[:-1], points[1:], strict=True))
print(f"AUC by pairs {by_pairs:.3f}, under the curve {area:.3f}")
assert abs(by_pairs - area) < 1e-6 and abs(roc_area(with_somebody, without) - area) < 1e-6

# %% [markdown]
# Four tests of 256 pictures with and 256 without. Scores of a map are its **peak**, the highest cell of the softmax, and its **narrowness**, minus the variance less the target's; each is averaged over the 17 keypoints.

# %%
tests = robustness.presence_tests()  # names to (pictures with, pictures without)
said = {name: [robustness.presence_scores(plain_net, batch[0]) for batch in pair]
        for name, pair in tests.items()}
areas = {name: {score: roc_area(*(one[score].mean(1) for one in pair)) for score in pair[0]}
         for name, pair in said.items()}
for score in ("peak", "narrowness"):
    assert areas["plain"][score] > 0.98 and areas["scrambled"][score] > 0.95
    assert 0.65 < areas["clutter"][score] < 0.87 and areas["small or scrambled"][score] < 0.55
assert areas["small or scrambled"]["narrowness"] < 0.3
print("both scores: plain pictures above 0.98, people against shuffled parts as large above 0.95,")
print("small people against clutter alone 0.65 to 0.87, against large shuffled parts below 0.55;")
print("there narrowness is below 0.3")

# %%
titles = ("somebody", "nobody", "small, in clutter", "clutter", "shuffled")
pick = [tests["plain"][0], tests["plain"][1], *tests["clutter"], tests["scrambled"][1]]
draw.show(draw.people(torch.stack([batch[0][3] for batch in pick]) / 255, None, COCO_17,
                      titles=titles),
          "Five pictures of 64 x 64 px: a person on a plain background, a plain background alone, "
          "a small person beside large bars and boxes, other boxes alone, and the parts of a body "
          "strewn about beside boxes.")

# %% [markdown]
# *The fourth of 256 pictures of each kind.*
#
# A plain empty picture is easy, and so are shuffled parts against people of their size. Small people in clutter are not: compared with shuffled parts of large bodies, the network
# is about as often surer of the parts as of the people, and by the width more often. So no single threshold serves all of them.
#
# ### What no measure notices
#
# Now all measures of this chapter on the same question: which pictures are unlike the training? Upside down and from behind, against pictures as in training. Each measure is averaged over a picture's keypoints, and AUC is
# the probability that the strange picture is the one of which it is less sure.

# %%
def measures(name):
    """Of each picture of a world: six measures of how unsure something is."""
    picture = robustness.world(name)[0] / 255
    parts = ensemble_uncertainty(*robustness.ensemble(name))
    _, _, map_less = asked(picture)
    values = {"map less target": map_less, "dropout, head": dropped["head", name][1],
              "dropout, middle": dropped["middle", name][1],
              "ensemble, disagreement": per_axis(parts.epistemic),
              "ensemble, with its maps": per_axis(parts.total),
              "lowness of the peak": -robustness.presence_scores(plain_net, picture)["peak"]}
    return {key: value.mean(1) for key, value in values.items()}


# %%
for where in with_dropout:
    dropped[where, "upside down"] = by_dropout(where, robustness.world("upside down")[0] / 255)
usual = measures("as in training")
for name, low, high in (("from behind", 0.5, 0.72), ("upside down", 0.9, 1.0)):
    strange = measures(name)
    noticed = {key: roc_area(strange[key], usual[key]) for key in usual}
    assert all(low < value <= high for value in noticed.values())
    print(f"{name}: AUC of all six {low} to {high}")

# %% [markdown]
# Upside down is noticed by all of them. From behind by none: some weak sign is left, far too weak to refuse a picture by. Section 4.9 showed what the networks see there: the joints, with left and right exchanged. What would show the error is labels for such
# pictures.
#
# ### What helps
#
# Give the network something else to say: a second head with one logit per keypoint, *is it to be seen?*, trained for 200 steps by cross-entropy beside the map. Three trainings differ in one thing, the pictures without people that are added: none; empty
# scenes; empty scenes and shuffled parts. Three seeds each, stored:

# %%
presence = {"scores": {}, "median error": {}}
for name in ("plain", "clutter", "scrambled", "small or scrambled"):
    presence["scores"][name] = list(robustness.summary(
        "presence", lambda row, name=name: row["areas"][name]["visibility"]))
    print(name, *(f"{line['condition']}: {line['mean']:.2f} ± {line['half']:.2f}"
                  for line in presence["scores"][name]), sep="; ")
cost = list(robustness.summary("presence", lambda row: row["errors"]))
print("median error", *(f"{line['condition']}: {line['mean']:.2f} px" for line in cost), sep="; ")

# %%
fig, (ax,) = draw.axes(height=2.8)
for k, name in enumerate(presence["scores"]):
    for line, color, up in zip(presence["scores"][name], (draw.BLUE, draw.ORANGE, draw.RED),
                               (0.2, 0.0, -0.2), strict=True):
        ax.errorbar(line["mean"], up - k, xerr=line["half"], fmt="o", color=color,
                    label=None if k else f"trained with {line['condition']}")
    label = None if k else "chapter 1, peak"
    ax.plot(areas[name]["peak"], 0.35 - k, "|", color="0.3", label=label)
ax.set(xlabel="AUC", xlim=(0, 1.05))
ax.set_yticks([-k for k in range(4)], labels=list(presence["scores"]))
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
draw.show(fig, "AUC in four tests for three trainings and the peak of chapter 1. All are near 1 "
               "for plain pictures and above 0.8 for clutter and shuffled parts, but for the peak "
               "in clutter. In the last test only the training with shuffled parts is above 0.5.")

# %% [markdown]
# *Dots: the visibility logit, averaged over a picture's keypoints; mean over three seeds and 95 % interval. "Scrambled": shuffled parts. Gray: the peak of chapter 1's map.*

# %%
last = {line["condition"]: line["mean"] for line in presence["scores"]["small or scrambled"]}
assert last["people"] < 0.5 and last["nobody"] < 0.5 and last["nobody, scrambled"] > 0.8
best = {name: max(lines, key=lambda line: line["mean"])["condition"]
        for name, lines in presence["scores"].items()}
assert best["clutter"] == "nobody" and best["scrambled"] == "nobody, scrambled"
means = {line["condition"]: line["mean"] for line in presence["scores"]["scrambled"]}
assert means["nobody"] < means["people"] < means["nobody, scrambled"]
assert [line["mean"] for line in cost] == sorted(line["mean"] for line in cost)
with_head = variants.stored("visibility")
pair = [robustness.presence_scores(with_head, robustness.world(name)[0])["visibility"].mean(1)
        for name in ("as in training", "from behind")]
assert 0.5 < roc_area(*pair) < 0.75
print("from behind, against pictures as in training: AUC of the new head 0.50 to 0.75")

# %% [markdown]
# Pictures without people teach the network about their own kind. With empty scenes it is best at clutter, and worse at shuffled parts than without them; with shuffled parts it is best at those. People from behind, whom nobody showed it, it
# hardly notices. And the map pays: its error rises with each kind that is added (in the same number of steps, fewer pictures show people). A score can be low where training has shown what low is for.
#
# **Takeaway.** Chapter 1's map tells a plain picture with nobody from one with somebody, AUC above 0.98, but not small people in clutter from large shuffled parts, below 0.55. A new head trained without such parts does no better, 0.37 on average;
# trained with them it reaches 0.89. From behind all six measures stay between 0.5 and 0.72.
