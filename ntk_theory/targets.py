"""Label policies z_t = α_t ỹ + (1 − α_t) h(u) and the schedules α_t of the observed labels.

Section numbers refer to docs/theory.md. Outputs and targets are tensors (..., n, C), with C = 1
for two classes labelled ±1.
"""

from __future__ import annotations

__all__ = [
    "PLAIN",
    "Agreement",
    "BurnIn",
    "Constant",
    "Distillation",
    "Geometric",
    "Loss",
    "Power",
    "Schedule",
    "format_schedule",
    "harden",
    "parse_schedule",
    "predict",
    "temper",
    "weights",
]

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ntk_theory import arguments

Loss = Literal["square", "cross-entropy"]
Target = Literal["hard", "soft", "tempered"]

# ---------------------------------------------------------------- schedules


@dataclass(frozen=True)
class Constant:
    """α_t = level, in [0, 1]."""

    level: float

    def __post_init__(self) -> None:
        level = arguments.real(
            "level", self.level, "lie in [0, 1]", lambda x: 0 <= x <= 1, why="a weight"
        )
        object.__setattr__(self, "level", level)

    def weight(self, step: int) -> float:  # noqa: ARG002 (one signature for all schedules)
        """α_t."""
        return self.level

    @property
    def limit(self) -> float:
        """Limit of α_t."""
        return self.level


@dataclass(frozen=True)
class Power:
    """α_t = (1 + t/decay)^(−exponent); Σ α_t diverges for exponents up to 1."""

    decay: float
    exponent: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", arguments.positive("decay", self.decay))
        object.__setattr__(self, "exponent", arguments.positive("exponent", self.exponent))

    def weight(self, step: int) -> float:
        """α_t."""
        return float((1 + step / self.decay) ** -self.exponent)

    @property
    def limit(self) -> float:
        """Limit of α_t."""
        return 0.0


@dataclass(frozen=True)
class Geometric:
    """α_t = exp(−t/decay); Σ α_t is finite."""

    decay: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "decay", arguments.positive("decay", self.decay))

    def weight(self, step: int) -> float:
        """α_t."""
        return math.exp(-step / self.decay)

    @property
    def limit(self) -> float:
        """Limit of α_t."""
        return 0.0


@dataclass(frozen=True)
class Agreement:
    """1 − α_t = share of training labels that the hardened prediction agrees with.

    Its limit depends on the run: ρ where self-distillation succeeds (section 7).
    """

    @property
    def limit(self) -> None:
        """Not known before the run."""
        return None


@dataclass(frozen=True)
class BurnIn:
    """α_t = 1 for the first `steps` steps, then another schedule from its start."""

    steps: int
    then: Constant | Power | Geometric | Agreement

    def __post_init__(self) -> None:
        steps = arguments.whole("steps", self.steps, least=0, why="burn-in")
        object.__setattr__(self, "steps", steps)
        if not isinstance(self.then, Constant | Power | Geometric | Agreement):
            raise TypeError(
                "then must be a schedule without a burn-in of its own; got "
                f"{type(self.then).__name__}; give Constant, Power, Geometric or Agreement"
            )

    def weight(self, step: int) -> float:
        """α_t."""
        if step < self.steps:
            return 1.0
        if isinstance(self.then, Agreement):
            raise TypeError("the agreement schedule has no weight without a prediction")
        return self.then.weight(step - self.steps)

    @property
    def limit(self) -> float | None:
        """Limit of α_t."""
        return self.then.limit


Schedule = Constant | Power | Geometric | Agreement | BurnIn


def _check_schedule(schedule: Schedule) -> None:
    if not isinstance(schedule, Constant | Power | Geometric | Agreement | BurnIn):
        raise TypeError(
            f"schedule must be a schedule of this module; got {type(schedule).__name__}; "
            "give Constant, Power, Geometric, Agreement or BurnIn"
        )


def weights(schedule: Schedule, steps: int) -> NDArray[np.float64]:
    """α_0 .. α_{T−1} of a schedule that does not look at the prediction, shape (T,).

    >>> weights(BurnIn(2, Power(decay=1.0)), 4)
    array([1. , 1. , 1. , 0.5])
    """
    _check_schedule(schedule)
    steps = arguments.whole("steps", steps, least=0)
    if isinstance(schedule, Agreement):
        raise TypeError(
            "schedule must be known beforehand; got the agreement schedule, which has no weights "
            "without a prediction; take those of a trajectory"
        )
    return np.array([schedule.weight(step) for step in range(steps)])


_PARAMETERS = {
    "power": {"decay", "exponent", "burn_in"},
    "geometric": {"decay", "burn_in"},
    "constant": {"level", "burn_in"},
    "agreement": {"burn_in"},
}


