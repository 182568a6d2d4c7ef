"""Tests that share what is dear to make run in one process."""

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="all is one process")
@pytest.mark.xdist_group("some")
def test_the_group_of_a_test_is_known_to_what_hands_tests_out(request):
    # It reads the name of a test, where a pytest that it does not know leaves the group out.
    assert request.node.nodeid.endswith("@some")
