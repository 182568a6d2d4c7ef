"""Full-batch gradient descent on two-layer nets: exact, and cheaper than its textbook form.

`neurons.py` has the gradient step, `descent.py` the training, `trajectory.py` what it records,
`footprint.py` what it takes.
Softmax cross-entropy has softmax(u) in place of u in the residual, and nothing else changes
(docs/theory.md, section 5).
"""

from __future__ import annotations

__all__ = ["Loss", "Trajectory", "train", "train_kernel_limit"]

from ntk_theory.targets import Loss
from ntk_theory.training.descent import train, train_kernel_limit
from ntk_theory.training.trajectory import Trajectory
