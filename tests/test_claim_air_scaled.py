"""`air` at the size of an image data set, on fewer points: the same path, in seconds."""

from dataclasses import replace

import numpy as np
import pytest

from cases import nets_at_rate
from ntk_theory import image_size, kernels, predictions, training
from ntk_theory.checking import nets as experiments
from ntk_theory.checking.run import Run
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims.air import CLAIM
from ntk_theory.report.pictures import svg_pictures
from ntk_theory.targets import PLAIN
from panels import drawn
from progress import Impatient, Silent

SMALL = Options(preset="cifar-mini", points=10, widths=(128, 256, 512, 1024))


@pytest.fixture(scope="module")
def result():
    return CLAIM.run(SMALL, Silent())


@pytest.fixture(scope="module")
def problem():
    return CLAIM.at(SMALL).build(SMALL)


def row(result, start):
    (found,) = (m for m in result.measurements if m.name.startswith(start))
    return found


def test_it_is_supported_by_nets_that_retrieve_information_first_and_its_control_fails(result):
    assert result.verdict is Verdict.SUPPORTED, result.finding
    assert "100 points of 3072 features" in result.finding
    assert [control.id for control in result.controls] == ["whole-clusters-flipped"]
    assert result.controls[0].verdict is Verdict.VIOLATED
    assert len(result.metrics) == 2 * 4
    assert CLAIM.predict(SMALL)[0] == result.config
    gap = row(result, "clusters: retrieved share of information − noise")
    assert gap.predicted == result.arrays["predicted lead of clusters"].max() > 0.4


def test_its_pictures_show_what_the_table_says(result):
    assert all("<path" in picture for picture in svg_pictures(result).values())
    shares = drawn(result.claim, result, "retrieved-shares")
    after = int(row(result, "clusters: retrieved share of noise").name.split()[6])
    for name in ("information", "noise"):
        (net, *_) = shares[name]
        seen = row(result, f"clusters: retrieved share of {name} after")
        assert net["y"][after] == pytest.approx(seen.measured, rel=0.05)
        assert shares[f"prediction of {name}"][0]["y"][after] == pytest.approx(seen.predicted)
    lead = drawn(result.claim, result, "information-ahead")["prediction of clusters"][0]["y"]
    assert lead.max() == row(result, "clusters: retrieved share of information − noise").predicted
    (values,) = drawn(result.claim, result, "eigenvalues")["clusters"]
    np.testing.assert_array_equal(values["y"], result.arrays["clusters: eigenvalues"])


def test_the_prediction_is_the_recursion_on_the_whole_matrix(problem):
    dataset = problem.dataset
    gram = kernels.ntk_limit(dataset.inputs)
    limit = training.train_kernel_limit(
        gram,
        dataset.observed,
        PLAIN,
        learning_rate=problem.learning_rate,
        steps=problem.steps,
    )
    # Products in float32, over as many steps.
    np.testing.assert_allclose(problem.noisy.predicted, limit, atol=40 * 100 * 1.2e-7)
    np.testing.assert_allclose(
        problem.lead(problem.noisy.predicted), problem.lead(limit), atol=1e-3
    )


def test_information_and_noise_are_orthogonal_and_noise_has_no_mean_in_a_class(problem):
    labels, groups = problem.labels, problem.dataset.design.groups
    noise = labels.parts[1]
    assert labels.kept == pytest.approx(1 - problem.noise_rate * 10 / 9)
    assert (noise * labels.clean).sum() == pytest.approx(0, abs=1e-10)
    means = [noise[groups == group].mean(axis=0) for group in range(10)]
    # Eight flips among nine other classes leave one out: less than one point in ten is missing.
    assert np.abs(means).max() < 1 / 10
    shares = labels.information, labels.noise, labels.ahead
    assert [share(labels.observed) for share in shares] == pytest.approx([1, 1, 0])


def test_largest_eigenpairs_alone_leave_a_bound_for_the_rest(problem, monkeypatch):
    _, all_ = problem.closed_forms()
    monkeypatch.setattr(image_size, "memory_limit", lambda: 2 * 30 * 100 * 4.0)
    streamed = CLAIM.at(SMALL).build(SMALL)
    assert not streamed.kernel.kept
    _, some = streamed.closed_forms()
    assert some.holds
    assert all_.holds
    assert len(problem.pairs.values) == 100
    # All that is left then is the rounding of 40 steps with 100 numbers.
    assert all_.tolerance == pytest.approx(40 * np.sqrt(100) * 2.0**-23, rel=0.1)
    assert all_.tolerance < some.tolerance


@pytest.mark.parametrize("preset", image_size.SIZES)
def test_rounding_leaves_the_filter_to_be_told_at_every_size(preset):
    size = Options(preset=preset)
    assert CLAIM.at(size).build(size).rounding < 0.01


@pytest.mark.usefixtures("no_matrix_fits")
def test_a_run_forms_no_matrix_that_does_not_fit():
    result = CLAIM.run(SMALL, Silent())
    assert result.verdict is Verdict.SUPPORTED, result.finding
    assert len(result.arrays["clusters: eigenvalues"]) == 12


@pytest.mark.parametrize("factor", [0.9, 1.2])
def test_nets_at_another_rate_are_seen(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    assert CLAIM.run(SMALL, Silent()).verdict is not Verdict.SUPPORTED


def test_a_filter_of_another_rate_is_seen(problem, monkeypatch):
    original = predictions.retrieval_filter
    monkeypatch.setattr(
        predictions,
        "retrieval_filter",
        lambda values, rate, steps: original(values, 1.1 * rate, steps),
    )
    assert [one.holds for one in problem.closed_forms()] == [True, False]


def test_rounding_above_the_tolerance_leaves_it_open(monkeypatch):
    monkeypatch.setattr(Run, "rounding_error", lambda *_: 0.15)
    result = CLAIM.run(SMALL, Silent())
    assert result.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"ratio": 1.3}, "clean labels lean to the top"),
        ({"noise_rate": 0.9}, "labels hold information"),
        ({"noise_rate": 0.95}, "labels hold information"),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    result = CLAIM.run(replace(SMALL, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in {one.name for one in result.premises if not one.holds}
    assert result.metrics == ()


def test_an_interrupted_run_keeps_what_it_has():
    result = CLAIM.run(SMALL, Impatient(0.3))
    assert result.interrupted
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "at width" in result.finding


def test_the_plan_says_what_the_run_takes(problem):
    assert problem.plan().startswith("plan: cpu, float32, pre-activations in blocks of ")
