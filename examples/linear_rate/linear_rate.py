"""Gradient descent converges at a linear rate (Du, Zhai, Poczos, Singh, arXiv 1810.02054)."""

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import residual

CLAIM = nt.Claim(
    "linear-rate",
    statement="‖y − u_t‖² ≤ (1 − ηλ_0/2)^t ‖y − u_0‖² at every step, with λ_0 the least eigenvalue "
    "of the kernel",
    formulas=("‖y − u_t‖² ≤ (1 − ηλ_0/2)^t ‖y − u_0‖²",),
    source="arXiv 1810.02054, theorem 4.1",
)


@CLAIM.problem
def problem(*, seed, points: int = 20, dimension: int = 40, steps: int = 40):
    """Random points on the sphere with random labels.

    Args:
        seed: of points and labels.
        points: n.
        dimension: d.
        steps: T.
    """
    rng = np.random.default_rng(seed)
    inputs = nt.data.unit_rows(rng.standard_normal((points, dimension)))
    return nt.Recipe.plain(inputs, rng.choice((-1.0, 1.0), points), share=0.5, steps=steps)


@CLAIM.trainings
def descent(recipe, name="gradient descent", labels=None):
    """Plain gradient descent, of which the bound says how fast it is at least."""
    eigen = nt.spectrum.eigendecomposition(nt.kernels.ntk_limit(recipe.inputs))
    steps = np.arange(recipe.steps + 1)
    left = (1 - recipe.learning_rate * eigen.eigenvalues) ** steps[:, None]
    predicted = recipe.observed - (left * eigen.project(recipe.observed)) @ eigen.eigenvectors.T
    bound = (1 - recipe.learning_rate * eigen.eigenvalues[0] / 2) ** (steps / 2)
    return nt.Training(name, recipe, predicted, labels=labels, curves={"bound": bound})


def over_bound(training):
    """‖y − u_t‖ over its bound, at every step."""
    first = np.linalg.norm(training.recipe.observed)

    def ratio(outputs, points):
        return residual(outputs, points) / (training.curves["bound"] * first)

    return ratio


@CLAIM.rows
def rows(recipe, training):
    """No net is above the bound; the residual itself is as predicted."""
    yield nt.Row("residual over its bound, largest", training, over_bound(training),
                 at=slice(1, None), reduce=np.max, norm="own", relation=nt.Relation.AT_MOST,
                 bound=1.0, resolves=0.5, nets="each")  # fmt: skip
    yield nt.Row("residual in the end", training, residual, norm="l2",
                 resolves=0.1 * np.linalg.norm(recipe.observed))  # fmt: skip


@CLAIM.controls
def controls(recipe, _, rows):
    """Held against other labels than those it is trained on, the residual does not fall."""
    training = descent(recipe, "against other labels", labels=-recipe.observed)
    yield nt.Control("other-labels", "y is what is trained on: here the opposite labels",
                     rows[1].under(training))  # fmt: skip
