"""`finite-width` on data of one's own: the law itself, of nets on the measured kernel.

A run is short: until a label that was recovered is first lost. Later the terms of higher order,
which the law leaves out, are no longer small at these widths.
"""

from __future__ import annotations

__all__ = ["OWN_DATA"]

from collections.abc import Iterator, Sequence
from dataclasses import replace

import ntk_theory as nt
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims.finite_width import CLAIM, MORE, of_the_law, variance_found
from ntk_theory.own_data import DISTILLED, PLAIN, OwnData, on_own_data, own_data, spectrum_panel

_LEAST, _MOST = 10, 40
"""Steps of a run that does not say."""

OWN_DATA = on_own_data(
    CLAIM,
    statement=(
        "On these data, too, a net of width m deviates from the kernel limit by m^{-1/2} times a "
        "Gaussian process over points and steps, whose covariance and mean follow from draws of "
        "the weights at the start."
    ),
    presets={"quick": nt.Sweep(2048, 16384, 4, nets=100),
             "standard": nt.Sweep(4096, 2**16, 5, nets=150)},
    least_nets=100,
)  # fmt: skip


def _short(problem: OwnData, _: Options) -> OwnData:
    """For as many steps as are looked at."""
    if problem.classes > 2:
        raise ValueError(f"classes must be 2 for finite-width; got {problem.classes}")
    lost = problem.forecast.lost or _MOST
    steps = problem.asked_steps or min(max(_LEAST, lost), _MOST)
    return replace(problem, asked_steps=steps)


OWN_DATA.problem(own_data, fixed={"usual_noise": 0.2}, into=_short)


@OWN_DATA.premises
def premises(problem: OwnData) -> Iterator[nt.Premise]:
    """What is taught stays."""
    yield from problem.taught_premises(all_right=False)


def _ends(run: Sequence[int]) -> tuple[int, int]:
    return run[0], run[-1]


@OWN_DATA.trainings
def trainings(problem: OwnData) -> Iterator[nt.Training]:
    """Both ways at the ends of the run's widths."""
    assert problem.asked_steps is not None
    yield problem.distilled(widths=_ends)
    yield problem.plain(problem.asked_steps, widths=_ends, nets=lambda count: MORE * count)


OWN_DATA.measure(of_the_law)
for _part in ("controls", "arrays"):
    _declared = CLAIM.part(_part)
    assert _declared is not None
    getattr(OWN_DATA, _part)(_declared)


@OWN_DATA.finding
def finding(run: nt.Run) -> str:
    """Variance as m → ∞."""
    ways = f"{DISTILLED} and {PLAIN}"
    return f"{variance_found(run)}; mean and distributions of {ways} are those of the law"


OWN_DATA.panels = {"scatter": CLAIM.panels["scatter"], "spectrum": spectrum_panel}
