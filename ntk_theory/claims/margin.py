"""Claim C6: self-distillation separates the points with a margin (docs/theory.md, section 7.5).

Nets of growing width are trained on noisy clusters by self-distillation, by plain training to the
end, and by plain training up to its best margin. Their margins on the training points and on fresh
points of the same clusters are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import from_prediction, least_margin, mean_margin
from ntk_theory.checking.panels import Curves, Ecdf
from ntk_theory.checking.sweep import EARLY, with_nets

CLAIM = nt.Claim(
    "margin",
    statement="""Self-distillation brings the margin of every training point to 1, flipped ones
    included, and that of fresh points of the same clusters to 1 − 1/r. Plain training of the
    infinitely wide net has at most 1 − 2ρ on training points at its best step and −1 in the end; on
    fresh points at most (1 − 2ρ)(1 − 1/r), less at that step than in the end.""",
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
    derivation="""Under the sign premise three numbers a step describe all outputs (section 7.2),
    which gives the margins; plain training retrieves g of the labels and cannot pass 1 − 2ρ
    (section 6.2). The kernel vector of a fresh point is constant on clusters, so it sees the
    information part alone, times λ_+ − λ_− over λ_+ (section 7.5). Nets deviate by O(m^-1/2)
    (section 9), which the narrower widths bound (section 11).""",
    source="arXiv 1910.01255, abstract, claim C6; derivation: docs/theory.md, section 7.5",
    paper_claims={
        "C6": "the margin itself, on training points and on fresh points of the same clusters; "
        "plain training has the two in opposite order"
    },
    presets=with_nets(EARLY, 4, 6, 4, 8),
)
CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 6, "points": 10, "ratio": 8.0, "noise_rate": 0.2},
    fixed={"share": 0.5, "noise_times": 6, "held_out": 6, "init_scale": None},
)


@CLAIM.trainings
def trainings(problem: nt.NoisyClusters) -> Iterator[nt.Training]:
    """Self-distillation, plain training, and plain training up to its best margin."""
    yield problem.distilled_training()
    yield problem.plain_training()
    best = int(problem.plain.margin().argmax())
    yield problem.training("best stopping", problem.plain_recipe(best), problem.plain)


@CLAIM.premises
def premises(problem: nt.NoisyClusters) -> Iterator[nt.Premise]:
    """No sign has to be right for plain training; its best step still has to be a step."""
    best = float(problem.plain.margin().max())
    yield nt.Premise("plain training has a margin at some step", best, best > 0, "best margin > 0")


@CLAIM.rows
def rows(
    problem: nt.NoisyClusters, distilled: nt.Training, plain: nt.Training, stopped: nt.Training
) -> Iterator[nt.Row]:
    """Margins on training points, of every stopping time, and on fresh points."""
    rho, flipped = problem.noise_rate, problem.dataset.flipped
    reached, curve = float(problem.distilled.margin()[-1]), problem.plain.margin()
    top = float(curve.max())
    best: dict[str, Any] = {"at": nt.ALL_STEPS, "reduce": np.max}
    # ρ distinguishes the margin of clean labels, 1, from that of the best stopping time, 1 − 2ρ.
    yield nt.Row("least training margin", distilled, least_margin, expect=reached, resolves=rho)
    for name, which in (("flipped", flipped), ("clean", ~flipped)):
        yield nt.Row(f"mean margin of {name} points", distilled, mean_margin(which), resolves=rho)
    yield nt.Row("largest distance of a margin from its atom", distilled, from_prediction,
                 resolves=rho)  # fmt: skip
    yield nt.Row("best least margin at any step", plain, least_margin, **best, expect=top,
                 resolves=(reached - top) / 2)  # fmt: skip
    yield nt.Row("best least margin of any net of any width (bound 1 − 2ρ)", plain, least_margin,
                 **best, nets="each of every width", relation=nt.Relation.AT_MOST,
                 bound=1 - 2 * rho, resolves=2 * rho)  # fmt: skip
    yield nt.Row("least margin in the end (limit −1)", plain, least_margin,
                 expect=float(curve[-1]), resolves=1 - rho)  # fmt: skip
    # 1/(2r) distinguishes 1 − 1/r from 1; ρ the margin with E = 0 from that with E = −2ρ.
    for training, resolves in ((distilled, 1 / (2 * problem.ratio)), (stopped, rho), (plain, rho)):
        yield nt.Row("mean margin on fresh points", training, mean_margin(), on="fresh",
                     norm="rms", resolves=resolves)  # fmt: skip
    yield nt.Row("least margin on fresh points", distilled, least_margin, on="fresh", resolves=rho)


@CLAIM.controls
def controls(
    problem: nt.NoisyClusters, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    margin = rows["self-distillation: least training margin"]
    fresh = rows["self-distillation: mean margin on fresh points"]
    yield nt.Control(
        "plain-training",
        "the prediction teaches: here the observed labels do, to the end",
        fresh.under(trainings["plain training"]),
    )
    yield nt.distilled.soft_targets(problem, margin)
    constant = problem.with_schedule(nt.targets.BurnIn(problem.burn_in, nt.targets.Constant(0.25)))
    yield nt.Control(
        "constant-weight",
        "the observed labels fade out: here α_t = 0.25 for ever",
        margin.under(constant.distilled_training()),
        unmet=constant.labels_fade_out,
    )
    # Between orthogonal clusters, or with as many labels of either kind, the output there is 0.
    odd = nt.noisy_clusters(
        clusters=problem.spectrum.clusters | 1, points=problem.spectrum.points,
        ratio=problem.ratio, noise_rate=problem.noise_rate, seed=0,
        cross_cosine=max(problem.cross_cosine, 0.3), held_out=problem.held_out,
    )  # fmt: skip
    trained = odd.distilled_training()
    yield nt.Control(
        "new-cluster",
        "fresh points come from the training clusters: here from another one, labelled +1",
        fresh.under(trained, on="new", claimed=fresh.under(trained).predicted),
    )


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Least margins, and those on fresh points."""
    found = {row.title: float(run.measured(row).mean()) for row in run.declared.rows}
    return (
        f"{run.nets.count} nets of width {run.nets.widths[-1]} have a least margin of "
        f"{found['self-distillation: least training margin']:.4g} under self-distillation; plain "
        f"training has {found['plain training: best least margin at any step']:.4g} at its best "
        f"step. Fresh points: {found['self-distillation: mean margin on fresh points']:.4g}, "
        f"against {found['best stopping: mean margin on fresh points']:.4g} at that step "
        f"and {found['plain training: mean margin on fresh points']:.4g} memorised"
    )


CLAIM.panels = {
    "least-margin": Curves(
        least_margin,
        of=("plain training", "self-distillation"),
        ylabel=r"least margin  $\min_i\,y_iu_i$",
        bounds={"1 − 2ρ: bound of stopping": lambda config: 1 - 2 * config["noise_rate"]},
        more={"ylim": (-1.05, 1.05)},
        legend="lower left",
    ),
    "distribution": Ecdf(of=("plain training", "self-distillation", "best stopping")),
}
