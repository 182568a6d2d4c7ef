"""Hypothesis strategies that draw the hard structure: near-copies, rank deficiency, tiny gaps."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

EPS = np.finfo(float).eps

seeds = st.integers(0, 2**32 - 1)
rngs = seeds.map(np.random.default_rng)

# r − 1 between 1e-12 and 499, most often small.
ratios = st.floats(-12, np.log10(499)).map(lambda exponent: 1 + 10**exponent)
# 0 is the case of orthogonal clusters, where λ_0 = λ_+.
cross_cosines = st.just(0.0) | st.floats(0, 0.9)
small_angles = st.floats(-8, -3).map(lambda exponent: 10**exponent)


# ---------------------------------------------------------------- inputs


def _unit(vector):
    return vector / np.linalg.norm(vector)


def turned(row, angle, rng):
    """A unit row at an angle from a given unit row."""
    other = np.zeros(row.size)
    while np.linalg.norm(other) < 0.1:
        other = rng.standard_normal(row.size)
        other -= (other @ row) * row
    # Once more, as the first projection leaves a rounded remainder.
    other -= (other @ row) * row
    return np.cos(angle) * row + np.sin(angle) * _unit(other)


@st.composite
def inputs(draw, *, min_points=2, max_points=8, max_dimension=5, unit=True):
    """Rows of which some are copies, near-copies (angle 1e-8 to 1e-3) or opposites of others.

    The rows that are none of these span a space that may be smaller than that of the features.
    """
    dimension = draw(st.integers(2, max_dimension))
    rank = draw(st.integers(1, dimension))
    rng = draw(rngs)
    basis = np.linalg.qr(rng.standard_normal((dimension, rank)))[0].T

    def fresh():
        return _unit(rng.standard_normal(rank) @ basis)

    rows = [fresh()]
    kind = st.sampled_from(["fresh", "copy", "opposite", "near-copy", "near-opposite"])
    for name in draw(st.lists(kind, min_size=min_points - 1, max_size=max_points - 1)):
        parent = rows[draw(st.integers(0, len(rows) - 1))]
        row = fresh() if name == "fresh" else parent
        if name.startswith("near"):
            row = turned(parent, draw(small_angles), rng)
        rows.append(-row if name.endswith("opposite") else row)
    norms = np.ones(len(rows)) if unit else 10 ** rng.uniform(-2, 2, len(rows))
    return np.array(rows) * norms[:, None]


# ---------------------------------------------------------------- clusters


@dataclass(frozen=True)
class Clusters:
    """Equicorrelated clusters with the same number of wrong labels in each.

    Attributes:
        clusters: K.
        points: s.
        ratio: λ_+/λ_−.
        cross_cosine: a.
        wrong: flipped points of each cluster.
        seed: says which points are flipped.
    """

    clusters: int
    points: int
    ratio: float
    cross_cosine: float
    wrong: int
    seed: int = 0

    @property
    def n(self):
        return self.clusters * self.points

    @property
    def noise_rate(self):
        return self.wrong / self.points

    @property
    def clean(self):
        return np.repeat((-1.0) ** np.arange(self.clusters), self.points)

    @property
    def label_mean(self):
        return (self.clusters % 2) / self.clusters

    @property
    def flipped(self):
        rng = np.random.default_rng(self.seed)
        first = np.arange(self.points) < self.wrong
        return np.concatenate([rng.permutation(first) for _ in range(self.clusters)])

    @property
    def observed(self):
        return np.where(self.flipped, -self.clean, self.clean)


@st.composite
def clustered(draw, *, even=False, max_clusters=7, max_points=8, least_ratio=1.001, wrong=None):
    """Clusters: odd and even K, down to two points each, r from just above 1 to 500."""
    clusters = draw(st.integers(2, max_clusters))
    points = draw(st.integers(2, max_points))
    exponent = draw(st.floats(np.log10(least_ratio - 1), np.log10(499)))
    return Clusters(
        clusters=clusters - clusters % 2 if even else clusters,
        points=points,
        ratio=1 + 10**exponent,
        cross_cosine=draw(cross_cosines),
        wrong=draw(st.integers(0, points - 1)) if wrong is None else wrong(points, draw),
        seed=draw(seeds),
    )


# ---------------------------------------------------------------- Gram matrices


@dataclass(frozen=True)
class Gram:
    """A symmetric matrix with the eigenvalues (ascending) and eigenvectors it was made of."""

    matrix: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray


@st.composite
def grams(draw, *, least_exponent=-14.0, singular=True, min_size=1, max_size=12):
    """Positive (semi-)definite matrices: repeated eigenvalues, gaps of 1e-12, a wide range."""
    exponent = st.floats(least_exponent, 0)
    size = draw(st.integers(min_size, max_size))
    values = [1.0]
    kinds = ["fresh", "repeated", "tiny gap"] + ["zero"] * singular
    for _ in range(size - 1):
        kind = draw(st.sampled_from(kinds))
        last = values[-1]
        fresh = 10 ** draw(exponent)
        values.append(
            {"repeated": last, "tiny gap": last * (1 + 1e-12), "zero": 0.0}.get(kind, fresh)
        )
    scale = 10 ** draw(st.floats(-3, 3))
    eigenvalues = scale * np.sort(values)
    rng = draw(rngs)
    vectors = np.linalg.qr(rng.standard_normal((size, size)))[0]
    matrix = (vectors * eigenvalues) @ vectors.T
    return Gram((matrix + matrix.T) / 2, eigenvalues, vectors)
