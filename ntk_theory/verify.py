"""Command line: `python -m ntk_theory.verify CLAIM… | all`.

`command/` has its parts: `parser.py` the options, `statuses.py` the exit statuses, `recording.py`
what a run leaves behind, `signals.py` and `terminal.py` what may happen to it on the way.
"""

from __future__ import annotations

__all__ = ["main", "program", "run_claims"]

import argparse
import math
import os
import re
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ntk_theory.checking.claim import Claim
from ntk_theory.checking.foreign import ClaimError, claims_of_file, installed_claims
from ntk_theory.checking.verdicts import ClaimResult, Options
from ntk_theory.claims import all_claims
from ntk_theory.command import signals, terminal
from ntk_theory.command.parser import STDOUT, all_knobs, claim_files, parsed
from ntk_theory.command.program import complain, guarded, say_error, warnings_in_a_line
from ntk_theory.command.recording import NOWHERE, Outputs, Recording
from ntk_theory.command.statuses import (
    Refusal,
    Status,
    explain_crash,
    of_error,
    of_signal,
    of_verdicts,
)
from ntk_theory.machine.launcher import Launch, launched
from ntk_theory.report.explain import explanation

if TYPE_CHECKING:
    from ntk_theory.training.checkpoints import Checkpoints

_PROG = "python -m ntk_theory.verify"

_SHARED = ("preset", "seed", "device")
"""Options that every claim takes."""

_OF_NETS = ("seeds", "widths", "dtype")
"""Options of the nets that a claim trains."""

_MOST_JOBS = 61 if os.name == "nt" else 1024
"""Windows waits for no more processes at once; elsewhere more are assumed a mistake."""

_PATIENCE = 2.0
"""Seconds that claims in workers have, after Ctrl-C, to say how far they have come."""

_HEARD = 2.0
"""Seconds that the first of several processes has to say why all of them refuse."""


@dataclass(frozen=True)
class _Failure:
    """What was raised in place of a result."""

    status: Status
    line: str
    traceback: str

    @classmethod
    def of(cls, error: Exception) -> _Failure:
        told = "".join(traceback.format_exception(error))
        return cls(of_error(error), explain_crash(error), told)


class _ApartError(Exception):
    """This one of several processes has failed: the others wait for it at another place."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def _chosen(names: Sequence[str], claims: dict[str, Claim]) -> list[Claim]:
    if not names:
        raise Refusal(f"name a claim, or all. The claims are: {', '.join(claims)}")
    if "all" in names:
        return list(claims.values())
    unknown = [name for name in names if name not in claims]
    if unknown:
        raise Refusal(f"no claim {unknown[0]!r}. The claims are: {', '.join(claims)}")
    return [claims[name] for name in dict.fromkeys(names)]


def _origin(claim: Any) -> str:
    """Where a claim of somebody else's comes from; empty for those of this package."""
    return str(getattr(claim, "origin", ""))


def _checked_options(arguments: argparse.Namespace, claims: Sequence[Claim]) -> dict[str, Options]:
    """Options of each claim, of which it can make a plan.

    A knob that no claim takes is refused, and so is one that a claim called by its name does not
    take; of `all` claims those that take it get it.
    """
    shared = {name: getattr(arguments, name) for name in _SHARED}
    run = {name: getattr(arguments, name) for name in _OF_NETS}
    knobs = arguments.given | {name: value for name, value in run.items() if value is not None}
    for knob in knobs:
        takers = [claim.id for claim in claims if knob in claim.takes]
        if not takers or ("all" not in arguments.claims and len(takers) < len(claims)):
            flag = f"--{knob.replace('_', '-')}"
            other = next(claim for claim in claims if claim.id not in takers)
            takes = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(other.takes))
            raise Refusal(f"{other.id} takes no {flag}; its knobs are {takes}")
    for claim in claims:
        if shared["preset"] not in claim.presets:
            raise Refusal(
                f"{claim.id} has no preset {shared['preset']}; it has {', '.join(claim.presets)}"
            )
    options = {}
    try:
        for claim in claims:
            own = {name: value for name, value in knobs.items() if name in claim.takes}
            asked: dict[str, Any] = shared | own
            options[claim.id] = Options(**asked)
            if len(claims) > 1 and _origin(claim):
                continue  # what is wrong with it shows when it is run, and the others are run too
            config, _ = claim.predict(options[claim.id])
            _check_noise_rate(claim, own.get("noise_rate"), config)
    except ValueError as error:
        raise Refusal(str(error)) from error
    except MemoryError as error:
        raise Refusal(
            f"steps, clusters or points are too many for this machine: {error}"
        ) from error
    return options


