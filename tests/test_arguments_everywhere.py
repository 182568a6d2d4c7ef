"""Every argument of every public function, in every layout and kind, and what each refuses.

Rules of single functions have their tests in `test_arguments.py`.
"""

import dataclasses
import re
import traceback
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import ntk_theory
from ntk_theory import data, kernels, network, spectrum, training
from ntk_theory.streaming import KernelOperator
from ntk_theory.targets import (
    PLAIN,
    Agreement,
    BurnIn,
    Constant,
    Distillation,
    Geometric,
    Power,
    parse_schedule,
    weights,
)

DRAW = np.random.default_rng(0)
INPUTS = DRAW.permutation(np.tile([-2.0, -1.0, 1.0, 2.0, 3.0, 0.0], 3)).reshape(6, 3)
INPUTS[:, 0] += 4 * (np.abs(INPUTS).sum(axis=1) == 0)
OTHERS = INPUTS[:4] + np.eye(4, 3)
SIGNS = np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
CLASSES = np.array([0, 1, 2, 0, 1, 2])
ONE_HOT = np.eye(3)[CLASSES]
GRAM = INPUTS @ INPUTS.T + 20 * np.eye(6)
GRAM.setflags(write=False)
DESIGN = data.Design("axes", np.eye(6), np.arange(6) // 2)
NETS = network.initialise(8, 3, seeds=[1, 2], antisymmetric=False)
THREE = network.initialise(8, 3, seeds=[1, 2], outputs=3, antisymmetric=False)
RATES = np.array([1.0, 0.0, 2.0]) / 128
SPECTRUM = spectrum.eigendecomposition(GRAM)
LARGE = np.diag(np.arange(1.0, 21.0))


def rng():
    return np.random.default_rng(0)


def train(inputs=INPUTS, observed=SIGNS, *, nets=NETS, taught=PLAIN, rate=0.01, steps=3, **options):
    return training.train(
        nets, inputs, observed, taught, learning_rate=rate, steps=steps, **options
    )


def limit(gram=GRAM, observed=SIGNS, *, taught=PLAIN, rate=0.01, steps=3, **options):
    return training.train_kernel_limit(
        gram, observed, taught, learning_rate=rate, steps=steps, **options
    )


TRAINED = train()
OF_THREE = train(observed=ONE_HOT, nets=THREE)

ARRAYS = {
    ("angles", "inputs"): (kernels.angles, INPUTS),
    ("angles", "others"): (lambda x: kernels.angles(INPUTS, x), OTHERS),
    ("ntk_limit", "inputs"): (kernels.ntk_limit, INPUTS),
    ("ntk_limit", "others"): (lambda x: kernels.ntk_limit(INPUTS, x), OTHERS),
    ("ntk_limit in float32", "inputs"): (
        lambda x: kernels.ntk_limit(x, dtype="float32", layers="both"),
        INPUTS,
    ),
    ("ntk_empirical", "inputs"): (lambda x: kernels.ntk_empirical(NETS, x), INPUTS),
    ("ntk_empirical", "others"): (lambda x: kernels.ntk_empirical(NETS, INPUTS, x), OTHERS),
    ("TwoLayerReLU", "inputs"): (NETS, INPUTS),
    ("KernelOperator", "inputs"): (lambda x: KernelOperator(x).dense(), INPUTS),
    ("KernelOperator @", "vectors"): (lambda v: KernelOperator(INPUTS) @ v, SIGNS),
    ("KernelOperator @ several", "vectors"): (lambda v: KernelOperator(INPUTS) @ v, INPUTS),
    ("eigendecomposition", "gram"): (spectrum.eigendecomposition, GRAM),
    ("lambda_min", "gram"): (spectrum.lambda_min, GRAM),
    ("eigenvalue_nearest_zero", "gram"): (spectrum.eigenvalue_nearest_zero, GRAM),
    ("Spectrum.project", "values"): (SPECTRUM.project, SIGNS),
    ("Spectrum.bands", "labels"): (
        lambda z: np.array([(band.start, band.stop) for band in SPECTRUM.bands(z)]),
        SIGNS,
    ),
    ("retrieved_share", "steps"): (
        lambda t: spectrum.retrieved_share(SPECTRUM, 0.01, t, SIGNS),
        np.arange(4.0),
    ),
    ("retrieved_share", "labels"): (
        lambda z: spectrum.retrieved_share(SPECTRUM, 0.01, [0, 1], z),
        SIGNS,
    ),
    ("extreme_eigenpairs", "guess"): (
        lambda g: spectrum.extreme_eigenpairs(LARGE, 1, rng=rng(), guess=g),
        np.arange(20.0),
    ),
    ("Design", "inputs"): (lambda x: data.Design("axes", x, np.arange(6)).inputs, np.eye(6)),
    ("Design", "groups"): (lambda g: data.Design("axes", np.eye(6), g).groups, CLASSES),
    ("Dataset", "clean_class"): (lambda c: data.Dataset(DESIGN, 3, c, CLASSES).clean, CLASSES),
    ("Dataset", "observed_class"): (
        lambda c: data.Dataset(DESIGN, 3, CLASSES, c).observed,
        CLASSES,
    ),
    ("encode", "labels"): (lambda c: data.encode(c, 3), CLASSES),
    ("train", "inputs"): (train, INPUTS),
    ("train", "observed"): (lambda y: train(observed=y), SIGNS),
    ("train three outputs", "observed"): (lambda y: train(observed=y, nets=THREE), ONE_HOT),
    ("train", "learning_rate"): (lambda r: train(rate=r), 128 * RATES),
    ("train_kernel_limit", "gram"): (limit, GRAM),
    ("train_kernel_limit", "observed"): (lambda y: limit(observed=y), SIGNS),
    ("train_kernel_limit three outputs", "observed"): (lambda y: limit(observed=y), ONE_HOT),
    ("train_kernel_limit", "learning_rate"): (lambda r: limit(rate=r), 128 * RATES),
    ("rms_error", "labels"): (TRAINED.rms_error, SIGNS),
    ("rms_error three outputs", "labels"): (OF_THREE.rms_error, ONE_HOT),
    ("margins", "labels"): (TRAINED.margins, SIGNS),
    ("margins three outputs", "labels"): (OF_THREE.margins, ONE_HOT),
    ("zero_one_error", "labels"): (TRAINED.zero_one_error, SIGNS),
}
"""Every array that a public function takes: a call with it, and a good value."""


def numbers_of(result):
    """All arrays of a result."""
    if isinstance(result, np.ndarray):
        return [result]
    if isinstance(result, torch.Tensor):
        return [result.numpy()]
    if dataclasses.is_dataclass(result):
        return [
            part
            for field in dataclasses.fields(result)
            for part in numbers_of(getattr(result, field.name))
        ]
    return [np.asarray(result if result is not None else 0)]


def read_only(values):
    frozen = values.copy()
    frozen.setflags(write=False)
    return frozen


def reversed_(values):
    return np.ascontiguousarray(values[::-1])[::-1]


def spread(values):
    wide = np.zeros((2 * len(values), *values.shape[1:]))
    wide[::2] = values
    return wide[::2]


KINDS = {
    "reversed strides": reversed_,
    "reversed strides of every axis": lambda x: np.flip(np.flip(x).copy()),
    "strides of two": spread,
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "read-only Fortran": lambda x: read_only(np.asfortranarray(x)),
    "list": lambda x: x.tolist(),
    "tuple of arrays": lambda x: tuple(np.asarray(x)),
    "list of tensors": lambda x: list(torch.as_tensor(np.array(x))),
    "torch": lambda x: torch.as_tensor(np.array(x)),
    "torch requires_grad": lambda x: torch.tensor(np.array(x, dtype=float), requires_grad=True),
    "torch bfloat16": lambda x: torch.tensor(np.array(x)).bfloat16(),
    "torch of strides": lambda x: torch.as_tensor(np.array(spread(x)).repeat(2, axis=0))[::2],
    "torch int": lambda x: torch.as_tensor(np.array(x)).long(),
    "int": lambda x: x.astype(np.int64),
    "int8": lambda x: x.astype(np.int8),
    "float16": lambda x: x.astype(np.float16),
    "longdouble": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f8"),
    "big-endian int": lambda x: x.astype(">i4"),
    "object": lambda x: x.astype(object),
    "object of ints": lambda x: x.astype(int).astype(object),
    "unmasked": lambda x: np.ma.masked_array(x),
    "unaligned": lambda x: np.frombuffer(b"0" + x.astype(float).tobytes(), offset=1).reshape(
        x.shape
    ),
}
FEATURES = ("angles", "ntk_limit", "ntk_empirical", "TwoLayerReLU", "KernelOperator", "train")


def as_inference_tensor(values):
    with torch.inference_mode():
        return torch.as_tensor(np.array(values))


KINDS["torch of inference mode"] = as_inference_tensor


@cache
def plain_results():
    """What every call gives for plain arrays."""
    return {key: bits(call(plain.copy())) for key, (call, plain) in ARRAYS.items()}


def bits(result):
    return [(part.dtype, part.shape, part.tobytes()) for part in numbers_of(result)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_and_the_kind_of_an_array_change_no_bit(kind):
    changed = {}
    for key, (call, plain) in ARRAYS.items():
        try:
            if bits(call(KINDS[kind](plain))) != plain_results()[key]:
                changed[key] = "other numbers"
        except Exception as error:  # all of them are listed
            changed[key] = repr(error)
    assert not changed


def test_nothing_that_is_handed_in_is_changed():
    for key, (call, plain) in ARRAYS.items():
        given = plain.copy()
        call(given)
        assert given.tobytes() == plain.tobytes(), key


# ---------------------------------------------------------------- what is refused


def refusal(call, *values, **options):
    """Message of a refusal that the package itself made, in one line."""
    with pytest.raises((ValueError, TypeError)) as caught:
        call(*values, **options)
    frames = traceback.extract_tb(caught.value.__traceback__)
    package = Path(ntk_theory.__file__).parent
    assert Path(frames[-1].filename).is_relative_to(package), (frames[-1], str(caught.value))
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 400
    return message


def with_first(values, first):
    changed = np.array(values, dtype=object if isinstance(first, str | None) else float)
    changed[(0,) * changed.ndim] = first
    return changed


def masked(values):
    mask = np.zeros(values.shape, dtype=bool)
    mask[(0,) * values.ndim] = True
    return np.ma.masked_array(values, mask)


class Unknown:
    """No array."""


BAD = {
    "complex": (lambda x: x.astype(complex), "must hold real numbers; got complex"),
    "torch complex": (
        lambda x: torch.tensor(np.array(x)).to(torch.complex128),
        "must hold real numbers",
    ),
    "object of complex": (lambda x: x.astype(complex).astype(object), "must hold real numbers"),
    "text": (lambda x: x.astype(str), "must hold real numbers; got text"),
    "list of text": (lambda x: x.astype(str).tolist(), "must hold real numbers; got text"),
    "one text": (lambda x: with_first(x, "a"), "must hold real numbers; got the text 'a'"),
    "one None": (lambda x: with_first(x, None), "must hold real numbers; got None"),
    "dates": (lambda x: x.astype("M8[s]"), "must hold real numbers"),
    "masked": (masked, "must hold a number everywhere; got masked"),
    "NaN": (lambda x: with_first(x, np.nan), "must be .*finite"),
    "infinity": (lambda x: with_first(x, -np.inf), "must be .*finite"),
    "torch NaN": (lambda x: torch.as_tensor(with_first(x, np.nan)), "must be .*finite"),
    "empty": (lambda x: x[:0], "must .*got .*shape|must not be empty"),
    "a number": (lambda x: 1.5, "must "),
    "none": (lambda x: Unknown(), "must "),
    "a dict": (lambda x: {"a": 1.0}, "must "),
    "a set": (lambda x: {1.0, 2.0}, "must "),
    "a text": (lambda x: "inputs.npy", "must "),
    "ragged": (lambda x: [[1.0, 2.0], [1.0]], "must "),
    "three axes": (lambda x: np.zeros((2, 2, 2)), "must "),
    "one more": (lambda x: np.concatenate([x, x[:1]]), "must "),
    "one less": (lambda x: x[:-1], "must "),
    "sparse": (lambda x: torch.eye(6, dtype=torch.float64, device="cpu").to_sparse(), "must "),
    "meta": (lambda x: torch.empty(x.shape, dtype=torch.float64, device="meta"), "must "),
}
ANY_LENGTH = {
    ("angles", "inputs"), ("angles", "others"), ("ntk_limit", "inputs"), ("ntk_limit", "others"),
    ("ntk_limit in float32", "inputs"), ("ntk_empirical", "inputs"), ("ntk_empirical", "others"),
    ("TwoLayerReLU", "inputs"), ("KernelOperator", "inputs"), ("retrieved_share", "steps"),
    ("encode", "labels"),
}  # fmt: skip
"""Of which there may be any number."""
FITTING = {("Design", "inputs"): "(inputs|groups)", ("train", "inputs"): "(inputs|observed)"}
ANY_AXES = {
    ("Spectrum.project", "values"): ("empty",),
    ("train", "learning_rate"): ("a number",),
    ("train_kernel_limit", "learning_rate"): ("a number",),
}
"""Of which there may be none, or of which one number is right, too."""


@pytest.mark.parametrize("kind", BAD)
def test_bad_arrays_are_refused_by_name_in_one_line(kind):
    make, words = BAD[kind]
    others = {}
    for key, (call, plain) in ARRAYS.items():
        if key in ANY_LENGTH and kind in ("one more", "one less"):
            continue
        if key in ANY_AXES and kind in ANY_AXES[key]:
            continue
        # Of rows and what belongs to them either may be the one that does not fit.
        name = FITTING.get(key, key[1])
        pattern = rf"^{name} ({words})"
        try:
            message = refusal(call, make(plain))
        except (AssertionError, pytest.fail.Exception) as wrong:
            others[key] = str(wrong)
        else:
            if not re.search(pattern, message):
                others[key] = message
    assert not others


# ---------------------------------------------------------------- numbers, words, seeds


def nets(width=8, dimension=3, seeds=(1, 2), **options):
    return network.initialise(width, dimension, seeds=seeds, **options)


def drawn(width=8, dimension=3, seeds=(1, 2), **options):
    return network.DrawnNets(width, dimension, seeds, **options)


def noisy(design=DESIGN, *, noise_rate=0.5, **options):
    return data.noisy_labels(design, noise_rate=noise_rate, **({"rng": rng()} | options))


def clusters(clusters=2, points=3, **options):
    return data.equicorrelated_clusters(
        clusters, points, **({"ratio": 5.0, "rng": rng()} | options)
    )


def tree(superclasses=2, classes=2, points=2, class_ratio=3.0, super_ratio=9.0, **options):
    return data.tree(
        superclasses, classes, points, class_ratio=class_ratio, super_ratio=super_ratio, **options
    )


def power_law(points=6, dimension=3, **options):
    return data.power_law(points, dimension, **({"exponent": 1.0, "rng": rng()} | options))


def gaussian(clusters=2, points=3, dimension=3, **options):
    options = {"radius": 0.3, "rng": rng()} | options
    return data.gaussian_clusters(clusters, points, dimension, **options)


def pairs(operator=LARGE, count=1, **options):
    return spectrum.extreme_eigenpairs(operator, count, **({"rng": rng()} | options))


def share(learning_rate=0.01, steps=(0, 1)):
    return spectrum.retrieved_share(SPECTRUM, learning_rate, steps, SIGNS)


def operator(inputs=INPUTS, **options):
    return KernelOperator(inputs, **options)


def limiting(inputs=INPUTS, **options):
    return kernels.ntk_limit(inputs, **options)


def empirical(network=NETS, inputs=INPUTS, **options):
    return kernels.ntk_empirical(network, inputs, **options)


def net(hidden, output):
    return network.TwoLayerReLU(hidden, output)


def bands(**options):
    return SPECTRUM.bands(SIGNS, **options)


def zeros(*shape, **options):
    return torch.zeros(shape, **({"dtype": torch.float64, "device": "cpu"} | options))


WHOLE = [
    (nets, "width", 0), (nets, "dimension", 0), (nets, "outputs", 0), (drawn, "width", 0),
    (drawn, "dimension", 0), (drawn, "outputs", 0), (noisy, "classes", 1),
    (clusters, "clusters", 1),
    (clusters, "points", 1), (clusters, "dimension", 1), (tree, "superclasses", 1),
    (tree, "classes", 1), (tree, "points", 1), (data.circle, "points", 2), (power_law, "points", 1),
    (power_law, "dimension", 1), (gaussian, "clusters", 1), (gaussian, "points", 1),
    (gaussian, "dimension", 1), (pairs, "count", 0), (pairs, "iterations", 0), (train, "steps", 0),
]  # fmt: skip
"""Public functions, an argument that is a whole number, and one too small."""


@pytest.mark.parametrize(("call", "name", "small"), WHOLE)
def test_whole_numbers_are_of_any_integer_kind_and_nothing_else(call, name, small):
    for bad in (small, np.int64(small), torch.tensor(small), -1):
        assert re.search(rf"^{name} must .*got {int(bad)}", refusal(call, **{name: bad})), bad
    for bad in (True, np.True_, 3.5, 4.0, np.float64(4), "4", None, [4], np.array([4]), 4j):
        if bad is None and name == "dimension" and call is clusters:
            continue
        assert refusal(call, **{name: bad}).startswith(f"{name} must be a whole number; got"), bad
    for good in (np.int64(4), np.uint8(4), np.array(4), torch.tensor(4)):
        assert bits(call(**{name: good})) == bits(call(**{name: 4})), good


REAL = [
    (nets, "scale", 0.0), (nets, "output_scale", -1.0), (drawn, "scale", np.inf),
    (drawn, "output_scale", 0), (noisy, "noise_rate", 1.0), (noisy, "noise_rate", -0.1),
    (clusters, "ratio", 1.0), (clusters, "cross_cosine", 1.0), (tree, "cross_cosine", -0.1),
    (tree, "class_ratio", 1.0), (tree, "super_ratio", 2.0), (power_law, "exponent", 0.0),
    (power_law, "kept", 0.0), (gaussian, "radius", 0.0), (share, "learning_rate", 0.0),
    (pairs, "tolerance", 0.0), (operator, "memory", 0.0), (operator, "memory", 1.0),
    (bands, "factor", 0.5), (bands, "least", 2.0), (train, "rate", 0.0), (limit, "rate", -1.0),
    (Constant, "level", 1.5), (Power, "decay", 0.0), (Geometric, "decay", -1.0),
]  # fmt: skip
"""Public functions, an argument that is a number, and one out of range."""


@pytest.mark.parametrize(("call", "name", "bad"), REAL)
def test_numbers_are_real_and_in_range(call, name, bad):
    argument = {"rate": "learning_rate", "class_ratio": "the ratios", "super_ratio": "the ratios"}
    words = rf"^({name}|{argument.get(name, name)}) must "
    for value in (bad, np.float32(bad), np.nan, torch.tensor(bad), -np.inf):
        assert re.search(words, refusal(call, **{name: value})), value
    for value in ("0.5", 0.5j, [0.5, "a"], True, {}, Unknown()):
        assert re.search(words, refusal(call, **{name: value})), value


WORDS = [
    (operator, "layers"), (operator, "dtype"), (operator, "device"), (nets, "dtype"),
    (nets, "device"), (drawn, "dtype"), (drawn, "device"), (noisy, "noise"), (noisy, "count"),
    (pairs, "end"), (train, "layers"), (train, "loss"), (train, "precision"), (limit, "loss"),
    (lambda **options: Distillation(Constant(1.0), **options), "target"),
]  # fmt: skip
"""Public functions, and an argument of which there are a few choices."""


@pytest.mark.parametrize(("call", "name"), WORDS)
def test_a_choice_names_what_there_is(call, name):
    for bad in ("gpu", "", "float16", 3.5, ["first"], Unknown(), torch.float16, np.int64):
        message = refusal(call, **{name: bad})
        assert re.search(rf"^{name} must be .*'.*(or|and) .*'.*; got ", message), message


def test_cuda_where_there_is_none_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for call in (limiting, operator, nets, drawn):
        assert re.search("^device must .*cuda.*'cpu'", refusal(call, device="cuda"))


@pytest.mark.parametrize("bad", [0, np.int64(3), None, "seed", np.random.RandomState(0), np.random])
def test_a_generator_is_asked_for_by_how_to_make_one(bad):
    for call in (noisy, power_law, gaussian, pairs):
        message = refusal(call, rng=bad)
        assert message.startswith("rng must be a numpy.random.Generator; got "), message
        assert "np.random.default_rng(" in message


META = zeros(2, 4, 3, device="meta"), zeros(2, 1, 4, device="meta")
REFUSED = [
    (net, (zeros(2, 4), zeros(2, 1, 4)), "hidden must have the shape"),
    (net, (zeros(2, 4, 3), zeros(2, 1, 4, dtype=torch.float32)), "output must be torch.float64"),
    (net, (zeros(2, 4, 3), zeros(2, 1, 4, device="meta")), "device of output must be"),
    (NETS, (INPUTS[0],), r"inputs must .* single point give inputs\[None, :\]"),
    (NETS, (np.ones((4, 4)),), "inputs must have 3 features"),
    (NETS, (np.ones((3, 4)),), r"inputs must have 3 features.*give its transpose inputs\.T"),
    (data.Design, ("signs", np.eye(2), [1, -1]), "groups must be class numbers"),
    (data.Design, ("levels", np.eye(2), [0, 1], ((1.0, 3),)), "levels must have multiplicities"),
    (data.Design, ("levels", np.eye(2), [0, 1], ((1.0, 0.5), (2.0, 1.5))), "levels must have mult"),
    (data.Design, ("levels", np.eye(2), [0, 1], ((2.0, 1), (1.0, 1))), "levels must be ascending"),
    (data.Design, ("levels", np.eye(2), [0, 1], ((1.0, 1), (np.nan, 1))), "levels must be finite"),
    (data.Design, ("levels", np.eye(2), [0, 1], (1.0, 1.0)), r"levels must have the shape"),
    (data.Design, ("levels", np.eye(2), [0, 1], "ab"), "levels must hold real numbers"),
    (net, (META[0], META[1]), "device of hidden must be 'cpu' or 'cuda'; got .*meta"),
    (SPECTRUM.information, (7,), "rank must lie in 0..6"),
    (SPECTRUM.noise, (-1,), "rank must lie in 0..6"),
    (SPECTRUM.noise, (1.0,), "rank must be a whole number"),
    (pairs, (np.ones((20, 19)),), "operator must be square"),
    (weights, (Agreement(), 3), "schedule must"),
    (weights, (Constant(1.0), 2.5), "steps must be a whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "values", "words"), REFUSED)
def test_what_does_not_fit_is_refused(call, values, words):
    assert re.search(f"^{words}", refusal(call, *values))


# ---------------------------------------------------------------- labels

LABELLED = {
    "train": (lambda y: train(observed=y), "observed"),
    "train_kernel_limit": (lambda y: limit(observed=y), "observed"),
    "agreement": (lambda y: train(observed=y, taught=Distillation(Agreement())), "observed"),
    "agreement in the limit": (
        lambda y: limit(observed=y, taught=Distillation(BurnIn(1, Agreement()))),
        "observed",
    ),
    "rms_error": (TRAINED.rms_error, "labels"),
    "margins": (TRAINED.margins, "labels"),
    "zero_one_error": (TRAINED.zero_one_error, "labels"),
}


@pytest.mark.parametrize("function", LABELLED)
@pytest.mark.parametrize("kind", [int, float, bool, np.float32, object, torch.tensor])
def test_zeros_and_ones_are_refused_with_the_way_out(function, kind):
    call, name = LABELLED[function]
    plain = (SIGNS > 0).astype(int)
    given = kind(plain) if kind is torch.tensor else plain.astype(kind)
    assert re.search(rf"^{name} must be \+1 or -1.*2 \* {name} - 1", refusal(call, given))


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e-30, 1e20, 1e200])
def test_rows_of_any_size_have_the_same_angles(size):
    exact = np.ldexp(INPUTS, int(np.log2(size)))
    assert np.array_equal(kernels.angles(exact), kernels.angles(INPUTS))
    assert np.array_equal(kernels.angles(exact, OTHERS), kernels.angles(INPUTS, OTHERS))


@pytest.mark.parametrize(("dtype", "size"), [(torch.float64, 1e307), (torch.float32, 1e37)])
def test_outputs_that_overflow_are_refused_and_those_of_a_diverged_net_are_not(dtype, size):
    wide = network.initialise(4096, 3, seeds=[1], antisymmetric=False, dtype=dtype)
    assert re.search("^inputs must be of a size.*divide inputs", refusal(wide, size * INPUTS))
    assert np.isfinite(wide(1e-3 * size * INPUTS)).all()
    lost = dataclasses.replace(wide, output=wide.output * np.nan)
    assert np.isnan(lost(INPUTS)).all()


def test_what_watches_a_training_is_a_function():
    assert refusal(train, on_step=3).startswith("on_step must be a function")


def test_an_empty_precision_is_not_that_of_the_nets():
    assert refusal(train, precision="").startswith("precision must be")


def test_a_schedule_in_words_is_refused_by_its_part():
    assert refusal(parse_schedule, "power", burn_in="5", decay=1.0).startswith("burn_in must")
    for text in ("linear", "power:decay=-1", "power:rate=1", "constant", "power:decay=x"):
        refusal(parse_schedule, text, burn_in=1, decay=1.0)
