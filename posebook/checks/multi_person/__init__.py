"""The problem set *multi_person*: one file a problem."""

from posebook.checks.multi_person import average_precision, group_tags, local_peaks, match, oks

PROBLEMS = tuple(module.PROBLEM for module in (local_peaks, group_tags, oks, match, average_precision))
