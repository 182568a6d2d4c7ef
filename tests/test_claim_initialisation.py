"""Rows, premises and controls of `initialisation` fail on doctored runs; refused options."""

import math
from dataclasses import replace
from pkgutil import resolve_name

import numpy as np
import pytest
from scipy.stats import norm

from cases import times_rate
from cases.initialisation import RATES, SPREAD, TOY
from ntk_theory.claims.initialisation import CLAIM, kernel_limit
from ntk_theory.claims.initialisation import plan as planning
from ntk_theory.claims.initialisation.controls import CONTROLS, ControlSetting
from ntk_theory.claims.initialisation.measurements import measurements
from ntk_theory.claims.initialisation.nets import SMALLEST, Found, climb
from ntk_theory.claims.initialisation.plan import PAIRS, make_plan, planned_premises
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Options, Verdict
from progress import Silent


@pytest.fixture(scope="module")
def trained():
    """Toy nets, trained once."""
    found = Found.empty(make_plan(TOY))
    climb(found, Evidence(), Silent())
    return found


@pytest.fixture
def toy(trained):
    """The trained nets, in copies that a test may change."""
    pairs, small = (
        replace(ladder, rungs={name: list(kept) for name, kept in ladder.rungs.items()})
        for ladder in (trained.pairs, trained.small)
    )
    return Found(trained.plan, pairs, small, list(trained.plain), list(trained.smallest))


def every_row(toy):
    return list(measurements(toy))


def failed(toy):
    return {measurement.name for measurement in every_row(toy) if measurement.holds is False}


def doctor(toy, change):
    toy.plain = [change(one) for one in toy.plain]


def test_nets_that_follow_theory_satisfy_every_row(toy):
    assert all(measurement.holds for measurement in every_row(toy))


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("target", "row"),
    [
        ("ntk_theory.predictions.self_distillation", "kernel limit from zero"),
        ("ntk_theory.predictions.soft_self_distillation", "kernel limit on soft targets"),
        (SPREAD, "kernel limit: variance"),
        ("ntk_theory.predictions.block_recursion", "kernel limit from nets' own starts"),
    ],
)
def test_a_millionth_of_the_rate_is_seen_on_the_measured_kernel(toy, target, row, monkeypatch):
    wrong = times_rate(1 + 1e-6, RATES[target])(resolve_name(target))
    monkeypatch.setattr(target, wrong)
    toy.plan = make_plan(TOY)  # predicts anew
    assert {name.startswith(row) for name in failed(toy)} == {True}


def test_a_start_of_another_size_is_seen(toy):
    doctor(toy, lambda one: replace(one, initial=math.sqrt(2) * one.initial))
    assert "RMS initial output / scale" in failed(toy)


def test_a_start_that_does_not_grow_with_the_scale_is_seen(toy):
    doctor(toy, lambda one: replace(one, initial=one.initial / one.scale))
    assert "exponent of the initial output in the scale" in failed(toy)


def test_a_start_that_does_not_shrink_is_seen(toy):
    start = toy.plan.burn_in
    zero = toy.plan.zero_start[start]
    doctor(toy, lambda one: replace(one, early=zero + one.initial))
    assert f"RMS of what is left of it after {start} steps / scale" in failed(toy)


def test_nets_that_follow_another_nets_start_are_seen(toy):
    # At the widest alone: narrower nets say how far it may lie off.
    widest = next(
        index for index, one in enumerate(toy.plain) if one.width == toy.plan.nets.widths[-1]
    )
    swapped = toy.plain[widest].initial[::-1]
    toy.plain[widest] = replace(toy.plain[widest], initial=swapped)
    assert {name for name in failed(toy) if "own start" in name}


@pytest.mark.parametrize("index", [0, 1, 2])
def test_signs_of_the_scale_above_or_below_are_seen(toy, index):
    scale, other = toy.plan.scales[index], toy.plan.scales[index - 1 if index else 1]
    stranger = next(one for one in toy.plain if one.scale == other)

    def swap(one):
        if one.scale != scale:
            return one
        return replace(one, early=stranger.early, final=stranger.final)

    doctor(toy, swap)
    assert {f"scale {scale:g}: final RMS error"} <= failed(toy)
    assert {name for name in failed(toy) if name.startswith(f"scale {scale:g}: share of wrong")}


