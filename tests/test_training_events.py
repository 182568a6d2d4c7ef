"""Event-driven training misses no sign, and is the gradient descent that moves every neuron."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ntk_theory import data, training
from ntk_theory.machine.resources import limited_memory
from ntk_theory.network import DrawnNets, TwoLayerReLU, initialise
from ntk_theory.problems import noisy_clusters
from ntk_theory.targets import PLAIN, Agreement, BurnIn, Constant, Distillation, Power
from ntk_theory.training import compiled, forms, train
from ntk_theory.training.compiled import CompiledEventDriven
from ntk_theory.training.events import EventDriven
from ntk_theory.training.points import Points
from strategies import EPS, rngs

FORMS = (EventDriven, CompiledEventDriven)

# ---------------------------------------------------------------- every sign of every step
#
# The oracle moves all weights by the textbook formula, with residuals that are drawn and not those
# of a net: the form has to follow any. Where a pre-activation comes within rounding of zero two
# right programs part; such draws are left out, but for those that are exactly zero.


@dataclass(frozen=True)
class Pulled:
    """Nets and the residuals that pull on them."""

    net: TwoLayerReLU
    inputs: np.ndarray
    residuals: np.ndarray
    rate: float

    def neurons(self, form, size=None):
        """In a form that is under test."""
        size = size or self.net.width
        output = self.net.output
        sizes = [part.shape[2] for part in torch.split(output, size, dim=2)]
        points = Points(torch.as_tensor(self.inputs))
        return form(points, self.net.blocks(size), output, sizes, self.net.antisymmetric)

    def follow(self, neurons):
        """Step by step: pre-activations and outputs of the oracle; what the form takes for them."""
        w, a = self.net.hidden.numpy().copy(), self.net.output.numpy()
        for residual in self.residuals:
            active = (w @ self.inputs.T > 0).astype(float)
            pull = np.einsum("scm,snc,smn->smn", a, residual, active)
            w -= self.rate * pull @ self.inputs
            z = w @ self.inputs.T
            outputs = neurons.step(torch.as_tensor(residual), self.rate)
            taken = neurons.active.view(z.shape).numpy()
            yield z, np.einsum("scm,smn->snc", a, np.maximum(z, 0)), taken, outputs.numpy()

    @property
    def rounding(self):
        """Of a pre-activation: of what it was, and of all that has moved it."""
        sizes = np.linalg.norm(self.inputs, axis=1).max(initial=0.0)
        weights = float(self.net.hidden.abs().max()) * self.inputs.shape[1] ** 0.5
        pulls = float(self.net.output.abs().max()) * np.abs(self.residuals).sum()
        return 20 * len(self.inputs) * EPS * sizes * (weights + self.rate * pulls * sizes)


@st.composite
def rows(draw, rng):
    """Inputs of a kind that is hard for somebody."""
    kind = draw(st.sampled_from(["clusters", "near copies", "power law", "few features", "sizes"]))
    if kind == "clusters":
        points = draw(st.integers(2, 4))
        return data.equicorrelated_clusters(2, points, ratio=draw(st.floats(2, 200))).inputs
    inputs = rng.standard_normal((draw(st.integers(2, 9)), draw(st.integers(1, 9))))
    if kind == "near copies":
        inputs[1:] = inputs[0] + 10.0 ** draw(st.integers(-9, -2)) * inputs[1:]
    elif kind == "power law":
        inputs *= np.arange(1.0, inputs.shape[1] + 1) ** -draw(st.floats(0.5, 3))
    elif kind == "sizes":
        inputs *= 10.0 ** rng.integers(-4, 4, len(inputs))[:, None]
        inputs[rng.integers(len(inputs))] = 0.0
    return inputs


@st.composite
def pulled(draw):
    rng = draw(rngs)
    inputs = draw(rows(rng))
    nets, classes = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 3, 6]))
    half = draw(st.sampled_from([1, 2, 3, 8, 40, 300]))
    paired = draw(st.booleans())
    seeds = rng.integers(0, 2**31, nets)
    net = initialise(2 * half, inputs.shape[1], seeds=seeds, outputs=classes, antisymmetric=paired)
    if draw(st.booleans()) and not paired:
        # Neurons without output, of several sizes, and of no weights: no point is on a side of one.
        hidden, output = net.hidden.clone(), net.output.clone()
        output *= torch.as_tensor(rng.choice([0.0, 0.3, 1.0, 2.5], output.shape[2]))
        hidden[:, rng.random(2 * half) < 0.2] = 0.0
        net = TwoLayerReLU(hidden, output)
    steps = draw(st.integers(1, 25))
    residuals = rng.standard_normal((steps, nets, len(inputs), classes))
    shape = draw(st.sampled_from(["steady", "alternating", "bursts", "one point", "growing"]))
    if shape == "steady":
        residuals = residuals[:1] * np.ones((steps, 1, 1, 1))
    elif shape == "alternating":
        residuals = residuals[:1] * (-1.0) ** np.arange(steps)[:, None, None, None]
    elif shape == "bursts":
        residuals *= 10.0 ** rng.integers(-6, 1, steps)[:, None, None, None]
    elif shape == "one point":
        residuals[:, :, 1:] = 0.0
    else:
        residuals *= 1.5 ** np.arange(steps)[:, None, None, None]
    size = np.linalg.norm(inputs, 2) or 1.0
    rate = 10.0 ** draw(st.floats(-4, 1)) / size / (2 * half) ** 0.5
    return Pulled(net, inputs, residuals, rate)


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(case=pulled(), blocks=st.integers(1, 3), ahead=st.sampled_from([1, 4, 32]))
def test_no_sign_is_missed_whatever_pulls(form, case, blocks, ahead):
    sums = case.net.width * float(case.net.output.abs().max())
    with pytest.MonkeyPatch.context() as patch:  # pages of few steps are turned often
        patch.setattr("ntk_theory.training.calendar._AHEAD", ahead)
        neurons = case.neurons(form, -(-case.net.width // blocks))
        for z, expected, active, outputs in case.follow(neurons):
            assume(not ((np.abs(z) < case.rounding) & (z != 0)).any())
            np.testing.assert_array_equal(active, z > 0)
            np.testing.assert_allclose(outputs, expected, rtol=0, atol=sums * case.rounding)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", [2, 64, 4096])
def test_no_sign_of_a_wide_net_is_missed_at_any_rate(form, width):
    rng = np.random.default_rng(width)
    design = data.equicorrelated_clusters(4, 5, ratio=30.0)
    net = initialise(width, design.inputs.shape[1], seeds=[1, 2])
    for push in (0.01, 0.3, 10.0):  # the last overshoots at every step
        residuals = rng.standard_normal((40, 2, 20, 1)) + rng.choice([-1, 1], (20, 1))
        case = Pulled(net, design.inputs, residuals, push / width**0.5)
        for z, _, active, _ in case.follow(case.neurons(form)):
            clear = np.abs(z) > case.rounding
            np.testing.assert_array_equal(active[clear], z[clear] > 0)


@pytest.mark.parametrize("form", FORMS)
def test_a_bound_that_is_too_small_by_half_misses_signs(form, monkeypatch):
    """What the test above would see if the theory of the bound were wrong."""
    monkeypatch.setattr("ntk_theory.training.calendar.Calendar.__init__", _twice_as_far)
    rng = np.random.default_rng(0)
    design = data.equicorrelated_clusters(4, 5, ratio=30.0)
    net = initialise(512, design.inputs.shape[1], seeds=[1])
    residuals = rng.standard_normal((1, 1, 20, 1)) * np.ones((40, 1, 1, 1))
    case = Pulled(net, design.inputs, residuals, 0.3 / 512**0.5)
    missed = [(active != (z > 0)).sum() for z, _, active, _ in case.follow(case.neurons(form))]
    assert max(missed) > 0


def _twice_as_far(self, start, kinds, count, begin=training.calendar.Calendar.__init__):
    begin(self, 2 * start, kinds, count)


def test_pairs_are_looked_at_in_parts_if_all_are_due(monkeypatch):
    case = Pulled(initialise(50, INPUTS.shape[1], seeds=[1]), INPUTS, np.ones((5, 1, 12, 1)), 3.0)
    whole, parts = (case.neurons(EventDriven) for _ in range(2))
    for residual in map(torch.as_tensor, case.residuals):
        expected = whole.step(residual, case.rate)
        monkeypatch.setattr("ntk_theory.training.calendar._LOOKED_AT", 12 * 7)
        found = parts.step(residual, case.rate)
        monkeypatch.undo()
        assert float((found - expected).abs().max()) <= 50 * case.rounding
    assert torch.equal(whole.active, parts.active)


def test_the_share_of_pairs_that_is_looked_at_falls_with_the_width(monkeypatch):
    """Like m^{-1/2}: half way between that and no fall, on a logarithmic scale, is the bound."""
    looked = []
    advance = training.calendar.Calendar.advance

    def counted(self, growth):
        for due in advance(self, growth):
            looked[-1] += due.pair.numel()
            yield due

    monkeypatch.setattr("ntk_theory.training.calendar.Calendar.advance", counted)
    problem = noisy_clusters(clusters=6, points=10, ratio=20.0, noise_rate=0.3, seed=1)
    for width in (1024, 4096):
        looked.append(0)
        net = initialise(width, problem.dataset.inputs.shape[1], seeds=[1])
        nothing = np.zeros((0, 1, 60, 1))
        neurons = Pulled(net, problem.dataset.inputs, nothing, 0.0).neurons(EventDriven)
        outputs, label = neurons.outputs(), torch.as_tensor(problem.dataset.observed)[:, None]
        for _ in range(200):
            rate = problem.learning_rate / width**0.5
            outputs = neurons.step(outputs / width**0.5 - label, rate)
        looked[-1] /= 200 * 60 * width
    assert looked[1] < looked[0] / 2**0.5


# ---------------------------------------------------------------- the calendar alone


@settings(deadline=None)
@given(
    rng=rngs,
    steps=st.integers(1, 60),
    ahead=st.sampled_from([1, 3, 32]),
    shrinking=st.floats(0.8, 1.2),
)
def test_every_pair_is_given_on_its_day(rng, steps, ahead, shrinking):
    nets, neurons, points, kinds = 2, 30, 4, 2
    start = rng.standard_normal((nets, neurons, points))
    kind = rng.integers(0, kinds, (nets, neurons))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ntk_theory.training.calendar._AHEAD", ahead)
        calendar = training.calendar.Calendar(
            torch.as_tensor(start, dtype=torch.float32), torch.as_tensor(kind), kinds
        )
        # The oracle looks at all pairs: cell of each, day, and what has moved so far.
        side = np.where(start > 0, kind[..., None], kind[..., None] ^ 1)
        net, _, point = np.indices(start.shape)
        day, moved = np.abs(start), np.zeros((nets, points, kinds))
        for step in range(steps):
            growth = shrinking**step * rng.exponential(0.01, moved.shape)
            moved += growth
            due = set(np.flatnonzero(day <= moved[net, point, side]))
            given_ = set()
            for one in calendar.advance(torch.as_tensor(growth)):
                pair = one.pair.numpy()
                given_ |= set(pair)
                distance = rng.exponential(0.05, len(pair))
                crossed = np.flatnonzero(rng.random(len(pair)) < 0.3)
                side.reshape(-1)[pair[crossed]] ^= 1
                day.reshape(-1)[pair] = distance + moved[net, point, side].reshape(-1)[pair]
                calendar.put_back(one, torch.as_tensor(distance), torch.as_tensor(crossed))
            assert due <= given_
            assert len(given_) <= len(due) + 2  # those alone, but for what is rounded down


# ---------------------------------------------------------------- the same trajectories

RNG = np.random.default_rng(3)
INPUTS = data.equicorrelated_clusters(3, 4, ratio=8.0).inputs
LABELS = {1: np.tile([1.0, 1.0, -1.0, 1.0], 3), 3: np.eye(3)[RNG.integers(0, 3, 12)]}
TARGETS = {
    "plain": PLAIN,
    "hard": Distillation(BurnIn(4, Power(5.0))),
    "tempered": Distillation(BurnIn(4, Constant(0.3)), target="tempered", temperature=0.5),
    "soft": Distillation(Constant(0.5), target="soft"),
    "lagged": Distillation(BurnIn(4, Power(5.0)), epoch=5),
    "restarted": Distillation(BurnIn(4, Power(5.0)), epoch=7, restart=True),
    "agreement": Distillation(BurnIn(6, Agreement())),
}


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    """Event-driven steps of one kind."""
    monkeypatch.setattr(forms, "_event_driven", lambda points: request.param)
    return request.param


def both(net, classes, distillation=PLAIN, **options):
    options = {"learning_rate": 0.4, "steps": 40} | options
    for chosen in ("dense", "event-driven"):
        yield train(net, INPUTS, LABELS[classes], distillation, form=chosen, **options)


def assert_same(dense, driven, exactly=1e-12):
    for name in ("outputs", "movement", "distance", "label_weights"):
        np.testing.assert_allclose(
            getattr(driven, name), getattr(dense, name), rtol=0, atol=exactly
        )
    np.testing.assert_array_equal(driven.flipped_activations, dense.flipped_activations)
    np.testing.assert_array_equal(driven.steps, dense.steps)
    if dense.network is not None:
        for name in ("hidden", "output"):
            difference = getattr(driven.network, name) - getattr(dense.network, name)
            assert float(difference.abs().max()) <= exactly


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("classes", [1, 3])
def test_all_targets_lead_to_the_same_trajectory(targets, classes):
    net = initialise(200, INPUTS.shape[1], seeds=[1, 2, 3], outputs=classes)
    assert_same(*both(net, classes, TARGETS[targets]))


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("classes", [1, 3])
def test_a_rate_for_each_step_and_plain_starts_lead_to_the_same_trajectory(classes):
    net = DrawnNets(301, INPUTS.shape[1], (4, 5), outputs=classes, antisymmetric=False)
    rates = RNG.uniform(0, 0.8, 40) * (RNG.random(40) < 0.8)
    assert_same(*both(net, classes, learning_rate=rates, record=[0, 3, 40]))


@pytest.mark.usefixtures("form")
def test_cross_entropy_leads_to_the_same_trajectory():
    net = initialise(200, INPUTS.shape[1], seeds=[1, 2], outputs=3)
    assert_same(*both(net, 3, TARGETS["hard"], loss="cross-entropy", learning_rate=1.5))


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("size", [1e-40, 1e-46])
def test_weights_too_small_for_single_precision_lead_to_the_same_trajectory(size):
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((12, 6)), rng.choice((-1.0, 1.0), 12)
    made = initialise(256, 6, seeds=[1], antisymmetric=False)
    net = TwoLayerReLU(size * made.hidden, made.output)
    one, other = (
        train(net, inputs, labels, PLAIN, learning_rate=0.05, steps=100, form=form)
        for form in ("event-driven", "dense")
    )
    np.testing.assert_allclose(one.outputs, other.outputs, rtol=0, atol=1e-12)
    assert one.flipped_activations == pytest.approx(other.flipped_activations, abs=1e-12)


def test_a_divergence_stops_at_the_same_step():
    net = initialise(64, INPUTS.shape[1], seeds=[1])
    dense, driven = both(net, 1, learning_rate=40.0)
    assert dense.diverged == driven.diverged is not None
    np.testing.assert_array_equal(dense.steps, driven.steps)


@pytest.mark.usefixtures("form")
def test_single_precision_is_that_of_the_start_alone():
    nets = [
        initialise(400, INPUTS.shape[1], seeds=[1], dtype=dtype)
        for dtype in (torch.float64, torch.float32)
    ]
    (exact, _), (dense, driven) = (list(both(net, 1, TARGETS["hard"])) for net in nets)
    # Rounded are 400 pre-activations below 5, whose sum is divided by the root of 400; what they
    # teach may double it.
    error = np.abs(driven.outputs - exact.outputs).max()
    assert driven.network.hidden.dtype is torch.float32
    assert error <= 2 * 5 * 400**0.5 * np.finfo(np.float32).eps
    np.testing.assert_allclose(driven.movement, exact.movement, rtol=1e-5)
    assert error <= 2 * np.abs(dense.outputs - exact.outputs).max()


def test_compiled_and_other_steps_agree_where_nets_are_many():
    case = Pulled(
        initialise(50, INPUTS.shape[1], seeds=range(9)),
        INPUTS,
        RNG.standard_normal((30, 9, 12, 1)),
        0.1,
    )
    one, other = (case.neurons(form) for form in FORMS)
    for residual in map(torch.as_tensor, case.residuals):
        difference = one.step(residual, 0.1) - other.step(residual, 0.1)
        assert float(difference.abs().max()) <= 50 * case.rounding
    assert torch.equal(one.active, other.active)
    counts = (part.halves + part.halves.transpose(1, 4) for part in (one, other))
    assert torch.equal(*counts)  # whole numbers


# ---------------------------------------------------------------- the choice of a form


def chosen(points, features, width, *, steps=500, outputs=1, rate=0.5, **options):
    rows = np.random.default_rng(0).standard_normal((points, features))
    inputs = torch.as_tensor(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    precision = options.pop("precision", "float64")
    dtype = torch.float64 if precision == "float64" else torch.float32
    return forms.cheapest(
        Points(inputs.to(dtype), precision),
        width=width,
        outputs=outputs,
        rates=np.full(steps, rate / width**0.5),
        **options,
    )


def test_wide_nets_on_few_points_are_event_driven():
    assert chosen(60, 64, 2**15) == "event-driven"
    assert chosen(60, 64, 2**15, precision="float32") == "event-driven"


def test_narrow_nets_and_short_runs_and_many_outputs_are_not():
    assert chosen(60, 64, 16) == "dense"
    assert chosen(60, 64, 2**15, steps=1) == "dense"
    assert chosen(200, 64, 2**10, outputs=30) == "dense"
    assert chosen(1000, 20, 2**13) == "dense"  # a product with 20 features costs little


def test_no_products_of_many_points_are_formed_to_choose():
    rows = torch.as_tensor(np.random.default_rng(0).standard_normal((3000, 3)))
    points = Points(rows)
    rates = np.full(100, 1e-6)
    assert forms.cheapest(points, width=128, outputs=1, rates=rates) == "dense"
    assert "exact_gram" not in vars(points)


def test_what_has_no_running_sum_is_not():
    assert chosen(60, 64, 2**15, both_layers=True) == "dense"
    assert chosen(60, 64, 2**15, precision="bf16") == "dense"


def test_what_does_not_fit_the_memory_is_not():
    with limited_memory(2.0**27):
        assert chosen(60, 64, 2**15) == "event-driven"
        assert chosen(60, 64, 2**17) == "dense"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "quick"}, "form must be 'dense' or 'event-driven'; got 'quick'"),
        ({"form": "event-driven", "layers": "both"}, "form must be 'dense' where both layers"),
        ({"form": "event-driven", "precision": "bf16"}, "form must be 'dense' for products in bf"),
    ],
)
def test_a_form_that_there_is_not_is_refused(options, message):
    net = initialise(8, INPUTS.shape[1], seeds=[1], dtype=torch.float32)
    with pytest.raises(ValueError, match=message):
        train(net, INPUTS, LABELS[1], PLAIN, learning_rate=0.1, steps=2, **options)


def test_steps_are_compiled_where_numba_is_installed_on_a_processor_alone(monkeypatch):
    points = Points(torch.as_tensor(INPUTS))
    assert forms._event_driven(points) is CompiledEventDriven
    monkeypatch.setattr(forms, "_COMPILED", False)
    assert forms._event_driven(points) is EventDriven


def test_what_was_compiled_need_not_be_kept(monkeypatch):
    njit = compiled.numba.njit

    def nowhere(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(function, **options)

    monkeypatch.setattr(compiled.numba, "njit", nowhere)
    twice = compiled._compiled(lambda value: 2 * value)
    assert twice(21) == 42
