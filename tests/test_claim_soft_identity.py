"""The soft identity: its rows fail where they should, and rounding stays below its bound."""

from dataclasses import replace

import numpy as np
import pytest

from cases.soft_identity import TOY
from ntk_theory import predictions
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.running import Run
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims import _soft_identity_pairs as identity
from ntk_theory.claims import soft_identity
from ntk_theory.claims._soft_identity_pairs import CASES, Case
from ntk_theory.claims.soft_identity import CLAIM
from progress import Silent

TINY = Options(
    preset="quick", seeds=3, widths=(128, 256, 512, 1024), clusters=2, points=5, ratio=5.0, steps=32
)
PROBLEM = CLAIM.build(TINY)


def pair(case, width=64, schedule="power", pairs=True, seed=0):
    return identity.pair_of(PROBLEM, seed, case, width, schedule, pairs=pairs)


# ---------------------------------------------------------------- the identity


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("schedule", identity.schedules(1.0))
@pytest.mark.parametrize("pairs", [True, False])
def test_the_identity_holds_to_rounding_for_every_loss_layer_and_schedule(case, schedule, pairs):
    found = pair(case, 32, schedule, pairs)
    assert found.diverged is None
    assert found.same_activations
    assert found.stability <= 1
    # Far above what rounding does here would hide an error; far below, it would have no room.
    assert found.difference <= found.bound < 1e-9
    assert found.moved > 1e-3 or schedule == "agreement"


def test_runs_differ_where_they_should_not_be_equal_bit_for_bit():
    # Two programs, not one compared with itself.
    assert max(pair(case, 256).difference for case in CASES) > 1e-16


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
    found = [pair(Case("square", "first", 1), 4, seed=seed) for seed in range(40)]
    assert all(one.diverged is None and one.difference <= one.bound for one in found)


def made_up(**changes):
    values = {
        "difference": 1e-14, "bound": 1e-12, "moved": 1.0, "stability": 0.5, "undecided": 1e-4,
        "same_activations": True, "diverged": None,
    }  # fmt: skip
    return identity.Pair(Case("square", "first", 1), 64, "power", **values | changes)


def test_a_difference_above_its_bound_fails():
    (row,) = identity.pair_rows([made_up(), made_up(difference=2e-12)])
    assert row.measured == pytest.approx(2.0)
    assert row.holds is False
    (row,) = identity.pair_rows([made_up()])
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
    assert all(premise.holds for premise in identity.pair_premises([made_up()]))
    premises = identity.pair_premises([made_up(**change)])
    assert [premise.name for premise in premises if not premise.holds] == [unmet]


# ---------------------------------------------------------------- small steps and controls


@pytest.mark.parametrize(("order", "holds"), [(1, True), (0.5, False), (2, False), (0, False)])
def test_orders_other_than_one_fail(order, holds):
    rng = np.random.default_rng(0)
    flow, direction = rng.standard_normal((2, 4, 10))
    ends = [flow + direction / steps**order for steps in PROBLEM.order_steps]
    assert soft_identity.order_row(Run(declare(CLAIM, TINY), Silent()), ends, flow).holds is holds


def test_small_steps_of_another_time_are_seen():
    run = Run(declare(CLAIM, TOY), Silent())
    assert run.climb()
    assert all(row.holds for row in soft_identity._small_step_rows(run))
    found = run.results[soft_identity.FLOW][-1]
    late = replace(found.trajectory, outputs=1.05 * found.trajectory.outputs)
    run.results[soft_identity.FLOW][-1] = replace(found, trajectory=late)
    assert [row.holds for row in soft_identity._small_step_rows(run)] == [False, False]


def test_a_control_that_breaks_nothing_does_not_hold():
    run = Run(declare(CLAIM, TOY), Silent())
    assert run.climb()
    control = run.declared.controls[0]
    # Soft targets of the current prediction: the identity itself.
    unbroken = replace(control.row, training=run.problem.policy("unbroken", "soft"))
    found = run.control(replace(control, row=unbroken))
    assert found.verdict is Verdict.SUPPORTED
    assert not found.holds


def test_the_kernel_recursion_of_soft_targets_is_the_closed_form():
    stopping = declare(CLAIM, TINY).trainings[soft_identity.STOPPING]
    recursion = PROBLEM.policy("soft", "soft").predicted
    # 32 steps with ηλ <= 1 round numbers of size 1.
    assert np.abs(recursion - stopping.predicted).max() < 32 * 10 * np.finfo(float).eps * 4


# ---------------------------------------------------------------- premises and refusals


@pytest.mark.parametrize(
    ("change", "unmet"),
    [
        ({"widths": (8, 16, 32, 64)}, "narrowest net moves little"),
        ({"learning_rate": 2.0}, "no overshoot"),
        ({"learning_rate": 20.0}, "stable learning rate"),
    ],
)
def test_broken_premises_are_named(change, unmet):
    options = {"widths": TINY.widths, "seeds": 3, **TINY.knobs, **change}
    result = CLAIM.run(Options("quick", **options), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert unmet in {premise.name for premise in result.premises if not premise.holds}


def test_single_precision_is_refused():
    with pytest.raises(ValueError, match="dtype must be float64"):
        CLAIM.predict(Options("quick", dtype="float32"))
