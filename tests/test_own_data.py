"""Claims on data of one's own: supported, controlled, refused in a line, forecast without nets."""

import json
import shlex
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import ntk_theory as nt
from ntk_theory import verify
from ntk_theory.checking.functionals import margins
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims import all_claims
from ntk_theory.command.parser import all_knobs, parsed
from ntk_theory.forecast import forecast_of, retrieved
from ntk_theory.own_data import own_data
from ntk_theory.report.document import command_line, to_document
from progress import Silent

CLAIMS = {id_: claim for id_, claim in all_claims().items() if claim.of_data is not None}
TAKERS = ["air", "convergence", "finite-width", "generalisation", "memorisation", "separation"]
every_claim = pytest.mark.parametrize("id_", TAKERS)


@pytest.fixture(scope="session")
def clusters(tmp_path_factory):
    """A file of two clusters that are far apart, and one of the kernel of some of them."""
    folder = tmp_path_factory.mktemp("own")
    design = nt.data.gaussian_clusters(2, 40, 12, radius=0.5, rng=np.random.default_rng(3))
    labels = np.array(["cat", "dog"])[design.groups]
    np.savez(folder / "clusters.npz", inputs=5 * design.inputs, labels=labels)
    some = np.r_[:10, 40:50]
    seen = np.where(np.arange(20) % 7 == 0, 1 - design.groups[some], design.groups[some])
    gram = nt.kernels.ntk_limit(design.inputs[some])
    np.savez(folder / "kernel.npz", H=gram, labels=seen, clean=design.groups[some])
    np.savez(folder / "unknown.npz", H=gram, labels=seen)
    return folder


def options(folder, **more):
    return Options(
        "quick", seed=1, widths=(512, 1024, 2048, 4096), data=str(folder / "clusters.npz"),
        points=24, **more,
    )  # fmt: skip


@pytest.fixture(scope="session")
def results(clusters):
    """Runs of a toy size."""

    @cache
    def result(id_):
        return CLAIMS[id_].run(options(clusters), Silent())

    return result


def test_these_claims_take_data_of_ones_own():
    assert sorted(CLAIMS) == TAKERS


@every_claim
def test_a_toy_run_is_supported_and_every_control_fails_as_expected(id_, results):
    result = results(id_)
    assert result.verdict is Verdict.SUPPORTED, result.finding
    assert result.controls
    assert all(control.holds for control in result.controls)
    assert "clusters.npz, classes cat, dog, 24 points, " in result.about[0]


@every_claim
def test_a_learning_rate_that_is_a_fifth_off_is_not_supported(id_, clusters):
    result = CLAIMS[id_].run(options(clusters), Silent(), ("learning rate", 0.2))
    assert result.verdict is Verdict.VIOLATED, result.finding


@every_claim
def test_the_recorded_command_repeats_the_run(id_, results):
    result = results(id_)
    arguments = parsed(shlex.split(command_line(result))[3:], all_knobs(CLAIMS.values()))
    again = verify._checked_options(arguments, [CLAIMS[id_]])[id_]
    assert CLAIMS[id_].predict(again)[0] == result.config


@every_claim
def test_results_are_written_with_what_was_known_before(id_, results):
    result = results(id_)
    document = to_document([result], {})
    assert document["claims"][0]["about"] == list(result.about)
    json.dumps(document, allow_nan=False)
    for panel in result.claim.panels.values():
        from matplotlib.figure import Figure

        axes = Figure().subplots()
        panel(axes, result)
        assert axes.has_data()


def test_other_classes_are_other_outputs(clusters):
    design = nt.data.gaussian_clusters(3, 12, 12, radius=0.4, rng=np.random.default_rng(0))
    np.savez(clusters / "three.npz", inputs=design.inputs, labels=design.groups)
    found = replace(options(clusters), knobs={"data": str(clusters / "three.npz"), "points": 18,
                                              "classes": "3"})  # fmt: skip
    result = CLAIMS["air"].run(found, Silent())
    assert result.verdict is Verdict.SUPPORTED, result.finding


