"""Planted errors are noticed, and `python -m ntk_theory.calibrate` counts how often."""

import pytest

from cases import toy
from how_much import again
from ntk_theory import calibrate
from ntk_theory.checking.declaration import declare
from ntk_theory.checking.planting import UnseenParameterError
from ntk_theory.checking.run import Run
from ntk_theory.checking.running import conducted
from ntk_theory.checking.trials import FACTORS, right_and_wrong
from ntk_theory.checking.verdicts import Verdict
from ntk_theory.claims import all_claims
from ntk_theory.report.calibration import _share
from ntk_theory.toys import TOYS
from progress import Silent

TINY = ["--only", "residual-law", "ridge-rounds", "--jobs", "1"]
RESIDUAL, MARGIN, ROUNDS = (all_claims()[id_] for id_ in ("residual-law", "margin", "ridge-rounds"))


def estimate(result, parameter):
    """What the outputs of nets say a parameter is, over what theory says."""
    (row,) = (m for m in result.measurements if f"{parameter} that outputs show" in m.name)
    return row.measured


@pytest.fixture(scope="module")
def right():
    run = Run(declare(RESIDUAL, toy("residual-law")), Silent())
    return run, conducted(run)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    # A wrong rate is in the nets, whose outputs change with it to first order only.
    ("parameter", "beyond_first_order"),
    [("learning rate", 0.1), ("noise eigenvalues", 1e-9)],
)
def test_three_times_the_detectable_error_is_violated_and_seen_for_what_it_is(
    right, parameter, beyond_first_order, sign
):
    run, result = right
    assert result.verdict is Verdict.SUPPORTED
    error = sign * 3 * result.notices[parameter]
    wrong = conducted(run.planting(parameter, error))
    assert wrong.verdict is Verdict.VIOLATED
    shift = estimate(wrong, parameter) - estimate(result, parameter)
    assert shift == pytest.approx(error, rel=beyond_first_order)
    alone = RESIDUAL.run(toy("residual-law"), Silent(), (parameter, error))
    assert alone.measurements == wrong.measurements


@again
def test_a_wrong_noise_rate_is_violated():
    right, *wrong = right_and_wrong(MARGIN, toy("margin"))
    assert right.verdict is Verdict.SUPPORTED
    found = {(one.parameter, one.factor): one.verdict for one in wrong}
    assert len(found) == 3 * len(FACTORS)
    assert found["noise rate", 2.0] is Verdict.VIOLATED


def test_what_is_planted_leaves_controls_and_the_run_that_lends_its_nets_as_they_are(right):
    run, result = right
    before = [nets.outputs().copy() for nets in run.results["gradient descent"]]
    for parameter in ("learning rate", "noise eigenvalues"):
        again = conducted(run.planting(parameter, 1e-6))
        assert again.measurements != result.measurements
        assert again.controls == result.controls
    after = [nets.outputs() for nets in run.results["gradient descent"]]
    assert all((one == other).all() for one, other in zip(before, after, strict=True))


def test_what_no_net_shows_cannot_be_planted(monkeypatch):
    for claim, parameter in ((ROUNDS, "learning rate"), (RESIDUAL, "noise rate")):
        with pytest.raises(UnseenParameterError, match=f"no net here shows the {parameter}"):
            claim.run(toy(claim.id), Silent(), (parameter, 0.1))
    with pytest.raises(ValueError, match=r"planted must be one of learning rate, .* got 'width'"):
        RESIDUAL.run(toy("residual-law"), Silent(), ("width", 0.1))
    monkeypatch.setattr(Run, "measures_rounding", True)  # as of nets of few bits
    with pytest.raises(ValueError, match="float64 only"):
        RESIDUAL.run(toy("residual-law"), Silent(), ("learning rate", 0.1))


def test_every_claim_has_a_toy_and_one_of_somebody_elses_is_quick():
    assert set(TOYS) == set(all_claims())
    assert toy("somebody-elses").preset == "quick"


def cells(page, claim, table):
    """Of the first row of a claim in a table."""
    rows = page.split("\n## ")[table].splitlines()
    return [cell.strip() for cell in next(row for row in rows if f"| {claim} |" in row).split("|")]


