"""Claim C6: self-distillation separates the points with a margin (docs/theory.md, section 7.5).

Nets of growing width are trained on noisy clusters by self-distillation, by plain training to the
end, and by plain training up to its best margin. Their margins on the training points and on fresh
points of the same clusters are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="margin",
    statement=(
        "Self-distillation brings the margin of every training point to 1, flipped ones included, "
        "where plain training has at most 1 − 2ρ at its best step and −1 in the end; on fresh "
        "points of the same clusters it reaches 1 − 1/r, where plain training of the infinitely "
        "wide net has at most (1 − 2ρ)(1 − 1/r)."
    ),
    formulas=(
        "min_i y_i u_i = 1 + E − 2(1−ρ) q → 1;  plain training: at most 1 − 2ρ, in the end −1",
        "clean points 1 + E + 2ρq, flipped points 1 + E − 2(1−ρ)q: two atoms",
        "fresh points of the training clusters: y f(x) = (1 − 1/r)(1 + E)",
    ),
    assumptions=(
        "equicorrelated clusters with the same share ρ of flipped labels in each, ρ < ρ*",
        "outputs start at zero; η <= 1/λ_max; the observed labels fade out after a burn-in",
        "all signs right at every step after the burn-in, with more than the nets' deviation left",
        "fresh points have the cosines of the training points: further rows of the same design",
    ),
    derivation=(
        "Under the sign premise three numbers a step describe all outputs (section 7.2), which "
        "gives the margins; plain training retrieves g of the labels and cannot pass 1 − 2ρ "
        "(section 6.2). The kernel vector of a fresh point is constant on clusters, so it sees the "
        "information part alone, times λ_+ − λ_− over λ_+ (section 7.5). Nets deviate by O(m^-1/2) "
        "(section 9), which the narrower widths bound (section 11)."
    ),
    source="arXiv 1910.01255, abstract, claim C6; derivation: docs/theory.md, section 7.5",
    paper_claims={
        "C6": "the margin itself, on training points and on fresh points of the same clusters"
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
    controls=("plain-training", "soft-targets", "constant-weight", "new-cluster"),
    presets=("quick", "standard", "wide", "paper"),
    run=deferred("ntk_theory.claims.margin.run:run"),
    predict=deferred("ntk_theory.claims.margin.plan:predict"),
    panels={
        "least-margin": deferred("ntk_theory.claims.margin.picture:least_margin"),
        "distribution": deferred("ntk_theory.claims.margin.picture:distribution"),
    },
)
