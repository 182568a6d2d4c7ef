"""Claim C4: self-distillation gains what no stopping time does (docs/theory.md, section 6.3).

Nets are trained on the observed labels, at several learning rates and on soft targets, and stopped
at the step that is best in hindsight; the same nets are trained by hard self-distillation.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
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
    Relation,
    Verdict,
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.experiments import Rung
    from ntk_theory.ladder import Ladder
    from ntk_theory.problems import NoisyClusters, Recipe

Array = NDArray[np.float64]

_DISTILLED, _PLAIN = "self-distillation", "plain training"
_LEAST_WIDTHS = 4
_LEAST_NETS = 3
_CONTROL_NETS = 3
_SHARE = 0.5
"""ηλ_0 of self-distillation and of the plain training it is compared with."""

_NOISE_TIMES = 5
"""Length of self-distillation in units of 1/(ηλ_−); plain training takes half."""

_RISK = 1e-3
"""Probability that some bound of the run is exceeded by chance, if deviations are log-normal."""

_RATE_STREAM = 3
"""Gives every noise rate nets of its own."""

_REFERENCE_RATE = 0.2
"""Its nets are also trained at other learning rates and on soft targets."""


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    clusters: int


_PRESETS = {
    "quick": _Preset((1024, 2048, 4096, 8192), 6, 4),
    "standard": _Preset((2048, 4096, 8192, 16384), 8, 4),
    "paper": _Preset((2048, 4096, 8192, 16384, 32768), 12, 4),
}
_RATES = (0.1, 0.2, 0.3)


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Way:
    """One way to train the nets of a problem, with the error it is predicted to have.

    Attributes:
        name: of this way.
        recipe: what the nets are trained on.
        outputs: predicted, shape (T + 1, n).
        error: predicted RMS error, shape (T + 1,).
    """

    name: str
    recipe: Recipe
    outputs: Array
    error: Array


@dataclass(frozen=True)
class _Plan:
    problems: tuple[NoisyClusters, ...]
    reference: int
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    @property
    def control_width(self) -> int:
        return self.widths[-2]

    @property
    def confidence(self) -> float:
        """Of each bound: nets are held against some eight of them at each noise rate."""
        return 1 - _RISK / (8 * self.nets * len(self.problems))

    def ways(self, index: int) -> list[_Way]:
        """Self-distillation and plain training; in the reference case the other oracles too."""
        problem = self.problems[index]
        both = [_distilled(problem), _plain(problem, None)]
        return both + (_oracles(problem) if index == self.reference else [])

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps = sum(w.recipe.steps for i in range(len(self.problems)) for w in self.ways(i))
        controls = 2 * self.problems[self.reference].steps + 1
        return sum(self.widths) * self.nets * steps + self.control_width * _CONTROL_NETS * controls

    def config(self) -> dict[str, Any]:
        first = self.problems[0].spectrum
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            "clusters": first.clusters,
            "points": first.points,
            "ratio": self.problems[0].ratio,
            "noise_rate": [p.noise_rate for p in self.problems],
            "learning_rate": self.problems[0].learning_rate,
            "steps": [p.steps for p in self.problems],
            "schedule": [p.schedule_text for p in self.problems],
            "oracles": [way.name for way in self.ways(self.reference)[1:]]
            if _predictable(self)
            else [],
            "reference": self.reference,
            "confidence": self.confidence,
            "device": self.options.device,
            "dtype": self.dtype,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
        }


def _points(problem: NoisyClusters) -> tuple[Array, NDArray[np.bool_]]:
    return problem.dataset.clean, problem.dataset.flipped


def _distilled(problem: NoisyClusters) -> _Way:
    curve = problem.distilled
    return _Way(_DISTILLED, problem.recipe, curve.outputs(*_points(problem)), curve.rms_error())


def _plain(problem: NoisyClusters, share: float | None) -> _Way:
    """Plain training for half the time; at ηλ_0 = share, or at the problem's own learning rate."""
    from ntk_theory import predictions
    from ntk_theory.targets import PLAIN

    rate, name = problem.learning_rate, _PLAIN
    if share is not None:
        rate, name = share / problem.spectrum.mean, f"{_PLAIN}, ηλ_0 = {share:g}"
    steps = math.ceil(problem.steps / 2 * problem.learning_rate / rate)
    curve = predictions.plain_training(problem.spectrum, problem.noise_rate, rate, steps)
    recipe = replace(problem.recipe, distillation=PLAIN, learning_rate=rate, steps=steps)
    return _Way(name, recipe, curve.outputs(*_points(problem)), curve.rms_error())


