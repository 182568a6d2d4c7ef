"""`finite-width` on data of one's own: how far nets of width m are from the kernel limit.

The size of their deviation over that of nets drawn from the law is extrapolated in m^{-1/2} from
all widths of the run. Runs are short: later the terms that the law leaves out are no longer small
at these widths.
"""

from __future__ import annotations

__all__ = ["OWN_DATA"]

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.fitting import at_infinite_width
from ntk_theory.checking.panels import OverWidth
from ntk_theory.checking.rows import Array, Training
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims.finite_width import CLAIM
from ntk_theory.own_data import NOISE, on_own_data, own_data, spectrum_panel
from ntk_theory.own_problem import PLAIN, OwnData
from ntk_theory.problems import lazy_premise

_LEAST, _MOST = 8, 20
"""Steps of a run that does not say."""

_RESOLVED = 0.25
"""Relative error of the size that still tells the law from one of half as many neurons."""

_SIZES = ("RMS deviation half-way", "RMS deviation at the end")

OWN_DATA = on_own_data(
    CLAIM,
    statement="""On these data, too, a net of width m deviates from the kernel limit by m^{-1/2}
    times what the law of finite width says, which takes draws of the weights at the start
    alone.""",
    presets={"quick": nt.Sweep(1024, 8192, 4, nets=32),
             "standard": nt.Sweep(2048, 2**15, 5, nets=48)},
    least_nets=12,
)  # fmt: skip


def _short(problem: OwnData, _: Options) -> OwnData:
    """For as many steps as are looked at."""
    steps = problem.asked_steps or min(max(_LEAST, problem.forecast.lost or _MOST), _MOST)
    return replace(problem, asked_steps=steps)


OWN_DATA.problem(own_data, fixed={"usual_noise": NOISE}, into=_short)


@OWN_DATA.premises
def premises(problem: OwnData, widths: Sequence[int]) -> Iterator[nt.Premise]:
    """Narrow nets move little, as what the law leaves out is small then."""
    assert problem.asked_steps is not None
    yield lazy_premise(problem.narrow_width(problem.asked_steps), widths[0])


@OWN_DATA.trainings
def trainings(problem: OwnData) -> Training:
    """Plain training, for a few steps."""
    assert problem.asked_steps is not None
    return problem.plain(problem.asked_steps)


def _sizes(off: Array) -> tuple[Array, Array]:
    """RMS of deviations (S, T + 1, n[, C]) of each net, half-way and at the end."""
    size = np.sqrt(np.square(off).reshape(*off.shape[:2], -1).mean(axis=2))
    return size[:, size.shape[1] // 2], size[:, -1]


def _ratio(run: nt.Run, which: int, law: Any) -> tuple[float, list[tuple[float, float]], float]:
    """Size over that of a law, as m → ∞; standard errors; how far the extrapolation goes."""
    one, made = run.trainings[PLAIN], run.results[PLAIN]
    drawn = [_sizes(law(net.width) - one.predicted)[which] for net in made]
    found = [_sizes(net.outputs() - one.predicted)[which] / size.mean()
             for net, size in zip(made, drawn, strict=True)]  # fmt: skip
    limit, error, free = at_infinite_width([net.width for net in made], found)
    own = float(drawn[-1].std(ddof=1) / drawn[-1].mean()) / drawn[-1].size ** 0.5
    return limit, [(error, free), (own * limit, drawn[-1].size - 1)], abs(limit - found[-1].mean())


@OWN_DATA.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """The exponent of the deviation, and its size.

    A straight line in m^{-1/2} may be off by as much as it goes beyond the widest nets.
    """
    yield run.deviation_exponent(PLAIN)
    law = run.law(run.trainings[PLAIN]).outputs
    for which, name in enumerate(_SIZES):
        limit, errors, beyond = _ratio(run, which, law)
        yield run.estimate(f"{name} over that of the law, as m → ∞", 1.0, limit, errors,
                           rows=len(_SIZES), more=beyond, resolution=_RESOLVED)  # fmt: skip
    yield run.problem.wide_enough(run, PLAIN)


@OWN_DATA.controls
def controls(_: OwnData) -> Iterator[nt.Control]:
    """Wrong laws, which the claim's own nets do not obey."""

    def against(run: nt.Run, factor: float) -> tuple[nt.Measurement, float, float]:
        one = run.trainings[PLAIN]
        right = run.law(one).outputs

        def wrong(width: int) -> Array:
            return one.predicted + factor * (right(width) - one.predicted)

        found, _, _ = _ratio(run, 1, wrong)
        near = abs(1 - 1 / factor) / 2
        name = f"{_SIZES[1]} over that of the law, as m → ∞"
        return nt.Measurement(name, 1 / factor, found, near), 1.0, near

    yield nt.Control(
        "twice-the-width",
        "m counts neurons: here pairs, of which the law says √2 times as much",
        measure=lambda run: against(run, 2**0.5),
    )


@OWN_DATA.finding
def finding(run: nt.Run) -> str:
    """Size as m → ∞."""
    limit, _, _ = _ratio(run, 1, run.law(run.trainings[PLAIN]).outputs)
    return (
        f"{run.nets.count} nets of each width are {limit:.3f} times as far from the kernel limit "
        "as the law of finite width says, as m → ∞"
    )


OWN_DATA.panels = {"deviation-over-width": OverWidth(), "spectrum": spectrum_panel}
