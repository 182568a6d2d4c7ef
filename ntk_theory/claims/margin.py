"""Claim C6: self-distillation separates the points with a margin (docs/theory.md, section 7.5).

Nets of growing width are trained on noisy clusters by self-distillation, by plain training to the
end, and by plain training up to its best margin. Their margins on the training points and on fresh
points of the same clusters are held against closed forms.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    Relation,
    Verdict,
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.experiments import Rung
    from ntk_theory.fitting import PowerLaw
    from ntk_theory.ladder import Ladder
    from ntk_theory.predictions import ErrorCurve
    from ntk_theory.problems import NoisyClusters, Recipe
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

_DISTILLED, _PLAIN, _STOPPED = "self-distillation", "plain training", "best stopping"
_LEAST_WIDTHS, _LEAST_NETS = 4, 3
_CONTROL_NETS = 3
_SHARE = 0.5
"""ηλ_+ of the default learning rate: no overshoot, and few steps."""

_NOISE_TIMES = 6
"""Length of a default run in units of 1/(ηλ_−): plain training has memorised up to e^{-6}."""

_CONFIDENCE = 1 - 1e-3 / 12
"""One in a thousand runs may exceed one of its (at most twelve) bounds, if the fits are right."""

_LEVEL = 0.25
"""Constant weight of the observed labels in a control."""

_CONTROL_STREAM, _BOOTSTRAP_STREAM = 1, 2


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    fresh: int


_PRESETS = {
    "quick": _Preset((256, 512, 1024, 2048, 4096), 4, 6),
    "standard": _Preset((256, 512, 1024, 2048, 4096, 8192), 6, 6),
    "paper": _Preset((256, 512, 1024, 2048, 4096, 8192, 16384), 8, 6),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Plan:
    """A problem, fresh points of its clusters and of a new one, and the nets to train."""

    problem: NoisyClusters
    fresh: int
    widths: tuple[int, ...]
    nets: int
    dtype: str
    options: Options

    @property
    def best_step(self) -> int:
        """Step at which plain training has its largest margin: the oracle's stopping time."""
        return int(np.argmax(self.problem.plain.margin()))

    @property
    def control_width(self) -> int:
        return self.widths[(len(self.widths) - 1) // 2]

    @cached_property
    def _design(self) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
        """Rows, cluster, and place in the cluster, of a design with more points and one cluster.

        Its angle is that of the training points: their ratio is the one asked for, and a further
        point of a cluster changes nothing about theirs.
        """
        from ntk_theory.data import equicorrelated_clusters

        problem = self.problem
        levels, size = problem.spectrum, problem.spectrum.points + self.fresh
        design = equicorrelated_clusters(
            levels.clusters + 1, size, angle=problem.angle, cross_cosine=problem.cross_cosine
        )
        return design.inputs, design.groups, np.arange(len(design.inputs)) % size

    @property
    def recipe(self) -> Recipe:
        """Self-distillation on the training rows of the larger design (same Gram matrix)."""
        rows, group, place = self._design
        levels = self.problem.spectrum
        trained = (group < levels.clusters) & (place < levels.points)
        return replace(self.problem.recipe, inputs=rows[trained])

    @property
    def fresh_inputs(self) -> Array:
        """Fresh points of the training clusters, shape (K fresh, d)."""
        rows, group, place = self._design
        levels = self.problem.spectrum
        return np.asarray(rows[(group < levels.clusters) & (place >= levels.points)])

    @property
    def fresh_labels(self) -> Array:
        """Right labels of the fresh points, shape (K fresh,)."""
        return np.repeat(self.problem.dataset.clean[:: self.problem.spectrum.points], self.fresh)

    @property
    def new_inputs(self) -> Array:
        """Points of a cluster that no net was trained on."""
        rows, group, _ = self._design
        return np.asarray(rows[group == self.problem.spectrum.clusters])

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        steps = self.problem.steps
        ladder = sum(self.widths) * self.nets * (2 * steps + self.best_step)
        return ladder + self.control_width * _CONTROL_NETS * 4 * steps

    def config(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            "clusters": problem.spectrum.clusters,
            "points": problem.spectrum.points,
            "ratio": problem.ratio,
            "cross_cosine": problem.cross_cosine,
            "noise_rate": problem.noise_rate,
            "learning_rate": problem.learning_rate,
            "steps": problem.steps,
            "schedule": problem.schedule_text,
            "best_step": self.best_step if problem.predictable else None,
            "fresh_points": self.fresh,
            "device": self.options.device,
            "dtype": self.dtype,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
        }


def _plan(options: Options) -> _Plan:
    from ntk_theory import predictions
    from ntk_theory.experiments import check_memory, check_nets, check_widths
    from ntk_theory.problems import noisy_clusters

    problem = noisy_clusters(
        clusters=chosen(options.clusters, 6),
        points=chosen(options.points, 10),
        ratio=chosen(options.ratio, 8.0),
        noise_rate=chosen(options.noise_rate, 0.2),
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=chosen(options.cross_cosine, 0.0),
        schedule=chosen(options.schedule, "power"),
        learning_rate=options.learning_rate,
        steps=options.steps,
    )
    if options.learning_rate is None:
        levels = problem.spectrum
        rate = min(_SHARE / levels.information, 1 / levels.mean)
        quarter = predictions.memorisation_time(problem.noise_rate, rate, levels.noise) / 4
        steps = max(math.ceil(_NOISE_TIMES / (rate * levels.noise)), 4 * (round(quarter) + 2))
        problem = noisy_clusters(
            clusters=levels.clusters,
            points=levels.points,
            ratio=problem.ratio,
            noise_rate=problem.noise_rate,
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=problem.cross_cosine,
            schedule=chosen(options.schedule, "power"),
            learning_rate=rate,
            steps=chosen(options.steps, steps),
        )
    preset = _PRESETS[options.preset]
    widths = check_widths(chosen(options.widths, preset.widths), _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, preset.nets), _LEAST_NETS)
    dtype = chosen(options.dtype, "float64")
    plan = _Plan(problem, preset.fresh, widths, nets, dtype, options)
    check_memory(widths[-1], plan.recipe.inputs.shape, dtype)
    return plan


