"""Proximal policy optimization (Schulman et al. 2017) over whole trials.

The functions are shared with methods that have their own training loop; ``PpoLearner`` is the loop
for a policy over features of a trial's ticks. Axes: L ticks, n worlds, a action, k features.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from policies.config import ON_POLICY_STEPS, MethodConfig, derive_schedule, derive_trial_discount
from policies.logs import detached, mean_logs
from policies.method import CollectionSchedule, Problem, Transition
from policies.nn.adam import Adam
from policies.nn.hypernetwork import mlp_or_hyper
from policies.nn.normalizer import RunningNormalizer
from policies.nn.state import SavedState
from policies.ranges import Discount, LargeCount, NonNegative, Positive, Share, Width
from policies.rl import clipped_gaussian

STD_EPSILON = 1e-4  # added to a standard deviation that may be 0


@dataclass(frozen=True)
class PpoConfig(MethodConfig):
    """Settings of the learner."""

    hidden: Width = 64  # units of the one hidden layer of policy and critic
    lr: Positive = 1e-3  # learning rate; VariBAD's RL² has 7e-4
    gamma: Discount = 0.95  # discount of a tick; VariBAD's RL² has 0.97, with longer episodes
    gae_lambda: Share = 0.9  # λ of the advantages (VariBAD)
    clip_ratio: Positive = 0.2  # largest change of the likelihood ratio that is rewarded (PPO)
    epochs: LargeCount = 4  # passes over the trials of an iteration; VariBAD has 2
    minibatches: LargeCount = 4  # batches of whole trials in a pass (VariBAD)
    value_coef: NonNegative = 0.5  # weight of the critic's loss (OpenAI Baselines' PPO)
    entropy_coef: NonNegative = 0.0  # weight of the entropy bonus; Meta-World's RL² has 5e-6
    init_std: Positive = 0.6  # initial std of the actions; it is learned
    max_grad_norm: Positive = 0.5  # norm that gradients are clipped to (VariBAD)
    schedule: CollectionSchedule = CollectionSchedule(
        meta_batch=256,
        episodes_per_trial=3,
        iterations=200,
    )

    @property
    def gradient_steps(self) -> int:
        """Gradient steps per iteration."""
        return self.epochs * self.minibatches

    @classmethod
    def for_problem(cls, problem: Problem) -> Self:
        """Discount and schedule follow from the horizon and the episodes."""
        return cls(
            gamma=derive_trial_discount(problem),
            schedule=derive_schedule(problem, ON_POLICY_STEPS),
        )


def bootstrap_mask(ticks: Transition) -> Tensor:
    """Whether a tick's return includes the value of the next tick, (L, ...) bool.

    It does if both ticks are valid: at the end of the sequence there is no bootstrap, however it
    ended. An episode that ends within the sequence, ``terminated`` or ``truncated``, does not cut
    the return, because the next episode is a part of the same trial (Duan et al. 2016).
    """
    valid = ticks.valid
    none = torch.zeros_like(valid[:1])
    next_valid = torch.cat([valid[1:], none])
    return valid & next_valid


def advantages(
    reward: Tensor,
    value: Tensor,
    bootstrap: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Generalized advantage estimates (Schulman et al. 2016) of sequences; all are (L, ...).

    Args:
        reward: of each tick.
        value: of the state in which each tick began.
        bootstrap: whether the return includes the next tick's value, see ``bootstrap_mask``.
        gamma: discount per tick.
        gae_lambda: λ, the weight of longer returns.
    """
    reversed_advantages = []
    advantage = torch.zeros_like(reward[0])
    next_value = torch.zeros_like(reward[0])
    for t in reversed(range(len(reward))):
        future = gamma * (next_value + gae_lambda * advantage)
        advantage = reward[t] - value[t] + future.where(bootstrap[t], 0.0)
        next_value = value[t]
        reversed_advantages.append(advantage)
    return torch.stack(reversed_advantages[::-1])


