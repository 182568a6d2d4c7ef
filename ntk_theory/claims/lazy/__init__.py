"""The premise of C1 to C7: a wide net hardly moves (docs/theory.md, sections 9.4 and 9.5).

Nets of growing width are trained on noisy clusters, on the observed labels and by
self-distillation. How far they move, how many activations flip, how their NTK starts and changes
and how they leave their own linearisation is compared with the m^{-1/2} laws and their constants.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory.runs import Evidence, chosen, conduct
from ntk_theory.verdicts import (
    Claim,
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
    Verdict,
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.fitting import PowerLaw
    from ntk_theory.ladder import Ladder
    from ntk_theory.predictions import BoundaryLayer, ErrorCurve
    from ntk_theory.problems import NoisyClusters, Recipe
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

_PLAIN, _DISTILLED = "plain training", "self-distillation"
_LEAST_WIDTHS = 4
_EXPONENT_TOLERANCE = 0.15
_CONFIDENCE = 1 - 1e-4
"""Of each constant, two-sided: of a run with a dozen of them one in a thousand fails by chance."""

_RESOLUTION = 0.5
"""Relative tolerance under which a constant is told from 0 and from its double."""

_BATCHES = 8
"""Independent Monte Carlo estimates of the constants, which tell their own error."""

_STREAM, _THEORY_STREAM, _BOOTSTRAP_STREAM = 1, 3, 2
"""Keep the seeds of control nets, of theory's draws and of resampling apart (nets: 0)."""

_STEP = 0.5
"""ηλ_+ of the default learning rate."""

_NOISE_TIMES = 2
"""Length of a run in units of 1/(ηλ_−): 86 % of the noise is memorised by plain training."""

_INITIAL_NETS = 4
"""Nets at their start, for each trained one: they cost little, and their kernels scatter."""


class _Preset(NamedTuple):
    first: int
    rungs: int
    nets: int
    draws: int


_PRESETS = {
    "quick": _Preset(512, 5, 6, 60),
    "standard": _Preset(512, 6, 12, 200),
    "paper": _Preset(512, 8, 16, 400),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Plan:
    """A problem with the nets to train on it in two ways."""

    problem: NoisyClusters
    widths: tuple[int, ...]
    nets: int
    draws: int
    options: Options

    @property
    def control_widths(self) -> tuple[int, ...]:
        return self.widths[:_LEAST_WIDTHS]

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        ladder = sum(self.widths) * self.nets * 2
        return (ladder + 2 * sum(self.control_widths) * self.nets) * self.problem.steps

    def config(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            **problem.config(),
            "device": self.options.device,
            "dtype": "float64",
            "control_widths": list(self.control_widths),
            "initial_nets": _INITIAL_NETS * self.nets,
            "draws": _BATCHES * self.draws,
            "lazy_width": _lazy_width(problem) if problem.predictable else None,
        }


def _lazy_width(problem: NoisyClusters) -> float:
    """Lazy width of plain training, which memorises more than self-distillation does."""
    from ntk_theory import predictions

    memorised = float(problem.plain.memorised_noise.max())
    return predictions.lazy_width(problem.spectrum, problem.angle, problem.noise_rate, memorised)


def _problem(options: Options) -> NoisyClusters:
    from ntk_theory.problems import noisy_clusters

    def made(learning_rate: float | None) -> NoisyClusters:
        return noisy_clusters(
            clusters=chosen(options.clusters, 4),
            points=chosen(options.points, 5),
            ratio=chosen(options.ratio, 8.0),
            noise_rate=chosen(options.noise_rate, 0.2),
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=chosen(options.cross_cosine, 0.0),
            learning_rate=learning_rate,
            steps=options.steps,
        )

    problem = made(options.learning_rate)
    if options.learning_rate is None:
        levels = problem.spectrum
        problem = made(min(_STEP / levels.information, 1 / levels.mean))
    if options.steps is not None:
        return problem
    steps = math.ceil(_NOISE_TIMES / min(problem.learning_rate * problem.spectrum.noise, 1.0))
    return replace(problem, steps=max(steps, 4 * (problem.burn_in + 1)))


def _plan(options: Options) -> _Plan:
    from ntk_theory.experiments import check_memory, check_nets, check_widths

    problem, preset = _problem(options), _PRESETS[options.preset]
    if options.widths is None:
        first = preset.first
        while problem.predictable and first < 4 * _lazy_width(problem) and first < 2**14:
            first *= 2
        widths = tuple(first * 2**k for k in range(preset.rungs))
    else:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, preset.nets), 2)
    check_memory(widths[-1], problem.dataset.inputs.shape, "float64")
    return _Plan(problem, widths, nets, preset.draws, options)


