"""Pictures of `separation`: both errors over time, and what they come to over the noise rate."""

from __future__ import annotations

__all__ = ["best_errors", "error_over_time"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult

_ERROR = r"RMS error  $\|u_t-y\|/\sqrt{n}$"


def error_over_time(axes: Axes, result: ClaimResult) -> None:
    """Does any stopping time come closer than 2ρ to the clean labels? Does self-distillation?"""
    arrays, config = result.arrays, result.config
    if "plain" not in arrays:
        return
    rho = config["noise_rate"][config["reference"]]
    for name, colour, label in (
        ("plain", drawing.ORANGE, "plain training"),
        ("distilled", drawing.BLUE, "self-distillation"),
    ):
        predicted = arrays[f"predicted_{name}"]
        steps = np.arange(len(predicted))
        drawing.band(axes, steps, arrays[name], colour, label)
        shown = "closed forms" if name == "distilled" else None
        drawing.prediction(axes, steps, predicted, shown, of=label)
    drawing.bound(axes, 2 * rho, f"2ρ (ρ = {rho:g})")
    drawing.mark(axes, float(arrays["memorisation_time"]), r"$t_\mathrm{mem}$")
    drawing.step_axis(axes, arrays["predicted_distilled"].size - 1)
    axes.set(yscale="log", ylabel=_ERROR)
    axes.legend(loc="lower left")


def best_errors(axes: Axes, result: ClaimResult) -> None:
    """At which noise rates does self-distillation beat the best stopping time, and by how much?"""
    arrays = result.arrays
    if "best" not in arrays:
        return
    rates = np.asarray(arrays["noise_rate"])
    drawing.dots(axes, rates, arrays["best"], drawing.ORANGE, "best stopped", size=5)
    drawing.dots(axes, rates, arrays["final"], drawing.BLUE, "self-distilled", "s", size=4)
    drawing.prediction(axes, rates, arrays["predicted_best"], "closed forms", of="best stopped")
    drawing.prediction(axes, rates, arrays["predicted_final"], of="self-distilled")
    drawing.line(axes, rates, 2 * rates, drawing.GREY, "2ρ")
    axes.set(xlabel="noise rate ρ", ylabel="RMS error", yscale="log", ylim=(None, 1.2))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
    axes.legend(loc="center", ncols=2)
