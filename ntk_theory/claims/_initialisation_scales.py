"""Random initial outputs of several scales, and what becomes of them (docs/theory.md, 8.1)."""

from __future__ import annotations

__all__ = ["FAILURE", "SAMPLES", "Law", "Scales", "rms"]

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ntk_theory as nt

Array = NDArray[np.float64]

SAMPLES = 1000
"""Random initial outputs from which the distribution of the final error is predicted."""

FAILURE = 1e-3
"""Largest probability of a wrong sign that counts as none."""

_SCALES = (2.0, 1.0, 0.5, 0.25, 0.125)
"""In units of the large scale, which is the second; only the last one is claimed to suffice."""

_SMALL_WIDTHS = 4
_WIDEST = 2**14
"""No default width of a scale is larger; where it does not suffice, a premise says so."""

_DOUBLINGS = 8
"""Of the ratio, at most, in search of one at which the large scale is no obstacle."""

_SAMPLE_STREAM = 3
"""Keeps the draws apart from all nets."""


def rms(difference: ArrayLike) -> Array:
    """Root mean square over the last axis."""
    return np.asarray(np.sqrt(np.square(difference).mean(axis=-1)))


class Law(NamedTuple):
    """Of draws: final RMS error, recovered signs, and wrong ones at the end of the burn-in."""

    error: Array
    recovered: NDArray[np.bool_]
    early: Array


