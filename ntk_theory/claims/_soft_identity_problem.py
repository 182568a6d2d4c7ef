"""Soft targets under two schedules, and policies besides, on noisy clusters (section 5)."""

from __future__ import annotations

__all__ = [
    "ENTROPY", "FLOW", "HARD", "MEMORISING", "STOPPING", "TEMPERED", "SoftTargets",
]  # fmt: skip

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.claims import _soft_identity_pairs as identity

if TYPE_CHECKING:
    from ntk_theory.targets import Schedule

Array = NDArray[np.float64]

MEMORISING, STOPPING = "soft, Σα = ∞", "soft, Σα < ∞"
ENTROPY, FLOW = "soft, Σα < ∞, cross-entropy", "plain, small steps"
TEMPERED, HARD = "tempered, tanh(u/T)", "hard, sign(u)"
_TEMPERATURE = 0.5
"""T of tempered targets."""

_DECAYS, _FINE = 8, 2
"""Steps of a run in decay constants, and of plain training in small steps in those of a run."""


class SoftTargets(nt.NoisyClusters):
    """Noisy clusters, on which one schedule of soft targets memorises and another one stops."""

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
    def finest_steps(self) -> int:
        """Steps of the coarser of the two runs from which gradient flow is extrapolated."""
        return 16 * self.steps

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
        kept = ("kernel positive", "stable learning", "no overshoot")
        every = (one for one in super().premises() if one.name.startswith(kept))
        return tuple(replace(one, name=one.name.partition(" (")[0]) for one in every)

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        left_out = {"schedule", "init_scale"}
        return {
            **{name: value for name, value in super().config().items() if name not in left_out},
            "decay": self.steps / _DECAYS,
            "epoch": self.epoch,
            "temperature": _TEMPERATURE,
            "identity_steps": self.steps // 2,
            "identity_seeds": identity.PAIR_NETS,
            "order_steps": list(self.order_steps),
        }

    def fine_recipe(self, steps: int, *, soft: bool = False) -> nt.Recipe:
        """Plain training in so many steps for the time of the schedule that stops, or soft one."""
        recipe, rate = self.plain_recipe(steps), self.time / steps
        if soft:
            schedule = self.schedule(STOPPING, steps)
            recipe = replace(recipe, distillation=nt.targets.Distillation(schedule, "soft"))
            rate = self.time / float(nt.targets.weights(schedule, steps).sum())
        return replace(recipe, learning_rate=rate, record=[steps])

    def small_steps(self) -> nt.Training:
        """Plain training in small steps: gradient flow, and what steps retrieve beyond it."""
        recipe, levels = self.fine_recipe(_FINE * self.steps), self.spectrum
        every = np.array([levels.mean, levels.information, levels.noise])
        retrieved = nt.predictions.gradient_flow(every, self.time)
        rates = np.full(recipe.steps, recipe.learning_rate)
        retrieved = retrieved + nt.predictions.small_step_gap(every, rates)
        signal = self.dataset.observed - self.noise
        mean = np.full_like(signal, signal.mean())
        outputs = retrieved @ np.stack([mean, signal - mean, self.noise])
        known = {"memorised_noise": retrieved[2:]}
        return nt.Training(FLOW, recipe, outputs[None], self.dataset.clean, curves=known)

    def policy(
        self, name: str, target: Any, *, entropy: bool = False, epoch: int | None = None
    ) -> nt.Training:
        """Training under a label policy, H applied through averages over clusters (section 8).

        Args:
            name: of the training.
            target: "soft", "tempered" or "hard".
            entropy: whether the loss is cross-entropy, on one-hot labels.
            epoch: steps after which the prediction of that time starts to teach.
        """
        rate, levels, data = self.learning_rate, self.spectrum, self.dataset
        factors = rate * levels.noise, rate * levels.information, rate * levels.mean
        temper = _TEMPERATURE if target == "tempered" else 1.0

        def teach(scores: Array) -> Array:
            if entropy:
                return _softmax(scores / temper)
            return {"soft": scores, "hard": np.sign(scores),
                    "tempered": np.tanh(scores / temper)}[target]  # fmt: skip

        observed = identity.observed_labels(self, 2 if entropy else 1)
        predicted = nt.predictions.policy_recursion(
            lambda vector: nt.predictions.block_filter(levels, vector.T, factors).T,
            observed, self.stopping, teach, epoch, _softmax if entropy else None,
        )  # fmt: skip
        taught = nt.targets.Distillation(
            self.schedule(STOPPING), target, temperature=_TEMPERATURE, epoch=epoch
        )
        recipe = replace(self.recipe, distillation=taught, observed=observed,
                         loss="cross-entropy" if entropy else "square")  # fmt: skip
        classes = np.arange(len(data.inputs)) // levels.points % 2
        return nt.Training(name, recipe, predicted, np.eye(2)[classes] if entropy else data.clean)


@np.errstate(under="ignore")
def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
