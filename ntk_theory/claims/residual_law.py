"""A neighbour: the residual law of Arora et al. (arXiv 1901.08584) and their measure."""

from collections.abc import Iterator, Mapping

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import learned_measure, residual

CLAIM = nt.Claim(
    "residual-law",
    statement="Gradient descent shrinks the residual along each eigenvector by itself: it is small "
    "for labels that lean to the top eigenvectors, and so is the generalisation measure of what is "
    "learned; both are large for random labels.",
    formulas=("‖y − u_t‖² = Σ (1 − ηλ_i)^{2t} (v_iᵀy)²",
              "2 u_tᵀH⁻¹u_t/n = (2/n) Σ (1 − (1 − ηλ_i)^t)² (v_iᵀy)² / λ_i"),
    source="arXiv 1901.08584, theorems 4.1 and 5.1; derivation: docs/theory.md, section 6",
)  # fmt: skip


@CLAIM.problem
def problem(*, seed: int, points: int = 40, dimension: int = 12, steps: int = 60) -> nt.Recipe:
    """Random points on the sphere (points: n, dimension: d), labelled by a plane (steps: T)."""
    rng = np.random.default_rng(seed)
    inputs = nt.data.unit_rows(rng.standard_normal((points, dimension)))
    labels = np.where(inputs @ rng.standard_normal(dimension) > 0, 1.0, -1.0)
    return nt.Recipe.plain(inputs, labels, share=0.5, steps=steps)


@CLAIM.trainings
def descent(recipe: nt.Recipe, name: str = "gradient descent") -> nt.Training:
    """Gradient descent, with its residual and its measure at every step."""
    eigen = nt.spectrum.eigendecomposition(nt.kernels.ntk_limit(recipe.inputs))
    left = (1 - recipe.learning_rate * eigen.eigenvalues) ** np.arange(recipe.steps + 1)[:, None]
    parts = eigen.project(recipe.observed)
    measure = np.sqrt(((1 - left) * parts) ** 2 @ (2 / parts.size / eigen.eigenvalues))
    predicted = recipe.observed - (left * parts) @ eigen.eigenvectors.T
    curves = {"residual": np.sqrt(left**2 @ parts**2), "measure": measure}
    return nt.Training(name, recipe, predicted, curves=curves)


@CLAIM.rows
def rows(recipe: nt.Recipe, training: nt.Training) -> Iterator[nt.Row]:
    """Residuals on the way, and the measure in the end."""
    for t in (recipe.steps // 4, recipe.steps // 2):
        left = training.curves["residual"][t]
        yield nt.Row(f"‖y − u‖ after {t} steps", training, residual, at=t, norm="l2", expect=left,
                     resolves=left / 2)  # fmt: skip
    end, of = training.curves["measure"][-1], learned_measure(nt.kernels.ntk_limit(recipe.inputs))
    yield nt.Row("measure", training, of, norm="own", expect=end, resolves=end / 4)


@CLAIM.controls
def controls(recipe: nt.Recipe, _: object, rows: Mapping[int, nt.Row]) -> nt.Control:
    """Random labels are learned slowly."""
    signs = np.random.default_rng(1).choice((-1.0, 1.0), recipe.observed.size)
    random = descent(recipe.relabelled(signs), "random labels")
    broken = "labels lean to the top eigenvectors: here every one is drawn at random"
    return nt.Control("random-labels", broken, rows[0].under(random))
