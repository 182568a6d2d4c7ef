"""The pictures of `practice`: what is drawn is what was found."""

from dataclasses import replace

import numpy as np
import pytest

import ntk_theory as nt
from cases import toy_result
from ntk_theory.claims._practice_nets import ALONE, METHODS, PAPERS, RULE
from ntk_theory.claims.practice import CLAIM
from panels import drawn


@pytest.fixture(scope="module")
def result():
    return toy_result(CLAIM.id)


def test_means_over_splits_are_those_of_the_accuracies(result):
    series = drawn(CLAIM, result, "compared")
    for method in (ALONE, PAPERS, RULE):
        values = result.arrays["accuracy"][..., METHODS.index(method)].mean(axis=1)
        (shown,) = [one for one in series[method] if "y" in one]
        np.testing.assert_allclose(shown["y"], values)


def test_curves_end_at_the_accuracy_in_the_end(result):
    series = drawn(CLAIM, result, "over-training")
    for method in (ALONE, PAPERS):
        (curve,) = series[method]
        end = result.arrays["accuracy"][0, :, METHODS.index(method)].mean()
        assert curve["y"][-1] == pytest.approx(end)


def test_a_panel_without_its_noise_rate_shows_no_axes(result):
    axes = nt.drawing.figure(3, 2).subplots()
    CLAIM.panels["over-training-3"](axes, result)
    assert not axes.axison


def test_all_energy_is_left_before_the_first_eigenvector_and_none_after_the_last(result):
    series = drawn(CLAIM, result, "spectrum")
    for name in ("clean labels, energy left", "noise, energy left"):
        (shown,) = series[name]
        assert (np.diff(shown["y"]) <= 1e-12).all()
        assert shown["y"][0] < 1


def test_a_noise_that_was_not_planted_has_an_empty_panel(result):
    assert drawn(CLAIM, result, "over-training-3") == {}


def test_nothing_is_drawn_of_a_run_that_has_nothing(result):
    for panel in CLAIM.panels:
        assert drawn(CLAIM, replace(result, arrays={}), panel) == {}
