"""What is special to the claim `initialisation`: rows that can fail, premises, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import stored
from cases.initialisation import TOY
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.running import Run
from ntk_theory.checking.verdicts import Measurement, Options, Verdict
from ntk_theory.claims import initialisation
from ntk_theory.claims.initialisation import CLAIM
from progress import Silent

LARGE, HALF, SMALL = "scale 1.6", "scale 0.8", "scale 0.2"


@pytest.fixture(scope="module")
def trained():
    run = Run(declare(CLAIM, TOY), Silent())
    run.climb()
    return run


def failed(run, change=lambda name, width, outputs: outputs):
    """Names of the rows that do not hold for nets whose outputs (S, k, n) were changed."""
    made = Run(run.declared, Silent())
    for name, found in run.results.items():
        made.results[name] = [
            replace(one, trajectory=replace(
                one.trajectory, outputs=change(name, one.width, one.trajectory.outputs.copy())
            ))
            for one in found
        ]  # fmt: skip
    with stored.trainings(CLAIM.id):
        rows = [*map(made.measure, made.declared.rows), *initialisation.measure(made)]
    rows += made.falling_rows()
    return {row.name for row in rows if isinstance(row, Measurement) and row.holds is not True}


def of(which, change):
    """A change of the nets of some trainings alone."""
    return lambda name, width, outputs: change(outputs) if name == which else outputs


def step(place, change):
    """A change of the outputs at one recorded step."""

    def changed(outputs):
        outputs[:, place] = change(outputs)
        return outputs

    return changed


def test_nets_that_follow_theory_satisfy_every_row(trained):
    assert failed(trained) == set()


def test_wrong_starts_are_seen(trained):
    for factor in (2.0, 0.2):
        seen = failed(trained, of(HALF, step(0, lambda u, by=factor: by * u[:, 0])))
        assert "mean square of whitened initial outputs, trained nets" in seen
    kept = trained.problem.from_zero[trained.problem.first_taught]
    seen = failed(trained, of(LARGE, step(1, lambda u: kept + u[:, 0])))
    assert any(name.startswith("mean square of what is left") for name in seen)
    seen = failed(trained, of(LARGE, step(0, lambda u: u[::-1, 0])))
    assert any("from a net's own start" in name for name in seen)


@pytest.mark.parametrize(("name", "sign"), [(LARGE, 1), (HALF, -1)])
def test_nets_that_all_recover_or_none_are_seen(trained, name, sign):
    clean = trained.problem.dataset.clean
    seen = failed(trained, of(name, step(2, lambda u: 0 * u[:, 2] + sign * clean)))
    assert {f"{name}: share of nets with every sign right at the end",
            f"{name}: final RMS error"} <= seen  # fmt: skip


def test_a_floor_that_falls_with_the_width_is_seen(trained):
    clean = trained.problem.dataset.clean

    def narrower(name, width, outputs):
        return clean + math.sqrt(64 / width) * (outputs - clean) if name == LARGE else outputs

    row = f"{LARGE}: change of the mean final error per octave of width"
    assert row in failed(trained, narrower)


@pytest.mark.parametrize("name", [initialisation.PAIRS, SMALL])
def test_a_floor_or_a_wrong_sign_where_there_is_none_is_seen(trained, name):
    clean = trained.problem.dataset.clean
    seen = failed(trained, of(name, step(-1, lambda u: clean + 3 * (u[:, -1] - clean))))
    assert f"{name}: final RMS error" in seen
    seen = failed(trained, of(name, step(-1, lambda u: u[:, -1] - 2 * np.eye(40)[0])))
    assert any(row.startswith(f"{name}: 0-1 error") for row in seen)


def test_random_starts_of_the_large_scale_are_seen_to_fail_at_the_small_ratio(trained):
    """The row that passes at the larger ratio is one that can fail."""
    problem = trained.problem
    easier = problem.easier
    assert (
        easier.failure_bound(problem.large)
        <= initialisation._FAILURE
        < problem.failure_bound(problem.large)
    )
    start = np.zeros((1, 40))
    problem.__dict__["easier"] = problem
    *_, row = initialisation._kernel_rows(problem, start)
    problem.__dict__["easier"] = easier
    assert row.holds is not True
    assert row.measured > 10 * row.predicted


def test_a_failure_is_less_likely_than_any_power_of_the_scale(trained):
    problem, start = trained.problem, trained.problem.first_taught
    scales = problem.large * 0.5 ** np.arange(1, 6)
    logs = np.log([problem.failure_bound(scale) for scale in scales])
    assert (np.diff(-np.diff(logs)) > 0).all()  # it falls by more at every halving
    ratios = (problem.from_zero * problem.dataset.clean)[start:] / problem.spread[start:, None]
    least = norm.logcdf(-ratios.min() / scales)
    assert (least <= logs).all()
    assert (logs <= least + math.log(ratios.size)).all()


@pytest.mark.parametrize(
    ("changes", "premise"),
    [
        ({"init_scale": 16.0, "widths": (2048, 4096, 8192, 16384)}, "smallest scale leaves"),
        ({"ratio": 2.5, "noise_rate": 0.3}, "recoverable noise rate"),
        ({"schedule": "constant:level=0.2"}, "observed labels fade out"),
        ({"widths": (2, 4, 8, 16)}, "narrowest net moves little"),
    ],
)
def test_a_problem_outside_the_theorem_has_its_premise_unmet(changes, premise):
    result = CLAIM.run(replace(TOY, **changes), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in result.finding
    assert not result.measurements


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_scale": 0.0}, "init_scale must be positive"),
        ({"schedule": "agreement"}, "weights that are known before the run"),
        ({"learning_rate": 2.0}, "learning_rate must be below"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(TOY, **changes))


def test_half_the_scale_needs_four_times_the_width_and_none_is_beyond_reach():
    problem = CLAIM.build(TOY)
    assert problem.lazy_width_at(0.05) == pytest.approx(4 * problem.lazy_width_at(0.1))
    (first,), (half,) = (problem.widths(scale, (2, 4, 8, 16)) for scale in (0.8, 0.4))
    assert 0 <= 4 * first - half <= 8  # rounded up
    hard, run = CLAIM.build(Options(preset="quick", ratio=80.0)), (128, 256, 512, 1024, 2048)
    widths = [width for scale in hard.scales for width in hard.widths(scale, run)]
    assert max(widths) <= initialisation._WIDEST
