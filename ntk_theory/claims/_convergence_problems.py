"""What `convergence` trains besides: variants, and runs with one premise broken.

Sections are those of docs/theory.md.
"""

from __future__ import annotations

__all__ = ["controls", "variants", "work"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import over_nets
from ntk_theory.checking.functionals import Array, rms_error
from ntk_theory.checking.sweep import CONTROL_STREAM, net_seeds
from ntk_theory.distilled import LEVEL, Units, gap_of, on_clusters, on_gram

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.data import Dataset, Design, LabelNoise

_ERROR = "final RMS error"
_CONTROLS, _VARIANTS = 1, 3
"""Keep what controls and variants draw apart from nets."""

_SAMPLES, _SPREAD = 400, 4.0
"""Draws from which a random failure is predicted, and how many standard errors that is off."""

_PLAIN_NETS, _NARROW_NETS, _NARROW = 16, 64, 2
"""Nets that start with an output, nets of one pair of neurons, and their width."""


def _own_widths(run: Sequence[int]) -> list[int]:
    return [max(256, run[0]) * 2**rung for rung in range(4)]


def variants(seed: int) -> list[nt.Training]:
    """Every variant, on data drawn from the seed of a run, with nets of its own."""
    return [replace(one, widths=_own_widths, nets=4) for one in _all(seed)]


def _on_design(
    name: str, design: Design, rng: np.random.Generator, noise_rate: float, *, rank: int,
    share: float, earlier: float, times: float,
) -> nt.Training:  # fmt: skip
    """A variant on any data; the median of all eigenvalues but so many gives the unit of time.

    Its burn-in is by some factor shorter than a quarter of the memorisation time.
    """
    dataset = nt.data.noisy_labels(design, noise_rate=noise_rate, rng=rng)
    gram = nt.kernels.ntk_limit(dataset.inputs)
    eigenvalues = nt.spectrum.eigendecomposition(gram).eigenvalues
    noise, top = float(np.median(eigenvalues[:-rank])), float(eigenvalues[-1])
    units = Units.of(noise, top, 1 - 2 * dataset.noise_rate, share, times)
    units = units._replace(quarter=units.quarter / earlier)
    return on_gram(name, dataset, gram, units.power, units)


def _all(seed: int) -> Iterator[nt.Training]:
    data, key = nt.data, np.random.SeedSequence(seed, spawn_key=(_VARIANTS,))
    draws = [np.random.default_rng(child) for child in key.spawn(6)]

    def classes(rng: np.random.Generator, count: int, noise: LabelNoise, rate: float) -> Dataset:
        design = data.equicorrelated_clusters(count, 12, ratio=40.0)
        return data.noisy_labels(
            design, noise_rate=rate, rng=rng, classes=count, noise=noise, count="balanced"
        )

    two, sharper = (
        data.noisy_labels(data.equicorrelated_clusters(6, 10, ratio=r), noise_rate=0.3, rng=rng)
        for r, rng in ((20.0, draws[0]), (30.0, draws[1]))
    )
    yield on_clusters("constant weight 1/4", two, "constant")
    yield on_clusters("agreement schedule", two, "agreement")
    yield on_clusters("geometric schedule", two, "geometric")
    yield on_clusters("power schedule", two)
    yield on_clusters("both layers", two, both_layers=True)
    yield on_clusters("lag of an epoch", two, epoch=2)
    restarted = "restart every epoch, weight 1/4"
    yield on_clusters(restarted, sharper, "constant", epoch=10, restart=True)
    symmetric = classes(draws[2], 5, "symmetric", 7 / 12)
    yield on_clusters("5 classes, 58 % symmetric noise", symmetric)
    yield on_clusters("4 classes, 33 % pair flips", classes(draws[3], 4, "pair", 1 / 3))
    design = data.gaussian_clusters(6, 10, 50, radius=0.4, rng=draws[4])
    yield _on_design("Gaussian clusters", design, draws[4], 0.2, rank=6, share=0.5, earlier=1.5,
                     times=3)  # fmt: skip
    design = data.power_law(60, 40, exponent=2.0, rng=draws[5], kept=0.5)
    yield _on_design("power law", design, draws[5], 0.1, rank=1, share=1.0, earlier=3.0, times=1)


def controls(problem: nt.NoisyClusters) -> Iterator[nt.Control]:
    """Each is far from what the claim says, and where theory says."""
    claimed, levels = float(problem.distilled.rms_error()[-1]), problem.spectrum
    end = nt.Row(_ERROR, problem.distilled_training(), rms_error, norm="rms", expect=claimed)
    yield nt.distilled.soft_targets(problem, end)
    constant = problem.with_schedule(nt.targets.BurnIn(problem.burn_in, nt.targets.Constant(LEVEL)))
    yield nt.Control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {LEVEL} for ever",
        end.under(constant.distilled_training("constant weight")),
        unmet=constant.labels_fade_out,
    )
    # Schedule, learning rate and steps are the default ones of the new ratio.
    above = nt.noisy_clusters(
        clusters=levels.clusters, points=levels.points, ratio=1.5, seed=problem.seed,
        noise_rate=problem.noise_rate, cross_cosine=problem.cross_cosine,
    )  # fmt: skip
    yield nt.Control(
        "above-threshold",
        "ρ < ρ*: here λ_+/λ_− = 1.5, at which no noise rate is recoverable",
        end.under(above.hard_training("above the threshold"),
                  claimed=float(above.distilled.rms_error()[-1])),
        unmet=above.recoverable,
    )  # fmt: skip
    yield nt.distilled.late_burn_in(problem, end)
    yield _plain_start(problem, claimed)
    yield _pair_flips(problem)
    yield _one_pair(problem, claimed)