def _soft(problem: NoisyClusters, schedule: Any, name: str) -> _Way:
    """Soft self-distillation at the problem's learning rate, for as long as plain training."""
    from ntk_theory import predictions
    from ntk_theory.targets import Distillation, weights

    rate, steps = problem.learning_rate, math.ceil(problem.steps / 2)
    curve = predictions.soft_self_distillation(
        problem.spectrum, problem.noise_rate, rate, weights(schedule, steps)
    )
    recipe = replace(
        problem.recipe,
        distillation=Distillation(schedule, "soft"),
        steps=steps,
    )
    return _Way(f"soft, {name}", recipe, curve.outputs(*_points(problem)), curve.rms_error())


def _oracles(problem: NoisyClusters) -> list[_Way]:
    """Other learning rates, and soft schedules with an infinite and a finite sum of weights."""
    from ntk_theory.targets import Geometric, Power

    time = max(problem.memorisation_time, 1.0)
    return [
        _plain(problem, 1.0),
        _plain(problem, 0.25),
        _soft(problem, Power(time), "Σα = ∞"),
        _soft(problem, Power(time, 2.0), "Σα < ∞, power"),
        _soft(problem, Geometric(time / 2), "Σα < ∞, geometric"),
    ]


def _plan(options: Options) -> _Plan:
    from ntk_theory import predictions
    from ntk_theory.experiments import check_memory, check_nets, check_widths
    from ntk_theory.problems import noisy_clusters

    preset = _PRESETS[options.preset]
    clusters, points = chosen(options.clusters, preset.clusters), chosen(options.points, 10)
    if points < 5:
        raise ValueError(
            "points must be at least 5, so that one wrong label a cluster is less than a quarter; "
            f"got {points}"
        )
    ratio, rate = chosen(options.ratio, 12.0), options.learning_rate
    if rate is None and ratio > 1:
        angle = predictions.cluster_angle(points, ratio)
        rate = _SHARE / predictions.cluster_spectrum(clusters, points, angle).mean
    rates = _RATES if options.noise_rate is None else (options.noise_rate,)
    problems = []
    for noise_rate in rates:
        problem = noisy_clusters(
            clusters=clusters,
            points=points,
            ratio=ratio,
            noise_rate=noise_rate,
            seed=np.random.SeedSequence(options.seed),
            schedule=chosen(options.schedule, "power"),
            learning_rate=rate,
            steps=options.steps,
        )
        if options.steps is None:
            share = min(problem.learning_rate * problem.spectrum.noise, 1.0)
            steps = max(math.ceil(_NOISE_TIMES / share), 4 * (problem.burn_in + 1))
            problem = replace(problem, steps=steps)
        problems.append(problem)
    reference = min(range(len(rates)), key=lambda i: abs(rates[i] - _REFERENCE_RATE))
    widths = preset.widths
    if options.widths is not None:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, preset.nets), _LEAST_NETS)
    dtype = chosen(options.dtype, "float64")
    check_memory(widths[-1], problems[0].dataset.inputs.shape, dtype)
    return _Plan(tuple(problems), reference, widths, nets, dtype, options)


def _predictable(plan: _Plan) -> bool:
    return all(problem.predictable for problem in plan.problems)


# ---------------------------------------------------------------- premises


