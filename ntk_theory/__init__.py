"""Executable claims about self-distillation and early stopping of overparameterized nets.

Prediction: `predictions` (closed forms). Measurement: `data`, `kernels`, `spectrum`, `network`,
`targets`, `training`. Judgement: `Claim` with its `Training`, `Row` and `Control`, and `claims`.
All of these are loaded when they are first asked for, so that listing claims loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntk_theory import data as data
    from ntk_theory import datasets as datasets
    from ntk_theory import distilled as distilled
    from ntk_theory import drawing as drawing
    from ntk_theory import forecast as forecast
    from ntk_theory import kernels as kernels
    from ntk_theory import losses as losses
    from ntk_theory import minibatch as minibatch
    from ntk_theory import network as network
    from ntk_theory import predictions as predictions
    from ntk_theory import rule as rule
    from ntk_theory import spectrum as spectrum
    from ntk_theory import targets as targets
    from ntk_theory import together as together
    from ntk_theory import training as training
    from ntk_theory.checking import functionals as functionals
    from ntk_theory.checking import panels as panels
    from ntk_theory.checking.claim import Claim as Claim
    from ntk_theory.checking.rows import ALL_STEPS as ALL_STEPS
    from ntk_theory.checking.rows import Control as Control
    from ntk_theory.checking.rows import HeldOut as HeldOut
    from ntk_theory.checking.rows import Row as Row
    from ntk_theory.checking.rows import Training as Training
    from ntk_theory.checking.run import Run as Run
    from ntk_theory.checking.sweep import Sweep as Sweep
    from ntk_theory.checking.verdicts import Measurement as Measurement
    from ntk_theory.checking.verdicts import Options as Options
    from ntk_theory.checking.verdicts import Premise as Premise
    from ntk_theory.checking.verdicts import Relation as Relation
    from ntk_theory.estimator import DistilledClassifier as DistilledClassifier
    from ntk_theory.estimator import distill as distill
    from ntk_theory.grids import ClusterGrid as ClusterGrid
    from ntk_theory.grids import cluster_grid as cluster_grid
    from ntk_theory.grids import whole_clusters as whole_clusters
    from ntk_theory.notebook import check as check
    from ntk_theory.notebook import known_claims as claims
    from ntk_theory.problems import NoisyClusters as NoisyClusters
    from ntk_theory.problems import Recipe as Recipe
    from ntk_theory.problems import noisy_clusters as noisy_clusters

__version__ = "0.1.0"

_MODULES = {
    name: f"ntk_theory.{name}"
    for name in (
        "data", "datasets", "distilled", "drawing", "forecast", "kernels", "losses", "minibatch",
        "network", "predictions", "rule", "spectrum", "targets", "together", "training",
    )
} | {name: f"ntk_theory.checking.{name}" for name in ("functionals", "panels")}  # fmt: skip

_NAMES = {
    "ntk_theory.checking.claim": ("Claim",),
    "ntk_theory.checking.rows": ("ALL_STEPS", "Control", "HeldOut", "Row", "Training"),
    "ntk_theory.checking.run": ("Run",),
    "ntk_theory.checking.sweep": ("Sweep",),
    "ntk_theory.estimator": ("DistilledClassifier", "distill"),
    "ntk_theory.grids": ("ClusterGrid", "cluster_grid", "whole_clusters"),
    "ntk_theory.notebook": ("check",),
    "ntk_theory.problems": ("NoisyClusters", "Recipe", "noisy_clusters"),
    "ntk_theory.checking.verdicts": ("Measurement", "Options", "Premise", "Relation"),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}

__all__ = ["__version__", "claims", *_MODULES, *_HOMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name == "claims":
        return import_module("ntk_theory.claims")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