def standardized(
    x: Tensor,
    valid: Tensor,
    dim: int | tuple[int, ...],
) -> Tensor:
    """Mean 0 and standard deviation 1 over the valid elements along ``dim``; 0 elsewhere."""
    count = valid.sum(dim, keepdim=True).clamp(min=1)
    total = x.where(valid, 0.0).sum(dim, keepdim=True)
    deviation = x - total / count
    deviation = deviation.where(valid, 0.0)
    squares = deviation.square().sum(dim, keepdim=True)
    std = (squares / count).sqrt()
    return deviation / (std + STD_EPSILON)


def surrogate(
    log_ratio: Tensor,
    advantage: Tensor,
    clip_ratio: float,
) -> Tensor:
    """Minus PPO's clipped objective, element by element."""
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)
    return -torch.minimum(ratio * advantage, clipped * advantage)


def divergence(log_ratio: Tensor) -> Tensor:
    """An unbiased and non-negative estimate of KL(old ‖ new) (Schulman 2020), nats, same shape."""
    return log_ratio.exp() - 1 - log_ratio


def masked_mean(x: Tensor, valid: Tensor) -> Tensor:
    """Mean of the valid elements, a scalar; 0 where there are none."""
    total = x.where(valid, 0.0).sum()
    count = valid.sum().clamp(min=1)
    return total / count


@dataclass(frozen=True)
class PpoBatch:
    """Trials as sequences, with the quantities that stay fixed while the policy changes."""

    ticks: Transition  # (L, n, ...) as in ``TrialBatch.sequences``
    log_prob: Tensor  # (L, n) of the actions under the policy that took them
    advantage: Tensor  # (L, n) standardized
    value_target: Tensor  # (L, n) normalized return that the critic is to predict

    def trials(self, index: Tensor) -> "PpoBatch":
        """Some of the n trials."""
        return PpoBatch(
            self.ticks[:, index],
            self.log_prob[:, index],
            self.advantage[:, index],
            self.value_target[:, index],
        )


