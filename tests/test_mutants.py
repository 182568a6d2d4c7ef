"""With a wrong formula no claim is SUPPORTED; mutants.md says what catches each.

`python tests/test_mutants.py` records that table again.
"""

import importlib
from contextlib import nullcontext
from pathlib import Path

import pytest

import stored
from ntk_theory.claims import all_claims
from ntk_theory.testing import caught_by, check_mutant

CASES = {
    id_: importlib.import_module(f"cases.{id_.replace('-', '_')}") for id_ in sorted(all_claims())
}
MUTANTS = [(id_, mutant) for id_, case in CASES.items() for mutant in case.MUTANTS]
OF_PREDICTIONS = ("ntk_theory.predictions", "ntk_theory.claims")
"""What is changed there leaves nets as they are, on the same recipe."""

TABLE = Path(__file__).parent / "mutants.md"


def run(id_, mutant):
    with stored.trainings() if mutant.target.startswith(OF_PREDICTIONS) else nullcontext():
        return caught_by(check_mutant(all_claims()[id_], CASES[id_].TOY, mutant))


def line(id_, mutant, by):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (id_, mutant.name, by)) + " |"


def test_there_are_thirty_mutants_and_some_of_every_claim():
    assert len(MUTANTS) >= 30
    assert all(len(case.MUTANTS) >= 2 for case in CASES.values())


@pytest.mark.parametrize(
    ("id_", "mutant"), [pytest.param(*one, id=f"{one[0]}: {one[1].name}") for one in MUTANTS]
)
def test_a_wrong_formula_is_not_supported(id_, mutant):
    assert line(id_, mutant, run(id_, mutant)) in TABLE.read_text(encoding="utf-8").splitlines()


def test_the_table_names_no_mutant_that_is_gone():
    rows = TABLE.read_text(encoding="utf-8").splitlines()[7:]
    assert len(rows) == len(MUTANTS)


if __name__ == "__main__":
    lines = [
        "# Wrong formulas, and what catches them",
        "",
        f"{len(MUTANTS)} changes of formulas, nets, data or judgement, in toy runs; written by",
        "`python tests/test_mutants.py`, and tested to be up to date.",
        "",
        "| Claim | What is wrong | Caught by |",
        "|---|---|---|",
        *(line(id_, mutant, run(id_, mutant)) for id_, mutant in MUTANTS),
    ]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
