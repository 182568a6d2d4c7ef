"""Claim C5: hard self-distillation converges in ℓ2 to the clean labels (docs/theory.md, section 7).

Nets of growing width are trained on noisy clusters by self-distillation and, from the same start,
on the observed labels alone; both are compared with their closed forms, step by step.
"""

from __future__ import annotations

__all__ = ["CLAIM"]

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ntk_theory.verdicts import (
    Claim,
    ClaimResult,
    Control,
    Measurement,
    Options,
    Premise,
    Progress,
    Relation,
    Verdict,
    judge,
)

# Heavy modules are imported where they are used: listing the claims must not load torch.
if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ntk_theory.experiments import Rung
    from ntk_theory.fitting import PowerLaw
    from ntk_theory.problems import NoisyClusters

    Array = NDArray[np.float64]

_LEAST_WIDTHS = 5
_CONTROL_NETS = 3
_NETS_STREAM, _BOOTSTRAP_STREAM = 0, 2
_EXPONENT, _EXPONENT_TOLERANCE = -0.5, 0.15
_TRAIN_ALL_THE_SAME = {"zero initial output"}
"""Premises without which the nets still show something worth seeing."""


class _Preset(NamedTuple):
    first: int
    rungs: int
    seeds: int
    widest: int


_PRESETS = {
    "quick": _Preset(256, 5, 6, 2**14),
    "standard": _Preset(512, 6, 5, 2**16),
    "paper": _Preset(512, 8, 16, 2**18),
}


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class _Plan:
    """A problem with the nets to train on it."""

    problem: NoisyClusters
    widths: tuple[int, ...]
    seeds: int
    dtype: str
    options: Options

    @property
    def plain_steps(self) -> int:
        """Half the steps: plain training memorises long before self-distillation is done."""
        return self.problem.steps // 2

    @property
    def control_width(self) -> int:
        return self.widths[len(self.widths) // 2]

    def rounding(self, width: int) -> float:
        """Rounding of an output, a sum of m terms (docs/theory.md, section 11)."""
        import numpy as np

        return float(np.finfo(self.dtype).eps) * math.sqrt(width)


def _default_widths(preset: _Preset, lazy_width: float) -> tuple[int, ...]:
    """Dyadic ladder that starts where fitting the noise has become a small movement."""
    first, rungs = preset.first, preset.rungs
    while first < 4 * lazy_width and first * 2**_LEAST_WIDTHS <= preset.widest:
        first, rungs = 2 * first, max(_LEAST_WIDTHS, rungs - 1)
    return tuple(first * 2**k for k in range(rungs))


def _plan(options: Options) -> _Plan:
    import numpy as np

    from ntk_theory.experiments import check_widths
    from ntk_theory.problems import noisy_clusters

    def chosen(value: Any, default: Any) -> Any:
        return default if value is None else value

    problem = noisy_clusters(
        clusters=chosen(options.clusters, 6),
        points=chosen(options.points, 10),
        ratio=chosen(options.ratio, 20.0),
        noise_rate=chosen(options.noise_rate, 0.3),
        seed=np.random.SeedSequence(options.seed),
        cross_cosine=chosen(options.cross_cosine, 0.0),
        schedule=chosen(options.schedule, "power"),
        learning_rate=options.learning_rate,
        steps=options.steps,
        init_scale=options.init_scale,
    )
    preset = _PRESETS[options.preset]
    if options.widths is None:
        lazy_width = problem.lazy_width if problem.open_loop else 0.0
        widths = _default_widths(preset, lazy_width)
    else:
        widths = check_widths(options.widths, _LEAST_WIDTHS)
    seeds = chosen(options.seeds, preset.seeds)
    if seeds < 2:
        raise ValueError(f"seeds must be at least 2, to tell the spread of the nets; got {seeds}")
    return _Plan(problem, widths, seeds, chosen(options.dtype, "float64"), options)


def _config(plan: _Plan) -> dict[str, Any]:
    problem, options = plan.problem, plan.options
    return {
        "preset": options.preset,
        "seed": options.seed,
        "seeds": plan.seeds,
        "widths": list(plan.widths),
        "clusters": problem.spectrum.clusters,
        "points": problem.spectrum.points,
        "ratio": problem.ratio,
        "cross_cosine": problem.cross_cosine,
        "noise_rate": problem.noise_rate,
        "learning_rate": problem.learning_rate,
        "steps": problem.steps,
        "plain_steps": plan.plain_steps,
        "schedule": problem.schedule_text,
        "init_scale": problem.init_scale,
        "device": options.device,
        "dtype": plan.dtype,
        "control_width": plan.control_width,
        "control_seeds": _CONTROL_NETS,
        "memorisation_time": problem.memorisation_time,
        "lazy_width": problem.lazy_width if problem.open_loop else None,
    }


def _lazy_premise(plan: _Plan) -> Premise:
    moved = math.sqrt(plan.problem.lazy_width / plan.widths[0])
    return Premise(
        "narrowest net moves little",
        moved,
        moved <= 0.5,
        f"sqrt(m_lazy/m) <= 1/2, that is widths from {4 * plan.problem.lazy_width:.3g} on",
    )


def _horizon_premise(plan: _Plan) -> Premise:
    final = float(plan.problem.distilled.rms_error()[-1])
    bound = 2 * plan.problem.noise_rate
    return Premise(
        "long enough run", final, final < bound, f"predicted final error < 2ρ = {bound:.3g}"
    )


# ---------------------------------------------------------------- measurements


@dataclass
class _Run:
    """The nets trained so far."""

    plan: _Plan
    distilled: list[Rung] = field(default_factory=list)
    plain: list[Rung] = field(default_factory=list)
    rounding_error: float = 0.0

    def fit(self, values: list[Array], widths: tuple[int, ...] | None = None) -> PowerLaw:
        import numpy as np

        from ntk_theory.fitting import fit_power_law

        widths = self.plan.widths if widths is None else widths
        key = np.random.SeedSequence(self.plan.options.seed, spawn_key=(_BOOTSTRAP_STREAM,))
        return fit_power_law(widths, values, rng=np.random.default_rng(key))

    def allowance(self, values: list[Array]) -> float:
        """What the smaller widths let expect of `values` at the largest one, with rounding."""
        largest = self.plan.widths[-1]
        fitted = self.fit(values[:-1], self.plan.widths[:-1])
        return fitted.upper(largest) + self.plan.rounding(largest)

    def diverged(self) -> str | None:
        return next((r.stopped for r in [*self.distilled, *self.plain] if r.stopped), None)


def _train(run: _Run, progress: Progress) -> None:
    import numpy as np

    from ntk_theory.experiments import compare, net_seeds, train_nets
    from ntk_theory.targets import PLAIN

    plan, problem = run.plan, run.plan.problem
    data = problem.dataset
    expected_distilled = problem.distilled.outputs(data.clean, data.flipped)
    expected_plain = problem.plain.outputs(data.clean, data.flipped)[: plan.plain_steps + 1]
    common: dict[str, Any] = {"device": plan.options.device, "progress": progress}
    for width in plan.widths:
        seeds = net_seeds(plan.options.seed, width, plan.seeds, _NETS_STREAM)
        distilled = train_nets(problem, width, seeds, dtype=plan.dtype, **common)
        run.distilled.append(compare(distilled, width, expected_distilled, data.clean))
        plain = train_nets(
            problem,
            width,
            seeds,
            distillation=PLAIN,
            steps=plan.plain_steps,
            dtype=plan.dtype,
            **common,
        )
        run.plain.append(compare(plain, width, expected_plain, data.clean))
        if width == plan.widths[0] and plan.dtype != "float64":
            exact = train_nets(problem, width, seeds[:1], dtype="float64", **common)
            length = min(exact.steps.size, distilled.steps.size)
            difference = exact.outputs[0, :length] - distilled.outputs[0, :length]
            run.rounding_error = float(np.sqrt(np.square(difference).mean(axis=1)).max())


def _measured_premises(run: _Run) -> tuple[Premise, ...]:
    """Hypotheses about the trained nets themselves."""
    problem, narrowest = run.plan.problem, run.distilled[0]
    margin = problem.distilled.margin()[problem.burn_in : narrowest.error.shape[1]]
    spare = float((margin - narrowest.worst_deviation[:, problem.burn_in :]).min())
    deviation = float(narrowest.largest_deviation.mean())
    return (
        Premise(
            "margin above the narrowest nets' deviation",
            spare,
            spare > 0,
            "margin − worst deviation > 0 at every step after burn-in",
        ),
        Premise(
            "rounding below the deviation",
            run.rounding_error,
            run.rounding_error < deviation / 10,
            f"{run.plan.dtype} against float64 < {deviation / 10:.2g}, a tenth of the deviation",
        ),
    )


def _mean(
    name: str,
    predicted: float,
    values: Array,
    tolerance: float,
    relation: Relation = Relation.EQUAL,
) -> Measurement:
    """Mean over nets with the range of the nets."""
    spread = (float(values.min()), float(values.max()))
    return Measurement(name, predicted, float(values.mean()), tolerance, spread, relation)


def _kernel_measurement(plan: _Plan) -> Measurement:
    """The infinitely wide net, run step by step on the measured kernel, against the closed form."""
    import numpy as np

    from ntk_theory.training import train_kernel_limit

    problem = plan.problem
    data, levels = problem.dataset, problem.spectrum
    limit = train_kernel_limit(
        problem.gram,
        data.observed,
        problem.distillation,
        learning_rate=problem.learning_rate,
        steps=problem.steps,
    )
    difference = float(np.abs(limit - problem.distilled.outputs(data.clean, data.flipped)).max())
    tolerance = len(data.inputs) * float(np.finfo(float).eps) * levels.mean / levels.noise
    return Measurement(
        "kernel recursion − closed form, largest",
        0.0,
        difference,
        tolerance,
    )


def _exponent_measurement(run: _Run) -> Measurement:
    """(a) The output vector deviates from the infinitely wide net like m^{-1/2}."""
    fitted = run.fit([rung.largest_deviation for rung in run.distilled])
    return Measurement(
        "exponent of sup_t ‖u_m − u_∞‖/√n in m",
        _EXPONENT,
        fitted.exponent,
        _EXPONENT_TOLERANCE,
        fitted.interval,
        whole_interval=True,
    )


def _error_measurements(run: _Run) -> list[Measurement]:
    """(b, c) The error at T/4, T/2 and T, and the order at which it falls with α_T."""
    problem, widest = run.plan.problem, run.distilled[-1]
    steps = problem.steps
    predicted = problem.distilled.rms_error()
    allowances = {
        t: run.allowance([rung.deviation[:, t] for rung in run.distilled])
        for t in (steps // 4, steps // 2, steps)
    }
    rows = [
        _mean(f"RMS error after {t} steps", float(predicted[t]), widest.error[:, t], tolerance)
        for t, tolerance in allowances.items()
    ]
    half = steps // 2
    fall = math.log(problem.weights[half - 1] / max(problem.weights[steps - 1], 1e-300))
    # First-order propagation of the two errors' tolerances through the logarithm.
    tolerance = sum(allowances[t] / float(predicted[t]) for t in (half, steps)) / fall
    import numpy as np

    rows.append(
        _mean(
            f"order of the error in α_t from {half} to {steps} steps",
            math.log(predicted[half] / predicted[steps]) / fall,
            np.log(widest.error[:, half] / widest.error[:, steps]) / fall,
            tolerance,
        )
    )
    return rows


def _margin_measurements(run: _Run) -> list[Measurement]:
    """(d) No wrong sign at any width, and the predicted margin at the largest."""
    predicted = float(run.plan.problem.distilled.margin()[-1])
    tolerance = run.allowance([rung.worst_deviation[:, -1] for rung in run.distilled])
    wrong = max(float(rung.zero_one.max()) for rung in run.distilled)
    return [
        Measurement("0-1 error at the end, worst net of all widths", 0.0, wrong, 0.0),
        _mean("margin at the end", predicted, run.distilled[-1].margin, tolerance),
    ]


def _plain_measurements(run: _Run) -> list[Measurement]:
    """(e) Plain training memorises, no stopping time beats 2ρ, and self-distillation does."""
    plan, bound = run.plan, 2 * run.plan.problem.noise_rate
    at_the_end = run.allowance([rung.deviation[:, -1] for rung in run.plain])
    fitted = run.fit([rung.largest_deviation for rung in run.plain])

    def slack(rung: Rung) -> float:
        return float(rung.error.min()) + fitted.upper(rung.width)

    worst = min(run.plain, key=slack)
    best = worst.error.min(axis=1)
    return [
        _mean(
            f"plain training: RMS error after {plan.plain_steps} steps (limit 2√ρ)",
            float(plan.problem.plain.rms_error()[plan.plain_steps]),
            run.plain[-1].error[:, -1],
            at_the_end,
        ),
        Measurement(
            f"plain training: best RMS error at any step, width {worst.width} (bound 2ρ)",
            bound,
            float(best.min()),
            fitted.upper(worst.width),
            (float(best.min()), float(best.max())),
            Relation.AT_LEAST,
        ),
        Measurement(
            "self-distillation: worst final RMS error of the widest nets (below 2ρ)",
            bound,
            float(run.distilled[-1].error[:, -1].max()),
            0.0,
            relation=Relation.AT_MOST,
        ),
    ]


def _measure(run: _Run) -> tuple[Measurement, ...]:
    explanation = run.diverged()
    if explanation is not None:
        return (Measurement(f"diverged nets ({explanation})", 0.0, 1.0, 0.0),)
    return (
        _kernel_measurement(run.plan),
        _exponent_measurement(run),
        *_error_measurements(run),
        *_margin_measurements(run),
        *_plain_measurements(run),
    )


# ---------------------------------------------------------------- result


def _finding(verdict: Verdict, run: _Run, premises: tuple[Premise, ...]) -> str:
    plan, problem = run.plan, run.plan.problem
    if verdict is Verdict.PREMISE_UNMET:
        unmet = "; ".join(
            f"{p.name} ({p.requirement}; here {_number(p.value)})" for p in premises if not p.holds
        )
        return f"the theorem says nothing here. Premise unmet: {unmet}"
    if not run.distilled or run.diverged():
        return run.diverged() or "no net was trained"
    widest = run.distilled[-1]
    return (
        f"{len(widest.error)} nets of width {plan.widths[-1]} end at RMS error "
        f"{widest.error[:, -1].mean():.4f} (predicted {problem.distilled.rms_error()[-1]:.4f}) "
        f"from the clean labels; the best stopping time of plain training ends at "
        f"{run.plain[-1].error.min(axis=1).mean():.4f} (bound {2 * problem.noise_rate:.4f})"
    )


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"


def _metrics(run: _Run) -> tuple[Mapping[str, Any], ...]:
    rows: list[Mapping[str, Any]] = []
    for training, rungs in (("self-distillation", run.distilled), ("plain", run.plain)):
        for rung in rungs:
            rows.extend(
                {
                    "claim": CLAIM.id,
                    "training": training,
                    "width": rung.width,
                    "net": net,
                    "steps": rung.error.shape[1] - 1,
                    "final_rms_error": float(rung.error[net, -1]),
                    "best_rms_error": float(rung.error[net].min()),
                    "largest_deviation": float(rung.largest_deviation[net]),
                    "final_deviation": float(rung.deviation[net, -1]),
                    "margin": float(rung.margin[net]),
                    "zero_one_error": float(rung.zero_one[net]),
                    "movement": float(rung.movement[net]),
                    "distance": float(rung.distance[net]),
                    "flipped_activations": float(rung.flipped_activations[net]),
                }
                for net in range(len(rung.error))
            )
    return tuple(rows)


def _arrays(run: _Run) -> dict[str, Any]:
    import numpy as np

    problem = run.plan.problem
    arrays = {
        "predicted_distilled": problem.distilled.rms_error(),
        "predicted_plain": problem.plain.rms_error()[: run.plan.plain_steps + 1],
        "weights": problem.weights,
    }
    if len(run.plain) == len(run.distilled) > 0 and not run.diverged():
        arrays |= {
            "widths": np.array([rung.width for rung in run.distilled]),
            "largest_deviation": np.stack([rung.largest_deviation for rung in run.distilled]),
            "distilled_error": run.distilled[-1].error,
            "plain_error": run.plain[-1].error,
        }
    return arrays


def _work(plan: _Plan) -> float:
    """Neuron-steps of the whole run, controls included."""
    steps = plan.problem.steps
    nets = sum(plan.widths) * plan.seeds * (steps + plan.plain_steps)
    exact = plan.widths[0] * steps if plan.dtype != "float64" else 0
    return nets + exact + 7 * plan.control_width * _CONTROL_NETS * steps


def _controls(run: _Run, progress: Progress) -> list[Control]:
    from ntk_theory.controls import ControlSetting, convergence_controls

    plan, width = run.plan, run.plan.control_width
    deviations = [
        run.fit([rung.largest_deviation for rung in rungs]).upper(width)
        for rungs in (run.distilled, run.plain)
    ]
    setting = ControlSetting(
        width=width,
        nets=_CONTROL_NETS,
        seed=plan.options.seed,
        dtype=plan.dtype,
        device=plan.options.device,
        tolerance=max(deviations) + plan.rounding(width),
        progress=progress,
    )
    return list(convergence_controls(plan.problem, setting))


def run(options: Options, progress: Progress) -> ClaimResult:
    """Train the ladder, compare with the closed forms, run the controls."""
    started = time.perf_counter()
    plan = _plan(options)
    found = _Run(plan)
    premises = plan.problem.premises()
    if plan.problem.open_loop:
        premises += (_lazy_premise(plan), _horizon_premise(plan))
    measurements: tuple[Measurement, ...] = ()
    controls: tuple[Control, ...] = ()
    interrupted = False
    hopeless = {p.name for p in premises if not p.holds} - _TRAIN_ALL_THE_SAME
    if not hopeless - {"narrowest net moves little"}:
        progress.start(CLAIM.id, _work(plan))
        try:
            _train(found, progress)
            if not found.diverged():
                premises += _measured_premises(found)
            measurements = _measure(found)
            if all(p.holds for p in premises) and not found.diverged():
                controls = tuple(_controls(found, progress))
        except KeyboardInterrupt:
            interrupted = True
    verdict = judge(premises, measurements, controls)
    if interrupted and verdict is Verdict.SUPPORTED:
        verdict = Verdict.INCONCLUSIVE
    finding = "interrupted" if interrupted else _finding(verdict, found, premises)
    return ClaimResult(
        claim=CLAIM,
        config=_config(plan),
        premises=premises,
        measurements=measurements,
        controls=controls,
        verdict=verdict,
        finding=finding,
        seconds=time.perf_counter() - started,
        metrics=_metrics(found),
        arrays=_arrays(found) if plan.problem.open_loop else {},
        interrupted=interrupted,
    )


def plan(options: Options) -> tuple[Mapping[str, Any], Mapping[str, float]]:
    """Config and the predicted errors, without training."""
    planned = _plan(options)
    problem = planned.problem
    return _config(planned), {
        f"RMS error after {t} steps": float(problem.distilled.rms_error()[t])
        for t in (problem.steps // 4, problem.steps // 2, problem.steps)
    } | {"margin at the end": float(problem.distilled.margin()[-1])}


def draw(figure: Figure, result: ClaimResult) -> None:
    """Error over time and deviation over width, closed forms dashed."""
    from ntk_theory import drawing

    arrays, rho = result.arrays, result.config["noise_rate"]
    error, width = figure.subplots(1, 2)
    steps = range(len(arrays["predicted_distilled"]))
    plain_steps = range(len(arrays["predicted_plain"]))
    drawing.prediction(error, steps, arrays["predicted_distilled"], "closed form")
    drawing.prediction(error, plain_steps, arrays["predicted_plain"])
    if "distilled_error" in arrays:
        largest = int(arrays["widths"][-1])
        drawing.band(error, plain_steps, arrays["plain_error"], drawing.ORANGE, "plain training")
        drawing.band(
            error,
            steps,
            arrays["distilled_error"],
            drawing.BLUE,
            f"self-distillation, m = {largest}",
        )
    error.axhline(2 * rho, color=drawing.GREY, lw=1)
    error.text(len(steps), 2 * rho, " 2ρ", va="center", color=drawing.GREY)
    error.set(xlabel="step t", ylabel="RMS error ‖u − y‖/√n", yscale="log")
    error.set_xscale("symlog", linthresh=1)
    error.set_xlim(0, len(steps))
    error.legend(frameon=False)
    if "largest_deviation" in arrays:
        exponent = next(m for m in result.measurements if m.name.startswith("exponent"))
        import numpy as np

        logs = np.log(arrays["largest_deviation"]).mean(axis=1)
        centre = np.exp(logs.mean() - exponent.measured * np.log(arrays["widths"]).mean())
        drawing.loglog_fit(
            width,
            arrays["widths"],
            arrays["largest_deviation"],
            exponent.measured,
            float(centre),
            f"fit, slope {exponent.measured:.2f}".replace("-", "−"),
        )
        anchor = np.exp(logs.mean() + 0.5 * np.log(arrays["widths"]).mean())
        drawing.prediction(
            width, arrays["widths"], anchor / np.sqrt(arrays["widths"]), "slope −1/2"
        )
        width.legend(frameon=False)
    width.set(xlabel="width m", ylabel="deviation from the infinite width")


CLAIM = Claim(
    id="convergence",
    statement=(
        "Hard self-distillation of a wide two-layer ReLU net on noisy labels converges in ℓ2 to "
        "the clean labels; no stopping time of plain training does."
    ),
    source="arXiv 1910.01255, abstract, claim C5; derivation: docs/theory.md, section 7",
    paper_claims=("C3", "C4", "C5"),
    run=run,
    plan=plan,
    draw=draw,
)