def _planned_premises(plan: _Plan) -> list[Premise]:
    """Hypotheses of all noise rates: each as it stands where it fails, or else at the first."""
    of_all = [problem.premises() for problem in plan.problems]
    premises = [
        next((premise for premise in same if not premise.holds), same[0])
        for same in zip(*of_all, strict=True)
    ]
    mean = abs(plan.problems[0].label_mean)
    premises.append(
        Premise("balanced labels", mean, mean == 0, "ȳ = 0: as many clusters of either label")
    )
    if not _predictable(plan):
        return premises
    lazy = max(_plain_lazy_width(problem) for problem in plan.problems)
    moved = math.sqrt(lazy / plan.widths[0])
    final = max(float(p.distilled.rms_error()[-1]) / (2 * p.noise_rate) for p in plan.problems)
    return [
        *premises,
        Premise(
            "narrowest nets move little",
            moved,
            moved <= 0.5,
            f"sqrt(m_lazy/m) <= 1/2: widths from {math.ceil(4 * lazy)} on",
        ),
        Premise("long enough run", final, final < 1, "predicted final error / 2ρ < 1"),
    ]


def _plain_lazy_width(problem: NoisyClusters) -> float:
    from ntk_theory import predictions

    most = float(problem.plain.memorised_noise.max())
    return predictions.lazy_width(problem.spectrum, problem.angle, problem.noise_rate, most)


def _margin_premise(plan: _Plan, ladders: list[Ladder]) -> Premise:
    """Nets teach themselves right labels as long as their deviation is below the margin."""
    spare = min(
        float(
            (p.distilled.margin() - ladder.rungs[_DISTILLED][0].worst_deviation)[
                :, p.first_taught :
            ].min()
        )
        for p, ladder in zip(plan.problems, ladders, strict=True)
    )
    return Premise(
        "margin above the narrowest nets' deviation",
        spare,
        spare > 0,
        "margin − worst deviation > 0 at every step after burn-in, at every noise rate",
    )


# ---------------------------------------------------------------- measurements


def _relative(way: _Way, rung: Rung) -> Array:
    """ε: largest RMS deviation of a net over the predicted error of that step, shape (S,).

    By the triangle inequality its error curve is within the factors 1 ± ε of the predicted one,
    and so is its least value.
    """
    return np.asarray((rung.deviation / way.error).max(axis=1))


def _kernel_rows(plan: _Plan) -> list[Measurement]:
    """The infinitely wide net on the measured kernel, in all ways: closed forms, and the bound.

    Rounding of a product with H, n eps λ_max, accumulates over the 1/(ηλ_−) steps that the slowest
    mode remembers.
    """
    from ntk_theory.training import train_kernel_limit

    difference, tolerance, least = 0.0, 0.0, math.inf
    for index, problem in enumerate(plan.problems):
        levels, n = problem.spectrum, len(problem.gram)
        bound = n * float(np.finfo(float).eps) * levels.mean / levels.noise
        tolerance = max(tolerance, bound)
        for way in plan.ways(index):
            limit = train_kernel_limit(
                problem.gram,
                way.recipe.observed,
                way.recipe.distillation,
                learning_rate=float(way.recipe.learning_rate),
                steps=way.recipe.steps,
            )
            difference = max(difference, float(np.abs(limit - way.outputs).max()))
            if way.name != _DISTILLED:
                error = np.sqrt(np.square(limit - problem.dataset.clean).mean(axis=1))
                least = min(least, float(error.min()) / (2 * problem.noise_rate))
    return [
        Measurement("kernel limit: outputs − closed form, largest", 0.0, difference, tolerance),
        Measurement(
            "kernel limit: least error of any oracle / 2ρ",
            1.0,
            least,
            tolerance,
            relation=Relation.AT_LEAST,
        ),
    ]


def _bound_row(name: str, ladder: Ladder, ways: list[_Way], rho: float, plan: _Plan) -> Measurement:
    """Best error of any net of any width: at least 2ρ, less the deviation at that width.

    All widths but the largest bound that deviation. A bound above ρ does not tell 2ρ from what
    self-distillation reaches.
    """
    found = []
    for way in ways:
        fitted = ladder.fit(way.name, partial(_relative, way), -1)
        for rung in ladder.rungs[way.name]:
            share = fitted.upper(rung.width, plan.confidence)
            allowed = share * float(way.error.min()) + ladder.rounding_allowance(rung.width)
            best = rung.error.min(axis=1)
            found.append((float(best.min()) + allowed, allowed, best))
    _, allowed, best = min(found, key=lambda entry: entry[0])
    return Measurement(
        name,
        2 * rho,
        float(best.min()),
        allowed,
        (float(best.min()), float(best.max())),
        Relation.AT_LEAST,
        resolution=rho,
    )


