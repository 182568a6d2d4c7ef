"""The law of finite width: against nets, against another way to its mean, and by symmetries."""

from dataclasses import replace

import numpy as np
import pytest

import ntk_theory as nt
from how_much import again
from ntk_theory.checking.nets import train_nets
from ntk_theory.checking.sweep import net_seeds
from ntk_theory.predictions import fluctuations
from ntk_theory.predictions.fluctuations import (
    Teaching,
    boundary_source,
    finite_width_law,
    kernel_draws,
    law_from_starts,
)

Hard, Burn = nt.targets.Distillation, nt.targets.BurnIn
DRAWS = 400


@pytest.fixture(scope="module")
def problem():
    return nt.noisy_clusters(
        clusters=4, points=5, ratio=12.0, noise_rate=0.2, seed=0, steps=120, noise_times=4
    )


def teaching_of(recipe):
    taught = recipe.distillation
    return Teaching(
        recipe.observed.reshape(len(recipe.observed), -1),
        nt.targets.weights(taught.schedule, recipe.steps), taught.target, taught.temperature,
        taught.epoch, taught.restart, recipe.loss == "cross-entropy",
    )  # fmt: skip


def law_of(recipe, **more):
    return finite_width_law(
        recipe.inputs, recipe.kernel_limit(), np.full(recipe.steps, recipe.rate),
        teaching_of(recipe),
        np.random.default_rng(0), both_layers=recipe.layers == "both", **more,
    )  # fmt: skip


def rms(values, axes):
    return np.sqrt(np.square(values).mean(axis=axes))


# ------------------------------------------------------------ against trained nets

CLASSES = nt.data.noisy_labels(
    nt.data.equicorrelated_clusters(3, 5, ratio=10.0),
    noise_rate=0.2, rng=np.random.default_rng(0), classes=3, count="balanced",
)  # fmt: skip
SLOW, SCHEDULE = nt.targets.Constant(0.5), Burn(10, nt.targets.Power(10.0))
WAYS = {
    "hard": {},
    "plain": {"distillation": nt.targets.PLAIN},
    "soft": {"distillation": Hard(SCHEDULE, "soft")},
    "tempered": {"distillation": Hard(SCHEDULE, "tempered", 0.5)},
    "soft, lagging": {"distillation": Hard(SLOW, "soft", epoch=3)},
    "soft, restarted": {"distillation": Hard(SLOW, "soft", epoch=20, restart=True)},
    "both layers": {"distillation": nt.targets.PLAIN, "layers": "both"},
    "three classes": {"inputs": CLASSES.inputs, "observed": CLASSES.observed},
    "cross-entropy": {
        "inputs": CLASSES.inputs, "observed": CLASSES.observed, "loss": "cross-entropy",
        "distillation": nt.targets.PLAIN,
    },
}  # fmt: skip


SLOWEST = {"both layers", "cross-entropy"}


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=again) if way in SLOWEST else way for way in WAYS]
)
def test_nets_scatter_and_are_off_as_the_law_says(problem, way):
    recipe = replace(problem.recipe, **({"steps": 60} | WAYS[way]))
    law, width, nets = law_of(recipe), 8192, 60
    made = train_nets(recipe, width, net_seeds(7, width, nets, 0)).outputs
    off = (made.reshape(nets, *law.limit.shape) - law.limit) * np.sqrt(width)
    mean = off.mean(axis=0)
    # 60 nets of some 3 independent directions: a standard deviation is off by 5 % (one sigma).
    for t in (5, 20, 60):
        assert rms((off - mean)[:, t], None) == pytest.approx(rms(law.scatter[:, t], None), rel=0.2)
    # Their mean is that of the law, but for its own scatter over 60 nets.
    left = rms(mean - law.mean, (1, 2))[1:]
    assert (left < 2.5 * rms(law.scatter, (0, 2, 3))[1:] / np.sqrt(nets)).all()
    if way in ("plain", "soft", "cross-entropy"):  # where the mean stands out of that scatter
        along = (mean * law.mean)[-1].sum() / np.square(law.mean[-1]).sum()
        assert along == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("way", ["plain", "tempered", "soft, restarted", "both layers"])
def test_independent_neurons_deviate_from_the_recursion_from_their_own_start(problem, way):
    recipe = replace(problem.recipe, **(WAYS[way] | {"steps": 25, "init_scale": 1.0}))
    width, nets = 8192, 40
    made = train_nets(recipe, width, net_seeds(7, width, nets, 0)).outputs
    limits, drawn = law_from_starts(
        recipe.inputs, made[:, 0], np.full(recipe.steps, recipe.rate), teaching_of(recipe),
        np.random.default_rng(0), draws=4, both_layers=recipe.layers == "both",
    )  # fmt: skip
    off = (made - limits[..., 0]) * np.sqrt(width)
    assert np.abs(off[:, 0]).max() < 1e-9
    for t in (5, 25):  # a standard deviation of 40 nets is off by 6 % (one sigma)
        assert rms(off[:, t], None) == pytest.approx(rms(drawn[:, t], None), rel=0.2)


