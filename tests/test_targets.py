"""Schedules against their formulas, label policies against their limits, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ntk_theory.targets import (
    PLAIN,
    Agreement,
    BurnIn,
    Constant,
    Distillation,
    Geometric,
    Power,
    format_schedule,
    harden,
    parse_schedule,
    temper,
    weights,
)
from strategies import EPS, rngs

levels = st.floats(0, 1)
positive = st.floats(1e-6, 1e6)
steps = st.integers(0, 10_000)

constants = st.builds(Constant, levels)
powers = st.builds(Power, positive, st.floats(0.01, 10))
geometrics = st.builds(Geometric, positive)
deterministic = constants | powers | geometrics
burn_ins = st.builds(BurnIn, st.integers(0, 20), deterministic | st.just(Agreement()))

temperatures = st.floats(1e-3, 1e3)
# Few values, so that ties and zeros are common.
entries = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0]) | st.floats(-100, 100)


@st.composite
def outputs(draw, least=1, most=4):
    """Outputs (S, n, C), with ties and zeros."""
    shape = draw(st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(least, most)))
    values = draw(st.lists(entries, min_size=math.prod(shape), max_size=math.prod(shape)))
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def labels(rng, n, classes):
    """Observed labels (n, C): ±1, or one-hot rows."""
    if classes == 1:
        return torch.as_tensor(rng.choice([-1.0, 1.0], (n, 1)))
    return torch.as_tensor(np.eye(classes)[rng.integers(0, classes, n)])


# ---------------------------------------------------------------- schedules


@given(levels, steps)
def test_a_constant_schedule_is_constant(level, step):
    schedule = Constant(level)
    assert schedule.weight(step) == level == schedule.limit


@given(positive, st.floats(0.01, 10), steps)
def test_a_power_schedule_decays_as_that_power(decay, exponent, step):
    schedule = Power(decay, exponent)
    assert schedule.weight(0) == 1
    assert schedule.limit == 0
    # exp(−p log(1 + t/τ)): each of the four roundings, eps/2, is enlarged by p times at most the
    # logarithm's size; the power itself by one eps.
    exact = math.exp(-exponent * math.log1p(step / decay))
    size = 1 + exponent * (1 + math.log1p(step / decay))
    assert abs(schedule.weight(step) - exact) <= 2 * EPS * size * exact


@given(positive, steps)
def test_the_default_power_is_the_harmonic_one(decay, step):
    assert Power(decay).weight(step) == pytest.approx(decay / (decay + step), rel=3 * EPS)


@given(positive, steps)
def test_a_geometric_schedule_decays_by_one_factor_a_step(decay, step):
    schedule = Geometric(decay)
    assert schedule.weight(0) == 1
    assert schedule.limit == 0
    # An exponent is right to eps/2 of itself, an exponential or power to eps, and a power enlarges
    # what came before by the number of steps. Below 1e-300 digits are lost.
    tolerance = 2 * EPS * (step + step / decay + 1)
    exact = math.exp(-1 / decay) ** step
    assert schedule.weight(step) == pytest.approx(exact, rel=tolerance, abs=1e-300)


@given(powers | geometrics, steps)
def test_fading_schedules_fall_from_one_towards_zero(schedule, step):
    # A rounded power may rise by its rounding error.
    here, next_one = schedule.weight(step), schedule.weight(step + 1)
    assert 0 <= next_one <= here * (1 + 4 * EPS) <= 1 + 4 * EPS


@given(st.floats(1e-3, 10), st.floats(0.1, 3))
def test_fading_schedules_reach_their_limit(decay, exponent):
    # (1 + t/τ)^(−p) <= (t/τ)^(−p) is below 1e-3 from t = 2τ 10^{3/p} on, and exp(−t/τ) from 7τ on.
    late = math.ceil(2 * decay * 10 ** (3 / exponent))
    assert Power(decay, exponent).weight(late) <= 1e-3
    assert Geometric(decay).weight(math.ceil(7 * decay)) <= 1e-3


@given(st.integers(0, 50), deterministic, steps)
def test_a_burn_in_delays_the_schedule_that_follows(burn_in, then, step):
    schedule = BurnIn(burn_in, then)
    assert schedule.limit == then.limit
    assert schedule.weight(burn_in + step) == then.weight(step)
    if step < burn_in:
        assert schedule.weight(step) == 1


@given(burn_ins | deterministic, st.integers(0, 40))
def test_weights_lists_the_weight_of_every_step(schedule, count):
    assume(not isinstance(getattr(schedule, "then", None), Agreement))
    listed = weights(schedule, count)
    assert listed.shape == (count,)
    assert listed.tolist() == [schedule.weight(step) for step in range(count)]
    assert ((listed >= 0) & (listed <= 1)).all()


@given(st.integers(0, 10))
def test_agreement_has_no_weight_without_a_prediction(burn_in):
    schedule = BurnIn(burn_in, Agreement())
    assert schedule.limit is None
    assert weights(schedule, burn_in).tolist() == [1.0] * burn_in
    with pytest.raises(TypeError, match="no weight without a prediction"):
        weights(schedule, burn_in + 1)
    with pytest.raises(TypeError, match="no weights without a prediction"):
        weights(Agreement(), 1)


@pytest.mark.parametrize("level", [-0.1, 1.0001, math.nan, math.inf])
def test_a_level_that_is_no_weight_is_refused(level):
    with pytest.raises(ValueError, match=r"level must lie in \[0, 1\]"):
        Constant(level)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_decay_and_exponent_must_be_positive_and_finite(value):
    with pytest.raises(ValueError, match="decay must be positive and finite"):
        Power(value)
    with pytest.raises(ValueError, match="exponent must be positive and finite"):
        Power(1.0, value)
    with pytest.raises(ValueError, match="decay must be positive and finite"):
        Geometric(value)


def test_a_negative_burn_in_is_refused():
    with pytest.raises(ValueError, match=r"steps must be at least 0 \(burn-in\); got -1"):
        BurnIn(-1, Constant(0.5))


# ---------------------------------------------------------------- schedules as text


@given(burn_ins)
def test_parsing_inverts_formatting(schedule):
    assert parse_schedule(format_schedule(schedule), burn_in=-99, decay=math.nan) == schedule


@given(st.integers(0, 100), positive)
def test_numbers_left_out_are_the_defaults(burn_in, decay):
    def parsed(text):
        return parse_schedule(text, burn_in=burn_in, decay=decay)

    assert parsed("power") == BurnIn(burn_in, Power(decay, 1.0))
    assert parsed("power:exponent=0.5") == BurnIn(burn_in, Power(decay, 0.5))
    assert parsed("geometric") == BurnIn(burn_in, Geometric(decay))
    assert parsed("constant:level=0.25") == BurnIn(burn_in, Constant(0.25))
    assert parsed("agreement") == BurnIn(burn_in, Agreement())
    assert parsed("agreement:burn_in=3") == BurnIn(3, Agreement())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "schedule must be one of power, geometric, constant, agreement; got ''"),
        ("Power", "schedule must be one of"),
        ("cosine:decay=1", "got 'cosine'"),
        ("power:level=1", "'power' takes the keys burn_in, decay, exponent; got 'level=1'"),
        ("agreement:decay=1", "'agreement' takes the keys burn_in; got"),
        ("geometric:exponent=1", "'geometric' takes the keys burn_in, decay; got"),
        ("constant:0.5", "'constant' takes the keys burn_in, level; got '0.5'"),
        ("power:decay=fast", "key decay must be a number; got 'fast'"),
        ("power:decay", "key decay must be a number; got ''"),
        ("power:burn_in=1.5", "burn_in must be a whole number of steps; got 1.5"),
        ("power:burn_in=inf", "burn_in must be a whole number of steps; got inf"),
        ("power:burn_in=nan", "burn_in must be a whole number of steps; got nan"),
        ("power:decay=1,decay=2", "key decay is given twice"),
        ("power:burn_in=-1", r"steps must be at least 0 \(burn-in\); got -1"),
        ("power:decay=0", "decay must be positive and finite"),
        ("power:exponent=nan", "exponent must be positive and finite"),
        ("geometric:decay=inf", "decay must be positive and finite"),
        ("constant", "'constant' needs its level"),
        ("constant:level=2", r"level must lie in \[0, 1\]"),
        ("constant:level=nan", r"level must lie in \[0, 1\]"),
    ],
)
def test_a_text_that_is_no_schedule_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_schedule(text, burn_in=1, decay=1.0)


# ---------------------------------------------------------------- hard and tempered labels


@given(outputs(most=1))
def test_two_classes_harden_to_the_sign_and_zero_to_none(u):
    assert harden(u).flatten().tolist() == [(x > 0) - (x < 0) for x in u.flatten().tolist()]


@given(outputs(least=2))
def test_more_classes_harden_to_the_best_one_and_ties_share_it(u):
    for row, hardened in zip(
        u.flatten(0, 1).tolist(), harden(u).flatten(0, 1).tolist(), strict=True
    ):
        best = max(row)
        # The same division of small integers: no rounding to allow for.
        assert hardened == [(x == best) / row.count(best) for x in row]


@given(outputs())
def test_hard_labels_are_odd_or_keep_their_sum_and_repeat_themselves(u):
    hard = harden(u)
    if u.shape[-1] == 1:
        assert torch.equal(harden(-u), -hard)
    else:
        # C <= 4 entries 1/C: two roundings.
        assert (hard.sum(dim=-1) - 1).abs().max() <= EPS
    assert torch.equal(harden(hard), hard)


@given(outputs(), st.floats(1e-3, 1e3))
def test_hard_labels_do_not_depend_on_the_size_of_outputs(u, factor):
    # Rounded multiples of different numbers may coincide.
    assume(len(set(u.flatten().tolist())) == len(set((factor * u).flatten().tolist())))
    assert torch.equal(harden(factor * u), harden(u))


@given(outputs(), temperatures)
def test_tempered_labels_are_tanh_or_softmax(u, temperature):
    tempered = temper(u, temperature)
    for row, found in zip(u.flatten(0, 1).tolist(), tempered.flatten(0, 1).tolist(), strict=True):
        if len(row) == 1:
            expected = [math.tanh(row[0] / temperature)]
        else:
            powers_ = [math.exp((x - max(row)) / temperature) for x in row]
            expected = [p / math.fsum(powers_) for p in powers_]
        # x/T, a difference and a quotient round by eps/2, in exp by eps/2 of the exponent, whose
        # e^{-x} x is at most 1/e; tanh and exp themselves to 2 eps.
        np.testing.assert_allclose(found, expected, rtol=0, atol=8 * EPS)


@given(outputs(), st.floats(-12, -3).map(lambda e: 10**e))
def test_cold_tempered_labels_are_the_hard_ones(u, temperature):
    # What differs from the best (from zero) by a gap g is off by at most 2 exp(−g/T) in tanh, by
    # C exp(−g/T) in softmax; ties are shared exactly either way, to the rounding of 1/C.
    gaps = u.abs() if u.shape[-1] == 1 else u.amax(dim=-1, keepdim=True) - u
    gap = gaps[gaps > 0].min().item() if (gaps > 0).any() else math.inf
    bound = u.shape[-1] * 2 * math.exp(-gap / temperature) + 4 * EPS
    assert (temper(u, temperature) - harden(u)).abs().max() <= bound


def test_the_temperature_interpolates_from_hard_to_uninformative():
    u = torch.tensor([[[0.3], [-2.0], [0.0]]], dtype=torch.float64)
    distances = [(temper(u, t) - harden(u)).abs().sum().item() for t in (1e-3, 0.1, 1, 10, 1e6)]
    assert distances == sorted(distances)
    # |tanh x| <= |x|.
    assert temper(u, 1e6).abs().max() <= 2e-6
    rows = torch.tensor([[[0.3, -2.0, 0.0]]], dtype=torch.float64)
    # Softmax of x with |x| <= 2e-6 is within 4e-6 of uniform.
    assert (temper(rows, 1e6) - 1 / 3).abs().max() <= 4e-6


# ---------------------------------------------------------------- what a net is taught


policies = st.sampled_from(["hard", "soft", "tempered"])


def taught(policy, u, temperature):
    return {"soft": u, "hard": harden(u), "tempered": temper(u, temperature)}[policy]


@given(outputs(), rngs, policies, deterministic, steps, temperatures)
def test_targets_are_the_weighted_mean_of_observed_and_taught(
    u, rng, policy, schedule, step, temperature
):
    observed = labels(rng, *u.shape[1:])
    target, alpha = Distillation(schedule, policy, temperature).teach(u, observed, step)
    assert target.shape == u.shape
    assert alpha.tolist() == [schedule.weight(step)] * u.shape[0]
    other = taught(policy, u, temperature)
    weight = schedule.weight(step)
    # Two products and a sum, all at most as large as the larger of the two.
    rounding = 2 * EPS * torch.maximum(observed.abs(), other.abs())
    assert ((target - (weight * observed + (1 - weight) * other)).abs() <= rounding).all()
    # Convexity: never outside the two.
    assert (target >= torch.minimum(observed, other) - rounding).all()
    assert (target <= torch.maximum(observed, other) + rounding).all()


@given(outputs(), rngs, policies, steps)
def test_a_weight_of_one_teaches_the_observed_labels_and_zero_the_prediction(u, rng, policy, step):
    observed = labels(rng, *u.shape[1:])
    for plain in (PLAIN, Distillation(BurnIn(step + 1, Constant(0.0)), policy)):
        target, alpha = plain.teach(u, observed, step)
        assert torch.equal(target, observed.expand_as(u))
        assert (alpha == 1).all()
    target, alpha = Distillation(Constant(0.0), policy).teach(u, observed, step)
    assert torch.equal(target, taught(policy, u, 1.0))
    assert (alpha == 0).all()


@given(outputs(), rngs, policies, st.integers(0, 5), st.integers(0, 10))
def test_agreement_weighs_observed_labels_by_the_share_not_predicted(u, rng, policy, burn_in, step):
    observed = labels(rng, *u.shape[1:])
    for schedule in (Agreement(), BurnIn(burn_in, Agreement())):
        target, alpha = Distillation(schedule, policy).teach(u, observed, step)
        for net, (prediction, weight) in enumerate(zip(harden(u), alpha.tolist(), strict=True)):
            agrees = sum(p.equal(y) for p, y in zip(prediction, observed, strict=True))
            burning = isinstance(schedule, BurnIn) and step < burn_in
            # One quotient and one difference of numbers up to 1.
            expected = 1.0 if burning else 1 - agrees / len(observed)
            assert abs(weight - expected) <= EPS
            mixture = weight * observed + (1 - weight) * taught(policy, u, 1.0)[net]
            assert torch.equal(target[net], mixture)


def test_a_net_that_predicts_nothing_agrees_with_nothing():
    observed = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    for u, seen in (
        (torch.zeros(1, 2, 1, dtype=torch.float64), observed),
        (torch.zeros(1, 2, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:2]),
    ):
        _, alpha = Distillation(Agreement()).teach(u, seen, 0)
        assert alpha.tolist() == [1.0]


def test_hard_targets_teach_nothing_to_a_net_that_predicts_nothing():
    observed = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    zero = torch.zeros(1, 2, 1, dtype=torch.float64)
    target, _ = Distillation(Constant(0.0)).teach(zero, observed, 0)
    assert not target.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": "Hard"}, "target must be 'hard', 'soft' or 'tempered'; got 'Hard'"),
        ({"temperature": 0.0}, "temperature must be positive and finite"),
        ({"temperature": -1.0}, "temperature must be positive and finite"),
        ({"temperature": math.nan}, "temperature must be positive and finite"),
        ({"temperature": math.inf}, "temperature must be positive and finite"),
        ({"epoch": 0}, r"epoch must be at least 1 \(steps\); got 0"),
        ({"epoch": -3}, r"epoch must be at least 1 \(steps\); got -3"),
        ({"restart": True}, "restart needs epoch"),
    ],
)
def test_a_distillation_out_of_range_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)
