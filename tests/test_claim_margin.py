"""What is special to the claim `margin`: rows and controls that can fail, premises, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from cases.margin import TOY
from ntk_theory import kernels
from ntk_theory.claims.margin import CLAIM, controls, measurements, nets
from ntk_theory.claims.margin import plan as plans
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Measurement, Verdict
from progress import Silent

SMALL = replace(TOY, seeds=3, widths=(256, 512, 1024, 2048))


@pytest.fixture(scope="module")
def found():
    """The toy's ladder, trained."""
    plan = plans.make_plan(TOY)
    trained = nets.Margins(plan, plan.nets.ladder(plan.problem.dataset.clean))
    nets.climb(trained, Evidence(), Silent())
    return trained


def row(rows, name) -> Measurement:
    (match,) = [one for one in rows if one.name.startswith(name)]
    return match


def test_training_rows_of_the_larger_design_have_the_gram_matrix_of_the_problem():
    plan = plans.make_plan(SMALL)
    gram = kernels.ntk_limit(plan.recipe.inputs)
    np.testing.assert_allclose(gram, plan.problem.gram, rtol=0, atol=8 * np.finfo(float).eps)


def test_fresh_points_have_the_cosines_of_the_training_points():
    plan = plans.make_plan(replace(SMALL, cross_cosine=0.3))
    cosines = plan.fresh_inputs @ plan.recipe.inputs.T
    same = np.repeat(np.eye(4, dtype=bool), plan.fresh, axis=0).repeat(5, axis=1)
    expected = np.where(same, np.cos(plan.problem.angle), 0.3)
    np.testing.assert_allclose(cosines, expected, rtol=0, atol=8 * np.finfo(float).eps)
    new = plan.new_inputs @ plan.recipe.inputs.T
    np.testing.assert_allclose(new, 0.3, rtol=0, atol=8 * np.finfo(float).eps)


def test_margins_of_nets_that_memorised_fail_every_row_of_self_distillation(found):
    bad = replace_outputs(found, {nets.DISTILLED: found.outputs[nets.PLAIN_TRAINING]})
    rungs = {**found.ladder.rungs}
    rungs[nets.DISTILLED] = [
        *rungs[nets.DISTILLED][:-1],
        replace(rungs[nets.DISTILLED][-1], margin=rungs[nets.PLAIN_TRAINING][-1].margin),
    ]
    bad.ladder = replace(found.ladder, rungs=rungs)
    rows = measurements._training_rows(bad)
    failed = {one.name.partition(": ")[2] for one in rows if one.holds is not True}
    # Clean points have nearly the same margin in both cases.
    assert failed >= {
        "least training margin",
        "mean margin of flipped points",
        "largest distance of a margin from its atom",
    }


def replace_outputs(found, outputs):
    return nets.Margins(
        found.plan, found.ladder, found.fresh, {**found.outputs, **outputs}, found.best
    )


def test_a_plain_net_with_the_margin_of_clean_labels_fails_the_bound_of_every_stopping_time(found):
    bad = replace_outputs(found, {})
    bad.best = [*found.best[:-1], np.ones(len(found.best[-1]))]
    rows = measurements._plain_rows(bad)
    assert row(rows, "plain training: best least margin at").slack < 0
    assert row(rows, "plain training: best least margin of any").slack < 0


def test_a_narrow_net_that_passes_the_bound_of_every_stopping_time_by_its_deviation_fails(found):
    bad = replace_outputs(found, {})
    bad.best = [np.ones(len(found.best[0])), *found.best[1:]]
    assert row(measurements._plain_rows(bad), "plain training: best least margin of any").slack < 0


@pytest.mark.parametrize(
    ("factor", "name"),
    [
        (1 / 2, "self-distillation: mean"),
        (1.5, "plain training stopped"),
        (1.7, "memorised"),
    ],
)
def test_fresh_margins_off_by_a_factor_fail(found, factor, name):
    fresh = {
        way: [*rungs[:-1], rungs[-1]._replace(margins=factor * rungs[-1].margins)]
        for way, rungs in found.fresh.items()
    }
    bad = nets.Margins(found.plan, found.ladder, fresh, found.outputs)
    assert row(measurements._fresh_rows(bad), name).slack < 0


def test_a_deviation_that_does_not_fall_with_the_width_fails(found):
    rungs = {
        way: [*rungs[:-1], replace(rungs[-1], deviation=rungs[0].deviation)]
        for way, rungs in found.ladder.rungs.items()
    }
    bad = replace_outputs(found, {})
    bad.ladder = replace(found.ladder, rungs=rungs)
    assert [one.holds for one in measurements._falling(bad)] == [False, False, True]


def test_the_gain_on_fresh_points_is_what_the_labels_lost_to_noise(found):
    """(1 + E) over (1 − 2ρ) g: both ways share the factor 1 − 1/r."""
    plan = found.plan
    gained = plans.unseen_margin(plan, plan.problem.distilled, -1) / plans.unseen_margin(
        plan, plan.problem.plain, plan.best_step
    )
    distilled = 1 + plan.problem.distilled.information_error[-1]
    stopped = 1 + plan.problem.plain.information_error[plan.best_step]
    assert gained == pytest.approx(distilled / stopped, rel=1e-14)
    assert gained > 1


def test_a_new_cluster_gets_the_part_of_all_labels(found):
    control = controls._new_cluster(controls.ControlSetting(found, Silent()))
    assert control.holds
    # Told from 0, which is what symmetry gives without it.
    assert control.failure.predicted > control.failure.tolerance


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"noise_rate": 0.4, "ratio": 3.0}, "recoverable noise rate"),
        ({"schedule": "constant:level=0.25"}, "observed labels fade out"),
        ({"schedule": "power:burn_in=15"}, "burn-in before memorisation"),
    ],
)
def test_broken_premises_are_named_and_nothing_is_trained(change, premise):
    result = CLAIM.run(replace(SMALL, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in result.finding
    assert not result.measurements


def test_narrow_nets_leave_the_premise_of_lazy_training_unmet():
    result = CLAIM.run(replace(SMALL, ratio=60.0, widths=(32, 64, 128, 256)), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert "moves little" in result.finding


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 2}, "seeds must be at least 3"),
        ({"widths": (64, 128)}, "widths must be at least 4"),
        ({"noise_rate": 1.5}, "noise_rate must lie in"),
        ({"ratio": 0.5}, "ratio must be above 1"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
        ({"steps": 2}, "steps must be at least"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(SMALL, **change))


def test_odd_numbers_of_clusters_are_predicted_too():
    """ȳ = 1/3: the general formulas, on nets."""
    result = CLAIM.run(replace(TOY, clusters=3, cross_cosine=0.2), Silent())
    rows = [one for one in result.measurements if "margin" in one.name]
    assert rows
    assert all(one.holds is not False for one in rows)
