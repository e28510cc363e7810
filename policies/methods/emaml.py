"""E-MAML (Stadie et al. 2018): MAML that also learns to collect useful data for the inner step.

The parameters after an inner step depend on the meta-learned ones in two ways: through the step on
given data, and through which data are collected. MAML differentiates the first. E-MAML adds the
second by the score function: the log-likelihood of the actions of an episode before a step is
weighted with the return of the episodes after it, so that exploration is rewarded for what it makes
possible later.

Acting, the clipped objective of the episodes after a step, and the resulting differences from the
published code are those of ``maml``. The inner step has another derivative, that of
log π · advantage for given data, as published. The credit accounts for how the step changes the
data; the likelihood ratio of ``maml`` would count that twice. Further differences:

- The episodes before every step get credit, with a trial of one step as published the first one.
- The credit is a likelihood ratio, clipped as in PPO, because several gradient steps use the same
  trials; its first gradient is the same. The published code has one step, within a trust region.
- The credit is the return of all later episodes, standardized over the tasks; the published code
  has the mean reward, standardized over all ticks of all tasks.

Axes: E episodes, H steps, n worlds, P parameters of a policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from policies.method import Transition
from policies.methods.maml import Maml, MamlConfig, OuterBatch
from policies.ranges import NonNegative
from policies.rl import ppo


@dataclass(frozen=True)
class EmamlConfig(MamlConfig):
    """MAML's settings and that of the credit."""

    credit_weight: NonNegative = 1.0  # weight of the credit for what later episodes gain (E-MAML)


class Emaml(Maml):
    """Acts and adapts as ``Maml``; exploration is rewarded by the return of later episodes."""

    Config = EmamlConfig
    config: EmamlConfig

    def inner_weight(self, log_ratio: Tensor) -> Tensor:
        """Log-likelihoods (H, n) up to a constant: the derivatives are those for given data."""
        return log_ratio

    def losses(self, batch: OuterBatch) -> dict[str, Tensor]:
        """The clipped surrogate of the episodes after a step, minus the credit of those before."""
        thetas = self.episode_parameters(batch)
        losses = self.outer_losses(batch, thetas)
        credit = self.credit(batch, thetas)
        outer = losses["outer"] - self.config.credit_weight * credit
        return {**losses, "outer": outer, "credit": credit}

    def credit(self, batch: OuterBatch, thetas: Sequence[Tensor]) -> Tensor:
        """PPO's objective of the episodes before a step with later returns as advantages."""
        returns = self.later_returns(batch.ticks)
        objectives = []
        for e, theta in enumerate(thetas[:-1]):
            valid = batch.ticks.valid[e]
            log_ratio = self.log_ratio(theta, batch.ticks[e], batch.log_prob[e])
            loss = ppo.surrogate(log_ratio, returns[e], self.config.clip_ratio)
            mean_loss = ppo.masked_mean(loss, valid)
            objectives.append(-mean_loss)
        return torch.stack(objectives).sum()

    def later_returns(self, ticks: Transition) -> Tensor:
        """Returns after each episode but the last, (E - 1, n), standardized over the n tasks."""
        reward = ticks.reward.where(ticks.valid, 0.0)
        episode_returns = reward.sum(1)  # (E, n)
        from_here_on = episode_returns.flip(0).cumsum(0).flip(0)
        later = from_here_on[1:]
        every = torch.ones_like(later, dtype=torch.bool)
        return ppo.standardized(later, every, 1)
