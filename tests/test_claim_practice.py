"""What is special to the claim `practice`: data, settings, leads, what is said beforehand."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from cases.practice import TOY
from ntk_theory import datasets, minibatch
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims import _practice_nets as nets
from ntk_theory.claims.practice import CLAIM, lead
from ntk_theory.losses import LOSSES, PLAIN
from progress import Silent


@pytest.fixture(scope="module")
def source():
    return CLAIM.build(replace(TOY, knobs={**TOY.knobs, "points": 200})).sources[0]


@pytest.fixture
def own(tmp_path):
    def written(labels, features=6, points=120):
        rng = np.random.default_rng(0)
        classes = rng.integers(0, labels, points)
        inputs = rng.standard_normal((points, features)) + 4 * np.eye(features)[classes % features]
        np.savez(tmp_path / "own.npz", inputs=inputs, labels=classes)
        return str(tmp_path / "own.npz")

    return written


def test_the_two_classes_of_a_binary_set_are_flipped_in_one_way(own):
    data = datasets.load(own(2))
    assert [str(one) for one in nets.settings_of(data, nets.RATES)] == [
        "symmetric 20%", "symmetric 40%",
    ]  # fmt: skip


def test_pair_flips_of_more_than_half_leave_no_information(own):
    data = datasets.load(own(4))
    assert "pair 60%" not in map(str, nets.settings_of(data, nets.RATES))
    with pytest.raises(ValueError, match="noise must leave the right class"):
        nets.settings_of(datasets.load(own(2)), (0.5,))


def test_splits_share_no_point_and_noise_has_its_rate(source):
    for setting in (nets.Setting("symmetric", 0.4), nets.Setting("pair", 0.4)):
        _, dataset, fresh, right = source.drawn(setting, 3)
        assert dataset.noise_rate == pytest.approx(0.4, abs=0.03)
        assert len(fresh) == len(right)
        assert np.abs(dataset.inputs @ fresh.T).max() < 1
        again = source.drawn(setting, 3)
        np.testing.assert_array_equal(again.dataset.observed_class, dataset.observed_class)
        other = source.drawn(setting, 4)
        assert not np.array_equal(other.dataset.inputs, dataset.inputs)


def test_noise_and_labels_are_apart_in_the_spectrum_of_digits(source):
    setting = nets.Setting("symmetric", 0.35)
    limit = source.limits[setting][0]
    clean, noise = limit.energy / limit.energy.sum(axis=1, keepdims=True)
    top = slice(-len(clean) // 10, None)
    assert clean[top].sum() > 1 / 2 > noise[top].sum()
    assert source.ratio(setting) > source.least_ratio(setting)
    mean, low = source.cost(setting)
    assert 0 < low < mean < 1


def test_pair_flips_need_the_ratio_of_two_classes(source):
    assert source.least_ratio(nets.Setting("pair", 0.4)) == pytest.approx(6)
    assert source.least_ratio(nets.Setting("symmetric", 0.4)) == pytest.approx(2.8)


def test_wrong_labels_that_data_bring_count(tmp_path):
    rng = np.random.default_rng(0)
    clean = np.arange(90) % 3
    labels = np.where(np.arange(90) % 2 == 0, clean, (clean + 1) % 3)
    inputs = rng.standard_normal((90, 8)) + 5 * np.eye(8)[clean]
    np.savez(tmp_path / "own.npz", inputs=inputs, labels=labels, clean=clean)
    options = replace(TOY, knobs={"data": str(tmp_path / "own.npz"), "splits": 3})
    (own,) = CLAIM.build(options).sources
    assert own.least_ratio(own.settings[0]) == pytest.approx(1 + 1 / (1 - 0.5 * 3 / 2))


def test_copies_of_points_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.standard_normal((40, 8)), 3, axis=0)
    np.savez(tmp_path / "own.npz", inputs=rows, labels=np.repeat(np.arange(40) % 2, 3))
    options = replace(TOY, knobs={"data": str(tmp_path / "own.npz"), "splits": 3, "noise": 0.2})
    with pytest.raises(ValueError, match="points must differ from each other"):
        CLAIM.run(options, Silent())


def test_labels_without_information_violate_the_premise(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", inputs=rng.standard_normal((200, 20)),
             labels=rng.integers(0, 4, 200))  # fmt: skip
    options = replace(TOY, points=None, knobs={**TOY.knobs, "data": str(tmp_path / "a.npz")})
    result = CLAIM.run(options, Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert "a.npz: measured spectrum separates information from noise" in {
        one.name for one in result.premises if not one.holds
    }


def test_a_lead_counts_when_its_whole_interval_is_above_half_a_point():
    assert lead("", np.array([0.1, 0.11, 0.12, 0.1]), 100).holds
    assert lead("", np.zeros(4), 100).holds is False
    assert lead("", np.array([0.1, -0.1, 0.2, 0.0]), 100).holds is None
    assert lead("", np.array([0.02, -0.04, 0.01, -0.03]), 100).holds is None
    assert lead("", np.array([-0.1, -0.11, -0.1, -0.12]), 100).holds is False


def test_what_noisy_labels_tell_is_an_accuracy_that_training_passed(source):
    few = replace(source, splits=source.splits[:1], recipe=replace(source.recipe, epochs=3))
    setting = nets.Setting("symmetric", 0.4)
    found = few.outcome(setting)
    told, best = (found.accuracy[0, nets.METHODS.index(name)] for name in (nets.TOLD, nets.BEST))
    assert 0 < told < 1
    assert best == found.curves[0].max()
    ends = found.accuracy[0, : len(found.curves)]
    np.testing.assert_allclose(ends, found.curves[:, -1])


@pytest.mark.parametrize("weights", [1, 10**9])
def test_every_net_is_trained_as_by_itself_whatever_its_block(source, monkeypatch, weights):
    few = replace(source, splits=source.splits[:3], recipe=replace(source.recipe, epochs=2))
    monkeypatch.setattr(nets, "_WEIGHTS", weights)
    monkeypatch.setattr(nets.nt.together, "threads", lambda: 2)
    jobs = [few.drawn(nets.Setting("symmetric", 0.4), split).job for split in few.splits]
    assert [job.seed for job in jobs] == list(few.splits)
    losses = PLAIN, LOSSES[nets.PAPERS]
    found = few.trained(jobs, losses)
    assert [len(of_split) for of_split in found] == [2, 2, 2]
    for job, records in zip(jobs, found, strict=True):
        for loss, record in zip(losses, records, strict=True):
            job_alone = [job._replace(mixing=loss)]
            (alone,) = minibatch.train(job_alone, few.descent, width=few.width)
            np.testing.assert_array_equal(record.fresh, alone.fresh)
            np.testing.assert_allclose(record.trained, alone.trained, rtol=0, atol=1e-5)


def test_the_rule_needs_no_choice_and_is_ahead_of_labels_alone():
    result = toy_result(CLAIM.id)
    rule, alone = (
        result.arrays["accuracy"][..., nets.METHODS.index(name)] for name in (nets.RULE, nets.ALONE)
    )
    assert (rule > alone).all()


def test_metrics_have_every_method_of_every_split_and_setting():
    result = toy_result(CLAIM.id)
    found = {
        (row["training"], row["net"], row["method"]) for row in result.metrics if "method" in row
    }
    splits = result.config["sources"]["digits"]["splits"]
    assert len(found) == 2 * splits * len(nets.METHODS)


def test_a_missing_package_is_a_premise_unless_its_data_are_asked_for(monkeypatch):
    datasets._unchanged.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    result = CLAIM.run(TOY, Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert "pip install 'ntk_theory[data]'" in result.premises[0].requirement
    with pytest.raises(ValueError, match="scikit-learn, which is not installed"):
        CLAIM.build(replace(TOY, knobs={**TOY.knobs, "data": "digits"}))


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"splits": 2}, "splits must be at least 3"),
        ({"noise": 1.5}, "noise must lie in"),
        ({"points": 10}, "points must lie between 20 and"),
        ({"data": "nothing"}, "data must be"),
        ({"classes": "1"}, "classes must be"),
    ],
)
def test_what_makes_no_sense_is_refused(knobs, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.build(replace(TOY, knobs={**TOY.knobs, **knobs}))
