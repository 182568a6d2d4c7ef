"""Corners of training: nothing moves, nothing is recorded, inputs repeat, arguments are wrong."""

import numpy as np
import pytest
import torch

from ntk_theory import data, kernels, network, targets, training


def corner(distillation, *, steps, learning_rate, copies=False, dtype=torch.float64, **options):
    design = data.equicorrelated_clusters(2, 4, ratio=12.0)
    dataset = data.noisy_labels(design, noise_rate=0.25, rng=np.random.default_rng(0))
    inputs = dataset.inputs[:, :5] + 0.1
    if copies:
        inputs = np.repeat(inputs[:2], 4, axis=0)
    nets = network.initialise(256, inputs.shape[1], seeds=[0], dtype=dtype)
    return training.train(
        nets,
        inputs,
        dataset.observed,
        distillation,
        learning_rate=learning_rate,
        steps=steps,
        **options,
    )


def test_a_small_first_loss_is_no_divergence():
    taught = targets.Distillation(targets.Constant(0.05))
    assert corner(taught, steps=50, learning_rate=0.1).diverged is None


def test_an_output_that_no_step_moves_stays_exactly_zero():
    taught = targets.Distillation(targets.Constant(0.0))
    trajectory = corner(taught, steps=5, learning_rate=0.1)
    assert trajectory.diverged is None
    assert not trajectory.outputs.any()


def test_the_last_step_is_watched_too():
    trajectory = corner(targets.PLAIN, steps=1, learning_rate=1e300, record=[1])
    assert trajectory.diverged is not None
    assert trajectory.steps.size == 0
    assert trajectory.outputs.shape == (1, 0, 8)


def test_movement_is_right_in_float32_on_copies_of_inputs():
    single, double = (
        corner(targets.PLAIN, steps=20, learning_rate=0.05, copies=True, dtype=dtype)
        for dtype in (torch.float32, torch.float64)
    )
    # Pre-activations of size 1 carry errors of some eps each step; the two kept singular values of
    # these inputs are above 0.1, so the movement has ten times that.
    allowed = 20 * 10 * 8 * np.finfo(np.float32).eps
    np.testing.assert_allclose(single.movement, double.movement, atol=allowed)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "record must not be empty"),
        ([-1], r"record must lie in 0\.\.2 \(steps of the run\); got -1"),
        ([3], r"record must lie in 0\.\.2 \(steps of the run\); got 3"),
    ],
)
def test_steps_to_record_outside_the_run_are_refused(record, message):
    with pytest.raises(ValueError, match=message):
        corner(targets.PLAIN, steps=2, learning_rate=0.1, record=record)


def test_unknown_layers_and_numbers_that_are_none_are_refused():
    with pytest.raises(ValueError, match="layers must be 'first' or 'both'; got 'all'"):
        corner(targets.PLAIN, steps=2, learning_rate=0.1, layers="all")
    nets = network.initialise(4, 2, seeds=[0])
    with pytest.raises(ValueError, match="observed must be finite"):
        training.train(nets, np.eye(2), [np.nan, 1.0], targets.PLAIN, learning_rate=0.1, steps=1)
    with pytest.raises(ValueError, match="seeds must lie in"):
        network.initialise(4, 2, seeds=[2**32])


@pytest.mark.parametrize("size", [1.0, 1e4, 1e8, 1e10, 1e12, 1e16, 1e100])
@pytest.mark.parametrize("drawn", [True, False])
def test_inputs_of_any_size_are_trained_right_or_refused(size, drawn):
    rows = np.random.default_rng(0).standard_normal((6, 3))
    labels = np.array([1.0, -1, 1, -1, 1, -1])
    nets = network.DrawnNets(256, 3, (1,))
    start = nets if drawn else nets.keep()
    steps = {"steps": 20, "learning_rate": 0.1 / size**2}
    if size > 1e12:
        with pytest.raises(ValueError, match="inputs must be of a size at which"):
            training.train(start, rows * size, labels, targets.PLAIN, **steps)
        return
    found = training.train(start, rows * size, labels, targets.PLAIN, **steps).outputs[0]
    if size >= 1e4:  # where neurons hardly turn a net is its linearisation
        gram = kernels.ntk_empirical(nets.keep(), rows * size)[0]
        expected = training.train_kernel_limit(gram, labels, targets.PLAIN, **steps)
        assert np.abs(found - expected).max() <= max(1e-8, 32 * np.finfo(float).eps * size)
