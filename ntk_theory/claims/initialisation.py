"""Claim C5, "randomly initialised": how small the initial output must be (docs, section 8.1).

Nets without pairs start at a random output proportional to the scale of their weights. Over several
scales their signs after the burn-in, their final errors and the share of them that recovers every
label are compared with the predicted distribution.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.evidence import over_nets
from ntk_theory.checking.functionals import least_margin, rms_error
from ntk_theory.checking.functionals import wrong_signs as zero_one_error
from ntk_theory.claims._initialisation_pictures import drawn, floor, over_width, wrong_signs
from ntk_theory.claims._initialisation_scales import SAMPLES, Scales, rms

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration

Array = NDArray[np.float64]

CLAIM = nt.Claim(
    "initialisation",
    statement=(
        "Self-distillation from a random initial output has an error floor made of wrong signs "
        "alone: at r = 6 it is there at scale 1 however wide the net, and vanishes faster than any "
        "power of the scale, so that a small scale converges to the clean labels as antisymmetric "
        "pairs do; at a ratio of some hundred the infinitely wide net converges from scale 1, too."
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
        "C5": "plain Gaussian initialisation of scale 2 down to 1/8; first layer, training inputs; "
        "at scale 1 most nets of this design fail"
    },
    # A share of failures takes many nets at every width, so none of them climbs to 2^17.
    presets={
        "quick": nt.Sweep(128, 2**11, 5, nets=32),
        "standard": nt.Sweep(128, 2**15, 5, nets=64),
        "thorough": nt.Sweep(128, 2**16, 7, nets=96),
    },
    control_nets=4,
)

PAIRS = "antisymmetric pairs"
_LARGE_NETS = 16
"""Control nets of the large scale, of which it takes more."""

_SCALE_STREAM, _DRAW_STREAM, _DRAWS = 4, 6, 200
"""Keep the plain nets, and random initial outputs at a larger ratio, apart from all others."""

_DEVIATES = 3.9
"""Half-width of a random row in standard errors: a right mean is missed once in 10⁴ rows."""


CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 4, "points": 10, "ratio": 6.0, "noise_rate": 0.1, "init_scale": 1.0},
    fixed={"share": None, "noise_times": 12, "held_out": 0},
    into=Scales.of,
)


def _name(scale: float) -> str:
    return f"scale {scale:g}"


def _few(count: int) -> int:
    """Nets at a width where nothing is random but the deviation."""
    return max(3, count // 8)


@CLAIM.trainings
def trainings(problem: Scales) -> Iterator[nt.Training]:
    """Antisymmetric pairs, and nets of every scale, which keep three steps."""
    yield problem.distilled_training(PAIRS, signs_from=None, nets=_few)
    record = (0, problem.first_taught, problem.steps)
    for place, scale in enumerate(problem.scales):
        own: dict[str, Any] = {"widths": lambda run, scale=scale: (problem.width(scale, run),)}
        if scale == problem.large:
            own = {}
        elif scale == problem.small:
            own = {"widths": problem.small_widths, "nets": _few}
        elif place == 2:  # a recovered half is the most random of all
            own["nets"] = lambda count: 4 * count
        # The place of the scale keeps nets of one width apart.
        stream = 0 if scale == problem.small else _SCALE_STREAM + 10 * place
        recipe = replace(problem.recipe, init_scale=scale, record=record)
        yield nt.Training(_name(scale), recipe, problem.from_zero[list(record)],
                          labels=problem.dataset.clean, stream=stream, kernel_limit=False,
                          **own)  # fmt: skip


def _off(problem: Scales, outputs: Array) -> Array:
    """Difference to the recursion from nets' own initial outputs at their three steps."""
    start, early = outputs[..., 0, :], outputs[..., 1, :]
    burn_in = problem.first_taught
    first = problem.continued(start, slice(burn_in))
    last = problem.continued(first, slice(burn_in, None))
    return np.stack([0 * start, early - first, outputs[..., 2, :] - last], axis=-2)


