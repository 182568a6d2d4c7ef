"""Data of one's own for claims: from options to a problem, and the declarations that take it."""

from __future__ import annotations

__all__ = [
    "ERROR_PANEL", "NOISE", "SWEEPS", "both_trainings", "on_own_data", "own_data", "spectrum_panel",
]  # fmt: skip

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import Functional, rms_error
from ntk_theory.checking.panels import Curves
from ntk_theory.checking.rows import Training
from ntk_theory.own_problem import DISTILLED, PLAIN, OwnData, to_clean

if TYPE_CHECKING:
    from ntk_theory.checking.claim import Claim
    from ntk_theory.data import LabelNoise

NOISE = 0.2
"""Share of labels made wrong by a run that does not say."""

_POINTS, _CLASSES, _FRESH = 60, "2", 200
"""Of a run that does not say."""

_OUTPUTS = 600
"""Points times outputs, fresh ones included, of which the law of finite width is drawn."""

SWEEPS: Mapping[str, nt.Sweep] = {
    "quick": nt.Sweep(1024, 8192, 4, nets=6),
    "standard": nt.Sweep(2048, 2**15, 5, nets=8),
}
"""Widths of nets; kernels of data are worse conditioned than those of designs."""


def _of_kernel(file: str, share: float, steps: int | None) -> OwnData:
    from ntk_theory.datasets import load_gram

    gram, observed, clean, classes = load_gram(file)
    return OwnData(Path(file).name, gram, observed, clean, classes, share, steps)


def own_data(
    *,
    seed: int,
    data: str | None = None,
    gram: str | None = None,
    classes: str | None = None,
    points: int | None = None,
    noise: float | None = None,
    noise_kind: str = "symmetric",
    share: float = 1.0,
    steps: int | None = None,
    usual_noise: float = NOISE,
) -> OwnData:
    """Data of one's own, with wrong labels.

    Args:
        seed: of the choice of points and of wrong labels, and of all nets.
        data: digits, mnist, cifar10:FOLDER, FILE.npz (inputs, labels, perhaps clean) or FILE.csv
            (the label in the last column).
        gram: FILE.npz with a kernel H, labels and perhaps clean, in place of data: a forecast.
        classes: how many of the data's classes, or names with commas between (2 when left out).
        points: n.
        noise: share of labels made wrong (data without clean labels).
        noise_kind: symmetric, or pair, to the next class.
        share: ηλ_max (data).
        steps: T.
        usual_noise: of a run that does not say.
    """
    from ntk_theory.datasets import load_once, noisy, split

    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], so that nothing overshoots; got {share}")
    if steps is not None and steps < 4:
        raise ValueError(f"steps must be at least 4; got {steps}")
    if noise_kind not in ("symmetric", "pair"):
        raise ValueError(f"noise_kind must be symmetric or pair; got {noise_kind!r}")
    if noise is not None and not 0 <= noise < 1:
        raise ValueError(f"noise must lie in [0, 1), a share of labels; got {noise}")
    if (data is None) == (gram is None):
        raise ValueError("give either data or gram, not both and not neither")
    if gram is not None:
        for name, value in (("classes", classes), ("points", points), ("noise", noise)):
            if value is not None:
                raise ValueError(f"{name} cannot be chosen for a kernel: it is all there is")
        return _of_kernel(gram, share, steps)
    found = load_once(cast(str, data))
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    count = min(_POINTS, 2 * len(found.classes) // 3) if points is None else points
    chosen = _CLASSES if classes is None else classes
    training, fresh = split(found, points=count, classes=chosen, rng=rng)
    outputs = 1 if len(training.names) == 2 else len(training.names)
    if count * outputs > _OUTPUTS:
        raise ValueError(
            f"points must be at most {_OUTPUTS // outputs} of {len(training.names)} classes, for "
            f"the law of finite width of their outputs; got {count}"
        )
    planted = (usual_noise if found.clean is None else 0.0) if noise is None else noise
    smallest = int(np.bincount(training.right).min())
    if 0 < planted < (1 - 1e-9) / smallest:
        raise ValueError(
            f"noise {planted:g} of a class of {smallest} points is less than one label; use at "
            f"least {1 / smallest:.3g}, or more points"
        )
    dataset = noisy(training, noise_rate=planted, rng=rng, noise=cast("LabelNoise", noise_kind))
    most = min(_FRESH, _OUTPUTS // outputs - count)
    some = np.sort(rng.permutation(len(fresh.classes))[:most])
    known = dataset.clean_class if found.clean is not None or planted > 0 else None
    said = f"{found.name}, classes {', '.join(training.names[:10])}, {count} points"
    if planted > 0:
        wrong = float((dataset.observed_class != dataset.clean_class).mean())
        said += f", {100 * wrong:.3g} % of their labels made wrong"
    return OwnData(said, nt.kernels.ntk_limit(dataset.inputs), dataset.observed_class, known,
                   dataset.classes, share, steps, dataset, fresh.at(some))  # fmt: skip


def on_own_data(
    claim: Claim,
    *,
    presets: Mapping[str, nt.Sweep] = SWEEPS,
    usual_noise: float = NOISE,
    **own: Any,
) -> Claim:
    """The claim on data of one's own: all but its trainings, rows and controls.

    Args:
        claim: whose statement it is.
        presets: by name.
        usual_noise: share of labels that are made wrong where the user does not say.
        own: words that differ, and so on.
    """
    other = claim.restated(presets=presets, **own)
    other.problem(own_data, fixed={"usual_noise": usual_noise})
    return other


def _errors(problem: OwnData) -> dict[str, tuple[str, Functional]]:
    return {name: (name, to_clean(rms_error, problem.clean)) for name in (PLAIN, DISTILLED)}


ERROR_PANEL = Curves("error", of=_errors, legend="lower left", more={"yscale": "log"})
"""How far from the clean labels are plain training and self-distillation, step by step?"""


def both_trainings(problem: OwnData) -> Iterator[Training]:
    """Self-distillation, and plain training past its best step."""
    yield problem.distilled()
    yield problem.plain(problem.memorising)


def spectrum_panel(axes: nt.panels.Axes, result: nt.panels.ClaimResult) -> None:
    """Which eigenvectors hold the clean labels, and which the noise?"""
    drawing, arrays = nt.drawing, result.arrays
    colours = {"clean labels": drawing.BLUE, "noise": drawing.ORANGE,
               "observed labels": drawing.GREEN}  # fmt: skip
    for name, colour in colours.items():
        if f"energy of {name}" in arrays:
            held = arrays[f"energy of {name}"]
            drawing.line(axes, np.arange(1.0, len(held) + 1), held, colour, name)
    axes.set(xscale="log", xlabel="top $k$ eigenvectors", ylabel="share of energy in them",
             ylim=(0, 1.05))  # fmt: skip
    axes.legend(loc="upper left")
