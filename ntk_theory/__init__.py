"""Executable claims about self-distillation and early stopping of overparameterized nets.

Prediction: `predictions` (closed forms). Measurement: `data`, `kernels`, `spectrum`, `network`,
`targets`, `training`. Judgement: `problems`, `experiments`, `fitting`, `verdicts`, `controls`,
`claims`, `report`, `verify`.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
