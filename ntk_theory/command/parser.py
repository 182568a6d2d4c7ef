"""Options of `python -m ntk_theory.verify`: their names, their kinds, their help."""

from __future__ import annotations

__all__ = ["STDOUT", "Parser", "all_knobs", "claim_files", "parsed", "shared_knobs"]

import argparse
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from ntk_theory import __version__
from ntk_theory.checking.knobs import Knob, knobs_of
from ntk_theory.command import terminal
from ntk_theory.command.statuses import Refusal, listed

STDOUT = Path("-")
"""Where results go that are asked for as `-`: standard output."""

_CLAIMS = "--claims"

_LARGEST = 2**31 - 1
"""Of whole numbers: what machines of every kind can count to."""

_EPILOG = f"""\
exit status:
{listed()}

examples:
  python -m ntk_theory.verify convergence
  python -m ntk_theory.verify convergence --explain
  python -m ntk_theory.verify all --preset quick --report report.html
  python -m ntk_theory.verify convergence --preset quick --out out
  python -m ntk_theory.verify convergence --clusters 4 --points 20 --ratio 40 --noise-rate 0.2
  python -m ntk_theory.verify margin --preset quick --json - | python -m json.tool
"""


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number; got {_short(text)!r}") from None
    if abs(number) > _LARGEST:
        raise argparse.ArgumentTypeError(
            f"expected a whole number of at most {_LARGEST} in size; got {_short(text)}"
        )
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number; got {_short(text)!r}") from None


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(_whole(part) for part in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers separated by commas, as in 256,512,1024; got {text!r}"
        ) from None


def _truth(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"expected yes or no; got {_short(text)!r}")
    return text == "yes"


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes < float("inf"):
        raise argparse.ArgumentTypeError(f"expected minutes, 0 or more; got {text!r}")
    return minutes


def _bytes(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]i?)?B?", text)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"expected a size, as in 8GiB or 500MB; got {text!r}")
    unit = match[2] or " "
    base = 1024.0 if unit.endswith("i") else 1000.0
    return float(match[1]) * math.pow(base, " KMGT".index(unit[0]))


def _place(text: str) -> Path:
    if text in ("", "-"):
        raise argparse.ArgumentTypeError(f"expected the name of a file or folder; got {text!r}")
    return Path(text)


