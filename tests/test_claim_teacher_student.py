"""Rows, premises and controls of `teacher-student` fail for nets that did something else."""

from dataclasses import replace

import numpy as np
import pytest

from cases.teacher_student import TOY
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.running import Run, _predicted_signs_premise
from ntk_theory.checking.sweep import net_seeds
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims.teacher_student import CLAIM, HARDENED, TEACHER, student_of
from progress import Silent


@pytest.fixture(scope="module")
def trained():
    """Toy nets, trained once."""
    run = Run(declare(CLAIM, TOY), Silent())
    assert run.climb()
    return run


@pytest.fixture
def run(trained):
    """The trained nets, in lists that a test may change."""
    return replace(trained, results={name: list(found) for name, found in trained.results.items()})


def change(run, name, place, off=0.0, factor=1.0, **fields):
    """Nets of one width with other outputs, or other fields."""
    found = run.results[name][place]
    outputs = factor * found.trajectory.outputs + off
    run.results[name][place] = replace(
        found, trajectory=replace(found.trajectory, outputs=outputs), **fields
    )


def failed(run):
    measured = [run.measure(row) for row in run.declared.rows]
    every = [*measured, *run.parameters(), *CLAIM.made("measure", run), *run.falling_rows()]
    return [one.name for one in every if one.holds is not True]


def test_nets_that_follow_theory_satisfy_every_row(run):
    assert not failed(run)


@pytest.mark.parametrize("which", range(4))
def test_a_student_off_its_teachers_curve_is_seen(run, which):
    name = student_of(run.problem.stops[which])
    clean = run.problem.dataset.clean
    change(run, name, -1, off=-0.2 * clean)
    assert f"{name}: RMS error" in failed(run)


@pytest.mark.parametrize("which", range(3))
def test_a_student_of_another_teacher_is_seen(run, which):
    name = student_of(run.problem.stops[which])
    change(run, name, -1, taught=np.roll(run.results[name][-1].taught, 1, axis=0))
    assert f"{name}: RMS distance to its own teacher" in failed(run)


@pytest.mark.parametrize("factor", [0.9, 1.2])
@pytest.mark.parametrize("hardened", [False, True])
def test_students_of_another_rate_are_seen(run, factor, hardened):
    name = HARDENED if hardened else student_of(run.problem.stops.best)
    one = run.trainings[name]
    other = replace(one.recipe, learning_rate=factor * one.recipe.rate).kernel_limit()
    for place in range(len(run.nets.widths)):
        change(run, name, place, off=other - one.predicted)
    assert f"{name}: learning rate that outputs show, over that of theory" in failed(run)


def test_one_wrong_sign_of_a_student_of_right_signs_is_seen_at_every_width(run):
    change(run, HARDENED, 0, off=-2 * run.problem.dataset.clean * np.eye(len(run.problem.gram))[0])
    assert f"{HARDENED}: 0-1 error, worst net of all widths" in failed(run)


def test_a_student_of_right_signs_as_far_as_the_best_of_plain_training_is_seen(run):
    change(run, HARDENED, -1, factor=0.6)
    assert {f"{HARDENED}: RMS error", f"{HARDENED}: margin"} <= set(failed(run))


def test_a_student_below_the_bound_is_seen(run):
    stop = run.problem.stops.best
    change(run, student_of(stop), -1, off=0.3 * run.problem.dataset.clean)
    assert any("bound 2ρ" in name for name in failed(run))


@pytest.mark.parametrize("name", [TEACHER, "no teacher", "late"])
def test_signs_other_than_predicted_are_seen(run, name):
    name = student_of(run.problem.stops.late) if name == "late" else name
    one = run.trainings[name]
    assert _predicted_signs_premise(one, run.results[name][0].outputs()).holds
    change(run, name, -1, factor=-1.0)
    assert any(row.startswith(f"{name}: 0-1 error") for row in failed(run))
    scattered = run.results[name][0].outputs().copy()
    scattered[0] *= -5
    assert not _predicted_signs_premise(one, scattered).holds


def test_a_deviation_that_does_not_fall_is_seen(run):
    name = student_of(run.problem.stops.best)
    predicted = run.trainings[name].predicted
    for place, width in enumerate(run.nets.widths):
        wider = (width / run.nets.widths[0]) ** 0.5
        change(run, name, place, factor=wider, off=(1 - wider) * predicted)
    off = [row.deviation(run.widest(name).outputs()).mean() / run.sides(row, run.nets.widths[-1])[1]
           for row in run.declared.rows if row.title == f"{name}: RMS error"]  # fmt: skip
    assert off[0] > 1


def test_two_late_rounds_are_wrong_each_alone_and_right_together():
    problem = CLAIM.build(TOY)
    late, second, spare = problem.rounds
    assert problem.plain.margin()[late] <= -spare < 0
    assert problem.student().margin()[second] <= -spare
    assert problem.student(late).margin()[second] >= spare


def test_students_start_from_other_nets_than_their_teachers(trained):
    assert trained.trainings[HARDENED].generation == 1
    drawn = [seed for stream in (0, 1, 5, 6) for seed in net_seeds(0, 256, 5, stream)]
    assert len(set(drawn)) == len(drawn)


def test_controls_that_break_nothing_do_not_hold(trained):
    by_id = {control.id: control for control in trained.declared.controls}
    tame = {"fully-trained-teacher": student_of(trained.problem.stops.best),
            "late-hardening": HARDENED}  # fmt: skip
    for id_, name in tame.items():
        row = replace(by_id[id_].row, training=trained.trainings[name])
        assert not trained.control(replace(by_id[id_], row=row, unmet=None)).holds


@pytest.mark.parametrize(
    ("changes", "premise"),
    [
        ({"ratio": 1.8}, "recoverable noise rate"),
        ({"learning_rate": 0.6}, "no overshoot"),
        ({"widths": (8, 16, 32, 64)}, "narrowest net moves little"),
    ],
)
def test_a_problem_outside_the_theorem_has_its_premise_unmet(changes, premise):
    options = {"widths": TOY.widths, "seeds": 5, "clusters": 2, **changes}
    result = CLAIM.run(Options(**options), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in result.finding
    assert not result.controls


def test_default_widths_start_where_a_fully_trained_teacher_moves_little():
    for ratio in (8.0, 80.0):
        declared = declare(CLAIM, Options(preset="quick", ratio=ratio))
        assert 4 * declared.problem.lazy_width <= declared.nets.widths[0]
