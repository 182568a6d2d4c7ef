"""Command line: `python -m ntk_theory.verify CLAIM… | all`.

Exit status: 0 all claims SUPPORTED; 1 any VIOLATED; 3 any INCONCLUSIVE or PREMISE_UNMET; 2 bad use;
4 one of several processes lost; 130 interrupted (what was computed is still reported).
"""

from __future__ import annotations

__all__ = ["main", "run_claims"]

import argparse
import math
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ntk_theory import __version__
from ntk_theory.claims import all_claims
from ntk_theory.explain import explanation
from ntk_theory.verdicts import Claim, ClaimResult, Options, Verdict

if TYPE_CHECKING:
    from ntk_theory.training.checkpoints import Checkpoints

_EPILOG = """\
verdicts and exit status:
  0  every claim is SUPPORTED (a numerical check supports a theorem, it never proves it)
  1  some claim is VIOLATED
  3  some claim is INCONCLUSIVE, or its PREMISE_UNMET: the theorem says nothing there
  2  the command was wrong
  4  of several processes one was lost
  130  interrupted; what had been computed is reported

examples:
  python -m ntk_theory.verify convergence
  python -m ntk_theory.verify convergence --explain
  python -m ntk_theory.verify all --preset quick --report report.html
  python -m ntk_theory.verify convergence --preset quick --out out
  python -m ntk_theory.verify convergence --clusters 4 --points 20 --ratio 40 --noise-rate 0.2
"""

_SHARED = {"preset", "seed", "device"}
"""Knobs that every claim takes."""


class _LostError(Exception):
    """Another process of the run is gone."""


