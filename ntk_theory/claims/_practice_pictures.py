"""Pictures of the claim `practice`: accuracy over training, over the methods, and the spectrum."""

from __future__ import annotations

__all__ = ["PANELS"]

from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt
from ntk_theory.claims._practice_nets import METHODS, PAPERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.claim import Panel
    from ntk_theory.checking.verdicts import ClaimResult

_SHOWN = {
    "labels alone": (nt.drawing.ORANGE, "s"),
    PAPERS: (nt.drawing.BLUE, "o"),
    "soft": (nt.drawing.GREEN, "^"),
    "best stopping in hindsight": (nt.drawing.BLACK, "_"),
    "stopping on noisy labels": (nt.drawing.GREY, "x"),
}
"""Colours and markers; the other losses lie between them."""


def _settings(result: ClaimResult) -> list[str]:
    """Of the first data, in their order, as in its metrics."""
    first = result.config["data"][0]
    return list(result.config["cost_of_memorising"][first])


def _over_training(axes: Axes, result: ClaimResult) -> None:
    """Does the accuracy stay where it was best?"""
    if "curves" not in result.arrays:
        return
    drawing, curves = nt.drawing, result.arrays["curves"]
    epochs = np.arange(curves.shape[2])
    for place, name in enumerate(_settings(result)[: len(curves)]):
        if not name.startswith("symmetric"):
            continue
        for method in ("labels alone", PAPERS):
            shown = curves[place, METHODS.index(method)]
            drawing.line(axes, epochs, shown, _SHOWN[method][0], f"{method}, {name}", show=False)
            axes.annotate(name.split()[-1], (epochs[-1], shown[-1]), xytext=(2, 0),
                          textcoords="offset points", fontsize=6, va="center")  # fmt: skip
    for method in ("labels alone", PAPERS):
        axes.plot([], [], color=_SHOWN[method][0], label=method)
    axes.set(xlabel="epoch", ylabel="accuracy on fresh images", ylim=(0.5, 1))
    axes.legend(loc="lower left")


def _compared(axes: Axes, result: ClaimResult) -> None:
    """Who is ahead at which noise?"""
    if "accuracy" not in result.arrays:
        return
    drawing, accuracy = nt.drawing, result.arrays["accuracy"]
    names = _settings(result)[: len(accuracy)]
    for place, (method, (colour, marker)) in enumerate(_SHOWN.items()):
        x = np.arange(len(names)) + 0.13 * (place - 2)
        values = accuracy[..., METHODS.index(method)]
        drawing.means(axes, x, values, colour, method, marker)
    limit = result.arrays["limit"]
    for column, label in ((0, "kernel limit, best time"), (1, "kernel limit, memorised")):
        drawing.prediction(axes, np.arange(len(names)), limit[:, column], label, of=label)
    short = [name.replace("symmetric", "sym.") for name in names]
    axes.set_xticks(np.arange(len(names)), short, fontsize=6)
    axes.set(ylabel="accuracy on fresh images")
    axes.legend(loc="lower left", fontsize=5.5)


def _spectrum(axes: Axes, result: ClaimResult) -> None:
    """Where in the spectrum are information and noise?"""
    if "energy" not in result.arrays:
        return
    drawing, values = nt.drawing, result.arrays["eigenvalues"][::-1]
    rank = np.arange(1, len(values) + 1)
    for energy, colour, label in zip(
        result.arrays["energy"], (drawing.BLUE, drawing.ORANGE), ("clean labels", "noise"),
        strict=True,
    ):  # fmt: skip
        kept = 1 - np.cumsum(energy[::-1]) / energy.sum()
        drawing.line(axes, rank, np.maximum(kept, 1e-4), colour, label)
    axes.plot(rank, values / values[0], color=drawing.GREY, lw=0.8, ls=":", label="eigenvalue/top")
    axes.set(xlabel="eigenvectors from the top", ylabel="share left below", xscale="log",
             yscale="log", ylim=(1e-3, 1.3))  # fmt: skip
    axes.legend(loc="lower left")


PANELS: dict[str, Panel] = {
    "over-training": _over_training,
    "compared": _compared,
    "spectrum": _spectrum,
}
