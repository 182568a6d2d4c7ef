"""Claim C5, "randomly initialised": how small the initial output must be (docs, section 8.1).

Nets without pairs start at a random output proportional to the scale of their weights. Over a
ladder of scales their signs after the burn-in, their final errors and the share of them that
recovers every label are compared with the predicted distribution.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory.runs import Evidence, chosen, conduct, over_nets
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

    from ntk_theory.ladder import Ladder
    from ntk_theory.problems import NoisyClusters

Array = NDArray[np.float64]

_PAIRS, _SMALLEST = "antisymmetric pairs", "smallest scale"
_LEAST_WIDTHS = 4
_LEAST_NETS = 8
_SCALES = (2.0, 1.0, 0.5, 0.25, 0.125)
"""In units of the large scale, which is the second; only the last one is claimed to suffice."""

_SMALL_RUNGS = 4
_WIDEST = 2**14
"""No default width is larger; where it does not suffice, a premise says so."""

_CONTROL_NETS = 16
_SAMPLES = 1000
"""Random initial outputs from which the distribution of the final error is predicted."""

_DEVIATES = 3.9
"""Half-width of a random row in standard errors: a right mean is missed once in 10⁴ rows."""

_FAILURE = 1e-3
"""Largest probability of a wrong sign that counts as none."""

_CONTROL_STREAM, _SAMPLE_STREAM, _SCALE_STREAM = 1, 3, 4
"""Keep control nets, predicted samples and the nets of the scales apart (ladders: stream 0)."""


class _Preset(NamedTuple):
    first: int
    rungs: int
    nets: int


_PRESETS = {
    "quick": _Preset(128, 5, 32),
    "standard": _Preset(128, 6, 64),
    "paper": _Preset(128, 7, 96),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Law:
    """Predicted distribution over random initial outputs, one row a draw.

    Attributes:
        error: final RMS error, shape (N,).
        recovered: whether every sign is right at the end, shape (N,).
        early: share of wrong signs at the end of the burn-in, shape (N,).
    """

    error: Array
    recovered: NDArray[np.bool_]
    early: Array


@dataclass(frozen=True)
class _Plan:
    """A problem, the scales of its initial weights, and the nets to train at each."""

    problem: NoisyClusters
    large: float
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    @property
    def scales(self) -> tuple[float, ...]:
        return tuple(self.large * part for part in _SCALES)

    @property
    def small(self) -> float:
        return self.scales[-1]

    def count(self, scale: float) -> int:
        """Nets of a scale at each of its widths; a recovered half is the most random of all."""
        return 4 * self.nets if scale == self.scales[2] else self.nets

    @property
    def few(self) -> int:
        """Nets at a width where nothing is random but the deviation."""
        return max(3, self.nets // 8)

    def least_width(self, scale: float) -> int:
        """Width from which fitting the noise moves a neuron little: it grows like 1/scale²."""
        return 2 * math.ceil(2 * self.problem.lazy_width / scale**2)

    def width(self, scale: float) -> int:
        """Width of the nets of a scale that has no ladder.

        From half the large scale on it grows as the random part falls: next to it the deviation of
        a finite width has to stay small.
        """
        least = max(self.least_width(scale), self.widths[1] * self.large / (2 * scale))
        return max(self.widths[1], 2 * math.ceil(min(least, _WIDEST) / 2))

    @property
    def small_widths(self) -> tuple[int, ...]:
        most = _WIDEST // 2 ** (_SMALL_RUNGS - 1)
        first = max(self.widths[0], min(self.least_width(self.small), most))
        return tuple(first * 2**k for k in range(_SMALL_RUNGS))

    @property
    def control_width(self) -> int:
        return self.widths[(len(self.widths) - 1) // 2]

    @property
    def burn_in(self) -> int:
        return self.problem.first_taught

    @cached_property
    def spread(self) -> Array:
        """What is left of an initial output of scale 1, standard deviation at every step."""
        from ntk_theory import predictions

        problem = self.problem
        return predictions.initial_output_spread(
            problem.spectrum,
            problem.angle,
            problem.cross_cosine,
            problem.learning_rate,
            problem.steps,
        )

    @cached_property
    def margins(self) -> Array:
        """Margin of every point from a zero start, shape (T + 1, n)."""
        data = self.problem.dataset
        return self.problem.distilled.outputs(data.clean, data.flipped) * data.clean

    def early_share(self, scale: float, deviation: float = 0.0) -> float:
        """Expected share of wrong signs at the end of the burn-in, in closed form."""
        from ntk_theory import predictions

        spread = np.hypot(scale * self.spread[self.burn_in], deviation)
        return float(predictions.wrong_sign_share(self.margins[self.burn_in], spread))

    def failure_bound(self, scale: float) -> float:
        """Bound on the probability that a wrong sign ever teaches, in closed form."""
        from ntk_theory import predictions

        start = self.burn_in
        shares = predictions.wrong_sign_share(self.margins[start:], scale * self.spread[start:])
        return float(shares.sum() * self.margins.shape[1])

    def law(self, scale: float, deviation: float = 0.0) -> _Law:
        """Distribution that the block recursion makes of random initial outputs.

        Args:
            scale: σ.
            deviation: of the nets from their limit at the end of the burn-in, added to the random
                part as if it were of the same kind; the draws are the same ones.
        """
        from ntk_theory import predictions

        problem, spectrum = self.problem, self.problem.spectrum
        key = np.random.SeedSequence(self.options.seed, spawn_key=(_SAMPLE_STREAM,))
        draws = predictions.initial_output_samples(
            spectrum.clusters,
            spectrum.points,
            problem.angle,
            problem.cross_cosine,
            float(np.hypot(scale, deviation / self.spread[self.burn_in])),
            _SAMPLES,
            np.random.default_rng(key),
        )
        clean, start = problem.dataset.clean, self.burn_in

        def recursion(outputs: Array, weights: Array) -> Array:
            return predictions.block_recursion(
                spectrum, problem.dataset.observed, problem.learning_rate, weights, outputs
            )

        early = recursion(draws, problem.weights[:start])
        final = recursion(early, problem.weights[start:])
        return _Law(
            np.sqrt(np.square(final - clean).mean(axis=1)),
            np.asarray((final * clean > 0).all(axis=1)),
            (early * clean <= 0).mean(axis=1),
        )

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        single = (self.scales[0], *self.scales[2:-1])
        nets = sum(self.count(scale) * self.width(scale) for scale in single)
        nets += sum(self.widths) * (self.nets + self.few)
        nets += sum(self.small_widths) * self.few
        controls = 5 * self.control_width + self.small_widths[-1]
        return float(self.problem.steps * (nets + _CONTROL_NETS // 4 * controls))

    def config(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            **problem.config(),
            "init_scale": self.large,
            "device": self.options.device,
            "dtype": self.dtype,
            "scales": list(self.scales),
            "small_widths": list(self.small_widths),
            "small_seeds": self.few,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
            "samples": _SAMPLES,
            "lazy_width": problem.lazy_width,
        }


def _plan(options: Options) -> _Plan:
    from ntk_theory.experiments import check_memory, check_nets, check_widths
    from ntk_theory.problems import noisy_clusters

    problem = noisy_clusters(
        clusters=chosen(options.clusters, 4),
        points=chosen(options.points, 10),
        ratio=chosen(options.ratio, 6.0),
        noise_rate=chosen(options.noise_rate, 0.1),
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=chosen(options.cross_cosine, 0.0),
        schedule=chosen(options.schedule, "power"),
        learning_rate=options.learning_rate,
        steps=options.steps,
        init_scale=options.init_scale,
    )
    problem = replace(problem, init_scale=None)
    if not problem.predictable:
        raise ValueError(
            "schedule must have weights that are known before the run, and learning_rate must be "
            f"below 2/λ_max = {2 / problem.spectrum.mean:.4g}; got {problem.schedule_text} and "
            f"{problem.learning_rate:g}"
        )
    preset = _PRESETS[options.preset]
    nets = check_nets(chosen(options.seeds, preset.nets), _LEAST_NETS)
    if options.widths is None:
        widths = tuple(preset.first * 2**k for k in range(preset.rungs))
    else:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    dtype = chosen(options.dtype, "float64")
    plan = _Plan(problem, chosen(options.init_scale, 1.0), widths, nets, dtype, options)
    widest = max(widths[-1], plan.small_widths[-1], *map(plan.width, plan.scales[:-1]))
    check_memory(widest, problem.dataset.inputs.shape, dtype)
    return plan


def _premises(plan: _Plan) -> list[Premise]:
    """Hypotheses, all of them known before training."""
    problem = plan.problem
    own = {"zero initial output", "no overshoot (for the 2ρ bound)"}
    single = [(plan.width(scale), scale) for scale in plan.scales[:-1]]
    nets = [(plan.widths[0], plan.large), (plan.small_widths[0], plan.small), *single]
    movement = max(math.sqrt(problem.lazy_width / width) / scale for width, scale in nets)
    failure = plan.failure_bound(plan.small)
    return [
        *(premise for premise in problem.premises() if premise.name not in own),
        Premise(
            "smallest scale leaves the signs right",
            failure,
            failure <= _FAILURE,
            f"probability of a wrong sign after the burn-in <= {_FAILURE:g}, by the union bound",
        ),
        Premise(
            "nets move little",
            movement,
            movement <= 0.5,
            f"relative movement <= 1/2, width >= {plan.least_width(plan.large)} at scale "
            f"{plan.large:g} and {plan.least_width(plan.small)} at scale {plan.small:g}",
        ),
    ]


# ---------------------------------------------------------------- training


@dataclass(frozen=True)
class _Seen:
    """What the plainly initialised nets of one scale and width did.

    Attributes:
        scale: σ.
        width: m.
        initial: u_0, shape (S, n).
        early: outputs at the end of the burn-in, shape (S, n).
        final: outputs at the end, shape (S, n).
        stopped: explanation of a divergence, or None.
    """

    scale: float
    width: int
    initial: Array
    early: Array
    final: Array
    stopped: str | None


def _train(
    plan: _Plan, scale: float, width: int, nets: int, stream: int, progress: Progress
) -> _Seen:
    """Train plainly initialised nets and keep three of their steps."""
    from ntk_theory.experiments import net_seeds, train_nets

    record = (0, plan.burn_in, plan.problem.steps)
    trajectory = train_nets(
        replace(plan.problem.recipe, init_scale=scale, record=record),
        width,
        # The position of the scale keeps nets of one width apart.
        net_seeds(plan.options.seed, width, nets, stream + 10 * plan.scales.index(scale)),
        dtype=plan.dtype,
        device=plan.options.device,
        progress=progress,
    )
    shape = (nets, len(plan.problem.dataset.clean))
    kept = [*np.moveaxis(trajectory.outputs, 1, 0), *(np.full(shape, np.nan),) * 3]
    return _Seen(scale, width, kept[0], kept[1], kept[2], trajectory.stopped)


def _climb(plan: _Plan, ladder: Ladder, evidence: Evidence, progress: Progress) -> list[_Seen]:
    """Train antisymmetric pairs over the widths, then plain nets over scales and widths."""
    data = plan.problem.dataset
    zero_start = plan.problem.distilled.outputs(data.clean, data.flipped)
    for width in plan.widths:
        ladder.train(_PAIRS, plan.problem.recipe, width, zero_start, progress=progress)
    small = replace(plan.problem.recipe, init_scale=plan.small)
    for width in plan.small_widths:
        ladder.train(_SMALLEST, small, width, zero_start, progress=progress)
    seen: list[_Seen] = []
    for scale in plan.scales[:-1]:
        evidence.progress_note = f"{len(seen)} sets of plain nets trained, up to scale {scale:g}"
        widths = plan.widths if scale == plan.large else (plan.width(scale),)
        seen += [
            _train(plan, scale, width, plan.count(scale), _SCALE_STREAM, progress)
            for width in widths
        ]
    return seen


# ---------------------------------------------------------------- measurements


def _rms(difference: Array) -> Array:
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)))


def _size(name: str, predicted: float, squares: Array, extra: float) -> Measurement:
    """Root of a mean over nets of squares, with its standard error by the delta method.

    Args:
        name: what is measured.
        predicted: closed form.
        squares: mean square of each net, shape (S,).
        extra: allowance for the finite width.
    """
    size = float(np.sqrt(squares.mean()))
    error = float(squares.std(ddof=1)) / math.sqrt(squares.size) / (2 * size)
    interval = (float(np.sqrt(squares.min())), float(np.sqrt(squares.max())))
    tolerance = _DEVIATES * error + extra
    # A quarter tells a standard deviation from √2 times it, or from its half.
    return Measurement(name, predicted, size, tolerance, interval, resolution=predicted / 4)


def _start_rows(plan: _Plan, ladder: Ladder, seen: list[_Seen]) -> list[Measurement]:
    """The initial output has the size σ √κ_1(0), and shrinks in the burn-in as the modes do."""
    data, start = plan.problem.dataset, plan.burn_in
    squares = np.concatenate([np.square(one.initial / one.scale).mean(axis=1) for one in seen])
    logs = np.concatenate([np.log(_rms(one.initial)) for one in seen])
    scales = np.concatenate([np.full(len(one.initial), math.log(one.scale)) for one in seen])
    slope, covariance = np.polyfit(scales, logs, 1, cov=True)
    zero_start = plan.problem.distilled.outputs(data.clean, data.flipped)[start]
    widest = next(one for one in reversed(seen) if one.scale == plan.large)
    left = np.square((widest.early - zero_start) / plan.large).mean(axis=1)
    spread = float(plan.spread[start])
    deviation = _deviation(plan, ladder, widest.width) / plan.large
    return [
        _size("RMS initial output / scale", float(plan.spread[0]), squares, 0.0),
        Measurement(
            "exponent of the initial output in the scale",
            1.0,
            float(slope[0]),
            _DEVIATES * math.sqrt(covariance[0, 0]),
            resolution=0.25,
        ),
        _size(
            f"RMS of what is left of it after {start} steps / scale",
            spread,
            left,
            math.hypot(spread, deviation) - spread,
        ),
    ]


def _own_start(plan: _Plan, seen: list[_Seen]) -> Measurement:
    """The rest is not random: each net follows the recursion from its own initial output.

    Half the spread over nets tells its own start from another net's.
    """
    from ntk_theory import predictions
    from ntk_theory.fitting import fit_power_law

    problem, start = plan.problem, plan.burn_in
    here = [one for one in seen if one.scale == plan.large]
    deviations = [
        _rms(
            one.early
            - predictions.block_recursion(
                problem.spectrum,
                problem.dataset.observed,
                problem.learning_rate,
                problem.weights[:start],
                one.initial,
            )
        )
        for one in here
    ]
    fitted = fit_power_law(
        plan.widths[:-1], deviations[:-1], rng=np.random.default_rng(plan.options.seed)
    )
    return over_nets(
        f"scale {plan.large:g}: deviation from the recursion from a net's own start, {start} steps",
        0.0,
        deviations[-1],
        fitted.upper(plan.widths[-1]),
        plan.large * float(plan.spread[start]) / 2,
    )


def _deviation(plan: _Plan, ladder: Ladder, width: int) -> float:
    """Bound on the deviation of a net from its limit at the end of the burn-in."""
    return ladder.fit(_PAIRS, lambda rung: rung.deviation[:, plan.burn_in]).upper(width)


def _next(values: list[float], index: int) -> float:
    """Half the difference to the scale twice as large; of the largest, to half as large."""
    return abs(values[index] - values[index - 1 if index else 1]) / 2


def _scale_rows(
    plan: _Plan, ladder: Ladder, seen: list[_Seen], laws: list[_Law]
) -> list[Measurement]:
    """Signs after the burn-in, final errors and recovered nets of every scale.

    Standard errors are those of the predicted distribution, of the nets and of its own draws. The
    deviation of a net of finite width is, to leading order, centred and independent of its initial
    output: it acts as a somewhat larger one.
    """
    clean = plan.problem.dataset.clean
    shares = [plan.early_share(scale) for scale in plan.scales]
    rows = []
    for index, scale in enumerate(plan.scales[:-1]):
        here = [one for one in seen if one.scale == scale]
        early = np.concatenate([(one.early * clean <= 0).mean(axis=1) for one in here])
        deviation = _deviation(plan, ladder, min(one.width for one in here))
        # One wrong sign more than none, as few of them are not normally distributed.
        allowed = plan.early_share(scale, deviation) - shares[index] + 1 / early.size / clean.size
        allowed += _DEVIATES * float(laws[index].early.std()) / math.sqrt(early.size)
        name = f"scale {scale:g}: share of wrong signs after {plan.burn_in} steps"
        rows.append(over_nets(name, shares[index], early, allowed, _next(shares, index)))
        if scale >= plan.large / 2:  # below, hardly any net fails: a mean of very few
            final = np.concatenate([one.final for one in here])
            rows += _final_rows(plan, index, final, laws, plan.law(scale, deviation))
    return rows


def _final_rows(
    plan: _Plan, index: int, final: Array, laws: list[_Law], wider: _Law
) -> list[Measurement]:
    """Error and recovered labels at the end, at one scale; `wider` allows for the finite width."""
    clean, law, name = plan.problem.dataset.clean, laws[index], f"scale {plan.scales[index]:g}"
    means = [float(one.error.mean()) for one in laws]
    recovered = [float(one.recovered.mean()) for one in laws]
    deviates = _DEVIATES * math.sqrt(1 / len(final) + 1 / _SAMPLES)
    error = over_nets(
        f"{name}: final RMS error",
        means[index],
        _rms(final - clean),
        deviates * float(law.error.std()) + abs(float(wider.error.mean()) - means[index]),
        _next(means, index),
    )
    if plan.scales[index] > plan.large:
        return [error]
    share = Measurement(
        f"{name}: share of nets with every sign right at the end",
        recovered[index],
        float((final * clean > 0).all(axis=1).mean()),
        deviates * float(law.recovered.std())
        + 1 / len(final)
        + abs(float(wider.recovered.mean()) - recovered[index]),
        # Of the large scale and its half, each is told from the other.
        resolution=abs(recovered[1] - recovered[2]) / 2,
    )
    return [error, share]


def _width_rows(plan: _Plan, ladder: Ladder, seen: list[_Seen], law: _Law) -> list[Measurement]:
    """A wider net does not help a large scale; pairs need no small one.

    The slope of the mean error in log2 m is a weighted sum of independent means. The law m^{-1/2}
    would lose 1 − 1/√2 of the error an octave; half of that tells it from none.
    """
    clean = plan.problem.dataset.clean
    here = [one for one in seen if one.scale == plan.large]
    octaves = np.log2([one.width for one in here])
    centred = (octaves - octaves.mean()) / np.square(octaves - octaves.mean()).sum()
    means = np.array([_rms(one.final - clean).mean() for one in here])
    error = float(law.error.std()) / math.sqrt(plan.nets) * float(np.linalg.norm(centred))
    mean, widest = float(law.error.mean()), ladder.rungs[_PAIRS][-1]
    predicted = float(plan.problem.distilled.rms_error()[-1])
    return [
        Measurement(
            f"scale {plan.large:g}: change of the mean final error per octave of width",
            0.0,
            float(centred @ means),
            _DEVIATES * error,
            resolution=mean * (1 - math.sqrt(0.5)) / 2,
        ),
        over_nets(
            f"{_PAIRS}: final RMS error",
            predicted,
            widest.error[:, -1],
            ladder.allowance(_PAIRS, lambda rung: rung.deviation[:, -1]),
            predicted / 2,
        ),
        Measurement(
            f"{_PAIRS}: 0-1 error, worst of the widest nets",
            0.0,
            float(widest.zero_one.max()),
            0.0,
        ),
    ]


def _small_rows(plan: _Plan, ladder: Ladder) -> list[Measurement]:
    """The smallest scale ends where the zero start does, with every sign right.

    Half the error tells it from 0 and from its double; half the noise rate tells the margin from
    that of the best stopping.
    """
    rungs, predicted = ladder.rungs[_SMALLEST], plan.problem.distilled
    name, end = f"scale {plan.small:g}", plan.small_widths[-1]
    remainder = plan.small * float(plan.spread[-1])

    def allowed(worst: bool) -> float:
        fitted = ladder.fit(
            _SMALLEST,
            lambda rung: (rung.worst_deviation if worst else rung.deviation)[:, -1],
            -1,
        )
        return fitted.upper(end) + ladder.rounding_allowance(end) + remainder

    return [
        over_nets(
            f"{name}: final RMS error",
            float(predicted.rms_error()[-1]),
            rungs[-1].error[:, -1],
            allowed(False),
            float(predicted.rms_error()[-1]) / 2,
        ),
        over_nets(
            f"{name}: margin at the end",
            float(predicted.margin()[-1]),
            rungs[-1].margin,
            allowed(True),
            plan.problem.noise_rate,
        ),
        Measurement(
            f"{name}: 0-1 error, worst net of all widths",
            0.0,
            max(float(rung.zero_one.max()) for rung in rungs),
            0.0,
        ),
    ]


# ---------------------------------------------------------------- controls


def _controls(plan: _Plan, ladder: Ladder, law: _Law, progress: Progress) -> Iterator[Control]:
    """A large scale said to converge, pairs said to have a floor, soft targets."""
    from ntk_theory import predictions
    from ntk_theory.experiments import net_seeds, train_nets

    problem, width, clean = plan.problem, plan.control_width, plan.problem.dataset.clean
    zero_start = float(problem.distilled.rms_error()[-1])
    floor, error = float(law.error.mean()), float(law.error.std())
    error *= _DEVIATES * math.sqrt(1 / _CONTROL_NETS + 1 / _SAMPLES)
    wide = plan.small_widths[-1]
    deviation = ladder.fit(_PAIRS, lambda rung: rung.largest_deviation)
    tolerance, small_tolerance = deviation.upper(width), deviation.upper(wide)
    seen = _train(plan, plan.large, width, _CONTROL_NETS, _CONTROL_STREAM, progress)
    unmet = plan.failure_bound(plan.large) > _FAILURE
    yield Control(
        "large-scale",
        f"a small initial output: here w ~ N(0, {plan.large:g}² I)",
        Verdict.PREMISE_UNMET,
        Verdict.PREMISE_UNMET if unmet else Verdict.SUPPORTED,
        over_nets("final RMS error", floor, _rms(seen.final - clean), error + tolerance),
        zero_start,
        tolerance,
    )

    def ends(width: int, **changes: Any) -> Array:
        trajectory = train_nets(
            replace(problem.recipe, **changes),
            width,
            net_seeds(ladder.seed, width, _CONTROL_NETS // 4, _CONTROL_STREAM),
            dtype=plan.dtype,
            device=plan.options.device,
            progress=progress,
        )
        return np.asarray(trajectory.rms_error(clean)[:, -1])

    def violated(values: Array, claimed: float, allowed: float) -> Verdict:
        apart = abs(float(values.mean()) - claimed) > allowed
        return Verdict.VIOLATED if apart else Verdict.SUPPORTED

    pairs = ends(width)
    yield Control(
        "antisymmetric-pairs",
        "a random initial output, hence a floor: here neurons come in pairs that cancel",
        Verdict.VIOLATED,
        violated(pairs, floor, error),
        over_nets("final RMS error", zero_start, pairs, tolerance),
        floor,
        error,
    )
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        problem.weights,
        problem.label_mean,
    )
    soft = replace(problem.distillation, target="soft")
    errors = ends(wide, init_scale=plan.small, distillation=soft)
    yield Control(
        "soft-targets",
        f"hardened targets: here they are soft, at scale {plan.small:g}",
        Verdict.VIOLATED,
        violated(errors, zero_start, small_tolerance),
        over_nets("final RMS error", float(curve.rms_error()[-1]), errors, small_tolerance),
        zero_start,
        small_tolerance,
    )


# ---------------------------------------------------------------- run


def _arrays(plan: _Plan, ladder: Ladder, seen: list[_Seen], laws: list[_Law]) -> dict[str, Array]:
    clean = plan.problem.dataset.clean
    large = [one for one in seen if one.scale == plan.large]
    rungs = ladder.rungs
    return {
        "scales": np.array(plan.scales),
        "predicted_mean": np.array([law.error.mean() for law in laws]),
        "zero_start": plan.problem.distilled.rms_error()[-1:],
        "net_scales": np.concatenate([np.full(len(one.final), one.scale) for one in seen]),
        "net_errors": np.concatenate([_rms(one.final - clean) for one in seen]),
        "small_errors": rungs[_SMALLEST][-1].error[:, -1],
        "widths": np.array(plan.widths),
        "large_errors": np.stack([_rms(one.final - clean) for one in large]),
        "pair_errors": np.stack([rung.error[:, -1] for rung in rungs[_PAIRS]]),
    }


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    """Train pairs and plain nets, compare with the predicted distribution, run the controls."""
    from ntk_theory.ladder import Ladder

    evidence.premises += _premises(plan)
    if {p.name for p in evidence.premises if not p.holds} - {"nets move little"}:
        return ""
    clean, options = plan.problem.dataset.clean, plan.options
    ladder = Ladder(clean, plan.widths, plan.few, options.seed, plan.dtype, options.device)
    progress.start(CLAIM.id, plan.work())
    seen = _climb(plan, ladder, evidence, progress)
    stopped = next((one.stopped for one in seen if one.stopped), ladder.stopped())
    if evidence.diverged(stopped):
        return ""
    evidence.metrics += [
        *ladder.metrics(),
        *(
            {
                "training": f"scale {one.scale:g}",
                "width": one.width,
                "net": net,
                "initial_rms_output": float(_rms(one.initial)[net]),
                "final_rms_error": float(_rms(one.final - clean)[net]),
                "zero_one_error": float((one.final[net] * clean <= 0).mean()),
            }
            for one in seen
            for net in range(len(one.final))
        ),
    ]
    laws = [plan.law(scale) for scale in plan.scales]
    evidence.arrays |= _arrays(plan, ladder, seen, laws)
    evidence.measurements += [
        *_start_rows(plan, ladder, seen),
        _own_start(plan, seen),
        *_scale_rows(plan, ladder, seen, laws),
        *_width_rows(plan, ladder, seen, laws[1]),
        *_small_rows(plan, ladder),
    ]
    if evidence.sound:
        for control in _controls(plan, ladder, laws[1], progress):
            evidence.controls.append(control)
    floor, small = evidence.arrays["large_errors"].mean(), evidence.arrays["small_errors"].mean()
    return (
        f"plain nets of scale {plan.large:g} end {floor:.3g} (RMS) from the clean labels at every "
        f"width, predicted {laws[1].error.mean():.3g}; at scale {plan.small:g} every sign is right "
        f"and they end at {small:.4g}, predicted {plan.problem.distilled.rms_error()[-1]:.4g}, as "
        "antisymmetric pairs do"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config, wrong signs in closed form and the error of the small scale, without training."""
    plan = _plan(options)
    predicted = {
        f"scale {scale:g}: share of wrong signs after {plan.burn_in} steps": plan.early_share(scale)
        for scale in plan.scales[:-1]
    }
    curve = plan.problem.distilled
    predicted["RMS initial output / scale"] = float(plan.spread[0])
    predicted[f"scale {plan.small:g}: final RMS error"] = float(curve.rms_error()[-1])
    predicted[f"{_PAIRS}: final RMS error"] = float(curve.rms_error()[-1])
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def _draw_scales(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[0], result.arrays
    small = np.full(len(arrays["small_errors"]), arrays["scales"][-1])
    x = np.concatenate([arrays["net_scales"], small])
    y = np.concatenate([arrays["net_errors"], arrays["small_errors"]])
    axes.plot(x, y, color=drawing.BLUE, marker="o", ms=3, ls="", alpha=0.25, label="nets")
    means = [y[x == scale].mean() for scale in arrays["scales"]]
    axes.plot(arrays["scales"], means, color=drawing.BLUE, lw=2.5, label="mean of the nets")
    drawing.prediction(axes, arrays["scales"], arrays["predicted_mean"], "predicted mean")
    axes.axhline(arrays["zero_start"][0], color=drawing.GREY, lw=1, label="zero start")
    axes.set(xlabel="scale σ of the initial weights", ylabel="final RMS error")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.legend(frameon=False, loc="center left")


def _draw_widths(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[1], result.arrays
    widths, large = arrays["widths"], arrays["large_errors"]
    scale = result.config["init_scale"]
    error = large.std(axis=1, ddof=1) / np.sqrt(large.shape[1])
    axes.errorbar(
        widths,
        large.mean(axis=1),
        error,
        color=drawing.ORANGE,
        marker="o",
        ms=4,
        label=f"scale {scale:g}, mean ± standard error",
    )
    drawing.band(axes, widths, arrays["pair_errors"].T, drawing.BLUE, _PAIRS)
    drawing.prediction(axes, widths, np.full(len(widths), arrays["predicted_mean"][1]), "predicted")
    drawing.prediction(axes, widths, np.full(len(widths), arrays["zero_start"][0]))
    axes.set(xlabel="width $m$", ylabel="final RMS error")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.legend(frameon=False, loc="center right")


def draw(figure: Figure, result: ClaimResult) -> None:
    """Final error over the scale and over the width, predictions dashed."""
    figure.subplots(1, 2)
    if "net_errors" in result.arrays:
        _draw_scales(figure, result)
        _draw_widths(figure, result)


CLAIM = Claim(
    id="initialisation",
    statement=(
        "Self-distillation from a random initial output has an error floor made of wrong signs "
        "alone: it is there at scale 1 however wide the net, and vanishes faster than any power of "
        "the scale, so that a small scale converges to the clean labels as antisymmetric pairs do."
    ),
    formulas=(
        "u_0 ~ N(0, σ² κ_1),  κ_1(θ) = (sin θ + (π − θ) cos θ)/2π",
        "signs right: u_t = zero start + (I − ηH)^t u_0,  standard deviation σ s(t) at a point",
        "s(t)² = (1 − 1/s) μ_− X_−^{2t} + (1/s − 1/n) μ_+ X_+^{2t} + μ_0 X_0^{2t}/n,  X = 1 − ηλ",
        "share of wrong signs after the burn-in:  mean_i Φ(−M_i/(σ s))",
        "P(a wrong sign ever teaches) <= Σ_t Σ_i Φ(−M_i(t)/(σ s(t))) ~ exp(−c²/2σ²)",
    ),
    assumptions=(
        "H positive definite, η < 2/λ_max, and the weight of the observed labels tends to 0",
        "from a zero start every sign is right at every step after the burn-in",
        "wide nets: width at least four times the lazy one, which grows like 1/σ²",
        "independent signs of the output weights",
    ),
    derivation=(
        "While no sign differs the targets do not either, the recursion is affine in u_0, and what "
        "is left of u_0 decays like (1 − ηλ_−)^t: no floor. A wrong sign after the burn-in is "
        "taught back. During the burn-in the outputs are Gaussian, which gives the share of wrong "
        "signs in closed form and, summed over points and steps, a bound on any of them; what "
        "follows a wrong sign is computed by the block recursion (docs/theory.md, sections 8 and "
        "8.1)."
    ),
    source="arXiv 1910.01255, abstract, claim C5; derivation: docs/theory.md, section 8.1",
    paper_claims={
        "C5": "plain Gaussian initialisation of scale 2 down to 1/8; first layer, training inputs"
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
            "schedule",
            "learning_rate",
            "init_scale",
            "dtype",
        }
    ),
    controls=("large-scale", "antisymmetric-pairs", "soft-targets"),
    run=run,
    predict=predict,
    draw=draw,
)
