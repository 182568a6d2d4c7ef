"""`convergence` at the size of an image data set, on fewer points: the same path, in seconds."""

import shlex
from dataclasses import replace

import numpy as np
import pytest

import stored
from cases import nets_at_rate
from how_much import again
from ntk_theory import image_size, kernels, predictions, verify
from ntk_theory.checking import nets as experiments
from ntk_theory.checking.run import Run
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims.convergence import CLAIM
from ntk_theory.command.parser import all_knobs, parsed
from ntk_theory.machine.resources import limited_memory
from ntk_theory.report.document import command_line
from ntk_theory.report.pictures import svg_pictures
from progress import Silent

SMALL = Options(preset="cifar-mini", points=10, widths=(256, 512, 1024, 2048))


def run_on_the_same_nets():
    """A run of `SMALL`, whose nets are trained once."""
    with stored.trainings("convergence, scaled"):
        return CLAIM.run(SMALL, Silent())


@pytest.fixture(scope="module")
def result():
    return run_on_the_same_nets()


@pytest.fixture(scope="module")
def problem():
    return CLAIM.at(SMALL).build(SMALL)


def row(result, start):
    (found,) = (m for m in result.measurements if m.name.startswith(start))
    return found


def test_it_is_supported_by_nets_of_the_predicted_error_and_its_control_fails(result):
    assert result.verdict is Verdict.SUPPORTED, result.finding
    assert "100 points of 3072 features" in result.finding
    assert [control.id for control in result.controls] == ["constant-weight"]
    assert result.controls[0].verdict is Verdict.VIOLATED
    assert len(result.metrics) == 2 * 2 * 4
    assert CLAIM.predict(SMALL)[0] == result.config
    distilled = result.arrays["predicted rms_error of self-distillation"]
    assert row(result, "self-distillation: final RMS error").predicted == distilled[-1]
    assert distilled[-1] < result.arrays["predicted rms_error of plain training"].min() / 4


def test_the_command_that_is_recorded_repeats_the_run(result):
    words = shlex.split(command_line(result))
    assert words[:5] == ["python", "-m", "ntk_theory.verify", "convergence", "--preset"]
    options = verify._checked_options(parsed(words[3:], all_knobs([CLAIM])), [CLAIM])
    assert CLAIM.predict(options["convergence"])[0] == result.config


def test_a_result_of_a_worker_is_that_of_this_process(result):
    found = {name: value for name, value in vars(result).items() if name != "claim"}
    assert verify._of_worker(CLAIM, found) == result
    pictures = svg_pictures(result)
    assert list(pictures) == ["error-over-time", "deviation-over-width"]
    assert all("<path" in picture for picture in pictures.values())


def test_spectrum_and_recursion_are_those_of_the_whole_matrix(problem, result):
    gram = kernels.ntk_limit(problem.dataset.inputs)
    eigenvalues = np.linalg.eigvalsh(gram)[::-1]
    assert problem.decomposed
    np.testing.assert_allclose(result.arrays["eigenvalues"], eigenvalues, rtol=1e-5)
    np.testing.assert_allclose(problem.top.values, eigenvalues[:12], rtol=1e-5)
    assert (problem.top.residuals < 1e-5 * problem.top.values).all()
    assert problem.noise_eigenvalue == pytest.approx(eigenvalues[10:].mean(), rel=1e-5)
    assert problem.measured_ratio == pytest.approx(problem.ratio, rel=0.05)
    recipe = problem.distilled.recipe
    limit = predictions.gram_outputs(
        gram,
        problem.dataset.clean,
        problem.dataset.observed,
        recipe.learning_rate,
        [recipe.distillation.schedule.weight(t) for t in range(problem.steps)],
    )
    # Products in float32, over as many steps.
    np.testing.assert_allclose(problem.distilled.predicted, limit, atol=40 * 100 * 1.2e-7)


def test_little_memory_changes_nothing_but_the_way(problem, monkeypatch):
    assert problem.kernel.kept
    # Half of it is the kernel's, which is 100 rows of 100 numbers of four bytes.
    monkeypatch.setattr(image_size, "memory_limit", lambda: 2 * 30 * 100 * 4.0)
    streamed = CLAIM.at(SMALL).build(SMALL)
    assert not streamed.kernel.kept
    assert not streamed.decomposed
    np.testing.assert_allclose(streamed.pairs.values, problem.top.values, rtol=1e-5)
    assert "the 12 largest of its eigenvalues" in streamed.plan()