# ---------------------------------------------------------------- margins of trained nets


class _Fresh(NamedTuple):
    """Margins of the nets of one width on fresh points, and their common prediction."""

    width: int
    margins: Array
    predicted: float

    @property
    def typical(self) -> Array:
        """Root mean square of (margin − prediction) over the points, shape (S,)."""
        return np.asarray(np.sqrt(np.square(self.margins - self.predicted).mean(axis=1)))

    @property
    def worst(self) -> Array:
        """Largest |margin − prediction|, shape (S,)."""
        return np.asarray(np.abs(self.margins - self.predicted).max(axis=1))


@dataclass
class _Margins:
    """Everything measured on the ladder: its rungs, fresh margins, and the two atoms."""

    plan: _Plan
    ladder: Ladder
    fresh: dict[str, list[_Fresh]] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)

    def fit(self, way: str, value: Callable[[_Fresh], Array], rungs: int | None) -> PowerLaw:
        """Power law in the width of a deviation on fresh points."""
        from ntk_theory.fitting import fit_power_law

        found = self.fresh[way][:rungs]
        key = np.random.SeedSequence(self.ladder.seed, spawn_key=(_BOOTSTRAP_STREAM,))
        return fit_power_law(
            [one.width for one in found],
            [value(one) for one in found],
            rng=np.random.default_rng(key),
        )

    def fresh_allowance(self, way: str, value: Callable[[_Fresh], Array]) -> float:
        """What the narrower widths let expect of a deviation at the widest."""
        widest = self.plan.widths[-1]
        law = self.fit(way, value, -1)
        return law.upper(widest, _CONFIDENCE) + self.ladder.rounding_allowance(widest)

    def allowance(self, way: str, value: Callable[[Rung], Array]) -> float:
        """The same for a deviation on the training points."""
        return self.ladder.allowance(way, value, _CONFIDENCE)


def _unseen(plan: _Plan, curve: ErrorCurve, step: int) -> float:
    """Predicted margin on fresh points after so many steps."""
    from ntk_theory import predictions

    problem = plan.problem
    return float(
        predictions.unseen_margin(
            problem.spectrum,
            curve.mean_error[step],
            curve.information_error[step],
            problem.label_mean,
        )
    )


def _fresh_margins(plan: _Plan, trajectory: Trajectory) -> Array:
    """Margin y f(x) of every net on every fresh point, shape (S, K fresh)."""
    assert trajectory.network is not None
    return np.asarray(trajectory.network(plan.fresh_inputs) * plan.fresh_labels)


