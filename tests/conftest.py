"""Settings of all tests: one thread for each test process, and Hypothesis profiles."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Before numpy and torch are loaded: pytest-xdist runs as many processes as there are cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import figures  # noqa: E402
from browser import headless  # noqa: E402
from how_much import LONG  # noqa: E402


def _claim_of(item):
    """The claim that a test is about: of its parameters, or of the name of its file."""
    given = getattr(item, "callspec", None)
    parameters = given.params if given else {}
    named = parameters.get("id_", parameters.get("claim"))
    if item.path.stem == "test_figures" and "name" in parameters:
        shown = figures.all_figures()[parameters["name"]].claims
        named = max(shown, key=lambda claim: claim in LONG)
    for start in ("test_figures_", "test_claim_"):
        if named is None and item.path.stem.startswith(start):
            named = item.path.stem.removeprefix(start)
    return named and named.replace("_", "-")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    """Tests of a claim go to one process, which makes its toy run once."""
    for item in items:
        claim = _claim_of(item)
        if claim:
            item.add_marker(pytest.mark.xdist_group(claim))


@pytest.fixture(scope="module")
def browse(tmp_path_factory):
    """Runs a headless browser on a file; returns its standard output and error."""
    return headless(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def no_matrix_fits(monkeypatch):
    """Memory for 30 rows of 100 numbers of a kernel, which is half of it, and no whole matrix."""
    monkeypatch.setattr("ntk_theory.image_size.memory_limit", lambda: 2 * 30 * 100 * 4.0)
    for whole in ("kernels.ntk_limit", "spectrum.eigendecomposition"):
        monkeypatch.setattr(f"ntk_theory.{whole}", None)  # calling one would raise


_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", max_examples=25, derandomize=True, **_COMMON)
settings.register_profile("thorough", max_examples=300, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
