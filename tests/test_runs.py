"""How a control is judged, and when a function is imported."""

import subprocess
import sys

import pytest

from ntk_theory.checking.evidence import judged_control
from ntk_theory.checking.verdicts import Measurement, Verdict, deferred


def control(measured, unmet=None, predicted=0.5, claimed=0.9, tolerance=0.1):
    failure = Measurement("margin", predicted, measured, tolerance)
    return judged_control("id", "broken", failure, claimed, tolerance, unmet)


def test_a_control_holds_when_it_fails_where_theory_says():
    right = control(0.52)
    assert right.verdict is right.expected is Verdict.VIOLATED
    assert right.holds


@pytest.mark.parametrize("measured", [0.9, 0.1, 0.7])
def test_a_control_that_succeeds_or_fails_elsewhere_does_not_hold(measured):
    assert not control(measured).holds


def test_a_control_that_cannot_be_told_from_success_does_not_hold():
    assert control(0.85, predicted=0.85).verdict is Verdict.SUPPORTED
    assert not control(0.85, predicted=0.85).holds


def test_a_control_of_a_premise_has_to_unmake_it():
    assert control(0.5, unmet=True).verdict is Verdict.PREMISE_UNMET
    assert control(0.5, unmet=True).holds
    assert not control(0.5, unmet=False).holds


def test_a_control_of_a_premise_has_to_fail_as_well():
    assert not control(0.9, unmet=True).holds


def test_a_deferred_function_is_imported_when_it_is_called():
    assert deferred("math:gcd")(12, 18) == 6
    with pytest.raises(AttributeError):
        deferred("math:no_such_function")()


def test_listing_the_claims_imports_nothing_heavy():
    code = (
        "import sys; from ntk_theory.claims import all_claims; all_claims(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
