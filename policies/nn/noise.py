"""Random numbers from a generator, on its device."""

from collections.abc import Sequence

import numpy as np
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


def keyed_generator(*key: int) -> torch.Generator:
    """A generator on the CPU whose stream depends only on the key.

    NumPy's ``SeedSequence`` mixes the numbers, so that keys that differ in one number give
    unrelated streams. No number may be negative.
    """
    mixed = np.random.SeedSequence(key).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))
