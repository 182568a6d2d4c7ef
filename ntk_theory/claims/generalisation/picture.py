"""Pictures of `generalisation`: the measure and the test error over the noise, and over time."""

from __future__ import annotations

__all__ = ["measure", "stopping_time", "test_error"]

import numpy as np
from matplotlib.axes import Axes

from ntk_theory import drawing
from ntk_theory.verdicts import ClaimResult


def measure(axes: Axes, result: ClaimResult) -> None:
    """What does memorising wrong labels cost in norm, and what does self-distillation?"""
    arrays = result.arrays
    if "cluster_rate" not in arrays:
        return
    rates, dense = arrays["cluster_rate"], arrays["predicted_rate"]
    drawing.bound(axes, float(arrays["clean_measure"]), "clean labels")
    for key, colour, marker, label in (
        ("plain", drawing.ORANGE, "s", "memorised"),
        ("distilled", drawing.BLUE, "o", "self-distilled"),
    ):
        drawing.dots(axes, rates, arrays[f"{key}_measure"], colour, label, marker)
        predicted = arrays[f"{key}_predicted_measure"]
        dashed = "closed forms" if key == "distilled" else None
        drawing.prediction(axes, dense, predicted, dashed, of=label)
    axes.set(xlabel="noise rate ρ", ylabel=r"measure  $\sqrt{2\,u^\top H^{-1}u/n}$")
    # The legend stands above the curve.
    axes.set(xlim=(0, dense[-1]), ylim=(0, 1.4 * float(arrays["plain_predicted_measure"].max())))
    axes.legend(loc="upper left")


def test_error(axes: Axes, result: ClaimResult) -> None:
    """From which noise rate on is no stopping time as good as self-distillation?"""
    arrays = result.arrays
    if "sweep_rate" not in arrays:
        return
    rates, limits = arrays["sweep_rate"], arrays["sweep_limit"].mean(axis=1)
    trained, errors = arrays["sweep_trained_rate"], arrays["sweep_error"]
    for column, (colour, marker, label, side) in (
        (2, (drawing.ORANGE, "s", "memorised", "center")),
        (1, (drawing.GREEN, "^", "best stopping", "bottom")),
        (0, (drawing.BLUE, "o", "self-distilled", "top")),
    ):
        drawing.means(axes, trained, errors[..., column], colour, label, marker)
        limit, dashed = limits[:, column], None if column else "kernel limit"
        drawing.prediction(axes, rates, limit, dashed, of=label)
        drawing.at_the_end(axes, rates[-1], limit[-1], label, side)
    axes.set(xlabel="noise rate ρ", ylabel="test error, mean ± standard error")
    axes.set(xlim=(0, rates[-1] * 1.03), ylim=(0, None))
    axes.legend(loc="upper left")


def stopping_time(axes: Axes, result: ClaimResult) -> None:
    """Is there a time at which stopping is as good as self-distillation that is never stopped?"""
    arrays = result.arrays
    if "time" not in arrays:
        return
    time = arrays["time"]
    stopped, distilled = "plain training, stopped", "self-distillation, at its end"
    drawing.band(axes, time, arrays["plain_error"], drawing.ORANGE, stopped)
    ends = np.repeat(arrays["distilled_error"][:, None], time.size, axis=1)
    drawing.band(axes, time, ends, drawing.BLUE, distilled)
    limit = arrays["plain_error_limit"].mean(axis=0)
    drawing.prediction(axes, time, limit, "kernel limit", of=stopped)
    level = np.full(time.size, arrays["distilled_error_limit"].mean())
    drawing.prediction(axes, time, level, of=distilled)
    axes.set(xlabel="stopping time, share of the run", xscale="log", xlim=(time[0], 1))
    axes.set(ylabel="test error", ylim=(0, None))
    axes.legend(loc="upper center")
