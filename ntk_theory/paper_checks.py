"""The ledger of the paper's claims: `python -m ntk_theory.paper_checks`.

Runs every claim with its default options, records the results in paper_checks.json, draws them in
figures/claims/ and renders them as paper_checks.md. With --only it runs some of them again, with
--render it only renders what is recorded, with --check it only says whether all is up to date (exit
status 1 if not).
"""

from __future__ import annotations

__all__ = [
    "BEARING", "NOT_CHECKED", "NOT_SHOWN", "PAPER_CLAIMS", "WIDE", "main", "render", "stale",
    "wide_rows",
]  # fmt: skip

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntk_theory.checking.verdicts import Options
from ntk_theory.claims import all_claims
from ntk_theory.command.program import complain, guarded
from ntk_theory.command.statuses import Refusal, of_verdicts
from ntk_theory.machine.atomic import write_whole
from ntk_theory.report.document import alike
from ntk_theory.report.markdown import environment_line, section, table

PAPER_CLAIMS = {
    "C1": "Anisotropic information retrieval: a net fits informative directions first and noise "
    "later, as the eigenspaces of its NTK say.",
    "C2": "Distillation is early stopping: a teacher harvests dark knowledge by stopping early.",
    "C3": "Self-distillation: being taught by the net of the epoch before cleans wrong labels "
    "instead of memorising them.",
    "C4": "Self-distillation gains something that no stopping time gives.",
    "C5": "A randomly initialised overparameterized net under self-distillation converges in ℓ2 "
    "to the clean labels.",
    "C6": "Hence it has a margin on the training data, which is good for generalisation.",
    "C7": "In practice: better test accuracy, and no early stopping needed.",
}
"""The claims of the abstract of arXiv 1910.01255, in our words."""

BEARING = {
    "C1": "Supported for two-layer nets in the kernel regime whose clean labels lean to the top "
    "eigenspaces: the eigenvalues give the times.",
    "C2": "Supported in part. A net taught its own current soft outputs makes the steps of plain "
    "training at other rates, exactly; hardened ones, or those of an earlier epoch, do not. Dark "
    "knowledge, as output on sibling classes, is seen in a stopped teacher; of what its student "
    "gains on blurred trees, 0.108 in accuracy, averages over the tree give 0.024.",
    "C3": "Supported on clusters, for hard targets from the net's own current outputs or from one "
    "stopped net: below a noise rate ρ* in every cluster some schedule cleans the labels, above it "
    "none does. The outputs of a chain of stopped nets have right signs beyond ρ*, too "
    "(docs/theory.md, section 6.8; `chains`).",
    "C4": "Supported for the outputs, which no stopping time brings closer than 2ρ, up to "
    "O(m^{-1/2}) at width m. The signs of a net stopped in time are right as well, and its "
    "outputs, rescaled, pass the bound too.",
    "C5": "Supported for weights of the noisy labels that fade out, from antisymmetric pairs and "
    "from small or easy random starts. By agreement, the one weighting attributed to the authors, "
    "the error ends at 2ρ^{3/2} instead (0.319 at ρ = 0.3, not yet at its limit 0.329). On the "
    "design of `initialisation` four nets in five fail from standard random weights.",
    "C6": "Supported for the margin itself, which has a closed form. Not for the rest: in `margin` "
    "plain training has the least training margin 0.256 at its best step and −0.997 in the end, "
    "but 0.394 and 0.525 on fresh points; and the bound on the test error is often vacuous.",
    "C7": "Supported in part. On images of digits and MNIST's sample, where memorising costs the "
    "kernel limit a tenth or more, nets trained by agreement end ahead of the memorised net and of "
    "the best stopping time of its run: at 40 % of wrong labels by 0.015 and 0.051, at 60 % by "
    "0.077 and 0.118, on pairs of digits by 0.108. At 20 % stopping is ahead, by up to 0.02. Of "
    "four synthetic families it is ahead of the best stopping time on one.",
}
"""What the checks say of the paper's own claim, which is wider than their statements."""

NOT_SHOWN = {
    "C1": "That neural networks tend to do so: the checks are of wide two-layer nets on synthetic "
    "data; that the labels lean to the top eigenspaces is a premise.",
    "C2": "That early stopping is what mainly helps with distillation: the gain of a student is "
    "measured on synthetic trees alone, and most of it has no closed form here.",
    "C3": "That the paper's algorithm avoids memorising: its loss and schedule were not at hand. "
    "The net of the epoch before is a teacher at one noise rate only, below ρ*.",
    "C4": "That the gain is one in labels or accuracy: below ρ* stopping in time gives the right "
    "signs, too. For test accuracy see C7.",
    "C5": "Convergence of a net of finite width: proved are the kernel limit and, for wide nets, a "
    "fixed number of steps. Nor that standard random initialisation is enough.",
    "C6": "That the margin leads to better generalisation: on the clusters of `margin` all fresh "
    "points are right with either margin, and the bound is not claimed for nets of finite width.",
    "C7": "Better test accuracy of deep nets, or on CIFAR-10; that early stopping is entirely "
    "avoided at no loss: at 20 % of wrong labels, and on three synthetic families of four, it "
    "costs accuracy to avoid it. Leads are over stopping times of the same run.",
}
"""What the abstract says of each claim and the checks do not show."""

