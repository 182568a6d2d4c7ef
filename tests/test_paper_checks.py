"""The ledger paper_checks.md is generated, complete and up to date."""

import json
from functools import cache
from pathlib import Path

import pytest

from cases.lazy import TOY
from ntk_theory import paper_checks
from ntk_theory.checking.claim import Claim
from ntk_theory.checking.verdicts import Options
from ntk_theory.claims import all_claims
from ntk_theory.report.document import alike

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.xdist_group("paper-checks")


@pytest.fixture(scope="module", autouse=True)
def closed_forms_are_evaluated_once():
    """Those of all claims take seconds, and no test changes any."""
    predict = Claim.predict
    predicted = cache(lambda id_: predict(all_claims()[id_], Options()))

    def remembered(claim, options):
        assert options == Options()
        return predicted(claim.id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Claim, "predict", remembered)
        yield


@pytest.fixture
def ledger(tmp_path):
    for name in ("paper_checks.md", "paper_checks.json"):
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "figures" / "claims").mkdir(parents=True)
    for id_ in all_claims():
        (tmp_path / "figures" / "claims" / f"{id_}.png").touch()
    return tmp_path


def edit(ledger, change):
    path = ledger / "paper_checks.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record["claims"][0])
    path.write_text(json.dumps(record), encoding="utf-8")
    (ledger / "paper_checks.md").write_text(paper_checks.render(record), encoding="utf-8")


def test_the_ledger_is_up_to_date():
    assert paper_checks.stale(ROOT) == []


def test_the_ledger_lists_every_claim_of_the_abstract():
    text = (ROOT / "paper_checks.md").read_text(encoding="utf-8")
    for paper_claim in ("C1", "C2", "C3", "C4", "C5", "C6", "C7"):
        assert f"\n| {paper_claim} |" in text
    for id_ in all_claims():
        assert f"\n## {id_}\n" in text


def test_every_claim_of_the_abstract_is_checked_and_what_is_not_is_said():
    text = (ROOT / "paper_checks.md").read_text(encoding="utf-8")
    assert "no check yet" not in text
    checked = set().union(*(claim.paper_claims for claim in all_claims().values()))
    assert checked == set(paper_checks.PAPER_CLAIMS)
    for what, why in paper_checks.NOT_CHECKED.items():
        assert f"- **{what}**: {why}" in text


def test_every_claim_with_wide_tolerances_has_a_reason_for_them():
    record = json.loads((ROOT / "paper_checks.json").read_text(encoding="utf-8"))
    wide = {entry["id"] for entry in record["claims"] if paper_checks.wide_rows(entry)[0]}
    assert wide == set(paper_checks.WIDE)
    text = (ROOT / "paper_checks.md").read_text(encoding="utf-8")
    assert all(f"| {why} |" in text for why in paper_checks.WIDE.values())


def test_the_ledger_says_what_the_checks_say_of_every_claim():
    assert set(paper_checks.BEARING) == set(paper_checks.PAPER_CLAIMS)
    text = (ROOT / "paper_checks.md").read_text(encoding="utf-8")
    for found in paper_checks.BEARING.values():
        assert f"| {found} |" in text


def test_the_ledger_says_what_the_abstract_says_and_the_checks_do_not_show():
    assert set(paper_checks.NOT_SHOWN) == set(paper_checks.PAPER_CLAIMS)
    text = (ROOT / "paper_checks.md").read_text(encoding="utf-8")
    for left_open in paper_checks.NOT_SHOWN.values():
        assert f"| {left_open} |\n" in text


def test_a_missing_picture_is_stale(ledger):
    (ledger / "figures" / "claims" / "convergence.png").unlink()
    assert any("picture" in reason for reason in paper_checks.stale(ledger))


def test_an_edited_ledger_is_stale(ledger):
    path = ledger / "paper_checks.md"
    path.write_text(path.read_text(encoding="utf-8").replace("SUPPORTED", "PROVED"))
    assert paper_checks.main(["--check", "--directory", str(ledger)]) == 1


