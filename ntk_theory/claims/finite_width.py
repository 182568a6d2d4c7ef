"""The law of finite width: how nets scatter about the kernel limit (docs/theory.md, section 9.6).

Hundreds of nets of each width are trained. What they are off by is held against a Gaussian law,
whose covariance over points and steps and whose mean follow from draws of weights at the start.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import over_nets
from ntk_theory.checking.fitting import at_infinite_width
from ntk_theory.checking.rows import Array

if TYPE_CHECKING:
    from ntk_theory.checking.nets import WidthResult

CLAIM = nt.Claim(
    "finite-width",
    statement="""A net of width m deviates from the kernel limit by m^{-1/2} times a Gaussian
    process over points and steps, whose covariance and mean follow from draws of the weights at the
    start; so do the laws of the largest deviation, of the final error and of the first wrong step,
    and the share of nets that some stopping time brings below 2ρ.""",
    formulas=(
        "u_m(t) = u(t) + m^{-1/2} (μ_t + G_t) + O(m^{-3/4})",
        "G_{t+1} = G_t − ηH ∂r_t[G] − η Ξ r_t,  Ξ = lim √m (H_m(0) − H), Gaussian",
        "μ_{t+1} = μ_t − ηH ∂r_t[μ] + b_t,  b_t of neurons within O(m^{-1/2}) of a hyperplane",
    ),
    assumptions=(
        "antisymmetric pairs, first layer trained, a fixed number of steps",
        "hard targets: signs right at every step, with more than the nets' scatter left",
        "widths well above the lazy one",
    ),
    derivation="""Given the residuals of the limit neurons do not see each other, so that the
    outputs are a mean of independent terms: a frozen part, of which the central limit theorem makes
    G, and that of the few neurons whose activations change, whose mean is of the same order. The
    net responds to both by its own linearised recursion (section 9.6).""",
    source="derivation: docs/theory.md, section 9.6; not in arXiv 1910.01255",
    presets={
        "quick": nt.Sweep(256, 4096, 5, nets=150),
        "standard": nt.Sweep(512, 2**17, 5, nets=200),
        "thorough": nt.Sweep(512, 2**17, 9, nets=800),
    },
    least_nets=100,
)
CLAIM.problem(
    nt.noisy_clusters,
    defaults={"clusters": 4, "points": 5, "ratio": 12.0, "noise_rate": 0.2},
    fixed={"share": None, "noise_times": 1, "held_out": 0, "init_scale": None},
)
CLAIM.on_data(by="ntk_theory.claims._finite_width_own_data:OWN_DATA")

DISTILLED, PLAIN, FAST = "self-distillation", "plain training", "plain training, ηλ_0 = 1"

_MORE = 4
"""Times as many nets of plain training, whose variance is looked at."""

_DRAWS, _NEAR = 2000, 2048
"""Nets drawn from the law, and neurons near each hyperplane, by four."""

_STEPS, _SEEN = 8, 1e-6
"""Steps that are looked at, and the least variance of a direction over that of the first."""

_RISK = 1e-7
"""Probability that nets of the law miss the tolerance of a row, each."""

_FACTOR = 1.1
"""Of the covariance in a control."""


class Law(NamedTuple):
    """Draws of nets, and what standardises their deviations.

    Attributes:
        draws: √m times deviations, mean and scatter, shape (B, T + 1, n).
        limit: shape (T + 1, n).
        steps: that are looked at.
        whiten: independent numbers of variance 1 are made of the scatter by it, shape (k n, K).
        mean: of these numbers, shape (K,).
    """

    draws: Array
    limit: Array
    steps: Array
    whiten: Array
    mean: Array

    def outputs(self, width: int) -> Array:
        """Of nets of some width, shape (B, T + 1, n)."""
        return self.limit + self.draws / math.sqrt(width)

    def coordinates(self, made: WidthResult) -> Array:
        """Standardised deviations of nets from their mean, shape (S, K)."""
        off = math.sqrt(made.width) * (made.outputs() - self.limit)[:, self.steps]
        return np.asarray(off.reshape(len(off), -1) @ self.whiten - self.mean)


def _law(run: nt.Run, name: str, *, other_layers: bool = False) -> Law:
    """Law of a training; draws go with the seed of its nets."""
    from ntk_theory.checking.laws import law_of

    law = law_of(run.trainings[name], run.nets.seed, count=_DRAWS, draws=_NEAR,
                 other_layers=other_layers).of  # fmt: skip
    scatter, limit, mean = law.scatter[..., 0], law.limit[..., 0], law.mean[..., 0]
    steps = np.unique(np.round(np.geomspace(1, len(limit) - 1, _STEPS)).astype(int))
    size = np.sqrt(np.square(scatter[:, steps]).mean(axis=(0, 2)))  # every step counts alike
    size = np.repeat(size, limit.shape[1])[:, None]
    flat = scatter[:, steps].reshape(_DRAWS, -1) / size.T
    values, vectors = np.linalg.eigh(flat.T @ flat / _DRAWS)
    kept = values > _SEEN * values[-1]
    whiten = vectors[:, kept] / np.sqrt(values[kept]) / size
    return Law(scatter + mean, limit, steps, whiten, mean[steps].reshape(-1) @ whiten)


def _of(run: nt.Run, name: str) -> Law:
    """The same, made once in a run."""
    if name not in run.notes:
        run.notes[name] = _law(run, name)
    law: Law = run.notes[name]
    return law


@CLAIM.trainings
def trainings(problem: nt.NoisyClusters) -> Iterator[nt.Training]:
    """Both ways at the ends of the run's widths, and a few steps that end next to 2ρ."""

    def ends(run: Sequence[int]) -> tuple[int, ...]:
        return run[0], run[-1]

    yield problem.distilled_training(DISTILLED, widths=ends)
    yield problem.plain_training(PLAIN, widths=ends, nets=lambda count: _MORE * count)
    fast = replace(problem, learning_rate=1 / problem.spectrum.mean, steps=4)
    yield fast.plain_training(FAST)


