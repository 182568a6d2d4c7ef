"""Results as tables on the console."""

from __future__ import annotations

__all__ = ["print_result", "print_summary"]

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntk_theory.checking.verdicts import ClaimResult, Measurement, Relation, Verdict
from ntk_theory.report.document import FITTED, noticed, tolerance

_COLOURS = {
    Verdict.SUPPORTED: "bold green",
    Verdict.VIOLATED: "bold red",
    Verdict.PREMISE_UNMET: "bold yellow",
    Verdict.INCONCLUSIVE: "bold yellow",
}
_DECIDING = 8
"""Rows that are shown of a claim, unless more fail."""

_SIGNS = {Relation.EQUAL: "±", Relation.AT_LEAST: "≥ −", Relation.AT_MOST: "≤ +"}


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


def _measurement_table(measurements: Sequence[Measurement], title: str, *, sources: bool) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("quantity")
    for heading in ("predicted", "measured", "interval", "tolerance", "slack"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("holds")
    for m in measurements:
        interval = "" if m.interval is None else " … ".join(map(_number, m.interval))
        table.add_row(
            m.name,
            _number(m.predicted),
            _number(m.measured),
            interval,
            tolerance(f"{_SIGNS[m.relation]}{_number(m.tolerance)}", m.source if sources else ""),
            _number(m.slack),
            _mark(m.holds),
        )
    return table


def _tightness(measurement: Measurement) -> float:
    """How near a row is to failing: 0 where it has failed or is open, 1 where all is left."""
    if measurement.holds is not True:
        return 0.0
    return measurement.slack / measurement.tolerance if measurement.tolerance > 0 else 1.0


def _deciding(result: ClaimResult) -> list[Measurement]:
    """Rows that decide, in their order: all that do not hold, and those nearest to failing."""
    rows = [m for m in result.measurements if m.kind == "row" or m.holds is not True]
    shown = {id(m) for m in sorted(rows, key=_tightness)[:_DECIDING]}
    return [m for m in rows if id(m) in shown or m.holds is not True]


def _left_out(result: ClaimResult, shown: Sequence[Measurement]) -> str:
    """What the rows that are not shown are about."""
    there = {id(m) for m in shown}
    kinds: Counter[str] = Counter(m.kind for m in result.measurements if id(m) not in there)
    said = {"row": "rows", "formula": "closed forms without nets", "falling": "falling deviations"}
    parts = [f"{kinds[kind]} {words}" for kind, words in said.items() if kinds[kind]]
    return f"and {', '.join(parts)} that hold (--verbose)" if parts else ""


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


def _verdict(result: ClaimResult) -> Text:
    return Text(result.verdict.value, style=_COLOURS[result.verdict])


def print_result(console: Console, result: ClaimResult, *, verbose: bool = False) -> None:
    """Print one claim: what was found, premises, the rows that decide, controls.

    Args:
        console: to print on.
        result: of the claim.
        verbose: print statement, premises and all rows as tables, too.
    """
    console.print()
    console.print(_verdict(result), Text(f"{result.claim.id}: {result.finding}."))
    if verbose:
        console.print(Text(f"{result.claim.statement} ({result.claim.source})"))
    for line in result.about:
        console.print(Text(line))
    console.print()
    unmet = [premise for premise in result.premises if not premise.holds]
    if (verbose and result.premises) or unmet:
        console.print(_premise_table(result))
        console.print()
    elif result.premises:
        console.print(Text(f"Premises: all {len(result.premises)} hold (--verbose)"))
        console.print()
    if result.measurements:
        rows = list(result.measurements) if verbose else _deciding(result)
        title = "Measurements" if verbose else "Measurements that decide"
        console.print(_measurement_table(rows, title, sources=verbose))
        fitted = any(m.source == "fitted" for m in rows)
        left = _left_out(result, rows) if not verbose else f"({FITTED})" if fitted else ""
        console.print(Text(left))
        if result.notices:
            console.print(Text(noticed(result.notices)))
        console.print()
    if result.controls:
        console.print(_control_table(result))


def print_summary(
    console: Console, results: Sequence[ClaimResult], not_run: Sequence[Any] = ()
) -> None:
    """Print one line a claim: verdict, checks made, time; `not_run` are those not come to."""
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
    for claim in not_run:
        table.add_row(claim.id, ", ".join(claim.paper_claims), "not run", "–", "–", "–")
    console.print()
    console.print(table)