def _ways(plan: _Plan) -> dict[str, tuple[Recipe, ErrorCurve]]:
    """Recipe and closed form of each way of training."""
    from ntk_theory.targets import PLAIN

    problem, recipe = plan.problem, plan.recipe
    plain = replace(recipe, distillation=PLAIN)
    return {
        _DISTILLED: (recipe, problem.distilled),
        _PLAIN: (plain, problem.plain),
        _STOPPED: (replace(plain, steps=plan.best_step), problem.plain),
    }


def _climb(found: _Margins, evidence: Evidence, progress: Progress) -> None:
    """Train all widths in all ways, and look at their margins."""
    plan, ladder = found.plan, found.ladder
    points = plan.problem.dataset.clean, plan.problem.dataset.flipped
    for width in plan.widths:
        evidence.progress_note = f"at width {width} of {plan.widths[-1]}"
        for way, (recipe, curve) in _ways(plan).items():
            predicted = curve.outputs(*points)[: recipe.steps + 1]
            trajectory = ladder.train(
                way, recipe, width, predicted, progress=progress, keep_network=True
            )
            found.outputs[way] = trajectory.outputs  # of the widest, in the end
            if ladder.stopped() is None:
                margins = _fresh_margins(plan, trajectory)
                expected = _unseen(plan, curve, recipe.steps)
                found.fresh.setdefault(way, []).append(_Fresh(width, margins, expected))


# ---------------------------------------------------------------- premises


def _planned_premises(plan: _Plan) -> list[Premise]:
    from ntk_theory.problems import lazy_premise

    problem = plan.problem
    premises = list(problem.premises())
    if not problem.predictable:
        return premises
    # No sign has to be right for plain training; its best step still has to be a step.
    best = float(problem.plain.margin()[plan.best_step])
    return [
        *premises,
        lazy_premise(problem.lazy_width, plan.widths[0]),
        Premise("plain training has a margin at some step", best, best > 0, "best margin > 0"),
    ]


def _trained_premise(ladder: Ladder, problem: NoisyClusters) -> Premise:
    narrowest = ladder.rungs[_DISTILLED][0]
    left = problem.distilled.margin() - narrowest.worst_deviation
    spare = float(left[:, problem.first_taught :].min())
    return Premise(
        "margin above the narrowest nets' deviation",
        spare,
        spare > 0,
        "margin − worst deviation > 0 at every step after burn-in",
    )


# ---------------------------------------------------------------- measurements


def _kernel_limit(plan: _Plan) -> Measurement:
    """Fresh outputs k(x, X) H^{-1} u of the measured kernel against the closed form.

    Rounding of the outputs, n eps λ_max over the 1/(ηλ_−) steps that the slowest mode remembers, is
    divided by λ_− once more, and the kernel vector has entries up to 1/2 on n points.
    """
    from ntk_theory.kernels import ntk_limit
    from ntk_theory.training import train_kernel_limit

    problem, recipe = plan.problem, plan.recipe
    gram, levels = ntk_limit(recipe.inputs), problem.spectrum
    outputs = train_kernel_limit(
        gram,
        recipe.observed,
        recipe.distillation,
        learning_rate=recipe.learning_rate,
        steps=recipe.steps,
    )
    fresh = ntk_limit(plan.fresh_inputs, recipe.inputs) @ np.linalg.solve(gram, outputs[-1])
    predicted = _unseen(plan, problem.distilled, recipe.steps)
    least = float((fresh * plan.fresh_labels).min())
    points = len(gram)
    rounding = points * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement(
        "kernel limit on fresh points − closed form",
        0.0,
        abs(least - predicted),
        rounding * points / (2 * levels.noise),
    )


