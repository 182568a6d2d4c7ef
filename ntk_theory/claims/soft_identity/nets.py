"""The wide nets of `soft-identity`: a ladder in four ways, and runs in ever smaller steps."""

from __future__ import annotations

__all__ = ["Wide", "climb", "noise_share", "order_ends", "recipes"]

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ntk_theory.claims.soft_identity.plan import (
    ENTROPY,
    FINE_STEPS,
    FLOW,
    MEMORISING,
    STOPPING,
    Plan,
    observed_labels,
)
from ntk_theory.claims.soft_identity.theory import Theory
from ntk_theory.experiments import net_seeds, train_nets
from ntk_theory.ladder import Ladder
from ntk_theory.problems import Recipe
from ntk_theory.targets import PLAIN, Distillation
from ntk_theory.verdicts import Progress

Array = NDArray[np.float64]

_ORDER_STREAM = 5
"""Keeps the seeds of the runs in small steps apart from those of the ladder (0)."""


def recipes(plan: Plan) -> dict[str, Recipe]:
    """What the nets of the ladder are trained on, in each way."""
    base = plan.problem.recipe
    steps = FINE_STEPS * plan.steps
    stopping = Distillation(plan.schedule(STOPPING), "soft")
    return {
        MEMORISING: replace(base, distillation=Distillation(plan.schedule(MEMORISING), "soft")),
        STOPPING: replace(base, distillation=stopping),
        ENTROPY: replace(
            base,
            distillation=stopping,
            observed=observed_labels(plan.problem, 2),
            loss="cross-entropy",
        ),
        FLOW: replace(
            base,
            distillation=PLAIN,
            learning_rate=plan.time / steps,
            steps=steps,
            record=[steps],
        ),
    }


def _ladders(plan: Plan) -> dict[str, Ladder]:
    """One ladder a kind of labels; those of the square loss share it."""
    data = plan.problem.dataset
    one_hot = np.eye(2)[np.arange(len(data.inputs)) // plan.problem.spectrum.points % 2]
    square, entropy = plan.nets.ladder(data.clean), plan.nets.ladder(one_hot)
    return {MEMORISING: square, STOPPING: square, FLOW: square, ENTROPY: entropy}


@dataclass
class Wide:
    """Everything measured on the ladder.

    Attributes:
        plan: what was trained.
        theory: what is predicted of it.
        ladders: by the way of training.
        ends: for each width, outputs at the last step in each way, one row a net.
    """

    plan: Plan
    theory: Theory
    ladders: dict[str, Ladder]
    ends: list[dict[str, Array]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> Wide:
        """Before any training."""
        return cls(plan, Theory(plan), _ladders(plan))

    def stopped(self) -> str | None:
        """Explanation of the first divergence, or None."""
        return self.ladders[STOPPING].stopped() or self.ladders[ENTROPY].stopped()


def climb(wide: Wide, width: int, progress: Progress) -> None:
    """Train one width in all ways."""
    ends = {}
    for name, recipe in recipes(wide.plan).items():
        trajectory = wide.ladders[name].train(
            name, recipe, width, wide.theory.outputs[name], progress=progress
        )
        ends[name] = trajectory.outputs[:, -1]
    wide.ends.append(ends)


def noise_share(plan: Plan, ends: Array) -> Array:
    """Projection of outputs (S, n) on the noise inside clusters, q, shape (S,)."""
    data, rho = plan.problem.dataset, plan.problem.noise_rate
    noise = data.observed - (1 - 2 * rho) * data.clean
    return np.asarray(ends @ noise / (noise @ noise))


def order_ends(plan: Plan, progress: Progress) -> tuple[list[Array], Array]:
    """Outputs of soft runs of the same time in more and more steps, and of plain gradient flow.

    The flow is extrapolated from plain runs of N and 2N steps, 2 u_{2N} − u_N.
    """
    width = plan.nets.widths[0]
    seeds = net_seeds(plan.nets.seed, width, plan.nets.count, _ORDER_STREAM)

    def end(steps: int, soft: bool) -> Array:
        weights = plan.weights(STOPPING, steps) if soft else np.ones(steps)
        recipe = replace(
            plan.problem.recipe,
            distillation=(Distillation(plan.schedule(STOPPING, steps), "soft") if soft else PLAIN),
            learning_rate=plan.time / float(weights.sum()),
            steps=steps,
            record=[steps],
        )
        trajectory = train_nets(recipe, width, seeds, device=plan.nets.device, progress=progress)
        return trajectory.outputs[:, -1] if trajectory.stopped is None else np.empty((0, 0))

    coarse, fine = (end(factor * plan.finest_steps, soft=False) for factor in (1, 2))
    return [end(steps, soft=True) for steps in plan.order_steps], 2 * fine - coarse