NOT_CHECKED = {
    "The tables and figures of the paper": "they were not at hand, only the abstract was; nothing "
    "here is compared with a number printed there.",
    "Its theorems as stated": "their assumptions and constants were not at hand. What is proved in "
    "docs/theory.md holds for the infinitely wide net, or for wide nets over a fixed number of "
    "steps; the uniform-in-time statement for finite width is measured, not proved.",
    "Deep nets": "the theory here is of two-layer nets under full-batch gradient descent; "
    "minibatches and momentum are measured in `practice`.",
    "Real images at full size": "CIFAR-10 is not at hand; its files can be given with --data.",
}
"""What of the paper no claim checks, and why."""

WIDE = {
    "chains": "margins of nets near ρ*_k, where they are 0: what does not shrink with them is the "
    "law's scatter at this width; and errors that tend to 0",
    "convergence": "an exponent, fitted to a few widths",
    "dark-knowledge": "outputs of trained-out nets, which are predicted to be 0; and gains, which "
    "are small differences of accuracies",
    "finite-width": "shares of 200 nets, whose scatter is binomial; a variance as m → ∞",
    "generalisation": "accuracy on fresh points, of which those of a cluster go together",
    "initialisation": "shares of wrong signs and of nets, and final errors, of nets with large "
    "random starts: their scatter does not fall with the width",
    "lazy": "exponents, fitted to a few widths; constants that leave out the order m^{-3/4}",
    "margin": "a distance that is predicted to be 0",
    "memorisation": "whole steps, which may be one off; a distance that is predicted to be 0",
    "ridge-rounds": "a distance that tends to 0 with the rounds",
    "soft-identity": "differences that are rounding, in units of its bound; an order in η",
    "teacher-student": "distances to a student's own teacher, which are predicted to be 0",
    "threshold": "margins near ρ*, where they are 0; shares of data sets, which are binomial",
    "zero-one": "errors that are predicted to be 0",
}
"""Why some rows of a claim have tolerances above a twentieth of what they measure."""

_WIDE_FROM = 0.05
"""Relative tolerance of these rows."""

_COMMAND = "python -m ntk_theory.paper_checks"
_MARKDOWN, _RECORD, _PICTURES = "paper_checks.md", "paper_checks.json", "figures/claims"

_INTRODUCTION = f"""\
# What was checked of the paper

<!-- Generated by `{_COMMAND}` from {_RECORD}: do not edit. -->

Dong, Hou, Lu and Zhang, *Distillation ≈ Early Stopping? Harvesting Dark Knowledge Utilizing
Anisotropic Information Retrieval for Overparameterized Neural Network*, arXiv 1910.01255.

Only the abstract was at hand; its claims are listed in our words, and no theorem, table or figure
of the paper is cited. A numerical check
supports a claim, it never proves it; [docs/theory.md](docs/theory.md) has the derivations and says
which of them are proofs. A verdict is on the statement of the check, which is narrower than the
paper's claim; the last two columns have what it says of that, and what it leaves open.

Regenerate this file with `{_COMMAND}`.
"""


def _overview(record: Mapping[str, Any]) -> str:
    claims, recorded = all_claims(), {entry["id"]: entry for entry in record["claims"]}
    rows = []
    for paper_claim, statement in PAPER_CLAIMS.items():
        checks = [
            f"[{id_}](#{id_}): {recorded[id_]['verdict']} ({claim.paper_claims[paper_claim]})"
            for id_, claim in claims.items()
            if paper_claim in claim.paper_claims and id_ in recorded
        ]
        found = BEARING[paper_claim] if checks else ""
        checked = "<br>".join(checks) or "no check yet"
        rows.append([paper_claim, statement, checked, found, NOT_SHOWN[paper_claim]])
    heads = [
        "claim",
        "statement (abstract, in our words)",
        "checks, with the verdict on their own statement",
        "what they say of the claim",
        "what the paper's sentence says that this does not show",
    ]
    return table(heads, rows)


def wide_rows(entry: Mapping[str, Any]) -> tuple[int, int]:
    """How many two-sided rows of a claim have such tolerances, and how many there are."""
    rows = [row for row in entry["measurements"]
            if row["kind"] == "row" and row["relation"] == "equal"]  # fmt: skip
    wide = [row for row in rows if row["tolerance"] > _WIDE_FROM * abs(row["measured"])]
    return len(wide), len(rows)


def _wide(record: Mapping[str, Any]) -> str:
    counts = {entry["id"]: wide_rows(entry) for entry in record["claims"]}
    rows = [[id_, f"{wide} of {every}", WIDE[id_]] for id_, (wide, every) in counts.items() if wide]
    wide, every = map(sum, zip(*counts.values(), strict=True))
    total = (
        f"Of {every} rows with a two-sided tolerance {wide} have one above {_WIDE_FROM:.0%} of "
        "what they measure:\n\n"
    )
    return total + table(["claim", "rows", "why"], rows)


