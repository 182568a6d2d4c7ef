"""Claim C4: self-distillation gains what no stopping time does (docs/theory.md, section 6.3).

Nets are trained on the observed labels, at several learning rates and on soft targets, and stopped
at the step that is best in hindsight; the same nets are trained by hard self-distillation.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="separation",
    statement=(
        "No stopping time of plain training, at any learning rate without overshoot or on soft "
        "targets of any schedule, brings the outputs of a wide net closer to the clean labels than "
        "2ρ (RMS); hard self-distillation of the same nets does, by the predicted factor. The "
        "bound is one of size: hardened, or divided by their mean size, the outputs of a stopped "
        "net are closer than 2ρ, too."
    ),
    formulas=(
        "min_t ‖u_t − y‖²/n = min_t (1 − (1−2ρ) g_+)² + 4ρ(1−ρ) g_−² > (2ρ)²",
        "soft targets: G_λ(t) = 1 − Π_{k<t} (1 − η α_k λ) for g_λ(t), and the same bound",
        "self-distillation: ‖u_T − y‖²/n = E_T² + 4ρ(1−ρ) q_T²",
        "rescaled: min_t ‖u_t/mean|u_t| − y‖/√n = 2 sqrt(ρ(1−ρ)) / ((1−2ρ) r), at t = 1",
        "factor: self-distilled / best stopped = sqrt(E_T² + 4ρ(1−ρ) q_T²) / min_t ‖u_t − y‖/√n",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ < ρ* of wrong labels in each",
        "a burn-in shorter than t_mem, weights α_t → 0, every sign right after the burn-in",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "A filter with 0 ≤ g ≤ 1 shrinks the clean labels by 1 − 2ρ at least, because that is "
        "their weight in the observed ones: an error of 2ρ, to which the retrieved noise adds. "
        "Soft targets are such filters too (docs/theory.md, sections 5, 6.3 and 6.7). Hardened "
        "predictions have the full size of the labels, and remove both errors (section 7)."
    ),
    source="arXiv 1910.01255, abstract, claim C4; derivation: docs/theory.md, section 6.3",
    paper_claims={
        "C2": "what early stopping gains at most; soft targets gain no more",
        "C4": "ℓ2 error on the training inputs, against every stopping time in hindsight, which "
        "rescaled or hardened outputs of a stopped net pass as well",
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "noise_rate",
            "steps",
            "schedule",
            "learning_rate",
            "dtype",
        }
    ),
    controls=("overshoot", "soft-targets", "late-burn-in"),
    presets=("quick", "standard", "wide", "paper"),
    run=deferred("ntk_theory.claims.separation.run:run"),
    predict=deferred("ntk_theory.claims.separation.plan:predict"),
    panels={
        "error-over-time": deferred("ntk_theory.claims.separation.picture:error_over_time"),
        "best-errors": deferred("ntk_theory.claims.separation.picture:best_errors"),
    },
)