# ---------------------------------------------------------------- theory


@dataclass(frozen=True)
class _Theory:
    """What is predicted of one way of training.

    Attributes:
        problem: what is trained.
        curve: its errors in the kernel limit.
        weights: α_t, shape (T,).
        draws: neurons for each point and batch.
        seed: of the draws.
        movements: predicted largest movements by width, once they are drawn.
    """

    problem: NoisyClusters
    curve: ErrorCurve
    weights: Array
    draws: int
    seed: int
    movements: dict[int, float] = field(default_factory=dict)

    def _rng(self, *key: int) -> np.random.Generator:
        sequence = np.random.SeedSequence(self.seed, spawn_key=(_THEORY_STREAM, *key))
        return np.random.default_rng(sequence)

    @cached_property
    def outputs(self) -> Array:
        data = self.problem.dataset
        return self.curve.outputs(data.clean, data.flipped)

    @cached_property
    def pulls(self) -> Array:
        """η (z_t − u_t) with every sign right, shape (T, n)."""
        data, alpha = self.problem.dataset, self.weights[:, None]
        target = alpha * data.observed + (1 - alpha) * data.clean
        return np.asarray(self.problem.learning_rate * (target - self.outputs[:-1]))

    def _matrix(self, same: float, inside: float, across: float) -> Array:
        from ntk_theory import predictions

        levels = self.problem.spectrum
        return predictions.cluster_matrix(levels.clusters, levels.points, same, inside, across)

    @cached_property
    def cosines(self) -> Array:
        return self._matrix(1.0, math.cos(self.problem.angle), self.problem.cross_cosine)

    @cached_property
    def layers(self) -> tuple[BoundaryLayer, ...]:
        """Independent estimates of the constants."""
        from ntk_theory import predictions

        value = predictions.ntk_value
        cross = math.acos(self.problem.cross_cosine)
        kernel = self._matrix(value(0.0), value(self.problem.angle), value(cross))
        scaled = self.problem.learning_rate * kernel
        return tuple(
            predictions.boundary_layer(
                self.cosines, scaled, self.pulls, self._rng(batch), self.draws
            )
            for batch in range(_BATCHES)
        )

    @cached_property
    def kernel_change(self) -> Array:
        return np.asarray(np.mean([layer.kernel_change for layer in self.layers], axis=0))

    def kernel_change_norm(self, width: int) -> float:
        """Root mean square of ‖H_m(T) − H_m(0)‖_F."""
        return float(np.mean([layer.kernel_change_norm(width) for layer in self.layers]))

    def deviation(self, width: int) -> float:
        """Root mean square over nets of sup_t ‖u_m − u_lin‖/√n."""
        parts = [layer.deviation_norm(width) for layer in self.layers]
        return float(np.mean(parts, axis=0).max())

    @cached_property
    def distance(self) -> float:
        """‖W_T − W_0‖_F."""
        from ntk_theory import predictions

        curve = self.curve
        return float(
            predictions.linearised_distance(
                self.problem.spectrum,
                self.problem.noise_rate,
                curve.mean_error[-1],
                curve.information_error[-1],
                curve.memorised_noise[-1],
                self.problem.label_mean,
            )
        )

    def largest_movement(self, width: int) -> float:
        """Largest ‖w_r(T) − w_r(0)‖ of a net."""
        from ntk_theory import predictions

        if width not in self.movements:
            drawn = predictions.largest_movement(
                self.cosines, self.pulls.sum(axis=0), width // 2, self._rng(_BATCHES, width)
            )
            self.movements[width] = drawn / math.sqrt(width)
        return self.movements[width]


def _theories(plan: _Plan) -> dict[str, _Theory]:
    problem = plan.problem
    alone = np.ones(problem.steps)
    return {
        _PLAIN: _Theory(problem, problem.plain, alone, plan.draws, plan.options.seed),
        _DISTILLED: _Theory(
            problem, problem.distilled, problem.weights, plan.draws, plan.options.seed
        ),
    }