@pytest.mark.parametrize(
    ("paper_claim", "id_", "name", "shown"),
    [
        (
            "C2",
            "dark-knowledge",
            "accuracy gained from the stopped teacher over hard labels",
            "measured",
        ),
        (
            "C2",
            "dark-knowledge",
            "accuracy gained from its averages over the tree alone",
            "measured",
        ),
        ("C5", "convergence", "agreement schedule: final RMS error", "measured"),
        ("C6", "margin", "plain training: best least margin at any step", "predicted"),
        ("C6", "margin", "plain training: least margin in the end (limit −1)", "predicted"),
        ("C6", "margin", "best stopping: mean margin on fresh points", "predicted"),
        ("C6", "margin", "plain training: mean margin on fresh points", "predicted"),
    ],
)
def test_numbers_in_the_words_of_the_ledger_are_those_of_the_record(paper_claim, id_, name, shown):
    record = json.loads((ROOT / "paper_checks.json").read_text(encoding="utf-8"))
    (entry,) = [one for one in record["claims"] if one["id"] == id_]
    (row,) = [one for one in entry["measurements"] if one["name"] == name]
    number = f"{row[shown]:.3f}".replace("-", "−")
    assert number in paper_checks.BEARING[paper_claim]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("statement", "something else", "statement"),
        ("config", {}, "configuration"),
        ("measurements", [], "predicted"),
    ],
)
def test_a_record_of_other_code_is_stale(ledger, field, value, reason):
    edit(ledger, lambda entry: entry.update({field: value}))
    assert any(reason in found for found in paper_checks.stale(ledger))


def test_rendering_repairs_the_markdown(ledger):
    (ledger / "paper_checks.md").write_text("")
    assert paper_checks.main(["--render", "--directory", str(ledger)]) == 0
    assert paper_checks.main(["--check", "--directory", str(ledger)]) == 0


def test_a_missing_ledger_is_stale_and_not_an_accident(tmp_path, capsys):
    assert paper_checks.main(["--check", "--directory", str(tmp_path)]) == 1
    assert "cannot be read" in capsys.readouterr().out
    assert paper_checks.main(["--render", "--directory", str(tmp_path)]) == 2


def test_one_claim_can_be_run_again_and_the_others_keep_their_record(ledger, monkeypatch):
    lazy = all_claims()["lazy"]
    run = lazy.run
    monkeypatch.setattr(lazy, "run", lambda _, progress: run(TOY, progress))
    before = json.loads((ledger / "paper_checks.json").read_text(encoding="utf-8"))["claims"]
    assert paper_checks.main(["--only", "lazy", "--directory", str(ledger)]) == 0
    after = json.loads((ledger / "paper_checks.json").read_text(encoding="utf-8"))["claims"]
    assert [entry["id"] for entry in after] == [entry["id"] for entry in before]
    changed = [new["id"] for new, old in zip(after, before, strict=True) if new != old]
    assert changed == ["lazy"]
    assert (ledger / "figures" / "claims" / "lazy.png").stat().st_size > 0
    assert any("lazy" in reason for reason in paper_checks.stale(ledger))


def test_an_unknown_claim_is_refused_by_name(ledger, capsys):
    with pytest.raises(SystemExit) as stop:
        paper_checks.main(["--only", "lasy", "--directory", str(ledger)])
    assert stop.value.code == 2
    assert "no claim 'lasy'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"rate": 0.1, "steps": [1, 2]}, {"rate": 0.1 * (1 + 1e-12), "steps": [1, 2]}, True),
        ({"rate": 0.1}, {"rate": 0.1 * (1 + 1e-6)}, False),
        ({"steps": [1, 2]}, {"steps": [1, 2, 3]}, False),
        ({"steps": 1}, {"steps": 2}, False),
        ({"steps": 1}, {"steps": 1.0}, False),
        ({"a": None}, {"b": None}, False),
        ("x", "y", False),
    ],
)
def test_configurations_are_alike_up_to_rounding_of_their_numbers(one, other, same):
    assert alike(one, other) is same
