"""The law of finite width: how nets scatter about the kernel limit, to leading order in 1/√m.

A net is a sum over neurons that see each other only through the residuals of the outputs. Given
the residuals of the kernel limit, its deviation is therefore a mean of independent terms, and

    u_m(t) = u(t) + m^{-1/2} (mean_t + G_t) + o(m^{-1/2}),

with G a Gaussian process over points and steps. G is what the empirical kernel at the start makes
of the residuals, H_m(0) − H being a mean over neurons; mean_t is what the neurons add that start
within O(m^{-1/2}) of a hyperplane and change their activation. Both follow from draws of weights
at the start alone; no net is trained.

Derivation and order of the error: docs/theory.md, section 9.6.
"""

from __future__ import annotations

__all__ = [
    "FiniteWidthLaw",
    "LinearResponse",
    "Teaching",
    "boundary_source",
    "finite_width_law",
    "kernel_draws",
    "law_from_starts",
]

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

Array = NDArray[np.float64]

_DENSITY = 1 / math.sqrt(2 * math.pi)
"""Of w · x at 0, for unit x and w ~ N(0, I)."""

_PAIRS = 256
"""Independent neurons in a draw of the empirical kernel: enough for sums that look Gaussian."""

_NUMBERS = 2**23
"""Numbers that are held at once."""


def _softmax(outputs: Array) -> Array:
    return np.asarray(softmax(outputs, axis=-1))


def _softmax_slope(share: Array) -> Array:
    """Derivative of softmax at the point where it has these values, shape (..., C, C)."""
    outer = share[..., :, None] * share[..., None, :]
    return np.asarray(share[..., None] * np.eye(share.shape[-1]) - outer)


@dataclass(frozen=True)
class Teaching:
    """What nets are taught: z_t = α_t ỹ + (1 − α_t) h(teacher), as the kernel limit sees it.

    Attributes:
        observed: ỹ, shape (n, C).
        weights: α_t, shape (T,).
        target: h: "hard", "soft" or "tempered".
        temperature: of tempered targets.
        epoch: steps after which the teacher changes; without it the current outputs teach.
        restart: every epoch begins at the initial weights, taught by the last outputs before.
        softmax: the loss is cross-entropy, the prediction a softmax of the outputs.

    Reference: docs/theory.md, sections 4 and 9.6.
    """

    observed: Array
    weights: Array
    target: Literal["hard", "soft", "tempered"] = "hard"
    temperature: float = 1.0
    epoch: int | None = None
    restart: bool = False
    softmax: bool = False

    def restarts(self, step: int) -> bool:
        """Whether nets start anew before a step."""
        return bool(self.restart and self.epoch and step and step % self.epoch == 0)

    def teacher(self, step: int) -> int:
        """Step whose outputs teach."""
        if self.epoch is None:
            return step
        epochs = step // self.epoch
        return max(epochs - (0 if self.restart else 1), 0) * self.epoch

    def residual(self, step: int, outputs: Array, teacher: Array) -> Array:
        """Predictions minus targets, shape (n, C)."""
        alpha = self.weights[step]
        return np.asarray(
            self._predicted(outputs) - alpha * self.observed - (1 - alpha) * self._taught(teacher)
        )

    def _predicted(self, outputs: Array) -> Array:
        return _softmax(outputs) if self.softmax else outputs

    def _taught(self, outputs: Array) -> Array:
        several = outputs.shape[-1] > 1
        if self.target == "soft":
            return self._predicted(outputs)
        if self.target == "tempered":
            scaled = outputs / self.temperature
            return _softmax(scaled) if several else np.tanh(scaled)
        if not several:
            return np.sign(outputs)
        best = (outputs == outputs.max(axis=-1, keepdims=True)).astype(float)
        return np.asarray(best / best.sum(axis=-1, keepdims=True))

    def response(
        self, step: int, outputs: Array, teacher: Array
    ) -> tuple[Array | None, Array | None]:
        """Derivatives of the residual by the outputs and by the teacher's, shape (n, C, C) each.

        None stands for I in the first, and for 0 in the second: hard targets do not change with
        small deviations.
        """
        one = np.broadcast_to(np.eye(outputs.shape[-1]), (*outputs.shape, outputs.shape[-1]))
        own = _softmax_slope(_softmax(outputs)) if self.softmax else None
        if self.target == "hard":
            return own, None
        if self.target == "soft":
            taught = _softmax_slope(_softmax(teacher)) if self.softmax else one
        elif outputs.shape[-1] > 1:
            scaled = _softmax(teacher / self.temperature)
            taught = _softmax_slope(scaled) / self.temperature
        else:
            slope = (1 - np.tanh(teacher / self.temperature) ** 2) / self.temperature
            taught = slope[..., None]
        return own, np.asarray((self.weights[step] - 1) * taught)