def _initial_fluctuation(plan: _Plan, *, pairs: bool = True) -> float:
    """Mean of m ‖H_m(0) − H‖_F²."""
    from ntk_theory import predictions

    return predictions.kernel_fluctuation(_theories(plan)[_PLAIN].cosines, pairs=pairs)


def _mean_with_error(estimates: Sequence[float]) -> tuple[float, float]:
    """Mean of independent estimates, and its relative standard error."""
    values = np.asarray(estimates, dtype=float)
    mean = float(values.mean())
    return mean, float(values.std(ddof=1)) / math.sqrt(values.size) / mean


# ---------------------------------------------------------------- nets


@dataclass
class _Nets:
    """What is measured of the nets of one way of training: a row for each width, one a net."""

    widths: list[int] = field(default_factory=list)
    movement: list[Array] = field(default_factory=list)
    distance: list[Array] = field(default_factory=list)
    flipped: list[Array] = field(default_factory=list)
    kernel_change: list[Array] = field(default_factory=list)
    along: list[Array] = field(default_factory=list)
    deviation: list[Array] = field(default_factory=list)
    signs_right: bool = True

    def metrics(self, name: str) -> Iterator[Mapping[str, Any]]:
        for row, width in enumerate(self.widths):
            for net in range(len(self.movement[row])):
                yield {
                    "training": name,
                    "width": width,
                    "net": net,
                    "movement": float(self.movement[row][net]),
                    "distance": float(self.distance[row][net]),
                    "flipped_activations": float(self.flipped[row][net]),
                    "kernel_change": float(self.kernel_change[row][net]),
                    "deviation_from_linearisation": float(self.deviation[row][net]),
                }


def _norms(matrices: Array) -> Array:
    return np.asarray(np.sqrt(np.square(matrices).sum(axis=(1, 2))))


def _from_linearisation(
    recipe: Recipe, trajectory: Trajectory, kernels_at_start: Array, learning_rate: float
) -> Array:
    """sup_t ‖u_t − linearised u_t‖/√n of each net, shape (S,)."""
    from ntk_theory.training import train_kernel_limit

    linear = np.stack(
        [
            train_kernel_limit(
                kernel,
                recipe.observed,
                recipe.distillation,
                learning_rate=learning_rate,
                steps=recipe.steps,
            )
            for kernel in kernels_at_start
        ]
    )
    difference = trajectory.outputs - linear
    return np.asarray(np.sqrt(np.square(difference).mean(axis=2)).max(axis=1))


def _kernels(recipe: Recipe, width: int, seeds: Sequence[int], *, pairs: bool = True) -> Array:
    """Empirical NTK of nets at their start, shape (S, n, n)."""
    from ntk_theory.kernels import ntk_empirical
    from ntk_theory.network import initialise

    # One net after the other: of many wide ones the weights would not fit in memory.
    starts = (
        initialise(width, recipe.inputs.shape[1], seeds=[seed], antisymmetric=pairs)
        for seed in seeds
    )
    return np.concatenate([ntk_empirical(start, recipe.inputs) for start in starts])


def _climb(
    nets: _Nets,
    ladder: Ladder,
    name: str,
    recipe: Recipe,
    theory: _Theory,
    width: int,
    progress: Progress,
) -> None:
    """Train the nets of one width and measure how far they have moved."""
    from ntk_theory.kernels import ntk_empirical

    trajectory = ladder.train(
        name, recipe, width, theory.outputs, progress=progress, keep_network=True
    )
    if trajectory.stopped is not None:
        return
    assert trajectory.network is not None
    before = _kernels(recipe, width, ladder.seeds(width))
    change = ntk_empirical(trajectory.network, recipe.inputs) - before
    nets.widths.append(width)
    nets.movement.append(trajectory.movement)
    nets.distance.append(trajectory.distance)
    nets.flipped.append(trajectory.flipped_activations)
    nets.kernel_change.append(_norms(change))
    nets.along.append((change * theory.kernel_change).sum(axis=(1, 2)))
    nets.deviation.append(
        _from_linearisation(recipe, trajectory, before, theory.problem.learning_rate)
    )
    taught = trajectory.outputs[:, theory.problem.first_taught :]
    if theory.weights.min() < 1:
        nets.signs_right &= bool((taught * theory.problem.dataset.clean > 0).all())


