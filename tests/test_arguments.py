"""What callers hand in: every kind of array means its numbers, and what is wrong is said in a line.

The lines have one form: which argument, what it must be, what came, what to do.
"""

import decimal
import traceback
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ntk_theory
from ntk_theory import arguments, data, kernels, network, targets, training
from ntk_theory.streaming import KernelOperator
from ntk_theory.targets import PLAIN, Agreement, BurnIn, Constant, Distillation, Power
from ntk_theory.training import points as training_points

PACKAGE = Path(ntk_theory.__file__).parent
NAN, INF = float("nan"), float("inf")
ROWS = np.random.default_rng(3).integers(-4, 5, (6, 5)).astype(float)
"""Whole numbers, so that every kind of number holds them."""
SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0, -1.0])
CLASSES = np.array([0, 2, 1, 1, 0, 2])
ONE_HOT = np.eye(3)[CLASSES]
GRAM = ROWS @ ROWS.T
NET = network.initialise(16, 5, seeds=[1, 2], antisymmetric=False)
THREE = network.initialise(16, 5, seeds=[1, 2], outputs=3)
DESIGN = data.equicorrelated_clusters(2, 3, ratio=4.0)
DATASET = data.noisy_labels(DESIGN, noise_rate=0.4, rng=np.random.default_rng(0))
FADING = Distillation(Power(3.0))
RATE = 1e-3


def an_rng():
    return np.random.default_rng(0)


def train(**changes):
    options = {
        "network": NET,
        "inputs": ROWS,
        "observed": SIGNS,
        "distillation": FADING,
        "learning_rate": RATE,
        "steps": 4,
    } | changes
    return training.train(**options)


def limit(**changes):
    options = {
        "gram": GRAM,
        "observed": SIGNS,
        "distillation": FADING,
        "learning_rate": RATE,
        "steps": 4,
    } | changes
    return training.train_kernel_limit(**options)


TRAINED, TRAINED_ON_CLASSES = train(), train(network=THREE, observed=ONE_HOT)


def everything(trajectory):
    """All numbers of a trajectory."""
    state = trajectory.state()
    state |= state.pop("network") or {}
    return [np.asarray(values) for values in state.values() if values is not None]


# ---------------------------------------------------------------- every kind of array


