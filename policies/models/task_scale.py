"""Task parameters, scaled by their ranges for a network that reads them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from policies.method import Problem


class TaskScale:
    """Scales some of the p task parameters to [-1, 1]; k is their number."""

    def __init__(self, problem: Problem, columns: Sequence[int], device: torch.device) -> None:
        """Scale the parameters in these columns by the ranges that the problem declares.

        A constant parameter is scaled to -1.
        """
        self.columns = torch.tensor(columns, dtype=torch.int64, device=device)
        low, high = problem.task_range(self.columns)
        self._center = (high + low) / 2
        self._half_range = (high - low) / 2

    def __len__(self) -> int:
        """Number of parameters, k."""
        return len(self.columns)

    def __call__(self, task: Tensor) -> Tensor:
        """Parameters (..., k) in [-1, 1] of tasks (..., p) in SI units."""
        return self.scale(task[..., self.columns])

    def scale(self, value: Tensor) -> Tensor:
        """Values (..., k) in SI units, each scaled by the range of its parameter."""
        return (value - self._center) / self._half_range
