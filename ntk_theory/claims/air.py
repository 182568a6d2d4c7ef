"""Claim C1: information is retrieved before noise (docs/theory.md, sections 6.1 and 6.5).

Nets of growing width are trained on the noisy labels of four designs. Their outputs are projected
on the eigenspaces of the limiting NTK and compared, step by step, with 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import ntk_theory as nt
from ntk_theory.checking.panels import Curves
from ntk_theory.claims._air_designs import Case, Labels
from ntk_theory.problems import lazy_premise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ntk_theory.checking.verdicts import ClaimResult
    from ntk_theory.data import Design
    from ntk_theory.predictions import ClusterSpectrum

Array = NDArray[np.float64]

CLUSTERS, DRAWS = "clusters", 16

CLAIM = nt.Claim(
    "air",
    statement=(
        "Plain training of a wide two-layer ReLU net on noisy labels retrieves their component "
        "along an NTK eigenspace of eigenvalue λ as 1 − (1 − ηλ)^t; as clean labels lean to the "
        "top eigenspaces and noise does not, information is ahead of noise at every step."
    ),
    formulas=(
        "retrieved share of an eigenspace: g_λ(t) = 1 − (1 − ηλ)^t",
        "half-time of noise over that of information = log(1 − ηλ_+) / log(1 − ηλ_−)",
        "R_t(clean) − E R_t(noise) = Σ_i (w_i − 1/n) g_{λ_i}(t) >= 0",
    ),
    assumptions=(
        "zero initial output",
        "η < 1/λ_max, so that no eigenspace overshoots",
        "the top k eigenvectors hold at least k/n of the clean labels' energy, for every k",
        "distinct, not parallel inputs (on a circle: an odd number of points)",
        "nets wide enough that fitting the noise is a small movement",
        "eigenvectors are measured, on all designs; on the power law eigenvalues, too",
    ),
    derivation=(
        "In the kernel limit the outputs are (I − (I − ηH)^t) ỹ, diagonal in the eigenvectors of "
        "H (section 6.1). Summation by parts turns the difference of the two shares into a sum of "
        "the excess of the clean labels' energy in the top k eigenvectors times the steps of g, "
        "which are not negative (section 6.5)."
    ),
    source="arXiv 1910.01255, abstract, claim C1; derivation: docs/theory.md, sections 6.1 and 6.5",
    paper_claims={
        "C1": "eigenspaces of the limiting NTK; labels ±1; clusters, tree, power law and circle"
    },
    presets={
        "quick": nt.Sweep(512, 8192, 5, nets=6),
        "standard": nt.Sweep(512, 2**17, 5, nets=6),
        "wide": nt.Sweep(1024, 2**20, 6, nets=4),
        "thorough": nt.Sweep(512, 2**18, 10, nets=8),
    },
    control_nets=4,
)
CLAIM.preset("cifar-mini", "cifar", by="ntk_theory.claims._air_scaled:SCALED")
CLAIM.on_data(by="ntk_theory.claims._air_own_data:OWN_DATA")


@dataclass(frozen=True)
class Designs:
    """Clusters, whose spectrum is `levels`, before designs that are checked at smaller cost."""

    cases: tuple[Case, ...]
    levels: ClusterSpectrum
    lazy_width: float
    signs: Array  # random labels of the clusters, shape (n, DRAWS)

    def premises(self) -> Iterator[nt.Premise]:
        """Of the measured kernels, before any training."""
        for case in self.cases:
            yield from case.premises()

    def arrays(self) -> dict[str, Array]:
        """Spectra, and the energy along them."""
        return {key: value for case in self.cases for key, value in case.arrays().items()}

    def config(self) -> dict[str, Any]:
        """Numbers that follow from others, and those of the other designs."""
        (_, own), *others = [
            (case.name, {"noise_rate": case.dataset.noise_rate, "learning_rate": case.recipe.rate,
                         "steps": case.recipe.steps, "lazy_width": case.lazy_width,
                         "points": len(case.dataset.inputs)}) for case in self.cases
        ]  # fmt: skip
        del own["points"]  # in all clusters
        more = {"other_designs": dict(others), "random_labels": DRAWS}
        return own | more | {"lazy_width": self.lazy_width}


def other_designs(rng: np.random.Generator) -> Iterator[tuple[str, Design, int]]:
    """Name, design and steps of the designs that are checked at smaller cost."""
    yield "tree", nt.data.tree(2, 3, 7, class_ratio=5.0, super_ratio=15.0), 60
    yield "power law", nt.data.power_law(40, 10, exponent=1.5, rng=rng), 40
    yield "circle", nt.data.circle(15, arcs=3), 40


@CLAIM.problem
def designs(
    *, seed: int, clusters: int = 4, points: int = 10, ratio: float = 5.0, noise_rate: float = 0.3,
    learning_rate: float | None = None, steps: int | None = None,
) -> Designs:  # fmt: skip
    """Noisy labels on clusters, and on a tree, a power law and a circle.

    Args:
        seed: of the choice of wrong labels, and of all nets.
        clusters: K.
        points: s per cluster.
        ratio: r = λ_+/λ_−.
        noise_rate: ρ on the clusters.
        learning_rate: η on the clusters; 1/2 over λ_+ when left out.
        steps: T on the clusters; four half-times of the noise when left out.
    """
    if not 0 < noise_rate < 0.5:
        raise ValueError(f"noise_rate must lie in (0, 1/2), to leave information; got {noise_rate}")
    if clusters < 3:
        raise ValueError(f"clusters must be at least 3: a control flips one; got {clusters}")
    if not 1.5 <= ratio < math.inf:
        raise ValueError(f"ratio must be at least 1.5, for distinct half-times; got {ratio}")
    design = nt.data.equicorrelated_clusters(clusters, points, ratio=ratio)
    angle = nt.predictions.cluster_angle(points, ratio)
    levels = nt.predictions.cluster_spectrum(clusters, points, angle)
    rate = 0.5 / levels.information if learning_rate is None else learning_rate
    if not 0 < rate * levels.information < 1:
        most = f"(0, 1/λ_+) = (0, {1 / levels.information:.4g})"
        raise ValueError(f"learning_rate must lie in {most}: else some overshoot; got {rate}")
    late = nt.predictions.half_time(levels.noise, rate)
    length = math.ceil(4 * late) if steps is None else steps
    if length <= late:
        raise ValueError(f"steps must be above {late:.4g}, the half-time of noise; got {steps}")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    labelled = nt.data.noisy_labels(design, noise_rate=noise_rate, rng=rng)
    recipe = nt.Recipe(labelled.inputs, labelled.observed, nt.targets.PLAIN, rate, length)
    cases = [Case(CLUSTERS, labelled, recipe)]
    for name, other, length in other_designs(rng):
        data = nt.data.noisy_labels(other, noise_rate=0.3, rng=rng)
        recipe = nt.Recipe.plain(data.inputs, data.observed, share=0.5, steps=length)
        cases.append(Case(name, data, recipe))
    lazy_width = nt.predictions.lazy_width(levels, angle, labelled.noise_rate, 1.0)
    signs = rng.choice((-1.0, 1.0), (len(labelled.clean), DRAWS))
    return Designs(tuple(cases), levels, lazy_width, signs)


def _lazy_widths(case: Case, run: Sequence[int]) -> tuple[int, ...]:
    """Five widths of the run, times the first power of 2, up to 16, at which narrow nets are lazy.

    Where they are not, their deviation does not fall like m^{-1/2}.
    """
    few = run[:5]
    return nt.Sweep(few[0], few[-1], len(few), nets=0).widths(min(case.lazy_width, 4 * few[0]))


@CLAIM.premises
def premises(designs: Designs, widths: Sequence[int]) -> Iterator[nt.Premise]:
    """Nets on the other designs, too, move little."""
    for case in designs.cases[1:]:
        one = lazy_premise(case.lazy_width, _lazy_widths(case, widths)[0])
        yield replace(one, name=f"{case.name}: {one.name}")


@CLAIM.trainings
def trainings(designs: Designs) -> Iterator[nt.Training]:
    """Plain training on each design."""
    for case in designs.cases:
        widths = None if case.name == CLUSTERS else partial(_lazy_widths, case)
        yield nt.Training(case.name, case.recipe, case.outputs, case.dataset.clean, widths=widths)


@CLAIM.closed_forms
def closed_forms(designs: Designs) -> Iterator[nt.Measurement]:
    """The lead of information in the infinitely wide nets: positive at every step, as predicted."""
    both, allowed = [c.formulas() for c in designs.cases], max(c.rounding for c in designs.cases)
    recipe, lead = designs.cases[0].recipe, "R(clean) − E R(noise)"
    closed = nt.predictions.cluster_gap(designs.levels, recipe.rate, recipe.steps)
    for name, pairs in (
        (f"kernel limit: {lead} − formula, worst design and step", both),
        (f"kernel limit on clusters: {lead} − closed form", [(both[0][0], closed)]),
    ):
        off = max(float(np.abs(found - formula).max()) for found, formula in pairs)
        yield nt.Measurement(name, 0.0, off, allowed)
    found, expected = (min(float(one[part][1:].min()) for one in both) for part in (0, 1))
    yield nt.Measurement(f"kernel limit: least {lead} at any step, worst design", expected, found,
                         allowed, resolution=expected)  # fmt: skip


def half_time(shares: Array, axis: int = -1) -> Array:
    """Time at which a retrieved share reaches ½, of curves (..., T + 1); NaN if it never does.

    Interpolated in log(1 − share), which is linear in time for a filter: no error of interpolation.
    """
    curves = np.moveaxis(shares, axis, -1)
    after = (curves >= 0.5).argmax(axis=-1)[..., None]
    left = [np.take_along_axis(curves, after - back, -1)[..., 0] for back in (1, 0)]
    before, behind = (np.log(1 - np.minimum(one, 1 - 1e-12)) for one in left)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = after[..., 0] - 1 + (before + np.log(2)) / (before - behind)
    return np.where((curves >= 0.5).any(axis=-1), times, np.nan)


@CLAIM.rows
def rows(designs: Designs, *trainings: nt.Training) -> Iterator[nt.Row]:
    """Half-times on clusters; retrieved shares and the lead of information on every design."""
    levels, labels, rate = designs.levels, designs.cases[0].labels, designs.cases[0].recipe.rate

    def factor(outputs: Array, _: object) -> Array:
        information, noise = map(half_time, (labels.information(outputs), labels.noise(outputs)))
        return np.broadcast_to((noise / information)[..., None], outputs.shape[:-1])

    half, both = nt.predictions.half_time, (levels.information, levels.noise)
    every: dict[str, Any] = {"at": nt.ALL_STEPS, "reduce": half_time}
    for name, functional, expect, part, more in (
        ("information", labels.information, half(levels.information, rate), 2, every),
        ("noise", labels.noise, half(levels.noise, rate), 2, every),
        ("noise over that of information", factor, nt.predictions.half_time_ratio(*both, rate), 4,
         {}),
    ):  # fmt: skip
        yield nt.Row(f"half-time of {name}", trainings[0], functional, expect=expect,
                     resolves=expect / part, **more)  # fmt: skip
    for case, training in zip(designs.cases, trainings, strict=True):
        lead, peak = case.lead(case.outputs), case.peak
        yield nt.Row(f"R(clean) − E R(noise) after {peak} steps, where it is largest", training,
                     case.lead, at=peak, resolves=float(lead[peak]) / 2)  # fmt: skip
        late = partial(nt.Row, training=training, at=slice(1, None))
        yield late("least R(clean) − E R(noise) at any step", functional=case.lead, reduce=np.min,
                   resolves=float(lead[1:].min()))  # fmt: skip
        # A share of ¼ off could be that of another eigenspace.
        yield late("retrieved share off its filter, worst eigenspace and step", reduce=np.max,
                   functional=case.off, relation=nt.Relation.AT_MOST, resolves=0.25)  # fmt: skip


@CLAIM.controls
def controls(designs: Designs) -> Iterator[nt.Control]:
    """In each no gap between information and noise is left."""
    case, levels, signs = designs.cases[0], designs.levels, designs.signs
    recipe, clean, observed = case.recipe, case.dataset.clean, case.dataset.observed
    filtered = partial(nt.predictions.retrieval_filter, steps=recipe.steps)
    noise, information = filtered([levels.noise, levels.information], recipe.rate).T
    step = int((information - noise).argmax())
    claimed = float((information - noise)[step])
    whole = Labels(clean, np.where(case.dataset.design.groups == 0, -clean, clean))
    flipped = nt.Training("one cluster flipped", recipe.relabelled(whole.observed),
                          np.outer(information, whole.observed))  # fmt: skip
    yield nt.Control(
        "whole-clusters-flipped",
        "noise is spread over the eigenspaces: here one whole cluster is flipped",
        whole.broken(flipped, step, claimed),
    )
    # Signs without structure are retrieved like noise, but for what chance puts on top of it.
    along = case.filter[..., None] * (case.spectrum.eigenvectors.T @ signs)
    random = nt.Training("random signs", recipe.relabelled(signs),
                         case.spectrum.eigenvectors @ along)  # fmt: skip
    mean = case.filter.mean(axis=1)
    yield nt.Control(
        "random-labels",
        "clean labels lean to the top eigenspaces: here they are random signs",
        replace(whole.broken(random, step, claimed), norm="rms",
                functional=lambda u, _: (u * signs).mean(axis=(-2, -1)) - mean[: u.shape[-3]]),
    )  # fmt: skip
    half = replace(recipe, inputs=np.eye(clean.size), learning_rate=1.0)
    orthogonal = nt.Training("orthogonal inputs", half, filtered([0.5], 1.0) * observed)
    yield nt.Control(
        "orthogonal-inputs",
        "eigenvalues differ: here the inputs are orthogonal, H = ½ I, and ηλ = ½",
        case.labels.broken(orthogonal, step, claimed),
    )


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """The quotient of half-times."""
    row = run.declared.rows[2]
    return (
        f"nets of width {run.nets.widths[-1]} take {run.measured(row).mean():.3g} times longer to "
        f"retrieve half of the noise than half of the information, predicted {row.predicted:.3g}; "
        "on all four designs the clean labels are ahead at every step"
    )


def _eigenvalues(axes: Axes, result: ClaimResult) -> None:
    """Which eigenvalues do the kernels of the designs have?"""
    drawing, ending = nt.drawing, ": eigenvalues"
    colours = iter((drawing.BLUE, drawing.INDIGO, drawing.GREEN, drawing.ORANGE))
    for key in [key for key in result.arrays if key.endswith(ending)]:
        name, values = key.removesuffix(ending), result.arrays[key]
        places = np.arange(1, len(values) + 1)
        drawing.dots(axes, places, values, next(colours), name)
        closed = result.arrays.get(f"{name}: predicted_eigenvalues")
        if closed is not None:
            once = "closed form" if name == CLUSTERS else None
            drawing.prediction(axes, places, closed, once, of=name)
        axes.legend(loc="upper right")
    axes.set(xscale="log", yscale="log", xlabel="number $k$, from the top")
    axes.set(ylabel=r"eigenvalue $\lambda_k$ of the NTK")


def _energy(axes: Axes, result: ClaimResult) -> None:
    """How much of the clean labels, and of the noise, lies in the top eigenspaces?"""
    arrays, drawing = result.arrays, nt.drawing
    if "power law: clean_energy" not in arrays:
        return
    for name, what, key, colour in (
        (CLUSTERS, "clean labels", "clean", drawing.BLUE),
        (CLUSTERS, "noise", "noise", drawing.ORANGE),
        ("power law", "clean labels", "clean", drawing.INDIGO),
        ("power law", "noise", "noise", drawing.GREEN),
    ):
        energy = np.concatenate([[0.0], arrays[f"{name}: {key}_energy"]])
        share = np.arange(energy.size) / (energy.size - 1)
        drawing.line(axes, share, energy, colour, f"{what}, {name}")
    drawing.prediction(axes, [0, 1], [0, 1], "isotropic noise: $k/n$")
    axes.set(xlabel="share $k/n$ of the eigenvectors, from the top")
    axes.set(ylabel="share of the energy in them", xlim=(0, 1), ylim=(0, 1.03))
    axes.legend(loc="lower right")


def _two_shares(problem: Any) -> dict[str, Any]:
    labels = problem.cases[0].labels
    return {"noise": (CLUSTERS, labels.noise), "information": (CLUSTERS, labels.information)}


def _tree_shares(designs: Designs) -> dict[str, Any]:
    tree = designs.cases[1]
    return {
        f"λ = {tree.eigenvalues[band].mean():.2f}": (
            tree.name, lambda u, _, place=place: tree.shares(u)[..., place])
        for place, band in enumerate(tree.bands)
    }  # fmt: skip


_upper: dict[str, Any] = {"more": {"ylim": (0, 1.05)}, "legend": "lower right"}
CLAIM.panels = {
    "retrieved-shares": Curves("share", of=_two_shares, ylabel="retrieved share, clusters",
                               bounds={"one half": lambda _: 0.5}, **_upper),
    "eigenspaces": Curves("eigenspace share", of=_tree_shares, ylabel="retrieved share, tree",
                          **_upper),
    "information-ahead": Curves(
        "lead", of=lambda problem: {case.name: (case.name, case.lead) for case in problem.cases},
        ylabel=r"$R_t(\mathrm{clean})-\mathbb{E}\,R_t(\mathrm{noise})$",
        more={"ylim": (0, 0.95)}, legend="upper right",
    ),
    "eigenvalues": _eigenvalues,
    "energy": _energy,
}  # fmt: skip
