"""Trained weights of nearly equal inputs, against gradient descent on the weights, written out."""

import itertools
import math
from concurrent.futures import CancelledError

import numpy as np
import pytest
import torch

from ntk_theory import training
from ntk_theory.network import initialise
from ntk_theory.targets import PLAIN, BurnIn, Constant, Distillation
from ntk_theory.training import train
from ntk_theory.training.checkpoints import Checkpoints, checkpointed
from ntk_theory.training.dense import Blocks
from ntk_theory.training.footprint import Footprint
from ntk_theory.training.points import Points

STEPS, RATE, WIDTH = 8, 0.1, 64
SEPARATIONS = [0.0, *(10.0**exponent for exponent in range(-14, 0))]
# Points and dimensions at which pre-activations move, and at which weights do: in the whole space,
# and in that of fewer dimensions that the points span.
SHAPES = {"z": (8, 12), "w": (14, 5), "w in a span": (14, 20)}
# The pseudo-inverse is used where it loses no more digits than this: 10^{3/2} or 10³ of cond(X).
ROUNDING = {
    torch.float32: 32 * float(np.finfo(np.float32).eps),
    torch.float64: 1000 * float(np.finfo(float).eps),
}


def near_copies(form, separation, dtype=torch.float64, *, every=False):
    """Unit rows in general position but for two, or every two, that are so far apart."""
    points, features = SHAPES[form]
    rng = np.random.default_rng(3)
    rank = features if form != "w in a span" else 5
    turn = np.linalg.qr(rng.standard_normal((features, rank)))[0].T
    rows = rng.standard_normal((points, rank))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for copy in range(1, points if every else 2, 2):
        across = rng.standard_normal(rank)
        across -= (across @ rows[copy - 1]) * rows[copy - 1]
        rows[copy] = rows[copy - 1] + separation * across / np.linalg.norm(across)
    rows = torch.as_tensor(rows @ turn, dtype=dtype)
    return rows.double().numpy()


def descent(net, inputs, targets, layers, rates):
    """Gradient descent on the weights of the only net, in float64; all outputs, and the weights."""
    w, a = net.hidden[0].double().numpy().copy(), net.output[0].double().numpy().copy()
    root = math.sqrt(net.width)
    curve = []
    for rate in [*rates, None]:
        z = inputs @ w.T
        u = np.maximum(z, 0) @ a.T / root
        curve.append(u)
        if rate is not None:
            push = rate * (u - targets) / root
            w_step, a_step = ((push @ a) * (z > 0)).T @ inputs, push.T @ np.maximum(z, 0)
            w = w - w_step
            a = a - a_step if layers == "both" else a
    return np.stack(curve), w, a


def trained_both_ways(form, separation, dtype, layers, classes=1, *, every=False, rates=None):
    """The same training by the package and written out, with the largest difference of each."""
    inputs = near_copies(form, separation, dtype, every=every)
    rng = np.random.default_rng(4)
    targets = rng.choice([-1.0, 1.0], (len(inputs), classes))
    targets[1] = -targets[0]
    net = initialise(WIDTH, inputs.shape[1], seeds=[0], outputs=classes, dtype=dtype)
    rates = np.full(STEPS, RATE) if rates is None else rates
    labels = targets[:, 0] if classes == 1 else targets
    found = train(net, inputs, labels, PLAIN, learning_rate=rates, steps=STEPS, layers=layers)
    curve, w, a = descent(net, inputs, targets, layers, rates)
    moved = np.linalg.norm(w - net.hidden[0].double().numpy(), axis=1)
    # Fresh directions, and the one that tells the nearly equal rows apart.
    fresh = rng.standard_normal((20, inputs.shape[1]))
    across = inputs[0] - inputs[1]
    fresh[0] = across if across.any() else fresh[0]
    fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
    expected = np.maximum(fresh @ w.T, 0) @ a.T / math.sqrt(WIDTH)
    outputs = found.network(fresh)[0].reshape(20, classes)
    return {
        "outputs": np.abs(found.outputs[0].reshape(curve.shape) - curve).max(),
        "weights": np.abs(found.network.hidden[0].double().numpy() - w).max(),
        "output weights": np.abs(found.network.output[0].double().numpy() - a).max(),
        "fresh outputs": np.abs(np.asarray(outputs) - expected).max(),
        "movement": abs(found.movement[0] - moved.max()),
        "distance": abs(found.distance[0] - np.linalg.norm(moved)) / math.sqrt(WIDTH),
    }


def allowed(dtype):
    """A step rounds numbers below 4 by eps of them, and no step enlarges the errors before it."""
    return 4 * STEPS * ROUNDING[dtype]


@pytest.mark.parametrize("form", SHAPES)
@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_of_a_trained_net_is_as_right_as_its_outputs_however_near_its_inputs(
    form, layers, dtype
):
    for separation, classes in itertools.product(SEPARATIONS, (1, 2)):
        apart = trained_both_ways(form, separation, dtype, layers, classes)
        assert max(apart.values()) <= allowed(dtype), (separation, classes, apart)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_changing_rates_and_copies_of_every_input_make_no_difference(dtype):
    rates = np.array([0.2, 0.0, 0.1, 0.3, 0.05, 0.0, 0.2, 0.1])
    for separation in SEPARATIONS:
        apart = trained_both_ways("z", separation, dtype, "both", every=True, rates=rates)
        assert max(apart.values()) <= allowed(dtype), (separation, apart)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nets_on_copies_and_on_near_copies_are_nearly_the_same(dtype):
    nets = []
    for separation in (0.0, 1e-14 if dtype is torch.float64 else 1e-5):
        inputs = near_copies("z", separation, dtype)
        net = initialise(WIDTH, inputs.shape[1], seeds=[0], dtype=dtype)
        signs = np.where(np.arange(len(inputs)) % 2 == 0, 1.0, -1.0)
        nets.append(train(net, inputs, signs, PLAIN, learning_rate=RATE, steps=STEPS).network)
    fresh = np.random.default_rng(0).standard_normal((50, 12))
    fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
    one, other = (np.asarray(net(fresh)) for net in nets)
    # Weights have moved by the separation along its own direction, and by rounding.
    assert np.abs(one - other).max() <= allowed(dtype) + 1e-5 * (dtype is torch.float32)


