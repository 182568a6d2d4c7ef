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
        drawing.prediction(axes, dense, predicted, "closed forms" if key == "distilled" else None)
    axes.set(xlabel="noise rate ρ", ylabel=r"measure  $\sqrt{2\,u^\top H^{-1}u/n}$")
    axes.set(xlim=(0, dense[-1]), ylim=(0, None))
    axes.legend(loc="upper left")


def test_error(axes: Axes, result: ClaimResult) -> None:
    """From which noise rate on is no stopping time as good as self-distillation?"""
    arrays = result.arrays
    if "sweep_rate" not in arrays:
        return
    rates, limits = arrays["sweep_rate"], arrays["sweep_limit"].mean(axis=1)
    errors = arrays["sweep_error"].mean(axis=1)
    for column, (colour, marker, label) in (
        (2, (drawing.ORANGE, "s", "memorised")),
        (1, (drawing.GREEN, "^", "best stopping time")),
        (0, (drawing.BLUE, "o", "self-distilled")),
    ):
        trained = arrays["sweep_trained_rate"]
        drawing.dots(axes, trained, errors[:, column], colour, label, marker)
        limit = limits[:, column]
        drawing.prediction(axes, rates, limit, None if column else "kernel limit")
    axes.set(xlabel="noise rate ρ", ylabel="test error, mean over data sets")
    axes.set(xlim=(0, rates[-1] * 1.03), ylim=(0, None))
    axes.legend(loc="upper left")


def stopping_time(axes: Axes, result: ClaimResult) -> None:
    """Is there a time at which stopping is as good as self-distillation that is never stopped?"""
    arrays = result.arrays
    if "time" not in arrays:
        return
    time = arrays["time"]
    drawing.band(axes, time, arrays["plain_error"], drawing.ORANGE, "plain training, stopped")
    ends = np.repeat(arrays["distilled_error"][:, None], time.size, axis=1)
    drawing.band(axes, time, ends, drawing.BLUE, "self-distillation, at its end")
    drawing.prediction(axes, time, arrays["plain_error_limit"].mean(axis=0), "kernel limit")
    level = np.full(time.size, arrays["distilled_error_limit"].mean())
    drawing.prediction(axes, time, level)
    axes.set(xlabel="stopping time, share of the run", xscale="log", xlim=(time[0], 1))
    axes.set(ylabel="test error", ylim=(0, None))
    axes.legend(loc="upper center")
