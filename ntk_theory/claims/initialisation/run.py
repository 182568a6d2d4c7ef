"""A run of `initialisation`: nets, rows, controls, and what is kept of them."""

from __future__ import annotations

__all__ = ["run"]

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.initialisation import CLAIM
from ntk_theory.claims.initialisation.controls import CONTROLS, ControlSetting
from ntk_theory.claims.initialisation.law import law_of_scale
from ntk_theory.claims.initialisation.measurements import measurements
from ntk_theory.claims.initialisation.nets import SMALLEST, Found, climb, rms
from ntk_theory.claims.initialisation.plan import PAIRS, Plan, make_plan, planned_premises
from ntk_theory.runs import Evidence, conduct
from ntk_theory.verdicts import ClaimResult, Options, Progress

Array = NDArray[np.float64]


_STEPS_BETWEEN = 4
"""Scales at which the predicted distribution is drawn, for each at which nets are trained."""

_TAIL = 0.01
"""Share of single nets left out at either end of the range that is drawn."""


def _law_arrays(found: Found) -> dict[str, Array]:
    """Predicted distributions over the scale, finer than the scales of the nets."""
    plan = found.plan
    places = range(_STEPS_BETWEEN * (len(plan.scales) - 1) + 1)
    scales = [plan.scales[0] * 2 ** (-place / _STEPS_BETWEEN) for place in places]
    laws = [
        found.laws[place // _STEPS_BETWEEN]
        if place % _STEPS_BETWEEN == 0
        else law_of_scale(plan, scale)
        for place, scale in zip(places, scales, strict=True)
    ]
    return {
        "law_scales": np.array(scales),
        "law_mean": np.array([law.error.mean() for law in laws]),
        "law_range": np.stack([np.quantile(law.error, (_TAIL, 1 - _TAIL)) for law in laws], axis=1),
        "law_unrecovered": np.array([1 - law.recovered.mean() for law in laws]),
        "law_wrong_signs": np.array([plan.early_share(scale) for scale in scales]),
    }


def _arrays(found: Found) -> dict[str, Array]:
    plan = found.plan
    clean, large = plan.problem.dataset.clean, found.at(plan.large)
    every = (*found.plain, *found.smallest)
    return {
        **_law_arrays(found),
        "zero_start": plan.problem.distilled.rms_error()[-1:],
        "net_scales": np.concatenate([np.full(len(one.final), one.scale) for one in every]),
        "net_errors": np.concatenate([rms(one.final - clean) for one in every]),
        "net_unrecovered": np.concatenate([(one.final * clean <= 0).any(axis=1) for one in every]),
        "net_wrong_signs": np.concatenate([(one.early * clean <= 0).mean(axis=1) for one in every]),
        "widths": np.array(plan.nets.widths),
        "large_errors": np.stack([rms(one.final - clean) for one in large]),
        "pair_errors": np.stack([rung.error[:, -1] for rung in found.pairs.rungs[PAIRS]]),
    }


def _metrics(found: Found) -> Iterator[Mapping[str, Any]]:
    """One row for each trained net."""
    yield from found.pairs.metrics()
    yield from found.small.metrics()
    clean = found.plan.problem.dataset.clean
    for one in found.plain:
        for net in range(len(one.final)):
            yield {
                "training": f"scale {one.scale:g}",
                "width": one.width,
                "net": net,
                "initial_rms_output": float(rms(one.initial[net])),
                "final_rms_error": float(rms(one.final[net] - clean)),
                "zero_one_error": float((one.final[net] * clean <= 0).mean()),
            }


def _finding(found: Found, floor: float) -> str:
    plan = found.plan
    small = found.small.rungs[SMALLEST][-1].error[:, -1].mean()
    return (
        f"plain nets of scale {plan.large:g} end {floor:.3g} (RMS) from the clean labels at every "
        f"width, predicted {found.laws[1].error.mean():.3g}; at scale {plan.small:g} every sign is "
        f"right and they end at {small:.4g}, predicted "
        f"{plan.problem.distilled.rms_error()[-1]:.4g}, as {PAIRS} do"
    )


def _gather(plan: Plan, evidence: Evidence, progress: Progress) -> str:
    evidence.premises += planned_premises(plan)
    # Nets that move much are trained all the same, and are told from the others by the verdict.
    if {p.name for p in evidence.premises if not p.holds} - {"nets move little"}:
        return ""
    found = Found.empty(plan)
    progress.start(CLAIM.id, plan.work())
    climb(found, evidence, progress)
    if evidence.diverged(found.stopped()):
        return ""
    evidence.metrics += _metrics(found)
    evidence.arrays |= _arrays(found)
    evidence.measurements += measurements(found)
    if evidence.sound:
        setting = ControlSetting(found, progress)
        evidence.progress_note = "at the controls"
        for control in CONTROLS:
            evidence.controls.append(control(setting))
    return _finding(found, float(evidence.arrays["large_errors"].mean()))


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train pairs and plain nets, compare with the predicted distribution, run the controls."""
    plan = make_plan(options)
    return conduct(
        CLAIM, options, plan.config(), lambda evidence: _gather(plan, evidence, progress)
    )
