"""What is special to the claim `memorisation`: rows that can fail, windows, premises, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from cases import nets_at_rate
from cases.memorisation import TOY
from made_up import failing, made_up, rows_of
from ntk_theory.checking import nets as experiments
from ntk_theory.checking.functionals import first_wrong
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims.memorisation import CLAIM
from progress import Silent

CHOSEN = "ρ = 0.3, r = 10"


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"clusters": 3}, "balanced labels"),
        ({"ratio": 4.0, "noise_rate": 0.4}, "recoverable noise rates"),
        ({"noise_rate": 0.6}, "recoverable noise rates"),
        ({"learning_rate": 0.5}, "no overshoot"),
        ({"learning_rate": 5.0}, "no overshoot"),
        ({"ratio": 60.0, "widths": (16, 32, 64, 128), "steps": None}, "narrowest net moves little"),
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
        ({"steps": 10}, "steps must be at least 16, twice the first wrong step"),
        ({"seeds": 2}, "seeds must be at least 3"),
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


def test_first_wrong_steps_skip_the_start_and_count_from_one():
    margins = np.array([[0, 1, -1, 1], [0, 1, 1, 1]])
    assert first_wrong(margins).tolist() == [2, 4]  # 4: never in three steps
    assert first_wrong(np.zeros((1, 3))) == 1  # an output of 0 is not right


def test_nets_that_do_as_predicted_satisfy_every_row():
    assert failing(made_up(CLAIM, TOY)) == set()


def test_nets_at_half_the_speed_go_wrong_too_late():
    def slow(outputs, width, training, on):
        return outputs[np.arange(len(outputs)) // 2] if width == TOY.widths[-1] else outputs

    rows = rows_of(made_up(CLAIM, TOY, slow))
    late = [row for title, row in rows.items() if "first wrong step" in title]
    assert late
    assert all(row.holds is False for row in late)
    assert rows[f"{CHOSEN}: step of the best RMS error"].holds is False


def test_widest_nets_that_are_too_large_or_stop_memorising_leave_the_curve():
    def larger(outputs, width, training, on):
        return 1.3 * outputs if width == TOY.widths[-1] else outputs

    def frozen(outputs, width, training, on):
        kept = np.minimum(np.arange(len(outputs)), 6)
        return outputs[kept] if width == TOY.widths[-1] else outputs

    wrong = failing(made_up(CLAIM, TOY, larger))
    assert {f"{CHOSEN}: error curve: largest distance"} <= wrong
    assert f"{CHOSEN}: best RMS error (bound 2ρ)" in wrong
    assert f"{CHOSEN}: RMS error after 80 steps (limit 2√ρ)" in failing(made_up(CLAIM, TOY, frozen))


def test_a_prediction_that_is_a_little_off_is_seen():
    """By 2 % of the outputs at every width."""
    run = made_up(CLAIM, TOY, lambda outputs, width, training, on: 1.02 * outputs, scatter=0.002)
    assert f"{CHOSEN}: best RMS error (bound 2ρ)" in failing(run)


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_nets_at_another_rate_than_the_predicted_one_violate_the_claim(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    result = CLAIM.run(TOY, Silent())
    assert result.verdict is Verdict.VIOLATED
    assert result.metrics  # nets were trained, and no closed form failed
