"""Random numbers from a generator, on its device."""

from collections.abc import Sequence

import torch
from torch import Tensor


def standard_normal(
    shape: Sequence[int],
    generator: torch.Generator,
) -> Tensor:
    """Draws of N(0, 1)."""
    return torch.randn(shape, generator=generator, device=generator.device)


def uniform(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draws of U[0, 1)."""
    return torch.rand(shape, generator=generator, device=generator.device)
