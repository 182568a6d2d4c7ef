"""Exponents in the width and constants of the nets against the laws of docs/theory.md, section 9.5.

No row asks a deviation to fall with the width, as other claims do: no tolerance here is made from
deviations from a prediction. Exponents are fitted to what the nets measure, whatever is predicted;
and the interval of a constant comes from the scatter of the nets around their own regression, so
a prediction that is off by a factor does not widen it.
"""

from __future__ import annotations

__all__ = ["measurements"]

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions, training
from ntk_theory.claims.lazy.estimates import constant, exponent_row, mean_square
from ntk_theory.claims.lazy.nets import Nets, recipes
from ntk_theory.claims.lazy.plan import Plan
from ntk_theory.claims.lazy.theory import PLAIN_TRAINING, Theory, mean_with_error, slope
from ntk_theory.verdicts import Measurement

Array = NDArray[np.float64]


def _kernel_limit(plan: Plan) -> Measurement:
    """Outputs of both ways on the measured kernel, step by step, against those the pulls come from.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.
    """
    problem, levels = plan.problem, plan.problem.spectrum
    largest = 0.0
    for name, recipe in recipes(problem).items():
        limit = training.train_kernel_limit(
            problem.gram,
            recipe.observed,
            recipe.distillation,
            learning_rate=problem.learning_rate,
            steps=recipe.steps,
        )
        largest = max(largest, float(np.abs(limit - plan.theories[name].outputs).max()))
    rounding = len(problem.gram) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement("kernel recursion − closed forms, largest", 0.0, largest, rounding)


def _power_laws(seed: int, name: str, nets: Nets, theory: Theory) -> list[Measurement]:
    """Exponents in the width, with the m^{-3/4} corrections where there are some."""
    law = predictions.movement_exponent()
    widths = nets.widths
    change = [theory.kernel_change_norm(width) for width in widths]
    deviation = [theory.deviation(width) for width in widths]
    rows = {
        "max_r ‖w_r(T) − w_r(0)‖": (law, nets.movement),
        "the share of flipped activations": (law, nets.flipped),
        "‖H_m(T) − H_m(0)‖_F": (slope(widths, change), nets.kernel_change),
        "sup_t ‖u_m − u_lin‖/√n": (slope(widths, deviation), nets.deviation),
    }
    return [
        exponent_row(seed, f"{quantity}, {name}", predicted, widths, values)
        for quantity, (predicted, values) in rows.items()
    ]


def _constants(name: str, nets: Nets, theory: Theory) -> list[Measurement]:
    """Constants of these laws."""
    widths, widest = nets.widths, nets.widths[-1]
    roots = [math.sqrt(width) for width in widths]
    flipped, flipped_error = mean_with_error([layer.flipped for layer in theory.layers])
    change = theory.kernel_change
    along = [float((layer.kernel_change * change).sum()) for layer in theory.layers]
    change_square, change_error = mean_with_error(along)
    norms = [theory.kernel_change_norm(width) for width in widths]
    deviations = [theory.deviation(width) for width in widths]
    return [
        constant(
            f"‖W_T − W_0‖_F, {name}",
            theory.distance,
            widths,
            [row / theory.distance for row in nets.distance],
        ),
        constant(
            f"√m × share of flipped activations, {name}",
            flipped,
            widths,
            [root * row / flipped for root, row in zip(roots, nets.flipped, strict=True)],
            flipped_error,
        ),
        constant(
            f"√m × H_m(T) − H_m(0) along its predicted mean, {name}",
            math.sqrt(change_square),
            widths,
            [root * row / change_square for root, row in zip(roots, nets.along, strict=True)],
            change_error,
            # It tells the mean change from none, that is the law m^{-1/2} from m^{-3/4}.
            resolution=1.0,
        ),
        constant(
            f"‖H_m(T) − H_m(0)‖_F at width {widest}, {name}",
            norms[-1],
            widths,
            [row / value for row, value in zip(nets.kernel_change, norms, strict=True)],
            mean_with_error([layer.kernel_change_norm(widest) for layer in theory.layers])[1],
        ),
        constant(
            f"sup_t ‖u_m − u_lin‖/√n at width {widest}, {name}",
            deviations[-1],
            widths,
            [row / value for row, value in zip(nets.deviation, deviations, strict=True)],
            mean_with_error([layer.deviation_norm(widest).max() for layer in theory.layers])[1],
        ),
    ]


def _largest_movement(nets: Nets, theory: Theory) -> Measurement:
    """The neuron that moves farthest in plain training.

    Under self-distillation the pulls change their sign, and a neuron that leaves the half-space of
    a point in between moves farther than any that stays: no constant is claimed for it.
    """
    widths = nets.widths
    movement = [theory.largest_movement(width) for width in widths]
    return constant(
        f"max_r ‖w_r(T) − w_r(0)‖ at width {widths[-1]}, {PLAIN_TRAINING}",
        movement[-1],
        widths,
        [row / value for row, value in zip(nets.movement, movement, strict=True)],
    )


def _initial_rows(plan: Plan, distances: Sequence[Array]) -> list[Measurement]:
    """The NTK at the start, over nets with as many independent neurons as half the width."""
    widths, predicted = plan.nets.widths, plan.theories[PLAIN_TRAINING].fluctuation()
    return [
        exponent_row(
            plan.nets.seed,
            "‖H_m(0) − H‖_F",
            predictions.movement_exponent(),
            widths,
            distances,
        ),
        mean_square("mean of m ‖H_m(0) − H‖_F²", predicted, widths, distances),
    ]


def measurements(
    plan: Plan, nets: Mapping[str, Nets], distances: Sequence[Array]
) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield _kernel_limit(plan)
    yield from _initial_rows(plan, distances)
    for name, theory in plan.theories.items():
        yield from _power_laws(plan.nets.seed, name, nets[name], theory)
        yield from _constants(name, nets[name], theory)
    yield _largest_movement(nets[PLAIN_TRAINING], plan.theories[PLAIN_TRAINING])
