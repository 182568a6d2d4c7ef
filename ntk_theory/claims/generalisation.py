"""Claims C6 and C7: what self-distillation does for unseen points (docs/theory.md, 7.9 and 7.10).

On noisy clusters the distance from initialisation, the generalisation measure and a margin bound of
trained nets are held against closed forms. On Gaussian clusters, overlapping ones and a power law
their accuracy on fresh points is held against the kernel limit with the measured Gram matrix, and
the side on which self-distillation ends up against the measured spectrum.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

    from ntk_theory.data import Dataset, Design
    from ntk_theory.ladder import Ladder
    from ntk_theory.network import TwoLayerReLU
    from ntk_theory.predictions import ErrorCurve
    from ntk_theory.problems import NoisyClusters, Recipe
    from ntk_theory.targets import Distillation

Array = NDArray[np.float64]
Item = TypeVar("Item")
Result = TypeVar("Result")

_DISTILLED, _PLAIN = "self-distillation", "plain training"
_LEAST_WIDTHS, _LEAST_NETS = 4, 3
_CONTROL_NETS = 3
_SHARE, _NOISE_TIMES = 0.5, 4
"""ηλ_+ and the number of times 1/(ηλ_−) of a default run on the clusters."""

_DELTA = 0.05
"""Probability with which the margin bound may fail."""

_RISK = 1e-4
"""Probability that a single bound is exceeded by chance; a run has about ten."""

_LEAD_RISK = 1e-3
"""The same for a bound on accuracies, which is wider than its level (see `_Comparison`)."""

_SIGN = 0.99
"""Confidence with which a lead over the best stopping time has to have its sign."""

_RESOLVED = 0.15
"""Relative tolerance that still tells a norm from √2 times it: half of the way."""

_DATA_STREAM, _FRESH_STREAM, _CONTROL_STREAM = 4, 5, 1


class _Preset(NamedTuple):
    widths: tuple[int, ...]
    nets: int
    fresh: int


_DATASETS = 24
"""Data sets of each family in the kernel limit, for every net."""

_PRESETS = {
    "quick": _Preset((128, 256, 512, 1024, 2048), 4, 60),
    "standard": _Preset((128, 256, 512, 1024, 2048, 4096), 6, 60),
    "paper": _Preset((256, 512, 1024, 2048, 4096, 8192, 16384), 8, 60),
}


# ---------------------------------------------------------------- data with fresh points


@dataclass(frozen=True)
class _Family:
    """A way to draw training and fresh points without the symmetry of the exact design.

    Attributes:
        name: of the family.
        kind: "gaussian" clusters or "power" law.
        groups: clusters, or the two signs of the top coordinate.
        points: training points of a group.
        classes: C; group g has the class g mod C.
        dimension: d.
        shape: radius of the clusters, or exponent of the covariance.
        noise_rate: ρ.
    """

    name: str
    kind: Literal["gaussian", "power"]
    groups: int
    points: int
    classes: int
    dimension: int
    shape: float
    noise_rate: float = 0.4

    def design(self, size: int, rng: np.random.Generator) -> Design:
        """Training and fresh points together, `size` a group."""
        from ntk_theory import data

        if self.kind == "gaussian":
            return data.gaussian_clusters(
                self.groups, size, self.dimension, radius=self.shape, rng=rng
            )
        return data.power_law(self.groups * size, self.dimension, exponent=self.shape, rng=rng)


_FAMILIES = (
    _Family("Gaussian clusters", "gaussian", 8, 15, 4, 8, 0.6),
    _Family("overlapping clusters", "gaussian", 8, 15, 4, 8, 1.2),
    _Family("power law", "power", 2, 60, 2, 20, 1.0),
)

_GRID, _EVERY = 46, 3
"""Stopping times that the oracle chooses from, in equal ratios from 1 to the last step; and which
of them the nets are stopped at, the last included."""

_TOGETHER = 16
"""Tasks whose kernel limits take their steps together; each such part has one thread."""

_RUN_TIMES, _BURN_TIMES = 1.5, 0.75
"""Length of the run in units of 1/(η median λ); burn-in and decay in units of 1/(η λ_K)."""


@dataclass(frozen=True)
class _Task:
    """Training data, fresh points, and the kernel limit on them."""

    family: _Family
    dataset: Dataset
    fresh_inputs: Array
    fresh_classes: NDArray[np.int64]

    @cached_property
    def gram(self) -> Array:
        from ntk_theory.kernels import ntk_limit

        return ntk_limit(self.dataset.inputs)

    @cached_property
    def fresh_gram(self) -> Array:
        """Kernel of fresh against training points, shape (k, n)."""
        from ntk_theory.kernels import ntk_limit

        return ntk_limit(self.fresh_inputs, self.dataset.inputs)

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues and eigenvectors, by torch for the sake of its threads (see `_product`)."""
        import torch

        values, vectors = torch.linalg.eigh(torch.as_tensor(self.gram))
        return values.numpy(), vectors.numpy()

    @property
    def learning_rate(self) -> float:
        """1/λ_max."""
        return float(1 / self._spectrum[0][-1])

    @property
    def steps(self) -> int:
        """Steps in which half of the modes are retrieved up to e^{-1.5}, or further."""
        median = float(np.median(self._spectrum[0]))
        return math.ceil(_RUN_TIMES / (self.learning_rate * median))

    @property
    def distillation(self) -> Distillation:
        """Burn-in and decay while the K-th mode, the last of the information, is retrieved."""
        from ntk_theory.targets import BurnIn, Distillation, Power

        last = float(self._spectrum[0][-self.family.groups])
        time = _BURN_TIMES / (self.learning_rate * last)
        return Distillation(BurnIn(max(1, round(time)), Power(time)))

    @property
    def grid(self) -> list[int]:
        """Stopping times, ascending; small ones occur more than once."""
        return [round(float(step)) for step in np.geomspace(1, self.steps, _GRID)]

    @cached_property
    def information_ratio(self) -> float:
        """Squared generalisation measure of isotropic noise over that of the clean labels."""
        values, vectors = self._spectrum
        clean = np.asarray(self.dataset.clean, dtype=float).reshape(len(values), -1)
        energy = np.square(_product(vectors.T, clean - clean.mean(axis=0))).sum(axis=1)
        return float((1 / values).mean() / ((energy / values).sum() / energy.sum()))

    def accuracy(self, outputs: ArrayLike) -> Array:
        """Share of fresh points predicted right, of outputs (..., k) or (..., k, C)."""
        values = np.asarray(outputs)
        two = self.family.classes == 2
        predicted = np.where(values > 0, 0, 1) if two else values.argmax(axis=-1)
        return np.asarray((predicted == self.fresh_classes).mean(axis=-1))

    @property
    def job(self) -> _Job:
        """Self-distillation on the labels that training sees."""
        return _Job(self.distillation, self.dataset.observed, self.steps)

    def fresh(self, outputs: Array) -> Array:
        """Fresh outputs k(x, X) H^{-1} u of training outputs u, shape (k,) or (k, C)."""
        values, vectors = self._spectrum
        return _product(self.fresh_gram, vectors / values, vectors.T, outputs)

    def plain_limit(self) -> Array:
        """Fresh outputs of plain training at the stopping times, shape (G, k) or (G, k, C)."""
        values, vectors = self._spectrum
        observed = self.dataset.observed
        left = (1 - self.learning_rate * values) ** np.array(self.grid)[:, None]
        labels = _product(vectors.T, observed.reshape(len(values), -1))
        # Columns (stopping time, class), so that one product serves them all.
        columns = (((1 - left) / values).T[:, :, None] * labels[:, None]).reshape(len(values), -1)
        outputs = _product(self.fresh_gram, vectors, columns).reshape(-1, _GRID, labels.shape[1])
        return np.asarray(outputs.swapaxes(0, 1).reshape(_GRID, -1, *observed.shape[1:]))

    def gains(self, fresh: _Fresh) -> Array:
        """Accuracy of self-distillation, its lead over the memorised net, and over the best."""
        distilled, plain = self.accuracy(fresh.distilled), self.accuracy(fresh.plain)
        return np.array([distilled, distilled - plain[-1], distilled - plain.max()])