class _Refusal(Exception):  # noqa: N818 (a refusal of the command, not an error in the program)
    """What is wrong with the command."""


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers separated by commas, as in 256,512,1024; got {text!r}"
        ) from None


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


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Refuse in one line, without the usage in front."""
        self.exit(2, f"{self.prog}: error: {message} (--help lists the options)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ntk_theory.verify",
        description="Check the claims of arXiv 1910.01255 on trained nets, against closed forms.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help="claims to check, or all")
    parser.add_argument("--list", action="store_true", help="list the claims and stop")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="print statement, formulas, premises, derivation and source of the claims and stop",
    )
    parser.add_argument("--version", action="version", version=__version__)
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--preset",
        choices=("quick", "standard", "paper", "cifar-mini", "cifar"),
        default="standard",
        help="how many widths and seeds (default: standard); the last two are of the size of an "
        "image data set, for claims that can be checked there",
    )
    run.add_argument("--seed", type=int, default=0, metavar="N", help="of all randomness")
    run.add_argument("--seeds", type=int, metavar="N", help="nets trained at each width")
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
    problem = parser.add_argument_group("the problem (each claim has its own defaults)")
    problem.add_argument("--clusters", type=int, metavar="K", help="number of clusters")
    problem.add_argument("--points", type=int, metavar="S", help="points in each cluster")
    problem.add_argument("--ratio", type=float, metavar="R", help="λ_+/λ_−, information over noise")
    problem.add_argument("--cross-cosine", type=float, metavar="A", help="cosine between clusters")
    problem.add_argument("--noise-rate", type=float, metavar="RHO", help="share of wrong labels")
    problem.add_argument("--steps", type=int, metavar="T", help="steps of gradient descent")
    problem.add_argument(
        "--schedule",
        metavar="NAME[:KEY=VALUE,…]",
        help="weight of the observed labels: power, geometric, constant or agreement; keys "
        "burn_in, decay, exponent, level",
    )
    problem.add_argument("--learning-rate", type=float, metavar="ETA", help="of the summed loss")
    problem.add_argument(
        "--init-scale",
        type=float,
        metavar="S",
        help="plain initialisation w ~ N(0, S² I) instead of the antisymmetric one",
    )
    long = parser.add_argument_group("long runs")
    long.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that train nets side by side, for machines of many cores (default: 1)",
    )
    long.add_argument(
        "--checkpoint",
        type=Path,
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
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    output.add_argument(
        "--out", type=Path, metavar="DIR", help="write JSON, metrics, arrays and pictures"
    )
    output.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write a report to read: FILE.html (one page, needs no network) or FILE.md",
    )
    output.add_argument("--no-progress", action="store_true", help="no progress bar")
    return parser


def _chosen(names: Sequence[str], claims: dict[str, Claim]) -> list[Claim]:
    if not names:
        raise _Refusal(f"name a claim, or all. The claims are: {', '.join(claims)}")
    if "all" in names:
        return list(claims.values())
    unknown = [name for name in names if name not in claims]
    if unknown:
        raise _Refusal(f"no claim {unknown[0]!r}. The claims are: {', '.join(claims)}")
    return [claims[name] for name in dict.fromkeys(names)]


def _checked_options(arguments: argparse.Namespace, claims: Sequence[Claim]) -> dict[str, Options]:
    """Options of each claim, of which it can make a plan.

    A knob that no claim takes is refused, and so is one that a claim called by its name does not
    take; of `all` claims those that take it get it.
    """
    names = Options.__dataclass_fields__
    given = {name: getattr(arguments, name) for name in names}
    shared = {name: given[name] for name in _SHARED}
    knobs = {name: value for name, value in given.items() if value is not None}
    for knob in knobs.keys() - _SHARED:
        takers = [claim.id for claim in claims if knob in claim.knobs]
        if not takers or ("all" not in arguments.claims and len(takers) < len(claims)):
            flag = f"--{knob.replace('_', '-')}"
            other = next(claim for claim in claims if claim.id not in takers)
            takes = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(other.knobs))
            raise _Refusal(f"{other.id} takes no {flag}; its knobs are {takes}")
    for claim in claims:
        if shared["preset"] not in claim.presets:
            raise _Refusal(
                f"{claim.id} has no preset {shared['preset']}; it has {', '.join(claim.presets)}"
            )
    options = {}
    try:
        for claim in claims:
            own = {name: value for name, value in knobs.items() if name in claim.knobs}
            options[claim.id] = Options(**(shared | own))
            config, _ = claim.predict(options[claim.id])
            _check_noise_rate(claim, own.get("noise_rate"), config)
    except ValueError as error:
        raise _Refusal(str(error)) from error
    except MemoryError as error:
        raise _Refusal(
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
    number = os.environ.get("LOCAL_RANK", "0")
    return f"cuda:{number}" if torch.cuda.is_available() else "cpu"


def _check_device(device: str) -> None:
    import torch

    if re.fullmatch(r"cpu|cuda(:\d+)?", device) is None:
        raise _Refusal(f"--device must be cpu, cuda, cuda:N or auto; got {device}")
    try:
        torch.empty(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise _Refusal(f"--device {device} is not usable here: {reason}") from None


def _memory(asked: float | None, device: str, jobs: int) -> float:
    """What this process and each of its workers may take.

    An equal share of what the user allows, or the machine has; of a GPU what is free on it.
    """
    from ntk_theory.resources import memory_limit

    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return float(free) if asked is None else asked
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of torchrun on this machine
    return (memory_limit() if asked is None else asked) / (here * jobs)


def _prepare_output(arguments: argparse.Namespace) -> None:
    """Fail before the work, not after it, where its results could not be written."""
    directory, report = arguments.out, arguments.report
    files = {"--json": arguments.json, "--report": report}
    if report is not None and report.suffix not in (".html", ".md"):
        raise _Refusal(f"--report must end in .html or .md; got {report}")
    try:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / ".write-test"
            probe.touch()
            probe.unlink()
        for file in filter(None, files.values()):
            existed = file.exists()
            with file.open("a", encoding="utf-8"):
                pass
            if not existed:
                file.unlink()
    except OSError as error:
        named = (flag for flag, file in files.items() if str(file) == error.filename)
        raise _Refusal(
            f"{next(named, '--out')}: cannot write {error.filename}: {error.strerror}"
        ) from None


def _checkpoints(
    arguments: argparse.Namespace, options: Mapping[str, Options]
) -> Checkpoints | None:
    """Where training is saved, or None; raises a refusal for a folder of another run."""
    if arguments.checkpoint is None:
        return None
    from ntk_theory.environment import describe_environment
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
        raise _Refusal(f"--checkpoint: {error}") from None
    except OSError as error:
        raise _Refusal(f"--checkpoint: cannot write {error.filename}: {error.strerror}") from None


def _check_jobs(arguments: argparse.Namespace) -> None:
    """Refuse what goes with a single process, or with processors, only."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if arguments.jobs < 1:
        raise _Refusal(f"--jobs must be at least 1; got {arguments.jobs}")
    if arguments.jobs > 1 and (several or arguments.device != "cpu"):
        raise _Refusal(
            "--jobs is for a single process on CPUs; on GPUs, or to share one net, use torchrun"
        )
    if arguments.checkpoint is not None and several:
        raise _Refusal("--checkpoint takes a single process, without torchrun")


def _command(argv: Sequence[str] | None) -> str:
    """The command that was given, as it is typed."""
    words = sys.argv[1:] if argv is None else argv
    return shlex.join(["python", "-m", "ntk_theory.verify", *words])


