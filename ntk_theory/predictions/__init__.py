"""Closed forms: what theory predicts, computed without any kernel matrix or network.

Nothing in this package is shared with the measuring side (`kernels`, `spectrum`, `network`,
`targets`, `training`); their agreement is therefore evidence. Every function names the section of
docs/theory.md that proves it.

Conventions: angles in radians; eigenvalues are those of the n x n Gram matrix (not divided by n);
curves are indexed by the step t = 0..T, and `weights[t]` is the weight of the observed labels in
the step from t to t + 1.
"""

__all__ = [
    "ClusterSpectrum",
    "ErrorCurve",
    "TreeSpectrum",
    "block_recursion",
    "circle_eigenvalues",
    "cluster_angle",
    "cluster_spectrum",
    "initial_output_samples",
    "lazy_width",
    "memorisation_time",
    "ntk_gap",
    "ntk_value",
    "plain_training",
    "recoverability_threshold",
    "self_distillation",
    "soft_self_distillation",
    "tree_angles",
    "tree_spectrum",
]

from ntk_theory.predictions.blocks import block_recursion, initial_output_samples
from ntk_theory.predictions.curves import (
    ErrorCurve,
    plain_training,
    self_distillation,
    soft_self_distillation,
)
from ntk_theory.predictions.scales import (
    lazy_width,
    memorisation_time,
    recoverability_threshold,
)
from ntk_theory.predictions.spectra import (
    ClusterSpectrum,
    TreeSpectrum,
    circle_eigenvalues,
    cluster_angle,
    cluster_spectrum,
    ntk_gap,
    ntk_value,
    tree_angles,
    tree_spectrum,
)
