"""The pictures of `zero-one`: what is drawn is what was found, and what theory says."""

from dataclasses import replace

import numpy as np
import pytest

from cases import toy_result
from ntk_theory.claims.zero_one import CLAIM
from panels import drawn


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_errors_of_stopped_nets_are_those_of_the_rows(result):
    series = drawn(CLAIM, result, "promised-and-true")
    rows = {row.name: row.measured for row in result.measurements}
    for name, ratio in (("tight", 12), ("wide", 4.5)):
        nets = series[f"nets, {name} clusters"]
        for place, rho in enumerate(nets[0]["x"]):
            mean = np.mean([one["y"][place] for one in nets])
            assert mean == pytest.approx(rows[f"r = {ratio}, ρ = {rho:g}: 0-1 error"])
    (theory,) = series["prediction of tight"]
    assert theory["x"][1] == pytest.approx(10 / 22)
    (promised,) = series[r"prediction promised: $\rho\leq\delta/8$"]
    assert promised["x"].tolist() == [0, 0.25]


def test_distances_lie_under_what_is_promised_until_noise_is_memorised(result):
    series = drawn(CLAIM, result, "distance")
    (bound,) = series[r"promised: $\sqrt{K/\lambda(C)}$"]
    assert bound["y"][0] == pytest.approx(np.sqrt(8))
    assert all((one["y"] < bound["y"][0]).all() for one in series["stopped"])
    assert all((one["y"] > bound["y"][0]).all() for one in series["memorised"])


def test_nothing_is_drawn_of_a_run_that_has_nothing(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}