def _rate_rows(plan: _Plan, index: int, ladder: Ladder) -> list[Measurement]:
    """Oracle, self-distillation and their quotient at one noise rate, on the widest nets."""
    problem = plan.problems[index]
    distilled, plain = plan.ways(index)[:2]
    rho, name = problem.noise_rate, f"ρ = {problem.noise_rate:g}"
    best, final = float(plain.error.min()), float(distilled.error[-1])
    oracle = ladder.rungs[_PLAIN][-1].error.min(axis=1)
    reached = ladder.rungs[_DISTILLED][-1].error[:, -1]
    off_best = best * ladder.allowance(_PLAIN, partial(_relative, plain), plan.confidence)
    off_final = ladder.allowance(_DISTILLED, lambda rung: rung.deviation[:, -1], plan.confidence)
    factor = final / best
    return [
        over_nets(f"best RMS error at any step, {name}", best, oracle, off_best, rho),
        _bound_row(f"best RMS error, every width, {name} (bound 2ρ)", ladder, [plain], rho, plan),
        over_nets(f"self-distilled RMS error, {name}", final, reached, off_final, final / 2),
        over_nets(
            f"self-distilled / best stopped, {name}",
            factor,
            reached / oracle,  # the same nets
            # First-order propagation of both tolerances through the quotient.
            (off_final + factor * off_best) / best,
            factor / 2,
        ),
        Measurement(
            f"nets of any width that stopping serves better, {name}",
            0.0,
            sum(
                int((d.error[:, -1] >= p.error.min(axis=1)).sum())
                for d, p in zip(ladder.rungs[_DISTILLED], ladder.rungs[_PLAIN], strict=True)
            ),
            0.0,
        ),
    ]


def _oracle_rows(plan: _Plan, ladder: Ladder) -> list[Measurement]:
    """Other learning rates and soft schedules in the reference case: no oracle beats 2ρ."""
    rho = plan.problems[plan.reference].noise_rate
    ways = plan.ways(plan.reference)[2:]
    rates = [way for way in ways if way.name.startswith(_PLAIN)]
    soft = [way for way in ways if way not in rates]
    rows = [
        _bound_row(
            f"best RMS error at other learning rates, ρ = {rho:g}", ladder, rates, rho, plan
        ),
        _bound_row(f"best RMS error on soft targets, ρ = {rho:g}", ladder, soft, rho, plan),
    ]
    for way in ways:
        best = float(way.error.min())
        allowed = best * ladder.allowance(way.name, partial(_relative, way), plan.confidence)
        rows.append(
            over_nets(
                f"best RMS error, {way.name}",
                best,
                ladder.rungs[way.name][-1].error.min(axis=1),
                allowed,
                rho,
            )
        )
    return rows


# ---------------------------------------------------------------- controls


@dataclass(frozen=True)
class _Setting:
    """How control nets are trained and judged: `tolerance` bounds their deviation."""

    plan: _Plan
    tolerance: float
    progress: Progress

    def errors(self, recipe: Recipe, clean: Array) -> Array:
        """RMS error of every net at every step, shape (S, T + 1)."""
        from ntk_theory.experiments import net_seeds, train_nets

        plan = self.plan
        trajectory = train_nets(
            recipe,
            plan.control_width,
            net_seeds(plan.options.seed, plan.control_width, _CONTROL_NETS, 1),
            dtype=plan.dtype,
            device=plan.options.device,
            progress=self.progress,
        )
        return trajectory.rms_error(clean)

    def control(
        self,
        id_: str,
        broken: str,
        failure: tuple[str, float, Array],
        claimed: float,
        unmet: bool | None,
    ) -> Control:
        """A control whose nets end up with another error than the claim says.

        Args:
            id_: its name.
            broken: what was changed.
            failure: what is measured, its prediction, and its value for each net.
            claimed: what the claim says of it.
            unmet: whether the premise that this has to unmake is unmet, None if it unmakes none.
        """
        name, predicted, values = failure
        row = over_nets(name, predicted, values, self.tolerance)
        verdict = Verdict.SUPPORTED
        if unmet:
            verdict = Verdict.PREMISE_UNMET
        elif abs(row.measured - claimed) > self.tolerance:
            verdict = Verdict.VIOLATED
        expected = Verdict.VIOLATED if unmet is None else Verdict.PREMISE_UNMET
        return Control(id_, broken, expected, verdict, row, claimed, self.tolerance)


