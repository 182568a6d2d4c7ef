"""Softmax cross-entropy and one learning rate a step, against automatic differentiation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ntk_theory import kernels
from ntk_theory.network import initialise
from ntk_theory.targets import PLAIN, Agreement, BurnIn, Constant, Distillation, Geometric, Power
from ntk_theory.training import train, train_kernel_limit
from strategies import EPS, rngs

# ---------------------------------------------------------------- an oracle


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def taught(distillation, scores, loss):
    """The label that a teacher's outputs teach, in the words of section 4."""
    if distillation.target == "hard":
        return (scores == scores.max(axis=1, keepdims=True)).astype(float)
    if distillation.target == "tempered":
        return softmax(scores / distillation.temperature)
    return scores if loss == "square" else softmax(scores)


def autograd(net, inputs, observed, distillation, rates, layers, loss):
    """Outputs u_0 .. u_T of gradient descent on the weights of one net, and Σ_t Σ_i |residual|."""
    x = torch.as_tensor(inputs)
    weights = [net.hidden[0].clone().requires_grad_(), net.output[0].clone().requires_grad_()]

    def outputs():
        return torch.relu(x @ weights[0].T) @ weights[1].T / math.sqrt(net.width)

    # The two terms of a pair cancel (section 1).
    history = [outputs().detach().numpy() * (not net.antisymmetric)]
    push, epoch, schedule = 0.0, distillation.epoch, distillation.schedule
    for step, rate in enumerate(rates):
        teacher = history[step if epoch is None else max(step // epoch - 1, 0) * epoch]
        if isinstance(schedule, Agreement):
            alpha = 1 - (taught(Distillation(schedule), teacher, loss) == observed).all(1).mean()
        else:
            alpha = schedule.weight(step)
        label = taught(distillation, teacher, loss)
        target = torch.as_tensor(alpha * observed + (1 - alpha) * label)
        scores = outputs()
        if loss == "square":
            value = (scores - target).square().sum() / 2
        else:
            value = torch.nn.functional.cross_entropy(scores, target, reduction="sum")
        gradients = torch.autograd.grad(value, [scores, *weights])
        with torch.no_grad():
            weights[0] -= rate * gradients[1]
            if layers == "both":
                weights[1] -= rate * gradients[2]
        history.append(outputs().detach().numpy())
        push += float(gradients[0].abs().sum())
    return np.array(history), push


def rounding(net, inputs, rates, layers, push):
    """How far two programs may lie apart for rounding alone.

    Each step rounds pre-activations and the sum over neurons, eps √m ‖w‖‖x‖ either (section 11)
    and from either program; a step with ηλ_max <= 1 does not enlarge errors, the Hessian of
    cross-entropy in the outputs being at most 1/2; the mixed second derivatives of both layers
    enlarge them by at most 1 + η m^{-1/2} Σ|residual|‖x‖ a step.
    """
    root = math.sqrt(net.width)
    norm = np.linalg.norm(inputs, axis=1).max()
    size = float(net.hidden.norm(dim=2).max()) * norm
    growth = math.exp(max(rates) * push * norm / root) if layers == "both" else 1.0
    return 2 * EPS * (len(rates) + 1) * root * size * growth


def problem(rng, *, points=6, dimension=5, width=40, classes=3, antisymmetric=True):
    inputs = rng.standard_normal((points, dimension))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    labels = np.eye(classes)[rng.integers(0, classes, points)]
    seeds = [int(seed) for seed in rng.integers(0, 2**31, 1)]
    net = initialise(width, dimension, seeds=seeds, outputs=classes, antisymmetric=antisymmetric)
    # ‖X‖² C bounds the NTK of the first layer, ‖X‖² ‖W‖²/m what the second adds.
    top = net.outputs + float(torch.linalg.matrix_norm(net.hidden, 2)) ** 2 / width
    return net, inputs, labels, 1 / (top * np.linalg.norm(inputs, 2) ** 2)


def agree(net, inputs, labels, distillation, rates, layers, loss, scalar=None):
    """Whether training makes the oracle's outputs."""
    expected, push = autograd(net, inputs, labels, distillation, rates, layers, loss)
    trajectory = train(
        net,
        inputs,
        labels,
        distillation,
        learning_rate=rates if scalar is None else scalar,
        steps=len(rates),
        layers=layers,
        loss=loss,
    )
    assert trajectory.diverged is None
    allowed = rounding(net, inputs, rates, layers, push)
    assert allowed < 1e-11
    np.testing.assert_allclose(trajectory.outputs[0], expected, rtol=0, atol=allowed)


# Hard targets jump where two classes tie; on generic data that happens at the first step of an
# antisymmetric net only, which takes plain training here (α_0 = 1).
schedules = st.sampled_from(
    [Power(3.0), BurnIn(2, Constant(0.3)), Geometric(2.0), BurnIn(1, Power(1.0, 2.0))]
)


# ---------------------------------------------------------------- the oracle's trajectories


@given(
    rngs,
    schedules,
    st.sampled_from(["hard", "soft", "tempered"]),
    st.sampled_from([None, 2, 3]),
    st.sampled_from(["first", "both"]),
    st.integers(2, 5),
    st.integers(2, 9),
)
def test_cross_entropy_is_that_of_automatic_differentiation(
    rng, schedule, target, epoch, layers, classes, steps
):
    # A lagged teacher of a pairwise start teaches the tie itself; a plain start has none.
    net, inputs, labels, rate = problem(rng, classes=classes, antisymmetric=epoch is None)
    distillation = Distillation(schedule, target, 1.7, epoch)
    agree(net, inputs, labels, distillation, [rate] * steps, layers, "cross-entropy", rate)


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("loss", ["square", "cross-entropy"])
def test_the_agreement_schedule_and_hard_targets_are_those_of_the_oracle(layers, loss):
    net, inputs, labels, rate = problem(np.random.default_rng(3), antisymmetric=False)
    agree(net, inputs, labels, Distillation(Agreement()), [rate] * 8, layers, loss, rate)


@given(rngs, st.sampled_from(["first", "both"]), st.sampled_from(["square", "cross-entropy"]))
def test_every_step_has_its_own_learning_rate(rng, layers, loss):
    net, inputs, labels, rate = problem(rng)
    # One step in four stands still.
    rates = rate * rng.uniform(0, 1, 8) * (rng.integers(0, 4, 8) > 0)
    rates[0] = rate
    agree(net, inputs, labels, PLAIN, list(rates), layers, loss)


def test_steps_of_rate_zero_stand_still():
    net, inputs, labels, rate = problem(np.random.default_rng(0))
    outputs = train(net, inputs, labels, PLAIN, learning_rate=[rate, 0.0, rate], steps=3).outputs
    np.testing.assert_array_equal(outputs[:, 2], outputs[:, 1])
    assert (outputs[:, 3] != outputs[:, 2]).any()


def test_equal_rates_are_one_rate_bit_for_bit():
    net, inputs, labels, rate = problem(np.random.default_rng(1))
    one, many = (
        train(net, inputs, labels, PLAIN, learning_rate=given_, steps=5).outputs
        for given_ in (rate, np.full(5, rate))
    )
    np.testing.assert_array_equal(one, many)


# ---------------------------------------------------------------- what cross-entropy teaches


@pytest.mark.parametrize("classes", range(2, 12))
@pytest.mark.parametrize("target", ["hard", "soft", "tempered"])
def test_a_net_that_predicts_nothing_and_sees_no_labels_makes_no_step(classes, target):
    # All three predictions of equal outputs are 1/C, and no rounding of them may be taught.
    net, inputs, labels, rate = problem(np.random.default_rng(classes), classes=classes)
    trajectory = train(
        net,
        inputs,
        labels,
        Distillation(Constant(0.0), target),
        learning_rate=rate,
        steps=3,
        loss="cross-entropy",
    )
    assert not trajectory.outputs.any()


def test_outputs_stay_centred_under_cross_entropy_in_the_kernel_limit():
    # softmax − z sums to 0 over the classes, and every class has the same kernel.
    _, inputs, labels, _ = problem(np.random.default_rng(2))
    gram = kernels.ntk_limit(inputs)
    outputs = train_kernel_limit(
        gram, labels, PLAIN, learning_rate=1.0, steps=50, loss="cross-entropy"
    )
    # 50 steps round numbers of size 10 at most.
    assert np.abs(outputs.sum(axis=2)).max() < 50 * 10 * len(gram) * EPS


@pytest.mark.parametrize("loss", ["square", "cross-entropy"])
def test_nets_approach_the_kernel_recursion_of_their_loss(loss):
    _, inputs, labels, _ = problem(np.random.default_rng(4))
    gram = kernels.ntk_limit(inputs)
    rates = np.linspace(1, 0.2, 20) / np.linalg.eigvalsh(gram)[-1]
    options = {"learning_rate": rates, "steps": 20, "loss": loss}
    limit = train_kernel_limit(gram, labels, PLAIN, **options)
    apart = []
    for width in (256, 16384):
        net = initialise(width, inputs.shape[1], seeds=range(8), outputs=3)
        outputs = train(net, inputs, labels, PLAIN, keep_network=False, **options).outputs
        apart.append(float(np.sqrt(np.square(outputs - limit).mean())))
    # m^{-1/2} is a factor 8; eight nets scatter by some 20 %. A recursion of the other loss would
    # stay away, at a factor 1.
    assert 4 < apart[0] / apart[1] < 16


def test_the_two_losses_differ():
    _, inputs, labels, _ = problem(np.random.default_rng(5))
    gram = kernels.ntk_limit(inputs)
    square, entropy = (
        train_kernel_limit(gram, labels, PLAIN, learning_rate=0.2, steps=5, loss=loss)
        for loss in ("square", "cross-entropy")
    )
    # The first step: u_1 = η H (z − u_0) against η H (z − 1/C).
    np.testing.assert_allclose(square[1] - entropy[1], 0.2 * gram @ np.full((6, 3), 1 / 3))
    assert np.abs(square[-1] - entropy[-1]).max() > 0.01


# ---------------------------------------------------------------- divergence and refusals


def test_cross_entropy_that_fits_the_labels_or_unlearns_them_is_no_divergence():
    net, inputs, labels, rate = problem(np.random.default_rng(6), antisymmetric=False)
    unlearning = Distillation(BurnIn(1, Constant(0.0)))
    for distillation in (PLAIN, unlearning):
        trajectory = train(
            net,
            inputs,
            labels,
            distillation,
            learning_rate=rate,
            steps=400,
            loss="cross-entropy",
            keep_network=False,
        )
        assert trajectory.diverged is None


@pytest.mark.parametrize(
    ("factor", "message"), [(1e5, "4/lambda_max"), (1e300, "outputs are not finite")]
)
def test_a_divergence_of_cross_entropy_ends_training_and_is_explained(factor, message):
    # Copies of one input with different labels cannot be fitted: outputs of a huge rate swing.
    net, inputs, labels, rate = problem(np.random.default_rng(7))
    inputs[1:3], labels[:3] = inputs[0], np.eye(3)
    trajectory = train(
        net,
        inputs,
        labels,
        PLAIN,
        learning_rate=factor * rate,
        steps=60,
        layers="both",
        loss="cross-entropy",
    )
    assert trajectory.diverged is not None
    assert message in trajectory.diverged
    assert np.isfinite(trajectory.outputs).all()


def test_a_large_initial_output_is_no_divergence_of_cross_entropy():
    net, inputs, labels, rate = problem(np.random.default_rng(8), antisymmetric=False)
    large = type(net)(1000 * net.hidden, net.output)
    trajectory = train(
        large, inputs, labels, PLAIN, learning_rate=rate, steps=3, loss="cross-entropy"
    )
    assert trajectory.diverged is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hinge"}, "loss must be 'square' or 'cross-entropy'; got 'hinge'"),
        (
            {"observed": [[0.5, 0.6, 0.0]] * 6, "loss": "cross-entropy"},
            "observed must be a distribution over the classes in every row",
        ),
        (
            {"observed": [[1.5, -0.5, 0.0]] * 6, "loss": "cross-entropy"},
            "observed must be a distribution over the classes in every row",
        ),
        (
            {"learning_rate": np.ones(4)},
            r"\(5,\); got the shape \(4,\); give a number, or one rate",
        ),
        ({"learning_rate": np.ones((5, 1))}, r"got the shape \(5, 1\)"),
        ({"learning_rate": [0.1, 0.1, -0.1, 0.1, 0.1]}, "finite and not negative at every step"),
        (
            {"learning_rate": [0.1, 0.1, math.nan, 0.1, 0.1]},
            "must be finite; got nan",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    net, inputs, labels, rate = problem(np.random.default_rng(9))
    arguments = {"observed": labels, "learning_rate": rate, "steps": 5} | change
    observed = arguments.pop("observed")
    with pytest.raises(ValueError, match=message):
        train(net, inputs, observed, PLAIN, **arguments)
    gram = kernels.ntk_limit(inputs)
    with pytest.raises(ValueError, match=message):
        train_kernel_limit(gram, observed, PLAIN, **arguments)


def test_cross_entropy_with_one_output_is_refused():
    net = initialise(4, 2, seeds=[0])
    with pytest.raises(ValueError, match="'cross-entropy' needs at least two outputs"):
        train(
            net,
            np.eye(2),
            [1.0, -1.0],
            PLAIN,
            learning_rate=0.1,
            steps=1,
            loss="cross-entropy",
        )
