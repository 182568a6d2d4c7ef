"""Inputs whose kernel spectrum is known, and labels with a controlled share of wrong ones.

A `Design` holds inputs and their groups; `noisy_labels` turns it into a `Dataset` by giving every
group a class and a share of its points a wrong one. All inputs are unit rows. Where the spectrum of
the limiting first-layer NTK is known exactly it comes with the design as `levels`.
"""

from __future__ import annotations

__all__ = [
    "Dataset",
    "Design",
    "LabelNoise",
    "circle",
    "encode",
    "equicorrelated_clusters",
    "gaussian_clusters",
    "noisy_labels",
    "power_law",
    "tree",
    "unit_rows",
]

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory import arguments, predictions

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
LabelNoise = Literal["symmetric", "pair"]
Count = Literal["exact", "balanced", "iid"]

_ONE_CLASS = "one class has no wrong label"

_UNIT = 1e-5
"""Distance of a norm from 1 that may be rounding, of rows in float32, too."""


@dataclass(frozen=True)
class Design:
    """Inputs, the groups they fall in, and their exact spectrum where there is one.

    Attributes:
        name: the family of the design.
        inputs: unit rows, shape (n, d).
        groups: group of each point, 0..G−1, shape (n,); points of a group are contiguous.
        levels: ((eigenvalue, multiplicity), ...) of the limiting first-layer NTK, ascending and
            adding up to n, or None where the spectrum has to be measured.

    Raises:
        ValueError: for rows that are not of norm 1, groups that are no such numbers, or levels that
            are not those of n points.
    """

    name: str
    inputs: Array
    groups: Labels
    levels: tuple[tuple[float, int], ...] | None = None

    def __post_init__(self) -> None:
        rows = arguments.rows("inputs", self.inputs)
        with np.errstate(all="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        other = np.flatnonzero(~(np.abs(norms - 1) <= _UNIT))
        if other.size:
            raise ValueError(
                f"inputs must be unit rows; got norm {norms[other[0]]:.3g} in row {other[0]}; "
                "give inputs / np.linalg.norm(inputs, axis=1, keepdims=True)"
            )
        object.__setattr__(self, "inputs", rows)
        groups = arguments.class_numbers("groups", self.groups, points=len(rows))
        object.__setattr__(self, "groups", groups)
        if self.levels is not None:
            object.__setattr__(self, "levels", _checked_levels(self.levels, len(rows)))

    def eigenvalues(self) -> Array:
        """All n eigenvalues, ascending; raises ValueError where the spectrum is not exact."""
        if self.levels is None:
            raise ValueError(
                f"the spectrum of the design {self.name!r} is not known in closed form; "
                "measure it with spectrum.eigendecomposition(kernels.ntk_limit(inputs))"
            )
        return np.repeat(*(np.asarray(column) for column in zip(*self.levels, strict=True)))


def _checked_levels(
    levels: Sequence[tuple[float, int]], points: int
) -> tuple[tuple[float, int], ...]:
    pairs = np.asarray(arguments.array("levels", levels, ("levels", 2), do="give pairs"))
    values, counts = pairs.T
    if (np.diff(values) < 0).any():
        raise ValueError("levels must be ascending; got a smaller one after a larger; sort them")
    if (counts < 1).any() or (counts % 1).any() or counts.sum() != points:
        raise ValueError(
            f"levels must have multiplicities that add up to the {points} points; "
            f"got {counts.sum():g}; leave them out where the spectrum is not known"
        )
    return tuple((float(value), int(count)) for value, count in pairs)


@dataclass(frozen=True)
class Dataset:
    """A design with clean and observed labels.

    Attributes:
        design: inputs, groups, spectrum.
        classes: number of classes C.
        clean_class: right class of each point, shape (n,).
        observed_class: the class that training sees, shape (n,).

    Raises:
        ValueError: for what are no class numbers 0..C−1, one for each point.
    """

    design: Design
    classes: int
    clean_class: Labels
    observed_class: Labels

    def __post_init__(self) -> None:
        if not isinstance(self.design, Design):
            raise TypeError(
                f"design must be a Design; got {type(self.design).__name__}; "
                "give data.Design(name, inputs, groups)"
            )
        classes = arguments.whole("classes", self.classes, least=2, why=_ONE_CLASS)
        object.__setattr__(self, "classes", classes)
        for name in ("clean_class", "observed_class"):
            numbers = arguments.class_numbers(
                name, getattr(self, name), classes=classes, points=len(self.design.groups)
            )
            object.__setattr__(self, name, numbers)

    @property
    def inputs(self) -> Array:
        """Unit rows, shape (n, d)."""
        return self.design.inputs

    @property
    def clean(self) -> Array:
        """Clean targets y: ±1 of shape (n,) for two classes, one-hot rows (n, C) for more."""
        return encode(self.clean_class, self.classes)

    @property
    def observed(self) -> Array:
        """Observed targets ỹ, in the shape of `clean`."""
        return encode(self.observed_class, self.classes)

    @property
    def flipped(self) -> NDArray[np.bool_]:
        """Whether the observed label is wrong, shape (n,)."""
        return np.asarray(self.clean_class != self.observed_class)

    @property
    def noise_rate(self) -> float:
        """Share of wrong labels that the data really has."""
        return float(self.flipped.mean())


def encode(labels: ArrayLike, classes: int) -> Array:
    """Targets of class labels: +1 and −1 for classes 0 and 1, one-hot rows for more classes.

    Args:
        labels: class of each point, 0..C−1, shape (n,).
        classes: C >= 2.

    Returns:
        Shape (n,) for two classes, (n, C) for more.

    Raises:
        ValueError: for what are no such class numbers, as labels that are ±1 already.

    >>> encode(np.array([0, 1]), 2)
    array([ 1., -1.])
    """
    count = arguments.whole("classes", classes, least=2, why=_ONE_CLASS)
    numbers = arguments.class_numbers("labels", labels, classes=count)
    if count == 2:
        return np.where(numbers == 0, 1.0, -1.0)
    return np.asarray(np.eye(count)[numbers])


# ---------------------------------------------------------------- designs with an exact spectrum


def _checked_cosine(cross_cosine: float) -> float:
    return arguments.real(
        "cross_cosine",
        cross_cosine,
        "lie in [0, 1)",
        lambda x: 0 <= x < 1,
        why="the cosine between clusters",
    )


_INFORMATION = "information is what tells clusters apart"
_NOISE = "noise lives on the contrasts inside a cluster"
_FEATURES = "unit vectors of one feature are only ±1"


def equicorrelated_clusters(
    clusters: int,
    points: int,
    *,
    ratio: float | None = None,
    angle: float | None = None,
    cross_cosine: float = 0.0,
    dimension: int | None = None,
    rng: np.random.Generator | None = None,
) -> Design:
    """Clusters with one cosine inside and one across: three eigenvalues, known exactly.

    x_{k,i} = √a e_0 + √b e_k + √c e_{k,i} with a + b + c = 1 and orthonormal e's. Give either the
    eigenvalue ratio or the angle inside a cluster.

    Args:
        clusters: K >= 2.
        points: s >= 2 per cluster; n = K s.
        ratio: r = λ_+/λ_− > 1.
        angle: θ inside a cluster, in (0, arccos(cross_cosine)).
        cross_cosine: a in [0, 1).
        dimension: number of input features. By default 1 + K + n, which makes the spectrum exact;
            fewer use random unit directions in place of the e's, and the spectrum must be measured.
        rng: draws the random directions; needed with a dimension below 1 + K + n only.

    Returns:
        A design whose `levels` are (λ_−, K(s−1)), (λ_+, K−1), (λ_0, 1), or None if approximate.

    Raises:
        ValueError: for arguments out of range.

    Reference: docs/theory.md, section 3.1.

    >>> design = equicorrelated_clusters(2, 3, ratio=5.0)
    >>> design.inputs.shape
    (6, 9)
    """
    clusters = arguments.whole("clusters", clusters, least=2, why=_INFORMATION)
    points = arguments.whole("points", points, least=2, why=_NOISE)
    cross_cosine = _checked_cosine(cross_cosine)
    if (ratio is None) == (angle is None):
        raise ValueError("give either ratio or angle, not both and not neither")
    if rng is not None:
        rng = arguments.generator("rng", rng)
    if ratio is not None:
        ratio = arguments.real(
            "ratio",
            ratio,
            "be above 1 and finite: λ_+/λ_− = 1 means no clusters",
            lambda x: 1 < x < np.inf,
        )
        angle = predictions.cluster_angle(points, ratio, cross_cosine)
        if angle <= 0:
            raise ValueError(
                f"ratio must leave the points of a cluster apart; {ratio:g} makes their angle 0"
            )
    angle = arguments.real(
        "angle",
        angle,
        "lie in (0, arccos(cross_cosine)): a cluster is narrower than the distance between "
        "clusters",
        lambda x: 0 < x < np.arccos(cross_cosine),
    )
    n = clusters * points
    full = 1 + clusters + n
    groups = np.repeat(np.arange(clusters), points)
    a, b, c = cross_cosine, np.cos(angle) - cross_cosine, 2 * np.sin(angle / 2) ** 2
    coordinates = np.zeros((n, full))
    coordinates[:, 0] = np.sqrt(a)
    coordinates[np.arange(n), 1 + groups] = np.sqrt(b)
    coordinates[np.arange(n), 1 + clusters + np.arange(n)] = np.sqrt(c)
    if dimension is not None:
        dimension = arguments.whole("dimension", dimension, least=2, why=_FEATURES)
    if dimension is not None and dimension < full:
        if rng is None:
            raise ValueError(
                f"rng is needed: dimension {dimension} is below {full}, so directions are random"
            )
        inputs = unit_rows(coordinates @ unit_rows(rng.standard_normal((full, dimension))))
        return Design("equicorrelated clusters (random directions)", inputs, groups)
    if dimension is not None:
        coordinates = np.pad(coordinates, ((0, 0), (0, dimension - full)))
    spectrum = predictions.cluster_spectrum(clusters, points, angle, cross_cosine)
    return Design("equicorrelated clusters", coordinates, groups, spectrum.levels())


def tree(
    superclasses: int,
    classes: int,
    points: int,
    *,
    class_ratio: float,
    super_ratio: float,
    cross_cosine: float = 0.0,
) -> Design:
    """Superclass > class > point: four eigenvalues, known exactly.

    Args:
        superclasses: at least 2.
        classes: at least 2 per superclass.
        points: at least 2 per class.
        class_ratio: λ_class/λ_− > 1.
        super_ratio: λ_super/λ_− > class_ratio.
        cross_cosine: cosine between superclasses, in [0, 1).

    Returns:
        A design whose groups are the classes; the superclass of group g is g // classes.

    Raises:
        ValueError: for arguments out of range.

    Reference: docs/theory.md, section 3.2.

    >>> levels = tree(2, 2, 3, class_ratio=4.0, super_ratio=12.0).levels
    >>> [(round(value / levels[0][0], 6), count) for value, count in levels]
    [(1.0, 8), (4.0, 2), (12.0, 1), (12.0, 1)]
    """
    superclasses = arguments.whole(
        "superclasses", superclasses, least=2, why="else there is no level above the classes"
    )
    classes = arguments.whole(
        "classes", classes, least=2, why="per superclass; else the levels coincide"
    )
    points = arguments.whole(
        "points", points, least=2, why="noise lives on the contrasts inside a class"
    )
    cross_cosine = _checked_cosine(cross_cosine)
    class_ratio, super_ratio = (
        arguments.number(name, value)
        for name, value in (("class_ratio", class_ratio), ("super_ratio", super_ratio))
    )
    if not 1 < class_ratio < super_ratio < np.inf:
        raise ValueError(
            "the ratios must obey 1 < class_ratio < super_ratio, finite; "
            f"got {class_ratio} and {super_ratio}"
        )
    super_angle, class_angle = predictions.tree_angles(
        classes, points, class_ratio, super_ratio, cross_cosine
    )
    n_classes = superclasses * classes
    n = n_classes * points
    groups = np.repeat(np.arange(n_classes), points)
    rows = np.arange(n)
    inputs = np.zeros((n, 1 + superclasses + n_classes + n))
    inputs[:, 0] = np.sqrt(cross_cosine)
    # Ratios within rounding of each other leave differences of cosines that may be below zero.
    inputs[rows, 1 + groups // classes] = np.sqrt(max(np.cos(super_angle) - cross_cosine, 0))
    inputs[rows, 1 + superclasses + groups] = np.sqrt(
        max(np.cos(class_angle) - np.cos(super_angle), 0)
    )
    inputs[rows, 1 + superclasses + n_classes + rows] = np.sqrt(2) * np.sin(class_angle / 2)
    spectrum = predictions.tree_spectrum(
        superclasses, classes, points, super_angle, class_angle, cross_cosine
    )
    return Design("tree", inputs, groups, spectrum.levels())


def circle(points: int, *, arcs: int = 2) -> Design:
    """Equispaced points of the unit circle: Fourier eigenvectors, eigenvalues by FFT.

    For even n >= 6 the kernel is singular: n/2 − 2 eigenvalues are exactly zero.

    Args:
        points: n >= 3.
        arcs: number of equal arcs that are the groups; divides `points`.

    Raises:
        ValueError: for arguments out of range.

    Reference: docs/theory.md, section 3.3.

    >>> circle(8).eigenvalues().round(3)
    array([0.   , 0.   , 0.146, 0.5  , 0.5  , 0.854, 1.   , 1.   ])
    """
    points = arguments.whole("points", points, least=3, why="fewer points span no circle")
    arcs = arguments.whole("arcs", arcs)
    if arcs < 1 or points % arcs:
        raise ValueError(f"arcs must divide the number of points {points}; got {arcs}")
    phase = 2 * np.pi * np.arange(points) / points
    inputs = np.column_stack([np.cos(phase), np.sin(phase)])
    levels = tuple((float(value), 1) for value in predictions.circle_eigenvalues(points))
    return Design("circle", inputs, np.arange(points) * arcs // points, levels)


# ---------------------------------------------------------------- designs with a measured spectrum


def unit_rows(rows: Array) -> Array:
    """Rows divided by their Euclidean lengths, shape (n, d)."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def power_law(
    points: int,
    dimension: int,
    *,
    exponent: float,
    rng: np.random.Generator,
    kept: float = 1.0,
) -> Design:
    """Gaussian rows with covariance i^{-p}, normalised; grouped by the sign of the top direction.

    Args:
        points: n >= 2.
        dimension: d >= 2.
        exponent: p > 0.
        rng: draws the rows.
        kept: share in (0, 1] of the drawn rows that is kept, those farthest from the boundary
            between the groups; 1 keeps all.

    Raises:
        ValueError: for arguments out of range.

    >>> design = power_law(100, 20, exponent=2.0, rng=np.random.default_rng(0))
    >>> design.inputs.shape, np.bincount(design.groups), design.levels
    ((100, 20), array([46, 54]), None)
    """
    points = arguments.whole("points", points, least=2, why="one point has no contrast")
    dimension = arguments.whole("dimension", dimension, least=2, why=_FEATURES)
    exponent = arguments.positive("exponent", exponent)
    rng = arguments.generator("rng", rng)
    kept = arguments.real(
        "kept", kept, "lie in (0, 1]", lambda x: 0 < x <= 1, why="a share of the drawn rows"
    )
    scales = np.arange(1, dimension + 1) ** (-exponent / 2)
    drawn = int(np.ceil(points / kept))
    inputs = unit_rows(rng.standard_normal((drawn, dimension)) * scales)
    if drawn > points:
        inputs = inputs[np.argsort(-np.abs(inputs[:, 0]), kind="stable")[:points]]
    inputs = inputs[np.argsort(inputs[:, 0] < 0, kind="stable")]
    return Design("power law", inputs, (inputs[:, 0] < 0).astype(np.int64))


def gaussian_clusters(
    clusters: int, points: int, dimension: int, *, radius: float, rng: np.random.Generator
) -> Design:
    """Gaussian clusters around random centres of the sphere, projected back onto it.

    Args:
        clusters: K >= 2.
        points: s >= 2 per cluster.
        dimension: d >= 2.
        radius: ε > 0, the root-mean-square distance of a point from its centre before projection.
        rng: draws centres and points.

    Raises:
        ValueError: for arguments out of range.

    >>> design = gaussian_clusters(3, 10, 20, radius=0.2, rng=np.random.default_rng(0))
    >>> cosines = design.inputs @ design.inputs.T
    >>> cosines[0, [0, 1, 2, 10, 20]].round(2)
    array([ 1.  ,  0.95,  0.96, -0.02, -0.01])
    """
    clusters = arguments.whole("clusters", clusters, least=2, why=_INFORMATION)
    points = arguments.whole("points", points, least=2, why=_NOISE)
    dimension = arguments.whole("dimension", dimension, least=2, why=_FEATURES)
    radius = arguments.positive("radius", radius)
    rng = arguments.generator("rng", rng)
    groups = np.repeat(np.arange(clusters), points)
    centres = unit_rows(rng.standard_normal((clusters, dimension)))
    offsets = rng.standard_normal((clusters * points, dimension)) * radius / np.sqrt(dimension)
    return Design("gaussian clusters", unit_rows(centres[groups] + offsets), groups)


# ---------------------------------------------------------------- labels


def _flipped_points(
    groups: Labels, noise_rate: float, count: str, rng: np.random.Generator
) -> NDArray[np.bool_]:
    flipped = np.zeros(groups.size, dtype=bool)
    if count == "iid":
        return np.asarray(rng.random(groups.size) < noise_rate)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        # 1e-9 keeps 0.29 · 100 = 28.999... at 29.
        wrong = int(np.floor(noise_rate * members.size + 1e-9))
        if wrong == 0 and noise_rate > 0:
            raise ValueError(
                f"noise_rate {noise_rate:g} of a group of {members.size} points is less than one "
                f"label; use at least {1 / members.size:.3g}, or more points"
            )
        flipped[rng.choice(members, wrong, replace=False)] = True
    return flipped


def noisy_labels(
    design: Design,
    *,
    noise_rate: float,
    rng: np.random.Generator,
    classes: int = 2,
    noise: LabelNoise = "symmetric",
    count: Count = "exact",
) -> Dataset:
    """Give group g the class g mod C, and a share of the points a wrong class.

    Args:
        design: inputs and groups.
        noise_rate: ρ in [0, 1). With exact counts every group gets floor(ρ · size) wrong labels, so
            the rate that the data has (`Dataset.noise_rate`) never exceeds the one asked for.
        rng: draws the wrong labels.
        classes: C >= 2.
        noise: "symmetric" (one of the other classes, uniformly) or "pair" (the next class).
        count: "exact" per group; "balanced", which in addition makes the wrong classes of a group
            equally frequent, up to one; or "iid" per point.

    Raises:
        ValueError: for arguments out of range, or an exact count below one label.

    Reference: docs/theory.md, section 3.5.

    >>> design = equicorrelated_clusters(2, 10, ratio=5.0)
    >>> dataset = noisy_labels(design, noise_rate=0.25, rng=np.random.default_rng(0))
    >>> dataset.noise_rate, dataset.flipped.reshape(2, 10).sum(axis=1)
    (0.2, array([2, 2]))
    """
    if not isinstance(design, Design):
        raise TypeError(
            f"design must be a Design; got {type(design).__name__}; "
            "give data.Design(name, inputs, groups)"
        )
    noise_rate = arguments.real(
        "noise_rate", noise_rate, "lie in [0, 1)", lambda x: 0 <= x < 1, why="a share of labels"
    )
    rng = arguments.generator("rng", rng)
    classes = arguments.whole("classes", classes, least=2, why=_ONE_CLASS)
    noise = arguments.choice("noise", noise, get_args(LabelNoise))
    count = arguments.choice("count", count, get_args(Count))
    clean = design.groups % classes
    flipped = _flipped_points(design.groups, noise_rate, count, rng)
    shift = np.ones_like(clean)
    if noise == "symmetric" and count == "balanced":
        for group in np.unique(design.groups):
            wrong = np.flatnonzero(flipped & (design.groups == group))
            shift[rng.permutation(wrong)] = 1 + np.arange(wrong.size) % (classes - 1)
    elif noise == "symmetric":
        shift = rng.integers(1, classes, clean.size)
    observed = np.where(flipped, (clean + shift) % classes, clean)
    return Dataset(design, classes, clean, observed)
