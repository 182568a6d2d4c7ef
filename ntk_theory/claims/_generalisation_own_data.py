"""`generalisation` on data of one's own: errors on fresh points of the same source."""

from __future__ import annotations

__all__ = ["OWN_DATA"]

from collections.abc import Iterator, Mapping
from functools import partial

import ntk_theory as nt
from ntk_theory.checking.functionals import rms_error, wrong_signs
from ntk_theory.checking.panels import OverWidth
from ntk_theory.claims.generalisation import CLAIM
from ntk_theory.own_data import on_own_data, spectrum_panel
from ntk_theory.own_problem import PLAIN, OwnData

_STOPPED = "stopped at the step that is best on the training points"
_FEWEST = 10
"""Fresh points that make a test error."""

OWN_DATA = on_own_data(
    CLAIM,
    statement="""On fresh points of these data wide nets have the errors of the kernel limit:
    memorised, stopped at the best step, and self-distilled.""",
)


@OWN_DATA.premises
def premises(problem: OwnData) -> Iterator[nt.Premise]:
    """There are fresh points, and what is taught stays."""
    assert problem.fresh is not None
    count = len(problem.fresh.classes)
    yield nt.Premise("fresh points", count, count >= _FEWEST, f">= {_FEWEST}: fewer --points")
    yield from problem.taught_premises(all_right=False)


@OWN_DATA.trainings
def trainings(problem: OwnData) -> Iterator[nt.Training]:
    """Memorised, stopped in hindsight of the training points, and self-distilled."""
    long = problem.plain(problem.memorising)
    best = int(rms_error(long.predicted, long.points).argmin())
    yield problem.plain(problem.memorising, fresh=True)
    yield problem.plain(max(best, 1), _STOPPED, fresh=True)
    yield problem.distilled(fresh=True)


@OWN_DATA.rows
def rows(_: OwnData, *trainings: nt.Training) -> Iterator[nt.Row]:
    """RMS error and share of wrong predictions on the fresh points."""
    for training in trainings:
        row = partial(nt.Row, training=training, on="fresh")
        error = row("RMS error on fresh points", functional=rms_error, norm="rms")
        yield row(error.name, functional=rms_error, norm="rms", resolves=error.predicted / 2)
        # A twentieth of the points is less than what noise, or chance, makes wrong.
        yield row("test error", functional=wrong_signs, norm="own", resolves=0.05, tell=True)


@OWN_DATA.measure
def measure(run: nt.Run) -> Iterator[nt.Premise]:
    """Nets are wide enough."""
    yield run.problem.wide_enough(run, PLAIN)


@OWN_DATA.controls
def controls(
    problem: OwnData, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> nt.Control:
    """Labels that have nothing to do with the points."""
    steps = trainings[_STOPPED].recipe.steps
    order = problem.permuted()
    return nt.Control(
        "permuted-labels",
        "labels belong to their points: here every point has the labels of another one",
        rows[f"{_STOPPED}: test error"].under(
            problem.plain(steps, "permuted labels", order=order, fresh=True)),
    )  # fmt: skip


@OWN_DATA.finding
def finding(run: nt.Run) -> str:
    """Test errors of nets and of the limit."""
    said = [f"{row.training.name} {run.measured(row).mean():.3g} ({row.predicted:.3g})"
            for row in run.declared.rows if row.tell]  # fmt: skip
    return (
        f"test error of nets of width {run.nets.widths[-1]} on {len(run.problem.fresh.classes)} "
        f"fresh points (predicted): {'; '.join(said)}"
    )


OWN_DATA.panels = {"deviation-over-width": OverWidth(), "spectrum": spectrum_panel}
