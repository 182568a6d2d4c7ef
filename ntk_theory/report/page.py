"""Recorded results as one HTML page: no script, nothing from the network, made to be looked at."""

from __future__ import annotations

__all__ = ["gauge", "to_page"]

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ntk_theory.report.document import FITTED, interruption, noticed, tolerance

_MEANING = {
    "SUPPORTED": "premises met, every measurement within its tolerance, every control failed as "
    "it must",
    "VIOLATED": "premises met, some measurement outside its tolerance",
    "PREMISE_UNMET": "some premise is not met: the theorem says nothing here",
    "INCONCLUSIVE": "an interval or a tolerance leaves it open, or a control did not fail",
}

_STYLE = """\
:root { color-scheme: light; --ink: #1a1a1a; --quiet: #595959; --line: #d9d9d9;
  --good: #00634a; --bad: #a31700; --open: #7a5200; --paper: #fff; --soft: #f5f5f3; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.35rem; margin: 0; }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
section { border-top: 3px solid var(--ink); margin-top: 3rem; padding-top: 1rem; }
.top { display: flex; flex-wrap: wrap; gap: .3rem 1rem; align-items: baseline; }
.of { color: var(--quiet); }
.verdict { font-weight: 700; white-space: nowrap; }
.SUPPORTED, .yes { color: var(--good); } .VIOLATED, .no { color: var(--bad); }
.PREMISE_UNMET, .INCONCLUSIVE, .open { color: var(--open); }
.no, .yes, .open { font-weight: 600; }
.found { font-size: 1.05rem; }
.statement { color: var(--quiet); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .84rem; line-height: 1.35; }
th { text-align: left; color: var(--quiet); font-weight: 600; border-bottom: 1px solid var(--ink); }
th, td { padding: .3rem .6rem .3rem 0; vertical-align: top; }
tbody tr { border-bottom: 1px solid var(--line); }
td:first-child { min-width: 13rem; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.pictures { display: grid; gap: 1rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); }
figure { margin: 0; max-width: 34rem; }
figcaption { color: var(--quiet); font-size: .84rem; }
figure svg { width: 100%; height: auto; display: block; }
pre { background: var(--soft); padding: .6rem .8rem; font-size: .82rem; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .4rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .84rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
a { color: inherit; }
.gauge { width: 9rem; height: 1.1rem; display: block; }
@media (max-width: 40rem) { body { font-size: 15px; } dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .4rem; } td:first-child { min-width: 6.5rem; }
  .wide { display: none; } .gauge { width: 4.5rem; } th, td { padding-right: .4rem; } }
@media print { main { max-width: none; padding: 0; } body { font-size: 10pt; }
  section { break-before: page; } tr, figure, pre { break-inside: avoid; }
  .scroll { overflow: visible; } table { font-size: 7.5pt; } td:first-child { min-width: 0; }
  .gauge { width: 5rem; } }
"""


_SIGNS = {"equal": "±", "at least": "≥ −", "at most": "≤ +"}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}".replace("-", "−")


def _mark(holds: bool | None) -> str:
    if holds is None:
        return '<span class="open">open</span>'
    return '<span class="yes">yes</span>' if holds else '<span class="no">NO</span>'


