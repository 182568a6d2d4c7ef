"""Products of fewer bits than the weights they are of."""

import numpy as np
import pytest
import torch

from ntk_theory import verify
from ntk_theory.network import initialise
from ntk_theory.targets import PLAIN, BurnIn, Distillation, Power
from ntk_theory.training import train
from ntk_theory.training.dense import Pull
from ntk_theory.training.points import Points
from ntk_theory.training.products import PRECISIONS, rounded, storage, tensor_cores

HALF_UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "tf32": 2.0**-11, "bf16": 2.0**-8}


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_factors_are_rounded_to_nearest(precision):
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0)) * 1e3
    found = rounded(values, precision)
    relative = ((found - values) / values).abs().max().item()
    # Random numbers come close to the bound that each of them keeps.
    assert 0.95 * HALF_UNITS[precision] < relative <= HALF_UNITS[precision]
    assert torch.equal(rounded(found, precision), found)
    assert torch.equal(rounded(-values, precision), -found)


def test_sixteen_bits_are_those_of_bfloat16_ties_included():
    steps = torch.arange(256, dtype=torch.int32) << 15  # halves of the last bit that is kept
    values = (steps + 0x3F800000).view(torch.float32)
    assert torch.equal(rounded(values, "bf16"), values.bfloat16().float())


def test_numbers_of_full_precision_are_left_alone():
    values = torch.randn(5, dtype=torch.float64)
    assert rounded(values, "float64") is values
    assert rounded(values.float(), "float32").dtype is torch.float32


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_gpu_takes_tensor_cores_for_fewer_bits_alone_and_only_meanwhile(precision):
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    with tensor_cores(precision):
        assert matmul.allow_tf32 is (before or precision in ("tf32", "bf16"))
    assert matmul.allow_tf32 is before


@pytest.mark.parametrize("layers", ["first", "both"])
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("dimension", [5, 40])
def test_nets_err_by_as_much_as_the_bits_that_products_drop(dimension, classes, layers):
    rng = np.random.default_rng(classes)
    inputs = rng.standard_normal((30, dimension))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    labels = np.sign(rng.standard_normal(30)) if classes == 1 else np.eye(3)[rng.integers(0, 3, 30)]
    distillation = Distillation(BurnIn(3, Power(5.0)), target="soft")

    def outputs(precision):
        net = initialise(256, dimension, seeds=[1], outputs=classes, dtype=storage(precision))
        options = {"learning_rate": 0.1, "steps": 20, "layers": layers, "precision": precision}
        return train(net, inputs, labels, distillation, **options).outputs

    exact = outputs("float64")
    errors = {name: np.abs(outputs(name) - exact).max() for name in PRECISIONS[1:]}
    assert errors["float32"] < errors["tf32"] < errors["bf16"]
    for name, error in errors.items():
        # Errors of a factor add up at random over the steps, and a flip moves an output by 1/256.
        assert error <= 40 * HALF_UNITS[name]


@pytest.mark.parametrize("points", [8, 12])
def test_both_forms_round_what_they_multiply(points):
    inputs = torch.randn(points, 5, generator=torch.Generator().manual_seed(2))
    made = Points(inputs, "bf16")
    assert made.many is (points == 12)
    kept = made.factor_of_products
    assert torch.equal(kept, kept.bfloat16().float())
    residual = torch.randn(1, points, 1, generator=torch.Generator().manual_seed(3))
    factor = Pull.of(made, residual).factor
    assert torch.equal(factor, factor.bfloat16().float())


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [(torch.float64, "bf16"), (torch.float64, "float32"), (torch.float32, "float64")],
)
def test_precisions_that_the_weights_do_not_have_are_refused(dtype, precision):
    net = initialise(8, 2, seeds=[0], dtype=dtype)
    with pytest.raises(ValueError, match="precision must be 'float32', 'tf32' or 'bf16' for float"):
        train(net, np.eye(2), np.ones(2), PLAIN, learning_rate=0.1, steps=1, precision=precision)


def test_fewer_bits_are_refused_where_no_tolerance_is_made_for_them(capsys):
    assert verify.main(["convergence", "--preset", "quick", "--dtype", "bf16"]) == 2
    assert "dtype must be float32 or float64 for preset quick" in capsys.readouterr().err