def test_labels_without_structure_violate_nothing_and_are_taught_wrongly(clusters):
    rng = np.random.default_rng(0)
    np.savez(clusters / "noise.npz", inputs=rng.standard_normal((40, 8)),
             labels=rng.integers(0, 2, 40))  # fmt: skip
    found = replace(options(clusters), knobs={"data": str(clusters / "noise.npz"), "points": 24})
    for id_ in TAKERS:
        result = CLAIMS[id_].run(found, Silent())
        assert result.verdict is not Verdict.VIOLATED, (id_, result.finding)
    unmet = [p for p in CLAIMS["convergence"].run(found, Silent()).premises if not p.holds]
    assert any("share of labels recovered" in p.name and 0 < p.value < 1 for p in unmet)


def test_it_is_said_whether_labels_were_made_wrong(clusters):
    own = {"seed": 1, "data": str(clusters / "clusters.npz"), "points": 24}
    assert own_data(**own).lines()[0].endswith("24 points, 16.7 % of their labels made wrong")
    assert own_data(**own, noise=0).lines()[0].endswith("24 points")


def test_points_that_are_the_same_are_named_with_their_labels(clusters):
    rows = np.random.default_rng(0).standard_normal((8, 5))
    rows[1] = 3 * rows[0]
    np.savez(clusters / "twins.npz", inputs=rows, labels=[0, 1, 0, 0, 0, 1, 1, 1])
    knobs = {"data": str(clusters / "twins.npz"), "points": 8, "noise": 0.25}
    result = CLAIMS["separation"].run(replace(options(clusters), knobs=knobs), Silent())
    assert result.verdict is Verdict.PREMISE_UNMET
    name = next(p.name for p in result.premises if not p.holds)
    assert "are the same up to a factor" in name


