"""Claim C2: soft self-distillation is a learning-rate schedule (docs/theory.md, section 5).

Nets of all widths are trained twice, on their own soft prediction and on the observed labels with
the rates η α_t, and have to make the same steps; wide ones follow the closed forms, and small
steps lead to plain training that is stopped at the time η Σ α_t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntk_theory.runs import Evidence, chosen, conduct, over_nets
from ntk_theory.verdicts import (
    Claim,
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
    Verdict,
)

# Modules that load torch or scipy are imported where they are used: listing claims needs neither.
if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ntk_theory.kernels import Layers
    from ntk_theory.ladder import Ladder
    from ntk_theory.network import TwoLayerReLU
    from ntk_theory.predictions import ErrorCurve
    from ntk_theory.problems import NoisyClusters, Recipe
    from ntk_theory.targets import Loss, Schedule
    from ntk_theory.training import Trajectory

Array = NDArray[np.float64]

_MEMORISING, _STOPPING = "soft, Σα = ∞", "soft, Σα < ∞"
_ENTROPY, _FLOW = "soft, Σα < ∞, cross-entropy", "plain, small steps"
_LEAST_WIDTHS = 4
_EXPONENT_TOLERANCE = 0.15
_CONFIDENCE = 0.9999
"""Of a bound on a deviation: a run has some ten of them, and every seed should pass."""

_IDENTITY_STREAM, _CONTROL_STREAM, _ORDER_STREAM = 4, 1, 5
"""Keep the seeds of these nets apart (nets of the ladder: 0; resampling: 2)."""

_STEP = 0.5
"""ηλ_+ of the default learning rate."""

_DECAYS = 8
"""Steps of a run in units of the schedule's decay constant."""

_FINE = 2
"""Steps of the small-step run in units of those of the run that it is compared with."""

_TEMPERATURE = 0.5
"""T of tempered targets."""


class _Preset(NamedTuple):
    first: int
    rungs: int
    nets: int
    identity_widths: tuple[int, ...]
    schedules: int


