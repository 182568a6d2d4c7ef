"""Full-batch gradient descent on pre-activations, exact for the net and cheaper than its weights.

With Γ = X Xᵀ, Z = X Wᵀ (n × m) and A = 1[Z > 0], a step of gradient descent on ½‖f − z_t‖² reads
Z ← Z − (η/√m) Γ diag(u − z_t) (A ∘ a): one product instead of two, and the weights are formed once,
at the end, from (W_T − W_0)ᵀ = X⁺ (Z_T − Z_0) (docs/theory.md, section 1). Softmax cross-entropy
has softmax(u) in place of u in the residual, and nothing else changes (section 5).
"""

from __future__ import annotations

__all__ = ["Loss", "Trajectory", "train", "train_kernel_limit"]

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ntk_theory.kernels import Layers
from ntk_theory.network import TwoLayerReLU
from ntk_theory.targets import Distillation, Loss, predict

Array = NDArray[np.float64]

_BLOCK_BYTES = 2**20
"""Pre-activations updated together: a block and its activations stay in a core's cache."""

_LOSS_GROWTH = 100.0
"""A loss above this multiple of the first one is a divergence, not a fluctuation."""


@dataclass(frozen=True)
class Trajectory:
    """What S nets did on one data set.

    Attributes:
        steps: recorded steps, ascending, shape (k,).
        outputs: u_t on the training inputs, shape (S, k, n), or (S, k, n, C) for C > 1.
        weights: α_t of every step made, shape (S, T).
        network: the trained nets, if they were to be kept.
        movement: max_r ‖w_r(T) − w_r(0)‖ of each net, shape (S,).
        distance: ‖W_T − W_0‖_F of each net, shape (S,).
        flipped_activations: share of (point, neuron) pairs whose activation changed, shape (S,).
        stopped: why training ended early, or None; then `steps` ends at the last good step.
    """

    steps: NDArray[np.int64]
    outputs: Array
    weights: Array
    network: TwoLayerReLU | None
    movement: Array
    distance: Array
    flipped_activations: Array
    stopped: str | None = None

    def rms_error(self, labels: ArrayLike) -> Array:
        """ℓ2 error ‖u_t − y‖/√n, shape (S, k); labels of shape (n,) or (n, C)."""
        difference = self.outputs - np.asarray(labels)
        axes = tuple(range(2, difference.ndim))
        return np.asarray(np.sqrt((difference**2).sum(axis=axes) / difference.shape[2]))

    def rescaled(self) -> Trajectory:
        """The same with outputs of mean size 1, but for those that are all 0."""
        size = np.abs(self.outputs).mean(axis=tuple(range(2, self.outputs.ndim)), keepdims=True)
        return replace(self, outputs=self.outputs / np.where(size > 0, size, 1.0))

    def margins(self, labels: ArrayLike) -> Array:
        """y_i u_i of each point, or right output minus the best wrong one, shape (S, k, n)."""
        label = np.asarray(labels)
        if label.ndim == 1:
            return np.asarray(self.outputs * label)
        right = (self.outputs * label).sum(axis=-1)
        return np.asarray(right - np.where(label > 0, -np.inf, self.outputs).max(axis=-1))

    def zero_one_error(self, labels: ArrayLike) -> Array:
        """Share of points whose label is not predicted (margin <= 0), shape (S, k)."""
        return np.asarray((self.margins(labels) <= 0).mean(axis=-1))


