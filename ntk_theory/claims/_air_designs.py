"""Noisy labels on a design: its eigenspaces, and what nets retrieve in them (section 6.5)."""

from __future__ import annotations

__all__ = ["Case", "Labels"]

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import LabelledPoints
from ntk_theory.checking.rows import OWN, Array

_LEAST_ENERGY = 1 / 12
"""Share of ‖ỹ‖² that a band of several eigenspaces needs for its retrieved share to be seen."""


def _coefficient(outputs: Array, along: Array) -> Array:
    return np.asarray(np.tensordot(outputs, along, along.ndim) / np.square(along).sum())


@dataclass(frozen=True)
class Labels:
    """Observed labels ỹ = κ y + ζ with ζ ⟂ y: clean and observed ones, shape (n,) or (n, C)."""

    clean: Array
    observed: Array

    @cached_property
    def kept(self) -> float:
        """κ: what is left of the clean labels."""
        return float((self.observed * self.clean).sum() / np.square(self.clean).sum())

    @property
    def parts(self) -> tuple[Array, Array]:
        """κ y, the information, and ζ, the noise."""
        return self.kept * self.clean, self.observed - self.kept * self.clean

    def information(self, outputs: Array, _: object = None) -> Array:
        """Retrieved share of the information: the coefficient of outputs (..., n[, C]) along it."""
        return _coefficient(outputs, self.parts[0])

    def noise(self, outputs: Array, _: object = None) -> Array:
        """Retrieved share of the noise."""
        return _coefficient(outputs, self.parts[1])

    def ahead(self, outputs: Array, _: object = None) -> Array:
        """Share of information less that of noise."""
        return self.information(outputs) - self.noise(outputs)

    def broken(self, training: nt.Training, claimed: Array) -> nt.Row:
        """Row of a control: another training on these labels, where the claimed lead is largest."""
        step = int(claimed.argmax())
        return nt.Row(f"R(information) − R(noise) after {step} steps", training, self.ahead,
                      at=step, norm=OWN, claimed=float(claimed[step]))  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Noisy labels on one design, by its name, and plain training on them."""

    name: str
    dataset: nt.data.Dataset
    recipe: nt.Recipe

    @property
    def labels(self) -> Labels:
        """Information and noise in the observed labels."""
        return Labels(self.dataset.clean, self.dataset.observed)

    @cached_property
    def spectrum(self) -> nt.spectrum.Spectrum:
        """Measured eigenspaces."""
        return nt.spectrum.eigendecomposition(nt.kernels.ntk_limit(self.dataset.inputs))

    @cached_property
    def eigenvalues(self) -> Array:
        """In closed form where there is one; else the measured ones."""
        design = self.dataset.design
        return self.spectrum.eigenvalues if design.levels is None else design.eigenvalues()

    @cached_property
    def filter(self) -> Array:
        """Predicted share along each eigenvector, shape (T + 1, n)."""
        recipe = self.recipe
        return nt.predictions.retrieval_filter(self.eigenvalues, recipe.rate, recipe.steps)

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

    def shares(self, outputs: Array) -> Array:
        """Share ⟨P u, P ỹ⟩/‖P ỹ‖² of ỹ in each band that outputs (..., n) have, (..., bands)."""
        observed = self.spectrum.project(self.dataset.observed)
        along = self._band_sums(self.spectrum.project(outputs) * observed)
        return np.asarray(along / self._band_sums(observed**2))

    def off(self, outputs: Array, points: LabelledPoints) -> Array:
        """By how much the share of any band is off its filter, at most."""
        distance = np.abs(self.shares(outputs) - self.shares(points.predicted))
        return np.asarray(distance.max(axis=-1))

    def lead(self, outputs: Array, _: object = None) -> Array:
        """Information minus noise: shares weighted by the clean energy, less by dimension."""
        weights = self._band_sums(self.clean_energy - 1 / self.clean_energy.size)
        return np.asarray(self.shares(outputs) @ weights)

    def leads(self) -> tuple[Array, Array]:
        """R_t(y) − E R_t(noise) from t = 1 on: by recursion from y and I, and by formula."""
        clean, rate, steps = self.dataset.clean, self.recipe.rate, self.recipe.steps
        both = self.recipe.relabelled(np.column_stack([clean, np.eye(len(clean))])).kernel_limit()
        trace = np.trace(both[:, :, 1:], axis1=1, axis2=2)
        closed = nt.predictions.retrieval_gap(self.eigenvalues, self.clean_energy, rate, steps)
        return ((both[:, :, 0] @ clean - trace) / len(clean))[1:], closed[1:]

    @cached_property
    def lazy_width(self) -> float:
        """Width at which fitting the noise moves a neuron as far as the closest points are apart.

        With ζ = ỹ − (ỹ·y/n) y the last step has A_T ζ of the noise, and by section 9.4 the neurons
        have moved by (A_T ζ)ᵀ H^{-1} A_T ζ for it, in sum of squares. On clusters this is
        n 4ρ(1−ρ) q(T)² / λ_−, so that the width over the square of the closest angle is m_lazy.
        """
        fitted = self.filter[-1] * self.spectrum.project(self.labels.parts[1])
        cosines = self.dataset.inputs @ self.dataset.inputs.T
        np.fill_diagonal(cosines, -1)
        # Nothing is fitted in directions that the kernel does not have.
        values = np.where(self.eigenvalues > 0, self.eigenvalues, np.inf)
        return float((fitted**2 / values).sum()) / float(np.arccos(cosines.max())) ** 2

    def widths(self, run: Sequence[int]) -> tuple[int, ...]:
        """Five of a run's, times the first power of 2, up to 16, at which narrow nets are lazy.

        Where they are not, their deviation does not fall like m^{-1/2}.
        """
        few = run[:5]
        return nt.Sweep(few[0], few[-1], len(few), nets=0).widths(min(self.lazy_width, 4 * few[0]))

    def premises(self) -> Iterator[nt.Premise]:
        """Of the measured kernel, before any training."""
        odd = " (an odd number of points)" if self.name == "circle" else ""
        yield self.recipe.positive_definite(f"{self.name}: kernel positive definite{odd}")
        excess = nt.predictions.energy_dominance(self.clean_energy)
        rounding = self.clean_energy.size * float(np.finfo(float).eps)
        needed = "their energy in the top k eigenvectors is at least k/n, for every k"
        name = f"{self.name}: clean labels lean to the top"
        yield nt.Premise(name, excess, excess >= -rounding, needed)

    def arrays(self) -> dict[str, Array]:
        """Eigenvalues, and the energy of clean labels and of the noise along them, from the top.

        Flipping a share ρ of the labels shrinks them by 1 − 2ρ in the mean; the noise is the rest.
        """
        mean = (1 - 2 * self.dataset.noise_rate) * self.dataset.clean
        noise = self.spectrum.project(self.dataset.observed - mean) ** 2
        found = {
            "eigenvalues": self.spectrum.eigenvalues[::-1],
            "clean_energy": np.cumsum(self.clean_energy[::-1]),
            "noise_energy": np.cumsum(noise[::-1]) / noise.sum(),
        }
        if self.dataset.design.levels is not None:
            found["predicted_eigenvalues"] = self.eigenvalues[::-1]
        return {f"{self.name}: {key}": value for key, value in found.items()}
