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
    """A stream on the CPU that depends on its key alone, and on no draw before.

    NumPy's ``SeedSequence`` mixes the numbers, none of which may be negative, so that keys that
    differ in one number have unrelated streams.
    """
    mixed = np.random.SeedSequence(key).generate_state(1)
    return torch.Generator().manual_seed(int(mixed[0]))
