"""Checks that all numbers of a method's state are finite and of a plausible size."""

from typing import Any

import torch
from torch import Tensor

from policies.belief import named_tensors

# Beyond 1.8e19 the square of a single-precision number is infinite, and networks with such weights
# output no finite numbers. No state of a successful training came near.
LARGEST = 1e18


def unsound_tensors(state: Any) -> list[str]:
    """Paths of the tensors of a state that hold NaN, infinity, or a number too large to square."""
    tensors = {}
    for path, tensor in named_tensors(state).items():
        if tensor.is_floating_point() and tensor.numel() > 0:
            tensors[path] = tensor
    if not tensors:
        return []
    largest = torch.stack([_largest(tensor) for tensor in tensors.values()])
    is_sound = largest <= LARGEST  # False for NaN
    return [path for path, sound in zip(tensors, is_sound.tolist(), strict=True) if not sound]


def _largest(tensor: Tensor) -> Tensor:
    """The largest magnitude, a scalar in double precision; NaN if any number is."""
    return tensor.detach().abs().amax().double()
