"""`convergence` at the size of an image data set, predicted by the recursion of section 7.1."""

from __future__ import annotations

__all__ = ["Plan", "run"]

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import Evidence, conduct, judged_control, over_nets
from ntk_theory.checking.functionals import least_margin, rms_error
from ntk_theory.claims.convergence import CLAIM, DISTILLED, PLAIN
from ntk_theory.distilled import LEVEL, Units, gap_of, least_taught, on_gram
from ntk_theory.image_size import CLASSES, FEATURES, Climb, ImageSize

if TYPE_CHECKING:
    from ntk_theory.checking.nets import Rung
    from ntk_theory.checking.verdicts import ClaimResult, Control, Options, Progress
    from ntk_theory.targets import Schedule
    from ntk_theory.training import Trajectory


@dataclass(frozen=True)
class Plan(ImageSize):
    """Self-distillation and plain training on the same data."""

    ways: ClassVar[int] = 2

    @cached_property
    def units(self) -> Units:
        """Times in which the largest noise eigenvalue would memorise, at a rate of 1/λ_max."""
        noise, top = float(self.top.values[CLASSES]), float(self.top.values[0])
        return Units.of(noise, top, gap_of(self.dataset), 1.0)._replace(steps=self.steps)

    def training(self, name: str, schedule: Schedule) -> nt.Training:
        """Hard self-distillation under a schedule."""
        return on_gram(name, self.dataset, self.kernel, schedule, self.units)

    @cached_property
    def both(self) -> tuple[nt.Training, nt.Training]:
        """Hard self-distillation after a burn-in, and the observed labels alone."""
        plain = self.training(PLAIN, nt.targets.PLAIN.schedule)
        return self.training(DISTILLED, self.units.power), plain


def _error(training: nt.Training) -> np.ndarray:
    return rms_error(training.predicted, training.points)


def _last(rung: Rung) -> np.ndarray:
    return rung.deviation[:, -1]


def _rows(plan: Plan, climb: Climb, least: float) -> list[nt.Measurement]:
    ladder, rounding = climb.ladder, climb.rounding
    final, best = float(_error(plan.both[0])[-1]), float(_error(plan.both[1]).min())
    nets, stopped = ladder.rungs[DISTILLED][-1], ladder.rungs[PLAIN][-1]
    room = ladder.allowance(DISTILLED, _last)
    room_of_plain = ladder.allowance(PLAIN, lambda rung: rung.largest_deviation)
    # Rounding may not take more than the width does; half way distinguishes both trainings.
    return [
        plan.ratio_row(),
        over_nets("final RMS error", final, nets.error[:, -1], room + rounding,
                  min(final / 2, 2 * room)),
        over_nets("best RMS error of plain training at any step", best, stopped.error.min(axis=1),
                  room_of_plain + rounding, min((best - final) / 2, 2 * room_of_plain)),
        climb.first_step,
        ladder.falling_row(DISTILLED, f"{DISTILLED}, at the end", _last),
        ladder.falling_row(PLAIN, PLAIN),
        nt.Measurement("least margin of a taught prediction, any net", 0.0, least, 0.0,
                       relation=nt.Relation.AT_LEAST),
        nt.Measurement("0-1 error at the end, worst net", 0.0, float(nets.zero_one.max()), 0.0),
    ]  # fmt: skip


def _control(plan: Plan, climb: Climb, progress: Progress) -> Control:
    """A constant weight α does not converge (section 7.1)."""
    schedule = nt.targets.BurnIn(plan.units.burn_in, nt.targets.Constant(LEVEL))
    broken, width = plan.training("constant weight", schedule), plan.nets.widths[-2]
    made = plan.nets.train_controls(broken.recipe, width, plan.nets.count, progress=progress)
    tolerance, errors = climb.ladder.bound(_last, width), made.rms_error(plan.dataset.clean)[:, -1]
    return judged_control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {LEVEL:g} for ever",
        over_nets("final RMS error", float(_error(broken)[-1]), errors, tolerance),
        float(_error(plan.both[0])[-1]),
        tolerance,
    )


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    distilled = plan.both[0]
    margin = least_margin(distilled.predicted, distilled.points)[distilled.curves["taught"]]
    in_limit, least = float(margin.min()), [math.inf]
    evidence.premises += plan.spectral_premises(plan.units.learning_rate)
    evidence.premises.append(
        nt.Premise("every taught prediction right in the limit", in_limit, in_limit > 0,
                   "least margin of the recursion > 0 after the burn-in")
    )  # fmt: skip
    evidence.arrays |= {f"predicted rms_error of {one.name}": _error(one) for one in plan.both}
    evidence.arrays["eigenvalues"] = plan.pairs.values
    if not evidence.premises_hold:
        return ""

    def look(one: nt.Training, made: Trajectory) -> None:
        if one is distilled:
            least.append(float(least_taught(one, made.outputs).min()))

    progress.start(CLAIM.id, plan.work())
    climb = plan.climb(plan.both, evidence, progress, look)
    if climb is None:
        return ""
    rungs = climb.ladder.rungs
    evidence.arrays |= {f"rms_error of {name}": found[-1].error for name, found in rungs.items()}
    # Either of two outputs may be off.
    scatter = rungs[DISTILLED][0].scatter[:, distilled.curves["taught"]]
    spare = float((margin - 2 * scatter).min())
    evidence.premises.append(
        nt.Premise("margin above the scatter of the narrowest nets", spare, spare > 0,
                   "predicted margin − twice the largest distance of an output to the nets' mean")
    )  # fmt: skip
    evidence.measurements += _rows(plan, climb, min(least))
    if evidence.sound:
        evidence.controls.append(_control(plan, climb, progress))
    nets, stopped = rungs[DISTILLED][-1], rungs[PLAIN][-1]
    return (
        f"on {CLASSES * plan.points} points of {FEATURES} features {len(nets.error)} nets of "
        f"width {nets.width} end {nets.error[:, -1].mean():.4g} (RMS) from the clean labels, "
        f"predicted {_error(distilled)[-1]:.4g}; plain training with the best stopping time "
        f"ends at {stopped.error.min(axis=1).mean():.4g}; {climb.ladder.dtype} products are off by "
        f"{climb.rounding:.1e}"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Measure the spectrum, predict by the recursion, train the ladder, run the control."""
    plan = Plan.of(options)
    gather = partial(_gather, plan, progress=progress)
    return conduct(CLAIM, options, plan.config(), gather, controls=("constant-weight",))