class _Block:
    """Pre-activations of some neurons of all nets, with one gradient step on them."""

    def __init__(self, inputs: Tensor, hidden: Tensor, output: Tensor, buffer: Tensor) -> None:
        self.inputs, self.hidden = inputs, hidden
        self.initial_output = output
        self.buffer = buffer[..., : hidden.shape[1]]
        self.restart()

    def restart(self) -> None:
        self.z = self.inputs @ self.hidden.mT
        self.a = self.initial_output.clone()

    def outputs(self) -> Tensor:
        """Σ_r a_r relu(z_r) over these neurons, shape (S, n, C)."""
        torch.clamp(self.z, min=0, out=self.buffer)
        return self.buffer @ self.a.mT

    def step(self, gram: Tensor, residual: Tensor, rate: float, both_layers: bool) -> Tensor:
        """One gradient step; returns the new `outputs`, taken while the block is in the cache."""
        output_gradient = None
        if both_layers:
            torch.clamp(self.z, min=0, out=self.buffer)
            output_gradient = residual.mT @ self.buffer
        torch.gt(self.z, 0, out=self.buffer)
        if residual.shape[-1] == 1:
            # One output: the residual scales the columns of the small matrix instead.
            self.buffer.mul_(self.a)
            self.z.baddbmm_(gram * residual.mT, self.buffer, alpha=-rate)
        else:
            self.buffer.mul_(residual @ self.a)
            self.z.baddbmm_(gram.expand(self.z.shape[0], -1, -1), self.buffer, alpha=-rate)
        if output_gradient is not None:
            self.a.add_(output_gradient, alpha=-rate)
        return self.outputs()


