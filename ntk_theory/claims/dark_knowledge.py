"""Claim C2: an early-stopped teacher harvests dark knowledge (docs/theory.md, section 6.6).

Nets with one output per class are trained on a tree of classes. What they output on sibling
classes, less what they output on others, rises and falls as the closed form says; and students that
see one point of each class profit from the outputs of a stopped teacher, not from those of a
trained-out one.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.arguments import real, whole
from ntk_theory.checking.functionals import Array, LabelledPoints, peak
from ntk_theory.checking.panels import Curves
from ntk_theory.claims import _dark_knowledge_students as students
from ntk_theory.problems import rate_without_overshoot

CLASSES, CLASS_RATIO = 3, 5.0
"""Classes per superclass and λ_class/λ_− of the tree."""

TREE = "one-hot labels"
STUDENT_WIDTH = {"quick": 8192, "standard": 8192, "thorough": 16384}
"""Of students and of their stopped teachers, which make a few steps only."""

CLAIM = nt.Claim(
    "dark-knowledge",
    statement="""On a tree of classes a wide net outputs more on siblings of the right class than on
    others, by an amount that rises and falls with training and is gone in a trained-out net; a
    student that sees one point of each class of a blurred tree is more accurate when a stopped
    teacher's outputs teach it than with hard labels.""",
    formulas=(
        "siblings − others = (g_super(t) − g_class(t)) / c,  g_λ(t) = 1 − (1 − ηλ)^t",
        "q = log(1 − ηλ_super) / log(1 − ηλ_class)",
        "time of the peak = log q / (log(1 − ηλ_class) − log(1 − ηλ_super))",
        "height of the peak = q^{−1/(q − 1)} (1 − 1/q) / c",
        "student on fresh points = K_* K^{-1} (I − (I − ηK)^t) × the teacher's outputs",
    ),
    assumptions=(
        "zero initial output",
        "η < 1/λ_max, so that no eigenspace overshoots",
        "noiseless one-hot labels; classes and superclasses of equal size",
        "nets wide enough for outputs to be independent: their kernel blocks vanish like m^{-1/2}",
        "students: kernels are measured, not in closed form; the gain is that of the trees drawn",
    ),
    derivation="""One-hot labels lie in the class, superclass and mean eigenspaces of the tree's
    kernel, each retrieved by its own filter (section 3.2); reading off the entries gives the
    difference and its one peak (section 6.6). On targets that depend on the tree alone a student's
    choice between siblings is that of hard labels, so such a gain is one in superclasses; the rest
    of the measured gain is in finer differences between wrong classes.""",
    source="arXiv 1910.01255, abstract, claim C2; derivation: docs/theory.md, section 6.6",
    paper_claims={
        "C2": "dark knowledge as output on sibling classes, which gives the smaller part of the "
        "students' gain; square loss; synthetic trees of classes"
    },
    presets={
        "quick": nt.Sweep(256, 2**12, 5, nets=6),
        "standard": nt.Sweep(256, 2**17, 6, nets=6),
        "thorough": nt.Sweep(256, 2**18, 7, nets=10),
    },
    control_nets=4,
)


@dataclass(frozen=True)
class Tree:
    """One-hot labels on a superclass > class > point tree, its eigenvalues and the class angle.

    Its points are those of one class after the other; `student_width` is that of students.
    Predicted are the dark knowledge, shape (T + 1,), and the time and height of its peak.
    """

    spectrum: nt.predictions.TreeSpectrum
    recipe: nt.Recipe
    angle: float
    student_width: int
    knowledge: Array
    peak: tuple[float, float]

    def training(
        self, name: str, recipe: nt.Recipe, levels: nt.predictions.TreeSpectrum
    ) -> nt.Training:
        """Nets on a tree, whose labels may be noisy: what is noise is retrieved along λ_−."""
        rate, steps, each = recipe.rate, recipe.steps, levels.points
        shares = recipe.observed.reshape(-1, each, recipe.observed.shape[1]).mean(axis=1)
        predicted = nt.predictions.tree_outputs(levels, rate, steps, shares).repeat(each, axis=1)
        noise = nt.predictions.retrieval_filter([levels.noise], rate, steps)[..., None]
        predicted = predicted + noise * (recipe.observed - shares.repeat(each, axis=0))
        return nt.Training(name, recipe, predicted, labels=self.recipe.observed)

    def premises(self) -> Iterator[nt.Premise]:
        """Of the measured kernel, and that the run is long enough to see the fall."""
        yield self.recipe.positive_definite()
        left = float(self.knowledge[-1] / self.knowledge.max())
        needed = "predicted to end below a tenth of the peak"
        yield nt.Premise("long enough run", left, left < 0.1, needed)

    def config(self) -> dict[str, Any]:
        """Numbers that are no knobs, or that follow from others."""
        return {
            "classes": CLASSES, "class_ratio": CLASS_RATIO, "steps": self.recipe.steps,
            "learning_rate": self.recipe.rate, "peak_time": self.peak[0],
            "student_width": self.student_width, **students.CONFIGURED,
        }  # fmt: skip


