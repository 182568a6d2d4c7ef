"""Claim C7 in practice: test accuracy of self-distilled nets on real images, without stopping.

Nets are trained as the authors trained theirs: minibatches, momentum, weight decay, a cosine and
softmax cross-entropy, by each of their five losses. Theory says beforehand how much memorising
costs the infinitely wide net, and what minibatches do to the agreement; the rest is measured.
"""

from __future__ import annotations

__all__ = ["CLAIM", "Practice"]

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.evidence import over_nets
from ntk_theory.checking.fitting import mean_of
from ntk_theory.checking.functionals import Array, rms_error
from ntk_theory.checking.verdicts import Relation
from ntk_theory.claims._practice_agreement import BATCH, end_of, ended, neuron_steps
from ntk_theory.claims._practice_nets import (
    ALONE,
    BEST,
    METHODS,
    PAPERS,
    RATES,
    RULE,
    SLOWER,
    TOLD,
    Outcome,
    Source,
    settings_of,
)
from ntk_theory.claims._practice_pictures import PANELS
from ntk_theory.losses import LOSSES, Descent, cosine

if TYPE_CHECKING:
    from ntk_theory.checking.declaration import Declaration
    from ntk_theory.checking.ladder import NetPlan
    from ntk_theory.data import Dataset

CLAIM = nt.Claim(
    "practice",
    statement="""On images with wrong labels, nets that are trained in minibatches by softmax
    cross-entropy, and weigh their own hard predictions by agreement, end ahead on fresh images of
    the net that learns from labels alone in the same way, of the best stopping time of that run in
    hindsight, and, in the mean, of the one that noisy labels tell: wherever the spectrum separates
    and memorising costs the infinitely wide net a tenth of its accuracy or more. Elsewhere either
    may be ahead, and so may a net that learns more slowly and is stopped in hindsight.""",
    formulas=(
        "agreement over minibatches of B: a wrong label keeps α_B = 1 − (1−ρ)(B−1)n/(B(n−1))",
        "‖u_T − y‖/√n → 2√ρ α_B: 2ρ^{3/2} of full batches, 2√ρ (memorised) of single points",
        "cost of memorising: accuracy of the kernel limit at its best time, less that in the end",
        "information separated: r_eff = (tr H⁻¹/n)‖y‖²/(yᵀH⁻¹y) > r* = 1 + 1/(1 − ρC/(C−1))",
        "r* of pair flips is that of two classes, 1 + 1/(1 − 2ρ)",
    ),
    assumptions=(
        "the measured spectrum separates the clean labels from noise, r_eff > r*, at some rate",
        "for the end of agreement: every prediction right, square loss, steps that become small",
        "for accuracies nothing: nets at this width and rate are not lazy, and are measured",
    ),
    derivation="""A wrong label in a minibatch is one of its B labels and disagrees, so its own
    weight is larger than ρ in the mean (docs/theory.md, section 7.11). Accuracies have no closed
    form here: each split of the data, with its own noise and nets, gives a lead, and Student's
    interval over the splits has to lie above 0.""",
    source="""arXiv 1910.01255, abstract, claim C7; losses as in a public re-run,
    github.com/lizhemin15/self-distillation; derivation: docs/theory.md, section 7.11""",
    paper_claims={
        "C7": "two-layer nets on images of digits, not the authors' convolutional nets on CIFAR-10"
    },
    presets={
        "quick": nt.Sweep(256, 2048, 4, nets=4),
        "standard": nt.Sweep(256, 4096, 5, nets=6),
        "thorough": nt.Sweep(256, 8192, 6, nets=8),
    },
    precisions=("float64",),
)

_COSTLY = 0.1
"""Accuracy that memorising costs the kernel limit, above which leads are claimed: the whole
interval of 95 % over the splits."""

_MOST, _SHARE = 1000, 0.6
"""Fresh points at most, and share of all points that is trained on at most."""

_RISK = 0.05
"""That a lead of 0 has its whole interval off 0, on either side: VIOLATED in one row of 40."""


