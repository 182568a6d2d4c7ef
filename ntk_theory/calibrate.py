"""How often right theories are SUPPORTED and wrong ones caught: `python -m ntk_theory.calibrate`.

Runs every claim at toy options for several seeds; for some of them once more on nets with a planted
error of the learning rate, the noise eigenvalues or the noise rate of theory, in proportion to the
least that the claim's first run says it would notice. With --error one error is planted in all.
"""

from __future__ import annotations

__all__ = ["main", "program"]

import argparse
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ntk_theory.checking.verdicts import Options
from ntk_theory.command import signals, terminal
from ntk_theory.command.parser import Parser
from ntk_theory.command.program import complain, guarded, say_error
from ntk_theory.command.statuses import Status, of_error, of_signal
from ntk_theory.machine.atomic import write_whole
from ntk_theory.notebook import known_claims
from ntk_theory.toys import toy

if TYPE_CHECKING:
    from ntk_theory.checking.trials import Trial
    from ntk_theory.machine.progress import Bar

_PROG = "python -m ntk_theory.calibrate"

_SEEDS, _WRONG_SEEDS, _MINUTES = 20, 3, 30.0
"""What two cores can do with all claims at toy options, and in what time."""

_TOY = """\
Toy options (`ntk_theory/toys.py`) are for tests: a run takes seconds, with fewer and narrower nets
than at any preset, so that some tolerances are hardly narrower than what they have to tell apart,
and more runs are INCONCLUSIVE than at `quick`.
"""

_READING = """\
By design a right theory has some number outside its tolerance in one run of a thousand, which
leaves the run INCONCLUSIVE, and in one of a million so far outside that it is VIOLATED. Of wrong
theories 0.99 are to be caught, that is, VIOLATED, if they are off by the detectable error of the
claim's first run ("1 ×"). Brackets are 95 % intervals (Clopper and Pearson). Seeds change the data
and the nets. Percentages and seconds are medians.
"""


@dataclass
class _Work:
    """What is to be run, and what has come of it.

    Attributes:
        given: arguments of the command line.
        trials: so far.
        started: when, in seconds.
    """

    given: argparse.Namespace
    trials: list[Trial] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def minutes(self) -> float:
        """Since the start."""
        return (time.monotonic() - self.started) / 60

    def do(self) -> None:
        """Run all claims with the first seed, and then, as that says what to plant, with others."""
        from ntk_theory.machine import jobs
        from ntk_theory.machine.progress import Bar, bars

        given = self.given
        with jobs.spread(given.jobs), bars(True) as shown:
            bar = Bar(shown)
            bar.start("seeds of claims", given.seeds * len(given.only))
            self._take(bar, range(1), dict.fromkeys(given.only))
            self._take(bar, range(1, given.seeds), {one.claim: one.notices for one in self.trials})

    def _take(
        self, bar: Bar, seeds: Sequence[int], detectable: Mapping[str, Mapping[str, float] | None]
    ) -> None:
        """Run every claim with some seeds, until the time is over."""
        from ntk_theory.machine import jobs

        given = self.given
        planted = None if given.error is None else (given.parameter, given.error)
        items = [
            (
                claim,
                replace(Options(given.preset) if given.preset else toy(claim), seed=seed),
                detectable.get(claim, {}) if seed < given.wrong_seeds else {},
                planted,
            )
            for seed in seeds
            for claim in given.only
        ]
        several = jobs.workers() and self.minutes < given.minutes
        results = jobs.in_workers(_in_worker, items) if several else (_in_worker(*i) for i in items)
        while self.minutes < given.minutes and (found := next(results, None)) is not None:
            self.trials += found
            bar.advance(1)

    def page(self) -> str:
        """What has been found so far, as Markdown."""
        from ntk_theory.machine.environment import describe_environment
        from ntk_theory.report.calibration import of_error, of_right, of_wrong
        from ntk_theory.report.markdown import environment_line

        given, environment = self.given, describe_environment()
        done = len({(one.claim, one.seed) for one in self.trials})
        asked = given.seeds * len(given.only)
        if given.error is None:
            tables = ["## Right theories\n", of_right(self.trials, given.only)]
            if any(one.parameter for one in self.trials):
                tables += ["## Wrong theories\n", of_wrong(self.trials, given.only)]
        else:
            title = f"## Nets whose {given.parameter} is {1 + given.error:g} times that of theory\n"
            tables = [title, of_error(self.trials, given.only)]
        where = (
            f"{done} runs of a claim and a seed, of {asked} asked for, at "
            f"{given.preset or 'toy'} options, in {self.minutes:.1f} minutes and {given.jobs} "
            f"processes on {os.cpu_count()} cores; ntk_theory {environment['ntk_theory']} "
            f"({environment['git']})."
        )
        parts = [
            f"# Calibration\n\n<!-- Generated by `{_PROG}`: do not edit. -->\n",
            _READING,
            *([] if given.preset else [_TOY]),
            f"```\n{given.command}\n```\n\n{where}\n",
            *tables,
            environment_line(environment) + "\n",
        ]
        return "\n".join(parts)


