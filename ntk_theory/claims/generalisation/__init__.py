"""Claims C6 and C7: what self-distillation does for unseen points (docs/theory.md, 7.9 and 7.10).

On noisy clusters the distance from initialisation, the generalisation measure and a margin bound of
trained nets are held against closed forms. On Gaussian clusters, overlapping ones and a power law
their accuracy on fresh points is held against the kernel limit with the measured Gram matrix, and
the side on which self-distillation ends up against the measured spectrum.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="generalisation",
    statement=(
        "Self-distilled nets stay as near to their start as clean labels allow, where memorising "
        "takes a way that grows with the noise; on fresh points they need no stopping time to be "
        "ahead of the memorised net; they are ahead of the best stopping time on Gaussian clusters "
        "at ρ = 0.4, whose measured spectrum separates information from noise, and, in the kernel "
        "limit, which nets follow within their scatter, behind it on overlapping clusters and "
        "power laws, separating or not."
    ),
    formulas=(
        "‖W_T − W_0‖² = uᵀH⁻¹u = n[(1+E)²/λ_+ + 4ρ(1−ρ)q²/λ_−]",
        "measure √(2uᵀH⁻¹u/n): √(2/λ_+) for clean labels, 4ρ(1−ρ)/λ_− more under the root if noisy",
        "P(wrong) <= share with margin <= γ  +  measure/γ  +  √(log(1/δ)/2n)",
        "separated: r_eff = (tr H⁻¹/n)‖y‖²/(yᵀH⁻¹y) > r* = 1 + 1/(1 − ρC/(C−1))",
    ),
    assumptions=(
        "for the norms: those of `convergence`, on equicorrelated clusters",
        "for the bound: independent training points, and a norm and a margin fixed beforehand",
        "for the families: schedule and stopping times in units of the measured spectrum",
        "for the lead over every stopping time: r_eff > r* on the training points",
        "which does not suffice: a power law of exponent 2 has it, and stopping is ahead",
        "and enough noise: ρ = 0.4 here; below some 0.15 the best stopping time is ahead",
    ),
    derivation=(
        "Linearised, the weights that produce outputs u are W_0 + J'H^-1 u, whose length is "
        "sqrt(u'H^-1 u); on clusters the three numbers of section 7.2 give it, and the measure. "
        "The bound is that of the Rademacher complexity of a ball, proved in section 7.9 with its "
        "constants for the kernel limit; it is evaluated at the nets' norm and margin, not claimed "
        "for them. Off the symmetric design accuracy has no closed form: the recursion with the "
        "measured kernel predicts it, and r_eff, the squared measure of noise over that of the "
        "clean labels, its side (section 7.10, a heuristic)."
    ),
    source=(
        "arXiv 1910.01255, abstract, claims C6 and C7; derivation: docs/theory.md, sections 7.9 "
        "and 7.10"
    ),
    paper_claims={
        "C6": "norm and measure that a larger margin comes with; the bound is often vacuous",
        "C7": "synthetic data, no images: ahead of the memorised net on three families; of the "
        "best stopping time on one, Gaussian clusters, behind it on overlapping ones and on two "
        "power laws, so that stopping is needed there",
    },
    knobs=frozenset(
        {
            "clusters",
            "cross_cosine",
            "dtype",
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
    controls=("soft-targets", "late-burn-in", "random-labels"),
    run=deferred("ntk_theory.claims.generalisation.run:run"),
    predict=deferred("ntk_theory.claims.generalisation.plan:predict"),
    panels={
        "measure": deferred("ntk_theory.claims.generalisation.picture:measure"),
        "test-error": deferred("ntk_theory.claims.generalisation.picture:test_error"),
        "stopping-time": deferred("ntk_theory.claims.generalisation.picture:stopping_time"),
    },
)
