"""Noisy labels on a design: its eigenspaces, and what the filter retrieves in them."""

from __future__ import annotations

__all__ = ["Case"]

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntk_theory import kernels, predictions, spectrum
from ntk_theory.data import Dataset
from ntk_theory.problems import Recipe
from ntk_theory.spectrum import Spectrum
from ntk_theory.targets import PLAIN

Array = NDArray[np.float64]

_LEAST_ENERGY = 1 / 12
"""Share of ‖ỹ‖² that a band of several eigenspaces needs for its retrieved share to be seen."""


@dataclass(frozen=True)
class Case:
    """Noisy labels on one design, with the eigenspaces that they are measured in.

    Attributes:
        name: of the design.
        dataset: inputs and labels.
        learning_rate: η.
        steps: T.
        widths: of the nets.
    """

    name: str
    dataset: Dataset
    learning_rate: float
    steps: int
    widths: tuple[int, ...]

    @cached_property
    def gram(self) -> Array:
        """Limiting NTK of the inputs, measured."""
        return kernels.ntk_limit(self.dataset.inputs)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Measured eigenspaces."""
        return spectrum.eigendecomposition(self.gram)

    @cached_property
    def eigenvalues(self) -> Array:
        """In closed form where there is one; else the measured ones."""
        if self.dataset.design.levels is None:
            return self.spectrum.eigenvalues
        return self.dataset.design.eigenvalues()

    @cached_property
    def filter(self) -> Array:
        """Predicted share along each eigenvector, shape (T + 1, n)."""
        return predictions.retrieval_filter(self.eigenvalues, self.learning_rate, self.steps)

    @cached_property
    def outputs(self) -> Array:
        """Predicted outputs, shape (T + 1, n)."""
        along = self.filter * self.spectrum.project(self.dataset.observed)
        return np.asarray(along @ self.spectrum.eigenvectors.T)

    @cached_property
    def bands(self) -> tuple[slice, ...]:
        """Eigenspaces; on designs with many of them, those within a factor of two together."""
        if len(self.spectrum.eigenspaces()) <= 4:
            return self.spectrum.bands(self.dataset.observed)
        return self.spectrum.bands(self.dataset.observed, factor=2.0, least=_LEAST_ENERGY)

    @cached_property
    def clean_energy(self) -> Array:
        """Share of ‖y‖² along each eigenvector, spread evenly in each eigenspace, shape (n,)."""
        energy = self.spectrum.project(self.dataset.clean) ** 2
        for space in self.spectrum.eigenspaces():
            energy[space] = energy[space].mean()
        return np.asarray(energy / energy.sum())

    def _band_sums(self, values: Array) -> Array:
        return np.stack([values[..., band].sum(axis=-1) for band in self.bands], axis=-1)

    @property
    def _band_energy(self) -> Array:
        return self.spectrum.project(self.dataset.observed) ** 2

    @cached_property
    def predicted_shares(self) -> Array:
        """Share of ỹ in each band that is retrieved, shape (T + 1, bands)."""
        energy = self._band_energy
        return np.asarray(self._band_sums(self.filter * energy) / self._band_sums(energy))

    def shares(self, outputs: ArrayLike) -> Array:
        """The same share ⟨P u, P ỹ⟩/‖P ỹ‖² of outputs (..., n), shape (..., bands)."""
        along = self.spectrum.project(outputs) * self.spectrum.project(self.dataset.observed)
        return np.asarray(self._band_sums(along) / self._band_sums(self._band_energy))

    def gap(self, shares: Array) -> Array:
        """Information minus noise: shares weighted by the clean energy, less by dimension."""
        weights = self._band_sums(self.clean_energy - 1 / self.clean_energy.size)
        return np.asarray(shares @ weights)

    @cached_property
    def predicted_gap(self) -> Array:
        """The same of the filter, shape (T + 1,)."""
        return self.gap(self.predicted_shares)

    @property
    def peak(self) -> int:
        """Step at which it is largest."""
        return int(self.predicted_gap.argmax())

    @cached_property
    def lazy_width(self) -> float:
        """Width at which fitting the noise moves a neuron as far as the closest points are apart.

        With ζ = ỹ − (ỹ·y/n) y the last step has A_T ζ of the noise, and by section 9.4 the neurons
        have moved by (A_T ζ)ᵀ H^{-1} A_T ζ for it, in sum of squares. On clusters this is
        n 4ρ(1−ρ) q(T)² / λ_−, so that the width over the square of the closest angle is m_lazy.
        """
        clean, observed = self.dataset.clean, self.dataset.observed
        noise = observed - float(observed @ clean) / clean.size * clean
        fitted = self.filter[-1] * self.spectrum.project(noise)
        cosines = self.dataset.inputs @ self.dataset.inputs.T
        np.fill_diagonal(cosines, -1)
        closest = float(np.arccos(cosines.max()))
        # Nothing is fitted in directions that the kernel does not have.
        values = np.where(self.eigenvalues > 0, self.eigenvalues, np.inf)
        return float((fitted**2 / values).sum()) / closest**2

    @cached_property
    def recipe(self) -> Recipe:
        """Plain training on the observed labels."""
        return Recipe(
            inputs=self.dataset.inputs,
            observed=self.dataset.observed,
            distillation=PLAIN,
            learning_rate=self.learning_rate,
            steps=self.steps,
        )
