"""The claim `threshold`: rows fail where they should, and nonsense is refused."""

from dataclasses import replace

import numpy as np
import pytest

from cases.threshold import TOY
from ntk_theory import predictions
from ntk_theory.claims import threshold
from ntk_theory.claims.threshold import CLAIM
from ntk_theory.verdicts import Options, Verdict
from progress import Silent


def unmet(options):
    result = CLAIM.run(options, Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    return {premise.name for premise in result.premises if not premise.holds}


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 3}, "balanced labels"),
        ({"learning_rate": 1.5}, "no overshoot"),
        ({"learning_rate": 5.0}, "no overshoot"),
        ({"ratio": 2.1}, "the grid straddles the threshold"),
        ({"ratio": 200.0}, "the grid straddles the threshold"),
        ({"widths": (8, 16, 32, 64)}, "narrowest nets move little"),
        ({"ratio": 5.0, "widths": (256, 512, 1024, 2048)}, "both sides decided"),
    ],
)
def test_outside_the_premises_the_premise_is_named(change, premise):
    assert premise in unmet(replace(TOY, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": 2.0}, "ratio must be above 2"),
        ({"ratio": float("nan")}, "ratio must be above 2"),
        ({"points": 3}, "points must be at least 4"),
        ({"seeds": 2}, "seeds must be at least 3"),
        ({"clusters": 1}, "clusters must be at least 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **change))


def test_the_grid_straddles_the_threshold_without_touching_it():
    rates = threshold._nearest_rates(20, 0.25)
    assert rates == [0.1, 0.15, 0.2, 0.3, 0.35, 0.4]
    assert threshold._nearest_rates(20, 0.43) == [0.3, 0.35, 0.4, 0.45]
    for preset in ("quick", "standard", "paper"):
        plan = threshold._plan(Options(preset=preset))
        for ratio in plan.ratios:
            sides = [plan.cells[i].below for i in plan.of_ratio(ratio)]
            assert True in sides
            assert False in sides


# ---------------------------------------------------------------- rows on made-up nets


@pytest.fixture
def plan():
    return threshold._plan(TOY)


def made_up(plan, boundary=None, scatter=0.01):
    """Nets that recover below a boundary, with margins of that boundary in the first step."""
    nets, rng = threshold._Nets(), np.random.default_rng(0)
    shape = len(plan.widths), plan.nets
    for cell in plan.cells:
        problem = cell.problem
        edge = cell.threshold if boundary is None else boundary
        noise = scatter * rng.standard_normal(shape)
        nets.recovered.append(np.full(shape, problem.noise_rate < edge))
        nets.first.append(edge - problem.noise_rate + noise)
        nets.relative_margin.append(cell.first_margin + noise)
        wrong = 0.0 if problem.noise_rate < edge else problem.noise_rate
        nets.wrong.append(np.full(3, wrong))
    return nets


def rows(plan, nets, decided=None):
    decided = [True] * len(plan.cells) if decided is None else decided
    (ratio,) = plan.ratios
    return [
        *threshold._side_rows(plan, nets, decided),
        threshold._grid_boundary(plan, nets, decided, ratio),
        threshold._margin_boundary(plan, nets, ratio),
        threshold._margin_row(plan, nets, 0.1),
    ]


def test_nets_with_the_boundary_at_the_threshold_satisfy_every_row(plan):
    assert all(row.holds for row in rows(plan, made_up(plan)))


@pytest.mark.parametrize("boundary", [0.15, 0.25, 0.45])
def test_another_boundary_is_seen_in_both_ways(plan, boundary):
    grid, first = rows(plan, made_up(plan, boundary))[-3:-1]
    assert grid.holds is False
    assert first.holds is False


def test_one_net_on_the_wrong_side_is_enough(plan):
    for cell, name in ((0, "below"), (-1, "above")):
        nets = made_up(plan)
        nets.recovered[cell][-1, 2] ^= True
        failed = [row for row in rows(plan, nets) if row.holds is False]
        assert name in failed[0].name
        assert failed[0].measured == 1
        nets = made_up(plan)
        nets.wrong[cell][1] += 0.1
        failed = [row for row in rows(plan, nets) if row.holds is False]
        assert len(failed) == 1
        assert f"self-distilled nets {name}" in failed[0].name


def test_an_undecided_cell_may_do_either(plan):
    nets = made_up(plan)
    nearest = [i for i, cell in enumerate(plan.cells) if cell.problem.noise_rate == 0.3]
    decided = [i not in nearest for i in range(len(plan.cells))]
    nets.recovered[nearest[0]][-1, :3] = False
    nets.wrong[nearest[0]][0] = 0.3
    assert all(row.holds for row in rows(plan, nets, decided))
    assert not all(row.holds for row in rows(plan, nets))


def test_nets_that_scatter_over_the_grid_step_leave_the_boundary_open(plan):
    row = threshold._margin_boundary(plan, made_up(plan, scatter=0.2), plan.ratios[0])
    assert row.holds is None


def test_a_margin_beyond_the_bound_fails(plan):
    nets = made_up(plan)
    nets.relative_margin[1][-1, 0] += 0.2
    assert threshold._margin_row(plan, nets, 0.1).holds is False


@pytest.mark.parametrize(
    ("deviation", "open_"), [(0.01, set()), (0.35, {"most cells decided", "both sides decided"})]
)
def test_a_width_that_decides_too_little_is_an_unmet_premise(plan, deviation, open_):
    premises = threshold._trained_premises(plan, deviation)
    assert {premise.name for premise in premises if not premise.holds} == open_


# ---------------------------------------------------------------- controls


def test_the_rate_of_the_odd_control_lies_between_the_moved_threshold_and_the_claimed_one():
    for options in (TOY, Options(preset="quick"), Options(preset="paper")):
        plan = threshold._plan(options)
        broken = threshold._odd_clusters(plan)
        assert broken.claimed > 0
        assert broken.best_margin(broken.predicted) < 0


def test_the_low_ratio_has_no_threshold_above_zero(plan):
    broken = threshold._low_ratio(plan)
    assert predictions.recoverability_threshold(1.5) < 0
    assert broken.best_margin(broken.predicted) < 0 < broken.claimed


def test_whole_clusters_have_relative_margin_minus_one(plan):
    broken = threshold._whole(plan)
    # One division of equal numbers, g_+ by the root of the mean of n squares of it.
    assert broken.best_margin(broken.predicted) == pytest.approx(-1, abs=1e-14)
