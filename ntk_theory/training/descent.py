"""Training of finite nets, and of the infinitely wide one."""

from __future__ import annotations

__all__ = ["train", "train_kernel_limit"]

import math
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ntk_theory import arguments
from ntk_theory.kernels import Layers
from ntk_theory.machine import ranks
from ntk_theory.machine.precision import own_precision
from ntk_theory.network import DrawnNets, Nets, TwoLayerReLU
from ntk_theory.targets import Distillation, Loss, predict
from ntk_theory.training.checkpoints import Checkpoints, current, name_of
from ntk_theory.training.forms import FORMS, Form, cheapest, make_neurons, own_block
from ntk_theory.training.neurons import Drawn
from ntk_theory.training.points import shared_points
from ntk_theory.training.products import PRECISIONS, storage
from ntk_theory.training.trajectory import Trajectory

Array = NDArray[np.float64]

_TOGETHER = 2**20
"""Numbers whose squares are summed together."""

_DIGITS = 1e-3
"""Rounding of the first outputs, over the labels, that leaves something to learn."""

_LOSS_GROWTH = 100.0
"""A loss above this multiple of the first one is a divergence, not a fluctuation."""


def _divergence(outputs: Tensor, label: Tensor, first: Tensor, step: int, loss: Loss) -> str | None:
    """Explanation if the outputs are not finite, or far further from the labels than at first."""
    reached = _loss(outputs, label, loss)
    if bool((reached <= _LOSS_GROWTH * first).all()):
        return None
    if not bool(torch.isfinite(reached).all()):
        return f"training diverged at step {step}: the outputs are not finite; lower learning_rate"
    # The Hessian of cross-entropy in the outputs, diag(p) − p pᵀ, is at most 1/2.
    stable = "2/lambda_max" if loss == "square" else "4/lambda_max"
    return (
        f"training diverged at step {step}: the loss on the observed labels is above "
        f"{_LOSS_GROWTH:g} times its first value; lower learning_rate (a kernel needs it below "
        f"{stable})"
    )


def _loss(outputs: Tensor, label: Tensor, loss: Loss) -> Tensor:
    """Loss of each net on the observed labels, shape (S,)."""
    if loss == "square":
        return (outputs - label).square().sum(dim=(1, 2)) / 2
    return (outputs.logsumexp(dim=2) - (label * outputs).sum(dim=2)).sum(dim=1)


def _rates(learning_rate: float | ArrayLike, steps: int) -> Array:
    """One rate for each step, shape (T,)."""
    if not (isinstance(learning_rate, Sequence) or getattr(learning_rate, "ndim", None)):
        return np.full(steps, arguments.positive("learning_rate", learning_rate))
    rates = arguments.array(
        "learning_rate", learning_rate, (steps,), do="give a number, or one rate for each step"
    )
    if not (rates >= 0).all():
        raise ValueError(
            "learning_rate must be finite and not negative at every step; "
            f"got {rates[rates < 0][0]:g}; 0 makes no step"
        )
    return np.asarray(rates, dtype=float)


def _check_distillation(distillation: Distillation) -> None:
    if not isinstance(distillation, Distillation):
        raise TypeError(
            f"distillation must be a Distillation; got {type(distillation).__name__}; "
            "give targets.PLAIN for plain training, or targets.Distillation(schedule)"
        )


def _check_loss(loss: str, observed: Tensor) -> None:
    if loss == "square":
        return
    if observed.shape[-1] < 2:
        raise ValueError(
            "loss 'cross-entropy' needs at least two outputs, one for each class, and one-hot "
            "labels (n, C); got one output: use one-hot labels and a net with C outputs, or "
            "loss='square'"
        )
    rounding = observed.shape[-1] * torch.finfo(torch.float32).eps
    if bool((observed < 0).any()) or bool(((observed.sum(dim=-1) - 1).abs() > rounding).any()):
        raise ValueError(
            "observed must be a distribution over the classes in every row (not negative, sum 1) "
            "for loss 'cross-entropy', as one-hot rows are"
        )


def _check_sizes(inputs: NDArray[np.floating]) -> float:
    """Largest norm; inputs whose products are beyond the numbers of their precision are refused."""
    largest = 0.0
    with np.errstate(all="ignore"):
        for part in np.array_split(inputs, math.ceil(inputs.size / _TOGETHER)):
            rows = np.asarray(part, dtype=np.float64)
            largest = max(largest, float(np.einsum("ij,ij->i", rows, rows).max(initial=0.0)))
    numbers = np.finfo(inputs.dtype)
    low, high = float(numbers.tiny), float(numbers.max)
    if largest < high and (largest >= low or not inputs.any()):
        return math.sqrt(largest)
    raise ValueError(
        f"inputs must have squared norms that {numbers.dtype} holds, {low:.1e} to {high:.1e}; got "
        f"{largest:.1e} as the largest; divide inputs by their size, and multiply learning_rate by "
        "its square"
    )


