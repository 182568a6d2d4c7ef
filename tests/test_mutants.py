"""With a wrong formula no claim is SUPPORTED; mutants.md says what catches each, first of all.

`python tests/test_mutants.py` records that table again. Changes of predictions are tried on nets
that are trained once; those of nets and data train them again, which takes minutes: by default one
of every claim does whose toy run is not long, and more as `how_much` says.
"""

import importlib
from contextlib import nullcontext
from pathlib import Path

import pytest

import stored
from how_much import LONG, MORE, again_for
from ntk_theory.claims import all_claims
from ntk_theory.testing import caught_by, check_mutant

CASES = {
    id_: importlib.import_module(f"cases.{id_.replace('-', '_')}") for id_ in sorted(all_claims())
}
MUTANTS = [(id_, mutant) for id_, case in CASES.items() for mutant in case.MUTANTS]
OF_PREDICTIONS = ("ntk_theory.predictions", "ntk_theory.claims")
"""What is changed there leaves nets as they are, on the same recipe."""

TABLE = Path(__file__).parent / "mutants.md"


def keeps_nets(id_, mutant):
    """Nets of `practice` are trained in minibatches, and not kept."""
    return mutant.target.startswith(OF_PREDICTIONS) and id_ != "practice"


def tried():
    """What is tried here, by claim and mutant: of those that train nets, some."""
    for id_, case in CASES.items():
        of_nets = [one for one in case.MUTANTS if not keeps_nets(id_, one)]
        if not again_for(id_):
            of_nets = of_nets[: MORE or id_ not in LONG]
        for mutant in case.MUTANTS:
            if keeps_nets(id_, mutant) or mutant in of_nets:
                yield pytest.param(id_, mutant, id=f"{id_}: {mutant.name}")


def run(id_, mutant):
    with stored.trainings(id_) if keeps_nets(id_, mutant) else nullcontext():
        return caught_by(check_mutant(all_claims()[id_], CASES[id_].TOY, mutant))


def line(id_, mutant, by):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (id_, mutant.name, by)) + " |"


def test_there_are_thirty_mutants_and_some_of_every_claim():
    assert len(MUTANTS) >= 30
    assert all(len(case.MUTANTS) >= 2 for case in CASES.values())


@pytest.mark.parametrize(("id_", "mutant"), list(tried()))
def test_a_wrong_formula_is_not_supported(id_, mutant):
    # The first may be another one on another processor; what is recorded has to catch everywhere.
    recorded = TABLE.read_text(encoding="utf-8").splitlines()
    assert any(line(id_, mutant, by) in recorded for by in run(id_, mutant))


def test_the_table_names_every_mutant_and_none_that_is_gone():
    rows = TABLE.read_text(encoding="utf-8").splitlines()[7:]
    starts = [line(id_, mutant, "").removesuffix(" |") for id_, mutant in MUTANTS]
    assert len(rows) == len(starts)
    assert all(row.startswith(start) for row, start in zip(rows, starts, strict=True))


if __name__ == "__main__":
    lines = [
        "# Wrong formulas, and what catches them",
        "",
        f"{len(MUTANTS)} changes of formulas, nets, data or judgement, in toy runs; written by",
        "`python tests/test_mutants.py`, and tested to be up to date.",
        "",
        "| Claim | What is wrong | Caught by |",
        "|---|---|---|",
        *(line(id_, mutant, run(id_, mutant)[0]) for id_, mutant in MUTANTS),
    ]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
