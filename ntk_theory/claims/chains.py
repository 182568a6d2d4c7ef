"""Beyond the paper: chains of stopped nets recover labels that one net cannot (theory.md, 6.8).

On a grid of noise rates and ratios nets are taught the outputs of the net before, three rounds of
one step each; at one of the noise rates rounds are longer, nets are new ones, and the last of them
teaches its signs.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import (
    least_margin, mean_margin, relative_margin, rms_error, size, wrong_signs,
)  # fmt: skip
from ntk_theory.checking.rows import LAW, Array, Taught
from ntk_theory.checking.sweep import PRESETS, with_nets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.verdicts import ClaimResult
    from ntk_theory.predictions import ErrorCurve

CLAIM = nt.Claim(
    "chains",
    statement=(
        "A chain of k stopped nets, each taught the outputs of the one before and the first the "
        "noisy labels, can have every label's sign right exactly if the noise rate is below "
        "ρ*_k = (r^k − 2)/(2(r^k − 1)), which tends to 1/2, where one stopped net and hard "
        "current targets end at ρ*_1; its outputs stay farther than 2ρ from the clean labels, and "
        "one more net that is taught their signs ends at these."
    ),
    formulas=(
        "u = A_{t_k} … A_{t_1} ỹ: along an eigenvector Π g_λ(t_j),  g_λ(t) = 1 − (1 − ηλ)^t",
        "signs right iff (1−2ρ) Π g_+ > 2(1−ρ) Π g_−;  each g_+/g_− ≤ r, and = r for t = 1",
        "t = 1: least margin over size [(1−2ρ) r^k − 2(1−ρ)] / sqrt((1−2ρ)² r^{2k} + 4ρ(1−ρ))",
        "‖u − y‖²/n = (1 − (1−2ρ) Π g_+)² + 4ρ(1−ρ) Π g_−² > (2ρ)²",
        "taught sign(u) = y:  error (1 − ηλ_+)^t → 0",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ of wrong labels in each",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "Training on fixed labels z retrieves A_t z with A_t = I − (I − ηH)^t, and these matrices "
        "share the eigenvectors of H, so the filters of a chain multiply: k rounds have the ratio "
        "r^k where one has r. A filter is at most 1, so the clean labels keep the factor 1 − 2ρ "
        "that noise leaves them, until outputs are hardened (docs/theory.md, section 6.8). At "
        "width m outputs are off by O(m^{-1/2}), by the law of section 9.6."
    ),
    source="beyond arXiv 1910.01255 (C2); derivation: docs/theory.md, section 6.8",
    presets=with_nets(PRESETS, 6, 8, 4, 8),
)

ROUNDS, STOP = 3, 2
"""Nets of a chain; steps of each at the noise rate that is looked at more closely."""

RATIOS = (1.75, 2.0, 2.5, 3.0, 4.0)
"""Some where one net recovers no noise rate at all."""

_CLEAR = 0.15
"""Relative margins of a cell are at least as far from 0, after any number of rounds."""

CHAIN, HARDENED = "rounds", "net taught the signs"


def _cells(ratio: float, points: int) -> list[float]:
    """Noise rates next to every ρ*_k, on either side, as far as there are some."""
    margin, chosen = nt.predictions.chain_margin, set()
    clear = [j / points for j in range(1, (points + 1) // 2)
             if all(abs(margin(ratio, j / points, k)) > _CLEAR for k in range(1, ROUNDS + 1))]  # fmt: skip
    for k in range(1, ROUNDS + 1):
        threshold = nt.predictions.chain_threshold(ratio, k)
        chosen |= {max((rho for rho in clear if rho < threshold), default=None),
                   min((rho for rho in clear if rho > threshold), default=None)}  # fmt: skip
    return sorted(chosen - {None})


@CLAIM.problem
def _problem(
    *, seed: int, clusters: int = 2, points: int = 20, ratio: float | None = None,
    learning_rate: float | None = None,
) -> nt.ClusterGrid:  # fmt: skip
    """Cells on both sides of every ρ*_k, and a noise rate half-way between ρ*_1 and ρ*_2.

    Args:
        seed: of the wrong labels, and of all nets.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−; several from 1.75 to 4 when left out.
        learning_rate: η; 1/2 over λ_+ when left out.
    """
    ratios = RATIOS if ratio is None else (ratio,)
    if not all(math.isfinite(one) and one > 1 for one in ratios):
        raise ValueError(f"ratio must be above 1 and finite; got {ratios[0]}")
    middle = sum(nt.predictions.chain_threshold(ratios[-1], k) for k in (1, 2)) / 2
    close = (ratios[-1], max(round(middle * points), 1) / points, STOP)
    problems = tuple(
        nt.noisy_clusters(
            clusters=clusters, points=points, ratio=one, noise_rate=rho, seed=seed, share=0.5,
            learning_rate=learning_rate, schedule=f"constant:burn_in={stop},level=0", noise_times=5,
        )
        for one, rho, stop in [close, *((r, rho, 1) for r in ratios for rho in _cells(r, points))]
    )  # fmt: skip
    return nt.ClusterGrid(problems, seed, recoverable=False)


def _name(problem: nt.NoisyClusters) -> str:
    return f"ρ = {problem.noise_rate:g}, r = {problem.ratio:g}"


def _stopped(problem: nt.NoisyClusters, *stops: int) -> ErrorCurve:
    """A net over its steps, to the last of these, whose teachers were stopped at the others."""
    *teachers, own = [(problem.learning_rate, stop) for stop in stops]
    numbers = nt.predictions.student_training(problem.spectrum, problem.noise_rate, teachers, *own)
    return nt.predictions.ErrorCurve(*numbers, problem.noise_rate, problem.label_mean)


def _chain(problem: nt.NoisyClusters, name: str, stop: int, **more: Any) -> nt.Training:
    """Rounds of one net: each starts at its initial weights, taught what it was before."""
    schedule = nt.targets.BurnIn(stop, nt.targets.Constant(0))
    soft = nt.targets.Distillation(schedule, "soft", epoch=stop, restart=True)
    recipe = replace(problem.recipe, distillation=soft, steps=ROUNDS * stop)
    first, *others = (_stopped(problem, *[stop] * k) for k in range(1, ROUNDS + 1))
    joined = (np.concatenate([getattr(first, part), *(getattr(one, part)[1:] for one in others)])
              for part in ("mean_error", "information_error", "memorised_noise"))  # fmt: skip
    curve = nt.predictions.ErrorCurve(*joined, problem.noise_rate, problem.label_mean)
    return problem.training(name, recipe, curve, **more)


def _student(
    problem: nt.NoisyClusters, name: str, by: nt.Training, curve: ErrorCurve, **more: Any
) -> nt.Training:
    """Another net on a curve, taught the outputs at step `STOP`, or, if it is trained out, signs."""
    steps = curve.mean_error.size - 1
    taught = Taught(by, lambda u: u[..., STOP, :] if steps == STOP else np.sign(u[..., STOP, :]))
    recipe = problem.plain_recipe(steps).relabelled(taught.labels)
    return problem.training(name, recipe, curve, taught=taught, **more)


@CLAIM.trainings
def trainings(grid: nt.ClusterGrid) -> Iterator[nt.Training]:
    """Rounds in every cell, and in one of them new nets, the last of which teaches its signs."""
    problem, ends = grid.chosen, [STOP * k for k in range(1, ROUNDS + 1)]
    chain = by = _chain(problem, CHAIN, STOP, signs_at=ends)
    yield chain
    for k in range(2, ROUNDS + 1):
        by = _student(problem, f"net {k}", by, _stopped(problem, *[STOP] * k), signs_at=(STOP,))
        yield by
    clean = nt.predictions.hardened_student_training(
        problem.spectrum, problem.learning_rate, problem.steps
    )
    curve = nt.predictions.ErrorCurve(*clean, problem.noise_rate, problem.label_mean)
    yield _student(problem, HARDENED, by, curve)
    for cell, seed in zip(grid.problems[1:], grid.seeds[1:], strict=True):
        yield _chain(cell, _name(cell), 1, seed=seed, widths=(-1,))


def _recovered(problem: nt.NoisyClusters, k: int) -> bool:
    return problem.noise_rate < nt.predictions.chain_threshold(problem.ratio, k)


@CLAIM.premises
def premises(grid: nt.ClusterGrid) -> Iterator[nt.Premise]:
    """What is looked at more closely is beyond one net; there are cells on every side."""
    problem = grid.chosen
    spare = min((-1 if k == 1 else 1) * float(_stopped(problem, *[STOP] * k).margin()[-1])
                for k in range(1, ROUNDS + 1))  # fmt: skip
    yield nt.Premise("wrong after one net, right after more", spare,
                     spare > 0 and not _recovered(problem, 1),
                     f"least of the margins of {_name(problem)}, that of one net negated > 0")  # fmt: skip
    sides = {(k, _recovered(cell, k)) for cell in grid.problems[1:] for k in range(1, ROUNDS + 1)}
    yield nt.Premise("cells on both sides", len(sides), len(sides) == 2 * ROUNDS,
                     f"below and above ρ*_k, k = 1..{ROUNDS}, |relative margin| > {_CLEAR}")  # fmt: skip


def _nets(k: int) -> str:
    return f"{k} nets" if k > 1 else "1 net"


@CLAIM.rows
def rows(grid: nt.ClusterGrid, chain: nt.Training, *others: nt.Training) -> Iterator[nt.Row]:
    """Margins of every cell; errors, sizes and signs of the one that is looked at more closely."""
    problem, (*nets, hardened), cells = grid.chosen, others[:ROUNDS], others[ROUNDS:]
    for cell, training in zip(grid.problems[1:], cells, strict=True):
        for k in range(1, ROUNDS + 1):
            margin = nt.predictions.chain_margin(cell.ratio, cell.noise_rate, k)
            # Towards 0 no further than the sign is certain.
            yield nt.Row(f"relative margin after {_nets(k)}", training, relative_margin, at=k,
                         norm=LAW, nets="each", expect=margin,
                         resolves=(margin, math.inf) if margin > 0 else (math.inf, -margin))  # fmt: skip
    rho = problem.noise_rate
    for k in range(1, ROUNDS + 1):
        curve, more = (_stopped(problem, *[STOP] * rounds) for rounds in (k, k + 1))
        signal, error = 1 + float(curve.information_error[-1]), float(curve.rms_error()[-1])
        # Half of what one net more takes away.
        yield nt.Row(f"mean margin after {_nets(k)}", chain, mean_margin(), at=k * STOP, norm=LAW,
                     expect=signal, resolves=(signal - 1 - more.information_error[-1]) / 2)  # fmt: skip
        margin = float(curve.margin()[-1])
        yield nt.Row(f"least margin after {_nets(k)}", chain, least_margin, at=k * STOP, norm=LAW,
                     nets="each", expect=margin, resolves=abs(margin))  # fmt: skip
        yield nt.Row(f"RMS error after {_nets(k)} (bound 2ρ)", chain, rms_error, at=k * STOP,
                     norm=LAW, expect=error, resolves=error - 2 * rho, tell=True)  # fmt: skip
    yield nt.Row("least RMS error of any net at any step (bound 2ρ)", chain, rms_error,
                 at=nt.ALL_STEPS, reduce=np.min, norm=LAW, nets="each", bound=2 * rho,
                 relation=nt.Relation.AT_LEAST, resolves=rho)  # fmt: skip
    # Signs follow from margins that exceed what nets scatter, a premise; shares round by n eps.
    rounding = len(chain.recipe.observed) * float(np.finfo(float).eps)
    for training, at, share in ((chain, STOP, rho), *((net, -1, 0.0) for net in (*nets, hardened))):
        yield nt.Row("share of wrong signs", training, wrong_signs, at=at, expect=share,
                     nets="each", tolerance=lambda _: rounding, tell=True)  # fmt: skip
    for training in nets:
        margin = float(least_margin(training.predicted, training.points)[-1])
        yield nt.Row("least margin", training, least_margin, resolves=margin)
    yield nt.Row("RMS error", hardened, rms_error, norm="rms", resolves=rho, tell=True)


@CLAIM.controls
def controls(
    grid: nt.ClusterGrid, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    problem, chain = grid.chosen, trainings[CHAIN]
    end, learned = (
        rows[f"{CHAIN}: least margin after {_nets(ROUNDS)}"],
        rows[f"{HARDENED}: RMS error"],
    )
    first, steps = _stopped(problem, STOP), ROUNDS * STOP
    # One net has the wrong signs: taught hardened, they are the noisy labels again.
    again = np.tile(chain.predicted[1 : STOP + 1], (ROUNDS, 1))
    hard = replace(chain.recipe, distillation=replace(chain.recipe.distillation, target="hard"))
    yield nt.Control(
        "hard-targets",
        "outputs are taught as they are: here their signs are, from the first net on",
        end.under(replace(chain, name="hard rounds", recipe=hard,
                          predicted=np.concatenate([chain.predicted[:1], again]))),
    )  # fmt: skip
    current = replace(chain.recipe.distillation, epoch=None, restart=False)
    stays = np.pad(chain.predicted[: STOP + 1], ((0, steps - STOP), (0, 0)), mode="edge")
    yield nt.Control(
        "no-restart",
        "every net starts anew: here one net goes on, taught what it is",
        end.under(replace(chain, name="one net", predicted=stays,
                          recipe=replace(chain.recipe, distillation=current))),
    )  # fmt: skip
    out = problem.steps
    yield nt.Control(
        "trained-out",
        f"nets are stopped: here each is trained for {out} steps",
        end.under(_chain(problem, "rounds trained out", out)),
    )
    low = nt.noisy_clusters(
        clusters=problem.spectrum.clusters, points=problem.spectrum.points, ratio=1.5,
        noise_rate=problem.noise_rate, seed=grid.seed, share=0.5, noise_times=5,
    )  # fmt: skip
    yield nt.Control(
        "low-ratio",
        f"ρ < ρ*_{ROUNDS}: here r = {low.ratio:g}",
        end.under(_chain(low, "rounds at a low ratio", STOP)),
        unmet=nt.Premise(
            "recoverable by the chain", low.noise_rate, _recovered(low, ROUNDS), "ρ < ρ*_k"
        ),
    )
    yield nt.Control(
        "hardened-early",
        "signs are taught when all are right: here they are those of the first net",
        learned.under(_student(problem, "net taught the first signs", chain, problem.plain)),
    )


def _sides(grid: nt.ClusterGrid) -> Iterator[tuple[int, int, int]]:
    """Neighbours on both sides of a threshold: number of nets, place of the cell below, above."""
    for places in grid.by_ratio.values():
        cells = [place for place in places if place]
        for k in range(1, ROUNDS + 1):
            for one, other in pairwise(cells):
                if _recovered(grid.problems[one], k) > _recovered(grid.problems[other], k):
                    yield k, one, other


def _root(rates: Array, values: Array) -> float:
    """Where the line through two points is 0."""
    return float(rates[0] + (rates[1] - rates[0]) * values[0] / (values[0] - values[1]))


@CLAIM.closed_forms
def closed_forms(grid: nt.ClusterGrid) -> Iterator[nt.Measurement]:
    """Margins after k rounds are linear in ρ, and 0 at ρ*_k."""
    off = []
    for k, *places in _sides(grid):
        cells = [grid.problems[place] for place in places]
        margins = np.array([_stopped(cell, *[1] * k).margin()[-1] for cell in cells])
        root = _root(np.array([cell.noise_rate for cell in cells]), margins)
        off.append(abs(root - nt.predictions.chain_threshold(cells[0].ratio, k)))
    yield nt.Measurement("ρ*_k − root of closed-form margins, largest", 0.0, max(off), 1e-9)


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """Where nets stop to have every label right, and whether they do so on either side."""
    grid, widest = run.problem, run.nets.widths[-1]
    titled = {row.title: row for row in run.declared.rows}
    for k, *places in _sides(grid):
        cells = [grid.problems[place] for place in places]
        rows = [titled[f"{_name(cell)}: relative margin after {_nets(k)}"] for cell in cells]
        rates = np.array([cell.noise_rate for cell in cells])
        sizes = np.array([size(row.training.predicted, row.training.points)[k] for row in rows])
        found = sizes * [run.measured(row).mean() for row in rows]
        off = sizes * [max(run.law_sides(replace(row, nets="mean"), widest)) for row in rows]
        slope = abs(np.subtract(*(sizes * [row.predicted for row in rows])) / np.diff(rates))[0]
        root, threshold = _root(rates, found), nt.predictions.chain_threshold
        share = (root - rates[0]) / (rates[1] - rates[0])
        exact = [threshold(cells[0].ratio, j) for j in (k - 1 or k + 1, k, k + 1)]
        yield nt.Measurement(
            f"boundary after {_nets(k)}, r = {cells[0].ratio:g}", exact[1], root,
            float(abs(np.array([1 - share, share])) @ off / slope),
            resolution=min(abs(exact[1] - exact[0]), exact[2] - exact[1]) / 2,
        )  # fmt: skip
    for k in range(1, ROUNDS + 1):
        for side in (True, False):
            bad = 0
            for cell in grid.problems[1:]:
                if _recovered(cell, k) == side:
                    one = run.trainings[_name(cell)]
                    wrong = wrong_signs(run.widest(one).outputs(), one.points)[:, k]
                    bad += int((abs(wrong - (0 if side else cell.noise_rate)) > 1e-9).sum())
            what = (
                "below ρ*_k with a wrong label"
                if side
                else "above ρ*_k with other wrong labels than the flipped"
            )
            yield nt.Measurement(f"nets {what}, after {_nets(k)}", 0.0, bad, 0.0)


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Array]:
    """Cells with the nets that each takes, and errors of new nets, the last taught signs."""
    cells, stages = (
        run.problem.problems[1:],
        [CHAIN, *(f"net {k}" for k in range(2, ROUNDS + 1)), HARDENED],
    )
    right = np.array(
        [
            [
                (
                    wrong_signs(
                        run.widest(_name(cell)).outputs(), run.trainings[_name(cell)].points
                    )[:, k]
                    == 0
                ).all()
                for k in range(1, ROUNDS + 1)
            ]
            for cell in cells
        ]
    )
    kept = {
        "ratio": np.array([cell.ratio for cell in cells]),
        "noise_rate": np.array([cell.noise_rate for cell in cells]),
        "takes": np.where(right.any(axis=1), right.argmax(axis=1) + 1, 0),
    }
    for name, functional in (("RMS error", rms_error), ("share of wrong signs", wrong_signs)):
        every = [(run.trainings[one], STOP if one == CHAIN else -1) for one in stages]
        kept[name] = np.stack(
            [functional(run.widest(one).outputs(), one.points)[:, at] for one, at in every]
        )
        kept[f"predicted {name}"] = np.array(
            [functional(one.predicted, one.points)[at] for one, at in every]
        )
    return kept


def _phase_diagram(axes: Axes, result: ClaimResult) -> None:
    """How many nets does it take, at which noise rate and ratio?"""
    arrays, drawing = result.arrays, nt.drawing
    if "takes" not in arrays:
        return
    x, y, takes = arrays["ratio"], arrays["noise_rate"], arrays["takes"]
    ratios = np.geomspace(min(x) / 1.2, max(x) * 1.1, 80)
    for k, colour, marker in (
        (1, drawing.BLUE, "o"),
        (2, drawing.GREEN, "s"),
        (3, drawing.ORANGE, "^"),
        (0, drawing.INDIGO, "X"),
    ):
        label = f"right after {_nets(k)}" if k else f"wrong after {ROUNDS}"
        drawing.dots(axes, x[takes == k], y[takes == k], colour, label, marker, size=5)
        if k:
            threshold = nt.predictions.chain_threshold(ratios, k)
            drawing.prediction(axes, ratios, threshold, of=rf"$\rho^*_{k}$")
            drawing.at_the_end(axes, ratios[-1], threshold[-1], rf"$\rho^*_{k}$")
    axes.set(xlabel=r"ratio $r=\lambda_+/\lambda_-$", ylabel="noise rate ρ", ylim=(0, 0.52))
    axes.legend(loc="lower right")


def _net_by_net(axes: Axes, result: ClaimResult) -> None:
    """How do outputs and signs of a chain change from net to net?"""
    arrays, drawing = result.arrays, nt.drawing
    if "RMS error" not in arrays:
        return
    names = [f"net {k}" for k in range(1, ROUNDS + 1)]
    x = np.arange(1, ROUNDS + 2)
    for name, colour, marker in (
        ("RMS error", drawing.ORANGE, "o"),
        ("share of wrong signs", drawing.BLUE, "s"),
    ):
        drawing.dots(axes, x, arrays[name], colour, name, marker, size=4)
        drawing.prediction(
            axes,
            x,
            arrays[f"predicted {name}"],
            "closed forms" if colour == drawing.ORANGE else None,
            of=name,
        )
    drawing.bound(axes, 2 * result.config["noise_rate"][0], "2ρ")
    axes.set_xticks(x, [*names, f"taught the\nsigns of net {ROUNDS}"])
    axes.set(ylim=(-0.05, 1.05))
    axes.legend(loc="center")


CLAIM.panels = {"phase-diagram": _phase_diagram, "net-by-net": _net_by_net}