def _check_noise_rate(claim: Claim, asked: float | None, config: Mapping[str, Any]) -> None:
    """Refuse a share of wrong labels that no cluster can have: the verdict would be on another."""
    found = config.get("noise_rate")
    rates = found if isinstance(found, list) else [found]
    if asked is None or any(rate is not None and abs(rate - asked) < 1e-9 for rate in rates):
        return
    points = config["points"]
    fewer = math.floor(asked * points)
    raise ValueError(
        f"noise_rate must be a share that clusters of {points} points, as {claim.id} has them, can "
        f"have, like {fewer / points:g} and {(fewer + 1) / points:g}; got {asked:g}, which is "
        f"{asked * points:g} points (or choose other --points)"
    )


def _best_device() -> str:
    import torch

    # Each process of torchrun has a GPU of its own.
    return f"cuda:{launched().local_rank}" if torch.cuda.is_available() else "cpu"


def _check_device(device: str) -> None:
    import torch

    if re.fullmatch(r"cpu|cuda(:\d+)?", device) is None:
        raise Refusal(f"--device must be cpu, cuda, cuda:N or auto; got {device}")
    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"--device {device} is not usable here: {reason}") from None


def _memory(asked: float | None, device: str, jobs: int) -> float:
    """What this process and each of its workers may take.

    An equal share of what the user allows, or the machine has; of a GPU what is free on it.
    """
    from ntk_theory.machine.resources import memory_limit

    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return float(free) if asked is None else asked
    here = launched().local_size  # processes of torchrun on this machine
    return (memory_limit() if asked is None else asked) / (here * jobs)


def _checkpoints(
    arguments: argparse.Namespace, options: Mapping[str, Options]
) -> Checkpoints | None:
    """Where training is saved, or None; raises a refusal for a folder of another run."""
    if arguments.checkpoint is None:
        return None
    from ntk_theory.machine.environment import describe_environment
    from ntk_theory.training.checkpoints import Checkpoints

    configuration: dict[str, Any] = {name: asdict(chosen) for name, chosen in options.items()}
    configuration["jobs"] = arguments.jobs  # a net has as many threads as they leave to it
    try:
        return Checkpoints.open(
            arguments.checkpoint,
            configuration | describe_environment(),
            60 * arguments.checkpoint_every,
        )
    except ValueError as error:
        raise Refusal(f"--checkpoint: {error}") from None
    except OSError as error:
        raise Refusal(f"--checkpoint: cannot write {error.filename}: {error.strerror}") from None


def _check_jobs(arguments: argparse.Namespace) -> None:
    """Refuse what goes with a single process, or with processors, only."""
    several, jobs = launched().size > 1, arguments.jobs
    if jobs is not None and jobs < 1:
        raise Refusal(f"--jobs must be at least 1; got {jobs}")
    if jobs is not None and jobs > _MOST_JOBS:
        raise Refusal(f"--jobs must be at most {_MOST_JOBS}; got {jobs}")
    if jobs is not None and jobs > 1 and (several or arguments.device != "cpu"):
        raise Refusal(
            "--jobs is for a single process on CPUs; on GPUs, or to share one net, use torchrun"
        )
    if arguments.checkpoint is not None and several:
        raise Refusal("--checkpoint takes a single process, without torchrun")


def _threads() -> int:
    """How many threads this process works with: one for each core that it has, unless told."""
    import torch

    return torch.get_num_threads()


