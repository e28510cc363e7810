"""ProMP (Rothfuss et al. 2019): MAML with a penalty on changes of the exploring policy.

The data before an inner step come from the policy at the end of the last iteration. Several outer
gradient steps on the same data change that policy too; the inner step then uses data that the
policy would not have collected. PPO's clipping only bounds the change of the policies after a step.
ProMP therefore adds, for every inner step, the KL divergence from the policy that collected the
data to the present one, with a coefficient that adapts to the divergence.

Acting, the inner step (the likelihood ratio, called low-variance curvature in the paper) and the
clipped objective of the episodes after a step are those of ``maml``, which takes them from ProMP.
So are these differences from the published code: a step on one episode per task instead of twenty,
learned step sizes, and an objective that counts the episodes after every step instead of those
after the last one. Further differences:

- The policy is a clipped Gaussian; its KL is that of the Gaussian before clipping, as published.
- The coefficients adapt to the KL, as is the default of the published class; its script for
  half-cheetah keeps them fixed.
- They stay within ``COEFFICIENTS``, so that none becomes zero permanently, or infinite.

Axes: E episodes, H steps, n worlds, P parameters of a policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from policies.method import Problem
from policies.methods.maml import Maml, MamlConfig, OuterBatch
from policies.ranges import LargeCount, Positive
from policies.rl import clipped_gaussian, ppo

TOLERANCE = 1.5  # factor of the target within which a coefficient stays as it is (ProMP, PPO)
FACTOR = 2.0  # of a coefficient in one iteration (ProMP, PPO)
COEFFICIENTS = (1e-5, 1e2)  # smallest and largest; FACTOR leads from one to the other in 24


@dataclass(frozen=True)
class PrompConfig(MamlConfig):
    """MAML's settings and those of the penalty."""

    inner_kl_target: Positive = 0.01  # [nats] KL of a policy before a step per iteration (ProMP)
    inner_kl_coef: Positive = 5e-4  # first coefficient of each step's KL (ProMP's half-cheetah)
    clip_ratio: Positive = 0.3  # largest change of the likelihood ratio that is rewarded (ProMP)
    gradient_steps: LargeCount = 5  # gradient steps per iteration, each on all trials (ProMP)


class InnerKlPenalty(nn.Module):
    """A coefficient for each inner step, which adapts to the KL of the policy before the step."""

    coefficients: Tensor  # (E - 1,)

    def __init__(self, steps: int, config: PrompConfig, device: torch.device) -> None:
        super().__init__()
        self.target = config.inner_kl_target
        start = torch.full((steps,), config.inner_kl_coef, device=device)
        self.register_buffer("coefficients", start)

    def forward(self, kl: Tensor) -> Tensor:
        """Mean of the weighted KLs of the steps that a trial has, a scalar."""
        return (self.coefficients[: len(kl)] * kl).mean()

    def update(self, kl: Tensor) -> None:
        """Double the coefficients of steps whose KL is too large; halve those whose KL is small."""
        coefficients = self.coefficients[: len(kl)]
        is_small = kl < self.target / TOLERANCE
        is_large = kl > self.target * TOLERANCE
        coefficients[is_small] /= FACTOR
        coefficients[is_large] *= FACTOR
        coefficients.clamp_(*COEFFICIENTS)


class Promp(Maml):
    """Acts and adapts as ``Maml``; its outer objective has the penalty too."""

    Config = PrompConfig
    config: PrompConfig
    saved_attributes = (*Maml.saved_attributes, "penalty")

    def __init__(
        self,
        problem: Problem,
        config: PrompConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        super().__init__(problem, config, seed, device)
        steps = config.schedule.episodes_per_trial - 1
        self.penalty = InnerKlPenalty(steps, config, device)

    def after_steps(self, batch: OuterBatch) -> dict[str, float]:
        """Adapt the coefficients to the KLs that the steps have led to."""
        thetas = self.episode_parameters(batch)
        kl = self.inner_kl(batch, thetas).detach()
        self.penalty.update(kl)
        return {
            "inner_kl": kl.mean().item(),
            "inner_kl_coef": self.penalty.coefficients.mean().item(),
        }

    def losses(self, batch: OuterBatch) -> dict[str, Tensor]:
        """The clipped surrogate of the episodes after a step, plus the penalty."""
        thetas = self.episode_parameters(batch)
        losses = self.outer_losses(batch, thetas)
        kl = self.inner_kl(batch, thetas)
        penalty = self.penalty(kl)
        return {**losses, "outer": losses["outer"] + penalty}

    def inner_kl(self, batch: OuterBatch, thetas: Sequence[Tensor]) -> Tensor:
        """KL from the policy that collected each step's data to the present one, (E - 1,) nats.

        It is the mean over the valid ticks of the data.
        """
        divergences = []
        for e, theta in enumerate(thetas[:-1]):
            episode = batch.ticks[e]
            mean, log_std = self.distribution(batch.theta[e], episode)
            new_mean, new_log_std = self.distribution(theta, episode)
            kl = clipped_gaussian.divergence(mean, log_std, new_mean, new_log_std)
            mean_kl = ppo.masked_mean(kl, episode.valid)
            divergences.append(mean_kl)
        return torch.stack(divergences)
