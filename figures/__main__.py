"""Command line: `python -m figures [--only NAME …] [--preset quick|standard|thorough] [--check]`.

Exit status: 0 drawn (or up to date), 1 what was drawn differs from what is committed, 2 bad use, 5
a fault of this program, 130 interrupted.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from figures import all_figures
from figures.publishing import FORMATS, PRESETS, Picture, Runs, gallery, publish
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.command.program import complain, guarded
from ntk_theory.machine.atomic import write_whole
from ntk_theory.machine.progress import Bar, bars

_PROG = "python -m figures"
HERE = Path(__file__).parent
GALLERY = HERE / "gallery"
TOLERANCE = 1e-6
"""Relative: other processors and BLAS round differently, and rounding grows with the steps."""


def _formats(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = [one for one in chosen if one not in FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"expected one or more of {', '.join(FORMATS)}, separated by commas; got {unknown[0]!r}"
        )
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROG, description="Draw the figures from the claims' own runs."
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these figures")
    parser.add_argument("--list", action="store_true", help="list the figures and stop")
    parser.add_argument(
        "--preset", choices=PRESETS, default="quick", help="of the runs (default: quick)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the runs")
    parser.add_argument(
        "--format",
        type=_formats,
        default=("png",),
        metavar="FORMAT,…",
        help=f"of the pictures: {', '.join(FORMATS)} (default: png)",
    )
    parser.add_argument(
        "--out", type=Path, default=GALLERY, metavar="DIR", help="where they go (default: gallery)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say whether the data of the gallery come out again",
    )
    return parser


def differences(drawn: Path, committed: Path) -> list[str]:
    """What two data files of a figure disagree about; empty if they agree to `TOLERANCE`."""
    try:
        tables = [
            list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
            for file in (drawn, committed)
        ]
    except OSError as error:
        return [f"{committed.name}: cannot be read: {error.strerror}"]
    new, old = tables
    if [row[:3] for row in new] != [row[:3] for row in old]:
        return [f"{committed.name}: other panels, series or numbers of points"]
    scale: dict[tuple[str, ...], float] = {}
    for row in old[1:]:
        sizes = [abs(float(cell)) for cell in row[4:] if cell and math.isfinite(float(cell))]
        scale[tuple(row[:2])] = max([scale.get(tuple(row[:2]), 0.0), *sizes])
    worst = 0.0
    for left, right in zip(new[1:], old[1:], strict=True):
        for one, other in zip(left[3:], right[3:], strict=True):
            if one != other and one and other:
                size = max(scale[tuple(right[:2])], abs(float(other)), 1e-300)
                worst = max(worst, abs(float(one) - float(other)) / size)
            elif one != other:
                return [f"{committed.name}: other columns"]
    return [f"{committed.name}: off by {worst:.2g} of its series"] if worst > TOLERANCE else []


def _draw(pictures: Sequence[Picture], runs: Runs, out: Path, formats: Sequence[str]) -> None:
    """Draw figures one after the other; their claims are run as they are needed."""
    for number, one in enumerate(pictures, start=1):
        publish(one, out, runs, formats)
        weak = [id_ for id_ in one.claims if runs.result(id_).verdict is not Verdict.SUPPORTED]
        note = "".join(f"; {id_} is {runs.result(id_).verdict.value} here" for id_ in weak)
        print(f"{number:>2} of {len(pictures)}  {one.name}{note}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return guarded(_PROG, lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    figures = all_figures()
    unknown = [name for name in arguments.only or () if name not in figures]
    if unknown:
        parser.error(f"no figure {unknown[0]!r}; the figures are {', '.join(figures)}")
    if arguments.list:
        print("\n".join(f"{one.name:16} {one.shows}" for one in figures.values()))
        return 0
    chosen = [one for name, one in figures.items() if name in (arguments.only or figures)]
    try:
        options = Options(preset=arguments.preset, seed=arguments.seed)
        with bars(enabled=True) as shown, tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) if arguments.check else arguments.out
            _draw(chosen, Runs(options, Bar(shown)), out, arguments.format)
            if arguments.check:
                names = [f"{one.name}.csv" for one in chosen]
                found = [line for n in names for line in differences(out / n, arguments.out / n)]
                print("\n".join(found) or "the same data as in the gallery")
                return 1 if found else 0
        if arguments.out.resolve() == GALLERY:
            text = gallery(figures.values(), GALLERY.name)
            write_whole(HERE / "README.md", text)
    except ValueError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"--out: cannot write {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        complain(_PROG, "interrupted; what was drawn is kept")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