def _jobs_to_try(arguments: argparse.Namespace, claims: int) -> list[int]:
    """As many as were asked for; or as several claims can use, or one if they have no room."""
    if arguments.jobs is not None:
        return [arguments.jobs if claims == 1 else min(arguments.jobs, claims)]
    if launched().size > 1 or arguments.device != "cpu":
        return [1]
    return sorted({min(_threads(), claims), 1}, reverse=True)


def _console(stream: TextIO) -> Any:
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else 160)


def run_claims(
    claims: Sequence[Claim],
    options: Mapping[str, Options],
    recording: Recording,
    *,
    show_progress: bool,
    debug: bool = False,
    verbose: bool = False,
    to: TextIO | None = None,
) -> None:
    """Run claims, side by side if there are workers; put each on disk, then print and draw it.

    A claim that raises ends without a verdict, and the others are run; an interrupted one is the
    last, as is one that has lost a process.

    Args:
        claims: in the order in which they are recorded.
        options: of each claim, by its id.
        recording: takes the results.
        show_progress: draw progress bars, if standard error is a terminal.
        debug: show the traceback of what is raised.
        verbose: print every row.
        to: where results are printed; standard output when left out.
    """
    from ntk_theory.machine import ranks
    from ntk_theory.report.console import print_result, print_summary

    stream = terminal.output() if to is None else to
    console = _console(stream)

    def take(claim: Claim, outcome: ClaimResult | _Failure) -> None:
        if isinstance(outcome, _Failure):
            if ranks.rank() == 0:
                terminal.errors().write(outcome.traceback if debug else "")
                complain(_PROG, f"error: {claim.id}: {outcome.line}")
            _say(recording.fail(claim.id, outcome.status, outcome.line))
            return
        _say(recording.add(outcome))
        print_result(console, outcome, verbose=verbose)
        stream.flush()
        if not (outcome.interrupted or signals.received()):
            _say(recording.draw())

    outcomes = _outcomes(claims, options, show_progress)
    try:
        for one in outcomes:
            take(*one)
    except KeyboardInterrupt as stop:
        take(*outcomes.throw(stop))  # what workers have done by now, or raises it again
        for one in outcomes:
            take(*one)
    finally:
        if len(claims) > 1:
            done = {result.claim.id for result in recording.results}
            print_summary(console, recording.results, [one for one in claims if one.id not in done])
        stream.flush()


def _outcomes(
    claims: Sequence[Claim], options: Mapping[str, Options], show_progress: bool
) -> Generator[tuple[Claim, ClaimResult | _Failure], None, None]:
    """What comes of each claim, in order."""
    from ntk_theory.machine import jobs, ranks
    from ntk_theory.machine.progress import Bar, bars

    for claim in claims if ranks.rank() == 0 else ():
        if text := claim.plan(options[claim.id]):
            terminal.errors().write(f"{text}\n")
    if jobs.workers() and len(claims) > 1:
        yield from _of_workers(claims, options, show_progress)
        return
    for claim in claims:
        try:
            with bars(show_progress) as shown:
                outcome: ClaimResult | _Failure = claim.run(options[claim.id], Bar(shown))
        except Exception as error:  # whatever it is, the other claims are not lost
            outcome = _Failure.of(error)
        yield claim, outcome
        if isinstance(outcome, ClaimResult):
            last = outcome.interrupted
        else:
            # Processes that share a net would wait for each other at different places.
            last = outcome.status is Status.LOST_PROCESS or ranks.size() > 1
        if last:
            return


def _of_workers(
    claims: Sequence[Claim], options: Mapping[str, Options], show_progress: bool
) -> Generator[tuple[Claim, ClaimResult | _Failure], None, None]:
    """The same of claims that workers run side by side; if interrupted, of all that have begun."""
    from ntk_theory.machine import jobs

    names = [claim.id for claim in claims]
    items = [(c.id, _origin(c), options[c.id], place) for place, c in enumerate(claims)]
    futures = jobs.submitted(_in_worker, items)
    taken = 0
    try:
        for claim, future in zip(claims, futures, strict=True):
            try:
                with jobs.board().shown(names, show_progress):
                    outcome = _of_worker(claim, jobs.result_of(future))
            except Exception as error:
                outcome = _Failure.of(error)
            taken += 1
            yield claim, outcome
            if isinstance(outcome, _Failure) and outcome.status is Status.LOST_PROCESS:
                return
    except KeyboardInterrupt:
        late = jobs.rescued(futures[taken:], _PATIENCE)
        for claim, found in zip(claims[taken:], late, strict=True):
            if found is not None:
                yield claim, _of_worker(claim, found)
        raise


