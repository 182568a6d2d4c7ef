"""The truth table of a verdict, and when a measurement or a control holds."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ntk_theory.checking.verdicts import (
    Control,
    Measurement,
    Options,
    Premise,
    Relation,
    Verdict,
    judge,
)

# Sums and differences of these are exact, so boundaries can be met exactly.
numbers = st.integers(-(2**20), 2**20).map(lambda k: k / 64)
tolerances = st.integers(0, 2**12).map(lambda k: k / 64)
relations = st.sampled_from(list(Relation))
outcomes = st.sampled_from([True, False, None])
verdicts = st.sampled_from(list(Verdict))

measurements = st.builds(
    Measurement,
    name=st.just("m"),
    predicted=numbers,
    measured=numbers,
    tolerance=tolerances,
    interval=st.none() | st.tuples(numbers, numbers).map(sorted).map(tuple),
    relation=relations,
    whole_interval=st.booleans(),
)


def premise(holds):
    return Premise("p", None, holds, "")


def measurement(holds):
    """A measurement with this outcome."""
    interval = (-2.0, 2.0) if holds is None else None
    return Measurement("m", 0.0, 2.0 if holds is False else 0.0, 1.0, interval, whole_interval=True)


def control(holds):
    return Control(
        "c",
        "",
        Verdict.VIOLATED,
        Verdict.VIOLATED if holds else Verdict.SUPPORTED,
        Measurement("f", 5.0, 5.0, 1.0),
        claimed=0.0,
        claimed_tolerance=2.0,
    )


def judged(premises, measured, controls):
    return judge(
        tuple(map(premise, premises)),
        tuple(map(measurement, measured)),
        tuple(map(control, controls)),
    )


# ---------------------------------------------------------------- judge


@given(st.lists(st.booleans()), st.lists(outcomes), st.lists(st.booleans()))
def test_judge_follows_its_truth_table(premises, measured, controls):
    found = judged(premises, measured, controls)
    if False in premises:
        assert found is Verdict.PREMISE_UNMET
    elif False in measured:
        assert found is Verdict.VIOLATED
    elif measured == [] or None in measured or False in controls:
        assert found is Verdict.INCONCLUSIVE
    else:
        assert found is Verdict.SUPPORTED


def test_all_combinations_of_one_premise_two_measurements_and_one_control():
    table = {
        (p, *sorted((str(a), str(b))), c): judged([p], [a, b], [c])
        for p, a, b, c in itertools.product(
            [True, False], [True, False, None], [True, False, None], [True, False]
        )
    }
    assert {key for key, found in table.items() if found is Verdict.SUPPORTED} == {
        (True, "True", "True", True)
    }
    assert {found for (p, *_), found in table.items() if not p} == {Verdict.PREMISE_UNMET}
    violated = {key for key, found in table.items() if found is Verdict.VIOLATED}
    assert violated == {key for key in table if key[0] and "False" in key[1:3]}


@given(st.lists(st.booleans()), st.lists(outcomes), st.lists(st.booleans()), st.randoms())
def test_order_does_not_change_a_verdict(premises, measured, controls, random):
    before = judged(premises, measured, controls)
    for items in (premises, measured, controls):
        random.shuffle(items)
    assert judged(premises, measured, controls) is before


@given(st.lists(st.booleans()), st.lists(outcomes), st.lists(st.booleans()))
def test_no_failed_part_ever_makes_a_claim_supported(premises, measured, controls):
    for parts in (
        ([*premises, False], measured, controls),
        (premises, [*measured, False], controls),
        (premises, [*measured, None], controls),
        (premises, measured, [*controls, False]),
    ):
        assert judged(*parts) is not Verdict.SUPPORTED


def test_nothing_measured_is_inconclusive_and_controls_may_be_left_out():
    assert judge((), ()) is Verdict.INCONCLUSIVE
    assert judge((), (measurement(True),)) is Verdict.SUPPORTED


# ---------------------------------------------------------------- Measurement


@given(measurements)
def test_slack_is_what_is_left_of_the_tolerance(m):
    error = m.measured - m.predicted
    expected = {
        Relation.EQUAL: m.tolerance - abs(error),
        Relation.AT_LEAST: m.tolerance + error,
        Relation.AT_MOST: m.tolerance - error,
    }
    assert m.slack == expected[m.relation]


@given(measurements)
def test_without_its_interval_a_measurement_holds_within_its_tolerance_borders_included(m):
    alone = replace(m, whole_interval=False)
    low, high = m.predicted - m.tolerance, m.predicted + m.tolerance
    expected = {
        Relation.EQUAL: low <= m.measured <= high,
        Relation.AT_LEAST: m.measured >= low,
        Relation.AT_MOST: m.measured <= high,
    }
    assert alone.holds is expected[m.relation]
    # Without an interval there is nothing to hold as a whole.
    assert replace(m, interval=None, whole_interval=True).holds is expected[m.relation]


@given(measurements)
def test_a_whole_interval_opens_what_its_ends_leave_open(m):
    assume(m.interval is not None)
    whole, alone = replace(m, whole_interval=True), replace(m, whole_interval=False)
    ends = [replace(alone, measured=end).holds for end in m.interval]
    if not alone.holds:
        assert whole.holds is False
    else:
        assert whole.holds is (True if all(ends) else None)


@given(measurements, st.sampled_from(["predicted", "measured", "tolerance"]), st.booleans())
def test_a_nan_never_holds(m, name, whole):
    assert replace(m, **{name: math.nan}, whole_interval=whole).holds is False


@given(measurements)
def test_an_interval_that_starts_with_nan_leaves_a_measurement_open(m):
    assume(m.interval is not None)
    half = replace(m, interval=(math.nan, m.interval[1]), whole_interval=True)
    assert half.holds is not True


@pytest.mark.parametrize("relation", list(Relation))
@pytest.mark.parametrize("measured", [math.inf, -math.inf])
def test_an_infinite_measurement_is_equal_to_nothing(relation, measured):
    holds = Measurement("m", 0.0, measured, 1.0, relation=relation).holds
    beyond = {Relation.AT_LEAST: math.inf, Relation.AT_MOST: -math.inf}
    assert holds is (beyond.get(relation) == measured)


@given(measurements, st.integers(0, 2**12).map(lambda k: k / 64))
def test_a_larger_tolerance_never_loses_what_held(m, more):
    rank = {False: 0, None: 1, True: 2}
    larger = replace(m, tolerance=m.tolerance + more)
    assert rank[larger.holds] >= rank[m.holds]
    assert larger.slack == m.slack + more


@given(measurements, tolerances)
def test_a_tolerance_beyond_the_resolution_leaves_open_what_held(m, resolution):
    coarse = replace(m, resolution=resolution)
    if m.holds is not False and m.tolerance > resolution:
        assert coarse.holds is None
    else:
        assert coarse.holds is m.holds
    assert coarse.slack == m.slack


@given(numbers, numbers, tolerances)
def test_equal_is_both_at_least_and_at_most(predicted, measured, tolerance):
    equal, least, most = (
        Measurement("m", predicted, measured, tolerance, relation=relation).holds
        for relation in (Relation.EQUAL, Relation.AT_LEAST, Relation.AT_MOST)
    )
    assert equal is (least and most)


@given(numbers, tolerances, st.sampled_from([np.float64, np.float32, float]))
def test_the_outcome_is_a_plain_bool_whatever_the_number_is(predicted, tolerance, kind):
    # `False in outcomes` and `is True` must see through numpy's own booleans.
    for measured in (kind(predicted), kind(predicted + 4 * tolerance + 1)):
        m = Measurement("m", predicted, measured, tolerance, (measured, measured))
        assert type(m.holds) is bool
        assert type(replace(m, whole_interval=True).holds) is bool


# ---------------------------------------------------------------- Control


claims = numbers | st.just(math.nan)


@given(verdicts, verdicts, measurements, claims, tolerances)
def test_a_control_holds_when_verdict_failure_and_apartness_do(
    expected, verdict, failure, claimed, tolerance
):
    found = Control("c", "", expected, verdict, failure, claimed, tolerance).holds
    right = verdict == expected
    seen = failure.holds is True
    apart = abs(failure.measured - claimed) > tolerance
    assert found is (right and seen and apart)


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": Verdict.SUPPORTED},
        {"verdict": Verdict.INCONCLUSIVE},
        {"verdict": Verdict.PREMISE_UNMET},
        {"failure": Measurement("f", 5.0, 5.0, 1.0, (0.0, 9.0), whole_interval=True)},
        {"failure": Measurement("f", 5.0, 6.5, 1.0)},
        {"failure": Measurement("f", 5.0, math.nan, 1.0)},
        {"claimed": 3.0},
        {"claimed": 7.0},
        {"claimed": 5.0},
        {"claimed": math.nan},
        {"claimed_tolerance": 5.0},
        {"claimed_tolerance": math.nan},
    ],
)
def test_each_missing_condition_spoils_a_control(change):
    good = control(True)
    assert good.holds is True
    assert replace(good, **change).holds is False


# ---------------------------------------------------------------- Options


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed must not be negative; got -1"):
        Options(seed=-1)
