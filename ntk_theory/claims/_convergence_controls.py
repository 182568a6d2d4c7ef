"""`convergence` with one premise broken at a time (docs/theory.md, sections 5 to 8 and 10)."""

from __future__ import annotations

__all__ = ["controls", "work"]

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import rms_error
from ntk_theory.claims._convergence_variants import LEVEL, gap_of, on_clusters
from ntk_theory.runs import over_nets

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration

Array = NDArray[np.float64]

_ERROR = "final RMS error"
_STREAM = 1
"""Keeps what controls draw apart from the nets of the claim."""

_RATIO = 1.5
"""λ_+/λ_− at which no noise rate is recoverable."""

_SAMPLES, _SPREAD = 400, 4.0
"""Draws from which a random failure is predicted, and how many standard errors that is off."""

_PLAIN_NETS, _NARROW_NETS, _NARROW = 16, 64, 2
"""Nets that start with an output, nets of one pair of neurons, and their width."""


def _rng(seed: object, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_STREAM, *key)))  # type: ignore[arg-type]


def controls(problem: nt.NoisyClusters) -> Iterator[nt.Control]:
    """Each is far from what the claim says, and where theory says."""

    def ends(training: nt.Training, claimed: float) -> nt.Row:
        return nt.Row(_ERROR, training, rms_error, norm="rms", claimed=claimed)

    claimed, levels = float(problem.distilled.rms_error()[-1]), problem.spectrum
    yield nt.Control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        ends(problem.soft_training(), claimed),
    )
    constant = problem.with_schedule(nt.targets.BurnIn(problem.burn_in, nt.targets.Constant(LEVEL)))
    yield nt.Control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {LEVEL} for ever",
        ends(constant.distilled_training("constant weight"), claimed),
        unmet=constant.labels_fade_out,
    )
    # Schedule, learning rate and steps are the default ones of the new ratio.
    above = nt.noisy_clusters(
        clusters=levels.clusters, points=levels.points, ratio=_RATIO, seed=problem.seed,
        noise_rate=problem.noise_rate, cross_cosine=problem.cross_cosine,
    )  # fmt: skip
    yield nt.Control(
        "above-threshold",
        f"ρ < ρ*: here λ_+/λ_− = {_RATIO}, at which no noise rate is recoverable",
        ends(above.hard_training("above the threshold"), float(above.distilled.rms_error()[-1])),
        unmet=above.recoverable,
    )
    late = problem.with_burn_in(math.ceil(2 * problem.memorisation_time))
    yield nt.Control(
        "late-burn-in",
        f"burn-in < t_mem: here it takes {late.burn_in} steps, twice t_mem",
        ends(late.hard_training("late burn-in"), claimed),
        unmet=late.early_burn_in,
    )
    yield _plain_start(problem, claimed)
    yield _pair_flips(problem)
    yield _one_pair(problem, claimed)


def _pair_flips(problem: nt.NoisyClusters) -> nt.Control:
    """More than half of every class is called the next one: that one is learned (section 7.6).

    Exchanging the two classes of every cluster turns it into a problem below one half, whose
    closed form tells where the nets end.
    """
    classes, rate = 4, 2 / 3
    design = nt.data.equicorrelated_clusters(classes, 12, ratio=40.0)
    dataset = nt.data.noisy_labels(
        design, noise_rate=rate, rng=_rng(problem.seed, classes), classes=classes, noise="pair"
    )
    learned = replace(dataset, clean_class=(dataset.clean_class + 1) % classes)
    below, gap = on_clusters("pair flips", learned), gap_of(dataset)
    claimed = float(rms_error(below.predicted, below.points)[-1])
    training = replace(below, labels=dataset.clean, widths=None, nets=None)
    return nt.Control(
        "pair-flips-above-half",
        f"pair flips of less than one half: here {rate:.0%} of every class are called the next one",
        nt.Row(_ERROR, training, rms_error, norm="rms", claimed=claimed),
        unmet=nt.Premise("label gap", gap, gap > 0, "δ > 0: the right class leads everywhere"),
    )