def _in_worker(
    name: str,
    options: Options,
    detectable: Mapping[str, float] | None,
    planted: tuple[str, float] | None,
) -> list[Trial]:
    from ntk_theory.checking import trials

    claim = known_claims()[name]
    if planted is not None:
        return trials.wrong(claim, options, planted)
    return trials.right_and_wrong(claim, options, detectable)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments of the command line; exits with 2, in one line, where they make no sense."""
    from ntk_theory.checking.scores import LEARNING_RATE, PARAMETERS

    known = known_claims()
    parser = Parser(prog=_PROG, description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", nargs="+", metavar="CLAIM", default=list(known), help="these claims"
    )
    parser.add_argument(
        "--seeds", type=int, default=_SEEDS, metavar="N", help=f"of each claim (default: {_SEEDS})"
    )
    parser.add_argument(
        "--wrong-seeds", type=int, default=_WRONG_SEEDS, metavar="N",
        help=f"the first of them, whose nets get planted errors, too (default: {_WRONG_SEEDS})",
    )  # fmt: skip
    parser.add_argument(
        "--preset", choices=("quick", "standard"), help="of the runs, in place of toy options"
    )
    parser.add_argument(
        "--error", type=float, metavar="E", help="plant this relative error in all runs instead"
    )
    parser.add_argument(
        "--parameter", choices=PARAMETERS, help=f"that it is planted in (default: {LEARNING_RATE})"
    )
    parser.add_argument(
        "--minutes", type=float, default=_MINUTES, metavar="M",
        help=f"after which no result is waited for (default: {_MINUTES:g})",
    )  # fmt: skip
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the page there, too")
    given = parser.parse_args(argv)
    given.command = shlex.join([*_PROG.split(), *argv])
    given.only = list(dict.fromkeys(given.only))
    for name in given.only:
        if name not in known:
            parser.error(f"no claim {name!r}; the claims are {', '.join(known)}")
        if given.preset and given.preset not in known[name].presets:
            parser.error(f"{name} has no preset {given.preset}; leave it out with --only")
    if given.jobs is None:
        import torch

        given.jobs = torch.get_num_threads()
    for name, least in (("seeds", 1), ("wrong_seeds", 0), ("jobs", 1)):
        if getattr(given, name) < least:
            flag = name.replace("_", "-")
            parser.error(f"--{flag} must be at least {least}; got {getattr(given, name)}")
    if not given.minutes > 0:
        parser.error(f"--minutes must be above 0; got {given.minutes:g}")
    if given.error is None and given.parameter is not None:
        parser.error("--parameter is that of --error, which is missing")
    if given.error is not None and not (-1 < given.error < float("inf") and given.error):
        parser.error(f"--error must be above -1 and not 0; got {given.error:g}")
    given.parameter = given.parameter or LEARNING_RATE
    if given.out is not None and (given.out.is_dir() or not given.out.parent.is_dir()):
        parser.error(f"--out must be a file in a folder that is there; got {given.out}")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, one of `command.statuses.Status`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(_PROG, lambda: _main(words))


def _main(words: Sequence[str]) -> int:
    """Run, and leave all behind that was found, whatever happens."""
    work, status = _Work(_arguments(words)), int(Status.SUPPORTED)
    with signals.heeded():
        try:
            work.do()
        except KeyboardInterrupt:
            complain(_PROG, "interrupted")
            status = of_signal(signals.received() or 2)
        except Exception as error:  # what was found before it is still written
            say_error(_PROG, error)
            status = of_error(error)
        if work.trials or not status:
            with suppress(KeyboardInterrupt), signals.shielded():
                status = status if _written(work) else Status.NOT_WRITTEN
    return status


def _written(work: _Work) -> bool:
    """Show what has been found, and write it; says whether that went well."""
    page, file, stream = work.page(), work.given.out, terminal.output()
    stream.write(page)
    stream.flush()
    try:
        if file is not None:
            write_whole(file, page)
    except OSError as error:
        complain(_PROG, f"error: cannot write {file}: {error.strerror}")
        return False
    return True


def program() -> NoReturn:
    """The command as a process of its own."""
    signals.unheeded()
    sys.exit(main())


if __name__ == "__main__":
    program()
