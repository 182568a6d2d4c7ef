"""Families of data without the symmetry of the exact design: nets beside the kernel limit.

Tasks are those of `ntk_theory.tasks` (docs/theory.md, section 7.10).
"""

from __future__ import annotations

__all__ = [
    "COUNTEREXAMPLE", "FAMILIES", "Comparison", "controls", "measured", "rows", "tasks_of", "work",
]  # fmt: skip

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import RISKS, falling_row, over_nets
from ntk_theory.checking.fitting import mean_of
from ntk_theory.checking.rows import Array
from ntk_theory.checking.sweep import net_seeds
from ntk_theory.tasks import (
    EVERY,
    GRID,
    Family,
    Task,
    draw_task,
    errors_of,
    lead_over_validated,
    limits_of,
    wrong_points,
)  # fmt: skip

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.checking.ladder import NetPlan
    from ntk_theory.together import Job

FAMILIES = (
    Family("Gaussian clusters", "gaussian", 8, 15, 4, 8, 0.6),
    Family("overlapping clusters", "gaussian", 8, 15, 4, 8, 1.2, draws=2),
    Family("power law", "power", 2, 60, 2, 20, 1.0),
    Family("power law of exponent 2", "power", 2, 60, 2, 20, 2.0),
)
FIRST, COUNTEREXAMPLE = FAMILIES[0], FAMILIES[3]
"""The one that is ahead of every stopping time; and the one whose spectrum separates information
from noise, and yet stopping is ahead, on which no net is trained."""

_TRAINED = len(FAMILIES) - 1
"""Families that nets are trained on."""

_OF_NETS = [0, *range(1, 1 + GRID, EVERY)]
"""Of the outputs at all stopping times those at the nets'."""

_SWEEP_RATES, _SWEEP_TRAINED = (0, 2, 3, 4, 5, 6, 7, 8), (3, 6, 8)
"""Wrong labels of 15 in a Gaussian cluster; and those at which nets are trained."""

_DATASETS, _SIGNED, _OVER_RATES = 48, 12, 4
"""For every net of a width: data sets of a family in the kernel limit, nets that sign the lead over
the best stopping time, each on a data set of its own, and data sets with other noise rates.

On Gaussian clusters nets lead by 0.020, with a standard deviation of 0.025 over data sets (measured
on 96): an interval of 99 % is above 0 with 48 nets in all runs but one in a thousand.
"""

_CONTROL_STREAM, _DATA_STREAM, _NET_STREAM, _SIGNED_STREAM, _SWEEP_STREAM = 1, 4, 5, 8, 9

_STEPS = 150
"""About as many as a net takes on a family, for the progress bar."""

_MEMORISED, _BEST = np.array([[-1, 0, 1], [-1, 1, 0]])
"""What makes a lead of three test errors."""


def tasks_of(nets: NetPlan, family: Family, count: int = 0, **changes: Any) -> list[Task]:
    """Data sets of a family, so many or all; their points are the same at any noise rate."""
    root = np.random.SeedSequence(nets.seed, spawn_key=(_DATA_STREAM, FAMILIES.index(family)))
    seeds = root.spawn(count or _DATASETS * _count(nets) * family.draws)
    return nt.together.in_threads(partial(draw_task, replace(family, **changes)), seeds)


