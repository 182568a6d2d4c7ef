"""Wide nets of `soft-identity` against closed forms and the limit of small steps."""

from __future__ import annotations

__all__ = ["CONFIDENCE", "measurements"]

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.soft_identity.nets import Wide, noise_share, order_ends
from ntk_theory.claims.soft_identity.plan import ENTROPY, FLOW, MEMORISING, STOPPING, Plan
from ntk_theory.experiments import Rung
from ntk_theory.fitting import PowerLaw, fit_power_law
from ntk_theory.ladder import falling_row
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement, Progress

Array = NDArray[np.float64]

CONFIDENCE = 0.9999
"""Of a bound on a deviation: a run has some ten of them, and every seed should pass."""

_EXPONENT_TOLERANCE = 0.15
_BOOTSTRAP_STREAM = 2


def _final_deviation(rung: Rung) -> Array:
    return rung.deviation[:, -1]


def _closed_form_rows(wide: Wide) -> list[Measurement]:
    """Nets of the largest width beside the closed forms, to what the narrower ones let expect."""
    plan, theory, ladder = wide.plan, wide.theory, wide.ladders[STOPPING]
    rows = []
    # q = u·ζ/‖ζ‖²: a deviation δ of the outputs changes it by at most ‖δ‖/‖ζ‖.
    rho = plan.problem.noise_rate
    scale = 2 * math.sqrt(rho * (1 - rho))
    shares = {FLOW: float(theory.small_steps()[2])}
    allowed = {
        name: ladder.allowance(name, _final_deviation, CONFIDENCE)
        for name in (MEMORISING, STOPPING, FLOW)
    }
    for name in (MEMORISING, STOPPING):
        curve = theory.curve(name)
        error, shares[name] = float(curve.rms_error()[-1]), float(curve.memorised_noise[-1])
        rows.append(
            over_nets(
                f"RMS error after {plan.steps} steps, {name}",
                error,
                ladder.rungs[name][-1].error[:, -1],
                allowed[name],
                error / 2,
            )
        )
    rows += [
        over_nets(
            f"memorised share of the noise, {name}",
            shares[name],
            noise_share(plan, wide.ends[-1][name]),
            allowed[name] / scale,
            min(shares[name], 0.5) / 2,
        )
        for name in (MEMORISING, STOPPING, FLOW)
    ]
    return rows


def _entropy_row(wide: Wide) -> Measurement:
    """Outputs of the nets trained with cross-entropy beside the kernel recursion of that loss."""
    ladder, outputs = wide.ladders[ENTROPY], wide.theory.outputs[ENTROPY]
    predicted = float(np.sqrt(np.square(outputs[-1] - ladder.clean).mean() * 2))
    return over_nets(
        f"RMS error after {wide.plan.steps} steps, {ENTROPY}",
        predicted,
        ladder.rungs[ENTROPY][-1].error[:, -1],
        ladder.allowance(ENTROPY, _final_deviation, CONFIDENCE),
        predicted / 2,
    )


def _fit(plan: Plan, sizes: Sequence[int], values: Sequence[Array]) -> PowerLaw:
    key = np.random.SeedSequence(plan.nets.seed, spawn_key=(_BOOTSTRAP_STREAM,))
    return fit_power_law(sizes, values, rng=np.random.default_rng(key))


def _small_step_rows(wide: Wide) -> Iterator[Measurement]:
    """Distance of soft self-distillation from plain training in small steps for the same time.

    Its tolerance is what the narrower nets let expect of the deviation from the predicted vector,
    which has to fall with the width.
    """
    plan, theory, widths = wide.plan, wide.theory, wide.plan.nets.widths
    rates = plan.problem.learning_rate * plan.weights(STOPPING)
    expected = theory.flow() + theory.gap(rates) - theory.small_steps()
    vector = theory.combine(expected)
    differences = [row[STOPPING] - row[FLOW] for row in wide.ends]
    apart = [np.sqrt(np.square(row - vector).mean(axis=1)) for row in differences]
    predicted = theory.rms(expected)
    name = "u_soft − u of small plain steps for the time η Σ α_t"
    yield over_nets(
        f"{name}, RMS",
        predicted,
        np.sqrt(np.square(differences[-1]).mean(axis=1)),
        _fit(plan, widths[:-1], apart[:-1]).upper(widths[-1], CONFIDENCE),
        predicted / 2,
    )
    yield falling_row(widths, apart, name)


def _falling(wide: Wide) -> Iterator[Measurement]:
    """Deviations at the end fall with the width, as they would not from a wrong prediction."""
    for name, ladder in wide.ladders.items():
        yield ladder.falling_row(name, f"{name}, at the end", _final_deviation)


def _order_row(plan: Plan, ends: list[Array], flow: Array) -> Measurement:
    """Order at which soft runs of the same time in ever smaller steps approach gradient flow."""
    apart = [np.sqrt(np.square(row - flow).mean(axis=1)) for row in ends]
    fitted = _fit(plan, plan.order_steps, apart)
    # The step size is the inverse of the number of steps.
    low, high = fitted.interval
    return Measurement(
        f"order in η of u_soft − u of gradient flow, width {plan.nets.widths[0]}",
        1.0,
        -fitted.exponent,
        _EXPONENT_TOLERANCE,
        (-high, -low),
        whole_interval=True,
    )


def measurements(wide: Wide, progress: Progress) -> Iterator[Measurement]:
    """All rows about wide nets; the last one trains nets of its own."""
    yield from _closed_form_rows(wide)
    yield _entropy_row(wide)
    yield from _falling(wide)
    yield from _small_step_rows(wide)
    yield _order_row(wide.plan, *order_ends(wide.plan, progress))
