"""Problems of the size of an image data set: ten classes, 3072 features.

No closed form holds on such data. Predictions are recursions on the measured kernel, which is
formed in blocks and not kept where it does not fit the memory; what tells information from noise
are its largest eigenvalues, found from products alone at that size.
"""

from __future__ import annotations

__all__ = ["CLASSES", "FEATURES", "SIZES", "ImageSize", "at_image_size"]

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, predictions, spectrum
from ntk_theory.checking.claim import Claim
from ntk_theory.checking.evidence import first_step_row
from ntk_theory.checking.ladder import NetPlan
from ntk_theory.checking.rows import Training
from ntk_theory.checking.run import Run
from ntk_theory.checking.sweep import Sweep
from ntk_theory.checking.verdicts import Measurement, Premise
from ntk_theory.distilled import Units, on_gram
from ntk_theory.kernels import Precision
from ntk_theory.machine.resources import memory_limit
from ntk_theory.streaming import KernelOperator, fits
from ntk_theory.targets import PLAIN, Schedule
from ntk_theory.training.footprint import Footprint, matrix_rate
from ntk_theory.training.products import PRECISIONS

Array = NDArray[np.float64]

CLASSES, FEATURES = 10, 3072
_LEAST_POINTS, _LEAST_STEPS = 10, 8
_DATA_STREAM, _EIGEN_STREAM = 7, 8

_EFFICIENCY = 0.5
"""Share of the rate of matrix products that a step reaches, in the estimate of a run's time."""

_DECOMPOSITION_BYTES, _DECOMPOSITION_OPERATIONS, _SHARE = 24, 9, 0.02
"""Of all eigenpairs: bytes a matrix entry, operations over n³, and their share of the training."""

_ROWS = 1000
"""Rows of inner products that are formed together."""

_RESIDUAL = 1e-3
"""Of an eigenpair, as a share of its eigenvalue."""

_RATIO_TOLERANCE = 0.1
"""By which the measured ratio may differ from the one asked for, as a share."""


class _Size(NamedTuple):
    """What the options leave open.

    Attributes:
        sweep: which nets.
        points: in each class.
        ratio: mean information eigenvalue over mean noise eigenvalue.
        steps: T.
    """

    sweep: Sweep
    points: int
    ratio: float
    steps: int


SIZES = {
    "cifar-mini": _Size(Sweep(512, 4096, 4, nets=2), 200, 20.0, 40),
    "cifar": _Size(Sweep(2**13, 2**16, 4, nets=2), 5000, 200.0, 120),
}
"""By preset: a laptop takes minutes for the small one, the other is for a GPU."""


def _radius(points: int, ratio: float) -> float:
    """RMS distance from the centre that leads to a ratio.

    Two points of a class have the mean cosine c = 1/(1 + ε²), others 0 in the mean, so
    r = 1 + s κ(c)/(1/2 − κ(c)), as on equicorrelated clusters.
    """
    angle = predictions.cluster_angle(points, ratio)
    return math.sqrt(1 / math.cos(angle) - 1)