def _count(nets: NetPlan) -> int:
    """Nets of each width on a family: a third of those on clusters, and at least 3."""
    return max(3, nets.count // 3)


def _widths(nets: NetPlan) -> tuple[int, ...]:
    """Up to a quarter of those on clusters; nets that are many have the last but one."""
    return tuple(2 * (max(64, nets.widths[-1] // 4) // (2 * part)) for part in (8, 4, 2, 1))


def _trained(run: nt.Run, jobs: Sequence[Sequence[Job]], width: int, stream: int) -> Array:
    """Outputs on each task of a net of its own, which starts alike in every job of the task."""
    ways, seeds = len(jobs[0]), net_seeds(run.nets.seed, width, len(jobs), stream)
    found = nt.together.trained(
        [job for own in jobs for job in own], width, np.repeat(seeds, ways).tolist(),
        dtype=run.nets.dtype, device=run.nets.device,
    )  # fmt: skip
    run.progress.advance(_STEPS * width * len(found))
    return np.concatenate([np.stack(found[way::ways]) for way in range(ways)], axis=1)


class Comparison(NamedTuple):
    """One family: the kernel limit on all its data sets, nets on the first few.

    Attributes:
        family: this one.
        ratio: r_eff, the mean over data sets.
        leads: over the best of all stopping times, in the kernel limit, shape (D,).
        validated: over the stopping time that is best on other fresh points, shape (D,).
        limits: test errors in the kernel limit, at the nets' stopping times, shape (D, 3).
        nets: the same of nets, their deviations shrunk to the largest width, shape (4, S, 3).
        turned: shares of fresh points, at all stopping times, that are right in one of net and
            limit and wrong in the other, shape (4, S).
    """

    family: Family
    ratio: float
    leads: Array
    validated: Array
    limits: Array
    nets: Array
    turned: Array

    @property
    def least(self) -> float:
        """r* of the family's noise, which a separating spectrum exceeds."""
        return nt.predictions.least_ratio(self.family.noise_rate, self.family.classes)


def _compare(run: nt.Run, family: Family) -> Comparison:
    """Kernel limit and nets on one family; notes plain test errors over the stopping time."""
    tasks, widths, errors, turned = tasks_of(run.nets, family), _widths(run.nets), [], []
    wrong, nets = wrong_points(tasks, limits_of(tasks, every=1)), tasks[: _count(run.nets)]
    limits = np.stack(list(limits_of(nets)))
    for width in () if family == COUNTEREXAMPLE else widths:
        stream = _NET_STREAM + FAMILIES.index(family)
        reached = _trained(run, [task.jobs() for task in nets], width, stream)
        # Deviations ∝ m^{-1/2}: what these nets would be at the largest width.
        moved = wrong_points(nets, limits + math.sqrt(width / widths[-1]) * (reached - limits))
        errors.append(errors_of(moved))
        other = wrong_points(nets, reached) != wrong[: len(nets), _OF_NETS]
        turned.append(other.mean(axis=(1, 2)))
        if family == FIRST:
            time = np.geomspace(1 / np.mean([task.steps for task in nets]), 1, GRID)[::EVERY]
            both = np.stack([moved, wrong[: len(nets), _OF_NETS]])
            run.notes["arrays"] = {"time": time, "stopped": both[:, :, 1:].mean(axis=-1)}
    ratio = float(np.mean([task.information_ratio for task in tasks]))
    return Comparison(family, ratio, errors_of(wrong) @ _BEST, lead_over_validated(wrong),
                      errors_of(wrong[:, _OF_NETS]), *map(np.array, (errors, turned)))  # fmt: skip


def _signed(name: str, leads: Array, side: nt.Relation = nt.Relation.AT_LEAST) -> nt.Measurement:
    """Mean lead over data sets, its whole interval, Student's of 99 %, on one side of 0."""
    mean, reach = mean_of(leads, 0.98)
    return nt.Measurement(f"{name}, {leads.size} data sets", 0.0, mean, 0.0,
                          (mean - reach, mean + reach), side, whole_interval=True)  # fmt: skip


def _as_in_the_limit(compared: Comparison) -> nt.Measurement:
    """Accuracy of the nets, as in the limit.

    Student's bound for the mean of S new values of the law of the N shifts of narrower nets from
    the limit, and one cluster in one net besides: its fresh points go right or wrong together, and
    a rare jump need not be among the shifts. A wrong limit shifts narrower nets, too, and does not
    let them come nearer to it, which another row demands. Half of what was learnt distinguishes an
    accuracy from chance.
    """
    family = compared.family
    lump = family.groups * (1 if family.kind == "gaussian" else family.fresh)
    nets = 1 - compared.nets[..., 0]
    limit = 1 - compared.limits[: nets.shape[1], 0]
    learnt, rest = limit.mean() - 1 / family.classes, 1 / (lump * limit.size)
    tolerance, decisive = (
        abs(shift) + reach * math.sqrt(1 + nets[:-1].size / limit.size) + rest
        for shift, reach in (mean_of(nets[:-1] - limit, 1 - risk / _TRAINED) for risk in RISKS)
    )
    return over_nets(f"{family.name}: nets' accuracy, as in the limit", limit.mean(), nets[-1],
                     tolerance, learnt / 2, decisive=decisive)  # fmt: skip


def rows(compared: Comparison) -> Iterator[nt.Measurement]:
    """Nets as the kernel limit, and its leads of the sign that is claimed.

    Over the memorised net always ahead, over the best stopping time on the side that the spectrum
    says, but for the counterexample. Ahead is ahead of the stopping time that is best in hindsight;
    behind is behind one chosen on other fresh points, as hindsight alone would be ahead of many. A
    single data set may fall on the other side.
    """
    name, trained = compared.family.name, compared.family != COUNTEREXAMPLE
    at = f"(r_eff {compared.ratio:.2f}, r* {compared.least:.2f}), kernel limit"
    if trained:
        yield _as_in_the_limit(compared)
        lead = compared.limits @ _MEMORISED
        yield _signed(f"{name}: ahead of the memorised net, kernel limit", lead)
    if trained and compared.ratio > compared.least:
        yield _signed(f"{name}: ahead of the best stopping time {at}", compared.leads)
    else:
        which = f"{name}: behind the stopping time that is best on other fresh points"
        yield _signed(f"{which} {at}", compared.validated, nt.Relation.AT_MOST)


def measured(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """Rows of all families, the premise of the first one, and the sign of the nets' own lead.

    That is of differences of the same net on the same fresh points, a net and a data set each. No
    error or lead of a net is off by more than the shares of points that it decides otherwise than
    the limit, which are of order m^{-1/2}: they have to fall.
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
    trained: list[Comparison] = [run.notes[family.name] for family in FAMILIES[:-1]]
    title = "families: share of fresh points decided otherwise than in the limit"
    yield falling_row(widths, list(np.hstack([one.turned for one in trained])), title)
    leads = np.concatenate([one.nets[-1] @ _MEMORISED for one in trained])
    yield _signed("families: nets ahead of the memorised net", leads)
    run.evidence.progress_note = "families done; at the sign of the lead and at other noise rates"
    first = trained[0]
    separated = first.ratio > first.least
    yield nt.Premise(f"{FIRST.name}: measured spectrum separates information from noise",
                     first.ratio, separated, f"r_eff > r* = {first.least:.4g}")  # fmt: skip

    def errors(count: int, stream: int, noise_rate: float = FIRST.noise_rate) -> Array:
        tasks = tasks_of(run.nets, FIRST, count, noise_rate=noise_rate)
        reached = _trained(run, [task.jobs() for task in tasks], widths[-2], stream)
        return errors_of(wrong_points(tasks, reached))

    own, few = errors(_SIGNED * count, _SIGNED_STREAM), _OVER_RATES * count
    if separated:
        yield _signed(f"{FIRST.name}: ahead of the best of {len(_OF_NETS) - 1} stopping times, "
                      f"nets of width {widths[-2]}", own @ _BEST)  # fmt: skip
    rates, (low, same, high) = (np.array(n) / FIRST.points for n in (_SWEEP_RATES, _SWEEP_TRAINED))
    sweep = [tasks_of(run.nets, FIRST, few, noise_rate=rate) for rate in rates]
    run.notes["arrays"] |= {
        "distilled": np.stack([first.nets[-1, :, 0], first.limits[:count, 0]]),
        "sweep_rate": rates,
        "sweep_limit": np.array([errors_of(wrong_points(some, limits_of(some))) for some in sweep]),
        "sweep_trained_rate": np.array([low, same, high]),
        "sweep_error": np.array([errors(few, _SWEEP_STREAM, low), own[:few],
                                 errors(few, _SWEEP_STREAM + 1, high)]),
    }  # fmt: skip


def work(declared: Declaration) -> float:
    """Neuron-steps on the families."""
    widths = _widths(declared.nets)
    many = _TRAINED * sum(widths) + widths[-1] + (_SIGNED + 2 * _OVER_RATES) * widths[-2]
    return 2.0 * _STEPS * _count(declared.nets) * many


def controls() -> Iterator[nt.Control]:
    """Self-distillation of Gaussian clusters with one thing replaced.

    The accuracy of nets is then that of chance, or as in the kernel limit.
    """

    def late(task: Task, _: np.random.Generator) -> Job:
        return task.jobs(burn_in=task.steps)[0]

    def random(task: Task, rng: np.random.Generator) -> Job:
        labels = rng.integers(0, FIRST.classes, len(task.dataset.inputs))
        return task.jobs()[0]._replace(observed=nt.data.encode(labels, FIRST.classes))

    def measure(job: Callable[..., Job], run: nt.Run) -> tuple[nt.Measurement, float, float]:
        tasks, key = tasks_of(run.nets, FIRST, _count(run.nets)), (_CONTROL_STREAM,)
        seeds = np.random.SeedSequence(run.nets.seed, spawn_key=key).spawn(len(tasks))
        jobs = list(map(job, tasks, map(np.random.default_rng, seeds)))
        limit, nets = (1 - wrong_points(tasks, outputs).mean(axis=(1, 2)) for outputs in (
            nt.together.kernel_limits(jobs),
            _trained(run, [[one] for one in jobs], _widths(run.nets)[-1], _CONTROL_STREAM),
        ))  # fmt: skip
        predicted = 1 / FIRST.classes if job is random else float(limit.mean())
        claimed = float(1 - run.notes[FIRST.name].limits[: len(tasks), 0].mean())
        nearer = (claimed - predicted) / 2  # to the one than to the other
        name = f"accuracy on fresh points, {FIRST.name}{' (chance)' if job is random else ''}"
        return over_nets(name, predicted, nets, nearer), claimed, nearer

    for id_, job, broken in (
        ("late-burn-in", late,
         "burn-in while information is retrieved: here it is as long as the whole run was"),
        ("random-labels", random, "labels carry information: here every one is drawn at random"),
    ):  # fmt: skip
        yield nt.Control(id_, broken, measure=partial(measure, job))
