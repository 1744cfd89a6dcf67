"""The problem set *multi_person*: one file a problem."""

from posebook.checks.multi_person import average_precision, match, oks

PROBLEMS = tuple(module.PROBLEM for module in (oks, match, average_precision))