def _at_most(
    name: str, measured: float, reach: float, resolution: float = np.inf
) -> nt.Measurement:
    return nt.Measurement(name, 0.0, measured, reach, resolution=resolution,
                          relation=nt.Relation.AT_MOST)  # fmt: skip


def _apart(name: str, seen: Array, drawn: Array) -> nt.Measurement:
    """Kolmogorov's and Smirnov's distance of nets to draws of the law, in any number of theirs."""
    from scipy.stats import ks_2samp, kstwobign

    reach = float(kstwobign.isf(_RISK)) * math.sqrt(1 / len(seen) + 1 / len(drawn))
    found = float(ks_2samp(seen, drawn, method="asymp").statistic)
    return _at_most(f"{name}: largest distance of distribution functions", found, reach, 0.25)


def _variance(run: nt.Run, law: Law) -> tuple[float, float]:
    """Mean square of standardised deviations, extrapolated in m^{-1/2} to ∞, and its tolerance."""
    from scipy.special import stdtrit

    made = run.results[PLAIN]
    squares = [np.square(law.coordinates(one)).mean(axis=1) for one in made]
    found, error, free = at_infinite_width([one.width for one in made], squares)
    reach = error * float(stdtrit(free, 1 - _RISK / 2))
    # The variances of the law itself are those of a sample, in as many directions.
    return found, reach + 5 * math.sqrt(2 / (_DRAWS * law.mean.size))


def _squared_mean(run: nt.Run, name: str, law: Law) -> tuple[float, float]:
    """Squared length of the nets' mean, as m → ∞, over its variance; and that of the law.

    The mean is extrapolated in m^{-1/2} from both widths. Under the law the first is chi-squared.
    """
    made = run.results[name]
    near, far = (one.width**-0.5 for one in reversed(made))
    narrow, wide = (law.coordinates(one).mean(axis=0) for one in made)
    weight = near / (far - near)
    mean = wide + weight * (wide - narrow)
    variance = ((1 + weight) ** 2 + weight**2) / len(made[0].outputs())
    return float(np.square(mean).sum()) / variance, float(np.square(law.mean).sum()) / variance


def _single_outputs(law: Law, made: WidthResult, point: int) -> Iterator[nt.Measurement]:
    """Whether the final output of a point is Gaussian, with the mean and variance of the law."""
    from scipy.stats import cramervonmises, kstest, kstwo

    drawn = law.draws[:, -1, point]
    off = math.sqrt(made.width) * (made.outputs() - law.limit)[:, -1, point]
    standard = (off - drawn.mean()) / drawn.std()
    found, reach = float(kstest(standard, "norm").statistic), float(kstwo.isf(_RISK, off.size))
    yield _at_most(f"final output of point {point}: distance to the normal distribution function",
                   found, reach, 0.25)  # fmt: skip
    likely = float(cramervonmises(standard, "norm").pvalue)
    yield nt.Measurement(f"final output of point {point}: probability of a larger statistic of "
                         "Cramér and von Mises", _RISK, likely, 0.0,
                         relation=nt.Relation.AT_LEAST)  # fmt: skip