def _json_place(text: str) -> Path:
    return STDOUT if text == "-" else _place(text)


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, and whose text any terminal can show."""

    def error(self, message: str) -> NoReturn:
        """Refuse in one line, without the usage in front."""
        line = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {line} (--help lists the options)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        stream = terminal.errors() if file is sys.stderr else terminal.output()
        stream.write(message)
        stream.flush()


_SIGNED = re.compile(r"-(\d|\.\d|inf|nan)", re.IGNORECASE)


def _joined(words: Sequence[str]) -> list[str]:
    """Words in which a negative number is no option: `--ratio -1e3` becomes `--ratio=-1e3`."""
    joined: list[str] = []
    for word in words:
        before = joined[-1] if joined else ""
        if _SIGNED.match(word) and before.startswith("--") and "=" not in before:
            joined[-1] = f"{before}={word}"
        else:
            joined.append(word)
    return joined


def claim_files(words: Sequence[str]) -> list[Path]:
    """Files that a command line names with --claims: their claims add knobs to it."""
    files = [word.removeprefix(f"{_CLAIMS}=") for word in words if word.startswith(f"{_CLAIMS}=")]
    files += [after for word, after in pairwise(words) if word == _CLAIMS]
    return [Path(file) for file in files]


def parsed(
    argv: Sequence[str] | None, knobs: Mapping[str, Knob] | None = None
) -> argparse.Namespace:
    """Arguments of the command line; exits with 2, in one line, where they cannot be read.

    Args:
        argv: its words.
        knobs: parameters of problems that it may set, by name; those of noisy clusters when left
            out. Those that it does set are `given` in what is returned.
    """
    taken = shared_knobs() if knobs is None else knobs
    parser = _parser(taken)
    words = list(sys.argv[1:] if argv is None else argv)
    options = parser.parse_intermixed_args(_joined(words))
    options.command = words
    values = {name: getattr(options, name) for name in taken}
    options.given = {name: value for name, value in values.items() if value is not None}
    return options


def shared_knobs() -> dict[str, Knob]:
    """Knobs that noisy clusters have, by name."""
    from ntk_theory.problems import noisy_clusters

    needed = dict.fromkeys(("clusters", "points", "ratio", "noise_rate"))
    return knobs_of(noisy_clusters, needed, {"share", "noise_times", "held_out"})


def all_knobs(claims: Iterable[Any]) -> dict[str, Knob]:
    """Knobs of all claims, by name; raises a refusal where one name stands for two things."""
    knobs = shared_knobs()
    dests = {action.dest for action in _parser({})._actions}
    for claim in claims:
        for name, knob in claim.all_knobs.items():
            known = knobs.setdefault(name, knob)
            if name in dests:
                raise Refusal(f"claim {claim.id}: {knob.flag} is an option of every run; rename it")
            if known.kind is not knob.kind:
                raise Refusal(
                    f"claim {claim.id}: {knob.flag} is {_of(knob)} here and {_of(known)} "
                    "elsewhere; rename it"
                )
    return knobs


def _of(knob: Knob) -> str:
    return {int: "a whole number", float: "a number", bool: "yes or no"}.get(knob.kind, "a text")


def _parser(knobs: Mapping[str, Knob]) -> Parser:
    parser = Parser(
        prog="python -m ntk_theory.verify",
        description="Check the claims of arXiv 1910.01255 on trained nets, against closed forms.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="claims to check, or all")
    parser.add_argument(
        _CLAIMS,
        dest="claim_files",
        action="append",
        type=_place,
        metavar="FILE.py",
        help="read claims of your own from a file (docs/write-a-claim.md); may be given repeatedly",
    )
    parser.add_argument("--list", action="store_true", help="list the claims and stop")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print statement, formulas, premises, derivation and source of the claims and stop",
    )
    parser.add_argument("--version", action="version", version=__version__)
    _add_run(parser)
    problem = parser.add_argument_group("the problem (each claim has its own defaults)")
    for name, knob in knobs.items():
        convert = {int: _whole, float: _number, bool: _truth}.get(knob.kind, str)
        metavar = {int: "N", float: "X"}.get(knob.kind, "TEXT")
        about = knob.help.replace("%", "%%")
        problem.add_argument(knob.flag, dest=name, type=convert, metavar=metavar, help=about)
    _add_long_runs(parser)
    _add_output(parser)
    return parser


def _add_run(parser: Parser) -> None:
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--preset",
        metavar="NAME",
        default="standard",
        help="how wide and how many nets: quick, standard (the default), wide, up to 2^20, or "
        "thorough, at more widths; cifar-mini and cifar are of the size of an image data set, for "
        "claims that can be checked there",
    )
    run.add_argument("--seed", type=_whole, default=0, metavar="N", help="of all randomness")
    run.add_argument("--seeds", type=_whole, metavar="N", help="nets trained at each width")
    run.add_argument("--widths", type=_widths, metavar="M,M,…", help="ladder of even widths")
    run.add_argument(
        "--device",
        default="cpu",
        help="cpu, cuda, cuda:N, or auto: a GPU if there is one (default: cpu)",
    )
    run.add_argument(
        "--memory",
        type=_bytes,
        metavar="SIZE",
        help="what the run may take, as in 8GiB (default: what the machine has, or the GPU)",
    )
    run.add_argument(
        "--dtype",
        choices=("float64", "float32", "tf32", "bf16"),
        help="precision of the nets; the last two, for presets of the size of an image data set, "
        "are that of the products of float32 nets",
    )


def _add_long_runs(parser: Parser) -> None:
    long = parser.add_argument_group("long runs")
    long.add_argument(
        "--jobs",
        type=_whole,
        metavar="N",
        help="processes that run claims side by side, or train the nets of one (default: of "
        "several claims one a core, as far as memory goes; of one claim 1)",
    )
    long.add_argument(
        "--checkpoint",
        type=_place,
        metavar="DIR",
        help="save the training there now and then; the same command takes it up again",
    )
    long.add_argument(
        "--checkpoint-every",
        type=_minutes,
        default=5.0,
        metavar="MINUTES",
        help="between two states of an unfinished training (default: 5)",
    )


def _add_output(parser: Parser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json",
        type=_json_place,
        metavar="FILE",
        help="write the results as JSON; - is standard output: tables then go to standard error",
    )
    output.add_argument(
        "--out", type=_place, metavar="DIR", help="write JSON, metrics, arrays and pictures"
    )
    output.add_argument(
        "--report",
        type=_place,
        metavar="FILE",
        help="write a report to read: FILE.html (one page, needs no network) or FILE.md",
    )
    output.add_argument(
        "--verbose", action="store_true", help="print every premise and every row of each claim"
    )
    output.add_argument("--no-progress", action="store_true", help="no progress bar")
    output.add_argument(
        "--debug", action="store_true", help="show the traceback of a fault of this program"
    )
