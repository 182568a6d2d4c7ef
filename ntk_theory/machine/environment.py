"""What a run ran on: versions, machine, threads, revision."""

from __future__ import annotations

__all__ = ["describe_environment"]

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

import ntk_theory


def _blas() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()


@cache
def _revision() -> str | None:
    """Commit of the source tree, with "+changes" if it has been edited; None outside git.

    As it was when first asked for: what a run writes into the tree does not edit it.
    """
    try:
        # An installed copy may lie in somebody else's repository, which does not track it.
        _git("ls-files", "--error-unmatch", Path(__file__).name)
        return _git("describe", "--always", "--dirty=+changes", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        encoding="utf-8",
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


def describe_environment() -> dict[str, Any]:
    """Versions, platform and thread count, as JSON values."""
    return {
        "ntk_theory": ntk_theory.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "torch": torch.__version__,
        "numba": version("numba") if find_spec("numba") else None,
        "blas": _blas(),
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "git": _revision(),
    }