class Column:
    """What numpy makes an array of, as the columns of other libraries."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def inference(values):
    with torch.inference_mode():
        return torch.tensor(values)


def unaligned(values):
    buffer = np.zeros(values.nbytes + 1, dtype=np.uint8)
    shifted = buffer[1:].view(values.dtype).reshape(values.shape)
    shifted[:] = values
    return shifted


KINDS = {
    "reversed": lambda x: x[::-1].copy()[::-1],
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "read-only": read_only,
    "read-only, reversed": lambda x: read_only(x[::-1])[::-1],
    "Fortran": np.asfortranarray,
    "transposed": lambda x: x.T.copy().T,
    "unaligned": unaligned,
    "list": lambda x: x.tolist(),
    "list of ints": lambda x: x.astype(int).tolist(),
    "list of arrays": list,
    "list of tensors": lambda x: list(torch.tensor(x, requires_grad=True)),
    "int": lambda x: x.astype(int),
    "int8": lambda x: x.astype(np.int8),
    "single": lambda x: x.astype(np.float32),
    "float16": lambda x: x.astype(np.float16),
    "long double": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f8"),
    "big-endian single": lambda x: x.astype(">f4"),
    "objects": lambda x: x.astype(object),
    "objects of kinds": lambda x: np.vectorize(decimal.Decimal, otypes=[object])(x),
    "column of a library": Column,
    "no masked entry": lambda x: np.ma.masked_array(x, mask=False),
    "torch": torch.tensor,
    "torch with gradient": lambda x: torch.tensor(x, requires_grad=True),
    "torch, transposed": lambda x: torch.tensor(x.T.copy()).mT if x.ndim > 1 else torch.tensor(x),
    "torch int": lambda x: torch.tensor(x).int(),
    "torch bfloat16": lambda x: torch.tensor(x).bfloat16(),
    "torch inference": inference,
    "torch parameter": lambda x: torch.nn.Parameter(torch.tensor(x)),
    "torch negated": lambda x: torch._neg_view(torch.tensor(-x)),
}
OF_ROWS = {
    "angles": kernels.angles,
    "angles, others": lambda x: kernels.angles(ROWS, x),
    "ntk_limit": lambda x: kernels.ntk_limit(x, layers="both"),
    "ntk_limit, others": lambda x: kernels.ntk_limit(ROWS[:2], x),
    "ntk_limit, single": lambda x: kernels.ntk_limit(x, dtype="float32"),
    "ntk_empirical": lambda x: kernels.ntk_empirical(NET, x, layers="both"),
    "ntk_empirical, others": lambda x: kernels.ntk_empirical(THREE, ROWS[:2], x),
    "KernelOperator": lambda x: KernelOperator(x).dense(),
    "KernelOperator @": lambda x: KernelOperator(ROWS) @ x,
    "TwoLayerReLU": NET,
    "train": lambda x: np.concatenate([part.ravel() for part in everything(train(inputs=x))]),
    "train_kernel_limit": lambda x: limit(observed=x, distillation=PLAIN),
}
OF_LABELS = {
    "train": lambda y: train(observed=y).outputs,
    "train_kernel_limit": lambda y: limit(observed=y),
    "rms_error": TRAINED.rms_error,
    "margins": TRAINED.margins,
    "zero_one_error": TRAINED.zero_one_error,
}
OF_ONE_HOT = {
    "train": lambda y: train(network=THREE, observed=y).outputs,
    "train_kernel_limit": lambda y: limit(observed=y),
    "rms_error": TRAINED_ON_CLASSES.rms_error,
    "margins": TRAINED_ON_CLASSES.margins,
    "zero_one_error": TRAINED_ON_CLASSES.zero_one_error,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_array_means_its_numbers(kind):
    change = KINDS[kind]
    for calls, values in ((OF_ROWS, ROWS), (OF_LABELS, SIGNS), (OF_ONE_HOT, ONE_HOT)):
        for name, call in calls.items():
            if name == "ntk_limit, single" and "single" in kind:
                continue  # rows in single precision are divided by their norms in it
            found, expected = call(change(values)), call(values)
            np.testing.assert_array_equal(found, expected, err_msg=name, strict=True)
    unit = data.circle(4).inputs.round()
    design = data.Design("square", change(unit), change(np.array([0.0, 0.0, 1.0, 1.0])))
    np.testing.assert_array_equal(design.inputs, unit)
    np.testing.assert_array_equal(design.groups, [0, 0, 1, 1])
    np.testing.assert_array_equal(data.encode(change(CLASSES.astype(float)), 3), ONE_HOT)
    np.testing.assert_array_equal(limit(gram=change(GRAM // 8)), limit(gram=GRAM // 8))


def test_a_single_point_or_feature_may_be_reversed():
    """An axis of length 1 that is walked backwards counts as contiguous to numpy, not to torch."""
    for rows in (ROWS[:1], ROWS[:, :1] + 0.5):
        turned = rows[::-1, ::-1][::-1, ::-1][::-1] if len(rows) == 1 else rows[:, ::-1]
        assert min(turned.strides) < 0
        net = network.initialise(4, rows.shape[1], seeds=[0], antisymmetric=False)
        np.testing.assert_array_equal(net(turned), net(rows))
        np.testing.assert_array_equal(kernels.ntk_limit(turned), kernels.ntk_limit(rows))


@pytest.mark.parametrize("name", OF_LABELS)
def test_labels_in_a_column_are_those_in_a_row(name):
    call = OF_LABELS[name]
    np.testing.assert_array_equal(call(SIGNS[:, None]), call(SIGNS), strict=True)
    np.testing.assert_array_equal(call(SIGNS[:, None].tolist()), call(SIGNS), strict=True)


def test_errors_of_two_outputs_worked_out_by_hand():
    outputs = np.array([[[0.5, -2.0]]])
    trajectory = replace(TRAINED, outputs=outputs, steps=np.array([0]))
    for labels in ([1, 1], [[1], [1]], torch.ones(2, 1, dtype=torch.int32)):
        np.testing.assert_allclose(trajectory.rms_error(labels), [[np.sqrt((0.25 + 9) / 2)]])
        np.testing.assert_array_equal(trajectory.margins(labels), outputs)
        np.testing.assert_array_equal(trajectory.zero_one_error(labels), [[0.5]])


def test_a_column_stays_a_column_in_products_with_a_kernel():
    operator = KernelOperator(ROWS)
    assert (operator @ SIGNS).shape == (6,)
    assert (operator @ SIGNS[:, None]).shape == (6, 1)
    np.testing.assert_array_equal((operator @ SIGNS[:, None])[:, 0], operator @ SIGNS)


@pytest.mark.parametrize(
    "seeds",
    [
        np.arange(3),
        np.arange(3, dtype=np.uint8),
        np.array([0, 1, 2], dtype=object),
        range(3),
        (np.int64(0), 1, torch.tensor(2)),
        torch.arange(3),
        iter([0, 1, 2]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_seeds_of_every_integer_kind_draw_the_same_nets(seeds):
    expected = network.initialise(4, 3, seeds=[0, 1, 2])
    drawn = network.DrawnNets(4, 3, seeds)
    assert drawn.seeds == (0, 1, 2)
    assert torch.equal(drawn.keep().hidden, expected.hidden)
    assert torch.equal(drawn.output, expected.output)
    if not hasattr(seeds, "__next__"):
        assert torch.equal(network.initialise(4, 3, seeds=seeds).hidden, expected.hidden)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": np.int64(4)},
        {"steps": torch.tensor(4)},
        {"steps": np.array(4)},
        {"record": np.arange(5)},
        {"record": torch.arange(5)},
        {"record": {4, 3, 2, 1, 0}},
        {"learning_rate": np.float64(RATE)},
        {"learning_rate": torch.tensor(RATE, dtype=torch.float64, requires_grad=True)},
        {"learning_rate": decimal.Decimal("0.001")},
        {"learning_rate": [RATE] * 4},
        {"learning_rate": torch.full((4,), RATE, dtype=torch.float64)},
        {"keep_network": np.bool_(True)},
        {"network": replace(NET, hidden=NET.hidden.clone().requires_grad_())},
    ],
    ids=str,
)
def test_numbers_of_every_kind_train_alike(change):
    for found, expected in zip(everything(train(**change)), everything(TRAINED), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_rates_that_are_whole_numbers_are_rates():
    small = ROWS / 100
    whole, floats = (
        train(inputs=small, learning_rate=x).outputs for x in ([1, 0, 1, 1], [1.0, 0, 1, 1])
    )
    np.testing.assert_array_equal(whole, floats)
    np.testing.assert_array_equal(whole[:, 1], whole[:, 2])


def test_numbers_of_every_kind_make_the_same_designs():
    expected = data.equicorrelated_clusters(3, 4, ratio=5.0, cross_cosine=0.25)
    found = data.equicorrelated_clusters(
        np.int8(3), torch.tensor(4), ratio=np.float32(5), cross_cosine=torch.tensor(0.25)
    )
    np.testing.assert_array_equal(found.inputs, expected.inputs)
    assert found.levels == expected.levels
    schedules = BurnIn(np.int64(2), Power(np.float64(3), 1)), BurnIn(2, Power(3.0))
    assert targets.format_schedule(schedules[0]) == targets.format_schedule(schedules[1])


@pytest.mark.parametrize("dtype", ["float64", np.float64, torch.float64, np.dtype(float)], ids=str)
def test_a_precision_has_its_name_in_every_library(dtype):
    assert network.initialise(4, 3, seeds=[0], dtype=dtype).dtype == torch.float64
    assert kernels.ntk_limit(ROWS, dtype=dtype).dtype == np.float64


def test_arrays_that_come_as_they_are_needed_are_not_copied():
    for values in (np.ones((4, 3)), np.ones((4, 3), np.float32), read_only(np.ones((4, 3)))):
        assert np.shares_memory(arguments.rows("inputs", values), values)
    tensor = torch.ones(4, 3, dtype=torch.float32)
    assert np.shares_memory(arguments.rows("inputs", tensor), tensor.numpy())
    checked = arguments.array("values", np.ones(3), (3,))
    assert arguments.tensor(checked).data_ptr() == checked.ctypes.data


def test_what_a_caller_does_to_inputs_later_changes_no_later_run():
    training_points._shared.clear()
    given = ROWS.copy()
    train(inputs=given)
    given[:] = 1.0
    for found, expected in zip(everything(train()), everything(TRAINED), strict=True):
        np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------- labels that mean something else


def test_a_perfect_fit_has_no_error_and_labels_of_another_code_are_refused_with_the_way_out():
    perfect = replace(TRAINED, outputs=SIGNS[None, None], steps=np.array([0]))
    assert perfect.zero_one_error(SIGNS) == perfect.rms_error(SIGNS) == 0
    numbers = (SIGNS + 1) / 2
    for call in (perfect.zero_one_error, perfect.rms_error, perfect.margins):
        with pytest.raises(ValueError, match=r"give 2 \* labels - 1, or data.encode\(labels, 2\)"):
            call(numbers)
    np.testing.assert_array_equal(2 * numbers - 1, SIGNS)


@pytest.mark.parametrize(
    "taught", [PLAIN, FADING, Distillation(Agreement()), replace(PLAIN, target="soft")]
)
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 1, 0, 0, 1], r"\+1 or -1.*got class numbers from 0 to 1; give 2 \* observed - 1"),
        ([0.0, 1.0, 1.0, 0.0, 0.0, 1.0], r"\+1 or -1.*got class numbers from 0 to 1"),
        (SIGNS > 0, r"\+1 or -1 for one output; got truth values"),
        (np.ones(6, dtype=bool), r"\+1 or -1 for one output; got truth values"),
        ([1, 2, 2, 1, 1, 2], "got class numbers from 1 to 2; give data.encode"),
        (CLASSES, "got class numbers from 0 to 2; give data.encode"),
        (CLASSES[:, None], "got class numbers from 0 to 2"),
    ],
)
def test_class_numbers_are_no_labels_of_one_output(taught, labels, words):
    for call in (train, limit):
        with pytest.raises(ValueError, match=words):
            call(observed=labels, distillation=taught)


@pytest.mark.parametrize(
    "labels",
    [
        SIGNS,
        np.ones(6),
        -np.ones(6, dtype=int),
        np.tanh(SIGNS),
        3 * SIGNS,
        np.zeros(6),
        np.linspace(0, 1, 6),
        [0.5, 1, 1, 0, 0, 1],
        [0, 1, -1, 1, 0, -1],
    ],
    ids=str,
)
def test_a_student_takes_the_outputs_of_any_teacher(labels):
    assert train(observed=labels, distillation=PLAIN).diverged is None
    limit(observed=labels, distillation=replace(PLAIN, target="soft"))
    assert np.isfinite(TRAINED.rms_error(labels)).all()


@pytest.mark.parametrize(
    "taught",
    [
        FADING,
        Distillation(Constant(0.5)),
        Distillation(BurnIn(2, Constant(0.5))),
        Distillation(Agreement()),
        Distillation(BurnIn(2, Agreement()), "soft"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("net", "labels", "words"),
    [
        (NET, 0.9 * SIGNS, r"\+1 or -1.*as signs of predictions are; got 0.9"),
        (NET, np.zeros(6), r"\+1 or -1.*got 0.0"),
        (THREE, 0.5 * ONE_HOT, r"one-hot rows.*got \[0.5, 0.0, 0.0\] in row 0"),
        (THREE, 2 * ONE_HOT - 1, r"one-hot rows.*got \[1.0, -1.0, -1.0\] in row 0"),
        (THREE, np.ones((6, 3)), r"one-hot rows.*got \[1.0, 1.0, 1.0\] in row 0"),
        (THREE, np.zeros((6, 3)), r"one-hot rows.*got \[0.0, 0.0, 0.0\] in row 0"),
    ],
)
def test_hard_predictions_meet_hard_labels_only(taught, net, labels, words):
    assert taught.labels == "hard"
    for call in (lambda **options: train(network=net, **options), limit):
        with pytest.raises(ValueError, match=words):
            call(observed=labels, distillation=taught)


@pytest.mark.parametrize(
    "taught",
    [
        PLAIN,
        Distillation(BurnIn(2, Constant(1.0))),
        Distillation(Power(3.0), "soft"),
        Distillation(Power(3.0), "tempered"),
    ],
    ids=str,
)
def test_soft_predictions_and_none_meet_any_labels(taught):
    assert taught.labels == "any"
    for net, labels in ((NET, 0.9 * SIGNS), (THREE, 0.5 * ONE_HOT), (THREE, ONE_HOT - 1 / 3)):
        assert train(network=net, observed=labels, distillation=taught).diverged is None


def test_signs_are_no_class_numbers_and_class_numbers_are_encoded():
    with pytest.raises(ValueError, match=r"got -1; of labels \+1 and -1 give \(labels < 0\)"):
        data.encode([1, -1], 2)
    with pytest.raises(ValueError, match=r"got -1; of labels \+1 and -1 give \(groups < 0\)"):
        data.Design("signs", np.eye(4), SIGNS[:4])
    numbers = (SIGNS < 0).astype(int)
    np.testing.assert_array_equal(data.encode(numbers, 2), SIGNS)
    np.testing.assert_array_equal(data.encode(numbers[:, None], 2), SIGNS)


# ---------------------------------------------------------------- what cannot be held


@pytest.mark.parametrize("size", [1e-160, 1e-30, 1e-5, 1.0, 1e5, 1e30, 1e150])
def test_training_and_outputs_are_those_of_rows_of_any_size_or_are_refused(size):
    single = network.initialise(16, 5, seeds=[1, 3], dtype=torch.float32)
    for net, tiny, huge in ((NET, 1e-154, 1e153), (single, 1e-19, 1e18)):
        options = {"network": net, "inputs": ROWS * size, "learning_rate": RATE / size / size}
        if tiny < size < huge:
            # Outputs and weights in units of the rows' size: W x is W' x' with W' = W/size.
            scaled = replace(net, hidden=(net.hidden.double() / size).to(net.dtype))
            found = train(**options | {"network": scaled}).outputs
            expected = train(network=net).outputs
            rounding = 1e4 * float(torch.finfo(net.dtype).eps)
            assert np.abs(expected[:, 1:]).min() > rounding  # it decides no sign
            np.testing.assert_allclose(found, expected, rtol=0, atol=rounding)
        else:
            with pytest.raises(ValueError, match=r"inputs must .*(divide|scale) inputs"):
                train(**options)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1e39, "inputs must be finite in float32; got .*e.39.*scale inputs down"),
        (1e-50, r"inputs must hold rows that float32 tells from zero.*scale inputs up"),
    ],
)
def test_a_net_refuses_rows_that_its_precision_does_not_hold(size, words):
    single = network.initialise(16, 5, seeds=[1, 2], dtype=torch.float32)
    rows = np.ones((2, 5)) * size
    with pytest.raises(ValueError, match=words):
        single(rows)
    with pytest.raises(ValueError, match=words):
        train(network=single, inputs=rows, observed=[1, -1])
    assert np.isfinite(NET(rows)).all()
    assert NET(rows).all()


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "tf32", torch.float16, np.int64, None, 64]
)
def test_precisions_that_there_are_none_of_are_refused(dtype):
    for call in (
        lambda: kernels.ntk_limit(ROWS, dtype=dtype),
        lambda: KernelOperator(ROWS, dtype=dtype),
        lambda: network.initialise(4, 3, seeds=[0], dtype=dtype),
    ):
        with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'; got "):
            call()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:1", "CPU", "mps", "meta", None, 3.5])
def test_devices_that_are_not_there_are_refused(device):
    for call in (
        lambda: kernels.ntk_limit(ROWS, device=device),
        lambda: KernelOperator(ROWS, device=device),
        lambda: network.initialise(4, 3, seeds=[0], device=device),
        lambda: network.DrawnNets(4, 3, (0,), device=device),
    ):
        with pytest.raises(ValueError, match=r"device must be .*; got .*; give ") as caught:
            call()
        assert "\n" not in str(caught.value)


# ---------------------------------------------------------------- refusals


NO_MATRIX = [
    ("a line", [1.0, 2.0, 3.0, 4.0, 5.0], r"non-empty matrix.*got the shape \(5,\).*\[None, :\]"),
    ("a number", 3.0, "non-empty matrix.*got a number"),
    ("three axes", np.ones((2, 3, 5)), r"non-empty matrix.*got the shape \(2, 3, 5\)"),
    ("no point", np.empty((0, 5)), r"non-empty matrix.*got the shape \(0, 5\)"),
    ("nothing", [], r"non-empty matrix.*got the shape \(0,\)"),
    ("NaN", [[NAN, 1, 1, 1, 1]], r"finite; got nan at \(0, 0\)"),
    ("infinity", torch.tensor([[1, 1, -INF, 1, 1]]), r"finite; got -inf at \(0, 2\)"),
    ("a huge int", [[10**400, 1, 1, 1, 1]], "finite; got inf"),
    ("long", np.full((1, 5), np.longdouble("1e400")), "finite; got inf|finite in float64"),
    ("complex", np.ones((2, 5)) * 1j, r"real numbers; got complex ones \(complex128\); take .real"),
    ("complex objects", np.full((2, 5), 1j, dtype=object), "real numbers; got the complex number"),
    ("text", [["a", "b", "c", "d", "e"]], "real numbers; got text"),
    ("a word", "abc", "real numbers; got text"),
    ("numbers as text", [["1", "2", "3", "4", "5"]], "real numbers; got text"),
    (
        "text objects",
        np.full((2, 5), "1", dtype=object),
        r"real numbers; got the text '1' at \(0, 0",
    ),
    ("a gap", [[1, 2, None, 4, 5]], r"real numbers; got None at \(0, 2\)"),
    ("None", None, "real numbers; got None"),
    ("ragged", [[1, 2, 3, 4, 5], [1]], "array of numbers; got parts of different lengths"),
    ("ragged tensors", [torch.ones(5), torch.ones(4)], "got parts of different lengths"),
    ("masked", np.ma.masked_greater(ROWS, 2), "number everywhere; got masked entries"),
    ("masked row", [np.ma.masked_equal([1, 2, 3, 4, 5], 3)], "number everywhere; got masked"),
    ("dates", np.ones((2, 5), dtype="datetime64[s]"), "real numbers; got datetime64"),
    ("fields", np.ones(2, dtype=[("a", float)]), "real numbers; got "),
    ("a set", {1.0, 2.0}, "real numbers; got a set"),
    ("a dict", {"a": 1}, "real numbers; got a dict"),
    ("a function", len, "real numbers; got a builtin_function"),
    ("sparse", torch.eye(5).to_sparse(), r"dense; got a sparse tensor; give .*to_dense"),
    ("meta", torch.ones(2, 5, device="meta"), "hold numbers; got a tensor on the device 'meta'"),
]
WITHOUT_SHAPE = {
    "complex",
    "complex objects",
    "text objects",
    "a gap",
    "None",
    "ragged",
    "masked",
    "dates",
    "a set",
    "sparse",
    "meta",
}
TAKE_ROWS = {
    "angles": (kernels.angles, "inputs"),
    "angles, others": (lambda x: kernels.angles(ROWS, x), "others"),
    "ntk_limit": (kernels.ntk_limit, "inputs"),
    "ntk_limit, others": (lambda x: kernels.ntk_limit(ROWS, x), "others"),
    "ntk_empirical": (lambda x: kernels.ntk_empirical(NET, x), "inputs"),
    "ntk_empirical, others": (lambda x: kernels.ntk_empirical(NET, ROWS, x), "others"),
    "KernelOperator": (KernelOperator, "inputs"),
    "TwoLayerReLU": (NET, "inputs"),
    "train": (lambda x: train(inputs=x), "inputs"),
    "Design": (lambda x: data.Design("d", x, np.zeros(1, dtype=int)), "inputs"),
}


def refused(call, name, words):
    """That a call is refused in a line of the package's own, which has the one form."""
    with pytest.raises((ValueError, TypeError), match=words) as caught:
        call()
    line = str(caught.value)
    assert line.startswith(f"{name} must "), line
    assert "; got " in line
    assert "\n" not in line
    raised = Path(traceback.extract_tb(caught.tb)[-1].filename)
    assert PACKAGE in raised.parents, raised
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("value", "words"), [case[1:] for case in NO_MATRIX], ids=[case[0] for case in NO_MATRIX]
)
def test_what_is_no_matrix_of_numbers_is_refused_everywhere(value, words):
    for call, name in TAKE_ROWS.values():
        if not (value is None and name == "others"):
            refused(lambda call=call: call(value), name, words)


