"""A claim's run: evidence gathered step by step, judged at the end, kept when it is interrupted."""

from __future__ import annotations

__all__ = [
    "EXPONENT_TOLERANCE", "RISKS", "Evidence", "chosen", "conduct", "falling_row", "first_step_row",
    "judged_control", "over_nets",
]  # fmt: skip

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.checking.verdicts import (
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Relation,
    Verdict,
    judge,
)

Array = NDArray[np.float64]
Value = TypeVar("Value")

EXPONENT_TOLERANCE = 0.15
"""About -1/2: room for some curvature, not for -1/4 or -3/4 (docs/theory.md, section 11)."""

RISKS = 1e-3, 1e-6
"""Probability that a run of a right theory has some row outside its tolerance, and so far outside
that it is VIOLATED."""


@dataclass
class Evidence:
    """What a run has found so far.

    Attributes:
        premises: evaluated hypotheses.
        measurements: predicted beside measured.
        controls: broken runs.
        metrics: one row for each trained net.
        arrays: curves, by name.
        notices: the least relative error of each parameter of theory that the run would notice.
        about: what theory says of the problem before any net is trained, in lines.
        progress_note: how far the run has come, in words, for the case of an interruption.
        stopped: explanation of a divergence, or None; it makes the claim VIOLATED.
    """

    premises: list[Premise] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    metrics: list[Mapping[str, Any]] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    notices: dict[str, float] = field(default_factory=dict)
    about: list[str] = field(default_factory=list)
    progress_note: str = ""
    stopped: str | None = None

    @property
    def premises_hold(self) -> bool:
        """Whether every premise so far is met."""
        return all(premise.holds for premise in self.premises)

    @property
    def sound(self) -> bool:
        """Whether premises and measurements so far support the claim; controls make sense then."""
        return judge(tuple(self.premises), tuple(self.measurements)) is Verdict.SUPPORTED

    def diverged(self, reason: str | None) -> bool:
        """Record a divergence as a failed measurement; says whether there was one."""
        if reason is None:
            return False
        self.stopped = reason
        self.measurements.append(Measurement(f"diverged ({reason})", 0.0, 1.0, 0.0))
        return True


def conduct(
    claim: Any,
    options: Options,
    config: Mapping[str, Any],
    gather: Callable[[Evidence], str],
    controls: Callable[[], Sequence[str]],
) -> ClaimResult:
    """Run a claim and judge what was found.

    Args:
        claim: what is checked.
        options: as the user gave them.
        config: every number needed to run it again.
        gather: adds to the evidence; returns the sentence that says what was found if the claim
            turns out SUPPORTED. It returns early when a premise fails without which nothing can be
            trained. On Ctrl-C what it has added so far is kept.
        controls: gives the ids of those that the run has, once nets have been trained.

    Returns:
        The result; interrupted ones are never SUPPORTED.
    """
    started = time.perf_counter()
    evidence = Evidence()
    found, interrupted = "", False
    try:
        found = gather(evidence)
    except KeyboardInterrupt:
        interrupted = True
    premises, measurements = tuple(evidence.premises), tuple(evidence.measurements)
    found_controls = tuple(evidence.controls)
    verdict = judge(premises, measurements, found_controls)
    made = [one.id for one in found_controls]
    if verdict is Verdict.SUPPORTED and (interrupted or made != list(controls())):
        verdict = Verdict.INCONCLUSIVE
    if interrupted:
        note = f"; {evidence.progress_note}" if evidence.progress_note else ""
        finding = f"interrupted{note}"
    elif verdict is Verdict.SUPPORTED:
        finding = found
    else:
        finding = _explanation(verdict, evidence)
    return ClaimResult(
        claim=claim,
        options=options,
        config=config,
        premises=premises,
        measurements=measurements,
        controls=found_controls,
        verdict=verdict,
        finding=finding,
        seconds=time.perf_counter() - started,
        metrics=tuple(evidence.metrics),
        arrays=evidence.arrays,
        notices=evidence.notices,
        interrupted=interrupted,
        about=tuple(evidence.about),
    )


def _explanation(verdict: Verdict, evidence: Evidence) -> str:
    """Why a complete run is not SUPPORTED."""
    if verdict is Verdict.PREMISE_UNMET:
        unmet = [premise for premise in evidence.premises if not premise.holds]
        listed = "; ".join(f"{premise.name} ({premise.requirement})" for premise in unmet)
        return f"the theorem says nothing here. Premise unmet: {listed}"
    if evidence.stopped is not None:
        return evidence.stopped
    failed = [m.name for m in evidence.measurements if m.holds is False]
    if failed:
        return f"outside its tolerance: {'; '.join(failed)}"
    left_open = [m for m in evidence.measurements if m.holds is None]
    off = [m.name for m in left_open if m.slack < 0]
    if off:
        return f"left open, outside its tolerance by what chance may still do: {'; '.join(off)}"
    if left_open:
        names = "; ".join(m.name for m in left_open)
        return f"left open, its tolerance or interval being too wide: {names}"
    tame = [control.id for control in evidence.controls if not control.holds]
    if tame:
        return f"a control did not fail as it must: {', '.join(tame)}"
    return "not every control was run"