def _table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[int],
    wide: Sequence[int] = (),
) -> str:
    """HTML table of cells that are HTML already.

    Args:
        headings: of the columns.
        rows: of the body.
        numbers: columns that are set as figures.
        wide: columns that a narrow screen leaves out.
    """
    classes = [
        " ".join(["number"] * (column in numbers) + ["wide"] * (column in wide))
        for column in range(len(headings))
    ]
    opened = [f' class="{names}"' if names else "" for names in classes]

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{names}>{cell}</{tag}>" for names, cell in zip(opened, row, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", headings)}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def gauge(measurement: Mapping[str, Any]) -> str:
    """Where a measurement lies in its tolerance, as a small SVG.

    The grey band is what is allowed, the tick in it the prediction, the dot what was measured, the
    line its interval. The width is three tolerances; what lies beyond is shown at the edge.
    """
    tolerance, predicted = measurement["tolerance"], measurement["predicted"]
    if measurement["measured"] is None or predicted is None or tolerance is None:
        return ""

    def place(value: float) -> float:
        difference = value - predicted
        # Without a tolerance all that differs is beyond the edge.
        share = difference / tolerance if tolerance > 0 else math.copysign(2.0, difference)
        if difference == 0:
            share = 0.0
        return 75 + 45 * max(-1.5, min(1.5, share))

    low = 7.5 if measurement["relation"] == "at most" else 30.0
    high = 142.5 if measurement["relation"] == "at least" else 120.0
    holds = measurement["holds"]
    colour = "#7a5200" if holds is None else ("#00634a" if holds else "#a31700")
    parts = [
        f'<rect x="{low:g}" y="3" width="{high - low:g}" height="12" fill="#e3e3df"/>',
        '<line x1="75" y1="1" x2="75" y2="17" stroke="#1a1a1a" stroke-width="1"/>',
    ]
    ends = measurement["interval"]
    if ends is not None and None not in ends:
        parts.append(
            f'<line x1="{place(ends[0]):.1f}" y1="9" x2="{place(ends[1]):.1f}" y2="9" '
            f'stroke="{colour}" stroke-width="2.5"/>'
        )
    parts.append(
        f'<circle cx="{place(measurement["measured"]):.1f}" cy="9" r="4" fill="{colour}"/>'
    )
    return f'<svg class="gauge" viewBox="0 0 150 18" aria-hidden="true">{"".join(parts)}</svg>'


def _measurements(entry: Mapping[str, Any]) -> str:
    rows = [
        (
            escape(m["name"]),
            _number(m["predicted"]),
            _number(m["measured"]),
            " … ".join(map(_number, m["interval"])) if m["interval"] else "",
            tolerance(_SIGNS[m["relation"]] + _number(m["tolerance"]), m["source"]),
            gauge(m),
            _mark(m["holds"]),
        )
        for m in entry["measurements"]
    ]
    headings = (
        "measurement", "predicted", "measured", "interval", "tolerance",
        "in its tolerance", "holds",
    )  # fmt: skip
    return _table(headings, rows, (1, 2, 3, 4), wide=(3, 4))


def _premises(entry: Mapping[str, Any]) -> str:
    rows = [
        (escape(p["name"]), _number(p["value"]), escape(p["requirement"]), _mark(p["holds"]))
        for p in entry["premises"]
    ]
    return _table(("premise", "value", "required", "holds"), rows, (1,))


def _controls(entry: Mapping[str, Any]) -> str:
    rows = [
        (
            f"<b>{escape(c['id'])}</b>: {escape(c['broken_premise'])}",
            _number(c["claimed"]),
            _number(c["failure"]["predicted"]),
            _number(c["failure"]["measured"]),
            _SIGNS[c["failure"]["relation"]] + _number(c["failure"]["tolerance"]),
            c["verdict"],
            _mark(c["holds"]),
        )
        for c in entry["controls"]
    ]
    headings = (
        "broken premise", "claimed", "failure predicted", "measured", "tolerance", "verdict",
        "as expected",
    )  # fmt: skip
    return _table(headings, rows, (1, 2, 3, 4), wide=(4,))


def _definitions(values: Mapping[str, Any]) -> str:
    def text(value: Any) -> str:
        if isinstance(value, list):
            return ", ".join(map(text, value))
        return "–" if value is None else str(value)

    items = "".join(
        f"<dt>{escape(key.replace('_', ' '))}</dt><dd>{escape(text(value))}</dd>\n"
        for key, value in values.items()
    )
    return f"<dl>{items}</dl>\n"


