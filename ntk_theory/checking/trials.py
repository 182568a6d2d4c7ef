"""Runs of right and of wrong theories, for the question how often they are told apart."""

from __future__ import annotations

__all__ = ["FACTORS", "Trial", "right_and_wrong", "wrong"]

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ntk_theory.checking.declaration import declare
from ntk_theory.checking.planting import Planted, UnseenParameterError
from ntk_theory.checking.run import Run
from ntk_theory.checking.running import conducted
from ntk_theory.checking.verdicts import ClaimResult, Options, Relation, Verdict
from ntk_theory.machine.progress import Silent

FACTORS = (0.5, 1.0, 2.0)
"""Errors that are planted, over the detectable one."""


@dataclass(frozen=True)
class Trial:
    """What came of a run.

    Attributes:
        claim: its id.
        seed: of the run.
        verdict: of the run.
        controls: whether each was as expected.
        notices: detectable error of each parameter.
        used: |measured − predicted| over the tolerance, of each two-sided row of nets.
        seconds: of processors.
        parameter: that an error was planted in, or empty.
        factor: that error over the detectable one, or 0.
    """

    claim: str
    seed: int
    verdict: Verdict
    controls: tuple[bool, ...]
    notices: Mapping[str, float]
    used: tuple[float, ...]
    seconds: float
    parameter: str = ""
    factor: float = 0.0


def _tried(run: Callable[[], ClaimResult], parameter: str = "", factor: float = 0.0) -> Trial:
    started = time.process_time()
    result = run()
    if result.interrupted:
        raise KeyboardInterrupt
    used = tuple(
        abs(m.measured - m.predicted) / m.tolerance
        for m in result.measurements
        if m.kind == "row" and m.relation is Relation.EQUAL and m.tolerance > 0
    )
    return Trial(
        result.claim.id, result.options.seed, result.verdict,
        tuple(control.holds for control in result.controls), result.notices, used,
        time.process_time() - started, parameter, factor,
    )  # fmt: skip


def right_and_wrong(
    claim: Any, options: Options, detectable: Mapping[str, float] | None = None
) -> list[Trial]:
    """A run of a right theory, and of wrong ones on the same nets as far as these can serve.

    Args:
        claim: whichever.
        options: of the runs.
        detectable: error of each parameter, of which the `FACTORS` are planted; what the run of
            the right theory says when left out, and nothing is planted where it is empty.
    """
    run = Run(declare(claim.at(options), options), Silent())
    found = [_tried(partial(conducted, run))]
    errors = found[0].notices if detectable is None else detectable
    for parameter in filter(found[0].notices.__contains__, errors):
        for factor in FACTORS:
            planted = run.planting(parameter, factor * errors[parameter])
            found.append(_tried(partial(conducted, planted), parameter, factor))
    return found


def wrong(claim: Any, options: Options, planted: Planted) -> list[Trial]:
    """A run of a wrong theory; none where no net shows what is planted."""
    try:
        return [_tried(partial(claim.run, options, Silent(), planted), planted[0])]
    except UnseenParameterError:
        return []
