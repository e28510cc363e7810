"""Running mean and standard deviation of a network's inputs or outputs."""

import torch
from torch import Tensor, nn

MIN_STD = 1e-6  # a column that varies less than this is only centered, not scaled


class RunningNormalizer(nn.Module):
    """Scales columns (..., k) to mean 0 and standard deviation 1, by running statistics.

    Only ``update`` changes the statistics, so between two updates the same input gives the same
    output. They are buffers, and therefore part of the saved state.

    Attributes:
        count: number of rows so far, ().
        running_mean: mean of each column, (k,), float64.
        m2: sum of squared deviations from the mean, (k,), float64.
        mean: ``running_mean`` in single precision, (k,).
        inv_std: one over the standard deviation, (k,); 1 for a constant column.
    """

    count: Tensor
    running_mean: Tensor
    m2: Tensor
    mean: Tensor
    inv_std: Tensor

    bound = 10.0  # standard deviations at which outputs are clipped

    def __init__(self, columns: int, device: torch.device) -> None:
        super().__init__()
        zeros = torch.zeros(columns, dtype=torch.float64, device=device)
        self.register_buffer("count", zeros.new_zeros(()))
        self.register_buffer("running_mean", zeros)
        self.register_buffer("m2", zeros.clone())
        self.register_buffer("mean", torch.zeros(columns, device=device))
        self.register_buffer("inv_std", torch.ones(columns, device=device))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Add rows (b, k) by the pairwise formula of Chan, Golub and LeVeque (1983)."""
        rows = len(x)
        if rows == 0:
            return
        x = x.double()
        batch_mean = x.mean(0)
        batch_m2 = (x - batch_mean).square().sum(0)
        total = self.count + rows
        delta = batch_mean - self.running_mean
        self.m2 += batch_m2 + delta.square() * self.count * rows / total
        self.running_mean += delta * rows / total
        self.count.copy_(total)
        std = (self.m2 / total).sqrt()
        std = torch.where(std > MIN_STD, std, torch.ones_like(std))
        self.mean.copy_(self.running_mean)
        self.inv_std.copy_(std.reciprocal())

    def forward(self, x: Tensor) -> Tensor:
        """Normalized and clipped, same shape."""
        return ((x - self.mean) * self.inv_std).clamp(-self.bound, self.bound)

    def std(self) -> Tensor:
        """Standard deviation of each column, (k,), float64; 0 for a constant column."""
        count = self.count.clamp(min=1)
        variance = self.m2 / count
        return variance.sqrt()

    def inverse(self, x: Tensor) -> Tensor:
        """Values in original units for normalized values that were not clipped, same shape."""
        return x / self.inv_std + self.mean
