"""Running mean and standard deviation of what a network reads."""

import torch
from torch import Tensor, nn


class RunningNormalizer(nn.Module):
    """Columns (..., k) brought to mean 0 and standard deviation 1; the statistics are part of the state.

    They move only in ``update``, so that between two lessons the same input gives the same output.
    """

    count: Tensor
    mean: Tensor
    square: Tensor
    shift: Tensor
    scale: Tensor

    def __init__(self, columns: int, bound: float = 10.0) -> None:
        super().__init__()
        self.bound = bound  # standard deviations, beyond which inputs are clipped
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(columns, dtype=torch.float64))
        self.register_buffer("square", torch.zeros(columns, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(columns))
        self.register_buffer("scale", torch.ones(columns))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Add rows (b, k), by the pairwise formula of Chan, Golub and LeVeque (1983)."""
        if len(x) == 0:
            return
        x = x.double()
        total = self.count + len(x)
        delta = x.mean(0) - self.mean
        self.square += (x - x.mean(0)).square().sum(0) + delta.square() * self.count * len(
            x
        ) / total
        self.mean += delta * len(x) / total
        self.count.copy_(total)
        deviation = (self.square / total).sqrt()
        self.shift.copy_(self.mean)
        self.scale.copy_(
            torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)).reciprocal()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Normalised and clipped, same shape."""
        return ((x - self.shift) * self.scale).clamp(-self.bound, self.bound)
