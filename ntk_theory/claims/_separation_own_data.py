"""`separation` on data of one's own: self-distillation against the best stopping time."""

from __future__ import annotations

__all__ = ["OWN_DATA"]

from collections.abc import Iterator, Mapping

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import rms_error
from ntk_theory.claims.separation import CLAIM
from ntk_theory.own_data import ERROR_PANEL, both_trainings, on_own_data, spectrum_panel
from ntk_theory.own_problem import PLAIN, OwnData, error_row, to_clean

OWN_DATA = on_own_data(
    CLAIM,
    statement="""On these data, too, hard self-distillation of wide nets ends closer (RMS) to the
    clean labels than any stopping time of plain training, by the factor of the kernel limit.""",
)
_ENDS, _BEST = "RMS error in the end", "best RMS error at any step"


def _errors(problem: OwnData) -> tuple[float, float]:
    """At the end of self-distillation and at the best stopping time, in the kernel limit."""
    both = problem.distilled(), problem.plain(problem.memorising)
    ended, stopped = (to_clean(rms_error, problem.clean)(one.predicted, one.points) for one in both)
    return float(ended[-1]), float(stopped.min())


@OWN_DATA.premises
def premises(problem: OwnData) -> Iterator[nt.Premise]:
    """Self-distillation settles, and ends closer in the kernel limit."""
    yield from problem.taught_premises(all_right=False)
    ended, stopped = _errors(problem)
    name = "self-distilled / best stopped in the kernel limit"
    yield nt.Premise(name, ended / stopped, ended < stopped, "< 1: few wrong labels are taught")


OWN_DATA.trainings(both_trainings)


@OWN_DATA.rows
def rows(problem: OwnData, distilled: nt.Training, plain: nt.Training) -> Iterator[nt.Row]:
    """Where both lead; half way distinguishes them."""
    ended, stopped = _errors(problem)
    apart = (stopped - ended) / 2
    yield error_row(problem, _ENDS, distilled, resolves=apart, tell=True)
    yield error_row(problem, _BEST, plain, at=nt.ALL_STEPS, reduce=np.min, resolves=apart,
                    tell=True)  # fmt: skip


@OWN_DATA.measure
def gains(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """Self-distillation against the best stopping time of the same net."""
    ends, best = run.declared.rows
    ratio = run.measured(ends) / run.measured(best)
    yield nt.Measurement("self-distilled / best stopped, largest of the widest nets", 1.0,
                         float(ratio.max()), 0.0, relation=nt.Relation.AT_MOST)  # fmt: skip
    yield run.problem.wide_enough(run, PLAIN)


@OWN_DATA.controls
def controls(problem: OwnData, _: object, rows: Mapping[int, nt.Row]) -> nt.Control:
    """Soft targets gain nothing."""
    return nt.distilled.soft_targets(problem, rows[0], name=_BEST, at=nt.ALL_STEPS, reduce=np.min)


OWN_DATA.panels = {
    "error-over-time": ERROR_PANEL,
    "spectrum": spectrum_panel,
}  # fmt: skip