@dataclass(frozen=True)
class ImageSize:
    """Data, and the nets to train on it; what takes the kernel is computed when it is asked for.

    Attributes:
        points: in each class.
        ratio: asked for.
        noise_rate: ρ, of symmetric noise.
        steps: T.
        seed: of the data.
        nets: which are trained.
    """

    ways: ClassVar[int]
    """In how many ways all widths are trained; a control is trained at the one below the widest."""

    share: ClassVar[float]
    """ηλ_max."""

    points: int
    ratio: float
    noise_rate: float
    steps: int
    seed: int
    nets: NetPlan

    @classmethod
    def of(
        cls, *, seed: int, preset: str, nets: NetPlan, points: int | None = None,
        ratio: float | None = None, noise_rate: float = 0.4, steps: int | None = None,
    ) -> Self:  # fmt: skip
        """Noisy labels on one Gaussian cluster a class.

        Args:
            seed: of the data.
            preset: whose size it has where the others are left out.
            nets: which are trained.
            points: in each class.
            ratio: mean information eigenvalue over mean noise eigenvalue.
            noise_rate: ρ, of symmetric noise.
            steps: T.
        """
        size = SIZES[preset]
        points = size.points if points is None else points
        ratio = size.ratio if ratio is None else ratio
        steps = size.steps if steps is None else steps
        if points < _LEAST_POINTS:
            raise ValueError(f"points must be at least {_LEAST_POINTS} in each class; got {points}")
        if not (math.isfinite(ratio) and ratio > 1):
            raise ValueError(f"ratio must be above 1, information over noise; got {ratio}")
        if not 1 / points <= noise_rate < 1:
            raise ValueError(f"noise_rate must lie in [1/points, 1); got {noise_rate}")
        if steps < _LEAST_STEPS:
            raise ValueError(f"steps must be at least {_LEAST_STEPS}; got {steps}")
        return cls(points, ratio, noise_rate, steps, seed, nets)

    def config(self) -> dict[str, Any]:
        """Every number of the data."""
        return {
            "clusters": CLASSES,
            "points": self.points,
            "dimension": FEATURES,
            "classes": CLASSES,
            "ratio": self.ratio,
            "noise_rate": self.noise_rate,
            "steps": self.steps,
        }

    # ------------------------------------------------------------ data and spectrum

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stream,)))

    @cached_property
    def dataset(self) -> data.Dataset:
        """One cluster a class, with symmetric label noise."""
        rng, radius = self._rng(_DATA_STREAM), _radius(self.points, self.ratio)
        design = data.gaussian_clusters(CLASSES, self.points, FEATURES, radius=radius, rng=rng)
        return data.noisy_labels(
            design, noise_rate=self.noise_rate, rng=rng, classes=CLASSES, count="balanced"
        )

    @property
    def _precision(self) -> Precision:
        """Of the kernel."""
        return "float64" if self.nets.dtype == "float64" else "float32"

    @cached_property
    def kernel(self) -> KernelOperator:
        """H of the training points."""
        return KernelOperator(
            self.dataset.inputs,
            dtype=self._precision,
            device=self.nets.device,
            memory=memory_limit() / 2,
        )

    @property
    def decomposed(self) -> bool:
        """Whether all eigenvalues are computed: where they fit, and take little of the time."""
        points = CLASSES * self.points
        return (
            _DECOMPOSITION_BYTES * points**2 <= memory_limit() / 2
            and _DECOMPOSITION_OPERATIONS * points**3 <= _SHARE * self._training_operations
        )

    @cached_property
    def pairs(self) -> spectrum.Eigenpairs:
        """All eigenpairs, or those of the information and the two largest of the noise."""
        if self.decomposed:
            whole = spectrum.eigendecomposition(self.kernel.dense())
            values = np.ascontiguousarray(whole.eigenvalues[::-1])
            vectors = np.ascontiguousarray(whole.eigenvectors[:, ::-1])
            distance = self.kernel @ vectors - values * vectors
            return spectrum.Eigenpairs(values, vectors, np.linalg.norm(distance, axis=0))
        return spectrum.extreme_eigenpairs(
            self.kernel,
            CLASSES + 2,
            rng=self._rng(_EIGEN_STREAM),
            guess=np.eye(CLASSES)[self.dataset.design.groups],
            tolerance=1e-8 if self.nets.dtype == "float64" else 1e-5,
        )

    @property
    def top(self) -> spectrum.Eigenpairs:
        """Those of the information, and the two largest of the noise."""
        pairs, count = self.pairs, CLASSES + 2
        return spectrum.Eigenpairs(
            pairs.values[:count], pairs.vectors[:, :count], pairs.residuals[:count]
        )

    @property
    def noise_eigenvalue(self) -> float:
        """Mean of all eigenvalues but the first C."""
        rest = self.kernel.trace - float(self.top.values[:CLASSES].sum())
        return rest / (self.kernel.shape[0] - CLASSES)

    @property
    def measured_ratio(self) -> float:
        """Mean of the first C eigenvalues over that of the rest."""
        return float(self.top.values[:CLASSES].mean()) / self.noise_eigenvalue

    @property
    def learning_rate(self) -> float:
        """Of all nets, η."""
        return self.share / float(self.top.values[0])

    def premises(self) -> Iterator[Premise]:
        """Hypotheses on the measured kernel, before any training."""
        top = self.top
        gap = float(top.values[CLASSES - 1] / top.values[CLASSES])
        residual = float((top.residuals / top.values).max())
        rate = self.learning_rate * float(top.values[0] + top.residuals[0])
        needed = f"‖Hv − λv‖ < {_RESIDUAL:g} λ for each"
        yield Premise("eigenpairs found", residual, residual < _RESIDUAL, needed)
        yield Premise("information above noise", gap, gap > 2, "λ_C > 2 λ_{C+1}")
        yield Premise("no overshoot", rate, rate <= 1 + _RESIDUAL, "ηλ_max <= 1")

    @cached_property
    def units(self) -> Units:
        """Learning rate, a quarter of a memorisation time that nothing depends on, and steps."""
        return Units(self.learning_rate, 1.0, self.steps)

    def training(
        self, name: str, schedule: Schedule = PLAIN.schedule, *, on: data.Dataset | None = None,
        **more: Any,
    ) -> Training:  # fmt: skip
        """Hard self-distillation, predicted by the recursion on the kernel.

        Args:
            name: of the training.
            schedule: weights of the observed labels; they alone, if left out.
            on: the same points with other labels, if not these.
            more: other attributes of the training.
        """
        # A kernel limit would be the same recursion once more.
        return on_gram(name, self.dataset if on is None else on, self.kernel, schedule, self.units,
                       kernel_limit=False, **more)  # fmt: skip

    def arrays(self) -> dict[str, Array]:
        """All eigenvalues that were found."""
        return {"eigenvalues": self.pairs.values}

    def closed_forms(self) -> Iterator[Measurement]:
        """The ratio asked for, and the measured one."""
        yield Measurement(
            "ratio of mean information to mean noise eigenvalue",
            self.ratio,
            self.measured_ratio,
            _RATIO_TOLERANCE * self.ratio,
        )

    def first_step(self, run: Run, name: str) -> Measurement:
        """Outputs after one step of plain training, along and over their prediction (section 9.5).

        Args:
            run: whose nets are trained.
            name: of a training on the observed labels alone.
        """
        first, rows, rate = (
            run.trainings[name].predicted[1],
            self.dataset.inputs,
            self.learning_rate,
        )
        along = [(nets.outputs()[:, 1] * first).sum(axis=(1, 2)) for nets in run.results[name]]
        # One-hot rows are of size 1, and so are inputs.
        parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        reach = np.concatenate([np.abs(part @ rows.T).sum(axis=1) * rate for part in parts])
        crossing = predictions.crossing_of_reach(np.full(len(rows), rate), reach, first)
        return first_step_row(
            run.nets.widths, np.array(along) / np.square(first).sum(), name, crossing
        )

    def found(self, run: Run, said: str) -> str:
        """Sentence about the widest nets, with their data and rounding."""
        row = replace(run.declared.rows[0], norm="rms")
        return (
            f"on {CLASSES * self.points} points of {FEATURES} features {said}; {run.nets.dtype} "
            f"products are off by {run.rounding_error(row, run.nets.widths[-1]):.1e}"
        )

    # ------------------------------------------------------------ what a run takes

    @property
    def _footprints(self) -> list[Footprint]:
        """Of a net of each width."""
        nets = self.nets
        points = CLASSES * self.points
        return [Footprint(points, FEATURES, m, nets.dtype, nets.device) for m in nets.widths]

    @property
    def _training_operations(self) -> float:
        each = [one.operations for one in self._footprints]
        return self.steps * self.nets.count * (self.ways * sum(each) + each[-2])

    @property
    def _kernel_kept(self) -> bool:
        return fits(CLASSES * self.points, self._precision, memory_limit() / 2)

    @property
    def _outputs(self) -> int:
        """Bytes of all outputs: of nets, two more sets to compare with, predicted, in float64."""
        nets = self.nets.count * (self.ways * len(self.nets.widths) + 1 + 2)
        each = 8 * CLASSES**2 * self.points * (self.steps + 1)
        return each * (nets + self.ways + 2)

    @property
    def _operations(self) -> float:
        """Of the whole run, but for the net that is trained in float64."""
        points = CLASSES * self.points
        forming = float(points) ** 2 * FEATURES
        each = 2.0 * points**2 * CLASSES if self._kernel_kept else forming
        return self._training_operations + (self.ways + 1) * self.steps * each + forming

    def seconds(self) -> float:
        """How long a run takes, at rates of matrix products that are measured now."""
        dtype, device = self.nets.dtype, self.nets.device
        taken = self._operations / matrix_rate(dtype, device)
        if dtype != "float64":
            exact = Footprint(
                CLASSES * self.points, FEATURES, self.nets.widths[0], "float64", device
            )
            taken += self.steps * exact.operations / matrix_rate("float64", device)
        return taken / _EFFICIENCY

    def check_memory(self) -> None:
        """Raise ValueError if the widest net, and outputs of all, do not fit the memory."""
        self._footprints[-1].check(self._outputs)

    def plan(self) -> str:
        """What the run takes, before it: device, precision, blocks, memory, operations, time."""
        points, widest = CLASSES * self.points, self._footprints[-1]
        kept = "kept" if self._kernel_kept else "formed anew at every product"
        found = "all" if self.decomposed else f"the {CLASSES + 2} largest"
        return (
            f"plan: {self.nets.device}, {widest}; outputs of all nets, "
            f"{self._outputs / 2**20:.0f} MiB, kept; "
            f"kernel of {points**2 * widest.itemsize / 2**20:.0f} MiB {kept}, "
            f"{found} of its eigenvalues; "
            f"{self._operations:.2g} operations, some {self.seconds():.0f} s at the rate measured "
            "just now"
        )


def at_image_size(claim: Claim, problem: type[ImageSize]) -> Claim:
    """The claim of another size: all but its trainings, rows and controls.

    Args:
        claim: that has presets of this size.
        problem: what they are about.
    """
    scaled = claim.resized(
        presets={name: size.sweep for name, size in SIZES.items()},
        control_nets=2,
        least_nets=2,
        precisions=("float32", *PRECISIONS),
    )
    scaled.problem(problem.of)
    scaled.closed_forms(problem.closed_forms)
    return scaled
