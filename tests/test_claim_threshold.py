"""The claim `threshold`: rows fail where they should, and nonsense is refused."""

from dataclasses import replace

import numpy as np
import pytest

from cases import nets_at_rate
from cases.threshold import TOY
from ntk_theory import experiments, predictions
from ntk_theory.claims.threshold import CLAIM, boundary, controls, measurements
from ntk_theory.claims.threshold import plan as plans
from ntk_theory.claims.threshold.independent import independent_rows
from ntk_theory.claims.threshold.nets import Nets, best_margin
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
    ("change", "advice"),
    [
        ({"points": 4, "ratio": None}, "got 4 points, with ρ* = 0.333 at ratio 4"),
        ({"points": 14, "ratio": 8.0}, "got 14 points, with ρ* = 0.429 at ratio 8; 15 points"),
        ({"ratio": 2.1}, "got 10 points, with ρ* = 0.0455 at ratio 2.1; 23 points are enough"),
        ({"ratio": 200.0}, "got 10 points, with ρ* = 0.497 at ratio 200; 399 points are enough"),
    ],
)
def test_too_few_points_for_the_threshold_are_named_with_a_number_that_is_enough(change, advice):
    options = replace(TOY, preset="quick", **change)
    requirements = {p.name: p.requirement for p in plans.planned_premises(plans.make_plan(options))}
    assert advice in requirements["the grid straddles the threshold"]
    assert requirements["the grid straddles the threshold"].startswith("points: ")
    enough = int(requirements["the grid straddles the threshold"].split()[-4])
    assert "the grid straddles the threshold" in {
        premise.name
        for premise in plans.planned_premises(plans.make_plan(replace(options, points=enough)))
        if premise.holds
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": 2.0}, "ratio must be above 2"),
        ({"ratio": float("nan")}, "ratio must be above 2"),
        ({"points": 3}, "points must be at least 4"),
        ({"seeds": 5}, "seeds must be at least 6"),
        ({"clusters": 1}, "clusters must be at least 2"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **change))


def test_the_grid_straddles_the_threshold_without_touching_it():
    rates = plans._nearest_rates(20, 0.25)
    assert rates == [0.1, 0.15, 0.2, 0.3, 0.35, 0.4]
    assert plans._nearest_rates(20, 0.43) == [0.3, 0.35, 0.4, 0.45]
    for preset in ("quick", "standard", "wide", "paper"):
        plan = plans.make_plan(Options(preset=preset))
        for ratio in plan.ratios:
            sides = [plan.cells[i].below for i in plan.of_ratio(ratio)]
            assert True in sides
            assert False in sides


# ---------------------------------------------------------------- rows on made-up nets


@pytest.fixture
def plan():
    return plans.make_plan(TOY)


def made_up(plan, boundary=None, scatter=0.01):
    """Nets that recover below a boundary, with margins of that boundary in the first step."""
    nets, rng = Nets(), np.random.default_rng(0)
    shape = len(plan.nets.widths), plan.nets.count
    grow = np.sqrt(plan.nets.widths[-1] / np.array(plan.nets.widths))[:, None]
    for cell in plan.cells:
        problem = cell.problem
        edge = cell.threshold if boundary is None else boundary
        noise = scatter * rng.standard_normal(shape)
        nets.relative_deviation.append(3 * scatter * grow * rng.lognormal(0, 0.2, shape))
        nets.recovered.append(np.full(shape, problem.noise_rate < edge))
        nets.first.append(edge - problem.noise_rate + noise)
        nets.relative_margin.append(cell.first_margin + noise)
        # The best margin has the root of the first step's, over its size.
        slope = 2 * (problem.spectrum.ratio - 1) / boundary_size(cell)
        nets.best_margin.append(slope * (edge - problem.noise_rate) + noise)
        wrong = 0.0 if problem.noise_rate < edge else problem.noise_rate
        nets.wrong.append(np.full(3, wrong))
    return nets


def boundary_size(cell):
    rho, ratio = cell.problem.noise_rate, cell.problem.spectrum.ratio
    return np.sqrt((1 - 2 * rho) ** 2 * ratio**2 + 4 * rho * (1 - rho))


def rows(plan, nets, decided=None):
    decided = [True] * len(plan.cells) if decided is None else decided
    (ratio,) = plan.ratios
    return [
        *measurements._side_rows(plan, nets, decided),
        boundary.best_margin_row(plan, nets, ratio),
        boundary.first_margin_row(plan, nets, ratio),
        measurements._margin_row(plan, nets, 0.1),
        *measurements._falling(plan, nets),
    ]


def test_nets_with_the_boundary_at_the_threshold_satisfy_every_row(plan):
    assert all(row.holds for row in rows(plan, made_up(plan)))


