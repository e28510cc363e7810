"""An adapter beside any policy: with it an unknown plant moves as the nominal one would.

It consists of three networks. A GRU reads what was commanded and how the plant moved. An *inverse
model* of all plants gives the action that moves a plant of known parameters as observed; with the
nominal parameters it gives the action that the nominal plant would have needed. The *residual* is
what has to be added to a command, under the GRU's state, so that the present plant does what the
nominal one would do under that command.

Every recorded tick is an example of this in hindsight: the plant moved, which the nominal plant
would have done under the inverse model's command, and the action that was really applied is the
command plus the residual.

Axes: b trials, L ticks of a trial, o observation, a action, h memory, p parameters of the plant.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policies.method import Problem, Transition
from policies.models.particles import physics_columns
from policies.models.task_scale import TaskScale
from policies.nn.memory import GruMemory
from policies.nn.networks import mlp
from policies.nn.normalizer import RunningNormalizer

# share of half a range by which samples may miss its end: the ranges are those of samples
SAMPLED = 0.01


class Plant:
    """The task parameters that physics depend on, scaled to [-1, 1] by their ranges.

    A parameter is nominally 1 if its range contains 1, as that of a factor (a gain, a friction's
    scale) does; otherwise it is in the middle of its range. A constant one is what it always is.
    """

    def __init__(self, problem: Problem, device: torch.device) -> None:
        """Scale by the ranges that the problem declares."""
        columns = physics_columns(problem.task_names)
        self.scaled = TaskScale(problem, columns, device)  # tasks in SI units to (..., p)
        one = self.scaled.scale(torch.ones(len(columns), device=device))
        is_factor = one.abs() <= 1 + SAMPLED
        nominal = torch.where(is_factor, one.clamp(-1, 1), 0.0)
        constant = [problem.task_low[i] == problem.task_high[i] for i in columns]
        is_constant = torch.tensor(constant, dtype=torch.bool, device=device)
        self.nominal = nominal.masked_fill(is_constant, -1.0)  # (p,)

    def __len__(self) -> int:
        """Number of parameters, p."""
        return len(self.scaled)


def last_actions(t: Transition) -> Tensor:
    """The action applied at the tick before, of trials (b, L, ...); 0 where an episode begins."""
    first = torch.zeros_like(t.applied[:, :1])
    before = torch.cat([first, t.applied[:, :-1]], 1)
    continues = (~t.begins)[..., None]
    return before * continues


class TorqueAdapter(nn.Module):
    """The three networks, and the statistics of their inputs."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        plant_dim: int,
        memory_size: int,
        hidden: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device.

        ``memory_size`` is h, ``hidden`` the layer widths of the inverse model and the residual, and
        ``plant_dim`` is p.
        """
        super().__init__()
        self.obs_norm = RunningNormalizer(obs_dim, generator.device)
        self.delta_norm = RunningNormalizer(obs_dim, generator.device)
        self.memory = GruMemory(2 * obs_dim + action_dim, memory_size, generator)
        state = obs_dim + action_dim  # observation and last action
        self.inverse = mlp([state + obs_dim + plant_dim, *hidden, action_dim], generator)
        self.residual = mlp([memory_size + state + action_dim, *hidden, action_dim], generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics; nothing else changes them."""
        self.obs_norm.update(t.obs)
        self.delta_norm.update(t.next_obs - t.obs)

    def rows(self, t: Transition) -> Tensor:
        """What the memory reads of ticks (...): observation, action and change, (..., 2o + a)."""
        change = self.delta_norm(t.next_obs - t.obs)
        return torch.cat([self.obs_norm(t.obs), t.applied, change], -1)

    def nominal_command(self, t: Transition, last: Tensor, plant: Tensor) -> Tensor:
        """The action with which a plant makes the motion of ticks (...).

        Args:
            t: ticks, of any plant.
            last: (..., a) the actions before.
            plant: (..., p) the parameters of the plant that is to make the same motion.

        Returns:
            Actions (..., a), which may lie outside of [-1, 1].
        """
        change = self.delta_norm(t.next_obs - t.obs)
        action: Tensor = self.inverse(torch.cat([self.obs_norm(t.obs), last, change, plant], -1))
        return action

    def adapted_command(self, hidden: Tensor, obs: Tensor, last: Tensor, command: Tensor) -> Tensor:
        """Commands (..., a) with the residual for the plant that memories (..., h) have read."""
        x = torch.cat([hidden, self.obs_norm(obs), last, command], -1)
        action: Tensor = command + self.residual(x)
        return action

    def losses(
        self, t: Transition, mask: Tensor, plant: Tensor, nominal: Tensor
    ) -> dict[str, Tensor]:
        """Mean squared errors of actions: of the inverse model, and of commands with a residual.

        The second one trains memory and residual alone.

        Args:
            t: trials (b, L, ...) in time order.
            mask: (b, L) bool, which transitions exist.
            plant: (b, p) the true parameters.
            nominal: (p,) those of the nominal plant.
        """
        mask = mask.clone()
        mask[:, 0] &= t.begins[:, 0]  # what was applied before a segment's first tick is unknown
        last = last_actions(t)
        known = plant[:, None].expand(-1, mask.shape[1], -1)
        inverse_error = self.nominal_command(t, last, known) - t.applied
        with torch.no_grad():
            command = self.nominal_command(t, last, nominal.expand_as(known))

        before = self.memory.scan_before(self.rows(t).transpose(0, 1))
        before = before.transpose(0, 1)  # (b, L, h)
        error = self.adapted_command(before, t.obs, last, command) - t.applied
        weight = mask / mask.sum()
        return {
            "inverse": (inverse_error.square().mean(-1) * weight).sum(),
            "residual": (error.square().mean(-1) * weight).sum(),
        }