def _overshoot(setting: _Setting) -> Control:
    """One step at ηλ_+ = 1/(1−2ρ) retrieves the clean labels in full, and beats 2ρ (6.3)."""
    from ntk_theory import predictions
    from ntk_theory.problems import noisy_clusters
    from ntk_theory.targets import PLAIN

    levels = setting.plan.problems[0].spectrum
    rho = math.ceil(levels.points / 4 - 1) / levels.points  # stable below a quarter
    problem = noisy_clusters(
        clusters=levels.clusters,
        points=levels.points,
        ratio=setting.plan.problems[0].ratio,
        noise_rate=rho,
        seed=np.random.SeedSequence(setting.plan.options.seed),
    )
    rate = 1 / ((1 - 2 * rho) * levels.information)
    recipe = replace(problem.recipe, distillation=PLAIN, learning_rate=rate, steps=1)
    errors = setting.errors(recipe, problem.dataset.clean)
    return setting.control(
        "overshoot",
        f"ηλ_+ <= 1: here {rate * levels.information:.3g}, for one step, at ρ = {rho:g}",
        (
            "RMS error after one step",
            predictions.overshoot_error(levels.ratio, rho),
            errors[:, 1],
        ),
        2 * rho,
        rate * levels.information > 1,
    )


def _soft_targets(setting: _Setting) -> Control:
    """Soft targets on self-distillation's own schedule gain nothing (section 5)."""
    from ntk_theory import predictions

    problem = setting.plan.problems[setting.plan.reference]
    curve = predictions.soft_self_distillation(
        problem.spectrum, problem.noise_rate, problem.learning_rate, problem.weights
    )
    recipe = replace(problem.recipe, distillation=replace(problem.distillation, target="soft"))
    errors = setting.errors(recipe, problem.dataset.clean)
    return setting.control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        ("best RMS error at any step", float(curve.rms_error().min()), errors.min(axis=1)),
        float(problem.distilled.rms_error()[-1]),
        None,
    )


def _late_burn_in(setting: _Setting) -> Control:
    """A burn-in past the memorisation time is plain training for ever (section 7.4)."""
    from ntk_theory.targets import BurnIn

    problem = setting.plan.problems[setting.plan.reference]
    schedule = problem.distillation.schedule
    assert isinstance(schedule, BurnIn)
    burn_in = math.ceil(2 * problem.memorisation_time)
    broken = problem.with_schedule(BurnIn(burn_in, schedule.then))
    errors = setting.errors(broken.recipe, broken.dataset.clean)
    return setting.control(
        "late-burn-in",
        f"burn-in < t_mem: here it takes {burn_in} steps, twice t_mem",
        ("final RMS error", float(broken.plain.rms_error()[-1]), errors[:, -1]),
        float(problem.distilled.rms_error()[-1]),
        broken.burn_in >= broken.memorisation_time,
    )


# ---------------------------------------------------------------- run