def test_a_kernel_alone_gives_a_forecast_and_the_premise_that_it_lacks(clusters, capsys):
    for file, said in (("kernel.npz", "recovers"), ("unknown.npz", "right labels are not known")):
        status = verify.main(
            [*TAKERS, "--preset", "quick", "--jobs", "1", "--gram", str(clusters / file)]
        )
        out = " ".join(capsys.readouterr().out.split())
        assert status == 3
        assert "inputs to train nets on" in out
        assert said in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("air --data nothing", "data must be digits, mnist"),
        ("air --data /no/such.npz", "cannot read"),
        ("air --data FILE --points 81", "points must be at most 80"),
        ("air --data FILE --points 3", "points must be"),
        ("air --data digits --classes 10 --points 61", "points must be at most 60 of 10 classes"),
        ("air --data FILE --classes 3", "classes must be a number from 2 to 2"),
        ("air --data FILE --classes cat,cow", "no class 'cow'"),
        ("air --data FILE --noise 1.5", "noise must lie in"),
        ("air --data FILE --noise 0.001", "less than one label"),
        ("air --data FILE --noise-kind odd", "noise_kind must be symmetric or pair"),
        ("air --data FILE --share 1.5", "share must lie in"),
        ("air --data FILE --steps 1", "steps must be at least 4"),
        ("air --data FILE --clusters 4", "clusters cannot be chosen for data of your own"),
        ("air --data FILE --preset cifar", "has no preset cifar for data of your own"),
        ("air --data FILE --gram FILE", "either data or gram"),
        ("air --gram FILE", "no array 'H'"),
        ("air --gram KERNEL --points 9", "points cannot be chosen for a kernel"),
        ("air --noise 0.2", "give --data with it"),
        ("lazy --data FILE", "lazy takes no --data"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(words, said, clusters, capsys):
    files = {"FILE": "clusters.npz", "KERNEL": "kernel.npz"}
    argv = [str(clusters / files[word]) if word in files else word for word in words.split()]
    preset = [] if "--preset" in argv else ["--preset", "quick"]
    assert verify.main([*argv, *preset]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_notebook_takes_data_too(clusters):
    with pytest.raises(ValueError, match="no class 'cow'"):
        nt.check("air", preset="quick", data=str(clusters / "clusters.npz"), classes="cow,cat")
    with pytest.raises(ValueError, match="lazy takes no data"):
        nt.check("lazy", preset="quick", data="digits")


# ------------------------------------------------------------------- the forecast


def test_a_forecast_is_what_the_recursion_does(clusters):
    problem = own_data(seed=1, data=str(clusters / "clusters.npz"), points=24)
    found, plain = problem.forecast, problem.plain(50)
    outputs = problem.recipe(50).kernel_limit()
    np.testing.assert_allclose(plain.predicted, outputs, atol=50 * 24 * 1e-15)
    right = margins(outputs, plain.points) > 0
    best = 1 + int(right[1:].mean(axis=1).argmax())
    assert (found.best, found.recovered) == (best, right[best].mean())
    lost = [t for t in range(best, 51) if (right[best] & ~right[t]).any()]
    assert found.lost == lost[0]
    error = np.sqrt(np.square(outputs - problem.clean).mean(axis=1))
    assert found.least_error == pytest.approx(error.min(), rel=1e-9)


def test_labels_are_memorised_from_the_step_on_that_is_forecast(clusters):
    problem = own_data(seed=1, data=str(clusters / "clusters.npz"), points=24)
    end = problem.forecast.memorised
    rate = problem.learning_rate
    after = retrieved(problem.spectrum, problem.observed, rate, np.array([end, 2 * end, 9 * end]))
    assert (after * problem.observed > 0).all()
    before = retrieved(problem.spectrum, problem.observed, rate, np.array([int(end / 1.03) - 1]))
    assert not (before * problem.observed > 0).all()
    length = np.sqrt(after[0] @ np.linalg.solve(problem.gram, after[0]))
    assert problem.forecast.distances[1] == pytest.approx(length, rel=1e-9)


def test_an_isotropic_kernel_tells_nothing_apart():
    found = forecast_of(np.eye(20), np.arange(20) % 2, (np.arange(20) // 2) % 2, classes=2)
    assert found.memorised == found.best == 1
    assert found.recovered == 1 - found.noise_rate


def test_the_noise_rate_is_estimated_where_right_labels_are_not_known():
    rate, size = 0.2, 400
    design = nt.data.equicorrelated_clusters(4, size // 4, ratio=40.0)
    data = nt.data.noisy_labels(design, noise_rate=rate, rng=np.random.default_rng(0))
    found = forecast_of(nt.kernels.ntk_limit(data.inputs), data.observed_class, classes=2)
    # The energy of size/2 directions scatters by sqrt(2/(size/2)) of itself; four times that.
    energy = 4 * rate * (1 - rate) * (1 + np.array([-4, 4]) * np.sqrt(4 / size))
    low, high = (1 - np.sqrt(1 - energy)) / 2
    assert low < found.noise_rate < high
    assert not found.known
    assert "not known" in " ".join(found.lines())


def test_a_singular_kernel_is_said_to_be():
    found = forecast_of(np.ones((4, 4)), [0, 0, 1, 1], [0, 0, 0, 1], classes=2)
    assert found.singular
    assert found.memorised is None
    assert "singular" in found.lines()[0]


def test_the_width_of_narrow_nets_is_that_of_the_closed_form_on_clusters(clusters):
    size, ratio = 10, 20.0
    design = nt.data.equicorrelated_clusters(2, size, ratio=ratio)
    np.savez(clusters / "exact.npz", inputs=design.inputs, labels=design.groups)
    problem = own_data(seed=0, data=str(clusters / "exact.npz"), points=20, noise=0.2)
    angle = nt.predictions.cluster_angle(size, ratio)
    levels = nt.predictions.cluster_spectrum(2, size, angle)
    retrieved_noise = 1 - (1 - problem.learning_rate * levels.noise) ** 7
    expected = nt.predictions.lazy_width(levels, angle, 0.2, retrieved_noise, 1.0)
    # The angle is the arc cosine of a cosine near 1, which loses half of the digits at worst.
    assert problem.narrow_width(7) == pytest.approx(expected, rel=1e-7)
