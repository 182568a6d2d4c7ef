"""Tolerances by the law of finite width."""

from dataclasses import replace

import numpy as np
import pytest

import ntk_theory as nt
from cases.memorisation import TOY
from made_up import made_up
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.laws import _weights, known_law, law_of
from ntk_theory.checking.nets import train_nets, train_students
from ntk_theory.checking.rows import OWN_TEACHER, Taught
from ntk_theory.checking.sweep import net_seeds
from ntk_theory.checking.verdicts import DeclarationError, Relation
from ntk_theory.claims.memorisation import CLAIM
from ntk_theory.distilled import on_clusters


@pytest.fixture(scope="module")
def run():
    return made_up(CLAIM, TOY)


@pytest.fixture(scope="module")
def row(run):
    return next(row for row in run.declared.rows if row.name.startswith("best RMS error"))


@pytest.mark.parametrize("nets", ["mean", "each"])
def test_nets_of_the_law_fall_into_the_window_and_nearly_fill_it(run, row, nets):
    row, width = replace(row, nets=nets), run.nets.widths[-1]
    below, above = run.law_sides(row, width)
    drawn = row.read(law_of(row.training, 7, count=3000).outputs(width)) - row.predicted
    if nets == "mean":
        count = run.nets.count
        drawn = drawn[: len(drawn) // count * count].reshape(-1, count).mean(axis=1)
    assert -below < drawn.min()
    assert drawn.max() < above
    # Some 4 standard errors of 5 to 7 are reached; the rest is what the law leaves out.
    assert below + above < 3.5 * (drawn.max() - drawn.min())


def test_a_step_may_be_one_off_and_a_share_may_not(run, row):
    width = 10**9  # at which nets do not scatter
    for name in ("step of the best", "first wrong step"):
        steps = next(row for row in run.declared.rows if row.name.startswith(name))
        assert run.law_sides(steps, width) == pytest.approx((1, 1), abs=1e-6)
    assert max(run.law_sides(row, width)) < 1e-3


def test_a_row_is_by_the_law_where_there_is_one(run, row):
    plain = replace(row.training, recipe=replace(row.training.recipe, init_scale=1.0))
    assert run.by_law(row)
    assert not run.by_law(replace(row, training=plain))
    assert not run.by_law(replace(row, tolerance=lambda off: off))
    assert not run.by_law(replace(row, on=OWN_TEACHER))


def test_a_bound_is_not_widened_by_the_distance_of_the_limit_from_it(run, row):
    wrong = replace(row, relation=Relation.AT_MOST, bound=row.predicted / 2, expect=None)
    assert run.measure(wrong).holds is False
    assert max(run.law_sides(wrong, TOY.widths[-1])) < row.predicted / 4


def test_the_weights_of_the_agreement_schedule_are_those_of_the_limit():
    problem = declare(CLAIM, TOY).problem.chosen
    training = on_clusters("agreement", problem.dataset, "agreement")
    weights = _weights(training)
    burn_in = training.recipe.distillation.schedule.steps
    assert (weights[:burn_in] == 1).all()
    assert weights[burn_in:] == pytest.approx(problem.noise_rate)  # all that right ones disagree on


def test_nets_off_the_law_have_none(row):
    long = replace(row.training.recipe, inputs=2 * row.training.recipe.inputs)
    for training in (
        replace(row.training, recipe=long),
        replace(row.training, recipe=replace(row.training.recipe, init_scale=1.0)),
    ):
        assert not known_law(training)
        with pytest.raises(DeclarationError, match="has no law of finite width"):
            law_of(training, 0)


def test_trainings_of_one_seed_have_the_same_draws(row):
    one, other = (law_of(row.training, 3, count=4).of.scatter for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, law_of(row.training, 4, count=4).of.scatter)


def test_twice_what_the_narrowest_nets_show_beyond_the_law_widens_the_room(row):
    def off(outputs, width, training, on):
        return outputs + 0.5 if width == TOY.widths[0] else outputs

    number = {"functional": lambda outputs, _: outputs.mean(axis=-1), "at": -1, "reduce": None}
    runs = [made_up(CLAIM, TOY, distort) for distort in (None, off)]
    training = next(iter(runs[0].trainings))
    sides = [
        run.law_sides(
            replace(row, training=run.trainings[training], expect=None, **number), TOY.widths[-1]
        )
        for run in runs
    ]
    share = TOY.widths[0] / TOY.widths[-1]
    assert sum(sides[1]) - sum(sides[0]) == pytest.approx(2 * 2 * 0.5 * share, rel=0.2)


def test_students_scatter_as_their_law_says():
    problem = nt.noisy_clusters(clusters=2, points=8, ratio=6.0, noise_rate=0.125, steps=20, seed=0)
    teacher = problem.plain_training("teacher")
    taught = Taught(teacher, lambda outputs: outputs[..., -1, :])
    recipe = problem.plain_recipe(20).relabelled(taught.labels)
    student = nt.Training("student", recipe, recipe.kernel_limit(), taught=taught)
    width, nets = 4096, 60
    seeds = net_seeds(0, width, nets, 0), net_seeds(0, width, nets, student.nets_stream)
    lessons = train_nets(teacher.recipe, width, seeds[0]).outputs[:, -1]
    made = train_students(recipe, width, lessons, seeds[1]).outputs
    drawn = law_of(student, 0, count=400).outputs(width)
    own = law_of(replace(student, taught=None), 0, count=400).outputs(width)
    found, expected, alone = (one[:, -1].std(axis=0).mean() for one in (made, drawn, own))
    assert found == pytest.approx(expected, rel=0.15)  # 60 nets: 9 %, of some directions
    assert alone < 0.85 * found