def _training_rows(found: _Margins) -> list[Measurement]:
    """Margins of self-distillation on the training points: the least, and the two atoms.

    A tolerance of ρ tells the margin of clean labels, 1, from that of the best stopping, 1 − 2ρ.
    """
    problem, ladder = found.plan.problem, found.ladder
    dataset, rho = problem.dataset, problem.noise_rate
    margins = found.outputs[_DISTILLED][:, -1] * dataset.clean
    atoms = problem.distilled.outputs(dataset.clean, dataset.flipped)[-1] * dataset.clean
    allowed = found.allowance(_DISTILLED, lambda rung: rung.worst_deviation[:, -1])
    rows = [
        over_nets(
            "self-distillation: least training margin",
            float(problem.distilled.margin()[-1]),
            ladder.rungs[_DISTILLED][-1].margin,
            allowed,
            rho,
        )
    ]
    for name, chosen_points in (("flipped", dataset.flipped), ("clean", ~dataset.flipped)):
        rows.append(
            over_nets(
                f"self-distillation: mean margin of {name} points",
                float(atoms[chosen_points].mean()),
                margins[:, chosen_points].mean(axis=1),
                allowed,
                rho,
            )
        )
    distance = np.abs(margins - atoms).max(axis=1)
    rows.append(
        over_nets(
            "self-distillation: largest distance of a margin from its atom",
            0.0,
            distance,
            allowed,
            rho,
        )
    )
    return rows


def _plain_rows(found: _Margins) -> list[Measurement]:
    """The best margin of plain training at any step, its bound 1 − 2ρ, and its end at −1."""
    problem, ladder = found.plan.problem, found.ladder
    rho, clean = problem.noise_rate, problem.dataset.clean
    best = (found.outputs[_PLAIN] * clean).min(axis=2).max(axis=1)
    allowed = found.allowance(_PLAIN, lambda rung: rung.worst_deviation.max(axis=1))
    highest = float(problem.plain.margin().max())
    return [
        over_nets(
            "plain training: best least margin at any step",
            highest,
            best,
            allowed,
            # Half way to the margin that self-distillation reaches.
            (float(problem.distilled.margin()[-1]) - highest) / 2,
        ),
        Measurement(
            "plain training: best least margin of any widest net (bound 1 − 2ρ)",
            1 - 2 * rho,
            float(best.max()),
            allowed,
            (float(best.min()), float(best.max())),
            Relation.AT_MOST,
            resolution=2 * rho,
        ),
        over_nets(
            f"plain training: least margin after {problem.steps} steps (limit −1)",
            float(problem.plain.margin()[-1]),
            ladder.rungs[_PLAIN][-1].margin,
            found.allowance(_PLAIN, lambda rung: rung.worst_deviation[:, -1]),
            1 - rho,
        ),
    ]


def _fresh_rows(found: _Margins) -> list[Measurement]:
    """Margins on fresh points under the three ways.

    1/(2r) tells 1 − 1/r from 1; ρ tells the margin with E = 0 from that with E = −2ρ.
    """
    plan = found.plan
    finest = 1 / (2 * plan.problem.spectrum.ratio)
    rows = []
    for way, name, resolution in (
        (_DISTILLED, "self-distillation", finest),
        (_STOPPED, f"plain training stopped at step {plan.best_step}", plan.problem.noise_rate),
        (_PLAIN, "memorised", plan.problem.noise_rate),
    ):
        widest = found.fresh[way][-1]
        rows.append(
            over_nets(
                f"{name}: mean margin on fresh points",
                widest.predicted,
                widest.margins.mean(axis=1),
                found.fresh_allowance(way, lambda one: one.typical),
                resolution,
            )
        )
    widest = found.fresh[_DISTILLED][-1]
    rows.append(
        over_nets(
            "self-distillation: least margin on fresh points",
            widest.predicted,
            widest.margins.min(axis=1),
            found.fresh_allowance(_DISTILLED, lambda one: one.worst),
            plan.problem.noise_rate,
        )
    )
    return rows


def _falling(found: _Margins) -> list[Measurement]:
    """Largest deviations at the widest over those at the narrowest width, by m^{-1/2} their ratio.

    A prediction that is off by a constant would not let them fall. The bound is half way between
    the predicted ratio and 1, on a logarithmic scale.
    """
    widths = found.plan.widths
    predicted = math.sqrt(widths[0] / widths[-1])
    rungs, fresh = found.ladder.rungs, found.fresh[_DISTILLED]
    pairs = {
        "self-distillation, training points": [
            rungs[_DISTILLED][end].largest_deviation for end in (0, -1)
        ],
        "plain training, training points": [
            rungs[_PLAIN][end].largest_deviation for end in (0, -1)
        ],
        "self-distillation, fresh points": [fresh[end].typical for end in (0, -1)],
    }
    return [
        Measurement(
            f"{name}: deviation at width {widths[-1]} over that at {widths[0]}",
            predicted,
            float(widest.mean() / narrowest.mean()),
            math.sqrt(predicted) - predicted,
            relation=Relation.AT_MOST,
        )
        for name, (narrowest, widest) in pairs.items()
    ]


