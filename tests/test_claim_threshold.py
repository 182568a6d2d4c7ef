"""What is special to the claim `threshold`: sides and boundaries that can fail, premises."""

from dataclasses import replace

import numpy as np
import pytest

from cases import nets_at_rate
from cases.threshold import TOY
from made_up import failing, made_up
from ntk_theory import predictions
from ntk_theory.checking import nets as experiments
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.running import WidthResult
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims._threshold_cells import independent_flips, nearest_rates
from ntk_theory.claims.threshold import CLAIM, sides
from progress import Silent


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 3}, "balanced labels"),
        ({"learning_rate": 1.5}, "no overshoot"),
        ({"learning_rate": 5.0}, "no overshoot"),
        ({"ratio": 2.1}, "the grid straddles the threshold"),
        ({"ratio": 200.0}, "the grid straddles the threshold"),
        ({"widths": (8, 16, 32, 64)}, "narrowest net moves little"),
        ({"ratio": 5.0, "widths": (256, 512, 1024, 2048)}, "both sides decided"),
    ],
)
def test_outside_the_premises_the_premise_is_named(change, premise):
    result = CLAIM.run(replace(TOY, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in {one.name for one in result.premises if not one.holds}


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
    def straddles(options):
        (found,) = (p for p in declare(CLAIM, options).premises if "straddles" in p.name)
        return found

    options = replace(TOY, preset="quick", **change)
    assert advice in straddles(options).requirement
    enough = int(straddles(options).requirement.split()[-4])
    assert straddles(replace(options, points=enough)).holds


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


def test_the_grid_straddles_the_threshold_without_touching_it_in_every_preset():
    assert nearest_rates(20, 0.25) == [0.1, 0.15, 0.2, 0.3, 0.35, 0.4]
    assert nearest_rates(20, 0.43) == [0.3, 0.35, 0.4, 0.45]
    for preset in CLAIM.presets:
        declared = declare(CLAIM, Options(preset=preset))
        assert all(premise.holds for premise in declared.premises)
        for control in declared.controls:  # none of them has a step with every label right
            assert control.row.predicted < 0 < control.row.claimed


def test_nets_that_do_as_predicted_satisfy_every_row():
    run = made_up(CLAIM, TOY, scatter=0.003)
    assert failing(run) == set()
    assert all(one.holds for one in sides(run))


def boundary_rows(edge):
    """Of widest nets whose flipped points have the margins of another threshold."""
    problem = declare(CLAIM, TOY).problem.problems[0]
    slope = 2 * (problem.spectrum.ratio - 1) * problem.learning_rate * problem.spectrum.noise

    def distort(outputs, width, training, on):
        if width != TOY.widths[-1] or training.widths is not None:
            return outputs
        flipped = training.labels * (training.labels != training.recipe.observed)
        started = (np.arange(len(outputs)) > 0)[:, None]
        return outputs + started * flipped * slope * (edge - problem.threshold)

    run = made_up(CLAIM, TOY, distort, scatter=0.003)
    return [one for one in sides(run) if one.name.startswith("boundary")]


@pytest.mark.parametrize("edge", [0.25, 0.39])
def test_another_boundary_is_seen_in_both_ways(edge):
    rows = boundary_rows(edge)
    assert [row.holds for row in rows] == [False, False]
    np.testing.assert_allclose([row.measured for row in rows], edge, atol=0.01)


def test_the_closed_forms_have_their_root_at_the_threshold():
    rows = boundary_rows(1 / 3)
    assert [row.holds for row in rows] == [True, True]
    assert [row.predicted for row in rows] == pytest.approx([1 / 3, 1 / 3])


def test_one_net_on_the_wrong_side_is_enough():
    for name, word in (("ρ = 0.1, r = 4", "below"), ("ρ = 0.4, r = 4", "above")):
        run = made_up(CLAIM, TOY, scatter=0.003)
        for of, start in ((name, f"nets {word}"), (f"self-distillation, {name}", "self-distilled")):
            widest = run.results[of][-1]
            outputs = widest.trajectory.outputs.copy()
            labels = run.trainings[of].labels
            outputs[2] = -outputs[2] if word == "below" else np.abs(outputs[2]) * labels
            made = WidthResult(widest.width, replace(widest.trajectory, outputs=outputs), {})
            run.results[of][-1] = made
            bad = [one for one in sides(run) if one.holds is False and one.name.startswith(start)]
            assert [one.measured for one in bad] == [1]
            assert word in bad[0].name


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_nets_at_another_rate_than_the_predicted_one_violate_the_claim(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    result = CLAIM.run(TOY, Silent())
    (shown,) = (row for row in result.measurements if "learning rate that" in row.name)
    assert shown.holds is False
    assert result.verdict in (Verdict.VIOLATED, Verdict.PREMISE_UNMET)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_threshold_that_is_off_is_seen_under_independent_flips(monkeypatch, factor):
    exact, grid = predictions.recoverability_threshold, declare(CLAIM, TOY).problem
    assert all(row.holds for row in independent_flips(grid))
    monkeypatch.setattr(predictions, "recoverability_threshold", lambda r: factor * exact(r))
    assert False in [row.holds for row in independent_flips(grid)]


def test_a_share_that_forgets_a_cluster_is_seen(monkeypatch):
    exact = predictions.recoverable_share
    monkeypatch.setattr(predictions, "recoverable_share", lambda clusters, *rest: exact(1, *rest))
    sorted_out, share = independent_flips(declare(CLAIM, TOY).problem)
    assert sorted_out.holds is True
    assert share.holds is False