def kernel_draws(
    inputs: ArrayLike,
    points: int,
    count: int,
    rng: np.random.Generator,
    *,
    outputs: int = 1,
    both_layers: bool = False,
    pairs: bool = True,
) -> Iterator[Array]:
    """Draws of √m (H_m(0) − H): how the empirical kernel of a wide net differs from its limit.

    With several outputs neurons carry random signs for each, and couple them.

    Args:
        inputs: unit rows, shape (n + k, d), the training points first.
        points: n.
        count: how many draws.
        rng: of the weights.
        outputs: C.
        both_layers: the output weights are trained, too.
        pairs: neurons come in pairs of equal w, of which only one counts.

    Yields:
        Rows by training points and their outputs, shape (b, (n + k) C, n C), b adding up to count.

    Reference: docs/theory.md, sections 2 and 9.6.
    """
    x = np.asarray(inputs, dtype=float)
    rows, columns = len(x) * outputs, points * outputs
    gram = np.repeat(np.repeat(x @ x[:points].T, outputs, axis=0), outputs, axis=1)
    same = np.tile(np.eye(outputs), (len(x), points))
    most = max(1, _NUMBERS // max(rows * columns, _PAIRS * rows))
    scale = math.sqrt((2 if pairs else 1) / _PAIRS)
    mean = None
    for start in range(0, count, most):
        block = min(most, count - start)
        hidden = rng.standard_normal((block, _PAIRS, x.shape[1])) @ x.T
        active = np.repeat((hidden > 0).astype(float), outputs, axis=2)
        if outputs > 1:
            signs = rng.choice((-1.0, 1.0), (block, _PAIRS, outputs))
            active = active * np.tile(signs, (1, 1, len(x)))
        found = gram * (active.transpose(0, 2, 1) @ active[:, :, :columns])
        if both_layers:
            features = np.repeat(np.maximum(hidden, 0), outputs, axis=2)
            found += same * (features.transpose(0, 2, 1) @ features[:, :, :columns])
        if mean is None:
            mean = _PAIRS * _limit(x, points, outputs, both_layers)
        yield scale * (found - mean)


def _limit(x: Array, points: int, outputs: int, both_layers: bool) -> Array:
    """H, rows by training points and their outputs: arc-cosine kernels of unit rows."""
    cosine = np.clip(x @ x[:points].T, -1.0, 1.0)
    np.fill_diagonal(cosine, 1.0)
    angle = np.arccos(cosine)
    kernel = cosine * (math.pi - angle) / (2 * math.pi)
    if both_layers:
        kernel = kernel + (np.sin(angle) + (math.pi - angle) * cosine) / (2 * math.pi)
    return np.asarray(np.kron(kernel, np.eye(outputs)), dtype=float)


def boundary_source(
    inputs: ArrayLike,
    pulls: ArrayLike,
    rng: np.random.Generator,
    *,
    draws: int = 64,
) -> Array:
    """Mean outputs, times √m, that neurons add in each step by changing their activation.

    A neuron of signs a that starts at ξ/√m from the hyperplane of point i moves by a · Σ_j Γ_ij A_j
    p_j a step, where A_i = 1[ξ > 0] alone changes. ξ is drawn only where it does change, so no draw
    is wasted: an active neuron from 0 to the farthest that it would move down if it stayed active,
    an inactive one likewise. Neurons of both signs come in equal numbers.

    Args:
        inputs: unit rows, shape (n + k, d), the training points first.
        pulls: p_t = −η_t r_t of the kernel limit, shape (T, n, C).
        rng: draws the other activations, and ξ.
        draws: for each training point, each of four neurons.

    Returns:
        Shape (T, n + k, C).

    Reference: docs/theory.md, sections 9.5 and 9.6.
    """
    x, pull = np.asarray(inputs, dtype=float), np.asarray(pulls, dtype=float)
    steps, points, outputs = pull.shape
    source = np.zeros((steps, len(x), outputs))
    most = max(1, _NUMBERS // (4 * draws * steps))
    for start in range(0, points, most):
        of = np.arange(start, min(start + most, points))
        gram = x[of] @ x.T
        hidden = rng.standard_normal((of.size, draws, x.shape[1]))
        hidden -= (hidden @ x[of][:, :, None]) * x[of][:, None, :]
        active = (hidden @ x.T > 0).astype(float)
        active[np.arange(of.size), :, of] = 0
        reach = active * gram[:, None, :]
        signs = rng.choice((-1.0, 1.0), (of.size, draws, outputs))
        others, own = np.zeros((steps, of.size, draws)), np.zeros((steps, of.size, draws))
        for c in range(outputs):
            others += np.moveaxis(reach[:, :, :points] @ pull[:, :, c].T, 2, 0) * signs[..., c]
            own += pull[:, of, c][:, :, None] * signs[..., c]
        gained, kink = _layer(others, own, rng)
        # gained and own: (T, points, draws); reach: (points, draws, n + k); signs: (.., .., C)
        for c in range(outputs):
            weight = (gained * own * signs[..., c]).transpose(1, 0, 2) / draws
            source[:, :, c] += (weight @ reach).sum(axis=0)
            source[:, of, c] += (kink * signs[..., c]).mean(axis=2)
    return np.asarray(_DENSITY * source)


def _layer(others: Array, own: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Neurons near a hyperplane: length of ξ that is active beyond the start, and output gained.

    Args:
        others: how far the other points move ξ in each step, shape (T, ...), for a sign of +1.
        own: what the point itself adds while the neuron is active.
        rng: draws ξ.

    Returns:
        ∫ (A_t − A_0) dξ at the beginning of each step, and ∫ a (relu(ξ_{t+1}) − relu(ξ_t) less its
        own linearisation) dξ, both in the mean over signs, shape of `others`.
    """
    zero = np.zeros((1, *others.shape[1:]))
    drift = np.cumsum(np.concatenate([zero, others]), axis=0)
    moved = drift + np.cumsum(np.concatenate([zero, own]), axis=0)
    # Over signs +, − and starts on, off: how far out a start may be and still change.
    far = np.stack([-moved.min(axis=0), drift.max(axis=0), moved.max(axis=0), -drift.min(axis=0)])
    on = np.array([True, False, True, False]).reshape(4, *[1] * (others.ndim - 1))
    sign = np.array([1.0, 1.0, -1.0, -1.0]).reshape(on.shape)
    at = np.where(on, far, -far) * rng.random(far.shape)
    at = np.where(on, np.maximum(at, np.finfo(float).tiny), at)
    gained, kink = np.empty_like(others), np.empty_like(others)
    for t, (push, pull) in enumerate(zip(others, own, strict=True)):
        active = at > 0
        gained[t] = (far * (active.astype(float) - on)).sum(axis=0) / 2
        after = at + sign * (push + pull * active)
        rise = np.maximum(after, 0) - np.maximum(at, 0) - sign * on * (push + pull)
        kink[t] = (far * sign * rise).sum(axis=0) / 2
        at = after
    return gained, kink


@dataclass(frozen=True)
class LinearResponse:
    """How the outputs of the kernel limit follow small changes of what they are made of.

    All changes obey δ_{t+1} = δ_t − η_t H ∂r_t[δ] + f_t: ∂r is how the residuals of the limit
    follow its outputs, f what the change adds in a step. A change of hard targets is none, while
    signs are right.

    Attributes:
        limit: u_t of the kernel limit, shape (T + 1, n + k, C).
        kernel: H, rows by training points and their outputs, shape ((n + k) C, n C).
        learning_rates: η_t, shape (T,).
        teaching: targets of the n training points.

    Reference: docs/theory.md, section 9.6.
    """

    limit: Array
    kernel: Array
    learning_rates: Array
    teaching: Teaching

    @cached_property
    def _begun(self) -> list[Array]:
        trained = self.limit[:, : len(self.teaching.observed)]
        return [trained[0] if self.teaching.restarts(t) else trained[t]
                for t in range(len(self.learning_rates))]  # fmt: skip

    @cached_property
    def _taught(self) -> list[Array]:
        trained = self.limit[:, : len(self.teaching.observed)]
        return [trained[self.teaching.teacher(t)] for t in range(len(self.learning_rates))]

    @cached_property
    def pulls(self) -> Array:
        """−η_t r_t of the kernel limit, shape (T, n, C)."""
        both = zip(self._begun, self._taught, strict=True)
        residuals = [self.teaching.residual(t, *outputs) for t, outputs in enumerate(both)]
        return np.asarray(-self.learning_rates[:, None, None] * np.stack(residuals))

    def to_sources(self, forces: Array) -> Array:
        """δ, shape (B, T + 1, n + k, C), of what is added in each step, (B, T, n + k, C)."""
        points, teaching = len(self.teaching.observed), self.teaching
        found = np.zeros((len(self.limit), len(forces), *self.limit.shape[1:]))
        for t, rate in enumerate(self.learning_rates):
            now = np.zeros_like(found[t]) if teaching.restarts(t) else found[t]
            own, of_teacher = teaching.response(t, self._begun[t], self._taught[t])
            change = now[:, :points]
            if own is not None:
                change = np.einsum("icd,bid->bic", own, change)
            if of_teacher is not None:
                before = found[teaching.teacher(t), :, :points]
                change = change + np.einsum("icd,bid->bic", of_teacher, before)
            flat = change.reshape(len(forces), -1) @ self.kernel.T
            found[t + 1] = now - rate * flat.reshape(now.shape) + forces[:, t]
        return np.moveaxis(found, 0, 1)

    def to_kernels(self, changes: Array) -> Array:
        """δ of changes of the kernel, shape (B, (n + k) C, n C); H itself is one of log η."""
        pulled = changes @ self.pulls.reshape(len(self.pulls), -1).T
        shape = (len(changes), len(self.pulls), *self.limit.shape[1:])
        return self.to_sources(np.moveaxis(pulled, 2, 1).reshape(shape))

    def to_labels(self, changes: Array) -> Array:
        """δ of changes of the observed labels, shape (B, n, C)."""
        taught = changes.reshape(len(changes), -1) @ self.kernel.T
        weights = self.learning_rates * self.teaching.weights
        forces = weights[:, None] * taught[:, None]
        return self.to_sources(forces.reshape(len(changes), len(weights), *self.limit.shape[1:]))


@dataclass(frozen=True)
class FiniteWidthLaw:
    """Outputs of wide nets, to leading order: limit + m^{-1/2} (mean + scatter).

    Attributes:
        response: of the kernel limit to small changes.
        mean: shape (T + 1, n + k, C).
        scatter: independent draws of the Gaussian part, shape (B, T + 1, n + k, C).

    Reference: docs/theory.md, section 9.6.
    """

    response: LinearResponse
    mean: Array
    scatter: Array

    @property
    def limit(self) -> Array:
        """u_t of the kernel limit, shape (T + 1, n + k, C)."""
        return self.response.limit

    def outputs(self, width: int) -> Array:
        """Draws of the outputs of a net of that width, shape (B, T + 1, n + k, C)."""
        return np.asarray(self.limit + (self.mean + self.scatter) / math.sqrt(width))


def finite_width_law(
    inputs: ArrayLike,
    limit: ArrayLike,
    learning_rates: ArrayLike,
    teaching: Teaching,
    rng: np.random.Generator,
    *,
    count: int = 400,
    draws: int = 64,
    both_layers: bool = False,
    labels: Array | None = None,
) -> FiniteWidthLaw:
    """The law of finite width of one way to train, from antisymmetric pairs of w ~ N(0, I).

    Both parts are the response of the limit: the scatter to √m (H_m(0) − H), and to √m times what
    labels of a net's own differ by, the mean to the boundary source.

    Args:
        inputs: unit rows, shape (n + k, d): training points first, then others that are looked at.
        limit: u_t of the kernel limit, shape (T + 1, n + k) or (T + 1, n + k, C).
        learning_rates: η_t, shape (T,).
        teaching: targets of the n training points.
        rng: of all draws.
        count: B, draws of the scatter.
        draws: neurons near each hyperplane, by four.
        both_layers: the output weights are trained, too.
        labels: √m times the difference of each net's labels from the observed, shape (B, n, C).

    Reference: docs/theory.md, section 9.6.

    >>> inputs, labels, rng = np.eye(2), np.array([[1.0], [-1.0]]), np.random.default_rng(0)
    >>> limit = (1 - 0.75 ** np.arange(11))[:, None] * labels[:, 0]
    >>> law = finite_width_law(inputs, limit, [0.5] * 10, Teaching(labels, np.ones(10)), rng)
    >>> [round(float(law.outputs(m)[:, -1].std(axis=0).mean()), 3) for m in (1024, 4096)]
    [0.008, 0.004]
    """
    x, u = np.asarray(inputs, dtype=float), np.asarray(limit, dtype=float)
    rates, points, outputs = np.asarray(learning_rates, dtype=float), *teaching.observed.shape
    kernel = _limit(x, points, outputs, both_layers)
    response = LinearResponse(u.reshape(len(u), len(x), outputs), kernel, rates, teaching)
    source = _boundary(response, x, rng, draws)
    blocks = kernel_draws(x, points, count, rng, outputs=outputs, both_layers=both_layers)
    scatter = np.concatenate([response.to_kernels(block) for block in blocks])
    if labels is not None:
        scatter += response.to_labels(labels)
    return FiniteWidthLaw(response, response.to_sources(source[None])[0], scatter)


def _boundary(response: LinearResponse, x: Array, rng: np.random.Generator, draws: int) -> Array:
    """What neurons add to the outputs by changing their activation, in each step, times √m."""
    steps, teaching = len(response.learning_rates), response.teaching
    source = np.zeros((steps, *response.limit.shape[1:]))
    ends = [t for t in range(steps) if t == 0 or teaching.restarts(t)] + [steps]
    for start, stop in pairwise(ends):
        source[start:stop] = boundary_source(x, response.pulls[start:stop], rng, draws=draws)
    return source


def law_from_starts(
    inputs: ArrayLike,
    starts: ArrayLike,
    learning_rates: ArrayLike,
    teaching: Teaching,
    rng: np.random.Generator,
    *,
    draws: int = 64,
    both_layers: bool = False,
) -> tuple[Array, Array]:
    """The law of finite width of independent neurons, given the outputs that each net starts with.

    Each net deviates by m^{-1/2} times a Gaussian and a mean of its own from the recursion that
    starts where it does. Neurons of both signs make its outputs at the start and H_m(0) − H
    uncorrelated, and independent as m → ∞.

    Args:
        inputs: unit rows, shape (n, d).
        starts: outputs at the start, shape (B, n) or (B, n, C).
        learning_rates: η_t, shape (T,).
        teaching: targets.
        rng: of all draws.
        draws: neurons near each hyperplane, by four, for each start.
        both_layers: the output weights are trained, too.

    Returns:
        The recursion from each start, and √m times a draw of the deviation from it, shape
        (B, T + 1, n, C) each.

    Reference: docs/theory.md, section 9.6.
    """
    x, rates = np.asarray(inputs, dtype=float), np.asarray(learning_rates, dtype=float)
    points, outputs = teaching.observed.shape
    begun = np.asarray(starts, dtype=float).reshape(-1, points, outputs)
    kernel = _limit(x, points, outputs, both_layers)
    limits = np.zeros((len(begun), len(rates) + 1, points, outputs))
    off = np.zeros_like(limits)
    blocks = kernel_draws(
        x, points, len(begun), rng, outputs=outputs, both_layers=both_layers, pairs=False
    )
    changes = (change for block in blocks for change in block)
    for limit, deviation, start, change in zip(limits, off, begun, changes, strict=True):
        limit[0] = start
        for t, rate in enumerate(rates):
            now = start if teaching.restarts(t) else limit[t]
            residual = teaching.residual(t, now, limit[teaching.teacher(t)])
            limit[t + 1] = now - rate * (kernel @ residual.reshape(-1)).reshape(now.shape)
        response = LinearResponse(limit, kernel, rates, teaching)
        source = _boundary(response, x, rng, draws)
        deviation[:] = response.to_kernels(change[None])[0] + response.to_sources(source[None])[0]
    return limits, off
