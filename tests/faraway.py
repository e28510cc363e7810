"""A device that is not there: computed on the CPU, but what is on it and what is not may not meet, as with a GPU."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

FARAWAY = torch.device("meta")  # every build of torch knows it, and no tensor of ours is ever on it
MOVES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class Far(Tensor):
    """A tensor on the device; ``held`` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "Far":
        make: Any = Tensor._make_wrapper_subclass  # type: ignore[attr-defined]
        far: Far = make(cls, held.shape, strides=held.stride(), dtype=held.dtype, device=FARAWAY)
        far.held = held
        return far

    def __repr__(self, **_: Any) -> str:
        return f"Far({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class There(TorchDispatchMode):
    """A context in which the device is there, in this thread."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def within(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, in whatever thread, with the device there."""

    @wraps(function)
    def call(*args: Any) -> Any:
        with There():
            return function(*args)

    return call


class Stream(torch.Generator):
    """Random numbers for it; they are the CPU's."""

    def __new__(cls, device: object) -> "Stream":
        return super().__new__(cls, "cpu")


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The same operation on the numbers; what comes out is where its tensors are, or where it is asked to be."""
    tensors: list[Tensor] = []
    tree_map_only(Tensor, tensors.append, (args, kwargs))
    away = [isinstance(x, Far) for x in tensors]
    if (
        func not in MOVES
        and any(away)
        and any(x.dim() and not far for x, far in zip(tensors, away, strict=True))
    ):
        raise RuntimeError(f"{func}: tensors on two devices")
    asked = kwargs.get("device")
    leaves = (
        (any(away[:1]) if func is MOVES[1] else any(away)) if asked is None else asked == FARAWAY
    )
    here = {} if asked is None else {"device": torch.device("cpu")}
    args, kwargs = tree_map_only(Far, lambda x: x.held, (args, kwargs | here))
    out = func(*args, **kwargs)
    with torch.inference_mode(False):  # a view may not be an inference tensor of one that is not
        return tree_map_only(Tensor, Far, out) if leaves else out
