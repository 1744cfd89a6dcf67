"""The problem set *representations*: one file a problem."""

from posebook.checks.representations import gaussian_heatmap, hybrid_loss, integral_loss, simcc_targets

PROBLEMS = tuple(module.PROBLEM for module in (gaussian_heatmap, integral_loss, hybrid_loss, simcc_targets))
