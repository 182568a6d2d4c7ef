"""A classifier for noisy labels with the conventions of scikit-learn, which it does without.

Where scikit-learn is installed the class derives from its base classes and checks input as it does.
"""

from __future__ import annotations

__all__ = ["DistilledClassifier", "distill"]

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from ntk_theory import arguments
from ntk_theory.kernels import ntk_empirical, ntk_limit
from ntk_theory.rule import DistilledTargets, distilled_targets

if TYPE_CHECKING:
    from ntk_theory.network import TwoLayerReLU

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:  # what scikit-learn's tools ask of an estimator, and no more

    class BaseEstimator:  # type: ignore[no-redef]
        """Parameters are the arguments of the constructor."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
            """By name."""
            return {name: getattr(self, name) for name in ("width", "seed")}

        def set_params(self, **parameters: Any) -> Any:
            """Set some of them; the estimator itself comes back."""
            for name, value in parameters.items():
                if name not in self.get_params():
                    raise ValueError(f"parameter must be 'width' or 'seed'; got {name!r}")
                setattr(self, name, value)
            return self

    class ClassifierMixin:  # type: ignore[no-redef]
        """Accuracy."""

        def score(self, X: ArrayLike, y: ArrayLike) -> float:
            """Share of labels that are predicted."""
            return float((self.predict(X) == np.asarray(y)).mean())  # type: ignore[attr-defined]

    validate_data = check_is_fitted = None


Array = NDArray[np.float64]

_LEFT, _MOST = 0.01, 20_000
"""Share of the targets that a trained-out net may be away from them, in the kernel limit, and the
largest number of its steps."""

_SLOW = 0.1
"""The same share, measured: a net that is farther away has not been trained out."""


class DistilledClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Two-layer ReLU net, or its infinitely wide limit, that noisy labels teach by `rule`.

    Rows are centred, divided by their root mean square norm over the training points, given a last
    coordinate 1, and made unit rows: shifts, rotations and the unit of the features do not matter,
    and no row is zero. Features of different units are for a StandardScaler before.

    Args:
        width: neurons of a net that is trained out on the distilled targets, even; None for the
            kernel limit. The targets of a net come from its empirical kernel at the start: they
            then lie along the directions that this net learns first, not those of another kernel.
        seed: of the folds, and of the weights of a net.

    Attributes:
        classes_: labels, ascending, shape (C,).
        n_features_in_: d.
        corrected_labels_: the most probable label of each training point, shape (n,).
        suspicion_: probability that the given label of a point is wrong, shape (n,).
        suspects_: points whose label was corrected, the most suspicious first.
        noise_rate_: estimated share of wrong labels, the mean of `suspicion_`.
        stopping_time_: of the student, in steps at η = 1/(2 λ_max).
        distilled_: all that the rule found, `rule.DistilledTargets`.
        network_: the trained net, or None.

    Reference: docs/theory.md, section 13.

    >>> rng = np.random.default_rng(0)
    >>> inputs = np.repeat(3 * np.eye(3), 20, axis=0) + rng.standard_normal((60, 3))
    >>> labels = np.repeat(["a", "b", "c"], 20)
    >>> noisy = labels.copy()
    >>> noisy[::5] = "a"
    >>> model = DistilledClassifier().fit(inputs, noisy)
    >>> model.score(inputs, noisy), model.score(inputs, labels) > 0.9
    (0.8666666666666667, True)
    >>> labels[model.suspects_[:3]]
    array(['b', 'c', 'c'], dtype='<U1')
    """

    def __init__(self, width: int | None = None, seed: int = 0) -> None:
        self.width = width
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> DistilledClassifier:
        """Learn from features of shape (n, d) and labels of any kind, shape (n,).

        Raises:
            ValueError: for fewer than two points or classes, labels that are no classes, or a width
                that is odd.
        """
        seed = arguments.whole("seed", self.seed, least=0, most=2**32 - 1)
        rows, labels = self._checked(X, y, fit=True)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"y must hold labels of at least two classes; got one class, {self.classes_[0]!r}; "
                "give points of another class, too"
            )
        self._mean = rows.mean(axis=0)
        centred = rows - self._mean
        self._size = float(np.sqrt(np.square(centred).sum(axis=1).mean())) or 1.0
        self._units = self._as_units(rows)
        if self.width is None:
            gram, network = ntk_limit(self._units), None
        else:
            network = self._initial(self.width, seed)
            gram = self._kernel(network)
        self.distilled_: DistilledTargets = distilled_targets(
            gram, numbers, classes=len(self.classes_), rng=np.random.default_rng(seed)
        )
        self.network_ = None if network is None else self._trained(network, gram)
        self._report(numbers)
        return self

    def _report(self, numbers: NDArray[np.intp]) -> None:
        """What was found about the training points."""
        corrected = self.distilled_.corrected
        best = corrected.argmax(axis=1)
        self.corrected_labels_ = self.classes_[best]
        self.suspicion_ = 1 - corrected[np.arange(len(numbers)), numbers]
        order = np.argsort(-self.suspicion_, kind="stable")
        self.suspects_ = order[(best != numbers)[order]]
        self.noise_rate_ = float(self.suspicion_.mean())
        self.stopping_time_ = self.distilled_.stopping_time

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels of points, shape (k,)."""
        best = self._outputs(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def predict_proba(self, X: ArrayLike) -> Array:
        """Probabilities of the right classes, not of the noisy labels, shape (k, C)."""
        outputs = self._outputs(X)
        return np.asarray(softmax(self.distilled_.sharpness * outputs, axis=1))

    def _outputs(self, X: ArrayLike) -> Array:
        if check_is_fitted is not None:
            check_is_fitted(self)
        elif not hasattr(self, "distilled_"):
            raise ValueError("this DistilledClassifier is not fitted yet; call fit first")
        rows, _ = self._checked(X)
        units = self._as_units(rows)
        if self.network_ is not None:
            return np.asarray(self.network_(units)[0])
        return np.asarray(ntk_limit(units, self._units) @ self.distilled_.coefficients)

    def _as_units(self, rows: Array) -> Array:
        """Centred, over their size, with a last coordinate 1, of norm 1; shape (k, d + 1)."""
        scaled = np.column_stack([(rows - self._mean) / self._size, np.ones(len(rows))])
        return np.asarray(scaled / np.linalg.norm(scaled, axis=1, keepdims=True))

    def _checked(
        self, X: ArrayLike, y: ArrayLike | None = None, *, fit: bool = False
    ) -> tuple[Array, NDArray[Any]]:
        """Features and labels, checked as scikit-learn does where it is there."""
        if validate_data is not None:
            given = {"y": y, "ensure_min_samples": 2} if fit else {}
            found = validate_data(self, X, reset=fit, dtype=np.float64, **given)
            rows, labels = found if fit else (found, np.empty(0))
        else:
            rows = arguments.rows("X", X, None if fit else self.n_features_in_)
            labels = np.asarray(y) if fit else np.empty(0)
            if fit and labels.shape != (len(rows),):
                raise ValueError(f"y must have the shape ({len(rows)},); got {labels.shape}")
            self.n_features_in_: int = rows.shape[1]
        if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
            raise ValueError("Unknown label type: continuous; y must hold classes, not numbers")
        return np.asarray(rows, dtype=float), labels

    # ------------------------------------------------------------ a net of finite width

    def _initial(self, width: int, seed: int) -> TwoLayerReLU:
        from ntk_theory.network import initialise

        width = arguments.whole("width", width, least=2)
        dimension = self._units.shape[1]
        return initialise(width, dimension, seeds=[seed], outputs=len(self.classes_))

    def _kernel(self, network: TwoLayerReLU) -> Array:
        """Empirical kernel of one output, the same for each: output weights are ±1."""
        from ntk_theory.network import TwoLayerReLU

        one = TwoLayerReLU(network.hidden, network.output[:, :1])
        return np.asarray(ntk_empirical(one, self._units)[0])

    def _trained(self, network: TwoLayerReLU, gram: Array) -> TwoLayerReLU | None:
        """The net, trained out on the targets; its outputs influence each other a little."""
        import torch

        from ntk_theory.targets import PLAIN
        from ntk_theory.training import train

        signs = network.output[0] @ network.output[0].T / network.width
        shared = float(torch.linalg.matrix_norm(signs, 2))
        values, vectors = np.linalg.eigh(gram)
        rate = 1 / (shared * float(values[-1]))
        modes = np.square(vectors.T @ self.distilled_.targets).sum(axis=1)
        kept = np.log1p(-np.clip(rate * values, 0, 1 - 1e-12))
        steps = 1
        while steps < _MOST and modes @ np.exp(2 * steps * kept) > _LEFT**2 * modes.sum():
            steps = min(_MOST, math.ceil(1.2 * steps))
        done = train(network, self._units, self.distilled_.targets, PLAIN, learning_rate=rate,
                     steps=steps, record=[steps])  # fmt: skip
        if done.diverged is not None:
            raise RuntimeError(f"{done.diverged}; give a larger width than {network.width}")
        away = done.outputs[0, -1] - self.distilled_.targets
        share = float(np.linalg.norm(away) / np.linalg.norm(self.distilled_.targets))
        if share > _SLOW:
            warnings.warn(
                f"the net is {share:.2g} of the targets away from them after {steps} steps; "
                "give a larger width, or None",
                RuntimeWarning,
                stacklevel=3,
            )
        return done.network


def distill(inputs: ArrayLike, labels: ArrayLike, **parameters: Any) -> DistilledClassifier:
    """Fit a `DistilledClassifier` to noisy labels.

    Args:
        inputs: features, shape (n, d).
        labels: of any kind, shape (n,).
        parameters: of the classifier, `width` and `seed`.

    >>> model = distill([[0.0], [0.1], [0.2], [1.0], [1.1], [1.2]], [0, 0, 0, 1, 1, 1])
    >>> model.predict([[0.05], [1.05]])
    array([0, 1])
    """
    return DistilledClassifier(**parameters).fit(inputs, labels)
