"""Labels that are wrong independently: every cluster then has a noise rate of its own."""

from __future__ import annotations

__all__ = ["independent_rows"]

import math
from collections.abc import Iterator

import numpy as np

from ntk_theory import data, predictions, training
from ntk_theory.claims.threshold.plan import Plan
from ntk_theory.targets import PLAIN
from ntk_theory.verdicts import Measurement

_DATA_SETS = 2000
"""Of each ratio, in the kernel limit."""

_STREAM, _DEVIATES = 5, 3.9
"""Keeps the draws apart from all nets; normal quantile of a probability of 1e-4, two-sided."""


def independent_rows(plan: Plan) -> Iterator[Measurement]:
    """Infinitely wide nets on labels of which each is wrong with the same probability.

    On orthogonal clusters each has its own threshold, so all labels are right at some step if and
    only if the noisiest cluster is below ρ*; how often that is, is a matter of binomials.
    """
    misplaced, total, shares = 0, 0, []
    for index, ratio in enumerate(plan.ratios):
        cell = plan.cells[plan.of_ratio(ratio)[0]]
        problem = cell.problem
        key = np.random.SeedSequence(plan.nets.seed, spawn_key=(_STREAM, index))
        rng = np.random.default_rng(key)
        probability = 0.75 * cell.threshold  # many data sets are on either side
        labels = [
            data.noisy_labels(
                problem.dataset.design, noise_rate=probability, rng=rng, count="iid"
            ).observed
            for _ in range(_DATA_SETS)
        ]
        observed, clean = np.stack(labels, axis=1), problem.dataset.clean
        outputs = training.train_kernel_limit(
            problem.gram,
            observed,
            PLAIN,
            learning_rate=problem.learning_rate,
            steps=problem.steps,
        )
        recovered = (outputs[1:] * clean[:, None] > 0).all(axis=1).any(axis=0)
        wrong, groups = observed != clean[:, None], problem.dataset.design.groups
        highest = np.max([wrong[groups == k].mean(axis=0) for k in np.unique(groups)], axis=0)
        clear = np.abs(highest - cell.threshold) > 1e-9
        recovered &= clear  # at ρ* itself the margin is 0, of which rounding would make a sign
        misplaced += int((recovered != (highest < cell.threshold))[clear].sum())
        total += int(clear.sum())
        expected = predictions.recoverable_share(
            problem.spectrum.clusters, problem.spectrum.points, probability, cell.threshold
        )
        shares.append((expected, float(recovered.mean())))
    yield Measurement(
        f"kernel limit, independent flips: data sets of {total} that are not recovered exactly if "
        "every cluster is below ρ*",
        0.0,
        misplaced,
        0.0,
    )
    for ratio, (expected, measured) in zip(plan.ratios, shares, strict=True):
        error = math.sqrt(expected * (1 - expected) / _DATA_SETS)
        yield Measurement(
            f"kernel limit, independent flips with probability ¾ρ*, r = {ratio:g}: share of data "
            "sets recovered",
            expected,
            measured,
            _DEVIATES * error + 1 / _DATA_SETS,
        )
