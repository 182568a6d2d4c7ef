"""The same numbers on processors whose linear algebra rounds in another order.

In a degenerate eigenspace a solver returns any basis, another one on another kind of processor.
OPENBLAS_CORETYPE makes one of them compute as others would; where numpy comes with another library
these tests say little.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ntk_theory.report.document import alike

KINDS = [None, "Haswell", "Prescott"]

SCRIPT = """
import json
import numpy as np
from ntk_theory import data, predictions, spectrum
from ntk_theory.predictions import movement

def rng():
    return np.random.default_rng(0)

design = data.equicorrelated_clusters(2, 5, ratio=12.0)
labels = np.where(design.groups == 0, 1.0, -1.0)
cosines = design.inputs @ design.inputs.T
kernel = np.vectorize(predictions.ntk_value)(np.arccos(np.clip(cosines, -1, 1)))
rate = 0.5 / design.eigenvalues()[-1]
pulls = rate * np.stack([0.9**step * labels for step in range(4)])
layer = movement.boundary_layer(cosines, rate * kernel, pulls, rng(), draws=64)
basis = spectrum.eigendecomposition(kernel)
observed = labels * np.where(np.arange(10) % 5 == 0, -1, 1)
root = movement._root(cosines)
print(json.dumps({
    "largest movement": movement.largest_movement(cosines, pulls.sum(axis=0), 64, rng()),
    "boundary layer": [
        layer.flipped, layer.kernel_change_norm(64), layer.kernel_scatter,
        *layer.deviation_norm(64).tolist(), *layer.deviation_scatter.tolist(),
    ],
    "root": root.tolist(),
    "shares": [
        *spectrum.retrieved_share(basis, rate, [1, 5, 20], observed).tolist(),
        *[float((basis.project(observed)[band] ** 2).sum()) for band in basis.bands(observed)],
    ],
    "eigenvalues": [
        spectrum.lambda_min(kernel), spectrum.eigenvalue_nearest_zero(kernel),
        *basis.eigenvalues.tolist(), float(basis.largest_gap()),
        *spectrum.extreme_eigenpairs(kernel, 2, rng=rng(), guess=labels).values.tolist(),
    ],
}))
"""


@pytest.fixture(scope="module")
def computed():
    """What the script computes on each kind of processor."""
    running = []
    for kind in KINDS:
        environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
        environment |= {"OPENBLAS_CORETYPE": kind} if kind else {}
        command = [sys.executable, "-W", "error", "-c", SCRIPT]
        running.append(
            subprocess.Popen(
                command,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    outcomes = [(process, *process.communicate()) for process in running]
    for process, _, errors in outcomes:
        assert process.returncode == 0, errors
    return [json.loads(printed) for _, printed, _ in outcomes]


@pytest.mark.parametrize("name", ["largest movement", "boundary layer", "shares", "eigenvalues"])
def test_predictions_and_measures_are_the_same_on_any_processor(computed, name):
    first, *others = [numbers[name] for numbers in computed]
    assert np.size(first)
    for other in others:
        assert alike(first, other)


def test_the_root_of_a_degenerate_covariance_is_the_same_on_any_processor(computed):
    first, *others = [np.array(numbers["root"]) for numbers in computed]
    for other in others:
        np.testing.assert_allclose(first, other, rtol=0, atol=1e-14)
