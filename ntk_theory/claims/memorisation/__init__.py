"""Claims C1 and C2: plain training learns, then memorises (docs/theory.md, sections 6.2 to 6.7).

Nets are trained on the observed labels alone, for several noise rates and eigenvalue ratios. Their
first wrong sign and, in one reference case, their whole error curve are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="memorisation",
    statement=(
        "Wide nets trained on noisy labels first approach the clean labels and then memorise the "
        "wrong ones: their error falls to one minimum and rises to 2√ρ, and the step of their "
        "first wrong output follows from the noise rate and the eigenvalues of the NTK."
    ),
    formulas=(
        "‖u_t − y‖²/n = (1 − (1−2ρ) g_+)² + 4ρ(1−ρ) g_−²,  g_λ(t) = 1 − (1 − ηλ)^t",
        "it falls to one minimum above (2ρ)² and rises to 4ρ",
        "first wrong step: least t ≥ 1 with (1−2ρ) g_+(t) ≤ 2(1−ρ) g_−(t)",
        "which is at most ⌈t_mem⌉, t_mem = log(2(1−ρ)) / −log(1−ηλ_−)",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ of wrong labels in each",
        "ρ < ρ* = (r − 2)/(2(r − 1)), so that there is a right step before the first wrong one",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "The kernel retrieves g_λ(t) of the labels along an eigenvector: the clean part of the "
        "observed labels along λ_+, the wrong labels' contrasts along λ_−. The margin of a flipped "
        "point over the size of the outputs falls strictly, so outputs within ν of theory go wrong "
        "first while the predicted relative margin is within ±ν; ν is what narrower nets let "
        "expect (docs/theory.md, sections 6.2, 6.4 and 6.7)."
    ),
    source="arXiv 1910.01255, abstract, claims C1 and C2; derivation: docs/theory.md, section 6.7",
    paper_claims={
        "C1": "information before noise, seen in the error and the signs of trained nets",
        "C2": "what a stopping time gains, and until when; the teacher itself, no student",
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
            "learning_rate",
            "dtype",
        }
    ),
    controls=("hard-self-distillation", "whole-clusters", "fading-soft-targets"),
    presets=("quick", "standard", "wide", "paper"),
    run=deferred("ntk_theory.claims.memorisation.run:run"),
    predict=deferred("ntk_theory.claims.memorisation.plan:predict"),
    panels={
        "error-curve": deferred("ntk_theory.claims.memorisation.picture:error_curve"),
        "first-wrong-step": deferred("ntk_theory.claims.memorisation.picture:first_wrong_step"),
    },
)
