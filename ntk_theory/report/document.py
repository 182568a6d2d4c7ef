"""Results as JSON values: all but metrics and arrays."""

from __future__ import annotations

__all__ = ["SCHEMA", "alike", "command_line", "finite", "interruption", "to_document", "to_json"]

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ntk_theory.verdicts import ClaimResult, Control, Measurement

SCHEMA = 1
"""Version of the JSON layout."""


def finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _measurement(measurement: Measurement) -> dict[str, Any]:
    return {
        "name": measurement.name,
        "predicted": measurement.predicted,
        "relation": measurement.relation.value,
        "measured": measurement.measured,
        "interval": measurement.interval,
        "tolerance": measurement.tolerance,
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
        "premises": [
            {"name": p.name, "value": p.value, "holds": p.holds, "requirement": p.requirement}
            for p in result.premises
        ],
        "measurements": [_measurement(m) for m in result.measurements],
        "controls": [_control(c) for c in result.controls],
        "verdict": result.verdict.value,
        "finding": result.finding,
        "interrupted": result.interrupted,
        "seconds": round(result.seconds, 3),
    }


def command_line(result: ClaimResult) -> str:
    """The command that repeats a run, with the knobs that it chose by itself.

    Where it chose several values of one, they follow from the others.
    """
    words = ["python", "-m", "ntk_theory.verify", result.claim.id]
    for flag in (
        "preset", "seed", "seeds", "widths", "clusters", "points", "ratio", "cross_cosine",
        "noise_rate", "steps", "schedule", "learning_rate", "init_scale", "device", "dtype",
    ):  # fmt: skip
        taken = flag in result.claim.knobs or flag in ("preset", "seed", "device")
        value = getattr(result.options, flag)
        if value is None:
            value = result.config.get(flag)
        if flag == "widths" and value is not None:
            value = ",".join(map(str, value))
        elif isinstance(value, list):
            value = None
        if taken and value is not None:
            words += [f"--{flag.replace('_', '-')}", str(value)]
    return shlex.join(words)


def to_document(
    results: Sequence[ClaimResult], environment: Mapping[str, Any], not_run: Sequence[str] = ()
) -> dict[str, Any]:
    """Everything but metrics and arrays, as JSON values.

    Two runs of one command on one machine differ in `seconds` only.

    Args:
        results: of the claims.
        environment: what they ran on.
        not_run: ids of claims that an interruption came before.
    """
    document = {
        "schema": SCHEMA,
        "environment": dict(environment),
        "claims": [_claim(result) for result in results],
        "not_run": list(not_run),
    }
    return dict(finite(document))


def interruption(document: Mapping[str, Any]) -> str:
    """What an interrupted run did not come to, in one sentence; empty if it was not interrupted."""
    if not any(entry["interrupted"] for entry in document["claims"]):
        return ""
    cut = ", ".join(entry["id"] for entry in document["claims"] if entry["interrupted"])
    left = ", ".join(document["not_run"])
    return f"Cut short: {cut}." + (f" Not run: {left}." if left else "")


def alike(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, numbers up to what processors differ by (1e-9)."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return type(one) is type(other) and bool(one == other)


def to_json(document: Mapping[str, Any]) -> str:
    """The document as text; keys in a fixed order."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
