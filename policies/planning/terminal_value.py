"""The value of a plan's last state, and a policy that proposes plans, learned from data.

A search of a few steps ignores the value of its last state, and one of many steps accumulates the
model's errors. The return of a plan therefore ends with a learned value, and the policy's own
actions are one of the candidates (POLO, Lowrey et al. 2019; LOOP, Sikchi et al. 2021). Value and
policy do not depend on the task. Axes as in ``policies.planning.mpc``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from policies.rl.sac import q_values
from policies.rl.sac_learner import SacLearner

# From (n, o) along candidates (n, P, H, a): states (H + 1, m, n, P, o) and rewards (H, m, n, P, r).
Imagine = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class TerminalValue(SacLearner):
    """Soft actor-critic on the replay of the method that plans; the policy acts by its mean."""

    saved_attributes = ("net", "optimizer", "generator")  # the method saves the replay

    @torch.no_grad()
    def value(self, obs: Tensor) -> Tensor:
        """Discounted return from observations (..., o) on, (...,): the lower of two critics."""
        rows = obs.flatten(0, -2)
        x = self.obs_norm(rows)
        action = self.sac.act(x, None)
        q = q_values(self.sac.target_critic, x, action).amin(0)
        value = q / self.config.reward_scale
        return value.view(obs.shape[:-1])

    @torch.no_grad()
    def propose(
        self,
        obs: Tensor,
        steps: int,
        imagine: Imagine,
    ) -> Tensor:
        """The policy's actions from (n, o) on, (n, H, a), along the mean of the hypotheses."""
        actions = []
        for _ in range(steps):
            action = self.sac.act(self.obs_norm(obs), None)
            candidate = action[:, None, None]  # (n, P = 1, H = 1, a)
            states, _ = imagine(obs, candidate)  # (2, m, n, 1, o)
            obs = states[1].mean(0)[:, 0]
            actions.append(action)
        return torch.stack(actions, 1)
