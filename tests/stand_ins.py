"""Claims that take no time, for tests of the command line: each does what a test needs of it."""

from types import MappingProxyType

import numpy as np

from ntk_theory.checking.claim import Claim
from ntk_theory.checking.verdicts import ClaimResult, Control, Measurement, Premise, Verdict


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


class StandIn(Claim):
    """A claim that runs a function of itself, options and progress, or just has a verdict."""

    knobs = frozenset({"noise_rate"})
    own_knobs = all_knobs = MappingProxyType({})

    @property
    def takes(self):
        """Names of what a user may set."""
        return frozenset(self.knobs)

    control_ids = ("broken",)

    def __init__(self, id_, run=None, verdict=Verdict.SUPPORTED, panel=None):
        super().__init__(
            id_,
            statement=f"{id_} says λ ≥ ρ",
            formulas=("λ = ρ",),
            assumptions=("λ > 0",),
            derivation="docs/theory.md, section 7",
            source="abstract, claim C3",
            paper_claims={"C3": "here"},
        )
        self.conduct, self.verdict = run, verdict
        self.panels = {"curve": self.draw if panel is None else panel}

    @staticmethod
    def draw(axes, result):
        """The curve of `result_of`."""
        axes.plot(result.arrays["curve"])

    def run(self, options, progress):
        """What the function makes of it."""
        if self.conduct is None:
            return result_of(self, options, self.verdict)
        return self.conduct(self, options, progress)

    def predict(self, options):
        """Nothing."""
        return {}, {}


claim = StandIn


def use(monkeypatch, *claims):
    """Let the command line have these claims and no others, and run them in this process."""
    from ntk_theory import verify

    monkeypatch.setattr(verify, "_threads", lambda: 1)
    monkeypatch.setattr(verify, "all_claims", lambda: {one.id: one for one in claims})