def test_the_best_margin_of_the_closed_form_has_its_root_at_the_threshold(plan):
    nets = made_up(plan, scatter=1e-6)
    for index, cell in enumerate(plan.cells):
        exact = best_margin(cell.way, cell.problem.dataset.clean, cell.way.outputs)
        assert exact == pytest.approx(cell.first_margin, rel=1e-12)
        nets.best_margin[index][:] = exact
    row = boundary.best_margin_row(plan, nets, plan.ratios[0])
    assert row.measured == pytest.approx(row.predicted, abs=1e-12)


@pytest.mark.parametrize("edge", [0.15, 0.25, 0.45])
def test_another_boundary_is_seen_in_both_ways(plan, edge):
    best, first = rows(plan, made_up(plan, edge))[4:6]
    assert best.holds is False
    assert first.holds is False


@pytest.mark.parametrize("edge", [0.31, 0.36])
def test_a_boundary_off_by_a_quarter_of_the_grid_step_is_seen_although_no_cell_changes_sides(
    plan, edge
):
    nets = made_up(plan, edge)
    assert [list(cell) for cell in nets.recovered[0]] == [
        list(c) for c in made_up(plan).recovered[0]
    ]
    row = boundary.best_margin_row(plan, nets, plan.ratios[0])
    assert row.predicted == pytest.approx(1 / 3)
    assert row.holds is False


def test_a_boundary_off_by_less_than_the_deviation_allows_is_not_seen(plan):
    row = boundary.best_margin_row(plan, made_up(plan, 0.33), plan.ratios[0])
    assert row.holds


def test_deviations_that_do_not_fall_are_seen(plan):
    nets = made_up(plan)
    nets.relative_deviation = [cell[::-1] for cell in nets.relative_deviation]
    assert [row.holds for row in measurements._falling(plan, nets)] == [False]


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_nets_at_another_rate_than_the_predicted_one_violate_the_claim(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    result = CLAIM.run(TOY, Silent())
    falling = [row for row in result.measurements if "over that at" in row.name]
    assert falling
    assert all(row.holds is False for row in falling)
    assert result.verdict in (Verdict.VIOLATED, Verdict.PREMISE_UNMET)


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
    nets = made_up(plan, scatter=0.2)
    assert boundary.first_margin_row(plan, nets, plan.ratios[0]).holds is None
    assert boundary.best_margin_row(plan, nets, plan.ratios[0]).holds is None


def test_a_margin_beyond_the_bound_fails(plan):
    nets = made_up(plan)
    nets.relative_margin[1][-1, 0] += 0.2
    assert measurements._margin_row(plan, nets, 0.1).holds is False


@pytest.mark.parametrize(
    ("deviation", "open_"), [(0.01, set()), (0.35, {"most cells decided", "both sides decided"})]
)
def test_a_width_that_decides_too_little_is_an_unmet_premise(plan, deviation, open_):
    premises = plans.trained_premises(plan, deviation)
    assert {premise.name for premise in premises if not premise.holds} == open_


# ---------------------------------------------------------------- controls


def predicted_best(case):
    return best_margin(case.broken.way, case.broken.clean, case.broken.way.outputs)


def test_the_rate_of_the_odd_control_lies_between_the_moved_threshold_and_the_claimed_one():
    for options in (TOY, Options(preset="quick"), Options(preset="paper")):
        case = controls._odd_clusters(plans.make_plan(options))
        assert case.claimed > 0
        assert predicted_best(case) < 0


def test_the_low_ratio_has_no_threshold_above_zero(plan):
    case = controls._low_ratio(plan)
    assert predictions.recoverability_threshold(1.5) < 0
    assert predicted_best(case) < 0 < case.claimed


def test_whole_clusters_have_relative_margin_minus_one(plan):
    # One division of equal numbers, g_+ by the root of the mean of n squares of it.
    assert predicted_best(controls._whole(plan)) == pytest.approx(-1, abs=1e-14)


# ---------------------------------------------------------------- independent flips


def test_under_independent_flips_the_noisiest_cluster_decides(plan):
    rows = list(independent_rows(plan))
    assert [row.holds for row in rows] == [True, True]
    assert rows[0].measured == 0
    assert 0.05 < rows[1].predicted < 0.95  # a share that could be missed on either side


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_threshold_that_is_off_is_seen_under_independent_flips(monkeypatch, factor):
    exact = predictions.recoverability_threshold
    monkeypatch.setattr(predictions, "recoverability_threshold", lambda r: factor * exact(r))
    assert False in [row.holds for row in independent_rows(plans.make_plan(TOY))]


def test_a_share_that_forgets_a_cluster_is_seen(plan, monkeypatch):
    exact = predictions.recoverable_share
    monkeypatch.setattr(predictions, "recoverable_share", lambda clusters, *rest: exact(1, *rest))
    sorted_out, share = independent_rows(plan)
    assert sorted_out.holds is True
    assert share.holds is False