@CLAIM.rows
def rows(problem: Scales, pairs: nt.Training, *scales: nt.Training) -> Iterator[nt.Row]:
    """Ends of pairs and of the small scale, and nets of the large one from their own starts."""
    final, burn_in = float(problem.distilled.rms_error()[-1]), problem.first_taught
    large, small = scales[1], scales[-1]

    def off(outputs: Array, _: Any) -> Array:
        return rms(_off(problem, outputs))

    def rms_from_own_start(difference: Array, predicted: Array) -> Array:
        return rms(_off(problem, difference + predicted))

    def largest_from_own_start(difference: Array, predicted: Array) -> Array:
        return np.asarray(np.abs(_off(problem, difference + predicted)).max(axis=-1))

    right: dict[str, Any] = {"expect": 0.0, "tolerance": lambda _: 0.0}
    # Half the error distinguishes it from 0 and from its double.
    yield nt.Row("final RMS error", pairs, rms_error, norm="rms", expect=final, resolves=final / 2)
    yield nt.Row("0-1 error, worst of the widest nets", pairs, zero_one_error, norm="rms",
                 nets="each", **right)  # fmt: skip
    # Half the spread over nets distinguishes its own start from another net's.
    yield nt.Row(f"deviation from the recursion from a net's own start, {burn_in} steps", large,
                 off, at=1, norm="own", expect=0.0,
                 resolves=problem.large * float(problem.spread[burn_in]) / 2)  # fmt: skip
    left = problem.small * float(problem.spread[-1])
    ends: dict[str, Any] = {"tolerance": lambda deviation: deviation + left}
    yield nt.Row("final RMS error", small, rms_error, norm=rms_from_own_start, expect=final,
                 resolves=final / 2, **ends)  # fmt: skip
    # Half the noise rate distinguishes the margin from that of the best stopping.
    yield nt.Row("margin at the end", small, least_margin, norm=largest_from_own_start,
                 expect=float(problem.distilled.margin()[-1]), resolves=problem.noise_rate,
                 **ends)  # fmt: skip
    yield nt.Row("0-1 error, worst net of all widths", small, zero_one_error,
                 norm=rms_from_own_start, nets="each of every width", **right)  # fmt: skip


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """Closed forms on the measured kernels, and what becomes of random initial outputs."""
    from ntk_theory.checking.ladder import falling_row

    problem, widths, burn_in = run.problem, run.nets.widths, run.problem.first_taught
    nets = {scale: [one.outputs() for one in run.results[_name(scale)]]
            for scale in problem.scales}  # fmt: skip
    moved = max(problem.movement(one.width, scale) for scale in problem.scales
                for one in run.results[_name(scale)])  # fmt: skip
    yield nt.Premise("nets of every scale move little", moved, moved <= 0.5,
                     "relative movement <= 1/2 at every scale and width")  # fmt: skip
    yield from _kernel_rows(problem, np.concatenate([one for every in nets.values()
                                                     for one in every])[:, 0])  # fmt: skip
    early = run.deviations(replace(run.declared.rows[0], at=burn_in))
    yield falling_row(widths, early, f"{PAIRS}, {burn_in} steps")
    bound = run.fit(early).upper
    yield from _start_rows(problem, nets, bound(widths[-1]))
    for place, scale in enumerate(problem.scales[:-1]):
        deviation = bound(min(one.width for one in run.results[_name(scale)]))
        yield from _scale_rows(problem, place, np.concatenate(nets[scale]), deviation)
    # The slope of the mean error in log2 m is a weighted sum of independent means. The law m^{-1/2}
    # would lose 1 − 1/√2 of the error an octave; half of that distinguishes it from none.
    law, octaves, clean = problem.laws[1], np.log2(widths), problem.dataset.clean
    centred = (octaves - octaves.mean()) / np.square(octaves - octaves.mean()).sum()
    errors = np.stack([rms(one[:, -1] - clean) for one in nets[problem.large]])
    error = float(law.error.std() * np.linalg.norm(centred)) / math.sqrt(run.nets.count)
    yield nt.Measurement(
        f"{_name(problem.large)}: change of the mean final error per octave of width", 0.0,
        float(centred @ errors.mean(axis=1)), _DEVIATES * error,
        resolution=float(law.error.mean()) * (1 - math.sqrt(0.5)) / 2,
    )  # fmt: skip
    pairs = [rms_error(one.outputs(), run.trainings[PAIRS].points)[:, -1]
             for one in run.results[PAIRS]]  # fmt: skip
    run.evidence.arrays |= {"large_errors": errors, "pair_errors": np.stack(pairs)}
    run.evidence.arrays |= drawn(problem, nets)


