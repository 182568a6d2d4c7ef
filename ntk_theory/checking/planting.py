"""Errors that are planted, to see whether a run notices them: nets for which theory is wrong."""

from __future__ import annotations

__all__ = ["Planted", "UnseenParameterError", "check_planted", "in_outputs", "in_recipe"]

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ntk_theory.checking.laws import TrainingLaw, known_law
from ntk_theory.checking.nets import WidthResult
from ntk_theory.checking.rows import Training
from ntk_theory.checking.scores import LEARNING_RATE, PARAMETERS, tangents
from ntk_theory.problems import Recipe

Planted = tuple[str, float]
"""A parameter of theory, and by how much of it that of the nets is larger."""


class UnseenParameterError(ValueError):
    """The nets of a claim do not have a parameter, or do not show it."""


def check_planted(planted: Planted, trainings: Mapping[str, Training]) -> None:
    """Raise ValueError for what cannot be planted in the nets of some trainings, by name.

    Raises:
        ValueError: for a parameter that there is not.
        UnseenParameterError: for one that these nets do not have.
    """
    parameter, _ = planted
    if parameter not in PARAMETERS:
        raise ValueError(f"planted must be one of {', '.join(PARAMETERS)}; got {parameter!r}")
    every = trainings.values()
    if parameter == LEARNING_RATE:
        shown = any(one.simulate is None for one in every)
    else:
        shown = any(known_law(one) for one in every)
    if not shown:
        raise UnseenParameterError(f"no net here shows the {parameter}")


def in_recipe(recipe: Recipe, planted: Planted | None) -> Recipe:
    """What nets are trained by: at another learning rate, if that is what is planted."""
    if planted is None or planted[0] != LEARNING_RATE:
        return recipe
    rate = (1 + planted[1]) * np.asarray(recipe.learning_rate)
    return replace(recipe, learning_rate=rate if rate.ndim else float(rate))


def in_outputs(
    planted: Planted | None,
    trainings: Mapping[str, Training],
    results: Mapping[str, Sequence[WidthResult]],
    law: Callable[[Training], TrainingLaw],
) -> dict[str, list[WidthResult]]:
    """Nets whose outputs are changed as an error of a parameter would, to first order.

    That of the learning rate is in the nets already. Nets without a law, and outputs on points that
    no net is trained on, stay as they are.

    Args:
        planted: parameter and error.
        trainings: by name.
        results: nets of each width, by the name of the training.
        law: of a training.

    Raises:
        UnseenParameterError: if no outputs depend on it.
    """
    found = {name: list(nets) for name, nets in results.items()}
    if planted is None or planted[0] == LEARNING_RATE:
        return found
    parameter, error = planted
    known = {name: dict(tangents(law(one))) for name, one in trainings.items() if known_law(one)}
    showing = [name for name, changes in known.items() if parameter in changes]
    if not showing:
        raise UnseenParameterError(f"no net here shows the {parameter}")
    for name in showing:
        change = error * known[name][parameter]
        found[name] = [nets.moved(change) for nets in found[name]]
    return found
