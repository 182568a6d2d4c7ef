"""The premise of C1 to C7: a wide net hardly moves (docs/theory.md, sections 9.4 and 9.5).

Nets of growing width are trained on noisy clusters, on the observed labels and by
self-distillation. How far they move, how many activations flip, how their NTK starts and changes
and how they leave their own linearisation is compared with the m^{-1/2} laws and their constants.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="lazy",
    statement=(
        "The wider the net, the less training moves it: the largest movement of a neuron, the "
        "share of flipped activations, the change of the empirical NTK, its distance from its "
        "limit at the start and the deviation of the net from its own linearisation all fall like "
        "m^{-1/2} to leading order; the kernel limit gives the constants, those of the change of "
        "the NTK and of the deviation with a part of order m^{-3/4}, which the exponents alone "
        "would not show."
    ),
    formulas=(
        "max_r ‖w_r(T) − w_r(0)‖ ≈ m^{-1/2} max_r ‖Xᵀ(A_r ∘ c)‖,  c = Σ_t η (z_t − u_t)",
        "‖W_T − W_0‖_F² → uᵀH⁻¹u = n [(1+E)²/λ_+ + 4ρ(1−ρ) q²/λ_−]",
        "E m ‖H_m(0) − H‖_F² = 2 Σ_ij cos²θ_ij p (1 − p),  p = (π − θ_ij)/2π",
        "√m × share of flipped activations → φ(0) E[length of ξ that changes sign]",
        "√m (u_m − u_lin)(t+1) → (I − ηH) √m (u_m − u_lin)(t) + boundary layer of step t",
        "m E‖H_m(T) − H_m(0)‖_F² → ‖mean‖_F² + scatter m^{-1/2}",
        "with |a_r| = m^γ and the rate η m^{−2γ} the exponent is −1/2 − γ",
    ),
    assumptions=(
        "H positive definite and η < 2/λ_max",
        "antisymmetric start, outputs scaled by m^{-1/2}, fixed data and number of steps",
        "under self-distillation every sign is right after the burn-in, in kernel and nets",
        "a width well above the lazy one, m >= 4 m_lazy",
    ),
    derivation=(
        "A step moves every pre-activation by O(m^{-1/2}), so only neurons within that distance of "
        "a point's hyperplane change their activation on it. They start there with the density "
        "φ(0) and follow a one-dimensional recursion driven by the kernel's own residuals, which "
        "gives the flips, the mean change of the NTK and the source of the deviation from the "
        "linearised net, to first order in m^{-1/2} and by a heuristic argument; the upper bounds "
        "O(m^{-1/2}) are proved (docs/theory.md, sections 9.2, 9.4 and 9.5)."
    ),
    source="arXiv 1910.01255, abstract, claims C1 and C5; derivation: docs/theory.md, section 9.5",
    paper_claims={
        "C1": "premise of the kernel description: plain training on noisy clusters stays lazy",
        "C5": "premise of the kernel description: so does self-distillation, at fixed horizon",
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
            "learning_rate",
        }
    ),
    controls=("mean-field", "unscaled-outputs", "independent-neurons"),
    presets=("quick", "standard", "wide", "paper"),
    run=deferred("ntk_theory.claims.lazy.run:run"),
    predict=deferred("ntk_theory.claims.lazy.plan:predict"),
    panels={
        "movement": deferred("ntk_theory.claims.lazy.picture:movement"),
        "kernel": deferred("ntk_theory.claims.lazy.picture:kernel"),
    },
)
