"""Claim C5, "randomly initialised": how small the initial output must be (docs, section 8.1).

Nets without pairs start at a random output proportional to the scale of their weights. Over a
ladder of scales their signs after the burn-in, their final errors and the share of them that
recovers every label are compared with the predicted distribution.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="initialisation",
    statement=(
        "Self-distillation from a random initial output has an error floor made of wrong signs "
        "alone: at r = 6 it is there at scale 1 however wide the net, and vanishes faster than any "
        "power of the scale, so that a small scale converges to the clean labels as antisymmetric "
        "pairs do; at a ratio of some hundred the infinitely wide net converges from scale 1, too."
    ),
    formulas=(
        "u_0 ~ N(0, σ² κ_1),  κ_1(θ) = (sin θ + (π − θ) cos θ)/2π",
        "signs right: u_t = zero start + (I − ηH)^t u_0,  standard deviation σ s(t) at a point",
        "s(t)² = (1 − 1/s) μ_− X_−^{2t} + (1/s − 1/n) μ_+ X_+^{2t} + μ_0 X_0^{2t}/n,  X = 1 − ηλ",
        "share of wrong signs after the burn-in:  mean_i Φ(−M_i/(σ s))",
        "P(a wrong sign ever teaches) <= Σ_t Σ_i Φ(−M_i(t)/(σ s(t))) ~ exp(−c²/2σ²)",
    ),
    assumptions=(
        "H positive definite, η < 2/λ_max, and the weight of the observed labels tends to 0",
        "from a zero start every sign is right at every step after the burn-in",
        "wide nets: width at least four times the lazy one, which grows like 1/σ²",
        "independent signs of the output weights",
    ),
    derivation=(
        "While no sign differs the targets do not either, the recursion is affine in u_0, and what "
        "is left of u_0 decays like (1 − ηλ_−)^t: no floor. A wrong sign after the burn-in is "
        "taught back. During the burn-in the outputs are Gaussian, which gives the share of wrong "
        "signs in closed form and, summed over points and steps, a bound on any of them; what "
        "follows a wrong sign is computed by the block recursion (docs/theory.md, sections 8 and "
        "8.1)."
    ),
    source="arXiv 1910.01255, abstract, claim C5; derivation: docs/theory.md, section 8.1",
    paper_claims={
        "C5": "plain Gaussian initialisation of scale 2 down to 1/8; first layer, training inputs; "
        "at scale 1 most nets of this design fail"
    },
    knobs=frozenset(
        {
            "clusters",
            "cross_cosine",
            "dtype",
            "init_scale",
            "learning_rate",
            "noise_rate",
            "points",
            "ratio",
            "schedule",
            "seeds",
            "steps",
            "widths",
        }
    ),
    controls=("large-scale", "antisymmetric-pairs", "soft-targets"),
    run=deferred("ntk_theory.claims.initialisation.run:run"),
    predict=deferred("ntk_theory.claims.initialisation.plan:predict"),
    panels={
        "floor": deferred("ntk_theory.claims.initialisation.picture:floor"),
        "wrong-signs": deferred("ntk_theory.claims.initialisation.picture:wrong_signs"),
        "width": deferred("ntk_theory.claims.initialisation.picture:width"),
    },
)
