"""Self-distillation with one hypothesis broken: runs that must fail, each in its predicted way.

A claim whose checks pass shows something only if the same checks can fail. Section numbers refer to
docs/theory.md.
"""

from __future__ import annotations

__all__ = ["ControlSetting", "convergence_controls"]

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, predictions
from ntk_theory.experiments import compare, net_seeds, train_nets
from ntk_theory.problems import NoisyClusters, noisy_clusters
from ntk_theory.targets import BurnIn, Constant, Distillation
from ntk_theory.variants import variant_on_clusters
from ntk_theory.verdicts import Control, Measurement, Premise, Progress, Relation, Verdict

Array = NDArray[np.float64]

_STREAM = 1
"""Keeps the seeds of control nets apart from those of the claim's own nets."""

_SAMPLES = 400
"""Random initial outputs from which the failure of plain initialisation is predicted."""

_SPREAD = 4.0
"""Half-width, in standard errors, of the predicted range of that failure."""

_RANDOM_NETS = 16
"""Nets of that control: its failure is random, so its mean takes more of them."""


@dataclass(frozen=True)
class ControlSetting:
    """How the control nets are trained and judged.

    Attributes:
        width: m of the nets.
        nets: how many in each control whose failure is not random.
        seed: of the run.
        dtype: precision.
        device: torch device.
        tolerance: deviation from theory that nets of this width may show.
        widest_tolerance: the same at the claim's largest width.
        progress: advanced as the nets train.
    """

    width: int
    nets: int
    seed: int
    dtype: str
    device: str
    tolerance: float
    widest_tolerance: float
    progress: Progress | None = None

    def train_error(
        self,
        problem: NoisyClusters,
        distillation: Distillation | None = None,
        nets: int | None = None,
    ) -> Array:
        """RMS errors of the nets at the last step, shape (S,)."""
        recipe = problem.recipe
        if distillation is not None:
            recipe = replace(recipe, distillation=distillation)
        trajectory = train_nets(
            recipe,
            self.width,
            net_seeds(self.seed, self.width, nets or self.nets, _STREAM),
            dtype=self.dtype,
            device=self.device,
            progress=self.progress,
        )
        return np.asarray(trajectory.rms_error(problem.dataset.clean)[:, -1])


def _block_error(problem: NoisyClusters) -> float:
    """RMS error of the infinitely wide net at the last step, whatever its signs (section 8)."""
    final = predictions.block_recursion(
        problem.spectrum, problem.dataset.observed, problem.learning_rate, problem.weights
    )
    return float(np.sqrt(np.square(final - problem.dataset.clean).mean()))


def _error_control(
    id_: str,
    broken: str,
    premise: str | None,
    premises: tuple[Premise, ...],
    claimed: float,
    predicted: float,
    errors: Array,
    tolerance: float,
    spread: float = 0.0,
) -> Control:
    """A control that ends at another error than the claim says.

    Args:
        id_: its name.
        broken: what was changed.
        premise: name of the premise that this has to unmake, or None if it unmakes none.
        premises: of the broken problem.
        claimed: error at the end if the claim held all the same.
        predicted: error at the end that theory predicts.
        errors: of the nets, shape (S,).
        tolerance: deviation of nets of this width from theory.
        spread: range of the mean of the nets around `predicted`, where that is random.
    """
    measured = float(errors.mean())
    failure = Measurement(
        "final RMS error",
        predicted,
        measured,
        tolerance + spread,
        (float(errors.min()), float(errors.max())),
    )
    unmet = {candidate.name for candidate in premises if not candidate.holds}
    if (premise in unmet) if premise else unmet:
        verdict = Verdict.PREMISE_UNMET
    else:
        verdict = Verdict.VIOLATED if abs(measured - claimed) > tolerance else Verdict.SUPPORTED
    expected = Verdict.PREMISE_UNMET if premise else Verdict.VIOLATED
    return Control(id_, broken, expected, verdict, failure, claimed, tolerance)