@dataclass(frozen=True)
class Practice:
    """Real data, and clusters on which the end of agreement is known.

    Attributes:
        sources: of data.
        clusters: two classes, a fifth of the labels wrong.
        missing: why there are no sources, where a package is missing that nobody asked for.
    """

    sources: tuple[Source, ...]
    clusters: Dataset
    missing: str = ""

    @cached_property
    def whole(self) -> nt.Training:
        """Agreement over all points."""
        return nt.distilled.on_clusters("agreement of full batches", self.clusters, "agreement")

    def premises(self) -> Iterator[nt.Premise]:
        """At some setting of each source the spectrum separates, and memorising costs."""
        if self.missing:
            yield nt.Premise("images at hand", 0, False, self.missing)
        for source in self.sources:
            best = max(source.settings, key=lambda one: source.ratio(one) - source.least_ratio(one))
            yield nt.Premise(
                f"{source.data.name}: measured spectrum separates information from noise",
                source.ratio(best), source.separates(best),
                f"r_eff > r* = {source.least_ratio(best):.4g} ({best})",
            )  # fmt: skip
            costs = [source.cost(one)[1] for one in source.settings if source.separates(one)]
            yield nt.Premise(
                f"{source.data.name}: memorising costs the kernel limit accuracy",
                max(costs, default=0.0), max(costs, default=0.0) >= _COSTLY,
                f"lower end of the cost >= {_COSTLY:g} at some noise that is separated",
            )  # fmt: skip

    def config(self) -> dict[str, Any]:
        """How nets are trained on each source, and what memorising costs beforehand."""
        return {"sources": {
            source.data.name: {
                "points": source.points, "fresh": source.fresh, "splits": len(source.splits),
                "epochs": source.recipe.epochs, "neurons": source.width, "dtype": "float32",
                "learning_rate": source.descent.rate,
                "cost_of_memorising": {str(one): source.cost(one)[0] for one in source.settings},
            }
            for source in self.sources
        }}  # fmt: skip


class Size(NamedTuple):
    """What a preset takes where a user does not say otherwise.

    Attributes:
        data: names.
        rates: of wrong labels.
        points: of training, at most.
        splits: of the data, each with its own noise and nets.
        epochs: passes over the data.
        neurons: of a net.
    """

    data: tuple[str, ...]
    rates: tuple[float, ...]
    points: int
    splits: int
    epochs: int
    neurons: int

    def but(self, **given: Any) -> Size:
        """With what a user has given."""
        return self._replace(**{name: value for name, value in given.items() if value is not None})


SIZES = {
    "quick": Size(("digits",), RATES, 700, 5, 20, 128),
    "standard": Size(("digits", "mnist"), RATES, 1000, 6, 40, 512),
    "thorough": Size(("digits", "mnist"), RATES, 2000, 12, 60, 1024),
}


def source_of(
    name: str, size: Size, given: int | None, classes: str | None, recipe: Descent, nets: NetPlan
) -> Source:
    """Data that are loaded, and how they are split: the points given, or a share at most."""
    data = nt.datasets.of_classes(nt.datasets.load_once(name), classes)
    most = len(data.classes)
    points = min(size.points, int(_SHARE * most)) if given is None else given
    if not 20 <= points <= most - 20:
        raise ValueError(f"points must lie between 20 and {most - 20}, as {name} has {most} and 20 "
                         f"are to be fresh; got {points}")  # fmt: skip
    splits = np.random.SeedSequence(nets.seed).generate_state(size.splits)
    return Source(
        data, points, min(_MOST, most - points), settings_of(data, size.rates),
        tuple(map(int, splits)), replace(recipe, batch=min(recipe.batch, points)), size.neurons,
        nets.device,
    )  # fmt: skip