def _functionals(problem: nt.NoisyClusters, law: Law) -> dict[str, Callable[[Array], Array]]:
    """Numbers of a net, from outputs (S, T + 1, n)."""
    clean = problem.dataset.clean
    return {
        "sup over t of the deviation":
            lambda u: np.sqrt(np.square(u - law.limit).mean(axis=2)).max(axis=1),
        "final error": lambda u: np.sqrt(np.square(u[:, -1] - clean).mean(axis=1)),
        "first wrong step": lambda u: ((u * clean)[:, 1:] <= 0).any(axis=2).argmax(axis=1),
    }  # fmt: skip


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """Covariance and mean, distributions, and who comes below 2ρ."""
    from scipy.stats import chi2

    problem, flipped = run.problem, run.problem.dataset.flipped
    found, reach = _variance(run, _of(run, PLAIN))
    yield nt.Measurement(
        f"{PLAIN}: variance over that of the law, all directions, as m → ∞", 1.0, found, reach,
        resolution=_FACTOR - 1,
    )  # fmt: skip
    for name in (DISTILLED, PLAIN):
        law, widest = _of(run, name), run.widest(name)
        yield _at_most(
            f"{name}: squared length of the nets' mean less the law's, as m → ∞, over its variance",
            _squared_mean(run, name, law)[0], float(chi2.isf(_RISK, law.mean.size)),
        )  # fmt: skip
        for point in (int(flipped.argmax()), int((~flipped).argmax())):
            for row in _single_outputs(law, widest, point):
                yield replace(row, name=f"{name}: {row.name}")
        for what, of in _functionals(problem, law).items():
            if name == PLAIN or what != "first wrong step":
                seen, drawn = of(widest.outputs()), of(law.outputs(widest.width))
                yield _apart(f"{name}: {what}", seen, drawn)
    law = _of(run, FAST)

    def below(outputs: Array) -> Array:
        error = np.sqrt(np.square(outputs - problem.dataset.clean).mean(axis=2))
        return np.asarray(error.min(axis=1) < 2 * problem.noise_rate, dtype=float)

    for one in run.results[FAST]:
        share, seen = float(below(law.outputs(one.width)).mean()), below(one.outputs())
        spread = math.sqrt(max(share * (1 - share), 1 / _DRAWS) * (1 / seen.size + 1 / _DRAWS))
        # 5.4 standard errors, and one net: a binomial law is not quite Gaussian.
        yield over_nets(f"{FAST}: share of nets of width {one.width} below 2ρ", share, seen,
                        5.4 * spread + 1 / seen.size, resolution=0.25)  # fmt: skip


@CLAIM.controls
def controls(_: nt.NoisyClusters) -> Iterator[nt.Control]:
    """Three wrong laws, which the claim's own nets do not obey."""

    def wider(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        found, off = _variance(run, _of(run, PLAIN))[0] / _FACTOR, (1 - 1 / _FACTOR) / 2
        return nt.Measurement("variance over that of the law", 1 / _FACTOR, found, off), 1.0, off

    def without_mean(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        law = _of(run, PLAIN)
        count, shift = law.mean.size, _squared_mean(run, PLAIN, law)[1]
        seen, _ = _squared_mean(run, PLAIN, law._replace(mean=np.zeros(count)))
        name = "squared length of the nets' mean, as m → ∞, over its variance"
        return nt.Measurement(name, count + shift, seen, shift / 2), float(count), shift / 2

    def both_layers(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        right, wrong = _of(run, PLAIN), _law(run, PLAIN, other_layers=True)
        drawn = right.draws[:, right.steps].reshape(_DRAWS, -1) @ wrong.whiten
        predicted = float(drawn.var(axis=0).mean())
        off = abs(1 - predicted) / 2
        found = _variance(run, wrong._replace(mean=drawn.mean(axis=0)))[0]
        return nt.Measurement("variance over that of the law", predicted, found, off), 1.0, off

    for id_, broken, wrong in (
        ("covariance", f"G has the covariance of Ξ: here {_FACTOR:g} times that", wider),
        ("mean", "neurons next to a hyperplane add a mean: here it is left out", without_mean),
        ("both-layers", "Ξ is that of the layer that is trained: here of both", both_layers),
    ):
        yield nt.Control(id_, broken, measure=wrong)


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Variance as m → ∞, and the share of nets below 2ρ."""
    found, reach = _variance(run, _of(run, PLAIN))
    return (
        f"{_MORE * run.nets.count} nets of widths {run.nets.widths[0]} and {run.nets.widths[-1]} "
        f"scatter with {found:.3f} times the predicted variance as m → ∞, predicted 1 ± "
        f"{reach:.2g}; mean, distributions and the share of nets below 2ρ are those of the law"
    )


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Array]:
    """√m times the standard deviation of an output, of the widest nets and of the law."""
    found: dict[str, Array] = {}
    for name in (DISTILLED, PLAIN):
        if len(run.results.get(name, ())) == 2:
            law, widest = _of(run, name), run.widest(name)
            found["steps"] = np.arange(float(len(law.limit)))
            for what, outputs in (("nets", widest.outputs()), ("law", law.outputs(widest.width))):
                spread = np.sqrt(widest.width * outputs.var(axis=0).mean(axis=1))
                found[f"scatter of {name}: {what}"] = spread
    return found


def _scatter(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """How far do nets of one width scatter, step by step?"""
    arrays, drawing = result.arrays, nt.drawing
    if "steps" not in arrays:
        return
    for name, colour, label in ((PLAIN, drawing.ORANGE, "law"), (DISTILLED, drawing.BLUE, None)):
        drawing.line(axes, arrays["steps"], arrays[f"scatter of {name}: nets"], colour, name)
        law = arrays[f"scatter of {name}: law"]
        drawing.prediction(axes, arrays["steps"], law, label, of=name)
    axes.set(xlabel="step $t$", ylabel=r"$\sqrt{m}$ × standard deviation of an output")
    axes.set(xlim=(0, arrays["steps"][-1]), ylim=(0, None))
    axes.legend(loc="lower right")


CLAIM.panels = {"scatter": _scatter}
