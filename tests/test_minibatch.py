"""Minibatch training: what it does is full-batch training where it must be, and its theory."""

import math

import numpy as np
import pytest
import torch

from ntk_theory import data, kernels, predictions, targets
from ntk_theory.losses import LOSSES, PLAIN, Descent, Mixing, cosine
from ntk_theory.minibatch import Job, _Run, train
from ntk_theory.network import initialise
from ntk_theory.training import train as full_batch

POINTS = 24


def job(mixing=PLAIN, seed=0, classes=3):
    rng = np.random.default_rng(5)
    rows = data.unit_rows(rng.standard_normal((POINTS + 8, 6)))
    labels = data.encode(rng.integers(0, classes, POINTS), classes).reshape(POINTS, -1)
    return Job(rows[:POINTS], labels, rows[POINTS:], mixing, seed)


def ends(*jobs, width=64, **descent):
    how = Descent(**({"epochs": 6, "batch": 5, "rate": 2.0} | descent))
    return train(jobs, how, width=width, dtype="float64")


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("loss", ["square", "cross-entropy"])
def test_a_batch_of_all_points_is_gradient_descent(layers, loss):
    """The mean loss at n times the rate is the loss of `training`."""
    one = job()
    (found,) = ends(one, epochs=9, batch=POINTS, rate=0.2 * POINTS, layers=layers, loss=loss)
    start = initialise(64, 6, seeds=[0], outputs=3)
    alone = full_batch(start, one.inputs, one.observed, targets.PLAIN, learning_rate=0.2,
                       steps=9, layers=layers, loss=loss)  # fmt: skip
    last = np.asarray(alone.outputs)[0, -1]
    expected = last if loss == "square" else np.exp(last) / np.exp(last).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.trained, expected, rtol=0, atol=1e-12)


def test_a_step_is_that_of_torch():
    """Gradients, momentum, decay and the schedule, against autograd and torch.optim.SGD."""
    one, epochs = job(Mixing(0.3, "soft", temperature=2.0)), 4
    how = {"epochs": epochs, "batch": 5, "rate": 1.5, "schedule": cosine, "momentum": 0.9}
    (found,) = ends(one, decay=1e-2, **how)
    net = initialise(64, 6, seeds=[0], outputs=3)
    weights = [net.hidden[0].clone().requires_grad_(), net.output[0].clone().requires_grad_()]
    optimiser = torch.optim.SGD(weights, lr=1.5, momentum=0.9, weight_decay=1e-2)
    inputs, observed = torch.from_numpy(one.inputs), torch.from_numpy(one.observed)

    def outputs(rows):
        return (rows @ weights[0].T).relu() @ weights[1].T / 8

    rng, steps = np.random.default_rng((0, 1)), math.ceil(POINTS / 5)
    for epoch in range(epochs):
        order = rng.permutation(POINTS)
        for place, part in enumerate(np.array_split(order, steps)):
            for group in optimiser.param_groups:
                group["lr"] = 1.5 * cosine((epoch + place / steps) / epochs)
            chosen = part
            logits = outputs(inputs[chosen])
            taught = (logits.detach() / 2).softmax(dim=1)
            mixed = 0.7 * observed[chosen] + 0.3 * taught
            loss = -(mixed * logits.log_softmax(dim=1)).sum(dim=1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    expected = outputs(inputs).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found.trained, expected, rtol=0, atol=1e-12)


def test_minibatches_are_of_nearly_the_same_size(monkeypatch):
    """A last one of one point would be the agreement of a label with itself, at full weight."""
    sizes = []
    step = _Run.step
    monkeypatch.setattr(
        _Run,
        "step",
        lambda run, chosen, *rest: sizes.append(chosen.shape[1]) or step(run, chosen, *rest),
    )
    ends(job(), batch=23, epochs=1)
    assert sizes == [12, 12]


