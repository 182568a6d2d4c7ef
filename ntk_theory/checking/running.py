"""A run of a claim: kernel limits first, then nets of growing width, rows, and controls."""

from __future__ import annotations

__all__ = ["Run", "WidthResult", "run_claim"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory import kernels, spectrum
from ntk_theory.checking.claim import Claim
from ntk_theory.checking.declaration import Declaration, declare
from ntk_theory.checking.evidence import Evidence, conduct, judged_control, over_nets
from ntk_theory.checking.fitting import PowerLaw, fit_power_law, signed_bound
from ntk_theory.checking.functionals import margins, rms_error
from ntk_theory.checking.ladder import (
    BOOTSTRAP_STREAM,
    CONTROL_STREAM,
    EXPONENT_TOLERANCE,
    NETS_STREAM,
    NetPlan,
    control_width,
    falling_row,
    first_step_ratios,
    first_step_row,
)
from ntk_theory.checking.nets import net_seeds, train_nets, train_students
from ntk_theory.checking.rows import ALL_STEPS, NORMS, OWN_TEACHER, SIGNED, Control, Row, Training
from ntk_theory.checking.verdicts import (
    ClaimResult,
    DeclarationError,
    Measurement,
    Options,
    Premise,
    Progress,
    Relation,
)
from ntk_theory.machine import jobs
from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

_RISK = 1e-3
"""Probability that some bound of a run is exceeded by chance, if deviations are log-normal."""

_EPS = float(np.finfo(float).eps)

_NINE_DIGITS = 1e-9
"""What a closed form and the functional of predicted outputs may differ by: a functional may be as
ill-conditioned as it likes, and no theory is wrong in its tenth digit."""

_GENERATION = 5
"""Streams between the seeds of nets and of those that they teach."""


@dataclass(frozen=True)
class WidthResult:
    """Nets of one width after one training.

    Attributes:
        width: m.
        trajectory: of S nets, without their weights.
        held_out: outputs on other points after the last step, by name, shape (S, 1, p).
        taught: labels of each net, if each has a teacher of its own, shape (S, n) or (S, n, C).
        inspected: what else was read off the trained nets, by name, shape (S,).
    """

    width: int
    trajectory: Trajectory
    held_out: Mapping[str, Array]
    taught: Array | None = None
    inspected: Mapping[str, Array] = field(default_factory=dict)

    def outputs(self, on: str | None = None) -> Array:
        """Outputs at the recorded steps, on held-out points, or less what was taught."""
        if on == OWN_TEACHER and self.taught is not None:
            return np.asarray(self.trajectory.outputs - self.taught[:, None])
        return self.trajectory.outputs if on is None else self.held_out[on]


@dataclass
class Run:
    """What a claim declares, and what its nets have done so far.

    Attributes:
        declared: all that was known before.
        progress: told how far it has come.
        evidence: premises, measurements and controls so far.
        results: nets of each width, by the name of the training.
        controlled: nets of the controls so far, by the name of the training.
        notes: what one part of the claim leaves for those that come after it, by name.
    """

    declared: Declaration
    progress: Progress
    evidence: Evidence = field(default_factory=Evidence)
    results: dict[str, list[WidthResult]] = field(default_factory=dict)
    controlled: dict[str, WidthResult] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    _trained: dict[tuple[int, int, int], WidthResult] = field(default_factory=dict)

    @property
    def problem(self) -> Any:
        """As the claim builds it."""
        return self.declared.problem

    @property
    def nets(self) -> NetPlan:
        """Which nets are trained."""
        return self.declared.nets

    @property
    def trainings(self) -> Mapping[str, Training]:
        """By name."""
        return self.declared.trainings

    def widths_of(self, one: Training) -> tuple[int, ...]:
        """Widths of the nets of a training."""
        return one.widths_in(self.nets.widths)

    # ------------------------------------------------------------ nets

    def train(self, one: Training, width: int, stream: int, count: int) -> WidthResult:
        """Train nets of one width.

        Args:
            one: the training.
            width: m.
            stream: keeps nets of the claim and of its controls apart.
            count: how many.
        """
        seed = self.nets.seed if one.seed is None else one.seed
        seeds = net_seeds(seed, width, count, stream + one.generation * _GENERATION)
        if one.simulate is not None:
            outputs = np.stack([one.simulate(width, net) for net in seeds])
            self.progress.advance(one.recipe.steps * width * count)
            return WidthResult(width, _unmoved(outputs), {})
        how: dict[str, Any] = {
            "dtype": self.nets.dtype,
            "device": self.nets.device,
            "progress": self.progress,
            "keep_network": bool(one.held_out) or one.inspect is not None,
        }
        taught = None
        if one.taught is None:
            trajectory = train_nets(one.recipe, width, seeds, **how)
        else:
            teachers = self._teachers(one.taught.by, width, stream, count)
            taught = one.taught.lesson(teachers.outputs())
            trajectory = train_students(one.recipe, width, taught, seeds, **how)
        held_out, inspected = {}, {}
        if trajectory.network is not None and trajectory.diverged is None:
            held_out = {
                name: np.asarray(trajectory.network(points.inputs))[:, None]
                for name, points in one.held_out.items()
            }
            if one.inspect is not None:
                inspected = dict(one.inspect(width, seeds, trajectory))
        return WidthResult(width, replace(trajectory, network=None), held_out, taught, inspected)

    def _teachers(self, one: Training, width: int, stream: int, count: int) -> WidthResult:
        """Nets that teach: those of the claim, or ones that are trained once for all controls."""
        if stream == NETS_STREAM and one is self.trainings.get(one.name):
            return next(found for found in self.results[one.name] if found.width == width)
        key = (id(one), width, stream)
        if key not in self._trained:
            self._trained[key] = self.train(one, width, stream, count)
        return self._trained[key]

    def _generations(self) -> list[list[Training]]:
        """Trainings that wait for no other, those that these teach, and so on."""
        last = max(one.generation for one in self.trainings.values())
        return [
            [one for one in self.trainings.values() if one.generation == generation]
            for generation in range(last + 1)
        ]

    def climb(self) -> bool:
        """Train nets of all widths in all ways; says whether they all stayed finite."""
        for name in self.trainings:
            self.results[name] = []
        every = {name: self.widths_of(one) for name, one in self.trainings.items()}
        for width in sorted({width for widths in every.values() for width in widths}):
            self.evidence.progress_note = f"at width {width} of {self.nets.widths[-1]}"
            for generation in self._generations():
                together = [one for one in generation if width in every[one.name]]
                calls = (
                    partial(
                        self.train,
                        *(one, width, NETS_STREAM + one.stream, one.nets_in(self.nets.count)),
                    )
                    for one in together
                )
                for one, found in zip(together, jobs.side_by_side(calls), strict=True):
                    if self.evidence.diverged(found.trajectory.diverged):
                        return False
                    self.results[one.name].append(found)
        return True

    def widest(self, one: Training | str) -> WidthResult:
        """Nets of the largest width."""
        return self.results[one if isinstance(one, str) else one.name][-1]

    def shown(self, name: str) -> tuple[Training, WidthResult] | None:
        """A training and its widest nets, or one of a control that has been run."""
        if name in self.trainings:
            return self.trainings[name], self.widest(name)
        broken = [row.training for row in self.declared.broken_rows]
        found = (one for one in broken if one.name == name and name in self.controlled)
        return next(((one, self.controlled[name]) for one in found), None)

    def measured(self, row: Row) -> Array:
        """A row's number for each of the widest nets, shape (S,)."""
        return row.read(self.widest(row.training).outputs(row.on))

    # ------------------------------------------------------------ what nets may be off by

    @property
    def bounds(self) -> int:
        """Bounds of the run that its risk is shared by: one a row, net and width it looks at."""
        total = len(self.declared.controls)
        for row in self.declared.rows:
            nets = row.training.nets_in(self.nets.count)
            every = nets * len(row.training.widths_in(self.nets.widths))
            total += {"mean": 1, "each": nets}.get(row.nets, every)
        return total

    def confidence(self, bounds: int = 0) -> float:
        """Of each bound, if there are so many besides those of the rows and controls."""
        return 1 - _RISK / (self.bounds + bounds)

    def fit(self, values: Sequence[Array], sizes: Sequence[int] = ()) -> PowerLaw:
        """Power law of positive numbers of each net, in the width from the narrowest on.

        Args:
            values: for each width, shape (S,) each.
            sizes: what it is a power of, if not of the run's widths.
        """
        key = np.random.SeedSequence(self.nets.seed, spawn_key=(BOOTSTRAP_STREAM,))
        known = (sizes or self.nets.widths)[: len(values)]
        return fit_power_law(known, values, rng=np.random.default_rng(key))

    def deviations(self, row: Row) -> list[Array]:
        """Of the nets of each width, in the norm and at the steps of a row, shape (S,) each."""
        return [row.deviation(one.outputs(row.on)) for one in self.results[row.training.name]]

    def bound(self, row: Row, width: int, *, from_all: bool = False) -> float:
        """Bound on the deviation of a net of some width, or on its mean over the nets.

        The narrower widths put it on the nets that the row looks at, and all of them on others.

        Args:
            row: it says in which norm and at which steps, and whether a mean is shown.
            width: m.
            from_all: use the widest nets as well.
        """
        found = self.deviations(row)
        known = found if from_all else found[:-1]
        together = len(found[-1]) if row.nets == "mean" and not from_all else 1
        widths = self.widths_of(row.training)
        if row.norm == SIGNED:
            bound = signed_bound(widths, known, width, self.confidence(), together)
        else:
            bound = self.fit(known, widths).upper(width, self.confidence(), together)
        return bound + self.nets.rounding_allowance(width)

    def sides(self, row: Row, width: int, *, from_all: bool = False) -> tuple[float, float]:
        """What a row may be off by at a width, below and above its prediction."""
        bound = self.bound(row, width, from_all=from_all)
        below, above = _both(bound if row.tolerance is None else row.tolerance(bound))
        return below + row.interpolation, above + row.interpolation

    # ------------------------------------------------------------ rows

    def measure(self, row: Row) -> Measurement:
        """A row, measured."""
        found = self.results[row.training.name]
        looked_at = found if row.nets == "each of every width" else found[-1:]
        entries = []
        for one in looked_at:
            values, sides = row.read(one.outputs(row.on)), self.sides(row, one.width)
            shown = [values.mean()] if row.nets == "mean" else values
            entries += [self._entry(row, float(value), sides, values) for value in shown]
        return min(entries, key=lambda entry: entry.slack)

    def _entry(
        self, row: Row, value: float, sides: tuple[float, float], values: Array
    ) -> Measurement:
        """The row, with one value for the number it shows."""
        predicted = row.predicted
        resolves = _both(row.resolves(self) if callable(row.resolves) else row.resolves)
        side = int(value > predicted)
        # A side that distinguishes nothing leaves the row open, on whichever the value lies.
        for other in (0, 1):
            if sides[other] > resolves[other]:
                side = other
        return Measurement(
            row.title,
            predicted,
            value,
            sides[side],
            (float(values.min()), float(values.max())),
            row.relation,
            resolution=resolves[side],
        )

    def exponent(
        self, title: str, values: Sequence[Array], predicted: float = -0.5, of: str = ""
    ) -> Measurement:
        """Exponent in the width of positive numbers of each net, for each width.

        Scattered nets leave it open: its whole interval has to be near the prediction, where an
        interval in the tolerance would be the wider the less they say.

        Args:
            title: of the row.
            values: of each net, shape (S,), for each width.
            predicted: exponent.
            of: name of the training whose widths they are at, if not the run's.
        """
        law = self.fit(values, self.widths_of(self.trainings[of]) if of else ())
        return Measurement(
            title, predicted, law.exponent, EXPONENT_TOLERANCE, law.interval, whole_interval=True
        )

    def first_step(self, name: str) -> Measurement:
        """Outputs after one step of plain training, along and over their prediction ηHz.

        Students that are trained out have forgotten their learning rate, and their outputs may
        drown it in their deviation; those after one step have not (section 9.5).

        Args:
            name: of a training on labels z that are given, or taught, for the square loss.
        """
        recipe = self.trainings[name].recipe
        every = [
            first_step_ratios(recipe, found.outputs()[:, 1], found.taught)
            for found in self.results[name]
        ]
        ratios = np.array([of_width for of_width, _ in every])
        return first_step_row(self.widths_of(self.trainings[name]), ratios, name, every[0][1])

    def deviation_exponent(self, name: str) -> Measurement:
        """The largest RMS deviation from the infinitely wide net at any step falls like m^{-1/2}.

        Args:
            name: of a training.
        """
        predicted = self.trainings[name].predicted
        off = [NORMS["rms"](one.outputs() - predicted, predicted) for one in self.results[name]]
        title = f"{name}: exponent of sup_t ‖u_m − u_∞‖/√n in m"
        return self.exponent(title, [one.max(axis=1) for one in off], of=name)

    def falls(self, row: Row, title: str) -> Measurement:
        """The deviation at the steps and in the norm of a row falls with the width.

        Args:
            row: of the claim, or like one.
            title: what deviates.
        """
        return falling_row(self.widths_of(row.training), self.deviations(row), title)

    def rounding(self, name: str) -> Iterator[Premise]:
        """Narrow nets of few bits deviate by more than their rounding, seen on the first of them.

        Args:
            name: of a training of the run's nets.
        """
        if self.nets.dtype == "float64":
            return
        one, found = self.trainings[name], self.results[name][0]
        seeds = net_seeds(self.nets.seed, found.width, 1, NETS_STREAM)
        exact = train_nets(one.recipe, found.width, seeds, device=self.nets.device)
        off = NORMS["rms"](found.outputs()[:1] - exact.outputs, one.predicted).max()
        deviation = NORMS["rms"](found.outputs() - one.predicted, one.predicted)
        tenth = float(deviation.max(axis=1).mean()) / 10
        yield Premise(
            "rounding below the deviation",
            float(off),
            bool(off < tenth),
            f"{self.nets.dtype} − float64 < {tenth:.2g}, a tenth of the deviation",
        )

    def falling_rows(self) -> Iterator[Measurement]:
        """Each deviation that sets a tolerance falls with the width.

        Once for each training, norm and set of points: at all steps if some row looks at several.
        """
        chosen: dict[tuple[str, str | None, Any], Row] = {}
        for one in self.declared.rows:
            signed = one.norm == SIGNED
            row = replace(one, norm="rms", at=ALL_STEPS, reduce=np.max) if signed else one
            key = (row.training.name, row.on, row.norm)
            if key not in chosen or isinstance(row.at, slice):
                chosen.setdefault(key, row)
                if isinstance(row.at, slice):
                    chosen[key] = row
        for row in chosen.values():
            norm = (
                row.norm if isinstance(row.norm, str) else getattr(row.norm, "__name__", "own norm")
            )
            where = "" if row.on is None else f", {row.on} points"
            where = ", from its own teacher" if row.on == OWN_TEACHER else where
            name = norm.replace("_", " ").strip()
            yield self.falls(row, f"{row.training.name}{where}, {name}")

    # ------------------------------------------------------------ controls

    def control(self, control: Control) -> Any:
        """Train the nets of a control, and judge it."""
        unmet = None if control.unmet is None else not control.unmet.holds
        if control.measure is not None:
            made = control.measure(self)
            return judged_control(control.id, control.broken_premise, *made, unmet)
        row, width = control.row, control_width(self.nets)
        assert row is not None
        found = self.train(row.training, width, CONTROL_STREAM, self.declared.claim.control_nets)
        self.controlled[row.training.name] = found
        tolerance = self._control_tolerance(row, width)
        assert row.claimed is not None
        # Its nets may deviate more than the claim's do (docs/theory.md, section 10).
        near = max(tolerance, abs(row.claimed - row.predicted) / 4)
        return judged_control(
            control.id,
            control.broken_premise,
            over_nets(row.name, row.predicted, row.read(found.outputs(row.on)), near),
            row.claimed,
            tolerance,
            unmet,
        )

    def _control_tolerance(self, row: Row, width: int) -> float:
        """What control nets may be off by: as nets of any training of the claim at any step.

        Their training is not one of the claim's, whose deviation at the same step may be smaller.
        """
        own = row.like or row
        alike = [
            replace(own, training=one, at=ALL_STEPS, reduce=np.max)
            for one in self.trainings.values()
            if one.widths is None
            and one.shows(own.on)
            and one.kernel_limit == own.training.kernel_limit
            and one.recipe.loss == row.training.recipe.loss
        ]
        return max(max(self.sides(one, width, from_all=True)) for one in alike)

    # ------------------------------------------------------------ what is kept

    def metrics(self) -> Iterator[dict[str, Any]]:
        """One row for each trained net."""
        for name, found in self.results.items():
            points = self.trainings[name].points
            for one in found:
                made = one.trajectory.steps.size
                error = rms_error(one.outputs(), points)
                off = NORMS["rms"](one.outputs() - points.predicted[:made], points.predicted[:made])
                margin = margins(one.outputs()[:, -1], points)
                for net in range(len(error)):
                    yield {
                        "training": name,
                        "width": one.width,
                        "net": net,
                        "steps": int(one.trajectory.steps[-1]),
                        "final_rms_error": float(error[net, -1]),
                        "best_rms_error": float(error[net].min()),
                        "largest_deviation": float(off[net].max()),
                        "final_deviation": float(off[net, -1]),
                        "margin": float(margin[net].min()),
                        "zero_one_error": float((margin[net] <= 0).mean()),
                        "movement": float(one.trajectory.movement[net]),
                        "distance": float(one.trajectory.distance[net]),
                        "flipped_activations": float(one.trajectory.flipped_activations[net]),
                        **{key: float(values[net]) for key, values in one.inspected.items()},
                    }

    def arrays(self) -> dict[str, Any]:
        """What pictures draw, and what the claim keeps besides."""
        kept: dict[str, Any] = {"widths": np.array(self.nets.widths)}
        for panel in self.declared.claim.panels.values():
            if hasattr(panel, "arrays"):
                kept |= panel.arrays(self)
        more = self.declared.claim.part("arrays")
        return kept if more is None else kept | dict(more(self))

    def finding(self) -> str:
        """What was found, in a sentence."""
        own = self.declared.claim.part("finding")
        if own is not None:
            return str(own(self))
        listed = "; ".join(
            f"{row.title} {self.measured(row).mean():.4g}, "
            f"{'predicted' if row.relation is Relation.EQUAL else row.relation.value} "
            f"{row.predicted:.4g}"
            for row in [row for row in self.declared.rows if row.tell] or self.declared.rows[:3]
        )
        return f"{self.nets.count} nets of width {self.nets.widths[-1]}: {listed}"


def _unmoved(outputs: Array) -> Trajectory:
    """Outputs of nets that were not trained."""
    count, steps = outputs.shape[:2]
    zeros = np.zeros(count)
    weights = np.ones((count, steps - 1))
    return Trajectory(np.arange(steps), outputs, weights, None, zeros, zeros, zeros)


def _both(sides: float | tuple[float, float]) -> tuple[float, float]:
    return sides if isinstance(sides, tuple) else (sides, sides)


# ---------------------------------------------------------------- kernel limits


@dataclass(frozen=True)
class _Limit:
    """The infinitely wide net of one training, run on the measured kernel."""

    training: Training

    @cached_property
    def gram(self) -> Array:
        return np.asarray(
            kernels.ntk_limit(self.training.recipe.inputs, layers=self.training.recipe.layers)
        )

    @cached_property
    def outputs(self) -> Array:
        """At the recorded steps."""
        simulate = self.training.simulate
        return self.training.recipe.kernel_limit() if simulate is None else simulate(None, 0)

    @cached_property
    def rounding(self) -> float:
        """Rounding of a product with H, n eps λ_max, over the steps that the slowest mode keeps.

        Those are 1/(ηλ_min), and no more than the run has.
        """
        bottom, top = spectrum.eigendecomposition(self.gram).eigenvalues[[0, -1]]
        rate = float(np.max(self.training.recipe.learning_rate))
        remembered = 1 / (rate * bottom) if bottom > 0 else math.inf
        steps = max(1.0, min(self.training.recipe.steps, remembered))
        return float(len(self.gram) * _EPS * max(rate * top, 1.0) * steps)

    @property
    def gap(self) -> tuple[float, float]:
        """Largest distance of the outputs from the closed form, and what rounding allows."""
        return float(np.abs(self.outputs - self.training.predicted).max()), self.rounding

    def held_out(self) -> Iterator[tuple[float, float]]:
        """The same on other points: k(x, X) H^{-1} u, which divides rounding by λ_min once more."""
        if not self.training.held_out:
            return
        least = float(spectrum.eigendecomposition(self.gram).eigenvalues[0])
        solved = np.linalg.solve(self.gram, self.outputs[-1])
        for points in self.training.held_out.values():
            kernel = kernels.ntk_limit(points.inputs, self.training.recipe.inputs)
            off = np.abs(kernel @ solved - points.points.predicted[0]).max()
            yield float(off), self.rounding * len(self.gram) / (2 * least)


def _worst(name: str, gaps: Sequence[tuple[float, float]]) -> Iterator[Measurement]:
    """The gap that is largest in units of its own rounding; NaN is larger than any."""
    if gaps:
        gap, allowed = max(
            gaps, key=lambda one: math.inf if math.isnan(one[0]) else one[0] / one[1]
        )
        yield Measurement(name, 0.0, gap, allowed, kind="formula")


def _kernel_limit_rows(declared: Declaration) -> Iterator[Measurement]:
    """Closed forms of trainings, controls and rows, before any net is trained."""
    own = [_Limit(one) for one in declared.trainings.values() if one.kernel_limit]
    broken = {id(row.training): row.training for row in declared.broken_rows}
    of_controls = [_Limit(one) for one in broken.values() if one.kernel_limit]
    yield from _worst("kernel limit: outputs − closed form, largest", [one.gap for one in own])
    yield from _worst(
        "kernel limit on held-out points: outputs − closed form, largest",
        [gap for one in own for gap in one.held_out()],
    )
    yield from _worst(
        "kernel limit of the controls: outputs − closed form, largest",
        [gap for one in of_controls for gap in (one.gap, *one.held_out())],
    )
    yield from _worst(
        "rows: closed form − functional of the predicted outputs, largest",
        [
            _formula_gap(row, row.expect)
            for row in (*declared.rows, *declared.broken_rows)
            if row.expect is not None
        ],
    )
    for found in declared.claim.made("closed_forms", declared.problem):
        yield replace(found, kind="formula")


def _formula_gap(row: Row, expect: float) -> tuple[float, float]:
    """How far a row's closed form is from the functional of the predicted outputs."""
    return abs(expect - row.of_predicted), _NINE_DIGITS * max(1.0, abs(expect)) + row.interpolation


# ---------------------------------------------------------------- the run


def _scatter_premise(one: Training, outputs: Array) -> Premise:
    """Nets learn from right predictions as long as they scatter less than the predicted margin.

    Scatter about their own mean is what a larger width takes away. The distance of that mean from
    the prediction is left to the rows: sharing a bias violates no premise.

    Args:
        one: a training in which predictions teach.
        outputs: of the narrowest nets, shape (S, k, n).
    """
    scatter = np.abs(outputs - outputs.mean(axis=0))
    scatter = scatter.reshape(*scatter.shape[:2], -1).max(axis=2)
    predicted = margins(one.predicted, one.points).min(axis=-1)
    spare = float((predicted - scatter)[:, one.signs_from :].min())
    return Premise(
        f"{one.name}: margin above the scatter of the narrowest nets",
        spare,
        spare > 0,
        f"predicted margin − largest distance of an output to the nets' mean > 0 from step "
        f"{one.signs_from} on",
    )


def _predicted_signs_premise(one: Training, outputs: Array) -> Premise:
    """Nets have the predicted signs, right or wrong, if they scatter less than the outputs' size.

    Args:
        one: a training with steps whose signs are predicted.
        outputs: of the narrowest nets, shape (S, k, n).
    """
    steps = list(one.signs_at)
    scatter = np.abs(outputs - outputs.mean(axis=0))[:, steps].max()
    spare = float(np.abs(margins(one.predicted, one.points)[steps]).min() - scatter)
    return Premise(
        f"{one.name}: signs beyond the scatter of the narrowest nets",
        spare,
        spare > 0,
        "least predicted size of a margin − largest distance of an output to the nets' mean > 0 at "
        f"step {', '.join(map(str, steps))}",
    )


def _work(declared: Declaration) -> float:
    """Neuron-steps of the whole run, controls included."""
    nets = declared.nets
    own = sum(
        sum(one.widths_in(nets.widths)) * one.recipe.steps * one.nets_in(nets.count)
        for one in declared.trainings.values()
    )
    controls = [row.training for row in declared.broken_rows]
    teachers = {id(one.taught.by): one.taught.by for one in controls if one.taught is not None}
    broken = sum(one.recipe.steps for one in (*controls, *teachers.values()))
    more = sum(declared.claim.made("work", declared))
    return float(own + control_width(nets) * declared.claim.control_nets * broken + more)


def _gather(run: Run, evidence: Evidence) -> str:
    declared, run.evidence = run.declared, evidence
    evidence.premises += declared.premises
    if not evidence.premises_hold:
        return ""
    evidence.measurements += _kernel_limit_rows(declared)
    if any(row.holds is not True for row in evidence.measurements):
        return ""  # a wrong formula costs no net
    run.progress.start(declared.claim.id, _work(declared))
    try:
        finite = run.climb()
    finally:  # of an interrupted run, too
        evidence.metrics += run.metrics()
    if not finite:
        return ""
    for one in declared.trainings.values():
        if one.signs_from is not None:
            evidence.premises.append(_scatter_premise(one, run.results[one.name][0].outputs()))
        if one.signs_at:
            narrowest = run.results[one.name][0].outputs()
            evidence.premises.append(_predicted_signs_premise(one, narrowest))
    evidence.measurements += [run.measure(row) for row in declared.rows]
    measure = declared.claim.part("measure")
    for found in (measure and measure(run)) or ():  # one by one: it may look at the others
        if isinstance(found, Premise):
            evidence.premises.append(found)
        elif isinstance(found, Measurement):
            evidence.measurements.append(found)
        else:
            raise DeclarationError(
                f"measure of {declared.claim.id} must yield Measurements or Premises; got "
                f"{type(found).__name__}"
            )
    evidence.measurements += run.falling_rows()
    evidence.arrays |= run.arrays()
    if evidence.sound:
        evidence.progress_note = "at the controls"
        for control in declared.controls:
            evidence.controls.append(run.control(control))
        evidence.arrays |= run.arrays()  # again, as pictures may show controls
    return run.finding()


def run_claim(claim: Claim, options: Options, progress: Progress) -> ClaimResult:
    """Check a claim."""
    declared = declare(claim, options)
    return conduct(
        claim,
        options,
        declared.config,
        lambda evidence: _gather(Run(declared, progress), evidence),
        [control.id for control in declared.controls],
    )
