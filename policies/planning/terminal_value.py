"""What comes after a plan: a policy that is told nothing of the task and its value, learnt from what planners did.

A search of a few steps in a learnt model does not see what its last state is worth, and one of many steps trusts the
model too far. So it ends with a learnt value, and what the policy would do is one of its candidates (POLO, Lowrey et
al. 2019; LOOP, Sikchi et al. 2021). Axes as in ``policies.planning.mpc``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from policies.method import Problem
from policies.rl.replay import Replay
from policies.rl.sac import SacConfig, SacLearner


class TerminalValue(SacLearner):
    """Soft actor-critic without a condition, from the replay of the method that plans; it acts by its mean."""

    saved_attributes = ("net", "optimizer", "generator")  # the replay is the method's to keep

    def __init__(self, problem: Problem, config: SacConfig, seed: int, replay: Replay) -> None:
        super().__init__(problem, 0, lambda task: task[:, :0], config, seed, replay)

    @torch.no_grad()
    def value(self, obs: Tensor) -> Tensor:
        """Discounted reward from observations (..., o) on, (...,), as the less hopeful critic sees it."""
        x = self.obs(obs.flatten(0, -2))
        q = self.sac.target(torch.cat([x, self._action(x)], -1)).squeeze(-1).amin(0)
        return (q / self.config.reward_scale).view(obs.shape[:-1])

    @torch.no_grad()
    def plan(
        self, obs: Tensor, steps: int, imagine: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    ) -> Tensor:
        """What the policy would do from (n, o) on, (n, H, a), where the hypotheses' mean leads it."""
        actions = []
        for _ in range(steps):
            actions.append(self._action(self.obs(obs)))
            states, _ = imagine(obs, actions[-1][:, None, None])  # (2, m, n, 1, o)
            obs = states[1].mean(0)[:, 0]
        return torch.stack(actions, 1)

    def _action(self, x: Tensor) -> Tensor:
        return self.sac.act(x, x[:, :0], None)
