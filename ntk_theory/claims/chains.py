"""Beyond the paper: chains of stopped nets recover labels that one net cannot (theory.md, 6.8).

On a grid of noise rates and ratios three rounds of one step each are taught the outputs of the
round before. At one of the noise rates rounds are longer, nets are new ones, and the last teaches
its signs.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import (
    least_margin,
    mean_margin,
    relative_margin,
    rms_error,
    wrong_signs,
)
from ntk_theory.claims import _chains_pictures as pictures
from ntk_theory.claims._chains_cells import (
    CHAIN,
    CLEAR,
    HARDENED,
    ROUNDS,
    STAGES,
    STOP,
    after,
    boundaries,
    cells,
    chain,
    clustered,
    curve,
    each,
    name_of,
    recovered,
    student,
)

CLAIM = nt.Claim(
    "chains",
    statement="""A chain of k stopped nets, each taught the outputs of the one before and the first
    the noisy labels, can have the sign of every label right exactly if the noise rate is below ρ*_k
    = (r^k − 2)/(2(r^k − 1)), which tends to 1/2; one stopped net and hard current targets end at
    ρ*_1. The chain's outputs stay farther than 2ρ from the clean labels; one more net that is
    taught their signs ends at these.""",
    formulas=(
        "u = A_{t_k} … A_{t_1} ỹ: along an eigenvector Π g_λ(t_j),  g_λ(t) = 1 − (1 − ηλ)^t",
        "signs right iff (1−2ρ) Π g_+ > 2(1−ρ) Π g_−;  every g_+/g_− is at most r, its value at 1",
        "one step each: least margin over size ((1−2ρ) r^k − 2(1−ρ))/√((1−2ρ)² r^{2k} + 4ρ(1−ρ))",
        "‖u − y‖²/n = (1 − (1−2ρ) Π g_+)² + 4ρ(1−ρ) Π g_−² > (2ρ)²",
        "taught sign(u) = y:  error (1 − ηλ_+)^t → 0",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ of wrong labels in each",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation="""Training on fixed labels z retrieves A_t z with A_t = I − (I − ηH)^t. These
    matrices share the eigenvectors of H, so the filters of a chain multiply: k rounds have the
    ratio r^k where one has r. No filter is above 1, so the clean labels keep the factor 1 − 2ρ that
    noise leaves them until outputs are hardened (docs/theory.md, section 6.8). At width m outputs
    are off by O(m^{-1/2}), by the law of section 9.6.""",
    source="beyond arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 6.8",
    presets={
        "quick": nt.Sweep(1024, 8192, 4, nets=6),
        "standard": nt.Sweep(2048, 2**16, 6, nets=6),
        "thorough": nt.Sweep(2048, 2**17, 7, nets=12),
    },
)

RATIOS = (1.75, 2.0, 2.5, 4.0)
"""At the first two no noise rate is recovered by one net."""


@CLAIM.problem
def _problem(
    *, seed: int, clusters: int = 2, points: int = 20, ratio: float | None = None
) -> nt.ClusterGrid:
    """A problem between ρ*_1 and ρ*_2, then cells on both sides of every ρ*_k.

    Args:
        seed: of the wrong labels, and of all nets.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−; four from 1.75 to 4 when left out.
    """
    ratios = RATIOS if ratio is None else (ratio,)
    if not all(math.isfinite(one) and one > 1 for one in ratios):
        raise ValueError(f"ratio must be above 1 and finite; got {ratios[0]}")
    if points < 4:
        raise ValueError(f"points must be at least 4, so that noise rates differ; got {points}")
    found = [(one, *cells(one, points)) for one in ratios]
    every = [found[-1][:2], *((one, rho) for one, _, rates in found for rho in rates)]
    problems = tuple(clustered(clusters, points, *one, seed) for one in every)
    return nt.ClusterGrid(problems, seed, recoverable=False)


def _half(nets: int) -> int:
    return max(3, nets // 2)


@CLAIM.trainings
def trainings(grid: nt.ClusterGrid) -> Iterator[nt.Training]:
    """Rounds, new nets in their place, the last of which teaches its signs; rounds in all cells."""
    problem = grid.chosen
    by = chain(problem, CHAIN, STOP, signs_at=(STOP,))
    yield by
    for k, (name, _) in enumerate(STAGES[1:-1], start=2):
        by = student(problem, name, by, curve(problem, STOP, k), signs_at=(STOP,))
        yield by
    stage = (problem.learning_rate, problem.steps)
    clean = nt.predictions.hardened_student_training(problem.spectrum, *stage)
    yield student(
        problem, HARDENED, by, nt.predictions.ErrorCurve(*clean, problem.noise_rate), signs=True
    )
    for cell, seed in zip(grid.problems[1:], grid.seeds[1:], strict=True):
        yield chain(cell, name_of(cell), 1, seed=seed, widths=(-1,), nets=_half)


@CLAIM.premises
def premises(grid: nt.ClusterGrid) -> Iterator[nt.Premise]:
    """More nets than one are needed and enough; some cells take one, some two, some three."""
    problem, every = grid.chosen, range(1, ROUNDS + 1)
    ends = [float(curve(problem, STOP, k).margin()[-1]) for k in every]
    spare = min(-ends[0], *ends[1:])
    yield nt.Premise("wrong after one net, right after more", spare, spare > 0,
                     f"least margin (of one net: negated) > 0 at {name_of(problem)}")  # fmt: skip
    taken = {ROUNDS + 1 - sum(curve(cell, 1, k).margin()[-1] > 0 for k in every)
             for cell in grid.problems[1:]}  # fmt: skip
    yield nt.Premise("cells for every number of nets", len(taken & {*every}),
                     taken >= {*every}, f"some that take 1, …, {ROUNDS} nets, all of whose "
                     f"|relative margins| are above {CLEAR}")  # fmt: skip


@CLAIM.rows
def rows(grid: nt.ClusterGrid, rounds: nt.Training, *others: nt.Training) -> Iterator[nt.Row]:
    """Margins of every cell; margins, errors and signs of the problem looked at more closely."""
    (*nets, hardened), problem, rho = others[:ROUNDS], grid.chosen, grid.chosen.noise_rate
    for cell, training in zip(grid.problems[1:], others[ROUNDS:], strict=True):
        for k in range(1, ROUNDS + 1):
            margin = nt.predictions.chain_margin(cell.ratio, cell.noise_rate, k)
            # Towards 0 no farther than signs are certain.
            sides = (margin, math.inf) if margin > 0 else (math.inf, -margin)
            yield nt.Row(f"relative margin {after(k)}", training, relative_margin, at=k,
                         nets="each", expect=margin, resolves=sides)  # fmt: skip
    for k in range(1, ROUNDS + 1):
        own, longer = curve(problem, STOP, k), curve(problem, STOP, k + 1)
        margin, error = float(own.margin()[-1]), float(own.rms_error()[-1])
        signal, less = (1 + float(one.information_error[-1]) for one in (own, longer))
        row = partial(nt.Row, training=rounds, at=k * STOP)
        # Half of what one net more takes away.
        yield row(f"mean margin {after(k)}", functional=mean_margin(), expect=signal,
                  resolves=(signal - less) / 2)  # fmt: skip
        yield row(f"least margin {after(k)}", functional=least_margin, expect=margin,
                  nets="each", resolves=abs(margin))  # fmt: skip
        yield row(f"RMS error {after(k)} (bound 2ρ)", functional=rms_error, expect=error,
                  resolves=error - 2 * rho)  # fmt: skip
    # Signs follow from margins that exceed what nets scatter, a premise; shares round by n eps.
    rounding = rho * rounds.predicted.shape[1] * float(np.finfo(float).eps)
    signs: dict[str, Any] = {"functional": wrong_signs, "nets": "each",
                             "tolerance": lambda _: rounding}  # fmt: skip
    yield nt.Row(f"share of wrong signs {after(1)}", rounds, at=STOP, expect=rho, **signs)
    for net in (*nets, hardened):
        yield nt.Row("share of wrong signs", net, expect=0.0, **signs)
    for net in nets:
        margin = float(least_margin(net.predicted, net.points)[-1])
        yield nt.Row("least margin", net, least_margin, resolves=margin)
    yield nt.Row("RMS error", hardened, rms_error, norm="rms", resolves=rho)


@CLAIM.controls
def controls(
    grid: nt.ClusterGrid, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    problem, rounds, rho = grid.chosen, trainings[CHAIN], grid.chosen.noise_rate
    soft, first = rounds.recipe.distillation, rounds.predicted[: STOP + 1]
    end = rows[f"{CHAIN}: least margin {after(ROUNDS)}"]
    # The signs of the first net are the noisy labels: every round is the first one again.
    again = np.concatenate([first, *[first[1:]] * (ROUNDS - 1)])
    stays = np.concatenate([first, *[first[-1:]] * (ROUNDS - 1) * STOP])
    for id_, broken, targets, predicted in (
        ("hard-targets", "outputs are taught: here their signs are, from the first net on",
         replace(soft, target="hard"), again),
        ("no-restart", "every net starts anew: here one goes on, taught its current outputs",
         replace(soft, epoch=None, restart=False), stays),
    ):  # fmt: skip
        recipe = replace(rounds.recipe, distillation=targets)
        yield nt.Control(id_, broken, end.under(
            replace(rounds, name=id_, recipe=recipe, predicted=predicted)))  # fmt: skip
    yield nt.Control("trained-out", f"nets are stopped: here each takes {problem.steps} steps",
                     end.under(chain(problem, "trained out", problem.steps), at=-1))  # fmt: skip
    # Half-way from 1 to the r^k at which ρ is ρ*_k.
    ratio = ((1 + 2 * (1 - rho) / (1 - 2 * rho)) / 2) ** (1 / ROUNDS)
    low = clustered(problem.spectrum.clusters, problem.spectrum.points, ratio, rho, grid.seed)
    below = nt.Premise("recoverable", rho, recovered(low, ROUNDS), f"ρ < ρ*_{ROUNDS}")
    yield nt.Control("low-ratio", f"ρ < ρ*_{ROUNDS}: here r = {ratio:.3g}",
                     end.under(chain(low, "low ratio", STOP)), unmet=below)  # fmt: skip
    yield nt.Control(
        "hardened-early", "signs are taught when they are right: here those of the first net are",
        rows[f"{HARDENED}: RMS error"].under(
            student(problem, "taught the first signs", rounds, problem.plain, signs=True)),
    )  # fmt: skip


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """Where the boundaries of nets lie, and whether their signs are those of the cell's side."""
    yield from boundaries(run)
    for k in range(1, ROUNDS + 1):
        other = 0
        for cell in run.problem.problems[1:]:
            share = 0.0 if recovered(cell, k) else cell.noise_rate
            off = np.abs(each(run, name_of(cell), k, wrong_signs) - share)
            other += int((off > 1e-9).sum())
        yield nt.Measurement(f"nets with other wrong signs than ρ*_{k} says", 0.0, other, 0.0)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Signs and errors of the chain, and how far off the boundaries are."""
    wrong, error = ([float(each(run, *stage, of).mean()) for stage in STAGES]
                    for of in (wrong_signs, rms_error))  # fmt: skip
    found = [m for m in run.evidence.measurements if m.name.startswith("boundary ")]
    off = max(abs(one.measured - one.predicted) for one in found)
    return (
        f"of {run.nets.count} nets of width {run.nets.widths[-1]} at {name_of(run.problem.chosen)} "
        f"the first has {wrong[0]:.2g} of all signs wrong, the second {wrong[1]:.2g} and the third "
        f"{wrong[2]:.2g}; RMS errors {error[0]:.3f}, {error[1]:.3f}, {error[2]:.3f}, and "
        f"{error[3]:.1g} of one taught the signs. Boundaries are within {off:.2g} of ρ*_k"
    )


CLAIM.arrays(pictures.arrays)
CLAIM.panels = pictures.PANELS