def _train(plan: _Plan, ladders: list[Ladder], evidence: Evidence, progress: Progress) -> bool:
    """Train the ladder of every noise rate in all its ways; says whether nets stayed finite."""
    from ntk_theory.ladder import Ladder

    key = np.random.SeedSequence(plan.options.seed, spawn_key=(_RATE_STREAM,))
    seeds = key.generate_state(len(plan.problems), np.uint32)
    for index, (problem, seed) in enumerate(zip(plan.problems, seeds, strict=True)):
        ladder = Ladder(
            problem.dataset.clean,
            plan.widths,
            plan.nets,
            int(seed),
            plan.dtype,
            plan.options.device,
        )
        for width in plan.widths:
            for way in plan.ways(index):
                ladder.train(way.name, way.recipe, width, way.outputs, progress=progress)
                if evidence.diverged(ladder.stopped()):
                    return False
        ladders.append(ladder)
        evidence.metrics += [{"noise_rate": problem.noise_rate, **row} for row in ladder.metrics()]
        evidence.progress_note = f"noise rates done: {index + 1} of {len(plan.problems)}"
    return True


def _arrays(plan: _Plan, ladders: list[Ladder]) -> dict[str, Array]:
    reference = ladders[plan.reference]
    distilled, plain = plan.ways(plan.reference)[:2]
    rhos = np.array([p.noise_rate for p in plan.problems])
    return {
        "noise_rate": rhos,
        "predicted_distilled": distilled.error,
        "predicted_plain": plain.error,
        "distilled": reference.rungs[_DISTILLED][-1].error,
        "plain": reference.rungs[_PLAIN][-1].error,
        "predicted_best": np.array(
            [plan.ways(i)[1].error.min() for i in range(len(plan.problems))]
        ),
        "predicted_final": np.array([plan.ways(i)[0].error[-1] for i in range(len(plan.problems))]),
        "best": np.stack([ladder.rungs[_PLAIN][-1].error.min(axis=1) for ladder in ladders]),
        "final": np.stack([ladder.rungs[_DISTILLED][-1].error[:, -1] for ladder in ladders]),
    }


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += _planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    ladders: list[Ladder] = []
    progress.start(CLAIM.id, plan.work())
    if not _train(plan, ladders, evidence, progress):
        return ""
    evidence.arrays |= _arrays(plan, ladders)
    evidence.premises.append(_margin_premise(plan, ladders))
    evidence.measurements += _kernel_rows(plan)
    for index, ladder in enumerate(ladders):
        evidence.measurements += _rate_rows(plan, index, ladder)
    reference = ladders[plan.reference]
    evidence.measurements += _oracle_rows(plan, reference)
    if evidence.sound:
        bound = max(
            reference.fit(name, lambda rung: rung.largest_deviation).upper(
                plan.control_width, plan.confidence
            )
            for name in (_DISTILLED, _PLAIN)
        )
        tolerance = bound + reference.rounding_allowance(plan.control_width)
        setting = _Setting(plan, tolerance, progress)
        for control in (_overshoot, _soft_targets, _late_burn_in):
            evidence.controls.append(control(setting))
    return _finding(plan, ladders)