def _initial_distances(plan: _Plan, recipe: Recipe, width: int, *, pairs: bool = True) -> Array:
    """‖H_m(0) − H‖_F of each of many nets, shape (S,)."""
    from ntk_theory.experiments import net_seeds

    stream = 0 if pairs else _STREAM
    seeds = net_seeds(plan.options.seed, width, _INITIAL_NETS * plan.nets, stream)
    return _norms(_kernels(recipe, width, seeds, pairs=pairs) - plan.problem.gram)


# ---------------------------------------------------------------- premises


def _premises(plan: _Plan) -> list[Premise]:
    """Hypotheses that are known before training."""
    problem = plan.problem
    wanted = {"kernel positive definite", "stable learning rate", "signs right at every step"}
    premises = [premise for premise in problem.premises() if premise.name in wanted]
    if problem.predictable:
        from ntk_theory.problems import lazy_premise

        premises.append(lazy_premise(_lazy_width(problem), plan.widths[0]))
    return premises


# ---------------------------------------------------------------- measurements


def _fit(plan: _Plan, widths: Sequence[int], values: Sequence[Array]) -> PowerLaw:
    from ntk_theory.fitting import fit_power_law

    key = np.random.SeedSequence(plan.options.seed, spawn_key=(_BOOTSTRAP_STREAM,))
    return fit_power_law(widths, values, rng=np.random.default_rng(key))


def _exponent(
    plan: _Plan, name: str, predicted: float, widths: Sequence[int], values: Sequence[Array]
) -> Measurement:
    fitted = _fit(plan, widths, values)
    return Measurement(
        f"exponent of {name}",
        predicted,
        fitted.exponent,
        _EXPONENT_TOLERANCE,
        fitted.interval,
        whole_interval=True,
    )


def _constant(
    name: str,
    predicted: float,
    widths: Sequence[int],
    ratios: Sequence[Array],
    theory_error: float = 0.0,
    resolution: float = _RESOLUTION,
) -> Measurement:
    """A constant extrapolated to m = ∞ from its ratios to the prediction, linear in m^{-1/2}.

    The tolerance is the confidence interval of the intercept of that regression, and four standard
    errors of a prediction that was drawn.

    Args:
        name: of the constant.
        predicted: its value.
        widths: of the nets.
        ratios: measured over predicted, one row a width.
        theory_error: relative standard error of the prediction.
        resolution: largest relative tolerance.
    """
    from scipy.stats import t as student_t

    x = np.repeat(np.asarray(widths, dtype=float) ** -0.5, [row.size for row in ratios])
    y = np.concatenate(ratios)
    offset = x - x.mean()
    spread = float(np.square(offset).sum())
    slope = float(offset @ y) / spread
    intercept = float(y.mean()) - slope * float(x.mean())
    variance = float(np.square(y - intercept - slope * x).sum()) / (y.size - 2)
    error = math.sqrt(variance * (1 / y.size + float(x.mean()) ** 2 / spread))
    quantile = float(student_t.ppf((1 + _CONFIDENCE) / 2, y.size - 2))
    tolerance = quantile * error + 4 * theory_error
    return Measurement(
        name,
        predicted,
        predicted * intercept,
        predicted * tolerance,
        (predicted * (intercept - quantile * error), predicted * (intercept + quantile * error)),
        resolution=predicted * resolution,
    )


def _power_laws(plan: _Plan, name: str, nets: _Nets, theory: _Theory) -> list[Measurement]:
    """Exponents in the width, with the m^{-3/4} corrections where there are some."""
    from ntk_theory import predictions

    law = predictions.movement_exponent()
    widths = nets.widths
    change = [theory.kernel_change_norm(width) for width in widths]
    deviation = [theory.deviation(width) for width in widths]
    rows = {
        "max_r ‖w_r(T) − w_r(0)‖": (law, nets.movement),
        "the share of flipped activations": (law, nets.flipped),
        "‖H_m(T) − H_m(0)‖_F": (_slope(widths, change), nets.kernel_change),
        "sup_t ‖u_m − u_lin‖/√n": (_slope(widths, deviation), nets.deviation),
    }
    return [
        _exponent(plan, f"{quantity}, {name}", predicted, widths, values)
        for quantity, (predicted, values) in rows.items()
    ]