@CLAIM.problem
def tree(
    *, seed: int, preset: str,  # noqa: ARG001 - nothing is drawn
    clusters: int = 3, points: int = 4, ratio: float = 4.0,
    learning_rate: float | None = None, steps: int | None = None,
) -> Tree:  # fmt: skip
    """A tree of superclasses with three classes each, trained until its dark knowledge is gone.

    Args:
        seed: of all nets, and of the students' trees.
        preset: says how wide students are.
        clusters: superclasses.
        points: in each class, an even number.
        ratio: λ_super/λ_class.
        learning_rate: η; 0.3/λ_max when left out.
        steps: T; 8/(ηλ_class) when left out.
    """
    real("ratio", ratio, "be above 1 and finite, for superclasses", lambda x: 1 < x < math.inf)
    if points % 2:
        raise ValueError(f"points must be even: a control relabels half of each; got {points}")
    design = nt.data.tree(clusters, CLASSES, points, class_ratio=CLASS_RATIO,
                          super_ratio=CLASS_RATIO * ratio)  # fmt: skip
    angles = nt.predictions.tree_angles(CLASSES, points, CLASS_RATIO, CLASS_RATIO * ratio)
    levels = nt.predictions.tree_spectrum(clusters, CLASSES, points, *angles)
    rate = rate_without_overshoot(learning_rate, 0.3, levels.mean, "λ_max")
    length = math.ceil(8 / (rate * levels.class_)) if steps is None else steps
    top = nt.predictions.dark_knowledge_peak(levels, rate)
    whole("steps", length, least=max(5, math.ceil(2 * top[0] + 2)), why="twice the peak's time")
    labels = np.eye(clusters * CLASSES)[design.groups]
    recipe = nt.Recipe(design.inputs, labels, nt.targets.PLAIN, rate, length)
    knowledge = nt.predictions.dark_knowledge(levels, rate, length)
    return Tree(levels, recipe, angles[1], STUDENT_WIDTH[preset], knowledge, top)


@CLAIM.trainings
def trainings(tree: Tree) -> nt.Training:
    """Plain training on the labels of the tree."""
    return tree.training(TREE, tree.recipe, tree.spectrum)


def class_outputs(outputs: Array, points: LabelledPoints) -> Array:
    """Mean outputs on the points of each class, shape (..., C, C)."""
    shares = points.labels / points.labels.sum(axis=0)
    return np.asarray(np.einsum("...no,nc->...co", outputs, shares))


def mean_outputs(outputs: Array, points: LabelledPoints) -> Array:
    """Mean output on the own class, its siblings, and other superclasses, shape (..., 3)."""
    return students.averaged(class_outputs(outputs, points), CLASSES)[..., 0, [0, 1, -1]]


def dark_knowledge(outputs: Array, points: LabelledPoints) -> Array:
    """Mean output on siblings of the right class minus that on classes of other superclasses."""
    return np.asarray(mean_outputs(outputs, points) @ [0, 1, -1])


