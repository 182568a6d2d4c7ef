"""Toy runs: options at which a whole run of a claim takes seconds and is SUPPORTED."""

from __future__ import annotations

__all__ = ["TOYS", "toy"]

from collections.abc import Mapping

from ntk_theory.checking.verdicts import Options

TOYS: Mapping[str, Options] = {
    "air": Options(
        preset="quick",
        seeds=4,
        widths=(256, 512, 1024, 2048, 4096),
        clusters=4,
        points=6,
        ratio=4.0,
        noise_rate=1 / 6,
    ),
    "chains": Options("quick", seeds=5, widths=(768, 1536, 3072, 6144), points=16, ratio=2.6),
    "convergence": Options(
        seed=0,
        seeds=4,
        widths=(256, 512, 1024, 2048, 4096),
        clusters=4,
        points=5,
        ratio=12.0,
        noise_rate=0.2,
        steps=256,
    ),
    "dark-knowledge": Options(preset="quick", seeds=4, widths=(128, 256, 512, 1024, 2048)),
    "finite-width": Options(
        "quick", seed=0, seeds=150, widths=(256, 512, 1024, 2048, 4096), steps=28
    ),
    "generalisation": Options(
        preset="quick",
        seed=0,
        seeds=8,
        widths=(64, 128, 256, 512, 1024),
        clusters=4,
        points=10,
        ratio=12.0,
        noise_rate=0.2,
    ),
    "initialisation": Options(
        seed=0, seeds=24, widths=(64, 128, 256, 512, 1024), ratio=8.0, steps=120, init_scale=1.6
    ),
    "lazy": Options(
        preset="quick",
        seeds=36,
        widths=(256, 512, 1024, 2048, 4096),
        clusters=2,
        points=5,
        ratio=6.0,
    ),
    "margin": Options(
        preset="quick",
        seeds=6,
        widths=(256, 512, 1024, 2048, 4096),
        clusters=4,
        points=5,
        ratio=8.0,
        noise_rate=0.2,
    ),
    "memorisation": Options(
        seed=0, seeds=12, widths=(512, 1024, 2048, 4096), points=10, ratio=10.0, steps=80
    ),
    "practice": Options(
        "quick",
        seed=1,
        seeds=3,
        widths=(256, 512, 1024, 2048),
        points=450,
        splits=5,
        noise=0.35,
        neurons=64,
        epochs=16,
    ),
    "residual-law": Options("quick", points=20, dimension=8, widths=(512, 1024, 2048, 4096)),
    "ridge-rounds": Options("quick", points=24, widths=(256, 512, 1024, 2048)),
    "separation": Options(
        seed=0,
        seeds=8,
        widths=(512, 1024, 2048, 4096),
        clusters=4,
        points=5,
        ratio=8.0,
        noise_rate=0.2,
    ),
    "soft-identity": Options(
        preset="quick",
        seeds=16,
        widths=(256, 512, 1024, 2048, 4096),
        clusters=2,
        points=5,
        ratio=5.0,
        steps=32,
    ),
    "teacher-student": Options(seed=0, seeds=8, widths=(512, 1024, 2048, 4096), clusters=2),
    "threshold": Options(seed=0, seeds=6, widths=(512, 1024, 2048, 4096), points=10, ratio=4.0),
    "zero-one": Options(seed=0, seeds=4, widths=(256, 512, 1024, 2048), ratio=12.0),
}


def toy(claim: str) -> Options:
    """Options of the toy run of a claim; those of the preset quick for one of somebody else's."""
    return TOYS.get(claim, Options("quick"))