def _slope(widths: Sequence[int], values: Sequence[float]) -> float:
    """Least-squares slope of log value on log width."""
    logs = np.log(np.asarray(widths, dtype=float))
    centred = logs - logs.mean()
    return float(centred @ np.log(values) / np.square(centred).sum())


def _constants(name: str, nets: _Nets, theory: _Theory) -> list[Measurement]:
    """Constants of these laws."""
    widths, widest = nets.widths, nets.widths[-1]
    roots = [math.sqrt(width) for width in widths]
    flipped, flipped_error = _mean_with_error([layer.flipped for layer in theory.layers])
    change = theory.kernel_change
    along = [float((layer.kernel_change * change).sum()) for layer in theory.layers]
    change_square, change_error = _mean_with_error(along)
    norms = [theory.kernel_change_norm(width) for width in widths]
    deviations = [theory.deviation(width) for width in widths]
    return [
        _constant(
            f"‖W_T − W_0‖_F, {name}",
            theory.distance,
            widths,
            [row / theory.distance for row in nets.distance],
        ),
        _constant(
            f"√m × share of flipped activations, {name}",
            flipped,
            widths,
            [root * row / flipped for root, row in zip(roots, nets.flipped, strict=True)],
            flipped_error,
        ),
        _constant(
            f"√m × H_m(T) − H_m(0) along its predicted mean, {name}",
            math.sqrt(change_square),
            widths,
            [root * row / change_square for root, row in zip(roots, nets.along, strict=True)],
            change_error,
            # It tells the mean change from none, that is the law m^{-1/2} from m^{-3/4}.
            resolution=1.0,
        ),
        _constant(
            f"‖H_m(T) − H_m(0)‖_F at width {widest}, {name}",
            norms[-1],
            widths,
            [row / value for row, value in zip(nets.kernel_change, norms, strict=True)],
            _mean_with_error([layer.kernel_change_norm(widest) for layer in theory.layers])[1],
        ),
        _constant(
            f"sup_t ‖u_m − u_lin‖/√n at width {widest}, {name}",
            deviations[-1],
            widths,
            [row / value for row, value in zip(nets.deviation, deviations, strict=True)],
            _mean_with_error([layer.deviation_norm(widest).max() for layer in theory.layers])[1],
        ),
    ]


def _largest_movement(nets: _Nets, theory: _Theory) -> Measurement:
    """The neuron that moves farthest in plain training.

    Under self-distillation the pulls change their sign, and a neuron that leaves the half-space of
    a point in between moves farther than any that stays: no constant is claimed for it.
    """
    widths = nets.widths
    movement = [theory.largest_movement(width) for width in widths]
    return _constant(
        f"max_r ‖w_r(T) − w_r(0)‖ at width {widths[-1]}, {_PLAIN}",
        movement[-1],
        widths,
        [row / value for row, value in zip(nets.movement, movement, strict=True)],
    )


def _initial_rows(plan: _Plan, distances: Sequence[Array]) -> list[Measurement]:
    """The NTK at the start, over nets with as many independent neurons as half the width."""
    from ntk_theory import predictions

    predicted = _initial_fluctuation(plan)
    return [
        _exponent(
            plan,
            "‖H_m(0) − H‖_F",
            predictions.movement_exponent(),
            plan.widths,
            distances,
        ),
        _mean_square("mean of m ‖H_m(0) − H‖_F²", predicted, plan.widths, distances),
    ]


def _mean_square(
    name: str, predicted: float, widths: Sequence[int], distances: Sequence[Array]
) -> Measurement:
    """Mean of m ‖·‖² over all nets, with its confidence interval as tolerance."""
    from scipy.stats import t as student_t

    pairs = zip(widths, distances, strict=True)
    values = np.concatenate([width * np.square(row) for width, row in pairs])
    quantile = float(student_t.ppf((1 + _CONFIDENCE) / 2, values.size - 1))
    tolerance = quantile * float(values.std(ddof=1)) / math.sqrt(values.size)
    mean = float(values.mean())
    return Measurement(
        name,
        predicted,
        mean,
        tolerance,
        (mean - tolerance, mean + tolerance),
        resolution=predicted * _RESOLUTION,
    )