def _check_digits(norm: float, network: Nets, label: Tensor) -> None:
    """Refuse inputs so large that outputs, which labels are taken from, are only rounding of them.

    Sums over neurons are of the size of an input times the weights, and so is what cancels in them.
    """
    if isinstance(network, TwoLayerReLU):
        parts = network.hidden, network.output
        weight = math.prod(float(part.norm()) / part.numel() ** 0.5 for part in parts)
    else:
        weight = network.scale * network.output_scale
    rounding = float(torch.finfo(network.dtype).eps) * norm * weight
    wanted = float(label.abs().max())
    if rounding > _DIGITS * wanted > 0:
        raise ValueError(
            f"inputs must be of a size at which {network.dtype} tells outputs from rounding; got "
            f"the norm {norm:.1e}, and with the weights a rounding of {rounding:.1e} beside labels "
            f"of {wanted:.1e}; divide inputs by their size, and multiply learning_rate by its "
            "square"
        )


def _check_weights(network: Nets) -> None:
    if isinstance(network, TwoLayerReLU) and not (
        bool(torch.isfinite(network.hidden).all()) and bool(torch.isfinite(network.output).all())
    ):
        raise ValueError(
            "network must have finite weights; got NaN or infinity in them; start from others"
        )


def _form(
    form: Form | None,
    network: Nets,
    inputs: Tensor,
    precision: str,
    rates: Array,
    layers: Layers,
) -> Form:
    """The form that was asked for, if there is such a step, or the cheapest one."""
    both = layers == "both"
    if form is None:
        points, width, outputs = shared_points(inputs, precision), network.width, network.outputs
        return cheapest(points, width=width, outputs=outputs, rates=rates, both_layers=both)
    if arguments.choice("form", form, FORMS) == "event-driven":
        if both:
            raise ValueError(
                "form must be 'dense' where both layers are trained; got 'event-driven', which "
                "knows neurons of fixed output weights; leave it out, or train the first layer"
            )
        if precision not in ("float64", "float32"):
            raise ValueError(
                f"form must be 'dense' for products in {precision}; got 'event-driven', which has "
                "none; leave it out, or leave out precision"
            )
    return form


class _Teacher:
    """The outputs that teach: the current ones, or the lagged ones of `Distillation.epoch`."""

    def __init__(self, distillation: Distillation, initial: Tensor) -> None:
        self.epoch, self.restarts = distillation.epoch, distillation.restart
        self.teaching = self.epoch_start = initial

    def at(self, step: int, outputs: Tensor) -> tuple[Tensor, bool]:
        """Teaching outputs of a step, and whether the nets restart before it."""
        if self.epoch is None:
            return outputs, False
        if step == 0 or step % self.epoch:
            return self.teaching, False
        if self.restarts:
            self.teaching = outputs
        else:
            self.teaching, self.epoch_start = self.epoch_start, outputs
        return self.teaching, self.restarts