def _errors(run: nt.Run, problem: nt.NoisyClusters, width: int, count: int) -> Array:
    """RMS error of control nets in the end."""
    made = run.nets.train_controls(problem.recipe, width, count, progress=run.progress)
    return np.asarray(made.rms_error(problem.dataset.clean)[:, -1])


def _middle(widths: tuple[int, ...]) -> int:
    return widths[(len(widths) - 1) // 2]


def work(declared: Declaration) -> float:
    """Neuron-steps of the nets that start with an output."""
    return float(_PLAIN_NETS * _middle(declared.nets.widths) * declared.problem.steps)


def _plain_start(problem: nt.NoisyClusters, claimed: float) -> nt.Control:
    """An initial output of order one spoils signs, and a wrong sign is taught back (section 8)."""
    levels, rng = problem.spectrum, _rng(problem.seed)
    for scale in (1.0, 2.0, 4.0, 8.0, 16.0):
        first = nt.predictions.initial_output_samples(
            levels.clusters, levels.points, problem.angle, problem.cross_cosine, scale, _SAMPLES, rng
        )
        final = nt.predictions.block_recursion(
            levels, problem.dataset.observed, problem.learning_rate, problem.weights, first
        )
        errors = np.sqrt(np.square(final - problem.dataset.clean).mean(axis=1))
        spread = _SPREAD * float(errors.std()) / math.sqrt(_PLAIN_NETS)
        # A high ratio or few points leave the signs right at scale 1: then break it harder.
        if errors.mean() - 2 * spread > claimed + problem.noise_rate / 2:
            break
    broken, predicted = replace(problem, init_scale=scale), float(errors.mean())

    def measured(run: nt.Run) -> tuple[nt.Measurement, float]:
        row, width = run.declared.rows[0], _middle(run.nets.widths)
        room = run.bound(replace(row, at=nt.ALL_STEPS, reduce=np.max), width, from_all=True)
        found = _errors(run, broken, width, _PLAIN_NETS)
        return over_nets(_ERROR, predicted, found, room + spread), claimed

    return nt.Control(
        "plain-initialisation",
        f"zero initial output: here w ~ N(0, {scale:g}² I) without pairs",
        unmet=broken.zero_start,
        measured=measured,
    )


def _one_pair(problem: nt.NoisyClusters, claimed: float) -> nt.Control:
    """A net of one pair of neurons learns nothing where that pair is inactive (section 10).

    Outputs of a cluster on which it is inactive are 0, as are their gradients: where clusters are
    orthogonal they stay 0, at the distance 1 from the labels.
    """
    levels, inputs, wanted = problem.spectrum, problem.dataset.inputs, 4 * problem.lazy_width
    drawn = _rng(problem.seed, _NARROW).standard_normal((_SAMPLES, inputs.shape[1]))
    inactive = (drawn @ inputs.T <= 0).reshape(_SAMPLES, levels.clusters, levels.points)
    errors, nets = np.sqrt(inactive.all(axis=2).mean(axis=1)), _NARROW_NETS
    spread = _SPREAD * float(errors.std())
    # Wide clusters are seldom inactive as a whole: then it takes more nets to see it.
    while nets < 4**2 * _NARROW_NETS and errors.mean() - 2 * spread / math.sqrt(nets) < claimed:
        nets *= 4

    def measured(run: nt.Run) -> tuple[nt.Measurement, float]:
        found, room = _errors(run, problem, _NARROW, nets), spread / math.sqrt(nets)
        return over_nets(_ERROR, errors.mean(), found, room, relation=nt.Relation.AT_LEAST), claimed

    lazy = nt.Premise("lazy width", _NARROW, wanted <= _NARROW, f"m >= {math.ceil(wanted)}")
    return nt.Control(
        "width-2",
        f"a wide net, from {math.ceil(wanted)} neurons on: here the width is {_NARROW}",
        unmet=None if lazy.holds else lazy,
        measured=measured,
    )
