"""Kernel limit on scikit-learn's digits: plain training, and self-distillation by hand.

`python -m benchmarks.digits` prints the accuracy on the 797 images that are not trained on, of
plain training at its best step and in the end, and of hard self-distillation in the end: 1000
images, rows of length 1, 6000 steps of 1.9/λ_max, labels alone for 300 steps and then with the
weight 1/(1 + (t − 300)/100). Every label is wrong with the same probability by itself. Burn-in and
decay were chosen for these data: the rule needs neither.
"""

from __future__ import annotations

__all__ = ["SETTINGS", "accuracies", "main"]

import argparse
from collections.abc import Sequence

import numpy as np

import ntk_theory as nt
from ntk_theory.data import LabelNoise

SETTINGS: tuple[tuple[LabelNoise, float], ...] = (
    ("symmetric", 0.2), ("symmetric", 0.4), ("symmetric", 0.6), ("pair", 0.2), ("pair", 0.4),
)  # fmt: skip

_SCHEDULE = nt.targets.BurnIn(300, nt.targets.Power(100.0))


def accuracies(
    noise: LabelNoise, rate: float, *, seed: int = 0, points: int = 1000, steps: int = 6000
) -> tuple[float, float, float]:
    """Plain training at its best step and in the end, self-distillation in the end.

    Args:
        noise: kind of wrong labels.
        rate: their share.
        seed: of the split and the noise.
        points: n of training.
        steps: T; plain training is read at 60 of them, in equal ratios.
    """
    rng = np.random.default_rng(seed)
    data = nt.datasets.load("digits")
    order = rng.permutation(len(data.classes))
    seen, fresh = (data.at(part) for part in np.split(order, [points]))
    design = nt.data.Design("digits", seen.inputs.astype(float), seen.classes)
    dataset = nt.data.noisy_labels(
        design, noise_rate=rate, rng=rng, classes=10, noise=noise, count="iid"
    )
    inputs = dataset.inputs
    top = float(np.linalg.eigvalsh(nt.kernels.ntk_limit(inputs))[-1])
    stops = np.unique(np.geomspace(1, steps, 60).astype(int)).tolist()
    plain = nt.together.Job(
        inputs, dataset.observed - 0.1, nt.targets.PLAIN, 1.9 / top, fresh.inputs.astype(float),
        stops,
    )  # fmt: skip
    hard = plain._replace(distillation=nt.targets.Distillation(_SCHEDULE), stops=stops[-1:])
    read = [
        (outputs.argmax(axis=-1) == fresh.right).mean(axis=-1)
        for outputs in nt.together.kernel_limits([plain, hard])
    ]
    return float(read[0].max()), float(read[0][-1]), float(read[1][-1])


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table: means over seeds, and the standard deviation of one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="splits and noise (3)")
    seeds = range(max(1, parser.parse_args(argv).seeds))
    print("| noise | plain, best step | plain, end | self-distillation, end |\n|---|---|---|---|")
    for noise, rate in SETTINGS:
        every = np.array([accuracies(noise, rate, seed=seed) for seed in seeds])
        cells = zip(every.mean(axis=0), every.std(axis=0, ddof=min(1, len(every) - 1)), strict=True)
        found = " | ".join(f"{mean:.3f} ({spread:.3f})" for mean, spread in cells)
        print(f"| {noise} {rate:.0%} | {found} |", flush=True)


if __name__ == "__main__":
    main()