def test_nets_together_are_those_alone():
    """Products of stacked nets may be summed in another order."""
    jobs = [job(mixing, seed) for seed in (1, 2) for mixing in (PLAIN, *LOSSES.values())]
    for one, found in zip(jobs, ends(*jobs), strict=True):
        (alone,) = ends(one)
        np.testing.assert_allclose(found.trained, alone.trained, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(found.seen, alone.seen)
        np.testing.assert_array_equal(found.fresh, alone.fresh)


def test_weights_of_predictions_are_constants_or_agreements():
    steady, agreeing, scaled, held, late = ends(
        job(Mixing(0.2, "soft")), job(Mixing(1.0, agreement="batch")),
        job(Mixing(0.9, agreement="batch")), job(Mixing(1.0, agreement="data")),
        job(Mixing(0.2, after=4)),
        batch=POINTS,
    )  # fmt: skip
    np.testing.assert_allclose(steady.weights, 0.2)
    np.testing.assert_array_equal(late.weights, [0, 0, 0, 0, 0.2, 0.2])
    labels = job().observed.argmax(axis=1)
    for one, factor in ((agreeing, 1.0), (scaled, 0.9), (held, 1.0)):
        agreed = (one.seen[:-1] == labels).mean(axis=1)
        # Outputs of the first step are 0 but for rounding.
        np.testing.assert_allclose(one.weights[1:], factor * agreed[1:])


def test_a_supplied_prediction_is_that_of_the_start_of_the_epoch():
    """In an epoch of one step it is the current one; in an epoch of many it is not."""
    now, held = Mixing(0.5, "soft"), Mixing(0.5, "soft", held=True)
    one, other = (found.trained for found in ends(job(now), job(held), batch=POINTS))
    np.testing.assert_array_equal(one, other)
    one, other = (found.trained for found in ends(job(now), job(held), batch=4))
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("batch", [2, 5, 20])
def test_agreement_over_minibatches_keeps_the_predicted_weight_of_a_wrong_label(batch):
    """Mean over 4000 minibatches, within five standard errors."""
    rng, wrong, points = np.random.default_rng(batch), 6, 20
    clean = np.arange(points) >= wrong
    weights = [
        1 - clean[chosen].mean()
        for chosen in (rng.permutation(points)[:batch] for _ in range(4000))
        if not clean[chosen[0]]
    ]
    predicted = predictions.minibatch_weight(wrong / points, points, batch)
    error = np.std(weights) / math.sqrt(len(weights))
    assert abs(np.mean(weights) - predicted) <= 5 * error + 1e-12


def test_a_net_without_decay_memorises_and_one_with_much_does_not():
    labels = job().observed.argmax(axis=1)
    free, decayed = (ends(job(), epochs=150, decay=decay, width=256)[0] for decay in (0.0, 0.1))
    assert (free.seen[-1] == labels).all()
    assert (decayed.seen[-1] == labels).mean() < 0.8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"rate": 0.0}, "rate must be"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ends(job(), **change)


def test_cross_entropy_needs_a_column_for_each_class():
    with pytest.raises(ValueError, match="cross-entropy needs one-hot rows"):
        ends(job(classes=2))


def test_a_mixture_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="weight must lie in"):
        Mixing(1.2)
    with pytest.raises(ValueError, match="temperature"):
        Mixing(0.2, "soft", temperature=0.0)


def test_a_net_that_diverges_is_no_result():
    with pytest.raises(RuntimeError, match="training diverged in epoch"):
        ends(job(), rate=1e6, loss="square")


def test_outputs_of_one_column_are_hardened_by_their_sign():
    one = job(Mixing(1.0, agreement="data"), classes=2)
    (found,) = ends(one, loss="square", batch=POINTS, rate=4.0)
    signs = np.where(found.seen[-1] == 0, 1.0, -1.0)
    np.testing.assert_array_equal(signs, np.where(found.trained[:, 0] < 0, -1.0, 1.0))


def test_the_kernel_does_not_move_where_agreement_ends():
    """Nets of two kernels come to the same targets: only the mean weight of labels counts."""
    for ratio in (8.0, 30.0):
        design = data.equicorrelated_clusters(2, 10, ratio=ratio)
        rng = np.random.default_rng(1)
        dataset = data.noisy_labels(design, noise_rate=0.2, rng=rng)
        top = float(np.linalg.eigvalsh(kernels.ntk_limit(dataset.inputs))[-1])
        how = {"epochs": int(30 * ratio), "batch": 5, "rate": 2.5 / top, "schedule": cosine}
        mixing = Mixing(1.0, agreement="batch", after=6)
        jobs = [
            Job(dataset.inputs, dataset.observed[:, None], dataset.inputs[:1], mixing, seed)
            for seed in range(6)
        ]
        found = ends(*jobs, width=256, layers="first", loss="square", **how)
        errors = [np.sqrt(np.square(one.trained[:, 0] - dataset.clean).mean()) for one in found]
        predicted = 2 * math.sqrt(0.2) * predictions.minibatch_weight(0.2, 20, 5)
        # Six nets of about a percent: four standard errors.
        assert abs(np.mean(errors) - predicted) <= 4 * np.std(errors) / math.sqrt(5) + 1e-3
