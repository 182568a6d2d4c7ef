"""Initial outputs, signs, final errors and widths against the predicted distribution."""

from __future__ import annotations

__all__ = ["DEVIATES", "measurements"]

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.initialisation.kernel_limit import kernel_rows
from ntk_theory.claims.initialisation.law import Law, law_of_scale
from ntk_theory.claims.initialisation.nets import SMALLEST, Found, rms
from ntk_theory.claims.initialisation.plan import PAIRS, SAMPLES
from ntk_theory.fitting import fit_power_law
from ntk_theory.ladder import falling_row
from ntk_theory.runs import over_nets
from ntk_theory.verdicts import Measurement

Array = NDArray[np.float64]

DEVIATES = 3.9
"""Half-width of a random row in standard errors: a right mean is missed once in 10⁴ rows."""


# ---------------------------------------------------------------- initial outputs


def _size(name: str, predicted: float, squares: Array, extra: float) -> Measurement:
    """Root of a mean over nets of squares, with its standard error by the delta method.

    Args:
        name: what is measured.
        predicted: closed form.
        squares: mean square of each net, shape (S,).
        extra: allowance for the finite width.
    """
    size = float(np.sqrt(squares.mean()))
    error = float(squares.std(ddof=1)) / math.sqrt(squares.size) / (2 * size)
    interval = (float(np.sqrt(squares.min())), float(np.sqrt(squares.max())))
    tolerance = DEVIATES * error + extra
    # A quarter tells a standard deviation from √2 times it, or from its half.
    return Measurement(name, predicted, size, tolerance, interval, resolution=predicted / 4)


def _start_rows(found: Found) -> list[Measurement]:
    """The initial output has the size σ √κ_1(0), and shrinks in the burn-in as the modes do."""
    plan, nets = found.plan, found.plain
    start = plan.burn_in
    squares = np.concatenate([np.square(one.initial / one.scale).mean(axis=1) for one in nets])
    logs = np.concatenate([np.log(rms(one.initial)) for one in nets])
    scales = np.concatenate([np.full(len(one.initial), math.log(one.scale)) for one in nets])
    slope, covariance = np.polyfit(scales, logs, 1, cov=True)
    widest = found.at(plan.large)[-1]
    left = np.square((widest.early - plan.zero_start[start]) / plan.large).mean(axis=1)
    spread = float(plan.spread[start])
    deviation = found.deviation(widest.width) / plan.large
    return [
        _size("RMS initial output / scale", float(plan.spread[0]), squares, 0.0),
        Measurement(
            "exponent of the initial output in the scale",
            1.0,
            float(slope[0]),
            DEVIATES * math.sqrt(covariance[0, 0]),
            resolution=0.25,
        ),
        _size(
            f"RMS of what is left of it after {start} steps / scale",
            spread,
            left,
            math.hypot(spread, deviation) - spread,
        ),
    ]


def _own_start(found: Found) -> Measurement:
    """The rest is not random: each net follows the recursion from its own initial output.

    Half the spread over nets tells its own start from another net's.
    """
    plan, deviations = found.plan, found.own_deviations()
    start, widths = plan.burn_in, plan.nets.widths
    fitted = fit_power_law(widths[:-1], deviations[:-1], rng=np.random.default_rng(plan.nets.seed))
    return over_nets(
        f"scale {plan.large:g}: deviation from the recursion from a net's own start, {start} steps",
        0.0,
        deviations[-1],
        fitted.upper(widths[-1]),
        plan.large * float(plan.spread[start]) / 2,
    )


# ---------------------------------------------------------------- scales


def _next(values: list[float], index: int) -> float:
    """Half the difference to the scale twice as large; of the largest, to half as large."""
    return abs(values[index] - values[index - 1 if index else 1]) / 2


def _scale_rows(found: Found) -> Iterator[Measurement]:
    """Signs after the burn-in, final errors and recovered nets of every scale.

    Standard errors are those of the predicted distribution, of the nets and of its own draws. The
    deviation of a net of finite width is, to leading order, centred and independent of its initial
    output: it acts as a somewhat larger one.
    """
    plan, laws = found.plan, found.laws
    clean = plan.problem.dataset.clean
    shares = [plan.early_share(scale) for scale in plan.scales]
    for index, scale in enumerate(plan.scales[:-1]):
        here = found.at(scale)
        early = np.concatenate([(one.early * clean <= 0).mean(axis=1) for one in here])
        deviation = found.deviation(min(one.width for one in here))
        # One wrong sign more than none, as few of them are not normally distributed.
        allowed = plan.early_share(scale, deviation) - shares[index] + 1 / early.size / clean.size
        allowed += DEVIATES * float(laws[index].early.std()) / math.sqrt(early.size)
        name = f"scale {scale:g}: share of wrong signs after {plan.burn_in} steps"
        yield over_nets(name, shares[index], early, allowed, _next(shares, index))
        if scale >= plan.large / 2:  # below, hardly any net fails: a mean of very few
            yield from _final_rows(found, index, law_of_scale(plan, scale, deviation))


