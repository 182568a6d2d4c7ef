"""`convergence` on data of one's own: ℓ2 distance of self-distillation to the clean labels."""

from __future__ import annotations

__all__ = ["OWN_DATA"]

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import least_margin, rms_error
from ntk_theory.checking.panels import OverWidth
from ntk_theory.claims.convergence import CLAIM
from ntk_theory.distilled import LEVEL
from ntk_theory.own_data import ERROR_PANEL, both_trainings, on_own_data, spectrum_panel
from ntk_theory.own_problem import DISTILLED, PLAIN, OwnData, error_row

OWN_DATA = on_own_data(
    CLAIM,
    usual_noise=0.1,
    statement="""On these data, too, hard self-distillation of a wide net converges in ℓ2 to the
    clean labels, as the weight of the noisy labels fades out, if every label that it teaches in the
    kernel limit is right.""",
)


@OWN_DATA.premises
def premises(problem: OwnData) -> Iterator[nt.Premise]:
    """Every taught label stays, and is right."""
    yield from problem.taught_premises(all_right=True)


OWN_DATA.trainings(both_trainings)


@OWN_DATA.rows
def rows(problem: OwnData, distilled: nt.Training, plain: nt.Training) -> Iterator[nt.Row]:
    """Errors on the way, the margin, and every stopping time."""
    steps, curve = distilled.recipe.steps, rms_error(distilled.predicted, distilled.points)
    for at in (steps // 4, steps // 2, steps):
        yield error_row(problem, f"RMS error after {at} steps", distilled, at=at,
                        resolves=float(curve[at]) / 2, tell=at == steps)  # fmt: skip
    yield nt.Row("margin at the end", distilled, least_margin,
                 resolves=problem.forecast.noise_rate)  # fmt: skip
    best = float(rms_error(plain.predicted, plain.points).min())
    yield error_row(problem, "best RMS error at any step", plain, at=nt.ALL_STEPS, reduce=np.min,
                    resolves=(best - float(curve[-1])) / 2, tell=True)  # fmt: skip


@OWN_DATA.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """The deviation falls with the width, of nets that are wide enough."""
    yield run.falls(replace(run.declared.rows[0], at=nt.ALL_STEPS, reduce=np.max),
                    f"{DISTILLED}, sup over t")  # fmt: skip
    yield run.problem.wide_enough(run, PLAIN)


@OWN_DATA.controls
def controls(problem: OwnData, _: object, rows: Mapping[int, nt.Row]) -> Iterator[nt.Control]:
    """Soft targets, and labels that do not fade out."""
    end = rows[2]
    yield nt.distilled.soft_targets(problem, end)
    recipe = end.training.recipe
    schedule = nt.targets.BurnIn(problem.taught.burn_in, nt.targets.Constant(LEVEL))
    recipe = replace(recipe, distillation=nt.targets.Distillation(schedule))
    yield nt.Control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {LEVEL:g} for ever",
        end.under(nt.Training("constant weight", recipe, recipe.kernel_limit(), problem.clean)),
    )


OWN_DATA.panels = {
    "error-over-time": ERROR_PANEL,
    "deviation-over-width": OverWidth(),
    "spectrum": spectrum_panel,
}  # fmt: skip