class ActorCritic(nn.Module):
    """Policy and critic over features that an encoder computes."""

    def __init__(
        self,
        encoder: nn.Module,
        features: int,
        actions: int,
        config: PpoConfig,
        generator: torch.Generator,
        hyper: int = 0,
    ) -> None:
        """Heads for an encoder of ``features`` outputs, on the generator's device.

        The first ``hyper`` of these generate the weights of the heads, which read the others.
        """
        super().__init__()
        self.encoder = encoder
        self.return_norm = RunningNormalizer(1, generator.device)
        self.actor = mlp_or_hyper(hyper, [features, config.hidden, actions], generator)
        self.critic = mlp_or_hyper(hyper, [features, config.hidden, 1], generator)
        std = torch.full((actions,), config.init_std, device=generator.device)
        self.log_std = nn.Parameter(std.log())

    def value(self, features: Tensor) -> Tensor:
        """The critic's estimate of the normalized return (...,), for features (..., k)."""
        value: Tensor = self.critic(features)
        return value[..., 0]

    def act(
        self,
        features: Tensor,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Actions (..., a): a sample of the policy, or its mean without a generator."""
        return clipped_gaussian.sample(self.actor(features), self.log_std, generator)

    def log_prob(self, features: Tensor, action: Tensor) -> Tensor:
        """Log-likelihood (...,) of actions (..., a) under features (..., k)."""
        return clipped_gaussian.log_prob(self.actor(features), self.log_std, action)


class PpoLearner(SavedState):
    """Trains a policy over features of whole trials; a minibatch consists of whole trials.

    The encoder is a module ``encoder(ticks) -> (L, n, k)``: the features of each tick of sequences
    (L, n, ...), computed only from the past of its trial. It is trained with policy and critic.
    """

    saved_attributes: ClassVar[tuple[str, ...]] = ("net", "optimizer", "generator")

    def __init__(
        self,
        encoder: nn.Module,
        features: int,
        actions: int,
        config: PpoConfig,
        generator: torch.Generator,
        hyper: int = 0,
    ) -> None:
        """``features`` is k, ``actions`` is a; the generator draws weights and minibatches.

        For ``hyper`` see ``ActorCritic``.
        """
        self.config = config
        self.generator = generator
        self.net = ActorCritic(encoder, features, actions, config, generator, hyper)
        self.optimizer = Adam(self.net.parameters(), lr=config.lr, fused=True)

    def learn(self, ticks: Transition) -> dict[str, float]:
        """Train on sequences (L, n, ...) for some epochs; returns means over the gradient steps."""
        batch = self.prepare(ticks)
        trials = ticks.reward.shape[1]
        logs = [self.step(batch.trials(index)) for index in self._minibatches(trials)]
        return mean_logs(logs)

    @torch.no_grad()
    def prepare(self, ticks: Transition) -> PpoBatch:
        """Log-likelihoods, advantages and value targets under the policy that acted.

        The return is that of the whole trial: after an episode, terminated or truncated, the value
        of the next episode's first tick is added, discounted as usual. After the last valid tick of
        a trial there is no bootstrap: the objective is the return of this number of episodes, and
        no value is ever learned for a state beyond them.
        """
        c = self.config
        features = self.net.encoder(ticks)
        value = self.net.return_norm.inverse(self.net.value(features))
        advantage = advantages(ticks.reward, value, bootstrap_mask(ticks), c.gamma, c.gae_lambda)
        returns = advantage + value
        # The values above are in units of the old statistics, with which the critic was trained;
        # its targets are in units of the new ones.
        self.net.return_norm.update(returns[ticks.valid][:, None])
        return PpoBatch(
            ticks=ticks,
            log_prob=self.net.log_prob(features, ticks.action),
            advantage=standardized(advantage, ticks.valid, (0, 1)),
            value_target=self.net.return_norm(returns[..., None])[..., 0],
        )

    def losses(self, batch: PpoBatch) -> dict[str, Tensor]:
        """The losses of a batch, see ``losses_given``."""
        return self.losses_given(self.net.encoder(batch.ticks), batch)

    def losses_given(self, features: Tensor, batch: PpoBatch) -> dict[str, Tensor]:
        """Scalars: surrogate, value error, entropy, and the KL from the policy that acted."""
        valid = batch.ticks.valid
        log_prob = self.net.log_prob(features, batch.ticks.action)
        log_ratio = log_prob - batch.log_prob
        log_ratio = log_ratio.where(valid, 0.0)
        actor = surrogate(log_ratio, batch.advantage, self.config.clip_ratio)
        critic = (self.net.value(features) - batch.value_target).square()
        return {
            "actor": masked_mean(actor, valid),
            "critic": masked_mean(critic, valid),
            "entropy": clipped_gaussian.entropy(self.net.log_std),
            "kl": masked_mean(divergence(log_ratio), valid),
        }

    def step(self, batch: PpoBatch) -> dict[str, Tensor]:
        """One gradient step, back through the whole of each trial."""
        losses = self.losses(batch)
        self.optimizer.zero_grad()
        self.total(losses).backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.max_grad_norm)
        self.optimizer.step()
        return detached(losses)

    def total(self, losses: dict[str, Tensor]) -> Tensor:
        """What is minimized, a scalar."""
        c = self.config
        bonus = c.entropy_coef * losses["entropy"]
        return losses["actor"] + c.value_coef * losses["critic"] - bonus

    def _minibatches(self, trials: int) -> Iterator[Tensor]:
        """Indices of trials, all of them once per epoch, in random order."""
        for _ in range(self.config.epochs):
            g = self.generator
            order = torch.randperm(trials, generator=g, device=g.device)
            yield from order.chunk(self.config.minibatches)
