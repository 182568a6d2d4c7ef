"""A neighbour: rounds of self-distillation by kernel ridge regression (arXiv 2002.05715)."""

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import distance_from, length_along

Ridge = tuple[nt.Recipe, float, float]
CLAIM = nt.Claim(
    "ridge-rounds",
    statement="Rounds of kernel ridge regression on a share α of the labels and 1 − α of the last "
    "prediction tend to one with the penalty λ/α and lose the lower eigenvectors first, with the "
    "kernels of wide nets as in the limit.",
    formulas=("y_k = K(K + λI)⁻¹(αy + (1 − α) y_{k−1}), y_0 = y;  y_∞ = K(K + λ/α I)⁻¹y",
              "y_k = Σ (αs (1 − q^k)/(1 − q) + q^k) v_i v_iᵀy,  s = λ_i/(λ_i + λ), q = (1 − α)s"),
    source="arXiv 2002.05715 and 2102.13088; its kernels: docs/theory.md, section 3",
)  # fmt: skip


@CLAIM.problem
def _problem(*, seed: int, points: int = 40, weight: float = 0.3, penalty: float = 0.2) -> Ridge:
    rng = np.random.default_rng(seed)
    inputs = nt.data.unit_rows(rng.standard_normal((points, 8)))
    labels = np.where(inputs[:, 0] + 0.3 * rng.standard_normal(points) > 0, 1.0, -1.0)
    return nt.Recipe.plain(inputs, labels, steps=12), weight, penalty


@CLAIM.trainings
def _rounds(ridge: Ridge, name: str = "rounds") -> nt.Training:
    recipe, weight, penalty = ridge
    x, y, k = recipe.inputs, recipe.observed, np.arange(recipe.steps + 1)[:, None]
    eigen = nt.spectrum.eigendecomposition(nt.kernels.ntk_limit(x))
    q = (1 - weight) * (s := eigen.eigenvalues / (eigen.eigenvalues + penalty))
    shares = weight * s * (1 - q**k) / (1 - q) + q**k

    def simulate(width: int | None, seed: int) -> np.ndarray:
        net = width and nt.network.initialise(width, 8, seeds=[seed])
        made, kernel = [y], nt.kernels.ntk_empirical(net, x)[0] if net else nt.kernels.ntk_limit(x)
        for _ in range(recipe.steps):
            target = weight * y + (1 - weight) * made[-1]
            made.append(kernel @ np.linalg.solve(kernel + penalty * np.eye(len(y)), target))
        return np.stack(made)

    predicted = (shares * eigen.project(y)) @ eigen.eigenvectors.T
    return nt.Training(name, recipe, predicted, simulate=simulate)


@CLAIM.rows
def _rows(ridge: Ridge, training: nt.Training) -> list[nt.Row]:
    limit = _rounds((ridge[0], 1.0, ridge[2] / ridge[1])).predicted[-1]
    low = nt.spectrum.eigendecomposition(nt.kernels.ntk_limit(ridge[0].inputs)).eigenvectors[:, :20]
    return [nt.Row("distance from λ/α", training, distance_from(limit), resolves=0.1),  # one: .3
            nt.Row("lower part", training, length_along(low), norm="l2", resolves=0.2)]  # fmt: skip


@CLAIM.controls
def _controls(ridge: Ridge, _: object, rows: dict[int, nt.Row]) -> list[nt.Control]:
    one = _rounds((ridge[0], 1.0, ridge[2]), "a single regression")
    return [nt.Control(f"no-teacher-{place}", "the last prediction teaches: here α = 1",
                       rows[place].under(one)) for place in (0, 1)]  # fmt: skip
