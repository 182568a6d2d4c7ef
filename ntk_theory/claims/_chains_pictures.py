"""Pictures of `chains`: how many nets a cell takes, and errors net by net."""

from __future__ import annotations

__all__ = ["PANELS", "arrays"]

from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import rms_error, wrong_signs
from ntk_theory.claims._chains_cells import ROUNDS, STAGES, after, each, name_of

if TYPE_CHECKING:
    from ntk_theory.checking.rows import Array

FUNCTIONALS = {"RMS error": rms_error, "share of wrong signs": wrong_signs}


def arrays(run: nt.Run) -> dict[str, Array]:
    """How many nets every cell takes; errors of new nets in a row, the last taught signs."""
    cells_ = run.problem.problems[1:]
    right = [[(each(run, name_of(cell), k, wrong_signs) == 0).all() for k in range(1, ROUNDS + 1)]
             for cell in cells_]  # fmt: skip
    kept = {
        "ratio": np.array([cell.ratio for cell in cells_]),
        "noise_rate": np.array([cell.noise_rate for cell in cells_]),
        "takes": np.array([one.index(True) + 1 if True in one else 0 for one in right]),
    }
    for name, functional in FUNCTIONALS.items():
        kept[name] = np.stack([each(run, *stage, functional) for stage in STAGES])
        kept[f"predicted {name}"] = np.array([
            functional(run.trainings[one].predicted, run.trainings[one].points)[at]
            for one, at in STAGES
        ])  # fmt: skip
    return kept


def _phase_diagram(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """How many nets in a row does it take, at which noise rate and ratio?"""
    arrays, drawing = result.arrays, nt.drawing
    if "takes" not in arrays:
        return
    x, y, takes = arrays["ratio"], arrays["noise_rate"], arrays["takes"]
    ratios = np.geomspace(x.min() / 1.15, x.max() * 1.15, 80)
    colours = (drawing.ORANGE, drawing.GREEN, drawing.BLUE)
    sides = ("center", "top", "bottom")  # which keep the names of the curves apart
    for k, (colour, marker, side) in enumerate(zip(colours, "os^", sides, strict=True), start=1):
        label, own = f"right {after(k)}", takes == k
        drawing.dots(axes, x[own], y[own], colour, label, marker, size=6)
        threshold = [nt.predictions.chain_threshold(ratio, k) for ratio in ratios]
        drawing.prediction(axes, ratios, threshold, of=f"ρ*_{k}")
        drawing.at_the_end(axes, ratios[-1], threshold[-1], rf"$\rho^*_{k}$", side)
    label, own = f"wrong {after(ROUNDS)}", takes == 0
    drawing.dots(axes, x[own], y[own], drawing.INDIGO, label, "X", size=6)
    axes.set(xscale="log", xlabel=r"ratio $r=\lambda_+/\lambda_-$", ylabel="noise rate ρ")
    axes.set(ylim=(0, 0.52))
    axes.set_xticks(np.unique(x), [f"{ratio:g}" for ratio in np.unique(x)])
    axes.minorticks_off()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def _net_by_net(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """How do errors of outputs and of signs change from net to net?"""
    arrays, drawing = result.arrays, nt.drawing
    if "takes" not in arrays:
        return
    x, config = np.arange(1, len(STAGES) + 1), result.config
    for name, colour, marker, size in (
        ("RMS error", drawing.ORANGE, "o", 7.0),
        ("share of wrong signs", drawing.BLUE, "s", 3.5),
    ):
        drawing.dots(axes, x, arrays[name], colour, name, marker, size=size)
        drawing.prediction(axes, x, arrays[f"predicted {name}"], of=name)
    drawing.bound(axes, 2 * config["noise_rate"][0], "2ρ")
    axes.set_xticks(x, [*(f"net {k}" for k in x[:-1]), f"net {x[-1]}, taught\nsigns"])
    where = f"nets in a row, at ρ = {config['noise_rate'][0]:g}, r = {config['ratio'][0]:g}"
    axes.set(xlim=(0.8, x[-1] + 0.4), ylim=(-0.04, 1.04), xlabel=where, ylabel="error")
    axes.legend(loc="center left", bbox_to_anchor=(0.0, 0.6))


PANELS = {"phase-diagram": _phase_diagram, "net-by-net": _net_by_net}
