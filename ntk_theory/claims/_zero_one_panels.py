"""Pictures of the claim `zero-one`: what is promised, and what is true."""

from __future__ import annotations

__all__ = ["DISTILLED", "LONG", "PANELS"]

from typing import TYPE_CHECKING

import ntk_theory as nt
from ntk_theory.checking.functionals import rms_error, wrong_signs
from ntk_theory.checking.panels import Curves
from ntk_theory.claims._zero_one_clusters import RATES, WIDE_RATES

if TYPE_CHECKING:
    from ntk_theory.checking.claim import Panel

LONG, DISTILLED = "trained on", "self-distillation"
"""Trainings that are shown over time."""


def _promised_and_true(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """At which noise rates is every label right?"""
    arrays, config, drawing = result.arrays, result.config, nt.drawing
    if "tight_zero_one" not in arrays:
        return
    most = config["tolerated_noise"]
    drawing.prediction_range(axes, [0, most], [0, 0], [0.6, 0.6], r"promised: $\rho\leq\delta/8$")
    for name, rates, colour, marker, size in (
        ("tight", RATES, drawing.BLUE, "o", 7.0),
        ("wide", WIDE_RATES, drawing.ORANGE, "s", 4.5),
    ):
        errors, true = arrays[f"{name}_zero_one"], config["threshold"][name == "wide"]
        drawing.dots(axes, rates, errors, colour, f"nets, {name} clusters", marker, size=size)
        drawing.mark(axes, true, f"$\\rho^*$, {name}", 0.4 if name == "wide" else 0.25)
        label = r"theory: 0 up to $\rho^*$, then $\rho$" if name == "wide" else None
        drawing.prediction(axes, [0, true, true, 0.5], [0, 0, true, 0.5], label, of=name)
    axes.set(xlabel=r"noise rate $\rho$", ylabel="0-1 error of stopped nets")
    axes.set(xlim=(0, 0.56), ylim=(-0.03, 0.6))
    axes.legend(loc="upper left")


def _distance(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """How far from their start are nets that are stopped, and nets that have memorised?"""
    arrays, config, drawing = result.arrays, result.config, nt.drawing
    if "distance" not in arrays:
        return
    place, memorised = RATES[config["reference"]], arrays["memorised_distance"][None]
    drawing.dots(axes, [place], memorised, drawing.ORANGE, "memorised", "s", size=4.5)
    drawing.dots(axes, RATES, arrays["distance"], drawing.BLUE, "stopped", size=5)
    drawing.prediction(axes, RATES, arrays["predicted_distance"], "closed form")
    drawing.bound(axes, config["distance_of_form"], r"promised: $\sqrt{K/\lambda(C)}$")
    axes.set(xlabel=r"noise rate $\rho$", ylabel=r"distance from the start  $\|W_T-W_0\|$")
    axes.set(yscale="log", ylim=(None, 40), xlim=(0.05, 0.45), xticks=RATES)
    axes.legend(loc="upper right")


PANELS: dict[str, Panel] = {
    "promised-and-true": _promised_and_true,
    "errors-over-time": Curves(
        "error",
        of=lambda _: {"0-1 error": (LONG, wrong_signs), "RMS error": (LONG, rms_error),
                      "RMS error, self-distillation": (DISTILLED, rms_error)},
        ylabel="error", legend="upper right", more={"ylim": (-0.03, 1.7)},
        bounds={"2ρ": lambda config: 2 * config["noise_rate"][config["reference"]]},
        marks={"$T$": lambda config: config["stopping_time"][config["reference"]]},
    ),
    "distance": _distance,
}  # fmt: skip
