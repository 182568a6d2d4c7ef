"""Claims C6 and C7: what self-distillation does for unseen points (docs/theory.md, 7.9 and 7.10).

On noisy clusters the distance from initialisation, the generalisation measure and a margin bound of
trained nets are held against closed forms. On Gaussian clusters, overlapping ones and a power law
their accuracy on fresh points is held against the kernel limit with the measured Gram matrix, and
the side on which self-distillation ends up against the measured spectrum.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import ntk_theory as nt
from ntk_theory.checking.evidence import RISKS, falling_row, over_nets
from ntk_theory.checking.fitting import mean_bound
from ntk_theory.checking.functionals import Array, learned_measure, margins
from ntk_theory.claims import _generalisation_families as families

CLAIM = nt.Claim(
    "generalisation",
    statement="""Self-distilled nets stay as near to their start as clean labels allow, where
    memorising takes them farther away the more noise there is; on fresh points they need no
    stopping time to be ahead of the memorised net; they are ahead of the best stopping time on
    Gaussian clusters at ρ = 0.4, whose measured spectrum separates information from noise, and, in
    the kernel limit, which nets follow within their scatter, behind it on overlapping clusters and
    power laws, whether or not the spectrum separates the two.""",
    formulas=(
        "‖W_T − W_0‖² = uᵀH⁻¹u = n[(1+E)²/λ_+ + 4ρ(1−ρ)q²/λ_−]",
        "measure √(2uᵀH⁻¹u/n): √(2/λ_+) for clean labels, 4ρ(1−ρ)/λ_− more under the root if noisy",
        "P(wrong) <= share with margin <= γ  +  measure/γ  +  √(log(1/δ)/2n)",
        "separated: r_eff = (tr H⁻¹/n)‖y‖²/(yᵀH⁻¹y) > r* = 1 + 1/(1 − ρC/(C−1))",
    ),
    assumptions=(
        "for the norms: those of `convergence`, on equicorrelated clusters",
        "for the bound: independent training points, and a norm and a margin fixed beforehand",
        "for the families: schedule and stopping times in units of the measured spectrum",
        "for the lead over every stopping time: r_eff > r* on the training points",
        "which does not suffice: a power law of exponent 2 has it, and stopping is ahead",
        "and enough noise: ρ = 0.4 here; below some 0.15 the best stopping time is ahead",
    ),
    derivation="""Linearised, the weights that produce outputs u are W_0 + J'H^-1 u, whose distance
    from W_0 is sqrt(u'H^-1 u); on clusters the three numbers of section 7.2 give it, and the
    measure. The bound is that of the Rademacher complexity of a ball, proved in section 7.9 with
    its constants for the kernel limit; it is evaluated at the nets' norm and margin, not claimed
    for them. Off the symmetric design accuracy has no closed form: the recursion with the measured
    kernel predicts it, and r_eff, the squared measure of noise over that of the clean labels, its
    side (section 7.10, a heuristic).""",
    source="""arXiv 1910.01255, abstract, claims C6 and C7; derivation: docs/theory.md, sections 7.9
    and 7.10""",
    paper_claims={
        "C6": "norm and measure of self-distilled and memorised nets; the bound on the test error "
        "that they and the margin enter is often vacuous",
        "C7": "synthetic data, no images: ahead of the memorised net on three families; of the "
        "best stopping time on one, Gaussian clusters, behind it on overlapping ones and on two "
        "power laws, so that stopping is needed there",
    },
    presets={
        "quick": nt.Sweep(128, 2048, 5, nets=12),
        "standard": nt.Sweep(128, 4096, 6, nets=18),
        "thorough": nt.Sweep(256, 16384, 7, nets=24),
    },
    # With 3 nets a width, a distance fails to come nearer in 6 % of all runs; with 8 in 0.5 %.
    least_nets=8,
)
CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 4, "points": 20, "ratio": 20.0, "noise_rate": 0.2},
    fixed={"share": 0.5, "noise_times": 4, "held_out": 0, "init_scale": None},
)
CLAIM.on_data(by="ntk_theory.claims._generalisation_own_data:OWN_DATA")

WAYS = DISTILLED, PLAIN = "self-distillation", "plain training"
DISTANCE, MEASURE = "‖W_T − W_0‖", "measure of the outputs"

_RATE_NETS, _RATE_STREAM = 2, 11
"""Nets on the clusters at each further noise rate, and what keeps them apart from others."""

_RESOLVED = 0.15
"""Relative tolerance that still distinguishes a norm from √2 times it: half of the way."""

_BOUNDS = 10
"""Bounds on norms and margins, besides those of the rows."""


def distance(problem: nt.NoisyClusters, way: str) -> float:
    """Predicted distance from initialisation, at the end of a way of training."""
    return problem.movement(problem.distilled if way == DISTILLED else problem.plain)


def measure_of(problem: nt.NoisyClusters, lengths: ArrayLike) -> Array:
    """Generalisation measure of lengths sqrt(uᵀH⁻¹u)."""
    return nt.predictions.generalisation_measure(lengths, len(problem.gram))


def other_rates(problem: nt.NoisyClusters) -> Iterator[nt.NoisyClusters]:
    """The clusters with half as many wrong labels less and more, where the premises hold."""
    points = problem.spectrum.points
    wrong = round(problem.noise_rate * points)
    few = max(1, wrong // 2)
    counts = [count for count in sorted({few, wrong + few} - {wrong}) if count < points]
    others = (problem.with_noise_rate(count / points) for count in counts)
    return (one for one in others if all(premise.holds for premise in one.premises()))


def trained(problem: nt.NoisyClusters) -> dict[str, tuple[nt.NoisyClusters, str]]:
    """Problem and way of each training, by name."""
    every = {"": problem} | {f" at ρ = {one.noise_rate:.3g}": one for one in other_rates(problem)}
    return {f"{way}{at}": (one, way) for at, one in every.items() for way in WAYS}


@CLAIM.trainings
def trainings(problem: nt.NoisyClusters) -> Iterator[nt.Training]:
    """Both ways, and a few of the widest nets of both at other noise rates."""
    few = {"widths": (-1,), "nets": _RATE_NETS, "stream": _RATE_STREAM}
    for name, (one, way) in trained(problem).items():
        train = one.distilled_training if way == DISTILLED else one.plain_training
        yield train(name, **({} if one is problem else few))


@CLAIM.rows
def rows(problem: nt.NoisyClusters, *trainings: nt.Training) -> Iterator[nt.Row]:
    """Measures of the trained outputs."""
    for training in trainings[:2]:
        predicted = float(measure_of(problem, distance(problem, training.name)))
        yield nt.Row(MEASURE, training, learned_measure(problem.gram), expect=predicted,
                     resolves=_RESOLVED * predicted)  # fmt: skip


def distances(run: nt.Run, name: str) -> list[Array]:
    """‖W_T − W_0‖_F of the nets of each width."""
    return [one.trajectory.distance for one in run.results[name]]


def allowance(run: nt.Run, way: str, nets: int, risk: float) -> float:
    """Relative bound of narrower nets on the mean distance of so many, at a risk of the run."""
    widths, norm = run.nets.widths, distance(run.problem, way)
    off = [one - norm for one in distances(run, way)[:-1]]
    bound = mean_bound(widths, off, widths[-1], run.confidence(_BOUNDS, risk), nets)
    return bound / norm + run.nets.rounding_allowance(widths[-1])


def norms(run: nt.Run, way: str) -> Iterator[nt.Measurement]:
    """How far nets have moved, at other noise rates too, and that what they are off by falls.

    Two nets at another rate are not bounded by narrower ones. A distance deviates by a share of
    itself, and by one that grows with it (section 7.9): at most the larger of 1 and the ratio of
    the distances times what it is at the claim's rate.
    """
    norm = distance(run.problem, way)
    for name, (problem, own) in trained(run.problem).items():
        if own != way:
            continue
        there = distance(problem, way)
        nets, grown = run.nets.count if name == way else _RATE_NETS, max(1.0, there / norm) * there
        tolerance, decisive = (allowance(run, way, nets, risk) * grown for risk in RISKS)
        yield over_nets(f"{name}: {DISTANCE}", there, distances(run, name)[-1], tolerance,
                        _RESOLVED * there, decisive=decisive)  # fmt: skip
    off = [np.abs(one - norm) for one in distances(run, way)]
    yield falling_row(run.nets.widths, off, f"{way}, {DISTANCE}")


def bound(run: nt.Run, way: str) -> nt.Measurement:
    """The margin bound of the kernel limit, evaluated at the nets' own norm and margin.

    It is proved for functions in a ball of the kernel's space, which nets of finite width are not
    (section 7.9): the row says what the bound would come to, and not that it holds for them.
    First-order propagation: the norm enters linearly, the margin γ as 1/γ. It may fail with a
    probability of 5 %.
    """
    problem, points, widest = run.problem, run.trainings[way].points, run.nets.widths[-1]
    learnt = ~problem.dataset.flipped if way == PLAIN else slice(None)

    def of(norm: float, margins: Array) -> float:
        least, scale = float(margins[learnt].min()), float(measure_of(problem, norm))
        below = float((margins < least).mean())
        return nt.predictions.margin_bound(scale, least, len(margins), below, confidence=0.95)

    row = nt.Row("margin", run.trainings[way], lambda u, p: margins(u, p)[..., learnt].min(axis=-1))
    norm, reached = distance(problem, way), margins(run.widest(way).outputs()[:, -1], points)
    predicted = of(norm, margins(points.predicted[-1], points))
    found = list(map(of, distances(run, way)[-1], reached))
    slope = float(measure_of(problem, norm)) / row.predicted
    who, state = "memorised" if way == PLAIN else way, "" if predicted >= 1 else "not "
    name = f"{who}: margin bound of the kernel limit, at the nets' norm and margin ({state}vacuous)"
    off, far = (slope * (allowance(run, way, run.nets.count, risk)
                         + max(run.sides(row, widest, risk=risk)) / row.predicted)
                for risk in RISKS)  # fmt: skip
    return over_nets(name, predicted, found, off, 2 * _RESOLVED * slope, decisive=far)


@CLAIM.measure
def measured(run: nt.Run) -> Iterator[nt.Measurement | nt.Premise]:
    """Norms and bounds on the clusters; if they are right, what nets do on the families."""
    for way in WAYS:
        yield from norms(run, way)
        yield bound(run, way)
    if run.evidence.sound:
        yield from families.measured(run)


CLAIM.work(families.work)


@CLAIM.controls
def controls(problem: nt.NoisyClusters, _: Any, rows: Mapping[str, nt.Row]) -> Iterator[nt.Control]:
    """Each breaks one premise."""
    yield nt.distilled.soft_targets(problem, rows[f"{DISTILLED}: {MEASURE}"])
    yield from families.controls()


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """How far nets move, and leads in accuracy."""
    moved = [f"{distances(run, way)[-1].mean():.4g}" for way in WAYS]
    leads = "; ".join(
        f"{family.name} {memorised - own:+.3f} and {best - own:+.3f}"
        for family in families.FAMILIES
        if family.name in run.notes and family != families.COUNTEREXAMPLE
        for own, best, memorised in [run.notes[family.name].nets[-1].mean(axis=0)]
    )
    return (
        f"nets move {moved[0]} from their start under self-distillation and {moved[1]} when they "
        "memorise; lead in accuracy on fresh points over the memorised net and over the best "
        f"stopping time: {leads}"
    )


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Any]:
    """Measures over the noise rate, of nets and of closed forms; test errors on the families."""
    problem = run.problem
    every = sorted(trained(problem).items(), key=lambda named: named[1][0].noise_rate)
    rates = np.array([one.noise_rate for _, (one, way) in every if way == PLAIN])
    dense = np.linspace(0, 1.1 * rates[-1], 34)
    clean = nt.predictions.linearised_distance(problem.spectrum, 0.0, 0, 0, 0, problem.label_mean)
    found = {"cluster_rate": rates, "predicted_rate": dense,
             "clean_measure": measure_of(problem, clean)}  # fmt: skip
    for way in WAYS:
        moved = [distances(run, name)[-1][:_RATE_NETS] for name, (_, own) in every if own == way]
        curve = [distance(replace(problem, noise_rate=float(rate)), way) for rate in dense]
        found[f"measure of {way}"] = measure_of(problem, moved)
        found[f"predicted measure of {way}"] = measure_of(problem, curve)
    return {**found, **run.notes.get("arrays", {})}


def _measure(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """What does memorising wrong labels cost in norm, and what does self-distillation?"""
    arrays, drawing = result.arrays, nt.drawing
    if "cluster_rate" not in arrays:
        return
    drawing.bound(axes, float(arrays["clean_measure"]), "clean labels")
    for way, colour, marker, label, dashed in (
        (PLAIN, drawing.ORANGE, "s", "memorised", None),
        (DISTILLED, drawing.BLUE, "o", "self-distilled", "closed forms"),
    ):
        nets, curve = arrays[f"measure of {way}"], arrays[f"predicted measure of {way}"]
        drawing.dots(axes, arrays["cluster_rate"], nets, colour, label, marker)
        drawing.prediction(axes, arrays["predicted_rate"], curve, dashed, of=label)
    axes.set(xlabel="noise rate ρ", ylabel=r"measure  $\sqrt{2\,u^\top H^{-1}u/n}$")
    top = 1.4 * float(arrays[f"predicted measure of {PLAIN}"].max())
    axes.set(xlim=(0, arrays["predicted_rate"][-1]), ylim=(0, top))  # the legend is above the curve
    axes.legend(loc="upper left")


def _test_error(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """From which noise rate on is no stopping time as good as self-distillation?"""
    arrays, drawing = result.arrays, nt.drawing
    if "sweep_rate" not in arrays:
        return
    rates, reached = arrays["sweep_rate"], arrays["sweep_limit"].mean(axis=1)
    for column, colour, marker, label, side in (
        (2, drawing.ORANGE, "s", "memorised", "center"),
        (1, drawing.GREEN, "^", "best stopping", "bottom"),
        (0, drawing.BLUE, "o", "self-distilled", "top"),
    ):
        nets, limit = arrays["sweep_error"][..., column], reached[:, column]
        drawing.means(axes, arrays["sweep_trained_rate"], nets, colour, label, marker)
        drawing.prediction(axes, rates, limit, None if column else "kernel limit", of=label)
        drawing.at_the_end(axes, rates[-1], limit[-1], label, side)
    axes.set(xlabel="noise rate ρ", ylabel="test error, mean ± standard error")
    axes.set(xlim=(0, rates[-1] * 1.03), ylim=(0, None))
    axes.legend(loc="upper left")


def _stopping_time(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
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


CLAIM.panels = {"measure": _measure, "test-error": _test_error, "stopping-time": _stopping_time}
