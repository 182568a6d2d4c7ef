"""`air` on data of one's own: information is retrieved before noise, along measured eigenvectors.

With labels ỹ = κ y + ζ, less their mean over the classes, ζ is orthogonal to y. The prediction is
the filter 1 − (1 − ηλ)^t along every eigenvector of the measured kernel.
"""

from __future__ import annotations

__all__ = ["OWN_DATA"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import Functional
from ntk_theory.checking.panels import Curves
from ntk_theory.checking.rows import Array
from ntk_theory.claims._air_designs import Labels
from ntk_theory.claims.air import CLAIM, half_time
from ntk_theory.own_data import on_own_data, spectrum_panel
from ntk_theory.own_problem import PLAIN, OwnData

_LEAD = 0.1
"""Lead of the information that is still one."""

OWN_DATA = on_own_data(
    CLAIM,
    statement="""On these data, too, plain training of a wide net on noisy labels retrieves their
    component along each eigenvector of the measured NTK as 1 − (1 − ηλ)^t, and information before
    noise as far as the clean labels lean to the top of the spectrum.""",
)


def _labels(problem: OwnData, order: NDArray[np.int64] | None = None) -> Labels:
    """Clean and observed labels, less their mean over the classes."""
    off = 1 / problem.classes if problem.observed.ndim == 2 else 0.0
    places = slice(None) if order is None else order
    return Labels(problem.clean[places] - off, problem.observed[places] - off)


def _time(shares: Array, axis: int = -1) -> Array:
    """Time at which a retrieved share reaches ½; the last step where it does not."""
    last = shares.shape[axis] - 1.0
    return np.nan_to_num(half_time(shares, axis), nan=last)


def _training(problem: OwnData) -> nt.Training:
    """Until half of the noise is retrieved, and twice as long: narrow nets are slower."""
    long = problem.plain(4 * problem.memorising)
    usual = 2 * math.ceil(float(_time(_labels(problem).noise(long.predicted))))
    return problem.plain(problem.asked_steps or min(max(usual, 4), 800))


@OWN_DATA.premises
def premises(problem: OwnData) -> Iterator[nt.Premise]:
    """The information is ahead, and half of either is retrieved while nets are trained."""
    labels, outputs = _labels(problem), _training(problem).predicted
    yield nt.Premise("labels hold information", labels.kept, labels.kept > 0, "κ > 0")
    lead = float(labels.ahead(outputs).max())
    yield nt.Premise("clean labels lean to the top: lead of information in the kernel limit", lead,
                     lead > _LEAD, f"at its best step > {_LEAD:g}")  # fmt: skip
    reached = float(min(part(outputs).max() for part in (labels.information, labels.noise)))
    yield nt.Premise("long enough run: least retrieved share of information and noise", reached,
                     reached > 0.5, "> 1/2 (--steps)")  # fmt: skip


@OWN_DATA.trainings
def trainings(problem: OwnData) -> nt.Training:
    """Plain training on the noisy labels."""
    return _training(problem)


@OWN_DATA.rows
def rows(problem: OwnData, plain: nt.Training) -> Iterator[nt.Row]:
    """Shares where information and noise are farthest apart, half-times and their ratio."""
    labels = _labels(problem)
    lead = labels.ahead(plain.predicted)
    peak = int(lead.argmax())
    shown: dict[str, Functional] = {"information": labels.information, "noise": labels.noise,
                                    "information − noise": labels.ahead}  # fmt: skip
    for name, functional in shown.items():
        title = f"retrieved share of {name} after {peak} steps, where they are farthest apart"
        yield nt.Row(title, plain, functional, at=peak, resolves=float(lead[peak]) / 2, tell=True)

    def factor(outputs: Array, _: object) -> Array:
        times = _time(labels.noise(outputs)) / _time(labels.information(outputs))
        return np.broadcast_to(times[..., None], outputs.shape[: outputs.ndim - labels.clean.ndim])

    ever: dict[str, Any] = {"at": nt.ALL_STEPS, "reduce": _time}
    every: Sequence[tuple[str, Functional, dict[str, Any]]] = (
        ("information", labels.information, ever),
        ("noise", labels.noise, ever),
        ("noise over that of information", factor, {}),
    )
    for name, functional, how in every:
        row = nt.Row(f"half-time of {name}", plain, functional, **how)
        # Half or twice the time distinguishes nothing.
        yield replace(row, resolves=(row.predicted / 2, row.predicted))


@OWN_DATA.measure
def measure(run: nt.Run) -> Iterator[nt.Premise]:
    """Nets are wide enough."""
    yield run.problem.wide_enough(run, PLAIN)


@OWN_DATA.controls
def controls(problem: OwnData, trainings: Mapping[str, nt.Training]) -> Iterator[nt.Control]:
    """Labels that lean nowhere, and another learning rate."""
    plain, labels, order = trainings[PLAIN], _labels(problem), problem.permuted()
    steps = plain.recipe.steps
    yield nt.Control(
        "permuted-labels",
        "clean labels lean to the top: here every point has the labels of another one",
        _labels(problem, order).broken(
            problem.plain(steps, "permuted labels", order=order), labels.ahead(plain.predicted)),
    )  # fmt: skip
    time = float(_time(labels.noise(plain.predicted)))
    yield nt.Control(
        "half-rate",
        "the rate is η: here half of it",
        nt.Row(f"retrieved share of noise after {round(time)} steps",
               problem.plain(steps, "half rate", rate=0.5), labels.noise, at=round(time),
               claimed=float(labels.noise(plain.predicted)[round(time)])),
    )  # fmt: skip


OWN_DATA.panels = {
    "retrieved-shares": Curves(
        "share",
        of=lambda problem: {part: (PLAIN, getattr(_labels(problem), part))
                            for part in ("information", "noise")},
        ylabel="retrieved share", more={"xscale": "symlog"},
    ),
    "spectrum": spectrum_panel,
}  # fmt: skip
