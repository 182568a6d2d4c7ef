"""With a wrong formula no claim is SUPPORTED."""

import importlib

import pytest

from ntk_theory.claims import all_claims
from ntk_theory.testing import check_mutant

CASES = {
    id_: importlib.import_module(f"cases.{id_.replace('-', '_')}") for id_ in sorted(all_claims())
}
MUTANTS = [
    pytest.param(id_, mutant, id=f"{id_}: {mutant.name}")
    for id_, case in CASES.items()
    for mutant in case.MUTANTS
]


def test_there_are_thirty_mutants_and_some_of_every_claim():
    assert len(MUTANTS) >= 30
    assert all(len(case.MUTANTS) >= 2 for case in CASES.values())


@pytest.mark.parametrize(("id_", "mutant"), MUTANTS)
def test_a_wrong_formula_is_not_supported(id_, mutant):
    check_mutant(all_claims()[id_], CASES[id_].TOY, mutant)
