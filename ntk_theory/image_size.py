"""Problems of the size of an image data set: ten classes, 3072 features.

No closed form holds on such data. Predictions are recursions on the measured kernel, which is
formed in blocks and not kept where it does not fit the memory; what tells information from noise
are its largest eigenvalues, found from products alone at that size.
"""

from __future__ import annotations

__all__ = ["AT_SCALE", "CLASSES", "FEATURES", "Climb", "ImageSize"]

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ntk_theory import data, predictions, spectrum
from ntk_theory.checking.evidence import Evidence
from ntk_theory.checking.ladder import Ladder, NetPlan, first_step_row, plan_nets
from ntk_theory.checking.rows import Training
from ntk_theory.checking.verdicts import Measurement, Options, Premise, Progress
from ntk_theory.kernels import Precision
from ntk_theory.machine.resources import memory_limit
from ntk_theory.problems import Recipe
from ntk_theory.streaming import KernelOperator, fits
from ntk_theory.training import Trajectory
from ntk_theory.training.footprint import Footprint, matrix_rate
from ntk_theory.training.products import PRECISIONS

Array = NDArray[np.float64]

CLASSES, FEATURES = 10, 3072
_LEAST_WIDTHS, _LEAST_NETS, _LEAST_POINTS, _LEAST_STEPS = 4, 2, 10, 8
_DATA_STREAM, _EIGEN_STREAM = 7, 8

_EFFICIENCY = 0.5
"""Share of the rate of matrix products that a step reaches, in the estimate of a run's time."""

_DECOMPOSITION_BYTES, _DECOMPOSITION_OPERATIONS, _SHARE = 24, 9, 0.02
"""Of all eigenpairs: bytes a matrix entry, operations over n³, and their share of the training."""

_FIXED = ("clusters", "cross_cosine", "schedule", "learning_rate", "init_scale")
"""Knobs that other presets of a claim may take."""

_ROWS = 1000
"""Rows of inner products that are formed together."""

_RESIDUAL = 1e-3
"""Of an eigenpair, as a share of its eigenvalue."""

_RATIO_TOLERANCE = 0.1
"""By which the measured ratio may differ from the one asked for, as a share."""


class _Preset(NamedTuple):
    """What the options leave open.

    Attributes:
        points: in each class.
        ratio: mean information eigenvalue over mean noise eigenvalue.
        steps: T.
        widths: of the ladder.
        nets: at each width.
    """

    points: int
    ratio: float
    steps: int
    widths: tuple[int, ...]
    nets: int


AT_SCALE = {
    "cifar-mini": _Preset(200, 20.0, 40, (512, 1024, 2048, 4096), 2),
    "cifar": _Preset(5000, 200.0, 120, (8192, 16384, 32768, 65536), 2),
}
"""Presets of that size: a laptop takes minutes for the small one, the other is for a GPU."""


def _radius(points: int, ratio: float) -> float:
    """RMS distance from the centre that leads to a ratio.

    Two points of a class have the mean cosine c = 1/(1 + ε²), others 0 in the mean, so
    r = 1 + s κ(c)/(1/2 − κ(c)), as on equicorrelated clusters.
    """
    angle = predictions.cluster_angle(points, ratio)
    return math.sqrt(1 / math.cos(angle) - 1)


class Climb(NamedTuple):
    """Nets of all widths.

    Attributes:
        ladder: how they did.
        rounding: RMS error of the widest by rounding.
        first_step: row of their outputs after one step of plain training.
    """

    ladder: Ladder
    rounding: float
    first_step: Measurement