def parse_schedule(text: str, *, burn_in: int, decay: float) -> BurnIn:
    """Schedule from its command-line form NAME[:KEY=VALUE,...].

    Args:
        text: "power", "geometric", "constant" or "agreement"; keys burn_in (all), decay (power,
            geometric), exponent (power), level (constant, required).
        burn_in: steps, where the text gives none.
        decay: time constant in steps, where the text gives none.

    Raises:
        ValueError: for an unknown name or key, or a value out of range.

    >>> parse_schedule("power:burn_in=5,decay=20", burn_in=1, decay=1.0)
    BurnIn(steps=5, then=Power(decay=20.0, exponent=1.0))
    """
    if not isinstance(text, str):
        raise TypeError(
            f"text must be NAME[:KEY=VALUE,...]; got {type(text).__name__}; give a str, as 'power'"
        )
    name, _, rest = text.partition(":")
    if name not in _PARAMETERS:
        raise ValueError(f"schedule must be one of {', '.join(_PARAMETERS)}; got {name!r}")
    given: dict[str, float] = {}
    for part in filter(None, rest.split(",")):
        key, _, value = part.partition("=")
        if key not in _PARAMETERS[name]:
            allowed = ", ".join(sorted(_PARAMETERS[name]))
            raise ValueError(f"schedule {name!r} takes the keys {allowed}; got {part!r}")
        if key in given:
            raise ValueError(f"schedule key {key} is given twice")
        try:
            given[key] = float(value)
        except ValueError:
            raise ValueError(f"schedule key {key} must be a number; got {value!r}") from None
    start = arguments.number("burn_in", given.pop("burn_in", burn_in))
    if not (math.isfinite(start) and start == int(start)):
        raise ValueError(f"schedule key burn_in must be a whole number of steps; got {start}")
    then: Constant | Power | Geometric | Agreement
    if name == "constant":
        if "level" not in given:
            raise ValueError("schedule 'constant' needs its level, as in constant:level=0.25")
        then = Constant(given["level"])
    elif name == "agreement":
        then = Agreement()
    elif name == "geometric":
        then = Geometric(given.get("decay", decay))
    else:
        then = Power(given.get("decay", decay), given.get("exponent", 1.0))
    return BurnIn(int(start), then)


def format_schedule(schedule: BurnIn) -> str:
    """Command-line form of a schedule, with every number: the inverse of `parse_schedule`.

    >>> format_schedule(BurnIn(5, Constant(0.25)))
    'constant:burn_in=5,level=0.25'
    """
    if not isinstance(schedule, BurnIn):
        raise TypeError(
            f"schedule must be a BurnIn; got {type(schedule).__name__}; give BurnIn(0, schedule)"
        )
    then = schedule.then
    numbers = {"burn_in": schedule.steps} | {f.name: getattr(then, f.name) for f in fields(then)}
    pairs = ",".join(
        f"{key}={int(value) if key == 'burn_in' else float(value)!r}"
        for key, value in numbers.items()
    )
    return f"{type(then).__name__.lower()}:{pairs}"


# ---------------------------------------------------------------- label policies


def _check_outputs(name: str, outputs: Tensor) -> None:
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        came = outputs.dtype if isinstance(outputs, Tensor) else type(outputs).__name__
        raise TypeError(
            f"{name} must be a tensor of real numbers; got {came}; "
            f"give torch.as_tensor({name}, dtype=torch.float64)"
        )
    if outputs.ndim == 0 or outputs.shape[-1] == 0:
        raise ValueError(
            f"{name} must have the outputs in its last axis, (..., n, C); "
            f"got {tuple(outputs.shape)}; for one output give {name}[..., None]"
        )


def harden(outputs: Tensor) -> Tensor:
    """Hard labels: sign with sign(0) = 0; for C > 1 the one-hot argmax, a tie shared equally.

    >>> harden(torch.tensor([[0.3], [-0.2], [0.0]])).flatten().tolist()
    [1.0, -1.0, 0.0]
    >>> harden(torch.tensor([[0.3, 0.1, 0.3]])).tolist()
    [[0.5, 0.0, 0.5]]
    """
    _check_outputs("outputs", outputs)
    if outputs.shape[-1] == 1:
        return outputs.sign()
    best = (outputs == outputs.amax(dim=-1, keepdim=True)).to(outputs.dtype)
    return best / best.sum(dim=-1, keepdim=True)


def temper(outputs: Tensor, temperature: float) -> Tensor:
    """Softened hard labels: tanh(u/T), or softmax(u/T) for C > 1; T → 0 gives `harden`.

    >>> temper(torch.tensor([[0.3], [-0.2]]), temperature=0.01).flatten().tolist()
    [1.0, -1.0]
    """
    _check_outputs("outputs", outputs)
    temperature = arguments.positive("temperature", temperature)
    if outputs.shape[-1] == 1:
        return torch.tanh(outputs / temperature)
    return torch.softmax(outputs / temperature, dim=-1)


