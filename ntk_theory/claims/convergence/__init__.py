"""Claim C5: hard self-distillation converges in ℓ2 to the clean labels (docs/theory.md, section 7).

Nets of growing width are trained on noisy clusters by self-distillation and, from the same start,
on the observed labels alone; both are compared with their closed forms, step by step.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="convergence",
    statement=(
        "A wide two-layer ReLU net that starts at zero output and is taught its own hardened "
        "prediction, while the weight of the noisy labels fades out, converges in ℓ2 to the clean "
        "labels; no stopping time of plain training does."
    ),
    formulas=(
        "u_{t+1} = u_t − η H (u_t − z_t),  z_t = α_t ỹ + (1 − α_t) sign u_t",
        "E_{t+1} = (1 − ηλ_+) E_t − 2ρ ηλ_+ α_t,  E_0 = −1",
        "q_{t+1} = (1 − ηλ_−) q_t + ηλ_− α_t,  q_0 = 0",
        "‖u_t − y‖²/n = E_t² + 4ρ(1−ρ) q_t² → 0,  plain training: ≥ (2ρ)² at every t",
    ),
    assumptions=(
        "H positive definite, η < 2/λ_max (for the 2ρ bound η ≤ 1/λ_max)",
        "ρ < ρ* = (r − 2)/(2(r − 1)) and a burn-in shorter than t_mem",
        "the weight α_t of the observed labels tends to 0",
        "the sign of every output is right at every step after the burn-in",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "While every sign is right the target is z_t = y + α_t ξ, so the error obeys "
        "e_{t+1} = (I − ηH) e_t + ηH α_t ξ: a contraction driven by a null sequence. On "
        "equicorrelated clusters it lives in three eigenspaces and reduces to the numbers E and q, "
        "which also decide whether the signs stay right. A net of width m follows the recursion up "
        "to O(m^{-1/2}) over a fixed number of steps (docs/theory.md, sections 7 and 9)."
    ),
    source="arXiv 1910.01255, abstract, claim C5; derivation: docs/theory.md, section 7",
    paper_claims={
        "C3": "taught by the current prediction, or that of an epoch before, or with restarts",
        "C4": "ℓ2 error on the training inputs, against every stopping time",
        "C5": "from antisymmetric pairs; also with several classes, other schedules, both layers, "
        "Gaussian clusters and a power law",
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "cross_cosine",
            "noise_rate",
            "steps",
            "schedule",
            "learning_rate",
            "init_scale",
            "dtype",
        }
    ),
    controls=(
        "soft-targets",
        "constant-weight",
        "above-threshold",
        "late-burn-in",
        "plain-initialisation",
        "pair-flips-above-half",
        "width-2",
    ),
    presets=("quick", "standard", "wide", "paper", "cifar-mini", "cifar"),
    plans={
        preset: deferred("ntk_theory.claims.convergence.scaled_plan:ScaledPlan.described")
        for preset in ("cifar-mini", "cifar")
    },
    run=deferred("ntk_theory.claims.convergence.run:run"),
    predict=deferred("ntk_theory.claims.convergence.plan:predict"),
    panels={
        "error-over-time": deferred("ntk_theory.claims.convergence.picture:error_over_time"),
        "deviation-over-width": deferred(
            "ntk_theory.claims.convergence.picture:deviation_over_width"
        ),
        "schedules": deferred("ntk_theory.claims.convergence.picture:schedules"),
    },
)