def _in_worker(name: str, origin: str, options: Options, place: int) -> dict[str, Any] | _Failure:
    """What comes of a claim; a result without its claim, whose functions stay where they are."""
    from ntk_theory.machine import jobs

    board = jobs.board()
    with warnings_in_a_line(_PROG):
        try:
            result = _loaded(name, origin).run(options, board.told(place))
        except Exception as error:
            return _Failure.of(error)
        finally:
            board.set(place, 1.0)
    return {key: value for key, value in vars(result).items() if key != "claim"}


def _loaded(name: str, origin: str) -> Any:
    """A claim, from where it comes."""
    own = all_claims()
    if origin.endswith(".py"):
        return claims_of_file(Path(origin), own)[name]
    return own[name] if name in own else installed_claims(own)[0][name]


def _of_worker(claim: Claim, found: dict[str, Any] | _Failure) -> ClaimResult | _Failure:
    if isinstance(found, _Failure):
        return found
    return ClaimResult(claim.at(found["options"]), **found)


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        complain(_PROG, line)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, one of `command.statuses.Status`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(_PROG, lambda: _main(words), debug="--debug" in words)


def _main(words: Sequence[str]) -> int:
    try:
        claims = _known(words)
        return _answer(parsed(words, all_knobs(claims.values())), claims)
    except Refusal as refusal:
        if _launched().rank:
            time.sleep(_HEARD)  # torchrun ends the first process as soon as another one has
        else:
            complain(_PROG, f"error: {refusal}")
        return Status.REFUSED


def _known(words: Sequence[str]) -> dict[str, Any]:
    """Claims by id: of this package, of installed ones, of files that the command line names.

    An installed claim that cannot be read is complained of; a file that cannot be is refused.
    """
    claims: dict[str, Any] = dict(all_claims())
    installed, complaints = installed_claims(claims)
    for line in complaints:
        complain(_PROG, line)
    claims |= installed
    try:
        for file in claim_files(words):
            claims |= claims_of_file(file, claims)
    except ClaimError as error:
        raise Refusal(str(error)) from None
    return claims


def _launched() -> Launch:
    """Where this process stands; alone if what is set makes no sense, which is refused."""
    try:
        return launched()
    except ValueError:
        return Launch()


def _answer(arguments: argparse.Namespace, claims: dict[str, Any]) -> int:
    """Do what the arguments ask for."""
    out = terminal.output()
    if arguments.list:
        for claim in claims.values():
            where = _origin(claim) or ", ".join(claim.paper_claims)
            out.write(f"{claim.id:16} {where:12} {claim.statement}\n")
        out.flush()
        return Status.SUPPORTED
    of_files = [id_ for id_, one in claims.items() if _origin(one).endswith(".py")]
    chosen = _chosen(arguments.claims or of_files, claims)
    if arguments.explain:
        out.write("\n\n\n".join(explanation(claim) for claim in chosen) + "\n")
        out.flush()
        return Status.SUPPORTED
    try:
        several = launched().size > 1
    except ValueError as error:
        raise Refusal(str(error)) from None
    try:
        status = _run(arguments, chosen, list(claims))
    except _ApartError as apart:
        status = apart.status
    if several and launched().rank == 0:
        code = Status(status)
        complain(_PROG, f"exit status {code.value}: {code.meaning}")
    return status


def _run(arguments: argparse.Namespace, chosen: Sequence[Claim], known: Sequence[str]) -> int:
    """Refuse what cannot be done, run, and write; of several processes the first one speaks."""
    from ntk_theory.machine import ranks
    from ntk_theory.machine.resources import limited_memory

    if arguments.device == "auto":
        arguments.device = _best_device()
    _check_jobs(arguments)
    _check_device(arguments.device)
    with ranks.joined(arguments.device):
        *more, last = _jobs_to_try(arguments, len(chosen))
        plan = None
        for jobs in more:
            with suppress(Refusal):
                plan = _planned(arguments, chosen, jobs)
        memory, options = plan or _planned(arguments, chosen, last)
        with limited_memory(memory):
            return _run_planned(arguments, chosen, known, options)