NO_NUMBERS = [case for case in NO_MATRIX if case[0] in WITHOUT_SHAPE]
TAKE_NUMBERS = {
    "train": (lambda x: train(observed=x), "observed"),
    "train_kernel_limit": (lambda x: limit(observed=x), "observed"),
    "gram": (lambda x: limit(gram=x), "gram"),
    "rms_error": (TRAINED.rms_error, "labels"),
    "margins": (TRAINED.margins, "labels"),
    "zero_one_error": (TRAINED_ON_CLASSES.zero_one_error, "labels"),
    "KernelOperator @": (lambda x: KernelOperator(ROWS) @ x, "vectors"),
    "encode": (lambda x: data.encode(x, 3), "labels"),
    "groups": (lambda x: data.Design("d", np.eye(3), x), "groups"),
    "clean_class": (lambda x: data.Dataset(DESIGN, 2, x, DESIGN.groups), "clean_class"),
}


@pytest.mark.parametrize(
    ("value", "words"), [case[1:] for case in NO_NUMBERS], ids=[case[0] for case in NO_NUMBERS]
)
def test_what_holds_no_numbers_is_refused_everywhere(value, words):
    for call, name in TAKE_NUMBERS.values():
        refused(lambda call=call: call(value), name, words)


OPERATOR = KernelOperator(ROWS)
HIDDEN, OUTPUT = NET.hidden, NET.output
REFUSED = [
    # shapes of points
    (lambda: NET(ROWS[0]), "inputs", r"give inputs\[None, :\]"),
    (lambda: NET(ROWS[:, :4]), "inputs", r"5 features.*got the shape \(6, 4\)"),
    (lambda: NET(ROWS[:4].T), "inputs", r"5 features.*got the shape \(5, 4\)"),
    (lambda: train(inputs=ROWS.T), "inputs", r"5 features.*\(5, 6\)"),
    (lambda: train(inputs=ROWS[:3].T), "inputs", r"5 features.*\(5, 3\); give its transpose"),
    (lambda: kernels.ntk_limit(ROWS, ROWS[:, :3]), "others", r"5 features.*got the shape"),
    (lambda: kernels.ntk_empirical(NET, ROWS, ROWS[:, :3]), "others", "5 features"),
    (lambda: kernels.ntk_empirical(NET, ROWS[:, :3]), "inputs", "5 features"),
    (lambda: kernels.angles([[0.0, 0.0], [1.0, 0.0]]), "inputs", "zero row; remove row 0"),
    (lambda: kernels.angles([[1.0, 0.0]], [[1, 0], [0, 0]]), "others", "zero row; remove row 1"),
    # labels
    (lambda: train(observed=SIGNS[:5]), "observed", r"\(6,\) or \(6, 1\); got the shape \(5,\)"),
    (lambda: train(observed=np.ones(7)), "observed", r"got the shape \(7,\)"),
    (lambda: train(observed=SIGNS[None]), "observed", r"\(1, 6\); give its transpose"),
    (lambda: train(observed=ONE_HOT), "observed", r"\(6,\) or \(6, 1\); got the shape \(6, 3\)"),
    (lambda: train(observed=1.0), "observed", "got a number"),
    (lambda: train(network=THREE, observed=CLASSES), "observed", r"rows of 3.*np.eye\(3\)\[obs"),
    (lambda: train(network=THREE, observed=SIGNS), "observed", "rows of 3 numbers"),
    (lambda: train(network=THREE, observed=ONE_HOT.T), "observed", r"\(3, 6\); give its transp"),
    (lambda: train(network=THREE, observed=ONE_HOT[:, :2]), "observed", r"got the shape \(6, 2\)"),
    (lambda: limit(observed=SIGNS[:5]), "observed", r"got the shape \(5,\)"),
    (lambda: limit(observed=np.ones((6, 1, 1))), "observed", r"got the shape \(6, 1, 1\)"),
    (lambda: TRAINED.rms_error(SIGNS[:5]), "labels", r"got the shape \(5,\)"),
    (lambda: TRAINED.rms_error(1.0), "labels", "got a number"),
    (lambda: TRAINED.rms_error(SIGNS[None]), "labels", "give its transpose labels.T"),
    (lambda: TRAINED.rms_error(ONE_HOT), "labels", r"got the shape \(6, 3\)"),
    (lambda: TRAINED.margins(0.5 * SIGNS), "labels", r"\+1 or -1"),
    (lambda: TRAINED.zero_one_error(CLASSES), "labels", "class numbers from 0 to 2"),
    (lambda: TRAINED_ON_CLASSES.rms_error(ONE_HOT.T), "labels", "give its transpose labels.T"),
    (lambda: TRAINED_ON_CLASSES.rms_error(CLASSES), "labels", r"np.eye\(3\)\[labels\]"),
    (lambda: TRAINED_ON_CLASSES.margins(ONE_HOT / 2), "labels", "one-hot rows"),
    (lambda: data.encode([0, 1, 2], 2), "labels", "class numbers 0, 1, ..., 1; got 2"),
    (lambda: data.encode([0, 0.5], 2), "labels", "class numbers.*got 0.5"),
    (lambda: data.encode([0, -2], 2), "labels", "class numbers.*got -2"),
    (lambda: data.encode([True, False], 2), "labels", r"truth values; give labels.astype\(int\)"),
    (lambda: data.encode(ONE_HOT, 3), "labels", r"got the shape \(6, 3\)"),
    (lambda: data.encode([0, 1], 2.0), "classes", r"whole number; got 2.0; give int\(classes\)"),
    (lambda: data.encode([0], 1), "classes", "at least 2"),
    # the kernel limit and products
    (lambda: limit(gram=ROWS), "gram", r"square and non-empty; got shape \(6, 5\)"),
    (lambda: limit(gram=GRAM[0]), "gram", r"square and non-empty; got shape \(6,\)"),
    (lambda: limit(gram=np.triu(GRAM)), "gram", "symmetric.*use the train/train block"),
    (lambda: limit(gram=GRAM[:5, :5]), "observed", r"\(5,\).*got the shape \(6,\)"),
    (lambda: OPERATOR @ SIGNS[:5], "vectors", r"\(6,\) or \(6, k\); got the shape \(5,\)"),
    (lambda: OPERATOR @ SIGNS[None], "vectors", r"got the shape \(1, 6\)"),
    (lambda: OPERATOR @ np.ones((6, 2, 2)), "vectors", r"got the shape \(6, 2, 2\)"),
    (lambda: OPERATOR @ 1.0, "vectors", "got a number"),
    # steps, rates, records
    *(
        (lambda call=call, bad=bad: call(steps=bad), "steps", words)
        for call in (train, limit)
        for bad, words in [
            (3.0, r"whole number; got 3.0; give int\(steps\)"),
            (True, "whole number; got True"),
            (np.bool_(True), "whole number; got "),
            (torch.tensor(True), "whole number; got "),
            ("3", "whole number; got '3'"),
            (None, "whole number; got None"),
            ([3], r"whole number; got \[3\]"),
            (0, "at least 1; got 0"),
            (-2, "at least 1; got -2"),
        ]
    ),
    *(
        (lambda call=call, bad=bad: call(learning_rate=bad), "learning_rate", words)
        for call in (train, limit)
        for bad, words in [
            (0, "positive and finite; got 0"),
            (-1.0, "positive and finite; got -1"),
            (NAN, "positive and finite; got nan"),
            (torch.tensor(INF), "positive and finite; got inf"),
            (True, "real number; got True"),
            ("0.1", "shape|real numbers; got text"),
            (None, "real number; got None"),
            (1j, "real number; got 1j"),
            ([0.1] * 3, r"\(4,\); got the shape \(3,\); give a number, or one rate"),
            ([0.1, 0.1, -0.1, 0.1], "not negative at every step; got -0.1"),
            ([0.1, 0.1, NAN, 0.1], r"finite; got nan at \(2,\)"),
            ([[0.1], [0.1, 0.2]], "parts of different lengths"),
            (np.ones((4, 1)), r"got the shape \(4, 1\)"),
        ]
    ),
    (lambda: train(record=[-1]), "record", r"0..4 \(steps of the run\); got -1"),
    (lambda: train(record=[5]), "record", "0..4"),
    (lambda: train(record=[]), "record", "not be empty"),
    (lambda: train(record=3), "record", r"several whole numbers; got 3; give \[3\]"),
    (lambda: train(record=[1.0]), "record", r"whole number; got 1.0"),
    (lambda: train(record=np.ones(5, dtype=bool)), "record", "whole number; got "),
    (lambda: train(record="12"), "record", "list of whole numbers; got '12'"),
    (lambda: train(record=None, steps=2, layers="all"), "layers", "'first' or 'both'; got 'all'"),
    (lambda: train(layers=None), "layers", "'first' or 'both'; got None"),
    (lambda: train(loss="hinge"), "loss", "'square' or 'cross-entropy'; got 'hinge'"),
    (lambda: limit(loss=2), "loss", "'square' or 'cross-entropy'; got 2"),
    (lambda: train(keep_network="no"), "keep_network", "True or False; got 'no'"),
    (lambda: train(network=HIDDEN), "network", "TwoLayerReLU or DrawnNets; got Tensor"),
    (lambda: train(distillation=Power(3.0)), "distillation", "a Distillation; got Power"),
    (lambda: limit(distillation="plain"), "distillation", "a Distillation; got str"),
    # nets
    (
        lambda: network.TwoLayerReLU(HIDDEN, OUTPUT[:, :, :5]),
        "output",
        r"\(2, C, 16\).*\(2, 1, 5\)",
    ),
    (lambda: network.TwoLayerReLU(HIDDEN, OUTPUT[:1]), "output", r"\(2, C, 16\).*\(1, 1, 16\)"),
    (lambda: network.TwoLayerReLU(HIDDEN, OUTPUT.mT), "output", r"\(2, C, 16\).*\(2, 16, 1\)"),
    (lambda: network.TwoLayerReLU(HIDDEN, OUTPUT[:, 0]), "output", r"\(S, C, m\).*\[None\]"),
    (lambda: network.TwoLayerReLU(HIDDEN[0], OUTPUT), "hidden", r"\(S, m, d\).*hidden\[None\]"),
    (lambda: network.TwoLayerReLU(HIDDEN.float(), OUTPUT), "output", "torch.float32 on cpu"),
    (
        lambda: network.TwoLayerReLU(HIDDEN.numpy(), OUTPUT),
        "hidden",
        "a tensor of torch; got ndarr",
    ),
    (lambda: network.TwoLayerReLU(HIDDEN.int(), OUTPUT), "dtype of hidden", "got torch.int32"),
    (lambda: kernels.ntk_empirical(network.DrawnNets(4, 5, (0,)), ROWS), "network", "keep()"),
    *(
        (lambda make=make, bad=bad: make(4, 3, seeds=bad), "seeds", words)
        for make in (network.initialise, network.DrawnNets)
        for bad, words in [
            (5, r"several whole numbers; got 5; give \[5\]"),
            ([1.0], r"whole number; got 1.0"),
            ([True], "whole number; got True"),
            (np.array([True]), "whole number; got "),
            (np.array([0.0, 1.0]), "whole number; got "),
            (torch.tensor([0.0]), "whole number; got "),
            ([], "not be empty"),
            ([-1], r"0..4294967295 .*; got -1"),
            ([2**32], "got 4294967296"),
            ("12", "list of whole numbers; got '12'"),
            (None, "list of whole numbers; got None"),
            (np.eye(2, dtype=int), "list of whole numbers"),
        ]
    ),
    *(
        (
            lambda change=change: network.DrawnNets(
                **{"width": 4, "dimension": 3, "seeds": [0]} | change
            ),
            *line,
        )
        for change, *line in [
            ({"width": 4.0}, "width", r"whole number; got 4.0; give int\(width\)"),
            ({"width": True}, "width", "whole number; got True"),
            ({"width": 3}, "width", "even for antisymmetric"),
            ({"dimension": 0}, "dimension", "at least 1; got 0"),
            ({"outputs": "1"}, "outputs", "whole number; got '1'"),
            ({"scale": NAN}, "scale", "positive and finite; got nan"),
            ({"scale": None}, "scale", "real number; got None"),
            ({"output_scale": 0}, "output_scale", "positive and finite; got 0"),
            ({"antisymmetric": "yes"}, "antisymmetric", "True or False; got 'yes'"),
            ({"antisymmetric": 1}, "antisymmetric", "True or False; got 1"),
        ]
    ),
    # kernels
    (lambda: kernels.ntk_limit(ROWS, layers="second"), "layers", "'first' or 'both'; got 'second'"),
    (lambda: kernels.ntk_empirical(NET, ROWS, layers=1), "layers", "'first' or 'both'; got 1"),
    (lambda: KernelOperator(ROWS, layers=["both"]), "layers", r"'first' or 'both'; got \['both'\]"),
    (lambda: KernelOperator(ROWS, memory=NAN), "memory", "positive number of bytes; got nan"),
    (lambda: KernelOperator(ROWS, memory="8GiB"), "memory", "real number; got '8GiB'"),
    # data
    *(
        (lambda call=call, bad=bad: call(rng=bad), "rng", words)
        for call in (
            lambda rng: data.noisy_labels(DESIGN, noise_rate=0.4, rng=rng),
            lambda rng: data.power_law(4, 3, exponent=1.0, rng=rng),
            lambda rng: data.gaussian_clusters(2, 2, 3, radius=0.1, rng=rng),
            lambda rng: data.equicorrelated_clusters(2, 3, ratio=4.0, dimension=5, rng=rng),
        )
        for bad, words in [
            (3, r"numpy.random.Generator; got 3; give np.random.default_rng\(3\)"),
            (np.random.RandomState(0), r"got RandomState.*give np.random.default_rng\(seed\)"),
            (torch.Generator(), r"give np.random.default_rng\(seed\)"),
        ]
    ),
    *(
        (
            lambda change=change: data.noisy_labels(
                **{"design": DESIGN, "noise_rate": 0.4, "rng": an_rng()} | change
            ),
            *line,
        )
        for change, *line in [
            ({"noise_rate": NAN}, "noise_rate", r"\[0, 1\), a share of labels; got nan"),
            ({"noise_rate": 1}, "noise_rate", r"\[0, 1\).*got 1"),
            ({"noise_rate": "0.3"}, "noise_rate", "real number; got '0.3'"),
            ({"noise_rate": [0.3]}, "noise_rate", r"real number; got \[0.3\]"),
            ({"classes": 2.0}, "classes", "whole number; got 2.0"),
            ({"classes": 1}, "classes", "at least 2"),
            ({"noise": "uniform"}, "noise", "'symmetric' or 'pair'; got 'uniform'"),
            ({"noise": None}, "noise", "'symmetric' or 'pair'; got None"),
            ({"count": "all"}, "count", "'exact', 'balanced' or 'iid'; got 'all'"),
            ({"design": ROWS}, "design", "a Design; got ndarray"),
        ]
    ),
    (lambda: data.equicorrelated_clusters(2.0, 3, ratio=4.0), "clusters", "whole number; got 2.0"),
    (lambda: data.equicorrelated_clusters(2, "3", ratio=4.0), "points", "whole number; got '3'"),
    (lambda: data.equicorrelated_clusters(2, 3, ratio="4"), "ratio", "real number; got '4'"),
    (lambda: data.equicorrelated_clusters(2, 3, angle=True), "angle", "real number; got True"),
    (lambda: data.tree(2, 2, 2.5, class_ratio=2, super_ratio=3), "points", "whole number; got 2.5"),
    (lambda: data.tree(2, 2, 2, class_ratio="a", super_ratio=3), "class_ratio", "real number"),
    (lambda: data.circle(6, arcs=1.5), "arcs", "whole number; got 1.5"),
    (lambda: data.circle(np.float64(6)), "points", r"whole number; got .*give int\(points\)"),
    (lambda: data.Design("d", ROWS, np.zeros(6, int)), "inputs", "unit rows; got norm"),
    (lambda: data.Design("d", np.eye(3), [0, 1]), "groups", r"\(3,\).*got the shape \(2,\)"),
    (lambda: data.Design("d", np.eye(3), [0, 1, 0.5]), "groups", "class numbers.*got 0.5"),
    (lambda: data.Design("d", np.eye(3), [0, 0, 1], ((1.0, 2),)), "levels", "3 points; got 2"),
    (lambda: replace(DATASET, clean_class=DATASET.clean), "clean_class", "got -1; of labels"),
    (lambda: replace(DATASET, observed_class=[0, 1]), "observed_class", r"got the shape \(2,\)"),
    (lambda: replace(DATASET, classes=1), "classes", "at least 2"),
    (lambda: replace(DATASET, design=ROWS), "design", "a Design; got ndarray"),
    # schedules and policies
    (lambda: Constant("1"), "level", "real number; got '1'"),
    (lambda: Constant(NAN), "level", r"\[0, 1\], a weight; got nan"),
    (lambda: Power(True), "decay", "real number; got True"),
    (lambda: Power(1.0, [1]), "exponent", "real number"),
    (lambda: BurnIn(2.0, Power(3.0)), "steps", "whole number; got 2.0"),
    (lambda: BurnIn(2, BurnIn(2, Power(3.0))), "then", "without a burn-in.*got BurnIn"),
    (lambda: BurnIn(2, 0.5), "then", "schedule.*got float"),
    (lambda: Distillation(0.5), "schedule", "schedule of this module; got float"),
    (lambda: Distillation(Power(3.0), target="firm"), "target", "'hard', 'soft' or 'tempered'"),
    (lambda: Distillation(Power(3.0), epoch=2.0), "epoch", "whole number; got 2.0"),
    (lambda: Distillation(Power(3.0), epoch=2, restart=1), "restart", "True or False; got 1"),
    (lambda: Distillation(Power(3.0), temperature="hot"), "temperature", "real number; got 'hot'"),
    (lambda: targets.weights(Power(3.0), 2.0), "steps", "whole number; got 2.0"),
    (lambda: targets.weights(0.5, 2), "schedule", "schedule of this module; got float"),
    (lambda: targets.parse_schedule(3, burn_in=1, decay=1.0), "text", "NAME.*got int"),
    (lambda: targets.format_schedule(Power(3.0)), "schedule", "a BurnIn; got Power"),
    (lambda: targets.harden(SIGNS), "outputs", "a tensor of real numbers; got ndarray"),
    (lambda: targets.harden(torch.tensor(1.0)), "outputs", r"last axis.*\[..., None\]"),
    (lambda: targets.temper(torch.ones(2, 1), 0.0), "temperature", "positive and finite"),
    (lambda: targets.predict(torch.ones(2, 1), "hinge"), "loss", "got 'hinge'"),
    (lambda: FADING.teach(torch.ones(1, 6, 1), torch.ones(6), 0), "observed", r"\(n, C\)"),
    (lambda: FADING.teach(torch.ones(6, 1), torch.ones(6, 1), 0), "teacher", r"\(S, n, C\)"),
    (lambda: FADING.teach(torch.ones(1, 6, 1), torch.ones(1, 6), 0), "observed", r"\(n, C\)"),
]


@pytest.mark.parametrize(
    ("call", "name", "words"), REFUSED, ids=[f"{i}-{line[1]}" for i, line in enumerate(REFUSED)]
)
def test_what_does_not_fit_is_refused_in_a_line(call, name, words):
    refused(call, name, words)
