"""Families of data without the symmetry of the exact design: nets beside the kernel limit.

A task is a data set of a family with fresh points of it (docs/theory.md, section 7.10).
"""

from __future__ import annotations

__all__ = [
    "COUNTEREXAMPLE", "EVERY", "FAMILIES", "GRID", "SWEEP_RATES", "Comparison", "Family", "Fresh",
    "Task", "controls", "draw_task", "limits", "measured", "rows", "tasks_of", "work",
]  # fmt: skip

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ntk_theory as nt
from ntk_theory.checking.evidence import over_nets
from ntk_theory.checking.verdicts import Relation

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.checking.ladder import NetPlan
    from ntk_theory.together import Job

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Family:
    """A way to draw `points` training and `fresh` points of each group, g of the class g mod C.

    Gaussian clusters have a radius; of a power law, whose groups are the signs of the top
    coordinate, `shape` is the exponent. `draws` says how many times as many data sets the sign of
    its lead takes: more, where that is small.
    """

    name: str
    kind: Literal["gaussian", "power"]
    groups: int
    points: int
    classes: int
    dimension: int
    shape: float
    noise_rate: float = 0.4
    draws: int = 1
    fresh: int = 60


FAMILIES = (
    Family("Gaussian clusters", "gaussian", 8, 15, 4, 8, 0.6),
    Family("overlapping clusters", "gaussian", 8, 15, 4, 8, 1.2, draws=2),
    Family("power law", "power", 2, 60, 2, 20, 1.0),
    Family("power law of exponent 2", "power", 2, 60, 2, 20, 2.0),
)
FIRST, COUNTEREXAMPLE = FAMILIES[0], FAMILIES[3]
"""The one that is ahead of every stopping time; and the one whose spectrum separates information
from noise, and yet stopping is ahead, on which no net is trained."""

GRID, EVERY = 46, 3
"""Stopping times that the oracle chooses from, in equal ratios from 1 to the last step; and which
of them the nets are stopped at, the last included."""

SWEEP_RATES, SWEEP_TRAINED = (0, 2, 3, 4, 5, 6, 7, 8), (3, 8)
"""Wrong labels of 15 in a Gaussian cluster; and those at which nets are trained, besides 6."""

_DATASETS, _SIGNED, _OVER_RATES = 48, 12, 4
"""For every net of a width: data sets of a family in the kernel limit, nets that sign the lead over
the best stopping time, each on a data set of its own, and data sets with other noise rates.

On Gaussian clusters nets lead by 0.020, with a standard deviation of 0.025 over data sets (measured
on 96): an interval of 99 % is above 0 with 48 nets in all runs but one in a thousand.
"""

_CONTROL_STREAM, _DATA_STREAM, _NET_STREAM, _SIGNED_STREAM, _SWEEP_STREAM = 1, 4, 5, 8, 9

_STEPS = 150
"""About as many as a net takes on a family, for the progress bar."""

_ACCURACY, _MEMORISED, _BEST = np.array([[-1, 0, 0], [-1, 0, 1], [-1, 1, 0]])
"""What makes an accuracy and two leads of three test errors, besides the 1 of an accuracy."""


# ---------------------------------------------------------------- data sets


class Fresh(NamedTuple):
    """Outputs on fresh points: of self-distillation (k, ...) and plain training (G, k, ...)."""

    distilled: Array
    plain: Array

    @property
    def coarse(self) -> Fresh:
        """The same at the stopping times of the nets."""
        return Fresh(self.distilled, self.plain[::EVERY])


