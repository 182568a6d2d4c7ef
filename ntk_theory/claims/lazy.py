"""The premise of C1 to C7: a wide net hardly moves (docs/theory.md, sections 9.4 and 9.5).

Nets of growing width are trained on noisy clusters, on the observed labels and by
self-distillation. How far they move, how many activations flip, how their NTK starts and changes
and how they leave their own linearisation is compared with the m^{-1/2} laws and their constants.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import wrong_signs
from ntk_theory.checking.panels import Laws
from ntk_theory.claims._lazy_theory import DISTILLED, LEFT, PLAIN, LazyClusters, Theory

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

CLAIM = nt.Claim(
    "lazy",
    statement=(
        "The wider the net, the less training moves it: the largest movement of a neuron, the "
        "share of flipped activations, the change of the empirical NTK, its distance from its "
        "limit at the start and the deviation of the net from its own linearisation all fall like "
        "m^{-1/2} to leading order; the kernel limit gives the constants, those of the change of "
        "the NTK and of the deviation with a part of order m^{-3/4}, which the exponents alone "
        "would not show."
    ),
    formulas=(
        "max_r ‖w_r(T) − w_r(0)‖ ≈ m^{-1/2} max_r ‖Xᵀ(A_r ∘ c)‖,  c = Σ_t η (z_t − u_t)",
        "‖W_T − W_0‖_F² → uᵀH⁻¹u = n [(1+E)²/λ_+ + 4ρ(1−ρ) q²/λ_−]",
        "E m ‖H_m(0) − H‖_F² = 2 Σ_ij cos²θ_ij p (1 − p),  p = (π − θ_ij)/2π",
        "√m × share of flipped activations → φ(0) E[length of ξ that changes sign]",
        "√m (u_m − u_lin)(t+1) → (I − ηH) √m (u_m − u_lin)(t) + boundary layer of step t",
        "m E‖H_m(T) − H_m(0)‖_F² → ‖mean‖_F² + scatter m^{-1/2}",
        "with |a_r| = m^γ and the rate η m^{−2γ} the exponent is −1/2 − γ",
    ),
    assumptions=(
        "H positive definite and η < 2/λ_max",
        "antisymmetric start, outputs scaled by m^{-1/2}, fixed data and number of steps",
        "under self-distillation every sign is right after the burn-in, in kernel and nets",
        "a width well above the lazy one, m >= 4 m_lazy",
    ),
    derivation=(
        "A step moves every pre-activation by O(m^{-1/2}), so only neurons within that distance of "
        "a point's hyperplane change their activation on it. They start there with the density "
        "φ(0) and follow a one-dimensional recursion driven by the kernel's own residuals, which "
        "gives the flips, the mean change of the NTK and the source of the deviation from the "
        "linearised net, to first order in m^{-1/2} and by a heuristic argument; the upper bounds "
        "O(m^{-1/2}) are proved (docs/theory.md, sections 9.2, 9.4 and 9.5)."
    ),
    source="arXiv 1910.01255, abstract, claims C1 and C5; derivation: docs/theory.md, section 9.5",
    paper_claims={
        "C1": "premise of the kernel description: plain training on noisy clusters stays lazy",
        "C5": "premise of the kernel description: so does self-distillation, at fixed horizon",
    },
    presets={
        "quick": nt.Sweep(512, 2**13, 5, nets=6),
        "standard": nt.Sweep(512, 2**17, 5, nets=12),
        "wide": nt.Sweep(1024, 2**20, 6, nets=6),
        "thorough": nt.Sweep(512, 2**18, 10, nets=16),
    },
    precisions=("float64",),  # kernels at the start are those of float64 nets
)

_EXPONENTS = {
    "movement": "max_r ‖w_r(T) − w_r(0)‖",
    "flipped_activations": "the share of flipped activations",
    "kernel_change": "‖H_m(T) − H_m(0)‖_F",
    LEFT: "sup_t ‖u_m − u_lin‖/√n",
}
_TITLES = {
    "distance": "‖W_T − W_0‖_F",
    "flipped_activations": "√m × share of flipped activations",
    "along_mean_change": "√m × H_m(T) − H_m(0) along its predicted mean",
    "kernel_change": "‖H_m(T) − H_m(0)‖_F at width {widest}",
    LEFT: "sup_t ‖u_m − u_lin‖/√n at width {widest}",
    "movement": "max_r ‖w_r(T) − w_r(0)‖ at width {widest}",
}
_CONFIDENCE = 1 - 1e-4
"""Of each constant, two-sided: of a run with a dozen of them one in a thousand fails by chance."""

_START, _CONTROL_WIDTHS = 4, 4
"""Nets at their start for each trained one, as their kernels scatter; widths that a fit needs."""

CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 4, "points": 5, "ratio": 8.0, "noise_rate": 0.2},
    # At the end of the run plain training has memorised 86 % of the noise.
    fixed={"share": 0.5, "noise_times": 2, "held_out": 0, "init_scale": None, "schedule": "power"},
    into=LazyClusters.of,
)


def _kernels(inputs: Array, width: int, seeds: Sequence[int], pairs: bool = True) -> Array:
    """Empirical NTK of nets at their start, shape (S, n, n)."""
    # One net after the other: of many wide ones the weights would not fit in memory.
    starts = (
        nt.network.initialise(width, inputs.shape[1], seeds=[seed], antisymmetric=pairs)
        for seed in seeds
    )
    return np.concatenate([nt.kernels.ntk_empirical(start, inputs) for start in starts])


def _inspect(
    recipe: nt.Recipe, theory: Theory | None, width: int, seeds: Sequence[int],
    trajectory: Trajectory,
) -> dict[str, Array]:  # fmt: skip
    """How far nets are from their linearisation, and their kernels from what they were."""
    start = _kernels(recipe.inputs, width, seeds)
    linear = [
        nt.training.train_kernel_limit(kernel, recipe.observed, recipe.distillation,
                                       learning_rate=recipe.learning_rate, steps=recipe.steps)
        for kernel in start
    ]  # fmt: skip
    off = np.sqrt(np.square(trajectory.outputs - np.stack(linear)).mean(axis=2)).max(axis=1)
    if theory is None:
        return {LEFT: off}
    assert trajectory.network is not None
    change, mean = (
        nt.kernels.ntk_empirical(trajectory.network, recipe.inputs) - start,
        theory.kernel_change,
    )
    along = (change * mean).sum(axis=(1, 2)) / np.linalg.norm(mean)
    return {
        "kernel_change": np.linalg.norm(change, axis=(1, 2)),
        "along_mean_change": along,
        LEFT: off,
    }


@CLAIM.trainings
def trainings(problem: LazyClusters) -> Iterator[nt.Training]:
    """On the observed labels, and by self-distillation."""
    plain, distilled = (problem.theories[name] for name in (PLAIN, DISTILLED))
    yield problem.plain_training(inspect=partial(_inspect, problem.plain_recipe(), plain))
    yield problem.distilled_training(inspect=partial(_inspect, problem.recipe, distilled))


def _start(run: nt.Run, pairs: bool = True) -> tuple[nt.Measurement, list[Array]]:
    """Mean of m ‖H_m(0) − H‖_F² over all nets, and the distances of those of each width."""
    from ntk_theory.checking.fitting import mean_of
    from ntk_theory.checking.ladder import CONTROL_STREAM, NETS_STREAM
    from ntk_theory.checking.nets import net_seeds

    problem, nets, stream = run.problem, run.nets, NETS_STREAM if pairs else CONTROL_STREAM
    seeds = {m: net_seeds(nets.seed, m, _START * nets.count, stream) for m in nets.widths}
    off = (_kernels(problem.recipe.inputs, m, seeds[m], pairs) - problem.gram for m in seeds)
    distances = [np.linalg.norm(one, axis=(1, 2)) for one in off]
    squares = np.square(distances) * np.array(nets.widths)[:, None]
    mean, half = mean_of(squares, _CONFIDENCE)
    predicted = problem.fluctuation(pairs=pairs)
    return nt.Measurement(
        "mean of m ‖H_m(0) − H‖_F²", predicted, mean, half, (mean - half, mean + half),
        resolution=predicted / 2,
    ), distances  # fmt: skip


def _found(run: nt.Run, name: str) -> dict[str, Array]:
    """What nets of each width did in one way of training, shape (M, S), by name."""
    every, own = run.results[name], ("movement", "distance", "flipped_activations")
    found = {key: np.stack([getattr(one.trajectory, key) for one in every]) for key in own}
    return found | {key: np.stack([one.inspected[key] for one in every])
                    for key in every[0].inspected}  # fmt: skip


@CLAIM.rows
def rows(problem: LazyClusters, _: nt.Training, distilled: nt.Training) -> Iterator[nt.Row]:
    """Self-distillation taught right signs alone, as the theory of its pulls has it."""
    yield nt.Row("wrong signs after the burn-in, worst net of all widths", distilled, wrong_signs,
                 at=slice(problem.first_taught, None), reduce=np.max, expect=0.0,
                 nets="each of every width", tolerance=lambda _: 0.0)  # fmt: skip


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """Exponents and constants.

    No tolerance here is made from deviations from a prediction: exponents are fitted to what nets
    measure, and the interval of a constant comes from their scatter around their own regression.
    """
    problem, widths = run.problem, run.nets.widths
    (fluctuation, start), law = _start(run), nt.predictions.movement_exponent()
    pure = ("movement", "flipped_activations")  # of no part of order m^{-3/4}
    yield run.exponent("exponent of ‖H_m(0) − H‖_F", start, law)
    yield fluctuation
    at_start = np.sqrt(fluctuation.predicted / np.array(widths))
    run.evidence.arrays |= {"at_start": np.stack(start), "predicted at_start": at_start}
    for name, theory in problem.theories.items():
        found, laws = _found(run, name), theory.laws(widths)
        for key, quantity in _EXPONENTS.items():
            slope = law if key in pure else np.polyfit(np.log(widths), np.log(laws[key][0]), 1)[0]
            title = f"exponent of {quantity}, {name}"
            yield run.exponent(title, list(found[key]), float(np.ravel(slope)[0]))
        yield from _constants(run, name, found, laws)
        if name == PLAIN:
            run.evidence.arrays |= {key: found[key] for key in _EXPONENTS}
            run.evidence.arrays |= {f"predicted {key}": laws[key][0][:, 0] for key in _EXPONENTS}


def _constants(
    run: nt.Run, name: str, found: Mapping[str, Array], laws: Mapping[str, tuple[Array, float]]
) -> Iterator[nt.Measurement]:
    """Constants extrapolated to m = ∞ from ratios to the prediction, linear in m^{-1/2}.

    The tolerance is the interval of that, and four standard errors of a prediction that was drawn.
    Half of a constant distinguishes it from 0 and from its double; but along its mean the change of
    the kernel has to be distinguished from none alone, the law m^{-1/2} from m^{-3/4}.
    """
    from ntk_theory.checking.fitting import at_infinite_width

    widths = run.nets.widths
    for key, title in _TITLES.items():
        if key == "movement" and name != PLAIN:
            continue  # there no constant is claimed
        law, error = laws[key]
        limit, half = at_infinite_width(widths, list(found[key] / law), _CONFIDENCE)
        predicted = float(law[-1, 0]) * (math.sqrt(widths[-1]) if title.startswith("√m") else 1)
        yield nt.Measurement(
            f"{title}, {name}".format(widest=widths[-1]), predicted, predicted * limit,
            predicted * (half + 4 * error),
            (predicted * (limit - half), predicted * (limit + half)),
            resolution=predicted * (1 if key == "along_mean_change" else 0.5),
        )  # fmt: skip


def _scaled(
    plain: nt.Training, exponent: float, run: nt.Run
) -> tuple[nt.Measurement, float, float]:
    """Another output scale at the same NTK: movement and deviation have another exponent.

    Where movement falls like 1/m, a point sees O(1) flips at any width, and the deviation that they
    make is a matter of chance: the movement alone is compared there.
    """
    from ntk_theory.checking.ladder import CONTROL_STREAM, EXPONENT_TOLERANCE

    recipe, law = plain.recipe, nt.predictions.movement_exponent
    scaled = replace(plain, recipe=replace(recipe, output_exponent=exponent),
                     inspect=partial(_inspect, recipe, None))  # fmt: skip
    found = [run.train(scaled, width, CONTROL_STREAM, run.nets.count)
             for width in run.nets.widths[:_CONTROL_WIDTHS]]  # fmt: skip
    name, compared = "exponent of movement", [[one.trajectory.movement for one in found]]
    if any(one.trajectory.diverged for one in found):
        nothing = nt.Measurement(name, law(exponent), math.nan, EXPONENT_TOLERANCE)
        return nothing, law(), EXPONENT_TOLERANCE
    if exponent <= 0:
        name = "exponents of movement and of the deviation from linearisation, the worse one"
        compared.append([one.inspected[LEFT] for one in found])
    rows = [run.exponent(name, values, law(exponent)) for values in compared]
    return min(rows, key=lambda one: one.slack), law(), EXPONENT_TOLERANCE


def _unpaired(run: nt.Run) -> tuple[nt.Measurement, float, float]:
    """H_m(0) fluctuates half as much, in the square."""
    found, _ = _start(run, pairs=False)
    return found, run.problem.fluctuation(), found.tolerance


@CLAIM.controls
def controls(_: LazyClusters, trainings: Mapping[str, nt.Training]) -> Iterator[nt.Control]:
    """Other output scales, whose nets have the same NTK and move otherwise, and no pairs."""
    for id_, scale, exponent in (
        ("mean-field", "(1/m) Σ a relu with the rate η m", -0.5),
        ("unscaled-outputs", "Σ a relu with the rate η/m", 0.5),
    ):
        broken = f"output scale m^{{-1/2}}: here f = {scale}, the same NTK"
        yield nt.Control(id_, broken, measure=partial(_scaled, trainings[PLAIN], exponent))
    broken = "neurons come in pairs: here all are independent"
    yield nt.Control("independent-neurons", broken, measure=_unpaired)


@CLAIM.work
def work(declared: Declaration) -> float:
    """Of the two controls that are trained."""
    nets, steps = declared.nets, declared.problem.steps
    return float(2 * sum(nets.widths[:_CONTROL_WIDTHS]) * nets.count * steps)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """How little plain training moves the widest nets."""
    found = {key: values[-1] for key, values in _found(run, PLAIN).items()}
    return (
        f"at width {run.nets.widths[-1]} plain training moves no neuron by more than "
        f"{found['movement'].max():.3g}, flips {100 * found['flipped_activations'].mean():.2g} % "
        "of the activations and leaves the net "
        f"{found[LEFT].mean():.2g} (RMS) from its linearisation; all "
        "fall as predicted, like m^{-1/2} to leading order"
    )


CLAIM.panels = {
    "movement": Laws({"movement": r"max$_r$ $\|w_r(T)-w_r(0)\|$",
                      "flipped_activations": "share of flipped activations",
                      LEFT: r"sup$_t$ $\|u_m-u_\mathrm{lin}\|/\sqrt{n}$"},
                     "distance or share, in plain training", room=8),
    "kernel": Laws({"at_start": r"at the start, $\|H_m(0)-H\|_F$",
                    "kernel_change": r"by training, $\|H_m(T)-H_m(0)\|_F$"},
                   "distance of kernels", room=4),
}  # fmt: skip
