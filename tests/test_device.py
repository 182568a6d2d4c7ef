"""On a GPU, pretended here, everything is computed there, and is what the processor computes."""

from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
import torch

from cases import toy
from how_much import again
from ntk_theory import kernels, network, problems, training
from ntk_theory.checking import evidence as runs
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims import all_claims
from ntk_theory.claims._convergence_problems import variants
from ntk_theory.extreme import extreme_eigenpairs
from ntk_theory.streaming import KernelOperator
from ntk_theory.targets import PLAIN, Distillation, Power
from ntk_theory.training import forms, points
from ntk_theory.training.checkpoints import Checkpoints, checkpointed
from ntk_theory.training.footprint import Footprint, matrix_rate
from ntk_theory.training.trajectory import _ARRAYS
from pretended_device import DEVICE, OnGPU, pretended_gpu
from progress import Silent

EPS = np.finfo(float).eps
STEPS = 40
PROBLEM = problems.noisy_clusters(clusters=3, points=4, ratio=8.0, noise_rate=0.25, seed=1)
CLUSTERS, OBSERVED = PROBLEM.dataset.inputs, PROBLEM.dataset.observed
RNG = np.random.default_rng(0)
MANY = RNG.standard_normal((12, 3))  # more than two points a dimension: the weights move
NEAR = np.vstack([CLUSTERS[:6], CLUSTERS[:6] + 1e-7 * RNG.standard_normal(CLUSTERS[:6].shape)])


@pytest.fixture
def same_operations(monkeypatch):
    """Let the processor take the steps of a GPU: as many neurons together, and not compiled."""
    monkeypatch.setitem(training.dense._BLOCK_BYTES, "cpu", training.dense._BLOCK_BYTES["gpu"])
    monkeypatch.setattr(forms, "_COMPILED", False)


def on_both(compute):
    """What a function of a device gives on the processor, and on a GPU."""
    expected = compute("cpu")
    with pretended_gpu():
        found = compute(DEVICE)
    return expected, found


# ---------------------------------------------------------------- the pretended device


def there(*shape, dtype=torch.float64):
    return torch.ones(shape, dtype=dtype, device=DEVICE)


def here(*shape, dtype=torch.float64):
    return torch.ones(shape, dtype=dtype, device="cpu")


def index(device):
    return torch.zeros(1, dtype=torch.long, device=device)