def _rng(problem: nt.NoisyClusters, *key: int) -> np.random.Generator:
    seed = np.random.SeedSequence(problem.seed, spawn_key=(_CONTROLS, *key))
    return np.random.default_rng(seed)


def _pair_flips(problem: nt.NoisyClusters) -> nt.Control:
    """More than half of every class is called the next one: that one is learned (section 7.6).

    Exchanging the two classes of every cluster turns it into a problem below one half, whose
    closed form tells where the nets end.
    """
    classes, rate = 4, 2 / 3
    design = nt.data.equicorrelated_clusters(classes, 12, ratio=40.0)
    dataset = nt.data.noisy_labels(
        design,
        noise_rate=rate,
        rng=_rng(problem, classes),
        classes=classes,
        noise="pair",
    )
    learned = replace(dataset, clean_class=(dataset.clean_class + 1) % classes)
    below, gap = on_clusters("pair flips", learned), gap_of(dataset)
    claimed = float(rms_error(below.predicted, below.points)[-1])
    training = replace(below, labels=dataset.clean)
    return nt.Control(
        "pair-flips-above-half",
        f"pair flips of less than one half: here {rate:.0%} of every class are called the next one",
        nt.Row(_ERROR, training, rms_error, norm="rms", claimed=claimed),
        unmet=nt.Premise("label gap", gap, gap > 0, "δ > 0: the right class leads everywhere"),
    )


def _errors(run: nt.Run, problem: nt.NoisyClusters, width: int, count: int) -> Array:
    """RMS error of control nets in the end."""
    seeds = net_seeds(run.nets.seed, width, count, CONTROL_STREAM)
    made = run.nets.train(problem.recipe, width, seeds, progress=run.progress)
    return np.asarray(made.rms_error(problem.dataset.clean)[:, -1])


def _middle(widths: tuple[int, ...]) -> int:
    return widths[(len(widths) - 1) // 2]


def work(declared: Declaration) -> float:
    """Neuron-steps of the nets that start with an output."""
    return float(_PLAIN_NETS * _middle(declared.nets.widths) * declared.problem.steps)


def _plain_start(problem: nt.NoisyClusters, claimed: float) -> nt.Control:
    """An initial output of order one spoils signs, and a wrong sign is taught back (section 8)."""
    rng = _rng(problem)
    for scale in (1.0, 2.0, 4.0, 8.0, 16.0):
        errors = problem.errors_from_random_starts(scale, _SAMPLES, rng)
        spread = _SPREAD * float(errors.std()) / math.sqrt(_PLAIN_NETS)
        # A high ratio or few points leave the signs right at scale 1: then break it harder.
        if errors.mean() - 2 * spread > claimed + problem.noise_rate / 2:
            break
    broken, predicted = replace(problem, init_scale=scale), float(errors.mean())

    def measured(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        row, width = run.declared.rows[0], _middle(run.nets.widths)
        room = run.bound(replace(row, at=nt.ALL_STEPS, reduce=np.max), width, from_all=True)
        found = _errors(run, broken, width, _PLAIN_NETS)
        off = room + spread
        return over_nets(_ERROR, predicted, found, off), claimed, off

    return nt.Control(
        "plain-initialisation",
        f"zero initial output: here w ~ N(0, {scale:g}² I) without pairs",
        unmet=broken.zero_start,
        measure=measured,
    )


def _one_pair(problem: nt.NoisyClusters, claimed: float) -> nt.Control:
    """A net of one pair of neurons learns nothing where that pair is inactive (section 10).

    Outputs of a cluster on which it is inactive are 0, as are their gradients: where clusters are
    orthogonal they stay 0, at the distance 1 from the labels.
    """
    levels, inputs, wanted = problem.spectrum, problem.dataset.inputs, 4 * problem.lazy_width
    drawn = _rng(problem, _NARROW).standard_normal((_SAMPLES, inputs.shape[1]))
    inactive = (drawn @ inputs.T <= 0).reshape(_SAMPLES, levels.clusters, levels.points)
    errors, nets = np.sqrt(inactive.all(axis=2).mean(axis=1)), _NARROW_NETS
    spread = _SPREAD * float(errors.std())
    # Wide clusters are seldom inactive as a whole: then it takes more nets to see it.
    while nets < 4**2 * _NARROW_NETS and errors.mean() - 2 * spread / math.sqrt(nets) < claimed:
        nets *= 4

    def measured(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        found, room = _errors(run, problem, _NARROW, nets), spread / math.sqrt(nets)
        least = over_nets(_ERROR, errors.mean(), found, room, relation=nt.Relation.AT_LEAST)
        return least, claimed, room

    lazy = nt.Premise("lazy width", _NARROW, wanted <= _NARROW, f"m >= {math.ceil(wanted)}")
    return nt.Control(
        "width-2",
        f"a wide net, from {math.ceil(wanted)} neurons on: here the width is {_NARROW}",
        unmet=None if lazy.holds else lazy,
        measure=measured,
    )
