"""`memorisation` on data of one's own: which wrong labels plain training recovers, and loses."""

from __future__ import annotations

__all__ = ["OWN_DATA"]

import math
from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import LabelledPoints, margins, mean_margin, rms_error
from ntk_theory.checking.panels import Curves
from ntk_theory.checking.rows import Array
from ntk_theory.claims.memorisation import CLAIM
from ntk_theory.own_data import on_own_data, spectrum_panel
from ntk_theory.own_problem import PLAIN, OwnData, error_row

OWN_DATA = on_own_data(
    CLAIM,
    statement="""On these data, too, plain training of a wide net first recovers wrong labels and
    then memorises them: how far, and until when, follows from the measured spectrum.""",
)


def _recovered(problem: OwnData) -> NDArray[np.bool_]:
    """Points with a wrong label whose output is right in the kernel limit, at the best step."""
    plain, best = problem.plain(problem.memorising), problem.forecast.best or 1
    found = margins(plain.predicted, plain.points)[min(best, problem.memorising)] > 0
    return np.asarray(found & (problem.observed_class != problem.clean_class))


@OWN_DATA.premises
def premises(problem: OwnData) -> Iterator[nt.Premise]:
    """Some wrong label is recovered, and every observed label is reached while nets are trained."""
    some = int(_recovered(problem).sum())
    yield nt.Premise("wrong labels recovered in the kernel limit, points", some, some > 0,
                     "at the best step, one or more")  # fmt: skip
    reached = problem.forecast.memorised
    yield nt.Premise("step from which every observed label is reached in the kernel limit", reached,
                     reached is not None and reached <= problem.memorising,
                     f"within the {problem.memorising} steps of the run (--steps)")  # fmt: skip


@OWN_DATA.trainings
def trainings(problem: OwnData) -> nt.Training:
    """Plain training on the noisy labels."""
    return problem.plain(problem.memorising)


def _lost(values: Array, axis: int = -1) -> Array:
    """Steps until numbers fall below 0, between steps by a straight line; all if they never do."""
    curves = np.moveaxis(values, axis, -1)
    below = curves < 0
    first = np.where(below.any(axis=-1), below.argmax(axis=-1), curves.shape[-1] - 1)
    first = np.maximum(first, 1)
    before, after = (np.take_along_axis(curves, (first - back)[..., None], -1)[..., 0]
                     for back in (1, 0))  # fmt: skip
    fall = np.where(before > after, before - after, np.inf)
    return np.asarray(first - 1 + np.clip(before / fall, 0, 1))


def _reached(problem: OwnData, outputs: Array, points: LabelledPoints) -> Array:
    seen = points._replace(labels=problem.observed)
    return np.asarray((margins(outputs, seen) > 0).mean(axis=-1))


@OWN_DATA.rows
def rows(problem: OwnData, plain: nt.Training) -> Iterator[nt.Row]:
    """Recovered labels at their best and until they are lost, errors, and what is memorised."""
    recovered = mean_margin(_recovered(problem))
    curve, steps = recovered(plain.predicted, plain.points), plain.recipe.steps
    top = int(curve.argmax())
    height, gone = float(curve[top]), float(_lost(curve[top:]))
    row = partial(nt.Row, training=plain, functional=recovered)
    yield row(f"mean margin of the recovered wrong labels after {top} steps, at its largest",
              at=top, resolves=height / 2, tell=True)  # fmt: skip
    yield row(f"steps after that until it is lost (predicted at step {top + gone:.3g})",
              at=slice(top, None), reduce=_lost, resolves=(gone / 2, gone), tell=True)  # fmt: skip
    error = rms_error(plain.predicted, plain.points)
    best = int(error.argmin())
    rho = problem.forecast.noise_rate
    for at, resolves in ((best, rho / 2), (steps, math.sqrt(rho) - rho)):
        yield error_row(problem, f"RMS error after {at} steps", plain, at=at, resolves=resolves,
                        tell=at == steps)  # fmt: skip
    yield nt.Row(f"share of observed labels reached after {steps} steps", plain,
                 partial(_reached, problem), resolves=rho / 2)  # fmt: skip


@OWN_DATA.measure
def measure(run: nt.Run) -> Iterator[nt.Premise]:
    """Nets are wide enough."""
    yield run.problem.wide_enough(run, PLAIN)


@OWN_DATA.controls
def controls(
    problem: OwnData, trainings: Mapping[str, nt.Training], rows: Mapping[int, nt.Row]
) -> Iterator[nt.Control]:
    """Labels that have nothing to do with the points, and another learning rate."""
    steps, order = trainings[PLAIN].recipe.steps, problem.permuted()
    permuted = problem.plain(steps, "permuted labels", order=order)
    # The same labels, at the points that have them here.
    wrong = mean_margin(_recovered(problem)[order])
    yield nt.Control(
        "permuted-labels",
        "labels belong to their points: here every point has the labels of another one",
        rows[0].under(permuted, functional=wrong),
    )
    yield nt.Control(
        "half-rate",
        "the rate is η: here half of it",
        rows[1].under(problem.plain(steps, "half rate", rate=0.5)),
    )


OWN_DATA.panels = {
    "error-curve": Curves(
        rms_error, of=(PLAIN,), legend="lower left",
        bounds={"2ρ": lambda config: 2 * config["noise_rate"] if config["classes"] == 2 else None},
    ),
    "spectrum": spectrum_panel,
}  # fmt: skip
