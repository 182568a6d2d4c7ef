"""Claim C3: the noise rate up to which wrong labels can be told (docs/theory.md, section 6.4).

Nets are trained on a grid of noise rates and eigenvalue ratios that straddles the recoverability
threshold ρ*(r): below it they have every label right at some step, above it at none.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="threshold",
    statement=(
        "Wide nets have every label right at some step of training on labels of which the same "
        "share is wrong in every cluster exactly if this noise rate is below ρ* = "
        "(r − 2)/(2(r − 1)), r being the NTK's ratio of information to noise eigenvalue; "
        "self-distillation recovers the labels on the same side of ρ* only."
    ),
    formulas=(
        "ρ* = (r − 2) / (2(r − 1)),  r = λ_+/λ_−",
        "all right at step t iff g_+(t)/g_−(t) > 2(1−ρ)/(1−2ρ);  the ratio falls from r at t = 1",
        "independent flips: the noisiest cluster decides, P(all right) = P(Bin(s, p) < ρ* s)^K",
        "relative margin at t = 1: [(1−2ρ)r − 2(1−ρ)] / sqrt((1−2ρ)²r² + 4ρ(1−ρ))",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ of wrong labels in each",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
        "the relative margin exceeds the nets' relative deviation in most cells, and on both sides",
    ),
    derivation=(
        "A flipped point is right while the retrieved signal outweighs the retrieved noise, "
        "g_+/g_− > 2(1−ρ)/(1−2ρ). That ratio is r at the first step and falls strictly, so the "
        "first step decides, at any learning rate. Labels that are right there stay right when "
        "the net is taught its own; labels that are wrong there are taught for ever "
        "(docs/theory.md, sections 6.4, 6.7 and 7.4)."
    ),
    source="arXiv 1910.01255, abstract, claim C3; derivation: docs/theory.md, section 6.4",
    paper_claims={
        "C3": "when noisy labels can be refined at all; clusters with the same share of wrong "
        "labels, and with independent ones in the kernel limit",
    },
    knobs=frozenset({"seeds", "widths", "clusters", "points", "ratio", "learning_rate", "dtype"}),
    controls=("odd-clusters", "low-ratio", "whole-clusters"),
    presets=("quick", "standard", "wide", "paper"),
    run=deferred("ntk_theory.claims.threshold.run:run"),
    predict=deferred("ntk_theory.claims.threshold.plan:predict"),
    panels={
        "recovery-over-ratio": deferred("ntk_theory.claims.threshold.picture:recovery_over_ratio"),
        "recovery-over-width": deferred("ntk_theory.claims.threshold.picture:recovery_over_width"),
        "first-margins": deferred("ntk_theory.claims.threshold.picture:first_margins"),
    },
)
