"""Outputs on a tree of classes: dark knowledge, what siblings get beyond other classes."""

from __future__ import annotations

__all__ = ["along", "averaged", "knowledge", "mean_outputs", "relations"]

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def relations(count: int, siblings: int) -> tuple[Array, Array]:
    """Whether two classes are siblings, and whether their superclasses differ, shape (C, C)."""
    index = np.arange(count)
    same = index[:, None] // siblings == index // siblings
    return np.asarray(same & (index[:, None] != index)), np.asarray(~same)


def knowledge(outputs: Array, groups: NDArray[np.int64], siblings: int) -> Array:
    """Mean output on siblings minus mean output on non-siblings, of outputs (..., n, C).

    Args:
        outputs: one a class.
        groups: class of each point, shape (n,).
        siblings: classes in a superclass.
    """
    sibling, other = (which[groups] for which in relations(outputs.shape[-1], siblings))
    return np.asarray(outputs[..., sibling].mean(axis=-1) - outputs[..., other].mean(axis=-1))


def mean_outputs(class_outputs: Array, siblings: int) -> Array:
    """Mean over own class, siblings and others, of outputs (..., C, C), shape (..., 3)."""
    sibling, other = relations(class_outputs.shape[-1], siblings)
    own = np.eye(class_outputs.shape[-1], dtype=bool)
    means = [class_outputs[..., which].mean(axis=-1) for which in (own, sibling, other)]
    return np.stack(means, axis=-1)


def averaged(targets: Array, siblings: int) -> Array:
    """Targets (C, C) with their means over the tree: own class, siblings, others."""
    sibling, other = relations(len(targets), siblings)
    own = np.eye(len(targets), dtype=bool)
    means = np.empty_like(targets)
    for which in (own, sibling, other):
        means[which] = targets[which].mean()
    return means


def along(outputs: Array, predicted: Array) -> Array:
    """Coefficient ⟨u, p⟩/‖p‖² of outputs (..., n, C) along predicted ones p (n, C)."""
    both = np.einsum("...ij,ij->...", outputs, predicted)
    return np.asarray(both / np.square(predicted).sum())