def _product(*factors: Array) -> Array:
    """Matrix product, from the right, in torch: the worker threads have one thread each there."""
    import torch

    product = torch.as_tensor(factors[-1])
    for factor in factors[-2::-1]:
        product = torch.as_tensor(np.ascontiguousarray(factor)) @ product
    return np.asarray(product.numpy())


class _Fresh(NamedTuple):
    """Outputs on fresh points: of self-distillation (k, ...) and plain training (G, k, ...)."""

    distilled: Array
    plain: Array


class _Job(NamedTuple):
    """Targets of a run on a task, and its length."""

    distillation: Distillation
    observed: Array
    steps: int


def _distilled_limits(tasks: Sequence[_Task], jobs: Sequence[_Job]) -> list[Array]:
    """Fresh outputs of the infinitely wide net after each task's job, all tasks step by step.

    The recursion of `training.train_kernel_limit` for hard targets, as one product for all.
    """
    import torch

    from ntk_theory.targets import harden, weights

    points = len(tasks[0].gram)
    longest = max(job.steps for job in jobs)
    rates = torch.as_tensor(np.array([task.learning_rate for task in tasks]))[:, None, None]
    kernels = rates * torch.as_tensor(np.stack([task.gram for task in tasks]))
    observed = torch.as_tensor(np.stack([job.observed.reshape(points, -1) for job in jobs]))
    alpha = np.stack([weights(job.distillation.schedule, longest) for job in jobs])
    outputs = torch.zeros_like(observed)
    last: dict[int, Array] = {}
    for step in range(longest):
        share = torch.as_tensor(alpha[:, step])[:, None, None]
        target = share * observed + (1 - share) * harden(outputs)
        outputs = outputs + kernels @ (target - outputs)
        for index, job in enumerate(jobs):
            if job.steps == step + 1:
                last[index] = outputs[index].numpy().reshape(job.observed.shape)
    return [task.fresh(last[index]) for index, task in enumerate(tasks)]


