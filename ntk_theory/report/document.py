"""Results as JSON values: all but metrics and arrays."""

from __future__ import annotations

__all__ = [
    "FITTED",
    "SCHEMA",
    "alike",
    "command_line",
    "finite",
    "interruption",
    "noticed",
    "to_document",
    "to_json",
    "tolerance",
]

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ntk_theory.checking.verdicts import ClaimResult, Control, Measurement

SCHEMA = 2
"""Version of the JSON layout."""

FITTED = "fitted: the tolerance comes from narrower nets, not from the law of finite width"
"""What the word means beside a tolerance."""


def finite(value: Any) -> Any:
    """A value as JSON has it: NaN and infinity become null, numpy's numbers those of Python."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "kind": measurement.kind,
        "predicted": measurement.predicted,
        "relation": measurement.relation.value,
        "measured": measurement.measured,
        "interval": measurement.interval,
        "tolerance": measurement.tolerance,
        "source": measurement.source,
        "slack": measurement.slack,
        "holds": measurement.holds,
    }


def _control(control: Control) -> dict[str, Any]:
    return {
        "id": control.id,
        "broken_premise": control.broken_premise,
        "expected": control.expected.value,
        "verdict": control.verdict.value,
        "failure": _measurement(control.failure),
        "claimed": control.claimed,
        "claimed_tolerance": control.claimed_tolerance,
        "holds": control.holds,
    }


def _claim(result: ClaimResult) -> dict[str, Any]:
    return {
        "id": result.claim.id,
        "statement": result.claim.statement,
        "formulas": list(result.claim.formulas),
        "paper_claims": dict(result.claim.paper_claims),
        "source": result.claim.source,
        "config": dict(result.config),
        "command": command_line(result),
        **({"about": list(result.about)} if result.about else {}),
        "premises": [
            {"name": p.name, "value": p.value, "holds": p.holds, "requirement": p.requirement}
            for p in result.premises
        ],
        "measurements": [_measurement(m) for m in result.measurements],
        "controls": [_control(c) for c in result.controls],
        "verdict": result.verdict.value,
        "notices": dict(result.notices),
        "finding": result.finding,
        "interrupted": result.interrupted,
        "seconds": round(result.seconds, 3),
    }


def tolerance(shown: str, source: str) -> str:
    """A tolerance as tables have it, with a word where narrower nets have set it."""
    return f"{shown} fitted" if source == "fitted" else shown


def noticed(notices: Mapping[str, float | None]) -> str:
    """What errors of theory a run would have noticed, in words; a dash where none is known.

    >>> noticed({"learning rate": 0.0254, "noise rate": 0.002})
    'would notice (99 %): learning rate off by 2.5 %, noise rate 0.2 %'
    """
    known = {name: value for name, value in notices.items() if value is not None}
    shown = [f"{name}{'' if place else ' off by'} {100 * value:.2g} %"
             for place, (name, value) in enumerate(known.items())]  # fmt: skip
    return f"would notice (99 %): {', '.join(shown) or '–'}"


def command_line(result: ClaimResult) -> str:
    """The command that repeats a run, with the knobs that it chose by itself.

    Where it chose several values of one, they follow from the others.
    """
    words = ["python", "-m", "ntk_theory.verify", result.claim.id]
    if result.claim.origin.endswith(".py"):
        words += ["--claims", result.claim.origin]
    options, knobs = result.options, sorted(result.claim.knobs - {"seeds", "widths", "dtype"})
    given = {name: getattr(options, name) for name in ("preset", "seed", "seeds", "widths")}
    given |= {name: options.knobs.get(name) for name in knobs}
    given |= {"device": options.device, "dtype": options.dtype}
    for name, asked in given.items():
        value = result.config.get(name) if asked is None else asked
        if name == "widths" and value is not None:
            value = ",".join(map(str, value))
        elif isinstance(value, list):
            value = None
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        if value is not None and (
            name in result.claim.knobs or name in ("preset", "seed", "device")
        ):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def to_document(
    results: Sequence[ClaimResult],
    environment: Mapping[str, Any],
    not_run: Sequence[str] = (),
    *,
    failed: Mapping[str, str] | None = None,
    exit_status: int | None = None,
) -> dict[str, Any]:
    """Everything but metrics and arrays, as JSON values.

    Two runs of one command on one machine differ in `seconds` only.

    Args:
        results: of the claims.
        environment: what they ran on.
        not_run: ids of claims that have not been run, or not yet.
        failed: what happened to claims that came to no verdict, by id.
        exit_status: of the run, or None while it has not come to its end.
    """
    document = {
        "schema": SCHEMA,
        "environment": dict(environment),
        "claims": [_claim(result) for result in results],
        "failed": [{"id": id_, "error": line} for id_, line in (failed or {}).items()],
        "not_run": list(not_run),
        "exit_status": exit_status,
    }
    return dict(finite(document))


def interruption(document: Mapping[str, Any]) -> str:
    """What a run never reached, in a few sentences; empty if it reached all of it."""
    cut = ", ".join(entry["id"] for entry in document["claims"] if entry["interrupted"])
    failed = " ".join(f"Failed: {one['id']} ({one['error']})." for one in document["failed"])
    left = ", ".join(document["not_run"])
    parts = [f"Cut short: {cut}." if cut else "", failed, f"Not run: {left}." if left else ""]
    return " ".join(filter(None, parts))


def alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, numbers up to what processors differ by.

    That is 1e-9 of them, or 1e-12 where they are rounding themselves, as differences of two
    computations of one number are.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return type(one) is type(other) and bool(one == other)


def to_json(document: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """The document as text; keys in a fixed order."""
    return json.dumps(document, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"