# ---------------------------------------------------------------- controls


def _scaled_outputs(
    plan: _Plan, recipe: Recipe, output_exponent: float, progress: Progress
) -> tuple[list[Array], list[Array]]:
    """Movement and deviation from linearisation of nets with |a_r| = m^γ, rate η m^{−2γ}."""
    from ntk_theory.experiments import net_seeds
    from ntk_theory.kernels import ntk_empirical
    from ntk_theory.network import initialise
    from ntk_theory.training import train

    movement, deviation = [], []
    for width in plan.control_widths:
        seeds = net_seeds(plan.options.seed, width, plan.nets, _STREAM)
        start = initialise(
            width,
            recipe.inputs.shape[1],
            seeds=seeds,
            output_scale=width**output_exponent,
            device=plan.options.device,
        )
        rate = plan.problem.learning_rate * width ** (-2 * output_exponent)
        trajectory = train(
            start,
            recipe.inputs,
            recipe.observed,
            recipe.distillation,
            learning_rate=rate,
            steps=recipe.steps,
            keep_network=False,
        )
        if trajectory.stopped is not None:
            return [], []
        kernels_at_start = ntk_empirical(start, recipe.inputs)
        movement.append(trajectory.movement)
        deviation.append(_from_linearisation(recipe, trajectory, kernels_at_start, rate))
        progress.advance(width * plan.nets * recipe.steps)
    return movement, deviation


def _scaling_control(
    plan: _Plan, recipe: Recipe, id_: str, broken: str, output_exponent: float, progress: Progress
) -> Control:
    """Another output scale at the same NTK: movement and deviation have another exponent.

    Where movement falls like 1/m, a point sees O(1) flips at any width, and the deviation that they
    make is a matter of chance: the movement alone is compared there.
    """
    from ntk_theory import predictions

    law = predictions.movement_exponent()
    predicted = predictions.movement_exponent(output_exponent)
    movement, deviation = _scaled_outputs(plan, recipe, output_exponent, progress)
    compared = [movement] if output_exponent > 0 else [movement, deviation]
    fits = [_fit(plan, plan.control_widths, rows) for rows in compared if rows]
    # The exponent that lies farther from its prediction decides; a divergence has none.
    worst = max(fits, key=lambda fit: abs(fit.exponent - predicted), default=None)
    exponent = math.nan if worst is None else worst.exponent
    failure = Measurement(
        "exponent of movement"
        if output_exponent > 0
        else "exponents of movement and of the deviation from linearisation, the worse one",
        predicted,
        exponent,
        _EXPONENT_TOLERANCE,
        None if worst is None else worst.interval,
        whole_interval=True,
    )
    apart = all(abs(fit.exponent - law) > _EXPONENT_TOLERANCE for fit in fits)
    verdict = Verdict.VIOLATED if fits and apart else Verdict.SUPPORTED
    return Control(id_, broken, Verdict.VIOLATED, verdict, failure, law, _EXPONENT_TOLERANCE)


def _unpaired_control(plan: _Plan, recipe: Recipe) -> Control:
    """Independent neurons: H_m(0) fluctuates half as much, in the square."""
    distances = [_initial_distances(plan, recipe, width, pairs=False) for width in plan.widths]
    name, claimed = "mean of m ‖H_m(0) − H‖_F²", _initial_fluctuation(plan)
    failure = _mean_square(name, _initial_fluctuation(plan, pairs=False), plan.widths, distances)
    apart = abs(failure.measured - claimed) > failure.tolerance
    return Control(
        "independent-neurons",
        "neurons come in pairs: here all are independent",
        Verdict.VIOLATED,
        Verdict.VIOLATED if apart else Verdict.SUPPORTED,
        failure,
        claimed,
        failure.tolerance,
    )


def _controls(plan: _Plan, recipe: Recipe, progress: Progress) -> Iterator[Control]:
    yield _scaling_control(
        plan,
        recipe,
        "mean-field",
        "output scale m^{-1/2}: here f = (1/m) Σ a relu with the rate η m, the same NTK",
        -0.5,
        progress,
    )
    yield _scaling_control(
        plan,
        recipe,
        "unscaled-outputs",
        "output scale m^{-1/2}: here f = Σ a relu with the rate η/m, the same NTK",
        0.5,
        progress,
    )
    yield _unpaired_control(plan, recipe)