def _task(family: _Family, fresh: int, seed: np.random.SeedSequence) -> _Task:
    """Draw points, and wrong labels for those that are trained on."""
    from ntk_theory.data import Design, noisy_labels

    rng = np.random.default_rng(seed)
    size = family.points + fresh
    design = family.design(size, rng)
    trained = np.zeros(len(design.inputs), dtype=bool)
    left = family.groups * family.points
    for group in range(family.groups):
        members = np.flatnonzero(design.groups == group)
        # A power law has nearly, not exactly, as many points on either side.
        share = round(family.points * len(members) / size)
        share = left if group == family.groups - 1 else share
        trained[rng.choice(members, share, replace=False)] = True
        left -= share
    dataset = noisy_labels(
        Design(design.name, design.inputs[trained], design.groups[trained]),
        noise_rate=family.noise_rate,
        classes=family.classes,
        rng=rng,
    )
    return _Task(family, dataset, design.inputs[~trained], design.groups[~trained] % family.classes)


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Plan:
    """The clusters, the families, and the nets to train on them."""

    problem: NoisyClusters
    widths: tuple[int, ...]
    nets: int
    fresh: int
    dtype: str
    options: Options

    @property
    def datasets(self) -> int:
        """Data sets of each family in the kernel limit; the first few have a net each."""
        return _DATASETS * self.nets

    @property
    def task_widths(self) -> tuple[int, ...]:
        """Widths of the nets on the families: up to a quarter of the ladder's."""
        top = self.widths[-1] // 4
        return tuple(2 * (top // (2 * part)) for part in (8, 4, 2, 1))

    @property
    def control_width(self) -> int:
        return self.widths[(len(self.widths) - 1) // 2]

    @property
    def ways(self) -> dict[str, tuple[Recipe, ErrorCurve]]:
        """Recipe and closed form of both ways of training on the clusters."""
        from ntk_theory.targets import PLAIN

        recipe = self.problem.recipe
        return {
            _DISTILLED: (recipe, self.problem.distilled),
            _PLAIN: (replace(recipe, distillation=PLAIN), self.problem.plain),
        }

    def tasks(self, family: int) -> list[_Task]:
        """Data sets of a family, each with its own points and noise."""
        root = np.random.SeedSequence(self.options.seed, spawn_key=(_DATA_STREAM, family))
        return [_task(_FAMILIES[family], self.fresh, seed) for seed in root.spawn(self.datasets)]

    def work(self) -> float:
        """Width times nets of everything trained, for the progress bar."""
        tasks = sum(self.task_widths) * self.nets * len(_FAMILIES)
        controls = self.control_width * _CONTROL_NETS + 2 * self.nets * self.task_widths[-1]
        return float(2 * sum(self.widths) * self.nets + 2 * tasks + controls)

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
            "bound_confidence": 1 - _DELTA,
            "families": [
                {
                    "name": family.name,
                    "groups": family.groups,
                    "points": family.points,
                    "classes": family.classes,
                    "dimension": family.dimension,
                    "radius" if family.kind == "gaussian" else "exponent": family.shape,
                    "noise_rate": family.noise_rate,
                }
                for family in _FAMILIES
            ],
            "family_widths": list(self.task_widths),
            "datasets": self.datasets,
            "fresh_points": self.fresh,
            "device": self.options.device,
            "dtype": self.dtype,
            "control_width": self.control_width,
            "control_seeds": _CONTROL_NETS,
        }


def _problem(options: Options) -> NoisyClusters:
    """Clusters large enough for the bound to say something, at a rate that takes few steps."""
    from ntk_theory import predictions
    from ntk_theory.problems import noisy_clusters

    def built(learning_rate: float | None, steps: int | None) -> NoisyClusters:
        return noisy_clusters(
            clusters=chosen(options.clusters, 4),
            points=chosen(options.points, 20),
            ratio=chosen(options.ratio, 20.0),
            noise_rate=chosen(options.noise_rate, 0.2),
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=chosen(options.cross_cosine, 0.0),
            schedule=chosen(options.schedule, "power"),
            learning_rate=learning_rate,
            steps=steps,
        )

    problem = built(options.learning_rate, options.steps)
    if options.learning_rate is not None:
        return problem
    levels = problem.spectrum
    rate = min(_SHARE / levels.information, 1 / levels.mean)
    quarter = predictions.memorisation_time(problem.noise_rate, rate, levels.noise) / 4
    steps = max(math.ceil(_NOISE_TIMES / (rate * levels.noise)), 4 * (round(quarter) + 2))
    return built(rate, chosen(options.steps, steps))


def _plan(options: Options) -> _Plan:
    from ntk_theory.experiments import check_memory, check_nets, check_widths

    problem, preset = _problem(options), _PRESETS[options.preset]
    widths = check_widths(chosen(options.widths, preset.widths), _LEAST_WIDTHS)
    if widths[-1] < 256:
        raise ValueError(
            "widths must end at 256 or more: nets of a quarter of the last, down to one in 32, are "
            f"trained on the other data; got {widths[-1]}"
        )
    nets = check_nets(chosen(options.seeds, preset.nets), _LEAST_NETS)
    dtype = chosen(options.dtype, "float64")
    check_memory(widths[-1], problem.dataset.inputs.shape, dtype)
    return _Plan(problem, widths, nets, preset.fresh, dtype, options)


# ---------------------------------------------------------------- norms on the clusters


def _norm(plan: _Plan, curve: ErrorCurve, step: int = -1) -> float:
    """Predicted distance from initialisation."""
    from ntk_theory import predictions

    problem = plan.problem
    return float(
        predictions.linearised_distance(
            problem.spectrum,
            problem.noise_rate,
            curve.mean_error[step],
            curve.information_error[step],
            curve.memorised_noise[step],
            problem.label_mean,
        )
    )


def _measure(plan: _Plan, distance: ArrayLike) -> Array:
    """Generalisation measure of a distance on the clusters."""
    from ntk_theory import predictions

    return predictions.generalisation_measure(distance, len(plan.problem.gram))


def _labels_norm(plan: _Plan, clean: bool) -> float:
    """Predicted sqrt(zᵀH^{-1}z) of the clean or the observed labels themselves."""
    from ntk_theory import predictions

    problem = plan.problem
    error = 0.0 if clean else -2 * problem.noise_rate
    return float(
        predictions.linearised_distance(
            problem.spectrum,
            problem.noise_rate,
            error,
            error,
            0.0 if clean else 1.0,
            problem.label_mean,
        )
    )


@dataclass
class _Norms:
    """Norms and margins of the nets on the clusters, by way of training and width."""

    plan: _Plan
    ladder: Ladder
    outputs: dict[str, list[Array]] = field(default_factory=dict)

    def distances(self, way: str) -> list[Array]:
        """‖W_T − W_0‖_F of the nets of each width."""
        return [rung.distance for rung in self.ladder.rungs[way]]

    def from_outputs(self, way: str) -> list[Array]:
        """sqrt(uᵀH^{-1}u) of the nets' outputs, with the limiting kernel."""
        return [np.sqrt(_quadratic(self.plan.problem, u)) for u in self.outputs[way]]

    def margins(self, way: str) -> Array:
        """y_i u_i of the widest nets, shape (S, n)."""
        return np.asarray(self.outputs[way][-1] * self.plan.problem.dataset.clean)

    def allowance(self, values: Sequence[Array], predicted: float) -> float:
        """Bound that the narrower widths put on the mean deviation at the widest.

        Deviations ∝ m^{-1/2}: √m times them has one scale, estimated by the root mean square of
        the N narrower nets; the mean square of the S widest over it has Fisher's law with S and N
        degrees of freedom (docs/theory.md, section 7.9).
        """
        from scipy.stats import f as fisher

        widths = self.plan.widths
        scaled = np.concatenate(
            [
                math.sqrt(width) * (np.asarray(one) - predicted)
                for width, one in zip(widths[:-1], values, strict=False)
            ]
        )
        scale = math.sqrt(float(np.square(scaled).mean()))
        quantile = float(fisher.ppf(1 - _RISK, len(values[-1]), scaled.size))
        rounding = self.ladder.rounding_allowance(widths[-1]) * predicted
        return scale * math.sqrt(quantile / widths[-1]) + rounding


def _quadratic(problem: NoisyClusters, values: Array) -> Array:
    """vᵀH^{-1}v of rows v, with the measured kernel."""
    solved = np.linalg.solve(problem.gram, np.atleast_2d(values).T)
    return np.asarray(np.einsum("si,is->s", np.atleast_2d(values), solved))


def _climb(found: _Norms, evidence: Evidence, progress: Progress) -> None:
    plan, ladder = found.plan, found.ladder
    points = plan.problem.dataset.clean, plan.problem.dataset.flipped
    for width in plan.widths:
        evidence.progress_note = f"on the clusters, at width {width} of {plan.widths[-1]}"
        for way, (recipe, curve) in plan.ways.items():
            trajectory = ladder.train(way, recipe, width, curve.outputs(*points))
            found.outputs.setdefault(way, []).append(trajectory.outputs[:, -1])
            progress.advance(width * plan.nets)


def _kernel_measures(plan: _Plan) -> Measurement:
    """The measure with the measured Gram matrix against the closed forms, clean and observed.

    A solve with condition number λ_max/λ_min loses n eps times that, relative to the norm.
    """
    problem = plan.problem
    pairs = ((problem.dataset.clean, True), (problem.dataset.observed, False))
    relative = [
        abs(math.sqrt(float(_quadratic(problem, labels)[0])) / _labels_norm(plan, clean) - 1)
        for labels, clean in pairs
    ]
    levels, points = problem.spectrum, len(problem.gram)
    tolerance = points * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement(
        "measure of clean and observed labels, kernel − closed form, relative",
        0.0,
        max(relative),
        tolerance,
    )


def _norm_rows(found: _Norms) -> list[Measurement]:
    """Distances of the trained weights, and measures of the trained outputs."""
    plan = found.plan
    rows = []
    for way, (_, curve) in plan.ways.items():
        predicted = _norm(plan, curve)
        for name, values, scale in (
            ("‖W_T − W_0‖", found.distances(way), 1.0),
            ("measure of the outputs", found.from_outputs(way), float(_measure(plan, 1.0))),
        ):
            rows.append(
                over_nets(
                    f"{way}: {name}",
                    predicted * scale,
                    values[-1] * scale,
                    found.allowance(values, predicted) * scale,
                    _RESOLVED * predicted * scale,
                )
            )
    return rows


def _bound_rows(found: _Norms) -> list[Measurement]:
    """The margin bound at the nets' own norm and margin, and its slack on fresh points.

    First-order propagation: the norm enters linearly, the margin γ as 1/γ.
    """
    from ntk_theory import predictions

    plan = found.plan
    problem, points = plan.problem, len(plan.problem.gram)
    flipped = problem.dataset.flipped
    rows = []
    for way, (_, curve) in plan.ways.items():
        learnt = ~flipped if way == _PLAIN else np.ones(points, dtype=bool)
        below = 1 - float(learnt.mean())
        atoms = curve.outputs(problem.dataset.clean, flipped)[-1] * problem.dataset.clean
        margin, norm = float(atoms[learnt].min()), _norm(plan, curve)
        distances, margins = found.distances(way), found.margins(way)
        measured = [
            predictions.margin_bound(
                float(_measure(plan, distance)),
                float(own[learnt].min()),
                points,
                float((own < own[learnt].min()).mean()),
                1 - _DELTA,
            )
            for distance, own in zip(distances[-1], margins, strict=True)
        ]
        measure = float(_measure(plan, norm))
        predicted = predictions.margin_bound(measure, margin, points, below, 1 - _DELTA)
        least = [(own * problem.dataset.clean)[:, learnt].min(axis=1) for own in found.outputs[way]]
        deviation = found.allowance(least, margin)
        relative = found.allowance(distances, norm) / norm + deviation / margin
        name = "self-distillation" if way == _DISTILLED else "memorised"
        state = "vacuous" if predicted >= 1 else "not vacuous"
        rows.append(
            over_nets(
                f"{name}: margin bound on the error ({state})",
                predicted,
                measured,
                relative * measure / margin,
                2 * _RESOLVED * measure / margin,
            )
        )
    return rows


# ---------------------------------------------------------------- nets on the families


def _in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Results in order; one thread an item, as nets share nothing."""
    from concurrent.futures import ThreadPoolExecutor

    import torch

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            return list(pool.map(function, items))
        finally:
            torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Trainer:
    """Trains one net on one task and reads it on the fresh points."""

    plan: _Plan

    def network(self, task: _Task, width: int, seed: int) -> TwoLayerReLU:
        import torch

        from ntk_theory.network import initialise

        classes = task.family.classes
        return initialise(
            width,
            task.dataset.inputs.shape[1],
            seeds=[seed],
            outputs=1 if classes == 2 else classes,
            dtype=getattr(torch, self.plan.dtype),
            device=self.plan.options.device,
        )

    def distilled(self, task: _Task, network: TwoLayerReLU, job: _Job) -> Array:
        """Fresh outputs after a job, shape (k,) or (k, C)."""
        from ntk_theory.training import train

        trained = train(
            network,
            task.dataset.inputs,
            job.observed,
            job.distillation,
            learning_rate=task.learning_rate,
            steps=job.steps,
            record=[job.steps],
        )
        if trained.network is None or trained.stopped:
            raise RuntimeError(trained.stopped)
        return np.asarray(trained.network(task.fresh_inputs)[0])

    def plain(self, task: _Task, network: TwoLayerReLU) -> Array:
        """Fresh outputs at every third stopping time of one run, shape (G/3, k) or (G/3, k, C)."""
        from ntk_theory.targets import PLAIN
        from ntk_theory.training import train

        outputs, made = [], 0
        for step in task.grid[::_EVERY]:
            if step > made:
                segment = train(
                    network,
                    task.dataset.inputs,
                    task.dataset.observed,
                    PLAIN,
                    learning_rate=task.learning_rate,
                    steps=step - made,
                    record=[step - made],
                )
                if segment.network is None or segment.stopped:
                    raise RuntimeError(segment.stopped)
                network, made = segment.network, step
                reading = np.asarray(network(task.fresh_inputs)[0])
            outputs.append(reading)
        return np.stack(outputs)

    def both(self, task: _Task, width: int, seed: int) -> _Fresh:
        """Self-distillation and plain training from the same start."""
        network = self.network(task, width, seed)
        return _Fresh(self.distilled(task, network, task.job), self.plain(task, network))


@dataclass
class _Comparison:
    """One family: the kernel limit on all its data sets, nets on the first few.

    Attributes:
        tasks: the data sets.
        leads: over the best of all stopping times, in the kernel limit, shape (D,).
        limits: accuracy and both leads in the kernel limit, at the nets' stopping times, (D, 3).
        measured: the same of the widest nets, shape (S, 3).
        shifts: what narrower nets, their deviations shrunk to the largest width, would change in
            them, shape (3 S, 3).
        plain: accuracy of the widest nets at their stopping times, shape (S, G/3).
        plain_limits: the same in the kernel limit, shape (D, G/3).
    """

    tasks: list[_Task]
    leads: Array
    limits: Array
    measured: Array
    shifts: Array
    plain: Array
    plain_limits: Array

    @property
    def name(self) -> str:
        return self.tasks[0].family.name

    @property
    def paired(self) -> Array:
        """The kernel limit on the data sets of the nets, shape (S, 3)."""
        return self.limits[: len(self.measured)]

    @property
    def information_ratio(self) -> float:
        """Mean over data sets."""
        return float(np.mean([task.information_ratio for task in self.tasks]))

    @property
    def separated(self) -> bool:
        """Whether the measured spectrum separates information from noise."""
        return self.information_ratio > self.least_ratio

    @property
    def least_ratio(self) -> float:
        """r* of the family's noise."""
        from ntk_theory import predictions

        family = self.tasks[0].family
        return predictions.least_ratio(family.noise_rate, family.classes)

    def tolerance(self, column: int) -> float:
        """Prediction bound for the mean over nets of (net − kernel limit).

        Student's bound for the mean of S new values of the law of the N shifts. Fresh points of a
        cluster go right or wrong together, and a rare jump need not be among the shifts: one
        cluster in one net is allowed for besides.
        """
        from scipy.stats import t as student

        shifts, nets = self.shifts[:, column], len(self.measured)
        spread = float(shifts.std(ddof=1)) * math.sqrt(1 / nets + 1 / shifts.size)
        family = self.tasks[0].family
        lump = family.groups if family.kind == "gaussian" else len(self.tasks[0].fresh_classes)
        quantile = float(student.ppf(1 - _LEAD_RISK / 2, shifts.size - 1))
        return abs(float(shifts.mean())) + quantile * spread + 1 / (lump * nets)


def _compare(plan: _Plan, family: int, progress: Progress) -> _Comparison:
    """Kernel limit and nets on one family."""
    from ntk_theory.experiments import net_seeds

    tasks, trainer = plan.tasks(family), _Trainer(plan)
    _in_threads(lambda task: task.information_ratio, tasks)
    plain = _in_threads(lambda task: task.plain_limit(), tasks)
    parts = [tasks[start : start + _TOGETHER] for start in range(0, len(tasks), _TOGETHER)]
    ends = _in_threads(lambda part: _distilled_limits(part, [task.job for task in part]), parts)
    distilled = [end for part in ends for end in part]
    finest = [
        task.gains(_Fresh(*pair)) for task, *pair in zip(tasks, distilled, plain, strict=True)
    ]
    limit = [_Fresh(end, curve[::_EVERY]) for end, curve in zip(distilled, plain, strict=True)]
    limits = np.array([task.gains(fresh) for task, fresh in zip(tasks, limit, strict=True)])
    top = plan.task_widths[-1]

    def trained(job: tuple[int, int]) -> tuple[Array, Array]:
        width, index = job
        task = tasks[index]
        stream = _FRESH_STREAM + family
        seed = net_seeds(plan.options.seed, width, plan.nets, stream)[index]
        outputs = trainer.both(task, width, seed)
        progress.advance(2 * width)
        # Deviations ∝ m^{-1/2}: what this net would be at the largest width.
        shrunk = math.sqrt(width / top)
        pairs = zip(outputs, limit[index], strict=True)
        moved = _Fresh(*(wide + shrunk * (own - wide) for own, wide in pairs))
        return task.gains(moved), task.accuracy(moved.plain)

    jobs = [(width, index) for width in plan.task_widths for index in range(plan.nets)]
    results = _in_threads(trained, jobs)
    gains = np.array([gain for gain, _ in results])
    narrower = len(jobs) - plan.nets
    shifts = gains[:narrower].reshape(-1, plan.nets, 3) - limits[: plan.nets]
    return _Comparison(
        tasks,
        np.array(finest)[:, 2],
        limits,
        gains[narrower:],
        shifts.reshape(-1, 3),
        np.array([curve for _, curve in results[narrower:]]),
        np.array([task.accuracy(fresh.plain) for task, fresh in zip(tasks, limit, strict=True)]),
    )


def _family_rows(compared: _Comparison) -> list[Measurement]:
    """Leads of the nets against the kernel limit, and the sign that the spectrum predicts.

    Half of what was learnt beyond chance tells an accuracy from nothing.
    """
    name, paired, measured = compared.name, compared.paired, compared.measured
    learnt = float(paired[:, 0].mean()) - 1 / compared.tasks[0].family.classes
    rows = [
        over_nets(
            f"{name}: {what}",
            float(paired[:, column].mean()),
            measured[:, column],
            compared.tolerance(column),
            learnt / 2 if column == 0 else math.inf,
        )
        for column, what in (
            (0, "accuracy on fresh points"),
            (1, "lead over the memorised net"),
            (2, "lead over the best stopping time"),
        )
    ]
    rows += _sides(compared)
    return rows


def _sides(compared: _Comparison) -> list[Measurement]:
    """Leads in the kernel limit, over all data sets: of the sign that is claimed.

    Over the memorised net always ahead, over the best stopping time on the side that the spectrum
    says. The interval is Student's for the mean; a single data set may fall on the other side.
    """
    side = "ahead" if compared.separated else "behind"
    words = "ahead of" if compared.separated else "behind"
    spectrum = f"r_eff {compared.information_ratio:.2f}, r* {compared.least_ratio:.2f}"
    return [
        _signed(f"{compared.name}: ahead of the memorised net", compared.limits[:, 1], "ahead"),
        _signed(
            f"{compared.name}: {words} the best stopping time ({spectrum})", compared.leads, side
        ),
    ]


def _signed(name: str, leads: Array, side: str) -> Measurement:
    """Mean lead over data sets, its whole interval on one side of 0."""
    from scipy.stats import t as student

    reach = float(student.ppf(_SIGN, leads.size - 1)) * float(leads.std(ddof=1))
    mean, error = float(leads.mean()), reach / math.sqrt(leads.size)
    return Measurement(
        f"{name}, kernel limit, {leads.size} data sets",
        0.0,
        mean,
        0.0,
        (mean - error, mean + error),
        Relation.AT_LEAST if side == "ahead" else Relation.AT_MOST,
        whole_interval=True,
    )


# ---------------------------------------------------------------- controls


def _control(
    id_: str,
    broken: str,
    name: str,
    predicted: float,
    values: ArrayLike,
    claimed: float,
    tol: float,
) -> Control:
    """A control that comes out at another value than the claim says; values one a net."""
    failure = over_nets(name, predicted, values, tol)
    follows = abs(failure.measured - claimed) <= tol
    verdict = Verdict.SUPPORTED if follows else Verdict.VIOLATED
    return Control(id_, broken, Verdict.VIOLATED, verdict, failure, claimed, tol)


def _soft_targets(found: _Norms, progress: Progress) -> Control:
    """Soft targets fit the noise, and go as far as that takes (section 5)."""
    from ntk_theory import predictions
    from ntk_theory.experiments import net_seeds, train_nets

    plan, ladder = found.plan, found.ladder
    problem, width = plan.problem, plan.control_width
    curve = predictions.soft_self_distillation(
        problem.spectrum,
        problem.noise_rate,
        problem.learning_rate,
        problem.weights,
        problem.label_mean,
    )
    soft = replace(problem.distillation, target="soft")
    trained = train_nets(
        replace(problem.recipe, distillation=soft),
        width,
        net_seeds(ladder.seed, width, _CONTROL_NETS, _CONTROL_STREAM),
        dtype=ladder.dtype,
        device=ladder.device,
    )
    progress.advance(width * _CONTROL_NETS)
    # Relative deviation of either way of training, at this width.
    shrunk = math.sqrt(plan.widths[-1] / width)
    allowed = max(
        found.allowance(found.distances(way), norm) / norm
        for way, norm in ((way, _norm(plan, curve)) for way, (_, curve) in plan.ways.items())
    )
    predicted = _norm(plan, curve)
    return _control(
        "soft-targets",
        "targets are hardened: here h(u) = u, which only slows plain training down",
        "‖W_T − W_0‖ on the clusters",
        predicted,
        trained.distance,
        _norm(plan, problem.distilled),
        shrunk * allowed * predicted,
    )


def _late_burn_in(plan: _Plan, compared: _Comparison, progress: Progress) -> Control:
    """A burn-in that memorises makes the prediction teach what it has memorised (section 7.4)."""
    from ntk_theory.targets import BurnIn, Power

    tasks, jobs = compared.tasks[: plan.nets], []
    for task in tasks:
        schedule = task.distillation.schedule
        assert isinstance(schedule, BurnIn)
        assert isinstance(schedule.then, Power)
        late = BurnIn(task.steps, schedule.then)
        late_targets = replace(task.distillation, schedule=late)
        jobs.append(_Job(late_targets, task.dataset.observed, 3 * task.steps // 2))
    (outputs,) = _in_threads(lambda part: _distilled_limits(tasks, part), [jobs])
    limits = [task.accuracy(fresh) for task, fresh in zip(tasks, outputs, strict=True)]
    predicted, claimed = float(np.mean(limits)), float(compared.paired[:, 0].mean())
    return _control(
        "late-burn-in",
        "burn-in while information is retrieved: here it is as long as the whole run was",
        "accuracy on fresh points, Gaussian clusters",
        predicted,
        _retrain(plan, tasks, jobs, progress),
        claimed,
        (claimed - predicted) / 2,  # nearer to the one than to the other
    )


def _random_labels(plan: _Plan, compared: _Comparison, progress: Progress) -> Control:
    """Labels without information teach nothing: accuracy 1/C.

    At worst all fresh points of a cluster are right or wrong together; clusters taken as
    independent, the mean has the variance of that many draws, and four standard deviations of it
    are allowed.
    """
    from ntk_theory.data import encode

    family, tasks = compared.tasks[0].family, compared.tasks[: plan.nets]
    root = np.random.SeedSequence(plan.options.seed, spawn_key=(_CONTROL_STREAM,))
    drawn = [
        encode(
            np.random.default_rng(seed).integers(0, family.classes, len(task.gram)), family.classes
        )
        for seed, task in zip(root.spawn(len(tasks)), tasks, strict=True)
    ]
    jobs = [
        _Job(task.distillation, labels, task.steps)
        for task, labels in zip(tasks, drawn, strict=True)
    ]
    chance = 1 / family.classes
    draws = family.groups * len(tasks)
    return _control(
        "random-labels",
        "labels carry information: here every one is drawn at random",
        "accuracy on fresh points, Gaussian clusters (chance)",
        chance,
        _retrain(plan, tasks, jobs, progress),
        float(compared.paired[:, 0].mean()),
        4 * math.sqrt(chance * (1 - chance) / draws),
    )


def _retrain(
    plan: _Plan,
    tasks: Sequence[_Task],
    jobs: Sequence[_Job],
    progress: Progress,
) -> list[float]:
    """Accuracies of fresh nets of the largest width, trained on other targets."""
    from ntk_theory.experiments import net_seeds

    width, trainer = plan.task_widths[-1], _Trainer(plan)
    seeds = net_seeds(plan.options.seed, width, plan.nets, _CONTROL_STREAM)

    def accuracy(index: int) -> float:
        task = tasks[index]
        network = trainer.network(task, width, seeds[index])
        outputs = trainer.distilled(task, network, jobs[index])
        progress.advance(width)
        return float(task.accuracy(outputs))

    return _in_threads(accuracy, range(len(tasks)))


# ---------------------------------------------------------------- run


def _premises(plan: _Plan) -> list[Premise]:
    from ntk_theory.problems import lazy_premise

    problem = plan.problem
    premises = list(problem.premises())
    if not problem.predictable:
        return premises
    return [
        *premises,
        lazy_premise(problem.lazy_width, plan.widths[0]),
    ]


def _family_premises(compared: Sequence[_Comparison]) -> list[Premise]:
    """The first family has the separation that the lead over every stopping time needs."""
    first = compared[0]
    return [
        Premise(
            f"{first.name}: measured spectrum separates information from noise",
            first.information_ratio,
            first.separated,
            f"r_eff > r* = {first.least_ratio:.4g}",
        )
    ]


def _arrays(found: _Norms, compared: Sequence[_Comparison]) -> dict[str, Array]:
    plan, first = found.plan, compared[0]
    tasks = first.tasks[: plan.nets]
    return {
        "widths": np.array(plan.widths),
        "distilled_distance": np.array(found.distances(_DISTILLED)),
        "plain_distance": np.array(found.distances(_PLAIN)),
        "predicted_distance": np.array([_norm(plan, curve) for _, curve in plan.ways.values()]),
        "time": np.geomspace(1 / np.mean([task.steps for task in tasks]), 1, _GRID)[::_EVERY],
        "plain_accuracy": first.plain,
        "plain_limit": first.plain_limits[: plan.nets],
        "distilled_accuracy": first.measured[:, 0],
        "distilled_limit": first.paired[:, 0],
    }


def _finding(found: _Norms, compared: Sequence[_Comparison]) -> str:
    distances = {way: float(found.distances(way)[-1].mean()) for way in (_DISTILLED, _PLAIN)}
    leads = "; ".join(
        f"{one.name} {one.measured[:, 1].mean():+.3f} and {one.measured[:, 2].mean():+.3f}"
        for one in compared
    )
    return (
        f"nets move {distances[_DISTILLED]:.4g} from their start under self-distillation and "
        f"{distances[_PLAIN]:.4g} when they memorise; lead in accuracy on fresh points over the "
        f"memorised net and over the best stopping time: {leads}"
    )


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    from ntk_theory.ladder import Ladder

    evidence.premises += _premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    options = plan.options
    ladder = Ladder(
        plan.problem.dataset.clean, plan.widths, plan.nets, options.seed, plan.dtype, options.device
    )
    found = _Norms(plan, ladder)
    _climb(found, evidence, progress)
    evidence.metrics += ladder.metrics()
    if evidence.diverged(ladder.stopped()):
        return ""
    evidence.measurements.append(_kernel_measures(plan))
    evidence.measurements += _norm_rows(found) + _bound_rows(found)
    if not evidence.sound:  # the verdict is out
        return ""
    compared = []
    for index, family in enumerate(_FAMILIES):
        evidence.progress_note = f"clusters done; at the family {family.name!r}"
        compared.append(_compare(plan, index, progress))
        evidence.measurements += _family_rows(compared[-1])
        evidence.metrics += [
            {
                "training": family.name,
                "width": plan.task_widths[-1],
                "net": net,
                "accuracy": float(accuracy),
                "lead_over_memorised": float(memorised),
                "lead_over_best_stopping": float(best),
            }
            for net, (accuracy, memorised, best) in enumerate(compared[-1].measured)
        ]
    evidence.premises += _family_premises(compared)
    evidence.arrays |= _arrays(found, compared)
    if evidence.sound:
        evidence.progress_note = "at the controls"
        evidence.controls.append(_soft_targets(found, progress))
        evidence.controls.append(_late_burn_in(plan, compared[0], progress))
        evidence.controls.append(_random_labels(plan, compared[0], progress))
    return _finding(found, compared)


def run(options: Options, progress: Progress) -> ClaimResult:
    """Measure norms on the clusters and accuracies on the families, run the controls."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and predicted norms, without training."""
    plan = _plan(options)
    if not plan.problem.predictable:
        return plan.config(), {}
    predicted = {}
    for way, (_, curve) in plan.ways.items():
        norm = _norm(plan, curve)
        predicted[f"{way}: ‖W_T − W_0‖"] = norm
        predicted[f"{way}: measure of the outputs"] = float(_measure(plan, norm))
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def _draw_accuracy(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[0], result.arrays
    time = arrays["time"]
    drawing.band(axes, time, arrays["plain_accuracy"], drawing.ORANGE, "plain training")
    ends = np.repeat(arrays["distilled_accuracy"][:, None], time.size, axis=1)
    drawing.band(axes, time, ends, drawing.BLUE, "self-distillation, at its end")
    drawing.prediction(axes, time, arrays["plain_limit"].mean(axis=0), "kernel limit")
    level = np.full(time.size, arrays["distilled_limit"].mean())
    drawing.prediction(axes, time, level)
    axes.set(xlabel="stopping time, share of the run", xscale="log", xlim=(time[0], 1))
    axes.set(ylabel="accuracy on fresh points")
    axes.legend(frameon=False, loc="lower center")


def _draw_distance(figure: Figure, result: ClaimResult) -> None:
    from ntk_theory import drawing

    axes, arrays = figure.axes[1], result.arrays
    widths = arrays["widths"]
    for key, colour, level, label in (
        ("plain", drawing.ORANGE, 1, "memorised"),
        ("distilled", drawing.BLUE, 0, "self-distillation"),
    ):
        axes.plot(
            widths, arrays[f"{key}_distance"], color=colour, marker="o", ms=3.5, ls="", alpha=0.7
        )
        axes.plot([], [], color=colour, marker="o", ls="", label=label)
        value = np.full(widths.size, arrays["predicted_distance"][level])
        drawing.prediction(axes, widths, value, None if level else "closed forms")
    axes.set(xlabel="width $m$", ylabel=r"$\|W_T-W_0\|_F$")
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def draw(figure: Figure, result: ClaimResult) -> None:
    """Accuracy against the stopping time, and distance from initialisation against the width."""
    figure.subplots(1, 2)
    if "widths" in result.arrays:
        _draw_accuracy(figure, result)
        _draw_distance(figure, result)


CLAIM = Claim(
    id="generalisation",
    statement=(
        "Self-distilled nets stay as near to their start as clean labels allow, where memorising "
        "takes a way that grows with the noise; on fresh points they need no stopping time to be "
        "ahead of the memorised net; in the kernel limit, which nets follow within their scatter, "
        "they are ahead of the best stopping time on the data whose measured spectrum separates "
        "information from noise, and behind it on the two others."
    ),
    formulas=(
        "‖W_T − W_0‖² = uᵀH⁻¹u = n[(1+E)²/λ_+ + 4ρ(1−ρ)q²/λ_−]",
        "measure √(2uᵀH⁻¹u/n): √(2/λ_+) for clean labels, 4ρ(1−ρ)/λ_− more under the root if noisy",
        "P(wrong) <= share with margin <= γ  +  measure/γ  +  √(log(1/δ)/2n)",
        "separated: r_eff = (tr H⁻¹/n)‖y‖²/(yᵀH⁻¹y) > r* = 1 + 1/(1 − ρC/(C−1))",
    ),
    assumptions=(
        "for the norms: those of `convergence`, on equicorrelated clusters",
        "for the bound: independent training points, and a norm and a margin fixed beforehand",
        "for the families: schedule and stopping times in units of the measured spectrum",
        "for the lead over every stopping time: r_eff > r* on the training points",
    ),
    derivation=(
        "Linearised, the weights that produce outputs u are W_0 + J'H^-1 u, whose length is "
        "sqrt(u'H^-1 u); on clusters the three numbers of section 7.2 give it, and the measure. "
        "The bound is that of the Rademacher complexity of a ball, proved in section 7.9 with its "
        "constants. Off the symmetric design accuracy has no closed form: the recursion with the "
        "measured kernel predicts it, and r_eff, the squared measure of noise over that of the "
        "clean labels, its side (section 7.10, a heuristic)."
    ),
    source=(
        "arXiv 1910.01255, abstract, claims C6 and C7; derivation: docs/theory.md, sections 7.9 "
        "and 7.10"
    ),
    paper_claims={
        "C6": "norm and measure that a larger margin comes with; the bound is often vacuous",
        "C7": "synthetic data, no images: ahead of the memorised net on three families; of the "
        "best stopping time on one, Gaussian clusters, behind it on overlapping ones and on a "
        "power law",
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
    controls=("soft-targets", "late-burn-in", "random-labels"),
    run=run,
    predict=predict,
    draw=draw,
)
