"""Claims from Python: `nt.check("convergence", ratio=40)` in a notebook or a script."""

from __future__ import annotations

__all__ = ["Checked", "NotSupportedError", "check", "known_claims"]

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntk_theory.checking.claim import Claim
from ntk_theory.checking.foreign import installed_claims
from ntk_theory.checking.verdicts import ClaimResult, Options, Verdict
from ntk_theory.claims import all_claims

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OF_ALL = ("preset", "seed", "seeds", "widths", "device", "dtype")


class NotSupportedError(AssertionError):
    """A claim that had to be SUPPORTED is not; the message is what was found."""


def known_claims() -> dict[str, Any]:
    """Claims of this package and of installed ones, by id; see `ntk_theory.claims()`.

    >>> known_claims()["threshold"].formulas[0]
    'ρ* = (r − 2) / (2(r − 1)),  r = λ_+/λ_−'
    """
    own = all_claims()
    return {**own, **installed_claims(own)[0]}


@dataclass(frozen=True, eq=False)
class Checked:
    """What a run of a claim found, for a notebook.

    Attributes:
        result: premises, measurements and controls, arrays, config.
    """

    result: ClaimResult

    @property
    def verdict(self) -> Verdict:
        """SUPPORTED, VIOLATED, PREMISE_UNMET or INCONCLUSIVE."""
        return self.result.verdict

    @property
    def finding(self) -> str:
        """What was found, in a sentence."""
        return self.result.finding

    @property
    def notices(self) -> dict[str, float]:
        """The least relative error of each parameter of theory that would have been VIOLATED."""
        return dict(self.result.notices)

    def __repr__(self) -> str:
        return f"{self.verdict.value} {self.result.claim.id}: {self.finding}."

    def rows(self) -> list[dict[str, Any]]:
        """Measurements, then controls: what is predicted, what was measured, whether it holds."""
        listed = [("row", m.name, m, m.holds) for m in self.result.measurements]
        listed += [("control", f"{c.id}: {c.failure.name}", c.failure, c.holds)
                   for c in self.result.controls]  # fmt: skip
        return [
            {
                "kind": kind,
                "name": name,
                "predicted": m.predicted,
                "relation": m.relation.value,
                "measured": m.measured,
                "tolerance": m.tolerance,
                "holds": holds,
            }
            for kind, name, m, holds in listed
        ]

    def table(self) -> Any:
        """`rows()` as a pandas frame if pandas is installed, or else as they are."""
        try:
            pandas = import_module("pandas")
        except ImportError:
            return self.rows()
        return pandas.DataFrame(self.rows())

    def plot(self) -> Figure:
        """Every panel of the claim, prediction over measurement."""
        from ntk_theory.report.pictures import picture

        return picture(self.result)

    def _repr_html_(self) -> str:
        from ntk_theory.report.document import noticed
        from ntk_theory.report.pictures import svg_pictures

        heads = ("name", "predicted", "measured", "tolerance", "holds")
        lines = [
            "".join(f"<td>{escape(_shown(row[head]))}</td>" for head in heads)
            for row in self.rows()
        ]
        drawn = "".join(svg_pictures(self.result).values()) if self.result.arrays else ""
        return (
            f"<p><b>{self.verdict.value}</b> {escape(self.result.claim.id)}: "
            f"{escape(self.finding)}.</p>\n"
            + (f"<p>It {noticed(self.notices)}.</p>\n" if self.notices else "")
            + f"<div>{drawn}</div>\n<table>\n"
            f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>\n"
            + "".join(f"<tr>{line}</tr>\n" for line in lines)
            + "</table>\n"
        )

    def save(self, directory: str | Path) -> Path:
        """Write what `--out` writes: results.json, metrics, arrays, pictures.

        Args:
            directory: it is made if it is not there.

        Returns:
            The directory.

        Raises:
            OSError: if something cannot be written.
        """
        from ntk_theory.machine.atomic import write_whole
        from ntk_theory.machine.environment import describe_environment
        from ntk_theory.report.document import to_document, to_json
        from ntk_theory.report.files import claim_files
        from ntk_theory.report.pictures import save_picture

        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in claim_files(folder, self.result).items():
            write_whole(file, content)
        if self.result.arrays:
            save_picture(folder / f"{self.result.claim.id}.png", self.result)
        document = to_document([self.result], describe_environment())
        write_whole(folder / "results.json", to_json(document))
        return folder

    def raise_if_not_supported(self) -> Checked:
        """Raise `NotSupportedError` unless the verdict is SUPPORTED; for a test or a script."""
        if self.verdict is not Verdict.SUPPORTED:
            raise NotSupportedError(repr(self))
        return self


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "open" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def check(
    claim: str | Claim,
    *,
    preset: str = "standard",
    seed: int = 0,
    seeds: int | None = None,
    widths: Sequence[int] | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    progress: bool = True,
    **knobs: Any,
) -> Checked:
    """Check a claim on trained nets, as `python -m ntk_theory.verify` does.

    Args:
        claim: its id, or a claim of your own.
        preset: how wide and how many nets: "quick", "standard", "wide" or another one it has.
        seed: of all randomness.
        seeds: how many nets are trained at each width.
        widths: of the nets, even numbers.
        device: where they are trained.
        dtype: their precision.
        progress: draw a progress bar, if standard error is a terminal.
        knobs: parameters of the claim's problem, by name, as `ratio=40`.

    Raises:
        ValueError: for a claim, preset or knob that there is not, or a value that makes no sense.

    >>> found = check("ridge-rounds", preset="quick", progress=False)
    >>> found.verdict.value, found.rows()[0]["holds"]
    ('SUPPORTED', True)
    """
    from ntk_theory.machine.progress import Bar, bars

    claims = known_claims()
    if isinstance(claim, str) and claim not in claims:
        raise ValueError(f"claim must be one of {', '.join(claims)}; got {claim!r}")
    one = claims[claim] if isinstance(claim, str) else claim
    if preset not in one.presets:
        there = ", ".join(one.presets)
        raise ValueError(f"preset of {one.id} must be one of {there}; got {preset!r}")
    run = {"seeds": seeds, "widths": None if widths is None else tuple(widths), "dtype": dtype}
    given = knobs | {name: value for name, value in run.items() if value is not None}
    unknown = sorted(set(given) - one.takes)
    if unknown:
        there = ", ".join(sorted(one.takes))
        raise ValueError(f"{one.id} takes no {unknown[0]}; its knobs are {there}")
    options = Options(preset=preset, seed=seed, device=device, **given)
    with bars(progress and sys.stderr is not None and sys.stderr.isatty()) as shown:
        return Checked(one.run(options, Bar(shown)))