@CLAIM.problem
def problem(
    *,
    seed: int,
    preset: str,
    nets: NetPlan,
    data: str | None = None,
    classes: str | None = None,
    points: int | None = None,
    noise: float | None = None,
    splits: int | None = None,
    epochs: int | None = None,
    batch: int = 50,
    share: float = 1.4,
    weight_decay: float = 1e-4,
    neurons: int | None = None,
) -> Practice:
    """Real data with wrong labels planted, and nets of one width.

    The preset quick has digits alone, smaller nets, and trains them for less time.

    Args:
        seed: of splits, noise and nets.
        preset: quick takes digits, others MNIST's sample, too.
        nets: of the clusters; their device is that of all.
        data: "digits", "mnist", "cifar10:FOLDER", FILE.npz or FILE.csv
        classes: how many, or names with commas between; all by default
        points: of training; 1000 (quick: 700) or three fifths of the data by default
        noise: share of wrong labels, in place of 20, 40 and 60 % (symmetric), 20 and 40 % (pair)
        splits: of the data, each with its own noise and nets, 3 or more; 6 (quick: 5) by default
        epochs: passes over the data; 40 (quick: 20) by default
        batch: points of a minibatch
        share: learning rate of the first step, times λ_max/n
        weight_decay: of all weights
        neurons: of a net; 512 (quick: 128) by default
    """
    size = SIZES[preset].but(
        data=None if data is None else (data,), rates=None if noise is None else (noise,),
        splits=splits, epochs=epochs, neurons=neurons,
    )  # fmt: skip
    if size.splits < 3:
        raise ValueError(f"splits must be at least 3: leads have an interval; got {size.splits}")
    if noise is not None and not 0 < noise < 1:
        raise ValueError(f"noise must lie in (0, 1); got {noise:g}")
    recipe = Descent(size.epochs, batch, share, cosine, 0.9, weight_decay)
    sources: tuple[Source, ...] = ()
    missing = ""
    try:
        sources = tuple(source_of(name, size, points, classes, recipe, nets) for name in size.data)
    except nt.datasets.MissingPackageError as error:
        if data is not None:
            raise
        missing = str(error)
    design = nt.data.equicorrelated_clusters(4, 10, ratio=20.0)
    rng = np.random.default_rng((seed, 1))
    return Practice(sources, nt.data.noisy_labels(design, noise_rate=0.2, rng=rng), missing)


@CLAIM.trainings
def trainings(practice: Practice) -> nt.Training:
    """Agreement of full batches, on clusters: what the infinitely wide net does is known."""
    return practice.whole


@CLAIM.rows
def rows(_: Practice, whole: nt.Training) -> Iterator[nt.Row]:
    """Where it ends."""
    yield nt.Row("RMS error in the end", whole, rms_error)


# ------------------------------------------------------------ real data


def lead(name: str, leads: Array, fresh: int) -> nt.Measurement:
    """Mean lead over the splits, its whole interval above half a fresh point; or else below it."""
    mean, reach = mean_of(leads, 1 - _RISK)
    return nt.Measurement(name, 0.5 / fresh, mean, 0.0, (mean - reach, mean + reach),
                          Relation.AT_LEAST, whole_interval=True, decisive=reach)  # fmt: skip


@CLAIM.measure
def measured(run: nt.Run) -> Iterator[nt.Measurement]:
    """The end of agreement on clusters; then all methods on all data.

    What noisy labels tell scatters most: leads over it are averaged over the settings.
    """
    yield ended(run, run.problem.clusters, BATCH)
    for source in run.problem.sources:
        told = []
        for setting in source.settings:
            where = source.named(setting)
            run.evidence.progress_note = f"at {where}"
            found = run.notes[where] = source.outcome(setting)
            run.progress.advance(source.outcome_steps)
            run.evidence.metrics += list(_metrics(where, found))
            if source.separates(setting) and source.cost(setting)[1] >= _COSTLY:
                for over in (ALONE, BEST):
                    yield lead(f"{where}: ahead of {over}", found.lead(PAPERS, over), source.fresh)
                told.append(found.lead(PAPERS, TOLD))
        if told:
            name = f"{source.data.name}: ahead of {TOLD}, mean of these settings"
            yield lead(name, np.mean(told, axis=0), source.fresh)