def _soft_targets(problem: NoisyClusters, setting: ControlSetting) -> Control:
    """Soft targets retrieve the observed labels, however slowly (section 5)."""
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        problem.weights,
        problem.label_mean,
    )
    errors = setting.train_error(problem, replace(problem.distillation, target="soft"))
    return _error_control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        None,
        problem.premises(),
        float(problem.distilled.rms_error()[-1]),
        float(curve.rms_error()[-1]),
        errors,
        setting.tolerance,
    )


def _constant_weight(problem: NoisyClusters, setting: ControlSetting) -> Control:
    """A constant weight α stops at 2α√ρ (section 7)."""
    level = 0.25
    broken = problem.with_schedule(BurnIn(problem.burn_in, Constant(level)))
    return _error_control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {level} for ever",
        "observed labels fade out",
        broken.premises(),
        float(problem.distilled.rms_error()[-1]),
        float(broken.distilled.rms_error()[-1]),
        setting.train_error(broken),
        setting.tolerance,
    )


def _above_threshold(problem: NoisyClusters, setting: ControlSetting) -> Control:
    """Beyond the recoverability threshold wrong labels are taught back (sections 7 and 8).

    Schedule, learning rate and steps are the default ones of the new ratio: those of the old ratio
    are in units that it changes.
    """
    ratio = 1.5
    broken = noisy_clusters(
        clusters=problem.spectrum.clusters,
        points=problem.spectrum.points,
        ratio=ratio,
        noise_rate=problem.noise_rate,
        seed=np.random.SeedSequence(setting.seed),
        cross_cosine=problem.cross_cosine,
    )
    return _error_control(
        "above-threshold",
        f"ρ < ρ*: here λ_+/λ_− = {ratio}, at which no noise rate is recoverable",
        "recoverable noise rate",
        broken.premises(),
        float(broken.distilled.rms_error()[-1]),
        _block_error(broken),
        setting.train_error(broken),
        setting.tolerance,
    )


def _late_burn_in(problem: NoisyClusters, setting: ControlSetting) -> Control:
    """A burn-in past the memorisation time locks the wrong labels in (sections 7 and 8)."""
    schedule = problem.distillation.schedule
    assert isinstance(schedule, BurnIn)
    burn_in = math.ceil(2 * problem.memorisation_time)
    broken = problem.with_schedule(BurnIn(burn_in, schedule.then))
    return _error_control(
        "late-burn-in",
        f"burn-in < t_mem: here it takes {burn_in} steps, twice t_mem",
        "burn-in before memorisation",
        broken.premises(),
        float(problem.distilled.rms_error()[-1]),
        _block_error(broken),
        setting.train_error(broken),
        setting.tolerance,
    )


def _pair_flips(_: NoisyClusters, setting: ControlSetting) -> Control:
    """More than half of every class is called the next one: that one is learned (section 7.6).

    Exchanging the two classes of every cluster turns it into a problem below one half, whose
    closed form tells where the nets end.
    """
    classes, points, rate = 4, 12, 2 / 3
    design = data.equicorrelated_clusters(classes, points, ratio=40.0)
    seed = np.random.SeedSequence(setting.seed, spawn_key=(_STREAM, classes))
    dataset = data.noisy_labels(
        design,
        noise_rate=rate,
        rng=np.random.default_rng(seed),
        classes=classes,
        noise="pair",
    )
    learned = replace(dataset, clean_class=(dataset.clean_class + 1) % classes)
    below = variant_on_clusters("pair flips as learned", learned)
    trajectory = train_nets(
        below.recipe,
        setting.width,
        net_seeds(setting.seed, setting.width, setting.nets, _STREAM),
        dtype=setting.dtype,
        device=setting.device,
        progress=setting.progress,
    )
    expected = np.square(below.predicted[-1] - dataset.clean).sum() / len(dataset.clean)
    gap = predictions.label_gap(dataset.clean_class, dataset.observed_class, design.groups)
    return _error_control(
        "pair-flips-above-half",
        f"pair flips of less than one half: here {rate:.0%} of every class are called the next one",
        "right class most frequent",
        (Premise("right class most frequent", gap, gap > 0, "label gap δ > 0"),),
        float(below.rms_error[-1]),
        float(np.sqrt(expected)),
        np.asarray(trajectory.rms_error(dataset.clean)[:, -1]),
        setting.tolerance,
    )


