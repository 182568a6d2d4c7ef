"""Claim C1: information is retrieved before noise (docs/theory.md, sections 6.1 and 6.5).

Nets of growing width are trained on the noisy labels of four designs. Their outputs are projected
on the eigenspaces of the limiting NTK and compared, step by step, with 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="air",
    statement=(
        "Plain training of a wide two-layer ReLU net on noisy labels retrieves their component "
        "along an NTK eigenspace of eigenvalue λ as 1 − (1 − ηλ)^t; as clean labels lean to the "
        "top eigenspaces and noise does not, information is ahead of noise at every step."
    ),
    formulas=(
        "retrieved share of an eigenspace: g_λ(t) = 1 − (1 − ηλ)^t",
        "half-time of noise over that of information = log(1 − ηλ_+) / log(1 − ηλ_−)",
        "R_t(clean) − E R_t(noise) = Σ_i (w_i − 1/n) g_{λ_i}(t) >= 0",
    ),
    assumptions=(
        "zero initial output",
        "η < 1/λ_max, so that no eigenspace overshoots",
        "the top k eigenvectors hold at least k/n of the clean labels' energy, for every k",
        "distinct, not parallel inputs (on a circle: an odd number of points)",
        "nets wide enough that fitting the noise is a small movement",
        "power law: its eigenvalues are measured, not in closed form",
    ),
    derivation=(
        "In the kernel limit the outputs are (I − (I − ηH)^t) ỹ, diagonal in the eigenvectors of "
        "H (section 6.1). Summation by parts turns the difference of the two shares into a sum of "
        "the excess of the clean labels' energy in the top k eigenvectors times the steps of g, "
        "which are not negative (section 6.5)."
    ),
    source=(
        "arXiv 1910.01255, abstract, claim C1; derivation: docs/theory.md, sections 6.1 and 6.5"
    ),
    paper_claims={
        "C1": "eigenspaces of the limiting NTK; labels ±1; clusters, tree, power law and circle"
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
    controls=("whole-clusters-flipped", "random-labels", "orthogonal-inputs"),
    presets=("quick", "standard", "wide", "paper", "cifar-mini", "cifar"),
    plans={
        preset: deferred("ntk_theory.claims.air.scaled:ScaledPlan.described")
        for preset in ("cifar-mini", "cifar")
    },
    run=deferred("ntk_theory.claims.air.run:run"),
    predict=deferred("ntk_theory.claims.air.plan:predict"),
    panels={
        "retrieved-shares": deferred("ntk_theory.claims.air.picture:retrieved_shares"),
        "eigenspaces": deferred("ntk_theory.claims.air.picture:eigenspaces"),
        "information-ahead": deferred("ntk_theory.claims.air.picture:information_ahead"),
        "eigenvalues": deferred("ntk_theory.claims.air.picture:eigenvalues"),
        "energy": deferred("ntk_theory.claims.air.picture:energy"),
    },
)
