"""Rows, premises and controls of `air` fail on doctored runs; refused options; bands."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cases.air import TOY
from ntk_theory import data, kernels, predictions, spectrum
from ntk_theory.claims.air import CLAIM, controls, measurements, nets
from ntk_theory.claims.air import plan as plans
from ntk_theory.claims.air.labels import Labels
from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Verdict
from progress import Silent
from strategies import EPS, grams, seeds


@pytest.fixture(scope="module")
def plan():
    return plans.make_plan(TOY)


@pytest.fixture(scope="module")
def climbed(plan):
    """Toy nets on clusters, trained once."""
    return nets.climb(plan.clusters, plan, Evidence(), Silent())


def failing(rows):
    return {row.name for row in rows if row.holds is not True}


def every_row(plan, climbed):
    return [
        measurements._exponent(climbed),
        *measurements._half_time_rows(plan, climbed),
        *measurements._design_rows(climbed),
        *measurements._falling(climbed),
    ]


# ---------------------------------------------------------------- rows


def test_every_row_holds_on_the_trained_nets(plan, climbed):
    assert not failing(every_row(plan, climbed))


def test_noise_as_fast_as_information_fails_the_half_times(plan, climbed):
    times = climbed.half_times.copy()
    times[-1, :, 1] = times[-1, :, 0]
    assert failing(every_row(plan, replace(climbed, half_times=times))) == {
        "clusters: half-time of noise",
        "clusters: half-time of noise over that of information",
    }


def test_half_times_in_the_ratio_of_the_eigenvalues_fail(plan, climbed):
    # log(1 − ηλ_+)/log(1 − ηλ_−) is above λ_+/λ_−, by a third at ηλ_+ = ½.
    times = climbed.half_times.copy()
    times[-1, :, 1] = plan.ratio * times[-1, :, 0]
    assert "clusters: half-time of noise over that of information" in failing(
        every_row(plan, replace(climbed, half_times=times))
    )


@pytest.mark.parametrize("name", ["half_time", "half_time_ratio"])
def test_half_times_of_the_kernel_limit_tell_a_slightly_wrong_formula(plan, name, monkeypatch):
    assert measurements._kernel_half_times(plan).holds
    right = getattr(predictions, name)
    monkeypatch.setattr(predictions, name, lambda *arguments: right(*arguments) * (1 + 1e-9))
    assert not measurements._kernel_half_times(plan).holds


def test_noise_that_is_never_half_retrieved_fails(plan, climbed):
    times = climbed.half_times.copy()
    times[-1, 0, 1] = np.nan
    assert "clusters: half-time of noise" in failing(
        measurements._half_time_rows(plan, replace(climbed, half_times=times))
    )


def test_noise_first_fails_the_gaps(plan, climbed):
    case = plan.clusters
    # Outputs that retrieve the low band with the filter of the high one and vice versa.
    along = case.spectrum.project(case.dataset.observed)
    swapped = case.filter.copy()
    low, high = case.bands
    swapped[:, low], swapped[:, high] = case.filter[:, high][:, :1], case.filter[:, low][:, :1]
    outputs = np.broadcast_to(
        (swapped * along) @ case.spectrum.eigenvectors.T, climbed.outputs.shape
    )
    failed = failing(measurements._design_rows(replace(climbed, outputs=outputs)))
    assert len(failed) == 3


def test_an_error_of_half_the_gap_is_left_open(plan, climbed):
    loose = replace(climbed, gap_deviation=100 * climbed.gap_deviation)
    rows = [row for row in measurements._design_rows(loose) if "R(clean)" in row.name]
    assert [row.holds for row in rows] == [None, None]


def test_noise_ahead_at_a_single_step_fails_the_least_gap_alone(plan, climbed):
    outputs = climbed.outputs.copy()
    late = plan.clusters.peak + 2
    # Of the clean labels nothing is retrieved at this step.
    clean = plan.clusters.dataset.clean
    outputs[:, late] -= (outputs[:, late] @ clean)[:, None] / clean.size * clean
    rows = measurements._design_rows(replace(climbed, outputs=outputs))
    assert "clusters: least R(clean) − E R(noise) at any step" in failing(rows)
    rows = list(measurements._design_rows(replace(climbed, outputs=outputs)))
    assert rows[1].holds


def test_a_least_gap_that_is_no_larger_than_its_tolerance_is_left_open(plan, climbed):
    least = float(plan.clusters.predicted_gap[1:].min())
    factor = 1.01 * least / climbed.allowance(climbed.gap_deviation)
    loose = replace(climbed, gap_deviation=factor * climbed.gap_deviation)
    (row,) = [row for row in measurements._design_rows(loose) if "least" in row.name]
    assert row.holds is None


def test_a_kernel_limit_in_which_noise_is_ahead_fails_its_least_gap(plan, monkeypatch):
    right = measurements._kernel_gap

    def behind(case):
        gap = right(case).copy()
        gap[case.peak] *= -1
        return gap

    monkeypatch.setattr(measurements, "_kernel_gap", behind)
    failed = failing(measurements._kernel_rows(plan))
    assert "kernel limit: least R(clean) − E R(noise) at any step, worst design" in failed


@pytest.mark.parametrize("rising", [True, False])
def test_a_deviation_that_does_not_fall_with_the_width_fails(climbed, rising):
    rungs = climbed.ladder.rungs[nets.TRAINING]
    deviation = rungs[-1].deviation.copy()
    # Early steps only, or late ones only, of the widest nets.
    early = np.arange(deviation.shape[1]) <= climbed.case.peak
    part = early if rising else ~early
    deviation[:, part] = rungs[0].deviation[:, part]
    stuck = [*rungs[:-1], replace(rungs[-1], deviation=deviation)]
    ladder = replace(climbed.ladder, rungs={nets.TRAINING: stuck})
    (at_any, early_on) = measurements._falling(replace(climbed, ladder=ladder))
    assert early_on.holds is not rising
    assert rising or not at_any.holds


def test_nets_that_follow_another_power_of_the_width_fail_the_exponent(plan, climbed):
    ladder = climbed.ladder
    rungs = [
        replace(rung, deviation=rung.deviation * rung.width**0.25)
        for rung in ladder.rungs[nets.TRAINING]
    ]
    changed = replace(ladder, rungs={nets.TRAINING: rungs})
    assert isinstance(changed, Ladder)
    assert not measurements._exponent(replace(climbed, ladder=changed)).holds


def test_a_signed_tolerance_falls_with_the_width_and_covers_its_own_law(climbed):
    widths = np.array(climbed.ladder.widths)
    rng = np.random.default_rng(0)
    misses = 0
    for _ in range(400):
        errors = rng.standard_normal((widths.size, 4)) / np.sqrt(widths)[:, None]
        misses += abs(errors[-1, 0]) > climbed.signed_allowance(errors)
    # One net misses with probability 1e-3: 400 times 5 or more have probability 7e-5.
    assert misses < 5
    errors = 1 / np.sqrt(widths)[:, None] * np.ones(4)
    # N = 16 errors of size 1/√m: Student's quantile at 0.9995, 4.015, times that.
    assert climbed.signed_allowance(errors) * np.sqrt(widths[-1]) == pytest.approx(4.015, abs=1e-3)


@given(st.floats(0.01, 0.9), st.integers(1, 5))
def test_the_crossing_of_a_filter_is_its_half_time(rate, copies):
    time = predictions.half_time(rate, 1.0)
    curve = predictions.retrieval_filter([rate], 1.0, int(np.ceil(time)) + 1)[:, 0]
    found = nets.crossing(np.tile(curve, (copies, 1)))
    # Errors of eps in a share of ½ are errors of 2 eps in its logarithm, at each end.
    np.testing.assert_allclose(found, time, rtol=0, atol=16 * EPS * (1 + time) / rate)
    assert np.isnan(nets.crossing(curve[curve < 0.5]))


@given(seeds, st.floats(0, 1), st.floats(0, 1))
def test_label_shares_are_the_coefficients_along_both_parts(seed, information, noise):
    rng = np.random.default_rng(seed)
    clean = rng.choice([-1.0, 1.0], 20)
    observed = clean * np.repeat([-1.0, 1.0], [4, 16])
    rest = observed - 0.6 * clean
    outputs = information * 0.6 * clean + noise * rest
    labels = Labels(clean, observed)
    np.testing.assert_allclose(labels.shares(outputs), (information, noise), atol=32 * EPS)
    # ‖κ y‖ and ‖ζ‖ are κ √n and √(1 − κ²) √n.
    assert labels.sensitivity == pytest.approx(1 / 0.6 + 1 / 0.8)


# ---------------------------------------------------------------- premises and options


def unmet(options):
    result = CLAIM.run(options, Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert not result.metrics
    return {premise.name for premise in result.premises if not premise.holds}


def test_nets_that_have_to_move_far_are_outside_the_theory():
    widths = (16, 32, 64, 128, 256)
    names = ("clusters", "tree", "power law", "circle")
    expected = {f"{name}: narrowest net moves little" for name in names}
    assert unmet(replace(TOY, widths=widths)) == expected


def test_the_width_of_lazy_nets_on_any_data_is_that_of_clusters_on_clusters(plan):
    case, levels = plan.clusters, plan.levels
    (angle, rho) = predictions.cluster_angle(levels.points, plan.ratio), case.dataset.noise_rate
    memorised = predictions.retrieval_filter([levels.noise], case.learning_rate, case.steps)[-1, 0]
    expected = predictions.lazy_width(levels, angle, rho, memorised)
    # An eigenvalue is off by 8 n eps λ_max, relative to the smallest one by the ratio more.
    rounding = 8 * case.dataset.clean.size * plan.ratio * EPS
    np.testing.assert_allclose(case.lazy_width, expected, rtol=4 * rounding)


def test_other_designs_start_at_widths_that_are_lazy_and_at_none_wider(plan):
    for case in plan.cases[1:]:
        narrowest = case.widths[0]
        assert 4 * case.lazy_width <= narrowest < max(8 * case.lazy_width, TOY.widths[0] + 1)
        assert case.widths == tuple(narrowest // TOY.widths[0] * width for width in TOY.widths)


def test_points_too_close_for_any_width_of_the_ladder_are_outside_the_theory(monkeypatch):
    other_design(monkeypatch, "circle", data.circle(399, arcs=3))
    assert "circle: narrowest net moves little" in unmet(TOY)


def other_design(monkeypatch, name, design):
    monkeypatch.setattr(plans, "other_designs", lambda _: iter([(name, design, 20)]))


def test_an_even_circle_has_no_kernel_inverse(monkeypatch):
    other_design(monkeypatch, "circle", data.circle(12, arcs=2))
    assert unmet(TOY) == {"circle: kernel positive definite (an odd number of points)"}


def test_labels_of_high_frequency_do_not_lean_to_the_top(monkeypatch):
    # Three points an arc, in seven arcs of alternating labels: their energy is around mode 3.
    other_design(monkeypatch, "circle", data.circle(35, arcs=7))
    assert unmet(TOY) == {"circle: clean labels lean to the top"}


@pytest.mark.parametrize(
    ("knob", "value", "complaint"),
    [
        ("clusters", 2, "clusters must be at least 3"),
        ("points", 1, "points must be at least 2"),
        ("ratio", 1.2, "ratio must be at least 1.5"),
        ("ratio", float("inf"), "ratio must be at least 1.5"),
        ("ratio", float("nan"), "ratio must be at least 1.5"),
        ("noise_rate", 0.0, "noise_rate must lie in"),
        ("noise_rate", 0.5, "noise_rate must lie in"),
        ("noise_rate", 0.1, "less than one"),
        ("learning_rate", 5.0, "learning_rate must lie in"),
        ("learning_rate", -1.0, "learning_rate must lie in"),
        ("learning_rate", float("nan"), "learning_rate must lie in"),
        ("steps", 3, "steps must be above"),
        ("seeds", 1, "seeds must be at least 2"),
    ],
)
def test_options_without_sense_are_refused(knob, value, complaint):
    with pytest.raises(ValueError, match=complaint):
        CLAIM.predict(replace(TOY, **{knob: value}))


# ---------------------------------------------------------------- controls


@pytest.fixture(scope="module")
def broken(plan):
    return controls.ControlSetting(plan, 0.03, Silent())


def test_a_control_in_which_information_stays_ahead_does_not_hold(broken):
    claimed = float(broken.plan.gap.max())
    tame = broken.control("made up", "nothing", 0.0, np.full(4, claimed), 0.05)
    assert tame.verdict is Verdict.SUPPORTED
    assert not tame.holds
    assert broken.control("made up", "all", 0.0, np.zeros(4), 0.05).holds


def test_a_control_that_fails_otherwise_than_predicted_does_not_hold(broken):
    assert not broken.control("made up", "all", 0.0, np.full(4, -0.2), 0.05).holds


@pytest.mark.parametrize("control", [controls._whole_clusters, controls._orthogonal])
def test_label_controls_notice_nets_that_were_not_broken(broken, control, monkeypatch):
    case = broken.plan.clusters

    def unbroken(self, recipe):
        # What the infinitely wide net retrieves of these labels on the claim's own clusters, if
        # the part off y were noise inside clusters.
        kept = float(recipe.observed @ case.dataset.clean) / case.dataset.clean.size
        information, noise = case.filter[self.peak, -1], case.filter[self.peak, 0]
        rest = recipe.observed - kept * case.dataset.clean
        return np.tile(information * kept * case.dataset.clean + noise * rest, (4, 1))

    monkeypatch.setattr(controls.ControlSetting, "outputs", unbroken)
    assert control(broken).verdict is Verdict.SUPPORTED


# ---------------------------------------------------------------- bands


@given(grams(min_size=2), seeds, st.floats(1, 10), st.floats(0, 0.6))
def test_bands_are_whole_eigenspaces_and_hold_enough(gram, seed, factor, least):
    found = spectrum.eigendecomposition(gram.matrix)
    labels = np.random.default_rng(seed).standard_normal(len(gram.matrix))
    bands = found.bands(labels, factor=factor, least=least)
    edges = {space.start for space in found.eigenspaces()}
    assert bands[0].start == 0
    assert bands[-1].stop == len(labels)
    assert all(low.stop == high.start for low, high in pairwise(bands))
    assert {band.start for band in bands} <= edges
    energy = found.project(labels) ** 2
    # Sums in another order round differently.
    enough = least * energy.sum() * (1 - len(labels) * EPS)
    assert all(energy[band].sum() >= enough for band in bands)


@given(grams(min_size=2), seeds)
def test_without_a_least_energy_every_eigenspace_is_a_band(gram, seed):
    found = spectrum.eigendecomposition(gram.matrix)
    labels = np.random.default_rng(seed).standard_normal(len(gram.matrix))
    assert found.bands(labels) == found.eigenspaces()


def test_eigenspaces_of_clusters_are_the_three_levels():
    design = data.equicorrelated_clusters(4, 5, ratio=6.0, cross_cosine=0.3)
    found = spectrum.eigendecomposition(kernels.ntk_limit(design.inputs))
    assert found.eigenspaces() == (slice(0, 16), slice(16, 19), slice(19, 20))


def test_bands_join_eigenvalues_within_the_factor():
    found = spectrum.eigendecomposition(np.diag([1.0, 3.0, 4.0, 9.0, 10.0]))
    labels = np.ones(5)
    assert found.bands(labels, factor=2.0) == (slice(0, 1), slice(1, 3), slice(3, 5))
    assert found.bands(labels, factor=2.0, least=0.3) == (slice(0, 3), slice(3, 5))
