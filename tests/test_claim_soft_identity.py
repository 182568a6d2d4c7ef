"""The soft identity: its rows fail where they should, and rounding stays below its bound."""

from dataclasses import replace

import numpy as np
import pytest
from ntk_theory.claims.soft_identity.plan import CASES, STOPPING, Case, make_plan
from ntk_theory.claims.soft_identity.theory import Theory

from cases.soft_identity import TOY
from ntk_theory import predictions
from ntk_theory.claims.soft_identity import CLAIM, controls, identity, measurements, nets
from ntk_theory.verdicts import Options, Verdict
from progress import Silent

TINY = Options(
    preset="quick", seeds=3, widths=(128, 256, 512, 1024), clusters=2, points=5, ratio=5.0, steps=32
)
PLAN = make_plan(TINY)
SCHEDULES = tuple(identity._schedules(1.0))


def pair(case, width=64, schedule="power", pairs=True, plan=PLAN):
    return identity.pair_of(plan, case, width, schedule, pairs=pairs)


# ---------------------------------------------------------------- the identity


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("pairs", [True, False])
def test_the_identity_holds_to_rounding_for_every_loss_layer_and_schedule(case, schedule, pairs):
    found = pair(case, 32, schedule, pairs)
    assert found.stopped is None
    assert found.same_activations
    assert found.stability <= 1
    # Far above what rounding does here would hide an error; far below, it would have no room.
    assert found.difference <= found.bound < 1e-9
    assert found.moved > 1e-3 or schedule == "agreement"


def test_runs_differ_where_they_should_not_be_equal_bit_for_bit():
    # Two programs, not one compared with itself.
    differences = [pair(case, 256).difference for case in CASES]
    assert max(differences) > 1e-16


@pytest.mark.parametrize("error", [1e-6, 1e-2])
@pytest.mark.parametrize("case", CASES)
def test_a_rate_that_is_wrong_by_a_millionth_is_seen(case, error, monkeypatch):
    right = predictions.equivalent_learning_rates
    monkeypatch.setattr(
        predictions,
        "equivalent_learning_rates",
        lambda rate, weights: right(rate * (1 + error), weights),
    )
    found = pair(case)
    assert found.difference > 10 * found.bound


def test_a_net_without_active_neurons_is_no_failure():
    # Width 4 has two independent neurons: some seeds leave every point inactive.
    case = Case("square", "first", 1)
    plans = [make_plan(replace(TINY, seed=seed)) for seed in range(40)]
    found = [pair(case, 4, plan=plan) for plan in plans]
    assert all(p.stopped is None and p.difference <= p.bound for p in found)


def made_up(**changes):
    case = Case("square", "first", 1)
    values = {
        "difference": 1e-14,
        "bound": 1e-12,
        "moved": 1.0,
        "stability": 0.5,
        "undecided": 1e-4,
        "same_activations": True,
        "stopped": None,
    }
    return identity.Pair(case, 64, "power", **values | changes)


def test_a_difference_above_its_bound_fails():
    (row,) = identity.identity_rows([made_up(), made_up(difference=2e-12)])
    assert row.measured == pytest.approx(2.0)
    assert row.holds is False
    (row,) = identity.identity_rows([made_up()])
    assert row.holds is True


@pytest.mark.parametrize(
    ("change", "unmet"),
    [
        ({"stability": 1.5}, "steps enlarge no error"),
        ({"undecided": 0.1}, "activations decided by rounding"),
        ({"same_activations": False}, "both runs have the same activations"),
        ({"bound": 1e-3}, "rounding bound far below the movement of the outputs"),
    ],
)
def test_premises_of_the_bound_can_fail(change, unmet):
    assert all(premise.holds for premise in identity.identity_premises([made_up()]))
    premises = identity.identity_premises([made_up(**change)])
    assert [premise.name for premise in premises if not premise.holds] == [unmet]


# ---------------------------------------------------------------- small steps and controls


@pytest.mark.parametrize(("order", "holds"), [(1, True), (0.5, False), (2, False), (0, False)])
def test_orders_other_than_one_fail(order, holds):
    rng = np.random.default_rng(0)
    flow = rng.standard_normal((4, 10))
    direction = rng.standard_normal((4, 10))
    ends = [flow + direction / steps**order for steps in PLAN.order_steps]
    assert measurements._order_row(PLAN, ends, flow).holds is holds


@pytest.fixture(scope="module")
def wide():
    """The toy's ladder, trained."""
    trained = nets.Wide.of(make_plan(TOY))
    for width in TOY.widths:
        nets.climb(trained, width, Silent())
    return trained


@pytest.mark.parametrize("name", nets.recipes(PLAN))
def test_a_prediction_that_is_off_by_a_constant_does_not_let_the_deviation_fall(wide, name):
    rungs = wide.ladders[name].rungs[name]
    # Off by as much as the nets of a middle width deviate, independently of them.
    off = rungs[1].deviation.mean(axis=0)
    shifted = [replace(rung, deviation=np.hypot(rung.deviation, off)) for rung in rungs]
    ladder = replace(wide.ladders[name], rungs=wide.ladders[name].rungs | {name: shifted})
    bad = replace(wide, ladders=wide.ladders | {name: ladder})
    outcomes = {
        row.name.rpartition(", at the end")[0]: row.holds for row in measurements._falling(bad)
    }
    assert outcomes == {other: other != name for other in outcomes}
    assert all(row.holds for row in measurements._falling(wide))


def test_a_control_that_breaks_nothing_does_not_hold(wide):
    # Soft targets of the current prediction: the identity itself.
    unbroken = controls.Policy("unbroken", "nothing", "soft")
    control = controls.control(wide, unbroken, 1e-10, {}, Silent())
    assert control.verdict is Verdict.SUPPORTED
    assert not control.holds


def test_the_kernel_recursion_of_soft_targets_is_the_closed_form():
    theory = Theory(PLAN)
    data = PLAN.problem.dataset
    curve = theory.curve(STOPPING).outputs(data.clean, data.flipped)
    recursion = theory.policy("soft", entropy=False)
    # 32 steps with ηλ <= 1 round numbers of size 1.
    assert np.abs(recursion - curve).max() < 32 * 10 * np.finfo(float).eps * 4


# ---------------------------------------------------------------- premises and refusals


@pytest.mark.parametrize(
    ("change", "unmet"),
    [
        ({"widths": (8, 16, 32, 64)}, "narrowest net of the ladder moves little"),
        ({"learning_rate": 2.0}, "no overshoot"),
        ({"learning_rate": 20.0}, "stable learning rate"),
    ],
)
def test_broken_premises_are_named(change, unmet):
    result = CLAIM.run(replace(TINY, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert unmet in {premise.name for premise in result.premises if not premise.holds}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"widths": (256, 512, 1024)}, "widths must be at least 4"),
        ({"steps": 2}, "steps must be at least"),
        ({"ratio": 0.5}, "ratio"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TINY, **change))