def _kernel_rows(problem: Scales, start: Array) -> Iterator[nt.Measurement]:
    """Closed forms against the measured kernels; outputs round by n eps λ_max a step.

    That lasts for the 1/(ηλ_−) steps of the slowest mode. At a larger ratio random initial outputs
    of the large scale end where the zero start does, but for what the union bound allows and what
    is left of their start; half the error distinguishes it from its double.
    """
    levels, clean = problem.spectrum, problem.dataset.clean
    rounding = len(problem.gram) * float(np.finfo(float).eps) * levels.mean / levels.noise
    covariance, gap = problem.covariance, 0.0
    step = np.eye(len(covariance)) - problem.learning_rate * problem.gram
    for spread in problem.spread:
        gap = max(gap, float(np.abs(np.diag(covariance) - np.square(spread)).max()))
        covariance = step @ covariance @ step
    yield nt.Measurement(
        "kernel limit: variance of what is left of an initial output − closed form, largest",
        0.0, gap, 2 * rounding, kind="formula",
    )  # fmt: skip
    gap = float(np.abs(problem.on_measured_kernel(start)
                       - problem.continued(start, slice(None))).max())  # fmt: skip
    yield nt.Measurement(
        "kernel limit from nets' own starts − recursion over clusters, largest", 0.0, gap,
        max(1.0, float(np.abs(start).max())) * rounding, kind="formula",
    )  # fmt: skip
    easier, scale = problem.easier, problem.large
    if easier is not None:
        key = np.random.SeedSequence(problem.seed, spawn_key=(_DRAW_STREAM,))
        draws = np.random.default_rng(key).standard_normal((_DRAWS, clean.size))
        start = scale * draws @ np.linalg.cholesky(easier.covariance).T
        predicted = float(easier.distilled.rms_error()[-1])
        yield over_nets(
            f"kernel limit at r = {easier.ratio:g}, {_name(scale)}: final RMS error", predicted,
            rms(easier.on_measured_kernel(start) - easier.dataset.clean),
            scale * float(easier.spread[-1]) + easier.failure_bound(scale), predicted / 2,
        )  # fmt: skip


def _start_rows(
    problem: Scales, nets: Mapping[float, Sequence[Array]], deviation: float
) -> Iterator[nt.Measurement]:
    """The initial output has the size σ √κ_1(0), and shrinks in the burn-in as the modes do."""
    plain = [(scale, one) for scale in problem.scales[:-1] for one in nets[scale]]

    def size(name: str, predicted: float, squares: Array, extra: float) -> nt.Measurement:
        """Root of a mean of squares, with its standard error by the delta method."""
        found = float(np.sqrt(squares.mean()))
        error = float(squares.std(ddof=1)) / math.sqrt(squares.size) / (2 * found)
        # A quarter distinguishes a standard deviation from √2 times it, and from its half.
        return nt.Measurement(name, predicted, found, _DEVIATES * error + extra,
                              (float(np.sqrt(squares.min())), float(np.sqrt(squares.max()))),
                              resolution=predicted / 4)  # fmt: skip

    squares = np.concatenate([np.square(one[:, 0] / scale).mean(axis=1) for scale, one in plain])
    yield size("RMS initial output / scale", float(problem.spread[0]), squares, 0.0)
    logs = np.concatenate([np.log(rms(one[:, 0])) for _, one in plain])
    scales = np.concatenate([np.full(len(one), math.log(scale)) for scale, one in plain])
    slope, covariance = np.polyfit(scales, logs, 1, cov=True)
    yield nt.Measurement("exponent of the initial output in the scale", 1.0, float(slope[0]),
                         _DEVIATES * math.sqrt(covariance[0, 0]), resolution=0.25)  # fmt: skip
    burn_in, scale = problem.first_taught, problem.large
    spread = float(problem.spread[burn_in])
    left = (nets[scale][-1][:, 1] - problem.from_zero[burn_in]) / scale
    yield size(f"RMS of what is left of it after {burn_in} steps / scale", spread,
               np.square(left).mean(axis=1),
               math.hypot(spread, deviation / scale) - spread)  # fmt: skip


def _next(values: Sequence[float], place: int) -> float:
    """Half the difference to the scale twice as large; of the largest, to half as large."""
    return abs(values[place] - values[place - 1 if place else 1]) / 2


