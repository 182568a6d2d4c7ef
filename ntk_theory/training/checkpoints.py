"""Training that survives being killed: finished runs are kept, and unfinished ones now and then.

Everything that a run depends on goes into its name, so what is found under it is what the run would
have computed again: on the same machine and with as many threads, to the last bit.
"""

from __future__ import annotations

__all__ = ["Checkpoints", "checkpointed", "current", "name_of"]

import hashlib
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntk_theory.machine.atomic import write_whole

_MANIFEST = "manifest.json"
_DIGEST_BYTES = 32

_warned: set[Path] = set()
"""Folders of which it was said that they cannot be written to."""

_current: ContextVar[Checkpoints | None] = ContextVar("checkpoints", default=None)


def current() -> Checkpoints | None:
    """Where training saves its state, or None."""
    return _current.get()


@contextmanager
def checkpointed(checkpoints: Checkpoints | None) -> Iterator[None]:
    """Let every training inside this context save its state, and take up what is there."""
    token = _current.set(checkpoints)
    try:
        yield
    finally:
        _current.reset(token)


@dataclass(frozen=True)
class Checkpoints:
    """A folder with the states of training runs.

    Attributes:
        directory: of this configuration alone.
        interval: seconds between two states of an unfinished run.
        clock: time in seconds.
    """

    directory: Path
    interval: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def open(
        cls, directory: Path, configuration: Mapping[str, Any], interval: float
    ) -> Checkpoints:
        """Use a folder, new or of the same configuration.

        Args:
            directory: made if it is not there.
            configuration: JSON values that results depend on: options, versions, threads.
            interval: seconds between two states of an unfinished run.

        Raises:
            ValueError: for a folder of another configuration, or one that holds something else.
        """
        directory.mkdir(parents=True, exist_ok=True)
        manifest = directory / _MANIFEST
        written = json.dumps(configuration, indent=2, sort_keys=True) + "\n"
        if manifest.exists():
            _compare(manifest, json.loads(written))
        elif any(not entry.name.startswith(".") for entry in directory.iterdir()):
            raise ValueError(
                f"{directory} holds files but no {_MANIFEST}, so they are no checkpoints; name an "
                "empty or new folder"
            )
        else:
            write_whole(manifest, written)
        return cls(directory, interval)

    def load(self, name: str) -> dict[str, Any] | None:
        """State under a name, or None if there is none, or none that is whole and can be read."""
        try:
            raw = (self.directory / f"{name}.state").read_bytes()
        except OSError:
            return None
        digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(body), weights_only=True)
        return state

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Replace the state under a name, at once or not at all.

        A run does not need its checkpoints: where one cannot be written, a `RuntimeWarning` says so
        once, and the run goes on.
        """
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        body = buffer.getvalue()
        try:
            write_whole(self.directory / f"{name}.state", hashlib.sha256(body).digest() + body)
        except OSError as error:
            self._warn(error)

    def _warn(self, error: OSError) -> None:
        if self.directory in _warned:
            return
        _warned.add(self.directory)
        warnings.warn(
            f"no checkpoint can be written to {self.directory} ({error.strerror}); the run goes on "
            "without, and could not be taken up again",
            RuntimeWarning,
            stacklevel=3,
        )


def _compare(manifest: Path, configuration: Mapping[str, Any]) -> None:
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{manifest} is no JSON; name an empty or new folder") from None
    keys = [*configuration, *(key for key in found if key not in configuration)]
    other = [key for key in keys if found.get(key) != configuration.get(key)]
    if other:
        listed = "; ".join(
            f"{key}: {found.get(key)} there, {configuration.get(key)} now" for key in other
        )
        raise ValueError(
            f"the checkpoints in {manifest.parent} are of another run ({listed}); name another "
            "folder, or run with what they were made with"
        )


def name_of(arrays: Mapping[str, Tensor | np.ndarray[Any, Any]], values: Mapping[str, Any]) -> str:
    """Name of a run: a digest of all that it depends on.

    Args:
        arrays: by name.
        values: whose `repr` tells them apart, by name.
    """
    digest = hashlib.sha256()
    for name, array in arrays.items():
        plain = array.cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
        digest.update(f"{name}{plain.dtype}{plain.shape}".encode())
        digest.update(np.ascontiguousarray(plain).data)
    digest.update(repr(sorted(values.items())).encode())
    return digest.hexdigest()[:32]
