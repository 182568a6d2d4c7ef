"""What a caller has set of torch and numpy changes no result, and is as it was afterwards."""

import threading
import warnings
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch

from cases import toy
from ntk_theory import data, kernels, network, predictions, spectrum, training
from ntk_theory.claims import all_claims
from ntk_theory.machine import precision
from ntk_theory.machine.precision import own_precision
from ntk_theory.streaming import KernelOperator
from ntk_theory.targets import PLAIN, Agreement, BurnIn, Distillation, Geometric, weights
from ntk_theory.training import points
from ntk_theory.training.checkpoints import Checkpoints, checkpointed
from progress import Silent

DRAW = np.random.default_rng(0)
FEW, MANY = DRAW.standard_normal((6, 5)), DRAW.standard_normal((30, 3))
"""Inputs on which a step moves pre-activations, and weights."""
LARGE = DRAW.standard_normal((200, 300))
"""Small products have one way to be made only."""
FADING = Geometric(3.0)
SINGLE = torch.float32


def signs(inputs):
    return np.sign(np.random.default_rng(1).standard_normal(len(inputs)))


def one_hot(inputs):
    return np.eye(3)[np.random.default_rng(1).integers(3, size=len(inputs))]


def trained(inputs, taught=PLAIN, *, classes=2, drawn=False, dtype=torch.float64, **options):
    """All that a training records."""
    outputs, labels = (1, signs(inputs)) if classes == 2 else (classes, one_hot(inputs))
    nets = network.DrawnNets(16, inputs.shape[1], (1, 2), outputs, drawn, dtype=dtype)
    points._shared.clear()
    trajectory = training.train(
        nets if drawn else nets.keep(),
        inputs,
        labels,
        taught,
        learning_rate=0.05,
        steps=7,
        **options,
    )
    state = trajectory.state()
    state |= state.pop("network")
    return [np.asarray(values) for values in state.values() if values is not None]


def limit(classes=2, taught=PLAIN, **options):
    labels = signs(FEW) if classes == 2 else one_hot(FEW)
    gram = kernels.ntk_limit(FEW)
    return [
        training.train_kernel_limit(gram, labels, taught, learning_rate=0.1, steps=7, **options)
    ]


def outputs_of(dtype):
    nets = network.initialise(16, 3, seeds=[1, 2], antisymmetric=False, dtype=dtype)
    return [nets.hidden.numpy(), nets.output.numpy(), nets(MANY)]


def empirical(dtype):
    return [
        kernels.ntk_empirical(
            network.initialise(16, 3, seeds=[1], outputs=outputs, dtype=dtype), MANY, layers=layers
        )
        for layers in ("first", "both")
        for outputs in (1, 2)
    ]


def limits(dtype):
    close = np.vstack([MANY, MANY * (1 + 1e-9), -MANY, MANY + 1e-6])
    return [kernels.ntk_limit(rows, layers="both", dtype=dtype) for rows in (close, LARGE)]


def products(dtype):
    operators = [KernelOperator(MANY, memory=memory, dtype=dtype) for memory in (np.inf, 3e3)]
    return [operator @ signs(MANY) for operator in operators] + [operators[0].dense()]


def ends(end):
    found = spectrum.extreme_eigenpairs(
        KernelOperator(MANY), 2, rng=np.random.default_rng(0), end=end
    )
    return [found.values, found.vectors, found.residuals]


def closed_forms():
    """After so many steps that what dies out is below the smallest number."""
    levels = predictions.cluster_spectrum(5, 4, angle=0.3, cross_cosine=0.0)
    curve = predictions.plain_training(levels, 0.2, 0.5 / levels.information, 10**4)
    fading = weights(Geometric(2.0), 2000)
    distilled = predictions.self_distillation(levels, 0.2, 0.5 / levels.information, fading)
    filtered = predictions.retrieval_filter([0.1, 1.0], 0.5, 10**4)
    return [curve.rms_error(), distilled.rms_error(), filtered]


def designs():
    rng = np.random.default_rng(0)
    made = [
        data.equicorrelated_clusters(4, 5, ratio=12.0),
        data.tree(2, 2, 4, class_ratio=4.0, super_ratio=8.0),
        data.circle(12),
        data.power_law(8, 5, exponent=1.0, rng=rng),
        data.gaussian_clusters(3, 4, 6, radius=0.3, rng=rng),
    ]
    noisy = data.noisy_labels(made[0], noise_rate=0.2, rng=rng)
    return [*(design.inputs for design in made), noisy.observed, noisy.clean]


def least():
    return [np.array([spectrum.lambda_min(kernels.ntk_limit(inputs)) for inputs in (FEW, MANY)])]