@pytest.mark.usefixtures("no_matrix_fits")
def test_a_run_forms_no_matrix_that_does_not_fit():
    result = CLAIM.run(SMALL, Silent())
    assert result.verdict is Verdict.SUPPORTED, result.finding
    assert len(result.arrays["eigenvalues"]) == 12


@pytest.mark.parametrize("factor", [0.9, pytest.param(1.2, marks=again)])
def test_nets_at_another_rate_are_seen(monkeypatch, factor):
    monkeypatch.setattr(experiments, "train", nets_at_rate(factor)(experiments.train))
    assert CLAIM.run(SMALL, Silent()).verdict is not Verdict.SUPPORTED


@pytest.mark.parametrize(("share", "verdict"), [(0.9, "SUPPORTED"), (1.1, "INCONCLUSIVE")])
def test_rounding_above_the_tolerance_leaves_it_open(result, monkeypatch, share, verdict):
    room = row(result, "self-distillation: final RMS error").tolerance
    # At the widest it is taken for √8 times as large as at the narrowest; ten outputs are off.
    off = share * room / np.sqrt(8 * 10)
    first = lambda run, name, _: run.results[name][0].outputs()[:1] + off  # noqa: E731
    monkeypatch.setattr(Run, "_exact", first)
    assert run_on_the_same_nets().verdict == verdict


@pytest.mark.parametrize("dtype", ["bf16", pytest.param("tf32", marks=again)])
def test_products_of_fewer_bits_widen_the_tolerance_by_their_rounding(result, dtype):
    coarse = CLAIM.run(replace(SMALL, dtype=dtype), Silent())
    assert coarse.verdict is Verdict.SUPPORTED
    added = (
        row(coarse, "self-distillation: final RMS error").tolerance
        - row(result, "self-distillation: final RMS error").tolerance
    )
    # A share of 2^-11 or 2^-8 of factors, and outputs of size 1.
    assert 1e-6 < added < 2.0**-8
    assert f"{dtype} products are off by" in coarse.finding


@pytest.mark.parametrize(
    ("change", "premise"),
    [
        ({"ratio": 1.3}, "information above noise"),
        ({"noise_rate": 0.85}, "every taught prediction right in the limit"),
    ],
)
def test_outside_the_premises_nothing_is_trained_and_the_premise_is_named(change, premise):
    result = CLAIM.run(replace(SMALL, **change), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    assert premise in {one.name for one in result.premises if not one.holds}
    assert result.metrics == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 5}, "points must be at least 10"),
        ({"ratio": 0.5}, "ratio must be above 1"),
        ({"noise_rate": 0.01}, "noise_rate must lie in"),
        ({"steps": 2}, "steps must be at least 8"),
        ({"widths": (512, 1024)}, "widths must be at least 4"),
        ({"schedule": "power"}, "schedule cannot be chosen for preset cifar-mini"),
        ({"clusters": 4}, "clusters cannot be chosen for preset cifar-mini"),
    ],
)
def test_options_that_make_no_sense_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CLAIM.predict(replace(SMALL, **change))


def test_a_claim_without_the_preset_refuses_it(capsys):
    assert verify.main(["margin", "--preset", "cifar-mini"]) == 2
    assert "margin has no preset cifar-mini; it has quick, standard" in capsys.readouterr().err


def test_the_time_of_a_run_has_that_of_the_net_in_float64(problem, monkeypatch):
    rates = {"float32": 1e9, "float64": 1e12}
    monkeypatch.setattr(image_size, "matrix_rate", lambda precision, device: rates[precision])
    quick = problem.seconds()
    # On many a GPU float64 is a hundred times slower. 100 points are moved by 2 n² m operations.
    rates["float64"] = 1e7
    operations = problem.steps * 2 * 100**2 * problem.nets.widths[0]
    added = operations * (1e-7 - 1e-12) / image_size._EFFICIENCY
    assert problem.seconds() == pytest.approx(quick + added)


def test_the_plan_says_what_the_run_takes(problem, capsys):
    text = problem.plan()
    assert text.startswith("plan: cpu, float32, pre-activations in blocks of ")
    # 100 numbers of four bytes for each of 2048 neurons.
    assert "1 MiB that grow with the width" in text
    assert "kernel of 0 MiB kept, all of its eigenvalues" in text
    with limited_memory(6e4):
        assert "formed anew at every product" in problem.plan()
    assert verify.main(
        ["convergence", "--preset", "cifar-mini", "--points", "10", "--ratio", "1.3"]
    )
    assert capsys.readouterr().err.startswith("plan: cpu, float32")