def _planned(
    arguments: argparse.Namespace, chosen: Sequence[Claim], jobs: int
) -> tuple[float, dict[str, Options]]:
    """Settle on so many jobs: what memory each has, and options that fit it."""
    from ntk_theory.machine import ranks
    from ntk_theory.machine.resources import limited_memory

    arguments.jobs = jobs
    # All processes have to decide alike what fits.
    memory = ranks.agreed(_memory(arguments.memory, arguments.device, jobs))
    with limited_memory(memory):
        return memory, _checked_options(arguments, chosen)


def _run_planned(
    arguments: argparse.Namespace,
    chosen: Sequence[Claim],
    known: Sequence[str],
    options: Mapping[str, Options],
) -> int:
    from ntk_theory.machine import ranks

    ids = [claim.id for claim in chosen]
    if ranks.rank():
        silent = Recording(NOWHERE, ids, "")
        nowhere: Any = terminal.Steady(None)
        run_claims(chosen, options, silent, show_progress=False, to=nowhere)
        if silent.failed:
            raise _ApartError(Status.LOST_PROCESS)
        return Status.SUPPORTED
    outputs = Outputs.of(arguments, known)
    checkpoints = _checkpoints(arguments, options)
    recording = Recording(outputs, ids, _typed([*_PROG.split(), *arguments.command]))
    with signals.heeded():
        status = _recorded(arguments, chosen, options, recording, checkpoints)
    if recording.failed and ranks.size() > 1:
        raise _ApartError(status)
    return status


def _typed(words: Sequence[str]) -> str:
    """A command as it is typed into the shell of this system."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _recorded(
    arguments: argparse.Namespace,
    chosen: Sequence[Claim],
    options: Mapping[str, Options],
    recording: Recording,
    checkpoints: Checkpoints | None,
) -> int:
    """Run claims, and leave all behind that was found, whatever happens."""
    from ntk_theory.machine import jobs
    from ntk_theory.training.checkpoints import checkpointed

    results_to = terminal.errors() if arguments.json == STDOUT else terminal.output()
    stopped = False
    try:
        with checkpointed(checkpoints), jobs.spread(arguments.jobs, len(chosen)):
            run_claims(
                chosen,
                options,
                recording,
                show_progress=not arguments.no_progress,
                debug=arguments.debug,
                verbose=arguments.verbose,
                to=results_to,
            )
    except KeyboardInterrupt:
        stopped = True
        complain(_PROG, "interrupted")
    except Exception as error:  # what was found before it is still written
        recording.happens(of_error(error))
        say_error(_PROG, error, debug=arguments.debug)
    written = _finished(recording, stopped)
    with suppress(KeyboardInterrupt):  # a picture is no result
        _say(recording.draw(written))
        for line in recording.places():
            results_to.write(f"{line}\n")
        results_to.flush()
    if _ended(recording, stopped) != written:  # a signal has come since
        _finished(recording, stopped)
    with suppress(KeyboardInterrupt):  # a pipe that nobody reads
        _say(recording.to_stream(_ended(recording, stopped)))
    return _ended(recording, stopped)


def _finished(recording: Recording, stopped: bool) -> int:
    """Write all with how the run has ended so far; returns that."""
    status = _ended(recording, stopped)
    with suppress(KeyboardInterrupt), signals.shielded():
        _say(recording.finish(status))
    return status


def _ended(recording: Recording, stopped: bool) -> int:
    """How a run has ended so far."""
    number = signals.received()
    if number is not None:
        return of_signal(number)
    if stopped or any(result.interrupted for result in recording.results):
        return Status.INTERRUPTED
    return of_verdicts([result.verdict for result in recording.results], recording.happened)


def program() -> NoReturn:
    """The command as a process of its own."""
    signals.unheeded()
    signals.end(main())


if __name__ == "__main__":
    program()
