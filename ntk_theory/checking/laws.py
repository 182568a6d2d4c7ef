"""The law of finite width of a declared training: how its nets scatter about their prediction."""

from __future__ import annotations

__all__ = ["known_law", "law_of"]

import numpy as np

from ntk_theory import targets
from ntk_theory.checking.rows import Training
from ntk_theory.checking.verdicts import DeclarationError
from ntk_theory.predictions.fluctuations import FiniteWidthLaw, Teaching, finite_width_law

_LAW_STREAM = 13

_UNIT = 1e-9
"""How far norms of inputs may be from 1."""

_OUTPUTS = 600
"""Points times outputs of which draws of the kernel still take little memory."""

_NUMBERS, _COUNTS = 2**23, (100, 200)
"""Of all outputs of the nets drawn from a law; and how many of these there are."""


def _weights(training: Training) -> np.ndarray:
    """α_t; under the agreement schedule those of the kernel limit, whose signs nets share."""
    schedule, steps = training.recipe.distillation.schedule, training.recipe.steps
    then = schedule.then if isinstance(schedule, targets.BurnIn) else schedule
    if not isinstance(then, targets.Agreement):
        return targets.weights(schedule, steps)
    outputs, observed = training.predicted, training.recipe.observed
    if observed.ndim == 1:
        agrees = np.sign(outputs[:steps]) == observed
    else:
        agrees = outputs[:steps].argmax(axis=-1) == observed.argmax(axis=-1)
    found = 1 - agrees.mean(axis=-1)
    found[: schedule.steps if isinstance(schedule, targets.BurnIn) else 0] = 1.0
    return np.asarray(found)


def known_law(training: Training) -> bool:
    """Whether nets of a training have the law: of gradient descent from zero, of a fair size."""
    recipe = training.recipe
    special = (recipe.init_scale, recipe.record, training.simulate, training.taught)
    known = special == (None,) * 4 and recipe.output_exponent == 0 and training.kernel_limit
    unit = np.allclose(np.linalg.norm(recipe.inputs, axis=1), 1.0, rtol=0, atol=_UNIT)
    return known and unit and np.size(recipe.observed) <= _OUTPUTS


def law_of(
    training: Training,
    seed: int,
    *,
    count: int | None = None,
    draws: int = 64,
    other_layers: bool = False,
) -> FiniteWidthLaw:
    """The law of nets that are trained by gradient descent from zero outputs.

    Trainings of one seed on the same inputs have the same draws of the kernel, as their nets do.

    Args:
        training: declared by a claim.
        seed: of the draws.
        count: how many nets are drawn from it; up to 200, as far as they take little memory, when
            left out.
        draws: near each hyperplane.
        other_layers: the kernel's draws are those of the other way to train: a wrong law.

    Raises:
        DeclarationError: for nets that the law does not know.

    Reference: docs/theory.md, section 9.6.
    """
    recipe = training.recipe
    if not known_law(training):
        raise DeclarationError(
            f"training {training.name!r} has no law of finite width: that is one of nets trained "
            "from antisymmetric pairs, on unit inputs and on labels that all share, of at most "
            f"{_OUTPUTS} outputs on the training points, recorded at every step"
        )
    if count is None:
        count = int(np.clip(_NUMBERS // training.predicted.size, *_COUNTS))
    taught, observed = recipe.distillation, np.asarray(recipe.observed, dtype=float)
    teaching = Teaching(
        observed.reshape(len(observed), -1), _weights(training), taught.target, taught.temperature,
        taught.epoch, taught.restart, softmax=recipe.loss == "cross-entropy",
    )  # fmt: skip
    return finite_width_law(
        recipe.inputs, training.predicted, np.broadcast_to(recipe.learning_rate, recipe.steps),
        teaching, np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(_LAW_STREAM,))),
        count=count, draws=draws, both_layers=(recipe.layers == "both") != other_layers,
    )  # fmt: skip
