"""Recorded results as Markdown: tables, one claim, a whole report."""

from __future__ import annotations

__all__ = ["environment_line", "section", "table", "to_markdown"]

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ntk_theory.report.document import FITTED, interruption, noticed, tolerance


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    if isinstance(value, float | int):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " … ".join(map(_cell, value))
    return str(value).replace("|", "\\|")


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; numbers get four digits, None a dash."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def section(entry: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """One claim of a document: what was found, tables, and the commands that repeat it.

    Args:
        entry: of the claim, as `document.to_document` has it.
        pictures: addresses of its pictures; none where nothing could be drawn.
    """
    minutes = max(0.1, math.ceil(entry["seconds"] / 6) / 10)
    measurement = ("name", "predicted", "relation", "measured", "interval", "tolerance", "holds")
    sources = [row.get("source", "") for row in entry["measurements"]]
    said = [{**row, "tolerance": tolerance(_cell(row["tolerance"]), source)}
            for row, source in zip(entry["measurements"], sources, strict=True)]  # fmt: skip
    parts = [
        f"## {entry['id']}",
        f"{entry['statement']}",
        f"Source: {entry['source']}.",
        f"```\npython -m ntk_theory.verify {entry['id']}\n```",
        f"**{entry['verdict']}** in {minutes:g} minutes: {entry['finding']}.",
        "\n".join(f"- {line}" for line in entry.get("about", [])),
        " ".join(f"![{entry['id']}: prediction over measurement]({file})" for file in pictures),
        table(
            ("measurement", *measurement[1:]),
            [[row[key] for key in measurement] for row in said],
        ),
        f"({FITTED})" if "fitted" in sources else "",
        f"It {noticed(entry.get('notices', {}))}",
        table(
            ["premise", "value", "required", "holds"],
            [[p["name"], p["value"], p["requirement"], p["holds"]] for p in entry["premises"]],
        ),
        table(
            ["control", "broken premise", "claimed", "failure predicted", "measured", "verdict"],
            [
                [
                    control["id"],
                    control["broken_premise"],
                    control["claimed"],
                    control["failure"]["predicted"],
                    control["failure"]["measured"],
                    control["verdict"],
                ]
                for control in entry["controls"]
            ],
        ),
        f"With what it chose by itself:\n\n```\n{entry['command']}\n```",
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def environment_line(environment: Mapping[str, Any]) -> str:
    """What a document was recorded on, in one sentence."""
    versions = ", ".join(
        f"{key} {environment[key]}" for key in ("python", "numpy", "scipy", "torch")
    )
    return (
        f"Recorded on {environment['platform']} with {environment['threads']} threads; {versions}."
    )


def to_markdown(
    document: Mapping[str, Any], pictures: Mapping[str, Sequence[str]], command: str
) -> str:
    """A whole document as a report.

    Args:
        document: of `document.to_document`.
        pictures: addresses of the pictures of each claim that has some, by its id.
        command: that made it.
    """
    rows = [
        [
            f"[{entry['id']}](#{entry['id']})",
            ", ".join(entry["paper_claims"]),
            entry["verdict"],
            entry["finding"],
        ]
        for entry in document["claims"]
    ]
    parts = [
        "# Claims, checked on trained nets\n",
        f"```\n{command}\n```\n",
        "A numerical check supports a claim; it never proves it.\n",
        *([f"**Not complete.** {left}\n"] if (left := interruption(document)) else []),
        table(["claim", "of the abstract", "verdict", "found"], rows),
        *[section(entry, pictures.get(entry["id"], ())) for entry in document["claims"]],
        environment_line(document["environment"]) + "\n",
    ]
    return "\n".join(parts)