def over_nets(
    name: str,
    predicted: float,
    values: ArrayLike,
    tolerance: float,
    resolution: float = np.inf,
    relation: Relation = Relation.EQUAL,
    decisive: float | None = None,
) -> Measurement:
    """Measurement of the mean over nets, with the range of the nets as its interval.

    Args:
        name: what is measured.
        predicted: closed form.
        values: one per net.
        tolerance: how far the mean may lie from the prediction.
        resolution: the largest tolerance that still tells success from failure.
        relation: "equal" within the tolerance, or one-sided up to it.
        decisive: how far it may lie before the claim is VIOLATED; the tolerance when left out.
    """
    runs = np.asarray(values, dtype=float)
    return Measurement(
        name,
        float(predicted),
        float(runs.mean()),
        float(tolerance),
        (float(runs.min()), float(runs.max())),
        relation,
        resolution=float(resolution),
        decisive=None if decisive is None else float(decisive),
    )


def falling_row(widths: Sequence[int], deviations: Sequence[Array], title: str) -> Measurement:
    """Mean deviation at the widest over that at the narrowest width: m^{-1/2} gives their ratio.

    Tolerances come from deviations from the prediction itself, so a prediction that is off by a
    constant widens them with it; but it does not let the deviation fall. The bound is half way
    between the predicted ratio and 1, on a logarithmic scale (docs/theory.md, section 11).

    Args:
        widths: ascending.
        deviations: for each width, one per net.
        title: what deviates.
    """
    predicted = math.sqrt(widths[0] / widths[-1])
    narrowest, widest = (float(deviations[end].mean()) for end in (0, -1))
    return Measurement(
        f"{title}: deviation at width {widths[-1]} over that at {widths[0]}",
        predicted,
        widest / narrowest,
        math.sqrt(predicted) - predicted,
        relation=Relation.AT_MOST,
        kind="falling",
    )


def first_step_row(
    widths: Sequence[int], ratios: Array, title: str, crossing: float, confidence: float = 0.999
) -> Measurement:
    """Outputs after one step, along and over their prediction: 1 at the right learning rate.

    Later on a wrong rate hardly shows, and in a deviation of many outputs it drowns. After one step
    u_m = η H_m(0) z, apart from neurons that cross a hyperplane within the step. E H_m(0) = H, so
    the ratio has the mean 1, but for those neurons, and a variance like 1/m. The tolerance is
    Student's interval of the mean of all nets, weighted by width, and the bound on what crossings
    add; an error of the prediction does not widen it. 0.05 detects a rate that is 10 %
    off.

    Args:
        widths: of the nets.
        ratios: ⟨u, p⟩/‖p‖² of the outputs u of each net and their prediction p, (widths, S).
        title: whose outputs they are.
        crossing: c of `predictions.first_step_crossing`.
        confidence: two-sided, of the tolerance; its risk is to that of a decision as `RISKS` are.
    """
    from scipy.special import stdtrit

    weights = np.repeat(np.array(widths, dtype=float)[:, None], ratios.shape[1], axis=1)
    mean = float(np.average(ratios, weights=weights))
    free = ratios.size - 1
    spread = float(np.sum(weights * np.square(ratios - mean))) / free
    error = math.sqrt(spread / float(weights.sum()))
    crossed = crossing * float(np.average(1 / np.sqrt(weights), weights=weights))
    tolerance, decisive = (
        float(stdtrit(free, 1 - risk / 2)) * error + crossed
        for risk in (np.array(RISKS) / RISKS[0] * (1 - confidence))
    )
    return Measurement(
        f"{title}: outputs after one step over their prediction",
        1.0,
        mean,
        tolerance,
        (float(ratios[-1].min()), float(ratios[-1].max())),
        resolution=0.05,
        decisive=decisive,
    )


def judged_control(
    id_: str,
    broken_premise: str,
    failure: Measurement,
    claimed: float,
    tolerance: float,
    unmet: bool | None = None,
) -> Control:
    """Control whose verdict follows from what its nets show.

    It is VIOLATED where they are farther from the claim than the tolerance, SUPPORTED where they
    are not, and PREMISE_UNMET where the premise that it breaks is known to fail.

    Args:
        id_: short name.
        broken_premise: what was changed.
        failure: what theory predicts instead, against what was seen.
        claimed: what would have been seen had the claim held all the same.
        tolerance: how far from `claimed` would still have counted as that.
        unmet: whether the premise that this must violate is unmet; None if it violates none, and
            the measurement alone has to tell.
    """
    apart = abs(failure.measured - claimed) > tolerance
    verdict = Verdict.VIOLATED if apart else Verdict.SUPPORTED
    if unmet:
        verdict = Verdict.PREMISE_UNMET
    expected = Verdict.VIOLATED if unmet is None else Verdict.PREMISE_UNMET
    return Control(id_, broken_premise, expected, verdict, failure, claimed, tolerance)


def chosen(value: Value | None, default: Value) -> Value:
    """A knob of the user, or the claim's default where it is left open."""
    return default if value is None else value