def _scale_rows(
    problem: Scales, place: int, outputs: Array, deviation: float
) -> Iterator[nt.Measurement]:
    """Signs after the burn-in, final errors and recovered nets of a scale.

    Standard errors are those of the predicted distribution, of the nets and of its own draws. The
    deviation of a net of finite width is, to leading order, centred and independent of its initial
    output: it acts as a somewhat larger one.
    """
    scale, law, clean = problem.scales[place], problem.laws[place], problem.dataset.clean
    early, final = (outputs[:, 1] * clean <= 0).mean(axis=1), outputs[:, 2]
    shares = [problem.early_share(one) for one in problem.scales]
    # One wrong sign more than none, as few of them are not normally distributed.
    allowed = problem.early_share(scale, deviation) - shares[place] + 1 / early.size / clean.size
    allowed += _DEVIATES * float(law.early.std()) / math.sqrt(early.size)
    name = f"{_name(scale)}: share of wrong signs after {problem.first_taught} steps"
    yield over_nets(name, shares[place], early, allowed, _next(shares, place))
    if scale < problem.large / 2:
        return  # hardly any net fails: a mean of very few
    wider = problem.law(scale, deviation)
    deviates = _DEVIATES * math.sqrt(1 / len(final) + 1 / SAMPLES)
    means = [float(one.error.mean()) for one in problem.laws]
    yield over_nets(f"{_name(scale)}: final RMS error", means[place], rms(final - clean),
                    deviates * float(law.error.std())
                    + abs(float(wider.error.mean()) - means[place]),
                    _next(means, place))  # fmt: skip
    if scale <= problem.large:
        shares = [float(one.recovered.mean()) for one in problem.laws]
        yield nt.Measurement(
            f"{_name(scale)}: share of nets with every sign right at the end", shares[place],
            float((final * clean > 0).all(axis=1).mean()),
            deviates * float(law.recovered.std()) + 1 / len(final)
            + abs(float(wider.recovered.mean()) - shares[place]),
            # Of the large scale and its half, each is distinguished from the other.
            resolution=abs(shares[1] - shares[2]) / 2,
        )  # fmt: skip


def _large_scale(run: nt.Run) -> tuple[nt.Measurement, float, float]:
    """Where a wrong sign is likely there is a floor."""
    from ntk_theory.checking.ladder import CONTROL_STREAM, control_width

    width, problem, law = control_width(run.nets), run.problem, run.problem.laws[1]
    large = run.trainings[_name(problem.large)]
    stream = CONTROL_STREAM + large.stream - _SCALE_STREAM
    outputs = run.train(large, width, stream, _LARGE_NETS).outputs()
    every = replace(run.declared.rows[0], at=nt.ALL_STEPS, reduce=np.max)
    pairs = run.bound(every, width, from_all=True)
    sampling = float(law.error.std()) * _DEVIATES * math.sqrt(1 / _LARGE_NETS + 1 / SAMPLES)
    failure = over_nets("final RMS error", float(law.error.mean()),
                        rms(outputs[:, -1] - problem.dataset.clean), sampling + pairs)  # fmt: skip
    return failure, run.declared.rows[0].predicted, pairs


@CLAIM.controls
def controls(
    problem: Scales, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    final, floor = rows[f"{PAIRS}: final RMS error"], float(problem.laws[1].error.mean())
    yield nt.Control(
        "large-scale",
        f"a small initial output: here w ~ N(0, {problem.large:g}² I)",
        unmet=problem.right_signs(problem.large),
        measure=_large_scale,
    )
    yield nt.Control(
        "antisymmetric-pairs",
        "a random initial output, hence a floor: here neurons come in pairs that cancel",
        final.under(trainings[PAIRS], claimed=floor),
    )
    yield nt.Control(
        "soft-targets",
        "hardened targets: here they are soft",
        final.under(problem.soft_training()),
    )


@CLAIM.work
def work(declared: Declaration) -> float:
    """Of the control that is measured."""
    return float(_LARGE_NETS * declared.nets.widths[-2] * declared.problem.steps)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """The floor of the large scale, and none of the small one."""
    problem, pairs = run.problem, run.declared.rows[0]
    floor = float(run.evidence.arrays["large_errors"].mean())
    small = next(row for row in run.declared.rows if row.title.endswith("final RMS error")
                 and row is not pairs)  # fmt: skip
    return (
        f"plain nets of scale {problem.large:g} end {floor:.3g} (RMS) from the clean labels at "
        f"every width, predicted {problem.laws[1].error.mean():.3g}; at scale {problem.small:g} "
        f"every sign is right and they end at {run.measured(small).mean():.4g}, predicted "
        f"{pairs.predicted:.4g}, as {PAIRS} do"
    )


CLAIM.panels = {"floor": floor, "wrong-signs": wrong_signs, "width": over_width}
