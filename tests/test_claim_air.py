"""What is special to `air`: rows that can fail, half-times, premises, refusals."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.air import TOY
from made_up import failing, made_up
from ntk_theory import data, predictions
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims._air_designs import Labels
from progress import Silent
from strategies import EPS, seeds

air = import_module("ntk_theory.claims.air")
CLAIM = air.CLAIM
NEAR = data.equicorrelated_clusters(4, 10, ratio=2000.0)


def widest(change):
    """Other outputs of the widest nets on clusters: f(outputs, case)."""

    def distort(outputs, width, training, on):
        if training.name != "clusters" or width != TOY.widths[-1]:
            return outputs
        return change(outputs, declare(CLAIM, TOY).problem.cases[0])

    return failing(made_up(CLAIM, TOY, distort))


def test_nets_that_do_as_predicted_satisfy_every_row():
    assert failing(made_up(CLAIM, TOY)) == set()


def test_noise_as_fast_as_information_fails_half_times_and_leads():
    def both(outputs, case):
        return case.filter[:, -1:] * case.dataset.observed

    failed = widest(both)
    assert "clusters: half-time of noise" in failed
    assert "clusters: half-time of noise over that of information" in failed
    assert "clusters: least R(clean) − E R(noise) at any step" in failed
    assert "clusters: half-time of information" not in failed


def test_noise_ahead_at_a_single_step_fails_the_least_lead():
    def late(outputs, case):
        changed, clean = outputs.copy(), case.dataset.clean
        step = int(case.lead(case.outputs).argmax()) + 2
        changed[step] -= changed[step] @ clean / clean.size * clean
        return changed

    failed = widest(late)
    assert "clusters: least R(clean) − E R(noise) at any step" in failed
    assert not any("where it is largest" in name for name in failed)


def test_noise_that_is_never_half_retrieved_fails():
    assert "clusters: half-time of noise" in widest(
        lambda outputs, case: 0 * outputs + case.dataset.clean
    )


@given(st.floats(0.01, 0.9), st.integers(1, 5))
def test_the_crossing_of_a_filter_is_its_half_time(rate, copies):
    time = predictions.half_time(rate, 1.0)
    curve = predictions.retrieval_filter([rate], 1.0, int(np.ceil(time)) + 1)[:, 0]
    found = air.half_time(np.tile(curve, (copies, 1)))
    np.testing.assert_allclose(found, time, rtol=0, atol=16 * EPS * (1 + time) / rate)
    assert np.isnan(air.half_time(curve[curve < 0.5]))


@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_label_shares_are_the_coefficients_along_both_parts(seed, information, noise):
    clean = np.random.default_rng(seed).choice([-1.0, 1.0], 20)
    observed = clean * np.repeat([-1.0, 1.0], [4, 16])
    labels = Labels(clean, observed)
    outputs = information * 0.6 * clean + noise * (observed - 0.6 * clean)
    found = labels.information(outputs), labels.noise(outputs)
    np.testing.assert_allclose(found, (information, noise), atol=32 * EPS)


def unmet(options):
    result = CLAIM.run(options, Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert not result.metrics
    return {premise.name for premise in result.premises if not premise.holds}


def test_nets_that_have_to_move_far_are_outside_the_theory():
    names = ("", "tree: ", "power law: ", "circle: ")
    expected = {f"{name}narrowest net moves little" for name in names}
    assert unmet(replace(TOY, widths=(16, 32, 64, 128, 256))) == expected


def test_other_designs_start_at_widths_that_are_lazy_and_at_none_wider():
    declared = declare(CLAIM, TOY)
    for case in declared.problem.cases[1:]:
        widths = declared.trainings[case.name].widths_in(TOY.widths)
        assert 4 * case.lazy_width <= widths[0] < max(8 * case.lazy_width, TOY.widths[0] + 1)
        assert widths == tuple(widths[0] // TOY.widths[0] * width for width in TOY.widths)


@pytest.mark.parametrize(
    ("design", "premise"),
    [
        (NEAR, "circle: narrowest net moves little"),
        (data.circle(12, arcs=2), "circle: kernel positive definite (an odd number of points)"),
        # Three points an arc, in seven arcs of alternating labels: energy around mode 3.
        (data.circle(35, arcs=7), "circle: clean labels lean to the top"),
    ],
)
def test_designs_that_the_theory_is_not_about_are_named(monkeypatch, design, premise):
    named = replace(design, name="circle")
    monkeypatch.setattr(air, "other_designs", lambda _: iter([(named, 20)]))
    assert unmet(TOY) == {premise}


@pytest.mark.parametrize(
    ("knob", "value", "complaint"),
    [
        ("clusters", 2, "clusters must be at least 3"),
        ("points", 1, "points must be at least 2"),
        ("ratio", 1.2, "ratio must be at least 1.5"),
        ("ratio", float("nan"), "ratio must be at least 1.5"),
        ("noise_rate", 0.5, "noise_rate must lie in"),
        ("noise_rate", 0.1, "less than one"),
        ("learning_rate", 5.0, "learning_rate must lie in"),
        ("learning_rate", float("nan"), "learning_rate must lie in"),
        ("steps", 3, "steps must be above"),
    ],
)
def test_options_without_sense_are_refused(knob, value, complaint):
    with pytest.raises(ValueError, match=complaint):
        CLAIM.predict(replace(TOY, **{knob: value}))
