"""Claim C1: information is retrieved before noise (docs/theory.md, sections 6.1 and 6.5).

Nets of growing width are trained on the noisy labels of four designs. Their outputs are projected
on the eigenspaces of the limiting NTK and compared, step by step, with 1 − (1 − ηλ)^t.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.arguments import real, whole
from ntk_theory.checking.panels import Curves
from ntk_theory.checking.rows import Array
from ntk_theory.claims._air_designs import Case, Labels
from ntk_theory.problems import lazy_premise, rate_without_overshoot

CLUSTERS, DRAWS = "clusters", 16

CLAIM = nt.Claim(
    "air",
    statement="""Plain training of a wide two-layer ReLU net on noisy labels retrieves their
    component along an NTK eigenspace of eigenvalue λ as 1 − (1 − ηλ)^t; as clean labels lean to the
    top eigenspaces and noise does not, information is ahead of noise at every step.""",
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
    derivation="""In the kernel limit the outputs are (I − (I − ηH)^t) ỹ, diagonal in the
    eigenvectors of H (section 6.1). Summation by parts turns the difference of the two shares into
    a sum of the excess of the clean labels' energy in the top k eigenvectors times the steps of g,
    which are not negative (section 6.5).""",
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
    levels: nt.predictions.ClusterSpectrum
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
        every: dict[str, dict[str, Any]] = {
            case.name: {"noise_rate": case.dataset.noise_rate, "learning_rate": case.recipe.rate,
                        "steps": case.recipe.steps, "lazy_width": case.lazy_width,
                        "points": len(case.dataset.inputs)} for case in self.cases
        }  # fmt: skip
        own = every.pop(CLUSTERS)
        del own["points"]  # in all clusters
        more = {"other_designs": every, "random_labels": DRAWS, "lazy_width": self.lazy_width}
        return own | more


def other_designs(rng: np.random.Generator) -> Iterator[tuple[nt.data.Design, int]]:
    """Designs that are checked at smaller cost, and their steps."""
    yield nt.data.tree(2, 3, 7, class_ratio=5.0, super_ratio=15.0), 60
    yield nt.data.power_law(40, 10, exponent=1.5, rng=rng), 40
    yield nt.data.circle(15, arcs=3), 40


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
    real("noise_rate", noise_rate, "lie in (0, 1/2), to leave information", lambda x: 0 < x < 0.5)
    whole("clusters", clusters, least=3, why="a control flips one")
    real("ratio", ratio, "be at least 1.5, for distinct half-times", lambda x: 1.5 <= x < math.inf)
    design = nt.data.equicorrelated_clusters(clusters, points, ratio=ratio)
    angle = nt.predictions.cluster_angle(points, ratio)
    levels = nt.predictions.cluster_spectrum(clusters, points, angle)
    rate = rate_without_overshoot(learning_rate, 0.5, levels.information, "λ_+")
    late = nt.predictions.half_time(levels.noise, rate)
    length = math.ceil(4 * late) if steps is None else steps
    if length <= late:
        raise ValueError(f"steps must be above {late:.4g}, the half-time of noise; got {steps}")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    labelled = nt.data.noisy_labels(design, noise_rate=noise_rate, rng=rng)
    recipe = nt.Recipe(labelled.inputs, labelled.observed, nt.targets.PLAIN, rate, length)
    cases = [Case(CLUSTERS, labelled, recipe)]
    for other, length in other_designs(rng):
        data = nt.data.noisy_labels(other, noise_rate=0.3, rng=rng)
        recipe = nt.Recipe.plain(data.inputs, data.observed, share=0.5, steps=length)
        cases.append(Case(other.name, data, recipe))
    lazy_width = nt.predictions.lazy_width(levels, angle, labelled.noise_rate, 1.0)
    signs = rng.choice((-1.0, 1.0), (len(labelled.clean), DRAWS))
    return Designs(tuple(cases), levels, lazy_width, signs)


@CLAIM.premises
def premises(designs: Designs, widths: Sequence[int]) -> Iterator[nt.Premise]:
    """Nets on the other designs, too, move little."""
    for case in designs.cases[1:]:
        one = lazy_premise(case.lazy_width, case.widths(widths)[0])
        yield replace(one, name=f"{case.name}: {one.name}")


@CLAIM.trainings
def trainings(designs: Designs) -> Iterator[nt.Training]:
    """Plain training on each design."""
    for case in designs.cases:
        widths = None if case.name == CLUSTERS else case.widths
        yield nt.Training(case.name, case.recipe, case.outputs, case.dataset.clean, widths=widths)


@CLAIM.closed_forms
def closed_forms(designs: Designs) -> Iterator[nt.Measurement]:
    """The lead of information in the infinitely wide nets: positive at every step, as predicted."""
    lead, recipe = "R(clean) − E R(noise)", designs.cases[0].recipe
    # A recursion rounds by n eps a step. A measured eigenvalue is off by 8 n eps λ_max (solver and
    # matrix), a filter by T η of that.
    most = max(9 * len(case.dataset.clean) * case.recipe.steps for case in designs.cases)
    allowed = most * float(np.finfo(float).eps)
    found, formula = map(np.concatenate, zip(*(c.leads() for c in designs.cases), strict=True))
    closed = nt.predictions.cluster_gap(designs.levels, recipe.rate, recipe.steps)[1:]
    for name, off in (
        (f"kernel limit: {lead} − formula, worst design and step", found - formula),
        (f"kernel limit on clusters: {lead} − closed form", found[: recipe.steps] - closed),
    ):
        yield nt.Measurement(name, 0.0, float(np.abs(off).max()), allowed)
    name, least = f"kernel limit: least {lead} at any step, worst design", float(formula.min())
    yield nt.Measurement(name, least, float(found.min()), allowed, resolution=least)


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

    for functional, level in ((labels.information, levels.information),
                              (labels.noise, levels.noise)):  # fmt: skip
        time = nt.predictions.half_time(level, rate)
        yield nt.Row(f"half-time of {functional.__name__}", trainings[0], functional,
                     at=nt.ALL_STEPS, reduce=half_time, expect=time, resolves=time / 2)  # fmt: skip
    ratio = nt.predictions.half_time_ratio(levels.information, levels.noise, rate)
    yield nt.Row("half-time of noise over that of information", trainings[0], factor,
                 expect=ratio, resolves=ratio / 4)  # fmt: skip
    for case, training in zip(designs.cases, trainings, strict=True):
        lead = case.lead(case.outputs)
        peak = int(lead.argmax())
        yield nt.Row(f"R(clean) − E R(noise) after {peak} steps, where it is largest", training,
                     case.lead, at=peak, resolves=float(lead[peak]) / 2)  # fmt: skip
        yield nt.Row("least R(clean) − E R(noise) at any step", training, case.lead,
                     at=slice(1, None), reduce=np.min, resolves=float(lead[1:].min()))  # fmt: skip
        # A share of ¼ off could be that of another eigenspace.
        yield nt.Row("retrieved share off its filter, worst eigenspace and step", training,
                     case.off, at=slice(1, None), reduce=np.max, resolves=0.25,
                     relation=nt.Relation.AT_MOST)  # fmt: skip


@CLAIM.controls
def controls(designs: Designs) -> Iterator[nt.Control]:
    """In each no gap between information and noise is left."""
    case, signs = designs.cases[0], designs.signs
    recipe, clean = case.recipe, case.dataset.clean
    noise, information = case.filter[:, [0, -2]].T
    ahead = information - noise
    whole = Labels(clean, np.where(case.dataset.design.groups == 0, -clean, clean))
    flipped = nt.Training("one cluster flipped", recipe.relabelled(whole.observed),
                          np.outer(information, whole.observed))  # fmt: skip
    yield nt.Control(
        "whole-clusters-flipped",
        "noise is spread over the eigenspaces: here one whole cluster is flipped",
        whole.broken(flipped, ahead),
    )
    # Signs without structure are retrieved like noise, but for what chance puts on top of it.
    along = case.filter[..., None] * (case.spectrum.eigenvectors.T @ signs)
    random = nt.Training("random signs", recipe.relabelled(signs),
                         case.spectrum.eigenvectors @ along)  # fmt: skip
    mean = case.filter.mean(axis=1)
    yield nt.Control(
        "random-labels",
        "clean labels lean to the top eigenspaces: here they are random signs",
        replace(whole.broken(random, ahead), norm="rms",
                functional=lambda u, _: (u * signs).mean(axis=(-2, -1)) - mean[: u.shape[-3]]),
    )  # fmt: skip
    half = replace(recipe, inputs=np.eye(clean.size), learning_rate=1.0)
    retrieved = nt.predictions.retrieval_filter([0.5], 1.0, recipe.steps)
    orthogonal = nt.Training("orthogonal inputs", half, retrieved * recipe.observed)
    yield nt.Control(
        "orthogonal-inputs",
        "eigenvalues differ: here the inputs are orthogonal, H = ½ I, and ηλ = ½",
        case.labels.broken(orthogonal, ahead),
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


def _eigenvalues(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
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
    axes.set(xscale="log", yscale="log", xlabel="number $k$, from the top",
             ylabel=r"eigenvalue $\lambda_k$ of the NTK")  # fmt: skip


def _energy(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
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
    axes.set(xlabel="share $k/n$ of the eigenvectors, from the top", xlim=(0, 1),
             ylabel="share of the energy in them", ylim=(0, 1.03))  # fmt: skip
    axes.legend(loc="lower right")


def _tree_shares(designs: Designs) -> dict[str, Any]:
    tree = designs.cases[1]
    names = (f"λ = {tree.eigenvalues[band].mean():.2f}" for band in tree.bands)
    return {name: (tree.name, lambda u, _, place=place: tree.shares(u)[..., place])
            for place, name in enumerate(names)}  # fmt: skip


CLAIM.panels = {
    "retrieved-shares": Curves(
        "share", of=lambda problem: {part: (CLUSTERS, getattr(problem.cases[0].labels, part))
                                     for part in ("noise", "information")},
        ylabel="retrieved share, clusters", bounds={"one half": lambda _: 0.5},
        more={"ylim": (0, 1.05)}, legend="lower right",
    ),
    "eigenspaces": Curves("eigenspace share", of=_tree_shares, ylabel="retrieved share, tree",
                          more={"ylim": (0, 1.05)}, legend="lower right"),
    "information-ahead": Curves(
        "lead", of=lambda problem: {case.name: (case.name, case.lead) for case in problem.cases},
        ylabel=r"$R_t(\mathrm{clean})-\mathbb{E}\,R_t(\mathrm{noise})$",
        more={"ylim": (0, 0.95)}, legend="upper right",
    ),
    "eigenvalues": _eigenvalues,
    "energy": _energy,
}  # fmt: skip
