"""Nets and kernel limits that take their steps together do what they do alone."""

import numpy as np
import pytest

from ntk_theory import data, kernels, targets
from ntk_theory.network import initialise
from ntk_theory.together import Job, kernel_limits, trained
from ntk_theory.training import train, train_kernel_limit

EPS = np.finfo(float).eps


def jobs(classes, count=5):
    """Data sets with runs of several lengths and either kind of targets."""
    made = []
    for place in range(count):
        rng = np.random.default_rng(place)
        rows = data.unit_rows(rng.standard_normal((30, 6)))
        labels = data.encode(rng.integers(0, classes, 20), classes)
        schedule = targets.BurnIn(3, targets.Power(2.0))
        how = targets.PLAIN if place % 2 else targets.Distillation(schedule)
        made.append(Job(rows[:20], labels, how, 0.15, rows[20:], [1, 4, 4, 10 + 3 * place]))
    return made


@pytest.mark.parametrize("classes", [2, 3])
def test_nets_are_those_of_train(classes):
    every = jobs(classes)
    for job, found, seed in zip(every, trained(every, 64, range(5)), range(5), strict=True):
        start = initialise(64, 6, seeds=[seed], outputs=1 if classes == 2 else classes)
        for stop, read in zip(job.stops, found, strict=True):
            alone = train(start, job.inputs, job.observed, job.distillation,
                          learning_rate=job.learning_rate, steps=stop)  # fmt: skip
            np.testing.assert_allclose(read, alone.network(job.read_on)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_limits_follow_the_recursion_of_one(classes):
    every = jobs(classes, 20)
    every[:2] = (
        job._replace(stops=range(first, first + 4)) for first, job in enumerate(every[:2], 1)
    )
    for job, found in zip(every, kernel_limits(every), strict=True):
        gram = kernels.ntk_limit(job.inputs)
        how = {"learning_rate": job.learning_rate, "steps": job.stops[-1]}
        outputs = train_kernel_limit(gram, job.observed, job.distillation, **how)
        across = kernels.ntk_limit(job.read_on, job.inputs)
        for stop, read in zip(job.stops, found, strict=True):
            fresh = across @ np.linalg.solve(gram, outputs[stop])
            tolerance = len(gram) ** 2 * EPS * np.linalg.cond(gram)
            assert np.abs(read - fresh).max() <= tolerance


def test_a_net_that_diverges_is_no_result():
    (job,) = jobs(2, 1)
    with pytest.raises(RuntimeError, match="training diverged"):
        trained([job._replace(learning_rate=1e12)], 32, [0])