SOFT, TEMPERED = Distillation(FADING, "soft"), Distillation(FADING, "tempered", 0.1)
ENTROPY = {"classes": 3, "loss": "cross-entropy"}
CALLS = {
    "nets": lambda: outputs_of(torch.float64),
    "nets in float32": lambda: outputs_of(SINGLE),
    "few points": lambda: trained(FEW),
    "few points in float32": lambda: trained(FEW, dtype=SINGLE),
    "many points": lambda: trained(MANY, Distillation(FADING), drawn=True),
    "many points in float32": lambda: trained(MANY, drawn=True, dtype=SINGLE),
    "many points in bf16": lambda: trained(MANY, dtype=SINGLE, precision="bf16"),
    "both layers": lambda: trained(FEW, TEMPERED, layers="both"),
    "both layers, many": lambda: trained(MANY, TEMPERED, layers="both"),
    "cross-entropy": lambda: trained(FEW, SOFT, **ENTROPY),
    "cross-entropy, many": lambda: trained(MANY, TEMPERED, layers="both", **ENTROPY),
    "three classes": lambda: trained(MANY, Distillation(FADING), classes=3),
    "lag": lambda: trained(FEW, Distillation(BurnIn(2, Agreement()), epoch=2)),
    "restart": lambda: trained(MANY, Distillation(FADING, epoch=2, restart=True), drawn=True),
    "kernel limit": lambda: limit(taught=TEMPERED),
    "kernel limit, classes": lambda: limit(3, Distillation(Agreement(), epoch=2, restart=True)),
    "kernel limit, cross-entropy": lambda: limit(3, SOFT, loss="cross-entropy"),
    "ntk": lambda: limits("float64"),
    "ntk in float32": lambda: limits("float32"),
    "ntk of other points": lambda: [kernels.ntk_limit(MANY, MANY[:4]), kernels.angles(MANY)],
    "empirical ntk": lambda: empirical(torch.float64),
    "empirical ntk in float32": lambda: empirical(SINGLE),
    "products": lambda: products("float64"),
    "products in float32": lambda: products("float32"),
    "largest": lambda: ends("largest"),
    "smallest": lambda: ends("smallest"),
    "lambda_min": least,
    "closed forms": closed_forms,
    "data": designs,
}


@contextmanager
def set_to(setter, value, before):
    setter(value)
    try:
        yield
    finally:
        setter(before)


@contextmanager
def warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


STATES = {
    "device": lambda: set_to(torch.set_default_device, "meta", None),
    "float64": lambda: set_to(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16": lambda: set_to(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "inference": torch.inference_mode,
    "no gradient": torch.no_grad,
    "gradient": torch.enable_grad,
    "deterministic": lambda: set_to(torch.use_deterministic_algorithms, True, False),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "medium": lambda: set_to(torch.set_float32_matmul_precision, "medium", "highest"),
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy prints": lambda: np.printoptions(precision=1, threshold=2, legacy="1.13"),
    "warnings": warned,
}


def settings():
    """What could have been changed, of the caller's."""
    return (
        torch.empty(0).device,
        torch.get_default_dtype(),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        torch.get_rng_state().tolist(),
        np.geterr(),
        np.get_printoptions(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
    )


@pytest.fixture(scope="module")
def plain():
    """Results in the state in which Python starts."""
    return {name: call() for name, call in CALLS.items()}


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("state", STATES)
def test_the_state_of_the_caller_changes_no_bit_and_is_left_as_it_was(state, plain):
    for name, call in CALLS.items():
        with STATES[state]():
            before = settings()
            found = call()
            assert settings() == before, name
        assert_same(found, plain[name])


@pytest.mark.parametrize("inside", [True, False])
def test_what_was_made_inside_inference_mode_is_used_outside_and_the_other_way_round(inside):
    def made():
        points._shared.clear()
        nets = network.initialise(16, 5, seeds=[1])
        fit(nets)  # fills what nets of the same inputs share
        return nets, KernelOperator(MANY)

    def fit(nets):
        return training.train(
            nets, FEW, signs(FEW), Distillation(FADING), learning_rate=0.05, steps=3, layers="both"
        )

    def used(nets, operator):
        again = fit(nets)
        further = fit(again.network)
        kernel = kernels.ntk_empirical(further.network, FEW)
        return [again.outputs, further.outputs, further.network(FEW), kernel, operator @ MANY]

    expected = used(*made())
    with torch.inference_mode(inside):
        there = made()
    with torch.inference_mode(not inside):
        assert_same(used(*there), expected)


@pytest.mark.parametrize("state", ["device", "inference", "numpy prints"])
@pytest.mark.parametrize("stop", [4, None])
def test_a_training_is_taken_up_whatever_the_state_it_was_saved_in(state, stop, plain, tmp_path):
    def interrupt(step):
        if step == stop:
            raise KeyboardInterrupt

    saved = Checkpoints.open(tmp_path, {}, interval=0.0)
    watch = {"layers": "both", "on_step": interrupt}
    with STATES[state](), checkpointed(saved):
        if stop is None:
            trained(FEW, TEMPERED, **watch)
        else:
            with pytest.raises(KeyboardInterrupt):
                trained(FEW, TEMPERED, **watch)
    with checkpointed(saved):
        assert_same(trained(FEW, TEMPERED, layers="both"), plain["both layers"])


def evidence(claim):
    """All numbers of a toy run."""
    result = all_claims()[claim].run(toy(claim), Silent())
    numbers = [[m.predicted, m.measured, m.tolerance] for m in result.measurements]
    numbers += [[c.failure.predicted, c.failure.measured, 0.0] for c in result.controls]
    return [np.array(numbers, dtype=float), *result.arrays.values()]


def test_a_claim_comes_to_the_same_numbers_in_all_states_at_once():
    expected = evidence("threshold")
    together = ("device", "bfloat16", "inference", "deterministic", "numpy raises", "warnings")
    with ExitStack() as states:
        for state in together:
            states.enter_context(STATES[state]())
        found = evidence("threshold")
    assert_same(found, expected)


def test_the_last_of_several_threads_gives_the_precision_back():
    first_in, first_out, second_in = (threading.Event() for _ in range(3))
    seen = []

    @own_precision
    def first():
        first_in.set()
        assert second_in.wait(60)
        seen.append(torch.get_float32_matmul_precision())

    @own_precision
    def second():
        second_in.set()
        assert first_out.wait(60)
        seen.append(torch.get_float32_matmul_precision())

    with STATES["medium"]():
        one = threading.Thread(target=first)
        one.start()
        assert first_in.wait(60)
        two = threading.Thread(target=second)
        two.start()
        one.join()
        first_out.set()
        two.join()
        assert seen == ["highest", "highest"]
        assert torch.get_float32_matmul_precision() == "medium"
    assert precision._inside.calls == 0
