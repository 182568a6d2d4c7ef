"""Claim C5, "randomly initialised": how small the initial output must be (docs, section 8.1).

Nets without pairs start at a random output proportional to the scale of their weights. Over several
scales their signs after the burn-in, their final errors and the share of them that recovers every
label are compared with the predicted distribution.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.evidence import falling_row, over_nets
from ntk_theory.checking.functionals import Array, least_margin, rms, rms_error, wrong_signs
from ntk_theory.checking.panels import Laws
from ntk_theory.checking.sweep import CONTROL_STREAM, NETS_STREAM

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration

CLAIM = nt.Claim(
    "initialisation",
    statement="""Self-distillation from a random initial output has an error floor made of wrong
    signs alone: at r = 6 it is there at scale 1 however wide the net, and vanishes faster than any
    power of the scale, so that a small scale converges to the clean labels as antisymmetric pairs
    do; at a ratio of some hundred the infinitely wide net converges from scale 1, too.""",
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
    derivation="""While no sign differs the targets do not either, the recursion is affine in u_0,
    and what is left of u_0 decays like (1 − ηλ_−)^t: no floor. A wrong sign after the burn-in is
    taught back. During the burn-in the outputs are Gaussian, which gives the share of wrong signs
    in closed form and, summed over points and steps, a bound on any of them; what follows a wrong
    sign is computed by the block recursion (docs/theory.md, sections 8 and 8.1).""",
    source="arXiv 1910.01255, abstract, claim C5; derivation: docs/theory.md, section 8.1",
    paper_claims={
        "C5": "plain Gaussian initialisation of scale 2 down to 1/8; first layer, training inputs; "
        "at scale 1 most nets of this design fail"
    },
    # A share of failures takes many nets at every width, so none of them climbs to 2^17.
    presets={
        "quick": nt.Sweep(128, 2**11, 5, nets=40),  # 32 leave the trend over m open on some seeds
        "standard": nt.Sweep(128, 2**15, 5, nets=64),
        "thorough": nt.Sweep(128, 2**16, 7, nets=96),
    },
    control_nets=4,
)

PAIRS = "antisymmetric pairs"
_SAMPLES, _FAILURE = 1000, 1e-3
"""Draws that a distribution is predicted from, and a probability of wrong signs that is none."""

_SCALES = (2.0, 1.0, 0.5, 0.25, 0.125)
"""In units of the large scale, which is the second; only the last one is claimed to suffice."""

_WIDEST = 2**14
"""No default width of a scale is larger; where it does not suffice, a premise says so."""

_LARGE_NETS, _DRAWS = 16, 200
"""Control nets of the large scale, of which it takes more, and initial outputs at that ratio."""

_STARTS, _NARROW = 8000, 16
"""Nets that are looked at at their start alone, and their width: any has the same covariance."""

_DEVIATES, _ROWS = 3.9, 15
"""Half-width of the control in standard errors, and random rows at most."""


class Ends(NamedTuple):
    """Final RMS error, recovered signs, and share of wrong ones at the end of the burn-in."""

    error: Array
    recovered: NDArray[np.bool_]
    early: Array


@dataclass(frozen=True)
class Scales(nt.NoisyClusters):
    """Noisy clusters, on which nets start with weights of several scales.

    Attributes:
        large: the scale σ at which a floor is claimed at every width.
    """

    large: float = 1.0
    assumed = ("kernel", "stable", "recoverable", "burn-in", "observed", "signs right")

    @classmethod
    def of(cls, problem: nt.NoisyClusters, _: Any = None, /, **more: Any) -> Scales:
        """The problem, whose scale is that of the large one."""
        if not problem.predictable:
            raise ValueError(
                "schedule must have weights that are known before the run, and learning_rate must "
                f"be below 2/λ_max = {2 / problem.spectrum.mean:.4g}; got "
                f"{problem.schedule_text} and {problem.learning_rate:g}"
            )
        own = {"init_scale": None, "large": problem.init_scale or 1.0}
        return super().of(problem, **(own | more))

    @property
    def scales(self) -> tuple[float, ...]:
        """Every σ, from the largest on; the second is the large one."""
        return tuple(self.large * part for part in _SCALES)

    def lazy_width_at(self, scale: float) -> float:
        """Width at which fitting the noise moves a neuron of a scale across: like 1/scale²."""
        return super().lazy_width / scale**2

    @property
    def lazy_width(self) -> float:
        """That of the large scale."""
        return self.lazy_width_at(self.large)

    def widths(self, scale: float, run: Sequence[int]) -> tuple[int, ...]:
        """Four widths of the smallest scale, ascending, and one of the others but the large one.

        From half the large scale on that grows as the random part falls: next to it the deviation
        of a finite width has to stay small.
        """
        least: float = 2 * math.ceil(2 * self.lazy_width_at(scale))
        if scale == self.scales[-1]:
            first = max(run[0], int(min(least, _WIDEST // 8)))
            return tuple(first * 2**k for k in range(4))
        least = max(least, run[1] * self.large / (2 * scale))
        return (max(run[1], 2 * math.ceil(min(least, _WIDEST) / 2)),)

    @cached_property
    def spread(self) -> Array:
        """What is left of an initial output of scale 1, standard deviation at every step."""
        known = self.spectrum, self.angle, self.cross_cosine, self.learning_rate, self.steps
        return nt.predictions.initial_output_spread(*known)

    @cached_property
    def from_zero(self) -> Array:
        """Predicted outputs from a zero start, shape (T + 1, n)."""
        return self.distilled.outputs(self.dataset.clean, self.dataset.flipped)

    def recorded(self, start: Array) -> Array:
        """Initial outputs (..., n), and what the block recursion makes of them, (..., 3, n).

        Their steps are those that nets keep: the start, the end of the burn-in and the last one.
        """
        known = self.spectrum, self.dataset.observed, self.learning_rate
        first, second = np.split(self.weights, [self.first_taught])
        early = nt.predictions.block_recursion(*known, first, start)
        final = nt.predictions.block_recursion(*known, second, early)
        return np.stack([start, early, final], axis=-2)

    def wrong_shares(self, scale: float, deviation: float = 0.0) -> Array:
        """Expected share of wrong signs, in closed form, at every step from the burn-in's end."""
        margins = (self.from_zero * self.dataset.clean)[self.first_taught :]
        spread = np.hypot(scale * self.spread[self.first_taught :], deviation)
        return nt.predictions.wrong_sign_share(margins, spread)

    def failure_bound(self, scale: float) -> float:
        """Bound on the probability that a wrong sign ever teaches."""
        return float(self.wrong_shares(scale).sum() * len(self.gram))

    def right_signs(self, scale: float) -> nt.Premise:
        """No wrong sign teaches at a scale."""
        failure, name = self.failure_bound(scale), "smallest scale leaves the signs right"
        likely = f"probability of a wrong sign after the burn-in <= {_FAILURE:g}"
        return nt.Premise(name, failure, failure <= _FAILURE, f"{likely}, by the union bound")

    def ends(self, outputs: Array) -> Ends:
        """What becomes of nets, from their outputs at the three steps, (S, 3, n)."""
        right, clean = outputs * self.dataset.clean > 0, self.dataset.clean
        recovered = np.asarray(right[:, 2].all(axis=1))
        return Ends(rms(outputs[:, 2] - clean), recovered, (~right[:, 1]).mean(axis=1))

    def drawn(self, scale: float, count: int, stream: int) -> Array:
        """So many initial outputs, as they are predicted."""
        key = np.random.SeedSequence(self.seed, spawn_key=(stream,))
        shape = (self.spectrum.clusters, self.spectrum.points)
        return nt.predictions.initial_output_samples(
            *shape, self.angle, self.cross_cosine, scale, count, np.random.default_rng(key)
        )

    def law(self, scale: float, deviation: float = 0.0) -> Ends:
        """What the block recursion makes of random initial outputs of a scale.

        A deviation of the nets from their limit at the end of the burn-in adds to the random part
        as if it were of the same kind; the draws are the same ones.
        """
        size = float(np.hypot(scale, deviation / self.spread[self.first_taught]))
        return self.ends(self.recorded(self.drawn(size, _SAMPLES, 3)))

    @cached_property
    def laws(self) -> tuple[Ends, ...]:
        """Of every scale."""
        return tuple(map(self.law, self.scales))

    @cached_property
    def easier(self) -> Scales | None:
        """The same clusters at the first ratio, doubled, at which the large scale is no obstacle.

        By the union bound; None where eight doublings do not suffice.
        """
        for doubled in range(1, 9):
            other = Scales.of(nt.noisy_clusters(
                clusters=self.spectrum.clusters, points=self.spectrum.points,
                ratio=self.ratio * 2**doubled, noise_rate=self.noise_rate, seed=self.seed,
                cross_cosine=self.cross_cosine,
            ), large=self.large)  # fmt: skip
            if other.failure_bound(self.large) <= _FAILURE:
                return other
        return None

    @property
    def covariance(self) -> Array:
        """κ_1 of the measured kernels: what training the output weights adds to the NTK."""
        return np.asarray(nt.kernels.ntk_limit(self.dataset.inputs, layers="both") - self.gram)

    def on_measured_kernel(self, outputs: Array) -> Array:
        """Outputs after the last step on the measured kernel, from some start, shape (S, n)."""
        for weight in self.weights:
            target = weight * self.dataset.observed + (1 - weight) * np.sign(outputs)
            outputs = outputs - self.learning_rate * (outputs - target) @ self.gram
        return outputs

    def premises(self) -> tuple[nt.Premise, ...]:
        """Those of a random start from scales one of which is small."""
        return (*super().premises(), self.right_signs(self.scales[-1]))

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        own = {"init_scale": self.large, "scales": list(self.scales), "samples": _SAMPLES}
        return super().config() | own | {"lazy_width": self.lazy_width_at(1.0)}


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
    return max(3, count // 4)


@CLAIM.trainings
def trainings(problem: Scales) -> Iterator[nt.Training]:
    """Antisymmetric pairs, and nets of every scale, which keep three steps."""
    yield problem.distilled_training(PAIRS, signs_from=None, nets=_few)
    record = (0, problem.first_taught, problem.steps)
    for place, scale in enumerate(problem.scales):
        own: dict[str, Any] = {} if place == 1 else {"widths": partial(problem.widths, scale)}
        if place == 2:  # a recovered half is the most random of all
            own["nets"] = lambda count: 4 * count
        own["stream"] = 4 + 10 * place  # apart from nets of one width, and from those of controls
        if scale == problem.scales[-1]:
            own |= {"nets": _few, "stream": 0}
        recipe = replace(problem.recipe, init_scale=scale, record=record)
        yield nt.Training(_name(scale), recipe, problem.from_zero[list(record)],
                          labels=problem.dataset.clean, kernel_limit=False, **own)  # fmt: skip


@CLAIM.rows
def rows(problem: Scales, pairs: nt.Training, *scales: nt.Training) -> Iterator[nt.Row]:
    """Ends of pairs and of the small scale, and nets of the large one from their own starts."""
    final, burn_in = float(problem.distilled.rms_error()[-1]), problem.first_taught
    large, small = scales[1], scales[-1]

    def off(outputs: Array) -> Array:
        """Deviation from the recursion from nets' own initial outputs, at their three steps."""
        return outputs - problem.recorded(outputs[..., 0, :])

    def rms_from_own_start(difference: Array, predicted: Array) -> Array:
        return rms(off(difference + predicted))

    def largest_from_own_start(difference: Array, predicted: Array) -> Array:
        return np.asarray(np.abs(off(difference + predicted)).max(axis=-1))

    right: dict[str, Any] = {"expect": 0.0, "tolerance": lambda _: 0.0}
    # Half the error distinguishes it from 0 and from its double.
    yield nt.Row("final RMS error", pairs, rms_error, expect=final, resolves=final / 2)
    yield nt.Row("0-1 error, worst of the widest nets", pairs, wrong_signs, expect=0.0, nets="each")
    # Half the spread over nets distinguishes its own start from another net's.
    yield nt.Row(f"deviation from the recursion from a net's own start, {burn_in} steps", large,
                 lambda outputs, _: rms(off(outputs)), at=1, norm="own", expect=0.0,
                 resolves=problem.large * float(problem.spread[burn_in]) / 2)  # fmt: skip
    left = problem.scales[-1] * float(problem.spread[-1])
    ends: dict[str, Any] = {"tolerance": lambda deviation: deviation + left}
    yield nt.Row("final RMS error", small, rms_error, norm=rms_from_own_start, expect=final,
                 resolves=final / 2, **ends)  # fmt: skip
    # Half the noise rate distinguishes the margin from that of the best stopping.
    yield nt.Row("margin at the end", small, least_margin, norm=largest_from_own_start,
                 expect=float(problem.distilled.margin()[-1]), resolves=problem.noise_rate,
                 **ends)  # fmt: skip
    yield nt.Row("0-1 error, worst net of all widths", small, wrong_signs,
                 norm=rms_from_own_start, nets="each of every width", **right)  # fmt: skip


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """Closed forms on the measured kernels, and what becomes of random initial outputs."""
    problem, widths, burn_in = run.problem, run.nets.widths, run.problem.first_taught
    results = {scale: run.results[_name(scale)] for scale in problem.scales}
    nets = {scale: np.concatenate([one.outputs() for one in results[scale]]) for scale in results}
    moved = math.sqrt(max(problem.lazy_width_at(scale) / results[scale][0].width
                          for scale in results))  # fmt: skip
    yield nt.Premise("nets of every scale move little", moved, moved <= 0.5,
                     "relative movement <= 1/2 at every scale and width")  # fmt: skip
    yield from _kernel_rows(problem, np.concatenate(list(nets.values()))[:, 0])
    early = run.deviations(replace(run.declared.rows[0], at=burn_in, norm="rms"))
    yield falling_row(widths, early, f"{PAIRS}, {burn_in} steps")
    bound = run.fit(early).upper
    widest = results[problem.large][-1].outputs()
    yield from _start_rows(run, nets, widest[:, 1], bound(widths[-1]))
    for place, scale in enumerate(problem.scales[:-1]):
        yield from _scale_rows(run, place, nets[scale], bound(results[scale][0].width))
    # The slope of the mean error in log2 m is a weighted sum of independent means. The law m^{-1/2}
    # would lose 1 − 1/√2 of the error an octave; half of that distinguishes it from none.
    law, octaves, clean = problem.laws[1].error, np.log2(widths), problem.dataset.clean
    errors = rms(nets[problem.large][:, 2] - clean).reshape(len(widths), -1)
    error = float(law.std() / octaves.std()) / math.sqrt(errors.size)
    yield run.estimate(
        f"{_name(problem.large)}: change of the mean final error per octave of width", 0.0,
        float(np.polyfit(octaves, errors.mean(axis=1), 1)[0]), [(error, _SAMPLES - 1)], rows=_ROWS,
        resolution=float(law.mean()) * (1 - math.sqrt(0.5)) / 2,
    )  # fmt: skip
    run.evidence.arrays |= _drawn(problem, nets) | {
        "large_errors": errors,
        "predicted large_errors": np.full(len(widths), law.mean()),
        "pair_errors": np.stack([rms(one.outputs()[:, -1] - clean) for one in run.results[PAIRS]]),
        "predicted pair_errors": np.full(len(widths), problem.distilled.rms_error()[-1]),
    }


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
    off = problem.on_measured_kernel(start) - problem.recorded(start)[:, 2]
    yield nt.Measurement(
        "kernel limit from nets' own starts − recursion over clusters, largest", 0.0,
        float(np.abs(off).max()), max(1.0, float(np.abs(start).max())) * rounding, kind="formula",
    )  # fmt: skip
    easier, scale = problem.easier, problem.large
    if easier is not None:
        key = np.random.SeedSequence(problem.seed, spawn_key=(6,))  # apart from all others
        draws = np.random.default_rng(key).standard_normal((_DRAWS, clean.size))
        start = scale * draws @ np.linalg.cholesky(easier.covariance).T
        predicted = float(easier.distilled.rms_error()[-1])
        yield over_nets(
            f"kernel limit at r = {easier.ratio:g}, {_name(scale)}: final RMS error", predicted,
            rms(easier.on_measured_kernel(start) - easier.dataset.clean),
            scale * float(easier.spread[-1]) + easier.failure_bound(scale), predicted / 2,
        )  # fmt: skip


def _start_rows(
    run: nt.Run, nets: Mapping[float, Array], widest: Array, deviation: float
) -> Iterator[nt.Measurement]:
    """Initial outputs have the covariance σ² κ_1 at every width, and shrink as the modes do.

    Whitened they have the mean square 1, and each of n directions says as much about it.
    """
    problem, burn_in, scale = run.problem, run.problem.first_taught, run.problem.large
    large = run.trainings[_name(scale)]
    still = replace(large, predicted=large.predicted[:1],
                    recipe=replace(large.recipe, steps=1, record=(0,)))  # fmt: skip
    nets_of = f"{_STARTS} nets of width {_NARROW}"
    starts = {
        "trained nets": np.concatenate([one[:, 0] / size for size, one in nets.items()]),
        nets_of: run.train(still, _NARROW, NETS_STREAM + 7, _STARTS).outputs()[:, 0] / scale,
        "predicted draws": problem.drawn(1.0, _STARTS, 7),
    }
    root, variance = np.linalg.cholesky(problem.covariance), float(problem.spread[burn_in]) ** 2
    left = np.square((widest - problem.from_zero[burn_in]) / scale).mean(axis=1)
    for name, predicted, squares, more in (
        *((f"mean square of whitened initial outputs, {of}", 1.0,
           np.square(np.linalg.solve(root, one.T)).mean(axis=0), 0.0)
          for of, one in starts.items()),
        (f"mean square of what is left of them after {burn_in} steps, over scale²", variance, left,
         (deviation / scale) ** 2),
    ):  # fmt: skip
        # A half distinguishes a variance from twice it, and from its half.
        yield run.estimate(name, predicted, squares, rows=_ROWS, more=more,
                           resolution=predicted / 2)  # fmt: skip


def _scale_rows(
    run: nt.Run, place: int, outputs: Array, deviation: float
) -> Iterator[nt.Measurement]:
    """Signs after the burn-in, final errors and recovered nets of a scale.

    Standard errors are those of the predicted distribution, of the nets and of its own draws. The
    deviation of a net of finite width is, to leading order, centred and independent of its initial
    output: it acts as a somewhat larger one. Half the difference to the scale twice as large, of
    the largest to half as large, distinguishes a mean.
    """
    problem, other = run.problem, place - 1 if place else 1
    scale, law = problem.scales[place], problem.laws[place]
    found, count = problem.ends(outputs), len(outputs)
    share, far = (problem.wrong_shares(problem.scales[one])[0] for one in (place, other))
    # One wrong sign more than none, as few of them are not normally distributed.
    allowed = problem.wrong_shares(scale, deviation)[0] - share + 1 / outputs[:, 1].size
    errors = [(law.early.std() / math.sqrt(count), _SAMPLES - 1)]
    name = f"{_name(scale)}: share of wrong signs after {problem.first_taught} steps"
    yield run.estimate(name, share, found.early, errors, rows=_ROWS, more=allowed,
                       resolution=abs(share - far) / 2)  # fmt: skip
    if scale < problem.large / 2:
        return  # hardly any net fails: a mean of very few
    wider = problem.law(scale, deviation)
    compared = [("final RMS error", "error", other, 0.0)]
    if scale <= problem.large:  # it and its half are distinguished from each other
        name = "share of nets with every sign right at the end"
        compared.append((name, "recovered", 3 - place, 1 / count))
    for name, key, other, extra in compared:
        own, drawn, far = (getattr(one, key) for one in (law, wider, problem.laws[other]))
        errors = [(own.std() * math.sqrt(1 / count + 1 / _SAMPLES), _SAMPLES - 1)]
        yield run.estimate(
            f"{_name(scale)}: {name}", own.mean(), getattr(found, key), errors, rows=_ROWS,
            more=extra + abs(drawn.mean() - own.mean()),
            resolution=abs(own.mean() - far.mean()) / 2,
        )  # fmt: skip


def _large_scale(run: nt.Run) -> tuple[nt.Measurement, float, float]:
    """Where a wrong sign is likely there is a floor."""
    width, problem, law = run.nets.control_width, run.problem, run.problem.laws[1]
    large = run.trainings[_name(problem.large)]
    ends = run.train(large, width, CONTROL_STREAM + 10, _LARGE_NETS).outputs()[:, -1]
    every = replace(run.declared.rows[0], at=nt.ALL_STEPS, reduce=np.max)
    pairs = run.bound(every, width, from_all=True)
    sampling = float(law.error.std()) * _DEVIATES * math.sqrt(1 / _LARGE_NETS + 1 / _SAMPLES)
    errors = rms(ends - problem.dataset.clean)
    failure = over_nets("final RMS error", law.error.mean(), errors, sampling + pairs)
    return failure, run.declared.rows[0].predicted, pairs


@CLAIM.controls
def controls(
    problem: Scales, trainings: Mapping[str, nt.Training], rows: Mapping[str, nt.Row]
) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    final, floor = rows[f"{PAIRS}: final RMS error"], float(problem.laws[1].error.mean())
    broken = f"a small initial output: here w ~ N(0, {problem.large:g}² I)"
    unmet = problem.right_signs(problem.large)
    yield nt.Control("large-scale", broken, unmet=unmet, measure=_large_scale)
    broken = "a random initial output, hence a floor: here neurons come in pairs that cancel"
    paired = final.under(trainings[PAIRS], claimed=floor)
    yield nt.Control("antisymmetric-pairs", broken, paired)
    soft = final.under(problem.soft_training())
    yield nt.Control("soft-targets", "hardened targets: here they are soft", soft)


@CLAIM.work
def work(declared: Declaration) -> float:
    """Of the control that is measured."""
    return float(_LARGE_NETS * declared.nets.widths[-2] * declared.problem.steps)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """The floor of the large scale, and none of the small one."""
    problem, floor = run.problem, float(run.evidence.arrays["large_errors"].mean())
    pairs, small = (row for row in run.declared.rows if row.name == "final RMS error")
    return (
        f"plain nets of scale {problem.large:g} end {floor:.3g} (RMS) from the clean labels at "
        f"every width, predicted {problem.laws[1].error.mean():.3g}; at scale "
        f"{problem.scales[-1]:g} every sign is right and they end at "
        f"{run.measured(small).mean():.4g}, predicted {pairs.predicted:.4g}, as {PAIRS} do"
    )


def _drawn(problem: Scales, nets: Mapping[float, Array]) -> dict[str, Array]:
    """What is drawn of nets, outputs (S, 3, n) by scale, and of the predicted distributions.

    These are drawn at four scales for each at which nets are trained; a hundredth of single nets
    is left out at either end of their range.
    """
    scales = [problem.scales[0] * 2 ** (-place / 4) for place in range(4 * len(nets) - 3)]
    laws = [problem.law(scale) for scale in scales]
    found = problem.ends(np.concatenate(list(nets.values())))
    return {
        "law_scales": np.array(scales),
        "law_mean": np.array([law.error.mean() for law in laws]),
        "law_range": np.stack([np.quantile(law.error, (0.01, 0.99)) for law in laws], 1),
        "law_unrecovered": np.array([1 - law.recovered.mean() for law in laws]),
        "law_wrong_signs": np.array([problem.wrong_shares(scale)[0] for scale in scales]),
        "zero_start": problem.distilled.rms_error()[-1:],
        "net_scales": np.repeat(list(nets), [len(one) for one in nets.values()]),
        "net_errors": found.error,
        "net_unrecovered": ~found.recovered,
        "net_wrong_signs": found.early,
    }


def _means(axes: nt.panels.Axes, result: nt.panels.ClaimResult, key: str, *how: str) -> None:
    """Means of a quantity of the nets of every scale, over the scale."""
    from matplotlib.ticker import FuncFormatter

    every, values = result.arrays["net_scales"], result.arrays[f"net_{key}"]
    scales = np.unique(every)
    nt.drawing.means(axes, scales, [values[every == scale] for scale in scales], *how)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel=r"scale $\sigma$ of the initial weights")


