"""`convergence` at the size of an image data set, predicted by the recursion of section 7.1."""

from __future__ import annotations

__all__ = ["SCALED", "Scaled"]

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

import ntk_theory as nt
from ntk_theory.checking.functionals import rms_error, wrong_signs
from ntk_theory.checking.rows import OWN, SIGNED
from ntk_theory.claims.convergence import CLAIM, DISTILLED, PLAIN
from ntk_theory.distilled import LEVEL, Units, gap_of, least_taught
from ntk_theory.image_size import CLASSES, ImageSize, at_image_size


class Scaled(ImageSize):
    """Self-distillation and plain training on the same data."""

    ways, share = 2, 1.0

    @cached_property
    def units(self) -> Units:
        """Times in which the largest noise eigenvalue would memorise, at a rate of 1/λ_max."""
        noise, top = float(self.top.values[CLASSES]), float(self.top.values[0])
        return Units.of(noise, top, gap_of(self.dataset), self.share)._replace(steps=self.steps)

    @cached_property
    def distilled(self) -> nt.Training:
        """Hard self-distillation after a burn-in."""
        return self.training(DISTILLED, self.units.power, signs_from=self.units.burn_in)

    def premises(self) -> Iterator[nt.Premise]:
        """Of the measured kernel, and that the recursion says what is taught."""
        yield from super().premises()
        least = float(least_taught(self.distilled, self.distilled.predicted[None])[0])
        yield nt.Premise("every taught prediction right in the limit", least, least > 0,
                         "least margin of the recursion > 0 after the burn-in")  # fmt: skip


SCALED = at_image_size(CLAIM, Scaled)
SCALED.panels = {name: CLAIM.panels[name] for name in ("error-over-time", "deviation-over-width")}


@SCALED.trainings
def trainings(scaled: Scaled) -> Iterator[nt.Training]:
    """Self-distillation, and the observed labels alone."""
    yield scaled.distilled
    yield scaled.training(PLAIN)


@SCALED.rows
def rows(_: Scaled, distilled: nt.Training, plain: nt.Training) -> Iterator[nt.Row]:
    """Where both lead; half way distinguishes them."""
    final = float(rms_error(distilled.predicted, distilled.points)[-1])
    best = float(rms_error(plain.predicted, plain.points).min())
    yield nt.Row("final RMS error", distilled, rms_error, norm="rms", resolves=final / 2)
    yield nt.Row("best RMS error at any step", plain, rms_error, at=nt.ALL_STEPS, reduce=np.min,
                 norm=SIGNED, resolves=(best - final) / 2)  # fmt: skip


@SCALED.measure
def measure(run: nt.Run) -> Iterator[nt.Measurement]:
    """The learning rate in the first step, and signs of all nets."""
    distilled, points = run.results[DISTILLED], run.trainings[DISTILLED].points
    yield run.problem.first_step(run, PLAIN)
    least = [least_taught(run.trainings[DISTILLED], nets.outputs()).min() for nets in distilled]
    yield nt.Measurement("least margin of a taught prediction, any net", 0.0, float(min(least)),
                         0.0, relation=nt.Relation.AT_LEAST)  # fmt: skip
    wrong = wrong_signs(distilled[-1].outputs()[:, -1:], points)
    yield nt.Measurement("0-1 error at the end, worst net", 0.0, float(wrong.max()), 0.0)


@SCALED.controls
def controls(scaled: Scaled, _: Any, rows: Mapping[Any, nt.Row]) -> nt.Control:
    """A constant weight α does not converge (section 7.1)."""
    schedule = nt.targets.BurnIn(scaled.units.burn_in, nt.targets.Constant(LEVEL))
    return nt.Control(
        "constant-weight",
        f"the observed labels fade out: here α_t = {LEVEL:g} for ever",
        rows[0].under(scaled.training("constant weight", schedule), norm=OWN, like=None),
    )


@SCALED.finding
def finding(run: nt.Run) -> str:
    """Where both ways of training lead."""
    final, best = run.declared.rows
    scaled: Scaled = run.problem
    return scaled.found(
        run,
        f"{run.nets.count} nets of width {run.nets.widths[-1]} end "
        f"{run.measured(final).mean():.4g} (RMS) from the clean labels, predicted "
        f"{final.predicted:.4g}; plain training with the best stopping time ends at "
        f"{run.measured(best).mean():.4g}",
    )
