"""What plain training outputs on the classes of a tree, and the dark knowledge in it."""

from __future__ import annotations

__all__ = ["dark_knowledge", "dark_knowledge_peak", "label_confusion", "tree_outputs"]

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory.predictions.spectra import TreeSpectrum

Array = NDArray[np.float64]
TreeNoise = Literal["symmetric", "superclass"]


@np.errstate(under="ignore")
def _retrieved(spectrum: TreeSpectrum, learning_rate: float, steps: int) -> tuple[Array, ...]:
    """g_λ(t) of the class, superclass and mean level, shape (T + 1,) each."""
    step = np.arange(steps + 1)
    return tuple(
        np.asarray(1 - (1 - learning_rate * value) ** step)
        for value in (spectrum.class_, spectrum.super_, spectrum.mean)
    )


def label_confusion(
    superclasses: int, classes: int, noise_rate: float, noise: TreeNoise = "symmetric"
) -> Array:
    """Expected share of each class's points that carry each label.

    Symmetric noise spreads the share ρ over all other classes, noise within the superclass over
    the siblings.

    Args:
        superclasses: G.
        classes: c per superclass.
        noise_rate: ρ.
        noise: "symmetric" or "superclass".

    Returns:
        Rows are classes, columns labels, shape (C, C) with C = G c; rows add up to 1.

    Reference: docs/theory.md, section 6.6.

    >>> label_confusion(superclasses=2, classes=2, noise_rate=0.3, noise="superclass")
    array([[0.7, 0.3, 0. , 0. ],
           [0.3, 0.7, 0. , 0. ],
           [0. , 0. , 0.7, 0.3],
           [0. , 0. , 0.3, 0.7]])
    """
    count = superclasses * classes
    own = np.eye(count)
    block = np.kron(np.eye(superclasses), np.ones((classes, classes)))
    wrong = np.ones((count, count)) - own if noise == "symmetric" else block - own
    return np.asarray((1 - noise_rate) * own + noise_rate * wrong / wrong.sum(axis=1)[0])


def tree_outputs(
    spectrum: TreeSpectrum,
    learning_rate: float,
    steps: int,
    labels: ArrayLike | None = None,
) -> Array:
    """Mean output of plain training on the points of each class, for one-hot labels.

    F_t = g_class (M − QM) + g_super (QM − JM) + g_mean JM, with Q and J the averages of rows over a
    superclass and over all classes. Memorised noise averages out within a class.

    Args:
        spectrum: eigenvalues of the tree.
        learning_rate: η.
        steps: T.
        labels: M, share of each class's points that carry each label, shape (C, C); the identity,
            noiseless labels, when left out.

    Returns:
        Shape (T + 1, C, C): step, class of the points, output. For noiseless labels these are the
        outputs of the single points too.

    Reference: docs/theory.md, section 6.6.
    """
    count = spectrum.superclasses * spectrum.classes
    shares = np.eye(count) if labels is None else np.asarray(labels, dtype=float)
    grouped = shares.reshape(spectrum.superclasses, spectrum.classes, count)
    over_super = np.repeat(grouped.mean(axis=1), spectrum.classes, axis=0)
    over_all = np.broadcast_to(shares.mean(axis=0), shares.shape)
    parts = (shares - over_super, over_super - over_all, over_all)
    levels = _retrieved(spectrum, learning_rate, steps)
    return np.asarray(
        sum(retrieved[:, None, None] * part for retrieved, part in zip(levels, parts, strict=True))
    )


@np.errstate(under="ignore")
def dark_knowledge(
    spectrum: TreeSpectrum,
    learning_rate: float,
    steps: int,
    noise_rate: float = 0.0,
    noise: TreeNoise = "symmetric",
) -> Array:
    """Mean output on sibling classes minus mean output on classes of other superclasses.

    (g_super − g_class)/c for noiseless labels: zero at the start and at the end, with one peak.
    Symmetric noise scales it by 1 − ρC/(C − 1). Noise within the superclass scales it by
    1 − ρc/(c − 1) and adds ρ g_super/(c − 1), which stays.

    Args:
        spectrum: eigenvalues of the tree.
        learning_rate: η.
        steps: T.
        noise_rate: ρ.
        noise: "symmetric" or "superclass".

    Returns:
        Shape (T + 1,).

    Reference: docs/theory.md, section 6.6.

    >>> from ntk_theory.predictions import tree_angles, tree_spectrum
    >>> spectrum = tree_spectrum(3, 2, 4, *tree_angles(2, 4, class_ratio=4.0, super_ratio=20.0))
    >>> dark_knowledge(spectrum, 0.5 / spectrum.mean, 200)[[0, 3, 10, 200]].round(3)
    array([0.   , 0.302, 0.174, 0.   ])
    >>> time, height = dark_knowledge_peak(spectrum, 0.5 / spectrum.mean)
    >>> round(time, 2), round(height, 3)
    (3.2, 0.302)
    """
    c = spectrum.classes
    count = spectrum.superclasses * c
    class_, super_, _ = _retrieved(spectrum, learning_rate, steps)
    clean = (super_ - class_) / c
    if noise == "symmetric":
        return np.asarray((1 - noise_rate * count / (count - 1)) * clean)
    return np.asarray((1 - noise_rate * c / (c - 1)) * clean + noise_rate / (c - 1) * super_)


def dark_knowledge_peak(spectrum: TreeSpectrum, learning_rate: float) -> tuple[float, float]:
    """Time and height of the peak of `dark_knowledge` for noiseless labels.

    With q = log(1 − ηλ_super)/log(1 − ηλ_class): t = log q/(log(1 − ηλ_class) −
    log(1 − ηλ_super)), real-valued, and the height q^{−1/(q−1)} (1 − 1/q)/c depends on q alone.

    Args:
        spectrum: eigenvalues of the tree.
        learning_rate: η, with ηλ_super < 1.

    Reference: docs/theory.md, section 6.6.
    """
    class_ = np.log1p(-learning_rate * spectrum.class_)
    super_ = np.log1p(-learning_rate * spectrum.super_)
    q = super_ / class_
    height = q ** (-1 / (q - 1)) * (1 - 1 / q) / spectrum.classes
    return float(np.log(q) / (class_ - super_)), float(height)
