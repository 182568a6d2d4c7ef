"""Claims that take no time, for tests of the command line: each does what a test needs of it."""

import numpy as np

from ntk_theory.verdicts import Claim, ClaimResult, Control, Measurement, Premise, Verdict


def result_of(claim, options, verdict=Verdict.SUPPORTED, **changes):
    """A result of a claim with a row of every kind, and letters that few encodings have."""
    row = Measurement("‖u − y‖ ≤ 2ρ", 0.5, float("nan") if verdict == "x" else 0.5, 0.1)
    found = {
        "claim": claim,
        "options": options,
        "config": {"widths": [64, 128], "noise_rate": np.float64(0.2), "count": np.int64(3)},
        "premises": (Premise("λ_min > 0", 1.0, True, "> 0"),),
        "measurements": (row,),
        "controls": (
            Control("broken", "λ = 0", Verdict.VIOLATED, Verdict.VIOLATED, row, 0.0, 0.1),
        ),
        "verdict": verdict,
        "finding": "ρ is what it is",
        "metrics": ({"width": np.int64(64), "error": np.float32("nan")},),
        "arrays": {"curve": np.arange(3.0)},
    }
    return ClaimResult(**(found | changes))


def claim(id_, run=None, verdict=Verdict.SUPPORTED, panel=None):
    """A claim that runs a function of itself, options and progress, or just has a verdict."""

    def conduct(options, progress):
        return result_of(made, options, verdict) if run is None else run(made, options, progress)

    def draw(axes, result):
        axes.plot(result.arrays["curve"])

    made = Claim(
        id=id_,
        statement=f"{id_} says λ ≥ ρ",
        formulas=("λ = ρ",),
        assumptions=("λ > 0",),
        derivation="docs/theory.md, section 7",
        source="abstract, claim C3",
        paper_claims={"C3": "here"},
        knobs=frozenset({"noise_rate"}),
        controls=("broken",),
        run=conduct,
        predict=lambda options: ({}, {}),
        panels={"curve": draw if panel is None else panel},
    )
    return made


def use(monkeypatch, *claims):
    """Let the command line have these claims and no others, and run them in this process."""
    from ntk_theory import verify

    monkeypatch.setattr(verify, "_threads", lambda: 1)
    monkeypatch.setattr(verify, "all_claims", lambda: {one.id: one for one in claims})