def predict(outputs: Tensor, loss: Loss) -> Tensor:
    """What a loss compares with its targets: the outputs, or their softmax under cross-entropy.

    Either loss has the gradient predict(f) − z with respect to the outputs f, if the targets z of
    cross-entropy sum to 1 over the classes.

    Reference: section 5.
    """
    _check_outputs("outputs", outputs)
    square = arguments.choice("loss", loss, get_args(Loss)) == "square"
    return outputs if square else torch.softmax(outputs, dim=-1)


@dataclass(frozen=True)
class Distillation:
    """What the net is trained on: α_t ỹ + (1 − α_t) h(teacher's outputs).

    Attributes:
        schedule: α_t, indexed by the step.
        target: h: "hard", "soft" (the prediction itself: the outputs, or their softmax under
            cross-entropy) or "tempered".
        temperature: of tempered targets.
        epoch: steps per epoch. Without it the current prediction teaches every step. With it the
            prediction at the start of the previous epoch teaches (the initial one at first).
        restart: begin every epoch at the initial weights, taught by the last prediction of the
            epoch before; needs `epoch`.

    Reference: section 4.

    >>> outputs, observed = torch.tensor([[[0.5], [0.25]]]), torch.tensor([[1.0], [-1.0]])
    >>> for target in ("hard", "soft"):
    ...     targets, _ = Distillation(Constant(0.5), target).teach(outputs, observed, step=0)
    ...     print(targets.flatten().tolist())
    [1.0, 0.0]
    [0.75, -0.375]
    """

    schedule: Schedule
    target: Target = "hard"
    temperature: float = 1.0
    epoch: int | None = None
    restart: bool = False

    def __post_init__(self) -> None:
        _check_schedule(self.schedule)
        arguments.choice("target", self.target, get_args(Target))
        temperature = arguments.positive("temperature", self.temperature)
        object.__setattr__(self, "temperature", temperature)
        if self.epoch is not None:
            epoch = arguments.whole("epoch", self.epoch, least=1, why="steps")
            object.__setattr__(self, "epoch", epoch)
        object.__setattr__(self, "restart", arguments.flag("restart", self.restart))
        if self.restart and self.epoch is None:
            raise ValueError("restart needs epoch, the number of steps after which to restart")

    @property
    def labels(self) -> arguments.TargetKind:
        """Which observed labels it takes: "hard" ones alone, or "any".

        Hard ones, ±1 or one-hot rows, where hardened predictions are mixed with them or compared
        with them.
        """
        schedule = self.schedule.then if isinstance(self.schedule, BurnIn) else self.schedule
        if isinstance(schedule, Agreement):
            return "hard"
        return "hard" if self.target == "hard" and schedule != Constant(1.0) else "any"

    def teach(
        self, teacher: Tensor, observed: Tensor, step: int, loss: Loss = "square"
    ) -> tuple[Tensor, Tensor]:
        """Targets z_t and weights α_t of one step.

        Args:
            teacher: outputs that teach, shape (S, n, C).
            observed: ỹ, shape (n, C).
            step: t.
            loss: it says what the soft prediction is.

        Returns:
            Targets (S, n, C) and weights (S,).

        Raises:
            ValueError: for shapes that do not fit each other. Labels themselves are looked at
                before training, by `arguments.targets`, and not at every step.
        """
        for name, values, axes in (("teacher", teacher, 3), ("observed", observed, 2)):
            _check_outputs(name, values)
            if values.shape[-2:] != teacher.shape[-2:] or values.ndim != axes:
                raise ValueError(
                    f"{name} must have the shape {'(S, n, C)' if axes == 3 else '(n, C)'}; got "
                    f"{tuple(values.shape)} for a teacher {tuple(teacher.shape)}; for one output "
                    f"give {name}[..., None]"
                )
        if self.target == "soft":
            taught = predict(teacher, loss)
        elif self.target == "hard":
            taught = harden(teacher)
        else:
            taught = temper(teacher, self.temperature)
        alpha = self._weights(teacher, observed, step)
        share = alpha[:, None, None]
        return share * observed + (1 - share) * taught, alpha

    def _weights(self, teacher: Tensor, observed: Tensor, step: int) -> Tensor:
        schedule = self.schedule
        if isinstance(schedule, BurnIn) and isinstance(schedule.then, Agreement):
            schedule = schedule.then if step >= schedule.steps else Constant(1.0)
        if isinstance(schedule, Agreement):
            agrees = (harden(teacher) == observed).all(dim=-1)
            return 1 - agrees.to(teacher.dtype).mean(dim=-1)
        return teacher.new_full((teacher.shape[0],), schedule.weight(step))


PLAIN = Distillation(Constant(1.0))
"""Training on the observed labels alone."""