@CLAIM.rows
def rows(tree: Tree, trained: nt.Training) -> Iterator[nt.Row]:
    """Dark knowledge over time: when and how high it peaks, and its value around the peak."""
    curve, height, top = tree.knowledge, tree.peak[1], int(tree.knowledge.argmax())
    row = partial(nt.Row, training=trained, functional=dark_knowledge)
    # Half the height distinguishes the peak from none, and from its double. In the end next to no
    # dark knowledge is left, and none is in the mean output on others: there the tolerance is one
    # of the height, and no share of what is predicted.
    for part, (name, value) in enumerate(zip(("time", "height"), tree.peak, strict=True)):
        # A parabola is off by at most the change from twice its spacing: it errs like the square.
        error = abs(float(peak(curve)[part] - peak(curve, 2)[part]))
        yield row(f"{name} of the peak", at=nt.ALL_STEPS, expect=value, interpolation=error,
                  reduce=lambda values, axis, part=part: peak(values)[part],  # noqa: ARG005
                  resolves=value / 2)  # fmt: skip
    for at in (top // 2, 3 * top, tree.recipe.steps):
        yield row(f"dark knowledge after {at} steps", at=at, expect=curve[at], resolves=height / 2)
    sizes = mean_outputs(trained.predicted[top], trained.points)
    for part, name in enumerate(("the own class", "siblings", "other superclasses")):
        yield row(f"mean output on {name} after {top} steps", at=top,
                  functional=lambda *given, part=part: mean_outputs(*given)[..., part],
                  resolves=max(height, float(sizes[part])) / 2)  # fmt: skip


@CLAIM.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """What students gain."""
    taught = run.notes["students"] = students.taught(run)
    yield from students.rows(run, taught)


CLAIM.work(lambda declared: students.work(declared.problem.student_width, declared.nets.count))


@CLAIM.controls
def controls(tree: Tree, _: Any, rows: Mapping[str, nt.Row]) -> Iterator[nt.Control]:
    """Each breaks one premise, on the tree or for the students."""
    levels, end, curve = tree.spectrum, tree.recipe.steps, tree.knowledge
    top, height = int(curve.argmax()), float(curve.max())
    in_the_end = rows[f"{TREE}: dark knowledge after {end} steps"]
    yield nt.Control(
        "trained-out",
        f"the teacher is stopped: here it trains for {end} steps",
        replace(in_the_end, claimed=height, like=in_the_end),
    )
    # Among classes of one cosine there are no siblings.
    count, each = levels.superclasses * CLASSES, levels.points
    flat = nt.data.equicorrelated_clusters(count, each, angle=tree.angle)
    of_flat = nt.predictions.cluster_spectrum(count, each, tree.angle)
    one = replace(levels, noise=of_flat.noise, class_=of_flat.information,
                  super_=of_flat.information, mean=of_flat.mean)  # fmt: skip
    alike = tree.training("no superclasses", replace(tree.recipe, inputs=flat.inputs), one)
    yield nt.Control(
        "no-superclasses",
        "classes have siblings: here all pairs of classes have one cosine",
        in_the_end.under(alike, name=f"dark knowledge after {top} steps", at=top, expect=0.0,
                         claimed=height),
    )  # fmt: skip
    # Half of each class keeps its label, the rest carries the siblings' in turn.
    groups, rank = np.repeat(np.arange(count), each), np.tile(np.arange(each), count)
    shift = np.where(rank % 2 == 0, 0, 1 + (rank // 2) % (CLASSES - 1))
    siblings = groups - groups % CLASSES + (groups + shift) % CLASSES
    noisy = tree.recipe.relabelled(np.eye(count)[siblings])
    remains = nt.predictions.dark_knowledge(levels, noisy.rate, end, 0.5, "superclass")
    yield nt.Control(
        "labels-of-siblings",
        "labels are right: here half of them are those of siblings, which a teacher keeps for good",
        in_the_end.under(tree.training("labels of siblings", noisy, levels),
                         expect=float(remains[-1])),
    )  # fmt: skip
    yield from students.controls()


@CLAIM.arrays
def arrays(run: nt.Run) -> dict[str, Array]:
    """Outputs of all classes at the peak, and what students gain."""
    step, points = int(run.problem.knowledge.argmax()), run.trainings[TREE].points
    return {
        "class_outputs": class_outputs(run.widest(TREE).outputs()[:, step], points),
        "predicted_class_outputs": class_outputs(points.predicted[step], points),
        "peak_step": np.array(step),
        **students.arrays(run.notes["students"]),
    }


@CLAIM.finding
def finding(run: nt.Run) -> str:
    """The height of the peak, and the gain of the students."""
    tree, points = run.problem, run.trainings[TREE].points
    found = dark_knowledge(run.widest(TREE).outputs(), points)[:, tree.knowledge.argmax()].mean()
    gains = students.gained(run.notes["students"], students.STOPPED).mean(axis=-1)
    of_tree = students.gained(run.notes["students"], "tree averages")[1].mean()
    return (
        f"dark knowledge of nets of width {run.nets.widths[-1]} peaks at {found:.3g}, predicted "
        f"{tree.knowledge.max():.3g}; a student of one point per class gains {gains[1]:.1%} in "
        f"accuracy from the stopped teacher, predicted {gains[0]:.1%}, and {of_tree:.1%} "
        "from its averages over the tree alone"
    )


def _maps(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """What do nets output on each class for points of each, where dark knowledge peaks?

    The nets beside the closed form, on one scale; siblings are neighbours.
    """
    arrays, drawing = result.arrays, nt.drawing
    if "class_outputs" not in arrays:
        return
    nets, predicted = arrays["class_outputs"].mean(axis=0), arrays["predicted_class_outputs"]
    count, siblings = len(predicted), int(result.config["classes"])
    classes, beside = np.arange(1, count + 1), count + 1
    draw = partial(drawing.heatmap, axes, most=float(predicted.max()), ruled=True)
    draw(classes, classes, nets, "mean output", scale="inside")
    draw(classes + beside, classes, predicted, "prediction closed form", scale=None)
    width = result.config["widths"][-1]
    for place, text in ((0, f"nets of width {width}"), (beside, "closed form")):
        axes.text(place + (count + 1) / 2, count + 0.7, text, ha="center", va="top", fontsize=7)
    # Labels of four superclasses along an axis, at most.
    first = np.arange(1, count + 1, siblings * math.ceil(count / siblings / 4))
    names = [f"{one}–{one + siblings - 1}" for one in first]
    middle = first + (siblings - 1) / 2
    axes.set_xticks(np.concatenate([middle, middle + beside]), 2 * names)
    axes.set_yticks(middle, names)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.spines[:].set_visible(False)
    # The first class on top; below the last one room for what the maps are, and their scale.
    axes.set(xlabel=f"output on class, at step {int(arrays['peak_step'])}", aspect="equal",
             xlim=(0.4, count + beside + 0.6), ylim=(1.4 * count + 0.5, 0.4))  # fmt: skip
    axes.set_ylabel("points of class", y=1 - 0.5 / 1.4)


def _gains(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """What do students of different targets gain over that of hard labels?"""
    arrays, drawing = result.arrays, nt.drawing
    if "gain" not in arrays:
        return
    names = [one.removesuffix(" teacher") for one in students.STUDENTS if one != students.HARD]
    place, gains, predicted = np.arange(len(names)), arrays["gain"], arrays["predicted_gain"]
    drawing.dots(axes, place, gains.T, drawing.BLUE, "nets, one dot a world")
    drawing.dots(axes, place, gains.mean(axis=0), drawing.ORANGE, "their mean", "s", size=5)
    for index, (name, level) in enumerate(zip(names, predicted.mean(axis=0), strict=True)):
        label = None if index else "kernel predictor, mean"
        drawing.prediction(axes, [index - 0.35, index + 0.35], [level, level], label, of=name)
    drawing.bound(axes, 0.0, "hard labels")
    axes.set_xticks(place, names, rotation=25, ha="right")
    axes.set(ylabel="gain in accuracy")
    axes.legend()


CLAIM.panels = {
    "rise-and-fall": Curves(
        dark_knowledge, of=(TREE,), ylabel="output on siblings − on others",
        marks={r"$t_\mathrm{peak}$": lambda config: config["peak_time"]},
        more={"ylim": (0, None)}, legend="upper right",
    ),
    "class-outputs": _maps,
    "students": _gains,
}  # fmt: skip
