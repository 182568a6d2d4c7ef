"""Parts of `chains`: cells next to the thresholds, nets in a row, where their own boundary lies."""

from __future__ import annotations

__all__ = [
    "CHAIN", "CLEAR", "HARDENED", "ROUNDS", "STAGES", "STOP", "after", "boundaries", "cells",
    "chain", "clustered", "curve", "each", "name_of", "recovered", "student",
]  # fmt: skip

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import Functional, size
from ntk_theory.checking.rows import Array, Taught

if TYPE_CHECKING:
    from ntk_theory.predictions import ErrorCurve

ROUNDS, STOP = 3, 2
"""Nets of a chain, and the steps of each where it is looked at more closely."""

CHAIN, HARDENED = "rounds", "net taught the signs"
STAGES = ((CHAIN, STOP), *((f"net {k}", STOP) for k in range(2, ROUNDS + 1)), (HARDENED, -1))
"""Nets in a row, the last of them taught signs: trainings, and the steps at which they stop."""

CLEAR = 0.15
"""Least size of a relative margin in a cell, after any number of rounds."""


def recovered(problem: nt.NoisyClusters, k: int) -> bool:
    """Whether the noise rate is below ρ*_k."""
    return problem.noise_rate < nt.predictions.chain_threshold(problem.ratio, k)


def cells(ratio: float, points: int) -> tuple[float, list[float]]:
    """Noise rates: one that needs two nets most clearly, and those next to where k nets fail.

    Margins of the latter are clear after any number of nets.
    """
    every = range(1, ROUNDS + 1)
    rates = np.arange(1, (points + 1) // 2) / points
    margins = np.array([[nt.predictions.chain_margin(ratio, rho, k) for k in every]
                        for rho in rates])  # fmt: skip
    closely = rates[np.minimum(-margins[:, 0], margins[:, 1]).argmax()]
    clear = (np.abs(margins) > CLEAR).all(axis=1)
    last = (margins[clear] > 0).sum(axis=0)  # margins fall with the noise rate
    chosen = {place for one in last for place in (one - 1, one)}
    return float(closely), [float(rho) for place, rho in enumerate(rates[clear]) if place in chosen]


def clustered(
    clusters: int, points: int, ratio: float, noise_rate: float, seed: int
) -> nt.NoisyClusters:
    """Noisy clusters at ηλ_+ = 1/2."""
    return nt.noisy_clusters(
        clusters=clusters, points=points, ratio=ratio, noise_rate=noise_rate, seed=seed, share=0.5,
        noise_times=5,
    )  # fmt: skip


def name_of(problem: nt.NoisyClusters) -> str:
    """Noise rate and ratio."""
    return f"ρ = {problem.noise_rate:g}, r = {problem.ratio:g}"


def after(k: int) -> str:
    """So many nets, as rows say it."""
    return f"after {k} nets" if k > 1 else "after 1 net"


def curve(problem: nt.NoisyClusters, stop: int, rounds: int) -> ErrorCurve:
    """The last net of a chain over its steps, in which all nets are stopped at the same one."""
    numbers = nt.predictions.student_training(
        problem.spectrum, problem.noise_rate, [(problem.learning_rate, stop)] * (rounds - 1),
        problem.learning_rate, stop,
    )  # fmt: skip
    return nt.predictions.ErrorCurve(*numbers, problem.noise_rate, problem.label_mean)


def chain(problem: nt.NoisyClusters, name: str, stop: int, **more: Any) -> nt.Training:
    """Rounds of one net: each starts at its initial weights, taught what it was before."""
    schedule = nt.targets.BurnIn(stop, nt.targets.Constant(0))
    soft = nt.targets.Distillation(schedule, "soft", epoch=stop, restart=True)
    recipe = replace(problem.recipe, distillation=soft, steps=ROUNDS * stop)
    first, *others = (curve(problem, stop, k) for k in range(1, ROUNDS + 1))
    joined: dict[str, Any] = {
        part: np.concatenate([getattr(first, part), *(getattr(one, part)[1:] for one in others)])
        for part in ("mean_error", "information_error", "memorised_noise")
    }
    return problem.training(name, recipe, replace(first, **joined), **more)


def student(
    problem: nt.NoisyClusters, name: str, by: nt.Training, on: ErrorCurve, *,
    signs: bool = False, **more: Any,
) -> nt.Training:  # fmt: skip
    """Other nets, on a curve, taught what their teachers output at step `STOP`, or its signs."""
    taught = Taught(by, lambda u: np.sign(u[..., STOP, :]) if signs else u[..., STOP, :])
    recipe = problem.plain_recipe(on.mean_error.size - 1).relabelled(taught.labels)
    return problem.training(name, recipe, on, taught=taught, **more)


def each(run: nt.Run, name: str, at: int, functional: Functional) -> Array:
    """A number of the widest nets of a training."""
    return functional(run.widest(name).outputs()[:, [at]], run.trainings[name].points)[:, 0]


def boundaries(run: nt.Run) -> Iterator[nt.Measurement]:
    """Noise rates at which chains of trained nets stop to have every label right.

    For one step a net the least margin is linear in ρ, so the line through two cells of one ratio
    has its root at ρ*_k; margins that are off by what the law allows move it in proportion.
    """
    grid, threshold = run.problem, nt.predictions.chain_threshold
    titled = {row.title: row for row in run.declared.rows}
    for places in grid.by_ratio.values():
        ordered = [grid.problems[place] for place in places if place != grid.reference]
        for k, (low, high) in product(range(1, ROUNDS + 1), pairwise(ordered)):
            if recovered(low, k) == recovered(high, k):
                continue
            rows = [titled[f"{name_of(cell)}: relative margin {after(k)}"] for cell in (low, high)]
            sizes = np.array([size(row.training.predicted, row.training.points)[k] for row in rows])
            found = sizes * [run.measured(row).mean() for row in rows]
            off = sizes * [max(run.law_sides(replace(row, nets="mean"), run.nets.widths[-1]))
                           for row in rows]  # fmt: skip
            fall = float(np.subtract(*(sizes * [row.predicted for row in rows])))
            step, share = high.noise_rate - low.noise_rate, found[0] / (found[0] - found[1])
            one, *others = (threshold(low.ratio, rounds) for rounds in (k, k + 1, k - 1 or k + 1))
            yield nt.Measurement(
                f"boundary {after(k)}, r = {low.ratio:g}", one, low.noise_rate + share * step,
                float(np.abs([1 - share, share]) @ off) * step / fall,
                resolution=min(abs(one - other) for other in others) / 2,
            )  # fmt: skip