def _blocks(inputs: Tensor, network: TwoLayerReLU) -> list[_Block]:
    seeds, width, _ = network.hidden.shape
    # A power of two: matrix products are slower by half at odd sizes.
    column = seeds * inputs.shape[0] * inputs.element_size()
    fitting = max(256, _BLOCK_BYTES // column)
    size = min(width, 2 ** (fitting.bit_length() - 1))
    buffer = inputs.new_empty(seeds, inputs.shape[0], size)
    return [
        _Block(
            inputs,
            network.hidden[:, start : start + size],
            network.output[:, :, start : start + size],
            buffer,
        )
        for start in range(0, width, size)
    ]


def _trajectory(
    recorded: dict[int, Tensor],
    alphas: Sequence[Tensor],
    blocks: Sequence[_Block],
    inputs: Tensor,
    stopped: str | None,
    keep_network: bool,
) -> Trajectory:
    """Form the trained weights and measure how far they and their activations have moved."""
    # Singular values that are rounding of the inputs' precision are none.
    rounding = max(inputs.shape) * torch.finfo(inputs.dtype).eps
    inverse = torch.linalg.pinv(inputs.double(), rtol=rounding)
    seeds = blocks[0].z.shape[0]
    largest, total, flips = (torch.zeros(seeds, dtype=torch.float64) for _ in range(3))
    hidden, count = [], 0
    for block in blocks:
        start = inputs @ block.hidden.mT
        move = (inverse @ (block.z - start).double()).mT
        squares = move.square().sum(dim=-1).cpu()
        largest = torch.maximum(largest, squares.amax(dim=1))
        total += squares.sum(dim=1)
        flips += ((block.z > 0) != (start > 0)).sum(dim=(1, 2)).cpu()
        count += start[0].numel()
        if keep_network:
            hidden.append(block.hidden + move.to(block.hidden.dtype))
    network = None
    if keep_network:
        output = torch.cat([block.a for block in blocks], dim=2)
        network = TwoLayerReLU(torch.cat(hidden, dim=1), output)
    none = inputs.new_empty(seeds, 0, inputs.shape[0], blocks[0].a.shape[1])
    curve = torch.stack(list(recorded.values()), dim=1) if recorded else none
    outputs = np.asarray(curve.double().cpu().numpy())
    return Trajectory(
        np.array(list(recorded), dtype=np.int64),
        outputs[..., 0] if outputs.shape[-1] == 1 else outputs,
        torch.stack(list(alphas), dim=1).cpu().numpy(),
        network,
        largest.sqrt().numpy(),
        total.sqrt().numpy(),
        (flips / count).numpy(),
        stopped,
    )


def _divergence(outputs: Tensor, label: Tensor, first: Tensor, step: int, loss: Loss) -> str | None:
    """Explanation if the outputs are not finite, or far further from the labels than at first."""
    reached = _loss(outputs, label, loss)
    if not bool(torch.isfinite(reached).all()):
        return f"training diverged at step {step}: the outputs are not finite; lower learning_rate"
    if bool((reached > _LOSS_GROWTH * first).any()):
        # The Hessian of cross-entropy in the outputs, diag(p) − p pᵀ, is at most 1/2.
        stable = "2/lambda_max" if loss == "square" else "4/lambda_max"
        return (
            f"training diverged at step {step}: the loss on the observed labels is above "
            f"{_LOSS_GROWTH:g} times its first value; lower learning_rate (a kernel needs it below "
            f"{stable})"
        )
    return None


def _loss(outputs: Tensor, label: Tensor, loss: Loss) -> Tensor:
    """Loss of each net on the observed labels, shape (S,)."""
    if loss == "square":
        return (outputs - label).square().sum(dim=(1, 2)) / 2
    return (outputs.logsumexp(dim=2) - (label * outputs).sum(dim=2)).sum(dim=1)


def _rates(learning_rate: float | ArrayLike, steps: int) -> Array:
    """One rate for each step, shape (T,)."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    rates = np.asarray(learning_rate, dtype=float)
    if rates.ndim == 0:
        if not (np.isfinite(rates) and rates > 0):
            raise ValueError(f"learning_rate must be positive and finite; got {float(rates)}")
        return np.full(steps, float(rates))
    if rates.shape != (steps,):
        raise ValueError(
            f"learning_rate must be a number or one rate for each of the {steps} steps; "
            f"got the shape {rates.shape}"
        )
    if not (np.isfinite(rates) & (rates >= 0)).all():
        raise ValueError("learning_rate must be finite and not negative at every step")
    return rates


def _check_loss(loss: str, observed: Tensor) -> None:
    if loss not in get_args(Loss):
        raise ValueError(f"loss must be 'square' or 'cross-entropy'; got {loss!r}")
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


def _check(inputs: Tensor, observed: Tensor, network: TwoLayerReLU) -> None:
    if inputs.ndim != 2 or inputs.shape[1] != network.hidden.shape[2]:
        raise ValueError(
            f"inputs must be (n, {network.hidden.shape[2]}), as the net takes them; "
            f"got {tuple(inputs.shape)}"
        )
    if observed.shape != (inputs.shape[0], network.outputs):
        raise ValueError(
            "observed must give one label for each input, as wide as the net's output "
            f"({inputs.shape[0]} x {network.outputs}); got {tuple(observed.shape)}"
        )
    for name, values in (("inputs", inputs), ("observed", observed)):
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"{name} must be finite; it holds NaN or infinity")


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


def train(
    network: TwoLayerReLU,
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
    on_step: Callable[[int], None] | None = None,
) -> Trajectory:
    """Train all nets on ½‖f − z_t‖², or on softmax cross-entropy, by full-batch gradient descent.

    Args:
        network: S initial nets; left unchanged.
        inputs: shape (n, d).
        observed: ỹ, shape (n,) for ±1 labels or (n, C) for one-hot rows.
        distillation: targets z_t.
        learning_rate: η of the loss that sums over points (not their mean), > 0; or one rate >= 0
            for each step, shape (T,).
        steps: T >= 1.
        record: steps 0..T whose outputs are kept; all of them when left out.
        layers: which weights are trained, "first" or "both".
        loss: "square", or "cross-entropy" −Σ z log softmax(f), for C >= 2 outputs and labels that
            are distributions over the classes. The soft and tempered predictions are then
            softmax(f) and softmax(f/T), the hard one the one-hot argmax.
        keep_network: form the trained weights; False saves their memory.
        on_step: called with the number of steps made, for progress.

    Returns:
        The trajectory; a divergence ends it early and is explained in `stopped`.

    Raises:
        ValueError: for shapes that do not fit, a rate or number of steps out of range, or labels
            that the loss does not take.
    """
    device = network.hidden.device
    x = torch.as_tensor(np.asarray(inputs), dtype=network.hidden.dtype, device=device)
    label = torch.as_tensor(np.asarray(observed), dtype=torch.float64, device=device)
    label = label[:, None] if label.ndim == 1 else label
    _check(x, label, network)
    _check_loss(loss, label)
    rates = _rates(learning_rate, steps) / network.width**0.5
    kept = set(range(steps + 1) if record is None else record)
    if not kept or not kept <= set(range(steps + 1)):
        raise ValueError(f"record must name steps in 0..{steps}; got {sorted(kept)}")
    if layers not in ("first", "both"):
        raise ValueError(f"layers must be 'first' or 'both'; got {layers!r}")
    gram = (x.double() @ x.double().mT).to(x.dtype)
    blocks = _blocks(x, network)

    def total(partial_outputs: Iterable[Tensor]) -> Tensor:
        summed = torch.zeros((), dtype=torch.float64, device=device)
        for part in partial_outputs:
            summed = summed + part.double()
        scaled: Tensor = summed / network.width**0.5
        return scaled

    u = total(block.outputs() for block in blocks)
    # Pairs cancel exactly; what rounding leaves of them would have a sign, and be taught.
    u = start = torch.zeros_like(u) if network.antisymmetric else u
    teacher = _Teacher(distillation, start)
    recorded: dict[int, Tensor] = {}
    alphas: list[Tensor] = []
    # Labels far from a small initial output are no divergence, nor is a large initial output.
    first_loss = torch.maximum(_loss(u, label, loss), _loss(torch.zeros_like(u), label, loss))
    for step in range(steps + 1):
        stopped = _divergence(u, label, first_loss, step, loss)
        if stopped is not None:
            break
        if step in kept:
            recorded[step] = u
        if step == steps:
            break
        teaching, restarts = teacher.at(step, u)
        if restarts:
            for block in blocks:
                block.restart()
            u = start
        target, alpha = distillation.teach(teaching, label, step, loss)
        alphas.append(alpha)
        pull = (predict(u, loss) - target).to(x.dtype)
        rate = float(rates[step])
        if rate and bool(pull.any()):  # else nothing moves, and an output of exactly 0 stays so
            u = total(block.step(gram, pull, rate, layers == "both") for block in blocks)
        if on_step is not None:
            on_step(step + 1)
    return _trajectory(recorded, alphas, blocks, x, stopped, keep_network)


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
        gram: H, shape (n, n).
        observed: ỹ, shape (n,) or (n, C).
        distillation: targets z_t.
        learning_rate: η, or one rate for each step, shape (T,).
        steps: T.
        loss: "square", or "cross-entropy" with softmax(u_t) in place of u_t in the residual.

    Returns:
        Outputs u_0 .. u_T, shape (T + 1, n) or (T + 1, n, C).

    Raises:
        ValueError: for a rate or number of steps out of range, or labels that the loss does not
            take.

    Reference: docs/theory.md, sections 1 and 9.
    """
    kernel = torch.as_tensor(np.asarray(gram), dtype=torch.float64)
    labels = np.asarray(observed, dtype=float)
    label = torch.as_tensor(labels.reshape(len(labels), -1))
    _check_loss(loss, label)
    u = torch.zeros_like(label)[None]
    teacher = _Teacher(distillation, u)
    outputs = [u]
    for step, rate in enumerate(_rates(learning_rate, steps)):
        teaching, restarts = teacher.at(step, u)
        if restarts:
            u = torch.zeros_like(u)
        target, _ = distillation.teach(teaching, label, step, loss)
        u = u - float(rate) * (kernel @ (predict(u, loss) - target))
        outputs.append(u)
    return np.asarray(torch.cat(outputs).numpy().reshape(steps + 1, *labels.shape))
