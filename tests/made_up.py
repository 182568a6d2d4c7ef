"""Runs of a claim whose nets did what a test says, without training any."""

import math
from collections import deque

import numpy as np

from ntk_theory.checking.declaration import declare
from ntk_theory.checking.laws import known_law
from ntk_theory.checking.running import Run, WidthResult
from ntk_theory.training import Trajectory
from progress import Silent

_DRAWN = 100
"""Nets drawn from a law, at least."""


_declared = deque(maxlen=4)
"""Claims, options, what they declare, and the laws of their trainings, which take seconds."""


def _declaration(claim, options):
    """Made once: a formula that is changed meanwhile is not seen."""
    for known, given, *found in _declared:
        if known is claim and given == options:
            return found
    _declared.append((claim, options, declare(claim, options), {}))
    return _declared[-1][2:]


def made_up(claim, options, distort=None, scatter=None, seed=0):
    """A run whose nets have the predicted outputs, distorted, and scatter like m^{-1/2}.

    They scatter as the law of finite width says, where there is one and no `scatter` is given.

    Args:
        claim: declared in one file.
        options: of the run.
        distort: f(outputs, width, training, on) gives what nets output in place of the predicted
            outputs of the training, on its points (on=None) or on held-out ones.
        scatter: standard deviation of an output at the last step and the largest width; 0.01 for
            nets without a law.
        seed: of the scatter.
    """
    declared, laws = _declaration(claim, options)
    run, rng = Run(declared, Silent(), _laws=laws), np.random.default_rng(seed)
    for name, training in run.trainings.items():
        run.results[name] = []
        count = training.nets_in(run.nets.count)
        zeros = np.zeros(count)
        for width in run.widths_of(training):
            size = (scatter or 0.01) * math.sqrt(run.nets.widths[-1] / width)

            def nets(on=None, width=width, size=size, training=training, count=count):
                exact = training.looked_at(on).predicted
                outputs = exact if distort is None else distort(exact, width, training, on)
                if scatter is None and known_law(training, on):
                    chosen = rng.choice(_DRAWN, count, replace=False)
                    return outputs + run.law(training).outputs(width, on)[chosen] - exact
                shared = rng.standard_normal((count, 1, *exact.shape[1:]))
                grows = np.linspace(0, 1, len(exact)) if on is None else np.ones(len(exact))
                return outputs + size * shared * grows.reshape(-1, *(1,) * (exact.ndim - 1))

            steps = np.arange(len(training.predicted))
            made = Trajectory(steps, nets(), np.ones((count, 1)), None, zeros, zeros, zeros)
            held_out = {on: nets(on) for on in training.held_out}
            run.results[name].append(WidthResult(width, made, held_out))
    return run


def failing(run):
    """Titles of the rows that do not hold."""
    return {row.title for row in run.declared.rows if run.measure(row).holds is not True}


def rows_of(run):
    """Every row of the claim, measured, by its title."""
    return {row.title: run.measure(row) for row in run.declared.rows}