def _metrics(where: str, found: Outcome) -> Iterator[dict[str, Any]]:
    for split, row in enumerate(found.accuracy.tolist()):
        for place, (method, accuracy) in enumerate(zip(METHODS, row, strict=True)):
            own: dict[str, Any] = {"training": where, "net": split, "method": method,
                                   "accuracy": accuracy}  # fmt: skip
            if place < found.recovered.shape[1]:
                own["lost_from_best"] = float(found.lost[split, place])
                own["recovered"] = float(found.recovered[split, place])
                own["rms_error"] = float(found.distance[split, place])
            yield own


@CLAIM.work
def work(declared: Declaration) -> Iterator[float]:
    """Neuron-steps of the nets on clusters and on all data."""
    problem: Practice = declared.problem
    yield neuron_steps(problem.clusters, BATCH)
    for source in problem.sources:
        yield source.outcome_steps * len(source.settings)
    yield neuron_steps(problem.clusters, 1)
    yield problem.sources[0].control_steps


@CLAIM.controls
def controls(practice: Practice) -> Iterator[nt.Control]:
    """Agreement with a label by itself; and labels without information."""

    def single(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        claimed, failure = end_of(practice.clusters, BATCH), ended(run, practice.clusters, 1)
        nearer = abs(failure.predicted - claimed) / 4
        return replace(failure, tolerance=nearer), claimed, nearer

    def random(run: nt.Run) -> tuple[nt.Measurement, float, float]:
        source = practice.sources[0]
        worst = max(source.settings, key=lambda one: source.cost(one)[0])
        leads = source.permuted_leads(worst, np.random.default_rng((run.nets.seed, 3)))
        run.progress.advance(source.control_steps)
        claimed = float(run.notes[source.named(worst)].lead(PAPERS, ALONE).mean())
        name = f"{source.data.name}: lead over {ALONE}, labels permuted"
        return over_nets(name, 0.0, leads, abs(claimed) / 2), claimed, abs(claimed) / 2

    yield nt.Control(
        "single-points",
        f"the agreement looks at {BATCH} labels: here at the one alone, and all are memorised",
        measure=single,
    )
    yield nt.Control(
        "random-labels",
        "labels carry information: here they are permuted, and nobody gains",
        measure=random,
    )


# ------------------------------------------------------------ what is said and shown


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """Of each setting the accuracy of the paper's loss, of labels alone, and of the best time."""
    said = []
    for source in run.problem.sources:
        for setting in source.settings:
            where = source.named(setting)
            if where not in run.notes:
                continue
            mean = dict(zip(METHODS, run.notes[where].accuracy.mean(axis=0), strict=True))
            best = mean[BEST]
            ahead = ", ".join(name for name in (*LOSSES, RULE) if mean[name] > best) or "none"
            said.append(
                f"{where} (memorising costs {source.cost(setting)[0]:.2f}): "
                f"{mean[PAPERS]:.3f} by agreement, {mean[ALONE]:.3f} by labels alone, "
                f"{best:.3f} at their best time, {mean[TOLD]:.3f} at the time that noisy "
                f"labels tell, {mean[SLOWER]:.3f} at the best time of a slower net; ahead of the "
                f"best time in the mean: {ahead}"
            )
    return "accuracy on fresh points: " + "; ".join(said)


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Any]:
    """Accuracies of all splits, methods and settings; curves; the spectrum with its energies."""
    source = run.problem.sources[0]
    settings = [one for one in source.settings if source.named(one) in run.notes]
    outcomes = [run.notes[source.named(one)] for one in settings]
    if not outcomes:
        return {}
    first = source.limits[settings[0]][0]
    return {
        "accuracy": np.stack([one.accuracy for one in outcomes]),
        "curves": np.stack([one.curves for one in outcomes]),
        "limit": np.array(
            [
                np.mean([(limit.best, limit.end) for limit in source.limits[one]], axis=0)
                for one in settings
            ]
        ),
        "eigenvalues": first.eigenvalues,
        "energy": first.energy,
    }


CLAIM.panels = PANELS
