"""How claims are declared and run: knobs, rows, norms, sweeps, controls, what ends a run."""

from dataclasses import replace

import numpy as np
import pytest

import ntk_theory as nt
from cases import toy
from made_up import made_up, rows_of
from ntk_theory.checking import nets as experiments
from ntk_theory.checking import run as runs
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.functionals import (
    LabelledPoints,
    from_prediction,
    learned_measure,
    least_margin,
    margins,
    mean_margin,
    rescaled_rms_error,
    residual,
    rms_error,
    size,
)
from ntk_theory.checking.knobs import Knob, knobs_of
from ntk_theory.checking.rows import NORMS
from ntk_theory.checking.running import _scatter_premise
from ntk_theory.checking.sweep import Sweep
from ntk_theory.checking.verdicts import Relation, Verdict
from ntk_theory.claims.margin import CLAIM
from progress import Silent

TOY = toy("margin")

# ---------------------------------------------------------------- knobs


def build(*, seed: int, points: int = 3, rate: float | None = None, name: str = "a", odd: bool):
    """Build.

    Args:
        seed: of all.
        points: how many
            there are.
        rate: η.
        name: of it.
        odd: if it is.
    """


def test_knobs_are_keyword_parameters_with_their_kinds_defaults_and_help():
    assert knobs_of(build, {"odd": True, "points": 5}, {"name"}) == {
        "points": Knob("points", int, 5, "how many there are."),
        "rate": Knob("rate", float, None, "η."),
        "odd": Knob("odd", bool, True, "if it is."),
    }
    assert Knob("noise_rate", float, 0.1, "").flag == "--noise-rate"


def test_a_parameter_without_default_or_of_no_kind_is_no_knob():
    with pytest.raises(ValueError, match="odd of build needs a default"):
        knobs_of(build, {}, set())
    with pytest.raises(ValueError, match="build has no keyword parameter even"):
        knobs_of(build, {"odd": True, "even": 1}, set())

    def wrong(*, seed: int, points: int | float = 3): ...

    with pytest.raises(ValueError, match="points of wrong must be annotated as int, float, str or"):
        knobs_of(wrong, {}, set())


# ---------------------------------------------------------------- functionals and norms


def test_functionals_of_one_output():
    points = LabelledPoints(np.array([1.0, -1.0]), np.array([[0.5, -0.5]]))
    outputs = np.array([[[0.5, 0.25]], [[3.0, -2.0]]])
    assert least_margin(outputs, points).tolist() == [[-0.25], [2.0]]
    assert mean_margin()(outputs, points).tolist() == [[0.125], [2.5]]
    assert mean_margin(np.array([True, False]))(outputs, points).tolist() == [[0.5], [3.0]]
    assert residual(outputs, points)[:, 0] == pytest.approx([np.hypot(0.5, 1.25), np.hypot(2, 1)])
    assert rms_error(outputs, points) == pytest.approx(residual(outputs, points) / np.sqrt(2))
    assert size(outputs, points)[1, 0] == pytest.approx(np.sqrt(13 / 2))
    assert from_prediction(outputs, points).tolist() == [[0.75], [2.5]]
    assert rescaled_rms_error(2 * outputs, points) == pytest.approx(
        rescaled_rms_error(outputs, points)
    )
    measure = learned_measure(np.diag([2.0, 4.0]))(outputs, points)
    assert measure[1, 0] == pytest.approx(np.sqrt(9 / 2 + 4 / 4))


def test_functionals_of_several_outputs():
    labels = np.eye(3)[:2]
    points = LabelledPoints(labels, labels[None])
    outputs = np.array([[[[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]]]])
    assert margins(outputs, points)[0, 0] == pytest.approx([0.5, -0.1])
    assert rms_error(outputs, points)[0, 0] == pytest.approx(
        np.sqrt(np.square(outputs[0, 0] - labels).sum() / 2)
    )


def test_norms_are_over_the_points_of_a_step():
    off, predicted = np.array([[[3.0, -4.0]]]), np.array([[1.0, 1.0]])
    sizes = {name: float(norm(off, predicted)[0, 0]) for name, norm in NORMS.items()}
    assert sizes == pytest.approx({"largest": 4, "rms": np.sqrt(12.5), "l2": 5, "relative": 4})


# ---------------------------------------------------------------- sweeps


def test_a_sweep_starts_where_nets_are_lazy_but_never_passes_a_million():
    assert Sweep(512, 2**17, 5, nets=4).widths() == (512, 2048, 8192, 32768, 131072)
    assert Sweep(256, 4096, 5, nets=4).widths(321.0) == (2048, 4096, 8192, 16384, 32768)
    assert Sweep(256, 4096, 5, nets=4).widths(1e9)[-1] == 2**20


# ---------------------------------------------------------------- declarations


@pytest.fixture(scope="module")
def declared():
    return declare(CLAIM, TOY)


