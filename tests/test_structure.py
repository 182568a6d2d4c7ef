"""The structure that the documentation promises: layers, independence, documentation."""

import ast
import doctest
import importlib
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ntk_theory

PACKAGE = Path(ntk_theory.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}
# A module may import from the layers above its own only.
CLOSED_FORMS = {name for name in MODULES if name.startswith("predictions.")}
CLAIMS = {name for name in MODULES if name.startswith("claims.")}
ONE_FILE = {name for name in CLAIMS if name.count(".") == 1}
LAYERS = [
    {
        "arguments.foreign",
        "machine.atomic",
        "machine.launcher",
        "checking.verdicts",
        "checking.fitting",
        "machine.environment",
    },
    {"arguments.arrays", "arguments.scalars", "predictions.spectra", "cifar10", "data_files"},
    {"arguments.labels", "checking.functionals", "checking.knobs", "checking.sweep"},
    {"checking.claim", "checking.rows", "losses", "toys"},
    {"checking.foreign"},
    {
        "machine.ranks",
        "machine.resources",
        "machine.precision",
        "extreme",
        "training.products",
        "machine.any_backend",
    },
    {"drawing", "command.statuses", "command.terminal"},
    {"machine.progress", "command.signals"},
    {"command.program"},
    CLOSED_FORMS - {"predictions.spectra"},
    {"data", "kernels", "spectrum", "network", "targets", "checking.evidence"},
    {"datasets", "forecast", "minibatch", "rule", "streaming", "together"},
    {"training.trajectory", "training.points", "training.checkpoints"},
    {"training.neurons", "training.calendar"},
    {"training.dense", "training.events"},
    {"training.compiled"},
    {"training.forms"},
    {"training.descent", "training.footprint"},
    {"estimator", "problems", "machine.jobs"},
    {"checking.nets", "checking.laws", "grids", "distilled", "tasks"},
    {"checking.ladder"},
    {"checking.declaration", "checking.panels"},
    {"checking.scores"},
    {"checking.planting"},
    {"checking.limits", "checking.run"},
    {"checking.running", "image_size", "own_problem"},
    {"own_data"},
    {"checking.trials"},
    CLAIMS,
    {"report.explain", "report.document"},
    {"report.console", "report.markdown", "report.page"},
    {"report.files", "report.pictures", "report.calibration"},
    {"command.parser"},
    {"command.recording", "notebook", "testing"},
    {"verify"},
    {"paper_checks", "calibrate", "explorer.__main__"},
]
MEASUREMENT = {
    "cifar10",
    "data_files",
    "datasets",
    "kernels",
    "spectrum",
    "extreme",
    "network",
    "targets",
    "streaming",
    "minibatch",
} | {name for name in MODULES if name.startswith("training.")}


def claim_of(name):
    """The claim that a module belongs to, as its folder, its file, or a part `_claim_topic`."""
    file = name.split(".")[1]
    whole = {one.split(".")[1] for one in ONE_FILE if not one.startswith("claims._")}
    return next((one for one in whole if file.startswith(f"_{one}_")), file)


def running(node):
    """Parts of a file that are run, or may be; what is imported for annotations alone is not."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"):
            yield from running(child)


def imported(path):
    """Modules of the package that a file imports, wherever in the file it does."""
    names = set()
    for node in running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "nt":
            home = ntk_theory._MODULES.get(node.attr) or ntk_theory._HOMES.get(node.attr, "")
            names.add(home.removeprefix("ntk_theory."))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ntk_theory"):
            module = node.module.removeprefix("ntk_theory").removeprefix(".")
            inside = {f"{module}.{alias.name}".removeprefix(".") for alias in node.names}
            # What is no module of a package is a name of the package itself: all of it.
            names |= inside & set(MODULES) or {module or alias.name for alias in node.names}
    packages = {name for name in MODULES if name.partition(".")[0] in names}
    return (names & set(MODULES)) | packages


def test_every_module_has_a_layer():
    assert set.union(*LAYERS) == set(MODULES)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_from_layers_below_it_only(name):
    below = set()
    for layer in LAYERS:
        if name in layer:
            break
        below |= layer
    allowed = below
    if name in CLAIMS:
        allowed = allowed | {part for part in CLAIMS if claim_of(part) == claim_of(name)}
    assert imported(MODULES[name]) <= allowed


def test_a_claim_is_a_file_and_its_parts_import_each_other_in_one_direction():
    assert not [
        path for path in (PACKAGE / "claims").iterdir() if path.is_dir() and path.name[0] != "_"
    ]
    for claim in {claim_of(name) for name in CLAIMS}:
        parts = {name for name in CLAIMS if claim_of(name) == claim}
        assert f"claims.{claim}" in parts
        TopologicalSorter({one: imported(MODULES[one]) & parts for one in parts}).prepare()


def test_predictions_share_no_code_with_measurements():
    assert "predictions.curves" in CLOSED_FORMS
    for name in CLOSED_FORMS:
        assert imported(MODULES[name]) <= {"predictions.spectra"}
    for name in MEASUREMENT:
        assert not imported(MODULES[name]) & CLOSED_FORMS


def test_the_map_names_every_module_or_its_folder_and_nothing_that_is_gone():
    page = (PACKAGE.parent / "docs" / "map.md").read_text(encoding="utf-8")
    words = {Path(word).stem for word in re.findall(r"`([\w./]+)`", page)}
    whole = {"arguments", "claims", "command", "explorer", "machine", "report"}
    needed = {name.split(".")[0 if name.split(".")[0] in whole else -1] for name in MODULES}
    assert needed <= words
    places = [*PACKAGE.rglob("*"), *PACKAGE.parent.iterdir(), *Path(__file__).parent.iterdir()]
    assert words <= {path.stem for path in places}


@pytest.mark.parametrize("name", sorted(set(MODULES) - ONE_FILE))
def test_every_module_lists_its_public_names(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    (exported,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__"
    )
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    }
    assert defined <= set(exported)
    assert sorted(exported, key=str.casefold) == sorted(set(exported), key=str.casefold)


@pytest.mark.parametrize("arguments", [["--list"], ["--help"], ["convergence", "--points", "1"]])
def test_the_command_line_loads_torch_only_to_run(arguments):
    code = (
        "import sys; from ntk_theory.verify import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules and '--points' not in sys.argv)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_claim_does_not_wait_for_all_of_scipy():
    # scipy.stats takes half a second to load; two special functions do.
    code = "import sys, ntk_theory.checking.running; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_example_in_a_docstring_is_run():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for name, path in MODULES.items():
        source = path.read_text(encoding="utf-8")
        assert "doctest: +SKIP" not in source, name
        nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))
        if written := sum(">>> " in (ast.get_docstring(node) or "") for node in nodes):
            module = importlib.import_module(f"ntk_theory.{name}")
            found = [test for test in doctest.DocTestFinder().find(module) if test.examples]
            assert len(found) == written, name
