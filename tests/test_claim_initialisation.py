"""Rows, premises and controls of `initialisation` fail on doctored runs; refused options."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from cases.initialisation import TOY
from ntk_theory.claims import initialisation as claim
from ntk_theory.ladder import Ladder
from ntk_theory.runs import Evidence
from ntk_theory.verdicts import Options, Verdict
from progress import Silent


@pytest.fixture(scope="module")
def trained():
    """Toy nets, trained once."""
    plan = claim._plan(TOY)
    ladder = Ladder(plan.problem.dataset.clean, plan.widths, plan.few, 0, "float64", "cpu")
    seen = claim._climb(plan, ladder, Evidence(), Silent())
    return plan, ladder, seen, [plan.law(scale) for scale in plan.scales]


@pytest.fixture
def toy(trained):
    """The trained nets, in copies that a test may change."""
    plan, ladder, seen, laws = trained
    rungs = {name: list(kept) for name, kept in ladder.rungs.items()}
    return SimpleNamespace(
        plan=plan, ladder=replace(ladder, rungs=rungs), seen=list(seen), laws=laws
    )


def every_row(toy):
    plan, ladder, seen = toy.plan, toy.ladder, toy.seen
    return [
        *claim._start_rows(plan, ladder, seen),
        claim._own_start(plan, seen),
        *claim._scale_rows(plan, ladder, seen, toy.laws),
        *claim._width_rows(plan, ladder, seen, toy.laws[1]),
        *claim._small_rows(plan, ladder),
    ]


def failed(toy):
    return {measurement.name for measurement in every_row(toy) if measurement.holds is False}


def doctor(toy, change):
    toy.seen = [change(one) for one in toy.seen]


def test_nets_that_follow_theory_satisfy_every_row(toy):
    assert all(measurement.holds for measurement in every_row(toy))


# ---------------------------------------------------------------- rows


def test_a_start_of_another_size_is_seen(toy):
    doctor(toy, lambda one: replace(one, initial=math.sqrt(2) * one.initial))
    assert "RMS initial output / scale" in failed(toy)


def test_a_start_that_does_not_grow_with_the_scale_is_seen(toy):
    doctor(toy, lambda one: replace(one, initial=one.initial / one.scale))
    assert "exponent of the initial output in the scale" in failed(toy)


def test_a_start_that_does_not_shrink_is_seen(toy):
    data, start = toy.plan.problem.dataset, toy.plan.burn_in
    zero = toy.plan.problem.distilled.outputs(data.clean, data.flipped)[start]
    doctor(toy, lambda one: replace(one, early=zero + one.initial))
    assert f"RMS of what is left of it after {start} steps / scale" in failed(toy)


def test_nets_that_follow_another_nets_start_are_seen(toy):
    # At the widest alone: narrower nets say how far it may lie off.
    widest = next(index for index, one in enumerate(toy.seen) if one.width == toy.plan.widths[-1])
    swapped = toy.seen[widest].initial[::-1]
    toy.seen[widest] = replace(toy.seen[widest], initial=swapped)
    assert {name for name in failed(toy) if "own start" in name}


@pytest.mark.parametrize("index", [0, 1, 2])
def test_signs_of_the_scale_above_or_below_are_seen(toy, index):
    scale, other = toy.plan.scales[index], toy.plan.scales[index - 1 if index else 1]
    stranger = next(one for one in toy.seen if one.scale == other)

    def swap(one):
        if one.scale != scale:
            return one
        return replace(one, early=stranger.early, final=stranger.final)

    doctor(toy, swap)
    assert {f"scale {scale:g}: final RMS error"} <= failed(toy)
    assert {name for name in failed(toy) if name.startswith(f"scale {scale:g}: share of wrong")}


def test_nets_that_all_recover_at_the_large_scale_are_seen(toy):
    clean, large = toy.plan.problem.dataset.clean, toy.plan.large
    doctor(toy, lambda one: replace(one, final=0 * one.final + clean))
    assert f"scale {large:g}: share of nets with every sign right at the end" in failed(toy)


def test_a_floor_that_falls_with_the_width_is_seen(toy):
    clean, first = toy.plan.problem.dataset.clean, toy.plan.widths[0]
    law = toy.laws[1]

    def narrower(one):
        factor = math.sqrt(first / one.width)
        return replace(one, final=clean + factor * (one.final - clean))

    doctor(toy, narrower)
    slope, *_ = claim._width_rows(toy.plan, toy.ladder, toy.seen, law)
    assert slope.holds is False


@pytest.mark.parametrize("name", [claim._PAIRS, claim._SMALLEST])
def test_one_wrong_sign_without_a_random_start_or_with_a_small_one_is_seen(toy, name):
    rungs = toy.ladder.rungs[name]
    rungs[-1] = replace(rungs[-1], zero_one=rungs[-1].zero_one + 1 / 40)
    assert len([row for row in failed(toy) if "0-1 error" in row]) == 1


def test_a_floor_of_the_small_scale_is_seen(toy):
    rungs, small = toy.ladder.rungs[claim._SMALLEST], toy.plan.small
    rungs[-1] = replace(rungs[-1], error=2 * rungs[-1].error, margin=rungs[-1].margin - 0.2)
    assert failed(toy) == {
        f"scale {small:g}: final RMS error",
        f"scale {small:g}: margin at the end",
    }


def test_nets_of_two_scales_are_different_nets(toy):
    units = [one.initial[0] / one.scale for one in toy.seen if one.width == toy.plan.widths[1]]
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
    result = claim.run(replace(TOY, **changes), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in result.finding
    assert not result.measurements


def test_nets_too_narrow_for_a_scale_have_their_premise_unmet():
    plan = replace(claim._plan(TOY), widths=(2, 4, 8, 16))
    assert [p.name for p in claim._premises(plan) if not p.holds] == ["nets move little"]


def test_half_the_scale_needs_four_times_the_width():
    plan = claim._plan(TOY)
    wide, narrow = plan.least_width(0.05), plan.least_width(0.1)
    # Each is rounded up to the next even number.
    assert 0 <= 4 * narrow - wide <= 8
    assert 4 * plan.problem.lazy_width / 0.05**2 == pytest.approx(wide, abs=2)


def test_a_failure_is_less_likely_than_any_power_of_the_scale():
    plan = claim._plan(TOY)
    scales = plan.large * 0.5 ** np.arange(1, 6)
    logs = np.log([plan.failure_bound(scale) for scale in scales])
    # log p falls by more at every halving: no power law does.
    assert (np.diff(-np.diff(logs)) > 0).all()
    ratios = plan.margins[plan.burn_in :] / plan.spread[plan.burn_in :, None]
    least = norm.logcdf(-ratios.min() / scales)
    assert (least <= logs).all()
    assert (logs <= least + math.log(ratios.size)).all()


def test_a_control_of_a_scale_that_is_small_already_does_not_hold(toy):
    plan = replace(toy.plan, large=toy.plan.small)
    law = plan.law(plan.large)
    first = next(claim._controls(plan, toy.ladder, law, Silent()))
    assert first.id == "large-scale"
    assert first.verdict is Verdict.SUPPORTED
    assert not first.holds


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
        claim.predict(replace(TOY, **changes))


def test_no_default_width_is_beyond_reach():
    plan = claim._plan(Options(preset="quick", ratio=80.0))
    assert max(*map(plan.width, plan.scales), *plan.small_widths) <= claim._WIDEST
    assert not {p.name for p in claim._premises(plan) if not p.holds} - {"nets move little"}
