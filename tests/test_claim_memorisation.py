"""The claim `memorisation`: rows fail where they should, and nonsense is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cases import nets_at_rate
from cases.memorisation import TOY
from ntk_theory import experiments, predictions
from ntk_theory.claims.memorisation import CLAIM, measurements, nets
from ntk_theory.claims.memorisation.plan import make_plan
from ntk_theory.experiments import compare
from ntk_theory.noise_grid import grid_ladders
from ntk_theory.runs import judged_control, over_nets
from ntk_theory.training import Trajectory
from ntk_theory.verdicts import Verdict
from progress import Silent


def unmet(options):
    result = CLAIM.run(options, Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert result.metrics == ()
    return {premise.name for premise in result.premises if not premise.holds}


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 3}, "balanced labels"),
        ({"ratio": 4.0, "noise_rate": 0.4}, "recoverable noise rates"),
        ({"noise_rate": 0.6}, "recoverable noise rates"),
        ({"learning_rate": 0.5}, "no overshoot"),
        ({"learning_rate": 5.0}, "no overshoot"),
        ({"ratio": 60.0, "widths": (16, 32, 64, 128), "steps": None}, "narrowest nets move little"),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    assert premise in unmet(replace(TOY, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 10}, "steps must be at least 16, twice the first wrong step"),
        ({"seeds": 5}, "seeds must be at least 6"),
        ({"ratio": 1.0}, "ratio must be above 1"),
        ({"noise_rate": 1.0}, "noise_rate must lie in"),
        ({"noise_rate": 0.01}, "less than one label"),
        ({"points": 1}, "points must be at least 2"),
        ({"clusters": 1}, "clusters must be at least 2"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **change))


# ---------------------------------------------------------------- the first wrong step


@pytest.fixture
def plan():
    return make_plan(TOY)


def test_first_wrong_steps_skip_the_start_and_count_from_one():
    margins = np.array([[[0, 0], [1, 1], [1, -1], [1, 1]], [[0, 0], [1, 1], [1, 1], [2, 1]]])
    assert nets.first_wrong_step(margins).tolist() == [2, 4]  # 4: never in three steps
    assert nets.first_wrong_step(margins[:, :, :1]).tolist() == [4, 4]
    assert nets.first_wrong_step(np.zeros((3, 2))) == 1  # an output of 0 is not right


@pytest.mark.parametrize(("factor", "holds"), [(1.0, True), (2.0, False), (0.5, False)])
def test_nets_that_go_wrong_at_another_step_fail(plan, factor, holds):
    for cell in plan.cells:
        steps = np.full(12, cell.first_wrong)
        steps[3] = round(factor * cell.first_wrong)  # one net is enough
        row = measurements._first_wrong_row(cell, steps, 0.1)
        assert row.holds is holds
        assert row.measured == steps[3]


def test_the_window_is_that_of_the_side_on_which_the_net_is(plan):
    cell, nu = plan.cells[0], 0.2
    problem = cell.problem
    ends = [
        predictions.first_wrong_step(
            problem.spectrum, problem.noise_rate, problem.learning_rate, margin
        )
        for margin in (nu, -nu)
    ]
    for end, outside in zip(ends, (-1, 1), strict=True):
        steps = np.full(5, end)
        assert measurements._first_wrong_row(cell, steps, nu).slack == 0
        assert measurements._first_wrong_row(cell, steps + outside, nu).holds is False


@pytest.mark.parametrize("deviation", [0.6, 0.99, 1.5])
def test_a_window_as_wide_as_the_prediction_is_left_open(plan, deviation):
    cell = plan.cells[0]
    row = measurements._first_wrong_row(cell, np.full(5, cell.first_wrong), deviation)
    assert row.holds is None


# ---------------------------------------------------------------- the curve


def made_up(plan, distort=None, scatter=0.005):
    """A grid whose nets have the outputs that theory predicts, distorted."""
    rng, count = np.random.default_rng(0), plan.nets.count
    grid = nets.Grid(grid_ladders(plan.nets, plan.problems))
    zeros = np.zeros(count)
    for cell, ladder in zip(plan.cells, grid.ladders, strict=True):
        exact, clean = cell.way.outputs, cell.problem.dataset.clean
        for width in plan.nets.widths:
            size = scatter * math.sqrt(plan.nets.widths[-1] / width)
            walk = (
                rng.standard_normal((count, 1, len(clean))) * np.linspace(0, 1, len(exact))[:, None]
            )
            outputs = (distort(exact, width) if distort else exact) + size * walk
            trajectory = Trajectory(
                np.arange(len(exact)), outputs, np.ones((count, 1)), None, zeros, zeros, zeros
            )
            rung = compare(trajectory, width, exact, clean)
            ladder.rungs.setdefault(cell.name, []).append(rung)
    return grid


def curve_rows(plan, distort):
    ladder = made_up(plan, distort).ladders[plan.reference]
    return {row.name.partition(",")[0]: row for row in measurements._curve_rows(plan, ladder)}


def test_nets_on_the_predicted_curve_satisfy_every_row(plan):
    assert all(row.holds for row in curve_rows(plan, None).values())


def test_widest_nets_off_the_curve_violate_the_rows_about_it(plan):
    widest = plan.nets.widths[-1]
    rows = curve_rows(plan, lambda u, width: 1.3 * u if width == widest else u)
    assert rows["error curve"].holds is False
    assert rows["best RMS error"].holds is False


def test_widest_nets_that_stop_memorising_do_not_end_where_they_should(plan):
    best = int(plan.reference_cell.way.error.argmin())

    def frozen(u, width):
        return np.where((np.arange(len(u)) > best)[:, None], u[best], u)

    rows = curve_rows(
        plan, lambda u, width: frozen(u, width) if width == plan.nets.widths[-1] else u
    )
    assert rows[f"RMS error after {plan.reference_cell.problem.steps} steps"].holds is False


def test_widest_nets_that_are_best_late_violate_the_step_of_the_best(plan):
    def late(u, width):  # the same curve at half the speed
        return u[np.arange(len(u)) // 2] if width == plan.nets.widths[-1] else u

    assert curve_rows(plan, late)["step of the best RMS error"].holds is False


def test_deviations_that_fall_like_the_root_of_the_width_satisfy_their_rows(plan):
    rows = list(measurements._falling(plan, made_up(plan)))
    assert len(rows) == len(plan.cells) + 1
    assert all(row.holds for row in rows)


def test_a_prediction_that_is_a_little_off_is_seen_by_the_deviation_that_does_not_fall(plan):
    """By 5 % of the outputs at every width: the tolerance of the curve is widened by it."""

    def off(u, width):
        return 1.05 * u

    assert all(row.holds is not False for row in curve_rows(plan, off).values())
    assert not any(row.holds for row in measurements._falling(plan, made_up(plan, off)))


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_nets_at_another_rate_than_the_predicted_one_violate_the_claim(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    result = CLAIM.run(TOY, Silent())
    assert result.verdict is Verdict.VIOLATED
    wrong = [row.name for row in result.measurements if row.holds is False]
    assert any("over that at" in name for name in wrong)


# ---------------------------------------------------------------- controls


def test_a_control_that_behaves_as_claimed_is_no_control():
    for measured, verdict in ((0.1, Verdict.VIOLATED), (-0.9, Verdict.SUPPORTED)):
        failure = over_nets("margin", 0.1, np.full(3, measured), 0.2)
        control = judged_control("made up", "", failure, -0.9, 0.2)
        assert control.verdict is verdict
        assert control.holds is (verdict is Verdict.VIOLATED)
    far = over_nets("margin", 0.1, np.full(3, 0.5), 0.2)
    assert not judged_control("made up", "", far, -0.9, 0.2).holds
