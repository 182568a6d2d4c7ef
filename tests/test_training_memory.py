"""Training in little memory is the same: nothing that is computed again comes out other."""

import numpy as np
import pytest
import torch

from ntk_theory import training
from ntk_theory.machine.resources import limited_memory, memory_limit
from ntk_theory.network import DrawnNets, initialise
from ntk_theory.targets import PLAIN, BurnIn, Distillation, Power
from ntk_theory.training import train

RNG = np.random.default_rng(5)
LABELS = {1: np.sign(RNG.standard_normal(9)), 3: np.eye(3)[RNG.integers(0, 3, 9)]}


def same(one, other):
    for name in ("outputs", "movement", "distance", "flipped_activations"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    if one.network is not None:
        assert torch.equal(one.network.hidden, other.network.hidden)


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("classes", [1, 3])
def test_activation_patterns_are_kept_if_there_is_room_and_found_anew_if_not(classes, layers):
    inputs = RNG.standard_normal((9, 3))
    net = initialise(40, 3, seeds=[1, 2], outputs=classes)
    for keeps in (True, False):
        (block,) = training.dense.Blocks(
            training.points.Points(torch.as_tensor(inputs)), net.blocks(40), 40, keeps=keeps
        ).blocks
        assert (block.active is not None) is keeps
    arguments = (net, inputs, LABELS[classes], PLAIN)
    options = {"learning_rate": 0.05, "steps": 12, "layers": layers}
    kept = train(*arguments, **options)
    # Two nets of 40 neurons on 9 points have 720 patterns; a quarter of the memory may hold them.
    with limited_memory(4 * 719.0):
        anew = train(*arguments, **options)
    same(anew, kept)


@pytest.mark.parametrize("dimension", [3, 20])
@pytest.mark.parametrize("keep", [True, False])
def test_drawn_nets_are_trained_like_kept_ones(dimension, keep, monkeypatch):
    monkeypatch.setitem(training.dense._BLOCK_BYTES, "cpu", 2**10)
    inputs = RNG.standard_normal((9, dimension))
    nets = DrawnNets(700, dimension, (1, 2))
    # Restarts draw them again.
    distillation = Distillation(BurnIn(2, Power(3.0)), epoch=4, restart=True)
    options = {"learning_rate": 0.05, "steps": 10, "keep_network": keep}
    drawn, kept = (
        train(net, inputs, LABELS[1], distillation, **options) for net in (nets, nets.keep())
    )
    same(drawn, kept)


def test_the_limit_holds_inside_its_context_only():
    before = memory_limit()
    assert before > 2**20
    with limited_memory(5.0):
        assert memory_limit() == 5.0
        with limited_memory(None):
            assert memory_limit() == before
    assert memory_limit() == before
