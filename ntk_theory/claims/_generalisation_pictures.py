"""Pictures of `generalisation`: the measure and the test error over the noise, and over time."""

from __future__ import annotations

__all__ = ["measure", "stopping_time", "test_error"]

from typing import TYPE_CHECKING

import numpy as np

import ntk_theory as nt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.verdicts import ClaimResult


def measure(axes: Axes, result: ClaimResult) -> None:
    """What does memorising wrong labels cost in norm, and what does self-distillation?"""
    arrays, drawing = result.arrays, nt.drawing
    if "cluster_rate" not in arrays:
        return
    dense = arrays["predicted_rate"]
    drawing.bound(axes, float(arrays["clean_measure"]), "clean labels")
    for way, colour, marker, label, dashed in (
        ("plain training", drawing.ORANGE, "s", "memorised", None),
        ("self-distillation", drawing.BLUE, "o", "self-distilled", "closed forms"),
    ):
        dots = arrays[f"measure of {way}"]
        drawing.dots(axes, arrays["cluster_rate"], dots, colour, label, marker)
        drawing.prediction(axes, dense, arrays[f"predicted measure of {way}"], dashed, of=label)
    axes.set(xlabel="noise rate ρ", ylabel=r"measure  $\sqrt{2\,u^\top H^{-1}u/n}$")
    top = 1.4 * float(arrays["predicted measure of plain training"].max())
    axes.set(xlim=(0, dense[-1]), ylim=(0, top))  # the legend stands above the curve
    axes.legend(loc="upper left")


def test_error(axes: Axes, result: ClaimResult) -> None:
    """From which noise rate on is no stopping time as good as self-distillation?"""
    arrays, drawing = result.arrays, nt.drawing
    if "sweep_rate" not in arrays:
        return
    rates, reached = arrays["sweep_rate"], arrays["sweep_limit"].mean(axis=1)
    trained, errors = arrays["sweep_trained_rate"], arrays["sweep_error"]
    for column, colour, marker, label, side in (
        (2, drawing.ORANGE, "s", "memorised", "center"),
        (1, drawing.GREEN, "^", "best stopping", "bottom"),
        (0, drawing.BLUE, "o", "self-distilled", "top"),
    ):
        drawing.means(axes, trained, errors[..., column], colour, label, marker)
        limit, dashed = reached[:, column], None if column else "kernel limit"
        drawing.prediction(axes, rates, limit, dashed, of=label)
        drawing.at_the_end(axes, rates[-1], limit[-1], label, side)
    axes.set(xlabel="noise rate ρ", ylabel="test error, mean ± standard error")
    axes.set(xlim=(0, rates[-1] * 1.03), ylim=(0, None))
    axes.legend(loc="upper left")


def stopping_time(axes: Axes, result: ClaimResult) -> None:
    """Is there a time at which stopping is as good as self-distillation that is never stopped?"""
    arrays, drawing = result.arrays, nt.drawing
    if "time" not in arrays:
        return
    time = arrays["time"]
    level = np.repeat(arrays["distilled"][..., None], time.size, axis=-1)
    for (nets, limit), colour, label, dashed in (
        (arrays["stopped"], drawing.ORANGE, "plain training, stopped", "kernel limit"),
        (level, drawing.BLUE, "self-distillation, at its end", None),
    ):
        drawing.band(axes, time, nets, colour, label)
        drawing.prediction(axes, time, limit.mean(axis=0), dashed, of=label)
    axes.set(xlabel="stopping time, share of the run", xscale="log", xlim=(time[0], 1))
    axes.set(ylabel="test error", ylim=(0, None))
    axes.legend(loc="upper center")