_PRESETS = {
    "quick": _Preset(256, 5, 8, (4, 64, 1024), 1),
    "standard": _Preset(256, 6, 10, (4, 16, 64, 256, 1024, 4096), 2),
    "paper": _Preset(256, 7, 16, (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096), 5),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Plan:
    """Noisy clusters with the nets to train on them."""

    problem: NoisyClusters
    widths: tuple[int, ...]
    nets: int
    preset: _Preset
    options: Options

    @property
    def steps(self) -> int:
        return self.problem.steps

    @property
    def decay(self) -> float:
        return self.steps / _DECAYS

    @property
    def epoch(self) -> int:
        """Length of an epoch of lagged targets: a decay constant."""
        return max(2, round(self.decay))

    @property
    def control_width(self) -> int:
        return self.widths[-2]

    @property
    def order_steps(self) -> tuple[int, ...]:
        return tuple(self.steps * factor for factor in (1, 2, 4, 8))

    def schedule(self, name: str, steps: int | None = None) -> Schedule:
        from ntk_theory.targets import Geometric, Power

        decay = (self.steps if steps is None else steps) / _DECAYS
        return Power(decay, 0.5) if name == _MEMORISING else Geometric(decay)

    def weights(self, name: str, steps: int | None = None) -> Array:
        from ntk_theory.targets import weights

        count = self.steps if steps is None else steps
        return weights(self.schedule(name, count), count)

    @property
    def time(self) -> float:
        """ω = η Σ α_t of the schedule that stops."""
        return float(self.problem.learning_rate * self.weights(_STOPPING).sum())

    def work(self) -> float:
        """Neuron-steps of the whole run, controls included, for the progress bar."""
        ladder = sum(self.widths) * self.nets * (3 + _FINE) * self.steps
        order = self.widths[0] * self.nets * (sum(self.order_steps) + 3 * 16 * self.steps)
        controls = 8 * self.control_width * self.nets * self.steps
        runs = len(_CASES) * self.preset.schedules * _IDENTITY_NETS * 2 * self.identity_steps
        return ladder + order + controls + runs * sum(self.preset.identity_widths)

    @property
    def identity_steps(self) -> int:
        return self.steps // 2

    def config(self) -> dict[str, Any]:
        problem = self.problem
        return {
            "preset": self.options.preset,
            "seed": self.options.seed,
            "seeds": self.nets,
            "widths": list(self.widths),
            "clusters": problem.spectrum.clusters,
            "points": problem.spectrum.points,
            "ratio": problem.ratio,
            "cross_cosine": problem.cross_cosine,
            "noise_rate": problem.noise_rate,
            "learning_rate": problem.learning_rate,
            "steps": self.steps,
            "decay": self.decay,
            "epoch": self.epoch,
            "temperature": _TEMPERATURE,
            "device": self.options.device,
            "dtype": "float64",
            "identity_widths": list(self.preset.identity_widths),
            "identity_steps": self.identity_steps,
            "identity_seeds": _IDENTITY_NETS,
            "order_steps": list(self.order_steps),
            "control_width": self.control_width,
        }


def _lazy_width(problem: NoisyClusters) -> float:
    """Lazy width once all noise is memorised, which bounds that of every run."""
    from ntk_theory import predictions

    return predictions.lazy_width(problem.spectrum, problem.angle, problem.noise_rate, 1.0)


def _plan(options: Options) -> _Plan:
    from ntk_theory.experiments import check_memory, check_nets, check_widths
    from ntk_theory.problems import noisy_clusters

    def made(learning_rate: float | None) -> NoisyClusters:
        return noisy_clusters(
            clusters=chosen(options.clusters, 4),
            points=chosen(options.points, 5),
            ratio=chosen(options.ratio, 6.0),
            noise_rate=chosen(options.noise_rate, 0.2),
            seed=np.random.SeedSequence(options.seed),
            cross_cosine=chosen(options.cross_cosine, 0.0),
            learning_rate=learning_rate,
            steps=chosen(options.steps, 64),
        )

    problem = made(options.learning_rate)
    if options.learning_rate is None:
        levels = problem.spectrum
        problem = made(min(_STEP / levels.information, 1 / levels.mean))
    preset = _PRESETS[options.preset]
    if options.widths is None:
        first = preset.first
        while problem.predictable and first < 4 * _lazy_width(problem) and first < 2**14:
            first *= 2
        widths = tuple(first * 2**k for k in range(preset.rungs))
    else:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    nets = check_nets(chosen(options.seeds, preset.nets), 2)
    check_memory(max(widths[-1], *preset.identity_widths), problem.dataset.inputs.shape, "float64")
    return _Plan(problem, widths, nets, preset, options)


# ---------------------------------------------------------------- the identity, net by net


class _Case(NamedTuple):
    """A way of training for which the identity is to hold; `outputs` is C."""

    loss: Loss
    layers: Layers
    outputs: int


_LOSSES: tuple[tuple[Loss, int, int], ...] = (("square", 1, 3), ("cross-entropy", 2, 3))
_LAYERS: tuple[Layers, ...] = ("first", "both")
_CASES = tuple(
    _Case(loss, layers, outputs)
    for loss, *counts in _LOSSES
    for layers in _LAYERS
    for outputs in counts
)
_IDENTITY_NETS = 2


class _Pair(NamedTuple):
    """Both runs of some nets of one width.

    Attributes:
        case: how they were trained.
        width: m.
        schedule: name of the schedule.
        difference: sup_t ‖u_t − u'_t‖, the largest of the nets.
        bound: what rounding may make of it.
        moved: largest RMS change of a net's outputs; 0 if every neuron of narrow nets is inactive.
        stability: largest ηλ_max of the nets' NTK, at the start and at the end.
        undecided: expected number of activations that rounding decides.
        same_activations: whether both runs flipped as many.
        stopped: explanation of a divergence, or None.
    """

    case: _Case
    width: int
    schedule: str
    difference: float
    bound: float
    moved: float
    stability: float
    undecided: float
    same_activations: bool
    stopped: str | None


def _labels(problem: NoisyClusters, outputs: int) -> Array:
    """Observed labels: ±1, or one-hot rows in which a wrong label is that of the next class."""
    data = problem.dataset
    if outputs == 1:
        return data.observed
    cluster = np.arange(len(data.inputs)) // problem.spectrum.points
    return np.eye(outputs)[(cluster + data.flipped) % outputs]


def _schedules(decay: float) -> dict[str, Schedule]:
    from ntk_theory.targets import Agreement, BurnIn, Constant, Geometric, Power

    return {
        "power": Power(decay),
        "geometric": Geometric(decay),
        "constant": Constant(0.3),
        "burn-in, then power": BurnIn(max(1, round(decay)), Power(decay, 2.0)),
        "agreement": Agreement(),
    }


def _largest_eigenvalue(network: TwoLayerReLU, inputs: Array, layers: Layers) -> float:
    """λ_max of the empirical NTK over points and outputs, the largest of the nets."""
    from ntk_theory.kernels import ntk_empirical

    kernel = ntk_empirical(network, inputs, layers=layers)
    if kernel.ndim == 5:
        size = kernel.shape[1] * kernel.shape[3]
        kernel = kernel.transpose(0, 1, 3, 2, 4).reshape(-1, size, size)
    return float(np.linalg.eigvalsh(kernel)[:, -1].max())


def _plain_equivalent(
    network: TwoLayerReLU, soft: Trajectory, rate: float, arguments: Mapping[str, Any]
) -> list[Trajectory]:
    """Plain training with the rates η α_t, the α_t being those of each net."""
    from ntk_theory import predictions
    from ntk_theory.network import TwoLayerReLU
    from ntk_theory.targets import PLAIN
    from ntk_theory.training import train

    return [
        train(
            TwoLayerReLU(network.hidden[net : net + 1], network.output[net : net + 1]),
            distillation=PLAIN,
            learning_rate=predictions.equivalent_learning_rates(rate, alphas),
            **arguments,
        )
        for net, alphas in enumerate(soft.weights)
    ]


def _growth(plain: Trajectory, labels: Array, rates: Array, case: _Case, width: int) -> float:
    """How much training both layers may enlarge an error of the weights."""
    if case.layers == "first":
        return 1.0
    outputs = plain.outputs[0].reshape(plain.steps.size, len(labels), -1)
    if case.loss == "cross-entropy":
        powers = np.exp(outputs - outputs.max(axis=2, keepdims=True))
        outputs = powers / powers.sum(axis=2, keepdims=True)
    residual = outputs - labels.reshape(len(labels), -1)
    push = np.sqrt(np.square(residual).sum(axis=2)).sum(axis=1)
    return float(np.prod(1 + rates * push[: rates.size] / math.sqrt(width)))


def _pair(plan: _Plan, case: _Case, width: int, schedule_name: str, pairs: bool) -> _Pair:
    """Train nets on their soft prediction and with the equivalent rates, from the same start."""
    from ntk_theory import predictions
    from ntk_theory.experiments import net_seeds
    from ntk_theory.network import initialise
    from ntk_theory.targets import Distillation
    from ntk_theory.training import train

    inputs, labels = plan.problem.dataset.inputs, _labels(plan.problem, case.outputs)
    points, steps = len(inputs), plan.identity_steps
    start = initialise(
        width,
        inputs.shape[1],
        seeds=net_seeds(plan.options.seed, width, _IDENTITY_NETS, _IDENTITY_STREAM),
        outputs=case.outputs,
        antisymmetric=pairs,
    )
    # A narrow net may have no active neuron, and then no rate matters.
    rate = 0.5 / (_largest_eigenvalue(start, inputs, case.layers) or 1.0)
    arguments: dict[str, Any] = {
        "inputs": inputs,
        "observed": labels,
        "steps": steps,
        "layers": case.layers,
        "loss": case.loss,
    }
    schedule = _schedules(plan.decay / 2)[schedule_name]
    soft = train(
        start, distillation=Distillation(schedule, "soft"), learning_rate=rate, **arguments
    )
    plain = _plain_equivalent(start, soft, rate, arguments)
    stopped = soft.stopped or next((run.stopped for run in plain if run.stopped), None)
    if stopped is not None:
        return _Pair(case, width, schedule_name, 0, 0, 0, 0, 0, False, stopped)
    apart = soft.outputs - np.concatenate([run.outputs for run in plain])
    difference = np.sqrt(np.square(apart.reshape(_IDENTITY_NETS, steps + 1, -1)).sum(axis=2))
    trained = soft.network
    assert trained is not None
    condition = 1 / (math.sqrt(rate) * float(np.linalg.svd(inputs, compute_uv=False)[-1]))
    largest = float(start.hidden.norm(dim=2).max()) + float(soft.movement.max())
    largest = max(largest, float(trained.output.abs().max()))
    growth = max(
        _growth(run, labels, rate * alphas, case, width)
        for run, alphas in zip(plain, soft.weights, strict=True)
    )
    bound = predictions.rounding_bound(
        steps=steps,
        width=width,
        points=points,
        outputs=case.outputs,
        largest=largest,
        prediction=1 + float(np.abs(soft.outputs).max()),
        condition=condition,
        growth=growth,
    )
    change = soft.outputs[:, -1] - soft.outputs[:, 0]
    top = max(_largest_eigenvalue(net, inputs, case.layers) for net in (start, trained))
    # Pre-activations within twice their own uncertainty, κ times that of the outputs, of zero, at
    # the density 1/√(2π) of the start.
    close = 2 * bound * condition * math.sqrt(rate) / math.sqrt(2 * math.pi)
    return _Pair(
        case,
        width,
        schedule_name,
        float(difference.max()),
        bound,
        float(np.sqrt(np.square(change).mean(axis=tuple(range(1, change.ndim)))).max()),
        rate * top,
        _IDENTITY_NETS * points * width * steps * close,
        bool((soft.flipped_activations == [run.flipped_activations[0] for run in plain]).all()),
        None,
    )


def _pairs(plan: _Plan, progress: Progress) -> Iterator[_Pair]:
    """All cases at all widths; the schedules take turns."""
    names = list(_schedules(1.0))
    for row, width in enumerate(plan.preset.identity_widths):
        for column, case in enumerate(_CASES):
            for turn in range(plan.preset.schedules):
                name = names[(row + column + turn) % len(names)]
                yield _pair(plan, case, width, name, pairs=(row + turn) % 2 == 0)
                progress.advance(2 * width * _IDENTITY_NETS * plan.identity_steps)


def _identity_rows(pairs: list[_Pair]) -> list[Measurement]:
    """Largest difference in units of what rounding may make, for each loss and choice of layers."""
    rows = []
    for loss, layers in dict.fromkeys((pair.case.loss, pair.case.layers) for pair in pairs):
        ratios = [
            pair.difference / pair.bound
            for pair in pairs
            if (pair.case.loss, pair.case.layers) == (loss, layers)
        ]
        name = f"‖u_soft − u_plain‖ in units of its rounding bound, {loss} loss, {layers} layer"
        name += "s" if layers == "both" else ""
        rows.append(Measurement(name, 0.0, max(ratios), 1.0, (min(ratios), max(ratios))))
    return rows


def _identity_premises(pairs: list[_Pair]) -> list[Premise]:
    stability = max(pair.stability for pair in pairs)
    undecided = max(pair.undecided for pair in pairs)
    bound = max(pair.bound for pair in pairs)
    moved = float(np.median([pair.moved for pair in pairs]))
    same = all(pair.same_activations for pair in pairs)
    return [
        Premise("steps enlarge no error", stability, stability <= 1, "ηλ_max(H_m) <= 1"),
        Premise(
            "activations decided by rounding",
            undecided,
            undecided < 0.01,
            "expected number < 0.01 in the nets of one pair of runs",
        ),
        Premise("both runs have the same activations", float(same), same, "as many flips"),
        Premise(
            "rounding bound far below the movement of the outputs",
            bound,
            bound < 1e-6 * moved,
            f"largest bound < {1e-6 * moved:.2g}, a millionth of the median RMS change",
        ),
    ]


# ---------------------------------------------------------------- theory of wide nets


@dataclass(frozen=True)
class _Theory:
    """Kernel predictions of all runs of wide nets."""

    plan: _Plan

    @property
    def _levels(self) -> Array:
        levels = self.plan.problem.spectrum
        return np.array([levels.mean, levels.information, levels.noise])

    def curve(self, name: str) -> ErrorCurve:
        from ntk_theory import predictions

        problem = self.plan.problem
        return predictions.soft_self_distillation(
            problem.spectrum,
            problem.noise_rate,
            problem.learning_rate,
            self.plan.weights(name),
            problem.label_mean,
        )

    def rms(self, retrieved: Array) -> float:
        """RMS output of a net that has retrieved these shares of the three parts of the labels."""
        problem = self.plan.problem
        rho, share = problem.noise_rate, problem.label_mean**2
        energy = np.array(
            [(1 - 2 * rho) ** 2 * share, (1 - 2 * rho) ** 2 * (1 - share), 4 * rho * (1 - rho)]
        )
        return float(np.sqrt(energy @ np.square(retrieved)))

    def gap(self, rates: Array) -> Array:
        from ntk_theory import predictions

        return predictions.small_step_gap(self._levels, rates)

    def flow(self) -> Array:
        from ntk_theory import predictions

        return predictions.gradient_flow(self._levels, self.plan.time)

    @cached_property
    def outputs(self) -> dict[str, Array]:
        """Outputs at the recorded steps."""
        data, clean = self.plan.problem.dataset, self.plan.problem.dataset.clean
        found = {
            name: self.curve(name).outputs(clean, data.flipped) for name in (_MEMORISING, _STOPPING)
        }
        found[_ENTROPY] = self.policy("soft", entropy=True)
        found[_FLOW] = self.combine(self.small_steps())[None]
        return found

    def small_steps(self) -> Array:
        """What small plain steps retrieve of mean, information and noise until the time ω."""
        steps = _FINE * self.plan.steps
        return self.flow() + self.gap(np.full(steps, self.plan.time / steps))

    def combine(self, retrieved: Array) -> Array:
        """Outputs from the retrieved shares of mean, information and noise."""
        data, problem = self.plan.problem.dataset, self.plan.problem
        signal = (1 - 2 * problem.noise_rate) * data.clean
        noise = data.observed - signal
        mean = np.full_like(signal, signal.mean())
        parts = np.stack([mean, signal - mean, noise])
        return np.asarray(retrieved @ parts)

    def policy(self, target: str, *, entropy: bool, epoch: int | None = None) -> Array:
        """Kernel recursion under a label policy, H applied through averages over clusters."""
        from ntk_theory import predictions

        levels = self.plan.problem.spectrum
        factors = (
            self.plan.problem.learning_rate * levels.noise,
            self.plan.problem.learning_rate * levels.information,
            self.plan.problem.learning_rate * levels.mean,
        )

        def product(vector: Array) -> Array:
            return predictions.block_filter(levels, vector.T, factors).T

        return predictions.policy_recursion(
            product,
            _labels(self.plan.problem, 2 if entropy else 1),
            self.plan.weights(_STOPPING),
            _policy(target, entropy=entropy),
            epoch,
            _softmax if entropy else None,
        )


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _tempered_softmax(scores: Array) -> Array:
    return _softmax(scores / _TEMPERATURE)


def _tempered_sign(scores: Array) -> Array:
    return np.tanh(scores / _TEMPERATURE)


def _hard_sign(scores: Array) -> Array:
    return np.sign(scores)


def _itself(scores: Array) -> Array:
    return scores


def _policy(target: str, *, entropy: bool) -> Any:
    if entropy:
        return {"soft": _softmax, "tempered": _tempered_softmax}[target]
    return {"soft": _itself, "tempered": _tempered_sign, "hard": _hard_sign}[target]


# ---------------------------------------------------------------- wide nets


def _recipes(plan: _Plan) -> dict[str, Recipe]:
    from ntk_theory.targets import PLAIN, Distillation

    base = plan.problem.recipe
    steps = _FINE * plan.steps
    stopping = Distillation(plan.schedule(_STOPPING), "soft")
    return {
        _MEMORISING: replace(base, distillation=Distillation(plan.schedule(_MEMORISING), "soft")),
        _STOPPING: replace(base, distillation=stopping),
        _ENTROPY: replace(
            base,
            distillation=stopping,
            observed=_labels(plan.problem, 2),
            loss="cross-entropy",
        ),
        _FLOW: replace(
            base,
            distillation=PLAIN,
            learning_rate=plan.time / steps,
            steps=steps,
            record=[steps],
        ),
    }


def _climb(
    plan: _Plan, theory: _Theory, ladders: Mapping[str, Ladder], progress: Progress, width: int
) -> dict[str, Array]:
    """Train one width in all ways; returns the outputs at the end, one row a net."""
    ends = {}
    for name, recipe in _recipes(plan).items():
        trajectory = ladders[name].train(
            name, recipe, width, theory.outputs[name], progress=progress
        )
        if trajectory.stopped is None:
            ends[name] = trajectory.outputs[:, -1]
    return ends


def _closed_form_rows(
    plan: _Plan, theory: _Theory, ladder: Ladder, ends: Mapping[str, Array]
) -> list[Measurement]:
    """Nets of the largest width beside the closed forms, to what the narrower ones let expect."""
    rows = []
    # q = u·ζ/‖ζ‖²: a deviation δ of the outputs changes it by at most ‖δ‖/‖ζ‖.
    rho = plan.problem.noise_rate
    scale = 2 * math.sqrt(rho * (1 - rho))
    shares = {_FLOW: float(theory.small_steps()[2])}
    allowed = {
        name: ladder.allowance(name, lambda rung: rung.deviation[:, -1], _CONFIDENCE)
        for name in (_MEMORISING, _STOPPING, _FLOW)
    }
    for name in (_MEMORISING, _STOPPING):
        curve = theory.curve(name)
        error, shares[name] = float(curve.rms_error()[-1]), float(curve.memorised_noise[-1])
        rows.append(
            over_nets(
                f"RMS error after {plan.steps} steps, {name}",
                error,
                ladder.rungs[name][-1].error[:, -1],
                allowed[name],
                error / 2,
            )
        )
    rows += [
        over_nets(
            f"memorised share of the noise, {name}",
            shares[name],
            _noise_share(plan, ends[name]),
            allowed[name] / scale,
            min(shares[name], 0.5) / 2,
        )
        for name in (_MEMORISING, _STOPPING, _FLOW)
    ]
    return rows


def _entropy_row(plan: _Plan, theory: _Theory, ladder: Ladder) -> Measurement:
    """Outputs of the nets trained with cross-entropy beside the kernel recursion of that loss."""
    predicted = float(np.sqrt(np.square(theory.outputs[_ENTROPY][-1] - ladder.clean).mean() * 2))
    return over_nets(
        f"RMS error after {plan.steps} steps, {_ENTROPY}",
        predicted,
        ladder.rungs[_ENTROPY][-1].error[:, -1],
        ladder.allowance(_ENTROPY, lambda rung: rung.deviation[:, -1], _CONFIDENCE),
        predicted / 2,
    )


def _noise_share(plan: _Plan, ends: Array) -> Array:
    """Projection of outputs (S, n) on the noise inside clusters, q, shape (S,)."""
    data, rho = plan.problem.dataset, plan.problem.noise_rate
    noise = data.observed - (1 - 2 * rho) * data.clean
    return np.asarray(ends @ noise / (noise @ noise))


def _small_step_row(
    plan: _Plan, theory: _Theory, ends: Sequence[Mapping[str, Array]]
) -> Measurement:
    """Distance of soft self-distillation from plain training in small steps for the same time."""
    from ntk_theory.fitting import fit_power_law

    rates = plan.problem.learning_rate * plan.weights(_STOPPING)
    expected = theory.flow() + theory.gap(rates) - theory.small_steps()
    vector = theory.combine(expected)
    differences = [row[_STOPPING] - row[_FLOW] for row in ends]
    apart = [np.sqrt(np.square(row - vector).mean(axis=1)) for row in differences]
    key = np.random.SeedSequence(plan.options.seed, spawn_key=(2,))
    fitted = fit_power_law(plan.widths[:-1], apart[:-1], rng=np.random.default_rng(key))
    predicted = theory.rms(expected)
    return over_nets(
        "u_soft − u of small plain steps for the time η Σ α_t, RMS",
        predicted,
        np.sqrt(np.square(differences[-1]).mean(axis=1)),
        fitted.upper(plan.widths[-1], _CONFIDENCE),
        predicted / 2,
    )


# ---------------------------------------------------------------- order in the step size


def _order_ends(plan: _Plan, progress: Progress) -> tuple[list[Array], Array]:
    """Outputs of soft runs of the same time in more and more steps, and of plain gradient flow.

    The flow is extrapolated from plain runs of N and 2N steps, 2 u_{2N} − u_N.
    """
    from ntk_theory.experiments import net_seeds, train_nets
    from ntk_theory.targets import PLAIN, Distillation

    width = plan.widths[0]
    seeds = net_seeds(plan.options.seed, width, plan.nets, _ORDER_STREAM)

    def end(steps: int, soft: bool) -> Array:
        weights = plan.weights(_STOPPING, steps) if soft else np.ones(steps)
        recipe = replace(
            plan.problem.recipe,
            distillation=(Distillation(plan.schedule(_STOPPING, steps), "soft") if soft else PLAIN),
            learning_rate=plan.time / float(weights.sum()),
            steps=steps,
            record=[steps],
        )
        trajectory = train_nets(recipe, width, seeds, device=plan.options.device, progress=progress)
        return trajectory.outputs[:, -1] if trajectory.stopped is None else np.empty((0, 0))

    finest = 16 * plan.steps
    coarse, fine = end(finest, soft=False), end(2 * finest, soft=False)
    return [end(steps, soft=True) for steps in plan.order_steps], 2 * fine - coarse


def _order_row(plan: _Plan, ends: list[Array], flow: Array) -> Measurement:
    from ntk_theory.fitting import fit_power_law

    apart = [np.sqrt(np.square(row - flow).mean(axis=1)) for row in ends]
    key = np.random.SeedSequence(plan.options.seed, spawn_key=(2,))
    fitted = fit_power_law(plan.order_steps, apart, rng=np.random.default_rng(key))
    # The step size is the inverse of the number of steps.
    low, high = fitted.interval
    return Measurement(
        f"order in η of u_soft − u of gradient flow, width {plan.widths[0]}",
        1.0,
        -fitted.exponent,
        _EXPONENT_TOLERANCE,
        (-high, -low),
        whole_interval=True,
    )


# ---------------------------------------------------------------- controls


class _Break(NamedTuple):
    """A policy that the identity does not cover."""

    id: str
    broken: str
    target: str
    entropy: bool
    lagged: bool


_BREAKS = (
    _Break(
        "lagged",
        "the current prediction teaches: here that of an earlier epoch",
        "soft",
        False,
        True,
    ),
    _Break("tempered", "the prediction itself teaches: here tanh(u/T)", "tempered", False, False),
    _Break("hard", "the prediction itself teaches: here its sign", "hard", False, False),
    _Break(
        "tempered-cross-entropy",
        "softmax(f) teaches: here softmax(f/T)",
        "tempered",
        True,
        False,
    ),
)


def _control(
    plan: _Plan,
    theory: _Theory,
    ladders: Mapping[str, Ladder],
    change: _Break,
    rounding: float,
    progress: Progress,
) -> Control:
    """Nets under another policy beside plain training with the rates η α_t."""
    from ntk_theory import predictions
    from ntk_theory.experiments import net_seeds, train_nets
    from ntk_theory.targets import PLAIN, Distillation

    name = _ENTROPY if change.entropy else _STOPPING
    width, epoch = plan.control_width, plan.epoch if change.lagged else None
    soft = _recipes(plan)[name]
    other = replace(
        soft,
        distillation=Distillation(
            plan.schedule(_STOPPING),
            change.target,  # type: ignore[arg-type]
            temperature=_TEMPERATURE,
            epoch=epoch,
        ),
    )
    rates = predictions.equivalent_learning_rates(
        plan.problem.learning_rate, plan.weights(_STOPPING)
    )
    plain = replace(soft, distillation=PLAIN, learning_rate=rates)
    train = partial(
        train_nets,
        width=width,
        seeds=net_seeds(plan.options.seed, width, plan.nets, _CONTROL_STREAM),
        device=plan.options.device,
        progress=progress,
    )
    runs = train(other), train(plain)

    def apart(difference: Array) -> Array:
        squares = np.square(difference.reshape(*difference.shape[:2], -1)).sum(axis=2)
        return np.asarray(np.sqrt(squares / len(soft.inputs)).max(axis=1))

    expected = theory.policy(change.target, entropy=change.entropy, epoch=epoch)
    predicted = float(apart((expected - theory.outputs[name])[None])[0])
    values = apart(runs[0].outputs - runs[1].outputs)
    # Either run may deviate from its kernel recursion by what the ladder shows.
    allowed = 2 * ladders[name].fit(name, lambda rung: rung.largest_deviation).upper(
        width, _CONFIDENCE
    )
    failure = over_nets("sup_t ‖u − u_plain‖/√n", predicted, values, allowed, predicted / 2)
    verdict = Verdict.VIOLATED if values.min() > rounding else Verdict.SUPPORTED
    return Control(change.id, change.broken, Verdict.VIOLATED, verdict, failure, 0.0, rounding)


# ---------------------------------------------------------------- run


def _premises(plan: _Plan) -> list[Premise]:
    wanted = {"kernel positive definite", "stable learning rate", "no overshoot (for the 2ρ bound)"}
    renamed = {"no overshoot (for the 2ρ bound)": "no overshoot"}
    lazy = _lazy_width(plan.problem)
    moved = math.sqrt(lazy / plan.widths[0])
    return [
        *(
            replace(premise, name=renamed.get(premise.name, premise.name))
            for premise in plan.problem.premises()
            if premise.name in wanted
        ),
        Premise(
            "narrowest net of the ladder moves little",
            moved,
            moved <= 0.5,
            f"sqrt(m_lazy/m) <= 1/2: widths from {math.ceil(4 * lazy)} on",
        ),
    ]


def _ladders(plan: _Plan) -> dict[str, Ladder]:
    """One ladder a kind of labels; those of the square loss share it."""
    from ntk_theory.ladder import Ladder

    arguments = (plan.widths, plan.nets, plan.options.seed, "float64", plan.options.device)
    data = plan.problem.dataset
    square = Ladder(data.clean, *arguments)
    one_hot = np.eye(2)[np.arange(len(data.inputs)) // plan.problem.spectrum.points % 2]
    entropy = Ladder(one_hot, *arguments)
    return {_MEMORISING: square, _STOPPING: square, _FLOW: square, _ENTROPY: entropy}


def _arrays(theory: _Theory, ladders: Mapping[str, Ladder]) -> dict[str, Array]:
    arrays = {
        "predicted_memorising": theory.curve(_MEMORISING).rms_error(),
        "predicted_stopping": theory.curve(_STOPPING).rms_error(),
    }
    for key, name in (("memorising", _MEMORISING), ("stopping", _STOPPING)):
        arrays[f"{key}_error"] = ladders[name].rungs[name][-1].error
    return arrays


def _identity(plan: _Plan, evidence: Evidence, progress: Progress) -> float | None:
    """Rows and premises of the identity; returns its largest bound, None after a divergence."""
    pairs: list[_Pair] = []
    for pair in _pairs(plan, progress):
        if evidence.diverged(pair.stopped):
            return None
        pairs.append(pair)
        evidence.metrics.append(
            {
                "training": f"{pair.case.loss}, {pair.case.layers}, {pair.case.outputs} outputs",
                "schedule": pair.schedule,
                "width": pair.width,
                "difference": pair.difference,
                "rounding_bound": pair.bound,
            }
        )
        evidence.arrays |= {
            "identity_widths": np.array([made.width for made in pairs]),
            "identity_difference": np.array([made.difference for made in pairs]),
            "identity_bound": np.array([made.bound for made in pairs]),
        }
    evidence.premises += _identity_premises(pairs)
    evidence.measurements += _identity_rows(pairs)
    return max(pair.bound for pair in pairs)


def _gather(plan: _Plan, evidence: Evidence, progress: Progress) -> str:
    """Train pairs of nets, the ladder and the controls."""
    evidence.premises += _premises(plan)
    if not evidence.premises_hold:
        return ""
    progress.start(CLAIM.id, plan.work())
    rounding = _identity(plan, evidence, progress)
    if rounding is None:
        return ""
    theory, ladders = _Theory(plan), _ladders(plan)
    ends: list[dict[str, Array]] = []
    for width in plan.widths:
        evidence.progress_note = f"identity checked; next width {width} of {plan.widths}"
        ends.append(_climb(plan, theory, ladders, progress, width))
        square, entropy = ladders[_STOPPING], ladders[_ENTROPY]
        if evidence.diverged(square.stopped() or entropy.stopped()):
            return ""
        evidence.arrays |= _arrays(theory, ladders)
    evidence.metrics += [*square.metrics(), *entropy.metrics()]
    evidence.measurements += _closed_form_rows(plan, theory, square, ends[-1])
    evidence.measurements.append(_entropy_row(plan, theory, entropy))
    evidence.measurements.append(_small_step_row(plan, theory, ends))
    evidence.measurements.append(_order_row(plan, *_order_ends(plan, progress)))
    if evidence.sound:
        for change in _BREAKS:
            evidence.controls.append(_control(plan, theory, ladders, change, rounding, progress))
    memorised = {name: _noise_share(plan, ends[-1][name]) for name in (_MEMORISING, _STOPPING)}
    worst = max(row.measured for row in evidence.measurements[:4])
    return (
        f"soft self-distillation and plain training with rates η α_t stay within {worst:.2g} of "
        f"their rounding bound ({rounding:.1g} at most) at widths "
        f"{plan.preset.identity_widths[0]} to {plan.preset.identity_widths[-1]}; with Σα = ∞ "
        f"{100 * memorised[_MEMORISING].mean():.3g} % of the noise is memorised after "
        f"{plan.steps} steps, with Σα < ∞ {100 * memorised[_STOPPING].mean():.3g} %"
    )


def run(options: Options, progress: Progress) -> ClaimResult:
    """Check the claim."""
    plan = _plan(options)
    return conduct(CLAIM, plan.config(), lambda evidence: _gather(plan, evidence, progress))


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and the closed forms of the wide nets."""
    plan = _plan(options)
    theory = _Theory(plan)
    predicted: dict[str, float] = {}
    for name in (_MEMORISING, _STOPPING):
        curve = theory.curve(name)
        predicted[f"RMS error after {plan.steps} steps, {name}"] = float(curve.rms_error()[-1])
        predicted[f"memorised share of the noise, {name}"] = float(curve.memorised_noise[-1])
    predicted[f"memorised share of the noise, {_FLOW}"] = float(theory.small_steps()[2])
    return plan.config(), predicted


# ---------------------------------------------------------------- picture


def draw(figure: Figure, result: ClaimResult) -> None:
    """Differences below their rounding bound, and the error curves over time."""
    from ntk_theory import drawing

    left, right = figure.subplots(1, 2)
    arrays = result.arrays
    left.set(xlabel="width $m$", ylabel=r"$\sup_t\,\|u_{\rm soft}-u_{\rm plain}\|$", yscale="log")
    left.set_xscale("log", base=2)
    if "identity_widths" in arrays:
        widths = arrays["identity_widths"]
        seen = np.maximum(arrays["identity_difference"], 1e-18)
        left.plot(widths, seen, color=drawing.BLUE, marker="o", ms=3.5, ls="", label="measured")
        ladder = np.unique(widths)
        least = [arrays["identity_bound"][widths == width].min() for width in ladder]
        drawing.prediction(left, ladder, least, "smallest rounding bound")
        left.legend(frameon=False)
    right.set(xlabel="step $t$", ylabel=r"RMS error  $\|u_t-y\|/\sqrt{n}$")
    for key, colour, label in (
        ("memorising", drawing.ORANGE, _MEMORISING),
        ("stopping", drawing.BLUE, _STOPPING),
    ):
        if f"{key}_error" not in arrays:
            continue
        steps = np.arange(arrays[f"{key}_error"].shape[1])
        drawing.band(right, steps, arrays[f"{key}_error"], colour, label)
        drawing.prediction(right, steps, arrays[f"predicted_{key}"])
        right.legend(frameon=False)


CLAIM = Claim(
    id="soft-identity",
    statement=(
        "A net taught its own current soft prediction makes exactly the steps of plain training "
        "with learning rate η α_t, at any width, for either loss and choice of layers: it is early "
        "stopping under another name if Σ α_t is finite, and memorises if it is not."
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
    paper_claims={
        "C2": "soft targets only: what they add to plain training is a stopping time",
    },
    knobs=frozenset(
        {
            "seeds",
            "widths",
            "clusters",
            "points",
            "ratio",
            "cross_cosine",
            "noise_rate",
            "steps",
            "learning_rate",
        }
    ),
    controls=tuple(change.id for change in _BREAKS),
    run=run,
    predict=predict,
    draw=draw,
)
