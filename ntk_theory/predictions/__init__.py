"""Closed forms: what theory predicts, computed without any kernel matrix or network.

Nothing in this package is shared with the measuring side (`kernels`, `spectrum`, `network`,
`targets`, `training`); their agreement is therefore evidence. Every function names the section of
docs/theory.md that proves it.

Conventions: angles in radians; eigenvalues are those of the n x n Gram matrix (not divided by n);
curves are indexed by the step t = 0..T, and `weights[t]` is the weight of the observed labels in
the step from t to t + 1. What dies out in many steps becomes 0, also where numpy is told to
raise on underflow.
"""

__all__ = [
    "BoundaryLayer",
    "Centres",
    "ClusterSpectrum",
    "ErrorCurve",
    "FiniteWidthLaw",
    "Teaching",
    "TreeSpectrum",
    "block_filter",
    "block_recursion",
    "boundary_layer",
    "chain_margin",
    "chain_threshold",
    "circle_eigenvalues",
    "cluster_angle",
    "cluster_centres",
    "cluster_gap",
    "cluster_matrix",
    "cluster_outputs",
    "cluster_spectrum",
    "crossing_of_reach",
    "dark_knowledge",
    "dark_knowledge_peak",
    "energy_dominance",
    "equivalent_learning_rates",
    "feature_gap",
    "finite_width_law",
    "first_step_crossing",
    "first_wrong_step",
    "generalisation_measure",
    "gradient_flow",
    "gram_outputs",
    "half_time",
    "half_time_ratio",
    "hardened_student_training",
    "information_ratio",
    "initial_output_samples",
    "initial_output_spread",
    "kernel_fluctuation",
    "label_confusion",
    "label_gap",
    "largest_movement",
    "law_from_starts",
    "lazy_width",
    "least_ratio",
    "linearised_distance",
    "margin_bound",
    "memorisation_time",
    "minibatch_weight",
    "movement_exponent",
    "new_cluster_output",
    "ntk_gap",
    "ntk_value",
    "overshoot_error",
    "plain_training",
    "policy_recursion",
    "random_label_spread",
    "recoverability_threshold",
    "recoverable_share",
    "recovery_error",
    "recovery_time",
    "relative_margin",
    "retrieval_filter",
    "retrieval_gap",
    "retrieval_ratio",
    "rounding_bound",
    "self_distillation",
    "small_step_gap",
    "soft_self_distillation",
    "student_distance",
    "student_training",
    "tolerated_noise",
    "tree_angles",
    "tree_outputs",
    "tree_spectrum",
    "unseen_margin",
    "whole_cluster_margin",
    "wrong_sign_share",
]

from ntk_theory.predictions.blocks import (
    block_filter,
    block_recursion,
    initial_output_samples,
    initial_output_spread,
    wrong_sign_share,
)
from ntk_theory.predictions.curves import (
    ErrorCurve,
    plain_training,
    self_distillation,
    soft_self_distillation,
)
from ntk_theory.predictions.fluctuations import (
    FiniteWidthLaw,
    Teaching,
    finite_width_law,
    law_from_starts,
)
from ntk_theory.predictions.minibatch import minibatch_weight
from ntk_theory.predictions.movement import (
    BoundaryLayer,
    boundary_layer,
    cluster_matrix,
    crossing_of_reach,
    first_step_crossing,
    kernel_fluctuation,
    largest_movement,
    linearised_distance,
    movement_exponent,
)
from ntk_theory.predictions.norms import (
    generalisation_measure,
    information_ratio,
    least_ratio,
    margin_bound,
    new_cluster_output,
    unseen_margin,
)
from ntk_theory.predictions.outputs import cluster_outputs, gram_outputs, label_gap
from ntk_theory.predictions.retrieval import (
    cluster_gap,
    energy_dominance,
    half_time,
    half_time_ratio,
    random_label_spread,
    retrieval_filter,
    retrieval_gap,
)
from ntk_theory.predictions.scales import (
    first_wrong_step,
    lazy_width,
    memorisation_time,
    overshoot_error,
    recoverability_threshold,
    recoverable_share,
    relative_margin,
    retrieval_ratio,
    whole_cluster_margin,
)
from ntk_theory.predictions.soft import (
    equivalent_learning_rates,
    gradient_flow,
    policy_recursion,
    rounding_bound,
    small_step_gap,
)
from ntk_theory.predictions.spectra import (
    ClusterSpectrum,
    TreeSpectrum,
    circle_eigenvalues,
    cluster_angle,
    cluster_spectrum,
    feature_gap,
    ntk_gap,
    ntk_value,
    tree_angles,
    tree_spectrum,
)
from ntk_theory.predictions.students import (
    chain_margin,
    chain_threshold,
    hardened_student_training,
    student_distance,
    student_training,
)
from ntk_theory.predictions.trees import (
    dark_knowledge,
    dark_knowledge_peak,
    label_confusion,
    tree_outputs,
)
from ntk_theory.predictions.zero_one import (
    Centres,
    cluster_centres,
    recovery_error,
    recovery_time,
    tolerated_noise,
)