MIXED = "same device"
REFUSED = {
    "sum": (lambda: there(3) + here(3), MIXED),
    "sum in place": (lambda: there(3).add_(here(3)), MIXED),
    "sum into the processor's": (lambda: here(3).add_(there(3)), MIXED),
    "single number into the processor's": (lambda: here().add_(there()), MIXED),
    "sum with a single number there": (lambda: there() + here(3), MIXED),
    "out": (lambda: torch.add(there(3), there(3), out=here(3)), MIXED),
    "product": (lambda: there(2, 2) @ here(2, 2), MIXED),
    "product in inference mode": (
        torch.inference_mode()(lambda: torch.einsum("ij,jk->ik", there(2, 2), here(2, 2))),
        MIXED,
    ),
    "product into the processor's": (lambda: here(2, 2).addmm_(there(2, 2), there(2, 2)), MIXED),
    "cat": (lambda: torch.cat([there(3), here(3)]), MIXED),
    "cat with a single number": (lambda: torch.stack([there(), here()]), MIXED),
    "where": (lambda: torch.where(there(3) > 0, there(3), here(3)), MIXED),
    "equal": (lambda: torch.equal(there(3), here(3)), MIXED),
    "index_select": (lambda: there(3).index_select(0, index("cpu")), MIXED),
    "take": (lambda: there(3).take(index("cpu")), MIXED),
    "put_": (lambda: there(3).put_(index("cpu"), there(1)), MIXED),
    "gather": (lambda: there(3).gather(0, index("cpu")), MIXED),
    "index_copy_": (lambda: there(3).index_copy_(0, index("cpu"), there(1)), MIXED),
    "index_add_": (lambda: there(3).index_add_(0, index(DEVICE), here(1)), MIXED),
    "index there of the processor's": (lambda: here(3)[index(DEVICE)], MIXED),
    "values of an index": (lambda: there(3).__setitem__(index(DEVICE).expand(2), here(2)), MIXED),
    "generator": (
        lambda: torch.randn(3, generator=torch.Generator(), device=DEVICE),
        "generator of the device",
    ),
    "whole numbers": (
        lambda: there(2, 2, dtype=torch.long) @ there(2, 2, dtype=torch.long),
        "not implemented",
    ),
    "numpy": (lambda: there(3).numpy(), "can't convert"),
    "asarray": (lambda: np.asarray(there(3)), "can't convert"),
    "numpy function": (lambda: np.exp(there(3)), "can't convert"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_pretended_gpu_refuses_what_a_gpu_refuses(what):
    operation, complaint = REFUSED[what]
    with pretended_gpu(), pytest.raises((RuntimeError, TypeError), match=complaint):
        operation()


TAKEN = {
    "single number": lambda d: there_or_here(d) + torch.tensor(2.0, device="cpu"),
    "processor's index": lambda d: there_or_here(d)[index("cpu")],
    "processor's mask": lambda d: there_or_here(d)[here(3, dtype=torch.bool)],
    "slice of the processor's": lambda d: there_or_here(d)[1:].copy_(here(2)),
    "tensor": lambda d: torch.tensor([1.0, 2.0], device=d).double(),
    "as_tensor": lambda d: torch.as_tensor(np.arange(3.0), device=d),
    "transposed": lambda d: (there_or_here(d)[:, None] * there_or_here(d)).T.contiguous(),
    "inference": torch.inference_mode()(lambda d: torch.einsum("i,j->ij", *2 * [arange(d)])),
    "decomposed": lambda d: torch.linalg.eigvalsh(arange(d)[:, None] * arange(d)),
}


def there_or_here(device):
    return torch.ones(3, dtype=torch.float64, device=device)


def arange(device):
    return torch.arange(3.0, dtype=torch.float64, device=device)


@pytest.mark.parametrize("what", TAKEN)
def test_it_takes_what_a_gpu_takes_and_computes_the_same(what):
    expected, found = on_both(TAKEN[what])
    assert isinstance(found, OnGPU)
    assert found.device.type == DEVICE
    assert torch.equal(found.held, expected)
    with pretended_gpu():
        copied = found.cpu()
        copied.zero_()
    assert type(copied) is torch.Tensor
    assert torch.equal(found.held, expected), "a copy shares no memory"


def test_a_view_on_it_writes_to_what_it_is_a_view_of():
    with pretended_gpu():
        whole = there(2, 3)
        whole[1].mul_(2)
        whole.view(-1)[:2] = 5.0
        assert whole.cpu().tolist() == [[5.0, 5.0, 1.0], [2.0, 2.0, 2.0]]
        assert float(whole.sum()) == 17.0
        assert bool((whole > 0).all())


def test_outside_of_it_the_device_is_not_there():
    with pretended_gpu():
        network.initialise(4, 3, seeds=[0], device=DEVICE)
    assert not torch._C._only_lift_cpu_tensors()
    with pytest.raises(ValueError, match="device must be 'cpu' or 'cuda'"):
        network.initialise(4, 3, seeds=[0], device=DEVICE)


# ---------------------------------------------------------------- training

FORMS = {
    "pre-activations": (CLUSTERS, {"form": "dense"}),
    "weights": (MANY, {"form": "dense"}),
    "summed pulls": (NEAR, {"form": "dense"}),
    "event-driven": (CLUSTERS, {"form": "event-driven"}),
    "pre-activations, both layers": (CLUSTERS, {"form": "dense", "layers": "both"}),
    "weights, both layers": (MANY, {"form": "dense", "layers": "both"}),
}


def trained(
    device,
    inputs=CLUSTERS,
    outputs=1,
    dtype=torch.float64,
    distillation=PROBLEM.distillation,
    width=64,
    drawn=False,
    **more,
):
    labels = OBSERVED if outputs == 1 else np.eye(outputs)[np.arange(12) % outputs]
    make = network.DrawnNets if drawn else network.initialise
    nets = make(width, inputs.shape[1], seeds=(1, 2), outputs=outputs, dtype=dtype, device=device)
    rate = 0.5 / float(np.linalg.norm(inputs, 2) ** 2)
    return training.train(
        nets,
        inputs,
        labels,
        distillation,
        learning_rate=rate,
        steps=STEPS,
        **more,
    )


def assert_same(found, expected):
    for name in _ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    assert found.diverged == expected.diverged
    assert (found.network is None) == (expected.network is None)
    if expected.network is not None:
        for name in ("hidden", "output"):
            weights = getattr(found.network, name)
            assert isinstance(weights, OnGPU)
            assert torch.equal(weights.held, getattr(expected.network, name))


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_training_does_on_a_gpu_what_it_does_on_the_processor(
    form, dtype, outputs, same_operations
):
    inputs, options = FORMS[form]
    expected, found = on_both(lambda device: trained(device, inputs, outputs, dtype, **options))
    assert expected.distance.min() > 0
    assert_same(found, expected)


OPTIONS = {
    "tf32": {"precision": "tf32", "dtype": torch.float32},
    "bf16, weights": {"precision": "bf16", "dtype": torch.float32, "inputs": MANY},
    "cross-entropy": {"loss": "cross-entropy", "outputs": 3},
    "drawn": {"drawn": True},
    "drawn, event-driven": {"drawn": True, "form": "event-driven", "keep_network": False},
    "many outputs, event-driven": {"outputs": 6, "form": "event-driven"},
    "weights alone": {"keep_network": False, "record": [3, STEPS], "inputs": MANY},
    "lag": {"distillation": Distillation(Power(4.0, 1.0), epoch=7)},
    "tempered": {"distillation": Distillation(Power(4.0, 1.0), "tempered", 2.0), "outputs": 3},
} | {
    f"restarts, {form}": {
        "distillation": Distillation(Power(4.0, 1.0), epoch=9, restart=True),
        "inputs": FORMS[form][0],
        **FORMS[form][1],
    }
    for form in FORMS
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_training_does_on_a_gpu_what_it_does_on_the_processor(
    option, same_operations
):
    options = {"form": "dense"} | OPTIONS[option]
    assert_same(*reversed(on_both(lambda device: trained(device, **options))))


@pytest.mark.parametrize("form", FORMS)
def test_in_several_blocks_a_gpu_does_what_the_processor_does(form, same_operations, monkeypatch):
    monkeypatch.setattr(training.dense, "_BLOCK_BYTES", {"cpu": 1, "gpu": 1})  # 256 neurons
    inputs, options = FORMS[form]
    expected, found = on_both(lambda device: trained(device, inputs, width=600, **options))
    assert_same(found, expected)


def test_a_divergence_on_a_gpu_is_explained_as_on_the_processor(same_operations):
    def diverged(device):
        return training.train(
            nets(device), CLUSTERS, OBSERVED, PLAIN, learning_rate=50.0, steps=STEPS
        )

    expected, found = on_both(diverged)
    assert "diverged" in expected.diverged
    assert_same(found, expected)


def test_compiled_steps_and_those_of_a_gpu_differ_by_rounding():
    expected, found = on_both(lambda device: trained(device, form="event-driven"))
    np.testing.assert_allclose(found.outputs, expected.outputs, atol=STEPS * (12 + 64) * EPS)


def test_a_gpu_is_given_dense_steps_in_large_blocks():
    with pretended_gpu():
        inputs = torch.as_tensor(CLUSTERS, device=DEVICE)
        rates = np.full(10_000, 1e-6)
        for device, form in (("cpu", "event-driven"), (DEVICE, "dense")):
            taken = forms.cheapest(
                points.Points(inputs.to(device)), width=2**16, outputs=1, rates=rates
            )
            assert taken == form
    processor, gpu, second = (
        Footprint(12, 12, 2**20, "float64", device) for device in ("cpu", "cuda", "cuda:1")
    )
    assert processor.block < gpu.block == second.block == 2**20


def test_a_training_on_a_gpu_is_taken_up_where_it_was(tmp_path, same_operations):
    class Kept(Checkpoints):
        """States as they come back from a file: other tensors on the same device."""

        def load(self, name):
            return states.get(name)

        def save(self, name, state):
            states[name] = copied(state)

    def copied(value):
        if isinstance(value, dict):
            return {name: copied(part) for name, part in value.items()}
        if isinstance(value, list):
            return [copied(part) for part in value]
        return value.clone() if isinstance(value, torch.Tensor) else value

    def cancel(step):
        if step == STEPS // 2:
            raise CancelledError

    states = {}
    for inputs, options in FORMS.values():
        expected = trained("cpu", inputs, **options)
        with pretended_gpu(), checkpointed(Kept(tmp_path, 1e9)):
            with pytest.raises(CancelledError):
                trained(DEVICE, inputs, on_step=cancel, **options)
            assert_same(trained(DEVICE, inputs, **options), expected)


# ---------------------------------------------------------------- kernels

LARGE = 2.0**505 * CLUSTERS  # measured in units of a power of two
KERNELS = {
    "limit": lambda d: kernels.ntk_limit(CLUSTERS, device=d),
    "limit, both layers": lambda d: kernels.ntk_limit(MANY, layers="both", device=d),
    "limit, float32": lambda d: kernels.ntk_limit(MANY, dtype="float32", device=d),
    "limit, near copies": lambda d: kernels.ntk_limit(NEAR, layers="both", device=d),
    "limit, other points": lambda d: kernels.ntk_limit(NEAR, CLUSTERS, device=d),
    "limit, large points": lambda d: kernels.ntk_limit(LARGE, device=d),
    "operator": lambda d: KernelOperator(CLUSTERS, device=d) @ OBSERVED,
    "operator, matrix": lambda d: KernelOperator(NEAR, device=d).dense(),
    "operator, not kept": lambda d: KernelOperator(NEAR, memory=2000, device=d) @ CLUSTERS,
    "operator, large": lambda d: KernelOperator(LARGE, device=d) @ OBSERVED,
    "operator, trace": lambda d: KernelOperator(LARGE, device=d).trace,
    "empirical": lambda d: kernels.ntk_empirical(nets(d), CLUSTERS),
    "empirical, both layers": lambda d: kernels.ntk_empirical(nets(d, MANY), MANY, layers="both"),
    "empirical, outputs": lambda d: kernels.ntk_empirical(nets(d, MANY, outputs=3), MANY, MANY[:5]),
    "empirical, large": lambda d: kernels.ntk_empirical(nets(d), LARGE, layers="both"),
    "outputs": lambda d: nets(d, MANY, antisymmetric=False)(MANY),
}


def nets(device, inputs=CLUSTERS, **options):
    return network.initialise(32, inputs.shape[1], seeds=[1, 2], device=device, **options)


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_the_same_from_a_gpu(kernel):
    expected, found = on_both(KERNELS[kernel])
    assert np.any(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("end", ["largest", "smallest"])
@pytest.mark.parametrize("memory", [np.inf, 2000])
def test_eigenpairs_of_an_operator_are_the_same_from_a_gpu(memory, end):
    def pairs(device):
        operator = KernelOperator(NEAR, memory=memory, device=device)
        return extreme_eigenpairs(operator, 2, end=end, rng=np.random.default_rng(3))

    expected, found = on_both(pairs)
    for name in ("values", "vectors", "residuals"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_tensors_of_a_gpu_are_taken_for_arrays():
    with pretended_gpu():
        inputs, labels = (torch.as_tensor(part, device=DEVICE) for part in (CLUSTERS, OBSERVED))
        np.testing.assert_array_equal(kernels.ntk_limit(inputs), kernels.ntk_limit(CLUSTERS))
        found = training.train(
            nets(DEVICE), inputs, labels, PLAIN, learning_rate=0.1, steps=3, keep_network=False
        )
    expected = training.train(
        nets("cpu"), CLUSTERS, OBSERVED, PLAIN, learning_rate=0.1, steps=3, form="dense"
    )
    np.testing.assert_array_equal(found.outputs, expected.outputs)


def test_the_rate_of_a_gpu_is_measured_by_larger_products(monkeypatch):
    assert training.footprint._SIZE["gpu"] > training.footprint._SIZE["cpu"]
    monkeypatch.setitem(training.footprint._SIZE, "gpu", 64)
    with pretended_gpu():
        for precision in ("float64", "float32", "tf32", "bf16"):
            assert matrix_rate(precision, DEVICE) > 0


# ---------------------------------------------------------------- claims

SCALED = Options(preset="cifar-mini", points=10, seeds=3, widths=(64, 128, 256, 512))
CLAIMS = {
    "convergence": replace(
        toy("convergence"), seeds=3, widths=(64, 128, 256, 512, 1024), steps=100
    ),
    "air": replace(toy("air"), seeds=3, widths=(192, 256, 320, 384, 512)),
    "lazy": replace(toy("lazy"), seeds=3, widths=(256, 512, 1024, 2048)),
    "convergence, scaled": SCALED,
    "air, scaled": SCALED,
}


@pytest.mark.parametrize(
    "name", [name if "scaled" in name else pytest.param(name, marks=again) for name in CLAIMS]
)
def test_a_claim_finds_on_a_gpu_what_it_finds_on_the_processor(name, monkeypatch):
    # Controls are run whatever the nets show: these are few and narrow.
    monkeypatch.setattr(runs.Evidence, "sound", True)
    # Variants are more of the same training, for half a minute.
    few = variants(0)[:1]
    monkeypatch.setattr("ntk_theory.claims._convergence_problems.variants", lambda _: few)
    claim, options = all_claims()[name.partition(",")[0]], CLAIMS[name]
    expected, found = on_both(lambda device: claim.run(replace(options, device=device), Silent()))
    assert len(expected.metrics) == len(found.metrics) > 0
    assert len(expected.controls) == len(found.controls) > 0
    assert [m.name for m in found.measurements] == [m.name for m in expected.measurements]
    assert found.verdict is expected.verdict
    assert found.arrays.keys() == expected.arrays.keys()
    # Steps that each round sums over points, here and there in another order.
    eps = np.finfo(np.float32 if options.preset == "cifar-mini" else float).eps
    for key, values in expected.arrays.items():
        np.testing.assert_allclose(found.arrays[key], values, atol=400 * 100 * eps, err_msg=key)
