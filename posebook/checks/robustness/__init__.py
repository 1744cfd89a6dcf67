"""The problem set *robustness*: one file a problem."""

from posebook.checks.robustness import (
    c4_average,
    clip_moments,
    conformal_radius,
    dropout_moments,
    expected_oks,
    loss_noise_std,
    masked_loss,
    rot90_points,
)

PROBLEMS = tuple(module.PROBLEM for module in (
    rot90_points, c4_average, dropout_moments, expected_oks, masked_loss, loss_noise_std, clip_moments,
    conformal_radius))
