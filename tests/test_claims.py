"""What holds of every claim, at toy size: supported, controlled, reproducible, drawn, explained."""

import importlib
import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cases import toy_result, toy_run
from how_much import SHORT, again_for
from ntk_theory import verify
from ntk_theory.checking.verdicts import Options, Verdict
from ntk_theory.claims import all_claims
from ntk_theory.command.parser import all_knobs, parsed
from ntk_theory.report import explain
from ntk_theory.report.document import command_line
from ntk_theory.report.pictures import save_picture
from progress import Impatient, Silent

CLAIMS = all_claims()
MODULES = {id_: id_.replace("-", "_") for id_ in CLAIMS}
TOYS = {id_: importlib.import_module(f"cases.{module}").TOY for id_, module in MODULES.items()}
THEORY = (Path(__file__).parent.parent / "docs" / "theory.md").read_text(encoding="utf-8")

every_claim = pytest.mark.parametrize("id_", sorted(CLAIMS))


@pytest.fixture
def results():
    """Results of toy runs."""
    return toy_result


@every_claim
def test_a_toy_run_is_supported_and_every_control_fails_as_expected(id_, results):
    result = results(id_)
    assert result.verdict is Verdict.SUPPORTED, result.finding
    assert all(premise.holds for premise in result.premises)
    assert all(measurement.holds for measurement in result.measurements)
    assert tuple(control.id for control in result.controls) == CLAIMS[id_].control_ids
    for control in result.controls:
        assert control.holds, control
        assert control.verdict in (Verdict.VIOLATED, Verdict.PREMISE_UNMET)
    names = [m.name for m in result.measurements]
    assert len(set(names)) == len(names)


def test_every_claim_has_a_control_and_there_are_twenty_in_all():
    assert all(claim.control_ids for claim in CLAIMS.values())
    assert sum(len(claim.control_ids) for claim in CLAIMS.values()) >= 20


@pytest.mark.parametrize("id_", [one for one in sorted(CLAIMS) if one in SHORT or again_for(one)])
def test_the_same_seed_gives_the_same_result(id_, results):
    first, again = results(id_), CLAIMS[id_].run(TOYS[id_], Silent())
    assert again.measurements == first.measurements
    assert again.controls == first.controls
    assert again.metrics == first.metrics
    assert again.arrays.keys() == first.arrays.keys()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


@every_claim
def test_predicted_values_are_those_of_the_run(id_, results):
    result = results(id_)
    config, predicted = CLAIMS[id_].predict(TOYS[id_])
    assert config == result.config
    measured = {m.name: m.predicted for m in result.measurements}
    assert predicted or CLAIMS[id_].part("rows") is None  # all is measured then
    assert predicted.items() <= measured.items()


@every_claim
def test_the_config_names_every_number_and_survives_json(id_, results):
    config = results(id_).config
    for knob in ("preset", "seed", *CLAIMS[id_].knobs):
        assert knob in config
    assert json.loads(json.dumps(config)) == config


@every_claim
def test_metrics_and_arrays_can_be_written(id_, results):
    result = results(id_)
    assert result.metrics
    for row in result.metrics:
        json.dumps(row)
        assert all(not isinstance(v, float) or math.isfinite(v) for v in row.values())
    for array in result.arrays.values():
        assert np.asarray(array).dtype != object


@every_claim
def test_a_picture_is_drawn_of_a_whole_run_and_of_an_interrupted_one(id_, results, tmp_path):
    interrupted = CLAIMS[id_].run(TOYS[id_], Impatient(0.05))
    assert interrupted.interrupted
    assert interrupted.verdict is not Verdict.SUPPORTED
    for result in (results(id_), interrupted):
        if result.arrays:
            save_picture(tmp_path / "picture.png", result)
            assert (tmp_path / "picture.png").stat().st_size > 0


@every_claim
def test_progress_adds_up(id_):
    run = toy_run(id_)
    assert 0.8 < run.done / run.total < 1.2


@every_claim
def test_an_explanation_says_what_is_claimed_and_where_it_is_proved(id_):
    claim = CLAIMS[id_]
    text = explain.explanation(claim)
    for part in (claim.statement, *claim.formulas, *claim.assumptions, claim.source):
        assert part in " ".join(text.split()) or part in text
    assert "docs/theory.md" in claim.source
    for section in explain.sections(claim):
        assert f"\n## {section}. " in THEORY or f"\n### {section} " in THEORY, section


@every_claim
def test_a_negative_seed_or_too_few_nets_are_refused(id_):
    with pytest.raises(ValueError, match="seed"):
        CLAIMS[id_].predict(Options(seed=-1))
    if "seeds" in CLAIMS[id_].knobs:
        with pytest.raises(ValueError, match="seeds must be at least"):
            CLAIMS[id_].predict(replace(TOYS[id_], seeds=0))


@every_claim
def test_bad_widths_are_refused(id_):
    if "widths" not in CLAIMS[id_].knobs:
        pytest.skip("takes no widths")
    for widths in ((64,), (0, 64, 128, 256, 512, 1024), (64, 64, 128, 256, 512)):
        with pytest.raises(ValueError, match="widths must be"):
            CLAIMS[id_].predict(replace(TOYS[id_], widths=widths))


@every_claim
def test_the_command_that_is_recorded_repeats_the_run(id_, results):
    result = results(id_)
    words = shlex.split(command_line(result))
    assert words[:3] == ["python", "-m", "ntk_theory.verify"]
    arguments = parsed(words[3:], all_knobs(CLAIMS.values()))
    options = verify._checked_options(arguments, [CLAIMS[id_]])
    assert CLAIMS[id_].predict(options[id_])[0] == result.config


@pytest.mark.parametrize(
    "id_", [id_ for id_, claim in sorted(CLAIMS.items()) if "wide" in claim.presets]
)
def test_the_wide_ladder_ends_at_a_million_neurons_and_the_standard_one_at_a_hundred_thousand(id_):
    for preset, widest in (("standard", 2**17), ("wide", 2**20)):
        config, _ = CLAIMS[id_].predict(Options(preset=preset))
        assert config["widths"][-1] >= widest
        assert np.greater_equal(np.divide(config["widths"][1:], config["widths"][:-1]), 2).all()


@pytest.mark.parametrize(("id_", "widest"), [("dark-knowledge", 2**17), ("initialisation", 2**15)])
def test_claims_of_many_nets_or_outputs_climb_as_far_as_their_time_allows(id_, widest):
    assert CLAIMS[id_].predict(Options(preset="standard"))[0]["widths"][-1] == widest


# The kernels of `practice` at its larger presets take minutes.
@pytest.mark.parametrize("id_", sorted(CLAIMS.keys() - {"practice"}))
def test_a_larger_preset_climbs_at_least_as_far(id_):
    configs = (CLAIMS[id_].predict(Options(preset=p))[0] for p in ("quick", "standard", "thorough"))
    widest = [config["widths"][-1] for config in configs]
    assert widest == sorted(widest)