def _final_rows(found: Found, index: int, wider: Law) -> Iterator[Measurement]:
    """Error and recovered labels at the end, at one scale; `wider` allows for the finite width."""
    plan, laws = found.plan, found.laws
    clean, law, scale = plan.problem.dataset.clean, laws[index], plan.scales[index]
    final = np.concatenate([one.final for one in found.at(scale)])
    means = [float(one.error.mean()) for one in laws]
    recovered = [float(one.recovered.mean()) for one in laws]
    deviates = DEVIATES * math.sqrt(1 / len(final) + 1 / SAMPLES)
    yield over_nets(
        f"scale {scale:g}: final RMS error",
        means[index],
        rms(final - clean),
        deviates * float(law.error.std()) + abs(float(wider.error.mean()) - means[index]),
        _next(means, index),
    )
    if scale > plan.large:
        return
    yield Measurement(
        f"scale {scale:g}: share of nets with every sign right at the end",
        recovered[index],
        float((final * clean > 0).all(axis=1).mean()),
        deviates * float(law.recovered.std())
        + 1 / len(final)
        + abs(float(wider.recovered.mean()) - recovered[index]),
        # Of the large scale and its half, each is told from the other.
        resolution=abs(recovered[1] - recovered[2]) / 2,
    )


# ---------------------------------------------------------------- widths


def _width_row(found: Found) -> Measurement:
    """A wider net does not help a large scale.

    The slope of the mean error in log2 m is a weighted sum of independent means. The law m^{-1/2}
    would lose 1 − 1/√2 of the error an octave; half of that tells it from none.
    """
    plan, law = found.plan, found.laws[1]
    here, clean = found.at(plan.large), plan.problem.dataset.clean
    octaves = np.log2([one.width for one in here])
    centred = (octaves - octaves.mean()) / np.square(octaves - octaves.mean()).sum()
    means = np.array([rms(one.final - clean).mean() for one in here])
    error = float(law.error.std()) / math.sqrt(plan.nets.count) * float(np.linalg.norm(centred))
    return Measurement(
        f"scale {plan.large:g}: change of the mean final error per octave of width",
        0.0,
        float(centred @ means),
        DEVIATES * error,
        resolution=float(law.error.mean()) * (1 - math.sqrt(0.5)) / 2,
    )


def _pair_rows(found: Found) -> list[Measurement]:
    """Pairs need no small scale. Half the error tells it from 0 and from its double."""
    widest = found.pairs.rungs[PAIRS][-1]
    predicted = float(found.plan.problem.distilled.rms_error()[-1])
    return [
        over_nets(
            f"{PAIRS}: final RMS error",
            predicted,
            widest.error[:, -1],
            found.pairs.allowance(PAIRS, lambda rung: rung.deviation[:, -1]),
            predicted / 2,
        ),
        Measurement(
            f"{PAIRS}: 0-1 error, worst of the widest nets",
            0.0,
            float(widest.zero_one.max()),
            0.0,
        ),
    ]


def _small_rows(found: Found) -> list[Measurement]:
    """The smallest scale ends where the zero start does, with every sign right.

    Half the error tells it from 0 and from its double; half the noise rate tells the margin from
    that of the best stopping.
    """
    plan, ladder = found.plan, found.small
    rungs, predicted = ladder.rungs[SMALLEST], plan.problem.distilled
    name, error = f"scale {plan.small:g}", float(predicted.rms_error()[-1])
    remainder = plan.small * float(plan.spread[-1])
    return [
        over_nets(
            f"{name}: final RMS error",
            error,
            rungs[-1].error[:, -1],
            ladder.allowance(SMALLEST, lambda rung: rung.deviation[:, -1]) + remainder,
            error / 2,
        ),
        over_nets(
            f"{name}: margin at the end",
            float(predicted.margin()[-1]),
            rungs[-1].margin,
            ladder.allowance(SMALLEST, lambda rung: rung.worst_deviation[:, -1]) + remainder,
            plan.problem.noise_rate,
        ),
        Measurement(
            f"{name}: 0-1 error, worst net of all widths",
            0.0,
            max(float(rung.zero_one.max()) for rung in rungs),
            0.0,
        ),
    ]


def _falling(found: Found) -> Iterator[Measurement]:
    """The deviations fall with the width, as they would not from a prediction that is off.

    Those of plain nets are taken from the recursion from a net's own initial output: what is left
    of that does not fall with the width.
    """
    plan, start = found.plan, found.plan.burn_in
    early = f"{PAIRS}, {start} steps"
    yield found.pairs.falling_row(PAIRS, early, lambda rung: rung.deviation[:, start])
    yield found.pairs.falling_row(PAIRS, f"{PAIRS}, at the end", lambda rung: rung.deviation[:, -1])
    yield falling_row(
        plan.nets.widths,
        found.own_deviations(),
        f"scale {plan.large:g}, from nets' own starts, {start} steps",
    )
    yield falling_row(
        plan.small_widths,
        found.small_deviations(),
        f"scale {plan.small:g}, from nets' own starts, at the end",
    )


def measurements(found: Found) -> Iterator[Measurement]:
    """All rows of the claim."""
    yield from kernel_rows(found)
    yield from _start_rows(found)
    yield _own_start(found)
    yield from _scale_rows(found)
    yield _width_row(found)
    yield from _pair_rows(found)
    yield from _small_rows(found)
    yield from _falling(found)
