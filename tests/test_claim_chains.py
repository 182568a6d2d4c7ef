"""What is special to the claim `chains`: rows and boundaries that can fail, premises, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from cases.chains import TOY
from made_up import failing, made_up
from ntk_theory import predictions
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims._chains_cells import CLEAR, HARDENED, ROUNDS, STOP, cells, curve, recovered
from ntk_theory.claims.chains import CLAIM, measure
from progress import Silent


def changed(what, change):
    """Nets by their law but those of a training, which do something else with their outputs."""

    def distort(outputs, width, training, on):
        return change(outputs, training) if what in training.name else outputs

    return made_up(CLAIM, TOY, distort)


def measured(run):
    return {one.name: one for one in measure(run)}


def test_nets_that_do_as_predicted_satisfy_every_row():
    run = made_up(CLAIM, TOY)
    assert failing(run) == set()
    assert all(row.holds for row in measured(run).values())


def test_rounds_that_do_not_sharpen_the_spectrum_are_seen_in_margins_signs_and_boundaries():
    """Every round is as the first one was, but for its size."""

    def one_filter(exact, training):
        sizes = np.linalg.norm(exact, axis=1, keepdims=True)
        return sizes * np.where(sizes > 0, exact[1] / np.linalg.norm(exact[1]), 0)

    run = changed("r = ", one_filter)
    failed = failing(run)
    assert all(f"{name}: relative margin after 2 nets" in failed
               for name in run.trainings if "r = " in name)  # fmt: skip
    rows = measured(run)
    assert rows["nets with other wrong signs than ρ*_1 says"].holds
    for name in ("boundary after 2 nets, r = 2.6", "nets with other wrong signs than ρ*_2 says"):
        assert not rows[name].holds


def test_one_net_with_one_wrong_sign_is_counted():
    def one_off(exact, training):
        return exact * np.where(np.arange(exact.shape[1]) == 0, -1.0, 1.0)

    run = changed("ρ = 0.0625", one_off)
    count = measured(run)["nets with other wrong signs than ρ*_1 says"].measured
    assert count == run.trainings["ρ = 0.0625, r = 2.6"].nets_in(run.nets.count)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_outputs_of_another_size_are_seen_where_margins_are_not_relative(factor):
    failed = failing(changed("rounds", lambda exact, training: factor * exact))
    assert failed >= {f"rounds: mean margin after {k}" for k in ("1 net", "2 nets", "3 nets")}


def test_a_net_taught_signs_that_stays_as_far_as_the_bound_is_seen():
    rho = declare(CLAIM, TOY).problem.chosen.noise_rate
    failed = failing(changed(HARDENED, lambda exact, training: (1 - 2 * rho) * exact))
    assert f"{HARDENED}: RMS error" in failed


@pytest.mark.parametrize("points", [4, 16, 20, 50])
@pytest.mark.parametrize("ratio", [1.3, 2.0, 4.0])
def test_cells_are_clear_and_next_to_where_nets_fail(points, ratio):
    closely, rates = cells(ratio, points)
    for rho in rates:
        margins = [predictions.chain_margin(ratio, rho, k) for k in range(1, ROUNDS + 1)]
        assert min(map(abs, margins)) > CLEAR
    assert len(rates) <= 2 * ROUNDS
    assert 0 < closely < 0.5


def test_the_default_grid_has_cells_on_both_sides_of_every_threshold():
    grid = CLAIM.build(replace(TOY, knobs={}))
    sides = {(k, recovered(cell, k)) for cell in grid.problems for k in range(1, ROUNDS + 1)}
    assert len(sides) == 2 * ROUNDS
    low = [cell for cell in grid.problems if cell.ratio <= 2]
    assert not any(recovered(cell, 1) for cell in low)
    assert any(recovered(cell, 2) for cell in low)


def test_the_problem_looked_at_is_that_of_a_referee():
    """One net is wrong where it is stopped, and at every later step; two are right."""
    problem = CLAIM.build(replace(TOY, knobs={})).chosen
    assert (problem.ratio, problem.noise_rate) == (4, 0.4)
    assert (curve(problem, 50, 1).margin()[1:] < 0).all()
    assert curve(problem, STOP, 2).margin()[-1] > 0
    assert min(curve(problem, STOP, k).rms_error().min() for k in range(1, 9)) > 0.8


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 3}, "balanced labels"),
        ({"ratio": 2.0}, "cells for every number of nets"),
        ({"points": 4}, "cells for every number of nets"),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    result = CLAIM.run(replace(TOY, knobs=TOY.knobs | change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert result.metrics == ()
    assert premise in {one.name for one in result.premises if not one.holds}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": 1.0}, "ratio must be above 1"),
        ({"ratio": float("inf")}, "ratio must be above 1 and finite"),
        ({"points": 3}, "points must be at least 4"),
        ({"clusters": 1}, "clusters must be at least 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, knobs=TOY.knobs | change))
