"""Claim C2: soft self-distillation is a learning-rate schedule (docs/theory.md, section 5).

Nets of all widths are trained twice, on their own soft prediction and on the observed labels with
the rates η α_t, and have to make the same steps; wide ones follow the closed forms, and small
steps lead to plain training that is stopped at the time η Σ α_t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import RISKS, falling_row, over_nets
from ntk_theory.checking.functionals import Array, rms, rms_error, size
from ntk_theory.checking.panels import Curves
from ntk_theory.checking.rows import SIGNED
from ntk_theory.checking.sweep import net_seeds
from ntk_theory.claims import _soft_identity_pairs as identity

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.targets import Schedule

MEMORISING, STOPPING = "soft, Σα = ∞", "soft, Σα < ∞"
ENTROPY, FLOW = "soft, Σα < ∞, cross-entropy", "plain, small steps"
TEMPERED, HARD = "tempered, tanh(u/T)", "hard, sign(u)"
_TEMPERATURE, _DECAYS = 0.5, 8
"""T of tempered targets, and the length of a run in decay constants."""

_PAIRS = {
    "quick": ((4, 64, 1024), 1),
    "standard": ((4, 16, 64, 256, 1024, 4096), 2),
    "wide": ((4, 16, 64, 256, 1024, 4096), 2),
    "thorough": ((4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096), 5),
}
"""Widths at which the identity is checked, and with how many schedules in each case."""

CLAIM = nt.Claim(
    "soft-identity",
    statement="""A net taught its own current soft prediction makes exactly the steps of plain
    training with learning rate η α_t, at any width, for either loss and choice of layers: early
    stopping under another name if Σ α_t is finite; if it is not, the infinitely wide net memorises
    under the square loss.""",
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
    derivation="""Both losses have the output gradient π(u) − z; inserting the target gives α_t
    times the gradient on the observed labels, so every step is one of plain training with the rate
    η α_t. On clusters the kernel retrieves 1 − Π(1 − η α_k λ) of each eigenspace. Two programs that
    follow the two descriptions differ by rounding, which steps with ηλ_max <= 1 do not enlarge as
    long as the activations agree (docs/theory.md, sections 5, 5.1, 5.2 and 5.3).""",
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 5",
    paper_claims={
        "C2": "soft targets of the current outputs only, no student: what they add to plain "
        "training is a schedule of rates"
    },
    presets={
        "quick": nt.Sweep(256, 4096, 5, nets=8),
        "standard": nt.Sweep(512, 2**17, 5, nets=10),
        "wide": nt.Sweep(1024, 2**20, 6, nets=6),
        "thorough": nt.Sweep(256, 2**18, 11, nets=16),
    },
    precisions=("float64",),  # the rounding bound is that of float64
)


class SoftTargets(nt.NoisyClusters):
    """Noisy clusters, on which one schedule of soft targets memorises and another one stops."""

    assumed = ("kernel positive", "stable learning", "no overshoot")

    def schedule(self, name: str, steps: int | None = None) -> Schedule:
        """α_t of one way of training, stretched to so many steps."""
        decay = (self.steps if steps is None else steps) / _DECAYS
        return nt.targets.Power(decay, 0.5) if name == MEMORISING else nt.targets.Geometric(decay)

    @property
    def stopping(self) -> Array:
        """α_t of the schedule that stops."""
        return nt.targets.weights(self.schedule(STOPPING), self.steps)

    @property
    def time(self) -> float:
        """ω = η Σ α_t of the schedule that stops."""
        return float(self.learning_rate * self.stopping.sum())

    @property
    def epoch(self) -> int:
        """Length of an epoch of lagged targets: a decay constant."""
        return max(2, round(self.steps / _DECAYS))

    @property
    def order_steps(self) -> tuple[int, ...]:
        """Numbers of steps in which soft targets cover the same time."""
        return tuple(self.steps * factor for factor in (1, 2, 4, 8))

    @property
    def noise(self) -> Array:
        """ζ, what the observed labels have inside clusters."""
        return self.dataset.observed - (1 - 2 * self.noise_rate) * self.dataset.clean

    @property
    def lazy_width(self) -> float:
        """Lazy width once all noise is memorised, which bounds that of every run."""
        return nt.predictions.lazy_width(self.spectrum, self.angle, self.noise_rate, 1.0)

    def premises(self) -> tuple[nt.Premise, ...]:
        """Those of plain training."""
        return tuple(replace(one, name=one.name.partition(" (")[0]) for one in super().premises())

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        config = super().config()
        del config["schedule"], config["init_scale"]
        return config | {
            "decay": self.steps / _DECAYS,
            "epoch": self.epoch,
            "temperature": _TEMPERATURE,
            "identity_steps": self.steps // 2,
            "identity_seeds": identity.PAIR_NETS,
            "order_steps": list(self.order_steps),
        }

    def fine_recipe(self, steps: int, *, soft: bool = False) -> nt.Recipe:
        """Plain training in so many steps for the time of the schedule that stops, or soft one."""
        target = nt.targets.Distillation(self.schedule(STOPPING, steps), "soft")
        target = target if soft else nt.targets.PLAIN
        rate = self.time / float(nt.targets.weights(target.schedule, steps).sum())
        return replace(self.recipe, distillation=target, learning_rate=rate, steps=steps,
                       record=[steps])  # fmt: skip

    def small_steps(self) -> nt.Training:
        """Plain training in small steps: gradient flow, and what steps retrieve beyond it."""
        recipe, levels = self.fine_recipe(2 * self.steps), self.spectrum
        every = np.array([levels.noise, levels.information, levels.mean])
        retrieved = nt.predictions.gradient_flow(every, self.time)
        retrieved += nt.predictions.small_step_gap(every, np.full(recipe.steps, recipe.rate))
        noise, information, mean = retrieved
        outputs = nt.predictions.block_filter(levels, recipe.observed, (noise, information, mean))
        return nt.Training(FLOW, recipe, outputs[None], self.dataset.clean,
                           curves={"memorised_noise": retrieved[:1]})  # fmt: skip

    @np.errstate(under="ignore")
    def policy(
        self, name: str, target: Any, *, entropy: bool = False, epoch: int | None = None
    ) -> nt.Training:
        """Training under a label policy, H applied through averages over clusters (section 8).

        The target is "soft", "tempered" or "hard"; with an `epoch` the prediction at the start of
        the one before teaches. Cross-entropy has one-hot labels.
        """
        from scipy.special import softmax

        rate, levels = self.learning_rate, self.spectrum
        factors = rate * levels.noise, rate * levels.information, rate * levels.mean
        temper = _TEMPERATURE if target == "tempered" else 1.0
        clean, observed = identity.labels_of(self, 2 if entropy else 1)

        def teach(scores: Array) -> Array:
            if entropy:
                return np.asarray(softmax(scores / temper, axis=-1))
            return {"soft": scores, "hard": np.sign(scores),
                    "tempered": np.tanh(scores / temper)}[target]  # fmt: skip

        predicted = nt.predictions.policy_recursion(
            lambda vector: nt.predictions.block_filter(levels, vector.T, factors).T,
            observed, self.stopping, teach, epoch, partial(softmax, axis=-1) if entropy else None,
        )  # fmt: skip
        taught = nt.targets.Distillation(
            self.schedule(STOPPING), target, temperature=_TEMPERATURE, epoch=epoch
        )
        recipe = replace(self.recipe, distillation=taught, observed=observed,
                         loss="cross-entropy" if entropy else "square")  # fmt: skip
        return nt.Training(name, recipe, predicted, clean)


CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 4, "points": 5, "ratio": 6.0, "noise_rate": 0.2, "steps": 64},
    fixed={"share": 0.5, "held_out": 0, "noise_times": 12, "init_scale": None, "schedule": "power"},
    into=SoftTargets.of,
)


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
        yield nt.Row(f"RMS error after {problem.steps} steps", training, rms_error,
                     expect=float(curve[-1]), resolves=float(curve[-1]) / 2)  # fmt: skip

    def share(outputs: Array, _: Any) -> Array:
        """q, the projection of the outputs on the noise."""
        return np.asarray(outputs @ problem.noise / (problem.noise @ problem.noise))

    for training in (memorising, stopping, flow):
        retrieved = float(training.curves["memorised_noise"][-1])
        yield nt.Row("memorised share of the noise", training, share, expect=retrieved,
                     norm=SIGNED, resolves=min(retrieved, 0.5) / 2)  # fmt: skip


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
            return size(outputs - plain, points)

        row = nt.Row("sup_t ‖u − u_plain‖/√n", training, apart, at=nt.ALL_STEPS, reduce=np.max,
                     claimed=0.0)  # fmt: skip
        yield nt.Control(id_, broken, row)


@CLAIM.work
def work(declared: Declaration) -> Iterator[float]:
    """Of the pairs of runs, and of the runs in ever smaller steps."""
    problem, nets = declared.problem, declared.nets
    widths, turns = _PAIRS[nets.preset]
    yield len(identity.CASES) * turns * identity.PAIR_NETS * problem.steps * sum(widths)
    yield nets.widths[0] * nets.count * (sum(problem.order_steps) + 6 * problem.order_steps[-1])


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """The identity net by net, and how small steps lead to gradient flow."""
    pairs: list[identity.Pair] = []
    for pair in identity.pairs_of(run.problem, run.nets.seed, *_PAIRS[run.nets.preset]):
        if run.evidence.diverged(pair.diverged):
            return
        run.progress.advance(identity.PAIR_NETS * run.problem.steps * pair.width)
        pairs.append(pair)
        run.evidence.metrics.append({
            "training": "{}, {}, {} outputs".format(*pair.case), "schedule": pair.schedule,
            "width": pair.width, "difference": pair.difference, "rounding_bound": pair.bound,
        })  # fmt: skip
        run.evidence.arrays |= {
            "identity_widths": np.array([one.width for one in pairs]),
            "identity_difference": np.array([one.difference for one in pairs]),
            "identity_bound": np.array([one.bound for one in pairs]),
        }
    yield from identity.pair_premises(pairs)
    yield from identity.pair_rows(pairs)
    yield from _small_step_rows(run)
    yield order_row(run, *_order_ends(run))


def _small_step_rows(run: nt.Run) -> Iterator[nt.Measurement]:
    """Distance of soft self-distillation from plain training in small steps for the same time."""
    vector = run.trainings[STOPPING].predicted[-1] - run.trainings[FLOW].predicted[-1]
    both = zip(run.results[STOPPING], run.results[FLOW], strict=True)
    differences = [soft.outputs()[:, -1] - plain.outputs()[:, -1] for soft, plain in both]
    apart = [rms(one - vector) for one in differences]
    name, widest = "u_soft − u of small plain steps for the time η Σ α_t", run.nets.widths[-1]
    line = run.fit(apart[:-1])
    allowed, decisive = (
        line.upper(widest, run.confidence(1, risk), run.nets.count) for risk in RISKS
    )
    predicted = float(rms(vector))
    yield over_nets(f"{name}, RMS", predicted, rms(differences[-1]), allowed, predicted / 2,
                    decisive=decisive)  # fmt: skip
    yield falling_row(run.nets.widths, apart, name)


def _order_ends(run: nt.Run) -> tuple[list[Array], Array]:
    """Outputs of soft runs of the same time in more and more steps, and of plain gradient flow.

    The flow is extrapolated from plain runs of N and 2N steps, 2 u_{2N} − u_N.
    """
    from ntk_theory.checking.nets import train_nets

    problem, width, steps = run.problem, run.nets.widths[0], run.problem.order_steps
    seeds = net_seeds(run.nets.seed, width, run.nets.count, 5)  # a stream of their own

    def end(recipe: nt.Recipe) -> Array:
        found = train_nets(recipe, width, seeds, device=run.nets.device, progress=run.progress)
        return found.outputs[:, -1]

    coarse, fine = (end(problem.fine_recipe(many * steps[-1])) for many in (2, 4))
    return [end(problem.fine_recipe(many, soft=True)) for many in steps], 2 * fine - coarse


def order_row(run: nt.Run, ends: list[Array], flow: Array) -> nt.Measurement:
    """Order at which soft runs of the same time in ever smaller steps approach gradient flow."""
    fitted = run.fit([rms(one - flow) for one in ends], run.problem.order_steps)
    low, high = fitted.interval  # in the number of steps, the inverse of their size
    return nt.Measurement(
        f"order in η of u_soft − u of gradient flow, width {run.nets.widths[0]}",
        1.0, -fitted.exponent, 0.15, (-high, -low), whole_interval=True,
    )  # fmt: skip


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """How near the identity is to rounding, and what the schedules memorise."""
    kept = run.evidence.arrays
    worst = float((kept["identity_difference"] / kept["identity_bound"]).max())
    shares = [row for row in run.declared.rows if row.name == "memorised share of the noise"]
    memorised = [100 * run.measured(row).mean() for row in shares]
    return (
        f"soft self-distillation and plain training with rates η α_t stay within {worst:.2g} of "
        f"their rounding bound ({kept['identity_bound'].max():.1g} at most) at widths "
        f"{kept['identity_widths'][0]} to {kept['identity_widths'][-1]}; with Σα = ∞ "
        f"{memorised[0]:.3g} % of the noise is memorised after {run.problem.steps} steps, with "
        f"Σα < ∞ {memorised[1]:.3g} %"
    )


def _identity(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """Do soft targets and plain training with rates ηα_t differ by more than rounding?"""
    arrays, drawing = result.arrays, nt.drawing
    if "identity_widths" not in arrays:
        return
    widths, ladder = arrays["identity_widths"], np.unique(arrays["identity_widths"])
    seen = np.maximum(arrays["identity_difference"], 1e-18)  # some are zero exactly
    drawing.dots(axes, widths, seen, drawing.BLUE, "measured")
    least = [arrays["identity_bound"][widths == width].min() for width in ladder]
    drawing.prediction(axes, ladder, least, "smallest rounding bound")
    axes.set(xlabel="width $m$", ylabel=r"sup$_t$ $\|u_\mathrm{soft}-u_\mathrm{plain}\|$")
    axes.set(yscale="log", ylim=(1e-19, 1e-5))
    axes.set_xscale("log", base=2)
    axes.legend(loc="upper left")


_ERRORS: dict[str, Any] = {
    "bounds": {"2ρ: bound of stopping": lambda config: 2 * config["noise_rate"]},
    "more": {"ylim": (0, 1.03)},
    "legend": "lower left",
}
CLAIM.panels = {
    "identity": _identity,
    "soft-targets": Curves(rms_error, of=(MEMORISING, STOPPING), **_ERRORS),
    "policies": Curves(rms_error, of=(STOPPING, HARD, TEMPERED), **_ERRORS),
}