class _Run:
    """One training, step by step."""

    def __init__(
        self,
        network: Nets,
        inputs: Tensor,
        label: Tensor,
        distillation: Distillation,
        rates: Array,
        kept: Container[int],
        both_layers: bool,
        loss: Loss,
        precision: str,
        form: Form,
    ) -> None:
        self.network, self.inputs, self.label = network, inputs, label
        self.distillation, self.rates, self.kept = distillation, rates, kept
        self.loss = loss
        points = shared_points(inputs, precision)
        self.size = own_block(network, points)
        self.neurons = make_neurons(network, points, form, size=self.size, both_layers=both_layers)
        u = self._total(self.neurons.outputs())
        # Pairs cancel exactly; what rounding leaves of them would have a sign, and be taught.
        self.u = self.start = torch.zeros_like(u) if network.antisymmetric else u
        self.teacher = _Teacher(distillation, self.start)
        self.recorded: dict[int, Tensor] = {}
        self.alphas: list[Tensor] = []
        self.step = 0
        # Labels far from a small initial output are no divergence, nor is a large initial output.
        self.first_loss = torch.maximum(
            _loss(u, label, loss), _loss(torch.zeros_like(u), label, loss)
        )

    def _split(self, output: Tensor) -> tuple[Tensor, ...]:
        """Output weights of every block."""
        return torch.split(output, self.size, dim=2)

    def _total(self, own: Tensor) -> Tensor:
        """Outputs, from the sums over the neurons of this process."""
        return ranks.total(own).div_(self.network.width**0.5)

    def _drawn(self) -> Drawn:
        """Initial weights of the blocks of this process."""
        return ranks.own(self.network.blocks(self.size))

    @torch.inference_mode()
    def _advance(self) -> None:
        """One step; short operations take a seventh less where no gradient could be asked for."""
        teaching, restarts = self.teacher.at(self.step, self.u)
        if restarts:
            self.neurons.start(self._drawn())
            self.u = self.start
        target, alpha = self.distillation.teach(teaching, self.label, self.step, self.loss)
        self.alphas.append(alpha)
        residual = predict(self.u, self.loss) - target
        rate = float(self.rates[self.step])
        if rate and bool(residual.any()):  # else nothing moves, and an output of exactly 0 stays so
            self.u = self._total(self.neurons.step(residual, rate))
        self.step += 1

    def complete(self, keep_network: bool, on_step: Callable[[int], None]) -> Trajectory:
        """Make the steps that are left."""
        while True:
            stopped = _divergence(self.u, self.label, self.first_loss, self.step, self.loss)
            if stopped is None and self.step in self.kept:
                self.recorded[self.step] = self.u
            if stopped is not None or self.step == len(self.rates):
                return self._trajectory(stopped, keep_network)
            self._advance()
            on_step(self.step)

    def _trajectory(self, stopped: str | None, keep_network: bool) -> Trajectory:
        """Measure how far the neurons and their activations have moved, and sum up."""
        nets, points = self.network.count, len(self.inputs)
        largest, total, flips = (
            torch.zeros(nets, dtype=torch.float64, device="cpu") for _ in range(3)
        )
        hidden = []
        for change in self.neurons.changes(self._drawn(), keep_network):
            squares = change.squares.cpu()
            largest = torch.maximum(largest, squares.amax(dim=1))
            total += squares.sum(dim=1)
            flips += change.flips.cpu()
            if change.hidden is not None:
                hidden.append(change.hidden)
        largest, total, flips = ranks.largest(largest), ranks.total(total), ranks.total(flips)
        network = self._gathered(hidden) if keep_network else None
        none = self.inputs.new_empty(nets, 0, points, self.network.outputs)
        curve = torch.stack(list(self.recorded.values()), dim=1) if self.recorded else none
        outputs = np.asarray(curve.double().cpu().numpy())
        return Trajectory(
            np.array(list(self.recorded), dtype=np.int64),
            outputs[..., 0] if outputs.shape[-1] == 1 else outputs,
            torch.stack(list(self.alphas), dim=1).cpu().numpy(),
            network,
            largest.sqrt().numpy(),
            total.sqrt().numpy(),
            (flips / (points * self.network.width)).numpy(),
            stopped,
        )

    def _gathered(self, hidden: Sequence[Tensor]) -> TwoLayerReLU:
        """The trained nets, of the blocks of all processes."""
        parts = self._split(self.network.output)
        shapes = [(self.network.count, part.shape[2], self.network.dimension) for part in parts]
        own = self.neurons.output_weights
        return TwoLayerReLU(
            torch.cat(ranks.gather(hidden, shapes, self.inputs), dim=1),
            torch.cat(ranks.gather(own, [part.shape for part in parts], self.inputs), dim=2),
        )

    @torch.inference_mode()
    def state(self) -> dict[str, Any]:
        """All that changes from step to step."""
        return {
            "steps": self.step,
            "u": self.u,
            "teaching": self.teacher.teaching,
            "epoch_start": self.teacher.epoch_start,
            "recorded": dict(self.recorded),
            "alphas": list(self.alphas),
            "neurons": self.neurons.state,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go to a saved state."""
        self.step, self.u = state["steps"], state["u"]
        self.teacher.teaching = state["teaching"]
        self.teacher.epoch_start = state["epoch_start"]
        self.recorded, self.alphas = dict(state["recorded"]), list(state["alphas"])
        self.neurons.load(state["neurons"])


@own_precision
def train(
    network: Nets,
    inputs: ArrayLike,
    observed: ArrayLike,
    distillation: Distillation,
    *,
    learning_rate: float | ArrayLike,
    steps: int,
    record: Sequence[int] | None = None,
    layers: Layers = "first",
    loss: Loss = "square",
    keep_network: bool = True,
    precision: str | None = None,
    form: Form | None = None,
    on_step: Callable[[int], None] | None = None,
) -> Trajectory:
    """Train all nets on ½‖f − z_t‖², or on softmax cross-entropy, by full-batch gradient descent.

    Args:
        network: S initial nets; left unchanged. Drawn ones take no memory beside what trains.
        inputs: shape (n, d).
        observed: ỹ, shape (n,) or (n, 1) for ±1 labels of one output, (n, C) for one-hot rows. In
            place of ±1 any real numbers are taken, and any rows in place of one-hot ones, as a
            teacher's outputs, if no hardened prediction meets them (`Distillation.labels`). Class
            numbers, as 0 and 1, are refused: they would be fitted as they are.
        distillation: targets z_t.
        learning_rate: η of the loss that sums over points (not their mean), > 0; or one rate >= 0
            for each step, shape (T,).
        steps: T >= 1.
        record: steps 0..T whose outputs are kept, in any order; all of them when left out.
        layers: which weights are trained, "first" or "both".
        loss: "square", or "cross-entropy" −Σ z log softmax(f), for C >= 2 outputs and labels that
            are distributions over the classes. The soft and tempered predictions are then
            softmax(f) and softmax(f/T), the hard one the one-hot argmax.
        keep_network: form the trained weights; False saves their memory.
        precision: of the products of a step, "float32", "tf32" or "bf16" for float32 nets; that of
            the nets when left out. A GPU takes TF32 products inside `products.tensor_cores`.
        form: of a step: "dense" moves every neuron in every step, "event-driven" looks at those
            alone whose signs may change; the cheaper one when left out. Both are gradient descent,
            to rounding; the second trains the first layer alone, at full precision.
        on_step: called with the number of steps made, for progress.

    Returns:
        The trajectory; a divergence ends it early and is explained in `diverged`.

    Raises:
        ValueError: for shapes that do not fit, a rate or number of steps out of range, inputs that
            the precision of the nets does not hold, or labels that the loss or the targets do not
            take.
        TypeError: for arguments of the wrong kind.

    >>> from ntk_theory import data, network, targets
    >>> clusters = data.equicorrelated_clusters(2, 5, ratio=12.0)
    >>> dataset = data.noisy_labels(clusters, noise_rate=0.2, rng=np.random.default_rng(0))
    >>> nets = network.initialise(256, 13, seeds=[0, 1])
    >>> how = {"learning_rate": 0.4, "steps": 100}
    >>> done = train(nets, dataset.inputs, dataset.observed, targets.PLAIN, **how)
    >>> done.rms_error(dataset.clean)[:, [0, 10, 100]].round(2)
    array([[1.  , 0.53, 0.89],
           [1.  , 0.51, 0.88]])
    """
    if not isinstance(network, TwoLayerReLU | DrawnNets):
        raise TypeError(
            f"network must be a TwoLayerReLU or DrawnNets; got {type(network).__name__}; "
            "give network.initialise(width, dimension, seeds=[0])"
        )
    _check_distillation(distillation)
    device = arguments.device("device of the network", network.device)
    own = str(network.dtype).removeprefix("torch.")
    precision = own if precision is None else arguments.choice("precision", precision, PRECISIONS)
    if storage(precision) is not network.dtype:
        raise ValueError(
            f"precision must be 'float32', 'tf32' or 'bf16' for float32 nets and 'float64' for "
            f"float64 ones; got {precision!r} for {own}; leave it out for that of the nets"
        )
    arguments.choice("loss", loss, get_args(Loss))
    arguments.choice("layers", layers, get_args(Layers))
    arguments.flag("keep_network", keep_network)
    if on_step is not None and not callable(on_step):
        raise TypeError(
            f"on_step must be a function of the steps made; got {type(on_step).__name__}; "
            "give a function, or None"
        )
    steps = arguments.whole("steps", steps, least=1)
    given = arguments.rows("inputs", inputs, network.dimension)
    rows = arguments.in_precision("inputs", given, own)
    norm = _check_sizes(rows)
    labels = arguments.targets(
        "observed", observed, points=len(rows), outputs=network.outputs, kind=distillation.labels
    )
    # What steps need of the inputs is kept for the next run: not in memory that the caller has.
    x = arguments.tensor(rows.copy() if rows is given else rows, where=device)
    label = arguments.tensor(labels, where=device)
    _check_loss(loss, label)
    _check_weights(network)
    _check_digits(norm, network, label)
    rates = _rates(learning_rate, steps) / network.width**0.5
    form = _form(form, network, x, precision, rates, layers)
    kept = set(range(steps + 1))
    if record is not None:
        kept = set(arguments.wholes("record", record, least=0, most=steps, why="steps of the run"))

    def begin() -> _Run:
        both = layers == "both"
        return _Run(network, x, label, distillation, rates, kept, both, loss, precision, form)

    checkpoints = current()
    if checkpoints is None:
        return begin().complete(keep_network, on_step or _ignore)
    kept_weights = {"hidden": network.hidden} if isinstance(network, TwoLayerReLU) else {}
    name = name_of(
        {**kept_weights, "output": network.output, "inputs": x, "labels": label},
        {
            "drawn": None if kept_weights else network,
            "distillation": distillation,
            "rates": rates.tolist(),
            "record": sorted(kept),
            "layers": layers,
            "loss": loss,
            "keep_network": keep_network,
            "precision": precision,
            "form": form,
        },
    )
    return _resumed(begin, checkpoints, name, keep_network, on_step or _ignore)


def _ignore(step: int) -> None:
    """No-op callback."""


def _resumed(
    begin: Callable[[], _Run],
    checkpoints: Checkpoints,
    name: str,
    keep_network: bool,
    on_step: Callable[[int], None],
) -> Trajectory:
    """Take up what is saved of a run, and save what is new."""
    saved = checkpoints.load(name)
    done = saved["steps"] if saved is not None else 0
    for step in range(done):
        on_step(step + 1)
    if saved is not None and "trajectory" in saved:
        return Trajectory.from_state(saved["trajectory"])
    run = begin()
    if saved is not None:
        run.load(saved)
    last = checkpoints.clock()

    def watch(step: int) -> None:
        nonlocal last
        try:
            on_step(step)
        except CancelledError:
            checkpoints.save(name, run.state())
            raise
        if checkpoints.clock() - last >= checkpoints.interval:
            checkpoints.save(name, run.state())
            last = checkpoints.clock()

    trajectory = run.complete(keep_network, watch)
    checkpoints.save(name, {"steps": run.step, "trajectory": trajectory.state()})
    return trajectory


def train_kernel_limit(
    gram: ArrayLike,
    observed: ArrayLike,
    distillation: Distillation,
    *,
    learning_rate: float | ArrayLike,
    steps: int,
    loss: Loss = "square",
) -> Array:
    """Gradient descent of the infinitely wide net: u_{t+1} = u_t − η H (u_t − z_t), u_0 = 0.

    With the empirical NTK of a net at its start in place of H, this is gradient descent of that
    net's linearisation, if its initial outputs are 0.

    Args:
        gram: H, shape (n, n), symmetric.
        observed: ỹ, shape (n,), (n, 1) or (n, C), as `train` takes them.
        distillation: targets z_t.
        learning_rate: η, or one rate for each step, shape (T,).
        steps: T.
        loss: "square", or "cross-entropy" with softmax(u_t) in place of u_t in the residual.

    Returns:
        Outputs u_0 .. u_T, shape (T + 1, n) for one output, (T + 1, n, C) for more.

    Raises:
        ValueError: for a matrix that is not symmetric, a rate or number of steps out of range, or
            labels that the loss or the targets do not take.
        TypeError: for arguments of the wrong kind.

    Reference: docs/theory.md, sections 1 and 9.

    >>> from ntk_theory.targets import PLAIN
    >>> gram, labels = [[1.0, 0.5], [0.5, 1.0]], [1.0, -1.0]
    >>> train_kernel_limit(gram, labels, PLAIN, learning_rate=0.5, steps=2)
    array([[ 0.    ,  0.    ],
           [ 0.25  , -0.25  ],
           [ 0.4375, -0.4375]])
    """
    _check_distillation(distillation)
    arguments.choice("loss", loss, get_args(Loss))
    steps = arguments.whole("steps", steps, least=1)
    matrix = arguments.gram_matrix("gram", gram)
    labels = arguments.targets("observed", observed, points=len(matrix), kind=distillation.labels)
    kernel, label = arguments.tensor(matrix), arguments.tensor(labels)
    _check_loss(loss, label)
    rates = _rates(learning_rate, steps)
    u = torch.zeros_like(label)[None]
    teacher = _Teacher(distillation, u)
    outputs = [u]
    for step, rate in enumerate(rates):
        teaching, restarts = teacher.at(step, u)
        if restarts:
            u = torch.zeros_like(u)
        target, _ = distillation.teach(teaching, label, step, loss)
        u = u - float(rate) * (kernel @ (predict(u, loss) - target))
        outputs.append(u)
    curve = torch.cat(outputs).numpy()
    return np.asarray(curve[..., 0] if labels.shape[1] == 1 else curve)