def _finding(plan: _Plan, ladders: list[Ladder]) -> str:
    listed = []
    for problem, ladder in zip(plan.problems, ladders, strict=True):
        best = ladder.rungs[_PLAIN][-1].error.min(axis=1).mean()
        final = ladder.rungs[_DISTILLED][-1].error[:, -1].mean()
        listed.append(
            f"{best:.4g} against {final:.4g} at ρ = {problem.noise_rate:g} "
            f"(2ρ = {2 * problem.noise_rate:g})"
        )
    return (
        f"best stopped against self-distilled RMS error, {plan.nets} nets of width "
        f"{plan.widths[-1]}: {'; '.join(listed)}; no net of any width, learning rate or soft "
        "schedule gets below 2ρ by more than its deviation"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the ladders, compare with the closed forms, run the controls."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted errors, without training."""
    plan = _plan(options)
    predicted: dict[str, float] = {}
    if not _predictable(plan):
        return plan.config(), predicted
    for index, problem in enumerate(plan.problems):
        distilled, plain = plan.ways(index)[:2]
        name = f"ρ = {problem.noise_rate:g}"
        best, final = float(plain.error.min()), float(distilled.error[-1])
        predicted |= {
            f"best RMS error at any step, {name}": best,
            f"self-distilled RMS error, {name}": final,
            f"self-distilled / best stopped, {name}": final / best,
        }
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def draw(figure: Figure, result: ClaimResult) -> None:
    """Both errors over time, and the best of the one and the last of the other over ρ."""
    from ntk_theory import drawing

    arrays, config = result.arrays, result.config
    left, right = figure.subplots(1, 2)
    rho = config["noise_rate"][config["reference"]]
    for name, colour, label in (
        ("plain", drawing.ORANGE, "plain training"),
        ("distilled", drawing.BLUE, f"self-distillation, width {config['widths'][-1]}"),
    ):
        steps = np.arange(len(arrays[f"predicted_{name}"]))
        drawing.band(left, steps, arrays[name], colour, label)
        drawing.prediction(left, steps, arrays[f"predicted_{name}"])
    left.axhline(2 * rho, color=drawing.GREY, lw=1, label=f"2ρ, ρ = {rho:g}")
    left.set(xscale="log", yscale="log", xlim=(1, None), xlabel="step $t$")
    left.set(ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    left.legend(frameon=False, loc="lower left")
    rates = np.asarray(arrays["noise_rate"])
    right.plot(rates, arrays["best"], color=drawing.ORANGE, marker="o", ms=3.5, ls="", alpha=0.5)
    right.plot(rates, arrays["final"], color=drawing.BLUE, marker="o", ms=3.5, ls="", alpha=0.5)
    drawing.prediction(right, rates, arrays["predicted_best"], "closed forms")
    drawing.prediction(right, rates, arrays["predicted_final"])
    right.plot(rates, 2 * rates, color=drawing.GREY, lw=1, label="2ρ")
    for text, name in (("best stopped", "best"), ("self-distilled", "final")):
        start = (rates[0], arrays[f"predicted_{name}"][0])
        right.annotate(text, start, xytext=(0, 10), textcoords="offset points")
    right.set(xlabel="noise rate ρ", ylabel="RMS error", yscale="log")
    right.margins(y=0.2)
    right.legend(frameon=False, loc="center right")


CLAIM = Claim(
    id="separation",
    statement=(
        "No stopping time of plain training, at any learning rate without overshoot or on soft "
        "targets of any schedule, brings a wide net closer to the clean labels than 2ρ (RMS); hard "
        "self-distillation of the same nets does, by the predicted factor."
    ),
    formulas=(
        "min_t ‖u_t − y‖²/n = min_t (1 − (1−2ρ) g_+)² + 4ρ(1−ρ) g_−² > (2ρ)²",
        "soft targets: G_λ(t) = 1 − Π_{k<t} (1 − η α_k λ) for g_λ(t), and the same bound",
        "self-distillation: ‖u_T − y‖²/n = E_T² + 4ρ(1−ρ) q_T²",
        "factor: self-distilled / best stopped = sqrt(E_T² + 4ρ(1−ρ) q_T²) / min_t ‖u_t − y‖/√n",
    ),
    assumptions=(
        "H positive definite, η ≤ 1/λ_max",
        "as many clusters of either label, the same share ρ < ρ* of wrong labels in each",
        "a burn-in shorter than t_mem, weights α_t → 0, every sign right after the burn-in",
        "zero initial output (antisymmetric pairs) and a width well above the lazy one",
    ),
    derivation=(
        "A filter with 0 ≤ g ≤ 1 shrinks the clean labels by 1 − 2ρ at least, because that is "
        "their weight in the observed ones: an error of 2ρ, to which the retrieved noise adds. "
        "Soft targets are such filters too (docs/theory.md, sections 5, 6.3 and 6.7). Hardened "
        "predictions have the full size of the labels, and remove both errors (section 7)."
    ),
    source="arXiv 1910.01255, abstract, claim C4; derivation: docs/theory.md, section 6.3",
    paper_claims={
        "C2": "what early stopping gains at most; soft targets gain no more",
        "C4": "ℓ2 error on the training inputs, against every stopping time in hindsight",
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "noise_rate",
            "steps",
            "schedule",
            "learning_rate",
            "dtype",
        }
    ),
    controls=("overshoot", "soft-targets", "late-burn-in"),
    run=run,
    predict=predict,
    draw=draw,
)