def test_signs_of_a_scale_where_hardly_any_is_wrong_are_seen(toy):
    scale, other = toy.plan.scales[3], toy.plan.scales[2]
    early = toy.plain[-2].early
    assert toy.plain[-2].scale == other
    doctor(toy, lambda one: replace(one, early=early) if one.scale == scale else one)
    name = f"scale {scale:g}: share of wrong signs after {toy.plan.burn_in} steps"
    assert failed(toy) == {name}


@pytest.mark.parametrize(("index", "sign"), [(1, 1), (2, -1)])
def test_nets_that_all_recover_or_none_are_seen(toy, index, sign):
    clean, scale = toy.plan.problem.dataset.clean, toy.plan.scales[index]
    doctor(toy, lambda one: replace(one, final=0 * one.final + sign * clean))
    assert f"scale {scale:g}: share of nets with every sign right at the end" in failed(toy)


def test_a_floor_that_falls_with_the_width_is_seen(toy):
    clean, first = toy.plan.problem.dataset.clean, toy.plan.nets.widths[0]

    def narrower(one):
        factor = math.sqrt(first / one.width)
        return replace(one, final=clean + factor * (one.final - clean))

    doctor(toy, narrower)
    assert f"scale {toy.plan.large:g}: change of the mean final error per octave of width" in (
        failed(toy)
    )


@pytest.mark.parametrize("name", [PAIRS, SMALLEST])
def test_one_wrong_sign_without_a_random_start_or_with_a_small_one_is_seen(toy, name):
    rungs = (toy.pairs if name == PAIRS else toy.small).rungs[name]
    rungs[-1] = replace(rungs[-1], zero_one=rungs[-1].zero_one + 1 / 40)
    assert len([row for row in failed(toy) if "0-1 error" in row]) == 1


def test_a_floor_of_pairs_is_seen(toy):
    rungs = toy.pairs.rungs[PAIRS]
    rungs[-1] = replace(rungs[-1], error=2 * rungs[-1].error)
    assert failed(toy) == {f"{PAIRS}: final RMS error"}


@pytest.mark.parametrize(("step", "when"), [(None, "steps"), (-1, "at the end")])
def test_pairs_whose_deviation_stops_falling_are_seen(toy, step, when):
    # All off by the same: what the narrowest nets deviate by.
    rungs, step = toy.pairs.rungs[PAIRS], toy.plan.burn_in if step is None else step
    off = np.zeros_like(rungs[0].deviation[:1])
    off[:, step] = rungs[0].deviation[:, step].mean()
    rungs[:] = [replace(one, deviation=np.hypot(one.deviation, off)) for one in rungs]
    rows = {name for name in failed(toy) if "over that at" in name}
    assert len(rows) == 1
    assert f"{when}: deviation" in rows.pop()


def test_a_deviation_from_the_own_start_that_stops_falling_is_seen(toy):
    off = toy.own_deviations()[0].mean()
    doctor(toy, lambda one: replace(one, early=one.early + off))
    (row,) = {name for name in failed(toy) if "over that at" in name}
    assert row.startswith(f"scale {toy.plan.large:g}, from nets' own starts")


def test_a_deviation_of_the_small_scale_that_stops_falling_is_seen(toy):
    off = toy.small_deviations()[0].mean()
    toy.smallest = [replace(one, final=one.final + off) for one in toy.smallest]
    (row,) = failed(toy)
    assert row.startswith(f"scale {toy.plan.small:g}, from nets' own starts, at the end")


def test_a_floor_of_the_small_scale_is_seen(toy):
    rungs, small = toy.small.rungs[SMALLEST], toy.plan.small
    rungs[-1] = replace(rungs[-1], error=2 * rungs[-1].error, margin=rungs[-1].margin - 0.2)
    assert failed(toy) == {
        f"scale {small:g}: final RMS error",
        f"scale {small:g}: margin at the end",
    }


def test_nets_of_two_scales_are_different_nets(toy):
    units = [
        one.initial[0] / one.scale for one in toy.plain if one.width == toy.plan.nets.widths[1]
    ]
    assert len(units) >= 2
    assert not np.allclose(units[0], units[1])


# ---------------------------------------------------------------- premises and plan


