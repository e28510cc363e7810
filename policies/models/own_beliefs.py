"""Parts of ``maesn``: beliefs of training tasks as a function of their parameters, and noise.

Axes: H steps, n tasks, p task parameters, l latent.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from policies.method import Problem, Transition
from policies.models.task_scale import TaskScale
from policies.nn.networks import mlp


class OwnBeliefs(nn.Module):
    """A belief N(μ, σ²) for every task; before any learning it is the prior N(0, I)."""

    def __init__(
        self,
        problem: Problem,
        hidden: tuple[int, ...],
        latent_dim: int,
        generator: torch.Generator,
    ) -> None:
        """``hidden`` are the widths of the layers, ``latent_dim`` is l."""
        super().__init__()
        self.scaled = TaskScale(problem, range(problem.task_dim), generator.device)
        sizes = [problem.task_dim, *hidden, 2 * latent_dim]
        self.network = mlp(sizes, generator)
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, task: Tensor) -> Tensor:
        """μ and log σ side by side, (n, 2l), of tasks (n, p) in SI units."""
        belief: Tensor = self.network(self.scaled(task))
        return belief


def with_noise(ticks: Transition, noise: Tensor) -> Transition:
    """Ticks (..., H, n, k) with their episode's noise (..., n, l) beside the observations."""
    wide = noise.unsqueeze(-3).expand(*ticks.reward.shape, -1)
    return replace(ticks, obs=torch.cat([ticks.obs, wide], -1))
