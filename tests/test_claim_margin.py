"""What is special to the claim `margin`: rows that can fail, premises, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from cases.margin import TOY
from made_up import failing, made_up
from ntk_theory import kernels, predictions
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims.margin import CLAIM
from progress import Silent

SMALL = replace(TOY, seeds=3, widths=(256, 512, 1024, 2048))


@pytest.fixture(scope="module")
def declared():
    return declare(CLAIM, TOY)


def test_training_rows_of_the_larger_design_have_the_gram_matrix_of_the_problem(declared):
    gram = kernels.ntk_limit(declared.problem.recipe.inputs)
    np.testing.assert_allclose(gram, declared.problem.gram, rtol=0, atol=2e-15)


def test_fresh_points_have_the_cosines_of_the_training_points():
    problem = CLAIM.build(replace(SMALL, cross_cosine=0.3))
    points = problem.distilled_training().held_out
    cosines = points["fresh"].inputs @ problem.recipe.inputs.T
    same = np.repeat(np.eye(4, dtype=bool), problem.held_out, axis=0).repeat(5, axis=1)
    expected = np.where(same, np.cos(problem.angle), 0.3)
    np.testing.assert_allclose(cosines, expected, rtol=0, atol=2e-15)
    np.testing.assert_allclose(points["new"].inputs @ problem.recipe.inputs.T, 0.3, atol=2e-15)


def test_nets_that_do_as_predicted_satisfy_every_row():
    assert failing(made_up(CLAIM, TOY)) == set()


def test_nets_that_memorised_fail_the_rows_of_self_distillation(declared):
    plain = declared.trainings["plain training"].predicted

    def memorised(outputs, width, training, on):
        return plain if training.name == "self-distillation" and on is None else outputs

    # Clean points have nearly the same margin in both cases.
    assert failing(made_up(CLAIM, TOY, memorised)) >= {
        "self-distillation: least training margin",
        "self-distillation: mean margin of flipped points",
        "self-distillation: largest distance of a margin from its atom",
    }


@pytest.mark.parametrize("place", [0, -1])
def test_a_plain_net_of_any_width_with_the_margin_of_clean_labels_fails_the_bound(declared, place):
    width, clean = TOY.widths[place], declared.problem.dataset.clean

    def clean_labels(outputs, m, training, on):
        perfect = training.name == "plain training" and on is None and m == width
        return np.broadcast_to(clean, outputs.shape) if perfect else outputs

    title = "plain training: best least margin of any net of any width (bound 1 − 2ρ)"
    run = made_up(CLAIM, TOY, clean_labels)
    (row,) = [one for one in run.declared.rows if one.title == title]
    assert run.measure(row).slack < 0 or run.measure(row).holds is None


@pytest.mark.parametrize("name", ["self-distillation", "best stopping", "plain training"])
def test_fresh_margins_off_by_a_third_fail(name):
    def off(outputs, width, training, on):
        return outputs * 2 / 3 if (training.name, on, width) == (name, "fresh", 4096) else outputs

    assert f"{name}: mean margin on fresh points" in failing(made_up(CLAIM, TOY, off))


def test_the_gain_on_fresh_points_is_what_the_labels_lost_to_noise(declared):
    """(1 + E) over (1 − 2ρ) g: both ways share the factor 1 − 1/r."""
    problem, best = declared.problem, int(declared.problem.plain.margin().argmax())
    gained = predictions.unseen_margin(
        problem.spectrum, problem.distilled.mean_error[-1], problem.distilled.information_error[-1]
    ) / predictions.unseen_margin(
        problem.spectrum, problem.plain.mean_error[best], problem.plain.information_error[best]
    )
    lost = 1 + problem.plain.information_error[best]
    assert gained == pytest.approx((1 + problem.distilled.information_error[-1]) / lost, rel=1e-14)
    assert gained > 1


@pytest.mark.parametrize(("ratio", "noise_rate"), [(4.0, 0.2), (8.0, 0.2), (8.0, 0.4), (40.0, 0.2)])
def test_a_smaller_training_margin_of_plain_training_goes_with_a_larger_fresh_one(
    ratio, noise_rate
):
    problem = CLAIM.build(replace(SMALL, ratio=ratio, noise_rate=noise_rate))
    curve, training = problem.plain, problem.plain.margin()
    fresh = predictions.unseen_margin(problem.spectrum, curve.mean_error, curve.information_error)
    best = int(training.argmax())
    assert (np.diff(training)[best:] < 0).all()
    assert (np.diff(fresh) > -1e-14).all()
    assert fresh[-1] > 1.01 * fresh[best] > 0


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"noise_rate": 0.4, "ratio": 3.0}, "recoverable noise rate"),
        ({"schedule": "constant:level=0.25"}, "observed labels fade out"),
        ({"schedule": "power:burn_in=15"}, "burn-in before memorisation"),
        ({"ratio": 60.0, "widths": (32, 64, 128, 256)}, "moves little"),
    ],
)
def test_broken_premises_are_named_and_nothing_is_trained(change, premise):
    result = CLAIM.run(replace(SMALL, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in result.finding
    assert not result.measurements


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
    assert len(result.measurements) > 10
    assert all(one.holds is not False for one in result.measurements)
