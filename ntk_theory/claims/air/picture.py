"""Pictures of `air`: retrieved shares, the lead of information, the spectra and what lies along."""

from __future__ import annotations

__all__ = ["eigenspaces", "eigenvalues", "energy", "information_ahead", "retrieved_shares"]

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult

_DESIGNS = (
    ("clusters", "clusters", drawing.BLUE),
    ("tree", "tree", drawing.INDIGO),
    ("power_law", "power law", drawing.GREEN),
    ("circle", "circle", drawing.ORANGE),
)


def retrieved_shares(axes: Axes, result: ClaimResult) -> None:
    """How much of the information and of the noise is retrieved on clusters, step by step?"""
    arrays = result.arrays
    if "information" not in arrays:
        return
    steps = np.arange(arrays["information"].shape[1])
    drawing.band(axes, steps, arrays["information"], drawing.BLUE, "information")
    drawing.band(axes, steps, arrays["noise"], drawing.ORANGE, "noise")
    formula = r"$1-(1-\eta\lambda)^t$"
    drawing.prediction(axes, steps, arrays["predicted_information"], formula, of="information")
    drawing.prediction(axes, steps, arrays["predicted_noise"], of="noise")
    drawing.bound(axes, 0.5, "one half", show=False)
    axes.set(xlabel="step $t$", ylabel="retrieved share, clusters", ylim=(0, 1.05))
    axes.set_xlim(0, steps[-1])
    axes.legend(loc="lower right")


def eigenspaces(axes: Axes, result: ClaimResult) -> None:
    """Is every eigenspace of the tree retrieved at the speed of its eigenvalue?"""
    arrays = result.arrays
    if "tree_shares" not in arrays:
        return
    shares, levels = arrays["tree_shares"], arrays["tree_levels"]
    steps = np.arange(shares.shape[1])
    colours = (drawing.ORANGE, drawing.GREEN, drawing.BLUE, drawing.INDIGO)
    for band in range(len(levels))[::-1]:
        name = rf"$\lambda = {levels[band]:.2f}$"
        drawing.band(axes, steps, shares[:, :, band], colours[band], name)
    for band in range(len(levels)):
        label = r"$1-(1-\eta\lambda)^t$" if band == 0 else None
        predicted = arrays["tree_predicted_shares"][:, band]
        drawing.prediction(axes, steps, predicted, label, of=f"λ = {levels[band]:.2f}")
    axes.set(xlabel="step $t$", ylabel="retrieved share, tree", ylim=(0, 1.05))
    axes.set_xlim(0, steps[-1])
    axes.legend(loc="lower right", handlelength=1.4)


def information_ahead(axes: Axes, result: ClaimResult) -> None:
    """How far are clean labels ahead of noise, on each design?"""
    arrays, longest = result.arrays, 1
    for name, label, colour in _DESIGNS:
        if f"{name}_gap" not in arrays:
            continue
        steps = np.arange(arrays[f"{name}_gap"].shape[1])
        longest = max(longest, len(steps) - 1)
        drawing.band(axes, steps, arrays[f"{name}_gap"], colour, label)
        dashed = "prediction" if name == "clusters" else None
        drawing.prediction(axes, steps, arrays[f"{name}_predicted_gap"], dashed, of=label)
    drawing.step_axis(axes, longest)
    axes.set(ylabel=r"$R_t(\mathrm{clean})-\mathbb{E}\,R_t(\mathrm{noise})$", ylim=(0, 0.95))
    if "clusters_gap" in arrays:
        axes.legend(loc="upper left", ncols=2, columnspacing=1.0)


def eigenvalues(axes: Axes, result: ClaimResult) -> None:
    """Which eigenvalues do the kernels of the designs have?"""
    arrays = result.arrays
    shown = [design for design in _DESIGNS if f"{design[0]}_eigenvalues" in arrays]
    for name, label, colour in shown:
        values = arrays[f"{name}_eigenvalues"]
        drawing.dots(axes, np.arange(1, len(values) + 1), values, colour, label)
    predicted = {
        label: arrays[f"{name}_predicted_eigenvalues"]
        for name, label, _ in shown
        if f"{name}_predicted_eigenvalues" in arrays
    }
    for index, (label, values) in enumerate(predicted.items()):
        once = "closed form" if index == 0 else None
        drawing.prediction(axes, np.arange(1, len(values) + 1), values, once, of=label)
    axes.set(xscale="log", yscale="log", xlabel="number $k$, from the top")
    axes.set(ylabel=r"eigenvalue $\lambda_k$ of the NTK")
    if "clusters_eigenvalues" in arrays:
        axes.legend(loc="upper right")


def energy(axes: Axes, result: ClaimResult) -> None:
    """How much of the clean labels, and of the noise, lies in the top eigenspaces?"""
    arrays = result.arrays
    if "power_law_clean_energy" not in arrays:
        return
    for name, label, colour, quiet in (
        ("clusters", "clusters", drawing.BLUE, drawing.ORANGE),
        ("power_law", "power law", drawing.INDIGO, drawing.GREEN),
    ):
        count = len(arrays[f"{name}_clean_energy"])
        share = np.arange(count + 1) / count
        clean = np.concatenate([[0.0], arrays[f"{name}_clean_energy"]])
        noise = np.concatenate([[0.0], arrays[f"{name}_noise_energy"]])
        drawing.line(axes, share, clean, colour, f"clean labels, {label}")
        drawing.line(axes, share, noise, quiet, f"noise, {label}")
    drawing.prediction(axes, [0, 1], [0, 1], "isotropic noise: $k/n$")
    axes.set(xlabel="share $k/n$ of the eigenvectors, from the top")
    axes.set(ylabel="share of the energy in them", xlim=(0, 1), ylim=(0, 1.03))
    axes.legend(loc="lower right")
