"""Pictures of the claim `practice`: accuracy over training, over the methods, and the spectrum."""

from __future__ import annotations

__all__ = ["PANELS"]

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import ntk_theory as nt
from ntk_theory.claims._practice_nets import ALONE, BEST, METHODS, PAPERS, RULE, SLOWER, TOLD
from ntk_theory.losses import LOSSES

if TYPE_CHECKING:
    from ntk_theory.checking.claim import Panel


def _settings(result: nt.panels.ClaimResult) -> list[str]:
    """Of the first data, in their order."""
    first: dict[str, Any] = next(iter(result.config["sources"].values()), {})
    named = list(first.get("cost_of_memorising", ()))
    return named[: len(result.arrays.get("curves", ()))]


def _over_training(which: int, axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """Does the accuracy stay where it was best? Of one of the settings but pair flips."""
    drawing, names = nt.drawing, [one for one in _settings(result) if not one.startswith("pair")]
    if which >= len(names):
        axes.set_axis_off()
        return
    place = _settings(result).index(names[which])
    curves, accuracy = result.arrays["curves"][place], result.arrays["accuracy"][place]
    epochs = np.arange(curves.shape[1])
    for method, curve in zip((ALONE, *LOSSES), curves, strict=True):
        if method in (ALONE, PAPERS):
            colour = drawing.ORANGE if method == ALONE else drawing.BLUE
            drawing.line(axes, epochs, curve, colour, method)
        else:
            soft = LOSSES[method].prediction == "soft"
            colour = drawing.GREEN if soft else drawing.INDIGO
            dashes = "--" if LOSSES[method].weight < 0.2 else "-."
            drawing.line(axes, epochs, curve, colour, method, alpha=0.6, ls=dashes)
    drawing.bound(axes, float(accuracy[:, METHODS.index(RULE)].mean()), RULE)
    best = float(result.arrays["limit"][place, 0])
    drawing.prediction(axes, [0, epochs[-1]], [best, best], "kernel limit, best time")
    axes.set(xlabel="epoch", ylabel=f"accuracy, {names[which]}")
    axes.set(ylim=(min(0.7, curves[:, 1:].min()) - 0.25, 1), xlim=(0, epochs[-1]))
    axes.legend(loc="lower right", fontsize=6, ncols=2)


def _compared(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """Who is ahead at which noise?"""
    names, drawing = _settings(result), nt.drawing
    if not names:
        return
    shown = {
        ALONE: (drawing.ORANGE, "s"), TOLD: (drawing.GREY, "x"), BEST: (drawing.BLACK, "+"),
        SLOWER: (drawing.GREEN, "^"),
        PAPERS: (drawing.BLUE, "o"), RULE: (drawing.INDIGO, "D"),
    }  # fmt: skip
    for place, (method, (colour, marker)) in enumerate(shown.items()):
        values = result.arrays["accuracy"][..., METHODS.index(method)]
        x = np.arange(len(names)) + 0.14 * (place - 2.5)
        drawing.means(axes, x, values, colour, method, marker)
    for place, ends in enumerate(result.arrays["limit"]):
        for end, level in zip(("best time", "memorised"), ends, strict=True):
            name = f"kernel limit, {end}: {names[place]}"
            label = (
                "kernel limit, best and memorised" if place == 0 and end == "best time" else None
            )
            drawing.prediction(axes, [place - 0.4, place + 0.4], [level, level], label, of=name)
    axes.set_xticks(
        np.arange(len(names)),
        [name.replace("symmetric", "sym.").replace(" ", "\n") for name in names],
    )
    axes.set(ylabel="accuracy on fresh points", xlim=(-0.6, len(names) - 0.4))
    axes.set(ylim=(axes.get_ylim()[0] - 0.2, None))
    axes.legend(loc="lower left", fontsize=5, ncols=2, columnspacing=0.8, handletextpad=0.4)


def _spectrum(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """Where in the spectrum are information and noise?"""
    if "energy" not in result.arrays:
        return
    drawing, values = nt.drawing, result.arrays["eigenvalues"][::-1]
    rank = np.arange(1, len(values) + 1)
    drawing.line(axes, rank, values / values[0], drawing.GREY, "eigenvalues", ls=":")
    drawing.prediction(axes, rank[:-1], 1 - rank[:-1] / len(rank), "isotropic noise")
    colours = (drawing.BLUE, drawing.ORANGE)
    for energy, colour, label in zip(
        result.arrays["energy"], colours, ("clean labels", "noise"), strict=True
    ):
        left = 1 - np.cumsum(energy[::-1]) / energy.sum()
        drawing.line(axes, rank[:-1], left[:-1], colour, f"{label}, energy left")
    axes.set(xlabel="eigenvectors from the top", ylabel="share of the whole", xscale="log")
    axes.set(yscale="log", ylim=(1e-3, 1.3))
    axes.legend(loc="lower left")


PANELS: dict[str, Panel] = {
    "compared": _compared,
    "spectrum": _spectrum,
    "over-training": partial(_over_training, 0),
    "over-training-2": partial(_over_training, 1),
    "over-training-3": partial(_over_training, 2),
}