def render(record: Mapping[str, Any]) -> str:
    """Markdown of recorded results."""
    parts = [
        _INTRODUCTION,
        _overview(record),
        "What is not checked:\n",
        "".join(f"- **{what}**: {why}\n" for what, why in NOT_CHECKED.items()),
        _wide(record),
        *[section(entry, [f"{_PICTURES}/{entry['id']}.png"]) for entry in record["claims"]],
        environment_line(record["environment"]) + "\n",
    ]
    return "\n".join(parts)


def stale(directory: Path) -> list[str]:
    """What is out of date in a directory's ledger; empty if nothing is.

    The Markdown must be what the record renders to, and the record must be of the claims as the
    code has them: same statements, same resolved configuration, same predicted values (to 1e-9).
    """
    try:
        record = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
        markdown = (directory / _MARKDOWN).read_text(encoding="utf-8")
    except (OSError, json.JSONDecodeError) as error:
        return [f"cannot be read: {error}"]
    reasons = [] if markdown == render(record) else [f"{_MARKDOWN} is not what {_RECORD} says"]
    recorded = {entry["id"]: entry for entry in record["claims"]}
    claims = all_claims()
    if set(recorded) != set(claims):
        reasons.append(f"{_RECORD} has {sorted(recorded)}, the code has {sorted(claims)}")
    missing = (id_ for id_ in claims if not (directory / _PICTURES / f"{id_}.png").is_file())
    reasons += [f"{id_}: its picture is missing" for id_ in missing]
    for id_ in set(recorded) & set(claims):
        reasons += [f"{id_}: {reason}" for reason in _differences(id_, recorded[id_])]
    return reasons


def _differences(id_: str, entry: Mapping[str, Any]) -> list[str]:
    claim = all_claims()[id_]
    config, predicted = claim.predict(Options())
    reasons = []
    if (entry["statement"], entry["source"]) != (claim.statement, claim.source):
        reasons.append("statement or source have changed")
    if not alike(entry["config"], json.loads(json.dumps(config))):
        reasons.append("the configuration has changed")
    measured = {m["name"]: m["predicted"] for m in entry["measurements"]}
    reasons += [
        f"{name} is predicted as {value!r}, not {measured.get(name)!r}"
        for name, value in predicted.items()
        if not math.isclose(measured.get(name, math.nan), value, rel_tol=1e-9)
    ]
    return reasons


def _record(directory: Path, names: Sequence[str]) -> dict[str, Any]:
    """Run claims, write the record and the pictures.

    Args:
        directory: of the ledger.
        names: claims to run; the others keep what is recorded of them.
    """
    from ntk_theory.command.recording import NOWHERE, Recording
    from ntk_theory.machine.environment import describe_environment
    from ntk_theory.report.document import to_document, to_json
    from ntk_theory.report.pictures import save_picture
    from ntk_theory.verify import run_claims

    claims = {id_: claim for id_, claim in all_claims().items() if id_ in names}
    options = dict.fromkeys(claims, Options())
    recording = Recording(NOWHERE, list(claims), _COMMAND)
    run_claims(list(claims.values()), options, recording, show_progress=True)
    results = recording.results
    if len(results) < len(claims) or any(result.interrupted for result in results):
        raise Refusal("some claim came to no verdict: nothing is recorded")
    status = of_verdicts(result.verdict for result in results)
    document = to_document(results, describe_environment(), exit_status=status.value)
    if len(claims) < len(all_claims()):
        kept = json.loads((directory / _RECORD).read_text(encoding="utf-8"))["claims"]
        fresh = {entry["id"]: entry for entry in [*kept, *document["claims"]]}
        document["claims"] = [fresh[id_] for id_ in all_claims() if id_ in fresh]
    write_whole(directory / _RECORD, to_json(document))
    (directory / _PICTURES).mkdir(parents=True, exist_ok=True)
    for result in results:
        save_picture(directory / _PICTURES / f"{result.claim.id}.png", result)
    return document


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return guarded(_COMMAND, lambda: _main(argv))


def _main(argv: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(prog=_COMMAND, description="Make paper_checks.md.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--render", action="store_true", help="render what is recorded")
    action.add_argument("--check", action="store_true", help="only say whether it is up to date")
    action.add_argument(
        "--only", nargs="+", metavar="CLAIM", help="run these claims again, keep the others' record"
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="where both files are (default: here)"
    )
    arguments = parser.parse_args(argv)
    directory: Path = arguments.directory
    if arguments.check:
        reasons = stale(directory)
        print("\n".join(reasons) or "up to date")
        return 1 if reasons else 0
    names = arguments.only or list(all_claims())
    unknown = [name for name in names if name not in all_claims()]
    if unknown:
        parser.error(f"no claim {unknown[0]!r}; the claims are {', '.join(all_claims())}")
    try:
        if arguments.render:
            record = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
        else:
            record = _record(directory, names)
        write_whole(directory / _MARKDOWN, render(record))
    except Refusal as refusal:
        complain(_COMMAND, f"error: {refusal}")
        return 2
    except OSError as error:
        complain(_COMMAND, f"error: {error.filename}: {error.strerror}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