# ---------------------------------------------------------------- controls


@dataclass(frozen=True)
class _Broken:
    """Trains control nets and judges their margins."""

    found: _Margins
    progress: Progress

    def train(self, recipe: Recipe) -> Trajectory:
        from ntk_theory.experiments import net_seeds, train_nets

        plan, ladder = self.found.plan, self.found.ladder
        return train_nets(
            recipe,
            plan.control_width,
            net_seeds(ladder.seed, plan.control_width, _CONTROL_NETS, _CONTROL_STREAM),
            dtype=ladder.dtype,
            device=ladder.device,
            progress=self.progress,
            keep_network=True,
        )

    def training_tolerance(self) -> float:
        """Largest deviation, at any step of any way, of a training output at this width."""
        ladder, width = self.found.ladder, self.found.plan.control_width
        laws = [
            ladder.fit(way, lambda rung: rung.worst_deviation.max(axis=1))
            for way in (_DISTILLED, _PLAIN)
        ]
        return max(law.upper(width, _CONFIDENCE) for law in laws)

    def fresh_tolerance(self) -> float:
        """Largest RMS deviation on the fresh points at this width, in any way."""
        width = self.found.plan.control_width
        laws = [self.found.fit(way, lambda one: one.typical, None) for way in self.found.fresh]
        return max(law.upper(width, _CONFIDENCE) for law in laws)

    def control(
        self,
        id_: str,
        broken: str,
        name: str,
        predicted: float,
        margins: Array,
        claimed: float,
        tolerance: float,
        expected: Verdict = Verdict.VIOLATED,
        unmet: bool = False,
    ) -> Control:
        """A control that ends at another margin than the claim says; margins one a net."""
        failure = over_nets(name, predicted, margins, tolerance)
        follows = abs(failure.measured - claimed) <= tolerance
        verdict = Verdict.SUPPORTED if follows else Verdict.VIOLATED
        if unmet:
            verdict = Verdict.PREMISE_UNMET
        return Control(id_, broken, expected, verdict, failure, claimed, tolerance)


def _memorised(setting: _Broken) -> Control:
    """Plain training to the end keeps 1 − 2ρ of the margin on fresh points (section 7.5)."""
    found = setting.found
    plan = found.plan
    recipe, curve = _ways(plan)[_PLAIN]
    return setting.control(
        "plain-training",
        "the prediction teaches: here the observed labels do, to the end",
        "mean margin on fresh points",
        _unseen(plan, curve, recipe.steps),
        _fresh_margins(plan, setting.train(recipe)).mean(axis=1),
        _unseen(plan, plan.problem.distilled, recipe.steps),
        setting.fresh_tolerance(),
    )


def _soft_targets(setting: _Broken) -> Control:
    """Soft targets are plain training with a smaller rate (section 5)."""
    from ntk_theory import predictions

    problem, recipe = setting.found.plan.problem, setting.found.plan.recipe
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        problem.weights,
        problem.label_mean,
    )
    soft = replace(recipe, distillation=replace(recipe.distillation, target="soft"))
    outputs = setting.train(soft).outputs[:, -1]
    return setting.control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        "least training margin",
        float(curve.margin()[-1]),
        (outputs * problem.dataset.clean).min(axis=1),
        float(problem.distilled.margin()[-1]),
        setting.training_tolerance(),
    )


def _constant_weight(setting: _Broken) -> Control:
    """A constant weight α leaves the flipped points a margin of 1 − 2α (section 7.1)."""
    from ntk_theory.targets import BurnIn, Constant

    plan = setting.found.plan
    problem = plan.problem
    broken = problem.with_schedule(BurnIn(problem.burn_in, Constant(_LEVEL)))
    unmet = {premise.name for premise in broken.premises() if not premise.holds}
    outputs = setting.train(replace(plan.recipe, distillation=broken.distillation)).outputs[:, -1]
    return setting.control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {_LEVEL} for ever",
        f"least training margin (limit 1 − 2α = {1 - 2 * _LEVEL:g})",
        float(broken.distilled.margin()[-1]),
        (outputs * problem.dataset.clean).min(axis=1),
        float(problem.distilled.margin()[-1]),
        setting.training_tolerance(),
        expected=Verdict.PREMISE_UNMET,
        unmet="observed labels fade out" in unmet,
    )


