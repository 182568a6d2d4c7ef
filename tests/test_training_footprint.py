"""What a training is said to take is what it takes."""

import pytest
import torch

from ntk_theory.machine.resources import limited_memory
from ntk_theory.network import initialise
from ntk_theory.training.dense import Blocks, block_size
from ntk_theory.training.footprint import Footprint, matrix_rate
from ntk_theory.training.points import Points


@pytest.mark.parametrize(("points", "features"), [(10, 40), (40, 10), (20, 10), (21, 10)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_state_of_a_net_has_the_size_that_is_planned(points, features, dtype):
    plan = Footprint(points, features, 64, dtype)
    kind = getattr(torch, dtype)
    inputs = torch.randn(points, features, generator=torch.Generator().manual_seed(0)).to(kind)
    net = initialise(64, features, seeds=[0], dtype=kind)
    (block,) = Blocks(Points(inputs), net.blocks(64), 64).blocks
    state = {name: part for name, part in block.state.items() if name != "a"}
    assert ("w" in state) == plan.weights_move == (points > 2 * features)
    held = [*state.values(), *([block.active] if plan.weights_move else [])]
    assert plan.growing == sum(part.numel() * part.element_size() for part in held)
    assert plan.block == block_size(points, 1, 64, plan.itemsize) == 64
    # Two products with X, or one with its Gram matrix.
    product = 2 * points * features if points > 2 * features else points**2
    assert plan.operations == 2 * product * 64


def test_without_room_for_patterns_a_third_product_takes_their_place():
    plan = Footprint(40, 10, 64, "float64")
    assert plan.operations == 2 * 2 * 40 * 10 * 64
    assert plan.growing == 8 * 10 * 64 + 40 * 64
    with limited_memory(4 * 40 * 64 - 1.0):
        assert plan.operations == 3 * 2 * 40 * 10 * 64
        assert plan.growing == 8 * 10 * 64


def test_what_does_not_fit_is_refused_with_the_plan():
    plan = Footprint(40, 10, 2**20, "float32")
    plan.check()
    with (
        limited_memory(2.0**20),
        pytest.raises(ValueError, match=r"0\.0 GiB that there are \(float32, weights in blocks of"),
    ):
        plan.check()


def test_the_rate_of_products_is_that_of_a_machine():
    assert 1e8 < matrix_rate("float32", "cpu") < 1e16


def test_a_gpu_takes_larger_blocks():
    plan = Footprint(50_000, 3072, 65_536, "tf32", "cuda:1")
    # Of 50 000 numbers of four bytes a gibibyte holds 5368.
    assert plan.block == 4096
    assert Footprint(50_000, 3072, 65_536, "tf32").block == 256
    assert plan.itemsize == 4
