"""The problem set *decoding*: one file a problem."""

from posebook.checks.decoding import decode_argmax, soft_argmax

PROBLEMS = (decode_argmax.PROBLEM, soft_argmax.PROBLEM)
