"""Closed forms that the chapters check against measurement: ``from posebook import theory``, then ``theory.bump_sums``.

Tensors are float64. Those of chapter 1 are in :mod:`~posebook.theory.representations`, of chapter 2 in
:mod:`~posebook.theory.decoding`, of chapter 4 in :mod:`~posebook.theory.robustness`, of chapter 5 in
:mod:`~posebook.theory.applications`.
"""

from posebook.theory.applications import StereoStd, gate_power, marker_error, reprojection_rms, stereo_std
from posebook.theory.decoding import (
    ASYMMETRY_EXPONENTS,
    ENTROPY_CROSSOVER,
    Distance,
    ErrorStats,
    Spread,
    alias_amplitude,
    alias_error,
    alias_rms,
    argmax_distance,
    argmax_error,
    asymmetry_bias,
    background_pull,
    border_bias,
    clamped_bias,
    clipped_offset_rms,
    dark_asymmetry_bias,
    dithered_bias,
    effective_votes,
    gaussian_entropy,
    integer_label_bias,
    misjudged_inflation,
    naive_limit,
    naive_variance,
    noise_variance,
    offset_break_even,
    optimal_variance,
    optimal_weight,
    overconfidence,
    quarter_error,
    sharp_spread,
    shrunk_offset_rms,
    smooth_spread,
    three_tap_bias,
)
from posebook.theory.representations import (
    Bump,
    BumpSums,
    bump_area,
    bump_sums,
    label_noise_optimum,
    misplaced_mse,
)
from posebook.theory.robustness import (
    ClipMoments,
    Moments,
    clip_moments,
    dropout_covariance,
    dropout_kurtosis,
    dropout_moments,
    expected_oks,
    flip_moments,
    mask_noise_std,
    masked_mean_noise_std,
    sample_variance_std,
    samples_needed,
    similarity_cdf,
)

__all__ = [
    "ASYMMETRY_EXPONENTS", "ENTROPY_CROSSOVER", "Bump", "BumpSums", "ClipMoments", "Distance", "ErrorStats", "Moments",
    "Spread", "StereoStd", "alias_amplitude", "alias_error", "alias_rms", "argmax_distance", "argmax_error",
    "asymmetry_bias", "background_pull", "border_bias", "bump_area", "bump_sums", "clamped_bias", "clip_moments",
    "clipped_offset_rms", "dark_asymmetry_bias", "dithered_bias", "dropout_covariance", "dropout_kurtosis",
    "dropout_moments", "effective_votes", "expected_oks", "flip_moments", "gate_power", "gaussian_entropy",
    "integer_label_bias", "label_noise_optimum", "marker_error", "mask_noise_std", "masked_mean_noise_std",
    "misjudged_inflation", "misplaced_mse", "naive_limit", "naive_variance", "noise_variance", "offset_break_even",
    "optimal_variance", "optimal_weight", "overconfidence", "quarter_error", "reprojection_rms", "sample_variance_std",
    "samples_needed", "sharp_spread", "shrunk_offset_rms", "similarity_cdf", "smooth_spread", "stereo_std",
    "three_tap_bias",
]  # fmt: skip