@pytest.mark.parametrize(
    ("changes", "premise"),
    [
        ({"init_scale": 16.0}, "smallest scale leaves the signs right"),
        ({"ratio": 2.5, "noise_rate": 0.3}, "recoverable noise rate"),
        ({"schedule": "constant:level=0.2"}, "observed labels fade out"),
    ],
)
def test_a_problem_outside_the_theorem_has_its_premise_unmet(changes, premise):
    result = CLAIM.run(replace(TOY, **changes), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in result.finding
    assert not result.measurements


def test_nets_too_narrow_for_a_scale_have_their_premise_unmet():
    plan = make_plan(TOY)
    plan = replace(plan, nets=replace(plan.nets, widths=(2, 4, 8, 16)))
    assert [p.name for p in planned_premises(plan) if not p.holds] == ["nets move little"]


def test_half_the_scale_needs_four_times_the_width():
    plan = make_plan(TOY)
    wide, narrow = plan.least_width(0.05), plan.least_width(0.1)
    # Each is rounded up to the next even number.
    assert 0 <= 4 * narrow - wide <= 8
    assert 4 * plan.problem.lazy_width / 0.05**2 == pytest.approx(wide, abs=2)


def test_a_failure_is_less_likely_than_any_power_of_the_scale():
    plan = make_plan(TOY)
    scales = plan.large * 0.5 ** np.arange(1, 6)
    logs = np.log([plan.failure_bound(scale) for scale in scales])
    # log p falls by more at every halving: no power law does.
    assert (np.diff(-np.diff(logs)) > 0).all()
    ratios = plan.margins[plan.burn_in :] / plan.spread[plan.burn_in :, None]
    least = norm.logcdf(-ratios.min() / scales)
    assert (least <= logs).all()
    assert (logs <= least + math.log(ratios.size)).all()


def test_a_control_of_a_scale_that_is_small_already_does_not_hold(toy):
    toy.plan = replace(toy.plan, large=toy.plan.small)
    first = CONTROLS[0](ControlSetting(toy, Silent()))
    assert first.id == "large-scale"
    assert first.verdict is Verdict.SUPPORTED
    assert not first.holds


@pytest.mark.parametrize(
    ("index", "claimed"), [(1, ControlSetting.floor), (2, ControlSetting.zero_start)]
)
def test_a_control_that_ends_where_the_claim_says_does_not_hold(toy, index, claimed, monkeypatch):
    setting = ControlSetting(toy, Silent())
    monkeypatch.setattr(ControlSetting, "ends", lambda *_: np.full(4, claimed.fget(setting)))
    control = CONTROLS[index](setting)
    assert control.verdict is Verdict.SUPPORTED
    assert not control.holds


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 7}, "seeds must be at least 8"),
        ({"widths": (64, 128, 256)}, "widths must be at least 4"),
        ({"init_scale": 0.0}, "init_scale must be positive"),
        ({"schedule": "agreement"}, "weights that are known before the run"),
        ({"learning_rate": 2.0}, "learning_rate must be below"),
        ({"steps": 3}, "steps must be at least"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **changes))


def test_no_default_width_is_beyond_reach():
    plan = make_plan(Options(preset="quick", ratio=80.0))
    assert max(*map(plan.width, plan.scales), *plan.small_widths) <= planning._WIDEST
    assert not {p.name for p in planned_premises(plan) if not p.holds} - {"nets move little"}


# ---------------------------------------------------------------- a larger ratio


def test_at_the_larger_ratio_the_bound_on_failures_is_small_and_at_half_of_it_is_not():
    plan = make_plan(TOY)
    easier = plan.easier
    assert easier.failure_bound(plan.large) <= planning.FAILURE
    half = replace(TOY, ratio=easier.problem.ratio / 2)
    assert make_plan(half).failure_bound(plan.large) > planning.FAILURE


def test_random_starts_of_the_large_scale_are_seen_to_fail_at_the_small_ratio(toy):
    """The row that passes at the larger ratio is one that can fail."""
    plan = toy.plan
    assert kernel_limit._easier(plan, plan.easier).holds is True
    failing = kernel_limit._easier(plan, plan)
    assert failing.holds is not True
    assert failing.measured > 10 * failing.predicted


def test_no_ratio_in_reach_leaves_the_row_out(toy, monkeypatch):
    monkeypatch.setattr(planning, "_DOUBLINGS", 0)
    toy.plan = make_plan(TOY)
    assert toy.plan.easier is None
    assert not any("kernel limit at r =" in row.name for row in kernel_limit.kernel_rows(toy))
