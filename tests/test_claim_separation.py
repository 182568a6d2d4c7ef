"""What is special to the claim `separation`: rows that can fail, premises, refusals."""

from dataclasses import replace

import pytest

from cases import nets_at_rate
from cases.separation import TOY
from made_up import failing, made_up
from ntk_theory.checking import nets as experiments
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims.separation import CLAIM, gains
from progress import Silent

DISTILLED, PLAIN = "self-distillation, ρ = 0.2", "plain training, ρ = 0.2"
BEST = "best RMS error at any step"
BOUND = "best RMS error of any net of any width (bound 2ρ)"


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 3}, "balanced labels"),
        ({"noise_rate": 0.4, "ratio": 4.0}, "recoverable noise rate"),
        ({"learning_rate": 2.0}, "no overshoot (for the 2ρ bound)"),
        ({"learning_rate": 9.0}, "stable learning rate"),
        ({"schedule": "constant:level=0.25"}, "observed labels fade out"),
        ({"schedule": "agreement"}, "observed labels fade out"),
        ({"schedule": "power:burn_in=20", "steps": 200}, "burn-in before memorisation"),
        ({"widths": (16, 32, 64, 128)}, "narrowest net moves little"),
        (
            {"points": 10, "noise_rate": 0.1, "schedule": "power:exponent=0.3"},
            "long enough run",
        ),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    result = CLAIM.run(replace(TOY, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert result.metrics == ()
    assert premise in {one.name for one in result.premises if not one.holds}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 4}, "points must be at least 5"),
        ({"seeds": 2}, "seeds must be at least 3"),
        ({"noise_rate": 0.0}, "noise_rate must lie in"),
        ({"ratio": 0.5}, "ratio must be above 1"),
        ({"schedule": "cosine"}, "schedule must be one of"),
        ({"steps": 3}, "steps must be at least"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **change))


def test_no_closed_form_of_an_oracle_passes_the_bound_and_all_of_self_distillation_do():
    declared = declare(CLAIM, Options(preset="quick"))
    assert sum(row.name == BOUND for row in declared.rows) == 8
    for row in declared.rows:
        if row.name == BOUND:
            assert row.of_predicted > row.predicted
    for problem in declared.problem.problems:
        assert problem.distilled.rms_error()[-1] < 2 * problem.noise_rate / 5


def test_the_finite_sums_of_weights_stop_soft_targets_and_the_infinite_one_does_not():
    trainings = declare(CLAIM, TOY).trainings
    names = ("soft, Σα < ∞, geometric", "soft, Σα < ∞, power", "soft, Σα = ∞", "plain training")
    ends = [trainings[f"{name}, ρ = 0.2"].curves["rms_error"][-1] for name in names]
    assert ends == sorted(ends)


def errors_times(share, name, widths=TOY.widths[-1:]):
    """The distance from the clean labels of some nets, times a share."""

    def distort(outputs, width, training, on):
        if training.name != name or width not in widths:
            return outputs
        return training.labels + share * (outputs - training.labels)

    return made_up(CLAIM, TOY, distort)


def test_nets_that_do_as_predicted_satisfy_every_row():
    run = made_up(CLAIM, TOY)
    assert failing(run) == set()
    assert all(row.holds for row in gains(run))


@pytest.mark.parametrize("widths", [TOY.widths, TOY.widths[-1:]])
def test_a_stopping_time_that_beats_the_bound_is_seen(widths):
    assert f"{PLAIN}: {BOUND}" in failing(errors_times(0.5, PLAIN, widths))


@pytest.mark.parametrize("name", ["plain training, ηλ_0 = 1", "soft, Σα < ∞, geometric"])
def test_another_oracle_that_beats_the_bound_is_seen(name):
    name = f"{name}, ρ = 0.2"
    assert failing(errors_times(0.5, name)) == {f"{name}: {BEST}", f"{name}: {BOUND}"}


@pytest.mark.parametrize("share", [0.3, 2.0])
def test_another_gain_of_self_distillation_is_seen(share):
    run = errors_times(share, DISTILLED)
    assert failing(run) == {f"{DISTILLED}: RMS error in the end"}
    assert all(row.holds for row in gains(run))  # which ask for any gain


def test_nets_that_gain_nothing_are_seen():
    assert [row.holds for row in gains(errors_times(50.0, DISTILLED))] == [False, True]


def test_first_steps_with_more_noise_are_seen_when_they_are_rescaled():
    def noisier(outputs, width, training, on):
        signal = (outputs * training.labels).mean(axis=-1, keepdims=True) * training.labels
        return signal + (4 if training.name == PLAIN else 1) * (outputs - signal)

    wrong = failing(made_up(CLAIM, TOY, noisier))
    assert f"{PLAIN}: RMS error after one step, rescaled, of any net of any width" in wrong


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_nets_at_another_rate_than_the_predicted_one_violate_the_claim(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    result = CLAIM.run(TOY, Silent())
    assert result.verdict is Verdict.VIOLATED
    assert result.metrics  # nets were trained, and no closed form failed
