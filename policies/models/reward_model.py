"""Rewards under a latent task z: an ensemble of networks over whole transitions.

A family's reward is a function of the observation, the action, the next observation and the task.
The networks read all of these, as the decoder of VariBAD does (Zintgraf et al. 2020). A prediction
from observation and action alone would include the error of the predicted dynamics, and rewards
would be less informative about z.

Axes: m members, b rows, H steps, o observation, a action, l latent.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from policies.method import Transition
from policies.nn.networks import Ensemble
from policies.nn.normalizer import RunningNormalizer


class RewardModel(nn.Module):
    """The networks, and the statistics of their inputs and outputs."""

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        latent_dim: int,
        members: int,
        hidden: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        """Draw the weights with the generator, on its device."""
        super().__init__()
        device = generator.device
        self.obs_norm = RunningNormalizer(obs_dim, device)
        self.change_norm = RunningNormalizer(obs_dim, device)
        self.reward_norm = RunningNormalizer(1, device)
        inputs = 2 * obs_dim + action_dim + latent_dim
        self.ensemble = Ensemble(members, [inputs, *hidden, 1], generator)

    def update(self, t: Transition) -> None:
        """Add transitions (b, ...) to the statistics."""
        self.obs_norm.update(t.obs)
        self.change_norm.update(t.next_obs - t.obs)
        self.reward_norm.update(t.reward[:, None])

    def forward(self, obs: Tensor, applied: Tensor, next_obs: Tensor, z: Tensor) -> Tensor:
        """Each member's reward (m, b, 1) of transitions (m, b, ...) under z (m, b, l)."""
        change = self.change_norm(next_obs - obs)
        x = torch.cat([self.obs_norm(obs), applied, change, z], -1)
        reward: Tensor = self.reward_norm.inverse(self.ensemble(x))
        return reward

    def normalized_error(self, t: Transition, z: Tensor) -> Tensor:
        """Errors (m, b, 1) of the rewards of transitions (m, b, ...), in standard deviations."""
        error: Tensor = t.reward[..., None] - self(t.obs, t.applied, t.next_obs, z)
        return error * self.reward_norm.inv_std

    def along(self, states: Tensor, actions: Tensor, z: Tensor) -> Tensor:
        """Rewards (H, m, b, 1) along states (H + 1, m, b, o) and actions (H, b, a)."""
        rewards = []
        for step, action in enumerate(actions):
            applied = action.expand(len(z), -1, -1)
            rewards.append(self(states[step], applied, states[step + 1], z))
        return torch.stack(rewards)