# ---------------------------------------------------------------- run


def _arrays(
    nets: Mapping[str, _Nets], theories: Mapping[str, _Theory], distances: Sequence[Array]
) -> dict[str, Array]:
    plain = nets[_PLAIN]
    rows = len(nets[_DISTILLED].widths)
    if not rows:
        return {}
    arrays = {
        "widths": np.array(plain.widths[:rows]),
        "initial_distance": np.stack(distances[:rows]),
        "plain_predicted_movement": np.array(
            [theories[_PLAIN].largest_movement(width) for width in plain.widths[:rows]]
        ),
    }
    for key, name in (("plain", _PLAIN), ("distilled", _DISTILLED)):
        theory, found = theories[name], nets[name]
        arrays |= {
            f"{key}_movement": np.stack(found.movement[:rows]),
            f"{key}_flipped": np.stack(found.flipped[:rows]),
            f"{key}_kernel_change": np.stack(found.kernel_change[:rows]),
            f"{key}_deviation": np.stack(found.deviation[:rows]),
            f"{key}_predicted_flipped": np.array(np.mean([x.flipped for x in theory.layers])),
            f"{key}_predicted_kernel_change": np.array(
                [theory.kernel_change_norm(width) for width in found.widths[:rows]]
            ),
            f"{key}_predicted_deviation": np.array(
                [theory.deviation(width) for width in found.widths[:rows]]
            ),
        }
    return arrays


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    """Train the ladder, compare with the laws, run the controls."""
    from ntk_theory.ladder import Ladder
    from ntk_theory.targets import PLAIN

    problem, options = plan.problem, plan.options
    evidence.premises += _premises(plan)
    if not evidence.premises_hold:
        return ""
    recipes = {
        _PLAIN: replace(problem.recipe, distillation=PLAIN),
        _DISTILLED: problem.recipe,
    }
    theories = _theories(plan)
    nets = {name: _Nets() for name in recipes}
    ladder = Ladder(
        problem.dataset.clean, plan.widths, plan.nets, options.seed, "float64", options.device
    )
    distances: list[Array] = []
    progress.start(CLAIM.id, plan.work())
    for width in plan.widths:
        evidence.progress_note = f"widths trained: {nets[_DISTILLED].widths or 'none'}"
        distances.append(_initial_distances(plan, recipes[_PLAIN], width))
        for name, recipe in recipes.items():
            _climb(nets[name], ladder, name, recipe, theories[name], width, progress)
        if evidence.diverged(ladder.stopped()):
            return ""
        evidence.metrics[:] = [row for name in recipes for row in nets[name].metrics(name)]
        evidence.arrays |= _arrays(nets, theories, distances)
    right = nets[_DISTILLED].signs_right
    evidence.premises.append(
        Premise("signs of the nets right", float(right), right, "at every step after the burn-in")
    )
    evidence.measurements += _initial_rows(plan, distances)
    for name in recipes:
        evidence.measurements += _power_laws(plan, name, nets[name], theories[name])
        evidence.measurements += _constants(name, nets[name], theories[name])
    evidence.measurements.append(_largest_movement(nets[_PLAIN], theories[_PLAIN]))
    if evidence.sound:
        for control in _controls(plan, recipes[_PLAIN], progress):
            evidence.controls.append(control)
    widest = nets[_PLAIN]
    return (
        f"at width {widest.widths[-1]} plain training moves no neuron by more than "
        f"{max(widest.movement[-1]):.3g}, flips {100 * widest.flipped[-1].mean():.2g} % of the "
        f"activations and leaves the net {widest.deviation[-1].mean():.2g} (RMS) from its "
        "linearisation; all fall as predicted, like m^{-1/2} to leading order"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and those constants that take no draws."""
    plan = _plan(options)
    if not plan.problem.predictable:
        return plan.config(), {}
    predicted = {"mean of m ‖H_m(0) − H‖_F²": _initial_fluctuation(plan)}
    for name, theory in _theories(plan).items():
        predicted[f"‖W_T − W_0‖_F, {name}"] = theory.distance
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def draw(figure: Figure, result: ClaimResult) -> None:
    """Movement and flips, changes of the kernel and deviation, over the width; theory dashed."""
    from ntk_theory import drawing

    arrays = result.arrays
    left, right = figure.subplots(1, 2)
    widths = arrays["widths"].astype(float)
    root = np.sqrt(widths)
    panels = (
        (left, "movement", arrays["plain_predicted_movement"], drawing.BLUE, "largest movement"),
        (
            left,
            "flipped",
            arrays["plain_predicted_flipped"] / root,
            drawing.ORANGE,
            "flipped share",
        ),
        (
            right,
            "kernel_change",
            arrays["plain_predicted_kernel_change"],
            drawing.BLUE,
            r"$\|H_m(T)-H_m(0)\|_F$",
        ),
        (
            right,
            "deviation",
            arrays["plain_predicted_deviation"],
            drawing.ORANGE,
            r"$\sup_t\,\|u_m-u_{\rm lin}\|/\sqrt{n}$",
        ),
    )
    for axes, quantity, predicted, colour, label in panels:
        drawing.band(axes, widths, arrays[f"plain_{quantity}"].T, colour, label)
        drawing.prediction(axes, widths, predicted, "predicted" if colour == drawing.BLUE else None)
    for axes in (left, right):
        axes.set(xlabel="width $m$", yscale="log")
        axes.set_xscale("log", base=2)
        axes.legend(frameon=False)


CLAIM = Claim(
    id="lazy",
    statement=(
        "The wider the net, the less training moves it: the largest movement of a neuron, the "
        "share of flipped activations, the change of the empirical NTK, its distance from its "
        "limit at the start and the deviation of the net from its own linearisation all fall like "
        "m^{-1/2} to leading order, the change of the NTK and the deviation with a predicted part "
        "of order m^{-3/4}; the kernel limit gives the constants."
    ),
    formulas=(
        "max_r ‖w_r(T) − w_r(0)‖ ≈ m^{-1/2} max_r ‖Xᵀ(A_r ∘ c)‖,  c = Σ_t η (z_t − u_t)",
        "‖W_T − W_0‖_F² → uᵀH⁻¹u = n [(1+E)²/λ_+ + 4ρ(1−ρ) q²/λ_−]",
        "E m ‖H_m(0) − H‖_F² = 2 Σ_ij cos²θ_ij p (1 − p),  p = (π − θ_ij)/2π",
        "√m × share of flipped activations → φ(0) E[length of ξ that changes sign]",
        "√m (u_m − u_lin)(t+1) → (I − ηH) √m (u_m − u_lin)(t) + boundary layer of step t",
        "m E‖H_m(T) − H_m(0)‖_F² → ‖mean‖_F² + scatter m^{-1/2}",
        "with |a_r| = m^γ and the rate η m^{−2γ} the exponent is −1/2 − γ",
    ),
    assumptions=(
        "H positive definite and η < 2/λ_max",
        "antisymmetric start, outputs scaled by m^{-1/2}, fixed data and number of steps",
        "under self-distillation every sign is right after the burn-in, in kernel and nets",
        "a width well above the lazy one, m >= 4 m_lazy",
    ),
    derivation=(
        "A step moves every pre-activation by O(m^{-1/2}), so only neurons within that distance of "
        "a point's hyperplane change their activation on it. They start there with the density "
        "φ(0) and follow a one-dimensional recursion driven by the kernel's own residuals, which "
        "gives the flips, the mean change of the NTK and the source of the deviation from the "
        "linearised net, to first order in m^{-1/2} and by a heuristic argument; the upper bounds "
        "O(m^{-1/2}) are proved (docs/theory.md, sections 9.2, 9.4 and 9.5)."
    ),
    source="arXiv 1910.01255, abstract, claims C1 and C5; derivation: docs/theory.md, section 9.5",
    paper_claims={
        "C1": "premise of the kernel description: plain training on noisy clusters stays lazy",
        "C5": "premise of the kernel description: so does self-distillation, at fixed horizon",
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "cross_cosine",
            "noise_rate",
            "steps",
            "learning_rate",
        }
    ),
    controls=("mean-field", "unscaled-outputs", "independent-neurons"),
    run=run,
    predict=predict,
    draw=draw,
)