def _new_cluster(setting: _Broken) -> Control:
    """On a cluster that was not trained on the net knows nothing (section 7.5)."""
    from ntk_theory import predictions

    plan = setting.found.plan
    problem = plan.problem
    trained = setting.train(plan.recipe)
    assert trained.network is not None
    predicted = predictions.new_cluster_output(
        problem.spectrum, problem.distilled.mean_error[-1], problem.label_mean
    )
    return setting.control(
        "new-cluster",
        "fresh points come from the training clusters: here from another one, labelled +1",
        "mean margin on fresh points",
        float(predicted),
        trained.network(plan.new_inputs).mean(axis=1),
        _unseen(plan, problem.distilled, problem.steps),
        setting.fresh_tolerance(),
    )


# ---------------------------------------------------------------- run


def _finding(found: _Margins) -> str:
    plan, ladder = found.plan, found.ladder
    least = ladder.rungs[_DISTILLED][-1].margin.mean()
    best = (found.outputs[_PLAIN] * plan.problem.dataset.clean).min(axis=2).max(axis=1).mean()
    fresh = {way: rungs[-1].margins.mean() for way, rungs in found.fresh.items()}
    return (
        f"{plan.nets} nets of width {plan.widths[-1]} have a least margin of {least:.4g} under "
        f"self-distillation, predicted {plan.problem.distilled.margin()[-1]:.4g}; plain training "
        f"has {best:.4g} at its best step. Fresh points: {fresh[_DISTILLED]:.4g}, against "
        f"{fresh[_STOPPED]:.4g} at that step"
    )


def _arrays(found: _Margins) -> dict[str, Array]:
    plan = found.plan
    dataset, curves = plan.problem.dataset, (plan.problem.distilled, plan.problem.plain)
    arrays: dict[str, Array] = {"flipped": dataset.flipped.astype(float)}
    for way, curve in zip((_DISTILLED, _PLAIN), curves, strict=True):
        key = way.split(maxsplit=1)[0].replace("-", "_")
        margins = found.outputs[way] * dataset.clean
        arrays[f"{key}_margin"] = margins.min(axis=2)
        arrays[f"{key}_final"] = margins[:, -1]
        arrays[f"{key}_predicted"] = curve.margin()
        arrays[f"{key}_atoms"] = curve.outputs(dataset.clean, dataset.flipped)[-1] * dataset.clean
    arrays["widths"] = np.array(plan.widths)
    arrays["fresh"] = np.stack([one.margins.mean(axis=1) for one in found.fresh[_DISTILLED]])
    return arrays


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    from ntk_theory.ladder import Ladder

    problem = plan.problem
    evidence.premises += _planned_premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    ladder = Ladder(
        problem.dataset.clean,
        plan.widths,
        plan.nets,
        plan.options.seed,
        plan.dtype,
        plan.options.device,
    )
    found = _Margins(plan, ladder)
    _climb(found, evidence, progress)
    evidence.metrics += ladder.metrics()
    if evidence.diverged(ladder.stopped()):
        return ""
    evidence.premises.append(_trained_premise(ladder, problem))
    evidence.measurements.append(_kernel_limit(plan))
    for rows in (_training_rows, _plain_rows, _fresh_rows, _falling):
        evidence.measurements += rows(found)
    evidence.arrays |= _arrays(found)
    if evidence.sound:
        setting = _Broken(found, progress)
        for control in (_memorised, _soft_targets, _constant_weight, _new_cluster):
            evidence.progress_note = "at the controls"
            evidence.controls.append(control(setting))
    return _finding(found)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the ladder, compare margins with the closed forms, run the controls."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted margins, without training."""
    plan = _plan(options)
    problem = plan.problem
    if not problem.predictable:
        return plan.config(), {}
    steps, best = problem.steps, plan.best_step
    predicted = {
        "self-distillation: least training margin": problem.distilled.margin()[-1],
        "plain training: best least margin at any step": problem.plain.margin().max(),
        "self-distillation: mean margin on fresh points": _unseen(plan, problem.distilled, steps),
        f"plain training stopped at step {best}: mean margin on fresh points": _unseen(
            plan, problem.plain, best
        ),
        "memorised: mean margin on fresh points": _unseen(plan, problem.plain, steps),
    }
    return plan.config(), {name: float(value) for name, value in predicted.items()}