@dataclass(frozen=True)
class Task:
    """Training data, and fresh points of the same law with their classes."""

    family: Family
    dataset: nt.data.Dataset
    fresh_inputs: Array
    fresh_classes: NDArray[np.int64]

    @cached_property
    def spectrum(self) -> tuple[Array, Array]:
        """Eigenvalues of the kernel of the training points, ascending, and eigenvectors."""
        import torch

        values, vectors = torch.linalg.eigh(
            torch.from_numpy(nt.kernels.ntk_limit(self.dataset.inputs))
        )
        return values.numpy(), vectors.numpy()

    @property
    def steps(self) -> int:
        """Steps at η = 1/λ_max in which half of the modes are retrieved up to e^{-1.5}, or more."""
        values, _ = self.spectrum
        return math.ceil(1.5 * float(values[-1] / np.median(values)))

    def job(
        self, stops: Sequence[int] = (), burn_in: int = 0, observed: Array | None = None
    ) -> Job:
        """Self-distillation read at its end, or plain training read where it is stopped.

        Burn-in and decay take as long as the K-th mode, the last of the information, takes to be
        retrieved up to e^{-0.75}.

        Args:
            stops: of plain training.
            burn_in: in place of its own; the run takes half as many steps again.
            observed: labels in place of its own.
        """
        from ntk_theory.together import Job

        top, last = self.spectrum[0][[-1, -self.family.groups]].tolist()
        time = 0.75 * top / last
        schedule = nt.targets.BurnIn(burn_in or max(1, round(time)), nt.targets.Power(time))
        return Job(
            self.dataset.inputs,
            self.dataset.observed if observed is None else observed,
            nt.targets.PLAIN if stops else nt.targets.Distillation(schedule),
            1 / top,
            self.fresh_inputs,
            stops or [3 * burn_in // 2 or self.steps],
        )

    def jobs(self, every: int = EVERY) -> tuple[Job, Job]:
        """Self-distillation and plain training; its stopping times are the nets', or all."""
        grid = [round(float(step)) for step in np.geomspace(1, self.steps, GRID)]
        return self.job(), self.job(grid[::every])

    @property
    def information_ratio(self) -> float:
        """Squared generalisation measure of isotropic noise over that of the clean labels."""
        values, vectors = self.spectrum
        clean = np.asarray(self.dataset.clean, dtype=float).reshape(len(values), -1)
        energy = np.square(vectors.T @ (clean - clean.mean(axis=0))).sum(axis=1)
        return float((1 / values).mean() / ((energy / values).sum() / energy.sum()))

    def wrong(self, outputs: ArrayLike) -> NDArray[np.bool_]:
        """Which fresh points are predicted wrong, shape (..., k), of (..., k) or (..., k, C)."""
        values = np.asarray(outputs)
        two = self.family.classes == 2
        predicted = np.where(values > 0, 0, 1) if two else values.argmax(axis=-1)
        return np.asarray(predicted != self.fresh_classes)

    def errors(self, fresh: Fresh) -> Array:
        """Test error of self-distillation, at the best stopping time, and memorised, shape (3,)."""
        plain = self.wrong(fresh.plain).mean(axis=-1)
        return np.array([self.wrong(fresh.distilled).mean(), plain.min(), plain[-1]])

    def lead_over_validated(self, fresh: Fresh) -> float:
        """Lead in accuracy over the stopping time that is best on other fresh points.

        The best on the points that it is read on is too good. Here every other point chooses the
        time for the rest, and the rest for them.
        """
        wrong = self.wrong(fresh.plain)
        halves = wrong[:, ::2], wrong[:, 1::2]
        stopped = [read[choose.mean(axis=1).argmin()].mean()
                   for choose, read in (halves, halves[::-1])]  # fmt: skip
        return float(np.mean(stopped) - self.wrong(fresh.distilled).mean())


def draw_task(family: Family, seed: np.random.SeedSequence) -> Task:
    """Draw points, and wrong labels for those that are trained on."""
    rng, groups, shape = np.random.default_rng(seed), family.groups, family.shape
    size = family.points + family.fresh
    if family.kind == "gaussian":
        design = nt.data.gaussian_clusters(groups, size, family.dimension, radius=shape, rng=rng)
    else:
        design = nt.data.power_law(groups * size, family.dimension, exponent=shape, rng=rng)
    chosen, left = np.zeros(len(design.inputs), dtype=bool), groups * family.points
    for group in range(groups):
        members = np.flatnonzero(design.groups == group)
        # A power law has nearly, not exactly, as many points on either side.
        share = round(family.points * len(members) / size) if group < groups - 1 else left
        chosen[rng.choice(members, share, replace=False)] = True
        left -= share
    points = nt.data.Design(design.name, design.inputs[chosen], design.groups[chosen])
    dataset = nt.data.noisy_labels(
        points, noise_rate=family.noise_rate, classes=family.classes, rng=rng
    )
    return Task(family, dataset, design.inputs[~chosen], design.groups[~chosen] % family.classes)


def tasks_of(nets: NetPlan, family: Family, count: int = 0, **changes: Any) -> list[Task]:
    """Data sets of a family, each with its own points and noise.

    Args:
        nets: seed, and how many nets there are.
        family: one of those above.
        count: how many of the data sets; all when left out.
        changes: of the family; its points are the same at another noise rate.
    """
    from ntk_theory.together import in_threads

    root = np.random.SeedSequence(nets.seed, spawn_key=(_DATA_STREAM, FAMILIES.index(family)))
    seeds = root.spawn(count or _DATASETS * _count(nets) * family.draws)
    tasks = [draw_task(replace(family, **changes), seed) for seed in seeds]
    in_threads(lambda task: task.spectrum, tasks)  # which is kept
    return tasks


# ---------------------------------------------------------------- nets and kernel limits


def _count(nets: NetPlan) -> int:
    """Nets of each width on a family: a third of those on clusters, and at least 3."""
    return max(3, nets.count // 3)


def _widths(nets: NetPlan) -> tuple[int, ...]:
    """Up to a quarter of those on clusters; nets that are many have the last but one."""
    return tuple(2 * (max(64, nets.widths[-1] // 4) // (2 * part)) for part in (8, 4, 2, 1))


def limits(tasks: Sequence[Task]) -> list[Fresh]:
    """Fresh outputs of the infinitely wide net on each task, at all stopping times."""
    from ntk_theory.together import kernel_limits

    ends, plain = (kernel_limits([task.jobs(1)[way] for task in tasks]) for way in (0, 1))
    return [Fresh(end, stopped) for (end,), stopped in zip(ends, plain, strict=True)]


def _trained(run: nt.Run, jobs: Sequence[Sequence[Job]], width: int, stream: int) -> list[Any]:
    """Fresh outputs of a net for each task and way of training it, from the same start."""
    from ntk_theory.checking.nets import net_seeds
    from ntk_theory.together import trained

    ways, seeds = len(jobs[0]), net_seeds(run.nets.seed, width, len(jobs), stream)
    found = trained([job for both in jobs for job in both], width, np.repeat(seeds, ways).tolist(),
                    dtype=run.nets.dtype, device=run.nets.device)  # fmt: skip
    run.progress.advance(_STEPS * width * len(found))
    return list(zip(*(found[way::ways] for way in range(ways)), strict=True))


def _both_ways(run: nt.Run, tasks: Sequence[Task], width: int, stream: int) -> list[Fresh]:
    found = _trained(run, [task.jobs() for task in tasks], width, stream)
    return [Fresh(end, stopped) for (end,), stopped in found]


def _errors(tasks: Sequence[Task], fresh: Sequence[Fresh]) -> Array:
    """Test errors of what was reached on tasks, shape (D, 3)."""
    return np.array([task.errors(one) for task, one in zip(tasks, fresh, strict=True)])


class Comparison(NamedTuple):
    """One family: the kernel limit on all its data sets, nets on the first few.

    Attributes:
        family: this one.
        ratio: r_eff, the mean over data sets.
        leads: over the best of all stopping times, in the kernel limit, shape (D,).
        validated: over the stopping time that is best on other fresh points, shape (D,).
        limits: test errors in the kernel limit, at the nets' stopping times, shape (D, 3).
        nets: the same of nets, their deviations shrunk to the largest width, shape (4, S, 3).
    """

    family: Family
    ratio: float
    leads: Array
    validated: Array
    limits: Array
    nets: Array

    @property
    def least(self) -> float:
        """r* of the family's noise, which a separating spectrum exceeds."""
        return nt.predictions.least_ratio(self.family.noise_rate, self.family.classes)

    def row(self, what: str, of: Array, offset: int = 0) -> nt.Measurement:
        """A number of the nets, as in the limit: a combination of errors, and an offset.

        Student's bound for the mean of S new values of the law of the N shifts from the limit to
        narrower nets. Fresh points of a cluster go right or wrong together, and a rare jump need
        not be among the shifts: one cluster in one net is allowed for besides. Half of what was
        learnt beyond chance distinguishes an accuracy from nothing.
        """
        from scipy.special import stdtrit

        family, nets = self.family, offset + self.nets @ of
        limit = offset + self.limits[: nets.shape[1]] @ of
        shifts, mean = (nets[:-1] - limit).ravel(), float(limit.mean())
        spread = float(shifts.std(ddof=1)) * math.sqrt(1 / limit.size + 1 / shifts.size)
        bound = abs(float(shifts.mean())) + float(stdtrit(shifts.size - 1, 1 - 5e-4)) * spread
        lump = family.groups * (1 if family.kind == "gaussian" else family.fresh)
        return over_nets(
            f"{family.name}: nets' {what}, as in the limit", mean, nets[-1],
            bound + 1 / (lump * limit.size), (mean - 1 / family.classes) / 2 if offset else np.inf,
        )  # fmt: skip


def _compare(run: nt.Run, family: Family) -> Comparison:
    """Kernel limit and nets on one family; notes plain test errors over the stopping time."""
    tasks, widths = tasks_of(run.nets, family), _widths(run.nets)
    finest, nets, errors = limits(tasks), tasks[: _count(run.nets)], []
    coarse = [fresh.coarse for fresh in finest]
    for width in () if family == COUNTEREXAMPLE else widths:
        reached = _both_ways(run, nets, width, _NET_STREAM + FAMILIES.index(family))
        # Deviations ∝ m^{-1/2}: what these nets would be at the largest width.
        shrunk = math.sqrt(width / widths[-1])
        moved = [Fresh(*(wide + shrunk * (own - wide) for own, wide in zip(*pair, strict=True)))
                 for pair in zip(reached, coarse, strict=False)]  # fmt: skip
        errors.append(_errors(nets, moved))
        if family == FIRST:
            steps = np.mean([task.steps for task in nets])
            stopped = [[task.wrong(one.plain).mean(axis=-1)
                        for task, one in zip(nets, some, strict=False)]
                       for some in (moved, coarse)]  # fmt: skip
            time = np.geomspace(1 / steps, 1, GRID)[::EVERY]
            run.notes["arrays"] = {"time": time, "stopped": np.array(stopped)}
    return Comparison(
        family,
        float(np.mean([task.information_ratio for task in tasks])),
        _errors(tasks, finest) @ _BEST,
        np.array([task.lead_over_validated(one) for task, one in zip(tasks, finest, strict=True)]),
        _errors(tasks, coarse),
        np.array(errors),
    )


# ---------------------------------------------------------------- rows and controls


def _signed(name: str, leads: Array, side: Relation) -> nt.Measurement:
    """Mean lead over data sets, its whole interval, Student's of 99 %, on one side of 0."""
    from ntk_theory.checking.fitting import mean_of

    mean, reach = float(leads.mean()), mean_of(leads, 0.98)[1]
    return nt.Measurement(f"{name}, {leads.size} data sets", 0.0, mean, 0.0,
                          (mean - reach, mean + reach), side, whole_interval=True)  # fmt: skip


def rows(compared: Comparison) -> Iterator[nt.Measurement]:
    """Nets as the kernel limit, and its leads of the sign that is claimed.

    Over the memorised net always ahead, over the best stopping time on the side that the spectrum
    says, but for the counterexample. Ahead is ahead of the stopping time that is best in hindsight;
    behind is behind one chosen on other fresh points, as hindsight alone would be ahead of many. A
    single data set may fall on the other side.
    """
    name, spectrum = compared.family.name, f"r_eff {compared.ratio:.2f}, r* {compared.least:.2f}"
    if compared.family != COUNTEREXAMPLE:
        yield compared.row("accuracy", _ACCURACY, 1)
        yield compared.row("lead over the memorised net", _MEMORISED)
        yield compared.row("lead over the best stopping time", _BEST)
        yield _signed(f"{name}: ahead of the memorised net, kernel limit",
                      compared.limits @ _MEMORISED, Relation.AT_LEAST)  # fmt: skip
    if compared.ratio > compared.least and compared.family != COUNTEREXAMPLE:
        yield _signed(f"{name}: ahead of the best stopping time ({spectrum}), kernel limit",
                      compared.leads, Relation.AT_LEAST)  # fmt: skip
    else:
        which = f"{name}: behind the stopping time that is best on other fresh points"
        yield _signed(f"{which} ({spectrum}), kernel limit", compared.validated, Relation.AT_MOST)


def measured(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """Rows of all families, the premise of the first one, and the sign of the nets' own lead.

    That is of differences of the same net on the same fresh points, a net and a data set each.
    """
    count, widths = _count(run.nets), _widths(run.nets)
    for family in FAMILIES:
        run.evidence.progress_note = f"clusters done; at the family {family.name!r}"
        compared = run.notes[family.name] = _compare(run, family)
        yield from rows(compared)
        run.evidence.metrics += [
            {"training": family.name, "width": widths[-1], "net": net, "accuracy": 1 - own,
             "lead_over_memorised": memorised - own, "lead_over_best_stopping": best - own}
            for net, (own, best, memorised) in enumerate(compared.nets[-1:].reshape(-1, 3).tolist())
        ]  # fmt: skip
    run.evidence.progress_note = "families done; at the sign of the lead and at other noise rates"
    first: Comparison = run.notes[FIRST.name]
    separated = first.ratio > first.least
    yield nt.Premise(f"{FIRST.name}: measured spectrum separates information from noise",
                     first.ratio, separated, f"r_eff > r* = {first.least:.4g}")  # fmt: skip

    def errors(tasks: Sequence[Task], stream: int) -> Array:
        return _errors(tasks, _both_ways(run, tasks, widths[-2], stream))

    own = errors(tasks_of(run.nets, FIRST, _SIGNED * count), _SIGNED_STREAM)
    if separated:
        yield _signed(f"{FIRST.name}: ahead of the best of {len(range(0, GRID, EVERY))} stopping "
                      f"times, nets of width {widths[-2]}", own @ _BEST,
                      Relation.AT_LEAST)  # fmt: skip
    few = _OVER_RATES * count
    tasks = {wrong: tasks_of(run.nets, FIRST, few, noise_rate=wrong / FIRST.points)
             for wrong in SWEEP_RATES}  # fmt: skip
    low, high = (errors(tasks[wrong], _SWEEP_STREAM + place)
                 for place, wrong in enumerate(SWEEP_TRAINED))  # fmt: skip
    run.notes["arrays"] |= {
        "distilled": np.stack([first.nets[-1, :, 0], first.limits[:count, 0]]),
        "sweep_rate": np.array(SWEEP_RATES) / FIRST.points,
        "sweep_limit": np.array([_errors(some, [fresh.coarse for fresh in limits(some)])
                                 for some in tasks.values()]),
        "sweep_trained_rate": np.array([SWEEP_TRAINED[0], 6, SWEEP_TRAINED[1]]) / FIRST.points,
        "sweep_error": np.array([low, own[:few], high]),
    }  # fmt: skip


def work(declared: Declaration) -> float:
    """Neuron-steps on the families."""
    widths, many = _widths(declared.nets), _SIGNED + len(SWEEP_TRAINED) * _OVER_RATES
    neurons = sum(widths) * (len(FAMILIES) - 1) + widths[-1] + many * widths[-2]
    return 2.0 * _STEPS * _count(declared.nets) * neurons


def _broken(
    id_: str, premise: str, jobs: Callable[[Sequence[Task], int], list[Job]], chance: float = 0.0
) -> nt.Control:
    """Accuracy of nets whose jobs are others: that of chance, or as in the kernel limit."""

    def measure(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        from ntk_theory.together import kernel_limits

        tasks = tasks_of(run.nets, FIRST, _count(run.nets))
        others = jobs(tasks, run.nets.seed)

        def accuracy(ends: Sequence[Array]) -> Array:
            pairs = zip(tasks, ends, strict=True)
            return np.array([1 - task.wrong(end[0]).mean() for task, end in pairs])

        found = _trained(run, [[job] for job in others], _widths(run.nets)[-1], _CONTROL_STREAM)
        predicted = chance or float(accuracy(kernel_limits(others)).mean())
        claimed = float(1 - run.notes[FIRST.name].limits[: len(tasks), 0].mean())
        nearer = (claimed - predicted) / 2  # to the one than to the other
        name = f"accuracy on fresh points, {FIRST.name}{' (chance)' if chance else ''}"
        nets = accuracy([end for (end,) in found])
        return over_nets(name, predicted, nets, nearer), claimed, nearer

    return nt.Control(id_, premise, measure=measure)


def _random(tasks: Sequence[Task], seed: int) -> list[Job]:
    root, classes = np.random.SeedSequence(seed, spawn_key=(_CONTROL_STREAM,)), FIRST.classes
    drawn = [np.random.default_rng(one).integers(0, classes, FIRST.groups * FIRST.points)
             for one in root.spawn(len(tasks))]  # fmt: skip
    return [task.job(observed=nt.data.encode(labels, classes))
            for task, labels in zip(tasks, drawn, strict=True)]  # fmt: skip


def controls() -> Iterator[nt.Control]:
    """Self-distillation of Gaussian clusters with one thing replaced."""
    yield _broken(
        "late-burn-in",
        "burn-in while information is retrieved: here it is as long as the whole run was",
        lambda tasks, _: [task.job(burn_in=task.steps) for task in tasks],
    )
    yield _broken(
        "random-labels", "labels carry information: here every one is drawn at random",
        _random, 1 / FIRST.classes,
    )  # fmt: skip
