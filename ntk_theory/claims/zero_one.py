"""A neighbour: 0-1 recovery by early stopping (arXiv 1903.11680), promised and true.

Nets are trained on noisy clusters, tight and wide ones, and stopped at the step that the argument
of the theorem gives: signs, errors and distances from the start are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import RISKS, over_nets
from ntk_theory.checking.fitting import mean_bound
from ntk_theory.checking.functionals import distance_from, rms_error, wrong_signs
from ntk_theory.checking.rows import Array, Taught
from ntk_theory.checking.sweep import PRESETS, Sweep, with_nets
from ntk_theory.claims._zero_one_clusters import RATES, SEPARATION, Recovery, clusters, mixed
from ntk_theory.claims._zero_one_panels import DISTILLED, LONG, PANELS

STUDENT = "student on wide clusters"

CLAIM = nt.Claim(
    "zero-one",
    statement="""On tight clusters early stopping recovers every label of a wide net's training
    points, at the predicted step and near the start, for noise rates up to δ/8 as a theorem
    promises, and beyond, up to ρ* and no further; but the outputs stay farther from the labels than
    2ρ (RMS), where those of self-distillation come close.""",
    formulas=(
        "promised: ρ ≤ δ/8, ‖C‖²/λ(C) steps of K/(n‖C‖²), at most √(K/λ(C)) from the start",
        "stopping time: least T with (1 − ηλ_+)^T ≤ 2ρ",
        "|u_i − y_i| ≤ 4ρ(1−ρ) + 2(1−ρ) g_−(T), below δ/2 for ρ ≤ δ/8 on tight clusters",
        "0-1 error after T steps: 0 if (1−2ρ) g_+ > 2(1−ρ) g_−, else ρ;  ρ* = (r−2)/(2(r−1))",
        "‖W_T − W_0‖² = n [(1−2ρ)² g_+²/λ_+ + 4ρ(1−ρ) g_−²/λ_−]",
    ),
    assumptions=(
        "points within ε_0 of unit centres C, more than 2ε_0 from points of another label",
        "labels of different clusters δ = 2 apart, the same share ρ < 1/2 of wrong ones in each",
        "as many clusters of either label, η ≤ 1/λ_max, zero initial output",
        "constants of the theorem that are not known are 1",
    ),
    derivation="""A net that has learned 1 − 2ρ of the information and no noise is within 4ρ of the
    labels, which is half the distance of two labels for ρ = δ/8. Wrong labels shrink the mean label
    of a cluster and do not turn it, so that signs are right beyond.""",
    source="arXiv 1903.11680, from its abstract; derivation: docs/theory.md, section 6.9",
    presets=with_nets({**PRESETS, "quick": Sweep(512, 4096, 4, nets=5)}, 5, 6, 6, 12),
)

CLAIM.problem(clusters)


def _name(problem: nt.NoisyClusters) -> str:
    return f"r = {problem.ratio:g}, ρ = {problem.noise_rate:g}"


@CLAIM.trainings
def trainings(grid: Recovery) -> Iterator[nt.Training]:
    """Stopped nets of every problem, and three more ways.

    One of them is trained on, one distils itself, and one is a student of nets beyond ρ*.
    """
    stopped = [
        one.training(_name(one), one.plain_recipe(grid.time(one)), one.plain, seed=seed)
        for one, seed in zip(grid.problems, grid.seeds, strict=True)
    ]
    yield from stopped
    problem, seed = grid.chosen, grid.seeds[grid.reference]
    yield problem.plain_training(LONG, seed=seed)
    steps = math.ceil(3 / (problem.learning_rate * problem.spectrum.noise))
    yield replace(problem, steps=steps).distilled_training(DISTILLED, seed=seed)
    wide, time = grid.wide, grid.time(grid.wide)
    stages = [(wide.learning_rate, time)], wide.learning_rate, time
    numbers = nt.predictions.student_training(wide.spectrum, wide.noise_rate, *stages)
    taught = Taught(stopped[-1], lambda outputs: outputs[..., -1, :])
    yield wide.training(STUDENT, wide.plain_recipe(time).relabelled(taught.labels),
                        nt.predictions.ErrorCurve(*numbers, wide.noise_rate), taught=taught,
                        seed=grid.seeds[-1])  # fmt: skip


@CLAIM.closed_forms
def closed_forms(grid: Recovery) -> Iterator[nt.Measurement]:
    """Centres and their kernel, tolerance and stopping times, measured on the data."""
    problem, centres = grid.chosen, grid.centres
    blocks = problem.dataset.inputs.reshape(centres.count, -1, problem.dataset.inputs.shape[1])
    means = nt.data.unit_rows(blocks.mean(axis=1))
    gram, labels = nt.kernels.ntk_limit(means), problem.dataset.clean[:: blocks.shape[1]]
    rate = centres.count / (len(problem.gram) * np.linalg.norm(means, 2) ** 2)
    form = centres.steps_at(problem.learning_rate, blocks.shape[1])
    for name, expected, found in (
        ("ε_0", centres.radius, np.linalg.norm(blocks - means[:, None], axis=-1).max()),
        ("‖C‖²/λ(C)", centres.steps, np.linalg.norm(means, 2) ** 2 / np.linalg.eigvalsh(gram)[0]),
        ("‖C‖²/λ(C) at the rate of nets", form, centres.steps * rate / problem.learning_rate),
        ("√(K/λ(C)), of labels of the centres", centres.distance,
         np.sqrt(labels @ np.linalg.solve(gram, labels))),
        ("4ρ at the noise tolerated, half of δ", np.ptp(labels) / 2, 4 * grid.tolerated),
    ):  # fmt: skip
        yield nt.Measurement(name, float(expected), float(found), 1e-9 * float(expected))
    for one in grid.tight:
        name, time = _name(one), grid.time(one)
        learned = one.plain_recipe(time + 1).kernel_limit()
        means = np.abs(learned.reshape(len(learned), centres.count, -1).mean(axis=-1)).min(axis=-1)
        first = int(np.argmax(means >= (1 - 2 * one.noise_rate) ** 2 - 1e-9))
        largest = float(np.abs(learned[time] - one.dataset.clean).max())
        far = float(np.sqrt(learned[time] @ np.linalg.solve(one.gram, learned[time])))
        yield nt.Measurement(f"{name}: first step with (1 − 2ρ)² learned", time, first, 0.0)
        yield nt.Measurement(f"{name}: largest |u − y|, as promised", grid.bound(one), largest,
                             1e-9, relation=nt.Relation.AT_MOST)  # fmt: skip
        yield nt.Measurement(f"{name}: √(uᵀH⁻¹u)", one.movement(one.plain, time), far, 1e-9)


@CLAIM.rows
def rows(grid: Recovery, *trainings: nt.Training) -> Iterator[nt.Row]:
    """Signs of all, and on tight clusters the errors in both norms, against what bounds them."""
    for place, (problem, training) in enumerate(zip(grid.problems, trainings, strict=False)):
        rho, margin = problem.noise_rate, float(problem.plain.margin()[grid.time(problem)])
        row = partial(nt.Row, training=training)
        yield row("0-1 error", functional=wrong_signs, expect=0.0 if margin > 0 else rho,
                  resolves=rho / 2)  # fmt: skip
        if place >= len(RATES):
            continue
        any_net = partial(row, nets="each of every width")
        largest = distance_from(problem.dataset.clean)
        # Half the margin distinguishes it from none, and half of what is beyond 2ρ from 2ρ.
        yield row("largest |u − y|", functional=largest, expect=1 - margin, resolves=margin / 2)
        if rho <= grid.tolerated:
            yield any_net("largest |u − y| of any net of any width (promised: below δ/2)",
                          functional=largest, bound=SEPARATION / 2,
                          relation=nt.Relation.AT_MOST)  # fmt: skip
        error = float(training.curves["rms_error"][-1])
        yield row("RMS error", functional=rms_error, expect=error, resolves=error / 2 - rho)
        yield any_net("RMS error of any net of any width (bound 2ρ)", functional=rms_error,
                      bound=2 * rho, relation=nt.Relation.AT_LEAST)  # fmt: skip
    problem, (on, distilled, student) = grid.chosen, trainings[-3:]
    form = math.ceil(grid.config()["stopping_time_of_form"])
    right = partial(nt.Row, functional=wrong_signs, expect=0.0,
                    resolves=problem.noise_rate / 2)  # fmt: skip
    yield right(f"0-1 error after {form} steps, those of ‖C‖²/λ(C)", on, at=form)
    yield right("0-1 error in the end", distilled)
    final = float(distilled.curves["rms_error"][-1])
    yield nt.Row("RMS error in the end", distilled, rms_error, expect=final,
                 resolves=final / 2)  # fmt: skip
    yield nt.Row("0-1 error", student, wrong_signs, expect=0.0)


def _moved(run: nt.Run, name: str) -> list[Array]:
    """‖W_T − W_0‖ of the nets of each width."""
    return [one.trajectory.distance for one in run.results[name]]


@CLAIM.measure
def distances(run: nt.Run) -> Iterator[nt.Measurement]:
    """How far nets are from their start when they are stopped, and when they have memorised."""
    grid, widths = run.problem, run.nets.widths
    stopped = [(_name(one), one.movement(one.plain, grid.time(one))) for one in grid.tight]
    for name, far in [*stopped, (LONG, grid.chosen.movement(grid.chosen.plain))]:
        moved = _moved(run, name)
        off = [one - far for one in moved[:-1]]
        allowed, decisive = (
            mean_bound(
                widths, off, widths[-1], run.confidence(len(RATES) + 1, risk), run.nets.count
            )
            for risk in RISKS
        )
        yield over_nets(f"{name}: ‖W_T − W_0‖", far, moved[-1], allowed, far / 10,
                        decisive=decisive)  # fmt: skip
    for one in grid.tight:
        if one.noise_rate <= grid.tolerated:
            yield nt.Measurement(
                f"{_name(one)}: ‖W_T − W_0‖ of any net of any width (√(K/λ(C)))",
                grid.centres.distance, float(np.max(_moved(run, _name(one)))), 0.0,
                relation=nt.Relation.AT_MOST,
            )  # fmt: skip


@CLAIM.controls
def controls(
    grid: Recovery, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    problem, wide, time = grid.chosen, grid.wide, grid.time(grid.chosen)
    row = rows[f"{_name(problem)}: 0-1 error"]
    yield nt.Control(
        "trained-on",
        f"nets are stopped, after {time} steps: here trained for {problem.steps}, 2 t_mem",
        row.under(trainings[LONG], expect=problem.noise_rate),
    )
    yield nt.Control(
        "beyond-threshold",
        f"ρ < ρ*: here ρ = {wide.noise_rate:g} on wide clusters",
        row.under(trainings[_name(wide)], expect=wide.noise_rate),
        unmet=wide.recoverable,
    )
    most = problem.with_noise_rate(0.6)
    yield nt.Control(
        "wrong-majority",
        "right labels are the majority: here six in ten are wrong",
        row.under(replace(most, steps=time).plain_training("majority wrong"), expect=1.0),
        unmet=most.recoverable,
    )
    merged, premise = mixed(problem, time)
    yield nt.Control(
        "two-labels-a-cluster",
        "clusters of different labels are apart: here two of them share a centre",
        row.under(merged, expect=problem.noise_rate),
        unmet=premise,
    )


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Who promises how much, and how much is true."""
    grid, one = run.problem, run.problem.chosen
    name, (start, end) = _name(one), (_moved(run, way)[-1].mean() for way in (_name(one), LONG))
    found = {row.title: float(run.measured(row).mean()) for row in run.declared.rows}
    return (
        f"promised is every label for ρ ≤ {grid.tolerated:g}; nets of width "
        f"{run.nets.widths[-1]} have them at ρ = {max(RATES)} on tight clusters (ρ* = "
        f"{one.threshold:.3g}), at {RATES[-2]} and not at {max(RATES)} on wide ones (ρ* = "
        f"{grid.wide.threshold:.3g}). At ρ = {one.noise_rate:g} they stop {start:.3g} from their "
        f"start (promised {grid.centres.distance:.3g}, memorised {end:.3g}), with outputs "
        f"{found[f'{name}: RMS error']:.3g} (RMS) from the labels, above 2ρ; self-distillation "
        f"ends {found[f'{DISTILLED}: RMS error in the end']:.2g} from them"
    )


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Array]:
    """0-1 errors and distances of stopped nets, at each noise rate; memorised nets' distances."""
    grid = run.problem
    rows = [row for row in run.declared.rows if row.name == "0-1 error"][: len(grid.problems)]
    errors = np.stack([run.measured(row) for row in rows])
    return {
        "tight_zero_one": errors[: len(RATES)],
        "wide_zero_one": errors[len(RATES) :],
        "distance": np.stack([_moved(run, _name(one))[-1] for one in grid.tight]),
        "predicted_distance": np.array([p.movement(p.plain, grid.time(p)) for p in grid.tight]),
        "memorised_distance": _moved(run, LONG)[-1],
    }


CLAIM.panels = PANELS