def run_claims(
    claims: Sequence[Claim],
    options: Mapping[str, Options],
    *,
    show_progress: bool,
    results: list[ClaimResult] | None = None,
) -> list[ClaimResult]:
    """Run claims one after the other and print each result; stops after an interrupted one.

    Args:
        claims: in the order in which they are run.
        options: of each claim, by its id.
        show_progress: draw a progress bar, if standard error is a terminal.
        results: where they are added as they come, to be there if a later claim fails.
    """
    from rich.console import Console

    from ntk_theory import ranks
    from ntk_theory.progress import Bar, bars
    from ntk_theory.report.console import print_result, print_summary

    results = [] if results is None else results
    console = Console(width=None if sys.stdout.isatty() else 160)
    for claim in claims:
        preset = options[claim.id].preset
        if preset in claim.plans and ranks.rank() == 0:
            print(claim.plans[preset](options[claim.id]), file=sys.stderr)
        with bars(show_progress) as shown:
            result = claim.run(options[claim.id], Bar(shown))
        results.append(result)
        print_result(console, result)
        if result.interrupted:
            break
    if len(claims) > 1:
        print_summary(console, results, claims[len(results) :])
    return results


def _status(results: Sequence[ClaimResult]) -> int:
    verdicts = {result.verdict for result in results}
    if any(result.interrupted for result in results):
        return 130
    if Verdict.VIOLATED in verdicts:
        return 1
    return 0 if verdicts == {Verdict.SUPPORTED} else 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = _parser()
    arguments = parser.parse_intermixed_args(argv)
    claims = all_claims()
    if arguments.list:
        for claim in claims.values():
            print(f"{claim.id:16} {', '.join(claim.paper_claims):12} {claim.statement}")
        return 0
    try:
        chosen = _chosen(arguments.claims, claims)
        if arguments.explain:
            print("\n\n\n".join(explanation(claim) for claim in chosen))
            return 0
        results = _run(arguments, chosen, _command(argv))
    except _Refusal as refusal:
        if os.environ.get("RANK", "0") == "0":  # of the processes of torchrun one speaks
            print(f"{parser.prog}: error: {refusal}", file=sys.stderr)
        return 2
    except _LostError as lost:
        print(f"{parser.prog}: error: {lost}", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted before anything was computed", file=sys.stderr)
        return 130
    return _status(results)


def _run(arguments: argparse.Namespace, chosen: Sequence[Claim], command: str) -> list[ClaimResult]:
    """Refuse what cannot be done, run, and write; of several processes the first one speaks."""
    from ntk_theory import jobs, ranks
    from ntk_theory.resources import limited_memory
    from ntk_theory.training.checkpoints import checkpointed

    if arguments.device == "auto":
        arguments.device = _best_device()
    _check_jobs(arguments)
    _check_device(arguments.device)
    memory = _memory(arguments.memory, arguments.device, arguments.jobs)
    results: list[ClaimResult] = []
    lost = None
    try:
        # All processes have to decide alike what fits.
        with ranks.joined(arguments.device), limited_memory(ranks.agreed(memory)):
            options = _checked_options(arguments, chosen)
            if ranks.rank():
                with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
                    return run_claims(chosen, options, show_progress=False)
            _prepare_output(arguments)
            with checkpointed(_checkpoints(arguments, options)), jobs.spread(arguments.jobs):
                bar = not arguments.no_progress
                run_claims(chosen, options, show_progress=bar, results=results)
    except ranks.LostProcessError as error:
        lost = _LostError(str(error))
    if lost is None or results:
        _write(results, [claim.id for claim in chosen[len(results) :]], arguments, command)
    if lost is not None:
        raise lost
    return results


def _write(
    results: Sequence[ClaimResult],
    not_run: Sequence[str],
    arguments: argparse.Namespace,
    command: str,
) -> None:
    from ntk_theory.environment import describe_environment
    from ntk_theory.report.document import to_document, to_json
    from ntk_theory.report.files import write_files, write_report

    json_file, directory, report = arguments.json, arguments.out, arguments.report
    if json_file is None and directory is None and report is None:
        return
    environment = describe_environment()
    written: list[Path] = []
    try:
        if json_file is not None:
            text = to_json(to_document(results, environment, not_run))
            json_file.write_text(text, encoding="utf-8")
        if directory is not None:
            files = write_files(directory, results, environment, not_run)
            print(f"Written to {directory}: {', '.join(file.name for file in files)}")
        if report is not None:
            written = write_report(report, results, environment, command, not_run)
            print(f"Report: {', '.join(map(str, written))}")
    except OSError as error:
        place = error.filename or " or ".join(str(p) for p in (json_file, directory, report) if p)
        raise _Refusal(f"cannot write {place}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