def test_the_command_counts_what_was_supported_and_caught(tmp_path, capsys):
    file = tmp_path / "calibration.md"
    words = [*TINY, "--seeds", "2", "--wrong-seeds", "1", "--out", str(file)]
    assert calibrate.main(words) == 0
    page = capsys.readouterr().out
    assert file.read_text(encoding="utf-8") == page
    assert f"ntk_theory.calibrate {' '.join(words)}\n" in page
    assert "4 runs of a claim and a seed, of 4 asked for, at toy options" in page
    assert cells(page, "residual-law", 1)[2] == "2/2 [0.158, 1.000]"
    assert cells(page, "ridge-rounds", 1)[2:6] == [
        "2/2 [0.158, 1.000]",
        "",
        "4/4 [0.398, 1.000]",
        "–",
    ]
    assert cells(page, "all", 1)[2] == "4/4 [0.398, 1.000]"
    assert cells(page, "residual-law", 2)[2] == "learning rate"
    assert cells(page, "residual-law", 2)[5] == "1/1 [0.025, 1.000]"
    assert "| ridge-rounds |" not in page.split("\n## ")[2]


@again
def test_workers_find_the_same(capsys):
    pages = []
    for jobs in ("1", "2"):
        words = ["--only", "residual-law", "--seeds", "2", "--wrong-seeds", "0", "--jobs", jobs]
        assert calibrate.main(words) == 0
        pages.append(capsys.readouterr().out)
    one, other = (cells(page, "residual-law", 1)[:-2] for page in pages)
    assert one == other


def test_one_error_is_planted_in_all(capsys):
    assert calibrate.main([*TINY, "--seeds", "1", "--error", "-0.1"]) == 0
    page = capsys.readouterr().out
    assert "\n## Nets whose learning rate is 0.9 times that of theory\n" in page
    assert cells(page, "residual-law", 1)[2:4] == ["1/1 [0.025, 1.000]", ""]
    assert cells(page, "ridge-rounds", 1)[2] == "–"


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [(KeyboardInterrupt, 130, "interrupted"), (ZeroDivisionError, 5, "ZeroDivisionError")],
)
def test_what_was_done_is_kept(monkeypatch, tmp_path, capsys, raised, status, said):
    done, work = [], calibrate._in_worker

    def third(*item):
        if len(done) == 2:
            raise raised
        done.append(item)
        return work(*item)

    monkeypatch.setattr(calibrate, "_in_worker", third)
    file = tmp_path / "calibration.md"
    words = ["--seeds", "3", "--wrong-seeds", "0", "--out", str(file)]
    assert calibrate.main([*TINY, *words]) == status
    assert "2 runs of a claim and a seed, of 6 asked for" in file.read_text(encoding="utf-8")
    assert said in capsys.readouterr().err


def test_time_that_is_over_ends_it(capsys):
    words = ["--seeds", "2", "--wrong-seeds", "0", "--minutes", "1e-9"]
    assert calibrate.main([*TINY, *words]) == 0
    assert "0 runs of a claim and a seed, of 4 asked for" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_is_said(monkeypatch, tmp_path, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calibrate, "write_whole", full)
    words = ["--only", "ridge-rounds", "--seeds", "1", "--jobs", "1"]
    assert calibrate.main([*words, "--out", str(tmp_path / "page.md")]) == 7
    shown = capsys.readouterr()
    assert "ridge-rounds" in shown.out
    assert "cannot write" in shown.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "margn"], "no claim 'margn'; the claims are "),
        (["--seeds", "0"], "--seeds must be at least 1; got 0"),
        (["--seeds", "many"], "invalid int value: 'many'"),
        (["--wrong-seeds", "-1"], "--wrong-seeds must be at least 0; got -1"),
        (["--jobs", "0"], "--jobs must be at least 1; got 0"),
        (["--minutes", "nan"], "--minutes must be above 0; got nan"),
        (["--error", "0"], "--error must be above -1 and not 0; got 0"),
        (["--error", "nan"], "--error must be above -1 and not 0; got nan"),
        (["--parameter", "noise rate"], "--parameter is that of --error, which is missing"),
        (["--error", "0.1", "--parameter", "width"], "invalid choice: 'width'"),
        (["--preset", "wide"], "invalid choice: 'wide'"),
        (["--out", "nowhere/page.md"], "--out must be a file in a folder that is there"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_line(words, said, capsys):
    with pytest.raises(SystemExit) as stop:
        calibrate.main(words)
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1


def test_a_share_has_the_interval_of_clopper_and_pearson():
    assert _share([]) is None
    assert _share([True] * 20) == "20/20 [0.832, 1.000]"  # 0.025^(1/20)
    assert _share([False] * 20) == "0/20 [0.000, 0.168]"