@dataclass(frozen=True)
class Scales(nt.NoisyClusters):
    """Noisy clusters, on which nets start with weights of several scales.

    Attributes:
        large: the scale σ at which a floor is claimed at every width.
    """

    large: float = 1.0

    @classmethod
    def of(cls, problem: nt.NoisyClusters, _: Any = None, /, **more: Any) -> Scales:
        """The problem, whose scale is that of the large one."""
        if not problem.predictable:
            raise ValueError(
                "schedule must have weights that are known before the run, and learning_rate must "
                f"be below 2/λ_max = {2 / problem.spectrum.mean:.4g}; got "
                f"{problem.schedule_text} and {problem.learning_rate:g}"
            )
        own = {"init_scale": None, "large": problem.init_scale or 1.0}
        return super().of(problem, **(own | more))

    @property
    def scales(self) -> tuple[float, ...]:
        """Every σ, from the largest on; the second is the large one."""
        return tuple(self.large * part for part in _SCALES)

    @property
    def small(self) -> float:
        """The scale that is claimed to suffice."""
        return self.scales[-1]

    @property
    def lazy_width(self) -> float:
        """That of the large scale: it grows like 1/scale²."""
        return super().lazy_width / self.large**2

    def movement(self, width: int, scale: float) -> float:
        """How far fitting the noise moves a neuron, relative to what would take it across."""
        return math.sqrt(self.lazy_width / width) * self.large / scale

    def _least_width(self, scale: float) -> int:
        return 2 * math.ceil(2 * self.lazy_width * (self.large / scale) ** 2)

    def width(self, scale: float, run: Sequence[int]) -> int:
        """Width of the nets of a scale that has only one.

        From half the large scale on it grows as the random part falls: next to it the deviation of
        a finite width has to stay small.
        """
        least = max(self._least_width(scale), run[1] * self.large / (2 * scale))
        return max(run[1], 2 * math.ceil(min(least, _WIDEST) / 2))

    def small_widths(self, run: Sequence[int]) -> tuple[int, ...]:
        """Widths of the small scale, ascending."""
        most = _WIDEST // 2 ** (_SMALL_WIDTHS - 1)
        first = max(run[0], min(self._least_width(self.small), most))
        return tuple(first * 2**k for k in range(_SMALL_WIDTHS))

    @cached_property
    def spread(self) -> Array:
        """What is left of an initial output of scale 1, standard deviation at every step."""
        angles = self.angle, self.cross_cosine
        return nt.predictions.initial_output_spread(
            self.spectrum, *angles, self.learning_rate, self.steps
        )

    @cached_property
    def from_zero(self) -> Array:
        """Predicted outputs from a zero start, shape (T + 1, n)."""
        return self.distilled.outputs(self.dataset.clean, self.dataset.flipped)

    def continued(self, outputs: Array, steps: slice) -> Array:
        """What the block recursion makes of outputs, shape (..., n), in some steps."""
        observed, rate = self.dataset.observed, self.learning_rate
        return nt.predictions.block_recursion(
            self.spectrum, observed, rate, self.weights[steps], outputs
        )

    def early_share(self, scale: float, deviation: float = 0.0) -> float:
        """Expected share of wrong signs at the end of the burn-in, in closed form."""
        margins = (self.from_zero * self.dataset.clean)[self.first_taught]
        spread = np.hypot(scale * self.spread[self.first_taught], deviation)
        return float(nt.predictions.wrong_sign_share(margins, spread))

    def failure_bound(self, scale: float) -> float:
        """Bound on the probability that a wrong sign ever teaches, in closed form."""
        start, margins = self.first_taught, self.from_zero * self.dataset.clean
        spread = scale * self.spread[start:]
        return float(nt.predictions.wrong_sign_share(margins[start:], spread).sum()
                     * margins.shape[1])  # fmt: skip

    def right_signs(self, scale: float) -> nt.Premise:
        """No wrong sign teaches at a scale."""
        failure = self.failure_bound(scale)
        return nt.Premise(
            "smallest scale leaves the signs right", failure, failure <= FAILURE,
            f"probability of a wrong sign after the burn-in <= {FAILURE:g}, by the union bound",
        )  # fmt: skip

    def law(self, scale: float, deviation: float = 0.0) -> Law:
        """Distribution that the block recursion makes of random initial outputs.

        Args:
            scale: σ.
            deviation: of the nets from their limit at the end of the burn-in, added to the random
                part as if it were of the same kind; the draws are the same ones.
        """
        levels, start, clean = self.spectrum, self.first_taught, self.dataset.clean
        key = np.random.SeedSequence(self.seed, spawn_key=(_SAMPLE_STREAM,))
        size = float(np.hypot(scale, deviation / self.spread[start]))
        draws = nt.predictions.initial_output_samples(
            levels.clusters, levels.points, self.angle, self.cross_cosine, size, SAMPLES,
            np.random.default_rng(key),
        )  # fmt: skip
        early = self.continued(draws, slice(start))
        final = self.continued(early, slice(start, None))
        recovered = np.asarray((final * clean > 0).all(axis=1))
        return Law(rms(final - clean), recovered, (early * clean <= 0).mean(axis=1))

    @cached_property
    def laws(self) -> tuple[Law, ...]:
        """Of every scale."""
        return tuple(map(self.law, self.scales))

    @cached_property
    def easier(self) -> Scales | None:
        """The same clusters at the first ratio, doubled, at which the large scale is no obstacle.

        By the union bound; None where the ratio would be out of reach.
        """
        for doubled in range(1, _DOUBLINGS + 1):
            other = nt.noisy_clusters(
                clusters=self.spectrum.clusters, points=self.spectrum.points,
                ratio=self.ratio * 2**doubled, noise_rate=self.noise_rate, seed=self.seed,
                cross_cosine=self.cross_cosine,
            )  # fmt: skip
            scales = Scales.of(other, large=self.large)
            if scales.failure_bound(self.large) <= FAILURE:
                return scales
        return None

    @property
    def covariance(self) -> Array:
        """κ_1 of the measured kernels: what training the output weights adds to the NTK."""
        both = nt.kernels.ntk_limit(self.dataset.inputs, layers="both")
        return np.asarray(both - self.gram)

    def on_measured_kernel(self, outputs: Array) -> Array:
        """Outputs after the last step on the measured kernel, from some start, shape (S, n)."""
        observed, gram = self.dataset.observed, self.gram
        for weight in self.weights:
            target = weight * observed + (1 - weight) * np.sign(outputs)
            outputs = outputs - self.learning_rate * (outputs - target) @ gram
        return outputs

    def premises(self) -> tuple[nt.Premise, ...]:
        """Those of a random start from scales one of which is small."""
        others = {"zero initial output", "no overshoot (for the 2ρ bound)"}
        own = [premise for premise in super().premises() if premise.name not in others]
        return (*own, self.right_signs(self.small))

    def config(self) -> dict[str, Any]:
        """Every number of the problem."""
        return super().config() | {
            "init_scale": self.large,
            "scales": list(self.scales),
            "samples": SAMPLES,
            "lazy_width": replace(self, large=1.0).lazy_width,
        }
