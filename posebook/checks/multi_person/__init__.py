"""The problem set *multi_person*: one file a problem."""

from posebook.checks.multi_person import (
    ae_loss,
    average_precision,
    crop_points,
    group_tags,
    local_peaks,
    match,
    oks,
    paf_score,
)

PROBLEMS = tuple(module.PROBLEM for module in (
    local_peaks, crop_points, ae_loss, group_tags, paf_score, oks, match, average_precision))
