"""Claim C2: soft self-distillation is a learning-rate schedule (docs/theory.md, section 5).

Nets of all widths are trained twice, on their own soft prediction and on the observed labels with
the rates η α_t, and have to make the same steps; wide ones follow the closed forms, and small
steps lead to plain training that is stopped at the time η Σ α_t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from ntk_theory.verdicts import Claim, deferred

CLAIM = Claim(
    id="soft-identity",
    statement=(
        "A net taught its own current soft prediction makes exactly the steps of plain training "
        "with learning rate η α_t, at any width, for either loss and choice of layers: early "
        "stopping under another name if Σ α_t is finite; if it is not, the infinitely wide net "
        "memorises under the square loss."
    ),
    formulas=(
        "z_t = α_t ỹ + (1 − α_t) π(u_t)  ⇒  π(u_t) − z_t = α_t (π(u_t) − ỹ)",
        "retrieved share of an eigenspace: G_λ(t) = 1 − Π_{k<t} (1 − η α_k λ)",
        "small steps: G_λ → 1 − exp(−λω), ω = η Σ α_t; the difference is ½ λ² e^{−λω} Σ (ηα_t)²",
        "rounding: ‖u − u'‖ ≤ 2 (T+1) G eps [√(nC) (√m ζ + 3B) + ½ ζ √m (√n + √C) κ]",
    ),
    assumptions=(
        "the current prediction teaches, at temperature 1, and no gradient passes through it",
        "for the rounding bound: ηλ_max(H_m) <= 1, and no activation that rounding decides",
        "for the closed forms: noisy clusters, zero initial output, a wide net, ηλ_max <= 1",
    ),
    derivation=(
        "Both losses have the output gradient π(u) − z; inserting the target gives α_t times the "
        "gradient on the observed labels, so every step is one of plain training with the rate "
        "η α_t. On clusters the kernel retrieves 1 − Π(1 − η α_k λ) of each eigenspace. Two "
        "programs that follow the two descriptions differ by rounding, which steps with "
        "ηλ_max <= 1 do not enlarge as long as the activations agree (docs/theory.md, sections 5, "
        "5.1, 5.2 and 5.3)."
    ),
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 5",
    paper_claims={
        "C2": "soft targets only: what they add to plain training is a stopping time",
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
    controls=("lagged", "tempered", "hard", "tempered-cross-entropy"),
    presets=("quick", "standard", "wide", "paper"),
    run=deferred("ntk_theory.claims.soft_identity.run:run"),
    predict=deferred("ntk_theory.claims.soft_identity.theory:predict"),
    panels={
        "identity": deferred("ntk_theory.claims.soft_identity.picture:identity"),
        "soft-targets": deferred("ntk_theory.claims.soft_identity.picture:soft_targets"),
        "policies": deferred("ntk_theory.claims.soft_identity.picture:policies"),
    },
)
