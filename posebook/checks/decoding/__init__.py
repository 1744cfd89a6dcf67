"""The problem set *decoding*: one file a problem."""

from posebook.checks.decoding import (
    anchor_decode,
    argmax_error_stats,
    asymmetry_bias,
    border_bias,
    decode_argmax,
    entropy_cov,
    flip_back,
    fuse,
    refine_dark,
    soft_argmax,
)

PROBLEMS = tuple(module.PROBLEM for module in (
    decode_argmax, soft_argmax, argmax_error_stats, border_bias, entropy_cov, asymmetry_bias, anchor_decode, fuse,
    refine_dark, flip_back))