# ---------------------------------------------------------------- picture


def _draw_least(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[0], result.arrays
    steps = np.arange(len(arrays["self_distillation_predicted"]))
    label = f"self-distillation, width {arrays['widths'][-1]}"
    drawing.band(axes, steps, arrays["plain_margin"], drawing.ORANGE, "plain training")
    drawing.band(axes, steps, arrays["self_distillation_margin"], drawing.BLUE, label)
    drawing.prediction(axes, steps, arrays["self_distillation_predicted"], "closed forms")
    drawing.prediction(axes, steps, arrays["plain_predicted"])
    bound = 1 - 2 * result.config["noise_rate"]
    axes.axhline(bound, color=drawing.GREY, lw=1, label="1 − 2ρ, bound of every stopping time")
    axes.set(xlabel="step $t$", ylabel=r"least margin  $\min_i\,y_iu_i$", xscale="symlog")
    axes.set(xlim=(0, steps[-1]))
    axes.legend(frameon=False, fontsize=8)


def _draw_distribution(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[1], result.arrays
    points = arrays["flipped"].size
    share = np.repeat(np.arange(points + 1), 2)[1:-1] / points  # steps: 0, 1/n, 1/n, ..., 1
    ways = (("plain", drawing.ORANGE, "plain training"), ("self_distillation", drawing.BLUE, None))
    for key, colour, name in ways:
        for net, values in enumerate(np.sort(arrays[f"{key}_final"], axis=1)):
            label = (name or "self-distillation") if net == 0 else None
            axes.plot(np.repeat(values, 2), share, color=colour, lw=2.5, alpha=0.5, label=label)
        label = None if name else "two atoms each in the limit"
        drawing.prediction(axes, np.repeat(np.sort(arrays[f"{key}_atoms"]), 2), share, label)
    axes.set(xlabel="margin $y_iu_i$ at the end", ylabel="share of points below")
    axes.legend(frameon=False, loc="center left")


def draw(figure: Figure, result: ClaimResult) -> None:
    """Least margin over time, and the distribution of margins at the end."""
    figure.subplots(1, 2)
    if "widths" in result.arrays:
        _draw_least(figure, result)
        _draw_distribution(figure, result)


CLAIM = Claim(
    id="margin",
    statement=(
        "Self-distillation brings the margin of every training point to 1, flipped ones included, "
        "where plain training has at most 1 − 2ρ at its best step and −1 in the end; on fresh "
        "points of the same clusters it reaches 1 − 1/r, where plain training has at most "
        "(1 − 2ρ)(1 − 1/r)."
    ),
    formulas=(
        "min_i y_i u_i = 1 + E − 2(1−ρ) q → 1;  plain training: at most 1 − 2ρ, in the end −1",
        "clean points 1 + E + 2ρq, flipped points 1 + E − 2(1−ρ)q: two atoms",
        "fresh points of the training clusters: y f(x) = (1 − 1/r)(1 + E)",
    ),
    assumptions=(
        "equicorrelated clusters with the same share ρ of flipped labels in each, ρ < ρ*",
        "outputs start at zero; η <= 1/λ_max; the observed labels fade out after a burn-in",
        "all signs right at every step after the burn-in, with more than the nets' deviation left",
        "fresh points have the cosines of the training points: further rows of the same design",
    ),
    derivation=(
        "Under the sign premise three numbers a step describe all outputs (section 7.2), which "
        "gives the margins; plain training retrieves g of the labels and cannot pass 1 − 2ρ "
        "(section 6.2). The kernel vector of a fresh point is constant on clusters, so it sees the "
        "information part alone, times λ_+ − λ_− over λ_+ (section 7.5). Nets deviate by O(m^-1/2) "
        "(section 9), which the narrower widths bound (section 11)."
    ),
    source="arXiv 1910.01255, abstract, claim C6; derivation: docs/theory.md, section 7.5",
    paper_claims={
        "C6": "the margin itself, on training points and on fresh points of the same clusters"
    },
    knobs=frozenset(
        {
            "clusters",
            "cross_cosine",
            "dtype",
            "learning_rate",
            "noise_rate",
            "points",
            "ratio",
            "schedule",
            "seeds",
            "steps",
            "widths",
        }
    ),
    controls=("plain-training", "soft-targets", "constant-weight", "new-cluster"),
    run=run,
    predict=predict,
    draw=draw,
)