# ---------------------------------------------------------------- what it takes


@pytest.mark.parametrize(
    ("separation", "dtype", "summed"),
    [
        (0.0, torch.float64, False),  # copies: singular values are large or none
        (1e-13, torch.float64, True),
        (1e-4, torch.float64, True),
        (1e-3, torch.float64, True),
        (1e-2, torch.float64, False),
        (1e-14, torch.float32, False),
        (1e-6, torch.float32, True),
        (1e-2, torch.float32, True),
        (0.5, torch.float32, False),
    ],
)
def test_pulls_are_summed_where_the_inputs_are_nearly_dependent_only(separation, dtype, summed):
    inputs = near_copies("z", separation, dtype)
    points = Points(torch.as_tensor(inputs, dtype=dtype))
    assert points.sums_pulls is summed
    net = initialise(WIDTH, 12, seeds=[0], dtype=dtype)
    (block,) = Blocks(points, net.blocks(WIDTH), WIDTH).blocks
    held = {name: part for name, part in block.state.items() if name != "a"}
    assert held.keys() == ({"z", "pulls"} if summed else {"z"})
    name = str(dtype).removeprefix("torch.")
    plan = Footprint.of(inputs, WIDTH, name, rates=np.ones(1))
    assert plan.sums_pulls is summed
    assert plan.growing == sum(part.numel() * part.element_size() for part in held.values())


def test_weights_that_move_need_no_sums():
    inputs = near_copies("w", 1e-10)
    assert not Points(torch.as_tensor(inputs)).sums_pulls
    assert not Footprint.of(inputs, WIDTH, "float64", rates=np.ones(1)).sums_pulls


def run(on_step=None, width=300, **options):
    inputs = near_copies("z", 1e-9)
    net = initialise(width, 12, seeds=[4, 5], antisymmetric=False)
    signs = np.where(np.arange(len(inputs)) % 3 == 0, 1.0, -1.0)
    distillation = options.pop("distillation", PLAIN)
    options = {"learning_rate": RATE, "steps": STEPS, "layers": "both"} | options
    return train(net, inputs, signs, distillation, on_step=on_step, **options)


def assert_same(one, other):
    for name in ("outputs", "movement", "distance"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert torch.equal(one.network.hidden, other.network.hidden)


def test_a_training_on_near_copies_that_is_killed_is_taken_up_where_it_was(tmp_path):
    def watch(step):
        if step == 5:
            raise CancelledError

    expected = run()
    with checkpointed(Checkpoints.open(tmp_path / "states", {}, interval=1e9)):
        with pytest.raises(CancelledError):
            run(watch)
        assert_same(run(), expected)


def test_a_restart_forgets_the_pulls_before_it():
    # Weights that are those of the outputs: pulls from before the restart would be in them, too.
    taught = Distillation(BurnIn(4, Constant(0.5)), epoch=4, restart=True)
    restarted = run(distillation=taught)
    inputs = near_copies("z", 1e-9)
    for s in range(2):
        hidden, output = (part[s].numpy() for part in vars(restarted.network).values())
        outputs = np.maximum(inputs @ hidden.T, 0) @ output.T / math.sqrt(300)
        np.testing.assert_allclose(outputs[:, 0], restarted.outputs[s, -1], atol=1e-11)


def test_blocks_of_neurons_make_no_difference(monkeypatch):
    whole = run(width=2048, layers="first")
    monkeypatch.setitem(training.dense._BLOCK_BYTES, "cpu", 2**10)
    parts = run(width=2048, layers="first")
    np.testing.assert_allclose(parts.network.hidden, whole.network.hidden, atol=1e-12)
    np.testing.assert_allclose(parts.movement, whole.movement, rtol=1e-12)


# ---------------------------------------------------------------- the span of the inputs


def test_the_span_leaves_no_more_of_a_row_than_rounding_has_changed_of_it():
    # In float32 many rows make σ_max, and two that differ by 1e-6 a singular value of 1e-6 σ_max/√n
    # only: the difference is no rounding.
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((40, 10)))[0].T
    rows = rng.standard_normal((100, 10))
    rows[:, 9] = 0
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rounded = torch.as_tensor(rows @ turn, dtype=torch.float32)
    assert Points(rounded).rank == 9
    rows[1] = rows[0]
    rows[1, 9] = 1e-6
    near = torch.as_tensor(rows @ turn, dtype=torch.float32)
    points = Points(near)
    assert points.rank == 10
    left = near.double() - near.double() @ points.basis @ points.basis.mT
    eps = float(np.finfo(np.float32).eps)
    assert (left.norm(dim=1) <= eps * near.double().norm(dim=1)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(30, 60), (30, 20), (50, 20)])
@pytest.mark.parametrize("rank", [1, 5, 20])
def test_the_rank_of_products_of_thin_matrices_is_their_width(dtype, shape, rank):
    rng = np.random.default_rng(rank)
    rows = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    assert Points(torch.as_tensor(rows, dtype=dtype)).rank == rank
