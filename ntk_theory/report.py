"""Results for people and for programs: console table, JSON, metrics, arrays, picture."""

from __future__ import annotations

__all__ = [
    "SCHEMA",
    "command_line",
    "print_result",
    "print_summary",
    "save_picture",
    "to_document",
    "to_json",
    "write_files",
]

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntk_theory.verdicts import ClaimResult, Control, Measurement, Relation, Verdict

SCHEMA = 1
"""Version of the JSON layout."""

_COLOURS = {
    Verdict.SUPPORTED: "bold green",
    Verdict.VIOLATED: "bold red",
    Verdict.PREMISE_UNMET: "bold yellow",
    Verdict.INCONCLUSIVE: "bold yellow",
}
_SIGNS = {Relation.EQUAL: "±", Relation.AT_LEAST: "≥ −", Relation.AT_MOST: "≤ +"}

# ---------------------------------------------------------------- JSON


def _finite(value: Any) -> Any:
    """JSON has no NaN or infinity: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
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
    """The command that repeats a run, with every number that it chose by itself."""
    words = ["python", "-m", "ntk_theory.verify", result.claim.id]
    for flag in (
        "preset", "seed", "seeds", "widths", "clusters", "points", "ratio", "cross_cosine",
        "noise_rate", "steps", "schedule", "learning_rate", "init_scale", "device", "dtype",
    ):  # fmt: skip
        taken = flag in result.claim.knobs or flag in ("preset", "seed", "device")
        value = result.config.get(flag)
        if taken and value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            words += [f"--{flag.replace('_', '-')}", text]
    return shlex.join(words)


def to_document(results: Sequence[ClaimResult], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but metrics and arrays, as JSON values.

    Two runs of one command on one machine differ in `seconds` only.
    """
    document = {
        "schema": SCHEMA,
        "environment": dict(environment),
        "claims": [_claim(result) for result in results],
    }
    return dict(_finite(document))


def to_json(document: Mapping[str, Any]) -> str:
    """The document as text; keys in a fixed order."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def save_picture(file: Path, result: ClaimResult) -> None:
    """Draw a claim's prediction over its measurement and save it as PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    result.claim.draw(figure, result)
    figure.savefig(file, dpi=160)


def write_files(
    directory: Path, results: Sequence[ClaimResult], environment: Mapping[str, Any]
) -> list[Path]:
    """Write results.json, and for each claim ID metrics ID.jsonl, arrays ID.npz, picture ID.png.

    Returns:
        The files written.
    """
    import numpy as np

    files = [directory / "results.json"]
    files[0].write_text(to_json(to_document(results, environment)), encoding="utf-8")
    for result in results:
        stem = directory / result.claim.id
        rows = ({"claim": result.claim.id} | dict(row) for row in result.metrics)
        metrics = "".join(json.dumps(_finite(row)) + "\n" for row in rows)
        stem.with_suffix(".jsonl").write_text(metrics, encoding="utf-8")
        files.append(stem.with_suffix(".jsonl"))
        if result.arrays:
            np.savez_compressed(stem.with_suffix(".npz"), **result.arrays)
            save_picture(stem.with_suffix(".png"), result)
            files += [stem.with_suffix(".npz"), stem.with_suffix(".png")]
    return files


# ---------------------------------------------------------------- console


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _mark(holds: bool | None) -> Text:
    if holds is None:
        return Text("open", style="yellow")
    return Text("yes", style="green") if holds else Text("NO", style="bold red")


def _premise_table(result: ClaimResult) -> Table:
    table = Table(title="Premises", title_justify="left", box=None, pad_edge=False)
    for heading in ("premise", "value", "required", "holds"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for premise in result.premises:
        table.add_row(
            premise.name, _number(premise.value), premise.requirement, _mark(premise.holds)
        )
    return table


def _measurement_table(result: ClaimResult) -> Table:
    table = Table(title="Measurements", title_justify="left", box=None, pad_edge=False)
    table.add_column("quantity")
    for heading in ("predicted", "measured", "interval", "tolerance", "slack"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("holds")
    for m in result.measurements:
        interval = "" if m.interval is None else " … ".join(map(_number, m.interval))
        table.add_row(
            m.name,
            _number(m.predicted),
            _number(m.measured),
            interval,
            f"{_SIGNS[m.relation]}{_number(m.tolerance)}",
            _number(m.slack),
            _mark(m.holds),
        )
    return table


def _control_table(result: ClaimResult) -> Table:
    table = Table(title="Controls (must fail)", title_justify="left", box=None, pad_edge=False)
    table.add_column("broken premise")
    for heading in ("claimed", "predicted failure", "measured", "tolerance"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    table.add_column("as expected")
    for control in result.controls:
        failure = control.failure
        table.add_row(
            f"{control.id}: {control.broken_premise}",
            _number(control.claimed),
            _number(failure.predicted),
            _number(failure.measured),
            f"{_SIGNS[failure.relation]}{_number(failure.tolerance)}",
            control.verdict.value,
            _mark(control.holds),
        )
    return table


def print_result(console: Console, result: ClaimResult) -> None:
    """Print one claim: statement, tables, and a last line that says what was found."""
    console.print()
    console.print(Text(result.claim.id, style="bold"), Text(f"({result.claim.source})"))
    console.print(Text(result.claim.statement))
    tables = [_premise_table(result)]
    if result.measurements:
        tables.append(_measurement_table(result))
    if result.controls:
        tables.append(_control_table(result))
    for table in tables:
        console.print()
        console.print(table)
    console.print()
    verdict = Text(result.verdict.value, style=_COLOURS[result.verdict])
    console.print(verdict, Text(f"{result.claim.id}: {result.finding}."))


def print_summary(console: Console, results: Sequence[ClaimResult]) -> None:
    """Print one line a claim: verdict, checks made, time."""
    table = Table(title="Summary", title_justify="left", box=None, pad_edge=False)
    for heading in ("claim", "checks", "verdict"):
        table.add_column(heading)
    for heading in ("measurements", "controls", "seconds"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            result.claim.id,
            ", ".join(result.claim.paper_claims),
            Text(result.verdict.value, style=_COLOURS[result.verdict]),
            f"{sum(m.holds is True for m in result.measurements)}/{len(result.measurements)}",
            f"{sum(c.holds for c in result.controls)}/{len(result.controls)}",
            f"{result.seconds:.1f}",
        )
    console.print()
    console.print(table)