def _section(entry: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    id_, verdict = escape(entry["id"]), entry["verdict"]
    formulas = escape("\n".join(entry["formulas"]))
    drawn = "".join(
        f'<figure role="img" aria-label="{id_}, {escape(name)}: prediction (dashed) over '
        f'measurement">{svg}<figcaption>{escape(name.replace("-", " "))}</figcaption></figure>\n'
        for name, svg in pictures.items()
    )
    head = (
        f'<h2>{id_}</h2><span class="of">{", ".join(entry["paper_claims"])}</span>'
        f'<span class="verdict {verdict}">{verdict}</span>'
    )
    parts = [
        f'<section id="{id_}">\n<div class="top">{head}</div>\n',
        f'<p class="statement">{escape(entry["statement"])}</p>\n',
        f'<p class="found">{escape(entry["finding"])}.</p>\n',
        f"<p>It {noticed(entry['notices'])}.</p>\n" if entry["notices"] else "",
        *(f'<p class="of">{escape(line)}</p>\n' for line in entry.get("about", [])),
        f'<div class="pictures">\n{drawn}</div>\n' if drawn else "",
    ]
    for title, made, rows in (
        ("Premises", _premises, "premises"),
        ("Measurements", _measurements, "measurements"),
        ("Controls, which have to fail", _controls, "controls"),
    ):
        if entry[rows]:
            parts.append(f"<h3>{title}</h3>\n{made(entry)}")
    parts += [
        f"<h3>Formulas</h3>\n<pre>{formulas}</pre>\n",
        f'<p class="of">{escape(entry["source"])}</p>\n',
        f"<h3>Configuration</h3>\n{_definitions(entry['config'])}",
        f"<h3>Run it again</h3>\n<pre>{escape(entry['command'])}</pre>\n</section>\n",
    ]
    return "".join(parts)


def _summary(entries: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f'<a href="#{escape(e["id"])}">{escape(e["id"])}</a>',
            ", ".join(e["paper_claims"]),
            f'<span class="verdict {e["verdict"]}">{e["verdict"]}</span>',
            escape(e["finding"]),
            f"{sum(m['holds'] is True for m in e['measurements'])}/{len(e['measurements'])}",
            f"{sum(c['holds'] for c in e['controls'])}/{len(e['controls'])}",
        )
        for e in entries
    ]
    headings = ("claim", "of the abstract", "verdict", "found", "measurements", "controls")
    return _table(headings, rows, (4, 5), wide=(1, 3))


def to_page(
    document: Mapping[str, Any], pictures: Mapping[str, Mapping[str, str]], command: str
) -> str:
    """A whole document as one self-contained page.

    Args:
        document: of `document.to_document`.
        pictures: SVG elements of each claim that has some, by its id and their names.
        command: that made it.
    """
    entries, left = document["claims"], interruption(document)
    supported = sum(entry["verdict"] == "SUPPORTED" for entry in entries)
    controls = [control["holds"] for entry in entries for control in entry["controls"]]
    meaning = "".join(
        f'<dt class="verdict {verdict}">{verdict}</dt><dd>{text}</dd>\n'
        for verdict, text in _MEANING.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>Claims, checked on trained nets</title>\n<style>\n{_STYLE}</style>\n</head>\n"
        "<body>\n<main>\n<header>\n<h1>Claims, checked on trained nets</h1>\n"
        "<p>Trained two-layer ReLU nets against the closed forms of theory, that of arXiv "
        "1910.01255 (Distillation ≈ Early Stopping?) and others. A numerical check supports a "
        "claim; it never proves it.</p>\n"
        f'<p class="found"><b>{supported} of {len(entries)}</b> claims are supported; '
        f"<b>{sum(controls)} of {len(controls)}</b> controls failed as they must.</p>\n"
        + (f'<p class="found"><b>Not complete.</b> {escape(left)}</p>\n' if left else "")
        + f"<pre>{escape(command)}</pre>\n</header>\n"
        f"{_summary(entries)}"
        + "".join(_section(entry, pictures.get(entry["id"], {})) for entry in entries)
        + '<section id="environment">\n<h2>Environment and words</h2>\n'
        f"{_definitions(document['environment'])}"
        f"<h3>Verdicts</h3>\n<dl>{meaning}</dl>\n"
        "<h3>The small pictures</h3>\n<p>Grey is what the tolerance allows, the tick in it the "
        "prediction, the dot what was measured, the line its range over nets or its interval. What "
        "lies beyond one and a half tolerances is drawn at the edge.</p>\n"
        f"<p>{FITTED}.</p>\n"
        "</section>\n</main>\n</body>\n</html>\n"
    )
