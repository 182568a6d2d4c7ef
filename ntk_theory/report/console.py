"""Results as tables on the console."""

from __future__ import annotations

__all__ = ["print_result", "print_summary"]

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ntk_theory.verdicts import Claim, ClaimResult, Relation, Verdict

_COLOURS = {
    Verdict.SUPPORTED: "bold green",
    Verdict.VIOLATED: "bold red",
    Verdict.PREMISE_UNMET: "bold yellow",
    Verdict.INCONCLUSIVE: "bold yellow",
}
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


def print_summary(
    console: Console, results: Sequence[ClaimResult], not_run: Sequence[Claim] = ()
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
