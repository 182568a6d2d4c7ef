"""A pretended GPU: its tensors compute on the processor, and refuse what a GPU refuses.

Inside `pretended_gpu` what is made on `DEVICE` or moved to it is an `OnGPU`, which holds a tensor
of the processor and does with it what is asked for. So code that is written for any device runs
where there is none but the processor, and fails where it would fail on a GPU: at operands of two
devices, at numpy arrays of what is not in the processor's memory, at indices and random generators
of the processor, at products of whole numbers, which a GPU does not have. What is late, wrong or
out of memory on a GPU alone is not found.
"""

from contextlib import contextmanager, nullcontext
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ntk_theory import arguments
from ntk_theory.checking import nets as experiments

DEVICE = "lazy"
"""Its name: one that torch knows without a driver. A build without CUDA refuses to say "cuda"."""

_BETWEEN = {"_to_copy", "copy_"}
"""Operations that go from one device to another."""

_INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
"""Operations whose indices may lie on the processor."""

_PRODUCTS = {"mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_", "mv", "addmv", "dot", "matmul"}
"""Operations that a GPU has for floating-point numbers alone."""


class OnGPU(torch.Tensor):
    """A tensor of the pretended GPU.

    Attributes:
        held: its numbers, on the processor.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    def __repr__(self, **_):
        return f"OnGPU({self.held})"

    def numpy(self, **_):
        raise TypeError(
            "can't convert a tensor of the device to numpy; use Tensor.cpu() to copy it to host "
            "memory first"
        )

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


class Pretending(TorchDispatchMode):
    """Lets the name of the device reach `computed`."""

    def __init__(self):
        super().__init__()
        self.before = []

    def __enter__(self):
        # `torch.tensor` is to move what it has made by an operation that is seen here.
        self.before.append(torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        torch._C._set_only_lift_cpu_tensors(self.before.pop())

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {}, self)


class _ThisThread:
    """A pool of threads that has none: what is pretended is pretended in one thread."""

    def __init__(self, *_, **__):
        self.map = map

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@contextmanager
def pretended_gpu():
    """Have the pretended GPU, and let the package take its name for that of a device."""
    with (
        mock.patch.object(arguments, "device", lambda name, value: torch.device(value)),
        mock.patch.object(experiments, "ThreadPoolExecutor", _ThisThread),
        Pretending(),
    ):
        yield


def computed(operation, args, kwargs, mode=None):
    """What the pretended GPU, or the processor, makes of an operation."""
    where = kwargs.get("device")
    there = where is not None and torch.device(where).type == DEVICE
    flat = list(_flat((args, tuple(kwargs.values()))))
    if not there and not any(isinstance(part, OnGPU) for part in flat):
        return operation(*args, **kwargs)
    if operation._opname == "to":
        # In inference mode it comes here as it is, before it is known whether anything is moved.
        with nullcontext() if mode is None else mode:
            return operation.decompose(*args, **kwargs)
    _refuse(operation, args, kwargs, flat)
    if operation is torch.ops.aten.copy_.default and _same_memory(*args[:2]):
        return args[0]
    if where is not None:
        kwargs = {**kwargs, "device": "cpu"}
    made = operation(*_mapped(_held, args), **_mapped(_held, kwargs))
    if where is not None and not there:
        return made
    known = {id(_held(part)): part for part in flat if isinstance(part, torch.Tensor)}

    def shown(part):
        if not isinstance(part, torch.Tensor):
            return part
        return known[id(part)] if id(part) in known else OnGPU(part)

    # A view of a tensor that was made outside of inference mode is to be no inference tensor.
    with torch.inference_mode(False):
        return _mapped(shown, made)


def _flat(parts):
    """Everything in tuples and lists."""
    for part in parts:
        if isinstance(part, list | tuple):
            yield from _flat(part)
        else:
            yield part


def _mapped(function, parts):
    """A function of everything in tuples, lists and dictionaries."""
    if isinstance(parts, dict):
        return {name: _mapped(function, part) for name, part in parts.items()}
    if isinstance(parts, list | tuple):
        return [_mapped(function, part) for part in parts]
    return function(parts)


def _held(part):
    return part.held if isinstance(part, OnGPU) else part


def _on_processor(part):
    return isinstance(part, torch.Tensor) and not isinstance(part, OnGPU)


def _refuse(operation, args, kwargs, flat):
    """Raise what a GPU would."""
    name = operation._opname
    if kwargs.get("generator") is not None:
        raise RuntimeError("Expected a generator of the device but found one of the 'cpu'")
    if name in _PRODUCTS and not flat[0].is_floating_point():
        raise RuntimeError(f"{name} not implemented for {flat[0].dtype} on a GPU")
    if name in _BETWEEN:
        return
    if name in _INDEXED and isinstance(args[0], OnGPU):
        flat = _flat((args[0], args[2:], tuple(kwargs.values())))
    far = [part for part in flat if _on_processor(part)]
    if not far:
        return
    written = [kwargs.get("out")] + [
        value
        for argument, value in zip(operation._schema.arguments, args, strict=False)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    # A single number of the processor is taken along where every element is worked on alone.
    taken = torch.Tag.pointwise in operation.tags or name in _INDEXED
    for part in far:
        if part.ndim or not taken or any(part is value for value in written):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{DEVICE} and cpu: {name} of {tuple(part.shape)}"
            )


def _same_memory(left, right):
    """Whether a product has put its result where it belongs, through a view that torch cannot tell.

    Tensors that are made up have no memory of their own to share.
    """
    held = _held(left), _held(right)
    return (
        held[0].data_ptr() == held[1].data_ptr()
        and held[0].numel() == held[1].numel()
        and all(part.is_contiguous() for part in held)
    )
