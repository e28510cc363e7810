"""A stand-in for a GPU: computed on the CPU, but its tensors refuse to meet those of the CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

FARAWAY = torch.device("meta")  # every build of torch knows it, and no tensor of ours is on it
COPY_TO = torch.ops.aten._to_copy.default
COPY_INTO = torch.ops.aten.copy_.default
MOVES = (COPY_TO, COPY_INTO)  # the operations that may read tensors of both devices


class Far(Tensor):
    """A tensor on the device; ``held`` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls: type["Far"], held: Tensor) -> "Far":
        make: Any = Tensor._make_wrapper_subclass  # type: ignore[attr-defined]
        far: Far = make(cls, held.shape, strides=held.stride(), dtype=held.dtype, device=FARAWAY)
        far.held = held
        return far

    def __repr__(self, **_: Any) -> str:
        return f"Far({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Compute(TorchDispatchMode):
    """Computes everything that concerns the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _FromLists(TorchFunctionMode):
    """Puts tensors of Python lists on the device; torch would make them on "meta", without data."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and kwargs.get("device") == FARAWAY:
            del kwargs["device"]
            return torch.tensor(*args, **kwargs).to(FARAWAY)
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            tensor, index, *value = args
            parts = index if isinstance(index, tuple) else (index,)
            lists_on_device = tuple(_on_device(part, tensor.device) for part in parts)
            args = (tensor, lists_on_device, *value)
        return func(*args, **kwargs)


def _on_device(index: Any, device: torch.device) -> Any:
    return torch.tensor(index).to(device) if isinstance(index, list) else index


@contextmanager
def present() -> Iterator[None]:
    """A context in which the device exists, in this thread."""
    with _FromLists(), _Compute():
        yield


def with_device(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function with the device present, in whatever thread it runs."""

    @wraps(function)
    def call(*args: Any) -> Any:
        with present():
            return function(*args)

    return call


class Stream(torch.Generator):
    """Random numbers for the device; they are those of the CPU."""

    def __new__(cls, device: object) -> "Stream":
        return super().__new__(cls, "cpu")

    def __init__(self, device: torch.device) -> None:
        self._device = torch.device(device)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._device


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The same operation on the numbers; its result is where the inputs are, or where it is asked.

    Like a GPU it takes a CPU tensor beside its own only where that is a scalar.
    """
    tensors: list[Tensor] = []
    tree_map_only(Tensor, tensors.append, (args, kwargs))
    is_far = [isinstance(x, Far) for x in tensors]
    near_arrays = [x for x in tensors if x.dim() > 0 and not isinstance(x, Far)]
    if func not in MOVES and any(is_far) and near_arrays:
        raise RuntimeError(f"{func}: tensors on two devices")
    device = kwargs.get("device")
    if device is not None:
        result_is_far = device == FARAWAY
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif func is COPY_INTO:
        result_is_far = is_far[0]
    else:
        result_is_far = any(is_far)
    args, kwargs = tree_map_only(Far, lambda x: x.held, (args, kwargs))
    result = func(*args, **kwargs)
    if not result_is_far:
        return result
    with torch.inference_mode(False):  # a view may not be an inference tensor of one that is not
        return tree_map_only(Tensor, Far, result)
