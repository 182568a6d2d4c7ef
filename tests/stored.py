"""Nets of a toy run are trained once, and kept for mutants that change predictions alone."""

import hashlib
import pickle
from contextlib import ExitStack, contextmanager
from functools import wraps
from unittest.mock import patch

from ntk_theory import together, training
from ntk_theory.checking import nets

_MOST = 2**21
"""Numbers of outputs, or of weights, that are kept."""

_kept = {}


@contextmanager
def trainings(claim):
    """Nets of a claim do what they did before, if recipe, width and seeds are the same.

    Those of one claim are kept at a time: all tests of a claim run after one another.
    """
    train, kept = nets._train_group, _kept.get(claim)
    if kept is None:
        _kept.clear()
        kept = _kept[claim] = {}

    def remembered(recipe, width, seeds, dtype, device, progress, keep_network, *rest):
        given = (recipe, width, tuple(seeds), dtype, device, keep_network)
        key = hashlib.sha256(pickle.dumps(given)).hexdigest()
        if key in kept:
            if progress is not None:
                progress.advance(recipe.steps * width * len(seeds))
            return kept[key]
        made = train(recipe, width, seeds, dtype, device, progress, keep_network, *rest)
        weights = made.network.hidden.numel() if keep_network else 0
        if max(made.outputs.size, weights) <= _MOST:
            kept[key] = made
        return made

    def once(function):
        """The same of many small nets at a time, or of kernel limits, whatever their size."""

        @wraps(function)
        def remembering(*args, **kwargs):
            key = hashlib.sha256(pickle.dumps((function.__name__, args, kwargs))).hexdigest()
            if key not in kept:
                kept[key] = made = function(*args, **kwargs)
                for one in made if isinstance(made, list) else [made]:
                    one.flags.writeable = False  # the next one is given the same
            return kept[key]

        return remembering

    with ExitStack() as changes:
        changes.enter_context(patch.object(nets, "_train_group", remembered))
        for module, name in (
            (together, "trained"), (together, "kernel_limits"), (training, "train_kernel_limit")
        ):  # fmt: skip
            changes.enter_context(patch.object(module, name, once(getattr(module, name))))
        yield
