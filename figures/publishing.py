"""A figure from the runs of claims: the picture, the data it shows, and how both were made."""

from __future__ import annotations

__all__ = ["FORMATS", "PRESETS", "Picture", "Runs", "draw", "gallery", "publish"]

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntk_theory import drawing
from ntk_theory.checking.verdicts import ClaimResult, Options, Progress
from ntk_theory.claims import all_claims
from ntk_theory.machine.atomic import write_whole
from ntk_theory.machine.environment import describe_environment
from ntk_theory.machine.progress import Silent
from ntk_theory.report.document import command_line, finite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PRESETS = ("quick", "standard", "thorough")
FORMATS = ("png", "svg", "pdf")
_COLUMNS = ("panel", "series", "run", "x", "y", "low", "high", "value")


_FOREWORD = """\
The argument in pictures: predictions dashed over what trained nets did, in colour, with the range
over nets. `python -m figures` draws all of them from the claims' own runs, in some three minutes on
two cores. Beside each picture stand the data it shows (`NAME.csv`) and what it was made of
(`NAME.json`); `python -m figures --check` says whether the same data come out again. The figure
numbers of the paper were not at hand: these are named by what they show.
"""


@dataclass(frozen=True)
class Picture:
    """What a figure shows, and from whose runs.

    Attributes:
        number: place in the gallery.
        name: of its files.
        title: in a few words, for the gallery.
        shows: one sentence: what is to be seen.
        panels: claim and name of the panel, one after the other.
    """

    number: int
    name: str
    title: str
    shows: str
    panels: tuple[tuple[str, str], ...]

    @property
    def claims(self) -> tuple[str, ...]:
        """Claims whose runs it draws, each once."""
        return tuple(dict.fromkeys(claim for claim, _ in self.panels))


@dataclass
class Runs:
    """Runs of claims, each made when it is first asked for.

    Attributes:
        options: of all of them.
        progress: told how far they have come.
        made: results so far, by claim.
    """

    options: Options = field(default_factory=lambda: Options(preset="quick"))
    progress: Progress = field(default_factory=Silent)
    made: dict[str, ClaimResult] = field(default_factory=dict)

    def result(self, claim: str) -> ClaimResult:
        """The run of a claim."""
        if claim not in self.made:
            self.made[claim] = all_claims()[claim].run(self.options, self.progress)
        return self.made[claim]


def draw(picture: Picture, runs: Runs) -> tuple[Figure, list[Axes]]:
    """The figure, its panels below each other, in the style that is set."""
    width, height = drawing.COLUMN
    figure = drawing.figure(width, height * len(picture.panels))
    axes = list(figure.subplots(len(picture.panels), 1, squeeze=False)[:, 0])
    for one, (claim, panel) in zip(axes, picture.panels, strict=True):
        all_claims()[claim].panels[panel](one, runs.result(claim))
    return figure, axes


def _rows(picture: Picture, axes: Sequence[Axes]) -> Iterable[list[Any]]:
    """Every point that the figure shows: what its series is, and which of those of that name."""
    for one, (_, panel) in zip(axes, picture.panels, strict=True):
        seen: dict[str, int] = {}
        for series in drawing.plotted(one):
            run = seen[series.name] = seen.get(series.name, -1) + 1
            columns = [series.columns.get(name) for name in _COLUMNS[3:]]
            for place in range(len(series.columns["x"])):
                numbers = ("" if c is None else f"{c[place]:.9g}" for c in columns)
                yield [panel, series.name, run, *numbers]


def _made_of(result: ClaimResult) -> dict[str, Any]:
    config: Mapping[str, Any] = finite(dict(result.config))
    return {"verdict": result.verdict.value, "command": command_line(result), "config": config}


def publish(
    picture: Picture, out: Path, runs: Runs | None = None, formats: Sequence[str] = ("png",)
) -> list[Path]:
    """Draw a figure and write it, with the data it shows and what it was made of.

    Args:
        picture: which.
        out: folder; made if it is not there.
        runs: of the claims, shared with other figures; fresh ones at the quick preset if left out.
        formats: of the picture: "png", "svg", "pdf".

    Returns:
        The files written: NAME.csv, NAME.json, and the picture in each format.
    """
    runs = Runs() if runs is None else runs
    out.mkdir(parents=True, exist_ok=True)
    stem = out / picture.name
    with drawing.style({"svg.hashsalt": picture.name}):
        figure, axes = draw(picture, runs)
        data = StringIO()
        writer = csv.writer(data, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(_rows(picture, axes))
        write_whole(stem.with_suffix(".csv"), data.getvalue())
        made = {
            "figure": picture.name,
            "preset": runs.options.preset,
            "seed": runs.options.seed,
            "claims": {claim: _made_of(runs.result(claim)) for claim in picture.claims},
            "environment": describe_environment(),
        }
        text = json.dumps(made, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_whole(stem.with_suffix(".json"), text)
        files = [stem.with_suffix(".csv"), stem.with_suffix(".json")]
        for ending in formats:
            # No date: the same run gives the same file.
            dates = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
            files.append(stem.with_suffix(f".{ending}"))
            drawn = BytesIO()
            figure.savefig(drawn, format=ending, metadata=dates[ending])
            write_whole(files[-1], drawn.getvalue())
    return files


def gallery(pictures: Iterable[Picture], folder: str) -> str:
    """Markdown that shows every figure: picture, one sentence, command, claims.

    Args:
        pictures: in their order.
        folder: of the files, as seen from the Markdown.
    """
    parts = ["# Figures\n", "<!-- Generated by `python -m figures`: do not edit. -->\n", _FOREWORD]
    for one in pictures:
        claims = ", ".join(f"[{id_}](../paper_checks.md#{id_})" for id_ in one.claims)
        parts.append(
            f"## {one.number}. {one.title}\n\n![{one.title}]({folder}/{one.name}.png)\n\n"
            f"{one.shows}\n\nClaim: {claims}. Data: [{one.name}.csv]({folder}/{one.name}.csv), "
            f"[{one.name}.json]({folder}/{one.name}.json).\n\n"
            f"```\npython -m figures --only {one.name}\n```\n"
        )
    return "\n".join(parts)
