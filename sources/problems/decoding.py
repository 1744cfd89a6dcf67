# %% [markdown]
# # Problems: decoding
#
# Write each function in the cell that says `raise NotImplementedError`, then run the check cell below it. The check tells you case
# by case how it went, and where it recognizes a mistake, it names it. You may call anything in torch and numpy; the one library
# function that is the answer itself is switched off while you are checked.
#
# These hold for all problems of this set:
#
# - tensors share one dtype, float32 or float64, and the result keeps it;
# - `...` stands for any number of leading axes, none included;
# - `stride`, `offset` and `tau` are plain numbers;
# - inputs are left unchanged.
#
# The text behind them: [chapter 2](../../chapters/02_decoding.ipynb).

# %%
import torch

from posebook import decode, draw
from posebook.checks import check

# %% [markdown]
# ## 1. `decode_argmax`
#
# *2 points, easy, about 10 minutes.*
#
# `decode_argmax(heatmap (..., H, W), stride, offset=0.0) -> (..., 2)`
#
# The image position, (x, y) in px, of the highest cell of each map: cell $u$ lies at $\mathrm{offset} + \mathrm{stride} \cdot u$, with
# x along the last axis. The result has the dtype of `heatmap`. Of several equally high cells, take the one with the lowest
# flat index (first row first, then first column).
#
# Every decoder that refines a peak starts here, and swapped axes or a scaled offset spoil every keypoint that follows.
#
# `posebook.decode.argmax` is related: it returns cells, yours returns pixels.

# %%
picture = torch.zeros(6, 9)
picture[2, 5], picture[2, 4], picture[3, 5] = 1.0, 0.6, 0.4
draw.show(draw.heatmaps({"stride 4: (x, y) = (20, 8) px": picture}, decode.argmax(picture)[None]),
          "Target: a map of 6 rows and 9 columns with a circle on its highest cell, row 2 and "
          "column 5, which is (20, 8) px at stride 4.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `heatmap.flatten(-2)` makes one axis of the last two; `argmax(-1)` then gives a flat index for each map.
#
# </details>
# <details><summary>Hint 2</summary>
#
# A row holds W cells, so `index // W` is the row. Which of x and y is that? Put x first, and only then go from cells to pixels.
#
# </details>

# %%
def decode_argmax(heatmap, stride, offset=0.0):
    """Image px (x, y) of the highest cell: (..., H, W) -> (..., 2)."""
    ### BEGIN SOLUTION
    w = heatmap.shape[-1]
    index = heatmap.flatten(-2).argmax(-1)
    cells = torch.stack((index % w, index // w), dim=-1).to(heatmap.dtype)
    return offset + stride * cells
    ### END SOLUTION

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
# The image position, (x, y) in px, of the mean cell under a softmax of each map: with $p = \mathrm{softmax}(z / \tau)$ over all
# H x W cells, $\hat u = \sum_u u\,p(u)$, and then $\mathrm{offset} + \mathrm{stride} \cdot \hat u$.
#
# Adding a constant to all logits of a map must change nothing, even a constant as large as 10000 (tested in float64), and also when
# one map of a batch has it and another has not. Gradients reach the logits. H = 1 is allowed.
#
# It makes a network trainable on coordinates, and it answers between the cells.
#
# `posebook.decode.soft_argmax` is related: it returns cells and knows neither stride nor offset.

# %%
rows, columns = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
logits = -((columns - 5.3) ** 2 + (rows - 2.4) ** 2) / 2
mean = decode.soft_argmax(logits)
title = f"stride 4: (x, y) = ({4 * mean[0]:.1f}, {4 * mean[1]:.1f}) px"
draw.show(draw.heatmaps({title: logits.flatten().softmax(0).view(6, 9)}, mean[None]),
          f"Target: softmax of a Gaussian's logits with a circle at its mean; {title}.")

# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Flatten the last two axes, take `torch.softmax` over the one that you get, and shape it back to (..., H, W).
#
# </details>
# <details><summary>Hint 2</summary>
#
# Summing over the rows leaves a distribution over x. Its mean is a sum of products with `torch.arange(W)`.
#
# </details>

# %%
def soft_argmax(logits, stride, tau=1.0, offset=0.0):
    """Image px (x, y) of the mean cell under a softmax: (..., H, W) -> (..., 2)."""
    ### BEGIN SOLUTION
    h, w = logits.shape[-2:]
    prob = torch.softmax(logits.flatten(-2) / tau, dim=-1).unflatten(-1, (h, w))
    x = (prob.sum(-2) * torch.arange(w)).sum(-1)
    y = (prob.sum(-1) * torch.arange(h)).sum(-1)
    return offset + stride * torch.stack((x, y), dim=-1)
    ### END SOLUTION

# %%
check("soft_argmax", soft_argmax)

# %% [markdown]
# **Predict, then run.** A map has logit 0 everywhere but in one corner, where it has logit 5. Stride 4, 8 x 8 cells. Is the answer of your
# function nearer to the corner or to the center? What about 64 x 64 cells?
