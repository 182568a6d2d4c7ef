"""CIFAR-10 from a folder: the files as they are published, for Python and as plain records.

Nothing is fetched. The files for Python are pickles, of which nothing is run: only arrays of bytes,
lists, texts and numbers are taken out of them.
"""

from __future__ import annotations

__all__ = ["CHECKSUMS", "CLASSES", "read_cifar10"]

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CHECKSUMS = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
"""MD5 of the published files for Python; those of plain records have none but their size."""

_PIXELS, _IMAGES = 3 * 32 * 32, 10_000

_FOLDERS = ("cifar-10-batches-py", "cifar-10-batches-bin")
"""That the published archives unpack to."""


def read_cifar10(folder: Path, *, checked: bool = True) -> tuple[Pixels, Labels]:
    """Images and class numbers of all six files, those for training first.

    Args:
        folder: of `data_batch_1` to `data_batch_5` and `test_batch`, or of the same with the ending
            `.bin`; or the folder that the archive was unpacked in.
        checked: refuse files that are not the published ones.

    Returns:
        Pixels, shape (n, 3072), and classes 0..9, shape (n,).

    Raises:
        ValueError: for a file that is missing, cut short or altered; it is named.
    """
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}; give that of CIFAR-10, with {_files('')}")
    folders = [folder, *(folder / name for name in _FOLDERS)]
    for place in folders:
        for ending, read in (("", _of_pickle), (".bin", _of_records)):
            names = [f"{name}{ending}" for name in CHECKSUMS]
            there = [name for name in names if (place / name).is_file()]
            if not there:
                continue
            if missing := [name for name in names if name not in there]:
                raise ValueError(f"{place} has no file {missing[0]}; CIFAR-10 has {_files(ending)}")
            parts = [read(place / name, checked) for name in names]
            pixels, labels = zip(*parts, strict=True)
            return np.concatenate(pixels), np.concatenate(labels)
    raise ValueError(
        f"{folder} has none of the files of CIFAR-10: {_files('')}, or {_files('.bin')}"
    )


def _files(ending: str) -> str:
    return f"data_batch_1{ending} to data_batch_5{ending} and test_batch{ending}"


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}") from error


def _refuse(file: Path, why: str) -> NoReturn:
    raise ValueError(f"{file} {why}; unpack CIFAR-10 once more")


def _of_records(file: Path, checked: bool) -> tuple[Pixels, Labels]:
    """Of records of a class and 3072 pixels, a byte each."""
    content = np.frombuffer(_content(file), dtype=np.uint8)
    size = _PIXELS + 1
    if content.size == 0 or content.size % size or (checked and content.size != _IMAGES * size):
        _refuse(file, f"has {content.size} bytes in place of {_IMAGES * size}")
    rows = content.reshape(-1, size)
    return rows[:, 1:], _classes(file, rows[:, 0])


def _of_pickle(file: Path, checked: bool) -> tuple[Pixels, Labels]:
    content = _content(file)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if checked and digest != CHECKSUMS[file.name]:
        _refuse(
            file,
            f"is not the published one: MD5 {digest} in place of {CHECKSUMS[file.name]} "
            "(cifar10-unchecked:FOLDER reads it all the same)",
        )
    try:
        found = _Arrays(io.BytesIO(content), encoding="bytes").load()
        plain = {_text(key): value for key, value in dict(found).items()}
        pixels, labels = np.asarray(plain["data"]), np.asarray(plain["labels"])
    except Exception as error:  # what a spoilt pickle raises is anything
        _refuse(file, f"is no batch of CIFAR-10 ({' '.join(str(error).split()) or 'cut short'})")
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        _refuse(file, f"has data of shape {pixels.shape} and kind {pixels.dtype}, not (n, 3072)")
    if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu" or not labels.size:
        _refuse(file, f"has not one whole number in labels for each of {len(pixels)} images")
    return pixels, _classes(file, labels)


def _classes(file: Path, labels: NDArray[Any]) -> Labels:
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        wrong = labels[(labels < 0) | (labels >= len(CLASSES))][0]
        _refuse(file, f"has the label {wrong}, which is not one of 0 to {len(CLASSES) - 1}")
    return labels.astype(np.int64)


def _text(key: Any) -> str:
    return key.decode("ascii") if isinstance(key, bytes) else str(key)


def _kind(name: Any, *_: Any) -> np.dtype[Any]:
    """A kind of numbers; the flags that old files give with it are warned of by new numpy."""
    kind = np.dtype(_text(name))
    if kind.kind not in "iu":
        raise pickle.UnpicklingError(f"numbers of kind {kind}")
    return kind


_REBUILD = np.empty(0).__reduce__()[0]
_TAKEN: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy._core.multiarray", "_reconstruct"): _REBUILD,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _kind,
}


class _Arrays(pickle.Unpickler):
    """Unpickles arrays of whole numbers, lists, texts and numbers, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for."""
        if (module, name) not in _TAKEN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _TAKEN[module, name]