def _plain_initialisation(problem: NoisyClusters, setting: ControlSetting) -> Control:
    """An initial output of order one spoils signs, and a wrong sign is taught back (section 8)."""
    claimed = float(problem.distilled.rms_error()[-1])
    rng = np.random.default_rng(np.random.SeedSequence(setting.seed, spawn_key=(_STREAM,)))
    scale, predicted, spread = 1.0, 0.0, 0.0
    for scale in (1.0, 2.0, 4.0, 8.0, 16.0):
        samples = predictions.initial_output_samples(
            problem.spectrum.clusters,
            problem.spectrum.points,
            problem.angle,
            problem.cross_cosine,
            scale,
            _SAMPLES,
            rng,
        )
        final = predictions.block_recursion(
            problem.spectrum,
            problem.dataset.observed,
            problem.learning_rate,
            problem.weights,
            samples,
        )
        errors = np.sqrt(np.square(final - problem.dataset.clean).mean(axis=1))
        predicted = float(errors.mean())
        spread = _SPREAD * float(errors.std()) / math.sqrt(_RANDOM_NETS)
        # A high ratio or few points leave the signs right at scale 1: then break it harder.
        if predicted - spread > claimed + 2 * setting.tolerance:
            break
    broken = replace(problem, init_scale=scale)
    return _error_control(
        "plain-initialisation",
        f"zero initial output: here w ~ N(0, {scale:g}² I) without pairs",
        "zero initial output",
        broken.premises(),
        claimed,
        predicted,
        setting.train_error(broken, nets=_RANDOM_NETS),
        setting.tolerance,
        spread,
    )


def _narrow(problem: NoisyClusters, setting: ControlSetting) -> Control:
    """A narrow net does not follow the infinitely wide one (section 9).

    Its signs may come out right all the same where the margin is large; what has to fail is the
    agreement with the closed form, to the tolerance that the widest nets meet.
    """
    width = 8
    trajectory = train_nets(
        problem.recipe,
        width,
        net_seeds(setting.seed, width, setting.nets, _STREAM),
        dtype=setting.dtype,
        device=setting.device,
        progress=setting.progress,
    )
    clean = problem.dataset.clean
    predicted = problem.distilled.outputs(clean, problem.dataset.flipped)
    deviations = compare(trajectory, width, predicted, clean).largest_deviation
    measured, bound = float(deviations.mean()), setting.widest_tolerance
    failure = Measurement(
        "sup over t of the deviation",
        bound,
        measured,
        0.0,
        (float(deviations.min()), float(deviations.max())),
        Relation.AT_LEAST,
    )
    follows = Verdict.VIOLATED if measured >= bound else Verdict.SUPPORTED
    lazy = 4 * problem.lazy_width <= width
    return Control(
        "width-8",
        f"a wide net, from {math.ceil(4 * problem.lazy_width)} neurons on: here the width is 8",
        Verdict.VIOLATED if lazy else Verdict.PREMISE_UNMET,
        follows if lazy else Verdict.PREMISE_UNMET,
        failure,
        claimed=0.0,
        claimed_tolerance=bound,
    )


_CONVERGENCE: tuple[Callable[[NoisyClusters, ControlSetting], Control], ...] = (
    _soft_targets,
    _constant_weight,
    _above_threshold,
    _late_burn_in,
    _plain_initialisation,
    _pair_flips,
    _narrow,
)


def convergence_controls(problem: NoisyClusters, setting: ControlSetting) -> Iterator[Control]:
    """Controls of the ℓ2-convergence of hard self-distillation, one after the other.

    Each is PREMISE_UNMET or VIOLATED as its `expected` says, and holds if in addition the failure
    that section 10 predicts is measured.
    """
    for control in _CONVERGENCE:
        yield control(problem, setting)