def _floor(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """How small must an initial output be to leave no error floor?"""
    arrays, drawing = result.arrays, nt.drawing
    if "law_scales" not in arrays:
        return
    drawing.dots(axes, arrays["net_scales"], arrays["net_errors"], drawing.ORANGE, "single nets")
    _means(axes, result, "errors", drawing.INDIGO, "mean ± standard error", "D")
    drawing.bound(axes, arrays["zero_start"][0], PAIRS)
    scales = arrays["law_scales"]
    drawing.prediction(axes, scales, arrays["law_mean"], "predicted mean")
    low, high = arrays["law_range"]
    drawing.prediction_range(axes, scales, low, high, "predicted, 98 % of nets")
    axes.set(ylabel=r"final RMS error  $\|u_T-y\|/\sqrt{n}$", yscale="log")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=2)


def _wrong_signs(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """What share of signs is wrong when predictions begin to teach, and do nets get over it?"""
    arrays, drawing = result.arrays, nt.drawing
    if "law_scales" not in arrays:
        return
    for key, name, label, colour, marker in (
        ("unrecovered", "nets with a wrong label at the end", "predicted", drawing.ORANGE, "s"),
        ("wrong_signs", "signs wrong after the burn-in", None, drawing.INDIGO, "o"),
    ):
        _means(axes, result, key, colour, name, marker)
        drawing.prediction(axes, arrays["law_scales"], arrays[f"law_{key}"], label, of=name)
    axes.set(ylabel="share", ylim=(-0.03, 1.03))
    axes.legend(loc="upper left")


CLAIM.panels = {
    "floor": _floor,
    "wrong-signs": _wrong_signs,
    "width": Laws({"large_errors": "nets of the second largest scale", "pair_errors": PAIRS},
                  r"final RMS error  $\|u_T-y\|/\sqrt{n}$", room=20),
}  # fmt: skip
