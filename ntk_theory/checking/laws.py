"""The law of finite width of a declared training: how its nets scatter about their prediction."""

from __future__ import annotations

__all__ = ["TrainingLaw", "known_law", "law_of"]

from dataclasses import dataclass

import numpy as np

from ntk_theory import targets
from ntk_theory.checking.rows import OWN_TEACHER, Array, Training
from ntk_theory.checking.verdicts import DeclarationError
from ntk_theory.predictions.fluctuations import FiniteWidthLaw, Teaching, finite_width_law

_LAW_STREAM = 13

_UNIT = 1e-9
"""How far norms of inputs may be from 1."""

_OUTPUTS = 600
"""Points times outputs of which draws of the kernel still take little memory."""

_WIDE = 2.0**60
"""Width of teachers whose deviations change their lessons in proportion."""

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


def _looked_at(training: Training) -> int:
    """Training points and held-out ones, times outputs."""
    others = sum(len(points.inputs) for points in training.held_out.values())
    outputs = np.size(training.recipe.observed) // len(training.recipe.inputs)
    return (len(training.recipe.inputs) + others) * outputs


def known_law(training: Training, on: str | None = None) -> bool:
    """Whether nets of a training have the law: of gradient descent from zero, of a fair size.

    Args:
        training: declared by a claim.
        on: held-out points that are looked at.
    """
    recipe, taught = training.recipe, training.taught
    special = (recipe.init_scale, recipe.record, training.simulate)
    known = special == (None,) * 3 and recipe.output_exponent == 0 and training.kernel_limit
    unit = np.allclose(np.linalg.norm(recipe.inputs, axis=1), 1.0, rtol=0, atol=_UNIT)
    size = np.size(recipe.observed) if on is None else _looked_at(training)
    by_known = taught is None or known_law(taught.by)
    return known and unit and size <= _OUTPUTS and on != OWN_TEACHER and by_known


@dataclass(frozen=True)
class TrainingLaw:
    """The law of finite width of a training, on its points and on those that it does not see.

    Attributes:
        training: declared by a claim.
        of: outputs on all of these points.
    """

    training: Training
    of: FiniteWidthLaw

    def outputs(self, width: int, on: str | None = None) -> Array:
        """Draws of the outputs of a net, shape (B, T + 1, n), of held-out points (B, 1, p)."""
        found, start = self.of.outputs(width), len(self.training.recipe.inputs)
        if on is None:
            found = found[:, :, :start]
        else:
            for name, points in self.training.held_out.items():
                if name == on:
                    break
                start += len(points.inputs)
            found = found[:, -1:, start : start + len(self.training.held_out[on].inputs)]
        return found[..., 0] if self.training.predicted.ndim == 2 else found


def law_of(
    training: Training,
    seed: int,
    *,
    count: int | None = None,
    draws: int = 64,
    other_layers: bool = False,
) -> TrainingLaw:
    """The law of nets that are trained by gradient descent from zero outputs.

    Trainings of one seed on the same inputs have the same draws of the kernel, as their nets do;
    those of students and of their teachers are independent.

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
            f"from antisymmetric pairs, on unit inputs, of at most {_OUTPUTS} outputs on the "
            "training points, recorded at every step"
        )
    if count is None:
        count = int(np.clip(_NUMBERS // training.predicted.size, *_COUNTS))
    taught, observed = recipe.distillation, np.asarray(recipe.observed, dtype=float)
    teaching = Teaching(
        observed.reshape(len(observed), -1), _weights(training), taught.target, taught.temperature,
        taught.epoch, taught.restart, softmax=recipe.loss == "cross-entropy",
    )  # fmt: skip
    inputs, limit, labels = [recipe.inputs], [training.predicted], None
    if known_law(training, "held out"):
        for points in training.held_out.values():
            found = np.full((len(training.predicted), *points.labels.shape), np.nan)
            found[-1] = points.points.predicted[0]  # the others are not looked at
            inputs, limit = [*inputs, points.inputs], [*limit, found]
    if training.taught is not None:
        by = law_of(training.taught.by, seed, count=count, draws=draws).outputs(int(_WIDE))
        off = training.taught.lesson(by) - observed
        labels = _WIDE**0.5 * off.reshape(count, len(observed), -1)
    key = np.random.SeedSequence(seed, spawn_key=(_LAW_STREAM, training.nets_stream))
    law = finite_width_law(
        np.concatenate(inputs), np.concatenate(limit, axis=1),
        np.broadcast_to(recipe.learning_rate, recipe.steps), teaching, np.random.default_rng(key),
        count=count, draws=draws, both_layers=(recipe.layers == "both") != other_layers,
        labels=labels,
    )  # fmt: skip
    return TrainingLaw(training, law)