def test_rows_that_make_no_sense_are_refused(declared):
    training = declared.trainings["self-distillation"]
    with pytest.raises(ValueError, match="looks at several steps, and needs reduce="):
        nt.Row("a", training, least_margin, at=nt.ALL_STEPS)
    with pytest.raises(ValueError, match="norm must be one of largest, rms, l2"):
        nt.Row("a", training, least_margin, norm="l3")
    with pytest.raises(ValueError, match="has a bound, and needs relation="):
        nt.Row("a", training, least_margin, bound=1.0)
    with pytest.raises(ValueError, match="control 'c' needs what the claim would show"):
        nt.Control("c", "", nt.Row("a", training, least_margin))
    with pytest.raises(ValueError, match=r"predicted of training 'x' must have the shape \("):
        nt.Training("x", training.recipe, training.predicted[1:])


def test_a_row_under_another_training_claims_what_the_first_predicts(declared):
    row = declared.rows[0]
    other = row.under(declared.trainings["plain training"])
    assert other.claimed == row.predicted
    assert other.predicted == pytest.approx(declared.problem.plain.margin()[-1])


def test_an_unknown_row_is_named():
    from ntk_theory.checking.declaration import _Titled

    with pytest.raises(KeyError, match="no row 'b'; there are 'a'"):
        _ = _Titled(a=1)["b"]
    assert _Titled(a=1)[-1] == 1


# ---------------------------------------------------------------- runs


def test_a_wrong_closed_form_costs_no_net(monkeypatch):
    monkeypatch.setattr(experiments, "train", None)  # calling it would raise
    for target in ("plain_training", "self_distillation", "soft_self_distillation"):
        right = getattr(nt.predictions, target)

        def wrong(levels, rho, rate, *rest, right=right):
            return right(levels, rho, 1.001 * rate, *rest)

        with monkeypatch.context() as patched:
            patched.setattr(nt.predictions, target, wrong)
            result = CLAIM.run(TOY, Silent())
        assert result.verdict is Verdict.VIOLATED
        assert "kernel limit" in result.finding
        assert not result.metrics


def test_an_expected_number_is_held_against_the_functional_of_the_outputs(monkeypatch):
    monkeypatch.setattr(experiments, "train", None)
    right = nt.predictions.ErrorCurve.margin
    monkeypatch.setattr(nt.predictions.ErrorCurve, "margin", lambda curve: right(curve) + 1e-6)
    result = CLAIM.run(TOY, Silent())
    assert result.verdict is Verdict.VIOLATED
    assert "rows: closed form − functional of the predicted outputs" in result.finding


def test_tolerances_do_not_look_at_the_widest_nets_and_controls_have_wider_ones():
    def off(outputs, width, training, on):
        return outputs + 0.3 if width == TOY.widths[-1] else outputs

    right, wrong = made_up(CLAIM, TOY), made_up(CLAIM, TOY, off)
    for row in right.declared.rows:
        if row.nets == "mean":
            width = TOY.widths[-1]
            assert right.bound(row, width) == pytest.approx(wrong.bound(row, width))
            assert right.bound(row, width) < right.bound(replace(row, nets="each"), width)


def test_of_each_net_the_one_that_leaves_least_room_is_shown():
    run = made_up(CLAIM, TOY)
    row = replace(run.declared.rows[0], nets="each", tolerance=lambda bound: (0.1, 0.2))
    values = run.measured(row)
    shown = run.measure(row)
    slack = np.where(values < row.predicted, 0.1, 0.2) - np.abs(values - row.predicted)
    assert shown.measured == values[slack.argmin()]
    assert shown.slack == pytest.approx(slack.min())
    open_above = run.measure(replace(row, resolves=(0.3, 0.15)))
    assert open_above.holds is None
    assert open_above.tolerance == 0.2


def test_a_one_sided_row_is_held_against_its_bound():
    run = made_up(CLAIM, TOY)
    row = replace(run.declared.rows[0], relation=Relation.AT_MOST, bound=0.5, expect=None)
    shown = run.measure(row)
    assert shown.predicted == 0.5
    assert shown.holds is False  # the margin is about 0.95


def test_every_norm_that_sets_a_tolerance_has_a_row_that_it_falls(monkeypatch):
    run = made_up(CLAIM, TOY)
    assert not list(run.falling_rows())  # by the law none is fitted
    monkeypatch.setattr(runs, "known_law", lambda *_: False)
    names = [row.name for row in run.falling_rows()]
    for row in run.declared.rows:
        where = "" if row.on is None else f", {row.on} points"
        assert any(name.startswith(f"{row.training.name}{where}, {row.norm}") for name in names)
    assert len(set(names)) == len(names)


def test_rows_are_distinct_and_supported_nets_satisfy_them():
    assert all(row.holds for row in rows_of(made_up(CLAIM, TOY)).values())


@pytest.mark.parametrize(("scatter", "holds"), [(0.1, True), (0.9, False)])
def test_nets_must_scatter_less_than_the_margin_of_what_teaches(declared, scatter, holds):
    training = declared.trainings["self-distillation"]
    spread = np.array([-scatter, scatter])[:, None, None] * np.ones_like(training.predicted)
    premise = _scatter_premise(training, 5.0 + training.predicted + spread)  # a bias breaks nothing
    assert premise.holds is holds
    least = margins(training.predicted, training.points)[training.signs_from :].min()
    assert premise.value == pytest.approx(least - scatter)
