"""Pictures of `convergence`: error over time, deviation over width, schedules compared."""

from __future__ import annotations

__all__ = ["deviation_over_width", "error_over_time", "schedules"]

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult

_ERROR = r"RMS error  $\|u_t-y\|/\sqrt{n}$"


def error_over_time(axes: Axes, result: ClaimResult) -> None:
    """Does self-distillation converge to the clean labels, and what does plain training do?"""
    arrays = result.arrays
    if "distilled_error" not in arrays:
        return
    steps = np.arange(len(arrays["predicted_distilled"]))
    plain_steps = steps[: len(arrays["predicted_plain"])]
    drawing.band(axes, plain_steps, arrays["plain_error"], drawing.ORANGE, "plain training")
    drawing.band(axes, steps, arrays["distilled_error"], drawing.BLUE, "self-distillation")
    drawing.prediction(axes, steps, arrays["predicted_distilled"], "closed forms")
    drawing.prediction(axes, plain_steps, arrays["predicted_plain"])
    drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ: bound of stopping")
    drawing.step_axis(axes, steps[-1])
    axes.set(yscale="log", ylabel=_ERROR)
    axes.legend(loc="lower left")


def deviation_over_width(axes: Axes, result: ClaimResult) -> None:
    """How fast do nets approach the infinitely wide one?"""
    exponents = [m for m in result.measurements if m.name.startswith("exponent")]
    axes.set(xlabel="width $m$", ylabel=r"$\mathrm{sup}_t\,\|u_m-u_\infty\|/\sqrt{n}$")
    if not exponents:
        return
    widths, deviation = result.arrays["widths"], result.arrays["largest_deviation"]
    drawing.loglog_fit(axes, widths, deviation, exponents[0].measured)
    slope = exponents[0].predicted
    middle = np.exp(np.log(deviation).mean() - slope * np.log(widths).mean())
    drawing.prediction(axes, widths, middle * widths**slope, "slope −1/2")
    axes.legend(loc="lower left")


def schedules(axes: Axes, result: ClaimResult) -> None:
    """Which weights of the observed labels lead to the clean ones?"""
    arrays = result.arrays
    if "variant_geometric_error" not in arrays:
        return
    last = 1
    for key, label, colour in (
        ("agreement", "agreement", drawing.ORANGE),
        ("constant", r"constant $\alpha = 1/4$", drawing.GREEN),
        ("geometric", "geometric", drawing.BLUE),
    ):
        errors = arrays[f"variant_{key}_error"]
        steps = np.arange(errors.shape[1])
        last = max(last, len(steps) - 1)
        drawing.band(axes, steps, errors, colour, label)
        dashed = "closed forms" if key == "agreement" else None
        drawing.prediction(axes, steps, arrays[f"variant_{key}_predicted"], dashed)
    for key, name in (("agreement", r"$2\rho\sqrt{\rho}$"), ("constant", r"$2\alpha\sqrt{\rho}$")):
        limit = float(arrays[f"variant_{key}_limit"])
        drawing.bound(axes, limit, f"limit {name}", show=False)
        axes.annotate(
            name,
            (0, limit),
            xytext=(3, 2 if key == "agreement" else -2),
            textcoords="offset points",
            va="bottom" if key == "agreement" else "top",
            fontsize=7,
        )
    drawing.step_axis(axes, last)
    axes.set(ylabel=_ERROR, ylim=(0, 1.03))
    axes.legend(loc="upper right")
