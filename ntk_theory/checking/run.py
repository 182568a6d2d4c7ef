"""Nets of a run, and what is read off them: rows, tolerances, controls, what is kept."""

from __future__ import annotations

__all__ = ["Run"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from ntk_theory.checking.declaration import Declaration
from ntk_theory.checking.evidence import (
    EXPONENT_TOLERANCE,
    RISKS,
    Evidence,
    falling_row,
    judged_control,
    over_nets,
)
from ntk_theory.checking.fitting import PowerLaw, fit_power_law, signed_bound
from ntk_theory.checking.ladder import NetPlan
from ntk_theory.checking.laws import TrainingLaw, known_law, law_of
from ntk_theory.checking.nets import WidthResult, train_nets, train_students
from ntk_theory.checking.planting import Planted, check_planted, in_outputs, in_recipe
from ntk_theory.checking.rows import (
    ALL_STEPS,
    NORMS,
    OWN,
    OWN_TEACHER,
    SIGNED,
    Control,
    Row,
    Sides,
    Training,
)
from ntk_theory.checking.scores import LEARNING_RATE, Estimate, estimates
from ntk_theory.checking.sweep import BOOTSTRAP_STREAM, CONTROL_STREAM, NETS_STREAM, net_seeds
from ntk_theory.checking.verdicts import Measurement, Premise, Progress, Relation
from ntk_theory.machine import jobs

Array = NDArray[np.float64]

_RISK, _DECISIVE_RISK = RISKS

_PARAMETERS = 3
"""That outputs are estimates of, at most."""

_CONTROL_DRAWS = 60
"""Nets drawn from the law of a control, where a rough one will do."""


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
        planted: a parameter of theory and a relative error, by which the nets of the claim, but
            not of its controls, have another one.
    """

    declared: Declaration
    progress: Progress
    evidence: Evidence = field(default_factory=Evidence)
    results: dict[str, list[WidthResult]] = field(default_factory=dict)
    controlled: dict[str, WidthResult] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    planted: Planted | None = None
    _trained: dict[tuple[int, int, int], WidthResult] = field(default_factory=dict)
    _laws: dict[int, TrainingLaw] = field(default_factory=dict)
    _in_float64: dict[str, Array] = field(default_factory=dict)
    _drawn: dict[tuple[Row, int], tuple[float, Array, int]] = field(default_factory=dict)

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
        seeds = net_seeds(seed, width, count, stream + one.nets_stream)
        if one.simulate is not None:
            outputs = np.stack([one.simulate(width, net) for net in seeds])
            self.progress.advance(one.recipe.steps * width * count)
            return WidthResult.unmoved(width, outputs)
        how: dict[str, Any] = {
            "dtype": self.nets.dtype,
            "device": self.nets.device,
            "progress": self.progress,
            "keep_network": bool(one.held_out) or one.inspect is not None,
        }
        recipe = in_recipe(one.recipe, self.planted if stream == NETS_STREAM else None)
        taught = None
        if one.taught is None:
            trajectory = train_nets(recipe, width, seeds, **how)
        else:
            teachers = self._teachers(one.taught.by, width, stream, count)
            taught = one.taught.lesson(teachers.outputs())
            trajectory = train_students(recipe, width, taught, seeds, **how)
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

    def planting(self, parameter: str, error: float) -> Run:
        """This run once more, after it has trained its nets, with an error that is planted.

        It shares the laws with this one, and the nets where the error is planted in their outputs.
        """
        nets = {} if parameter == LEARNING_RATE else self.results
        return Run(
            self.declared, self.progress, results=nets, planted=(parameter, error), _laws=self._laws
        )

    def climb(self) -> bool:
        """Have nets of all widths in all ways; says whether they all stayed finite."""
        if self.planted is not None:
            check_planted(self.planted, self.trainings)
            if self.measures_rounding:
                raise ValueError("planted: errors are planted in nets of float64 only")
        if not (self.results or self._train_all()):
            return False
        self.results = in_outputs(self.planted, self.trainings, self.results, self.law)
        return True

    def _train_all(self) -> bool:
        """The same, of nets that have not been trained."""
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
                        *(one, width, NETS_STREAM, one.nets_in(self.nets.count)),
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
        return total + _PARAMETERS * len(self._estimating)

    def confidence(self, bounds: int = 0, risk: float = _RISK) -> float:
        """Of each bound, if there are so many besides those of the rows and controls."""
        return 1 - risk / (self.bounds + bounds)

    def estimate(
        self,
        title: str,
        predicted: float,
        values: ArrayLike,
        errors: Sequence[tuple[float, float]] = (),
        *,
        rows: int,
        more: float = 0.0,
        resolution: float = math.inf,
    ) -> Measurement:
        """A mean that a claim takes by itself, with what chance may do to it, at both risks.

        Args:
            title: of the row.
            predicted: closed form, or a mean of draws.
            values: one a net, or the estimate alone.
            errors: standard errors of all that is random, and their degrees of freedom; that of the
                values alone when left out.
            rows: how many of this kind the claim has.
            more: what else it may be off by.
            resolution: the largest tolerance that still tells success from failure.

        Reference: docs/theory.md, section 11.
        """
        if not errors:
            own = np.asarray(values, dtype=float)
            errors = [(float(own.std(ddof=1)) / math.sqrt(own.size), own.size - 1)]
        squares = [error**2 for error, _ in errors]
        # Of the sum of squares: Welch and Satterthwaite; of numbers that do not scatter, any.
        fourth = sum(error**4 / free for error, free in errors)
        free = sum(squares) ** 2 / fourth if fourth > 0 else 1.0
        tolerance, decisive = (
            stdtrit(free, (1 + self.confidence(rows, risk)) / 2) * math.sqrt(sum(squares)) + more
            for risk in RISKS
        )
        entry = over_nets(title, predicted, values, tolerance, resolution, decisive=decisive)
        if np.size(values) > 1:
            return entry
        return replace(entry, interval=(entry.measured - tolerance, entry.measured + tolerance))

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

    def bound(self, row: Row, width: int, *, from_all: bool = False, risk: float = _RISK) -> float:
        """Bound on the deviation of a net of some width, or on its mean over the nets.

        The narrower widths put it on the nets that the row looks at, and all of them on others.

        Args:
            row: it says in which norm and at which steps, and whether a mean is shown.
            width: m.
            from_all: use the widest nets as well.
            risk: of the whole run.
        """
        found, confidence = self.deviations(row), self.confidence(risk=risk)
        known = found if from_all else found[:-1]
        together = len(found[-1]) if row.nets == "mean" and not from_all else 1
        widths = self.widths_of(row.training)
        if row.norm == SIGNED:
            bound = signed_bound(widths, known, width, confidence, together)
        else:
            bound = self.fit(known, widths).upper(width, confidence, together)
        return bound + self.nets.rounding_allowance(width)

    @property
    def measures_rounding(self) -> bool:
        """Whether tolerances have the rounding of nets that have few bits by default."""
        return "float64" not in (self.nets.dtype, self.declared.claim.precisions[0])

    def _exact(self, name: str, progress: Progress | None = None) -> Array:
        """Outputs of the first of the narrowest nets of a training, trained in float64."""
        if name not in self._in_float64:
            recipe, width = self.trainings[name].recipe, self.results[name][0].width
            seeds = net_seeds(self.nets.seed, width, 1, NETS_STREAM)
            made = train_nets(recipe, width, seeds, device=self.nets.device, progress=progress)
            self._in_float64[name] = made.outputs
        return self._in_float64[name]

    def rounding_error(self, row: Row, width: int) -> float:
        """Rounding at any step in the norm of a row, seen on a narrow net of the first training.

        Outputs are sums over neurons, whose rounding grows like the root of the width at most.
        """
        if not self.measures_rounding:
            return 0.0
        name, one = next(iter(self.trainings.items()))
        exact = replace(one, predicted=self._exact(name, self.progress)[0])
        norm = OWN if row.norm == SIGNED or self.by_law(row) else row.norm
        ever = replace(row, training=exact, norm=norm, at=ALL_STEPS, reduce=np.max)
        found = self.results[name][0]
        return float(ever.deviation(found.outputs()[:1])[0]) * math.sqrt(width / found.width)

    def sides(self, row: Row, width: int, *, rounded: bool = True, risk: float = _RISK) -> Sides:
        """What a row may be off by at a width, below and above its prediction.

        Args:
            row: of the claim, or like one.
            width: m.
            rounded: add the rounding that was measured.
            risk: of the whole run.
        """
        rounding = self.rounding_error(row, width) if rounded else 0.0
        if not self.by_law(row):
            return self._fitted_sides(row, self.bound(row, width, risk=risk) + rounding)
        low, high = self.law_sides(row, width, risk=risk)
        return low + rounding, high + rounding

    def _fitted_sides(self, row: Row, bound: float) -> Sides:
        """What follows for a row from a bound on the deviation."""
        below, above = _both(bound if row.tolerance is None else row.tolerance(bound))
        return below + row.interpolation, above + row.interpolation

    def by_law(self, row: Row) -> bool:
        """Whether the tolerance of a row is that of the law of finite width, and of no net."""
        return row.tolerance is None and known_law(row.training, row.on)

    def foresee(self) -> None:
        """Draw the laws of all rows that take their tolerance from one, before a net is trained."""
        for row in self.declared.rows:
            if self.by_law(row):
                self.law(row.training)

    def law(self, one: Training, count: int | None = None) -> TrainingLaw:
        """The law of finite width of a training, declared for the claim or for a control."""
        if id(one) not in self._laws:
            seed = self.nets.seed if one.seed is None else one.seed
            near = 64 if count is None else count // 4
            self._laws[id(one)] = law_of(one, seed, count=count, draws=near)
        return self._laws[id(one)]

    def law_sides(
        self, row: Row, width: int, count: int | None = None, risk: float = _RISK
    ) -> Sides:
        """What the law of finite width lets the number of a row be off by, below and above.

        Nets that are drawn from it give mean and standard deviation of the number. What the law
        leaves out is of order 1/m, and the narrowest nets bound it (9.6).

        Args:
            row: on a training that has a law.
            width: m.
            count: how many nets are drawn, if not as many as for a row of the claim.
            risk: of the whole run.
        """
        nets, limit = row.training.nets_in(self.nets.count), row.of_predicted
        confidence = self.confidence(risk=risk)

        def of_nets(width: int, nets: int) -> tuple[float, Array]:
            """What the number is off by in the mean, and how far below and above that it may be."""
            mean, spread, drawn = self._of_law(row, width, count)
            quantile = stdtrit(drawn - 1, (1 + confidence) / 2)
            return mean - limit, quantile * spread * math.sqrt(1 / nets + 1 / drawn)

        off, room = of_nets(width, nets if row.nets == "mean" else 1)
        narrowest = next(iter(self.results.get(row.training.name, ())), None)
        if narrowest is not None and narrowest.width < width:
            seen = float(row.read(narrowest.outputs(row.on)).mean()) - limit
            room = _with_left_out(room, seen, *of_nets(narrowest.width, nets),
                                  narrowest.width / width)  # fmt: skip
        below, above = room + self.nets.rounding_allowance(width)
        more = row.jumps + row.interpolation
        return max(below - off, 0.0) + more, max(above + off, 0.0) + more

    def _of_law(self, row: Row, width: int, count: int | None) -> tuple[float, Array, int]:
        """Mean of a row's number over nets drawn from the law, deviations, how many nets."""
        if (row, width) not in self._drawn:
            values = row.read(self.law(row.training, count).outputs(width, row.on))
            off = values - values.mean()
            # A least or a largest number is skewed.
            parts = np.minimum(off, 0), np.maximum(off, 0)
            spread = np.sqrt([2 * np.square(part).mean() for part in parts])
            self._drawn[row, width] = float(values.mean()), spread, len(values)
        return self._drawn[row, width]

    # ------------------------------------------------------------ what it would notice

    @cached_property
    def _estimating(self) -> list[Training]:
        """Trainings whose nets show parameters of theory: those that rows look at, by their law."""
        known = [
            one
            for one in self.trainings.values()
            if known_law(one) and len(self.widths_of(one)) > 1
        ]
        looked_at = {id(row.training) for row in self.declared.rows if self.by_law(row)}
        return [one for one in known if id(one) in looked_at] or known

    def parameters(self) -> Iterator[Measurement]:
        """Each parameter as the outputs show it, of the training that is farthest off.

        How wrong it may be unnoticed goes to the evidence, for the training that is sharpest.
        """
        found: dict[str, list[Measurement]] = {}
        notices = self.evidence.notices
        for one in self._estimating:
            narrow, wide = self.results[one.name][0], self.widest(one)
            nets, share = len(wide.outputs()), narrow.width / wide.width
            for shown in estimates(self.law(one), wide.width, nets):
                values, seen = (shown.read(made.outputs(), made.width) for made in (wide, narrow))
                within, decisive = (
                    self._reach_of(shown, (narrow.width, wide.width), nets, seen, risk)
                    for risk in RISKS
                )
                title = f"{one.name}: {shown.parameter} that outputs show, over that of theory"
                entry = replace(over_nets(title, 1.0, values, within),
                                decisive=decisive, source="law")  # fmt: skip
                found.setdefault(shown.parameter, []).append(entry)
                if 2 * share < 1:
                    # The error is seen in the narrowest nets, too, and widens what is left out.
                    least = (decisive + shown.scatter(wide.width, nets)) / (1 - 2 * share)
                    notices[shown.parameter] = min(least, notices.get(shown.parameter, math.inf))
        for entries in found.values():
            yield min(entries, key=lambda one: (one.holds is not False, one.slack / one.tolerance))

    def _reach_of(
        self, shown: Estimate, widths: tuple[int, int], nets: int, seen: Array, risk: float
    ) -> float:
        """What the mean of the widest nets may be off by, as the narrowest have shown so much."""
        narrow, wide = (shown.reach(m, nets, self.confidence(risk=risk)) for m in widths)
        off = float(seen.mean()) - 1
        room = _with_left_out(wide, off, 0.0, narrow, widths[0] / widths[1])
        return float(room) + self.nets.rounding_allowance(widths[1])

    # ------------------------------------------------------------ rows

    def measure(self, row: Row) -> Measurement:
        """A row, measured."""
        found = self.results[row.training.name]
        looked_at = found if row.nets == "each of every width" else found[-1:]
        entries = []
        for one in looked_at:
            values, sides = row.read(one.outputs(row.on)), self.sides(row, one.width)
            decisive = self.sides(row, one.width, risk=_DECISIVE_RISK)
            shown = [values.mean()] if row.nets == "mean" else values
            resolves = _both(row.resolves(self) if callable(row.resolves) else row.resolves)
            if self.measures_rounding:  # which may take no more than the width does
                own = self.sides(row, one.width, rounded=False)
                resolves = min(resolves[0], 2 * own[0]), min(resolves[1], 2 * own[1])
            entries += [
                _entry(row, float(value), sides, resolves, values, decisive) for value in shown
            ]
        least = min(entries, key=lambda entry: entry.slack)
        return replace(least, source="law" if self.by_law(row) else "fitted")

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
        off = NORMS["rms"](found.outputs()[:1] - self._exact(name), one.predicted).max()
        deviation = NORMS["rms"](found.outputs() - one.predicted, one.predicted)
        tenth = float(deviation.max(axis=1).mean()) / 10
        yield Premise(
            "rounding below the deviation",
            float(off),
            bool(off < tenth),
            f"{self.nets.dtype} − float64 < {tenth:.2g}, a tenth of the deviation",
        )

    def falling_rows(self) -> Iterator[Measurement]:
        """Deviations that set the tolerances of declared rows fall with the width.

        Once for each training, norm and set of points: at all steps if some row looks at several,
        else at those of the first. Rows by the law of finite width need none.
        """
        chosen: dict[tuple[str, str | None, Any], Row] = {}
        for one in self.declared.rows:
            if known_law(one.training, one.on):
                continue  # no net sets a tolerance
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
        row, width = control.row, self.nets.control_width
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
        """What control nets may be off by: what their own law says of one net.

        Without a law, as nets of any training of the claim at any step: theirs is not one of the
        claim's, whose deviation at the same step may be smaller.
        """
        if self.by_law(row):
            return max(self.law_sides(replace(row, nets="each"), width, _CONTROL_DRAWS))
        own = row.like or row
        alike = [
            replace(own, training=one, at=ALL_STEPS, reduce=np.max)
            for one in self.trainings.values()
            if one.widths is None
            and one.shows(own.on)
            and one.kernel_limit == own.training.kernel_limit
            and one.recipe.loss == row.training.recipe.loss
        ]
        off = [self.bound(one, width, from_all=True) + self.rounding_error(one, width)
               for one in alike]  # fmt: skip
        return max(max(self._fitted_sides(one, by)) for one, by in zip(alike, off, strict=True))

    # ------------------------------------------------------------ what is kept

    def metrics(self) -> Iterator[dict[str, Any]]:
        """One row for each trained net."""
        for name, found in self.results.items():
            for one in found:
                yield from one.metrics(self.trainings[name])

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


def _both(sides: float | Sides) -> Sides:
    return sides if isinstance(sides, tuple) else (sides, sides)


def _with_left_out(
    room: float | Array, seen: float, off: float, reach: float | Array, share: float
) -> Array:
    """What nets may be off by with what the law leaves out, of order 1/m: the narrowest ones say.

    Twice what they show is allowed for, as at their width it need not go like 1/m yet.

    Args:
        room: to leading order, about the law's mean.
        seen: what the narrowest nets are off by in the mean.
        off: what the law's mean is off by at their width.
        reach: what their mean may be off from that.
        share: their width over that of the others.
    """
    return np.asarray(2 * abs(seen - off) * share + np.hypot(room, 2 * np.multiply(reach, share)))


def _entry(
    row: Row, value: float, sides: Sides, resolves: Sides, values: Array, decisive: Sides
) -> Measurement:
    """A row, with one value for the number it shows."""
    predicted = row.predicted
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
        decisive=decisive[side],
    )
