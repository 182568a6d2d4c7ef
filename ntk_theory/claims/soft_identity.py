"""Claim C2: soft self-distillation is a learning-rate schedule (docs/theory.md, section 5).

Nets of all widths are trained twice, on their own soft prediction and on the observed labels with
the rates η α_t, and have to make the same steps; wide ones follow the closed forms, and small
steps lead to plain training that is stopped at the time η Σ α_t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.functionals import rms_error
from ntk_theory.checking.panels import Curves
from ntk_theory.claims import _soft_identity_pairs as identity
from ntk_theory.claims._soft_identity_problem import (
    ENTROPY,
    FLOW,
    HARD,
    MEMORISING,
    STOPPING,
    TEMPERED,
    SoftTargets,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.checking.verdicts import ClaimResult

Array = NDArray[np.float64]

_PAIRS = {
    "quick": ((4, 64, 1024), 1),
    "standard": ((4, 16, 64, 256, 1024, 4096), 2),
    "wide": ((4, 16, 64, 256, 1024, 4096), 2),
    "thorough": ((4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096), 5),
}
"""Widths at which the identity is checked, and with how many schedules in each case."""

CLAIM = nt.Claim(
    "soft-identity",
    statement=(
        "A net taught its own current soft prediction makes exactly the steps of plain training "
        "with learning rate η α_t, at any width, for either loss and choice of layers: early "
        "stopping under another name if Σ α_t is finite; if it is not, the infinitely wide net "
        "memorises under the square loss."
    ),
    formulas=(
        "z_t = α_t ỹ + (1 − α_t) π(u_t)  ⇒  π(u_t) − z_t = α_t (π(u_t) − ỹ)",
        "retrieved share of an eigenspace: G_λ(t) = 1 − Π_{k<t} (1 − η α_k λ)",
        "small steps: G_λ → 1 − exp(−λω), ω = η Σ α_t; the difference is ½ λ² e^{−λω} Σ (ηα_t)²",
        "rounding: ‖u − u'‖ ≤ 2 (T+1) G eps [√(nC) (√m ζ + 3B) + ½ ζ √m (√n + √C) κ]",
    ),
    assumptions=(
        "the current prediction teaches, at temperature 1, and no gradient passes through it",
        "for the rounding bound: ηλ_max(H_m) <= 1, and no activation that rounding decides",
        "for the closed forms: noisy clusters, zero initial output, a wide net, ηλ_max <= 1",
    ),
    derivation=(
        "Both losses have the output gradient π(u) − z; inserting the target gives α_t times the "
        "gradient on the observed labels, so every step is one of plain training with the rate "
        "η α_t. On clusters the kernel retrieves 1 − Π(1 − η α_k λ) of each eigenspace. Two "
        "programs that follow the two descriptions differ by rounding, which steps with "
        "ηλ_max <= 1 do not enlarge as long as the activations agree (docs/theory.md, sections 5, "
        "5.1, 5.2 and 5.3)."
    ),
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 5",
    paper_claims={"C2": "soft targets only: what they add to plain training is a stopping time"},
    presets={
        "quick": nt.Sweep(256, 4096, 5, nets=8),
        "standard": nt.Sweep(512, 2**17, 5, nets=10),
        "wide": nt.Sweep(1024, 2**20, 6, nets=6),
        "thorough": nt.Sweep(256, 2**18, 11, nets=16),
    },
    precisions=("float64",),  # the rounding bound is that of float64
)


@CLAIM.problem
def soft_targets(
    *,
    seed: int,
    clusters: int = 4,
    points: int = 5,
    ratio: float = 6.0,
    cross_cosine: float = 0.0,
    noise_rate: float = 0.2,
    learning_rate: float | None = None,
    steps: int = 64,
) -> SoftTargets:
    """Noisy clusters on which the weights of the labels fade out eight times in a run.

    Args:
        seed: of the choice of wrong labels, and of all nets.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−.
        cross_cosine: cosine between clusters.
        noise_rate: ρ.
        learning_rate: η; 1/2 over λ_+ when left out.
        steps: T.
    """
    problem = nt.noisy_clusters(
        clusters=clusters, points=points, ratio=ratio, noise_rate=noise_rate, seed=seed,
        cross_cosine=cross_cosine, learning_rate=learning_rate, steps=steps, share=0.5,
    )  # fmt: skip
    return SoftTargets(**problem.fields())


@CLAIM.trainings
def trainings(problem: SoftTargets) -> Iterator[nt.Training]:
    """Soft targets that memorise and that stop, the same with cross-entropy, and small steps."""
    for name in (MEMORISING, STOPPING):
        yield problem.soft_training(name, problem.schedule(name))
    yield problem.policy(ENTROPY, "soft", entropy=True)
    yield problem.small_steps()


@CLAIM.rows
def rows(
    problem: SoftTargets, memorising: nt.Training, stopping: nt.Training, entropy: nt.Training,
    flow: nt.Training,
) -> Iterator[nt.Row]:  # fmt: skip
    """Errors and memorised noise of wide nets."""
    for training in (memorising, stopping, entropy):
        curve = training.curves.get("rms_error", rms_error(training.predicted, training.points))
        yield nt.Row(f"RMS error after {problem.steps} steps", training, rms_error, norm="rms",
                     expect=float(curve[-1]), resolves=float(curve[-1]) / 2)  # fmt: skip

    def share(outputs: Array, _: Any) -> Array:
        """q, the projection of the outputs on the noise."""
        return np.asarray(outputs @ problem.noise / (problem.noise @ problem.noise))

    # q = u·ζ/‖ζ‖²: a deviation δ of the outputs changes it by at most ‖δ‖/‖ζ‖.
    spread = 2 * math.sqrt(problem.noise_rate * (1 - problem.noise_rate))
    for training in (memorising, stopping, flow):
        retrieved = float(training.curves["memorised_noise"][-1])
        yield nt.Row("memorised share of the noise", training, share, norm="rms",
                     expect=retrieved, resolves=min(retrieved, 0.5) / 2,
                     tolerance=lambda off: off / spread)  # fmt: skip


@CLAIM.controls
def controls(problem: SoftTargets, trainings: Mapping[str, nt.Training]) -> Iterator[nt.Control]:
    """Policies that the identity does not cover, against what the current prediction teaches.

    Plain training with the rates η α_t makes the predicted outputs of soft targets.
    """
    for id_, broken, training in (
        ("lagged", "the current prediction teaches: here that of an earlier epoch",
         problem.policy("lagged", "soft", epoch=problem.epoch)),
        ("tempered", "the prediction itself teaches: here tanh(u/T)",
         problem.policy(TEMPERED, "tempered")),
        ("hard", "the prediction itself teaches: here its sign", problem.policy(HARD, "hard")),
        ("tempered-cross-entropy", "softmax(f) teaches: here softmax(f/T)",
         problem.policy("tempered, cross-entropy", "tempered", entropy=True)),
    ):  # fmt: skip
        plain = trainings[ENTROPY if training.recipe.loss == "cross-entropy" else STOPPING]

        def apart(outputs: Array, points: Any, plain: Array = plain.predicted) -> Array:
            return rms_error(outputs - plain, points._replace(labels=0 * points.labels))

        # Tempered targets magnify a deviation of the outputs, by up to 1/T.
        yield nt.Control(id_, broken, nt.Row(
            "sup_t ‖u − u_plain‖/√n", training, apart, at=nt.ALL_STEPS, reduce=np.max, norm="rms",
            tolerance=lambda off: 2 * off, claimed=0.0,
        ))  # fmt: skip


@CLAIM.work
def work(declared: Declaration) -> Iterator[float]:
    """Of the pairs of runs, and of the runs in ever smaller steps."""
    problem, nets = declared.problem, declared.nets
    widths, turns = _PAIRS[nets.preset]
    yield len(identity.CASES) * turns * identity.PAIR_NETS * (problem.steps // 2) * 2 * sum(widths)
    yield nets.widths[0] * nets.count * (sum(problem.order_steps) + 3 * problem.finest_steps)


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """The identity net by net, and how small steps lead to gradient flow."""
    problem, pairs = run.problem, []
    for pair in identity.pairs_of(problem, run.nets.seed, *_PAIRS[run.nets.preset]):
        if run.evidence.diverged(pair.diverged):
            return
        run.progress.advance(2 * pair.width * identity.PAIR_NETS * (problem.steps // 2))
        pairs.append(pair)
        run.evidence.metrics.append(pair.metrics())
        run.evidence.arrays |= identity.pair_arrays(pairs)
    yield from identity.pair_premises(pairs)
    yield from identity.pair_rows(pairs)
    yield from _small_step_rows(run)
    yield order_row(run, *_order_ends(run))


def _rms(difference: Array) -> Array:
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)))


def _small_step_rows(run: nt.Run) -> Iterator[nt.Measurement]:
    """Distance of soft self-distillation from plain training in small steps for the same time."""
    from ntk_theory.checking.evidence import over_nets
    from ntk_theory.checking.ladder import falling_row

    vector = run.trainings[STOPPING].predicted[-1] - run.trainings[FLOW].predicted[-1]
    both = zip(run.results[STOPPING], run.results[FLOW], strict=True)
    differences = [soft.outputs()[:, -1] - plain.outputs()[:, -1] for soft, plain in both]
    apart = [_rms(one - vector) for one in differences]
    name, widest = "u_soft − u of small plain steps for the time η Σ α_t", run.nets.widths[-1]
    allowed = run.fit(apart[:-1]).upper(widest, run.confidence(1), run.nets.count)
    predicted = float(_rms(vector))
    yield over_nets(f"{name}, RMS", predicted, _rms(differences[-1]), allowed, predicted / 2)
    yield falling_row(run.nets.widths, apart, name)


def _order_ends(run: nt.Run) -> tuple[list[Array], Array]:
    """Outputs of soft runs of the same time in more and more steps, and of plain gradient flow.

    The flow is extrapolated from plain runs of N and 2N steps, 2 u_{2N} − u_N.
    """
    from ntk_theory.checking.nets import net_seeds, train_nets

    problem, width = run.problem, run.nets.widths[0]
    seeds = net_seeds(run.nets.seed, width, run.nets.count, 5)  # a stream of their own

    def end(recipe: nt.Recipe) -> Array:
        found = train_nets(recipe, width, seeds, device=run.nets.device, progress=run.progress)
        return found.outputs[:, -1]

    coarse, fine = (end(problem.fine_recipe(many * problem.finest_steps)) for many in (1, 2))
    ends = [end(problem.fine_recipe(steps, soft=True)) for steps in problem.order_steps]
    return ends, 2 * fine - coarse


def order_row(run: nt.Run, ends: list[Array], flow: Array) -> nt.Measurement:
    """Order at which soft runs of the same time in ever smaller steps approach gradient flow."""
    fitted = run.fit([_rms(one - flow) for one in ends], run.problem.order_steps)
    # The step size is the inverse of the number of steps.
    low, high = fitted.interval
    return nt.Measurement(
        f"order in η of u_soft − u of gradient flow, width {run.nets.widths[0]}",
        1.0, -fitted.exponent, 0.15, (-high, -low), whole_interval=True,
    )  # fmt: skip


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """How near the identity is to rounding, and what the schedules memorise."""
    kept, rows = run.evidence.arrays, {row.title: row for row in run.declared.rows}
    worst = float((kept["identity_difference"] / kept["identity_bound"]).max())
    memorised = [
        100 * run.measured(rows[f"{name}: memorised share of the noise"]).mean()
        for name in (MEMORISING, STOPPING)
    ]
    return (
        f"soft self-distillation and plain training with rates η α_t stay within {worst:.2g} of "
        f"their rounding bound ({kept['identity_bound'].max():.1g} at most) at widths "
        f"{kept['identity_widths'][0]} to {kept['identity_widths'][-1]}; with Σα = ∞ "
        f"{memorised[0]:.3g} % of the noise is memorised after {run.problem.steps} steps, with "
        f"Σα < ∞ {memorised[1]:.3g} %"
    )


def _identity(axes: Axes, result: ClaimResult) -> None:
    """Do soft targets and plain training with rates ηα_t differ by more than rounding?"""
    arrays, drawing = result.arrays, nt.drawing
    if "identity_widths" not in arrays:
        return
    widths = arrays["identity_widths"]
    seen = np.maximum(arrays["identity_difference"], 1e-18)  # some are zero exactly
    drawing.dots(axes, widths, seen, drawing.BLUE, "measured")
    ladder = np.unique(widths)
    least = [arrays["identity_bound"][widths == width].min() for width in ladder]
    drawing.prediction(axes, ladder, least, "smallest rounding bound")
    axes.set(xlabel="width $m$", ylabel=r"sup$_t$ $\|u_\mathrm{soft}-u_\mathrm{plain}\|$")
    axes.set(yscale="log", ylim=(1e-19, 1e-5))
    axes.set_xscale("log", base=2)
    axes.legend(loc="upper left")


_ERRORS: dict[str, Any] = {
    "ylabel": r"RMS error  $\|u_t-y\|/\sqrt{n}$",
    "bounds": {"2ρ: bound of stopping": lambda config: 2 * config["noise_rate"]},
    "more": {"ylim": (0, 1.03)},
    "legend": "lower left",
}
CLAIM.panels = {
    "identity": _identity,
    "soft-targets": Curves(rms_error, of=(MEMORISING, STOPPING), **_ERRORS),
    "policies": Curves(rms_error, of=(STOPPING, HARD, TEMPERED), **_ERRORS),
}