def test_fresh_points_follow_from_the_training_points(problem):
    whole = nt.data.equicorrelated_clusters(4, 6, angle=problem.angle)
    fresh = np.arange(24) % 6 == 5
    inputs = np.concatenate([whole.inputs[~fresh], whole.inputs[fresh]])
    recipe = replace(problem.recipe, inputs=inputs[:20], steps=60)
    kernel, pulled = nt.kernels.ntk_limit(inputs), recipe.kernel_limit()
    weights = nt.targets.weights(recipe.distillation.schedule, 60)
    limit = np.zeros((61, 24))
    for t, weight in enumerate(weights):
        target = weight * recipe.observed + (1 - weight) * np.sign(pulled[t])
        limit[t + 1] = limit[t] - recipe.rate * kernel[:, :20] @ (pulled[t] - target)
    np.testing.assert_allclose(limit[:, :20], pulled, atol=1e-12)
    teaching = Teaching(recipe.observed[:, None], weights)
    law = finite_width_law(
        inputs, limit, np.full(60, recipe.rate), teaching, np.random.default_rng(0)
    )
    nets, width = 60, 4096
    trained = train_nets(recipe, width, net_seeds(7, width, nets, 0), keep_network=True)
    reached = trained.network(inputs[20:]).reshape(nets, 4)
    scaled = (reached - limit[-1, 20:]) * np.sqrt(width)
    mean = law.mean[-1, 20:, 0]
    assert rms(scaled - scaled.mean(axis=0), None) == pytest.approx(
        rms(law.scatter[:, -1, 20:], None), rel=0.2
    )
    assert rms(scaled.mean(axis=0) - mean, None) < 2.5 * rms(scaled, None) / np.sqrt(nets)


# ------------------------------------------------------------ against other formulas


@pytest.mark.parametrize("pairs", [True, False])
def test_draws_of_the_kernel_have_its_fluctuation(problem, pairs):
    inputs, rng = problem.recipe.inputs, np.random.default_rng(1)
    found = np.concatenate(list(kernel_draws(inputs, 20, 2000, rng, pairs=pairs)))
    wanted = nt.predictions.kernel_fluctuation(inputs @ inputs.T, pairs=pairs)
    assert np.square(found).sum(axis=(1, 2)).mean() == pytest.approx(wanted, rel=0.05)
    spread = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0)) < 5 * spread + 1e-12).all()


def test_the_kernel_of_both_layers_is_the_measured_one(problem):
    inputs = problem.recipe.inputs
    for both, layers in ((False, "first"), (True, "both")):
        made = fluctuations._limit(inputs, 20, 2, both)
        kernel = np.kron(nt.kernels.ntk_limit(inputs, layers=layers), np.eye(2))
        np.testing.assert_allclose(made, kernel, atol=1e-7)


def test_the_mean_is_that_of_the_boundary_layer_followed_cell_by_cell(problem):
    recipe = replace(problem.plain_recipe(), steps=60)
    law = law_of(recipe, count=1, draws=400)
    limit = recipe.kernel_limit()[:60]
    other = nt.predictions.boundary_layer(
        recipe.inputs @ recipe.inputs.T, recipe.rate * nt.kernels.ntk_limit(recipe.inputs),
        recipe.rate * (recipe.observed - limit), np.random.default_rng(2),
    )  # fmt: skip
    # Of clean and of flipped points all are alike, but for the draws of a point.
    for some in (problem.dataset.flipped, ~problem.dataset.flipped):
        one, two = ((mean * problem.dataset.clean)[:, some].mean(axis=1)
                    for mean in (law.mean[..., 0], other.deviation))  # fmt: skip
        np.testing.assert_allclose(one, two, atol=0.08 * np.abs(two).max())


def test_a_neuron_that_is_pulled_by_its_own_point_alone_is_followed_by_hand():
    # One point, pulled by 1 in one step: neurons of sign − on (0, 1) leave, of sign + none come.
    source = boundary_source(np.eye(1), np.ones((1, 1, 1)), np.random.default_rng(0), draws=40000)
    # a (relu(ξ − 1) − relu(ξ) + 1) = −ξ … integrated: ½ ∫_0^1 −(1 − ξ) dξ = −1/4.
    assert source[0, 0, 0] == pytest.approx(-0.25 / np.sqrt(2 * np.pi), rel=0.02)


# ------------------------------------------------------------ symmetries


def test_soft_targets_deviate_as_plain_training_at_the_weighted_rates(problem):
    soft = replace(problem.recipe, steps=40, distillation=Hard(SCHEDULE, "soft"))
    weights = nt.targets.weights(SCHEDULE, 40)
    one = law_of(soft, count=50)
    plain = Teaching(soft.observed[:, None], np.ones(40))
    other = finite_width_law(soft.inputs, soft.kernel_limit(), soft.rate * weights, plain,
                       np.random.default_rng(0), count=50)  # fmt: skip
    np.testing.assert_allclose(one.scatter, other.scatter, atol=1e-9)
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-9)


def test_a_restarted_net_forgets_all_but_its_hard_teacher(problem):
    hard = Hard(nt.targets.Constant(1.0), epoch=20, restart=True)
    recipe = replace(problem.recipe, steps=40, distillation=hard)
    law = law_of(recipe, count=50, draws=2000)
    # Taught by observed labels alone, every epoch is the first one again.
    np.testing.assert_allclose(law.scatter[:, 21:], law.scatter[:, 1:21], atol=1e-12)
    np.testing.assert_allclose(law.mean[21:], law.mean[1:21], atol=0.1 * law.mean.max())
    again = law_of(recipe, count=50, draws=2000)
    np.testing.assert_array_equal(law.scatter, again.scatter)
    np.testing.assert_array_equal(law.mean, again.mean)


def test_outputs_of_a_width_are_limit_mean_and_scatter(problem):
    law = law_of(replace(problem.recipe, steps=10), count=5)
    np.testing.assert_allclose(
        (law.outputs(100) - law.limit) * 10, law.mean + law.scatter, atol=1e-12
    )
    assert law.outputs(10**12) == pytest.approx(
        np.broadcast_to(law.limit, (5, 11, 20, 1)), abs=1e-4
    )
