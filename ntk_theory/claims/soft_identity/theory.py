"""Kernel predictions of the wide nets of `soft-identity` (docs/theory.md, section 5)."""

from __future__ import annotations

__all__ = ["Theory", "predict"]

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory import predictions
from ntk_theory.claims.soft_identity.plan import (
    ENTROPY,
    FINE_STEPS,
    FLOW,
    MEMORISING,
    STOPPING,
    TEMPERATURE,
    Plan,
    make_plan,
    observed_labels,
)
from ntk_theory.predictions import ErrorCurve
from ntk_theory.verdicts import Options

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Theory:
    """Kernel predictions of all runs of wide nets."""

    plan: Plan

    @property
    def _levels(self) -> Array:
        levels = self.plan.problem.spectrum
        return np.array([levels.mean, levels.information, levels.noise])

    def curve(self, name: str) -> ErrorCurve:
        """Closed form of one of the soft ways of training."""
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
        """What steps at these rates retrieve beyond gradient flow, of the three parts."""
        return predictions.small_step_gap(self._levels, rates)

    def flow(self) -> Array:
        """What gradient flow retrieves of mean, information and noise until the time ω."""
        return predictions.gradient_flow(self._levels, self.plan.time)

    @cached_property
    def outputs(self) -> dict[str, Array]:
        """Outputs at the recorded steps."""
        data, clean = self.plan.problem.dataset, self.plan.problem.dataset.clean
        found = {
            name: self.curve(name).outputs(clean, data.flipped) for name in (MEMORISING, STOPPING)
        }
        found[ENTROPY] = self.policy("soft", entropy=True)
        found[FLOW] = self.combine(self.small_steps())[None]
        return found

    def small_steps(self) -> Array:
        """What small plain steps retrieve of mean, information and noise until the time ω."""
        steps = FINE_STEPS * self.plan.steps
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
            observed_labels(self.plan.problem, 2 if entropy else 1),
            self.plan.weights(STOPPING),
            _policy(target, entropy=entropy),
            epoch,
            _softmax if entropy else None,
        )


@np.errstate(under="ignore")
def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _tempered_softmax(scores: Array) -> Array:
    return _softmax(scores / TEMPERATURE)


def _tempered_sign(scores: Array) -> Array:
    return np.tanh(scores / TEMPERATURE)


def _hard_sign(scores: Array) -> Array:
    return np.sign(scores)


def _itself(scores: Array) -> Array:
    return scores


def _policy(target: str, *, entropy: bool) -> Any:
    if entropy:
        return {"soft": _softmax, "tempered": _tempered_softmax}[target]
    return {"soft": _itself, "tempered": _tempered_sign, "hard": _hard_sign}[target]


def predict(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and the closed forms of the wide nets."""
    plan = make_plan(options)
    theory = Theory(plan)
    predicted: dict[str, float] = {}
    for name in (MEMORISING, STOPPING):
        curve = theory.curve(name)
        predicted[f"RMS error after {plan.steps} steps, {name}"] = float(curve.rms_error()[-1])
        predicted[f"memorised share of the noise, {name}"] = float(curve.memorised_noise[-1])
    predicted[f"memorised share of the noise, {FLOW}"] = float(theory.small_steps()[2])
    return plan.config(), predicted
