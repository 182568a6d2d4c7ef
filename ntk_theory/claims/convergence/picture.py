"""Pictures of `convergence`: error over time, deviation over width, schedules compared."""

from __future__ import annotations

__all__ = ["deviation_over_width", "error_over_time", "schedules"]

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

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
    distilled = arrays["predicted_distilled"]
    drawing.prediction(axes, steps, distilled, "closed forms", of="self-distillation")
    drawing.prediction(axes, plain_steps, arrays["predicted_plain"], of="plain training")
    if "classes" not in result.config:
        drawing.bound(axes, 2 * result.config["noise_rate"], "2ρ: bound of stopping")
    drawing.step_axis(axes, steps[-1])
    axes.set(yscale="log", ylabel=_ERROR)
    axes.legend(loc="lower left")


def deviation_over_width(axes: Axes, result: ClaimResult) -> None:
    """How fast do nets approach the infinitely wide one?"""
    exponents = [m for m in result.measurements if m.name.startswith("exponent")]
    if not exponents:
        return
    widths, deviation = result.arrays["widths"].astype(float), result.arrays["largest_deviation"]
    slope = exponents[0].predicted
    drawing.loglog_fit(axes, widths, deviation, exponents[0].measured)
    anchored = deviation[-1].mean() * (widths / widths[-1]) ** slope
    drawing.prediction(axes, widths, anchored, "slope −1/2 from the mean of the widest")
    axes.set(xlabel="width $m$", ylabel=r"sup$_t$ $\|u_m-u_\infty\|/\sqrt{n}$")
    axes.set(ylim=(float(deviation.min()) / 2, None))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(loc="lower left")


def _write(
    axes: Axes,
    text: str,
    place: tuple[float, float],
    away: tuple[float, float],
    side: str,
    colour: str,
) -> None:
    """Text beside a place, so many points away from it."""
    axes.annotate(
        text,
        place,
        xytext=away,
        textcoords="offset points",
        va=side,
        color=colour,
        fontsize=7,
    )


def schedules(axes: Axes, result: ClaimResult) -> None:
    """Which weights of the observed labels lead to the clean ones?"""
    arrays = result.arrays
    limits = {"agreement": "by agreement", "constant": r"constant, $\alpha=1/4$"}
    fading = {"geometric": "geometric", "power": "power"}
    if any(f"{key}_error" not in arrays for key in limits | fading):
        return
    last = 1
    for key, label in (limits | fading).items():
        errors = arrays[f"{key}_error"]
        steps = np.arange(errors.shape[1])
        last = max(last, steps[-1])
        colour = {"agreement": drawing.ORANGE, "constant": drawing.GREEN}.get(key, drawing.BLUE)
        drawing.band(axes, steps, errors, colour, label, show=key in limits)
        shown = "closed forms" if key == "constant" else None
        name = label.partition(",")[0]
        drawing.prediction(axes, steps, arrays[f"{key}_predicted"], shown, of=name)
    # What reaches 0 is blue; which is which stands where the curves are far apart.
    at = {"geometric": (last // 8, (3, 2), "bottom"), "power": (last // 4, (-16, -4), "top")}
    for key, label in fading.items():
        step, away, side = at[key]
        height = float(arrays[f"{key}_error"][:, step].mean())
        _write(axes, label, (step, height), away, side, drawing.BLUE)
    for key, name, side in (
        ("agreement", r"$2\rho\sqrt{\rho}$", "bottom"),
        ("constant", r"$2\alpha\sqrt{\rho}$", "top"),
    ):
        limit = float(arrays[f"{key}_limit"])
        drawing.bound(axes, limit, f"limit {name}", show=False)
        _write(axes, name, (0, limit), (3, 2 if side == "bottom" else -2), side, drawing.BLACK)
    drawing.step_axis(axes, last)
    axes.set(ylabel=_ERROR, ylim=(0, 1.03))
    axes.legend(loc="upper right")