@dataclass(frozen=True)
class ImageSize:
    """Data, and the nets to train on it; what takes the kernel is computed when it is asked for.

    Attributes:
        points: in each class.
        ratio: asked for.
        noise_rate: ρ, of symmetric noise.
        steps: T.
        nets: which are trained.
    """

    ways: ClassVar[int]
    """In how many ways all widths are trained; a control is trained at the one below the widest."""

    points: int
    ratio: float
    noise_rate: float
    steps: int
    nets: NetPlan

    @cached_property
    def dataset(self) -> data.Dataset:
        """One cluster a class, with symmetric label noise."""
        key = np.random.SeedSequence(self.nets.seed, spawn_key=(_DATA_STREAM,))
        rng = np.random.default_rng(key)
        design = data.gaussian_clusters(
            CLASSES, self.points, FEATURES, radius=_radius(self.points, self.ratio), rng=rng
        )
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
        key = np.random.SeedSequence(self.nets.seed, spawn_key=(_EIGEN_STREAM,))
        groups = self.dataset.design.groups
        return spectrum.extreme_eigenpairs(
            self.kernel,
            CLASSES + 2,
            rng=np.random.default_rng(key),
            guess=np.eye(CLASSES)[groups],
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
    def largest_rate(self) -> float:
        """1/λ_max."""
        return 1 / float(self.top.values[0])

    def crossing(self, learning_rate: float, first_outputs: Array) -> float:
        """C of section 9.5, for the first step from outputs 0.

        Args:
            learning_rate: η.
            first_outputs: predicted after that step, shape (n, C).
        """
        rows = self.dataset.inputs
        pull = learning_rate  # times one-hot rows: of size 1
        parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
        reach = np.concatenate([np.abs(part @ rows.T).sum(axis=1) * pull for part in parts])
        return predictions.crossing_of_reach(np.full(len(rows), pull), reach, first_outputs)

    def spectral_premises(self, learning_rate: float) -> list[Premise]:
        """Hypotheses on the measured kernel, before any training."""
        top = self.top
        gap = float(top.values[CLASSES - 1] / top.values[CLASSES])
        residual = float((top.residuals / top.values).max())
        rate = learning_rate * float(top.values[0] + top.residuals[0])
        return [
            Premise(
                "eigenpairs found",
                residual,
                residual < _RESIDUAL,
                f"‖Hv − λv‖ < {_RESIDUAL:g} λ for each",
            ),
            Premise("information above noise", gap, gap > 2, "λ_C > 2 λ_{C+1}"),
            Premise("no overshoot", rate, rate <= 1 + _RESIDUAL, "ηλ_max <= 1"),
        ]

    def ratio_row(self) -> Measurement:
        """The ratio asked for, and the measured one."""
        return Measurement(
            "ratio of mean information to mean noise eigenvalue",
            self.ratio,
            self.measured_ratio,
            _RATIO_TOLERANCE * self.ratio,
        )

    def climb(
        self,
        trainings: Sequence[Training],
        evidence: Evidence,
        progress: Progress,
        look: Callable[[Training, Trajectory], None] | None = None,
    ) -> Climb | None:
        """Train nets of all widths in all ways; nothing if some of them diverge.

        Args:
            trainings: the last of them on the observed labels alone.
            evidence: metrics go there, and how far it has come.
            progress: told how far it has come.
            look: at each trajectory, which is not kept.
        """
        ladder, rounding, first = self.nets.ladder(self.dataset.clean), 0.0, []
        plain = np.asarray(trainings[-1].predicted[1])
        for one in trainings:
            for width in ladder.widths:
                made = ladder.train(one.name, one.recipe, width, one.predicted, progress=progress)
                evidence.metrics = list(ladder.metrics())
                evidence.progress_note = f"at {one.name}, width {width}"
                if evidence.diverged(made.diverged):
                    return None
                if one is trainings[0] and width == ladder.widths[0]:
                    rounding = self.rounding(ladder, one.recipe, made)
                if one is trainings[-1]:
                    along = (made.outputs[:, 1] * plain).sum(axis=(1, 2))
                    first.append(along / np.square(plain).sum())
                if look is not None:
                    look(one, made)
        crossing = self.crossing(float(np.ravel(trainings[-1].recipe.learning_rate)[0]), plain)
        row = first_step_row(ladder.widths, np.array(first), trainings[-1].name, crossing)
        return Climb(ladder, rounding, row)

    def rounding(self, ladder: Ladder, recipe: Recipe, narrowest: Trajectory) -> float:
        """RMS rounding error at the widest: that of a narrow net against itself in float64.

        Outputs are sums over neurons, whose rounding grows like the root of the width at most.

        Args:
            ladder: of the nets.
            recipe: what they were trained on.
            narrowest: what those of the narrowest width did.
        """
        widths = self.nets.widths
        error = ladder.rounding_error(recipe, narrowest, widths[0])
        return error * math.sqrt(widths[-1] / widths[0])

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

    def work(self) -> float:
        """Neuron-steps of the whole run, for the progress bar."""
        widths = self.nets.widths
        return self.steps * self.nets.count * (float(self.ways) * sum(widths) + widths[-2])

    @property
    def _kept(self) -> bool:
        """Whether the kernel is kept."""
        return fits(CLASSES * self.points, self._precision, memory_limit() / 2)

    @property
    def _operations(self) -> float:
        """Of the whole run, but for the net that is trained in float64."""
        points = CLASSES * self.points
        forming = float(points) ** 2 * FEATURES
        each = 2.0 * points**2 * CLASSES if self._kept else forming
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

    def describe(self) -> str:
        """What the run takes, before it: device, precision, blocks, memory, operations, time."""
        points, widest = CLASSES * self.points, self._footprints[-1]
        kept, whole = "kept", points**2 * widest.itemsize
        if not self._kept:
            kept = "formed anew at every product"
        found = "all" if self.decomposed else f"the {CLASSES + 2} largest"
        return (
            f"plan: {self.nets.device}, {widest}; kernel of {whole / 2**20:.0f} MiB {kept}, "
            f"{found} of its eigenvalues; "
            f"{self._operations:.2g} operations, some {self.seconds():.0f} s at the rate measured "
            "just now"
        )

    def config(self) -> dict[str, Any]:
        """Every number of the run."""
        return {
            **self.nets.config(),
            "clusters": CLASSES,
            "points": self.points,
            "dimension": FEATURES,
            "classes": CLASSES,
            "ratio": self.ratio,
            "noise_rate": self.noise_rate,
            "steps": self.steps,
        }

    @classmethod
    def of(cls, options: Options) -> Self:
        """Everything that the options leave open; raises ValueError for ones that make no sense."""
        preset = AT_SCALE[options.preset]
        for knob in _FIXED:
            if knob in options.knobs:
                raise ValueError(
                    f"{knob} cannot be chosen for preset {options.preset}, which derives it; leave "
                    "it out or take another preset"
                )
        points = options.knobs.get("points", preset.points)
        ratio = options.knobs.get("ratio", preset.ratio)
        noise_rate = options.knobs.get("noise_rate", 0.4)
        steps = options.knobs.get("steps", preset.steps)
        if points < _LEAST_POINTS:
            raise ValueError(f"points must be at least {_LEAST_POINTS} in each class; got {points}")
        if not (math.isfinite(ratio) and ratio > 1):
            raise ValueError(f"ratio must be above 1, information over noise; got {ratio}")
        if not 1 / points <= noise_rate < 1:
            raise ValueError(f"noise_rate must lie in [1/points, 1); got {noise_rate}")
        if steps < _LEAST_STEPS:
            raise ValueError(f"steps must be at least {_LEAST_STEPS}; got {steps}")
        nets = plan_nets(
            options,
            preset.widths,
            preset.nets,
            least_widths=_LEAST_WIDTHS,
            least_count=_LEAST_NETS,
            shape=(CLASSES * points, FEATURES),
            dtype="float32",
            precisions=PRECISIONS,
        )
        return cls(points, ratio, noise_rate, steps, nets)

    @classmethod
    def predict(cls, options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
        """Config, and what is known without forming the kernel."""
        plan = cls.of(options)
        return plan.config(), {"ratio r, mean over mean eigenvalue": plan.ratio}

    @classmethod
    def described(cls, options: Options) -> str:
        """The plan of a run, in one paragraph."""
        return cls.of(options).describe()
