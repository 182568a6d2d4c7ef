"""How often right and wrong theories are told apart, as Markdown."""

from __future__ import annotations

__all__ = ["of_error", "of_right", "of_wrong"]

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy.stats import binomtest

from ntk_theory.checking.scores import PARAMETERS
from ntk_theory.checking.trials import FACTORS, Trial
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.report.markdown import table

_ALL = "all"


def _share(held: Sequence[bool]) -> str | None:
    """How many of how many, with the interval of Clopper and Pearson."""
    if not held:
        return None
    interval = binomtest(sum(held), len(held)).proportion_ci(0.95, "exact")
    return f"{sum(held)}/{len(held)} [{interval.low:.3f}, {interval.high:.3f}]"


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None


def _percent(values: Sequence[float]) -> str | None:
    return f"{100 * np.median(values):.2g} %" if values else None


def _by_claim(trials: Sequence[Trial], claims: Sequence[str]) -> list[tuple[str, list[Trial]]]:
    found = [(name, [one for one in trials if one.claim == name]) for name in claims]
    return [*found, (_ALL, list(trials))] if len(claims) > 1 else found


def _others(trials: Sequence[Trial], usual: Verdict) -> str:
    """Verdicts that are not the usual one, and how often."""
    counted = Counter(one.verdict.value for one in trials if one.verdict is not usual)
    return ", ".join(f"{count} {name}" for name, count in sorted(counted.items()))


def of_right(trials: Sequence[Trial], claims: Sequence[str]) -> str:
    """Table of runs in which no error was planted.

    Args:
        trials: of all kinds.
        claims: ids, in their order.
    """
    right = [one for one in trials if not one.parameter]
    heads = ["claim", "SUPPORTED", "else", "controls as expected",
             *(f"detectable: {name}" for name in PARAMETERS),
             "median share of a tolerance", "CPU s a run"]  # fmt: skip
    rows = [
        [
            name,
            _share([one.verdict is Verdict.SUPPORTED for one in found]),
            _others(found, Verdict.SUPPORTED),
            _share(list(chain.from_iterable(one.controls for one in found))),
            *(
                _percent([one.notices[known] for one in found if known in one.notices])
                for known in PARAMETERS
            ),
            _median(list(chain.from_iterable(one.used for one in found))),
            _seconds(found),
        ]
        for name, found in _by_claim(right, claims)
    ]
    return table(heads, rows)


def of_wrong(trials: Sequence[Trial], claims: Sequence[str]) -> str:
    """Table of how many errors were caught, of those in proportion to the detectable ones."""
    rows = []
    for name, found in _by_claim([one for one in trials if one.factor], claims):
        for parameter in PARAMETERS:
            own = [one for one in found if one.parameter == parameter]
            if own:
                caught = [
                    [one.verdict is Verdict.VIOLATED for one in own if one.factor == factor]
                    for factor in FACTORS
                ]
                rows.append([name, parameter, *map(_share, caught), _seconds(own)])
    heads = [f"caught at {factor:g} ×" for factor in FACTORS]
    return table(["claim", "error planted in", *heads, "CPU s a run"], rows)


def _seconds(trials: Sequence[Trial]) -> float | None:
    return _median([one.seconds for one in trials])


def of_error(trials: Sequence[Trial], claims: Sequence[str]) -> str:
    """Table of verdicts in runs with one error."""
    rows = [
        [
            name,
            _share([one.verdict is Verdict.VIOLATED for one in found]),
            _others(found, Verdict.VIOLATED),
            _seconds(found),
        ]
        for name, found in _by_claim(trials, claims)
    ]
    return table(["claim", "VIOLATED", "else", "CPU s a run"], rows)
