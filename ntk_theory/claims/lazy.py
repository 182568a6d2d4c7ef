"""The premise of C1 to C7: a wide net hardly moves (docs/theory.md, sections 9.4 and 9.5).

Nets of growing width are trained on noisy clusters, on the observed labels and by
self-distillation. How far they move, how many activations flip, how their NTK starts and changes
and how they leave their own linearisation is compared with the m^{-1/2} laws and their constants.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import EXPONENT_TOLERANCE
from ntk_theory.checking.fitting import at_infinite_width
from ntk_theory.checking.functionals import Array, rms, wrong_signs
from ntk_theory.checking.panels import Laws
from ntk_theory.checking.sweep import CONTROL_STREAM, NETS_STREAM, net_seeds

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.network import TwoLayerReLU
    from ntk_theory.predictions import BoundaryLayer, ErrorCurve
    from ntk_theory.training import Trajectory

CLAIM = nt.Claim(
    "lazy",
    statement="""The wider the net, the less training moves it: the largest movement of a neuron,
    the share of flipped activations, the change of the empirical NTK, its distance from its limit
    at the start and the deviation of the net from its own linearisation all fall like m^{-1/2} to
    leading order; the kernel limit gives the constants, but for that of the largest movement under
    self-distillation; those of the change of the NTK and of the deviation have a part of order
    m^{-3/4}, which the exponents alone would not show.""",
    formulas=(
        "plain: max_r ‖w_r(T) − w_r(0)‖ ≈ m^{-1/2} max_r ‖Xᵀ(A_r ∘ c)‖,  c = Σ_t η (z_t − u_t)",
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
    derivation="""A step moves every pre-activation by O(m^{-1/2}), so only neurons within that
    distance of a point's hyperplane change their activation on it. They start there with the
    density φ(0) and follow a one-dimensional recursion driven by the kernel's own residuals, which
    gives the flips, the mean change of the NTK and the source of the deviation from the linearised
    net, to first order in m^{-1/2} and by a heuristic argument; the upper bounds O(m^{-1/2}) are
    proved (docs/theory.md, sections 9.2, 9.4 and 9.5).""",
    source="arXiv 1910.01255, abstract, claims C1 and C5; derivation: docs/theory.md, section 9.5",
    paper_claims={
        "C1": "premise of the kernel description: plain training on noisy clusters stays lazy",
        "C5": "premise of the kernel description: so does self-distillation, at fixed horizon",
    },
    presets={
        "quick": nt.Sweep(512, 2**13, 5, nets=6),
        "standard": nt.Sweep(512, 2**17, 5, nets=6),
        "wide": nt.Sweep(1024, 2**20, 6, nets=6),
        "thorough": nt.Sweep(512, 2**18, 10, nets=16),
    },
    precisions=("float64",),  # kernels at the start are those of float64 nets
)

PLAIN, DISTILLED = "plain training", "self-distillation"
LEFT = "deviation_from_linearisation"
_BATCHES = 8
"""Independent Monte Carlo estimates of the constants, whose scatter is their own error."""

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
} | {key: f"{_EXPONENTS[key]} at width {{widest}}" for key in ("kernel_change", LEFT, "movement")}
_ROWS = 12
"""Constants that are compared, with that of the kernels at the start."""

_STARTS, _NARROW, _FEW = 2**13, 16, 24
"""Nets of which the start alone is looked at, and their width: any has the same mean square; and
how many of every other width, for an exponent."""

_OF_KERNELS, _EXPLAIN = ("kernel_change", "along_mean_change", LEFT), ("crossings", "contrast")
"""Numbers that scatter with what neurons near a hyperplane do, and what shows that."""

_CONTROL_WIDTHS, _PARTS = 4, (4, 5, 6, 7)
"""Widths that a fit needs, and streams of further nets, which are not held at once."""


@dataclass(frozen=True)
class LazyClusters(nt.NoisyClusters):
    """Noisy clusters, with what theory draws of nets on them.

    Attributes:
        draws: neurons for each point and batch.
        more: further nets in plain training, at the second and third width, in each part.
    """

    draws: int = 0
    more: int = 0
    assumed = ("kernel positive", "stable learning", "signs right")

    @classmethod
    def of(cls, problem: nt.NoisyClusters, options: Any = None, /, **more: Any) -> LazyClusters:
        """The problem, with as many draws as a preset takes."""
        draws, nets = {"quick": (200, 3), "thorough": (8000, 200)}.get(options.preset, (4000, 90))
        return super().of(problem, draws=draws, more=nets, **more)

    def further(self, widths: Sequence[int]) -> dict[int, int]:
        """How many more nets of the cheap widths are trained in each of a few parts."""
        return {m: max(1, min(self.more, self.more * 2**13 // m)) for m in widths[1:3]}

    @property
    def lazy_width(self) -> float:
        """Lazy width of plain training, which memorises more than self-distillation does."""
        memorised = float(self.plain.memorised_noise.max())
        return nt.predictions.lazy_width(self.spectrum, self.angle, self.noise_rate, memorised)

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        lazy = self.lazy_width if self.predictable else None
        return super().config() | {"draws": _BATCHES * self.draws, "lazy_width": lazy}

    def matrix(self, same: float, inside: float, across: float) -> Array:
        """A matrix with one value at a point, inside a cluster, and between clusters."""
        levels = self.spectrum
        return nt.predictions.cluster_matrix(levels.clusters, levels.points, same, inside, across)

    @cached_property
    def cosines(self) -> Array:
        """Gram matrix of the inputs, shape (n, n)."""
        return self.matrix(1.0, math.cos(self.angle), self.cross_cosine)

    @cached_property
    def theories(self) -> dict[str, Theory]:
        """Of both ways to train."""
        return {
            PLAIN: Theory(self, self.plain, np.ones(self.steps)),
            DISTILLED: Theory(self, self.distilled, self.weights),
        }


@dataclass(frozen=True, eq=False)
class Theory:
    """What is predicted of one way of training.

    Attributes:
        problem: what is trained.
        curve: its errors in the kernel limit.
        weights: α_t, shape (T,).
    """

    problem: LazyClusters
    curve: ErrorCurve
    weights: Array

    def _rng(self, *key: int) -> np.random.Generator:
        # Apart from the seeds of nets (0), controls (1) and resampling (2).
        return np.random.default_rng(np.random.SeedSequence(self.problem.seed, spawn_key=(3, *key)))

    @cached_property
    def pulls(self) -> Array:
        """η (z_t − u_t) with every sign right, shape (T, n)."""
        data, alpha = self.problem.dataset, self.weights[:, None]
        target = alpha * data.observed + (1 - alpha) * data.clean
        outputs = self.curve.outputs(data.clean, data.flipped)
        return np.asarray(self.problem.learning_rate * (target - outputs[:-1]))

    @cached_property
    def layers(self) -> tuple[BoundaryLayer, ...]:
        """Independent estimates of the constants."""
        problem, value = self.problem, nt.predictions.ntk_value
        angles = (0.0, problem.angle, math.acos(problem.cross_cosine))
        scaled = problem.learning_rate * problem.matrix(*map(value, angles))
        return tuple(
            nt.predictions.boundary_layer(
                problem.cosines, scaled, self.pulls, self._rng(batch), problem.draws
            )
            for batch in range(_BATCHES)
        )

    @cached_property
    def kernel_change(self) -> Array:
        """Mean of √m (H_m(T) − H_m(0)), shape (n, n)."""
        return np.asarray(np.mean([layer.kernel_change for layer in self.layers], axis=0))

    def crossings(self, start: TwoLayerReLU) -> float:
        """What flips would add along the mean change, were they as frequent on either side.

        Pulls that do not depend on a point's own activation move as many neurons of a pair over its
        hyperplane as back: in the mean over nets that adds nothing, up to O(m^{-1/2}) of the law,
        but a net that happens to have more neurons on one side shows it.
        """
        gram, mean, pull = self.problem.cosines, self.kernel_change, self.pulls.sum(axis=0)
        others, inputs = gram - np.eye(len(gram)), self.problem.recipe.inputs
        along = start.hidden[0, : start.width // 2].numpy() @ inputs.T
        active = (along > 0).astype(float)
        reach = np.abs((active * pull) @ others + pull / 2) / math.sqrt(start.width)
        weight = active @ (others * mean) + np.diag(mean) / 2
        near = np.sign(along) * (np.abs(along) < reach)
        return float((weight * near).sum()) / math.sqrt(start.width)

    def laws(self, widths: Sequence[int]) -> dict[str, tuple[Array, float]]:
        """What nets of each width measure, (M, 1), and its relative standard error, by name.

        The largest movement is that of a net none of whose neurons leaves the half-space of a point
        and comes back. Under self-distillation, where the pulls change their sign, some do.
        """
        problem, curve, layers, root = self.problem, self.curve, self.layers, np.sqrt(widths)
        mean, found = self.kernel_change, {}
        off = np.array([[one.deviation_norm(m) for m in widths] for one in layers])
        for key, estimates in {
            "flipped_activations": [one.flipped / root for one in layers],
            "along_mean_change": [(one.kernel_change * mean).sum() / np.linalg.norm(mean) / root
                                  for one in layers],
            "kernel_change": [[one.kernel_change_norm(m) for m in widths] for one in layers],
            LEFT: off.max(axis=2),
        }.items():  # fmt: skip
            law, spread = np.mean(estimates, axis=0), np.std(estimates, axis=0, ddof=1)
            found[key] = (law, float(spread[-1] / law[-1]) / math.sqrt(_BATCHES))
        found[LEFT] = (off.mean(axis=0).max(axis=1), found[LEFT][1])
        pull, own = self.pulls.sum(axis=0), widths if curve is problem.plain else ()
        moved = [
            nt.predictions.largest_movement(problem.cosines, pull, m // 2, self._rng(_BATCHES, m))
            for m in own
        ]
        found["distance"] = problem.movement(curve) * root**0, 0.0
        if moved:
            found["movement"] = moved / root, 0.0
        return {key: (np.asarray(law)[:, None], error) for key, (law, error) in found.items()}


CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 4, "points": 5, "ratio": 8.0, "noise_rate": 0.2},
    # At the end of the run plain training has memorised 86 % of the noise.
    fixed={"share": 0.5, "noise_times": 2, "held_out": 0, "init_scale": None, "schedule": "power"},
    into=LazyClusters.of,
)


def _starts(inputs: Array, width: int, seeds: Sequence[int]) -> Iterator[TwoLayerReLU]:
    """One net after the other: of many wide ones the weights would not fit in memory."""
    for seed in seeds:
        yield nt.network.initialise(width, inputs.shape[1], seeds=[seed])


def _inspect(
    recipe: nt.Recipe, theory: Theory | None, width: int, seeds: Sequence[int],
    trajectory: Trajectory,
) -> dict[str, Array]:  # fmt: skip
    """How far nets moved, how far they are from their linearisation, and what their kernels did."""
    kernels, crossings = [], []
    for net in _starts(recipe.inputs, width, seeds):
        kernels.append(nt.kernels.ntk_empirical(net, recipe.inputs)[0])
        crossings.append(0.0 if theory is None else theory.crossings(net))
    start = np.stack(kernels)
    linear = [
        nt.training.train_kernel_limit(kernel, recipe.observed, recipe.distillation,
                                       learning_rate=recipe.learning_rate, steps=recipe.steps)
        for kernel in start
    ]  # fmt: skip
    moved = ("movement", "distance", "flipped_activations")
    found = {key: getattr(trajectory, key) for key in moved}
    found[LEFT] = rms(trajectory.outputs - np.stack(linear)).max(axis=1)
    if theory is not None:
        assert trajectory.network is not None
        mean = theory.kernel_change
        change = nt.kernels.ntk_empirical(trajectory.network, recipe.inputs) - start
        found["kernel_change"] = np.linalg.norm(change, axis=(1, 2))
        found["crossings"] = np.array(crossings)
        # On and off the diagonal, over the prediction: the same but for chance.
        own, squares = np.eye(len(mean), dtype=bool), np.square(mean)
        parts = [(change * mean)[:, on].sum(axis=1) * squares[~on].sum() for on in (own, ~own)]
        found["contrast"] = math.sqrt(width) * (parts[0] - parts[1])
        found["along_mean_change"] = (change * mean).sum(axis=(1, 2)) / np.linalg.norm(mean)
    return found


@CLAIM.trainings
def trainings(problem: LazyClusters) -> Iterator[nt.Training]:
    """On the observed labels, and by self-distillation."""
    plain, distilled = (problem.theories[name] for name in (PLAIN, DISTILLED))
    yield problem.plain_training(inspect=partial(_inspect, problem.plain_recipe(), plain))
    yield problem.distilled_training(inspect=partial(_inspect, problem.recipe, distilled))


def _start(run: nt.Run, pairs: bool = True) -> nt.Measurement:
    """Mean of m ‖H_m(0) − H‖_F², the same at every width: of the parts of one very wide net."""
    inputs, half = run.problem.recipe.inputs, _NARROW // 2
    width, d = _STARTS * _NARROW, inputs.shape[1]
    seeds = net_seeds(run.nets.seed, width, 1, NETS_STREAM if pairs else CONTROL_STREAM)
    wide = nt.network.initialise(width, d, seeds=seeds, antisymmetric=pairs).hidden[0].numpy()
    # Neurons of equal w are half the width apart.
    active = np.concatenate(wide.reshape(2, _STARTS, half, d), axis=1) @ inputs.T > 0
    counts = np.einsum("sri,srj->sij", active, active, dtype=float, optimize=True)
    off = inputs @ inputs.T * counts / _NARROW - run.problem.gram
    squares = _NARROW * np.square(off).sum(axis=(1, 2))
    predicted = nt.predictions.kernel_fluctuation(run.problem.cosines, pairs=pairs)
    return run.estimate("mean of m ‖H_m(0) − H‖_F²", predicted, squares, rows=_ROWS,
                        resolution=predicted / 2)  # fmt: skip


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
    fluctuation, law = _start(run), nt.predictions.movement_exponent()
    seeds = {m: net_seeds(run.nets.seed, m, _FEW, NETS_STREAM) for m in widths}
    inputs = problem.recipe.inputs
    start = np.array([
        [np.linalg.norm(nt.kernels.ntk_empirical(net, inputs)[0] - problem.gram)
         for net in _starts(inputs, m, seeds[m])] for m in widths
    ])  # fmt: skip
    pure = ("movement", "flipped_activations")  # of no part of order m^{-3/4}
    yield run.exponent("exponent of ‖H_m(0) − H‖_F", list(start), law)
    yield fluctuation
    at_start = np.sqrt(fluctuation.predicted / np.array(widths))
    run.evidence.arrays |= {"at_start": start, "predicted at_start": at_start}
    for name, theory in problem.theories.items():
        every, laws = run.results[name], theory.laws(widths)
        found = {key: np.stack([one.inspected[key] for one in every]) for key in every[0].inspected}
        for key, quantity in _EXPONENTS.items():
            slope = law if key in pure else np.polyfit(np.log(widths), np.log(laws[key][0]), 1)[0]
            title = f"exponent of {quantity}, {name}"
            yield run.exponent(title, list(found[key]), float(np.ravel(slope)[0]))
        values = {key: list(every) for key, every in found.items()}
        if name == PLAIN:
            cheap = enumerate(problem.further(widths).items(), 1)
            for (place, (width, count)), part in product(cheap, _PARTS):
                more = run.train(run.trainings[PLAIN], width, part, count).inspected
                for key in more.keys() - {"movement"}:  # predicted from few draws
                    values[key][place] = np.concatenate([values[key][place], more[key]])
            run.evidence.arrays |= {key: found[key] for key in _EXPONENTS}
            run.evidence.arrays |= {f"predicted {key}": laws[key][0][:, 0] for key in _EXPONENTS}
        yield from _constants(run, name, values, laws)


def _constants(
    run: nt.Run, name: str, found: Mapping[str, Sequence[Array]],
    laws: Mapping[str, tuple[Array, float]],
) -> Iterator[nt.Measurement]:  # fmt: skip
    """Constants extrapolated to m = ∞ from ratios to the prediction, linear in m^{-1/2}.

    At the narrowest width they are not linear yet, which many nets of the others would show.
    Half of a constant distinguishes it from 0 and from its double; but along its mean the change of
    the kernel has to be distinguished from none alone, the law m^{-1/2} from m^{-3/4}.
    """
    first = 1 if name == PLAIN else 0
    widths = run.nets.widths[first:]
    for key, title in _TITLES.items():
        if key not in laws:
            continue  # no constant of the largest movement is claimed in self-distillation
        law, drawn = laws[key]
        ratios = [values / own for values, own in zip(found[key], law, strict=True)][first:]
        # Numbers of neurons that flip scatter like m^{-1/4}, sums over all neurons like m^{-1/2}.
        power = -0.5 if key == "distance" else -0.25
        explained = [found[one][first:] for one in _EXPLAIN if key in _OF_KERNELS]
        limit, error, free = at_infinite_width(widths, ratios, power, explained)
        if key == "movement":  # a width's law is of as many draws as 32 nets have
            error *= math.sqrt(1 + run.nets.count / 32)
        predicted = float(law[-1, 0]) * (math.sqrt(widths[-1]) if title.startswith("√m") else 1)
        yield run.estimate(
            f"{title}, {name}".format(widest=widths[-1]), predicted, predicted * limit,
            [(predicted * error, free), (predicted * drawn, _BATCHES - 1)], rows=_ROWS,
            resolution=predicted * (1 if key == "along_mean_change" else 0.5),
        )  # fmt: skip


def _scaled(
    plain: nt.Training, exponent: float, run: nt.Run
) -> tuple[nt.Measurement, float, float]:
    """Another output scale at the same NTK: movement and deviation have another exponent.

    Where movement falls like 1/m, a point sees O(1) flips at any width, and the deviation that they
    make is a matter of chance: the movement alone is compared there.
    """
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
    found = _start(run, pairs=False)
    return found, nt.predictions.kernel_fluctuation(run.problem.cosines), found.tolerance


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
    """Of further nets, and of the two controls that are trained."""
    nets, problem = declared.nets, declared.problem
    cheap = problem.further(nets.widths).items()
    more = len(_PARTS) * sum(width * count for width, count in cheap)
    controls = 2 * sum(nets.widths[:_CONTROL_WIDTHS]) * nets.count
    return float((more + controls) * problem.steps)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """How little plain training moves the widest nets."""
    found = run.widest(PLAIN).inspected
    return (
        f"at width {run.nets.widths[-1]} plain training moves no neuron by more than "
        f"{found['movement'].max():.3g}, flips {100 * found['flipped_activations'].mean():.2g} % "
        f"of the activations and leaves the net {found[LEFT].mean():.2g} (RMS) from its "
        "linearisation; all fall as predicted, like m^{-1/2} to leading order"
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
